//! Shared by the tests and the measurement.
#![allow(dead_code, reason = "each uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

mod recorded;

pub use recorded::{corpora, event_log, files, zipped};
use std::path::Path;
use yagura_event::{CommittedRun, EventBatch, Record, StreamName, Transport};
use yagura_normalize::Normalizer;

/// The lines of one in `step` recordings of Windows events.
pub fn otrf(corpora: &Path, step: usize) -> impl Iterator<Item = Vec<Vec<u8>>> {
    let archives = files(&corpora.join("otrf"), "zip").into_iter().step_by(step);
    archives.map(|path| zipped(&path).iter().flat_map(|content| lines_of(content)).collect())
}

/// The lines of each system of loghub.
pub fn loghub(corpora: &Path) -> impl Iterator<Item = Vec<Vec<u8>>> {
    files(&corpora.join("loghub"), "log")
        .into_iter()
        .map(|path| lines_of(&std::fs::read(path).unwrap()))
}

/// The records of each event log, as JSON text.
pub fn evtx(corpora: &Path) -> impl Iterator<Item = Vec<Vec<u8>>> {
    let mut logs = files(&corpora.join("evtx-attack-samples"), "evtx");
    logs.extend(files(&corpora.join("sigma-regression"), "evtx"));
    logs.into_iter().map(|path| event_log(&path).unwrap())
}

fn lines_of(content: &[u8]) -> Vec<Vec<u8>> {
    let lines = content.split(|byte| *byte == b'\n');
    lines.filter(|line| !line.trim_ascii().is_empty()).map(<[u8]>::to_vec).collect()
}

pub fn normalizer() -> Normalizer {
    Normalizer::new(Normalizer::embedded_dictionary()).unwrap()
}

/// The rows of `lines`, received together.
pub fn rows(normalizer: &mut Normalizer, lines: &[Vec<u8>], first: u32) -> Vec<EventBatch> {
    let record = |bytes: &Vec<u8>| Record {
        received: "2026-11-21T12:00:00Z".parse().unwrap(),
        transport: Transport::SyslogTcp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: bytes.clone().into(),
    };
    normalizer.normalize(&CommittedRun {
        stream: StreamName::new("test").unwrap(),
        batch: 1,
        batch_salt: [0; 32],
        first_index: first,
        records: lines.iter().map(record).collect(),
    });
    normalizer.take_batches()
}
