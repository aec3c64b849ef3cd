//! The table compacted: every answer and every proof as before, whenever a crash comes.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use yagura_event::{Clock, ManualClock, Record, StreamName, Transport, UtcMicros};
use yagura_intake::import::ImportSink;
use yagura_node::{
    CompactOptions, CompactRequest, DataDir, Node, NodeOptions, ReprocessRequest, VacuumRequest,
    VerifyScope, verify_dir,
};

fn start() -> UtcMicros {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

fn open_with(dir: &Path, compact: Option<CompactOptions>) -> Arc<Node> {
    let options = NodeOptions { builtin_rules: false, compact, ..NodeOptions::default() };
    let clock = Arc::new(ManualClock::at(start()));
    Arc::new(Node::open(DataDir::new(dir), options, clock).unwrap())
}

fn open(dir: &Path) -> Arc<Node> {
    open_with(dir, None)
}

fn records(from: i64, count: i64) -> Vec<Record> {
    let line = |number: i64| match number % 3 {
        0 => format!(
            "<38>Nov 21 09:00:{:02} web01 sshd[7]: Failed password for root from 192.0.2.{} port 1 ssh2",
            number % 60,
            number % 250
        ),
        1 => format!("<13>Nov 21 09:00:{:02} db01 legacy: %% {number} \u{7530}", number % 60),
        _ => {
            format!("{{\"message\":\"number {number}\",\"host\":{{\"name\":\"h{}\"}}}}", number % 7)
        }
    };
    let record = |number: i64| Record {
        received: start().plus_micros(number * 1_000),
        transport: Transport::SyslogUdp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: line(number).into_bytes().into(),
    };
    (from..from + count).map(record).collect()
}

fn fill(node: &Node, from: i64) {
    for (number, stream) in (0..).zip(["syslog", "other"]) {
        let stream = StreamName::new(stream).unwrap();
        node.sink().append(&stream, records(from + number * 30, 30)).unwrap();
    }
    node.flush().unwrap();
}

/// A store with three flushes, closed.
fn filled(dir: &Path) {
    let node = open(dir);
    (0..3).for_each(|round| fill(&node, round * 60));
    node.close().unwrap();
}

const EVENTS: usize = 180;

async fn everything(node: &Node) -> Vec<Value> {
    let page = node.sql("select * from events order by \"event.id\"").await.unwrap();
    page.rows.into_iter().map(Value::Object).collect()
}

async fn compacted(node: &Node, request: &CompactRequest) -> Value {
    node.compact(request, "test").unwrap();
    loop {
        let state = node.compacting();
        if state["running"] == false {
            return state;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn files(node: &Node) -> u64 {
    node.lake_sizes().unwrap()["total"]["files"].as_u64().unwrap()
}

fn report(dir: &Path) -> (bool, String) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(start()));
    let report = verify_dir(&DataDir::new(dir), &VerifyScope::default(), &clock).unwrap();
    (report.ok, serde_json::to_string_pretty(&report).unwrap())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy(&path, &target) } else { drop(std::fs::copy(&path, &target)) }
    }
}

fn parquet(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(parquet(&path));
        } else if path.extension().is_some_and(|ending| ending == "parquet") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_proofs_and_rereading_are_as_before() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let node = open(dir.path());
    node.ready().await;
    let before = everything(&node).await;
    assert_eq!(before.len(), EVENTS);
    let many = files(&node);
    let state = compacted(&node, &CompactRequest::default()).await;
    assert_eq!((&state["error"], &state["failures"]), (&Value::Null, &json!([])), "{state:#}");
    assert_eq!((&state["rows_done"], &state["rows_total"]), (&json!(EVENTS), &json!(EVENTS)));
    assert_eq!(state["files_before"], many);
    assert!(files(&node) < many && state["files_after"] == files(&node), "{state:#}");
    assert_eq!(everything(&node).await, before);
    let id = before[7]["event.id"].as_str().unwrap().parse().unwrap();
    assert!(node.prove(&id).unwrap().text.contains("batch"));
    let verified = node.verify(&VerifyScope::default()).unwrap();
    assert!(verified.ok, "{verified:#?}");

    // The old files stay for whoever began before.
    let waiting = node.vacuum(&VacuumRequest { dry_run: false }, "test").unwrap();
    let waiting = waiting["files"].as_array().unwrap().clone();
    assert_eq!(waiting.len() as u64, 2 * many, "each with its text index");
    assert!(waiting.iter().all(|file| file["removed"] == false));
    // Nothing is left to do.
    let again = compacted(&node, &CompactRequest::default()).await;
    assert_eq!(again["files_before"], 0);

    // Events read again are of the same records, and are compacted again.
    node.reprocess(&ReprocessRequest { all: true, ..ReprocessRequest::default() }, "test").unwrap();
    while node.reprocessing()["running"] == true {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let reread = node.reprocessing();
    assert_eq!((&reread["error"], &reread["events"]), (&Value::Null, &json!(EVENTS)));
    assert_eq!(everything(&node).await, before);
    let state = compacted(&node, &CompactRequest::default()).await;
    assert_eq!(state["rows_done"], EVENTS, "{state:#}");
    assert_eq!(everything(&node).await, before);
    assert!(node.verify(&VerifyScope::default()).unwrap().ok);
    node.close().unwrap();
    drop(node);
    let (ok, said) = report(dir.path());
    assert!(ok, "{said}");
    // Closing removed what had been replaced.
    let node = open(dir.path());
    assert_eq!(parquet(dir.path()).len() as u64, files(&node));
    node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_records_of_it_verifies_and_opens() {
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name);
    filled(&place("before"));
    copy(&place("before"), &place("live"));
    let node = open(&place("live"));
    node.ready().await;
    let expected = everything(&node).await;
    compacted(&node, &CompactRequest::default()).await;
    copy(&place("live"), &place("recorded"));
    node.close().unwrap();
    drop(node);

    let audit_of_before = |name: &str| {
        copy(&place("recorded"), &place(name));
        for part in [DataDir::new(place(name)).audit(), DataDir::new(place(name)).audit_log()] {
            std::fs::remove_dir_all(&part).unwrap();
            let relative = part.strip_prefix(place(name)).unwrap().to_owned();
            copy(&place("before").join(relative), &part);
        }
    };
    audit_of_before("committed");
    audit_of_before("renamed");
    let log = DataDir::new(place("renamed")).lake().join("events/_delta_log");
    let newest = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    std::fs::remove_file(newest).unwrap();
    // Removals are recorded before anything is removed.
    copy(&place("live"), &place("removal-recorded"));
    copy(&place("before").join("lake"), &place("removal-recorded").join("lake"));
    // Half a file, under its unfinished name.
    copy(&place("before"), &place("writing"));
    let first = parquet(&place("writing")).remove(0);
    std::fs::write(first.with_file_name("part-1-c0-0.parquet.tmp"), b"PAR1").unwrap();

    for name in ["writing", "renamed", "committed", "recorded", "removal-recorded", "live"] {
        let (ok, said) = report(&place(name));
        assert!(ok, "{name}: {said}");
        let node = open(&place(name));
        node.ready().await;
        assert_eq!(everything(&node).await, expected, "{name}");
        let state = compacted(&node, &CompactRequest::default()).await;
        assert_eq!((&state["error"], &state["failures"]), (&Value::Null, &json!([])), "{name}");
        assert_eq!(everything(&node).await, expected, "{name}");
        assert!(node.verify(&VerifyScope::default()).unwrap().ok, "{name}");
        node.close().unwrap();
        let left = parquet(&place(name)).len() as u64;
        drop(node);
        let node = open(&place(name));
        assert_eq!(left, files(&node), "{name}: nothing is left over");
        node.close().unwrap();
        let (ok, said) = report(&place(name));
        assert!(ok, "{name}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_byte_is_refused_recorded_and_stays_where_it_is() {
    let scratch = tempfile::tempdir().unwrap();
    let sound = scratch.path().join("sound");
    filled(&sound);
    let size = std::fs::metadata(&parquet(&sound)[0]).unwrap().len() as usize;
    let mut others_went_on = 0;
    for position in [4, size / 3, size / 2, size - 20] {
        let dir = scratch.path().join(format!("changed {position}"));
        copy(&sound, &dir);
        let target = parquet(&dir).remove(0);
        let mut bytes = std::fs::read(&target).unwrap();
        bytes[position] ^= 1;
        std::fs::write(&target, &bytes).unwrap();
        let node = open(&dir);
        node.ready().await;
        let state = compacted(&node, &CompactRequest::default()).await;
        let failures = state["failures"].as_array().unwrap();
        let name = target.file_name().unwrap().to_string_lossy().into_owned();
        for failure in failures {
            assert_eq!(failure["event.action"], "lake.compaction-refused");
            assert!(failure["error.message"].as_str().unwrap().contains(&name), "{state:#}");
        }
        // Batches with rows in the damaged file can be judged only where what was received can still be
        // read from it; else the partitions with their other rows stay as they are, too.
        match failures.len() {
            1 => {
                assert!(state["rows_done"].as_u64().unwrap() > 0, "{state:#}");
                others_went_on += 1;
            }
            2 => assert_eq!(state["rows_done"], 0, "{state:#}"),
            _ => panic!("{state:#}"),
        }
        let refusals = failures.len();
        node.close().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), bytes, "the evidence stays");
        let audit = DataDir::new(&dir).audit();
        let recorded = yagura_journal::read_segments(&audit).unwrap();
        let refused = recorded.flatten().flat_map(|run| run.records).filter(|record| {
            record.bytes.windows(23).any(|part| part == b"lake.compaction-refused")
        });
        assert_eq!(refused.count(), refusals);
        drop(node);
        let (ok, said) = report(&dir);
        assert!(!ok && said.contains(&name), "{said}");
    }
    assert!(others_went_on > 0, "a damage that the judged columns do not have stops one partition");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_compacts_by_itself_while_events_come_in() {
    let dir = tempfile::tempdir().unwrap();
    let often = CompactOptions { files_min: 3, every: Duration::from_millis(20) };
    let node = open_with(dir.path(), Some(often));
    let mut flushed = 0;
    let begun = std::time::Instant::now();
    // Until it has worked at least twice, with something new in between.
    let mut compacted = 0;
    for round in 0.. {
        fill(&node, round * 60);
        flushed += 60;
        let count = everything(&node).await.len();
        assert_eq!(count, flushed, "each once");
        compacted = node.lake_sizes().unwrap()["total"]["files.compacted"].as_u64().unwrap();
        if compacted > 0 && round > 12 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{:#}", node.compacting());
    }
    assert!(compacted > 0);
    assert_eq!(node.compacting()["by_itself"], true);
    node.close().unwrap();
    let (ok, said) = report(dir.path());
    assert!(ok, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let node = open(dir.path());
    for day in ["yesterday", "2026-13-01", ""] {
        let request = CompactRequest { day: Some(day.to_owned()), ..CompactRequest::default() };
        assert!(node.compact(&request, "test").is_err(), "{day:?}");
    }
    let nothing = CompactRequest { dataset: Some("no.such".into()), ..CompactRequest::default() };
    assert_eq!(compacted(&node, &nothing).await["files_before"], 0);
    // Nothing is due by itself: the day goes on, and there are three files.
    let due = CompactRequest { due: true, ..CompactRequest::default() };
    assert_eq!(compacted(&node, &due).await["files_before"], 0);
    node.close().unwrap();
}
