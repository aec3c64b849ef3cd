use crate::ScanError;
use crate::limits::{
    FINDINGS_MEMORY_BYTES, GATHER_BYTES, GATHER_BYTES_MIN, GATHER_ROWS, THREADS_MAX,
};
use crate::read::Reader;
use crate::report::{ScanReport, Tally};
use crate::row::Finding;
use crate::store::{Key, Merge, Sorted, Store};
use crate::work::Worker;
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use yagura_detect::{RuleInfo, Ruleset};
use yagura_event::{Clock, Lang, Level, SystemClock, UtcMicros};
use yagura_intake::import::{ImportOptions, Plan, visit_logs};
use yagura_normalize::Normalizer;

/// What is to be found, and how.
#[derive(Clone)]
pub struct ScanOptions {
    /// Language of the sentences.
    pub lang: Lang,
    /// Findings of rules below this level are left out.
    pub min_level: Level,
    /// Only events from this instant on.
    pub from: Option<UtcMicros>,
    /// Only events before this instant.
    pub to: Option<UtcMicros>,
    /// Worker threads, beside the one that reads; 1 to [`THREADS_MAX`].
    pub threads: usize,
    /// Zone of times that name none.
    pub zone: TimeZone,
    /// Says when the scan began, which events without a time of their own are given.
    pub clock: Arc<dyn Clock>,
    /// How archives are opened.
    pub open: ImportOptions,
    /// Bytes of findings kept in memory.
    pub findings_memory_bytes: usize,
    /// Where findings go that memory does not hold; the system's own folder when `None`.
    pub spill_dir: Option<PathBuf>,
}

impl Default for ScanOptions {
    fn default() -> Self {
        ScanOptions {
            lang: Lang::En,
            min_level: Level::Informational,
            from: None,
            to: None,
            threads: 1,
            zone: TimeZone::UTC,
            clock: Arc::new(SystemClock),
            open: ImportOptions::default(),
            findings_memory_bytes: FINDINGS_MEMORY_BYTES,
            spill_dir: None,
        }
    }
}

/// How far a scan has come; to be looked at from another thread.
#[derive(Debug, Default)]
pub struct ScanProgress {
    /// Bytes read of the files on disk.
    pub bytes: Arc<AtomicU64>,
    /// Events matched against the rules.
    pub events: AtomicU64,
    /// Findings so far.
    pub findings: AtomicU64,
}

/// A scan that is done.
pub struct Scanned {
    /// What was read, and what was found, in numbers.
    pub report: ScanReport,
    findings: Sorted,
    rules: Vec<Arc<RuleInfo>>,
}

impl Scanned {
    /// Every finding, by time; may be read more than once.
    ///
    /// # Errors
    ///
    /// When a temporary file cannot be read.
    pub fn findings(&mut self) -> Result<Findings<'_>, ScanError> {
        Ok(Findings { merge: self.findings.read()? })
    }

    /// When each finding happened, in microseconds since 1970 UTC, and its level; by time.
    pub(crate) fn each_time(&mut self, take: &mut dyn FnMut(i64, Level)) -> Result<(), ScanError> {
        let mut merge = self.findings.read()?;
        while let Some((key, _)) = merge.next().map_err(ScanError::Spill)? {
            let rule = self.rules.get(key.rule as usize);
            take(key.time, rule.map(|rule| rule.level).unwrap_or_default());
        }
        Ok(())
    }
}

/// Findings by time, one after the other.
pub struct Findings<'a> {
    merge: Merge<'a>,
}

impl Findings<'_> {
    /// The next finding as a JSON object.
    ///
    /// # Errors
    ///
    /// When a temporary file cannot be read.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, ScanError> {
        let next = self.merge.next().map_err(ScanError::Spill)?;
        Ok(next.map(|(_, line)| line))
    }
}

impl Iterator for Findings<'_> {
    type Item = Result<Finding, ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = match self.next_line() {
            Ok(line) => line?,
            Err(error) => return Some(Err(error)),
        };
        let damaged = |error: serde_json::Error| ScanError::Spill(error.into());
        Some(serde_json::from_slice(line).map_err(damaged))
    }
}

/// What the workers share.
pub(crate) struct Shared<'a> {
    pub ruleset: Arc<Ruleset>,
    pub options: &'a ScanOptions,
    pub progress: &'a ScanProgress,
    pub now: UtcMicros,
    pub gather_rows: usize,
    pub gather_bytes: usize,
    rule_numbers: HashMap<String, u32>,
    store: Mutex<Store>,
    failed: &'a AtomicBool,
    failure: Mutex<Option<ScanError>>,
}

impl Shared<'_> {
    pub fn is_in_range(&self, time: i64) -> bool {
        self.options.from.is_none_or(|from| from.as_micros() <= time)
            && self.options.to.is_none_or(|to| time < to.as_micros())
    }

    /// The rule's position in the rule set.
    pub fn rule_number(&self, id: &str) -> u32 {
        self.rule_numbers.get(id).copied().unwrap_or(u32::MAX)
    }

    pub fn keep(&self, found: &[(Key, Vec<u8>)]) -> Result<(), ScanError> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        found.iter().try_for_each(|(key, line)| store.push(*key, line))
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub fn fail(&self, error: ScanError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.failed.store(true, Ordering::Relaxed);
    }
}

/// Reads the files of `plan` and matches the rules against every event. Blocks; set `cancel` to end
/// early, with what was found until then.
///
/// # Errors
///
/// When findings cannot be kept, or a thread not be started. Logs that cannot be read are no error:
/// the report names them.
pub fn scan(
    plan: &Plan,
    ruleset: &Arc<Ruleset>,
    options: &ScanOptions,
    progress: &ScanProgress,
    cancel: &AtomicBool,
) -> Result<Scanned, ScanError> {
    let threads = options.threads.clamp(1, THREADS_MAX);
    let rules: Vec<Arc<RuleInfo>> = ruleset.rules().cloned().collect();
    let failed = AtomicBool::new(false);
    let store = Store::new(options.findings_memory_bytes, options.spill_dir.clone());
    let shared = Shared {
        ruleset: ruleset.clone(),
        options,
        progress,
        now: options.clock.now(),
        gather_rows: GATHER_ROWS,
        gather_bytes: (GATHER_BYTES / threads).max(GATHER_BYTES_MIN),
        rule_numbers: (0..).zip(&rules).map(|(number, rule)| (rule.id.clone(), number)).collect(),
        store: Mutex::new(store),
        failed: &failed,
        failure: Mutex::new(None),
    };
    let normalizers = normalizers(threads, options)?;
    let (files, stopped, tally) = std::thread::scope(|scope| {
        let (send, receive) = crossbeam_channel::bounded(threads + 1);
        let mut workers = Vec::with_capacity(threads);
        for normalizer in normalizers {
            let (shared, receive) = (&shared, receive.clone());
            let work = move || Worker::new(shared, normalizer).run(&receive);
            let thread = std::thread::Builder::new().name("yagura-scan".to_owned());
            workers.push(thread.spawn_scoped(scope, work).map_err(ScanError::Thread)?);
        }
        drop(receive);
        let mut reader = Reader::new(send, &failed);
        let visited = visit_logs(plan, &options.open, cancel, &progress.bytes, &mut reader);
        let files = reader.finish();
        let mut tally = Tally::default();
        for worker in workers {
            let counted = worker.join();
            tally.merge(counted.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        Ok((files, visited.is_err(), tally))
    })?;
    let Shared { store, failure, .. } = shared;
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let findings = store.into_inner().unwrap_or_else(PoisonError::into_inner).finish();
    let mut report = ScanReport {
        files,
        problems: plan.problems.clone(),
        cancelled: stopped,
        spilled: findings.spilled(),
        ..ScanReport::default()
    };
    tally.tell(&mut report, &rules);
    Ok(Scanned { report, findings, rules })
}

fn normalizers(threads: usize, options: &ScanOptions) -> Result<Vec<Normalizer>, ScanError> {
    let dictionary = Normalizer::embedded_dictionary();
    let wrong = |error: yagura_normalize::NormalizeError| ScanError::Content(error.to_string());
    let new = || {
        let mut normalizer = Normalizer::new(dictionary.clone()).map_err(wrong)?;
        normalizer.set_default_zone(options.zone.clone());
        Ok(normalizer)
    };
    (0..threads).map(|_| new()).collect()
}
