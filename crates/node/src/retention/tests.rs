//! A crash at every named step of a deletion, and the limits of what people ask for.

use super::delete::DeletionStep;
use super::fold::{ASKED, CONFIGURED, HELD};
use super::limits::*;
use super::{ApproveRequest, HoldRequest, ReleaseRequest, ShortenRequest, is_new};
use crate::test_house::{copy, fill, start};
use crate::{DataDir, Node, NodeOptions, RetentionSettings, VerifyScope, verify_dir};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use yagura_event::{Clock, ManualClock};

fn open(dir: &Path, retention: Option<RetentionSettings>, clock: &Arc<ManualClock>) -> Node {
    let options = NodeOptions { builtin_rules: false, retention, ..NodeOptions::default() };
    Node::open(DataDir::new(dir), options, clock.clone()).unwrap()
}

fn rows(node: &Node) -> Vec<(u64, u64)> {
    node.lake().stored_batches()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_steps_leaves_what_stays_and_finishes_what_was_recorded() {
    let real = tempfile::tempdir().unwrap();
    // By another name than its own, as `--data .` would be.
    let scratch = real.path().join("link");
    std::fs::create_dir(real.path().join("stores")).unwrap();
    std::os::unix::fs::symlink(real.path().join("stores"), &scratch).unwrap();
    let live = scratch.join("live");
    let clock = Arc::new(ManualClock::at(start()));
    let text = "delete=true\n[[policy]]\nstreams=['syslog']\nreason='x'\nmaximum_days=30";
    let node = open(&live, Some(toml::from_str(text).unwrap()), &clock);
    // One file with batches of both streams.
    fill(&node, "syslog", start());
    fill(&node, "other", start());
    node.flush().unwrap();
    assert_eq!(node.lake().stats().files, 1);
    let before = rows(&node);
    assert_eq!(before.len(), 2);
    clock.advance_micros(31 * super::delete::DAY_MICROS);
    let mut points = Vec::new();
    let done = node.run_retention_at("yagura", &mut |step| {
        let place = scratch.join(format!("{step:?}"));
        copy(&live, &place);
        points.push((step, place));
    });
    assert_eq!(done.unwrap()["batches"], 1);
    use DeletionStep::{Committed, Digested, Finished, Prepared, Recorded, Renamed};
    let steps: Vec<_> = points.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [Prepared, Recorded, Renamed, Committed, Digested, Finished]);
    let after = rows(&node);
    assert_eq!(after.len(), 1);
    node.close().unwrap();

    for (step, place) in points {
        let said = |place: &Path| {
            let clock: Arc<dyn Clock> = clock.clone();
            let data = DataDir::new(place);
            let report = verify_dir(&data, &VerifyScope::default(), &clock).unwrap();
            (report.ok, serde_json::to_string(&report).unwrap())
        };
        let (ok, report) = said(&place);
        assert!(ok, "{step:?}: {report}");
        let node = open(&place, None, &clock);
        node.ready().await;
        // What was recorded is finished when it opens; what was not is as before.
        let expected = if step == Prepared { &before } else { &after };
        assert_eq!(&rows(&node), expected, "{step:?}");
        assert!(node.retaining().fold().pending().is_empty(), "{step:?}");
        let page = node.sql("select count(*) as n from events").await.unwrap();
        let kept = if step == Prepared { 20 } else { 10 };
        assert_eq!(page.rows[0]["n"], kept, "{step:?}");
        assert!(node.verify(&VerifyScope::default()).unwrap().ok, "{step:?}");
        node.run_retention("yagura").unwrap();
        assert_eq!(rows(&node), after, "{step:?}");
        node.close().unwrap();
        drop(node);
        let node = open(&place, None, &clock);
        assert!(node.lake().open_report().orphans.is_empty(), "{step:?}: nothing is left over");
        assert_eq!(rows(&node), after, "{step:?}");
        node.close().unwrap();
        let (ok, report) = said(&place);
        assert!(ok, "{step:?}: {report}");
    }
}

fn configured(days: u32, empty: bool) -> Value {
    let policy = json!([{"streams": ["*"], "reason": "x", "maximum_days": days}]);
    json!({"event.action": CONFIGURED, "empty": empty, "retention": {"policy": policy}})
}

/// Folds what would take long to bring about.
fn replay(node: &Node, entries: impl IntoIterator<Item = Value>) {
    let mut fold = node.retaining().fold();
    entries.into_iter().for_each(|entry| fold.replay(entry.to_string().as_bytes()));
}

fn hold() -> HoldRequest {
    HoldRequest {
        name: "x".to_owned(),
        reason: "x".to_owned(),
        by: "sato".to_owned(),
        ..HoldRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_holds_are_in_force_and_no_more() {
    let scratch = tempfile::tempdir().unwrap();
    let node = open(scratch.path(), None, &Arc::new(ManualClock::at(start())));
    let held = |number: usize| {
        json!({
            "event.action": HELD, "@timestamp": start(), "hold.id": format!("H-{number:06}"),
            "hold.name": "x", "reason": "x", "case": "", "streams": [], "hosts": [],
            "from": null, "to": null, "user.name": "sato", "user.account": "local",
        })
    };
    replay(&node, (1..HOLDS_MAX).map(held));
    assert_eq!(node.retaining().fold().holds_in_force().len(), HOLDS_MAX - 1);
    let last = node.add_hold(&hold(), "local").unwrap();
    assert!(node.add_hold(&hold(), "local").unwrap_err().to_string().contains("release some"));
    let release = ReleaseRequest { by: "sato".to_owned(), reason: "x".to_owned() };
    node.release_hold(last["hold.id"].as_str().unwrap(), &release, "local").unwrap();
    node.add_hold(&hold(), "local").unwrap();
    node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_reasons_and_lists_of_a_hold_have_limits() {
    let scratch = tempfile::tempdir().unwrap();
    let node = open(scratch.path(), None, &Arc::new(ManualClock::at(start())));
    let taken = |change: &dyn Fn(&mut HoldRequest, usize)| {
        [0, 1].map(|more| {
            let mut request = hold();
            change(&mut request, more);
            node.add_hold(&request, "local").is_ok()
        })
    };
    let named = |more: usize| "n".repeat(NAME_BYTES_MAX + more);
    for changed in [
        taken(&|request, more| request.name = named(more)),
        taken(&|request, more| request.by = named(more)),
        taken(&|request, more| request.case = named(more)),
        taken(&|request, more| request.hosts = vec![named(more)]),
        taken(&|request, more| request.streams = vec![named(more)]),
        taken(&|request, more| request.reason = "r".repeat(REASON_BYTES_MAX + more)),
        taken(&|request, more| request.hosts = vec!["h".to_owned(); PATTERNS_MAX + more]),
        taken(&|request, more| request.streams = vec!["s".to_owned(); PATTERNS_MAX + more]),
    ] {
        assert_eq!(changed, [true, false]);
    }
    node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_requests_wait_for_a_second_person_and_no_more() {
    let scratch = tempfile::tempdir().unwrap();
    let node = open(scratch.path(), None, &Arc::new(ManualClock::at(start())));
    replay(&node, [configured(90, true), configured(30, false)]);
    let asked = |number: usize| {
        json!({
            "event.action": ASKED, "@timestamp": start(), "request.id": format!("R-{number:06}"),
            "request.kind": "shorten", "user.name": "sato", "user.account": "local",
            "reason": "space", "expires": start().plus_micros(1_000_000),
            "retention": configured(30, false)["retention"],
        })
    };
    replay(&node, (1..REQUESTS_OPEN_MAX).map(asked));
    let request = ShortenRequest { reason: "space".to_owned(), by: "sato".to_owned() };
    let last = node.ask_shortening(&request, "local").unwrap();
    let refused = node.ask_shortening(&request, "local").unwrap_err().to_string();
    assert!(refused.contains("wait already"), "{refused}");
    let withdraw = ApproveRequest { by: "sato".to_owned(), ..ApproveRequest::default() };
    node.withdraw_retention(last["request.id"].as_str().unwrap(), &withdraw, "local").unwrap();
    node.ask_shortening(&request, "local").unwrap();
    node.close().unwrap();
}

#[test]
fn so_many_versions_of_policies_wait_and_no_more() {
    let mut fold = super::fold::RetentionFold::default();
    let mut days = 0;
    let mut asked = |fold: &super::fold::RetentionFold| {
        days += 1;
        let settings = configured(days, false)["retention"].clone();
        let settings: RetentionSettings = serde_json::from_value(settings).unwrap();
        (is_new(fold, &settings), configured(days, false), settings)
    };
    // What was kept for ever before counts, too.
    for versions in (0..VERSIONS_MAX).filter(|versions| *versions != 1) {
        assert_eq!(fold.versions(), versions);
        let (new, entry, _) = asked(&fold);
        assert!(new.unwrap(), "{versions}");
        fold.replay(entry.to_string().as_bytes());
    }
    assert_eq!(fold.versions(), VERSIONS_MAX);
    assert!(asked(&fold).0.is_err());
    assert!(!is_new(&fold, &fold.settings()).unwrap(), "what is configured already is no change");
}
