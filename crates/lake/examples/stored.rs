//! What real logs take in the lake after compaction, every batch judged by its root:
//!
//! `YAGURA_CORPORA=DIR cargo run --release -p yagura-lake --example stored -- [otrf|loghub] [SHARE] [whole]`
//!
//! `SHARE` is the part of each recording that is taken, in percent (100); `whole` keeps received bytes
//! and messages as they are. Times are of the wall.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

#[path = "../tests/it/support/corpus.rs"]
mod corpus;

use corpus::{Received, common};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use yagura_event::ManualClock;
use yagura_lake::{
    ColumnSize, CompactLimits, CompactRule, DatasetSize, KeepRaw, Lake, LakeError, LakeOptions,
};

/// Records of a batch.
const BATCH_ROWS: usize = 5_000;

/// Lines shown of datasets and of columns.
const SHOWN: usize = 30;

fn main() {
    let Some(corpora) = common::corpora() else { return };
    let mut arguments = std::env::args().skip(1);
    let which = arguments.next().unwrap_or_else(|| "otrf".to_owned());
    let share: usize = arguments.next().map_or(100, |share| share.parse().unwrap());
    let keep_raw = match arguments.next().as_deref() {
        Some("whole") => KeepRaw::All,
        _ => KeepRaw::default(),
    };
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::at("2026-11-21T12:00:00Z".parse().unwrap());
    let options = LakeOptions { keep_raw, ..LakeOptions::default() };
    let lake = Lake::open(directory.path(), options, Arc::new(clock)).unwrap();
    let mut received = Received::default();
    let began = Instant::now();
    let mut add = |lines: Vec<Vec<u8>>| {
        received.add(&lake, &which, &lines[..lines.len() * share / 100], BATCH_ROWS);
    };
    match which.as_str() {
        "otrf" => common::otrf(&corpora, 1).for_each(&mut add),
        _ => common::loghub(&corpora).for_each(&mut add),
    }
    lake.flush(true).unwrap();
    println!("{which}: {} events, {} bytes", received.events, received.bytes);
    println!("taken in: {:.1} s", began.elapsed().as_secs_f64());
    report(&lake);
    let began = Instant::now();
    loop {
        let rule = CompactRule { files_min: 1, ..CompactRule::new("2026-11-22".to_owned()) };
        let jobs = lake.compactable(&rule);
        if jobs.is_empty() {
            break;
        }
        let limits = CompactLimits::default();
        let prepared = lake.prepare_compaction(&jobs, &limits, &mut received).unwrap();
        drop(jobs);
        lake.publish_compaction(prepared, &mut received).unwrap();
    }
    println!("compacted and judged: {:.1} s", began.elapsed().as_secs_f64());
    let sizes = report(&lake);
    let began = Instant::now();
    lake.for_each_stored_batch(|batch| -> Result<(), LakeError> {
        assert_eq!(received.roots[&batch.batch], corpus::root(&batch));
        Ok(())
    })
    .unwrap();
    println!("read and judged once more: {:.1} s", began.elapsed().as_secs_f64());
    let mut columns: BTreeMap<&str, ColumnSize> = BTreeMap::new();
    for (name, column) in sizes.values().flat_map(|size| &size.columns) {
        let sum = columns.entry(name).or_default();
        sum.stored += column.stored;
        sum.rebuilt += column.rebuilt;
    }
    let mut columns: Vec<_> = columns.into_iter().collect();
    columns.sort_by_key(|(_, column)| std::cmp::Reverse(column.stored));
    for (name, column) in columns.iter().take(SHOWN) {
        println!("{:>10} {name} (rebuilt: {})", column.stored, column.rebuilt);
    }
}

fn report(lake: &Lake) -> BTreeMap<Arc<str>, DatasetSize> {
    let sizes = lake.sizes().unwrap();
    let sum = |of: &dyn Fn(&DatasetSize) -> u64| sizes.values().map(of).sum::<u64>();
    let (received, stored) = (sum(&|size| size.received), sum(&|size| size.stored));
    let index = sum(&|size| size.text_index);
    println!(
        "{} files, {stored} bytes, {index} of them text indexes: 1/{:.1}, without these 1/{:.1}",
        sum(&|size| size.files),
        received as f64 / stored as f64,
        received as f64 / (stored - index) as f64,
    );
    let mut largest: Vec<_> = sizes.iter().collect();
    largest.sort_by_key(|(_, size)| std::cmp::Reverse(size.stored));
    for (name, size) in largest.iter().take(SHOWN) {
        let (rows, data) = (size.rows, size.stored - size.text_index);
        println!("{data:>10} + {:>8} {name}: {rows} of {}", size.text_index, size.received);
    }
    sizes
}
