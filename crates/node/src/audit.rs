//! The audit log: what people and Yagura itself did. Each entry is one JSON object, made durable
//! in the audit journal and sealed in the audit log. State that must be provable is a fold over
//! it: alerts, and the digests of every finished file.

use crate::NodeError;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};
use yagura_desk::{AuditError, AuditLog};
use yagura_event::{Clock, Record, StreamName, Transport};
use yagura_journal::Journal;

/// The stream every audit entry is in.
pub const AUDIT_STREAM: &str = "audit";

const FILE_RECORDED: &str = "file-recorded";
const FILE_REMOVED: &str = "file-removed";

/// Writes audit entries, and remembers the digests of finished files.
pub struct Audit {
    journal: Journal,
    stream: StreamName,
    clock: Arc<dyn Clock>,
    digests: Mutex<FileDigests>,
    /// Held by whoever writes; alone by whoever must see records and digests agree.
    still: RwLock<()>,
}

impl Audit {
    pub(crate) fn new(
        journal: Journal,
        clock: Arc<dyn Clock>,
        digests: FileDigests,
    ) -> Result<Self, NodeError> {
        let stream =
            StreamName::new(AUDIT_STREAM).map_err(|error| NodeError::Content(error.to_string()))?;
        Ok(Audit { journal, stream, clock, digests: Mutex::new(digests), still: RwLock::default() })
    }

    /// While held, nothing is recorded: the digests are those of the records, no more and no less.
    pub(crate) fn pause(&self) -> RwLockWriteGuard<'_, ()> {
        self.still.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes entries durable, in order, before it returns.
    pub fn write(&self, entries: &[Value]) -> Result<(), NodeError> {
        let _writing = self.still.read().unwrap_or_else(PoisonError::into_inner);
        self.append_durably(entries)
    }

    fn append_durably(&self, entries: &[Value]) -> Result<(), NodeError> {
        if entries.is_empty() {
            return Ok(());
        }
        let received = self.clock.now();
        let record = |entry: &Value| Record {
            received,
            transport: Transport::Internal,
            peer: "yagura".into(),
            identity: "yagura".into(),
            bytes: entry.to_string().into_bytes().into(),
        };
        self.journal.append(&self.stream, entries.iter().map(record).collect())?;
        Ok(())
    }

    /// Records the digests of files that will never change again.
    pub fn record_files(&self, files: &[FileDigest]) -> Result<(), NodeError> {
        let entries: Vec<Value> = files
            .iter()
            .map(|file| {
                json!({
                    "event.action": FILE_RECORDED,
                    "file.path": file.path,
                    "file.hash.sha256": file.sha256,
                    "file.size": file.bytes,
                })
            })
            .collect();
        let _writing = self.still.read().unwrap_or_else(PoisonError::into_inner);
        self.append_durably(&entries)?;
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        files.iter().for_each(|file| digests.insert(file.clone()));
        Ok(())
    }

    /// Records that files are removed: before they are, so that a crash leaves files that belong to
    /// nothing and never ones that are missed.
    pub fn record_removed(&self, paths: &[String]) -> Result<(), NodeError> {
        let entry = |path: &String| json!({ "event.action": FILE_REMOVED, "file.path": path });
        let _writing = self.still.read().unwrap_or_else(PoisonError::into_inner);
        self.append_durably(&paths.iter().map(entry).collect::<Vec<_>>())?;
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        for path in paths {
            digests.files.remove(path);
        }
        Ok(())
    }

    /// The digest of every file that is recorded, by path.
    pub(crate) fn files(&self) -> Vec<FileDigest> {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.iter().cloned().collect()
    }

    /// Whether the digest of the file at `path` is recorded.
    pub fn has_file(&self, path: &str) -> bool {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.files.contains_key(path)
    }

    /// Recorded files whose path `is_meant` takes, with their sizes.
    pub(crate) fn files_where(&self, is_meant: impl Fn(&str) -> bool) -> Vec<(String, u64)> {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let meant = digests.iter().filter(|file| is_meant(&file.path));
        meant.map(|file| (file.path.clone(), file.bytes)).collect()
    }

    /// Whether `file` is as it was recorded.
    pub(crate) fn file_is(&self, file: &FileDigest) -> bool {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.files.get(&file.path) == Some(file)
    }
}

impl AuditLog for Audit {
    fn append(&self, entries: Vec<Value>) -> Result<(), AuditError> {
        self.write(&entries).map_err(|error| AuditError { reason: error.to_string() })
    }
}

/// What a finished file must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDigest {
    /// Relative to the data directory, with `/`.
    pub path: String,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// The newest digest of every finished file: a fold over audit entries.
#[derive(Debug, Default)]
pub struct FileDigests {
    files: BTreeMap<String, FileDigest>,
}

impl FileDigests {
    /// Folds one entry; entries of other kinds are ignored.
    pub fn replay(&mut self, entry: &[u8]) {
        // Most entries are alerts; they are not parsed for this.
        let Ok(entry) = serde_json::from_slice::<FileEntry>(entry) else { return };
        match entry.action {
            FILE_RECORDED => self.insert(FileDigest {
                path: entry.path,
                sha256: entry.sha256,
                bytes: entry.bytes,
            }),
            FILE_REMOVED => {
                self.files.remove(&entry.path);
            }
            _ => {}
        }
    }

    /// Every file, by path.
    pub fn iter(&self) -> impl Iterator<Item = &FileDigest> {
        self.files.values()
    }

    /// The digest of one file.
    pub fn get(&self, path: &str) -> Option<&FileDigest> {
        self.files.get(path)
    }

    fn insert(&mut self, file: FileDigest) {
        self.files.insert(file.path.clone(), file);
    }
}

#[derive(serde::Deserialize)]
struct FileEntry<'a> {
    #[serde(rename = "event.action", borrow)]
    action: &'a str,
    #[serde(rename = "file.path")]
    path: String,
    #[serde(rename = "file.hash.sha256", default)]
    sha256: String,
    #[serde(rename = "file.size", default)]
    bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_entry_of_a_file_counts() {
        let mut digests = FileDigests::default();
        for entry in [
            r#"{"event.action":"file-recorded","file.path":"a","file.hash.sha256":"1","file.size":1}"#,
            r#"{"event.action":"file-recorded","file.path":"b","file.hash.sha256":"2","file.size":2}"#,
            r#"{"event.action":"alert-raised","rule.name":"x"}"#,
            "not json",
            r#"{"event.action":"file-recorded","file.path":"a","file.hash.sha256":"3","file.size":3}"#,
            r#"{"event.action":"file-removed","file.path":"b"}"#,
        ] {
            digests.replay(entry.as_bytes());
        }
        let left: Vec<_> = digests.iter().map(|file| (&*file.path, &*file.sha256)).collect();
        assert_eq!(left, [("a", "3")]);
    }
}
