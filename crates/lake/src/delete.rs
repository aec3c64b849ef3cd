//! Deletion of whole batches: files of which every row goes leave the table, files with rows of
//! others are written anew without them, with one commit. What is left is read back and judged before.
//!
//! The salts of the batches lie in their rows and nowhere else here: once the files that left the
//! table are gone from disk, what the ledger keeps says nothing about what it covered.

use crate::LakeError;
use crate::compact::{CompactStep, CompactWatch, check_digest, tell};
use crate::file::{FileEntry, Order};
use crate::hot::batch_numbers;
use crate::lake::{FileWritten, Lake};
use crate::read::{FileRows, RowsToTake};
use crate::swap::SwapStep;
use crate::writer::{FinishedFile, Layout, NewFile, Place};
use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What is left of files without some batches, judged, that is no part of the table yet. Dropped, it is
/// gone again.
#[derive(Debug)]
pub struct PreparedDeletion {
    batches: BTreeSet<u64>,
    rows: u64,
    old: Vec<Arc<FileEntry>>,
    new: Vec<FinishedFile>,
}

/// What a deletion did.
#[derive(Debug, Clone, Default)]
pub struct Deleted {
    /// Rows that left the table.
    pub rows: u64,
    /// Parquet files with their text indexes, and the file of the log last.
    pub files: Vec<FileWritten>,
    /// Files that the table no longer has; they stay on disk until [`Lake::remove_replaced`].
    pub replaced: Vec<FileWritten>,
    /// Version of the commit, if there was one.
    pub version: Option<u64>,
}

impl PreparedDeletion {
    /// Rows that would go.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl Lake {
    /// Every file with a row of one of `batches`.
    pub fn files_with(&self, batches: &BTreeSet<u64>) -> Vec<Arc<FileEntry>> {
        let has = |file: &Arc<FileEntry>| file.batches.iter().any(|b| batches.contains(&b.batch));
        self.files().into_iter().filter(has).collect()
    }

    /// Writes what is left of the files that have rows of `batches`. Files that have nothing else are
    /// not read. Nothing waits for this; the table stays as it is.
    ///
    /// # Errors
    /// When a file that is to be written anew does not read, is not what it was, or does not give back
    /// the other batches as `watch` knows them.
    pub fn prepare_deletion(
        &self,
        batches: &BTreeSet<u64>,
        watch: &mut dyn CompactWatch,
    ) -> Result<PreparedDeletion, LakeError> {
        let old = self.files_with(batches);
        let version = self.lock().version;
        let id = self.new_flush_id(version + 1, self.clock.now().as_micros());
        let id = format!("{id}-d{}", self.names.fetch_add(1, Ordering::Relaxed));
        let (mut mixed, mut new) = (Vec::new(), Vec::new());
        let mut rows = 0;
        for (number, file) in old.iter().enumerate() {
            let going = file.batches.iter().filter(|b| batches.contains(&b.batch));
            let going: u64 = going.map(|b| u64::from(b.rows)).sum();
            rows += going;
            if going == file.rows {
                continue;
            }
            mixed.push(file.clone());
            new.extend(self.left_of(batches, file, &format!("{id}-{number}"), watch)?);
        }
        tell(watch, CompactStep::Synced)?;
        self.judge(&mixed, &new, batches, watch)?;
        tell(watch, CompactStep::Verified)?;
        Ok(PreparedDeletion { batches: batches.clone(), rows, old, new })
    }

    /// Whether the files are still those of the table that have rows of the batches: a compaction may
    /// have taken what they had into others.
    pub fn is_current(&self, prepared: &PreparedDeletion) -> bool {
        let now = self.files_with(&prepared.batches);
        let place = |file: &Arc<FileEntry>| file.place();
        now.iter().map(place).collect::<BTreeSet<_>>()
            == prepared.old.iter().map(place).collect::<BTreeSet<_>>()
    }

    /// Takes the batches out of the table, with one commit.
    ///
    /// Order: the new files get their names, durably; one commit, synchronised; then queries see the
    /// new ones. A crash leaves all of the batches or none, and files that no commit names
    /// ([`crate::OpenReport::orphans`]).
    ///
    /// # Errors
    /// [`LakeError::Outdated`] when an old file left the table meanwhile, or a new one has rows of the
    /// batches; nothing is changed then.
    pub fn publish_deletion(
        &self,
        prepared: PreparedDeletion,
        watch: &mut dyn CompactWatch,
    ) -> Result<Deleted, LakeError> {
        if !self.is_current(&prepared) {
            let first = prepared.old.first().map(|file| file.path.clone());
            return Err(LakeError::Outdated(first.unwrap_or_default()));
        }
        let PreparedDeletion { rows, old, new, .. } = prepared;
        if old.is_empty() {
            return Ok(Deleted::default());
        }
        let swapped = self.swap(old, new, false, &mut |step| {
            // Too late to stop.
            let _ = watch.at(match step {
                SwapStep::Renamed => CompactStep::Renamed,
                SwapStep::Committed => CompactStep::Committed,
            });
        })?;
        Ok(Deleted {
            rows,
            files: swapped.files,
            replaced: swapped.replaced,
            version: Some(swapped.version),
        })
    }

    /// The rows of a file that are of other batches, in the same order.
    fn left_of(
        &self,
        batches: &BTreeSet<u64>,
        file: &FileEntry,
        name: &str,
        watch: &mut dyn CompactWatch,
    ) -> Result<Option<FinishedFile>, LakeError> {
        let location = self.location(file);
        check_digest(&location, file)?;
        let mut reader = FileRows::with_columns(&location, &|_| true, &RowsToTake::default())?;
        let layout = match file.order {
            Order::Ledger => Layout::Ledger,
            Order::Source => Layout::Source(self.keep_raw()),
        };
        let mut left: Option<NewFile> = None;
        while let Some(part) = reader.next_rows()? {
            tell(watch, CompactStep::Read(part.num_rows() as u64))?;
            let part = without(part, batches)?;
            if part.num_rows() == 0 {
                continue;
            }
            let left = match &mut left {
                Some(left) => left,
                None => {
                    let place = Place { dataset: file.dataset.clone(), day: file.day.clone() };
                    let schema = part.schema();
                    left.insert(NewFile::create(&self.root, place, name, schema, layout)?)
                }
            };
            left.write(&part)?;
            tell(watch, CompactStep::Wrote(part.num_rows() as u64))?;
        }
        left.map(NewFile::finish).transpose()
    }
}

fn without(part: RecordBatch, batches: &BTreeSet<u64>) -> Result<RecordBatch, LakeError> {
    let numbers = batch_numbers(&part)?;
    let stays = |batch: &i64| !u64::try_from(*batch).is_ok_and(|batch| batches.contains(&batch));
    let keep: Vec<bool> = numbers.iter().map(stays).collect();
    match keep.contains(&false) {
        true => Ok(filter_record_batch(&part, &keep.into())?),
        false => Ok(part),
    }
}
