//! Templates: what the texts of one kind have in common. `docs/format/rebuild.md` is the format.

use crate::RebuildError;
use crate::columns::Columns;
use crate::escape::Style;
use crate::limits::{PATTERN_BYTES_MAX, SLOTS_MAX, TEMPLATE_BYTES_MAX};
use crate::varint::{self, Cursor};

const FORMAT: u8 = 1;

const LITERAL: u8 = 0;
const STORED: u8 = 1;
const CONSTANT: u8 = 2;
const COLUMN: u8 = 3;
const STRING: u8 = 4;
const TIME: u8 = 5;
const EARLIER: u8 = 6;

/// What a slot reads where the row's values do not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Usual {
    /// Nothing: each row stores its own.
    Stored,
    /// The same in each row.
    Constant(Box<[u8]>),
    /// The column at this position: text as it is, a number in decimal.
    Column(usize),
    /// The column's text inside a JSON string.
    String(usize),
    /// The column's instant.
    Time { column: usize, offset: i64, pattern: Box<[u8]> },
    /// The same as an earlier slot.
    Earlier(usize),
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Always the same.
    Literal(Box<[u8]>),
    /// A slot.
    Slot(Usual),
}

/// A template whose columns have been found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) style: Style,
    pub(crate) pieces: Vec<Piece>,
}

impl Template {
    /// The slots, in order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Usual> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Slot(usual) => Some(usual),
            Piece::Literal(_) => None,
        })
    }

    /// The stored form; `None` where that would be too long.
    pub(crate) fn write(&self, columns: &Columns) -> Option<Vec<u8>> {
        let mut out = vec![FORMAT];
        self.style.write(&mut out);
        let name = |position: usize, out: &mut Vec<u8>| {
            let (name, _) = columns.list.get(position)?;
            varint::put_run(name.as_bytes(), out);
            Some(())
        };
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => {
                    out.push(LITERAL);
                    varint::put_run(text, &mut out);
                }
                Piece::Slot(Usual::Stored) => out.push(STORED),
                Piece::Slot(Usual::Constant(text)) => {
                    out.push(CONSTANT);
                    varint::put_run(text, &mut out);
                }
                Piece::Slot(Usual::Column(column)) => {
                    out.push(COLUMN);
                    name(*column, &mut out)?;
                }
                Piece::Slot(Usual::String(column)) => {
                    out.push(STRING);
                    name(*column, &mut out)?;
                }
                Piece::Slot(Usual::Time { column, offset, pattern }) => {
                    out.push(TIME);
                    name(*column, &mut out)?;
                    varint::put(varint::zigzag(*offset), &mut out);
                    varint::put_run(pattern, &mut out);
                }
                Piece::Slot(Usual::Earlier(slot)) => {
                    out.push(EARLIER);
                    varint::put(*slot, &mut out);
                }
            }
        }
        (out.len() <= TEMPLATE_BYTES_MAX).then_some(out)
    }

    /// Reads a stored template. Otherwise says where it is damaged: also where it names a column
    /// that is not there.
    pub(crate) fn read(bytes: &[u8], columns: &Columns) -> Result<Self, usize> {
        Self::read_with(bytes, &mut |name| columns.position(name))
    }

    /// The same with other numbers for columns: `position` is asked for each name.
    fn read_with<'a>(
        bytes: &'a [u8],
        position: &mut dyn FnMut(&'a str) -> Option<usize>,
    ) -> Result<Self, usize> {
        if bytes.len() > TEMPLATE_BYTES_MAX {
            return Err(TEMPLATE_BYTES_MAX);
        }
        if bytes.first() != Some(&FORMAT) {
            return Err(0);
        }
        let (style, used) = Style::read(&bytes[1..]).ok_or(1_usize)?;
        let mut cursor = Cursor::new(bytes);
        cursor.take(1 + used).ok_or(1_usize)?;
        let mut pieces = Vec::new();
        let mut slots = 0;
        while !cursor.rest().is_empty() {
            let at = cursor.at();
            let piece = read_piece(&mut cursor, position, slots).ok_or(at)?;
            slots += usize::from(matches!(piece, Piece::Slot(_)));
            if slots > SLOTS_MAX {
                return Err(at);
            }
            pieces.push(piece);
        }
        Ok(Template { style, pieces })
    }
}

/// The columns that a stored template refers to, in order, repeated where it does.
///
/// # Errors
/// [`RebuildError::Template`] where it is damaged; the row is then 0.
pub fn referred(template: &[u8]) -> Result<Vec<&str>, RebuildError> {
    let mut names = Vec::new();
    let mut note = |name| {
        names.push(name);
        Some(names.len() - 1)
    };
    let read = Template::read_with(template, &mut note);
    read.map_err(|at| RebuildError::Template { row: 0, at })?;
    Ok(names)
}

fn read_piece<'a>(
    cursor: &mut Cursor<'a>,
    position: &mut dyn FnMut(&'a str) -> Option<usize>,
    slots: usize,
) -> Option<Piece> {
    let mut column = |cursor: &mut Cursor<'a>| position(std::str::from_utf8(cursor.run()?).ok()?);
    Some(Piece::Slot(match cursor.byte()? {
        LITERAL => return Some(Piece::Literal(cursor.run()?.into())),
        STORED => Usual::Stored,
        CONSTANT => Usual::Constant(cursor.run()?.into()),
        COLUMN => Usual::Column(column(cursor)?),
        STRING => Usual::String(column(cursor)?),
        TIME => {
            let column = column(cursor)?;
            let offset = varint::unzigzag(cursor.number()?);
            let pattern = cursor.run().filter(|pattern| pattern.len() <= PATTERN_BYTES_MAX)?;
            Usual::Time { column, offset, pattern: pattern.into() }
        }
        EARLIER => Usual::Earlier(cursor.number().filter(|slot| *slot < slots)?),
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
    use std::sync::Arc;

    fn columns() -> Columns {
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0]));
        let batch = RecordBatch::try_from_iter([("t", times)]).unwrap();
        Columns::new(&batch, &crate::ORIGINAL)
    }

    fn template(pieces: Vec<Piece>) -> Template {
        Template { style: Style::default(), pieces }
    }

    #[test]
    fn limits_hold_for_what_others_wrote() {
        let columns = columns();
        let slots = |count| template(vec![Piece::Slot(Usual::Stored); count]);
        let time = |bytes| {
            let pattern = vec![b'x'; bytes].into();
            template(vec![Piece::Slot(Usual::Time { column: 0, offset: -90, pattern })])
        };
        // Format, style, opcode and a length of three bytes.
        let long = |bytes: usize| template(vec![Piece::Literal(vec![b'x'; bytes - 7].into())]);
        for (most, more) in [
            (slots(SLOTS_MAX), slots(SLOTS_MAX + 1)),
            (time(PATTERN_BYTES_MAX), time(PATTERN_BYTES_MAX + 1)),
        ] {
            let bytes = most.write(&columns).unwrap();
            assert_eq!(Template::read(&bytes, &columns), Ok(most));
            assert!(Template::read(&more.write(&columns).unwrap(), &columns).is_err());
        }
        let bytes = long(TEMPLATE_BYTES_MAX).write(&columns).unwrap();
        assert_eq!(bytes.len(), TEMPLATE_BYTES_MAX);
        assert!(Template::read(&bytes, &columns).is_ok());
        assert_eq!(long(TEMPLATE_BYTES_MAX + 1).write(&columns), None);
        let mut longer = bytes;
        longer.push(STORED);
        assert_eq!(Template::read(&longer, &columns), Err(TEMPLATE_BYTES_MAX));
    }

    #[test]
    fn a_slot_refers_to_earlier_ones_only_and_to_columns_that_are_there() {
        let columns = columns();
        for (bytes, read) in [
            (&[1, 0, 0, 1, 6, 0][..], Ok(())),
            (&[1, 0, 0, 1, 6, 1], Err(4)),
            (&[1, 0, 0, 3, 1, b't'], Ok(())),
            (&[1, 0, 0, 3, 1, b'u'], Err(3)),
            (&[1, 0, 0, 7], Err(3)),
            (&[2, 0, 0], Err(0)),
            (&[1, 8, 0], Err(1)),
            (&[], Err(0)),
        ] {
            assert_eq!(Template::read(bytes, &columns).map(|_| ()), read, "{bytes:?}");
        }
        assert_eq!(referred(&[1, 0, 0, 3, 1, b'u', 1, 4, 1, b't']), Ok(vec!["u", "t"]));
        let damaged = referred(&[1, 0, 0, 1, 6, 1]);
        assert_eq!(damaged, Err(RebuildError::Template { row: 0, at: 4 }));
    }
}
