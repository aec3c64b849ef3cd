use super::{CHECKPOINT, HISTORY};
use crate::disk;
use crate::{Checkpoint, LedgerError, VerifierKey};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Lines of a checkpoint as our logs write it.
pub(crate) const NOTE_LINES: usize = 5;

/// Enough of the history's end for its last two notes: one has fewer than 1,024 bytes.
const TAIL_BYTES: u64 = 4_096;

/// Makes the history end with `checkpoint`, when all that it lacks is what a crash between
/// replacing the checkpoint and recording it takes away. Returns the history's length.
pub(super) fn recover(
    dir: &Path,
    checkpoint: &Checkpoint,
    keys: &[VerifierKey],
) -> Result<u64, LedgerError> {
    let path = dir.join(HISTORY);
    let note = checkpoint.note().as_bytes();
    let (tail, length) =
        read_tail(&path)?.ok_or_else(|| LedgerError::damaged(path.clone(), "it is missing"))?;
    if let Some(before) = tail.strip_suffix(note)
        && (before.is_empty() || before.ends_with(b"\n"))
    {
        return Ok(length);
    }
    for torn in 0..=note.len().min(tail.len()) {
        let (before, end) = tail.split_at(tail.len() - torn);
        if is_torn(end, note) && precedes(before, length, checkpoint, keys) {
            let start = length - torn as u64;
            disk::rewrite_tail(&path, start, note)?;
            return Ok(start + note.len() as u64);
        }
    }
    match last_note(&tail).and_then(|note| opened(note, keys)) {
        Some(last) if last.size() > checkpoint.size() => Err(LedgerError::Rollback {
            path: dir.join(CHECKPOINT),
            signed: last.size(),
            found: checkpoint.size(),
        }),
        _ => Err(LedgerError::damaged(path, "it does not end with the last checkpoint")),
    }
}

/// The last note of a text that ends with whole notes.
fn last_note(notes: &[u8]) -> Option<&[u8]> {
    let body = notes.strip_suffix(b"\n")?;
    let mut line_starts = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    match line_starts.nth(NOTE_LINES - 1) {
        Some((before, _)) => notes.get(before + 1..),
        None => {
            (notes.iter().filter(|byte| **byte == b'\n').count() == NOTE_LINES).then_some(notes)
        }
    }
}

/// Whether `end` is what a power cut leaves of `note`: its beginning, then zeros.
fn is_torn(end: &[u8], note: &[u8]) -> bool {
    let same = end.iter().zip(note).take_while(|(a, b)| a == b).count();
    end[same..].iter().all(|&byte| byte == 0)
}

/// Whether `before` ends with an older checkpoint than this one, or with none before the first.
fn precedes(before: &[u8], length: u64, checkpoint: &Checkpoint, keys: &[VerifierKey]) -> bool {
    if checkpoint.size() == 0 {
        return before.is_empty() && length <= TAIL_BYTES;
    }
    let last = last_note(before).and_then(|note| opened(note, keys));
    last.is_some_and(|last| last.size() < checkpoint.size())
}

/// A checkpoint that the key of one of the log's epochs signed.
fn opened(note: &[u8], keys: &[VerifierKey]) -> Option<Checkpoint> {
    keys.iter().rev().find_map(|key| Checkpoint::open(note, key).ok())
}

fn read_tail(path: &Path) -> Result<Option<(Vec<u8>, u64)>, LedgerError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LedgerError::io("open", path)(error)),
    };
    let length = file.metadata().map_err(LedgerError::io("read", path))?.len();
    let start = length.saturating_sub(TAIL_BYTES);
    let mut tail = vec![0; usize::try_from(length - start).unwrap_or(0)];
    file.read_exact_at(&mut tail, start).map_err(LedgerError::io("read", path))?;
    Ok(Some((tail, length)))
}
