//! Renamed copies of rules, with values that do not occur in the events.
//!
//! A copy asks for other values in whatever must hold: every text between wildcards is another text, and
//! so is every word of an expression, since a rule about another program has other words in all places;
//! numbers are far away. What is only excluded (`not filter`) stays,
//! so that nothing matches because an exception is gone. What says which events a rule is about
//! (event codes, channels, providers) stays as well, so that the copies meet the same events: only a
//! rule that asks for nothing else gets other codes.

use rsigma_parser::{ConditionExpr, Quantifier, SelectorPattern};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use yagura_detect::RuleFile;

/// Rules and their copies.
#[derive(Default)]
pub struct Multiplied {
    pub rules: Vec<RuleFile>,
    /// Rules whose copies have other event codes, for they ask for nothing else.
    pub other_codes: usize,
    /// Rules without copies: they have no value to change, so a copy would be the rule itself.
    pub without: usize,
}

/// Names of fields that say what an event is about, not what it says.
const KINDS: [&str; 4] = ["Channel", "Provider_Name", "EventID", "EventType"];

/// The rules and `copies` copies of each.
pub fn multiplied(rules: &[RuleFile], copies: usize) -> Multiplied {
    let mut all = Multiplied { rules: rules.to_vec(), ..Multiplied::default() };
    for file in rules {
        let documents = serde_norway::Deserializer::from_str(&file.text);
        let documents: Vec<Value> =
            documents.map_while(|one| serde::Deserialize::deserialize(one).ok()).collect();
        let [rule] = documents.as_slice() else { continue };
        let Ok(parsed) = rsigma_parser::parse_sigma_yaml(&file.text) else { continue };
        let [parsed] = parsed.rules.as_slice() else { continue };
        let Some(detection) = rule["detection"].as_object() else { continue };
        let conditions = &parsed.detection.conditions;
        let parts = Parts { detection, asked: asked(conditions, detection) };
        let codes = conditions.iter().any(|one| parts.may_hold(one, false));
        if codes && conditions.iter().any(|one| parts.may_hold(one, true)) {
            all.without += 1;
            continue;
        }
        all.other_codes += usize::from(codes);
        for copy in 1..=copies {
            let mut rule = rule.clone();
            let id = rule["id"].as_str().unwrap_or(&file.path).to_owned();
            rule["id"] = format!("{id}-{copy}").into();
            rule["title"] = format!("{} ({copy})", rule["title"].as_str().unwrap_or("?")).into();
            for name in &parts.asked {
                change(name, &mut rule["detection"][name.as_str()], Change { copy, codes });
            }
            all.rules
                .push(RuleFile { path: format!("{copy}/{}", file.path), text: rule.to_string() });
        }
    }
    all
}

#[derive(Clone, Copy)]
struct Change {
    copy: usize,
    /// Whether event codes change, too.
    codes: bool,
}

/// Whether the values of a field can be others; `codes`: even where they say what kind of event.
fn changes(key: &str, codes: bool) -> bool {
    let kept = ["|cidr", "fieldref", "|exists", "|neq"];
    !kept.iter().any(|kept| key.contains(kept))
        && (codes || !KINDS.iter().any(|kind| key.contains(kind)))
}

fn change(key: &str, value: &mut Value, how: Change) {
    let Change { copy, codes } = how;
    match value {
        Value::Array(list) => list.iter_mut().for_each(|one| change(key, one, how)),
        Value::Object(map) => map.iter_mut().for_each(|(key, one)| change(key, one, how)),
        _ if !changes(key, codes) => {}
        Value::String(text) if key.contains("|re") => {
            *text = format!("(?:{})q{copy}", other_words(text, copy));
        }
        Value::String(text) => *text = other_text(text, copy),
        Value::Number(number) => {
            let far = 1_000_003 * copy as i64;
            let below = key.contains("|lt");
            let number = number.as_i64().unwrap_or_default();
            *value = if below { -far - number } else { number + far }.into();
        }
        Value::Bool(_) => *value = format!("{value}{copy}").into(),
        Value::Null => {}
    }
}

fn tag(copy: usize) -> String {
    format!("{}{copy}", char::from(b'a' + (copy % 26) as u8))
}

/// Every piece between wildcards as another piece: with a tag after its last letter or digit, so that
/// prefixes, suffixes and wildcards keep their sense.
fn other_text(text: &str, copy: usize) -> String {
    let mut other = String::new();
    for piece in text.split_inclusive(['*', '?']) {
        let last = piece.char_indices().rfind(|(_, c)| c.is_alphanumeric());
        match last {
            Some((at, c)) => {
                let (before, after) = piece.split_at(at + c.len_utf8());
                other.extend([before, &tag(copy), after]);
            }
            None => other.push_str(piece),
        }
    }
    if other == text { format!("{}{text}", tag(copy)) } else { other }
}

/// Every word of an expression as another word, where it stands for itself: not in classes, escapes,
/// counts or flags.
fn other_words(source: &str, copy: usize) -> String {
    const LETTERS_MIN: usize = 3;
    let mut other = String::new();
    let (mut word, mut inside, mut before) = (0, 0, ' ');
    for c in source.chars() {
        let is_letter = c.is_ascii_alphabetic() && inside == 0 && !matches!(before, '\\' | '?');
        if !is_letter && word >= LETTERS_MIN {
            other.push_str(&tag(copy));
        }
        word = if is_letter { word + 1 } else { 0 };
        if before != '\\' {
            match c {
                '[' | '{' => inside += 1,
                ']' | '}' if inside > 0 => inside -= 1,
                _ => {}
            }
        }
        other.push(c);
        before = if before == '\\' { ' ' } else { c };
    }
    if word >= LETTERS_MIN {
        other.push_str(&tag(copy));
    }
    other
}

/// The parts that must hold for a condition to hold: all but those that are only excluded.
fn asked(conditions: &[ConditionExpr], detection: &Map<String, Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<(&ConditionExpr, bool)> = conditions.iter().map(|one| (one, true)).collect();
    while let Some((condition, wanted)) = open.pop() {
        match condition {
            ConditionExpr::And(parts) | ConditionExpr::Or(parts) => {
                open.extend(parts.iter().map(|part| (part, wanted)));
            }
            ConditionExpr::Not(part) => open.push((part, !wanted)),
            ConditionExpr::Identifier(name) if wanted => {
                found.insert(name.clone());
            }
            ConditionExpr::Selector { pattern, .. } if wanted => {
                found.extend(selected(pattern, detection).map(|(name, _)| name.clone()));
            }
            _ => {}
        }
    }
    found
}

fn selected<'a>(
    pattern: &'a SelectorPattern,
    detection: &'a Map<String, Value>,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    detection.iter().filter(move |(name, _)| match pattern {
        _ if *name == "condition" || *name == "timeframe" => false,
        SelectorPattern::Them => !name.starts_with('_'),
        SelectorPattern::Pattern(pattern) => match pattern.split_once('*') {
            Some((start, end)) => name.starts_with(start) && name.ends_with(end),
            None => *name == pattern,
        },
    })
}

/// What a copy's parts may still do when no changed value occurs.
struct Parts<'a> {
    detection: &'a Map<String, Value>,
    asked: BTreeSet<String>,
}

impl Parts<'_> {
    fn may_hold(&self, condition: &ConditionExpr, codes: bool) -> bool {
        match condition {
            ConditionExpr::And(parts) => parts.iter().all(|part| self.may_hold(part, codes)),
            ConditionExpr::Or(parts) => parts.iter().any(|part| self.may_hold(part, codes)),
            ConditionExpr::Not(_) => true,
            ConditionExpr::Identifier(name) => {
                self.detection.get(name).is_some_and(|part| part_may_hold(name, part, codes))
            }
            ConditionExpr::Selector { quantifier, pattern } => {
                let chosen: Vec<bool> = selected(pattern, self.detection)
                    .map(|(name, part)| part_may_hold(name, part, codes))
                    .collect();
                let holding = chosen.iter().filter(|may| **may).count();
                match quantifier {
                    Quantifier::Any => holding > 0,
                    Quantifier::All => holding == chosen.len(),
                    Quantifier::Count(count) => holding as u64 >= *count,
                }
            }
        }
    }
}

fn part_may_hold(key: &str, part: &Value, codes: bool) -> bool {
    match part {
        Value::Array(list) if key.contains("|all") => {
            list.iter().all(|one| part_may_hold(key, one, codes))
        }
        Value::Array(list) => list.iter().any(|one| part_may_hold(key, one, codes)),
        Value::Object(map) => map.iter().all(|(key, one)| part_may_hold(key, one, codes)),
        Value::Null => true,
        _ => !changes(key, codes),
    }
}
