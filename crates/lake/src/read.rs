//! Rebuilds records from stored rows, for proofs and for verification.
//!
//! A Parquet file on disk is untrusted input: the decoder may fail, and on damaged files even
//! panic. Both become [`LakeError::Corrupt`], which names the file.

use crate::LakeError;
use crate::file::{BatchRows, Order, decode_batches};
use crate::hot::{batch_numbers, conform, longs, micros};
use crate::judge::BatchHead;
use crate::limits::READ_SORT_BYTES_MAX;
use crate::location::{Blame, FileBytes, Location};
use crate::packed::{Packed, stands_for};
use crate::sort::{AtOnce, Sorted, Sorter};
use crate::writer::BATCHES_KEY;
use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;
use std::collections::BTreeSet;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_event::{Record, StreamName, Transport, UtcMicros, columns as envelope};

/// A batch as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBatch {
    /// The batch.
    pub batch: u64,
    /// Its stream.
    pub stream: StreamName,
    /// From which the leaves' salts derive.
    pub batch_salt: [u8; 32],
    /// Its records by index, ascending.
    pub records: Vec<(u32, Record)>,
}

/// Most rows decoded at once.
const DECODE_ROWS: usize = 4_096;

/// Bytes decoded at once, about.
const DECODE_BYTES: usize = 16 * 1024 * 1024;

/// Records of a sorted file that are handed on at once.
const MERGED: AtOnce = AtOnce { rows: 4_096, bytes: 4 * 1024 * 1024 };

/// Columns that make a record.
pub(crate) const RECORD_COLUMNS: [&str; 9] = [
    envelope::INGESTED,
    envelope::ORIGINAL,
    envelope::STREAM,
    envelope::BATCH,
    envelope::INDEX,
    envelope::TRANSPORT,
    envelope::PEER,
    envelope::IDENTITY,
    envelope::BATCH_SALT,
];

/// The batches a Parquet file says it holds, from its footer.
pub fn batches_of_file(path: &Path) -> Result<Vec<BatchRows>, LakeError> {
    guarded(path, || {
        let builder = ParquetRecordBatchReaderBuilder::try_new(open(path)?)
            .map_err(|error| corrupt(path, error))?;
        let metadata = builder.metadata().file_metadata().key_value_metadata();
        let list = metadata
            .and_then(|pairs| pairs.iter().find(|pair| pair.key == BATCHES_KEY))
            .and_then(|pair| decode_batches(pair.value.as_deref()?));
        list.ok_or_else(|| corrupt(path, "its footer does not list its batches"))
    })
}

/// Adds the rows of `batch` in `rows` to `stored`.
pub(crate) fn collect(
    stored: &mut Option<StoredBatch>,
    rows: &RecordBatch,
    batch: u64,
) -> Result<(), LakeError> {
    let envelope = Envelope::new(rows)?;
    for row in 0..rows.num_rows() {
        if envelope.batch(row) == batch {
            envelope.add_to(stored, row)?;
        }
    }
    Ok(())
}

/// Adds the rows of `batch` in a file to `stored`; they must be as many as the log says.
pub(crate) fn collect_from_file(
    stored: &mut Option<StoredBatch>,
    location: &Location,
    expected: BatchRows,
) -> Result<(), LakeError> {
    let path = location.name();
    let before = stored.as_ref().map_or(0, |stored| stored.records.len());
    let wanted = Wanted::Range(expected.batch, expected.batch);
    let mut rows = FileRows::open(location, Some(&wanted))?;
    while let Some(rows) = rows.next_rows()? {
        // What decodes to something else than we write is damage as well.
        collect(stored, &rows, expected.batch).map_err(|error| corrupt(path, error))?;
    }
    let found = stored.as_ref().map_or(0, |stored| stored.records.len()) - before;
    check_count(path, expected, found)
}

pub(crate) fn check_count(path: &Path, expected: BatchRows, found: usize) -> Result<(), LakeError> {
    if usize::try_from(expected.rows) == Ok(found) {
        return Ok(());
    }
    let BatchRows { batch, rows } = expected;
    Err(corrupt(path, format!("it has {found} rows of batch {batch}, the table's log says {rows}")))
}

/// A file that is to be read in the order of the ledger.
pub(crate) struct Source<'a> {
    pub(crate) location: Location,
    pub(crate) batches: &'a [BatchRows],
    pub(crate) order: Order,
}

/// Batches that are to be read.
#[derive(Debug, Clone)]
pub(crate) enum Wanted<'a> {
    /// From the first number to the second, both inclusive.
    Range(u64, u64),
    /// These.
    Set(&'a BTreeSet<u64>),
}

impl Wanted<'_> {
    pub(crate) fn has(&self, batch: u64) -> bool {
        match self {
            Wanted::Range(first, last) => (*first..=*last).contains(&batch),
            Wanted::Set(set) => set.contains(&batch),
        }
    }

    /// Whether any batch between the two (inclusive) is wanted.
    fn any_between(&self, min: u64, max: u64) -> bool {
        match self {
            Wanted::Range(first, last) => *first <= max && min <= *last,
            Wanted::Set(set) => min <= max && set.range(min..=max).next().is_some(),
        }
    }
}

/// Reads files side by side and hands over each wanted batch once it is whole, ascending. A file is
/// open from its first wanted batch to its last, with one decoded part in memory; one whose rows lie
/// in another order is sorted first, within bounded memory, in temporary files in `scratch`.
pub(crate) fn merge_batches<E: From<LakeError>>(
    scratch: &Path,
    sources: &[Source<'_>],
    wanted: &Wanted<'_>,
    take: &mut impl FnMut(StoredBatch) -> Result<(), E>,
) -> Result<(), E> {
    let mut waiting: Vec<(u64, &Source<'_>)> = sources
        .iter()
        .filter_map(|source| {
            let first = source.batches.iter().find(|rows| wanted.has(rows.batch))?;
            Some((first.batch, source))
        })
        .collect();
    // The next one is at the end.
    waiting.sort_by_key(|(first, _)| std::cmp::Reverse(*first));
    let mut open: Vec<Cursor<'_>> = Vec::new();
    loop {
        let current = open.iter().filter_map(Cursor::batch).min();
        if let Some((first, source)) = waiting.last().copied()
            && current.is_none_or(|current| first <= current)
        {
            waiting.pop();
            open.push(Cursor::open(scratch, source, wanted)?);
            continue;
        }
        let Some(batch) = current else {
            return Ok(open.into_iter().try_for_each(Cursor::end)?);
        };
        let mut stored = None;
        for file in &mut open {
            let mut found = 0;
            while file.batch() == Some(batch) {
                file.take_row(&mut stored)?;
                found += 1;
            }
            file.check(batch, found)?;
        }
        if let Some(mut stored) = stored {
            stored.records.sort_by_key(|(index, _)| *index);
            take(stored)?;
        }
        let (ended, going): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|file| file.batch().is_none());
        open = going;
        for file in ended {
            file.end()?;
        }
    }
}

/// A place in a file.
struct Cursor<'a> {
    path: PathBuf,
    expected: std::iter::Peekable<std::vec::IntoIter<BatchRows>>,
    wanted: Wanted<'a>,
    reader: Reader,
    rows: Option<(Envelope, usize)>,
}

enum Reader {
    InOrder(FileRows),
    Sorted(Sorted),
}

impl<'a> Cursor<'a> {
    fn open(scratch: &Path, source: &Source<'_>, wanted: &Wanted<'a>) -> Result<Self, LakeError> {
        let expected: Vec<BatchRows> =
            source.batches.iter().filter(|rows| wanted.has(rows.batch)).copied().collect();
        let path = source.location.name();
        let mut rows = FileRows::open(&source.location, Some(wanted))?;
        let reader = match source.order {
            Order::Ledger => Reader::InOrder(rows),
            Order::Source => {
                let mut sorter = Sorter::new(scratch, Order::Ledger, READ_SORT_BYTES_MAX)?;
                while let Some(part) = rows.next_rows()? {
                    sorter.push(&only_wanted(path, part, wanted)?)?;
                }
                Reader::Sorted(sorter.finish()?)
            }
        };
        let mut cursor = Cursor {
            path: path.to_path_buf(),
            expected: expected.into_iter().peekable(),
            wanted: wanted.clone(),
            reader,
            rows: None,
        };
        cursor.load()?;
        Ok(cursor)
    }

    fn load(&mut self) -> Result<(), LakeError> {
        self.rows = None;
        loop {
            let part = match &mut self.reader {
                Reader::Sorted(sorted) => {
                    let part = sorted.next_rows(MERGED)?;
                    part.map(|part| conform(&part, sorted.schema())).transpose()?
                }
                Reader::InOrder(rows) => match rows.next_rows()? {
                    Some(part) => Some(only_wanted(&self.path, part, &self.wanted)?),
                    None => None,
                },
            };
            let Some(part) = part else { return Ok(()) };
            if part.num_rows() > 0 {
                let rows = Envelope::new(&part).map_err(|error| corrupt(&self.path, error))?;
                self.rows = Some((rows, 0));
                return Ok(());
            }
        }
    }

    fn batch(&self) -> Option<u64> {
        self.rows.as_ref().map(|(rows, at)| rows.batch(*at))
    }

    fn take_row(&mut self, stored: &mut Option<StoredBatch>) -> Result<(), LakeError> {
        let Some((rows, at)) = &mut self.rows else { return Ok(()) };
        rows.add_to(stored, *at).map_err(|error| corrupt(&self.path, error))?;
        *at += 1;
        if *at == rows.rows {
            self.load()?;
        }
        Ok(())
    }

    /// `found` rows of `batch` must be what the log says, and no batch before it is left out.
    fn check(&mut self, batch: u64, found: usize) -> Result<(), LakeError> {
        if let Some(missing) = self.expected.next_if(|rows| rows.batch < batch) {
            check_count(&self.path, missing, 0)?;
        }
        let listed = self.expected.next_if(|rows| rows.batch == batch);
        check_count(&self.path, listed.unwrap_or(BatchRows { batch, rows: 0 }), found)
    }

    fn end(mut self) -> Result<(), LakeError> {
        match self.expected.next() {
            Some(missing) => check_count(&self.path, missing, 0),
            None => Ok(()),
        }
    }
}

pub(crate) fn only_wanted(
    path: &Path,
    rows: RecordBatch,
    wanted: &Wanted<'_>,
) -> Result<RecordBatch, LakeError> {
    let batches = batch_numbers(&rows).map_err(|error| corrupt(path, error))?;
    let keep: Vec<bool> = batches.iter().map(|batch| wanted.has(batch.unsigned_abs())).collect();
    match keep.contains(&false) {
        true => Ok(filter_record_batch(&rows, &keep.into())?),
        false => Ok(rows),
    }
}

/// Rows of a file that are to be read.
#[derive(Default)]
pub(crate) struct RowsToTake<'a> {
    /// Only row groups that may hold such a batch.
    pub(crate) batches: Option<&'a Wanted<'a>>,
    /// Only the rows at these positions, ascending, counted from the file's first row.
    pub(crate) positions: Option<&'a [u64]>,
    /// Most rows at once; otherwise as many as memory allows.
    pub(crate) at_once: Option<usize>,
}

/// The rows of a file, decoded part by part, with every text as it was before it was packed.
pub(crate) struct FileRows {
    blame: Blame,
    reader: ParquetRecordBatchReader,
    packed: Option<Unpacking>,
}

/// How packed rows come back.
struct Unpacking {
    packed: Arc<Packed>,
    /// The columns that were asked for, without those that are read only to rebuild texts.
    kept: BTreeSet<String>,
}

impl FileRows {
    /// Opens a file for the columns that make a record; with `wanted`, only row groups that may hold
    /// such a batch.
    pub(crate) fn open(
        location: &Location,
        wanted: Option<&Wanted<'_>>,
    ) -> Result<Self, LakeError> {
        let rows = RowsToTake { batches: wanted, ..RowsToTake::default() };
        FileRows::with_columns(location, &|name| RECORD_COLUMNS.contains(&name), &rows)
    }

    /// Opens a file for the columns that `wanted` names, by their stored names.
    pub(crate) fn with_columns(
        location: &Location,
        wanted: &dyn Fn(&str) -> bool,
        rows: &RowsToTake<'_>,
    ) -> Result<Self, LakeError> {
        let path = location.name();
        guarded(path, || {
            let file = location.open()?;
            let blame = file.blame(location);
            let mut builder = ParquetRecordBatchReaderBuilder::try_new(file)
                .map_err(|error| blame.error(error))?;
            let packed = Packed::of_footer(path, builder.metadata())?;
            let needed = packed.as_ref().map(|packed| packed.needs(wanted)).unwrap_or_default();
            let schema = builder.parquet_schema();
            // By position: a name with dots would be taken for a path into nested columns.
            let roots = schema.root_schema().get_fields().iter().enumerate();
            let hidden = |name: &str| packed.is_some() && stands_for(name).is_some();
            let asked = |name: &str| wanted(name) && !hidden(name);
            let read =
                roots.filter(|(_, field)| asked(field.name()) || needed.contains(field.name()));
            let (positions, names): (Vec<usize>, Vec<&str>) =
                read.map(|(position, field)| (position, field.name())).unzip();
            let kept = names.iter().filter(|name| asked(name)).map(|name| (*name).to_owned());
            let kept: BTreeSet<String> = kept.collect();
            let packed = packed.filter(|_| !needed.is_empty());
            let packed = packed.map(|packed| Unpacking { packed, kept });
            let mask = ProjectionMask::roots(schema, positions);
            let mut at_once = rows.at_once.unwrap_or_else(|| rows_at_once(builder.metadata()));
            if let Some(unpacking) = &packed {
                at_once = at_once.min(unpacking.packed.rows_at_once());
            }
            if let Some(wanted) = rows.batches {
                let groups = row_groups_with(&builder, wanted);
                builder = builder.with_row_groups(groups);
            }
            if let Some(positions) = rows.positions {
                let total = builder.metadata().file_metadata().num_rows();
                let total = usize::try_from(total).unwrap_or_default();
                let ranges = positions
                    .iter()
                    .filter_map(|position| usize::try_from(*position).ok())
                    .filter(|position| *position < total)
                    .map(|position| position..position + 1);
                let selection = RowSelection::from_consecutive_ranges(ranges, total);
                builder = builder.with_row_selection(selection);
            }
            let builder = builder.with_projection(mask).with_batch_size(at_once);
            let reader = builder.build().map_err(|error| blame.error(error))?;
            Ok(FileRows { blame, reader, packed })
        })
    }

    pub(crate) fn next_rows(&mut self) -> Result<Option<RecordBatch>, LakeError> {
        let FileRows { blame, reader, packed } = self;
        let path = blame.name();
        guarded(path, || {
            let rows = reader.next().transpose().map_err(|error| blame.error(error))?;
            let (Some(rows), Some(unpacking)) = (&rows, packed) else { return Ok(rows) };
            let whole = unpacking.packed.unpacked(path, rows)?;
            let fields = whole.schema_ref().fields().iter().enumerate();
            let kept: Vec<usize> = fields
                .filter(|(_, field)| unpacking.kept.contains(field.name()))
                .map(|(position, _)| position)
                .collect();
            Ok(Some(whole.project(&kept)?))
        })
    }
}

fn row_groups_with(
    builder: &ParquetRecordBatchReaderBuilder<FileBytes>,
    wanted: &Wanted<'_>,
) -> Vec<usize> {
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    let may_hold = |group: &RowGroupMetaData| {
        let column = group.columns().iter().find(|c| c.column_path().string() == envelope::BATCH);
        match column.and_then(|column| column.statistics()) {
            Some(Statistics::Int64(range)) => match (range.min_opt(), range.max_opt()) {
                (Some(min), Some(max)) => wanted.any_between(number(*min), number(*max)),
                _ => true,
            },
            _ => true,
        }
    };
    let groups = builder.metadata().row_groups().iter().enumerate();
    groups.filter(|(_, group)| may_hold(group)).map(|(number, _)| number).collect()
}

pub(crate) fn open(path: &Path) -> Result<File, LakeError> {
    File::open(path).map_err(|source| LakeError::Io { path: path.to_path_buf(), source })
}

pub(crate) fn corrupt(path: &Path, reason: impl std::fmt::Display) -> LakeError {
    LakeError::Corrupt { path: path.to_path_buf(), reason: reason.to_string() }
}

/// Rows of a file to decode at once: fewer where they are large.
fn rows_at_once(metadata: &ParquetMetaData) -> usize {
    let row_bytes = |group: &RowGroupMetaData| group.total_byte_size() / group.num_rows().max(1);
    let largest = metadata.row_groups().iter().map(row_bytes).max().unwrap_or_default();
    let largest = usize::try_from(largest).unwrap_or_default();
    (DECODE_BYTES / largest.max(1)).clamp(1, DECODE_ROWS)
}

/// Runs a decoder; a panic is damage of the file, not of us.
pub(crate) fn guarded<T>(
    path: &Path,
    decode: impl FnOnce() -> Result<T, LakeError>,
) -> Result<T, LakeError> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(corrupt(path, format!("the decoder gave up: {}", text.unwrap_or("no reason given"))))
    })
}

/// The record columns of some rows.
pub(crate) struct Envelope {
    rows: usize,
    batches: Vec<i64>,
    indexes: arrow::array::Int64Array,
    received: arrow::array::TimestampMicrosecondArray,
    original: arrow::array::BinaryArray,
    texts: [StringArray; 5],
}

impl Envelope {
    pub(crate) fn new(rows: &RecordBatch) -> Result<Self, LakeError> {
        let column = |name: &'static str, data_type: &DataType| {
            let array = rows.column_by_name(name).ok_or(LakeError::Envelope(name))?;
            cast(array, data_type).map_err(LakeError::from)
        };
        let text = |name| Ok::<_, LakeError>(column(name, &DataType::Utf8)?.as_string().clone());
        Ok(Envelope {
            rows: rows.num_rows(),
            batches: batch_numbers(rows)?,
            indexes: longs(rows, envelope::INDEX)?.clone(),
            received: micros(rows, envelope::INGESTED)?.clone(),
            original: column(envelope::ORIGINAL, &DataType::Binary)?.as_binary().clone(),
            texts: [
                text(envelope::STREAM)?,
                text(envelope::TRANSPORT)?,
                text(envelope::PEER)?,
                text(envelope::IDENTITY)?,
                text(envelope::BATCH_SALT)?,
            ],
        })
    }

    /// Proof: `batch_numbers` refused negative ones.
    fn batch(&self, row: usize) -> u64 {
        self.batches.get(row).map_or(u64::MAX, |number| number.unsigned_abs())
    }

    /// Whether a row is of the batch that the one before it is of.
    pub(crate) fn is_of_the_same_batch(&self, row: usize) -> bool {
        let [stream, .., salt] = &self.texts;
        row > 0
            && self.batch(row) == self.batch(row - 1)
            && stream.value(row) == stream.value(row - 1)
            && salt.value(row) == salt.value(row - 1)
    }

    /// What a row says of its batch.
    pub(crate) fn head(&self, row: usize) -> Result<BatchHead, LakeError> {
        let [stream, .., salt] = &self.texts;
        let wrong = LakeError::Envelope;
        Ok(BatchHead {
            batch: self.batch(row),
            stream: StreamName::new(stream.value(row)).map_err(|_| wrong(envelope::STREAM))?,
            batch_salt: parse_salt(salt.value(row)).ok_or(wrong(envelope::BATCH_SALT))?,
        })
    }

    /// The record of a row, and its index.
    pub(crate) fn record(&self, row: usize) -> Result<(u32, Record), LakeError> {
        let [_, transport, peer, identity, _] = &self.texts;
        let wrong = LakeError::Envelope;
        let index = u32::try_from(self.indexes.value(row)).map_err(|_| wrong(envelope::INDEX))?;
        let transport: Transport =
            transport.value(row).parse().map_err(|_| wrong(envelope::TRANSPORT))?;
        let record = Record {
            received: UtcMicros::from_micros(self.received.value(row)),
            transport,
            peer: Arc::from(peer.value(row)),
            identity: Arc::from(identity.value(row)),
            bytes: bytes::Bytes::copy_from_slice(self.original.value(row)),
        };
        Ok((index, record))
    }

    fn add_to(&self, stored: &mut Option<StoredBatch>, row: usize) -> Result<(), LakeError> {
        let stored = match stored {
            Some(stored) => stored,
            None => {
                let BatchHead { batch, stream, batch_salt } = self.head(row)?;
                stored.insert(StoredBatch { batch, stream, batch_salt, records: Vec::new() })
            }
        };
        if stored.stream.as_str() != self.texts[0].value(row) {
            return Err(LakeError::Envelope(envelope::STREAM));
        }
        stored.records.push(self.record(row)?);
        Ok(())
    }
}

pub(crate) fn parse_salt(hex: &str) -> Option<[u8; 32]> {
    let mut salt = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (number, byte) in salt.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(number * 2..number * 2 + 2)?, 16).ok()?;
    }
    Some(salt)
}
