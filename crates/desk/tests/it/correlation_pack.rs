//! Our own correlations, each against series of events that it must and must not count
//! (`content/rules/correlation-tests.jsonl`).

use crate::pack;
use pack::{content, read, ruleset, run};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use yagura_detect::{Correlator, CorrelatorOptions, Engine, Ruleset};
use yagura_event::{BatchBuilder, EventBatch, UtcMicros};
use yagura_normalize::Normalizer;

/// One line of `correlation-tests.jsonl`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Id of the correlation.
    rule: String,
    /// Whether it must hold.
    r#match: bool,
    events: Vec<Series>,
}

/// The same event again and again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Series {
    /// The event as received, with `{t}` for its time and `{n}` for its number; or else `dataset`
    /// and `fields`.
    raw: Option<String>,
    dataset: Option<String>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    /// Fields that differ from event to event, with `{n}` for its number.
    #[serde(default)]
    vary: BTreeMap<String, String>,
    /// Seconds after the beginning.
    #[serde(default)]
    at: f64,
    /// How many.
    #[serde(default = "one")]
    count: u32,
    /// Seconds between two.
    #[serde(default)]
    every: f64,
}

fn one() -> u32 {
    1
}

/// The beginning of every series: an hour before the records are received.
const BEGIN: &str = "2026-11-21T08:00:00Z";

impl Series {
    fn time(&self, number: u32) -> UtcMicros {
        let seconds = self.at + self.every * f64::from(number);
        let begin: UtcMicros = BEGIN.parse().unwrap();
        UtcMicros::from_micros(begin.as_micros() + (seconds * 1e6) as i64)
    }

    fn event(&self, number: u32, index: u32, normalizer: &mut Normalizer) -> Vec<EventBatch> {
        let fill = |text: &str| {
            text.replace("{n}", &(number + 1).to_string())
                .replace("{t}", &self.time(number).to_string())
        };
        match (&self.raw, &self.dataset) {
            (Some(line), None) => {
                let mut run = run(&fill(line));
                run.first_index = index;
                normalizer.normalize(&run);
                normalizer.take_batches()
            }
            (None, Some(dataset)) => {
                let run = run("");
                let mut builder = BatchBuilder::new(dataset, normalizer.dictionary().clone());
                builder.begin_row(&run, index, &run.records[0]);
                builder.set_time(self.time(number));
                for (name, value) in
                    self.fields.iter().filter(|(name, _)| !self.vary.contains_key(*name))
                {
                    builder.set(name, value);
                }
                for (name, value) in &self.vary {
                    builder.set(name, &fill(value));
                }
                builder.finish().into_iter().collect()
            }
            _ => panic!("a series has either raw, or dataset and fields: {self:?}"),
        }
    }
}

/// Ids of the correlations that hold for the events of `case`.
fn fired(case: &Case, ruleset: &std::sync::Arc<Ruleset>) -> BTreeSet<String> {
    let mut engine = Engine::new(ruleset.clone());
    let mut normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
    let mut correlator = Correlator::new(ruleset.clone(), CorrelatorOptions::for_files());
    let mut fired = BTreeSet::new();
    let mut index = 0;
    for series in &case.events {
        for number in 0..series.count {
            for batch in series.event(number, index, &mut normalizer) {
                let matches = engine.evaluate(&batch);
                assert!(!matches.is_empty(), "no rule matches: {series:?}");
                let found = correlator.observe(&batch, &matches);
                fired.extend(found.into_iter().map(|found| found.rule.id.clone()));
            }
            index += 1;
        }
    }
    fired.extend(correlator.finish().into_iter().map(|found| found.rule.id.clone()));
    fired
}

#[test]
fn every_correlation_counts_what_it_should_and_not_its_near_misses() {
    let ruleset = ruleset();
    let mut tried: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    let mut wrong = Vec::new();
    let path = content().join("rules/correlation-tests.jsonl");
    for (number, line) in (1..).zip(read(&path).lines()) {
        let case: Case = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("correlation-tests.jsonl, line {number}: {error}"));
        let held = fired(&case, &ruleset).contains(&case.rule);
        if held != case.r#match {
            wrong.push(format!("line {number}: {} holds: {held}", case.rule));
        }
        tried.entry(case.rule).or_default().insert(case.r#match);
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    let untried: Vec<_> = ruleset
        .correlations()
        .filter(|rule| tried.get(&rule.id).is_none_or(|cases| cases.len() < 2))
        .map(|rule| rule.title.clone())
        .collect();
    assert!(untried.is_empty(), "no true series or no near miss: {untried:?}");
    assert_eq!(tried.len(), ruleset.correlations().count(), "tests of correlations that are not");
}
