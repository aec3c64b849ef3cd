//! Columns of a batch as text, whatever their type.

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use std::borrow::Cow;
use yagura_event::UtcMicros;

/// A column of a batch. Values are numbered: a *slot* is a distinct value where the column has a
/// dictionary, else a row.
pub(crate) enum View {
    Keyword { keys: DictionaryArray<Int32Type>, values: StringArray },
    Text(StringArray),
    Long(Int64Array),
    Time(TimestampMicrosecondArray),
}

impl View {
    /// Looks at a column; types that our own batches do not have are converted. `None` for what
    /// has no text, such as bytes.
    pub(crate) fn new(column: &ArrayRef) -> Option<View> {
        match column.data_type() {
            DataType::Dictionary(key, value)
                if **key == DataType::Int32 && **value == DataType::Utf8 =>
            {
                let keys = column.as_dictionary::<Int32Type>().clone();
                let values = keys.values().as_string::<i32>().clone();
                Some(View::Keyword { keys, values })
            }
            DataType::Utf8 => Some(View::Text(column.as_string::<i32>().clone())),
            DataType::Int64 => Some(View::Long(column.as_primitive::<Int64Type>().clone())),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Some(View::Time(column.as_primitive::<TimestampMicrosecondType>().clone()))
            }
            _ => View::new(&keyword_or_text(column)?),
        }
    }

    /// The slot of a row's value, if it has one.
    pub(crate) fn slot(&self, row: usize) -> Option<usize> {
        match self {
            View::Keyword { keys, values } => {
                keys.key(row).filter(|slot| *slot < values.len() && values.is_valid(*slot))
            }
            View::Text(values) => values.is_valid(row).then_some(row),
            View::Long(values) => values.is_valid(row).then_some(row),
            View::Time(values) => values.is_valid(row).then_some(row),
        }
    }

    /// The text of a slot that [`View::slot`] named.
    pub(crate) fn text(&self, slot: usize) -> Cow<'_, str> {
        match self {
            View::Keyword { values, .. } | View::Text(values) => Cow::Borrowed(values.value(slot)),
            View::Long(values) => Cow::Owned(values.value(slot).to_string()),
            View::Time(values) => {
                Cow::Owned(UtcMicros::from_micros(values.value(slot)).to_string())
            }
        }
    }
}

/// A column of a type that our own batches do not have as one that they have. `None` for what has
/// no text, such as bytes.
pub(crate) fn keyword_or_text(column: &ArrayRef) -> Option<ArrayRef> {
    let kind = match column.data_type() {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::Null => {
            return None;
        }
        kind if kind.is_nested() => return None,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Dictionary(..) => {
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
        }
        _ => DataType::Utf8,
    };
    cast(column, &kind).ok()
}
