//! Events that are enriched on their way: searched and matched by what was added, while databases and
//! inventories change, break and come back.

use crate::databases;
use futures::StreamExt;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use yagura_enrich::{Kind, Settings};
use yagura_event::{Clock, Lang, ManualClock, Record, StreamName, Transport, UtcMicros};
use yagura_intake::import::ImportSink;
use yagura_node::{
    AlertQuery, DataDir, INVENTORY_SHOWN_MAX, Node, NodeError, NodeOptions, ReprocessRequest,
    VerifyScope, verify_dir,
};

fn now() -> UtcMicros {
    "2026-11-22T02:04:00Z".parse().unwrap()
}

fn open(dir: &Path, enrich: Option<&Settings>) -> Result<Arc<Node>, NodeError> {
    let options = NodeOptions {
        builtin_rules: false,
        rule_dirs: vec![dir.join("rules")],
        enrich: enrich.cloned(),
        ..NodeOptions::default()
    };
    let data = DataDir::new(dir.join("data"));
    Node::open(data, options, Arc::new(ManualClock::at(now()))).map(Arc::new)
}

/// Writes as updaters do: whole at every moment.
fn write(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    std::fs::create_dir_all(dir.join("rules")).unwrap();
    std::fs::write(dir.join("new"), bytes).unwrap();
    std::fs::rename(dir.join("new"), dir.join(name)).unwrap();
}

/// A logon that fails, to a host, by a user, from an address.
fn send(node: &Node, host: &str, user: &str, address: &str) {
    let stream = StreamName::new("syslog").unwrap();
    let line = format!(
        "<38>Nov 22 02:04:00 {host} sshd[7]: Failed password for {user} from {address} port 22 ssh2"
    );
    let record = Record {
        received: now(),
        transport: Transport::SyslogTcp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: line.into_bytes().into(),
    };
    node.sink().append(&stream, vec![record]).unwrap();
}

async fn count(node: &Arc<Node>, column: &str, value: &str) -> i64 {
    node.flush().unwrap();
    let asked = format!("select count(*) as n from events where \"{column}\" = '{value}'");
    // A column that no event has had is not there yet.
    node.sql(&asked).await.map_or(0, |page| page.rows[0]["n"].as_i64().unwrap())
}

fn verified(dir: &Path) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(now()));
    let report =
        verify_dir(&DataDir::new(dir.join("data")), &VerifyScope::default(), &clock).unwrap();
    assert!(report.ok, "{}", serde_json::to_string_pretty(&report).unwrap());
}

const RULE: &str = "\
title: A guess at a critical machine from the Netherlands
id: 7d0f6a52-1111-4c3f-9d3f-1e7a3c0b9a11
level: high
logsource:
  product: linux
detection:
  where:
    source.geo.country_iso_code: NL
    host.asset.criticality: critical
    user.department: Accounting
  condition: where
";

fn settings(dir: &Path) -> Settings {
    let path = |name: &str| dir.join(name).display().to_string();
    let text = format!(
        "[geo]\ncity = {:?}\nnames = 'ja'\n[inventory]\nassets = [{:?}]\n\
         [[network]]\nname = 'Head office'\ncidr = ['10.1.0.0/16']\n",
        path("city.mmdb"),
        path("assets.csv"),
    );
    toml::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_and_rules_fire_by_what_was_added() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    write(dir, "city.mmdb", databases::cities());
    write(dir, "assets.csv", "name,criticality\ndc01,critical\n");
    write(dir, "rules/rule.yml", RULE);
    let settings = settings(dir);
    let node = open(dir, Some(&settings)).unwrap();
    send(&node, "dc01", "alice", "203.0.113.1");
    send(&node, "dc01", "alice", "10.1.2.3");
    assert_eq!(count(&node, "source.geo.country_iso_code", "NL").await, 1);
    assert_eq!(count(&node, "source.geo.country_name", "オランダ").await, 1);
    let asked = "source.geo.country_iso_code:NL".to_owned();
    let asked = yagura_node::SearchQuery { query: asked, ..Default::default() };
    let found = node.search(&asked).await.unwrap().next().await.unwrap().unwrap();
    assert_eq!(found["fields"]["source.geo.country_name"], "オランダ", "{found:?}");
    assert_eq!(count(&node, "source.network.name", "Head office").await, 1);
    assert_eq!(count(&node, "host.asset.criticality", "critical").await, 2);
    assert_eq!(count(&node, "user.department", "Accounting").await, 0);
    assert_eq!(node.alerts(&AlertQuery::default())["alerts"], json!([]));

    // A list that somebody sets is in use for the next event.
    let set = node.set_inventory(Kind::Users, "staff.csv", USERS, "tanaka").unwrap();
    assert_eq!((&set["inventory.rows"], &set["user.name"]), (&json!(2), &json!("tanaka")));
    send(&node, "dc01.corp.example", "Alice", "203.0.113.1");
    send(&node, "ws7", "alice", "203.0.113.1");
    assert_eq!(count(&node, "user.department", "Accounting").await, 2);
    let alerts = node.alerts(&AlertQuery::default());
    assert_eq!(alerts["alerts"].as_array().unwrap().len(), 1, "{alerts:#}");
    assert_eq!(alerts["alerts"][0]["count"], 1);

    // What is stored gets it when it is read again.
    let all = ReprocessRequest { all: true, ..ReprocessRequest::default() };
    node.reprocess(&all, "tanaka").unwrap();
    while node.reprocessing()["running"] == true {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(node.reprocessing()["error"], Value::Null);
    assert_eq!(count(&node, "user.department", "Accounting").await, 4);

    // Another list takes its place, and nothing of the first is kept.
    let next = node.set_inventory(Kind::Users, "staff.csv", b"name\nbob\n", "tanaka").unwrap();
    let inventory = dir.join("data/inventory");
    let files: Vec<_> = std::fs::read_dir(&inventory).unwrap().flatten().collect();
    assert_eq!(files.len(), 1);
    assert!(next["file.path"].as_str().unwrap().ends_with(files[0].file_name().to_str().unwrap()));
    node.set_inventory(Kind::Users, "staff.csv", USERS, "tanaka").unwrap();
    node.close().unwrap();
    drop(node);
    verified(dir);

    // A command that only opens the directory knows what the server was told.
    let node = open(dir, None).unwrap();
    node.ready().await;
    let state = node.enrichment();
    assert_eq!(
        (&state["users"], &state["assets"], &state["networks"]),
        (&json!(2), &json!(1), &json!(1))
    );
    let shown = node.inventory(Kind::Users, 1, None);
    assert_eq!(shown["rows"], json!([{ "user.name": "bob", "user.full_name": "Bob Baker" }]));
    send(&node, "dc01", "alice", "203.0.113.1");
    assert_eq!(count(&node, "user.department", "Accounting").await, 5);
    node.close().unwrap();
    drop(node);

    // Changed behind the log's back it is not in use, and named.
    let path = std::fs::read_dir(&inventory).unwrap().flatten().next().unwrap().path();
    std::fs::write(&path, "name,privileged\nmallory,no\n").unwrap();
    let node = open(dir, None).unwrap();
    node.ready().await;
    let state = node.enrichment();
    assert_eq!(state["users"], Value::Null);
    assert!(
        state["errors"][0]["en"].as_str().unwrap().contains("set the inventory again"),
        "{state}"
    );
    assert!(state["errors"][0]["ja"].as_str().unwrap().contains("登録し直してください"), "{state}");
    node.close().unwrap();
    drop(node);
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(now()));
    let report =
        verify_dir(&DataDir::new(dir.join("data")), &VerifyScope::default(), &clock).unwrap();
    assert!(report.findings.iter().any(|finding| finding.place.contains("inventory/")));
}

fn wrong_files(node: &Node) -> Vec<&'static str> {
    let state = node.enrichment();
    let errors = state["errors"].as_array().unwrap().iter();
    let name = |error: &Value| {
        let known = ["city.mmdb", "assets.csv"].into_iter();
        known.clone().find(|name| error["en"].as_str().unwrap().contains(name)).unwrap()
    };
    errors.map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_not_used() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    write(dir, "city.mmdb", databases::cities());
    write(dir, "assets.csv", "name\na\n");
    let node = open(dir, Some(&settings(dir))).unwrap();
    // The audit log takes nothing any more.
    node.close().unwrap();
    write(dir, "assets.csv", "name\na\nb\n");
    for _ in 0..2 {
        assert!(node.refresh_enrichment(false, "yagura serve", "change").is_err());
        assert_eq!(node.enrichment()["assets"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_list_that_cannot_be_removed_goes_later() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    std::fs::create_dir(dir.join("rules")).unwrap();
    let node = open(dir, Some(&Settings::default())).unwrap();
    let set = |csv: &[u8]| {
        let set = node.set_inventory(Kind::Users, "x.csv", csv, "tanaka").unwrap();
        dir.join("data").join(set["file.path"].as_str().unwrap())
    };
    let first = set(USERS);
    let in_the_way = first.with_extension("csv.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let second = set(b"name\nbob\n");
    assert!(first.try_exists().unwrap() && second.try_exists().unwrap());
    assert_eq!(node.enrichment()["users"], 1, "the new list is in use all the same");
    std::fs::remove_dir(&in_the_way).unwrap();
    let mut many = b"name\n".to_vec();
    (0..=INVENTORY_SHOWN_MAX).for_each(|n| many.extend_from_slice(format!("u{n}\n").as_bytes()));
    let third = set(&many);
    assert!(
        !first.try_exists().unwrap()
            && !second.try_exists().unwrap()
            && third.try_exists().unwrap()
    );
    let shown = |limit| node.inventory(Kind::Users, 0, limit)["rows"].as_array().unwrap().len();
    for (asked, most) in [
        (None, 0),
        (Some(INVENTORY_SHOWN_MAX), 0),
        (Some(INVENTORY_SHOWN_MAX + 1), 0),
        (Some(INVENTORY_SHOWN_MAX - 1), 1),
    ] {
        assert_eq!(shown(asked), INVENTORY_SHOWN_MAX - most);
    }
    node.close().unwrap();
    drop(node);
    verified(dir);

    // A file of the list in use that a crash left unnamed has its name again.
    std::fs::rename(&third, third.with_extension("csv.new")).unwrap();
    let node = open(dir, None).unwrap();
    assert_eq!(node.enrichment()["users"], INVENTORY_SHOWN_MAX + 1);
    node.close().unwrap();
    drop(node);
    verified(dir);
}

const USERS: &[u8] = b"name,full_name,department\nalice,,Accounting\nbob,Bob Baker,\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_stays_in_use_as_it_was_and_receiving_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let cities = databases::cities();
    write(dir, "city.mmdb", &cities);
    write(dir, "assets.csv", "name,criticality\ndc01,low\n");
    let settings = settings(dir);
    let node = open(dir, Some(&settings)).unwrap();
    assert!(!node.refresh_enrichment(false, "yagura serve", "change").unwrap());
    write(dir, "city.mmdb", &cities[..cities.len() / 2]);
    write(dir, "assets.csv", "name,criticality\ndc01,high\n");
    assert!(node.refresh_enrichment(false, "yagura serve", "change").unwrap());
    let state = node.enrichment();
    assert!(state["errors"][0]["ja"].as_str().unwrap().contains("city.mmdb"), "{state:#}");
    send(&node, "dc01", "alice", "203.0.113.1");
    assert_eq!(count(&node, "source.geo.country_iso_code", "NL").await, 1);
    assert_eq!(count(&node, "host.asset.criticality", "high").await, 1);

    write(dir, "assets.csv", "name,criticality\ndc01,9\n");
    assert!(!node.refresh_enrichment(false, "yagura serve", "change").unwrap());
    // Whatever else changes, what is wrong is told until it is mended.
    node.set_inventory(Kind::Users, "x.csv", b"name\na\n", "tanaka").unwrap();
    assert_eq!(wrong_files(&node), ["city.mmdb", "assets.csv"]);
    write(dir, "city.mmdb", databases::database("Test-City", &[]));
    assert!(node.refresh_enrichment(false, "yagura serve", "change").unwrap());
    assert_eq!(wrong_files(&node), ["assets.csv"]);
    send(&node, "dc01", "alice", "203.0.113.1");
    assert_eq!(count(&node, "source.geo.country_iso_code", "NL").await, 1);
    assert_eq!(count(&node, "host.asset.criticality", "high").await, 2);

    // The configuration has the list of assets; nobody else sets it.
    let refused = node.set_inventory(Kind::Assets, "x", b"name\na\n", "tanaka").unwrap_err();
    assert!(refused.to_string().contains("enrich.inventory.assets"), "{refused}");
    let wrong = node.set_inventory(Kind::Users, "x.csv", b"name,privileged\na,7\n", "tanaka");
    let NodeError::Request { message, message_ja, .. } = wrong.unwrap_err() else { panic!() };
    assert!(message.contains("x.csv: line 2, column \"privileged\""), "{message}");
    assert!(message_ja.contains("2行目"), "{message_ja}");
    node.close().unwrap();
    drop(node);
    verified(dir);

    // A start with a file that cannot be used says so; a command that only looks goes on without it.
    let refused = open(dir, Some(&settings)).err().unwrap();
    assert!(refused.to_string().contains("assets.csv: line 2"), "{refused}");
    let node = open(dir, None).unwrap();
    node.ready().await;
    assert_eq!(node.enrichment()["assets"], Value::Null);
    assert_eq!(count(&node, "host.asset.criticality", "high").await, 2);
    node.close().unwrap();
    drop(node);

    // What is taken out of the configuration is no longer in use.
    let nothing = Settings::default();
    let node = open(dir, Some(&nothing)).unwrap();
    node.ready().await;
    let state = node.enrichment();
    assert_eq!(state["notice"]["en"], yagura_enrich::no_geo(Lang::En));
    send(&node, "dc01", "alice", "203.0.113.1");
    assert_eq!(count(&node, "host.name", "dc01").await, 3);
    assert_eq!(count(&node, "host.asset.criticality", "high").await, 2);
    node.close().unwrap();
    drop(node);
    let node = open(dir, None).unwrap();
    assert_eq!(node.enrichment()["networks"], 0);
    node.close().unwrap();
}
