use super::*;
use crate::{AlertSort, AlertState, ChangeKind, DeskError, EntityKind, Verdict};

#[test]
fn one_rule_on_one_host_is_one_alert_and_one_append() {
    let room = Room::new();
    let rule = rule(1, Level::High);
    let first = room.observe([finding(&rule, "DC01", 1), finding(&rule, "dc01", 2)]);
    assert_eq!(*room.memory.appends.lock().unwrap(), 1);
    let kinds: Vec<_> = first.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Raised, ChangeKind::Extended { added: 1 }]);
    room.observe([finding(&rule, "DC01", 0), finding(&rule, "FS01", 3)]);

    let alerts = all(&room.desk);
    assert_eq!(alerts.len(), 2);
    let dc = room.desk.alert(id(1)).unwrap();
    assert_eq!((dc.count, dc.entity.kind, dc.entity.value.as_str()), (3, EntityKind::Host, "DC01"));
    assert_eq!(dc.first_seen, start());
    assert_eq!(dc.last_seen, start().plus_micros(120_000_000));
    assert_eq!(
        dc.event_ids.iter().map(|id| &**id).collect::<Vec<_>>(),
        ["syslog/1/1", "syslog/1/2", "syslog/1/0"]
    );
    assert_eq!(dc.first_sentence_ja, "田中 が DC01 で操作 1 を行った");
    assert_eq!(dc.last_sentence_en, "田中 did 0 on DC01");
}

#[test]
fn the_entity_is_the_first_that_the_event_names() {
    let entity = |dataset: &str, host: &str, user: &str, address: &str| {
        let room = Room::new();
        let mut event = finding(&rule(1, Level::High), host, 1);
        event.dataset = dataset.into();
        event.user = Some(user.into());
        event.source_ip = Some(address.into());
        let entity = room.observe([event])[0].alert.entity.clone();
        (entity.kind, entity.value)
    };
    let (machine, gateway) = ("windows.security", "network.vpn");
    assert_eq!(entity(machine, "PC1", "田中", "10.0.0.1"), (EntityKind::Host, "PC1".into()));
    assert_eq!(entity(machine, "", "田中", "10.0.0.1"), (EntityKind::User, "田中".into()));
    assert_eq!(entity(machine, "", "", "10.0.0.1"), (EntityKind::SourceIp, "10.0.0.1".into()));
    assert_eq!(entity(machine, "", "", ""), (EntityKind::Dataset, machine.into()));
    assert_eq!(entity(gateway, "FW1", "田中", "10.0.0.1"), (EntityKind::User, "田中".into()));
    assert_eq!(entity("web.access", "W1", "", "10.0.0.1").0, EntityKind::SourceIp);
    assert_eq!(entity("web.access", "W1", "", ""), (EntityKind::Host, "W1".into()));
}

#[test]
fn an_event_joins_an_open_alert_within_the_window_only() {
    let room = Room::new();
    let rule = rule(1, Level::High);
    room.observe([finding(&rule, "DC01", 0)]);
    let mut at_the_edge = finding(&rule, "DC01", 1);
    at_the_edge.timestamp = start().plus_micros(24 * HOUR);
    let mut too_early = finding(&rule, "DC01", 2);
    too_early.timestamp = start().plus_micros(-24 * HOUR - 1);
    room.observe([at_the_edge, too_early]);
    assert_eq!(room.desk.alert(id(1)).unwrap().count, 2);
    assert_eq!(room.desk.alert(id(2)).unwrap().count, 1);
}

#[test]
fn after_closing_a_new_alert_is_raised_and_reopening_takes_events_again() {
    let room = Room::new();
    let rule = rule(1, Level::High);
    room.observe([finding(&rule, "DC01", 0)]);
    let closed = room.desk.close(id(1), " 佐藤 ", Verdict::Benign, "patch day").unwrap();
    assert_eq!((closed.state, closed.verdict), (AlertState::Closed, Some(Verdict::Benign)));
    assert_eq!((closed.history[0].who.as_str(), closed.history[0].at), ("佐藤", start()));
    room.observe([finding(&rule, "DC01", 1)]);
    assert_eq!(room.desk.alert(id(2)).unwrap().count, 1);
    room.desk.close(id(2), "佐藤", Verdict::Duplicate, "").unwrap();
    let reopened = room.desk.reopen(id(1), "鈴木", "not benign").unwrap();
    assert_eq!((reopened.state, reopened.verdict), (AlertState::New, None));
    room.observe([finding(&rule, "DC01", 2)]);
    assert_eq!(room.desk.alert(id(1)).unwrap().count, 2);
    let stats = room.desk.stats();
    assert_eq!((stats.new, stats.acknowledged, stats.closed), (1, 0, 1));
}

#[test]
fn a_finding_counted_before_changes_nothing_also_after_a_restart() {
    let room = Room::new();
    let rule = rule(1, Level::High);
    let findings: Vec<_> = (0..5).map(|index| finding(&rule, "DC01", index)).collect();
    room.observe(findings.iter().cloned().chain([findings[4].clone()]));
    let records = room.memory.entries.lock().unwrap().len();
    assert!(room.observe(findings.clone()).is_empty());
    assert_eq!(room.memory.entries.lock().unwrap().len(), records);
    assert_eq!(room.desk.stats().repeated, 6);
    let restarted = room.replayed();
    assert!(restarted.observe(findings).unwrap().is_empty());
    assert_eq!(restarted.alert(id(1)).unwrap().count, 5);
}

#[test]
fn findings_below_the_level_are_counted_only() {
    let room = Room::new();
    let quiet = rule(1, Level::Low);
    assert!(room.observe([finding(&quiet, "DC01", 0), finding(&quiet, "DC01", 1)]).is_empty());
    assert!(room.memory.entries.lock().unwrap().is_empty());
    let stats = room.desk.stats();
    assert_eq!((stats.below_level, stats.below_level_by_rule.get(&quiet.uuid)), (2, Some(&2)));
}

#[test]
fn commands_that_do_not_fit_are_refused_and_leave_no_record() {
    let room = Room::new();
    room.observe([finding(&rule(1, Level::High), "DC01", 0)]);
    let before = room.memory.entries.lock().unwrap().len();
    let desk = &room.desk;
    assert!(matches!(desk.acknowledge(id(9), "a", ""), Err(DeskError::NoSuchAlert { .. })));
    assert!(matches!(desk.reopen(id(1), "a", ""), Err(DeskError::NotNow { .. })));
    assert!(matches!(desk.acknowledge(id(1), "  ", ""), Err(DeskError::Invalid { .. })));
    assert!(matches!(desk.comment(id(1), "a", " "), Err(DeskError::Invalid { .. })));
    assert_eq!(room.memory.entries.lock().unwrap().len(), before);
    desk.acknowledge(id(1), "a", "").unwrap();
    let twice = desk.acknowledge(id(1), "b", "").unwrap_err();
    assert_eq!(twice.to_string(), "alert A-000001 is acknowledged");
}

#[test]
fn what_cannot_be_recorded_does_not_happen() {
    let room = Room::new();
    let event = finding(&rule(1, Level::High), "DC01", 0);
    room.memory.broken.store(true, Ordering::SeqCst);
    assert!(matches!(room.desk.observe(vec![event.clone()]), Err(DeskError::Audit(_))));
    assert!(all(&room.desk).is_empty());
    room.memory.broken.store(false, Ordering::SeqCst);
    assert_eq!(room.observe([event]).len(), 1);
}

#[test]
fn listeners_hear_of_every_change() {
    let room = Room::new();
    let mut changes = room.desk.subscribe();
    room.observe([finding(&rule(1, Level::High), "DC01", 0)]);
    room.desk.acknowledge(id(1), "a", "").unwrap();
    assert_eq!(changes.try_recv().unwrap().kind, ChangeKind::Raised);
    assert_eq!(changes.try_recv().unwrap().alert.state, AlertState::Acknowledged);
    assert!(changes.try_recv().is_err());
}

#[test]
fn a_list_is_filtered_sorted_and_paged() {
    let room = Room::new();
    let levels = [Level::Medium, Level::Critical, Level::High];
    for (number, level) in (1..).zip(levels) {
        room.observe([finding(&rule(number, level), &format!("PC{number}"), number)]);
    }
    room.desk.acknowledge(id(2), "a", "").unwrap();
    let list = |filter: AlertFilter| -> Vec<u64> {
        room.desk.alerts(&filter).alerts.iter().map(|alert| alert.id.number()).collect()
    };
    let any = AlertFilter::default;
    assert_eq!(list(any()), [3, 2, 1]);
    assert_eq!(list(AlertFilter { sort: AlertSort::Severity, ..any() }), [2, 3, 1]);
    assert_eq!(list(AlertFilter { sort: AlertSort::Story, ..any() }), [1, 2, 3]);
    assert_eq!(list(AlertFilter { states: vec![AlertState::Acknowledged], ..any() }), [2]);
    assert_eq!(list(AlertFilter { min_level: Some(Level::High), ..any() }), [3, 2]);
    assert_eq!(list(AlertFilter { rule: Some(rule(3, Level::High).uuid.clone()), ..any() }), [3]);
    assert_eq!(list(AlertFilter { rule: Some("規則 １".into()), ..any() }), [1]);
    assert_eq!(list(AlertFilter { entity: Some("pc2".into()), ..any() }), [2]);
    assert_eq!(list(AlertFilter { text: Some("ＰＣ３ 田中".into()), ..any() }), [3]);
    assert_eq!(list(AlertFilter { text: Some("PC3 佐藤".into()), ..any() }), [0; 0]);
    let second = start().plus_micros(120_000_000);
    assert_eq!(list(AlertFilter { since: Some(second), ..any() }), [3, 2]);
    assert_eq!(list(AlertFilter { until: Some(second), ..any() }), [2, 1]);
    let page = room.desk.alerts(&AlertFilter { offset: 1, limit: 1, ..any() });
    assert_eq!((page.alerts[0].id, page.total, page.next_offset), (id(2), 3, Some(2)));
    let last = room.desk.alerts(&AlertFilter { offset: 2, limit: 1, ..any() });
    assert_eq!((last.alerts.len(), last.next_offset), (1, None));
}

#[test]
fn an_alert_is_written_with_ecs_names() {
    let room = Room::new();
    room.observe([finding(&rule(1, Level::High), "DC01", 0)]);
    let json = serde_json::to_value(&*room.desk.alert(id(1)).unwrap()).unwrap();
    let expected = [
        ("@timestamp", "2026-11-21T09:00:00.000000Z"),
        ("alert.id", "A-000001"),
        ("alert.state", "new"),
        ("rule.uuid", "00000000-0000-4000-8000-000000000001"),
        ("rule.name", "Rule 1"),
        ("rule.level", "high"),
        ("rule.phase", "privilege-lateral"),
        ("host.name", "DC01"),
        ("user.name", "田中"),
        ("source.ip", "10.1.2.3"),
    ];
    for (name, value) in expected {
        assert_eq!(json[name], value, "{name}");
    }
    assert_eq!(json["event.id"], serde_json::json!(["syslog/1/0"]));
}

#[test]
fn only_what_is_shown_is_put_into_words() {
    let room = Room::new();
    let rule = rule(1, Level::High);
    let unsaid = |row: usize| Finding {
        words: EventWords::Unsaid { batch: 3, row },
        ..finding(&rule, "DC01", u32::try_from(row).unwrap())
    };
    let asked = std::cell::RefCell::new(Vec::new());
    let say = |batch: usize, row: usize| {
        asked.borrow_mut().push((batch, row));
        (format!("{row} 番目"), format!("number {row}"))
    };
    room.desk.observe_with((0..50).map(unsaid).collect(), &say).unwrap();
    assert_eq!(*asked.borrow(), [(3, 0), (3, 49)]);
    let alert = room.desk.alert(id(1)).unwrap();
    assert_eq!((alert.count, alert.first_sentence_ja.as_str()), (50, "0 番目"));
    assert_eq!(alert.last_sentence_en, "number 49");
}
