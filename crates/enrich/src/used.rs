//! Files that were read: which they were, and whether they are still the same.

use crate::error::EnrichError;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileUsed {
    /// What for: `city`, `country`, `asn`, `users` or `assets`.
    pub role: &'static str,
    /// Where it is; the name of its sender where it came another way.
    pub path: PathBuf,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
    /// When a database was built, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built_epoch_s: Option<u64>,
    /// Users or assets in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    #[serde(skip)]
    pub(crate) stamp: Stamp,
}

impl FileUsed {
    pub(crate) fn new(role: &'static str, path: &Path, stamp: Stamp, bytes: &[u8]) -> Self {
        let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let (path, bytes) = (path.to_owned(), bytes.len() as u64);
        FileUsed { role, path, sha256, bytes, built_epoch_s: None, rows: None, stamp }
    }
}

/// What tells a file from another that took its place: everything but its contents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stamp(Option<(u64, u64, i64, i64)>);

impl Stamp {
    pub(crate) fn of(path: &Path) -> Stamp {
        let known = std::fs::metadata(path);
        Stamp(known.ok().map(|it| (it.ino(), it.len(), it.mtime(), it.mtime_nsec())))
    }
}

/// Refuses what is no file, before it is opened: a FIFO would wait for its writer for ever.
pub(crate) fn check_regular(path: &Path) -> Result<(), EnrichError> {
    let failed = |source| EnrichError::Io { path: path.to_owned(), source };
    match std::fs::metadata(path).map_err(failed)?.is_file() {
        true => Ok(()),
        false => Err(EnrichError::NoFile { path: path.to_owned() }),
    }
}

/// The whole file, if it has no more than `bytes_max`.
pub(crate) fn read_limited(path: &Path, bytes_max: u64) -> Result<Vec<u8>, EnrichError> {
    let failed = |source| EnrichError::Io { path: path.to_owned(), source };
    check_regular(path)?;
    let file = File::open(path).map_err(failed)?;
    let told = file.metadata().map_err(failed)?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(told.min(bytes_max)).unwrap_or(0));
    // It may grow meanwhile.
    if told <= bytes_max {
        file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if told > bytes_max || bytes.len() as u64 > bytes_max {
        return Err(EnrichError::TooLarge { path: path.to_owned(), bytes_max });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_the_limit_and_told_apart_by_more_than_their_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_limited(&path, 5).unwrap(), b"12345");
        let error = read_limited(&path, 4).unwrap_err();
        assert!(matches!(error, EnrichError::TooLarge { bytes_max: 4, .. }), "{error}");
        assert!(read_limited(&dir.path().join("none"), 5).is_err());
        // A directory, one without an end, and one that would wait.
        let fifo = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        for path in [dir.path(), Path::new("/dev/zero"), &fifo] {
            let error = read_limited(path, 4).unwrap_err();
            assert!(matches!(error, EnrichError::NoFile { .. }), "{error}");
        }
        let before = Stamp::of(&path);
        assert_eq!(before, Stamp::of(&path));
        let other = dir.path().join("other");
        std::fs::write(&other, "54321").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_ne!(before, Stamp::of(&path));
        assert_eq!(Stamp::of(&dir.path().join("none")), Stamp::default());
        // No empty database is as large as a real one: sparse, nothing of it is read.
        let large = File::create(&path).unwrap();
        large.set_len(crate::limits::DATABASE_BYTES_MAX + 1).unwrap();
        let error = read_limited(&path, crate::limits::DATABASE_BYTES_MAX).unwrap_err();
        assert!(matches!(error, EnrichError::TooLarge { .. }), "{error}");
    }
}
