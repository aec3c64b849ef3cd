//! Saved searches: a question under a name, and when it is asked by itself. Everything here is a record
//! of the audit log first and true afterwards; there is no other store.

pub mod limits;
mod record;
mod run;
mod schedule;
#[cfg(test)]
mod tests;

pub(crate) use record::Fold;
pub use record::{Change, Run, RunOutcome, SavedSearch};
pub use schedule::Schedule;

use crate::audit::Audit;
use crate::{Node, NodeError, SearchQuery, Unread};
use limits::{
    COLUMNS_MAX, DESCRIPTION_BYTES_MAX, INCOMPLETE_TOLD_HOURS, NAME_BYTES_MAX, SAVED_MAX,
    SCHEDULED_MAX, WORD_BYTES_MAX,
};
use record::{Entry, Named, Saved, SavedEntry, key};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use yagura_desk::GapSeen;
use yagura_event::UtcMicros;

/// The saved searches of a node.
pub(crate) struct SavedSearches {
    audit: Arc<Audit>,
    /// Held from looking to recording: the order of the records is the order of the changes.
    fold: Mutex<Fold>,
    /// Held by whoever runs what is due: one search at a time.
    turn: tokio::sync::Mutex<()>,
}

/// What somebody saves.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SaveRequest {
    /// The search.
    pub search: SavedSearch,
    /// Whether one of this name is changed; else it is refused.
    pub replace: bool,
}

impl SavedSearches {
    pub fn new(audit: Arc<Audit>, fold: Fold) -> Self {
        SavedSearches { audit, fold: Mutex::new(fold), turn: tokio::sync::Mutex::new(()) }
    }

    fn fold(&self) -> MutexGuard<'_, Fold> {
        self.fold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an entry durable, then true. The caller holds the fold since it decided.
    fn record(&self, fold: &mut Fold, entry: Entry) -> Result<(), NodeError> {
        self.audit.write(&[entry.to_value()])?;
        fold.apply(entry);
        Ok(())
    }
}

impl SavedSearch {
    /// The question it asks.
    pub fn query(&self) -> SearchQuery {
        SearchQuery {
            query: self.query.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            last: self.last.clone(),
            time_zone: self.time_zone.clone(),
            sort: self.sort,
            ..SearchQuery::default()
        }
    }

    /// Refuses what is too long.
    fn within_limits(&self) -> Result<(), NodeError> {
        let too_long = |en: &str, ja: &str, most: usize| {
            Err(NodeError::request(
                format!("{en} has more than {most} bytes"),
                format!("{ja}が{most}バイトを超えています"),
            ))
        };
        if self.name.len() > NAME_BYTES_MAX {
            return too_long("the name", "名前", NAME_BYTES_MAX);
        }
        if self.description.len() > DESCRIPTION_BYTES_MAX {
            return too_long("the description", "説明", DESCRIPTION_BYTES_MAX);
        }
        let words = [&self.from, &self.to, &self.last, &self.time_zone].into_iter().flatten();
        if words.chain(&self.columns).any(|word| word.len() > WORD_BYTES_MAX) {
            return too_long(
                "a time, zone or column",
                "時刻、タイムゾーンまたは列名",
                WORD_BYTES_MAX,
            );
        }
        if self.columns.len() > COLUMNS_MAX {
            return Err(NodeError::request(
                format!("{} columns: {COLUMNS_MAX} are the most", self.columns.len()),
                format!("列が{}個あります。{COLUMNS_MAX}個までにしてください", self.columns.len()),
            ));
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), NodeError> {
    if name.is_empty() || name.contains('/') || name.chars().any(char::is_control) {
        return Err(NodeError::request(
            "a saved search needs a name, without / and control characters",
            "保存する検索には名前が必要です（/ と制御文字は使えません）",
        ));
    }
    Ok(())
}

fn no_search(name: &str) -> NodeError {
    let name: String = name.chars().take(NAME_BYTES_MAX).collect();
    NodeError::NotFound {
        message: format!("there is no saved search {name:?}"),
        message_ja: format!("保存した検索「{name}」はありません"),
    }
}

impl Node {
    /// All saved searches, by name.
    pub fn saved_searches(&self) -> Value {
        let fold = self.saved().fold();
        let all: Vec<Value> = fold.all.values().map(shown).collect();
        json!({ "searches": all, "total": all.len() })
    }

    /// One saved search, with its changes and runs, the newest first.
    ///
    /// # Errors
    /// [`NodeError::NotFound`], when there is none.
    pub fn saved_search(&self, name: &str) -> Result<Value, NodeError> {
        let fold = self.saved().fold();
        let saved = fold.all.get(&key(name)).ok_or_else(|| no_search(name))?;
        Ok(with_history(saved))
    }

    /// Saves a search in the name of `who`, or changes one.
    ///
    /// # Errors
    /// [`NodeError::Request`], when it cannot be run, the name is taken, or there are too many.
    pub fn save_search(&self, request: SaveRequest, who: &str) -> Result<Value, NodeError> {
        let SaveRequest { mut search, replace } = request;
        search.name = search.name.trim().to_owned();
        check_name(&search.name)?;
        search.within_limits()?;
        if search.last.is_some() && (search.from.is_some() || search.to.is_some()) {
            return Err(NodeError::request(
                "either last, or from and to",
                "last と from・to は同時に指定できません",
            ));
        }
        // Fields come with events: whether those of the expression exist is seen when it is run.
        self.understood(&search.query())?;
        let now = self.clock().now();
        if let Some(schedule) = &search.schedule {
            schedule.timer(search.time_zone.as_deref())?.check(now)?;
        }
        let saved = self.saved();
        let mut fold = saved.fold();
        let is_known = fold.all.contains_key(&key(&search.name));
        if is_known && !replace {
            return Err(NodeError::request(
                format!(
                    "there is a saved search {:?}: change it, or choose another name",
                    search.name
                ),
                format!(
                    "「{}」はすでにあります。上書きするか、別の名前にしてください",
                    search.name
                ),
            ));
        }
        if !is_known && fold.all.len() >= SAVED_MAX {
            return Err(NodeError::request(
                format!("there are {SAVED_MAX} saved searches: remove some first"),
                format!("保存できる検索は{SAVED_MAX}件までです。先に不要なものを削除してください"),
            ));
        }
        if search.schedule.is_some() && fold.scheduled_besides(&search.name) >= SCHEDULED_MAX {
            return Err(NodeError::request(
                format!("{SCHEDULED_MAX} searches have a schedule: take it from one first"),
                format!(
                    "定期実行できる検索は{SCHEDULED_MAX}件までです。先にほかの検索の定期実行をやめてください"
                ),
            ));
        }
        let name = search.name.clone();
        let entry = SavedEntry { at: now, who: who.to_owned(), search };
        saved.record(&mut fold, Entry::Saved(Box::new(entry)))?;
        fold.all.get(&key(&name)).map(shown).ok_or_else(|| no_search(&name))
    }

    /// Removes a saved search in the name of `who`. It can be restored.
    ///
    /// # Errors
    /// [`NodeError::NotFound`], when there is none.
    pub fn remove_saved_search(&self, name: &str, who: &str) -> Result<Value, NodeError> {
        let saved = self.saved();
        let mut fold = saved.fold();
        let known = fold.all.get(&key(name)).ok_or_else(|| no_search(name))?;
        let name = known.search.name.clone();
        let removed = Named { at: self.clock().now(), who: who.to_owned(), name: name.clone() };
        saved.record(&mut fold, Entry::Removed(removed))?;
        Ok(json!({ "name": name }))
    }

    /// Takes the removal of a saved search back: it is as it was, and what came meanwhile is counted by
    /// its next run.
    ///
    /// # Errors
    /// [`NodeError::NotFound`], when none of this name was removed lately; [`NodeError::Request`], when
    /// there is one of this name again, or there are too many.
    pub fn restore_saved_search(&self, name: &str, who: &str) -> Result<Value, NodeError> {
        let saved = self.saved();
        let mut fold = saved.fold();
        let removed = fold.removed(name).ok_or_else(|| no_search(name))?;
        let (name, scheduled) = (removed.search.name.clone(), removed.search.schedule.is_some());
        if fold.all.contains_key(&key(&name)) {
            return Err(NodeError::request(
                format!("there is a saved search {name:?} again"),
                format!("「{name}」という検索が新しく保存されています"),
            ));
        }
        let full = scheduled && fold.scheduled_besides(&name) >= SCHEDULED_MAX;
        if fold.all.len() >= SAVED_MAX || full {
            return Err(NodeError::request(
                "there are too many saved or scheduled searches: remove some first",
                "保存した検索か定期実行の数が上限です。先に不要なものを削除してください",
            ));
        }
        let restored = Named { at: self.clock().now(), who: who.to_owned(), name: name.clone() };
        saved.record(&mut fold, Entry::Restored(restored))?;
        fold.all.get(&key(&name)).map(shown).ok_or_else(|| no_search(&name))
    }

    /// Scheduled searches whose last run failed, so that what came since is not looked at, and those that
    /// could not read everything in the last day.
    pub(crate) fn lacking_searches(&self, now: UtcMicros) -> Vec<GapSeen> {
        let since = now.plus_micros(-INCOMPLETE_TOLD_HOURS * 3_600_000_000);
        let fold = self.saved().fold();
        let scheduled = fold.all.values().filter(|saved| saved.search.schedule.is_some());
        let lacking = scheduled.filter_map(|saved| Some((saved, saved.lacking(since)?)));
        let seen = lacking.map(|(saved, run)| {
            let name = &saved.search.name;
            if run.outcome != RunOutcome::Failed {
                return unread_gap(name, run);
            }
            let en = run.error.as_deref().unwrap_or_default();
            let ja = run.error_ja.as_deref().unwrap_or(en);
            GapSeen {
                subject: rule_id(name),
                begin: saved.counted_to,
                sentence_ja: format!(
                    "定期検索「{name}」を実行できず、これ以降に受信したイベントを調べていません。理由：{ja}"
                ),
                sentence_en: format!(
                    "The scheduled search “{name}” could not be run, and events received since are not \
                     looked at: {en}"
                ),
            }
        });
        seen.collect()
    }
}

/// That a run could not read everything it is about.
fn unread_gap(name: &str, run: &Run) -> GapSeen {
    let count = |of: fn(&Unread) -> u64| run.unread.iter().map(of).sum::<u64>();
    let (files, rows) = (count(|unread| unread.files), count(|unread| unread.rows));
    let first = run.unread.first();
    let reason = first.map(|unread| unread.reason.as_str()).unwrap_or_default();
    let reason_ja = first.map(|unread| unread.reason_ja.as_str()).unwrap_or_default();
    GapSeen {
        subject: rule_id(name),
        begin: run.from,
        sentence_ja: format!(
            "定期検索「{name}」は{files}ファイル（イベント{rows}件）を読めず、その中は調べていません。理由：{reason_ja}"
        ),
        sentence_en: format!(
            "The scheduled search “{name}” could not read {files} files with {rows} events, and did not \
             look at them: {reason}"
        ),
    }
}

/// The rule that stands for a saved search on the desk.
pub(crate) fn rule_id(name: &str) -> String {
    format!("saved/{name}")
}

fn shown(saved: &Saved) -> Value {
    let search = &saved.search;
    let mut shown = serde_json::to_value(search).unwrap_or_default();
    let last = saved.changes.back();
    shown["owner"] = json!(saved.owner);
    shown["created"] = json!(saved.created);
    shown["changed"] = json!(last.map(|change| change.at));
    shown["changed_by"] = json!(last.map(|change| &change.who));
    if let Some(schedule) = &search.schedule {
        let timer = schedule.timer(search.time_zone.as_deref()).ok();
        shown["next_run"] = json!(timer.and_then(|timer| timer.next_after(saved.due_since)));
        shown["counted_to"] = json!(saved.counted_to);
        shown["last_run"] = json!(saved.runs.back());
    }
    shown
}

fn with_history(saved: &Saved) -> Value {
    let mut all = shown(saved);
    all["runs"] = json!(saved.runs.iter().rev().collect::<Vec<_>>());
    all["history"] = json!(saved.changes.iter().rev().collect::<Vec<_>>());
    all
}
