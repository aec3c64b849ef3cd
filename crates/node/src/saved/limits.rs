//! Named limits of saved and scheduled searches. Every one has a test at the limit and one past it.

/// Most saved searches.
pub const SAVED_MAX: usize = 1_000;

/// Most of them with a schedule.
pub const SCHEDULED_MAX: usize = 100;

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 200;

/// Longest description, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 4_096;

/// Longest time, zone, cron expression or name of a column, in bytes.
pub const WORD_BYTES_MAX: usize = 256;

/// Most columns.
pub const COLUMNS_MAX: usize = 50;

/// Changes remembered of each search, the last ones; the audit log has all.
pub const CHANGES_MAX: usize = 50;

/// Runs remembered of each search, the last ones; the audit log has all.
pub const RUNS_MAX: usize = 50;

/// Removed searches that can be restored, those removed last.
pub const REMOVED_MAX: usize = 100;

/// Shortest time between two runs, in minutes: each is a record that is kept for ever.
pub const EVERY_MINUTES_MIN: u32 = 5;

/// Longest time between two runs of `every_minutes`, in minutes: a week.
pub const EVERY_MINUTES_MAX: u32 = 7 * 24 * 60;

/// Occurrences of a cron expression whose distance is looked at.
pub const OCCURRENCES_LOOKED_AT: usize = 100;

/// Rows that a run counts; the condition asks for fewer.
pub const ROWS_COUNTED_MAX: usize = 100_000;

/// Events of a run that become findings of its alerts, the newest ones.
pub const EVENTS_PER_RUN_MAX: usize = 100;

/// Rows of a table (`| stats`) that a run finds an event for.
pub const TABLE_ROWS_MAX: usize = 20;

/// How long an event may take from its receipt until it is durable, in seconds, and still be counted in
/// the run that covers its receipt: runs cover time that is at least so long ago.
pub const SETTLE_SECONDS: i64 = 30;

/// How long a run waits until everything durable is searchable, in seconds; then it is put off.
pub const CATCH_UP_SECONDS: u64 = 30;

/// Longest time of receipt that one run covers, in hours; the next ones follow at once.
pub const WINDOW_HOURS_MAX: i64 = 24;

/// How long a run that could not read everything is a gap, in hours: those that follow cover other time.
pub const INCOMPLETE_TOLD_HOURS: i64 = 24;

/// Due times that were missed are counted up to this.
pub const MISSED_COUNTED_MAX: u32 = 10_000;
