//! Named limits of hunts. Every one has a test at the limit and one past it.

/// Hunts that may wait for their turn; one runs at a time, so that the intake keeps its share.
pub const HUNTS_WAITING_MAX: usize = 64;

/// Further hunts of new indicators that may wait, once so many wait already: they are known by number
/// only. A list that would bring one more is not taken.
pub const HUNTS_LATE_MAX: usize = 1_000;

/// How often an interrupted hunt starts again by itself; one that ends the process time and again must
/// not do so for ever.
pub const RESTARTS_MAX: u32 = 3;

/// Most hunts kept in memory; the audit log has all.
pub const HUNTS_MAX: usize = 10_000;

/// Most matches of one hunt that are recorded one by one; all are counted.
pub const HITS_PER_HUNT_MAX: usize = 10_000;

/// Most matches of all hunts kept in memory; those of older hunts leave it first.
pub const HITS_IN_MEMORY_MAX: usize = 200_000;

/// Matches in one audit record.
pub const HITS_PER_ENTRY_MAX: usize = 200;

/// Most rules and indicators whose matches a hunt counts one by one; further ones share a count.
pub const TALLIES_MAX: usize = 1_000;

/// Rows whose whole events are read together, to say in words what was found.
pub const ROWS_TOLD_AT_ONCE: usize = 1_000;

/// Longest sentence of a match that is recorded, in bytes; a longer one is cut.
pub const SENTENCE_BYTES_MAX: usize = 1_024;

/// Largest file of what one hunt was asked for, in bytes: the rules and lists of a request, or what is
/// new of the largest list that is taken. A larger one is refused.
pub const ASKED_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Longest hypothesis, in bytes. A longer one is refused.
pub const HYPOTHESIS_BYTES_MAX: usize = 4_096;

/// Most files of rules and of indicators in one request.
pub const FILES_PER_REQUEST_MAX: usize = 20_000;

/// Most files that could not be read that a hunt names; all are counted.
pub const UNREAD_LISTED_MAX: usize = 100;

/// Matches in one page of an answer.
pub const HITS_PER_PAGE_MAX: usize = 1_000;

/// Indicators in one page of an answer.
pub const INDICATORS_PER_PAGE_MAX: usize = 10_000;

/// Most feeds.
pub const FEEDS_MAX: usize = 100;

/// Shortest time between two pulls of a feed, in seconds.
pub const FEED_INTERVAL_SECONDS_MIN: u64 = 60;

/// Longest file with a password, token or certificate, in bytes.
pub const SECRET_BYTES_MAX: u64 = 1024 * 1024;
