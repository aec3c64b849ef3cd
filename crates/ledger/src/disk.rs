//! File operations whose effect outlives a power cut.

use crate::LedgerError;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Directories whose entries have changed and are not yet durable.
#[derive(Debug, Default)]
pub(crate) struct DirtyDirs(BTreeSet<PathBuf>);

impl DirtyDirs {
    /// Notes that an entry of `path`'s parent has changed.
    pub(crate) fn entry(&mut self, path: &Path) {
        if let Some(parent) = path.parent() {
            self.0.insert(parent.to_owned());
        }
    }

    /// Makes the changed entries durable.
    pub(crate) fn sync(&mut self) -> Result<(), LedgerError> {
        for dir in &self.0 {
            sync_dir(dir)?;
        }
        self.0.clear();
        Ok(())
    }
}

/// Creates `dir` and what leads to it, noting every new entry.
pub(crate) fn create_dirs(dir: &Path, dirty: &mut DirtyDirs) -> Result<(), LedgerError> {
    let missing: Vec<&Path> =
        dir.ancestors().take_while(|dir| fs::symlink_metadata(dir).is_err()).collect();
    for dir in missing.into_iter().rev().filter(|dir| !dir.as_os_str().is_empty()) {
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(LedgerError::io("create", dir)(error));
            }
            _ => dirty.entry(dir),
        }
    }
    Ok(())
}

/// Writes a whole file and makes its contents durable; its name is durable once `dirty` is synced.
/// A crash in between leaves the file absent, short, or whole.
pub(crate) fn write_file(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    dirty: &mut DirtyDirs,
) -> Result<(), LedgerError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(mode).open(path);
    let mut file = opened.map_err(LedgerError::io("create", path))?;
    dirty.entry(path);
    file.write_all(bytes).map_err(LedgerError::io("write", path))?;
    file.sync_all().map_err(LedgerError::io("sync", path))
}

/// Replaces a file in one step: at every moment either the old or the new one is there, whole.
pub(crate) fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), LedgerError> {
    let temporary = temporary_of(path);
    let mut dirty = DirtyDirs::default();
    write_file(&temporary, bytes, mode, &mut dirty)?;
    rename_durably(&temporary, path)
}

/// The name under which the successor of `path` is written.
pub(crate) fn temporary_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

/// Renames and makes the new name durable.
pub(crate) fn rename_durably(from: &Path, to: &Path) -> Result<(), LedgerError> {
    fs::rename(from, to).map_err(LedgerError::io("rename", from))?;
    sync_dir(to.parent().unwrap_or(Path::new(".")))
}

/// Sets the file's contents from `offset` on to `bytes`, durably.
pub(crate) fn rewrite_tail(path: &Path, offset: u64, bytes: &[u8]) -> Result<(), LedgerError> {
    use std::os::unix::fs::FileExt as _;
    let opened = OpenOptions::new().write(true).open(path);
    let file = opened.map_err(LedgerError::io("open", path))?;
    file.set_len(offset).map_err(LedgerError::io("truncate", path))?;
    file.write_all_at(bytes, offset).map_err(LedgerError::io("append to", path))?;
    file.sync_all().map_err(LedgerError::io("sync", path))
}

/// The file's bytes, at most `bytes_max` of them; a longer file is damaged. `None` if absent.
pub(crate) fn read_file(path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, LedgerError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LedgerError::io("open", path)(error)),
    };
    let limit = bytes_max as u64 + 1;
    let expected = file.metadata().map_or(0, |metadata| metadata.len()).min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    file.take(limit).read_to_end(&mut bytes).map_err(LedgerError::io("read", path))?;
    if bytes.len() > bytes_max {
        return Err(LedgerError::damaged(path.to_owned(), "it is longer than it may be"));
    }
    Ok(Some(bytes))
}

/// Removes a file that may be gone already.
pub(crate) fn remove_file(path: &Path) -> Result<(), LedgerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LedgerError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn sync_dir(dir: &Path) -> Result<(), LedgerError> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let synced = File::open(dir).and_then(|file| file.sync_all());
    synced.map_err(LedgerError::io("sync", dir))
}
