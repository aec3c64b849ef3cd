//! Named limits of a scan. Those that bound memory are tested at the limit and one past it.

/// Bytes of a log that are handed to a worker at once, give or take one record or chunk.
pub const UNIT_BYTES: usize = 256 * 1024;

/// Records handed to a worker at once.
pub const UNIT_RECORDS_MAX: usize = 8_192;

/// Rows a worker gathers before it matches rules, so that distinct values are worth sharing.
pub const GATHER_ROWS: usize = 4_096;

/// Bytes of records that all workers together gather before they match rules.
pub const GATHER_BYTES: usize = 6 * 1024 * 1024;

/// A worker gathers at least this many bytes, however many workers there are.
pub const GATHER_BYTES_MIN: usize = 512 * 1024;

/// Bytes of the caches of all workers' engines together.
pub const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// An engine's caches may hold at least this many bytes, however many workers there are.
pub const CACHE_BYTES_MIN: usize = 2 * 1024 * 1024;

/// Most worker threads.
pub const THREADS_MAX: usize = 256;

/// Bytes of findings kept in memory; past it they are sorted and go to a temporary file.
pub const FINDINGS_MEMORY_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of findings that a worker hands over at once, give or take one.
pub const KEPT_TOGETHER_BYTES: usize = 1024 * 1024;

/// Sorted runs in temporary files that are merged into one larger run.
pub const RUNS_MERGED: usize = 16;

/// Bytes read ahead of each sorted run.
pub const RUN_BUFFER_BYTES: usize = 64 * 1024;

/// Longest finding, in bytes. Rule titles, sentences and evidence have limits of their own; this is
/// what a damaged temporary file can claim.
pub const FINDING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Hosts, and users, that are counted one by one by each worker; further ones are counted together.
pub const NAMES_COUNTED_MAX: usize = 10_000;

/// Longest host or user name, in bytes, as counted and told.
pub const NAME_BYTES_MAX: usize = 1_024;

/// Damaged places described per file; the rest are only counted.
pub const DAMAGES_TOLD_MAX: usize = 50;

/// Longest value of a matched field in a finding, in characters.
pub const VALUE_CHARS_MAX: usize = 4_096;

/// Findings in an HTML report; those of the lowest levels are left out first, and counted.
pub const REPORT_FINDINGS_MAX: u64 = 10_000;

/// Rules explained in an HTML report.
pub const REPORT_RULES_MAX: usize = 1_000;

/// Files listed in an HTML report.
pub const REPORT_FILES_MAX: usize = 10_000;

/// Rules listed as refused in an HTML report.
pub const REPORT_REFUSED_MAX: usize = 200;

/// Longest evidence value in an HTML report, in characters.
pub const REPORT_VALUE_CHARS_MAX: usize = 400;

/// Bytes of matches that correlations count, kept in memory; past it they go to a temporary file.
pub const HITS_MEMORY_BYTES: usize = 4 * 1024 * 1024;

/// Most such matches that are counted together.
pub const CORRELATED_ROWS_MAX: usize = 4_096;

/// Longest time between matches that are counted together, in microseconds.
pub const HITS_TOGETHER_MICROS: i64 = 10 * 60 * 1_000_000;

/// Bytes of matches that are counted at once, as kept.
pub const CORRELATED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes a correlator may hold; events past it are not counted, which the report says.
pub const CORRELATION_STATE_BYTES: usize = 32 * 1024 * 1024;

/// Bytes of names of hosts of events that correlations count; alerts of further hosts do not say theirs
/// unless they are about one.
pub const HOST_NAMES_BYTES_MAX: usize = 8 * 1024 * 1024;
