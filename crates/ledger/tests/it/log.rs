//! A log as its users see it: places, streams, proofs, reopening, refusals.
use crate::common;
use common::{files, fill, header, key, open, records, stream};
use yagura_ledger::tree::{verify_consistency, verify_inclusion};
use yagura_ledger::{Hash, LedgerError, Log, SigningKey, limits};

#[test]
fn a_reopened_log_is_the_same_log() {
    let dir = tempfile::tempdir().unwrap();
    // 700 headers: two full tiles, two full bundles, a partial one of each, and level 1.
    let log = open(dir.path());
    fill(&log, 0..700);
    let checkpoint = log.publish().unwrap();
    assert_eq!((checkpoint.size(), log.size()), (700, 700));
    assert_eq!(log.publish().unwrap(), checkpoint, "nothing new, nothing signed");
    let before: Vec<_> = (0..700).map(|leaf| log.header(leaf).unwrap()).collect();
    let streams = log.streams();
    drop(log);

    assert_eq!(
        files(dir.path()),
        [
            "checkpoint",
            "checkpoints",
            "tile/0/000",
            "tile/0/001",
            "tile/0/002.p/188",
            "tile/1/000.p/2",
            "tile/entries/000",
            "tile/entries/001",
            "tile/entries/002.p/188"
        ]
    );
    let log = open(dir.path());
    assert_eq!(log.checkpoint(), checkpoint);
    assert_eq!(log.streams(), streams);
    assert_eq!(streams.iter().map(|(_, stream)| stream.batches).sum::<u64>(), 700);
    assert_eq!(log.stream_count(&stream("syslog")), streams[2].1.records);
    assert_eq!(log.stream_count(&stream("nobody")), 0);
    for (leaf, header) in (0..).zip(&before) {
        assert_eq!(log.header(leaf).unwrap(), *header);
        assert_eq!(log.leaf_of_batch(header.batch).unwrap(), Some(leaf));
    }
    assert_eq!(log.leaf_of_batch(700).unwrap(), None);
    assert!(matches!(log.header(700), Err(LedgerError::NoSuchLeaf { leaf: 700, size: 700 })));
    let report = log.verify();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!((report.headers, report.checkpoints, report.files), (700, 2, 9));

    // It grows on from where it was.
    fill(&log, 700..1_100);
    log.publish().unwrap();
    let report = log.verify();
    assert!(report.is_sound(), "{:?}", report.findings);
    let (proof, newest) = log.consistency_proof(700).unwrap();
    verify_consistency(700, checkpoint.root(), 1_100, newest.root(), &proof).unwrap();
    for leaf in [0, 255, 256, 699, 700, 1_023, 1_099] {
        let proof = log.inclusion_proof(leaf).unwrap();
        let hash = log.header(leaf).unwrap().leaf_hash();
        verify_inclusion(hash, leaf, 1_100, &proof.path, newest.root()).unwrap();
        proof.verify(hash, log.verifier_key().unwrap()).unwrap();
    }
}

#[test]
fn what_was_not_published_comes_again_at_the_same_place() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 0..5);
    log.publish().unwrap();
    fill(&log, 5..300);
    assert!(matches!(log.inclusion_proof(7), Err(LedgerError::NoSuchLeaf { leaf: 7, size: 5 })));
    let lost: Vec<_> = (0..300).map(|leaf| log.header(leaf).unwrap()).collect();
    drop(log);

    let log = open(dir.path());
    assert_eq!(log.size(), 5);
    // The journal replays its seal records: those the log has, and those it lost.
    assert_eq!(log.append(&lost).unwrap(), (0..300).collect::<Vec<u64>>());
    assert_eq!(log.append(&lost[40..50]).unwrap(), (40..50).collect::<Vec<u64>>());
    assert_eq!(log.publish().unwrap().size(), 300);
    assert!(log.verify().is_sound());
}

#[test]
fn a_header_that_does_not_fit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 0..10);
    let good = header(&log, 10, &stream("syslog"), &records(1));
    let refusal = |change: &dyn Fn(&mut yagura_ledger::BatchHeader)| {
        let mut bad = good.clone();
        change(&mut bad);
        log.append(&[bad]).unwrap_err().to_string()
    };
    assert!(refusal(&|h| h.stream_prev = None).contains("stream_prev is none"));
    assert!(refusal(&|h| h.stream_prev = Some((1, Hash::of(b"")))).contains("stream_prev is 1:"));
    assert!(refusal(&|h| h.batch = 9).contains("with other contents (leaf 9)"));
    assert!(refusal(&|h| h.log = "other.example/events".into()).contains("log"));
    assert!(refusal(&|h| h.parser = "two words".into()).contains("parser"));
    assert!(refusal(&|h| h.count = 0).contains("root"));
    assert!(refusal(&|h| h.rejected.extend([("a b".into(), 1)])).contains("rejected"));
    assert!(refusal(&|h| h.rejected.extend([("zero".into(), 0)])).contains("rejected"));
    assert!(refusal(&|h| h.rejected.extend([("x".repeat(33), 1)])).contains("rejected"));
    assert_eq!(log.append(&[good]).unwrap(), [10]);
}

#[test]
fn a_long_backlog_is_published_on_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let max = limits::PENDING_HEADERS_MAX as u64;
    fill(&log, 0..max);
    assert_eq!(log.checkpoint().size(), 0);
    fill(&log, max..max + 1);
    assert_eq!(log.checkpoint().size(), max);
    // A batch sealed late, far from its number, is found all the same.
    fill(&log, max + 10..max + 20);
    fill(&log, max + 5..max + 6);
    assert_eq!(log.leaf_of_batch(max + 5).unwrap(), Some(max + 11));
    assert_eq!(log.leaf_of_batch(max + 6).unwrap(), None);
}

#[test]
fn an_older_checkpoint_or_another_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 0..5);
    let old = log.publish().unwrap();
    let tiles = ["tile/0/000.p/5", "tile/entries/000.p/5"];
    let backup = tiles.map(|path| (path, std::fs::read(dir.path().join(path)).unwrap()));
    fill(&log, 5..9);
    log.publish().unwrap();
    drop(log);

    let other = SigningKey::from_seed(common::ORIGIN, &[43; 32]).unwrap();
    let refused = Log::open(dir.path(), common::ORIGIN, other).err().unwrap();
    assert!(matches!(refused, LedgerError::Checkpoint { .. }), "{refused}");
    let refused = Log::open(dir.path(), "other.example/events", key()).err().unwrap();
    assert!(matches!(refused, LedgerError::Origin { .. }), "{refused}");

    // A backup of everything but the history comes back (I8).
    std::fs::write(dir.path().join("checkpoint"), old.note()).unwrap();
    for (path, bytes) in backup {
        std::fs::write(dir.path().join(path), bytes).unwrap();
    }
    let refused = Log::open(dir.path(), common::ORIGIN, key()).err().unwrap();
    assert!(matches!(refused, LedgerError::Rollback { signed: 9, found: 5, .. }), "{refused}");
}

#[test]
fn threads_share_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..3u64 {
            let log = &log;
            scope.spawn(move || {
                let stream = stream(&format!("s{thread}"));
                for n in 0..60 {
                    let header = header(log, n * 3 + thread, &stream, &records(1));
                    log.append(&[header]).unwrap();
                    if n % 20 == 0 {
                        log.publish().unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(log.publish().unwrap().size(), 180);
    let report = log.verify();
    assert!(report.is_sound(), "{:?}", report.findings);
}
