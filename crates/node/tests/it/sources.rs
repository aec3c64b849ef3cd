//! Sources: their figures over restarts, what an import was told, and events read again.

use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use yagura_event::{Clock, ManualClock, Record, StreamName, Transport, UtcMicros};
use yagura_intake::import::{ImportSink, Written};
use yagura_node::{
    DataDir, Node, NodeOptions, ReprocessRequest, SourceOptions, VerifyScope, verify_dir,
};

const SECOND: i64 = 1_000_000;

fn start() -> UtcMicros {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

fn open_with(dir: &Path, sources: Option<SourceOptions>) -> Node {
    let options = NodeOptions { builtin_rules: false, sources, ..NodeOptions::default() };
    Node::open(DataDir::new(dir), options, Arc::new(ManualClock::at(start()))).unwrap()
}

fn open(dir: &Path) -> Node {
    open_with(dir, None)
}

fn options(zone: &str, sources: &[&str]) -> Option<SourceOptions> {
    let sources = sources
        .iter()
        .map(|text| {
            let table: Value = serde_json::from_str(text).unwrap();
            serde_json::from_value(table).unwrap()
        })
        .collect();
    Some(SourceOptions { zone: jiff::tz::TimeZone::get(zone).unwrap(), sources })
}

fn record(seconds: i64, text: impl Into<Vec<u8>>) -> Record {
    Record {
        received: start().plus_micros(seconds * SECOND),
        transport: Transport::SyslogUdp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: text.into().into(),
    }
}

fn stream() -> StreamName {
    StreamName::new("syslog").unwrap()
}

fn source<'a>(sources: &'a Value, host: &str) -> &'a Value {
    let list = sources["sources"].as_array().unwrap();
    list.iter().find(|row| row["host.name"] == host).unwrap_or_else(|| panic!("{sources:#}"))
}

/// Lines of a firewall that writes Japanese time without saying so.
fn firewall(count: i64) -> Vec<Record> {
    let line = |number: i64| {
        let at = start().plus_micros((number + 9 * 3_600) * SECOND).to_timestamp();
        let at = at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%b %e %H:%M:%S").to_string();
        record(number + 1, format!("<13>{at} fw01 app: line {number}"))
    };
    (0..count).map(line).collect()
}

async fn count(node: &Arc<Node>, question: &str) -> i64 {
    node.sql(question).await.unwrap().rows[0]["n"].as_i64().unwrap()
}

async fn reread(node: &Node, request: &ReprocessRequest) -> Value {
    node.reprocess(request, "test").unwrap();
    loop {
        let state = node.reprocessing();
        if state["running"] == false {
            assert_eq!(state["error"], Value::Null, "{state:#}");
            return state;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn verified(dir: &Path) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(start()));
    let report = verify_dir(&DataDir::new(dir), &VerifyScope::default(), &clock).unwrap();
    assert!(report.ok, "{}", serde_json::to_string_pretty(&report).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_writes_local_time_is_corrected_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let node = Arc::new(open(dir.path()));
    let mut lines = firewall(45);
    let late = lines.split_off(40);
    node.sink().append(&stream(), lines).unwrap();
    node.flush().unwrap();
    node.sink().append(&stream(), late).unwrap();
    node.flush().unwrap();
    let sources = node.sources();
    let firewall = source(&sources, "fw01");
    assert_eq!(firewall["events"], 45);
    assert_eq!(firewall["clock_skew_ms"], -(9 * 3_600 - 1) * 1_000);
    assert_eq!(firewall["proposal"]["zone"], "Asia/Tokyo");
    assert_eq!(firewall["drift"], "learning");
    let corrected = "select count(*) as n from events where \"yagura.corrected_time\" = \
                     \"event.ingested\" and \"@timestamp\" > \"event.ingested\"";
    assert_eq!(count(&node, corrected).await, 45);
    let parser =
        "select count(*) as n from events where \"yagura.parser\" like 'yagura-normalize %'";
    assert_eq!(count(&node, parser).await, 45);
    node.close().unwrap();
    drop(node);

    // Told its zone, it is right, and what is stored becomes so.
    let told = options("UTC", &[r#"{"host":"fw*","zone":"Asia/Tokyo"}"#]);
    let node = Arc::new(open_with(dir.path(), told));
    node.ready().await;
    let all = ReprocessRequest { source: Some("fw01".into()), ..ReprocessRequest::default() };
    let dry = reread(&node, &ReprocessRequest { dry_run: true, ..all.clone() }).await;
    assert_eq!((&dry["events"], &dry["files_written"]), (&json!(45), &json!(0)));
    let wrong = "select count(*) as n from events where \"@timestamp\" > \"event.ingested\"";
    assert_eq!(count(&node, wrong).await, 45);
    reread(&node, &all).await;
    assert_eq!(count(&node, wrong).await, 0);
    let stale = "select count(*) as n from events where \"yagura.corrected_time\" is not null";
    assert_eq!(count(&node, stale).await, 0, "the time they corrected is another");
    node.close().unwrap();
    drop(node);
    verified(dir.path());

    // A command that only opens the directory reads as the server was told to.
    let node = Arc::new(open(dir.path()));
    node.ready().await;
    assert_eq!(source(&node.sources(), "fw01")["zone"], "Asia/Tokyo");
    assert_eq!(source(&node.sources(), "fw01")["events"], 45, "a restart counts nothing again");
    node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_read_is_listed_and_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let node = Arc::new(open(dir.path()));
    let odd = |number: i64| record(number, format!("%% odd line {number}"));
    node.sink().append(&stream(), (0..30).map(odd).collect()).unwrap();
    node.sink().append(&stream(), firewall(10)).unwrap();
    node.flush().unwrap();
    let failures = node.source_failures();
    let row = &failures["failures"][0];
    assert_eq!(row["count"], 30, "{failures:#}");
    assert!(row["sample"].as_str().unwrap().starts_with("%% odd line"));
    assert_eq!(row["yagura.peer"], "192.0.2.1");
    node.close().unwrap();
    drop(node);

    let told = options("UTC", &[r#"{"peer":"192.0.2.0/24","dataset":"network.vpn"}"#]);
    let node = Arc::new(open_with(dir.path(), told));
    node.ready().await;
    let unread = ReprocessRequest::default();
    let dry = reread(&node, &ReprocessRequest { dry_run: true, ..unread.clone() }).await;
    let expected = json!([{ "from": "unknown", "to": "network.vpn", "events": 30 }]);
    assert_eq!(dry["changes"], expected, "{dry:#}");
    let moved = "select count(*) as n from events where \"event.dataset\" = 'network.vpn'";
    assert_eq!(count(&node, moved).await, 0);
    let done = reread(&node, &unread).await;
    assert_eq!((&done["changes"], &done["moved"]), (&expected, &json!(30)));
    assert_eq!(count(&node, moved).await, 30);
    assert_eq!(count(&node, "select count(*) as n from events").await, 40);
    let ids = "select count(distinct \"event.id\") as n from events";
    assert_eq!(count(&node, ids).await, 40);
    // Again: nothing is left in the old dataset.
    let again = ReprocessRequest { query: "event.dataset:unknown".into(), ..unread };
    assert_eq!(reread(&node, &again).await["events"], 0);
    let id = format!("{}/1/0", stream()).parse().unwrap();
    assert!(node.prove(&id).is_ok());
    let report = node.verify(&VerifyScope::default()).unwrap();
    assert!(report.ok, "{}", serde_json::to_string_pretty(&report).unwrap());
    node.close().unwrap();
    drop(node);
    verified(dir.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_import_was_told_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let node = Arc::new(open(dir.path()));
    let file = StreamName::new("import/0123").unwrap();
    let line: Vec<u8> =
        "Nov 21 18:00:00 pc1 app: 起動しました".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let written = Written {
        encoding: Some("utf-16le".into()),
        zone: Some("Asia/Tokyo".into()),
        dataset: None,
    };
    node.sink().describe(&file, &written).unwrap();
    node.sink().describe(&file, &written).unwrap();
    let imported = Record { transport: Transport::File, peer: "/a.log".into(), ..record(0, line) };
    node.sink().append(&file, vec![imported]).unwrap();
    node.flush().unwrap();
    let right = "select count(*) as n from events where message = '起動しました' and \
                 \"@timestamp\" = '2026-11-21T09:00:00Z' and \"yagura.encoding\" = 'utf-16le'";
    assert_eq!(count(&node, right).await, 1);
    let wrong = Written { zone: Some("Mars".into()), ..Written::default() };
    assert!(node.sink().describe(&file, &wrong).is_err());
    node.close().unwrap();
    drop(node);

    let node = Arc::new(open(dir.path()));
    node.ready().await;
    let all = ReprocessRequest { all: true, ..ReprocessRequest::default() };
    assert_eq!(reread(&node, &all).await["events"], 1);
    assert_eq!(count(&node, right).await, 1);
    assert_eq!(source(&node.sources(), "pc1")["drift"], "file");
    node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_format_is_noticed_and_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let node = Arc::new(open(dir.path()));
    let ingest = StreamName::new("ingest").unwrap();
    let document = |hour: i64, number: i64, user: &str| Record {
        transport: Transport::HttpIngest,
        peer: "192.0.2.8:40000".into(),
        ..record(hour * 3_600 + number, format!(r#"{{"{user}":"tanaka","kind":"x{number}"}}"#))
    };
    let send = |hour: i64| {
        // The service renames a field.
        let user = if hour < 40 { "actor" } else { "principal" };
        node.sink().append(&ingest, (0..60).map(|n| document(hour, n, user)).collect()).unwrap();
        node.flush().unwrap();
        node.look_for_gaps().unwrap();
        let all = node.gaps(false, 10)["gaps"].as_array().unwrap().clone();
        all.into_iter().find(|gap| gap["gap.kind"] == "source_drifted")
    };
    (0..40).for_each(|hour| assert_eq!(send(hour), None, "{hour}"));
    let mut hours = 40..100;
    let gap = hours.find_map(&send).unwrap();
    assert!(gap["gap.end"].is_null(), "{gap:#}");
    assert!(gap["gap.sentence_en"].as_str().unwrap().contains("principal"), "{gap:#}");
    let sources = node.sources();
    let notices = sources["notices"].as_array().unwrap();
    let [notice] = notices.as_slice() else { panic!("{notices:#?}") };
    assert_eq!(notice["drift"]["vanished"], json!(["actor"]));
    assert_eq!(notice["drift"]["appeared"], json!(["principal"]));
    assert!(notice["drift.sentence_ja"].as_str().unwrap().contains("項目 actor が現れなくなり"));
    assert_eq!(sources["sources"][0]["drift"], "changed");
    // Until a whole window was as it is now.
    let over = hours.find_map(|hour| send(hour).filter(|gap| !gap["gap.end"].is_null())).unwrap();
    assert_eq!(over["gap.id"], gap["gap.id"]);
    assert_eq!(node.sources()["sources"][0]["drift"], "steady");
    node.close().unwrap();
    drop(node);
    let node = open(dir.path());
    assert_eq!(node.sources()["notices"], sources["notices"], "the audit log has it");
    assert_eq!(node.sources()["sources"][0]["drift"], "steady");
    node.close().unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_rereading_the_store_is_old_or_new_and_whole() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let odd = |number: i64| record(number, format!("%% odd line {number}"));
    let node = open(&at("before"));
    node.sink().append(&stream(), (0..30).map(odd).collect()).unwrap();
    node.sink().append(&stream(), firewall(10)).unwrap();
    node.flush().unwrap();
    node.close().unwrap();
    drop(node);
    copy(&at("before"), &at("after"));
    let told = options("UTC", &[r#"{"peer":"192.0.2.0/24","dataset":"network.vpn"}"#]);
    let node = open_with(&at("after"), told);
    node.ready().await;
    reread(&node, &ReprocessRequest::default()).await;
    // As it lies on the disk when it is killed now: old files beside the new ones.
    copy(&at("after"), &at("recorded"));
    node.close().unwrap();
    drop(node);

    // After the commit of the table, before the audit log.
    copy(&at("before"), &at("committed"));
    std::fs::remove_dir_all(at("committed").join("lake")).unwrap();
    copy(&at("recorded").join("lake"), &at("committed").join("lake"));
    // Before the commit.
    copy(&at("committed"), &at("written"));
    let log = std::fs::read_dir(at("written").join("lake/events/_delta_log")).unwrap();
    std::fs::remove_file(log.map(|entry| entry.unwrap().path()).max().unwrap()).unwrap();

    for (name, moved) in [("written", 0), ("committed", 30), ("recorded", 30), ("after", 30)] {
        let dir = at(name);
        verified(&dir);
        let node = Arc::new(open(&dir));
        node.ready().await;
        let of = "select count(*) as n from events where \"event.dataset\" = 'network.vpn'";
        assert_eq!(count(&node, of).await, moved, "{name}");
        assert_eq!(count(&node, "select count(*) as n from events").await, 40, "{name}");
        node.close().unwrap();
        drop(node);
        verified(&dir);
    }
}
