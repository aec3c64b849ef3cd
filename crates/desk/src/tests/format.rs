//! The stored form of every record: it is read for ever, so it is written down here, and a change
//! of a word fails.

use super::*;
use crate::entry::{Entry, Read};
use crate::{AlertState, ExceptionState, Verdict};

/// One of each kind, as version 0.1 wrote them.
const RECORDS: [&str; 17] = [
    r#"{"event.action":"alert.raised","@timestamp":"2026-11-21T09:00:00.000000Z","alert.id":"A-000001","alert.entity":{"kind":"host","value":"DC01"},"rule.uuid":"00000000-0000-4000-8000-000000000001","rule.name":"Rule 1","rule.name_ja":"規則 1","rule.level":"high","rule.tags":["attack.t1003.001"],"rule.author":"Yagura","rule.license":"Apache-2.0","rule.phase":"privilege-lateral","event.dataset":"windows.sysmon","host.name":"DC01","user.name":"田中","source.ip":"10.1.2.3","event.id":"syslog/1/0","alert.first_seen":"2026-11-21T08:59:59.000000Z","event.ingested":"2026-11-21T09:00:00.000000Z","alert.sentence_ja":"日","alert.sentence_en":"en","alert.evidence":[{"field":"process.name","value":"x.exe","predicate":"equals x.exe"}],"alert.notify":true}"#,
    r#"{"event.action":"alert.extended","@timestamp":"2026-11-21T09:00:01.000000Z","alert.id":"A-000001","event.id":["syslog/1/1","syslog/1/2"],"alert.first_seen":"2026-11-21T09:00:00.000000Z","alert.last_seen":"2026-11-21T09:00:01.000000Z","alert.sentence_ja":"後","alert.sentence_en":"later"}"#,
    r#"{"event.action":"alert.delivery","@timestamp":"2026-11-21T09:00:02.000000Z","alert.id":"A-000001","delivery.id":"00112233445566778899aabbccddeeff","destination.address":"example.net:443","event.outcome":"failure","delivery.attempts":8,"http.response.status_code":503,"event.reason":"the receiver answered 503"}"#,
    r#"{"event.action":"alert.acknowledged","@timestamp":"2026-11-21T09:01:00.000000Z","alert.id":"A-000001","user.name":"佐藤","alert.note":"見ます"}"#,
    r#"{"event.action":"alert.closed","@timestamp":"2026-11-21T09:02:00.000000Z","alert.id":"A-000001","user.name":"佐藤","alert.verdict":"false_positive"}"#,
    r#"{"event.action":"alert.reopened","@timestamp":"2026-11-21T09:03:00.000000Z","alert.id":"A-000001","user.name":"鈴木"}"#,
    r#"{"event.action":"alert.commented","@timestamp":"2026-11-21T09:04:00.000000Z","alert.id":"A-000001","user.name":"鈴木","alert.note":"調べ直す"}"#,
    // Version 0.2.
    r#"{"event.action":"alert.raised","@timestamp":"2026-11-21T09:00:00.000000Z","alert.id":"A-000002","alert.entity":{"kind":"host","value":"DC01"},"rule.uuid":"00000000-0000-4000-8000-000000000002","rule.name":"Rule 2","rule.level":"high","rule.tags":[],"rule.description":"Looks for it","rule.description_ja":"それを探す","rule.falsepositives":["a"],"rule.falsepositives_ja":["あ"],"rule.check":["look"],"rule.check_ja":["見る"],"rule.reference":["https://example.net/"],"event.dataset":"windows.sysmon","event.id":"syslog/1/9","alert.first_seen":"2026-11-21T08:59:59.000000Z","event.ingested":"2026-11-21T09:00:00.000000Z","alert.sentence_ja":"日","alert.sentence_en":"en","alert.evidence":[],"alert.notify":false}"#,
    r#"{"event.action":"alert.extended","@timestamp":"2026-11-21T09:00:01.000000Z","alert.id":"A-000002","event.id":["syslog/1/10"],"alert.first_seen":"2026-11-21T09:00:00.000000Z","alert.last_seen":"2026-11-21T09:00:01.000000Z","alert.hours":{"2026-11-21T09:00:00.000000Z":1},"alert.sentence_ja":"後","alert.sentence_en":"later"}"#,
    r#"{"event.action":"exception.added","@timestamp":"2026-11-21T09:05:00.000000Z","exception.id":"X-000001","user.name":"佐藤","exception.reason":"夜間バックアップ","rule.uuid":["00000000-0000-4000-8000-000000000002"],"rule.tags":["attack.t1490"],"exception.conditions":{"User|endswith":"backup"},"exception.entity":{"kind":"host","value":"DC01"},"exception.expires":"2027-02-19T09:05:00.000000Z","alert.id":"A-000002"}"#,
    r#"{"event.action":"exception.suppressed","@timestamp":"2026-11-21T09:06:00.000000Z","exception.id":"X-000001","rule.uuid":"00000000-0000-4000-8000-000000000002","rule.name":"Rule 2","alert.entity":{"kind":"host","value":"DC01"},"event.id":["syslog/2/0"],"alert.last_seen":"2026-11-21T09:06:00.000000Z"}"#,
    r#"{"event.action":"exception.removed","@timestamp":"2026-11-21T09:07:00.000000Z","exception.id":"X-000001","user.name":"鈴木","exception.note":"不要"}"#,
    r#"{"event.action":"exception.added","@timestamp":"2026-11-21T09:05:00.000000Z","exception.id":"X-000002","user.name":"佐藤","exception.reason":"調整中","rule.uuid":["x"],"exception.everything":true}"#,
    r#"{"event.action":"exception.expired","@timestamp":"2026-11-21T09:08:00.000000Z","exception.id":"X-000002"}"#,
    r#"{"event.action":"gap.opened","@timestamp":"2026-11-21T09:08:00.000000Z","gap.id":"G-000001","gap.kind":"source_silent","gap.subject":"syslog","gap.begin":"2026-11-21T08:00:00.000000Z","gap.sentence_ja":"日","gap.sentence_en":"en"}"#,
    r#"{"event.action":"gap.closed","@timestamp":"2026-11-21T09:09:00.000000Z","gap.id":"G-000001","gap.end":"2026-11-21T09:08:30.000000Z"}"#,
    // The digest of the rule as it was written when it matched.
    r#"{"event.action":"alert.raised","@timestamp":"2026-11-21T09:10:00.000000Z","alert.id":"A-000003","alert.entity":{"kind":"host","value":"DC02"},"rule.uuid":"00000000-0000-4000-8000-000000000003","rule.name":"Rule 3","rule.level":"high","rule.tags":[],"rule.digest":"00ff","event.dataset":"windows.sysmon","event.id":"syslog/1/11","alert.first_seen":"2026-11-21T09:09:59.000000Z","event.ingested":"2026-11-21T09:10:00.000000Z","alert.sentence_ja":"日","alert.sentence_en":"en","alert.evidence":[],"alert.notify":false}"#,
];

#[test]
fn every_record_is_read_and_written_as_it_was() {
    for record in RECORDS {
        let Ok(Read::Entry(entry)) = Entry::read(record.as_bytes()) else {
            panic!("not read: {record}")
        };
        let written: Value = serde_json::from_str(record).unwrap();
        assert_eq!(entry.to_value().unwrap(), written);
    }
}

#[test]
fn the_records_of_the_first_version_give_this_alert() {
    let room = Room::new();
    for record in RECORDS {
        assert_eq!(room.desk.replay(record.as_bytes()), Replayed::Applied, "{record}");
    }
    let alert = room.desk.alert(id(1)).unwrap();
    assert_eq!((alert.state, alert.verdict, alert.count), (AlertState::New, None, 3));
    assert_eq!(alert.first_seen, start().plus_micros(-1_000_000));
    assert_eq!(alert.last_seen, start().plus_micros(1_000_000));
    assert_eq!((alert.last_sentence_ja.as_str(), alert.evidence.len()), ("後", 1));
    let history: Vec<_> = alert.history.iter().map(|item| item.act.as_str()).collect();
    assert_eq!(history, ["acknowledged", "closed", "reopened", "commented"]);
    assert_eq!(alert.history[1].verdict, Some(Verdict::FalsePositive));
    assert_eq!(alert.hours.values().sum::<u64>(), alert.count);
    assert_eq!(room.desk.alert(id(2)).unwrap().rule.guide.check_ja, ["見る"]);
    assert_eq!(room.desk.alert(id(2)).unwrap().rule.digest, None);
    assert_eq!(room.desk.alert(id(3)).unwrap().rule.digest.as_deref(), Some("00ff"));
    let states: Vec<_> = room.desk.all_exceptions().iter().map(|one| one.state).collect();
    assert_eq!(states, [ExceptionState::Expired, ExceptionState::Removed]);
    assert_eq!(room.desk.stats().suppressed, 1);
    assert_eq!(room.desk.gaps()[0].end, Some(start().plus_micros(510_000_000)));
    assert_eq!(room.desk.stats().undeliverable, 1);
    assert!(room.desk.undelivered().is_empty());
}
