//! Problems that can be seen from a rule's logic alone.

use super::Severity;
use crate::limits::CONDITION_SELECTIONS_MAX;
use rsigma_parser::{
    ConditionExpr, Detections, Quantifier, SelectorPattern, detection_name_matches,
};
use std::collections::{BTreeMap, BTreeSet};

/// Where (keys that lead there), how bad, which kind, and in words.
pub(super) type Found = (Vec<String>, Severity, &'static str, String);

/// The problems of one document, which holds one rule.
pub(super) fn problems(text: &str) -> Vec<Found> {
    let Ok(collection) = rsigma_parser::parse_sigma_yaml(text) else { return Vec::new() };
    let mut found = Vec::new();
    for rule in &collection.rules {
        if rule.id.is_none() {
            let message = "it has no id: alerts, filters and exceptions could not name it for long";
            found.push((keys(&["title"]), Severity::Warning, "missing_id", message.to_owned()));
        }
        found.extend(detection("detection", &rule.detection));
        found.extend(rule.tags.iter().filter_map(|tag| attack_tag(tag)));
    }
    for filter in &collection.filters {
        if filter.id.is_none() {
            let message = "the filter has no id";
            found.push((keys(&["title"]), Severity::Hint, "missing_id", message.to_owned()));
        }
        found.extend(detection("filter", &filter.detection));
    }
    for correlation in &collection.correlations {
        if correlation.id.is_none() {
            let message = "it has no id: alerts, filters and exceptions could not name it for long";
            found.push((keys(&["title"]), Severity::Warning, "missing_id", message.to_owned()));
        }
        found.extend(correlation.tags.iter().filter_map(|tag| attack_tag(tag)));
    }
    found
}

fn keys(path: &[&str]) -> Vec<String> {
    path.iter().map(|key| (*key).to_owned()).collect()
}

fn detection(section: &str, detections: &Detections) -> Vec<Found> {
    let mut found = Vec::new();
    let names: Vec<&str> = {
        let sorted: BTreeSet<&str> = detections.named.keys().map(String::as_str).collect();
        sorted.into_iter().collect()
    };
    let mut used = BTreeSet::new();
    detections.conditions.iter().for_each(|condition| uses(condition, &names, &mut used));
    for name in names.iter().filter(|name| !used.contains(*name)) {
        let message = format!("the condition never asks for the selection {name}");
        found.push((keys(&[section, name]), Severity::Warning, "unused_selection", message));
    }
    // An unknown name is refused; of too many, nothing is said.
    let asked: Vec<&str> = names.iter().copied().filter(|name| used.contains(name)).collect();
    if asked.is_empty() || asked.len() > CONDITION_SELECTIONS_MAX {
        return found;
    }
    let mut truth = Truth::new(asked);
    for (condition, text) in detections.conditions.iter().zip(&detections.condition_strings) {
        let holding = truth.of(condition);
        let at = keys(&[section, "condition"]);
        if truth.is_never(&holding) {
            let message = format!("the condition can never hold: {}", shortened(text));
            found.push((at, Severity::Error, "never_holds", message));
        } else if truth.is_always(&holding) {
            let message = format!("the condition holds for every event: {}", shortened(text));
            found.push((at, Severity::Error, "always_holds", message));
        }
    }
    found
}

/// Characters of a condition that are quoted.
const QUOTED_CHARS_MAX: usize = 200;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn uses<'a>(condition: &ConditionExpr, names: &[&'a str], used: &mut BTreeSet<&'a str>) {
    match condition {
        ConditionExpr::And(parts) | ConditionExpr::Or(parts) => {
            parts.iter().for_each(|part| uses(part, names, used));
        }
        ConditionExpr::Not(part) => uses(part, names, used),
        ConditionExpr::Identifier(wanted) => {
            used.extend(names.iter().filter(|name| *name == wanted));
        }
        ConditionExpr::Selector { pattern, .. } => {
            used.extend(names.iter().filter(|name| chooses(pattern, name)));
        }
    }
}

fn chooses(pattern: &SelectorPattern, name: &str) -> bool {
    match pattern {
        SelectorPattern::Them => !name.starts_with('_'),
        SelectorPattern::Pattern(pattern) => detection_name_matches(pattern, name),
    }
}

/// In which of all combinations of selections something holds, one bit each: so that a condition is
/// gone through once, and not once for every combination.
type Bits = Vec<u64>;

struct Truth<'a> {
    /// At most [`CONDITION_SELECTIONS_MAX`]; the selection of number n holds in the combinations whose
    /// number has bit n.
    names: Vec<&'a str>,
    selectors: BTreeMap<String, Bits>,
}

impl<'a> Truth<'a> {
    fn new(names: Vec<&'a str>) -> Self {
        Truth { names, selectors: BTreeMap::new() }
    }

    fn combinations(&self) -> usize {
        1 << self.names.len()
    }

    /// The combinations for which `holds` says so.
    fn where_holds(&self, holds: impl Fn(usize) -> bool) -> Bits {
        let mut bits = vec![0; self.combinations().div_ceil(64)];
        for combination in (0..self.combinations()).filter(|combination| holds(*combination)) {
            if let Some(word) = bits.get_mut(combination / 64) {
                *word |= 1 << (combination % 64);
            }
        }
        bits
    }

    fn of(&mut self, condition: &ConditionExpr) -> Bits {
        match condition {
            ConditionExpr::And(parts) => self.joined(parts, true),
            ConditionExpr::Or(parts) => self.joined(parts, false),
            ConditionExpr::Not(part) => self.of(part).into_iter().map(|word| !word).collect(),
            ConditionExpr::Identifier(name) => {
                self.selector(name.clone(), |other| other == name, |held, _| held > 0)
            }
            ConditionExpr::Selector { quantifier, pattern } => {
                let key = format!("{quantifier:?} of {pattern}");
                self.selector(
                    key,
                    |name| chooses(pattern, name),
                    |held, chosen| match quantifier {
                        Quantifier::Any => held > 0,
                        Quantifier::All => held == chosen,
                        Quantifier::Count(count) => u64::from(held) >= *count,
                    },
                )
            }
        }
    }

    fn joined(&mut self, parts: &[ConditionExpr], all: bool) -> Bits {
        let none = if all { u64::MAX } else { 0 };
        let mut bits = vec![none; self.combinations().div_ceil(64)];
        for part in parts {
            let part = self.of(part);
            let pairs = bits.iter_mut().zip(part);
            pairs.for_each(|(word, other)| if all { *word &= other } else { *word |= other });
        }
        bits
    }

    /// Where `holds` of how many of the chosen selections hold, and how many are chosen.
    fn selector(
        &mut self,
        key: String,
        chooses: impl Fn(&str) -> bool,
        holds: impl Fn(u32, u32) -> bool,
    ) -> Bits {
        if let Some(known) = self.selectors.get(&key) {
            return known.clone();
        }
        let chosen = self.names.iter().enumerate().filter(|(_, name)| chooses(name));
        let chosen = chosen.fold(0_usize, |mask, (number, _)| mask | 1 << number);
        let bits = self.where_holds(|combination| {
            holds((combination & chosen).count_ones(), chosen.count_ones())
        });
        self.selectors.insert(key, bits.clone());
        bits
    }

    fn is_never(&self, bits: &Bits) -> bool {
        let all = self.where_holds(|_| true);
        bits.iter().zip(all).all(|(word, all)| word & all == 0)
    }

    fn is_always(&self, bits: &Bits) -> bool {
        let all = self.where_holds(|_| true);
        bits.iter().zip(all).all(|(word, all)| word & all == all)
    }
}

/// Only the form of a tag is looked at: techniques come and go with each version of ATT&CK.
fn attack_tag(tag: &str) -> Option<Found> {
    let name = tag.strip_prefix("attack.")?;
    let digits = |text: &str, count: usize| {
        text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let technique = |rest: &str| match rest.split_once('.') {
        Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
        None => digits(rest, 4),
    };
    let numbered = |letters: &str| {
        let rest = name.strip_prefix(letters)?;
        rest.starts_with(|c: char| c.is_ascii_digit()).then_some(rest)
    };
    let well_formed = if let Some(rest) = numbered("t") {
        technique(rest)
    } else if let Some(rest) =
        ["ta", "g", "s", "c", "m", "ds"].iter().find_map(|letters| numbered(letters))
    {
        digits(rest, 4)
    } else {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
    };
    (!well_formed).then(|| {
        let message = format!(
            "{tag} is no tag of ATT&CK: write attack.t1059, attack.t1059.001 or attack.initial-access"
        );
        (keys(&["tags", tag]), Severity::Warning, "bad_attack_tag", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(detection: &str) -> Vec<&'static str> {
        let text = format!(
            "title: t\nid: x\nlogsource: {{product: any}}\ndetection:\n  a: {{x: 1}}\n  b: {{x: 2}}\n  {detection}\n"
        );
        problems(&text).into_iter().map(|(.., code, _)| code).collect()
    }

    #[test]
    fn conditions_that_cannot_hold_or_cannot_fail_are_named() {
        assert_eq!(codes("condition: a and b"), [""; 0]);
        assert_eq!(codes("condition: 1 of them and not 1 of them"), ["never_holds"]);
        assert_eq!(codes("condition: a and b and not a"), ["never_holds"]);
        assert_eq!(codes("condition: a or b or not a"), ["always_holds"]);
        assert_eq!(codes("condition: all of them and not 1 of b"), ["never_holds"]);
        assert_eq!(codes("condition: a"), ["unused_selection"]);
        assert_eq!(codes("condition: [a, b]"), [""; 0]);
        assert_eq!(codes("condition: 2 of them and not all of them"), ["never_holds"]);
        assert_eq!(codes("condition: 2 of them or not a or not b"), ["always_holds"]);
    }

    #[test]
    fn a_long_condition_is_gone_through_once() {
        let most = CONDITION_SELECTIONS_MAX;
        let named: String = (0..most).map(|n| format!("  s{n}: {{x: {n}}}\n")).collect();
        let rule = |condition: &str| {
            format!(
                "title: t\nid: x\nlogsource: {{product: any}}\ndetection:\n{named}  condition: {condition}\n"
            )
        };
        // 64 KiB in which every combination has to be looked at.
        let part: String = (0..most).map(|n| format!("(s0 and s{n}) or ")).collect();
        let long = format!("{}s0", part.repeat(30_000 / part.len()));
        let said = problems(&rule(&format!("({long}) and not ({long})")));
        assert_eq!(said.iter().map(|(.., code, _)| *code).collect::<Vec<_>>(), ["never_holds"]);
        assert!(said[0].3.chars().count() < 300, "{}", said[0].3);
        assert_eq!(problems(&rule(&long)).len(), 0);
        let selectors = "2 of s* or ".repeat(3_000);
        assert_eq!(problems(&rule(&format!("{selectors} s0"))).len(), 0);
    }

    #[test]
    fn conditions_of_too_many_selections_are_left_alone() {
        let text = |count: usize| {
            let named: String = (0..count).map(|n| format!("  s{n}: {{x: {n}}}\n")).collect();
            format!(
                "title: t\nid: x\nlogsource: {{product: any}}\ndetection:\n{named}  condition: all of s* and not s0\n"
            )
        };
        assert_eq!(problems(&text(CONDITION_SELECTIONS_MAX)).len(), 1);
        assert_eq!(problems(&text(CONDITION_SELECTIONS_MAX + 1)).len(), 0);
    }

    #[test]
    fn tags_of_attack_have_a_form() {
        for good in [
            "attack.t1059",
            "attack.t1059.001",
            "attack.initial-access",
            "attack.g0016",
            "attack.stealth",
            "cve.2024-1",
        ] {
            assert_eq!(attack_tag(good), None, "{good}");
        }
        for bad in
            ["attack.t105", "attack.t1059.1", "attack.initial_access", "attack.T1059", "attack."]
        {
            assert!(attack_tag(bad).is_some(), "{bad}");
        }
    }
}
