//! Errors in the language of the person: everything of ours is said in it, and what others say (a
//! parser, an HTTP client) is quoted.

use crate::Misuse;
use std::error::Error;
use std::io;
use yagura_enrich::EnrichError;
use yagura_event::{Lang, Words};
use yagura_intake::SinkError;
use yagura_journal::JournalError;
use yagura_node::NodeError;
use yagura_normalize::NormalizeError;
use yagura_rulebook::RulebookError;
use yagura_scan::ScanError;

/// An error and its causes as one text.
pub fn error(error: &anyhow::Error, lang: Lang) -> String {
    let is_told = error.is::<Misuse>() || error.is::<Told>();
    if lang == Lang::En || is_told {
        return format!("{error:#}");
    }
    let mut said = Vec::new();
    for cause in error.chain() {
        if let Some(text) = in_japanese(cause) {
            // It speaks for its own causes, too.
            said.push(text);
            break;
        }
        said.push(cause.to_string());
    }
    let said = said.join(": ");
    match said.chars().any(is_japanese) {
        true => said,
        false => format!("処理できませんでした（{said}）"),
    }
}

/// The same error as one text, for a language other than that in which errors are told in the end.
/// Misuse stays misuse.
pub fn in_lang(error: anyhow::Error, lang: Lang) -> anyhow::Error {
    let text = self::error(&error, lang);
    match error.is::<Misuse>() {
        true => Misuse(text).into(),
        false => Told(text).into(),
    }
}

/// An error that is in words for the person already.
#[derive(Debug)]
struct Told(String);

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Told {}

/// What the system says.
pub fn system(error: &io::Error, lang: Lang) -> String {
    Words::from(error).text(lang).to_owned()
}

/// One of two texts.
pub fn either(lang: Lang, en: impl Into<String>, ja: impl Into<String>) -> String {
    match lang {
        Lang::En => en.into(),
        Lang::Ja => ja.into(),
    }
}

/// What the user asked for cannot be right.
pub fn misuse(lang: Lang, en: impl Into<String>, ja: impl Into<String>) -> Misuse {
    Misuse(either(lang, en, ja))
}

fn in_japanese(cause: &(dyn Error + 'static)) -> Option<String> {
    fn of<'a, E: Error + 'static>(cause: &'a (dyn Error + 'static)) -> Option<&'a E> {
        cause.downcast_ref()
    }
    let words = None
        .or_else(|| of::<Words>(cause).cloned())
        .or_else(|| of::<NodeError>(cause).map(NodeError::words))
        .or_else(|| of::<JournalError>(cause).map(JournalError::words))
        .or_else(|| of::<NormalizeError>(cause).map(NormalizeError::words))
        .or_else(|| of::<RulebookError>(cause).map(RulebookError::words))
        .or_else(|| of::<ScanError>(cause).map(ScanError::words))
        .or_else(|| of::<yagura_desk::WebhookError>(cause).map(yagura_desk::WebhookError::words))
        .or_else(|| of::<io::Error>(cause).map(Words::from));
    if let Some(words) = words {
        return Some(words.ja().to_owned());
    }
    if let Some(error) = of::<EnrichError>(cause) {
        return Some(error.text(Lang::Ja));
    }
    if let Some(error) = of::<SinkError>(cause) {
        return Some(error.text(Lang::Ja));
    }
    of::<reqwest::Error>(cause).map(of_request)
}

/// What the system said, if it was the system; or else the client's own words.
fn of_request(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(one) = cause {
        if let Some(system) = one.downcast_ref::<io::Error>() {
            return self::system(system, Lang::Ja);
        }
        cause = one.source();
    }
    match error.is_timeout() {
        true => "時間内に応答がありませんでした".to_owned(),
        false => format!("通信エラー（{error}）"),
    }
}

/// Kana, kanji and their punctuation.
fn is_japanese(c: char) -> bool {
    matches!(c, '\u{3001}'..='\u{30FF}' | '\u{4E00}'..='\u{9FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn what_we_know_is_said_in_japanese_and_the_rest_is_quoted() {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let told = |error: anyhow::Error| super::error(&error, Lang::Ja);
        assert_eq!(
            told(Err::<(), _>(missing()).context("a.txt を読めません").unwrap_err()),
            "a.txt を読めません: ファイルまたはディレクトリがありません"
        );
        assert_eq!(told(anyhow::anyhow!("no idea")), "処理できませんでした（no idea）");
        let locked = JournalError::Locked { path: "/d/lock".into(), holder: Some(7) };
        let text = told(NodeError::from(locked.clone()).into());
        assert!(text.contains("別のプロセス（pid 7）が使っています"), "{text}");
        assert_eq!(super::error(&locked.clone().into(), Lang::En), locked.to_string());
    }

    #[test]
    fn an_error_told_already_keeps_its_exit_code() {
        let misuse = in_lang(Misuse("--x は使えません".to_owned()).into(), Lang::Ja);
        assert!(misuse.is::<Misuse>());
        assert_eq!(misuse.to_string(), "--x は使えません");
        let told = in_lang(anyhow::anyhow!("no idea"), Lang::En);
        assert_eq!(super::error(&told, Lang::Ja), "no idea", "the server speaks English");
    }
}
