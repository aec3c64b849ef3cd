//! What rebuilt texts may have in them, without rebuilding them.
//!
//! A stretch of ASCII letters and digits stands in one piece of a text, or in several that follow each
//! other without anything between. So who looks for one asks the pieces: what many rows share (templates,
//! values of dictionaries) is asked once.

use crate::RebuildError;
use crate::columns::{Bytes, Column, Columns};
use crate::fill::Values;
use crate::limits::TEMPLATES_MAX;
use crate::target::{MESSAGE, ORIGINAL, Target};
use crate::template::{Piece, Template, Usual};
use arrow::array::{Array, RecordBatch};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::Arc;

/// The mark of what cannot be told: the text itself must be looked at.
pub const UNTOLD: u64 = 1 << 63;

/// Who looks for stretches of ASCII letters and digits, each of which has a mark: a bit below
/// [`UNTOLD`].
pub trait Look {
    /// The marks of what is in these bytes, in any case; [`UNTOLD`] if folding them, or undoing JSON's
    /// escapes, could make ASCII letters or digits that are not there.
    fn look(&self, text: &[u8]) -> u64;

    /// The marks of what could be in a text of digits and these letters (bit 0 is `a`) in any case, at most
    /// `run` of them in a row, such as a time.
    fn look_at_digits(&self, letters: u32, run: usize) -> u64;
}

/// The marks of each row: what its texts may have. A mark that is not there is not in the text.
#[derive(Debug)]
pub struct Marks {
    /// Of the messages.
    pub message: Vec<u64>,
    /// Of the received bytes.
    pub original: Vec<u64>,
}

/// Marks the texts of stored rows, whether they are rebuilt or not. `batch` must have all columns from
/// which they are rebuilt; a text whose columns are missing has no marks.
///
/// # Errors
/// [`RebuildError::Column`] for a column of another type.
pub fn marks(batch: &RecordBatch, look: &dyn Look) -> Result<Marks, RebuildError> {
    let message = Marker::new(batch, &MESSAGE, look, None)?.all();
    let original = Marker::new(batch, &ORIGINAL, look, Some(&message))?.all();
    Ok(Marks { message, original })
}

/// Marks the texts of one target.
struct Marker<'a> {
    look: &'a dyn Look,
    columns: Columns,
    /// For each column and key of a dictionary: its marks, once they were asked for.
    asked: Vec<Vec<Option<u64>>>,
    kept: Option<Bytes>,
    template: Option<Bytes>,
    values: Option<Bytes>,
    known: HashMap<Vec<u8>, Option<Arc<Marked>>, RandomState>,
    last: Option<(Vec<u8>, Option<Arc<Marked>>)>,
    /// Position of the message among the columns, and the marks of its rows.
    message: Option<(usize, &'a [u64])>,
    buffer: Vec<u8>,
    rows: usize,
}

/// What is known of a template.
#[derive(Debug)]
struct Marked {
    /// Of all that is the same in each row.
    marks: u64,
    slots: Vec<Slot>,
    /// A later slot reads the same as one that something stands right beside.
    tied: bool,
}

#[derive(Debug)]
struct Slot {
    reads: Reads,
    /// Letters, digits and backslashes right before and after it.
    before: Box<[u8]>,
    after: Box<[u8]>,
}

#[derive(Debug, Clone, Copy)]
enum Reads {
    Stored,
    Column(usize),
    /// What is told once for all rows.
    Told,
}

impl Slot {
    fn stands_alone(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

impl<'a> Marker<'a> {
    fn new(
        batch: &RecordBatch,
        target: &Target,
        look: &'a dyn Look,
        message: Option<&'a [u64]>,
    ) -> Result<Self, RebuildError> {
        let bytes = |name: &str| {
            batch.column_by_name(name).map(|array| Bytes::new(name, array)).transpose()
        };
        let columns = Columns::new(batch, target);
        let asked = columns.list.iter().map(|(_, column)| match column {
            Column::Keyword(_, values) => vec![None; values.len()],
            _ => Vec::new(),
        });
        Ok(Marker {
            look,
            asked: asked.collect(),
            kept: match batch.column_by_name(target.column) {
                // Messages may lie in a dictionary.
                Some(_) => bytes(target.column)?,
                None => None,
            },
            template: bytes(target.template)?,
            values: bytes(target.values)?,
            known: HashMap::default(),
            last: None,
            message: message.and_then(|marks| Some((columns.position(MESSAGE.column)?, marks))),
            columns,
            buffer: Vec::new(),
            rows: batch.num_rows(),
        })
    }

    fn all(mut self) -> Vec<u64> {
        (0..self.rows).map(|row| self.row(row)).collect()
    }

    fn row(&mut self, row: usize) -> u64 {
        if let Some(kept) = self.kept.as_ref().and_then(|kept| kept.get(row)) {
            return self.look.look(kept);
        }
        match self.template_of(row) {
            None => 0,
            Some(None) => UNTOLD,
            Some(Some(template)) => {
                let values = self.values.take();
                let marks = self.filled(&template, values.as_ref().and_then(|v| v.get(row)), row);
                self.values = values;
                marks.unwrap_or(UNTOLD)
            }
        }
    }

    /// The row's template; within, `None` for one of which nothing can be told.
    fn template_of(&mut self, row: usize) -> Option<Option<Arc<Marked>>> {
        let bytes = self.template.as_ref()?.get(row)?;
        if let Some((last, template)) = &self.last
            && last == bytes
        {
            return Some(template.clone());
        }
        if self.known.len() >= TEMPLATES_MAX {
            self.known.clear();
        }
        let template = match self.known.get(bytes) {
            Some(known) => known.clone(),
            None => {
                let read = Template::read(bytes, &self.columns).ok();
                let marked = read.and_then(|template| Marked::new(&template, self.look));
                let marked = marked.map(Arc::new);
                self.known.insert(bytes.to_vec(), marked.clone());
                marked
            }
        };
        self.last = Some((bytes.to_vec(), template.clone()));
        Some(template)
    }

    /// `None` where the row's values are not those of the template.
    fn filled(&mut self, template: &Marked, values: Option<&[u8]>, row: usize) -> Option<u64> {
        let mut values = Values::read(values.unwrap_or_default())?;
        let stored = template.slots.iter().filter(|slot| matches!(slot.reads, Reads::Stored));
        let mut stored_left = stored.count();
        let mut marks = template.marks;
        let mut buffer = std::mem::take(&mut self.buffer);
        for (number, slot) in template.slots.iter().enumerate() {
            marks |= match slot.reads {
                Reads::Stored => {
                    stored_left -= 1;
                    let text = values.stored(stored_left == 0)?;
                    beside(slot, text, &mut buffer, self.look)
                }
                reads => match values.instead(number) {
                    Some(_) if template.tied => UNTOLD,
                    Some(text) => beside(slot, text, &mut buffer, self.look),
                    None => match reads {
                        Reads::Column(column) => self.column(slot, column, row, &mut buffer)?,
                        _ => 0,
                    },
                },
            };
        }
        self.buffer = buffer;
        Some(marks)
    }

    fn column(
        &mut self,
        slot: &Slot,
        column: usize,
        row: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<u64> {
        use std::io::Write;
        if let Some((position, marks)) = self.message
            && position == column
        {
            let alone = if slot.stands_alone() { 0 } else { UNTOLD };
            return Some(marks.get(row)? | alone);
        }
        let values = self.columns.get(column)?;
        if let (Column::Keyword(keyword, texts), true) = (values, slot.stands_alone()) {
            let key = keyword.key(row)?;
            let asked = self.asked.get_mut(column)?.get_mut(key)?;
            let look = self.look;
            return match asked {
                Some(marks) => Some(*marks),
                None if texts.is_valid(key) => {
                    Some(*asked.insert(look.look(texts.value(key).as_bytes())))
                }
                None => None,
            };
        }
        if let Some(text) = values.text(row) {
            return Some(beside(slot, text.as_bytes(), buffer, self.look));
        }
        let mut digits = [0_u8; 20];
        let mut left = digits.as_mut_slice();
        write!(left, "{}", values.long(row)?).ok()?;
        let unused = left.len();
        let text = digits.get(..digits.len() - unused)?;
        Some(beside(slot, text, buffer, self.look))
    }
}

/// The marks of a text with what stands right beside it.
fn beside(slot: &Slot, text: &[u8], buffer: &mut Vec<u8>, look: &dyn Look) -> u64 {
    if slot.stands_alone() {
        return look.look(text);
    }
    buffer.clear();
    for part in [&slot.before, text, &slot.after] {
        buffer.extend_from_slice(part);
    }
    look.look(buffer)
}

impl Marked {
    /// `None` where pieces stand side by side in a way of which nothing can be told.
    fn new(template: &Template, look: &dyn Look) -> Option<Marked> {
        let literal = |at: Option<usize>| match at.and_then(|at| template.pieces.get(at)) {
            Some(Piece::Literal(text)) => Some(Some(&**text)),
            Some(Piece::Slot(_)) => None,
            None => Some(None),
        };
        let json = match template.pieces.first() {
            Some(Piece::Literal(text)) => {
                matches!(text.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'['))
            }
            _ => false,
        };
        let mut marked = Marked { marks: 0, slots: Vec::new(), tied: false };
        // What each slot reads in the end, where it reads the same as an earlier one.
        let mut usual: Vec<&Usual> = Vec::new();
        let last = template.pieces.len().saturating_sub(1);
        for (at, piece) in template.pieces.iter().enumerate() {
            let slot = match piece {
                Piece::Literal(text) => {
                    marked.marks |= look.look(text);
                    // A run through all of it would join what stands before and after.
                    let joins = text.iter().all(|byte| runs_on(*byte));
                    if joins && at > 0 && at < last {
                        return None;
                    }
                    continue;
                }
                Piece::Slot(slot) => slot,
            };
            let before = literal(at.checked_sub(1))?.unwrap_or_default();
            let after = literal(Some(at + 1))?.unwrap_or_default();
            let run = before.iter().rev().take_while(|byte| runs_on(**byte)).count();
            let before = before.get(before.len() - run..)?;
            let run = after.iter().take_while(|byte| runs_on(**byte)).count();
            let after = after.get(..run)?;
            let mut found = Slot { reads: Reads::Told, before: before.into(), after: after.into() };
            let alone = found.stands_alone();
            let (source, earlier) = match slot {
                Usual::Earlier(earlier) => (*usual.get(*earlier)?, true),
                slot => (slot, false),
            };
            usual.push(source);
            marked.tied |= earlier && !alone;
            match source {
                // Where it stands first, it is looked at.
                _ if earlier && alone => {}
                Usual::Constant(text) => {
                    marked.marks |= beside(&found, text, &mut Vec::new(), look);
                }
                Usual::Column(column) => found.reads = Reads::Column(*column),
                // Escaped otherwise than as JSON, a value has letters that it has not.
                Usual::String(_) if !json => return None,
                Usual::String(column) => found.reads = Reads::Column(*column),
                Usual::Time { .. } if !alone => return None,
                Usual::Time { pattern, .. } => {
                    let (letters, run) = letters(pattern);
                    marked.marks |= look.look_at_digits(letters, run);
                }
                Usual::Stored if !earlier => found.reads = Reads::Stored,
                Usual::Stored | Usual::Earlier(_) => return None,
            }
            marked.slots.push(found);
        }
        Some(marked)
    }
}

/// Whether a stretch, or an escape, may go on through this byte.
fn runs_on(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'\\' || !byte.is_ascii()
}

/// The letters that a time of this pattern may have, and how many in a row at most.
fn letters(pattern: &[u8]) -> (u32, usize) {
    let bit = |letter: u8| 1 << (letter.to_ascii_lowercase() - b'a');
    let (mut letters, mut longest, mut run) = (0, 0, 0);
    let mut bytes = pattern.iter();
    while let Some(byte) = bytes.next() {
        run = match byte {
            b'%' => match bytes.next() {
                // Names of months and days have three letters.
                Some(b'a' | b'b') => {
                    letters = u32::MAX;
                    run + 3
                }
                _ => 0,
            },
            byte if byte.is_ascii_alphabetic() => {
                letters |= bit(*byte);
                run + 1
            }
            _ => 0,
        };
        longest = longest.max(run);
    }
    (letters, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_times() {
        let of = |pattern: &str| letters(pattern.as_bytes());
        assert_eq!(of("%Y-%m-%d"), (0, 0));
        assert_eq!(of("%Y-%m-%dT%H:%M:%S.%3Z"), (1 << 19 | 1 << 25, 1));
        assert_eq!(of("%a %bX"), (u32::MAX, 4));
    }
}
