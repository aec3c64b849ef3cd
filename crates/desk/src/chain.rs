//! Attack chains: alerts of several phases about one entity, close to each other in time. A chain
//! raises an alert of its own, so that nobody has to notice it in a list.

use crate::DeskOptions;
use crate::alert::{Act, Alert, Entity, EntityKind};
use crate::finding::{EventWords, EvidenceItem, Finding, Phase, RuleCopy};
use crate::fold::Fold;
use crate::limits::EVIDENCE_MAX;
use crate::risk::{RiskOptions, counts, entities_of};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use yagura_event::{EventId, Level, UtcMicros};

/// UUID of the built-in rule for a chain of several phases.
pub const CHAIN_RULE: &str = "6f1d9a52-7c1e-4c57-9d0a-2f6b1d6c8e01";

/// UUID of the built-in rule for phases in quick succession.
pub const QUICK_CHAIN_RULE: &str = "6f1d9a52-7c1e-4c57-9d0a-2f6b1d6c8e02";

/// In quick succession at least one alert must be this severe: two mild ones in an hour are an
/// ordinary day of administration.
const QUICK_LEVEL_MIN: Level = Level::High;

static CHAIN: LazyLock<Arc<RuleCopy>> = LazyLock::new(|| {
    rule(
        CHAIN_RULE,
        "Attack chain: several phases on one entity",
        "攻撃の連鎖：1つの対象で複数の段階",
        Level::Critical,
    )
});

static QUICK_CHAIN: LazyLock<Arc<RuleCopy>> = LazyLock::new(|| {
    rule(
        QUICK_CHAIN_RULE,
        "Attack chain: phases in quick succession",
        "攻撃の連鎖：段階が短時間に続いた",
        Level::High,
    )
});

/// Whether an alert is itself about a chain.
pub(crate) fn is_chain(alert: &Alert) -> bool {
    [CHAIN_RULE, QUICK_CHAIN_RULE].contains(&alert.rule.uuid.as_str())
}

/// The findings of chains that `alert`, just raised or extended, belongs to. The desk counts each
/// contributing event once per chain, so giving them again changes nothing.
pub(crate) fn chains(fold: &Fold, options: &DeskOptions, alert: &Alert) -> Vec<Finding> {
    if is_chain(alert) || alert.rule.phase.is_none() || !counts(alert) {
        return Vec::new();
    }
    let of_entity = |entity: &Entity| chain_of(fold, &options.risk, alert, entity);
    entities_of(alert).iter().flat_map(of_entity).collect()
}

fn chain_of(fold: &Fold, options: &RiskOptions, alert: &Alert, entity: &Entity) -> Vec<Finding> {
    if entity.kind == EntityKind::Dataset {
        return Vec::new();
    }
    let settled = settled_at(fold, entity);
    let mut all: Vec<&Arc<Alert>> = fold
        .alerts_about(entity)
        .filter(|one| one.rule.phase.is_some() && !is_chain(one) && counts(one))
        .filter(|one| settled.is_none_or(|settled| one.raised > settled))
        .collect();
    all.sort_by_key(|one| (one.first_seen, one.id));
    let near = |window: i64| {
        let near = all.iter().copied().filter(move |one| apart(one, alert) <= window);
        near.collect::<Vec<_>>()
    };
    let long = near(options.chain_window_micros);
    let quick = near(options.quick_chain_window_micros);
    let (rule, links) = if phases(&long).len() >= options.chain_phases {
        (&CHAIN, long)
    } else if phases(&quick).len() >= options.quick_chain_phases
        && quick.iter().any(|one| one.rule.level >= QUICK_LEVEL_MIN)
    {
        (&QUICK_CHAIN, quick)
    } else {
        return Vec::new();
    };
    // The same story is not told again for its user and its source address; a chain over several
    // hosts is another story.
    let hosts: BTreeSet<_> =
        links.iter().map(|one| one.host.as_deref().map(str::to_lowercase)).collect();
    let one_host = hosts.len() == 1 && !hosts.contains(&None);
    if entity.kind != EntityKind::Host && one_host {
        return Vec::new();
    }
    findings(rule, &links, entity)
}

/// How far (µs) the ends of two alerts lie apart, at the closest. Only the ends are known to have
/// an event.
fn apart(one: &Alert, other: &Alert) -> i64 {
    let ends = |alert: &Alert| [alert.first_seen.as_micros(), alert.last_seen.as_micros()];
    let differences = ends(one).map(|a| {
        let [first, last] = ends(other).map(|b| a.saturating_sub(b).saturating_abs());
        first.min(last)
    });
    differences[0].min(differences[1])
}

fn phases(alerts: &[&Arc<Alert>]) -> BTreeSet<Phase> {
    alerts.iter().filter_map(|alert| alert.rule.phase).collect()
}

/// When somebody last closed a chain of this entity: what was raised before is settled with it.
fn settled_at(fold: &Fold, entity: &Entity) -> Option<UtcMicros> {
    let chains = fold.alerts_about(entity).filter(|alert| is_chain(alert) && !alert.is_open());
    let closed = chains.filter_map(|alert| {
        alert.history.iter().rev().find(|step| step.act == Act::Closed).map(|step| step.at)
    });
    closed.max()
}

fn findings(rule: &Arc<RuleCopy>, links: &[&Arc<Alert>], entity: &Entity) -> Vec<Finding> {
    let evidence: Vec<EvidenceItem> = links
        .iter()
        .take(EVIDENCE_MAX)
        .map(|link| EvidenceItem {
            field: "alert.id".into(),
            value: link.id.to_string(),
            predicate: format!("{} {}", link.rule.phase.map_or("", Phase::as_str), link.rule.name),
        })
        .collect();
    let (ja, en) = sentences(links, entity);
    let words = EventWords::Said { ja, en };
    let name = |kind| (entity.kind == kind).then(|| shown_name(links, entity));
    let finding = |link: &&Arc<Alert>| {
        let event_id: EventId = link.event_ids.first()?.parse().ok()?;
        Some(Finding {
            rule: rule.clone(),
            dataset: link.dataset.clone(),
            host: name(EntityKind::Host),
            user: name(EntityKind::User),
            source_ip: name(EntityKind::SourceIp),
            event_id,
            timestamp: link.first_seen,
            received: link.received,
            words: words.clone(),
            evidence: evidence.clone(),
        })
    };
    links.iter().filter_map(finding).collect()
}

/// The entity's name as its first event wrote it.
fn shown_name(links: &[&Arc<Alert>], entity: &Entity) -> String {
    let names = links.iter().flat_map(|link| [&link.host, &link.user, &link.source_ip]);
    let mut names = names.flatten().filter(|name| name.to_lowercase() == entity.value);
    names.next().unwrap_or(&entity.value).clone()
}

/// `3 phases on FS01: ...`, each phase with the rule that first spoke of it.
fn sentences(links: &[&Arc<Alert>], entity: &Entity) -> (String, String) {
    use yagura_event::Lang::{En, Ja};
    let mut told = BTreeSet::new();
    let steps: Vec<_> = links
        .iter()
        .filter_map(|link| Some((link.rule.phase?, &link.rule)))
        .filter(|(phase, _)| told.insert(*phase))
        .collect();
    let name = shown_name(links, entity);
    let count = steps.len();
    let list = |lang, open: &str, close: &str| {
        let each = steps
            .iter()
            .map(|(phase, rule)| format!("{}{open}{}{close}", phase.label(lang), rule.title(lang)));
        each.collect::<Vec<_>>().join(" → ")
    };
    (
        format!("{name} で攻撃の {count} 段階が続いた：{}", list(Ja, "（", "）")),
        format!("{count} phases of an attack on {name}: {}", list(En, " (", ")")),
    )
}

fn rule(uuid: &str, name: &str, name_ja: &str, level: Level) -> Arc<RuleCopy> {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    Arc::new(RuleCopy {
        uuid: uuid.to_owned(),
        name: name.to_owned(),
        name_ja: Some(name_ja.to_owned()),
        level,
        tags: Vec::new(),
        author: Some("Yagura".to_owned()),
        license: Some("Apache-2.0".to_owned()),
        phase: None,
        digest: None,
        guide: crate::finding::Guide {
            description: Some(
                "Alerts of different attack phases concern the same host, user or address within \
                 a short time. Each alone may be noise; together they are what an intrusion looks \
                 like."
                    .to_owned(),
            ),
            description_ja: Some(
                "攻撃の異なる段階のアラートが、短い間に同じ端末・利用者・アドレスで起きました。\
                 単独ならノイズかもしれませんが、重なると侵入そのものの姿です。"
                    .to_owned(),
            ),
            falsepositives: lines(&[
                "Planned administration or a security test of that machine",
                "Two noisy rules about the same machine: see the precision of the rules",
            ]),
            falsepositives_ja: lines(&[
                "計画された保守作業やセキュリティ試験",
                "同じ端末で誤検知の多いルールが重なった場合（ルールの精度を確認してください）",
            ]),
            check: lines(&[
                "Read the alerts of the chain in the order in which they happened.",
                "Ask whoever is responsible for the machine whether this was planned.",
                "If not: isolate the machine, keep its logs, and look for the same accounts and \
                 addresses elsewhere.",
            ]),
            check_ja: lines(&[
                "連鎖の各アラートを起きた順に読む。",
                "計画された作業かどうかを端末の担当者に確認する。",
                "そうでなければ端末を隔離し、ログを保全し、同じアカウントとアドレスがほかに現れて\
                 いないか調べる。",
            ]),
            references: Vec::new(),
        },
    })
}
