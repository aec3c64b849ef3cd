//! How far each target has come, in one file that checks itself: a first line with the SHA-256 of the
//! rest, and JSON. Losing it costs no event: a target then begins where it was told to begin.

use crate::{DataDir, NodeError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What the first line begins with; the version is raised when the JSON changes its meaning.
const MAGIC: &str = "yagura-forward 1 ";

/// A state that is longer is none of ours, in bytes.
const STATE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How far a target has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The leaf of the events log that comes next: all batches before it are settled.
    pub(crate) next: u64,
    /// Events that were taken by the receiver.
    pub(crate) sent: u64,
    /// Events that the receiver refused for good.
    pub(crate) refused: u64,
    /// Events that were gone from the store before they were sent.
    pub(crate) missed: u64,
}

pub(crate) type Places = BTreeMap<String, Place>;

/// Why a stored state cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("the places of forwarding cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error(
        "the places of forwarding were changed or cut: the file does not fit its own SHA-256. Remove it, and \
         every target begins where its `start` says"
    )]
    Changed,
    #[error("the places of forwarding are of another version: {0}")]
    Meaning(#[from] serde_json::Error),
}

pub(crate) fn path(data: &DataDir) -> PathBuf {
    data.forward().join(crate::sources::state::STATE_FILE)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The places, or none where there is no file yet.
pub(crate) fn read(path: &Path) -> Result<Places, StateError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(STATE_BYTES_MAX).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Places::new()),
        Err(error) => return Err(error.into()),
    };
    let line_end = bytes.iter().position(|byte| *byte == b'\n').ok_or(StateError::Changed)?;
    let body = bytes.split_off(line_end + 1);
    if bytes != format!("{MAGIC}{}\n", hex(&Sha256::digest(&body))).as_bytes() {
        return Err(StateError::Changed);
    }
    Ok(serde_json::from_slice(&body)?)
}

/// Writes the places: beside the old ones, then in their place.
pub(crate) fn write(data: &DataDir, places: &Places) -> Result<(), NodeError> {
    let body = serde_json::to_vec(places).map_err(|error| NodeError::Content(error.to_string()))?;
    let mut bytes = format!("{MAGIC}{}\n", hex(&Sha256::digest(&body))).into_bytes();
    bytes.extend_from_slice(&body);
    crate::sources::state::write(&data.forward(), &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_and_every_changed_byte_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path());
        assert_eq!(read(&path(&data)).unwrap(), Places::new());
        let place = Place { next: 7, sent: 20_000, refused: 1, missed: 0 };
        let places = Places::from([("siem".to_owned(), place)]);
        write(&data, &places).unwrap();
        assert_eq!(read(&path(&data)).unwrap(), places);
        let whole = std::fs::read(path(&data)).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(path(&data), &changed).unwrap();
            assert!(read(&path(&data)).is_err(), "{at}");
            std::fs::write(path(&data), &whole[..at]).unwrap();
            assert!(read(&path(&data)).is_err(), "cut at {at}");
        }
    }
}
