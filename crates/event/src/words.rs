use serde::{Deserialize, Serialize};
use std::fmt;
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
    type Err = String;

    fn from_str(tag: &str) -> Result<Self, String> {
        match tag.split(['-', '_', '.']).next().unwrap_or_default() {
            "ja" => Ok(Lang::Ja),
            "en" => Ok(Lang::En),
            _ => Err(format!("unknown language {tag:?}: use ja or en")),
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
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Ok(match word {
            "informational" => Level::Informational,
            "low" => Level::Low,
            "medium" => Level::Medium,
            "high" => Level::High,
            "critical" => Level::Critical,
            _ => {
                return Err(format!(
                    "unknown level {word:?}: use informational, low, medium, high or critical"
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
