//! What a query looked at and what it could pass over.

use crate::cold::ColdProblem;
use crate::file::FileEntry;
use crate::limits::UNREAD_NAMED_MAX;
use crate::progress::Reading;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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

/// What a query could not read: it answers with everything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The cold store, by its URL.
    pub store: Arc<str>,
    /// What is the matter with it.
    pub problem: ColdProblem,
    /// Files that were not read, or not to their end.
    pub files: u64,
    /// Rows of these files, of which some may be in the answer.
    pub rows: u64,
    /// The first of the files, as paths within the store.
    pub names: Vec<String>,
}

#[derive(Debug, Default)]
struct UnreadOf {
    problem: Option<ColdProblem>,
    /// Rows by file: a file may be read in several pieces.
    files: BTreeMap<String, u64>,
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
    /// By store. Shared with looks that are counted apart: what they miss is missing all the same.
    unread: Arc<Mutex<BTreeMap<Arc<str>, UnreadOf>>>,
}

impl Counter {
    /// Another counter, which notes what cannot be read together with this one.
    pub(crate) fn apart(&self) -> Self {
        Counter { unread: self.unread.clone(), ..Counter::default() }
    }

    /// A file of a cold store cannot be read.
    pub(crate) fn unread(&self, store: &Arc<str>, path: &str, rows: u64, problem: &ColdProblem) {
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let of = unread.entry(store.clone()).or_default();
        of.problem.get_or_insert_with(|| problem.clone());
        of.files.insert(path.to_owned(), rows);
    }

    /// What could not be read so far.
    pub(crate) fn all_unread(&self) -> Vec<Unread> {
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(store, of): (&Arc<str>, &UnreadOf)| {
            Some(Unread {
                store: store.clone(),
                problem: of.problem.clone()?,
                files: of.files.len() as u64,
                rows: of.files.values().sum(),
                names: of.files.keys().take(UNREAD_NAMED_MAX).cloned().collect(),
            })
        };
        unread.iter().filter_map(of).collect()
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cold::ColdKind;

    #[test]
    fn files_that_cannot_be_read_are_counted_once_and_named_up_to_the_limit() {
        let counter = Counter::default();
        let problem = ColdProblem { kind: ColdKind::Away, reason: "no route".to_owned() };
        let apart = counter.apart();
        for number in 0..=UNREAD_NAMED_MAX {
            apart.unread(&"s3://a".into(), &format!("part-{number:02}"), 5, &problem);
            apart.unread(&"s3://a".into(), &format!("part-{number:02}"), 5, &problem);
        }
        let unread = counter.all_unread();
        let files = UNREAD_NAMED_MAX as u64 + 1;
        assert_eq!((unread[0].files, unread[0].rows), (files, files * 5));
        assert_eq!((unread.len(), unread[0].names.len()), (1, UNREAD_NAMED_MAX));
    }
}
