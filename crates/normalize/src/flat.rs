//! The fields of one record while it is read: names and values in one text arena that is reused
//! from record to record, so that reading allocates nothing once warm.

use crate::limits::{FIELDS_PER_RECORD_MAX, NAME_BYTES_MAX, NAMES_REMEMBERED_MAX};
use crate::names::{Hint, NameId, Names};
use crate::shapes::Shapes;

/// A piece of [`Flat`]'s text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The part that begins `skipped` bytes after the start and has `bytes` bytes, if it is one.
    pub(crate) fn part(self, skipped: u32, bytes: u32) -> Option<Span> {
        let start = self.start.checked_add(skipped)?;
        let end = start.checked_add(bytes)?;
        (end <= self.end).then_some(Span { start, end })
    }

    /// Where `part` begins within this, and its length, both in bytes.
    pub(crate) fn place_of(self, part: Span) -> Option<(u32, u32)> {
        Some((part.start.checked_sub(self.start)?, part.end.checked_sub(part.start)?))
    }
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) name: NameId,
    pub(crate) value: Span,
}

/// How much a [`Flat`] held at some point, to go back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    text: usize,
    fields: usize,
    problem: Option<&'static str>,
}

/// Names and values of one record, in the order they were met.
#[derive(Debug, Default)]
pub(crate) struct Flat {
    pub(crate) names: Names,
    /// What [`crate::json`] remembers of documents; missing while it works.
    pub(crate) shapes: Option<Box<Shapes>>,
    text: String,
    fields: Vec<Entry>,
    /// Dotted path of the JSON value being read.
    pub(crate) path: String,
    /// The first thing that went wrong.
    problem: Option<&'static str>,
}

impl Flat {
    /// An empty one that tells the names by `names`.
    pub(crate) fn new(names: Names) -> Self {
        Flat { names, ..Flat::default() }
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
        self.path.clear();
        self.problem = None;
        // Forgetting everything now and then costs little, and a source that makes up names
        // cannot keep the others from being remembered.
        if self.names.len() >= NAMES_REMEMBERED_MAX {
            self.names.forget();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    pub(crate) fn entry(&self, index: usize) -> Option<Entry> {
        self.fields.get(index).copied()
    }

    pub(crate) fn get(&self, span: Span) -> &str {
        // Proof: spans are made here only, on character boundaries; `clear` drops all of them.
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    pub(crate) fn hints(&self) -> impl Iterator<Item = Hint> {
        self.fields.iter().map(|entry| self.names.hint(entry.name))
    }

    /// The first value called `name`.
    pub(crate) fn value(&self, name: NameId) -> Option<&str> {
        let entry = self.fields.iter().find(|entry| entry.name == name)?;
        Some(self.get(entry.value))
    }

    /// Adds a field.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        if self.refuses() {
            return;
        }
        let name = self.names.id(cut(name));
        self.push_known(name, value);
    }

    /// Adds a field whose name's number is known.
    pub(crate) fn push_known(&mut self, name: NameId, value: &str) {
        let value = self.text(value);
        self.push_spans(name, value);
    }

    /// Adds a field whose value is in the text already, by its name.
    pub(crate) fn push_span(&mut self, name: &str, value: Span) {
        if !self.refuses() {
            let name = self.names.id(cut(name));
            self.push_spans(name, value);
        }
    }

    /// Adds a field whose value is in the text already.
    pub(crate) fn push_spans(&mut self, name: NameId, value: Span) {
        if !self.refuses() {
            self.fields.push(Entry { name, value });
        }
    }

    /// Adds the value at the current path.
    pub(crate) fn push_at_path(&mut self, value: &str) {
        if self.refuses() {
            return;
        }
        let name = self.names.id(cut(&self.path));
        self.push_known(name, value);
    }

    /// Adds a number or the like at the current path.
    pub(crate) fn push_display_at_path(&mut self, value: impl std::fmt::Display) {
        if self.refuses() {
            return;
        }
        let name = self.names.id(cut(&self.path));
        let value = self.display(value);
        self.push_spans(name, value);
    }

    /// Keeps `text` in the arena without making it a field.
    pub(crate) fn text(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        self.since(start)
    }

    /// Keeps what `value` displays as.
    pub(crate) fn display(&mut self, value: impl std::fmt::Display) -> Span {
        use std::fmt::Write;
        let start = self.text.len();
        // Proof: writing to a `String` cannot fail.
        let _ = write!(self.text, "{value}");
        self.since(start)
    }

    /// Keeps `{` + the text at `span` in small letters + `}`.
    pub(crate) fn braced_lowercase(&mut self, span: Span) -> Span {
        let start = self.text.len();
        self.text.push('{');
        self.text.extend_from_within(span.start as usize..span.end as usize);
        self.text.push('}');
        if let Some(added) = self.text.get_mut(start..) {
            added.make_ascii_lowercase();
        }
        self.since(start)
    }

    /// The part `inner` of the text at `span`, where `inner` was sliced out of [`Flat::get`].
    pub(crate) fn narrow(
        &self,
        span: Span,
        inner: impl FnOnce(&str) -> Option<&str>,
    ) -> Option<Span> {
        let outer = self.get(span);
        let part = inner(outer)?;
        let offset = (part.as_ptr() as usize).checked_sub(outer.as_ptr() as usize)?;
        span.part(u32::try_from(offset).ok()?, u32::try_from(part.len()).ok()?)
    }

    /// The piece of the text from byte `start` to byte `end`, both on character boundaries.
    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        // A record is at most 1 MiB and names are bounded, so the arena stays far below 4 GiB.
        Span {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(end).unwrap_or(u32::MAX),
        }
    }

    /// How many bytes of text there are: where the next text will begin.
    pub(crate) fn text_len(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { text: self.text.len(), fields: self.fields.len(), problem: self.problem }
    }

    /// Drops what was added and noted since `mark`.
    pub(crate) fn back_to(&mut self, mark: Mark) {
        self.problem = mark.problem;
        self.text.truncate(mark.text);
        self.fields.truncate(mark.fields);
    }

    pub(crate) fn problem(&self) -> Option<&'static str> {
        self.problem
    }

    /// Notes why reading fell short; the first reason stays.
    pub(crate) fn note(&mut self, problem: &'static str) {
        self.problem.get_or_insert(problem);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.fields.len() >= FIELDS_PER_RECORD_MAX
    }

    /// Whether there is no room for a further field; notes it.
    fn refuses(&mut self) -> bool {
        let full = self.is_full();
        if full {
            self.note("more fields than the limit; the rest is in the raw event only");
        }
        full
    }

    fn since(&self, start: usize) -> Span {
        self.span(start, self.text.len())
    }
}

/// `name`, or as much of it as a name may have.
pub(crate) fn cut(name: &str) -> &str {
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let end = (0..=NAME_BYTES_MAX).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_names_are_bounded() {
        let mut flat = Flat::default();
        for number in 0..FIELDS_PER_RECORD_MAX {
            flat.push(&format!("f{number}"), "x");
        }
        assert_eq!((flat.len(), flat.problem()), (FIELDS_PER_RECORD_MAX, None));
        flat.push("one more", "x");
        assert_eq!(flat.len(), FIELDS_PER_RECORD_MAX);
        assert!(flat.problem().is_some());

        flat.clear();
        flat.push(&"n".repeat(NAME_BYTES_MAX), "");
        flat.push(&"日".repeat(NAME_BYTES_MAX), "");
        let entries = (0..2).filter_map(|number| flat.entry(number));
        let lengths: Vec<_> = entries.map(|entry| flat.names.text(entry.name).len()).collect();
        assert_eq!(lengths, [NAME_BYTES_MAX, NAME_BYTES_MAX / 3 * 3]);
    }

    #[test]
    fn too_many_names_are_forgotten_between_records() {
        let mut flat = Flat::default();
        let mut number = 0;
        let mut until = |flat: &mut Flat, len: usize| {
            while flat.names.len() < len {
                number += 1;
                flat.names.id(&format!("f{number}"));
            }
            let epoch = flat.names.epoch();
            flat.clear();
            flat.names.epoch() - epoch
        };
        assert_eq!(until(&mut flat, NAMES_REMEMBERED_MAX - 1), 0);
        assert_eq!(until(&mut flat, NAMES_REMEMBERED_MAX), 1);
        assert!(flat.names.len() < 100);
    }
}
