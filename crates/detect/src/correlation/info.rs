//! What people need to know of a correlation.

use crate::rule::{RuleInfo, custom_of, digest_of_parsed, hex, related_of, status_of};
use rsigma_parser::CorrelationRule;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use yagura_event::Level;

impl RuleInfo {
    pub(crate) fn of_correlation(
        rule: &CorrelationRule,
        path: &Arc<str>,
        level: Level,
    ) -> RuleInfo {
        let ours = |key: &str| rule.custom_attributes.get("x-yagura")?.get(key);
        let text = |key: &str| Some(ours(key)?.as_str()?.trim().to_owned());
        let list = |key: &str| -> Vec<String> {
            let value = ours(key);
            let items = value.and_then(|list| list.as_sequence()).into_iter().flatten();
            let one = value.into_iter().filter(|value| value.as_str().is_some());
            let all = items.chain(one).filter_map(|item| item.as_str());
            all.map(|item| item.trim().to_owned()).collect()
        };
        RuleInfo {
            id: rule.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| id_of(rule)),
            title: rule.title.clone(),
            title_ja: text("title_ja"),
            phase: text("phase"),
            level,
            author: rule.author.clone(),
            license: rule.license.clone(),
            tags: rule.tags.clone(),
            description: rule.description.clone(),
            description_ja: text("description_ja"),
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
            digest: digest_of_parsed(rule),
            alerts: true,
        }
    }
}

/// A UUID (RFC 9562 version 8) that stays the same as long as title and rules do.
fn id_of(rule: &CorrelationRule) -> String {
    let mut hash = Sha256::new();
    hash.update(rule.title.as_bytes());
    hash.update([0]);
    hash.update(rule.correlation_type.as_str().as_bytes());
    for name in &rule.rules {
        hash.update([0]);
        hash.update(name.as_bytes());
    }
    let mut bytes = [0u8; 16];
    bytes.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    if let Some(version) = bytes.get_mut(6) {
        *version = 0x80 | (*version & 0x0f);
    }
    if let Some(variant) = bytes.get_mut(8) {
        *variant = 0x80 | (*variant & 0x3f);
    }
    let digits = hex(&bytes);
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}
