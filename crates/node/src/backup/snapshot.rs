//! The files of a data directory at one moment, while everything goes on.
//!
//! What a backup holds must verify like the directory itself, so the order matters: state files first,
//! which may lag behind; then the table and the audit log, standing still for a moment; then the ledger,
//! which knows every batch of the table; last the journals, which know everything that the ledger signed.
//! Files that go, shrink or are replaced are opened at that moment, because an open file stays what it
//! was. All others only grow, or never change.

use super::manifest::is_place;
use crate::audit::{Audit, FileDigest};
use crate::tiers::is_object;
use crate::{DataDir, NodeError};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use yagura_event::Clock;
use yagura_journal::Journal;
use yagura_lake::Lake;
use yagura_ledger::{Checkpoint, Log};

/// What a backup needs of a node.
pub(crate) struct Source {
    pub(crate) data: DataDir,
    pub(crate) lake: Arc<Lake>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) events_log: Arc<Log>,
    pub(crate) audit_log: Arc<Log>,
    pub(crate) journal: Journal,
    pub(crate) audit_journal: Journal,
    /// Held by whoever writes to the table.
    pub(crate) table: Arc<Mutex<()>>,
    /// Held by whoever reads files that must not be removed meanwhile.
    pub(crate) kept: Arc<Mutex<()>>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// One file that a backup is to hold.
#[derive(Debug)]
pub(crate) struct Item {
    /// Below the data directory, with `/`.
    pub(crate) path: String,
    /// The file, where another may have its name by the time it is read.
    pub(crate) file: Option<File>,
    /// Bytes of it that belong to the backup, where it grows.
    pub(crate) length: Option<u64>,
    /// What it must be, where that is recorded.
    pub(crate) recorded: Option<FileDigest>,
}

/// Everything of a directory at one moment.
pub(crate) struct Snapshot {
    pub(crate) events: Checkpoint,
    pub(crate) audit: Checkpoint,
    pub(crate) items: Vec<Item>,
}

impl Source {
    /// Takes the snapshot. The caller holds `kept` from before until everything is copied.
    pub(crate) fn snapshot(&self, with_keys: bool) -> Result<Snapshot, NodeError> {
        // What the journal was told to let go of, it has let go of by the second answer.
        self.journal.seal_all()?;
        self.journal.seal_all()?;
        self.audit_journal.seal_all()?;
        let data = &self.data;
        let mut items = BTreeMap::new();
        let mut add = |item: Item| {
            items.insert(item.path.clone(), item);
        };
        for dir in [data.correlation(), data.sources(), data.forward()] {
            let path = dir.join(crate::correlation::STATE_FILE);
            if let Some(file) = open_if_there(&path)? {
                add(Item::open(data.relative(&path), file));
            }
        }
        let _table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let _audit = self.audit.pause();
        // What lies in a cold store stays there: the table's log says where.
        for file in self.lake.inventory()?.into_iter().filter(|file| !is_object(&file.path)) {
            let (path, sha256, bytes) = (file.path, file.sha256, file.bytes);
            let recorded = Some(FileDigest { path: path.clone(), sha256, bytes });
            add(Item { path, file: None, length: None, recorded });
        }
        for recorded in self.audit.files().into_iter().filter(|file| !is_object(&file.path)) {
            let path = data.root().join(&recorded.path);
            let is_secret = path.starts_with(data.keys())
                && path.extension().is_some_and(|ending| ending == "key");
            if is_secret && !with_keys {
                continue;
            }
            // Files of the table and pins stay for as long as `kept` is held, and are many; a pin may be
            // about to get its name.
            let stays = path.starts_with(data.lake())
                || path.starts_with(data.pins()) && matches!(path.try_exists(), Ok(true));
            let file = if stays { None } else { Some(open_recorded(&path)?) };
            add(Item { path: recorded.path.clone(), file, length: None, recorded: Some(recorded) });
        }
        let mut heads = Vec::new();
        for (log, dir) in
            [(&self.events_log, data.events_log()), (&self.audit_log, data.audit_log())]
        {
            let snapshot = log.snapshot()?;
            heads.push(snapshot.checkpoint);
            for file in snapshot.files {
                let path = format!("{}/{}", data.relative(&dir), file.path);
                add(Item { path, file: file.file, length: file.length, recorded: None });
            }
        }
        for item in journal_files(data, &data.journal())? {
            add(item);
        }
        for item in journal_files(data, &data.audit())? {
            add(item);
        }
        let items: Vec<Item> = items.into_values().collect();
        if let Some(item) = items.iter().find(|item| !is_place(&item.path)) {
            return Err(NodeError::Content(format!("{:?} cannot be in a backup", item.path)));
        }
        match <[Checkpoint; 2]>::try_from(heads) {
            Ok([events, audit]) => Ok(Snapshot { events, audit, items }),
            Err(_) => Err(NodeError::Content("two logs have two heads".to_owned())),
        }
    }
}

impl Item {
    fn open(path: String, file: File) -> Item {
        Item { path, file: Some(file), length: None, recorded: None }
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> NodeError {
    let path = path.to_owned();
    move |source| NodeError::Io { path, source }
}

fn open_if_there(path: &Path) -> Result<Option<File>, NodeError> {
    match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some).map_err(failed(path)),
    }
}

/// A file whose digest is recorded. While it gets its name, and while it is removed, it has another.
fn open_recorded(path: &Path) -> Result<File, NodeError> {
    match open_if_there(path)? {
        Some(file) => Ok(file),
        None => {
            let other = crate::files::unfinished(path);
            let file = open_if_there(&other)?;
            // It may have got its name in between.
            file.map_or_else(|| File::open(path).map_err(failed(path)), Ok)
        }
    }
}

/// The segments of a journal as long as they are now, and the copies of what was set aside.
fn journal_files(data: &DataDir, dir: &Path) -> Result<Vec<Item>, NodeError> {
    let mut items = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(items),
        entries => entries.map_err(failed(dir))?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(failed(dir))?.path());
    }
    // The newest last: what is sealed later is in a later one.
    paths.sort();
    for path in paths {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if !["seg", "quarantine", "torn"].contains(&ending) {
            continue;
        }
        let Some(file) = open_if_there(&path)? else { continue };
        let length = file.metadata().map_err(failed(&path))?.len();
        // Those of the audit journal are kept for ever, and may be many.
        let file = (dir != data.audit()).then_some(file);
        items.push(Item { path: data.relative(&path), file, length: Some(length), recorded: None });
    }
    Ok(items)
}
