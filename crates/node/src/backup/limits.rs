//! Named limits of backups.

/// Files that are copied at once: a bucket is far away, and a disk does not mind.
pub(crate) const FILES_AT_ONCE: usize = 4;

/// Bytes that are read at once of a file that is copied.
pub(crate) const CHUNK_BYTES: usize = 1024 * 1024;

/// Bytes of one part of a file that is sent to a bucket, which takes no smaller parts than 5 MiB.
pub(crate) const PART_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of one piece of a file that grows: what was there before is not copied again.
pub(crate) const PIECE_BYTES: usize = 256 * 1024;

/// Files that one backup names at most, and pieces.
pub(crate) const FILES_MAX: usize = 2_000_000;

/// Longest path that a backup names, in bytes.
pub(crate) const PATH_BYTES_MAX: usize = 1_024;

/// Longest manifest that is read, in bytes: the most files with paths of middling length.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Damaged or missing files of a backup that are told apart; further ones are counted.
pub(crate) const DAMAGED_SHOWN_MAX: usize = 100;

/// Longest checkpoint file that is read, in bytes.
pub(crate) const CHECKPOINT_BYTES_MAX: u64 = 64 * 1024;

/// Longest mark of a restored directory that is read, in bytes.
pub(crate) const MARK_BYTES_MAX: u64 = 64 * 1024;

/// How often a request to a bucket is repeated, and for how long at most, in seconds.
pub(crate) const RETRIES: (usize, u64) = (4, 60);
