//! What a crash leaves, what another reader sees, what damage is called.

use crate::support;
use futures::TryStreamExt;
use std::fs;
use std::path::Path;
use support::{add, count_of, events, events_where, number, open, run};
use yagura_lake::{LakeError, StoredBatch};

fn expected(batch: u64, count: u32) -> StoredBatch {
    let run = run(batch, 0, count);
    StoredBatch {
        batch,
        stream: run.stream.clone(),
        batch_salt: run.batch_salt,
        records: run.indexed().map(|(index, record)| (index, record.clone())).collect(),
    }
}

#[tokio::test]
async fn everything_is_known_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    add(&lake, [1, 2, 7]);
    lake.flush(true).unwrap();
    lake.add(vec![events(&run(8, 0, 3), "web.access", "Größe (cm)")]).unwrap();
    lake.batch_sealed(8);
    let report = lake.flush(true).unwrap();
    let mut inventory = lake.inventory().unwrap();
    drop(lake);

    let lake = open(directory.path());
    assert_eq!(lake.stored_batches(), [(1, 10), (2, 10), (7, 10), (8, 3)]);
    assert!(lake.open_report().orphans.is_empty());
    assert_eq!(count_of(lake.events()).await, 33);
    assert_eq!(number(lake.events(), "select count(\"Größe (cm)\") from events").await, 3);
    // The digests survive too, and they are those of the files.
    inventory.sort_by(|a, b| a.path.cmp(&b.path));
    let mut again = lake.inventory().unwrap();
    again.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(inventory, again);
    assert!(report.files.iter().all(|file| again.contains(file)));
    for file in &again {
        let relative = file.path.strip_prefix("lake/events/").unwrap();
        let bytes = fs::read(directory.path().join(relative)).unwrap();
        use sha2::{Digest, Sha256};
        let digest: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!((digest, bytes.len() as u64), (file.sha256.clone(), file.bytes));
    }
    // A replayed batch adds nothing.
    let added = lake.add(vec![events(&run(2, 0, 10), "linux.auth", "a.b")]).unwrap();
    assert_eq!((added.rows, added.rows_already_stored), (0, 10));
    lake.batch_sealed(2);
    assert_eq!(lake.flush(true).unwrap().batches, [2]);
    assert_eq!(count_of(lake.events()).await, 33);
}

#[test]
fn records_come_back_exactly_from_memory_and_files() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    let odd = run(5, 0, 50);
    lake.add(vec![
        events_where(&odd, "linux.auth", "a.b", |index| index % 2 == 0),
        events_where(&odd, "web.access", "a.b", |index| index % 2 == 1),
        events(&run(6, 0, 10), "linux.auth", "c"),
    ])
    .unwrap();
    assert_eq!(lake.stored_batch(5).unwrap(), expected(5, 50));
    lake.batch_sealed(5);
    lake.batch_sealed(6);
    lake.flush(true).unwrap();
    assert_eq!(lake.stored_batch(5).unwrap(), expected(5, 50));
    assert_eq!(lake.records(6).unwrap(), expected(6, 10).records);
    assert!(matches!(lake.records(9), Err(LakeError::NoSuchBatch(9))));
    let mut all = Vec::new();
    lake.for_each_stored_batch(|batch| {
        all.push(batch);
        Ok::<_, LakeError>(())
    })
    .unwrap();
    assert_eq!(all, [expected(5, 50), expected(6, 10)]);
}

#[tokio::test]
async fn another_delta_reader_sees_the_table() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    add(&lake, [1]);
    lake.flush(true).unwrap();
    lake.add(vec![events(&run(2, 0, 3), "web.access", "new.column")]).unwrap();
    lake.batch_sealed(2);
    lake.flush(true).unwrap();
    let url = deltalake_core::ensure_table_uri(directory.path().to_str().unwrap()).unwrap();
    let table = deltalake_core::open_table(url).await.unwrap();
    let state = table.snapshot().unwrap();
    assert_eq!(state.version(), 2);
    assert_eq!(state.metadata().partition_columns(), &["dataset", "day"]);
    let schema = state.schema();
    assert!(schema.fields().any(|field| field.name == "new.column"));
    let files: Vec<_> =
        state.snapshot().file_views(&table.log_store(), None).try_collect().await.unwrap();
    let rows: usize = files.iter().filter_map(|file| file.num_records()).sum();
    assert_eq!((files.len(), rows), (2, 13));
}

#[test]
fn a_crash_before_the_commit_leaves_orphans_that_go_only_on_the_journals_word() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    add(&lake, [1, 2]);
    lake.flush(true).unwrap();
    add(&lake, [3]);
    let report = lake.flush(true).unwrap();
    let orphan = report.files[0].path.strip_prefix("lake/events/").unwrap().to_owned();
    drop(lake);
    // As if the process had died between the rename of the data file and the commit.
    fs::remove_file(directory.path().join("_delta_log/00000000000000000002.json")).unwrap();
    fs::write(directory.path().join("dataset=linux.auth/part.parquet.tmp"), b"PAR1").unwrap();
    let lake = open(directory.path());
    assert!(!lake.contains_batch(3));
    let found = lake.open_report().clone();
    let orphan = directory.path().canonicalize().unwrap().join(orphan);
    assert_eq!(found.orphans, std::slice::from_ref(&orphan));
    assert_eq!(found.unfinished_removed.len(), 1);
    assert!(!lake.remove_orphan(&orphan, |_| false).unwrap());
    assert!(!lake.remove_orphan(Path::new("/etc/hostname"), |_| true).unwrap());
    assert!(orphan.try_exists().unwrap());
    // The journal replays the batch; its file is written again under another name.
    add(&lake, [3]);
    assert_eq!(lake.flush(true).unwrap().version, Some(2));
    assert!(lake.remove_orphan(&orphan, |_| false).unwrap() || !orphan.try_exists().unwrap());
    assert_eq!(lake.records(3).unwrap(), expected(3, 10).records);
}

#[test]
fn a_damaged_file_is_named_and_never_ends_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    add(&lake, [1]);
    let file = lake.flush(true).unwrap().files[0].path.clone();
    add(&lake, [2]);
    lake.flush(true).unwrap();
    let path = directory.path().join(file.strip_prefix("lake/events/").unwrap());
    let sound = fs::read(&path).unwrap();
    let mut named = 0;
    for position in (0..sound.len()).step_by(7) {
        let mut damaged = sound.clone();
        damaged[position] ^= 0x40;
        fs::write(&path, &damaged).unwrap();
        match lake.stored_batch(1) {
            Err(error) => {
                assert!(matches!(error, LakeError::Corrupt { .. }), "{position}: {error}");
                assert!(error.to_string().contains("part-"), "{position}: {error}");
                named += 1;
            }
            // A flip outside the record columns, or one that the batch root will find.
            Ok(batch) => assert_eq!(batch.batch, 1),
        }
    }
    assert!(named > 10, "{named}");
    fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    assert!(matches!(lake.stored_batch(1), Err(LakeError::Corrupt { .. })));
    // The rest still answers.
    assert_eq!(lake.stored_batch(2).unwrap(), expected(2, 10));
}
