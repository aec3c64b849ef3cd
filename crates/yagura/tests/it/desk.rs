//! The desk through the real binary: an alert explained, excepted and measured; and told to a webhook.
use crate::common;
use common::{Server, rows, succeeded, yagura};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The Security log of `host` was cleared.
fn cleared(host: &str) -> String {
    format!(
        r#"{{"@timestamp":"2026-11-21T01:02:03.004Z","event":{{"code":"1102"}},"winlog":{{"channel":"Security","provider_name":"Microsoft-Windows-Eventlog","event_id":"1102","computer_name":"{host}","event_data":{{"SubjectUserName":"tanaka"}}}},"host":{{"name":"{host}"}}}}"#
    )
}

fn ingest(server: &Server, body: &str) {
    let address = server.http.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "POST /api/v1/ingest HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"accepted\":1"), "{answer}");
}

/// Asks until `wanted` holds for the rows, at most twenty seconds.
fn until(server: &Server, arguments: &[&str], wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let found = rows(&server.yagura(arguments));
        if wanted(&found) {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{arguments:?}: {found:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_exception_takes_matches_away_from_its_entity_until_it_is_removed() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let server = Server::start(&data, &[]);
    let alerts = ["alerts", "--output", "jsonl"];
    ingest(&server, &cleared("BK01"));
    let alert = until(&server, &alerts, |found| found.len() == 1).remove(0);
    let id = alert["alert.id"].as_str().unwrap();

    let explained = server.yagura(&["alerts", "explain", id, "--lang", "en"]);
    succeeded(&explained);
    let said = String::from_utf8(explained.stdout).unwrap();
    for part in ["What the rule looks for", "Why it matched", "What to check next", "BK01"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let refused = server.yagura(&["alerts", "except", "add", "--alert", id, "--reason", "backup"]);
    assert_eq!(refused.status.code(), Some(2), "neither conditions nor an entity");
    let reason = ["--reason", "夜間バックアップ"];
    let add = ["alerts", "except", "add", "--alert", id, "--entity", "host:bk01"];
    let added = server.yagura(&[&add[..], &reason].concat());
    succeeded(&added);
    let exception = String::from_utf8(added.stdout).unwrap().trim().to_owned();
    let close = ["alerts", "close", id, "--verdict", "false_positive", "--note", "保守"];
    succeeded(&server.yagura(&close));

    ingest(&server, &cleared("BK01"));
    ingest(&server, &cleared("FS01"));
    until(&server, &alerts, |found| found.len() == 2);
    let matches = ["alerts", "except", "matches", &exception, "--output", "jsonl"];
    let taken = until(&server, &matches, |found| found.len() == 1);
    assert_eq!(taken[0]["alert.entity"]["value"], "BK01");

    succeeded(&server.yagura(&["alerts", "except", "remove", &exception, "--note", "終了"]));
    ingest(&server, &cleared("BK01"));
    let found = until(&server, &alerts, |found| found.len() == 3);
    let again =
        found.iter().find(|alert| alert["alert.id"] != id && alert["entity"]["value"] == "BK01");
    assert_eq!(again.unwrap()["precedent"]["verdicts"]["false_positive"], 1);
    let risk = rows(&server.yagura(&["alerts", "risk", "--output", "jsonl"]));
    assert!(risk.iter().any(|one| one["risk.entity"]["value"] == "FS01"), "{risk:?}");
    server.stop();

    let listed = rows(&yagura(&data, &["alerts", "except", "--output", "jsonl"]));
    assert_eq!(listed[0]["exception.state"], "removed", "exceptions survive a restart");
    assert_eq!(listed[0]["exception.suppressed"], 1);
    let quality = rows(&yagura(&data, &["alerts", "quality", "--output", "jsonl"]));
    assert_eq!(
        (&quality[0]["rule.judged"], &quality[0]["rule.suppressed"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn a_rule_that_cannot_be_used_is_a_gap_until_it_is_mended() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, rules) = (scratch.path().join("data"), scratch.path().join("rules"));
    std::fs::create_dir(&rules).unwrap();
    let rule = rules.join("bad.yml");
    let text = "title: Look-around\nid: 11111111-2222-4333-8444-555555555555\nlogsource:\n  \
                product: windows\ndetection:\n  s:\n    CommandLine|re: 'a(?=b)'\n  condition: s\n";
    std::fs::write(&rule, text).unwrap();
    let arguments = ["--rules", rules.to_str().unwrap()];
    let open = ["alerts", "gaps", "--open", "--output", "jsonl"];
    let server = Server::start(&data, &arguments);
    let gaps = until(&server, &open, |found| !found.is_empty());
    assert_eq!(gaps[0]["gap.kind"], "rule_refused");
    assert!(gaps[0]["gap.sentence_en"].as_str().unwrap().contains("look-around"), "{gaps:?}");
    server.stop();
    std::fs::write(&rule, text.replace("a(?=b)", "ab")).unwrap();
    let server = Server::start(&data, &arguments);
    until(&server, &open, |found| found.is_empty());
    let all = rows(&server.yagura(&["alerts", "gaps", "--output", "jsonl"]));
    assert!(all[0]["gap.end"].is_string(), "{all:?}");
}

/// Takes one POST and hands on its head and body.
fn receiver() -> (String, mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, received) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
            }
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
            });
            let mut body = vec![0; length.unwrap()];
            reader.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            reader.get_mut().write_all(answer).unwrap();
            if sender.send((head, String::from_utf8(body).unwrap())).is_err() {
                return;
            }
        }
    });
    (url, received)
}

#[test]
fn an_alert_reaches_the_configured_webhook_signed() {
    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    let scratch = tempfile::tempdir().unwrap();
    let (url, received) = receiver();
    let secret = scratch.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = scratch.path().join("yagura.toml");
    let text = format!(
        "[webhook]\nurl = '{url}'\nsecret_file = '{}'\nmin_level = 'medium'\nallow_private = true\n",
        secret.display()
    );
    std::fs::write(&config, text).unwrap();
    let server =
        Server::start(&scratch.path().join("data"), &["--config", config.to_str().unwrap()]);
    ingest(&server, &cleared("FS01"));
    let (head, body) = received.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told["type"], "alert.raised");
    assert_eq!(told["alert"]["host.name"], "FS01");
    let header = |wanted: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.unwrap_or_else(|| panic!("{wanted}: {head}")).1.trim().to_owned()
    };
    let signature = header(yagura_desk::SIGNATURE_HEADER);
    let time = signature.split(['=', ',']).nth(1).unwrap().parse().unwrap();
    assert_eq!(yagura_desk::sign(SECRET, time, body.as_bytes()), signature);
    common::wait_until("counted", || common::status(&server)["webhook"]["delivered"] == 1);
    let head = format!(
        "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        common::http_address(&server)
    );
    let metrics = String::from_utf8(common::http_raw(&server, &[head.as_bytes()])).unwrap();
    assert!(metrics.contains("\nyagura_webhook_delivered 1\n"), "{metrics}");
}
