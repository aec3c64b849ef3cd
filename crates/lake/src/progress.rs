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

/// Row groups of the files that are to be read, by what became of them.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub all: u64,
    /// No row of them is asked for.
    pub by_text: u64,
    pub begun: u64,
    pub files_unopened: u64,
}

impl Reading {
    /// A scan is going to read these rows of a file (`None` for all), which the engine calls `name`.
    pub fn plan(&self, name: String, file: &FileEntry, rows: Option<&[Range<u64>]>) {
        let groups = row_groups(file.rows);
        self.files.fetch_add(1, Ordering::Relaxed);
        self.groups.fetch_add(groups, Ordering::Relaxed);
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = states.entry(name).or_default();
        let ends = (1..=groups).map(|number| file.rows.min(number * ROW_GROUP_ROWS as u64));
        (state.groups, state.rows) = (groups, rows.map(<[_]>::to_vec));
        state.by_text = state.unasked(ends);
    }

    /// What became of the row groups so far. Those of a file that was never opened are counted as its rows
    /// fill them.
    pub fn groups(&self) -> Groups {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Groups::default();
        for state in states.values() {
            all.all += state.groups;
            all.by_text += state.by_text;
            all.begun += state.begun.len() as u64;
            all.files_unopened += u64::from(!state.opened);
        }
        all
    }

    pub fn progress(&self) -> ScanProgress {
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
    opened: bool,
    groups: u64,
    /// First byte, last byte and rows of each row group, ascending; empty before the footer is known.
    layout: Vec<(u64, u64, u64)>,
    /// The rows that are asked for; `None` for all.
    rows: Option<Vec<Range<u64>>>,
    /// Row groups with none of them.
    by_text: u64,
    begun: BTreeSet<usize>,
    /// Row groups already counted as done.
    counted: u64,
    done: bool,
}

impl FileState {
    /// How many of the row groups that end before these rows have no row that is asked for.
    fn unasked(&self, ends: impl Iterator<Item = u64>) -> u64 {
        let Some(rows) = &self.rows else { return 0 };
        let (mut start, mut unasked) = (0, 0);
        for end in ends {
            // Stretches are in order: the first that ends behind the start is the one to look at.
            let next = rows.get(rows.partition_point(|rows| rows.end <= start));
            unasked += u64::from(next.is_none_or(|rows| rows.start >= end));
            start = end;
        }
        unasked
    }
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
        let reader = WatchedReader { inner, name, counter };
        reader.change(|state| {
            state.readers += 1;
            state.opened = true;
            state.done = false;
        });
        Ok(Box::new(reader))
    }
}

struct WatchedReader {
    inner: Box<dyn AsyncFileReader + Send>,
    name: String,
    counter: Arc<Counter>,
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

    /// Bytes from here on are asked for. The footer may have been read by another reader of the file:
    /// where there are conditions, the engine looks for bloom filters with the first one.
    fn at(&self, start: u64) {
        self.change(|state| {
            let after = state.layout.partition_point(|(first, ..)| *first <= start);
            let group = after.checked_sub(1);
            let Some((group, (_, last, rows))) =
                group.and_then(|group| Some((group, *state.layout.get(group)?)))
            else {
                return;
            };
            // Behind the last row group lie indexes of pages, and the footer.
            if start <= last && state.begun.insert(group) {
                self.counter.reading.rows.fetch_add(rows, Ordering::Relaxed);
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
            let place = |group: &parquet::file::metadata::RowGroupMetaData| {
                let columns = group.columns().iter().map(|column| column.byte_range());
                let (first, end) = columns.fold((u64::MAX, 0), |(first, end), (start, length)| {
                    (first.min(start), end.max(start.saturating_add(length)))
                });
                (first, end.saturating_sub(1), group.num_rows().unsigned_abs())
            };
            let layout: Vec<_> = metadata.row_groups().iter().map(place).collect();
            let ends = layout.iter().scan(0, |end, (.., rows)| {
                *end += rows;
                Some(*end)
            });
            let ends: Vec<u64> = ends.collect();
            self.change(|state| {
                state.groups = layout.len() as u64;
                state.by_text = state.unasked(ends.into_iter());
                state.layout = layout;
            });
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

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "one stretch is meant")]
    fn row_groups_without_a_row_that_is_asked_for_are_counted() {
        let unasked = |rows: Option<Vec<Range<u64>>>| {
            let state = FileState { rows, ..FileState::default() };
            state.unasked([10, 20, 25].into_iter())
        };
        assert_eq!(unasked(None), 0);
        assert_eq!(unasked(Some(vec![])), 3);
        assert_eq!(unasked(Some(vec![3..4, 9..10])), 2);
        assert_eq!(unasked(Some(vec![9..11])), 1);
        assert_eq!(unasked(Some(vec![0..1, 24..25])), 1);
        assert_eq!(unasked(Some(vec![0..25])), 0);
    }
}
