//! An act being put together.

use crate::act::{Act, ActKind, ActState, listed};
use crate::item::{Item, Place};
use crate::limits::{DISTINCT_MAX, EVENTS_PER_ACT_MAX};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use yagura_event::UtcMicros;

#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) kind: ActKind,
    pub(crate) events: Vec<Place>,
    datasets: BTreeSet<Arc<str>>,
    pub(crate) begun: bool,
    pub(crate) ended: bool,
    pub(crate) part: u32,
    late: u32,
    texts: BTreeMap<&'static str, Box<str>>,
    numbers: BTreeMap<&'static str, i64>,
    /// Distinct values: those of `name` are counted in the number it is paired with.
    distinct: BTreeMap<&'static str, BTreeSet<Box<str>>>,
}

impl Draft {
    pub(crate) fn new(kind: ActKind) -> Draft {
        Draft {
            kind,
            events: Vec::new(),
            datasets: BTreeSet::new(),
            begun: false,
            ended: false,
            part: 1,
            late: 0,
            texts: BTreeMap::new(),
            numbers: BTreeMap::new(),
            distinct: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, item: &Item) {
        self.events.push(item.place.clone());
        self.late += u32::from(item.late);
        if !self.datasets.contains(&item.dataset) {
            self.datasets.insert(item.dataset.clone());
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.events.len() >= EVENTS_PER_ACT_MAX
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(|text| &**text)
    }

    /// Sets a text unless it has one.
    pub(crate) fn fill(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value
            && !self.texts.contains_key(name)
        {
            self.texts.insert(name, value.into());
        }
    }

    pub(crate) fn set(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.texts.insert(name, value.into());
        }
    }

    pub(crate) fn count(&mut self, name: &'static str, more: i64) {
        let number = self.numbers.entry(name).or_default();
        *number = number.saturating_add(more);
    }

    pub(crate) fn number(&self, name: &str) -> i64 {
        self.numbers.get(name).copied().unwrap_or(0)
    }

    /// Remembers one of several values.
    pub(crate) fn meet(&mut self, name: &'static str, value: Option<&str>) {
        let Some(value) = value else { return };
        let values = self.distinct.entry(name).or_default();
        if values.len() < DISTINCT_MAX && !values.contains(value) {
            values.insert(value.into());
        }
    }

    pub(crate) fn met(&self, name: &str) -> usize {
        self.distinct.get(name).map_or(0, BTreeSet::len)
    }

    /// Everything of `other`, which was part of the same after all.
    pub(crate) fn absorb(&mut self, other: Draft) {
        self.events.extend(other.events);
        self.datasets.extend(other.datasets);
        self.late += other.late;
        for (name, text) in other.texts {
            self.texts.entry(name).or_insert(text);
        }
        for (name, number) in other.numbers {
            self.count(name, number);
        }
        for (name, values) in other.distinct {
            for value in &values {
                self.meet(name, Some(value));
            }
        }
    }

    /// What goes on after a limit: the same act without its events and counts.
    pub(crate) fn next_part(&self) -> Draft {
        Draft {
            events: Vec::new(),
            numbers: BTreeMap::new(),
            distinct: BTreeMap::new(),
            datasets: BTreeSet::new(),
            late: 0,
            part: self.part.saturating_add(1),
            ..self.clone()
        }
    }

    /// The finished act; `None` without events.
    pub(crate) fn finish(mut self, state: ActState) -> Option<Act> {
        self.events.sort_unstable();
        let (first, last) = (self.events.first()?.clone(), self.events.last()?.clone());
        let mut texts: BTreeMap<&'static str, String> =
            self.texts.into_iter().map(|(name, text)| (name, text.into())).collect();
        let mut numbers = self.numbers;
        for (name, values) in self.distinct {
            let many = i64::try_from(values.len()).unwrap_or(i64::MAX);
            if let Some(count) = count_of(name) {
                numbers.insert(count, many);
            }
            let text = listed(&values);
            match (single_of(name), values.len()) {
                // A single one is simply what the act is about.
                (Some(single), 1) => texts.entry(single).or_insert(text),
                _ => texts.entry(name).or_insert(text),
            };
        }
        numbers.retain(|_, number| *number != 0);
        Some(Act {
            kind: self.kind,
            start: UtcMicros::from_micros(first.time),
            end: UtcMicros::from_micros(last.time),
            event_ids: self.events.into_iter().map(|place| place.id).collect(),
            datasets: self.datasets,
            state,
            begun: self.begun,
            part: self.part,
            late: self.late,
            texts,
            numbers,
            first,
        })
    }
}

/// The field that counts the distinct values of a field.
fn count_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "act.accounts" => "act.accounts_count",
        "act.destinations" => "act.destinations_count",
        _ => return None,
    })
}

/// The field that holds the value where there is only one.
fn single_of(name: &str) -> Option<&'static str> {
    match name {
        "act.accounts" => Some("user.name"),
        _ => None,
    }
}
