//! Crashes between the steps of a publication, and disks that refuse.

use super::publish::Step;
use super::*;
use crate::LogVerifier;
use std::fs;
use std::sync::mpsc::sync_channel;
use yagura_event::UtcMicros;

const ORIGIN: &str = "test.example/events";

fn key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[42; 32]).unwrap()
}

fn open(dir: &Path) -> Log {
    Log::open(dir, ORIGIN, key()).unwrap()
}

fn heartbeat(log: &Log, batch: u64) -> BatchHeader {
    let stream = StreamName::new("syslog").unwrap();
    BatchHeader {
        log: ORIGIN.into(),
        batch,
        stream_prev: log.stream_tail(&stream),
        stream,
        first_received: UtcMicros::default(),
        last_received: UtcMicros::default(),
        count: 0,
        rejected: Default::default(),
        parser: "none".into(),
        root: Hash::empty_root(),
        continues: None,
    }
}

fn fill(log: &Log, batches: std::ops::Range<u64>) {
    for batch in batches {
        log.append(&[heartbeat(log, batch)]).unwrap();
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Publishes `old` headers, then up to `new`, and keeps a copy of the directory after each step.
fn crashes(work: &Path, old: u64, new: u64) -> Vec<(Step, PathBuf)> {
    let dir = work.join("log");
    let log = open(&dir);
    fill(&log, 0..old);
    log.publish().unwrap();
    fill(&log, old..new);
    let (sender, receiver) = sync_channel(64);
    let (from, to) = (dir, work.to_owned());
    let mut count = 0;
    log.publisher.lock().unwrap().on_step = Some(Box::new(move |step| {
        let copy = to.join(format!("crash-{count}"));
        count += 1;
        copy_dir(&from, &copy);
        sender.send((step, copy)).unwrap();
    }));
    log.publish().unwrap();
    drop(log);
    receiver.into_iter().collect()
}

/// After any crash the log is the old or the new one, sound, and takes up where it was.
fn assert_recovers(dir: &Path, allowed: &[u64], new: u64, what: &str) {
    let log = open(dir);
    let size = log.size();
    assert!(allowed.contains(&size), "{what}: size {size}");
    let report = log.verify();
    assert!(report.is_sound(), "{what}: {:?}", report.findings);
    fill(&log, size..new + 3);
    log.publish().unwrap();
    let report = log.verify();
    assert!(report.is_sound(), "{what}, grown: {:?}", report.findings);
    assert_eq!(report.headers, new + 3);
}

#[test]
fn a_crash_between_any_two_steps_leaves_the_old_log_or_the_new_one() {
    // Within a tile, across the end of one, to exactly its end, and from nothing.
    for (old, new) in [(3, 5), (250, 260), (250, 256), (0, 1)] {
        let work = tempfile::tempdir().unwrap();
        let crashes = crashes(work.path(), old, new);
        assert!(crashes.len() >= 7, "{crashes:?}");
        for (step, dir) in crashes {
            // What a verifier says of the crash itself is only what a crash explains.
            let report = LogVerifier::new(&dir, key().verifier_key().clone()).run();
            for finding in &report.findings {
                assert!(finding.a_crash_may_explain_it(), "{step:?} {old}..{new}: {finding}");
            }
            let signed = matches!(step, Step::Replaced | Step::Recorded | Step::Tidied);
            let expected = if signed { new } else { old };
            assert_eq!(report.checkpoint.as_ref().map(Checkpoint::size), Some(expected));
            assert_recovers(&dir, &[expected], new, &format!("{step:?} {old}..{new}"));
        }
    }
}

#[test]
fn a_crash_may_tear_whatever_was_being_written() {
    let work = tempfile::tempdir().unwrap();
    let (old, new) = (3, 5);
    for (step, dir) in crashes(work.path(), old, new) {
        let torn: Vec<&str> = match step {
            Step::FileStaged | Step::Staged => {
                vec!["tile/0/000.p/5", "tile/entries/000.p/5"]
            }
            Step::Signed => vec!["checkpoint.tmp"],
            Step::Recorded => vec!["checkpoints"],
            Step::Replaced | Step::Tidied => continue,
        };
        for name in torn {
            let Ok(whole) = fs::read(dir.join(name)) else { continue };
            // The history may lose no more than its last note; other files all they had.
            let kept = if step == Step::Recorded {
                let before = fs::read(dir.join(CHECKPOINT)).unwrap();
                whole.len() - before.len()
            } else {
                0
            };
            let middle = (kept + whole.len()) / 2;
            for length in [kept, kept + 1, middle, whole.len() - 1] {
                for zeros in [0, whole.len() - length] {
                    let again = work.path().join("torn");
                    copy_dir(&dir, &again);
                    let mut bytes = whole[..length].to_vec();
                    bytes.resize(length + zeros, 0);
                    fs::write(again.join(name), bytes).unwrap();
                    assert_recovers(&again, &[old, new], new, &format!("{name} torn at {length}"));
                    fs::remove_dir_all(&again).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_log_that_was_just_begun_recovers() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path().join("log");
    drop(open(&dir));
    let note = fs::read(dir.join(CHECKPOINT)).unwrap();
    fs::remove_file(dir.join(HISTORY)).unwrap();
    drop(open(&dir));
    assert_eq!(fs::read(dir.join(HISTORY)).unwrap(), note);
    fs::remove_file(dir.join(HISTORY)).unwrap();
    fs::rename(dir.join(CHECKPOINT), dir.join("checkpoint.tmp")).unwrap();
    assert_recovers(&dir, &[0], 0, "only the temporary file");
}

#[test]
fn a_missing_or_changed_file_keeps_the_log_closed() {
    let work = tempfile::tempdir().unwrap();
    let good = work.path().join("log");
    let log = open(&good);
    fill(&log, 0..300);
    log.publish().unwrap();
    drop(log);
    for name in [
        "checkpoint",
        "checkpoints",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/44",
    ] {
        let dir = work.path().join("bad");
        copy_dir(&good, &dir);
        fs::remove_file(dir.join(name)).unwrap();
        let refused = Log::open(&dir, ORIGIN, key()).err().unwrap().to_string();
        assert!(refused.contains(name) && refused.contains("is missing"), "{name}: {refused}");
        // Changed: the last byte is part of a hash, a root or a signature.
        let mut bytes = fs::read(good.join(name)).unwrap();
        let at = bytes.len() - 3;
        bytes[at] ^= 1;
        fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        fs::write(dir.join(name), bytes).unwrap();
        let refused = Log::open(&dir, ORIGIN, key()).err();
        // Within a full bundle only the newest header of each stream is proved at open.
        if name != "tile/entries/000" {
            let refused = refused.unwrap().to_string();
            let place = name.split('/').next().unwrap();
            assert!(refused.contains(place), "{name}: {refused}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn a_disk_that_refuses_loses_nothing() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path().join("log");
    let log = open(&dir);
    fill(&log, 0..3);
    log.publish().unwrap();
    fill(&log, 3..5);
    // A directory where the bundle should go.
    fs::create_dir_all(dir.join("tile/entries/000.p/5/x")).unwrap();
    let refused = log.publish().unwrap_err();
    assert!(matches!(refused, LedgerError::Io { .. }), "{refused}");
    assert_eq!((log.checkpoint().size(), log.size()), (3, 5));
    fs::remove_dir_all(dir.join("tile/entries/000.p/5")).unwrap();
    fill(&log, 5..6);
    assert_eq!(log.publish().unwrap().size(), 6);
    assert!(log.verify().is_sound(), "{:?}", log.verify().findings);

    // The history refuses: the checkpoint is public, and the history catches up.
    fs::rename(dir.join(HISTORY), dir.join("aside")).unwrap();
    fill(&log, 6..7);
    assert!(log.publish().is_err());
    assert_eq!(log.checkpoint().size(), 7);
    fs::rename(dir.join("aside"), dir.join(HISTORY)).unwrap();
    fill(&log, 7..8);
    assert_eq!(log.publish().unwrap().size(), 8);
    let report = log.verify();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.checkpoints, 5);
}

#[test]
fn a_tree_that_no_longer_continues_the_signed_one_is_not_signed() {
    let work = tempfile::tempdir().unwrap();
    let log = open(work.path());
    fill(&log, 0..3);
    log.publish().unwrap();
    fill(&log, 3..5);
    // A bit of memory flips in a hash that is signed already.
    log.state().edges[0][1].0[7] ^= 1;
    let refused = log.publish().unwrap_err();
    assert!(matches!(refused, LedgerError::Inconsistent { .. }), "{refused}");
    assert_eq!(log.checkpoint().size(), 3);
    drop(log);
    assert_recovers(work.path(), &[3], 5, "after the refusal");
}
