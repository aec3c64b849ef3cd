use crate::JournalError;
use rustix::fs::{FlockOperation, flock, fstat};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The right to write to a directory, held by one process at a time with `flock(2)` and given back
/// when dropped, or by the kernel when the process dies. The file stays empty.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
    path: PathBuf,
}

impl DirLock {
    /// Locks the file `path`, creating it if needed.
    ///
    /// # Errors
    /// [`JournalError::Locked`] when another holder exists, [`JournalError::Io`] otherwise.
    pub fn acquire(path: &Path) -> Result<DirLock, JournalError> {
        let failed = |error| JournalError::io("locking", path, error);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(DirLock { _file: file, path: path.to_owned() }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(JournalError::Locked { path: path.to_owned(), holder: holder_of(&file) })
            }
            Err(errno) => Err(failed(errno.into())),
        }
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The process that `/proc/locks` names for this file's inode, if it is readable.
fn holder_of(file: &File) -> Option<u32> {
    let inode = format!(":{}", fstat(file).ok()?.st_ino);
    let table = std::fs::read_to_string("/proc/locks").ok()?;
    // A line reads: `1: FLOCK  ADVISORY  WRITE 4242 fe:01:131 0 EOF`.
    table.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let kind = words.next()?;
        let pid = words.nth(2)?;
        let place = words.next()?;
        (kind == "FLOCK" && place.ends_with(&inode)).then(|| pid.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_by_name_and_admitted_after_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let first = DirLock::acquire(&path).unwrap();
        let error = DirLock::acquire(&path).unwrap_err();
        let JournalError::Locked { holder, .. } = &error else { panic!("{error}") };
        if let Some(pid) = holder {
            assert_eq!(*pid, std::process::id());
        }
        assert!(error.to_string().contains("in use by another process"), "{error}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        drop(first);
        DirLock::acquire(&path).unwrap();
    }
}
