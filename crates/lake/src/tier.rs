//! Moving files between the table's directory and a cold store, byte for byte.
//!
//! A file is copied, read back from where it went and compared by its SHA-256 before one commit says that
//! it lies there. Killed at any moment, the table has it in one place or the other. Its text index stays in
//! the table's directory, so that most searches need not ask the store.

use crate::LakeError;
use crate::cold::{ColdRemoved, ColdStore, hex};
use crate::durable::{UNFINISHED, sync_directory};
use crate::file::{Cold, FileEntry, Order};
use crate::lake::{FileWritten, Lake};
use crate::read::corrupt;
use crate::sizes::received_of;
use crate::swap::SwapStep;
use crate::text_index::remove_if_there;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

/// Which files go to a cold store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TierRule {
    /// Only what was received before this UTC day, `YYYY-MM-DD`.
    pub before: Option<String>,
    /// Only what was received on this UTC day or later.
    pub from: Option<String>,
    /// Only this dataset.
    pub dataset: Option<String>,
    /// Only files that were compacted: many small files make many requests.
    pub compacted: bool,
}

impl TierRule {
    fn has(&self, file: &FileEntry) -> bool {
        self.before.as_deref().is_none_or(|before| file.day.as_str() < before)
            && self.from.as_deref().is_none_or(|from| file.day.as_str() >= from)
            && self.dataset.as_deref().is_none_or(|dataset| *dataset == *file.dataset)
            && (!self.compacted || file.order == Order::Source)
    }
}

/// A moment of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TierStep {
    /// So many more bytes were copied.
    Copied(u64),
    /// The copy is whole and durable. In the table's directory it still has its unfinished name.
    Synced,
    /// So many more bytes of it were read back.
    Checked(u64),
    /// It is the same to the byte.
    Compared,
    /// All copies have their names; no commit knows them.
    Renamed,
    /// The commit is durable: the files lie where the copies are.
    Committed,
}

/// A copy that was compared, and is no file of the table yet.
#[derive(Debug)]
pub struct PreparedMove {
    old: Arc<FileEntry>,
    new: FileEntry,
    /// Of a copy in the table's directory. Dropped, it is gone again.
    unfinished: Option<Unfinished>,
}

#[derive(Debug)]
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Whatever stays goes when the table is opened.
        let _ = remove_if_there(&self.0);
    }
}

/// What moving files did.
#[derive(Debug, Clone, Default)]
pub struct Moved {
    /// Rows of the files.
    pub rows: u64,
    /// Parquet files in their new places with their text indexes, and the file of the log last.
    pub files: Vec<FileWritten>,
    /// Files of the table's directory that the table no longer has there; they stay on disk until
    /// [`Lake::remove_replaced`].
    pub replaced: Vec<FileWritten>,
    /// Version of the commit.
    pub version: u64,
}

impl Lake {
    /// Files of the table's directory that `rule` is about, oldest day first.
    pub fn coolable(&self, rule: &TierRule) -> Vec<Arc<FileEntry>> {
        // A file without our tags is another writer's: there is nothing to compare it with.
        self.chosen(|file| file.cold.is_none() && !file.sha256.is_empty() && rule.has(file))
    }

    /// Files in cold stores that `rule` is about, oldest day first.
    pub fn warmable(&self, rule: &TierRule) -> Vec<Arc<FileEntry>> {
        self.chosen(|file| file.cold.is_some() && rule.has(file))
    }

    fn chosen(&self, is_meant: impl Fn(&FileEntry) -> bool) -> Vec<Arc<FileEntry>> {
        let mut files = self.files();
        files.retain(|file| is_meant(file));
        files.sort_by(|a, b| (&a.day, &a.path).cmp(&(&b.day, &b.path)));
        files
    }

    /// Finds that a cold store is `owner`'s, or makes it so where it is nobody's.
    ///
    /// # Errors
    /// [`LakeError::Cold`] when it does not answer, is another's, or is not the one that has files of
    /// this table already.
    pub fn claim_cold(&self, store: &str, owner: &str) -> Result<(), LakeError> {
        let cold = self.store_of(store)?;
        let in_store =
            |file: &Arc<FileEntry>| file.cold.as_ref().is_some_and(|cold| *cold.store == *store);
        let has_files = self.files().iter().any(in_store);
        cold.claim(owner, has_files).map_err(|problem| cold.error("", problem))
    }

    fn store_of(&self, url: &str) -> Result<&Arc<ColdStore>, LakeError> {
        self.cold.get(url).ok_or_else(|| {
            crate::ColdSettings::new(url).wrong("there is no such store", "そのストアはありません")
        })
    }

    /// Copies a file of the table's directory to a cold store and compares it. The table does not change,
    /// and nothing waits for this. A copy that is there already, because an earlier move broke off, is
    /// taken if it is the same.
    ///
    /// # Errors
    /// [`LakeError::Corrupt`] when the file is not what it was when it was written, or does not come back
    /// from the store as it is; [`LakeError::Cold`]; [`LakeError::Cancelled`] when `at` answers `false`.
    pub fn prepare_cooling(
        &self,
        file: &Arc<FileEntry>,
        store: &str,
        at: &mut dyn FnMut(TierStep) -> bool,
    ) -> Result<PreparedMove, LakeError> {
        let cold = self.store_of(store)?.clone();
        let local = self.root.join(&file.path);
        let received = received_of(&local)?;
        let new = FileEntry {
            cold: Some(Arc::new(Cold { store: cold.url.clone(), received })),
            ..FileEntry::clone(file)
        };
        let is_there = cold.size(&file.path)? == Some(file.bytes);
        if !is_there || !self.is_same(&new, at)? {
            cold.put(&local, &file.path, &file.sha256, &mut |bytes| {
                tell(at, TierStep::Copied(bytes))
            })?;
            tell(at, TierStep::Synced)?;
            if !self.is_same(&new, at)? {
                let reason = "what the cold store gives back is not what was put there";
                return Err(corrupt(self.location(&new).name(), reason));
            }
        }
        tell(at, TierStep::Compared)?;
        Ok(PreparedMove { old: file.clone(), new, unfinished: None })
    }

    fn is_same(
        &self,
        file: &FileEntry,
        at: &mut dyn FnMut(TierStep) -> bool,
    ) -> Result<bool, LakeError> {
        let mut digest = Sha256::new();
        self.location(file).read_whole(&mut |part| {
            digest.update(part);
            tell(at, TierStep::Checked(part.len() as u64))
        })?;
        Ok(hex(digest) == file.sha256)
    }

    /// Copies a file of a cold store to the table's directory and compares it. The table does not change.
    ///
    /// # Errors
    /// As [`Lake::prepare_cooling`], and when the disk is full: nothing is left of the copy then.
    pub fn prepare_warming(
        &self,
        file: &Arc<FileEntry>,
        at: &mut dyn FnMut(TierStep) -> bool,
    ) -> Result<PreparedMove, LakeError> {
        let new = FileEntry { cold: None, ..FileEntry::clone(file) };
        let target = self.root.join(format!("{}{UNFINISHED}", file.path));
        let failed = |source: io::Error| LakeError::Io { path: target.clone(), source };
        if let Some(directory) = target.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let unfinished = Unfinished(target.clone());
        let mut copy = File::create(&target).map_err(failed)?;
        let mut digest = Sha256::new();
        self.location(file).read_whole(&mut |part| {
            digest.update(part);
            copy.write_all(part).map_err(failed)?;
            tell(at, TierStep::Copied(part.len() as u64))
        })?;
        copy.sync_all().map_err(failed)?;
        tell(at, TierStep::Synced)?;
        if hex(digest) != file.sha256 {
            let reason = "its SHA-256 is not the one it was written with";
            return Err(corrupt(self.location(file).name(), reason));
        }
        tell(at, TierStep::Compared)?;
        Ok(PreparedMove { old: file.clone(), new, unfinished: Some(unfinished) })
    }

    /// Makes the copies files of the table, with one commit that says that no row changed.
    ///
    /// Order: copies in the table's directory get their names, durably; one commit, synchronised; then
    /// queries read the copies. What the files lay in before stays: local files until
    /// [`Lake::remove_replaced`], objects until [`Lake::remove_cold`].
    ///
    /// # Errors
    /// [`LakeError::Outdated`] when a file left the table or its place meanwhile; nothing is changed then.
    pub fn publish_moves(
        &self,
        prepared: Vec<PreparedMove>,
        at: &mut dyn FnMut(TierStep) -> bool,
    ) -> Result<Moved, LakeError> {
        let mut flushing = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let old: Vec<Arc<FileEntry>> = prepared.iter().map(|one| one.old.clone()).collect();
        self.check_there(&old)?;
        let rows = old.iter().map(|file| file.rows).sum();
        // What waits to be removed from where a copy is going to lie would be the copy.
        let places: Vec<String> = prepared.iter().map(|one| one.new.place()).collect();
        let mut waiting = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|replaced| !places.contains(&replaced.file.place()));
        drop(waiting);
        let mut files = Vec::with_capacity(prepared.len());
        for one in prepared {
            if let Some(unfinished) = &one.unfinished {
                let target = self.root.join(&one.new.path);
                let failed = |source| LakeError::Io { path: target.clone(), source };
                fs::rename(&unfinished.0, &target).map_err(failed)?;
                sync_directory(target.parent().unwrap_or(&self.root)).map_err(failed)?;
            }
            files.push(one.new);
        }
        // Too late to stop.
        let _ = at(TierStep::Renamed);
        let mut committed = |step| {
            if matches!(step, SwapStep::Committed) {
                let _ = at(TierStep::Committed);
            }
        };
        // What a failing commit leaves is an orphan, which the next start removes, or an object that the
        // next move takes.
        let now = self.clock.now();
        let swapped =
            self.exchange(&mut flushing, old, files, true, now, &mut committed, &|_| {})?;
        let crate::swap::Swapped { files, replaced, version } = swapped;
        Ok(Moved { rows, files, replaced, version })
    }

    /// Deletes an object that no file of the table lies in any more ([`Lake::cold_in_use`]), by its URL.
    ///
    /// # Errors
    /// [`LakeError::Cold`] when the store does not answer; it is not known then what became of it.
    pub fn remove_cold(&self, url: &str) -> Result<ColdRemoved, LakeError> {
        let (store, path) = self.cold_place(url)?;
        store.remove(path)
    }

    /// Whether an object is there, by its URL; its size if it is.
    ///
    /// # Errors
    /// [`LakeError::Cold`] when the store does not answer.
    pub fn cold_size(&self, url: &str) -> Result<Option<u64>, LakeError> {
        let (store, path) = self.cold_place(url)?;
        store.size(path)
    }

    fn cold_place<'a>(&self, url: &'a str) -> Result<(&Arc<ColdStore>, &'a str), LakeError> {
        let known = self.cold.all().find_map(|store| {
            let path = url.strip_prefix(&*store.url)?.strip_prefix('/')?;
            Some((store, path))
        });
        known.ok_or_else(|| {
            crate::ColdSettings::new(url).wrong("its store is not known", "ストアが不明です")
        })
    }
}

fn tell(at: &mut dyn FnMut(TierStep) -> bool, step: TierStep) -> Result<(), LakeError> {
    if at(step) { Ok(()) } else { Err(LakeError::Cancelled) }
}
