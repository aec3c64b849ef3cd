//! Says of an event, quickly and by its bytes as they are, that it cannot have what is needed.

use crate::anycase::AnyCase;
use crate::need::Need;
use memchr::memmem::Finder;

/// A [`Need`] that is asked of events one by one, before anything is folded.
#[derive(Debug)]
pub struct Sieve {
    part: Part,
    /// What is looked for; the mark of each is a bit, by its place here.
    stretches: Vec<AnyCase>,
    escape: Finder<'static>,
}

#[derive(Debug)]
enum Part {
    /// Nothing can be said.
    Unknown,
    /// A text with this mark.
    Has(u64),
    All(Vec<Part>),
    Any(Vec<Part>),
}

/// The mark of a text that must be looked at itself: folding it could make letters and digits.
const UNTOLD: u64 = 1 << 63;

/// Marks that a sieve gives; of more than so many stretches the further ones are not asked for.
const MARKS_MAX: usize = 62;

/// The mark of characters that are not ASCII.
const FOREIGN: u64 = 1 << 62;

fn part(need: &Need, stretches: &mut Vec<AnyCase>) -> Part {
    match need {
        Need::Unknown => Part::Unknown,
        Need::Token(text) | Need::Prefix(text) | Need::Infix(text) => match AnyCase::new(text) {
            Some(stretch) if stretches.len() < MARKS_MAX => {
                stretches.push(stretch);
                Part::Has(1 << (stretches.len() - 1))
            }
            None if !text.is_ascii() => Part::Has(FOREIGN),
            _ => Part::Unknown,
        },
        Need::All(list) => Part::All(list.iter().map(|need| part(need, stretches)).collect()),
        Need::Any(list) => Part::Any(list.iter().map(|need| part(need, stretches)).collect()),
    }
}

impl Part {
    fn holds(&self, marks: u64) -> bool {
        match self {
            Part::Unknown => true,
            Part::Has(mark) => marks & mark != 0,
            Part::All(list) => list.iter().all(|part| part.holds(marks)),
            Part::Any(list) => list.iter().any(|part| part.holds(marks)),
        }
    }
}

impl Sieve {
    /// Of what a text must have.
    pub fn new(need: &Need) -> Sieve {
        let mut stretches = Vec::new();
        let part = part(need, &mut stretches);
        Sieve { part, stretches, escape: Finder::new(b"\\u").into_owned() }
    }

    /// Whether it says anything of any text.
    pub fn is_of_use(&self) -> bool {
        !matches!(self.part, Part::Unknown)
    }

    /// `false` only if no text of the event ([`crate::each_text`]) has what is needed of one text.
    pub fn may_be_in_event(&self, raw: &[u8], message: Option<&str>) -> bool {
        self.may_be_in(raw) || message.is_some_and(|message| self.may_be_in_text(message))
    }

    /// The same of the received bytes alone.
    fn may_be_in(&self, raw: &[u8]) -> bool {
        self.may_hold(self.found(raw)) || (self.is_of_use() && !self.is_plain(raw))
    }

    /// `false` only if the text does not have what is needed.
    pub fn may_be_in_text(&self, text: &str) -> bool {
        self.may_hold(self.found(text.as_bytes()))
            || (self.is_of_use() && !self.is_plain_text(text))
    }

    /// The marks of what is in a text, or a piece of one; the highest bit if only the folded text can tell.
    pub fn marks(&self, text: &[u8]) -> u64 {
        self.found(text) | if self.is_plain(text) { 0 } else { UNTOLD }
    }

    /// The marks of what could be in a text of digits and these letters (bit 0 is `a`), of which at most
    /// `run` are in a row.
    pub fn marks_of_digits(&self, letters: u32, run: usize) -> u64 {
        self.marked(|stretch| stretch.could_be_made_of(letters, run))
    }

    /// Whether a text with these marks, given to all its pieces, may have what is needed.
    pub fn may_hold(&self, marks: u64) -> bool {
        marks & UNTOLD != 0 || self.part.holds(marks)
    }

    fn found(&self, text: &[u8]) -> u64 {
        let foreign = if text.is_ascii() { 0 } else { FOREIGN };
        foreign | self.marked(|stretch| stretch.is_in(text))
    }

    fn marked(&self, has: impl Fn(&AnyCase) -> bool) -> u64 {
        let stretches = self.stretches.iter().enumerate();
        stretches.fold(0, |marks, (at, stretch)| marks | u64::from(has(stretch)) << at)
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

/// Whether all that is not ASCII is kana, ideographs (U+3000 to U+30FF, U+4000 to U+9FFF), letters of Latin-1
/// or Cyrillic, or common signs, of which none folds to letters or digits of ASCII, or joins with them.
pub fn folds_apart(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += match (byte, text.get(at + 1), text.get(at + 2)) {
            (0..0x80, ..) => 1,
            // Signs such as § and ®, and what those who read a wrong character set get.
            (
                0xc2,
                Some(0x80..=0xa7 | 0xa9 | 0xab..=0xae | 0xb0 | 0xb1 | 0xb6 | 0xb7 | 0xbb | 0xbf),
                _,
            ) => 2,
            (0xc3 | 0xd0 | 0xd1, Some(0x80..=0xbf), _) => 2,
            // Dashes, quotation marks, the bullet, the ellipsis.
            (0xe2, Some(0x80), Some(0x90..=0x95 | 0x98 | 0x99 | 0x9c | 0x9d | 0xa2 | 0xa6)) => 3,
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
    fn these_characters_fold_apart_from_ascii() {
        for c in ('\u{80}'..='\u{10ffff}').filter(|c| folds_apart(c.to_string().as_bytes())) {
            let folded = fold(&c.to_string()).into_owned();
            assert!(!folded.contains(|c: char| c.is_ascii_alphanumeric()), "{c}");
            // Nor does it change a letter beside it.
            let beside = fold(&format!("a{c}a")).into_owned();
            assert!(beside.starts_with('a') && beside.ends_with('a'), "{c}");
            assert_eq!(beside.matches(|c: char| c.is_ascii_alphanumeric()).count(), 2, "{c}");
        }
        assert!(folds_apart("秘密鍵 を abc. Café® – Привет…".as_bytes()));
        for other in ["ａ", "ª", "²", "e\u{301}", "\u{301}", "㎏", "①", "™", "\u{212a}"] {
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
        for unread in ["ｎｅｅｄｌｅ", r#"{"a":"\u006eeedle"}"#, "nee\u{301}dle", "x ① y"] {
            assert!(says("needle", unread), "{unread}");
        }
        assert!(!says("needle", r#"{"path":"C:\\users\\x"}"#));
        assert!(sieve("needle").may_be_in_event(b"hay", Some("Needle")));
        assert!(!sieve("needle").may_be_in_event(b"hay", Some("stack")));
        assert!(!Sieve::new(&Need::Unknown).is_of_use() && sieve("x").is_of_use());
        // One text must have all of it.
        assert!(!sieve("failed password").may_be_in_event(b"failed", Some("password")));
        assert!(sieve("--").may_be_in_event(b"", None));
    }

    #[test]
    fn so_many_stretches_are_asked_for_and_no_more() {
        let words = |count: usize| (0..count).map(|n| Need::literal(&format!("w{n}x")));
        assert!(!Sieve::new(&Need::any(words(MARKS_MAX))).may_be_in_text("other"));
        assert!(Sieve::new(&Need::any(words(MARKS_MAX + 1))).may_be_in_text("other"));
    }

    #[test]
    fn pieces_say_what_the_text_says() {
        let sieve = Sieve::new(&Need::literal("failed password for 2026"));
        let (failed, rest) = (sieve.marks(b"Failed"), sieve.marks(b"password, for"));
        assert!(!sieve.may_hold(failed) && !sieve.may_hold(failed | rest));
        assert!(sieve.may_hold(failed | rest | sieve.marks_of_digits(0, 0)));
        assert!(sieve.may_hold(sieve.marks("ｆ".as_bytes())));
        assert!(sieve.may_hold(sieve.marks(br"\u0066")));
        let letters = |run| sieve.may_hold(sieve.marks_of_digits(u32::MAX, run));
        assert!(!letters(7) && letters(8));
        assert!(!sieve.may_hold(sieve.marks_of_digits(0xffff, 8)));
    }
}
