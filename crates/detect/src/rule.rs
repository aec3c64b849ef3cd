use crate::filter::FilterRef;
use rsigma_parser::{Related, RelationType, SigmaRule, Status};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use yagura_event::Level;

/// What people need to know of a rule: travels with each match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RuleInfo {
    /// The rule's UUID; for a rule without one, made from its title and condition.
    pub id: String,
    /// Title as its author wrote it.
    pub title: String,
    /// Japanese title: `x-yagura.title_ja` of the rule.
    pub title_ja: Option<String>,
    /// Severity; [`Level::Medium`] where the rule names none.
    pub level: Level,
    /// Author, as the rule's licence may require to be named.
    pub author: Option<String>,
    /// Licence, where the rule names one.
    pub license: Option<String>,
    /// Tags such as `attack.t1059.001`.
    pub tags: Vec<String>,
    /// Description, in the author's words.
    pub description: Option<String>,
    /// Japanese description: `x-yagura.description_ja` of the rule.
    pub description_ja: Option<String>,
    /// The file it was read from, as given in [`crate::RuleFile`].
    pub path: Arc<str>,
    /// Maturity.
    pub status: Option<RuleStatus>,
    /// Known causes of false alarms, in the author's words.
    pub falsepositives: Vec<String>,
    /// The same in Japanese: `x-yagura.falsepositives_ja` of the rule.
    pub falsepositives_ja: Vec<String>,
    /// What to look at next when it fires: `x-yagura.check` of the rule.
    pub check: Vec<String>,
    /// The same in Japanese: `x-yagura.check_ja` of the rule.
    pub check_ja: Vec<String>,
    /// Where to read more.
    pub references: Vec<String>,
    /// Phase of the attack, such as `initial-access`: `x-yagura.phase` of the rule.
    pub phase: Option<String>,
    /// Name by which filters and correlations may speak of it.
    pub name: Option<String>,
    /// Rules it was made from, replaces or resembles.
    pub related: Vec<RelatedRule>,
    /// Attributes that Sigma does not define, other than `x-yagura`.
    pub custom: BTreeMap<String, serde_json::Value>,
    /// Filters that lie over it.
    pub filters: Vec<Arc<FilterRef>>,
    /// SHA-256 of the rule as written, lower-case hexadecimal: of its file, or, where that holds
    /// several documents, of what was read of this one.
    pub digest: String,
    /// Whether its matches are alerts by themselves. A rule that stands in one file with the
    /// correlation it serves only feeds that.
    pub alerts: bool,
}

/// A rule that another names as related: Sigma 2.1 `related`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RelatedRule {
    /// Id of the other rule.
    pub id: String,
    /// `derived`, `obsolete`, `merged`, `renamed`, `similar` or `correlation`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// Maturity of a rule: Sigma 2.1 `status`. Rules that are `unsupported` are never loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleStatus {
    /// Used for long without obvious false alarms.
    Stable,
    /// Tried by its author.
    Test,
    /// New.
    Experimental,
    /// Replaced or covered by another rule; still used here.
    Deprecated,
}

impl RuleInfo {
    pub(crate) fn new(rule: &SigmaRule, path: &Arc<str>) -> RuleInfo {
        let ours = |key: &str| {
            let ours = rule.custom_attributes.get("x-yagura")?;
            Some(ours.get(key)?.as_str()?.trim().to_owned())
        };
        let list = |key: &str| {
            let ours = rule.custom_attributes.get("x-yagura").and_then(|ours| ours.get(key));
            match (ours.and_then(|list| list.as_sequence()), ours.and_then(|text| text.as_str())) {
                (Some(list), _) => {
                    list.iter().filter_map(|item| Some(item.as_str()?.trim().to_owned())).collect()
                }
                (None, Some(text)) => vec![text.trim().to_owned()],
                (None, None) => Vec::new(),
            }
        };
        RuleInfo {
            id: rule.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| id_of(rule)),
            title: rule.title.clone(),
            title_ja: ours("title_ja"),
            phase: ours("phase"),
            level: rule.level.map_or(Level::Medium, level_of),
            author: rule.author.clone(),
            license: rule.license.clone(),
            tags: rule.tags.clone(),
            description: rule.description.clone(),
            description_ja: ours("description_ja"),
            path: path.clone(),
            status: rule.status.and_then(status_of),
            falsepositives: rule.falsepositives.clone(),
            falsepositives_ja: list("falsepositives_ja"),
            check: list("check"),
            check_ja: list("check_ja"),
            references: rule.references.clone(),
            name: rule.name.clone(),
            related: related_of(&rule.related),
            custom: custom_of(&rule.custom_attributes),
            filters: Vec::new(),
            digest: String::new(),
            alerts: true,
        }
    }

    /// The title in `lang`, in the author's language where there is no translation.
    pub fn title_in(&self, lang: yagura_event::Lang) -> &str {
        match (lang, &self.title_ja) {
            (yagura_event::Lang::Ja, Some(title)) => title,
            _ => &self.title,
        }
    }
}

pub(crate) fn related_of(related: &[Related]) -> Vec<RelatedRule> {
    let kind = |kind| match kind {
        RelationType::Correlation => "correlation",
        RelationType::Derived => "derived",
        RelationType::Obsolete => "obsolete",
        RelationType::Merged => "merged",
        RelationType::Renamed => "renamed",
        RelationType::Similar => "similar",
    };
    let one =
        |other: &Related| RelatedRule { id: other.id.clone(), kind: kind(other.relation_type) };
    related.iter().map(one).collect()
}

/// What JSON cannot hold (keys that are no text) is left out.
pub(crate) fn custom_of(
    attributes: &HashMap<String, yaml_serde::Value>,
) -> BTreeMap<String, serde_json::Value> {
    let ours = attributes.iter().filter(|(name, _)| *name != "x-yagura");
    let json = |value| serde_json::to_value(value).ok();
    ours.filter_map(|(name, value)| Some((name.clone(), json(value)?))).collect()
}

/// Digest of a whole file.
pub(crate) fn digest_of_text(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Digest of what was read of one document among several.
pub(crate) fn digest_of_parsed(document: &impl Serialize) -> String {
    let mut text = String::new();
    write_sorted(&serde_json::to_value(document).unwrap_or_default(), &mut text);
    hex(&Sha256::digest(text.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// JSON with sorted keys: the parser's maps come in no order. Nesting is that of a rule's YAML,
/// which the parser has bounded.
fn write_sorted(value: &serde_json::Value, text: &mut String) {
    match value {
        serde_json::Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            text.push('{');
            for (key, value) in sorted {
                text.push_str(&serde_json::Value::from(key.as_str()).to_string());
                text.push(':');
                write_sorted(value, text);
                text.push(',');
            }
            text.push('}');
        }
        serde_json::Value::Array(list) => {
            text.push('[');
            for value in list {
                write_sorted(value, text);
                text.push(',');
            }
            text.push(']');
        }
        single => text.push_str(&single.to_string()),
    }
}

pub(crate) fn level_of(level: rsigma_parser::Level) -> Level {
    use rsigma_parser::Level as Parsed;
    match level {
        Parsed::Informational => Level::Informational,
        Parsed::Low => Level::Low,
        Parsed::Medium => Level::Medium,
        Parsed::High => Level::High,
        Parsed::Critical => Level::Critical,
    }
}

pub(crate) fn status_of(status: Status) -> Option<RuleStatus> {
    match status {
        Status::Stable => Some(RuleStatus::Stable),
        Status::Test => Some(RuleStatus::Test),
        Status::Experimental => Some(RuleStatus::Experimental),
        Status::Deprecated => Some(RuleStatus::Deprecated),
        Status::Unsupported => None,
    }
}

/// A UUID (RFC 9562 version 8) that stays the same as long as title and condition do.
fn id_of(rule: &SigmaRule) -> String {
    let mut hash = Sha256::new();
    hash.update(rule.title.as_bytes());
    for condition in &rule.detection.condition_strings {
        hash.update([0]);
        hash.update(condition.as_bytes());
    }
    let hash = hash.finalize();
    let mut hex: Vec<char> = hash[..16]
        .iter()
        .flat_map(|byte| format!("{byte:02x}").chars().collect::<Vec<_>>())
        .collect();
    hex[12] = '8';
    hex[16] = ['8', '9', 'a', 'b'][usize::from(hash[8] >> 6)];
    let text: String = hex.into_iter().collect();
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}
