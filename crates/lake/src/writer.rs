//! Writes one Parquet file of one dataset and day.

use crate::durable::{UNFINISHED, sync_directory};
use crate::file::{BatchRows, FileEntry, encode_batches};
use crate::hot::{Piece, conform, longs, time_range};
use crate::limits::{PAGE_BYTES, ROW_GROUP_ROWS};
use crate::text_index;
use crate::{LakeError, columns::TableColumns};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use yagura_event::columns as envelope;

/// Key of the Parquet footer under which a file lists its batches, as in its Delta tag.
pub(crate) const BATCHES_KEY: &str = "yagura.batches";

/// Rows for one file, in the order they will have.
pub(crate) struct FileRows {
    pub(crate) dataset: Arc<str>,
    pub(crate) day: String,
    pub(crate) parts: Vec<RecordBatch>,
}

/// Writes `rows` below `root`: to an unfinished name, synchronised, then renamed, then the
/// directory synchronised. A crash leaves a `.tmp` file or a whole file that no commit names.
pub(crate) fn write_file(
    root: &Path,
    rows: &FileRows,
    flush: &str,
) -> Result<FileEntry, LakeError> {
    let directory = format!("dataset={}/day={}", partition_value(&rows.dataset), rows.day);
    let path = format!("{directory}/part-{flush}.parquet");
    let target = root.join(&path);
    let unfinished = root.join(format!("{path}{UNFINISHED}"));
    let failed = |source: io::Error| LakeError::Io { path: target.clone(), source };
    create_directories(root, &directory).map_err(failed)?;
    let written = write_rows(&unfinished, rows).and_then(|written| {
        fs::rename(&unfinished, &target)?;
        sync_directory(&root.join(&directory))?;
        Ok(written)
    });
    let (sha256, bytes) = match written {
        Ok(written) => written,
        Err(error) => {
            // The disk may be full: leave nothing behind. The error to report is the first one.
            let _ = fs::remove_file(&unfinished);
            return Err(failed(error));
        }
    };
    // After the file, so that no index is without one.
    let text_index = match text_index::write(root, &path, rows, &sha256) {
        Ok(text_index) => text_index,
        Err(error) => {
            let _ = fs::remove_file(&target);
            return Err(failed(error));
        }
    };
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    let mut time: Option<(i64, i64)> = None;
    for part in &rows.parts {
        for batch in longs(part, envelope::BATCH)?.values() {
            *counts.entry(u64::try_from(*batch).unwrap_or_default()).or_default() += 1;
        }
        time = match (time, time_range(part)) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }
    Ok(FileEntry {
        path,
        bytes,
        rows: rows.parts.iter().map(|part| part.num_rows() as u64).sum(),
        dataset: rows.dataset.clone(),
        day: rows.day.clone(),
        time,
        batches: counts.into_iter().map(|(batch, rows)| BatchRows { batch, rows }).collect(),
        sha256,
        flush: flush.to_owned(),
        text_index: Some(text_index),
    })
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

fn write_rows(path: &Path, rows: &FileRows) -> io::Result<(String, u64)> {
    let schema = occupied_schema(&rows.parts);
    let file = HashingFile { file: File::create(path)?, digest: Sha256::new(), bytes: 0 };
    let properties = properties(&schema, rows);
    let buffered = BufWriter::with_capacity(256 * 1024, file);
    let mut writer = ArrowWriter::try_new(buffered, schema.clone(), Some(properties))?;
    for part in &rows.parts {
        let part = conform(part, &schema).map_err(io::Error::other)?;
        writer.write(&part)?;
    }
    let file = writer.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.file.sync_all()?;
    let digest = file.digest.finalize();
    let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hex, file.bytes))
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

fn properties(schema: &SchemaRef, rows: &FileRows) -> WriterProperties {
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    for part in &rows.parts {
        if let Ok(batches) = longs(part, envelope::BATCH) {
            for batch in batches.values() {
                *counts.entry(u64::try_from(*batch).unwrap_or_default()).or_default() += 1;
            }
        }
    }
    let counts: Vec<_> =
        counts.into_iter().map(|(batch, rows)| BatchRows { batch, rows }).collect();
    let column = |name: &str| ColumnPath::new(vec![name.to_owned()]);
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("yagura {}", env!("CARGO_PKG_VERSION")))
        // Level 1 keeps up with intake; compaction chooses a stronger one.
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(ROW_GROUP_ROWS)
        .set_dictionary_page_size_limit(PAGE_BYTES)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_key_value_metadata(Some(vec![KeyValue::new(
            BATCHES_KEY.to_owned(),
            encode_batches(&counts),
        )]))
        .set_column_statistics_enabled(column(envelope::TIMESTAMP), EnabledStatistics::Page);
    for field in schema.fields() {
        properties = match field.data_type() {
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

struct HashingFile {
    file: File,
    digest: Sha256,
    bytes: u64,
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
