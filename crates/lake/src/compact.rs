//! Compaction: the files of a partition become fewer and smaller, with the same rows, like beside
//! like. What was received is read back from the new files and judged, batch by batch, before they
//! take the place of the old ones; who knows the roots says whether it is right.

use crate::LakeError;
use crate::file::{BatchRows, FileEntry, Order};
use crate::judge::{BatchHead, StoredLeaves, judge_batches};
use crate::lake::{FileWritten, Lake};
use crate::limits::{
    COMPACT_FILES_MIN, COMPACTED_FILE_BYTES, COMPACTED_FILE_ROWS, PACK_BYTES, PACK_ROWS,
    SORT_BYTES_MAX,
};
use crate::location::Location;
use crate::read::{FileRows, RowsToTake, Source, Wanted, corrupt};
use crate::sort::{AtOnce, Sorter};
use crate::swap::{SwapStep, Swapped};
use crate::writer::{FinishedFile, Layout, NewFile, Place};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use yagura_event::Record;

/// A compacted file with less than this part of the limits is small: it may be compacted again.
const SMALL: u64 = 4;

/// A small compacted file joins others while it has at most so many times their rows; so each row is
/// rewritten a few times only, however often little is added to much.
const JOIN_FACTOR: u64 = 2;

/// Which files are compacted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactRule {
    /// Files in the order of the ledger that make a partition due.
    pub files_min: usize,
    /// The current UTC day, `YYYY-MM-DD`: a partition of an earlier one is due whatever it has.
    pub today: String,
    /// Only this dataset.
    pub dataset: Option<String>,
    /// Only this UTC day of receipt, `YYYY-MM-DD`.
    pub day: Option<String>,
    /// Partitions that are left alone, as dataset and day.
    pub skip: BTreeSet<(String, String)>,
    /// Rows of one step, about: what one commit replaces and one verification goes through.
    pub rows_max: u64,
}

impl CompactRule {
    /// What is due by itself on the UTC day `today`.
    pub fn new(today: String) -> Self {
        CompactRule {
            files_min: COMPACT_FILES_MIN,
            today,
            dataset: None,
            day: None,
            skip: BTreeSet::new(),
            rows_max: COMPACTED_FILE_ROWS,
        }
    }
}

/// Bounds of one compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactLimits {
    /// Memory of rows that wait to be sorted, bytes.
    pub sort_bytes: usize,
    /// Rows at which a file ends.
    pub file_rows: u64,
    /// Bytes at which a file ends, give or take a row group.
    pub file_bytes: usize,
}

impl Default for CompactLimits {
    fn default() -> Self {
        CompactLimits {
            sort_bytes: SORT_BYTES_MAX,
            file_rows: COMPACTED_FILE_ROWS,
            file_bytes: COMPACTED_FILE_BYTES,
        }
    }
}

/// Files of one partition that become one, or as few as their size allows.
#[derive(Debug, Clone)]
pub struct CompactJob {
    /// The dataset.
    pub dataset: Arc<str>,
    /// UTC day of receipt, `YYYY-MM-DD`.
    pub day: String,
    /// Files of this partition.
    pub files: Vec<Arc<FileEntry>>,
}

impl CompactJob {
    /// Rows of all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

/// A moment of a compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompactStep {
    /// So many more rows were read.
    Read(u64),
    /// So many more rows were written.
    Wrote(u64),
    /// The new files are whole and synchronised, under their unfinished names.
    Synced,
    /// So many more records were read back, and hashed.
    Checked(u64),
    /// All of them were, and every batch was judged.
    Verified,
    /// The new files have their names; no commit knows them.
    Renamed,
    /// The commit is durable: the new files are the table's, the old ones are not.
    Committed,
}

/// Who looks on, and judges.
pub trait CompactWatch {
    /// Told of every step. `false` ends the compaction, as long as nothing has its name.
    fn at(&mut self, step: CompactStep) -> bool;

    /// The hash of a record as it comes back from the new files, or from the others that have rows of
    /// its batch. It must depend on everything it is given. Records come in any order.
    fn leaf(&mut self, batch: &BatchHead, index: u32, record: &Record) -> [u8; 32];

    /// Judges a whole batch by the hashes of its records.
    ///
    /// # Errors
    /// Why it is not what was received. The table stays as it is.
    fn verify(&mut self, batch: &StoredLeaves) -> Result<(), String>;
}

/// New files, judged, that are no part of the table yet. Dropped, they are gone again.
#[derive(Debug)]
pub struct PreparedCompaction {
    inputs: Vec<Arc<FileEntry>>,
    outputs: Vec<FinishedFile>,
    rows: u64,
    batches: u64,
}

/// What a compaction did.
#[derive(Debug, Clone, Default)]
pub struct Compacted {
    /// Rows that lie in other files now.
    pub rows: u64,
    /// Batches with such rows, each judged whole.
    pub batches: u64,
    /// Parquet files with their text indexes, and the file of the log last.
    pub files: Vec<FileWritten>,
    /// Files that the table no longer has; they stay on disk until [`Lake::remove_replaced`].
    pub replaced: Vec<FileWritten>,
    /// Version of the commit.
    pub version: u64,
}

impl Lake {
    /// What is due by `rule`, oldest day first, as much as one step may take. Empty when nothing is.
    pub fn compactable(&self, rule: &CompactRule) -> Vec<CompactJob> {
        let mut partitions: BTreeMap<(String, Arc<str>), Vec<Arc<FileEntry>>> = BTreeMap::new();
        for file in self.files() {
            let asked = rule.dataset.as_deref().is_none_or(|dataset| *dataset == *file.dataset)
                && rule.day.as_deref().is_none_or(|day| *day == *file.day);
            if asked && may_be_compacted(&file) {
                let place = (file.day.clone(), file.dataset.clone());
                partitions.entry(place).or_default().push(file);
            }
        }
        let mut jobs: Vec<CompactJob> = Vec::new();
        let mut room = rule.rows_max;
        for ((day, dataset), files) in partitions {
            if rule.skip.contains(&(dataset.to_string(), day.clone())) {
                continue;
            }
            let mut files = due(files, rule.files_min, day < rule.today);
            let mut rows = 0;
            let before = files.len();
            files.retain(|file| {
                rows += file.rows;
                rows <= room
            });
            if files.len() < before && jobs.is_empty() && files.len() < 2 {
                // More than a step may take: as few as make sense, so that it gets done at all.
                files = due(self.files_of(&dataset, &day), rule.files_min, day < rule.today);
                files.truncate(if files.first().is_some_and(in_ledger_order) { 1 } else { 2 });
            }
            let job = CompactJob { dataset, day, files };
            if job.files.len() > 1 || job.files.first().is_some_and(in_ledger_order) {
                room = room.saturating_sub(job.rows());
                jobs.push(job);
            }
            if room == 0 {
                break;
            }
        }
        jobs
    }

    fn files_of(&self, dataset: &str, day: &str) -> Vec<Arc<FileEntry>> {
        let mut files = self.files();
        files.retain(|f| *f.dataset == *dataset && f.day == day && may_be_compacted(f));
        files
    }

    /// Writes the files that take the place of those of `jobs`, and has every batch of them judged.
    /// The table does not change, and nothing waits for this.
    ///
    /// # Errors
    /// [`LakeError::Corrupt`] for a file that is not what the log says, [`LakeError::NotVerified`]
    /// for records that are not what was received, [`LakeError::Cancelled`], or the disk is full:
    /// all new files are gone then, and the old ones are as they were.
    pub fn prepare_compaction(
        &self,
        jobs: &[CompactJob],
        limits: &CompactLimits,
        watch: &mut dyn CompactWatch,
    ) -> Result<PreparedCompaction, LakeError> {
        let name = self.free_name(jobs);
        let mut outputs = Vec::new();
        for job in jobs {
            self.write_job(job, &name, limits, watch, &mut outputs)?;
        }
        tell(watch, CompactStep::Synced)?;
        let inputs: Vec<Arc<FileEntry>> = jobs.iter().flat_map(|job| &job.files).cloned().collect();
        let batches = self.judge(&inputs, &outputs, &BTreeSet::new(), watch)?;
        tell(watch, CompactStep::Verified)?;
        let rows = inputs.iter().map(|file| file.rows).sum();
        Ok(PreparedCompaction { inputs, outputs, rows, batches })
    }

    /// Takes the old files out of the table and the new ones in, with one commit that says that no row
    /// changed.
    ///
    /// # Errors
    /// [`LakeError::Outdated`] when an old file left the table meanwhile; nothing is changed then.
    pub fn publish_compaction(
        &self,
        prepared: PreparedCompaction,
        watch: &mut dyn CompactWatch,
    ) -> Result<Compacted, LakeError> {
        let PreparedCompaction { inputs, outputs, rows, batches } = prepared;
        let swapped = self.swap(inputs, outputs, true, &mut |step| {
            // Too late to stop.
            let _ = watch.at(match step {
                SwapStep::Renamed => CompactStep::Renamed,
                SwapStep::Committed => CompactStep::Committed,
            });
        })?;
        let Swapped { files, replaced, version } = swapped;
        Ok(Compacted { rows, batches, files, replaced, version })
    }

    /// A part of names that no file of these partitions has.
    fn free_name(&self, jobs: &[CompactJob]) -> String {
        let version = self.lock().version + 1;
        let taken = |name: &str| {
            jobs.iter().flat_map(|job| &job.files).any(|file| {
                let directory = file.path.rsplit_once('/').map_or("", |(directory, _)| directory);
                let first = self.root.join(directory).join(format!("part-{name}-0.parquet"));
                !matches!(first.try_exists(), Ok(false))
            })
        };
        loop {
            let name = format!("{version:020}-c{}", self.names.fetch_add(1, Ordering::Relaxed));
            if !taken(&name) {
                return name;
            }
        }
    }

    fn write_job(
        &self,
        job: &CompactJob,
        name: &str,
        limits: &CompactLimits,
        watch: &mut dyn CompactWatch,
        outputs: &mut Vec<FinishedFile>,
    ) -> Result<(), LakeError> {
        let mut sorter = Sorter::new(&self.root, Order::Source, limits.sort_bytes)?;
        for file in &job.files {
            let location = self.location(file);
            check_digest(&location, file)?;
            let mut reader = FileRows::with_columns(&location, &|_| true, &RowsToTake::default())?;
            let mut rows = 0;
            while let Some(part) = reader.next_rows()? {
                rows += part.num_rows() as u64;
                sorter.push(&part)?;
                tell(watch, CompactStep::Read(part.num_rows() as u64))?;
            }
            if rows != file.rows {
                let reason = format!("it has {rows} rows, the table's log says {}", file.rows);
                return Err(corrupt(location.name(), reason));
            }
        }
        let mut sorted = sorter.finish()?;
        let schema = sorted.schema().clone();
        let layout = Layout::Source(self.keep_raw());
        let mut output: Option<NewFile> = None;
        let mut number = 0;
        loop {
            let left = limits.file_rows.saturating_sub(output.as_ref().map_or(0, NewFile::rows));
            let rows = usize::try_from(left).unwrap_or(usize::MAX).clamp(1, PACK_ROWS);
            // A little more, so that they need not wait for others.
            let bytes = PACK_BYTES + PACK_BYTES / 8;
            let part = sorted.next_rows(AtOnce { rows, bytes })?;
            let Some(part) = part else { break };
            let file = match &mut output {
                Some(file) => file,
                None => {
                    let place = Place { dataset: job.dataset.clone(), day: job.day.clone() };
                    let name = format!("{name}-{number}");
                    number += 1;
                    let schema = schema.clone();
                    output.insert(NewFile::create(&self.root, place, &name, schema, layout)?)
                }
            };
            file.write(&part)?;
            let full = file.rows() >= limits.file_rows || file.bytes() >= limits.file_bytes;
            tell(watch, CompactStep::Wrote(part.num_rows() as u64))?;
            if full && let Some(file) = output.take() {
                outputs.push(file.finish()?);
            }
        }
        if let Some(file) = output {
            outputs.push(file.finish()?);
        }
        Ok(())
    }

    /// Reads every batch of the new files back, whole, and has it judged. Answers how many. Those of
    /// `without` are in the old files and must not be in the new ones.
    pub(crate) fn judge(
        &self,
        inputs: &[Arc<FileEntry>],
        outputs: &[FinishedFile],
        without: &BTreeSet<u64>,
        watch: &mut dyn CompactWatch,
    ) -> Result<u64, LakeError> {
        let old = inputs.iter().flat_map(|file| &file.batches);
        let old = counts(old.filter(|rows| !without.contains(&rows.batch)));
        let new = counts(outputs.iter().flat_map(|file| &file.entry.batches));
        if let Some(batch) = old.iter().find(|(batch, rows)| new.get(batch) != Some(rows)) {
            return Err(not_verified(*batch.0, "the new files have another number of its records"));
        }
        let batches: BTreeSet<u64> = new.keys().copied().collect();
        if old.len() != new.len() {
            return Err(not_verified(0, "the new files have batches the old ones had not"));
        }
        let (files, stored) = {
            let state = self.lock();
            let stored: BTreeMap<u64, u64> = batches
                .iter()
                .filter_map(|batch| Some((*batch, *state.stored.get(batch)?)))
                .collect();
            (state.files.clone(), stored)
        };
        let replaced: HashSet<&str> = inputs.iter().map(|file| file.path.as_str()).collect();
        let others = files.iter().filter(|file| !replaced.contains(file.path.as_str()));
        let mut sources: Vec<Source<'_>> = others.map(|file| self.source_of(file)).collect();
        sources.extend(outputs.iter().map(|output| Source {
            location: Location::Local(output.unfinished()),
            batches: &output.entry.batches,
            order: output.entry.order,
        }));
        let mut judged = 0;
        let mut take = |watch: &mut dyn CompactWatch, batch: StoredLeaves| {
            let number = batch.head.batch;
            if stored.get(&number) != Some(&(batch.leaves.len() as u64)) {
                return Err(not_verified(number, "the table has another number of its records"));
            }
            watch.verify(&batch).map_err(|reason| not_verified(number, &reason))?;
            judged += 1;
            Ok(())
        };
        judge_batches(&self.root, &sources, &Wanted::Set(&batches), watch, &mut take)?;
        if judged != batches.len() as u64 {
            return Err(not_verified(0, "not every batch came back"));
        }
        Ok(judged)
    }
}

pub(crate) fn tell(watch: &mut dyn CompactWatch, step: CompactStep) -> Result<(), LakeError> {
    if watch.at(step) { Ok(()) } else { Err(LakeError::Cancelled) }
}

fn not_verified(batch: u64, reason: &str) -> LakeError {
    LakeError::NotVerified { batch, reason: reason.to_owned() }
}

fn counts<'a>(rows: impl Iterator<Item = &'a BatchRows>) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    for rows in rows {
        *counts.entry(rows.batch).or_default() += u64::from(rows.rows);
    }
    counts
}

/// A file without our tags is another writer's: nothing of it can be judged. One in a cold store was
/// compacted before it went there.
fn may_be_compacted(file: &FileEntry) -> bool {
    !file.batches.is_empty() && file.cold.is_none()
}

fn in_ledger_order(file: &Arc<FileEntry>) -> bool {
    file.order == Order::Ledger
}

fn is_small(file: &Arc<FileEntry>) -> bool {
    file.rows < COMPACTED_FILE_ROWS / SMALL && file.bytes < COMPACTED_FILE_BYTES as u64 / SMALL
}

/// The files of a partition that are to be compacted, oldest first; none if it is not due.
fn due(files: Vec<Arc<FileEntry>>, files_min: usize, is_over: bool) -> Vec<Arc<FileEntry>> {
    let (mut chosen, mut compacted): (Vec<_>, Vec<_>) =
        files.into_iter().partition(in_ledger_order);
    compacted.retain(is_small);
    if is_over {
        chosen.append(&mut compacted);
        if chosen.len() == 1 && !chosen.iter().any(in_ledger_order) {
            return Vec::new();
        }
    } else {
        if chosen.len() < files_min.max(1) {
            return Vec::new();
        }
        compacted.sort_by_key(|file| file.rows);
        let mut rows: u64 = chosen.iter().map(|file| file.rows).sum();
        for file in compacted {
            if file.rows <= rows.saturating_mul(JOIN_FACTOR) {
                rows += file.rows;
                chosen.push(file);
            }
        }
    }
    chosen.sort_by_key(|file| file.batches.first().map(|rows| rows.batch));
    chosen
}

/// What is derived from a record is judged by no root: only the digest of its file tells whether it
/// is still what was written. Without this, a change of it would get a new digest, and pass.
pub(crate) fn check_digest(location: &Location, file: &FileEntry) -> Result<(), LakeError> {
    match location.digest()?.0 == file.sha256 {
        true => Ok(()),
        false => Err(corrupt(location.name(), "its SHA-256 is not the one it was written with")),
    }
}
