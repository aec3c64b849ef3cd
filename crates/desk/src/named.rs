//! Findings of parts that have no Sigma rule, such as indicators of compromise.

use crate::finding::{Guide, RuleCopy};
use yagura_event::Level;

impl RuleCopy {
    /// What an alert says of something that is no rule: its id, titles and level.
    pub fn named(uuid: String, name: String, name_ja: String, level: Level) -> RuleCopy {
        RuleCopy {
            uuid,
            name,
            name_ja: Some(name_ja),
            level,
            tags: Vec::new(),
            author: None,
            license: None,
            phase: None,
            digest: None,
            guide: Guide::default(),
        }
    }
}
