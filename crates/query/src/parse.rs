//! The filter part of the search language: terms, fields, AND, OR, NOT. The whole grammar is in
//! `docs/search-grammar.md`.
//!
//! ```text
//! expression := filter ( '|' command )*
//! filter     := all ( OR all )*
//! all        := one ( [AND] one )*
//! one        := ( NOT | '!' ) one | '(' filter ')' | term
//! term       := word | "phrase" | /regex/ | field test
//! test       := ':' value | '=' value | '!=' value | ( '>' | '>=' | '<' | '<=' ) value
//!             | ':' '[' value TO value ']' | ':' '(' filter of values ')'
//! ```

use crate::ast::{Bound, Compare, Expr, FieldTest, Filter, Pattern, Test};
use crate::cursor::Cursor;
use crate::error::{Message, ParseError};
use crate::limits::{DEPTH_MAX, TERMS_MAX, TEXT_BYTES_MAX};
use crate::pipes;
use jiff::tz::TimeZone;
use std::ops::Range;
use yagura_event::UtcMicros;
use yagura_textindex::fold;

/// Reads a search expression. `now` is what relative times start from, `zone` that of times
/// written without one.
pub fn parse(text: &str, now: UtcMicros, zone: &TimeZone) -> Result<Expr, ParseError> {
    if text.len() > TEXT_BYTES_MAX {
        let kib = TEXT_BYTES_MAX / 1024;
        return Err(ParseError::new(
            "",
            0..0,
            Message::new(
                format!("検索式が {kib} KiB を超えています。短くしてください。"),
                format!("the expression is longer than {kib} KiB; shorten it"),
            ),
        ));
    }
    let cursor = Cursor::new(text);
    let mut parser = Parser { cursor, depth: 0, terms: 0, searches: 0, now, zone };
    parser.expression()
}

pub(crate) struct Parser<'a> {
    pub(crate) cursor: Cursor<'a>,
    depth: usize,
    terms: usize,
    /// Searches in brackets so far.
    pub(crate) searches: usize,
    now: UtcMicros,
    zone: &'a TimeZone,
}

/// What ends a word. `|` begins a command.
const WORD_ENDS: &str = "()|\"";

/// The field that values in `field:( ... )` belong to.
type Scope<'s> = Option<(&'s str, &'s Range<usize>)>;

impl Parser<'_> {
    /// A filter and its commands, up to the end or the `]` that closes a search in brackets.
    pub(crate) fn expression(&mut self) -> Result<Expr, ParseError> {
        let filter = self.whole_filter()?;
        let pipes = pipes::parse(self)?;
        let text = self.cursor.text().to_owned();
        Ok(Expr { filter, pipes, text, now: self.now, zone: self.zone.clone() })
    }

    /// A filter up to the next `|` or the end; nothing at all is every event.
    pub(crate) fn whole_filter(&mut self) -> Result<Filter, ParseError> {
        self.cursor.skip_space();
        if self.cursor.at_end() && !self.at_or() {
            return Ok(Filter::All);
        }
        let filter = self.any(None)?;
        if self.cursor.peek() == Some(')') {
            return Err(self.cursor.error(
                self.cursor.here(),
                "対応する ( がありません。この ) を消すか、前に ( を足してください。",
                "this ) has no ( before it; remove it or add one",
            ));
        }
        Ok(filter)
    }

    fn any(&mut self, scope: Scope<'_>) -> Result<Filter, ParseError> {
        let mut list = vec![self.all(scope)?];
        while self.eat_or() {
            list.push(self.all(scope)?);
        }
        Ok(one_or(list, Filter::Or))
    }

    fn all(&mut self, scope: Scope<'_>) -> Result<Filter, ParseError> {
        let mut list = vec![self.one(scope)?];
        loop {
            self.cursor.skip_space();
            let and = self.eat_word("and") || self.eat_twice('&');
            self.cursor.skip_space();
            let end = self.cursor.at_end() || self.cursor.peek() == Some(')') || self.at_or();
            if end && !and {
                break;
            }
            list.push(self.one(scope)?);
        }
        Ok(one_or(list, Filter::And))
    }

    fn one(&mut self, scope: Scope<'_>) -> Result<Filter, ParseError> {
        self.cursor.skip_space();
        let start = self.cursor.at();
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.cursor.error(
                self.cursor.here(),
                format!("括弧や NOT の入れ子が {DEPTH_MAX} 段を超えています。"),
                format!("parentheses and NOT are nested more than {DEPTH_MAX} deep"),
            ));
        }
        let filter = if self.eat_word("not") || self.eat_bang() {
            Filter::Not(Box::new(self.one(scope)?))
        } else if self.cursor.eat('(') {
            let inner = self.any(scope)?;
            if !self.cursor.eat(')') {
                return Err(self.cursor.error(
                    start..start + 1,
                    "この ( が閉じていません。) を足してください。",
                    "this ( is never closed; add )",
                ));
            }
            inner
        } else {
            self.term(scope)?
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn term(&mut self, scope: Scope<'_>) -> Result<Filter, ParseError> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(self.cursor.error(
                self.cursor.here(),
                format!("条件が {TERMS_MAX} 個を超えています。検索を分けてください。"),
                format!("more than {TERMS_MAX} terms; split the search"),
            ));
        }
        let start = self.cursor.at();
        if let Some((name, name_at)) = scope {
            let (test, value_at) = self.value(start)?;
            return Ok(field(name.to_owned(), name_at.clone(), test, value_at));
        }
        if let Some(regex) = self.cursor.regex() {
            return Ok(Filter::Text(Pattern::Regex(regex)));
        }
        if self.cursor.eat('"') {
            let phrase = self.cursor.quoted(start)?;
            // A quoted name before a colon is a field: `"field name":value`.
            if self.cursor.peek() == Some(':') {
                return self.field_test(phrase, start..self.cursor.at());
            }
            if phrase.trim().is_empty() {
                return Err(self.cursor.error(
                    start..self.cursor.at(),
                    "空の語句は検索できません。引用符の中に語を書いてください。",
                    "an empty phrase finds nothing; write a word inside the quotes",
                ));
            }
            return Ok(Filter::Text(Pattern::Literal(phrase)));
        }
        if let Some((name, name_at)) = self.field_name() {
            return self.field_test(name, name_at);
        }
        let (word, at) = self.cursor.until(WORD_ENDS);
        if word.is_empty() {
            return Err(self.expected_term());
        }
        if matches!(&*fold(word), "and" | "or") {
            return Err(self.cursor.error(
                at,
                format!("{word} の前に条件がありません。語として探すなら \"{word}\" と書きます。"),
                format!("{word} has nothing before it; to search for the word, write \"{word}\""),
            ));
        }
        Ok(match word_pattern(word) {
            Pattern::Wildcard(all) if all.chars().all(|c| c == '*') => Filter::All,
            pattern => Filter::Text(pattern),
        })
    }

    fn expected_term(&self) -> ParseError {
        self.cursor.error(
            self.cursor.here(),
            "ここに条件が必要です（語、\"語句\"、項目:値）。",
            "a condition is missing here: a word, a \"phrase\" or field:value",
        )
    }

    /// A word before `:`, `=`, `!=`, `<` or `>`, if one begins here.
    fn field_name(&mut self) -> Option<(String, Range<usize>)> {
        let start = self.cursor.at();
        let (word, at) = self.cursor.until("()|\":=<>!");
        let (next, second) = (self.cursor.peek(), self.cursor.peek_second());
        let operator = match next {
            Some(':') => {
                // `C:\Temp` and `https://...` are text.
                let drive = word.len() == 1 && matches!(second, Some('\\' | '/'));
                let url = self.cursor.rest().starts_with("://");
                !drive && !url
            }
            Some('=' | '<' | '>') => true,
            Some('!') => second == Some('='),
            _ => false,
        };
        let plausible = word.chars().next().is_some_and(|c| !c.is_ascii_digit() && c != '/')
            && word.chars().all(|c| c.is_alphanumeric() || "_.@-#$%\u{30fc}".contains(c));
        if operator && plausible {
            return Some((word.to_owned(), at));
        }
        self.cursor.back_to(start);
        None
    }

    fn field_test(&mut self, name: String, name_at: Range<usize>) -> Result<Filter, ParseError> {
        if matches!(name.as_str(), "exists" | "_exists_") && self.cursor.eat(':') {
            self.cursor.skip_space();
            let (field_name, at) = self.name()?;
            return Ok(field(field_name, at.clone(), Test::Exists, at));
        }
        let start = self.cursor.at();
        match self.cursor.bump() {
            Some('!') => {
                self.cursor.eat('=');
                let (test, at) = self.value(start)?;
                return Ok(Filter::Not(Box::new(field(name, name_at, test, at))));
            }
            Some(':') => {
                self.cursor.skip_space();
                if matches!(self.cursor.peek(), Some('<' | '>')) {
                    return self.comparison(name, name_at);
                }
                if self.cursor.peek() == Some('(') {
                    return self.one(Some((&name, &name_at)));
                }
                if self.cursor.peek() == Some('[') || self.cursor.peek() == Some('{') {
                    let (test, at) = self.range()?;
                    return Ok(field(name, name_at, test, at));
                }
            }
            Some('=') => {
                // `==` is what programmers type.
                self.cursor.eat('=');
                self.cursor.skip_space();
            }
            _ => {
                self.cursor.back_to(start);
                return self.comparison(name, name_at);
            }
        }
        let (test, at) = self.value(start)?;
        Ok(field(name, name_at, test, at))
    }

    fn comparison(&mut self, name: String, name_at: Range<usize>) -> Result<Filter, ParseError> {
        let start = self.cursor.at();
        let less = self.cursor.bump() == Some('<');
        let compare = match (less, self.cursor.eat('=')) {
            (true, false) => Compare::Less,
            (true, true) => Compare::LessOrEqual,
            (false, false) => Compare::Greater,
            (false, true) => Compare::GreaterOrEqual,
        };
        self.cursor.skip_space();
        let (value, at) = self.plain_value(start, WORD_ENDS)?;
        Ok(field(name, name_at, Test::Compare(compare, value), at))
    }

    /// `[a TO b]`, `{a TO b}`; `*` is an open end.
    fn range(&mut self) -> Result<(Test, Range<usize>), ParseError> {
        let start = self.cursor.at();
        let low_inclusive = self.cursor.bump() == Some('[');
        self.cursor.skip_space();
        let (low, _) = self.plain_value(start, "()|\"[]{}")?;
        self.cursor.skip_space();
        if !self.eat_word("to") {
            return Err(self.cursor.error(
                self.cursor.here(),
                "範囲は [小 TO 大] と書きます。",
                "a range is written [low TO high]",
            ));
        }
        self.cursor.skip_space();
        let (high, _) = self.plain_value(start, "()|\"[]{}")?;
        self.cursor.skip_space();
        let high_inclusive = match self.cursor.peek() {
            Some(']') => true,
            Some('}') => false,
            _ => {
                return Err(self.cursor.error(
                    start..start + 1,
                    "範囲が閉じていません。] を足してください。",
                    "this range is never closed; add ]",
                ));
            }
        };
        self.cursor.bump();
        let bound =
            |value: String, inclusive| Bound { value: (value != "*").then_some(value), inclusive };
        let test = Test::Range(bound(low, low_inclusive), bound(high, high_inclusive));
        Ok((test, start..self.cursor.at()))
    }

    /// A value of a field: word, phrase, wildcard, regular expression, `*`.
    fn value(&mut self, operator_at: usize) -> Result<(Test, Range<usize>), ParseError> {
        let start = self.cursor.at();
        if let Some(regex) = self.cursor.regex() {
            return Ok((Test::Matches(Pattern::Regex(regex)), start..self.cursor.at()));
        }
        let quoted = self.cursor.peek() == Some('"');
        let (value, at) = self.plain_value(operator_at, WORD_ENDS)?;
        let test = match (quoted, word_pattern(&value)) {
            (true, _) => Test::Matches(Pattern::Literal(value)),
            (false, Pattern::Wildcard(all)) if all.chars().all(|c| c == '*') => Test::Exists,
            (false, pattern) => Test::Matches(pattern),
        };
        Ok((test, at))
    }

    fn plain_value(
        &mut self,
        operator_at: usize,
        stop: &str,
    ) -> Result<(String, Range<usize>), ParseError> {
        let start = self.cursor.at();
        if self.cursor.eat('"') {
            return Ok((self.cursor.quoted(start)?, start..self.cursor.at()));
        }
        let (value, at) = self.cursor.until(stop);
        if value.is_empty() {
            return Err(self.cursor.error(
                operator_at..self.cursor.at().max(operator_at + 1),
                "値がありません。項目:値 のように書いてください。空の値は \"\" です。",
                "the value is missing; write field:value, or \"\" for an empty one",
            ));
        }
        Ok((value.to_owned(), at))
    }

    /// A field's name in a command.
    pub(crate) fn name(&mut self) -> Result<(String, Range<usize>), ParseError> {
        self.name_before("()|\",")
    }

    /// The same where other characters end it.
    pub(crate) fn name_before(&mut self, stop: &str) -> Result<(String, Range<usize>), ParseError> {
        self.cursor.skip_space();
        let start = self.cursor.at();
        if self.cursor.eat('"') {
            return Ok((self.cursor.quoted(start)?, start..self.cursor.at()));
        }
        let (name, at) = self.cursor.until(stop);
        if name.is_empty() {
            return Err(self.cursor.error(
                self.cursor.here(),
                "ここに項目名が必要です。",
                "a field name is missing here",
            ));
        }
        Ok((name.to_owned(), at))
    }

    /// Eats a word of the language, in any case and width, if it stands alone here.
    pub(crate) fn eat_word(&mut self, expected: &str) -> bool {
        let start = self.cursor.at();
        let (word, _) = self.cursor.until(WORD_ENDS);
        let there = *fold(word) == *expected;
        if !there {
            self.cursor.back_to(start);
        }
        there
    }

    fn eat_twice(&mut self, c: char) -> bool {
        let there = self.cursor.peek() == Some(c) && self.cursor.peek_second() == Some(c);
        if there {
            self.cursor.bump();
            self.cursor.bump();
        }
        there
    }

    fn eat_bang(&mut self) -> bool {
        self.cursor.peek_second().is_some_and(|c| !c.is_whitespace()) && self.cursor.eat('!')
    }

    fn eat_or(&mut self) -> bool {
        self.cursor.skip_space();
        self.eat_word("or") || self.eat_twice('|')
    }

    fn at_or(&mut self) -> bool {
        let start = self.cursor.at();
        let there = self.eat_or();
        self.cursor.back_to(start);
        there
    }
}

fn one_or(mut list: Vec<Filter>, many: fn(Vec<Filter>) -> Filter) -> Filter {
    match list.pop() {
        Some(only) if list.is_empty() => only,
        Some(last) => {
            list.push(last);
            many(list)
        }
        None => Filter::All,
    }
}

fn field(name: String, name_at: Range<usize>, test: Test, value_at: Range<usize>) -> Filter {
    Filter::Field(FieldTest { name, name_at, test, value_at })
}

/// A bare word: a wildcard if it has `*` or `?`, of either width.
fn word_pattern(word: &str) -> Pattern {
    if word.contains(['*', '?', '\u{ff0a}', '\u{ff1f}']) {
        let ascii = word.replace('\u{ff0a}', "*").replace('\u{ff1f}', "?");
        Pattern::Wildcard(ascii)
    } else {
        Pattern::Literal(word.to_owned())
    }
}
