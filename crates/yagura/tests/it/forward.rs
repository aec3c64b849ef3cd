//! Selected events on their way to other systems: from one Yagura to another, and through kills.

use crate::broker::{Cluster, Fault, TOPIC};
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

/// A cluster beside the server that sends to it.
fn cluster(runtime: &tokio::runtime::Runtime) -> Cluster {
    runtime.block_on(Cluster::start(2, 3))
}

fn kafka(dir: &Path, cluster: &Cluster) -> PathBuf {
    let targets = format!(
        "[[forward]]\nname = 'bus'\nto = 'kafka'\nurl = '{}'\ntopic = '{TOPIC}'\nkey = 'host'\n\
         allow_private = true\nstart = 'oldest'\n",
        cluster.url()
    );
    config(dir, &targets)
}

/// The texts that a cluster has, each once.
fn texts(cluster: &Cluster) -> BTreeSet<String> {
    let state = cluster.state();
    let text = |value: &str| {
        let event: Value = serde_json::from_str(value).unwrap();
        event["event.original"].as_str().unwrap().to_owned()
    };
    state.got.iter().map(|got| text(&got.value)).collect()
}

#[test]
fn killed_while_forwarding_to_kafka_every_event_arrives() {
    /// More than one batch has.
    const EVENTS: usize = 5_000;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = cluster(&runtime);
    let dir = tempfile::tempdir().unwrap();
    let config = kafka(dir.path(), &cluster);
    let data = dir.path().join("one");
    let log = dir.path().join("a.log");
    let line = |number: usize| format!("<13>Nov 21 10:00:00 web{} demo: n{number}", number % 7);
    let lines: BTreeSet<String> = (0..EVENTS).map(line).collect();
    std::fs::write(&log, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    succeeded(&crate::common::yagura(&data, &["import", log.to_str().unwrap()]));
    for _ in 0..2 {
        // Brokers do not make it easy either.
        let faults = [Fault::CloseAfter, Fault::CloseBefore, Fault::Code(6), Fault::Code(19)];
        cluster.state().faults.extend(faults);
        let before = cluster.state().got.len();
        let one = start(&data, &config);
        wait_until("some more have arrived", || cluster.state().got.len() > before);
        one.kill();
    }
    cluster.state().faults.clear();
    let one = start(&data, &config);
    let listed = || rows(&one.yagura(&["forward", "list", "--output", "jsonl"])).remove(0);
    wait_until("everything is settled", || listed()["batches_waiting"] == 0);
    assert_eq!(texts(&cluster), lines, "each arrived at least once");
    // One host is in one partition, under its name.
    let state = cluster.state();
    let hosts: BTreeSet<(Option<String>, i32)> =
        state.got.iter().map(|got| (got.key.clone(), got.partition)).collect();
    assert_eq!(hosts.len(), 7, "{hosts:?}");
    drop(state);
    one.stop();
    let (code, said) = verify(&data);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_kafka_broker_that_is_away_is_said_and_nothing_is_lost() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut cluster = cluster(&runtime);
    runtime.block_on(async {
        cluster.stop(0).await;
        cluster.stop(1).await;
    });
    let dir = tempfile::tempdir().unwrap();
    let config = kafka(dir.path(), &cluster);
    let checked = Command::new(YAGURA).args(["config", "check"]).arg(&config).output().unwrap();
    succeeded(&checked);
    let test = || {
        let test = ["forward", "test", "bus", "--lang", "en", "--config", config.to_str().unwrap()];
        Command::new(YAGURA).args(test).output().unwrap()
    };
    assert_eq!(test().status.code(), Some(1));
    let data = dir.path().join("one");
    let one = start(&data, &config);
    let lines = ["<13>Nov 21 10:00:00 web01 demo: one", "<13>Nov 21 10:00:01 web02 demo: 二"];
    one.send_syslog(&lines);
    let listed = || rows(&one.yagura(&["forward", "list", "--output", "jsonl"])).remove(0);
    wait_until("they wait", || listed()["events_waiting"] == 2 && listed()["failures"] != 0);
    let waiting = listed();
    assert_eq!((&waiting["sent"], &waiting["to"]), (&0.into(), &"kafka".into()));
    assert!(waiting["last_error"].as_str().unwrap().contains("refused"), "{waiting}");
    assert!(waiting["receiver"].as_str().unwrap().ends_with("/logs"), "{waiting}");
    one.wait_for("*", 2);

    runtime.block_on(async {
        cluster.start_again(0).await;
        cluster.start_again(1).await;
    });
    wait_until("they are sent", || listed()["batches_waiting"] == 0);
    assert_eq!((&listed()["sent"], &listed()["last_error"].is_null()), (&2.into(), &false));
    assert_eq!(texts(&cluster), lines.map(str::to_owned).into());
    assert_eq!(cluster.state().got.len(), 2, "each once");
    succeeded(&test());
    one.stop();
    let (code, said) = verify(&data);
    assert_eq!(code, 0, "{said}");
}
