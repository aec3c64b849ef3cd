//! Rebuilds the texts of stored rows.

use crate::RebuildError;
use crate::columns::{Bytes, Columns};
use crate::fill::{Filler, Unfilled};
use crate::limits::{DECODED_BYTES_MAX, TEMPLATES_MAX};
use crate::target::Target;
use crate::template::Template;
use arrow::array::{Array, ArrayRef, BinaryViewBuilder, RecordBatch};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::Arc;

/// Rebuilds the texts of one batch of stored rows, in any order.
pub struct Decoder {
    columns: Columns,
    kept: Option<Bytes>,
    template: Option<Bytes>,
    values: Option<Bytes>,
    known: HashMap<Vec<u8>, Result<Arc<Template>, usize>, RandomState>,
    /// The template of the row before; most follow their like.
    last: Option<(Vec<u8>, Arc<Template>)>,
    filler: Filler,
    rows: usize,
}

impl Decoder {
    /// For `batch`, which must have all columns of the stored rows. Columns of `target` that are
    /// missing count as null.
    pub fn new(batch: &RecordBatch, target: &Target) -> Result<Self, RebuildError> {
        let bytes = |name: &str| {
            batch.column_by_name(name).map(|array| Bytes::new(name, array)).transpose()
        };
        Ok(Decoder {
            columns: Columns::new(batch, target),
            kept: bytes(target.column)?,
            template: bytes(target.template)?,
            values: bytes(target.values)?,
            known: HashMap::default(),
            last: None,
            filler: Filler::default(),
            rows: batch.num_rows(),
        })
    }

    /// Appends the text of `row`, counted from 0. `false` where the row has none.
    pub fn row(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, RebuildError> {
        if let Some(kept) = self.kept.as_ref().and_then(|kept| kept.get(row)) {
            out.extend(kept);
            return Ok(true);
        }
        let Some(bytes) = self.template.as_ref().and_then(|template| template.get(row)) else {
            return Ok(false);
        };
        let template = match &self.last {
            Some((last, template)) if last == bytes => template.clone(),
            _ => {
                let found = match self.known.get(bytes) {
                    Some(known) => known.clone(),
                    None => {
                        if self.known.len() >= TEMPLATES_MAX {
                            self.known.clear();
                        }
                        let read = Template::read(bytes, &self.columns).map(Arc::new);
                        self.known.insert(bytes.to_vec(), read.clone());
                        read
                    }
                };
                let template = found.map_err(|at| RebuildError::Template { row, at })?;
                self.last = Some((bytes.to_vec(), template.clone()));
                template
            }
        };
        let values = self.values.as_ref().and_then(|values| values.get(row));
        let begin = out.len();
        let filled = self.filler.fill(&template, values, &self.columns, row, out);
        filled.map_err(|unfilled| {
            out.truncate(begin);
            match unfilled {
                Unfilled::Slot(slot) => RebuildError::Slot { row, slot },
                Unfilled::LeftOver => RebuildError::LeftOver { row },
                Unfilled::TooLong => RebuildError::TooLong { row },
            }
        })?;
        Ok(true)
    }

    /// All texts.
    fn all(&mut self, bytes_max: usize) -> Result<ArrayRef, RebuildError> {
        let mut texts = BinaryViewBuilder::with_capacity(self.rows);
        let (mut text, mut bytes) = (Vec::new(), 0_usize);
        for row in 0..self.rows {
            text.clear();
            if self.row(row, &mut text)? {
                bytes += text.len();
                if bytes > bytes_max {
                    return Err(RebuildError::TooMuch { rows: self.rows });
                }
                texts.append_value(&text);
            } else {
                texts.append_null();
            }
        }
        Ok(Arc::new(texts.finish()))
    }
}

/// Rebuilds the texts of all rows, as `BinaryView`. Fails at the first row that is damaged;
/// [`Decoder`] gives the others.
pub fn decode(batch: &RecordBatch, target: &Target) -> Result<ArrayRef, RebuildError> {
    let texts = Decoder::new(batch, target)?.all(DECODED_BYTES_MAX)?;
    debug_assert_eq!(texts.len(), batch.num_rows());
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::ORIGINAL;
    use arrow::array::BinaryArray;

    #[test]
    fn a_batch_has_a_last_byte() {
        let texts: ArrayRef = Arc::new(BinaryArray::from_iter_values(["abc", "de"]));
        let batch = RecordBatch::try_from_iter([(ORIGINAL.column, texts)]).unwrap();
        let mut decoder = Decoder::new(&batch, &ORIGINAL).unwrap();
        assert!(decoder.all(5).is_ok());
        assert_eq!(decoder.all(4).unwrap_err(), RebuildError::TooMuch { rows: 2 });
    }
}
