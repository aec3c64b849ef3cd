//! Bounds of policies, holds and requests.

/// Policies of one configuration.
pub const POLICIES_MAX: usize = 256;

/// Patterns of streams, or hosts, that one policy or hold lists.
pub const PATTERNS_MAX: usize = 256;

/// Bytes of one pattern, host or name.
pub const NAME_BYTES_MAX: usize = 256;

/// Bytes of a reason.
pub const REASON_BYTES_MAX: usize = 4_096;

/// Days that a policy may name: a hundred years.
pub const DAYS_MAX: u32 = 36_500;

/// Hours a request may wait for the second person: thirty days.
pub const APPROVAL_HOURS_MAX: u32 = 720;

/// Legal holds in force at once.
pub const HOLDS_MAX: usize = 10_000;

/// Requests that may wait for a second person at once.
pub const REQUESTS_OPEN_MAX: usize = 100;

/// Requests that are over and still shown; the audit log has all.
pub const REQUESTS_SHOWN_MAX: usize = 1_000;

/// Holds that were released and are still shown; the audit log has all.
pub const RELEASED_SHOWN_MAX: usize = 1_000;

/// Batches that one step deletes: what one commit takes out of the table.
pub const DELETE_BATCHES_MAX: usize = 20_000;

/// Ranges of batches that one record of a deletion lists; with more, it becomes several records.
pub const RANGES_PER_RECORD_MAX: usize = 2_000;

/// Days that a forecast looks ahead: ten years.
pub const FORECAST_DAYS_MAX: u32 = 3_650;

/// Whole days before today whose growth a forecast goes by.
pub const GROWTH_DAYS: i64 = 14;

/// Configured versions of policies that wait for a second person at once.
pub const VERSIONS_MAX: usize = 100;

/// Deletions that are still shown; the audit log has all.
pub const DELETIONS_SHOWN_MAX: usize = 1_000;
