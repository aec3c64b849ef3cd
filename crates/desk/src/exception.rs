//! Exceptions: matches of a rule that are known to be in order, kept apart from the rule so that
//! they outlive its updates. Each has a reason, an author and an end.

use crate::alert::{AlertId, Entity};
use crate::limits::{
    EXCEPTION_NAMES_MAX, EXCEPTIONS_IN_FORCE_MAX, EXCEPTIONS_MAX, SUPPRESSED_SHOWN_MAX,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use yagura_event::{UtcMicros, Words};

/// Days after which an exception ends unless its author says otherwise.
pub const EXCEPTION_DAYS: u32 = 90;

/// Longest an exception may be asked to last, in days, short of having no end.
pub const EXCEPTION_DAYS_MAX: u32 = 3_650;

/// Name of an exception: `X-000001` and on, in the order they were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExceptionId(pub(crate) u64);

/// An exception as it was added. Serialises as its audit record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// When it was added.
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    /// Its name.
    #[serde(rename = "exception.id")]
    pub id: ExceptionId,
    /// Who added it.
    #[serde(rename = "user.name")]
    pub who: String,
    /// Why its matches are in order; never empty.
    #[serde(rename = "exception.reason")]
    pub reason: String,
    /// UUIDs of the rules it is an exception from.
    #[serde(rename = "rule.uuid", default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Tags; it is an exception from every rule that has one of them.
    #[serde(rename = "rule.tags", default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Conditions about the event, as a Sigma selection; all must hold.
    #[serde(rename = "exception.conditions", default, skip_serializing_if = "Map::is_empty")]
    pub conditions: Map<String, Value>,
    /// The host, user, source address or dataset the event must name.
    #[serde(rename = "exception.entity", default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<Entity>,
    /// Whether it takes every match of its rules, whatever the event: the rules are then off.
    #[serde(rename = "exception.everything", default, skip_serializing_if = "is_false")]
    pub everything: bool,
    /// When it ends by itself; `None` for never.
    #[serde(rename = "exception.expires", default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<UtcMicros>,
    /// The alert it was made from.
    #[serde(rename = "alert.id", default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertId>,
}

/// What somebody asks to be excepted.
#[derive(Debug, Clone, Default)]
pub struct NewException {
    /// UUIDs of rules.
    pub rules: Vec<String>,
    /// Tags of rules.
    pub tags: Vec<String>,
    /// Conditions about the event, as a Sigma selection.
    pub conditions: Map<String, Value>,
    /// The host, user, source address or dataset.
    pub entity: Option<Entity>,
    /// Whether every match is meant.
    pub everything: bool,
    /// Why.
    pub reason: String,
    /// How long.
    pub lasts: Lasts,
    /// The alert it is made from.
    pub alert: Option<AlertId>,
}

/// How long an exception lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// So many days, 1 to [`EXCEPTION_DAYS_MAX`].
    Days(u32),
    /// Until somebody removes it.
    UntilRemoved,
}

impl Default for Lasts {
    fn default() -> Self {
        Lasts::Days(EXCEPTION_DAYS)
    }
}

/// How an exception stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExceptionState {
    /// It takes matches away.
    InForce,
    /// Its time is over.
    Expired,
    /// Somebody took it back.
    Removed,
}

/// An exception and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExceptionView {
    /// As it was added.
    #[serde(flatten)]
    pub exception: Arc<Exception>,
    /// How it stands.
    #[serde(rename = "exception.state")]
    pub state: ExceptionState,
    /// When it ended.
    #[serde(rename = "exception.ended", skip_serializing_if = "Option::is_none")]
    pub ended: Option<UtcMicros>,
    /// Who removed it.
    #[serde(rename = "exception.removed_by", skip_serializing_if = "Option::is_none")]
    pub removed_by: Option<String>,
    /// Why it was removed.
    #[serde(rename = "exception.note", skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Matches it took away.
    #[serde(rename = "exception.suppressed")]
    pub suppressed: u64,
    /// When the last of them happened.
    #[serde(rename = "exception.last_suppressed", skip_serializing_if = "Option::is_none")]
    pub last: Option<UtcMicros>,
}

/// A match that an exception took away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuppressedMatch {
    /// When it was taken away.
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    /// The event.
    #[serde(rename = "event.id")]
    pub event_id: Box<str>,
    /// The rule.
    #[serde(rename = "rule.uuid")]
    pub rule: Arc<str>,
    /// The rule's title.
    #[serde(rename = "rule.name")]
    pub rule_name: Arc<str>,
    /// Whom or what the alert would have been about.
    #[serde(rename = "alert.entity")]
    pub entity: Arc<Entity>,
}

/// The audit record of an exception's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    #[serde(rename = "exception.id")]
    pub id: ExceptionId,
    #[serde(rename = "user.name", default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    #[serde(rename = "exception.note", default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// The audit record of matches that an exception took away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Suppressed {
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    #[serde(rename = "exception.id")]
    pub id: ExceptionId,
    #[serde(rename = "rule.uuid")]
    pub rule: String,
    #[serde(rename = "rule.name")]
    pub rule_name: String,
    #[serde(rename = "alert.entity")]
    pub entity: Entity,
    /// Never empty, at most [`crate::limits::EVENT_IDS_PER_ENTRY_MAX`].
    #[serde(rename = "event.id")]
    pub event_ids: Vec<Box<str>>,
    /// The latest of the events.
    #[serde(rename = "alert.last_seen")]
    pub last_seen: UtcMicros,
}

/// All exceptions: part of the fold.
#[derive(Debug, Default)]
pub(crate) struct Exceptions {
    known: BTreeMap<ExceptionId, Kept>,
    last: u64,
    in_force: usize,
    /// Ended ones that left memory; the audit log has them.
    pub left_memory: u64,
    /// Matches taken away by all of them.
    pub suppressed: u64,
}

#[derive(Debug)]
struct Kept {
    view: ExceptionView,
    recent: VecDeque<SuppressedMatch>,
}

impl Exceptions {
    pub fn next_id(&self) -> ExceptionId {
        ExceptionId(self.last + 1)
    }

    pub fn is_full(&self) -> bool {
        self.in_force >= EXCEPTIONS_IN_FORCE_MAX
    }

    pub fn get(&self, id: ExceptionId) -> Option<&ExceptionView> {
        self.known.get(&id).map(|kept| &kept.view)
    }

    /// Newest first.
    pub fn all(&self) -> impl Iterator<Item = &ExceptionView> {
        self.known.values().rev().map(|kept| &kept.view)
    }

    pub fn in_force(&self) -> impl Iterator<Item = &Arc<Exception>> {
        let views = self.known.values().map(|kept| &kept.view);
        views.filter(|view| view.state == ExceptionState::InForce).map(|view| &view.exception)
    }

    /// The last matches it took away, newest first.
    pub fn suppressed_by(&self, id: ExceptionId) -> Vec<SuppressedMatch> {
        self.known
            .get(&id)
            .map_or_else(Vec::new, |kept| kept.recent.iter().rev().cloned().collect())
    }

    /// Takes an added exception in; `false` where its id was taken before.
    pub fn add(&mut self, exception: Exception) -> bool {
        if exception.id.0 <= self.last {
            return false;
        }
        self.last = exception.id.0;
        self.in_force += 1;
        let view = ExceptionView {
            exception: Arc::new(exception),
            state: ExceptionState::InForce,
            ended: None,
            removed_by: None,
            note: String::new(),
            suppressed: 0,
            last: None,
        };
        self.known.insert(ExceptionId(self.last), Kept { view, recent: VecDeque::new() });
        self.make_room();
        true
    }

    /// Ends an exception; `false` where it is unknown or has ended.
    pub fn end(&mut self, ended: Ended, state: ExceptionState) -> bool {
        let Some(kept) = self.known.get_mut(&ended.id) else { return false };
        if kept.view.state != ExceptionState::InForce {
            return false;
        }
        kept.view.state = state;
        kept.view.ended = Some(ended.at);
        kept.view.removed_by = ended.who;
        kept.view.note = ended.note;
        self.in_force -= 1;
        true
    }

    /// Counts matches taken away. Those of an exception that left memory still count in total.
    pub fn suppress(&mut self, record: &Suppressed) {
        let count = record.event_ids.len() as u64;
        self.suppressed += count;
        let Some(kept) = self.known.get_mut(&record.id) else { return };
        kept.view.suppressed += count;
        kept.view.last = kept.view.last.max(Some(record.last_seen));
        let rule: Arc<str> = record.rule.as_str().into();
        let rule_name: Arc<str> = record.rule_name.as_str().into();
        let entity = Arc::new(record.entity.clone());
        let newest = record.event_ids.iter().rev().take(SUPPRESSED_SHOWN_MAX).rev();
        for event_id in newest {
            kept.recent.push_back(SuppressedMatch {
                at: record.at,
                event_id: event_id.clone(),
                rule: rule.clone(),
                rule_name: rule_name.clone(),
                entity: entity.clone(),
            });
            if kept.recent.len() > SUPPRESSED_SHOWN_MAX {
                kept.recent.pop_front();
            }
        }
    }

    /// Lets the oldest ended exception go; those in force are refused before there are too many.
    fn make_room(&mut self) {
        while self.known.len() > EXCEPTIONS_MAX {
            let mut ended = self.known.iter().filter(|(_, kept)| kept.view.ended.is_some());
            let oldest = ended.next().map(|(id, _)| *id);
            let Some(oldest) = oldest else { return };
            self.known.remove(&oldest);
            self.left_memory += 1;
        }
    }
}

impl NewException {
    /// Why it cannot be added, if it cannot; conditions are read by whoever compiles them.
    pub(crate) fn fault(&self) -> Option<Words> {
        if self.reason.trim().is_empty() {
            return Some(Words::new(
                "an exception needs a reason: say why these matches are in order",
                "例外には理由が必要です。なぜ問題のない一致なのかを書いてください",
            ));
        }
        if self.rules.is_empty() && self.tags.is_empty() {
            return Some(Words::new(
                "an exception needs a rule (its id) or a tag of rules",
                "例外にするルールのIDか、ルールのタグを指定してください",
            ));
        }
        let narrow = !self.conditions.is_empty() || self.entity.is_some();
        if self.everything && narrow {
            return Some(Words::new(
                "either every match, or those with conditions or an entity",
                "すべての一致（everything）と、条件や対象は同時に指定できません",
            ));
        }
        if !self.everything && !narrow {
            return Some(Words::new(
                "say which matches: give conditions or an entity. To take away every match of \
                 the rule, ask for everything: the rule is then off, which is shown as a gap",
                "どの一致を例外にするかを、条件か対象で指定してください。すべての一致を例外にする\
                 （everything）と、ルールは働かなくなり、検知のすき間として表示されます",
            ));
        }
        let names = self.rules.len() + self.tags.len();
        if names > EXCEPTION_NAMES_MAX {
            return Some(Words::new(
                format!("{names} rules and tags: {EXCEPTION_NAMES_MAX} are the most"),
                format!(
                    "ルールとタグが{names}件あります。{EXCEPTION_NAMES_MAX}件までにしてください"
                ),
            ));
        }
        if self.entity.as_ref().is_some_and(|entity| entity.value.trim().is_empty()) {
            return Some(Words::new("the entity needs a name", "対象の名前がありません"));
        }
        match self.lasts {
            Lasts::Days(days) if !(1..=EXCEPTION_DAYS_MAX).contains(&days) => Some(Words::new(
                format!("{days} days: 1 to {EXCEPTION_DAYS_MAX} are possible, or no end"),
                format!(
                    "{days}日は指定できません。1～{EXCEPTION_DAYS_MAX}日か、期限なしにしてください"
                ),
            )),
            Lasts::Days(_) | Lasts::UntilRemoved => None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this shape")]
fn is_false(value: &bool) -> bool {
    !value
}

impl fmt::Display for ExceptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "X-{:06}", self.0)
    }
}

impl FromStr for ExceptionId {
    type Err = String;

    /// Reads an id as a person types it: `X-000012`, `x-12` or `12`.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("X-").or_else(|| text.strip_prefix("x-")).unwrap_or(text);
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = all_digits.then(|| digits.parse().ok()).flatten();
        number.filter(|number| *number > 0).map(ExceptionId).ok_or_else(|| {
            let text: String = text.chars().take(64).collect();
            format!("not an exception id: {text:?} (they look like X-000001)")
        })
    }
}

impl Serialize for ExceptionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ExceptionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
