//! What searches and SQL ask beside events, of a real node: lists, acts, alerts and sources.

use futures::StreamExt;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use yagura_enrich::{Kind, Settings};
use yagura_event::{ManualClock, Record, StreamName, Transport, UtcMicros};
use yagura_intake::import::ImportSink;
use yagura_node::hunt::{HuntFile, IndicatorRequest};
use yagura_node::{DataDir, Node, NodeOptions, SearchQuery};

fn now() -> UtcMicros {
    "2026-11-22T02:10:00Z".parse().unwrap()
}

const RULE: &str = "\
title: A failed logon as root
id: 7d0f6a52-2222-4c3f-9d3f-1e7a3c0b9a22
level: high
logsource:
  product: linux
detection:
  who:
    user.name: root
    event.outcome: failure
  condition: who
";

fn open(dir: &Path) -> Arc<Node> {
    std::fs::create_dir_all(dir.join("rules")).unwrap();
    std::fs::write(dir.join("rules/rule.yml"), RULE).unwrap();
    let enrich: Settings =
        toml::from_str("[[network]]\nname = 'Head office'\ncidr = ['10.1.0.0/16']\nzone = 'lan'\n")
            .unwrap();
    let options = NodeOptions {
        builtin_rules: false,
        rule_dirs: vec![dir.join("rules")],
        enrich: Some(enrich),
        ..NodeOptions::default()
    };
    let data = DataDir::new(dir.join("data"));
    Arc::new(Node::open(data, options, Arc::new(ManualClock::at(now()))).unwrap())
}

fn send(node: &Node, lines: &[String]) {
    let record = |line: &String| Record {
        received: now(),
        transport: Transport::SyslogTcp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: line.clone().into_bytes().into(),
    };
    let stream = StreamName::new("syslog").unwrap();
    node.sink().append(&stream, lines.iter().map(record).collect()).unwrap();
    node.flush().unwrap();
}

/// A session over SSH that a guess at root came before.
fn session() -> Vec<String> {
    [
        ("02:04:00", "sshd[7]: Failed password for root from 203.0.113.9 port 22 ssh2"),
        ("02:05:00", "sshd[8]: Accepted password for alice from 10.1.2.3 port 23 ssh2"),
        (
            "02:05:00",
            "sshd[8]: pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)",
        ),
        ("02:06:00", "sshd[8]: pam_unix(sshd:session): session closed for user alice"),
    ]
    .map(|(time, text)| format!("<38>Nov 22 {time} web01 {text}"))
    .to_vec()
}

async fn search(node: &Arc<Node>, query: &str) -> (Vec<Value>, yagura_node::SearchEnd) {
    let asked = SearchQuery { query: query.to_owned(), ..SearchQuery::default() };
    let mut rows = match node.search(&asked).await {
        Ok(rows) => rows,
        Err(error) => panic!("{query}: {error}"),
    };
    let mut all = Vec::new();
    while let Some(row) = rows.next().await {
        all.push(Value::Object(row.unwrap()));
    }
    (all, rows.end())
}

async fn sql(node: &Arc<Node>, statement: &str) -> Vec<Value> {
    match node.sql(statement).await {
        Ok(page) => page.rows.into_iter().map(Value::Object).collect(),
        Err(error) => panic!("{statement}: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_and_sql_ask_what_the_house_knows() {
    let scratch = tempfile::tempdir().unwrap();
    let node = open(scratch.path());
    send(&node, &session());
    let staff = b"name,department\nalice;a.smith,Accounting\n";
    node.set_inventory(Kind::Users, "staff.csv", staff, "tanaka").unwrap();
    let list = HuntFile { name: "bad.txt".to_owned(), text: "203.0.113.9\n".to_owned() };
    let request = IndicatorRequest { files: vec![list], ..IndicatorRequest::default() };
    node.hunter().add_indicators(request, "tanaka").unwrap();

    // The event came before the list was set: a lookup asks the list of now.
    let (rows, _) = search(
        &node,
        "user.name:alice | lookup users user.name output user.department as d | top d",
    )
    .await;
    assert_eq!((&rows[0]["d"], rows.len()), (&json!("Accounting"), 1), "{rows:?}");
    let (rows, _) = search(
        &node,
        "source.ip:* | lookup networks network.cidr as source.ip output network.name, network.zone | where network.name:* | stats count() as n by network.name, network.zone",
    )
    .await;
    assert_eq!(rows, [json!({ "network.name": "Head office", "network.zone": "lan", "n": 1 })]);
    let (rows, _) = search(
        &node,
        "source.ip:* | lookup indicators threat.indicator.name as source.ip output threat.indicator.provider as by | where by:* | fields source.ip, by",
    )
    .await;
    assert_eq!(rows, [json!({ "source.ip": "203.0.113.9", "by": "bad.txt" })]);
    let (rows, end) = search(&node, "* | lookup assets host.name output host.owner").await;
    assert_eq!((rows.len(), end.notices.len()), (4, 1));
    assert_eq!(end.notices[0].ja, "表 assets には行がありません");
    let unknown = SearchQuery { query: "* | lookup people name".to_owned(), ..Default::default() };
    let Err(error) = node.search(&unknown).await else { panic!("a list that is not there") };
    let words = error.words();
    assert!(
        words.en().contains("available: users, assets, networks, indicators"),
        "{}",
        words.en()
    );

    // The act has a sentence in both languages and its events.
    let (rows, _) = search(&node, "| act | where act.kind:ssh user.name:alice").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    for sentence in ["sentence.ja", "sentence.en"] {
        assert!(rows[0][sentence].as_str().unwrap().contains("alice"), "{rows:?}");
    }
    assert_eq!(rows[0]["act.events"], 3);
    assert_eq!(rows[0]["act.event_ids"].as_str().unwrap().split(' ').count(), 3);
    assert_eq!(rows[0]["event.end"], "2026-11-22T02:06:00.000000Z");
    let same = sql(&node, "select * from acts where \"user.name\" = 'alice'").await;
    assert_eq!(same[0]["sentence.ja"], rows[0]["sentence.ja"]);
    assert_eq!(same[0]["act.id"].as_str().unwrap().split(':').next(), Some("ssh"));
    let later = "select count(*) as n from acts where \"@timestamp\" > '2026-11-22T02:05:30Z'";
    assert_eq!(sql(&node, later).await, [json!({ "n": 0 })], "it began before");

    // Alerts and sources, as they are elsewhere.
    let listed = node.alerts(&yagura_node::AlertQuery::default());
    let rows = sql(
        &node,
        "select \"alert.id\", \"rule.level\", \"alert.count\", \"user.name\", \"event.id\", \"alert.sentence_ja\" from alerts",
    )
    .await;
    assert_eq!(rows.len(), listed["alerts"].as_array().unwrap().len());
    assert_eq!(rows[0]["alert.id"], listed["alerts"][0]["alert.id"]);
    assert_eq!((&rows[0]["rule.level"], &rows[0]["alert.count"]), (&json!("high"), &json!(1)));
    assert_eq!(rows[0]["user.name"], "root");
    assert_eq!(rows[0]["alert.sentence_ja"], listed["alerts"][0]["sentence"]["ja"]);
    let joined = "select a.\"alert.id\" from alerts a join events e on a.\"event.id\" = e.\"event.id\" where e.\"source.ip\" = '203.0.113.9'";
    assert_eq!(sql(&node, joined).await.len(), 1);
    let rows = sql(&node, "select * from sources").await;
    let source = &node.sources()["sources"][0];
    assert_eq!(rows.len(), 1);
    for name in ["host.name", "yagura.peer", "events", "bytes", "first", "last", "zone", "drift"] {
        assert_eq!(rows[0][name], source[name], "{name}");
    }
    assert_eq!(rows[0]["datasets"], "linux.auth");
    assert!(node.sql("select * from users").await.is_err());
    node.close().unwrap();
}
