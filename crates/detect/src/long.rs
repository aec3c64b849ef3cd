//! Long values: what all predicates of a column say of one, found in one pass.
//!
//! A predicate that looks for text goes through the value. That is nothing for a command line; but a
//! value of a megabyte that wakes a thousand rules would be gone through ten thousand times. So for
//! a long value all the texts are looked for together first; only an expression or a pattern whose
//! text is there goes through the value by itself, and what came out is remembered until the next
//! value.

use crate::bits::Bits;
use crate::expression::AtomId;
use crate::literal::required_literals;
use crate::predicate::{Place, Predicate, Test, Token};
use crate::substrings::{BYTES_MIN, Stamps, Substrings};
use crate::text::fold;
use std::collections::BTreeMap;
use std::sync::Arc;

/// From here on (bytes) a value is long.
pub(crate) const LONG_VALUE_BYTES: usize = 16 * 1024;

/// The texts that predicates of one column look for.
#[derive(Debug, Default)]
pub(crate) struct LongValues {
    texts: Substrings,
    /// For each text, the predicates that hold only where it is.
    atoms: Vec<Vec<AtomId>>,
    /// Predicates that wait for no text.
    free: Bits,
}

/// What is known of one long value.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The value, by its slot.
    slot: Option<usize>,
    possible: Bits,
    asked: Bits,
    holding: Bits,
}

impl LongValues {
    /// Of predicates about one column's values.
    pub(crate) fn new<'a>(tests: impl Iterator<Item = (AtomId, &'a Arc<Test>)>) -> LongValues {
        let mut wanted: BTreeMap<String, Vec<AtomId>> = BTreeMap::new();
        let mut all = LongValues::default();
        for (atom, test) in tests {
            let texts = texts_of(&test.predicate);
            if texts.is_empty() || texts.iter().any(|text| text.len() < BYTES_MIN) {
                all.free.set(atom);
                continue;
            }
            for text in texts {
                wanted.entry(text).or_default().push(atom);
            }
        }
        let texts: Vec<&str> = wanted.keys().map(String::as_str).collect();
        all.texts = Substrings::new(&texts);
        all.atoms = wanted.into_values().collect();
        all
    }
}

impl Answers {
    /// Whether `atom`, which is `test`, holds for the value in `slot`. The bytes gone through are
    /// added to `bytes_read`.
    pub(crate) fn holds(
        &mut self,
        of: &LongValues,
        (slot, value, folded): (usize, &str, &str),
        (atom, test): (AtomId, &Test),
        stamps: &mut Stamps,
        bytes_read: &mut u64,
    ) -> bool {
        if self.slot != Some(slot) {
            *self = Answers { slot: Some(slot), possible: of.free.clone(), ..Answers::default() };
            let Answers { possible, .. } = self;
            of.texts.find(folded, stamps, |text| {
                of.atoms[text].iter().for_each(|atom| possible.set(*atom));
            });
            *bytes_read += folded.len() as u64;
        }
        if !self.possible.has(atom) {
            return false;
        }
        if !self.asked.has(atom) {
            self.asked.set(atom);
            // A text that is there holds wherever it is.
            let told = matches!(
                &test.predicate,
                Predicate::Text { place: Place::Contains, cased: false, text }
                    if text.len() >= BYTES_MIN
            );
            if !told {
                *bytes_read += test.reads(value);
            }
            if told || test.holds(value, folded) {
                self.holding.set(atom);
            }
        }
        self.holding.has(atom)
    }
}

/// Folded texts of which one is in every value for which `predicate` holds; none where that is not
/// known, or where the predicate looks at an end of the value only.
fn texts_of(predicate: &Predicate) -> Vec<String> {
    match predicate {
        Predicate::Text { place: Place::Contains, text, .. } => vec![fold(text).into_owned()],
        Predicate::Like { tokens, .. } => {
            let literals = tokens.iter().filter_map(|token| match token {
                Token::Literal(text) => Some(fold(text).into_owned()),
                _ => None,
            });
            literals.max_by_key(String::len).into_iter().collect()
        }
        Predicate::Regex(source) => required_literals(source).unwrap_or_default(),
        _ => Vec::new(),
    }
}
