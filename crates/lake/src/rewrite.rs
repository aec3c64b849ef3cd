//! Other columns for events that are stored already: the rows of some events are replaced with one
//! commit. What was received stays byte for byte: a row whose record differs from the stored one is
//! refused.

use crate::LakeError;
use crate::columns::fit;
use crate::file::{FileEntry, Order};
use crate::hot::{batch_numbers, conform, longs, micros, split_by, union_schema};
use crate::lake::{FileWritten, Lake};
use crate::limits::HISTORY_ROWS;
use crate::location::Location;
use crate::read::{FileRows, RowsToTake, Wanted};
use crate::text_index::MESSAGE;
use crate::writer::{FileRows as NewRows, FinishedFile, Layout, NewFile, Place, finished_file};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch, interleave_record_batch};
use arrow::datatypes::DataType;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
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

/// Files with new rows, and with what is left of those that had the old ones, that are no part of the
/// table yet. Dropped, they are gone again.
#[derive(Debug)]
pub struct PreparedRewrite {
    rows: u64,
    replaced: Vec<Arc<FileEntry>>,
    files: Vec<FinishedFile>,
}

impl Lake {
    /// Puts `rows` in the place of the stored rows of the same events:
    /// [`Lake::prepare_rewrite`] and [`Lake::publish_rewrite`].
    ///
    /// # Errors
    ///
    /// Those of both.
    pub fn rewrite(&self, rows: Vec<EventBatch>) -> Result<RewriteReport, LakeError> {
        let prepared = self.prepare_rewrite(rows)?;
        self.publish_rewrite(prepared)
    }

    /// Writes files with `rows`, which take the place of the stored rows of the same events, and with
    /// what is left of the files these are in. They may be of other datasets than before. `rows` are
    /// held in memory, the old files are not. Nothing waits for this.
    ///
    /// # Errors
    ///
    /// [`LakeError::NotTheRecord`] when a row is of no stored event, or its record is not the stored
    /// one.
    pub fn prepare_rewrite(&self, rows: Vec<EventBatch>) -> Result<PreparedRewrite, LakeError> {
        let (new, all, version) = {
            let mut state = self.lock();
            let mut columns = state.columns.clone();
            let mut new = Vec::with_capacity(rows.len());
            for batch in &rows {
                new.push((batch.dataset.clone(), fit(&mut columns, &batch.columns)?));
            }
            state.columns = columns;
            (new, state.files.clone(), state.version)
        };
        let mut places = Places::default();
        for (number, (_, part)) in new.iter().enumerate() {
            places.add(number, part)?;
        }
        let mut replaced = Vec::new();
        for file in all.iter() {
            if !places.may_be_in(file) {
                continue;
            }
            let before = places.found.len();
            let location = self.location(file);
            let mut records = FileRows::open(&location, Some(&Wanted::Set(&places.batches)))?;
            while let Some(part) = records.next_rows()? {
                places.check(&new, &part)?;
            }
            if places.found.len() > before {
                replaced.push(file.clone());
            }
        }
        if places.found.len() != places.rows.len() {
            return Err(LakeError::NotTheRecord(places.missing()));
        }
        let name = self.new_flush_id(version + 1, self.clock.now().as_micros());
        let name = format!("{name}-{}", self.names.fetch_add(1, Ordering::Relaxed));
        let mut files = Vec::new();
        for (number, file) in replaced.iter().enumerate() {
            files.extend(self.without(&places, file, &format!("{name}-k{number}"))?);
        }
        for rows in grouped(new.into_iter())? {
            files.push(finished_file(&self.root, &rows, &format!("{name}-r"))?);
        }
        Ok(PreparedRewrite { rows: places.found.len() as u64, replaced, files })
    }

    /// Takes the old files out of the table and the new ones in.
    ///
    /// Order: the new files get their names, durably; one commit, synchronised; then queries see the
    /// new ones. A crash leaves all old rows or all new ones, and files that no commit names
    /// ([`crate::OpenReport::orphans`]).
    ///
    /// # Errors
    ///
    /// [`LakeError::Outdated`] when an old file left the table meanwhile; nothing is changed then.
    pub fn publish_rewrite(&self, prepared: PreparedRewrite) -> Result<RewriteReport, LakeError> {
        let PreparedRewrite { rows, replaced, files } = prepared;
        if files.is_empty() {
            return Ok(RewriteReport::default());
        }
        let swapped = self.swap(replaced, files, false, &mut |_| {})?;
        Ok(RewriteReport {
            rows,
            files: swapped.files,
            replaced: swapped.replaced,
            version: Some(swapped.version),
        })
    }

    /// What is left of a file without the rows that have others in their place, in the same order.
    fn without(
        &self,
        places: &Places,
        file: &FileEntry,
        name: &str,
    ) -> Result<Option<FinishedFile>, LakeError> {
        let location = self.location(file);
        let mut reader = FileRows::with_columns(&location, &|_| true, &RowsToTake::default())?;
        let layout = match file.order {
            Order::Ledger => Layout::Ledger,
            Order::Source => Layout::Source(self.keep_raw()),
        };
        let mut left: Option<NewFile> = None;
        let mut texts = Texts::default();
        while let Some(part) = reader.next_rows()? {
            let part = places.leave(part)?;
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
            texts.add(&part)?;
            left.write(&part)?;
        }
        let Some(left) = left.map(NewFile::finish).transpose()? else { return Ok(None) };
        if left.entry.packed.is_some() {
            // Nobody judges these records before the old file goes.
            let mut again = Texts::default();
            let location = Location::Local(left.unfinished());
            let wanted = |name: &str| Texts::COLUMNS.contains(&name);
            let mut rows = FileRows::with_columns(&location, &wanted, &RowsToTake::default())?;
            while let Some(part) = rows.next_rows()? {
                again.add(&part)?;
            }
            if again.0.finalize() != texts.0.finalize() {
                let reason = format!("rows of {} do not come back as they were", file.path);
                return Err(LakeError::NotVerified { batch: 0, reason });
            }
        }
        Ok(Some(left))
    }
}

/// A digest of the texts of rows, in the order in which they lie.
#[derive(Default)]
struct Texts(Sha256);

impl Texts {
    const COLUMNS: [&str; 4] = [envelope::BATCH, envelope::INDEX, envelope::ORIGINAL, MESSAGE];

    fn add(&mut self, rows: &RecordBatch) -> Result<(), LakeError> {
        let (batches, indexes) = (batch_numbers(rows)?, longs(rows, envelope::INDEX)?);
        let column = |name: &str, kind: &DataType| {
            rows.column_by_name(name).map(|column| cast(column, kind)).transpose()
        };
        let original = column(envelope::ORIGINAL, &DataType::BinaryView)?;
        let message = column(MESSAGE, &DataType::Utf8View)?;
        for (row, batch) in batches.into_iter().enumerate() {
            self.0.update(batch.to_le_bytes());
            self.0.update(indexes.value(row).to_le_bytes());
            let original = original.as_ref().filter(|array| array.is_valid(row));
            let message = message.as_ref().filter(|array| array.is_valid(row));
            let original = original.map(|array| array.as_binary_view().value(row));
            let message = message.map(|array| array.as_string_view().value(row).as_bytes());
            for text in [original, message] {
                let length = text.map_or(u64::MAX, |text| text.len() as u64);
                self.0.update(length.to_le_bytes());
                self.0.update(text.unwrap_or_default());
            }
        }
        Ok(())
    }
}

/// Where each new row is: part and row, by batch and index.
#[derive(Default)]
struct Places {
    rows: HashMap<(i64, i64), (usize, usize)>,
    batches: BTreeSet<u64>,
    found: HashSet<(i64, i64)>,
}

impl Places {
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

    /// Notes which of these stored records have new rows, which must be of the same record.
    fn check(
        &mut self,
        new: &[(Arc<str>, RecordBatch)],
        part: &RecordBatch,
    ) -> Result<(), LakeError> {
        let batches = batch_numbers(part)?;
        let indexes = longs(part, envelope::INDEX)?;
        let mut pairs: Vec<(usize, usize, usize)> = Vec::new();
        for (row, batch) in batches.iter().enumerate() {
            let place = (*batch, indexes.value(row));
            if let Some(&(number, new_row)) = self.rows.get(&place) {
                self.found.insert(place);
                pairs.push((row, number, new_row));
            }
        }
        if pairs.is_empty() { Ok(()) } else { check_records(part, new, &pairs) }
    }

    /// The rows of `part` that are not replaced.
    fn leave(&self, part: RecordBatch) -> Result<RecordBatch, LakeError> {
        let batches = batch_numbers(&part)?;
        let indexes = longs(&part, envelope::INDEX)?;
        let places = batches.iter().zip(indexes.values());
        let keep: Vec<bool> =
            places.map(|(batch, index)| !self.rows.contains_key(&(*batch, *index))).collect();
        match keep.contains(&false) {
            true => Ok(filter_record_batch(&part, &keep.into())?),
            false => Ok(part),
        }
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

/// Rows as files: by dataset and day of receipt, in ledger order.
fn grouped(
    parts: impl Iterator<Item = (Arc<str>, RecordBatch)>,
) -> Result<Vec<NewRows>, LakeError> {
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
            Ok(NewRows { dataset, day: day(number), parts: in_order(&parts)? })
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
