//! Copying a snapshot: contents first, each under its SHA-256, the manifest last.

use super::limits::{CHUNK_BYTES, FILES_AT_ONCE, FILES_MAX, PIECE_BYTES};
use super::manifest::{Entry, Manifest, hex, sha256_hex};
use super::place::BackupPlace;
use super::snapshot::{Item, Snapshot, Source};
use super::{BackupRequest, Shared, refused};
use crate::NodeError;
use futures::{StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read, Seek as _};
use std::path::Path;
use std::sync::atomic::Ordering;
use tokio::io::AsyncWriteExt as _;
use yagura_ledger::{Checkpoint, Log};

/// A file that the place has now.
struct Copied {
    path: String,
    entry: Entry,
    /// What it is put together from; empty where it is one piece.
    pieces: Vec<Entry>,
}

/// One backup under way.
pub(super) struct Writing<'a> {
    pub(super) source: &'a Source,
    pub(super) place: &'a BackupPlace,
    pub(super) shared: &'a Shared,
    pub(super) request: &'a BackupRequest,
}

impl Writing<'_> {
    /// Copies what the place has not, then replaces the manifest, then removes what nobody names.
    pub(super) async fn run(&self, who: &str) -> Result<(), NodeError> {
        let (source, place) = (self.source, self.place);
        if let Some(text) = place.manifest().await? {
            let old = Manifest::parse(&text).map_err(|error| place.damaged_manifest(error.0))?;
            self.may_follow(&source.events_log, &old.events)?;
            self.may_follow(&source.audit_log, &old.audit)?;
        }
        // Before the snapshot, which thus holds it. Nothing is recorded after it, so that a store that is
        // stopped and moved has the heads of its last backup.
        source.audit.write(&[self.record(who)])?;
        let snapshot = source.snapshot(self.request.with_keys)?;
        let Snapshot { events, audit, items } = snapshot;
        if items.len() > FILES_MAX {
            return Err(refused(
                format!("{} files are too many for one backup (at most {FILES_MAX})", items.len()),
                format!("ファイルが多すぎます（{}個、上限{FILES_MAX}個）", items.len()),
            ));
        }
        let known = items.iter().map(|item| match (&item.recorded, item.length) {
            (Some(recorded), _) => recorded.bytes,
            (None, length) => length.unwrap_or(0),
        });
        let bytes_total = known.sum();
        self.shared.state(|state| {
            state.files_total = items.len() as u64;
            state.bytes_total = bytes_total;
        });
        let there = place.contents().await?;
        let copies = items.into_iter().map(|item| self.copy(item, &there));
        let copied: Vec<Copied> =
            futures::stream::iter(copies).buffer_unordered(FILES_AT_ONCE).try_collect().await?;
        let (mut files, mut pieces) = (BTreeMap::new(), BTreeMap::new());
        for Copied { path, entry, pieces: of_file } in copied {
            if !of_file.is_empty() {
                pieces.insert(path.clone(), of_file);
            }
            files.insert(path, entry);
        }
        let manifest = Manifest {
            created: source.clock.now(),
            with_keys: self.request.with_keys,
            events,
            audit,
            files,
            pieces,
        };
        self.shared.check_cancelled()?;
        place.replace_manifest(manifest.encode()).await?;
        self.shared.state(|state| {
            state.events_size = manifest.events.size();
            state.audit_size = manifest.audit.size();
        });
        let contents = manifest.files.iter().flat_map(|(path, file)| manifest.contents(path, file));
        let named: BTreeSet<&str> = contents.map(|entry| entry.sha256.as_str()).collect();
        let gone: Vec<String> =
            there.into_keys().filter(|sha256| !named.contains(sha256.as_str())).collect();
        // The backup is whole by now: what stays costs room and nothing else.
        if let Err(error) = place.remove(gone).await {
            tracing::warn!(%error, "contents that no backup names any more stay where they are");
        }
        Ok(())
    }

    fn record(&self, who: &str) -> serde_json::Value {
        serde_json::json!({
            "event.action": "lake.backup-begun",
            "user.name": who,
            "file.path": self.place.shown(),
            "backup.keys": self.request.with_keys,
        })
    }

    /// A backup may only be followed by a later one of the same store: what is copied over it else is
    /// perhaps the only copy of what this store lacks.
    fn may_follow(&self, log: &Log, old: &Checkpoint) -> Result<(), NodeError> {
        let base = yagura_ledger::epoch::base;
        let same = base(log.origin()) == base(old.origin());
        if same && log.root_at(old.size())? == Some(old.root()) {
            return Ok(());
        }
        let shown = self.place.shown();
        Err(match same {
            true => refused(
                format!(
                    "{shown} holds what this store does not: {} with {} batches, which its log does \
                     not continue; name another place",
                    old.origin(),
                    old.size()
                ),
                format!(
                    "{shown} には、この保管庫にない記録（{}、{}バッチ）があります。台帳がその続きになっていないため、\
                     別の場所を指定してください",
                    old.origin(),
                    old.size()
                ),
            ),
            false => refused(
                format!(
                    "{shown} holds the backup of another store ({}); name another place",
                    old.origin()
                ),
                format!(
                    "{shown} は別の保管庫（{}）のバックアップです。別の場所を指定してください",
                    old.origin()
                ),
            ),
        })
    }

    /// Copies one file unless its contents are there.
    async fn copy(
        &self,
        mut item: Item,
        there: &HashMap<String, u64>,
    ) -> Result<Copied, NodeError> {
        self.shared.check_cancelled()?;
        if let Some(length) = item.length.filter(|length| *length > PIECE_BYTES as u64) {
            return self.copy_pieces(item, length, there).await;
        }
        let path = self.source.data.root().join(&item.path);
        let failed = |source| NodeError::Io { path: path.clone(), source };
        let known = item.recorded.take().map(|it| Entry { sha256: it.sha256, bytes: it.bytes });
        let mut length = item.length;
        let mut open = item.file.take();
        let entry = match known {
            Some(entry) => entry,
            None => {
                let mut file = match open.take() {
                    Some(file) => file,
                    None => File::open(&path).map_err(failed)?,
                };
                let until = match length {
                    Some(length) => length,
                    None => file.metadata().map_err(failed)?.len(),
                };
                length = Some(until);
                let entry = self.digest(&mut file, until).map_err(failed)?;
                open = Some(file);
                if entry.bytes != until {
                    return Err(self.changed(&path));
                }
                entry
            }
        };
        let is_there = there.get(&entry.sha256) == Some(&entry.bytes);
        if is_there && (!self.request.check || self.is_sound(&entry).await?) {
            self.shared.state(|state| {
                state.files_kept += 1;
                state.bytes_kept += entry.bytes;
            });
            return Ok(Copied { path: item.path, entry, pieces: Vec::new() });
        }
        let mut file = match open {
            Some(file) => file,
            None => File::open(&path).map_err(failed)?,
        };
        file.rewind().map_err(failed)?;
        let mut writer = self.place.writer(&entry.sha256);
        let sent = self.send(&path, file.take(length.unwrap_or(u64::MAX)), &mut writer).await;
        let sent = sent.and_then(|sent| match sent == entry {
            true => Ok(()),
            false => Err(self.changed(&path)),
        });
        if let Err(error) = sent {
            // Only contents that are whole get their name.
            let _ = writer.abort().await;
            return Err(error);
        }
        writer.shutdown().await.map_err(|error| self.place.failed(&entry.sha256, &error))?;
        self.shared.state(|state| {
            state.files_copied += 1;
            state.bytes_copied += entry.bytes;
        });
        Ok(Copied { path: item.path, entry, pieces: Vec::new() })
    }

    /// Copies a file that grows, piece by piece: those that were whole the last time are there.
    async fn copy_pieces(
        &self,
        mut item: Item,
        length: u64,
        there: &HashMap<String, u64>,
    ) -> Result<Copied, NodeError> {
        let path = self.source.data.root().join(&item.path);
        let failed = |source| NodeError::Io { path: path.clone(), source };
        let file = match item.file.take() {
            Some(file) => file,
            None => File::open(&path).map_err(failed)?,
        };
        let mut rest = file.take(length);
        let (mut hasher, mut bytes, mut pieces) = (Sha256::new(), 0, Vec::new());
        let (mut bytes_copied, mut bytes_kept) = (0, 0);
        loop {
            self.shared.check_cancelled()?;
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            rest.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece).map_err(failed)?;
            if piece.is_empty() {
                break;
            }
            hasher.update(&piece);
            bytes += piece.len() as u64;
            let entry = Entry { sha256: sha256_hex(&piece), bytes: piece.len() as u64 };
            let is_there = there.get(&entry.sha256) == Some(&entry.bytes);
            if is_there && (!self.request.check || self.is_sound(&entry).await?) {
                bytes_kept += entry.bytes;
            } else {
                let mut writer = self.place.writer(&entry.sha256);
                let sent = self.send(&path, piece.as_slice(), &mut writer).await;
                if let Err(error) = sent {
                    // Only contents that are whole get their name.
                    let _ = writer.abort().await;
                    return Err(error);
                }
                let ended = writer.shutdown().await;
                ended.map_err(|error| self.place.failed(&entry.sha256, &error))?;
                bytes_copied += entry.bytes;
            }
            pieces.push(entry);
        }
        if bytes != length {
            return Err(self.changed(&path));
        }
        self.shared.state(|state| {
            match bytes_copied {
                0 => state.files_kept += 1,
                _ => state.files_copied += 1,
            }
            state.bytes_copied += bytes_copied;
            state.bytes_kept += bytes_kept;
        });
        let entry = Entry { sha256: hex(&hasher.finalize()), bytes };
        Ok(Copied { path: item.path, entry, pieces })
    }

    fn digest(&self, file: &mut File, length: u64) -> std::io::Result<Entry> {
        let (mut hasher, mut bytes) = (Sha256::new(), 0);
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut limited = file.take(length);
        loop {
            let read = limited.read(&mut chunk)?;
            if read == 0 || self.shared.cancel.load(Ordering::Acquire) {
                return Ok(Entry { sha256: hex(&hasher.finalize()), bytes });
            }
            hasher.update(chunk.get(..read).unwrap_or_default());
            bytes += read as u64;
        }
    }

    /// Sends a file, and answers what was sent.
    async fn send(
        &self,
        path: &Path,
        mut file: impl Read,
        writer: &mut object_store::buffered::BufWriter,
    ) -> Result<Entry, NodeError> {
        let (mut hasher, mut bytes) = (Sha256::new(), 0);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            self.shared.check_cancelled()?;
            let read = file
                .read(&mut chunk)
                .map_err(|source| NodeError::Io { path: path.to_owned(), source })?;
            let Some(part) = chunk.get(..read).filter(|part| !part.is_empty()) else {
                return Ok(Entry { sha256: hex(&hasher.finalize()), bytes });
            };
            hasher.update(part);
            bytes += read as u64;
            let written = writer.write_all(part).await;
            written.map_err(|error| self.place.failed("files", &error))?;
            self.shared.state(|state| state.bytes_now += read as u64);
        }
    }

    /// Whether contents of the place are what their name says.
    async fn is_sound(&self, entry: &Entry) -> Result<bool, NodeError> {
        let Some(mut parts) = self.place.read(&entry.sha256).await? else { return Ok(false) };
        let (mut hasher, mut bytes) = (Sha256::new(), 0);
        while let Some(part) = parts.next().await {
            let part = part.map_err(|error| self.place.failed(&entry.sha256, &error))?;
            self.shared.check_cancelled()?;
            hasher.update(&part);
            bytes += part.len() as u64;
        }
        Ok(Entry { sha256: hex(&hasher.finalize()), bytes } == *entry)
    }

    fn changed(&self, path: &Path) -> NodeError {
        if self.shared.cancel.load(Ordering::Acquire) {
            return NodeError::Cancelled;
        }
        let path = self.source.data.relative(path);
        refused(
            format!(
                "{path} is not what was recorded when it was written: nothing damaged goes into a \
                 backup; run yagura verify"
            ),
            format!(
                "{path} は作成時の記録と一致しません。壊れたファイルはバックアップに入れられません。yagura verify \
                 で確認してください"
            ),
        )
    }
}
