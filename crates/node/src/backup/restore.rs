//! Bringing a backup back into an empty directory, which is then verified, and marked: it is not written to
//! until somebody says how its logs go on.

use super::limits::{DAMAGED_SHOWN_MAX, FILES_AT_ONCE};
use super::manifest::{Entry, Manifest, hex, sha256_hex};
use super::mark::{self, Found, Mark};
use super::place::{BackupPlace, content};
use super::{refused, runtime, sync_filesystem};
use crate::{DataDir, NodeError, VerifyReport, VerifyScope, verify_dir};
use futures::StreamExt as _;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use yagura_event::{Clock, UtcMicros};
use yagura_journal::DirLock;
use yagura_ledger::{Checkpoint, Log};

/// What is to be restored.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// A directory, or `s3://bucket/prefix`.
    pub from: String,
    /// The directory to be filled: it must be empty, or not be there.
    pub to: DataDir,
}

/// What was restored.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// When the backup was made.
    pub created: UtcMicros,
    /// Files that the backup holds.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether the signing keys were in it.
    pub with_keys: bool,
    /// Heads of both logs: origin, size and root.
    pub heads: Value,
    /// When the newest event in it was received.
    pub last_event: Option<UtcMicros>,
    /// What verifying all of it found.
    pub verified: VerifyReport,
}

/// Restores a backup. Every file must have the SHA-256 that the manifest states; then the directory is
/// verified whole. `progress` hears of the bytes done and of all, and ends it by answering `false`. Blocks,
/// outside of any asynchronous runtime. A restore that was cut short goes on when it is repeated.
///
/// # Errors
/// When there is no backup, the directory is not empty, or a file of the backup is missing or damaged: all
/// of those are named. What the verification finds is no error, but in the answer.
pub fn restore(
    request: &RestoreRequest,
    clock: &Arc<dyn Clock>,
    progress: &(dyn Fn(u64, u64) -> bool + Sync),
) -> Result<Restored, NodeError> {
    let data = &request.to;
    let place = BackupPlace::open(&request.from, false)?;
    let runtime = runtime()?;
    let text = runtime.block_on(place.manifest())?.ok_or_else(|| {
        let from = &request.from;
        refused(
            format!("there is no finished backup in {from}"),
            format!("{from} に完了したバックアップがありません"),
        )
    })?;
    let manifest = Manifest::parse(&text).map_err(|error| place.damaged_manifest(error.0))?;
    let mark = Mark {
        finished: false,
        at: clock.now(),
        from: request.from.clone(),
        manifest: sha256_hex(text.as_bytes()),
        with_keys: manifest.with_keys,
    };
    require_empty(data, &mark)?;
    let failed = |source| NodeError::Io { path: data.root().to_owned(), source };
    if !data.root().try_exists().map_err(failed)? {
        std::fs::create_dir_all(data.root()).map_err(failed)?;
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(data.root(), private).map_err(failed)?;
    }
    let _lock = DirLock::acquire(&data.lock())?;
    // First of all: whatever happens, nobody takes this directory for one that may go on.
    mark.write(data)?;
    let total = manifest.bytes();
    let fetching = Fetching { place: &place, data, done: AtomicU64::new(0), total, progress };
    runtime.block_on(fetching.all(&manifest))?;
    for (dir, head) in [(data.events_log(), &manifest.events), (data.audit_log(), &manifest.audit)]
    {
        let path = dir.join("checkpoint");
        let note = std::fs::read(&path).map_err(|source| NodeError::Io { path, source })?;
        if note != head.note().as_bytes() {
            return Err(place.damaged_manifest("events, audit"));
        }
    }
    sync_filesystem(data.root())?;
    Mark { finished: true, ..mark }.write(data)?;
    let verified = verify_dir(data, &VerifyScope::default(), clock)?;
    let head = |checkpoint: &Checkpoint| {
        json!({
            "ledger.origin": checkpoint.origin().as_ref(),
            "ledger.size": checkpoint.size(),
            "ledger.root": checkpoint.root().to_base64(),
        })
    };
    Ok(Restored {
        created: manifest.created,
        files: manifest.files.len() as u64,
        bytes: total,
        with_keys: manifest.with_keys,
        heads: json!({ "events": head(&manifest.events), "audit": head(&manifest.audit) }),
        last_event: last_event(data).unwrap_or_default(),
        verified,
    })
}

/// Refuses a directory in which anything is, but for what the same restore left when it was cut short.
fn require_empty(data: &DataDir, mark: &Mark) -> Result<(), NodeError> {
    let dir = data.root();
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| NodeError::Io { path: dir.to_owned(), source })?,
    };
    let is_empty = entries.flatten().all(|entry| entry.path() == data.lock());
    let goes_on = matches!(
        mark::read(data)?,
        Some(Found::Mark(found)) if !found.finished && found.manifest == mark.manifest
    );
    if is_empty || goes_on {
        return Ok(());
    }
    let dir = dir.display();
    Err(NodeError::request(
        format!("{dir} is not empty: a backup is restored into a new directory only"),
        format!("{dir} は空ではありません。リストア先には新しいディレクトリを指定してください"),
    ))
}

/// Files on their way into the directory.
struct Fetching<'a> {
    place: &'a BackupPlace,
    data: &'a DataDir,
    done: AtomicU64,
    total: u64,
    progress: &'a (dyn Fn(u64, u64) -> bool + Sync),
}

/// What is wrong with a file of the backup.
#[derive(Clone, Copy)]
enum Wrong {
    Missing,
    Damaged,
}

impl Fetching<'_> {
    async fn all(&self, manifest: &Manifest) -> Result<(), NodeError> {
        let files = manifest.files.iter().map(|(path, entry)| async move {
            let fetched = self.fetch(path, entry, manifest.contents(path, entry)).await?;
            Ok::<_, NodeError>(fetched.err().map(|wrong| (path, entry, wrong)))
        });
        let mut files = futures::stream::iter(files).buffer_unordered(FILES_AT_ONCE);
        let mut wrong = Vec::new();
        while let Some(fetched) = files.next().await {
            wrong.extend(fetched?);
        }
        if wrong.is_empty() {
            return Ok(());
        }
        wrong.sort_by_key(|(path, _, _)| *path);
        Err(not_restored(&wrong, self.place.shown()))
    }

    fn advance(&self, bytes: u64) -> Result<(), NodeError> {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        match (self.progress)(done, self.total) {
            true => Ok(()),
            false => Err(NodeError::Cancelled),
        }
    }

    /// Brings one file back, unless a restore that was cut short did.
    async fn fetch(
        &self,
        path: &str,
        entry: &Entry,
        contents: &[Entry],
    ) -> Result<Result<(), Wrong>, NodeError> {
        let target = self.data.root().join(path);
        let failed = |source| NodeError::Io { path: target.clone(), source };
        self.advance(0)?;
        if is_there(&target, entry).map_err(failed)? {
            self.advance(entry.bytes)?;
            return Ok(Ok(()));
        }
        if let Some(dir) = target.parent() {
            std::fs::create_dir_all(dir).map_err(failed)?;
        }
        let is_secret = target.extension().is_some_and(|ending| ending == "key");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        options.mode(if is_secret { 0o600 } else { 0o644 });
        let mut file = options.open(&target).map_err(failed)?;
        let mut whole = Sha256::new();
        for piece in contents {
            let mut of_piece = Sha256::new();
            let mut take = |part: &[u8]| {
                whole.update(part);
                of_piece.update(part);
                file.write_all(part).map_err(failed)
            };
            if let Err(wrong) = self.fetch_piece(piece, &mut take).await? {
                std::fs::remove_file(&target).map_err(failed)?;
                return Ok(Err(wrong));
            }
            if hex(&of_piece.finalize()) != piece.sha256 {
                std::fs::remove_file(&target).map_err(failed)?;
                return Ok(Err(Wrong::Damaged));
            }
        }
        if hex(&whole.finalize()) == entry.sha256 {
            return Ok(Ok(()));
        }
        std::fs::remove_file(&target).map_err(failed)?;
        Ok(Err(Wrong::Damaged))
    }

    /// Hands over contents of the place; not more of them than the manifest says.
    async fn fetch_piece(
        &self,
        piece: &Entry,
        take: &mut (dyn FnMut(&[u8]) -> Result<(), NodeError> + Send),
    ) -> Result<Result<(), Wrong>, NodeError> {
        let Some(mut parts) = self.place.read(&piece.sha256).await? else {
            return Ok(Err(Wrong::Missing));
        };
        let mut bytes = 0;
        while let Some(part) = parts.next().await {
            let part = part.map_err(|error| self.place.failed(&content(&piece.sha256), &error))?;
            bytes += part.len() as u64;
            if bytes > piece.bytes {
                break;
            }
            take(&part)?;
            self.advance(part.len() as u64)?;
        }
        Ok(if bytes == piece.bytes { Ok(()) } else { Err(Wrong::Damaged) })
    }
}

/// Names the first files that are wrong, and counts all.
fn not_restored(wrong: &[(&String, &Entry, Wrong)], from: &str) -> NodeError {
    let (mut en, mut ja) = (Vec::new(), Vec::new());
    for (path, entry, wrong) in wrong.iter().take(DAMAGED_SHOWN_MAX) {
        let name = content(&entry.sha256);
        let (what, what_ja) = match wrong {
            Wrong::Missing => ("is missing", "がありません"),
            Wrong::Damaged => (
                "was changed: its SHA-256 is another",
                "は改変されています（SHA-256 が一致しません）",
            ),
        };
        en.push(format!("{path} ({name}) {what}"));
        ja.push(format!("{path}（{name}）{what_ja}"));
    }
    let count = wrong.len();
    refused(
        format!("{count} files of the backup in {from} cannot be restored:\n{}", en.join("\n")),
        format!("{from} のバックアップのうち{count}個のファイルを戻せません:\n{}", ja.join("\n")),
    )
}

fn is_there(path: &Path, entry: &Entry) -> std::io::Result<bool> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    if file.metadata()?.len() != entry.bytes {
        return Ok(false);
    }
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; super::limits::CHUNK_BYTES];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()) == entry.sha256);
        }
        hasher.update(chunk.get(..read).unwrap_or_default());
    }
}

/// When the newest event was received: of the sealed batches, nearly in order, and of the journal.
fn last_event(data: &DataDir) -> Result<Option<UtcMicros>, NodeError> {
    let dir = data.events_log();
    let log = Log::open_to_read(&dir, &crate::keys::verifier_keys(data, "events")?)?;
    let mut last = None;
    for leaf in (0..log.size()).rev() {
        let header = log.header(leaf)?;
        if header.count > 0 {
            last = Some(header.last_received);
            break;
        }
    }
    for run in yagura_journal::read_segments(&data.journal())? {
        last = run?.records.iter().map(|record| record.received).max().max(last);
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_files_are_told_apart_and_all_are_counted() {
        let entry = Entry { sha256: "0".repeat(64), bytes: 1 };
        for more in [0, 1] {
            let paths: Vec<String> =
                (0..DAMAGED_SHOWN_MAX + more).map(|number| format!("lake/{number:04}")).collect();
            let wrong: Vec<_> = paths.iter().map(|path| (path, &entry, Wrong::Missing)).collect();
            let error = not_restored(&wrong, "/backup");
            let words = error.words();
            for text in [words.en(), words.ja()] {
                assert!(text.contains(&paths.len().to_string()), "{text}");
                assert_eq!(text.lines().count(), 1 + DAMAGED_SHOWN_MAX);
            }
        }
    }
}
