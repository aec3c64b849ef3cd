//! What an event is: the words every other crate speaks.
//!
//! * [`Record`]: the bytes as received, with who sent them, how, and when. Never altered.
//! * [`EventId`]: `stream/batch/index`, the place of an event in the ledger.
//! * [`EventBatch`]: events of one dataset as Arrow columns, built by [`BatchBuilder`].
//! * [`FieldDictionary`]: the one list of field names, types, labels and Sigma names.
//! * [`UtcMicros`]: the one clock reading, and the [`Clock`] it comes from.
//!
//! This crate does no I/O, apart from [`SystemClock`], which reads the machine's clock.

#![forbid(unsafe_code)]

mod batch;
mod column;
mod dictionary;
mod fields;
mod id;
pub mod limits;
mod record;
mod time;
mod words;

pub use batch::{BatchBuilder, EventBatch, Origin, columns};
pub use column::{ColumnIndex, ValueKey};
pub use dictionary::{DictionaryError, Field, FieldDictionary, FieldType};
pub use fields::{EventField, EventFields, FieldNames};
pub use id::{EventId, IdError, StreamName};
pub use record::{CommittedRun, Record, Transport};
pub use time::{Clock, ManualClock, SystemClock, TimeError, UtcMicros};
pub use words::{Lang, Level, Words};
