//! One event, reduced to what acts are made of.

use crate::kinds::Route;
use std::cmp::Ordering;
use std::sync::Arc;
use yagura_event::EventId;

#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) place: Place,
    pub(crate) route: Route,
    pub(crate) dataset: Arc<str>,
    pub(crate) late: bool,
    pub(crate) values: Vec<(&'static str, Box<str>)>,
}

/// When and where an event is. The order of places is the order in which events are looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// `@timestamp`, microseconds.
    pub(crate) time: i64,
    /// The source's own number (Windows' record number), which orders what has the same time.
    pub(crate) sequence: i64,
    pub(crate) id: EventId,
    /// `event.ingested`, microseconds.
    pub(crate) received: i64,
}

impl Item {
    /// A value, unless it is one of the marks for none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.values.iter().find(|(column, _)| *column == name)?;
        let value = value.trim();
        (!matches!(value, "" | "-" | "(null)")).then_some(value)
    }

    /// The first of several names that has a value.
    pub(crate) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// A number, decimal or as Windows writes it (`0x1f4`).
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        number(self.get(name)?)
    }

    /// The host in small letters, for comparing.
    pub(crate) fn host(&self) -> String {
        self.get("host.name").unwrap_or_default().to_lowercase()
    }

    pub(crate) fn code(&self) -> &str {
        self.get("event.code").unwrap_or_default()
    }

    pub(crate) fn failed(&self) -> bool {
        self.get("event.outcome") == Some("failure")
    }
}

pub(crate) fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place.cmp(&other.place)
    }
}
