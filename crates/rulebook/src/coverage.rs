//! Which techniques of ATT&CK are watched: rules, times the data they need being there, times their
//! being tested. A rule for which no event ever comes covers nothing.

use crate::cases::{CaseResult, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use yagura_detect::{RuleInfo, Ruleset};
use yagura_event::Lang;

/// What data there is: datasets, and how many events of each code they hold. An event without a code
/// counts under the empty code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataPresent {
    datasets: BTreeMap<String, BTreeMap<String, u64>>,
}

impl DataPresent {
    /// Notes `events` of one code.
    pub fn add(&mut self, dataset: &str, code: &str, events: u64) {
        let codes = self.datasets.entry(dataset.to_owned()).or_default();
        *codes.entry(code.to_lowercase()).or_default() += events;
    }

    /// Names of the datasets that hold events.
    pub fn datasets(&self) -> impl Iterator<Item = &str> {
        self.datasets.keys().map(String::as_str)
    }

    /// Events of `dataset` with one of `codes`, or with any.
    fn events(&self, dataset: &str, codes: Option<&BTreeSet<String>>) -> u64 {
        let Some(found) = self.datasets.get(dataset) else { return 0 };
        match codes {
            None => found.values().sum(),
            Some(codes) => codes.iter().filter_map(|code| found.get(code)).sum(),
        }
    }
}

/// How well a technique is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Technique {
    /// Such as `T1059.001`.
    pub id: String,
    /// Rules with its tag.
    pub rules: usize,
    /// Those for which the store holds events they could match.
    pub with_data: usize,
    /// Those of them whose tests pass.
    pub tested: usize,
    /// 100: a tested rule has data. 50: a rule has data, and no test that passes. 0: rules, and no
    /// data.
    pub score: u8,
    /// Titles of the rules.
    pub titles: Vec<String>,
}

/// Every technique that a rule or a correlation names, by id. A correlation has data where the rules it
/// counts have: one of them, or for those of order in time as many as it asks for.
pub fn coverage(
    ruleset: &Ruleset,
    present: &DataPresent,
    results: &[CaseResult],
) -> Vec<Technique> {
    let mut with_data: BTreeSet<String> = BTreeSet::new();
    for dataset in present.datasets() {
        for (rule, codes) in ruleset.watches(dataset) {
            if present.events(dataset, codes.as_ref()) > 0 {
                with_data.insert(rule.id.clone());
            }
        }
    }
    let possible = ruleset.possible_correlations(|rule| with_data.contains(rule));
    with_data.extend(possible.iter().map(|correlation| correlation.id.clone()));
    let mut tested: BTreeMap<&str, bool> = BTreeMap::new();
    for result in results.iter().filter(|result| result.outcome != Outcome::Skipped) {
        let good = tested.entry(result.rule_id.as_str()).or_insert(true);
        *good &= result.outcome == Outcome::Passed;
    }
    let mut techniques: BTreeMap<String, Technique> = BTreeMap::new();
    for rule in ruleset.rules().chain(ruleset.correlations()) {
        for id in techniques_of(rule) {
            let technique = techniques.entry(id.clone()).or_insert_with(|| Technique {
                id,
                rules: 0,
                with_data: 0,
                tested: 0,
                score: 0,
                titles: Vec::new(),
            });
            technique.rules += 1;
            technique.titles.push(rule.title.clone());
            if with_data.contains(&rule.id) {
                technique.with_data += 1;
                if tested.get(rule.id.as_str()) == Some(&true) {
                    technique.tested += 1;
                }
            }
        }
    }
    let scored = techniques.into_values().map(|mut technique| {
        technique.score = match (technique.tested, technique.with_data) {
            (1.., _) => 100,
            (0, 1..) => 50,
            (0, 0) => 0,
        };
        technique
    });
    scored.collect()
}

/// Ids of techniques among the tags of a rule, each once.
pub fn techniques_of(rule: &RuleInfo) -> BTreeSet<String> {
    let ids = rule.tags.iter().filter_map(|tag| {
        let id = tag.to_ascii_lowercase();
        let id = id.strip_prefix("attack.")?;
        let number = id.strip_prefix('t')?;
        number.starts_with(|c: char| c.is_ascii_digit()).then(|| id.to_uppercase())
    });
    ids.collect()
}

/// A layer for the ATT&CK Navigator: layer format 4.5.
pub fn navigator_layer(techniques: &[Technique], lang: Lang) -> Value {
    let ja = lang == Lang::Ja;
    let pick = |in_ja: &'static str, en: &'static str| if ja { in_ja } else { en };
    let shown: Vec<Value> = techniques
        .iter()
        .map(|technique| {
            let metadata = [
                (pick("ルール", "rules"), technique.rules),
                (pick("データのあるルール", "rules with data"), technique.with_data),
                (pick("テスト済みのルール", "rules tested"), technique.tested),
            ];
            json!({
                "techniqueID": technique.id,
                "score": technique.score,
                "comment": technique.titles.join("\n"),
                "enabled": true,
                "showSubtechniques": true,
                "metadata": metadata
                    .map(|(name, value)| json!({ "name": name, "value": value.to_string() })),
            })
        })
        .collect();
    json!({
        "name": pick("Yaguraの検知範囲", "Coverage of Yagura"),
        "versions": { "attack": "18", "navigator": "5.1.0", "layer": "4.5" },
        "domain": "enterprise-attack",
        "description": pick(
            "ルール × 実在するデータ × テスト。100: テスト済みのルールにデータがある。50: データはあるがテストがない。0: ルールはあるがデータがない。",
            "Rules, times data really present, times tests. 100: a tested rule has data. 50: a rule has data and no passing test. 0: rules without data.",
        ),
        "techniques": shown,
        "gradient": { "colors": ["#f4d8d8", "#f3e2a9", "#9fd3a8"], "minValue": 0, "maxValue": 100 },
        "legendItems": [
            { "label": pick("データなし", "no data"), "color": "#f4d8d8" },
            { "label": pick("データあり・テストなし", "data, not tested"), "color": "#f3e2a9" },
            { "label": pick("データあり・テスト済み", "data and tested"), "color": "#9fd3a8" },
        ],
        "sorting": 3,
        "hideDisabled": false,
        "showTacticRowBackground": false,
        "selectTechniquesAcrossTactics": true,
        "selectSubtechniquesWithParent": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::Sample;
    use yagura_detect::{LogSources, RuleFile};
    use yagura_event::FieldDictionary;

    fn rule(name: &str) -> String {
        format!(
            "title: Rule {name}\nid: {name}\nname: {name}\nlogsource: {{product: {name}}}\n\
             detection: {{s: {{x: y}}, condition: s}}\n"
        )
    }

    fn correlation(id: &str, kind: &str, rules: &str, technique: &str) -> String {
        format!(
            "title: {id}\nid: {id}\nname: {id}\ntags: [attack.{technique}]\ncorrelation:\n  \
             type: {kind}\n  rules: [{rules}]\n  group-by: [x]\n  timespan: 1m\n  \
             condition: {{gte: 2}}\n"
        )
    }

    #[test]
    fn correlations_count_where_the_rules_they_count_have_data() {
        let documents = [
            rule("a"),
            rule("b"),
            correlation("many", "event_count", "a, b", "t1110"),
            correlation("both", "temporal", "a, b", "t1110.001"),
            correlation("chain", "event_count", "both", "t1110.002"),
            correlation("above", "event_count", "many", "t1110.003"),
        ];
        let sources = "[[source]]\nproduct = 'a'\nwhere = [{ dataset = 'of.a' }]\n\
                       [[source]]\nproduct = 'b'\nwhere = [{ dataset = 'of.b' }]\n";
        let sources = LogSources::from_toml(sources).unwrap();
        let dictionary = std::sync::Arc::new(FieldDictionary::from_toml("").unwrap());
        let file = RuleFile { path: "x.yml".to_owned(), text: documents.join("---\n") };
        let (ruleset, report) = Ruleset::compile(&[file], dictionary, &sources);
        assert!(report.refused.is_empty(), "{:?}", report.refused);
        let passed = |id: &str| CaseResult {
            path: String::new(),
            line: None,
            rule_id: id.to_owned(),
            rule_title: None,
            sample: Sample::Series,
            wanted: 1,
            found: 1,
            outcome: Outcome::Passed,
        };
        let scores = |datasets: &[&str]| {
            let mut present = DataPresent::default();
            datasets.iter().for_each(|dataset| present.add(dataset, "", 1));
            let techniques = coverage(&ruleset, &present, &[passed("above"), passed("both")]);
            let scores = techniques.iter().map(|one| format!("{} {}", one.id, one.score));
            scores.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(scores(&[]), "T1110 0, T1110.001 0, T1110.002 0, T1110.003 0");
        assert_eq!(scores(&["of.a"]), "T1110 50, T1110.001 0, T1110.002 0, T1110.003 100");
        let all = "T1110 50, T1110.001 100, T1110.002 50, T1110.003 100";
        assert_eq!(scores(&["of.a", "of.b"]), all);
    }
}
