//! A line in fields.

use crate::limits::LAYOUT_COLUMNS_MAX;

/// What stands between two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    /// One blank; a field in double quotes may hold blanks (W3C extended log format).
    Blank,
    /// A tab, and nothing is quoted.
    Tab,
    /// Any other character, and nothing is quoted (Zeek).
    Plain(u8),
    /// RFC 4180 with this character.
    Csv(u8),
}

/// Most bytes of memory kept from line to line.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// Splits lines, one after the other, in memory it keeps.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// Made when the first such line comes: it is large, and there is one for every file and sender.
    csv: Option<(u8, Box<csv_core::Reader>)>,
    text: String,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Splitter {
    /// How many fields `line` has; `None` when there are more than any header may have, or it does
    /// not end as a line of this kind must.
    pub(super) fn split(&mut self, line: &str, separator: Separator) -> Option<usize> {
        if self.text.capacity() + self.bytes.capacity() > KEPT_BYTES_MAX {
            (self.text, self.bytes) = (String::new(), Vec::new());
        }
        self.text.clear();
        self.ends.clear();
        match separator {
            Separator::Csv(delimiter) => self.split_csv(line, delimiter)?,
            Separator::Blank => self.split_blank(line)?,
            Separator::Tab => self.split_plain(line, b'\t')?,
            Separator::Plain(byte) => self.split_plain(line, byte)?,
        }
        Some(self.ends.len())
    }

    /// A field of the line split last.
    pub(super) fn field(&self, number: usize) -> Option<&str> {
        let end = *self.ends.get(number)?;
        let start = match number.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.text.get(start..end)
    }

    fn end_field(&mut self) -> Option<()> {
        self.ends.push(self.text.len());
        // Rows may have a few more than the header; many more is another kind of line.
        (self.ends.len() <= LAYOUT_COLUMNS_MAX + 1).then_some(())
    }

    fn split_plain(&mut self, line: &str, separator: u8) -> Option<()> {
        for field in line.split(char::from(separator)) {
            self.text.push_str(field);
            self.end_field()?;
        }
        Some(())
    }

    fn split_blank(&mut self, line: &str) -> Option<()> {
        let mut rest = line.trim_end_matches(' ');
        loop {
            let (field, after) = match rest.strip_prefix('"').and_then(closed) {
                Some((field, after)) => (field, after),
                None => match rest.split_once(' ') {
                    Some((field, after)) => (field, Some(after)),
                    None => (rest, None),
                },
            };
            self.text.push_str(field);
            self.end_field()?;
            match after {
                Some(after) => rest = after,
                None => return Some(()),
            }
        }
    }

    fn split_csv(&mut self, line: &str, delimiter: u8) -> Option<()> {
        let known = self.csv.take().filter(|(known, _)| *known == delimiter);
        let build = || csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        let (_, reader) = self.csv.insert(known.unwrap_or_else(|| (delimiter, Box::new(build()))));
        reader.reset();
        // What is read is never longer than the line.
        self.bytes.clear();
        self.bytes.resize(line.len() + 1, 0);
        self.ends.resize(LAYOUT_COLUMNS_MAX + 1, 0);
        let (mut written, mut ends) = (0, 0);
        let mut input = line.as_bytes();
        // Once for the line and once for its end.
        for _ in 0..2 {
            let output = self.bytes.get_mut(written..)?;
            let free = self.ends.get_mut(ends..)?;
            let (result, read, wrote, ended) = reader.read_record(input, output, free);
            input = input.get(read..)?;
            written += wrote;
            ends += ended;
            match result {
                csv_core::ReadRecordResult::InputEmpty => {}
                csv_core::ReadRecordResult::Record => break,
                _ => return None,
            }
        }
        self.ends.truncate(ends);
        self.text.push_str(std::str::from_utf8(self.bytes.get(..written)?).ok()?);
        input.is_empty().then_some(())
    }
}

/// The text of a quoted field and what follows the blank behind it.
fn closed(inside: &str) -> Option<(&str, Option<&str>)> {
    let end = memchr::memmem::find(inside.as_bytes(), b"\" ");
    match end {
        Some(end) => Some((inside.get(..end)?, Some(inside.get(end + 2..)?))),
        None => Some((inside.strip_suffix('"')?, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(line: &str, separator: Separator) -> Option<Vec<String>> {
        let mut splitter = Splitter::default();
        let count = splitter.split(line, separator)?;
        Some((0..count).map(|number| splitter.field(number).unwrap().to_owned()).collect())
    }

    #[test]
    fn each_kind_of_line() {
        let split = |line, separator| fields(line, separator).unwrap().join("|");
        assert_eq!(split(r#"a "b c" d"e - "#, Separator::Blank), r#"a|b c|d"e|-"#);
        assert_eq!(split("a b\t\tc", Separator::Tab), "a b||c");
        assert_eq!(split(r#"a,"b,""c""", 日 "#, Separator::Csv(b',')), r#"a|b,"c"| 日 "#);
        assert_eq!(split("a;b,c;", Separator::Csv(b';')), "a|b,c|");
        assert_eq!(fields("a,b\nc,d", Separator::Csv(b',')), None);
    }

    #[test]
    fn columns_are_bounded() {
        for separator in [Separator::Csv(b','), Separator::Plain(b',')] {
            let at = ",".repeat(LAYOUT_COLUMNS_MAX);
            assert_eq!(fields(&at, separator).map(|all| all.len()), Some(LAYOUT_COLUMNS_MAX + 1));
            assert_eq!(fields(&format!("{at},"), separator), None);
        }
    }

    proptest! {
        #[test]
        fn never_panics(line in r#"[a-c", \t;日\r\n]{0,40}"#) {
            for separator in [Separator::Blank, Separator::Tab, Separator::Plain(b';'), Separator::Csv(b',')] {
                let _ = fields(&line, separator);
            }
        }
    }
}
