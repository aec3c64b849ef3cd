//! A place in the expression, and the pieces both the filter and the commands are made of.

use crate::error::{Message, ParseError};
use std::ops::Range;

pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// How many searches in brackets are open: `]` ends a word there, and the search.
    inside: usize,
}

/// An operator as ASCII: full-width forms and typographic quotes mean the same.
pub(crate) fn operator(c: char) -> char {
    match c {
        '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{ff02}' => '"',
        '\u{3000}' => ' ',
        '\u{3001}' => ',',
        '\u{ff01}'..='\u{ff5e}' => {
            let ascii = char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c);
            if "()|:*?<>=![]{},&/".contains(ascii) { ascii } else { c }
        }
        other => other,
    }
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Cursor { text, at: 0, inside: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// A search in brackets begins; how many are open then.
    pub(crate) fn enter(&mut self) -> usize {
        self.inside += 1;
        self.inside
    }

    /// The search in brackets that began last is over.
    pub(crate) fn leave(&mut self) {
        self.inside -= 1;
    }

    /// Whether nothing more of this command follows: the next one does, or the search ends.
    pub(crate) fn at_end(&self) -> bool {
        self.peek().is_none_or(|c| c == '|' || self.closes(c))
    }

    /// Whether this ends a search in brackets.
    fn closes(&self, c: char) -> bool {
        c == ']' && self.inside > 0
    }

    pub(crate) fn rest(&self) -> &'a str {
        // Proof: `at` only moves by whole characters.
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next character, as an operator where it is one.
    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next().map(operator)
    }

    /// The character after the next one.
    pub(crate) fn peek_second(&self) -> Option<char> {
        self.rest().chars().nth(1).map(operator)
    }

    pub(crate) fn bump(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(operator(c))
    }

    pub(crate) fn eat(&mut self, expected: char) -> bool {
        let there = self.peek() == Some(expected);
        if there {
            self.bump();
        }
        there
    }

    pub(crate) fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.bump();
        }
    }

    /// The rest of a quoted text, its opening quote read. A doubled quote is one quote; the
    /// backslash means itself, as paths end in it.
    pub(crate) fn quoted(&mut self, opened_at: usize) -> Result<String, ParseError> {
        let mut text = String::new();
        while let Some(raw) = self.rest().chars().next() {
            self.at += raw.len_utf8();
            if operator(raw) != '"' {
                text.push(raw);
                continue;
            }
            if raw == '"' && self.rest().starts_with('"') {
                self.at += 1;
                text.push('"');
                continue;
            }
            return Ok(text);
        }
        Err(self.error(
            opened_at..opened_at + 1,
            "引用符が閉じていません。語句の後ろに \" を付けてください。",
            "this quote is never closed; add \" after the phrase",
        ))
    }

    /// A regular expression `/.../`, if one begins here: the next `/` ends a token. A path such
    /// as `/var/log` is not one.
    pub(crate) fn regex(&mut self) -> Option<String> {
        let rest = self.rest().strip_prefix('/')?;
        let mut escaped = false;
        for (at, c) in rest.char_indices() {
            if c == '/' && !escaped {
                let after = rest[at + 1..].chars().next().map(operator);
                let ends =
                    after.is_none_or(|c| c.is_whitespace() || "()|".contains(c) || self.closes(c));
                if !ends || at == 0 {
                    return None;
                }
                self.at += at + 2;
                return Some(rest[..at].replace("\\/", "/"));
            }
            escaped = c == '\\' && !escaped;
        }
        None
    }

    /// Characters up to one of `stop` (as operator) or white space.
    pub(crate) fn until(&mut self, stop: &str) -> (&'a str, Range<usize>) {
        let start = self.at;
        while let Some(c) = self.peek() {
            if c.is_whitespace() || stop.contains(c) || self.closes(c) {
                break;
            }
            self.bump();
        }
        (self.text.get(start..self.at).unwrap_or_default(), start..self.at)
    }

    /// Everything up to `end`, which is read as well; `None`, and nothing read, if it never comes.
    pub(crate) fn up_to(&mut self, end: char) -> Option<(&'a str, Range<usize>)> {
        let start = self.at;
        let length = self.rest().find(end)?;
        self.at += length + end.len_utf8();
        Some((self.text.get(start..start + length)?, start..start + length))
    }

    /// Where nothing follows, the place of the end.
    pub(crate) fn here(&self) -> Range<usize> {
        let length = self.rest().chars().next().map_or(0, char::len_utf8);
        self.at..self.at + length
    }

    pub(crate) fn error(
        &self,
        at: Range<usize>,
        ja: impl Into<String>,
        en: impl Into<String>,
    ) -> ParseError {
        ParseError::new(self.text, at, Message::new(ja, en))
    }
}
