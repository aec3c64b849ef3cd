//! Real logs: a scan finds what the live way finds.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use yagura_detect::{Correlator, CorrelatorOptions, Engine, Match, Ruleset};
use yagura_event::{
    CommittedRun, EventBatch, Lang, ManualClock, Record, StreamName, UtcMicros, columns,
};
use yagura_intake::SinkError;
use yagura_intake::import::{
    FileKind, Import, ImportOptions, ImportSink, Plan, Progress, ProgressState, plan,
};
use yagura_normalize::Normalizer;
use yagura_rulebook::RuleSources;
use yagura_scan::{ScanOptions, ScanProgress, scan};

fn corpora() -> Option<PathBuf> {
    match std::env::var_os("YAGURA_CORPORA") {
        Some(path) => Some(path.into()),
        None if std::env::var_os("CI").is_some() => panic!("set YAGURA_CORPORA"),
        None => {
            eprintln!("skipped: set YAGURA_CORPORA");
            None
        }
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-11-22T00:00:00Z".parse().unwrap()))
}

/// Time, sentence and file of an event with the id of a rule it satisfies; how often.
type Found = BTreeMap<(String, String, String, String), u64>;

/// The live way: imported records, as a node's pipeline takes them.
struct Live {
    now: UtcMicros,
    records: Mutex<BTreeMap<StreamName, Vec<Record>>>,
}

impl ImportSink for Live {
    fn append(&self, stream: &StreamName, records: Vec<Record>) -> Result<(), SinkError> {
        self.records.lock().unwrap().entry(stream.clone()).or_default().extend(records);
        Ok(())
    }

    fn stream_records(&self, stream: &StreamName) -> Result<u64, SinkError> {
        Ok(self.records.lock().unwrap().get(stream).map_or(0, Vec::len) as u64)
    }

    fn seal(&self, _: &StreamName) -> Result<(), SinkError> {
        Ok(())
    }
}

struct Silent;

impl Progress for Silent {
    fn update(&self, _: &ProgressState<'_>) {}
}

fn imported(plan: &Plan) -> Live {
    let sink = Live { now: "2026-11-22T00:00:00Z".parse().unwrap(), records: Mutex::default() };
    let options = ImportOptions { clock: clock(), ..ImportOptions::default() };
    Import::run(plan, &sink, &Silent, &options, &AtomicBool::new(false));
    sink
}

fn times(batch: &EventBatch) -> arrow::array::TimestampMicrosecondArray {
    let times = batch.columns.column_by_name(columns::TIMESTAMP).unwrap();
    times.as_any().downcast_ref::<arrow::array::TimestampMicrosecondArray>().unwrap().clone()
}

/// Correlation, first and last event, and how many.
type Counted = Vec<(String, String, String, u64)>;

/// What a live correlator finds that is given the events in the order of their time.
fn live_correlations(plan: &Plan, ruleset: &Arc<Ruleset>) -> Counted {
    let sink = imported(plan);
    let mut normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
    let mut engine = Engine::new(ruleset.clone());
    let mut rows: Vec<(i64, EventBatch, Vec<Match>)> = Vec::new();
    for (stream, records) in sink.records.into_inner().unwrap() {
        let run = CommittedRun { stream, batch: 1, batch_salt: [0; 32], first_index: 0, records };
        normalizer.normalize(&run);
        for batch in normalizer.take_batches() {
            let times = times(&batch);
            let mut matches: BTreeMap<usize, Vec<Match>> = BTreeMap::new();
            for found in engine.evaluate(&batch) {
                matches.entry(found.row).or_default().push(Match { row: 0, ..found });
            }
            rows.extend(matches.into_iter().map(|(row, matches)| {
                let columns = batch.columns.slice(row, 1);
                (times.value(row), EventBatch { dataset: batch.dataset.clone(), columns }, matches)
            }));
        }
    }
    rows.sort_by_key(|(time, ..)| *time);
    let mut correlator = Correlator::new(ruleset.clone(), CorrelatorOptions::default());
    let mut alerts = BTreeMap::new();
    let mut told = Vec::new();
    for (_, batch, matches) in &rows {
        told.extend(correlator.observe(batch, matches));
    }
    told.extend(correlator.finish());
    assert_eq!(correlator.take_notices(), []);
    for found in told {
        let (first, last) = (found.first.to_string(), found.last.to_string());
        alerts.insert(found.episode, (found.rule.id.clone(), first, last, found.events));
    }
    let mut counted: Counted = alerts.into_values().collect();
    counted.sort();
    counted
}

fn scanned_correlations(plan: &Plan, ruleset: &Arc<Ruleset>) -> Counted {
    let options = ScanOptions { clock: clock(), threads: 2, ..ScanOptions::default() };
    let (progress, cancel) = (ScanProgress::default(), AtomicBool::new(false));
    let mut scanned = scan(plan, ruleset, &options, &progress, &cancel).unwrap();
    assert_eq!(scanned.report.notices, []);
    let findings = scanned.findings().unwrap().map(Result::unwrap);
    let counted = findings.filter(|finding| finding.text("rule.type") == "correlation");
    let mut counted: Counted = counted
        .map(|finding| {
            let text = |name: &str| finding.text(name).to_owned();
            let events = finding.get("event.count").unwrap().as_u64().unwrap();
            (text("rule.uuid"), text("event.start"), text("event.end"), events)
        })
        .collect();
    counted.sort();
    counted
}

/// Files come in any order, and a scan counts them as if they had come in that of time.
#[test]
fn a_scan_counts_what_a_live_correlator_counts_in_the_order_of_time() {
    let Some(corpora) = corpora() else { return };
    let sources = RuleSources { rules: vec![corpora.join("sigma")], ..RuleSources::default() };
    let compiled = sources.compile(Normalizer::embedded_dictionary()).unwrap();
    let plan = plan(&["evtx-attack-samples", "loghub/OpenSSH"].map(|name| corpora.join(name)));
    let live = live_correlations(&plan, &compiled.ruleset);
    assert!(live.len() > 5, "only {live:?}");
    assert_eq!(scanned_correlations(&plan, &compiled.ruleset), live);
}

fn live(plan: &Plan, ruleset: &Arc<Ruleset>) -> Found {
    let sink = imported(plan);
    let mut normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
    let mut engine = Engine::new(ruleset.clone());
    let mut found = Found::new();
    for (stream, records) in sink.records.into_inner().unwrap() {
        let peer = records[0].peer.to_string();
        assert!(records.iter().all(|record| record.received == sink.now));
        let run = CommittedRun { stream, batch: 1, batch_salt: [0; 32], first_index: 0, records };
        normalizer.normalize(&run);
        for batch in normalizer.take_batches() {
            let times = times(&batch);
            for matched in engine.evaluate(&batch) {
                let time = UtcMicros::from_micros(times.value(matched.row)).to_string();
                let sentence = normalizer.sentence(&batch, matched.row, Lang::En);
                let key = (time, sentence, peer.clone(), matched.rule.id.clone());
                *found.entry(key).or_default() += 1;
            }
        }
    }
    found
}

fn scanned(plan: &Plan, ruleset: &Arc<Ruleset>) -> Found {
    let options = ScanOptions { clock: clock(), threads: 2, ..ScanOptions::default() };
    let (progress, cancel) = (ScanProgress::default(), AtomicBool::new(false));
    let mut scanned = scan(plan, ruleset, &options, &progress, &cancel).unwrap();
    let mut found = Found::new();
    for finding in scanned.findings().unwrap().map(Result::unwrap) {
        if finding.text("rule.type") == "detection" {
            let key = ["@timestamp", "message", "log.file.path", "rule.uuid"];
            let [time, message, path, rule] = key.map(|name| finding.text(name).to_owned());
            *found.entry((time, message, path, rule)).or_default() += 1;
        }
    }
    found
}

/// The same logs through import and the live engine, and through a scan: the same rules for the same
/// events, of EVTX and of JSON.
#[test]
fn a_scan_finds_what_the_live_engine_finds() {
    let Some(corpora) = corpora() else { return };
    let sources = RuleSources { rules: vec![corpora.join("sigma")], ..RuleSources::default() };
    let compiled = sources.compile(Normalizer::embedded_dictionary()).unwrap();
    let folder = |name: &str| plan(&[corpora.join(name)]);
    for plan in [folder("sigma-regression"), folder("evtx-attack-samples")] {
        let (live, scanned) = (live(&plan, &compiled.ruleset), scanned(&plan, &compiled.ruleset));
        let silent: Vec<_> =
            compiled.ruleset.rules().filter(|r| !r.alerts).map(|r| &r.id).collect();
        let live: Found = live.into_iter().filter(|(key, _)| !silent.contains(&&key.3)).collect();
        let differing: Vec<_> = live
            .iter()
            .filter(|(key, count)| scanned.get(*key) != Some(*count))
            .chain(scanned.iter().filter(|(key, _)| !live.contains_key(*key)))
            .take(10)
            .collect();
        assert!(differing.is_empty(), "{differing:#?}");
        assert!(live.len() > 200, "only {}", live.len());
    }
}

/// Each visible regression case of SigmaHQ: its rule must come up in its sample.
#[test]
fn sigma_regression_cases_come_up_in_a_scan() {
    let Some(corpora) = corpora() else { return };
    let sources = RuleSources { rules: vec![corpora.join("sigma")], ..RuleSources::default() };
    let compiled = sources.compile(Normalizer::embedded_dictionary()).unwrap();
    let plan = plan(&[corpora.join("sigma-regression")]);
    let found = scanned(&plan, &compiled.ruleset);
    let of = |kind: &str, dir: &Path, rule: &str| {
        let dir = dir.to_string_lossy();
        found
            .keys()
            .any(|(_, _, path, id)| id == rule && path.starts_with(&*dir) && path.ends_with(kind))
    };
    let (mut cases, mut silent) = (0, Vec::new());
    for info in plan.files.iter().filter(|file| file.path.ends_with("info.yml")) {
        let text = std::fs::read_to_string(&info.path).unwrap();
        let metadata = text.split("rule_metadata:").nth(1).unwrap();
        let id =
            metadata.lines().find_map(|line| line.trim().strip_prefix("- id:")).unwrap().trim();
        cases += 1;
        let dir = info.path.parent().unwrap();
        silent.extend(
            [".evtx", ".json"].iter().filter(|k| !of(k, dir, id)).map(|k| (*k, id.to_owned())),
        );
    }
    // It has a line of text, and no event log.
    const DOT1X: &str = "ef0ff092-a24a-4fbc-beea-06c08d53e085";
    let expected = [".evtx", ".json"].map(|kind| (kind, DOT1X.to_owned()));
    assert!(cases > 100);
    assert_eq!(silent, expected);
    assert!(of(".raw", &corpora, DOT1X), "its line");
}

/// What a file is, is told from its content by both ways alike.
#[test]
fn both_ways_read_the_same_files() {
    let Some(corpora) = corpora() else { return };
    let plan = plan(&[corpora.join("evtx-attack-samples")]);
    let sink = Live { now: UtcMicros::default(), records: Mutex::default() };
    let options = ImportOptions { clock: clock(), ..ImportOptions::default() };
    let imported = Import::run(&plan, &sink, &Silent, &options, &AtomicBool::new(false));
    let compiled = RuleSources::default().compile(Normalizer::embedded_dictionary()).unwrap();
    let (progress, cancel) = (ScanProgress::default(), AtomicBool::new(false));
    let options = ScanOptions { clock: clock(), threads: 2, ..ScanOptions::default() };
    let scanned = scan(&plan, &compiled.ruleset, &options, &progress, &cancel).unwrap();
    assert_eq!(scanned.report.files.len(), imported.files.len());
    for (scanned, imported) in scanned.report.files.iter().zip(&imported.files) {
        assert_eq!(scanned.path, imported.path);
        assert_eq!((scanned.kind, &scanned.sha256), (imported.kind, &imported.sha256));
        if scanned.same_as.is_none() && scanned.kind == Some(FileKind::Evtx) {
            assert_eq!(scanned.events, imported.records_added, "{}", scanned.path);
            assert_eq!(scanned.damaged, imported.damaged, "{}", scanned.path);
        }
    }
}
