//! What text a regular expression cannot match without.

use crate::limits::REGEX_LITERALS_MAX;
use crate::text::{fold, fold_char};
use regex_syntax::hir::{Class, Hir, HirKind};

/// Shortest literal worth looking for, in characters: shorter ones are found in every value.
const LITERAL_CHARS_MIN: usize = 2;

/// Folded literals of which at least one occurs in the folded form of every text that `source`
/// matches; `None` when there are no such literals.
pub(crate) fn required_literals(source: &str) -> Option<Vec<String>> {
    let hir = regex_syntax::Parser::new().parse(source).ok()?;
    let literals = look_at(&hir).best()?;
    let long_enough = literals.iter().all(|text| text.chars().count() >= LITERAL_CHARS_MIN);
    (long_enough && literals.len() <= REGEX_LITERALS_MAX).then_some(literals)
}

/// What we know of all texts that a part of an expression matches.
struct Facts {
    /// Their folded form, when it is always the same.
    exact: Option<String>,
    /// Folded literals of which each text contains one.
    one_of: Option<Vec<String>>,
}

impl Facts {
    const NOTHING: Facts = Facts { exact: None, one_of: None };

    fn exact(text: String) -> Facts {
        Facts { exact: Some(text), one_of: None }
    }

    fn best(self) -> Option<Vec<String>> {
        self.exact.map(|text| vec![text]).or(self.one_of)
    }
}

// The nesting of `hir` is limited: the expression was compiled with `REGEX_DEPTH_MAX` before.
fn look_at(hir: &Hir) -> Facts {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Facts::exact(String::new()),
        HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
            Ok(text) => Facts::exact(fold(text).into_owned()),
            Err(_) => Facts::NOTHING,
        },
        HirKind::Class(class) => match one_letter(class) {
            Some(letter) => Facts::exact(letter.to_string()),
            None => Facts::NOTHING,
        },
        HirKind::Capture(capture) => look_at(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min == 0 => Facts::NOTHING,
        HirKind::Repetition(repetition) => {
            let inner = look_at(&repetition.sub);
            match repetition.max {
                Some(1) => inner,
                _ => Facts { exact: None, one_of: inner.best() },
            }
        }
        HirKind::Concat(parts) => concatenation(parts),
        HirKind::Alternation(parts) => {
            let all: Option<Vec<_>> = parts.iter().map(|part| look_at(part).best()).collect();
            Facts { exact: None, one_of: all.map(|sets| sets.concat()) }
        }
    }
}

/// The letter that every member of a class folds to.
fn one_letter(class: &Class) -> Option<char> {
    let Class::Unicode(class) = class else { return None };
    // A case-insensitive letter has at most four forms.
    let size: usize = class.iter().map(|range| range.len()).sum();
    if size > 4 {
        return None;
    }
    let mut letters = class.iter().flat_map(|range| range.start()..=range.end()).map(fold_char);
    let first = letters.next()?;
    letters.all(|letter| letter == first).then_some(first)
}

fn concatenation(parts: &[Hir]) -> Facts {
    let mut run = String::new();
    let mut whole = true;
    let mut best: Option<Vec<String>> = None;
    for part in parts {
        let facts = look_at(part);
        match facts.exact {
            Some(text) => run.push_str(&text),
            None => {
                whole = false;
                better(&mut best, vec![std::mem::take(&mut run)]);
                if let Some(set) = facts.one_of {
                    better(&mut best, set);
                }
            }
        }
    }
    if whole {
        return Facts::exact(run);
    }
    better(&mut best, vec![run]);
    Facts { exact: None, one_of: best }
}

/// Keeps the set whose shortest literal is longest.
fn better(best: &mut Option<Vec<String>>, set: Vec<String>) {
    let shortest = |set: &[String]| set.iter().map(|text| text.chars().count()).min().unwrap_or(0);
    let gain = shortest(&set);
    if gain > 0 && best.as_deref().is_none_or(|best| gain > shortest(best)) {
        *best = Some(set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::Regex;

    #[test]
    fn finds_the_longest_text_that_must_occur() {
        let literals = |source| required_literals(source).unwrap_or_default();
        assert_eq!(literals(r"[0-9]+\.Invoke-Mimi\w*katz\("), [".invoke-mimi"]);
        assert_eq!(literals("(?i)PowerShell"), ["powershell"]);
        assert_eq!(literals("(?:cmd|pwsh)\\.exe$"), [".exe"]);
        assert_eq!(literals("x?(?:abc+|def)?(?:one|two){2,3}"), ["one", "two"]);
        assert!(literals("(?:a|bcd)").is_empty());
        assert!(literals("[a-z]*").is_empty());
        let alternatives = |count: usize| {
            (0..count).map(|n| format!("{n:04}x")).collect::<Vec<_>>().join("|") + "|[a]y"
        };
        assert!(!literals(&alternatives(3)).is_empty());
    }

    proptest! {
        #[test]
        fn a_match_always_contains_one(
            source in "(\\(\\?i\\))?([abks]{1,3}|[sS]k|(ab|ks){1,2}|s?|[ab]+|\\(ab\\|sk\\)){1,4}",
            text in "[abksABKSſK]{0,12}",
        ) {
            let Ok(regex) = Regex::new(&source) else { return Ok(()) };
            if let (true, Some(literals)) = (regex.is_match(&text), required_literals(&source)) {
                let folded = fold(&text);
                prop_assert!(literals.iter().any(|literal| folded.contains(literal)), "{literals:?}");
            }
        }
    }
}
