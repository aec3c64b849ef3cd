//! Who says how long logs are to be kept: `content/retention.toml`.

use crate::NodeError;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use yagura_event::Lang;

const TEXT: &str = include_str!("../../../../content/retention.toml");

/// Somebody who says how long logs are to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// What a policy names it by, such as `pci-dss`.
    pub id: String,
    /// In English.
    pub name_en: String,
    /// In Japanese.
    pub name_ja: String,
    /// The document, in English.
    pub source_en: String,
    /// The document, in Japanese.
    pub source_ja: String,
    /// Days that logs are to be kept at least; `None` where it names no figure.
    #[serde(default)]
    pub minimum_days: Option<u32>,
    /// Days of it that must be at hand without restoring anything; `None` where it names no figure.
    #[serde(default)]
    pub immediate_days: Option<u32>,
    /// What it says, in English.
    pub note_en: String,
    /// What it says, in Japanese.
    pub note_ja: String,
}

impl Authority {
    /// Its name in `lang`.
    pub fn name(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.name_en,
            Lang::Ja => &self.name_ja,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    authority: Vec<Authority>,
}

static AUTHORITIES: LazyLock<Result<Vec<Authority>, String>> = LazyLock::new(|| {
    toml::from_str::<File>(TEXT).map(|file| file.authority).map_err(|error| error.to_string())
});

/// Those that are shipped, in the order in which they are listed.
///
/// # Errors
/// When the embedded file is wrong, which a test holds it is not.
pub fn authorities() -> Result<&'static [Authority], NodeError> {
    match &*AUTHORITIES {
        Ok(list) => Ok(list),
        Err(error) => Err(NodeError::Content(format!("retention.toml: {error}"))),
    }
}

/// The one with this id.
pub(crate) fn authority(id: &str) -> Option<&'static Authority> {
    authorities().ok()?.iter().find(|authority| authority.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_authority_is_whole_and_speaks_both_languages() {
        let list = authorities().unwrap();
        let figures: Vec<_> = list
            .iter()
            .map(|one| (one.id.as_str(), one.minimum_days, one.immediate_days))
            .collect();
        assert_eq!(
            figures,
            [
                ("nisc", Some(365), None),
                ("jpcert", Some(365), None),
                ("ipa", Some(365), None),
                ("pci-dss", Some(365), Some(92)),
                ("nis2", None, None),
                ("m-21-31", Some(913), Some(365)),
                ("discovery-18m", Some(548), None),
            ]
        );
        for one in list {
            for text in [&one.name_en, &one.source_en, &one.note_en] {
                assert!(text.is_ascii() && !text.is_empty(), "{}: {text}", one.id);
            }
            for text in [&one.source_ja, &one.note_ja] {
                assert!(!text.is_ascii(), "{}: {text}", one.id);
            }
            assert!(one.immediate_days <= one.minimum_days, "{}", one.id);
        }
    }
}
