use crate::ScanError;
use crate::correlate::Counting;
use crate::limits::{
    CACHE_BYTES, CACHE_BYTES_MIN, CORRELATION_STATE_BYTES, FINDINGS_MEMORY_BYTES, GATHER_BYTES,
    GATHER_BYTES_MIN, HITS_MEMORY_BYTES, THREADS_MAX,
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
use yagura_enrich::Enrichment;
use yagura_event::{Clock, Lang, Level, StreamName, SystemClock, UtcMicros};
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
    /// What reads the logs, made already for the dictionary that the rules were compiled with; one with
    /// the built-in content is made where there is none.
    pub normalizer: Option<Arc<Normalizer>>,
    /// What is added to events before rules see them.
    pub enrichment: Arc<Enrichment>,
    /// Zone of times that name none.
    pub zone: TimeZone,
    /// Says when the scan began, which events without a time of their own are given.
    pub clock: Arc<dyn Clock>,
    /// How archives are opened.
    pub open: ImportOptions,
    /// Bytes of findings kept in memory.
    pub findings_memory_bytes: usize,
    /// Whether the report says the SHA-256 of every log. Without, only that of copies is said, of what
    /// they are copies of, and of what was in archives.
    pub file_hashes: bool,
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
            normalizer: None,
            enrichment: Arc::default(),
            zone: TimeZone::UTC,
            clock: Arc::new(SystemClock),
            open: ImportOptions::default(),
            findings_memory_bytes: FINDINGS_MEMORY_BYTES,
            file_hashes: true,
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
    pub stream: StreamName,
    pub gather_bytes: usize,
    pub cache_bytes: usize,
    rule_numbers: HashMap<String, u32>,
    /// Whether correlations count a rule, by its number.
    counted: Vec<bool>,
    store: Mutex<Store>,
    hits: Mutex<Store>,
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

    /// Whether a correlation counts rule number `rule`.
    pub fn is_counted(&self, rule: u32) -> bool {
        self.counted.get(rule as usize).copied().unwrap_or_default()
    }

    /// Keeps findings.
    pub fn keep(&self, found: &mut Vec<Line>) {
        self.progress.findings.fetch_add(found.len() as u64, Ordering::Relaxed);
        self.push_all(&self.store, found);
    }

    /// Keeps matches that correlations count.
    pub fn keep_hits(&self, hits: &mut Vec<Line>) {
        self.push_all(&self.hits, hits);
    }

    fn push_all(&self, store: &Mutex<Store>, lines: &mut Vec<Line>) {
        let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
        let pushed = lines.drain(..).try_for_each(|(key, line)| store.push(key, line));
        if let Err(error) = pushed {
            self.fail(error);
        }
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub fn fail(&self, error: ScanError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.failed.store(true, Ordering::Relaxed);
    }
}

/// Something to keep, and its place in the timeline.
pub(crate) type Line = (Key, Box<[u8]>);

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
    let rules: Vec<Arc<RuleInfo>> =
        ruleset.rules().chain(ruleset.correlations()).cloned().collect();
    let failed = AtomicBool::new(false);
    let store = Store::new(options.findings_memory_bytes, options.spill_dir.clone());
    let shared = Shared {
        ruleset: ruleset.clone(),
        options,
        progress,
        now: options.clock.now(),
        // Proof: the name is a constant that fits.
        stream: StreamName::new("import/scan").unwrap_or_else(|error| unreachable!("{error}")),
        gather_bytes: (GATHER_BYTES / threads).max(GATHER_BYTES_MIN),
        cache_bytes: (CACHE_BYTES / threads).max(CACHE_BYTES_MIN),
        rule_numbers: (0..).zip(&rules).map(|(number, rule)| (rule.id.clone(), number)).collect(),
        counted: rules.iter().map(|rule| ruleset.is_counted(&rule.id)).collect(),
        store: Mutex::new(store),
        hits: Mutex::new(Store::new(HITS_MEMORY_BYTES, options.spill_dir.clone())),
        failed: &failed,
        failure: Mutex::new(None),
    };
    let normalizers = normalizers(threads, options)?;
    let dictionary = normalizers.first().map(|normalizer| normalizer.dictionary().clone());
    let dictionary = dictionary.unwrap_or_else(Normalizer::embedded_dictionary);
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
        let mut reader = Reader::new(send, &failed, cancel, options.file_hashes);
        let visited = visit_logs(plan, &options.open, cancel, &progress.bytes, &mut reader);
        let files = reader.finish();
        let mut tally = Tally::default();
        for worker in workers {
            let counted = worker.join();
            tally.merge(counted.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        Ok((files, visited.is_err(), tally))
    })?;
    let Shared { mut store, hits, failure, .. } = shared;
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut tally = tally;
    let store = store.get_mut().unwrap_or_else(PoisonError::into_inner);
    let mut hits = hits.into_inner().unwrap_or_else(PoisonError::into_inner).finish();
    let counting = Counting {
        ruleset,
        rules: &rules,
        files: &files,
        lang: options.lang,
        min_level: options.min_level,
        dictionary: &dictionary,
        state_bytes_max: CORRELATION_STATE_BYTES,
    };
    let news = Store::new(HITS_MEMORY_BYTES, options.spill_dir.clone());
    let notices = counting.run(&mut hits, news, &mut |(key, rule, finding)| {
        let (host, user) = (finding.text("host.name"), finding.text("user.name"));
        tally.finding(key.rule, rule.level, key.time, host, user);
        progress.findings.fetch_add(1, Ordering::Relaxed);
        // Proof: the keys are text, and no value is a map with other keys.
        let line = serde_json::to_vec(&finding).unwrap_or_default();
        store.push(key, line.into())
    })?;
    let findings = std::mem::replace(store, Store::new(0, None)).finish();
    let mut report = ScanReport {
        files,
        problems: plan.problems.clone(),
        cancelled: stopped,
        spilled: findings.spilled(),
        notices,
        ..ScanReport::default()
    };
    tally.tell(&mut report, &rules);
    Ok(Scanned { report, findings, rules })
}

fn normalizers(threads: usize, options: &ScanOptions) -> Result<Vec<Normalizer>, ScanError> {
    let mut first = match &options.normalizer {
        Some(normalizer) => normalizer.fork(),
        None => Normalizer::new(Normalizer::embedded_dictionary())
            .map_err(|error| ScanError::Content(error.to_string()))?,
    };
    first.set_default_zone(options.zone.clone());
    // Rules never look at the raw bytes, and nothing is stored.
    first.set_keep_original(false);
    let mut all: Vec<Normalizer> = (1..threads).map(|_| first.fork()).collect();
    all.push(first);
    Ok(all)
}
