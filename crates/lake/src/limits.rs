//! Named limits of the lake. Every one has a test at the limit and one past it.

/// Most columns the table may have. Further fields of an event go to its
/// [`yagura_event::columns::OVERFLOW`] column, so nobody can grow the table by inventing names.
pub const TABLE_COLUMNS_MAX: usize = 4_096;

/// Default bound of the hot set, in bytes of Arrow memory.
pub const HOT_BYTES_DEFAULT: usize = 256 * 1024 * 1024;

/// Pieces of one size class of a batch and dataset that are merged into one: few pieces keep
/// queries fast, and each row is copied once per class only.
pub const HOT_PIECES_PER_CLASS: usize = 16;

/// Batches of events a slow [`crate::Lake::subscribe`] receiver may fall behind before it is told
/// how many it missed.
pub const SUBSCRIBER_LAG_MAX: usize = 1_024;

/// Most rows of a Parquet row group.
pub const ROW_GROUP_ROWS: usize = 131_072;

/// Size at which a data page of a compacted file ends. Large pages compress far better: a log line
/// resembles lines that came long before it.
pub const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// The same of files that a flush writes: they last until they are compacted, and a page that grows
/// large is copied again and again.
pub const FLUSHED_PAGE_BYTES: usize = 512 * 1024;

/// Rows at which a data page of a compacted file ends, too: who looks for one row unpacks its page in
/// each column, and no more of the row group.
pub const COMPACTED_PAGE_ROWS: usize = 8_192;

/// Most bytes of the directories of text indexes that are kept in memory: about 100 bytes for each
/// 32 KiB of tokens.
pub const TEXT_INDEX_CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Most rows that one step of a walk through everything stored hands on.
pub const HISTORY_ROWS: usize = 32_768;

/// Memory of an unfinished row group at which it ends, in bytes, give or take the rows that are written
/// together: its rows wait there until they are written column by column.
pub const ROW_GROUP_MEMORY_BYTES: usize = 128 * 1024 * 1024;

/// zstd level of compacted files: written once, read for years.
pub const COMPACTED_ZSTD_LEVEL: i32 = 9;

/// Rows at which a compacted file ends and the next begins.
pub const COMPACTED_FILE_ROWS: u64 = 2_097_152;

/// Bytes at which a compacted file ends and the next begins, give or take a row group.
pub const COMPACTED_FILE_BYTES: usize = 256 * 1024 * 1024;

/// Memory of rows that wait to be sorted in a compaction, in bytes. Past it they go to a temporary
/// file, sorted, and such files are merged at the end.
pub const SORT_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Most temporary files of one sorting that are read side by side: each costs about 2 MiB. Before there
/// is another, they become one.
pub const SORT_RUNS_MAX: usize = 64;

/// As [`SORT_BYTES_MAX`], where the rows of a compacted file are read in the order of the ledger.
pub const READ_SORT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// As [`SORT_BYTES_MAX`], for the hashes of records that a compaction judges.
pub const LEAF_SORT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Files in the order of the ledger that make a partition of the current day due for compaction,
/// unless another number is asked for.
pub const COMPACT_FILES_MIN: usize = 8;

/// Bytes of received texts that are taken apart together: with their columns, about twice as much
/// lies in memory.
pub const PACK_BYTES: usize = 48 * 1024 * 1024;

/// Rows that are taken apart together: templates are learned from so many.
pub const PACK_ROWS: usize = yagura_rebuild::limits::ROUND_ROWS;

/// Bytes of texts that are rebuilt at once, about.
pub const UNPACK_BYTES: usize = 32 * 1024 * 1024;

/// Bytes that go to a cold store, or come from it, in one request where a whole file does. The least
/// that S3 takes for a part is 5 MiB, and the most parts 10,000.
pub const COLD_PART_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of a piece of a file in a cold store that is kept while parts of the file are read.
pub const COLD_BLOCK_BYTES: u64 = 1024 * 1024;

/// Most such pieces of one file.
pub const COLD_BLOCKS_MAX: usize = 32;

/// Pieces that are fetched at once where the one before was read.
pub const COLD_BLOCKS_AHEAD: u64 = 4;

/// Most seconds that a request to a cold store may be given.
pub const COLD_TIMEOUT_S_MAX: u64 = 300;

/// Seconds that a cold store is given to take a connection.
pub const COLD_CONNECT_S: u64 = 5;

/// How often a request to a cold store is repeated after an error of the network or the server.
pub const COLD_RETRIES: usize = 3;

/// Seconds for which a cold store that did not answer is not asked again by questions: one wait is
/// enough for all files of a question.
pub const COLD_PAUSE_S: u64 = 5;

/// Characters of what a cold store said that a message quotes.
pub const COLD_REASON_CHARS: usize = 400;

/// Files that an answer names of those it could not read; it counts all.
pub const UNREAD_NAMED_MAX: usize = 10;
