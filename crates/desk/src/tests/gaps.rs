use super::*;
use crate::limits::{GAP_TEXT_BYTES_MAX, GAPS_CLOSED_MAX, GAPS_OPEN_PER_KIND_MAX};
use crate::{GapKind, GapSeen};

fn seen(subject: impl ToString) -> GapSeen {
    GapSeen {
        subject: subject.to_string(),
        begin: start(),
        sentence_ja: "途絶えた".into(),
        sentence_en: "silent".into(),
    }
}

fn open(desk: &Desk) -> Vec<(GapKind, String)> {
    let open = desk.gaps().into_iter().filter(|gap| gap.end.is_none());
    let mut open: Vec<_> = open.map(|gap| (gap.kind, gap.subject.clone())).collect();
    open.sort();
    open
}

#[test]
fn exactly_what_is_seen_is_open_and_each_change_is_one_record() {
    use GapKind::{FieldMissing, SourceSilent};
    let room = Room::new();
    let records = || room.memory.entries.lock().unwrap().len();
    room.desk.set_gaps(SourceSilent, vec![seen("a"), seen("b"), seen("a")]).unwrap();
    assert_eq!(records(), 2);
    room.desk.set_gaps(FieldMissing, vec![seen("a")]).unwrap();
    room.desk.set_gaps(SourceSilent, vec![seen("b"), seen("a")]).unwrap();
    assert_eq!(records(), 3, "what is known is not recorded again");
    room.clock.advance_micros(HOUR);
    room.desk.set_gaps(SourceSilent, vec![seen("b"), seen("c")]).unwrap();
    assert_eq!(records(), 5);
    let expected = [(SourceSilent, "b"), (SourceSilent, "c"), (FieldMissing, "a")];
    assert_eq!(open(&room.desk), expected.map(|(kind, subject)| (kind, subject.to_owned())));
    let closed = room.desk.gaps().pop().unwrap();
    assert_eq!((closed.subject.as_str(), closed.begin), ("a", start()));
    assert_eq!(closed.end, Some(start().plus_micros(HOUR)));
    room.desk.record_past_gap(GapKind::Stopped, seen("yagura"), start().plus_micros(9)).unwrap();
    assert_eq!(room.desk.stats().gaps_open, 3);
    assert_eq!(room.replayed().gaps(), room.desk.gaps());
}

#[test]
fn gaps_are_bounded_and_the_rest_is_said_by_one() {
    let room = Room::new();
    let kind = GapKind::RuleRefused;
    let many = |count: usize| (0..count).map(|number| seen(format!("{number:05}"))).collect();
    room.desk.set_gaps(kind, many(GAPS_OPEN_PER_KIND_MAX)).unwrap();
    assert_eq!(open(&room.desk).len(), GAPS_OPEN_PER_KIND_MAX);
    assert_ne!(open(&room.desk)[0].1, "*");
    room.desk.set_gaps(kind, many(GAPS_OPEN_PER_KIND_MAX + 5)).unwrap();
    assert_eq!(open(&room.desk).len(), GAPS_OPEN_PER_KIND_MAX + 1);
    assert_eq!(open(&room.desk)[0].1, "*");
    let rounds = GAPS_CLOSED_MAX / GAPS_OPEN_PER_KIND_MAX;
    for _ in 0..=rounds {
        room.desk.set_gaps(kind, Vec::new()).unwrap();
        room.desk.set_gaps(kind, many(GAPS_OPEN_PER_KIND_MAX)).unwrap();
    }
    room.desk.set_gaps(kind, Vec::new()).unwrap();
    assert_eq!(room.desk.gaps().len(), GAPS_CLOSED_MAX);

    let mut long = seen("x".repeat(GAP_TEXT_BYTES_MAX + 1));
    long.sentence_en = "y".repeat(GAP_TEXT_BYTES_MAX);
    let opened = room.desk.set_gaps(kind, vec![long.clone()]).unwrap();
    assert!(opened[0].subject.ends_with('…') && opened[0].subject.len() <= GAP_TEXT_BYTES_MAX);
    assert!(opened[0].sentence_en.ends_with('y'));
    assert!(
        room.desk.set_gaps(kind, vec![long]).unwrap().is_empty(),
        "it is known by its cut name"
    );
}
