//! A log on disk. See `docs/format/ledger.md` for the files and the order in which they change.

mod history;
mod open;
mod publish;
mod snapshot;
mod state;
mod tile_reader;

pub(crate) use history::NOTE_LINES;
pub use snapshot::{LogSnapshot, SnapshotFile};

use crate::header::HeaderGlance;
use crate::limits::{PENDING_HEADERS_MAX, TILE_WIDTH};
use crate::proof::TlogProof;
use crate::tiles::{BUNDLE_BYTES_MAX, Row, TileName, decode_bundle};
use crate::tree::{consistency_proof, inclusion_path};
use crate::{
    BatchHeader, Checkpoint, Hash, HeaderError, LedgerError, SigningKey, VerifierKey, disk, epoch,
};
use publish::Publisher;
use state::State;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tile_reader::TileReader;
use yagura_event::{StreamName, UtcMicros};

/// Name of the newest signed checkpoint within a log directory.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// Name of the history of checkpoints.
pub(crate) const HISTORY: &str = "checkpoints";
/// Name of the directory of tiles and bundles.
pub(crate) const TILE_DIR: &str = "tile";

/// A log of batch headers on disk. One process opens it at a time (the caller holds the lock on
/// the data directory); threads share it as `Arc<Log>`.
///
/// [`Log::append`] gives a header its place in memory, [`Log::publish`] makes it part of the
/// signed log. In between the header's durable copy is the journal's seal record: after a crash the
/// journal appends its seal records again in the same order, and [`Log::append`] answers for those
/// already here with the place they have.
pub struct Log {
    dir: PathBuf,
    /// Without one nothing is ever signed or written.
    key: Option<SigningKey>,
    /// The public keys of the log's epochs, the oldest first; the last is that of `key`. Never empty.
    keys: Vec<VerifierKey>,
    origin: Arc<str>,
    /// Held during a whole publication, and always taken before `state`.
    publisher: Mutex<Publisher>,
    /// Held for moments only; never while writing to disk.
    state: Mutex<State>,
}

/// What the log knows of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamState {
    /// Leaf index of its newest header.
    pub leaf: u64,
    /// Leaf hash of its newest header.
    pub hash: Hash,
    /// Records in all its batches.
    pub records: u64,
    /// Number of its batches, heartbeats included.
    pub batches: u64,
}

impl Log {
    /// Opens the log in `dir`, or starts one there. `origin` must be the key's name. Removes what a
    /// crash left beyond the last checkpoint.
    ///
    /// # Errors
    /// Refuses, naming the file, when the directory is not exactly what its last checkpoint
    /// signed as far as its right edge shows ([`crate::LogVerifier`] looks at everything), and when
    /// the checkpoint is older than the history.
    pub fn open(dir: &Path, origin: &str, key: SigningKey) -> Result<Log, LedgerError> {
        if &**key.name() != origin {
            let (origin, key) = (origin.to_owned(), key.name().to_string());
            return Err(LedgerError::Origin { origin, key });
        }
        Log::open_epochs(dir, &[], key)
    }

    /// [`Log::open`] of a log that may have had epochs before: `earlier` are their public keys, the
    /// oldest first, and `key` is that of the newest.
    ///
    /// # Errors
    /// As [`Log::open`], and when the epochs of the log are not those of the keys.
    pub fn open_epochs(
        dir: &Path,
        earlier: &[VerifierKey],
        key: SigningKey,
    ) -> Result<Log, LedgerError> {
        let keys = [earlier, &[key.verifier_key().clone()]].concat();
        let (state, publisher) = open::recover(dir, &keys, &key)?;
        Ok(Log::new(dir, Some(key), keys, state, publisher))
    }

    /// Opens the log to be read alone: nothing is signed, nothing in the directory changes. What is
    /// appended stays in memory, and [`Log::publish`] answers with the checkpoint that is there.
    ///
    /// # Errors
    /// As [`Log::open_epochs`], and when there is no log.
    pub fn open_to_read(dir: &Path, keys: &[VerifierKey]) -> Result<Log, LedgerError> {
        let state = open::read(dir, keys)?;
        Ok(Log::new(dir, None, keys.to_owned(), state, Publisher::default()))
    }

    /// Opens a new epoch of the log in `dir`, whose epochs so far have these keys: its first header
    /// names the last checkpoint, and `key` signs from there on. The name of `key` must be
    /// [`epoch::next_origin`]. Nothing of the log changes but that it grows.
    ///
    /// # Errors
    /// As [`Log::open_epochs`]; [`LedgerError::Origin`] for a key with another name.
    pub fn open_epoch(
        dir: &Path,
        keys: &[VerifierKey],
        key: SigningKey,
        at: UtcMicros,
    ) -> Result<Log, LedgerError> {
        let origin = epoch::next_origin(keys.last().map_or("", |key| key.name()));
        if **key.name() != *origin {
            return Err(LedgerError::Origin { origin, key: key.name().to_string() });
        }
        let (state, publisher) = open::recover(dir, keys, &key)?;
        let keys = [keys, &[key.verifier_key().clone()]].concat();
        let stream = StreamName::new(epoch::EPOCH_STREAM);
        let batch = epoch::first_batch(state.highest_batch());
        let refuse = |source| LedgerError::Header { batch, source };
        let stream = stream.map_err(|_| refuse(HeaderError::opens_an_epoch()))?;
        let header = BatchHeader {
            log: origin.into(),
            batch,
            stream_prev: state.streams.get(&stream).map(|stream| (stream.leaf, stream.hash)),
            stream,
            first_received: at,
            last_received: at,
            count: 0,
            rejected: Default::default(),
            parser: "none".into(),
            root: Hash::empty_root(),
            continues: Some(state.checkpoint.clone()),
        };
        let log = Log::new(dir, Some(key), keys, state, publisher);
        log.append_one(&header)?;
        log.publish()?;
        Ok(log)
    }

    fn new(
        dir: &Path,
        key: Option<SigningKey>,
        keys: Vec<VerifierKey>,
        state: State,
        publisher: Publisher,
    ) -> Log {
        let origin = keys.last().map_or_else(|| "".into(), |key| key.name().clone());
        let (publisher, state) = (Mutex::new(publisher), Mutex::new(state));
        Log { dir: dir.to_owned(), key, keys, origin, publisher, state }
    }

    /// The log's identity, to be written into every header's `log`.
    pub fn origin(&self) -> &Arc<str> {
        &self.origin
    }

    /// The public key that verifies new checkpoints of the log; `None` of a log without keys, which no
    /// function here opens.
    pub fn verifier_key(&self) -> Option<&VerifierKey> {
        self.keys.last()
    }

    /// The public keys of the log's epochs, the oldest first. The last verifies new checkpoints.
    pub fn verifier_keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// The public key that verifies proofs of the header at `leaf`: that of its epoch.
    pub fn verifier_key_of(&self, leaf: u64) -> Option<&VerifierKey> {
        let before = self.state().epochs.partition_point(|epoch| epoch.leaf <= leaf);
        self.keys.get(before)
    }

    /// The number that batches of the newest epoch have at least; 0 in the first epoch. A batch with a
    /// lower one may have gone on elsewhere, so nothing may be added to it.
    pub fn first_batch(&self) -> u64 {
        self.state().epochs.last().map_or(0, |epoch| epoch.batch)
    }

    /// Whether the newest header is the one that opened the newest epoch.
    pub fn is_fresh_epoch(&self) -> bool {
        let state = self.state();
        state.epochs.last().is_some_and(|epoch| epoch.leaf + 1 == state.size())
    }

    /// The log's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends headers and returns their leaf indices. A header that is here already keeps its
    /// place. Publishes by itself whenever [`PENDING_HEADERS_MAX`] headers wait.
    ///
    /// # Errors
    /// At the first header that breaks its rules, is of another log, does not continue its stream
    /// ([`Log::stream_tail`]), or contradicts what the log has for its batch. Those before it stay
    /// appended; appending them again does no harm.
    pub fn append(&self, headers: &[BatchHeader]) -> Result<Vec<u64>, LedgerError> {
        let mut leaves = Vec::with_capacity(headers.len());
        for header in headers {
            if self.state().pending() >= PENDING_HEADERS_MAX as u64 {
                self.publish()?;
            }
            if header.continues.is_some() {
                let source = HeaderError::opens_an_epoch();
                return Err(LedgerError::Header { batch: header.batch, source });
            }
            leaves.push(self.append_one(header)?);
        }
        Ok(leaves)
    }

    fn append_one(&self, header: &BatchHeader) -> Result<u64, LedgerError> {
        let batch = header.batch;
        let refuse = |source| LedgerError::Header { batch, source };
        let text = header.checked_text().map_err(refuse)?;
        if header.log != *self.origin() {
            return Err(refuse(crate::HeaderError::other_log()));
        }
        let mut state = self.state();
        if let Some((leaf, present)) = self.find(&mut state, batch)? {
            let same = present == text;
            return if same { Ok(leaf) } else { Err(LedgerError::BatchTaken { batch, leaf }) };
        }
        let tail = state.streams.get(&header.stream).map(|stream| (stream.leaf, stream.hash));
        if header.stream_prev != tail {
            let spell = |prev: Option<(u64, Hash)>| {
                prev.map_or("none".to_owned(), |(leaf, hash)| format!("{leaf}:{hash}"))
            };
            let (expected, found) = (spell(tail), spell(header.stream_prev));
            return Err(LedgerError::StreamPrev { batch, expected, found });
        }
        Ok(state.push(header, text))
    }

    /// Signs a checkpoint over everything appended, if there is anything new, and returns the
    /// newest checkpoint. When it returns, tiles, checkpoint and history are durable.
    ///
    /// # Errors
    /// When the disk refuses; what was appended stays in memory and the next call tries again.
    /// When the tree no longer continues the last checkpoint; then nothing is signed.
    pub fn publish(&self) -> Result<Checkpoint, LedgerError> {
        let mut publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.key {
            Some(key) => publisher.run(&self.dir, key, &self.state),
            None => Ok(self.checkpoint()),
        }
    }

    /// Headers appended, whether or not a checkpoint covers them.
    pub fn size(&self) -> u64 {
        self.state().size()
    }

    /// The newest checkpoint; the headers below its size are durable and signed.
    pub fn checkpoint(&self) -> Checkpoint {
        self.state().checkpoint.clone()
    }

    /// The header at a leaf index.
    pub fn header(&self, leaf: u64) -> Result<BatchHeader, LedgerError> {
        let mut state = self.state();
        let text = self.text(&mut state, leaf)?;
        BatchHeader::parse(&text).map_err(|_| self.damaged_entry(leaf, state.size()))
    }

    /// Where the header of a batch stands.
    pub fn leaf_of_batch(&self, batch: u64) -> Result<Option<u64>, LedgerError> {
        Ok(self.find(&mut self.state(), batch)?.map(|(leaf, _)| leaf))
    }

    /// Leaf index and leaf hash of a stream's newest header: the `stream_prev` of its next one.
    pub fn stream_tail(&self, stream: &StreamName) -> Option<(u64, Hash)> {
        self.state().streams.get(stream).map(|stream| (stream.leaf, stream.hash))
    }

    /// Records in all batches of a stream.
    pub fn stream_count(&self, stream: &StreamName) -> u64 {
        self.state().streams.get(stream).map_or(0, |stream| stream.records)
    }

    /// Every stream the log has a header of, by name, but the one in which epochs are opened.
    pub fn streams(&self) -> Vec<(StreamName, StreamState)> {
        let state = self.state();
        let mut streams: Vec<_> =
            state.streams.iter().map(|(name, stream)| (name.clone(), *stream)).collect();
        streams.retain(|(name, _)| name.as_str() != epoch::EPOCH_STREAM);
        streams.sort_by(|a, b| a.0.cmp(&b.0));
        streams
    }

    /// Proof that the header at `leaf` is in the log: to the newest checkpoint, or for a header of an
    /// earlier epoch to that epoch's last, which its own key signed.
    ///
    /// # Errors
    /// [`LedgerError::NoSuchLeaf`] when no checkpoint covers it yet: publish first.
    pub fn inclusion_proof(&self, leaf: u64) -> Result<TlogProof, LedgerError> {
        // Tiles are replaced only while publishing, so none vanishes under our hands.
        let _publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        let (newest, checkpoint) = {
            let state = self.state();
            let later = state.epochs.iter().find(|epoch| epoch.leaf > leaf);
            let last = later.map_or(&state.checkpoint, |epoch| &epoch.old).clone();
            (state.checkpoint.size(), last)
        };
        let size = checkpoint.size();
        let path = inclusion_path(&TileReader::new(&self.dir, newest), leaf, size)?;
        let path = path.ok_or(LedgerError::NoSuchLeaf { leaf, size })?;
        Ok(TlogProof { index: leaf, path, checkpoint: checkpoint.note().to_owned() })
    }

    /// Proof that the newest checkpoint continues the tree of `old` headers; with the checkpoint.
    ///
    /// # Errors
    /// [`LedgerError::NoSuchLeaf`] when `old` is larger than the newest checkpoint.
    pub fn consistency_proof(&self, old: u64) -> Result<(Vec<Hash>, Checkpoint), LedgerError> {
        let _publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        let checkpoint = self.checkpoint();
        let size = checkpoint.size();
        let proof = consistency_proof(&TileReader::new(&self.dir, size), old, size)?;
        Ok((proof.ok_or(LedgerError::NoSuchLeaf { leaf: old, size })?, checkpoint))
    }

    /// The root that the log had when it held `size` headers; `None` when it never did, or no checkpoint
    /// covers them yet.
    pub fn root_at(&self, size: u64) -> Result<Option<Hash>, LedgerError> {
        let _publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = self.checkpoint().size();
        match size {
            0 => Ok(Some(Hash::empty_root())),
            _ if size > newest => Ok(None),
            _ => crate::tree::root(&TileReader::new(&self.dir, newest), size).map(Some),
        }
    }

    /// Recomputes the whole log while no publication runs; see [`crate::LogVerifier`].
    pub fn verify(&self) -> crate::LogReport {
        let _publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        crate::LogVerifier::of_epochs(&self.dir, self.keys.clone()).run()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Proof that a poisoned state is sound: nothing between the first and the last change of
        // `State::push` can panic short of an allocation failure, which aborts.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The header of a batch, if the log has one.
    fn find(&self, state: &mut State, batch: u64) -> Result<Option<(u64, String)>, LedgerError> {
        for bundle in state.bundles_that_may_hold(batch) {
            let texts = self.bundle(state, bundle)?;
            let is_it = |text: &str| HeaderGlance::at(text).is_some_and(|at| at.batch == batch);
            let found = (bundle * TILE_WIDTH..).zip(texts).find(|(_, text)| is_it(text));
            if let Some((leaf, text)) = found {
                return Ok(Some((leaf, text.clone())));
            }
        }
        Ok(None)
    }

    fn text(&self, state: &mut State, leaf: u64) -> Result<String, LedgerError> {
        let size = state.size();
        if leaf >= size {
            return Err(LedgerError::NoSuchLeaf { leaf, size });
        }
        let texts = self.bundle(state, leaf / TILE_WIDTH)?;
        let text = texts.get((leaf % TILE_WIDTH) as usize).cloned();
        text.ok_or_else(|| self.damaged_entry(leaf, size))
    }

    /// The headers of one bundle, from memory or from disk.
    fn bundle<'a>(&self, state: &'a mut State, bundle: u64) -> Result<&'a [String], LedgerError> {
        if bundle == state.size() / TILE_WIDTH {
            return Ok(&state.tail);
        }
        if state.cached(bundle).is_none() {
            let name = TileName { row: Row::Entries, index: bundle, width: TILE_WIDTH };
            let path = self.dir.join(name.to_string());
            let damaged = |what| LedgerError::damaged(path.clone(), what);
            let bytes = match state.full.get(&name) {
                Some(bytes) => Some(bytes.clone()),
                None => disk::read_file(&path, BUNDLE_BYTES_MAX)?,
            };
            let bytes = bytes.ok_or_else(|| damaged("it is missing"))?;
            let entries = decode_bundle(&bytes, TILE_WIDTH);
            let entries = entries.map_err(|_| damaged("it is cut short or too long"))?;
            let texts: Result<Vec<String>, _> =
                entries.into_iter().map(|entry| String::from_utf8(entry.to_vec())).collect();
            state.cache(bundle, texts.map_err(|_| damaged("a header in it is not UTF-8"))?);
        }
        Ok(state.cached(bundle).map_or(&[], Vec::as_slice))
    }

    fn damaged_entry(&self, leaf: u64, size: u64) -> LedgerError {
        let name = TileName::holding(Row::Entries, leaf, size).map(|name| name.to_string());
        let path = self.dir.join(name.unwrap_or_default());
        LedgerError::damaged(path, "a header in it is not one")
    }
}

#[cfg(test)]
mod tests;
