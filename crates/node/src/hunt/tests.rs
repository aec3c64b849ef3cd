#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chosen;
mod queue;
mod restart;
mod stop;
mod taxii;

use super::*;
use crate::{Node, NodeOptions, VerifyScope, verify_dir};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use yagura_event::{Level, Record, StreamName, SystemClock, Transport};
use yagura_intake::import::ImportSink;

/// A node with the rules of one directory, if any, which raises alerts of every level.
fn open(dir: &Path, rules: Option<&Path>) -> Node {
    let rules = rules.map(Path::to_owned).into_iter().collect();
    let options = NodeOptions { builtin_rules: false, rule_dirs: rules, ..NodeOptions::default() };
    open_as(dir, options, Arc::new(SystemClock))
}

fn open_as(dir: &Path, mut options: NodeOptions, clock: Arc<dyn Clock>) -> Node {
    options.desk.min_level = Level::Informational;
    Node::open(DataDir::new(dir), options, clock).unwrap()
}

/// A node, and events of which the first are in a file and the rest in memory.
fn stored(node: &Node, in_file: &[&str], in_memory: &[&str]) {
    append(node, in_file);
    node.flush().unwrap();
    append(node, in_memory);
}

/// A directory with one file of rules.
fn rules_in(dir: &Path, text: &str) -> std::path::PathBuf {
    let rules = dir.join("rules");
    std::fs::create_dir_all(&rules).unwrap();
    std::fs::write(rules.join("one.yml"), text).unwrap();
    rules
}

fn append(node: &Node, lines: &[&str]) {
    let stream = StreamName::new("syslog").unwrap();
    let record = |line: &&str| Record {
        received: node.clock().now(),
        transport: Transport::SyslogTcp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: line.as_bytes().to_vec().into(),
    };
    let before = digested(node);
    node.sink().append(&stream, lines.iter().map(record).collect()).unwrap();
    wait_for(node, before + lines.len() as u64);
}

/// Records that are searchable and were matched.
fn digested(node: &Node) -> u64 {
    node.status()["counters"]["pipeline.records"].as_u64().unwrap()
}

fn wait_for(node: &Node, expected: u64) {
    for _ in 0..6_000 {
        if digested(node) >= expected {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{} of {expected} records", digested(node));
}

/// Waits for the end of a hunt.
fn ended(node: &Node, id: &Value) -> Value {
    let id = id.as_str().unwrap();
    for _ in 0..3_000 {
        let hunt = node.hunter().show(id, 0, 1_000).unwrap();
        if !matches!(hunt["hunt.state"].as_str(), Some("waiting" | "running" | "cancelling")) {
            return hunt;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("hunt {id} does not end");
}

fn list(name: &str, text: &str) -> HuntFile {
    HuntFile { name: name.to_owned(), text: text.to_owned() }
}

fn indicators(text: &str) -> IndicatorRequest {
    IndicatorRequest { files: vec![list("list.txt", text)], ..IndicatorRequest::default() }
}

fn ids(hunt: &Value) -> BTreeSet<(String, String)> {
    let hits = hunt["hunt.matches"].as_array().unwrap();
    let text = |hit: &Value, key: &str| hit[key].as_str().unwrap().to_owned();
    hits.iter().map(|hit| (text(hit, "rule.uuid"), text(hit, "event.id"))).collect()
}

/// Rule and event of every alert.
fn alerted(node: &Node) -> BTreeSet<(String, String)> {
    let page = node
        .desk()
        .alerts(&yagura_desk::AlertFilter { limit: 1_000, ..yagura_desk::AlertFilter::default() });
    let pairs = page.alerts.iter().flat_map(|alert| {
        alert.event_ids.iter().map(|id| (alert.rule.uuid.clone(), id.to_string()))
    });
    pairs.collect()
}

const FAILED: &str =
    "<38>Jun 14 15:16:01 web01 sshd[42]: Failed password for root from 203.0.113.9 port 50022 ssh2";
const ELSEWHERE: &str =
    "<38>Jun 14 15:17:01 web01 sshd[43]: Failed password for root from 198.51.100.7 port 1 ssh2";

#[test]
fn a_new_indicator_is_hunted_backwards_and_found_as_events_come() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    stored(&node, &[FAILED, ELSEWHERE], &[FAILED]);

    let answer =
        node.hunter().add_indicators(indicators("203.0.113[.]9 # scanner"), "ann").unwrap();
    let hunt = ended(&node, &answer["lists"][0]["hunt.id"]);
    assert_eq!(hunt["hunt.state"], "done");
    assert_eq!(hunt["hunt.automatic"], true);
    assert_eq!(hunt["hunt.matches_total"], 2, "one in a file, one in memory: {hunt}");
    assert_eq!(hunt["hunt.events"], 3);
    let hit = &hunt["hunt.matches"][0];
    assert!(hit["event.id"].as_str().unwrap().starts_with("syslog/"), "{hit}");
    assert!(hit["hunt.sentence_en"].as_str().unwrap().contains("203.0.113.9"), "{hit}");
    assert!(alerted(&node).is_empty(), "alerts only where they were asked for");

    append(&node, &[FAILED, ELSEWHERE]);
    let pairs = alerted(&node);
    assert_eq!(pairs.len(), 1, "{pairs:?}");
    let alert = node.alerts(&crate::AlertQuery::default());
    let name = alert["alerts"][0]["rule.name"].as_str().unwrap();
    assert!(name.contains("203.0.113.9") && name.contains("list.txt"), "{name}");

    // With --raise the same events become the same alert, each once.
    let request = HuntRequest { stored_indicators: true, raise: true, ..HuntRequest::default() };
    let begun = node.hunter().start(&request, "ann").unwrap();
    let hunt = ended(&node, &begun["hunt.id"]);
    assert_eq!(ids(&hunt), alerted(&node));
    assert_eq!(alerted(&node).len(), 3);
    node.close().unwrap();
}

#[test]
fn indicators_and_hunts_outlive_the_process_and_changed_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    append(&node, &[FAILED]);
    let hunter = node.hunter();
    hunter.add_indicators(indicators("203.0.113.9\nevil.example"), "ann").unwrap();
    let mut expired = indicators("198.51.100.7");
    expired.valid_until = Some("2020-01-01T00:00:00Z".parse().unwrap());
    let answer = hunter.add_indicators(expired, "ann").unwrap();
    assert!(answer["lists"][0].get("hunt.id").is_none(), "an expired one is not hunted");
    let again = hunter.add_indicators(indicators("evil.example"), "ann").unwrap();
    assert_eq!(again["lists"][0]["indicators.known"], 1);
    hunter.remove_indicators(None, vec!["evil[.]example".to_owned()], "ann").unwrap();
    assert!(hunter.remove_indicators(None, vec!["evil.example".to_owned()], "ann").is_err());
    ended(&node, &json!("H-000001"));
    node.close().unwrap();
    drop(node);

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data = DataDir::new(dir.path());
    let report = verify_dir(&data, &VerifyScope::default(), &clock).unwrap();
    assert!(report.ok, "{:?}", report.findings);

    let node = open(dir.path(), None);
    let found = node.hunter().indicators(&IndicatorQuery::default());
    let values: Vec<_> = found["indicators"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["threat.indicator.name"])
        .collect();
    assert_eq!(values, ["203.0.113.9", "198.51.100.7"]);
    assert_eq!(found["expired"], 1);
    let hunt = node.hunter().show("H-1", 0, 10).unwrap();
    assert_eq!((&hunt["hunt.state"], &hunt["hunt.matches_total"]), (&json!("done"), &json!(1)));
    assert_eq!(hunt["hunt.matches"].as_array().unwrap().len(), 1);
    append(&node, &[ELSEWHERE]);
    assert!(alerted(&node).is_empty(), "an expired indicator raises nothing");
    node.close().unwrap();
    drop(node);

    let path = dir.path().join("indicators/000001.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("203.0.113.9", "203.0.113.8")).unwrap();
    let report = verify_dir(&data, &VerifyScope::default(), &clock).unwrap();
    assert!(report.findings.iter().any(|finding| finding.place == "indicators/000001.jsonl"));
    let node = open(dir.path(), None);
    assert_eq!(node.hunter().indicators(&IndicatorQuery::default())["in_use"], 1);
    node.close().unwrap();
}

#[test]
fn what_a_crash_left_of_a_list_is_put_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    node.hunter().add_indicators(indicators("203.0.113.9"), "ann").unwrap();
    node.close().unwrap();
    drop(node);
    // After the digest was recorded and before the file got its name; and before either.
    let path = |name: &str| dir.path().join("indicators").join(name);
    std::fs::rename(path("000001.jsonl"), path("000001.jsonl.new")).unwrap();
    std::fs::write(path("000002.jsonl.new"), "half").unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data = DataDir::new(dir.path());
    let report = verify_dir(&data, &VerifyScope::default(), &clock).unwrap();
    assert!(report.ok, "{:?}", report.findings);
    assert!(path("000001.jsonl").try_exists().unwrap());
    assert!(!path("000002.jsonl.new").try_exists().unwrap());
}

#[test]
fn requests_that_cannot_be_right_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    let refused =
        |request: HuntRequest| node.hunter().start(&request, "ann").unwrap_err().to_string();
    let none = HuntRequest::default;
    assert!(refused(none()).contains("name rules or indicators"));
    let rules = vec![list("bad.yml", "title: x\n")];
    assert!(refused(HuntRequest { rules, ..none() }).contains("bad.yml"));
    let rule_ids = vec!["no-such-rule".to_owned()];
    assert!(refused(HuntRequest { rule_ids, ..none() }).contains("no-such-rule"));
    let lists = || vec![list("x", "evil.example")];
    let last = Some("soon".to_owned());
    assert!(refused(HuntRequest { indicators: lists(), last, ..none() }).contains("instant"));
    let json = vec![list("x.json", "{\"a\":")];
    assert!(refused(HuntRequest { indicators: json, ..none() }).contains("x.json"));
    let hypothesis = "a".repeat(limits::HYPOTHESIS_BYTES_MAX + 1);
    let longest = hypothesis[1..].to_owned();
    assert!(refused(HuntRequest { indicators: lists(), hypothesis, ..none() }).contains("longer"));
    let hypothesis = longest;
    let done =
        node.hunter().start(&HuntRequest { indicators: lists(), hypothesis, ..none() }, "ann");
    let hunt = ended(&node, &done.unwrap()["hunt.id"]);
    assert_eq!((&hunt["hunt.matches_total"], &hunt["hunt.state"]), (&json!(0), &json!("done")));
    assert!(node.hunter().show("H-9", 0, 1).is_err());
    assert!(node.hunter().cancel("H-1", "ann").is_err(), "it has ended");
    node.close().unwrap();
}

#[test]
fn only_what_could_hold_it_is_read_and_only_the_time_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    append(
        &node,
        &[
            FAILED,
            "<38>Jun 14 15:18:01 web01 sshd[42]: Accepted password for ann from 203.0.113.9 port 2 ssh2",
        ],
    );
    node.flush().unwrap();
    let hunt = |text: &str, from: Option<&str>, to: Option<&str>| {
        let request = HuntRequest {
            indicators: vec![list("x", text)],
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            ..HuntRequest::default()
        };
        let estimate = node.hunter().estimate(&request).unwrap();
        let begun = node.hunter().start(&request, "ann").unwrap();
        (estimate, ended(&node, &begun["hunt.id"]))
    };
    // No column of these events could hold the name of a pipe.
    let (estimate, ended_hunt) = hunt("\\\\.\\pipe\\evil", None, None);
    assert_eq!(estimate["hunt.estimate.files_pruned"], 1, "{estimate}");
    assert_eq!(
        (&ended_hunt["hunt.events"], &ended_hunt["hunt.events_pruned"]),
        (&json!(0), &json!(2))
    );
    let (estimate, found) = hunt("203.0.113.9", None, None);
    assert_eq!(found["hunt.matches_total"], 2);
    assert_eq!(found["hunt.bytes"], estimate["hunt.estimate.bytes"]);
    assert!(found["hunt.bytes"].as_u64().unwrap() > 0);
    let middle = found["hunt.matches"][1]["@timestamp"].as_str().unwrap().to_owned();
    let (_, later) = hunt("203.0.113.9", Some(&middle), None);
    let (_, earlier) = hunt("203.0.113.9", None, Some(&middle));
    assert_eq!(
        (&later["hunt.matches_total"], &earlier["hunt.matches_total"]),
        (&json!(1), &json!(1))
    );
    let (_, none) = hunt("203.0.113.9", Some("2199-01-01T00:00:00Z"), None);
    assert_eq!((&none["hunt.events"], &none["hunt.events_pruned"]), (&json!(0), &json!(2)));
    node.close().unwrap();
}

#[test]
fn a_cancelled_hunt_keeps_what_it_found_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    append(&node, &[FAILED]);
    let shared = &node.hunter().shared;
    let request =
        HuntRequest { indicators: vec![list("x", "203.0.113.9")], ..HuntRequest::default() };
    let plan = node.hunter().plan(&request).unwrap();
    let progress = Progress::default();
    progress.cancel.store(true, Ordering::Relaxed);
    let normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
    let finished = Runner::new(shared, &normalizer, HuntId(1), &plan, &progress).run();
    assert_eq!((finished.outcome, finished.events), (Outcome::Cancelled, 0));
    node.close().unwrap();
}

#[test]
fn a_file_that_cannot_be_read_is_a_gap_that_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    append(&node, &[FAILED]);
    node.flush().unwrap();
    append(&node, &[FAILED]);
    let file = node.lake().files()[0].path.clone();
    std::fs::write(node.lake().directory().join(&file), "no parquet").unwrap();
    let request =
        HuntRequest { indicators: vec![list("x", "203.0.113.9")], ..HuntRequest::default() };
    let begun = node.hunter().start(&request, "ann").unwrap();
    let hunt = ended(&node, &begun["hunt.id"]);
    assert_eq!((&hunt["hunt.state"], &hunt["hunt.matches_total"]), (&json!("gaps"), &json!(1)));
    assert!(hunt["hunt.unread"][0].as_str().unwrap().contains(&file), "{hunt}");
    node.close().unwrap();
}

/// `YAGURA_CORPORA`, or the reason why the test is skipped.
fn corpora() -> Option<std::path::PathBuf> {
    match std::env::var_os("YAGURA_CORPORA") {
        Some(dir) => Some(dir.into()),
        None if std::env::var_os("CI").is_some() => panic!("CI must set YAGURA_CORPORA"),
        None => {
            eprintln!("skipped: set YAGURA_CORPORA to a corpora directory");
            None
        }
    }
}

fn import(node: &Node, paths: &[std::path::PathBuf]) {
    use yagura_intake::import::{Import, ImportOptions, Progress, ProgressState, plan};
    struct Quiet;
    impl Progress for Quiet {
        fn update(&self, _: &ProgressState<'_>) {}
    }
    let cancel = std::sync::atomic::AtomicBool::new(false);
    let before = digested(node);
    let report =
        Import::run(&plan(paths), &node.sink(), &Quiet, &ImportOptions::default(), &cancel);
    let added = report.records_added();
    assert!(added > 1_000, "{added} records");
    wait_for(node, before + added);
}

#[test]
fn history_gives_the_answers_of_the_live_engine() {
    let Some(corpora) = corpora() else { return };
    let host = corpora.join("otrf/atomic/windows/defense_evasion/host");
    let dir = tempfile::tempdir().unwrap();
    let options = NodeOptions {
        desk: yagura_desk::DeskOptions { min_level: Level::Informational, ..Default::default() },
        ..NodeOptions::default()
    };
    let node = Node::open(DataDir::new(dir.path()), options, Arc::new(SystemClock)).unwrap();
    import(&node, &[host.join("cmd_mshta_javascript_getobject_sct.zip")]);
    node.flush().unwrap();
    // Some from files, some from memory.
    import(&node, &[host.join("psh_control_panel_execution.zip")]);
    let request = HuntRequest { rule_ids: vec!["all".to_owned()], ..HuntRequest::default() };
    let compiled = node.hunter().shared.compile(node.hunter().shared.loaded().unwrap()).unwrap().0;
    let alone: BTreeSet<String> =
        compiled.rules().filter(|rule| rule.alerts).map(|rule| rule.id.clone()).collect();
    let begun = node.hunter().start(&request, "ann").unwrap();
    let hunt = ended(&node, &begun["hunt.id"]);
    assert_eq!(hunt["hunt.state"], "done", "{}", hunt["hunt.unread"]);
    let mut hunted = BTreeSet::new();
    loop {
        let page =
            node.hunter().show(begun["hunt.id"].as_str().unwrap(), hunted.len(), 1_000).unwrap();
        let found = ids(&page);
        if found.is_empty() {
            break;
        }
        hunted.extend(found);
    }
    hunted.retain(|(rule, _)| alone.contains(rule));
    let mut live = alerted(&node);
    live.retain(|(rule, _)| alone.contains(rule));
    assert!(live.len() > 5, "{} matches", live.len());
    assert_eq!(hunted, live);

    // An indicator taken from one of these events is found in the files that hold it.
    let sql =
        "SELECT \"process.hash\" AS hash FROM events WHERE \"process.hash\" IS NOT NULL LIMIT 1";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let page = runtime.block_on(node.sql(sql)).unwrap();
    let hashes = page.rows[0]["hash"].as_str().unwrap();
    let sha256 = hashes.split(',').find_map(|part| part.strip_prefix("SHA256=")).unwrap();
    let counted = format!(
        "SELECT count(*) AS n FROM events WHERE \"process.hash\" LIKE '%{sha256}%' OR \"file.hash\" LIKE '%{sha256}%'"
    );
    let expected = runtime.block_on(node.sql(&counted)).unwrap().rows[0]["n"].as_u64().unwrap();
    let bundle = json!({"type": "bundle", "id": "bundle--1", "objects": [{
        "type": "indicator", "spec_version": "2.1", "id": "indicator--1", "pattern_type": "stix",
        "pattern": format!("[file:hashes.'SHA-256' = '{sha256}']"), "valid_from": "2030-01-01T00:00:00Z",
    }]});
    let files = vec![list("bundle.json", &bundle.to_string())];
    let request = HuntRequest { indicators: files, ..HuntRequest::default() };
    let begun = node.hunter().start(&request, "ann").unwrap();
    let hunt = ended(&node, &begun["hunt.id"]);
    assert!(expected > 0);
    assert_eq!(hunt["hunt.matches_total"].as_u64().unwrap(), expected, "{sha256}");
    node.close().unwrap();
}
