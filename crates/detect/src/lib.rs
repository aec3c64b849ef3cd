//! Sigma rules over event batches.
//!
//! A [`Ruleset`] is compiled once from rule files and shared; an [`Engine`], one per thread,
//! matches it against each [`yagura_event::EventBatch`] and returns every [`Match`] with the
//! fields, values and predicates that made it.
//!
//! How it is fast:
//!
//! * Every predicate of every rule is an *atom*, shared between rules.
//! * Rules are grouped by what their log source requires of an event (its code, channel, type).
//!   Within its group each rule waits for its *anchor*: the rarest atoms of which one must hold.
//!   Only rows where an anchor holds are looked at, only for the rules it anchors.
//! * Anchors are found per *distinct value* of a column in a batch: equalities in a hash map,
//!   prefixes and suffixes in a sorted tree, substrings by rare windows of four bytes that a bitmap
//!   knows. Values that are slow to match are remembered from batch to batch.
//! * The other predicates are tested for candidates only, a handful for most events: the cheap and
//!   telling ones first, and each once for a value while that value comes again.
//! * What matched is counted over time by a [`Correlator`].
//!
//! What Sigma leaves open is decided so:
//!
//! * Text is compared without regard to case by Unicode's simple lowercase, character by
//!   character, so `ß` is not `ss`. Regular expressions (`re`) are case-sensitive unless `|i`.
//! * A field that an event does not have satisfies `null` and `exists: false` and nothing else;
//!   `neq` therefore needs the field to be there. An empty text is a value: it equals `''` only.
//! * Numbers, truth values and instants in an event are compared as the text they are written as;
//!   `lt`, `lte`, `gt`, `gte` compare numbers and ignore text that is not one.
//! * Keywords look for their text anywhere in every keyword and text column of the event.
//! * Time parts (`hour`, `week`, ...) are taken in the zone of [`CompileOptions`], UTC unless set; a
//!   value without a zone is UTC; weeks are those of ISO 8601, so there can be a week 53.
//! * `cidr` accepts IPv4 addresses written as IPv6 (`::ffff:10.0.0.1`) and ignores zones (`%eth0`).
//! * Several conditions of one rule are alternatives.
//! * Rules that are `deprecated` are used; those that are `unsupported` are refused, like every
//!   rule that we could only follow in part: see [`CompileReport::refused`].
//!
//! No I/O, no clock.

#![forbid(unsafe_code)]

mod anchor;
mod bits;
mod cells;
mod condition;
pub mod correlation;
mod engine;
mod expand;
mod expression;
mod fields;
mod filter;
mod group;
mod item;
pub mod limits;
mod literal;
mod logsource;
mod long;
mod matcher;
mod memory;
mod needs;
mod nots;
mod pipeline;
mod plan;
mod predicate;
mod prefixes;
mod program;
mod reads;
mod row;
mod rule;
mod ruleset;
mod run;
mod said;
mod stretch;
mod substrings;
mod text;
mod view;
mod watches;

pub use correlation::{
    CorrelationMatch, Correlator, CorrelatorOptions, CorrelatorStats, News, Notice, NoticeKind,
    RestoreReport, StateError, check_state,
};
pub use engine::{Engine, Evidence, Match, Stats};
pub use expand::{PlaceholderError, PlaceholderLists};
pub use fields::UnknownField;
pub use filter::{FilterRef, FilterReport};
pub use logsource::{Clause, LogSourceError, LogSources};
pub use needs::RuleNeeds;
pub use pipeline::{Pipeline, PipelineError};
pub use reads::Reads;
pub use row::{RowCondition, literal};
pub use rule::{RelatedRule, RuleInfo, RuleStatus};
pub use ruleset::{CompileOptions, CompileReport, Refusal, RuleFile, Ruleset, check_text};
