//! `kill -9` at random moments while records come in: no acknowledged record is lost, and the
//! store verifies.
use crate::common;
use common::{Server, rows, verify, yagura};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Moments per protocol that has an acknowledgement. `YAGURA_CRASHES` sets another number.
fn moments() -> u64 {
    std::env::var("YAGURA_CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

/// Sends numbered events until the server dies; returns the highest number acknowledged.
fn send_until_death(
    server: &Server,
    path: &'static str,
    first: u64,
) -> (Arc<AtomicU64>, std::thread::JoinHandle<()>) {
    let acknowledged = Arc::new(AtomicU64::new(first));
    let (address, told) =
        (server.http.trim_start_matches("http://").to_owned(), acknowledged.clone());
    let sender = std::thread::spawn(move || {
        let Ok(mut stream) = TcpStream::connect(&address) else { return };
        let mut number = first;
        loop {
            let mut body = String::new();
            for _ in 0..20 {
                if path == "/_bulk" {
                    body.push_str("{\"create\":{\"_index\":\"crash\"}}\n");
                }
                body.push_str(&format!(
                    "{{\"message\":\"crash test\",\"labels\":{{\"number\":\"{number}\"}}}}\n"
                ));
                number += 1;
            }
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            if stream.write_all(request.as_bytes()).is_err() {
                return;
            }
            let mut answer = Vec::new();
            let mut chunk = [0; 4096];
            let complete = loop {
                match stream.read(&mut chunk) {
                    Ok(0) | Err(_) => break false,
                    Ok(read) => answer.extend_from_slice(&chunk[..read]),
                }
                if is_complete(&answer) {
                    break true;
                }
            };
            if !complete {
                return;
            }
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
            told.store(number, Ordering::SeqCst);
        }
    });
    (acknowledged, sender)
}

fn is_complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length
        .and_then(|length| length.trim().parse().ok())
        .is_some_and(|length: usize| body.len() >= length)
}

fn numbers(data: &Path) -> Vec<u64> {
    let found = rows(&yagura(
        data,
        &[
            "search",
            "\"crash test\"",
            "--limit",
            "0",
            "--output",
            "jsonl",
            "--columns",
            "labels.number",
        ],
    ));
    let mut numbers: Vec<u64> =
        found.iter().map(|row| row["labels.number"].as_str().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

/// Repeatable chance (SplitMix64).
fn chance(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn no_acknowledged_record_is_lost(path: &'static str, mut seed: u64) {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let (mut next, mut acknowledged_ranges) = (0, Vec::new());
    for _ in 0..moments() {
        let server = Server::start(&data, &[]);
        let (acknowledged, sender) = send_until_death(&server, path, next);
        std::thread::sleep(Duration::from_micros(5_000 + chance(&mut seed) % 150_000));
        server.kill();
        sender.join().unwrap();
        let until = acknowledged.load(Ordering::SeqCst);
        acknowledged_ranges.push(next..until);
        sound_after(&data, acknowledged_ranges.len());
        // What was in flight may or may not be there; the next round uses other numbers.
        next = until + 20;
    }
    let there: std::collections::BTreeSet<u64> = {
        let found = numbers(&data);
        let distinct: std::collections::BTreeSet<u64> = found.iter().copied().collect();
        assert_eq!(found.len(), distinct.len(), "nothing is stored twice");
        distinct
    };
    let sent: u64 = acknowledged_ranges.iter().map(|range| range.end - range.start).sum();
    let lost: Vec<u64> = acknowledged_ranges
        .into_iter()
        .flatten()
        .filter(|number| !there.contains(number))
        .collect();
    assert!(lost.is_empty(), "{} of {sent} acknowledged records lost: {lost:?}", lost.len());
    assert!(sent > 0, "the test must have sent something");
    eprintln!("{path}: {sent} acknowledged, {} stored, none lost", there.len());
}

/// The store verifies, as the kill left it.
fn sound_after(data: &Path, kills: impl std::fmt::Display) {
    let (code, said) = verify(data);
    assert_eq!(code, 0, "after kill {kills}: {said}");
}

#[test]
fn killed_while_ingesting() {
    no_acknowledged_record_is_lost("/api/v1/ingest", 1);
}

#[test]
fn killed_while_bulk_loading() {
    no_acknowledged_record_is_lost("/_bulk", 2);
}

/// What the server says it made durable since it started.
fn committed_in_this_life(server: &Server) -> u64 {
    let address = server.http.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    let request =
        format!("GET /api/v1/status HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status: serde_json::Value =
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    status["counters"]["journal.committed"].as_u64().unwrap()
}

/// One line of the tests over syslog; its text says all of it.
fn line(life: usize, number: u64) -> String {
    format!("<13>1 2026-11-21T10:00:00Z host crash {number} - - life {life:03} over")
}

/// The numbers of one life that a search finds while the server runs.
fn searchable(server: &Server, life: usize) -> Vec<u64> {
    let phrase = format!("\"life {life:03} over\"");
    let found = rows(&server.yagura(&["search", &phrase, "--limit", "0", "--output", "jsonl"]));
    let number = |row: &serde_json::Value| row["process.pid"].as_str()?.parse().ok();
    found.iter().map(|row| number(row).unwrap_or_else(|| panic!("no number: {row}"))).collect()
}

/// Lines handed to the network at once, and the pause after them.
const LINES_AT_ONCE: u64 = 20;
const PAUSE: Duration = Duration::from_millis(2);

/// Syslog has no acknowledgement. What may be asked of it is that the store is sound after every
/// kill, that each record is one whole line as it was sent, once, that what the server said was
/// durable stays, and that what could be found before a kill can be found after it.
///
/// `send` hands lines `from..until` of a life to the network, or says that this is over.
fn no_line_seen_is_lost<C: Send + 'static>(
    connect: fn(&Server) -> C,
    send: fn(&mut C, usize, std::ops::Range<u64>) -> bool,
    mut seed: u64,
) {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let (mut sent, mut committed) = (Vec::new(), 0);
    let mut found = std::collections::BTreeSet::new();
    for life in 0..usize::try_from(moments()).unwrap() {
        let server = Server::start(&data, &[]);
        let running = Arc::new(AtomicBool::new(true));
        let (mut connection, go_on) = (connect(&server), running.clone());
        let sender = std::thread::spawn(move || {
            let mut number = 0;
            while go_on.load(Ordering::SeqCst) {
                let until = number + LINES_AT_ONCE;
                let over = !send(&mut connection, life, number..until);
                // Of what was being written when the server died some lines may have arrived.
                number = until;
                if over {
                    break;
                }
                std::thread::sleep(PAUSE);
            }
            number
        });
        std::thread::sleep(Duration::from_micros(5_000 + chance(&mut seed) % 150_000));
        found.extend(searchable(&server, life).into_iter().map(|number| line(life, number)));
        std::thread::sleep(Duration::from_micros(chance(&mut seed) % 50_000));
        committed += committed_in_this_life(&server);
        server.kill();
        running.store(false, Ordering::SeqCst);
        sent.push(sender.join().unwrap());
        sound_after(&data, life + 1);
    }
    let output = yagura(&data, &["search", "", "--limit", "0", "--output", "raw"]);
    common::succeeded(&output);
    let stored = String::from_utf8(output.stdout).unwrap();
    let mut there = std::collections::BTreeSet::new();
    for text in stored.lines() {
        let exact = whole_line(text)
            .is_some_and(|(life, number)| sent.get(life).is_some_and(|sent| number < *sent));
        assert!(exact, "never sent so: {text:?}");
        assert!(there.insert(text.to_owned()), "stored twice: {text:?}");
    }
    let lost: Vec<&String> = found.difference(&there).collect();
    assert!(lost.is_empty(), "found before a kill and not after it: {lost:?}");
    assert!(!found.is_empty(), "something must have been found before a kill");
    assert!(there.len() as u64 >= committed && committed > 0, "what was durable must stay");
    eprintln!(
        "{} lines sent, {} found before a kill, {committed} seen durable, {} stored",
        sent.iter().sum::<u64>(),
        found.len(),
        there.len()
    );
}

#[test]
fn killed_while_receiving_syslog() {
    no_line_seen_is_lost(
        |server| TcpStream::connect(&server.syslog_tcp).unwrap(),
        |stream, life, numbers| {
            let lines: String = numbers.map(|number| line(life, number) + "\n").collect();
            stream.write_all(lines.as_bytes()).is_ok()
        },
        3,
    );
}

#[test]
fn killed_while_receiving_datagrams() {
    no_line_seen_is_lost(
        |server| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(&server.syslog_udp).unwrap();
            socket
        },
        |socket, life, mut numbers| {
            // Once the port is closed the kernel may refuse; there is nobody to tell.
            numbers.all(|number| socket.send(line(life, number).as_bytes()).is_ok())
        },
        4,
    );
}

/// Life and number of a text that is exactly one [`line`].
fn whole_line(text: &str) -> Option<(usize, u64)> {
    let number = text.split(' ').nth(4)?.parse().ok()?;
    let life = text.split(' ').nth(8)?.parse().ok()?;
    (line(life, number) == text).then_some((life, number))
}

/// Writes a file of JSON lines, every other one compressed; returns its lines.
fn file_to_import(path: &Path, number: u64) -> Vec<String> {
    let line = |at: u64| {
        format!("{{\"message\":\"file {number} line {at}\",\"host\":{{\"name\":\"h{}\"}}}}", at % 7)
    };
    let lines: Vec<String> = (0..12_000).map(line).collect();
    let mut text = lines.join("\n").into_bytes();
    text.push(b'\n');
    if number % 2 == 1 {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&text).unwrap();
        text = encoder.finish().unwrap();
    }
    std::fs::write(path, text).unwrap();
    lines
}

/// An import that is killed again and again, and always begun again, ends with exactly the records
/// of its files.
#[test]
fn killed_while_importing() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let mut seed = 5;
    let (mut kills, mut number) = (0, 0);
    // How long one import may take before it is killed; grows until some get done.
    let mut patience = 400_000;
    let mut expected: Vec<String> = Vec::new();
    while kills < moments() {
        let path = scratch.path().join(format!("{number}.jsonl"));
        expected.extend(file_to_import(&path, number));
        number += 1;
        loop {
            let mut import = std::process::Command::new(common::YAGURA)
                .args(["import", "--quiet", "--data"])
                .args([&data, &path])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            if kills < moments() {
                std::thread::sleep(Duration::from_micros(chance(&mut seed) % patience));
                if import.try_wait().unwrap().is_none() {
                    import.kill().unwrap();
                }
            }
            let output = import.wait_with_output().unwrap();
            if output.status.code().is_some() {
                common::succeeded(&output);
                break;
            }
            kills += 1;
            patience += 100_000;
            // Killed before it had made its store, there is nothing to look at.
            if data.join("lake/events/_delta_log").try_exists().unwrap() {
                sound_after(&data, kills);
            }
        }
    }
    let output = yagura(&data, &["search", "", "--limit", "0", "--output", "raw"]);
    common::succeeded(&output);
    let stored = String::from_utf8(output.stdout).unwrap();
    let mut stored: Vec<&str> = stored.lines().collect();
    stored.sort_unstable();
    expected.sort_unstable();
    assert_eq!(stored.len(), expected.len(), "as many records as the files have lines");
    assert!(stored == expected, "the files' own records, each once");
    eprintln!("import: {kills} kills, {number} files, {} records, each once", stored.len());
    let (code, said) = verify(&data);
    assert_eq!(code, 0, "{said}");
}

/// A compaction that is killed again and again leaves every record once, and a store that verifies as
/// the kill left it.
#[test]
fn killed_while_compacting() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let mut seed = 6;
    let (mut kills, mut number) = (0, 0);
    // As above.
    let mut patience = 400_000;
    let mut expected: Vec<String> = Vec::new();
    while kills < moments() {
        let path = scratch.path().join(format!("{number}.jsonl"));
        expected.extend(file_to_import(&path, number));
        number += 1;
        common::succeeded(&yagura(&data, &["import", "--quiet", path.to_str().unwrap()]));
        loop {
            let mut compaction = std::process::Command::new(common::YAGURA)
                .args(["lake", "compact", "--quiet", "--data"])
                .arg(&data)
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            if kills < moments() {
                std::thread::sleep(Duration::from_micros(chance(&mut seed) % patience));
                if compaction.try_wait().unwrap().is_none() {
                    compaction.kill().unwrap();
                }
            }
            let output = compaction.wait_with_output().unwrap();
            if output.status.code().is_some() {
                common::succeeded(&output);
                break;
            }
            kills += 1;
            patience += 100_000;
            sound_after(&data, kills);
        }
    }
    let output = yagura(&data, &["search", "", "--limit", "0", "--output", "raw"]);
    common::succeeded(&output);
    let stored = String::from_utf8(output.stdout).unwrap();
    let mut stored: Vec<&str> = stored.lines().collect();
    stored.sort_unstable();
    expected.sort_unstable();
    assert_eq!(stored.len(), expected.len(), "as many records as the files have lines");
    assert!(stored == expected, "the files' own records, each once");
    let stats = yagura(&data, &["lake", "stats", "--output", "jsonl"]);
    common::succeeded(&stats);
    let stats = rows(&stats);
    assert!(stats.iter().all(|row| row["files"] == row["files.compacted"]), "{stats:?}");
    eprintln!("compaction: {kills} kills, {number} files, {} records, each once", stored.len());
    sound_after(&data, kills);
}
