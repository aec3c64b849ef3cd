//! Little-endian numbers and text out of a chunk.

/// Reads on through some bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Bytes { bytes, at }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    pub fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Appends UTF-16 (little-endian) as UTF-8, up to the first zero. `None` where it is broken.
pub(super) fn utf16(mut bytes: &[u8], text: &mut Vec<u8>) -> Option<()> {
    if let [before @ .., 0, 0] = bytes
        && bytes.len().is_multiple_of(2)
    {
        bytes = before;
    }
    let (units, []) = bytes.as_chunks::<2>() else { return None };
    // Two passes that go through many characters at a time: nearly all text is ASCII.
    let odd = units
        .iter()
        .fold(false, |odd, [low, high]| odd | (*high != 0) | (*low >= 0x80) | (*low == 0));
    if !odd {
        text.extend(units.iter().map(|[low, _]| *low));
        return Some(());
    }
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit)).take_while(|unit| *unit != 0);
    let mut buffer = [0; 4];
    for c in char::decode_utf16(units) {
        text.extend_from_slice(c.ok()?.encode_utf8(&mut buffer).as_bytes());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_ends_at_its_first_zero(text in "[a-zé日😀\0]{0,40}", zeros in 0usize..3) {
            let mut bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            bytes.extend(std::iter::repeat_n(0, 2 * zeros));
            let mut read = Vec::new();
            utf16(&bytes, &mut read).unwrap();
            let expected = text.split('\0').next().unwrap();
            prop_assert_eq!(std::str::from_utf8(&read).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert!(utf16(&[0x41], &mut Vec::new()).is_none());
        assert!(utf16(&[0x00, 0xD8, 0x41, 0x00], &mut Vec::new()).is_none());
        assert!(utf16(&[], &mut Vec::new()).is_some());
        let mut bytes = Bytes::new(&[1, 2, 3], 1);
        assert_eq!((bytes.u16(), bytes.u8(), bytes.at()), (Some(0x0302), None, 3));
        assert!(Bytes::new(&[], usize::MAX).take(2).is_none());
    }
}
