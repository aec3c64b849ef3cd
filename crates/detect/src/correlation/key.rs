//! Group keys: the values of the `group-by` fields as one run of bytes.

use crate::limits::CORRELATION_VALUE_BYTES_MAX;
use crate::text::fold;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// The values that make a group, in the order of `group-by`. Values are compared without regard
/// to case, like everywhere in this engine; the first spelling met is the one shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// What tells groups apart.
    pub(crate) folded: Box<[u8]>,
    /// As first met, where that is spelt differently.
    pub(crate) shown: Option<Box<[u8]>>,
}

impl Key {
    pub(crate) fn new(values: &[Option<Cow<'_, str>>]) -> Key {
        let mut shown = Vec::with_capacity(32);
        let mut folded = Vec::with_capacity(32);
        for value in values {
            match value {
                None => {
                    shown.push(0);
                    folded.push(0);
                }
                Some(value) => {
                    push(&mut shown, &cut(value));
                    push(&mut folded, &cut(&fold(value)));
                }
            }
        }
        let shown = (shown != folded).then(|| shown.into_boxed_slice());
        Key { folded: folded.into_boxed_slice(), shown }
    }

    /// The values as first met.
    pub(crate) fn values(&self) -> Vec<Option<String>> {
        parts(self.shown.as_deref().unwrap_or(&self.folded))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.folded.len() + self.shown.as_ref().map_or(0, |shown| shown.len())
    }
}

fn push(bytes: &mut Vec<u8>, value: &str) {
    bytes.push(1);
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_le_bytes());
    bytes.extend(value.as_bytes());
}

fn parts(mut bytes: &[u8]) -> Vec<Option<String>> {
    let mut values = Vec::new();
    while let Some((tag, rest)) = bytes.split_first() {
        bytes = rest;
        if *tag == 0 {
            values.push(None);
            continue;
        }
        let Some((length, rest)) = bytes.split_first_chunk::<2>() else { break };
        let Some((value, rest)) = rest.split_at_checked(u16::from_le_bytes(*length).into()) else {
            break;
        };
        values.push(Some(String::from_utf8_lossy(value).into_owned()));
        bytes = rest;
    }
    values
}

/// A value as it is kept: a long one is cut, and a digest keeps it different from others that
/// begin alike.
pub(crate) fn cut(value: &str) -> Cow<'_, str> {
    if value.len() <= CORRELATION_VALUE_BYTES_MAX {
        return Cow::Borrowed(value);
    }
    let digest: String =
        Sha256::digest(value).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let mut end = CORRELATION_VALUE_BYTES_MAX - digest.len() - '…'.len_utf8();
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}…{digest}", value.get(..end).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn case_is_not_told_apart_and_missing_is_not_empty() {
        let key = |values: &[Option<&str>]| {
            Key::new(&values.iter().map(|value| value.map(Cow::Borrowed)).collect::<Vec<_>>())
        };
        assert_eq!(key(&[Some("FS01")]).folded, key(&[Some("fs01")]).folded);
        assert_eq!(key(&[Some("FS01"), None]).values(), [Some("FS01".to_owned()), None]);
        assert_ne!(key(&[Some(""), None]).folded, key(&[None, Some("")]).folded);
        assert_ne!(key(&[Some("ab"), Some("c")]).folded, key(&[Some("a"), Some("bc")]).folded);
    }

    #[test]
    fn long_values_are_cut_at_the_limit_and_stay_different() {
        let at = "あ".repeat(CORRELATION_VALUE_BYTES_MAX / 3) + "x";
        assert_eq!(at.len(), CORRELATION_VALUE_BYTES_MAX);
        assert_eq!(cut(&at), at);
        let (one, two) = (format!("{at}1"), format!("{at}2"));
        assert!(cut(&one).len() <= CORRELATION_VALUE_BYTES_MAX);
        assert_ne!(cut(&one), cut(&two));
    }

    proptest! {
        #[test]
        fn values_come_back(values in prop::collection::vec(prop::option::of(".{0,40}"), 0..5)) {
            let given: Vec<_> = values.iter().map(|v| v.as_deref().map(Cow::Borrowed)).collect();
            prop_assert_eq!(Key::new(&given).values(), values);
        }
    }
}
