//! The table in steps of whole batches, for work that goes through all of it.

use crate::file::FileEntry;
use crate::lake::Lake;
use std::sync::Arc;

/// Some batches that follow each other, and the files that have rows of them. Files may have rows of
/// other batches too; the entries are held so that the files stay while somebody means to read them.
#[derive(Debug, Clone)]
pub struct Window {
    /// The lowest batch.
    pub first: u64,
    /// The highest batch.
    pub last: u64,
    /// Rows of these batches.
    pub rows: u64,
    /// Every file with a row of one of them.
    pub files: Vec<Arc<FileEntry>>,
}

impl Window {
    /// Whether a batch is between the lowest and the highest.
    pub fn has(&self, batch: u64) -> bool {
        (self.first..=self.last).contains(&batch)
    }
}

fn has_any(file: &FileEntry, first: u64, last: u64) -> bool {
    let from = file.batches.partition_point(|rows| rows.batch < first);
    file.batches.get(from).is_some_and(|rows| rows.batch <= last)
}

impl Lake {
    /// The batches from `first` to `last` as they lie now.
    pub fn window(&self, first: u64, last: u64) -> Window {
        let state = self.lock();
        let files = state.files.iter().filter(|file| has_any(file, first, last));
        let files = files.cloned().collect();
        let rows = state.stored.range(first..=last.max(first)).map(|(_, rows)| rows).sum();
        Window { first, last, rows, files }
    }

    /// All batches of the table, ascending, in windows. A window ends where no file goes on, and
    /// otherwise with the batch that makes it `rows_max` rows.
    pub fn windows(&self, rows_max: u64) -> Vec<Window> {
        let (batches, mut files) = {
            let state = self.lock();
            (state.stored.clone(), state.files.to_vec())
        };
        files.retain(|file| !file.batches.is_empty());
        files.sort_by_key(|file| file.batches.first().map(|rows| rows.batch));
        let mut windows: Vec<Window> = Vec::new();
        let mut open: Option<Window> = None;
        let mut coming = files.into_iter().peekable();
        // Files with a batch of the window, or of a later one.
        let mut going: Vec<Arc<FileEntry>> = Vec::new();
        let last_of = |file: &Arc<FileEntry>| file.batches.last().map_or(0, |rows| rows.batch);
        for (batch, rows) in batches {
            let begins = |file: &Arc<FileEntry>| {
                file.batches.first().is_some_and(|rows| rows.batch <= batch)
            };
            while let Some(file) = coming.next_if(begins) {
                going.push(file);
            }
            let window = open.get_or_insert(Window {
                first: batch,
                last: batch,
                rows: 0,
                files: Vec::new(),
            });
            window.last = batch;
            window.rows += rows;
            let ends = going.iter().all(|file| last_of(file) <= batch);
            if ends || window.rows >= rows_max {
                let (first, last) = (window.first, window.last);
                let files = going.iter().filter(|file| has_any(file, first, last));
                window.files = files.cloned().collect();
                windows.extend(open.take());
                going.retain(|file| last_of(file) > batch);
            }
        }
        windows
    }
}
