//! What is stored, and what was received of it: by dataset and by column, from the files' footers.

use crate::LakeError;
use crate::columns::unescape;
use crate::file::Order;
use crate::lake::Lake;
use crate::packed::{Packed, TARGETS, stands_for};
use crate::read::{corrupt, guarded, open};
use crate::writer::RECEIVED_KEY;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::file::metadata::ColumnChunkMetaData;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use yagura_event::columns as envelope;

/// What the files of a dataset take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatasetSize {
    /// Parquet files.
    pub files: u64,
    /// Those of them that were compacted.
    pub compacted: u64,
    /// Those of them that lie in a cold store.
    pub cold: u64,
    /// Bytes of these, without their text indexes, which stay.
    pub stored_cold: u64,
    /// Row groups of the files that do not lie in a cold store.
    pub row_groups: u64,
    /// Events.
    pub rows: u64,
    /// Bytes of the events as they were received.
    pub received: u64,
    /// Bytes of the files and of their text indexes.
    pub stored: u64,
    /// Bytes of the text indexes.
    pub text_index: u64,
    /// Each column of the files that do not lie in a cold store, by its field's name.
    pub columns: BTreeMap<String, ColumnSize>,
}

/// What a column takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ColumnSize {
    /// Bytes in the files.
    pub stored: u64,
    /// Bytes before compression, encoded.
    pub encoded: u64,
    /// Rows with a value; `None` where no file says.
    pub values: Option<u64>,
    /// Rows of which it is rebuilt from the other columns; what that takes is in `stored`.
    pub rebuilt: u64,
}

impl Lake {
    /// Every dataset of the table, with what its files take. Reads the end of every file, but of those in
    /// cold stores, which are not asked.
    ///
    /// # Errors
    /// [`LakeError`], which names the first file that does not read.
    pub fn sizes(&self) -> Result<BTreeMap<Arc<str>, DatasetSize>, LakeError> {
        let mut sizes: BTreeMap<Arc<str>, DatasetSize> = BTreeMap::new();
        for file in self.files() {
            let size = sizes.entry(file.dataset.clone()).or_default();
            size.files += 1;
            size.compacted += u64::from(file.order == Order::Source);
            size.rows += file.rows;
            let text_index = file.text_index.as_ref().map_or(0, |index| index.bytes);
            size.stored += file.bytes + text_index;
            size.text_index += text_index;
            match &file.cold {
                None => add_columns(size, &self.directory().join(&file.path))?,
                Some(cold) => {
                    size.cold += 1;
                    size.stored_cold += file.bytes;
                    size.received += cold.received;
                }
            }
        }
        Ok(sizes)
    }
}

fn metadata_of(path: &Path) -> Result<ArrowReaderMetadata, LakeError> {
    guarded(path, || {
        ArrowReaderMetadata::load(&open(path)?, Default::default())
            .map_err(|error| corrupt(path, error))
    })
}

/// Bytes that the events of a local file had when they were received.
pub(crate) fn received_of(path: &Path) -> Result<u64, LakeError> {
    let metadata = metadata_of(path)?;
    Ok(stated(&metadata).unwrap_or_else(|| {
        let groups = metadata.metadata().row_groups().iter().flat_map(|group| group.columns());
        let original = |chunk: &&ColumnChunkMetaData| {
            unescape(&chunk.column_path().parts().join(".")) == envelope::ORIGINAL
        };
        groups.filter(original).map(received_in).sum()
    }))
}

fn stated(metadata: &ArrowReaderMetadata) -> Option<u64> {
    let pairs = metadata.metadata().file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == RECEIVED_KEY)?.value.as_deref()?.parse().ok()
}

/// Of a file from before they said so: each value has its length before it, 4 bytes.
fn received_in(chunk: &ColumnChunkMetaData) -> u64 {
    bytes(chunk.uncompressed_size()).saturating_sub(bytes(chunk.num_values()) * 4)
}

fn bytes(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn add_columns(size: &mut DatasetSize, path: &Path) -> Result<(), LakeError> {
    let metadata = metadata_of(path)?;
    let stated = stated(&metadata);
    size.received += stated.unwrap_or_default();
    let packed = Packed::of_footer(path, metadata.metadata())?;
    for column in TARGETS.map(|target| target.column) {
        let rebuilt = packed.as_ref().map_or(0, |packed| packed.rows_of(column));
        if rebuilt > 0 {
            size.columns.entry(column.to_owned()).or_default().rebuilt += rebuilt;
        }
    }
    for group in metadata.metadata().row_groups() {
        size.row_groups += 1;
        for chunk in group.columns() {
            let stored_name = chunk.column_path().parts().join(".");
            // What rebuilds a text is counted with it.
            let hidden = packed.as_ref().and_then(|_| stands_for(&stored_name));
            let name = hidden.map_or_else(|| unescape(&stored_name), str::to_owned);
            if name == envelope::ORIGINAL && stated.is_none() {
                size.received += received_in(chunk);
            }
            let column = size.columns.entry(name).or_default();
            column.stored += bytes(chunk.compressed_size());
            column.encoded += bytes(chunk.uncompressed_size());
            if hidden.is_some() {
                continue;
            }
            let nulls = chunk.statistics().and_then(|statistics| statistics.null_count_opt());
            if let Some(nulls) = nulls {
                let values = bytes(chunk.num_values()).saturating_sub(nulls);
                *column.values.get_or_insert(0) += values;
            }
        }
    }
    Ok(())
}
