//! Writes one Parquet file of one dataset and day.

use crate::durable::{UNFINISHED, sync_directory};
use crate::file::{BatchRows, FileEntry, Order, encode_batches};
use crate::groups::GroupWriter;
use crate::hot::{Piece, longs, time_range};
use crate::kill::kill_point;
use crate::limits::{
    COMPACTED_PAGE_ROWS, COMPACTED_ZSTD_LEVEL, FLUSHED_PAGE_BYTES, PAGE_BYTES, ROW_GROUP_ROWS,
};
use crate::packed::{PACKED_KEY, stands_for};
use crate::packer::{KeepRaw, Packer};
use crate::text_index::{
    MESSAGE, NewIndex, remove_with_index, text_index_path, unfinished_index_path,
};
use crate::{LakeError, columns::TableColumns};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_event::columns as envelope;

/// Key of the Parquet footer under which a file lists its batches, as in its Delta tag.
pub(crate) const BATCHES_KEY: &str = "yagura.batches";

/// Key of the Parquet footer under which a file says how many bytes its events had when they were
/// received.
pub(crate) const RECEIVED_KEY: &str = "yagura.received";

/// Rows for one file, in the order they will have.
pub(crate) struct FileRows {
    pub(crate) dataset: Arc<str>,
    pub(crate) day: String,
    pub(crate) parts: Vec<RecordBatch>,
}

/// Writes `rows` and their text index below `root`: to unfinished names, synchronised, then renamed,
/// then the directory synchronised. A crash leaves `.tmp` files or whole ones that no commit names.
pub(crate) fn write_file(
    root: &Path,
    rows: &FileRows,
    flush: &str,
) -> Result<FileEntry, LakeError> {
    finished_file(root, rows, flush)?.publish()
}

/// [`write_file`] without its last step.
pub(crate) fn finished_file(
    root: &Path,
    rows: &FileRows,
    flush: &str,
) -> Result<FinishedFile, LakeError> {
    let schema = occupied_schema(&rows.parts);
    let place = Place { dataset: rows.dataset.clone(), day: rows.day.clone() };
    let mut file = NewFile::create(root, place, flush, schema, Layout::Ledger)?;
    for part in &rows.parts {
        file.write(part)?;
    }
    file.finish()
}

/// The partition a file belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) dataset: Arc<str>,
    /// UTC day of receipt, `YYYY-MM-DD`.
    pub(crate) day: String,
}

/// How the rows of a new file lie.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layout<'a> {
    /// [`Order::Ledger`], with every text.
    Ledger,
    /// [`Order::Source`]; texts that can be rebuilt from the columns are, but for these streams.
    Source(&'a KeepRaw),
}

/// A file that is being written, under its unfinished name. Dropped, it is gone again.
pub(crate) struct NewFile {
    root: PathBuf,
    place: Place,
    flush: String,
    order: Order,
    schema: SchemaRef,
    path: String,
    writer: Option<(GroupWriter<BufWriter<HashingFile>>, NewIndex)>,
    packer: Option<Packer>,
    counts: BTreeMap<u64, u32>,
    time: Option<(i64, i64)>,
    rows: u64,
    received: u64,
}

impl NewFile {
    /// Begins a file of rows with the columns of `schema`. `flush` is the part of its name that no
    /// other file of the partition has.
    pub(crate) fn create(
        root: &Path,
        place: Place,
        flush: &str,
        schema: SchemaRef,
        layout: Layout<'_>,
    ) -> Result<Self, LakeError> {
        let (order, packer) = match layout {
            Layout::Ledger => (Order::Ledger, None),
            Layout::Source(keep) => (Order::Source, Packer::new(&schema, keep)),
        };
        let directory = format!("dataset={}/day={}", partition_value(&place.dataset), place.day);
        let path = format!("{directory}/part-{flush}.parquet");
        let mut file = NewFile {
            root: root.to_path_buf(),
            place,
            flush: flush.to_owned(),
            order,
            schema,
            path,
            writer: None,
            packer,
            counts: BTreeMap::new(),
            time: None,
            rows: 0,
            received: 0,
        };
        let begun = (|| {
            create_directories(root, &directory)?;
            let target = HashingFile::create(&file.unfinished())?;
            let buffered = BufWriter::with_capacity(256 * 1024, target);
            let schema = file.packer.as_ref().map_or(&file.schema, Packer::schema);
            let properties = properties(schema, order);
            let texts = [envelope::ORIGINAL, MESSAGE];
            let writer = GroupWriter::new(buffered, schema.clone(), properties, &texts)?;
            Ok((writer, NewIndex::create(root, &file.path)?))
        })();
        file.writer = Some(begun.map_err(|error| {
            file.remove_unfinished();
            file.failed(error)
        })?);
        Ok(file)
    }

    /// Adds rows, which may lack columns of the schema. A row group ends when it has enough rows or
    /// takes too much memory.
    pub(crate) fn write(&mut self, part: &RecordBatch) -> Result<(), LakeError> {
        for batch in longs(part, envelope::BATCH)?.values() {
            *self.counts.entry(u64::try_from(*batch).unwrap_or_default()).or_default() += 1;
        }
        self.time = match (self.time, time_range(part)) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        self.rows += part.num_rows() as u64;
        let records = part.column_by_name(envelope::ORIGINAL);
        if let Some(records) = records.and_then(|column| column.as_binary_view_opt()) {
            self.received += records.lengths().map(u64::from).sum::<u64>();
        }
        if let Some((_, index)) = &mut self.writer {
            let indexed = index.add(part);
            indexed.map_err(|error| self.failed(error))?;
        }
        match &mut self.packer {
            Some(packer) => {
                let ready = packer.push(part.clone())?;
                self.store(&ready)
            }
            None => self.store(std::slice::from_ref(part)),
        }
    }

    /// Writes rows as they are to lie in the file.
    fn store(&mut self, ready: &[RecordBatch]) -> Result<(), LakeError> {
        for rows in ready {
            let Some((writer, _)) = &mut self.writer else { return Ok(()) };
            writer.write(rows).map_err(|error| self.failed(error.into()))?;
        }
        Ok(())
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes so far, without the row group that is not finished.
    pub(crate) fn bytes(&self) -> usize {
        self.writer.as_ref().map_or(0, |(writer, _)| writer.bytes_written())
    }

    /// Writes the ends of the file and of its text index, and synchronises both.
    pub(crate) fn finish(mut self) -> Result<FinishedFile, LakeError> {
        if let Some(packer) = &mut self.packer {
            let ready = packer.take()?;
            self.store(&ready)?;
        }
        let packed = self.packer.take().map(|packer| Arc::new(packer.finish()));
        let counts = std::mem::take(&mut self.counts);
        let batches: Vec<_> =
            counts.into_iter().map(|(batch, rows)| BatchRows { batch, rows }).collect();
        // Proof: only this method, which consumes it, takes the writer.
        let Some((mut writer, index)) = self.writer.take() else {
            unreachable!("a file has its writer")
        };
        writer.note(KeyValue::new(BATCHES_KEY.to_owned(), encode_batches(&batches)));
        writer.note(KeyValue::new(RECEIVED_KEY.to_owned(), self.received.to_string()));
        if let Some(packed) = &packed {
            writer.note(KeyValue::new(PACKED_KEY.to_owned(), packed.text()));
        }
        let ended = (|| {
            let file = writer.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
            let (sha256, bytes) = file.finish()?;
            let text_index = index.finish(&sha256)?;
            Ok((sha256, bytes, text_index))
        })();
        let (sha256, bytes, text_index) = ended.map_err(|error: io::Error| {
            // The disk may be full: leave nothing behind. The error to report is the first one.
            self.remove_unfinished();
            self.failed(error)
        })?;
        let entry = FileEntry {
            path: self.path.clone(),
            bytes,
            rows: self.rows,
            dataset: self.place.dataset.clone(),
            day: self.place.day.clone(),
            time: self.time,
            batches,
            sha256,
            flush: self.flush.clone(),
            order: self.order,
            text_index: Some(text_index),
            packed,
            cold: None,
        };
        Ok(FinishedFile { root: self.root.clone(), entry, published: false })
    }

    fn unfinished(&self) -> PathBuf {
        self.root.join(format!("{}{UNFINISHED}", self.path))
    }

    fn remove_unfinished(&self) {
        remove_unfinished(&self.root, &self.path);
    }

    fn failed(&self, source: io::Error) -> LakeError {
        LakeError::Io { path: self.root.join(&self.path), source }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            self.remove_unfinished();
        }
    }
}

/// Removes a file and its text index under their unfinished names. Whatever stays goes when the table
/// is opened.
fn remove_unfinished(root: &Path, path: &str) {
    let _ = fs::remove_file(root.join(unfinished_index_path(path)));
    let _ = fs::remove_file(root.join(format!("{path}{UNFINISHED}")));
}

/// A whole and synchronised file with its text index, both still under their unfinished names.
/// Dropped, they are gone again.
#[derive(Debug)]
pub(crate) struct FinishedFile {
    root: PathBuf,
    pub(crate) entry: FileEntry,
    published: bool,
}

impl FinishedFile {
    /// Where it lies until it is published.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.root.join(format!("{}{UNFINISHED}", self.entry.path))
    }

    /// Gives both their names and makes that durable. The index comes second, so that none lies there
    /// without the file it is of.
    pub(crate) fn publish(mut self) -> Result<FileEntry, LakeError> {
        let target = self.root.join(&self.entry.path);
        let index = self.root.join(text_index_path(&self.entry.path));
        let unfinished_index = self.root.join(unfinished_index_path(&self.entry.path));
        let directory = target.parent().unwrap_or(&self.root);
        let renamed = fs::rename(self.unfinished(), &target)
            .and_then(|()| sync_directory(directory))
            .inspect(|()| kill_point("file", &"NamedAlone"))
            .and_then(|()| fs::rename(unfinished_index, &index))
            .and_then(|()| sync_directory(directory));
        if let Err(source) = renamed {
            // Whatever stays is an orphan, which the next start removes.
            let _ = remove_with_index(&self.root, &self.entry.path);
            return Err(LakeError::Io { path: target, source });
        }
        self.published = true;
        Ok(self.entry.clone())
    }
}

impl Drop for FinishedFile {
    fn drop(&mut self) {
        if !self.published {
            remove_unfinished(&self.root, &self.entry.path);
        }
    }
}

fn create_directories(root: &Path, directory: &str) -> io::Result<()> {
    let mut path = root.to_path_buf();
    for part in directory.split('/') {
        let parent = path.clone();
        path.push(part);
        if !path.try_exists()? {
            fs::create_dir(&path)?;
            sync_directory(&parent)?;
        }
    }
    Ok(())
}

/// A dataset as a directory name. Datasets are `a-z0-9._`; anything else cannot leave its place.
fn partition_value(dataset: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if !dataset.is_empty() && dataset.bytes().all(plain) && dataset.bytes().any(|b| b != b'.') {
        return dataset.to_owned();
    }
    dataset.bytes().fold("x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Columns in which some row has a value.
fn occupied_schema(parts: &[RecordBatch]) -> SchemaRef {
    let schema = crate::hot::union_schema(parts.iter());
    let always = TableColumns::envelope();
    let occupied = |name: &str| {
        always.get(name).is_some()
            || parts.iter().filter_map(|part| part.column_by_name(name)).any(|array| {
                // A dictionary key may point at nothing.
                array.logical_null_count() < array.len()
            })
    };
    let fields = schema.fields().iter().filter(|field| occupied(field.name())).cloned();
    Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
}

fn properties(schema: &SchemaRef, order: Order) -> WriterProperties {
    let (level, page_bytes, page_rows) = match order {
        // Level 1 keeps up with intake.
        Order::Ledger => (ZstdLevel::default(), FLUSHED_PAGE_BYTES, ROW_GROUP_ROWS),
        Order::Source => {
            // Written once, read for years. Proof: 9 is within zstd's 1 to 22.
            let level = ZstdLevel::try_new(COMPACTED_ZSTD_LEVEL).unwrap_or_default();
            (level, PAGE_BYTES, COMPACTED_PAGE_ROWS)
        }
    };
    let column = |name: &str| ColumnPath::new(vec![name.to_owned()]);
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("yagura {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_size_limit(page_bytes)
        .set_data_page_row_count_limit(page_rows)
        .set_dictionary_page_size_limit(PAGE_BYTES)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_statistics_enabled(column(envelope::TIMESTAMP), EnabledStatistics::Page);
    for field in schema.fields() {
        properties = match field.data_type() {
            // A few templates for many rows, which nobody asks for by value.
            DataType::Dictionary(_, _) if stands_for(field.name()).is_some() => properties
                .set_column_statistics_enabled(column(field.name()), EnabledStatistics::None),
            // Long values that do not repeat: a dictionary or a minimum would only cost.
            DataType::BinaryView | DataType::Utf8View => properties
                .set_column_dictionary_enabled(column(field.name()), false)
                .set_column_statistics_enabled(column(field.name()), EnabledStatistics::None),
            // Numbers that climb: differences are near nothing.
            DataType::Timestamp(_, _) => properties
                .set_column_dictionary_enabled(column(field.name()), false)
                .set_column_encoding(column(field.name()), Encoding::DELTA_BINARY_PACKED),
            DataType::Int64 if field.name() == envelope::INDEX => properties
                .set_column_dictionary_enabled(column(field.name()), false)
                .set_column_encoding(column(field.name()), Encoding::DELTA_BINARY_PACKED),
            _ => properties,
        };
    }
    properties.build()
}

/// A file whose bytes are counted and hashed as they are written.
pub(crate) struct HashingFile {
    file: File,
    digest: Sha256,
    bytes: u64,
}

impl HashingFile {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(HashingFile { file: File::create(path)?, digest: Sha256::new(), bytes: 0 })
    }

    /// Synchronises it. Answers its SHA-256, lower-case hexadecimal, and its size in bytes.
    pub(crate) fn finish(self) -> io::Result<(String, u64)> {
        self.file.sync_all()?;
        let sha256 = self.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((sha256, self.bytes))
    }
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The rows of pieces as files: split by dataset and day of receipt, batches ascending.
///
/// The day is that of receipt, by our clock: the source's clock may be wrong by decades, and each
/// wrong day would make a directory of its own.
pub(crate) fn files_of(pieces: &[Arc<Piece>]) -> Result<Vec<FileRows>, LakeError> {
    const DAY_MICROS: i64 = 86_400_000_000;
    let mut files: BTreeMap<(Arc<str>, i64), Vec<RecordBatch>> = BTreeMap::new();
    for piece in pieces {
        let received = crate::hot::micros(&piece.columns, envelope::INGESTED)?;
        let days: Vec<i64> =
            received.values().iter().map(|time| time.div_euclid(DAY_MICROS)).collect();
        for (day, part) in crate::hot::split_by(&piece.columns, &days)? {
            files.entry((piece.dataset.clone(), day)).or_default().push(part);
        }
    }
    let name =
        |day: i64| yagura_event::UtcMicros::from_micros(day.saturating_mul(DAY_MICROS)).utc_day();
    Ok(files
        .into_iter()
        .map(|((dataset, day), parts)| FileRows { dataset, day: name(day), parts })
        .collect())
}
