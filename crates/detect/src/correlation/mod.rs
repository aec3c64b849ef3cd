//! Correlations: matches of rules, counted over time.
//!
//! A [`Correlator`] is given every batch with the matches the engine found in it, and returns a
//! [`CorrelationMatch`] when a correlation of the rule set comes to hold for a group of events.
//! What Sigma leaves open is decided so:
//!
//! * **Windows roll in event time.** One of `timespan` ends with each event, and both its ends
//!   belong to it: events exactly five minutes apart are within five minutes. Events of one instant
//!   count as being in whatever order is asked for.
//! * **Order of arrival does not matter** within the allowance: an event that comes late is put in
//!   its place, and every window it is in is looked at again. One that comes later than the
//!   allowance after the newest event *of its group* is counted as late and said in a [`Notice`].
//!   So a source whose clock is wrong, or last month's file, is not late for itself.
//! * **A time too far ahead is not believed**: more than five minutes after its receipt, an event
//!   is counted at the time of receipt.
//! * **One alert while it lasts.** After the first window that fulfils the condition, further ones
//!   that end within `timespan` of those before belong to the same alert; news of it come when it
//!   counts twice as many events as last told, and at the end of the input.
//! * **Upper bounds are judged when the window is over**: `lt`, `lte`, `eq`, `neq`, ranges with
//!   them, and conditions with `not`. Such a window begins with the first event of the group that
//!   is in none before, and each window that fulfils the condition is an alert of its own. A group
//!   without any event is not known, so that nothing can be said of it.
//! * **`group-by`** compares values without regard to case. A field that an event does not have, or
//!   that is empty, is a value of its own, but an event that has none of the fields is not counted.
//!   Without `group-by` there is one group.
//! * **`value_count`** counts different values without regard to case; several fields are counted
//!   as one value. **Numbers** are what the text of a field says; an event without one is not
//!   counted. `value_percentile` is that of rank `percentile`, or 50, on the line between the two
//!   nearest numbers.
//! * **temporal**: without a condition every rule must be seen. One event may stand for several
//!   rules. The string form of the condition (`a and not b`) may use ids and names.
//! * **Chains**: a correlation that counts another gets its group values, or else the fields of the
//!   event that made it hold. For the temporal types each moment at which the other holds counts;
//!   for the others each of its alerts does.
//! * **`generate`** false, the default, keeps rules quiet that stand in the same file as the
//!   correlation. Rules of other files were not written for it and raise their own alerts.
//! * **State is bounded.** What finds no room is counted and said, never dropped in silence.

mod columns;
mod compile;
mod condition;
mod correlator;
mod group;
mod hit;
mod info;
mod key;
mod lists;
mod matched;
mod notice;
mod rows;
mod sentence;
mod state;
mod window;

pub(crate) use compile::{Catalog, Correlation, silent_rules};
pub use correlator::{Correlator, CorrelatorOptions};
pub(crate) use lists::malformed;
pub use matched::{CorrelationMatch, News};
pub use notice::{CorrelatorStats, Notice, NoticeKind};
pub use state::{RestoreReport, StateError, check_state};
