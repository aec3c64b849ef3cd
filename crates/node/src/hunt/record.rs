//! What hunts, indicators and feeds leave in the audit log, and the state that is the fold of it.

use super::limits::{HITS_IN_MEMORY_MAX, HUNTS_MAX};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use yagura_detect::Notice;
use yagura_event::{Lang, Level, UtcMicros};

/// One audit record of hunting. The words are part of the stored format and never change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event.action")]
pub(crate) enum Entry {
    #[serde(rename = "hunt.started")]
    Started(Box<Started>),
    #[serde(rename = "hunt.restarted")]
    Restarted(Box<Restarted>),
    #[serde(rename = "hunt.cancel_requested")]
    CancelRequested(CancelRequested),
    #[serde(rename = "hunt.matched")]
    Matched(Matched),
    #[serde(rename = "hunt.finished")]
    Finished(Box<Finished>),
    #[serde(rename = "indicators.added")]
    Added(Added),
    #[serde(rename = "indicators.removed")]
    Removed(Removed),
    #[serde(rename = "feed.added")]
    FeedAdded(Box<Feed>),
    #[serde(rename = "feed.removed")]
    FeedRemoved(FeedRemoved),
    #[serde(rename = "feed.pulled")]
    FeedPulled(FeedPulled),
}

/// A list of rules or indicators that a hunt looked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceCopy {
    /// The file's name, or that of a feed.
    #[serde(rename = "file.name")]
    pub name: String,
    /// SHA-256 of its text, lower-case hexadecimal.
    #[serde(rename = "file.hash.sha256")]
    pub sha256: String,
}

/// A hunt was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// When.
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    /// Its number.
    #[serde(rename = "hunt.id")]
    pub id: HuntId,
    /// Who asked.
    #[serde(rename = "user.name")]
    pub who: String,
    /// What they wanted to know.
    #[serde(rename = "hunt.hypothesis", default, skip_serializing_if = "String::is_empty")]
    pub hypothesis: String,
    /// Whether it was started by new indicators.
    #[serde(rename = "hunt.automatic", default)]
    pub automatic: bool,
    /// Rules and lists.
    #[serde(rename = "hunt.sources")]
    pub sources: Vec<SourceCopy>,
    /// How many lists there were, where only the first are named.
    #[serde(rename = "hunt.sources_total")]
    pub sources_total: u64,
    /// SHA-256 over the names and digests of all of them.
    #[serde(rename = "hunt.digest")]
    pub digest: String,
    /// Rules looked for.
    #[serde(rename = "hunt.rules")]
    pub rules: u64,
    /// Indicators looked for.
    #[serde(rename = "hunt.indicators")]
    pub indicators: u64,
    /// Rules and indicators that could not be used.
    #[serde(rename = "hunt.refused")]
    pub refused: u64,
    /// Only events from here on.
    #[serde(rename = "hunt.from", default, skip_serializing_if = "Option::is_none")]
    pub from: Option<UtcMicros>,
    /// Only events before.
    #[serde(rename = "hunt.to", default, skip_serializing_if = "Option::is_none")]
    pub to: Option<UtcMicros>,
    /// Whether matches become alerts.
    #[serde(rename = "hunt.raise", default)]
    pub raise: bool,
    /// Events to read, as estimated.
    #[serde(rename = "hunt.estimate.events")]
    pub events_estimated: u64,
    /// Bytes to read, as estimated.
    #[serde(rename = "hunt.estimate.bytes")]
    pub bytes_estimated: u64,
}

/// A hunt that was interrupted starts again: what it found before counts no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Restarted {
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    #[serde(rename = "hunt.id")]
    pub id: HuntId,
    #[serde(rename = "user.name")]
    pub who: String,
    /// As of [`Started`], now: rules and indicators in use may be others than before.
    #[serde(rename = "hunt.digest")]
    pub digest: String,
    #[serde(rename = "hunt.rules")]
    pub rules: u64,
    #[serde(rename = "hunt.indicators")]
    pub indicators: u64,
    #[serde(rename = "hunt.refused")]
    pub refused: u64,
    #[serde(rename = "hunt.estimate.events")]
    pub events_estimated: u64,
    #[serde(rename = "hunt.estimate.bytes")]
    pub bytes_estimated: u64,
}

/// Someone wants a hunt to end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CancelRequested {
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    #[serde(rename = "hunt.id")]
    pub id: HuntId,
    #[serde(rename = "user.name")]
    pub who: String,
}

/// Some matches of a hunt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Matched {
    #[serde(rename = "hunt.id")]
    pub id: HuntId,
    #[serde(rename = "hunt.matches")]
    pub hits: Vec<Hit>,
}

/// A rule or indicator and an event in which it was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// When it happened.
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    /// The event.
    #[serde(rename = "event.id")]
    pub event_id: Box<str>,
    /// Its dataset.
    #[serde(rename = "event.dataset")]
    pub dataset: Box<str>,
    /// Its machine.
    #[serde(rename = "host.name", default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Box<str>>,
    /// The rule's id, or that of the indicator.
    #[serde(rename = "rule.uuid")]
    pub rule: Box<str>,
    /// The field that decided, if one did.
    #[serde(rename = "hunt.field", default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Box<str>>,
    /// Its value.
    #[serde(rename = "hunt.value", default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Box<str>>,
    /// The event in Japanese.
    #[serde(rename = "hunt.sentence_ja")]
    pub sentence_ja: Box<str>,
    /// The event in English.
    #[serde(rename = "hunt.sentence_en")]
    pub sentence_en: Box<str>,
}

/// How often something was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// The rule's id, or that of the indicator.
    #[serde(rename = "rule.uuid")]
    pub rule: String,
    /// Its title.
    #[serde(rename = "rule.name")]
    pub name: String,
    /// Its title in Japanese.
    #[serde(rename = "rule.name_ja", default, skip_serializing_if = "Option::is_none")]
    pub name_ja: Option<String>,
    /// How serious it is.
    #[serde(rename = "rule.level")]
    pub level: Level,
    /// Events.
    #[serde(rename = "hunt.count")]
    pub count: u64,
    /// When the first happened.
    #[serde(rename = "hunt.first_seen")]
    pub first: UtcMicros,
    /// When the last happened.
    #[serde(rename = "hunt.last_seen")]
    pub last: UtcMicros,
}

/// What a correlation could not count in a hunt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Uncounted {
    /// The correlation's id.
    #[serde(rename = "rule.uuid")]
    pub rule: String,
    /// Its title.
    #[serde(rename = "rule.name")]
    pub name: String,
    /// Its title in Japanese.
    #[serde(rename = "rule.name_ja", default, skip_serializing_if = "Option::is_none")]
    pub name_ja: Option<String>,
    /// What happened, in a word for machines.
    #[serde(rename = "hunt.reason")]
    pub reason: String,
    /// How often.
    #[serde(rename = "hunt.count")]
    pub count: u64,
    /// What happened, in Japanese.
    #[serde(rename = "hunt.sentence_ja")]
    pub sentence_ja: String,
    /// What happened, in English.
    #[serde(rename = "hunt.sentence_en")]
    pub sentence_en: String,
}

impl From<&Notice> for Uncounted {
    fn from(notice: &Notice) -> Self {
        Uncounted {
            rule: notice.rule.id.clone(),
            name: notice.rule.title.clone(),
            name_ja: notice.rule.title_ja.clone(),
            reason: notice.kind.as_str().to_owned(),
            count: notice.count,
            sentence_ja: notice.kind.sentence(Lang::Ja).to_owned(),
            sentence_en: notice.kind.sentence(Lang::En).to_owned(),
        }
    }
}

/// How a hunt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything was looked at.
    Done,
    /// Everything but files that could not be read.
    Gaps,
    /// Someone stopped it.
    Cancelled,
    /// It could not go on.
    Failed,
}

/// A hunt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// When.
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    /// Its number.
    #[serde(rename = "hunt.id")]
    pub id: HuntId,
    /// How it ended.
    #[serde(rename = "hunt.outcome")]
    pub outcome: Outcome,
    /// Events that were looked at.
    #[serde(rename = "hunt.events")]
    pub events: u64,
    /// Events that need not be looked at, because nothing looked for could be in them.
    #[serde(rename = "hunt.events_pruned")]
    pub events_pruned: u64,
    /// Compressed bytes read.
    #[serde(rename = "hunt.bytes")]
    pub bytes: u64,
    /// Matches.
    #[serde(rename = "hunt.matches_total")]
    pub matches: u64,
    /// Matches that are counted only.
    #[serde(rename = "hunt.matches_left_out")]
    pub left_out: u64,
    /// How long it took, in milliseconds.
    #[serde(rename = "hunt.duration_ms")]
    pub duration_ms: u64,
    /// What was found how often, most often first.
    #[serde(rename = "hunt.found")]
    pub found: Vec<Tally>,
    /// Files that could not be read, and why.
    #[serde(rename = "hunt.unread", default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// What correlations could not count.
    #[serde(rename = "hunt.uncounted", default, skip_serializing_if = "Vec::is_empty")]
    pub uncounted: Vec<Uncounted>,
    /// Matches that an exception took away. They are no matches of the hunt.
    #[serde(rename = "hunt.excepted", default)]
    pub excepted: u64,
    /// Alerts raised or extended.
    #[serde(rename = "hunt.alerts", default)]
    pub alerts: u64,
    /// Why it could not go on.
    #[serde(rename = "error.message", default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Finished {
    /// The end of a hunt that has looked at nothing.
    pub(crate) fn empty(id: HuntId, outcome: Outcome) -> Finished {
        Finished {
            at: UtcMicros::default(),
            id,
            outcome,
            events: 0,
            events_pruned: 0,
            bytes: 0,
            matches: 0,
            left_out: 0,
            duration_ms: 0,
            found: Vec::new(),
            unread: Vec::new(),
            uncounted: Vec::new(),
            excepted: 0,
            alerts: 0,
            error: None,
        }
    }
}

/// Indicators were taken into use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Added {
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    #[serde(rename = "user.name")]
    pub who: String,
    #[serde(rename = "threat.indicator.provider")]
    pub source: String,
    /// The file they are in, relative to the data directory.
    #[serde(rename = "file.path")]
    pub path: String,
    /// Digest of the list as it was given.
    #[serde(rename = "indicators.list.sha256", default)]
    pub sha256: String,
    #[serde(rename = "indicators.count")]
    pub count: u64,
    #[serde(rename = "indicators.refused", default)]
    pub refused: u64,
}

/// Indicators are no longer looked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Removed {
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    #[serde(rename = "user.name")]
    pub who: String,
    /// Only those of this source.
    #[serde(
        rename = "threat.indicator.provider",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub source: Option<String>,
    /// Only those of these values; all of the source where there are none.
    #[serde(rename = "threat.indicator.name", default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Only those with these ids.
    #[serde(rename = "threat.indicator.id", default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    #[serde(rename = "indicators.count")]
    pub count: u64,
}

/// A TAXII server that is asked for indicators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feed {
    /// When it was set up.
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    /// Who set it up.
    #[serde(rename = "user.name")]
    pub who: String,
    /// Its name: the source of its indicators.
    #[serde(rename = "feed.name")]
    pub name: String,
    /// Address of the API root or the discovery page.
    #[serde(rename = "feed.url")]
    pub url: String,
    /// The collection.
    #[serde(rename = "feed.collection")]
    pub collection: String,
    /// Name to give.
    #[serde(rename = "feed.user", default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File with the password, read at each pull.
    #[serde(rename = "feed.password_file", default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
    /// File with a token, read at each pull.
    #[serde(rename = "feed.token_file", default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
    /// File with a certificate authority to trust.
    #[serde(rename = "feed.ca_file", default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Seconds between two pulls.
    #[serde(rename = "feed.interval_s")]
    pub interval_s: u64,
    /// Whether what its indicators are found in becomes alerts, when hunted backwards.
    #[serde(rename = "feed.raise", default)]
    pub raise: bool,
}

/// A feed is no longer asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FeedRemoved {
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    #[serde(rename = "user.name")]
    pub who: String,
    #[serde(rename = "feed.name")]
    pub name: String,
}

/// A feed was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedPulled {
    /// When.
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    /// The feed.
    #[serde(rename = "feed.name")]
    pub name: String,
    /// Where the next pull begins.
    #[serde(rename = "feed.added_after", default, skip_serializing_if = "Option::is_none")]
    pub added_after: Option<String>,
    /// Objects read.
    #[serde(rename = "feed.objects")]
    pub objects: u64,
    /// New indicators.
    #[serde(rename = "indicators.count")]
    pub indicators: u64,
    /// What could not be used.
    #[serde(rename = "indicators.refused")]
    pub refused: u64,
    /// Why it failed, if it did.
    #[serde(rename = "error.message", default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Name of a hunt: `H-000001` and on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HuntId(pub u64);

impl std::fmt::Display for HuntId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "H-{:06}", self.0)
    }
}

impl std::str::FromStr for HuntId {
    type Err = String;

    /// Reads an id as a person types it: `H-000012`, `h-12` or `12`.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("H-").or_else(|| text.strip_prefix("h-")).unwrap_or(text);
        let sound = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse().ok().filter(|number| sound && *number > 0);
        let cut: String = text.chars().take(64).collect();
        number
            .map(HuntId)
            .ok_or_else(|| format!("not a hunt's id: {cut:?} (they look like H-000001)"))
    }
}

impl Serialize for HuntId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HuntId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One hunt as it is known.
#[derive(Debug, Clone)]
pub(crate) struct Hunt {
    pub started: Started,
    pub hits: Vec<Hit>,
    /// How often it started again.
    pub restarts: u32,
    /// Someone wants it to end, and has not started it again since.
    pub cancel_requested: bool,
    pub finished: Option<Finished>,
}

/// A change of the indicators in use, in order.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Added(Added),
    Removed(Removed),
}

/// A feed and how its last pull ended.
#[derive(Debug, Clone)]
pub(crate) struct FeedState {
    pub feed: Feed,
    pub added_after: Option<String>,
    pub last: Option<FeedPulled>,
}

/// Everything that hunting recorded.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    pub hunts: BTreeMap<u64, Hunt>,
    pub last: u64,
    pub changes: Vec<Change>,
    pub feeds: BTreeMap<String, FeedState>,
    hits: usize,
    /// Records that named themselves ours and could not be read.
    pub broken: u64,
}

impl Entry {
    pub fn to_value(&self) -> Value {
        // Proof: these structures have text keys only.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// One of ours among the audit records.
    fn read(bytes: &[u8]) -> Result<Option<Entry>, ()> {
        #[derive(Deserialize)]
        struct Action<'a> {
            #[serde(rename = "event.action", borrow)]
            action: &'a str,
        }
        const OURS: [&str; 10] = [
            "hunt.started",
            "hunt.restarted",
            "hunt.cancel_requested",
            "hunt.matched",
            "hunt.finished",
            "indicators.added",
            "indicators.removed",
            "feed.added",
            "feed.removed",
            "feed.pulled",
        ];
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
            Entry::Started(started) => {
                self.last = self.last.max(started.id.0);
                let number = started.id.0;
                let hunt = Hunt {
                    started: *started,
                    hits: Vec::new(),
                    restarts: 0,
                    cancel_requested: false,
                    finished: None,
                };
                self.hunts.insert(number, hunt);
            }
            Entry::Restarted(restarted) => match self.hunts.get_mut(&restarted.id.0) {
                Some(hunt) => {
                    self.hits -= hunt.hits.len();
                    hunt.hits = Vec::new();
                    hunt.restarts += 1;
                    hunt.cancel_requested = false;
                    hunt.started.digest = restarted.digest;
                    hunt.started.rules = restarted.rules;
                    hunt.started.indicators = restarted.indicators;
                    hunt.started.refused = restarted.refused;
                    hunt.started.events_estimated = restarted.events_estimated;
                    hunt.started.bytes_estimated = restarted.bytes_estimated;
                }
                None => self.broken += 1,
            },
            Entry::CancelRequested(requested) => match self.hunts.get_mut(&requested.id.0) {
                Some(hunt) => hunt.cancel_requested = true,
                None => self.broken += 1,
            },
            Entry::Matched(matched) => match self.hunts.get_mut(&matched.id.0) {
                Some(hunt) => {
                    self.hits += matched.hits.len();
                    hunt.hits.extend(matched.hits);
                }
                None => self.broken += 1,
            },
            Entry::Finished(finished) => match self.hunts.get_mut(&finished.id.0) {
                Some(hunt) => hunt.finished = Some(*finished),
                None => self.broken += 1,
            },
            Entry::Added(added) => self.changes.push(Change::Added(added)),
            Entry::Removed(removed) => self.changes.push(Change::Removed(removed)),
            Entry::FeedAdded(feed) => {
                let name = feed.name.clone();
                let state = FeedState { feed: *feed, added_after: None, last: None };
                self.feeds.insert(name, state);
            }
            Entry::FeedRemoved(removed) => {
                self.feeds.remove(&removed.name);
            }
            Entry::FeedPulled(pulled) => {
                if let Some(state) = self.feeds.get_mut(&pulled.name) {
                    if pulled.error.is_none() {
                        state.added_after = pulled.added_after.clone();
                    }
                    state.last = Some(pulled);
                }
            }
        }
        self.make_room();
    }

    /// Lets the oldest hunts' matches go, then the oldest hunts.
    fn make_room(&mut self) {
        while self.hunts.len() > HUNTS_MAX {
            if let Some((_, hunt)) = self.hunts.pop_first() {
                self.hits -= hunt.hits.len();
            }
        }
        if self.hits <= HITS_IN_MEMORY_MAX {
            return;
        }
        for hunt in self.hunts.values_mut() {
            if hunt.finished.is_some() && !hunt.hits.is_empty() {
                self.hits -= hunt.hits.len();
                hunt.hits = Vec::new();
            }
            if self.hits <= HITS_IN_MEMORY_MAX {
                return;
            }
        }
    }
}
