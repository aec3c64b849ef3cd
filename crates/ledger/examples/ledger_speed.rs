//! How fast a log grows, opens and verifies. Run it as
//! `cargo run --release -p yagura-ledger --example ledger_speed -- [HEADERS]`.
#![allow(clippy::unwrap_used, reason = "a measurement stops at the first error")]

use std::time::Instant;
use yagura_event::{StreamName, UtcMicros};
use yagura_ledger::{BatchHeader, Hash, Log, SigningKey};

const STREAMS: u64 = 30;

fn main() {
    let headers = std::env::args().nth(1).map_or(1_000_000, |count| count.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::from_seed("bench.example/events", &[1; 32]).unwrap();
    let open = || Log::open(dir.path(), "bench.example/events", key.clone()).unwrap();

    let log = open();
    let started = Instant::now();
    for batch in 0..headers {
        log.append(&[header(&log, batch)]).unwrap();
    }
    log.publish().unwrap();
    report("append and publish", headers, started);

    let started = Instant::now();
    for batch in headers..headers + 20 {
        log.append(&[header(&log, batch)]).unwrap();
        log.publish().unwrap();
    }
    report("append and publish one at a time", 20, started);
    drop(log);

    let started = Instant::now();
    let log = open();
    report("open", log.size(), started);

    let started = Instant::now();
    for n in 0..1_000 {
        let leaf = log.leaf_of_batch(n * headers / 1_000).unwrap().unwrap();
        log.inclusion_proof(leaf).unwrap();
    }
    report("find and prove", 1_000, started);

    let started = Instant::now();
    assert!(log.verify().is_sound());
    report("verify", log.size(), started);
}

fn header(log: &Log, batch: u64) -> BatchHeader {
    let stream = StreamName::new(&format!("stream-{}", batch % STREAMS)).unwrap();
    BatchHeader {
        log: log.origin().clone(),
        batch,
        stream_prev: log.stream_tail(&stream),
        stream,
        first_received: UtcMicros::from_micros(1_795_000_000_000_000),
        last_received: UtcMicros::from_micros(1_795_000_010_000_000),
        count: 4_096,
        rejected: [("oversize".to_owned(), 1)].into(),
        parser: "none".into(),
        root: Hash::of(&batch.to_be_bytes()),
        continues: None,
    }
}

fn report(what: &str, count: u64, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    println!("{what}: {count} in {seconds:.3} s, {:.0} a second", count as f64 / seconds);
}
