//! What a pin keeps of an event: it becomes the proof that the batch would have given, whatever became of
//! the batch, and any change of it is seen.
use crate::common;
use common::{SALT, batch_root, key, received, record, records, stream};
use std::collections::{BTreeMap, BTreeSet};
use yagura_event::{EventId, Record};
use yagura_ledger::limits::PROOF_BYTES_MAX;
use yagura_ledger::tree::{Leaves, inclusion_path};
use yagura_ledger::{
    BatchHeader, BatchTree, Checkpoint, EventProof, EventProofError, Hash, InnerProof, TlogProof,
};

fn header(batch: u64, records: &[Record]) -> BatchHeader {
    let stream = stream("syslog");
    BatchHeader {
        log: common::ORIGIN.into(),
        batch,
        root: batch_root(&stream, batch, records),
        stream,
        first_received: received(0),
        last_received: received(records.len() as u32),
        count: records.len() as u32,
        rejected: Default::default(),
        stream_prev: None,
        parser: "none".into(),
        continues: None,
    }
}

/// Proof of the header at `leaf` of a log with these, without a disk.
fn outer(headers: &[Hash], leaf: u64) -> TlogProof {
    let mut tree = BatchTree::new();
    tree.extend(headers.iter().copied());
    let size = headers.len() as u64;
    let path = inclusion_path(&Leaves(headers), leaf, size).unwrap().unwrap();
    let checkpoint = Checkpoint::sign(size, tree.root(), &key()).note().to_owned();
    TlogProof { index: leaf, path, checkpoint }
}

#[test]
fn a_pin_becomes_the_proof_that_its_batch_gave() {
    let records = records(100);
    let header = header(7, &records);
    let outer = outer(&[Hash::of(b"a"), header.leaf_hash(), Hash::of(b"b")], 1);
    let indexes = BTreeSet::from([0, 57, 99]);
    let pins = InnerProof::build_all(&header, &SALT, &records, &indexes).unwrap();
    assert_eq!(pins.len(), 3);
    for (pin, index) in pins.iter().zip(indexes) {
        assert_eq!(InnerProof::build(&header, &SALT, &records, index).as_ref(), Some(pin));
        let (leaf, of) = pin.verify().unwrap();
        assert_eq!(
            (leaf.id.index, &leaf.record, of),
            (index, &records[index as usize], header.clone())
        );
        let read = InnerProof::parse(pin.encode().as_bytes()).unwrap();
        assert_eq!(&read, pin);
        let proof = EventProof::new(read, outer.clone());
        let of_batch = EventProof::build(&header, &SALT, &records, index, outer.clone()).unwrap();
        assert_eq!(proof.encode(), of_batch.encode(), "to the byte");
        assert!(proof.verify(key().verifier_key()).is_ok());
        let hex: String = SALT.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!pin.encode().contains(&hex), "the salt of the batch stays behind");
    }
    assert!(InnerProof::build_all(&header, &SALT, &records, &BTreeSet::from([3, 100])).is_none());
    let others = InnerProof::build(&header, &SALT, &records[1..], 3).unwrap();
    assert!(matches!(others.verify(), Err(EventProofError::Event(_))), "of other records");
}

#[test]
fn every_changed_byte_of_a_pin_is_seen() {
    for records in [records(3), vec![record(0, b"bell \x07 and \xff")]] {
        let header = header(7, &records);
        let pin = InnerProof::build(&header, &SALT, &records, 0).unwrap();
        let text = pin.encode().into_bytes();
        for at in 0..text.len() {
            for change in [1, 0x20, 0x80] {
                let mut changed = text.clone();
                changed[at] ^= change;
                // What the header says besides its root, whoever has the log compares.
                let seen = match InnerProof::parse(&changed) {
                    Err(error) => matches!(error, EventProofError::NotAPin(_)),
                    Ok(read) => read.verify().is_err() || read.header() != header.encode(),
                };
                assert!(seen, "byte {at} xor {change}");
            }
            assert!(InnerProof::parse(&text[..at]).is_err(), "cut at {at}");
        }
        assert!(InnerProof::parse(&[&text[..], b"\n"].concat()).is_err());
    }
}

#[test]
fn the_longest_record_is_pinned_and_nothing_longer_is_read() {
    let mut longest = record(0, &vec![0xff; yagura_event::limits::RECORD_BYTES_MAX]);
    longest.peer = "p".repeat(16 * 1024).into();
    let records = [longest];
    let pin = InnerProof::build(&header(7, &records), &SALT, &records, 0).unwrap();
    let text = pin.encode();
    assert!(text.len() < PROOF_BYTES_MAX, "{}", text.len());
    assert_eq!(InnerProof::parse(text.as_bytes()).unwrap(), pin);
    let refusal = |bytes: usize| InnerProof::parse(&vec![b'x'; bytes]).unwrap_err().to_string();
    assert!(refusal(PROOF_BYTES_MAX).contains("yagura-pin v1"));
    assert!(refusal(PROOF_BYTES_MAX + 1).contains("length"));
}

/// Numbers that look random and are the same each time (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// One life of a log: batches come and go, are read back and written anew, events are pinned and unpinned.
/// What is left of a deleted batch is its header.
#[test]
fn ten_thousand_schedules_leave_every_pinned_event_provable() {
    const SCHEDULES: u64 = 10_000;
    let key = key();
    let mut proved = 0;
    for seed in 0..SCHEDULES {
        let mut dice = Dice(seed);
        let mut headers: Vec<BatchHeader> = Vec::new();
        let mut stored: BTreeMap<u64, Vec<Record>> = BTreeMap::new();
        let mut pins: BTreeMap<(u64, u32), (Vec<u8>, String)> = BTreeMap::new();
        for _ in 0..12 {
            match dice.below(5) {
                0 | 1 => {
                    let batch = headers.len() as u64;
                    let records = records(1 + dice.below(6) as u32);
                    headers.push(header(batch, &records));
                    stored.insert(batch, records);
                }
                2 if !stored.is_empty() => {
                    let at = dice.below(stored.len() as u64) as usize;
                    let (&batch, records) = stored.iter().nth(at).unwrap();
                    let indexes =
                        (0..records.len() as u32).filter(|_| dice.below(2) == 0).collect();
                    let header = &headers[batch as usize];
                    let of = InnerProof::build_all(header, &SALT, records, &indexes).unwrap();
                    for pin in of {
                        let (leaf, _) = pin.verify().unwrap();
                        let at = (batch, leaf.id.index);
                        pins.insert(at, (leaf.record.bytes.to_vec(), pin.encode()));
                    }
                }
                3 if !stored.is_empty() => {
                    let at = dice.below(stored.len() as u64) as usize;
                    let batch = *stored.keys().nth(at).unwrap();
                    stored.remove(&batch);
                }
                4 if !pins.is_empty() && dice.below(3) == 0 => {
                    let at = dice.below(pins.len() as u64) as usize;
                    let pin = *pins.keys().nth(at).unwrap();
                    pins.remove(&pin);
                }
                _ => {}
            }
        }
        let hashes: Vec<Hash> = headers.iter().map(BatchHeader::leaf_hash).collect();
        // The signature is the same for all: one of them is checked to the end, the others to the root.
        let mut signed = true;
        for ((batch, index), (bytes, text)) in &pins {
            let pin = InnerProof::parse(text.as_bytes()).unwrap();
            let (leaf, header) = pin.verify().unwrap();
            let id = EventId { stream: header.stream.clone(), batch: *batch, index: *index };
            assert_eq!((&leaf.id, &leaf.record.bytes[..]), (&id, &bytes[..]), "seed {seed}");
            assert_eq!(header, headers[*batch as usize], "seed {seed}");
            if std::mem::take(&mut signed) {
                let proof = EventProof::new(pin, outer(&hashes, *batch)).encode();
                let proof = EventProof::parse(proof.as_bytes()).unwrap();
                assert_eq!(proof.verify(key.verifier_key()).unwrap().leaf, leaf, "seed {seed}");
            }
            proved += 1;
        }
    }
    assert!(proved > SCHEDULES, "{proved}");
}
