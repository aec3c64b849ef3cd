//! Rows without the columns in which none of them has a value: a dataset has hundreds of fields, an
//! event a few dozen of them, and events that lie beside each other have the same.

use crate::columns::ColumnKind;
use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, NullBufferBuilder, RecordBatch,
    RecordBatchOptions, StringArray, StringBuilder, new_null_array,
};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, FieldRef, Int32Type, Schema};
use arrow::error::ArrowError;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes that no value is in may be one in so many, and so many more.
const WASTE: usize = 8;
const WASTE_BYTES: usize = 4_096;

/// The rows with the columns in which one of them has a value, and without bytes that no row points
/// at: a page of a file would stay in memory as long as one row of it.
pub(crate) fn sparse(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = rows.schema_ref().fields().iter().zip(rows.columns());
    let occupied = columns.filter(|(_, array)| array.logical_null_count() < array.len());
    rows_of(occupied.map(|(field, array)| (field.clone(), tight(array))), rows.num_rows())
}

/// [`tight`] in every column.
pub(crate) fn tight_rows(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = rows.schema_ref().fields().iter().zip(rows.columns());
    rows_of(columns.map(|(field, array)| (field.clone(), tight(array))), rows.num_rows())
}

/// The same values, of which few bytes are in none.
pub(crate) fn tight(array: &ArrayRef) -> ArrayRef {
    let wasteful = |held: usize, lengths: &mut dyn Iterator<Item = u32>| {
        let used: usize = lengths.map(|length| length as usize).sum();
        held > used + used / WASTE + WASTE_BYTES
    };
    match array.data_type() {
        DataType::Utf8View => {
            let texts = array.as_string_view();
            let held = texts.data_buffers().iter().map(|buffer| buffer.capacity()).sum();
            if wasteful(held, &mut texts.lengths()) { Arc::new(texts.gc()) } else { array.clone() }
        }
        DataType::BinaryView => {
            let texts = array.as_binary_view();
            let held = texts.data_buffers().iter().map(|buffer| buffer.capacity()).sum();
            if wasteful(held, &mut texts.lengths()) { Arc::new(texts.gc()) } else { array.clone() }
        }
        _ => array.clone(),
    }
}

fn rows_of(
    columns: impl Iterator<Item = (FieldRef, ArrayRef)>,
    rows: usize,
) -> Result<RecordBatch, ArrowError> {
    let (fields, arrays): (Vec<FieldRef>, Vec<ArrayRef>) = columns.unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
}

/// Nulls of all types, made once.
#[derive(Default)]
pub(crate) struct Nulls(HashMap<DataType, ArrayRef>);

impl Nulls {
    pub(crate) fn get(&mut self, kind: &DataType, rows: usize) -> ArrayRef {
        match self.0.get(kind) {
            Some(array) if array.len() >= rows => array.slice(0, rows),
            _ => {
                let array = new_null_array(kind, rows);
                self.0.insert(kind.clone(), array.clone());
                array
            }
        }
    }
}

/// The rows at `places`, each a batch and a row of it, with the columns in which one of them has a
/// value.
pub(crate) fn interleaved(
    batches: &[&RecordBatch],
    places: &[(usize, usize)],
) -> Result<RecordBatch, ArrowError> {
    let mut positions: HashMap<&str, usize, RandomState> = HashMap::default();
    let mut columns: Vec<(&FieldRef, Vec<Option<&ArrayRef>>)> = Vec::new();
    for (number, batch) in batches.iter().enumerate() {
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let position = *positions.entry(field.name()).or_insert_with(|| {
                columns.push((field, vec![None; batches.len()]));
                columns.len() - 1
            });
            if let Some(place) = columns.get_mut(position).and_then(|(_, of)| of.get_mut(number)) {
                *place = Some(array);
            }
        }
    }
    let mut taken = Vec::with_capacity(columns.len());
    for (field, of) in columns {
        let array = match field.data_type() == &ColumnKind::Keyword.arrow() {
            true => keywords(&of, places)?,
            false => others(field.data_type(), &of, places)?,
        };
        if array.null_count() < array.len() {
            taken.push((field.clone(), array));
        }
    }
    rows_of(taken.into_iter(), places.len())
}

fn others(
    kind: &DataType,
    of: &[Option<&ArrayRef>],
    places: &[(usize, usize)],
) -> Result<ArrayRef, ArrowError> {
    let null = new_null_array(kind, 1);
    // The null comes first, then the arrays that are there.
    let mut arrays: Vec<&dyn Array> = vec![&null];
    let mut position = Vec::with_capacity(of.len());
    for array in of {
        position.push(array.map_or(0, |_| arrays.len()));
        arrays.extend(array.map(|array| &**array));
    }
    let at = |(batch, row): &(usize, usize)| match position.get(*batch) {
        Some(at) if *at > 0 => (*at, *row),
        _ => (0, 0),
    };
    let places: Vec<(usize, usize)> = places.iter().map(at).collect();
    interleave(&arrays, &places)
}

/// Each word once: the kernel would take all words of all batches along.
fn keywords(of: &[Option<&ArrayRef>], places: &[(usize, usize)]) -> Result<ArrayRef, ArrowError> {
    const UNKNOWN: i32 = -1;
    struct Words<'a> {
        keys: &'a Int32Array,
        values: &'a StringArray,
        new: Vec<i32>,
    }
    let mut words: Vec<Option<Words<'_>>> = of
        .iter()
        .map(|array| {
            let dictionary = (*array)?.as_dictionary_opt::<Int32Type>()?;
            let values = dictionary.values().as_string_opt::<i32>()?;
            Some(Words { keys: dictionary.keys(), values, new: Vec::new() })
        })
        .collect();
    let mut known: HashMap<&str, i32, RandomState> = HashMap::default();
    let mut list = StringBuilder::new();
    let mut keys: Vec<i32> = Vec::with_capacity(places.len());
    let mut valid = NullBufferBuilder::new(places.len());
    for (batch, row) in places {
        let word = words.get_mut(*batch).and_then(Option::as_mut).and_then(|words| {
            let Words { keys, values, new } = words;
            let key = keys.is_valid(*row).then(|| keys.value(*row))?;
            let key = usize::try_from(key).ok()?;
            if new.is_empty() {
                new.resize(values.len(), UNKNOWN);
            }
            let place = new.get_mut(key)?;
            if *place == UNKNOWN {
                let values = *values;
                let word = values.is_valid(key).then(|| values.value(key))?;
                *place = match known.get(word) {
                    Some(number) => *number,
                    None => {
                        let number = i32::try_from(known.len()).ok()?;
                        list.append_value(word);
                        known.insert(word, number);
                        number
                    }
                };
            }
            Some(*place)
        });
        keys.push(word.unwrap_or_default());
        valid.append(word.is_some());
    }
    let keys = Int32Array::new(keys.into(), valid.finish());
    let array = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(list.finish()))?;
    Ok(Arc::new(array))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BinaryViewArray, Int64Array, StringViewArray};
    use arrow::datatypes::Int64Type;

    fn words(list: &[Option<&str>]) -> ArrayRef {
        Arc::new(list.iter().copied().collect::<DictionaryArray<Int32Type>>())
    }

    #[test]
    fn rows_come_with_the_columns_that_some_have_a_value_in() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter([Some("a"), None, None]));
        let a = RecordBatch::try_from_iter([
            ("word", words(&[Some("x"), Some("y"), None])),
            ("number", numbers),
            ("text", texts),
        ]);
        let b = RecordBatch::try_from_iter([("word", words(&[Some("z"), Some("x"), Some("z")]))]);
        let (a, b) = (a.unwrap(), b.unwrap());
        let rows = interleaved(&[&a, &b], &[(1, 1), (0, 2), (0, 0), (1, 0)]).unwrap();
        let found = rows.column_by_name("word").unwrap().as_dictionary::<Int32Type>();
        let found = found.downcast_dict::<StringArray>().unwrap();
        let found: Vec<_> = found.into_iter().collect();
        assert_eq!(found, [Some("x"), None, Some("x"), Some("z")]);
        // Only words that a row has, and each once.
        let dictionary = rows.column_by_name("word").unwrap().as_dictionary::<Int32Type>();
        assert_eq!(dictionary.values().len(), 2);
        let numbers = rows.column_by_name("number").unwrap().as_primitive::<Int64Type>();
        assert_eq!(numbers.iter().collect::<Vec<_>>(), [None, Some(3), Some(1), None]);
        assert_eq!(rows.column_by_name("text").unwrap().null_count(), 3);
        let rows = interleaved(&[&a, &b], &[(1, 2), (0, 1)]).unwrap();
        assert_eq!((rows.num_columns(), rows.num_rows()), (1, 2));
        let rows = interleaved(&[&a, &b], &[(0, 1)]).unwrap();
        assert_eq!(sparse(&rows).unwrap().num_columns(), 1);
        assert_eq!(interleaved(&[&b], &[]).unwrap().num_rows(), 0);
    }

    #[test]
    fn bytes_of_no_row_are_let_go_when_they_are_too_many() {
        let used = 100 * WASTE;
        let texts = |unused: usize| -> ArrayRef {
            let texts = [vec![b'x'; used], vec![b'y'; unused]];
            let texts = BinaryViewArray::from_iter_values(&texts);
            let held: usize = texts.data_buffers().iter().map(|buffer| buffer.capacity()).sum();
            // As many bytes as they have, and no more.
            let exact = texts.data_buffers().iter().map(|buffer| buffer.as_slice().to_vec().into());
            assert!(held >= used + unused);
            let exact: Vec<arrow::buffer::Buffer> = exact.collect();
            Arc::new(BinaryViewArray::new(texts.views().clone(), exact, None).slice(0, 1))
        };
        let held = |texts: &ArrayRef| -> usize {
            let buffers = texts.as_binary_view().data_buffers().iter();
            buffers.map(|buffer| buffer.capacity()).sum()
        };
        let most = texts(100 + WASTE_BYTES);
        assert_eq!(held(&tight(&most)), held(&most));
        let more = texts(101 + WASTE_BYTES);
        assert!(held(&tight(&more)) < held(&more));
        assert_eq!(&tight(&more), &more);
    }
}
