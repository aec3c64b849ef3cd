//! What a query looked at, what it could pass over, and why.

use crate::cold::ColdProblem;
use crate::file::FileEntry;
use crate::hot::Piece;
use crate::limits::UNREAD_NAMED_MAX;
use crate::progress::Reading;
use crate::prune::Cause;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricValue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use yagura_textindex::limits::BLOCK_ROWS;

/// What one query's scans looked at. Files and rows are known once it has been planned; row groups, and
/// what was not needed any more, once it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScanCounts {
    /// Parquet files of the table.
    pub files: u64,
    /// Files passed over by their dataset, which is the table's partition.
    pub files_passed_by_dataset: u64,
    /// Files passed over by their times.
    pub files_passed_by_time: u64,
    /// Files passed over by their batches: those of other events.
    pub files_passed_by_batch: u64,
    /// Files passed over because no block of theirs has the words.
    pub files_passed_by_text: u64,
    /// Files whose text index is absent or cannot be used although words were asked for.
    pub files_without_index: u64,
    /// Files that were not opened any more: what was found before was enough.
    pub files_not_needed: u64,
    /// Rows of all files.
    pub rows: u64,
    /// Rows passed over by dataset.
    pub rows_passed_by_dataset: u64,
    /// Rows passed over by time.
    pub rows_passed_by_time: u64,
    /// Rows passed over by batch.
    pub rows_passed_by_batch: u64,
    /// Rows passed over because their block does not have the words.
    pub rows_passed_by_text: u64,
    /// Rows of the row groups whose reading began.
    pub rows_read: u64,
    /// Blocks of rows in the text indexes that were asked.
    pub blocks: u64,
    /// Blocks of them that do not have the words.
    pub blocks_passed_by_text: u64,
    /// Row groups of the files that were left to read.
    pub row_groups: u64,
    /// Row groups of them in which no block has the words.
    pub row_groups_passed_by_text: u64,
    /// Row groups passed over by the least and greatest values of their columns.
    pub row_groups_passed_by_statistics: u64,
    /// Row groups whose reading began.
    pub row_groups_read: u64,
    /// Row groups that were not read any more: what was found before was enough.
    pub row_groups_not_needed: u64,
    /// Rows in memory.
    pub hot_rows: u64,
    /// Rows in memory passed over by dataset, time and batch.
    pub hot_rows_passed: u64,
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
    rows: AtomicU64,
    by_dataset: FilesAndRows,
    by_time: FilesAndRows,
    by_batch: FilesAndRows,
    by_text: FilesAndRows,
    without_index: AtomicU64,
    blocks: AtomicU64,
    blocks_by_text: AtomicU64,
    hot_rows: AtomicU64,
    hot_rows_passed: AtomicU64,
    engine: Mutex<Engine>,
    pub(crate) reading: Reading,
    /// By store. Shared with looks that are counted apart: what they miss is missing all the same.
    unread: Arc<Mutex<BTreeMap<Arc<str>, UnreadOf>>>,
}

#[derive(Debug, Default)]
struct FilesAndRows {
    files: AtomicU64,
    rows: AtomicU64,
}

/// What the engine says of its own scans.
#[derive(Debug, Default)]
struct Engine {
    scans: Vec<ExecutionPlanMetricsSet>,
    /// Row groups that scans passed over which are at their end and no longer listed.
    ended: u64,
}

/// A scan of one file among many: at its end only its sum is kept.
#[derive(Debug)]
pub(crate) struct ScanOfOne {
    counter: Arc<Counter>,
    metrics: ExecutionPlanMetricsSet,
}

impl Drop for ScanOfOne {
    fn drop(&mut self) {
        let mut engine = self.counter.engine.lock().unwrap_or_else(PoisonError::into_inner);
        engine.ended += passed_by_statistics(&self.metrics);
    }
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

    /// A scan of these files passes over those with a cause.
    pub(crate) fn files(&self, files: &[Arc<FileEntry>], causes: &[Option<Cause>]) {
        for (file, cause) in files.iter().zip(causes) {
            add(&self.files, 1);
            add(&self.rows, file.rows);
            let by = match cause {
                None => continue,
                Some(Cause::Dataset) => &self.by_dataset,
                Some(Cause::Time) => &self.by_time,
                Some(Cause::Batch) => &self.by_batch,
            };
            add(&by.files, 1);
            add(&by.rows, file.rows);
        }
    }

    /// A scan of these pieces passes over those with a cause.
    pub(crate) fn pieces(&self, pieces: &[Arc<Piece>], causes: &[Option<Cause>]) {
        for (piece, cause) in pieces.iter().zip(causes) {
            let rows = piece.columns.num_rows() as u64;
            add(&self.hot_rows, rows);
            add(&self.hot_rows_passed, if cause.is_some() { rows } else { 0 });
        }
    }

    /// The text index says which rows of a file to read; `None` if it says nothing.
    pub(crate) fn rows(&self, file: &FileEntry, read: Option<&[Range<u64>]>) {
        let Some(read) = read else { return add(&self.without_index, 1) };
        let block = u64::from(BLOCK_ROWS);
        // Stretches of rows are whole blocks, so that none is counted twice.
        let kept: u64 = read.iter().map(|rows| rows.end.div_ceil(block) - rows.start / block).sum();
        let blocks = file.rows.div_ceil(block);
        add(&self.blocks, blocks);
        add(&self.blocks_by_text, blocks.saturating_sub(kept));
        let read: u64 = read.iter().map(|rows| rows.end - rows.start).sum();
        add(&self.by_text.rows, file.rows.saturating_sub(read));
        add(&self.by_text.files, u64::from(read == 0));
    }

    /// A scan by the engine, which counts for itself.
    pub(crate) fn scan(&self, metrics: ExecutionPlanMetricsSet) {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner).scans.push(metrics);
    }

    /// The same of one file, while what is returned lives.
    pub(crate) fn scan_of_one(self: &Arc<Self>, metrics: ExecutionPlanMetricsSet) -> ScanOfOne {
        ScanOfOne { counter: self.clone(), metrics }
    }

    pub(crate) fn counts(&self) -> ScanCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let by_statistics = {
            let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
            engine.ended + engine.scans.iter().map(passed_by_statistics).sum::<u64>()
        };
        let groups = self.reading.groups();
        let read_or_passed = groups.by_text + by_statistics + groups.begun;
        ScanCounts {
            files: get(&self.files),
            files_passed_by_dataset: get(&self.by_dataset.files),
            files_passed_by_time: get(&self.by_time.files),
            files_passed_by_batch: get(&self.by_batch.files),
            files_passed_by_text: get(&self.by_text.files),
            files_without_index: get(&self.without_index),
            files_not_needed: groups.files_unopened,
            rows: get(&self.rows),
            rows_passed_by_dataset: get(&self.by_dataset.rows),
            rows_passed_by_time: get(&self.by_time.rows),
            rows_passed_by_batch: get(&self.by_batch.rows),
            rows_passed_by_text: get(&self.by_text.rows),
            rows_read: self.reading.progress().rows,
            blocks: get(&self.blocks),
            blocks_passed_by_text: get(&self.blocks_by_text),
            row_groups: groups.all,
            row_groups_passed_by_text: groups.by_text,
            row_groups_passed_by_statistics: by_statistics,
            row_groups_read: groups.begun,
            row_groups_not_needed: groups.all.saturating_sub(read_or_passed),
            hot_rows: get(&self.hot_rows),
            hot_rows_passed: get(&self.hot_rows_passed),
        }
    }
}

/// Row groups that the engine passed over by the statistics of their columns.
fn passed_by_statistics(metrics: &ExecutionPlanMetricsSet) -> u64 {
    let metrics = metrics.clone_inner();
    let passed = metrics.iter().map(|metric| match metric.value() {
        MetricValue::PruningMetrics { name, pruning_metrics }
            if name == "row_groups_pruned_statistics" =>
        {
            pruning_metrics.pruned() as u64
        }
        _ => 0,
    });
    passed.sum()
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
