//! Named limits of interpretation. What passes one is kept in the raw bytes and noted in
//! `yagura.parse_error`; a record is never refused.

/// Deepest nesting of a JSON document that is flattened; what lies deeper is skipped.
pub const JSON_DEPTH_MAX: usize = 32;

/// Most fields taken from one record.
pub const FIELDS_PER_RECORD_MAX: usize = 2_048;

/// Longest flattened field name, in bytes; longer ones are cut. Twice what becomes a column, so
/// that a name that overflows is still told apart from its neighbours.
pub const NAME_BYTES_MAX: usize = 512;

/// Most different field names remembered between records, those of all sources together; past it
/// they are forgotten and learnt again.
pub const NAMES_REMEMBERED_MAX: usize = 16_384;

/// Most different columns remembered per dataset from batch to batch. Further ones work as well,
/// only slower, until the batch is finished; then all are forgotten and learnt again.
pub const COLUMNS_REMEMBERED_MAX: usize = 4_096;

/// Most places in JSON documents (each key of each object, with the keys around it) that are
/// remembered to foresee the next document; past it they are forgotten and learnt again.
pub const SHAPE_NODES_MAX: usize = 8_192;

/// Most parameters taken from the structured data of one RFC 5424 message.
pub const STRUCTURED_DATA_PARAMS_MAX: usize = 64;

/// Most `key=value` pairs taken from one text line.
pub const PAIRS_PER_LINE_MAX: usize = 256;

/// Most streams (each with its peer) that something is remembered of from record to record.
pub const STREAM_CONTEXTS_MAX: usize = 4_096;

/// Most fields taken from one entry of systemd's journal.
pub const JOURNAL_FIELDS_MAX: usize = 256;

/// Most acts of the Linux audit system put together at a time, per stream and peer.
pub const AUDIT_EVENTS_OPEN_MAX: usize = 16;

/// Longest value that a later record of the same act receives, in bytes; longer ones are cut.
pub const AUDIT_FACT_BYTES_MAX: usize = 1_024;

/// Most running programs remembered to name a parent, per stream and peer; the oldest go.
pub const AUDIT_PROCESSES_MAX: usize = 256;

/// Longest command line put together of arguments, in bytes; further arguments are left out.
pub const AUDIT_COMMAND_LINE_BYTES_MAX: usize = 16_384;

/// Most arguments that become columns of their own, from `a0` on.
pub const AUDIT_ARGUMENT_COLUMNS_MAX: usize = 16;

/// Longest value written into a sentence, in characters; longer ones end in an ellipsis.
pub const SENTENCE_VALUE_CHARS_MAX: usize = 160;

/// Longest sentence, in characters.
pub const SENTENCE_CHARS_MAX: usize = 600;

/// Most `[[source]]` settings.
pub const SOURCE_SETTINGS_MAX: usize = 1_024;

/// Longest pattern or name in a `[[source]]` setting, in bytes.
pub const SOURCE_PATTERN_BYTES_MAX: usize = 256;

/// Most pairs of host name and program of one origin for which the settings are remembered; past it
/// they are looked up again.
pub const SOURCE_NAMES_REMEMBERED_MAX: usize = 1_024;
