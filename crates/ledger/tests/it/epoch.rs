//! A log that goes on in a new epoch: nothing of it changes, and nothing of it may be changed.

use crate::common::{self, fill, header, key, records, stream};
use std::path::Path;
use yagura_ledger::epoch::EPOCH_BATCHES;
use yagura_ledger::{
    BatchHeader, Checkpoint, LedgerError, Log, LogReport, LogVerifier, Problem, SigningKey,
    VerifierKey,
};

const SECOND: &str = "test.example/events/e2";

fn second() -> SigningKey {
    SigningKey::from_seed(SECOND, &[43; 32]).unwrap()
}

fn first_keys() -> Vec<VerifierKey> {
    vec![key().verifier_key().clone()]
}

fn keys() -> Vec<VerifierKey> {
    vec![key().verifier_key().clone(), second().verifier_key().clone()]
}

fn verified(dir: &Path) -> LogReport {
    LogVerifier::of_epochs(dir, keys()).run()
}

/// A log of 300 headers, with the head of its first epoch.
fn old(dir: &Path) -> Checkpoint {
    let log = common::open(dir);
    fill(&log, 1..301);
    log.publish().unwrap()
}

#[test]
fn a_new_epoch_names_the_old_head_and_the_log_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let head = old(dir);
    let log = Log::open_epoch(dir, &first_keys(), second(), common::received(0)).unwrap();
    assert!(log.is_fresh_epoch());
    let opening = log.header(300).unwrap();
    assert_eq!((&*opening.log, opening.count), (SECOND, 0));
    assert_eq!(opening.continues.as_ref(), Some(&head));
    assert_eq!((opening.batch, log.first_batch()), (2 * EPOCH_BATCHES, 2 * EPOCH_BATCHES));
    assert_eq!(BatchHeader::parse(&opening.encode()).unwrap(), opening);
    // Nobody asks the journal for heartbeats of it.
    assert_eq!(log.streams().len(), 3);

    let next = 2 * EPOCH_BATCHES + 1;
    fill(&log, next..next + 300);
    log.publish().unwrap();
    assert!(!log.is_fresh_epoch());
    drop(log);
    let log = Log::open_epochs(dir, &first_keys(), second()).unwrap();
    assert_eq!((log.size(), log.first_batch()), (601, 2 * EPOCH_BATCHES));
    assert_eq!(log.root_at(300).unwrap(), Some(head.root()), "the old tree is its beginning");
    assert_eq!((log.root_at(0).unwrap().is_some(), log.root_at(602).unwrap()), (true, None));
    let report = log.verify();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!((report.headers, report.checkpoints), (601, 4));

    // Each header is proved by the key of its epoch, those of the first as before.
    for leaf in [0, 255, 299, 300, 301, 600] {
        let proof = log.inclusion_proof(leaf).unwrap();
        let (mine, other) = if leaf < 300 { (key(), second()) } else { (second(), key()) };
        let hash = log.header(leaf).unwrap().leaf_hash();
        assert_eq!(log.verifier_key_of(leaf), Some(mine.verifier_key()));
        proof.verify(hash, mine.verifier_key()).unwrap();
        assert!(proof.verify(hash, other.verifier_key()).is_err());
    }
    assert_eq!(log.inclusion_proof(7).unwrap().checkpoint, head.note());
}

#[test]
fn an_epoch_follows_an_epoch() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    old(dir);
    Log::open_epoch(dir, &first_keys(), second(), common::received(0)).unwrap();
    let third = SigningKey::from_seed("test.example/events/e3", &[44; 32]).unwrap();
    let log = Log::open_epoch(dir, &keys(), third.clone(), common::received(1)).unwrap();
    assert_eq!(
        log.header(301).unwrap().stream_prev,
        Some((300, log.header(300).unwrap().leaf_hash()))
    );
    assert_eq!(log.first_batch(), 4 * EPOCH_BATCHES);
    let all = [keys(), vec![third.verifier_key().clone()]].concat();
    let report = LogVerifier::of_epochs(dir, all).run();
    assert!(report.is_sound(), "{:?}", report.findings);
}

#[test]
fn the_old_key_opens_the_log_no_more() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    old(dir);
    drop(Log::open_epoch(dir, &first_keys(), second(), common::received(0)).unwrap());
    assert!(matches!(Log::open(dir, common::ORIGIN, key()), Err(LedgerError::Checkpoint { .. })));
    // Nor does the new one without the keys of those before.
    let alone = Log::open(dir, SECOND, second());
    assert!(matches!(alone, Err(LedgerError::Damaged { .. })));
    let wrong = SigningKey::from_seed(common::ORIGIN, &[9; 32]).unwrap();
    let wrong = [wrong.verifier_key().clone()];
    assert!(Log::open_epochs(dir, &wrong, second()).is_err());
    let findings = |keys| LogVerifier::of_epochs(dir, keys).run().findings_total;
    assert!(findings(first_keys()) > 0);
    assert!(findings(vec![second().verifier_key().clone()]) > 0);
    assert!(findings([wrong.to_vec(), vec![second().verifier_key().clone()]].concat()) > 0);
    assert_eq!(findings(keys()), 0);
}

#[test]
fn only_opening_an_epoch_makes_a_header_that_does() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let head = old(dir);
    let named = SigningKey::from_seed("test.example/events/e7", &[1; 32]).unwrap();
    let refused = Log::open_epoch(dir, &first_keys(), named, common::received(0));
    assert!(matches!(refused, Err(LedgerError::Origin { .. })));
    let log = Log::open_epoch(dir, &first_keys(), second(), common::received(0)).unwrap();
    let made = BatchHeader { continues: Some(head), ..log.header(300).unwrap() };
    assert!(matches!(log.append(std::slice::from_ref(&made)), Err(LedgerError::Header { .. })));
    // A header of records opens nothing, nor does one of another log.
    for wrong in [
        BatchHeader { log: common::ORIGIN.into(), ..made.clone() },
        BatchHeader { log: "test.example/events/e3".into(), ..made.clone() },
        BatchHeader { count: 1, root: yagura_ledger::Hash::of(b"x"), ..made.clone() },
    ] {
        assert!(BatchHeader::parse(&wrong.encode()).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_crash_while_an_epoch_opens_leaves_the_old_log_or_the_new_one() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let head = old(dir);
    let history = std::fs::read(dir.join("checkpoints")).unwrap();
    drop(Log::open_epoch(dir, &first_keys(), second(), common::received(0)).unwrap());
    // Between replacing the checkpoint and recording it.
    std::fs::write(dir.join("checkpoints"), &history).unwrap();
    let log = Log::open_epochs(dir, &first_keys(), second()).unwrap();
    assert!(log.verify().is_sound());
    drop(log);
    // Back to the old head as a whole copy of it would be: the history knows better.
    std::fs::write(dir.join("checkpoint"), head.note()).unwrap();
    let refused = Log::open(dir, common::ORIGIN, key());
    assert!(refused.is_err());
}

#[test]
fn every_changed_byte_of_a_log_of_two_epochs_is_found() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let log = common::open(dir);
    fill(&log, 1..4);
    log.publish().unwrap();
    drop(log);
    let log = Log::open_epoch(dir, &first_keys(), second(), common::received(0)).unwrap();
    let next = log.first_batch() + 1;
    log.append(&[header(&log, next, &stream("syslog"), &records(1))]).unwrap();
    log.publish().unwrap();
    drop(log);
    let report = verified(dir);
    assert!(report.is_sound(), "{:?}", report.findings);
    for file in common::files(dir) {
        let path = dir.join(&file);
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x20;
            std::fs::write(&path, &changed).unwrap();
            let report = verified(dir);
            let named = report.findings.iter().any(|finding| finding.file == path);
            assert!(named, "byte {at} of {file}: {:?}", report.findings);
        }
        std::fs::write(&path, &bytes).unwrap();
    }
}

#[test]
fn a_log_that_is_read_alone_signs_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let head = old(dir);
    let before = common::files(dir);
    let log = Log::open_to_read(dir, &first_keys()).unwrap();
    fill(&log, 301..310);
    assert_eq!(log.publish().unwrap(), head);
    assert_eq!((log.size(), log.checkpoint()), (309, head.clone()));
    assert_eq!(log.snapshot().unwrap().checkpoint, head);
    drop(log);
    assert_eq!(common::files(dir), before);
    assert_eq!(common::open(dir).size(), 300);
    assert!(Log::open_to_read(&dir.join("none"), &first_keys()).is_err());
}

#[test]
fn a_snapshot_is_the_log_as_it_was_however_it_grows() {
    let (scratch, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = common::open(scratch.path());
    fill(&log, 1..301);
    let snapshot = log.snapshot().unwrap();
    fill(&log, 301..900);
    log.publish().unwrap();
    for file in snapshot.files {
        use std::io::Read as _;
        let opened = match file.file {
            Some(file) => file,
            None => std::fs::File::open(scratch.path().join(&file.path)).unwrap(),
        };
        let mut bytes = Vec::new();
        opened.take(file.length.unwrap_or(u64::MAX)).read_to_end(&mut bytes).unwrap();
        let target = copy.path().join(&file.path);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, bytes).unwrap();
    }
    let report = LogVerifier::new(copy.path(), key().verifier_key().clone()).run();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.checkpoint, Some(snapshot.checkpoint));
    let report = LogVerifier::of_epochs(copy.path(), keys()).run();
    assert!(report.findings.iter().any(|it| it.problem == Problem::Signature));
}
