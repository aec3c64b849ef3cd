//! A crash at every named point of moving files, and what the audit log makes of cold stores.

use super::run::{TierPoint, Way};
use super::{RehydrateRequest, TierOptions, TierRequest};
use crate::saved::{SaveRequest, SavedSearch, Schedule};
use crate::test_house::{DAY_MICROS, copy, fill, fill_table, start};
use crate::{
    AlertQuery, BackupRequest, DataDir, Node, NodeError, NodeOptions, RestoreRequest, VerifyScope,
    restore, verify_dir,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use yagura_event::{Clock, ManualClock};
use yagura_lake::{ColdSettings, TierStep};

fn cold_in(directory: &Path) -> TierOptions {
    let store = ColdSettings::new(format!("file://{}", directory.display()));
    TierOptions { store, after_days: 30, every: None }
}

fn open(dir: &Path, cold: Option<TierOptions>, clock: &Arc<ManualClock>) -> Node {
    let options = NodeOptions { builtin_rules: false, cold, ..NodeOptions::default() };
    Node::open(DataDir::new(dir), options, clock.clone()).unwrap()
}

/// Puts a directory in the place of another.
fn put_back(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).unwrap();
    copy(from, to);
}

fn verified(place: &Path, clock: &Arc<ManualClock>) -> (bool, String) {
    let clock: Arc<dyn Clock> = clock.clone();
    let report = verify_dir(&DataDir::new(place), &VerifyScope::default(), &clock).unwrap();
    (report.ok, serde_json::to_string(&report).unwrap())
}

async fn count(node: &Node) -> Value {
    node.sql("select count(*) as n from events").await.unwrap().rows[0]["n"].clone()
}

async fn ended(node: &Node) -> Value {
    for _ in 0..2_000 {
        let state = node.tiering();
        if state["running"] == false {
            return state;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never ends: {}", node.tiering());
}

async fn tier(node: &Node, request: &TierRequest) -> Value {
    node.tier(request, "test").unwrap();
    ended(node).await
}

async fn rehydrate(node: &Node) -> Value {
    node.rehydrate(&RehydrateRequest::default(), "test").unwrap();
    ended(node).await
}

fn objects(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(objects(&path));
        } else if path.extension().is_some_and(|ending| ending == "parquet") {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_a_cold_store_stays_there_when_the_rest_is_backed_up() {
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name);
    std::fs::create_dir(place("cold")).unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let node = open(&place("live"), Some(cold_in(&place("cold"))), &clock);
    fill_table(&node, "syslog", start());
    clock.advance_micros(31 * DAY_MICROS);
    let state = tier(&node, &TierRequest::default()).await;
    assert_eq!((&state["files_done"], objects(&place("cold")).len()), (&Value::from(1), 1));
    fill_table(&node, "syslog", start().plus_micros(31 * DAY_MICROS));
    let to = place("backup").to_str().unwrap().to_owned();
    node.backup(&BackupRequest { to: to.clone(), ..BackupRequest::default() }, "test").unwrap();
    let mut state = node.backing_up();
    while state["running"] == true {
        tokio::time::sleep(Duration::from_millis(5)).await;
        state = node.backing_up();
    }
    assert_eq!(state["error"], Value::Null, "{state:#}");
    drop(node);
    let restored = |name: &str| {
        let request = RestoreRequest { from: to.clone(), to: DataDir::new(place(name)) };
        let clock: Arc<dyn Clock> = clock.clone();
        std::thread::scope(|scope| {
            scope.spawn(|| restore(&request, &clock, &|_, _| true)).join().unwrap().unwrap()
        })
    };
    assert!(restored("back").verified.ok);
    // What is in the store is verified where it lies; without it nobody says that all is well.
    std::fs::remove_dir_all(place("cold")).unwrap();
    assert!(!restored("alone").verified.ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_named_point_loses_nothing_and_verifies() {
    let scratch = tempfile::tempdir().unwrap();
    let (live, cold) = (scratch.path().join("live"), scratch.path().join("cold"));
    std::fs::create_dir(&cold).unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let node = open(&live, Some(cold_in(&cold)), &clock);
    fill_table(&node, "syslog", start());
    fill_table(&node, "other", start());
    clock.advance_micros(31 * DAY_MICROS);
    for way in [Way::Cool, Way::Warm] {
        let mut points: Vec<(TierPoint, PathBuf)> = Vec::new();
        let files = node.lake().files();
        assert_eq!(files.len(), 2);
        for file in &files {
            let mut at = |point: TierPoint| {
                let place = scratch.path().join(format!("{way:?} {} {point:?}", points.len()));
                if !points.iter().any(|(known, _)| *known == point) {
                    copy(&live, &place.join("live"));
                    copy(&cold, &place.join("cold"));
                    points.push((point, place));
                }
                true
            };
            node.tiers().mover().move_file(file, way, "test", &mut at).unwrap();
        }
        let named = |point: TierPoint| points.iter().any(|(known, _)| *known == point);
        let steps = [TierStep::Synced, TierStep::Compared, TierStep::Renamed, TierStep::Committed];
        assert!(steps.into_iter().all(|step| named(TierPoint::At(step))), "{points:?}");
        assert!(named(TierPoint::Recorded) && named(TierPoint::Finished), "{points:?}");
        for point in [TierPoint::Claimed, TierPoint::Announced] {
            assert_eq!(named(point), way == Way::Cool);
        }
        let now = scratch.path().join("now");
        copy(&cold, &now);
        for (point, place) in points {
            // The store as it was at that moment, where the table looks for it.
            put_back(&place.join("cold"), &cold);
            let crashed = place.join("live");
            let (ok, report) = verified(&crashed, &clock);
            assert!(ok, "{way:?} {point:?}: {report}");
            let node = open(&crashed, Some(cold_in(&cold)), &clock);
            node.ready().await;
            assert_eq!(count(&node).await, 20, "{way:?} {point:?}");
            assert!(node.verify(&VerifyScope::default()).unwrap().ok, "{way:?} {point:?}");
            // It can be done, or done again.
            let (state, left) = match way {
                Way::Cool => (tier(&node, &TierRequest::default()).await, 2),
                Way::Warm => (rehydrate(&node).await, 0),
            };
            assert_eq!(
                (&state["error"], &state["failures"]),
                (&Value::Null, &Value::Array(vec![]))
            );
            assert_eq!(node.lake().stats().cold_files, left, "{way:?} {point:?}");
            clock.advance_micros(DAY_MICROS);
            node.vacuum(&Default::default(), "test").unwrap();
            assert_eq!(objects(&cold).len() as u64, left, "{way:?} {point:?}");
            assert_eq!(count(&node).await, 20, "{way:?} {point:?}");
            node.close().unwrap();
            drop(node);
            let node = open(&crashed, None, &clock);
            assert!(node.lake().open_report().orphans.is_empty(), "{way:?} {point:?}");
            assert_eq!(count(&node).await, 20, "{way:?} {point:?}");
            node.close().unwrap();
            let (ok, report) = verified(&crashed, &clock);
            assert!(ok, "{way:?} {point:?}: {report}");
            assert!(!report.contains("still in the cold store"), "{way:?} {point:?}: {report}");
        }
        put_back(&now, &cold);
        std::fs::remove_dir_all(&now).unwrap();
    }
    node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_say_what_goes_and_what_came_back_stays_a_while() {
    let scratch = tempfile::tempdir().unwrap();
    let (live, cold) = (scratch.path().join("live"), scratch.path().join("cold"));
    std::fs::create_dir(&cold).unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let retention = "[[policy]]\nstreams=['pos']\nauthority='pci-dss'\n\
                     [[policy]]\nstreams=['quick']\nreason='x'\ncold_days=2";
    let options = |every| NodeOptions {
        builtin_rules: false,
        retention: Some(toml::from_str(retention).unwrap()),
        cold: Some(TierOptions { every, ..cold_in(&cold) }),
        ..NodeOptions::default()
    };
    let node = Node::open(DataDir::new(&live), options(None), clock.clone()).unwrap();
    let streams = ["syslog", "pos", "quick"];
    streams.into_iter().for_each(|stream| fill_table(&node, stream, start()));
    let due = |node: &Node, before: Option<&str>| {
        let before = before.map(str::to_owned);
        let request = TierRequest { dry_run: true, before, ..TierRequest::default() };
        node.tier(&request, "test").unwrap()["files_total"].as_u64().unwrap()
    };
    for (days, files) in [(0, 0), (2, 0), (1, 1), (27, 1), (1, 2)] {
        clock.advance_micros(days * DAY_MICROS);
        assert_eq!(due(&node, None), files, "after {days} more days");
    }
    // Whoever asks for all of it: what is to be at hand stays all the same.
    clock.advance_micros(9 * DAY_MICROS);
    assert_eq!((due(&node, Some("2026-12-30")), due(&node, Some("2026-11-21"))), (2, 0));
    let state = tier(&node, &TierRequest::default()).await;
    assert_eq!((&state["files_done"], &state["rows_done"]), (&2.into(), &20.into()), "{state}");
    assert_eq!(node.lake_sizes().unwrap()["total"]["files.cold"], 2);
    assert_eq!(node.status()["counters"]["lake.cold_files"], 2);
    let state = rehydrate(&node).await;
    assert_eq!(state["files_done"], 2, "{state}");
    node.close().unwrap();
    drop(node);
    // By itself: what came back stays for a month, whatever its age.
    let every = Some(Duration::from_millis(20));
    let node = Node::open(DataDir::new(&live), options(every), clock.clone()).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((node.lake().stats().cold_files, due(&node, None)), (0, 2));
    for (days, files) in [(31, 2), (30, 3)] {
        clock.advance_micros(days * DAY_MICROS);
        for _ in 0..1_000 {
            if node.lake().stats().cold_files == files && node.tiering()["running"] == false {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(node.lake().stats().cold_files, files);
    }
    assert_eq!(count(&node).await, 30);
    node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_or_changed_is_said_by_everything() {
    let scratch = tempfile::tempdir().unwrap();
    let (live, cold) = (scratch.path().join("live"), scratch.path().join("cold"));
    std::fs::create_dir(&cold).unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let node = open(&live, None, &clock);
    let none = node.tier(&TierRequest::default(), "test").unwrap_err();
    assert!(matches!(&none, NodeError::Request { message, .. } if message.contains("[lake.cold]")));
    node.close().unwrap();
    drop(node);
    let node = Arc::new(open(&live, Some(cold_in(&cold)), &clock));
    fill_table(&node, "syslog", start());
    clock.advance_micros(31 * DAY_MICROS);
    fill_table(&node, "syslog", clock.now());
    assert_eq!(tier(&node, &TierRequest::default()).await["files_done"], 1);
    node.close().unwrap();
    drop(node);
    // A command knows from the audit log how the store is reached.
    let away = scratch.path().join("away");
    std::fs::rename(&cold, &away).unwrap();
    let node = Arc::new(open(&live, None, &clock));
    let asked = crate::SearchQuery { query: "number".to_owned(), ..Default::default() };
    let mut rows = node.search(&asked).await.unwrap();
    let mut found = 0;
    while let Some(row) = futures::StreamExt::next(&mut rows).await {
        row.unwrap();
        found += 1;
    }
    let end = rows.end();
    assert_eq!((found, end.unread.len()), (10, 1), "{end:?}");
    assert_eq!((end.unread[0].files, end.unread[0].rows), (1, 10));
    assert!(end.unread[0].reason.contains("does not answer"), "{end:?}");
    assert!(end.unread[0].reason_ja.contains("応答しません"), "{end:?}");
    // It holds the directory.
    drop(rows);
    let page = node.sql("select count(*) as n from events").await.unwrap();
    assert_eq!((&page.rows[0]["n"], page.unread.len()), (&10.into(), 1));
    let state = rehydrate(&node).await;
    assert!(state["error"].as_str().unwrap().contains("does not answer"), "{state}");
    assert!(state["error_ja"].as_str().unwrap().contains("応答しません"), "{state}");
    node.close().unwrap();
    drop(node);
    let (ok, report) = verified(&live, &clock);
    assert!(!ok && report.contains("does not answer"), "{report}");
    let without = VerifyScope { no_cold: true, ..VerifyScope::default() };
    let ticking: Arc<dyn Clock> = clock.clone();
    let report = verify_dir(&DataDir::new(&live), &without, &ticking).unwrap();
    assert!(report.ok, "{report:?}");
    assert!(report.notes[0].what.contains("1 files in cold stores were not looked at"));
    std::fs::rename(&away, &cold).unwrap();
    assert!(verified(&live, &clock).0);
    // A changed byte of an object is found, its URL named, and it does not come back.
    let object = objects(&cold).remove(0);
    let sound = std::fs::read(&object).unwrap();
    let mut changed = sound.clone();
    changed[20] ^= 1;
    std::fs::write(&object, &changed).unwrap();
    let (ok, report) = verified(&live, &clock);
    let url = format!("file://{}", object.display());
    assert!(!ok && report.contains(&url) && report.contains("was changed"), "{report}");
    let node = open(&live, None, &clock);
    let state = rehydrate(&node).await;
    assert_eq!(state["failures"][0]["event.action"], "lake.move-refused", "{state}");
    assert_eq!(node.lake().stats().cold_files, 1);
    std::fs::remove_file(&object).unwrap();
    let report = node.verify(&VerifyScope::default()).unwrap();
    assert!(report.findings.iter().any(|it| it.what.contains("is missing")), "{report:?}");
    std::fs::write(&object, &sound).unwrap();
    assert!(node.verify(&VerifyScope::default()).unwrap().ok);
    node.close().unwrap();
}

/// A search by schedule, every day, and more than `rows_over` rows raise an alert.
fn daily(name: &str, query: &str, rows_over: u64) -> SaveRequest {
    let every_minutes = Some(24 * 60);
    let schedule = Some(Schedule { every_minutes, rows_over, ..Schedule::default() });
    let (name, query) = (name.to_owned(), query.to_owned());
    let search = SavedSearch { name, query, schedule, ..SavedSearch::default() };
    SaveRequest { search, replace: false }
}

/// The runs of a saved search, the oldest first.
fn runs(node: &Node, name: &str) -> Vec<Value> {
    let saved = node.saved_search(name).unwrap();
    saved["runs"].as_array().unwrap().iter().rev().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_away_is_never_taken_for_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let (live, cold) = (scratch.path().join("live"), scratch.path().join("cold"));
    let away = scratch.path().join("away");
    std::fs::create_dir(&cold).unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let after_a_day = TierOptions { after_days: 1, ..cold_in(&cold) };
    let again = |node: Arc<Node>, options: Option<&TierOptions>| {
        node.close().unwrap();
        drop(node);
        Arc::new(open(&live, options.cloned(), &clock))
    };
    let node = Arc::new(open(&live, Some(after_a_day.clone()), &clock));
    for (name, query, over) in [
        ("found", "number", 0),
        ("fewer", "number", 10),
        ("silence", "number | stats count() as n | where n>99", 0),
    ] {
        node.save_search(daily(name, query, over), "tanaka").unwrap();
    }
    let hour = 3_600_000_000;
    fill_table(&node, "syslog", start().plus_micros(hour));
    let first: Vec<_> = node.lake().stored_batches().iter().map(|(batch, _)| *batch).collect();
    clock.advance_micros(2 * DAY_MICROS);
    assert_eq!(tier(&node, &TierRequest::default()).await["files_done"], 1);
    // Received on the same day, and still at hand.
    fill_table(&node, "syslog", start().plus_micros(2 * hour));
    let all: Vec<_> = node.lake().stored_batches().iter().map(|(batch, _)| *batch).collect();
    let node = again(node, None);
    std::fs::rename(&cold, &away).unwrap();

    let ids: Vec<_> =
        all.iter().map(|batch| format!("syslog/{batch}/3").parse().unwrap()).collect();
    let found = node.searcher().events(&ids).await.unwrap();
    let rows: usize = found.batches.iter().map(yagura_event::EventBatch::rows).sum();
    assert_eq!((rows, found.unread.len(), found.unread[0].rows), (1, 1, 10));
    let Err(waits) = node.window_of("number", 0).await else { panic!("half of it went") };
    let words = waits.words();
    assert!(words.en().contains("does not answer") && words.ja().contains("応答しません"));

    assert_eq!(node.run_due_searches().await, 3);
    let run = &runs(&node, "found")[0];
    assert_eq!((&run["search.outcome"], &run["search.rows"]), (&"found".into(), &10.into()));
    assert_eq!((&run["search.alerts"], &run["search.unread"][0]["rows"]), (&1.into(), &10.into()));
    let alerts = node.alerts(&AlertQuery::default());
    let said = &alerts["alerts"][0]["sentence"];
    assert!(said["en"].as_str().unwrap().contains("incomplete: 1 files"), "{said}");
    assert!(said["ja"].as_str().unwrap().contains("1ファイルを読めず結果は不完全"), "{said}");
    let fewer = runs(&node, "fewer");
    assert_eq!(fewer[0]["search.outcome"], "incomplete", "{fewer:?}");
    assert!(fewer[0]["search.unread"][0]["reason_ja"].as_str().unwrap().contains("応答しません"));
    let last = fewer.last().unwrap();
    assert!(last["search.outcome"] == "quiet" && last["search.unread"].is_null(), "{last}");
    assert_eq!(runs(&node, "silence")[0]["search.outcome"], "incomplete");
    let gaps = |node: &Node| -> Vec<Value> {
        node.look_for_gaps().unwrap();
        let open = node.gaps(true, 100)["gaps"].as_array().unwrap().clone();
        open.into_iter().filter(|gap| gap["gap.kind"] == "rule_refused").collect()
    };
    let open_gaps = gaps(&node);
    let subject = |gap: &Value| gap["gap.subject"].as_str().unwrap().to_owned();
    let subjects: BTreeSet<String> = open_gaps.iter().map(subject).collect();
    assert_eq!(
        subjects.into_iter().collect::<Vec<_>>(),
        ["saved/fewer", "saved/found", "saved/silence"]
    );
    assert_eq!(open_gaps[0]["gap.begin"], serde_json::json!(start()));
    let said = |key: &str, part: &str| open_gaps[0][key].as_str().unwrap().contains(part);
    assert!(said("gap.sentence_en", "could not read 1 files with 10 events"), "{open_gaps:?}");
    assert!(said("gap.sentence_ja", "1ファイル（イベント10件）を読めず"), "{open_gaps:?}");
    // The same after a restart, and for a day.
    let node = again(node, None);
    assert_eq!(runs(&node, "fewer"), fewer);
    clock.advance_micros(DAY_MICROS - 1);
    assert_eq!(gaps(&node).len(), 3);
    clock.advance_micros(1);
    assert_eq!(gaps(&node), [] as [Value; 0]);

    // Rows whose events are all away raise no alert yet: the run fails, and its time stays uncounted.
    let node = again(node, Some(&after_a_day));
    std::fs::rename(&away, &cold).unwrap();
    assert_eq!(tier(&node, &TierRequest::default()).await["files_done"], 1);
    node.save_search(daily("quiet", "nothing | stats count() as n | where n<1", 0), "x").unwrap();
    let node = again(node, None);
    std::fs::rename(&cold, &away).unwrap();
    clock.advance_micros(DAY_MICROS);
    node.run_due_searches().await;
    let failed = runs(&node, "quiet");
    assert_eq!((failed.len(), &failed[0]["search.outcome"]), (1, &"failed".into()), "{failed:?}");
    assert!(failed[0]["error.message"].as_str().unwrap().contains("cannot be read"));
    assert!(failed[0]["error.message_ja"].as_str().unwrap().contains("読めません"));
    std::fs::rename(&away, &cold).unwrap();
    let node = again(node, None);
    clock.advance_micros(DAY_MICROS);
    node.run_due_searches().await;
    let run = runs(&node, "quiet").remove(1);
    assert_eq!((&run["search.outcome"], &run["search.alerts"]), (&"found".into(), &1.into()));
    assert_eq!(node.searcher().events(&ids).await.unwrap().batches[0].rows(), 2);
    let window = node.window_of("number", 0).await.unwrap().unwrap();
    assert_eq!((window.rows.len(), window.missed, first.len()), (20, 0, 1));
    node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forecast_of_the_disk_foresees_what_goes_by_itself_to_another_disk() {
    use std::os::unix::fs::MetadataExt;
    let scratch = tempfile::tempdir().unwrap();
    let disk = |dir: &Path| dir.metadata().unwrap().dev();
    let same = scratch.path().join("cold");
    std::fs::create_dir(&same).unwrap();
    let other = tempfile::tempdir_in("/dev/shm").ok();
    let other = other.as_ref().map(|dir| dir.path()).filter(|dir| disk(dir) != disk(&same));
    if other.is_none() {
        eprintln!("there is no second disk here: what goes to one is not looked at");
    }
    let retention = "[[policy]]\nstreams=['pos']\nauthority='pci-dss'\n\
                     [[policy]]\nstreams=['quick','mixed']\nreason='x'\ncold_days=2";
    let clock = Arc::new(ManualClock::at(start()));
    let hourly = Some(Duration::from_secs(3_600));
    let mut cases = vec![(&*same, hourly, [None; 4])];
    if let Some(other) = other {
        cases.push((other, None, [None; 4]));
        // A file has the events of both: it goes when the last of them may.
        cases.push((other, hourly, [Some(30), Some(92), Some(2), Some(30)]));
    }
    for (number, (cold, every, expected)) in cases.into_iter().enumerate() {
        let options = NodeOptions {
            builtin_rules: false,
            retention: Some(toml::from_str(retention).unwrap()),
            cold: Some(TierOptions { every, ..cold_in(cold) }),
            ..NodeOptions::default()
        };
        let live = scratch.path().join(format!("live {number}"));
        let node = Node::open(DataDir::new(&live), options, clock.clone()).unwrap();
        fill(&node, "syslog", start());
        fill_table(&node, "mixed", start());
        fill_table(&node, "pos", start());
        fill_table(&node, "quick", start());
        let forecast = node.retention_forecast().unwrap();
        let of = |stream: &str| {
            let streams = forecast["streams"].as_array().unwrap();
            let one = streams.iter().find(|one| one["yagura.stream"] == stream).unwrap();
            one["moved_after_days"].as_u64()
        };
        assert_eq!(["syslog", "pos", "quick", "mixed"].map(of), expected, "{forecast:#}");
        node.close().unwrap();
    }
}

#[test]
fn settings_hold_at_n_and_not_at_n_plus_1() {
    let with = |after_days| TierOptions { after_days, ..cold_in(Path::new("/mnt/cold")) };
    for (days, sound) in [(0, false), (1, true), (36_500, true), (36_501, false)] {
        assert_eq!(with(days).check().is_ok(), sound, "{days}");
    }
}
