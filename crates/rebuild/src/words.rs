//! Finds the values of a row's columns in a text.

use crate::columns::Columns;
use crate::limits::SEARCH_FACTOR;

/// Shortest value that is looked for. Shorter ones are found where a slot happens to be.
const WORD_BYTES_MIN: usize = 4;

/// The values of one row.
pub(crate) struct RowWords<'a> {
    columns: &'a Columns,
    /// One bit for each beginning that some value has.
    beginnings: [u64; 16],
    /// The first four bytes of a value, and the value.
    values: Vec<(u32, &'a [u8])>,
    /// Values and bytes that may still be compared in this text.
    budget: usize,
}

impl<'a> RowWords<'a> {
    pub(crate) fn new(columns: &'a Columns) -> Self {
        RowWords { columns, beginnings: [0; 16], values: Vec::new(), budget: 0 }
    }

    /// Turns to the values of `row`, to be looked for in `text`.
    pub(crate) fn turn_to(&mut self, row: usize, text: &[u8]) {
        self.beginnings = [0; 16];
        self.values.clear();
        self.budget = text.len().saturating_mul(SEARCH_FACTOR).saturating_add(4_096);
        for (_, column) in &self.columns.list {
            let Some(value) = column.text(row).map(str::as_bytes) else { continue };
            if value.len() > text.len() {
                continue;
            }
            if let Some(beginning) = beginning(value, 0) {
                let (word, bit) = place(beginning);
                self.beginnings[word] |= bit;
                self.values.push((beginning, value));
            }
        }
    }

    /// Length of the longest value that stands in `text` at `at` and ends where a word may; 0 for
    /// none.
    pub(crate) fn longest(&mut self, text: &[u8], at: usize) -> usize {
        let Some(beginning) = beginning(text, at) else { return 0 };
        let (word, bit) = place(beginning);
        if self.beginnings[word] & bit == 0 {
            return 0;
        }
        if self.budget < self.values.len() {
            return 0;
        }
        self.budget -= self.values.len();
        let mut longest = 0;
        for (known, value) in &self.values {
            if *known != beginning || value.len() <= longest {
                continue;
            }
            if self.budget < value.len() {
                return longest;
            }
            self.budget -= value.len();
            let end = at + value.len();
            let ends = |text: &[u8]| {
                let inside = value.last().is_some_and(u8::is_ascii_alphanumeric);
                !(inside && text.get(end).is_some_and(u8::is_ascii_alphanumeric))
            };
            if text.get(at..end) == Some(value) && ends(text) {
                longest = value.len();
            }
        }
        longest
    }
}

fn beginning(text: &[u8], at: usize) -> Option<u32> {
    text.get(at..)?.first_chunk::<WORD_BYTES_MIN>().map(|bytes| u32::from_le_bytes(*bytes))
}

/// One of 1,024 bits.
fn place(beginning: u32) -> (usize, u64) {
    let hash = beginning.wrapping_mul(0x9E37_79B1) >> 22;
    ((hash >> 6) as usize, 1 << (hash & 63))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ORIGINAL;
    use arrow::array::{ArrayRef, RecordBatch, StringArray};
    use std::sync::Arc;

    fn batch(values: &[&str]) -> RecordBatch {
        let column = |value: &&str| Arc::new(StringArray::from(vec![*value])) as ArrayRef;
        let columns = values.iter().enumerate();
        let columns = columns.map(|(at, value)| (format!("f{at}"), column(value)));
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn the_longest_value_that_ends_with_a_word_is_found() {
        let columns =
            Columns::new(&batch(&["root", "root cause", "rooted in", "C:\\a", "abc"]), &ORIGINAL);
        let mut words = RowWords::new(&columns);
        let text = b"root causes rooted C:\\a abc";
        words.turn_to(0, text);
        assert_eq!([0, 12, 19, 24].map(|at| words.longest(text, at)), [4, 0, 4, 0]);
    }

    #[test]
    fn searching_has_an_end() {
        let value = "aaaa".to_owned() + &"b".repeat(996);
        let columns = Columns::new(&batch(&[&value]), &ORIGINAL);
        let mut words = RowWords::new(&columns);
        let text = value.clone() + &" aaaa".repeat(10_000);
        words.turn_to(0, text.as_bytes());
        let found = |words: &mut RowWords<'_>| words.longest(text.as_bytes(), 0) == 1_000;
        // One for the value, and its bytes.
        let searches = (text.len() * SEARCH_FACTOR + 4_096) / 1_001;
        assert!((0..searches).all(|_| found(&mut words)));
        assert!(!found(&mut words));
    }
}
