//! `yagura rules`, as a user would run it.
use crate::common;
use common::{Server, YAGURA, rows, succeeded, yagura};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn rules(arguments: &[&str]) -> Output {
    Command::new(YAGURA)
        .arg("rules")
        .args(arguments)
        .env("LANG", "C")
        .env_remove("YAGURA_SERVER")
        .env_remove("YAGURA_DATA")
        .output()
        .unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn content() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../content/rules").to_owned()
}

fn rule(id: &str, level: &str, word: &str) -> String {
    format!(
        "title: Rule {id}\nid: {id}\nlevel: {level}\ntags: [attack.t1110]\nlogsource:\n  product: linux\n\
         detection:\n  words:\n    - '{word}'\n  condition: words\n"
    )
}

const ID: &str = "6f3a4a1e-3a35-4d4e-9d0a-0f6a9a1d2b3c";

#[test]
fn our_own_rules_are_well_written_and_pass_their_tests() {
    let checked = rules(&["check", &content(), "--strict", "--no-builtin"]);
    succeeded(&checked);
    assert_eq!(rows(&rules(&["check", &content(), "--output", "jsonl"])), [Value::Null; 0]);
    let tested = rows(&rules(&["test", &content(), "--no-builtin", "--output", "jsonl"]));
    assert!(tested.len() > 200 && tested.iter().all(|case| case["passed"] == true));
}

#[test]
fn check_and_test_end_with_one_when_something_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.yml");
    std::fs::write(&path, rule(ID, "high", "knock").replace("condition: words", "condition: word"))
        .unwrap();
    let found = rules(&["check", text(dir.path())]);
    assert_eq!(found.status.code(), Some(1));
    let said = String::from_utf8(found.stdout).unwrap();
    assert!(said.contains("r.yml:10: error[refused]: condition: there is no selection"), "{said}");

    std::fs::write(&path, rule(ID, "high", "knock")).unwrap();
    let line = "<38>Nov 21 08:59:58 web01 app[42]: nobody is there";
    let case = serde_json::json!({ "rule": ID, "match": true, "raw": line });
    std::fs::write(dir.path().join("tests.jsonl"), format!("{case}\n")).unwrap();
    let tested = rules(&["test", text(dir.path())]);
    assert_eq!(tested.status.code(), Some(1), "{tested:?}");
    std::fs::write(dir.path().join("tests.jsonl"), format!("{case}\n").replace("nobody", "knock"))
        .unwrap();
    succeeded(&rules(&["test", text(dir.path())]));
    assert_eq!(rules(&["check", "/nonexistent"]).status.code(), Some(1));
    assert_eq!(rules(&["check"]).status.code(), Some(2));
}

#[test]
fn list_names_what_is_in_use_and_why_the_rest_is_not() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("a.yml"),
        rule("a", "high", "%x%").replace("words:\n    -", "words:\n    m|expand:"),
    )
    .unwrap();
    let listed =
        rows(&rules(&["list", "--rules", text(dir.path()), "--no-builtin", "--output", "jsonl"]));
    assert_eq!(listed.len(), 1);
    assert!(listed[0]["reason"].as_str().unwrap().contains("%x%"), "{listed:?}");
    std::fs::write(dir.path().join("x.txt"), "knock\n").unwrap();
    let lists = dir.path().join("x.txt");
    let listed = rows(&rules(&[
        "list",
        "--rules",
        text(dir.path()),
        "--lists",
        text(&lists),
        "--no-builtin",
        "--output",
        "jsonl",
    ]));
    assert_eq!(listed[0]["enabled"], true, "{listed:?}");
    assert_eq!(
        rows(&rules(&["list", "--level", "critical", "--output", "jsonl"]))
            .iter()
            .filter(|rule| rule["rule.level"] != "critical")
            .count(),
        0
    );
}

#[test]
fn an_update_is_shown_asked_for_kept_and_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let (rules_dir, new) = (dir.path().join("rules"), dir.path().join("new"));
    std::fs::create_dir_all(&rules_dir).unwrap();
    std::fs::create_dir_all(&new).unwrap();
    std::fs::write(rules_dir.join("a.yml"), rule("a", "low", "knock")).unwrap();
    std::fs::write(new.join("a.yml"), rule("a", "high", "door")).unwrap();
    let base = ["update", text(&new), "--rules", text(&rules_dir)];
    std::fs::write(new.join("b.yml"), rule("b", "low", "x").replace("words\n", "nothing\n"))
        .unwrap();
    // Nobody to ask; what would not be used is named all the same, and nothing was replaced.
    let unasked = rules(&base);
    assert_eq!(unasked.status.code(), Some(2));
    let said = String::from_utf8(unasked.stdout).unwrap();
    let mut lines = said.lines().filter(|line| line.starts_with("! ") && line.contains("b.yml:"));
    assert!(lines.any(|line| line.contains("error[refused]")), "{said}");
    assert!(String::from_utf8_lossy(&unasked.stderr).contains("1 errors"), "{said}");
    assert!(!rules_dir.join("b.yml").try_exists().unwrap());
    let named = rows(&rules(&[&base[..], &["--yes", "--output", "jsonl"]].concat()));
    let refused = |row: &&serde_json::Value| row["kind"] == "problem" && row["code"] == "refused";
    let refused: Vec<_> = named.iter().filter(refused).map(|row| &row["rule.uuid"]).collect();
    assert_eq!(refused, ["b"]);
    succeeded(&rules(&["update", "--undo", "--rules", text(&rules_dir)]));
    std::fs::remove_file(new.join("b.yml")).unwrap();
    let shown = rows(&rules(&[&base[..], &["--yes", "--output", "jsonl"]].concat()));
    assert_eq!(shown[0]["level_after"], "high");
    assert_eq!(shown[0]["parts"], serde_json::json!(["detection", "level"]));
    let now = || std::fs::read_to_string(rules_dir.join("a.yml")).unwrap();
    assert_eq!(now(), rule("a", "high", "door"));
    succeeded(&rules(&["update", "--undo", "--rules", text(&rules_dir)]));
    assert_eq!(now(), rule("a", "low", "knock"));
    let history =
        rows(&rules(&["update", "--history", "--rules", text(&rules_dir), "--output", "jsonl"]));
    assert_eq!(history.len(), 4);
    assert_eq!(history[3]["from"], "undo");
}

#[test]
fn a_running_server_takes_changed_rules_by_request_and_by_signal() {
    let dir = tempfile::tempdir().unwrap();
    let rules_dir = dir.path().join("rules");
    std::fs::create_dir_all(&rules_dir).unwrap();
    let path = rules_dir.join("a.yml");
    std::fs::write(&path, rule("a", "high", "knock")).unwrap();
    let server = Server::start(&dir.path().join("data"), &["--rules", text(&rules_dir)]);
    let listed =
        || rows(&server.yagura(&["rules", "list", "--output", "jsonl", "--text", "Rule a"]));
    let before = listed()[0]["rule.digest"].clone();

    std::fs::write(&path, rule("a", "high", "door")).unwrap();
    succeeded(&server.yagura(&["rules", "reload"]));
    let after = listed()[0]["rule.digest"].clone();
    assert_ne!(before, after);
    server.send_syslog(&["<38>Nov 21 08:59:58 web01 app[42]: the door"]);
    server.wait_for("door", 1);
    let alerts = || rows(&server.yagura(&["alerts", "--output", "jsonl"]));
    let began = std::time::Instant::now();
    while alerts().is_empty() && began.elapsed().as_secs() < 20 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(alerts()[0]["rule.uuid"], "a");

    // A mistake changes nothing, and is named.
    std::fs::write(&path, "\t- [").unwrap();
    let refused = server.yagura(&["rules", "reload"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("a.yml"), "{refused:?}");
    assert_eq!(listed()[0]["rule.digest"], after);

    std::fs::write(&path, rule("a", "high", "knock")).unwrap();
    let pid = server.pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    let began = std::time::Instant::now();
    while listed()[0]["rule.digest"] != before && began.elapsed().as_secs() < 20 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(listed()[0]["rule.digest"], before);

    // What is there decides what is covered: of a server, its own rules, the tests beside them, and
    // its events.
    let tuned = rows(&server.yagura(&["rules", "tune", "--min-hits", "1", "--output", "jsonl"]));
    assert_eq!(tuned[0]["rule.uuid"], "a");
    let suggested = tuned[0]["suggestions"].as_array().unwrap();
    let begins = "yagura alerts except add --rule 'a' --entity 'host:web01' --reason ";
    let command = |one: &Value| one["command"].as_str().unwrap().starts_with(begins);
    assert!(suggested.iter().any(command), "{suggested:?}");
    let covered = || {
        let rows = rows(&server.yagura(&["rules", "coverage", "--output", "jsonl"]));
        rows.into_iter().find(|row| row["threat.technique.id"] == "T1110").unwrap()
    };
    let named = |row: &Value| row["rule.name"].as_array().unwrap().iter().any(|n| n == "Rule a");
    let untested = covered();
    assert!(named(&untested) && untested["with_data"].as_u64() > Some(0), "{untested}");
    let line = "<38>Nov 21 08:59:58 web01 app[42]: knock";
    let case = serde_json::json!({ "rule": "a", "match": true, "raw": line });
    std::fs::write(rules_dir.join("tests.jsonl"), format!("{case}\n")).unwrap();
    let tested = covered();
    assert_eq!(tested["score"], 100);
    let number = |row: &Value| row["tested"].as_u64().unwrap();
    assert_eq!(number(&tested), number(&untested) + 1);
    let other = server.yagura(&["rules", "coverage", "--rules", text(&rules_dir)]);
    assert_eq!(other.status.code(), Some(2), "local rules say nothing about a server");
    server.stop();
    let data = dir.path().join("data");
    let of = |arguments: &[&str]| {
        let found = yagura(&data, &[&["rules", "coverage", "--no-builtin"], arguments].concat());
        succeeded(&found);
        String::from_utf8(found.stdout).unwrap()
    };
    let score = |arguments: &[&str]| {
        let text = of(&[arguments, &["--output", "jsonl"]].concat());
        let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.map(|row| row["score"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(score(&["--rules", text(&path)]), [50]);
    assert_eq!(score(&["--rules", text(&rules_dir)]), [100]);
    let layer: Value =
        serde_json::from_str(&of(&["--rules", text(&path), "--output", "navigator"])).unwrap();
    assert_eq!(layer["versions"]["layer"], "4.5");
    assert!(layer["techniques"].as_array().unwrap().iter().any(|t| t["techniqueID"] == "T1110"));
}
