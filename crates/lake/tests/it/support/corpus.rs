//! Real logs in a lake, and the roots they were sealed with: for the tests and the measurement.
#![allow(dead_code, reason = "each uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../../../rebuild/tests/common/mod.rs"]
pub mod common;

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use yagura_event::{CommittedRun, Record, StreamName, Transport, UtcMicros};
use yagura_lake::{BatchHead, CompactStep, CompactWatch, Lake, StoredBatch, StoredLeaves};
use yagura_ledger::{BatchTree, Hash, LeafHasher};

/// 2026-11-21T12:00:00Z.
const NOON: i64 = 1_795_262_400_000_000;

/// Records that are received together, as in one request.
const TOGETHER: u64 = 100;

/// Time between two such, µs.
const APART: i64 = 37_123;

/// What was received, by batch.
#[derive(Default)]
pub struct Received {
    pub roots: BTreeMap<u64, Hash>,
    pub events: u64,
    pub bytes: u64,
}

impl Received {
    /// Puts lines into the lake, `batch_rows` a batch.
    pub fn add(&mut self, lake: &Lake, stream: &str, lines: &[Vec<u8>], batch_rows: usize) {
        let mut normalizer = common::normalizer();
        let stream = StreamName::new(stream).unwrap();
        for lines in lines.chunks(batch_rows) {
            let batch = self.roots.len() as u64 + 1;
            let record = |(number, bytes): (u64, &Vec<u8>)| {
                let request = i64::try_from((self.events + number) / TOGETHER).unwrap();
                Record {
                    received: UtcMicros::from_micros(NOON + request * APART),
                    transport: Transport::HttpIngest,
                    peer: "192.0.2.1:40000".into(),
                    identity: "token:collector".into(),
                    bytes: bytes.clone().into(),
                }
            };
            let run = CommittedRun {
                stream: stream.clone(),
                batch,
                batch_salt: Sha256::digest(batch.to_le_bytes()).into(),
                first_index: 0,
                records: (0..).zip(lines).map(record).collect(),
            };
            self.events += lines.len() as u64;
            self.bytes += lines.iter().map(|line| line.len() as u64).sum::<u64>();
            let records = run.indexed().map(|(index, record)| (index, record.clone())).collect();
            let batch_salt = run.batch_salt;
            let stored = StoredBatch { batch, stream: stream.clone(), batch_salt, records };
            self.roots.insert(batch, root(&stored));
            normalizer.normalize(&run);
            lake.add(normalizer.take_batches()).unwrap();
            lake.batch_sealed(batch);
            lake.flush(lake.stats().hot_bytes > 100 << 20).unwrap();
        }
    }
}

/// The root of a batch, as the ledger has it.
pub fn root(batch: &StoredBatch) -> Hash {
    let mut hasher = LeafHasher::new(&batch.stream, batch.batch, &batch.batch_salt);
    let mut tree = BatchTree::default();
    tree.extend(batch.records.iter().map(|(index, record)| hasher.hash(*index, record)));
    tree.root()
}

/// The leaf of a record, as the ledger has it.
pub fn leaf(batch: &BatchHead, index: u32, record: &Record) -> [u8; 32] {
    LeafHasher::new(&batch.stream, batch.batch, &batch.batch_salt).hash(index, record).0
}

/// The root of a batch of these hashes.
pub fn root_of(batch: &StoredLeaves) -> Hash {
    let mut tree = BatchTree::default();
    tree.extend(batch.leaves.iter().map(|(_, leaf)| Hash(*leaf)));
    tree.root()
}

impl CompactWatch for Received {
    fn at(&mut self, _: CompactStep) -> bool {
        true
    }

    fn leaf(&mut self, batch: &BatchHead, index: u32, record: &Record) -> [u8; 32] {
        leaf(batch, index, record)
    }

    fn verify(&mut self, batch: &StoredLeaves) -> Result<(), String> {
        let same = self.roots.get(&batch.head.batch) == Some(&root_of(batch));
        same.then_some(()).ok_or_else(|| "another root".to_owned())
    }
}
