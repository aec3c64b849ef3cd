//! Named limits of exports. Every one has a test at the limit and one past it.

/// Columns of a Parquet file; what has further names is in one column of JSON.
pub const PARQUET_COLUMNS_MAX: usize = 2_000;

/// Bytes that rows waiting for the columns of a Parquet file may take up on disk, compressed.
pub const SPOOL_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// Rows made into columns at once.
pub const ROWS_AT_ONCE: usize = 4_096;

/// Bytes of rows made into columns at once, about.
pub const BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// Bytes of a row group that may wait in memory, about.
pub const GROUP_BYTES: usize = 64 * 1024 * 1024;
