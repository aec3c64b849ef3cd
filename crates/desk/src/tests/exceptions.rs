use super::*;
use crate::limits::{
    EXCEPTION_CONDITIONS_BYTES_MAX, EXCEPTION_NAMES_MAX, EXCEPTIONS_IN_FORCE_MAX, EXCEPTIONS_MAX,
    SUPPRESSED_SHOWN_MAX,
};
use crate::{
    DeskError, EXCEPTION_DAYS_MAX, Entity, EntityKind, ExceptionId, ExceptionState, Lasts, Named,
    NewException,
};
use serde_json::json;
use yagura_event::{BatchBuilder, CommittedRun, EventBatch, FieldDictionary, Record, Transport};

fn host(name: &str) -> Option<Entity> {
    Some(Entity { kind: EntityKind::Host, value: name.into() })
}

fn new(rule: &RuleCopy, entity: Option<Entity>) -> NewException {
    let (rules, reason) = (vec![rule.uuid.clone()], "夜間バックアップ".to_owned());
    NewException { rules, entity, reason, ..NewException::default() }
}

fn dictionary() -> Arc<FieldDictionary> {
    let text = "[[field]]\nname='user.name'\nja='利用者'\nen='User'\n\
                [sigma.'windows.']\nUser='user.name'\n";
    Arc::new(FieldDictionary::from_toml(text).unwrap())
}

fn row(fields: &[(&str, &str)]) -> EventBatch {
    let record = Record {
        received: start(),
        transport: Transport::SyslogTcp,
        peer: "".into(),
        identity: "".into(),
        bytes: Vec::new().into(),
    };
    let run = CommittedRun {
        stream: StreamName::new("syslog").unwrap(),
        batch: 1,
        batch_salt: [0; 32],
        first_index: 0,
        records: vec![record.clone()],
    };
    let mut builder = BatchBuilder::new("windows.sysmon", dictionary());
    builder.begin_row(&run, 0, &record);
    fields.iter().for_each(|(name, value)| builder.set(name, value));
    builder.finish().unwrap()
}

#[test]
fn an_entity_is_excepted_counted_and_listed_and_returns_when_removed() {
    let room = Room::new();
    let rule = rule(1, Level::High);
    let added = room.desk.add_exception("佐藤", new(&rule, host("pc1"))).unwrap();
    assert_eq!(added.exception.expires, Some(start().plus_micros(90 * 24 * HOUR)));
    assert!(room.observe([finding(&rule, "PC1", 1), finding(&rule, "PC1", 2)]).is_empty());
    // The same events again, as after a restart, count once.
    assert!(room.observe([finding(&rule, "PC1", 2)]).is_empty());
    assert_eq!(room.observe([finding(&rule, "PC2", 3)]).len(), 1, "another host is not excepted");
    let other = super::rule(2, Level::High);
    assert_eq!(room.observe([finding(&other, "PC1", 4)]).len(), 1, "another rule is not excepted");

    let id = added.exception.id;
    let seen = room.desk.exception(id).unwrap();
    assert_eq!((seen.state, seen.suppressed), (ExceptionState::InForce, 2));
    let listed: Vec<_> =
        room.desk.suppressed_by(id).iter().map(|one| one.event_id.to_string()).collect();
    assert_eq!(listed, ["syslog/1/2", "syslog/1/1"]);
    assert_eq!(room.desk.quality().iter().find(|one| one.uuid == rule.uuid).unwrap().suppressed, 2);

    room.desk.remove_exception(id, "鈴木", "終了").unwrap();
    assert_eq!(room.observe([finding(&rule, "PC1", 5)]).len(), 1);
    // What was decided stays decided: the events taken away raise nothing now.
    assert!(room.observe([finding(&rule, "PC1", 1)]).is_empty());
    assert!(matches!(room.desk.remove_exception(id, "a", ""), Err(DeskError::NotNow { .. })));
    assert_eq!(room.replayed().all_exceptions(), room.desk.all_exceptions());
}

#[test]
fn conditions_are_those_of_rules_and_look_at_the_row() {
    let room = Room::new();
    let mut asked = new(&rule(1, Level::High), None);
    asked.conditions = json!({ "User|endswith": "-backup" }).as_object().unwrap().clone();
    asked.tags = vec!["ATTACK.t1490".into()];
    let id = room.desk.add_exception("佐藤", asked).unwrap().exception.id;
    let set = room.desk.exceptions();
    let (uuid, other) = (rule(1, Level::High).uuid.clone(), rule(2, Level::High).uuid.clone());
    let ask = |uuid: &str, tags: &[String], user: &str| {
        let batch = row(&[("user.name", user)]);
        set.for_row(start(), (uuid, tags), Named::default(), &dictionary(), (&batch, 0))
    };
    assert_eq!(ask(&uuid, &[], "SVC-Backup"), Some(id));
    assert_eq!(ask(&uuid.to_uppercase(), &[], "svc-backup"), Some(id));
    assert_eq!(ask(&uuid, &[], "tanaka"), None);
    assert_eq!(ask(&other, &["attack.T1490".into()], "svc-backup"), Some(id));
    assert_eq!(ask(&other, &[], "svc-backup"), None);
    assert!(set.concerns(&uuid, &[]) && !set.concerns(&other, &[]));
    // Without the event nothing is known of its fields, so nothing is taken away.
    assert_eq!(room.observe([finding(&rule(1, Level::High), "PC1", 1)]).len(), 1);
}

#[test]
fn an_exception_ends_at_its_time_and_the_end_is_a_record() {
    let room = Room::new();
    let rule = rule(1, Level::High);
    let asked = NewException { lasts: Lasts::Days(1), ..new(&rule, host("PC1")) };
    let id = room.desk.add_exception("佐藤", asked).unwrap().exception.id;
    room.clock.advance_micros(24 * HOUR - 1);
    assert!(room.observe([finding(&rule, "PC1", 1)]).is_empty());
    assert_eq!(room.desk.expire_exceptions().unwrap(), 0);
    room.clock.advance_micros(1);
    assert_eq!(room.desk.exception(id).unwrap().state, ExceptionState::Expired);
    assert_eq!(room.observe([finding(&rule, "PC1", 2)]).len(), 1, "before its end is recorded");
    assert_eq!(room.desk.expire_exceptions().unwrap(), 1);
    assert_eq!(room.desk.expire_exceptions().unwrap(), 0);
    let last = room.memory.entries.lock().unwrap().last().cloned().unwrap();
    assert!(String::from_utf8(last).unwrap().contains("exception.expired"));
    assert_eq!(room.replayed().all_exceptions(), room.desk.all_exceptions());
}

#[test]
fn an_exception_needs_a_reason_a_rule_and_something_to_ask_for() {
    let room = Room::new();
    let rule = rule(1, Level::High);
    let good = || new(&rule, host("PC1"));
    let conditions = |value: Value| value.as_object().unwrap().clone();
    let wrong = [
        ("reason", NewException { reason: " ".into(), ..good() }),
        ("rule", NewException { rules: Vec::new(), ..good() }),
        ("everything", NewException { entity: None, ..good() }),
        ("either", NewException { everything: true, ..good() }),
        ("days", NewException { lasts: Lasts::Days(0), ..good() }),
        ("days", NewException { lasts: Lasts::Days(EXCEPTION_DAYS_MAX + 1), ..good() }),
        ("entity", NewException { entity: host(" "), ..good() }),
        ("regular", NewException { conditions: conditions(json!({ "a|re": "(" })), ..good() }),
        ("are the most", NewException { tags: vec!["t".into(); EXCEPTION_NAMES_MAX], ..good() }),
        (
            "bytes",
            NewException {
                conditions: conditions(json!({ "a": "x".repeat(EXCEPTION_CONDITIONS_BYTES_MAX) })),
                ..good()
            },
        ),
    ];
    for (word, asked) in wrong {
        let error = room.desk.add_exception("a", asked).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
    assert!(room.desk.add_exception(" ", good()).is_err());
    assert!(room.memory.entries.lock().unwrap().is_empty(), "what is refused leaves no record");
    let most = NewException { tags: vec!["t".into(); EXCEPTION_NAMES_MAX - 1], ..good() };
    room.desk.add_exception("a", most).unwrap();
    let most = NewException { lasts: Lasts::Days(EXCEPTION_DAYS_MAX), ..good() };
    room.desk.add_exception("a", most).unwrap();
    let everything = NewException { everything: true, entity: None, ..good() };
    room.desk.add_exception("a", everything).unwrap();
    assert_eq!(room.desk.rules_off().len(), 1);
    assert!(room.observe([finding(&rule, "PC9", 1)]).is_empty());
}

#[test]
fn exceptions_and_what_they_list_are_bounded() {
    let room = Room::new();
    let rule = rule(1, Level::High);
    let id = room.desk.add_exception("a", new(&rule, host("PC1"))).unwrap().exception.id;
    let most = u32::try_from(SUPPRESSED_SHOWN_MAX).unwrap();
    room.observe((0..=most).map(|index| finding(&rule, "PC1", index)));
    assert_eq!(room.desk.suppressed_by(id).len(), SUPPRESSED_SHOWN_MAX);
    assert_eq!(room.desk.exception(id).unwrap().suppressed, u64::from(most) + 1);
    for _ in 1..EXCEPTIONS_IN_FORCE_MAX {
        room.desk.add_exception("a", new(&rule, host("PC2"))).unwrap();
    }
    let error = room.desk.add_exception("a", new(&rule, host("PC2"))).unwrap_err();
    assert!(error.to_string().contains("remove some first"), "{error}");
    for number in (EXCEPTIONS_IN_FORCE_MAX as u64)..=(EXCEPTIONS_MAX as u64) {
        room.desk.remove_exception(ExceptionId(number), "a", "").unwrap();
        room.desk.add_exception("a", new(&rule, host("PC2"))).unwrap();
    }
    assert_eq!(room.desk.all_exceptions().len(), EXCEPTIONS_MAX);
    assert!(room.desk.exception(id).is_some(), "one in force never leaves memory");
    let left = ExceptionId(EXCEPTIONS_IN_FORCE_MAX as u64);
    assert!(room.desk.exception(left).is_none(), "the oldest that ended has left");
}

#[test]
fn what_cannot_be_recorded_takes_nothing_away() {
    let room = Room::new();
    let rule = rule(1, Level::High);
    room.memory.broken.store(true, Ordering::SeqCst);
    let refused = room.desk.add_exception("a", new(&rule, host("PC1")));
    assert!(matches!(refused, Err(DeskError::Audit(_))));
    room.memory.broken.store(false, Ordering::SeqCst);
    assert_eq!(room.observe([finding(&rule, "PC1", 1)]).len(), 1);
    room.desk.add_exception("a", new(&rule, host("PC1"))).unwrap();
    room.memory.broken.store(true, Ordering::SeqCst);
    assert!(room.desk.observe(vec![finding(&rule, "PC1", 2)]).is_err());
    assert_eq!(room.desk.stats().suppressed, 0);
}
