//! Risk of an entity: what its alerts add up to over the four phases of an attack, so that a chain
//! on one host outranks a hundred single noises.
//!
//! A pure function of the alerts in memory and the present, and so reproducible by replay:
//!
//! * An alert speaks for its entity and for the host, user and source address of its first event,
//!   but for accounts and addresses that many machines share (`SYSTEM`, loopback).
//! * It weighs 0.1 (low) to 0.7 (critical), halved every [`RiskOptions::half_life_micros`] since it was
//!   last heard of, and nothing once it was closed as anything but a true positive.
//! * Of one rule only the heaviest alert counts. Within a phase weights combine like independent
//!   doubts, `100 · (1 − Π(1 − w))`: a hundred alerts of one phase approach 100 and never pass it.
//! * The phases are added and multiplied by how many there are: 1, 2, 5 and 10 for one to four.

use crate::alert::{Alert, Entity, EntityKind, Verdict};
use crate::finding::Phase;
use crate::limits::RISK_ALERTS_PER_ENTITY_MAX;
use crate::{AlertId, AlertState};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use yagura_event::{Level, UtcMicros};

/// How risk fades and when phases make a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RiskOptions {
    /// Time (µs) in which an alert loses half its weight. Default: 24 hours.
    pub half_life_micros: i64,
    /// Different phases on one entity that make a chain. Default: 3.
    pub chain_phases: usize,
    /// Within this time (µs, of the events). Default: 72 hours.
    pub chain_window_micros: i64,
    /// Different phases that make a chain when they follow each other quickly. Default: 2.
    pub quick_chain_phases: usize,
    /// How quickly (µs, of the events). Default: 1 hour.
    pub quick_chain_window_micros: i64,
}

impl Default for RiskOptions {
    fn default() -> Self {
        const HOUR: i64 = 60 * 60 * 1_000_000;
        RiskOptions {
            half_life_micros: 24 * HOUR,
            chain_phases: 3,
            chain_window_micros: 72 * HOUR,
            quick_chain_phases: 2,
            quick_chain_window_micros: HOUR,
        }
    }
}

/// The risk of one entity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntityRisk {
    /// The entity.
    #[serde(rename = "risk.entity")]
    pub entity: Entity,
    /// Its score, from 0 to 4,000.
    #[serde(rename = "risk.score")]
    pub score: f64,
    /// Score of each phase, 0 to 100, before they are multiplied.
    #[serde(rename = "risk.phases")]
    pub phases: Vec<PhaseRisk>,
    /// Alerts that count, those of unknown phase included.
    #[serde(rename = "risk.alerts")]
    pub alerts: usize,
    /// The earliest event of these.
    #[serde(rename = "risk.first_seen")]
    pub first_seen: UtcMicros,
    /// The latest event of these.
    #[serde(rename = "risk.last_seen")]
    pub last_seen: UtcMicros,
    /// An attack chain that was raised for it and is not closed.
    #[serde(rename = "risk.chain", skip_serializing_if = "Option::is_none")]
    pub chain: Option<AlertId>,
}

/// What one phase adds to an entity's risk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseRisk {
    /// The phase; `None` for rules that name none.
    pub phase: Option<Phase>,
    /// 0 to 100.
    pub score: f64,
    /// The alerts, heaviest first, at most ten.
    pub alerts: Vec<AlertId>,
}

/// Score below which an entity is not worth a line.
const SCORE_MIN: f64 = 0.5;

/// Alerts named per phase.
const ALERTS_NAMED_MAX: usize = 10;

/// Which alerts speak of which entity: an index, part of the fold.
#[derive(Debug, Default)]
pub(crate) struct RiskIndex {
    alerts: HashMap<Entity, BTreeSet<AlertId>>,
}

impl RiskIndex {
    pub fn add(&mut self, alert: &Alert) {
        for entity in entities_of(alert) {
            self.alerts.entry(entity).or_default().insert(alert.id);
        }
    }

    pub fn remove(&mut self, alert: &Alert) {
        for entity in entities_of(alert) {
            if let Some(ids) = self.alerts.get_mut(&entity) {
                ids.remove(&alert.id);
                if ids.is_empty() {
                    self.alerts.remove(&entity);
                }
            }
        }
    }

    /// The newest alerts that speak of `entity`, whose name is folded.
    pub fn of(&self, entity: &Entity) -> impl Iterator<Item = AlertId> {
        let ids = self.alerts.get(entity).into_iter().flat_map(|ids| ids.iter().rev());
        ids.take(RISK_ALERTS_PER_ENTITY_MAX).copied()
    }

    pub fn entities(&self) -> impl Iterator<Item = &Entity> {
        self.alerts.keys()
    }
}

/// Whom an alert speaks for, names folded: its entity first.
pub(crate) fn entities_of(alert: &Alert) -> Vec<Entity> {
    let folded = |kind, value: &str| Entity { kind, value: value.to_lowercase() };
    let mut entities = vec![folded(alert.entity.kind, &alert.entity.value)];
    let named = [
        (EntityKind::Host, &alert.host),
        (EntityKind::User, &alert.user),
        (EntityKind::SourceIp, &alert.source_ip),
    ];
    for (kind, name) in named {
        let Some(name) = name else { continue };
        let entity = folded(kind, name);
        if !is_shared(&entity) && !entities.contains(&entity) {
            entities.push(entity);
        }
    }
    entities
}

/// Names that every machine has, so that alerts about them have nothing to do with each other.
fn is_shared(entity: &Entity) -> bool {
    // Well-known accounts of Windows (English and as localised systems write them) and of Linux.
    const ACCOUNTS: [&str; 9] = [
        "system",
        "local service",
        "network service",
        "anonymous logon",
        "root",
        "-",
        "localsystem",
        "dwm-1",
        "umfd-0",
    ];
    const ADDRESSES: [&str; 4] = ["127.0.0.1", "::1", "-", "localhost"];
    match entity.kind {
        // The accounts of machines end in `$`.
        EntityKind::User => {
            ACCOUNTS.contains(&entity.value.as_str()) || entity.value.ends_with('$')
        }
        EntityKind::SourceIp => ADDRESSES.contains(&entity.value.as_str()),
        EntityKind::Host | EntityKind::Dataset => false,
    }
}

/// Whether an alert still speaks for its risk: it was not closed as anything but a threat.
pub(crate) fn counts(alert: &Alert) -> bool {
    alert.state != AlertState::Closed || alert.verdict == Some(Verdict::TruePositive)
}

/// The risk of `entity` at `now`, from the alerts that speak of it; `None` where it is negligible.
pub(crate) fn risk_of<'a>(
    entity: &Entity,
    alerts: impl Iterator<Item = &'a Arc<Alert>>,
    options: &RiskOptions,
    now: UtcMicros,
) -> Option<EntityRisk> {
    // Of each phase, of each rule, the heaviest alert.
    let mut phases: BTreeMap<Option<Phase>, BTreeMap<&str, (f64, AlertId)>> = BTreeMap::new();
    let mut seen: Option<(UtcMicros, UtcMicros)> = None;
    let (mut count, mut chain) = (0, None);
    let mut shown = entity.clone();
    for alert in alerts.filter(|alert| counts(alert)) {
        if crate::chain::is_chain(alert) {
            let open_about_it = alert.is_open() && same(&alert.entity, entity);
            chain = chain.or(open_about_it.then_some(alert.id));
            continue;
        }
        count += 1;
        let (first, last) = seen.unwrap_or((alert.first_seen, alert.last_seen));
        seen = Some((first.min(alert.first_seen), last.max(alert.last_seen)));
        if same(&alert.entity, entity) {
            shown = alert.entity.clone();
        }
        let weight = weight_of(alert.rule.level) * fading(alert, options, now);
        let rules = phases.entry(alert.rule.phase).or_default();
        let heaviest = rules.entry(alert.rule.uuid.as_str()).or_insert((weight, alert.id));
        if weight > heaviest.0 {
            *heaviest = (weight, alert.id);
        }
    }
    let (first_seen, last_seen) = seen?;
    let phases: Vec<PhaseRisk> = phases
        .into_iter()
        .map(|(phase, rules)| {
            let mut rules: Vec<_> = rules.into_values().collect();
            rules.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            let doubt: f64 = rules.iter().map(|(weight, _)| 1.0 - weight).product();
            let alerts = rules.iter().take(ALERTS_NAMED_MAX).map(|(_, id)| *id).collect();
            PhaseRisk { phase, score: 100.0 * (1.0 - doubt), alerts }
        })
        .collect();
    let sum: f64 = phases.iter().map(|phase| phase.score).sum();
    let known = phases.iter().filter(|phase| phase.phase.is_some()).count();
    let score = sum * factor(known);
    (score >= SCORE_MIN).then_some(EntityRisk {
        entity: shown,
        score,
        phases,
        alerts: count,
        first_seen,
        last_seen,
        chain,
    })
}

/// Whether an alert's entity is `folded`, whose name is folded.
fn same(entity: &Entity, folded: &Entity) -> bool {
    entity.kind == folded.kind && entity.value.to_lowercase() == folded.value
}

fn weight_of(level: Level) -> f64 {
    match level {
        Level::Informational => 0.02,
        Level::Low => 0.1,
        Level::Medium => 0.2,
        Level::High => 0.4,
        Level::Critical => 0.7,
    }
}

fn factor(phases: usize) -> f64 {
    match phases {
        0 | 1 => 1.0,
        2 => 2.0,
        3 => 5.0,
        _ => 10.0,
    }
}

/// What is left of an alert's weight. Counted from when we last heard of it, not from when the
/// events happened: an old log that is read today is news today.
#[expect(clippy::cast_precision_loss, reason = "an age in microseconds needs no more than 52 bits")]
fn fading(alert: &Alert, options: &RiskOptions, now: UtcMicros) -> f64 {
    // A clock that runs ahead must not keep an alert young.
    let heard =
        if alert.last_seen > now { alert.raised } else { alert.raised.max(alert.last_seen) };
    let age = now.as_micros().saturating_sub(heard.as_micros()).max(0);
    0.5_f64.powf(age as f64 / options.half_life_micros.max(1) as f64)
}
