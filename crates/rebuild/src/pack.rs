//! All columns of a batch that are rebuilt, in the order in which they depend on each other.

use crate::target::{MESSAGE, ORIGINAL, Target};
use crate::{RebuildError, decode, encode};
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

/// Replaces `targets` by what is to be stored of them. A target without texts is left out.
///
/// The columns that `batch` has afterwards must be stored as they are. Targets that were already
/// replaced must be rebuilt first ([`unpack`]), above all before any other column changes.
pub fn pack(batch: &RecordBatch, targets: &[Target]) -> Result<RecordBatch, RebuildError> {
    let mut stored = batch.clone();
    for target in targets {
        let Some(texts) = batch.column_by_name(target.column) else { continue };
        if batch.column_by_name(target.template).is_some() {
            return Err(RebuildError::Column(target.template.to_owned()));
        }
        let encoded = encode(batch, texts, target)?;
        if encoded.rebuilt == 0 {
            continue;
        }
        let templates: ArrayRef = Arc::new(encoded.template);
        let parts: [(&str, ArrayRef); 3] = [
            (target.column, encoded.kept),
            (target.template, templates),
            (target.values, Arc::new(encoded.values)),
        ];
        for (name, array) in parts {
            stored = with(&stored, name, array)?;
        }
    }
    Ok(stored)
}

/// Gives back the batch that [`pack`] was given: the message first, because the received bytes refer
/// to it.
pub fn unpack(batch: &RecordBatch) -> Result<RecordBatch, RebuildError> {
    let mut whole = batch.clone();
    for target in [MESSAGE, ORIGINAL] {
        if whole.column_by_name(target.template).is_none() {
            continue;
        }
        let texts = decode(&whole, &target)?;
        let kind = whole.column_by_name(target.column).map(|column| column.data_type().clone());
        let texts = match kind {
            Some(kind) => fitted(&texts, &kind)?,
            None => texts,
        };
        whole = with(&whole, target.column, texts)?;
        for name in [target.template, target.values] {
            whole = without(&whole, name)?;
        }
    }
    Ok(whole)
}

/// Texts in another type of column.
fn fitted(texts: &ArrayRef, kind: &DataType) -> Result<ArrayRef, RebuildError> {
    let checked = match kind {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => texts.clone(),
        // An invalid text would become null without a word.
        _ => {
            let strings = cast(texts, &DataType::Utf8View)?;
            let lost = (0..texts.len()).find(|row| texts.is_valid(*row) && strings.is_null(*row));
            if let Some(row) = lost {
                return Err(RebuildError::NotText { row });
            }
            strings
        }
    };
    Ok(cast(&checked, kind)?)
}

/// The batch with a column replaced, or added at its end.
fn with(batch: &RecordBatch, name: &str, array: ArrayRef) -> Result<RecordBatch, RebuildError> {
    let mut fields: Vec<_> = batch.schema_ref().fields().iter().cloned().collect();
    let mut arrays = batch.columns().to_vec();
    let field = Arc::new(Field::new(name, array.data_type().clone(), true));
    match fields.iter().position(|known| known.name() == name) {
        Some(position) => (fields[position], arrays[position]) = (field, array),
        None => {
            fields.push(field);
            arrays.push(array);
        }
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

fn without(batch: &RecordBatch, name: &str) -> Result<RecordBatch, RebuildError> {
    let others = batch.schema_ref().fields().iter().enumerate();
    let kept: Vec<usize> =
        others.filter(|(_, field)| field.name() != name).map(|(at, _)| at).collect();
    Ok(batch.project(&kept)?)
}
