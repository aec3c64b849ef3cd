//! Correlations over all files together. Files come in any order, so the matches that correlations
//! count are kept, sorted by time like findings, and counted when everything was read: no event comes
//! late, and what a correlator holds stays small. What is told of alerts is kept likewise, sorted by
//! alert, for only the last news of each make a finding.

mod hosts;

use crate::ScanError;
use crate::limits::{CORRELATED_BYTES_MAX, CORRELATED_ROWS_MAX, HITS_TOGETHER_MICROS};
use crate::report::FileSummary;
use crate::row::{BatchView, Finding};
use crate::store::{Key, Sorted, Store};
use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use yagura_detect::{
    CorrelationMatch, Correlator, CorrelatorOptions, Match, News, Notice, RuleInfo, Ruleset,
};
use yagura_event::{EventBatch, EventId, FieldDictionary, Lang, Level, columns};
use yagura_intake::import::{FileKind, Place};

use hosts::Hosts;

/// A match that a correlation counts: all that is kept of its event.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hit {
    #[serde(rename = "d")]
    dataset: Arc<str>,
    /// The log, and where in it the event is: see [`place_number`].
    #[serde(rename = "f")]
    file: u32,
    #[serde(rename = "p")]
    place: u64,
    /// The columns that correlations read.
    #[serde(rename = "c")]
    cells: BTreeMap<String, String>,
}

/// Which columns are to be kept, by dataset.
#[derive(Debug, Default)]
pub(crate) struct Columns(HashMap<Arc<str>, Arc<[String]>>);

impl Columns {
    fn of(&mut self, ruleset: &Ruleset, dataset: &Arc<str>) -> Arc<[String]> {
        if let Some(known) = self.0.get(dataset) {
            return known.clone();
        }
        let columns: Arc<[String]> = ruleset.correlated_columns(dataset).into_iter().collect();
        self.0.insert(dataset.clone(), columns.clone());
        columns
    }

    /// The hit of a match on `row`.
    pub fn hit(
        &mut self,
        ruleset: &Ruleset,
        view: &BatchView<'_>,
        row: usize,
        file: u32,
        place: Option<Place>,
    ) -> Hit {
        let dataset = view.dataset();
        let columns = self.of(ruleset, dataset);
        let cells = columns.iter().filter_map(|name| {
            let value = view.value(name, row)?;
            Some((name.clone(), value.into_owned()))
        });
        let place = match place {
            Some(place) => place_number(place),
            None => {
                let record = view.value("winlog.record_id", row);
                record.and_then(|record| record.parse().ok()).unwrap_or_default()
            }
        };
        Hit { dataset: dataset.clone(), file, place, cells: cells.collect() }
    }
}

/// A place as a number; what it counts follows from the kind of the log.
fn place_number(place: Place) -> u64 {
    match place {
        Place::Line(number) | Place::Byte(number) => number,
    }
}

/// The name of an event in `files`.
fn event_name(id: &EventId, files: &[FileSummary]) -> String {
    let file = files.get(id.index as usize);
    let (path, kind) = file.map_or(("?", None), |file| (file.path.as_str(), file.kind));
    let what = match kind {
        Some(FileKind::Evtx) => "record",
        Some(FileKind::JsonArray | FileKind::JsonObjects | FileKind::XmlEvents) => "byte",
        _ => "line",
    };
    format!("{path}#{what}={}", id.batch)
}

/// Counts what was kept, and gives `keep` each finding.
pub(crate) struct Counting<'a> {
    pub ruleset: &'a Arc<Ruleset>,
    /// The rules, as hits number them.
    pub rules: &'a [Arc<RuleInfo>],
    pub files: &'a [FileSummary],
    pub lang: Lang,
    pub min_level: Level,
    pub dictionary: &'a FieldDictionary,
    /// Bytes that the correlator may hold.
    pub state_bytes_max: usize,
}

/// A finding of a correlation: its place in the timeline, its rule, and the finding.
pub(crate) type Found = (Key, Arc<RuleInfo>, Finding);

impl Counting<'_> {
    /// What correlations find, and what they had to leave out. `news` takes what is told of alerts
    /// until the end.
    pub fn run(
        &self,
        hits: &mut Sorted,
        mut news: Store,
        keep: &mut dyn FnMut(Found) -> Result<(), ScanError>,
    ) -> Result<Vec<Notice>, ScanError> {
        let options = CorrelatorOptions {
            allowance_micros: Some(HITS_TOGETHER_MICROS),
            state_bytes_max: self.state_bytes_max,
        };
        let mut correlator = Correlator::new(self.ruleset.clone(), options);
        let mut hosts = Hosts::default();
        let mut rows: BTreeMap<Arc<str>, Rows> = BTreeMap::new();
        let mut together = Together::default();
        let mut told = 0;
        let mut merge = hits.read()?;
        while let Some((key, hit)) = merge.next().map_err(ScanError::Spill)? {
            let bytes = hit.len();
            let damaged = |error: serde_json::Error| ScanError::Spill(error.into());
            let hit: Hit = serde_json::from_slice(hit).map_err(damaged)?;
            let Some(rule) = self.rules.get(key.rule as usize) else { continue };
            // Batches are of one dataset each; within the allowance their order does not matter.
            if !together.takes(key.time, bytes) {
                let found = observe(&mut correlator, &mut rows);
                self.tell(found, &hosts, &mut news, &mut told)?;
            }
            let stream = hosts.stream(hit.cells.get("host.name").map(String::as_str));
            rows.entry(hit.dataset.clone()).or_default().push(key, hit, rule, stream);
        }
        let mut found = observe(&mut correlator, &mut rows);
        found.extend(correlator.finish());
        self.tell(found, &hosts, &mut news, &mut told)?;
        self.last_news(news, keep)?;
        Ok(correlator.take_notices())
    }

    /// Keeps what is told of alerts; `told` counts it.
    fn tell(
        &self,
        found: Vec<CorrelationMatch>,
        hosts: &Hosts,
        news: &mut Store,
        told: &mut u64,
    ) -> Result<(), ScanError> {
        for found in found {
            // News without an event would take the place of those with.
            let is_empty = found.news == News::Updated && found.event_ids.is_empty();
            if is_empty || found.rule.level < self.min_level {
                continue;
            }
            // They come last.
            let is_rule = |rule: &Arc<RuleInfo>| rule.id == found.rule.id;
            let Some(rule) = self.rules.iter().rposition(is_rule) else { continue };
            // Proof: episodes count up from 1, and rules are limited to fewer than 2^32.
            let time = i64::try_from(found.episode).unwrap_or(i64::MAX);
            let key =
                Key { time, unit: *told, index: 0, rule: rule.try_into().unwrap_or(u32::MAX) };
            *told += 1;
            // Proof: the keys are text, and no value is a map with other keys.
            let line = serde_json::to_vec(&self.finding(&found, hosts)).unwrap_or_default();
            news.push(key, line.into())?;
        }
        Ok(())
    }

    /// Gives `keep` the last news of each alert.
    fn last_news(
        &self,
        news: Store,
        keep: &mut dyn FnMut(Found) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        let mut keep_line = |(key, line): &(Key, Vec<u8>)| {
            let damaged = |error: serde_json::Error| ScanError::Spill(error.into());
            let finding: Finding = serde_json::from_slice(line).map_err(damaged)?;
            let Some(rule) = self.rules.get(key.rule as usize) else { return Ok(()) };
            // After every event of its instant.
            let time = finding.timestamp().as_micros();
            let index = u32::try_from(key.time).unwrap_or(u32::MAX);
            keep((Key { time, unit: u64::MAX, index, rule: key.rule }, rule.clone(), finding))
        };
        let mut sorted = news.finish();
        let mut merge = sorted.read()?;
        let mut last: Option<(Key, Vec<u8>)> = None;
        while let Some((key, line)) = merge.next().map_err(ScanError::Spill)? {
            if let Some(last) = last.as_ref().filter(|(last, _)| last.time != key.time) {
                keep_line(last)?;
            }
            let mut memory = last.take().map(|(_, memory)| memory).unwrap_or_default();
            memory.clear();
            memory.extend_from_slice(line);
            last = Some((key, memory));
        }
        last.iter().try_for_each(keep_line)
    }

    fn finding(&self, found: &CorrelationMatch, hosts: &Hosts) -> Finding {
        let name = |id: &EventId| event_name(id, self.files);
        let mut finding = Finding::default();
        finding.put(columns::TIMESTAMP, found.last.to_string());
        finding.put("message", found.sentence(self.dictionary, self.lang));
        finding.put_rule(&found.rule, "correlation");
        let trigger = found.trigger.as_ref();
        let file = trigger.and_then(|trigger| self.files.get(trigger.index as usize));
        finding.put("log.file.path", file.map(|file| file.path.as_str()));
        finding.put("event.id", trigger.map(name));
        let host = trigger.and_then(|trigger| hosts.of(&trigger.stream));
        finding.put("host.name", host.or(found.host.as_deref()));
        finding.put("event.dataset", &*found.dataset);
        finding.put("event.start", found.first.to_string());
        finding.put("event.end", found.last.to_string());
        finding.put("event.count", found.events);
        finding.put_text("user.name", found.user.as_deref());
        finding.put_text("source.ip", found.source_ip.as_deref());
        for (column, value) in &found.group {
            finding.put(column.to_string(), value.as_str());
        }
        let ids: Vec<String> = found.event_ids.iter().map(name).collect();
        finding.put("related.events", ids);
        let rules = found.rules.iter().map(|(rule, count)| {
            serde_json::json!({
                "rule.uuid": rule.id,
                "rule.name": rule.title_in(self.lang),
                "event.count": count,
            })
        });
        finding.put("related.rules", serde_json::Value::Array(rules.collect()));
        finding.put_evidence(&found.evidence);
        finding
    }
}

/// Which hits are counted at once: so few that they are held in memory, and near in time.
#[derive(Default)]
struct Together {
    since: Option<i64>,
    rows: usize,
    bytes: usize,
}

impl Together {
    /// Whether a hit joins those before; if not, it is the first of the next.
    fn takes(&mut self, time: i64, bytes: usize) -> bool {
        let joins = self.since.is_none_or(|since| {
            time.saturating_sub(since) <= HITS_TOGETHER_MICROS
                && self.rows < CORRELATED_ROWS_MAX
                && self.bytes.saturating_add(bytes) <= CORRELATED_BYTES_MAX
        });
        if !joins {
            *self = Together::default();
        }
        self.since.get_or_insert(time);
        self.rows += 1;
        self.bytes += bytes;
        joins
    }
}

fn observe(
    correlator: &mut Correlator,
    rows: &mut BTreeMap<Arc<str>, Rows>,
) -> Vec<CorrelationMatch> {
    let mut found = Vec::new();
    for (dataset, rows) in std::mem::take(rows) {
        let (batch, matches) = rows.into_batch(dataset);
        found.extend(correlator.observe(&batch, &matches));
    }
    found
}

/// Rows of one dataset.
#[derive(Default)]
struct Rows {
    last: Option<(u64, u32)>,
    times: Vec<i64>,
    places: Vec<i64>,
    files: Vec<i64>,
    streams: Vec<Arc<str>>,
    cells: Vec<BTreeMap<String, String>>,
    matches: Vec<Match>,
}

impl Rows {
    fn push(&mut self, key: Key, hit: Hit, rule: &Arc<RuleInfo>, stream: Arc<str>) {
        // An event that several rules match is one row.
        if self.last != Some((key.unit, key.index)) {
            self.last = Some((key.unit, key.index));
            self.times.push(key.time);
            self.places.push(i64::try_from(hit.place).unwrap_or(i64::MAX));
            self.files.push(i64::from(hit.file));
            self.streams.push(stream);
            self.cells.push(hit.cells);
        }
        let row = self.times.len().saturating_sub(1);
        self.matches.push(Match { row, rule: rule.clone(), evidence: Vec::new() });
    }

    /// The rows with time, place and cells. They count as received when they happened: then what is
    /// over can be forgotten.
    fn into_batch(self, dataset: Arc<str>) -> (EventBatch, Vec<Match>) {
        let times: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(self.times).with_timezone("UTC"));
        let stream: ArrayRef = Arc::new(StringArray::from_iter_values(&self.streams));
        let mut arrays: Vec<(String, ArrayRef)> = vec![
            (columns::TIMESTAMP.to_owned(), times.clone()),
            (columns::INGESTED.to_owned(), times),
            (columns::STREAM.to_owned(), stream),
            (columns::BATCH.to_owned(), Arc::new(Int64Array::from(self.places))),
            (columns::INDEX.to_owned(), Arc::new(Int64Array::from(self.files))),
        ];
        let mut names: Vec<String> = self.cells.iter().flat_map(|c| c.keys().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let mut column = StringBuilder::new();
            self.cells.iter().for_each(|cells| column.append_option(cells.get(&name)));
            arrays.push((name, Arc::new(column.finish())));
        }
        let fields: Vec<Field> = arrays
            .iter()
            .map(|(name, array)| Field::new(name, array.data_type().clone(), true))
            .collect();
        let arrays = arrays.into_iter().map(|(_, array)| array).collect();
        let columns =
            RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap_or_else(|error| {
                unreachable!("every column has a value or null a row: {error}")
            });
        (EventBatch { dataset, columns }, self.matches)
    }
}

#[cfg(test)]
mod tests;
