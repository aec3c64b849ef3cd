//! Steps upon a parsed rule.

use super::{FieldCondition, Item, Pipeline, RuleCondition, Step};
use crate::expand::PlaceholderLists;
use rsigma_parser::{
    ConditionExpr, Detection, DetectionItem, Detections, LogSource, Modifier, SelectorPattern,
    SigmaRule, SigmaString, SigmaValue, detection_name_matches, fieldpath::unescape_brackets,
};
use std::collections::{BTreeMap, BTreeSet};

/// How selections that a pipeline adds are named.
const ADDED: &str = "_pipeline_";

/// What earlier steps left behind, for one rule.
#[derive(Debug, Default)]
pub(super) struct State {
    applied: BTreeSet<String>,
    values: BTreeMap<String, String>,
}

impl Pipeline {
    /// Adapts `rule`; returns the values that its placeholders get.
    pub(super) fn apply(
        &self,
        rule: &mut SigmaRule,
        state: &mut State,
    ) -> Result<PlaceholderLists, String> {
        let mut lists = PlaceholderLists::default();
        for (number, item) in (1..).zip(&self.items) {
            if !item.rule.hold(|condition| condition.holds(rule, state)) {
                continue;
            }
            state.applied.extend(item.id.clone());
            match &item.step {
                Step::Set { key, value } => {
                    state.values.insert(key.clone(), value.clone());
                }
                Step::Values { include, exclude } => {
                    for (name, values) in &self.vars {
                        let included = include.is_empty() || include.contains(name);
                        if included && !exclude.contains(name) && lists.get(name).is_none() {
                            let given = lists.insert(name, values.clone());
                            given.map_err(|error| error.to_string())?;
                        }
                    }
                }
                Step::Rename(names) => rename(&mut rule.detection, item, names),
                Step::Drop => drop_items(&mut rule.detection, item)?,
                Step::Add { items, negated } => {
                    add(&mut rule.detection, items, *negated, number);
                }
            }
        }
        Ok(lists)
    }
}

impl Item {
    fn concerns(&self, field: &str) -> bool {
        self.field.hold(|condition| match condition {
            FieldCondition::Include(fields) => fields.contains(field),
            FieldCondition::Exclude(fields) => !fields.contains(field),
        })
    }
}

impl RuleCondition {
    fn holds(&self, rule: &SigmaRule, state: &State) -> bool {
        match self {
            RuleCondition::LogSource(wanted) => {
                let LogSource { category, product, service, .. } = &rule.logsource;
                let found = [category, product, service];
                wanted.iter().zip(found).all(|(wanted, found)| {
                    wanted.is_none() || wanted.as_deref() == found.as_deref()
                })
            }
            RuleCondition::Field(name) => {
                rule.detection.named.values().any(|detection| names_field(detection, name))
            }
            RuleCondition::Tag(tag) => rule.tags.contains(tag),
            RuleCondition::Applied(id) => state.applied.contains(id),
            RuleCondition::State { key, value } => state.values.get(key) == Some(value),
        }
    }
}

fn field_of(item: &DetectionItem) -> Option<String> {
    item.field.name.as_deref().map(|name| unescape_brackets(name).into_owned())
}

fn names_field(detection: &Detection, name: &str) -> bool {
    match detection {
        Detection::AllOf(items) => {
            items.iter().any(|item| field_of(item).is_some_and(|field| field == name))
        }
        Detection::AnyOf(parts) | Detection::And(parts) => {
            parts.iter().any(|part| names_field(part, name))
        }
        // Refused later, whatever they name.
        Detection::Keywords(_) | Detection::ArrayMatch { .. } | Detection::Conditional { .. } => {
            false
        }
    }
}

fn rename(detections: &mut Detections, item: &Item, names: &BTreeMap<String, Vec<String>>) {
    for detection in detections.named.values_mut() {
        renamed(detection, item, names);
    }
}

fn renamed(detection: &mut Detection, item: &Item, names: &BTreeMap<String, Vec<String>>) {
    match detection {
        Detection::AnyOf(parts) | Detection::And(parts) => {
            parts.iter_mut().for_each(|part| renamed(part, item, names));
        }
        Detection::AllOf(items) => {
            let mut kept = Vec::new();
            let mut alternatives = Vec::new();
            for found in items.drain(..) {
                let to = field_of(&found)
                    .filter(|field| item.concerns(field))
                    .and_then(|field| names.get(&field));
                let found = refer(found, item, names);
                match to.map(Vec::as_slice) {
                    None => kept.push(found),
                    Some([name]) => kept.push(with_name(&found, name)),
                    Some(to) => alternatives.push(Detection::AnyOf(
                        to.iter().map(|n| Detection::AllOf(vec![with_name(&found, n)])).collect(),
                    )),
                }
            }
            *detection = match (kept.is_empty(), alternatives.len()) {
                (_, 0) => Detection::AllOf(kept),
                (true, _) => Detection::And(alternatives),
                (false, _) => {
                    alternatives.insert(0, Detection::AllOf(kept));
                    Detection::And(alternatives)
                }
            };
        }
        Detection::Keywords(_) | Detection::ArrayMatch { .. } | Detection::Conditional { .. } => {}
    }
}

fn with_name(item: &DetectionItem, name: &str) -> DetectionItem {
    let mut item = item.clone();
    item.field.name = Some(name.to_owned());
    item
}

/// A field that another is compared with has its names too.
fn refer(
    mut found: DetectionItem,
    item: &Item,
    names: &BTreeMap<String, Vec<String>>,
) -> DetectionItem {
    if found.field.has_modifier(Modifier::FieldRef) {
        for value in &mut found.values {
            let SigmaValue::String(text) = &*value else { continue };
            let to = names.get(&text.original).filter(|_| item.concerns(&text.original));
            if let Some([name]) = to.map(Vec::as_slice) {
                *value = SigmaValue::String(SigmaString::from_raw(name));
            }
        }
    }
    found
}

/// What is left of a condition when selections are gone: what asked only for them asks nothing.
fn drop_items(detections: &mut Detections, item: &Item) -> Result<(), String> {
    let dropped = |found: &DetectionItem| field_of(found).is_some_and(|name| item.concerns(&name));
    let mut left = BTreeMap::new();
    for (name, detection) in detections.named.drain() {
        if let Some(detection) = without(detection, &dropped) {
            left.insert(name, detection);
        }
    }
    // With nothing of its own left the rule would hold for whatever a pipeline added.
    let own = left.keys().any(|name| !name.starts_with(ADDED));
    let conditions: Option<Vec<_>> =
        detections.conditions.iter().map(|condition| pruned(condition, &left)).collect();
    detections.conditions =
        conditions.filter(|_| own).ok_or("drop_detection_item leaves nothing of its condition")?;
    detections.named = left.into_iter().collect();
    Ok(())
}

fn without(detection: Detection, dropped: &impl Fn(&DetectionItem) -> bool) -> Option<Detection> {
    let parts = |parts: Vec<Detection>| -> Vec<Detection> {
        parts.into_iter().filter_map(|part| without(part, dropped)).collect()
    };
    match detection {
        // An empty selection is the rule's own fault, and refused as such.
        Detection::AllOf(items) if items.is_empty() => Some(Detection::AllOf(items)),
        Detection::AllOf(items) => {
            let items: Vec<_> = items.into_iter().filter(|item| !dropped(item)).collect();
            (!items.is_empty()).then_some(Detection::AllOf(items))
        }
        Detection::AnyOf(list) => {
            let list = parts(list);
            (!list.is_empty()).then_some(Detection::AnyOf(list))
        }
        Detection::And(list) => {
            let list = parts(list);
            (!list.is_empty()).then_some(Detection::And(list))
        }
        other => Some(other),
    }
}

fn pruned(condition: &ConditionExpr, left: &BTreeMap<String, Detection>) -> Option<ConditionExpr> {
    let each = |parts: &[ConditionExpr]| -> Vec<ConditionExpr> {
        parts.iter().filter_map(|part| pruned(part, left)).collect()
    };
    match condition {
        ConditionExpr::And(parts) => {
            let parts = each(parts);
            (!parts.is_empty()).then_some(ConditionExpr::And(parts))
        }
        ConditionExpr::Or(parts) => {
            let parts = each(parts);
            (!parts.is_empty()).then_some(ConditionExpr::Or(parts))
        }
        ConditionExpr::Not(part) => {
            pruned(part, left).map(|part| ConditionExpr::Not(Box::new(part)))
        }
        ConditionExpr::Identifier(name) => left.contains_key(name).then(|| condition.clone()),
        ConditionExpr::Selector { pattern, .. } => {
            let any = left.keys().any(|name| match pattern {
                SelectorPattern::Them => !name.starts_with('_'),
                SelectorPattern::Pattern(pattern) => detection_name_matches(pattern, name),
            });
            any.then(|| condition.clone())
        }
    }
}

fn add(detections: &mut Detections, items: &[DetectionItem], negated: bool, number: usize) {
    // `them` leaves out names that begin so.
    let mut name = format!("{ADDED}{number}");
    while detections.named.contains_key(&name) {
        name.push('_');
    }
    detections.named.insert(name.clone(), Detection::AllOf(items.to_vec()));
    let holds = ConditionExpr::Identifier(name);
    let holds = if negated { ConditionExpr::Not(Box::new(holds)) } else { holds };
    for condition in &mut detections.conditions {
        *condition = ConditionExpr::And(vec![condition.clone(), holds.clone()]);
    }
}
