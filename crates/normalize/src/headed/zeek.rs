//! Zeek's TSV logs (Zeek documentation, "Zeek Log Formats and Inspection"): `#separator` and the other
//! lines before `#fields` say how the rows are written, `#path` which log it is.

use super::split::Separator;
use super::when::TimeColumns;
use super::{Family, Layout, bounded, dataset};
use crate::limits::LAYOUT_BYTES_MAX;
use crate::mapping::Mappings;
use std::borrow::Cow;

/// Header lines that came so far.
#[derive(Debug, Clone)]
pub(super) struct Gathering {
    separator: u8,
    path: Box<str>,
    unset: Box<str>,
    empty: Box<str>,
    /// Whether a line of a Zeek header was met at all: `#path` and the like mean nothing elsewhere.
    begun: bool,
}

impl Default for Gathering {
    fn default() -> Self {
        Gathering {
            separator: b'\t',
            path: "".into(),
            unset: "-".into(),
            empty: "(empty)".into(),
            begun: false,
        }
    }
}

/// A header that is complete.
pub(super) struct Header {
    gathered: Gathering,
    fields: Box<str>,
}

impl Gathering {
    /// Reads a line behind its `#`: `None` if it is not of such a header, else the header that it
    /// completes.
    pub(super) fn line(&mut self, rest: &str) -> Option<Option<Header>> {
        if let Some(separator) = rest.strip_prefix("separator ") {
            *self = Gathering { separator: byte(separator)?, begun: true, ..Gathering::default() };
            return Some(None);
        }
        let (directive, value) = rest.split_once(char::from(self.separator))?;
        match directive {
            "fields" => {
                let header = Header { gathered: self.clone(), fields: value.into() };
                self.begun = true;
                return Some(Some(header));
            }
            "path" => self.path = value.into(),
            "unset_field" => self.unset = value.into(),
            "empty_field" => self.empty = value.into(),
            "set_separator" | "open" | "close" | "types" => return self.begun.then_some(None),
            _ => return None,
        }
        self.begun = true;
        Some(None)
    }
}

/// `\x09`, or the character itself.
fn byte(text: &str) -> Option<u8> {
    match text.strip_prefix("\\x") {
        Some(digits) => u8::from_str_radix(digits, 16).ok().filter(u8::is_ascii),
        None => text.bytes().next().filter(|byte| byte.is_ascii() && text.len() == 1),
    }
}

impl Header {
    /// `None` when it is beyond the limits.
    pub(super) fn layout(self, mappings: &Mappings) -> Option<Layout> {
        let Header { gathered, fields } = self;
        let mark = char::from(gathered.separator);
        let columns = bounded(fields.split(mark).map(str::trim).map(Box::from).collect())?;
        let text = format!(
            "#separator \\x{:02x}\n#empty_field{mark}{}\n#unset_field{mark}{}\n#path{mark}{}\n#fields{mark}{fields}",
            gathered.separator, gathered.empty, gathered.unset, gathered.path
        );
        if text.len() > LAYOUT_BYTES_MAX {
            return None;
        }
        let own = format!("network.zeek_{}", gathered.path);
        let names = [own.as_str(), "network.zeek"];
        Some(Layout {
            family: Family::Zeek,
            separator: match gathered.separator {
                b'\t' => Separator::Tab,
                byte => Separator::Plain(byte),
            },
            time: TimeColumns::new(&columns, true),
            dataset: dataset(mappings, &columns, &names, "csv.generic"),
            unset: gathered.unset,
            empty: gathered.empty,
            columns,
            text: text.into(),
        })
    }
}

/// A value with its `\x2c` escapes undone; `None` when there are none. Bytes that are not UTF-8
/// together stay escaped.
pub(super) fn unescaped(value: &str) -> Option<Cow<'_, str>> {
    memchr::memmem::find(value.as_bytes(), b"\\x")?;
    let bytes = value.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&next) = bytes.get(at) {
        let digits = match bytes.get(at..at + 4) {
            Some([b'\\', b'x', digits @ ..]) => std::str::from_utf8(digits).ok(),
            _ => None,
        };
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 4;
            }
            None => {
                plain.push(next);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).ok().map(Cow::Owned)
}
