//! Fills a template: from a row's values and columns back to the text.

use crate::civil;
use crate::columns::{Column, Columns};
use crate::escape::Style;
use crate::limits::TEXT_BYTES_MAX;
use crate::template::{Piece, Template, Usual};
use crate::varint::Cursor;
use std::ops::Range;

/// Why a text does not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfilled {
    Slot(usize),
    LeftOver,
    TooLong,
}

/// Work space of [`fill`], kept from row to row.
#[derive(Debug, Default)]
pub(crate) struct Filler {
    /// Where each slot stands in the text.
    slots: Vec<Range<usize>>,
}

impl Filler {
    /// Appends the text of `row`.
    pub(crate) fn fill(
        &mut self,
        template: &Template,
        values: Option<&[u8]>,
        columns: &Columns,
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Unfilled> {
        self.slots.clear();
        let begin = out.len();
        let mut values = Values::read(values.unwrap_or_default()).ok_or(Unfilled::Slot(0))?;
        let stored = template.slots().filter(|slot| matches!(slot, Usual::Stored)).count();
        let mut stored_left = stored;
        for piece in &template.pieces {
            let start = out.len();
            match piece {
                Piece::Literal(text) => out.extend(text.as_ref()),
                Piece::Slot(usual) => {
                    let number = self.slots.len();
                    let unfilled = Unfilled::Slot(number);
                    if let Usual::Stored = usual {
                        stored_left -= 1;
                        out.extend(values.stored(stored_left == 0).ok_or(unfilled)?);
                    } else if let Some(text) = values.instead(number) {
                        out.extend(text);
                    } else if !self.usual(usual, template.style, columns, row, out) {
                        return Err(unfilled);
                    }
                    self.slots.push(start..out.len());
                }
            }
            if out.len() - begin > TEXT_BYTES_MAX {
                return Err(Unfilled::TooLong);
            }
        }
        if values.is_empty() { Ok(()) } else { Err(Unfilled::LeftOver) }
    }

    fn usual(
        &self,
        usual: &Usual,
        style: Style,
        columns: &Columns,
        row: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        match usual {
            Usual::Stored => return false,
            Usual::Constant(text) => out.extend(text.as_ref()),
            Usual::Column(column) => return as_it_is(columns.get(*column), row, out),
            Usual::String(column) => match columns.get(*column).and_then(|c| c.text(row)) {
                Some(text) => style.escape(text, out),
                None => return as_it_is(columns.get(*column), row, out),
            },
            Usual::Time { column, offset, pattern } => {
                let micros = columns.get(*column).and_then(|column| column.micros(row));
                return micros.is_some_and(|micros| civil::print(pattern, micros, *offset, out));
            }
            Usual::Earlier(slot) => match self.slots.get(*slot).cloned() {
                Some(range) if range.end <= out.len() => out.extend_from_within(range),
                _ => return false,
            },
        }
        true
    }
}

fn as_it_is(column: Option<&Column>, row: usize, out: &mut Vec<u8>) -> bool {
    use std::io::Write;
    let Some(column) = column else { return false };
    match (column.text(row), column.long(row)) {
        (Some(text), _) => out.extend(text.as_bytes()),
        // Proof: writing to a `Vec` cannot fail.
        (None, Some(number)) => return write!(out, "{number}").is_ok(),
        (None, None) => return false,
    }
    true
}

/// The values of a row: first the slots that do not read as the template says, then those of which
/// it says nothing.
pub(crate) struct Values<'a> {
    exceptions: Cursor<'a>,
    exceptions_left: usize,
    /// Slot of the next exception.
    next: usize,
    stored: Cursor<'a>,
}

impl<'a> Values<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let count = if bytes.is_empty() { 0 } else { cursor.number()? };
        let mut exceptions = cursor;
        for _ in 0..count {
            cursor.number()?;
            cursor.run()?;
        }
        let next = if count > 0 { exceptions.number()? } else { 0 };
        Some(Values { exceptions, exceptions_left: count, next, stored: cursor })
    }

    /// The text of slot `number` where it is an exception.
    pub(crate) fn instead(&mut self, number: usize) -> Option<&'a [u8]> {
        if self.exceptions_left == 0 || self.next != number {
            return None;
        }
        let text = self.exceptions.run()?;
        self.exceptions_left -= 1;
        if self.exceptions_left > 0 {
            self.next = self.exceptions.number()?.saturating_add(number + 1);
        }
        Some(text)
    }

    /// The next stored text; the last one has no length.
    pub(crate) fn stored(&mut self, last: bool) -> Option<&'a [u8]> {
        if last {
            let len = self.stored.rest().len();
            return self.stored.take(len);
        }
        self.stored.run()
    }

    fn is_empty(&self) -> bool {
        self.exceptions_left == 0 && self.stored.rest().is_empty()
    }
}
