//! What the text of an event is.

use memchr::memmem;
use std::borrow::Cow;
use std::ops::ControlFlow;

/// Hands every text of an event to `look` until it breaks: the raw bytes as UTF-8, the same with
/// JSON's escapes undone, and the message where it is not a part of the raw bytes anyway. Raw JSON
/// with escapes is looked at without them only: `\n` in it is a line break, not an `n`.
pub fn each_text(raw: &[u8], message: Option<&str>, mut look: impl FnMut(&str) -> ControlFlow<()>) {
    let json = matches!(raw.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'['));
    let escaped = memchr::memchr(b'\\', raw).is_some();
    if !(json && escaped) && look(&text_of(raw)).is_break() {
        return;
    }
    if escaped && look(&text_of(&unescape(raw))).is_break() {
        return;
    }
    if let Some(message) = message
        && !contains(raw, message.as_bytes())
    {
        let _ = look(message);
    }
}

/// Whether `part` stands in `text`. To make a searcher for all of a long part costs more than to
/// search for its beginning, and what follows that is nearly always the part or something else at once.
pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    let Some(beginning) = part.get(..BEGINNING_BYTES) else {
        return memmem::find(text, part).is_some();
    };
    let beginning = memmem::Finder::new(beginning);
    let mut rest = text;
    for _ in 0..BEGINNINGS_MAX {
        let Some(at) = beginning.find(rest) else { return false };
        rest = rest.get(at..).unwrap_or_default();
        if rest.starts_with(part) {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    memmem::find(rest, part).is_some()
}

/// Bytes of a long part that are looked for first.
const BEGINNING_BYTES: usize = 32;

/// How often they may stand there without the rest before all of the part is looked for.
const BEGINNINGS_MAX: usize = 8;

/// Bytes as text. The quick check first: nearly all are UTF-8.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// The text with JSON's escapes (RFC 8259 section 7) undone; what is no escape stays.
fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', raw) else { return Cow::Borrowed(raw) };
    let mut plain = raw[..first].to_vec();
    let mut rest = &raw[first..];
    while let [b'\\', escape, tail @ ..] = rest {
        let simple = match escape {
            b'"' | b'\\' | b'/' => Some(*escape),
            b'n' => Some(b'\n'),
            b't' => Some(b'\t'),
            b'r' => Some(b'\r'),
            b'b' => Some(8),
            b'f' => Some(12),
            _ => None,
        };
        rest = tail;
        match (simple, *escape == b'u', code_unit(tail)) {
            (Some(byte), ..) => plain.push(byte),
            (None, true, Some(unit)) => {
                rest = &tail[4..];
                let pair = match rest {
                    [b'\\', b'u', low @ ..] => code_unit(low),
                    _ => None,
                };
                let text = match pair {
                    Some(low) => char::decode_utf16([unit, low]).collect::<Vec<_>>(),
                    None => char::decode_utf16([unit]).collect(),
                };
                match text.as_slice() {
                    [Ok(c)] => {
                        plain.extend(c.encode_utf8(&mut [0; 4]).bytes());
                        if pair.is_some() {
                            rest = &rest[6..];
                        }
                    }
                    [first, ..] => {
                        let c = first.as_ref().copied().unwrap_or(char::REPLACEMENT_CHARACTER);
                        plain.extend(c.encode_utf8(&mut [0; 4]).bytes());
                    }
                    [] => {}
                }
            }
            _ => plain.extend([b'\\', *escape]),
        }
        let next = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
        plain.extend_from_slice(&rest[..next]);
        rest = &rest[next..];
    }
    plain.extend_from_slice(rest);
    Cow::Owned(plain)
}

fn code_unit(digits: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(digits.get(..4)?).ok()?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(raw: &[u8], message: Option<&str>) -> Vec<String> {
        let mut texts = Vec::new();
        each_text(raw, message, |text| {
            texts.push(text.to_owned());
            ControlFlow::Continue(())
        });
        texts
    }

    #[test]
    fn escapes_are_undone_and_messages_are_not_looked_at_twice() {
        assert_eq!(texts(b"sshd: failed", Some("failed")), ["sshd: failed"]);
        assert_eq!(texts(b"\x83T", Some("down")), ["\u{fffd}T", "down"]);
        let json = br#"{"m":"a\n\u9375 \ud842\udfb7 \ud800"}"#;
        assert_eq!(texts(json, None), ["{\"m\":\"a\n鍵 𠮷 \u{fffd}\"}"]);
        assert_eq!(texts(b"opened C:\\new", None), ["opened C:\\new", "opened C:\new"]);
    }

    #[test]
    fn a_long_part_is_found_behind_any_number_of_its_beginnings() {
        let part = [vec![b'a'; BEGINNING_BYTES], b"end".to_vec()].concat();
        for beginnings in [0, 1, BEGINNINGS_MAX - 1, BEGINNINGS_MAX, BEGINNINGS_MAX + 1] {
            let apart = [vec![b'a'; BEGINNING_BYTES], b"-".to_vec()].concat().repeat(beginnings);
            assert!(contains(&[apart.clone(), part.clone(), b"b".to_vec()].concat(), &part));
            assert!(!contains(&[apart, part[..part.len() - 1].to_vec()].concat(), &part));
        }
    }

    proptest! {
        #[test]
        fn a_part_is_found_where_it_is(
            text in prop::collection::vec(0u8..2, 0..200),
            part in prop::collection::vec(0u8..2, 0..80),
            cut in any::<prop::sample::Index>(),
        ) {
            prop_assert_eq!(contains(&text, &part), memmem::find(&text, &part).is_some());
            let inside = &text[cut.index(text.len() + 1)..];
            prop_assert!(contains(&text, inside));
        }

        #[test]
        fn unescaping_never_panics_and_leaves_plain_text(raw in prop::collection::vec(any::<u8>(), 0..64)) {
            let plain = unescape(&raw);
            if !raw.contains(&b'\\') {
                prop_assert_eq!(&*plain, &raw[..]);
            }
        }
    }
}
