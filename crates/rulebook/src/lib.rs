//! What is known about rules besides how they match: where they come from, whether they are well
//! written, whether they do what they say, what they cover, and how they changed.
//!
//! * [`RuleSources::load`] reads our own pack, the directories, lists and pipelines a user names.
//! * [`listing::rows`] shows every rule, and why those that are not in use are not.
//! * [`lint::check`] names what is wrong with rules, with file and line.
//! * [`cases::run`] tries rules on sample events kept beside them.
//! * [`coverage`] says which techniques of ATT&CK are watched with data really present.
//! * [`changes`] compares two sets of rules, and [`library`] installs one and keeps the others.
//! * [`tune`] finds what most of a noisy rule's hits have in common.
//!
//! It reads files and decides nothing about events: matching is `yagura-detect`'s.

#![forbid(unsafe_code)]

pub mod cases;
pub mod changes;
pub mod coverage;
mod error;
pub mod library;
pub mod limits;
pub mod lint;
pub mod listing;
mod load;
mod locate;
pub mod tune;

pub use error::RulebookError;
pub use load::{Compiled, Loaded, RuleSources, builtin, from_dirs, log_sources};
