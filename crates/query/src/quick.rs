//! Answers for most events, from their bytes as they are, whether a text has what is looked for.
//!
//! Folding a text costs more than all else of a search. Nearly all texts are ASCII, or Japanese
//! beside ASCII, and there a word of ASCII stands in the bytes as it is, but for its case and for
//! JSON's escapes. What cannot be told so is folded and looked at as before.

use crate::ast::Pattern;
use crate::need;
use yagura_textindex::{AnyCase, Sieve, fold, folds_apart};

/// What can be told of one pattern without folding.
#[derive(Debug)]
pub(crate) struct Quick {
    sieve: Sieve,
    /// A single word of ASCII, which has borders.
    word: Option<AnyCase>,
}

/// Where a word was found in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// With both its borders.
    Whole,
    /// Perhaps: a border cannot be told from bytes alone.
    Perhaps,
    /// Nowhere, or only within longer words.
    Not,
}

impl Quick {
    pub(crate) fn new(pattern: &Pattern) -> Quick {
        let word = match pattern {
            Pattern::Literal(text) => AnyCase::new(fold(text.trim()).as_bytes()),
            _ => None,
        };
        Quick { sieve: Sieve::new(&need::of_pattern(pattern)), word }
    }

    /// Whether a text of the event has it; `None` where only the texts themselves can tell.
    pub(crate) fn is_in_event(&self, raw: &[u8], message: Option<&str>) -> Option<bool> {
        let Some(word) = &self.word else {
            return (!self.sieve.may_be_in_event(raw, message)).then_some(false);
        };
        let in_raw = find_raw(word, raw);
        if in_raw == Found::Whole {
            return Some(true);
        }
        let in_message = message.map_or(Found::Not, |message| find_text(word, message));
        if let (Found::Whole, Some(message)) = (in_message, message) {
            // A message that stands in the received bytes has the borders it has there.
            return memchr::memmem::find(raw, message.as_bytes()).is_none().then_some(true);
        }
        let plain = in_raw == Found::Not
            && in_message == Found::Not
            && self.sieve.is_plain(raw)
            && message.is_none_or(|message| self.sieve.is_plain_text(message));
        plain.then_some(false)
    }

    /// Whether a text has it; `None` where only the folded text can tell.
    pub(crate) fn is_in_text(&self, text: &str) -> Option<bool> {
        let Some(word) = &self.word else {
            return (!self.sieve.may_be_in_text(text)).then_some(false);
        };
        match find_text(word, text) {
            Found::Whole => Some(true),
            Found::Not if self.sieve.is_plain_text(text) => Some(false),
            _ => None,
        }
    }
}

/// Whether a word ends between two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Border {
    Yes,
    No,
    Perhaps,
}

/// The word in a text that is searched as it is.
fn find_text(word: &AnyCase, text: &str) -> Found {
    find(word, text.as_bytes(), |_, _| Border::No)
}

/// The word in bytes that are searched as they are and, if they have backslashes, with JSON's escapes
/// undone (`yagura_textindex::each_text`); JSON with backslashes is searched with them undone only.
fn find_raw(word: &AnyCase, raw: &[u8]) -> Found {
    let json = matches!(raw.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'['));
    find(word, raw, |raw, start| {
        let backslashes = |end: usize| {
            let before = raw.get(..end).unwrap_or_default();
            before.iter().rev().take_while(|byte| **byte == b'\\').count()
        };
        // Its first letter may be the letter of an escape, ...
        if backslashes(start) % 2 == 1 {
            return if json { Border::Perhaps } else { Border::Yes };
        }
        // ... or the letter before it, which then is no letter of the text.
        match start.checked_sub(1).and_then(|before| raw.get(before)) {
            Some(b'n' | b't' | b'r' | b'b' | b'f') if backslashes(start - 1) % 2 == 1 => {
                Border::Yes
            }
            _ => Border::No,
        }
    })
}

/// The first place where the word is whole. `escaped` says whether the escape of a character ends before
/// the word that begins there.
fn find(word: &AnyCase, text: &[u8], escaped: impl Fn(&[u8], usize) -> Border) -> Found {
    let mut answer = Found::Not;
    let mut from = 0;
    while let Some(start) = word.find(text, from) {
        from = start + 1;
        let before = start.checked_sub(1).and_then(|before| text.get(before));
        let after = text.get(start + word.length());
        let before = match before {
            None => Border::Yes,
            Some(b'\\') => match escaped(text, start) {
                Border::No => Border::Yes,
                other => other,
            },
            Some(byte) if byte.is_ascii_alphanumeric() => escaped(text, start),
            Some(byte) if byte.is_ascii() => Border::Yes,
            Some(_) => apart(start.checked_sub(3).and_then(|from| text.get(from..start))),
        };
        let after = match after {
            None => Border::Yes,
            Some(byte) if byte.is_ascii_alphanumeric() => Border::No,
            // It may begin the number of a character.
            Some(b'\\') if text.get(start + word.length() + 1) == Some(&b'u') => Border::Perhaps,
            Some(byte) if byte.is_ascii() => Border::Yes,
            Some(_) => {
                let end = start + word.length();
                apart(text.get(end..end + 3))
            }
        };
        match (before, after) {
            (Border::Yes, Border::Yes) => return Found::Whole,
            (Border::No, _) | (_, Border::No) => {}
            _ => answer = Found::Perhaps,
        }
    }
    answer
}

/// Whether a character of three bytes beside a word is none of its letters, however it is folded.
fn apart(character: Option<&[u8]>) -> Border {
    match character.is_some_and(folds_apart) {
        true => Border::Yes,
        false => Border::Perhaps,
    }
}
