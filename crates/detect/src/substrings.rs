//! Which of many literals occur in a text, at a cost that hardly depends on how many there are.
//!
//! Of each literal a *window* of four bytes (three, two) is chosen, the rarest. A text is gone
//! through once; each of its windows is looked up in a bitmap that fits the processor's cache, and
//! only where a bit is set are the literals with that window compared. An automaton would read its
//! next state from memory at every byte instead.
//!
//! Where all literals are long, a text is gone through in larger steps: of a literal of eleven
//! bytes eight neighbouring windows are kept, and one of them is met whatever the text begins with.

use crate::anchor::COMMON;
use std::collections::HashSet;
use std::sync::OnceLock;

/// Shortest literal, in bytes.
pub(crate) const BYTES_MIN: usize = 2;

/// Literals to be found, numbered in the order they were given.
#[derive(Debug, Default)]
pub(crate) struct Substrings {
    /// One after another.
    bytes: Vec<u8>,
    /// Start of each literal, and the end of the last.
    starts: Vec<u32>,
    two: Windows<2>,
    three: Windows<3>,
    four: Windows<4>,
}

/// Which literals were found in the text at hand, kept from text to text.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    found: Vec<u32>,
    epoch: u32,
}

/// Windows of one width.
#[derive(Debug, Default)]
struct Windows<const N: usize> {
    /// A bit per hash of a window.
    bits: Vec<u64>,
    bits_shift: u32,
    /// Start of each bucket in `entries`, and the end of the last.
    buckets: Vec<u32>,
    bucket_shift: u32,
    entries: Vec<Entry>,
    /// How far apart the windows of a text are that are looked up.
    step: usize,
}

/// A literal by its window.
#[derive(Debug, Clone, Copy)]
struct Entry {
    window: u32,
    literal: u32,
    /// Where in the literal the window is.
    offset: u32,
}

impl Substrings {
    /// Prepares `literals`, none shorter than [`BYTES_MIN`].
    pub(crate) fn new(literals: &[&str]) -> Substrings {
        let mut all = Substrings { starts: vec![0], ..Substrings::default() };
        let long = literals.iter().map(|literal| literal.len()).filter(|bytes| *bytes >= 4);
        let step = match long.min().unwrap_or_default() {
            11.. => 8,
            7.. => 4,
            5.. => 2,
            _ => 1,
        };
        let mut entries: [Vec<Entry>; 3] = Default::default();
        // How many literals have a window already: among equally rare ones the least used is taken.
        let mut used = hashbrown::HashMap::<u32, u32>::new();
        for (number, literal) in (0u32..).zip(literals) {
            let bytes = literal.as_bytes();
            let width = bytes.len().clamp(2, 4);
            let step = if width == 4 { step } else { 1 };
            let windows: Vec<u32> = bytes.windows(width).map(value).collect();
            let costs: Vec<u32> = bytes
                .windows(width)
                .zip(&windows)
                .map(|(bytes, window)| {
                    let crowd = used.get(window).copied().unwrap_or_default();
                    commonness(bytes) + crowd.min(1_000) * 4
                })
                .collect();
            // The cheapest run of as many neighbouring windows as the step is long.
            let runs = costs.windows(step).map(|run| run.iter().sum::<u32>()).zip(0usize..);
            if let Some((_, from)) = runs.min() {
                for (window, offset) in windows.iter().zip(0u32..).skip(from).take(step) {
                    *used.entry(*window).or_default() += 1;
                    entries[width - 2].push(Entry { window: *window, literal: number, offset });
                }
            }
            all.bytes.extend_from_slice(bytes);
            // Proof: the text of all rules together is far smaller than 4 GiB.
            all.starts.push(u32::try_from(all.bytes.len()).unwrap_or(u32::MAX));
        }
        let [two, three, four] = entries;
        (all.two, all.three) = (Windows::new(two, 1), Windows::new(three, 1));
        all.four = Windows::new(four, step);
        all
    }

    /// About how many windows of a text of `bytes` bytes are looked up.
    pub(crate) fn lookups(&self, bytes: usize) -> usize {
        self.two.lookups(bytes) + self.three.lookups(bytes) + self.four.lookups(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.starts.len() < 2
    }

    /// Calls `found` once for each literal that occurs in `text`.
    pub(crate) fn find(&self, text: &str, stamps: &mut Stamps, mut found: impl FnMut(usize)) {
        if self.is_empty() {
            return;
        }
        stamps.begin(self.starts.len() - 1);
        let text = text.as_bytes();
        self.four.find(text, |entry, at| self.check(entry, at, text, stamps, &mut found));
        self.three.find(text, |entry, at| self.check(entry, at, text, stamps, &mut found));
        self.two.find(text, |entry, at| self.check(entry, at, text, stamps, &mut found));
    }

    #[inline]
    fn check(
        &self,
        entry: &Entry,
        at: usize,
        text: &[u8],
        stamps: &mut Stamps,
        found: &mut impl FnMut(usize),
    ) {
        let literal = entry.literal as usize;
        if stamps.found[literal] == stamps.epoch {
            return;
        }
        let (start, end) = (self.starts[literal] as usize, self.starts[literal + 1] as usize);
        let bytes = &self.bytes[start..end];
        let Some(begin) = at.checked_sub(entry.offset as usize) else { return };
        if text.get(begin..begin + bytes.len()) == Some(bytes) {
            stamps.found[literal] = stamps.epoch;
            found(literal);
        }
    }
}

impl Stamps {
    /// Forgets what was found; there are `literals`.
    fn begin(&mut self, literals: usize) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.found.clear();
            self.epoch = 1;
        }
        if self.found.len() < literals {
            self.found.resize(literals, 0);
        }
    }
}

impl<const N: usize> Windows<N> {
    fn new(mut entries: Vec<Entry>, step: usize) -> Windows<N> {
        if entries.is_empty() {
            return Windows::default();
        }
        // Sixteen bits a literal: of windows that belong to no literal, one in sixteen is compared.
        let bits_log = (entries.len() * 16).next_power_of_two().trailing_zeros().clamp(9, 22);
        let bucket_log = entries.len().next_power_of_two().trailing_zeros().clamp(4, 20);
        let (bits_shift, bucket_shift) = (32 - bits_log, 32 - bucket_log);
        let mut bits = vec![0u64; 1 << (bits_log - 6)];
        for entry in &entries {
            let bit = hash(entry.window) >> bits_shift;
            bits[(bit / 64) as usize] |= 1 << (bit % 64);
        }
        entries.sort_unstable_by_key(|entry| (hash(entry.window), entry.literal));
        let mut buckets = vec![0u32; (1 << bucket_log) + 1];
        for entry in &entries {
            buckets[(hash(entry.window) >> bucket_shift) as usize + 1] += 1;
        }
        for bucket in 1..buckets.len() {
            buckets[bucket] += buckets[bucket - 1];
        }
        Windows { bits, bits_shift, buckets, bucket_shift, entries, step }
    }

    fn lookups(&self, bytes: usize) -> usize {
        if self.entries.is_empty() { 0 } else { bytes / self.step }
    }

    /// Calls `hit` for each window of `text` that may be an entry's.
    #[inline]
    fn find(&self, text: &[u8], hit: impl FnMut(&Entry, usize)) {
        if self.entries.is_empty() {
            return;
        }
        // A step known when compiling makes the loop tight.
        match self.step {
            8 => self.go(text, 8, hit),
            4 => self.go(text, 4, hit),
            2 => self.go(text, 2, hit),
            _ => self.go(text, 1, hit),
        }
    }

    #[inline(always)]
    fn go(&self, text: &[u8], step: usize, mut hit: impl FnMut(&Entry, usize)) {
        let (bits, shift) = (self.bits.as_slice(), self.bits_shift);
        for (number, window) in text.windows(N).step_by(step).enumerate() {
            let window = value(window);
            let hash = hash(window);
            let bit = hash >> shift;
            if bits[(bit / 64) as usize] >> (bit % 64) & 1 == 1 {
                self.compare(window, hash, number * step, &mut hit);
            }
        }
    }

    fn compare(&self, window: u32, hash: u32, at: usize, hit: &mut impl FnMut(&Entry, usize)) {
        let bucket = (hash >> self.bucket_shift) as usize;
        let range = self.buckets[bucket] as usize..self.buckets[bucket + 1] as usize;
        for entry in self.entries[range].iter().filter(|entry| entry.window == window) {
            hit(entry, at);
        }
    }
}

/// At most four bytes as a number.
#[inline]
fn value(window: &[u8]) -> u32 {
    match *window {
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
        [a, b, c] => u32::from_le_bytes([a, b, c, 0]),
        [a, b] => u32::from_le_bytes([a, b, 0, 0]),
        _ => 0,
    }
}

/// Multiplicative hashing: the upper bits are the good ones.
#[inline]
fn hash(window: u32) -> u32 {
    window.wrapping_mul(0x9E37_79B1)
}

/// How often a window is to be expected in logs: smaller is rarer.
fn commonness(window: &[u8]) -> u32 {
    static KNOWN: OnceLock<HashSet<u32>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let texts = COMMON.iter().chain(&[".exe", ".dll", "powershell", "microsoft", "windows"]);
        texts.flat_map(|text| text.as_bytes().windows(4).map(value)).collect()
    });
    let penalty = if window.len() == 4 && known.contains(&value(window)) { 100 } else { 0 };
    let letters = window.iter().map(|byte| match byte {
        b'e' | b'a' | b'i' | b'o' | b'n' | b't' | b's' | b'r' => 10,
        b'l' | b'c' | b'd' | b'm' | b'u' | b'p' | b'\\' | b' ' | b'.' => 8,
        b'0' | b'1' | b'2' | b'w' | b'h' | b'g' | b'b' | b'f' | b'y' | b'v' => 6,
        b'k' | b'x' | b'3'..=b'9' | b'-' | b'/' | b':' | b'_' => 4,
        _ => 2,
    });
    penalty + letters.sum::<u32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_occurs_each_once(
            shortest in prop::sample::select(vec![2usize, 4, 5, 7, 11, 13]),
            literals in prop::collection::btree_set("[abc\\\\é]{2,16}", 0..40),
            mut texts in prop::collection::vec("[abc\\\\é]{0,60}", 1..4),
        ) {
            let literals: Vec<String> =
                literals.into_iter().filter(|literal| literal.len() >= shortest).collect();
            // Long literals seldom occur by chance.
            for (text, literal) in texts.iter_mut().zip(&literals) {
                let middle = text.chars().take(text.len() % 9).collect::<String>().len();
                text.insert_str(middle, literal);
            }
            let literals: Vec<&str> = literals.iter().map(String::as_str).collect();
            let substrings = Substrings::new(&literals);
            let mut stamps = Stamps::default();
            for text in &texts {
                let mut found = Vec::new();
                substrings.find(text, &mut stamps, |literal| found.push(literal));
                found.sort_unstable();
                let expected: Vec<usize> =
                    (0..literals.len()).filter(|n| text.contains(literals[*n])).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn rare_windows_are_preferred() {
        assert!(commonness(b"katz") < commonness(b".exe"));
        assert!(commonness(b"$%x=") < commonness(b"tion"));
    }
}
