//! Named limits of the journal. Each has a test at the limit and one past it.

/// Records after which a batch is sealed.
pub const BATCH_RECORDS_MAX: u32 = 4_096;

/// Raw bytes after which a batch is sealed. One record may exceed it alone.
pub const BATCH_BYTES_MAX: u64 = 1024 * 1024;

/// Longest peer and longest identity of a record, in bytes.
pub const PEER_BYTES_MAX: usize = 16 * 1024;

/// Longest body of a frame: the largest record with its peer and identity, and room to spare.
pub const FRAME_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Most records one call of `append` may carry.
pub const APPEND_RECORDS_MAX: usize = 65_536;

/// Most raw bytes one call of `append` may carry.
pub const APPEND_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Most calls that may wait in the queue, whatever their size.
pub const QUEUE_REQUESTS_MAX: usize = 65_536;

/// Raw bytes after which a group is written although more is waiting.
pub const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Calls after which a group is written although more are waiting.
pub const GROUP_REQUESTS_MAX: usize = 16_384;

/// Most streams that may be active within a day; a further one is refused.
pub const STREAMS_MAX: usize = 4_096;

/// Largest segment file that is read, in bytes. The journal writes far smaller ones.
pub const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Most damaged places that a report lists one by one; the rest are counted.
pub const DAMAGE_LISTED_MAX: usize = 1_000;

/// Batch numbers beyond this are nonsense: a batch each microsecond would take 146,000 years.
pub const BATCH_NUMBER_MAX: u64 = 1 << 62;
