//! Answers as files, and who took them.

use crate::common::{Server, http_address, http_raw, succeeded, wait_until, yagura};
use serde_json::Value;
use std::path::Path;

const LINES: [&str; 3] = [
    "<86>Nov 21 10:00:00 web01 sshd[811]: Failed password for invalid user =cmd from 203.0.113.9 port 50022 ssh2",
    "<86>Nov 21 10:00:01 web01 sshd[812]: Accepted password for tanaka from 192.0.2.61 port 50023 ssh2",
    "<13>Nov 21 10:00:02 web01 demo: 温度は 21 度です",
];

/// What the audit log says of exports, in order.
fn exports(data: &Path) -> Vec<Value> {
    let mut entries = Vec::new();
    for run in yagura_journal::read_segments(&data.join("audit")).unwrap() {
        for record in run.unwrap().records {
            let entry: Value = serde_json::from_slice(&record.bytes).unwrap();
            let action = entry["event.action"].as_str().unwrap_or_default().to_owned();
            entries.extend(action.starts_with("export.").then_some(entry));
        }
    }
    entries
}

fn get(server: &Server, path: &str) -> (String, Vec<u8>) {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        http_address(server)
    );
    let answer = http_raw(server, &[head.as_bytes()]);
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    (head, answer[end + 4..].to_vec())
}

#[test]
fn an_answer_is_a_file_in_each_format_and_its_taking_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data, &[]);
    server.send_syslog(&LINES);
    server.wait_for("host.name:web01", 3);

    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let out = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let (csv, jsonl, ocsf, parquet) =
        (at("e.csv"), at("e.jsonl"), at("e.ocsf.jsonl"), at("e.parquet"));
    let columns = ["--columns", "user.name,source.port"];
    let search = ["search", "event.dataset:linux.auth"];
    succeeded(&server.yagura(&[&search[..], &["--out", &csv], &columns].concat()));
    let mut lines: Vec<String> = out("e.csv").split("\r\n").map(str::to_owned).collect();
    lines[1..].sort();
    assert_eq!(lines, ["user.name,source.port", "", "'=cmd,50022", "tanaka,50023"]);
    succeeded(&server.yagura(&["search", "--out", &jsonl]));
    let kept: Vec<Value> =
        out("e.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kept.len(), 3);
    assert!(kept.iter().any(|row| row["event.original"] == LINES[2]));
    succeeded(&server.yagura(&[&search[..], &["--out", &ocsf]].concat()));
    for line in out("e.ocsf.jsonl").lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&event["class_uid"], &event["metadata"]["version"]),
            (&3002.into(), &"1.6.0".into())
        );
    }
    assert_eq!(out("e.ocsf.jsonl").lines().count(), 2);
    succeeded(&server.yagura(&["search", "--out", &parquet]));
    let file = std::fs::read(&parquet).unwrap();
    assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));
    let hosts = at("h.csv");
    let statement = "select \"host.name\" as h, count(*) as n from events group by 1";
    succeeded(&server.yagura(&["sql", statement, "--out", &hosts]));
    assert_eq!(out("h.csv"), "h,n\r\nweb01,3\r\n");
    let acts = at("a.jsonl");
    succeeded(&server.yagura(&["acts", "--out", &acts]));
    assert!(out("a.jsonl").lines().all(|line| line.contains("\"act.kind\"")));

    let (head, body) = get(&server, "/api/v1/search?query=tanaka&format=csv&columns=user.name");
    assert!(head.contains("content-disposition: attachment; filename=\"yagura-20"), "{head}");
    assert!(head.contains(".csv\"") && head.contains("text/csv"), "{head}");
    assert!(String::from_utf8_lossy(&body).contains("user.name\r\ntanaka\r\n"));
    let (head, _) = get(&server, "/api/v1/search?query=&format=xlsx");
    assert!(head.starts_with("http/1.1 400"), "{head}");
    let counted = "/api/v1/search?query=%7C%20stats%20count()&format=ocsf";
    assert!(get(&server, counted).0.starts_with("http/1.1 400"));

    server.stop();
    let recorded = exports(&data);
    let begun: Vec<&Value> =
        recorded.iter().filter(|entry| entry["event.action"] == "export.begun").collect();
    let ended: Vec<&Value> =
        recorded.iter().filter(|entry| entry["event.action"] == "export.ended").collect();
    assert_eq!((begun.len(), ended.len()), (7, 7));
    assert!(ended.iter().all(|entry| entry["event.outcome"] == "success"));
    assert_eq!(begun[0]["user.name"], "local");
    assert_eq!(begun[0]["export.of"]["query"], "event.dataset:linux.auth");
    let counted: Vec<_> =
        ended.iter().map(|entry| entry["export.rows"].as_u64().unwrap()).collect();
    assert_eq!(&counted[..5], [2, 3, 2, 3, 1]);
    assert_eq!(counted[6], 1);
    let (code, said) = crate::common::verify(&data);
    assert_eq!(code, 0, "{said}");

    // The same from the directory itself.
    let local = at("local.jsonl");
    succeeded(&yagura(&data, &["search", "--out", &local]));
    assert_eq!(out("local.jsonl").lines().count(), 3);
    assert_eq!(exports(&data).len(), 16);
}

#[test]
fn what_is_no_export_is_said_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = dir.path().join("a.log");
    std::fs::write(&log, LINES.join("\n")).unwrap();
    succeeded(&yagura(&data, &["import", log.to_str().unwrap()]));
    let out = dir.path().join("x.parquet");
    let named = out.to_str().unwrap();
    for wrong in [
        &["search", "--output", "parquet"][..],
        &["search", "--output", "table", "--out", named],
        &["search", "--out", "x.docx"],
        &["search", "| stats count()", "--output", "ocsf", "--out", named],
        &["search", "-f", "--output", "ocsf", "--server", "http://127.0.0.1:1"],
    ] {
        let output = match wrong.contains(&"--server") {
            true => std::process::Command::new(crate::common::YAGURA).args(wrong).output().unwrap(),
            false => yagura(&data, wrong),
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {said}");
        assert!(!said.is_empty());
    }
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "the directory and the log: {left:?}");
}

#[test]
fn a_reader_that_goes_away_ends_an_export_and_that_is_recorded() {
    use std::io::{Read, Write};
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = dir.path().join("a.log");
    let mut lines = String::new();
    for number in 0..60_000 {
        lines.push_str(&format!(
            "<13>Nov 21 10:00:00 web01 demo: number {number} of many, of a line that is long\n"
        ));
    }
    std::fs::write(&log, lines).unwrap();
    succeeded(&yagura(&data, &["import", log.to_str().unwrap()]));
    let server = Server::start(&data, &[]);
    let mut stream = std::net::TcpStream::connect(http_address(&server)).unwrap();
    let host = http_address(&server);
    let head = format!("GET /api/v1/search?format=jsonl HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut some = [0; 1024];
    stream.read_exact(&mut some).unwrap();
    drop(stream);
    let other = dir.path().join("other.jsonl");
    // Both places are free again: two exports after another, while the first has ended.
    wait_until("an export after one that broke off", || {
        let out = ["search", "number", "--limit", "5", "--out", other.to_str().unwrap()];
        server.yagura(&out).status.success()
    });
    server.stop();
    let ended: Vec<Value> = exports(&data);
    let broken = ended.iter().find(|entry| entry["event.outcome"] == "failure").unwrap();
    assert!(broken["export.rows"].as_u64().unwrap() < 60_000, "{broken}");
}
