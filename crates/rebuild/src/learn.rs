//! Learns from rows of one kind what each of their slots usually reads.

use crate::civil;
use crate::columns::{Column, Columns};
use crate::escape::{self, Style};
use crate::limits::PATTERN_BYTES_MAX;
use crate::scan::Slot;
use crate::template::{Piece, Template, Usual};

/// The first rows of a kind are all looked at, and then one in so many.
const ROWS_WHOLE: u32 = 64;
const ROWS_STEP: u32 = 8;

/// Explanations of a slot that are watched at once, and how often new ones are looked for.
const CANDIDATES_MAX: usize = 8;
const SEARCHES_MAX: u8 = 8;

/// Longest text that is taken as the same in each row.
const CONSTANT_BYTES_MAX: usize = 512;

/// One text taken apart.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) slots: &'a [Slot],
    pub(crate) number: usize,
}

/// Work space.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    meaning: Vec<u8>,
    printed: Vec<u8>,
    exceptions: Vec<u8>,
    stored: Vec<u8>,
}

/// What is known of rows that differ in their slots only.
#[derive(Debug)]
pub(crate) struct Kind<'a> {
    pub(crate) rows: u32,
    looked_at: u32,
    style: Style,
    slots: Vec<Learned<'a>>,
    literals: Vec<&'a [u8]>,
}

#[derive(Debug, Default)]
struct Learned<'a> {
    /// The text most rows have, if most have one, and by how many they are more than the rest
    /// (R. S. Boyer and J S. Moore's majority vote).
    constant: &'a [u8],
    lead: u32,
    candidates: Vec<(Usual, u32)>,
    searches: u8,
}

impl<'a> Kind<'a> {
    /// A kind of rows that are like `row`.
    pub(crate) fn new(text: &'a [u8], slots: &[Slot]) -> Self {
        let mut literals = Vec::with_capacity(slots.len() + 1);
        let mut at = 0;
        for slot in slots {
            literals.push(text.get(at..slot.start as usize).unwrap_or_default());
            at = slot.end as usize;
        }
        literals.push(text.get(at..).unwrap_or_default());
        let slots = slots.iter().map(|_| Learned::default()).collect();
        Kind { rows: 0, looked_at: 0, style: Style::default(), slots, literals }
    }

    /// Takes note of a row.
    pub(crate) fn learn(
        &mut self,
        columns: &Columns,
        text: &'a [u8],
        row: Row<'_>,
        scratch: &mut Scratch,
    ) {
        self.rows += 1;
        if self.rows > ROWS_WHOLE && !self.rows.is_multiple_of(ROWS_STEP) {
            return;
        }
        self.looked_at += 1;
        for (number, (learned, slot)) in self.slots.iter_mut().zip(row.slots).enumerate() {
            let written = slot.of(text);
            if slot.escaped {
                self.style.observe(written);
                scratch.meaning.clear();
                if !escape::unescape(written, &mut scratch.meaning) {
                    continue;
                }
            }
            learned.vote(written);
            let mut explained = false;
            for (usual, hits) in &mut learned.candidates {
                let meaning: &[u8] = if slot.escaped { &scratch.meaning } else { written };
                let read =
                    Read { columns, row, number, written, meaning, printed: &mut scratch.printed };
                if read.is(usual) {
                    *hits += 1;
                    explained = true;
                }
            }
            if !explained && learned.searches < SEARCHES_MAX {
                learned.searches += 1;
                let half = self.looked_at / 2;
                learned.candidates.retain(|(_, hits)| *hits >= half);
                let meaning: &[u8] = if slot.escaped { &scratch.meaning } else { written };
                search(columns, row, number, written, meaning, &mut learned.candidates);
            }
        }
    }

    /// The template of these rows.
    pub(crate) fn template(&self) -> Template {
        let mut pieces = Vec::with_capacity(self.slots.len() * 2 + 1);
        let mut literals = self.literals.iter();
        for slot in &self.slots {
            if let Some(literal) = literals.next().filter(|literal| !literal.is_empty()) {
                pieces.push(Piece::Literal((*literal).into()));
            }
            pieces.push(Piece::Slot(slot.usual(self.looked_at)));
        }
        if let Some(literal) = literals.next().filter(|literal| !literal.is_empty()) {
            pieces.push(Piece::Literal((*literal).into()));
        }
        Template { style: self.style, pieces }
    }
}

impl<'a> Learned<'a> {
    fn vote(&mut self, written: &'a [u8]) {
        if written.len() > CONSTANT_BYTES_MAX {
            self.lead = self.lead.saturating_sub(1);
        } else if self.lead == 0 {
            (self.constant, self.lead) = (written, 1);
        } else if self.constant == written {
            self.lead += 1;
        } else {
            self.lead -= 1;
        }
    }

    fn usual(&self, looked_at: u32) -> Usual {
        // Of equals the first one.
        let best = self.candidates.iter().rev().max_by_key(|(_, hits)| *hits);
        let often = |count: u32| count * 2 >= looked_at;
        match best {
            Some((usual, hits)) if often(*hits) && *hits >= self.lead => usual.clone(),
            _ if often(self.lead) => Usual::Constant(self.constant.into()),
            Some((usual, hits)) if often(*hits) => usual.clone(),
            _ => Usual::Stored,
        }
    }
}

/// A slot of a row, and what it reads.
struct Read<'r> {
    columns: &'r Columns,
    row: Row<'r>,
    number: usize,
    written: &'r [u8],
    meaning: &'r [u8],
    printed: &'r mut Vec<u8>,
}

impl Read<'_> {
    fn is(self, usual: &Usual) -> bool {
        let column = |position: usize| self.columns.get(position);
        match usual {
            Usual::Stored => false,
            Usual::Constant(text) => **text == *self.written,
            Usual::Column(position) => {
                column(*position).is_some_and(|c| c.reads(self.row.number, self.written))
            }
            Usual::String(position) => {
                let text = column(*position).and_then(|column| column.text(self.row.number));
                text.is_some_and(|text| text.as_bytes() == self.meaning)
            }
            Usual::Time { column: position, offset, pattern } => {
                let micros = column(*position).and_then(|column| column.micros(self.row.number));
                self.printed.clear();
                micros.is_some_and(|micros| {
                    civil::print(pattern, micros, *offset, self.printed)
                        && *self.printed == self.written
                })
            }
            Usual::Earlier(slot) => {
                let earlier = self.row.slots.get(*slot).filter(|_| *slot < self.number);
                earlier.is_some_and(|slot| slot.of(self.row.text) == self.written)
            }
        }
    }
}

/// Adds what may explain a slot.
fn search(
    columns: &Columns,
    row: Row<'_>,
    number: usize,
    written: &[u8],
    meaning: &[u8],
    candidates: &mut Vec<(Usual, u32)>,
) {
    let Some(slot) = row.slots.get(number) else { return };
    let mut found = |usual: Usual| {
        if candidates.len() < CANDIDATES_MAX && candidates.iter().all(|(known, _)| *known != usual)
        {
            candidates.push((usual, 1));
        }
    };
    for (position, (_, column)) in columns.list.iter().enumerate() {
        match column {
            Column::Date(_) => {
                let micros = column.micros(row.number);
                let pattern = micros.and_then(|micros| civil::pattern_of(written, micros));
                if let Some((pattern, offset)) = pattern
                    && pattern.len() <= PATTERN_BYTES_MAX
                {
                    found(Usual::Time { column: position, offset, pattern: pattern.into() });
                }
            }
            _ if slot.quoted && column.text(row.number).map(str::as_bytes) == Some(meaning) => {
                found(Usual::String(position));
            }
            _ if column.reads(row.number, written) => found(Usual::Column(position)),
            _ => {}
        }
    }
    if written.is_empty() {
        return;
    }
    let same = |earlier: &Slot| earlier.of(row.text) == written;
    if let Some(earlier) = row.slots.iter().take(number).position(same) {
        found(Usual::Earlier(earlier));
    }
}

/// Writes what the row's slots read other than `template` says: first the exceptions, each behind
/// the distance from the one before, then the texts of which it says nothing. Unless it is `careful`,
/// strings with escapes are taken for what they usually are: comparing them costs as much as writing
/// them, and whether the text comes back is seen anyway.
pub(crate) fn values(
    template: &Template,
    columns: &Columns,
    row: Row<'_>,
    careful: bool,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) {
    use crate::varint::{put, put_run};
    out.clear();
    scratch.exceptions.clear();
    scratch.stored.clear();
    let mut exceptions = 0;
    let mut next = 0;
    let mut left = template.slots().filter(|usual| **usual == Usual::Stored).count();
    let has_stored = left > 0;
    for (number, (usual, slot)) in template.slots().zip(row.slots).enumerate() {
        let written = slot.of(row.text);
        if *usual == Usual::Stored {
            left -= 1;
            if left > 0 {
                put_run(written, &mut scratch.stored);
            } else {
                scratch.stored.extend(written);
            }
            continue;
        }
        let usually = if let (true, Usual::String(position)) = (slot.escaped, usual) {
            let text = columns.get(*position).and_then(|column| column.text(row.number));
            scratch.printed.clear();
            text.is_some_and(|text| {
                if careful {
                    template.style.escape(text, &mut scratch.printed);
                }
                !careful || scratch.printed == written
            })
        } else {
            let printed = &mut scratch.printed;
            Read { columns, row, number, written, meaning: written, printed }.is(usual)
        };
        if !usually {
            put(number - next, &mut scratch.exceptions);
            put_run(written, &mut scratch.exceptions);
            next = number + 1;
            exceptions += 1;
        }
    }
    if exceptions > 0 || has_stored {
        put(exceptions, out);
        out.extend(&scratch.exceptions);
        out.extend(&scratch.stored);
    }
}
