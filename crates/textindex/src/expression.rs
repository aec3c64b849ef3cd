//! What a text needs for a regular expression to match in it.
//!
//! The expression sees the text as it was written, the index folded text. So only characters are used
//! whose folded form does not depend on their neighbours: ASCII letters and digits (a combining mark
//! may change the last one, so such texts are indexed taken apart as well), kana and Han characters.

use crate::fold::fold;
use crate::need::{Need, token_of};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};
use unicode_normalization::UnicodeNormalization;

/// Members of a class that are looked at to see whether they are one letter in several cases.
const CLASS_MEMBERS_MAX: u32 = 4;

pub(crate) fn need(expression: &str) -> Need {
    match ParserBuilder::new().case_insensitive(true).build().parse(expression) {
        Ok(parsed) => of(&parsed),
        Err(_) => Need::Unknown,
    }
}

fn of(expression: &Hir) -> Need {
    let mut stretch = Stretch::default();
    walk(expression, &mut stretch);
    stretch.take(Known::Anything);
    Need::all(stretch.needs)
}

/// What is known of one character of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// An ASCII letter or digit, in lower case.
    Letter(u8),
    /// A character that is a token by itself.
    Single(char),
    /// No ASCII letter or digit, and folded none either.
    Border,
    /// Any, or none at all.
    Anything,
}

/// Known characters in a row, and what they need.
struct Stretch {
    word: Vec<u8>,
    bordered: bool,
    before: Known,
    needs: Vec<Need>,
}

impl Default for Stretch {
    fn default() -> Self {
        Stretch { word: Vec::new(), bordered: false, before: Known::Anything, needs: Vec::new() }
    }
}

impl Stretch {
    fn take(&mut self, next: Known) {
        if let Known::Letter(letter) = next {
            if self.word.is_empty() {
                self.bordered = matches!(self.before, Known::Border | Known::Single(_));
            }
            self.word.push(letter);
        } else if !self.word.is_empty() {
            let ends = next != Known::Anything;
            let word = std::mem::take(&mut self.word);
            self.needs.push(match (self.bordered, ends) {
                (true, true) => Need::word(&word),
                (true, false) => Need::prefix(&word),
                (false, _) => Need::infix(&word),
            });
        }
        if let Known::Single(c) = next {
            self.needs.push(Need::Token(token_of(c, None)));
            if let Known::Single(before) = self.before
                && whole(before)
                && whole(c)
            {
                self.needs.push(Need::Token(token_of(before, Some(c))));
            }
        }
        self.before = next;
    }
}

/// The recursion is bounded by the parser's limit on nesting.
fn walk(expression: &Hir, stretch: &mut Stretch) {
    match expression.kind() {
        HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
            Ok(text) => text.chars().for_each(|c| stretch.take(known(c))),
            Err(_) => stretch.take(Known::Anything),
        },
        HirKind::Class(class) => stretch.take(of_class(class)),
        HirKind::Capture(capture) => walk(&capture.sub, stretch),
        HirKind::Concat(parts) => parts.iter().for_each(|part| walk(part, stretch)),
        HirKind::Alternation(parts) => {
            stretch.take(Known::Anything);
            stretch.needs.push(Need::any(parts.iter().map(of)));
        }
        HirKind::Repetition(repetition) => {
            stretch.take(Known::Anything);
            if repetition.min > 0 {
                stretch.needs.push(of(&repetition.sub));
            }
        }
        HirKind::Look(_) => stretch.take(Known::Anything),
        // The empty expression stands for no character.
        HirKind::Empty => {}
    }
}

fn known(c: char) -> Known {
    match c {
        c if c.is_ascii_alphanumeric() => Known::Letter(c.to_ascii_lowercase() as u8),
        c if c.is_ascii() => Known::Border,
        // Hiragana, katakana, Han characters; without the marks of length and of voice.
        'ぁ'..='ゖ' | 'ァ'..='ヺ' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
            if fold(c.encode_utf8(&mut [0; 4])).chars().eq([c]) =>
        {
            Known::Single(c)
        }
        _ => Known::Anything,
    }
}

/// Whether taking it apart leaves it as it is.
fn whole(c: char) -> bool {
    std::iter::once(c).nfkd().eq([c])
}

/// A class counts as known if all its characters are the same one in several cases, or all are borders.
fn of_class(class: &Class) -> Known {
    let ranges: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => {
            class.ranges().iter().map(|r| (u32::from(r.start()), u32::from(r.end()))).collect()
        }
        Class::Bytes(class) => {
            class.ranges().iter().map(|r| (u32::from(r.start()), u32::from(r.end()))).collect()
        }
    };
    let members: u32 = ranges.iter().map(|(first, last)| last - first + 1).sum();
    if members == 0 {
        return Known::Anything;
    }
    let mut chars = ranges.iter().flat_map(|(first, last)| *first..=*last).map(char::from_u32);
    let all_ascii = ranges.iter().all(|(_, last)| *last < 0x80);
    if all_ascii && chars.clone().all(|c| c.is_some_and(|c| known(c) == Known::Border)) {
        return Known::Border;
    }
    if members > CLASS_MEMBERS_MAX {
        return Known::Anything;
    }
    let folded = |c: char| {
        let text = fold(c.encode_utf8(&mut [0; 4])).into_owned();
        let mut folded = text.chars();
        match (folded.next(), folded.next()) {
            (Some(only), None) => known(only),
            _ => Known::Anything,
        }
    };
    let first = match chars.next() {
        Some(Some(c)) => folded(c),
        _ => Known::Anything,
    };
    let letter = matches!(first, Known::Letter(_));
    match letter && chars.all(|c| c.is_some_and(|c| folded(c) == first)) {
        true => first,
        false => Known::Anything,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn infix(text: &str) -> Need {
        Need::Infix(text.into())
    }

    fn token(text: &str) -> Need {
        Need::Token(text.into())
    }

    #[test]
    fn literals_of_expressions() {
        for (expression, expected) in [
            ("mimikatz", infix("mimikatz")),
            ("MimiKatz", infix("mimikatz")),
            ("fail(ed)? pass", Need::all([infix("fail"), Need::Prefix(b"pass".to_vec())])),
            ("(foo|bar)baz", Need::all([Need::any([infix("foo"), infix("bar")]), infix("baz")])),
            (r"\.exe\b", Need::Prefix(b"exe".to_vec())),
            (r"\\cmd\.exe ", Need::all([token("cmd"), token("exe")])),
            ("承認", Need::all([token("承"), token("認"), token("承認")])),
            ("(abc)+", infix("abc")),
            ("(abc)*", Need::Unknown),
            ("abc|.*", Need::Unknown),
            ("[a-z]+", Need::Unknown),
            ("サーバ", Need::all([token("サ"), token("バ")])),
            ("(", Need::Unknown),
        ] {
            assert_eq!(need(expression), expected, "{expression}");
        }
        assert_eq!(need("x[\\\\/]sys[=]y"), token("sys"));
    }
}
