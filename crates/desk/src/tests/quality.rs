use super::*;
use crate::fold::Group;
use crate::limits::{
    DECISIONS_PER_PRECEDENT_MAX, HOURS_MAX, HOURS_PER_ENTRY_MAX, PRECEDENTS_MAX, RULE_TALLIES_MAX,
};
use crate::quality::Quality;
use crate::{Decision, Entity, EntityKind};
use crate::{NoiseCause, RuleQuality, Suggestion, Verdict, Verdicts};

fn of(desk: &Desk, rule: &RuleCopy) -> RuleQuality {
    desk.quality().into_iter().find(|one| one.uuid == rule.uuid).unwrap()
}

/// Raises an alert of `rule` on `host` and closes it.
fn judge(room: &Room, rule: &Arc<RuleCopy>, host: &str, index: u32, verdict: Verdict) -> AlertId {
    let alert = room.observe([finding(rule, host, index)])[0].alert.id;
    room.desk.close(alert, "佐藤", verdict, &format!("note {index}")).unwrap();
    alert
}

#[test]
fn precision_is_what_people_decided_and_follows_them_when_they_change_their_mind() {
    let room = Room::new();
    let rule = rule(1, Level::High);
    for index in 0..6 {
        judge(&room, &rule, &format!("PC{index}"), index, Verdict::FalsePositive);
    }
    judge(&room, &rule, "PC7", 7, Verdict::Benign);
    let threat = judge(&room, &rule, "PC8", 8, Verdict::TruePositive);
    judge(&room, &rule, "PC9", 9, Verdict::Duplicate);
    let quality = of(&room.desk, &rule);
    assert_eq!((quality.alerts, quality.judged, quality.verdicts.duplicate), (9, 8, 1));
    assert_eq!(quality.precision, Some(0.125));
    let (low, high) = (quality.precision_low.unwrap(), quality.precision_high.unwrap());
    assert!((low - 0.0224).abs() < 1e-4 && (high - 0.4709).abs() < 1e-4, "{low} {high}");
    let noise = quality.noise.unwrap();
    assert_eq!((noise.cause, noise.suggestion), (NoiseCause::Imprecise, Suggestion::Narrow));
    assert!(noise.sentence_en.contains("1 of 8"), "{}", noise.sentence_en);

    room.desk.reopen(threat, "佐藤", "").unwrap();
    assert_eq!(of(&room.desk, &rule).precision, Some(0.0));
    room.desk.close(threat, "佐藤", Verdict::FalsePositive, "").unwrap();
    assert_eq!(of(&room.desk, &rule).verdicts.false_positive, 7);
    assert_eq!(room.replayed().quality(), room.desk.quality());
}

#[test]
fn a_noisy_rule_names_the_entity_that_makes_the_noise() {
    let room = Room::new();
    let rule = rule(1, Level::High);
    for index in 0..5 {
        judge(&room, &rule, "BACKUP01", index, Verdict::FalsePositive);
    }
    let noise = of(&room.desk, &rule).noise.unwrap();
    assert_eq!(noise.suggestion, Suggestion::ExceptEntity);
    assert_eq!(noise.entity.unwrap().value, "BACKUP01");
    assert!(noise.sentence_ja.contains("BACKUP01"));
}

#[test]
fn a_loud_rule_is_noisy_until_its_precision_speaks_for_it_or_it_falls_silent() {
    let room = Room::new();
    let (loud, calm) = (rule(1, Level::High), rule(2, Level::High));
    let raise = |count: u32| {
        room.observe((0..count).map(|n| finding(&loud, &format!("PC{n}"), n)));
    };
    raise(19);
    assert_eq!(of(&room.desk, &loud).noise, None);
    raise(20);
    room.observe([finding(&calm, "PC1", 100)]);
    let noise = of(&room.desk, &loud).noise.unwrap();
    assert_eq!((noise.cause, noise.suggestion), (NoiseCause::Loud, Suggestion::Judge));
    assert_eq!(of(&room.desk, &calm).noise, None);
    assert_eq!(room.desk.quality()[0].uuid, loud.uuid, "noisy rules come first");
    for alert in all(&room.desk).iter().take(8) {
        room.desk.close(alert.id, "a", Verdict::TruePositive, "").unwrap();
    }
    assert_eq!(of(&room.desk, &loud).noise, None);
    room.clock.advance_micros(8 * 24 * HOUR);
    let later = of(&room.desk, &loud);
    assert_eq!((later.alerts, later.alerts_recent, later.share_recent), (20, 0, 0.0));
}

#[test]
fn an_alert_tells_what_was_decided_before_about_the_same_thing() {
    let room = Room::new();
    let rule = rule(1, Level::High);
    let first = room.observe([finding(&rule, "PC1", 0)])[0].alert.clone();
    assert_eq!(room.desk.precedent(&first), None);
    room.desk.close(first.id, "佐藤", Verdict::FalsePositive, "保守").unwrap();
    let own = room.desk.alert(first.id).unwrap();
    assert_eq!(room.desk.precedent(&own), None, "its own closing is no precedent");
    for index in 1..14 {
        room.clock.advance_micros(HOUR);
        judge(&room, &rule, "pc1", index, Verdict::FalsePositive);
    }
    let alert = room.observe([finding(&rule, "PC1", 20)])[0].alert.clone();
    let precedent = room.desk.precedent(&alert).unwrap();
    assert_eq!(precedent.verdicts, Verdicts { false_positive: 14, ..Verdicts::default() });
    let last = precedent.last.unwrap();
    assert_eq!((last.who.as_str(), last.note.as_str()), ("佐藤", "note 13"));
    assert_eq!(last.at, start().plus_micros(13 * HOUR));
    let elsewhere = room.observe([finding(&rule, "PC2", 21)])[0].alert.clone();
    assert_eq!(room.desk.precedent(&elsewhere), None);
    // Taken back, the last decision is the one before; past what is remembered, only the count.
    let newest_first: Vec<_> =
        (2..=14).rev().take(DECISIONS_PER_PRECEDENT_MAX).map(AlertId).collect();
    for id in &newest_first {
        room.desk.reopen(*id, "佐藤", "").unwrap();
    }
    let precedent = room.desk.precedent(&alert).unwrap();
    assert_eq!((precedent.verdicts.false_positive, precedent.last), (6, None));
}

#[test]
fn an_alert_counts_its_events_per_hour_and_keeps_the_latest_hours() {
    let room = Room::new();
    let rule = rule(1, Level::High);
    // One event every ten minutes for three hours.
    room.observe((0..18).map(|n| finding(&rule, "PC1", n * 10)));
    let alert = room.desk.alert(id(1)).unwrap();
    assert_eq!(alert.hours.values().copied().collect::<Vec<_>>(), [6, 6, 6]);
    assert_eq!(alert.hours.first_key_value().unwrap().0, &start());
    let hours = u32::try_from(HOURS_MAX).unwrap();
    for hour in 3..=hours {
        room.observe([finding(&rule, "PC1", hour * 60)]);
    }
    let alert = room.desk.alert(id(1)).unwrap();
    assert_eq!((alert.hours.len(), alert.count), (HOURS_MAX, 18 + u64::from(hours) - 2));
    assert_eq!(alert.hours.first_key_value().unwrap().0, &start().plus_micros(HOUR));
    assert_eq!(*room.replayed().alert(id(1)).unwrap(), *alert);
}

#[test]
fn one_record_counts_at_most_so_many_hours() {
    for (hours, counted) in
        [(HOURS_PER_ENTRY_MAX, HOURS_PER_ENTRY_MAX), (HOURS_PER_ENTRY_MAX + 1, HOURS_PER_ENTRY_MAX)]
    {
        let options = DeskOptions { window_micros: i64::MAX / 4, ..DeskOptions::default() };
        let room = Room::with(options, Bounds::default());
        let rule = rule(1, Level::High);
        let hours = u32::try_from(hours).unwrap();
        room.observe((0..=hours).map(|n| finding(&rule, "PC1", n * 60)));
        let entries = room.memory.entries.lock().unwrap();
        let extended: Value = serde_json::from_slice(entries.last().unwrap()).unwrap();
        let recorded = extended["alert.hours"].as_object().unwrap();
        assert_eq!(recorded.len(), counted);
        let events: u64 = recorded.values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(events, u64::from(hours), "what is past the limit is counted in the last hour");
    }
}

#[test]
fn measured_rules_and_remembered_pairs_are_bounded() {
    let mut quality = Quality::default();
    let mut one = (*rule(1, Level::High)).clone();
    for number in 0..=RULE_TALLIES_MAX {
        one.uuid = number.to_string();
        quality.raised(&one, start());
    }
    assert_eq!(quality.report(start()).len(), RULE_TALLIES_MAX);

    let room = Room::new();
    let alert = room.observe([finding(&rule(1, Level::High), "PC1", 0)])[0].alert.clone();
    let group = |number: usize| {
        Group::new("r", &Entity { kind: EntityKind::Host, value: number.to_string() })
    };
    let decision = Decision {
        at: start(),
        who: "a".into(),
        alert: id(9),
        verdict: Verdict::Benign,
        note: String::new(),
    };
    for number in 0..PRECEDENTS_MAX {
        quality.closed(&alert, group(number), decision.clone());
    }
    assert!(quality.precedent(&group(0), &alert).is_some());
    quality.closed(&alert, group(0), decision.clone());
    quality.closed(&alert, group(PRECEDENTS_MAX), decision);
    assert!(quality.precedent(&group(0), &alert).is_some(), "decided again, it is the newest");
    assert!(quality.precedent(&group(1), &alert).is_none(), "the one decided longest ago leaves");
    assert!(quality.precedent(&group(2), &alert).is_some());
}
