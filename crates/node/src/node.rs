use crate::audit::{Audit, FileDigest, FileDigests};
use crate::backup::{Admission, Backups, Source, mark};
use crate::compaction::{Compacting, Compactor};
use crate::enrichment::{Enriching, RecordedEnrichment};
use crate::hunt::{Fold, HuntParts, Hunter};
use crate::pipeline::{OUTPUT_QUEUE_MAX, Parts, Pipeline};
use crate::rules::{RecordedRules, Rules};
use crate::sink::JournalSink;
use crate::sources::{
    RecordedNotices, RecordedSettings, SharedBook, SharedSources, Sources, StreamSettings,
};
use crate::tables::NodeTables;
use crate::{DataDir, NodeError, NodeOptions, keys};
use crossbeam_channel::bounded;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use yagura_desk::Desk;
use yagura_detect::Engine;
use yagura_event::{Clock, FieldDictionary, UtcMicros};
use yagura_journal::{DirLock, Journal, JournalOptions, RecoveryReport};
use yagura_lake::{Lake, LakeOptions};
use yagura_ledger::Log;
use yagura_normalize::{Described, Normalizer, PARSER_VERSION};
use yagura_query::Searcher;

/// Refused rules that the status names; past it they are only counted.
const REFUSALS_SHOWN_MAX: usize = 1_000;

/// One open data directory.
pub struct Node {
    data: DataDir,
    clock: Arc<dyn Clock>,
    dictionary: Arc<FieldDictionary>,
    normalizer: Normalizer,
    source_zone: jiff::tz::TimeZone,
    sources: SharedSources,
    enriching: Arc<Enriching>,
    pub(crate) rereading: crate::reprocess::Rereading,
    pub(crate) compacting: crate::compaction::Compacting,
    retaining: Arc<crate::retention::Retaining>,
    pins: crate::pins::Pins,
    tiers: crate::tiers::Tiers,
    pub(crate) rules: Rules,
    pub(crate) journal: Journal,
    events_log: Arc<Log>,
    audit_journal: Journal,
    audit_log: Arc<Log>,
    audit: Arc<Audit>,
    lake: Arc<Lake>,
    desk: Arc<Desk>,
    searcher: Searcher,
    searches: Arc<crate::searches::Searches>,
    saved: crate::saved::SavedSearches,
    hunter: Arc<Hunter>,
    correlating: Arc<crate::correlation::Correlating>,
    pipeline: Mutex<Pipeline>,
    recovery: RecoveryReport,
    alerts_changed: tokio::sync::watch::Receiver<u64>,
    alerts_change: tokio::sync::watch::Sender<u64>,
    verified: Mutex<Option<Value>>,
    opened_at: UtcMicros,
    fields: Arc<crate::watch::FieldWatch>,
    gap_watch: Mutex<crate::watch::GapWatch>,
    forwarding: Mutex<Option<Arc<crate::Forwarding>>>,
    /// Held by whoever writes to the table or must see it stand still.
    table: Arc<Mutex<()>>,
    /// Held by whoever reads files that must not be removed meanwhile.
    kept: Arc<Mutex<()>>,
    backups: Backups,
    _lock: DirLock,
    /// Where the directory is only looked at. The last to go.
    view: Option<crate::backup::View>,
}

impl Node {
    /// Opens the directory, creating it if needed, and recovers what a crash left. When it
    /// returns, records can be appended; what the journal replays is still being read.
    pub fn open(
        data: DataDir,
        options: NodeOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Node, NodeError> {
        Node::open_admitted(data, options, clock, Admission::Plain)
    }

    pub(crate) fn open_admitted(
        data: DataDir,
        options: NodeOptions,
        clock: Arc<dyn Clock>,
        admission: Admission,
    ) -> Result<Node, NodeError> {
        let opened_at = clock.now();
        create_dir(data.root())?;
        let data = data.resolved();
        let lock = DirLock::acquire(&data.lock())?;
        if let (Admission::Plain, Some(mark)) = (&admission, mark::read(&data)?) {
            return Err(mark::refuse_to_write(data.root(), &mark));
        }
        let is_looked_at = matches!(admission, Admission::ToLook(_));
        let mut normalizer = new_normalizer(&options)?;
        let dictionary = normalizer.dictionary().clone();
        // Thousands of rules take most of a start; meanwhile the store is opened.
        let compiling = spawn_compiling(&options, &dictionary)?;

        let open_log = if is_looked_at { keys::open_to_read } else { keys::open_log };
        let events_log = open_log(&data, "events")?;
        let audit_log = open_log(&data, "audit")?;

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
        crate::files::tidy(&data, |path| digests.get(path))?;
        let (ignored, drain) = bounded(OUTPUT_QUEUE_MAX);
        spawn_drain(drain)?;
        let (audit_journal, _) =
            Journal::open(&data.audit(), audit_options, audit_log.clone(), clock.clone(), ignored)?;
        let audit = Arc::new(Audit::new(audit_journal.clone(), clock.clone(), digests)?);
        let desk = Arc::new(Desk::new(options.desk.clone(), audit.clone(), clock.clone()));
        let mut hunts = Fold::default();
        let mut recorded = RecordedRules::default();
        let mut source_settings = RecordedSettings::default();
        let mut source_notices = RecordedNotices::default();
        let mut enrichment = RecordedEnrichment::default();
        let mut saved = crate::saved::Fold::default();
        let mut retention = crate::retention::RetentionFold::default();
        let mut cold = crate::tiers::RecordedCold::default();
        let mut pins = crate::pins::PinFold::default();
        for entry in &entries {
            desk.replay(entry);
            hunts.replay(entry);
            recorded.replay(entry);
            source_settings.replay(entry);
            source_notices.replay(entry);
            enrichment.replay(entry);
            saved.replay(entry);
            retention.replay(entry);
            cold.replay(entry);
            pins.replay(entry);
        }
        drop(entries);
        // A crash may have come between an alert and the chain it completed.
        if let Err(error) = desk.catch_up() {
            tracing::error!(%error, "attack chains could not be recorded");
        }
        if !is_looked_at {
            keys::record(&data, &audit)?;
            if let Err(error) = crate::pins::tidy(&data, &audit, &pins) {
                tracing::error!(%error, "what a crash left of pins stays until the next start");
            }
        }
        if let Admission::Released(entry) = &admission {
            keys::retire(&data, &audit)?;
            audit.write(std::slice::from_ref(entry))?;
            mark::remove(&data)?;
        }
        let asked = options.retention.as_ref();
        let is_empty = events_log.size() == 0;
        let retaining =
            crate::retention::Retaining::take_up(retention, asked, is_empty, &audit, opened_at)?;
        let retaining = Arc::new(retaining);
        cold.take_up(options.cold.as_ref(), &audit, opened_at)?;
        let book = normalizer.sources();
        let source_zone =
            source_settings.take_up(options.sources.as_ref(), book, &audit, opened_at)?;
        normalizer.set_default_zone(source_zone.clone());
        let sources = Arc::new(Sources::open(&data, source_notices, opened_at)?);
        let asked = options.enrich.as_ref();
        let enriching = Enriching::open(&data, audit.clone(), clock.clone(), asked, enrichment)?;
        let enriching = Arc::new(enriching);

        let lake_options = LakeOptions {
            hot_bytes_max: options.hot_bytes_max,
            flush_bytes_min: options.hot_bytes_max / 2,
            flush_age_max_micros: i64::try_from(options.flush_interval.as_micros())
                .unwrap_or(i64::MAX),
            path_prefix: data.relative(&data.lake().join("events")),
            keep_raw: options.keep_raw.clone(),
            cold: cold.stores(),
        };
        let lake = Lake::open(&data.lake().join("events"), lake_options, clock.clone())?;
        let lake = Arc::new(lake);
        if !is_looked_at {
            record_lake_files(&lake, &audit)?;
        }

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
        remove_orphans(&data, &lake, &audit, &|batch| {
            was_deleted(&events_log, retaining.fold().deleted(), batch)
        })?;
        let (alerts_changed_sender, alerts_changed) = tokio::sync::watch::channel(0);
        let compiled = compiling.join().map_err(|_| NodeError::Stopped("the rule compiler"))?;
        let compiled = compiled?;
        let rules = Rules::new(rule_sources(&options), dictionary.clone(), &compiled, recorded);
        if let Some(who) = &options.rules_recorded_as {
            rules.record_start(&audit, &compiled, who)?;
        }
        let hunting = HuntParts {
            data: data.clone(),
            audit: audit.clone(),
            lake: lake.clone(),
            desk: desk.clone(),
            clock: clock.clone(),
            dictionary: dictionary.clone(),
            alerts_changed: alerts_changed_sender.clone(),
            rules: rule_sources(&options),
            correlations: options.correlations,
            fold: hunts,
        };
        let hunter = Arc::new(Hunter::start_up(hunting, normalizer.fork())?);
        let tables = NodeTables {
            desk: desk.clone(),
            sources: sources.clone(),
            source_zone: source_zone.clone(),
            enriching: enriching.clone(),
            hunter: hunter.clone(),
            normalizer: normalizer.fork(),
            clock: clock.clone(),
        };
        let searcher = Searcher::with_tables(lake.clone(), dictionary.clone(), Arc::new(tables))
            .map_err(|error| NodeError::Content(error.to_string()))?;
        let correlating = crate::correlation::Correlating::open(
            &data,
            compiled.ruleset.clone(),
            dictionary.clone(),
            options.correlations,
        )?;
        let correlating = Arc::new(correlating);
        let fields = Arc::new(crate::watch::FieldWatch::default());
        let mut reading = normalizer.fork();
        sources.continue_in(&mut reading);
        let parts = Parts {
            normalizer: reading,
            sources: sources.clone(),
            enriching: enriching.clone(),
            engine: Engine::new(compiled.ruleset),
            next_rules: rules.next(),
            correlating: correlating.clone(),
            clock: clock.clone(),
            desk: desk.clone(),
            lake: lake.clone(),
            audit: audit.clone(),
            alerts_changed: alerts_changed_sender.clone(),
            indicators: hunter.live(),
            dictionary: dictionary.clone(),
            fields: fields.clone(),
        };
        let (table, kept) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
        let locks = (table.clone(), kept.clone());
        let pipeline =
            Pipeline::start(parts, journal.clone(), outputs, locks, options.hot_bytes_max)?;
        let compactor = Compactor {
            lake: lake.clone(),
            audit: audit.clone(),
            events_log: events_log.clone(),
            table: table.clone(),
            clock: clock.clone(),
            journal: journal.clone(),
            counters: pipeline.counters.clone(),
            hot_bytes_max: options.hot_bytes_max,
        };
        let mover = crate::tiers::Mover {
            lake: lake.clone(),
            audit: audit.clone(),
            events_log: events_log.clone(),
            table: table.clone(),
            kept: kept.clone(),
            clock: clock.clone(),
            retaining: retaining.clone(),
            recorded: Mutex::new(cold),
            compacts: options.compact.is_some(),
            turn: Mutex::default(),
            refused: Mutex::default(),
        };
        let compacting = Compacting::start(compactor, options.compact)?;
        let backups = Backups::new(Source {
            data: data.clone(),
            lake: lake.clone(),
            audit: audit.clone(),
            events_log: events_log.clone(),
            audit_log: audit_log.clone(),
            journal: journal.clone(),
            audit_journal: audit_journal.clone(),
            table: table.clone(),
            kept: kept.clone(),
            clock: clock.clone(),
        });
        let tiers = crate::tiers::Tiers::start(mover, options.cold.as_ref())?;
        let saved = crate::saved::SavedSearches::new(audit.clone(), saved);
        let node = Node {
            data,
            clock,
            dictionary,
            normalizer,
            source_zone,
            sources,
            enriching,
            rereading: crate::reprocess::Rereading::default(),
            compacting,
            retaining,
            pins: crate::pins::Pins::new(pins),
            tiers,
            rules,
            journal,
            events_log,
            audit_journal,
            audit_log,
            audit,
            lake,
            desk,
            searcher,
            searches: Arc::default(),
            saved,
            hunter,
            correlating,
            pipeline: Mutex::new(pipeline),
            recovery,
            alerts_changed,
            alerts_change: alerts_changed_sender,
            verified: Mutex::new(None),
            opened_at,
            fields,
            gap_watch: Mutex::default(),
            forwarding: Mutex::default(),
            table,
            kept,
            backups,
            _lock: lock,
            view: match admission {
                Admission::ToLook(view) => Some(view),
                Admission::Plain | Admission::Released(_) => None,
            },
        };
        if node.view.is_none()
            && let Err(error) = node.finish_deletions()
        {
            tracing::error!(%error, "a recorded deletion is not finished; the next run tries again");
        }
        Ok(node)
    }

    /// Whether the directory is only looked at: what is done lasts no longer than this.
    pub fn is_looked_at(&self) -> bool {
        self.view.is_some()
    }

    pub(crate) fn backups(&self) -> &Backups {
        &self.backups
    }

    /// The data directory.
    pub fn data(&self) -> &DataDir {
        &self.data
    }

    /// Where records go in.
    pub fn sink(&self) -> JournalSink {
        let settings =
            StreamSettings { book: self.source_book().clone(), audit: self.audit.clone() };
        JournalSink::new(self.journal.clone(), self.clock.clone(), settings)
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

    /// The hunts, and the indicators in use.
    pub fn hunter(&self) -> &Arc<Hunter> {
        &self.hunter
    }

    /// The audit log.
    pub fn audit(&self) -> &Arc<Audit> {
        &self.audit
    }

    /// What recovery found when the node was opened.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.recovery
    }

    /// The dictionary of fields.
    pub fn dictionary(&self) -> &Arc<FieldDictionary> {
        &self.dictionary
    }

    /// When this process opened the directory.
    pub(crate) fn opened_at(&self) -> UtcMicros {
        self.opened_at
    }

    pub(crate) fn fields(&self) -> &crate::watch::FieldWatch {
        &self.fields
    }

    pub(crate) fn enriching(&self) -> &Arc<Enriching> {
        &self.enriching
    }

    pub(crate) fn source_figures(&self) -> &Sources {
        &self.sources
    }

    pub(crate) fn source_book(&self) -> &SharedBook {
        self.normalizer.sources()
    }

    /// Zone of times that name none.
    pub(crate) fn source_zone(&self) -> &jiff::tz::TimeZone {
        &self.source_zone
    }

    pub(crate) fn correlating(&self) -> &crate::correlation::Correlating {
        &self.correlating
    }

    pub(crate) fn forwarding(&self) -> Option<Arc<crate::Forwarding>> {
        self.forwarding.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_forwarding(&self, forwarding: Arc<crate::Forwarding>) {
        *self.forwarding.lock().unwrap_or_else(PoisonError::into_inner) = Some(forwarding);
    }

    pub(crate) fn gap_watch(&self) -> std::sync::MutexGuard<'_, crate::watch::GapWatch> {
        self.gap_watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records committed since the start, those of them that were read, and groups of matches that
    /// could not be recorded.
    pub(crate) fn progress(&self) -> (u64, u64, u64) {
        let pipeline = self.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        let counters = &pipeline.counters;
        // Read first: what is committed meanwhile only looks unread for a moment.
        let read = counters.fresh.load(Ordering::Acquire);
        let lost = counters.findings_lost.load(Ordering::Relaxed);
        (self.journal.stats().committed, read, lost)
    }

    #[cfg(test)]
    pub(crate) fn pipeline_counters(&self) -> Arc<crate::pipeline::PipelineCounters> {
        self.pipeline.lock().unwrap_or_else(PoisonError::into_inner).counters.clone()
    }

    pub(crate) fn saved(&self) -> &crate::saved::SavedSearches {
        &self.saved
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(crate) fn searches(&self) -> &Arc<crate::searches::Searches> {
        &self.searches
    }

    pub(crate) fn searcher(&self) -> &Searcher {
        &self.searcher
    }

    pub(crate) fn normalizer(&self) -> &Normalizer {
        &self.normalizer
    }

    pub(crate) fn table(&self) -> &Arc<Mutex<()>> {
        &self.table
    }

    pub(crate) fn retaining(&self) -> &crate::retention::Retaining {
        &self.retaining
    }

    pub(crate) fn pinning(&self) -> &crate::pins::Pins {
        &self.pins
    }

    pub(crate) fn tiers(&self) -> &crate::tiers::Tiers {
        &self.tiers
    }

    /// Begins a new segment of the journal, and waits until what can go of the others is gone.
    pub(crate) fn turn_journal(&self) -> Result<(), NodeError> {
        self.journal.turn()?;
        // What the table took meanwhile is let go of before this is answered.
        Ok(self.journal.seal_all()?)
    }

    pub(crate) fn lake(&self) -> &Arc<Lake> {
        &self.lake
    }

    pub(crate) fn logs(&self) -> (&Log, &Log) {
        (&self.events_log, &self.audit_log)
    }

    /// What a row says, in words.
    pub(crate) fn sentence(
        &self,
        batch: &yagura_event::EventBatch,
        row: usize,
        lang: yagura_event::Lang,
    ) -> String {
        self.normalizer.sentence(batch, row, lang)
    }

    /// A record in words and fields; `layout` is its row's `yagura.layout`.
    pub(crate) fn describe(
        &self,
        run: &yagura_event::CommittedRun,
        layout: Option<&str>,
    ) -> Option<Described> {
        self.normalizer.describe_with(run, layout)
    }

    /// Told whenever alerts change; the number itself means nothing.
    pub fn alerts_changed(&self) -> tokio::sync::watch::Receiver<u64> {
        self.alerts_changed.clone()
    }

    pub(crate) fn tell_alerts_changed(&self) {
        self.alerts_change.send_modify(|number| *number += 1);
    }

    /// Seals what is open and writes it to the table. Blocks.
    pub fn flush(&self) -> Result<(), NodeError> {
        self.journal.seal_all()?;
        // The table writes what it knows to be sealed, and the pipeline is what tells it.
        let _ = self.journal.mark()?.recv();
        let pipeline = self.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        pipeline.flush().map(|_| ())
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

    /// While held, nothing of the table or the journal is removed; both are written to.
    pub(crate) fn keep_files(&self) -> std::sync::MutexGuard<'_, ()> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be held while files of the table or the journal are removed. `None` while somebody reads
    /// files that must stay ([`Node::keep_files`]).
    pub(crate) fn free_to_remove(&self) -> Option<std::sync::MutexGuard<'_, ()>> {
        crate::pipeline::free_to_remove(&self.kept)
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
        let rules = self.rules();
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
                "pipeline.enrich_left_out": count(&counters.enrich_left_out),
                "pipeline.normalize_nanos": count(&counters.normalize_nanos),
                "pipeline.sources_nanos": count(&counters.sources_nanos),
                "pipeline.enrich_nanos": count(&counters.enrich_nanos),
                "pipeline.detect_nanos": count(&counters.detect_nanos),
                "pipeline.add_nanos": count(&counters.add_nanos),
                "lake.hot_rows": lake.hot_rows,
                "lake.hot_bytes": lake.hot_bytes,
                "lake.files": lake.files,
                "lake.file_rows": lake.file_rows,
                "lake.file_bytes": lake.file_bytes,
                "lake.cold_files": lake.cold_files,
                "lake.cold_bytes": lake.cold_bytes,
                "desk.alerts": desk.raised,
                "desk.below_level": desk.below_level,
                "desk.suppressed": desk.suppressed,
                "desk.exceptions": desk.exceptions,
                "desk.gaps_open": desk.gaps_open,
                "pipeline.findings_lost": count(&counters.findings_lost),
            },
            "correlation": self.correlating.status(),
            "rules": {
                "loaded": rules.loaded,
                "refused": rules.refused.len(),
                "refusals": rules.refused.iter().take(REFUSALS_SHOWN_MAX).map(|refusal| json!({
                    "log.file.path": refusal.path,
                    "rule.uuid": refusal.rule_id,
                    "rule.name": refusal.title,
                    "reason": refusal.reason,
                })).collect::<Vec<_>>(),
            },
        })
    }

    /// Waits until every record the journal still held at the start is searchable.
    pub async fn ready(&self) {
        loop {
            {
                let pipeline = self.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
                if pipeline.counters.replayed.load(Ordering::Acquire) || !pipeline.is_running() {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Seals everything, writes it to the table, signs, and lets go of the directory. Blocks.
    pub fn close(&self) -> Result<(), NodeError> {
        self.hunter.close();
        self.rereading.close();
        self.compacting.close();
        self.backups.close();
        self.tiers.close();
        if let Some(forwarding) = self.forwarding() {
            forwarding.save_all(self);
        }
        self.retaining.close();
        self.journal.seal_all()?;
        let mut pipeline = self.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        self.journal.close()?;
        pipeline.stop();
        // Nobody asks any more. Where a verification still reads, the next start removes them.
        let free = self.free_to_remove();
        if free.is_some()
            && let Err(error) = crate::reprocess::remove_replaced(
                &self.lake,
                &self.audit,
                UtcMicros::from_micros(i64::MAX),
            )
        {
            tracing::warn!(%error, "files that were replaced are removed at the next start");
        }
        drop(free);
        self.audit_journal.close()?;
        Ok(())
    }
}

fn new_normalizer(options: &NodeOptions) -> Result<Normalizer, NodeError> {
    Normalizer::with_content(&options.content)
        .map_err(|error| NodeError::Content(error.to_string()))
}

type Compiled = Result<yagura_rulebook::Compiled, NodeError>;

fn spawn_compiling(
    options: &NodeOptions,
    dictionary: &Arc<FieldDictionary>,
) -> Result<std::thread::JoinHandle<Compiled>, NodeError> {
    let (options, dictionary) = (options.clone(), dictionary.clone());
    std::thread::Builder::new()
        .name("yagura-rules".to_owned())
        .spawn(move || compile_rules(&options, &dictionary))
        .map_err(|source| NodeError::Io { path: "yagura-rules".into(), source })
}

fn compile_rules(options: &NodeOptions, dictionary: &Arc<FieldDictionary>) -> Compiled {
    let compiled = rule_sources(options).compile(dictionary.clone())?;
    compiled.ruleset.prepare();
    Ok(compiled)
}

fn rule_sources(options: &NodeOptions) -> yagura_rulebook::RuleSources {
    yagura_rulebook::RuleSources {
        builtin: options.builtin_rules,
        rules: options.rule_dirs.clone(),
        lists: options.rule_lists.clone(),
        pipelines: options.rule_pipelines.clone(),
        zone: options.rule_zone.clone(),
    }
}

/// The parser's version as batch headers spell it: without blanks.
fn parser_version() -> String {
    PARSER_VERSION.replace(' ', "/")
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
/// journal and will be written again. Or of a rereading, before or after its commit: their events are
/// in the table. One that neither vouches for stays, for `yagura verify` to name.
/// What was deleted by a record of it is vouched for by that.
fn remove_orphans(
    data: &DataDir,
    lake: &Lake,
    audit: &Audit,
    was_deleted: &dyn Fn(u64) -> bool,
) -> Result<(), NodeError> {
    let orphans = &lake.open_report().orphans;
    if orphans.is_empty() {
        return Ok(());
    }
    let in_journal = crate::verify::batches_in_journal(data);
    let vouched = |batch: u64| in_journal.contains(&batch) || was_deleted(batch);
    for orphan in orphans {
        let path = data.relative(orphan);
        if audit.has_file(&path) && lake.may_remove_orphan(orphan, vouched)? {
            let mut paths = vec![path];
            let index = index_of_orphan(data, lake, orphan);
            paths.extend(index.filter(|path| audit.has_file(path)));
            audit.record_removed(&paths)?;
        }
        if !lake.remove_orphan(orphan, vouched)? {
            tracing::warn!(path = %orphan.display(), "a file of the table belongs to no commit");
        }
    }
    Ok(())
}

/// Whether a record says that a batch was deleted.
pub(crate) fn was_deleted(
    log: &Log,
    deleted: &crate::retention::DeletedBatches,
    batch: u64,
) -> bool {
    if deleted.is_empty() {
        return false;
    }
    let stream = crate::retention::stream_of(log, batch).ok().flatten();
    stream.is_some_and(|stream| deleted.has(&stream, batch))
}

/// The text index that lies beside an orphan and goes with it, if there is one.
pub(crate) fn index_of_orphan(data: &DataDir, lake: &Lake, orphan: &Path) -> Option<String> {
    if lake.index_is_used(orphan) {
        return None;
    }
    let name = yagura_lake::text_index_path(orphan.file_name()?.to_str()?);
    let path = orphan.with_file_name(name);
    path.try_exists().is_ok_and(|there| there).then(|| data.relative(&path))
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
