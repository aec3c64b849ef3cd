//! What reading costs, on real logs: `cargo xtask bench normalize`, or
//! `YAGURA_CORPORA=DIR cargo bench -p yagura-normalize --bench normalize [NAME...]`.
//!
//! Times are CPU seconds of the one thread that works; "events/s" is therefore per core. `decode` is
//! everything up to names and values (character set, JSON or text), `columns` puts them into columns,
//! mappings and `@timestamp` included, `finish` makes the Arrow batch. Allocations are counted by the
//! global allocator, over all three.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![allow(unsafe_code, reason = "an allocator that counts can be written no other way")]

use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use yagura_event::{Lang, Origin, StreamName, Transport, UtcMicros, Words};
use yagura_normalize::Normalizer;

/// Rows per batch at most, and bytes they were read from, as the server and `scan` gather them.
const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: usize = 8 << 20;

/// How often each measurement is repeated, and CPU seconds that each repetition takes at least.
const ROUNDS: usize = 5;
const ROUND_SECONDS: f64 = 0.3;

/// Bytes of one set of records held in memory at most.
const SET_BYTES_MAX: usize = 300_000_000;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call goes to the allocator of the binary unchanged; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let Some(corpora) = std::env::var_os("YAGURA_CORPORA").map(PathBuf::from) else {
        println!("skipped: set YAGURA_CORPORA");
        return;
    };
    let names: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let chosen = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    println!(
        "| records | events | bytes/event | events/s | MB/s | us/event: decode | columns | finish \
         | allocations/event | us/sentence |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    if chosen("otrf") {
        records("OTRF, Windows JSON", &otrf(&corpora));
    }
    if chosen("syslog") {
        records("syslog lines", &syslog(&corpora));
    }
    let logs =
        files(&[corpora.join("evtx-attack-samples"), corpora.join("sigma-regression")], "evtx");
    if chosen("evtx-text") {
        let texts: Vec<Vec<u8>> = logs.iter().flat_map(|path| bare(path)).collect();
        records("EVTX, as JSON text", &texts);
    }
    if chosen("evtx") {
        evtx_files(&logs);
    }
}

/// CPU seconds this thread has had.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Repeats `work`, which answers how many events it did; CPU µs an event in the fastest round.
/// (What else runs on the machine only ever makes a round slower.)
fn measure(mut work: impl FnMut() -> usize) -> f64 {
    let round = |work: &mut dyn FnMut() -> usize| {
        let (began, mut events) = (cpu_seconds(), 0);
        loop {
            events += work();
            let spent = cpu_seconds() - began;
            // The kernel counts in steps of a few milliseconds.
            if spent >= ROUND_SECONDS {
                return spent * 1e6 / events as f64;
            }
        }
    };
    (0..ROUNDS).map(|_| round(&mut work)).fold(f64::INFINITY, f64::min)
}

struct Source {
    stream: StreamName,
    received: UtcMicros,
}

impl Source {
    fn new() -> Self {
        Source {
            stream: StreamName::new("bench").unwrap(),
            received: "2026-11-21T12:00:00Z".parse().unwrap(),
        }
    }

    fn origin(&self, index: usize) -> Origin<'_> {
        Origin {
            stream: &self.stream,
            batch: 1,
            index: index as u32,
            batch_salt: &[7; 32],
            received: self.received,
            transport: Transport::SyslogTcp,
            peer: "192.0.2.1:514",
            identity: "none",
        }
    }
}

fn normalizer() -> Normalizer {
    Normalizer::new(Normalizer::embedded_dictionary()).unwrap()
}

fn is_full(normalizer: &Normalizer) -> bool {
    normalizer.waiting_rows() >= BATCH_ROWS || normalizer.waiting_bytes() >= BATCH_BYTES
}

fn records(title: &str, records: &[Vec<u8>]) {
    let source = Source::new();
    let mut normalizer = normalizer();
    let decode = measure(|| {
        for (index, record) in records.iter().enumerate() {
            black_box(normalizer.decode_only(&source.origin(index), record));
        }
        records.len()
    });
    let push_all = |normalizer: &mut Normalizer, finish: &mut dyn FnMut(&mut Normalizer)| {
        for (index, record) in records.iter().enumerate() {
            normalizer.push(&source.origin(index), record);
            if is_full(normalizer) {
                finish(normalizer);
            }
        }
        finish(normalizer);
        records.len()
    };
    let (mut in_finish, mut finished) = (0.0, 0);
    let (mut allocations, mut runs) = (0, 0);
    let whole = measure(|| {
        let before = ALLOCATIONS.load(Relaxed);
        let events = push_all(&mut normalizer, &mut |normalizer| {
            let began = cpu_seconds();
            black_box(normalizer.take_batches());
            in_finish += cpu_seconds() - began;
        });
        (allocations, runs) = (allocations + ALLOCATIONS.load(Relaxed) - before, runs + 1);
        finished += events;
        events
    });
    let finish = in_finish * 1e6 / finished as f64;
    let allocations = allocations as f64 / runs as f64 / records.len() as f64;
    let bytes = records.iter().map(Vec::len).sum::<usize>() as f64 / records.len() as f64;
    println!(
        "| {title} | {} | {bytes:.0} | {:.0} | {:.0} | {decode:.2} | {:.2} | {finish:.2} | {allocations:.2} | {:.2} |",
        records.len(),
        1e6 / whole,
        bytes / whole,
        whole - decode - finish,
        sentences(&mut normalizer, &source, records),
    );
}

/// µs to write one sentence in one language, over a part of the records.
fn sentences(normalizer: &mut Normalizer, source: &Source, records: &[Vec<u8>]) -> f64 {
    let step = records.len() / BATCH_ROWS + 1;
    for (index, record) in records.iter().enumerate().step_by(step) {
        normalizer.push(&source.origin(index), record);
    }
    let batches = normalizer.take_batches();
    measure(|| {
        for batch in &batches {
            for row in 0..batch.rows() {
                black_box(normalizer.sentence(batch, row, Lang::En));
            }
        }
        batches.iter().map(|batch| batch.rows()).sum()
    })
}

/// From files to JSON text by the bare parser, and from the same files to columns by us.
fn evtx_files(logs: &[PathBuf]) {
    let bare_cost = measure(|| logs.iter().map(|path| bare(path).len()).sum());
    let source = Source::new();
    let mut normalizer = normalizer();
    normalizer.set_keep_original(false);
    let ours = measure(|| {
        let mut events = 0;
        for path in logs {
            let mut file = std::fs::File::open(path).unwrap();
            let mut sink = Sink { normalizer: &mut normalizer, source: &source, events };
            let Ok(()) = yagura_intake::evtx::read(&mut file, &mut sink);
            events = sink.events;
            if is_full(&normalizer) {
                black_box(normalizer.take_batches());
            }
        }
        black_box(normalizer.take_batches());
        events
    });
    println!(
        "\n| EVTX files | us/event |\n|---|---|\n| bare evtx parser, JSON text | {bare_cost:.2} |\n\
         | ours, columns | {ours:.2} |\n| ratio | {:.2} |",
        ours / bare_cost
    );
}

struct Sink<'a> {
    normalizer: &'a mut Normalizer,
    source: &'a Source,
    events: usize,
}

impl yagura_intake::evtx::EvtxSink for Sink<'_> {
    type Halt = std::convert::Infallible;

    fn record(&mut self, json: &[u8]) -> Result<(), Self::Halt> {
        self.normalizer.push(&self.source.origin(self.events), json);
        self.events += 1;
        Ok(())
    }

    fn damage(&mut self, _place: Words, _reason: Words) {}
}

/// The records of a Windows event log as the parser writes them.
fn bare(path: &Path) -> Vec<Vec<u8>> {
    let settings = evtx::ParserSettings::new().indent(false).num_threads(1);
    let Ok(parser) = evtx::EvtxParser::from_path(path) else { return Vec::new() };
    let mut parser = parser.with_configuration(settings);
    parser.records_json_bytes().filter_map(|record| Some(record.ok()?.data)).collect()
}

fn otrf(corpora: &Path) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut bytes = 0;
    for path in files(&[corpora.join("otrf")], "zip") {
        let mut zip = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
        for number in 0..zip.len() {
            let mut member = zip.by_index(number).unwrap();
            if !member.is_file() || bytes > SET_BYTES_MAX {
                continue;
            }
            let mut content = Vec::new();
            member.read_to_end(&mut content).unwrap();
            let channel = memchr::memmem::Finder::new(b"\"Channel\"");
            for line in content.split(|byte| *byte == b'\n') {
                if channel.find(line).is_some() {
                    bytes += line.len();
                    records.push(line.to_vec());
                }
            }
        }
    }
    records
}

/// Lines of loghub that syslog carries, as a relay sends them: with a priority.
fn syslog(corpora: &Path) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for file in ["Linux/Linux_2k.log", "OpenSSH/OpenSSH_2k.log", "Mac/Mac_2k.log"] {
        let content = std::fs::read(corpora.join("loghub").join(file)).unwrap();
        let lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        records.extend(lines.filter(|line| !line.is_empty()).map(|line| [b"<38>", line].concat()));
    }
    records
}

fn files(folders: &[PathBuf], extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = folders.to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
