//! Files in the place of others, with one commit; and when the old ones may go.

use crate::LakeError;
use crate::delta::DeltaLog;
use crate::file::FileEntry;
use crate::lake::{FileWritten, Lake};
use crate::text_index::remove_with_index;
use crate::writer::FinishedFile;
use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use yagura_event::UtcMicros;

/// A file that left the table, for as long as a query may still read it.
#[derive(Debug)]
pub(crate) struct Replaced {
    file: Arc<FileEntry>,
    at: UtcMicros,
}

/// What a swap did.
pub(crate) struct Swapped {
    /// Parquet files with their text indexes, and the file of the log last.
    pub(crate) files: Vec<FileWritten>,
    pub(crate) replaced: Vec<FileWritten>,
    pub(crate) version: u64,
}

/// A moment of a swap.
pub(crate) enum SwapStep {
    Renamed,
    Committed,
}

impl Lake {
    /// Takes `old` files out of the table and whole, synchronised `new` ones in. `same_rows` says that
    /// nothing else changes.
    ///
    /// Order: the new files get their names, durably; one commit, synchronised; then queries see the
    /// new ones. A crash leaves one or the other, and files that no commit names
    /// ([`crate::OpenReport::orphans`]).
    pub(crate) fn swap(
        &self,
        old: Vec<Arc<FileEntry>>,
        new: Vec<FinishedFile>,
        same_rows: bool,
        at: &mut dyn FnMut(SwapStep),
    ) -> Result<Swapped, LakeError> {
        let mut flushing = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let (there, columns) = {
            let state = self.lock();
            (state.files.clone(), state.columns.clone())
        };
        let there: HashSet<&str> = there.iter().map(|file| file.path.as_str()).collect();
        if let Some(gone) = old.iter().find(|file| !there.contains(file.path.as_str())) {
            return Err(LakeError::Outdated(gone.path.clone()));
        }
        let mut files: Vec<FileEntry> = Vec::with_capacity(new.len());
        for file in new {
            match file.publish() {
                Ok(file) => files.push(file),
                Err(error) => {
                    self.remove_unpublished(&files);
                    return Err(error);
                }
            }
        }
        at(SwapStep::Renamed);
        let millis = now.as_micros().div_euclid(1_000);
        let committed = flushing.log.replace(&old, &files, &columns, millis, same_rows);
        let version = match committed {
            Ok(version) => version,
            Err(error) => {
                // If the commit did reach the disk after all, they must stay.
                let path = self.root.join(DeltaLog::commit_path(flushing.log.version() + 1));
                if matches!(path.try_exists(), Ok(false)) {
                    self.remove_unpublished(&files);
                }
                return Err(error);
            }
        };
        at(SwapStep::Committed);
        let mut swapped = Swapped {
            files: files.iter().flat_map(|file| self.written(file)).collect(),
            replaced: old.iter().flat_map(|file| self.written(file)).collect(),
            version,
        };
        let gone: HashSet<&str> = old.iter().map(|file| file.path.as_str()).collect();
        {
            let mut state = self.lock();
            // Batches that the new files do not have are no longer in the table.
            for rows in old.iter().flat_map(|file| &file.batches) {
                if let Some(stored) = state.stored.get_mut(&rows.batch) {
                    *stored = stored.saturating_sub(rows.rows.into());
                }
            }
            for rows in files.iter().flat_map(|file| &file.batches) {
                *state.stored.entry(rows.batch).or_default() += u64::from(rows.rows);
            }
            for rows in old.iter().flat_map(|file| &file.batches) {
                if state.stored.get(&rows.batch) == Some(&0) {
                    state.stored.remove(&rows.batch);
                }
            }
            let list = Arc::make_mut(&mut state.files);
            list.retain(|file| !gone.contains(file.path.as_str()));
            list.extend(files.into_iter().map(Arc::new));
            state.version = version;
        }
        let mut waiting = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(old.into_iter().map(|file| Replaced { file, at: now }));
        drop(waiting);
        swapped.files.push(self.log_file(version)?);
        Ok(swapped)
    }

    fn remove_unpublished(&self, files: &[FileEntry]) {
        for file in files {
            // Whatever stays is an orphan, which the next start removes.
            let _ = remove_with_index(&self.root, &file.path);
        }
    }

    /// Files that left the table before `before` and that no picture of it holds any more.
    pub fn replaced_before(&self, before: UtcMicros) -> Vec<FileWritten> {
        let waiting = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        let old = waiting
            .iter()
            .filter(|replaced| replaced.at < before && Arc::strong_count(&replaced.file) == 1);
        old.flat_map(|replaced| self.written(&replaced.file)).collect()
    }

    /// Every file that left the table and is still on disk.
    pub fn replaced(&self) -> Vec<FileWritten> {
        let waiting = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.iter().flat_map(|replaced| self.written(&replaced.file)).collect()
    }

    /// Removes from disk a file that [`Lake::replaced_before`] named, by the path it was named with.
    /// A text index goes with its Parquet file, so naming it removes nothing yet.
    pub fn remove_replaced(&self, path: &str) -> Result<(), LakeError> {
        let mut waiting = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        let found = waiting.iter().position(|known| self.reported_path(&known.file.path) == path);
        let Some(found) = found else { return Ok(()) };
        let relative = waiting.swap_remove(found).file.path.clone();
        remove_with_index(&self.root, &relative)
            .map_err(|source| LakeError::Io { path: self.root.join(relative), source })
    }
}
