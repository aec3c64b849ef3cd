//! Small logs and batches for the tests.
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]
#![allow(dead_code, reason = "every test file uses its own part")]

use bytes::Bytes;
use std::path::Path;
use yagura_event::{Record, StreamName, Transport, UtcMicros};
use yagura_ledger::{BatchHeader, BatchTree, Hash, LeafHasher, Log, SigningKey};

pub const ORIGIN: &str = "test.example/events";
pub const SALT: [u8; 32] = [7; 32];

pub fn key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[42; 32]).unwrap()
}

pub fn open(dir: &Path) -> Log {
    Log::open(dir, ORIGIN, key()).unwrap()
}

pub fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

pub fn received(index: u32) -> UtcMicros {
    "2026-11-21T19:30:00.321Z".parse::<UtcMicros>().unwrap().plus_micros(i64::from(index))
}

pub fn record(index: u32, bytes: &[u8]) -> Record {
    Record {
        received: received(index),
        transport: Transport::SyslogTcp,
        peer: "10.0.0.7:51424".into(),
        identity: "none".into(),
        bytes: Bytes::copy_from_slice(bytes),
    }
}

pub fn records(count: u32) -> Vec<Record> {
    (0..count).map(|index| record(index, format!("login {index} ログイン").as_bytes())).collect()
}

pub fn batch_root(stream: &StreamName, batch: u64, records: &[Record]) -> Hash {
    let mut hasher = LeafHasher::new(stream, batch, &SALT);
    let mut tree = BatchTree::new();
    tree.extend((0..).zip(records).map(|(index, record)| hasher.hash(index, record)));
    tree.root()
}

/// The header of a batch that continues its stream in `log`.
pub fn header(log: &Log, batch: u64, stream: &StreamName, records: &[Record]) -> BatchHeader {
    BatchHeader {
        log: log.origin().clone(),
        batch,
        stream: stream.clone(),
        first_received: received(0),
        last_received: received(records.len() as u32),
        count: records.len() as u32,
        rejected: [("oversize".to_owned(), 2)].into(),
        stream_prev: log.stream_tail(stream),
        parser: "none".into(),
        root: batch_root(stream, batch, records),
        continues: None,
    }
}

/// Appends batches `range` in three streams, every fourth one a heartbeat.
pub fn fill(log: &Log, range: std::ops::Range<u64>) {
    for batch in range {
        let stream = stream(["syslog", "elastic/winlogbeat", "import/a"][batch as usize % 3]);
        let records = if batch % 4 == 3 { Vec::new() } else { records(2) };
        log.append(&[header(log, batch, &stream, &records)]).unwrap();
    }
}

/// Every file under `dir`, relative and sorted.
pub fn files(dir: &Path) -> Vec<String> {
    fn walk(root: &Path, at: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(dir, dir, &mut found);
    found.sort();
    found
}
