//! What a query passes over is counted by its cause.

use crate::support;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::path::Path;
use std::sync::Arc;
use support::{NOON, dictionary, open, run, sql};
use yagura_event::{BatchBuilder, EventBatch, UtcMicros};
use yagura_lake::{EventsTable, Lake, ScanCounts};
use yagura_textindex::Need;

const ROWS: u32 = 10;

/// Ten events of a batch at a full hour; their ports begin at a hundred times the batch.
fn events(batch: u64, dataset: &str, hour: i64) -> EventBatch {
    let run = run(batch, 0, ROWS);
    let mut builder = BatchBuilder::new(dataset, dictionary());
    for (index, record) in run.indexed() {
        builder.begin_row(&run, index, record);
        builder.set_time(UtcMicros::from_micros(NOON + hour * 3_600_000_000));
        builder.set_long("source.port", batch as i64 * 100 + i64::from(index));
    }
    builder.finish().unwrap()
}

/// Four files, three of them of one dataset and an hour apart, and one batch in memory.
fn filled(directory: &Path) -> Lake {
    let lake = open(directory);
    for (batch, dataset, hour) in [(1, "a", 0), (2, "b", 0), (3, "a", 1), (4, "a", 2)] {
        lake.add(vec![events(batch, dataset, hour)]).unwrap();
        lake.batch_sealed(batch);
        lake.flush(true).unwrap();
    }
    lake.add(vec![events(5, "a", 3)]).unwrap();
    lake
}

/// How many rows an SQL condition finds, and what was passed over.
async fn looked_at(table: EventsTable, condition: &str) -> (u64, ScanCounts) {
    let question = format!("select \"source.port\" from events where {condition}");
    let rows = sql(table.clone(), &question).await;
    let counts = table.counts();
    let by_cause = counts.row_groups_passed_by_text
        + counts.row_groups_passed_by_statistics
        + counts.row_groups_read
        + counts.row_groups_not_needed;
    assert_eq!(by_cause, counts.row_groups, "{counts:?}");
    (rows.iter().map(|rows| rows.num_rows() as u64).sum(), counts)
}

/// Everything is there to be looked at.
fn untouched() -> ScanCounts {
    ScanCounts { files: 4, rows: 40, hot_rows: 10, ..ScanCounts::default() }
}

/// So many files of one row group each are read.
fn reading(files: u64, counts: ScanCounts) -> ScanCounts {
    ScanCounts { row_groups: files, row_groups_read: files, rows_read: files * 10, ..counts }
}

#[tokio::test]
async fn files_are_passed_over_by_dataset_time_and_place() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    let all = looked_at(lake.events(), "true").await;
    assert_eq!(all, (50, reading(4, untouched())));

    let (files_passed_by_dataset, rows_passed_by_dataset) = (3, 30);
    let by_dataset = ScanCounts {
        files_passed_by_dataset,
        rows_passed_by_dataset,
        hot_rows_passed: 10,
        ..untouched()
    };
    let found = looked_at(lake.events(), "\"event.dataset\" = 'b'").await;
    assert_eq!(found, (10, reading(1, by_dataset)));

    let by_time = ScanCounts { files_passed_by_time: 2, rows_passed_by_time: 20, ..untouched() };
    let from = "\"@timestamp\" >= timestamp '2026-11-21T13:00:00Z'";
    assert_eq!(looked_at(lake.events(), from).await, (30, reading(2, by_time)));

    // What decides first is the cause; only the rest is asked for the next.
    let both = ScanCounts {
        files_passed_by_dataset: 1,
        rows_passed_by_dataset: 10,
        files_passed_by_time: 1,
        rows_passed_by_time: 10,
        ..untouched()
    };
    let found = looked_at(lake.events(), &format!("\"event.dataset\" = 'a' and {from}")).await;
    assert_eq!(found, (30, reading(2, both)));

    let by_batch = ScanCounts {
        files_passed_by_batch: 3,
        rows_passed_by_batch: 30,
        hot_rows_passed: 10,
        ..untouched()
    };
    let found = looked_at(lake.events(), "\"yagura.batch\" = 3").await;
    assert_eq!(found, (10, reading(1, by_batch)));
}

#[tokio::test]
async fn row_groups_are_passed_over_by_the_statistics_of_a_column() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    let (found, counts) = looked_at(lake.events(), "\"source.port\" between 300 and 309").await;
    let expected = ScanCounts {
        row_groups: 4,
        row_groups_passed_by_statistics: 3,
        row_groups_read: 1,
        rows_read: 10,
        ..untouched()
    };
    assert_eq!((found, counts), (10, expected));
}

#[tokio::test]
async fn blocks_and_files_are_passed_over_by_the_text_index() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    // Beside them a file of three blocks, of which one has the word.
    let block = yagura_textindex::limits::BLOCK_ROWS;
    let long = support::run(777, 0, block * 3);
    lake.add(vec![support::events(&long, "a", "a.b")]).unwrap();
    lake.batch_sealed(777);
    lake.flush(true).unwrap();
    let rows = u64::from(block);
    let table = lake.events().where_text_has(Need::literal(&format!("line {}", block + 5)));
    let (_, counts) = looked_at(table, "true").await;
    let expected = ScanCounts {
        files: 5,
        files_passed_by_text: 4,
        rows: 40 + rows * 3,
        rows_passed_by_text: 40 + rows * 2,
        blocks: 7,
        blocks_passed_by_text: 6,
        row_groups: 1,
        row_groups_read: 1,
        rows_read: rows * 3,
        hot_rows: 10,
        ..ScanCounts::default()
    };
    assert_eq!(counts, expected);
}

#[tokio::test]
async fn what_was_not_needed_any_more_is_told_from_what_could_not_match() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    lake.batch_sealed(5);
    lake.flush(true).unwrap();
    // One part reads one file behind the other, the newest first.
    let config = SessionConfig::new().with_target_partitions(1);
    let context = SessionContext::new_with_config(config);
    let table = lake.events();
    context.register_table("events", Arc::new(table.clone())).unwrap();
    let found = context.sql("select \"source.port\" from events limit 7").await.unwrap();
    let found = found.collect().await.unwrap();
    assert_eq!(found.iter().map(|rows| rows.num_rows()).sum::<usize>(), 7);
    let counts = table.counts();
    assert_eq!((counts.files, counts.row_groups, counts.hot_rows), (5, 5, 0));
    // The next file may have been opened while the first was read.
    assert!((1..=2).contains(&counts.row_groups_read), "{counts:?}");
    assert!(counts.files_not_needed >= 3, "{counts:?}");
    assert_eq!(counts.row_groups_not_needed, 5 - counts.row_groups_read, "{counts:?}");
    assert_eq!(counts.row_groups_passed_by_statistics, 0);
}
