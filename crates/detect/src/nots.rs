//! Conditions that say `not` too often. The parser of conditions goes one call deeper with each, so that
//! a text of a few kilobytes would end the process.

use crate::limits::CONDITION_NOTS_MAX;
use serde::Deserialize;
use yaml_serde::Value;

/// Refuses a rule or pipeline in which a condition says `not` more than [`CONDITION_NOTS_MAX`] times.
pub(crate) fn check(text: &str) -> Result<(), String> {
    // Few texts have so many; of those the conditions are looked at as YAML reads them, since an
    // escape may stand for any letter or blank.
    let quoted = text.contains('"');
    let escapes = text.bytes().filter(|byte| quoted && *byte == b'\\').count();
    if nots(text) + escapes <= CONDITION_NOTS_MAX {
        return Ok(());
    }
    for document in yaml_serde::Deserializer::from_str(text) {
        // What is no YAML is reported by the parser.
        let Ok(document) = Value::deserialize(document) else { return Ok(()) };
        if has_too_many(&document, false) {
            return Err(format!("a condition says `not` more than {CONDITION_NOTS_MAX} times"));
        }
    }
    Ok(())
}

/// As a condition reads it: the word ends there.
fn nots(text: &str) -> usize {
    let ends = |rest: &str| {
        let next = rest.bytes().next();
        next.is_none_or(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_'))
    };
    text.match_indices("not")
        .filter(|(at, word)| ends(text.get(at + word.len()..).unwrap_or_default()))
        .count()
}

/// The YAML library bounds how deep values are nested.
fn has_too_many(value: &Value, is_condition: bool) -> bool {
    match value {
        Value::String(text) => is_condition && nots(text) > CONDITION_NOTS_MAX,
        Value::Sequence(values) => values.iter().any(|value| has_too_many(value, is_condition)),
        Value::Mapping(pairs) => pairs.iter().any(|(key, value)| {
            let named = |key: &str| key.ends_with("condition") || key.ends_with("cond_expression");
            has_too_many(value, key.as_str().is_some_and(named))
        }),
        Value::Tagged(tagged) => has_too_many(&tagged.value, is_condition),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(condition: &str) -> String {
        format!("title: x\ndetection:\n  s: {{a: b}}\n  condition: {condition}\n")
    }

    #[test]
    fn as_many_as_the_limit_and_not_one_more() {
        let said = |count: usize| check(&rule(&format!("{}s", "not ".repeat(count))));
        assert_eq!(said(CONDITION_NOTS_MAX), Ok(()));
        assert!(said(CONDITION_NOTS_MAX + 1).unwrap_err().contains("`not`"));
        let many = CONDITION_NOTS_MAX + 1;
        for spelling in ["not\\t", "\\x6eot ", "(not ", "n\\u006ft\\x20"] {
            let text = rule(&format!("\"{}s\"", spelling.repeat(many)));
            assert!(check(&text).is_err(), "{spelling}");
        }
        let list = rule(&format!("[s, \"{}s\"]", "not ".repeat(many)));
        assert!(check(&format!("title: y\n---\n{list}")).is_err());
        // Words for people, and selections whose names begin so.
        let words = format!("title: x\ndescription: {}\n", "not ".repeat(many));
        assert_eq!(check(&words), Ok(()));
        assert_eq!(check(&rule(&format!("{}s", "not_a and ".repeat(many)))), Ok(()));
    }

    /// On a stack as small as that of a thread.
    #[test]
    fn one_rule_that_says_it_thousands_of_times_is_refused_and_the_others_stay() {
        let deep = rule(&format!("{}s", "not ".repeat(16_000)));
        let files = [("deep.yml", deep), ("good.yml", rule("not s"))];
        let files = files.map(|(path, text)| crate::RuleFile {
            path: path.into(),
            text: format!("{text}logsource: {{product: linux}}\n"),
        });
        let sources =
            crate::LogSources::from_toml(include_str!("../../../content/logsources.toml"));
        let dictionary = yagura_normalize::Normalizer::embedded_dictionary();
        let (ruleset, report) = crate::Ruleset::compile(&files, dictionary, &sources.unwrap());
        assert_eq!((report.loaded, report.refused.len()), (1, 1), "{:?}", report.refused);
        assert!(report.refused[0].reason.contains("`not`"));
        assert_eq!(ruleset.rules().len(), 1);
    }
}
