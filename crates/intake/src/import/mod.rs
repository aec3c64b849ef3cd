//! `yagura import`: files that exist already, read into the store.
//!
//! What a file is follows from its bytes, never from its name: EVTX, JSON (lines, an array, or
//! objects one after another), text in any encoding; each also inside gzip, zstd, zip and tar.
//!
//! Each file's records go into a stream of their own, `import/` and the start of the SHA-256 of
//! the file's (expanded) content. A file always yields the same records in the same order, so the
//! number of records its stream already holds says where to go on: importing again adds nothing,
//! and an interrupted import resumes, with no state of its own to keep.
//!
//! A record's bytes are: for EVTX, the event as compact JSON (attributes under `#attributes`); for
//! JSON, the exact source text of one object; for text, a line without its line end. A byte order
//! mark belongs to the file, not to its first line. Empty lines are no records. What cloud services
//! deliver as one object around a list of events (`{"Records":[...]}`) is one record per event.

mod content;
mod evtx_file;
mod expand;
pub(crate) mod json_objects;
mod kind;
mod leaf;
mod lines;
mod logs;
mod pieces;
mod plan;
mod report;
mod session;
mod why;
pub(crate) mod wrapper;
mod xml_events;

pub use kind::FileKind;
pub use logs::{LogEnd, LogPart, LogVisitor, OpenLog, Place, Stopped, sha256_of, visit_logs};
pub use plan::{Plan, PlannedFile, Problem, plan};
pub use report::{Damage, FileReport, ImportReport, Outcome, Progress, ProgressState};

use crate::SinkError;
use crate::limits::{
    ARCHIVE_MEMBERS_MAX, EXPANDED_BYTES_DEFAULT, EXPANSION_RATIO_MAX, SPOOL_MEMORY_BYTES,
};
use session::Session;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use yagura_event::{Clock, Record, StreamName, SystemClock};

/// Where imported records go. All calls may block; one thread calls `append` and `seal`, another
/// `stream_records`.
pub trait ImportSink: Sync {
    /// Returns when the records are durable, in the order given.
    fn append(&self, stream: &StreamName, records: Vec<Record>) -> Result<(), SinkError>;

    /// How many records `stream` has ever been given and made durable.
    fn stream_records(&self, stream: &StreamName) -> Result<u64, SinkError>;

    /// Says how the records of `stream` are written, before the first of them; the same thread calls
    /// it as `append`. What is said holds until something else is.
    fn describe(&self, stream: &StreamName, written: &Written) -> Result<(), SinkError> {
        let _ = (stream, written);
        Ok(())
    }

    /// Nothing more will come for `stream` now: seal its open batch.
    fn seal(&self, stream: &StreamName) -> Result<(), SinkError>;
}

/// How a file is written, as far as its records do not say it themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The dataset of all its records.
    pub dataset: Option<String>,
    /// IANA zone of times that name none.
    pub zone: Option<String>,
    /// Character encoding.
    pub encoding: Option<String>,
}

impl Written {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Written::default()
    }
}

/// Settings of [`Import::run`].
#[derive(Clone)]
pub struct ImportOptions {
    /// Most expanded bytes from one file on disk.
    pub expanded_bytes_max: u64,
    /// Most expanded bytes per byte of the file on disk.
    pub expansion_ratio_max: u64,
    /// Most members read from one file on disk, those of nested archives included.
    pub archive_members_max: u64,
    /// Expanded files up to this size stay in memory, in bytes.
    pub spool_memory_bytes: usize,
    /// Where larger ones go, as unnamed temporary files; the system's own folder when `None`.
    pub spool_dir: Option<PathBuf>,
    /// Gives records their time of receipt.
    pub clock: Arc<dyn Clock>,
    /// How the files are written. A file in UTF-16 says its encoding itself, unless it is given here.
    pub written: Written,
}

impl Default for ImportOptions {
    fn default() -> Self {
        ImportOptions {
            expanded_bytes_max: EXPANDED_BYTES_DEFAULT,
            expansion_ratio_max: EXPANSION_RATIO_MAX,
            archive_members_max: ARCHIVE_MEMBERS_MAX,
            spool_memory_bytes: SPOOL_MEMORY_BYTES,
            spool_dir: None,
            clock: Arc::new(SystemClock),
            written: Written::default(),
        }
    }
}

/// Imports planned files.
pub struct Import;

impl Import {
    /// Reads every file of `plan` into `sink`, on this thread and one more. Set `cancel` to end
    /// early; what is then durable is a prefix of every file, and running the same import again
    /// goes on from there.
    ///
    /// A damaged file never ends the import: what can be read is read, and the report tells the
    /// rest. Only the sink failing does, see [`Outcome`].
    pub fn run(
        plan: &Plan,
        sink: &impl ImportSink,
        progress: &impl Progress,
        options: &ImportOptions,
        cancel: &AtomicBool,
    ) -> ImportReport {
        Session::run(plan, sink, progress, options, cancel)
    }
}
