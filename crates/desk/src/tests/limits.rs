use super::*;
use crate::limits::{
    EVENT_IDS_PER_ENTRY_MAX, EVIDENCE_BYTES_MAX, EVIDENCE_MAX, GUIDE_LINES_MAX, LISTENER_LAG_MAX,
    NAME_BYTES_MAX, NOTE_BYTES_MAX, OPEN_ALERTS_PER_GROUP_LOOKED_AT, PAGE_MAX, QUIET_RULES_MAX,
    SENTENCE_BYTES_MAX, TAGS_MAX, WHO_BYTES_MAX,
};
use crate::{DeskError, EvidenceItem, Verdict};

fn small() -> Room {
    let bounds = Bounds {
        alerts: 3,
        event_ids_per_alert: 4,
        event_ids_total: 8,
        history: 2,
        recent: 100,
        undelivered: 2,
    };
    Room::with(DeskOptions { notify_level: Some(Level::High), ..DeskOptions::default() }, bounds)
}

#[test]
fn an_alert_keeps_its_first_event_ids_and_counts_on() {
    let room = small();
    let rule = rule(1, Level::High);
    room.observe((0..4).map(|index| finding(&rule, "PC1", index)));
    assert_eq!(room.desk.alert(id(1)).unwrap().event_ids.len(), 4);
    room.observe([finding(&rule, "PC1", 4)]);
    let alert = room.desk.alert(id(1)).unwrap();
    assert_eq!((alert.event_ids.len(), alert.count), (4, 5));
    assert_eq!(&*alert.event_ids[3], "syslog/1/3");
}

#[test]
fn the_oldest_closed_alert_leaves_memory_first() {
    let room = small();
    for number in 1..=3 {
        room.observe([finding(&rule(number, Level::High), "PC1", number)]);
    }
    room.desk.close(id(3), "a", Verdict::Benign, "").unwrap();
    room.desk.close(id(2), "a", Verdict::Benign, "").unwrap();
    assert_eq!(all(&room.desk).len(), 3);
    room.observe([finding(&rule(4, Level::High), "PC1", 4)]);
    assert!(room.desk.alert(id(2)).is_none());
    room.observe([finding(&rule(5, Level::High), "PC1", 5)]);
    assert!(room.desk.alert(id(3)).is_none());
    // Nothing is closed now: the oldest goes, and a further finding of it raises a new alert.
    room.observe([finding(&rule(6, Level::High), "PC1", 6)]);
    assert!(room.desk.alert(id(1)).is_none());
    let stats = room.desk.stats();
    assert_eq!((stats.closed_left_memory, stats.open_left_memory, stats.raised), (2, 1, 6));
    room.observe([finding(&rule(1, Level::High), "PC1", 7)]);
    assert_eq!(room.desk.alert(id(7)).unwrap().count, 1);
    assert_eq!(all(&room.replayed()), all(&room.desk));
}

#[test]
fn history_and_undelivered_alerts_are_bounded() {
    let room = small();
    for number in 1..=3 {
        room.observe([finding(&rule(number, Level::High), "PC1", number)]);
    }
    let undelivered: Vec<_> = room.desk.undelivered().iter().map(|alert| alert.id).collect();
    assert_eq!(undelivered, [id(2), id(3)]);
    for text in ["one", "two", "three"] {
        room.desk.comment(id(1), "a", text).unwrap();
    }
    let alert = room.desk.alert(id(1)).unwrap();
    assert_eq!((alert.history[0].note.as_str(), alert.history_left_out), ("two", 1));
}

#[test]
fn event_ids_of_all_alerts_are_bounded() {
    let bounds = Bounds { event_ids_total: 20, event_ids_per_alert: 100, ..Bounds::default() };
    let room = Room::with(DeskOptions::default(), bounds);
    let rules = [rule(1, Level::High), rule(2, Level::High)];
    room.observe((0..20).map(|index| finding(&rules[0], "PC1", index)));
    room.observe((0..20).map(|index| finding(&rules[1], "PC1", index)));
    let kept = |number| room.desk.alert(id(number)).unwrap().event_ids.len();
    assert_eq!((kept(1), kept(2)), (20, crate::limits::EVENT_IDS_PER_ALERT_CROWDED));
}

#[test]
fn names_and_notes_are_refused_past_their_limits() {
    let room = Room::new();
    room.observe([finding(&rule(1, Level::High), "PC1", 0)]);
    let text = |bytes| "x".repeat(bytes);
    let (who, note) = (text(WHO_BYTES_MAX), text(NOTE_BYTES_MAX));
    room.desk.comment(id(1), &who, &note).unwrap();
    for (who, note) in
        [(text(WHO_BYTES_MAX + 1), note.clone()), (who.clone(), text(NOTE_BYTES_MAX + 1))]
    {
        let error = room.desk.comment(id(1), &who, &note).unwrap_err();
        assert!(matches!(error, DeskError::Invalid { .. }), "{error}");
    }
}

#[test]
fn texts_of_a_finding_are_cut_at_their_limits() {
    let room = Room::new();
    let mut wide = (*rule(1, Level::High)).clone();
    wide.tags = vec!["t".into(); TAGS_MAX + 1];
    wide.guide.check = vec!["c".repeat(SENTENCE_BYTES_MAX + 1); GUIDE_LINES_MAX + 1];
    let mut event = finding(&Arc::new(wide), &"h".repeat(NAME_BYTES_MAX + 1), 0);
    event.words = EventWords::Said {
        ja: "あ".repeat(SENTENCE_BYTES_MAX),
        en: "a".repeat(SENTENCE_BYTES_MAX),
    };
    let item = EvidenceItem {
        field: "f".into(),
        value: "v".repeat(EVIDENCE_BYTES_MAX + 1),
        predicate: "p".repeat(EVIDENCE_BYTES_MAX),
    };
    event.evidence = vec![item; EVIDENCE_MAX + 1];
    room.observe([event]);
    let alert = room.desk.alert(id(1)).unwrap();
    assert_eq!(alert.rule.guide.check.len(), GUIDE_LINES_MAX);
    assert!(alert.rule.guide.check[0].ends_with('…'));
    assert_eq!(alert.rule.tags.len(), TAGS_MAX);
    assert_eq!(alert.entity.value.len(), NAME_BYTES_MAX);
    assert!(alert.first_sentence_ja.len() <= SENTENCE_BYTES_MAX);
    assert!(alert.first_sentence_ja.ends_with('…'));
    assert_eq!(alert.first_sentence_en.len(), SENTENCE_BYTES_MAX);
    assert_eq!(alert.evidence.len(), EVIDENCE_MAX);
    assert!(alert.evidence[0].value.ends_with('…') && alert.evidence[0].predicate.ends_with('p'));
}

#[test]
fn many_events_of_one_alert_make_several_records() {
    let room = Room::new();
    let most = u32::try_from(EVENT_IDS_PER_ENTRY_MAX).unwrap();
    for (number, further, records) in [(1, most, 2), (2, most + 1, 3)] {
        let rule = rule(number, Level::High);
        let changes = room.observe((0..=further).map(|index| finding(&rule, "PC1", index)));
        assert_eq!(changes.len(), records, "the first event and {further} more");
    }
}

#[test]
fn a_flood_of_scattered_times_is_searched_within_a_limit() {
    let room = Room::new();
    let rule = rule(1, Level::High);
    let days = u32::try_from(OPEN_ALERTS_PER_GROUP_LOOKED_AT).unwrap() + 1;
    let scattered = |index: u32, day: u32| {
        let mut event = finding(&rule, "PC1", index);
        event.timestamp = start().plus_micros(i64::from(day) * 48 * HOUR);
        event
    };
    room.observe((0..days).map(|day| scattered(day, day)));
    assert_eq!(room.desk.stats().raised, u64::from(days));
    room.observe([scattered(100, 1)]);
    assert_eq!(room.desk.stats().raised, u64::from(days), "the second oldest is still found");
    room.observe([scattered(101, 0)]);
    assert_eq!(room.desk.stats().raised, u64::from(days) + 1, "the oldest is not");
}

#[test]
fn a_page_has_at_most_its_limit() {
    let room = Room::new();
    let most = u32::try_from(PAGE_MAX).unwrap();
    room.observe((0..=most).map(|n| finding(&rule(n, Level::High), "PC1", n)));
    let page = room.desk.alerts(&AlertFilter { limit: PAGE_MAX + 1, ..AlertFilter::default() });
    assert_eq!((page.alerts.len(), page.next_offset), (PAGE_MAX, Some(PAGE_MAX)));
}

#[test]
fn quiet_rules_past_the_limit_share_a_count() {
    let room = Room::new();
    let most = u32::try_from(QUIET_RULES_MAX).unwrap();
    room.observe((0..most).map(|n| finding(&rule(n, Level::Low), "PC1", n)));
    assert!(!room.desk.stats().below_level_by_rule.contains_key(""));
    let beyond = [most, most + 1, 0];
    room.observe(beyond.map(|n| finding(&rule(n, Level::Low), "PC1", n)));
    let stats = room.desk.stats();
    assert_eq!(stats.below_level, u64::from(most) + 3);
    assert_eq!(stats.below_level_by_rule[""], 2);
    assert_eq!(stats.below_level_by_rule[&rule(0, Level::Low).uuid], 2);
}

#[test]
fn a_listener_that_falls_behind_is_told_how_far() {
    use tokio::sync::broadcast::error::TryRecvError;
    let room = Room::new();
    let mut in_time = room.desk.subscribe();
    let mut behind = room.desk.subscribe();
    let rule = rule(1, Level::High);
    let change = |index| assert_eq!(room.observe([finding(&rule, "PC1", index)]).len(), 1);
    let most = u32::try_from(LISTENER_LAG_MAX).unwrap();
    (0..most).for_each(change);
    assert!(in_time.try_recv().is_ok());
    change(most);
    assert!(in_time.try_recv().is_ok());
    assert!(matches!(behind.try_recv(), Err(TryRecvError::Lagged(1))));
}
