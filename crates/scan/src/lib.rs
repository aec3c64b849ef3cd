//! Detection without a server: reads logs where they lie, matches rules, and tells what it found.
//!
//! The way is the live one: what [`yagura_intake`] finds in a file becomes rows of
//! [`yagura_normalize`], which a [`yagura_detect::Engine`] matches. So the same logs give the same
//! answers here and in a running server. Nothing is stored.
//!
//! * [`scan`] reads every file once, hashing on the way, on one thread, and decodes, reads and
//!   matches on others, however few files there are.
//! * Findings come out by time, whatever the order in which they were found, and in bounded memory:
//!   what does not fit goes to temporary files without a name.
//! * [`html`] writes a report for people, [`timesketch`] rows for Timesketch.
//!
//! No terminal, no network.

#![forbid(unsafe_code)]

mod correlate;
mod error;
mod histogram;
mod html;
pub mod limits;
mod line;
mod read;
mod report;
mod row;
mod scan;
mod store;
mod tags;
mod tell;
mod timesketch;
mod unit;
mod words;
mod work;

pub use error::ScanError;
pub use histogram::Histogram;
pub use html::{ReportFacts, RuleSource, html};
pub use report::{Counts, FileSummary, NameSummary, RuleSummary, ScanReport};
pub use row::Finding;
pub use scan::{Findings, ScanOptions, ScanProgress, Scanned, scan};
pub use timesketch::{TIMESKETCH_COLUMNS, timesketch};
