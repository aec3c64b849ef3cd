//! Backups: a copy of the whole data directory at one moment, while everything goes on; bringing one back;
//! and what must happen before a directory that was brought back may be written to.

mod limits;
mod manifest;
pub(crate) mod mark;
mod place;
mod release;
mod restore;
mod snapshot;
mod view;
mod write;

pub(crate) use release::Admission;
pub use release::{Release, release};
pub use restore::{RestoreRequest, Restored, restore};
pub(crate) use snapshot::Source;
pub(crate) use view::View;

use crate::{DataDir, Node, NodeError};
use place::BackupPlace;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use write::Writing;
use yagura_event::{UtcMicros, Words};

/// What is to be backed up, and where to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackupRequest {
    /// A directory, or `s3://bucket/prefix`. Where a server writes, it is the server's.
    pub to: String,
    /// Whether the signing keys go with it: whoever has them can sign in the name of the logs.
    pub with_keys: bool,
    /// Whether what is there already is read as well, and replaced where it was damaged.
    pub check: bool,
}

/// Whether a directory was restored from a backup and is not yet allowed to go on.
///
/// # Errors
/// When its mark cannot be read.
pub fn is_restored(data: &DataDir) -> Result<bool, NodeError> {
    Ok(mark::read(data)?.is_some())
}

/// The backups of a node.
pub(crate) struct Backups {
    shared: Arc<Shared>,
    source: Arc<Source>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    cancel: AtomicBool,
}

/// How far a backup is, or how the last one ended.
#[derive(Debug, Clone, Default, Serialize)]
struct State {
    running: bool,
    to: String,
    #[serde(rename = "begun")]
    began: Option<UtcMicros>,
    ended: Option<UtcMicros>,
    files_total: u64,
    /// As far as it is known before everything was read.
    bytes_total: u64,
    files_copied: u64,
    bytes_copied: u64,
    /// Of files that are not whole yet, too.
    bytes_now: u64,
    /// What was there already.
    files_kept: u64,
    bytes_kept: u64,
    /// Headers of the two logs that the backup holds.
    events_size: u64,
    audit_size: u64,
    cancelled: bool,
    /// In both languages: `en` and `ja`.
    error: Option<Value>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What cannot be done, and why, in both languages.
pub(crate) fn refused(en: impl Into<String>, ja: impl Into<String>) -> NodeError {
    NodeError::Backup(Words::new(en, ja))
}

/// Makes everything durable that was written to the file system of `dir`.
fn sync_filesystem(dir: &Path) -> Result<(), NodeError> {
    let failed = |source| NodeError::Io { path: dir.to_owned(), source };
    let file = std::fs::File::open(dir).map_err(failed)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&file).map_err(|error| failed(error.into()))?;
    #[cfg(not(target_os = "linux"))]
    file.sync_all().map_err(failed)?;
    Ok(())
}

impl Shared {
    fn state(&self, change: impl FnOnce(&mut State)) {
        change(&mut locked(&self.state));
    }

    fn check_cancelled(&self) -> Result<(), NodeError> {
        match self.cancel.load(Ordering::Acquire) {
            true => Err(NodeError::Cancelled),
            false => Ok(()),
        }
    }
}

impl Backups {
    pub(crate) fn new(source: Source) -> Self {
        let shared = Shared { state: Mutex::default(), cancel: AtomicBool::new(false) };
        Backups { shared: Arc::new(shared), source: Arc::new(source), thread: Mutex::default() }
    }

    /// Ends what runs: the place then has the manifest that it had.
    pub(crate) fn close(&self) {
        self.shared.cancel.store(true, Ordering::Release);
        if let Some(thread) = locked(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

impl Node {
    /// Begins a backup, and answers how far it is: [`Node::backing_up`] tells more. While it is written,
    /// nothing of the table or the journal is removed.
    ///
    /// # Errors
    ///
    /// When the place cannot be used, or a backup runs already.
    pub fn backup(&self, request: &BackupRequest, who: &str) -> Result<Value, NodeError> {
        let place = BackupPlace::open(&request.to, true)?;
        if place.is_within(self.data().root()) {
            return Err(NodeError::request(
                "the backup must not lie in the data directory, nor the other way round",
                "バックアップ先とデータディレクトリは、一方が他方の中にあってはいけません",
            ));
        }
        if request.with_keys && place.is_open_to_others() {
            return Err(NodeError::request(
                format!("others may look into {}: run chmod 700 before keys go there", request.to),
                format!(
                    "{} は他の利用者も読めます。鍵を入れる前に chmod 700 を実行してください",
                    request.to
                ),
            ));
        }
        // Less is left in the journal, and a store that is closed after this writes nothing any more.
        self.flush()?;
        let Backups { shared, source, thread } = self.backups();
        let mut thread = locked(thread);
        {
            let mut state = locked(&shared.state);
            if state.running {
                return Err(NodeError::request(
                    "a backup is being written already: wait for it, or cancel it",
                    "バックアップはすでに実行中です。完了を待つか、中止してください",
                ));
            }
            let began = Some(self.clock().now());
            *state = State { running: true, to: request.to.clone(), began, ..State::default() };
        }
        shared.cancel.store(false, Ordering::Release);
        let (shared, source) = (shared.clone(), source.clone());
        let (request, who) = (request.clone(), who.to_owned());
        let body = move || {
            let done = run(&shared, &source, &place, &request, &who);
            shared.state(|state| {
                state.running = false;
                state.ended = Some(source.clock.now());
                match done {
                    Ok(()) => {}
                    Err(NodeError::Cancelled) => state.cancelled = true,
                    Err(error) => {
                        let words = error.words();
                        state.error = Some(json!({ "en": words.en(), "ja": words.ja() }));
                    }
                }
            });
        };
        let spawned = std::thread::Builder::new().name("yagura-backup".to_owned()).spawn(body);
        *thread =
            Some(spawned.map_err(|source| NodeError::Io { path: "yagura-backup".into(), source })?);
        Ok(self.backing_up())
    }

    /// How far the backup is, or how the last one ended.
    pub fn backing_up(&self) -> Value {
        json!(*locked(&self.backups().shared.state))
    }

    /// Ends the backup; the place keeps what was copied, for the next one, and the manifest it had.
    pub fn cancel_backup(&self) -> Value {
        self.backups().shared.cancel.store(true, Ordering::Release);
        self.backing_up()
    }
}

fn run(
    shared: &Shared,
    source: &Source,
    place: &BackupPlace,
    request: &BackupRequest,
    who: &str,
) -> Result<(), NodeError> {
    let _lock = place.lock()?;
    // For as long as files are read, none of them is removed.
    let _kept = locked(&source.kept);
    runtime()?.block_on(Writing { source, place, shared, request }.run(who))
}

fn runtime() -> Result<tokio::runtime::Runtime, NodeError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| NodeError::Io { path: "yagura-backup".into(), source })
}
