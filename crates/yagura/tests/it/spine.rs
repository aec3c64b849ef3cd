//! The main path, end to end: a log line becomes a sentence, an alert and a proof.
use crate::common;
use common::{Server, rows, succeeded, verify, yagura};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::Command;

const CLEARED: &str = r#"{"@timestamp":"2026-11-21T01:02:03.004Z","event":{"code":"1102"},"winlog":{"channel":"Security","provider_name":"Microsoft-Windows-Eventlog","event_id":"1102","computer_name":"FS01.hospital.example","event_data":{"SubjectUserName":"tanaka","SubjectDomainName":"HOSPITAL"}},"host":{"name":"FS01.hospital.example"}}"#;

/// A request by hand: the test is also of what an unusual client sends.
fn http(server: &Server, request: &str) -> String {
    let address = server.http.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = request.replace("HOST", address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn post(server: &Server, path: &str, body: &str) -> String {
    let length = body.len();
    http(
        server,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        ),
    )
}

#[test]
fn a_line_becomes_a_sentence_an_alert_and_a_proof() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let server = Server::start(&data, &[]);

    server.send_syslog(&[
        "<38>Nov 21 10:00:00 web01 sshd[812]: Failed password for invalid user 田中 from 203.0.113.7 port 50022 ssh2",
        "<38>1 2026-11-21T10:00:01.250Z web01 sshd 812 - - Accepted publickey for root from 203.0.113.7 port 50023 ssh2",
    ]);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.send_to(b"<13>Nov 21 10:00:02 web01 test: hello over udp", &server.syslog_udp).unwrap();
    let answer = post(&server, "/api/v1/ingest", CLEARED);
    assert!(answer.contains("\"accepted\":1"), "{answer}");

    let failed = &server.wait_for("user.name:田中", 1)[0];
    assert_eq!(failed["source.ip"], "203.0.113.7");
    assert_eq!(failed["event.outcome"], "failure");
    assert_eq!(failed["event.dataset"], "linux.auth");
    let sentence = failed["yagura.sentence.ja"].as_str().unwrap();
    assert!(sentence.starts_with("田中"), "{sentence}");
    let accepted = &server.wait_for("event.dataset:linux.auth event.outcome:success", 1)[0];
    assert_eq!(accepted["@timestamp"], "2026-11-21T10:00:01.250000Z");
    server.wait_for("\"hello over udp\"", 1);
    let cleared = &server.wait_for("event.code:1102", 1)[0];
    assert_eq!(cleared["host.name"], "FS01.hospital.example");

    let alerts = rows(&server.yagura(&["alerts", "--output", "jsonl"]));
    let id = cleared["event.id"].as_str().unwrap();
    let alert = alerts.iter().find(|alert| alert["event.id"] == id).expect("an alert of the event");
    assert!(alert["rule.uuid"].as_str().unwrap().len() == 36);
    succeeded(&server.yagura(&[
        "alerts",
        "close",
        alert["alert.id"].as_str().unwrap(),
        "--verdict",
        "true_positive",
        "--note",
        "悪意のある操作",
    ]));
    let closed = rows(&server.yagura(&["alerts", "--state", "closed", "--output", "jsonl"]));
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0]["alert.verdict"], "true_positive");

    let proof = scratch.path().join("event.proof");
    succeeded(&server.yagura(&["prove", id, "--out", proof.to_str().unwrap()]));
    let text = std::fs::read_to_string(&proof).unwrap();
    assert!(text.contains(CLEARED), "the proof carries the received bytes");
    succeeded(&server.yagura(&["verify"]));
    succeeded(&server.yagura(&["verify", "--event", id]));

    if common::has_program("python3") && common::has_program("openssl") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/format/verify.py");
        let check = |file: &std::path::Path| {
            Command::new("python3")
                .arg(script)
                .arg(file)
                .arg(data.join("keys/events.vkey"))
                .output()
                .unwrap()
        };
        succeeded(&check(&proof));
        std::fs::write(&proof, text.replace("tanaka", "suzuki")).unwrap();
        assert!(!check(&proof).status.success(), "a changed word must be refused");
    }

    let sql =
        rows(&server.yagura(&["sql", "select count(*) as n from events", "--output", "jsonl"]));
    assert_eq!(sql[0]["n"], 4);

    server.stop();
    let (code, said) = verify(&data);
    assert_eq!(code, 0, "{said}");
    let again = rows(&yagura(&data, &["search", "event.code:1102", "--output", "jsonl"]));
    assert_eq!(again[0]["event.id"], id);
    let raw = yagura(&data, &["search", "event.code:1102", "--output", "raw"]);
    assert_eq!(raw.stdout, format!("{CLEARED}\n").as_bytes());
    let alerts = rows(&yagura(&data, &["alerts", "--output", "jsonl"]));
    assert_eq!(alerts[0]["alert.verdict"], "true_positive", "decisions survive a restart");
}

#[test]
fn the_page_and_every_answer_carry_the_defences() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Server::start(&scratch.path().join("data"), &[]);
    let page = http(
        &server,
        "GET / HTTP/1.1\r\nHost: HOST\r\nAccept: text/html\r\nConnection: close\r\n\r\n",
    );
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    for route in ["/", "/api/v1/status", "/nowhere", "/metrics"] {
        let answer = http(
            &server,
            &format!("GET {route} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"),
        );
        let headers = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
        assert!(
            headers.contains("content-security-policy: default-src 'none'"),
            "{route}: {headers}"
        );
        assert!(headers.contains("x-content-type-options: nosniff"), "{route}");
    }
    let rebound = http(
        &server,
        "GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    );
    assert!(rebound.starts_with("HTTP/1.1 403"), "{rebound}");
    let foreign = "POST /api/v1/ingest HTTP/1.1\r\nHost: HOST\r\nOrigin: http://evil.example\r\n\
                   Content-Length: 2\r\nConnection: close\r\n\r\n{}";
    assert!(http(&server, foreign).starts_with("HTTP/1.1 403"));
}

#[test]
fn elasticsearch_shippers_are_answered_as_they_expect() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Server::start(&scratch.path().join("data"), &[]);
    let probe = http(&server, "GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n");
    assert!(probe.to_ascii_lowercase().contains("x-elastic-product: elasticsearch"), "{probe}");
    assert!(probe.contains("\"number\":\"8."), "{probe}");
    let body = "{\"create\":{\"_index\":\"winlogbeat-8\"}}\n{\"message\":\"one\"}\n\
                {\"delete\":{\"_index\":\"a\",\"_id\":\"1\"}}\n\
                {\"index\":{\"_index\":\"winlogbeat-8\"}}\nnot json\n";
    let answer = post(&server, "/_bulk", body);
    let json: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(json["errors"], true);
    assert_eq!(json["items"][0]["create"]["status"], 201);
    assert_eq!(json["items"][1]["delete"]["status"], 400);
    assert_eq!(json["items"][2]["index"]["status"], 400);
    let found = server.wait_for("message:one", 1);
    assert!(found[0]["event.id"].as_str().unwrap().starts_with("elastic/winlogbeat"), "{found:?}");
}

#[test]
fn misuse_is_told_apart_from_failure() {
    let scratch = tempfile::tempdir().unwrap();
    let nothing = scratch.path().join("nothing");
    let missing = yagura(&nothing, &["search", "x"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(!nothing.try_exists().unwrap(), "asking must not create a store");
    let open = Command::new(common::YAGURA)
        .args(["serve", "--http", "0.0.0.0:0", "--data"])
        .arg(&nothing)
        .output()
        .unwrap();
    assert_eq!(open.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&open.stderr).contains("administrator"));

    let server = Server::start(&scratch.path().join("data"), &[]);
    let wrong = server.yagura(&["search", "user.name:(", "--lang", "en"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains('^'), "a caret shows the place");
    let second = Command::new(common::YAGURA)
        .args(["serve", "--http", "127.0.0.1:0", "--data"])
        .arg(scratch.path().join("data"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1), "one process per directory");
}

#[test]
fn importing_twice_adds_nothing_here_or_through_a_server() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let logs = scratch.path().join("auth.log");
    let line = |n: usize| {
        format!(
            "Nov 21 10:00:{:02} web01 sshd[1]: Accepted password for user{n} from 192.0.2.{n} port 1 ssh2\n",
            n % 60
        )
    };
    std::fs::write(&logs, (0..200).map(line).collect::<String>()).unwrap();
    let path = logs.to_str().unwrap();
    let first = rows(&yagura(&data, &["import", path, "--output", "jsonl", "--quiet"]));
    assert_eq!(first[0]["records_added"], 200);
    let second = rows(&yagura(&data, &["import", path, "--output", "jsonl", "--quiet"]));
    assert_eq!(
        (&second[0]["records_added"], &second[0]["records_already_there"]),
        (&0.into(), &200.into())
    );
    let server = Server::start(&data, &[]);
    let third = rows(&server.yagura(&["import", path, "--output", "jsonl", "--quiet"]));
    assert_eq!(third[0]["records_added"], 0);
    std::fs::write(&logs, (0..201).map(line).collect::<String>()).unwrap();
    let other = rows(&server.yagura(&["import", path, "--output", "jsonl", "--quiet"]));
    assert_eq!(other[0]["records_added"], 201, "another content is another file");
    server.wait_for("event.dataset:linux.auth", 401);
}
