//! Problems that can be seen from a rule's logic alone.

use super::Severity;
use crate::limits::CONDITION_SELECTIONS_MAX;
use rsigma_parser::{
    ConditionExpr, Detections, Quantifier, SelectorPattern, detection_name_matches,
};
use std::collections::BTreeSet;

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
    for (condition, text) in detections.conditions.iter().zip(&detections.condition_strings) {
        let holding = (0..1_usize << asked.len())
            .filter(|chosen| {
                holds(condition, &names, &|name| {
                    asked
                        .iter()
                        .position(|asked| *asked == name)
                        .is_some_and(|at| chosen >> at & 1 == 1)
                })
            })
            .count();
        let at = keys(&[section, "condition"]);
        if holding == 0 {
            let message = format!("the condition can never hold: {text}");
            found.push((at, Severity::Error, "never_holds", message));
        } else if holding == 1 << asked.len() {
            let message = format!("the condition holds for every event: {text}");
            found.push((at, Severity::Error, "always_holds", message));
        }
    }
    found
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

fn holds(condition: &ConditionExpr, names: &[&str], selected: &impl Fn(&str) -> bool) -> bool {
    match condition {
        ConditionExpr::And(parts) => parts.iter().all(|part| holds(part, names, selected)),
        ConditionExpr::Or(parts) => parts.iter().any(|part| holds(part, names, selected)),
        ConditionExpr::Not(part) => !holds(part, names, selected),
        ConditionExpr::Identifier(name) => selected(name),
        ConditionExpr::Selector { quantifier, pattern } => {
            let chosen: Vec<_> = names.iter().filter(|name| chooses(pattern, name)).collect();
            let held = chosen.iter().filter(|name| selected(name)).count();
            match quantifier {
                Quantifier::Any => held > 0,
                Quantifier::All => held == chosen.len(),
                Quantifier::Count(count) => held as u64 >= *count,
            }
        }
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
