use super::FileKind;
use crate::SinkError;
use crate::limits::DAMAGES_TOLD_MAX;
use serde::Serialize;
use yagura_event::{StreamName, Words};

/// What an import did.
#[derive(Debug, Clone)]
pub struct ImportReport {
    /// Each file read, those inside archives one by one, in the order read.
    pub files: Vec<FileReport>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an import ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outcome {
    /// Every file was read to its end.
    Done,
    /// It was asked to end early; the same import resumes where it stopped.
    Cancelled,
    /// The sink failed; the same import resumes where it stopped.
    Failed(SinkError),
}

/// What became of one file.
#[derive(Debug, Clone, Serialize)]
pub struct FileReport {
    /// Path, and within archives `archive!member`: what the records name as their peer.
    pub path: String,
    /// What it is; `None` when it was not read.
    pub kind: Option<FileKind>,
    /// SHA-256 of the (expanded) content, lowercase hexadecimal; empty when it was not read.
    pub sha256: String,
    /// The stream its records are in; `None` when it has none.
    pub stream: Option<StreamName>,
    /// Size of the (expanded) content, in bytes.
    pub bytes: u64,
    /// Records added by this import.
    pub records_added: u64,
    /// Records that an earlier import had added.
    pub records_already_there: u64,
    /// Records longer than [`crate::limits::IMPORT_RECORD_BYTES_MAX`], cut there.
    pub records_cut: u64,
    /// Damaged places, and JSON texts that are no JSON (which are kept as records all the same).
    pub damaged: u64,
    /// The first [`DAMAGES_TOLD_MAX`] of them.
    pub damages: Vec<Damage>,
    /// Why it was not read at all.
    pub skipped: Option<Words>,
    /// It was not read because it is no log, which is in order: nothing is missing.
    pub no_log: bool,
}

/// A damaged place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Where: a byte offset of the (expanded) content, a chunk or a line.
    pub place: Words,
    /// What is wrong, and what became of it.
    pub reason: Words,
}

impl ImportReport {
    /// Records added, over all files.
    pub fn records_added(&self) -> u64 {
        self.files.iter().map(|file| file.records_added).sum()
    }

    /// Records that were there already, over all files.
    pub fn records_already_there(&self) -> u64 {
        self.files.iter().map(|file| file.records_already_there).sum()
    }

    /// Logs and archives that could not be read or were refused; what is no log does not count.
    pub fn unread(&self) -> usize {
        self.files.iter().filter(|file| file.skipped.is_some() && !file.no_log).count()
    }

    /// Damaged places, over all files.
    pub fn damaged(&self) -> u64 {
        self.files.iter().map(|file| file.damaged).sum()
    }
}

impl FileReport {
    pub(super) fn new(path: &str) -> Self {
        FileReport {
            path: path.to_owned(),
            kind: None,
            sha256: String::new(),
            stream: None,
            bytes: 0,
            records_added: 0,
            records_already_there: 0,
            records_cut: 0,
            damaged: 0,
            damages: Vec::new(),
            skipped: None,
            no_log: false,
        }
    }

    pub(super) fn damage(&mut self, place: Words, reason: Words) {
        self.damaged += 1;
        if self.damages.len() < DAMAGES_TOLD_MAX {
            self.damages.push(Damage { place, reason });
        }
    }
}

/// How far an import is.
#[derive(Debug, Clone, Copy)]
pub struct ProgressState<'a> {
    /// Files on disk read to their end.
    pub files_done: u64,
    /// Files on disk to read.
    pub files_total: u64,
    /// Bytes on disk dealt with.
    pub bytes_done: u64,
    /// Bytes on disk to deal with.
    pub bytes_total: u64,
    /// Records made durable by this import.
    pub records: u64,
    /// Records made durable per second since the import began.
    pub records_per_second: f64,
    /// The file being read.
    pub file: &'a str,
}

/// Hears how far an import is, several times a second at most while it reads.
pub trait Progress: Sync {
    /// Called on the importing thread; should return quickly.
    fn update(&self, state: &ProgressState<'_>);
}

/// Hears nothing.
impl Progress for () {
    fn update(&self, _: &ProgressState<'_>) {}
}
