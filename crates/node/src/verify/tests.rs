#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::{CompactRequest, NodeOptions, VacuumRequest};
use std::io::Write;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;
use yagura_event::{Record, StreamName, SystemClock, Transport};
use yagura_intake::import::ImportSink;

fn open(dir: &Path) -> Arc<Node> {
    let options = NodeOptions { builtin_rules: false, ..NodeOptions::default() };
    Arc::new(Node::open(DataDir::new(dir), options, Arc::new(SystemClock)).unwrap())
}

/// Makes records durable, each of them received at `received`.
fn append(node: &Node, lines: &[&str], received: UtcMicros) {
    let stream = StreamName::new("syslog").unwrap();
    let record = |line: &&str| Record {
        received,
        transport: Transport::SyslogTcp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: line.as_bytes().to_vec().into(),
    };
    node.sink().append(&stream, lines.iter().map(record).collect()).unwrap();
}

/// A store that was closed, with what was received at each of `times` in files of its own.
fn stored(dir: &Path, text: &str, times: &[&str]) {
    let node = open(dir);
    for time in times {
        append(&node, &[&format!("<13>1 - host app - - - {text}")], time.parse().unwrap());
        node.flush().unwrap();
    }
    node.close().unwrap();
}

fn verified(dir: &Path, from: Option<&str>, to: Option<&str>, event: Option<&str>) -> VerifyReport {
    let event = event.map(|event| event.parse().unwrap());
    let scope = VerifyScope::parse(from, to, event).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    verify_dir(&DataDir::new(dir), &scope, &clock).unwrap()
}

/// The Parquet files, by name: a flush's time is in it.
fn parquet(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            parquet(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "parquet") {
            found.push(path);
        }
    }
}

fn places(report: &VerifyReport) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.place.as_str()).collect()
}

#[test]
fn a_flush_goes_through_while_a_slow_verification_reads() {
    let dir = tempfile::tempdir().unwrap();
    stored(dir.path(), "before", &["2026-11-21T10:00:00Z"]);
    let node = open(dir.path());
    // A recorded file that answers when we let it: what is read of it is what it was.
    let key = dir.path().join("keys/audit.vkey");
    let content = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
    let (verifying, verified) = mpsc::sync_channel(1);
    std::thread::spawn({
        let node = node.clone();
        move || verifying.send(node.verify(&VerifyScope::default()).unwrap())
    });
    // Opens once the verification does; else a thread is left waiting, and not the test.
    let (opening, opened) = mpsc::sync_channel(1);
    std::thread::spawn({
        let key = key.clone();
        move || opening.send(std::fs::OpenOptions::new().write(true).open(&key).unwrap())
    });
    let slow = opened.recv_timeout(Duration::from_secs(60));
    let mut slow = slow.expect("the verification reads the recorded file");
    let (done, flushed) = mpsc::sync_channel(1);
    let flushing = std::thread::spawn({
        let node = node.clone();
        move || {
            append(&node, &["<13>1 - host app - - - meanwhile"], node.clock().now());
            done.send(node.flush()).unwrap();
        }
    });
    let flushed = flushed.recv_timeout(Duration::from_secs(60));
    let in_table = node.lake().stored_batches().len();
    slow.write_all(&content).unwrap();
    drop(slow);
    let report = verified.recv_timeout(Duration::from_secs(60)).expect("the verification ends");
    flushed.expect("the flush waits for the verification").unwrap();
    flushing.join().unwrap();
    assert!(in_table >= 2, "what came meanwhile is in the table");
    assert_eq!(report.findings, [], "{report:?}");
    std::fs::remove_file(&key).unwrap();
    std::fs::write(&key, &content).unwrap();
    // A stranger's file is a finding also while the server runs.
    std::fs::write(dir.path().join("lake/events/stray.parquet"), b"x").unwrap();
    std::fs::remove_file(dir.path().join("keys/events.vkey")).unwrap();
    let report = node.verify(&VerifyScope::default()).unwrap();
    assert_eq!(places(&report), ["keys/events.vkey", "lake/events/stray.parquet"], "{report:?}");
    node.close().unwrap();
}

#[test]
fn every_damaged_file_is_named_and_only_within_the_range() {
    let dir = tempfile::tempdir().unwrap();
    let times = [
        "2026-11-18T10:00:00Z",
        "2026-11-19T10:00:00Z",
        "2026-11-20T10:00:00Z",
        "2026-11-21T10:00:00Z",
    ];
    stored(dir.path(), "one", &times);
    assert!(verified(dir.path(), None, None, None).ok);
    let mut files = Vec::new();
    parquet(&dir.path().join("lake/events"), &mut files);
    let of_day = |day: &str| {
        files
            .iter()
            .find(|path| path.to_string_lossy().contains(day))
            .unwrap_or_else(|| panic!("{files:?}"))
    };
    let damaged = [of_day("2026-11-18"), of_day("2026-11-20")];
    for path in damaged {
        let mut bytes = std::fs::read(path).unwrap();
        // The footer's length and magic number.
        let end = bytes.len();
        bytes[end - 8..].fill(0);
        std::fs::write(path, bytes).unwrap();
    }
    let data = DataDir::new(dir.path());
    let whole = verified(dir.path(), None, None, None);
    let batches = whole.checks.iter().find(|check| check.name == BATCHES.0).unwrap();
    assert_eq!((batches.checked, batches.wrong), (2, 2), "{whole:?}");
    for path in damaged {
        assert!(places(&whole).contains(&data.relative(path).as_str()), "{whole:?}");
    }
    let sound = verified(dir.path(), Some("2026-11-21T00:00:00Z"), None, None);
    assert!(sound.ok, "{sound:?}");
    let sound =
        verified(dir.path(), Some("2026-11-19T00:00:00Z"), Some("2026-11-20T00:00:00Z"), None);
    assert!(sound.ok, "{sound:?}");
    let within =
        verified(dir.path(), Some("2026-11-20T00:00:00Z"), Some("2026-11-21T00:00:00Z"), None);
    assert_eq!(places(&within), [data.relative(damaged[1])], "{within:?}");
}

#[test]
fn an_event_that_was_exchanged_or_damaged_or_never_was_does_not_verify() {
    let scratch = tempfile::tempdir().unwrap();
    let (dir, other) = (scratch.path().join("data"), scratch.path().join("other"));
    let time = ["2026-11-21T10:00:00Z"];
    stored(&dir, "what happened", &time);
    stored(&other, "what is claimed", &time);
    let node = open(&dir);
    let batch = node.lake().stored_batches()[0].0;
    node.close().unwrap();
    let event = format!("syslog/{batch}/0");
    assert!(verified(&dir, None, None, Some(&event)).ok);
    let unknown = verified(&dir, None, None, Some(&format!("syslog/{batch}/1")));
    assert_eq!(places(&unknown), [format!("syslog/{batch}/1")], "{unknown:?}");

    // A whole table in the place of ours, every file of it sound in itself.
    std::fs::rename(dir.join("lake"), dir.join("ours")).unwrap();
    std::fs::rename(other.join("lake"), dir.join("lake")).unwrap();
    let mut files = Vec::new();
    parquet(&dir.join("lake"), &mut files);
    let name = DataDir::new(&dir).relative(&files[0]);
    let tampered = verified(&dir, None, None, Some(&event));
    assert!(!tampered.ok, "{tampered:?}");
    let batch = verified(&dir, Some("2026-11-21T00:00:00Z"), None, None);
    assert!(places(&batch).iter().any(|place| place.starts_with(&name)), "{name}: {batch:?}");

    let mut bytes = std::fs::read(&files[0]).unwrap();
    let end = bytes.len();
    bytes[end - 8..].fill(0);
    std::fs::write(&files[0], bytes).unwrap();
    let damaged = verified(&dir, None, None, Some(&event));
    assert!(places(&damaged)[0].starts_with(&name), "{damaged:?}");
}

#[test]
fn nothing_is_removed_while_a_verification_reads() {
    let dir = tempfile::tempdir().unwrap();
    let start: UtcMicros = "2026-11-21T10:00:00Z".parse().unwrap();
    let clock = Arc::new(yagura_event::ManualClock::at(start));
    let options = NodeOptions { builtin_rules: false, ..NodeOptions::default() };
    let node = Arc::new(Node::open(DataDir::new(dir.path()), options, clock.clone()).unwrap());
    for text in ["one", "two"] {
        append(&node, &[&format!("<13>1 - host app - - - {text}")], start);
        node.flush().unwrap();
    }
    let mut before = Vec::new();
    parquet(&dir.path().join("lake/events"), &mut before);
    node.compact(&CompactRequest::default(), "test").unwrap();
    while node.compacting()["running"] == true {
        std::thread::yield_now();
    }
    assert_eq!(node.compacting()["files_before"], before.len() as u64, "{}", node.compacting());
    let kept = node.keep_files();
    clock.advance_micros(crate::reprocess::REPLACED_KEPT_MICROS + 1);
    let dry = node.vacuum(&VacuumRequest { dry_run: true }, "test").unwrap();
    let listed = dry["files"].as_array().unwrap();
    assert_eq!(listed.len(), 2 * before.len(), "each with its text index");
    assert!(listed.iter().all(|file| file["removable"] == true), "{dry}");
    let refused = node.vacuum(&VacuumRequest::default(), "test").unwrap_err();
    assert!(refused.to_string().contains("verification"), "{refused}");
    assert!(before.iter().all(|path| path.try_exists().unwrap()));
    drop(kept);
    node.vacuum(&VacuumRequest::default(), "test").unwrap();
    assert!(before.iter().all(|path| !path.try_exists().unwrap()));
    assert!(node.verify(&VerifyScope::default()).unwrap().ok);
    node.close().unwrap();
}

#[test]
fn a_damaged_compacted_file_is_named_once_and_the_others_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let times = [
        "2026-11-18T10:00:00Z",
        "2026-11-18T11:00:00Z",
        "2026-11-19T10:00:00Z",
        "2026-11-19T11:00:00Z",
        "2026-11-20T10:00:00Z",
    ];
    stored(dir.path(), "one", &times);
    let node = open(dir.path());
    node.compact(&CompactRequest::default(), "test").unwrap();
    while node.compacting()["running"] == true {
        std::thread::yield_now();
    }
    node.close().unwrap();
    let mut files = Vec::new();
    parquet(&dir.path().join("lake/events"), &mut files);
    let damaged = files.iter().find(|path| path.to_string_lossy().contains("2026-11-18")).unwrap();
    let mut bytes = std::fs::read(damaged).unwrap();
    let end = bytes.len();
    bytes[end - 8..].fill(0);
    std::fs::write(damaged, bytes).unwrap();
    let report = verified(dir.path(), None, None, None);
    let batches = report.checks.iter().find(|check| check.name == BATCHES.0).unwrap();
    assert_eq!((batches.checked, batches.wrong), (3, 1), "{report:?}");
    let name = DataDir::new(dir.path()).relative(damaged);
    assert_eq!(places(&report), [&name, &name], "its digest and its batches: {report:?}");
    let within =
        verified(dir.path(), Some("2026-11-18T00:00:00Z"), Some("2026-11-18T10:30:00Z"), None);
    assert_eq!(places(&within), [name], "{within:?}");
    assert!(verified(dir.path(), Some("2026-11-19T00:00:00Z"), None, None).ok);
}
