//! Correlations over all files together. Files come in any order, so the matches that correlations
//! count are kept, sorted by time like findings, and counted when everything was read: no event comes
//! late, and what a correlator holds stays small.

use crate::ScanError;
use crate::limits::{
    ALERTS_OPEN_MAX, CORRELATED_ROWS_MAX, CORRELATION_STATE_BYTES, HITS_TOGETHER_MICROS,
};
use crate::report::FileSummary;
use crate::row::{BatchView, Finding};
use crate::store::{Key, Sorted};
use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use yagura_detect::{
    CorrelationMatch, Correlator, CorrelatorOptions, Match, Notice, RuleInfo, Ruleset,
};
use yagura_event::{EventBatch, EventId, FieldDictionary, Lang, Level, columns};
use yagura_intake::import::{FileKind, Place};

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
}

/// A finding of a correlation: its place in the timeline but for the rule's number, its rule, and the
/// finding.
pub(crate) type Found = (Key, Arc<RuleInfo>, Finding);

impl Counting<'_> {
    /// What correlations find, and what they had to leave out.
    pub fn run(
        &self,
        hits: &mut Sorted,
        keep: &mut dyn FnMut(Found) -> Result<(), ScanError>,
    ) -> Result<Vec<Notice>, ScanError> {
        let options = CorrelatorOptions {
            allowance_micros: Some(HITS_TOGETHER_MICROS),
            state_bytes_max: CORRELATION_STATE_BYTES,
        };
        let mut correlator = Correlator::new(self.ruleset.clone(), options);
        let mut alerts = Alerts::default();
        let mut rows: BTreeMap<Arc<str>, Rows> = BTreeMap::new();
        let (mut count, mut since) = (0, i64::MIN);
        let mut merge = hits.read()?;
        while let Some((key, hit)) = merge.next().map_err(ScanError::Spill)? {
            let damaged = |error: serde_json::Error| ScanError::Spill(error.into());
            let hit: Hit = serde_json::from_slice(hit).map_err(damaged)?;
            let Some(rule) = self.rules.get(key.rule as usize) else { continue };
            // Batches are of one dataset each; within the allowance their order does not matter.
            let apart = key.time.saturating_sub(since) > HITS_TOGETHER_MICROS;
            if count > 0 && (apart || count >= CORRELATED_ROWS_MAX) {
                self.observe(&mut correlator, &mut rows, &mut alerts);
                self.close(&mut alerts, ALERTS_OPEN_MAX, keep)?;
                count = 0;
            }
            if count == 0 {
                since = key.time;
            }
            count += 1;
            rows.entry(hit.dataset.clone()).or_default().push(key, hit, rule);
        }
        self.observe(&mut correlator, &mut rows, &mut alerts);
        alerts.take(correlator.finish());
        self.close(&mut alerts, 0, keep)?;
        Ok(correlator.take_notices())
    }

    fn observe(
        &self,
        correlator: &mut Correlator,
        rows: &mut BTreeMap<Arc<str>, Rows>,
        alerts: &mut Alerts,
    ) {
        for (dataset, rows) in std::mem::take(rows) {
            let (batch, matches) = rows.into_batch(dataset);
            alerts.take(correlator.observe(&batch, &matches));
        }
    }

    /// Keeps alerts until no more than `open` wait for news, the oldest first.
    fn close(
        &self,
        alerts: &mut Alerts,
        open: usize,
        keep: &mut dyn FnMut(Found) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        while alerts.open.len() > open {
            let Some((_, (found, number))) = alerts.open.pop_first() else { break };
            if found.rule.level >= self.min_level {
                keep(self.finding(&found, number))?;
            }
        }
        Ok(())
    }

    fn finding(&self, found: &CorrelationMatch, number: u64) -> Found {
        let name = |id: &EventId| event_name(id, self.files);
        let mut finding = Finding::default();
        finding.put(columns::TIMESTAMP, found.last.to_string());
        finding.put("message", found.sentence(self.dictionary, self.lang));
        finding.put_rule(&found.rule, "correlation");
        if let Some(trigger) = &found.trigger {
            let file = self.files.get(trigger.index as usize);
            finding.put_text("log.file.path", file.map(|file| file.path.as_str()));
            finding.put("event.id", name(trigger));
        }
        finding.put("event.dataset", &*found.dataset);
        finding.put("event.start", found.first.to_string());
        finding.put("event.end", found.last.to_string());
        finding.put("event.count", found.events);
        finding.put_text("host.name", found.host.as_deref());
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
        // After every event of its instant.
        let time = found.last.as_micros();
        let index = u32::try_from(number).unwrap_or(u32::MAX);
        let key = Key { time, unit: u64::MAX, index, rule: u32::MAX };
        (key, found.rule.clone(), finding)
    }
}

/// The newest state of each alert, by the order in which they were raised.
#[derive(Default)]
struct Alerts {
    open: BTreeMap<u64, (CorrelationMatch, u64)>,
}

impl Alerts {
    fn take(&mut self, told: Vec<CorrelationMatch>) {
        for found in told {
            let number = found.episode;
            self.open.insert(number, (found, number));
        }
    }
}

/// Rows of one dataset.
#[derive(Default)]
struct Rows {
    last: Option<(u64, u32)>,
    times: Vec<i64>,
    places: Vec<i64>,
    files: Vec<i64>,
    cells: Vec<BTreeMap<String, String>>,
    matches: Vec<Match>,
}

impl Rows {
    fn push(&mut self, key: Key, hit: Hit, rule: &Arc<RuleInfo>) {
        // An event that several rules match is one row.
        if self.last != Some((key.unit, key.index)) {
            self.last = Some((key.unit, key.index));
            self.times.push(key.time);
            self.places.push(i64::try_from(hit.place).unwrap_or(i64::MAX));
            self.files.push(i64::from(hit.file));
            self.cells.push(hit.cells);
        }
        let row = self.times.len().saturating_sub(1);
        self.matches.push(Match { row, rule: rule.clone(), evidence: Vec::new() });
    }

    /// The rows with time, place and cells. They count as received when they happened: then what is
    /// over can be forgotten.
    fn into_batch(self, dataset: Arc<str>) -> (EventBatch, Vec<Match>) {
        let rows = self.times.len();
        let times: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(self.times).with_timezone("UTC"));
        let stream: ArrayRef = Arc::new(StringArray::from(vec!["import/scan"; rows]));
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
