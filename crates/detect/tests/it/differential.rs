//! The engine agrees with the reference on random rules and events.

use crate::reference;
use proptest::prelude::*;
use reference::{Readings, Reference, batch_of, events_of};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use yagura_detect::{Engine, LogSources, RuleFile, Ruleset};
use yagura_event::FieldDictionary;

pub const FIELDS: &str = r#"
[[field]]
name = "text"
type = "text"
ja = "文"
en = "Text"
[[field]]
name = "count"
type = "long"
ja = "数"
en = "Count"
[[field]]
name = "when"
type = "date"
ja = "時"
en = "When"
[sigma."*"]
EventID = "event.code"
Alias = "a"
"#;

pub const SOURCES: &str = r#"
[[source]]
product = "any"
where = [{ dataset = "*" }]
[[source]]
category = "kind"
where = [
    { dataset = "test.one", fields = { EventID = ["1"] } },
    { dataset = "test.", fields = { EventID = ["2", "x"], c = ["AB"] } },
]
"#;

/// Text that often collides: few letters in two cases, and now and then a dash, a backslash or
/// letters beyond ASCII.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[abAB]{1,3}",
        1 => Just("\\".to_owned()),
        1 => "[-/–]",
        1 => Just(" ".to_owned()),
        1 => "[ΣσſsKÉé東İ]",
        1 => Just("/a".to_owned()),
        1 => "[ＡａＢ１ｱ\n\t\u{301}😀]",
    ];
    let mixed = prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat());
    prop_oneof![3 => "[abA]{0,4}", 2 => mixed]
}

/// `ab`, `-ab` or `/ab` as rules' encodings make them, with something around.
fn encoded() -> impl Strategy<Value = String> {
    let encodings = ["YWJh", "FiY", "hYm", "YQBiAA", "AGEAYg==", "a\0b\0", "LWFi", "L2Fi"];
    (text(), prop::sample::select(encodings.to_vec()), text())
        .prop_map(|(start, middle, end)| format!("{start}{middle}{end}"))
}

/// Now and then so long that all predicates are answered together.
fn long_or_short() -> impl Strategy<Value = String> {
    let long =
        (text(), text()).prop_map(|(start, end)| format!("{start}{}{end}", "ab-".repeat(5_500)));
    prop_oneof![80 => text(), 1 => long]
}

fn event_value(field: &str) -> BoxedStrategy<String> {
    match field {
        "event.code" => {
            prop_oneof![Just("1"), Just("2"), Just("3"), Just("X")].prop_map(str::to_owned).boxed()
        }
        "count" => (-3i64..12).prop_map(|n| n.to_string()).boxed(),
        "when" => (0i64..200_000_000_000)
            .prop_map(|n| yagura_event::UtcMicros::from_micros(n * 11_000).to_string())
            .boxed(),
        "ip" => prop_oneof![
            "10\\.[0-2]\\.0\\.[0-3]",
            Just("::ffff:10.0.0.1".to_owned()),
            Just("fe80::1%eth0".to_owned()),
            text()
        ]
        .boxed(),
        "num" => prop_oneof![
            3 => (-3i64..12).prop_map(|n| n.to_string()),
            1 => prop::sample::select(vec!["2.5", " 7", "07", "inf"]).prop_map(str::to_owned),
            3 => text()
        ]
        .boxed(),
        "b" => long_or_short().boxed(),
        _ => prop_oneof![12 => text(), 1 => encoded()].boxed(),
    }
}

const COLUMNS: [&str; 9] = ["a", "b", "c", "text", "event.code", "count", "when", "ip", "num"];

fn event() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let fields = COLUMNS.map(|field| {
        prop::option::weighted(0.7, event_value(field).prop_map(move |value| (field, value)))
    });
    fields.to_vec().prop_map(|fields| fields.into_iter().flatten().collect())
}

fn pattern() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => text(),
        2 => Just("*".to_owned()),
        1 => Just("?".to_owned()),
        1 => Just("\\*".to_owned()),
        1 => Just("\\\\*".to_owned()),
    ];
    let mixed = prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat());
    prop_oneof![3 => "[abA]{1,3}", 2 => mixed]
}

fn words() -> impl Strategy<Value = String> {
    "[abAB -/]{1,4}"
}

fn one_or_more(value: BoxedStrategy<Value>) -> impl Strategy<Value = Value> {
    prop_oneof![value.clone(), prop::collection::vec(value, 1..4).prop_map(Value::Array)]
}

/// One `field|modifiers: values`.
fn item() -> impl Strategy<Value = (String, Value)> {
    let string = || pattern().prop_map(Value::String).boxed();
    let name = || prop::sample::select(vec!["a", "b", "c", "Alias", "text", "missing", "num"]);
    let place = || prop::sample::select(vec!["", "|contains", "|startswith", "|endswith"]);
    let suffix = || {
        prop::sample::select(vec!["", "", "", "|cased", "|neq", "|all", "|all|cased", "|all|neq"])
    };
    let textual = (name(), place(), suffix(), one_or_more(string()))
        .prop_map(|(name, place, suffix, value)| (format!("{name}{place}{suffix}"), value));
    let windash = (name(), one_or_more(words().prop_map(Value::String).boxed()), prop::bool::ANY)
        .prop_map(|(name, value, all)| {
            (format!("{name}|windash|contains{}", if all { "|all" } else { "" }), value)
        });
    let encoding = prop::sample::select(vec![
        "wide|base64offset",
        "utf16be|base64",
        "base64offset",
        "utf16|base64offset",
        "wide",
        "windash|base64offset",
    ]);
    let encoded = (name(), encoding, "[-/]?ab?b")
        .prop_map(|(name, encoding, value)| (format!("{name}|{encoding}|contains"), json!(value)));
    let source = prop::sample::select(vec![
        "a+b",
        "^[ab]*$",
        "(?:ab|ba)\\s?a",
        "AB",
        "b.a",
        "[^a]b{1,2}$",
        "",
        "σ",
        "sk",
    ]);
    let flags = prop::sample::select(vec!["", "|i", "|s", "|i|m"]);
    let expression = (name(), flags, source)
        .prop_map(|(name, flags, source)| (format!("{name}|re{flags}"), json!(source)));
    let exists =
        (name(), prop::bool::ANY).prop_map(|(name, yes)| (format!("{name}|exists"), json!(yes)));
    let nothing = (name(), prop::sample::select(vec![json!(null), json!(""), json!([null, "a"])]))
        .prop_map(|(name, value)| (name.to_owned(), value));
    let order = prop::sample::select(vec!["lt", "lte", "gt", "gte"]);
    let numeric = (prop::sample::select(vec!["num", "count", "a"]), order.clone(), -3i64..12)
        .prop_map(|(name, order, n)| (format!("{name}|{order}"), json!(n)));
    let integer = (prop::sample::select(vec!["num", "count", "EventID"]), -3i64..12)
        .prop_map(|(name, n)| (name.to_owned(), json!(n)));
    let part = (
        prop::sample::select(vec!["minute", "hour", "day", "week", "month", "year"]),
        prop::option::of(order),
        0i64..60,
    )
        .prop_map(|(part, order, n)| {
            (
                match order {
                    Some(order) => format!("when|{part}|{order}"),
                    None => format!("when|{part}"),
                },
                json!(n),
            )
        });
    let block = prop::sample::select(vec![
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.0.0.1/32",
        "fe80::/10",
        "0.0.0.0/0",
        "::/0",
    ]);
    let cidr = (block, prop::bool::ANY).prop_map(|(block, neq)| {
        (format!("ip|cidr{}", if neq { "|neq" } else { "" }), json!(block))
    });
    let fields = (
        name(),
        place(),
        prop::sample::select(vec!["", "|cased", "|neq"]),
        prop::sample::select(vec!["a", "b", "missing", "count"]),
    )
        .prop_map(|(name, place, suffix, other)| {
            (format!("{name}|fieldref{place}{suffix}"), json!(other))
        });
    let keywords =
        (prop::sample::select(vec!["", "|all", "|re"]), prop::collection::vec("[abAB]{1,3}", 1..3))
            .prop_map(|(suffix, values)| {
                (
                    if suffix.is_empty() { "|contains".to_owned() } else { suffix.to_owned() },
                    json!(values),
                )
            });
    prop_oneof![
        8 => textual, 2 => windash, 1 => encoded, 2 => expression, 1 => exists, 2 => nothing,
        2 => numeric, 1 => integer, 1 => part, 1 => cidr, 1 => fields, 1 => keywords,
    ]
}

fn selection() -> impl Strategy<Value = Value> {
    let map = || {
        prop::collection::vec(item(), 1..3)
            .prop_map(|items| Value::Object(items.into_iter().collect()))
    };
    let keywords =
        prop::collection::vec(pattern().prop_filter("not empty", |p| !p.is_empty()), 1..3)
            .prop_map(|values| json!(values));
    prop_oneof![6 => map(), 2 => prop::collection::vec(map(), 1..3).prop_map(Value::Array), 1 => keywords]
}

/// Conditions of any depth.
fn deep_condition() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "s1",
        "s2",
        "_s3",
        "1 of s*",
        "all of s*",
        "1 of them",
        "all of them",
        "1 of _s*",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 12, 3, |inner| {
        let joined = (prop::collection::vec(inner.clone(), 2..4), prop::bool::ANY);
        prop_oneof![
            inner.prop_map(|part| format!("not ({part})")),
            joined.prop_map(|(parts, all)| {
                format!("({})", parts.join(if all { " and " } else { " or " }))
            }),
        ]
    })
}

fn rule() -> impl Strategy<Value = Value> {
    let condition = prop::sample::select(vec![
        "s1",
        "not s1",
        "s1 and s2",
        "s1 or s2",
        "s1 and not s2",
        "1 of s*",
        "all of them",
        "2 of them",
        "not 1 of s*",
        "s1 or s2 and not _s3",
        "(s1 or s2) and not _s3",
        "not (s1 and s2)",
        "1 of *s3",
        "all of s* and not _s3",
        "not s1 or not s2",
    ]);
    let source = prop::sample::select(vec![json!({"product": "any"}), json!({"category": "kind"})]);
    let condition = prop_oneof![2 => condition.prop_map(str::to_owned), 1 => deep_condition()];
    (selection(), selection(), selection(), condition, source).prop_map(
        |(s1, s2, s3, condition, logsource)| {
            json!({
                "title": "t", "logsource": logsource,
                "detection": {"s1": s1, "s2": s2, "_s3": s3, "condition": condition},
            })
        },
    )
}

/// Rules, events and their dataset.
pub type Case = (Vec<Value>, Vec<Vec<(&'static str, String)>>, &'static str);

/// Random rules and events; the fuzz target `rules_and_events` lets its bytes choose.
pub fn case() -> impl Strategy<Value = Case> {
    (
        prop::collection::vec(rule(), 1..6),
        prop::collection::vec(event(), 4..16),
        prop::sample::select(vec!["test.one", "test.one", "test.two", "other"]),
    )
}

/// Panics unless engine and reference find the same.
pub fn compare((rules, events, dataset): Case) {
    let dictionary = Arc::new(FieldDictionary::from_toml(FIELDS).unwrap());
    let sources = LogSources::from_toml(SOURCES).unwrap();
    let files = rules.into_iter().enumerate().map(|(number, mut rule)| {
        rule["id"] = json!(number.to_string());
        RuleFile { path: format!("{number}.yml"), text: rule.to_string() }
    });
    let files: Vec<RuleFile> = files.collect();
    let (ruleset, report) = Ruleset::compile(&files, dictionary.clone(), &sources);
    assert!(report.refused.is_empty(), "{:?}", report.refused);

    let borrowed = events.iter().map(|event| event.iter().map(|(n, v)| (*n, v.as_str())).collect());
    let borrowed: Vec<Vec<(&str, &str)>> = borrowed.collect();
    let batch = batch_of(dataset, &dictionary, &borrowed);
    let mut engine = Engine::new(Arc::new(ruleset));
    let found = |engine: &mut Engine| -> BTreeSet<(usize, String)> {
        let found = engine.evaluate(&batch).into_iter();
        found.map(|found| (found.row, found.rule.id.clone())).collect()
    };
    let first = found(&mut engine);
    assert_eq!(first, found(&mut engine), "what is remembered changes the answer");

    let reference =
        Reference { dictionary: &dictionary, sources: &sources, readings: Readings::OURS };
    let mut expected = BTreeSet::new();
    for file in &files {
        let parsed = rsigma_parser::parse_sigma_yaml(&file.text).unwrap();
        for (row, event) in events_of(&batch).iter().enumerate() {
            if reference.matches(&parsed.rules[0], event) {
                expected.insert((row, parsed.rules[0].id.clone().unwrap()));
            }
        }
    }
    assert_eq!(first, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_agrees_with_the_reference(case in case()) {
        compare(case);
    }
}
