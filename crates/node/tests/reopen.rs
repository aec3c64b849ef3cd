//! A directory opened again after some of its journal was let go of.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use yagura_event::{Record, StreamName, SystemClock, Transport, UtcMicros};
use yagura_intake::import::ImportSink;
use yagura_journal::JournalOptions;
use yagura_node::{DataDir, Node, NodeOptions};

fn open(dir: &Path) -> Node {
    let options = NodeOptions {
        builtin_rules: false,
        journal: JournalOptions { segment_bytes: 4_096, ..JournalOptions::default() },
        ..NodeOptions::default()
    };
    Node::open(DataDir::new(dir), options, Arc::new(SystemClock)).unwrap()
}

fn record(text: &str) -> Record {
    Record {
        received: "2026-11-22T02:04:00Z".parse::<UtcMicros>().unwrap(),
        transport: Transport::SyslogTcp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: text.as_bytes().to_vec().into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_becomes_ready_when_only_the_end_of_a_stored_batch_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let stream = StreamName::new("syslog").unwrap();
    let node = open(dir.path());
    for letter in ["a", "b", "c"] {
        // Each fills most of a segment, so the batch is spread over several.
        node.sink().append(&stream, vec![record(&letter.repeat(3_000))]).unwrap();
    }
    node.flush().unwrap();
    node.sink().append(&stream, vec![record("after")]).unwrap();
    node.close().unwrap();
    drop(node);

    let node = open(dir.path());
    let ready = tokio::time::timeout(Duration::from_secs(60), node.ready()).await;
    assert!(ready.is_ok(), "it waits for records that are not replayed");
    let page = node.sql("select count(*) as n from events").await.unwrap();
    assert_eq!(page.rows[0]["n"], 4);
    node.close().unwrap();
}
