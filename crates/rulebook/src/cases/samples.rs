//! Sample events, from files and lines to batches.

use super::Sample;
use crate::limits::{SAMPLE_EVENTS_MAX, SAMPLE_FILE_BYTES_MAX};
use crate::load::read_bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_event::{
    BatchBuilder, CommittedRun, EventBatch, FieldDictionary, Record, StreamName, Transport,
    UtcMicros,
};
use yagura_normalize::Normalizer;

/// When samples are said to be received, in microseconds: no rule may depend on today.
/// 2026-01-01T00:00:00Z.
const RECEIVED: i64 = 1_767_225_600_000_000;

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
pub(super) fn read(sample: Sample, path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let bytes = read_bytes(path, SAMPLE_FILE_BYTES_MAX)?;
    let records: Vec<Vec<u8>> = match sample {
        Sample::Evtx => {
            let settings = evtx::ParserSettings::default().num_threads(1).indent(false);
            let parser = evtx::EvtxParser::from_buffer(bytes).map_err(|error| error.to_string())?;
            let mut parser = parser.with_configuration(settings);
            let records = parser.records_json().take(SAMPLE_EVENTS_MAX + 1);
            let records: Result<_, _> =
                records.map(|record| record.map(|record| record.data.into_bytes())).collect();
            records.map_err(|error| error.to_string())?
        }
        _ => {
            let values = serde_json::Deserializer::from_slice(&bytes)
                .into_iter::<serde_json::Value>()
                .take(SAMPLE_EVENTS_MAX + 1);
            let values: Result<_, _> =
                values.map(|value| value.map(|value| value.to_string().into_bytes())).collect();
            values.map_err(|error| error.to_string())?
        }
    };
    match records.len() {
        0 => Err("it holds no event".into()),
        count if count > SAMPLE_EVENTS_MAX => Err(format!("more than {SAMPLE_EVENTS_MAX} events")),
        _ => Ok(records),
    }
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
