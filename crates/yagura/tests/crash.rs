//! `kill -9` at random moments while records come in: no acknowledged record is lost, and the
//! store verifies.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Server, rows, verify, yagura};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Moments per protocol that has an acknowledgement. `YAGURA_CRASHES` sets another number.
fn moments() -> u64 {
    std::env::var("YAGURA_CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
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
    let (code, said) = verify(&data);
    assert_eq!(code, 0, "{said}");
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

/// Syslog has no acknowledgement: what is lost with a kill is counted and said, and the store is
/// sound. What could be searched before the kill was durable and must stay.
#[test]
fn killed_while_receiving_syslog() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let mut seed = 3;
    let (mut sent, mut committed) = (0_u64, 0);
    for _ in 0..moments() {
        let server = Server::start(&data, &[]);
        let running = Arc::new(AtomicBool::new(true));
        let (address, go_on) = (server.syslog_tcp.clone(), running.clone());
        let start = sent;
        let sender = std::thread::spawn(move || {
            let Ok(mut stream) = TcpStream::connect(&address) else { return start };
            let mut number = start;
            while go_on.load(Ordering::SeqCst) {
                let line = format!("<13>Nov 21 10:00:00 host app: crash test number={number}\n");
                if stream.write_all(line.as_bytes()).is_err() {
                    break;
                }
                number += 1;
            }
            number
        });
        std::thread::sleep(Duration::from_micros(5_000 + chance(&mut seed) % 100_000));
        committed += committed_in_this_life(&server);
        server.kill();
        running.store(false, Ordering::SeqCst);
        sent = sender.join().unwrap();
    }
    let stored =
        rows(&yagura(&data, &["sql", "select count(*) as n from events", "--output", "jsonl"]));
    let stored = stored[0]["n"].as_u64().unwrap();
    eprintln!("syslog: {sent} written into the socket, {committed} seen durable, {stored} stored");
    assert!(stored >= committed && committed > 0, "what was durable before a kill must stay");
    let (code, said) = verify(&data);
    assert_eq!(code, 0, "{said}");
}
