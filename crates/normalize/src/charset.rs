//! Which character encoding a record is in. The raw bytes stay as they are; only our view of them
//! is decoded.

use encoding_rs::{EUC_JP, Encoding, SHIFT_JIS, UTF_16BE, UTF_16LE};
use std::borrow::Cow;

/// The text of `bytes` without a byte order mark, and the encoding's name where it is not UTF-8.
///
/// UTF-8 is believed when it is valid; UTF-16 needs its byte order mark; other bytes are CP932 or
/// EUC-JP, whichever reads without error and with fewer half-width katakana (which is what each of
/// the two looks like when read as the other). Bytes that fit nothing are read as UTF-8 with
/// U+FFFD for what is broken.
pub(crate) fn decode(bytes: &[u8]) -> (Cow<'_, str>, Option<&'static str>) {
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => match decode(rest) {
            (text, None) => (text, None),
            _ => (String::from_utf8_lossy(rest), Some("utf-8-damaged")),
        },
        [0xFF, 0xFE, rest @ ..] => utf16(UTF_16LE, rest, "utf-16le"),
        [0xFE, 0xFF, rest @ ..] => utf16(UTF_16BE, rest, "utf-16be"),
        _ => match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => (Cow::Borrowed(text), None),
            Err(_) => legacy(bytes),
        },
    }
}

fn utf16<'a>(
    encoding: &'static Encoding,
    bytes: &'a [u8],
    name: &'static str,
) -> (Cow<'a, str>, Option<&'static str>) {
    (encoding.decode_without_bom_handling(bytes).0, Some(name))
}

fn legacy(bytes: &[u8]) -> (Cow<'_, str>, Option<&'static str>) {
    let cp932 = SHIFT_JIS.decode_without_bom_handling_and_without_replacement(bytes);
    let euc_jp = EUC_JP.decode_without_bom_handling_and_without_replacement(bytes);
    match (cp932, euc_jp) {
        (Some(cp932), Some(euc_jp)) if strangeness(&euc_jp) < strangeness(&cp932) => {
            (euc_jp, Some("euc-jp"))
        }
        (Some(cp932), _) => (cp932, Some("cp932")),
        (None, Some(euc_jp)) => (euc_jp, Some("euc-jp")),
        (None, None) => (String::from_utf8_lossy(bytes), Some("utf-8-damaged")),
    }
}

/// Characters that are rare in Japanese log text.
fn strangeness(text: &str) -> usize {
    let strange = |c: &char| matches!(c, '\u{FF61}'..='\u{FF9F}' | '\u{E000}'..='\u{F8FF}' | '\u{80}'..='\u{2FFF}');
    text.chars().filter(strange).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_japanese_encodings_apart() {
        let sentence = "ユーザー 田中 がログオンに失敗しました。";
        let (cp932, _, _) = SHIFT_JIS.encode(sentence);
        let (euc_jp, _, _) = EUC_JP.encode(sentence);
        let utf16: Vec<u8> = std::iter::once(0xFEFF)
            .chain(sentence.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(decode(sentence.as_bytes()), (sentence.into(), None));
        assert_eq!(decode(format!("\u{FEFF}{sentence}").as_bytes()), (sentence.into(), None));
        assert_eq!(decode(&cp932), (sentence.into(), Some("cp932")));
        assert_eq!(decode(&euc_jp), (sentence.into(), Some("euc-jp")));
        assert_eq!(decode(&utf16), (sentence.into(), Some("utf-16le")));
        assert_eq!(decode(b"a\xFFb"), ("a\u{FFFD}b".into(), Some("utf-8-damaged")));
    }
}
