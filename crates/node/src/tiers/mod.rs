//! Files of the table in a cold store: which, when, and on whose record.
//!
//! * [`settings`]: how stores are reached, as the configuration says and the audit log remembers.
//! * [`run`]: moving files there and back, one file at a time, each step recorded.
//! * [`tidy`]: objects that no file of the table lies in any more.
//!
//! What may lie in a store is in the audit log before it goes there, and leaves it after it was deleted
//! there: nothing is ever listed, and a crash forgets no object.

mod request;
mod run;
mod settings;
#[cfg(test)]
mod tests;
mod tidy;

pub use request::{RehydrateRequest, TierRequest};
pub(crate) use run::{Mover, Tiers};
pub(crate) use settings::{RecordedCold, recorded};
pub use settings::{TIER_DAYS_MAX, TierOptions};

/// Whether the path of a record is that of an object in a cold store.
pub(crate) fn is_object(path: &str) -> bool {
    path.contains("://")
}
