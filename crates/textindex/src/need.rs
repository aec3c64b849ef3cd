//! What a text must have for a search to find it.

use crate::fold::fold;
use crate::limits::{INFIX_BYTES_MIN, PART_OVERLAP, PREFIX_BYTES_MIN, TERMS_MAX, TOKEN_BYTES_MAX};

/// What tokens an event's text must have for a condition on it to hold. Necessary, never sufficient:
/// the text itself decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Nothing is known: any text may do.
    Unknown,
    /// The token.
    Token(Vec<u8>),
    /// A token that begins so.
    Prefix(Vec<u8>),
    /// A token with this in it.
    Infix(Vec<u8>),
    /// All of them.
    All(Vec<Need>),
    /// One of them.
    Any(Vec<Need>),
}

impl Need {
    /// All of `parts`; the quickest to look up come first.
    pub fn all(parts: impl IntoIterator<Item = Need>) -> Need {
        let mut list: Vec<Need> = Vec::new();
        for part in parts {
            match part {
                Need::Unknown => {}
                Need::All(inner) => list.extend(inner),
                part => list.push(part),
            }
        }
        list.sort_by(|a, b| (a.cost(), a.letters()).cmp(&(b.cost(), b.letters())));
        list.dedup();
        // Leaving a condition out of many is safe: fewer are asked for.
        list.truncate(TERMS_MAX);
        match list.len() {
            0 => Need::Unknown,
            1 => list.remove(0),
            _ => Need::All(list),
        }
    }

    /// One of `parts`. Without parts nothing is known.
    pub fn any(parts: impl IntoIterator<Item = Need>) -> Need {
        let mut list: Vec<Need> = Vec::new();
        for part in parts {
            match part {
                Need::Unknown => return Need::Unknown,
                Need::Any(inner) => list.extend(inner),
                part => list.push(part),
            }
            if list.len() > TERMS_MAX {
                return Need::Unknown;
            }
        }
        list.sort_by(|a, b| (a.cost(), a.letters()).cmp(&(b.cost(), b.letters())));
        list.dedup();
        match list.len() {
            0 => Need::Unknown,
            1 => list.remove(0),
            _ => Need::Any(list),
        }
    }

    /// Of a word or phrase, written in any way; its ends are ends of words where they are ASCII.
    pub fn literal(text: &str) -> Need {
        let folded = fold(text.trim());
        Need::all(stretches(&folded, true, true))
    }

    /// Of a pattern with `*` and `?`; its ends are ends of words where they are ASCII.
    pub fn wildcard(text: &str) -> Need {
        let whole = fold(text);
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let (starts, ends) = (edge(whole.chars().next()), edge(whole.chars().next_back()));
        let pieces: Vec<&str> = text.split(['*', '?']).collect();
        let last = pieces.len() - 1;
        Need::all(pieces.iter().enumerate().flat_map(|(number, piece)| {
            stretches(&fold(piece), number == 0 && starts, number == last && ends)
        }))
    }

    /// Of a regular expression in any case, over text as it was written. One that is wrong needs
    /// nothing.
    pub fn regex(expression: &str) -> Need {
        crate::expression::need(expression)
    }

    pub(crate) fn word(word: &[u8]) -> Need {
        match (word.get(..TOKEN_BYTES_MAX), word.len()) {
            (Some(part), length) if length > TOKEN_BYTES_MAX => {
                Need::all([Need::Token(part.to_vec()), Need::infix(word)])
            }
            _ => Need::Token(word.to_vec()),
        }
    }

    pub(crate) fn prefix(start: &[u8]) -> Need {
        match (start.get(..TOKEN_BYTES_MAX), start.len()) {
            (_, length) if length < PREFIX_BYTES_MIN => Need::Unknown,
            (Some(part), length) if length > TOKEN_BYTES_MAX => {
                Need::all([Need::Token(part.to_vec()), Need::infix(start)])
            }
            _ => Need::Prefix(start.to_vec()),
        }
    }

    /// Of a stretch of a word. Parts of a longer one than two parts of a word share are asked for.
    pub(crate) fn infix(stretch: &[u8]) -> Need {
        if stretch.len() < INFIX_BYTES_MIN {
            return Need::Unknown;
        }
        let (Some(head), Some(tail)) =
            (stretch.get(..PART_OVERLAP), stretch.len().checked_sub(PART_OVERLAP))
        else {
            return Need::Infix(stretch.to_vec());
        };
        let tail = stretch.get(tail..).unwrap_or_default();
        Need::all([Need::Infix(head.to_vec()), Need::Infix(tail.to_vec())])
    }

    fn cost(&self) -> u8 {
        match self {
            Need::Token(_) => 0,
            Need::Prefix(_) => 1,
            Need::Unknown => 2,
            Need::Infix(_) => 3,
            Need::All(list) => list.first().map_or(2, Need::cost),
            Need::Any(list) => list.last().map_or(2, Need::cost),
        }
    }

    /// Longer tokens are rarer, so they come first; equal ones come together.
    fn letters(&self) -> (std::cmp::Reverse<usize>, &[u8]) {
        match self {
            Need::Token(text) | Need::Prefix(text) | Need::Infix(text) => {
                (std::cmp::Reverse(text.len()), text)
            }
            _ => (std::cmp::Reverse(0), &[]),
        }
    }
}

/// What folded text needs. `starts` and `ends` say whether a word at that end is whole.
fn stretches(folded: &str, starts: bool, ends: bool) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut chars = folded.char_indices().peekable();
    while let Some((from, c)) = chars.next() {
        if c.is_ascii_alphanumeric() {
            let mut end = from + 1;
            while chars.next_if(|(_, c)| c.is_ascii_alphanumeric()).is_some() {
                end += 1;
            }
            let word = folded.as_bytes().get(from..end).unwrap_or_default();
            needs.push(match (from > 0 || starts, end < folded.len() || ends) {
                (true, true) => Need::word(word),
                (true, false) => Need::prefix(word),
                (false, _) => Need::infix(word),
            });
        } else if !c.is_ascii() {
            let next = chars.peek().map(|(_, next)| *next).filter(|next| !next.is_ascii());
            let before = folded.get(..from).and_then(|text| text.chars().next_back());
            // Pairs say more than the characters; one that stands alone is asked for itself.
            if next.is_some() || before.is_none_or(|before| before.is_ascii()) {
                needs.push(Need::Token(token_of(c, next)));
            }
        }
    }
    needs
}

pub(crate) fn token_of(first: char, second: Option<char>) -> Vec<u8> {
    let mut token = first.to_string();
    token.extend(second);
    token.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Need {
        Need::Token(text.into())
    }

    #[test]
    fn words_pairs_and_what_stands_alone() {
        assert_eq!(
            Need::literal(" Failed-Password "),
            Need::All(vec![token("password"), token("failed")])
        );
        assert_eq!(Need::literal("鍵"), token("鍵"));
        assert_eq!(Need::literal("ｻｰﾊﾞｰ"), Need::all([token("サー"), token("ーバ")]));
        assert_eq!(
            Need::literal("第3営業部"),
            Need::all([token("第"), token("3"), token("営業"), token("業部")])
        );
        assert_eq!(Need::literal("--"), Need::Unknown);
        assert_eq!(Need::literal(""), Need::Unknown);
    }

    #[test]
    fn wildcards_leave_ends_open() {
        assert_eq!(Need::wildcard("pass*"), Need::Prefix(b"pass".to_vec()));
        assert_eq!(Need::wildcard("*pass*"), Need::Infix(b"pass".to_vec()));
        assert_eq!(
            Need::wildcard("power*.exe"),
            Need::All(vec![token("exe"), Need::Prefix(b"power".to_vec())])
        );
        assert_eq!(Need::wildcard("*ab*"), Need::Unknown);
        assert_eq!(Need::wildcard("*"), Need::Unknown);
        assert_eq!(Need::wildcard("承認*"), token("承認"));
    }

    #[test]
    fn limits_leave_conditions_out() {
        let many = |count: usize| (0..count).map(|n| token(&format!("t{n}"))).collect::<Vec<_>>();
        assert!(matches!(Need::any(many(TERMS_MAX)), Need::Any(list) if list.len() == TERMS_MAX));
        assert_eq!(Need::any(many(TERMS_MAX + 1)), Need::Unknown);
        assert!(
            matches!(Need::all(many(TERMS_MAX + 1)), Need::All(list) if list.len() == TERMS_MAX)
        );
        assert_eq!(Need::any([token("a"), Need::Unknown]), Need::Unknown);
        assert_eq!(Need::infix(&[b'x'; INFIX_BYTES_MIN - 1]), Need::Unknown);
        assert_eq!(Need::infix(b"xyz"), Need::Infix(b"xyz".to_vec()));
        assert_eq!(Need::prefix(&[b'x'; PREFIX_BYTES_MIN - 1]), Need::Unknown);
        assert_eq!(Need::word(&[b'x'; TOKEN_BYTES_MAX]), Need::Token(vec![b'x'; TOKEN_BYTES_MAX]));
        assert_eq!(
            Need::word(&[b'x'; TOKEN_BYTES_MAX + 1]),
            Need::All(vec![
                Need::Token(vec![b'x'; TOKEN_BYTES_MAX]),
                Need::Infix(vec![b'x'; PART_OVERLAP])
            ])
        );
    }
}
