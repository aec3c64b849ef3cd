//! Compaction of the table, by itself and on request, one at a time. The lake moves rows; what they
//! must be is known here: the digests of the old files in the audit log, and the roots of their
//! batches in the ledger. Both are asked before an old file leaves the table.

use crate::audit::{Audit, FileDigest};
use crate::judging::{Hashers, verify_stored};
use crate::lake_sizes::is_parquet;
use crate::pipeline::PipelineCounters;
use crate::{Node, NodeError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use yagura_event::{Clock, Record, UtcMicros};
use yagura_journal::Journal;
use yagura_lake::limits::COMPACT_FILES_MIN;
use yagura_lake::{
    BatchHead, CompactJob, CompactLimits, CompactRule, CompactStep, CompactWatch, FileEntry,
    FileWritten, Lake, LakeError, StoredLeaves, kill_point,
};
use yagura_ledger::Log;

/// How long to wait while intake is busy, between two looks.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// The longest time that one step of a compaction waits for intake: it goes on, slowly, even where
/// intake is always busy.
const BUSY_WAIT_MAX: Duration = Duration::from_millis(200);

/// Records that may wait to be read before intake counts as busy.
const BACKLOG_CALM: u64 = 20_000;

/// How often the same files are tried again when others took their place meanwhile.
const ATTEMPTS: usize = 5;

/// Failures that are told apart; past it the run ends.
const FAILURES_MAX: usize = 100;

/// Room that a step leaves free on the disk, in bytes, besides what it needs itself: the journal must
/// not be the one that finds it full.
pub(crate) const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;

/// How many times the old files' bytes a step needs at most: temporary files, and the new ones.
const NEEDED_FACTOR: u64 = 3;

/// How much lower than others the thread's priority is (Linux `nice`).
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// When the table is compacted by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactOptions {
    /// Files in the order of arrival that make a partition of the current day due; a partition of
    /// an earlier day is due whatever it has.
    pub files_min: usize,
    /// Time between two looks for what is due.
    pub every: Duration,
}

impl Default for CompactOptions {
    fn default() -> Self {
        CompactOptions { files_min: COMPACT_FILES_MIN, every: Duration::from_secs(60) }
    }
}

/// What is to be compacted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompactRequest {
    /// Only this dataset.
    pub dataset: Option<String>,
    /// Only what was received on this UTC day, `YYYY-MM-DD`.
    pub day: Option<String>,
    /// Only what would be compacted by itself, not every file that still lies in the order of
    /// arrival.
    pub due: bool,
}

/// The compactions of a node.
pub(crate) struct Compacting {
    shared: Arc<Shared>,
    compactor: Arc<Compactor>,
    /// The one that works by itself, and the one on request.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    /// Held by the one that works.
    turn: Mutex<()>,
    /// Ends the one on request.
    cancel: AtomicBool,
    /// Ends all.
    closing: Mutex<bool>,
    closed: Condvar,
    /// Partitions of which something did not verify, as dataset and day: they are left alone until
    /// the next start, or until someone asks for them.
    refused: Mutex<BTreeSet<(String, String)>>,
}

#[derive(Debug, Clone, Default, Serialize)]
struct State {
    running: bool,
    /// Whether nobody asked for it.
    by_itself: bool,
    #[serde(rename = "begun")]
    began: Option<UtcMicros>,
    ended: Option<UtcMicros>,
    /// Rows that are to be compacted, as far as that is known.
    rows_total: u64,
    /// Rows that were.
    rows_done: u64,
    /// Thirds of rows: read, written, judged.
    #[serde(skip)]
    thirds: u64,
    batches: u64,
    files_before: u64,
    files_after: u64,
    bytes_before: u64,
    bytes_after: u64,
    cancelled: bool,
    /// What did not verify, and stays as it was.
    failures: Vec<Value>,
    error: Option<String>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a compaction needs of a node.
pub(crate) struct Compactor {
    pub(crate) lake: Arc<Lake>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) events_log: Arc<Log>,
    pub(crate) table: Arc<Mutex<()>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) journal: Journal,
    pub(crate) counters: Arc<PipelineCounters>,
    pub(crate) hot_bytes_max: usize,
}

impl Compacting {
    pub(crate) fn start(
        compactor: Compactor,
        options: Option<CompactOptions>,
    ) -> Result<Self, NodeError> {
        let compacting = Compacting {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                turn: Mutex::default(),
                cancel: AtomicBool::new(false),
                closing: Mutex::new(false),
                closed: Condvar::new(),
                refused: Mutex::default(),
            }),
            compactor: Arc::new(compactor),
            threads: Mutex::default(),
        };
        if let Some(options) = options {
            let (shared, compactor) = (compacting.shared.clone(), compacting.compactor.clone());
            compacting.spawn(move || by_itself(&shared, &compactor, options))?;
        }
        Ok(compacting)
    }

    fn spawn(&self, body: impl FnOnce() + Send + 'static) -> Result<(), NodeError> {
        let thread = std::thread::Builder::new()
            .name("yagura-compact".to_owned())
            .spawn(move || {
                give_way();
                body();
            })
            .map_err(|source| NodeError::Io { path: "yagura-compact".into(), source })?;
        let mut threads = locked(&self.threads);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    /// Ends what runs; the table is as before its step.
    pub(crate) fn close(&self) {
        self.shared.cancel.store(true, Ordering::Release);
        *locked(&self.shared.closing) = true;
        self.shared.closed.notify_all();
        for thread in locked(&self.threads).drain(..) {
            let _ = thread.join();
        }
    }
}

/// On Linux the priority is the thread's, not the process's.
pub(crate) fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "the compacting thread keeps its priority");
    }
}

fn by_itself(shared: &Arc<Shared>, compactor: &Compactor, options: CompactOptions) {
    loop {
        let closing = locked(&shared.closing);
        let waited = shared.closed.wait_timeout_while(closing, options.every, |closing| !*closing);
        if *waited.unwrap_or_else(PoisonError::into_inner).0 {
            return;
        }
        let rule = CompactRule {
            files_min: options.files_min,
            skip: locked(&shared.refused).clone(),
            ..CompactRule::new(compactor.clock.now().utc_day())
        };
        if compactor.lake.compactable(&rule).is_empty() {
            continue;
        }
        let _turn = locked(&shared.turn);
        Run { shared, compactor, rule, who: None }.run();
    }
}

impl Node {
    /// Begins to compact, and answers how far it is: [`Node::compacting`] tells more. Blocks until
    /// what is sealed in memory is in the table.
    ///
    /// # Errors
    ///
    /// When the request is wrong, or a compaction that was asked for runs.
    pub fn compact(&self, request: &CompactRequest, who: &str) -> Result<Value, NodeError> {
        if let Some(day) = &request.day
            && day.parse::<jiff::civil::Date>().is_err()
        {
            return Err(NodeError::request(
                format!("{day:?} is no day: write 2026-11-21"),
                format!("{day:?} は日付として読めません（例: 2026-11-21）"),
            ));
        }
        self.flush()?;
        let Compacting { shared, compactor, .. } = &self.compacting;
        {
            let mut state = locked(&shared.state);
            if state.running && !state.by_itself {
                return Err(NodeError::request(
                    "the table is being compacted already: wait for it, or cancel it".to_owned(),
                    "コンパクションはすでに実行中です。完了を待つか、中止してください".to_owned(),
                ));
            }
            *state = State { running: true, began: Some(self.clock().now()), ..State::default() };
        }
        shared.cancel.store(false, Ordering::Release);
        let mut rule = CompactRule::new(self.clock().now().utc_day());
        rule.dataset.clone_from(&request.dataset);
        rule.day.clone_from(&request.day);
        if !request.due {
            rule.files_min = 1;
        }
        let (shared, compactor, who) = (shared.clone(), compactor.clone(), who.to_owned());
        self.compacting.spawn(move || {
            let _turn = locked(&shared.turn);
            Run { shared: &shared, compactor: &compactor, rule, who: Some(who) }.run();
        })?;
        Ok(self.compacting())
    }

    /// How far the compaction is, or how the last one ended.
    pub fn compacting(&self) -> Value {
        let state = locked(&self.compacting.shared.state);
        let mut value = json!(*state);
        let now = state.rows_done.saturating_add(state.thirds / 3);
        value["rows_now"] = json!(now.min(state.rows_total));
        value
    }

    /// Ends the compaction that was asked for; what it finished stays.
    pub fn cancel_compacting(&self) -> Value {
        self.compacting.shared.cancel.store(true, Ordering::Release);
        self.compacting()
    }
}

/// One compaction, of as many steps as it takes.
struct Run<'a> {
    shared: &'a Arc<Shared>,
    compactor: &'a Compactor,
    rule: CompactRule,
    /// Who asked for it.
    who: Option<String>,
}

impl Run<'_> {
    fn run(mut self) {
        {
            let mut state = locked(&self.shared.state);
            if self.who.is_none() {
                if state.running {
                    return;
                }
                let began = Some(self.compactor.clock.now());
                *state = State { running: true, by_itself: true, began, ..State::default() };
            }
        }
        let done = self.steps();
        let mut state = locked(&self.shared.state);
        // Somebody who asked meanwhile waits for his turn with a state of his own.
        if state.by_itself != self.who.is_none() {
            return;
        }
        state.running = false;
        state.ended = Some(self.compactor.clock.now());
        match done {
            Ok(()) => {}
            Err(NodeError::Lake(LakeError::Cancelled)) => state.cancelled = true,
            Err(error) => {
                tracing::error!(%error, "compaction broke off; the table is as it was before its last step");
                state.error = Some(error.to_string());
            }
        }
    }

    fn state(&self, change: impl FnOnce(&mut State)) {
        let mut state = locked(&self.shared.state);
        if state.by_itself == self.who.is_none() {
            change(&mut state);
        }
    }

    fn steps(&mut self) -> Result<(), NodeError> {
        let mut attempts = 0;
        loop {
            if self.is_cancelled() {
                return Err(LakeError::Cancelled.into());
            }
            let all = CompactRule { rows_max: u64::MAX, ..self.rule.clone() };
            let left: u64 =
                self.compactor.lake.compactable(&all).iter().map(CompactJob::rows).sum();
            self.state(|state| state.rows_total = state.rows_done + left);
            let jobs = self.compactor.lake.compactable(&self.rule);
            if jobs.is_empty() {
                return Ok(());
            }
            match self.step(&jobs) {
                Ok(()) => attempts = 0,
                // A rereading was quicker.
                Err(NodeError::Lake(LakeError::Outdated(_))) if attempts < ATTEMPTS => {
                    attempts += 1
                }
                Err(error) => match refused_places(&error, &jobs, &self.compactor.lake) {
                    Some(places) if self.rule.skip.len() < FAILURES_MAX => {
                        self.refuse(&error, places)?;
                    }
                    _ => return Err(error),
                },
            }
            self.state(|state| state.thirds = 0);
        }
    }

    fn is_cancelled(&self) -> bool {
        *locked(&self.shared.closing)
            || self.who.is_some() && self.shared.cancel.load(Ordering::Acquire)
    }

    /// What does not verify stays as it is, and the audit log says so.
    fn refuse(
        &mut self,
        error: &NodeError,
        places: BTreeSet<(String, String)>,
    ) -> Result<(), NodeError> {
        tracing::error!(%error, "files of the table were not compacted: run yagura verify");
        let notice = json!({
            "@timestamp": self.compactor.clock.now(),
            "event.action": "lake.compaction-refused",
            "user.name": self.who.as_deref().unwrap_or("yagura"),
            "error.message": error.to_string(),
            "partitions": places
                .iter()
                .map(|(dataset, day)| json!({ "dataset": dataset, "day": day }))
                .collect::<Vec<_>>(),
        });
        self.compactor.audit.write(std::slice::from_ref(&notice))?;
        self.state(|state| state.failures.push(notice));
        locked(&self.shared.refused).extend(places.clone());
        self.rule.skip.extend(places);
        Ok(())
    }

    /// The new files are written and judged while everything goes on; then, while nothing else writes
    /// to the table, it takes them in and their digests are recorded. A crash between leaves what the
    /// next start records.
    fn step(&self, jobs: &[CompactJob]) -> Result<(), NodeError> {
        let Compactor { lake, audit, .. } = self.compactor;
        for file in jobs.iter().flat_map(|job| &job.files) {
            if !audit.file_is(&recorded(lake, file)) {
                let reason = "the audit log has another digest of it, or none".to_owned();
                let path = lake.name_of(file);
                return Err(LakeError::Corrupt { path, reason }.into());
            }
        }
        let old = jobs.iter().flat_map(|job| &job.files).map(|file| file.bytes).sum::<u64>();
        let needed = old.saturating_mul(NEEDED_FACTOR).saturating_add(FREE_BYTES_MIN);
        if let Some(free) = free_bytes(lake.directory()).filter(|free| *free < needed) {
            let said =
                format!("compacting needs {needed} bytes free on the disk, there are {free}");
            let source = std::io::Error::new(std::io::ErrorKind::StorageFull, said);
            return Err(NodeError::Io { path: lake.directory().to_owned(), source });
        }
        let mut watch = Watch { run: self, hashers: Hashers::default() };
        let prepared = lake.prepare_compaction(jobs, &CompactLimits::default(), &mut watch)?;
        let writing = locked(&self.compactor.table);
        let report = lake.publish_compaction(prepared, &mut watch)?;
        let digest = |file: &FileWritten| FileDigest {
            path: file.path.clone(),
            sha256: file.sha256.clone(),
            bytes: file.bytes,
        };
        audit.record_files(&report.files.iter().map(digest).collect::<Vec<_>>())?;
        kill_point("compact", &"Recorded");
        audit.write(&[json!({
            "@timestamp": self.compactor.clock.now(),
            "event.action": "lake.compacted",
            "user.name": self.who.as_deref().unwrap_or("yagura"),
            "events": report.rows,
            "batches.verified": report.batches,
            "files.replaced": report.replaced.iter().map(|file| &file.path).collect::<Vec<_>>(),
            "files.written": report.files.iter().map(|file| &file.path).collect::<Vec<_>>(),
        })])?;
        kill_point("compact", &"Finished");
        drop(writing);
        let bytes = |files: &[FileWritten]| files.iter().map(|file| file.bytes).sum::<u64>();
        let count = |files: &[FileWritten]| files.iter().filter(|file| is_parquet(file)).count();
        // The last one is of the log.
        let new = report.files.get(..report.files.len().saturating_sub(1)).unwrap_or_default();
        self.state(|state| {
            state.thirds = 0;
            state.rows_done += report.rows;
            state.batches += report.batches;
            state.files_before += count(&report.replaced) as u64;
            state.files_after += count(new) as u64;
            state.bytes_before += bytes(&report.replaced);
            state.bytes_after += bytes(new);
        });
        Ok(())
    }
}

/// Bytes that may still be written where `dir` is; `None` where the system does not say.
#[cfg(unix)]
pub(crate) fn free_bytes(dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
pub(crate) fn free_bytes(_: &Path) -> Option<u64> {
    None
}

pub(crate) fn recorded(lake: &Lake, file: &FileEntry) -> FileDigest {
    let FileWritten { path, sha256, bytes, .. } = lake.file_written(file);
    FileDigest { path, sha256, bytes }
}

/// The partitions that an error is about; `None` if it is about none.
fn refused_places(
    error: &NodeError,
    jobs: &[CompactJob],
    lake: &Lake,
) -> Option<BTreeSet<(String, String)>> {
    let about = |job: &&CompactJob| match error {
        NodeError::Lake(LakeError::Corrupt { path, .. }) => {
            job.files.iter().any(|file| lake.name_of(file) == *path)
        }
        NodeError::Lake(LakeError::NotVerified { batch, .. }) => {
            job.files.iter().any(|file| file.rows_of(*batch).is_some())
        }
        _ => false,
    };
    let place = |job: &CompactJob| (job.dataset.to_string(), job.day.clone());
    let mut places: BTreeSet<_> = jobs.iter().filter(about).map(place).collect();
    let of_a_file =
        matches!(error, NodeError::Lake(LakeError::Corrupt { .. } | LakeError::NotVerified { .. }));
    if places.is_empty() && of_a_file {
        // A file beside them has rows of their batches, and is damaged: none of them can be judged.
        places = jobs.iter().map(place).collect();
    }
    (!places.is_empty()).then_some(places)
}

/// Judges by the ledger, gives way to intake, and counts.
struct Watch<'a, 'b> {
    run: &'a Run<'b>,
    hashers: Hashers,
}

impl Watch<'_, '_> {
    fn intake_is_busy(&self) -> bool {
        let Compactor { lake, journal, counters, hot_bytes_max, .. } = self.run.compactor;
        let read = counters.fresh.load(Ordering::Acquire);
        let backlog = journal.stats().committed.saturating_sub(read);
        backlog > BACKLOG_CALM || lake.stats().hot_bytes > hot_bytes_max / 2
    }
}

impl CompactWatch for Watch<'_, '_> {
    fn at(&mut self, step: CompactStep) -> bool {
        kill_point("compact", &step);
        if let CompactStep::Read(rows) | CompactStep::Wrote(rows) | CompactStep::Checked(rows) =
            step
        {
            self.run.state(|state| {
                state.thirds += rows;
            });
        }
        if matches!(step, CompactStep::Renamed | CompactStep::Committed) {
            return true;
        }
        let began = Instant::now();
        while !self.run.is_cancelled() && began.elapsed() < BUSY_WAIT_MAX && self.intake_is_busy() {
            std::thread::sleep(BUSY_PAUSE);
        }
        !self.run.is_cancelled()
    }

    fn leaf(&mut self, batch: &BatchHead, index: u32, record: &Record) -> [u8; 32] {
        self.hashers.leaf(batch, index, record)
    }

    fn verify(&mut self, batch: &StoredLeaves) -> Result<(), String> {
        verify_stored(&self.run.compactor.events_log, batch)
    }
}
