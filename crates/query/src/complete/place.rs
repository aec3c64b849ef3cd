//! What stands at a place of a search that is being written. Pure; what is wrong or not finished is the
//! normal case here.

use crate::complete::words::{self, Word};
use crate::cursor::{Cursor, operator};
use std::ops::Range;
use yagura_textindex::fold;

/// What may stand at a place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wanted {
    /// Nothing that is known beforehand: a word to search for, a number, a new name.
    Nothing,
    /// A command, after `|`.
    Command,
    /// A field, and what may stand there instead.
    Field(Style, &'static [Word]),
    /// A list that `lookup` asks.
    List,
    /// A column of this list, and what may stand there instead.
    ListColumn(String, &'static [Word]),
    /// A value of this field; `compared` with `<`, `>` or as an end of a range.
    Value { field: String, compared: bool, quoted: bool },
    /// One of these.
    Words(&'static [Word]),
}

/// How the name of a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Before a test, as in `user.name:`; `bare` where a test follows already, or none does.
    Filter { bare: bool },
    /// After a command.
    Command,
    /// In a computation, where `-` subtracts.
    Compute,
}

/// A place, and what is written there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// The bytes that a completion takes the place of.
    pub(crate) replace: Range<usize>,
    /// What is written there up to the cursor, without an opening quote.
    pub(crate) typed: String,
    pub(crate) wanted: Wanted,
    /// Where the `|` before this command stands; `None` in the filter that comes first.
    pub(crate) pipe: Option<usize>,
}

/// What ends a word of a filter, a name before its test, a name after a command, a word of a computation.
const WORD_ENDS: &str = "()|\"";
const TEST_ENDS: &str = "()|\":=<>!";
const NAME_ENDS: &str = "()|\",=";
const COMPUTE_ENDS: &str = "()|\",'+-*/%<>=!";

/// What may stand at byte `at` of `text`; past the end means the end.
pub(crate) fn place(text: &str, at: usize) -> Place {
    let at = floor(text, at);
    let head = text.get(..at).unwrap_or_default();
    let tail = text.get(at..).unwrap_or_default();
    let mut reader = Reader { cursor: Cursor::new(head), pipe: None };
    let found = reader.search();
    let end = at + found.end_in(tail);
    let wanted = match found.wanted {
        Wanted::Field(Style::Filter { .. }, also)
            if tested(text.get(end..).unwrap_or_default()) =>
        {
            Wanted::Field(Style::Filter { bare: true }, also)
        }
        wanted => wanted,
    };
    if wanted == Wanted::Nothing {
        return Place { replace: at..at, typed: String::new(), wanted, pipe: reader.pipe };
    }
    Place { replace: found.start..end, typed: found.typed, wanted, pipe: reader.pipe }
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Whether a test of a field begins here.
fn tested(rest: &str) -> bool {
    let mut chars = rest.chars().map(operator);
    match chars.next() {
        Some(':' | '=' | '<' | '>') => true,
        Some('!') => chars.next() == Some('='),
        _ => false,
    }
}

/// Where what is being written begins, and what it is.
#[derive(Debug)]
struct Found {
    start: usize,
    typed: String,
    wanted: Wanted,
    ends: &'static str,
    /// The quote it began with.
    quote: Option<char>,
}

impl Found {
    fn nothing(start: usize) -> Self {
        Found { start, typed: String::new(), wanted: Wanted::Nothing, ends: WORD_ENDS, quote: None }
    }

    fn word(start: usize, typed: &str, wanted: Wanted, ends: &'static str) -> Self {
        Found { start, typed: typed.to_owned(), wanted, ends, quote: None }
    }

    fn quoted(start: usize, typed: &str, wanted: Wanted, quote: char) -> Self {
        Found { start, typed: typed.to_owned(), wanted, ends: "", quote: Some(quote) }
    }

    /// How much of what comes after the cursor belongs to the word under it.
    fn end_in(&self, tail: &str) -> usize {
        let ends = |c: char| {
            c.is_whitespace() || self.ends.contains(operator(c)) || Some(operator(c)) == self.quote
        };
        let length = tail.find(ends).unwrap_or(tail.len());
        let closed = tail.get(length..).and_then(|rest| rest.chars().next());
        match closed {
            Some(c) if Some(operator(c)) == self.quote => length + c.len_utf8(),
            _ => length,
        }
    }
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    pipe: Option<usize>,
}

impl<'a> Reader<'a> {
    /// Reads up to the cursor. The text after the cursor is not there.
    fn search(&mut self) -> Found {
        if let Some(found) = self.filter() {
            return found;
        }
        loop {
            // A `|` stands here.
            self.pipe = Some(self.cursor.at());
            self.cursor.bump();
            self.cursor.skip_space();
            let (word, at) = self.cursor.until("()|\",");
            if self.at_end() {
                return Found::word(at.start, word, Wanted::Command, "()|\",");
            }
            let found = match &*fold(word) {
                "where" => self.filter(),
                command => self.arguments(command),
            };
            if let Some(found) = found {
                return found;
            }
        }
    }

    fn at_end(&self) -> bool {
        self.cursor.rest().is_empty()
    }

    /// Reads a filter; `None` where a `|` ends it.
    fn filter(&mut self) -> Option<Found> {
        // The parentheses that are open, with the field that values in them belong to.
        let mut scopes: Vec<Option<String>> = Vec::new();
        // Whether a term has just ended: what follows without a blank belongs to it.
        let mut glued = false;
        loop {
            let before = self.cursor.at();
            self.cursor.skip_space();
            glued &= self.cursor.at() == before;
            let start = self.cursor.at();
            let scope = scopes.last().cloned().flatten();
            match self.cursor.peek() {
                None if glued => return Some(Found::nothing(start)),
                None => return Some(self.begun(start, "", scope)),
                Some('|') if self.cursor.peek_second() == Some('|') => {
                    self.cursor.bump();
                    self.cursor.bump();
                }
                Some('|') => return None,
                Some('(') => {
                    self.cursor.bump();
                    scopes.push(scope);
                    glued = false;
                }
                Some(')') => {
                    self.cursor.bump();
                    scopes.pop();
                    glued = true;
                }
                Some('!' | '&') => {
                    self.cursor.bump();
                    glued = false;
                }
                Some(_) => match scope {
                    Some(field) => {
                        if let Some(found) = self.value(field, false) {
                            return Some(found);
                        }
                        glued = true;
                    }
                    None => match self.term() {
                        Term::Unfinished(found) => return Some(found),
                        Term::Read => glued = true,
                        Term::Scope(field) => {
                            scopes.push(Some(field));
                            glued = false;
                        }
                    },
                },
            }
        }
    }

    /// A term of which nothing or only a word is written.
    fn begun(&self, start: usize, typed: &str, scope: Option<String>) -> Found {
        match scope {
            Some(field) => {
                let wanted = Wanted::Value { field, compared: false, quoted: false };
                Found::word(start, typed, wanted, WORD_ENDS)
            }
            None => {
                let wanted = Wanted::Field(Style::Filter { bare: false }, &[]);
                Found::word(start, typed, wanted, TEST_ENDS)
            }
        }
    }

    fn term(&mut self) -> Term {
        let start = self.cursor.at();
        if self.cursor.regex().is_some() {
            return Term::Read;
        }
        if self.cursor.eat('"') {
            let Ok(phrase) = self.cursor.quoted(start) else {
                return Term::Unfinished(Found::nothing(start));
            };
            return match self.cursor.peek() {
                Some(':') => self.test(phrase),
                _ => Term::Read,
            };
        }
        let (word, _) = self.cursor.until(TEST_ENDS);
        if self.at_end() && !word.starts_with('/') {
            return Term::Unfinished(self.begun(start, word, None));
        }
        if tested(self.cursor.rest()) && is_name(word) && !self.is_address(word) {
            return self.test(word.to_owned());
        }
        self.cursor.back_to(start);
        let (word, _) = self.cursor.until(WORD_ENDS);
        if word.is_empty() {
            self.cursor.bump();
        }
        if self.at_end() { Term::Unfinished(Found::nothing(start)) } else { Term::Read }
    }

    /// `C:\Temp` and `https://...` are text.
    fn is_address(&self, word: &str) -> bool {
        let drive = word.len() == 1 && matches!(self.cursor.peek_second(), Some('\\' | '/'));
        drive || self.cursor.rest().starts_with("://")
    }

    /// What follows the name of a field: an operator stands here.
    fn test(&mut self, field: String) -> Term {
        let mut compared = false;
        let exists = matches!(field.as_str(), "exists" | "_exists_");
        let first = self.cursor.bump();
        match first {
            Some('<' | '>') => compared = true,
            Some(':') if exists => {
                self.cursor.skip_space();
                let (word, at) = self.cursor.until(WORD_ENDS);
                let wanted = Wanted::Field(Style::Filter { bare: true }, &[]);
                return match self.at_end() {
                    true => Term::Unfinished(Found::word(at.start, word, wanted, WORD_ENDS)),
                    false => Term::Read,
                };
            }
            _ => {}
        }
        self.cursor.eat('=');
        self.cursor.skip_space();
        if first == Some(':') {
            match self.cursor.peek() {
                Some('<' | '>') => {
                    self.cursor.bump();
                    self.cursor.eat('=');
                    self.cursor.skip_space();
                    compared = true;
                }
                Some('(') => {
                    self.cursor.bump();
                    return Term::Scope(field);
                }
                Some('[' | '{') => return self.range(field),
                _ => {}
            }
        }
        match self.value(field, compared) {
            Some(found) => Term::Unfinished(found),
            None => Term::Read,
        }
    }

    fn range(&mut self, field: String) -> Term {
        self.cursor.bump();
        loop {
            self.cursor.skip_space();
            let (word, at) = self.cursor.until("()|\"[]{}");
            if self.at_end() {
                let wanted = Wanted::Value { field, compared: true, quoted: false };
                return Term::Unfinished(Found::word(at.start, word, wanted, "()|\"[]{}"));
            }
            match self.cursor.peek() {
                Some(']' | '}') => {
                    self.cursor.bump();
                    return Term::Read;
                }
                Some(c) if c.is_whitespace() => {}
                // No range: what follows is read anew.
                _ => return Term::Read,
            }
        }
    }

    /// A value; `None` once it has been read and something follows it.
    fn value(&mut self, field: String, compared: bool) -> Option<Found> {
        let start = self.cursor.at();
        if self.cursor.regex().is_some() {
            return None;
        }
        if self.cursor.eat('"') {
            let opened = self.cursor.at();
            if self.cursor.quoted(start).is_ok() {
                return None;
            }
            self.cursor.back_to(opened);
            let typed = self.cursor.rest().replace("\"\"", "\"");
            let wanted = Wanted::Value { field, compared, quoted: true };
            return Some(Found::quoted(start, &typed, wanted, '"'));
        }
        let (word, _) = self.cursor.until(WORD_ENDS);
        let wanted = Wanted::Value { field, compared, quoted: false };
        self.at_end().then(|| Found::word(start, word, wanted, WORD_ENDS))
    }

    /// Reads what follows a command; `None` where a `|` ends it.
    fn arguments(&mut self, command: &str) -> Option<Found> {
        let computes = command == "eval";
        let ends = if computes { COMPUTE_ENDS } else { NAME_ENDS };
        let style = if computes { Style::Compute } else { Style::Command };
        let mut before: Vec<Token<'a>> = Vec::new();
        loop {
            self.cursor.skip_space();
            let start = self.cursor.at();
            let wanted = |before: &[Token<'_>]| words::after(command, before, style);
            match self.cursor.peek() {
                None => return Some(Found::word(start, "", wanted(&before), ends)),
                Some('|') => return None,
                Some(quote @ ('"' | '\'')) if quote == '"' || computes => {
                    self.cursor.bump();
                    let rest = self.cursor.rest();
                    let closed = match quote {
                        '"' => self.cursor.quoted(start).is_ok(),
                        quote => self.cursor.up_to(quote).is_some(),
                    };
                    // In a computation double quotes hold text.
                    if !closed && (quote == '\'' || !computes) {
                        return Some(Found::quoted(start, rest, wanted(&before), quote));
                    }
                    if self.at_end() {
                        return Some(Found::nothing(self.cursor.at()));
                    }
                    before.push(Token::Word(rest));
                }
                // The sign of a key of `sort` is no part of its name.
                Some('-' | '+') if command == "sort" => {
                    self.cursor.bump();
                }
                Some(_) => {
                    let (word, _) = self.cursor.until(ends);
                    if !word.is_empty() && self.at_end() {
                        return Some(Found::word(start, word, wanted(&before), ends));
                    }
                    before.push(match word.is_empty() {
                        true => Token::Sign(self.cursor.bump().unwrap_or(' ')),
                        false => Token::Word(word),
                    });
                }
            }
        }
    }
}

enum Term {
    Read,
    /// The cursor stands in it.
    Unfinished(Found),
    /// Values of this field follow in parentheses.
    Scope(String),
}

/// A piece of what follows a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Word(&'a str),
    Sign(char),
}

/// What may be a field's name without quotes.
pub(crate) fn is_name(word: &str) -> bool {
    word.chars().next().is_some_and(|c| !c.is_ascii_digit() && c != '/')
        && word.chars().all(|c| c.is_alphanumeric() || "_.@-#$%\u{30fc}".contains(c))
}

/// A field's name as it is written in this place; `None` where it cannot be.
pub(crate) fn written_name(name: &str, style: Style) -> Option<String> {
    // Inside double quotes a doubled quote is one; typographic ones would end them.
    let quoted = || {
        let foreign = name.chars().any(|c| c != '"' && operator(c) == '"');
        (!foreign).then(|| format!("\"{}\"", name.replace('"', "\"\"")))
    };
    let plain = |ends: &str| {
        !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || ends.contains(operator(c)))
    };
    match style {
        Style::Filter { bare } => {
            let name = match is_name(name) && plain(TEST_ENDS) {
                true => name.to_owned(),
                false => quoted()?,
            };
            Some(if bare { name } else { name + ":" })
        }
        Style::Command if plain(NAME_ENDS) && !name.starts_with(['-', '+']) => {
            Some(name.to_owned())
        }
        Style::Command => quoted(),
        Style::Compute => {
            let digit = name.starts_with(|c: char| c.is_ascii_digit());
            match plain(COMPUTE_ENDS) && !digit {
                true => Some(name.to_owned()),
                false => (!name.contains('\'')).then(|| format!("'{name}'")),
            }
        }
    }
}

/// A value as it is written after `field:`, so that it means itself; `None` where it cannot be.
pub(crate) fn written_value(value: &str) -> Option<String> {
    if value.chars().any(char::is_control) {
        return None;
    }
    let special = |c: char| c.is_whitespace() || "()|\"*?".contains(operator(c));
    let begins = value.starts_with(|c: char| "[{<>/=!".contains(operator(c)));
    let word = matches!(&*fold(value), "and" | "or" | "not");
    if !value.is_empty() && !begins && !word && !value.chars().any(special) {
        return Some(value.to_owned());
    }
    let foreign = value.chars().any(|c| c != '"' && operator(c) == '"');
    (!foreign).then(|| format!("\"{}\"", value.replace('"', "\"\"")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::{Filter, Pattern, Pipe, Test};
    use crate::parse;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;
    use yagura_event::UtcMicros;

    /// What is wanted where `^` stands, what is typed, and what is replaced.
    fn at(marked: &str) -> (String, String, String) {
        let at = marked.find('^').unwrap();
        let text = marked.replacen('^', "", 1);
        let place = place(&text, at);
        let wanted = match place.wanted {
            Wanted::Nothing => "-".to_owned(),
            Wanted::Command => "command".to_owned(),
            Wanted::List => "list".to_owned(),
            Wanted::ListColumn(list, words) => {
                let words: Vec<_> = words.iter().map(|word| word.text).collect();
                format!("column of {list} {}", words.join(" ")).trim_end().to_owned()
            }
            Wanted::Field(Style::Filter { bare: false }, _) => "field:".to_owned(),
            Wanted::Field(Style::Compute, _) => "computed".to_owned(),
            Wanted::Field(..) => "field".to_owned(),
            Wanted::Value { field, compared: false, .. } => format!("value of {field}"),
            Wanted::Value { field, .. } => format!("bound of {field}"),
            Wanted::Words(words) => {
                words.iter().map(|word| word.text).collect::<Vec<_>>().join(" ")
            }
        };
        (wanted, place.typed, text[place.replace].to_owned())
    }

    #[test]
    fn what_is_wanted_is_known_from_unfinished_text() {
        for (marked, wanted, typed, replaced) in [
            ("^", "field:", "", ""),
            ("us^", "field:", "us", "us"),
            ("us^er.name:x", "field", "us", "user.name"),
            ("not (利用^", "field:", "利用", "利用"),
            ("user.name:^", "value of user.name", "", ""),
            ("user.name: sa^to b", "value of user.name", "sa", "sato"),
            ("user.name!=sa^", "value of user.name", "sa", "sa"),
            ("user.name：ｓａ^", "value of user.name", "ｓａ", "ｓａ"),
            ("利用者：“田中　太^", "value of 利用者", "田中　太", "“田中　太"),
            ("user.name:\"a b^c\" x", "value of user.name", "a b", "\"a bc\""),
            ("user.name:(sato OR 田^)", "value of user.name", "田", "田"),
            ("user.name:((a) ^", "value of user.name", "", ""),
            ("user.name:(a) or ^", "field:", "", ""),
            ("\"field name\":v^", "value of field name", "v", "v"),
            ("source.port>=10^", "bound of source.port", "10", "10"),
            ("@timestamp:[now-1h TO ^", "bound of @timestamp", "", ""),
            ("exists:us^", "field", "us", "us"),
            ("a \"some phr^", "-", "", ""),
            ("a \"some phrase\"^", "-", "", ""),
            ("a /reg(ex)?/ b^", "field:", "b", "b"),
            ("C:\\Te^", "-", "", ""),
            ("a || b^", "field:", "b", "b"),
            ("a |^", "command", "", ""),
            ("a | st^", "command", "st", "st"),
            ("a ｜　ｓｔ^ats", "command", "ｓｔ", "ｓｔats"),
            ("a | where us^", "field:", "us", "us"),
            ("| head 5 | fields us^, x", "field", "us", "us"),
            ("| sort -us^", "field", "us", "us"),
            ("| top 10 ^", "field", "", ""),
            ("| top user.name ^", "-", "", ""),
            ("| stats count(us^", "field", "us", "us"),
            ("| stats count() as ^", "-", "", ""),
            ("| stats count() ^", "as by", "", ""),
            ("| stats count() as n, sum(x) by us^", "field", "us", "us"),
            ("| fields \"field na^", "field", "field na", "\"field na"),
            ("| timechart span=^", "30s 5m 1h 1d 1w month", "", ""),
            ("| timechart span=1h count() by ho^", "field", "ho", "ho"),
            ("| bin @timestamp ^", "span= as", "", ""),
            ("| transaction user.name max^", "field", "max", "max"),
            ("| transaction user.name maxpause=^", "30s 5m 1h 1d 1w month", "", ""),
            ("| eval n^", "-", "", ""),
            ("| eval n = us^", "computed", "us", "us"),
            ("| eval n = lower('cs-u^ri') + 1", "computed", "cs-u", "'cs-uri'"),
            ("| eval n = \"a | b^", "-", "", ""),
            ("| rename us^", "field", "us", "us"),
            ("| rename user.name ^", "as", "", ""),
            ("| rename user.name as ^", "-", "", ""),
            ("| lookup us^", "list", "us", "us"),
            ("| lookup users ^", "column of users", "", ""),
            ("| lookup users user.name ^", "as output", "", ""),
            ("| lookup users user.name as so^", "field", "so", "so"),
            ("| lookup users user.name as source.user ^", "output", "", ""),
            ("| lookup users user.name output de^", "column of users", "de", "de"),
            ("| lookup users user.name output a ^", "column of users as", "", ""),
            ("| lookup users user.name as x output a as ^", "-", "", ""),
            ("| lookup users user.name as x output a as b, ^", "column of users", "", ""),
            ("| head ^", "-", "", ""),
            ("| nonsense ^", "-", "", ""),
        ] {
            let (found, now, gone) = at(marked);
            assert_eq!((&*found, &*now, &*gone), (wanted, typed, replaced), "{marked}");
        }
        let (aggregates, ..) = at("| stats ^");
        assert!(aggregates.starts_with("count() dc("), "{aggregates}");
        assert_eq!(at("| stats count(), ^").0, aggregates);
        assert_eq!(at("| timechart span=1h ^").0.split(' ').next(), Some("count()"));
    }

    #[test]
    fn where_the_command_begins_is_told() {
        assert_eq!(place("a || b", 6).pipe, None);
        assert_eq!(place("a | stats count() | sort ", 25).pipe, Some(18));
    }

    proptest! {
        #[test]
        fn any_text_and_any_place_is_answered(
            text in ".{0,60}|[a:|()\"'/\\[\\]{}=<>!&,*|　（：｜“”évalstats by]{0,60}",
            at in 0usize..200,
        ) {
            let place = place(&text, at);
            prop_assert!(text.get(place.replace.clone()).is_some(), "{:?}", place.replace);
            prop_assert!(place.replace.start <= floor(&text, at));
            prop_assert!(place.replace.end >= floor(&text, at));
            prop_assert!(place.typed.len() <= text.len());
        }

        #[test]
        fn what_is_offered_means_itself(value in "[a-z *?:\"'/()|<>=!\\[{（＂*　and]{0,12}") {
            let read = |text: &str| parse(text, UtcMicros::default(), &TimeZone::UTC);
            if let Some(written) = written_value(&value) {
                let expr = read(&format!("f:{written}")).unwrap();
                match expr.filter {
                    Filter::Field(test) => {
                        prop_assert_eq!(test.test, Test::Matches(Pattern::Literal(value.clone())));
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            if value.is_empty() {
                return Ok(());
            }
            if let Some(written) = written_name(&value, Style::Command) {
                let expr = read(&format!("| fields {written}")).unwrap();
                prop_assert!(matches!(&expr.pipes[..], [Pipe::Fields(names)] if names[0].0 == value));
            }
            if let Some(written) = written_name(&value, Style::Filter { bare: false }) {
                // A name of blanks or an empty one is no field to anybody.
                if let Ok(expr) = read(&format!("{written}v")) {
                    prop_assert!(
                        matches!(&expr.filter, Filter::Field(test) if test.name == value)
                            || matches!(&*value, "exists" | "_exists_"),
                        "{:?}", expr.filter
                    );
                }
            }
        }
    }
}
