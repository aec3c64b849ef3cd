//! Checkpoints (c2sp.org/tlog-checkpoint): the signed size and root of a log.

use crate::header::is_origin;
use crate::note::split_note;
use crate::text::Lines;
use crate::{Hash, NoteError, SigningKey, VerifierKey};
use std::sync::Arc;

/// The size and root of a log at one moment, as its key signed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: Arc<str>,
    size: u64,
    root: Hash,
    note: String,
}

impl Checkpoint {
    /// Signs the head of a log; the origin is the key's name. Nothing but [`crate::Log`], which
    /// proves consistency first, should call this on a key that is in use.
    pub fn sign(size: u64, root: Hash, key: &SigningKey) -> Checkpoint {
        let origin = key.name().clone();
        let note = key.sign(&format!("{origin}\n{size}\n{}\n", root.to_base64()));
        Checkpoint { origin, size, root, note }
    }

    /// Reads a checkpoint that `key` must have signed and whose origin must be the key's name.
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Checkpoint, NoteError> {
        let text = key.open(note)?;
        let checkpoint = Self::read(note, text).ok_or(NoteError::Malformed)?;
        if checkpoint.origin == *key.name() { Ok(checkpoint) } else { Err(NoteError::NotSigned) }
    }

    /// Reads a checkpoint without looking at its signatures. Nothing it says may be believed.
    pub fn parse_unverified(note: &[u8]) -> Result<Checkpoint, NoteError> {
        Self::read(note, split_note(note)?.0).ok_or(NoteError::Malformed)
    }

    fn read(note: &[u8], text: &str) -> Option<Checkpoint> {
        let mut lines = Lines::new(text);
        let origin = lines.line().filter(|origin| is_origin(origin))?.into();
        let size = crate::text::decimal(lines.line()?)?;
        let root = Hash::from_base64(lines.line()?).ok()?;
        // Extension lines are allowed by the specification but not written by our logs: what no
        // one checks has no place under a signature.
        let note = std::str::from_utf8(note).ok()?.to_owned();
        lines.rest().is_empty().then_some(Checkpoint { origin, size, root, note })
    }

    /// The log's identity.
    pub fn origin(&self) -> &Arc<str> {
        &self.origin
    }

    /// Number of headers in the log.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the outer tree.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// The signed note, exactly.
    pub fn note(&self) -> &str {
        &self.note
    }
}
