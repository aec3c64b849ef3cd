//! Takes the texts of rows apart on their way into a compacted file.

use crate::LakeError;
use crate::columns::ColumnKind;
use crate::limits::{PACK_BYTES, PACK_ROWS};
use crate::packed::{Packed, PackedText, TARGETS, stands_for};
use crate::sparse::interleaved;
use crate::text_index::MESSAGE as MESSAGE_COLUMN;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use yagura_event::columns as envelope;
use yagura_rebuild::{MESSAGE, RebuildError, Target, pack, referred};

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
        // A table from before these names were ours may have given them away.
        let taken = schema.fields().iter().any(|field| stands_for(field.name()).is_some());
        if *keep == KeepRaw::All || taken {
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
        match self.held_rows >= PACK_ROWS || self.held_bytes >= PACK_BYTES {
            true => self.take(),
            false => Ok(Vec::new()),
        }
    }

    /// The rows that are left.
    pub(crate) fn take(&mut self) -> Result<Vec<RecordBatch>, LakeError> {
        let mut held = std::mem::take(&mut self.held);
        (self.held_rows, self.held_bytes) = (0, 0);
        let rows = match held.len() {
            0 => return Ok(Vec::new()),
            1 => held.swap_remove(0),
            _ => joined(&held)?,
        };
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
        let taken_apart = || {
            let packed = pack(&rows, &self.targets)?;
            let columns = self.targets.iter().map(|target| columns_of(&packed, target));
            Ok::<_, RebuildError>((columns.collect::<Result<Vec<_>, _>>()?, packed))
        };
        // What was received is worth more than room: whatever goes wrong, it is stored as it is.
        let done = catch_unwind(AssertUnwindSafe(taken_apart));
        let reason = match done {
            Ok(Ok((columns, packed))) => return self.noted(&rows, columns, packed),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a fault of ours".to_owned(),
        };
        tracing::warn!(reason, "texts could not be taken apart: they are stored as they are");
        rows
    }

    /// Notes what the file must say of rows that were packed.
    fn noted(
        &mut self,
        rows: &RecordBatch,
        columns: Vec<BTreeSet<Arc<str>>>,
        packed: RecordBatch,
    ) -> RecordBatch {
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

/// Rows one behind the other.
fn joined(parts: &[RecordBatch]) -> Result<RecordBatch, LakeError> {
    let rows =
        |(number, part): (usize, &RecordBatch)| (0..part.num_rows()).map(move |row| (number, row));
    let places: Vec<(usize, usize)> = parts.iter().enumerate().flat_map(rows).collect();
    Ok(interleaved(&parts.iter().collect::<Vec<_>>(), &places)?)
}

/// The columns that the templates of a packed text refer to.
fn columns_of(packed: &RecordBatch, target: &Target) -> Result<BTreeSet<Arc<str>>, RebuildError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, BinaryViewArray, StringArray};

    fn rows(stream: &str, texts: &[&[u8]]) -> RecordBatch {
        let streams = StringArray::from(vec![stream; texts.len()]);
        let streams = cast(&streams, &keyword()).unwrap();
        let texts: ArrayRef = Arc::new(BinaryViewArray::from_iter_values(texts));
        RecordBatch::try_from_iter([(envelope::STREAM, streams), (envelope::ORIGINAL, texts)])
            .unwrap()
    }

    fn packer() -> Packer {
        let keep = KeepRaw::new(["kept".to_owned()]);
        Packer::new(&rows("kept", &[b""]).schema(), &keep).unwrap()
    }

    fn written(ready: &[RecordBatch]) -> Vec<usize> {
        ready.iter().map(RecordBatch::num_rows).collect()
    }

    #[test]
    fn rows_wait_until_there_are_enough() {
        let mut packer = packer();
        let many = rows("kept", &vec![&b"x"[..]; PACK_ROWS - 1]);
        assert!(packer.push(many).unwrap().is_empty());
        assert_eq!(written(&packer.push(rows("kept", &[b"x"])).unwrap()), [PACK_ROWS]);
        let half = vec![b'x'; PACK_BYTES / 2];
        assert!(packer.push(rows("kept", &[&half, &half[1..]])).unwrap().is_empty());
        assert_eq!(written(&packer.push(rows("kept", &[b"x"])).unwrap()), [3]);
        assert!(packer.take().unwrap().is_empty());
        assert!(packer.push(rows("kept", &[b"x"])).unwrap().is_empty());
        assert_eq!(written(&packer.take().unwrap()), [1]);
    }

    #[test]
    fn streams_that_are_kept_lie_whole_between_those_that_are_not() {
        let mut packer = packer();
        let texts: [&[u8]; 2] = [b"number 1", b"number 22"];
        for stream in ["a", "kept", "b", "b"] {
            assert!(packer.push(rows(stream, &texts)).unwrap().is_empty());
        }
        let ready = packer.take().unwrap();
        assert_eq!(written(&ready), [2, 2, 4]);
        let absent =
            |rows: &RecordBatch| rows.column_by_name(envelope::ORIGINAL).unwrap().null_count();
        assert_eq!(ready.iter().map(absent).collect::<Vec<_>>(), [2, 0, 4]);
        let taken = packer.schema().clone();
        let said = packer.finish();
        assert_eq!(said.rows_of(envelope::ORIGINAL), 6);
        assert_eq!(said.rows_at_once(), crate::limits::UNPACK_BYTES / "number 22".len());
        assert!(Packer::new(&rows("a", &texts).schema(), &KeepRaw::All).is_none());
        assert!(Packer::new(&taken, &KeepRaw::default()).is_none());
        let without = rows("a", &texts).project(&[0]).unwrap();
        assert!(Packer::new(&without.schema(), &KeepRaw::default()).is_none());
    }
}
