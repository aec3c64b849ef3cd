//! A page: some hundreds or thousands of tokens, ascending, and where in the segment each is.

use crate::limits::{PAGE_BYTES_MAX, SEGMENT_BLOCKS, TOKEN_BYTES_MAX};
use memchr::memmem::Finder;

/// Blocks of a segment, block 0 the lowest bit.
pub(crate) type Blocks = u128;

const _: () = assert!(SEGMENT_BLOCKS == Blocks::BITS);

/// Stands before each token of a decoded page. No token contains it.
const SEPARATOR: u8 = b'\n';

const SEVERAL: u8 = 128;
const EVERYWHERE: u8 = 129;

/// Runs of blocks up to which a place is written as runs, not as a map of bits.
const RUNS_MAX: usize = 7;
const BITS: u8 = 255;

/// The first `count` blocks.
pub(crate) fn first(count: u32) -> Blocks {
    Blocks::MAX.checked_shr(SEGMENT_BLOCKS - count.min(SEGMENT_BLOCKS)).unwrap_or(0)
}

/// A page before compression. `everywhere` is all blocks of the segment.
pub(crate) fn encode(tokens: &[(&[u8], Blocks)], everywhere: Blocks) -> Vec<u8> {
    let mut places = Vec::with_capacity(tokens.len());
    let (mut shared, mut lengths) = (Vec::new(), Vec::new());
    let (mut several, mut letters) = (Vec::new(), Vec::new());
    let mut before: &[u8] = &[];
    for (token, blocks) in tokens {
        places.push(match *blocks {
            blocks if blocks == everywhere => EVERYWHERE,
            blocks if blocks.count_ones() == 1 => blocks.trailing_zeros() as u8,
            blocks => {
                several_blocks(blocks, &mut several);
                SEVERAL
            }
        });
        let same = before.iter().zip(*token).take_while(|(a, b)| a == b).count();
        let rest = token.get(same..).unwrap_or_default();
        // Proof: tokens are at most TOKEN_BYTES_MAX = 64 bytes long.
        shared.push(same as u8);
        lengths.push(rest.len() as u8);
        letters.extend_from_slice(rest);
        before = token;
    }
    let mut page = (tokens.len() as u32).to_le_bytes().to_vec();
    for part in [places, shared, lengths] {
        page.extend(part);
    }
    page.extend((several.len() as u32).to_le_bytes());
    page.extend(several);
    page.extend(letters);
    page
}

/// Writes several blocks: the number of runs, then first block and length less one of each; or, for more
/// than [`RUNS_MAX`], [`BITS`] and all bits.
fn several_blocks(blocks: Blocks, page: &mut Vec<u8>) {
    let starts = blocks & !(blocks << 1);
    if starts.count_ones() as usize > RUNS_MAX {
        page.push(BITS);
        page.extend(blocks.to_le_bytes());
        return;
    }
    page.push(starts.count_ones() as u8);
    let mut left = blocks;
    while left != 0 {
        let from = left.trailing_zeros();
        // Proof: `left` has a bit at `from`, so the run has a block at least, and ends within 128.
        let length = (left >> from).trailing_ones();
        page.extend([from as u8, (length - 1) as u8]);
        left &= !(first(length) << from);
    }
}

/// Reads them from the front of `page`.
fn read_blocks(page: &mut &[u8]) -> Option<Blocks> {
    let (runs, rest) = page.split_first()?;
    if *runs == BITS {
        let (bits, rest) = rest.split_first_chunk()?;
        *page = rest;
        return Some(Blocks::from_le_bytes(*bits));
    }
    let (pairs, rest) = rest.split_at_checked(usize::from(*runs) * 2)?;
    *page = rest;
    let mut blocks = 0;
    for pair in pairs.chunks_exact(2) {
        let [from, length] = [0, 1].map(|at| u32::from(pair.get(at).copied().unwrap_or(u8::MAX)));
        if from + length >= SEGMENT_BLOCKS {
            return None;
        }
        blocks |= first(length + 1) << from;
    }
    Some(blocks)
}

/// A page that can be searched.
#[derive(Debug)]
pub(crate) struct Page {
    /// Every token with a separator before it, and one at the end.
    letters: Vec<u8>,
    /// Where each token's separator is.
    starts: Vec<u32>,
    blocks: Vec<Blocks>,
}

impl Page {
    /// Reads a decompressed page; the error says what is wrong.
    pub(crate) fn decode(page: &[u8], everywhere: Blocks) -> Result<Page, &'static str> {
        const SHORT: &str = "a page ends too early";
        let (count, rest) = page.split_first_chunk::<4>().ok_or(SHORT)?;
        let count = u32::from_le_bytes(*count) as usize;
        if count > PAGE_BYTES_MAX {
            return Err("a page has too many tokens");
        }
        let (places, rest) = rest.split_at_checked(count).ok_or(SHORT)?;
        let (shared, rest) = rest.split_at_checked(count).ok_or(SHORT)?;
        let (lengths, rest) = rest.split_at_checked(count).ok_or(SHORT)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let (mut several, mut rest) =
            rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(SHORT)?;
        let mut decoded = Page {
            letters: Vec::with_capacity(rest.len() * 2 + count + 1),
            starts: Vec::with_capacity(count),
            blocks: Vec::with_capacity(count),
        };
        let mut token: Vec<u8> = Vec::new();
        for ((place, shared), length) in places.iter().zip(shared).zip(lengths) {
            decoded.blocks.push(match *place {
                SEVERAL => read_blocks(&mut several).ok_or("places that there are not")?,
                EVERYWHERE => everywhere,
                block if block < SEVERAL => 1 << block,
                _ => return Err("a place that there is not"),
            });
            let (new, after) = rest.split_at_checked(usize::from(*length)).ok_or(SHORT)?;
            rest = after;
            if usize::from(*shared) > token.len() {
                return Err("a token shares more than there is");
            }
            token.truncate(usize::from(*shared));
            token.extend_from_slice(new);
            if token.len() > TOKEN_BYTES_MAX || new.contains(&SEPARATOR) {
                return Err("what stands there is no token");
            }
            // Proof: at most PAGE_BYTES_MAX tokens of at most 65 bytes fit in 32 bits.
            decoded.starts.push(decoded.letters.len() as u32);
            decoded.letters.push(SEPARATOR);
            decoded.letters.extend_from_slice(&token);
        }
        decoded.letters.push(SEPARATOR);
        match rest.is_empty() && several.is_empty() {
            true => Ok(decoded),
            false => Err("a page goes on after its last token"),
        }
    }

    fn token(&self, number: usize) -> &[u8] {
        let at = |number| self.starts.get(number).map(|at| *at as usize);
        let start = at(number).map_or(self.letters.len(), |at| at + 1);
        let end = at(number + 1).unwrap_or(self.letters.len().saturating_sub(1));
        self.letters.get(start..end).unwrap_or_default()
    }

    /// The number of the first token that is not before `wanted`.
    fn lower_bound(&self, wanted: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.starts.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.token(middle) < wanted {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    fn blocks(&self, number: usize) -> Blocks {
        self.blocks.get(number).copied().unwrap_or(0)
    }

    /// Where the token is.
    pub(crate) fn exact(&self, token: &[u8]) -> Blocks {
        let number = self.lower_bound(token);
        if self.token(number) == token { self.blocks(number) } else { 0 }
    }

    /// Where tokens are that begin so.
    pub(crate) fn prefix(&self, start: &[u8]) -> Blocks {
        let first = self.lower_bound(start);
        (first..self.starts.len())
            .take_while(|number| self.token(*number).starts_with(start))
            .fold(0, |blocks, number| blocks | self.blocks(number))
    }

    /// Where tokens are that have it in them.
    pub(crate) fn infix(&self, finder: &Finder<'_>) -> Blocks {
        let found = finder.find_iter(&self.letters);
        found.fold(0, |blocks, at| {
            let after = self.starts.partition_point(|start| *start as usize <= at);
            blocks | self.blocks(after.saturating_sub(1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn first_blocks() {
        assert_eq!((first(0), first(1), first(15)), (0, 1, 0x7fff));
        assert_eq!((first(127), first(128)), (u128::MAX >> 1, u128::MAX));
    }

    #[test]
    fn a_page_of_too_many_tokens_is_refused() {
        let page = (PAGE_BYTES_MAX as u32 + 1).to_le_bytes();
        assert_eq!(Page::decode(&page, 1).unwrap_err(), "a page has too many tokens");
        let page = (PAGE_BYTES_MAX as u32).to_le_bytes();
        assert_eq!(Page::decode(&page, 1).unwrap_err(), "a page ends too early");
    }

    #[test]
    fn places_are_runs_or_bits() {
        let many = |runs: u32| (0..runs).fold(0, |blocks, run| blocks | 1 << (run * 3));
        for (blocks, bytes) in
            [(3, 3), (many(RUNS_MAX as u32), 15), (many(RUNS_MAX as u32 + 1), 17), (u128::MAX, 3)]
        {
            let mut page = Vec::new();
            several_blocks(blocks, &mut page);
            assert_eq!(page.len(), bytes);
            let mut left = page.as_slice();
            assert_eq!((read_blocks(&mut left), left.len()), (Some(blocks), 0));
            for cut in 0..page.len() {
                assert_eq!(read_blocks(&mut &page[..cut]), None);
            }
        }
        assert_eq!(read_blocks(&mut &[1, 127, 0][..]), Some(1 << 127));
        assert_eq!(read_blocks(&mut &[1, 127, 1][..]), None);
    }

    proptest! {
        #[test]
        fn pages_come_back_and_find(
            tokens in prop::collection::btree_map(
                "[a-c]{1,6}|鍵|承認",
                prop_oneof![1u128.., (0u32..128).prop_map(|block| 1 << block), 1u128..9],
                0..40,
            ),
            wanted in "[a-c]{1,4}",
        ) {
            let tokens: BTreeMap<Vec<u8>, Blocks> =
                tokens.into_iter().map(|(token, blocks)| (token.into_bytes(), blocks)).collect();
            let list: Vec<(&[u8], Blocks)> =
                tokens.iter().map(|(token, blocks)| (token.as_slice(), *blocks)).collect();
            let page = Page::decode(&encode(&list, Blocks::MAX), Blocks::MAX).unwrap();
            for (token, blocks) in &list {
                prop_assert_eq!(page.exact(token), *blocks);
            }
            let wanted = wanted.as_bytes();
            let all = |keep: &dyn Fn(&[u8]) -> bool| {
                list.iter().filter(|(token, _)| keep(token)).fold(0, |all, (_, blocks)| all | blocks)
            };
            prop_assert_eq!(page.exact(wanted), all(&|token| token == wanted));
            prop_assert_eq!(page.prefix(wanted), all(&|token| token.starts_with(wanted)));
            let within = all(&|token| memchr::memmem::find(token, wanted).is_some());
            prop_assert_eq!(page.infix(&Finder::new(wanted)), within);
        }

        #[test]
        fn never_panics(page in prop::collection::vec(any::<u8>(), 0..64), count in 0u32..8) {
            let mut bytes = count.to_le_bytes().to_vec();
            bytes.extend(page);
            if let Ok(page) = Page::decode(&bytes, Blocks::MAX) {
                page.exact(b"a");
                page.prefix(b"a");
                page.infix(&Finder::new(b"a"));
            }
        }
    }
}
