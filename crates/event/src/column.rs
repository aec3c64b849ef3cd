//! One growing column of a batch. Text is interned as it arrives, so each distinct value is kept
//! once and every later stage can work on distinct values instead of rows.

use arrow::array::{
    ArrayRef, BinaryArray, DictionaryArray, Int32Array, Int64Array, StringArray,
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

/// How much a column holds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Size {
    rows: usize,
    /// Distinct values of a keyword column.
    values: usize,
    /// Bytes of text.
    bytes: usize,
}

pub(crate) enum Column {
    Keyword(KeywordColumn),
    Text(BytesColumn),
    Binary(BytesColumn),
    Long(NumberColumn),
    Date(NumberColumn),
}

impl Column {
    /// An empty column with room for as much as `size`.
    pub(crate) fn new(kind: &DataType, hasher: &RandomState, size: Size) -> Column {
        match kind {
            DataType::Utf8 => Column::Text(BytesColumn::new(size)),
            DataType::Binary => Column::Binary(BytesColumn::new(size)),
            DataType::Int64 => Column::Long(NumberColumn::new(size)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Column::Date(NumberColumn::new(size)),
            _ => Column::Keyword(KeywordColumn::new(hasher.clone(), size)),
        }
    }

    pub(crate) fn size(&self) -> Size {
        let (values, bytes) = match self {
            Column::Keyword(column) => (column.ends.len(), column.text.len()),
            Column::Text(column) | Column::Binary(column) => (0, column.bytes.len()),
            Column::Long(_) | Column::Date(_) => (0, 0),
        };
        Size { rows: self.len(), values, bytes }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Column::Keyword(column) => column.keys.len(),
            Column::Text(column) | Column::Binary(column) => column.ends.len(),
            Column::Long(column) | Column::Date(column) => column.values.len(),
        }
    }

    /// Adds nulls until the column has `rows` rows.
    pub(crate) fn pad(&mut self, rows: usize) {
        if self.len() >= rows {
            return;
        }
        match self {
            Column::Keyword(column) => column.keys.resize(rows, 0),
            Column::Text(column) | Column::Binary(column) => {
                let end = column.ends.last().copied().unwrap_or(0);
                column.ends.resize(rows, end);
            }
            Column::Long(column) | Column::Date(column) => column.values.resize(rows, 0),
        }
    }

    pub(crate) fn finish(self) -> ArrayRef {
        match self {
            Column::Keyword(column) => column.finish(),
            Column::Text(column) => {
                let (offsets, bytes, nulls) = column.finish();
                Arc::new(StringArray::new(offsets, bytes, nulls))
            }
            Column::Binary(column) => {
                let (offsets, bytes, nulls) = column.finish();
                Arc::new(BinaryArray::new(offsets, bytes, nulls))
            }
            Column::Long(column) => {
                let (values, nulls) = column.finish();
                Arc::new(Int64Array::new(values, nulls))
            }
            Column::Date(column) => {
                let (values, nulls) = column.finish();
                Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone("UTC"))
            }
        }
    }
}

/// Which rows have a value. Rows past the last one with a value need no bits until the end, so a
/// column that is mostly empty costs next to nothing.
struct Present {
    bits: Vec<u8>,
}

impl Present {
    fn new(size: Size) -> Self {
        Present { bits: Vec::with_capacity(size.rows.div_ceil(8)) }
    }

    #[inline]
    fn set(&mut self, row: usize, present: bool) {
        let (byte, bit) = (row / 8, 1 << (row % 8));
        if self.bits.len() <= byte {
            if !present {
                return;
            }
            self.bits.resize(byte + 1, 0);
        }
        if let Some(byte) = self.bits.get_mut(byte) {
            *byte = if present { *byte | bit } else { *byte & !bit };
        }
    }

    fn finish(mut self, rows: usize) -> Option<NullBuffer> {
        self.bits.resize(rows.div_ceil(8), 0);
        let present = BooleanBuffer::new(Buffer::from_vec(fitted(self.bits)), 0, rows);
        Some(NullBuffer::new(present)).filter(|nulls| nulls.null_count() > 0)
    }
}

/// Whole numbers or instants.
pub(crate) struct NumberColumn {
    values: Vec<i64>,
    present: Present,
}

impl NumberColumn {
    fn new(size: Size) -> Self {
        NumberColumn { values: Vec::with_capacity(size.rows), present: Present::new(size) }
    }

    /// Adds the value of a further row.
    pub(crate) fn push(&mut self, value: Option<i64>) {
        self.present.set(self.values.len(), value.is_some());
        self.values.push(value.unwrap_or(0));
    }

    /// Sets the value of the newest row.
    pub(crate) fn replace_last(&mut self, value: Option<i64>) {
        if self.values.pop().is_some() {
            self.push(value);
        }
    }

    fn finish(self) -> (ScalarBuffer<i64>, Option<NullBuffer>) {
        let nulls = self.present.finish(self.values.len());
        (ScalarBuffer::from(fitted(self.values)), nulls)
    }
}

/// Texts or bytes that hardly ever repeat, one after another.
pub(crate) struct BytesColumn {
    bytes: Vec<u8>,
    ends: Vec<i32>,
    present: Present,
}

impl BytesColumn {
    fn new(size: Size) -> Self {
        BytesColumn {
            bytes: Vec::with_capacity(size.bytes),
            // One more for the start, see `offsets`.
            ends: Vec::with_capacity(size.rows + 1),
            present: Present::new(size),
        }
    }

    /// Adds the value of a further row. A batch whose bytes would pass 2 GiB has nulls instead; a
    /// text's raw bytes are there unless they are what is too much, and batches are far smaller.
    pub(crate) fn push(&mut self, value: Option<&[u8]>) {
        let row = self.ends.len();
        let before = self.ends.last().copied().unwrap_or(0);
        let fits = value.and_then(|value| {
            let end = i32::try_from(self.bytes.len() + value.len()).ok()?;
            Some((value, end))
        });
        let Some((value, end)) = fits else {
            self.present.set(row, false);
            self.ends.push(before);
            return;
        };
        self.present.set(row, true);
        self.bytes.extend_from_slice(value);
        self.ends.push(end);
    }

    fn finish(self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        let nulls = self.present.finish(self.ends.len());
        (offsets(self.ends), Buffer::from_vec(fitted(self.bytes)), nulls)
    }
}

/// `values` without room to spare: what was made room for may be far more than came, and batches are
/// kept in memory and counted by what they hold.
fn fitted<T>(mut values: Vec<T>) -> Vec<T> {
    if values.capacity() / 2 > values.len() {
        values.shrink_to_fit();
    }
    values
}

/// The offsets of values that end at `ends`, one behind the other from 0.
fn offsets(mut ends: Vec<i32>) -> OffsetBuffer<i32> {
    ends.insert(0, 0);
    // Proof that they only grow: each end was the length so far.
    OffsetBuffer::new(ScalarBuffer::from(fitted(ends)))
}

/// Dictionary-encoded text: `keys[row]` is an index into the distinct values where there is one.
pub(crate) struct KeywordColumn {
    keys: Vec<i32>,
    present: Present,
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
    fn new(hasher: RandomState, size: Size) -> Self {
        KeywordColumn {
            keys: Vec::with_capacity(size.rows),
            present: Present::new(size),
            text: Vec::with_capacity(size.bytes),
            // One more for the start, see `offsets`.
            ends: Vec::with_capacity(size.values + 1),
            seen: HashTable::with_capacity(size.values),
            hasher,
            last: -1,
        }
    }

    /// Appends a value.
    pub(crate) fn push(&mut self, value: &str) -> Option<ValueKey> {
        let key = self.key(value);
        self.push_key(key);
        key.map(ValueKey)
    }

    /// Replaces the value of the newest row.
    pub(crate) fn replace_last(&mut self, value: &str) -> Option<ValueKey> {
        self.keys.pop();
        self.push(value)
    }

    /// Sets the newest row, which is there already if `again`, to a value known by its key.
    #[inline]
    pub(crate) fn put_key(&mut self, key: ValueKey, again: bool) {
        if again {
            self.keys.pop();
        }
        // A key of another column or batch must not point past the values.
        self.push_key((key.index() < self.ends.len()).then_some(key.0));
    }

    #[inline]
    fn push_key(&mut self, key: Option<i32>) {
        self.present.set(self.keys.len(), key.is_some());
        self.keys.push(key.unwrap_or(0));
    }

    /// The key of `value`. A batch whose distinct text would pass 2 GiB has nulls (`None`) instead;
    /// the raw bytes keep the value, and batches are far smaller than that.
    fn key(&mut self, value: &str) -> Option<i32> {
        // Logs repeat themselves: very often this is the value of the row before.
        if self.last >= 0 && slice(&self.text, &self.ends, self.last) == value.as_bytes() {
            return Some(self.last);
        }
        let hash = self.hasher.hash_one(value.as_bytes());
        let (text, ends) = (&self.text, &self.ends);
        let same =
            |seen: &Seen| seen.hash == hash && slice(text, ends, seen.key) == value.as_bytes();
        if let Some(seen) = self.seen.find(hash, same) {
            self.last = seen.key;
            return Some(seen.key);
        }
        let end = self.text.len() + value.len();
        let (Ok(end), Ok(key)) = (i32::try_from(end), i32::try_from(self.ends.len())) else {
            return None;
        };
        self.seen.insert_unique(hash, Seen { hash, key }, |seen| seen.hash);
        self.text.extend_from_slice(value.as_bytes());
        self.ends.push(end);
        self.last = key;
        Some(key)
    }

    fn finish(self) -> ArrayRef {
        let nulls = self.present.finish(self.keys.len());
        let keys = Int32Array::new(ScalarBuffer::from(fitted(self.keys)), nulls);
        let values =
            StringArray::new(offsets(self.ends), Buffer::from_vec(fitted(self.text)), None);
        Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(values)))
    }
}

fn slice<'a>(text: &'a [u8], ends: &[i32], key: i32) -> &'a [u8] {
    let key = key as usize;
    let start = if key == 0 { 0 } else { ends[key - 1] as usize };
    &text[start..ends[key] as usize]
}
