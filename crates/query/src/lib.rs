//! Questions to the lake: a search language, and guarded SQL.
//!
//! * [`parse`] reads the search language (`docs/search.md`) into an [`Expr`]; a mistake is a
//!   [`ParseError`] that shows the place and says what to write instead, in both languages.
//! * [`Searcher::search`] runs it over everything in the lake, newest first, and stops early.
//! * [`Searcher::complete`] says what may stand where somebody is writing a search.
//! * [`Searcher::live`] asks the same question of events as they arrive.
//! * [`Searcher::sql`] answers one `SELECT` over the tables `events` and `acts` and those that [`Tables`]
//!   gives, and nothing else.
//!
//! Text is compared folded ([`fold`]): case, full and half width, compatibility forms and some
//! Japanese spellings do not matter.
//!
//! Queries run in a runtime of their own with deep stacks, low priority, bounded memory, time, rows and
//! concurrency: neither a long query nor a hostile one stops the intake, nor one that nobody reads the
//! others.

#![forbid(unsafe_code)]

mod acts;
mod acts_table;
mod answer;
mod ast;
mod beside;
mod beside_steps;
mod complete;
mod compute;
mod cursor;
mod error;
#[cfg(test)]
mod grammar_tests;
mod late;
pub mod limits;
mod live;
mod matched;
mod need;
mod notice;
mod parse;
mod pipes;
mod places;
mod plan;
mod quick;
mod run;
mod running;
mod scalar;
mod searcher;
mod sessions;
mod sql;
mod step;
mod steps;
mod suggest;
mod tables;
mod text;
mod time;
mod value;

pub use answer::Answer;
pub use ast::{
    Aggregate, Bin, Bound, Compare, Compute, Expr, FieldTest, Filter, Function, Join, JoinKind,
    Lookup, Named, Operation, Pattern, Pipe, Test,
};
pub use complete::{Completions, Offer, OfferKind};
pub use error::{ParseError, QueryError};
pub use live::Live;
pub use notice::Notice;
pub use parse::parse;
pub use running::{Phase, Progress, Running};
pub use searcher::{EventsFound, Order, SearchRequest, Searcher};
pub use suggest::closest;
pub use tables::{CellForm, List, ListColumn, Table, Tables};
pub use time::parse_instant;
pub use yagura_textindex::fold;
