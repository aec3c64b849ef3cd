//! One growing column of a batch. Text is interned as it arrives, so each distinct value is kept
//! once and every later stage can work on distinct values instead of rows.

use arrow::array::{
    ArrayRef, BinaryBuilder, DictionaryArray, Int32Array, Int64Array, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Int32Type, TimeUnit};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Position of a column in a [`crate::BatchBuilder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnIndex(pub(crate) usize);

pub(crate) enum Column {
    Keyword(KeywordColumn),
    Text(StringBuilder),
    Binary(BinaryBuilder),
    Long(Vec<Option<i64>>),
    Date(Vec<Option<i64>>),
}

impl Column {
    pub(crate) fn new(kind: &DataType, hasher: &RandomState) -> Column {
        match kind {
            DataType::Utf8 => Column::Text(StringBuilder::new()),
            DataType::Binary => Column::Binary(BinaryBuilder::new()),
            DataType::Int64 => Column::Long(Vec::new()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Column::Date(Vec::new()),
            _ => Column::Keyword(KeywordColumn::new(hasher.clone())),
        }
    }

    pub(crate) fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        match self {
            Column::Keyword(column) => column.keys.len(),
            Column::Text(column) => column.len(),
            Column::Binary(column) => column.len(),
            Column::Long(column) | Column::Date(column) => column.len(),
        }
    }

    /// Adds nulls until the column has `rows` rows.
    pub(crate) fn pad(&mut self, rows: usize) {
        let missing = rows.saturating_sub(self.len());
        match self {
            Column::Keyword(column) => column.keys.resize(column.keys.len() + missing, -1),
            Column::Text(column) => (0..missing).for_each(|_| column.append_null()),
            Column::Binary(column) => (0..missing).for_each(|_| column.append_null()),
            Column::Long(column) | Column::Date(column) => {
                column.resize(column.len() + missing, None);
            }
        }
    }

    pub(crate) fn finish(&mut self) -> ArrayRef {
        match self {
            Column::Keyword(column) => column.finish(),
            Column::Text(column) => Arc::new(column.finish()),
            Column::Binary(column) => Arc::new(column.finish()),
            Column::Long(column) => Arc::new(Int64Array::from(std::mem::take(column))),
            Column::Date(column) => Arc::new(
                TimestampMicrosecondArray::from(std::mem::take(column)).with_timezone("UTC"),
            ),
        }
    }
}

/// Dictionary-encoded text: `keys[row]` is an index into the distinct values, or -1 for null.
pub(crate) struct KeywordColumn {
    keys: Vec<i32>,
    text: Vec<u8>,
    ends: Vec<i32>,
    seen: HashTable<i32>,
    hasher: RandomState,
}

impl KeywordColumn {
    fn new(hasher: RandomState) -> Self {
        KeywordColumn {
            keys: Vec::new(),
            text: Vec::new(),
            ends: Vec::new(),
            seen: HashTable::new(),
            hasher,
        }
    }

    /// Appends a value. A batch whose distinct text would pass 2 GiB takes nulls instead; the raw
    /// bytes keep the value, and batches are far smaller than that.
    pub(crate) fn push(&mut self, value: &str) {
        let hash = self.hasher.hash_one(value);
        let (text, ends, hasher) = (&self.text, &self.ends, &self.hasher);
        if let Some(key) = self.seen.find(hash, |&key| slice(text, ends, key) == value.as_bytes()) {
            self.keys.push(*key);
            return;
        }
        let end = self.text.len() + value.len();
        let (Ok(end), Ok(key)) = (i32::try_from(end), i32::try_from(self.ends.len())) else {
            self.keys.push(-1);
            return;
        };
        self.seen.insert_unique(hash, key, |&other| hash_bytes(hasher, slice(text, ends, other)));
        self.text.extend_from_slice(value.as_bytes());
        self.ends.push(end);
        self.keys.push(key);
    }

    /// Replaces the value of the newest row.
    pub(crate) fn replace_last(&mut self, value: &str) {
        self.keys.pop();
        self.push(value);
    }

    fn finish(&mut self) -> ArrayRef {
        let keys = std::mem::take(&mut self.keys);
        let present = BooleanBuffer::collect_bool(keys.len(), |row| keys[row] >= 0);
        let nulls = Some(NullBuffer::new(present)).filter(|nulls| nulls.null_count() > 0);
        let keys = Int32Array::new(ScalarBuffer::from(keys), nulls);
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        offsets.append(&mut self.ends);
        let values = StringArray::new(
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Buffer::from_vec(std::mem::take(&mut self.text)),
            None,
        );
        self.seen.clear();
        Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(values)))
    }
}

fn slice<'a>(text: &'a [u8], ends: &[i32], key: i32) -> &'a [u8] {
    let key = key as usize;
    let start = if key == 0 { 0 } else { ends[key - 1] as usize };
    &text[start..ends[key] as usize]
}

fn hash_bytes(hasher: &RandomState, bytes: &[u8]) -> u64 {
    // Proof: the column's text was appended from `&str` values, cut at the same ends.
    hasher.hash_one(std::str::from_utf8(bytes).unwrap_or_default())
}
