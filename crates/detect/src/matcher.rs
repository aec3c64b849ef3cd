//! All value predicates of one column at once.

use crate::expression::AtomId;
use crate::literal::required_literals;
use crate::predicate::{Place, Predicate, Test, Token};
use crate::text::{fold, fold_into};
use aho_corasick::AhoCorasick;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::Arc;

/// Finds which atoms hold for a value.
#[derive(Debug, Default)]
pub(crate) struct Matcher {
    equals: HashMap<Box<str>, AtomId, RandomState>,
    equals_cased: HashMap<Box<str>, AtomId, RandomState>,
    automaton: Option<AhoCorasick>,
    /// What it means that a literal of the automaton occurs.
    uses: Vec<Vec<Use>>,
    /// Atoms to be tested themselves once one of their literals occurs.
    tests: Vec<(AtomId, Arc<Test>)>,
    /// Atoms that have no literal, tested on every value.
    always: Vec<(AtomId, Arc<Test>)>,
}

/// Meaning of an occurrence.
#[derive(Debug, Clone, Copy)]
enum Use {
    At(Place, AtomId),
    Test(u32),
}

/// Working memory of a matcher, kept from value to value.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    folded: String,
    /// When each literal's uses were last gone through without need to again.
    stamps: Vec<u32>,
    epoch: u32,
}

impl Matcher {
    /// A matcher of `atoms`, which are about values and not only about existence.
    pub(crate) fn new(atoms: Vec<(AtomId, Arc<Test>)>) -> Matcher {
        let mut matcher = Matcher::default();
        let mut literals: HashMap<String, Vec<Use>> = HashMap::new();
        for (atom, test) in atoms {
            match &test.predicate {
                Predicate::Text { place: Place::Equals, text, cased } => {
                    let table =
                        if *cased { &mut matcher.equals_cased } else { &mut matcher.equals };
                    table.insert(text.clone(), atom);
                    continue;
                }
                Predicate::Text { place, text, cased: false } => {
                    literals.entry(text.to_string()).or_default().push(Use::At(*place, atom));
                    continue;
                }
                _ => {}
            }
            match required(&test.predicate) {
                None => matcher.always.push((atom, test)),
                Some(required) => {
                    // Proof: predicates are fewer than 2^32.
                    let number = u32::try_from(matcher.tests.len()).unwrap_or(u32::MAX);
                    matcher.tests.push((atom, test));
                    for literal in required {
                        literals.entry(literal).or_default().push(Use::Test(number));
                    }
                }
            }
        }
        matcher.index(literals);
        matcher
    }

    fn index(&mut self, literals: HashMap<String, Vec<Use>>) {
        if literals.is_empty() {
            return;
        }
        let (texts, uses): (Vec<_>, Vec<_>) = literals.into_iter().unzip();
        self.automaton = AhoCorasick::new(&texts).ok();
        if self.automaton.is_some() {
            self.uses = uses;
        } else {
            // Too much for one automaton: slower, with the same answers.
            self.test_everything(&texts, uses);
        }
    }

    fn test_everything(&mut self, texts: &[String], uses: Vec<Vec<Use>>) {
        for (text, uses) in texts.iter().zip(uses) {
            for r#use in uses {
                if let Use::At(place, atom) = r#use {
                    let text = text.as_str().into();
                    let predicate = Predicate::Text { place, text, cased: false };
                    if let Ok(test) = Test::new(predicate) {
                        self.always.push((atom, Arc::new(test)));
                    }
                }
            }
        }
        self.always.append(&mut self.tests);
    }

    /// Whether there is nothing to find.
    pub(crate) fn is_empty(&self) -> bool {
        self.equals.is_empty()
            && self.equals_cased.is_empty()
            && self.automaton.is_none()
            && self.always.is_empty()
    }

    /// Puts the atoms that hold for `value` into `found`, sorted, each once.
    pub(crate) fn evaluate(&self, value: &str, scratch: &mut Scratch, found: &mut Vec<AtomId>) {
        found.clear();
        let Scratch { folded, stamps, epoch } = scratch;
        let folded = fold_into(value, folded);
        found.extend(self.equals.get(folded));
        found.extend(self.equals_cased.get(value));
        if let Some(automaton) = &self.automaton {
            *epoch = epoch.wrapping_add(1);
            if *epoch == 0 {
                stamps.clear();
                *epoch = 1;
            }
            if stamps.len() < self.uses.len() {
                stamps.resize(self.uses.len(), 0);
            }
            for hit in automaton.find_overlapping_iter(folded) {
                let literal = hit.pattern().as_usize();
                let again = stamps[literal] == *epoch;
                stamps[literal] = *epoch;
                self.occurrence(literal, again, hit.start()..hit.end(), (value, folded), found);
            }
        }
        let always = self.always.iter().filter(|(_, test)| test.holds(value, folded));
        found.extend(always.map(|(atom, _)| *atom));
        found.sort_unstable();
        found.dedup();
    }

    fn occurrence(
        &self,
        literal: usize,
        again: bool,
        place: std::ops::Range<usize>,
        (value, folded): (&str, &str),
        found: &mut Vec<AtomId>,
    ) {
        for r#use in &self.uses[literal] {
            match *r#use {
                Use::At(Place::Starts, atom) if place.start == 0 => found.push(atom),
                Use::At(Place::Ends, atom) if place.end == folded.len() => found.push(atom),
                Use::At(Place::Contains, atom) if !again => found.push(atom),
                Use::Test(number) if !again => {
                    let (atom, test) = &self.tests[number as usize];
                    if test.holds(value, folded) {
                        found.push(*atom);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Folded literals of which one occurs in every value that satisfies `predicate`.
fn required(predicate: &Predicate) -> Option<Vec<String>> {
    match predicate {
        Predicate::Text { text, .. } => Some(vec![fold(text).into_owned()]),
        Predicate::Like { tokens, .. } => {
            let literals = tokens.iter().filter_map(|token| match token {
                Token::Literal(text) => Some(fold(text).into_owned()),
                _ => None,
            });
            literals.max_by_key(String::len).map(|literal| vec![literal])
        }
        Predicate::Regex(source) => required_literals(source),
        _ => None,
    }
}
