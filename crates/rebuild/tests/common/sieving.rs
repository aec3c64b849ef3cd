//! Looks for a word in packed rows, and in the texts themselves.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use std::ops::ControlFlow;
use yagura_rebuild::{Look, marks};
use yagura_textindex::{Need, Sieve, each_text, fold};

struct Looking<'a>(&'a Sieve);

impl Look for Looking<'_> {
    fn look(&self, text: &[u8]) -> u64 {
        self.0.marks(text)
    }

    fn look_at_digits(&self, letters: u32, run: usize) -> u64 {
        self.0.marks_of_digits(letters, run)
    }
}

/// Of each row, whether it may have this within a word, told from what is stored of it.
pub fn may_have(packed: &RecordBatch, stretch: &str) -> Vec<bool> {
    let sieve = Sieve::new(&Need::Infix(stretch.as_bytes().to_vec()));
    let marks = marks(packed, &Looking(&sieve)).unwrap();
    let both = marks.original.iter().zip(&marks.message);
    both.map(|(original, message)| sieve.may_hold(original | message)).collect()
}

/// Of each row, whether one of its texts has it.
pub fn has(whole: &RecordBatch, stretch: &str) -> Vec<bool> {
    let original = whole.column_by_name("event.original").unwrap();
    let original = cast(original, &DataType::BinaryView).unwrap();
    let message = whole.column_by_name("message");
    let message = message.map(|message| cast(message, &DataType::Utf8View).unwrap());
    (0..whole.num_rows())
        .map(|row| {
            let message = message.as_ref().filter(|message| message.is_valid(row));
            let message = message.map(|message| message.as_string_view().value(row));
            let mut found = false;
            each_text(original.as_binary_view().value(row), message, |text| {
                found |= fold(text).contains(stretch);
                ControlFlow::Continue(())
            });
            found
        })
        .collect()
}
