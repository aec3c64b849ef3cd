//! What a correlation found.

use super::compile::{Correlation, Kind};
use super::condition::Measure;
use super::group::{Episode, Group};
use super::hit::{Hit, JOINT, Payload};
use crate::engine::Evidence;
use crate::limits::{CORRELATION_EVENT_IDS_MAX, CORRELATION_VALUES_SHOWN_MAX, EVIDENCE_CHARS_MAX};
use crate::rule::RuleInfo;
use crate::text::{fold, shorten};
use std::collections::BTreeSet;
use std::sync::Arc;
use yagura_event::{EventId, UtcMicros};

/// A correlation holds for a group of events.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CorrelationMatch {
    /// The correlation.
    pub rule: Arc<RuleInfo>,
    /// What it measures, in Sigma's word, such as `event_count`.
    pub kind: &'static str,
    /// Whether this is a new alert or news of one.
    pub news: News,
    /// Number of the alert: news carry that of the alert they belong to. Unique within a state.
    pub episode: u64,
    /// The group's values by column (ECS or native name; an alias by its own name). A field that
    /// the events do not have is left out.
    pub group: Vec<(Arc<str>, String)>,
    /// Time of the first event counted.
    pub first: UtcMicros,
    /// Time of the last event counted.
    pub last: UtcMicros,
    /// When that event was received.
    pub received: UtcMicros,
    /// Ids of events counted, oldest first: the first and the newest, at most
    /// [`crate::limits::CORRELATION_EVENT_IDS_MAX`].
    pub event_ids: Vec<EventId>,
    /// The event that made it hold; the last one where it was judged when the window was over.
    pub trigger: Option<EventId>,
    /// Events counted since the alert began.
    pub events: u64,
    /// Value of the newest window: a count, or what the numbers come to.
    pub value: Option<f64>,
    /// Some of the values counted, for `value_count`.
    pub values: Vec<String>,
    /// The field that is counted or measured, as the rule writes it.
    pub field: Option<String>,
    /// Rules whose matches were counted, with how many events of each are still known.
    pub rules: Vec<(Arc<RuleInfo>, u64)>,
    /// Why it holds: the value and what was asked of it, and what the events have in common.
    pub evidence: Vec<Evidence>,
    /// Length of the window, in seconds.
    pub timespan_seconds: u64,
    /// Dataset of the newest event.
    pub dataset: Arc<str>,
    /// The host that all events share, if the group says so.
    pub host: Option<String>,
    /// The user, likewise.
    pub user: Option<String>,
    /// The source address, likewise.
    pub source_ip: Option<String>,
}

/// What a [`CorrelationMatch`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// A new alert.
    Raised,
    /// An alert told before now counts at least twice as many events, or the input has ended.
    Updated,
}

impl Correlation {
    /// What to tell of an episode of a group.
    pub(crate) fn tell(
        &self,
        group: &Group,
        episode: &Episode,
        measure: Option<Measure>,
        news: News,
        trigger: Option<&Hit>,
    ) -> CorrelationMatch {
        let hits = group.between(episode.from, episode.last_held);
        let values = group.key.values();
        let part = |role: u8| {
            let position = usize::from(role).checked_sub(1)?;
            values.get(position).cloned().flatten()
        };
        let [host, user, source_ip] = group.roles;
        let shared: Vec<(Arc<str>, String)> = self
            .group_by
            .iter()
            .zip(&values)
            .filter_map(|(field, value)| Some((field.column.clone(), value.clone()?)))
            .collect();
        let rules = self.sources.iter().enumerate().filter_map(|(number, source)| {
            let seen = hits.iter().filter(|hit| usize::from(hit.source) == number).count() as u64;
            (seen > 0).then(|| (source.info.clone(), seen))
        });
        let first = hits.first().map_or(episode.from, |hit| hit.time);
        let last = hits.last().map_or(episode.last_held, |hit| hit.time);
        let value = measure.map(Measure::to_f64);
        CorrelationMatch {
            rule: self.info.clone(),
            kind: self.kind.word(),
            news,
            episode: episode.id,
            evidence: self.evidence(value, &shared),
            group: shared,
            first: UtcMicros::from_micros(first.min(episode.from)),
            last: UtcMicros::from_micros(last),
            received: UtcMicros::from_micros(group.touched),
            event_ids: event_ids(hits),
            trigger: trigger.or(hits.last()).and_then(Hit::event_id),
            events: episode.events,
            value,
            values: texts(hits),
            field: (!self.counted_names.is_empty()).then(|| self.counted_names.join(", ")),
            rules: rules.collect(),
            timespan_seconds: u64::try_from(self.span / 1_000_000).unwrap_or(0),
            dataset: group.dataset.clone(),
            host: part(host),
            user: part(user),
            source_ip: part(source_ip),
        }
    }

    fn evidence(&self, value: Option<f64>, shared: &[(Arc<str>, String)]) -> Vec<Evidence> {
        let asked = match (&self.condition.expression, self.kind) {
            (Some(_), _) => "condition".to_owned(),
            (None, Kind::ValuePercentile(rank)) => {
                format!("percentile {rank} {}", self.condition.words())
            }
            (None, _) => self.condition.words(),
        };
        let measured = Evidence {
            field: self.kind.word().into(),
            value: value.map(|value| value.to_string()).unwrap_or_default(),
            predicate: format!("{asked} in {}", self.span_text),
        };
        let common = shared.iter().map(|(column, value)| Evidence {
            field: column.clone(),
            value: shorten(value, EVIDENCE_CHARS_MAX),
            predicate: "group-by".to_owned(),
        });
        std::iter::once(measured).chain(common).collect()
    }
}

/// The first and the newest.
fn event_ids(hits: &[Hit]) -> Vec<EventId> {
    let mut seen = BTreeSet::new();
    let half = CORRELATION_EVENT_IDS_MAX / 2;
    let mut picked: Vec<&Hit> = match hits.len() > CORRELATION_EVENT_IDS_MAX {
        false => hits.iter().collect(),
        true => hits.iter().take(half).chain(hits.iter().skip(hits.len() - half)).collect(),
    };
    // An event that several rules found is one event.
    picked.retain(|hit| seen.insert((hit.batch, hit.index, hit.stream.clone())));
    picked.into_iter().filter_map(Hit::event_id).collect()
}

fn texts(hits: &[Hit]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut shown = Vec::new();
    for hit in hits {
        let Payload::Text(text) = &hit.payload else { continue };
        if shown.len() >= CORRELATION_VALUES_SHOWN_MAX {
            break;
        }
        if seen.insert(fold(text).into_owned()) {
            shown.push(text.replace(JOINT, " / "));
        }
    }
    shown
}
