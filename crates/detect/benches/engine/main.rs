//! The engine alone on batches of real events with every rule of SigmaHQ: how many events a second
//! one core evaluates, what ten times the rules cost, and a peer on the same events.
//!
//! `YAGURA_CORPORA=... cargo bench -p yagura-detect --bench engine`. Times are CPU seconds of this
//! thread, by the wall clock where shorter than a tenth of a second; each figure is the best of
//! several passes, each with an engine that has seen nothing.

mod copies;
#[allow(dead_code, reason = "each program uses a part of it")]
mod corpus;
mod peer;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use yagura_detect::{Engine, LogSources, RuleFile, Ruleset, Stats};
use yagura_event::EventBatch;
use yagura_normalize::Normalizer;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SOURCES: &str = include_str!("../../../../content/logsources.toml");
const PASSES: usize = 5;
const ROUNDS: usize = 3;

fn main() {
    let Some(corpora) = std::env::var_os("YAGURA_CORPORA").map(PathBuf::from) else {
        println!("skipped: set YAGURA_CORPORA");
        return;
    };
    let quick = std::env::args().any(|argument| argument == "quick");
    let (rules, read) = timed(|| corpus::rules(&corpora));
    println!("read      {:7.1} ms  {} rule files", read.wall_ms, rules.len());
    let ruleset = compile("compile", &rules);

    let sets = [("EVTX", corpus::evtx(&corpora)), ("OTRF", corpus::otrf(&corpora))];
    let shapes = [("whole files", None), ("8,192 events", Some(8_192)), ("512 events", Some(512))];
    for (name, files) in &sets {
        for (shape, rows_max) in shapes {
            let batches = corpus::batches(files, rows_max);
            run(&format!("{name}, {shape}"), &ruleset, &batches);
        }
    }
    if quick {
        return;
    }

    let many = copies::multiplied(&rules, 9);
    println!(
        "ten times the rules: {} have copies with other event codes; {} say nothing that could be \
         said otherwise and have none",
        many.other_codes, many.without
    );
    let many = compile("compile ten times the rules", &many.rules);
    for (name, files) in &sets {
        let batches = corpus::batches(files, Some(8_192));
        let (mut one, mut ten) = (f64::INFINITY, f64::INFINITY);
        // In turns: a machine that is shared is quicker at one moment than at another.
        for _ in 0..ROUNDS {
            one =
                one.min(run(&format!("{name}, 8,192 events, the rules once"), &ruleset, &batches));
            ten = ten.min(run(&format!("{name}, 8,192 events, ten times"), &many, &batches));
        }
        println!("{name}: ten times the rules take {:.2} times the time", ten / one);
    }
    drop(many);
    compare(&rules, &ruleset, &sets);
}

fn compile(what: &str, rules: &[RuleFile]) -> Arc<Ruleset> {
    let sources = LogSources::from_toml(SOURCES).expect("the content is tested");
    let dictionary = Normalizer::embedded_dictionary();
    let before = resident_bytes();
    let ((ruleset, report), took) = timed(|| {
        let compiled = Ruleset::compile(rules, dictionary, &sources);
        compiled.0.prepare();
        compiled
    });
    println!(
        "{what}   {:7.1} ms, {:.1} ms of CPU in this thread; {} rules, {} predicates, {} refused; {:.1} MiB",
        took.wall_ms,
        took.cpu_ms,
        report.loaded,
        ruleset.atoms(),
        report.refused.len(),
        resident_bytes().saturating_sub(before) as f64 / 1_048_576.0,
    );
    Arc::new(ruleset)
}

/// Evaluates the batches several times and prints the best; nanoseconds an event.
fn run(name: &str, ruleset: &Arc<Ruleset>, batches: &[EventBatch]) -> f64 {
    let events: usize = batches.iter().map(EventBatch::rows).sum();
    let before = resident_bytes();
    let mut best = f64::INFINITY;
    let mut warm = f64::INFINITY;
    let mut stats = Stats::default();
    let mut grown = 0;
    for _ in 0..PASSES {
        let mut engine = Engine::new(ruleset.clone());
        let pass = |engine: &mut Engine| {
            let found: usize = batches.iter().map(|batch| engine.evaluate(batch).len()).sum();
            std::hint::black_box(found)
        };
        best = best.min(timed(|| pass(&mut engine)).1.ms());
        grown = grown.max(resident_bytes().saturating_sub(before));
        stats = engine.stats();
        warm = warm.min(timed(|| pass(&mut engine)).1.ms());
    }
    let each = |count: u64| count as f64 / events as f64;
    let ns = best * 1e6 / events as f64;
    println!(
        "{name:32} {events:7} events in {:4} batches  {ns:6.0} ns/event {:9.0} events/s  again {:6.0} ns",
        batches.len(),
        1e9 / ns,
        warm * 1e6 / events as f64,
    );
    println!(
        "{:32} per event: {:.2} candidates, {:.2} predicates, {:.3} matches, {:.2} values matched, {:.2} remembered; {} groups, {:.1} MiB",
        "",
        each(stats.candidates),
        each(stats.predicates),
        each(stats.matches),
        each(stats.values_evaluated),
        each(stats.values_remembered),
        stats.groups,
        grown as f64 / 1_048_576.0,
    );
    ns
}

/// Batches whose events the peer has at once.
const PEER_BATCHES: usize = 4;

fn compare(rules: &[RuleFile], ruleset: &Arc<Ruleset>, sets: &[(&str, Vec<corpus::File>)]) {
    let used: BTreeSet<String> = ruleset.rules().map(|rule| rule.id.clone()).collect();
    let collection = peer::collection(rules, &used);
    let sources = LogSources::from_toml(SOURCES).expect("the content is tested");
    let dictionary = Normalizer::embedded_dictionary();
    let mut engine = rsigma_eval::Engine::new();
    let refused = engine.add_rules(&collection.rules).len();
    println!("rsigma-eval: {} rules, {refused} refused", engine.rule_count());
    let namer = peer::Namer::new(&dictionary, &collection, &sources);
    for (name, files) in sets {
        let batches = corpus::batches(files, Some(8_192));
        let (mut spent, mut matches, mut events) = (0.0, 0, 0);
        // As JSON values they take much memory: a part at a time.
        for part in batches.chunks(PEER_BATCHES) {
            let part: Vec<_> = part.iter().flat_map(|batch| namer.events(batch)).collect();
            let pass = || {
                let found = part.iter().map(|event| {
                    let view = rsigma_eval::JsonEvent::borrow(&event.value);
                    engine.evaluate_pruned(&view, &event.source).len()
                });
                found.sum::<usize>()
            };
            let (first, second) = (timed(pass), timed(pass));
            spent += first.1.ms().min(second.1.ms());
            matches += first.0;
            events += part.len();
        }
        let theirs = spent * 1e6 / events as f64;
        println!(
            "{name}: rsigma-eval {theirs:.0} ns/event on {events} events, {:.3} matches an event",
            matches as f64 / events as f64
        );
        let ours = run(&format!("{name}, the same events"), ruleset, &batches);
        println!("{name}: {:.1} times the speed of rsigma-eval", theirs / ours);
    }
}

struct Took {
    wall_ms: f64,
    cpu_ms: f64,
}

impl Took {
    /// The system counts a thread's CPU time in ticks of some milliseconds: what is short is told by
    /// the wall clock.
    fn ms(&self) -> f64 {
        if self.wall_ms < 100.0 { self.wall_ms } else { self.cpu_ms }
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Took) {
    let (start, cpu) = (Instant::now(), cpu_ms());
    let done = work();
    let wall_ms = start.elapsed().as_secs_f64() * 1e3;
    (done, Took { wall_ms, cpu_ms: cpu_ms() - cpu })
}

/// CPU time of this thread; wall time where the system does not tell.
fn cpu_ms() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    match stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()) {
        Some(ns) => ns / 1e6,
        None => START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e3,
    }
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
