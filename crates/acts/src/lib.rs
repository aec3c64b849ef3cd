//! Acts: several raw events of one human act become one act that keeps its events' ids. A file save
//! is not forty lines.
//!
//! * [`Acts`] takes [`yagura_event::EventBatch`]es and gives finished [`Act`]s; what is part of no
//!   act is named as passed through. Every event is in exactly one of the two.
//! * Works in the time of the events. Within [`Options::lateness_micros`] their order does not matter;
//!   what comes later is still used, and counted.
//! * [`batches`] turns acts into event batches of datasets `act.<kind>`, so that searches, sentences
//!   and outputs work on them as on events.
//! * Memory is bounded ([`limits`]). Past a limit acts are closed early and say so; nothing is lost.
//!
//! Pure: no I/O, no clock, no threads.

#![forbid(unsafe_code)]

mod act;
mod acts;
mod draft;
mod item;
mod kinds;
pub mod limits;
mod rows;
mod table;

pub use act::{Act, ActKind, ActState, batches};
pub use acts::{Acts, Counters, Observed, Options, acts_of};
pub use rows::{COLUMNS, STARTS, WANTED};
