//! A worker: reads units into rows, matches rules, and keeps what they found.

use crate::correlate::Columns;
use crate::limits::{GATHER_ROWS, KEPT_TOGETHER_BYTES};
use crate::line::Piece;
use crate::report::{FileTally, Tally, widen};
use crate::row::{BatchView, Finding};
use crate::scan::{Line, Shared};
use crate::store::Key;
use crate::tell::{RowText, Teller};
use crate::unit::{Body, Records, Unit};
use crossbeam_channel::Receiver;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use yagura_detect::{Engine, Match, RuleInfo};
use yagura_enrich::Enricher;
use yagura_event::{
    EventBatch, EventFields, Origin, Record, StreamName, Transport, UtcMicros, Words, columns,
};
use yagura_intake::evtx::{ChunkReader, EventSink, EvtxSink};
use yagura_intake::import::Place;
use yagura_normalize::Normalizer;

pub(crate) struct Worker<'a> {
    shared: &'a Shared<'a>,
    normalizer: Normalizer,
    enricher: Enricher,
    engine: Engine,
    chunks: ChunkReader,
    /// Units whose rows wait to be matched, by rising number.
    open: Vec<OpenUnit>,
    tally: Tally,
    columns: Columns,
    /// What findings say of their rule, by its number.
    rules: HashMap<u32, Piece, RandomState>,
    /// Memory for the finding being written, and for what is said of its row.
    line: Vec<u8>,
    row: RowText,
}

/// What is still needed of a unit once its records are rows.
struct OpenUnit {
    number: u64,
    file: u32,
    name: Arc<str>,
    /// Where each record is; empty for Windows event logs, whose records have numbers of their own.
    places: Vec<Place>,
}

impl<'a> Worker<'a> {
    pub fn new(shared: &'a Shared<'a>, normalizer: Normalizer) -> Self {
        Worker {
            shared,
            normalizer,
            enricher: Enricher::new(shared.options.enrichment.clone()),
            engine: Engine::with_cache_bytes(shared.ruleset.clone(), shared.cache_bytes),
            chunks: ChunkReader::default(),
            open: Vec::new(),
            tally: Tally::default(),
            columns: Columns::default(),
            rules: HashMap::default(),
            line: Vec::new(),
            row: RowText::default(),
        }
    }

    /// Works until there are no more units.
    pub fn run(mut self, units: &Receiver<Unit>) -> Tally {
        for unit in units {
            // Whoever reads the logs must not wait for a worker that gave up.
            if self.shared.has_failed() {
                continue;
            }
            self.take(unit);
            let rows = self.normalizer.waiting_rows();
            let bytes = self.normalizer.waiting_bytes();
            if rows >= GATHER_ROWS || bytes >= self.shared.gather_bytes {
                self.digest();
            }
        }
        if !self.shared.has_failed() {
            self.digest();
        }
        self.tally
    }

    /// Turns a unit into rows.
    fn take(&mut self, unit: Unit) {
        let Unit { number, file, name, header, body } = unit;
        let peer = Record::peer_text(&name);
        let mut rows = Rows {
            normalizer: &mut self.normalizer,
            stream: &self.shared.stream,
            peer: &peer,
            now: self.shared.now,
            unit: number,
            index: 0,
        };
        let places = match body {
            Body::Chunks(chunks) => {
                let tally = self.tally.files.entry(file).or_default();
                for (chunk, data) in chunks {
                    let mut reader = Chunk { rows: &mut rows, tally, unit: number };
                    let Ok(()) = self.chunks.read(chunk, data, &mut reader);
                }
                Vec::new()
            }
            Body::Records(records) => {
                // Another worker may have read what came before.
                if let Some(header) = header {
                    rows.resume(&header);
                }
                records.iter().for_each(|record| rows.push(record));
                let Records { ends, .. } = records;
                ends.into_iter().map(|(_, place)| place).collect()
            }
        };
        if rows.index > 0 {
            self.open.push(OpenUnit { number, file, name, places });
        }
    }

    /// Matches the rows gathered so far.
    fn digest(&mut self) {
        let rows = self.normalizer.waiting_rows() as u64;
        let batches = self.normalizer.take_batches();
        for batch in batches {
            let batch = &self.enricher.enrich(batch);
            let view = BatchView::new(batch);
            if self.count(batch, &view) {
                let matches = self.engine.evaluate(batch);
                self.hits(&view, &matches);
                self.findings(batch, &view, matches);
            }
        }
        self.shared.progress.events.fetch_add(rows, Ordering::Relaxed);
        self.open.clear();
    }

    /// Counts the events of a batch; whether any happened in the time asked for.
    fn count(&mut self, batch: &EventBatch, view: &BatchView<'_>) -> bool {
        let mut in_range = 0;
        let mut file = u32::MAX;
        let mut tally = FileTally::default();
        let mut last = None;
        for row in 0..batch.rows() {
            let time = view.time(row);
            let (unit, _) = view.place(row);
            let of = match last {
                Some((known, file)) if known == unit => file,
                _ => unit_of(&self.open, unit).map_or(u32::MAX, |unit| unit.file),
            };
            last = Some((unit, of));
            if of != file {
                add(&mut self.tally, file, std::mem::take(&mut tally));
                file = of;
            }
            tally.events += 1;
            // An event that says no time has been given that of its receipt.
            let is_timed = time != self.shared.now.as_micros();
            self.tally.untimed += u64::from(!is_timed);
            if is_timed {
                widen(&mut tally.span, time, time);
            }
            if self.shared.is_in_range(time) {
                in_range += 1;
                if is_timed {
                    widen(&mut self.tally.span, time, time);
                }
            }
        }
        add(&mut self.tally, file, tally);
        let rows = batch.rows() as u64;
        self.tally.events += rows;
        self.tally.events_in_range += in_range;
        if &*batch.dataset == "unknown" {
            self.tally.unknown += rows;
        } else if let Some(errors) = batch.columns.column_by_name(columns::PARSE_ERROR) {
            self.tally.imperfect += rows - errors.null_count() as u64;
        }
        in_range > 0
    }

    /// Keeps what correlations count.
    fn hits(&mut self, view: &BatchView<'_>, matches: &[Match]) {
        let mut hits = Lines::default();
        for matched in matches {
            let rule = self.shared.rule_number(&matched.rule.id);
            let time = view.time(matched.row);
            if !self.shared.is_counted(rule) || !self.shared.is_in_range(time) {
                continue;
            }
            let (number, index) = view.place(matched.row);
            let Some(unit) = unit_of(&self.open, number) else { continue };
            let place = unit.places.get(index as usize).copied();
            let ruleset = &self.shared.ruleset;
            let hit = self.columns.hit(ruleset, view, matched.row, unit.file, place);
            // Proof: the keys are text, and no value is a map with other keys.
            let line = serde_json::to_vec(&hit).unwrap_or_default().into();
            hits.push((Key { time, unit: number, index, rule }, line));
            if hits.bytes >= KEPT_TOGETHER_BYTES {
                self.shared.keep_hits(&mut hits.lines);
                hits.bytes = 0;
            }
        }
        self.shared.keep_hits(&mut hits.lines);
    }

    /// Makes findings of matches.
    fn findings(&mut self, batch: &EventBatch, view: &BatchView<'_>, matches: Vec<Match>) {
        let mut found = Lines::default();
        let mut said: Option<usize> = None;
        let sentences = self.normalizer.sentences(batch);
        let teller = Teller::new(view);
        for matched in matches {
            let row = matched.row;
            let time = view.time(row);
            let wanted = matched.rule.alerts
                && matched.rule.level >= self.shared.options.min_level
                && self.shared.is_in_range(time);
            if !wanted {
                continue;
            }
            let (number, index) = view.place(row);
            let rule = self.shared.rule_number(&matched.rule.id);
            let Some(unit) = unit_of(&self.open, number) else { continue };
            // Several rules may have found the same event.
            if said != Some(row) {
                let sentence = sentences.of_row(row, self.shared.options.lang);
                let id = event_id(unit, view, row);
                teller.row(row, (&unit.name, &id, &sentence), &mut self.row);
                said = Some(row);
            }
            let piece = self.rules.entry(rule).or_insert_with(|| rule_piece(&matched.rule));
            let line = teller.finding(&matched, piece, &self.row, &mut self.line);
            let (host, user) = teller.host_and_user(row);
            self.tally.finding(rule, matched.rule.level, time, &host, &user);
            self.tally.files.entry(unit.file).or_default().findings += 1;
            found.push((Key { time, unit: number, index, rule }, line));
            if found.bytes >= KEPT_TOGETHER_BYTES {
                self.shared.keep(&mut found.lines);
                found.bytes = 0;
            }
        }
        self.shared.keep(&mut found.lines);
    }
}

/// Lines to keep together.
#[derive(Default)]
struct Lines {
    lines: Vec<Line>,
    bytes: usize,
}

impl Lines {
    fn push(&mut self, line: Line) {
        self.bytes += line.1.len();
        self.lines.push(line);
    }
}

fn rule_piece(rule: &RuleInfo) -> Piece {
    let mut finding = Finding::default();
    finding.put_rule(rule, "detection");
    Piece::of(&finding)
}

fn add(tally: &mut Tally, file: u32, more: FileTally) {
    if more.events > 0 {
        let known = tally.files.entry(file).or_default();
        known.events += more.events;
        if let Some((first, last)) = more.span {
            widen(&mut known.span, first, last);
        }
    }
}

fn unit_of(open: &[OpenUnit], number: u64) -> Option<&OpenUnit> {
    let at = open.binary_search_by_key(&number, |unit| unit.number).ok()?;
    open.get(at)
}

/// Names the event for good: the log and the number that the event has there.
fn event_id(unit: &OpenUnit, view: &BatchView<'_>, row: usize) -> String {
    let (number, index) = view.place(row);
    let name = &unit.name;
    match unit.places.get(index as usize) {
        Some(Place::Line(line)) => format!("{name}#line={line}"),
        Some(Place::Byte(byte)) => format!("{name}#byte={byte}"),
        None => match view.value("winlog.record_id", row) {
            Some(record) => format!("{name}#record={record}"),
            None => format!("{name}#part={number}.{index}"),
        },
    }
}

/// Makes rows of records.
struct Rows<'a> {
    normalizer: &'a mut Normalizer,
    stream: &'a StreamName,
    peer: &'a str,
    now: UtcMicros,
    unit: u64,
    index: u32,
}

impl<'a> Rows<'a> {
    fn origin(&self) -> Origin<'a> {
        Origin {
            stream: self.stream,
            batch: self.unit,
            index: self.index,
            batch_salt: &[0; 32],
            received: self.now,
            transport: Transport::File,
            peer: self.peer,
            identity: "none",
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let origin = self.origin();
        self.normalizer.push(&origin, bytes);
        self.index += 1;
    }

    fn push_event(&mut self, event: &EventFields<'_>) {
        let origin = self.origin();
        self.normalizer.push_event(&origin, event);
        self.index += 1;
    }

    fn resume(&mut self, header: &str) {
        let origin = self.origin();
        self.normalizer.resume_layout(&origin, header);
    }
}

/// Takes the records of a chunk.
struct Chunk<'r, 'a> {
    rows: &'r mut Rows<'a>,
    tally: &'r mut FileTally,
    unit: u64,
}

impl EvtxSink for Chunk<'_, '_> {
    type Halt = Infallible;

    fn record(&mut self, json: &[u8]) -> Result<(), Infallible> {
        self.rows.push(json);
        Ok(())
    }

    fn damage(&mut self, place: Words, reason: Words) {
        self.tally.damage(self.unit, place, reason);
    }
}

impl EventSink for Chunk<'_, '_> {
    fn event(&mut self, event: &EventFields<'_>) -> Result<(), Infallible> {
        self.rows.push_event(event);
        Ok(())
    }
}
