//! Where a noisy rule's hits come from, and which exception would take away which share of them.

use crate::limits::TUNE_VALUES_MAX;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Shares below this are not worth an exception.
const SHARE_MIN: f64 = 0.2;

/// Suggestions for one rule at most.
const SUGGESTIONS_MAX: usize = 5;

/// Hits of one rule, counted by what their events have in common.
#[derive(Debug, Clone, Default)]
pub struct Hits {
    hits: u64,
    alerts: u64,
    false_alarms: u64,
    true_alarms: u64,
    events: u64,
    values: BTreeMap<String, HashMap<String, u64>>,
    entities: HashMap<(String, String), u64>,
    entities_only: bool,
}

/// One exception that would help.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suggestion {
    /// Whether it is about the host, user, address or dataset of the alerts; else about a field of the
    /// events.
    pub entity: bool,
    /// The field, as ECS calls it.
    pub field: String,
    /// The value.
    pub value: String,
    /// Share of the hits it would take away, 0 to 1.
    pub share: f64,
    /// How many of the hits looked at that is.
    pub removed: u64,
    /// How many were looked at.
    pub of: u64,
}

/// A rule with what was learned of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Noisy {
    /// The rule's id.
    #[serde(rename = "rule.uuid")]
    pub rule_id: String,
    /// The rule's title.
    #[serde(rename = "rule.name")]
    pub rule_title: String,
    /// Matches, of all its alerts.
    pub hits: u64,
    /// Its alerts.
    pub alerts: u64,
    /// Alerts that someone closed as false or harmless.
    pub false_alarms: u64,
    /// Alerts that someone closed as true.
    pub true_alarms: u64,
    /// What would help, most first.
    pub suggestions: Vec<Suggestion>,
}

impl Hits {
    /// Notes one alert: how many hits it stands for, whose it is, and what was decided of it
    /// (`Some(true)` for a true one).
    pub fn alert(&mut self, hits: u64, entity: Option<(&str, &str)>, verdict: Option<bool>) {
        self.alerts += 1;
        self.hits += hits;
        match verdict {
            Some(true) => self.true_alarms += 1,
            Some(false) => self.false_alarms += 1,
            None => {}
        }
        if let Some((field, value)) = entity {
            let key = (field.to_owned(), value.to_owned());
            if self.entities.len() < TUNE_VALUES_MAX || self.entities.contains_key(&key) {
                *self.entities.entry(key).or_default() += hits;
            }
        }
    }

    /// Notes that it is no rule about single events, but a correlation or an indicator. Only exceptions
    /// about an entity apply to it.
    pub fn entities_only(&mut self) {
        self.entities_only = true;
    }

    /// Notes the fields of one of the events that were hit.
    pub fn event<'a>(&mut self, fields: impl IntoIterator<Item = (&'a str, &'a str)>) {
        self.events += 1;
        for (field, value) in fields.into_iter().filter(|(field, _)| says_something(field)) {
            let values = self.values.entry(field.to_owned()).or_default();
            if values.len() < TUNE_VALUES_MAX || values.contains_key(value) {
                *values.entry(value.to_owned()).or_default() += 1;
            }
        }
    }

    /// How many matches were noted.
    pub fn hits(&self) -> u64 {
        self.hits
    }

    /// What would help. `constant` says which `field = value` the rule itself asks for: an exception
    /// for that would switch it off.
    pub fn suggestions(&self, constant: impl Fn(&str, &str) -> bool) -> Vec<Suggestion> {
        let of_entities = self
            .entities
            .iter()
            .map(|((field, value), count)| (true, field, value, *count, self.hits));
        // An exception about a field is asked of one event; what a correlation counted is none.
        let values = (!self.entities_only).then_some(&self.values).into_iter().flatten();
        let of_values = values.flat_map(|(field, values)| {
            values.iter().map(move |(value, count)| (false, field, value, *count, self.events))
        });
        let mut found: Vec<Suggestion> = of_entities
            .chain(of_values)
            .filter(|(_, field, value, count, of)| {
                let share = *count as f64 / (*of).max(1) as f64;
                // What all events have in common is what the rule looks for.
                share >= SHARE_MIN && !(*count == *of && constant(field, value))
            })
            .map(|(entity, field, value, removed, of)| Suggestion {
                entity,
                field: field.clone(),
                value: value.clone(),
                share: removed as f64 / of.max(1) as f64,
                removed,
                of,
            })
            .collect();
        found.sort_by(|a, b| {
            b.share
                .total_cmp(&a.share)
                .then_with(|| (&a.field, &a.value).cmp(&(&b.field, &b.value)))
        });
        found.dedup_by(|a, b| a.field == b.field && a.value == b.value);
        found.truncate(SUGGESTIONS_MAX);
        found
    }

    /// All of it, for rows.
    pub fn report(
        &self,
        rule_id: &str,
        rule_title: &str,
        constant: impl Fn(&str, &str) -> bool,
    ) -> Noisy {
        Noisy {
            rule_id: rule_id.to_owned(),
            rule_title: rule_title.to_owned(),
            hits: self.hits,
            alerts: self.alerts,
            false_alarms: self.false_alarms,
            true_alarms: self.true_alarms,
            suggestions: self.suggestions(constant),
        }
    }
}

/// Whether a field could be what tells noise apart: who, where, with what; not when, nor what kind
/// of event it is, nor where its record lies.
fn says_something(field: &str) -> bool {
    const WHO_AND_WHAT: [&str; 9] = [
        "host.",
        "user.",
        "source.",
        "destination.",
        "process.",
        "file.",
        "service.",
        "url.",
        "registry.",
    ];
    const NEVER: [&str; 6] = ["pid", "port", "entity_id", "thread.id", "hash", "bytes"];
    WHO_AND_WHAT.iter().any(|start| field.starts_with(start))
        && !NEVER.iter().any(|part| field.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_most_hits_share_is_suggested_unless_the_rule_asks_for_it() {
        let mut hits = Hits::default();
        hits.alert(8, Some(("host.name", "backup01")), Some(false));
        hits.alert(2, Some(("host.name", "pc7")), None);
        for number in 0..10 {
            let host = if number < 8 { "backup01" } else { "pc7" };
            let user = if number < 6 { "svc" } else { ["a", "b", "c", "d"][number - 6] };
            hits.event([
                ("host.name", host),
                ("user.name", user),
                ("process.name", "x.exe"),
                ("event.code", "1"),
            ]);
        }
        let noisy = hits.report("id", "Rule", |field, _| field == "process.name");
        assert_eq!(
            (noisy.hits, noisy.alerts, noisy.false_alarms, noisy.true_alarms),
            (10, 2, 1, 0)
        );
        let said: Vec<_> = noisy
            .suggestions
            .iter()
            .map(|s| (s.field.as_str(), s.value.as_str(), s.removed, s.of))
            .collect();
        assert_eq!(
            said,
            [
                ("host.name", "backup01", 8, 10),
                ("user.name", "svc", 6, 10),
                ("host.name", "pc7", 2, 10)
            ]
        );
    }

    #[test]
    fn for_a_correlation_only_entities_are_suggested() {
        let mut hits = Hits::default();
        hits.entities_only();
        hits.alert(10, Some(("host.name", "backup01")), None);
        (0..10).for_each(|_| hits.event([("user.name", "svc"), ("host.name", "backup01")]));
        let said = hits.suggestions(|_, _| false);
        let said: Vec<_> = said.iter().map(|one| (one.entity, one.field.as_str())).collect();
        assert_eq!(said, [(true, "host.name")]);
    }

    #[test]
    fn values_past_the_limit_are_not_counted_apart() {
        let count = |values: usize| {
            let mut hits = Hits::default();
            for number in 0..values {
                hits.event([("user.name", number.to_string().as_str())]);
            }
            hits.values["user.name"].len()
        };
        assert_eq!(count(TUNE_VALUES_MAX), TUNE_VALUES_MAX);
        assert_eq!(count(TUNE_VALUES_MAX + 1), TUNE_VALUES_MAX);
    }
}
