//! What a scan of real event logs with all rules costs, beside the bare parser writing JSON from the
//! same files, and beside other programs that scan event logs, where they are on the PATH. Each is a
//! process of its own, so that CPU seconds and peak memory are its own.
//!
//! `large` and `findings` show that memory stays bounded: a gigabyte of text, and a million lines of
//! which each satisfies two rules and a correlation. They write their logs and findings to the
//! temporary folder (about 5 GB), and take everything away again.
//!
//! `YAGURA_CORPORA=... cargo bench -p yagura-scan`, or with the name of a role after `--`.

#[path = "scan/generated.rs"]
mod generated;
#[path = "scan/peers.rs"]
mod peers;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use yagura_event::Level;
use yagura_intake::import::plan;
use yagura_normalize::Normalizer;
use yagura_rulebook::RuleSources;
use yagura_scan::{ScanOptions, ScanProgress, scan};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Processes of each.
const RUNS: usize = 5;

/// Times that a process reads all files, unless `YAGURA_BENCH_ROUNDS` says another number.
const ROUNDS: usize = 20;

fn main() {
    let Some(corpora) = std::env::var_os("YAGURA_CORPORA").map(PathBuf::from) else {
        eprintln!("skipped: set YAGURA_CORPORA");
        return;
    };
    let role = std::env::args().nth(1).unwrap_or_default();
    match role.as_str() {
        "parser" => parser(&corpora),
        "rules" => rules(&corpora),
        "scan" => all(&corpora, 1, false),
        "scan2" => all(&corpora, 2, false),
        "hashing" => all(&corpora, 1, true),
        "large" => generated::large(sources(&corpora)),
        "findings" => generated::findings(),
        _ => compare(&corpora),
    }
}

fn folders(corpora: &Path) -> Vec<PathBuf> {
    ["evtx-attack-samples", "sigma-regression"].map(|name| corpora.join(name)).into()
}

/// Every EVTX file of the corpora.
fn evtx(corpora: &Path) -> Vec<PathBuf> {
    let found = plan(&folders(corpora)).files.into_iter().map(|file| file.path);
    found.filter(|path| path.extension().is_some_and(|end| end == "evtx")).collect()
}

fn parser(corpora: &Path) {
    let files = evtx(corpora);
    let (mut records, mut bytes) = (0_u64, 0);
    let text = rounds(|| {
        (records, bytes) = (0, 0);
        for path in &files {
            let settings = ::evtx::ParserSettings::new().num_threads(1).indent(false);
            let Ok(parser) = ::evtx::EvtxParser::from_path(path) else { continue };
            for record in parser.with_configuration(settings).records_json().flatten() {
                records += 1;
                bytes += black_box(&record.data).len();
            }
        }
    });
    told("parser", records, &format!("{bytes} bytes of JSON, {text}"));
}

/// Does `work` once, and says what that cost: a scan then arranges the rules for the kinds of events it
/// meets. Then several times, and says what that cost on average.
fn rounds(mut work: impl FnMut()) -> String {
    let rounds = std::env::var("YAGURA_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok());
    let rounds: usize = rounds.unwrap_or(ROUNDS).max(1);
    let before = cpu_seconds();
    work();
    let first = cpu_seconds() - before;
    let before = cpu_seconds();
    (0..rounds).for_each(|_| work());
    let mean = (cpu_seconds() - before) / rounds as f64;
    format!("mean of {rounds}: {mean:.4} s, the first {first:.2} s")
}

/// The mean in what [`rounds`] said.
fn mean(line: &str) -> Option<f64> {
    line.split("mean of ").nth(1)?.split_whitespace().nth(1)?.parse().ok()
}

fn sources(corpora: &Path) -> RuleSources {
    RuleSources { rules: vec![corpora.join("sigma")], ..RuleSources::default() }
}

fn rules(corpora: &Path) {
    let began = Instant::now();
    let Some(normalizer) = normalizer() else { return };
    let compiled = sources(corpora).compile(normalizer.dictionary().clone());
    let took = began.elapsed().as_secs_f64();
    let Ok(compiled) = compiled else { return };
    let loaded = compiled.report.loaded as u64;
    told("rules", loaded, &format!("{took:.3} s by the clock"));
    let began = Instant::now();
    compiled.ruleset.prepare();
    let took = began.elapsed().as_secs_f64();
    told("rules", loaded, &format!("{took:.3} s more to arrange them for every kind of event"));
}

/// What reads logs, with the built-in content: the `rules` role pays for it.
fn normalizer() -> Option<Arc<Normalizer>> {
    Normalizer::new(Normalizer::embedded_dictionary()).ok().map(Arc::new)
}

/// A scan as `yagura scan` makes it; `file_hashes` as for a report of HTML, which tells them.
fn all(corpora: &Path, threads: usize, file_hashes: bool) {
    let normalizer = normalizer();
    let dictionary = normalizer.as_ref().map(|normalizer| normalizer.dictionary().clone());
    let dictionary = dictionary.unwrap_or_else(Normalizer::embedded_dictionary);
    let Ok(compiled) = sources(corpora).compile(dictionary) else { return };
    let options = ScanOptions {
        threads,
        normalizer,
        file_hashes,
        min_level: Level::Informational,
        ..ScanOptions::default()
    };
    let ruleset = Arc::clone(&compiled.ruleset);
    drop(compiled);
    let plan = plan(&evtx(corpora));
    let (mut events, mut findings) = (0, 0);
    let text = rounds(|| {
        let (progress, cancel) = (ScanProgress::default(), AtomicBool::new(false));
        let Ok(scanned) = scan(&plan, &ruleset, &options, &progress, &cancel) else { return };
        (events, findings) = (scanned.report.events, scanned.report.findings());
    });
    let each = mean(&text).unwrap_or_default() * 1e6 / events.max(1) as f64;
    told("scan", events, &format!("{findings} findings, {text}, {each:.2} µs an event"));
}

fn told(role: &str, count: u64, text: &str) {
    println!("{role} {count} {:.3} {:.1} {text}", cpu_seconds(), peak_mebibytes());
}

/// CPU seconds of this process, user and system; Linux counts hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    // utime and stime are fields 14 and 15 of proc_pid_stat(5); the first here is 3.
    let field = |number: usize| after_name.split_whitespace().nth(number - 3);
    let ticks = |number: usize| field(number).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(14) + ticks(15)) / 100.0
}

fn peak_mebibytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or_default() / 1024.0
}

fn compare(corpora: &Path) {
    let Ok(program) = std::env::current_exe() else { return };
    println!("role, count, CPU seconds, peak MiB; {RUNS} processes of each by turns");
    let run = |role: &str| {
        let output = Command::new(&program).arg(role).output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    for role in ["scan", "scan2", "hashing"] {
        let mut ratios = Vec::with_capacity(RUNS);
        for _ in 0..RUNS {
            let (Some(parser), Some(scan)) = (run("parser"), run(role)) else { continue };
            print!("{parser}{scan}");
            let ratio = mean(&scan).zip(mean(&parser)).map(|(scan, parser)| scan / parser);
            ratios.extend(ratio);
        }
        ratios.sort_by(f64::total_cmp);
        if let (Some(least), Some(middle)) = (ratios.first(), ratios.get(ratios.len() / 2)) {
            println!(
                "{role} / parser, without loading the rules: {least:.2} at least, {middle:.2} in the middle"
            );
        }
    }
    println!("role, count, CPU seconds, peak MiB; one run each");
    for role in ["rules", "large", "findings"] {
        if let Some(line) = run(role) {
            print!("{line}");
        }
    }
    peers::compare(&evtx(corpora), &corpora.join("sigma"));
}
