//! Takes a text apart: what stays the same from row to row, and the slots between.

use crate::civil;
use crate::limits::{SLOTS_MAX, TEXT_BYTES_MAX};
use crate::words::RowWords;

/// A place of a text that differs from row to row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Whether it is the inside of a JSON string.
    pub(crate) quoted: bool,
    /// Whether that has a backslash.
    pub(crate) escaped: bool,
}

impl Slot {
    fn new(start: usize, end: usize) -> Self {
        // Proof: no text is longer than `TEXT_BYTES_MAX`, which fits.
        Slot { start: start as u32, end: end as u32, quoted: false, escaped: false }
    }

    pub(crate) fn of<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Appends the slots of `text`; `false` (and none) where it is too odd to take apart.
pub(crate) fn scan(
    text: &[u8],
    words: &mut RowWords<'_>,
    row: usize,
    slots: &mut Vec<Slot>,
) -> bool {
    let before = slots.len();
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return false;
    }
    let limit = before + SLOTS_MAX;
    if is_json(text) && json(text, slots, limit) {
        return true;
    }
    slots.truncate(before);
    words.turn_to(row, text);
    if line(text, words, slots, limit) {
        return true;
    }
    slots.truncate(before);
    false
}

/// Whether a text is taken apart as JSON.
pub(crate) fn is_json(text: &[u8]) -> bool {
    let start = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text).trim_ascii_start();
    matches!(start.first(), Some(b'{' | b'['))
}

/// Values are slots, keys and marks are not. Nothing is nested here and nothing is checked: what is
/// not a document is only taken apart in another way.
fn json(text: &[u8], slots: &mut Vec<Slot>, limit: usize) -> bool {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                let start = at + 1;
                let mut escaped = false;
                // Proof for the indices: `end` is at most the length of the text.
                let mut end = start;
                loop {
                    match memchr::memchr2(b'"', b'\\', &text[end..]) {
                        None => return false,
                        Some(next) => end += next,
                    }
                    if text[end] == b'"' {
                        break;
                    }
                    escaped = true;
                    end += 2;
                    if end > text.len() {
                        return false;
                    }
                }
                at = end + 1;
                let mut mark = at;
                while text.get(mark).is_some_and(u8::is_ascii_whitespace) {
                    mark += 1;
                }
                if text.get(mark) == Some(&b':') {
                    at = mark + 1;
                } else {
                    slots.push(Slot { quoted: true, escaped, ..Slot::new(start, end) });
                }
            }
            b'0'..=b'9' | b'-' | b'+' | b'.' | b'a'..=b'z' | b'A'..=b'Z' => {
                let rest = text[at..].iter();
                let len = rest
                    .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'));
                let end = at + len.count();
                slots.push(Slot::new(at, end));
                at = end;
            }
            _ => at += 1,
        }
        if slots.len() > limit {
            return false;
        }
    }
    true
}

/// Values of the row's columns, times, and words with digits are slots; other words are not.
fn line(text: &[u8], words: &mut RowWords<'_>, slots: &mut Vec<Slot>, limit: usize) -> bool {
    let mut at = 0;
    let mut word_before = false;
    while let Some(&byte) = text.get(at) {
        if !word_before {
            let known = words.longest(text, at);
            let time = civil::stamp(&text[at..]).map_or(0, |stamp| stamp.len);
            let len = known.max(time);
            if len > 0 {
                slots.push(Slot::new(at, at + len));
                at += len;
                word_before = text.get(at - 1).is_some_and(u8::is_ascii_alphanumeric);
                if slots.len() > limit {
                    return false;
                }
                continue;
            }
        }
        if !byte.is_ascii_alphanumeric() {
            at += 1;
            word_before = false;
            continue;
        }
        let (end, varies) = word(text, at);
        if varies {
            slots.push(Slot::new(at, end));
            if slots.len() > limit {
                return false;
            }
        }
        at = end;
        word_before = true;
    }
    true
}

/// The end of the word that begins at `at`, with the numbers joined to it where it has digits; and
/// whether it has.
fn word(text: &[u8], at: usize) -> (usize, bool) {
    let run = |start: usize| {
        let rest = text.get(start..).unwrap_or_default();
        let len = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let run = &rest[..len];
        let digit = run.iter().any(u8::is_ascii_digit);
        (start + len, digit, digit || len > 0 && run.iter().all(u8::is_ascii_hexdigit))
    };
    let (mut end, digit, _) = run(at);
    if !digit {
        return (end, false);
    }
    while matches!(text.get(end), Some(b'.' | b':' | b'-' | b'_' | b'/')) {
        let (next, _, joins) = run(end + 1);
        if !joins {
            break;
        }
        end = next;
    }
    (end, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Columns;

    fn shown(text: &str) -> String {
        let mut slots = Vec::new();
        let columns = Columns::default();
        if !scan(text.as_bytes(), &mut RowWords::new(&columns), 0, &mut slots) {
            return "odd".to_owned();
        }
        let mut shown = String::new();
        let mut at = 0;
        for slot in &slots {
            shown.push_str(&text[at..slot.start as usize]);
            shown.push('<');
            shown.push_str(&text[slot.start as usize..slot.end as usize]);
            shown.push('>');
            at = slot.end as usize;
        }
        shown + &text[at..]
    }

    #[test]
    fn values_of_documents_are_slots() {
        for (text, wanted) in [
            (
                r#"{"a" : "x\"y", "b":[1,-2.5e3,null,true,"",{"c:":"d"}]}"#,
                r#"{"a" : "<x\"y>", "b":[<1>,<-2.5e3>,<null>,<true>,"<>",{"c:":"<d>"}]}"#,
            ),
            ("{}", "{}"),
            // What is cut short is a line.
            (r#"{"a":"b 17"#, r#"{"a":"b <17>"#),
            (r#"{"a":"b\"#, r#"{"a":"b\"#),
        ] {
            assert_eq!(shown(text), wanted);
        }
    }

    #[test]
    fn times_and_words_with_digits_are_slots() {
        for (text, wanted) in [
            (
                "<38>Jun  4 15:16:01 web01 sshd[42]: Failed password for root from 192.0.2.7 port 50022 ssh2",
                "<<38>><Jun  4 15:16:01> <web01> sshd[<42>]: Failed password for root from <192.0.2.7> \
                 port <50022> <ssh2>",
            ),
            (
                "id {b34bc01c-a92a-5f69-7e02-00000000dead} at 2026-06-04T01:02:03.5+09:00.",
                "id {<b34bc01c-a92a-5f69-7e02-00000000dead>} at <2026-06-04T01:02:03.5+09:00>.",
            ),
            ("ログオン123失敗 a.b c-d 1-x", "ログオン<123>失敗 a.b c-d <1>-x"),
        ] {
            assert_eq!(shown(text), wanted);
        }
    }

    #[test]
    fn a_text_has_a_last_slot() {
        let many = |count: usize| "1 ".repeat(count);
        assert_ne!(shown(&many(SLOTS_MAX)), "odd");
        assert_eq!(shown(&many(SLOTS_MAX + 1)), "odd");
        let list = |count: usize| format!("[{}]", vec!["1"; count].join(","));
        assert_ne!(shown(&list(SLOTS_MAX)), "odd");
        assert_eq!(shown(&list(SLOTS_MAX + 1)), "odd");
        assert_ne!(shown(&"a".repeat(TEXT_BYTES_MAX)), "odd");
        assert_eq!(shown(&"a".repeat(TEXT_BYTES_MAX + 1)), "odd");
    }
}
