//! Recomputes a log from its bytes and names whatever does not fit.
//!
//! The walk goes down from the signed root: a tile is believed when it hashes to what the tile above
//! says, and the partial tiles of the right edge when together they hash to the root. What is not
//! believed is rebuilt from below, and if that fits, the tile itself is what was changed.

mod batch;
mod files;
mod history;
mod seen;

use crate::finding::{Finding, Problem};
use crate::header::HeaderGlance;
use crate::limits::{FINDINGS_MAX, NOTE_BYTES_MAX, TILE_WIDTH};
use crate::store::{CHECKPOINT, HISTORY};
use crate::tiles::{
    BUNDLE_BYTES_MAX, HASH_BYTES, LEVEL_MAX, Row, TileName, decode_bundle, decode_tile,
};
use crate::{BatchHeader, BatchTree, Checkpoint, Hash, LedgerError, NoteError, VerifierKey, disk};
pub use batch::{verify_batch, verify_leaves};
use history::History;
use seen::Seen;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use yagura_event::StreamName;

/// Recomputes everything in a log directory, without writing to it.
pub struct LogVerifier {
    dir: PathBuf,
    /// Of the log's epochs, the oldest first; never empty.
    keys: Vec<VerifierKey>,
    /// The epoch that the walk has reached.
    epoch: usize,
    report: LogReport,
    /// Leaves from the left so far, as the signed root has them; `None` past a hole.
    tree: Option<BatchTree>,
    streams: BTreeMap<StreamName, (u64, Hash)>,
    batches: Seen,
    /// Leaves whose header could not be believed, as `start..end`.
    holes: Vec<(u64, u64)>,
    history: Option<History>,
    /// The next checkpoint of the history, waiting for the walk to reach its size.
    awaited: Option<Checkpoint>,
}

/// What a verification of a log has looked at and found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LogReport {
    /// The checkpoint everything was measured against, if one could be believed.
    pub checkpoint: Option<Checkpoint>,
    /// Headers read and in order.
    pub headers: u64,
    /// Records those headers count.
    pub records: u64,
    /// Files read.
    pub files: u64,
    /// Checkpoints in the history.
    pub checkpoints: u64,
    /// What is wrong, in the order of the log; at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How much is wrong, however many are listed.
    pub findings_total: u64,
}

impl LogReport {
    /// Whether nothing at all is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings_total == 0
    }
}

impl LogVerifier {
    /// A verifier for the log in `dir`. The key must not come from the same place.
    pub fn new(dir: &Path, key: VerifierKey) -> Self {
        LogVerifier::of_epochs(dir, vec![key])
    }

    /// [`LogVerifier::new`] for a log with several epochs: their keys, the oldest first.
    pub fn of_epochs(dir: &Path, keys: Vec<VerifierKey>) -> Self {
        LogVerifier {
            dir: dir.to_owned(),
            keys,
            epoch: 0,
            report: LogReport::default(),
            tree: Some(BatchTree::new()),
            streams: BTreeMap::new(),
            batches: Seen::default(),
            holes: Vec::new(),
            history: None,
            awaited: None,
        }
    }

    /// Looks at every byte under the directory.
    pub fn run(mut self) -> LogReport {
        let signed = self.read_checkpoint();
        let signed_for_sure = signed.is_some();
        let Some(checkpoint) = signed.or_else(|| self.last_of_history()) else {
            return self.report;
        };
        let size = checkpoint.size();
        self.report.checkpoint = Some(checkpoint.clone());
        let mut strangers = Vec::new();
        files::strangers(&self.dir, size, &mut |path, problem| strangers.push((path, problem)));
        for (file, problem) in strangers {
            self.found(Finding { file, leaf: None, batch: None, index: None, problem });
        }
        self.open_history();
        self.check_history_here();
        for (level, edge) in self.settle_edges(&checkpoint) {
            let index = Row::Hashes(level).items(size) / TILE_WIDTH;
            self.visit(level, index, edge.width, edge.hashes);
        }
        self.finish_history(signed_for_sure.then_some(&checkpoint));
        if self.epoch + 1 != self.keys.len() && self.holes.is_empty() {
            self.wrong(CHECKPOINT, Problem::Epoch);
        }
        self.report
    }

    fn read_checkpoint(&mut self) -> Option<Checkpoint> {
        let note = self.read(Path::new(CHECKPOINT), NOTE_BYTES_MAX)?;
        let opened = self.keys.last().ok_or(NoteError::NotSigned);
        match opened.and_then(|key| Checkpoint::open(&note, key)) {
            Ok(checkpoint) => return Some(checkpoint),
            Err(NoteError::Malformed) => self.wrong(CHECKPOINT, Problem::Malformed),
            Err(_) => self.wrong(CHECKPOINT, Problem::Signature),
        }
        None
    }

    /// Without a checkpoint the newest one of the history serves to check the rest.
    fn last_of_history(&self) -> Option<Checkpoint> {
        let mut history = History::open(&self.dir.join(HISTORY), &self.keys).ok()?;
        while history.next().is_some() {}
        history.last().cloned()
    }

    fn open_history(&mut self) {
        match History::open(&self.dir.join(HISTORY), &self.keys) {
            Ok(history) => {
                self.report.files += 1;
                self.history = Some(history);
                self.await_next();
            }
            Err(problem) => self.wrong(HISTORY, problem),
        }
    }

    fn await_next(&mut self) {
        self.awaited = None;
        while let Some(next) = self.history.as_mut().and_then(History::next) {
            match next {
                Ok(checkpoint) => {
                    self.awaited = Some(checkpoint);
                    return;
                }
                Err(problem) => self.wrong(HISTORY, problem),
            }
        }
    }

    /// Compares the tree so far with the checkpoint that was signed at this size, if one was.
    fn check_history_here(&mut self) {
        while let (Some(awaited), Some(tree)) = (&self.awaited, &self.tree) {
            if awaited.size() > tree.len() {
                return;
            }
            let here = awaited.size() == tree.len();
            let same_root = awaited.root() == tree.root();
            let same_epoch =
                self.keys.get(self.epoch).is_some_and(|key| key.name() == awaited.origin());
            if here && !same_root {
                self.wrong(HISTORY, Problem::Root);
            } else if here && !same_epoch {
                self.wrong(HISTORY, Problem::Epoch);
            }
            self.await_next();
        }
    }

    fn finish_history(&mut self, checkpoint: Option<&Checkpoint>) {
        while self.awaited.is_some() {
            self.await_next();
        }
        let Some(history) = &self.history else { return };
        self.report.checkpoints = history.notes;
        let last = history.last();
        if let Some(checkpoint) = checkpoint
            && last.map(Checkpoint::note) != Some(checkpoint.note())
        {
            let newer = last.is_some_and(|last| last.size() > checkpoint.size());
            if newer {
                self.wrong(CHECKPOINT, Problem::HistoryOrder);
            } else {
                self.wrong(HISTORY, Problem::HistoryEnd);
            }
        }
    }

    /// The partial tiles, highest level first, with their hashes if they can be believed.
    fn settle_edges(&mut self, checkpoint: &Checkpoint) -> Vec<(u8, Edge)> {
        let size = checkpoint.size();
        let mut edges = Vec::new();
        for level in (0..=LEVEL_MAX).rev() {
            let row = Row::Hashes(level);
            let items = row.items(size);
            let width = items % TILE_WIDTH;
            if width > 0 {
                let name = TileName { row, index: items / TILE_WIDTH, width };
                let on_disk = self.read_tile(name);
                let missing = on_disk.is_none();
                let hashes = on_disk.or_else(|| self.rebuild(name));
                edges.push((level, Edge { name, width, hashes, missing }));
            }
        }
        let root = |edges: &[(u8, Edge)]| edges_root(edges.iter().map(|(_, edge)| &edge.hashes));
        if size == 0 || root(&edges) == Some(checkpoint.root()) {
            return edges;
        }
        for at in 0..edges.len() {
            let rebuilt = self.rebuild(edges[at].1.name);
            let on_disk = std::mem::replace(&mut edges[at].1.hashes, rebuilt);
            if root(&edges) == Some(checkpoint.root()) {
                let name = edges[at].1.name;
                self.tile_differs(name, on_disk.as_deref(), edges[at].1.hashes.as_deref());
                return edges;
            }
            edges[at].1.hashes = on_disk;
        }
        // More than one file is wrong. Say which disagree with what lies below them; what is
        // rebuilt from the headers may still show where it went wrong.
        self.wrong(CHECKPOINT, Problem::Root);
        for (_, edge) in &mut edges {
            let rebuilt = self.rebuild(edge.name);
            if !edge.missing && rebuilt != edge.hashes {
                self.tile_differs(edge.name, edge.hashes.as_deref(), rebuilt.as_deref());
            }
            edge.hashes = None;
        }
        edges
    }

    /// Checks everything below a tile whose hashes are believed; `None` when nothing is known.
    fn visit(&mut self, level: u8, index: u64, width: u64, hashes: Option<Vec<Hash>>) {
        let Some(below) = level.checked_sub(1) else {
            return self.visit_bundle(index, width, hashes);
        };
        for place in 0..width {
            let expected = hashes.as_ref().and_then(|hashes| hashes.get(place as usize)).copied();
            let child = index * TILE_WIDTH + place;
            let row = Row::Hashes(below);
            let name = TileName { row, index: child, width: TILE_WIDTH };
            let settled = self.settle(name, expected);
            self.visit(below, child, TILE_WIDTH, settled);
        }
    }

    /// The hashes of a full tile that must hash to `expected`.
    fn settle(&mut self, name: TileName, expected: Option<Hash>) -> Option<Vec<Hash>> {
        let on_disk = self.read_tile(name);
        let fits = |hashes: &Option<Vec<Hash>>| {
            hashes.as_deref().map(subtree_root).is_some_and(|root| Some(root) == expected)
        };
        if fits(&on_disk) {
            return on_disk;
        }
        let rebuilt = self.rebuild(name);
        if on_disk.is_some() && (expected.is_some() || rebuilt != on_disk) {
            self.tile_differs(name, on_disk.as_deref(), rebuilt.as_deref());
        }
        if fits(&rebuilt) { rebuilt } else { None }
    }

    /// The hashes a tile should have, from the files one level below it, none of them believed.
    fn rebuild(&mut self, name: TileName) -> Option<Vec<Hash>> {
        let Row::Hashes(level) = name.row else { return None };
        let Some(below) = level.checked_sub(1) else {
            let bundle = TileName { row: Row::Entries, ..name };
            let path = PathBuf::from(bundle.to_string());
            let bytes = disk::read_file(&self.dir.join(path), BUNDLE_BYTES_MAX).ok()??;
            let entries = decode_bundle(&bytes, name.width).ok()?;
            return Some(entries.into_iter().map(Hash::leaf).collect());
        };
        let children = (0..name.width).map(|place| name.index * TILE_WIDTH + place);
        let roots = children.map(|index| {
            let child = TileName { row: Row::Hashes(below), index, width: TILE_WIDTH };
            let path = self.dir.join(child.to_string());
            let bytes = disk::read_file(&path, TILE_WIDTH as usize * HASH_BYTES).ok()??;
            Some(subtree_root(&decode_tile(&bytes, TILE_WIDTH)?))
        });
        roots.collect()
    }

    fn visit_bundle(&mut self, index: u64, width: u64, hashes: Option<Vec<Hash>>) {
        let name = TileName { row: Row::Entries, index, width };
        let first = index * TILE_WIDTH;
        let file = self.dir.join(name.to_string());
        let bytes = self.read(Path::new(&name.to_string()), BUNDLE_BYTES_MAX);
        let entries = bytes.as_deref().map(|bytes| decode_bundle(bytes, width));
        let entries = match entries {
            Some(Ok(entries)) => entries,
            Some(Err(place)) => {
                let leaf = Some(first + place.min(width - 1));
                let problem = Problem::Length;
                let file = file.clone();
                self.found(Finding { file, leaf, batch: None, index: None, problem });
                Vec::new()
            }
            None => Vec::new(),
        };
        for place in 0..width {
            let leaf = first + place;
            let believed = hashes.as_ref().and_then(|hashes| hashes.get(place as usize)).copied();
            let entry = entries.get(place as usize);
            let own = entry.map(|entry| Hash::leaf(entry));
            match entry {
                Some(entry) => self.visit_entry(&file, leaf, entry, believed),
                None => self.hole(leaf),
            }
            match (believed.or(own), &mut self.tree) {
                (Some(hash), Some(tree)) => tree.push(hash),
                _ => self.tree = None,
            }
            self.check_history_here();
        }
    }

    fn visit_entry(&mut self, file: &Path, leaf: u64, entry: &[u8], believed: Option<Hash>) {
        let hash = Hash::leaf(entry);
        let text = std::str::from_utf8(entry).ok();
        let batch = text.and_then(HeaderGlance::at).map(|glance| glance.batch);
        let header = text.and_then(|text| BatchHeader::parse(text).ok());
        let problem = match &header {
            _ if believed.is_some_and(|believed| believed != hash) => Problem::Hash,
            None => Problem::Malformed,
            Some(header) if !self.enters(header, leaf) => match header.continues {
                Some(_) => Problem::Epoch,
                None => Problem::OtherLog,
            },
            Some(header) => {
                let previous = self.streams.insert(header.stream.clone(), (leaf, hash));
                self.report.headers += 1;
                self.report.records += u64::from(header.count);
                if !self.batches.insert(header.batch) {
                    Problem::BatchRepeated
                } else if header.stream_prev != previous && !self.in_hole(header.stream_prev) {
                    Problem::StreamChain
                } else {
                    return;
                }
            }
        };
        let no_header = [Problem::Hash, Problem::Malformed, Problem::OtherLog, Problem::Epoch];
        if no_header.contains(&problem) {
            self.hole(leaf);
        }
        self.found(Finding {
            file: file.to_owned(),
            leaf: Some(leaf),
            batch,
            index: None,
            problem,
        });
    }

    /// Whether a header belongs to the epoch that the walk is in, or opens the next one with the head
    /// of this one.
    fn enters(&mut self, header: &BatchHeader, leaf: u64) -> bool {
        let is_of =
            |epoch: usize| self.keys.get(epoch).is_some_and(|key| *key.name() == header.log);
        let Some(old) = &header.continues else {
            // The header that opened the epoch may be one that could not be read.
            let opened_unread = !self.holes.is_empty() && is_of(self.epoch + 1);
            self.epoch += usize::from(opened_unread);
            return opened_unread || is_of(self.epoch);
        };
        let signed = self
            .keys
            .get(self.epoch)
            .is_some_and(|key| Checkpoint::open(old.note().as_bytes(), key).is_ok());
        let same_root = self.tree.as_ref().is_none_or(|tree| tree.root() == old.root());
        let continues = signed && same_root && old.size() == leaf && is_of(self.epoch + 1);
        self.epoch += usize::from(continues);
        continues
    }

    fn hole(&mut self, leaf: u64) {
        let room = self.holes.len() < FINDINGS_MAX;
        match self.holes.last_mut() {
            Some((_, end)) if *end == leaf => *end = leaf + 1,
            _ if room => self.holes.push((leaf, leaf + 1)),
            // Past the limit later chain breaks may be reported for nothing; much is wrong anyway.
            _ => {}
        }
    }

    /// A header that follows one we could not read is not to blame.
    fn in_hole(&self, previous: Option<(u64, Hash)>) -> bool {
        let Some((leaf, _)) = previous else { return false };
        self.holes.iter().any(|&(start, end)| (start..end).contains(&leaf))
    }

    fn read_tile(&mut self, name: TileName) -> Option<Vec<Hash>> {
        let path = name.to_string();
        let bytes = self.read(Path::new(&path), TILE_WIDTH as usize * HASH_BYTES)?;
        let hashes = decode_tile(&bytes, name.width);
        if hashes.is_none() {
            self.wrong(&path, Problem::Length);
        }
        hashes
    }

    fn read(&mut self, path: &Path, bytes_max: usize) -> Option<Vec<u8>> {
        let file = self.dir.join(path);
        let problem = match disk::read_file(&file, bytes_max) {
            Ok(Some(bytes)) => {
                self.report.files += 1;
                return Some(bytes);
            }
            Ok(None) => Problem::Missing,
            Err(LedgerError::Io { source, .. }) => Problem::Unreadable(source.to_string()),
            Err(_) => Problem::Length,
        };
        self.found(Finding { file, leaf: None, batch: None, index: None, problem });
        None
    }

    /// Names the first hash of a tile that is not what it should be, if that is known.
    fn tile_differs(&mut self, name: TileName, found: Option<&[Hash]>, right: Option<&[Hash]>) {
        let (Some(found), file) = (found, self.dir.join(name.to_string())) else { return };
        let level = match name.row {
            Row::Hashes(level) => u32::from(level),
            Row::Entries => 0,
        };
        let place = right.and_then(|right| right.iter().zip(found).position(|(a, b)| a != b));
        let item = place.map(|place| name.index * TILE_WIDTH + place as u64);
        let leaf = item.and_then(|item| item.checked_shl(8 * level));
        self.found(Finding { file, leaf, batch: None, index: None, problem: Problem::Hash });
    }

    fn wrong(&mut self, path: &str, problem: Problem) {
        let file = self.dir.join(path);
        self.found(Finding { file, leaf: None, batch: None, index: None, problem });
    }

    fn found(&mut self, finding: Finding) {
        self.report.findings_total += 1;
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(finding);
        }
    }
}

/// One partial tile of the right edge.
struct Edge {
    name: TileName,
    width: u64,
    hashes: Option<Vec<Hash>>,
    missing: bool,
}

fn subtree_root(hashes: &[Hash]) -> Hash {
    let mut tree = BatchTree::new();
    tree.extend(hashes.iter().copied());
    tree.root()
}

/// The root of a log from its partial tiles, highest level first; `None` when one is unknown.
fn edges_root<'a>(edges: impl Iterator<Item = &'a Option<Vec<Hash>>>) -> Option<Hash> {
    let mut complete = Vec::new();
    for hashes in edges {
        let mut rest = hashes.as_deref()?;
        while !rest.is_empty() {
            let (subtree, after) = rest.split_at(1 << rest.len().ilog2());
            complete.push(subtree_root(subtree));
            rest = after;
        }
    }
    let mut from_the_right = complete.into_iter().rev();
    let last = from_the_right.next()?;
    Some(from_the_right.fold(last, |right, left| Hash::node(left, right)))
}
