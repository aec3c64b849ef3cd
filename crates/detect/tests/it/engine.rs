//! Batches of every shape, and caches that overflow: speed changes, answers do not.

use crate::reference;
use arrow::array::{
    ArrayRef, DictionaryArray, Int32Array, LargeStringArray, RecordBatch, StringArray,
    StringViewArray, TimestampNanosecondArray, UInt16Array,
};
use arrow::datatypes::Int32Type;
use reference::batch_of;
use std::sync::Arc;
use yagura_detect::limits::{CACHED_VALUE_BYTES_MAX, CACHED_VALUES_MAX, DATASETS_MAX};
use yagura_detect::{Engine, LogSources, RuleFile, Ruleset};
use yagura_event::{EventBatch, FieldDictionary};

const SOURCES: &str = "[[source]]\nproduct = 'any'\nwhere = [{ dataset = '*' }]\n";

fn dictionary() -> Arc<FieldDictionary> {
    Arc::new(FieldDictionary::from_toml("").unwrap())
}

fn engine(selections: &[&str]) -> Engine {
    let files: Vec<RuleFile> = selections
        .iter()
        .enumerate()
        .map(|(number, selection)| RuleFile {
            path: format!("{number}.yml"),
            text: format!(
                "title: t\nid: r{number}\nlogsource: {{product: any}}\ndetection: {{s: {selection}, condition: s}}\n"
            ),
        })
        .collect();
    let sources = LogSources::from_toml(SOURCES).unwrap();
    let (ruleset, report) = Ruleset::compile(&files, dictionary(), &sources);
    assert!(report.refused.is_empty(), "{:?}", report.refused);
    Engine::new(Arc::new(ruleset))
}

fn rows(engine: &mut Engine, batch: &EventBatch) -> Vec<(usize, String)> {
    engine.evaluate(batch).into_iter().map(|found| (found.row, found.rule.id.clone())).collect()
}

fn assert_send<T: Send>() {}
fn assert_shared<T: Send + Sync>() {}

#[test]
fn an_engine_may_move_and_a_ruleset_be_shared() {
    assert_send::<Engine>();
    assert_shared::<Arc<Ruleset>>();
}

#[test]
fn columns_of_other_types_are_read_as_their_text() {
    let mut engine = engine(&["{a|endswith: x}", "{port|gte: 22}", "{t|hour: 4}", "['needle']"]);
    let batch = |a: ArrayRef| {
        let port: ArrayRef = Arc::new(UInt16Array::from(vec![Some(22), None]));
        let t: ArrayRef =
            Arc::new(TimestampNanosecondArray::from(vec![None, Some(4 * 3_600_000_000_000)]));
        let nested: ArrayRef = Arc::new(arrow::array::StructArray::new_empty_fields(2, None));
        let columns = [("a", a), ("port", port), ("t", t), ("nested", nested)];
        let columns = RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true)));
        EventBatch { dataset: "test".into(), columns: columns.unwrap() }
    };
    let keys = Int32Array::from(vec![Some(1), Some(0)]);
    let values = StringArray::from(vec![None, Some("needle X")]);
    let keyword = DictionaryArray::<Int32Type>::new(keys, Arc::new(values));
    for a in [
        Arc::new(StringArray::from(vec![Some("needle X"), None])) as ArrayRef,
        Arc::new(LargeStringArray::from(vec![Some("needle X"), None])),
        Arc::new(StringViewArray::from(vec![Some("needle X"), None])),
        Arc::new(keyword),
    ] {
        let found = rows(&mut engine, &batch(a));
        let found: Vec<_> = found.iter().map(|(row, id)| (*row, id.as_str())).collect();
        assert_eq!(found, [(0, "r0"), (0, "r1"), (0, "r3"), (1, "r2")]);
    }
    let empty = EventBatch {
        dataset: "test".into(),
        columns: batch(Arc::new(StringArray::from(vec!["x", "x"]))).columns.slice(0, 0),
    };
    assert!(rows(&mut engine, &empty).is_empty());
}

#[test]
fn full_caches_change_no_answer() {
    let mut engine = engine(&["{a|contains: '77'}"]);
    // Long enough to be worth remembering.
    let start = "x".repeat(200);
    let values: Vec<String> =
        (0..=CACHED_VALUES_MAX).map(|number| format!("{start}{number}")).collect();
    let events: Vec<_> = values.iter().map(|value| vec![("a", value.as_str())]).collect();
    let batch = batch_of("test", &dictionary(), &events);
    let expected = values.iter().filter(|value| value.contains("77")).count();
    // One value too many for the cache; then the cache is emptied and filled again.
    assert_eq!(rows(&mut engine, &batch).len(), expected);
    assert_eq!(engine.stats().values_remembered, 0);
    assert_eq!(rows(&mut engine, &batch).len(), expected);
    assert_eq!(engine.stats().values_remembered, 0);

    let few = batch_of("test", &dictionary(), &events[..100]);
    assert_eq!(rows(&mut engine, &few).len(), 1);
    assert_eq!(rows(&mut engine, &few).len(), 1);
    assert_eq!(engine.stats().values_remembered, 100);
}

#[test]
fn long_values_are_matched_but_not_remembered() {
    for (bytes, remembered) in [(CACHED_VALUE_BYTES_MAX, 1), (CACHED_VALUE_BYTES_MAX + 1, 0)] {
        let mut engine = engine(&["{a|contains: x7}"]);
        let value = "x".repeat(bytes - 1) + "7";
        let batch = batch_of("test", &dictionary(), &[vec![("a", &value)]]);
        assert_eq!(rows(&mut engine, &batch).len(), 1);
        assert_eq!(rows(&mut engine, &batch).len(), 1);
        assert_eq!(engine.stats().values_remembered, remembered);
    }
}

#[test]
fn more_datasets_than_are_remembered() {
    let mut engine = engine(&["{a: x}"]);
    for round in 0..2 {
        for number in 0..=DATASETS_MAX {
            let batch = batch_of(&format!("d{number}"), &dictionary(), &[vec![("a", "X")]]);
            assert_eq!(rows(&mut engine, &batch).len(), 1, "round {round}, dataset {number}");
        }
    }
}

#[test]
fn only_rows_where_an_anchor_holds_are_looked_at() {
    let mut engine = engine(&[
        "{a|contains: mimikatz, event.code: '1'}",
        "{a|contains: rubeus, b: x}",
        "{event.code: '7'}",
        "{c: null}",
    ]);
    let quiet = vec![("a", "c:\\windows\\system32\\svchost.exe"), ("event.code", "1"), ("c", "y")];
    let batch = batch_of("test", &dictionary(), &vec![quiet; 100]);
    assert!(rows(&mut engine, &batch).is_empty());
    // The rule that only excludes is looked at for each of them, no other rule for any.
    assert_eq!(engine.stats().candidates, 100);
    assert_eq!(engine.stats().values_evaluated, 1);
    let loud = vec![("a", "x mimikatz"), ("event.code", "1"), ("c", "y")];
    let code = vec![("event.code", "7"), ("c", "y")];
    let batch = batch_of("test", &dictionary(), &[loud, code]);
    assert_eq!(rows(&mut engine, &batch), [(0, "r0".into()), (1, "r2".into())]);
    assert_eq!(engine.stats().candidates, 104);
}

/// A long value wakes many rules, each of which asks much of it: what is gone through grows with the
/// value, not with the rules.
#[test]
fn a_long_value_is_gone_through_a_few_times_whatever_the_rules_ask() {
    const RULES: usize = 300;
    let words = |rule: usize| (0..20).map(move |word| format!("absent{rule}x{word}"));
    let selections: Vec<String> = (0..RULES)
        .map(|rule| {
            let words: Vec<String> = words(rule).collect();
            let list = words.join(", ");
            // Each is woken by what all have in common, and one in ten holds.
            let last = if rule % 10 == 0 { "end" } else { "never" };
            format!("{{a|contains|all: [common, {last}], b|re: 'x(?:yz)+{rule}$', c: 1}}, t: {{a|contains: [{list}]}}, u: {{a|contains|all: [common, {last}]}}")
        })
        .collect();
    let files: Vec<RuleFile> = selections
        .iter()
        .enumerate()
        .map(|(number, selection)| RuleFile {
            path: format!("{number}.yml"),
            text: format!(
                "title: t\nid: r{number}\nlogsource: {{product: any}}\ndetection: {{s: {selection}, condition: u and not s and not t}}\n"
            ),
        })
        .collect();
    let sources = LogSources::from_toml(SOURCES).unwrap();
    let (ruleset, report) = Ruleset::compile(&files, dictionary(), &sources);
    assert!(report.refused.is_empty(), "{:?}", report.refused);
    let ruleset = Arc::new(ruleset);
    let read = |bytes: usize| {
        let value = format!("COMMON {} end", "xabsenty".repeat(bytes / 8));
        let batch = batch_of("test", &dictionary(), &[vec![("a", &value)]]);
        let mut engine = Engine::new(ruleset.clone());
        assert_eq!(rows(&mut engine, &batch).len(), RULES / 10);
        assert!(engine.stats().candidates >= RULES as u64 / 10);
        engine.stats().bytes_read as f64 / value.len() as f64
    };
    assert!(read(1 << 20) <= 4.0, "{}", read(1 << 20));
    // The same rules on a value that is not long are asked one by one, with the same answer.
    assert!(read(1 << 10) > 4.0, "{}", read(1 << 10));
}
