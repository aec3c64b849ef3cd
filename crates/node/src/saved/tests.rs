//! Saved searches over restarts, and what their runs count.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::limits::*;
use super::record::{Entry, Fold, Named, SavedEntry};
use super::run::{Due, Window};
use super::*;
use crate::{AlertQuery, DataDir, NodeOptions};
use std::collections::BTreeSet;
use std::path::Path;
use yagura_event::{Clock, ManualClock, Record, StreamName, Transport, UtcMicros};
use yagura_intake::import::ImportSink;

const MINUTE: i64 = 60_000_000;

struct House {
    node: Arc<Node>,
    clock: Arc<ManualClock>,
}

impl House {
    fn open(dir: &Path, at: UtcMicros) -> House {
        let options = NodeOptions { builtin_rules: false, ..NodeOptions::default() };
        let clock = Arc::new(ManualClock::at(at));
        let node = Node::open(DataDir::new(dir), options, clock.clone()).unwrap();
        House { node: Arc::new(node), clock }
    }

    async fn again(self, dir: &Path) -> House {
        let now = self.clock.now();
        self.node.close().unwrap();
        drop(self.node);
        let house = House::open(dir, now);
        house.node.ready().await;
        house
    }

    fn pass(&self, minutes: i64) {
        self.clock.advance_micros(minutes * MINUTE);
    }

    /// Takes lines of sshd in, received now and written so many minutes before.
    fn send(&self, texts: &[&str], minutes_before: i64) {
        let now = self.clock.now();
        let written = now.plus_micros(-minutes_before * MINUTE);
        let record = |text: &&str| Record {
            received: now,
            transport: Transport::SyslogTcp,
            peer: "192.0.2.1:514".into(),
            identity: "none".into(),
            bytes: format!("<38>1 {written} web01 sshd 42 - - {text}").into_bytes().into(),
        };
        let stream = StreamName::new("syslog").unwrap();
        self.node.sink().append(&stream, texts.iter().map(record).collect()).unwrap();
    }

    fn save(&self, search: SavedSearch) -> Result<Value, NodeError> {
        self.node.save_search(SaveRequest { search, replace: true }, "tanaka")
    }

    async fn run(&self) -> usize {
        self.node.run_due_searches().await
    }

    /// The runs of a search, the newest first: outcome, rows, alerts, due times missed.
    fn runs(&self, name: &str) -> Vec<(String, u64, u64, u64)> {
        let saved = self.node.saved_search(name).unwrap();
        let run = |run: &Value| {
            let count = |key: &str| run[key].as_u64().unwrap_or_default();
            (
                run["search.outcome"].as_str().unwrap().to_owned(),
                count("search.rows"),
                count("search.alerts"),
                count("search.missed"),
            )
        };
        saved["runs"].as_array().unwrap().iter().map(run).collect()
    }

    fn alerts(&self) -> Vec<Value> {
        self.node.alerts(&AlertQuery::default())["alerts"].as_array().unwrap().clone()
    }
}

fn start() -> UtcMicros {
    "2026-11-21T10:02:00Z".parse().unwrap()
}

fn search(name: &str, query: &str) -> SavedSearch {
    SavedSearch { name: name.to_owned(), query: query.to_owned(), ..SavedSearch::default() }
}

fn every_five(name: &str, query: &str, rows_over: u64) -> SavedSearch {
    let schedule = Schedule { every_minutes: Some(5), rows_over, ..Schedule::default() };
    SavedSearch { schedule: Some(schedule), ..search(name, query) }
}

fn ran(outcome: &str, rows: u64, alerts: u64, missed: u64) -> (String, u64, u64, u64) {
    (outcome.to_owned(), rows, alerts, missed)
}

const FAILED: &str = "Failed password for root from 203.0.113.9 port 40022 ssh2";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_changed_removed_and_restored_is_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path(), start());
    let saved = SavedSearch {
        description: "毎朝の確認".into(),
        last: Some("24h".into()),
        time_zone: Some("Asia/Tokyo".into()),
        columns: vec!["user.name".into(), "source.ip".into()],
        ..every_five("失敗したログオン", "sshd failed", 3)
    };
    house.save(saved.clone()).unwrap();
    house.pass(1);
    house.save(search("Gone", "*")).unwrap();
    house.save(search("Gone for good", "*")).unwrap();
    house.save(SavedSearch { query: "sshd failed root".into(), ..saved }).unwrap();
    for name in ["gone", "Gone for good"] {
        house.node.remove_saved_search(name, "sato").unwrap();
    }
    assert_eq!(house.node.saved_searches()["total"], 1);
    house.node.restore_saved_search(" ＧＯＮＥ ", "sato").unwrap();
    let before =
        (house.node.saved_searches(), house.node.saved_search("失敗したログオン").unwrap());
    assert_eq!(before.1["owner"], "tanaka");
    assert_eq!(before.1["history"].as_array().unwrap().len(), 2);
    assert_eq!(before.1["history"][1]["search.saved"]["query"], "sshd failed");
    assert_eq!(before.1["next_run"], "2026-11-21T10:05:00.000000Z");
    let acts: Vec<_> = house.node.saved_search("Gone").unwrap()["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["search.act"].clone(), change["user.name"].clone()))
        .collect();
    let by = |act: &str, who: &str| (json!(act), json!(who));
    assert_eq!(acts, [by("restored", "sato"), by("removed", "sato"), by("saved", "tanaka")]);

    let house = house.again(dir.path()).await;
    let after = (house.node.saved_searches(), house.node.saved_search("失敗したログオン").unwrap());
    assert_eq!(after, before);
    // Still to be had back after the restart; then there is nothing more to restore.
    house.node.restore_saved_search("Gone for good", "sato").unwrap();
    let missing = house.node.restore_saved_search("Gone for good", "sato");
    assert!(matches!(missing, Err(NodeError::NotFound { .. })));
    house.node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_run_or_is_too_much_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path(), start());
    let long = |bytes: usize| "x".repeat(bytes);
    let many = |count: usize| vec!["user.name".to_owned(); count];
    let x = || search("x", "*");
    for good in [
        search(&long(NAME_BYTES_MAX), "*"),
        SavedSearch { description: long(DESCRIPTION_BYTES_MAX), ..x() },
        SavedSearch { columns: many(COLUMNS_MAX), ..x() },
        SavedSearch { columns: vec![long(WORD_BYTES_MAX)], ..x() },
    ] {
        house.save(good).unwrap();
    }
    for bad in [
        search("", "*"),
        search("a/b", "*"),
        search("a\u{7}b", "*"),
        search(&long(NAME_BYTES_MAX + 1), "*"),
        SavedSearch { description: long(DESCRIPTION_BYTES_MAX + 1), ..x() },
        SavedSearch { columns: many(COLUMNS_MAX + 1), ..x() },
        SavedSearch { columns: vec![long(WORD_BYTES_MAX + 1)], ..x() },
        search("x", "user.name:("),
        SavedSearch { last: Some("a while".into()), ..x() },
        SavedSearch { last: Some("1h".into()), from: Some("now-2h".into()), ..x() },
        SavedSearch { time_zone: Some("Mars/Olympus".into()), ..x() },
        SavedSearch { schedule: Some(Schedule::default()), ..x() },
    ] {
        let refused = house.save(bad.clone());
        assert!(matches!(refused, Err(NodeError::Request { .. })), "{bad:?}");
    }
    // A name is taken whatever its case and width, unless it is to be changed.
    let taken = SaveRequest { search: search("Ｘ", "*"), replace: false };
    assert!(matches!(house.node.save_search(taken, "sato"), Err(NodeError::Request { .. })));

    let fill = |name: String, search: &dyn Fn(&str) -> SavedSearch| {
        let entry = SavedEntry { at: start(), who: "fill".into(), search: search(&name) };
        house.node.saved().fold().apply(Entry::Saved(Box::new(entry)));
    };
    (0..SCHEDULED_MAX - 1).for_each(|n| fill(format!("s{n}"), &|name| every_five(name, "*", 0)));
    house.save(every_five("last scheduled", "*", 0)).unwrap();
    assert!(house.save(every_five("one more", "*", 0)).is_err());
    house.save(every_five("last scheduled", "sshd", 0)).expect("one of them may be changed");
    let left = SAVED_MAX - house.node.saved_searches()["total"].as_u64().unwrap() as usize;
    (0..left - 1).for_each(|n| fill(format!("n{n}"), &|name| search(name, "*")));
    house.save(search("last", "*")).unwrap();
    assert!(house.save(search("past the last", "*")).is_err());
    house.save(search("last", "sshd")).expect("a full house may be changed");
    house.node.close().unwrap();
}

#[test]
fn changes_runs_and_removed_ones_are_remembered_up_to_their_limits() {
    let mut fold = Fold::default();
    let saved = |name: &str| {
        let search = every_five(name, "*", 0);
        Entry::Saved(Box::new(SavedEntry { at: start(), who: "x".into(), search }))
    };
    let run = Run {
        at: start(),
        name: "a".into(),
        outcome: RunOutcome::Quiet,
        from: start(),
        to: start(),
        rows: 0,
        cut: false,
        scanned: 0,
        duration_ms: 0,
        alerts: 0,
        unread: Vec::new(),
        missed: 0,
        error: None,
        error_ja: None,
    };
    for count in 1..=CHANGES_MAX.max(RUNS_MAX) + 1 {
        fold.apply(saved("a"));
        fold.apply(Entry::Ran(Box::new(run.clone())));
        let one = fold.all.get("a").unwrap();
        assert_eq!(one.changes.len(), count.min(CHANGES_MAX));
        assert_eq!(one.runs.len(), count.min(RUNS_MAX));
    }
    for number in 0..=REMOVED_MAX {
        let name = format!("r{number}");
        fold.apply(saved(&name));
        fold.apply(Entry::Removed(Named { at: start(), who: "x".into(), name }));
        // The first is there until one more than the limit has gone.
        assert_eq!(fold.removed("r0").is_some(), number < REMOVED_MAX);
    }
    assert_eq!(fold.broken, 0);
    fold.replay(br#"{"event.action":"search.ran","search.name":1}"#);
    fold.replay(br#"{"event.action":"alert.raised"}"#);
    assert_eq!(fold.broken, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_counted_once_over_late_comers_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path(), start());
    house.send(&[FAILED], 0);
    house.pass(1);
    // 10:03. What came before there was a schedule is not looked at.
    house.save(every_five("Failed logons", "sshd failed", 1)).unwrap();
    assert_eq!(house.run().await, 0, "not yet due");
    house.send(&[FAILED, FAILED], 0);
    house.pass(2);
    // 10:05, due. What came this very moment is for the next run.
    house.send(&[FAILED], 0);
    assert_eq!(house.run().await, 1);
    assert_eq!(house.run().await, 0, "once");
    assert_eq!(house.runs("Failed logons"), [ran("found", 2, 1, 0)]);
    let alerts = house.alerts();
    let [alert] = alerts.as_slice() else { panic!("{alerts:#?}") };
    assert_eq!(alert["rule.uuid"], "saved/Failed logons");
    assert_eq!(alert["rule.level"], "medium");
    assert_eq!((&alert["count"], &alert["entity"]["value"]), (&json!(2), &json!("web01")));
    let said = |lang: &str| alert["sentence"][lang].as_str().unwrap().to_owned();
    assert!(said("en").starts_with("2 rows (more than 1), one of them: "), "{}", said("en"));
    assert!(said("ja").starts_with("2行（1行を超過）、その1件："), "{}", said("ja"));

    let house = house.again(dir.path()).await;
    house.pass(3);
    // It was written two days ago and comes only now.
    house.send(&[FAILED], 2 * 24 * 60);
    assert_eq!(house.run().await, 0, "not due since the restart");
    house.pass(2);
    assert_eq!(house.run().await, 1);
    // 10:10: that of 10:05 and the late one, on the alert that is there.
    assert_eq!(house.runs("Failed logons")[0].0, "found");
    assert_eq!(house.runs("Failed logons")[0].1, 2);
    house.pass(5);
    assert_eq!(house.run().await, 1);
    let rows: u64 = house.runs("Failed logons").iter().map(|run| run.1).sum();
    assert_eq!(rows, 4, "all but that of before the schedule");
    let counted: u64 = house.alerts().iter().map(|alert| alert["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, 4);

    // The stretches of receipt lie end to end.
    let saved = house.node.saved_search("Failed logons").unwrap();
    let runs = saved["runs"].as_array().unwrap();
    for pair in runs.windows(2) {
        assert_eq!(pair[0]["search.received_from"], pair[1]["search.received_to"]);
    }
    house.node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_missed_is_made_up_for_once_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path(), start());
    house.save(every_five("x", "*", 0)).unwrap();
    house.pass(1);
    house.send(&[FAILED], 0);
    let house = house.again(dir.path()).await;
    // Off from 10:03 to 11:03: due at 10:05 and eleven times more.
    house.pass(60);
    assert_eq!(house.run().await, 1);
    assert_eq!(house.run().await, 0);
    assert_eq!(house.runs("x"), [ran("found", 1, 1, 11)]);
    house.node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_time_is_looked_at_in_pieces_of_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path(), start());
    house.save(every_five("x", "*", 5)).unwrap();
    house.pass(WINDOW_HOURS_MAX * 60);
    house.clock.advance_micros(SETTLE_SECONDS * 1_000_000);
    assert_eq!(house.run().await, 1);
    assert_eq!(house.runs("x").len(), 1, "a day is one piece");
    house.pass(WINDOW_HOURS_MAX * 60);
    house.clock.advance_micros(1);
    assert_eq!(house.run().await, 1);
    assert_eq!(house.runs("x").len(), 3, "a microsecond more is two");
    house.node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_is_a_gap_and_its_time_belongs_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path(), start());
    // As it may have been saved by another version.
    let entry = SavedEntry {
        at: start(),
        who: "tanaka".into(),
        search: every_five("Broken", "user.name:(", 0),
    };
    house.node.saved().fold().apply(Entry::Saved(Box::new(entry)));
    house.pass(1);
    house.send(&[FAILED], 0);
    house.pass(5);
    assert_eq!(house.run().await, 1);
    assert_eq!(house.runs("Broken"), [ran("failed", 0, 0, 0)]);
    let gaps = || {
        house.node.look_for_gaps().unwrap();
        let all = house.node.gaps(true, 100)["gaps"].as_array().unwrap().clone();
        let ours = all.into_iter().filter(|gap| gap["gap.kind"] == "rule_refused");
        ours.collect::<Vec<_>>()
    };
    let open = gaps();
    let [gap] = open.as_slice() else { panic!("{open:#?}") };
    assert_eq!(gap["gap.subject"], "saved/Broken");
    assert_eq!(gap["gap.begin"], "2026-11-21T10:02:00.000000Z", "from when nothing was looked at");
    assert!(gap["gap.sentence_ja"].as_str().unwrap().contains("「Broken」を実行できず"));
    assert!(gap["gap.sentence_en"].as_str().unwrap().contains("“Broken” could not be run"));

    house.save(every_five("Broken", "failed", 0)).unwrap();
    house.pass(5);
    assert_eq!(house.run().await, 1);
    assert_eq!(house.runs("Broken")[0], ran("found", 1, 1, 0));
    assert_eq!(gaps(), Vec::<Value>::new());
    house.node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_table_are_shown_by_an_event_behind_each() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path(), start());
    let query = "failed | stats count() as n by source.ip | where n>1";
    house.save(every_five("Many", query, 0)).unwrap();
    house.pass(1);
    let from = |address: &str| format!("Failed password for root from {address} port 40022 ssh2");
    let lines =
        ["203.0.113.9", "203.0.113.9", "198.51.100.7", "192.0.2.44", "192.0.2.44"].map(from);
    house.send(&lines.each_ref().map(String::as_str), 0);
    house.pass(5);
    assert_eq!(house.run().await, 1);
    let [(outcome, rows, ..)] = house.runs("Many").try_into().unwrap();
    assert_eq!((&*outcome, rows), ("found", 2));
    let alerts = house.alerts();
    let mut ids = BTreeSet::new();
    for alert in &alerts {
        ids.extend(alert["event.ids"].as_array().unwrap().iter().map(ToString::to_string));
    }
    assert_eq!(ids.len(), 2, "one event for each row: {alerts:#?}");
    let found = house.node.sql("select \"source.ip\" as ip, \"event.id\" as id from events").await;
    let found = found.unwrap().rows;
    let addresses: BTreeSet<String> = found
        .iter()
        .filter(|row| ids.contains(&row["id"].to_string()))
        .map(|row| row["ip"].as_str().unwrap().to_owned())
        .collect();
    let expected = ["192.0.2.44", "203.0.113.9"].map(str::to_owned);
    assert_eq!(addresses, BTreeSet::from(expected));
    house.node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_an_alert_and_the_record_of_its_run_counts_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path(), start());
    house.save(every_five("x", "failed", 0)).unwrap();
    house.pass(1);
    house.send(&[FAILED, FAILED], 0);
    house.pass(5);
    house.node.flush().unwrap();
    let due: Due = house.node.due("x").unwrap();
    let window = Window { from: start(), to: house.clock.now().plus_micros(-MINUTE) };
    // The alert is there and its run is not: as if the power had gone now.
    let run = house.node.run_window(&due, window).await;
    assert_eq!((run.outcome, run.alerts), (RunOutcome::Found, 1));
    let house = house.again(dir.path()).await;
    assert_eq!(house.run().await, 1);
    assert_eq!(house.runs("x"), [ran("found", 2, 0, 0)]);
    let alerts = house.alerts();
    assert_eq!((alerts.len(), &alerts[0]["count"]), (1, &json!(2)));
    house.node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_counts_so_many_rows_and_says_that_there_are_more() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path(), start());
    house.save(every_five("x", "failed", 0)).unwrap();
    house.pass(1);
    house.send(&[FAILED; 3], 0);
    house.pass(5);
    house.node.flush().unwrap();
    let due: Due = house.node.due("x").unwrap();
    let window = Window { from: start(), to: house.clock.now().plus_micros(-MINUTE) };
    for (rows_max, rows, cut) in [(3, 3, false), (2, 2, true), (ROWS_COUNTED_MAX, 3, false)] {
        let found = house.node.look(&due, window, rows_max).await.unwrap();
        assert_eq!((found.rows, found.cut), (rows, cut), "{rows_max}");
    }
    house.node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_tells_the_desk_of_events_and_rows_up_to_its_limits() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path(), start());
    house.save(every_five("Events", "failed", 0)).unwrap();
    let by_address = "failed | stats count() as n by source.ip";
    house.save(every_five("Rows", by_address, 0)).unwrap();
    house.save(every_five("Silence", "nobody | stats count() as n | where n<1", 0)).unwrap();
    let count = |name: &str| -> u64 {
        let of_rule = rule_id(name);
        let alerts = house.alerts();
        let ours = alerts.iter().filter(|alert| alert["rule.uuid"] == of_rule.as_str());
        ours.map(|alert| alert["count"].as_u64().unwrap()).sum()
    };
    let line = |n: usize| format!("Failed password for root from 192.0.2.{n} port 40022 ssh2");
    let (mut events, mut rows) = (0, 0);
    for (sent, told_events, told_rows) in [
        (TABLE_ROWS_MAX, TABLE_ROWS_MAX, TABLE_ROWS_MAX),
        (TABLE_ROWS_MAX + 1, TABLE_ROWS_MAX + 1, TABLE_ROWS_MAX),
        (EVENTS_PER_RUN_MAX, EVENTS_PER_RUN_MAX, TABLE_ROWS_MAX),
        (EVENTS_PER_RUN_MAX + 1, EVENTS_PER_RUN_MAX, TABLE_ROWS_MAX),
    ] {
        house.pass(1);
        let lines: Vec<String> = (0..sent).map(line).collect();
        house.send(&lines.iter().map(String::as_str).collect::<Vec<_>>(), 0);
        house.pass(5);
        assert_eq!(house.run().await, 3);
        assert_eq!(house.runs("Events")[0].1, sent as u64);
        assert_eq!(house.runs("Rows")[0].1, sent as u64);
        (events, rows) = (events + told_events as u64, rows + told_rows as u64);
        assert_eq!((count("Events"), count("Rows")), (events, rows));
    }
    // Where nothing was found there is no event behind the row, and still an alert.
    assert_eq!(count("Silence"), 4);
    house.node.close().unwrap();
}
