//! The text index beside each file: what it passes over, and that without it nothing is lost.

use crate::support;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use support::{add, count_of, open};
use yagura_lake::{Lake, ScanCounts, text_index_path};
use yagura_textindex::Need;

/// Batches of ten rows, a file each; the text of each row names its batch.
fn filled(directory: &Path, batches: impl IntoIterator<Item = u64>) -> Lake {
    let lake = open(directory);
    for batch in batches {
        add(&lake, [batch]);
        lake.flush(true).unwrap();
    }
    lake
}

/// Rows left for a search for the word, which the table itself does not check.
async fn left(lake: &Lake, word: &str) -> (i64, ScanCounts) {
    let table = lake.events().where_text_has(Need::literal(word));
    let rows = count_of(table.clone()).await;
    (rows, table.counts())
}

fn indexes(lake: &Lake) -> Vec<PathBuf> {
    let files = lake.files();
    files.iter().map(|file| lake.directory().join(text_index_path(&file.path))).collect()
}

#[tokio::test]
async fn files_without_the_word_are_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path(), [1001, 1002, 1003]);
    let (rows, counts) = left(&lake, "1002").await;
    assert_eq!((rows, counts.files, counts.files_passed_by_text), (10, 3, 2));
    assert_eq!((counts.rows, counts.rows_passed_by_text, counts.files_without_index), (30, 20, 0));
    assert_eq!(left(&lake, "absent").await.0, 0);
    assert_eq!(left(&lake, "田").await.0, 30);
    assert_eq!(left(&lake, "").await.0, 30);
    // What is in memory is always looked at.
    add(&lake, [1004]);
    assert_eq!(left(&lake, "1002").await.0, 20);
}

#[tokio::test]
async fn only_the_blocks_with_the_word_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    let rows = yagura_textindex::limits::BLOCK_ROWS + 10;
    lake.add(vec![support::events(&support::run(7, 0, rows), "linux.auth", "a.b")]).unwrap();
    lake.batch_sealed(7);
    lake.flush(true).unwrap();
    let later = (rows - 7).to_string();
    assert_eq!(left(&lake, &later).await.0, 10);
    assert_eq!(left(&lake, "17").await.0, i64::from(rows) - 10);
    assert_eq!(left(&lake, "batch").await.0, i64::from(rows));
    // The selection holds for each column of the file alike.
    let table = lake.events().where_text_has(Need::literal(&later));
    let text = "select min(\"source.port\") from events where \"source.port\" > 1000";
    assert_eq!(support::number(table, text).await, i64::from(rows) - 10);
}

#[tokio::test]
async fn an_index_that_is_missing_or_damaged_hides_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("lake");
    let lake = filled(&directory, [1001, 1002, 1003]);
    let damaged = indexes(&lake)[0].clone();
    let whole = fs::read(&damaged).unwrap();
    drop(lake);
    for at in [0, 3, 9, whole.len() / 2, whole.len() - 30, whole.len() - 20, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(&damaged, bytes).unwrap();
        let lake = open(&directory);
        let (rows, counts) = left(&lake, "1002").await;
        assert!([(10, 0), (20, 1)].contains(&(rows, counts.files_without_index)), "byte {at}");
        assert_eq!(left(&lake, "1001").await.0, 10, "byte {at}");
    }
    fs::write(&damaged, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(left(&open(&directory), "1002").await.0, 20);
    fs::remove_file(&damaged).unwrap();
    let lake = open(&directory);
    for _ in 0..2 {
        let (rows, counts) = left(&lake, "1002").await;
        assert_eq!((rows, counts.files_without_index), (20, 1));
    }
    // The index of another file is none of this one.
    fs::copy(&indexes(&lake)[1], &damaged).unwrap();
    assert_eq!(left(&open(&directory), "1002").await.0, 20);
}

#[tokio::test]
async fn files_from_before_there_were_indexes_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path(), [1001, 1002]);
    for path in indexes(&lake) {
        fs::remove_file(path).unwrap();
    }
    drop(lake);
    for version in 1..=2 {
        let log = directory.path().join(format!("_delta_log/{version:020}.json"));
        let text = fs::read_to_string(&log).unwrap();
        assert!(text.contains("yagura.textidx"));
        fs::write(&log, text.replace("yagura.textidx", "yagura.x")).unwrap();
    }
    let lake = open(directory.path());
    assert!(lake.files().iter().all(|file| file.text_index.is_none()));
    assert_eq!(left(&lake, "1002").await.0, 20);
    assert_eq!(lake.inventory().unwrap().len(), 2 + 3);
}

#[test]
fn an_index_is_reported_and_goes_with_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    add(&lake, [1]);
    let report = lake.flush(true).unwrap();
    let index = &report.files[1];
    let path = directory.path().join(index.path.strip_prefix("lake/events/").unwrap());
    assert_eq!(path.canonicalize().unwrap(), indexes(&lake)[0]);
    let bytes = fs::read(&path).unwrap();
    let digest =
        Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!((&index.sha256, index.bytes), (&digest, bytes.len() as u64));
    assert!(lake.inventory().unwrap().contains(index));
    drop(lake);
    // As if the process had died before the commit.
    fs::remove_file(directory.path().join("_delta_log/00000000000000000001.json")).unwrap();
    let lake = open(directory.path());
    let orphans = lake.open_report().orphans.clone();
    assert_eq!(orphans.len(), 1);
    assert!(lake.remove_orphan(&orphans[0], |_| true).unwrap());
    assert!(!path.try_exists().unwrap() && !orphans[0].try_exists().unwrap());
}
