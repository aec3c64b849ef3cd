//! Takes the texts of rows apart on their way into a compacted file.

use crate::LakeError;
use crate::columns::ColumnKind;
use crate::hot::concat;
use crate::limits::{PACK_BYTES, ROW_GROUP_ROWS};
use crate::packed::{Packed, PackedText, TARGETS};
use crate::text_index::MESSAGE as MESSAGE_COLUMN;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use yagura_event::columns as envelope;
use yagura_rebuild::{MESSAGE, Target, pack, referred};

/// Streams of which compacted files keep every text as it is, for whoever reads the files without us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepRaw {
    /// All.
    All,
    /// These, by name.
    Streams(BTreeSet<String>),
}

impl Default for KeepRaw {
    fn default() -> Self {
        KeepRaw::Streams(BTreeSet::new())
    }
}

impl KeepRaw {
    /// These streams; `*` for all.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let names: BTreeSet<String> = names.into_iter().collect();
        if names.contains("*") { KeepRaw::All } else { KeepRaw::Streams(names) }
    }

    fn keeps(&self, stream: &str) -> bool {
        match self {
            KeepRaw::All => true,
            KeepRaw::Streams(names) => names.contains(stream),
        }
    }

    /// Stretches of rows one behind the other, and whether their texts are kept.
    fn stretches(&self, rows: &RecordBatch) -> Result<Vec<(Range<usize>, bool)>, LakeError> {
        let streams = rows.column_by_name(envelope::STREAM);
        let streams = cast(streams.ok_or(LakeError::Envelope(envelope::STREAM))?, &keyword())?;
        let streams = streams.as_dictionary::<Int32Type>();
        let names = streams.values().as_string::<i32>();
        let kept: Vec<bool> =
            names.iter().map(|name| self.keeps(name.unwrap_or_default())).collect();
        let kept = |row: usize| streams.key(row).is_some_and(|key| kept.get(key) == Some(&true));
        let mut stretches: Vec<(Range<usize>, bool)> = Vec::new();
        for row in 0..rows.num_rows() {
            match stretches.last_mut() {
                Some((stretch, keep)) if *keep == kept(row) => stretch.end = row + 1,
                _ => stretches.push((row..row + 1, kept(row))),
            }
        }
        Ok(stretches)
    }
}

fn keyword() -> DataType {
    ColumnKind::Keyword.arrow()
}

/// Collects rows until it is worth taking their texts apart together.
pub(crate) struct Packer {
    keep: KeepRaw,
    targets: Vec<Target>,
    schema: SchemaRef,
    held: Vec<RecordBatch>,
    held_rows: usize,
    held_bytes: usize,
    texts: Vec<PackedText>,
    longest: usize,
}

impl Packer {
    /// For rows with the columns of `schema`; `None` where no text can be taken apart.
    pub(crate) fn new(schema: &SchemaRef, keep: &KeepRaw) -> Option<Self> {
        if *keep == KeepRaw::All {
            return None;
        }
        let fits = |target: &&Target| {
            let kind = schema.field_with_name(target.column).ok().map(|field| field.data_type());
            match target.column {
                MESSAGE_COLUMN => kind.is_some_and(|k| *k == DataType::Utf8View || *k == keyword()),
                _ => kind == Some(&DataType::BinaryView),
            }
        };
        let targets: Vec<Target> = TARGETS.iter().filter(fits).copied().collect();
        if targets.is_empty() {
            return None;
        }
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        let template = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Binary));
        for target in &targets {
            fields.push(Arc::new(Field::new(target.template, template.clone(), true)));
            fields.push(Arc::new(Field::new(target.values, DataType::BinaryView, true)));
        }
        Some(Packer {
            keep: keep.clone(),
            texts: vec![PackedText::default(); targets.len()],
            targets,
            schema: Arc::new(Schema::new(fields)),
            held: Vec::new(),
            held_rows: 0,
            held_bytes: 0,
            longest: 0,
        })
    }

    /// The columns of what it gives back.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Takes rows; gives back those that are ready to be written.
    pub(crate) fn push(&mut self, rows: RecordBatch) -> Result<Vec<RecordBatch>, LakeError> {
        for target in &self.targets {
            let texts = rows.column_by_name(target.column);
            let Some(texts) = texts.and_then(|texts| texts.as_binary_view_opt()) else { continue };
            self.held_bytes += texts.lengths().map(|length| length as usize).sum::<usize>();
        }
        self.held_rows += rows.num_rows();
        self.held.push(rows);
        match self.held_rows >= ROW_GROUP_ROWS || self.held_bytes >= PACK_BYTES {
            true => self.take(),
            false => Ok(Vec::new()),
        }
    }

    /// The rows that are left.
    pub(crate) fn take(&mut self) -> Result<Vec<RecordBatch>, LakeError> {
        let held = std::mem::take(&mut self.held);
        (self.held_rows, self.held_bytes) = (0, 0);
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let rows = concat(held.iter())?;
        drop(held);
        let mut ready = Vec::new();
        for (stretch, keep) in self.keep.stretches(&rows)? {
            let rows = rows.slice(stretch.start, stretch.len());
            ready.push(if keep { rows } else { self.packed(rows) });
        }
        Ok(ready)
    }

    /// The rows without the texts that can be rebuilt.
    fn packed(&mut self, rows: RecordBatch) -> RecordBatch {
        let done = pack(&rows, &self.targets).and_then(|packed| {
            let mut columns = Vec::with_capacity(self.targets.len());
            for target in &self.targets {
                columns.push(columns_of(&packed, target)?);
            }
            Ok((packed, columns))
        });
        let (packed, columns) = match done {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(%error, "texts could not be taken apart: they are stored as they are");
                return rows;
            }
        };
        for ((target, text), names) in self.targets.iter().zip(&mut self.texts).zip(columns) {
            text.columns.extend(names);
            let template = packed.column_by_name(target.template);
            text.rows += template.map_or(0, |t| (t.len() - t.logical_null_count()) as u64);
            let longest = rows.column_by_name(target.column).and_then(|texts| longest_text(texts));
            self.longest = self.longest.max(longest.unwrap_or_default());
        }
        packed
    }

    /// What the file says of all this.
    pub(crate) fn finish(self) -> Packed {
        let (mut message, mut original) = (None, None);
        for (target, text) in self.targets.into_iter().zip(self.texts) {
            match target == MESSAGE {
                true => message = Some(text),
                false => original = Some(text),
            }
        }
        Packed::new(message, original, self.longest)
    }
}

/// The columns that the templates of a packed text refer to.
fn columns_of(
    packed: &RecordBatch,
    target: &Target,
) -> Result<BTreeSet<Arc<str>>, yagura_rebuild::RebuildError> {
    let template = packed.column_by_name(target.template);
    let template = template.and_then(|template| template.as_dictionary_opt::<Int32Type>());
    let Some(values) = template.and_then(|template| template.values().as_binary_opt::<i32>())
    else {
        return Ok(BTreeSet::new());
    };
    let mut names = BTreeSet::new();
    for template in values.iter().flatten() {
        names.extend(referred(template)?.into_iter().map(Arc::from));
    }
    Ok(names)
}

/// Length of the longest text of a column, in bytes.
fn longest_text(texts: &dyn Array) -> Option<usize> {
    let longest = match texts.data_type() {
        DataType::BinaryView => texts.as_binary_view().lengths().max(),
        DataType::Utf8View => texts.as_string_view().lengths().max(),
        _ => {
            let values = texts.as_dictionary_opt::<Int32Type>()?.values();
            return values.as_string_opt::<i32>()?.iter().flatten().map(str::len).max();
        }
    };
    longest.map(|length| length as usize)
}
