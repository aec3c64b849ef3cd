//! How text is compared: without regard to case, by Unicode's simple lowercase.
//!
//! Each character becomes its lowercase when that is a single character, and stays as it is when
//! it is not (`İ`); `ſ` becomes `s`, so that no two ASCII letters are ever equal to a regular
//! expression's eye and different to ours. One character stays one character, therefore a match
//! of the folded text has the same place and the same number of characters as in the original.

use std::borrow::Cow;

/// The folded form of `c`.
pub(crate) fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    if c == 'ſ' {
        return 's';
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// The folded form of `text`; borrows when there is nothing to change.
pub(crate) fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(text.to_ascii_lowercase()),
            false => Cow::Borrowed(text),
        };
    }
    if text.chars().all(|c| fold_char(c) == c) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(fold_char).collect())
}

/// The folded form of `text`, in `buffer` if it differs.
pub(crate) fn fold_into<'a>(text: &'a str, buffer: &'a mut String) -> &'a str {
    if text.is_ascii() {
        if !text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return text;
        }
        buffer.clear();
        buffer.push_str(text);
        buffer.make_ascii_lowercase();
        return buffer;
    }
    buffer.clear();
    buffer.extend(text.chars().map(fold_char));
    buffer
}

/// `text` cut to at most `chars_max` characters, with `…` where something was cut.
pub(crate) fn shorten(text: &str, chars_max: usize) -> String {
    match end_of(text, chars_max) {
        None => text.to_owned(),
        Some(end) => format!("{}…", &text[..end]),
    }
}

/// The same of a text that is not needed otherwise.
pub(crate) fn shortened(mut text: String, chars_max: usize) -> String {
    if let Some(end) = end_of(&text, chars_max) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Where the first `chars_max` characters end, if that is not the end.
fn end_of(text: &str, chars_max: usize) -> Option<usize> {
    // No character has less than a byte.
    if text.len() <= chars_max {
        return None;
    }
    text.char_indices().nth(chars_max).map(|(end, _)| end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_keeps_the_number_of_characters() {
        for (text, folded) in [
            ("C:\\Windows\\CMD.exe", "c:\\windows\\cmd.exe"),
            ("ÀÉÎ ΣΑΣ Кит", "àéî σασ кит"),
            ("ＡＢＣ 東京", "ａｂｃ 東京"),
            ("İ\u{212A}ſ", "İks"),
            ("", ""),
        ] {
            assert_eq!(fold(text), folded);
            let mut buffer = String::from("old");
            assert_eq!(fold_into(text, &mut buffer), folded);
            assert_eq!(fold(text).chars().count(), text.chars().count());
        }
        assert!(matches!(fold("already lower"), Cow::Borrowed(_)));
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shorten("東京都", 3), "東京都");
        assert_eq!(shorten("東京都", 2), "東京…");
        assert_eq!(shortened("東京都".to_owned(), 3), "東京都");
        assert_eq!(shortened("東京都".to_owned(), 2), "東京…");
        assert_eq!((shorten("abc", 3), shorten("abcd", 3)), ("abc".to_owned(), "abc…".to_owned()));
    }
}
