//! Events in memory, kept by batch and dataset.

use crate::LakeError;
use crate::limits::HOT_PIECES_PER_CLASS;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::compute::{concat_batches, filter_record_batch, kernels};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use yagura_event::columns as envelope;

/// Some rows of one batch and dataset, in ledger order, fitted to the table's columns.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) batch: u64,
    pub(crate) dataset: Arc<str>,
    pub(crate) columns: RecordBatch,
    /// Earliest and latest `@timestamp`.
    pub(crate) time: Option<(i64, i64)>,
    pub(crate) bytes: usize,
    /// Times it was merged; pieces of one class are merged with each other only.
    class: u32,
}

impl Piece {
    fn new(batch: u64, dataset: Arc<str>, columns: RecordBatch, bytes: usize, class: u32) -> Self {
        let time = time_range(&columns);
        Piece { batch, dataset, columns, time, bytes, class }
    }
}

/// The hot set. Pieces are never changed, so a reader keeps the ones it was given.
#[derive(Debug, Default)]
pub(crate) struct HotSet {
    pieces: BTreeMap<(u64, Arc<str>), Vec<Arc<Piece>>>,
    bytes: usize,
    rows: u64,
}

impl HotSet {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds fitted rows of one batch.
    pub(crate) fn insert(
        &mut self,
        batch: u64,
        dataset: &Arc<str>,
        columns: RecordBatch,
        bytes: usize,
    ) -> Result<(), LakeError> {
        self.bytes += bytes;
        self.rows += columns.num_rows() as u64;
        let list = self.pieces.entry((batch, dataset.clone())).or_default();
        list.push(Arc::new(Piece::new(batch, dataset.clone(), columns, bytes, 0)));
        self.bytes = self.bytes.saturating_add_signed(merge_full_classes(list)?);
        Ok(())
    }

    pub(crate) fn all(&self) -> Vec<Arc<Piece>> {
        self.pieces.values().flatten().cloned().collect()
    }

    pub(crate) fn of_batch(&self, batch: u64) -> Vec<Arc<Piece>> {
        let pieces = self.pieces.range((batch, Arc::from(""))..);
        let pieces = pieces.take_while(|((number, _), _)| *number == batch);
        pieces.flat_map(|(_, list)| list.iter().cloned()).collect()
    }

    /// Forgets whole batches.
    pub(crate) fn remove(&mut self, batches: &HashSet<u64>) {
        self.pieces.retain(|(batch, _), list| {
            let keep = !batches.contains(batch);
            if !keep {
                self.bytes -= list.iter().map(|piece| piece.bytes).sum::<usize>().min(self.bytes);
                self.rows -= list.iter().map(|piece| piece.columns.num_rows() as u64).sum::<u64>();
            }
            keep
        });
    }
}

/// Merges the last pieces while [`HOT_PIECES_PER_CLASS`] of one class lie at the end. Returns the
/// change in bytes.
fn merge_full_classes(list: &mut Vec<Arc<Piece>>) -> Result<isize, LakeError> {
    let mut change = 0isize;
    while let Some(last) = list.last() {
        let (batch, dataset, class) = (last.batch, last.dataset.clone(), last.class);
        let count = list.iter().rev().take_while(|piece| piece.class == class).count();
        if count < HOT_PIECES_PER_CLASS {
            break;
        }
        let merged = list.split_off(list.len() - count);
        let before: usize = merged.iter().map(|piece| piece.bytes).sum();
        let columns = concat(merged.iter().map(|piece| &piece.columns))?;
        let bytes = columns.get_array_memory_size();
        list.push(Arc::new(Piece::new(batch, dataset, columns, bytes, class + 1)));
        change += isize::try_from(bytes).unwrap_or(0) - isize::try_from(before).unwrap_or(0);
    }
    Ok(change)
}

/// One batch of rows from several that may differ in columns.
pub(crate) fn concat<'a>(
    parts: impl Iterator<Item = &'a RecordBatch> + Clone,
) -> Result<RecordBatch, LakeError> {
    let schema = union_schema(parts.clone());
    let parts: Vec<_> = parts.map(|part| conform(part, &schema)).collect::<Result<_, _>>()?;
    Ok(concat_batches(&schema, &parts)?)
}

/// Every column that occurs, in order of first appearance.
pub(crate) fn union_schema<'a>(parts: impl Iterator<Item = &'a RecordBatch>) -> SchemaRef {
    let mut seen = HashSet::new();
    let mut fields = Vec::new();
    for part in parts {
        for field in part.schema_ref().fields() {
            if seen.insert(field.name().clone()) {
                fields.push(field.clone());
            }
        }
    }
    Arc::new(Schema::new(fields))
}

/// The columns of `schema` from `rows`; nulls where it has none.
pub(crate) fn conform(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, LakeError> {
    let column = |name: &str, data_type: &DataType| -> ArrayRef {
        match rows.column_by_name(name) {
            Some(array) => array.clone(),
            None => new_null_array(data_type, rows.num_rows()),
        }
    };
    let arrays = schema.fields().iter().map(|f| column(f.name(), f.data_type())).collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?)
}

/// The numbers of a 64-bit integer column of the envelope.
pub(crate) fn longs<'a>(
    rows: &'a RecordBatch,
    name: &'static str,
) -> Result<&'a arrow::array::Int64Array, LakeError> {
    rows.column_by_name(name)
        .and_then(|array| array.as_primitive_opt::<Int64Type>())
        .ok_or(LakeError::Envelope(name))
}

/// The microseconds of an instant column.
pub(crate) fn micros<'a>(
    rows: &'a RecordBatch,
    name: &'static str,
) -> Result<&'a arrow::array::TimestampMicrosecondArray, LakeError> {
    rows.column_by_name(name)
        .and_then(|array| array.as_primitive_opt::<TimestampMicrosecondType>())
        .ok_or(LakeError::Envelope(name))
}

/// Earliest and latest `@timestamp`.
pub(crate) fn time_range(rows: &RecordBatch) -> Option<(i64, i64)> {
    let times = micros(rows, envelope::TIMESTAMP).ok()?;
    Some((kernels::aggregate::min(times)?, kernels::aggregate::max(times)?))
}

/// Splits rows by a key, each part in the order of the rows. Usually there is one part, which is
/// not copied.
pub(crate) fn split_by(
    rows: &RecordBatch,
    keys: &[i64],
) -> Result<Vec<(i64, RecordBatch)>, LakeError> {
    let distinct: std::collections::BTreeSet<i64> = keys.iter().copied().collect();
    if distinct.len() == 1 {
        return Ok(distinct.into_iter().map(|key| (key, rows.clone())).collect());
    }
    let mut parts = Vec::with_capacity(distinct.len());
    for key in distinct {
        let mask = keys.iter().map(|other| Some(*other == key)).collect();
        parts.push((key, filter_record_batch(rows, &mask)?));
    }
    Ok(parts)
}

/// The batch number of every row.
pub(crate) fn batch_numbers(rows: &RecordBatch) -> Result<Vec<i64>, LakeError> {
    let numbers = longs(rows, envelope::BATCH)?;
    if numbers.null_count() > 0 || numbers.values().iter().any(|number| *number < 0) {
        return Err(LakeError::Envelope(envelope::BATCH));
    }
    Ok(numbers.values().to_vec())
}
