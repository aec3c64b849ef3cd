//! Named limits of acts. Every one has a test at the limit and one past it.

/// Most events one act holds; past it the act is given out as cut, and goes on as a next part.
pub const EVENTS_PER_ACT_MAX: usize = 10_000;

/// Most acts that are open at once; past it the one that would end first is given out as cut.
pub const OPEN_ACTS_MAX: usize = 50_000;

/// Most events all open acts hold; past it the act that would end first is given out as cut.
pub const OPEN_EVENTS_MAX: usize = 1_000_000;

/// Most events that wait for those that may come before them; past it the earliest is not waited for
/// any more.
pub const WAITING_EVENTS_MAX: usize = 100_000;

/// Most names by which later events find an open act (handles, process ids, addresses); past it the
/// oldest is forgotten.
pub const KEYS_PER_ACT_MAX: usize = 256;

/// Longest value taken from an event, in bytes; longer ones are cut.
pub const VALUE_BYTES_MAX: usize = 4_096;

/// Most distinct values of one thing an act remembers (accounts tried, destinations); further ones
/// are counted no more.
pub const DISTINCT_MAX: usize = 64;

/// Most distinct values of one thing that are written into the act's text, in order of the alphabet.
pub const DISTINCT_SHOWN_MAX: usize = 8;
