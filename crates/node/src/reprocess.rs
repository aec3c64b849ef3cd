//! Reading stored events again with today's decoders, mappings and settings: their columns are
//! replaced, never their bytes, their ids or the ledger. Some batches at a time, each time with one
//! commit of the table, so that a crash leaves old rows or new ones and the next run goes on with the
//! rest.
//!
//! What is remembered from record to record within a file (the layout that its header states) is
//! learnt again from the file's start; what is remembered of a live stream is a matter of moments
//! and learnt again within these batches.

use crate::audit::{Audit, FileDigest};
use crate::rows::{wrong_query, zone_of};
use crate::sources::{CORRECTED, SKEW};
use crate::{Node, NodeError};
use arrow::array::{Array, AsArray, Int64Array, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use yagura_enrich::Enricher;
use yagura_event::{Clock, EventBatch, Origin, StreamName, UtcMicros, columns};
use yagura_lake::{FileEntry, FileWritten, Lake, LakeError, StoredBatch, Window, kill_point};
use yagura_normalize::{Normalizer, PARSER_VERSION};
use yagura_query::Live;

/// A file that was replaced stays so long (microseconds) for questions that began before.
pub(crate) const REPLACED_KEPT_MICROS: i64 = 15 * 60 * 1_000_000;

/// Rows whose batches are read again at once, about: what one commit replaces, and what is in memory.
const WINDOW_ROWS: u64 = 262_144;

/// How often batches are read again whose files a compaction took away meanwhile.
const ATTEMPTS: usize = 5;

/// Pairs of datasets, before and after, that are told apart.
const TALLIES_MAX: usize = 1_024;

/// Streams of imports begin so: the records of one file, which is read from its start.
const IMPORT_PREFIX: &str = "import/";

/// What is to be read again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReprocessRequest {
    /// Which events, as in a search; empty for those that could not be read.
    pub query: String,
    /// Every event, where `query` is empty.
    pub all: bool,
    /// Only events of a source: its host name, address, file or stream.
    pub source: Option<String>,
    /// Only events from this instant on.
    pub from: Option<String>,
    /// Only events before this instant.
    pub to: Option<String>,
    /// Only the last so many minutes, hours or days.
    pub last: Option<String>,
    /// Zone of times written without one.
    pub time_zone: Option<String>,
    /// Only count what would change.
    pub dry_run: bool,
}

/// The rereading of a node: at most one runs at a time.
#[derive(Default)]
pub(crate) struct Rereading {
    state: Arc<Mutex<State>>,
    cancel: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Clone, Default, Serialize)]
struct State {
    running: bool,
    dry_run: bool,
    #[serde(rename = "begun")]
    began: Option<UtcMicros>,
    ended: Option<UtcMicros>,
    /// Rows of the table that had to be looked at, and that were.
    rows_total: u64,
    rows_done: u64,
    /// Events selected, and those whose dataset is another now.
    events: u64,
    moved: u64,
    /// Events that could not be read before and can be now, and the other way round.
    mended: u64,
    broken: u64,
    files_written: u64,
    cancelled: bool,
    error: Option<String>,
    #[serde(skip)]
    tallies: BTreeMap<(Arc<str>, Arc<str>), u64>,
}

impl State {
    fn value(&self) -> Value {
        let mut value = json!(self);
        let changes: Vec<Value> = self
            .tallies
            .iter()
            .map(|((from, to), events)| json!({ "from": from, "to": to, "events": events }))
            .collect();
        value["changes"] = json!(changes);
        value["parser"] = json!(PARSER_VERSION);
        value
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rereading {
    /// Ends the one that runs.
    pub(crate) fn close(&self) {
        self.cancel.store(true, Ordering::Release);
        if let Some(thread) = locked(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

impl Node {
    /// Begins to read events again, and answers how far it is: [`Node::reprocessing`] tells more.
    /// Blocks until what is in memory is in the table.
    ///
    /// # Errors
    ///
    /// When the request is wrong, or another rereading runs.
    pub fn reprocess(&self, request: &ReprocessRequest, who: &str) -> Result<Value, NodeError> {
        let mut thread = locked(&self.rereading.thread);
        if locked(&self.rereading.state).running {
            return Err(NodeError::request(
                "events are being read again already: wait for it, or cancel it".to_owned(),
                "読み直しはすでに実行中です。完了を待つか、中止してください".to_owned(),
            ));
        }
        let selection = self.selection(request)?;
        self.flush()?;
        if let Some(ended) = thread.take() {
            let _ = ended.join();
        }
        let began = self.clock().now();
        let state = State {
            running: true,
            dry_run: request.dry_run,
            began: Some(began),
            ..State::default()
        };
        *locked(&self.rereading.state) = state;
        self.rereading.cancel.store(false, Ordering::Release);
        let mut normalizer = self.normalizer().fork();
        normalizer.set_keep_original(true);
        let work = Work {
            lake: self.lake().clone(),
            audit: self.audit().clone(),
            table: self.table().clone(),
            clock: self.clock().clone(),
            normalizer,
            enricher: Enricher::new(self.enriching().current()),
            selection,
            request: request.clone(),
            who: who.to_owned(),
            state: self.rereading.state.clone(),
            cancel: self.rereading.cancel.clone(),
        };
        let spawned = std::thread::Builder::new()
            .name("yagura-reread".to_owned())
            .spawn(move || work.run())
            .map_err(|source| NodeError::Io { path: "yagura-reread".into(), source })?;
        *thread = Some(spawned);
        Ok(locked(&self.rereading.state).value())
    }

    /// How far the rereading is, or how the last one ended.
    pub fn reprocessing(&self) -> Value {
        locked(&self.rereading.state).value()
    }

    /// Ends the rereading that runs, after the batches it is at.
    pub fn cancel_reprocessing(&self) -> Value {
        self.rereading.cancel.store(true, Ordering::Release);
        self.reprocessing()
    }

    fn selection(&self, request: &ReprocessRequest) -> Result<Selection, NodeError> {
        let zone = zone_of(request.time_zone.as_deref())?;
        let now = self.clock().now();
        let query = match request.query.trim() {
            "" if request.all || request.source.is_some() => "",
            "" => "yagura.parse_error:* or event.dataset:unknown",
            query => query,
        };
        let parsed = yagura_query::parse(query, now, &zone)
            .map_err(|error| wrong_query(yagura_query::QueryError::Parse(error)))?;
        let live = self.searcher().live(&parsed).map_err(wrong_query)?;
        let instant = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match yagura_query::parse_instant(text, now, &zone) {
                Some((instant, _)) => Ok(Some(instant.as_micros())),
                None => Err(NodeError::request(
                    format!("{text:?} is no instant: write 2026-11-21T09:00:00Z or now-15m"),
                    format!("{text:?} は時刻として読めません（例: 2026-11-21T09:00:00Z、now-15m）"),
                )),
            },
        };
        let from = match &request.last {
            Some(span) => instant(&Some(format!("now-{}", span.trim_start_matches('-'))))?,
            None => instant(&request.from)?,
        };
        Ok(Selection { live, from, to: instant(&request.to)?, source: request.source.clone() })
    }
}

/// Removes from disk what left the table before `before`. The audit log hears of it first.
pub(crate) fn remove_replaced(
    lake: &Lake,
    audit: &Audit,
    before: UtcMicros,
) -> Result<(), NodeError> {
    let old = lake.replaced_before(before);
    if old.is_empty() {
        return Ok(());
    }
    let paths: Vec<String> = old.into_iter().map(|file| file.path).collect();
    audit.record_removed(&paths)?;
    kill_point("remove", &"Recorded");
    for path in &paths {
        lake.remove_replaced(path)?;
        kill_point("remove", &"Gone");
    }
    Ok(())
}

/// Which events.
struct Selection {
    live: Live,
    from: Option<i64>,
    to: Option<i64>,
    source: Option<String>,
}

/// What was known of a selected event.
struct Before {
    dataset: Arc<str>,
    failed: bool,
    /// `@timestamp`, the corrected one, and the skew.
    corrected: Option<(i64, i64, Option<i64>)>,
}

type Selected = HashMap<(u64, u32), Before>;

const HOST: &str = "host.name";

impl Selection {
    fn may_be_in(&self, lake: &Lake, file: &Arc<FileEntry>) -> bool {
        lake.part_of(file).may_hold(self.from, self.to)
    }

    /// The events of a file that are meant, of a window's batches.
    fn select(
        &self,
        lake: &Lake,
        file: &Arc<FileEntry>,
        window: &Window,
        into: &mut Selected,
    ) -> Result<(), NodeError> {
        let needed: HashSet<&str> = self
            .live
            .columns()
            .chain([CORRECTED, SKEW, columns::PARSE_ERROR, columns::PEER, HOST])
            .collect();
        for batch in lake.part_of(file).read(&|name| needed.contains(name))? {
            let batch = batch?;
            let found = self.live.matches(&batch).map_err(wrong_query)?;
            let rows = Rows::of(&batch.columns)?;
            for row in (0..batch.rows()).filter(|row| found.value(*row)) {
                let at = rows.time.value(row);
                let in_time =
                    self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to);
                let here = window.has(rows.place(row).0);
                let meant = |source| rows.is_of(row, source);
                if in_time && here && self.source.as_deref().is_none_or(meant) {
                    into.insert(rows.place(row), rows.before(row, &batch.dataset));
                }
            }
        }
        Ok(())
    }
}

/// Columns that are looked at before and after.
struct Rows<'a> {
    rows: &'a RecordBatch,
    time: &'a TimestampMicrosecondArray,
    batch: &'a Int64Array,
    index: &'a Int64Array,
}

impl<'a> Rows<'a> {
    fn of(rows: &'a RecordBatch) -> Result<Rows<'a>, NodeError> {
        let lacks = |name: &'static str| NodeError::from(LakeError::Envelope(name));
        let long = |name: &'static str| {
            let column = rows.column_by_name(name);
            column.and_then(|c| c.as_primitive_opt::<Int64Type>()).ok_or_else(|| lacks(name))
        };
        let time = rows.column_by_name(columns::TIMESTAMP);
        let time = time.and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        Ok(Rows {
            rows,
            time: time.ok_or_else(|| lacks(columns::TIMESTAMP))?,
            batch: long(columns::BATCH)?,
            index: long(columns::INDEX)?,
        })
    }

    fn place(&self, row: usize) -> (u64, u32) {
        let index = u32::try_from(self.index.value(row)).unwrap_or(u32::MAX);
        (self.batch.value(row).unsigned_abs(), index)
    }

    fn word(&self, name: &str, row: usize) -> Option<String> {
        let column = self.rows.column_by_name(name)?;
        column
            .is_valid(row)
            .then(|| arrow::util::display::array_value_to_string(column, row).unwrap_or_default())
    }

    fn failed(&self, row: usize) -> bool {
        let failed = |column: &arrow::array::ArrayRef| column.is_valid(row);
        self.rows.column_by_name(columns::PARSE_ERROR).is_some_and(failed)
    }

    /// Whether `source` names where a row came from.
    fn is_of(&self, row: usize, source: &str) -> bool {
        let is = |name| self.word(name, row).is_some_and(|word| word.eq_ignore_ascii_case(source));
        is(HOST)
            || is(columns::STREAM)
            || self.word(columns::PEER, row).is_some_and(|peer| {
                let address = peer.rsplit_once(':').map_or(peer.as_str(), |(address, _)| address);
                peer == source || address.trim_matches(['[', ']']) == source
            })
    }

    fn before(&self, row: usize, dataset: &Arc<str>) -> Before {
        let corrected = self.rows.column_by_name(CORRECTED);
        let corrected = corrected.and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        let skew = self.rows.column_by_name(SKEW).and_then(|c| c.as_primitive_opt::<Int64Type>());
        let corrected = corrected.filter(|times| times.is_valid(row)).map(|times| {
            let skew = skew.filter(|skews| skews.is_valid(row)).map(|skews| skews.value(row));
            (self.time.value(row), times.value(row), skew)
        });
        Before { dataset: dataset.clone(), failed: self.failed(row), corrected }
    }
}

struct Work {
    lake: Arc<Lake>,
    audit: Arc<Audit>,
    table: Arc<Mutex<()>>,
    clock: Arc<dyn Clock>,
    normalizer: Normalizer,
    enricher: Enricher,
    selection: Selection,
    request: ReprocessRequest,
    who: String,
    state: Arc<Mutex<State>>,
    cancel: Arc<AtomicBool>,
}

impl Work {
    fn run(mut self) {
        let done = self.reread();
        let ended = self.clock.now();
        let mut state = locked(&self.state);
        state.running = false;
        state.ended = Some(ended);
        state.cancelled = self.cancel.load(Ordering::Acquire) && state.rows_done < state.rows_total;
        if let Err(error) = done {
            tracing::error!(%error, "reading events again broke off");
            state.error = Some(error.to_string());
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Acquire)
    }

    fn reread(&mut self) -> Result<(), NodeError> {
        let windows = self.lake.windows(WINDOW_ROWS);
        locked(&self.state).rows_total = windows.iter().map(|window| window.rows).sum();
        let imports = self.imports(&windows)?;
        // A window holds its files, which must be free to go.
        let spans: Vec<(u64, u64, u64)> =
            windows.iter().map(|window| (window.first, window.last, window.rows)).collect();
        drop(windows);
        for (first, last, rows) in spans {
            if self.is_cancelled() {
                return Ok(());
            }
            let mut attempts = 1;
            while let Err(error) = self.window(&self.lake.window(first, last), &imports) {
                let outdated = matches!(error, NodeError::Lake(LakeError::Outdated(_)));
                if !outdated || attempts == ATTEMPTS {
                    return Err(error);
                }
                attempts += 1;
            }
            locked(&self.state).rows_done += rows;
        }
        Ok(())
    }

    /// Streams of imported files of which something is selected: they are read from their start.
    fn imports(&self, windows: &[Window]) -> Result<HashSet<StreamName>, NodeError> {
        let mut streams = HashSet::new();
        for window in windows {
            if self.is_cancelled() {
                break;
            }
            let mut selected = Selected::new();
            for file in window.files.iter().filter(|f| self.selection.may_be_in(&self.lake, f)) {
                self.selection.select(&self.lake, file, window, &mut selected)?;
            }
            let mut batches: HashSet<u64> = selected.into_keys().map(|(batch, _)| batch).collect();
            for file in &window.files {
                if !file.batches.iter().any(|rows| batches.contains(&rows.batch)) {
                    continue;
                }
                for batch in self.lake.part_of(file).read(&|name| name == columns::STREAM)? {
                    let batch = batch?;
                    let rows = Rows::of(&batch.columns)?;
                    for row in 0..batch.rows() {
                        if !batches.remove(&rows.place(row).0) {
                            continue;
                        }
                        let stream = rows.word(columns::STREAM, row).unwrap_or_default();
                        if stream.starts_with(IMPORT_PREFIX) {
                            streams.extend(StreamName::new(&stream));
                        }
                    }
                }
            }
        }
        Ok(streams)
    }

    fn window(&mut self, window: &Window, imports: &HashSet<StreamName>) -> Result<(), NodeError> {
        let mut selected = Selected::new();
        for file in &window.files {
            if self.selection.may_be_in(&self.lake, file) {
                self.selection.select(&self.lake, file, window, &mut selected)?;
            }
        }
        if selected.is_empty() && imports.is_empty() {
            return Ok(());
        }
        let batches: HashSet<u64> = selected.keys().map(|(batch, _)| *batch).collect();
        let (normalizer, enricher) = (&mut self.normalizer, &mut self.enricher);
        let mut streams: HashSet<StreamName> = HashSet::new();
        let mut read = Vec::new();
        let mut take = |stored: StoredBatch| -> Result<(), LakeError> {
            // From a stream's first selected batch on; of an imported file from its start.
            if batches.contains(&stored.batch) {
                streams.insert(stored.stream.clone());
            } else if !streams.contains(&stored.stream) && !imports.contains(&stored.stream) {
                return Ok(());
            }
            read_again(normalizer, &stored);
            if normalizer.waiting_rows() >= yagura_lake::limits::HISTORY_ROWS {
                read.extend(take_selected(normalizer, enricher, &selected)?);
            }
            Ok(())
        };
        self.lake.for_each_batch_of(window, &mut take)?;
        read.extend(take_selected(normalizer, enricher, &selected)?);
        let changes = tally(&read, &selected)?;
        let report = match self.request.dry_run || read.is_empty() {
            true => None,
            false => Some(self.replace(window, read, &changes)?),
        };
        let mut state = locked(&self.state);
        state.events += changes.events;
        state.moved += changes.moved;
        state.mended += changes.mended;
        state.broken += changes.broken;
        state.files_written += report.map_or(0, |written| written);
        for (pair, events) in changes.pairs {
            let room = state.tallies.len() < TALLIES_MAX;
            match state.tallies.get_mut(&pair) {
                Some(count) => *count += events,
                None if room => {
                    state.tallies.insert(pair, events);
                }
                None => {}
            }
        }
        Ok(())
    }

    /// The table first, then the digests of its files and what was done; a crash between leaves what
    /// the next start records.
    fn replace(
        &self,
        window: &Window,
        rows: Vec<EventBatch>,
        changes: &Changes,
    ) -> Result<u64, NodeError> {
        let prepared = self.lake.prepare_rewrite(rows)?;
        let _writing = locked(&self.table);
        let report = self.lake.publish_rewrite(prepared)?;
        let digest = |file: &FileWritten| FileDigest {
            path: file.path.clone(),
            sha256: file.sha256.clone(),
            bytes: file.bytes,
        };
        self.audit.record_files(&report.files.iter().map(digest).collect::<Vec<_>>())?;
        self.audit.write(&[json!({
            "@timestamp": self.clock.now(),
            "event.action": "events.reprocessed",
            "user.name": self.who,
            "query": self.request.query,
            "batches.first": window.first,
            "batches.last": window.last,
            "events": changes.events,
            "moved": changes.moved,
            "parser": PARSER_VERSION,
            "files.replaced": report.replaced.iter().map(|file| &file.path).collect::<Vec<_>>(),
            "files.written": report.files.iter().map(|file| &file.path).collect::<Vec<_>>(),
        })])?;
        Ok(report.files.len() as u64)
    }
}

fn read_again(normalizer: &mut Normalizer, stored: &StoredBatch) {
    for (index, record) in &stored.records {
        let origin = Origin {
            stream: &stored.stream,
            batch: stored.batch,
            index: *index,
            batch_salt: &stored.batch_salt,
            received: record.received,
            transport: record.transport,
            peer: &record.peer,
            identity: &record.identity,
        };
        normalizer.push(&origin, &record.bytes);
    }
}

/// The rows read so far that are selected, with corrected times where they still hold.
fn take_selected(
    normalizer: &mut Normalizer,
    enricher: &mut Enricher,
    selected: &Selected,
) -> Result<Vec<EventBatch>, LakeError> {
    let mut taken = Vec::new();
    for batch in normalizer.take_batches() {
        let rows = Rows::of(&batch.columns).map_err(|_| LakeError::Envelope(columns::BATCH))?;
        let keep: Vec<bool> =
            (0..batch.rows()).map(|row| selected.contains_key(&rows.place(row))).collect();
        if !keep.contains(&true) {
            continue;
        }
        let kept = filter_record_batch(&batch.columns, &keep.into())?;
        let columns = corrected(kept, selected)?;
        taken.push(enricher.enrich(EventBatch { dataset: batch.dataset.clone(), columns }));
    }
    Ok(taken)
}

/// A corrected time holds as long as the time it corrects.
fn corrected(rows: RecordBatch, selected: &Selected) -> Result<RecordBatch, LakeError> {
    let view = Rows::of(&rows).map_err(|_| LakeError::Envelope(columns::BATCH))?;
    let known: Vec<Option<(i64, Option<i64>)>> = (0..rows.num_rows())
        .map(|row| {
            let (time, corrected, skew) = selected.get(&view.place(row))?.corrected?;
            (time == view.time.value(row)).then_some((corrected, skew))
        })
        .collect();
    if known.iter().all(Option::is_none) {
        return Ok(rows);
    }
    let times: TimestampMicrosecondArray =
        known.iter().map(|known| known.map(|(time, _)| time)).collect();
    let skews: Int64Array = known.iter().map(|known| known.and_then(|(_, skew)| skew)).collect();
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields: Vec<_> = rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(CORRECTED, micros, true)));
    fields.push(Arc::new(Field::new(SKEW, DataType::Int64, true)));
    let mut arrays = rows.columns().to_vec();
    arrays.push(Arc::new(times.with_timezone("UTC")));
    arrays.push(Arc::new(skews));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

#[derive(Default)]
struct Changes {
    events: u64,
    moved: u64,
    mended: u64,
    broken: u64,
    pairs: BTreeMap<(Arc<str>, Arc<str>), u64>,
}

fn tally(read: &[EventBatch], selected: &Selected) -> Result<Changes, NodeError> {
    let mut changes = Changes::default();
    for batch in read {
        let rows = Rows::of(&batch.columns)?;
        for row in 0..batch.rows() {
            let Some(before) = selected.get(&rows.place(row)) else { continue };
            let failed = rows.failed(row);
            changes.events += 1;
            changes.moved += u64::from(before.dataset != batch.dataset);
            changes.mended += u64::from(before.failed && !failed);
            changes.broken += u64::from(!before.failed && failed);
            let pair = (before.dataset.clone(), batch.dataset.clone());
            *changes.pairs.entry(pair).or_default() += 1;
        }
    }
    Ok(changes)
}
