//! Finds a stretch of ASCII letters and digits in bytes, in any case.

/// Positions that are looked at together: enough for the compiler to use the widest registers.
const LANES: usize = 64;

/// Letters and digits, the rarest in logs first.
const RAREST: &[u8] = b"qzjxkvybw7946853gpfmuh2dc10lrnsotiae";

/// A stretch to look for.
///
/// Two of its bytes, the rarest ones, are compared at [`LANES`] positions at once; where both are
/// right, the whole stretch is. That reads some gigabytes a second, whatever is looked for.
#[derive(Debug, Clone)]
pub struct AnyCase {
    /// In lower case.
    wanted: Box<[u8]>,
    /// Places of two of its bytes, the first before the second where there are two.
    places: (usize, usize),
    bytes: (u8, u8),
}

impl AnyCase {
    /// `None` for what is empty or has another character than ASCII letters and digits.
    pub fn new(wanted: &[u8]) -> Option<AnyCase> {
        if wanted.is_empty() || !wanted.iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        let wanted: Box<[u8]> = wanted.to_ascii_lowercase().into();
        let rank = |at: &usize| {
            let byte = wanted.get(*at);
            RAREST.iter().position(|rare| Some(rare) == byte)
        };
        let mut places: Vec<usize> = (0..wanted.len()).collect();
        places.sort_by_key(rank);
        let one = places.first().copied()?;
        let other = places.get(1).copied().unwrap_or(one);
        let places = (one.min(other), one.max(other));
        let bytes = (*wanted.get(places.0)?, *wanted.get(places.1)?);
        Some(AnyCase { wanted, places, bytes })
    }

    /// Bytes that are looked for.
    pub fn length(&self) -> usize {
        self.wanted.len()
    }

    /// Whether digits and these letters (bit 0 is `a`), at most so many in a row, could be it.
    pub(crate) fn could_be_made_of(&self, letters: u32, run: usize) -> bool {
        let mut runs = self.wanted.split(|byte| !byte.is_ascii_alphabetic());
        runs.all(|letters_of| {
            letters_of.len() <= run
                && letters_of.iter().all(|letter| letters >> (letter - b'a') & 1 == 1)
        })
    }

    /// Whether it is somewhere in `text`.
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.find(text, 0).is_some()
    }

    /// Where it begins first, at or after `from`.
    pub fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        let last = text.len().checked_sub(self.wanted.len())?;
        let one = text.get(self.places.0..=last + self.places.0)?;
        let other = text.get(self.places.1..=last + self.places.1)?;
        let mut start = from;
        while let (Some(ones), Some(others)) = (
            one.get(start..).and_then(<[u8]>::first_chunk::<LANES>),
            other.get(start..).and_then(<[u8]>::first_chunk::<LANES>),
        ) {
            if self.both_somewhere(ones, others)
                && let Some(found) = self.first(text, start..start + LANES)
            {
                return Some(found);
            }
            start += LANES;
        }
        self.first(text, start..last + 1)
    }

    /// Whether both bytes are right at one of the positions. Without branches, so that it takes few
    /// instructions.
    #[inline]
    fn both_somewhere(&self, ones: &[u8; LANES], others: &[u8; LANES]) -> bool {
        let mut found = 0;
        for (one, other) in ones.iter().zip(others) {
            // The bit makes capitals small; what else it makes alike is told apart later.
            found |=
                u8::from((one | 0x20) == self.bytes.0) & u8::from((other | 0x20) == self.bytes.1);
        }
        found != 0
    }

    /// The first of these positions at which it begins.
    fn first(&self, text: &[u8], positions: std::ops::Range<usize>) -> Option<usize> {
        positions.into_iter().find(|start| {
            let right = |place: usize, byte: u8| {
                text.get(start + place).is_some_and(|found| found | 0x20 == byte)
            };
            right(self.places.0, self.bytes.0)
                && right(self.places.1, self.bytes.1)
                && text
                    .get(*start..start + self.wanted.len())
                    .is_some_and(|found| found.eq_ignore_ascii_case(&self.wanted))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_letters_and_digits_are_looked_for() {
        for bad in ["", " ", "a b", "é", "a\\"] {
            assert!(AnyCase::new(bad.as_bytes()).is_none(), "{bad}");
        }
        let one = AnyCase::new(b"Q").unwrap();
        assert_eq!((one.find(b"abcq", 0), one.find(b"abcq", 4), one.length()), (Some(3), None, 1));
        // What only looks alike once the bit for small letters is set.
        assert!(!AnyCase::new(b"1").unwrap().is_in(b"\x11"));
        assert!(!AnyCase::new(b"k").unwrap().is_in("\u{212a}".as_bytes()));
    }

    proptest! {
        #[test]
        fn it_finds_what_the_obvious_way_finds(
            text in prop::collection::vec(prop::sample::select(b"aAbB1\x11 q\\".to_vec()), 0..300),
            wanted in "[aAbB1q]{1,4}",
            from in 0usize..310,
        ) {
            let lower = text.to_ascii_lowercase();
            let small = wanted.to_ascii_lowercase();
            let obvious = lower
                .windows(small.len())
                .enumerate()
                .find(|(at, window)| *at >= from && *window == small.as_bytes())
                .map(|(at, _)| at);
            prop_assert_eq!(AnyCase::new(wanted.as_bytes()).unwrap().find(&text, from), obvious);
        }
    }
}
