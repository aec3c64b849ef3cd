//! Named limits of what is read about rules.

/// Largest rule file that is read, in bytes.
pub const RULE_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Most rule files that are read from all places together.
pub const RULE_FILES_MAX: usize = 100_000;

/// Deepest folder below a directory that is read.
pub const FOLDER_DEPTH_MAX: usize = 32;

/// Largest file of lists or sample events, in bytes.
pub const SAMPLE_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Most sample events one test may read.
pub const SAMPLE_EVENTS_MAX: usize = 100_000;

/// Most problems that are named for one file; past it they are only counted.
pub const PROBLEMS_PER_FILE_MAX: usize = 200;

/// Selections of a condition that are tried in every combination, to see whether it can hold.
pub const CONDITION_SELECTIONS_MAX: usize = 12;

/// Versions of a rule directory that are kept; the oldest goes when a newer one comes.
pub const VERSIONS_KEPT_MAX: usize = 100;

/// Values of one field that are counted while looking for exceptions; others count as one.
pub const TUNE_VALUES_MAX: usize = 10_000;
