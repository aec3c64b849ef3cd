use super::*;
use crate::{
    DeskStats, Entity, EntityKind, ExceptionId, GapKind, GapSeen, Lasts, NewException, Verdict,
};
use proptest::prelude::*;

/// One thing that happens to a desk.
#[derive(Debug, Clone)]
enum Step {
    Observe(Vec<(u32, u8, u32)>),
    Acknowledge(u64),
    Close(u64, Verdict),
    Reopen(u64),
    Comment(u64),
    Pass(i64),
    Except(u32, u8, u32),
    RemoveException(u64),
    Expire,
    Gaps(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let findings = prop::collection::vec((0..3_u32, 0..3_u8, 0..5_000_u32), 0..6);
    let verdict = prop::sample::select(Verdict::ALL);
    prop_oneof![
        4 => findings.prop_map(Step::Observe),
        1 => (0..12_u64).prop_map(Step::Acknowledge),
        2 => ((0..12_u64), verdict).prop_map(|(id, verdict)| Step::Close(id, verdict)),
        1 => (0..12_u64).prop_map(Step::Reopen),
        1 => (0..12_u64).prop_map(Step::Comment),
        1 => (-10_000_000..10_000_000_i64).prop_map(Step::Pass),
        1 => (20..50_i64).prop_map(|hours| Step::Pass(hours * HOUR)),
        1 => ((0..3_u32), (0..3_u8), (1..4_u32)).prop_map(|(r, h, d)| Step::Except(r, h, d)),
        1 => (0..4_u64).prop_map(Step::RemoveException),
        1 => Just(Step::Expire),
        1 => prop::collection::vec(0..4_u8, 0..4).prop_map(Step::Gaps),
    ]
}

/// Rules of different phases, so that chains come about.
fn phased(number: u32) -> Arc<RuleCopy> {
    let phases = [Phase::InitialAccess, Phase::PersistenceDefenseEvasion, Phase::PrivilegeLateral];
    let phase = phases.get(number as usize).copied();
    Arc::new(RuleCopy { phase, ..(*rule(number, Level::High)).clone() })
}

fn carry_out(room: &Room, step: Step) {
    let desk = &room.desk;
    match step {
        Step::Observe(events) => {
            let findings = events
                .into_iter()
                .map(|(number, host, index)| finding(&phased(number), &format!("PC{host}"), index));
            room.observe(findings);
        }
        // Commands that do not fit are refused; that is part of the sequence.
        Step::Acknowledge(number) => drop(desk.acknowledge(id(number), "田中", "")),
        Step::Close(number, verdict) => drop(desk.close(id(number), "佐藤", verdict, "note")),
        Step::Reopen(number) => drop(desk.reopen(id(number), "鈴木", "")),
        Step::Comment(number) => drop(desk.comment(id(number), "田中", "?")),
        Step::Pass(micros) => room.clock.advance_micros(micros),
        Step::Except(number, host, days) => {
            desk.add_exception(
                "佐藤",
                NewException {
                    rules: vec![rule(number, Level::High).uuid.clone()],
                    entity: Some(Entity { kind: EntityKind::Host, value: format!("pc{host}") }),
                    reason: "計画された保守".into(),
                    lasts: Lasts::Days(days),
                    ..NewException::default()
                },
            )
            .unwrap();
        }
        Step::RemoveException(number) => {
            drop(desk.remove_exception(ExceptionId(number), "鈴木", ""));
        }
        Step::Expire => drop(desk.expire_exceptions()),
        Step::Gaps(subjects) => {
            let seen = subjects.into_iter().map(|subject| GapSeen {
                subject: subject.to_string(),
                begin: room.desk.now(),
                sentence_ja: "日".into(),
                sentence_en: "en".into(),
            });
            desk.set_gaps(GapKind::SourceSilent, seen.collect()).unwrap();
        }
    }
}

/// What the records say, without what is counted since the start of the process.
fn recorded(desk: &Desk) -> DeskStats {
    DeskStats { repeated: 0, ..desk.stats() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn replaying_the_records_ends_where_life_did(
        steps in prop::collection::vec(step(), 1..40),
        alerts_max in 2..10_usize,
    ) {
        let bounds = Bounds {
            alerts: alerts_max,
            event_ids_per_alert: 3,
            event_ids_total: 12,
            history: 3,
            recent: 16,
            undelivered: 3,
        };
        let options = DeskOptions { notify_level: Some(Level::High), ..DeskOptions::default() };
        let room = Room::with(options, bounds);
        for step in steps {
            carry_out(&room, step);
            let stats = room.desk.stats();
            let alerts = all(&room.desk);
            prop_assert!(alerts.len() <= alerts_max);
            prop_assert_eq!(stats.new + stats.acknowledged + stats.closed, alerts.len() as u64);
            prop_assert_eq!(stats.broken_records, 0);
        }
        let restarted = room.replayed();
        prop_assert_eq!(all(&restarted), all(&room.desk));
        prop_assert_eq!(recorded(&restarted), recorded(&room.desk));
        prop_assert_eq!(restarted.undelivered(), room.desk.undelivered());
        prop_assert_eq!(restarted.all_exceptions(), room.desk.all_exceptions());
        for one in room.desk.all_exceptions() {
            let id = one.exception.id;
            prop_assert_eq!(restarted.suppressed_by(id), room.desk.suppressed_by(id));
        }
        prop_assert_eq!(restarted.gaps(), room.desk.gaps());
        prop_assert_eq!(restarted.quality(), room.desk.quality());
        prop_assert_eq!(restarted.risk(100), room.desk.risk(100));
        for alert in all(&room.desk) {
            prop_assert_eq!(restarted.precedent(&alert), room.desk.precedent(&alert));
        }
        let caught_up = restarted.catch_up().unwrap().len();
        prop_assert_eq!(caught_up, room.desk.catch_up().unwrap().len());
        // And it goes on as the first one does.
        let more: Vec<_> = (0..4).map(|n| finding(&rule(n, Level::High), "PC1", n * 7)).collect();
        let left = room.desk.observe(more.clone()).unwrap().len();
        prop_assert_eq!(restarted.observe(more).unwrap().len(), left);
        prop_assert_eq!(all(&restarted), all(&room.desk));
    }

    #[test]
    fn no_bytes_break_a_replay(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let room = Room::new();
        prop_assert_ne!(room.desk.replay(&bytes), Replayed::Applied);
    }
}

#[test]
fn records_of_others_are_passed_over_and_broken_ones_reported() {
    let room = Room::new();
    let desk = &room.desk;
    assert_eq!(desk.replay(br#"{"event.action":"user.login"}"#), Replayed::NotOurs);
    assert_eq!(desk.replay(br#"{"event.action":"alert.merged","x":1}"#), Replayed::NotOurs);
    assert_eq!(desk.replay(b"[1]"), Replayed::NotOurs);
    let Replayed::Broken(reason) = desk.replay(br#"{"event.action":"alert.closed"}"#) else {
        panic!("it names itself ours and lacks everything");
    };
    assert!(reason.starts_with("alert.closed: missing field"), "{reason}");
    let stray = br#"{"event.action":"alert.acknowledged","@timestamp":"2026-11-21T09:00:00Z",
        "alert.id":"A-000009","user.name":"a"}"#;
    assert_eq!(desk.replay(stray), Replayed::Broken("there is no alert A-000009 in memory".into()));
    assert!(matches!(desk.replay(b"{"), Replayed::Broken(_)));
    assert_eq!(desk.stats().broken_records, 3);
}
