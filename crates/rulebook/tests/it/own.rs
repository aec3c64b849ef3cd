//! Our own rules and the tests beside them, as `yagura rules test` and the coverage run them.

use std::collections::BTreeSet;
use yagura_normalize::Normalizer;
use yagura_rulebook::{RuleSources, cases};

#[test]
fn every_rule_of_ours_has_tests_that_hold() {
    let sources = RuleSources::default();
    let compiled = sources.compile(Normalizer::embedded_dictionary()).unwrap();
    assert_eq!(compiled.report.refused, []);
    let results = cases::run_beside(&sources, &[], &compiled).unwrap();
    let wrong: Vec<_> = results.iter().filter(|result| result.outcome.is_wrong()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let tried: BTreeSet<(&str, bool)> =
        results.iter().map(|result| (result.rule_id.as_str(), result.wanted > 0)).collect();
    let all = compiled.ruleset.rules().chain(compiled.ruleset.correlations());
    let untried: Vec<_> = all
        .filter(|rule| {
            [true, false].iter().any(|wanted| !tried.contains(&(rule.id.as_str(), *wanted)))
        })
        .map(|rule| &rule.title)
        .collect();
    assert!(untried.is_empty(), "no true event or no near miss: {untried:?}");
}

/// The same instant is night here and day there.
#[test]
fn hours_are_those_of_the_zone_of_rules() {
    let dir = tempfile::tempdir().unwrap();
    let rule = "title: Night\nid: night\nlogsource: {product: windows, service: security}\n\
                detection: {s: {EventID: 4624, '@timestamp|hour': 22}, condition: s}\n";
    std::fs::write(dir.path().join("night.yml"), rule).unwrap();
    // An hour before and after 22:00 in Tokyo, which is 13:00 in UTC.
    let case = |time: &str, matches: bool| {
        let event = format!(
            r#"{{\"@timestamp\":\"2026-11-20T{time}Z\",\"winlog\":{{\"channel\":\"Security\",\"provider_name\":\"Microsoft-Windows-Security-Auditing\",\"event_id\":4624}}}}"#
        );
        format!("{{\"rule\":\"night\",\"match\":{matches},\"raw\":\"{event}\"}}\n")
    };
    let wrong = |zone: &str, cases: &[(&str, bool)]| {
        let text: String = cases.iter().map(|(time, matches)| case(time, *matches)).collect();
        std::fs::write(dir.path().join("tests.jsonl"), text).unwrap();
        let sources = RuleSources {
            builtin: false,
            rules: vec![dir.path().to_owned()],
            zone: jiff::tz::TimeZone::get(zone).unwrap(),
            ..RuleSources::default()
        };
        let compiled = sources.compile(Normalizer::embedded_dictionary()).unwrap();
        let results = cases::run_beside(&sources, &[], &compiled).unwrap();
        assert_eq!(results.len(), cases.len());
        results.iter().filter(|result| result.outcome.is_wrong()).count()
    };
    let tokyo = [
        ("12:59:59.999", false),
        ("13:00:00.000", true),
        ("13:59:59.999", true),
        ("14:00:00.000", false),
    ];
    assert_eq!(wrong("Asia/Tokyo", &tokyo), 0);
    assert_eq!(wrong("UTC", &tokyo), 2);
    assert_eq!(
        wrong("UTC", &[("21:59:59.999", false), ("22:00:00.000", true), ("23:00:00.000", false)]),
        0
    );
}
