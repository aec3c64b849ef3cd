//! Rules that change while events flow.

use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use yagura_event::{Record, StreamName, SystemClock, Transport, UtcMicros};
use yagura_intake::import::ImportSink;
use yagura_node::{
    AlertQuery, DataDir, ExceptionRequest, Node, NodeError, NodeOptions, ReloadRequest,
};

fn options(rules: &Path) -> NodeOptions {
    NodeOptions {
        builtin_rules: false,
        rule_dirs: vec![rules.to_owned()],
        rules_recorded_as: Some("tester".into()),
        ..NodeOptions::default()
    }
}

fn open(dir: &Path) -> Node {
    let rules = dir.join("rules");
    Node::open(DataDir::new(dir.join("data")), options(&rules), Arc::new(SystemClock)).unwrap()
}

fn write(dir: &Path, name: &str, word: &str) {
    std::fs::create_dir_all(dir.join("rules")).unwrap();
    let text = format!(
        "title: Rule {name}\nid: {name}\nlevel: high\nlogsource:\n  product: linux\ndetection:\n  \
         words:\n    - '{word}'\n  condition: words\n"
    );
    std::fs::write(dir.join("rules").join(format!("{name}.yml")), text).unwrap();
}

fn send(node: &Node, texts: &[String]) {
    let stream = StreamName::new("syslog").unwrap();
    let record = |text: &String| Record {
        received: "2026-11-22T02:04:00Z".parse::<UtcMicros>().unwrap(),
        transport: Transport::SyslogTcp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: format!("<38>Nov 22 02:04:00 host01 app[1]: {text}").into_bytes().into(),
    };
    node.sink().append(&stream, texts.iter().map(record).collect()).unwrap();
}

/// How many events each rule's alerts hold, once all `records` sent so far are matched.
fn hits(node: &Node, records: u64) -> Vec<(String, u64)> {
    loop {
        let status = node.status();
        if status["counters"]["pipeline.records"].as_u64() >= Some(records) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let alerts = node.alerts(&AlertQuery::default());
    let mut found: Vec<(String, u64)> = alerts["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| {
            (alert["rule.uuid"].as_str().unwrap().to_owned(), alert["count"].as_u64().unwrap())
        })
        .collect();
    found.sort();
    found
}

fn reload(node: &Node) -> Result<Value, NodeError> {
    node.reload_rules(&ReloadRequest::default(), "tanaka", "reload")
}

#[test]
fn new_rules_see_the_next_event_and_every_event_is_matched_once() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "always", "knock");
    let node = Arc::new(open(dir.path()));
    let done = Arc::new(AtomicBool::new(false));
    let reloads = {
        let (node, done, dir) = (node.clone(), done.clone(), dir.path().to_owned());
        std::thread::spawn(move || {
            let mut reloads = 0;
            while !done.load(Ordering::Acquire) {
                write(&dir, "other", &format!("word{reloads}"));
                let answer = reload(&node).unwrap();
                assert_eq!(answer["loaded"], 2);
                reloads += 1;
            }
            reloads
        })
    };
    const EVENTS: u64 = 600;
    for number in 0..EVENTS / 3 {
        let texts: Vec<String> = (0..3).map(|part| format!("knock {number} {part}")).collect();
        send(&node, &texts);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(hits(&node, EVENTS), [("always".to_owned(), EVENTS)]);
    done.store(true, Ordering::Release);
    assert!(reloads.join().unwrap() > 3);

    write(dir.path(), "other", "door");
    reload(&node).unwrap();
    send(&node, &["door".to_owned()]);
    let found = hits(&node, EVENTS + 1);
    assert_eq!(found, [("always".to_owned(), EVENTS), ("other".to_owned(), 1)]);
    node.close().unwrap();
}

#[test]
fn a_broken_change_leaves_the_rules_in_use_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "one", "knock");
    write(dir.path(), "two", "knock");
    let node = open(dir.path());
    let file = dir.path().join("rules/one.yml");
    let good = std::fs::read_to_string(&file).unwrap();
    for broken in [good.replace("words\n", "nothing\n"), "\t- [".to_owned()] {
        std::fs::write(&file, &broken).unwrap();
        let error = reload(&node).unwrap_err();
        let NodeError::Request { message, place, .. } = &error else { panic!("{error}") };
        assert!(message.contains("stay") && place.as_ref().unwrap().contains("one.yml"), "{error}");
        assert_eq!(node.ruleset().rules().len(), 2);
    }
    // A directory that is gone is no wish to have no rules.
    std::fs::rename(dir.path().join("rules"), dir.path().join("away")).unwrap();
    assert!(reload(&node).unwrap_err().to_string().contains("stay"));
    std::fs::rename(dir.path().join("away"), dir.path().join("rules")).unwrap();
    // Said so, it goes ahead; and a rule taken away is no loss.
    let accepting = ReloadRequest { accept_refusals: true };
    let answer = node.reload_rules(&accepting, "tanaka", "reload").unwrap();
    assert_eq!((&answer["loaded"], &answer["refused"]), (&1.into(), &1.into()));
    std::fs::write(&file, &good).unwrap();
    reload(&node).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(reload(&node).unwrap()["counts"]["removed"], 1);
    node.close().unwrap();
}

/// Every `rules-changed` record of a closed directory.
fn records(dir: &Path) -> Vec<Value> {
    let audit = DataDir::new(dir.join("data")).audit();
    let runs = yagura_journal::read_segments(&audit);
    let mut found = Vec::new();
    for run in runs.unwrap() {
        for record in run.unwrap().records {
            let value: Value = serde_json::from_slice(&record.bytes).unwrap();
            if value["event.action"] == "rules-changed" {
                found.push(value);
            }
        }
    }
    found
}

#[test]
fn every_change_of_rules_is_an_audit_record_and_no_change_is_none() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "one", "knock");
    let node = open(dir.path());
    reload(&node).unwrap();
    write(dir.path(), "one", "door");
    write(dir.path(), "two", "door");
    reload(&node).unwrap();
    reload(&node).unwrap();
    node.close().unwrap();
    drop(node);
    // Nothing changed while it was closed; then something did.
    open(dir.path()).close().unwrap();
    std::fs::remove_file(dir.path().join("rules/two.yml")).unwrap();
    open(dir.path()).close().unwrap();

    let said: Vec<_> = records(dir.path())
        .iter()
        .map(|record| {
            let ids = |kind: &str| {
                let rules = record[kind].as_array().unwrap().iter();
                rules.map(|rule| rule["rule.uuid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            let who = record["user.name"].as_str().unwrap().to_owned();
            let why = record["event.reason"].as_str().unwrap().to_owned();
            (who, why, ids("rules.added"), ids("rules.changed"), ids("rules.removed"))
        })
        .collect();
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        said,
        [
            ("tester".into(), "start".into(), list(&["one"]), list(&[]), list(&[])),
            ("tanaka".into(), "reload".into(), list(&["two"]), list(&["one"]), list(&[])),
            ("tester".into(), "start".into(), list(&[]), list(&[]), list(&["two"])),
        ]
    );
}

#[test]
fn an_exception_outlives_a_changed_text_of_its_rule_and_an_alert_names_the_text_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "knocks", "knock");
    let node = open(dir.path());
    let request = ExceptionRequest {
        rules: vec!["knocks".to_owned()],
        conditions: serde_json::json!({ "host.name": "host01", "message|contains": "of the post" })
            .as_object()
            .unwrap()
            .clone(),
        reason: "the postman".to_owned(),
        ..ExceptionRequest::default()
    };
    node.add_exception(request, "tanaka").unwrap();
    let both = |word: &str| [format!("a {word}"), format!("a {word} of the post")];
    send(&node, &both("knock"));
    assert_eq!(hits(&node, 2), [("knocks".to_owned(), 1)]);
    let id = node.alerts(&AlertQuery::default())["alerts"][0]["alert.id"].clone();
    let id = id.as_str().unwrap();
    let written = node.rule_of_alert(id).unwrap();
    assert!(written["rule.text"].as_str().unwrap().contains("- 'knock'"), "{written}");
    assert_eq!(written["rule.digest"], node.alert(id).unwrap()["rule.digest"]);
    // It is that of the rules in use, whatever lies beside it meanwhile: here another with its id.
    let (file, other) = (dir.path().join("rules/knocks.yml"), dir.path().join("rules/a.yml"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&other, text.replace("'knock'", "'other'")).unwrap();
    assert_eq!(node.rule_of_alert(id).unwrap(), written);
    std::fs::remove_file(&other).unwrap();
    std::fs::write(&file, text.clone() + "# changed\n").unwrap();
    assert!(node.rule_of_alert(id).unwrap_err().to_string().contains("has changed since"));
    std::fs::write(&file, text).unwrap();
    let mistyped = ExceptionRequest {
        rules: vec!["knocks".to_owned()],
        conditions: serde_json::json!({ "host.nmae|endswith": "01" }).as_object().unwrap().clone(),
        reason: "never holds".to_owned(),
        ..ExceptionRequest::default()
    };
    let refused = node.add_exception(mistyped, "tanaka").unwrap_err().words();
    assert_eq!(refused.en(), "there is no field host.nmae: did you mean host.name?");
    assert_eq!(refused.ja(), "項目 host.nmae はありません。host.name のことでしょうか");

    write(dir.path(), "knocks", "ring");
    assert_eq!(reload(&node).unwrap()["counts"]["changed"], 1);
    send(&node, &both("ring"));
    assert_eq!(hits(&node, 4), [("knocks".to_owned(), 2)], "the post is still let through");
    assert_eq!(node.exceptions()["exceptions"][0]["exception.suppressed"], 2);
    let changed = node.rule_of_alert(id).unwrap_err();
    assert!(matches!(&changed, NodeError::NotFound { .. }), "{changed}");
    assert!(changed.to_string().contains("has changed since"), "{changed}");
    node.close().unwrap();
}
