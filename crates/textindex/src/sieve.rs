//! Says of an event, quickly and by its bytes as they are, that it cannot have what is needed.

use crate::anycase::AnyCase;
use crate::need::Need;
use memchr::memmem::Finder;

/// A [`Need`] that is asked of events one by one, before anything is folded.
#[derive(Debug)]
pub struct Sieve {
    part: Part,
    escape: Finder<'static>,
}

#[derive(Debug)]
enum Part {
    /// Nothing can be said.
    Unknown,
    /// Characters that no ASCII text has.
    Foreign,
    Stretch(AnyCase),
    All(Vec<Part>),
    Any(Vec<Part>),
}

impl Part {
    fn of(need: &Need) -> Part {
        match need {
            Need::Unknown => Part::Unknown,
            Need::Token(text) | Need::Prefix(text) | Need::Infix(text) => {
                match (AnyCase::new(text), text.is_ascii()) {
                    (Some(stretch), _) => Part::Stretch(stretch),
                    (None, true) => Part::Unknown,
                    (None, false) => Part::Foreign,
                }
            }
            Need::All(list) => Part::All(list.iter().map(Part::of).collect()),
            Need::Any(list) => Part::Any(list.iter().map(Part::of).collect()),
        }
    }

    /// Whether it may hold of plain bytes.
    fn may_be_in(&self, text: &[u8], ascii: bool) -> bool {
        match self {
            Part::Unknown => true,
            Part::Foreign => !ascii,
            Part::Stretch(stretch) => stretch.is_in(text),
            Part::All(list) => list.iter().all(|part| part.may_be_in(text, ascii)),
            Part::Any(list) => list.iter().any(|part| part.may_be_in(text, ascii)),
        }
    }
}

impl Sieve {
    /// Of what a text must have.
    pub fn new(need: &Need) -> Sieve {
        Sieve { part: Part::of(need), escape: Finder::new(b"\\u").into_owned() }
    }

    /// `false` only if no text of the event ([`crate::each_text`]) has what is needed.
    pub fn may_be_in_event(&self, raw: &[u8], message: Option<&str>) -> bool {
        self.may_be_in_raw(raw) || message.is_some_and(|message| self.may_be_in_text(message))
    }

    fn may_be_in_raw(&self, raw: &[u8]) -> bool {
        if matches!(self.part, Part::Unknown) {
            return true;
        }
        let ascii = raw.is_ascii();
        self.part.may_be_in(raw, ascii) || !(ascii || folds_apart(raw)) || self.has_escape(raw)
    }

    /// `false` only if the text does not have what is needed.
    pub fn may_be_in_text(&self, text: &str) -> bool {
        if matches!(self.part, Part::Unknown) {
            return true;
        }
        self.part.may_be_in(text.as_bytes(), text.is_ascii()) || !self.is_plain_text(text)
    }

    /// Whether folded text has no other letters and digits of ASCII than the text has.
    pub fn is_plain_text(&self, text: &str) -> bool {
        text.is_ascii() || folds_apart(text.as_bytes())
    }

    /// Whether the event's texts, folded, have no other letters and digits of ASCII than its bytes have:
    /// no character is written as a number. Other escapes of JSON end words and begin none.
    pub fn is_plain(&self, raw: &[u8]) -> bool {
        (raw.is_ascii() || folds_apart(raw)) && !self.has_escape(raw)
    }

    /// Whether JSON's escape of any character (RFC 8259 section 7) may be in it.
    fn has_escape(&self, raw: &[u8]) -> bool {
        self.escape.find_iter(raw).any(|at| {
            let digits = raw.get(at + 2..at + 6);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        })
    }
}

/// Whether all that is not ASCII is kana or ideographs (U+3000 to U+30FF, U+4000 to U+9FFF), of which
/// none folds to letters or digits of ASCII, or joins with them.
pub fn folds_apart(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += match (byte, text.get(at + 1), text.get(at + 2)) {
            (0..0x80, ..) => 1,
            (0xe3, Some(0x80..=0x83), Some(0x80..=0xbf)) => 3,
            (0xe4..=0xe9, Some(0x80..=0xbf), Some(0x80..=0xbf)) => 3,
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::fold;

    #[test]
    fn kana_and_ideographs_fold_apart_from_ascii() {
        for c in ('\u{80}'..='\u{10ffff}').filter(|c| folds_apart(c.to_string().as_bytes())) {
            let folded = fold(&c.to_string()).into_owned();
            assert!(!folded.contains(|c: char| c.is_ascii_alphanumeric()), "{c}");
            // Nor does it change a letter beside it.
            let beside = fold(&format!("a{c}a")).into_owned();
            assert!(beside.starts_with('a') && beside.ends_with('a'), "{c}");
            assert_eq!(beside.matches(|c: char| c.is_ascii_alphanumeric()).count(), 2, "{c}");
        }
        assert!(folds_apart("秘密鍵 を abc".as_bytes()));
        for other in ["ａ", "é", "\u{301}", "㎏", "①", "\u{212a}"] {
            assert!(!folds_apart(other.as_bytes()), "{other}");
        }
        assert!(!folds_apart(b"\xe4\x80"));
    }

    #[test]
    fn it_says_no_only_of_what_it_can_read() {
        let sieve = |text: &str| Sieve::new(&Need::literal(text));
        let says = |text: &str, raw: &str| sieve(text).may_be_in_event(raw.as_bytes(), None);
        assert!(says("needle", "a NEEDLE in hay"));
        assert!(!says("needle", "hay") && !says("needle", "干し草 hay"));
        assert!(!says("秘密", "hay") && says("秘密", "鍵"));
        for unread in ["ｎｅｅｄｌｅ", r#"{"a":"\u006eeedle"}"#, "nee\u{301}dle"] {
            assert!(says("needle", unread), "{unread}");
        }
        assert!(!says("needle", r#"{"path":"C:\\users\\x"}"#));
        assert!(sieve("needle").may_be_in_event(b"hay", Some("Needle")));
        assert!(!sieve("needle").may_be_in_event(b"hay", Some("stack")));
        // One text must have all of it.
        assert!(!sieve("failed password").may_be_in_event(b"failed", Some("password")));
        assert!(sieve("--").may_be_in_event(b"", None));
    }
}
