//! Shared by the tests and the measurement.
#![allow(dead_code, reason = "each uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

use std::io::Read;
use std::path::{Path, PathBuf};
use yagura_event::{CommittedRun, EventBatch, Record, StreamName, Transport};
use yagura_normalize::Normalizer;

/// The corpora; `None` (and a word about it) where a developer has none.
pub fn corpora() -> Option<PathBuf> {
    match std::env::var_os("YAGURA_CORPORA") {
        Some(path) => Some(path.into()),
        None if std::env::var_os("CI").is_some() => panic!("CI must set YAGURA_CORPORA"),
        None => {
            println!("skipped: set YAGURA_CORPORA");
            None
        }
    }
}

/// Files below `folder` with this extension, sorted.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no .{extension} in {}", folder.display());
    found
}

/// The lines of one in `step` recordings of Windows events.
pub fn otrf(corpora: &Path, step: usize) -> impl Iterator<Item = Vec<Vec<u8>>> {
    files(&corpora.join("otrf"), "zip").into_iter().step_by(step).map(|path| {
        let mut zip = zip::ZipArchive::new(std::fs::File::open(&path).unwrap()).unwrap();
        let mut lines = Vec::new();
        for number in 0..zip.len() {
            let mut member = zip.by_index(number).unwrap();
            let name = member.name().unwrap().into_owned();
            if name.contains("__MACOSX") || !name.ends_with(".json") {
                continue;
            }
            let mut content = Vec::new();
            member.read_to_end(&mut content).unwrap();
            lines.extend(lines_of(&content));
        }
        lines
    })
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
    logs.into_iter().map(|path| {
        let settings = evtx::ParserSettings::new().num_threads(1);
        let mut parser = evtx::EvtxParser::from_path(&path).unwrap().with_configuration(settings);
        parser.records_json().filter_map(|record| Some(record.ok()?.data.into())).collect()
    })
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
