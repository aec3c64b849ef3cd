use crate::alert::{Alert, AlertId, Entity};
use crate::entry::{Entry, Extended, Raised};
use crate::fold::{Fold, Group};
use crate::limits::{
    EVENT_IDS_PER_ENTRY_MAX, HOURS_PER_ENTRY_MAX, OPEN_ALERTS_PER_GROUP_LOOKED_AT,
};
use crate::recent::finding_key;
use crate::{DeskOptions, Finding, Say};
use std::collections::{BTreeMap, HashMap, HashSet};
use yagura_event::UtcMicros;

/// The records that a set of findings asks for, and what asks for none.
pub(crate) struct Plan {
    pub entries: Vec<Entry>,
    pub repeated: u64,
    pub below_level: BTreeMap<String, u64>,
}

/// Findings that go to one alert.
struct Target {
    id: AlertId,
    raised_by: Option<Finding>,
    /// Of the alert with everything planned for it.
    first_seen: UtcMicros,
    last_seen: UtcMicros,
    added: Vec<Finding>,
}

/// Works out which alerts `findings` raise and extend. Changes nothing.
pub(crate) fn plan(
    fold: &Fold,
    options: &DeskOptions,
    now: UtcMicros,
    findings: Vec<Finding>,
    say: &Say<'_>,
) -> Plan {
    let mut plan = Plan { entries: Vec::new(), repeated: 0, below_level: BTreeMap::new() };
    let mut seen = HashSet::new();
    let mut targets: Vec<Target> = Vec::new();
    let mut by_group: HashMap<Group, Vec<usize>> = HashMap::new();
    let mut next = fold.last_id().number();
    for finding in findings {
        if finding.rule.level < options.min_level {
            *plan.below_level.entry(finding.rule.uuid.clone()).or_default() += 1;
            continue;
        }
        let finding = finding.bounded();
        let key = finding_key(&finding.rule.uuid, &finding.event_id.to_string());
        if fold.recent().contains(&key) || !seen.insert(key) {
            plan.repeated += 1;
            continue;
        }
        let group = Group::new(&finding.rule.uuid, &Entity::of(&finding));
        let planned = by_group.entry(group.clone()).or_default();
        let position = find_target(fold, options, &targets, planned, &group, finding.timestamp);
        let target = match position {
            Found::Planned(position) => targets.get_mut(position),
            Found::Stored(alert) => {
                planned.push(targets.len());
                targets.push(Target {
                    id: alert.id,
                    raised_by: None,
                    first_seen: alert.first_seen,
                    last_seen: alert.last_seen,
                    added: Vec::new(),
                });
                targets.last_mut()
            }
            Found::Nothing => None,
        };
        match target {
            Some(target) => {
                target.first_seen = target.first_seen.min(finding.timestamp);
                target.last_seen = target.last_seen.max(finding.timestamp);
                target.added.push(finding);
            }
            None => {
                next += 1;
                planned.push(targets.len());
                targets.push(Target {
                    id: AlertId(next),
                    first_seen: finding.timestamp,
                    last_seen: finding.timestamp,
                    raised_by: Some(finding),
                    added: Vec::new(),
                });
            }
        }
    }
    // Alerts that exist come first: a new one may push an old one out of memory.
    let (new, old): (Vec<_>, Vec<_>) = targets.into_iter().partition(|t| t.raised_by.is_some());
    for target in old.into_iter().chain(new) {
        write_entries(target, options, now, say, &mut plan.entries);
    }
    plan
}

enum Found<'a> {
    Planned(usize),
    Stored(&'a Alert),
    Nothing,
}

fn find_target<'a>(
    fold: &'a Fold,
    options: &DeskOptions,
    targets: &[Target],
    planned: &[usize],
    group: &Group,
    at: UtcMicros,
) -> Found<'a> {
    let near = |first: UtcMicros, last: UtcMicros| {
        at >= first.plus_micros(-options.window_micros)
            && at <= last.plus_micros(options.window_micros)
    };
    let newest_first = planned.iter().rev().take(OPEN_ALERTS_PER_GROUP_LOOKED_AT);
    for position in newest_first {
        if targets.get(*position).is_some_and(|t| near(t.first_seen, t.last_seen)) {
            return Found::Planned(*position);
        }
    }
    let is_planned = |id: AlertId| {
        planned.iter().filter_map(|position| targets.get(*position)).any(|target| target.id == id)
    };
    let mut open = fold.open_alerts(group).take(OPEN_ALERTS_PER_GROUP_LOOKED_AT);
    let stored =
        open.find(|alert| near(alert.first_seen, alert.last_seen) && !is_planned(alert.id));
    stored.map_or(Found::Nothing, |alert| Found::Stored(alert))
}

/// The beginning of the UTC hour an instant lies in.
pub(crate) fn hour_of(at: UtcMicros) -> UtcMicros {
    const HOUR_MICROS: i64 = 60 * 60 * 1_000_000;
    let micros = at.as_micros();
    UtcMicros::from_micros(micros - micros.rem_euclid(HOUR_MICROS))
}

fn write_entries(
    target: Target,
    options: &DeskOptions,
    now: UtcMicros,
    say: &Say<'_>,
    entries: &mut Vec<Entry>,
) {
    let id = target.id;
    if let Some(first) = target.raised_by {
        let notify = options.notify_level.is_some_and(|level| first.rule.level >= level);
        let entity = Entity::of(&first);
        let (sentence_ja, sentence_en) = first.words.said(say);
        entries.push(Entry::Raised(Box::new(Raised {
            at: now,
            id,
            entity,
            rule: first.rule,
            dataset: first.dataset,
            host: first.host,
            user: first.user,
            source_ip: first.source_ip,
            event_id: first.event_id.to_string().into(),
            seen: first.timestamp,
            received: first.received,
            sentence_ja,
            sentence_en,
            evidence: first.evidence,
            notify,
        })));
    }
    for chunk in target.added.chunks(EVENT_IDS_PER_ENTRY_MAX) {
        let times = chunk.iter().map(|finding| finding.timestamp);
        let (Some(first_seen), Some(last_seen), Some(last)) =
            (times.clone().min(), times.max(), chunk.last())
        else {
            continue;
        };
        let mut hours = BTreeMap::new();
        for finding in chunk {
            let hour = hour_of(finding.timestamp);
            let full = hours.len() >= HOURS_PER_ENTRY_MAX && !hours.contains_key(&hour);
            let latest = hours.last_key_value().map(|(latest, _)| *latest).filter(|_| full);
            *hours.entry(latest.unwrap_or(hour)).or_default() += 1;
        }
        let (sentence_ja, sentence_en) = last.words.clone().said(say);
        entries.push(Entry::Extended(Extended {
            at: now,
            id,
            hours,
            event_ids: chunk.iter().map(|finding| finding.event_id.to_string().into()).collect(),
            first_seen,
            last_seen,
            sentence_ja,
            sentence_en,
        }));
    }
}
