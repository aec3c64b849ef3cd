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

/// Size at which a Parquet data page ends. Large pages compress far better: a log line resembles
/// lines that came long before it.
pub const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Most bytes of the directories of text indexes that are kept in memory: about 100 bytes for each
/// 32 KiB of tokens.
pub const TEXT_INDEX_CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Most rows that one step of a walk through everything stored hands on.
pub const HISTORY_ROWS: usize = 32_768;
