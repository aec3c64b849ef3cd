//! Everything stored, part by part, as columns: for questions that must look at every event.
//!
//! A part is a Parquet file or a piece of the hot set. Its rows come as the batches they were when
//! they arrived: the fields' own names, text as text. Only the columns asked for are read, so a
//! question about three columns reads a few hundredths of a file.

use crate::LakeError;
use crate::columns::unescape;
use crate::file::FileEntry;
use crate::hot::Piece;
use crate::lake::Lake;
use crate::limits::HISTORY_ROWS;
use crate::location::Location;
use crate::packed::{Packed, stands_for};
use crate::read::{FileRows, RowsToTake, guarded};
use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::sync::Arc;
use yagura_event::{EventBatch, columns as envelope};

/// One consistent picture of everything stored: each event is in exactly one part.
#[derive(Debug, Clone)]
pub struct History {
    parts: Vec<HistoryPart>,
}

/// A Parquet file, or a piece of the hot set.
#[derive(Debug, Clone)]
pub struct HistoryPart {
    /// The dataset of all its events.
    pub dataset: Arc<str>,
    /// How many there are.
    pub rows: u64,
    /// Earliest and latest `@timestamp`, µs since 1970 (both inclusive), where it is known.
    pub time: Option<(i64, i64)>,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    /// The entry is held so that the file stays while somebody means to read it.
    File {
        location: Location,
        entry: Arc<FileEntry>,
    },
    Hot(Arc<Piece>),
}

/// What reading some columns of a part would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartSize {
    /// Columns it has of those asked for.
    pub columns: usize,
    /// Compressed bytes of these columns on disk; 0 for what is in memory.
    pub bytes: u64,
}

/// Columns without which rows say nothing: when, and which event.
const ALWAYS: [&str; 4] = [envelope::TIMESTAMP, envelope::STREAM, envelope::BATCH, envelope::INDEX];

impl Lake {
    /// Everything stored at this moment: files oldest first, then the hot set.
    pub fn history(&self) -> History {
        let table = self.events();
        let mut parts: Vec<HistoryPart> =
            table.files().iter().map(|file| self.part_of(file)).collect();
        parts.sort_by_key(|part| part.time.map_or(i64::MIN, |(first, _)| first));
        parts.extend(table.pieces().iter().map(|piece| HistoryPart {
            dataset: piece.dataset.clone(),
            rows: piece.columns.num_rows() as u64,
            time: piece.time,
            source: Source::Hot(piece.clone()),
        }));
        History { parts }
    }

    /// One file as a part.
    pub fn part_of(&self, file: &Arc<FileEntry>) -> HistoryPart {
        HistoryPart {
            dataset: file.dataset.clone(),
            rows: file.rows,
            time: file.time,
            source: Source::File { location: self.location(file), entry: file.clone() },
        }
    }
}

impl History {
    /// The parts.
    pub fn parts(&self) -> &[HistoryPart] {
        &self.parts
    }

    /// Events of all parts.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }
}

impl HistoryPart {
    /// The file's path within the table, if it is one.
    pub fn file(&self) -> Option<&str> {
        match &self.source {
            Source::File { entry, .. } => Some(&entry.path),
            Source::Hot(_) => None,
        }
    }

    /// Whether an event of it may have happened from `from` on and before `to` (µs since 1970).
    pub fn may_hold(&self, from: Option<i64>, to: Option<i64>) -> bool {
        let Some((first, last)) = self.time else { return true };
        from.is_none_or(|from| last >= from) && to.is_none_or(|to| first < to)
    }

    /// What reading the columns that `wanted` names would take. Reads a file's footer only.
    ///
    /// # Errors
    /// [`LakeError`], which names the file.
    pub fn size(&self, wanted: &dyn Fn(&str) -> bool) -> Result<PartSize, LakeError> {
        let mut size = PartSize::default();
        match &self.source {
            Source::Hot(piece) => {
                let schema = piece.columns.schema();
                let names = schema.fields().iter().map(|field| unescape(field.name()));
                size.columns = names.filter(|name| wanted(name)).count();
            }
            Source::File { location, .. } => guarded(location.name(), || {
                let file = location.open()?;
                let blame = file.blame(location);
                let builder = ParquetRecordBatchReaderBuilder::try_new(file)
                    .map_err(|error| blame.error(error))?;
                let schema = builder.parquet_schema();
                let fields = schema.root_schema().get_fields().iter().enumerate();
                let packed = Packed::of_footer(location.name(), builder.metadata())?;
                let needed = packed.as_ref().map(|it| it.needs(&|name| wanted(&unescape(name))));
                let needed = needed.unwrap_or_default();
                for (position, field) in fields {
                    let name = unescape(field.name());
                    let hidden = packed.is_some() && stands_for(field.name()).is_some();
                    let asked = !hidden && wanted(&name);
                    size.columns += usize::from(asked);
                    let read = asked || needed.contains(field.name());
                    if !read && !ALWAYS.contains(&name.as_str()) {
                        continue;
                    }
                    let groups = builder.metadata().row_groups().iter();
                    let chunks = groups.filter_map(|group| group.columns().get(position));
                    let bytes = chunks.map(|chunk| chunk.compressed_size());
                    size.bytes += bytes.filter_map(|bytes| u64::try_from(bytes).ok()).sum::<u64>();
                }
                Ok(())
            })?,
        }
        Ok(size)
    }

    /// Its rows with the columns that `wanted` names, in order, and those that say when and which
    /// event, at most [`HISTORY_ROWS`] at once.
    ///
    /// # Errors
    /// [`LakeError`], which names the file.
    pub fn read(&self, wanted: &dyn Fn(&str) -> bool) -> Result<HistoryRows, LakeError> {
        let wanted = |name: &str| ALWAYS.contains(&name) || wanted(name);
        self.open(&wanted, None)
    }

    /// All columns of the rows at `positions` (ascending, counted from the part's first row).
    ///
    /// # Errors
    /// [`LakeError`], which names the file.
    pub fn rows_at(&self, positions: &[u64]) -> Result<Vec<EventBatch>, LakeError> {
        self.open(&|_| true, Some(positions))?.collect()
    }

    fn open(
        &self,
        wanted: &dyn Fn(&str) -> bool,
        positions: Option<&[u64]>,
    ) -> Result<HistoryRows, LakeError> {
        let dataset = self.dataset.clone();
        match &self.source {
            Source::Hot(piece) => {
                let schema = piece.columns.schema();
                let fields = schema.fields().iter().enumerate();
                let kept: Vec<usize> = fields
                    .filter(|(_, field)| wanted(&unescape(field.name())))
                    .map(|(position, _)| position)
                    .collect();
                let mut rows = piece.columns.project(&kept)?;
                if let Some(positions) = positions {
                    let taken = arrow::array::UInt64Array::from(positions.to_vec());
                    rows = arrow::compute::take_record_batch(&rows, &taken)?;
                }
                Ok(HistoryRows { dataset, source: Rows::Hot(Some(rows)) })
            }
            Source::File { location, .. } => {
                let rows = RowsToTake { positions, at_once: Some(HISTORY_ROWS), batches: None };
                let wanted = |name: &str| wanted(&unescape(name));
                let rows = FileRows::with_columns(location, &wanted, &rows)?;
                Ok(HistoryRows { dataset, source: Rows::File(Box::new(rows)) })
            }
        }
    }
}

/// Rows of a part, batch by batch.
pub struct HistoryRows {
    dataset: Arc<str>,
    source: Rows,
}

enum Rows {
    Hot(Option<RecordBatch>),
    File(Box<FileRows>),
}

impl Iterator for HistoryRows {
    type Item = Result<EventBatch, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = match &mut self.source {
            Rows::Hot(rows) => {
                let rows = rows.as_mut()?;
                let count = rows.num_rows().min(HISTORY_ROWS);
                if count == 0 {
                    return None;
                }
                let first = rows.slice(0, count);
                *rows = rows.slice(count, rows.num_rows() - count);
                Ok(first)
            }
            Rows::File(rows) => match rows.next_rows() {
                Ok(rows) => Ok(rows?),
                Err(error) => Err(error),
            },
        };
        Some(rows.and_then(|rows| as_it_arrived(&self.dataset, &rows)))
    }
}

/// The fields' own names, and the types that events have when they arrive.
fn as_it_arrived(dataset: &Arc<str>, rows: &RecordBatch) -> Result<EventBatch, LakeError> {
    let mut fields = Vec::with_capacity(rows.num_columns());
    let mut arrays = Vec::with_capacity(rows.num_columns());
    for (field, array) in rows.schema().fields().iter().zip(rows.columns()) {
        let kind = match field.data_type() {
            DataType::Utf8View => DataType::Utf8,
            DataType::BinaryView => DataType::Binary,
            other => other.clone(),
        };
        arrays.push(cast(array, &kind)?);
        fields.push(Field::new(unescape(field.name()), kind, true));
    }
    let columns = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
    Ok(EventBatch { dataset: dataset.clone(), columns })
}
