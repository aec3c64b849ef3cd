//! Files with errors in every place: each is refused by name, and the others are used.

use std::sync::Arc;
use yagura_detect::{LogSources, RuleFile, RuleStatus, Ruleset};
use yagura_event::{FieldDictionary, Lang, Level};

const SOURCES: &str = "
[[source]]
product = 'any'
where = [{ dataset = '*' }]
[[source]]
product = 'any'
service = 'one'
where = [{ dataset = 'one' }]
[[source]]
product = 'any'
category = 'two'
where = [{ dataset = 'two' }]
";

fn compile(files: &[(&str, &str)]) -> (Ruleset, Vec<String>) {
    let dictionary = Arc::new(FieldDictionary::from_toml("").unwrap());
    let sources = LogSources::from_toml(SOURCES).unwrap();
    let files: Vec<RuleFile> = files
        .iter()
        .map(|(path, text)| RuleFile { path: (*path).into(), text: (*text).into() })
        .collect();
    let (ruleset, report) = Ruleset::compile(&files, dictionary, &sources);
    assert_eq!(ruleset.rules().len(), report.loaded);
    (ruleset, report.refused.iter().map(ToString::to_string).collect())
}

fn rule(id: &str, more: &str) -> String {
    format!(
        "title: Rule {id}\nid: {id}\n{more}logsource: {{product: any}}\ndetection: {{s: {{a: x}}, condition: s}}\n"
    )
}

#[test]
fn one_bad_file_or_document_spoils_no_other() {
    let several = format!("{}---\ntitle: no detection\n---\n{}", rule("r1", ""), rule("r2", ""));
    let broken = format!("{}---\n\tbad: [yaml\n", rule("r3", ""));
    let (ruleset, refused) = compile(&[
        ("several.yml", &several),
        ("broken.yml", &broken),
        ("empty.yml", ""),
        ("comment.yml", "# nothing\n"),
        ("list.yml", "- a\n- b\n"),
        ("binary.yml", "\u{0}\u{1}\u{feff}"),
        ("twice.yml", &rule("r1", "")),
        ("good.yml", &rule("r4", "")),
    ]);
    let ids: Vec<_> = ruleset.rules().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids, ["r1", "r2", "r3", "r4"]);
    insta::assert_snapshot!(refused.join("\n"));
}

#[test]
fn a_rule_of_too_many_expressions_is_refused_and_its_neighbour_used() {
    let most = yagura_detect::limits::REGEXES_PER_RULE_MAX;
    let with = |count: usize, text: &str| {
        let values: Vec<String> = (0..count).map(|number| format!("'{text}{number}+'")).collect();
        let bad = format!(
            "title: Rule bad\nid: bad\nlogsource: {{product: any}}\n\
             detection: {{s: {{a|re: [{}]}}, condition: s}}\n",
            values.join(", ")
        );
        let (ruleset, refused) = compile(&[("bad.yml", &bad), ("good.yml", &rule("good", ""))]);
        (ruleset.rules().len(), refused.join("\n"))
    };
    assert_eq!(with(most, "x"), (2, String::new()));
    let reason = format!("bad.yml: Rule bad: s: field a: more than {most} regular expressions");
    assert_eq!(with(most + 1, "x"), (1, reason.clone()));
    // Large ones count as many.
    let large = most / yagura_detect::limits::REGEX_LARGE_COST;
    assert_eq!(with(large, r"\w{64}"), (2, String::new()));
    assert_eq!(with(large + 1, r"\w{64}"), (1, reason));
}

#[test]
fn statuses_levels_and_versions_count() {
    let (ruleset, refused) = compile(&[
        ("a.yml", &rule("a", "status: deprecated\nlevel: critical\n")),
        ("b.yml", &rule("b", "status: unsupported\n")),
        ("c.yml", &rule("c", "status: tset\n")),
        ("d.yml", &rule("d", "level: severe\n")),
        ("e.yml", &rule("e", "sigma-version: 99\n")),
        ("f.yml", &rule("f", "related: [{id: x, type: nonsense}]\n")),
    ]);
    let rules: Vec<_> = ruleset.rules().collect();
    assert_eq!(rules.len(), 2, "{refused:?}");
    assert_eq!((rules[0].status, rules[0].level), (Some(RuleStatus::Deprecated), Level::Critical));
    assert_eq!((rules[1].status, rules[1].level), (None, Level::Medium));
    insta::assert_snapshot!(refused.join("\n"));
}

#[test]
fn log_sources_that_mean_no_events_are_refused() {
    let with = |source: &str| rule("x", "").replace("{product: any}", source);
    let refused = |source: &str| compile(&[("x.yml", &with(source))]).1.join("\n");
    assert_eq!(refused("{product: any, service: one}"), "");
    let all: Vec<String> = [
        "{product: vms}",
        "{product: any, service: three}",
        "{product: any, service: one, category: two}",
        "{product: any, definition: whatever, vendor: acme}",
        "{}",
    ]
    .iter()
    .map(|source| refused(source))
    .collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn rules_that_a_correlation_of_another_file_counts_alert_all_the_same() {
    let correlation = "title: Many\nid: many\ncorrelation:\n  type: event_count\n  rules: [counted]\n  group-by: [a]\n  timespan: 5m\n  condition: {gte: 10}\n";
    let filter = "title: Except\nid: except\nlogsource: {product: any}\nfilter:\n  rules: [kept]\n  f: {a: y}\n  condition: not f\n";
    let (ruleset, refused) = compile(&[
        ("counted.yml", &rule("counted", "")),
        ("kept.yml", &rule("kept", "")),
        ("many.yml", correlation),
        ("filter.yml", filter),
    ]);
    assert!(refused.is_empty(), "{refused:?}");
    let rules: Vec<_> = ruleset.rules().map(|rule| (rule.id.as_str(), rule.alerts)).collect();
    assert_eq!(rules, [("counted", true), ("kept", true)]);
    let correlations: Vec<_> = ruleset.correlations().map(|rule| rule.id.as_str()).collect();
    assert_eq!(correlations, ["many"]);
}

#[test]
fn hostile_yaml_is_refused_and_costs_little() {
    use yagura_detect::limits::OPEN_BRACKETS_MAX;
    let (_, refused) = compile(&[("deep.yml", &"[".repeat(100_000))]);
    assert!(refused[0].contains("brackets"), "{refused:?}");
    let quoted = |count: usize| rule("x", &format!("description: '{}'\n", "[".repeat(count)));
    // `detection: {s: {` opens two more.
    let own = 2;
    assert!(compile(&[("x.yml", &quoted(OPEN_BRACKETS_MAX - own))]).1.is_empty());
    assert_eq!(compile(&[("x.yml", &quoted(OPEN_BRACKETS_MAX - own + 1))]).1.len(), 1);
    let deep = format!("a: {}1{}", "{b: ".repeat(500), "}".repeat(500));
    assert_eq!(compile(&[("deep.yml", &deep)]).1.len(), 1);

    let bomb = |levels: usize| {
        let mut text = "l0: &l0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..levels {
            let below = format!("*l{}, ", level - 1).repeat(10);
            text += &format!("l{level}: &l{level} [{}]\n", below.trim_end_matches(", "));
        }
        text
    };
    for aliased in [
        bomb(30),
        rule("x", "tags: &tags [a.b]\nfields: *tags\n"),
        rule("x", "x: {\"k\":&a-1 x,\"l\":*a-1}\n"),
    ] {
        let (_, refused) = compile(&[("bomb.yml", &aliased)]);
        assert!(refused.len() == 1 && refused[0].contains("aliases"), "{refused:?}");
    }
    assert!(compile(&[("x.yml", &rule("x", "tags: ['&a', '*a']\n"))]).1.is_empty());
}

#[test]
fn our_own_attributes_are_read_and_rules_without_an_id_get_one() {
    let ours = "title: Log cleared\nlogsource: {product: any}\ndetection: {s: {a: x}, condition: s}\nauthor: A\nlicense: MIT\ntags: [attack.t1070]\nx-yagura: {title_ja: ログの消去, description_ja: 説明, phase: p}\n";
    let (ruleset, refused) =
        compile(&[("o.yml", ours), ("p.yml", &ours.replace("cleared", "lost"))]);
    assert!(refused.is_empty(), "{refused:?}");
    let rules: Vec<_> = ruleset.rules().collect();
    assert_eq!(rules[0].title_in(Lang::Ja), "ログの消去");
    assert_eq!(rules[0].title_in(Lang::En), "Log cleared");
    assert_eq!(rules[0].description_ja.as_deref(), Some("説明"));
    assert_eq!((rules[0].author.as_deref(), rules[0].license.as_deref()), (Some("A"), Some("MIT")));
    assert_eq!(&*rules[0].path, "o.yml");
    assert_ne!(rules[0].id, rules[1].id);
    insta::assert_snapshot!(rules[0].id, @"c7ee3cc6-6eca-8d38-9cdd-cceed9f0a088");
    let (again, _) = compile(&[("elsewhere.yml", ours)]);
    assert_eq!(again.rules().next().unwrap().id, rules[0].id);
}
