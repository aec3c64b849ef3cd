//! Expressions that only ask for a long run of characters of one kind, such as `.{1000,}`.
//!
//! An automaton has a state for each length of the run, and each state thousands of parts. Counting
//! takes one number.

use crate::limits::REGEX_DEPTH_MAX;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind, Look, Repetition};

/// A run of characters of one class.
#[derive(Debug)]
pub(crate) struct Stretch {
    class: ClassUnicode,
    /// Which ASCII characters are of the class, by bit.
    ascii: u128,
    /// Characters that it has at least.
    min: usize,
    /// Whether it ends where the text ends.
    at_end: bool,
}

impl Stretch {
    /// The run that `source` asks for, if it asks for nothing else.
    pub(crate) fn of(source: &str) -> Option<Stretch> {
        let hir = ParserBuilder::new().nest_limit(REGEX_DEPTH_MAX).build().parse(source).ok()?;
        let (repetition, at_end) = match hir.kind() {
            HirKind::Repetition(repetition) => (repetition, false),
            HirKind::Concat(parts) => match parts.as_slice() {
                [run, end] if matches!(end.kind(), HirKind::Look(Look::End)) => match run.kind() {
                    HirKind::Repetition(repetition) => (repetition, true),
                    _ => return None,
                },
                _ => return None,
            },
            _ => return None,
        };
        Stretch::repeated(repetition, at_end)
    }

    fn repeated(repetition: &Repetition, at_end: bool) -> Option<Stretch> {
        let min = usize::try_from(repetition.min).ok().filter(|min| *min > 0)?;
        let class = class_of(&repetition.sub)?.clone();
        let mut run = Stretch { class, ascii: 0, min, at_end };
        let ascii = (0..128u8).filter(|byte| run.is_of_class(char::from(*byte)));
        run.ascii = ascii.fold(0, |bits, byte| bits | 1 << byte);
        Some(run)
    }

    /// Whether `text` has such a run. A greatest length needs no look: what is longer has shorter
    /// runs in it.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let mut length = 0;
        for c in text.chars() {
            length = if self.has(c) { length + 1 } else { 0 };
            if length == self.min && !self.at_end {
                return true;
            }
        }
        length >= self.min
    }

    fn has(&self, c: char) -> bool {
        match u8::try_from(c) {
            Ok(byte) if byte.is_ascii() => self.ascii >> byte & 1 == 1,
            _ => self.is_of_class(c),
        }
    }

    fn is_of_class(&self, c: char) -> bool {
        let ranges = self.class.ranges();
        let after = ranges.partition_point(|range| range.end() < c);
        ranges.get(after).is_some_and(|range| range.start() <= c)
    }
}

/// The class that a repetition repeats; in parentheses it is the same.
fn class_of(mut repeated: &Hir) -> Option<&ClassUnicode> {
    while let HirKind::Capture(capture) = repeated.kind() {
        repeated = &capture.sub;
    }
    match repeated.kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::Regex;

    #[test]
    fn only_a_run_is_one() {
        for source in [".{1000,}", "(.){200,}", "[^/]{100,}$", ".{150}", "(?i)[k]{2,9}", "\\w+"] {
            assert!(Stretch::of(source).is_some(), "{source}");
        }
        for source in [
            ".*",
            "a{3}",
            "^.{3,}",
            "(?m).{3,}$",
            ".{3,}\\b",
            "x.{3,}",
            "(\\w{5}){5}",
            "(?-u:[a-z]){3}",
        ] {
            assert!(Stretch::of(source).is_none(), "{source}");
        }
    }

    proptest! {
        #[test]
        fn it_answers_as_the_expression_does(
            source in "(\\(\\?[is]\\))?(\\(\\.\\)|\\.|\\[\\^?[ak/ſ]{1,3}\\]|\\\\w|\\\\D)([+]|\\{[1-4](,[4-6]?)?\\})[?]?[$]?",
            text in "[ak/Kſ1\n あ]{0,10}",
        ) {
            let (Ok(regex), Some(run)) = (Regex::new(&source), Stretch::of(&source)) else {
                return Ok(());
            };
            prop_assert_eq!(run.is_in(&text), regex.is_match(&text), "{}", source);
        }
    }
}
