//! Real rules on real events: the corpora that `YAGURA_CORPORA` names.

use crate::corpus;
use crate::reference;
use reference::{Event, Readings, Reference, events_of};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_detect::{CompileReport, Engine, LogSources, RuleFile, Ruleset};
use yagura_event::{CommittedRun, EventBatch, Record, StreamName, Transport, UtcMicros};
use yagura_normalize::Normalizer;

const SOURCES: &str = include_str!("../../../../content/logsources.toml");

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

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn rule_files(corpora: &Path) -> Vec<RuleFile> {
    let root = corpora.join("sigma");
    let sets = [
        "rules",
        "rules-emerging-threats",
        "rules-threat-hunting",
        "rules-dfir",
        "rules-compliance",
    ];
    let paths = sets.iter().map(|set| root.join(set)).filter(|dir| dir.is_dir());
    let paths = paths.flat_map(|dir| files(&dir, "yml"));
    paths
        .map(|path| RuleFile {
            text: std::fs::read_to_string(&path).unwrap(),
            path: path.strip_prefix(&root).unwrap().display().to_string(),
        })
        .collect()
}

fn compile(rules: &[RuleFile]) -> (Arc<Ruleset>, CompileReport, LogSources) {
    let sources = LogSources::from_toml(SOURCES).unwrap();
    let (ruleset, report) = Ruleset::compile(rules, Normalizer::embedded_dictionary(), &sources);
    (Arc::new(ruleset), report, sources)
}

fn evtx_records(path: &Path) -> Vec<String> {
    let settings = evtx::ParserSettings::default().num_threads(1).indent(false);
    let Ok(parser) = evtx::EvtxParser::from_path(path) else { return Vec::new() };
    let mut parser = parser.with_configuration(settings);
    parser.records_json().filter_map(|record| record.ok()).map(|record| record.data).collect()
}

fn json_records(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let values = serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>();
    values.map(|value| value.unwrap().to_string()).collect()
}

fn batches(normalizer: &mut Normalizer, records: Vec<String>) -> Vec<EventBatch> {
    let records = records.into_iter().map(|text| Record {
        received: UtcMicros::from_micros(1_764_229_210_165_324),
        transport: Transport::File,
        peer: "corpora".into(),
        identity: "none".into(),
        bytes: text.into(),
    });
    let run = CommittedRun {
        stream: StreamName::new("corpora").unwrap(),
        batch: 1,
        batch_salt: [0; 32],
        first_index: 0,
        records: records.collect(),
    };
    normalizer.normalize(&run);
    normalizer.take_batches()
}

fn normalizer() -> Normalizer {
    Normalizer::new(Normalizer::embedded_dictionary()).unwrap()
}

#[test]
fn all_of_sigmahq_loads_but_for_these() {
    let Some(corpora) = corpora() else { return };
    let rules = rule_files(&corpora);
    let (ruleset, report, _) = compile(&rules);
    assert_eq!(report.loaded + report.refused.len(), rules.len());
    assert_eq!(ruleset.rules().len(), report.loaded);
    let refused: Vec<String> = report.refused.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(refused.join("\n"));
}

/// SigmaHQ's own cases: each names a rule and a sample on which the rule must fire.
#[test]
fn sigmahq_regression_cases_fire() {
    let Some(corpora) = corpora() else { return };
    let (ruleset, _, _) = compile(&rule_files(&corpora));
    let mut engine = Engine::new(ruleset);
    let mut normalizer = normalizer();
    let mut silent = BTreeMap::new();
    let mut fired = BTreeMap::from([("evtx", 0), ("json", 0)]);
    let infos = files(&corpora.join("sigma-regression"), "yml");
    for info_path in &infos {
        let info: serde_norway::Value =
            serde_norway::from_str(&std::fs::read_to_string(info_path).unwrap()).unwrap();
        let rule = info["rule_metadata"][0]["id"].as_str().unwrap();
        let wanted = info["regression_tests_info"][0]["match_count"].as_u64().unwrap_or(1);
        for (kind, read) in [("evtx", evtx_records as fn(&Path) -> _), ("json", json_records)] {
            let records: Vec<String> = files(info_path.parent().unwrap(), kind)
                .iter()
                .flat_map(|path| read(path))
                .collect();
            let mut found = 0;
            for batch in batches(&mut normalizer, records) {
                found += engine.evaluate(&batch).iter().filter(|one| one.rule.id == rule).count();
            }
            if found as u64 >= wanted {
                *fired.get_mut(kind).unwrap() += 1;
            } else {
                let title = info["rule_metadata"][0]["title"].as_str().unwrap();
                silent.insert(format!("{kind} {rule} {title}"), format!("{found} of {wanted}"));
            }
        }
    }
    eprintln!("{} cases, fired {fired:?}, {:?}", infos.len(), engine.stats());
    assert!(fired["evtx"] >= 95 && fired["json"] >= 95, "{fired:?}: {silent:#?}");
    insta::assert_debug_snapshot!((fired, silent));
}

/// Every event of every EVTX through the engine, and of archives of OTRF and logs of Loghub some that
/// stand evenly in them; a sample of these, and what matched, through the reference.
#[test]
fn the_engine_agrees_with_the_reference_on_real_events() {
    /// Events per corpus and dataset that the reference evaluates with every rule.
    const SAMPLE_MAX: usize = 12;
    /// Every so many archives of OTRF are looked at, and so many events of each log.
    const ARCHIVES_STEP: usize = 8;
    const LOG_EVENTS_MAX: usize = 100;
    /// Events per dataset whose matches the reference confirms.
    const CONFIRMED_MAX: usize = 150;
    let Some(corpora) = corpora() else { return };
    let rules = rule_files(&corpora);
    let (ruleset, report, sources) = compile(&rules);
    let loaded: BTreeSet<String> = ruleset.rules().map(|rule| rule.id.clone()).collect();
    let mut parsed = BTreeMap::new();
    for file in &rules {
        for rule in rsigma_parser::parse_sigma_yaml(&file.text).unwrap().rules {
            parsed.insert(rule.id.clone().unwrap(), rule);
        }
    }
    parsed.retain(|id, _| loaded.contains(id));
    assert_eq!(parsed.len(), report.loaded);

    let mut engine = Engine::new(ruleset);
    let mut normalizer = normalizer();
    let dictionary = Normalizer::embedded_dictionary();
    let reference =
        Reference { dictionary: &dictionary, sources: &sources, readings: Readings::OURS };
    type Sample = Vec<(Event, BTreeSet<String>)>;
    let mut sampled: BTreeMap<(&str, Arc<str>), Sample> = BTreeMap::new();
    let mut confirmed: BTreeMap<(&str, Arc<str>), usize> = BTreeMap::new();
    let mut paths = files(&corpora.join("evtx-attack-samples"), "evtx");
    paths.extend(files(&corpora.join("sigma-regression"), "evtx"));
    let even = |log: corpus::File| -> corpus::File {
        let step = log.len().div_ceil(LOG_EVENTS_MAX);
        log.into_iter().step_by(step).collect()
    };
    let evtx = paths.iter().map(|path| ("evtx", evtx_records(path)));
    let otrf = corpus::otrf_each(&corpora, ARCHIVES_STEP).into_iter();
    let loghub = corpus::loghub(&corpora).into_iter();
    let logs = evtx
        .chain(otrf.map(|log| ("otrf", even(log))))
        .chain(loghub.map(|log| ("loghub", even(log))));
    for (number, (corpus, records)) in logs.enumerate() {
        for batch in batches(&mut normalizer, records) {
            let mut matches: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
            for found in engine.evaluate(&batch) {
                matches.entry(found.row).or_default().insert(found.rule.id.clone());
            }
            let events = events_of(&batch);
            let confirmed = confirmed.entry((corpus, batch.dataset.clone())).or_default();
            for (row, ids) in &matches {
                if *confirmed < CONFIRMED_MAX {
                    *confirmed += 1;
                    for id in ids {
                        assert!(
                            reference.matches(&parsed[id], &events[*row]),
                            "{id} on {:#?}",
                            events[*row]
                        );
                    }
                }
            }
            // One event of each file, so that the sample sees many kinds.
            let sample = sampled.entry((corpus, batch.dataset.clone())).or_default();
            let row = number % events.len();
            if sample.len() < SAMPLE_MAX {
                sample.push((events[row].clone(), matches.remove(&row).unwrap_or_default()));
            }
        }
    }
    for ((_, dataset), sample) in &sampled {
        let concerned: Vec<_> = parsed
            .values()
            .filter(|rule| {
                let source = &rule.logsource;
                let parts = [&source.category, &source.product, &source.service];
                let [category, product, service] = parts.map(|part| part.as_deref());
                let clauses = sources.clauses(category, product, service).unwrap();
                clauses.iter().any(|clause| clause.covers(dataset))
            })
            .collect();
        for (event, found) in sample {
            let expected: BTreeSet<String> = concerned
                .iter()
                .filter(|rule| reference.matches(rule, event))
                .map(|rule| rule.id.clone().unwrap())
                .collect();
            assert_eq!(*found, expected, "{event:#?}");
        }
    }
    eprintln!("{:?}, {:?}", engine.stats(), sampled.keys());
    assert!(engine.stats().matches > 1_000);
    for corpus in ["evtx", "otrf", "loghub"] {
        assert!(sampled.keys().any(|(of, _)| *of == corpus), "{corpus}");
    }
}
