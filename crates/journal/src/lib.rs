//! The journal: where a record becomes durable, before anyone interprets it.
//!
//! What it promises: a record that was acknowledged survives a crash of the process or the machine
//! (`fdatasync` came first); one damaged byte costs at most one record, is found, counted, reported
//! and recorded; a full disk refuses and later resumes; any other write error stops the journal
//! rather than guess. What it does not: it never deduplicates, so a sender that repeats a call
//! whose answer was lost makes duplicates.
//!
//! * [`Journal`]: append, seal, retire; one writer thread, group commit.
//! * [`JournalOutput`]: what the pipeline is told, in commit order, from the beginning after a crash.
//! * [`read_segments`], [`verify_segments`]: the same files for those who do not write.
//! * [`DirLock`]: one process per directory.
//!
//! The format is specified in `docs/format/journal.md`, the limits are in [`limits`].
#![forbid(unsafe_code)]

mod book;
mod catalog;
mod core;
mod damage;
mod disk;
mod error;
mod frame;
mod journal;
pub mod limits;
mod lock;
mod options;
mod places;
mod quarantine;
mod queue;
mod reader;
mod recover;
mod scan;
mod seal;
mod seal_log;
mod segment;
mod stage;
mod stats;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use damage::{Damage, DamageKind};
pub use error::JournalError;
pub use journal::{Journal, JournalOutput, Receipt, ReceiptRun};
pub use lock::DirLock;
pub use options::JournalOptions;
pub use reader::read_segments;
pub use recover::RecoveryReport;
pub use seal_log::SealLog;
pub use stats::JournalStats;
pub use verify::{Expect, SegmentsReport, verify_segments};
