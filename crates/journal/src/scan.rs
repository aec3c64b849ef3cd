use crate::frame::{HEAD_BYTES, HEADER_BYTES, Head, SegmentHeader};

/// What a segment holds at some place.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    /// A sound frame.
    Frame {
        /// Where it ends in the file.
        end: usize,
        head: Head,
        body: &'a [u8],
    },
    /// Bytes that are no sound frame.
    Damage {
        offset: usize,
        bytes: &'a [u8],
        /// The head, when only the body is damaged.
        head: Option<Head>,
    },
}

/// Reads the frames of one segment in order. Never fails: what is damaged is an item too. Takes
/// time linear in the segment's length: every byte is in one body, or tried once as a head.
pub(crate) struct Scanner<'a> {
    segment: &'a [u8],
    at: usize,
    key: u32,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(segment: &'a [u8], header: &SegmentHeader) -> Self {
        Scanner { segment, at: HEADER_BYTES, key: header.key }
    }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let offset = self.at;
        let rest = self.segment.get(offset..).filter(|rest| !rest.is_empty())?;
        if let Some(head) = Head::decode(self.segment, offset, self.key) {
            let body_end = (HEAD_BYTES + head.body_bytes).min(rest.len());
            let body = &rest[HEAD_BYTES..body_end];
            self.at = offset + body_end;
            return Some(if head.fits(body) {
                Item::Frame { end: self.at, head, body }
            } else {
                Item::Damage { offset, bytes: &rest[..body_end], head: Some(head) }
            });
        }
        let next = (offset + 1..self.segment.len())
            .find(|&place| Head::decode(self.segment, place, self.key).is_some())
            .unwrap_or(self.segment.len());
        self.at = next;
        Some(Item::Damage { offset, bytes: &self.segment[offset..next], head: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameWriter, Kind};
    use proptest::prelude::*;

    const HEADER: SegmentHeader = SegmentHeader { number: 1, next_batch: 1, key: 77 };

    fn segment(seals: &[&str]) -> Vec<u8> {
        let mut bytes = HEADER.encode().to_vec();
        let mut writer = FrameWriter { buffer: &mut bytes, base: 0, key: HEADER.key };
        for text in seals {
            writer.seal(1, text);
        }
        bytes
    }

    fn sound(bytes: &[u8]) -> Vec<String> {
        Scanner::new(bytes, &HEADER)
            .filter_map(|item| match item {
                Item::Frame { head, body, .. } => {
                    assert_eq!(head.kind, Kind::Seal);
                    Some(String::from_utf8(body.to_vec()).unwrap())
                }
                Item::Damage { .. } => None,
            })
            .collect()
    }

    #[test]
    fn a_flipped_bit_costs_one_frame_wherever_it_is() {
        let texts = ["first", "second", "third"];
        let clean = segment(&texts);
        assert_eq!(sound(&clean), texts);
        for at in HEADER_BYTES..clean.len() {
            for bit in 0..8 {
                let mut bytes = clean.clone();
                bytes[at] ^= 1 << bit;
                assert_eq!(sound(&bytes).len(), 2, "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn bytes_of_a_frame_inside_a_body_are_not_a_frame() {
        let inner = segment(&["forged"])[HEADER_BYTES..].to_vec();
        let mut bytes = segment(&["first"]);
        let start = bytes.len();
        // The same key, as if the sender had guessed it: the offset still gives it away.
        bytes.extend_from_slice(&inner);
        bytes[start] ^= 1;
        assert_eq!(sound(&bytes), ["first"]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_covered_exactly_once(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
            keep in 0usize..4,
        ) {
            let mut segment = segment(&["a", "bb", "ccc", "dddd"][..keep]);
            segment.append(&mut bytes);
            let mut at = HEADER_BYTES;
            for item in Scanner::new(&segment, &HEADER) {
                match item {
                    Item::Frame { end, head, .. } => {
                        prop_assert_eq!(end, at + HEAD_BYTES + head.body_bytes);
                        at = end;
                    }
                    Item::Damage { offset, bytes, .. } => {
                        prop_assert_eq!(offset, at);
                        prop_assert!(!bytes.is_empty());
                        at += bytes.len();
                    }
                }
            }
            prop_assert_eq!(at, segment.len());
        }
    }
}
