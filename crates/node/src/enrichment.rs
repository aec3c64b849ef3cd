//! What events are enriched with: the files that the configuration names, and the inventories that
//! people set. Which they are is in the audit log; inventories that were set lie below `inventory/`,
//! each finished once and never changed, until another takes its place.

use crate::audit::Audit;
use crate::limits::INVENTORY_SHOWN_MAX;
use crate::{DataDir, Node, NodeError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use yagura_enrich::{EnrichError, Enrichment, Inventory, Kind, Settings, no_geo};
use yagura_event::{Clock, Lang, UtcMicros};

const CONFIGURED: &str = "enrichment.configured";
const INVENTORY_SET: &str = "inventory.set";

impl From<EnrichError> for NodeError {
    fn from(error: EnrichError) -> Self {
        let (en, ja) = error.texts();
        NodeError::request(en, ja)
    }
}

/// What the audit log last said: a fold over its records.
#[derive(Debug, Default)]
pub(crate) struct RecordedEnrichment {
    settings: Settings,
    /// By role and path: the SHA-256 of each file in use.
    files: Value,
    inventories: BTreeMap<Kind, Set>,
}

/// An inventory that was set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Set {
    #[serde(rename = "inventory.kind")]
    kind: Kind,
    /// What its sender called it.
    #[serde(rename = "inventory.name")]
    name: String,
    #[serde(rename = "inventory.rows")]
    rows: u64,
    /// Relative to the data directory.
    #[serde(rename = "file.path")]
    path: String,
    #[serde(rename = "file.hash.sha256")]
    sha256: String,
    #[serde(rename = "user.name")]
    who: String,
    #[serde(rename = "@timestamp")]
    at: UtcMicros,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(rename = "event.action", borrow)]
    action: &'a str,
}

#[derive(Deserialize)]
struct ConfiguredEntry {
    settings: Settings,
    #[serde(default)]
    files: Value,
}

impl RecordedEnrichment {
    /// Folds one audit record; those of other kinds are ignored.
    pub(crate) fn replay(&mut self, entry: &[u8]) {
        let Ok(known) = serde_json::from_slice::<Entry<'_>>(entry) else { return };
        match known.action {
            CONFIGURED => {
                let Ok(entry) = serde_json::from_slice::<ConfiguredEntry>(entry) else { return };
                self.settings = entry.settings;
                self.files = entry.files;
            }
            INVENTORY_SET => {
                let Ok(set) = serde_json::from_slice::<Set>(entry) else { return };
                self.inventories.insert(set.kind, set);
            }
            _ => {}
        }
    }
}

/// The enrichment of a node, shared by the pipeline and whoever changes it.
pub(crate) struct Enriching {
    data: DataDir,
    audit: Arc<Audit>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    current: RwLock<Arc<Enrichment>>,
    /// Held while something changes: one change at a time.
    changing: Mutex<RecordedEnrichment>,
    /// Why an inventory that was set could not be used at the start, in English and Japanese, until another is set. What else
    /// cannot be used is in the [`Enrichment`].
    unusable: Mutex<BTreeMap<Kind, (String, String)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Enriching {
    /// Reads what `asked` names, which is recorded where it is new; without it what was recorded
    /// last, as far as that can be used.
    pub(crate) fn open(
        data: &DataDir,
        audit: Arc<Audit>,
        clock: Arc<dyn Clock>,
        asked: Option<&Settings>,
        recorded: RecordedEnrichment,
    ) -> Result<Self, NodeError> {
        let settings = asked.unwrap_or(&recorded.settings).clone();
        let mut unusable = BTreeMap::new();
        let mut enrichment = match asked {
            Some(settings) => Enrichment::load(settings)?,
            None => Enrichment::load_usable(&settings).enrichment.unwrap_or_default(),
        };
        for set in recorded.inventories.values() {
            if is_configured(&settings, set.kind) {
                continue;
            }
            match read_set(data, &audit, set) {
                Ok((inventory, bytes)) => {
                    enrichment = enrichment.with_inventory(Arc::new(inventory), &set.name, &bytes);
                }
                // Events go on without; `yagura verify` names the file.
                Err(error) => {
                    tracing::error!(%error, path = %set.path, "an inventory is not in use");
                    unusable.insert(set.kind, to_be_set_again(&error));
                }
            }
        }
        let enriching = Enriching {
            data: data.clone(),
            audit,
            clock,
            settings,
            current: RwLock::new(Arc::new(enrichment)),
            changing: Mutex::new(recorded),
            unusable: Mutex::new(unusable),
        };
        let mut recorded = locked(&enriching.changing);
        if asked.is_some() {
            let current = enriching.current();
            enriching.record(&mut recorded, &current, "yagura serve", "start")?;
        }
        enriching.clean(&recorded);
        drop(recorded);
        Ok(enriching)
    }

    /// What is known now.
    pub(crate) fn current(&self) -> Arc<Enrichment> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, enrichment: Enrichment) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(enrichment);
    }

    /// Records settings and files where they are others than those recorded last.
    fn record(
        &self,
        recorded: &mut RecordedEnrichment,
        enrichment: &Enrichment,
        who: &str,
        cause: &str,
    ) -> Result<(), NodeError> {
        // An inventory that was set has a record of its own.
        let files: Vec<Value> = enrichment
            .used()
            .filter(|file| Kind::of(file.role).is_none_or(|k| is_configured(&self.settings, k)))
            .map(|file| {
                json!({
                    "role": file.role,
                    "file.path": file.path.display().to_string(),
                    "file.hash.sha256": file.sha256,
                    "file.size": file.bytes,
                })
            })
            .collect();
        let files = if files.is_empty() { Value::Null } else { json!(files) };
        if recorded.settings == self.settings && recorded.files == files {
            return Ok(());
        }
        let settings = serde_json::to_value(&self.settings)
            .map_err(|error| NodeError::Content(error.to_string()))?;
        self.audit.write(&[json!({
            "@timestamp": self.clock.now(),
            "event.action": CONFIGURED,
            "event.reason": cause,
            "user.name": who,
            "settings": settings,
            "files": files,
        })])?;
        recorded.settings = self.settings.clone();
        recorded.files = files;
        Ok(())
    }

    /// Reads the files that are others than before, or with `again` also those that were wrong. What
    /// cannot be used is told, and what was in use in its place stays. Answers whether anything is new.
    fn refresh(&self, again: bool, who: &str, cause: &str) -> Result<bool, NodeError> {
        let mut recorded = locked(&self.changing);
        let before = self.current();
        let refreshed = before.refresh(&self.settings, again);
        for error in &refreshed.errors {
            tracing::error!(%error, "what events are enriched with stays as it was");
        }
        let Some(enrichment) = refreshed.enrichment else { return Ok(false) };
        // It may be that only the failure is new.
        let is_new = !enrichment.used().eq(before.used());
        // What is not recorded is not used: the next look tries again.
        self.record(&mut recorded, &enrichment, who, cause)?;
        self.put(enrichment);
        Ok(is_new)
    }

    /// Takes an inventory into use: file first, then its digest, then the record, then it counts.
    fn set(&self, kind: Kind, name: &str, csv: &[u8], who: &str) -> Result<Set, NodeError> {
        if is_configured(&self.settings, kind) {
            let key = kind.as_str();
            return Err(NodeError::request(
                format!(
                    "the configuration names the files of {key} (enrich.inventory.{key}): change \
                     those, or take the key out"
                ),
                format!(
                    "設定の enrich.inventory.{key} でファイルが指定されています。そのファイルを直すか、設定を外してください"
                ),
            ));
        }
        let name: String = name.chars().filter(|c| !c.is_control()).take(128).collect();
        let inventory = Inventory::read(kind, &name, csv)?;
        let mut recorded = locked(&self.changing);
        let file = |number| format!("{}-{number:06}.csv", kind.as_str());
        let dir = self.data.inventory();
        let path = crate::files::write_next(&self.data, &self.audit, &dir, file, |out| {
            std::io::Write::write_all(out, csv)
        })?;
        let rows = inventory.len() as u64;
        let enrichment = self.current().with_inventory(Arc::new(inventory), &name, csv);
        let sha256 = enrichment.used().find(|file| file.role == kind.as_str());
        let sha256 = sha256.map(|file| file.sha256.clone()).unwrap_or_default();
        let (who, at) = (who.to_owned(), self.clock.now());
        let set = Set { kind, name, rows, path, sha256, who, at };
        let mut entry = json!(set);
        entry["event.action"] = json!(INVENTORY_SET);
        self.audit.write(&[entry])?;
        recorded.inventories.insert(kind, set.clone());
        self.put(enrichment);
        locked(&self.unusable).remove(&kind);
        self.clean(&recorded);
        Ok(set)
    }

    /// Removes inventories that another has replaced: they are about people, and nothing needs them.
    /// What cannot be removed now is tried again when the next is set, and at the next start.
    fn clean(&self, recorded: &RecordedEnrichment) {
        let Ok(entries) = std::fs::read_dir(self.data.inventory()) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = self.data.relative(&path);
            let in_use = recorded.inventories.values().any(|set| set.path == name);
            if !in_use
                && self.audit.has_file(&name)
                && let Err(error) = crate::files::remove(&self.data, &self.audit, &path)
            {
                tracing::error!(%error, path = %name, "a replaced inventory was not removed");
            }
        }
    }

    fn status(&self) -> Value {
        let current = self.current();
        let recorded = locked(&self.changing);
        let rows = |kind: Kind| current.inventory(kind).map(Inventory::len);
        let unusable = locked(&self.unusable);
        let errors: Vec<Value> = current
            .wrong()
            .chain(unusable.values())
            .map(|(en, ja)| json!({ "en": en, "ja": ja }))
            .collect();
        let mut status = json!({
            "files": current.used().collect::<Vec<_>>(),
            "networks": current.networks().len(),
            "users": rows(Kind::Users),
            "assets": rows(Kind::Assets),
            "set": recorded.inventories.values().collect::<Vec<_>>(),
            "errors": errors,
        });
        if current.geo().is_empty() {
            status["notice"] = json!({ "en": no_geo(Lang::En), "ja": no_geo(Lang::Ja) });
        }
        status
    }
}

fn is_configured(settings: &Settings, kind: Kind) -> bool {
    match kind {
        Kind::Users => !settings.inventory.users.is_empty(),
        Kind::Assets => !settings.inventory.assets.is_empty(),
    }
}

/// Reads an inventory that was set, if it is still what was recorded.
fn read_set(data: &DataDir, audit: &Audit, set: &Set) -> Result<(Inventory, Vec<u8>), NodeError> {
    let bytes = crate::files::read(data, audit, &set.path)?;
    Ok((Inventory::read(set.kind, &set.name, &bytes)?, bytes))
}

/// What to do about an inventory that cannot be used, in English and Japanese.
fn to_be_set_again(error: &NodeError) -> (String, String) {
    let (en, ja) = match error {
        NodeError::Request { message, message_ja, .. } => (message.clone(), message_ja.clone()),
        other => {
            let words = other.words();
            (words.en().to_owned(), words.ja().to_owned())
        }
    };
    (format!("{en}; set the inventory again"), format!("{ja}。台帳を登録し直してください"))
}

impl Node {
    /// What events are enriched with, and what of it cannot be used.
    pub fn enrichment(&self) -> Value {
        self.enriching().status()
    }

    /// Looks whether files that events are enriched with are others than before, and uses those from
    /// the next events on; with `again`, also reads those that could not be used. `cause` is a word
    /// for the record. Blocks. Answers whether anything is new.
    ///
    /// # Errors
    ///
    /// When a change could not be recorded. A file that cannot be used is no error: it is told in the
    /// log and in [`Node::enrichment`], and what was in use in its place stays.
    pub fn refresh_enrichment(
        &self,
        again: bool,
        who: &str,
        cause: &str,
    ) -> Result<bool, NodeError> {
        self.enriching().refresh(again, who, cause)
    }

    /// Users or assets, from number `offset` on.
    pub fn inventory(&self, kind: Kind, offset: usize, limit: Option<usize>) -> Value {
        let current = self.enriching().current();
        let limit = limit.unwrap_or(INVENTORY_SHOWN_MAX).min(INVENTORY_SHOWN_MAX);
        let rows: Vec<Value> = current
            .inventory(kind)
            .map(|inventory| inventory.page(offset, limit))
            .unwrap_or_default()
            .into_iter()
            .map(|row| Value::Object(row.into_iter().map(|(name, v)| (name, json!(v))).collect()))
            .collect();
        let of_kind = current.used().filter(|file| file.role == kind.as_str());
        json!({
            "kind": kind,
            "total": current.inventory(kind).map_or(0, Inventory::len),
            "files": of_kind.collect::<Vec<_>>(),
            "ignored_columns": current.inventory(kind).map(Inventory::ignored).unwrap_or_default(),
            "rows": rows,
        })
    }

    /// Makes a CSV the inventory in use from the next events on; what was set before is removed.
    /// `name` is what its sender calls it. Blocks.
    ///
    /// # Errors
    ///
    /// What is wrong with the CSV, with line and column; or when the configuration names files.
    pub fn set_inventory(
        &self,
        kind: Kind,
        name: &str,
        csv: &[u8],
        who: &str,
    ) -> Result<Value, NodeError> {
        let name = if name.trim().is_empty() { kind.as_str() } else { name };
        let set = self.enriching().set(kind, name, csv, who)?;
        let mut answer = json!(set);
        let current = self.enriching().current();
        answer["ignored_columns"] =
            json!(current.inventory(kind).map(Inventory::ignored).unwrap_or_default());
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_records_count_and_others_are_passed_over() {
        let mut recorded = RecordedEnrichment::default();
        let set = |name: &str| {
            json!({
                "event.action": INVENTORY_SET, "@timestamp": "2026-11-21T09:00:00Z",
                "inventory.kind": "users", "inventory.name": name, "inventory.rows": 1,
                "file.path": "inventory/users-000001.csv", "file.hash.sha256": "00",
                "user.name": "local",
            })
        };
        for entry in [
            json!({ "event.action": CONFIGURED, "settings": { "geo": { "city": "/a" } }, "files": null }),
            set("first"),
            set("second"),
            json!({ "event.action": CONFIGURED, "settings": { "geo": { "city": "/b" } } }),
            json!({ "event.action": CONFIGURED, "settings": { "unknown": 1 } }),
            json!({ "event.action": INVENTORY_SET, "inventory.kind": "planets" }),
            json!({ "event.action": "alert-raised" }),
        ] {
            recorded.replay(entry.to_string().as_bytes());
        }
        recorded.replay(b"no json");
        assert_eq!(recorded.settings.geo.city.unwrap().to_str(), Some("/b"));
        assert_eq!(recorded.inventories[&Kind::Users].name, "second");
        assert_eq!(recorded.inventories.len(), 1);
    }
}
