//! Numbers of seven bits a byte, least significant first (LEB128), and runs of bytes behind their
//! length.

/// Longest number, in bytes: enough for any length.
const NUMBER_BYTES_MAX: usize = 5;

pub(crate) fn put(number: usize, out: &mut Vec<u8>) {
    let mut rest = number;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

pub(crate) fn put_run(bytes: &[u8], out: &mut Vec<u8>) {
    put(bytes.len(), out);
    out.extend(bytes);
}

/// Signed numbers near zero stay short: 0, -1, 1, -2, ...
pub(crate) fn zigzag(number: i64) -> usize {
    ((number << 1) ^ (number >> 63)) as usize
}

pub(crate) fn unzigzag(number: usize) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Reads bytes from the front.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.rest().get(..len)?;
        self.at += len;
        Some(taken)
    }

    pub(crate) fn number(&mut self) -> Option<usize> {
        let mut number = 0;
        for place in 0..NUMBER_BYTES_MAX {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7F) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn run(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(number in 0_usize..1 << 35, signed in -100_000_i64..100_000) {
            let mut out = Vec::new();
            put(number, &mut out);
            prop_assert_eq!(Cursor::new(&out).number(), Some(number));
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }
    }
}
