use std::fmt;
use yagura_event::Lang;

/// Something said in both languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// In English.
    pub en: String,
    /// In Japanese.
    pub ja: String,
}

impl Said {
    pub(crate) fn new(en: impl Into<String>, ja: impl Into<String>) -> Said {
        Said { en: en.into(), ja: ja.into() }
    }

    /// The words in `lang`.
    pub fn text(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.en,
            Lang::Ja => &self.ja,
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en)
    }
}

impl From<crate::ValueError> for Said {
    fn from(error: crate::ValueError) -> Said {
        Said { en: error.to_string(), ja: error.ja() }
    }
}

impl From<crate::MatcherError> for Said {
    fn from(error: crate::MatcherError) -> Said {
        use crate::MatcherError::{Patterns, TooLarge, TooMany};
        use crate::limits::{INDICATOR_BYTES_MAX, INDICATORS_MAX, PATTERNS_MAX};
        let ja = match error {
            TooMany => format!("侵害指標は{INDICATORS_MAX}件までです。古いものを削除してください"),
            TooLarge => format!(
                "侵害指標に必要なメモリが{INDICATOR_BYTES_MAX}バイトを超えます。古いものを削除してください"
            ),
            Patterns => {
                format!("ワイルドカードと正規表現は{PATTERNS_MAX}件までです（または大きすぎます）")
            }
        };
        Said { en: error.to_string(), ja }
    }
}
