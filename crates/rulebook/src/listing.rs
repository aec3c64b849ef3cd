//! Every rule as a row: those in use, and those that are not, with the reason.

use serde_json::{Map, Value, json};
use yagura_detect::{CompileReport, RuleInfo, Ruleset};

/// One row for each rule, correlation and filter, and for each that is refused. `exceptions` says
/// what people decided not to be told of a rule.
pub fn rows(
    ruleset: &Ruleset,
    report: &CompileReport,
    exceptions: impl Fn(&RuleInfo) -> Vec<String>,
) -> Vec<Map<String, Value>> {
    let mut rows = Vec::new();
    let row = |kind: &str, rule: &RuleInfo| {
        let filters: Vec<&str> = rule.filters.iter().map(|filter| filter.title.as_str()).collect();
        object(json!({
            "rule.uuid": rule.id,
            "rule.name": rule.title,
            "rule.name_ja": rule.title_ja,
            "kind": kind,
            "rule.level": rule.level,
            "rule.status": rule.status,
            "enabled": true,
            "reason": null,
            "rule.tags": rule.tags,
            "rule.author": rule.author,
            "rule.license": rule.license,
            "filters": filters,
            "exceptions": exceptions(rule),
            "related": rule.related,
            "custom": rule.custom,
            "rule.digest": rule.digest,
            "log.file.path": &*rule.path,
        }))
    };
    rows.extend(ruleset.rules().map(|rule| row("rule", rule)));
    rows.extend(ruleset.correlations().map(|rule| row("correlation", rule)));
    for filter in &report.filters {
        rows.push(object(json!({
            "rule.uuid": filter.filter.id,
            "rule.name": filter.filter.title,
            "kind": "filter",
            "enabled": !filter.rules.is_empty(),
            "reason": filter.rules.is_empty().then_some("it lies over no rule"),
            "rules": filter.rules,
            "rules_missed": filter.missed,
            "log.file.path": &*filter.filter.path,
        })));
    }
    for refusal in &report.refused {
        rows.push(object(json!({
            "rule.uuid": refusal.rule_id,
            "rule.name": refusal.title,
            "kind": "refused",
            "enabled": false,
            "reason": refusal.reason,
            "log.file.path": refusal.path,
        })));
    }
    rows
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
