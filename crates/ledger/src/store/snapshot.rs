//! The files of a log at one moment, for a copy of it.

use super::{CHECKPOINT, HISTORY, Log};
use crate::limits::TILE_WIDTH;
use crate::tiles::{Row, TileName};
use crate::{Checkpoint, LedgerError};
use std::fs::File;
use std::sync::PoisonError;

/// Everything a log consists of at one checkpoint. The log may grow meanwhile.
#[derive(Debug)]
pub struct LogSnapshot {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Its files, that of the checkpoint among them.
    pub files: Vec<SnapshotFile>,
}

/// One file of a [`LogSnapshot`].
#[derive(Debug)]
pub struct SnapshotFile {
    /// Relative to the log's directory, with `/`.
    pub path: String,
    /// The file, where its name may be gone or another's before it is read.
    pub file: Option<File>,
    /// Bytes of it that belong to the snapshot, where it may have grown since.
    pub length: Option<u64>,
}

impl Log {
    /// Signs what is appended, and names the files of the log as they are then. Full tiles never change;
    /// the few others are opened, because an open file stays what it was.
    ///
    /// # Errors
    /// As [`Log::publish`], and when a file cannot be opened.
    pub fn snapshot(&self) -> Result<LogSnapshot, LedgerError> {
        let mut publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        let checkpoint = match &self.key {
            Some(key) => publisher.run(&self.dir, key, &self.state)?,
            None => self.checkpoint(),
        };
        let size = checkpoint.size();
        let mut files = Vec::new();
        for row in Row::all(size) {
            let full = row.items(size) / TILE_WIDTH;
            files.extend((0..full).map(|index| SnapshotFile {
                path: TileName { row, index, width: TILE_WIDTH }.to_string(),
                file: None,
                length: None,
            }));
            if let Some(name) = TileName::holding(row, row.items(size) - 1, size)
                && name.width < TILE_WIDTH
            {
                files.push(self.opened(name.to_string())?);
            }
        }
        files.push(self.opened(CHECKPOINT.to_owned())?);
        let mut history = self.opened(HISTORY.to_owned())?;
        let length = history.file.as_ref().map(File::metadata).transpose();
        let length = length.map_err(LedgerError::io("read", &self.dir.join(HISTORY)))?;
        history.length = length.map(|metadata| metadata.len());
        files.push(history);
        Ok(LogSnapshot { checkpoint, files })
    }

    fn opened(&self, path: String) -> Result<SnapshotFile, LedgerError> {
        let place = self.dir.join(&path);
        let file = File::open(&place).map_err(LedgerError::io("open", &place))?;
        Ok(SnapshotFile { path, file: Some(file), length: None })
    }
}
