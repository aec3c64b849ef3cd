//! Selected events on their way to other systems: from one Yagura to another, and through kills.

use crate::common::{Server, YAGURA, rows, succeeded, verify, wait_until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn config(dir: &Path, targets: &str) -> PathBuf {
    let path = dir.join("yagura.toml");
    std::fs::write(&path, targets).unwrap();
    path
}

fn start(data: &Path, config: &Path) -> Server {
    Server::start(data, &["--config", config.to_str().unwrap()])
}

/// The values of a column of what a search finds.
fn found(server: &Server, expression: &str, column: &str) -> Vec<String> {
    let search = ["search", expression, "--limit", "0", "--output", "jsonl"];
    let rows = rows(&server.yagura(&search));
    rows.iter().filter_map(|row| row[column].as_str().map(str::to_owned)).collect()
}

#[test]
fn one_yagura_forwards_to_another_by_bulk_and_by_syslog() {
    let dir = tempfile::tempdir().unwrap();
    let other = Server::start(&dir.path().join("other"), &[]);
    let targets = format!(
        "[[forward]]\nname = 'bulk'\nto = 'elasticsearch'\nurl = '{}'\nallow_private = true\n\
         filter = 'event.category:authentication'\n\n\
         [[forward]]\nname = 'lines'\nto = 'syslog'\nurl = 'tcp://{}'\nallow_private = true\n\
         send = 'raw'\n",
        other.http, other.syslog_tcp
    );
    let config = config(dir.path(), &targets);
    let checked = Command::new(YAGURA).args(["config", "check"]).arg(&config).output().unwrap();
    succeeded(&checked);
    let test = ["forward", "test", "bulk", "--config", config.to_str().unwrap()];
    succeeded(&Command::new(YAGURA).args(test).output().unwrap());
    other.wait_for("message:\"yagura forward test\"", 1);

    let data = dir.path().join("one");
    let one = start(&data, &config);
    let lines = [
        "<86>Nov 21 10:00:00 web01 sshd[811]: Failed password for root from 203.0.113.9 port 50022 ssh2",
        "<86>Nov 21 10:00:01 web01 sshd[812]: Accepted password for tanaka from 192.0.2.61 port 50023 ssh2",
        "<13>Nov 21 10:00:02 web01 demo: 温度は 21 度です",
    ];
    one.send_syslog(&lines);
    // Sealed after ten seconds at the latest.
    other.wait_for("yagura.transport:syslog-tcp", 3);
    other.wait_for("yagura.transport:elastic-bulk and host.name:web01", 2);
    let raw: BTreeSet<String> =
        found(&other, "yagura.transport:syslog-tcp", "event.original").into_iter().collect();
    assert_eq!(raw, lines.into_iter().map(str::to_owned).collect());
    let users: BTreeSet<String> =
        found(&other, "yagura.transport:elastic-bulk and host.name:web01", "user.name")
            .into_iter()
            .collect();
    assert_eq!(users, ["root", "tanaka"].map(str::to_owned).into());

    let listed = || rows(&one.yagura(&["forward", "list", "--output", "jsonl"]));
    wait_until("both targets have come to the end", || {
        listed().iter().all(|target| target["batches_waiting"] == 0)
    });
    let sent: Vec<Value> = listed().iter().map(|target| target["sent"].clone()).collect();
    assert_eq!(sent, [2, 3]);
    one.stop();
    let (code, said) = verify(&data);
    assert_eq!(code, 0, "{said}");

    // Nothing is sent again after a restart, and a changed place is found.
    let one = start(&data, &config);
    one.send_syslog(&["<13>Nov 21 10:00:03 web01 demo: last"]);
    other.wait_for("yagura.transport:syslog-tcp and last", 1);
    assert_eq!(found(&other, "yagura.transport:syslog-tcp", "event.id").len(), 4);
    one.stop();
    let state = data.join("forward/state");
    let mut bytes = std::fs::read(&state).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(&state, bytes).unwrap();
    let (code, said) = verify(&data);
    assert_eq!(code, 1);
    assert!(said.contains("forward/state"), "{said}");
}

#[test]
fn killed_while_forwarding_every_event_arrives() {
    /// More than one batch has.
    const EVENTS: usize = 5_000;
    let dir = tempfile::tempdir().unwrap();
    let other = Server::start(&dir.path().join("other"), &[]);
    let targets = format!(
        "[[forward]]\nname = 'bulk'\nto = 'elasticsearch'\nurl = '{}'\nallow_private = true\n\
         send = 'raw'\nstart = 'oldest'\n",
        other.http
    );
    let config = config(dir.path(), &targets);
    let data = dir.path().join("one");
    let log = dir.path().join("a.log");
    let lines: String =
        (0..EVENTS).map(|number| format!("<13>Nov 21 10:00:00 web01 demo: n{number}\n")).collect();
    std::fs::write(&log, lines).unwrap();
    succeeded(&crate::common::yagura(&data, &["import", log.to_str().unwrap()]));
    let count = || {
        let sql = "select count(*) as n from events";
        rows(&other.yagura(&["sql", sql, "--output", "jsonl"])).remove(0)["n"].as_u64().unwrap()
    };
    for _ in 0..2 {
        let one = start(&data, &config);
        let before = count();
        wait_until("some more have arrived", || count() > before);
        one.kill();
    }
    let one = start(&data, &config);
    let listed = || rows(&one.yagura(&["forward", "list", "--output", "jsonl"])).remove(0);
    wait_until("everything is settled", || listed()["batches_waiting"] == 0);
    let numbers: BTreeSet<String> = found(&other, "*", "event.original")
        .iter()
        .map(|text| serde_json::from_str::<Value>(text).unwrap())
        .map(|document| document["event.original"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(numbers.len(), EVENTS, "each arrived at least once");
}

#[test]
fn a_directory_is_sent_without_a_server_and_a_receiver_that_is_away_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("one");
    let log = dir.path().join("a.log");
    std::fs::write(
        &log,
        "<13>Nov 21 10:00:00 web01 demo: one\n<13>Nov 21 10:00:01 web01 demo: two\n",
    )
    .unwrap();
    succeeded(&crate::common::yagura(&data, &["import", log.to_str().unwrap()]));
    let target = |url: &str| {
        format!(
            "[[forward]]\nname = 'bulk'\nto = 'elasticsearch'\nurl = '{url}'\nallow_private = true\n\
             start = 'oldest'\n"
        )
    };
    let config = config(dir.path(), &target("http://127.0.0.1:1"));
    let run = |lang: &str| {
        let run = ["forward", "run", "--lang", lang, "--config", config.to_str().unwrap()];
        crate::common::yagura(&data, &run)
    };
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let away = run("en");
    assert_eq!(away.status.code(), Some(1), "{}", said(&away));
    assert!(said(&away).contains("bulk: gave up for now"), "{}", said(&away));

    let other = Server::start(&dir.path().join("other"), &[]);
    std::fs::write(&config, target(&other.http)).unwrap();
    for _ in 0..2 {
        let sent = run("ja");
        assert_eq!(sent.status.code(), Some(0), "{}", said(&sent));
        assert!(said(&sent).contains("累計 2 件を転送"), "{}", said(&sent));
    }
    other.wait_for("host.name:web01", 2);
}
