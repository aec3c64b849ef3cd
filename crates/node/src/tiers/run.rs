//! Moving files, by itself and on request, one run at a time and one file after the other.
//!
//! Order, to the store: the audit log gets the digest of the object; the object is written, read back and
//! compared; one commit says that the file lies there; the audit log says so. The local file goes like one
//! of a compaction. The way back is the same, and the object goes by [`super::tidy`]. Killed between any
//! two steps, the table has the file in one place, and every object is known.

use super::settings::{COOLED, RecordedCold, TierOptions, WARMED, WARMED_KEPT_DAYS};
use crate::NodeError;
use crate::audit::{Audit, FileDigest};
use crate::compaction::{FREE_BYTES_MIN, free_bytes, give_way, recorded as digest_recorded};
use crate::retention::{Policy, Retaining, stream_of};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use yagura_event::{Clock, UtcMicros};
use yagura_lake::{FileEntry, FileWritten, Lake, LakeError, TierRule, TierStep, kill_point};
use yagura_ledger::Log;

const DAY_MICROS: i64 = 86_400_000_000;

/// Failures that are told apart; past it the run ends.
const FAILURES_MAX: usize = 100;

/// How often a file is tried again when another took its place meanwhile.
const ATTEMPTS: usize = 5;

/// Where files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// To the cold store.
    Cool,
    /// Back to the table's directory.
    Warm,
}

/// Which files are to be moved where.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) way: Way,
    pub(super) dataset: Option<String>,
    /// Received before this UTC day.
    pub(super) before: Option<String>,
    /// Received on this UTC day or later.
    pub(super) from: Option<String>,
    pub(super) by_itself: bool,
}

/// A moment of moving a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TierPoint {
    /// The store is this table's.
    Claimed,
    /// The audit log knows the object that is to be.
    Announced,
    /// A moment within the lake.
    At(TierStep),
    /// The audit log knows the files in their new place.
    Recorded,
    /// The audit log says that it was moved.
    Finished,
}

/// The moving of files of a node.
pub(crate) struct Tiers {
    shared: Arc<Shared>,
    mover: Arc<Mover>,
    /// Whether files go by themselves.
    by_itself: bool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What will leave the disk by itself, for a forecast.
pub(crate) struct Moving<'a> {
    mover: &'a Mover,
    after_days: u32,
    now: UtcMicros,
}

impl Moving<'_> {
    /// Days after which the files of a stream with this policy may go.
    pub(crate) fn after(&self, policy: Option<&Policy>) -> Option<u32> {
        Some(policy.map_or(self.after_days, |it| it.cold_after(self.after_days)))
    }

    /// Whether a file was brought back lately, and stays.
    pub(crate) fn came_back(&self, file: &FileEntry) -> bool {
        self.mover.came_back(file, self.now)
    }
}

struct Shared {
    state: Mutex<State>,
    cancel: AtomicBool,
    closing: Mutex<bool>,
    closed: Condvar,
}

#[derive(Debug, Clone, Default, Serialize)]
struct State {
    running: bool,
    /// Whether nobody asked for it.
    by_itself: bool,
    way: Option<Way>,
    #[serde(rename = "begun")]
    began: Option<UtcMicros>,
    ended: Option<UtcMicros>,
    files_total: u64,
    files_done: u64,
    bytes_total: u64,
    bytes_done: u64,
    /// Bytes of the file that is being moved, of those copied and those compared.
    #[serde(skip)]
    halves: u64,
    rows_done: u64,
    cancelled: bool,
    /// What did not compare, and stays as it was.
    failures: Vec<Value>,
    error: Option<String>,
    error_ja: Option<String>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What moving files needs of a node.
pub(crate) struct Mover {
    pub(crate) lake: Arc<Lake>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) events_log: Arc<Log>,
    /// Held while the table is written.
    pub(crate) table: Arc<Mutex<()>>,
    /// Held by whoever reads files that must stay.
    pub(crate) kept: Arc<Mutex<()>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) retaining: Arc<Retaining>,
    /// What is recorded of stores and of files that came back.
    pub(crate) recorded: Mutex<RecordedCold>,
    /// Whether the table is compacted by itself: then only compacted files go by themselves.
    pub(crate) compacts: bool,
    /// Held by the one that moves or removes.
    pub(crate) turn: Mutex<()>,
    /// Objects that their store will not delete, which was recorded.
    pub(crate) refused: Mutex<BTreeSet<String>>,
}

impl Tiers {
    pub(crate) fn start(mover: Mover, options: Option<&TierOptions>) -> Result<Self, NodeError> {
        let tiers = Tiers {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                cancel: AtomicBool::new(false),
                closing: Mutex::new(false),
                closed: Condvar::new(),
            }),
            mover: Arc::new(mover),
            by_itself: options.is_some_and(|options| options.every.is_some()),
            threads: Mutex::default(),
        };
        if let Some(every) = options.and_then(|options| options.every) {
            let (shared, mover) = (tiers.shared.clone(), tiers.mover.clone());
            tiers.spawn(move || {
                loop {
                    let closing = locked(&shared.closing);
                    let waited = shared.closed.wait_timeout_while(closing, every, |it| !*it);
                    if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                        return;
                    }
                    shared.by_itself(&mover);
                }
            })?;
        }
        Ok(tiers)
    }

    pub(crate) fn mover(&self) -> &Arc<Mover> {
        &self.mover
    }

    /// What makes room on the disk of `root`; `None` where nothing goes by itself, or only to another
    /// directory of the same disk.
    pub(crate) fn moving(&self, root: &Path, now: UtcMicros) -> Option<Moving<'_>> {
        let (store, after_days) = locked(&self.mover.recorded).target()?;
        let elsewhere = |directory: &str| {
            let store = device(Path::new(directory));
            store.is_some() && store != device(root)
        };
        let makes_room = store.strip_prefix("file://").is_none_or(elsewhere);
        (self.by_itself && makes_room).then_some(Moving { mover: &self.mover, after_days, now })
    }

    fn spawn(&self, body: impl FnOnce() + Send + 'static) -> Result<(), NodeError> {
        let thread = std::thread::Builder::new()
            .name("yagura-tiers".to_owned())
            .spawn(move || {
                give_way();
                body();
            })
            .map_err(|source| NodeError::Io { path: "yagura-tiers".into(), source })?;
        let mut threads = locked(&self.threads);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    pub(super) fn begin(&self, order: Order, who: &str) -> Result<(), NodeError> {
        if order.way == Way::Cool {
            self.mover.target()?;
        }
        {
            let mut state = locked(&self.shared.state);
            if state.running && !state.by_itself {
                return Err(NodeError::request(
                    "files are being moved already: wait for it, or cancel it".to_owned(),
                    "ファイルの移動はすでに実行中です。完了を待つか、中止してください".to_owned(),
                ));
            }
            *state = State {
                running: true,
                way: Some(order.way),
                began: Some(self.mover.clock.now()),
                ..State::default()
            };
        }
        self.shared.cancel.store(false, Ordering::Release);
        let (shared, mover, who) = (self.shared.clone(), self.mover.clone(), who.to_owned());
        self.spawn(move || shared.run(&mover, &order, &who))
    }

    pub(super) fn shown(&self) -> Value {
        let state = locked(&self.shared.state);
        let mut value = json!(*state);
        value["bytes_now"] =
            json!(state.bytes_done.saturating_add(state.halves / 2).min(state.bytes_total));
        value
    }

    pub(super) fn cancel(&self) {
        self.shared.cancel.store(true, Ordering::Release);
    }

    /// Ends what runs; the file that is being moved stays where it was.
    pub(crate) fn close(&self) {
        self.cancel();
        *locked(&self.shared.closing) = true;
        self.shared.closed.notify_all();
        for thread in locked(&self.threads).drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn by_itself(&self, mover: &Mover) {
        let order =
            Order { way: Way::Cool, dataset: None, before: None, from: None, by_itself: true };
        match mover.due(&order) {
            Ok(files) if files.is_empty() => {}
            Ok(_) => {
                {
                    let mut state = locked(&self.state);
                    if state.running {
                        return;
                    }
                    *state = State {
                        running: true,
                        by_itself: true,
                        way: Some(Way::Cool),
                        began: Some(mover.clock.now()),
                        ..State::default()
                    };
                }
                self.run(mover, &order, "yagura");
            }
            Err(error) => {
                tracing::error!(%error, "what is due to go to the cold store is not known")
            }
        }
        if let Err(error) = mover.tidy() {
            tracing::warn!(%error, "objects that left the table stay in the cold store for now");
        }
    }

    fn state(&self, order: &Order, change: impl FnOnce(&mut State)) {
        let mut state = locked(&self.state);
        // Somebody who asked meanwhile waits for his turn with a state of his own.
        if state.by_itself == order.by_itself {
            change(&mut state);
        }
    }

    fn is_cancelled(&self, order: &Order) -> bool {
        *locked(&self.closing) || !order.by_itself && self.cancel.load(Ordering::Acquire)
    }

    fn run(&self, mover: &Mover, order: &Order, who: &str) {
        let _turn = locked(&mover.turn);
        let done = self.files(mover, order, who);
        let ended = mover.clock.now();
        self.state(order, |state| {
            state.running = false;
            state.ended = Some(ended);
            match done {
                Ok(()) => {}
                Err(NodeError::Lake(LakeError::Cancelled)) => state.cancelled = true,
                Err(error) => {
                    tracing::error!(%error, "moving files broke off; the one that was being moved stays where it was");
                    let words = error.words();
                    state.error = Some(words.en().to_owned());
                    state.error_ja = Some(words.ja().to_owned());
                }
            }
        });
    }

    fn files(&self, mover: &Mover, order: &Order, who: &str) -> Result<(), NodeError> {
        let files = mover.due(order)?;
        self.state(order, |state| {
            state.files_total = files.len() as u64;
            state.bytes_total = files.iter().map(|file| file.bytes).sum();
        });
        for file in files {
            let mut attempts = 0;
            loop {
                if self.is_cancelled(order) {
                    return Err(LakeError::Cancelled.into());
                }
                let mut at = |point: TierPoint| {
                    let area = if order.way == Way::Cool { "tier" } else { "rehydrate" };
                    match &point {
                        TierPoint::At(step) => kill_point(area, step),
                        point => kill_point(area, point),
                    }
                    if let TierPoint::At(TierStep::Copied(bytes) | TierStep::Checked(bytes)) = point
                    {
                        self.state(order, |state| state.halves += bytes);
                    }
                    !self.is_cancelled(order)
                };
                let moved = mover.move_file(&file, order.way, who, &mut at);
                self.state(order, |state| state.halves = 0);
                match moved {
                    Ok(()) => {
                        self.state(order, |state| {
                            state.files_done += 1;
                            state.bytes_done += file.bytes;
                            state.rows_done += file.rows;
                        });
                        break;
                    }
                    Err(NodeError::Lake(LakeError::Outdated(_))) if attempts < ATTEMPTS => {
                        attempts += 1;
                        // A compaction or a deletion was quicker: what it made is due another time.
                        if !mover.lake.files().iter().any(|known| known.place() == file.place()) {
                            break;
                        }
                    }
                    Err(error @ NodeError::Lake(LakeError::Corrupt { .. })) => {
                        let notice = mover.refuse(&error, &file, order.way, who)?;
                        let mut count = 0;
                        self.state(order, |state| {
                            state.failures.push(notice);
                            count = state.failures.len();
                        });
                        if count >= FAILURES_MAX {
                            return Err(error);
                        }
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// The disk of a directory, where it is there and that can be told.
#[cfg(unix)]
fn device(directory: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    Some(directory.metadata().ok()?.dev())
}

#[cfg(not(unix))]
fn device(_: &Path) -> Option<u64> {
    None
}

impl Mover {
    /// The store that files go to, and after how many days.
    fn target(&self) -> Result<(String, u32), NodeError> {
        locked(&self.recorded).target().ok_or_else(|| {
            NodeError::request(
                "no cold store is configured: write url = \"s3://bucket/prefix\" or \
                 \"file:///directory\" under [lake.cold] in the configuration",
                "コールドストアが設定されていません。設定の [lake.cold] に url = \
                 \"s3://バケット/プレフィックス\" または \"file:///ディレクトリ\" を書いてください",
            )
        })
    }

    /// The files that `order` is about, oldest day first.
    pub(super) fn due(&self, order: &Order) -> Result<Vec<Arc<FileEntry>>, NodeError> {
        let mut rule = TierRule {
            before: order.before.clone(),
            from: order.from.clone(),
            dataset: order.dataset.clone(),
            compacted: order.by_itself && self.compacts,
        };
        if order.way == Way::Warm {
            return Ok(self.lake.warmable(&rule));
        }
        let (_, after_days) = self.target()?;
        let now = self.clock.now();
        let day_before = |days: u32| now.plus_micros(-i64::from(days) * DAY_MICROS).utc_day();
        // The youngest that may go by anything: policies are asked of these only.
        rule.before.get_or_insert_with(|| day_before(1));
        let named = order.before.is_some();
        let mut policies: BTreeMap<yagura_event::StreamName, u32> = BTreeMap::new();
        let mut due = Vec::new();
        for file in self.lake.coolable(&rule) {
            if order.by_itself && self.came_back(&file, now) {
                continue;
            }
            let mut after = 0;
            for rows in &file.batches {
                let Some(stream) = stream_of(&self.events_log, rows.batch)? else { continue };
                after = after.max(*policies.entry(stream).or_insert_with_key(|stream| {
                    let settings = self.retaining.fold().settings();
                    let policy = settings.of(stream.as_str());
                    match named {
                        // What a policy wants at hand stays, whoever asks.
                        true => policy.map_or(0, Policy::immediate),
                        false => policy.map_or(after_days, |it| it.cold_after(after_days)),
                    }
                }));
            }
            if file.day < day_before(after) {
                due.push(file);
            }
        }
        Ok(due)
    }

    /// Whether a file was brought back lately.
    fn came_back(&self, file: &FileEntry, now: UtcMicros) -> bool {
        let recorded = locked(&self.recorded);
        let since = now.plus_micros(-WARMED_KEPT_DAYS * DAY_MICROS);
        recorded.warmed().get(&file.path).is_some_and(|at| *at > since)
    }

    /// Moves one file. `at` may end it until the table says where it lies.
    pub(super) fn move_file(
        &self,
        file: &Arc<FileEntry>,
        way: Way,
        who: &str,
        at: &mut dyn FnMut(TierPoint) -> bool,
    ) -> Result<(), NodeError> {
        let Mover { lake, audit, .. } = self;
        if !audit.file_is(&digest_recorded(lake, file)) {
            let reason = "the audit log has another digest of it, or none".to_owned();
            return Err(LakeError::Corrupt { path: lake.name_of(file), reason }.into());
        }
        let prepared = match way {
            Way::Cool => {
                let (url, _) = self.target()?;
                lake.claim_cold(&url, self.events_log.origin())?;
                if !at(TierPoint::Claimed) {
                    return Err(LakeError::Cancelled.into());
                }
                let object = FileDigest {
                    path: format!("{url}/{}", file.path),
                    sha256: file.sha256.clone(),
                    bytes: file.bytes,
                };
                if !audit.file_is(&object) {
                    audit.record_files(&[object])?;
                }
                if !at(TierPoint::Announced) {
                    return Err(LakeError::Cancelled.into());
                }
                lake.prepare_cooling(file, &url, &mut |step| at(TierPoint::At(step)))?
            }
            Way::Warm => {
                let needed = file.bytes.saturating_add(FREE_BYTES_MIN);
                if let Some(free) = free_bytes(lake.directory()).filter(|free| *free < needed) {
                    let said = format!(
                        "bringing a file back needs {needed} bytes free on the disk, there are {free}"
                    );
                    let source = std::io::Error::new(std::io::ErrorKind::StorageFull, said);
                    return Err(NodeError::Io { path: lake.directory().to_owned(), source });
                }
                lake.prepare_warming(file, &mut |step| at(TierPoint::At(step)))?
            }
        };
        let writing = locked(&self.table);
        let report = lake.publish_moves(vec![prepared], &mut |step| at(TierPoint::At(step)))?;
        let digest = |file: &FileWritten| FileDigest {
            path: file.path.clone(),
            sha256: file.sha256.clone(),
            bytes: file.bytes,
        };
        audit.record_files(&report.files.iter().map(digest).collect::<Vec<_>>())?;
        let _ = at(TierPoint::Recorded);
        let entry = json!({
            "@timestamp": self.clock.now(),
            "event.action": if way == Way::Cool { COOLED } else { WARMED },
            "user.name": who,
            "file.path": file.path,
            "file.size": file.bytes,
            "events": file.rows,
            "from": file.place(),
            "to": report.files.first().map(|file| &file.path),
        });
        audit.write(std::slice::from_ref(&entry))?;
        drop(writing);
        locked(&self.recorded).replay(entry.to_string().as_bytes());
        let _ = at(TierPoint::Finished);
        Ok(())
    }

    /// What does not compare stays where it is, and the audit log says so.
    fn refuse(
        &self,
        error: &NodeError,
        file: &FileEntry,
        way: Way,
        who: &str,
    ) -> Result<Value, NodeError> {
        tracing::error!(%error, "a file was not moved: run yagura verify");
        let words = error.words();
        let notice = json!({
            "@timestamp": self.clock.now(),
            "event.action": "lake.move-refused",
            "user.name": who,
            "file.path": file.place(),
            "way": way,
            "error.message": words.en(),
            "error.message_ja": words.ja(),
        });
        self.audit.write(std::slice::from_ref(&notice))?;
        Ok(notice)
    }
}
