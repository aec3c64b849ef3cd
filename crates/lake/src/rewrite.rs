//! Other columns for events that are stored already: the rows of some events are replaced, flush by
//! flush, each with one commit. What was received stays byte for byte: a row whose record differs
//! from the stored one is refused.

use crate::LakeError;
use crate::columns::fit;
use crate::delta::DeltaLog;
use crate::file::FileEntry;
use crate::hot::{batch_numbers, conform, longs, micros, split_by, union_schema};
use crate::lake::{FileWritten, Lake};
use crate::limits::HISTORY_ROWS;
use crate::read::{corrupt, guarded, open};
use crate::text_index::remove_with_index;
use crate::writer::{FileRows, write_file};
use arrow::array::{Array, RecordBatch};
use arrow::compute::{cast, filter_record_batch, interleave_record_batch};
use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use yagura_event::{EventBatch, UtcMicros, columns as envelope};

/// Columns of the record itself, which no rewriting may change.
const RECORD: [&str; 6] = [
    envelope::INGESTED,
    envelope::ORIGINAL,
    envelope::STREAM,
    envelope::TRANSPORT,
    envelope::PEER,
    envelope::IDENTITY,
];

/// What [`Lake::rewrite`] did.
#[derive(Debug, Clone, Default)]
pub struct RewriteReport {
    /// Rows that were replaced.
    pub rows: u64,
    /// Parquet files with their text indexes, and the file of the log last.
    pub files: Vec<FileWritten>,
    /// Files that the table no longer has; they stay on disk until [`Lake::remove_replaced`].
    pub replaced: Vec<FileWritten>,
    /// Version of the commit, if there was one.
    pub version: Option<u64>,
}

/// A file that left the table, for as long as a query may still read it.
#[derive(Debug)]
pub(crate) struct Replaced {
    file: Arc<FileEntry>,
    at: UtcMicros,
}

impl Lake {
    /// Puts `rows` in the place of the stored rows of the same events, which are all of `flush`
    /// ([`FileEntry::flush`]). They may be of other datasets than before.
    ///
    /// Order: new files written, synchronised, renamed; one commit that takes the old files out and
    /// the new ones in, synchronised; then queries see the new ones. A crash leaves all old rows or
    /// all new ones, and files that no commit names ([`crate::OpenReport::orphans`]).
    ///
    /// # Errors
    ///
    /// [`LakeError::NotTheRecord`] when a row is of no event of the flush, or its record is not the
    /// stored one; nothing is changed then.
    pub fn rewrite(&self, flush: &str, rows: Vec<EventBatch>) -> Result<RewriteReport, LakeError> {
        let mut flushing = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let (new, old) = {
            let mut state = self.lock();
            let mut columns = state.columns.clone();
            let mut new = Vec::with_capacity(rows.len());
            for batch in &rows {
                new.push((batch.dataset.clone(), fit(&mut columns, &batch.columns)?));
            }
            state.columns = columns;
            let of_flush = |file: &&Arc<FileEntry>| file.flush == flush;
            (new, state.files.iter().filter(of_flush).cloned().collect::<Vec<_>>())
        };
        let mut places = Places::default();
        for (number, (_, part)) in new.iter().enumerate() {
            places.add(number, part)?;
        }
        if places.is_empty() {
            return Ok(RewriteReport::default());
        }
        let (mut kept, mut replaced) = (Vec::new(), Vec::new());
        for file in &old {
            if !places.may_be_in(file) {
                continue;
            }
            let before = places.found.len();
            let parts = read_all(&self.root.join(&file.path), |part| places.leave(&new, part))?;
            if places.found.len() > before {
                kept.extend(parts.into_iter().map(|part| (file.dataset.clone(), part)));
                replaced.push(file.clone());
            }
        }
        if places.found.len() != places.rows.len() {
            return Err(LakeError::NotTheRecord(places.missing()));
        }
        let name = self.new_flush_id(flushing.log.version() + 1, now.as_micros());
        let name = format!("{flush}-r{name}");
        let mut files = Vec::new();
        for rows in grouped(kept.into_iter().chain(new))? {
            match write_file(&self.root, &rows, &name) {
                Ok(file) => files.push(FileEntry { flush: flush.to_owned(), ..file }),
                Err(error) => {
                    self.remove_unpublished(&files);
                    return Err(error);
                }
            }
        }
        let columns = self.columns();
        let millis = now.as_micros().div_euclid(1_000);
        let committed = flushing.log.replace(&replaced, &files, &columns, millis);
        let version = match committed {
            Ok(version) => version,
            Err(error) => {
                let path = self.root.join(DeltaLog::commit_path(flushing.log.version() + 1));
                if matches!(path.try_exists(), Ok(false)) {
                    self.remove_unpublished(&files);
                }
                return Err(error);
            }
        };
        let mut report = RewriteReport {
            rows: places.found.len() as u64,
            files: files.iter().flat_map(|file| self.written(file)).collect(),
            replaced: replaced.iter().flat_map(|file| self.written(file)).collect(),
            version: Some(version),
        };
        report.files.push(self.log_file(version)?);
        let gone: HashSet<&str> = replaced.iter().map(|file| file.path.as_str()).collect();
        {
            let mut state = self.lock();
            let list = Arc::make_mut(&mut state.files);
            list.retain(|file| !gone.contains(file.path.as_str()));
            list.extend(files.into_iter().map(Arc::new));
            state.version = version;
        }
        let mut waiting = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(replaced.into_iter().map(|file| Replaced { file, at: now }));
        Ok(report)
    }

    fn remove_unpublished(&self, files: &[FileEntry]) {
        for file in files {
            // Whatever stays is an orphan, which the next start removes.
            let _ = remove_with_index(&self.root, &file.path);
        }
    }

    /// Files that left the table before `before` and that no picture of it holds any more.
    pub fn replaced_before(&self, before: UtcMicros) -> Vec<FileWritten> {
        let waiting = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        let old = waiting
            .iter()
            .filter(|replaced| replaced.at < before && Arc::strong_count(&replaced.file) == 1);
        old.flat_map(|replaced| self.written(&replaced.file)).collect()
    }

    /// Removes from disk a file that [`Lake::replaced_before`] named, by the path it was named with.
    /// A text index goes with its Parquet file, so naming it removes nothing yet.
    pub fn remove_replaced(&self, path: &str) -> Result<(), LakeError> {
        let mut waiting = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        let found = waiting.iter().position(|known| self.reported_path(&known.file.path) == path);
        let Some(found) = found else { return Ok(()) };
        let relative = waiting.swap_remove(found).file.path.clone();
        remove_with_index(&self.root, &relative)
            .map_err(|source| LakeError::Io { path: self.root.join(relative), source })
    }

    /// The flushes of the table, in the order of their oldest batch, each with its files.
    pub fn flushes(&self) -> Vec<(String, Vec<Arc<FileEntry>>)> {
        let mut flushes: HashMap<String, Vec<Arc<FileEntry>>> = HashMap::new();
        for file in self.files().into_iter().filter(|file| !file.batches.is_empty()) {
            flushes.entry(file.flush.clone()).or_default().push(file);
        }
        let mut flushes: Vec<_> = flushes.into_iter().collect();
        flushes.sort_by_key(|(_, files)| {
            files.iter().filter_map(|file| file.batches.first()).map(|rows| rows.batch).min()
        });
        flushes
    }
}

/// Where each new row is: part and row, by batch and index.
#[derive(Default)]
struct Places {
    rows: HashMap<(i64, i64), (usize, usize)>,
    batches: HashSet<u64>,
    found: HashSet<(i64, i64)>,
}

impl Places {
    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn add(&mut self, number: usize, part: &RecordBatch) -> Result<(), LakeError> {
        let batches = batch_numbers(part)?;
        let indexes = longs(part, envelope::INDEX)?;
        for (row, batch) in batches.into_iter().enumerate() {
            self.batches.insert(batch.unsigned_abs());
            if self.rows.insert((batch, indexes.value(row)), (number, row)).is_some() {
                return Err(LakeError::NotTheRecord(format!(
                    "{batch}/{} comes twice",
                    indexes.value(row)
                )));
            }
        }
        Ok(())
    }

    fn may_be_in(&self, file: &FileEntry) -> bool {
        file.batches.iter().any(|rows| self.batches.contains(&rows.batch))
    }

    /// The rows of `part` that are not replaced. Those that are must be of the same record.
    fn leave(
        &mut self,
        new: &[(Arc<str>, RecordBatch)],
        part: RecordBatch,
    ) -> Result<RecordBatch, LakeError> {
        let batches = batch_numbers(&part)?;
        let indexes = longs(&part, envelope::INDEX)?.clone();
        let mut pairs: Vec<(usize, usize, usize)> = Vec::new();
        let mut keep = Vec::with_capacity(batches.len());
        for (row, batch) in batches.iter().enumerate() {
            let place = (*batch, indexes.value(row));
            let found = self.rows.get(&place);
            keep.push(found.is_none());
            if let Some(&(number, new_row)) = found {
                self.found.insert(place);
                pairs.push((row, number, new_row));
            }
        }
        if pairs.is_empty() {
            return Ok(part);
        }
        check_records(&part, new, &pairs)?;
        Ok(filter_record_batch(&part, &keep.into_iter().map(Some).collect())?)
    }

    fn missing(&self) -> String {
        let missing = self.rows.keys().find(|place| !self.found.contains(*place));
        missing.map_or_else(String::new, |(batch, index)| {
            format!("{batch}/{index} is not stored there")
        })
    }
}

/// Every pair of old and new row must be of the same record.
fn check_records(
    old: &RecordBatch,
    new: &[(Arc<str>, RecordBatch)],
    pairs: &[(usize, usize, usize)],
) -> Result<(), LakeError> {
    for name in RECORD {
        let plain = |rows: &RecordBatch| {
            let column = rows.column_by_name(name).ok_or(LakeError::Envelope(name))?;
            let kind = match name {
                envelope::ORIGINAL => DataType::Binary,
                envelope::INGESTED => return Ok(column.clone()),
                _ => DataType::Utf8,
            };
            Ok::<_, LakeError>(cast(column, &kind)?)
        };
        let before = plain(old)?;
        let mut after = HashMap::new();
        for (row, number, new_row) in pairs {
            if !after.contains_key(number) {
                let part = new.get(*number).ok_or(LakeError::Envelope(name))?;
                after.insert(*number, plain(&part.1)?);
            }
            let Some(after) = after.get(number) else { continue };
            if before.slice(*row, 1).to_data() != after.slice(*new_row, 1).to_data() {
                return Err(LakeError::NotTheRecord(format!("{name} of row {row} would change")));
            }
        }
    }
    Ok(())
}

/// All rows of a file, each part gone through `take`.
fn read_all(
    path: &Path,
    mut take: impl FnMut(RecordBatch) -> Result<RecordBatch, LakeError>,
) -> Result<Vec<RecordBatch>, LakeError> {
    let mut reader = guarded(path, || {
        let builder = ParquetRecordBatchReaderBuilder::try_new(open(path)?)
            .map_err(|error| corrupt(path, error))?;
        builder.with_batch_size(HISTORY_ROWS).build().map_err(|error| corrupt(path, error))
    })?;
    let mut parts = Vec::new();
    while let Some(part) =
        guarded(path, || reader.next().transpose().map_err(|error| corrupt(path, error)))?
    {
        let part = take(part)?;
        if part.num_rows() > 0 {
            parts.push(part);
        }
    }
    Ok(parts)
}

/// Rows as files: by dataset and day of receipt, in ledger order.
fn grouped(
    parts: impl Iterator<Item = (Arc<str>, RecordBatch)>,
) -> Result<Vec<FileRows>, LakeError> {
    const DAY_MICROS: i64 = 86_400_000_000;
    let mut files: BTreeMap<(Arc<str>, i64), Vec<RecordBatch>> = BTreeMap::new();
    for (dataset, part) in parts {
        let received = micros(&part, envelope::INGESTED)?;
        let days: Vec<i64> = received.values().iter().map(|at| at.div_euclid(DAY_MICROS)).collect();
        for (day, part) in split_by(&part, &days)? {
            files.entry((dataset.clone(), day)).or_default().push(part);
        }
    }
    let day = |day: i64| UtcMicros::from_micros(day.saturating_mul(DAY_MICROS)).utc_day();
    files
        .into_iter()
        .map(|((dataset, number), parts)| {
            Ok(FileRows { dataset, day: day(number), parts: in_order(&parts)? })
        })
        .collect()
}

/// The rows of all parts by batch and index, in parts of bounded size.
fn in_order(parts: &[RecordBatch]) -> Result<Vec<RecordBatch>, LakeError> {
    let schema = union_schema(parts.iter());
    let parts: Vec<RecordBatch> =
        parts.iter().map(|part| conform(part, &schema)).collect::<Result<_, _>>()?;
    let mut order: Vec<(i64, i64, usize, usize)> = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let batches = batch_numbers(part)?;
        let indexes = longs(part, envelope::INDEX)?;
        let rows = batches.into_iter().enumerate();
        order.extend(rows.map(|(row, batch)| (batch, indexes.value(row), number, row)));
    }
    order.sort_unstable();
    let borrowed: Vec<&RecordBatch> = parts.iter().collect();
    order
        .chunks(HISTORY_ROWS)
        .map(|chunk| {
            let rows: Vec<(usize, usize)> =
                chunk.iter().map(|(_, _, number, row)| (*number, *row)).collect();
            Ok(interleave_record_batch(&borrowed, &rows)?)
        })
        .collect()
}
