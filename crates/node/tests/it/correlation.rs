//! Correlations in a node: what was counted survives restarts and crashes, once and for all.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use yagura_desk::AlertFilter;
use yagura_event::{Lang, Record, StreamName, SystemClock, Transport, UtcMicros};
use yagura_intake::import::ImportSink;
use yagura_node::{DataDir, Node, NodeOptions, VerifyScope, verify_dir};

const RULES: &str = "
title: Failed password
name: failed
logsource: { product: linux, service: sshd }
detection:
  keywords: ['Failed password']
  condition: keywords
x-yagura: { title_ja: パスワードの誤り }
---
title: Guessing
id: guessing
correlation:
  type: event_count
  rules: [failed]
  group-by: [source.ip]
  timespan: 5m
  condition: { gte: 3 }
level: high
";

async fn open(dir: &Path) -> Node {
    let rules = dir.with_extension("rules");
    std::fs::create_dir_all(&rules).unwrap();
    std::fs::write(rules.join("guessing.yml"), RULES).unwrap();
    let options =
        NodeOptions { builtin_rules: false, rule_dirs: vec![rules], ..NodeOptions::default() };
    let node = Node::open(DataDir::new(dir), options, Arc::new(SystemClock)).unwrap();
    tokio::time::timeout(Duration::from_secs(60), node.ready()).await.unwrap();
    node
}

/// Takes failed logons in and waits until they were counted.
async fn fail(node: &Node, numbers: &[u32]) {
    let record = |n: &u32| {
        Record {
        received: format!("2026-11-21T10:00:{n:02}Z").parse::<UtcMicros>().unwrap(),
        transport: Transport::SyslogTcp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: format!(
            "<38>Nov 21 10:00:{n:02} web01 sshd[1]: Failed password for root from 203.0.113.9 port {n} ssh2"
        )
        .into_bytes()
        .into(),
    }
    };
    let before = counted(node);
    let stream = StreamName::new("syslog").unwrap();
    node.sink().append(&stream, numbers.iter().map(record).collect()).unwrap();
    while counted(node) < before + numbers.len() as u64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn counted(node: &Node) -> u64 {
    node.status()["correlation"]["counted"].as_u64().unwrap()
}

/// Events and sentence of each alert.
fn alerts(node: &Node) -> Vec<(u64, String)> {
    let page = node.desk().alerts(&AlertFilter::default());
    page.alerts.iter().map(|a| (a.count, a.sentence(Lang::Ja).to_owned())).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_neither_repeats_nor_misses_an_alert() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let node = open(&dir).await;
    fail(&node, &[1, 2]).await;
    assert!(alerts(&node).is_empty());
    node.close().unwrap();
    drop(node);

    let node = open(&dir).await;
    fail(&node, &[3]).await;
    let raised = alerts(&node);
    assert_eq!(raised.len(), 1);
    assert_eq!(raised[0].0, 3);
    assert_eq!(raised[0].1, "パスワードの誤り: 5 分以内に 3 件（送信元 IP アドレス: 203.0.113.9）");
    node.close().unwrap();
    drop(node);

    let node = open(&dir).await;
    assert_eq!(alerts(&node), raised);
    node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_steps_loses_no_count() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let state = |dir: &Path| dir.join("correlation").join("state");
    let node = open(&dir).await;
    let first_state = std::fs::read(state(&dir)).unwrap();
    fail(&node, &[1, 2]).await;

    // Before anything was written to the table.
    let killed = scratch.path().join("killed-early");
    copy(&dir, &killed);
    // After the table has them, before the state was saved.
    node.flush().unwrap();
    let behind = scratch.path().join("state-behind");
    copy(&dir, &behind);
    std::fs::write(state(&behind), &first_state).unwrap();
    // After the state was saved, with another one begun.
    let saved = scratch.path().join("saved");
    copy(&dir, &saved);
    std::fs::write(saved.join("correlation").join("state.new"), b"half").unwrap();
    // A state that somebody changed is given up and says so.
    let damaged = scratch.path().join("damaged");
    copy(&dir, &damaged);
    let mut bytes = std::fs::read(state(&damaged)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(state(&damaged), bytes).unwrap();
    let gone = scratch.path().join("gone");
    copy(&dir, &gone);
    std::fs::remove_file(state(&gone)).unwrap();
    node.close().unwrap();
    drop(node);

    let clock: Arc<dyn yagura_event::Clock> = Arc::new(SystemClock);
    for copied in [&killed, &behind, &saved, &damaged, &gone] {
        let name = copied.file_name().unwrap().to_string_lossy().into_owned();
        let report = verify_dir(&DataDir::new(copied), &VerifyScope::default(), &clock).unwrap();
        let is_wrong = ["damaged", "gone"].contains(&name.as_str());
        assert_eq!(report.ok, !is_wrong, "{name}: {:?}", report.findings);
        if is_wrong {
            assert_eq!(report.findings[0].place, "correlation/state", "{name}");
        }
        let node = open(copied).await;
        let rebuilt = node.status()["correlation"]["rebuilt"].clone();
        assert_eq!(rebuilt.is_string(), is_wrong, "{name}: {rebuilt}");
        assert!(alerts(&node).is_empty(), "{name}");
        fail(&node, &[3]).await;
        let raised = alerts(&node);
        assert_eq!(raised.len(), 1, "{name}");
        assert_eq!(raised[0].0, 3, "{name}");
        node.close().unwrap();
    }
}
