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

/// One of the distinct values of a keyword column, as [`crate::BatchBuilder::set_at`] answered it.
/// Means something for that column only, and only until the batch is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueKey(pub(crate) i32);

impl ValueKey {
    /// The key of a column's first value.
    pub const FIRST: ValueKey = ValueKey(0);

    /// The number of the value: values of a column are numbered from 0 as they first appear.
    pub fn index(self) -> usize {
        // Keys are never negative, see `KeywordColumn::key`.
        usize::try_from(self.0).unwrap_or(0)
    }
}

pub(crate) enum Column {
    Keyword(KeywordColumn),
    Text(StringBuilder),
    Binary(BinaryBuilder),
    Long(Vec<Option<i64>>),
    Date(Vec<Option<i64>>),
}

impl Column {
    /// An empty column with room for `rows` rows.
    pub(crate) fn new(kind: &DataType, hasher: &RandomState, rows: usize) -> Column {
        match kind {
            DataType::Utf8 => Column::Text(StringBuilder::with_capacity(rows, 0)),
            DataType::Binary => Column::Binary(BinaryBuilder::with_capacity(rows, 0)),
            DataType::Int64 => Column::Long(Vec::with_capacity(rows)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Column::Date(Vec::with_capacity(rows)),
            _ => Column::Keyword(KeywordColumn::new(hasher.clone(), rows)),
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
    seen: HashTable<Seen>,
    hasher: RandomState,
    /// The key of the value that came last, -1 at first.
    last: i32,
}

/// A distinct value. Its hash is kept, so that growing the table reads no text.
struct Seen {
    hash: u64,
    key: i32,
}

impl KeywordColumn {
    fn new(hasher: RandomState, rows: usize) -> Self {
        KeywordColumn {
            keys: Vec::with_capacity(rows),
            text: Vec::new(),
            ends: Vec::new(),
            seen: HashTable::new(),
            hasher,
            last: -1,
        }
    }

    /// Appends a value.
    pub(crate) fn push(&mut self, value: &str) -> Option<ValueKey> {
        let key = self.key(value);
        self.keys.push(key);
        (key >= 0).then_some(ValueKey(key))
    }

    /// Replaces the value of the newest row.
    pub(crate) fn replace_last(&mut self, value: &str) -> Option<ValueKey> {
        self.keys.pop();
        self.push(value)
    }

    /// Sets the newest row, which is `again` there already, to a value known by its key.
    pub(crate) fn put_key(&mut self, key: ValueKey, again: bool) {
        // A key of another column or batch must not point past the values.
        let key = if key.index() < self.ends.len() { key.0 } else { -1 };
        match self.keys.last_mut() {
            Some(last) if again => *last = key,
            _ => self.keys.push(key),
        }
    }

    /// The key of `value`. A batch whose distinct text would pass 2 GiB has nulls (-1) instead; the
    /// raw bytes keep the value, and batches are far smaller than that.
    fn key(&mut self, value: &str) -> i32 {
        // Logs repeat themselves: very often this is the value of the row before.
        if self.last >= 0 && slice(&self.text, &self.ends, self.last) == value.as_bytes() {
            return self.last;
        }
        let hash = self.hasher.hash_one(value.as_bytes());
        let (text, ends) = (&self.text, &self.ends);
        let same =
            |seen: &Seen| seen.hash == hash && slice(text, ends, seen.key) == value.as_bytes();
        if let Some(seen) = self.seen.find(hash, same) {
            self.last = seen.key;
            return seen.key;
        }
        let end = self.text.len() + value.len();
        let (Ok(end), Ok(key)) = (i32::try_from(end), i32::try_from(self.ends.len())) else {
            return -1;
        };
        self.seen.insert_unique(hash, Seen { hash, key }, |seen| seen.hash);
        self.text.extend_from_slice(value.as_bytes());
        self.ends.push(end);
        self.last = key;
        key
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
        self.last = -1;
        Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(values)))
    }
}

fn slice<'a>(text: &'a [u8], ends: &[i32], key: i32) -> &'a [u8] {
    let key = key as usize;
    let start = if key == 0 { 0 } else { ends[key - 1] as usize };
    &text[start..ends[key] as usize]
}
