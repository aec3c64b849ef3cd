//! From the journal to what people see: one thread that reads committed records, and one that
//! writes sealed batches to the table.

use crate::NodeError;
use crate::audit::{Audit, FileDigest};
use crate::correlation::{Correlating, next_index};
use crate::enrichment::Enriching;
use crate::excepting;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use yagura_desk::{Desk, EventWords, FindingMaker};
use yagura_detect::Engine;
use yagura_enrich::Enricher;
use yagura_event::{Clock, CommittedRun, EventBatch, FieldDictionary, Lang, StreamName, UtcMicros};
use yagura_journal::{Journal, JournalOutput};
use yagura_lake::{AddError, FileWritten, FlushReport, Lake, kill_point};
use yagura_normalize::Normalizer;

/// Committed runs that may wait for the pipeline; past it the journal waits, and so the senders.
pub const OUTPUT_QUEUE_MAX: usize = 256;

/// Records that are read together at most.
const GATHER_RECORDS_MAX: usize = 8_192;

/// Bytes of records that are read together at most, give or take one run.
const GATHER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long records wait for company, so that distinct values are worth sharing.
const GATHER_TIME: Duration = Duration::from_millis(60);

/// How often the table writer looks whether there is something to write.
const FLUSH_TICK: Duration = Duration::from_millis(500);

/// How long a full hot set is given before the next try.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// Figures of the pipeline, for status and metrics. All only grow.
#[derive(Debug, Default)]
pub struct PipelineCounters {
    /// Records read, searchable, and matched against the rules.
    pub records: AtomicU64,
    /// Whether everything the journal held at the start is searchable.
    pub replayed: AtomicBool,
    /// Records read since the replay ended.
    pub fresh: AtomicU64,
    /// Records of batches the table already had, skipped after a restart.
    pub already_stored: AtomicU64,
    /// Rule matches, of any level.
    pub matches: AtomicU64,
    /// Groups of matches the audit log could not take, so that no alert was raised.
    pub findings_lost: AtomicU64,
    /// Columns of what is known of addresses, hosts and users that found no room in their batch.
    pub enrich_left_out: AtomicU64,
    /// Nanoseconds spent turning records into columns.
    pub normalize_nanos: AtomicU64,
    /// Nanoseconds spent keeping up the figures of sources.
    pub sources_nanos: AtomicU64,
    /// Nanoseconds spent adding what is known of addresses, hosts and users.
    pub enrich_nanos: AtomicU64,
    /// Nanoseconds spent matching rules.
    pub detect_nanos: AtomicU64,
    /// Nanoseconds spent making events searchable.
    pub add_nanos: AtomicU64,
}

pub(crate) struct Parts {
    pub(crate) normalizer: Normalizer,
    pub(crate) engine: Engine,
    pub(crate) next_rules: Arc<crate::rules::NextRules>,
    pub(crate) correlating: Arc<Correlating>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) lake: Arc<Lake>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) alerts_changed: tokio::sync::watch::Sender<u64>,
    pub(crate) indicators: crate::hunt::LiveIndicators,
    pub(crate) dictionary: Arc<FieldDictionary>,
    pub(crate) fields: Arc<crate::watch::FieldWatch>,
    pub(crate) sources: crate::sources::SharedSources,
    pub(crate) enriching: Arc<Enriching>,
}

/// The two threads.
pub(crate) struct Pipeline {
    reader: Option<JoinHandle<()>>,
    writer: Option<JoinHandle<()>>,
    wake: Sender<Wake>,
    pub(crate) counters: Arc<PipelineCounters>,
}

enum Wake {
    /// Write what is sealed now, and answer.
    Flush(Sender<Result<FlushReport, NodeError>>),
    /// Write what is sealed and end.
    Stop,
}

impl Pipeline {
    pub(crate) fn start(
        parts: Parts,
        journal: Journal,
        output: Receiver<JournalOutput>,
        (table, kept): (Arc<Mutex<()>>, Arc<Mutex<()>>),
        hot_bytes_max: usize,
    ) -> Result<Self, NodeError> {
        let counters = Arc::new(PipelineCounters::default());
        let (wake, woken) = bounded(16);
        let (lake, audit) = (parts.lake.clone(), parts.audit.clone());
        let correlating = parts.correlating.clone();
        let (sources, clock) = (parts.sources.clone(), parts.clock.clone());
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(body)
                .map_err(|source| NodeError::Io { path: name.into(), source })
        };
        let counting = counters.clone();
        let reader = spawn(
            "yagura-pipeline",
            Box::new(move || {
                let maker = FindingMaker::new();
                let counters = counting;
                let enricher = Enricher::new(parts.enriching.current());
                Reader {
                    parts,
                    enricher,
                    maker,
                    gathered_bytes: 0,
                    replay_ended: false,
                    marks: Vec::new(),
                    fresh: 0,
                    behind: Vec::new(),
                    passed: HashMap::new(),
                    counters,
                }
                .run(&output)
            }),
        )?;
        let writer = spawn(
            "yagura-lake",
            Box::new(move || {
                let unretired = Mutex::default();
                Writer {
                    clock,
                    lake,
                    audit,
                    correlating,
                    sources,
                    journal,
                    table,
                    kept,
                    hot_bytes_max,
                    unretired,
                }
                .run(&woken)
            }),
        )?;
        Ok(Pipeline { reader: Some(reader), writer: Some(writer), wake, counters })
    }

    /// Writes every sealed batch to the table now.
    pub(crate) fn flush(&self) -> Result<FlushReport, NodeError> {
        let (answer, answered) = bounded(1);
        self.wake.send(Wake::Flush(answer)).map_err(|_| NodeError::Stopped("the table writer"))?;
        answered.recv().map_err(|_| NodeError::Stopped("the table writer"))?
    }

    /// Whether both threads run.
    pub(crate) fn is_running(&self) -> bool {
        let running = |thread: &Option<JoinHandle<()>>| {
            thread.as_ref().is_some_and(|thread| !thread.is_finished())
        };
        running(&self.reader) && running(&self.writer)
    }

    /// Ends both threads. The journal must be closed before, so that the reader sees its end.
    pub(crate) fn stop(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A panic there was logged; the journal still has what was not read.
            let _ = reader.join();
        }
        let _ = self.wake.send(Wake::Stop);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

struct Reader {
    parts: Parts,
    enricher: Enricher,
    maker: FindingMaker,
    gathered_bytes: usize,
    replay_ended: bool,
    /// Answered once what came before them is worked off.
    marks: Vec<Sender<()>>,
    /// Records taken since the replay ended and not yet counted.
    fresh: u64,
    /// Runs that the table has and correlations have not counted: a crash came between.
    behind: Vec<CommittedRun>,
    /// How far each stream has been taken since the last digest.
    passed: HashMap<StreamName, (u64, u32)>,
    counters: Arc<PipelineCounters>,
}

impl Reader {
    fn run(mut self, output: &Receiver<JournalOutput>) {
        let mut sealed = Vec::new();
        while let Ok(first) = output.recv() {
            self.gathered_bytes = 0;
            let mut records = self.take(first, &mut sealed);
            let until = Instant::now() + GATHER_TIME;
            let mut open = true;
            while records < GATHER_RECORDS_MAX && self.gathered_bytes < GATHER_BYTES_MAX {
                match output.recv_deadline(until) {
                    Ok(next) => records += self.take(next, &mut sealed),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => {
                        open = false;
                        break;
                    }
                }
            }
            if let Err(error) = self.digest(&mut sealed) {
                // Going on would let the journal forget records that are in no table. It keeps
                // them: with nobody reading, it fills and holds the senders back.
                tracing::error!(%error, "events could not be made searchable; restart Yagura");
                return;
            }
            self.counters.records.fetch_add(records as u64, Ordering::Release);
            self.counters.fresh.fetch_add(std::mem::take(&mut self.fresh), Ordering::Release);
            if self.replay_ended {
                self.counters.replayed.store(true, Ordering::Release);
            }
            for mark in self.marks.drain(..) {
                // Whoever asked may have gone.
                let _ = mark.send(());
            }
            if !open {
                break;
            }
        }
    }

    /// Turns one committed run into rows; returns how many records it had.
    fn take(&mut self, output: JournalOutput, sealed: &mut Vec<u64>) -> usize {
        match output {
            JournalOutput::Run(run) => {
                let records = run.records.len();
                if self.replay_ended {
                    self.fresh += records as u64;
                }
                self.gathered_bytes += run.records.iter().map(|r| r.bytes.len()).sum::<usize>();
                let position = (run.batch, next_index(&run));
                let passed = self.passed.entry(run.stream.clone()).or_default();
                *passed = position.max(*passed);
                if self.parts.lake.contains_batch(run.batch) {
                    if !self.parts.correlating.has_counted(&run)
                        || !self.parts.sources.has_counted(&run)
                    {
                        self.behind.push(run);
                        return records;
                    }
                    self.counters.already_stored.fetch_add(records as u64, Ordering::Relaxed);
                    return 0;
                }
                let began = Instant::now();
                self.parts.normalizer.normalize(&run);
                spent(&self.counters.normalize_nanos, began);
                records
            }
            JournalOutput::Sealed(header) => {
                sealed.push(header.batch);
                0
            }
            JournalOutput::Replayed => {
                self.replay_ended = true;
                0
            }
            JournalOutput::Mark(mark) => {
                self.marks.push(mark);
                0
            }
        }
    }

    fn digest(&mut self, sealed: &mut Vec<u64>) -> Result<(), AddError> {
        let began = Instant::now();
        let batches = self.parts.normalizer.take_batches();
        spent(&self.counters.normalize_nanos, began);
        let began = Instant::now();
        let behind = self.count_behind();
        let batches = self.parts.sources.see(batches, &self.passed, !self.replay_ended);
        spent(&self.counters.sources_nanos, began);
        let began = Instant::now();
        self.enricher.set(self.parts.enriching.current());
        let mut enrich = |batches: Vec<EventBatch>| -> Vec<EventBatch> {
            batches.into_iter().map(|batch| self.enricher.enrich(batch)).collect()
        };
        // After the figures of sources: what we add is no change of what they send.
        let batches = enrich(batches);
        let behind: Vec<Vec<EventBatch>> = behind.into_iter().map(enrich).collect();
        self.counters.enrich_left_out.store(self.enricher.left_out(), Ordering::Relaxed);
        spent(&self.counters.enrich_nanos, began);
        if !batches.is_empty() {
            let began = Instant::now();
            self.make_searchable(batches.clone())?;
            spent(&self.counters.add_nanos, began);
            let began = Instant::now();
            self.detect(&batches);
            spent(&self.counters.detect_nanos, began);
        }
        for batches in behind {
            self.detect(&batches);
        }
        let now = self.parts.clock.now();
        self.parts.correlating.count().passed(&mut self.passed, now);
        for batch in sealed.drain(..) {
            self.parts.lake.batch_sealed(batch);
        }
        Ok(())
    }

    /// Counts the runs that the table has, each of the two what it had not counted before the crash;
    /// answers those that rules have not seen.
    fn count_behind(&mut self) -> Vec<Vec<EventBatch>> {
        let mut unmatched = Vec::new();
        for run in std::mem::take(&mut self.behind) {
            self.parts.normalizer.normalize(&run);
            let batches = self.parts.normalizer.take_batches();
            let after = HashMap::from([(run.stream.clone(), (run.batch, next_index(&run)))]);
            let batches = self.parts.sources.see(batches, &after, true);
            if !self.parts.correlating.has_counted(&run) {
                unmatched.push(batches);
            }
        }
        unmatched
    }

    /// Adds to the hot set, waiting while it is full: the channel behind us fills, then the
    /// journal waits, then the senders.
    fn make_searchable(&self, mut events: Vec<EventBatch>) -> Result<(), AddError> {
        loop {
            match self.parts.lake.add(events) {
                Err(AddError::Full { events: returned, .. }) => {
                    events = returned;
                    std::thread::sleep(FULL_PAUSE);
                }
                done => return done.map(|_| ()),
            }
        }
    }

    fn detect(&mut self, batches: &[EventBatch]) {
        // Between batches, so that no event is matched by both sets, or by none.
        let correlating = self.parts.correlating.clone();
        let mut counting = correlating.count();
        if let Some(rules) = self.parts.next_rules.take() {
            counting.reload(rules.clone());
            self.parts.engine = Engine::new(rules);
        }
        let mut findings = Vec::new();
        let exceptions = self.parts.desk.exceptions();
        let mut excepted = Vec::new();
        for (number, batch) in batches.iter().enumerate() {
            let mut matches = self.parts.engine.evaluate(batch);
            let now = self.parts.clock.now();
            self.parts.fields.see(self.parts.engine.ruleset(), batch, now);
            let (dictionary, maker) = (&self.parts.dictionary, &mut self.maker);
            excepted.extend(excepting::part(
                &exceptions,
                now,
                dictionary,
                batch,
                &mut matches,
                maker,
            ));
            let held = counting.observe(batch, &matches);
            findings.extend(held.iter().flat_map(|found| correlating.findings(found)));
            for matched in matches.into_iter().filter(|matched| matched.rule.alerts) {
                let words = EventWords::Unsaid { batch: number, row: matched.row };
                findings.extend(self.maker.make(batch, matched, words));
            }
        }
        for batch in batches {
            findings.extend(self.parts.indicators.findings(batch, &self.parts.normalizer));
        }
        if let Err(error) = self.parts.desk.suppress(excepted) {
            self.counters.findings_lost.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "matches that exceptions took away could not be recorded");
        }
        if findings.is_empty() {
            return;
        }
        self.counters.matches.fetch_add(findings.len() as u64, Ordering::Relaxed);
        let normalizer = &self.parts.normalizer;
        let sentences: Vec<_> = batches.iter().map(|batch| normalizer.sentences(batch)).collect();
        let say = |number: usize, row: usize| match sentences.get(number) {
            Some(of) => (of.of_row(row, Lang::Ja), of.of_row(row, Lang::En)),
            None => Default::default(),
        };
        match self.parts.desk.observe_with(findings, &say) {
            Ok(changes) if changes.is_empty() => {}
            Ok(_) => self.parts.alerts_changed.send_modify(|number| *number += 1),
            Err(error) => {
                self.counters.findings_lost.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "matches could not be recorded as alerts");
            }
        }
    }
}

fn spent(counter: &AtomicU64, began: Instant) {
    let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    counter.fetch_add(nanos, Ordering::Relaxed);
}

struct Writer {
    clock: Arc<dyn Clock>,
    lake: Arc<Lake>,
    audit: Arc<Audit>,
    correlating: Arc<Correlating>,
    sources: crate::sources::SharedSources,
    journal: Journal,
    table: Arc<Mutex<()>>,
    hot_bytes_max: usize,
    /// Held by whoever reads what must not be removed meanwhile.
    kept: Arc<Mutex<()>>,
    /// Batches of the table that the journal was not told of, because a step between failed or the
    /// files are kept.
    unretired: Mutex<Vec<u64>>,
}

/// `None` while somebody holds `kept`, because he reads files that must stay.
pub(crate) fn free_to_remove(kept: &Mutex<()>) -> Option<MutexGuard<'_, ()>> {
    match kept.try_lock() {
        Ok(free) => Some(free),
        Err(TryLockError::Poisoned(free)) => Some(free.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Writer {
    fn run(self, woken: &Receiver<Wake>) {
        loop {
            match woken.recv_timeout(FLUSH_TICK) {
                Err(RecvTimeoutError::Timeout) => {
                    let before = UtcMicros::from_micros(
                        self.clock.now().as_micros() - crate::reprocess::REPLACED_KEPT_MICROS,
                    );
                    let free = self.free_to_remove();
                    let removed = match &free {
                        Some(_) => {
                            crate::reprocess::remove_replaced(&self.lake, &self.audit, before)
                        }
                        None => Ok(()),
                    };
                    drop(free);
                    if let Err(error) = removed {
                        tracing::error!(%error, "files that were replaced could not be removed");
                    }
                    // Before it is full, so that senders need not wait for the disk.
                    let urgent = self.lake.stats().hot_bytes >= self.hot_bytes_max / 4 * 3;
                    if let Err(error) = self.flush(urgent) {
                        tracing::error!(%error, "sealed batches could not be written to the table");
                        // The rows stay in memory and in the journal; the next tick tries again.
                        std::thread::sleep(FLUSH_TICK);
                    }
                }
                Ok(Wake::Flush(answer)) => {
                    let _ = answer.send(self.flush(true));
                }
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    if let Err(error) = self.flush(true) {
                        tracing::error!(%error, "the last sealed batches stay in the journal");
                    }
                    if let Err(error) = self.correlating.save() {
                        tracing::error!(%error, "what correlations counted last was not saved");
                    }
                    if let Err(error) = self.sources.save() {
                        tracing::error!(%error, "what was counted of sources last was not saved");
                    }
                    return;
                }
            }
        }
    }

    /// Table first, then the digests of its files, then what correlations counted, then the journal
    /// lets go: a crash between any
    /// two leaves the records in at least one place, and [`crate::Node::open`] records what is
    /// missing.
    fn flush(&self, force: bool) -> Result<FlushReport, NodeError> {
        let _writing = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let report = self.lake.flush(force)?;
        let mut unretired = self.unretired.lock().unwrap_or_else(PoisonError::into_inner);
        unretired.extend(&report.batches);
        let free = self.free_to_remove();
        // While the journal's files are kept, there is something to do only after a flush.
        if unretired.is_empty() || (free.is_none() && report.batches.is_empty()) {
            return Ok(report);
        }
        let digest = |file: &FileWritten| FileDigest {
            path: file.path.clone(),
            sha256: file.sha256.clone(),
            bytes: file.bytes,
        };
        self.audit.record_files(&report.files.iter().map(digest).collect::<Vec<_>>())?;
        kill_point("flush", &"Recorded");
        // Every batch of the table went through the rules before it was sealed there. What was
        // counted of it must be safe before the journal can no longer give it again.
        self.correlating.save()?;
        kill_point("flush", &"Correlated");
        self.sources.save()?;
        kill_point("flush", &"Counted");
        if free.is_some() {
            self.journal.retire(&unretired);
            kill_point("flush", &"Retired");
            unretired.clear();
        }
        Ok(report)
    }

    /// `None` while somebody reads files that must stay.
    fn free_to_remove(&self) -> Option<MutexGuard<'_, ()>> {
        free_to_remove(&self.kept)
    }
}
