//! Columns of a batch as text, borrowed, whatever their type.

use crate::text::fold_into;
use crate::view::keyword_or_text;
use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use std::fmt::Write;
use yagura_event::UtcMicros;

/// A column of a batch. Values are numbered: a *slot* is a distinct value where the column has a
/// dictionary, else a row.
#[derive(Clone, Copy)]
pub(crate) enum Cells<'a> {
    Keyword { keys: &'a [i32], nulls: Option<&'a NullBuffer>, values: &'a StringArray },
    Text(&'a StringArray),
    Long(&'a Int64Array),
    Time(&'a TimestampMicrosecondArray),
}

/// Columns of a batch whose type is not one of ours, converted. By the batch's columns.
pub(crate) fn converted(batch: &RecordBatch) -> Vec<Option<ArrayRef>> {
    let foreign = |column: &ArrayRef| !is_ours(column.data_type());
    if !batch.columns().iter().any(foreign) {
        return Vec::new();
    }
    let convert = |column| if foreign(column) { keyword_or_text(column) } else { None };
    batch.columns().iter().map(convert).collect()
}

fn is_ours(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(key, value) => **key == DataType::Int32 && **value == DataType::Utf8,
        DataType::Utf8 | DataType::Int64 | DataType::Binary => true,
        DataType::Timestamp(TimeUnit::Microsecond, _) => true,
        _ => false,
    }
}

impl<'a> Cells<'a> {
    /// Looks at a column of one of our types; `None` for what has no text, such as bytes.
    pub(crate) fn new(column: &'a ArrayRef) -> Option<Cells<'a>> {
        match column.data_type() {
            DataType::Dictionary(..) => {
                let dictionary = column.as_dictionary_opt::<Int32Type>()?;
                let keys = dictionary.keys();
                let values = dictionary.values().as_string_opt::<i32>()?;
                Some(Cells::Keyword { keys: keys.values(), nulls: keys.nulls(), values })
            }
            DataType::Utf8 => column.as_string_opt::<i32>().map(Cells::Text),
            DataType::Int64 => column.as_primitive_opt::<Int64Type>().map(Cells::Long),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                column.as_primitive_opt::<TimestampMicrosecondType>().map(Cells::Time)
            }
            _ => None,
        }
    }

    /// Whether it holds text: only such columns are searched for keywords.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Cells::Keyword { .. } | Cells::Text(_))
    }

    /// Number of slots.
    pub(crate) fn slots(&self) -> usize {
        match self {
            Cells::Keyword { values, .. } | Cells::Text(values) => values.len(),
            Cells::Long(values) => values.len(),
            Cells::Time(values) => values.len(),
        }
    }

    /// Whether a slot holds a value.
    #[inline]
    pub(crate) fn has_value(&self, slot: usize) -> bool {
        match self {
            Cells::Keyword { values, .. } | Cells::Text(values) => values.is_valid(slot),
            Cells::Long(values) => values.is_valid(slot),
            Cells::Time(values) => values.is_valid(slot),
        }
    }

    /// The slot of a row's value, if it has one.
    #[inline]
    pub(crate) fn slot(&self, row: usize) -> Option<usize> {
        match self {
            Cells::Keyword { keys, nulls, values } => {
                if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                    return None;
                }
                let slot = usize::try_from(keys[row]).ok()?;
                (slot < values.len() && values.is_valid(slot)).then_some(slot)
            }
            _ => self.has_value(row).then_some(row),
        }
    }

    /// The text of a slot that [`Cells::slot`] named; numbers and times are written to `buffer`.
    pub(crate) fn text<'t>(&self, slot: usize, buffer: &'t mut String) -> &'t str
    where
        'a: 't,
    {
        match *self {
            Cells::Keyword { values, .. } | Cells::Text(values) => return values.value(slot),
            // Proof: writing to a `String` cannot fail.
            Cells::Long(values) => {
                buffer.clear();
                let _ = write!(buffer, "{}", values.value(slot));
            }
            Cells::Time(values) => {
                buffer.clear();
                let _ = write!(buffer, "{}", UtcMicros::from_micros(values.value(slot)));
            }
        }
        buffer
    }
}

/// A column, and the value last asked for in both forms: predicates of one rule, and of rules for
/// one row, ask for the same value again and again.
pub(crate) struct Read<'a> {
    pub(crate) cells: Cells<'a>,
    slot: usize,
    written: String,
    folded: String,
    /// Whether the folded form is the value itself.
    same: bool,
}

impl<'a> Read<'a> {
    pub(crate) fn new(cells: Cells<'a>) -> Read<'a> {
        let (written, folded) = (String::new(), String::new());
        Read { cells, slot: usize::MAX, written, folded, same: true }
    }

    /// The value of a row and its folded form.
    pub(crate) fn value(&mut self, row: usize) -> Option<(&str, &str)> {
        self.slot_and_value(row).map(|(_, value, folded)| (value, folded))
    }

    /// The same, and the value's slot.
    pub(crate) fn slot_and_value(&mut self, row: usize) -> Option<(usize, &str, &str)> {
        let slot = self.cells.slot(row)?;
        let fresh = self.slot != slot;
        if fresh {
            self.slot = slot;
        }
        let value = match (fresh, &self.cells) {
            (false, Cells::Long(_) | Cells::Time(_)) => self.written.as_str(),
            _ => self.cells.text(slot, &mut self.written),
        };
        if fresh {
            let folded = fold_into(value, &mut self.folded);
            self.same = std::ptr::eq(folded.as_ptr(), value.as_ptr());
        }
        Some((slot, value, if self.same { value } else { &self.folded }))
    }
}
