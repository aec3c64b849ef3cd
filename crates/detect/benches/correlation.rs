//! Correlations alone: a million groups, how many events a second one core counts, and in how much
//! memory.
//!
//! `cargo bench -p yagura-detect --bench correlation`. Each event fails to log on as one of a
//! million users; the rule that finds it is counted by one correlation a run: events and different
//! addresses of each user within an hour, and (in the last run) one that is judged when over. The
//! matches are made beforehand, so that only the correlator is timed, in CPU seconds of its thread
//! (Linux). A second correlation that finds nothing stands beside it, so that the one that is measured has
//! its half of the state, as on a server; what a million groups need there is printed.

use std::sync::Arc;
use std::time::Instant;
use yagura_detect::{Correlator, CorrelatorOptions, Engine, LogSources, Match, RuleFile, Ruleset};
use yagura_event::{
    BatchBuilder, CommittedRun, EventBatch, FieldDictionary, Record, StreamName, Transport,
    UtcMicros,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u64 = 1_000_000;
const EVENTS: u64 = 2_000_000;
const ROWS: u64 = 8_192;

/// `[correlations] state_mib = 1024`.
const STATE: usize = 1 << 30;

const SOURCES: &str = "[[source]]\nproduct = 'any'\nwhere = [{ dataset = '*' }]\n";

fn main() {
    let rule = "title: Logon failed\nid: failed\nname: failed\nlogsource: {product: any}\n\
                detection: {s: {event.action: logon-failed}, condition: s}\n";
    let correlation = |name: &str, kind: &str, condition: &str| {
        format!(
            "---\ntitle: {name}\nid: {name}\ncorrelation:\n  type: {kind}\n  rules: [failed]\n  \
             group-by: [user.name]\n  timespan: 1h\n  condition: {{{condition}}}\n"
        )
    };
    let many = correlation("many", "event_count", "gte: 5");
    let spread = correlation("spread", "value_count", "field: source.ip, gte: 5");
    let rare = correlation("rare", "event_count", "lt: 2");
    let beside = "---\ntitle: Other\nid: other\nname: other\nlogsource: {product: any}\n\
                  detection: {s: {event.action: other}, condition: s}\n---\ntitle: beside\nid: beside\n\
                  correlation:\n  type: event_count\n  rules: [other]\n  timespan: 1h\n  \
                  condition: {gte: 5}\n";
    run("event_count, a million users", &format!("{rule}{many}{beside}"));
    run("value_count, a million users", &format!("{rule}{spread}{beside}"));
    run("judged when over, a million users", &format!("{rule}{rare}{beside}"));
}

fn run(name: &str, text: &str) {
    let dictionary = Arc::new(FieldDictionary::from_toml("").expect("it is empty"));
    let sources = LogSources::from_toml(SOURCES).expect("it is above");
    let files = [RuleFile { path: "bench.yml".into(), text: text.into() }];
    let (ruleset, report) = Ruleset::compile(&files, dictionary.clone(), &sources);
    assert!(report.refused.is_empty(), "{:?}", report.refused);
    let ruleset = Arc::new(ruleset);
    let mut engine = Engine::new(ruleset.clone());
    let options = CorrelatorOptions { state_bytes_max: STATE, ..CorrelatorOptions::default() };
    let mut correlator = Correlator::new(ruleset, options);
    let before = resident_bytes();
    let mut seconds = 0.0;
    let mut told = 0;
    let mut random = 88_172_645_463_325_252_u64;
    for first in (0..EVENTS).step_by(ROWS as usize) {
        let batch = batch(&dictionary, first, &mut random);
        let matches: Vec<Match> = engine.evaluate(&batch);
        assert_eq!(matches.len(), batch.rows());
        let began = cpu_seconds();
        told += correlator.observe(&batch, &matches).len();
        seconds += cpu_seconds() - began;
    }
    let stats = correlator.stats();
    assert_eq!((stats.refused, stats.groups), (0, KEYS), "the state of the bench is too small");
    // One of several correlations has half.
    let needed = (stats.bytes * 2).div_ceil(1 << 20);
    let began = Instant::now();
    let mut state = Vec::new();
    correlator.save(&mut state).expect("memory takes it");
    let saved = began.elapsed().as_secs_f64();
    println!(
        "{name}: {:.0} events/s of CPU; {} groups, {told} matches, {} refused; state {:.0} MiB counted, \
         so that [correlations] state_mib must be {needed}; process grew by {:.0} MiB to {:.0} MiB; saved as {:.0} MiB in {saved:.2} s",
        EVENTS as f64 / seconds,
        stats.groups,
        stats.refused,
        stats.bytes as f64 / 1_048_576.0,
        resident_bytes().saturating_sub(before) as f64 / 1_048_576.0,
        resident_bytes() as f64 / 1_048_576.0,
        state.len() as f64 / 1_048_576.0,
    );
}

/// The first million events are of one user each; the others of any.
fn batch(dictionary: &Arc<FieldDictionary>, first: u64, random: &mut u64) -> EventBatch {
    let mut builder = BatchBuilder::new("bench", dictionary.clone());
    for number in first..(first + ROWS).min(EVENTS) {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        let user = if number < KEYS { number } else { *random % KEYS };
        // 1,000 events a second; up to four seconds late.
        let time = 1_700_000_000_000_000 + number as i64 * 1_000 - (*random % 4_000_000) as i64;
        let record = Record {
            received: UtcMicros::from_micros(1_700_000_000_000_000 + number as i64 * 1_000),
            transport: Transport::File,
            peer: "bench".into(),
            identity: "none".into(),
            bytes: Vec::new().into(),
        };
        let run = CommittedRun {
            stream: StreamName::new("bench").expect("a name"),
            batch: number / 4_096,
            batch_salt: [0; 32],
            first_index: (number % 4_096) as u32,
            records: vec![record.clone()],
        };
        builder.begin_row(&run, run.first_index, &record);
        builder.set_time(UtcMicros::from_micros(time));
        builder.set("event.action", "logon-failed");
        builder.set("user.name", &format!("user{user:07}"));
        let address = *random % 200;
        builder.set("source.ip", &format!("10.1.{}.{}", address / 100, address % 100));
    }
    builder.finish().expect("it has rows")
}

/// CPU time of this thread.
fn cpu_seconds() -> f64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = times.split_whitespace().next().and_then(|nanos| nanos.parse::<f64>().ok());
    nanos.unwrap_or(0.0) / 1e9
}

/// Resident memory of this process; zero where the system does not say.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}
