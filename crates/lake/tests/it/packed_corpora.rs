//! Real logs through compaction: every batch comes back with its root, from files that hold next to
//! nothing of it twice.
//!
//! Needs the folder of corpora in `YAGURA_CORPORA`.

use crate::support::corpus::{Received, common, root};
use crate::support::{self, count_of};
use yagura_lake::{CompactLimits, CompactRule, Lake, LakeError};

/// Compacts all, which judges every batch; then reads all once more. Answers the shares of received
/// bytes and messages that are rebuilt, and received to stored without text indexes.
fn compacted(lake: &Lake, received: &mut Received) -> (f64, f64, f64) {
    lake.flush(true).unwrap();
    let rule = CompactRule { files_min: 1, ..CompactRule::new("2026-11-22".to_owned()) };
    let jobs = lake.compactable(&rule);
    let prepared = lake.prepare_compaction(&jobs, &CompactLimits::default(), received).unwrap();
    let report = lake.publish_compaction(prepared, received).unwrap();
    assert_eq!((report.rows, report.batches), (received.events, received.roots.len() as u64));
    let mut seen = 0;
    lake.for_each_stored_batch(|batch| -> Result<(), LakeError> {
        assert_eq!(received.roots[&batch.batch], root(&batch));
        seen += batch.records.len() as u64;
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, received.events);
    let sizes = lake.sizes().unwrap();
    assert_eq!(sizes.values().map(|size| size.received).sum::<u64>(), received.bytes);
    let share = |column: &str| -> f64 {
        let of = sizes.values().filter_map(|size| size.columns.get(column));
        of.map(|column| column.rebuilt).sum::<u64>() as f64 / received.events as f64
    };
    let stored: u64 = sizes.values().map(|size| size.stored - size.text_index).sum();
    let ratio = received.bytes as f64 / stored as f64;
    println!("{} events, {} bytes, 1/{ratio:.1}", received.events, received.bytes);
    (share("event.original"), share("message"), ratio)
}

#[tokio::test]
async fn windows_events_are_stored_once() {
    let Some(corpora) = common::corpora() else { return };
    let directory = tempfile::tempdir().unwrap();
    let (lake, mut received) = (support::open(directory.path()), Received::default());
    // One in twelve recordings, and the beginning of each: many kinds, in a few seconds.
    for mut lines in common::otrf(&corpora, 12) {
        lines.truncate(3_000);
        received.add(&lake, "elastic", &lines, 2_000);
    }
    let (raw, message, ratio) = compacted(&lake, &mut received);
    assert!(raw > 0.97, "{raw}");
    // Not every event has one.
    assert!(message > 0.5, "{message}");
    assert!(ratio > 30.0, "{ratio}");
    assert_eq!(count_of(lake.events()).await, i64::try_from(received.events).unwrap());
}

#[test]
fn lines_of_text_are_stored_once() {
    let Some(corpora) = common::corpora() else { return };
    let directory = tempfile::tempdir().unwrap();
    let (lake, mut received) = (support::open(directory.path()), Received::default());
    for lines in common::loghub(&corpora) {
        received.add(&lake, "syslog", &lines, 1_000);
    }
    let (raw, _, ratio) = compacted(&lake, &mut received);
    assert!(raw > 0.9, "{raw}");
    assert!(ratio > 3.0, "{ratio}");
}
