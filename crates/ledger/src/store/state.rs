use super::StreamState;
use crate::limits::{BUNDLES_CACHED_MAX, TILE_WIDTH};
use crate::tiles::{Row, TileName, encode_bundle, encode_tile};
use crate::{BatchHeader, BatchTree, Checkpoint, Hash};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::collections::{BTreeMap, VecDeque};
use yagura_event::StreamName;

/// The log in memory: its right edge, what no checkpoint covers yet, and a summary of the rest.
pub(super) struct State {
    pub(super) tree: BatchTree,
    /// Per level the hashes of the last tile that is not full.
    pub(super) edges: Vec<Vec<Hash>>,
    /// Headers of the last bundle that is not full.
    pub(super) tail: Vec<String>,
    /// Full tiles and bundles that no checkpoint covers yet.
    pub(super) full: BTreeMap<TileName, Vec<u8>>,
    pub(super) checkpoint: Checkpoint,
    pub(super) streams: HashMap<StreamName, StreamState, RandomState>,
    /// Where epochs begin, but for the first.
    pub(super) epochs: Vec<Epoch>,
    /// One per bundle: 24 bytes for 256 headers.
    spans: Vec<Span>,
    cached: VecDeque<(u64, Vec<String>)>,
}

/// The beginning of an epoch: the header that opens it.
#[derive(Debug, Clone)]
pub(super) struct Epoch {
    pub(super) leaf: u64,
    pub(super) batch: u64,
    /// The last checkpoint of the epoch before; its size is `leaf`.
    pub(super) old: Checkpoint,
}

/// Batch numbers a bundle holds.
#[derive(Debug, Clone, Copy)]
struct Span {
    min: u64,
    max: u64,
    /// The highest in this bundle and all before it.
    max_so_far: u64,
}

impl State {
    pub(super) fn empty(checkpoint: Checkpoint) -> State {
        State {
            tree: BatchTree::new(),
            edges: Vec::new(),
            tail: Vec::new(),
            full: BTreeMap::new(),
            checkpoint,
            streams: HashMap::default(),
            epochs: Vec::new(),
            spans: Vec::new(),
            cached: VecDeque::new(),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.tree.len()
    }

    /// Headers no checkpoint covers.
    pub(super) fn pending(&self) -> u64 {
        self.size() - self.checkpoint.size()
    }

    /// Gives a checked header the next place.
    pub(super) fn push(&mut self, header: &BatchHeader, text: String) -> u64 {
        let leaf = self.size();
        let hash = Hash::leaf(text.as_bytes());
        self.tree.push(hash);
        self.push_hash(0, hash);
        self.tail.push(text);
        if self.tail.len() as u64 == TILE_WIDTH {
            let name = TileName { row: Row::Entries, index: leaf / TILE_WIDTH, width: TILE_WIDTH };
            self.full.insert(name, encode_bundle(&self.tail));
            let texts = std::mem::take(&mut self.tail);
            self.cache(name.index, texts);
        }
        self.note_batch(leaf, header.batch);
        if let Some(old) = &header.continues {
            self.epochs.push(Epoch { leaf, batch: header.batch, old: old.clone() });
        }
        let stream = self.streams.entry(header.stream.clone());
        let stream = stream.or_insert(StreamState { leaf, hash, records: 0, batches: 0 });
        (stream.leaf, stream.hash) = (leaf, hash);
        stream.records += u64::from(header.count);
        stream.batches += 1;
        leaf
    }

    fn push_hash(&mut self, level: u8, hash: Hash) {
        let at = usize::from(level);
        if self.edges.len() <= at {
            self.edges.push(Vec::new());
        }
        let edge = &mut self.edges[at];
        edge.push(hash);
        if edge.len() as u64 == TILE_WIDTH {
            let tile = std::mem::take(edge);
            let row = Row::Hashes(level);
            let index = row.items(self.tree.len()) / TILE_WIDTH - 1;
            self.full.insert(TileName { row, index, width: TILE_WIDTH }, encode_tile(&tile));
            let mut subtree = BatchTree::new();
            subtree.extend(tile);
            self.push_hash(level + 1, subtree.root());
        }
    }

    /// Remembers which bundle a batch is in. Leaves come in order.
    pub(super) fn note_batch(&mut self, leaf: u64, batch: u64) {
        if leaf.is_multiple_of(TILE_WIDTH) {
            let before = self.spans.last().map_or(0, |span| span.max_so_far);
            self.spans.push(Span { min: batch, max: batch, max_so_far: before.max(batch) });
        } else if let Some(span) = self.spans.last_mut() {
            span.min = span.min.min(batch);
            span.max = span.max.max(batch);
            span.max_so_far = span.max_so_far.max(batch);
        }
    }

    /// The highest batch number there is.
    pub(super) fn highest_batch(&self) -> u64 {
        self.spans.last().map_or(0, |span| span.max_so_far)
    }

    /// Bundles whose numbers enclose `batch`; as batches are sealed nearly in order, few.
    pub(super) fn bundles_that_may_hold(&self, batch: u64) -> Vec<u64> {
        let first = self.spans.partition_point(|span| span.max_so_far < batch);
        let spans = (first as u64..).zip(&self.spans[first..]);
        spans.filter(|(_, s)| s.min <= batch && batch <= s.max).map(|(at, _)| at).collect()
    }

    pub(super) fn cached(&self, bundle: u64) -> Option<&Vec<String>> {
        self.cached.iter().find(|(index, _)| *index == bundle).map(|(_, texts)| texts)
    }

    pub(super) fn cache(&mut self, bundle: u64, texts: Vec<String>) {
        if self.cached.len() >= BUNDLES_CACHED_MAX {
            self.cached.pop_front();
        }
        self.cached.push_back((bundle, texts));
    }

    /// Every file that a log of this size consists of beyond those of `old` headers.
    pub(super) fn files_since(&self, old: u64) -> Vec<(TileName, Vec<u8>)> {
        let size = self.size();
        let mut files: Vec<_> =
            self.full.iter().map(|(name, bytes)| (*name, bytes.clone())).collect();
        let mut partial = |row: Row, width: usize, bytes: &dyn Fn() -> Vec<u8>| {
            let index = row.items(size) / TILE_WIDTH;
            let name = TileName { row, index, width: width as u64 };
            if width > 0 && !name.belongs_to(old) {
                files.push((name, bytes()));
            }
        };
        for (level, edge) in (0..).zip(&self.edges) {
            partial(Row::Hashes(level), edge.len(), &|| encode_tile(edge));
        }
        partial(Row::Entries, self.tail.len(), &|| encode_bundle(&self.tail));
        files
    }
}
