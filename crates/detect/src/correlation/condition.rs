//! What a correlation asks of a window.

use rsigma_parser::{ConditionExpr, ConditionOperator, Quantifier, SelectorPattern};

/// A measured value as an exact fraction, so that the order of arrival never changes an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measure {
    pub(crate) numerator: i128,
    /// Above zero.
    pub(crate) denominator: i128,
}

impl Measure {
    pub(crate) fn count(count: usize) -> Measure {
        // Proof: lossless on every machine we run on.
        Measure { numerator: count as i128, denominator: 1 }
    }

    #[expect(clippy::cast_precision_loss, reason = "for people, who do not read 17 digits")]
    pub(crate) fn to_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

/// What is asked of a window's value: all comparisons must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) comparisons: Vec<(ConditionOperator, u64)>,
    /// For temporal types: which rules must have been seen.
    pub(crate) expression: Option<Expr>,
}

impl Condition {
    pub(crate) fn holds(&self, measure: Measure) -> bool {
        self.comparisons.iter().all(|(operator, number)| {
            let right = i128::from(*number) * measure.denominator;
            let left = measure.numerator;
            match operator {
                ConditionOperator::Lt => left < right,
                ConditionOperator::Lte => left <= right,
                ConditionOperator::Gt => left > right,
                ConditionOperator::Gte => left >= right,
                ConditionOperator::Eq => left == right,
                ConditionOperator::Neq => left != right,
            }
        })
    }

    /// Whether it may be judged while events still arrive. Anything with an upper bound or a `not`
    /// is known only when the window is over.
    pub(crate) fn is_rolling(&self) -> bool {
        use ConditionOperator::{Gt, Gte};
        self.comparisons.iter().all(|(operator, _)| matches!(operator, Gt | Gte))
            && self.expression.as_ref().is_none_or(Expr::is_monotone)
    }

    /// As rules write it, such as `gte 5, lt 10`.
    pub(crate) fn words(&self) -> String {
        let word = |operator: &ConditionOperator| match operator {
            ConditionOperator::Lt => "lt",
            ConditionOperator::Lte => "lte",
            ConditionOperator::Gt => "gt",
            ConditionOperator::Gte => "gte",
            ConditionOperator::Eq => "eq",
            ConditionOperator::Neq => "neq",
        };
        let all = self.comparisons.iter();
        all.map(|(operator, number)| format!("{} {number}", word(operator)))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Which of the referenced rules must have been seen in the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    /// A referenced rule, by position.
    Seen(usize),
    AtLeast(usize, Vec<usize>),
}

impl Expr {
    /// From the parser's form; `position` finds a referenced rule by id or name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn compile(parsed: &ConditionExpr, names: &[Vec<String>]) -> Result<Expr, String> {
        let each = |parts: &[ConditionExpr]| -> Result<Vec<Expr>, String> {
            parts.iter().map(|part| Expr::compile(part, names)).collect()
        };
        let position =
            |name: &str| names.iter().position(|of_rule| of_rule.iter().any(|known| known == name));
        Ok(match parsed {
            ConditionExpr::And(parts) => Expr::And(each(parts)?),
            ConditionExpr::Or(parts) => Expr::Or(each(parts)?),
            ConditionExpr::Not(part) => Expr::Not(Box::new(Expr::compile(part, names)?)),
            ConditionExpr::Identifier(name) => Expr::Seen(
                position(name)
                    .ok_or_else(|| format!("condition: {name:?} is not one of its rules"))?,
            ),
            ConditionExpr::Selector { quantifier, pattern } => {
                let chosen: Vec<usize> = (0..names.len())
                    .filter(|rule| {
                        let of_rule = names.get(*rule).map(Vec::as_slice).unwrap_or_default();
                        of_rule.iter().any(|name| chooses(pattern, name))
                    })
                    .collect();
                let wanted = match quantifier {
                    Quantifier::Any => 1,
                    Quantifier::All => chosen.len(),
                    Quantifier::Count(count) => usize::try_from(*count).unwrap_or(usize::MAX),
                };
                if wanted == 0 || wanted > chosen.len() {
                    return Err(format!(
                        "condition: {wanted} of {pattern}, which are {}",
                        chosen.len()
                    ));
                }
                Expr::AtLeast(wanted, chosen)
            }
        })
    }

    pub(crate) fn holds(&self, seen: &dyn Fn(usize) -> bool) -> bool {
        match self {
            Expr::And(parts) => parts.iter().all(|part| part.holds(seen)),
            Expr::Or(parts) => parts.iter().any(|part| part.holds(seen)),
            Expr::Not(part) => !part.holds(seen),
            Expr::Seen(rule) => seen(*rule),
            Expr::AtLeast(wanted, rules) => {
                rules.iter().filter(|rule| seen(**rule)).count() >= *wanted
            }
        }
    }

    fn is_monotone(&self) -> bool {
        match self {
            Expr::And(parts) | Expr::Or(parts) => parts.iter().all(Expr::is_monotone),
            Expr::Not(_) => false,
            Expr::Seen(_) | Expr::AtLeast(..) => true,
        }
    }
}

fn chooses(pattern: &SelectorPattern, name: &str) -> bool {
    let SelectorPattern::Pattern(pattern) = pattern else { return true };
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn ranges_hold_between_their_ends() {
        let range = Condition {
            comparisons: vec![(ConditionOperator::Gt, 2), (ConditionOperator::Lte, 4)],
            expression: None,
        };
        let held: Vec<usize> = (0..7).filter(|n| range.holds(Measure::count(*n))).collect();
        assert_eq!(held, [3, 4]);
        assert!(!range.is_rolling());
        assert_eq!(range.words(), "gt 2, lte 4");
        // 5/2 lies between, exactly.
        assert!(range.holds(Measure { numerator: 5, denominator: 2 }));
        assert!(!range.holds(Measure { numerator: 9, denominator: 2 }));
    }

    #[test]
    fn names_are_chosen_by_pattern() {
        let pattern = |text: &str| SelectorPattern::Pattern(text.to_owned());
        for (text, name, chosen) in [
            ("recon_*", "recon_a", true),
            ("recon_*", "xrecon_a", false),
            ("*_a", "recon_a", true),
            ("r*n*a", "recon_a", true),
            ("recon", "recon_a", false),
            ("recon_a", "recon_a", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(chooses(&pattern(text), name), chosen, "{text} {name}");
        }
        assert!(chooses(&SelectorPattern::Them, "_x"));
    }
}
