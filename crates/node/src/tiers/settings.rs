//! What the configuration says of cold stores, and what the audit log remembers of it: a command that only
//! opens the directory reaches every store that was ever configured.

use crate::NodeError;
use crate::audit::Audit;
use crate::{DataDir, retention};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use yagura_event::UtcMicros;
use yagura_lake::ColdSettings;

/// Most days after which files go to a cold store.
pub const TIER_DAYS_MAX: u32 = retention::limits::DAYS_MAX;

/// Days for which a file that was brought back stays, unless somebody asks otherwise.
pub(super) const WARMED_KEPT_DAYS: i64 = 30;

/// Most stores that are remembered.
const STORES_MAX: usize = 64;

pub(super) const CONFIGURED: &str = "lake.cold-configured";
pub(super) const COOLED: &str = "lake.cooled";
pub(super) const WARMED: &str = "lake.warmed";

/// `[lake.cold]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierOptions {
    /// The store that files go to.
    pub store: ColdSettings,
    /// Days after which what was received goes there, where its policy does not keep it longer.
    pub after_days: u32,
    /// Time between two looks for what is due; `None` where it is only on request.
    pub every: Option<Duration>,
}

impl TierOptions {
    /// Refuses what cannot be, without asking the store.
    ///
    /// # Errors
    /// The first fault, in both languages.
    pub fn check(&self) -> Result<(), NodeError> {
        self.store.check()?;
        if (1..=TIER_DAYS_MAX).contains(&self.after_days) {
            return Ok(());
        }
        let days = self.after_days;
        Err(NodeError::request(
            format!("lake.cold.after_days: {days} is out of range (1 to {TIER_DAYS_MAX})"),
            format!("lake.cold.after_days: {days} は範囲外です（1～{TIER_DAYS_MAX}）"),
        ))
    }
}

#[derive(Serialize, Deserialize)]
struct Configured {
    cold: ColdSettings,
    after_days: u32,
}

#[derive(Deserialize)]
struct Action<'a> {
    #[serde(rename = "event.action", borrow)]
    action: &'a str,
}

#[derive(Deserialize)]
struct Moved {
    #[serde(rename = "@timestamp")]
    at: UtcMicros,
    /// Within the table.
    #[serde(rename = "file.path")]
    path: String,
}

/// What the audit log has of cold stores.
#[derive(Debug, Default)]
pub(crate) struct RecordedCold {
    /// The newest settings of each store, the newest store last.
    stores: Vec<ColdSettings>,
    after_days: u32,
    /// Files that were brought back, and when.
    warmed: BTreeMap<String, UtcMicros>,
}

impl RecordedCold {
    pub(crate) fn replay(&mut self, entry: &[u8]) {
        let Ok(Action { action }) = serde_json::from_slice(entry) else { return };
        match action {
            CONFIGURED => {
                if let Ok(Configured { cold, after_days }) = serde_json::from_slice(entry) {
                    self.take(cold);
                    self.after_days = after_days;
                }
            }
            COOLED => {
                if let Ok(Moved { path, .. }) = serde_json::from_slice(entry) {
                    self.warmed.remove(&path);
                }
            }
            WARMED => {
                if let Ok(Moved { path, at }) = serde_json::from_slice(entry) {
                    self.warmed.insert(path, at);
                }
            }
            _ => {}
        }
    }

    fn take(&mut self, store: ColdSettings) {
        self.stores.retain(|known| known.url() != store.url());
        self.stores.push(store);
        if self.stores.len() > STORES_MAX {
            self.stores.remove(0);
        }
    }

    /// Goes on from what is recorded; `asked` is recorded where it is new.
    pub(crate) fn take_up(
        &mut self,
        asked: Option<&TierOptions>,
        audit: &Audit,
        now: UtcMicros,
    ) -> Result<(), NodeError> {
        let Some(asked) = asked else { return Ok(()) };
        asked.check()?;
        let known = ColdSettings { access_key: None, ..asked.store.clone() };
        if self.stores.last() != Some(&known) || self.after_days != asked.after_days {
            audit.write(&[json!({
                "@timestamp": now, "event.action": CONFIGURED, "cold": known,
                "after_days": asked.after_days,
            })])?;
        }
        // With its account, which is not recorded.
        self.take(asked.store.clone());
        self.after_days = asked.after_days;
        Ok(())
    }

    /// Every store that is known.
    pub(crate) fn stores(&self) -> Vec<ColdSettings> {
        self.stores.clone()
    }

    /// The store that files go to, and after how many days.
    pub(super) fn target(&self) -> Option<(String, u32)> {
        Some((self.stores.last()?.url().to_owned(), self.after_days))
    }

    /// Files that were brought back, and when.
    pub(super) fn warmed(&self) -> &BTreeMap<String, UtcMicros> {
        &self.warmed
    }
}

/// What the audit log of a directory that nobody has open says.
pub(crate) fn recorded(data: &DataDir) -> RecordedCold {
    let mut recorded = RecordedCold::default();
    let dir = data.audit();
    let Ok(runs) = yagura_journal::read_segments(&dir) else { return recorded };
    for record in runs.flatten().flat_map(|run| run.records) {
        recorded.replay(&record.bytes);
    }
    recorded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_stores_are_remembered_and_then_the_oldest_is_not() {
        let mut recorded = RecordedCold::default();
        let url = |number: usize| format!("s3://logs/{number}");
        let configure = |recorded: &mut RecordedCold, number: usize| {
            let cold = ColdSettings::new(url(number));
            let entry = json!({ "event.action": CONFIGURED, "cold": cold, "after_days": 30 });
            recorded.replay(entry.to_string().as_bytes());
        };
        (1..=STORES_MAX).for_each(|number| configure(&mut recorded, number));
        let known = |recorded: &RecordedCold| -> Vec<String> {
            recorded.stores().iter().map(|store| store.url().to_owned()).collect()
        };
        assert_eq!(known(&recorded), (1..=STORES_MAX).map(url).collect::<Vec<_>>());
        configure(&mut recorded, STORES_MAX + 1);
        assert_eq!(known(&recorded), (2..=STORES_MAX + 1).map(url).collect::<Vec<_>>());
        // One that is known is not another one.
        configure(&mut recorded, 2);
        assert_eq!(known(&recorded).len(), STORES_MAX);
        assert_eq!(recorded.target(), Some((url(2), 30)));
    }
}
