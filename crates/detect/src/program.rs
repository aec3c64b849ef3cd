//! A rule's logic as a list of questions about atoms: the cheapest and the most telling come first,
//! and each answer says what is asked next.

use crate::expression::{AtomId, Expression};

/// What a rule asks, one atom after the other, and where each answer leads.
#[derive(Debug)]
pub(crate) struct Program {
    steps: Box<[Step]>,
    entry: u32,
}

/// One question. An answer leads to a step, to [`YES`] or to [`NO`].
#[derive(Debug, Clone, Copy)]
struct Step {
    atom: AtomId,
    yes: u32,
    no: u32,
}

const YES: u32 = u32::MAX;
const NO: u32 = u32::MAX - 1;

/// What it costs to ask, and how likely the answer is yes. Only the order depends on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Guess {
    pub(crate) cost: f32,
    /// From 0 to 1.
    pub(crate) likely: f32,
}

/// An expression, its parts in the order in which they are best asked.
struct Node<'a> {
    guess: Guess,
    expression: &'a Expression,
    parts: Vec<Node<'a>>,
}

impl Program {
    /// Of `expression`, whose atoms are guessed by `guess`. `None` for one that counts its parts: such
    /// rules are few, and are followed as they are written.
    pub(crate) fn new(
        expression: &Expression,
        guess: &impl Fn(AtomId) -> Guess,
    ) -> Option<Program> {
        let mut steps = Vec::new();
        let entry = add(&Node::new(expression, guess)?, (YES, NO), &mut steps)?;
        Some(Program { steps: steps.into(), entry })
    }

    /// Whether the expression holds, given which atoms do.
    #[inline]
    pub(crate) fn holds(&self, mut atom: impl FnMut(AtomId) -> bool) -> bool {
        let mut next = self.entry;
        // Every step leads to one that was added before it, so this ends.
        while let Some(step) = self.steps.get(next as usize) {
            next = if atom(step.atom) { step.yes } else { step.no };
        }
        next == YES
    }
}

impl<'a> Node<'a> {
    fn new(expression: &'a Expression, guess: &impl Fn(AtomId) -> Guess) -> Option<Node<'a>> {
        let parts = match expression {
            Expression::Atom(_) => &[],
            Expression::Not(part) => std::slice::from_ref(&**part),
            Expression::All(parts) | Expression::Any(parts) => parts,
            Expression::AtLeast(..) => return None,
        };
        let parts: Option<Vec<Node>> = parts.iter().map(|part| Node::new(part, guess)).collect();
        let mut parts = parts?;
        let guess = match expression {
            Expression::Atom(id) => guess(*id),
            Expression::Not(_) => {
                let of = parts.first()?.guess;
                Guess { likely: 1.0 - of.likely, ..of }
            }
            // Whoever asks for all ends at the first no, and whoever asks for any at the first yes.
            Expression::All(_) => in_order(&mut parts, |guess| 1.0 - guess.likely, true),
            _ => in_order(&mut parts, |guess| guess.likely, false),
        };
        Some(Node { guess, expression, parts })
    }
}

/// Sorts `parts`, asked until one ends it, which is so likely as `ends` says, and guesses the whole,
/// which is `otherwise` when none does.
fn in_order(parts: &mut [Node], ends: impl Fn(Guess) -> f32, otherwise: bool) -> Guess {
    /// Nothing is certain.
    const LEAST: f32 = 0.001;
    let rank = |node: &Node| node.guess.cost / ends(node.guess).max(LEAST);
    parts.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
    let (mut cost, mut asked) = (0.0, 1.0);
    for (part, number) in parts.iter().zip(1_u16..) {
        cost += asked * part.guess.cost;
        // The parts of one rule are about one thing: where one says nothing, the next seldom does.
        asked *= 1.0 - ends(part.guess) / f32::from(number);
    }
    Guess { cost, likely: if otherwise { asked } else { 1.0 - asked } }
}

/// Adds what `node` asks behind what comes after it, whose places are therefore known: where its
/// answers lead. Where it begins.
fn add(node: &Node, (yes, no): (u32, u32), steps: &mut Vec<Step>) -> Option<u32> {
    match node.expression {
        Expression::Atom(id) => {
            // Proof: predicates of a rule are limited to far fewer.
            let number = u32::try_from(steps.len()).ok().filter(|number| *number < NO)?;
            steps.push(Step { atom: *id, yes, no });
            Some(number)
        }
        Expression::Not(_) => add(node.parts.first()?, (no, yes), steps),
        Expression::All(_) => {
            let parts = node.parts.iter().rev();
            parts.into_iter().try_fold(yes, |entry, part| add(part, (entry, no), steps))
        }
        Expression::Any(_) => {
            let parts = node.parts.iter().rev();
            parts.into_iter().try_fold(no, |entry, part| add(part, (yes, entry), steps))
        }
        Expression::AtLeast(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expression() -> impl Strategy<Value = Expression> {
        let atom = (0_u32..6).prop_map(Expression::Atom);
        atom.prop_recursive(4, 24, 4, |part| {
            let parts = || prop::collection::vec(part.clone(), 0..4);
            prop_oneof![
                part.clone().prop_map(|part| Expression::Not(Box::new(part))),
                parts().prop_map(|parts| Expression::All(parts.into())),
                parts().prop_map(|parts| Expression::Any(parts.into())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_answers_as_the_expression_whatever_is_guessed(
            expression in expression(),
            guesses in prop::collection::vec((0.0_f32..100.0, 0.0_f32..=1.0), 6),
        ) {
            let guess = |atom: AtomId| {
                let (cost, likely) = guesses[atom as usize];
                Guess { cost, likely }
            };
            let program = Program::new(&expression, &guess).unwrap();
            for world in 0_u32..64 {
                let holds = |atom: AtomId| world >> atom & 1 == 1;
                prop_assert_eq!(program.holds(holds), expression.holds(&mut { holds }));
            }
        }
    }

    #[test]
    fn the_cheap_and_telling_is_asked_first() {
        let any = Expression::any(vec![Expression::Atom(1), Expression::Atom(2)]);
        let not = Expression::negate(Expression::Atom(3));
        let rule = Expression::all(vec![Expression::Atom(0), any, not]);
        let guess = |atom: AtomId| match atom {
            0 => Guess { cost: 10.0, likely: 0.1 },
            1 => Guess { cost: 2.0, likely: 0.1 },
            2 => Guess { cost: 2.0, likely: 0.9 },
            _ => Guess { cost: 1.0, likely: 0.99 },
        };
        let program = Program::new(&rule, &guess).unwrap();
        let asked = |yes: &[AtomId]| {
            let mut asked = Vec::new();
            program.holds(|atom| {
                asked.push(atom);
                yes.contains(&atom)
            });
            asked
        };
        assert_eq!(asked(&[3]), [3]);
        assert_eq!(asked(&[]), [3, 0]);
        assert_eq!(asked(&[0]), [3, 0, 2, 1]);
        assert_eq!(asked(&[0, 2]), [3, 0, 2]);
        assert!(Program::new(&Expression::AtLeast(1, [rule].into()), &guess).is_none());
    }
}
