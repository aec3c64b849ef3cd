use super::publish::Publisher;
use super::state::{Epoch, State};
use super::tile_reader::{TileReader, edges};
use super::{CHECKPOINT, HISTORY, StreamState, TILE_DIR, history};
use crate::disk::{self, DirtyDirs};
use crate::header::{HeaderGlance, opens_an_epoch};
use crate::limits::{NOTE_BYTES_MAX, TILE_DEPTH_MAX, TILE_WIDTH};
use crate::tiles::{BUNDLE_BYTES_MAX, Row, TileName, decode_bundle};
use crate::tree::{inclusion_path, verify_inclusion};
use crate::{
    BatchHeader, BatchTree, Checkpoint, Hash, LedgerError, NoteError, SigningKey, VerifierKey,
};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use yagura_event::StreamName;

/// Brings `dir` to exactly what its checkpoint says and reads it. `keys` are those of the log's epochs,
/// the oldest first; `key` may start a log that is not there yet.
pub(super) fn recover(
    dir: &Path,
    keys: &[VerifierKey],
    key: &SigningKey,
) -> Result<(State, Publisher), LedgerError> {
    let mut dirty = DirtyDirs::default();
    disk::create_dirs(dir, &mut dirty)?;
    dirty.sync()?;
    let path = dir.join(CHECKPOINT);
    disk::remove_file(&disk::temporary_of(&path))?;
    let checkpoint = match disk::read_file(&path, NOTE_BYTES_MAX)? {
        Some(note) => newest(&note, path, keys)?,
        None => start(dir, key)?,
    };
    if checkpoint.size() == 0 && !exists(&dir.join(HISTORY))? {
        disk::write_file(&dir.join(HISTORY), b"", 0o644, &mut dirty)?;
        dirty.sync()?;
    }
    let history_bytes = history::recover(dir, &checkpoint, keys)?;
    remove_unsigned(dir, &dir.join(TILE_DIR), checkpoint.size(), TILE_DEPTH_MAX)?;
    let state = load(dir, checkpoint, keys)?;
    Ok((state, Publisher::new(history_bytes)))
}

/// Reads the log in `dir` as its checkpoint says it is and changes nothing.
pub(super) fn read(dir: &Path, keys: &[VerifierKey]) -> Result<State, LedgerError> {
    let path = dir.join(CHECKPOINT);
    let note = disk::read_file(&path, NOTE_BYTES_MAX)?;
    let note = note.ok_or_else(|| LedgerError::damaged(path.clone(), "it is missing"))?;
    load(dir, newest(&note, path, keys)?, keys)
}

/// The newest checkpoint, which the key of the newest epoch must have signed.
fn newest(note: &[u8], path: PathBuf, keys: &[VerifierKey]) -> Result<Checkpoint, LedgerError> {
    let opened = keys.last().ok_or(NoteError::NotSigned);
    let opened = opened.and_then(|key| Checkpoint::open(note, key));
    opened.map_err(|source| LedgerError::Checkpoint { path, source })
}

/// A new log: its first checkpoint says that it is empty.
fn start(dir: &Path, key: &SigningKey) -> Result<Checkpoint, LedgerError> {
    let path = dir.join(CHECKPOINT);
    if exists(&dir.join(HISTORY))? || exists(&dir.join(TILE_DIR))? {
        return Err(LedgerError::damaged(path, "it is missing"));
    }
    let checkpoint = Checkpoint::sign(0, Hash::empty_root(), key);
    disk::replace_file(&path, checkpoint.note().as_bytes(), 0o644)?;
    Ok(checkpoint)
}

fn exists(path: &Path) -> Result<bool, LedgerError> {
    path.try_exists().map_err(LedgerError::io("read", path))
}

/// Removes tiles and bundles that no checkpoint signed, and partial ones since superseded. Files
/// with other names are not ours to remove, nor are directories deeper than ours; verification
/// names them.
fn remove_unsigned(dir: &Path, at: &Path, size: u64, depth: usize) -> Result<(), LedgerError> {
    let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
    let entries = match fs::read_dir(at) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(LedgerError::io("list", at))?,
    };
    for entry in entries {
        let entry = entry.map_err(LedgerError::io("list", at))?;
        let path = entry.path();
        let file_type = entry.file_type().map_err(LedgerError::io("read", &path))?;
        if file_type.is_dir() {
            remove_unsigned(dir, &path, size, depth)?;
            // Succeeds only when it is empty now.
            let _ = fs::remove_dir(&path);
        } else if tile_name(dir, &path).is_some_and(|name| !name.belongs_to(size)) {
            disk::remove_file(&path)?;
        }
    }
    Ok(())
}

fn tile_name(dir: &Path, path: &Path) -> Option<TileName> {
    TileName::parse(path.strip_prefix(dir).ok()?.to_str()?)
}

/// Reads the log and proves to its signed root all that later headers will build on.
fn load(dir: &Path, checkpoint: Checkpoint, keys: &[VerifierKey]) -> Result<State, LedgerError> {
    let size = checkpoint.size();
    let root = checkpoint.root();
    let tiles = TileReader::new(dir, size);
    let mut state = State::empty(checkpoint);
    state.tree = BatchTree::load(&tiles, size)?;
    if state.tree.root() != root {
        let what = "its tiles are not those the checkpoint signed";
        return Err(LedgerError::damaged(dir.join(TILE_DIR), what));
    }
    state.edges = edges(&tiles)?;
    let mut streams = LastHeaders::default();
    for bundle in 0..size.div_ceil(TILE_WIDTH) {
        scan_bundle(dir, &mut state, &mut streams, bundle)?;
    }
    let edge = state.edges.first().map_or(&[][..], Vec::as_slice);
    let as_signed = state.tail.iter().map(|text| Hash::leaf(text.as_bytes()));
    if !as_signed.eq(edge.iter().copied()) {
        return Err(changed_entry(dir, size.saturating_sub(1), size));
    }
    for (name, (mut stream, text)) in streams {
        stream.hash = Hash::leaf(text.as_bytes());
        let proof = inclusion_path(&TileReader::new(dir, size), stream.leaf, size)?;
        let proof = proof.unwrap_or_default();
        verify_inclusion(stream.hash, stream.leaf, size, &proof, root)
            .map_err(|_| changed_entry(dir, stream.leaf, size))?;
        let name = StreamName::new(&name).map_err(|_| changed_entry(dir, stream.leaf, size))?;
        state.streams.insert(name, stream);
    }
    check_epochs(dir, &state, keys)?;
    Ok(state)
}

/// The epochs must be those whose keys are known, each opened with the signed head of the one before.
fn check_epochs(dir: &Path, state: &State, keys: &[VerifierKey]) -> Result<(), LedgerError> {
    if state.epochs.len() + 1 != keys.len() {
        let what = "the public key of one of its epochs is missing";
        return Err(LedgerError::damaged(dir.to_owned(), what));
    }
    for (epoch, key) in state.epochs.iter().zip(keys) {
        let signed = Checkpoint::open(epoch.old.note().as_bytes(), key);
        if signed.is_err() || epoch.old.size() != epoch.leaf {
            return Err(changed_entry(dir, epoch.leaf, state.size()));
        }
    }
    Ok(())
}

/// Per stream what is known of it and its newest header.
type LastHeaders = HashMap<Box<str>, (StreamState, String), RandomState>;

/// Notes batches and streams of one bundle, and the headers of a partial one.
fn scan_bundle(
    dir: &Path,
    state: &mut State,
    streams: &mut LastHeaders,
    bundle: u64,
) -> Result<(), LedgerError> {
    let size = state.size();
    let first = bundle * TILE_WIDTH;
    let name = TileName::holding(Row::Entries, first, size);
    let name = name.ok_or(LedgerError::NoSuchLeaf { leaf: first, size })?;
    let path = dir.join(name.to_string());
    let damaged = |what| LedgerError::damaged(path.clone(), what);
    let bytes = disk::read_file(&path, BUNDLE_BYTES_MAX)?;
    let bytes = bytes.ok_or_else(|| damaged("it is missing"))?;
    let entries = decode_bundle(&bytes, name.width);
    let entries = entries.map_err(|_| damaged("it is cut short or too long"))?;
    for (leaf, entry) in (first..).zip(entries) {
        let text = std::str::from_utf8(entry).ok();
        let glance = text.and_then(|text| Some((text, HeaderGlance::at(text)?)));
        let (text, glance) = glance.ok_or_else(|| damaged("a header in it is not one"))?;
        state.note_batch(leaf, glance.batch);
        if opens_an_epoch(text) {
            let header = BatchHeader::parse(text).ok();
            let old = header.and_then(|header| header.continues);
            let old = old.ok_or_else(|| damaged("a header in it is not one"))?;
            state.epochs.push(Epoch { leaf, batch: glance.batch, old });
        }
        let new = StreamState { leaf, hash: Hash::empty_root(), records: 0, batches: 0 };
        let (stream, last) =
            streams.entry_ref(glance.stream).or_insert_with(|| (new, String::new()));
        stream.leaf = leaf;
        stream.records = stream.records.saturating_add(glance.count);
        stream.batches += 1;
        last.clear();
        last.push_str(text);
        if name.width < TILE_WIDTH {
            state.tail.push(text.to_owned());
        }
    }
    Ok(())
}

fn changed_entry(dir: &Path, leaf: u64, size: u64) -> LedgerError {
    let name = TileName::holding(Row::Entries, leaf, size).map(|name| name.to_string());
    let what = "a header in it is not the one the checkpoint signed";
    LedgerError::damaged(dir.join(name.unwrap_or_default()), what)
}
