use super::wrapper::opens_wrapper;
use serde::Serialize;

/// What a file is, told from its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FileKind {
    /// Nothing in it.
    Empty,
    /// Windows event log.
    Evtx,
    /// One JSON object per line.
    JsonLines,
    /// JSON objects in one array.
    JsonArray,
    /// JSON objects one after another, over several lines each, or each around a list of events.
    JsonObjects,
    /// Windows events as XML, in one `Events` element or one after another.
    XmlEvents,
    /// Entries of systemd's journal in its export format.
    JournalExport,
    /// Text in an encoding that contains ASCII: UTF-8, CP932, EUC-JP and so on.
    Text,
    /// Text in UTF-16, little end first.
    TextUtf16Le,
    /// Text in UTF-16, big end first.
    TextUtf16Be,
}

impl FileKind {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            FileKind::Empty => "empty",
            FileKind::Evtx => "evtx",
            FileKind::JsonLines => "json-lines",
            FileKind::JsonArray => "json-array",
            FileKind::JsonObjects => "json-objects",
            FileKind::XmlEvents => "xml-events",
            FileKind::JournalExport => "journal-export",
            FileKind::Text => "text",
            FileKind::TextUtf16Le => "text-utf-16-le",
            FileKind::TextUtf16Be => "text-utf-16-be",
        }
    }
}

/// What the first bytes of a file say it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sniffed {
    Gzip,
    Zstd,
    Zip,
    Tar,
    /// A log; and how many bytes of byte order mark it starts with.
    Log(FileKind, usize),
    /// Nothing that we read as a log.
    Binary,
}

/// Tells what a file is from its first bytes; `head` is the whole file or at least several kilobytes.
pub(super) fn sniff(head: &[u8]) -> Sniffed {
    match head {
        [] => return Sniffed::Log(FileKind::Empty, 0),
        // Magic numbers: [MS-EVEN6] 2.2.17 (ElfFile), RFC 1952, RFC 8878 (frame and skippable
        // frame), APPNOTE.TXT 4.3.7 and 4.3.16, POSIX ustar.
        [b'E', b'l', b'f', b'F', b'i', b'l', b'e', 0, ..] => {
            return Sniffed::Log(FileKind::Evtx, 0);
        }
        [0x1f, 0x8b, 8, ..] => return Sniffed::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            return Sniffed::Zstd;
        }
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => return Sniffed::Zip,
        [b'_', b'_', b'C', b'U', b'R', b'S', b'O', b'R', b'=', ..] => {
            return Sniffed::Log(FileKind::JournalExport, 0);
        }
        [0xff, 0xfe, ..] => return Sniffed::Log(FileKind::TextUtf16Le, 2),
        [0xfe, 0xff, ..] => return Sniffed::Log(FileKind::TextUtf16Be, 2),
        _ => {}
    }
    if head.get(257..262) == Some(b"ustar") {
        return Sniffed::Tar;
    }
    if let Some(kind) = utf16_without_mark(head) {
        return Sniffed::Log(kind, 0);
    }
    let mark = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let text = &head[mark..];
    if is_binary(text) { Sniffed::Binary } else { Sniffed::Log(json_or_text(text), mark) }
}

/// UTF-16 without a byte order mark: text that is mostly ASCII has NUL in nearly every second byte.
fn utf16_without_mark(head: &[u8]) -> Option<FileKind> {
    let pairs = head.len() / 2;
    if pairs < 2 {
        return None;
    }
    let nul_at = |side: usize| head.chunks_exact(2).filter(|pair| pair[side] == 0).count();
    let (first, second) = (nul_at(0), nul_at(1));
    let (most, few) = (pairs * 6 / 10, pairs / 20);
    if second > most && first <= few {
        Some(FileKind::TextUtf16Le)
    } else if first > most && second <= few {
        Some(FileKind::TextUtf16Be)
    } else {
        None
    }
}

/// More than a tenth control characters. Text logs may hold some: a crash leaves runs of NUL, and
/// terminal output has escapes; ISO-2022-JP is made of them.
fn is_binary(text: &[u8]) -> bool {
    let control = |byte: &&u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f);
    text.iter().filter(control).count() * 10 > text.len()
}

fn json_or_text(text: &[u8]) -> FileKind {
    let text = text.trim_ascii_start();
    match text {
        [b'[', rest @ ..] => match rest.trim_ascii_start() {
            [b'{', inner @ ..] if opens_object(inner) => FileKind::JsonArray,
            [b']', after @ ..] if after.trim_ascii().is_empty() => FileKind::JsonArray,
            _ => FileKind::Text,
        },
        [b'{', rest @ ..] if opens_object(rest) => {
            let line_end = memchr::memchr(b'\n', text);
            let first_line = &text[..line_end.unwrap_or(text.len())];
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(first_line).is_ok();
            match is_json && !opens_wrapper(text) {
                true => FileKind::JsonLines,
                false => FileKind::JsonObjects,
            }
        }
        [b'<', ..] if begins_with_event(text) => FileKind::XmlEvents,
        _ => FileKind::Text,
    }
}

/// Whether `text` is XML whose first element is `Events` or `Event`.
fn begins_with_event(text: &[u8]) -> bool {
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        let end: &[u8] = match rest {
            [b'<', b'?', ..] => b"?>",
            [b'<', b'!', b'-', b'-', ..] => b"-->",
            _ => break,
        };
        let Some(at) = memchr::memmem::find(rest, end) else { return false };
        rest = rest.get(at + end.len()..).unwrap_or_default();
    }
    let name = rest.strip_prefix(b"<Events").or_else(|| rest.strip_prefix(b"<Event"));
    matches!(name.and_then(<[u8]>::first), Some(b'>' | b' ' | b'\t' | b'\r' | b'\n'))
}

/// Whether what follows a `{` may be the inside of a JSON object.
fn opens_object(rest: &[u8]) -> bool {
    matches!(rest.trim_ascii_start().first(), None | Some(b'"' | b'}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn content_tells_what_a_file_is() {
        use FileKind::*;
        let cases: &[(&[u8], Sniffed)] = &[
            (b"", Sniffed::Log(Empty, 0)),
            (b"ElfFile\0rest", Sniffed::Log(Evtx, 0)),
            (b"__CURSOR=s=1;i=2\n_PID=7\n", Sniffed::Log(JournalExport, 0)),
            (b"\x1f\x8b\x08\0", Sniffed::Gzip),
            (b"\x28\xb5\x2f\xfd\0", Sniffed::Zstd),
            (b"PK\x03\x04...", Sniffed::Zip),
            (b"PK is a text", Sniffed::Log(Text, 0)),
            (b"{\"a\":1}\n{\"b\":", Sniffed::Log(JsonLines, 0)),
            (b"\xef\xbb\xbf {\"a\":1}", Sniffed::Log(JsonLines, 3)),
            (b"{\n  \"a\": 1\n}\n", Sniffed::Log(JsonObjects, 0)),
            (b"{\"Records\":[{\"a\":1}]}\n", Sniffed::Log(JsonObjects, 0)),
            (b"[\n {\"a\":1}]", Sniffed::Log(JsonArray, 0)),
            (b"[]\n", Sniffed::Log(JsonArray, 0)),
            (b"<?xml version='1.0'?>\n<Events><Event>", Sniffed::Log(XmlEvents, 0)),
            (b"<Event xmlns='x'>", Sniffed::Log(XmlEvents, 0)),
            (b"<EventLog>", Sniffed::Log(Text, 0)),
            (b"<38>Jun 14 15:16:01 web01 sshd: x", Sniffed::Log(Text, 0)),
            (b"[Sun Dec 04 04:47:44 2005] [notice] x", Sniffed::Log(Text, 0)),
            (b"[{main}] started", Sniffed::Log(Text, 0)),
            (b"{main} started", Sniffed::Log(Text, 0)),
            (b"\x83\x8d\x83\x4f\x83\x43\x83\x93\n", Sniffed::Log(Text, 0)),
            (b"Oct 11 sshd\0\n", Sniffed::Log(Text, 0)),
            (b"\x7fELF\x02\x01\x01\0\0\0\0\0", Sniffed::Binary),
            (&[0; 4096], Sniffed::Binary),
        ];
        for (head, expected) in cases {
            assert_eq!(&sniff(head), expected, "{:?}", head.escape_ascii().to_string());
        }
        let line = "2026-11-21 10:00:00 ログオン user=tanaka\r\n";
        assert_eq!(sniff(&utf16(line, u16::to_le_bytes)), Sniffed::Log(TextUtf16Le, 0));
        assert_eq!(sniff(&utf16(line, u16::to_be_bytes)), Sniffed::Log(TextUtf16Be, 0));
        let marked = utf16(&format!("\u{feff}{line}"), u16::to_le_bytes);
        assert_eq!(sniff(&marked), Sniffed::Log(TextUtf16Le, 2));
        let mut tar = vec![b'a'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(sniff(&tar), Sniffed::Tar);
    }
}
