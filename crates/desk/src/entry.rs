use crate::alert::{AlertId, Entity, Verdict};
use crate::exception::{Ended, Exception, Suppressed};
use crate::finding::{EvidenceItem, RuleCopy};
use crate::gap::{Gap, GapClosed};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use yagura_event::UtcMicros;

/// One audit record of the desk. The words are part of the stored format and never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event.action")]
pub(crate) enum Entry {
    #[serde(rename = "alert.raised")]
    Raised(Box<Raised>),
    #[serde(rename = "alert.extended")]
    Extended(Extended),
    #[serde(rename = "alert.acknowledged")]
    Acknowledged(Command),
    #[serde(rename = "alert.closed")]
    Closed(Command),
    #[serde(rename = "alert.reopened")]
    Reopened(Command),
    #[serde(rename = "alert.commented")]
    Commented(Command),
    #[serde(rename = "alert.delivery")]
    Delivery(Delivery),
    #[serde(rename = "exception.added")]
    ExceptionAdded(Box<Exception>),
    #[serde(rename = "exception.removed")]
    ExceptionRemoved(Ended),
    #[serde(rename = "exception.expired")]
    ExceptionExpired(Ended),
    #[serde(rename = "exception.suppressed")]
    Suppressed(Suppressed),
    #[serde(rename = "gap.opened")]
    GapOpened(Box<Gap>),
    #[serde(rename = "gap.closed")]
    GapClosed(GapClosed),
}

/// A new alert with its first event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Raised {
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    #[serde(rename = "alert.id")]
    pub id: AlertId,
    #[serde(rename = "alert.entity")]
    pub entity: Entity,
    #[serde(flatten)]
    pub rule: Arc<RuleCopy>,
    #[serde(rename = "event.dataset")]
    pub dataset: String,
    #[serde(rename = "host.name", default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(rename = "user.name", default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(rename = "source.ip", default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
    #[serde(rename = "event.id")]
    pub event_id: Box<str>,
    #[serde(rename = "alert.first_seen")]
    pub seen: UtcMicros,
    #[serde(rename = "event.ingested")]
    pub received: UtcMicros,
    #[serde(rename = "alert.sentence_ja")]
    pub sentence_ja: String,
    #[serde(rename = "alert.sentence_en")]
    pub sentence_en: String,
    #[serde(rename = "alert.evidence")]
    pub evidence: Vec<EvidenceItem>,
    /// Whether a webhook is to be told.
    #[serde(rename = "alert.notify", default)]
    pub notify: bool,
}

/// Further events of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extended {
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    #[serde(rename = "alert.id")]
    pub id: AlertId,
    /// Never empty, at most [`crate::limits::EVENT_IDS_PER_ENTRY_MAX`].
    #[serde(rename = "event.id")]
    pub event_ids: Vec<Box<str>>,
    /// Earliest event of this record.
    #[serde(rename = "alert.first_seen")]
    pub first_seen: UtcMicros,
    /// Latest event of this record.
    #[serde(rename = "alert.last_seen")]
    pub last_seen: UtcMicros,
    /// Events per UTC hour. Records of version 0.1 lack it: all are then counted in the last hour.
    #[serde(rename = "alert.hours", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hours: BTreeMap<UtcMicros, u64>,
    #[serde(rename = "alert.sentence_ja")]
    pub sentence_ja: String,
    #[serde(rename = "alert.sentence_en")]
    pub sentence_en: String,
}

/// What a person decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Command {
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    #[serde(rename = "alert.id")]
    pub id: AlertId,
    #[serde(rename = "user.name")]
    pub who: String,
    #[serde(rename = "alert.verdict", default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    #[serde(rename = "alert.note", default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// The end of a webhook delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    #[serde(rename = "alert.id")]
    pub id: AlertId,
    #[serde(rename = "delivery.id")]
    pub delivery: String,
    /// Host and port of the receiver; never its path or query, which may hold a token.
    #[serde(rename = "destination.address")]
    pub receiver: String,
    #[serde(rename = "event.outcome")]
    pub outcome: Outcome,
    #[serde(rename = "delivery.attempts")]
    pub attempts: u32,
    #[serde(
        rename = "http.response.status_code",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub status: Option<u16>,
    #[serde(rename = "event.reason", default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Success,
    Failure,
}

/// What the bytes of an audit record are to the desk.
pub(crate) enum Read {
    Entry(Entry),
    /// A record of somebody else, or of a newer version.
    NotOurs,
}

impl Entry {
    /// Reads the bytes of an audit record.
    ///
    /// # Errors
    /// Why a record that names itself one of ours cannot be read.
    pub fn read(bytes: &[u8]) -> Result<Read, String> {
        const OURS: [&str; 13] = [
            "alert.raised",
            "alert.extended",
            "alert.acknowledged",
            "alert.closed",
            "alert.reopened",
            "alert.commented",
            "alert.delivery",
            "exception.added",
            "exception.removed",
            "exception.expired",
            "exception.suppressed",
            "gap.opened",
            "gap.closed",
        ];
        let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let action = value.get("event.action").and_then(Value::as_str).unwrap_or_default();
        if !OURS.contains(&action) {
            return Ok(Read::NotOurs);
        }
        let action = action.to_owned();
        serde_json::from_value(value).map(Read::Entry).map_err(|error| format!("{action}: {error}"))
    }

    /// The record as it is appended.
    pub fn to_value(&self) -> Result<Value, serde_json::Error> {
        serde_json::to_value(self)
    }
}
