//! The columns of the rows, read as text.

use crate::RebuildError;
use crate::target::Target;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, DictionaryArray, Int64Array,
    LargeBinaryArray, LargeStringArray, RecordBatch, StringArray, StringViewArray,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use std::collections::HashMap;
use std::sync::Arc;

/// Columns that begin so say where a row stands, or how it was read; no text depends on them.
const OURS: &str = "yagura.";

/// A column a template may refer to.
#[derive(Debug, Clone)]
pub(crate) enum Column {
    Keyword(DictionaryArray<Int32Type>, StringArray),
    Text(StringArray),
    LargeText(LargeStringArray),
    View(StringViewArray),
    Long(Int64Array),
    Date(TimestampMicrosecondArray),
}

impl Column {
    fn new(array: &ArrayRef) -> Option<Column> {
        Some(match array.data_type() {
            DataType::Utf8 => Column::Text(array.as_string().clone()),
            DataType::LargeUtf8 => Column::LargeText(array.as_string().clone()),
            DataType::Utf8View => Column::View(array.as_string_view().clone()),
            DataType::Int64 => Column::Long(array.as_primitive::<Int64Type>().clone()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Column::Date(array.as_primitive::<TimestampMicrosecondType>().clone())
            }
            DataType::Dictionary(_, value) => match (array.as_any_dictionary_opt(), &**value) {
                (Some(_), DataType::Utf8) if array.data_type() == &keyword_type() => {
                    let keyword = array.as_dictionary::<Int32Type>().clone();
                    let values = keyword.values().as_string::<i32>().clone();
                    Column::Keyword(keyword, values)
                }
                (Some(_), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
                    Column::View(cast(array, &DataType::Utf8View).ok()?.as_string_view().clone())
                }
                _ => return None,
            },
            _ => return None,
        })
    }

    /// The row's text; `None` for none, and for numbers and dates.
    pub(crate) fn text(&self, row: usize) -> Option<&str> {
        match self {
            Column::Keyword(keyword, values) => {
                let key = keyword.key(row)?;
                (key < values.len() && values.is_valid(key)).then(|| values.value(key))
            }
            Column::Text(array) => array.is_valid(row).then(|| array.value(row)),
            Column::LargeText(array) => array.is_valid(row).then(|| array.value(row)),
            Column::View(array) => array.is_valid(row).then(|| array.value(row)),
            Column::Long(_) | Column::Date(_) => None,
        }
    }

    /// The row's number.
    pub(crate) fn long(&self, row: usize) -> Option<i64> {
        match self {
            Column::Long(array) => array.is_valid(row).then(|| array.value(row)),
            _ => None,
        }
    }

    /// The row's instant, in µs since 1970 UTC.
    pub(crate) fn micros(&self, row: usize) -> Option<i64> {
        match self {
            Column::Date(array) => array.is_valid(row).then(|| array.value(row)),
            _ => None,
        }
    }

    /// Whether the row's value, as it is, reads `text`.
    pub(crate) fn reads(&self, row: usize, text: &[u8]) -> bool {
        match self {
            Column::Long(_) => self.long(row).is_some_and(|number| decimal(text) == Some(number)),
            Column::Date(_) => false,
            _ => self.text(row).is_some_and(|value| value.as_bytes() == text),
        }
    }
}

fn keyword_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The number that prints as exactly `text`.
pub(crate) fn decimal(text: &[u8]) -> Option<i64> {
    let (minus, digits) = match text.split_first()? {
        (b'-', digits) => (true, digits),
        _ => (false, text),
    };
    let canonical = match digits {
        [b'0'] => !minus,
        [b'0', ..] | [] => false,
        _ => digits.len() <= 19,
    };
    if !canonical {
        return None;
    }
    digits.iter().try_fold(0_i64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        let digit = if minus { -digit } else { digit };
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// All columns of a batch that templates may refer to, with their names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns {
    pub(crate) list: Vec<(Arc<str>, Column)>,
    positions: HashMap<Arc<str>, usize>,
}

impl Columns {
    /// Those of `batch` from which the texts of `target` may be rebuilt.
    pub(crate) fn new(batch: &RecordBatch, target: &Target) -> Self {
        let allowed = |name: &str| !name.starts_with(OURS) && !target.excludes(name);
        let list = batch.schema_ref().fields().iter().zip(batch.columns());
        let list = list
            .filter(|(field, _)| allowed(field.name()))
            .filter_map(|(field, array)| Some((field.name().as_str().into(), Column::new(array)?)));
        let list: Vec<(Arc<str>, Column)> = list.collect();
        let positions = list.iter().enumerate().rev().map(|(at, (name, _))| (name.clone(), at));
        Columns { positions: positions.collect(), list }
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    pub(crate) fn get(&self, position: usize) -> Option<&Column> {
        self.list.get(position).map(|(_, column)| column)
    }
}

/// A column of bytes, however it lies in memory.
#[derive(Debug, Clone)]
pub(crate) enum Bytes {
    Binary(BinaryArray),
    Large(LargeBinaryArray),
    View(BinaryViewArray),
    Text(Column),
    Dictionary(Vec<Option<usize>>, Box<Bytes>),
}

impl Bytes {
    pub(crate) fn new(name: &str, array: &ArrayRef) -> Result<Self, RebuildError> {
        let unfit = || RebuildError::Column(name.to_owned());
        Ok(match array.data_type() {
            DataType::Binary => Bytes::Binary(array.as_binary().clone()),
            DataType::LargeBinary => Bytes::Large(array.as_binary().clone()),
            DataType::BinaryView => Bytes::View(array.as_binary_view().clone()),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Bytes::Text(Column::new(array).ok_or_else(unfit)?)
            }
            DataType::Dictionary(_, _) => {
                let dictionary = array.as_any_dictionary_opt().ok_or_else(unfit)?;
                if matches!(dictionary.values().data_type(), DataType::Dictionary(_, _)) {
                    return Err(unfit());
                }
                let values = Bytes::new(name, dictionary.values())?;
                if values.len() == 0 {
                    return Ok(Bytes::Dictionary(vec![None; array.len()], Box::new(values)));
                }
                let nulls = dictionary.keys().nulls();
                let keys = dictionary.normalized_keys().into_iter().enumerate();
                let keys = keys
                    .map(|(row, key)| nulls.is_none_or(|nulls| nulls.is_valid(row)).then_some(key));
                Bytes::Dictionary(keys.collect(), Box::new(values))
            }
            _ => return Err(unfit()),
        })
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Bytes::Binary(array) => array.len(),
            Bytes::Large(array) => array.len(),
            Bytes::View(array) => array.len(),
            Bytes::Text(Column::Text(array)) => array.len(),
            Bytes::Text(Column::LargeText(array)) => array.len(),
            Bytes::Text(Column::View(array)) => array.len(),
            Bytes::Text(_) => 0,
            Bytes::Dictionary(keys, _) => keys.len(),
        }
    }

    pub(crate) fn get(&self, row: usize) -> Option<&[u8]> {
        if row >= self.len() {
            return None;
        }
        match self {
            Bytes::Binary(array) => array.is_valid(row).then(|| array.value(row)),
            Bytes::Large(array) => array.is_valid(row).then(|| array.value(row)),
            Bytes::View(array) => array.is_valid(row).then(|| array.value(row)),
            Bytes::Text(column) => column.text(row).map(str::as_bytes),
            Bytes::Dictionary(keys, values) => values.get((*keys.get(row)?)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_read_as_they_print(number in any::<i64>(), text in "-?[0-9]{0,20}") {
            prop_assert_eq!(decimal(number.to_string().as_bytes()), Some(number));
            let parsed = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
            prop_assert_eq!(decimal(text.as_bytes()), parsed);
        }
    }
}
