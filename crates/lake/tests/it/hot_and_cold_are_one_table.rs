//! Queries see each event exactly once: in memory, in files, and while it moves.

use crate::support;
use arrow::array::AsArray;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::{add, count_of, dictionary, events, events_where, number, open, run, sql};
use yagura_event::{BatchBuilder, columns};
use yagura_lake::{AddError, Lake, LakeOptions};

#[tokio::test]
async fn a_batch_moves_whole_and_the_answers_stay() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    let first = run(1, 0, 100);
    // One batch, two datasets; and a second batch that is not sealed.
    lake.add(vec![
        events_where(&first, "linux.auth", "a.b", |index| index < 60),
        events_where(&first, "web.access", "c d", |index| index >= 60),
        events(&run(2, 0, 5), "linux.auth", "User"),
    ])
    .unwrap();
    lake.batch_sealed(1);
    let questions = [
        ("select count(*) from events", 105),
        ("select count(*) from events where \"event.dataset\" = 'web.access'", 40),
        ("select sum(\"source.port\") from events where \"yagura.batch\" = 1", 4950),
        ("select count(*) from events where \"user.name\" = '田中'", 53),
        ("select count(*) from events where \"c d\" = 'x'", 40),
        ("select count(\"User\") from events", 5),
        ("select count(distinct \"event.id\") from events", 105),
        ("select count(*) from events where \"event.id\" = 'syslog/1/61'", 1),
        ("select count(*) from events where message like '%line 4%'", 12),
        ("select count(*) from events where \"@timestamp\" >= '2026-11-21T12:00:00.000090Z'", 10),
        ("select count(*) from events where \"@timestamp\" > '2026-11-22T00:00:00Z'", 0),
    ];
    for (question, answer) in questions {
        assert_eq!(number(lake.events(), question).await, answer, "hot: {question}");
    }
    let before = lake.events();
    assert!(!lake.contains_batch(1));
    let report = lake.flush(true).unwrap();
    assert_eq!(
        (report.batches.as_slice(), report.files.len(), report.version),
        (&[1][..], 5, Some(1))
    );
    assert!(lake.contains_batch(1) && !lake.contains_batch(2));
    assert_eq!(lake.stored_rows(1), 100);
    assert_eq!(lake.stats().hot_rows, 5);
    for (question, answer) in questions {
        assert_eq!(number(lake.events(), question).await, answer, "both: {question}");
    }
    // A query that began before the flush still sees its picture.
    assert_eq!(count_of(before).await, 105);
}

#[tokio::test]
async fn files_and_row_groups_without_an_answer_are_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    for batch in 1..=4 {
        lake.add(vec![events(&run(batch, 0, 10), ["a", "b"][batch as usize % 2], "x")]).unwrap();
        lake.batch_sealed(batch);
        lake.flush(true).unwrap();
    }
    for (filter, files) in [
        ("\"yagura.batch\" = 3", 1),
        ("\"event.dataset\" = 'a'", 2),
        ("\"@timestamp\" < '2026-01-01T00:00:00Z'", 0),
        ("\"user.name\" = 'sato'", 4),
    ] {
        let plan =
            sql(lake.events(), &format!("explain select message from events where {filter}")).await;
        let plan = plan[0].column(1).as_string::<i32>().value(1).to_owned();
        assert_eq!(plan.matches("part-0000").count(), files, "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_seen_once_while_flushes_run() {
    let directory = tempfile::tempdir().unwrap();
    let lake = Arc::new(open(directory.path()));
    let done = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (lake, done) = (lake.clone(), done.clone());
        move || {
            for batch in 1..=30 {
                add(&lake, [batch]);
                if batch % 3 == 0 {
                    lake.flush(true).unwrap();
                }
            }
            done.store(true, Ordering::SeqCst);
        }
    });
    let mut last = 0;
    loop {
        let finished = done.load(Ordering::SeqCst);
        let table = lake.events();
        let count = count_of(table.clone()).await;
        let distinct = number(table, "select count(distinct \"event.id\") from events").await;
        assert_eq!(count, distinct);
        assert!(count >= last && count % 10 == 0, "{last} then {count}");
        last = count;
        if finished {
            break;
        }
    }
    writer.join().unwrap();
    assert_eq!(last, 300);
}

#[tokio::test]
async fn many_small_runs_become_few_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    for index in 0..400 {
        lake.add(vec![events(&run(1, index, 1), "linux.auth", &format!("f{}", index % 3))])
            .unwrap();
    }
    assert_eq!(number(lake.events(), "select sum(\"source.port\") from events").await, 79_800);
    assert_eq!(number(lake.events(), "select count(f1) from events").await, 133);
    let plan = sql(lake.events(), "explain select message from events").await;
    let plan = plan[0].column(1).as_string::<i32>().value(1).to_owned();
    // 400 = 1 x 256 + 9 x 16: ten pieces.
    assert!(
        plan.contains("partition_sizes=[5, 5]") || plan.contains("partition_sizes=[10]"),
        "{plan}"
    );
}

#[test]
fn a_full_hot_set_hands_the_events_back() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(yagura_event::ManualClock::default());
    let options = LakeOptions { hot_bytes_max: 1, ..LakeOptions::default() };
    let lake = Lake::open(directory.path(), options, clock).unwrap();
    add(&lake, [1]);
    let next = events(&run(2, 0, 10), "linux.auth", "a.b");
    let Err(AddError::Full { events: returned, hot_bytes }) = lake.add(vec![next]) else {
        panic!("the hot set took more than its bound");
    };
    assert!(hot_bytes >= 1);
    lake.flush(true).unwrap();
    assert_eq!(lake.add(returned).unwrap().rows, 10);
}

#[test]
fn rows_after_the_seal_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    add(&lake, [2]);
    let late = events(&run(2, 10, 1), "linux.auth", "a.b");
    assert!(matches!(lake.add(vec![late]), Err(AddError::Lake(yagura_lake::LakeError::Sealed(2)))));
}

#[tokio::test]
async fn names_past_the_column_limit_stay_findable_in_the_overflow() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    let mut seen = HashSet::new();
    for batch in 0..6 {
        let run = run(batch, 0, 1);
        let mut builder = BatchBuilder::new("json.generic", dictionary());
        builder.begin_row(&run, 0, &run.records[0]);
        for number in 0..1000 {
            builder.set(&format!("field {batch} {number}"), "v");
        }
        lake.add(vec![builder.finish().unwrap()]).unwrap();
        seen.insert(lake.columns().len());
        lake.batch_sealed(batch);
    }
    assert_eq!(lake.columns().len(), yagura_lake::limits::TABLE_COLUMNS_MAX);
    let question = format!(
        "select count(*) from events where \"{}\" like '%\"field 5 999\":\"v\"%'",
        columns::OVERFLOW
    );
    assert_eq!(number(lake.events(), &question).await, 1);
    lake.flush(true).unwrap();
    assert_eq!(number(lake.events(), &question).await, 1);
    assert_eq!(number(lake.events(), "select count(\"field 0 7\") from events").await, 1);
}

#[tokio::test]
async fn subscribers_get_new_events() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    let mut tail = lake.subscribe();
    add(&lake, [1]);
    assert_eq!(tail.recv().await.unwrap().rows(), 10);
}
