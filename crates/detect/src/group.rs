//! Groups: rows alike in what log sources and rules require of event code, channel and type.

use crate::expression::{AtomId, Expression};
use crate::text::fold;
use hashbrown::HashMap;
use std::collections::BTreeSet;

/// A column whose values decide which rules concern a row, and those values.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) column: Box<str>,
    values: HashMap<Box<str>, u16>,
}

/// A value of a gate that no rule asks for, or no value at all.
pub(crate) const OTHER: u16 = 0;

/// The gates of a dataset.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    pub(crate) gates: Vec<Gate>,
}

/// The values of all gates for one row: sixteen bits a gate, the first lowest.
pub(crate) type GateKey = u128;

/// Most gates: log sources' fields and the columns that say what kind of event a row is.
pub(crate) const GATES_MAX: usize = 8;

const _: () = assert!(GATES_MAX * 16 <= GateKey::BITS as usize);

/// Alternatives of conditions, each a list of (gate, values of which one is needed).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Admission {
    alternatives: Vec<Vec<(usize, BTreeSet<u16>)>>,
}

impl Gates {
    /// Adds an alternative to `admission`: each column must have one of its values.
    pub(crate) fn admit<'a>(
        &mut self,
        admission: &mut Admission,
        conditions: impl Iterator<Item = (&'a str, &'a BTreeSet<String>)>,
    ) {
        let conditions = conditions.map(|(column, values)| {
            let gate = self.gate(column);
            let known = &mut self.gates[gate].values;
            let ids = values.iter().map(|value| {
                // More values than a `u16` counts cannot come from rules of limited size that
                // passed the limit on predicates; were there more, they would share the last id
                // and a group would only be larger than it need be.
                let next = u16::try_from(known.len() + 1).unwrap_or(u16::MAX);
                *known.entry(value.as_str().into()).or_insert(next)
            });
            (gate, ids.collect())
        });
        admission.alternatives.push(conditions.collect());
    }

    /// The folded values of `column` of which `admission` needs one; `None` where any will do.
    pub(crate) fn needed(&self, admission: &Admission, column: &str) -> Option<BTreeSet<String>> {
        let number = self.gates.iter().position(|gate| &*gate.column == column)?;
        let known = &self.gates.get(number)?.values;
        let mut needed = BTreeSet::new();
        for conditions in &admission.alternatives {
            let (_, ids) = conditions.iter().find(|(gate, _)| *gate == number)?;
            let texts = known.iter().filter(|(_, id)| ids.contains(id));
            needed.extend(texts.map(|(text, _)| text.to_string()));
        }
        Some(needed)
    }

    fn gate(&mut self, column: &str) -> usize {
        if let Some(gate) = self.gates.iter().position(|gate| &*gate.column == column) {
            return gate;
        }
        self.gates.push(Gate { column: column.into(), values: HashMap::new() });
        self.gates.len() - 1
    }
}

impl Gate {
    /// The id of a value.
    pub(crate) fn value(&self, text: &str) -> u16 {
        self.values.get(fold(text).as_ref()).copied().unwrap_or(OTHER)
    }
}

impl Admission {
    /// Whether rows with these gate values are concerned.
    pub(crate) fn admits(&self, key: GateKey) -> bool {
        let value = |gate: usize| (key >> (16 * gate)) as u16;
        self.alternatives.iter().any(|conditions| {
            conditions.iter().all(|(gate, values)| values.contains(&value(*gate)))
        })
    }
}

/// The folded values of which an event must have one for `expression` to hold, as far as that can
/// be told from atoms for which `equals` names a value.
pub(crate) fn necessary_values(
    expression: &Expression,
    equals: &impl Fn(AtomId) -> Option<String>,
) -> Option<BTreeSet<String>> {
    match expression {
        Expression::Atom(id) => equals(*id).map(|value| [value].into()),
        Expression::Not(_) => None,
        Expression::All(parts) => parts
            .iter()
            .filter_map(|part| necessary_values(part, equals))
            .reduce(|a, b| a.intersection(&b).cloned().collect()),
        Expression::Any(parts) | Expression::AtLeast(_, parts) => {
            let all: Option<Vec<_>> =
                parts.iter().map(|part| necessary_values(part, equals)).collect();
            all.filter(|all| !all.is_empty()).map(|all| all.into_iter().flatten().collect())
        }
    }
}
