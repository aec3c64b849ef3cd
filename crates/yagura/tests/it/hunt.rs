//! `yagura hunt` against a server and a directory, and the API beneath it.
use crate::common;
use common::{Server, http_address, http_raw, rows, succeeded, wait_until, yagura};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

const LINES: [&str; 3] = [
    "<38>1 2026-11-20T01:00:00Z web01 sshd 42 - - Failed password for root from 203.0.113.9 port 50022 ssh2",
    "<38>1 2026-11-20T01:00:01Z web01 sshd 42 - - Failed password for root from 203.0.113.9 port 50023 ssh2",
    "<38>1 2026-11-20T01:00:02Z web01 sshd 43 - - Failed password for root from 198.51.100.7 port 1 ssh2",
];

/// SSH password refused: one of our own rules.
const REFUSED: &str = "20bc919f-1e47-4f08-8423-f4c8fc449daa";

/// It adds up numbers of a field that holds none.
const UNCOUNTABLE: &str = "
title: Failed password
name: failed
logsource: { product: linux, service: sshd }
detection:
  selection: { message|startswith: 'Failed password' }
  condition: selection
---
title: Sum of users
id: sum-of-users
x-yagura: { title_ja: 利用者の合計 }
correlation:
  type: value_sum
  rules: [failed]
  timespan: 5m
  condition: { field: user.name, gte: 2 }
level: high
";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn api(server: &Server, path: &str) -> Value {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        http_address(server)
    );
    let answer = String::from_utf8(http_raw(server, &[head.as_bytes()])).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_hunt_is_estimated_told_listed_and_shown_on_a_server_and_on_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let list = dir.path().join("iocs.txt");
    std::fs::write(&list, "203.0.113[.]9 # scanner\nevil.example\n").unwrap();
    let uncountable = dir.path().join("uncountable.yml");
    std::fs::write(&uncountable, UNCOUNTABLE).unwrap();
    let server = Server::start(&data, &[]);
    server.send_syslog(&LINES);
    server.wait_for("*", LINES.len());
    let hunt =
        |arguments: &[&str]| server.yagura(&[&["hunt"], arguments, &["--lang", "en"]].concat());

    let estimate = hunt(&["--indicators", text(&list), "--estimate"]);
    succeeded(&estimate);
    let said = told(&estimate);
    assert!(said.starts_with("0 rules, 2 indicators: 3 events to look at, "), "{said}");
    assert!(said.contains(" of 0 files; 0 events cannot hold it. About "), "{said}");
    assert!(estimate.stdout.is_empty());
    let none = hunt(&["list", "--output", "jsonl"]);
    assert!(rows(&none).is_empty(), "an estimate is no hunt");

    let why = "Was the scanner here?";
    let found =
        hunt(&["--indicators", text(&list), "--hypothesis", why, "--output", "jsonl", "--quiet"]);
    let matches = rows(&found);
    let mut keys: Vec<_> = matches[0].as_object().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            "@timestamp",
            "event.dataset",
            "event.id",
            "host.name",
            "hunt.field",
            "hunt.id",
            "hunt.value",
            "message",
            "rule.name",
            "rule.uuid",
        ]
    );
    let ids: Vec<_> = matches.iter().map(|one| one["event.id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(matches[0]["hunt.value"], "203.0.113.9");
    assert_eq!(matches[0]["hunt.id"], "H-000001");
    assert!(told(&found).contains("H-000001 done: 2 matches in 3 events"), "{}", told(&found));

    // By the id of a rule that is loaded; nothing found is a result, too.
    let by_rule = hunt(&["--rule", REFUSED, "--output", "jsonl", "--quiet"]);
    assert_eq!(rows(&by_rule).len(), 3);
    let nothing = hunt(&["--rule", REFUSED, "--last", "1m", "--quiet"]);
    succeeded(&nothing);
    assert!(told(&nothing).contains("done: nothing found in 3 events"), "{}", told(&nothing));

    // What could not be counted, in the language of whoever asks.
    let gaps = server.yagura(&["hunt", "--rules", text(&uncountable), "--quiet", "--lang", "ja"]);
    assert_eq!(code(&gaps), Some(1), "{}", told(&gaps));
    assert!(told(&gaps).contains("「利用者の合計」：数値を集計する相関ルール"), "{}", told(&gaps));

    for (wrong, reason) in [
        (vec![], "say what to hunt for"),
        (vec!["--rule", "a"], "no rule with the id a is loaded"),
        (vec!["--indicators", text(&list), "--last", "soon"], "soon"),
        (vec!["show", "H-9"], "there is no hunt H-9"),
        (vec!["cancel", "H-1"], "has ended already"),
        (vec!["restart", "H-1"], "was not interrupted"),
    ] {
        let refused = hunt(&wrong);
        assert_eq!(code(&refused), Some(2), "{wrong:?}: {}", told(&refused));
        assert!(told(&refused).contains(reason), "{wrong:?}: {}", told(&refused));
    }
    let unreadable = hunt(&["--indicators", "/nonexistent"]);
    assert_eq!(code(&unreadable), Some(1), "{}", told(&unreadable));

    let listed = rows(&hunt(&["list", "--output", "jsonl"]));
    let states: Vec<_> = listed.iter().map(|one| one["hunt.state"].as_str().unwrap()).collect();
    assert_eq!(states, ["gaps", "done", "done", "done"], "newest first");
    let shown = hunt(&["show", "H-1", "--output", "jsonl"]);
    assert_eq!(rows(&shown), matches);
    let people = hunt(&["show", "H-1"]);
    let said = String::from_utf8(people.stdout).unwrap();
    assert!(said.contains(why) && said.contains("sha256:") && said.contains("×2"), "{said}");
    let asked = hunt(&["show", "H-1", "--query"]);
    succeeded(&asked);
    let asked: Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(asked["request"]["hypothesis"], why);
    assert_eq!(asked["request"]["indicators"][0]["name"], "iocs.txt");

    let there = api(&server, "/api/v1/hunts?limit=1");
    assert_eq!((&there["total"], &there["hunts"][0]["hunt.id"]), (&json!(4), &json!("H-000004")));
    let one = api(&server, "/api/v1/hunts/H-000001?offset=1&limit=5");
    assert_eq!((&one["hunt.state"], &one["hunt.matches_total"]), (&json!("done"), &json!(2)));
    assert_eq!(one["hunt.matches"].as_array().unwrap().len(), 1);
    assert_eq!(api(&server, "/api/v1/hunts/H-000001/query")["hunt.query"], asked);
    let missing = api(&server, "/api/v1/hunts/H-000009")["error"]["message"].clone();
    assert_eq!(missing, "there is no hunt H-000009");

    server.stop();
    let local = |arguments: &[&str]| yagura(&data, &[&["hunt"], arguments].concat());
    assert_eq!(rows(&local(&["show", "H-000001", "--output", "jsonl", "--lang", "en"])), matches);
    let again =
        local(&["--indicators", text(&list), "--output", "jsonl", "--quiet", "--lang", "en"]);
    let again: Vec<_> = rows(&again).iter().map(|one| one["event.id"].clone()).collect();
    assert_eq!(again, ids, "now from a file");
    assert_eq!(code(&local(&["cancel", "H-5"])), Some(2));
}

#[test]
fn indicators_that_are_added_are_hunted_backwards_and_found_as_events_come() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let list = dir.path().join("isac.txt");
    std::fs::write(&list, "203.0.113.9\nevil.example\n").unwrap();
    let server = Server::start(&data, &[]);
    server.send_syslog(&LINES[..1]);
    server.wait_for("*", 1);
    let hunt =
        |arguments: &[&str]| server.yagura(&[&["hunt"], arguments, &["--lang", "en"]].concat());
    let added = hunt(&["indicators", "add", text(&list), "--source", "isac", "--quiet"]);
    succeeded(&added);
    assert!(told(&added).contains("H-000001 done: 1 matches in 1 events"), "{}", told(&added));
    let listed = rows(&hunt(&["list", "--output", "jsonl"]));
    assert_eq!(
        (&listed[0]["hunt.automatic"], &listed[0]["hunt.indicators"]),
        (&json!(true), &json!(2))
    );
    let said = |lang: &str| {
        let listed = server.yagura(&["hunt", "list", "--lang", lang]);
        String::from_utf8(listed.stdout).unwrap()
    };
    assert!(said("en").contains("    2 new indicators of isac.txt\n"), "{}", said("en"));
    assert!(said("ja").contains("    新しい侵害指標 2件: isac.txt\n"), "{}", said("ja"));

    let in_use = rows(&hunt(&["indicators", "list", "--output", "jsonl"]));
    assert_eq!(in_use.len(), 2);
    assert_eq!(in_use[0]["threat.indicator.provider"], "isac");
    assert_eq!(api(&server, "/api/v1/indicators?kind=domain")["total"], 1);

    server.send_syslog(&LINES[1..]);
    let named = || {
        let alerts = rows(&server.yagura(&["alerts", "--output", "jsonl"]));
        alerts.iter().any(|alert| alert["rule.name"].as_str().unwrap().contains("203.0.113.9"))
    };
    wait_until("an alert of the indicator", named);

    let removed = hunt(&["indicators", "remove", "evil[.]example"]);
    succeeded(&removed);
    assert!(told(&removed).contains("1 indicators removed, 1 left"), "{}", told(&removed));
    assert_eq!(code(&hunt(&["indicators", "remove", "evil.example"])), Some(2), "it is gone");

    let feeds = hunt(&["feed", "list", "--output", "jsonl"]);
    assert!(rows(&feeds).is_empty());
    assert_eq!(api(&server, "/api/v1/feeds"), json!({ "feeds": [] }));
    let nobody = hunt(&["feed", "add", "http://127.0.0.1:9/", "--collection", "c"]);
    assert_eq!(code(&nobody), Some(2));
    assert!(told(&nobody).contains("cannot be reached"), "{}", told(&nobody));
    assert_eq!(code(&hunt(&["feed", "pull", "isac"])), Some(2));

    server.stop();
    std::fs::write(&list, "198.51.100.7\n").unwrap();
    let added = yagura(
        &data,
        &["hunt", "indicators", "add", text(&list), "--quiet", "--raise", "--lang", "en"],
    );
    succeeded(&added);
    assert!(told(&added).contains("H-000002 done: 1 matches in 3 events"), "{}", told(&added));
    assert!(told(&added).contains("1 alerts raised"), "{}", told(&added));
}
