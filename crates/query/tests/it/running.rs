//! A search that runs: how far it is, and how it is ended.

use crate::support;
use std::sync::Arc;
use support::{LINES, NOON, batches, dictionary, expr, lines, searcher};
use yagura_event::{ManualClock, UtcMicros};
use yagura_lake::{Lake, LakeOptions};
use yagura_query::limits::QUERIES_MAX;
use yagura_query::{Answer, Order, Phase, QueryError, Running, SearchRequest, Searcher};

/// Many small pieces in memory: more than an answer computes ahead of its reader.
fn many_pieces(directory: &std::path::Path) -> Searcher {
    let clock = ManualClock::at(UtcMicros::from_micros(NOON));
    let lake = Lake::open(directory, LakeOptions::default(), Arc::new(clock)).unwrap();
    for batch in 1..=64 {
        lake.add(batches(batch, &LINES[..1], 0)).unwrap();
    }
    Searcher::new(Arc::new(lake), dictionary()).unwrap()
}

fn request(running: &Running) -> SearchRequest {
    let mut request = SearchRequest::new(expr(""));
    request.order = Order::Any;
    request.running = running.clone();
    request
}

/// A search that holds its place, since nobody reads what it finds.
async fn unread(searcher: &Searcher) -> (Running, Answer) {
    let running = Running::new();
    let answer = searcher.search(request(&running)).await.unwrap();
    assert_eq!(running.progress().phase, Phase::Running);
    (running, answer)
}

async fn ended(running: &Running) {
    while running.progress().phase != Phase::Ended {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_cancelled_search_says_so_and_never_looks_complete() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = many_pieces(directory.path());
    let (running, answer) = unread(&searcher).await;
    running.cancel();
    ended(&running).await;
    assert!(running.progress().cancelled && running.progress().found < 64);
    assert!(matches!(answer.collect().await, Err(QueryError::Cancelled)));
    // Before it began, as well.
    let running = Running::new();
    running.cancel();
    let refused = searcher.search(request(&running)).await;
    assert!(matches!(refused, Err(QueryError::Cancelled)));
}

#[tokio::test]
async fn a_search_that_is_left_ends() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = many_pieces(directory.path());
    // The reader goes away, as when a connection closes.
    let (left, answer) = unread(&searcher).await;
    drop(answer);
    ended(&left).await;
    // Someone cancels another; its reader still holds it.
    let (cancelled, _unread) = unread(&searcher).await;
    cancelled.cancel();
    ended(&cancelled).await;
}

/// More rows than an answer computes ahead of its reader, when all of them are sorted.
fn many_rows(directory: &std::path::Path) -> Searcher {
    let clock = ManualClock::at(UtcMicros::from_micros(NOON));
    let lake = Lake::open(directory, LakeOptions::default(), Arc::new(clock)).unwrap();
    for batch in 1..=SORTED / 8_192 {
        lake.add(batches(batch, &[LINES[1]; 8_192], 0)).unwrap();
    }
    Searcher::new(Arc::new(lake), dictionary()).unwrap()
}

/// Rows of [`many_rows`].
const SORTED: u64 = 6 * 8_192;

#[tokio::test]
async fn searches_that_nobody_reads_do_not_keep_others_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = many_rows(directory.path());
    let request = || {
        let mut request = SearchRequest::new(expr("| sort user.name"));
        request.limit = usize::MAX;
        request
    };
    // One more than there are places: each has its answer sorted and waits for its reader.
    let mut unread = Vec::new();
    for _ in 0..=QUERIES_MAX {
        unread.push(searcher.search(request()).await.unwrap());
    }
    assert_eq!(lines(&searcher, "event.code:4625").await.len(), 0);
    let rows = |all: &[arrow::array::RecordBatch]| {
        all.iter().map(|rows| rows.num_rows() as u64).sum::<u64>()
    };
    let (all, cut) = searcher.search(request()).await.unwrap().collect().await.unwrap();
    assert_eq!((rows(&all), cut), (SORTED, false));
    // A reader that comes late has all of its rows.
    for late in unread {
        let (all, cut) = late.collect().await.unwrap();
        assert_eq!((rows(&all), cut), (SORTED, false));
    }
}

#[tokio::test]
async fn what_was_read_is_counted_up_to_all_that_was_planned() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let running = Running::new();
    let answer = searcher.search(request(&running)).await.unwrap();
    let (rows, _) = answer.collect().await.unwrap();
    assert_eq!(rows.iter().map(|rows| rows.num_rows()).sum::<usize>(), LINES.len());
    ended(&running).await;
    let progress = running.progress();
    let scanned = progress.scanned;
    // Two datasets of four lines lie in files.
    assert_eq!((scanned.files, scanned.files_done), (2, 2), "{scanned:?}");
    assert_eq!((scanned.row_groups, scanned.row_groups_done), (2, 2), "{scanned:?}");
    assert_eq!((scanned.rows, progress.found), (4, 8), "{scanned:?}");
}

#[tokio::test]
async fn events_are_chosen_by_when_they_were_received() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let at = |micros: i64| Some(UtcMicros::from_micros(NOON + micros));
    for (received, found) in [
        ((at(0), at(1)), LINES.len()),
        ((at(1), None), 0),
        ((None, at(0)), 0),
        ((None, at(1)), LINES.len()),
    ] {
        for background in [false, true] {
            let request = SearchRequest { received, background, ..request(&Running::new()) };
            let (rows, _) = searcher.search(request).await.unwrap().collect().await.unwrap();
            let rows: usize = rows.iter().map(|rows| rows.num_rows()).sum();
            assert_eq!(rows, found, "{received:?} {background}");
        }
    }
    // Also where the answer has no such column.
    let mut counted = SearchRequest::new(expr("| stats count() as n"));
    counted.received = (at(1), None);
    let rows = support::table(searcher.search(counted).await.unwrap()).await;
    assert_eq!(rows, [["0"]]);
    assert_eq!(lines(&searcher, "sshd").await, [2, 3], "others are as before");
}
