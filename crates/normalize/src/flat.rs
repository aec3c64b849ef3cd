//! The fields of one record while it is read: names and values in one text arena that is reused
//! from record to record, so that reading allocates nothing once warm.

use crate::limits::{FIELDS_PER_RECORD_MAX, NAME_BYTES_MAX};

/// A piece of [`Flat`]'s text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// Names and values of one record, in the order they were met.
#[derive(Debug, Default)]
pub(crate) struct Flat {
    text: String,
    fields: Vec<Entry>,
    /// Dotted path of the JSON value being read.
    pub(crate) path: String,
    /// The first thing that went wrong.
    problem: Option<&'static str>,
}

impl Flat {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
        self.path.clear();
        self.problem = None;
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

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|entry| self.get(entry.name))
    }

    /// The first value called `name`.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let entry = self.fields.iter().find(|entry| self.get(entry.name) == name)?;
        Some(self.get(entry.value))
    }

    /// Adds a field.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        let name = self.text(cut(name));
        let value = self.text(value);
        self.push_spans(name, value);
    }

    /// Adds the value at the current path.
    pub(crate) fn push_at_path(&mut self, value: &str) {
        let name = self.path_span();
        let value = self.text(value);
        self.push_spans(name, value);
    }

    /// Adds a number or the like at the current path.
    pub(crate) fn push_display_at_path(&mut self, value: impl std::fmt::Display) {
        use std::fmt::Write;
        let name = self.path_span();
        let start = self.text.len();
        // Proof: writing to a `String` cannot fail.
        let _ = write!(self.text, "{value}");
        let value = self.since(start);
        self.push_spans(name, value);
    }

    /// Keeps `text` in the arena without making it a field.
    pub(crate) fn text(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        self.since(start)
    }

    /// Keeps what `derive` makes of `span`, if anything.
    pub(crate) fn derive(
        &mut self,
        span: Span,
        derive: impl FnOnce(&str) -> Option<String>,
    ) -> Option<Span> {
        let derived = derive(self.get(span))?;
        Some(self.text(&derived))
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
        let start = span.start.checked_add(u32::try_from(offset).ok()?)?;
        let end = start.checked_add(u32::try_from(part.len()).ok()?)?;
        (end <= span.end).then_some(Span { start, end })
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

    fn path_span(&mut self) -> Span {
        let start = self.text.len();
        self.text.push_str(cut(&self.path));
        self.since(start)
    }

    fn since(&self, start: usize) -> Span {
        // A record is at most 1 MiB and names are bounded, so the arena stays far below 4 GiB.
        Span {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(self.text.len()).unwrap_or(u32::MAX),
        }
    }

    fn push_spans(&mut self, name: Span, value: Span) {
        if self.is_full() {
            self.note("more fields than the limit; the rest is in the raw event only");
            return;
        }
        self.fields.push(Entry { name, value });
    }
}

fn cut(name: &str) -> &str {
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
        let lengths: Vec<_> = flat.names().map(str::len).collect();
        assert_eq!(lengths, [NAME_BYTES_MAX, NAME_BYTES_MAX / 3 * 3]);
    }
}
