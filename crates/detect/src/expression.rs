//! A rule's logic over atoms.

/// Number of an atom.
pub(crate) type AtomId = u32;

/// Which atoms must hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    Atom(AtomId),
    Not(Box<Expression>),
    All(Box<[Expression]>),
    Any(Box<[Expression]>),
    AtLeast(usize, Box<[Expression]>),
}

impl Expression {
    /// All of `parts`; a single part stands for itself.
    pub(crate) fn all(parts: Vec<Expression>) -> Expression {
        single(parts, Expression::All)
    }

    /// Any of `parts`; a single part stands for itself.
    pub(crate) fn any(parts: Vec<Expression>) -> Expression {
        single(parts, Expression::Any)
    }

    /// Not `part`.
    pub(crate) fn negate(part: Expression) -> Expression {
        match part {
            Expression::Not(inner) => *inner,
            part => Expression::Not(Box::new(part)),
        }
    }

    /// Whether it holds, given which atoms do.
    pub(crate) fn holds(&self, atom: &mut impl FnMut(AtomId) -> bool) -> bool {
        match self {
            Expression::Atom(id) => atom(*id),
            Expression::Not(part) => !part.holds(atom),
            Expression::All(parts) => parts.iter().all(|part| part.holds(atom)),
            Expression::Any(parts) => parts.iter().any(|part| part.holds(atom)),
            Expression::AtLeast(count, parts) => {
                parts.iter().filter(|part| part.holds(atom)).take(*count).count() == *count
            }
        }
    }

    /// Calls `witness` for the atoms that make it hold; parts that only exclude have none.
    pub(crate) fn witnesses(
        &self,
        atom: &mut impl FnMut(AtomId) -> bool,
        witness: &mut impl FnMut(AtomId),
    ) {
        match self {
            Expression::Atom(id) => witness(*id),
            Expression::Not(_) => {}
            Expression::All(parts) => parts.iter().for_each(|part| part.witnesses(atom, witness)),
            Expression::Any(parts) | Expression::AtLeast(_, parts) => {
                for part in parts {
                    if part.holds(atom) {
                        part.witnesses(atom, witness);
                    }
                }
            }
        }
    }

    /// Calls `visit` for every atom.
    pub(crate) fn each_atom(&self, visit: &mut impl FnMut(AtomId)) {
        match self {
            Expression::Atom(id) => visit(*id),
            Expression::Not(part) => part.each_atom(visit),
            Expression::All(parts) | Expression::Any(parts) | Expression::AtLeast(_, parts) => {
                parts.iter().for_each(|part| part.each_atom(visit));
            }
        }
    }

    /// The same logic over other atoms.
    pub(crate) fn map(&self, atom: &mut impl FnMut(AtomId) -> AtomId) -> Expression {
        match self {
            Expression::Atom(id) => Expression::Atom(atom(*id)),
            Expression::Not(part) => Expression::Not(Box::new(part.map(atom))),
            Expression::All(parts) => {
                Expression::All(parts.iter().map(|part| part.map(atom)).collect())
            }
            Expression::Any(parts) => {
                Expression::Any(parts.iter().map(|part| part.map(atom)).collect())
            }
            Expression::AtLeast(count, parts) => {
                Expression::AtLeast(*count, parts.iter().map(|part| part.map(atom)).collect())
            }
        }
    }
}

fn single(mut parts: Vec<Expression>, many: fn(Box<[Expression]>) -> Expression) -> Expression {
    match parts.len() {
        1 => parts.remove(0),
        _ => many(parts.into()),
    }
}
