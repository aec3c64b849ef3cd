//! What a query looked at and what it could pass over.

use crate::file::FileEntry;
use crate::progress::Reading;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one query's scans of files looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScanCounts {
    /// Parquet files of the table.
    pub files: u64,
    /// Files passed over by their dataset, times and batches.
    pub files_passed_by_log: u64,
    /// Files passed over because no block of theirs has the words.
    pub files_passed_by_text: u64,
    /// Files whose text index is absent or cannot be used although words were asked for.
    pub files_without_index: u64,
    /// Rows of all files.
    pub rows: u64,
    /// Rows passed over by dataset, times and batches.
    pub rows_passed_by_log: u64,
    /// Rows passed over because their block does not have the words.
    pub rows_passed_by_text: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counter {
    files: AtomicU64,
    files_by_log: AtomicU64,
    files_by_text: AtomicU64,
    without_index: AtomicU64,
    rows: AtomicU64,
    rows_by_log: AtomicU64,
    rows_by_text: AtomicU64,
    pub(crate) reading: Reading,
}

impl Counter {
    /// A scan of `all` files looks at those `kept`.
    pub(crate) fn files(&self, all: &[Arc<FileEntry>], kept: &[Arc<FileEntry>]) {
        let rows = |files: &[Arc<FileEntry>]| files.iter().map(|file| file.rows).sum::<u64>();
        add(&self.files, all.len() as u64);
        add(&self.files_by_log, (all.len() - kept.len()) as u64);
        add(&self.rows, rows(all));
        add(&self.rows_by_log, rows(all) - rows(kept));
    }

    /// The text index says which rows of a file to read; `None` if it says nothing.
    pub(crate) fn rows(&self, file: &FileEntry, read: Option<&[Range<u64>]>) {
        let Some(read) = read else { return add(&self.without_index, 1) };
        let read: u64 = read.iter().map(|rows| rows.end - rows.start).sum();
        add(&self.rows_by_text, file.rows.saturating_sub(read));
        add(&self.files_by_text, u64::from(read == 0));
    }

    pub(crate) fn counts(&self) -> ScanCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ScanCounts {
            files: get(&self.files),
            files_passed_by_log: get(&self.files_by_log),
            files_passed_by_text: get(&self.files_by_text),
            files_without_index: get(&self.without_index),
            rows: get(&self.rows),
            rows_passed_by_log: get(&self.rows_by_log),
            rows_passed_by_text: get(&self.rows_by_text),
        }
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
