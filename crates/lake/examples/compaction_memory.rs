//! What a compaction takes in memory and CPU time, every batch judged by its root:
//!
//! ```text
//! YAGURA_CORPORA=DIR cargo run --release -p yagura-lake --example compaction_memory -- fill TABLE windows|FILE EVENTS
//! cargo run --release -p yagura-lake --example compaction_memory -- compact TABLE [whole]
//! ```
//!
//! `fill` makes a table of so many events: Windows events of the corpora again and again, or the lines of
//! a file. `compact` is a process of its own, so that its peak is not that of what made the table;
//! `whole` keeps received bytes and messages as they are. The allocator is the binary's.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

#[path = "../tests/it/support/corpus.rs"]
mod corpus;

use corpus::{Received, common};
use mimalloc::MiMalloc;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use yagura_event::{ManualClock, Record};
use yagura_lake::{
    BatchHead, ColumnSize, CompactLimits, CompactRule, CompactStep, CompactWatch, DatasetSize,
    KeepRaw, Lake, LakeOptions, StoredLeaves,
};
use yagura_ledger::Hash;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Bytes at which the journal seals a batch.
const BATCH_BYTES: usize = 1024 * 1024;

/// Lines read at once.
const LINES: usize = 65_536;

/// Columns shown.
const SHOWN: usize = 25;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        ["fill", table, from, events] => fill(Path::new(table), from, events.parse().unwrap()),
        ["compact", table] => compact(Path::new(table), KeepRaw::default()),
        ["compact", table, "whole"] => compact(Path::new(table), KeepRaw::All),
        _ => panic!("fill TABLE windows|FILE EVENTS, or compact TABLE [whole]"),
    }
}

fn open(table: &Path, keep_raw: KeepRaw) -> Lake {
    let clock = ManualClock::at("2026-11-21T12:00:00Z".parse().unwrap());
    let options = LakeOptions { keep_raw, ..LakeOptions::default() };
    Lake::open(&table.join("lake"), options, Arc::new(clock)).unwrap()
}

fn fill(table: &Path, from: &str, events: u64) {
    fs::create_dir_all(table.join("lake")).unwrap();
    let lake = open(table, KeepRaw::default());
    let mut received = Received::default();
    let mut add = |mut lines: Vec<Vec<u8>>| {
        lines.truncate(usize::try_from(events - received.events).unwrap());
        let bytes: usize = lines.iter().map(Vec::len).sum();
        let rows = (BATCH_BYTES * lines.len() / bytes.max(1)).clamp(1, 4_096);
        received.add(&lake, "measured", &lines, rows);
        received.events < events
    };
    if from == "windows" {
        let corpora = common::corpora().unwrap();
        while common::otrf(&corpora, 1).all(&mut add) {}
    } else {
        let mut lines = BufReader::new(File::open(from).unwrap()).split(b'\n').map(Result::unwrap);
        loop {
            let part: Vec<Vec<u8>> = lines.by_ref().take(LINES).collect();
            if part.is_empty() || !add(part) {
                break;
            }
        }
    }
    lake.flush(true).unwrap();
    let roots = received.roots.iter().map(|(batch, root)| {
        let hex: String = root.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{batch} {hex}\n")
    });
    fs::write(table.join("roots"), roots.collect::<String>()).unwrap();
    println!("{} events, {} bytes received", received.events, received.bytes);
}

fn compact(table: &Path, keep_raw: KeepRaw) {
    let lake = open(table, keep_raw);
    let before = sums(&lake.sizes().unwrap());
    let roots = fs::read_to_string(table.join("roots")).unwrap();
    let roots = roots.lines().map(|line| {
        let (batch, hex) = line.split_once(' ').unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap();
        (batch.parse().unwrap(), Hash(std::array::from_fn(byte)))
    });
    let mut watch = Watch { roots: roots.collect(), at: usage(), parts: BTreeMap::new() };
    let (began, cpu) = (Instant::now(), usage().cpu_s);
    loop {
        let rule = CompactRule { files_min: 1, ..CompactRule::new("2026-11-22".to_owned()) };
        let jobs = lake.compactable(&rule);
        if jobs.is_empty() {
            break;
        }
        let limits = CompactLimits::default();
        let prepared = lake.prepare_compaction(&jobs, &limits, &mut watch).unwrap();
        drop(jobs);
        lake.publish_compaction(prepared, &mut watch).unwrap();
    }
    let sizes = lake.sizes().unwrap();
    let after = sums(&sizes);
    let each = |seconds: f64| seconds * 1e6 / after.rows as f64;
    println!("{} events, {} bytes received", after.rows, after.received);
    println!(
        "{:.1} s, {:.1} µs of CPU an event",
        began.elapsed().as_secs_f64(),
        each(usage().cpu_s - cpu)
    );
    for (part, Usage { cpu_s, peak_mib }) in &watch.parts {
        println!("{part}: {:.1} µs of CPU an event, peak {peak_mib:.0} MiB", each(*cpu_s));
    }
    let ratio = |sums: &DatasetSize| sums.received as f64 / sums.stored as f64;
    println!(
        "1/{:.1} as flushed; {} bytes, 1/{:.1}, {} of them text indexes",
        ratio(&before),
        after.stored,
        ratio(&after),
        after.text_index
    );
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

fn sums(sizes: &BTreeMap<Arc<str>, DatasetSize>) -> DatasetSize {
    let mut sums = DatasetSize::default();
    for size in sizes.values() {
        sums.rows += size.rows;
        sums.received += size.received;
        sums.stored += size.stored;
        sums.text_index += size.text_index;
    }
    sums
}

/// Judges batches, and looks at what each part of the work takes.
struct Watch {
    roots: BTreeMap<u64, Hash>,
    at: Usage,
    parts: BTreeMap<&'static str, Usage>,
}

impl CompactWatch for Watch {
    fn at(&mut self, step: CompactStep) -> bool {
        let part = match step {
            CompactStep::Read(_) => "reading and sorting",
            CompactStep::Wrote(_) | CompactStep::Synced => "writing",
            CompactStep::Checked(_) | CompactStep::Verified => "judging",
            CompactStep::Renamed | CompactStep::Committed => "publishing",
        };
        let now = usage();
        let sum = self.parts.entry(part).or_default();
        sum.cpu_s += now.cpu_s - self.at.cpu_s;
        sum.peak_mib = sum.peak_mib.max(now.peak_mib);
        // The next peak is that of what comes next.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        self.at = now;
        true
    }

    fn leaf(&mut self, batch: &BatchHead, index: u32, record: &Record) -> [u8; 32] {
        corpus::leaf(batch, index, record)
    }

    fn verify(&mut self, batch: &StoredLeaves) -> Result<(), String> {
        let same = self.roots.get(&batch.head.batch) == Some(&corpus::root_of(batch));
        same.then_some(()).ok_or_else(|| "another root".to_owned())
    }
}

#[derive(Clone, Copy, Default)]
struct Usage {
    cpu_s: f64,
    peak_mib: f64,
}

/// What this process has had: CPU time of all threads, and the most memory since it was last asked.
fn usage() -> Usage {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: f64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    let ns = threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    let ns: f64 = ns.filter_map(|text| text.split(' ').next()?.parse::<f64>().ok()).sum();
    Usage { cpu_s: ns / 1e9, peak_mib: peak / 1024.0 }
}
