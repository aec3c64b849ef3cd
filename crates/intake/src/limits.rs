//! Named limits of everything that arrives. Each is tested at the limit and one past it.

/// Longest syslog message kept whole unless configured otherwise, in bytes. RFC 5424 section 6.1
/// asks receivers for 2,048; Windows events in JSON need tens of kilobytes.
pub const SYSLOG_FRAME_BYTES_DEFAULT: usize = 64 * 1024;

/// Longest syslog message that can be configured, in bytes.
pub const SYSLOG_FRAME_BYTES_MAX: usize = yagura_event::limits::RECORD_BYTES_MAX;

/// Most digits of an octet count (RFC 6587 section 3.4.1); more is a line that starts with a number.
pub const OCTET_COUNT_DIGITS_MAX: usize = 7;

/// Bytes that the unfinished messages of all connections of a syslog TCP listener have together. Past
/// it, what a connection holds is taken as a message that was cut.
pub const SYSLOG_UNFINISHED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of an unfinished message that every connection has for itself, whatever others hold: senders
/// that leave long lines unfinished cannot have the short ones of others cut.
pub const SYSLOG_UNFINISHED_BYTES_FREE: usize = 4 * 1024;

/// Open syslog TCP connections unless configured otherwise.
pub const SYSLOG_CONNECTIONS_DEFAULT: usize = 12_000;

/// Bytes taken from a socket by one read.
pub const READ_BYTES: usize = 64 * 1024;

/// Most records handed to the sink at once.
pub const BATCH_RECORDS_MAX: usize = 4_096;

/// Payload bytes after which a batch goes to the sink, however few records it has.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// UDP batches that wait in memory while the sink is busy (each at most [`BATCH_BYTES_MAX`] and
/// one datagram); past it the kernel's buffer fills, and the kernel drops and counts.
pub const UDP_BATCHES_WAITING_MAX: usize = 32;

/// Receive buffer asked of the kernel for UDP, in bytes.
pub const UDP_RECEIVE_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// Peers whose printed address is remembered per UDP socket.
pub const UDP_PEERS_REMEMBERED_MAX: usize = 1_024;

/// Largest HTTP body as sent, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Largest HTTP body once decompressed, in bytes.
pub const BODY_EXPANDED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Most expanded bytes per compressed byte of an HTTP body.
pub const BODY_RATIO_MAX: usize = 100;

/// An HTTP body may always expand to this many bytes, whatever the ratio: short bodies of one
/// repeated event compress very well.
pub const BODY_RATIO_FREE_BYTES: usize = 1024 * 1024;

/// Bytes of a compressed HTTP body that are expanded before it is counted how many there would be.
pub const BODY_KEPT_UNCOUNTED_BYTES: u64 = 4 * 1024 * 1024;

/// Most events in one HTTP body.
pub const BODY_ITEMS_MAX: usize = 100_000;

/// Largest event in an HTTP body, in bytes.
pub const ITEM_BYTES_MAX: usize = yagura_event::limits::RECORD_BYTES_MAX;

/// Deepest nesting of an event in an HTTP body.
pub const ITEM_DEPTH_MAX: usize = 32;

/// Errors told to the sender for one body; the rest are only counted.
pub const ITEM_ERRORS_TOLD_MAX: usize = 100;

/// Failed attempts per body to read a JSON value that spans several lines. Each may scan the
/// whole body, so they are few.
pub const SPANNING_FAILURES_MAX: usize = 8;

/// Streams made from Elasticsearch index names; later names share `elastic/other`.
pub const ELASTIC_STREAMS_MAX: usize = 256;

/// Longest Elasticsearch index name or document id accepted, in bytes (Elasticsearch's own limits
/// are 255 and 512).
pub const ELASTIC_NAME_BYTES_MAX: usize = 512;

/// Longest imported record, in bytes; longer ones are cut here and counted.
pub const IMPORT_RECORD_BYTES_MAX: usize = yagura_event::limits::RECORD_BYTES_MAX;

/// Bytes from the start of a JSON object by which its list of events must have begun, if it only
/// wraps one.
pub const WRAPPER_START_BYTES_MAX: usize = 64 * 1024;

/// Archives (zip, tar) one inside the other.
pub const ARCHIVE_DEPTH_MAX: u8 = 2;

/// Expanded bytes from one file on disk, unless configured otherwise.
pub const EXPANDED_BYTES_DEFAULT: u64 = 64 * 1024 * 1024 * 1024;

/// Most expanded bytes per byte of the file on disk.
pub const EXPANSION_RATIO_MAX: u64 = 1_000;

/// A file on disk may always expand to this many bytes, whatever the ratio.
pub const EXPANSION_FREE_BYTES: u64 = 4 * 1024 * 1024;

/// Members read from one archive file on disk, those of nested archives included, unless
/// configured otherwise.
pub const ARCHIVE_MEMBERS_MAX: u64 = 100_000;

/// Files one import may name.
pub const IMPORT_FILES_MAX: usize = 1_000_000;

/// Deepest folder below a named one.
pub const FOLDER_DEPTH_MAX: usize = 64;

/// Expanded archive members up to this size stay in memory, larger ones go to an unnamed
/// temporary file.
pub const SPOOL_MEMORY_BYTES: usize = 16 * 1024 * 1024;

/// Bytes looked at to tell what a file is.
pub const SNIFF_BYTES: usize = 64 * 1024;

/// Damages described per file; the rest are only counted.
pub const DAMAGES_TOLD_MAX: usize = 50;

/// Largest zstd window accepted, as a power of two (128 MiB, zstd's own default limit).
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Batches read ahead while the sink writes.
pub const IMPORT_BATCHES_AHEAD: usize = 2;

/// Elements and attributes of a Windows event's template, deepest nesting of elements, and longest
/// dotted name in bytes. Templates past these, and events past those up to
/// [`EVTX_CHUNK_TEXT_BYTES_MAX`], are read by way of JSON.
pub const EVTX_ELEMENTS_MAX: usize = 1_024;

/// See [`EVTX_ELEMENTS_MAX`].
pub const EVTX_DEPTH_MAX: usize = 32;

/// See [`EVTX_ELEMENTS_MAX`].
pub const EVTX_NAME_BYTES_MAX: usize = 200;

/// Values of a Windows event, and of each event within it.
pub const EVTX_SLOTS_MAX: usize = 4_096;

/// Templates that one Windows event is made of.
pub const EVTX_INSTANCES_MAX: usize = 8;

/// Fields of a Windows event.
pub const EVTX_FIELDS_MAX: usize = 1_000;

/// Bytes of the values of a Windows event.
pub const EVTX_EVENT_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of the values of all events of one chunk. Recorded ones have a tenth of it.
pub const EVTX_CHUNK_TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of all templates of one chunk, each counted once per element it is used in. Those that are
/// apart from one another fit four times.
pub const EVTX_DEFINITION_BYTES_MAX: usize = 256 * 1024;

/// Names of fields that a reader of Windows event logs remembers; past it all are forgotten before the
/// next chunk, and past twice as many the chunk at hand is read by way of JSON.
pub const EVTX_NAMES_MAX: usize = 16_384;

/// Templates of Windows events that a reader remembers; past it all are forgotten before the next
/// chunk.
pub const EVTX_SHAPES_MAX: usize = 1_024;

/// Largest file that a visit of logs reads into memory at once, in bytes.
pub const SMALL_FILE_BYTES_MAX: u64 = 256 * 1024;

/// Bytes at the start of a log by which copies are suspected; whether they are is told by all of it.
pub const SIGN_BYTES: usize = 8 * 1024;
