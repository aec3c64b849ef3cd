use std::path::{Path, PathBuf};

/// The one directory everything is kept in, and the name of every place in it.
#[derive(Debug, Clone)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// The directory at `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        DataDir { root: root.into() }
    }

    /// The same without links and dots in its path, as its files name themselves; unchanged where it
    /// is not there yet.
    pub(crate) fn resolved(&self) -> Self {
        DataDir { root: self.root.canonicalize().unwrap_or_else(|_| self.root.clone()) }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Held with `flock` while a process owns the directory; always empty.
    pub fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    /// Signing keys of the two logs and their public halves.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// Segments of the events journal, until their batches are in the lake.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// Segments of the audit journal, kept for ever.
    pub fn audit(&self) -> PathBuf {
        self.root.join("audit")
    }

    /// Tiles and checkpoints of the events log.
    pub fn events_log(&self) -> PathBuf {
        self.root.join("ledger").join("events")
    }

    /// Tiles and checkpoints of the audit log.
    pub fn audit_log(&self) -> PathBuf {
        self.root.join("ledger").join("audit")
    }

    /// The directory of the lake's tables.
    pub fn lake(&self) -> PathBuf {
        self.root.join("lake")
    }

    /// Lists of indicators that were taken into use.
    pub fn indicators(&self) -> PathBuf {
        self.root.join("indicators")
    }

    /// What hunts were asked for.
    pub fn hunts(&self) -> PathBuf {
        self.root.join("hunts")
    }

    /// Inventories that were set.
    pub fn inventory(&self) -> PathBuf {
        self.root.join("inventory")
    }

    /// Pinned events.
    pub fn pins(&self) -> PathBuf {
        self.root.join("pins")
    }

    /// What correlations have counted.
    pub fn correlation(&self) -> PathBuf {
        self.root.join("correlation")
    }

    /// What was seen of sources.
    pub fn sources(&self) -> PathBuf {
        self.root.join("sources")
    }

    /// How far targets of forwarding have come.
    pub fn forward(&self) -> PathBuf {
        self.root.join("forward")
    }

    /// `path` as messages and audit records name it: relative to the root, with `/`. The URL of an object
    /// in a cold store is its own name.
    pub fn relative(&self, path: &Path) -> String {
        if let Some(url) = path.to_str().filter(|path| crate::tiers::is_object(path)) {
            return url.to_owned();
        }
        let inside = path.strip_prefix(&self.root).unwrap_or(path);
        let parts = inside.components().map(|part| part.as_os_str().to_string_lossy());
        parts.collect::<Vec<_>>().join("/")
    }
}
