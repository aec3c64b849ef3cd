//! How good each rule is, measured from what people decided; and what they decided before about
//! the same rule and entity.

use crate::alert::{Alert, AlertId, Entity, Verdict};
use crate::finding::RuleCopy;
use crate::fold::Group;
use crate::limits::{DECISIONS_PER_PRECEDENT_MAX, PRECEDENTS_MAX, RULE_TALLIES_MAX};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, VecDeque};
use yagura_event::{Level, UtcMicros};

/// Days over which the volume of a rule is counted.
pub const VOLUME_DAYS: i64 = 7;

/// Judged alerts from which a rule's precision says something.
pub const JUDGED_MIN: u64 = 5;

/// A rule whose precision is below this, even at the upper end of its interval, is noisy.
pub const PRECISION_NOISY: f64 = 0.5;

/// Alerts within [`VOLUME_DAYS`] from which a rule can be noisy by volume.
pub const VOLUME_NOISY_MIN: u64 = 20;

/// Share of all alerts within [`VOLUME_DAYS`] from which a rule is noisy by volume, unless its
/// precision speaks for it.
pub const VOLUME_NOISY_SHARE: f64 = 0.2;

/// Share of a rule's harmless alerts that one entity must have for an exception to be suggested.
const ENTITY_SHARE: f64 = 0.6;

/// 97.5 % quantile of the normal distribution: a two-sided interval of 95 %.
const Z: f64 = 1.959_963_985;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// How alerts of one rule (about one entity, for a precedent) were judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Verdicts {
    /// Attacks and breaches of policy.
    pub true_positive: u64,
    /// What the rule should not have matched.
    pub false_positive: u64,
    /// What was allowed.
    pub benign: u64,
    /// Alerts whose story another one tells.
    pub duplicate: u64,
}

/// One rule, measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleQuality {
    /// The rule's UUID.
    #[serde(rename = "rule.uuid")]
    pub uuid: String,
    /// Its title.
    #[serde(rename = "rule.name")]
    pub name: String,
    /// Its Japanese title.
    #[serde(rename = "rule.name_ja", skip_serializing_if = "Option::is_none")]
    pub name_ja: Option<String>,
    /// Its level.
    #[serde(rename = "rule.level")]
    pub level: Level,
    /// Alerts raised since the first audit record.
    #[serde(rename = "rule.alerts")]
    pub alerts: u64,
    /// Findings in them.
    #[serde(rename = "rule.findings")]
    pub findings: u64,
    /// Matches that exceptions took away.
    #[serde(rename = "rule.suppressed")]
    pub suppressed: u64,
    /// Alerts raised within the last [`VOLUME_DAYS`] days.
    #[serde(rename = "rule.alerts_7d")]
    pub alerts_recent: u64,
    /// Findings within the last [`VOLUME_DAYS`] days.
    #[serde(rename = "rule.findings_7d")]
    pub findings_recent: u64,
    /// Share of all alerts raised within the last [`VOLUME_DAYS`] days.
    #[serde(rename = "rule.share_7d")]
    pub share_recent: f64,
    /// What people decided.
    #[serde(rename = "rule.verdicts")]
    pub verdicts: Verdicts,
    /// Alerts that say how good the rule is: all verdicts but duplicates.
    #[serde(rename = "rule.judged")]
    pub judged: u64,
    /// Share of judged alerts that were a threat; `None` where none is judged.
    #[serde(rename = "rule.precision")]
    pub precision: Option<f64>,
    /// Lower end of the 95 % interval of the precision (Wilson).
    #[serde(rename = "rule.precision_low")]
    pub precision_low: Option<f64>,
    /// Upper end of the 95 % interval of the precision (Wilson).
    #[serde(rename = "rule.precision_high")]
    pub precision_high: Option<f64>,
    /// Why it is noisy, if it is.
    #[serde(rename = "rule.noise", skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
}

/// Why a rule is noisy and what would help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Noise {
    /// Why.
    pub cause: NoiseCause,
    /// What would help.
    pub suggestion: Suggestion,
    /// The entity that most of the harmless alerts are about, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<Entity>,
    /// Both in a sentence, in Japanese.
    pub sentence_ja: String,
    /// The same in English.
    pub sentence_en: String,
}

/// Why a rule is noisy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseCause {
    /// Most of its judged alerts were no threat.
    Imprecise,
    /// It raises a large share of all alerts and its precision is not known to be good.
    Loud,
}

/// What would help against noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Suggestion {
    /// An exception for one entity.
    ExceptEntity,
    /// Exceptions with conditions, or a narrower rule, or a lower level.
    Narrow,
    /// Verdicts on some of its alerts, so that its precision can be measured.
    Judge,
}

/// What people decided before about the same rule and entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Precedent {
    /// How many closed alerts, by verdict.
    pub verdicts: Verdicts,
    /// The decision last taken, where it is remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Decision>,
}

/// The closing of one alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// When.
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    /// Who.
    #[serde(rename = "user.name")]
    pub who: String,
    /// The alert.
    #[serde(rename = "alert.id")]
    pub alert: AlertId,
    /// What it was.
    #[serde(rename = "alert.verdict")]
    pub verdict: Verdict,
    /// Why.
    #[serde(rename = "alert.note", skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Tallies of all rules: part of the fold.
#[derive(Debug, Default)]
pub(crate) struct Quality {
    rules: HashMap<String, Tally>,
    precedents: HashMap<Group, Kept>,
    /// Groups by the turn of their last decision.
    turns: BTreeMap<u64, Group>,
    turn: u64,
}

#[derive(Debug)]
struct Tally {
    name: String,
    name_ja: Option<String>,
    level: Level,
    alerts: u64,
    findings: u64,
    suppressed: u64,
    verdicts: Verdicts,
    /// Day since the epoch to alerts and findings recorded on it.
    days: BTreeMap<i64, (u64, u64)>,
}

#[derive(Debug)]
struct Kept {
    turn: u64,
    entity: Entity,
    verdicts: Verdicts,
    decisions: VecDeque<Decision>,
}

impl Verdicts {
    /// Alerts that say how good the rule is.
    pub fn judged(&self) -> u64 {
        self.true_positive + self.false_positive + self.benign
    }

    /// Alerts that were no threat.
    fn harmless(&self) -> u64 {
        self.false_positive + self.benign
    }

    fn of(&mut self, verdict: Verdict) -> &mut u64 {
        match verdict {
            Verdict::TruePositive => &mut self.true_positive,
            Verdict::FalsePositive => &mut self.false_positive,
            Verdict::Benign => &mut self.benign,
            Verdict::Duplicate => &mut self.duplicate,
        }
    }
}

impl Quality {
    /// An alert was raised at `at`, with its first finding.
    pub fn raised(&mut self, rule: &RuleCopy, at: UtcMicros) {
        self.volume(rule, at, 1, 1);
    }

    /// An alert got further findings.
    pub fn extended(&mut self, rule: &RuleCopy, at: UtcMicros, findings: u64) {
        self.volume(rule, at, 0, findings);
    }

    /// An exception took matches away.
    pub fn suppressed(&mut self, uuid: &str, name: &str, count: u64) {
        if let Some(tally) = self.tally(uuid, || (name.to_owned(), None, Level::default())) {
            tally.suppressed += count;
        }
    }

    /// An alert was closed.
    pub fn closed(&mut self, alert: &Alert, group: Group, decision: Decision) {
        let verdict = decision.verdict;
        if let Some(tally) = self.tally_of(&alert.rule) {
            *tally.verdicts.of(verdict) += 1;
        }
        self.turn += 1;
        let turn = self.turn;
        let kept = self.precedents.entry(group.clone()).or_insert_with(|| Kept {
            turn,
            entity: alert.entity.clone(),
            verdicts: Verdicts::default(),
            decisions: VecDeque::new(),
        });
        self.turns.remove(&kept.turn);
        kept.turn = turn;
        *kept.verdicts.of(verdict) += 1;
        kept.decisions.push_back(decision);
        if kept.decisions.len() > DECISIONS_PER_PRECEDENT_MAX {
            kept.decisions.pop_front();
        }
        self.turns.insert(turn, group);
        if self.turns.len() > PRECEDENTS_MAX
            && let Some((_, oldest)) = self.turns.pop_first()
        {
            self.precedents.remove(&oldest);
        }
    }

    /// The closing of an alert was taken back; `verdict` is what it had.
    pub fn reopened(&mut self, alert: &Alert, group: &Group, verdict: Verdict) {
        if let Some(tally) = self.rules.get_mut(&alert.rule.uuid) {
            let count = tally.verdicts.of(verdict);
            *count = count.saturating_sub(1);
        }
        let Some(kept) = self.precedents.get_mut(group) else { return };
        let count = kept.verdicts.of(verdict);
        *count = count.saturating_sub(1);
        kept.decisions.retain(|decision| decision.alert != alert.id);
    }

    /// What was decided before in `group`, but for the alert that asks.
    pub fn precedent(&self, group: &Group, asking: &Alert) -> Option<Precedent> {
        let kept = self.precedents.get(group)?;
        let mut verdicts = kept.verdicts;
        if let Some(own) = asking.verdict {
            let count = verdicts.of(own);
            *count = count.saturating_sub(1);
        }
        let any = verdicts.judged() + verdicts.duplicate > 0;
        let mut others = kept.decisions.iter().rev().filter(|one| one.alert != asking.id);
        any.then(|| Precedent { verdicts, last: others.next().cloned() })
    }

    /// Every rule with an alert, noisy ones first, then by recent volume.
    pub fn report(&self, now: UtcMicros) -> Vec<RuleQuality> {
        let today = now.as_micros().div_euclid(DAY_MICROS);
        let recent = |tally: &Tally| {
            let days = tally.days.range(today - VOLUME_DAYS + 1..=today).map(|(_, counts)| *counts);
            days.fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1))
        };
        let all: u64 = self.rules.values().map(|tally| recent(tally).0).sum();
        let entities = self.harmless_entities();
        let mut report: Vec<_> = self
            .rules
            .iter()
            .map(|(uuid, tally)| {
                let (alerts_recent, findings_recent) = recent(tally);
                let share_recent = if all == 0 { 0.0 } else { ratio(alerts_recent, all) };
                let judged = tally.verdicts.judged();
                let interval = wilson(tally.verdicts.true_positive, judged);
                let precision = (judged > 0).then(|| ratio(tally.verdicts.true_positive, judged));
                let mut quality = RuleQuality {
                    uuid: uuid.clone(),
                    name: tally.name.clone(),
                    name_ja: tally.name_ja.clone(),
                    level: tally.level,
                    alerts: tally.alerts,
                    findings: tally.findings,
                    suppressed: tally.suppressed,
                    alerts_recent,
                    findings_recent,
                    share_recent,
                    verdicts: tally.verdicts,
                    judged,
                    precision,
                    precision_low: interval.map(|(low, _)| low),
                    precision_high: interval.map(|(_, high)| high),
                    noise: None,
                };
                quality.noise = noise_of(&quality, entities.get(uuid.as_str()).copied());
                quality
            })
            .collect();
        report.sort_by(|a, b| {
            let key = |one: &RuleQuality| {
                (one.noise.is_none(), std::cmp::Reverse((one.alerts_recent, one.alerts)))
            };
            key(a).cmp(&key(b)).then_with(|| a.uuid.cmp(&b.uuid))
        });
        report
    }

    /// For each rule the entity with most harmless alerts, and how many.
    fn harmless_entities(&self) -> HashMap<&str, (&Entity, u64)> {
        let mut most: HashMap<&str, (&Entity, u64)> = HashMap::new();
        for (group, kept) in &self.precedents {
            let count = kept.verdicts.harmless();
            let best = most.entry(group.rule()).or_insert((&kept.entity, 0));
            // Of equals the first by name, so that the same records give the same report.
            if (count, &best.0.value) > (best.1, &kept.entity.value) {
                *best = (&kept.entity, count);
            }
        }
        most
    }

    fn volume(&mut self, rule: &RuleCopy, at: UtcMicros, alerts: u64, findings: u64) {
        let Some(tally) = self.tally_of(rule) else { return };
        tally.alerts += alerts;
        tally.findings += findings;
        let day = tally.days.entry(at.as_micros().div_euclid(DAY_MICROS)).or_default();
        day.0 += alerts;
        day.1 += findings;
        while tally.days.len() > usize::try_from(VOLUME_DAYS).unwrap_or(usize::MAX) {
            tally.days.pop_first();
        }
    }

    /// The tally of a rule, under the name it has now; `None` past the limit on rules.
    fn tally_of(&mut self, rule: &RuleCopy) -> Option<&mut Tally> {
        let tally =
            self.tally(&rule.uuid, || (rule.name.clone(), rule.name_ja.clone(), rule.level))?;
        if tally.name != rule.name || tally.level != rule.level || tally.name_ja != rule.name_ja {
            tally.name.clone_from(&rule.name);
            tally.name_ja.clone_from(&rule.name_ja);
            tally.level = rule.level;
        }
        Some(tally)
    }

    fn tally(
        &mut self,
        uuid: &str,
        named: impl FnOnce() -> (String, Option<String>, Level),
    ) -> Option<&mut Tally> {
        if !self.rules.contains_key(uuid) {
            if self.rules.len() >= RULE_TALLIES_MAX {
                return None;
            }
            let (name, name_ja, level) = named();
            let tally = Tally {
                name,
                name_ja,
                level,
                alerts: 0,
                findings: 0,
                suppressed: 0,
                verdicts: Verdicts::default(),
                days: BTreeMap::new(),
            };
            self.rules.insert(uuid.to_owned(), tally);
        }
        self.rules.get_mut(uuid)
    }
}

fn noise_of(rule: &RuleQuality, most: Option<(&Entity, u64)>) -> Option<Noise> {
    let measured = rule.judged >= JUDGED_MIN;
    let imprecise = measured && rule.precision_high.is_some_and(|high| high < PRECISION_NOISY);
    let loud = rule.alerts_recent >= VOLUME_NOISY_MIN
        && rule.share_recent >= VOLUME_NOISY_SHARE
        && !(measured && rule.precision.is_some_and(|precision| precision >= PRECISION_NOISY));
    let cause = match (imprecise, loud) {
        (true, _) => NoiseCause::Imprecise,
        (false, true) => NoiseCause::Loud,
        (false, false) => return None,
    };
    let harmless = rule.verdicts.harmless();
    let entity = most
        .filter(|(_, count)| *count >= 3 && ratio(*count, harmless) >= ENTITY_SHARE)
        .map(|(entity, _)| entity.clone());
    let suggestion = match (&entity, measured) {
        (Some(_), _) => Suggestion::ExceptEntity,
        (None, true) => Suggestion::Narrow,
        (None, false) => Suggestion::Judge,
    };
    let name = entity.as_ref().map_or("", |entity| entity.value.as_str());
    let (threats, judged) = (rule.verdicts.true_positive, rule.judged);
    let (alerts, percent) = (rule.alerts_recent, (rule.share_recent * 100.0).round());
    let cause_ja = match cause {
        NoiseCause::Imprecise => format!("判定済み {judged} 件のうち脅威は {threats} 件だけです。"),
        NoiseCause::Loud => format!("直近7日のアラートの {percent}%（{alerts} 件）を占めます。"),
    };
    let cause_en = match cause {
        NoiseCause::Imprecise => format!("Only {threats} of {judged} judged alerts were a threat."),
        NoiseCause::Loud => {
            format!("It raised {percent}% of the alerts of the last 7 days ({alerts}).")
        }
    };
    let (advice_ja, advice_en) = match suggestion {
        Suggestion::ExceptEntity => (
            format!("無害なものの大半は {name} です。この対象の例外を作ることを検討してください。"),
            format!("Most of the harmless ones are about {name}: consider an exception for it."),
        ),
        Suggestion::Narrow => (
            "誤検知に共通する値で例外を作るか、ルールを絞るか、レベルを下げてください。".to_owned(),
            "Except what the false ones have in common, narrow the rule, or lower its level."
                .to_owned(),
        ),
        Suggestion::Judge => (
            "いくつかを判定して閉じると、精度を測れます。".to_owned(),
            "Close some with a verdict, so that its precision can be measured.".to_owned(),
        ),
    };
    Some(Noise {
        cause,
        suggestion,
        entity,
        sentence_ja: format!("{cause_ja}{advice_ja}"),
        sentence_en: format!("{cause_en} {advice_en}"),
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of people's decisions are far below 2^52")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Wilson's score interval (E. B. Wilson, JASA 22, 1927) of a share of `part` in `whole`, at 95 %:
/// unlike the textbook interval it is right for few cases and for shares near 0 and 1.
#[expect(clippy::cast_precision_loss, reason = "counts of people's decisions are far below 2^52")]
pub fn wilson(part: u64, whole: u64) -> Option<(f64, f64)> {
    if whole == 0 {
        return None;
    }
    let n = whole as f64;
    let p = part.min(whole) as f64 / n;
    let z2 = Z * Z;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    Some(((centre - half).max(0.0), (centre + half).min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // Brown, Cai, DasGupta, "Interval Estimation for a Binomial Proportion" (2001), and by hand.
        for (part, whole, low, high) in [
            (0, 10, 0.0, 0.2775),
            (10, 10, 0.7225, 1.0),
            (5, 10, 0.2366, 0.7634),
            (1, 20, 0.0089, 0.2361),
            (81, 263, 0.2553, 0.3662),
        ] {
            let (l, h) = wilson(part, whole).unwrap();
            assert!((l - low).abs() < 5e-5 && (h - high).abs() < 5e-5, "{part}/{whole}: {l} {h}");
        }
        assert_eq!(wilson(0, 0), None);
    }
}
