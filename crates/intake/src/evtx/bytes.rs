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
    // Nearly all text is ASCII, and most values are short: four characters at a time.
    let start = text.len();
    if ascii(bytes, text).is_some() {
        return Some(());
    }
    text.truncate(start);
    let (units, []) = bytes.as_chunks::<2>() else { return None };
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit)).take_while(|unit| *unit != 0);
    let mut buffer = [0; 4];
    for c in char::decode_utf16(units) {
        text.extend_from_slice(c.ok()?.encode_utf8(&mut buffer).as_bytes());
    }
    Some(())
}

/// Appends UTF-16 that is ASCII without a zero. `None` where it is not; then some of it is appended.
fn ascii(bytes: &[u8], text: &mut Vec<u8>) -> Option<()> {
    text.reserve(bytes.len() / 2);
    let (many, rest) = bytes.as_chunks::<32>();
    for many in many {
        let mut together = [0; 16];
        let (fours, _) = many.as_chunks::<8>();
        let (places, _) = together.as_chunks_mut::<4>();
        for (place, four) in places.iter_mut().zip(fours) {
            *place = four_ascii(*four)?;
        }
        text.extend_from_slice(&together);
    }
    let (fours, rest) = rest.as_chunks::<8>();
    for four in fours {
        text.extend_from_slice(&four_ascii(*four)?);
    }
    let (units, []) = rest.as_chunks::<2>() else { return None };
    for [low, high] in units {
        if *high != 0 || *low == 0 || *low >= 0x80 {
            return None;
        }
        text.push(*low);
    }
    Some(())
}

/// Four units as characters, if all are ASCII and none is zero.
#[inline]
fn four_ascii(units: [u8; 8]) -> Option<[u8; 4]> {
    /// Bits that are not set in ASCII.
    const BEYOND: u64 = 0xFF80_FF80_FF80_FF80;
    /// One, and the highest bit, of each unit.
    const ONES: u64 = 0x0001_0001_0001_0001;
    const HIGHEST: u64 = 0x8000_8000_8000_8000;
    let four = u64::from_le_bytes(units);
    // Taking one from a zero sets its highest bit, which is not set in ASCII.
    if four & BEYOND != 0 || four.wrapping_sub(ONES) & HIGHEST != 0 {
        return None;
    }
    let pairs = (four | four >> 8) & 0x0000_FFFF_0000_FFFF;
    // Proof: what is cut off has been moved down.
    Some(((pairs | pairs >> 16) as u32).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_ends_at_its_first_zero(
            text in "([a-z~\u{1}\u{7f}]{0,40}[\u{80}é\u{ff}Ā日😀\0]?[a-z]{0,9}){1,2}",
            zeros in 0usize..3,
        ) {
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
