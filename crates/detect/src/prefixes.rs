//! Which of many literals a text begins with, or ends with.

use std::cmp::Ordering;

/// No literal.
const NONE: u32 = u32::MAX;

/// Literals, sorted; those a text begins with are an ancestor line of the last one not after it.
#[derive(Debug, Default)]
pub(crate) struct Prefixes {
    /// One after another; written backwards if `backwards`.
    bytes: Vec<u8>,
    /// Start of each literal, and the end of the last.
    starts: Vec<u32>,
    /// The longest other literal that each one begins with.
    parents: Vec<u32>,
    /// The number each had when it was given.
    numbers: Vec<u32>,
    backwards: bool,
}

impl Prefixes {
    /// Literals that a text may begin with.
    pub(crate) fn of_starts(literals: &[&str]) -> Prefixes {
        Prefixes::new(literals.iter().map(|text| text.bytes().collect()), false)
    }

    /// Literals that a text may end with.
    pub(crate) fn of_ends(literals: &[&str]) -> Prefixes {
        Prefixes::new(literals.iter().map(|text| text.bytes().rev().collect()), true)
    }

    fn new(literals: impl Iterator<Item = Vec<u8>>, backwards: bool) -> Prefixes {
        let mut sorted: Vec<(Vec<u8>, u32)> = literals.zip(0u32..).collect();
        sorted.sort_unstable();
        let mut prefixes = Prefixes { starts: vec![0], backwards, ..Prefixes::default() };
        let mut line: Vec<u32> = Vec::new();
        for (position, (literal, number)) in (0u32..).zip(&sorted) {
            while let Some(last) = line.last() {
                if literal.starts_with(&sorted[*last as usize].0) {
                    break;
                }
                line.pop();
            }
            prefixes.parents.push(line.last().copied().unwrap_or(NONE));
            line.push(position);
            prefixes.bytes.extend_from_slice(literal);
            // Proof: the text of all rules together is far smaller than 4 GiB.
            prefixes.starts.push(u32::try_from(prefixes.bytes.len()).unwrap_or(u32::MAX));
            prefixes.numbers.push(*number);
        }
        prefixes
    }

    /// Calls `found` for each literal that `text` begins (ends) with.
    pub(crate) fn find(&self, text: &str, mut found: impl FnMut(usize)) {
        if self.numbers.is_empty() {
            return;
        }
        let text = text.as_bytes();
        let (mut low, mut high) = (0, self.numbers.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.compare(self.literal(middle), text) {
                Ordering::Greater => high = middle,
                Ordering::Less | Ordering::Equal => low = middle + 1,
            }
        }
        // The last that is not after the text; whatever the text begins with is it or above it.
        let mut at = match low {
            0 => NONE,
            // Proof: literals are fewer than 2^32.
            low => u32::try_from(low - 1).unwrap_or(NONE),
        };
        while at != NONE && !self.begins(text, self.literal(at as usize)) {
            at = self.parents[at as usize];
        }
        while at != NONE {
            found(self.numbers[at as usize] as usize);
            at = self.parents[at as usize];
        }
    }

    fn literal(&self, position: usize) -> &[u8] {
        &self.bytes[self.starts[position] as usize..self.starts[position + 1] as usize]
    }

    fn compare(&self, literal: &[u8], text: &[u8]) -> Ordering {
        match self.backwards {
            false => literal.cmp(text),
            true => literal.iter().cmp(text.iter().rev()),
        }
    }

    fn begins(&self, text: &[u8], literal: &[u8]) -> bool {
        match self.backwards {
            false => text.starts_with(literal),
            true => {
                text.len() >= literal.len() && text.iter().rev().zip(literal).all(|(a, b)| a == b)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_all_literals_at_an_end(
            literals in prop::collection::btree_set("[abé]{0,5}", 0..30),
            text in "[abé]{0,8}",
        ) {
            let literals: Vec<&str> = literals.iter().map(String::as_str).collect();
            let numbers = |holds: &dyn Fn(&str) -> bool| -> Vec<usize> {
                (0..literals.len()).filter(|n| holds(literals[*n])).collect()
            };
            let found = |prefixes: &Prefixes| -> Vec<usize> {
                let mut found = Vec::new();
                prefixes.find(&text, |number| found.push(number));
                found.sort_unstable();
                found
            };
            prop_assert_eq!(found(&Prefixes::of_starts(&literals)), numbers(&|l| text.starts_with(l)));
            prop_assert_eq!(found(&Prefixes::of_ends(&literals)), numbers(&|l| text.ends_with(l)));
        }
    }
}
