use crate::limits::IMPORT_RECORD_BYTES_MAX;
use std::io::{self, BufRead};

/// How a text ends its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// LF or CR LF in bytes.
    Bytes,
    /// The same in UTF-16, little end first.
    Utf16Le,
    /// The same in UTF-16, big end first.
    Utf16Be,
}

/// Splits a text into lines, holding at most one.
pub(super) struct Lines<R> {
    reader: R,
    end: LineEnd,
    /// Bytes of the text taken so far.
    pub offset: u64,
    /// Number of the last line returned, from 1.
    pub number: u64,
}

impl<R: BufRead> Lines<R> {
    pub fn new(reader: R, end: LineEnd) -> Self {
        Lines { reader, end, offset: 0, number: 0 }
    }

    /// Puts the next line, without its end, into `line`; `None` at the end of the text. A line
    /// longer than [`IMPORT_RECORD_BYTES_MAX`] is cut there (`Some(true)`).
    pub fn read(&mut self, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
        line.clear();
        let mut length = 0_u64;
        let mut before = None;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                break;
            }
            let end = find_end(self.end, available, before, self.offset);
            let taken = end.map_or(available.len(), |at| at + 1);
            let room = IMPORT_RECORD_BYTES_MAX + 4 - line.len();
            line.extend_from_slice(&available[..taken.min(room)]);
            before = available.last().copied();
            self.reader.consume(taken);
            self.offset += taken as u64;
            length += taken as u64;
            if end.is_some() {
                self.number += 1;
                return Ok(Some(self.trim(line, length)));
            }
        }
        if length == 0 {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(self.trim(line, length)))
    }

    /// Removes the line end; cuts; says whether it cut.
    fn trim(&self, line: &mut Vec<u8>, length: u64) -> bool {
        let overflowed = length > line.len() as u64;
        let (lf, cr): (&[u8], &[u8]) = match self.end {
            LineEnd::Bytes => (b"\n", b"\r"),
            LineEnd::Utf16Le => (b"\n\0", b"\r\0"),
            LineEnd::Utf16Be => (b"\0\n", b"\0\r"),
        };
        if !overflowed && line.ends_with(lf) {
            line.truncate(line.len() - lf.len());
            if line.ends_with(cr) {
                line.truncate(line.len() - cr.len());
            }
        }
        let cut = line.len() > IMPORT_RECORD_BYTES_MAX;
        line.truncate(IMPORT_RECORD_BYTES_MAX);
        cut
    }
}

/// The last byte of the first line end in `available`, which starts at `offset` of the text and
/// after the byte `before`.
fn find_end(end: LineEnd, available: &[u8], before: Option<u8>, offset: u64) -> Option<usize> {
    let (first, second) = match end {
        LineEnd::Bytes => return memchr::memchr(b'\n', available),
        LineEnd::Utf16Le => (b'\n', 0),
        LineEnd::Utf16Be => (0, b'\n'),
    };
    // A character's second byte stands at an odd offset.
    let start = usize::from(offset.is_multiple_of(2));
    (start..available.len()).step_by(2).find(|&at| {
        let previous = at.checked_sub(1).map_or(before, |at| available.get(at).copied());
        available.get(at) == Some(&second) && previous == Some(first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::BufReader;

    fn lines(text: &[u8], end: LineEnd, buffer: usize) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, text), end);
        let mut line = Vec::new();
        let mut all = Vec::new();
        while lines.read(&mut line).unwrap().is_some() {
            all.push(line.clone());
        }
        assert_eq!(lines.offset, text.len() as u64);
        all
    }

    #[test]
    fn each_encoding_has_its_own_line_end() {
        assert_eq!(
            lines(b"a\r\n\nb\rc\n\0d", LineEnd::Bytes, 3),
            [&b"a"[..], b"", b"b\rc", b"\0d"]
        );
        // U+0A0D and U+0D0A are letters whose bytes look like line ends at the wrong place.
        let text = "a\u{0a0d}\u{0d0a}\r\nあ\n\u{0a00}末";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (bytes, end) in [(little, LineEnd::Utf16Le), (big, LineEnd::Utf16Be)] {
            for buffer in [1, 2, 3, 64] {
                let found: Vec<String> = lines(&bytes, end, buffer)
                    .iter()
                    .map(|line| {
                        let units: Vec<u16> = line
                            .chunks_exact(2)
                            .map(|unit| match end {
                                LineEnd::Utf16Le => u16::from_le_bytes([unit[0], unit[1]]),
                                _ => u16::from_be_bytes([unit[0], unit[1]]),
                            })
                            .collect();
                        String::from_utf16(&units).unwrap()
                    })
                    .collect();
                assert_eq!(found, ["a\u{0a0d}\u{0d0a}", "あ", "\u{0a00}末"]);
            }
        }
    }

    #[test]
    fn long_lines_are_cut_and_the_next_is_whole() {
        for (length, cut) in [(IMPORT_RECORD_BYTES_MAX, false), (IMPORT_RECORD_BYTES_MAX + 1, true)]
        {
            let text = [vec![b'x'; length], b"\r\nnext".to_vec()].concat();
            let mut lines = Lines::new(BufReader::new(&text[..]), LineEnd::Bytes);
            let mut line = Vec::new();
            assert_eq!(lines.read(&mut line).unwrap(), Some(cut));
            assert_eq!(line.len(), IMPORT_RECORD_BYTES_MAX);
            assert_eq!(lines.read(&mut line).unwrap(), Some(false));
            assert_eq!(line, b"next");
        }
        let endless = io::Read::take(io::repeat(b'x'), 20 << 20);
        let mut lines = Lines::new(BufReader::new(endless), LineEnd::Bytes);
        let mut line = Vec::new();
        assert_eq!(lines.read(&mut line).unwrap(), Some(true));
        assert!(line.capacity() <= 3 * IMPORT_RECORD_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn buffers_change_nothing(text in proptest::collection::vec(
            prop_oneof![Just(0_u8), Just(b'\n'), Just(b'\r'), any::<u8>()], 0..80), buffer in 1_usize..20) {
            for end in [LineEnd::Bytes, LineEnd::Utf16Le, LineEnd::Utf16Be] {
                prop_assert_eq!(lines(&text, end, buffer), lines(&text, end, 4096));
            }
        }
    }
}
