//! Files in the place of others, with one commit; and when the old ones may go.

use crate::LakeError;
use crate::delta::DeltaLog;
use crate::file::FileEntry;
use crate::lake::{FileWritten, FlushState, Lake};
use crate::text_index::{remove_if_there, remove_with_index, text_index_path};
use crate::writer::FinishedFile;
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, PoisonError};
use yagura_event::UtcMicros;

/// A file that left the table, for as long as a query may still read it.
#[derive(Debug)]
pub(crate) struct Replaced {
    pub(crate) file: Arc<FileEntry>,
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
        self.check_there(&old)?;
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
        self.exchange(&mut flushing, old, files, same_rows, now, at, &|files| {
            self.remove_unpublished(files);
        })
    }

    /// Fails if one of `files` is no longer one of the table, in its place.
    pub(crate) fn check_there(&self, files: &[Arc<FileEntry>]) -> Result<(), LakeError> {
        let there = self.lock().files.clone();
        let there: HashSet<String> = there.iter().map(|file| file.place()).collect();
        match files.iter().find(|file| !there.contains(&file.place())) {
            Some(gone) => Err(LakeError::Outdated(gone.place())),
            None => Ok(()),
        }
    }

    /// The commit of a swap, and what queries see after it. `undo` removes the new files if it fails.
    #[allow(clippy::too_many_arguments, reason = "one step, used twice")]
    pub(crate) fn exchange(
        &self,
        flushing: &mut FlushState,
        old: Vec<Arc<FileEntry>>,
        files: Vec<FileEntry>,
        same_rows: bool,
        now: UtcMicros,
        at: &mut dyn FnMut(SwapStep),
        undo: &dyn Fn(&[FileEntry]),
    ) -> Result<Swapped, LakeError> {
        let columns = self.lock().columns.clone();
        let millis = now.as_micros().div_euclid(1_000);
        let committed = flushing.log.replace(&old, &files, &columns, millis, same_rows);
        let version = match committed {
            Ok(version) => version,
            Err(error) => {
                // If the commit did reach the disk after all, they must stay.
                let path = self.root.join(DeltaLog::commit_path(flushing.log.version() + 1));
                if matches!(path.try_exists(), Ok(false)) {
                    undo(&files);
                }
                return Err(error);
            }
        };
        at(SwapStep::Committed);
        let mut swapped = Swapped {
            files: files.iter().flat_map(|file| self.written(file)).collect(),
            replaced: Vec::new(),
            version,
        };
        let gone: HashSet<String> = old.iter().map(|file| file.place()).collect();
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
            list.retain(|file| !gone.contains(&file.place()));
            list.extend(files.into_iter().map(Arc::new));
            state.version = version;
        }
        let mut waiting = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        swapped.replaced.extend(old.iter().flat_map(|file| self.leaving(file)));
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
        old.flat_map(|replaced| self.leaving(&replaced.file)).collect()
    }

    /// Every file that left the table and is still on disk.
    pub fn replaced(&self) -> Vec<FileWritten> {
        let waiting = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.iter().flat_map(|replaced| self.leaving(&replaced.file)).collect()
    }

    /// What goes from the table's directory with a file that left the table: not its index, if the same
    /// file is in the table in another place, and not what lies in a cold store.
    fn leaving(&self, file: &FileEntry) -> Vec<FileWritten> {
        let index_stays = self.index_is_used(&self.root.join(&file.path));
        let goes = |written: &FileWritten| match written.path.ends_with(".parquet") {
            true => file.cold.is_none(),
            false => !index_stays,
        };
        self.written(file).filter(goes).collect()
    }

    /// Every object of cold stores that the table has, or that left it and may still be read: after
    /// `before`, or because some picture of the table holds it. Those that are neither are forgotten.
    pub fn cold_in_use(&self, before: UtcMicros) -> BTreeSet<String> {
        let mut waiting = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|replaced| {
            let read = replaced.at >= before || Arc::strong_count(&replaced.file) > 1;
            read || replaced.file.cold.is_none() || !self.leaving(&replaced.file).is_empty()
        });
        let state = self.lock();
        let files = state.files.iter().chain(waiting.iter().map(|replaced| &replaced.file));
        files.filter(|file| file.cold.is_some()).map(|file| file.place()).collect()
    }

    /// Removes from disk a file that [`Lake::replaced_before`] named, by the path it was named with.
    /// A text index goes with its Parquet file, so naming it removes nothing yet.
    pub fn remove_replaced(&self, path: &str) -> Result<(), LakeError> {
        let mut waiting = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        let found = waiting.iter().position(|known| {
            let leaving = self.leaving(&known.file);
            leaving.first().is_some_and(|first| first.path == path)
        });
        let Some(found) = found else { return Ok(()) };
        let file = waiting.swap_remove(found).file;
        let local = self.root.join(&file.path);
        let removed = match (&file.cold, self.index_is_used(&local)) {
            (None, false) => remove_with_index(&self.root, &file.path),
            (None, true) => remove_if_there(&local),
            (Some(_), false) => remove_if_there(&self.root.join(text_index_path(&file.path))),
            (Some(_), true) => Ok(()),
        };
        removed.map_err(|source| LakeError::Io { path: local, source })
    }
}
