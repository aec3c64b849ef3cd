//! A crash at every named step of a deletion.

use super::delete::DeletionStep;
use crate::{DataDir, Node, NodeOptions, RetentionSettings, VerifyScope, verify_dir};
use std::path::Path;
use std::sync::Arc;
use yagura_event::{Clock, ManualClock, Record, StreamName, Transport, UtcMicros};
use yagura_intake::import::ImportSink;

fn start() -> UtcMicros {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

fn open(dir: &Path, retention: Option<RetentionSettings>, clock: &Arc<ManualClock>) -> Node {
    let options = NodeOptions { builtin_rules: false, retention, ..NodeOptions::default() };
    Node::open(DataDir::new(dir), options, clock.clone()).unwrap()
}

fn fill(node: &Node, stream: &str, at: UtcMicros) {
    let record = |number: i64| Record {
        received: at.plus_micros(number),
        transport: Transport::SyslogUdp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: format!("<13>Nov 21 09:00:00 web01 app: number {number}").into_bytes().into(),
    };
    let records = (0..10).map(record).collect();
    node.sink().append(&StreamName::new(stream).unwrap(), records).unwrap();
    node.journal.seal_all().unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy(&path, &target) } else { drop(std::fs::copy(&path, &target)) }
    }
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
    use DeletionStep::{Committed, Finished, Prepared, Recorded, Renamed};
    let steps: Vec<_> = points.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [Prepared, Recorded, Renamed, Committed, Finished]);
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
