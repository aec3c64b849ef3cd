//! Our own rules, each against events that it must and must not match (`content/rules/tests.jsonl`),
//! given as columns of a dataset or as a raw line that is read first.

use crate::pack;
use pack::{content, read, rule_files, ruleset, run};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use yagura_desk::{EventWords, FindingMaker, Phase, RuleCopy};
use yagura_detect::{Engine, LogSources, Reads, Ruleset};
use yagura_event::{BatchBuilder, EventBatch, Record};
use yagura_normalize::Normalizer;

/// One line of `tests.jsonl`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Id of the rule.
    rule: String,
    /// Whether the rule must match.
    r#match: bool,
    /// The event as received; or else `dataset` and `fields`.
    raw: Option<String>,
    dataset: Option<String>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

#[test]
fn a_match_becomes_a_finding_that_names_event_host_and_user() {
    let mut engine = Engine::new(ruleset());
    let mut normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
    let mut maker = FindingMaker::new();
    let line = "<38>Nov 21 08:59:58 web01 sshd[42]: Accepted password for root from 192.0.2.7 port 50022 ssh2";
    let mut run = run(line);
    run.first_index = 5;
    run.records.insert(
        0,
        Record { bytes: "<13>Nov 21 08:59:57 web01 x: y".into(), ..run.records[0].clone() },
    );
    normalizer.normalize(&run);
    let mut findings = Vec::new();
    for batch in normalizer.take_batches() {
        for found in engine.evaluate(&batch) {
            let level = found.rule.level;
            let words = EventWords::Said { ja: "日".into(), en: "en".into() };
            let finding = maker.make(&batch, found, words).unwrap();
            assert_eq!(finding.rule.level, level);
            findings.push(finding);
        }
    }
    let finding = findings.iter().max_by_key(|finding| finding.rule.level).unwrap();
    assert_eq!(finding.rule.name, "SSH logon of root with a password");
    assert_eq!(finding.event_id.to_string(), "rules/1/6");
    assert_eq!(finding.host.as_deref(), Some("web01"));
    assert_eq!(finding.user.as_deref(), Some("root"));
    assert_eq!(finding.source_ip.as_deref(), Some("192.0.2.7"));
    assert!(finding.timestamp < finding.received);
    assert!(!finding.evidence.is_empty());
}

/// The event of a case as batches of one row.
fn event(case: &Case, normalizer: &mut Normalizer) -> Vec<EventBatch> {
    match (&case.raw, &case.dataset) {
        (Some(line), None) => {
            normalizer.normalize(&run(line));
            normalizer.take_batches()
        }
        (None, Some(dataset)) => {
            let run = run("");
            let mut builder = BatchBuilder::new(dataset, normalizer.dictionary().clone());
            builder.begin_row(&run, 0, &run.records[0]);
            for (name, value) in &case.fields {
                builder.set(name, value);
            }
            builder.finish().into_iter().collect()
        }
        _ => panic!("a case has either raw, or dataset and fields: {case:?}"),
    }
}

#[test]
fn every_rule_matches_what_it_should_and_not_its_near_misses() {
    let ruleset = ruleset();
    let mut engine = Engine::new(ruleset.clone());
    let mut normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
    let titles: BTreeMap<_, _> =
        ruleset.rules().map(|rule| (rule.id.clone(), rule.title.clone())).collect();
    let mut tried: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(read(&content().join("rules/tests.jsonl")).lines()) {
        let case: Case = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("tests.jsonl, line {number}: {error}"));
        let Some(title) = titles.get(&case.rule) else {
            panic!("tests.jsonl, line {number}: no rule has the id {}", case.rule)
        };
        let batches = event(&case, &mut normalizer);
        assert_eq!(batches.len(), 1, "tests.jsonl, line {number}: not one event");
        let matched =
            batches.iter().flat_map(|batch| engine.evaluate(batch)).any(|m| m.rule.id == case.rule);
        if matched != case.r#match {
            let dataset = &batches[0].dataset;
            wrong.push(format!("line {number}: {title} ({dataset}): match is {matched}\n  {line}"));
        }
        tried.entry(case.rule).or_default().insert(case.r#match);
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    let untried: Vec<_> = titles
        .iter()
        .filter(|(id, _)| tried.get(*id).is_none_or(|cases| cases.len() < 2))
        .map(|(_, title)| title)
        .collect();
    assert!(untried.is_empty(), "no true event or no near miss: {untried:?}");
}

#[test]
fn every_rule_has_what_people_read_and_what_a_licence_asks() {
    let ruleset = ruleset();
    let files = rule_files();
    let mut ids = BTreeSet::new();
    let (rules, correlations) = (ruleset.rules().len(), ruleset.correlations().count());
    assert!(rules >= 120 && correlations >= 25, "{rules} rules, {correlations} correlations");
    for rule in ruleset.rules().chain(ruleset.correlations()) {
        let path = &rule.path;
        assert!(ids.insert(rule.id.clone()), "{path}: the id is another rule's");
        assert_eq!(rule.author.as_deref(), Some("Yagura"), "{path}");
        assert_eq!(rule.license.as_deref(), Some("Apache-2.0"), "{path}");
        for (what, text) in [("title", &rule.title_ja), ("description", &rule.description_ja)] {
            let japanese = |c: char| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}');
            let has = text.as_ref().is_some_and(|text| text.contains(japanese));
            assert!(has, "{path}: no Japanese {what}");
        }
        assert!(rule.description.as_ref().is_some_and(|text| text.len() > 20), "{path}");
        assert!(!rule.falsepositives.is_empty() && !rule.references.is_empty(), "{path}");
        assert_eq!(rule.falsepositives.len(), rule.falsepositives_ja.len(), "{path}");
        assert!(!rule.check.is_empty() && rule.check.len() == rule.check_ja.len(), "{path}");
        assert!(rule.tags.iter().any(|tag| tag.starts_with("attack.t")), "{path}: no technique");
        let text = &files.iter().find(|file| *file.path == **path).unwrap().text;
        let word = text.lines().find_map(|line| line.strip_prefix("  phase: ")).unwrap_or_default();
        let phase = word.parse::<Phase>().unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(Phase::of_tags(&rule.tags).is_some(), "{path}: {phase:?} but no tactic");
        assert_eq!(RuleCopy::from(&**rule).name, rule.title);
    }
}

/// What a rule asks for is a field of the dictionary, or one that Windows programs name themselves.
#[test]
fn rules_speak_of_fields_of_the_dictionary() {
    let normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
    let dictionary = normalizer.dictionary();
    let sources = LogSources::from_toml(&read(&content().join("logsources.toml"))).unwrap();
    let mut unknown = BTreeSet::new();
    let mut columns_seen = 0;
    for file in rule_files() {
        let (ruleset, _) =
            Ruleset::compile(std::slice::from_ref(&file), dictionary.clone(), &sources);
        for dataset in normalizer.datasets() {
            let Reads::Columns(columns) = ruleset.reads(&dataset.name) else { continue };
            for column in columns {
                columns_seen += 1;
                let native = dictionary.native_prefix(&dataset.name);
                let native = native.is_some_and(|prefix| column.starts_with(prefix));
                if !native && dictionary.field(&column).is_none() {
                    unknown.insert(format!("{}: {column} of {}", file.path, dataset.name));
                }
            }
        }
    }
    assert!(columns_seen > 500, "{columns_seen}");
    let unknown: Vec<_> = unknown.into_iter().collect();
    assert!(unknown.is_empty(), "no field is called so:\n{}", unknown.join("\n"));
}

/// What a screen asks of an event is a field of the dictionary. Names of other records (alerts, gaps,
/// acts, rules, ...) are those of the interface.
#[test]
fn screens_speak_of_fields_of_the_dictionary() {
    const OF_EVENTS: [&str; 14] = [
        "client",
        "destination",
        "dns",
        "file",
        "host",
        "http",
        "network",
        "observer",
        "process",
        "registry",
        "server",
        "source",
        "url",
        "user",
    ];
    let dictionary = Normalizer::embedded_dictionary();
    let screens = content().join("../web/src");
    let mut asked = BTreeSet::new();
    for entry in std::fs::read_dir(&screens).unwrap() {
        let path = entry.unwrap().path();
        if !path.extension().is_some_and(|end| end == "ts" || end == "tsx") {
            continue;
        }
        for quoted in read(&path).split('"').skip(1).step_by(2) {
            let is_name = |part: &str| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            };
            let (first, rest) = quoted.split_once('.').unwrap_or((quoted, ""));
            if OF_EVENTS.contains(&first) && rest.split('.').all(is_name) {
                asked.insert(quoted.to_owned());
            }
        }
    }
    assert!(asked.contains("host.name"), "{asked:?}");
    asked.retain(|name| dictionary.field(name).is_none());
    assert!(asked.is_empty(), "no field is called so: {asked:?}");
}
