//! From a parsed rule to one expression.

use crate::expression::Expression;
use crate::item::RuleAtoms;
use rsigma_parser::{ConditionExpr, Detection, Detections, Quantifier, SelectorPattern};
use std::collections::BTreeMap;

/// Compiles the detection section of a rule. The error is the reason to refuse the rule.
pub(crate) fn compile(
    detections: &Detections,
    atoms: &mut RuleAtoms,
) -> Result<Expression, String> {
    if detections.timeframe.is_some() {
        return Err("timeframe: counting over time needs a correlation rule".into());
    }
    let mut named = BTreeMap::new();
    // In one order, so that the same rules always give the same reasons and statistics.
    for (name, detection) in detections.named.iter().collect::<BTreeMap<_, _>>() {
        if name.is_empty() {
            return Err("a selection without a name, or whose name is not text".into());
        }
        let compiled = selection(detection, atoms).map_err(|reason| format!("{name}: {reason}"))?;
        named.insert(name.as_str(), compiled);
    }
    if detections.conditions.is_empty() {
        return Err("it has no condition".into());
    }
    let conditions: Result<Vec<_>, _> =
        detections.conditions.iter().map(|parsed| condition(parsed, &named)).collect();
    Ok(Expression::any(conditions?))
}

fn selection(detection: &Detection, atoms: &mut RuleAtoms) -> Result<Expression, String> {
    match detection {
        Detection::AllOf(items) if items.is_empty() => Err("an empty mapping".into()),
        Detection::AllOf(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| atoms.item(item)).collect();
            Ok(Expression::all(items?))
        }
        Detection::AnyOf(parts) if parts.is_empty() => Err("an empty list".into()),
        Detection::AnyOf(parts) => {
            let parts: Result<Vec<_>, _> =
                parts.iter().map(|part| selection(part, atoms)).collect();
            Ok(Expression::any(parts?))
        }
        Detection::Keywords(values) => atoms.keywords(values),
        // What pipelines make of a field with several names; the parser makes it of arrays only.
        Detection::And(parts) if !parts.is_empty() => {
            let parts: Result<Vec<_>, _> =
                parts.iter().map(|part| selection(part, atoms)).collect();
            Ok(Expression::all(parts?))
        }
        Detection::ArrayMatch { .. } | Detection::And(_) | Detection::Conditional { .. } => {
            Err("array selectors are not supported".into())
        }
    }
}

fn condition(
    parsed: &ConditionExpr,
    named: &BTreeMap<&str, Expression>,
) -> Result<Expression, String> {
    let each = |parts: &[ConditionExpr]| -> Result<Vec<Expression>, String> {
        parts.iter().map(|part| condition(part, named)).collect()
    };
    Ok(match parsed {
        ConditionExpr::And(parts) => Expression::all(each(parts)?),
        ConditionExpr::Or(parts) => Expression::any(each(parts)?),
        ConditionExpr::Not(part) => Expression::negate(condition(part, named)?),
        ConditionExpr::Identifier(name) => named
            .get(name.as_str())
            .cloned()
            .ok_or_else(|| format!("condition: there is no selection {name:?}"))?,
        ConditionExpr::Selector { quantifier, pattern } => {
            let chosen: Vec<Expression> = named
                .iter()
                .filter(|(name, _)| chooses(pattern, name))
                .map(|(_, expression)| expression.clone())
                .collect();
            if chosen.is_empty() {
                return Err(format!("condition: no selection is one of {pattern}"));
            }
            match quantifier {
                Quantifier::Any => Expression::any(chosen),
                Quantifier::All => Expression::all(chosen),
                Quantifier::Count(count) => match usize::try_from(*count) {
                    Ok(count) if (1..=chosen.len()).contains(&count) => {
                        Expression::AtLeast(count, chosen.into())
                    }
                    _ => {
                        let there = chosen.len();
                        return Err(format!("condition: {count} of {pattern}, which are {there}"));
                    }
                },
            }
        }
    })
}

/// Whether a selection is meant: `them` means all whose name does not begin with `_`.
fn chooses(pattern: &SelectorPattern, name: &str) -> bool {
    match pattern {
        SelectorPattern::Them => !name.starts_with('_'),
        SelectorPattern::Pattern(pattern) => {
            use crate::predicate::{Token, like};
            let mut tokens = Vec::new();
            for (number, text) in pattern.split('*').enumerate() {
                if number > 0 {
                    tokens.push(Token::Many);
                }
                if !text.is_empty() {
                    tokens.push(Token::Literal(text.into()));
                }
            }
            like(&tokens, name)
        }
    }
}
