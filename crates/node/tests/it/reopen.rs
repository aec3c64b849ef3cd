//! A directory opened again after some of its journal was let go of.

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

/// Sends the first lines, stores them, opens the directory again, sends the others; answers how many
/// rows there are of each dataset.
async fn datasets_over_a_restart(
    stream: &str,
    transport: Transport,
    peers: [&str; 2],
    lines: [&[&str]; 2],
) -> Vec<(String, i64)> {
    let dir = tempfile::tempdir().unwrap();
    let stream = StreamName::new(stream).unwrap();
    for (peer, lines) in peers.into_iter().zip(lines) {
        let node = open(dir.path());
        node.ready().await;
        let records =
            lines.iter().map(|line| Record { transport, peer: peer.into(), ..record(line) });
        node.sink().append(&stream, records.collect()).unwrap();
        // Nothing of it is left in the journal.
        node.sink().seal(&stream).unwrap();
        node.flush().unwrap();
        node.close().unwrap();
    }
    let node = open(dir.path());
    node.ready().await;
    let sql =
        "select \"event.dataset\" as dataset, count(*) as n from events group by 1 order by 1";
    let page = node.sql(sql).await.unwrap();
    node.close().unwrap();
    let row = |row: &serde_json::Map<String, serde_json::Value>| {
        (row["dataset"].as_str().unwrap().to_owned(), row["n"].as_i64().unwrap())
    };
    page.rows.iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_csv_file_keep_their_columns_when_its_import_goes_on() {
    let header = "timestamp,user,src_ip,action";
    let row = "2026-11-21T10:00:00Z,tanaka,203.0.113.9,login";
    let found = datasets_over_a_restart(
        "import/0123456789abcdef",
        Transport::File,
        ["/logs/export.csv", "/logs/export.csv"],
        [&[header, row], &[row, row]],
    )
    .await;
    assert_eq!(found, [("csv.generic".to_owned(), 3), ("log.header".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_connection_goes_on_with_the_fields_of_an_iis_log() {
    let header = "#Fields: date time s-ip cs-method cs-uri-stem c-ip sc-status";
    let row = "2026-11-21 10:00:00 192.0.2.80 GET /index.html 203.0.113.9 200";
    let found = datasets_over_a_restart(
        "syslog",
        Transport::SyslogTcp,
        ["192.0.2.80:50001", "192.0.2.80:50002"],
        [&[header, row], &[row, row]],
    )
    .await;
    assert_eq!(found, [("log.header".to_owned(), 1), ("web.iis".to_owned(), 3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_middle_of_a_file_is_not_taken_for_a_header() {
    let line = "2026-11-21T10:00:00Z host app: first, of, four, words";
    let found = datasets_over_a_restart(
        "import/0123456789abcdef",
        Transport::File,
        ["/logs/app.log", "/logs/app.log"],
        [&[line], &["first,of,four,words"]],
    )
    .await;
    assert!(found.iter().all(|(dataset, _)| dataset != "log.header"), "{found:?}");
}
