//! `rsigma-eval` on random rules and events.
//!
//! The peer must answer every pair of rule and event as the reference does when that reads rules in
//! all of the peer's ways at once ([`Readings::THEIRS`]). So nothing the two engines do otherwise goes
//! unnamed: where the peer's answer is not ours, the readings without which it cannot be had are
//! counted, mostly one, sometimes several in one rule. So that no condition hides a difference, each
//! item of a rule is asked as a rule of its own, too.
//!
//! The cases are always the same, so that a difference nobody has named yet is not found by whoever
//! changes something else. `PROPTEST_CASES` asks for as many new ones; of a failure, the same again are
//! had with the `PROPTEST_RNG_SEED` that it tells.

use crate::differential;
use crate::reference;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use reference::{Event, Reading, Readings, Reference, batch_of, events_of};
use rsigma_parser::{ConditionExpr, Detection, Modifier, SigmaRule};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use yagura_detect::LogSources;
use yagura_event::FieldDictionary;

/// Cases, unless `PROPTEST_CASES` says otherwise, and what they are made of.
const CASES: u32 = 150;
const SEED: u64 = 0x51_67_6d_61;

/// Names by which rules call columns otherwise.
const ALIASES: [&str; 2] = ["Alias", "EventID"];

#[derive(Debug, Default)]
struct Score {
    rules: usize,
    /// Rules that the peer does not take, by its reason.
    refused: BTreeMap<String, usize>,
    pairs: usize,
    both: usize,
    /// Pairs that the engines answer otherwise, by the readings that it takes.
    differences: BTreeMap<Vec<Reading>, usize>,
}

/// The peer refuses `all` beside a single value, as the specification asks; without it the rule means
/// the same.
fn without_idle_all(detection: &mut Detection) {
    match detection {
        Detection::AllOf(items) => {
            for item in items.iter_mut().filter(|item| item.values.len() == 1) {
                item.field.modifiers.retain(|modifier| *modifier != Modifier::All);
            }
        }
        Detection::AnyOf(parts) => parts.iter_mut().for_each(without_idle_all),
        _ => {}
    }
}

/// Each item of a rule, and each list of keywords, as a rule of its own.
fn items(rule: &SigmaRule) -> Vec<SigmaRule> {
    fn collect(detection: &Detection, all: &mut Vec<Detection>) {
        match detection {
            Detection::AllOf(items) => {
                all.extend(items.iter().map(|item| Detection::AllOf(vec![item.clone()])));
            }
            Detection::AnyOf(parts) => parts.iter().for_each(|part| collect(part, all)),
            other => all.push(other.clone()),
        }
    }
    let mut all = Vec::new();
    rule.detection.named.values().for_each(|detection| collect(detection, &mut all));
    let alone = |detection: Detection| {
        let mut rule = rule.clone();
        rule.detection.named = [("s".to_owned(), detection)].into();
        rule.detection.conditions = vec![ConditionExpr::Identifier("s".to_owned())];
        rule
    };
    all.into_iter().map(alone).collect()
}

/// An event as the peer takes it: numbers and instants as numbers, so that its keywords are not
/// looked for there.
pub fn value_of(dictionary: &FieldDictionary, event: &Event) -> Value {
    let mut object = Map::new();
    for (column, text) in event.fields.iter().filter(|(name, _)| !name.starts_with("yagura.")) {
        let value = match event.texts.contains(column) {
            true => json!(text),
            false => match text.parse::<i64>() {
                Ok(number) => json!(number),
                Err(_) => json!(text.parse::<jiff::Timestamp>().unwrap().as_second()),
            },
        };
        object.insert(column.clone(), value);
    }
    for alias in ALIASES {
        let column = dictionary.sigma_column(&event.dataset, alias);
        if let Some(value) = object.get(column.as_ref()).cloned() {
            object.insert(alias.to_owned(), value);
        }
    }
    Value::Object(object)
}

/// The readings without any of which the reference does not answer as the peer does.
fn needed(answer: impl Fn(Readings) -> bool, theirs: bool) -> Vec<Reading> {
    let mut readings = Readings::THEIRS;
    for reading in Reading::ALL {
        if answer(readings.without(reading)) == theirs {
            readings = readings.without(reading);
        }
    }
    readings.each().collect()
}

fn compare(
    (rules, events, dataset): differential::Case,
    score: &mut Score,
) -> Result<(), TestCaseError> {
    let parsed = rules.into_iter().flat_map(|rule| {
        let rule = parsed(&rule);
        let mut all = items(&rule);
        all.push(rule);
        all
    });
    let borrowed = events.iter().map(|event| event.iter().map(|(n, v)| (*n, v.as_str())).collect());
    let borrowed: Vec<Vec<(&str, &str)>> = borrowed.collect();
    ask(parsed.collect(), &borrowed, dataset, score)
}

fn parsed(rule: &Value) -> SigmaRule {
    rsigma_parser::parse_sigma_yaml(&rule.to_string()).unwrap().rules.remove(0)
}

/// Asks the peer and the reference about every pair.
fn ask(
    mut parsed: Vec<SigmaRule>,
    events: &[Vec<(&str, &str)>],
    dataset: &str,
    score: &mut Score,
) -> Result<(), TestCaseError> {
    let dictionary = Arc::new(FieldDictionary::from_toml(differential::FIELDS).unwrap());
    let sources = LogSources::from_toml(differential::SOURCES).unwrap();
    for (number, rule) in parsed.iter_mut().enumerate() {
        rule.id = Some(number.to_string());
    }
    let mut worded = parsed.clone();
    for rule in &mut worded {
        rule.detection.named.values_mut().for_each(without_idle_all);
    }
    let mut peer = rsigma_eval::Engine::new();
    let refused: BTreeMap<usize, String> = peer
        .add_rules(&worded)
        .into_iter()
        .map(|(number, reason)| (number, reason.to_string()))
        .collect();
    score.rules += parsed.len();
    for reason in refused.values() {
        *score.refused.entry(reason.clone()).or_default() += 1;
    }
    let parsed: BTreeMap<String, SigmaRule> = parsed
        .into_iter()
        .enumerate()
        .filter(|(number, _)| !refused.contains_key(number))
        .map(|(number, rule)| (number.to_string(), rule))
        .collect();

    let batch = batch_of(dataset, &dictionary, events);
    for event in &events_of(&batch) {
        let value = value_of(&dictionary, event);
        let results = peer.evaluate(&rsigma_eval::JsonEvent::borrow(&value));
        let found: BTreeSet<&str> =
            results.iter().filter_map(|found| found.header.rule_id.as_deref()).collect();
        for (id, rule) in &parsed {
            let reference = |readings| {
                let (dictionary, sources) = (&*dictionary, &sources);
                Reference { dictionary, sources, readings }
            };
            // The peer is not asked which log source the event is of.
            if !reference(Readings::OURS).concerns(rule, event) {
                continue;
            }
            let answer = |readings| reference(readings).matches(rule, event);
            let (ours, theirs) = (answer(Readings::OURS), found.contains(id.as_str()));
            score.pairs += 1;
            if answer(Readings::THEIRS) != theirs {
                let text = format!(
                    "no known reading explains it: theirs {theirs}, ours {ours}\n{:#?}\n{value:#}",
                    rule.detection
                );
                return Err(TestCaseError::fail(text));
            }
            if ours == theirs {
                score.both += usize::from(ours);
            } else {
                *score.differences.entry(needed(answer, theirs)).or_default() += 1;
            }
        }
    }
    Ok(())
}

#[test]
fn every_difference_on_random_rules_and_events_is_explained() {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let usual = ProptestConfig::default();
    let rng_seed = match (asked, usual.rng_seed) {
        (None, RngSeed::Random) => RngSeed::Fixed(SEED),
        (Some(_), RngSeed::Random) => RngSeed::Fixed(RandomState::new().hash_one(SEED)),
        (_, seed) => seed,
    };
    let cases = asked.unwrap_or(CASES);
    let config = ProptestConfig { cases, rng_seed, failure_persistence: None, ..usual };
    let score = RefCell::new(Score::default());
    let run = TestRunner::new(config)
        .run(&differential::case(), |case| compare(case, &mut score.borrow_mut()));
    if let Err(error) = run {
        panic!("PROPTEST_CASES={cases} PROPTEST_RNG_SEED={rng_seed}: {error}");
    }
    let score = score.into_inner();
    let refused: usize = score.refused.values().sum();
    let differences: usize = score.differences.values().sum();
    let readings: BTreeSet<Reading> = score.differences.keys().flatten().copied().collect();
    eprintln!("{} rules, {refused} refused by the peer; {} pairs", score.rules, score.pairs);
    eprintln!("both match in {}, differ in {differences}: {:?}", score.both, score.differences);
    // An order after a part of a time is all the peer may refuse.
    let known = |reason: &String| reason.contains("at most one operator");
    assert!(score.refused.keys().all(known), "{:?}", score.refused);
    assert!(refused * 5 < score.rules, "{refused} of {} refused", score.rules);
    assert!(score.both * 10 > score.pairs, "{} of {} match", score.both, score.pairs);
    // Those that random rules run into by the dozen.
    for reading in
        [Reading::NullAlone, Reading::KeywordsWhole, Reading::ZonesUnknown, Reading::MappedApart]
    {
        assert!(readings.contains(&reading), "{reading:?}");
    }
}

/// Words that differ in what engines may see otherwise: case, dashes, lines, wildcards, numbers.
const WORDS: [&str; 28] = [
    "a", "ΑΣ", "ας", "ασα", "Σ*", "ς", "?", "İ", "i\u{307}", "İ*", "ſ", "S*", "\u{212A}", "k?",
    "-a", "-ab", "/a*", " –a", "a-b", "a/b", "a\nb", "a*b", "ab", "abb*", "1", "01", " 1", "inf",
];

/// What `ab` and `-ab` may look like in a text.
const TEXTS: [&str; 6] = ["YWI=", "xYWJh", "L2Fi", "YQBiAA==", "a\0b\0", "YQA="];

const MODIFIERS: [&str; 18] = [
    "",
    "|contains",
    "|startswith",
    "|endswith",
    "|cased",
    "|contains|cased",
    "|neq",
    "|all",
    "|contains|all",
    "|windash",
    "|windash|contains",
    "|re|i",
    "|fieldref",
    "|fieldref|cased",
    "|fieldref|contains",
    "|base64offset|contains",
    "|windash|base64offset|contains",
    "|wide",
];

/// Every word, and every two of them, under every modifier, on every text.
#[test]
fn every_difference_on_few_words_is_explained() {
    let mut rules = Vec::new();
    for modifiers in MODIFIERS {
        let encodes = modifiers.contains("64");
        let values = |word: &&str| match modifiers {
            _ if modifiers.contains("re|i") => !word.starts_with(['*', '?']),
            _ if modifiers == "|wide" => word.is_ascii() && !word.contains(['*', '?']),
            // What is encoded has no wildcards, and more than a byte.
            _ if encodes => word.len() > 1 && !word.contains(['*', '?']),
            _ => true,
        };
        let values: Vec<&str> = match modifiers.contains("fieldref") {
            true => vec!["b", "count", "missing"],
            false => WORDS.into_iter().filter(values).collect(),
        };
        for (number, one) in values.iter().enumerate() {
            for other in values.iter().skip(number) {
                let both = if one == other { vec![one] } else { vec![one, other] };
                rules.push(json!({
                    "title": "t", "logsource": {"product": "any"},
                    "detection": {"s": {format!("a{modifiers}"): both}, "condition": "s"},
                }));
            }
        }
    }
    let texts = WORDS.into_iter().chain(TEXTS).map(|text| text.replace(['*', '?'], ""));
    let texts: Vec<String> = texts.collect();
    let events: Vec<Vec<(&str, &str)>> =
        texts.iter().map(|text| vec![("a", text.as_str()), ("b", "ασ"), ("count", "1")]).collect();
    let mut score = Score::default();
    if let Err(error) = ask(rules.iter().map(parsed).collect(), &events, "other", &mut score) {
        panic!("{error}");
    }
    eprintln!("{} rules, {} pairs; {:?}", score.rules, score.pairs, score.differences);
    assert_eq!(score.refused.len(), 0, "{:?}", score.refused);
    let readings: BTreeSet<Reading> = score.differences.keys().flatten().copied().collect();
    for reading in [
        Reading::WildcardsInLine,
        Reading::EndsSwapped,
        Reading::EveryHyphen,
        Reading::WindashVerbatim,
        Reading::WindashBeforeBase64,
        Reading::WideVerbatim,
        Reading::Base64Tail,
        Reading::TypesApart,
        Reading::WholeLowercase,
        Reading::WildcardsFold,
        Reading::ListsLowered,
    ] {
        assert!(readings.contains(&reading), "{reading:?}");
    }
}
