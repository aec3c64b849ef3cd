//! What a house adds to its rules: lists for placeholders, filters, pipelines, a zone.

use crate::reference;
use reference::batch_of;
use std::sync::Arc;
use yagura_detect::{
    CompileOptions, CompileReport, Engine, LogSources, Pipeline, PlaceholderLists, RuleFile,
    Ruleset, limits,
};
use yagura_event::FieldDictionary;

const SOURCES: &str = "
[[source]]
product = 'any'
where = [{ dataset = '*' }]
[[source]]
product = 'any'
service = 'one'
where = [{ dataset = '*' }]
";

fn compile(files: &[(&str, &str)], options: &CompileOptions) -> (Arc<Ruleset>, CompileReport) {
    let dictionary = Arc::new(FieldDictionary::from_toml("").unwrap());
    let sources = LogSources::from_toml(SOURCES).unwrap();
    let file =
        |(path, text): &(&str, &str)| RuleFile { path: (*path).into(), text: (*text).into() };
    let files: Vec<RuleFile> = files.iter().map(file).collect();
    let (ruleset, report) = Ruleset::compile_with(&files, dictionary, &sources, options);
    (Arc::new(ruleset), report)
}

/// Ids of the rules that match an event, as `field=value;field=value`.
fn found(ruleset: &Arc<Ruleset>, event: &str) -> Vec<String> {
    let dictionary = Arc::new(FieldDictionary::from_toml("").unwrap());
    let fields: Vec<(&str, &str)> = event.split(';').filter_map(|f| f.split_once('=')).collect();
    let batch = batch_of("test", &dictionary, &[fields]);
    let mut ids: Vec<_> = Engine::new(ruleset.clone())
        .evaluate(&batch)
        .into_iter()
        .map(|found| found.rule.id.clone())
        .collect();
    ids.sort();
    ids
}

fn rule(id: &str, more: &str, detection: &str) -> String {
    format!(
        "title: Rule {id}\nid: {id}\n{more}logsource: {{product: any}}\ndetection: {{{detection}}}\n"
    )
}

fn filter(title: &str, rules: &str, more: &str, detection: &str) -> String {
    format!(
        "title: {title}\nlogsource: {{product: any}}\n{more}filter:\n  rules: {rules}\n  {detection}\n"
    )
}

fn with_pipeline(text: &str) -> CompileOptions {
    let pipelines = vec![Pipeline::from_yaml("p.yml", text).unwrap()];
    CompileOptions { pipelines, ..CompileOptions::default() }
}

fn reasons(report: &CompileReport) -> Vec<String> {
    report.refused.iter().map(ToString::to_string).collect()
}

#[test]
fn placeholders_take_the_values_of_lists() {
    let text = rule("r", "", "s: {a|contains|all|expand: [x, '-%who%']}, condition: s");
    let (_, report) = compile(&[("r.yml", &text)], &CompileOptions::default());
    assert_eq!(
        reasons(&report),
        [
            "r.yml: Rule r: s: field a: the placeholder %who% has no values: give a list of that name"
        ]
    );
    let lists = PlaceholderLists::from_toml("who = ['anna', 'b*b']").unwrap();
    let options = CompileOptions { lists, ..CompileOptions::default() };
    let (ruleset, report) = compile(&[("r.yml", &text)], &options);
    assert_eq!(reasons(&report), [""; 0]);
    // Any of a list's values, also where all values of the rule must be there.
    for event in ["a=x -anna", "a=-bob x", "a=-Anna-x"] {
        assert_eq!(found(&ruleset, event), ["r"], "{event}");
    }
    for event in ["a=-anna", "a=x anna", "a=x"] {
        assert_eq!(found(&ruleset, event), [""; 0], "{event}");
    }
}

#[test]
fn a_filter_narrows_the_rules_it_names_and_no_other() {
    let one = rule("r1", "name: first\n", "s: {a: x}, condition: s");
    let two = rule("r2", "", "s: {a: x}, condition: s");
    let by_name = filter(
        "by name",
        "[first]",
        "id: f1\n",
        "selection: {user: backup}\n  condition: not selection",
    );
    let all = filter("all", "any", "", "selection: {host: test}\n  condition: not selection");
    let files = [("1.yml", one.as_str()), ("2.yml", &two), ("f1.yml", &by_name), ("f2.yml", &all)];
    let (ruleset, report) = compile(&files, &CompileOptions::default());
    assert_eq!(reasons(&report), [""; 0]);
    assert_eq!(found(&ruleset, "a=x"), ["r1", "r2"]);
    assert_eq!(found(&ruleset, "a=x;user=backup"), ["r2"]);
    assert_eq!(found(&ruleset, "a=x;host=test"), [""; 0]);
    let filters: Vec<Vec<&str>> = ruleset
        .rules()
        .map(|rule| rule.filters.iter().map(|filter| filter.title.as_str()).collect())
        .collect();
    assert_eq!(filters, [vec!["by name", "all"], vec!["all"]]);
    // A new version of the rule keeps it.
    let newer = one.replace("a: x", "a: [x, y]");
    let files = [("1.yml", newer.as_str()), ("f1.yml", &by_name)];
    let (ruleset, _) = compile(&files, &CompileOptions::default());
    assert_eq!(found(&ruleset, "a=y"), ["r1"]);
    assert_eq!(found(&ruleset, "a=y;user=backup"), [""; 0]);
}

#[test]
fn a_filter_that_cannot_be_meant_is_refused_and_its_rules_go_on() {
    let text = rule("r", "", "s: {a: x}, condition: s");
    let good = "selection: {user: backup}\n  condition: not selection";
    let mut all = Vec::new();
    for written in [
        filter("f", "{id: r}", "", good),
        filter("f", "[]", "", good),
        filter("f", "any", "", "selection: {user|colour: a}\n  condition: not selection"),
        filter("f", "any", "", "selection: {user: a}\n  condition: not other"),
        filter("f", "any", "", "selection: {user|expand: '%x%'}\n  condition: not selection"),
        filter("f", "any", "", good).replace("  rules: any\n", ""),
        filter("f", "any", "", good).replace("logsource: {product: any}", "logsource: {}"),
    ] {
        let files = [("r.yml", text.as_str()), ("f.yml", &written)];
        let (ruleset, report) = compile(&files, &CompileOptions::default());
        assert_eq!(found(&ruleset, "a=x;user=backup"), ["r"], "{written}");
        all.extend(reasons(&report));
    }
    insta::assert_snapshot!(all.join("\n"), @r#"
    f.yml: f: filter.rules must be `any` or a list of ids or names
    f.yml: f: filter.rules must be `any` or a list of ids or names
    f.yml: Unknown modifier 'colour'
    f.yml: f: condition: there is no selection "other"
    f.yml: f: selection: field user: the placeholder %x% has no values: give a list of that name
    f.yml: f: its rules are not named: write `rules: any` or their ids
    f.yml: f: it has no log source: set category, product or service
    "#);
}

#[test]
fn a_filter_says_which_rules_it_missed() {
    let text = rule("r", "", "s: {a: x}, condition: s");
    let by_id = filter("f", "[r, gone]", "", "s: {user: b}\n  condition: not s");
    let elsewhere = by_id.replace("product: any", "product: any, service: one");
    let files = [("r.yml", text.as_str()), ("f1.yml", &by_id), ("f2.yml", &elsewhere)];
    let (_, report) = compile(&files, &CompileOptions::default());
    let seen: Vec<_> = report.filters.iter().map(|f| (f.rules.clone(), f.missed.clone())).collect();
    let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    assert_eq!(seen, [(list(&["r"]), list(&["gone"])), (list(&[]), list(&["r", "gone"]))]);
}

#[test]
fn filters_hold_at_the_limit_and_not_past_it() {
    let one = filter("f", "any", "", "s: {user: b}\n  condition: not s");
    let files = vec![("f.yml", one.as_str()); limits::FILTERS_MAX + 1];
    let (_, report) = compile(&files[..limits::FILTERS_MAX], &CompileOptions::default());
    assert_eq!((report.filters.len(), report.refused.len()), (limits::FILTERS_MAX, 0));
    let (_, report) = compile(&files, &CompileOptions::default());
    assert_eq!((report.filters.len(), report.refused.len()), (limits::FILTERS_MAX, 1));
}

#[test]
fn pipelines_rename_fields_also_of_filters_and_references() {
    let options = with_pipeline(
        "transformations:\n  - type: field_name_mapping\n    mapping: {a: b, c: [d, e], f: g}\n",
    );
    let one = rule("r1", "", "s: {a: x, c: y}, condition: s");
    let two = rule("r2", "", "s: {z|fieldref: f}, condition: s");
    let over = filter("f", "[r1]", "", "s: {a|endswith: '!', c: no}\n  condition: not s");
    let files = [("1.yml", one.as_str()), ("2.yml", &two), ("f.yml", &over)];
    let (ruleset, report) = compile(&files, &options);
    assert_eq!(reasons(&report), [""; 0]);
    assert_eq!(found(&ruleset, "b=x;d=y"), ["r1"]);
    assert_eq!(found(&ruleset, "b=x;e=y"), ["r1"]);
    assert_eq!(found(&ruleset, "b=x"), [""; 0]);
    assert_eq!(found(&ruleset, "a=x;c=y"), [""; 0]);
    assert_eq!(found(&ruleset, "z=1;g=1"), ["r2"]);
}

#[test]
fn pipelines_add_drop_and_remember_under_their_conditions() {
    let options = with_pipeline(
        "
transformations:
  - {id: mark, type: set_state, key: house, val: 7, rule_conditions: [{type: tag, tag: test.mark}]}
  - type: add_condition
    conditions: {src: [one, two]}
    rule_conditions: [{type: processing_state, key: house, val: 7}]
  - type: add_condition
    conditions: {host: lab}
    negated: true
    rule_conditions: [{type: processing_item_applied, processing_item_id: mark}]
    rule_cond_not: true
  - type: drop_detection_item
    field_name_conditions: [{type: include_fields, fields: [noise]}]
",
    );
    let marked = rule(
        "marked",
        "tags: [test.mark]\n",
        "s: {a: x, noise: 1}, n: {noise: 2}, condition: s and not n",
    );
    let plain = rule("plain", "", "s: {a: x}, condition: s");
    let gone = rule("gone", "", "s: {noise: 1}, condition: s");
    let files = [("1.yml", marked.as_str()), ("2.yml", &plain), ("3.yml", &gone)];
    let (ruleset, report) = compile(&files, &options);
    assert_eq!(found(&ruleset, "a=x"), ["plain"]);
    assert_eq!(found(&ruleset, "a=x;src=two;noise=2"), ["marked", "plain"]);
    assert_eq!(found(&ruleset, "a=x;host=lab;src=one"), ["marked"]);
    // What is left of `gone` would be the added condition alone.
    assert_eq!(report.refused.len(), 1);
    let reason = report.refused[0].to_string();
    assert!(reason.contains("Rule gone") && reason.contains("leaves nothing"), "{reason}");
}

#[test]
fn pipelines_give_values_and_come_by_priority() {
    let pipeline = |priority: i64, value: &str| {
        let text = format!(
            "name: p{priority}\npriority: {priority}\nvars: {{who: [{value}], other: z}}\n\
             transformations: [{{type: value_placeholders, include: [who]}}]\n"
        );
        Pipeline::from_yaml("p.yml", &text).unwrap()
    };
    let pipelines = vec![pipeline(20, "late"), pipeline(10, "early")];
    let lists = PlaceholderLists::from_toml("who = 'house'\nother = 'house'").unwrap();
    let options = CompileOptions { pipelines, lists, ..CompileOptions::default() };
    let text = rule("r", "", "s: {a|expand: '%who%', b|expand: '%other%'}, condition: s");
    let (ruleset, report) = compile(&[("r.yml", &text)], &options);
    assert_eq!(reasons(&report), [""; 0]);
    assert_eq!(found(&ruleset, "a=late;b=house"), ["r"]);
    assert_eq!(found(&ruleset, "a=early;b=house"), [""; 0]);
    assert_eq!(found(&ruleset, "a=late;b=z"), [""; 0]);
}

#[test]
fn pipelines_that_use_what_is_not_there_are_refused_by_name() {
    for (text, named) in [
        ("- a", "mapping with `transformations`"),
        ("name: x", "no transformations"),
        ("transformations: []\npostprocessing: []", "postprocessing is not supported"),
        ("transformations: [{type: replace_string, regex: a}]", "replace_string"),
        (
            "transformations: [{id: names, type: field_name_mapping, mapping: {a: }}]",
            "transformation 1 (names): mapping of a",
        ),
        (
            "transformations: [{type: add_condition, conditions: {a: b}, template: true}]",
            "template is not supported",
        ),
        ("transformations: [{type: set_state, key: a, val: [1]}]", "a value must be text"),
        (
            "transformations: [{type: drop_detection_item, rule_conditions: [{type: is_sigma_rule}]}]",
            "rule_conditions: is_sigma_rule: not supported",
        ),
        (
            "transformations: [{type: drop_detection_item, field_name_conditions: [{type: include_fields, mode: re, fields: [a]}]}]",
            "the mode re is not supported",
        ),
        (
            "transformations: [{type: add_condition, conditions: {a: b}, field_name_conditions: [{type: include_fields, fields: [a]}]}]",
            "field_name_conditions mean nothing to add_condition",
        ),
        ("transformations: [{type: drop_detection_item, rule_cond_op: xor}]", "rule_cond_op"),
        ("allowed_backends: [splunk]\ntransformations: []", "splunk"),
        ("transformations: [", "line"),
        ("a: &a [1]\nb: *a\ntransformations: []", "anchors and aliases"),
    ] {
        let error = Pipeline::from_yaml("p.yml", text).unwrap_err().to_string();
        assert!(error.starts_with("p.yml: ") && error.contains(named), "{text}: {error}");
    }
    let steps = |count: usize| {
        let text =
            "transformations:\n".to_owned() + &"- {type: drop_detection_item}\n".repeat(count);
        Pipeline::from_yaml("p.yml", &text)
    };
    assert!(steps(limits::PIPELINE_STEPS_MAX).is_ok());
    assert!(steps(limits::PIPELINE_STEPS_MAX + 1).is_err());
}

#[test]
fn parts_of_a_time_are_taken_in_the_zone_of_the_house() {
    let text = rule("r", "", "s: {t|hour|gte: 22}, condition: s");
    let zone = jiff::tz::TimeZone::get("Asia/Tokyo").unwrap();
    let house = CompileOptions { zone, ..CompileOptions::default() };
    let (utc, _) = compile(&[("r.yml", &text)], &CompileOptions::default());
    let (tokyo, _) = compile(&[("r.yml", &text)], &house);
    for (time, in_utc, in_tokyo) in [
        ("2026-11-21T13:30:00Z", false, true),
        ("2026-11-21T22:30:00Z", true, false),
        ("2026-11-21T22:30:00+09:00", false, true),
        ("2026-11-21 13:30:00", false, true),
    ] {
        let event = format!("t={time}");
        assert_eq!(found(&utc, &event).len() == 1, in_utc, "{time}");
        assert_eq!(found(&tokyo, &event).len() == 1, in_tokyo, "{time}");
    }
}

#[test]
fn what_a_rule_says_of_itself_stays_with_it() {
    let text = rule(
        "r",
        "name: short\nrelated: [{id: other, type: obsolete}]\nteam: blue\ncustom_attributes: {runbook: {url: 'https://example.org'}}\n",
        "s: {a: x}, condition: s",
    );
    let (ruleset, _) = compile(&[("r.yml", &text)], &CompileOptions::default());
    let info = ruleset.rules().next().unwrap();
    assert_eq!(info.name.as_deref(), Some("short"));
    assert_eq!((info.related[0].id.as_str(), info.related[0].kind), ("other", "obsolete"));
    assert_eq!(info.custom["team"], "blue");
    assert_eq!(info.custom["runbook"]["url"], "https://example.org");
    let json = serde_json::to_value(&**info).unwrap();
    assert_eq!(json["related"][0]["type"], "obsolete");
    // The digest is that of the file, and in a file of several rules that of each.
    assert_eq!(info.digest.len(), 64);
    let two = format!(
        "{}---\n{}",
        rule("r1", "", "s: {a: x}, condition: s"),
        rule("r2", "", "s: {a: x}, condition: s")
    );
    let digests = |text: &str| -> Vec<String> {
        let (ruleset, _) = compile(&[("r.yml", text)], &CompileOptions::default());
        ruleset.rules().map(|rule| rule.digest.clone()).collect()
    };
    let (before, after) = (digests(&two), digests(&two.replacen("a: x", "a: y", 1)));
    assert_ne!(before[0], after[0]);
    assert_eq!(before[1], after[1]);
    assert_ne!(before[0], before[1]);
}
