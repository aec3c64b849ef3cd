//! Each kind of gap, from what makes it to where people read of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::{DataDir, ExceptionRequest, Node, NodeOptions, RemoveRequest};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use yagura_event::{Clock, ManualClock, Record, StreamName, Transport, UtcMicros};
use yagura_intake::import::ImportSink;

const MINUTE: i64 = 60_000_000;

const RULES: &str = "
title: From the scanner
id: scanner
logsource: { product: linux, service: sshd }
detection:
  selection: { source.ip: 203.0.113.9 }
  condition: selection
---
title: Many from one address
id: many
correlation:
  type: event_count
  rules: [scanner]
  group-by: [source.ip]
  timespan: 5m
  generate: true
  condition: { gte: 100 }
level: high
";

struct Watched {
    node: Node,
    clock: Arc<ManualClock>,
}

impl Watched {
    fn open(dir: &Path, at: UtcMicros) -> Watched {
        let rules = dir.join("rules");
        std::fs::create_dir_all(&rules).unwrap();
        std::fs::write(rules.join("all.yml"), RULES).unwrap();
        let options =
            NodeOptions { builtin_rules: false, rule_dirs: vec![rules], ..NodeOptions::default() };
        let clock = Arc::new(ManualClock::at(at));
        let node = Node::open(DataDir::new(dir.join("data")), options, clock.clone()).unwrap();
        Watched { node, clock }
    }

    fn now(&self) -> UtcMicros {
        self.clock.now()
    }

    fn pass(&self, micros: i64) {
        self.clock.advance_micros(micros);
    }

    /// Takes lines of sshd in, received now and written so many minutes before.
    fn send(&self, texts: &[&str], minutes_before: i64) {
        let now = self.now();
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
        self.node.flush().unwrap();
    }

    /// Looks once; gaps of a kind, open ones first.
    fn gaps(&self, kind: &str) -> Vec<Value> {
        self.node.look_for_gaps().unwrap();
        let answer = self.node.gaps(false, 100);
        let all = answer["gaps"].as_array().unwrap().clone();
        all.into_iter().filter(|gap| gap["gap.kind"] == kind).collect()
    }

    /// Looks once; one gap of the kind must be there, and be open. Answers its subject.
    fn assert_open(&self, kind: &str) -> String {
        let gaps = self.gaps(kind);
        let [gap] = gaps.as_slice() else { panic!("{kind}: {gaps:#?}") };
        assert!(gap["gap.end"].is_null(), "{gap:#}");
        for said in ["gap.sentence_en", "gap.sentence_ja"] {
            assert!(gap[said].as_str().unwrap().len() > 20, "{gap:#}");
        }
        gap["gap.subject"].as_str().unwrap().to_owned()
    }

    /// Looks once; that gap must be over.
    fn assert_closed(&self, kind: &str) {
        let gaps = self.gaps(kind);
        let [gap] = gaps.as_slice() else { panic!("{kind}: {gaps:#?}") };
        assert_eq!(gap["gap.end"], serde_json::json!(self.now()), "{gap:#}");
    }
}

fn start() -> UtcMicros {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

const FROM_SCANNER: &str = "Failed password for root from 203.0.113.9 port 1 ssh2";

#[test]
fn every_kind_of_gap_opens_and_closes_and_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let watched = Watched::open(dir.path(), start());
    let node = &watched.node;
    watched.send(&[FROM_SCANNER], 0);
    watched.node.look_for_gaps().unwrap();
    let none = node.gaps(false, 100);
    assert_eq!(none["total"], 0, "{none:#}");

    // A rule that is off.
    let request = ExceptionRequest {
        rules: vec!["scanner".to_owned()],
        everything: true,
        reason: "our own scanner".to_owned(),
        ..ExceptionRequest::default()
    };
    let added = node.add_exception(request, "ann").unwrap();
    let id = added["exception.id"].as_str().unwrap().to_owned();
    assert_eq!(watched.assert_open("rule_disabled"), id);
    watched.pass(MINUTE);
    node.remove_exception(&id, &RemoveRequest::default(), "ann").unwrap();
    watched.assert_closed("rule_disabled");

    // Detection that lags, and matches that could not be recorded.
    let counters = node.pipeline_counters();
    counters.fresh.fetch_sub(1, Ordering::Relaxed);
    assert!(watched.gaps("engine_behind").is_empty(), "a moment is nothing");
    watched.pass(MINUTE);
    assert_eq!(watched.assert_open("engine_behind"), "detection");
    counters.fresh.fetch_add(1, Ordering::Relaxed);
    watched.assert_closed("engine_behind");
    counters.findings_lost.fetch_add(1, Ordering::Relaxed);
    assert_eq!(watched.assert_open("findings_lost"), "alerts");
    watched.assert_closed("findings_lost");

    // A correlation for which an event came too late; it is told for ten minutes.
    watched.send(&[FROM_SCANNER], 0);
    watched.send(&[FROM_SCANNER], 30);
    assert_eq!(watched.assert_open("correlation_limit"), "many late");
    watched.pass(10 * MINUTE);
    watched.assert_open("correlation_limit");
    watched.pass(1);
    watched.assert_closed("correlation_limit");

    // A stream that talks every two minutes, and then does not.
    for _ in 0..22 {
        watched.pass(2 * MINUTE);
        watched.send(&[FROM_SCANNER], 0);
    }
    watched.pass(45 * MINUTE);
    assert_eq!(watched.assert_open("source_silent"), "syslog");
    watched.send(&[FROM_SCANNER], 0);
    watched.assert_closed("source_silent");
    let before = node.gaps(false, 100);
    assert_eq!((&before["total"], &before["open"]), (&5.into(), &0.into()), "{before:#}");
    node.close().unwrap();

    // Yagura itself did not run.
    let stopped = watched.now();
    let again = watched.now().plus_micros(15 * MINUTE);
    drop(watched);
    let watched = Watched::open(dir.path(), again);
    let gaps = watched.gaps("stopped");
    let [gap] = gaps.as_slice() else { panic!("{gaps:#?}") };
    assert_eq!(gap["gap.begin"], serde_json::json!(stopped));
    assert_eq!(gap["gap.end"], serde_json::json!(again));
    assert_eq!(watched.gaps("stopped").len(), 1, "it is told once");
    assert_eq!(watched.node.gaps(false, 100)["total"], 6, "those before are read back");

    // A field that a rule needs: in this process no event has had it yet.
    let others = vec!["Received signal 15; terminating."; 999];
    watched.send(&others, 0);
    assert!(watched.gaps("field_missing").is_empty(), "too few to say");
    watched.send(&others[..1], 0);
    assert!(watched.assert_open("field_missing").ends_with(" source.ip"));
    watched.pass(MINUTE);
    watched.send(&[FROM_SCANNER], 0);
    watched.assert_closed("field_missing");
    watched.node.close().unwrap();
}
