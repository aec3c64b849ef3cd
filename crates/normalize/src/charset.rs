//! Which character encoding a record is in. The raw bytes stay as they are; only our view of them
//! is decoded.
//!
//! A source's encoding can be fixed ([`TextEncoding`]); otherwise each record is looked at by
//! itself, so that reading it again gives the same answer:
//!
//! 1. A byte order mark is believed.
//! 2. Valid UTF-8 is UTF-8, unless it has the escape sequences that switch ISO-2022-JP to Japanese
//!    characters (RFC 1468), or NUL in at least every fourth pair of bytes and always on the same
//!    side: UTF-16 without a mark.
//! 3. Of UTF-8, CP932 and EUC-JP the one that makes the least strange reading: each is given
//!    points for what does not occur in it, or rarely ([`strangeness`]); the fewest win. So a single
//!    broken byte costs one character, not the line.
//!
//! What cannot be read becomes U+FFFD, and the note says that the text was damaged.

use encoding_rs::{EUC_JP, Encoding, ISO_2022_JP, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use yagura_event::Words;

/// A character encoding that a source is known to write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TextEncoding(&'static Encoding);

impl TextEncoding {
    /// UTF-8.
    pub const UTF_8: TextEncoding = TextEncoding(UTF_8);
    /// UTF-16, little end first.
    pub const UTF_16_LE: TextEncoding = TextEncoding(UTF_16LE);

    /// The name in `yagura.encoding`: `cp932` for what the WHATWG calls Shift_JIS, everything else
    /// as it is called there, in lower case where we detect it.
    pub fn name(self) -> &'static str {
        match self.0 {
            e if e == UTF_8 => "utf-8",
            e if e == UTF_16LE => "utf-16le",
            e if e == UTF_16BE => "utf-16be",
            e if e == SHIFT_JIS => "cp932",
            e if e == EUC_JP => "euc-jp",
            e if e == ISO_2022_JP => "iso-2022-jp",
            other => other.name(),
        }
    }
}

impl FromStr for TextEncoding {
    type Err = Words;

    /// Any label of the WHATWG Encoding Standard, and `cp932`.
    fn from_str(label: &str) -> Result<Self, Words> {
        let known = match label.trim().to_ascii_lowercase().as_str() {
            "cp932" | "ms932" => Some(SHIFT_JIS),
            "cp51932" | "eucjp" => Some(EUC_JP),
            other => Encoding::for_label_no_replacement(other.as_bytes()),
        };
        known.map(TextEncoding).ok_or_else(|| {
            Words::new(
                format!(
                    "encoding: {label:?} is none we know: write utf-8, utf-16le, utf-16be, cp932, \
                     euc-jp, iso-2022-jp, or another label of the WHATWG Encoding Standard"
                ),
                format!(
                    "encoding: {label:?} という文字コードはありません。utf-8、utf-16le、utf-16be、cp932、\
                     euc-jp、iso-2022-jp など、WHATWG Encoding Standard の名前を指定してください"
                ),
            )
        })
    }
}

impl fmt::Display for TextEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for TextEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is worth saying about how a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) encoding: TextEncoding,
    /// Something could not be read and became U+FFFD.
    pub(crate) damaged: bool,
}

impl Note {
    /// The value of `yagura.encoding`.
    pub(crate) fn text(self) -> Cow<'static, str> {
        match self.damaged {
            false => Cow::Borrowed(self.encoding.name()),
            true => Cow::Owned(format!("{}-damaged", self.encoding.name())),
        }
    }
}

/// The text of `bytes` without a byte order mark, and a note where it is not plain UTF-8.
pub(crate) fn decode(bytes: &[u8], fixed: Option<TextEncoding>) -> (Cow<'_, str>, Option<Note>) {
    if let Some(TextEncoding(encoding)) = fixed {
        return read(encoding, without_mark(encoding, bytes));
    }
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => return read(UTF_8, rest),
        [0xFF, 0xFE, rest @ ..] => return read(UTF_16LE, rest),
        [0xFE, 0xFF, rest @ ..] => return read(UTF_16BE, rest),
        _ => {}
    }
    // Both are control characters that ordinary lines do not have.
    let unusual = memchr::memchr2(0, ESCAPE, bytes).is_some();
    if unusual && let Some(encoding) = utf16_without_mark(bytes) {
        return read(encoding, bytes);
    }
    if unusual && switches_to_japanese(bytes) {
        return read(ISO_2022_JP, bytes);
    }
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), None),
        Err(_) => read(least_strange(bytes), bytes),
    }
}

const ESCAPE: u8 = 0x1B;

fn without_mark<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> &'a [u8] {
    let mark: &[u8] = match encoding {
        e if e == UTF_8 => b"\xEF\xBB\xBF",
        e if e == UTF_16LE => b"\xFF\xFE",
        e if e == UTF_16BE => b"\xFE\xFF",
        _ => b"",
    };
    bytes.strip_prefix(mark).unwrap_or(bytes)
}

fn read<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> (Cow<'a, str>, Option<Note>) {
    let (text, damaged) = encoding.decode_without_bom_handling(bytes);
    // Text that is the same in UTF-8 needs no note.
    let plain = !damaged
        && (encoding == UTF_8 || (matches!(text, Cow::Borrowed(_)) && text.len() == bytes.len()));
    let note = (!plain).then_some(Note { encoding: TextEncoding(encoding), damaged });
    (text, note)
}

/// NUL in many pairs of bytes, always on the same side, and whole characters throughout.
fn utf16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() < 2 {
        return None;
    }
    let (mut first, mut second) = (0, 0);
    for [a, b] in pairs {
        first += usize::from(*a == 0);
        second += usize::from(*b == 0);
    }
    let enough = |count: usize| count >= 2 && count * 4 >= pairs.len();
    let encoding = match (first, second) {
        (0, count) if enough(count) => UTF_16LE,
        (count, 0) if enough(count) => UTF_16BE,
        _ => return None,
    };
    encoding.decode_without_bom_handling_and_without_replacement(bytes).map(|_| encoding)
}

/// `ESC $ @`, `ESC $ B` (JIS X 0208) or `ESC ( I` (half-width katakana) in otherwise plain ASCII.
/// Terminals send `ESC ( B` as well, so that alone says nothing.
fn switches_to_japanese(bytes: &[u8]) -> bool {
    let switch =
        |at: usize| matches!(bytes.get(at + 1..at + 3), Some([b'$', b'@' | b'B'] | [b'(', b'I']));
    bytes.is_ascii() && memchr::memchr_iter(ESCAPE, bytes).any(switch)
}

/// How many bytes a step took, and its points.
type Score = fn(&[u8]) -> (usize, u32);

fn least_strange(bytes: &[u8]) -> &'static Encoding {
    // Of equally strange ones the first.
    let candidates: [(&'static Encoding, Score); 3] =
        [(UTF_8, utf8_step), (SHIFT_JIS, cp932_step), (EUC_JP, euc_jp_step)];
    let best = candidates.iter().min_by_key(|(_, step)| strangeness(bytes, *step));
    best.map_or(UTF_8, |(encoding, _)| encoding)
}

/// Points for a byte that cannot be read, or a character that no text has.
const BROKEN: u32 = 10;
/// Points for a character that is rare in logs: kanji of JIS level 2, Greek, Cyrillic, box drawing.
const RARE: u32 = 3;
/// Points for half-width katakana, which is what each of CP932 and EUC-JP looks like when read as
/// the other, and which some old systems do write.
const HALF_WIDTH: u32 = 2;
/// Points for a kanji of JIS level 1.
const KANJI: u32 = 1;

/// The points of a text when it is read step by step; a step says how many bytes it took and what
/// they cost.
fn strangeness(bytes: &[u8], step: fn(&[u8]) -> (usize, u32)) -> u64 {
    let mut rest = bytes;
    let mut points = 0;
    while let Some(after_ascii) = rest.iter().position(|byte| !byte.is_ascii()) {
        rest = rest.get(after_ascii..).unwrap_or_default();
        let (taken, cost) = step(rest);
        points += u64::from(cost);
        rest = rest.get(taken.max(1)..).unwrap_or_default();
    }
    points
}

fn utf8_step(bytes: &[u8]) -> (usize, u32) {
    let length = match bytes.first() {
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF4) => 4,
        _ => return (1, BROKEN),
    };
    match bytes.get(..length).map(std::str::from_utf8) {
        Some(Ok(_)) => (length, 0),
        _ => {
            // Take what follows as part of the same broken character.
            let follow = bytes.iter().skip(1).take(length - 1);
            (1 + follow.take_while(|byte| (0x80..=0xBF).contains(*byte)).count(), BROKEN)
        }
    }
}

/// JIS X 0208 with the extensions of Windows code page 932.
fn cp932_step(bytes: &[u8]) -> (usize, u32) {
    match bytes {
        [0xA1..=0xDF, ..] => (1, HALF_WIDTH),
        [lead @ (0x81..=0x9F | 0xE0..=0xFC), trail @ (0x40..=0x7E | 0x80..=0xFC), ..] => {
            let cost = match (lead, trail) {
                (0x81 | 0x82, _) | (0x83, ..=0x96) => 0,
                (0x83 | 0x84 | 0x87, _) => RARE,
                (0x88..=0x97, _) | (0x98, ..=0x72) => KANJI,
                (0x98..=0x9F | 0xE0..=0xEA | 0xED | 0xEE | 0xFA | 0xFB, _) | (0xFC, ..=0x4B) => {
                    RARE
                }
                _ => BROKEN,
            };
            (2, cost)
        }
        _ => (1, BROKEN),
    }
}

/// JIS X 0208 rows 1 to 94, and the two single shifts.
fn euc_jp_step(bytes: &[u8]) -> (usize, u32) {
    match bytes {
        [0x8E, 0xA1..=0xDF, ..] => (2, HALF_WIDTH),
        [0x8F, 0xA1..=0xFE, 0xA1..=0xFE, ..] => (3, RARE),
        [lead @ 0xA1..=0xFE, 0xA1..=0xFE, ..] => {
            let cost = match lead - 0xA0 {
                1..=5 => 0,
                6 | 7 | 8 | 13 => RARE,
                16..=47 => KANJI,
                48..=84 => RARE,
                _ => BROKEN,
            };
            (2, cost)
        }
        _ => (1, BROKEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SENTENCES: [&str; 6] = [
        "ユーザー 田中 がログオンに失敗しました。",
        "2026-11-21 10:00:00 サービス「印刷スプーラー」を開始しました",
        "Nov 21 10:00:00 fs01 app[7]: ファイル 経理/予算.xlsx を削除: 佐藤",
        "認証エラー",
        "接続を拒否しました（理由：期限切れ）",
        "バックアップが完了しました 12件",
    ];

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    fn read_as(bytes: &[u8]) -> (String, String) {
        let (text, note) = decode(bytes, None);
        (text.into_owned(), note.map_or("none".into(), |note| note.text().into_owned()))
    }

    #[test]
    fn tells_japanese_encodings_apart() {
        for sentence in SENTENCES {
            let expect = |bytes: &[u8], name: &str| {
                assert_eq!(read_as(bytes), (sentence.to_owned(), name.to_owned()), "{sentence}");
            };
            expect(sentence.as_bytes(), "none");
            expect(format!("\u{FEFF}{sentence}").as_bytes(), "none");
            expect(&SHIFT_JIS.encode(sentence).0, "cp932");
            expect(&EUC_JP.encode(sentence).0, "euc-jp");
            expect(&ISO_2022_JP.encode(sentence).0, "iso-2022-jp");
            let marked = format!("\u{FEFF}{sentence}");
            expect(&utf16(&marked, u16::to_le_bytes), "utf-16le");
            expect(&utf16(&marked, u16::to_be_bytes), "utf-16be");
        }
        let stamped = SENTENCES[1];
        assert_eq!(read_as(&utf16(stamped, u16::to_le_bytes)).1, "utf-16le");
        assert_eq!(read_as(&utf16(stamped, u16::to_be_bytes)).1, "utf-16be");
    }

    #[test]
    fn a_broken_byte_costs_a_character_and_not_the_line() {
        let sentence = SENTENCES[2];
        let (sjis, _, _) = SHIFT_JIS.encode(sentence);
        for (mut bytes, name) in [
            (sjis.into_owned(), "cp932-damaged"),
            (EUC_JP.encode(sentence).0.into_owned(), "euc-jp-damaged"),
            (sentence.as_bytes().to_vec(), "utf-8-damaged"),
        ] {
            // Cut within the last character, as a sender with a short buffer does.
            bytes.pop();
            let (text, said) = read_as(&bytes);
            assert_eq!(said, name);
            assert!(text.contains("ファイル 経理/予算.xlsx を削除: 佐"), "{text}");
            assert!(text.ends_with('\u{FFFD}'), "{text}");
        }
        assert_eq!(read_as(b"a\xFFb"), ("a\u{FFFD}b".into(), "utf-8-damaged".into()));
        // A file name in CP932 within a line in UTF-8: the line stays readable.
        let mixed = [sentence.as_bytes(), b" \x93\x63\x92\x86"].concat();
        let (text, said) = read_as(&mixed);
        assert!(text.starts_with(sentence) && said == "utf-8-damaged", "{text} {said}");
    }

    #[test]
    fn what_only_looks_like_another_encoding_stays_utf8() {
        for plain in [
            "abc\0",
            "a\0b",
            "\x1b[31mred\x1b(B\x1b[m",
            "Oct 11 10:00:00 fs01 sshd[1]: ends with NUL\0",
            "price: $B (I",
            "café, naïve, 100 €",
            "",
            "\0\0",
        ] {
            assert_eq!(read_as(plain.as_bytes()), (plain.to_owned(), "none".to_owned()));
        }
    }

    #[test]
    fn a_fixed_encoding_is_not_guessed() {
        // Four half-width katakana, which are two kanji in EUC-JP.
        let bytes = b"\xB1\xB8\xBE\xBD";
        let read = |label: &str| {
            let (text, note) = decode(bytes, Some(label.parse().unwrap()));
            (text.into_owned(), note.map(|note| note.text().into_owned()))
        };
        assert_eq!(read("cp932"), ("ｱｸｾｽ".into(), Some("cp932".into())));
        assert_eq!(read("euc-jp").0.chars().count(), 2);
        assert_eq!(decode(b"plain", Some("Shift_JIS".parse().unwrap())), ("plain".into(), None));
        assert_eq!(decode(b"caf\xE9", Some("windows-1252".parse().unwrap())).0, "café");
        let le = utf16("\u{FEFF}あいう", u16::to_le_bytes);
        assert_eq!(decode(&le, Some(TextEncoding::UTF_16_LE)).0, "あいう");
        assert_eq!(decode(&le[2..], Some(TextEncoding::UTF_16_LE)).0, "あいう");
        assert!("utf-17".parse::<TextEncoding>().unwrap_err().en().contains("cp932"));
        assert!("replacement".parse::<TextEncoding>().is_err());
    }

    proptest! {
        #[test]
        fn never_panics_and_keeps_ascii(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let (text, _) = decode(&bytes, None);
            for encoding in ["cp932", "euc-jp", "iso-2022-jp", "utf-16le", "utf-16be", "big5"] {
                let _ = decode(&bytes, Some(encoding.parse().unwrap()));
            }
            if bytes.is_ascii() && !bytes.contains(&ESCAPE) && !bytes.contains(&0) {
                prop_assert_eq!(text.as_bytes(), &bytes[..]);
            }
        }

        #[test]
        fn japanese_text_reads_back(text in "[ぁ-んァ-ヶ亜一右雨円王音下火花貝学気九休玉金空月犬見五口校左三山子四糸字耳七車手十出女小上森人水正生青夕石赤千川先早草足村大男竹中虫町天田土二日入年白八百文木本名目立力林六]{6,30} [a-z0-9:]{0,12}") {
            for (encoding, name) in [(SHIFT_JIS, "cp932"), (EUC_JP, "euc-jp"), (ISO_2022_JP, "iso-2022-jp")] {
                let (bytes, _, unmappable) = encoding.encode(&text);
                prop_assume!(!unmappable);
                prop_assert_eq!(read_as(&bytes), (text.clone(), name.to_owned()));
            }
        }
    }
}
