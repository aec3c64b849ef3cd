//! Rebuilds records from stored rows, for proofs and for verification.
//!
//! A Parquet file on disk is untrusted input: the decoder may fail, and on damaged files even
//! panic. Both become [`LakeError::Corrupt`], which names the file.

use crate::LakeError;
use crate::file::{BatchRows, decode_batches};
use crate::hot::{batch_numbers, longs, micros};
use crate::writer::BATCHES_KEY;
use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::statistics::Statistics;
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

/// Rows decoded at once.
const DECODE_ROWS: usize = 4_096;

/// Columns that make a record.
const RECORD_COLUMNS: [&str; 9] = [
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
    path: &Path,
    expected: BatchRows,
) -> Result<(), LakeError> {
    let before = stored.as_ref().map_or(0, |stored| stored.records.len());
    let mut rows = FileRows::open(path, Some(expected.batch))?;
    while let Some(rows) = rows.next_rows()? {
        // What decodes to something else than we write is damage as well.
        collect(stored, &rows, expected.batch).map_err(|error| corrupt(path, error))?;
    }
    let found = stored.as_ref().map_or(0, |stored| stored.records.len()) - before;
    check_count(path, expected, found)
}

fn check_count(path: &Path, expected: BatchRows, found: usize) -> Result<(), LakeError> {
    if usize::try_from(expected.rows) == Ok(found) {
        return Ok(());
    }
    let BatchRows { batch, rows } = expected;
    Err(corrupt(path, format!("it has {found} rows of batch {batch}, the table's log says {rows}")))
}

/// Reads files of one flush side by side and hands over each batch once it is whole. Every file
/// holds its batches in ascending order, so one decoded part per file is in memory.
pub(crate) fn merge_batches<E: From<LakeError>>(
    files: &[(PathBuf, &[BatchRows])],
    take: &mut impl FnMut(StoredBatch) -> Result<(), E>,
) -> Result<(), E> {
    let mut expected: Vec<_> = files.iter().map(|(_, batches)| batches.iter().peekable()).collect();
    let mut files =
        files.iter().map(|(path, _)| Cursor::open(path)).collect::<Result<Vec<_>, _>>()?;
    while let Some(batch) = files.iter().filter_map(Cursor::batch).min() {
        let mut stored = None;
        for (file, expected) in files.iter_mut().zip(&mut expected) {
            let mut found = 0;
            while file.batch() == Some(batch) {
                file.take_row(&mut stored)?;
                found += 1;
            }
            let listed = expected.next_if(|entry| entry.batch == batch).copied();
            let listed = listed.unwrap_or(BatchRows { batch, rows: 0 });
            check_count(&file.file.path, listed, found)?;
        }
        if let Some(mut stored) = stored {
            stored.records.sort_by_key(|(index, _)| *index);
            take(stored)?;
        }
    }
    for (file, mut expected) in files.iter().zip(expected) {
        if let Some(missing) = expected.next() {
            check_count(&file.file.path, *missing, 0)?;
        }
    }
    Ok(())
}

/// A place in a file.
struct Cursor {
    file: FileRows,
    rows: Option<(Envelope, usize)>,
}

impl Cursor {
    fn open(path: &Path) -> Result<Self, LakeError> {
        let mut cursor = Cursor { file: FileRows::open(path, None)?, rows: None };
        cursor.load()?;
        Ok(cursor)
    }

    fn load(&mut self) -> Result<(), LakeError> {
        self.rows = match self.file.next_rows()? {
            Some(rows) => {
                let path = &self.file.path;
                Some((Envelope::new(&rows).map_err(|error| corrupt(path, error))?, 0))
            }
            None => None,
        };
        Ok(())
    }

    fn batch(&self) -> Option<u64> {
        self.rows.as_ref().map(|(rows, at)| rows.batch(*at))
    }

    fn take_row(&mut self, stored: &mut Option<StoredBatch>) -> Result<(), LakeError> {
        let Some((rows, at)) = &mut self.rows else { return Ok(()) };
        rows.add_to(stored, *at).map_err(|error| corrupt(&self.file.path, error))?;
        *at += 1;
        if *at == rows.rows {
            self.load()?;
        }
        Ok(())
    }
}

/// The record columns of a file, decoded part by part.
struct FileRows {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
}

impl FileRows {
    /// Opens a file; with `batch`, only row groups that may hold it.
    fn open(path: &Path, batch: Option<u64>) -> Result<Self, LakeError> {
        let reader = guarded(path, || {
            let mut builder = ParquetRecordBatchReaderBuilder::try_new(open(path)?)
                .map_err(|error| corrupt(path, error))?;
            let schema = builder.parquet_schema();
            // By position: a name with dots would be taken for a path into nested columns.
            let roots = schema.root_schema().get_fields().iter().enumerate();
            let roots = roots.filter(|(_, field)| RECORD_COLUMNS.contains(&field.name()));
            let mask = ProjectionMask::roots(schema, roots.map(|(position, _)| position));
            if let Some(batch) = batch {
                let groups = row_groups_with(&builder, batch);
                builder = builder.with_row_groups(groups);
            }
            let builder = builder.with_projection(mask).with_batch_size(DECODE_ROWS);
            builder.build().map_err(|error| corrupt(path, error))
        })?;
        Ok(FileRows { path: path.to_path_buf(), reader })
    }

    fn next_rows(&mut self) -> Result<Option<RecordBatch>, LakeError> {
        let FileRows { path, reader } = self;
        guarded(path, || reader.next().transpose().map_err(|error| corrupt(path, error)))
    }
}

fn row_groups_with(builder: &ParquetRecordBatchReaderBuilder<File>, batch: u64) -> Vec<usize> {
    let number = i64::try_from(batch).unwrap_or(i64::MAX);
    let may_hold = |group: &parquet::file::metadata::RowGroupMetaData| {
        let column = group.columns().iter().find(|c| c.column_path().string() == envelope::BATCH);
        match column.and_then(|column| column.statistics()) {
            Some(Statistics::Int64(range)) => match (range.min_opt(), range.max_opt()) {
                (Some(min), Some(max)) => *min <= number && number <= *max,
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
struct Envelope {
    rows: usize,
    batches: Vec<i64>,
    indexes: arrow::array::Int64Array,
    received: arrow::array::TimestampMicrosecondArray,
    original: arrow::array::BinaryArray,
    texts: [StringArray; 5],
}

impl Envelope {
    fn new(rows: &RecordBatch) -> Result<Self, LakeError> {
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

    fn add_to(&self, stored: &mut Option<StoredBatch>, row: usize) -> Result<(), LakeError> {
        let [stream, transport, peer, identity, salt] = &self.texts;
        let wrong = LakeError::Envelope;
        let index = u32::try_from(self.indexes.value(row)).map_err(|_| wrong(envelope::INDEX))?;
        let stored = match stored {
            Some(stored) => stored,
            None => stored.insert(StoredBatch {
                batch: self.batch(row),
                stream: StreamName::new(stream.value(row)).map_err(|_| wrong(envelope::STREAM))?,
                batch_salt: parse_salt(salt.value(row)).ok_or(wrong(envelope::BATCH_SALT))?,
                records: Vec::new(),
            }),
        };
        if stored.stream.as_str() != stream.value(row) {
            return Err(wrong(envelope::STREAM));
        }
        let transport: Transport =
            transport.value(row).parse().map_err(|_| wrong(envelope::TRANSPORT))?;
        let record = Record {
            received: UtcMicros::from_micros(self.received.value(row)),
            transport,
            peer: Arc::from(peer.value(row)),
            identity: Arc::from(identity.value(row)),
            bytes: bytes::Bytes::copy_from_slice(self.original.value(row)),
        };
        stored.records.push((index, record));
        Ok(())
    }
}

fn parse_salt(hex: &str) -> Option<[u8; 32]> {
    let mut salt = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (number, byte) in salt.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(number * 2..number * 2 + 2)?, 16).ok()?;
    }
    Some(salt)
}
