//! Builds the index of one file, segment by segment.

use crate::limits::{
    BLOCK_ROWS, PAGE_TOKEN_BYTES, SEGMENT_BLOCKS, SEGMENT_TOKEN_BYTES_MAX, SEGMENT_TOKENS_MAX,
    TOKEN_BYTES_MAX,
};
use crate::page::{Blocks, encode, first};
use crate::tokens::{Found, Scratch, of_event};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::BuildHasher;

/// First and last bytes of an index.
pub(crate) const MAGIC: &[u8; 8] = b"YGTXIDX2";

/// Level of zstd for pages: the tokens are sorted and front-coded already.
const LEVEL: i32 = 3;

/// What an index holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexCounts {
    /// Rows.
    pub rows: u64,
    /// Tokens, each once per segment.
    pub tokens: u64,
    /// Pairs of token and block.
    pub places: u64,
    /// Segments that had too many tokens and are always read.
    pub segments_without_tokens: u64,
}

/// Collects the tokens of a file's rows, in their order.
///
/// Memory is bounded by one segment (at most [`SEGMENT_TOKEN_BYTES_MAX`] and about 128 bytes a token)
/// and what [`IndexBuilder::take_bytes`] has not fetched yet.
#[derive(Debug)]
pub struct IndexBuilder {
    /// Bytes that are ready.
    ready: Vec<u8>,
    taken: u64,
    directory: Vec<u8>,
    segments: u32,
    counts: IndexCounts,
    segment: Segment,
    scratch: Scratch,
}

/// A token of the segment.
#[derive(Debug, Clone, Copy)]
struct Known {
    hash: u32,
    start: u32,
    length: u8,
    blocks: Blocks,
}

/// Short tokens that the current block is known to have: most words of an event are those of the one
/// before it. Two overlapping words of 8 bytes and the length are the whole of such a token.
#[derive(Debug)]
struct Recent {
    slots: Vec<(u64, u64, u8)>,
    block: Blocks,
}

const RECENT_SLOTS: usize = 4_096;

/// Set in each byte of a word, so that its case does not matter: letters differ in it by case only, and
/// digits have it.
const LOWER: u64 = 0x2020_2020_2020_2020;

/// Beside the length of a token that is not a word: it may have the bytes of one in lower case.
const EXACT: u8 = 0x80;

impl Default for Recent {
    fn default() -> Self {
        Recent { slots: vec![(0, 0, 0); RECENT_SLOTS], block: 0 }
    }
}

impl Recent {
    /// Whether it was seen in this block already; from now on it was. Long tokens never were.
    fn saw(&mut self, token: Found<'_>, block: Blocks) -> bool {
        if self.block != block {
            self.slots.fill((0, 0, 0));
            self.block = block;
        }
        let (token, same, kind) = match token {
            Found::Word(word) => (word, LOWER, 0),
            Found::Exact(token) => (token, 0, EXACT),
        };
        let (head, tail) = match (token.first_chunk::<8>(), token.last_chunk::<8>()) {
            (Some(head), Some(tail)) if token.len() <= 16 => {
                (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
            }
            (Some(_), _) => return false,
            _ => (token.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)), 0),
        };
        // Bytes that a short word does not have are set too, but its length tells.
        let (head, tail) = (head | same, tail | same);
        // Proof: at most 16, as above.
        let entry = (head, tail, token.len() as u8 | kind);
        let mixed = (head ^ tail.rotate_left(29)).wrapping_add(u64::from(entry.2));
        let slot = (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize;
        match self.slots.get_mut(slot) {
            Some(known) if *known == entry => true,
            Some(known) => {
                *known = entry;
                false
            }
            None => false,
        }
    }
}

#[derive(Debug, Default)]
struct Segment {
    rows: u32,
    recent: Recent,
    letters: Vec<u8>,
    tokens: HashTable<Known>,
    overfull: bool,
    hasher: RandomState,
}

impl Segment {
    fn add(&mut self, found: Found<'_>, block: Blocks) {
        if self.overfull || self.recent.saw(found, block) {
            return;
        }
        let mut lower = [0; TOKEN_BYTES_MAX];
        let token = match found {
            Found::Exact(token) => token,
            Found::Word(word) => {
                let length = word.len().min(TOKEN_BYTES_MAX);
                let (lower, _) = lower.split_at_mut(length);
                lower.copy_from_slice(word.get(..length).unwrap_or_default());
                lower.make_ascii_lowercase();
                lower
            }
        };
        let hash = self.hasher.hash_one(token);
        let letters = &self.letters;
        let same = |known: &Known| {
            usize::from(known.length) == token.len()
                && letters.get(known.start as usize..).is_some_and(|rest| rest.starts_with(token))
        };
        let spread = |known: &Known| u64::from(known.hash) << 32 | u64::from(known.hash);
        let hash = (hash >> 32) as u32;
        let key = u64::from(hash) << 32 | u64::from(hash);
        let full = self.tokens.len() >= SEGMENT_TOKENS_MAX
            || self.letters.len() + token.len() > SEGMENT_TOKEN_BYTES_MAX;
        match self.tokens.entry(key, same, spread) {
            Entry::Occupied(mut known) => known.get_mut().blocks |= block,
            Entry::Vacant(_) if full => self.overfull = true,
            Entry::Vacant(place) => {
                // Proof: SEGMENT_TOKEN_BYTES_MAX fits in 32 bits, TOKEN_BYTES_MAX in 8.
                let start = self.letters.len() as u32;
                place.insert(Known { hash, start, length: token.len() as u8, blocks: block });
                self.letters.extend_from_slice(token);
            }
        }
    }
}

impl Default for IndexBuilder {
    fn default() -> Self {
        IndexBuilder {
            ready: MAGIC.to_vec(),
            taken: 0,
            directory: Vec::new(),
            segments: 0,
            counts: IndexCounts::default(),
            segment: Segment::default(),
            scratch: Scratch::default(),
        }
    }
}

impl IndexBuilder {
    /// Adds the next row.
    pub fn add(&mut self, raw: &[u8], message: Option<&str>) {
        let block: Blocks = 1 << (self.segment.rows / BLOCK_ROWS);
        let segment = &mut self.segment;
        if !segment.overfull {
            of_event(raw, message, &mut self.scratch, |token| segment.add(token, block));
        }
        segment.rows += 1;
        self.counts.rows += 1;
        if segment.rows == BLOCK_ROWS * SEGMENT_BLOCKS {
            self.end_segment();
        }
    }

    fn end_segment(&mut self) {
        let segment = &mut self.segment;
        let everywhere = first(segment.rows.div_ceil(BLOCK_ROWS));
        let mut tokens: Vec<(&[u8], Blocks)> = Vec::with_capacity(segment.tokens.len());
        if segment.overfull {
            self.counts.segments_without_tokens += 1;
        } else {
            tokens.extend(segment.tokens.iter().map(|known| {
                let start = known.start as usize;
                let letters = segment.letters.get(start..start + usize::from(known.length));
                (letters.unwrap_or_default(), known.blocks)
            }));
        }
        tokens.sort_unstable_by_key(|(token, _)| *token);
        self.counts.tokens += tokens.len() as u64;
        self.counts.places +=
            tokens.iter().map(|(_, blocks)| u64::from(blocks.count_ones())).sum::<u64>();
        let mut pages = Vec::new();
        let mut count = 0u32;
        let mut left = tokens.as_slice();
        while !left.is_empty() {
            let mut bytes = 0;
            let fits = |(token, _): &&(&[u8], Blocks)| {
                bytes += token.len();
                bytes <= PAGE_TOKEN_BYTES
            };
            let length = left.iter().take_while(fits).count().max(1);
            let (page, rest) = left.split_at(length);
            left = rest;
            let plain = encode(page, everywhere);
            // Were it ever to fail, the page would be unreadable and the file be read whole.
            let packed = zstd::bulk::compress(&plain, LEVEL).unwrap_or_default();
            pages.extend((self.taken + self.ready.len() as u64).to_le_bytes());
            pages.extend((packed.len() as u32).to_le_bytes());
            pages.extend(crc32c::crc32c(&packed).to_le_bytes());
            pages.extend((plain.len() as u32).to_le_bytes());
            let first = page.first().map_or(&[][..], |(token, _)| *token);
            pages.push(first.len() as u8);
            pages.extend_from_slice(first);
            self.ready.extend(packed);
            count += 1;
        }
        self.directory.push(u8::from(!segment.overfull));
        self.directory.extend(count.to_le_bytes());
        self.directory.extend(pages);
        self.segments += 1;
        segment.rows = 0;
        segment.letters.clear();
        segment.tokens.clear();
        segment.overfull = false;
        segment.recent.block = 0;
    }

    /// The bytes that are ready, for the caller to write down.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        self.taken += self.ready.len() as u64;
        std::mem::take(&mut self.ready)
    }

    /// Ends the index of the file with this SHA-256; the bytes that are left.
    pub fn finish(mut self, file_sha256: &[u8; 32]) -> (Vec<u8>, IndexCounts) {
        if self.segment.rows > 0 {
            self.end_segment();
        }
        let mut directory = BLOCK_ROWS.to_le_bytes().to_vec();
        directory.extend(self.counts.rows.to_le_bytes());
        directory.extend(file_sha256);
        directory.extend(self.segments.to_le_bytes());
        directory.extend(&self.directory);
        let at = self.taken + self.ready.len() as u64;
        let mut bytes = self.ready;
        bytes.extend(&directory);
        bytes.extend(at.to_le_bytes());
        bytes.extend((directory.len() as u32).to_le_bytes());
        bytes.extend(crc32c::crc32c(&directory).to_le_bytes());
        bytes.extend(MAGIC);
        (bytes, self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_in_any_case_and_other_tokens_are_not() {
        for word in [&b"Cmd"[..], b"PowerShell", b"X", b"abcdefgh", b"Abcdefghijklmnop"] {
            let mut recent = Recent::default();
            let lower = word.to_ascii_lowercase();
            assert!(!recent.saw(Found::Word(word), 1));
            assert!(recent.saw(Found::Word(&lower), 1));
            assert!(!recent.saw(Found::Exact(&lower), 1));
            assert!(!recent.saw(Found::Word(&lower), 2), "another block");
        }
        let mut recent = Recent::default();
        assert!(!recent.saw(Found::Exact("\u{3042}".as_bytes()), 1));
        assert!(!recent.saw(Found::Exact("\u{30a2}".as_bytes()), 1));
        assert!(!recent.saw(Found::Word(b"ab"), 1) && !recent.saw(Found::Word(b"aab"), 1));
    }

    #[test]
    fn a_segment_keeps_so_many_tokens_and_no_more() {
        let mut segment = Segment::default();
        for number in 0..SEGMENT_TOKENS_MAX as u32 {
            segment.add(Found::Exact(&number.to_be_bytes()), 1);
        }
        segment.add(Found::Exact(&[0; 4]), 2);
        assert!(!segment.overfull);
        segment.add(Found::Word(b"more"), 1);
        assert!(segment.overfull);
        for (extra, overfull) in [(0, false), (1, true)] {
            let mut segment = Segment {
                letters: vec![b'x'; SEGMENT_TOKEN_BYTES_MAX - 3 + extra],
                ..Segment::default()
            };
            segment.add(Found::Word(b"abc"), 1);
            assert_eq!(segment.overfull, overfull);
        }
    }
}
