//! What is known of sources, in one file that checks itself: a first line with the SHA-256 of the
//! rest, and JSON. It is a cache of what the events say, except for what was usual of them.

use super::track::Tracked;
use crate::NodeError;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

/// Name of the file in [`crate::DataDir::sources`].
pub(crate) const STATE_FILE: &str = "state";

/// A state that is being written; a crash may leave one.
pub(crate) const NEW_STATE_FILE: &str = "state.new";

/// What the first line begins with; the version is raised when the JSON changes its meaning.
const MAGIC: &str = "yagura-sources 1 ";

/// A state that is longer is none of ours, in bytes.
const STATE_BYTES_MAX: u64 = 1 << 30;

/// Why a stored state cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("the state of sources cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("the state of sources was changed or cut: it does not fit its own SHA-256")]
    Changed,
    #[error("the state of sources is of another version: {0}")]
    Meaning(#[from] serde_json::Error),
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The JSON of a state whose digest fits.
pub(crate) fn checked(path: &Path) -> Result<Vec<u8>, StateError> {
    let mut bytes = Vec::new();
    BufReader::new(File::open(path)?).take(STATE_BYTES_MAX).read_to_end(&mut bytes)?;
    let line_end = bytes.iter().position(|byte| *byte == b'\n').ok_or(StateError::Changed)?;
    let body = bytes.split_off(line_end + 1);
    let expected = format!("{MAGIC}{}\n", hex(&Sha256::digest(&body)));
    if bytes != expected.as_bytes() {
        return Err(StateError::Changed);
    }
    Ok(body)
}

/// Reads a state.
pub(crate) fn read(path: &Path) -> Result<Tracked, StateError> {
    let mut tracked: Tracked = serde_json::from_slice(&checked(path)?)?;
    tracked.index_anew();
    Ok(tracked)
}

/// The bytes of a state's file.
pub(crate) fn encode(tracked: &Tracked) -> Result<Vec<u8>, StateError> {
    let body = serde_json::to_vec(tracked)?;
    let mut bytes = format!("{MAGIC}{}\n", hex(&Sha256::digest(&body))).into_bytes();
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Writes a state. Order: the new file is written and synced, takes the old one's name, the directory
/// is synced. The first time, a directory with the state in it takes its name at once: there is never
/// one without.
pub(crate) fn write(dir: &Path, bytes: &[u8]) -> Result<(), NodeError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| NodeError::Io { path, source }
    };
    let is_first = !dir.is_dir();
    let into = if is_first { dir.with_extension("new") } else { dir.to_owned() };
    if is_first {
        std::fs::create_dir_all(&into).map_err(io(&into))?;
    }
    let new = into.join(NEW_STATE_FILE);
    let mut file = File::create(&new).map_err(io(&new))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io(&new))?;
    let state = into.join(STATE_FILE);
    std::fs::rename(&new, &state).map_err(io(&state))?;
    sync_dir(&into).map_err(io(&into))?;
    if is_first {
        std::fs::rename(&into, dir).map_err(io(dir))?;
        if let Some(parent) = dir.parent() {
            sync_dir(parent).map_err(io(parent))?;
        }
    }
    Ok(())
}

fn sync_dir(dir: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}
