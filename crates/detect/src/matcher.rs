//! Which rules a value awakens: all anchors of one column at once.

use crate::literal::required_literals;
use crate::predicate::{Place, Predicate, Test, Token};
use crate::prefixes::Prefixes;
use crate::substrings::{BYTES_MIN, Stamps, Substrings};
use crate::text::{fold, fold_into};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Finds the rules for which an anchor may hold for a value. It may name a rule too many (the rule
/// is then evaluated in vain), never one too few.
#[derive(Debug, Default)]
pub(crate) struct Matcher {
    /// Folded values and their keys.
    equals: HashMap<Box<str>, u32, RandomState>,
    starts: Prefixes,
    ends: Prefixes,
    contains: Substrings,
    /// Keys of the literals of `starts`, `ends` and `contains`.
    keys: [Vec<u32>; 3],
    /// What has no literal, tested on every value, and its key.
    tests: Vec<(Arc<Test>, u32)>,
    /// Rules of each key, one after another.
    rules: Vec<u32>,
    /// Start of each key's rules, and the end of the last.
    key_starts: Vec<u32>,
}

/// Working memory of matchers, kept from value to value.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    folded: String,
    pub(crate) stamps: Stamps,
}

/// What an anchor looks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Text(Place, String),
    /// By its number.
    Test(usize),
}

impl Matcher {
    /// A matcher of anchors: predicates about values, each with the rules that wait for it.
    pub(crate) fn new(anchors: Vec<(Arc<Test>, Vec<u32>)>) -> Matcher {
        let mut wanted: BTreeMap<Key, Vec<u32>> = BTreeMap::new();
        let mut tests = Vec::new();
        for (test, rules) in anchors {
            for key in keys_of(&test, tests.len()) {
                if let Key::Test(_) = key {
                    tests.push(test.clone());
                }
                wanted.entry(key).or_default().extend(&rules);
            }
        }
        let mut matcher = Matcher { key_starts: vec![0], ..Matcher::default() };
        let mut texts: [Vec<&str>; 3] = Default::default();
        for ((key, rules), number) in wanted.iter().zip(0u32..) {
            match key {
                Key::Test(test) => matcher.tests.push((tests[*test].clone(), number)),
                Key::Text(Place::Equals, text) => {
                    matcher.equals.insert(text.as_str().into(), number);
                }
                Key::Text(place, text) => {
                    let kind = kind(*place);
                    texts[kind].push(text);
                    matcher.keys[kind].push(number);
                }
            }
            let from = matcher.rules.len();
            matcher.rules.extend(rules);
            matcher.rules[from..].sort_unstable();
            // Proof: rules and predicates are limited to fewer than 2^32 together.
            matcher.key_starts.push(u32::try_from(matcher.rules.len()).unwrap_or(u32::MAX));
        }
        matcher.starts = Prefixes::of_starts(&texts[kind(Place::Starts)]);
        matcher.ends = Prefixes::of_ends(&texts[kind(Place::Ends)]);
        matcher.contains = Substrings::new(&texts[kind(Place::Contains)]);
        matcher
    }

    /// Whether no rule waits here.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether looking a value of `bytes` bytes up in a memory is cheaper than matching it.
    pub(crate) fn is_slow(&self, bytes: usize) -> bool {
        /// Windows looked up in the time that one look into a large table takes.
        const LOOKUPS_MIN: usize = 128;
        // An expression goes through the value byte by byte as well, and more slowly.
        self.contains.lookups(bytes) + 2 * bytes * self.tests.len() >= LOOKUPS_MIN
    }

    /// Puts the rules that `value` awakens into `found`, sorted, each once.
    pub(crate) fn awakened(&self, value: &str, scratch: &mut Scratch, found: &mut Vec<u32>) {
        found.clear();
        let Scratch { folded, stamps } = scratch;
        let folded = fold_into(value, folded);
        let mut add = |key: u32| {
            let (from, to) = (self.key_starts[key as usize], self.key_starts[key as usize + 1]);
            found.extend_from_slice(&self.rules[from as usize..to as usize]);
        };
        if !self.equals.is_empty()
            && let Some(key) = self.equals.get(folded)
        {
            add(*key);
        }
        self.starts.find(folded, |number| add(self.keys[kind(Place::Starts)][number]));
        self.ends.find(folded, |number| add(self.keys[kind(Place::Ends)][number]));
        let contains = &self.keys[kind(Place::Contains)];
        self.contains.find(folded, stamps, |number| add(contains[number]));
        for (test, key) in &self.tests {
            if test.holds(value, folded) {
                add(*key);
            }
        }
        found.sort_unstable();
        found.dedup();
    }
}

/// Place of a kind of literals in [`Matcher::keys`].
fn kind(place: Place) -> usize {
    match place {
        Place::Starts => 0,
        Place::Ends => 1,
        Place::Contains | Place::Equals => 2,
    }
}

/// Keys of which one is found in every value that satisfies `test`; `number` is the next test's.
fn keys_of(test: &Test, number: usize) -> Vec<Key> {
    let literals = match &test.predicate {
        Predicate::Text { place, text, .. } => {
            let text = fold(text).into_owned();
            match place {
                Place::Contains => vec![text],
                place => return vec![Key::Text(*place, text)],
            }
        }
        Predicate::Like { tokens, .. } => {
            let literals = tokens.iter().filter_map(|token| match token {
                Token::Literal(text) => Some(fold(text).into_owned()),
                _ => None,
            });
            literals.max_by_key(String::len).into_iter().collect()
        }
        Predicate::Regex(source) => required_literals(source).unwrap_or_default(),
        _ => Vec::new(),
    };
    if literals.is_empty() || literals.iter().any(|literal| literal.len() < BYTES_MIN) {
        return vec![Key::Test(number)];
    }
    literals.into_iter().map(|literal| Key::Text(Place::Contains, literal)).collect()
}
