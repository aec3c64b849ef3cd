//! The Merkle tree of RFC 6962 section 2.1: roots, paths and consistency proofs.
//!
//! A *subtree* `(level, index)` spans the `2^level` leaves from `index * 2^level`; it is *complete*
//! when all of them exist. Every proof consists of hashes of complete subtrees and of the ragged
//! right edge, which is itself built from complete ones, so [`Subtrees`] is all a proof needs.

use crate::Hash;
use crate::limits::PATH_HASHES_MAX;

/// Where the hashes of complete subtrees come from: memory, or tiles on disk.
pub trait Subtrees {
    /// Why a hash could not be had.
    type Error;

    /// Hash of the complete subtree `index` of `2^level` leaves.
    fn subtree(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// A proof that does not lead where it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The index is not below the tree size, or the old size above the new one.
    #[error("the proof speaks of a place outside the tree")]
    OutsideTree,
    /// The proof has more or fewer hashes than the sizes call for.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// The root of a growing tree, in memory proportional to the logarithm of its size.
#[derive(Debug, Clone, Default)]
pub struct BatchTree {
    /// Complete subtrees from left to right, one per one-bit of `size`, largest first.
    complete: Vec<Hash>,
    size: u64,
}

impl BatchTree {
    /// A tree without leaves.
    pub fn new() -> Self {
        BatchTree::default()
    }

    /// The tree of the first `size` leaves of another source.
    pub fn load<S: Subtrees>(source: &S, size: u64) -> Result<Self, S::Error> {
        let mut tree = BatchTree { complete: Vec::new(), size };
        let mut position = 0;
        while position < size {
            let level = u64::BITS - 1 - (size - position).leading_zeros();
            tree.complete.push(source.subtree(level, position >> level)?);
            position += 1 << level;
        }
        Ok(tree)
    }

    /// Adds the hash of the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            // Proof: `complete` holds one hash per one-bit of `size`; we pop one per trailing one.
            let Some(left) = self.complete.pop() else { break };
            hash = Hash::node(left, hash);
        }
        self.complete.push(hash);
        self.size += 1;
    }

    /// Number of leaves.
    pub fn len(&self) -> u64 {
        self.size
    }

    /// Whether there is no leaf yet.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// The root; of an empty tree [`Hash::empty_root`].
    pub fn root(&self) -> Hash {
        let mut from_the_right = self.complete.iter().rev();
        match from_the_right.next() {
            None => Hash::empty_root(),
            Some(&last) => from_the_right.fold(last, |right, &left| Hash::node(left, right)),
        }
    }

    /// The inclusion path of leaf `index` of the tree over `leaves`; `None` outside it.
    pub fn path(leaves: &[Hash], index: u64) -> Option<Vec<Hash>> {
        inclusion_path(&Leaves(leaves), index, leaves.len() as u64).ok()?
    }
}

impl Extend<Hash> for BatchTree {
    fn extend<I: IntoIterator<Item = Hash>>(&mut self, leaves: I) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

/// Leaf hashes in memory as [`Subtrees`].
#[derive(Debug, Clone, Copy)]
pub struct Leaves<'a>(pub &'a [Hash]);

impl Subtrees for Leaves<'_> {
    /// The subtree is not complete, given as `(level, index)`.
    type Error = (u32, u64);

    fn subtree(&self, level: u32, index: u64) -> Result<Hash, (u32, u64)> {
        let span = 1u64.checked_shl(level).ok_or((level, index))?;
        let start = index.checked_mul(span).ok_or((level, index))?;
        let end = start.checked_add(span).ok_or((level, index))?;
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let leaves = range.and_then(|(start, end)| self.0.get(start..end)).ok_or((level, index))?;
        let mut tree = BatchTree::new();
        tree.extend(leaves.iter().copied());
        Ok(tree.root())
    }
}

/// Root of the tree over the first `size` leaves.
pub fn root<S: Subtrees>(tree: &S, size: u64) -> Result<Hash, S::Error> {
    if size == 0 { Ok(Hash::empty_root()) } else { range(tree, 0, size) }
}

/// Inclusion path of leaf `index` in the tree of `size` leaves, from the leaf's sibling upwards
/// (RFC 6962 section 2.1.1); `None` when `index` is not below `size`.
pub fn inclusion_path<S: Subtrees>(
    tree: &S,
    index: u64,
    size: u64,
) -> Result<Option<Vec<Hash>>, S::Error> {
    if index >= size {
        return Ok(None);
    }
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range(tree, middle, end)?);
            end = middle;
        } else {
            path.push(range(tree, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(Some(path))
}

/// Proof that the tree of `new` leaves continues the tree of `old` leaves (RFC 6962 section
/// 2.1.2). Empty when `old` is 0 or equals `new`; `None` when `old` is larger.
pub fn consistency_proof<S: Subtrees>(
    tree: &S,
    old: u64,
    new: u64,
) -> Result<Option<Vec<Hash>>, S::Error> {
    if old > new {
        return Ok(None);
    }
    if old == 0 || old == new {
        return Ok(Some(Vec::new()));
    }
    let (mut start, mut end) = (0, new);
    let mut proof = Vec::new();
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(range(tree, middle, end)?);
            end = middle;
        } else {
            proof.push(range(tree, start, middle)?);
            start = middle;
        }
    }
    if start != 0 {
        proof.push(range(tree, start, end)?);
    }
    proof.reverse();
    Ok(Some(proof))
}

/// The root to which `path` leads from `leaf` at `index` in a tree of `size` leaves.
pub fn root_from_path(
    leaf: Hash,
    index: u64,
    size: u64,
    path: &[Hash],
) -> Result<Hash, ProofError> {
    if index >= size {
        return Err(ProofError::OutsideTree);
    }
    // Walk up: `node` is our place in its row, `last` the last place of that row. On the ragged
    // right edge a node without a sibling moves up unchanged (RFC 9162 section 2.1.3.2).
    let (mut node, mut last) = (index, size - 1);
    let mut hash = leaf;
    for &sibling in path {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = Hash::node(sibling, hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::node(hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 { Ok(hash) } else { Err(ProofError::Length) }
}

/// Checks that `leaf` is number `index` of the tree of `size` leaves with this `root`.
pub fn verify_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: Hash,
) -> Result<(), ProofError> {
    if root_from_path(leaf, index, size, path)? == root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree `(new, new_root)` continues the tree `(old, old_root)` (RFC 9162 section
/// 2.1.4.2).
pub fn verify_consistency(
    old: u64,
    old_root: Hash,
    new: u64,
    new_root: Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::OutsideTree);
    }
    if old == 0 || old == new {
        let expected = if old == new { new_root } else { Hash::empty_root() };
        return match proof {
            [] if old_root == expected => Ok(()),
            [] => Err(ProofError::Root),
            _ => Err(ProofError::Length),
        };
    }
    if proof.len() > 2 * PATH_HASHES_MAX {
        return Err(ProofError::Length);
    }
    let mut hashes = proof.iter().copied();
    // A complete old tree is itself a node of the new one, so the proof leaves it out.
    let first = if old.is_power_of_two() { Some(old_root) } else { hashes.next() };
    let first = first.ok_or(ProofError::Length)?;
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (first, first);
    for hash in hashes {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            old_hash = Hash::node(hash, old_hash);
            new_hash = Hash::node(hash, new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = Hash::node(new_hash, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if old_hash == old_root && new_hash == new_root { Ok(()) } else { Err(ProofError::Root) }
}

/// The largest power of two below `span`, for `span` of at least 2.
fn split(span: u64) -> u64 {
    1 << (u64::BITS - 1 - (span - 1).leading_zeros())
}

/// Hash of the leaves `start..end`, where `start` is a multiple of every split of the span.
fn range<S: Subtrees>(tree: &S, start: u64, end: u64) -> Result<Hash, S::Error> {
    let mut complete = Vec::new();
    let mut position = start;
    while position < end {
        let level = u64::BITS - 1 - (end - position).leading_zeros();
        complete.push(tree.subtree(level, position >> level)?);
        position += 1 << level;
    }
    let mut from_the_right = complete.into_iter().rev();
    let last = from_the_right.next().unwrap_or_else(Hash::empty_root);
    Ok(from_the_right.fold(last, |right, left| Hash::node(left, right)))
}
