//! Whole batches leave the table: all of them or none, whatever comes between.

use crate::support;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use support::{count_of, events, events_where, number, open, run};
use yagura_event::{Record, UtcMicros};
use yagura_lake::{
    BatchHead, CompactLimits, CompactRule, CompactStep, CompactWatch, Lake, LakeError, StoredLeaves,
};

/// Does something at every step, and judges every batch by what was received.
struct Watch<F: FnMut(CompactStep) -> bool>(F);

impl<F: FnMut(CompactStep) -> bool> CompactWatch for Watch<F> {
    fn at(&mut self, step: CompactStep) -> bool {
        (self.0)(step)
    }

    fn leaf(&mut self, batch: &BatchHead, index: u32, record: &Record) -> [u8; 32] {
        support::leaf(batch, index, record)
    }

    fn verify(&mut self, batch: &StoredLeaves) -> Result<(), String> {
        let run = run(batch.head.batch, 0, u32::try_from(batch.leaves.len()).unwrap());
        let leaf = |(index, record)| (index, support::leaf(&batch.head, index, record));
        let same = run.indexed().map(leaf).eq(batch.leaves.iter().copied());
        match same && batch.head.batch_salt == run.batch_salt {
            true => Ok(()),
            false => Err("not what was received".to_owned()),
        }
    }
}

/// Three flushes; batch 2 lies in two datasets, batches 1, 2 and 3 share files.
fn filled(directory: &Path) -> Lake {
    let lake = open(directory);
    let mixed = run(2, 0, 40);
    let flush = |rows, batches: &[u64]| {
        lake.add(rows).unwrap();
        batches.iter().for_each(|batch| lake.batch_sealed(*batch));
        lake.flush(true).unwrap();
    };
    flush(
        vec![
            events(&run(1, 0, 10), "linux.auth", "a"),
            events_where(&mixed, "unknown", "b", |index| index % 2 == 0),
            events_where(&mixed, "linux.auth", "event.code", |index| index % 2 == 1),
            events(&run(3, 0, 7), "unknown", "c"),
        ],
        &[1, 2, 3],
    );
    flush(vec![events(&run(4, 0, 30), "linux.auth", "a")], &[4]);
    flush(vec![events(&run(5, 0, 5), "unknown", "new.column")], &[5]);
    lake
}

fn delete(lake: &Lake, batches: &[u64]) -> Result<yagura_lake::Deleted, LakeError> {
    let batches: BTreeSet<u64> = batches.iter().copied().collect();
    let mut watch = Watch(|_| true);
    let prepared = lake.prepare_deletion(&batches, &mut watch)?;
    lake.publish_deletion(prepared, &mut watch)
}

fn batches(lake: &Lake) -> Vec<(u64, u64)> {
    lake.stored_batches()
}

/// What every way of asking says is there; they must agree.
async fn asked(lake: &Lake) -> Vec<(u64, u64)> {
    let stored = batches(lake);
    let rows: u64 = stored.iter().map(|(_, rows)| rows).sum();
    assert_eq!(count_of(lake.events()).await, rows as i64);
    let mut walked = Vec::new();
    lake.for_each_stored_batch(|batch| -> Result<(), LakeError> {
        let mut watch = Watch(|_| true);
        watch.verify(&support::leaves(&batch)).unwrap();
        walked.push((batch.batch, batch.records.len() as u64));
        Ok(())
    })
    .unwrap();
    assert_eq!(walked, stored);
    assert!(lake.files().iter().all(|file| file.text_index.is_some()));
    stored
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy(&path, &target) } else { drop(std::fs::copy(&path, &target)) }
    }
}

const ALL: [(u64, u64); 5] = [(1, 10), (2, 40), (3, 7), (4, 30), (5, 5)];
const LEFT: [(u64, u64); 3] = [(1, 10), (3, 7), (5, 5)];

#[tokio::test]
async fn batches_go_whole_and_the_others_stay_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    let before = lake.events();
    let report = delete(&lake, &[2, 4, 99]).unwrap();
    // Two mixed files are written anew, that of batch 4 alone goes; each with its text index.
    assert_eq!((report.rows, report.replaced.len(), report.files.len()), (70, 6, 5));
    assert_eq!(asked(&lake).await, LEFT);
    assert_eq!(count_of(before.clone()).await, 92, "who asked before sees what was there");
    let gone = |batch| matches!(lake.stored_batch(batch), Err(LakeError::NoSuchBatch(_)));
    assert!(gone(2) && gone(4) && !lake.contains_batch(4));
    let salt = "select count(*) from events where \"yagura.batch_salt\" = '".to_owned();
    assert_eq!(number(lake.events(), &format!("{salt}{}'", "02".repeat(32))).await, 0);
    assert_eq!(number(lake.events(), &format!("{salt}{}'", "01".repeat(32))).await, 10);
    let commit = format!("_delta_log/{:020}.json", report.version.unwrap());
    let commit = std::fs::read_to_string(directory.path().join(commit)).unwrap();
    assert!(commit.contains("\"DELETE\"") && commit.contains("\"dataChange\":true"), "{commit}");
    drop(before);
    for file in lake.replaced_before(UtcMicros::from_micros(i64::MAX)) {
        lake.remove_replaced(&file.path).unwrap();
    }
    assert!(lake.replaced().is_empty());
    drop(lake);
    let lake = open(directory.path());
    assert!(lake.open_report().orphans.is_empty());
    assert_eq!(asked(&lake).await, LEFT);
    // The rest as well; and again, which is nothing.
    assert_eq!(delete(&lake, &[1, 3, 5]).unwrap().rows, 22);
    assert_eq!(asked(&lake).await, []);
    assert_eq!(delete(&lake, &[1, 2, 3]).unwrap().version, None);
}

#[tokio::test]
async fn compacted_files_lose_batches_too() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    let rule = CompactRule { files_min: 1, ..CompactRule::new("2026-11-21".to_owned()) };
    let mut watch = Watch(|_| true);
    let compact = |watch: &mut dyn CompactWatch| {
        let jobs = lake.compactable(&rule);
        lake.prepare_compaction(&jobs, &CompactLimits::default(), watch).unwrap()
    };
    let prepared = compact(&mut watch);
    lake.publish_compaction(prepared, &mut watch).unwrap();
    assert_eq!(delete(&lake, &[2, 4]).unwrap().rows, 70);
    assert_eq!(asked(&lake).await, LEFT);
    // What another prepared meanwhile does not bring anything back, in either order.
    lake.add(vec![events(&run(6, 0, 3), "linux.auth", "a")]).unwrap();
    lake.batch_sealed(6);
    lake.flush(true).unwrap();
    let compacted = compact(&mut watch);
    delete(&lake, &[6]).unwrap();
    let late = lake.publish_compaction(compacted, &mut watch);
    assert!(matches!(late, Err(LakeError::Outdated(_))), "{late:?}");
    assert_eq!(asked(&lake).await, LEFT);
    lake.add(vec![events(&run(7, 0, 3), "linux.auth", "a")]).unwrap();
    lake.batch_sealed(7);
    lake.flush(true).unwrap();
    let deletion = lake.prepare_deletion(&BTreeSet::from([7]), &mut watch).unwrap();
    let compacted = compact(&mut watch);
    lake.publish_compaction(compacted, &mut watch).unwrap();
    assert!(!lake.is_current(&deletion));
    let late = lake.publish_deletion(deletion, &mut watch);
    assert!(matches!(late, Err(LakeError::Outdated(_))), "{late:?}");
    assert_eq!(batches(&lake).last(), Some(&(7, 3)));
}

#[tokio::test]
async fn a_crash_at_any_named_point_leaves_all_of_the_batches_or_none() {
    let scratch = tempfile::tempdir().unwrap();
    let (live, crashed) = (scratch.path().join("live"), scratch.path().join("crashed"));
    let lake = filled(&live);
    let mut points: Vec<String> = Vec::new();
    let mut watch = Watch(|step| {
        let point = format!("{step:?}");
        if !points.contains(&point) {
            copy(&live, &crashed.join(&point));
            points.push(point);
        }
        true
    });
    let gone = BTreeSet::from([2, 4]);
    let prepared = lake.prepare_deletion(&gone, &mut watch).unwrap();
    lake.publish_deletion(prepared, &mut watch).unwrap();
    for (removed, file) in (1..).zip(lake.replaced_before(UtcMicros::from_micros(i64::MAX))) {
        lake.remove_replaced(&file.path).unwrap();
        let point = format!("removed {removed}");
        copy(&live, &crashed.join(&point));
        points.push(point);
    }
    assert!(points.len() > 10, "{points:?}");
    for point in points {
        let lake = open(&crashed.join(&point));
        let there = asked(&lake).await;
        let committed = point == "Committed" || point.starts_with("removed");
        assert_eq!(there, if committed { LEFT.to_vec() } else { ALL.to_vec() }, "{point}");
        let orphans: Vec<PathBuf> = lake.open_report().orphans.clone();
        for orphan in orphans {
            // Without the record of the deletion nothing vouches for what held the batches.
            let alone = lake.may_remove_orphan(&orphan, |_| false).unwrap();
            let had = yagura_lake::batches_of_file(&orphan).unwrap();
            let had = committed && had.iter().any(|rows| gone.contains(&rows.batch));
            assert_eq!(alone, !had, "{point}");
            assert!(lake.remove_orphan(&orphan, |batch| gone.contains(&batch)).unwrap());
        }
        // And it can be done, or done again.
        delete(&lake, &[2, 4]).unwrap();
        assert_eq!(asked(&lake).await, LEFT, "{point}");
    }
}

#[tokio::test]
async fn what_does_not_verify_stays_with_what_was_to_go() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    let mixed = lake.files().into_iter().find(|file| file.rows_of(1).is_some()).unwrap();
    let path = directory.path().join(&mixed.path);
    let sound = std::fs::read(&path).unwrap();
    let mut bytes = sound.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let done = delete(&lake, &[2]);
    assert!(matches!(&done, Err(LakeError::Corrupt { path: named, .. }) if *named == path));
    assert_eq!(batches(&lake), ALL);
    std::fs::write(&path, &sound).unwrap();
    let mut stop = Watch(|step| step != CompactStep::Verified);
    let stopped = lake.prepare_deletion(&BTreeSet::from([2]), &mut stop);
    assert!(matches!(stopped, Err(LakeError::Cancelled)));
    assert_eq!(asked(&lake).await, ALL);
    delete(&lake, &[2]).unwrap();
}
