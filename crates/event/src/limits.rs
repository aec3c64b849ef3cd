//! Named limits of an event. Every one has a test at the limit and one past it.

/// Longest stream name, in bytes.
pub const STREAM_NAME_BYTES_MAX: usize = 128;

/// Most columns a batch of one dataset may have; further fields go to
/// [`crate::columns::OVERFLOW`] as one JSON object per row.
pub const COLUMNS_PER_DATASET_MAX: usize = 1_024;

/// Longest field name that becomes a column of its own, in bytes; longer ones overflow.
pub const FIELD_NAME_BYTES_MAX: usize = 256;

/// Longest raw record, in bytes. Intake cuts longer input here and marks it.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;
