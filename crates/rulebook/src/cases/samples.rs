//! Sample events, from files and lines to batches.

use super::Sample;
use crate::limits::{SAMPLE_EVENTS_MAX, SAMPLE_FILE_BYTES_MAX};
use crate::load::read_bytes;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_event::{
    BatchBuilder, CommittedRun, EventBatch, FieldDictionary, Record, StreamName, Transport,
    UtcMicros, Words,
};
use yagura_normalize::Normalizer;

/// When samples are said to be received, in microseconds: no rule may depend on today.
/// 2026-11-21T09:00:00Z.
const RECEIVED: i64 = 1_795_251_600_000_000;

/// How long before that a series of events begins, in microseconds: an hour.
const SERIES_BEFORE: i64 = 3_600_000_000;

/// Records read together.
const RUN_RECORDS_MAX: usize = 4_096;

/// The samples of one test of SigmaHQ's: the file it names and the same events in the other format,
/// both beside the `info.yml` at `path`.
pub(super) fn of_test(path: &Path, named: Option<&str>) -> Vec<(Sample, PathBuf)> {
    let Some(folder) = path.parent() else { return Vec::new() };
    // Only the last part counts: it names a place in their repository.
    let Some(stem) = named.and_then(|named| Path::new(named).file_stem()) else {
        return Vec::new();
    };
    [(Sample::Evtx, "evtx"), (Sample::Json, "json")]
        .into_iter()
        .map(|(sample, end)| (sample, folder.join(stem).with_extension(end)))
        .filter(|(_, file)| file.is_file())
        .collect()
}

/// Every event of a file as the text it would be received as.
pub(super) fn read(sample: Sample, path: &Path) -> Result<Vec<Vec<u8>>, Words> {
    let bytes = read_bytes(path, SAMPLE_FILE_BYTES_MAX)?;
    let records: Vec<Vec<u8>> = match sample {
        Sample::Evtx => {
            let settings = evtx::ParserSettings::default().num_threads(1).indent(false);
            let parser = evtx::EvtxParser::from_buffer(bytes)
                .map_err(|error| Words::quoted(error.to_string()))?;
            let mut parser = parser.with_configuration(settings);
            let records = parser.records_json().take(SAMPLE_EVENTS_MAX + 1);
            let records: Result<_, _> =
                records.map(|record| record.map(|record| record.data.into_bytes())).collect();
            records.map_err(|error| Words::quoted(error.to_string()))?
        }
        _ => {
            let values = serde_json::Deserializer::from_slice(&bytes)
                .into_iter::<serde_json::Value>()
                .take(SAMPLE_EVENTS_MAX + 1);
            let values: Result<_, _> =
                values.map(|value| value.map(|value| value.to_string().into_bytes())).collect();
            values.map_err(|error| Words::quoted(error.to_string()))?
        }
    };
    match records.len() {
        0 => Err(Words::new("it holds no event", "イベントがありません")),
        count if count > SAMPLE_EVENTS_MAX => Err(too_many()),
        _ => Ok(records),
    }
}

fn too_many() -> Words {
    Words::new(
        format!("more than {SAMPLE_EVENTS_MAX} events"),
        format!("イベントが{SAMPLE_EVENTS_MAX}件を超えています"),
    )
}

/// The events of received texts.
pub(super) fn batches(
    normalizer: &mut Normalizer,
    stream: &StreamName,
    records: Vec<Vec<u8>>,
) -> Vec<EventBatch> {
    let mut batches = Vec::new();
    for part in records.chunks(RUN_RECORDS_MAX) {
        normalizer.normalize(&run(stream, part));
        batches.extend(normalizer.take_batches());
    }
    batches
}

/// One event of `dataset` with these fields.
pub(super) fn of_fields(
    dataset: &str,
    stream: &StreamName,
    dictionary: Arc<FieldDictionary>,
    fields: &BTreeMap<String, String>,
) -> Vec<EventBatch> {
    let run = run(stream, &[Vec::new()]);
    let mut builder = BatchBuilder::new(dataset, dictionary);
    for record in &run.records {
        builder.begin_row(&run, 0, record);
        for (name, value) in fields {
            builder.set(name, value);
        }
    }
    builder.finish().into_iter().collect()
}

/// The same event again and again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Series {
    /// The event as received, with `{t}` for its time and `{n}` for its number; or else `dataset`
    /// and `fields`.
    raw: Option<String>,
    dataset: Option<String>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    /// Fields that differ from event to event, with `{n}` for its number.
    #[serde(default)]
    vary: BTreeMap<String, String>,
    /// Seconds after the beginning.
    #[serde(default)]
    at: f64,
    /// How many.
    #[serde(default = "one")]
    count: u32,
    /// Seconds between two.
    #[serde(default)]
    every: f64,
}

fn one() -> u32 {
    1
}

impl Series {
    fn time(&self, number: u32) -> UtcMicros {
        let seconds = self.at + self.every * f64::from(number);
        UtcMicros::from_micros(RECEIVED - SERIES_BEFORE + (seconds * 1e6) as i64)
    }

    fn event(
        &self,
        number: u32,
        index: u32,
        normalizer: &mut Normalizer,
        stream: &StreamName,
    ) -> Result<Vec<EventBatch>, Words> {
        let fill = |text: &str| {
            let number = (u64::from(number) + 1).to_string();
            text.replace("{n}", &number)
        };
        match (&self.raw, &self.dataset) {
            (Some(line), None) => {
                let line = fill(line).replace("{t}", &self.time(number).to_string());
                let mut run = run(stream, &[line.into_bytes()]);
                run.first_index = index;
                normalizer.normalize(&run);
                Ok(normalizer.take_batches())
            }
            (None, Some(dataset)) => {
                let run = run(stream, &[Vec::new()]);
                let mut builder = BatchBuilder::new(dataset, normalizer.dictionary().clone());
                for record in &run.records {
                    builder.begin_row(&run, index, record);
                    builder.set_time(self.time(number));
                    let fixed =
                        self.fields.iter().filter(|(name, _)| !self.vary.contains_key(*name));
                    fixed.for_each(|(name, value)| builder.set(name, value));
                    self.vary.iter().for_each(|(name, value)| builder.set(name, &fill(value)));
                }
                Ok(builder.finish().into_iter().collect())
            }
            _ => Err(Words::new(
                "a series has either raw, or dataset and fields",
                "events には raw か、dataset と fields を書いてください",
            )),
        }
    }
}

/// The events of several series, one batch each, in the order they are written.
pub(super) fn of_series(
    normalizer: &mut Normalizer,
    stream: &StreamName,
    series: &[Series],
) -> Result<Vec<EventBatch>, Words> {
    let events = series.iter().map(|series| u64::from(series.count)).sum::<u64>();
    if events > SAMPLE_EVENTS_MAX as u64 {
        return Err(too_many());
    }
    let mut batches = Vec::new();
    let mut index = 0;
    for series in series {
        for number in 0..series.count {
            batches.extend(series.event(number, index, normalizer, stream)?);
            index += 1;
        }
    }
    Ok(batches)
}

fn run(stream: &StreamName, records: &[Vec<u8>]) -> CommittedRun {
    let record = |bytes: &Vec<u8>| Record {
        received: UtcMicros::from_micros(RECEIVED),
        transport: Transport::File,
        peer: "sample".into(),
        identity: "none".into(),
        bytes: bytes.clone().into(),
    };
    CommittedRun {
        stream: stream.clone(),
        batch: 1,
        batch_salt: [0; 32],
        first_index: 0,
        records: records.iter().map(record).collect(),
    }
}
