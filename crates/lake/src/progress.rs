//! How far the scans of a query are: files and row groups, as they are read.

use crate::counts::{Counter, ScanCounts, Unread};
use crate::file::FileEntry;
use crate::limits::ROW_GROUP_ROWS;
use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::error::Result;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::file::metadata::ParquetMetaData;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How far the scans of one query are. A file or row group that statistics rule out when the file is
/// opened counts as done; rows in memory are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScanProgress {
    /// Files that are to be read, as planned.
    pub files: u64,
    /// Files that were read to their end, or given up.
    pub files_done: u64,
    /// Row groups of the files that are to be read.
    pub row_groups: u64,
    /// Row groups of them that were read or passed over. The one being read is not among them.
    pub row_groups_done: u64,
    /// Rows of the row groups whose reading has begun.
    pub rows: u64,
}

/// What one query's scans look at and how far they are, while they run. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ScanWatch(pub(crate) Arc<Counter>);

impl ScanWatch {
    /// What is looked at, and what was passed over in planning.
    pub fn counts(&self) -> ScanCounts {
        self.0.counts()
    }

    /// What could not be read so far; all of it once the query has ended.
    pub fn unread(&self) -> Vec<Unread> {
        self.0.all_unread()
    }

    /// How far it is.
    pub fn progress(&self) -> ScanProgress {
        self.0.reading.progress()
    }
}

/// The numbers of [`ScanProgress`].
#[derive(Debug, Default)]
pub(crate) struct Reading {
    files: AtomicU64,
    files_done: AtomicU64,
    groups: AtomicU64,
    groups_done: AtomicU64,
    rows: AtomicU64,
    /// By name; a file may be read in several pieces, one behind the other or at once.
    states: Mutex<HashMap<String, FileState>>,
}

impl Reading {
    /// A scan is going to read these files.
    pub fn plan<'a>(&self, files: impl Iterator<Item = &'a FileEntry>) {
        for file in files {
            self.files.fetch_add(1, Ordering::Relaxed);
            self.groups.fetch_add(row_groups(file.rows), Ordering::Relaxed);
        }
    }

    fn progress(&self) -> ScanProgress {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ScanProgress {
            files: get(&self.files),
            files_done: get(&self.files_done),
            row_groups: get(&self.groups),
            row_groups_done: get(&self.groups_done),
            rows: get(&self.rows),
        }
    }
}

/// Row groups of a file of ours with so many rows.
fn row_groups(rows: u64) -> u64 {
    rows.div_ceil(ROW_GROUP_ROWS as u64)
}

/// Hands out readers that tell how far they are.
#[derive(Debug)]
pub(crate) struct WatchedReaders<F> {
    inner: F,
    counter: Arc<Counter>,
}

/// What is known of a file. The engine opens one several times: for its footer, and for its pages.
#[derive(Debug, Default)]
struct FileState {
    readers: usize,
    groups: u64,
    begun: BTreeSet<usize>,
    /// Row groups already counted as done.
    counted: u64,
    done: bool,
}

impl<F> WatchedReaders<F> {
    pub fn new(inner: F, counter: Arc<Counter>) -> Self {
        WatchedReaders { inner, counter }
    }
}

impl<F: ParquetFileReaderFactory> ParquetFileReaderFactory for WatchedReaders<F> {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let name = file.object_meta.location.to_string();
        let inner = self.inner.create_reader(partition, file, metadata_size_hint, metrics)?;
        let counter = self.counter.clone();
        let reader = WatchedReader { inner, name, counter, groups: Vec::new() };
        reader.change(|state| {
            state.readers += 1;
            state.done = false;
        });
        Ok(Box::new(reader))
    }
}

struct WatchedReader {
    inner: Box<dyn AsyncFileReader + Send>,
    name: String,
    counter: Arc<Counter>,
    /// First byte and rows of each row group, ascending; empty before the footer is known.
    groups: Vec<(u64, u64)>,
}

impl WatchedReader {
    /// Changes what is known of the file, and the numbers by what that means.
    fn change(&self, change: impl FnOnce(&mut FileState)) {
        let reading = &self.counter.reading;
        let mut files = reading.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = files.entry(self.name.clone()).or_default();
        let was_done = state.done;
        change(state);
        // Row groups are read in order: of those begun, all but the last are done.
        let begun = state.begun.len() as u64;
        let done = if state.done { state.groups } else { begun.saturating_sub(1) };
        shift(&reading.groups_done, state.counted, done);
        shift(&reading.files_done, u64::from(was_done), u64::from(state.done));
        state.counted = done;
    }

    /// Bytes from here on are asked for.
    fn at(&self, start: u64) {
        let after = self.groups.partition_point(|(first, _)| *first <= start);
        let Some((group, (_, rows))) =
            after.checked_sub(1).and_then(|at| Some((at, self.groups.get(at)?)))
        else {
            return;
        };
        self.change(|state| {
            if state.begun.insert(group) {
                self.counter.reading.rows.fetch_add(*rows, Ordering::Relaxed);
            }
        });
    }
}

fn shift(counter: &AtomicU64, before: u64, after: u64) {
    if after >= before {
        counter.fetch_add(after - before, Ordering::Relaxed);
    } else {
        counter.fetch_sub(before - after, Ordering::Relaxed);
    }
}

impl AsyncFileReader for WatchedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.at(range.start);
        self.inner.get_bytes(range)
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        if let Some(range) = ranges.first() {
            self.at(range.start);
        }
        self.inner.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let metadata = self.inner.get_metadata(options).await?;
            let first = |group: &parquet::file::metadata::RowGroupMetaData| {
                let starts = group.columns().iter().map(|column| column.byte_range().0);
                (starts.min().unwrap_or_default(), group.num_rows().unsigned_abs())
            };
            self.groups = metadata.row_groups().iter().map(first).collect();
            let groups = self.groups.len() as u64;
            self.change(|state| state.groups = groups);
            Ok(metadata)
        }
        .boxed()
    }
}

impl Drop for WatchedReader {
    fn drop(&mut self) {
        self.change(|state| {
            state.readers = state.readers.saturating_sub(1);
            state.done = state.readers == 0;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_ours_has_as_many_row_groups_as_its_rows_fill() {
        let rows = ROW_GROUP_ROWS as u64;
        assert_eq!([0, 1, rows, rows + 1].map(row_groups), [0, 1, 1, 2]);
    }
}
