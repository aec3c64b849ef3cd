//! Which bytes a text has: so that what needs others is not even tried.

/// The bytes of a text.
#[derive(Clone, Copy)]
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    /// The bytes of `text`, in one pass.
    pub(crate) fn of(text: &str) -> ByteSet {
        let mut set = [false; 256];
        for byte in text.bytes() {
            // A flag for each: stores do not wait for one another, as the bits of a word would.
            set[usize::from(byte)] = true;
        }
        ByteSet(set)
    }

    /// Whether all of `wanted` are in it.
    pub(crate) fn has_all(&self, wanted: &[u8]) -> bool {
        wanted.iter().all(|byte| self.has(*byte))
    }

    /// Whether `byte` is in it.
    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }
}

/// The different bytes of `texts`, those that fewest texts have first: so that [`ByteSet::has_all`]
/// mostly looks at one.
pub(crate) fn rarest_first<'a>(texts: impl Iterator<Item = &'a str>) -> Box<[u8]> {
    let mut bytes: Vec<u8> = texts.flat_map(str::bytes).collect();
    bytes.sort_unstable_by_key(|byte| {
        let commonness = match byte {
            b' ' => 5,
            b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 4,
            b'a'..=b'z' | b'0'..=b'9' => 3,
            b':' | b'.' | b'-' | b'=' | b'/' => 2,
            b'A'..=b'Z' => 1,
            _ => 0,
        };
        (commonness, *byte)
    });
    bytes.dedup();
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn holds_what_the_text_holds(text: String, wanted: Vec<String>) {
            let set = ByteSet::of(&text);
            let wanted = rarest_first(wanted.iter().map(String::as_str));
            let all = wanted.iter().all(|byte| text.as_bytes().contains(byte));
            prop_assert_eq!(set.has_all(&wanted), all);
            prop_assert!(wanted.iter().all(|byte| set.has(*byte) == text.as_bytes().contains(byte)));
        }
    }

    #[test]
    fn the_rarest_comes_first() {
        let bytes = rarest_first(["Failed for ", " from ", "[!"].into_iter());
        assert_eq!(&*bytes, b"![Fdflmaeior ");
    }
}
