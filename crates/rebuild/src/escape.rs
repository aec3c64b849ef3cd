//! Strings as JSON writers spell them. Every writer has its own way of escaping; a template says which.

const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";
const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

const NON_ASCII: u8 = 1;
const UPPER_HEX: u8 = 2;
const SLASH: u8 = 4;

/// In the classes of bytes: escaped by all writers.
const ALWAYS: u8 = 0x80;

/// By which of the flags each byte is escaped.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            0..0x20 | b'"' | b'\\' => ALWAYS,
            b'/' => SLASH,
            0x80..=0xFF => NON_ASCII,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// How a writer escapes: as little as RFC 8259 asks for, with `\b \t \n \f \r` where there are such,
/// apart from what is set here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Style {
    flags: u8,
    /// ASCII characters that are written `\u00XX` although there is a shorter way.
    long: u128,
}

impl Style {
    /// Takes note of how `text`, the inside of a string, is escaped.
    pub(crate) fn observe(&mut self, text: &[u8]) {
        let mut at = 0;
        while let Some(next) = memchr::memchr(b'\\', text.get(at..).unwrap_or_default()) {
            at += next + 1;
            match text.get(at) {
                Some(b'/') => self.flags |= SLASH,
                Some(b'u') => {
                    let digits = text.get(at + 1..at + 5).unwrap_or_default();
                    if digits.iter().any(|digit| matches!(digit, b'A'..=b'F')) {
                        self.flags |= UPPER_HEX;
                    }
                    match hex(digits) {
                        Some(code @ 0..0x80) if !only_long(code as u8) => self.long |= 1 << code,
                        Some(0x80..) => self.flags |= NON_ASCII,
                        _ => {}
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// The bytes of a template.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.flags);
        out.push(self.long.count_ones() as u8);
        out.extend((0..128_u8).filter(|code| self.long & (1 << code) != 0));
    }

    /// Reads what [`Style::write`] wrote; `None` where that is not what stands there.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (flags, count) = (*bytes.first()?, usize::from(*bytes.get(1)?));
        let mut style = Style { flags, long: 0 };
        for code in bytes.get(2..2 + count)? {
            style.long |= 1_u128.checked_shl(u32::from(*code)).filter(|_| *code < 128)?;
        }
        (flags < 8 && style.long.count_ones() as usize == count).then_some((style, 2 + count))
    }

    /// Appends `text` as the writer would.
    pub(crate) fn escape(&self, text: &str, out: &mut Vec<u8>) {
        let bytes = text.as_bytes();
        out.reserve(bytes.len());
        let flags = ALWAYS | self.flags;
        let usual = |byte: &u8| CLASSES[usize::from(*byte)] & flags != 0;
        let unusual = |byte: &u8| usual(byte) || *byte < 0x80 && self.long & (1 << byte) != 0;
        // Proof for the indices below: `rest` and `at` are never behind the end of `bytes`.
        let mut rest = 0;
        loop {
            let mut following = bytes[rest..].iter();
            let next = match self.long {
                0 => following.position(usual),
                _ => following.position(unusual),
            };
            let Some(at) = next.map(|next| rest + next) else { break };
            out.extend(&bytes[rest..at]);
            rest = at + 1;
            match bytes[at] {
                // The first byte of a character says all of it.
                0xC0.. => {
                    let character = text.get(at..).and_then(|rest| rest.chars().next());
                    let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        self.long_form(*unit, out);
                    }
                    rest = bytes.len().min(at + character.len_utf8());
                }
                byte if byte < 0x80 && self.long & (1 << byte) != 0 => {
                    self.long_form(u16::from(byte), out);
                }
                byte @ (b'"' | b'\\' | b'/') => out.extend([b'\\', byte]),
                0x08 => out.extend(b"\\b"),
                0x09 => out.extend(b"\\t"),
                0x0A => out.extend(b"\\n"),
                0x0C => out.extend(b"\\f"),
                0x0D => out.extend(b"\\r"),
                byte => self.long_form(u16::from(byte), out),
            }
        }
        out.extend(&bytes[rest..]);
    }

    fn long_form(&self, unit: u16, out: &mut Vec<u8>) {
        let digits = if self.flags & UPPER_HEX != 0 { HEX_UPPER } else { HEX_LOWER };
        out.extend(b"\\u");
        for shift in [12, 8, 4, 0] {
            out.push(digits[usize::from(unit >> shift & 15)]);
        }
    }
}

/// Whether a character has no shorter escape than `\u00XX` and needs one.
fn only_long(code: u8) -> bool {
    code < 0x20 && !matches!(code, 0x08 | 0x09 | 0x0A | 0x0C | 0x0D)
}

fn hex(digits: &[u8]) -> Option<u16> {
    if digits.len() != 4 {
        return None;
    }
    digits.iter().try_fold(0_u16, |number, digit| {
        Some(number << 4 | char::from(*digit).to_digit(16)? as u16)
    })
}

/// Appends what `text`, the inside of a JSON string, means. `false` where it means nothing.
pub(crate) fn unescape(text: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = text;
    while let Some(next) = memchr::memchr(b'\\', rest) {
        out.extend(&rest[..next]);
        let Some(kind) = rest.get(next + 1) else { return false };
        let mut used = next + 2;
        match kind {
            b'"' | b'\\' | b'/' => out.push(*kind),
            b'b' => out.push(0x08),
            b't' => out.push(0x09),
            b'n' => out.push(0x0A),
            b'f' => out.push(0x0C),
            b'r' => out.push(0x0D),
            b'u' => {
                let unit = |at: usize| rest.get(at..at + 4).and_then(hex);
                let Some(first) = unit(used) else { return false };
                used += 4;
                let mut units = [first, 0];
                let mut count = 1;
                if (0xD800..0xDC00).contains(&first) && rest.get(used..used + 2) == Some(b"\\u") {
                    let Some(second) = unit(used + 2) else { return false };
                    units[1] = second;
                    count = 2;
                    used += 6;
                }
                for character in char::decode_utf16(units[..count].iter().copied()) {
                    let Ok(character) = character else { return false };
                    out.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            _ => return false,
        }
        rest = &rest[used..];
    }
    out.extend(rest);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn respelt(written: &str) -> String {
        let (mut style, mut meant, mut again) = (Style::default(), Vec::new(), Vec::new());
        style.observe(written.as_bytes());
        assert!(unescape(written.as_bytes(), &mut meant), "{written}");
        style.escape(&String::from_utf8(meant).unwrap(), &mut again);
        String::from_utf8(again).unwrap()
    }

    #[test]
    fn each_writer_is_followed() {
        for written in [
            r#"C:\\Windows\r\n\t\"x\" \u0000\b\f"#,
            r"https:\/\/example.org\/",
            r"\u65e5\u672c\ud83d\ude00 a",
            "日本😀",
            r"\u003cb\u003e \u0026 \u0027",
            r"\u003Cb\u003E",
            r"\u0009\u0008\u0022\u005c",
        ] {
            assert_eq!(respelt(written), written);
        }
    }

    #[test]
    fn broken_escapes_mean_nothing() {
        for text in [r"\", r"\x", r"\u12", r"\ud83d", r"\ud83dx", r"\ud83d\u0041", r"\udc00"] {
            assert!(!unescape(text.as_bytes(), &mut Vec::new()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_means_the_same(text in "\\PC{0,20}|[\\x00-\\x7f]{0,40}", flags in 0_u8..8, long in any::<u128>()) {
            let style = Style { flags, long };
            let (mut written, mut meant) = (Vec::new(), Vec::new());
            style.escape(&text, &mut written);
            prop_assert!(unescape(&written, &mut meant));
            prop_assert_eq!(String::from_utf8(meant).unwrap(), text);
            let mut bytes = Vec::new();
            style.write(&mut bytes);
            prop_assert_eq!(Style::read(&bytes), Some((style, bytes.len())));
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut style = Style::default();
            style.observe(&bytes);
            unescape(&bytes, &mut Vec::new());
            let _ = Style::read(&bytes);
        }
    }
}
