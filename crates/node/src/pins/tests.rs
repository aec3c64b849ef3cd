//! A crash at every step of pinning and unpinning, damage of any byte of a pin, and the limits.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::act::PinStep;
use super::fold::{PINNED, PinFold};
use super::limits::*;
use super::{PinRequest, UnpinRequest, file};
use crate::{DataDir, Node, NodeError, NodeOptions, VerifyScope, verify_dir};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_event::{Clock, EventId, ManualClock, Record, StreamName, Transport, UtcMicros};
use yagura_intake::import::ImportSink;
use yagura_ledger::EventProof;
use yagura_ledger::limits::PROOF_BYTES_MAX;

const DAY_MICROS: i64 = 86_400_000_000;

fn start() -> UtcMicros {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

fn open(dir: &Path, clock: &Arc<ManualClock>) -> Node {
    let text = "delete=true\n[[policy]]\nstreams=['syslog']\nreason='x'\nmaximum_days=30";
    let retention = Some(toml::from_str(text).unwrap());
    let options = NodeOptions { builtin_rules: false, retention, ..NodeOptions::default() };
    Node::open(DataDir::new(dir), options, clock.clone()).unwrap()
}

fn fill(node: &Node, count: i64) {
    let record = |number: i64| Record {
        received: start().plus_micros(number),
        transport: Transport::SyslogUdp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: format!("<13>Nov 21 09:00:00 web01 app: number {number}").into_bytes().into(),
    };
    let stream = StreamName::new("syslog").unwrap();
    node.sink().append(&stream, (0..count).map(record).collect()).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy(&path, &target) } else { drop(std::fs::copy(&path, &target)) }
    }
}

fn pin(events: &[&str]) -> PinRequest {
    PinRequest {
        events: events.iter().map(|id| (*id).to_owned()).collect(),
        reason: "evidence".to_owned(),
        by: "sato".to_owned(),
        ..PinRequest::default()
    }
}

fn unpin(events: &[&str], last_copy: bool) -> UnpinRequest {
    let PinRequest { events, reason, by, .. } = pin(events);
    UnpinRequest { events, reason, by, last_copy }
}

fn verified(dir: &Path, clock: &Arc<ManualClock>) -> (bool, String) {
    let clock: Arc<dyn Clock> = clock.clone();
    let report = verify_dir(&DataDir::new(dir), &VerifyScope::default(), &clock).unwrap();
    (report.ok, serde_json::to_string(&report).unwrap())
}

fn pinned(node: &Node) -> Vec<String> {
    node.pinning().fold().ids().map(|id| id.to_string()).collect()
}

fn files(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir.join("pins")) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn said(error: &NodeError) -> String {
    error.words().en().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_steps_leaves_pins_with_their_files_and_no_others() {
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name);
    let clock = Arc::new(ManualClock::at(start()));
    let node = open(&place("live"), &clock);
    fill(&node, 10);
    node.flush().unwrap();
    let mut points: Vec<(String, PathBuf)> = Vec::new();
    let mut at = |step: PinStep| {
        let place = place(&format!("{step:?}"));
        copy(&scratch.path().join("live"), &place);
        points.push((format!("{step:?}"), place));
    };
    node.pin_at(&pin(&["syslog/1/3", "syslog/1/7"]), "local", &mut at).unwrap();
    node.unpin_at(&unpin(&["syslog/1/3"], false), "local", &mut at).unwrap();
    assert_eq!(
        (pinned(&node), files(&place("live"))),
        (vec!["syslog/1/7".into()], vec!["1-7.pin".into()])
    );
    node.close().unwrap();
    drop(node);
    let names: Vec<&str> = points.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Written", "Pinned", "Unpinned", "Removed"]);

    // Between the digest and the name, with and without a record of the pin; and before the digest.
    let unnamed = |from: &str, to: &str, name: &str| {
        copy(&place(from), &place(to));
        let path = place(to).join("pins").join(name);
        std::fs::rename(&path, crate::files::unfinished(&path)).unwrap();
        (to.to_owned(), place(to))
    };
    points.push(unnamed("Written", "without its name", "1-3.pin"));
    points.push(unnamed("Pinned", "pinned without its name", "1-3.pin"));
    points.push(unnamed("Unpinned", "unpinned without its name", "1-3.pin"));
    copy(&place("Pinned"), &place("cut short"));
    std::fs::write(place("cut short").join("pins/1-9.pin.new"), b"yagura-pin v1\nev").unwrap();
    points.push(("cut short".to_owned(), place("cut short")));

    for (name, place) in points {
        let both = vec!["syslog/1/3".to_owned(), "syslog/1/7".to_owned()];
        let expected = match name.as_str() {
            "Written" | "without its name" => Vec::new(),
            "Pinned" | "pinned without its name" | "cut short" => both,
            _ => vec!["syslog/1/7".to_owned()],
        };
        let (ok, report) = verified(&place, &clock);
        assert!(ok, "{name}: {report}");
        let node = open(&place, &clock);
        node.ready().await;
        assert_eq!(pinned(&node), expected, "{name}");
        let of_pins: Vec<String> =
            expected.iter().map(|id| format!("1-{}.pin", id.rsplit('/').next().unwrap())).collect();
        assert_eq!(files(&place), of_pins, "{name}");
        assert!(node.verify(&VerifyScope::default()).unwrap().ok, "{name}");
        // What is pinned outlives its batch; what is not does not.
        clock.advance_micros(31 * DAY_MICROS);
        assert_eq!(node.run_retention("yagura").unwrap()["events.pinned"], expected.len());
        for id in ["syslog/1/3", "syslog/1/7"] {
            let proof = node.prove(&id.parse().unwrap());
            assert_eq!(proof.is_ok(), expected.iter().any(|known| known == id), "{name} {id}");
        }
        node.close().unwrap();
        drop(node);
        let (ok, report) = verified(&place, &clock);
        assert!(ok, "{name}: {report}");
    }
}

/// A closed store with the one event `syslog/1/1` pinned, its batch deleted.
fn with_a_pin(dir: &Path, clock: &Arc<ManualClock>) {
    let node = open(dir, clock);
    fill(&node, 3);
    node.flush().unwrap();
    node.pin(&pin(&["syslog/1/1"]), "local").unwrap();
    clock.advance_micros(31 * DAY_MICROS);
    assert_eq!(node.run_retention("yagura").unwrap()["batches"], 1);
    node.close().unwrap();
}

#[test]
fn every_changed_byte_of_a_pin_is_found_and_its_file_named() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    with_a_pin(dir.path(), &clock);
    let id: EventId = "syslog/1/1".parse().unwrap();
    let data = DataDir::new(dir.path());
    let path = file::path(&data, &id);
    let sound = std::fs::read(&path).unwrap();
    let node = open(dir.path(), &clock);
    let is_read = || file::read(&data, node.logs().0, &id).is_ok();
    assert!(is_read());
    for at in 0..sound.len() {
        for change in [1u8, 0x80] {
            let mut changed = sound.clone();
            changed[at] ^= change;
            std::fs::write(&path, changed).unwrap();
            assert!(!is_read(), "byte {at} xor {change}");
        }
        std::fs::write(&path, &sound[..at]).unwrap();
        assert!(!is_read(), "cut at {at}");
    }
    // A pin that is whole, of another event; and one that no longer ends.
    let other = String::from_utf8(sound.clone()).unwrap();
    for bytes in [
        other.replace("event syslog/1/1\n", "event syslog/1/2\n").into_bytes(),
        vec![b'x'; PROOF_BYTES_MAX + 1],
        Vec::new(),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let told = said(&node.prove(&id).unwrap_err());
        assert!(told.starts_with("pins/1-1.pin was changed or cut short"), "{told}");
        assert!(told.contains("restore it from a backup"), "{told}");
    }
    std::fs::remove_file(&path).unwrap();
    let told = said(&node.prove(&id).unwrap_err());
    assert!(told.starts_with("pins/1-1.pin is missing"), "{told}");
    std::fs::write(&path, &sound).unwrap();
    assert!(node.prove(&id).is_ok());
    node.close().unwrap();
    drop(node);

    assert!(verified(dir.path(), &clock).0);
    let about = VerifyScope { event: Some(id.clone()), ..VerifyScope::default() };
    let of_event = |clock: &Arc<ManualClock>| {
        let clock: Arc<dyn Clock> = clock.clone();
        verify_dir(&data, &about, &clock).unwrap()
    };
    let report = of_event(&clock);
    assert!(report.ok && report.notes[0].what.contains("its pin has the bytes"), "{report:?}");
    let places = [0, sound.len() / 3, sound.len() / 2, sound.len() - 1];
    for damaged in places
        .map(|at| {
            let mut changed = sound.clone();
            changed[at] ^= 1;
            Some(changed)
        })
        .into_iter()
        .chain([Some(sound[..40].to_vec()), None])
    {
        match damaged {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let (ok, report) = verified(dir.path(), &clock);
        assert!(!ok && report.contains("pins/1-1.pin, event syslog/1/1"), "{report}");
        let report = of_event(&clock);
        assert!(!report.ok && report.findings[0].place.contains("pins/1-1.pin"), "{report:?}");
    }
    std::fs::write(&path, &sound).unwrap();
    // A file that no record names is no pin.
    std::fs::write(dir.path().join("pins/1-2.pin"), &sound).unwrap();
    let (ok, report) = verified(dir.path(), &clock);
    assert!(!ok && report.contains("pins/1-2.pin"), "{report}");
}

#[test]
fn a_pin_is_proved_where_the_lake_is_damaged_and_made_anew_where_the_pin_is() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let node = open(dir.path(), &clock);
    fill(&node, 3);
    node.flush().unwrap();
    let id: EventId = "syslog/1/1".parse().unwrap();
    node.pin(&pin(&["syslog/1/1"]), "local").unwrap();
    let path = file::path(node.data(), &id);
    let sound = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(node.prove(&id).unwrap().from, crate::ProofFrom::Lake);
    assert!(!node.verify(&VerifyScope::default()).unwrap().ok);
    // What the message says: unpinned and pinned again.
    node.unpin(&unpin(&["syslog/1/1"], false), "local").unwrap();
    node.pin(&pin(&["syslog/1/1"]), "local").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), sound, "a pin has one spelling");
    assert!(node.verify(&VerifyScope::default()).unwrap().ok);

    let table = node.lake().files()[0].clone();
    let table = node.lake().name_of(&table);
    let bytes = std::fs::read(&table).unwrap();
    std::fs::write(&table, &bytes[..bytes.len() / 2]).unwrap();
    let proof = node.prove(&id).unwrap();
    assert_eq!(proof.from, crate::ProofFrom::PinOfUnread);
    assert!(proof.from.words(&id).unwrap().en().contains("run yagura verify"));
    let key = node.logs().0.verifier_key().unwrap().clone();
    assert!(EventProof::parse(proof.text.as_bytes()).unwrap().verify(&key).is_ok());
    assert!(node.prove(&"syslog/1/2".parse().unwrap()).is_err(), "that is not pinned");
    // What cannot be read is not pinned, and leaves no file.
    assert!(node.pin(&pin(&["syslog/1/2"]), "local").is_err());
    assert_eq!(files(dir.path()), ["1-1.pin"]);
    std::fs::write(&table, &bytes).unwrap();
    node.close().unwrap();
}

/// Folds what would take long to bring about.
fn replay(fold: &mut PinFold, pins: usize) {
    let ids: Vec<String> =
        (0..pins).map(|pin| format!("old/{}/{}", 1_000 + pin / 100, pin % 100)).collect();
    for events in ids.chunks(PINS_AT_ONCE_MAX) {
        let entry = json!({
            "event.action": PINNED, "@timestamp": start(), "events": events, "reason": "x", "case": "",
            "user.name": "sato", "user.account": "local",
        });
        fold.replay(entry.to_string().as_bytes());
    }
}

#[test]
fn so_many_events_are_pinned_listed_and_asked_for_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let node = open(dir.path(), &clock);
    fill(&node, 3);

    let asked = |count: usize| {
        let ids: Vec<String> = (0..count).map(|index| format!("syslog/77/{index}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let pinned = said(&node.pin(&pin(&ids), "local").unwrap_err());
        (pinned, said(&node.unpin(&unpin(&ids, false), "local").unwrap_err()))
    };
    let (pinned, unpinned) = asked(PINS_AT_ONCE_MAX);
    assert!(pinned.contains("there is no event") && unpinned.contains("is not pinned"), "{pinned}");
    for count in [0, PINS_AT_ONCE_MAX + 1] {
        let (pinned, unpinned) = asked(count);
        assert!(
            pinned.contains("name 1 to 1000") && unpinned.contains("name 1 to 1000"),
            "{pinned}"
        );
    }

    let listed = |node: &Node| {
        let list = node.pins();
        (list["pins"].as_array().unwrap().len(), list["total"].as_u64().unwrap())
    };
    replay(&mut node.pinning().fold(), PINS_SHOWN_MAX);
    assert_eq!(listed(&node), (PINS_SHOWN_MAX, PINS_SHOWN_MAX as u64));
    replay(&mut node.pinning().fold(), PINS_SHOWN_MAX + 1);
    assert_eq!(listed(&node), (PINS_SHOWN_MAX, PINS_SHOWN_MAX as u64 + 1));

    replay(&mut node.pinning().fold(), PINS_MAX - 1);
    let two = said(&node.pin(&pin(&["syslog/1/0", "syslog/1/1"]), "local").unwrap_err());
    assert!(two.contains("room for 1 more"), "{two}");
    node.pin(&pin(&["syslog/1/0"]), "local").unwrap();
    assert_eq!(node.pinning().fold().len(), PINS_MAX);
    let one = said(&node.pin(&pin(&["syslog/1/1"]), "local").unwrap_err());
    assert!(one.contains("room for 0 more"), "{one}");
    // What is pinned already takes no room.
    assert_eq!(node.pin(&pin(&["syslog/1/0"]), "local").unwrap()["already"], 1);
    node.close().unwrap();
}

#[test]
fn so_many_files_get_their_names_together() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let node = open(dir.path(), &clock);
    fill(&node, PIN_FILES_AT_ONCE as i64 + 1);
    let mut first = Vec::new();
    let ids: Vec<String> =
        (0..=PIN_FILES_AT_ONCE).map(|index| format!("syslog/1/{index}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut at = |step: PinStep| {
        if step == PinStep::Written {
            first.push(files(dir.path()).len());
        }
    };
    assert_eq!(node.pin_at(&pin(&ids), "local", &mut at).unwrap()["pinned"], ids.len());
    assert_eq!(first, [PIN_FILES_AT_ONCE, PIN_FILES_AT_ONCE + 1]);
    // Events that were never sealed before are, and their proofs are those of the lake.
    for id in ids {
        let id: EventId = id.parse().unwrap();
        let kept = std::fs::read_to_string(file::path(node.data(), &id)).unwrap();
        let kept = kept.strip_prefix("yagura-pin v1\n").unwrap();
        assert!(node.prove(&id).unwrap().text.contains(kept));
    }
    node.close().unwrap();
}

#[test]
fn what_cannot_be_right_is_refused_and_pins_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let node = open(dir.path(), &clock);
    fill(&node, 3);
    let change = |change: &dyn Fn(&mut PinRequest)| {
        let mut request = pin(&["syslog/1/1"]);
        change(&mut request);
        said(&node.pin(&request, "local").unwrap_err())
    };
    for (refused, part) in [
        (change(&|it| it.reason.clear()), "say why"),
        (change(&|it| it.by = " ".into()), "say who you are"),
        (change(&|it| it.case = "c\nd".into()), "the case cannot be named so"),
        (change(&|it| it.events.push("syslog/0".into())), "is not an event id"),
        (change(&|it| it.events.push("syslog/1/3".into())), "there is no event syslog/1/3"),
        (change(&|it| it.events.push("other/1/2".into())), "there is no event other/1/2"),
        (change(&|it| it.events.push("syslog/9/0".into())), "there is no event syslog/9/0"),
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    assert!(pinned(&node).is_empty() && files(dir.path()).is_empty());
    assert_eq!(node.pin(&pin(&["syslog/1/1"]), "local").unwrap()["pinned"], 1);
    assert_eq!(node.pins()["pins"][0]["user.account"], Value::from("local"));
    node.close().unwrap();
}
