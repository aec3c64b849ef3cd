//! The tokens of a text.

use crate::fold::fold_into;
use crate::limits::{PART_OVERLAP, TOKEN_BYTES_MAX};
use crate::texts::{contains, each_text};
use std::ops::ControlFlow;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

/// Space for folded text, kept from row to row.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    folded: String,
}

/// Hands every token of an event to `take`; the same token may come many times.
pub(crate) fn of_event(
    raw: &[u8],
    message: Option<&str>,
    scratch: &mut Scratch,
    mut take: impl FnMut(&[u8]),
) {
    // A message is asked for by itself, too (`message:word`), so its tokens must all be there. Most
    // are a part of the raw text; then only the words at its ends can be cut otherwise.
    let ascii = message.filter(|message| message.is_ascii());
    let mut covered = false;
    each_text(raw, None, |text| {
        of_text(text, scratch, &mut take);
        covered = covered || ascii.is_some_and(|part| contains(text.as_bytes(), part.as_bytes()));
        ControlFlow::Continue(())
    });
    match message {
        Some(message) if covered => {
            let mut ends = message.split(|c: char| !c.is_ascii_alphanumeric());
            for word in [ends.next(), ends.next_back()].into_iter().flatten() {
                of_text(word, scratch, &mut take);
            }
        }
        Some(message) => of_text(message, scratch, &mut take),
        None => {}
    }
}

fn of_text(text: &str, scratch: &mut Scratch, take: &mut impl FnMut(&[u8])) {
    scratch.folded.clear();
    fold_into(text, &mut scratch.folded);
    of_folded(&scratch.folded, take);
    // A regular expression sees `e` and a combining accent as two; folded they are one.
    let combines = |c: char| {
        canonical_combining_class(c) != 0 || matches!(c, HALF_WIDTH_DAKUTEN | HALF_WIDTH_HANDAKUTEN)
    };
    if !text.is_ascii() && text.chars().any(combines) {
        scratch.folded.clear();
        scratch.folded.extend(text.nfkd().flat_map(char::to_lowercase));
        of_folded(&scratch.folded, take);
    }
}

const HALF_WIDTH_DAKUTEN: char = '\u{ff9e}';
const HALF_WIDTH_HANDAKUTEN: char = '\u{ff9f}';

/// Tokens of folded text: words of ASCII, other characters singly and in pairs.
fn of_folded(folded: &str, take: &mut impl FnMut(&[u8])) {
    let bytes = folded.as_bytes();
    let mut at = 0;
    // Where the character before this one began, if it was not ASCII.
    let mut before: Option<usize> = None;
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        if is_letter(byte) {
            let length = rest.iter().position(|byte| !is_letter(*byte)).unwrap_or(rest.len());
            of_word(rest.get(..length).unwrap_or_default(), take);
            at += length;
            before = None;
        } else if byte.is_ascii() {
            at += 1;
            before = None;
        } else {
            let length = match byte {
                0xf0.. => 4,
                0xe0.. => 3,
                _ => 2,
            };
            let end = at + length;
            take(bytes.get(at..end).unwrap_or_default());
            if let Some(before) = before {
                take(bytes.get(before..end).unwrap_or_default());
            }
            before = Some(at);
            at = end;
        }
    }
}

/// Whether it is an ASCII letter or digit: this is asked of every byte of every event.
fn is_letter(byte: u8) -> bool {
    const LETTERS: [bool; 256] = {
        let mut letters = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            letters[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        letters
    };
    LETTERS[usize::from(byte)]
}

fn of_word(word: &[u8], take: &mut impl FnMut(&[u8])) {
    let mut from = 0;
    loop {
        let end = word.len().min(from + TOKEN_BYTES_MAX);
        take(word.get(from..end).unwrap_or_default());
        if end == word.len() {
            return;
        }
        from += TOKEN_BYTES_MAX - PART_OVERLAP;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn tokens(raw: &[u8], message: Option<&str>) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        of_event(raw, message, &mut Scratch::default(), |token| {
            found.insert(String::from_utf8(token.to_vec()).unwrap());
        });
        found
    }

    #[test]
    fn words_characters_and_pairs() {
        let found = tokens("第3営業部File.XLSX".as_bytes(), None);
        let expected =
            ["3", "file", "xlsx", "第", "営", "業", "部", "営業", "業部"].map(str::to_owned);
        assert_eq!(found, BTreeSet::from(expected));
    }

    #[test]
    fn a_message_within_the_raw_text_is_cut_at_its_own_ends() {
        let found = tokens(b"xfoo bar bazx", Some("foo bar baz"));
        assert_eq!(found, BTreeSet::from(["xfoo", "bar", "bazx", "foo", "baz"].map(str::to_owned)));
        assert!(tokens(b"xfoox", Some("foo")).contains("foo"));
    }

    #[test]
    fn what_an_accent_hides_is_there_too() {
        let found = tokens("exe\u{301}".as_bytes(), None);
        assert!(found.contains("ex") && found.contains("exe"), "{found:?}");
        assert!(tokens("かﾞ".as_bytes(), None).contains("か"));
    }

    #[test]
    fn long_words_come_in_parts_that_overlap() {
        let word: Vec<u8> = (0..TOKEN_BYTES_MAX * 3).map(|n| b'a' + (n % 26) as u8).collect();
        for length in 1..word.len() {
            let word = &word[..length];
            let mut parts = Vec::new();
            of_word(word, &mut |part: &[u8]| parts.push(part.to_vec()));
            assert!(parts.iter().all(|part| part.len() <= TOKEN_BYTES_MAX));
            assert_eq!(parts.len() == 1, length <= TOKEN_BYTES_MAX);
            for stretch in word.windows(PART_OVERLAP.min(length)) {
                let within = |part: &Vec<u8>| part.windows(stretch.len()).any(|w| w == stretch);
                assert!(parts.iter().any(within), "{length}");
            }
        }
    }
}
