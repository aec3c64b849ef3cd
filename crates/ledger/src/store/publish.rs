use super::state::State;
use super::tile_reader::TileReader;
use super::{CHECKPOINT, HISTORY};
use crate::disk::{self, DirtyDirs};
use crate::tiles::{Row, TileName};
use crate::tree::{consistency_proof, root, verify_consistency};
use crate::{Checkpoint, Hash, LedgerError, SigningKey};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Moments between which a crash can fall; see "Order of writing" in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "only tests look in between"))]
pub(super) enum Step {
    FileStaged,
    Staged,
    Signed,
    Replaced,
    Recorded,
    Tidied,
}

/// What publishing needs to remember from one time to the next.
#[derive(Default)]
pub(super) struct Publisher {
    /// Length of the history that is whole and durable, in bytes.
    history_bytes: u64,
    /// The newest note, while it is signed and public but not yet in the history.
    unrecorded: String,
    /// Files that a later checkpoint may make superfluous: the last of each row, and those staged
    /// by attempts that failed.
    removable: BTreeSet<TileName>,
    #[cfg(test)]
    pub(super) on_step: Option<Box<dyn FnMut(Step) + Send>>,
}

/// One step of growth, as it was when the publication began.
struct Growth {
    old: Checkpoint,
    size: u64,
    root: Hash,
    files: Vec<(TileName, Vec<u8>)>,
}

impl Publisher {
    pub(super) fn new(history_bytes: u64) -> Self {
        Publisher { history_bytes, ..Publisher::default() }
    }

    pub(super) fn run(
        &mut self,
        dir: &Path,
        key: &SigningKey,
        state: &Mutex<State>,
    ) -> Result<Checkpoint, LedgerError> {
        let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
        // The history never lacks more than the last note: that is all an open can restore.
        self.record(dir)?;
        let growth = {
            let state = lock();
            if state.pending() == 0 {
                let checkpoint = state.checkpoint.clone();
                drop(state);
                self.tidy(dir, checkpoint.size());
                return Ok(checkpoint);
            }
            let old = state.checkpoint.clone();
            let files = state.files_since(old.size());
            Growth { old, size: state.size(), root: state.tree.root(), files }
        };
        let old = growth.old.size();
        let last_of_old =
            Row::all(old).filter_map(|row| TileName::holding(row, row.items(old) - 1, old));
        self.removable.extend(last_of_old);
        self.removable.extend(growth.files.iter().map(|(name, _)| *name));
        self.stage(dir, &growth.files)?;
        let checkpoint = self.sign(dir, key, &growth)?;
        disk::rename_durably(&disk::temporary_of(&dir.join(CHECKPOINT)), &dir.join(CHECKPOINT))?;
        self.reached(Step::Replaced);
        // From here on the log has grown, whatever happens to history and tidying.
        checkpoint.note().clone_into(&mut self.unrecorded);
        {
            let mut state = lock();
            for (name, _) in &growth.files {
                state.full.remove(name);
            }
            state.checkpoint = checkpoint.clone();
        }
        self.record(dir)?;
        self.reached(Step::Recorded);
        self.tidy(dir, growth.size);
        self.reached(Step::Tidied);
        Ok(checkpoint)
    }

    /// Writes the new files under names that no checkpoint refers to yet.
    fn stage(&mut self, dir: &Path, files: &[(TileName, Vec<u8>)]) -> Result<(), LedgerError> {
        let mut dirty = DirtyDirs::default();
        for (name, bytes) in files {
            let path = dir.join(name.to_string());
            disk::create_dirs(path.parent().unwrap_or(dir), &mut dirty)?;
            disk::write_file(&path, bytes, 0o644, &mut dirty)?;
            self.reached(Step::FileStaged);
        }
        dirty.sync()?;
        self.reached(Step::Staged);
        Ok(())
    }

    /// Proves from the staged files that the log only grew, then signs into a temporary file.
    fn sign(
        &mut self,
        dir: &Path,
        key: &SigningKey,
        growth: &Growth,
    ) -> Result<Checkpoint, LedgerError> {
        let refuse = || LedgerError::Inconsistent { path: dir.to_owned() };
        let (old, size) = (&growth.old, growth.size);
        let tiles = TileReader::new(dir, size);
        let proof = consistency_proof(&tiles, old.size(), size)?.ok_or_else(refuse)?;
        verify_consistency(old.size(), old.root(), size, growth.root, &proof)
            .map_err(|_| refuse())?;
        if root(&tiles, size)? != growth.root {
            return Err(refuse());
        }
        let checkpoint = Checkpoint::sign(size, growth.root, key);
        let path = disk::temporary_of(&dir.join(CHECKPOINT));
        let note = checkpoint.note().as_bytes();
        disk::write_file(&path, note, 0o644, &mut DirtyDirs::default())?;
        self.reached(Step::Signed);
        Ok(checkpoint)
    }

    /// Adds to the history what it lacks.
    fn record(&mut self, dir: &Path) -> Result<(), LedgerError> {
        if !self.unrecorded.is_empty() {
            let note = self.unrecorded.as_bytes();
            disk::rewrite_tail(&dir.join(HISTORY), self.history_bytes, note)?;
            self.history_bytes += note.len() as u64;
            self.unrecorded.clear();
        }
        Ok(())
    }

    /// Removes what the new checkpoint has superseded. Failing is harmless: the next open tidies.
    fn tidy(&mut self, dir: &Path, size: u64) {
        for name in std::mem::take(&mut self.removable) {
            if name.belongs_to(size) {
                continue;
            }
            let path = dir.join(name.to_string());
            if disk::remove_file(&path).is_ok() {
                // Succeeds only for the `.p` directory of a tile that is full now.
                let _ = path.parent().map(std::fs::remove_dir);
            }
        }
    }

    #[cfg(test)]
    fn reached(&mut self, step: Step) {
        if let Some(on_step) = &mut self.on_step {
            on_step(step);
        }
    }

    #[cfg(not(test))]
    fn reached(&mut self, _step: Step) {}
}
