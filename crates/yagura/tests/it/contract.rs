//! What scripts rely on: exit codes, and output that ends when its reader or the server does.
use crate::common;
use common::{Server, YAGURA, rows, succeeded, yagura};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const CLEARED: &str = "{\"@timestamp\":\"2026-11-21T01:02:03Z\",\"EventID\":1102,\"Channel\":\"Security\",\
    \"SourceName\":\"Microsoft-Windows-Eventlog\",\"Hostname\":\"fs01\",\"SubjectUserName\":\"tanaka\"}\n";

#[test]
fn whoever_stops_reading_is_no_failure() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, logs) = (scratch.path().join("data"), scratch.path().join("a.jsonl"));
    std::fs::write(&logs, CLEARED).unwrap();
    rows(&yagura(&data, &["import", logs.to_str().unwrap(), "--output", "jsonl", "--quiet"]));
    let alerts = rows(&yagura(&data, &["alerts", "--output", "jsonl"]));
    let alert = alerts[0]["alert.id"].as_str().unwrap().to_owned();
    let in_data = ["--data", data.to_str().unwrap()];
    for command in [
        &["config", "show"][..],
        &[&["rules", "list"][..], &in_data].concat(),
        &[&["rules", "coverage", "--output", "navigator"][..], &in_data].concat(),
        &[&["alerts"][..], &in_data].concat(),
        &[&["alerts", "explain", &alert][..], &in_data].concat(),
        &[&["alerts", "risk"][..], &in_data].concat(),
        &[&["alerts", "quality"][..], &in_data].concat(),
        &[&["search", ""][..], &in_data].concat(),
        &[&["search", "", "--output", "csv"][..], &in_data].concat(),
        &[&["sql", "select * from events"][..], &in_data].concat(),
    ] {
        let (gone, stdout) = std::io::pipe().unwrap();
        drop(gone);
        let output = Command::new(YAGURA)
            .args(command)
            .env("YAGURA_LANG", "en")
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{command:?}: {said}");
        assert!(!said.contains("panicked"), "{command:?}: {said}");
    }
}

#[test]
fn an_import_that_left_something_out_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let bomb = zstd_of_empty_lines();
    for (name, content, code) in [
        ("broken.zip", &b"PK\x03\x04 begins like an archive and is none"[..], 1),
        ("bomb.zst", &bomb, 1),
        // What is no log is left out in order.
        ("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\0", 0),
        ("fine.jsonl", CLEARED.as_bytes(), 0),
    ] {
        let path = scratch.path().join(name);
        std::fs::write(&path, content).unwrap();
        let output = yagura(&data, &["import", path.to_str().unwrap(), "--quiet", "--lang", "en"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{name}: {said}");
        assert_eq!(said.contains("1 not read"), code == 1, "{name}: {said}");
        let ja = yagura(&data, &["import", path.to_str().unwrap(), "--quiet", "--lang", "ja"]);
        let said = String::from_utf8_lossy(&ja.stderr);
        assert_eq!(said.contains("読み取れませんでした"), code == 1, "{name}: {said}");
    }
}

/// Four bytes a block, each of which expands to 128 KiB of empty lines: far past
/// what may come of so little (RFC 8878: RLE blocks).
fn zstd_of_empty_lines() -> Vec<u8> {
    const BLOCK: u32 = 128 * 1024;
    // Magic number; a window of 128 KiB and no size; then blocks of one repeated byte.
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x38];
    for block in 0..1_024_u32 {
        let last = u32::from(block == 1_023);
        frame.extend_from_slice(&((BLOCK << 3) | (1 << 1) | last).to_le_bytes()[..3]);
        frame.push(b'\n');
    }
    frame
}

/// What `yagura search -f` prints, line by line.
struct Tail {
    child: std::process::Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Tail {
    fn of(server: &Server, extra: &[&str]) -> Tail {
        let mut child = Command::new(YAGURA)
            .args(["search", "-f", "--lang", "en", "--server", &server.http])
            .args(extra)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Tail { child, lines }
    }

    /// Sends `text` until the tail, which may not have begun to listen yet, shows a line with it.
    fn shows(&mut self, server: &Server, text: &str) {
        let (address, stop) = (server.syslog_tcp.clone(), std::sync::Arc::new(()));
        let (line, going) =
            (format!("<13>1 - host app - - - {text}\n"), std::sync::Arc::downgrade(&stop));
        let sender = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(&address).unwrap();
            while going.upgrade().is_some() {
                stream.write_all(line.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let found = self.lines.by_ref().map(Result::unwrap).any(|line| line.contains(text));
        drop(stop);
        sender.join().unwrap();
        assert!(found, "the tail ended without {text:?}");
    }

    /// It ends by itself, says why, and that is no failure.
    fn ends(mut self) {
        self.lines.by_ref().for_each(|line| drop(line.unwrap()));
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{said}");
        assert!(said.contains("the server has stopped"), "{said}");
    }
}

#[test]
fn a_tail_shows_each_event_as_it_comes_and_ends_with_its_server() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Server::start(&scratch.path().join("data"), &[]);
    let mut tails: Vec<Tail> =
        [&["--output", "sentence"][..], &["--output", "jsonl"], &["--output", "csv"]]
            .iter()
            .map(|extra| Tail::of(&server, extra))
            .collect();
    for (number, tail) in tails.iter_mut().enumerate() {
        tail.shows(&server, &format!("first of {number}"));
        tail.shows(&server, &format!("second of {number}"));
    }
    let table = server.yagura(&["search", "-f", "--output", "table", "--lang", "en"]);
    assert_eq!(table.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&table.stderr).contains("--output sentence"));
    // A browser's view is open, too; the server ends without waiting for it.
    let mut page = TcpStream::connect(server.http.strip_prefix("http://").unwrap()).unwrap();
    let address = server.http.strip_prefix("http://").unwrap().to_owned();
    let head = format!(
        "GET /api/v1/tail HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n"
    );
    page.write_all(head.as_bytes()).unwrap();
    let mut begun = [0; 12];
    page.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    let said = server.stop_and_hear();
    assert!(!said.contains("cut off"), "{said}");
    tails.into_iter().for_each(Tail::ends);
    let mut rest = Vec::new();
    page.read_to_end(&mut rest).unwrap();
}

#[test]
fn a_server_that_does_not_answer_is_a_failure_and_no_misuse() {
    let output = Command::new(YAGURA)
        .args(["search", "x", "--lang", "ja", "--server", "http://127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("接続できません"), "{said}");
    succeeded(&Command::new(YAGURA).args(["config", "show"]).output().unwrap());
}

/// Lines of one body, each about 3 KB: a body nearly fills the smallest queue.
const LINES: usize = 300;

/// Sends a body until it is taken; counts how often it was refused for now.
fn post_until_taken(server: &Server, body: &str) -> usize {
    let address = common::http_address(server);
    let head = format!(
        "POST /api/v1/ingest HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    for refused in 0..2_000 {
        let answer = common::http_raw(server, &[head.as_bytes(), body.as_bytes()]);
        let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        if answer.starts_with("http/1.1 200") {
            return refused;
        }
        assert!(answer.starts_with("http/1.1 429"), "{answer}");
        assert!(answer.contains("\r\nretry-after: "), "{answer}");
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("refused for ever");
}

#[test]
fn a_full_queue_refuses_for_now_and_what_is_sent_again_arrives_once() {
    const SENDERS: usize = 8;
    const BODIES_MAX: usize = 40;
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("yagura.toml");
    std::fs::write(&config, "[journal]\nqueue_mib = 1\n\n[lake]\nhot_mib = 16\n").unwrap();
    let config = ["--config", config.to_str().unwrap()];
    let server = Server::start(&scratch.path().join("data"), &config);
    let shown = server.yagura(&["config", "show"]);
    succeeded(&shown);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("queue_mib = 1\n") && shown.contains("hot_mib = 16\n"), "{shown}");
    let (refused, bodies) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let padding = "x".repeat(3_000);
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (server, padding, refused, bodies) = (&server, &padding, &refused, &bodies);
            scope.spawn(move || {
                // Two each at least, and more until somebody was refused.
                for number in 0..BODIES_MAX {
                    if number >= 2 && refused.load(Ordering::SeqCst) > 0 {
                        return;
                    }
                    let line = |line| {
                        format!("{{\"message\":\"{sender} {number} {line}\",\"padding\":\"{padding}\"}}\n")
                    };
                    let body: String = (0..LINES).map(line).collect();
                    refused.fetch_add(post_until_taken(server, &body), Ordering::SeqCst);
                    bodies.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert!(refused.into_inner() > 0, "the queue was never full");
    let sent = bodies.into_inner() * LINES;
    common::wait_until("all read", || {
        common::status(&server)["counters"]["pipeline.records"].as_u64() == Some(sent as u64)
    });
    let counted = "select count(*) as n, count(distinct message) as messages from events";
    let counted = &rows(&server.yagura(&["sql", counted, "--output", "jsonl"]))[0];
    assert_eq!((&counted["n"], &counted["messages"]), (&sent.into(), &sent.into()));
    server.stop();
}

#[test]
fn one_verification_runs_at_a_time() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let server = Server::start(&data, &[]);
    // A recorded file that answers when we let it: the verification is as slow as we are.
    let key = data.join("keys/audit.vkey");
    let content = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
    let first = std::thread::scope(|scope| {
        let first = scope.spawn(|| server.yagura(&["verify", "--lang", "en"]));
        let mut slow = common::open_fifo(&key);
        let second = server.yagura(&["verify", "--lang", "en"]);
        assert_eq!(second.status.code(), Some(1), "not misuse: it may be asked again");
        let said = String::from_utf8_lossy(&second.stderr);
        assert!(said.contains("a verification is running already"), "{said}");
        slow.write_all(&content).unwrap();
        drop(slow);
        first.join().unwrap()
    });
    succeeded(&first);
    std::fs::remove_file(&key).unwrap();
    std::fs::write(&key, &content).unwrap();
    succeeded(&server.yagura(&["verify"]));
}
