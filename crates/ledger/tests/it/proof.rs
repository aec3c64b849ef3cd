//! Proofs that leave the house: they convince, any change refutes them, and a stranger's script agrees.
use crate::common;
use common::{SALT, fill, header, key, open, record, records, stream};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use yagura_event::Record;
use yagura_ledger::limits::PROOF_BYTES_MAX;
use yagura_ledger::{EventProof, EventProofError, SigningKey};

/// A proof of record `index` of a batch of `records` amid other batches.
fn prove(records: &[Record], index: u32) -> EventProof {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 0..300);
    let header = header(&log, 300, &stream("syslog"), records);
    let leaf = log.append(std::slice::from_ref(&header)).unwrap()[0];
    fill(&log, 301..310);
    log.publish().unwrap();
    let outer = log.inclusion_proof(leaf).unwrap();
    EventProof::build(&header, &SALT, records, index, outer).unwrap()
}

#[test]
fn a_proof_proves_its_event() {
    let records = records(100);
    let proof = prove(&records, 57);
    let text = proof.encode();
    assert!(text.contains("\nevent syslog/300/57\n") && text.contains("\nlogin 57 ログイン\n"));
    let read = EventProof::parse(text.as_bytes()).unwrap();
    assert_eq!(read, proof);
    let proven = read.verify(key().verifier_key()).unwrap();
    assert_eq!(proven.leaf.record, records[57]);
    assert_eq!(proven.leaf.id.to_string(), "syslog/300/57");
    assert_eq!((proven.header.batch, proven.checkpoint.size()), (300, 310));
    let other = SigningKey::from_seed(common::ORIGIN, &[43; 32]).unwrap();
    let refused = read.verify(other.verifier_key());
    assert!(matches!(refused, Err(EventProofError::Checkpoint(_))), "{refused:?}");
    assert!(
        EventProof::build(&proven.header, &SALT, &records, 100, read.outer().clone()).is_none()
    );
}

#[test]
fn the_longest_record_has_a_proof_and_nothing_longer_is_read() {
    let mut longest = record(0, &vec![0xff; yagura_event::limits::RECORD_BYTES_MAX]);
    longest.peer = "p".repeat(4_096).into();
    let text = prove_small(&longest).encode();
    assert!(text.len() < PROOF_BYTES_MAX, "{}", text.len());
    let proof = EventProof::parse(text.as_bytes()).unwrap();
    assert_eq!(proof.verify(key().verifier_key()).unwrap().leaf.record, longest);
    let refusal = |bytes: usize| EventProof::parse(&vec![b'x'; bytes]).unwrap_err().to_string();
    assert!(refusal(PROOF_BYTES_MAX).contains("yagura-proof v1"));
    assert!(refusal(PROOF_BYTES_MAX + 1).contains("length"));
}

#[test]
fn every_changed_byte_refutes_a_proof() {
    let key = key();
    for records in [records(3), vec![record(0, b"bell \x07 and \xff")]] {
        let text = prove(&records, 0).encode().into_bytes();
        for at in 0..text.len() {
            for change in [1, 0x20, 0x80] {
                let mut changed = text.clone();
                changed[at] ^= change;
                let verdict =
                    EventProof::parse(&changed).and_then(|p| p.verify(key.verifier_key()));
                assert!(verdict.is_err(), "byte {at} xor {change}: {:?}", verdict.unwrap().leaf.id);
            }
            assert!(EventProof::parse(&text[..at]).is_err(), "cut at {at}");
        }
        let longer = [&text[..], b"\n"].concat();
        assert!(EventProof::parse(&longer).is_err());
    }
}

#[test]
fn records_of_another_batch_do_not_prove() {
    let good = records(5);
    let proof = prove(&good, 2);
    let header = proof.verify(key().verifier_key()).unwrap().header;
    let mut swapped = good.clone();
    swapped.swap(1, 2);
    for bad in [&swapped[..], &good[..4], &[&good[..], &good[..1]].concat()[..]] {
        let bad = EventProof::build(&header, &SALT, bad, 2, proof.outer().clone()).unwrap();
        let refused = bad.verify(key().verifier_key());
        assert!(matches!(refused, Err(EventProofError::Event(_))), "{refused:?}");
    }
    let unsalted = EventProof::build(&header, &[0; 32], &good, 2, proof.outer().clone()).unwrap();
    assert!(unsalted.verify(key().verifier_key()).is_err());
}

#[test]
fn a_stranger_verifies_with_python_and_openssl() {
    let tools = [("python3", "--version"), ("openssl", "version")];
    for (tool, argument) in tools {
        if !Command::new(tool).arg(argument).output().is_ok_and(|output| output.status.success()) {
            assert!(std::env::var_os("CI").is_none(), "{tool} is needed in CI");
            println!("skipped: {tool} is not installed");
            return;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let vkey = dir.path().join("events.vkey");
    std::fs::write(&vkey, format!("{}\n", key().verifier_key())).unwrap();
    let proof = dir.path().join("event.proof");
    let check = |text: &[u8]| {
        std::fs::write(&proof, text).unwrap();
        verify_py(&proof, &vkey)
    };
    let records = [records(9), vec![record(9, b"ansi \x1b[31m and \xff\n\npath 0\n")]].concat();
    let text = prove(&records, 4).encode();
    let (proved, said) = check(text.as_bytes());
    assert!(proved, "{said}");
    assert!(said.starts_with("proved: event syslog/300/4, received 2026-11-21T19:30:00.321004Z"));
    let (proved, said) = check(prove(&records, 9).encode().as_bytes());
    assert!(proved, "{said}");

    // One word of each part, and the size of the tree.
    for (word, forged) in [
        ("login 4", "login 5"),
        ("peer 10.0.0.7", "peer 10.0.0.8"),
        ("event syslog/300/4", "event syslog/300/5"),
        ("rejected oversize=2", "rejected oversize=0"),
        ("\nindex 300\n", "\nindex 301\n"),
        ("\n310\n", "\n311\n"),
        ("\u{2014} test", "\u{2014} best"),
    ] {
        assert_eq!(text.matches(word).count(), 1, "{word:?} stands once in\n{text}");
        let (proved, said) = check(text.replace(word, forged).as_bytes());
        assert!(!proved && said.contains("NOT PROVED"), "{word:?}: {said}");
    }
    let other = SigningKey::from_seed(common::ORIGIN, &[43; 32]).unwrap();
    std::fs::write(&vkey, format!("{}\n", other.verifier_key())).unwrap();
    assert!(!check(text.as_bytes()).0);
}

fn verify_py(proof: &Path, vkey: &Path) -> (bool, String) {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/format/verify.py");
    let output = Command::new("python3").arg(script).args([proof, vkey]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_record_round_trips(bytes in prop::collection::vec(any::<u8>(), 0..200), peer in "\\PC{0,20}") {
        let mut any = record(0, &bytes);
        any.peer = Record::peer_text(&peer);
        let proof = prove_small(&any);
        let text = proof.encode();
        prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        let read = EventProof::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(read.verify(key().verifier_key()).unwrap().leaf.record, any);
    }
}

/// A proof without a log on disk: a batch of one record, a log of one batch.
fn prove_small(record: &Record) -> EventProof {
    use yagura_ledger::{BatchHeader, Checkpoint, TlogProof};
    let stream = stream("s");
    let header = BatchHeader {
        log: common::ORIGIN.into(),
        batch: 0,
        root: common::batch_root(&stream, 0, std::slice::from_ref(record)),
        stream,
        first_received: record.received,
        last_received: record.received,
        count: 1,
        rejected: Default::default(),
        stream_prev: None,
        parser: "1.0".into(),
        continues: None,
    };
    let checkpoint = Checkpoint::sign(1, header.leaf_hash(), &key()).note().to_owned();
    let outer = TlogProof { index: 0, path: Vec::new(), checkpoint };
    EventProof::build(&header, &SALT, [record], 0, outer).unwrap()
}
