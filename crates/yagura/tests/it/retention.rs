//! `yagura retention` and `yagura hold` as people use them, and killed while they delete.
use crate::common;
use common::{Server, YAGURA, rows, succeeded, verify, yagura};
use std::path::Path;
use std::process::{Command, Output};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn config(dir: &Path, text: &str) -> String {
    let path = dir.join("yagura.toml");
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy(&path, &target) } else { drop(std::fs::copy(&path, &target)) }
    }
}

fn line(number: usize) -> String {
    format!(
        "<38>Nov 21 10:00:{:02} web01 sshd[1]: Failed password for root from 192.0.2.{number} port 1 ssh2",
        number % 60
    )
}

/// Ten events of the stream `syslog`, and ten of the stream `ingest`.
fn filled(data: &Path, extra: &[&str]) {
    let server = Server::start(data, extra);
    let lines: Vec<String> = (0..10).map(line).collect();
    server.send_syslog(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    server.wait_for("Failed", 10);
    let body: Vec<String> =
        (10..20).map(|number| format!("{{\"message\":{:?}}}\n", line(number))).collect();
    let body = body.concat();
    let head = format!(
        "POST /api/v1/ingest HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-ndjson\r\n\
         Yagura-Request: 1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        common::http_address(&server),
        body.len()
    );
    let answer = common::http_raw(&server, &[head.as_bytes(), body.as_bytes()]);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    server.wait_for("Failed", 20);
    server.stop();
}

fn left(data: &Path) -> Vec<(String, u64)> {
    let listed = rows(&yagura(data, &["retention", "--output", "jsonl"]));
    let row = |row: &serde_json::Value| {
        (row["yagura.stream"].as_str().unwrap().to_owned(), row["events"].as_u64().unwrap())
    };
    listed.iter().map(row).collect()
}

fn now() -> String {
    yagura_event::UtcMicros::from(jiff::Timestamp::now()).to_string()
}

fn ask(data: &Path, stream: &str, before: &str) -> Output {
    let what = ["retention", "delete", "--stream", stream, "--before", before];
    let who = ["--by", "sato", "--reason", "end of contract", "--lang", "en"];
    yagura(data, &[&what[..], &who].concat())
}

#[test]
fn two_persons_delete_and_a_hold_stands_before_them() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let policies = "[[retention.policy]]\nstreams=['pci/*']\nauthority='pci-dss'\nmaximum_days=400\n\
                    [[retention.policy]]\nstreams=['*']\nkind='cost'\nreason='the disk'\n";
    let config = config(scratch.path(), policies);
    filled(&data, &["--config", &config]);
    assert_eq!(left(&data).len(), 2, "{:?}", left(&data));
    let id = rows(&yagura(&data, &["search", "192.0.2.3", "--limit", "1", "--output", "jsonl"]));
    let id = id[0]["event.id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("syslog/"), "{id}");

    let hold = ["hold", "add", "--name", "matter 7", "--reason", "counsel", "--by", "sato"];
    succeeded(&yagura(&data, &[&hold[..], &["--host", "WEB01", "--stream", "sys*"]].concat()));
    let before = now();
    succeeded(&ask(&data, "syslog", &before));
    let alone =
        yagura(&data, &["retention", "approve", "R-000001", "--by", "Sato", "--lang", "en"]);
    assert_eq!(alone.status.code(), Some(2), "{}", said(&alone));
    assert!(said(&alone).contains("another person must approve"));
    let approve = ["retention", "approve", "R-000001", "--by", "tanaka", "--lang", "en"];
    let held = yagura(&data, &approve);
    succeeded(&held);
    assert!(
        said(&held).contains("deleted: 0 events") && said(&held).contains("under a legal hold")
    );
    assert_eq!(left(&data).len(), 2);
    let release = ["hold", "release", "H-000001", "--by", "tanaka", "--reason", "settled"];
    succeeded(&yagura(&data, &release));

    // Against a server, in Japanese.
    let server = Server::start(&data, &["--config", &config]);
    let asked = ["retention", "delete", "--stream", "syslog", "--before", &before];
    let asked = [&asked[..], &["--by", "佐藤", "--reason", "契約終了", "--lang", "ja"]].concat();
    let told = server.yagura(&asked);
    succeeded(&told);
    assert!(said(&told).contains("別の人の承認を待ちます"), "{}", said(&told));
    let done = server.yagura(&["retention", "approve", "R-000002", "--by", "田中", "--lang", "ja"]);
    succeeded(&done);
    assert!(said(&done).contains("イベント10件"), "{}", said(&done));
    server.wait_for("Failed", 10);
    let live = server.yagura(&["verify", "--lang", "en"]);
    succeeded(&live);
    assert!(said(&live).contains("sealed batches absent by recorded deletion"), "{}", said(&live));
    for lang in ["ja", "en"] {
        for what in [
            &["retention"][..],
            &["retention", "requests"],
            &["retention", "forecast"],
            &["retention", "run"],
            &["hold", "list"],
        ] {
            succeeded(&server.yagura(&[what, &["--lang", lang]].concat()));
        }
        let mut authorities = Command::new(YAGURA);
        let authorities = authorities.args(["retention", "authorities", "--lang", lang]).output();
        assert!(said(&authorities.unwrap()).contains("discovery-18m"));
    }
    let listed = said(&server.yagura(&["retention", "--lang", "en", "--output", "csv"]));
    assert!(listed.contains("cost / the disk"), "{listed}");
    server.stop();

    let (code, told) = verify(&data);
    assert_eq!(code, 0, "{told}");
    let event = yagura(&data, &["verify", "--event", &id, "--lang", "en"]);
    succeeded(&event);
    assert!(said(&event).contains("absent by a recorded deletion"), "{}", said(&event));
    let proof = yagura(&data, &["prove", &id, "--lang", "en"]);
    assert!(said(&proof).contains("was deleted, which is recorded"), "{}", said(&proof));
    assert_eq!(left(&data), [("ingest".to_owned(), 10)]);

    // What the audit log does not have is an alarm.
    let unknown = scratch.path().join("unknown");
    copy(&data, &unknown);
    let lake = unknown.join("lake");
    std::fs::remove_dir_all(&lake).unwrap();
    let (code, told) = verify(&unknown);
    assert!(code == 1 && told.contains("absent, unexplained"), "{told}");
}

#[test]
fn what_contradicts_an_authority_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let path = config(
        scratch.path(),
        "[[retention.policy]]\nstreams=['pos/*']\nauthority='pci-dss'\nmaximum_days=90\n",
    );
    let refused = yagura_config(&path, "en");
    assert!(!refused.status.success() && said(&refused).contains("write 365 or more"));
    let refused = yagura_config(&path, "ja");
    assert!(said(&refused).contains("365 以上にするか"), "{}", said(&refused));
}

fn yagura_config(path: &str, lang: &str) -> Output {
    Command::new(YAGURA).args(["config", "check", path, "--lang", lang]).output().unwrap()
}

#[test]
fn killed_while_deleting_nothing_that_stays_is_lost_and_it_is_finished() {
    let scratch = tempfile::tempdir().unwrap();
    let sound = scratch.path().join("sound");
    filled(&sound, &[]);
    succeeded(&ask(&sound, "syslog", &now()));
    let began = std::time::Instant::now();
    let whole = scratch.path().join("whole");
    copy(&sound, &whole);
    succeeded(&yagura(&whole, &["retention", "approve", "R-000001", "--by", "tanaka"]));
    let takes = began.elapsed();
    let moments = 10u32;
    for moment in 1..=moments {
        let data = scratch.path().join(format!("killed {moment}"));
        copy(&sound, &data);
        let mut child = Command::new(YAGURA)
            .args(["retention", "approve", "R-000001", "--by", "tanaka", "--data"])
            .arg(&data)
            .spawn()
            .unwrap();
        // From the beginning to the end of what it takes, most of it opening the store.
        std::thread::sleep(takes * moment / moments);
        child.kill().unwrap();
        child.wait().unwrap();
        let (code, told) = verify(&data);
        assert_eq!(code, 0, "{moment}: {told}");
        let there = left(&data);
        let before = [("ingest".to_owned(), 10), ("syslog".to_owned(), 10)];
        assert!(there == before || there == before[..1], "{moment}: {there:?}");
        // Approved already, or not yet.
        let again = yagura(&data, &["retention", "approve", "R-000001", "--by", "tanaka"]);
        if !again.status.success() {
            succeeded(&yagura(&data, &["retention", "run"]));
        }
        assert_eq!(left(&data), before[..1], "{moment}");
        let (code, told) = verify(&data);
        assert_eq!(code, 0, "{moment}: {told}");
    }
}
