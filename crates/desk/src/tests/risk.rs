use super::*;
use crate::limits::RISK_ALERTS_PER_ENTITY_MAX;
use crate::{CHAIN_RULE, ChangeKind, Entity, EntityKind, QUICK_CHAIN_RULE, RiskOptions, Verdict};

const PHASES: [Phase; 4] = [
    Phase::InitialAccess,
    Phase::PersistenceDefenseEvasion,
    Phase::PrivilegeLateral,
    Phase::ObjectiveAntiForensics,
];

fn in_phase(number: u32, phase: usize, level: Level) -> Arc<RuleCopy> {
    Arc::new(RuleCopy { phase: Some(PHASES[phase]), ..(*rule(number, level)).clone() })
}

/// An event of nobody in particular, so that only the host is spoken of.
fn on(host: &str, rule: &Arc<RuleCopy>, minute: u32) -> Finding {
    Finding { user: None, source_ip: None, ..finding(rule, host, minute) }
}

fn chains(desk: &Desk) -> Vec<Arc<Alert>> {
    let of_chain = |alert: &Arc<Alert>| [CHAIN_RULE, QUICK_CHAIN_RULE].contains(&&*alert.rule.uuid);
    all(desk).into_iter().filter(of_chain).collect()
}

#[test]
fn a_chain_on_one_host_outranks_a_hundred_single_noises() {
    let room = Room::new();
    // A hundred different rules of one phase on one host, and one rule on a hundred hosts.
    room.observe((0..100).map(|n| on("NOISY", &in_phase(n, 2, Level::High), n)));
    room.observe((0..100).map(|n| on(&format!("PC{n}"), &in_phase(7, 1, Level::High), 1_000 + n)));
    room.observe((0..100).map(|n| on("SAME", &in_phase(7, 1, Level::Critical), 2_000 + n)));
    for phase in 0..3 {
        room.observe([on("VICTIM", &in_phase(500 + phase, phase as usize, Level::Medium), phase)]);
    }
    let (risk, total) = room.desk.risk(3);
    assert_eq!(total, 103);
    let names: Vec<_> = risk.iter().map(|one| one.entity.value.as_str()).collect();
    assert_eq!(names, ["VICTIM", "NOISY", "SAME"]);
    // Three phases of one medium alert each: 3 · 20 · 5.
    assert!((risk[0].score - 300.0).abs() < 1e-9 && risk[0].phases.len() == 3);
    assert!(risk[1].score <= 100.0 && risk[2].score <= 70.0 + 1e-9);
    assert_eq!(risk[0].chain, Some(chains(&room.desk)[0].id));
}

#[test]
fn risk_fades_and_ends_when_an_alert_was_harmless() {
    let room = Room::new();
    room.observe([on("PC1", &in_phase(1, 0, Level::High), 0)]);
    let score = || room.desk.risk(1).0.first().map_or(0.0, |one| one.score);
    assert!((score() - 40.0).abs() < 1e-9);
    room.clock.advance_micros(24 * HOUR);
    assert!((score() - 20.0).abs() < 1e-9, "half after a day");
    room.desk.close(id(1), "a", Verdict::TruePositive, "").unwrap();
    assert!((score() - 20.0).abs() < 1e-9, "a threat still counts when it is closed");
    room.desk.reopen(id(1), "a", "").unwrap();
    room.desk.close(id(1), "a", Verdict::Benign, "").unwrap();
    assert!(score().abs() < 1e-9);
    let mut ahead = on("PC2", &in_phase(1, 0, Level::High), 1);
    ahead.timestamp = start().plus_micros(1_000 * 24 * HOUR);
    room.observe([ahead]);
    room.clock.advance_micros(48 * HOUR);
    assert!((score() - 10.0).abs() < 1e-9, "a clock that runs ahead keeps nothing young");
}

#[test]
fn alerts_speak_for_host_user_and_address_but_not_for_what_all_machines_share() {
    let room = Room::new();
    let rule = in_phase(1, 0, Level::High);
    room.observe([finding(&rule, "PC1", 0)]);
    for (index, user) in [(1, "SYSTEM"), (2, "PC2$"), (3, "root")] {
        let event = finding(&rule, "PC2", index);
        room.observe([Finding { user: Some(user.into()), source_ip: Some("::1".into()), ..event }]);
    }
    let (risk, _) = room.desk.risk(10);
    let mut names: Vec<_> = risk.iter().map(|one| one.entity.value.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["10.1.2.3", "PC1", "PC2", "田中"]);
    let around = room.desk.risk_around(&room.desk.alert(id(1)).unwrap());
    assert_eq!(around[0].entity, Entity { kind: EntityKind::Host, value: "PC1".into() });
    assert_eq!(around.len(), 3);
}

#[test]
fn three_phases_raise_a_chain_and_further_ones_extend_it() {
    let room = Room::new();
    let step =
        |phase: u32, minute| on("FS01", &in_phase(phase, phase as usize, Level::Medium), minute);
    room.observe([step(0, 0)]);
    room.observe([step(1, 600)]);
    assert!(chains(&room.desk).is_empty());
    // The third phase comes 70 hours after the first.
    let changes = room.observe([step(2, 4_200)]);
    assert_eq!(changes[1].kind, ChangeKind::Raised);
    let chain = chains(&room.desk).remove(0);
    assert_eq!((chain.rule.level, chain.rule.uuid.as_str()), (Level::Critical, CHAIN_RULE));
    assert_eq!((chain.count, chain.entity.value.as_str()), (3, "FS01"));
    assert_eq!(
        chain.evidence.iter().map(|e| e.value.as_str()).collect::<Vec<_>>(),
        ["A-000001", "A-000002", "A-000003"]
    );
    assert_eq!(
        chain.first_sentence_en,
        "3 phases of an attack on FS01: Initial access (Rule 0) → Persistence and defence evasion \
         (Rule 1) → Privilege escalation and lateral movement (Rule 2)"
    );
    room.observe([step(3, 4_201)]);
    room.observe([step(2, 4_202)]);
    let chain = chains(&room.desk).remove(0);
    assert_eq!((chains(&room.desk).len(), chain.count), (1, 4), "each alert counts once");
    assert!(chain.last_sentence_ja.starts_with("FS01 で攻撃の 4 段階が続いた"));
    assert_eq!(all(&room.replayed()), all(&room.desk));
}

#[test]
fn phases_too_far_apart_or_on_different_hosts_are_no_chain() {
    let room = Room::new();
    for (host, phase, hours) in [("A", 0, 0), ("A", 1, 80), ("A", 2, 160), ("B", 1, 0), ("C", 2, 0)]
    {
        room.observe([on(host, &in_phase(phase, phase as usize, Level::Medium), hours * 60)]);
    }
    assert!(chains(&room.desk).is_empty());
}

#[test]
fn two_phases_within_the_hour_are_a_quick_chain_if_one_is_severe() {
    for (levels, minutes, raised) in [
        ([Level::Medium, Level::High], 60, 1),
        ([Level::Medium, Level::High], 61, 0),
        ([Level::Medium, Level::Medium], 1, 0),
    ] {
        let room = Room::new();
        room.observe([on("PC1", &in_phase(1, 1, levels[0]), 0)]);
        room.observe([on("PC1", &in_phase(2, 2, levels[1]), minutes)]);
        let chains = chains(&room.desk);
        assert_eq!(chains.len(), raised, "{levels:?} {minutes}");
        assert!(chains.iter().all(|chain| chain.rule.uuid == QUICK_CHAIN_RULE));
    }
    let none = RiskOptions { quick_chain_phases: 9, chain_phases: 2, ..RiskOptions::default() };
    let options = DeskOptions { risk: none, ..DeskOptions::default() };
    let room = Room::with(options, Bounds::default());
    room.observe((0..2).map(|n| on("PC1", &in_phase(n, n as usize, Level::Medium), n)));
    assert_eq!(chains(&room.desk)[0].rule.uuid, CHAIN_RULE, "the numbers are configured");
}

#[test]
fn a_user_over_several_hosts_is_a_chain_of_its_own_and_one_host_is_told_once() {
    let room = Room::new();
    let step = |host: &str, phase: u32| {
        let rule = in_phase(phase, phase as usize, Level::Medium);
        Finding { source_ip: None, ..finding(&rule, host, phase) }
    };
    room.observe((0..3).map(|phase| step("PC1", phase)));
    let told: Vec<_> = chains(&room.desk).iter().map(|chain| chain.entity.kind).collect();
    assert_eq!(told, [EntityKind::Host]);
    let room = Room::new();
    room.observe((0..3).map(|phase| step(&format!("PC{phase}"), phase)));
    let chains = chains(&room.desk);
    assert_eq!(chains.len(), 1);
    assert_eq!(chains[0].entity, Entity { kind: EntityKind::User, value: "田中".into() });
}

#[test]
fn closing_a_chain_settles_it_until_new_phases_come() {
    let room = Room::new();
    let step = |number: u32, phase: usize, minute| {
        on("PC1", &in_phase(number, phase, Level::Medium), minute)
    };
    room.observe((0..3).map(|n| step(n, n as usize, n)));
    let chain = chains(&room.desk)[0].id;
    room.clock.advance_micros(HOUR);
    room.desk.close(chain, "a", Verdict::FalsePositive, "").unwrap();
    room.clock.advance_micros(HOUR);
    // More of what was settled, and a single new alert: no new chain.
    room.observe([step(0, 0, 50), step(10, 1, 51)]);
    assert_eq!(chains(&room.desk).len(), 1);
    room.observe([step(11, 2, 52), step(12, 3, 53)]);
    let open: Vec<_> = chains(&room.desk).into_iter().filter(|alert| alert.is_open()).collect();
    assert_eq!((open.len(), open[0].count), (1, 3));
}

#[test]
fn harmless_alerts_are_no_links() {
    let room = Room::new();
    room.observe((0..2).map(|n| on("PC1", &in_phase(n, n as usize, Level::Medium), n)));
    room.desk.close(id(1), "a", Verdict::FalsePositive, "").unwrap();
    room.observe([on("PC1", &in_phase(2, 2, Level::Medium), 2)]);
    assert!(chains(&room.desk).is_empty());
}

#[test]
fn a_chain_that_a_crash_cut_off_is_raised_at_the_next_start() {
    let room = Room::new();
    room.observe((0..3).map(|n| on("PC1", &in_phase(n, n as usize, Level::Medium), n)));
    let mut entries = room.memory.entries.lock().unwrap();
    entries.retain(|entry| !String::from_utf8_lossy(entry).contains(CHAIN_RULE));
    entries.retain(|entry| !String::from_utf8_lossy(entry).contains("alert.extended"));
    drop(entries);
    let restarted = room.replayed();
    assert!(chains(&restarted).is_empty());
    assert_eq!(restarted.catch_up().unwrap().len(), 2, "raised, and extended with the others");
    assert_eq!(chains(&restarted)[0].count, 3);
    assert!(restarted.catch_up().unwrap().is_empty());
}

#[test]
fn the_risk_of_an_entity_is_made_of_its_newest_alerts() {
    let room = Room::new();
    let most = u32::try_from(RISK_ALERTS_PER_ENTITY_MAX).unwrap();
    let alerts = || room.desk.risk(1).0[0].alerts;
    room.observe((0..most).map(|n| on("PC1", &in_phase(n, 1, Level::Medium), n)));
    assert_eq!(alerts(), RISK_ALERTS_PER_ENTITY_MAX);
    room.observe([on("PC1", &in_phase(most, 1, Level::Medium), most)]);
    assert_eq!(alerts(), RISK_ALERTS_PER_ENTITY_MAX);
}
