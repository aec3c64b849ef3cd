//! What saved searches leave in the audit log, and the state that is the fold of it.

use super::limits::{CHANGES_MAX, REMOVED_MAX, RUNS_MAX};
use super::schedule::Schedule;
use crate::{SortOrder, Unread};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use yagura_event::UtcMicros;

/// A search that somebody keeps under a name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SavedSearch {
    /// Its name; no two differ in case or width alone.
    pub name: String,
    /// The expression.
    pub query: String,
    /// What it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Events from this instant on: absolute, or such as `now-2h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Events before this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The last so many minutes, hours or days, instead of `from` and `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Zone of times written without one; UTC by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Columns to show.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Order of events.
    #[serde(skip_serializing_if = "is_default")]
    pub sort: SortOrder,
    /// When it runs by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
}

fn is_default(sort: &SortOrder) -> bool {
    *sort == SortOrder::default()
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// No more rows than allowed.
    Quiet,
    /// More rows than allowed: what was found went to the desk.
    Found,
    /// No more rows than allowed in what could be read, which was not all: see [`Run::unread`].
    Incomplete,
    /// It could not be run. Its time of receipt stays uncounted, and belongs to the next run.
    Failed,
}

/// A scheduled search ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// When it ended.
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    /// The search.
    #[serde(rename = "search.name")]
    pub name: String,
    /// How it ended.
    #[serde(rename = "search.outcome")]
    pub outcome: RunOutcome,
    /// Events received from here on were looked at.
    #[serde(rename = "search.received_from")]
    pub from: UtcMicros,
    /// Events received before were.
    #[serde(rename = "search.received_to")]
    pub to: UtcMicros,
    /// Rows found.
    #[serde(rename = "search.rows")]
    pub rows: u64,
    /// Whether there were more than are counted.
    #[serde(rename = "search.rows_cut", default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// Stored events that were read.
    #[serde(rename = "search.rows_scanned", default)]
    pub scanned: u64,
    /// How long it took, in milliseconds.
    #[serde(rename = "search.duration_ms")]
    pub duration_ms: u64,
    /// Alerts raised or extended.
    #[serde(rename = "search.alerts", default)]
    pub alerts: u64,
    /// What could not be read: its events were not looked at.
    #[serde(rename = "search.unread", default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
    /// Due times before this one that it makes up for.
    #[serde(rename = "search.missed", default, skip_serializing_if = "is_zero")]
    pub missed: u32,
    /// Why it failed.
    #[serde(rename = "error.message", default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The same in Japanese.
    #[serde(rename = "error.message_ja", default, skip_serializing_if = "Option::is_none")]
    pub error_ja: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// One audit record of saved searches. The words are part of the stored format and never change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event.action")]
pub(crate) enum Entry {
    #[serde(rename = "search.saved")]
    Saved(Box<SavedEntry>),
    #[serde(rename = "search.removed")]
    Removed(Named),
    #[serde(rename = "search.restored")]
    Restored(Named),
    #[serde(rename = "search.ran")]
    Ran(Box<Run>),
}

/// Somebody saved a search, or changed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedEntry {
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    #[serde(rename = "user.name")]
    pub who: String,
    #[serde(rename = "search.saved")]
    pub search: SavedSearch,
}

/// Somebody removed a search, or took that back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Named {
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    #[serde(rename = "user.name")]
    pub who: String,
    #[serde(rename = "search.name")]
    pub name: String,
}

/// What somebody did to a saved search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// When.
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    /// Who.
    #[serde(rename = "user.name")]
    pub who: String,
    /// `saved`, `removed` or `restored`.
    #[serde(rename = "search.act")]
    pub act: &'static str,
    /// What was saved.
    #[serde(rename = "search.saved", skip_serializing_if = "Option::is_none")]
    pub search: Option<SavedSearch>,
}

/// A saved search as it is known.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    pub search: SavedSearch,
    /// Who saved it first.
    pub owner: String,
    pub created: UtcMicros,
    pub changes: VecDeque<Change>,
    pub runs: VecDeque<Run>,
    /// Events received before are counted, or are from before there was a schedule.
    pub counted_to: UtcMicros,
    /// From when on its due times count: the last run, or the change of its schedule.
    pub due_since: UtcMicros,
}

impl Saved {
    /// The last run, if it failed, or the last that could not read everything and ended after `since`.
    pub fn lacking(&self, since: UtcMicros) -> Option<&Run> {
        let failed = self.runs.back().filter(|run| run.outcome == RunOutcome::Failed);
        let lacks = |run: &&Run| run.at > since && !run.unread.is_empty();
        failed.or_else(|| self.runs.iter().rev().find(lacks))
    }

    fn changed(&mut self, change: Change) {
        self.changes.push_back(change);
        while self.changes.len() > CHANGES_MAX {
            self.changes.pop_front();
        }
    }
}

/// All saved searches.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    /// By folded name.
    pub all: BTreeMap<String, Saved>,
    /// Those removed last, the newest at the end.
    removed: VecDeque<(String, Saved)>,
    /// Records that named themselves ours and could not be read, or did not fit.
    pub broken: u64,
}

/// A name as it is told from others: without case, width and blanks around it.
pub(crate) fn key(name: &str) -> String {
    yagura_query::fold(name.trim()).into_owned()
}

impl Entry {
    pub fn to_value(&self) -> Value {
        // Proof: these structures have text keys only.
        serde_json::to_value(self).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> Result<Option<Entry>, ()> {
        #[derive(Deserialize)]
        struct Action<'a> {
            #[serde(rename = "event.action", borrow)]
            action: &'a str,
        }
        const OURS: [&str; 4] = ["search.saved", "search.removed", "search.restored", "search.ran"];
        let Ok(Action { action }) = serde_json::from_slice(bytes) else { return Ok(None) };
        if !OURS.contains(&action) {
            return Ok(None);
        }
        serde_json::from_slice(bytes).map(Some).map_err(|_| ())
    }
}

impl Fold {
    /// Takes one stored record in; those of other parts are passed over.
    pub fn replay(&mut self, bytes: &[u8]) {
        match Entry::read(bytes) {
            Ok(Some(entry)) => self.apply(entry),
            Ok(None) => {}
            Err(()) => self.broken += 1,
        }
    }

    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Saved(entry) => self.save(*entry),
            Entry::Removed(named) => match self.all.remove(&key(&named.name)) {
                Some(mut saved) => {
                    let Named { at, who, .. } = named;
                    saved.changed(Change { at, who, act: "removed", search: None });
                    self.removed.push_back((key(&named.name), saved));
                    while self.removed.len() > REMOVED_MAX {
                        self.removed.pop_front();
                    }
                }
                None => self.broken += 1,
            },
            Entry::Restored(named) => {
                let key = key(&named.name);
                let place = self.removed.iter().rposition(|(other, _)| *other == key);
                match place.and_then(|place| self.removed.remove(place)) {
                    Some((key, mut saved)) if !self.all.contains_key(&key) => {
                        let Named { at, who, .. } = named;
                        saved.changed(Change { at, who, act: "restored", search: None });
                        self.all.insert(key, saved);
                    }
                    _ => self.broken += 1,
                }
            }
            Entry::Ran(run) => match self.all.get_mut(&key(&run.name)) {
                Some(saved) => {
                    if run.outcome != RunOutcome::Failed {
                        saved.counted_to = run.to;
                    }
                    saved.due_since = run.at;
                    saved.runs.push_back(*run);
                    while saved.runs.len() > RUNS_MAX {
                        saved.runs.pop_front();
                    }
                }
                None => self.broken += 1,
            },
        }
    }

    fn save(&mut self, entry: SavedEntry) {
        let SavedEntry { at, who, search } = entry;
        let change = Change { at, who: who.clone(), act: "saved", search: Some(search.clone()) };
        match self.all.get_mut(&key(&search.name)) {
            Some(saved) => {
                // What came while it had no schedule is not looked at later.
                if saved.search.schedule.is_none() {
                    saved.counted_to = at;
                }
                if saved.search.schedule != search.schedule {
                    saved.due_since = at;
                }
                saved.search = search;
                saved.changed(change);
            }
            None => {
                let key = key(&search.name);
                let saved = Saved {
                    search,
                    owner: who,
                    created: at,
                    changes: VecDeque::from([change]),
                    runs: VecDeque::new(),
                    counted_to: at,
                    due_since: at,
                };
                self.all.insert(key, saved);
            }
        }
    }

    /// The search that was removed last under this name.
    pub fn removed(&self, name: &str) -> Option<&Saved> {
        let key = key(name);
        self.removed.iter().rev().find(|(other, _)| *other == key).map(|(_, saved)| saved)
    }

    /// How many have a schedule, other than the one of this name.
    pub fn scheduled_besides(&self, name: &str) -> usize {
        let key = key(name);
        let others = self.all.iter().filter(|(other, _)| **other != key);
        others.filter(|(_, saved)| saved.search.schedule.is_some()).count()
    }
}
