//! What the audit log says of pins: the state is a fold of its records, and there is no other.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use yagura_event::{EventId, StreamName, UtcMicros};

pub(super) const PINNED: &str = "pin.added";
pub(super) const UNPINNED: &str = "pin.removed";

/// Why events were pinned, or are no longer, and by whom: what one request says of all its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Because {
    #[serde(rename = "@timestamp")]
    pub(crate) at: UtcMicros,
    pub(crate) reason: String,
    /// The case it is for.
    #[serde(default)]
    pub(crate) case: String,
    /// Who asks, as he names himself.
    #[serde(rename = "user.name")]
    pub(crate) by: String,
    /// Whose account it came from.
    #[serde(rename = "user.account")]
    pub(crate) account: String,
}

/// A record about pins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(rename = "event.action")]
    pub(super) action: String,
    /// The events.
    pub(super) events: Vec<EventId>,
    #[serde(flatten)]
    pub(super) because: Because,
}

/// A pinned event.
#[derive(Debug, Clone)]
pub(super) struct Pin {
    stream: StreamName,
    pub(super) because: Arc<Because>,
}

/// The fold.
#[derive(Debug, Clone, Default)]
pub(crate) struct PinFold {
    /// By batch, which is unique within the log, and index.
    pins: BTreeMap<(u64, u32), Pin>,
}

#[derive(Deserialize)]
struct Action<'a> {
    #[serde(rename = "event.action", borrow)]
    action: &'a str,
}

impl PinFold {
    /// Folds one audit record; those of other kinds, and those that mean nothing, are ignored.
    pub(crate) fn replay(&mut self, entry: &[u8]) {
        // Most records are others; they are not parsed for this.
        let known = serde_json::from_slice::<Action<'_>>(entry);
        if known.is_ok_and(|entry| [PINNED, UNPINNED].contains(&entry.action))
            && let Ok(entry) = serde_json::from_slice::<Entry>(entry)
        {
            self.add(entry);
        }
    }

    pub(super) fn add(&mut self, entry: Entry) {
        let because = Arc::new(entry.because);
        for id in entry.events {
            if entry.action == PINNED {
                let pin = Pin { stream: id.stream, because: because.clone() };
                self.pins.entry((id.batch, id.index)).or_insert(pin);
            } else if self.has(&id) {
                self.pins.remove(&(id.batch, id.index));
            }
        }
    }

    /// Whether an event is pinned.
    pub(crate) fn has(&self, id: &EventId) -> bool {
        let pin = self.pins.get(&(id.batch, id.index));
        pin.is_some_and(|pin| pin.stream == id.stream)
    }

    /// How many events are pinned.
    pub(crate) fn len(&self) -> usize {
        self.pins.len()
    }

    /// How many events of a batch are pinned.
    pub(crate) fn of_batch(&self, batch: u64) -> u64 {
        self.pins.range((batch, 0)..=(batch, u32::MAX)).count() as u64
    }

    /// Every pinned event, by batch and index.
    pub(crate) fn ids(&self) -> impl Iterator<Item = EventId> {
        self.all().map(|(id, _)| id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (EventId, &Pin)> {
        self.pins.iter().map(|((batch, index), pin)| {
            (EventId { stream: pin.stream.clone(), batch: *batch, index: *index }, pin)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_pinned_from_its_record_to_the_one_that_takes_it_back() {
        let record = |action: &str, events: &[&str], reason: &str| {
            json!({
                "event.action": action, "@timestamp": "2026-11-21T09:00:00Z", "events": events,
                "reason": reason, "case": "C-1", "user.name": "sato", "user.account": "local",
            })
            .to_string()
        };
        let mut fold = PinFold::default();
        for entry in [
            record(PINNED, &["syslog/4/0", "syslog/4/7", "a/b/5/1"], "first"),
            // Pinned again it stays as it was pinned first; another stream has no such batch.
            record(PINNED, &["syslog/4/7"], "second"),
            record(UNPINNED, &["other/4/0"], "of another stream"),
            record("hold.added", &["syslog/9/9"], "is none"),
            record(PINNED, &["syslog/9"], "is no event"),
            "not json".to_owned(),
        ] {
            fold.replay(entry.as_bytes());
        }
        let ids = |fold: &PinFold| fold.ids().map(|id| id.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(&fold), ["syslog/4/0", "syslog/4/7", "a/b/5/1"]);
        assert!(fold.all().all(|(_, pin)| pin.because.reason == "first"));
        assert_eq!([3, 4, 5].map(|batch| fold.of_batch(batch)), [0, 2, 1]);
        assert!(!fold.has(&"other/4/7".parse().unwrap()));
        fold.replay(record(UNPINNED, &["syslog/4/0", "syslog/4/9"], "over").as_bytes());
        assert_eq!(ids(&fold), ["syslog/4/7", "a/b/5/1"]);
        fold.replay(record(PINNED, &["syslog/4/0"], "again").as_bytes());
        assert_eq!(fold.len(), 3);
    }
}
