use crate::audit::{Audit, FileDigest, FileDigests};
use crate::pipeline::{OUTPUT_QUEUE_MAX, Parts, Pipeline};
use crate::sink::JournalSink;
use crate::{DataDir, NodeError, rules};
use crossbeam_channel::bounded;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use yagura_desk::{Desk, DeskOptions};
use yagura_detect::{CompileReport, Engine, LogSources, Ruleset};
use yagura_event::{Clock, EventId, FieldDictionary};
use yagura_journal::{DirLock, Journal, JournalOptions, RecoveryReport};
use yagura_lake::{Lake, LakeOptions};
use yagura_ledger::{EventProof, Log, SigningKey, VerifierKey};
use yagura_normalize::{Described, Normalizer, PARSER_VERSION};
use yagura_query::Searcher;

/// Refused rules that the status names; past it they are only counted.
const REFUSALS_SHOWN_MAX: usize = 1_000;

/// Which events a Sigma log source means.
const LOG_SOURCES: &str = include_str!("../../../content/logsources.toml");

/// How a node is opened.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Whether our own rules watch.
    pub builtin_rules: bool,
    /// Directories of further Sigma rules.
    pub rule_dirs: Vec<PathBuf>,
    /// Zone of source times that do not say theirs.
    pub source_zone: jiff::tz::TimeZone,
    /// The events journal.
    pub journal: JournalOptions,
    /// Memory for events not yet in the table, in bytes.
    pub hot_bytes_max: usize,
    /// Sealed batches are written to the table after this time at the latest.
    pub flush_interval: Duration,
    /// Alerts.
    pub desk: DeskOptions,
}

impl Default for NodeOptions {
    fn default() -> Self {
        NodeOptions {
            builtin_rules: true,
            rule_dirs: Vec::new(),
            source_zone: jiff::tz::TimeZone::UTC,
            journal: JournalOptions::default(),
            hot_bytes_max: 256 * 1024 * 1024,
            flush_interval: Duration::from_secs(300),
            desk: DeskOptions::default(),
        }
    }
}

/// One open data directory.
pub struct Node {
    data: DataDir,
    clock: Arc<dyn Clock>,
    dictionary: Arc<FieldDictionary>,
    normalizer: Normalizer,
    rules: CompileReport,
    journal: Journal,
    events_log: Arc<Log>,
    audit_journal: Journal,
    audit_log: Arc<Log>,
    audit: Arc<Audit>,
    lake: Arc<Lake>,
    desk: Arc<Desk>,
    searcher: Searcher,
    pipeline: Mutex<Pipeline>,
    recovery: RecoveryReport,
    alerts_changed: tokio::sync::watch::Receiver<u64>,
    verified: Mutex<Option<Value>>,
    /// Held by whoever writes to the table or must see it stand still.
    table: Arc<Mutex<()>>,
    _lock: DirLock,
}

impl Node {
    /// Opens the directory, creating it if needed, and recovers what a crash left. When it
    /// returns, records can be appended; what the journal replays is still being read.
    pub fn open(
        data: DataDir,
        options: NodeOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Node, NodeError> {
        create_dir(data.root())?;
        let lock = DirLock::acquire(&data.lock())?;
        let dictionary = Normalizer::embedded_dictionary();
        let normalizer = new_normalizer(&options, &dictionary)?;
        let (ruleset, rules) = compile_rules(&options, &dictionary)?;

        let events_log = open_log(&data, &data.events_log(), "events")?;
        let audit_log = open_log(&data, &data.audit_log(), "audit")?;

        let mut digests = FileDigests::default();
        let mut entries = Vec::new();
        let audit_options = JournalOptions {
            retain_all: true,
            parser: parser_version(),
            heartbeat_interval: options.journal.heartbeat_interval,
            checkpoint_interval: options.journal.checkpoint_interval,
            ..JournalOptions::default()
        };
        if data.audit().is_dir() {
            for run in yagura_journal::read_segments(&data.audit())? {
                for record in run?.records {
                    digests.replay(&record.bytes);
                    entries.push(record.bytes);
                }
            }
        }
        let (ignored, drain) = bounded(OUTPUT_QUEUE_MAX);
        spawn_drain(drain)?;
        let (audit_journal, _) =
            Journal::open(&data.audit(), audit_options, audit_log.clone(), clock.clone(), ignored)?;
        let audit = Arc::new(Audit::new(audit_journal.clone(), clock.clone(), digests)?);
        let desk = Arc::new(Desk::new(options.desk.clone(), audit.clone(), clock.clone()));
        for entry in &entries {
            desk.replay(entry);
        }
        drop(entries);
        record_keys(&data, &audit)?;

        let lake_options = LakeOptions {
            hot_bytes_max: options.hot_bytes_max,
            flush_bytes_min: options.hot_bytes_max / 2,
            flush_age_max_micros: i64::try_from(options.flush_interval.as_micros())
                .unwrap_or(i64::MAX),
            path_prefix: data.relative(&data.lake().join("events")),
        };
        let lake = Lake::open(&data.lake().join("events"), lake_options, clock.clone())?;
        let lake = Arc::new(lake);
        record_lake_files(&lake, &audit)?;

        let journal_options =
            JournalOptions { parser: parser_version(), ..options.journal.clone() };
        let (output, outputs) = bounded(OUTPUT_QUEUE_MAX);
        let (journal, recovery) = Journal::open(
            &data.journal(),
            journal_options,
            events_log.clone(),
            clock.clone(),
            output,
        )?;
        remove_orphans(&data, &lake)?;
        let searcher = Searcher::new(lake.clone(), dictionary.clone())
            .map_err(|error| NodeError::Content(error.to_string()))?;
        let (alerts_changed_sender, alerts_changed) = tokio::sync::watch::channel(0);
        let parts = Parts {
            normalizer: new_normalizer(&options, &dictionary)?,
            engine: Engine::new(ruleset),
            desk: desk.clone(),
            lake: lake.clone(),
            audit: audit.clone(),
            alerts_changed: alerts_changed_sender,
        };
        let table = Arc::new(Mutex::new(()));
        let pipeline =
            Pipeline::start(parts, journal.clone(), outputs, table.clone(), options.hot_bytes_max)?;
        Ok(Node {
            data,
            clock,
            dictionary,
            normalizer,
            rules,
            journal,
            events_log,
            audit_journal,
            audit_log,
            audit,
            lake,
            desk,
            searcher,
            pipeline: Mutex::new(pipeline),
            recovery,
            alerts_changed,
            verified: Mutex::new(None),
            table,
            _lock: lock,
        })
    }

    /// The data directory.
    pub fn data(&self) -> &DataDir {
        &self.data
    }

    /// Where records go in.
    pub fn sink(&self) -> JournalSink {
        JournalSink::new(self.journal.clone(), self.clock.clone())
    }

    /// Every stream that has a sealed batch.
    pub fn streams(&self) -> Vec<yagura_event::StreamName> {
        self.events_log.streams().into_iter().map(|(stream, _)| stream).collect()
    }

    /// The clock everything here reads.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The desk.
    pub fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// The audit log.
    pub fn audit(&self) -> &Arc<Audit> {
        &self.audit
    }

    /// Which rules were loaded and which refused.
    pub fn rules(&self) -> &CompileReport {
        &self.rules
    }

    /// What recovery found when the node was opened.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.recovery
    }

    /// The dictionary of fields.
    pub fn dictionary(&self) -> &Arc<FieldDictionary> {
        &self.dictionary
    }

    pub(crate) fn searcher(&self) -> &Searcher {
        &self.searcher
    }

    pub(crate) fn lake(&self) -> &Arc<Lake> {
        &self.lake
    }

    pub(crate) fn logs(&self) -> (&Log, &Log) {
        (&self.events_log, &self.audit_log)
    }

    pub(crate) fn describe(&self, run: &yagura_event::CommittedRun) -> Option<Described> {
        self.normalizer.describe(run)
    }

    /// Told whenever alerts change; the number itself means nothing.
    pub fn alerts_changed(&self) -> tokio::sync::watch::Receiver<u64> {
        self.alerts_changed.clone()
    }

    /// Seals what is open and writes it to the table. Blocks.
    pub fn flush(&self) -> Result<(), NodeError> {
        self.journal.seal_all()?;
        let pipeline = self.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        pipeline.flush().map(|_| ())
    }

    /// An offline proof of one event: a text that `docs/format/verify.py` checks. Blocks; an open
    /// batch is sealed and a checkpoint signed first.
    pub fn prove(&self, id: &EventId) -> Result<String, NodeError> {
        let missing = || NodeError::NotFound {
            message: format!("there is no event {id}"),
            message_ja: format!("イベント {id} はありません"),
        };
        let stored = match self.lake.stored_batch(id.batch) {
            Err(yagura_lake::LakeError::NoSuchBatch(_)) => return Err(missing()),
            stored => stored?,
        };
        let known = stored.stream == id.stream
            && stored.records.iter().any(|(index, _)| *index == id.index);
        if !known {
            return Err(missing());
        }
        if self.events_log.leaf_of_batch(id.batch)?.is_none() {
            self.journal.seal(&id.stream)?;
        }
        self.events_log.publish()?;
        let leaf = self.events_log.leaf_of_batch(id.batch)?.ok_or_else(missing)?;
        let header = self.events_log.header(leaf)?;
        // Records may have joined the batch between the first look and its sealing.
        let stored = self.lake.stored_batch(id.batch)?;
        let outer = self.events_log.inclusion_proof(leaf)?;
        let records = stored.records.iter().map(|(_, record)| record);
        let proof = EventProof::build(&header, &stored.batch_salt, records, id.index, outer)
            .ok_or_else(missing)?;
        Ok(proof.encode())
    }

    /// The state of both logs, for screens.
    pub fn ledger_state(&self) -> Value {
        let state = |log: &Log| {
            let checkpoint = log.checkpoint();
            let streams = log.streams();
            let records: u64 = streams.iter().map(|(_, stream)| stream.records).sum();
            json!({
                "origin": log.origin().as_ref(),
                "size": checkpoint.size(),
                "root": checkpoint.root().to_base64(),
                "checkpoint_time": modified(&log.dir().join("checkpoint")),
                "batches_sealed": log.size(),
                "records": records,
            })
        };
        json!({
            "events": state(&self.events_log),
            "audit": state(&self.audit_log),
            "verified": *self.verified.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }

    /// While held, nothing is written to the table and no journal segment is deleted.
    pub(crate) fn pause_table(&self) -> std::sync::MutexGuard<'_, ()> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn remember_verified(&self, summary: Value) {
        *self.verified.lock().unwrap_or_else(PoisonError::into_inner) = Some(summary);
    }

    /// Figures for the status screen and metrics.
    pub fn status(&self) -> Value {
        let pipeline = self.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        let counters = &pipeline.counters;
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let journal = self.journal.stats();
        let lake = self.lake.stats();
        let desk = self.desk.stats();
        json!({
            "running": pipeline.is_running(),
            "counters": {
                "journal.received": journal.received,
                "journal.committed": journal.committed,
                "journal.rejected": journal.rejected,
                "journal.bytes": journal.bytes,
                "journal.commits": journal.commits,
                "journal.fsync_micros": journal.fsync_micros,
                "pipeline.records": count(&counters.records),
                "pipeline.already_stored": count(&counters.already_stored),
                "pipeline.matches": count(&counters.matches),
                "pipeline.normalize_nanos": count(&counters.normalize_nanos),
                "pipeline.detect_nanos": count(&counters.detect_nanos),
                "pipeline.add_nanos": count(&counters.add_nanos),
                "lake.hot_rows": lake.hot_rows,
                "lake.hot_bytes": lake.hot_bytes,
                "lake.files": lake.files,
                "lake.file_rows": lake.file_rows,
                "lake.file_bytes": lake.file_bytes,
                "desk.alerts": desk.raised,
                "desk.below_level": desk.below_level,
                "pipeline.findings_lost": count(&counters.findings_lost),
            },
            "rules": {
                "loaded": self.rules.loaded,
                "refused": self.rules.refused.len(),
                "refusals": self.rules.refused.iter().take(REFUSALS_SHOWN_MAX).map(|refusal| json!({
                    "log.file.path": refusal.path,
                    "rule.uuid": refusal.rule_id,
                    "rule.name": refusal.title,
                    "reason": refusal.reason,
                })).collect::<Vec<_>>(),
            },
        })
    }

    /// Waits until every record the journal replayed at the start is searchable.
    pub async fn ready(&self) {
        let replayed = self.recovery.records;
        loop {
            let read = {
                let pipeline = self.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
                let counters = &pipeline.counters;
                let read = counters.records.load(Ordering::Relaxed)
                    + counters.already_stored.load(Ordering::Relaxed);
                if pipeline.is_running() { read } else { u64::MAX }
            };
            if read >= replayed {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Seals everything, writes it to the table, signs, and lets go of the directory. Blocks.
    pub fn close(&self) -> Result<(), NodeError> {
        self.journal.seal_all()?;
        let mut pipeline = self.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        self.journal.close()?;
        pipeline.stop();
        self.audit_journal.close()?;
        Ok(())
    }
}

fn new_normalizer(
    options: &NodeOptions,
    dictionary: &Arc<FieldDictionary>,
) -> Result<Normalizer, NodeError> {
    let mut normalizer = Normalizer::new(dictionary.clone())
        .map_err(|error| NodeError::Content(error.to_string()))?;
    normalizer.set_default_zone(options.source_zone.clone());
    Ok(normalizer)
}

fn compile_rules(
    options: &NodeOptions,
    dictionary: &Arc<FieldDictionary>,
) -> Result<(Arc<Ruleset>, CompileReport), NodeError> {
    let mut files = if options.builtin_rules { rules::builtin() } else { Vec::new() };
    let (named, unread) = rules::from_dirs(&options.rule_dirs)?;
    files.extend(named);
    let sources = LogSources::from_toml(LOG_SOURCES)
        .map_err(|error| NodeError::Content(error.to_string()))?;
    let (ruleset, mut report) = Ruleset::compile(&files, dictionary.clone(), &sources);
    report.refused.extend(unread);
    Ok((Arc::new(ruleset), report))
}

/// The parser's version as batch headers spell it: without blanks.
fn parser_version() -> String {
    PARSER_VERSION.replace(' ', "/")
}

fn open_log(data: &DataDir, dir: &Path, name: &str) -> Result<Arc<Log>, NodeError> {
    let key = data.keys().join(format!("{name}.key"));
    let public = SigningKey::public_path(&key);
    let origin = match public.try_exists() {
        Ok(true) => VerifierKey::load(&public)?.name().to_string(),
        _ => format!("yagura-{}/{name}", random_name()?),
    };
    let key = SigningKey::load_or_create(&key, &origin)?;
    let origin = key.name().to_string();
    Ok(Arc::new(Log::open(dir, &origin, key)?))
}

/// Eight hexadecimal digits that tell this store from others.
fn random_name() -> Result<String, NodeError> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| NodeError::Content(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The key files never change after the first start.
fn record_keys(data: &DataDir, audit: &Audit) -> Result<(), NodeError> {
    let mut missing = Vec::new();
    for name in ["events.key", "events.vkey", "audit.key", "audit.vkey"] {
        let path = data.keys().join(name);
        if !audit.has_file(&data.relative(&path)) {
            missing.push(crate::verify::digest_of(data, &path)?);
        }
    }
    audit.record_files(&missing)
}

/// A crash between a flush and its audit entry leaves files whose digests are not recorded.
fn record_lake_files(lake: &Lake, audit: &Audit) -> Result<(), NodeError> {
    let missing: Vec<FileDigest> = lake
        .inventory()?
        .into_iter()
        .filter(|file| !audit.has_file(&file.path))
        .map(|file| FileDigest { path: file.path, sha256: file.sha256, bytes: file.bytes })
        .collect();
    audit.record_files(&missing)
}

/// Parquet files of a flush that a crash cut off before its commit: their events are still in the
/// journal and will be written again. One that the journal does not vouch for stays, for
/// `yagura verify` to name.
fn remove_orphans(data: &DataDir, lake: &Lake) -> Result<(), NodeError> {
    let orphans = &lake.open_report().orphans;
    if orphans.is_empty() {
        return Ok(());
    }
    let in_journal = crate::verify::batches_in_journal(data);
    for orphan in orphans {
        if !lake.remove_orphan(orphan, |batch| in_journal.contains(&batch))? {
            tracing::warn!(path = %orphan.display(), "a file of the table belongs to no commit");
        }
    }
    Ok(())
}

/// The audit journal's output is already folded; nobody else reads it.
fn spawn_drain(
    drain: crossbeam_channel::Receiver<yagura_journal::JournalOutput>,
) -> Result<(), NodeError> {
    let body = move || while drain.recv().is_ok() {};
    std::thread::Builder::new()
        .name("yagura-audit".to_owned())
        .spawn(body)
        .map(|_| ())
        .map_err(|source| NodeError::Io { path: "yagura-audit".into(), source })
}

fn create_dir(path: &Path) -> Result<(), NodeError> {
    std::fs::create_dir_all(path).map_err(|source| NodeError::Io { path: path.to_owned(), source })
}

fn modified(path: &Path) -> Option<String> {
    let time = std::fs::metadata(path).and_then(|data| data.modified()).ok()?;
    let instant = jiff::Timestamp::try_from(time).ok()?;
    Some(yagura_event::UtcMicros::from(instant).to_string())
}
