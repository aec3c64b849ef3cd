//! What makes two texts the same for a search.

use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// Folds a text for comparison. Two spellings are the same when their folded forms are:
///
/// * compatibility forms (NFKC): `ＡＤＭＩＮ` and `admin`, `ｻｰﾊﾞ` and `サーバ`, `①` and `1`, `㈱` and
///   `(株)`, half-width dakuten;
/// * upper and lower case;
/// * the wave dashes `〜` `～` `~`; the hyphens and minus signs `−` `－` `‐` `–` `-`; `￥` `¥` and `\`;
/// * a hyphen typed for the long vowel mark after katakana (`サ−バ`), and that mark at the end of a
///   katakana word (`サーバー` and `サーバ`), as Japanese industrial writing drops it;
/// * a few name characters outside JIS X 0208 and their common form: `髙` `﨑` `𠮷` `德` and `塚` (U+FA10).
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Cow::Owned(text.to_ascii_lowercase());
        }
        return Cow::Borrowed(text);
    }
    let mut folded = String::with_capacity(text.len());
    fold_into(text, &mut folded);
    Cow::Owned(folded)
}

/// Appends the folded text, as [`fold`] makes it.
pub fn fold_into(text: &str, folded: &mut String) {
    let mut rest = text;
    // Most of a text that is not all ASCII is.
    while let Some(first) = rest.bytes().position(|byte| !byte.is_ascii()) {
        // The character before may take an accent of the one after it.
        let (plain, from) = rest.split_at(first.saturating_sub(1));
        push_lowercase(plain, folded);
        let (other, after) = from.split_at(length_of_other(from));
        fold_any(other, folded);
        rest = after;
    }
    push_lowercase(rest, folded);
}

fn push_lowercase(ascii: &str, folded: &mut String) {
    let start = folded.len();
    folded.push_str(ascii);
    if let Some(tail) = folded.get_mut(start..) {
        tail.make_ascii_lowercase();
    }
}

/// Bytes until an ASCII character follows which nothing before it can change: it composes with none
/// (Unicode Standard Annex #15), and is no hyphen, which after katakana may be a long vowel mark. The
/// first character counts as one of them.
fn length_of_other(text: &str) -> usize {
    let settles = |byte: &u8| byte.is_ascii() && *byte != b'-';
    text.bytes().skip(1).position(|byte| settles(&byte)).map_or(text.len(), |at| at + 1)
}

/// Appends any text, folded.
fn fold_any(text: &str, folded: &mut String) {
    // A long vowel mark is written only once the next character shows that the word goes on.
    let mut marks = 0usize;
    let mut after_katakana = false;
    for c in text.nfkc().flat_map(char::to_lowercase).map(variant) {
        let mark = c == LONG_VOWEL || (c == '-' && after_katakana);
        if mark && after_katakana {
            marks += 1;
            continue;
        }
        let katakana = matches!(c, '\u{30a1}'..='\u{30fa}');
        if katakana {
            (0..marks).for_each(|_| folded.push(LONG_VOWEL));
        }
        marks = 0;
        after_katakana = katakana;
        folded.push(c);
    }
}

const LONG_VOWEL: char = '\u{30fc}';

fn variant(c: char) -> char {
    match c {
        '\u{301c}' | '\u{223c}' => '~',
        '\u{2212}' | '\u{2010}'..='\u{2015}' | '\u{ff0d}' => '-',
        '\u{a5}' => '\\',
        '\u{9ad9}' => '\u{9ad8}',
        '\u{fa11}' => '\u{5d0e}',
        '\u{fa10}' => '\u{585a}',
        '\u{20bb7}' => '\u{5409}',
        '\u{5fb7}' => '\u{5fb3}',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_word_fold_alike() {
        for same in [
            &["サーバ", "サーバー", "ｻｰﾊﾞ", "ｻｰﾊﾞｰ", "サ−バ", "サ－バー"][..],
            &["Admin", "ＡＤＭＩＮ", "ａｄｍｉｎ"],
            &["10〜20", "10～20", "１０~２０"],
            &["A−B", "A-B", "A－B", "Ａ‐Ｂ"],
            &["C:\\Temp", "C:￥temp", "c:¥TEMP"],
            &["ガギグ", "ｶﾞｷﾞｸﾞ", "カ\u{3099}キ\u{3099}ク\u{3099}"],
            &["髙﨑", "高崎"],
            &["①㈱", "1(株)"],
            &["𠮷野家", "吉野家"],
        ] {
            for other in same {
                assert_eq!(fold(other), fold(same[0]), "{other}");
            }
        }
        for (one, other) in [("ビール", "ビル"), ("はし", "ばし"), ("サーバ", "サバ")]
        {
            assert_ne!(fold(one), fold(other));
        }
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "[ -~ｦ-ﾟァ-ヾー−〜Ａ-ｚ漢字ß𠮷髙]{0,16}") {
            let once = fold(&text).into_owned();
            prop_assert_eq!(fold(&once).into_owned(), once.clone());
        }

        #[test]
        fn ascii_between_other_characters_changes_nothing(
            text in "([ -~]{0,4}|[ｦ-ﾟァ-ヾー−〜ßéㅏ가𠮷髙\u{301}\u{3099}\u{327}-]{1,3}){0,8}",
        ) {
            let mut whole = String::new();
            fold_any(&text, &mut whole);
            prop_assert_eq!(fold(&text).into_owned(), whole);
        }
    }
}
