//! Rows in the place of stored ones: each event stays, once, with its bytes, whenever a crash comes.

use crate::support;
use std::path::Path;
use support::{count_of, events, events_where, number, open, run};
use yagura_event::UtcMicros;
use yagura_lake::{Lake, LakeError};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, target) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy(&path, &target);
        } else if !target.try_exists().unwrap() {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

fn filled(directory: &Path) -> Lake {
    let lake = open(directory);
    let mixed = run(2, 0, 40);
    lake.add(vec![
        events(&run(1, 0, 10), "linux.auth", "a"),
        events_where(&mixed, "unknown", "b", |index| index % 2 == 0),
        events_where(&mixed, "linux.auth", "a", |index| index % 2 == 1),
        events(&run(3, 0, 5), "unknown", "b"),
    ])
    .unwrap();
    (1..=3).for_each(|batch| lake.batch_sealed(batch));
    lake.flush(true).unwrap();
    lake
}

/// The questions whose answers no rewriting changes, and those that this one does.
async fn look(lake: &Lake) -> (i64, Vec<i64>) {
    let of = |dataset: &str| {
        format!("select count(*) from events where \"event.dataset\" = '{dataset}'")
    };
    let mut answers = Vec::new();
    for question in [
        of("unknown"),
        of("linux.auth"),
        of("web.access"),
        "select count(distinct \"event.id\") from events".to_owned(),
    ] {
        answers.push(number(lake.events(), &question).await);
    }
    answers.push(match lake.columns().get("new.column") {
        Some(_) => number(lake.events(), "select count(\"new.column\") from events").await,
        None => 0,
    });
    (count_of(lake.events()).await, answers)
}

#[tokio::test]
async fn rows_change_their_columns_and_dataset_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    let before: Vec<_> = (1..=3).map(|batch| lake.stored_batch(batch).unwrap()).collect();
    assert_eq!(look(&lake).await, (55, vec![25, 30, 0, 55, 0]));
    let picture = lake.events();

    let new = events_where(&run(2, 0, 40), "web.access", "new.column", |index| index % 4 == 0);
    let report = lake.rewrite(vec![new]).unwrap();
    // A file and its text index.
    assert_eq!((report.rows, report.replaced.len()), (10, 2));
    assert_eq!(look(&lake).await, (55, vec![15, 30, 10, 55, 10]));
    let after: Vec<_> = (1..=3).map(|batch| lake.stored_batch(batch).unwrap()).collect();
    assert_eq!(before, after);
    let mut walked = Vec::new();
    lake.for_each_stored_batch(|batch| -> Result<(), LakeError> {
        walked.push(batch);
        Ok(())
    })
    .unwrap();
    assert_eq!(walked, before);
    // A question that began before still has its files; then they go.
    assert_eq!(count_of(picture.clone()).await, 55);
    let later = UtcMicros::from_micros(i64::MAX);
    assert!(lake.replaced_before(later).is_empty(), "somebody may read it");
    drop(picture);
    let gone = lake.replaced_before(later);
    assert_eq!(gone.len(), 2);
    for file in &gone {
        lake.remove_replaced(&file.path).unwrap();
        let path = file.path.strip_prefix("lake/events/").unwrap();
        assert!(!directory.path().join(path).try_exists().unwrap());
    }
    assert_eq!(look(&lake).await, (55, vec![15, 30, 10, 55, 10]));

    // Again, back to where they were, and opened anew.
    let back = events_where(&run(2, 0, 40), "unknown", "b", |index| index % 4 == 0);
    lake.rewrite(vec![back]).unwrap();
    assert_eq!(look(&lake).await, (55, vec![25, 30, 0, 55, 0]));
    drop(lake);
    let lake = open(directory.path());
    assert_eq!(look(&lake).await, (55, vec![25, 30, 0, 55, 0]));
    assert_eq!((1..=3).map(|batch| lake.stored_batch(batch).unwrap()).collect::<Vec<_>>(), before);
}

#[tokio::test]
async fn rows_of_another_record_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    let mut altered = run(1, 0, 1);
    altered.records[0].bytes = b"altered".to_vec().into();
    let mut moved = run(1, 0, 1);
    moved.records[0].peer = "192.0.2.66:1".into();
    for wrong in [altered, moved, run(9, 0, 1), run(1, 10, 1)] {
        let refused = lake.rewrite(vec![events(&wrong, "web.access", "x")]);
        assert!(matches!(refused, Err(LakeError::NotTheRecord(_))), "{refused:?}");
    }
    assert_eq!(look(&lake).await, (55, vec![25, 30, 0, 55, 0]));
}

#[tokio::test]
async fn a_crash_between_any_two_steps_leaves_old_rows_or_new_ones() {
    let scratch = tempfile::tempdir().unwrap();
    let (before, after) = (scratch.path().join("before"), scratch.path().join("after"));
    drop(filled(&before));
    copy(&before, &after);
    let lake = open(&after);
    let new = events_where(&run(2, 0, 40), "web.access", "new.column", |index| index % 4 == 0);
    lake.rewrite(vec![new]).unwrap();
    drop(lake);

    // The new files are there, the commit is not.
    let crashed = scratch.path().join("before-the-commit");
    copy(&after, &crashed);
    let newest = std::fs::read_dir(crashed.join("_delta_log")).unwrap();
    let newest = newest.map(|entry| entry.unwrap().path()).max().unwrap();
    std::fs::remove_file(newest).unwrap();
    let lake = open(&crashed);
    assert_eq!(look(&lake).await, (55, vec![25, 30, 0, 55, 0]));
    let orphans = lake.open_report().orphans.clone();
    assert_eq!(orphans.len(), 2);
    for orphan in &orphans {
        assert!(lake.remove_orphan(orphan, |_| false).unwrap());
    }
    assert_eq!(look(&lake).await, (55, vec![25, 30, 0, 55, 0]));
    // And it can be done after all.
    let new = events_where(&run(2, 0, 40), "web.access", "new.column", |index| index % 4 == 0);
    lake.rewrite(vec![new]).unwrap();
    assert_eq!(look(&lake).await, (55, vec![15, 30, 10, 55, 10]));

    // The commit is there, the old files are not gone.
    let lake = open(&after);
    assert_eq!(look(&lake).await, (55, vec![15, 30, 10, 55, 10]));
    let orphans = lake.open_report().orphans.clone();
    assert_eq!(orphans.len(), 1);
    assert!(lake.remove_orphan(&orphans[0], |_| false).unwrap());
    assert_eq!(look(&lake).await, (55, vec![15, 30, 10, 55, 10]));
}
