//! Which blocks of rows of a file can hold a text that is searched for.
//!
//! * [`fold`] is the one definition of which spellings are the same; [`each_text`] of what the text
//!   of an event is. Index and search share them, so they cannot disagree.
//! * [`IndexBuilder`] collects the tokens of rows and writes `docs/format/text-index.md`.
//! * [`Need`] is what a text must have for a search to find it; [`TextIndex::rows_to_read`] says where
//!   that may be. It may name too many rows, never too few.
//! * [`Sieve`] asks the same of single events, before anything is folded.
//!
//! No files, no clock, no threads: bytes come and go through the caller.

#![forbid(unsafe_code)]

mod anycase;
mod builder;
mod error;
mod expression;
mod fold;
mod index;
pub mod limits;
mod need;
mod page;
mod sieve;
mod texts;
mod tokens;

pub use anycase::AnyCase;
pub use builder::{IndexBuilder, IndexCounts};
pub use error::IndexError;
pub use fold::{fold, fold_into};
pub use index::{TRAILER_BYTES, TextIndex, Trailer};
pub use need::Need;
pub use sieve::{Sieve, folds_apart};
pub use texts::each_text;
