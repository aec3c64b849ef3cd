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
    /// An empty line, as between the entries of a journal's export.
    JournalEntry,
}

/// Splits a text into lines, holding at most one.
pub(super) struct Lines<R> {
    reader: R,
    end: LineEnd,
    /// Bytes of the text taken so far.
    pub offset: u64,
    /// Number of the last line returned, from 1; of an entry, its number.
    pub number: u64,
}

/// Longest value of a journal's entry that is believed, in bytes: systemd's own limit is 768 MiB, and
/// what claims to be longer than this is damage.
const JOURNAL_VALUE_BYTES_MAX: u64 = 64 << 20;

impl<R: BufRead> Lines<R> {
    pub fn new(reader: R, end: LineEnd) -> Self {
        Lines { reader, end, offset: 0, number: 0 }
    }

    /// Puts the next line, without its end, into `line`; `None` at the end of the text. A line
    /// longer than [`IMPORT_RECORD_BYTES_MAX`] is cut there (`Some(true)`).
    pub fn read(&mut self, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
        line.clear();
        if self.end == LineEnd::JournalEntry {
            return self.entry(line);
        }
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

    /// The next entry: lines up to an empty one. A line with nothing but a name tells of a value that follows behind
    /// its length (8 bytes, little end first) and may hold empty lines itself.
    fn entry(&mut self, entry: &mut Vec<u8>) -> io::Result<Option<bool>> {
        loop {
            let kept = entry.len();
            let line = self.entry_line(entry)?;
            match line.bytes {
                0 => break,
                1 if line.ended => {
                    entry.truncate(kept);
                    if kept > 0 {
                        break;
                    }
                }
                _ if line.more_than_name || !line.ended => {}
                _ => self.counted_value(entry)?,
            }
        }
        if entry.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let cut = entry.len() > IMPORT_RECORD_BYTES_MAX;
        entry.truncate(IMPORT_RECORD_BYTES_MAX);
        Ok(Some(cut))
    }

    fn counted_value(&mut self, entry: &mut Vec<u8>) -> io::Result<()> {
        let mut length = Vec::with_capacity(8);
        self.some_bytes(8, &mut length)?;
        keep(entry, &length);
        if let Ok(length) = <[u8; 8]>::try_from(length) {
            let length = u64::from_le_bytes(length);
            if length <= JOURNAL_VALUE_BYTES_MAX {
                // With the line feed behind it.
                self.some_bytes(length + 1, entry)?;
            }
        }
        Ok(())
    }

    /// Appends the next `count` bytes, as far as there is room for them.
    fn some_bytes(&mut self, count: u64, kept: &mut Vec<u8>) -> io::Result<()> {
        let mut missing = count;
        while missing > 0 {
            let available = filled(&mut self.reader)?;
            let taken = available.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
            if taken == 0 {
                break;
            }
            keep(kept, &available[..taken]);
            self.reader.consume(taken);
            self.offset += taken as u64;
            missing -= taken as u64;
        }
        Ok(())
    }

    /// Appends the next line with its end.
    fn entry_line(&mut self, entry: &mut Vec<u8>) -> io::Result<EntryLine> {
        let mut line = EntryLine::default();
        while !line.ended {
            let available = filled(&mut self.reader)?;
            if available.is_empty() {
                break;
            }
            let end = memchr::memchr(b'\n', available);
            let taken = end.map_or(available.len(), |at| at + 1);
            let text = &available[..end.unwrap_or(taken)];
            let named = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_';
            line.more_than_name = line.more_than_name || !text.iter().all(named);
            line.ended = end.is_some();
            line.bytes += taken as u64;
            keep(entry, &available[..taken]);
            self.reader.consume(taken);
            self.offset += taken as u64;
        }
        Ok(line)
    }

    /// Removes the line end; cuts; says whether it cut.
    fn trim(&self, line: &mut Vec<u8>, length: u64) -> bool {
        let overflowed = length > line.len() as u64;
        let (lf, cr): (&[u8], &[u8]) = match self.end {
            LineEnd::Bytes | LineEnd::JournalEntry => (b"\n", b"\r"),
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

/// A line of a journal's entry.
#[derive(Default)]
struct EntryLine {
    bytes: u64,
    /// Whether something in it cannot be in the name of a field.
    more_than_name: bool,
    /// Whether it has a line feed.
    ended: bool,
}

/// What the reader has next; nothing at the end.
fn filled<R: BufRead>(reader: &mut R) -> io::Result<&[u8]> {
    loop {
        match reader.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    reader.fill_buf()
}

/// Appends `bytes` while a record may grow, and one byte more, which tells that it was cut.
fn keep(record: &mut Vec<u8>, bytes: &[u8]) {
    let room = (IMPORT_RECORD_BYTES_MAX + 1).saturating_sub(record.len());
    record.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// The last byte of the first line end in `available`, which starts at `offset` of the text and
/// after the byte `before`.
fn find_end(end: LineEnd, available: &[u8], before: Option<u8>, offset: u64) -> Option<usize> {
    let (first, second) = match end {
        LineEnd::Bytes | LineEnd::JournalEntry => return memchr::memchr(b'\n', available),
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
    fn entries_of_a_journal_end_at_an_empty_line() {
        let text =
            b"\n__CURSOR=1\nMESSAGE\n\x04\0\0\0\0\0\0\0a\n\nb\n_PID=7\n\n\n__CURSOR=2\n_PID=8\n";
        for buffer in [1, 3, 64] {
            let entries = lines(text, LineEnd::JournalEntry, buffer);
            let first = b"__CURSOR=1\nMESSAGE\n\x04\0\0\0\0\0\0\0a\n\nb\n_PID=7\n";
            assert_eq!(entries, [&first[..], b"__CURSOR=2\n_PID=8\n"]);
        }
        // A length that cannot be true costs the entry it is in, not the rest of the file.
        let broken = b"MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xffx\n_PID=7\n\n__CURSOR=2\n";
        assert_eq!(lines(broken, LineEnd::JournalEntry, 9).len(), 2);
        for (length, cut) in
            [(IMPORT_RECORD_BYTES_MAX - 3, false), (IMPORT_RECORD_BYTES_MAX - 2, true)]
        {
            let text = [b"A=".to_vec(), vec![b'x'; length], b"\n\nB=1\n".to_vec()].concat();
            let mut entries = Lines::new(BufReader::new(&text[..]), LineEnd::JournalEntry);
            let mut entry = Vec::new();
            assert_eq!(entries.read(&mut entry).unwrap(), Some(cut));
            assert_eq!(entries.read(&mut entry).unwrap(), Some(false));
            assert_eq!(entry, b"B=1\n");
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
            for end in [LineEnd::Bytes, LineEnd::Utf16Le, LineEnd::Utf16Be, LineEnd::JournalEntry] {
                prop_assert_eq!(lines(&text, end, buffer), lines(&text, end, 4096));
            }
        }
    }
}
