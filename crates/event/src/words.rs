use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::str::FromStr;

/// Language of sentences, labels and messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// Japanese.
    Ja,
    /// English.
    #[default]
    En,
}

impl Lang {
    /// The BCP 47 tag.
    pub fn as_str(self) -> &'static str {
        match self {
            Lang::Ja => "ja",
            Lang::En => "en",
        }
    }
}

impl FromStr for Lang {
    type Err = Words;

    fn from_str(tag: &str) -> Result<Self, Words> {
        match tag.split(['-', '_', '.']).next().unwrap_or_default() {
            "ja" => Ok(Lang::Ja),
            "en" => Ok(Lang::En),
            _ => Err(Words::new(
                format!("unknown language {tag:?}: use ja or en"),
                format!("{tag:?} という言語はありません。ja か en を指定してください"),
            )),
        }
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Severity of a rule or an alert: Sigma 2.1 `level`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Context only; raises no alert by default.
    #[default]
    Informational,
    /// Rarely worth a look alone.
    Low,
    /// Should be reviewed.
    Medium,
    /// Should be reviewed soon.
    High,
    /// Needs attention now.
    Critical,
}

impl Level {
    /// The Sigma word.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Informational => "informational",
            Level::Low => "low",
            Level::Medium => "medium",
            Level::High => "high",
            Level::Critical => "critical",
        }
    }

    /// The word a person reads, in `lang`.
    pub fn label(self, lang: Lang) -> &'static str {
        match (lang, self) {
            (Lang::En, level) => level.as_str(),
            (Lang::Ja, Level::Informational) => "情報",
            (Lang::Ja, Level::Low) => "低",
            (Lang::Ja, Level::Medium) => "中",
            (Lang::Ja, Level::High) => "高",
            (Lang::Ja, Level::Critical) => "重大",
        }
    }
}

impl FromStr for Level {
    type Err = Words;

    fn from_str(word: &str) -> Result<Self, Words> {
        Ok(match word {
            "informational" => Level::Informational,
            "low" => Level::Low,
            "medium" => Level::Medium,
            "high" => Level::High,
            "critical" => Level::Critical,
            _ => {
                return Err(Words::new(
                    format!(
                        "unknown level {word:?}: use informational, low, medium, high or critical"
                    ),
                    "informational、low、medium、high、critical のどれかを指定してください",
                ));
            }
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something said to a person, in both languages. Its [`Display`](fmt::Display) and its JSON are
/// English.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    en: String,
    ja: String,
}

impl Words {
    /// The same in English and in Japanese.
    pub fn new(en: impl Into<String>, ja: impl Into<String>) -> Words {
        Words { en: en.into(), ja: ja.into() }
    }

    /// The words of somebody else, such as a parser's, which are the same for everyone.
    pub fn quoted(text: impl Into<String>) -> Words {
        let text = text.into();
        Words { ja: text.clone(), en: text }
    }

    /// In English.
    pub fn en(&self) -> &str {
        &self.en
    }

    /// In Japanese.
    pub fn ja(&self) -> &str {
        &self.ja
    }

    /// In `lang`.
    pub fn text(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.en,
            Lang::Ja => &self.ja,
        }
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en)
    }
}

impl std::error::Error for Words {}

impl Serialize for Words {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.en)
    }
}

/// What the system says; in English its own words.
impl From<&io::Error> for Words {
    fn from(error: &io::Error) -> Words {
        let en = error.to_string();
        let ja = match (in_japanese(error.kind()), error.raw_os_error()) {
            (Some(words), Some(code)) => format!("{words}（os error {code}）"),
            // Whoever made it said more than its kind.
            (_, None) if error.get_ref().is_some() => en.clone(),
            (Some(words), None) => words.to_owned(),
            (None, _) => en.clone(),
        };
        Words { en, ja }
    }
}

impl From<io::Error> for Words {
    fn from(error: io::Error) -> Words {
        Words::from(&error)
    }
}

fn in_japanese(kind: io::ErrorKind) -> Option<&'static str> {
    use io::ErrorKind::*;
    Some(match kind {
        NotFound => "ファイルまたはディレクトリがありません",
        PermissionDenied => "アクセス権がありません",
        IsADirectory => "ファイルではなくディレクトリです",
        NotADirectory => "ディレクトリではありません",
        DirectoryNotEmpty => "ディレクトリが空ではありません",
        AlreadyExists => "すでに存在します",
        StorageFull | QuotaExceeded => "ディスクに空きがありません",
        ReadOnlyFilesystem => "読み取り専用のファイルシステムです",
        FileTooLarge => "ファイルが大きすぎます",
        InvalidFilename => "名前が長すぎるか、使えない文字があります",
        UnexpectedEof => "途中で終わっています",
        InvalidData => "UTF-8の文字列ではないか、内容が壊れています",
        AddrInUse => "そのアドレスはすでに使われています",
        AddrNotAvailable => "このマシンにないアドレスです",
        ConnectionRefused => "接続を拒否されました",
        ConnectionReset | ConnectionAborted | BrokenPipe => "接続が切れました",
        HostUnreachable | NetworkUnreachable => "相手に届きません",
        TimedOut => "時間内に応答がありませんでした",
        OutOfMemory => "メモリが足りません",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_said_in_both_languages() {
        let missing = Words::from(io::Error::from_raw_os_error(2));
        assert_eq!(missing.en(), "No such file or directory (os error 2)");
        assert_eq!(missing.text(Lang::Ja), "ファイルまたはディレクトリがありません（os error 2）");
        let bare = Words::from(io::Error::from(io::ErrorKind::TimedOut));
        assert_eq!(bare.ja(), "時間内に応答がありませんでした");
        let said = Words::from(io::Error::new(io::ErrorKind::InvalidData, "a header is too long"));
        assert_eq!((said.en(), said.ja()), ("a header is too long", "a header is too long"));
    }
}
