//! Rules and events of the corpora that `YAGURA_CORPORA` names.

use serde_json::Value;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use yagura_detect::RuleFile;
use yagura_event::{CommittedRun, EventBatch, Record, StreamName, Transport, UtcMicros};
use yagura_normalize::Normalizer;

/// Events of one file, each as the JSON text that is imported.
pub type File = Vec<String>;

/// Everything under `dir` whose name ends in one of `extensions`, in order of path.
pub fn paths(dir: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| extensions.iter().any(|x| e == *x)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// All rules of SigmaHQ.
pub fn rules(corpora: &Path) -> Vec<RuleFile> {
    let root = corpora.join("sigma");
    let sets = std::fs::read_dir(&root).into_iter().flatten().flatten().map(|set| set.path());
    let mut sets: Vec<PathBuf> = sets
        .filter(|set| set.file_name().is_some_and(|n| n.to_string_lossy().starts_with("rules")))
        .collect();
    sets.sort();
    let paths = sets.iter().flat_map(|set| paths(set, &["yml"]));
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).ok()?;
        Some(RuleFile { path: path.display().to_string(), text })
    };
    paths.filter_map(read).collect()
}

/// The events of each `.evtx` file of both collections.
pub fn evtx(corpora: &Path) -> Vec<File> {
    let dirs = ["evtx-attack-samples", "sigma-regression"];
    dirs.iter().flat_map(|dir| evtx_in(&corpora.join(dir))).collect()
}

/// The events of each `.evtx` file under `dir`.
pub fn evtx_in(dir: &Path) -> Vec<File> {
    let files = paths(dir, &["evtx"]);
    files.iter().map(|path| evtx_records(path)).filter(|file| !file.is_empty()).collect()
}

fn evtx_records(path: &Path) -> File {
    let settings = evtx::ParserSettings::default().num_threads(1).indent(false);
    let Ok(parser) = evtx::EvtxParser::from_path(path) else { return Vec::new() };
    let mut parser = parser.with_configuration(settings);
    parser.records_json().filter_map(|record| record.ok()).map(|record| record.data).collect()
}

/// The events of each `.json` file of SigmaHQ's regression cases.
pub fn json(corpora: &Path) -> Vec<File> {
    let files = paths(&corpora.join("sigma-regression"), &["json"]);
    let read = |path: &PathBuf| {
        let mut records = Vec::new();
        if let Ok(file) = std::fs::File::open(path) {
            json_values(file, &mut records);
        }
        records
    };
    files.iter().map(read).filter(|file| !file.is_empty()).collect()
}

/// The events of each archive of OTRF's Security-Datasets.
pub fn otrf(corpora: &Path) -> Vec<File> {
    otrf_each(corpora, 1)
}

/// The events of every `step`th archive.
pub fn otrf_each(corpora: &Path, step: usize) -> Vec<File> {
    let files = paths(&corpora.join("otrf"), &["zip", "gz"]);
    let files = files.iter().step_by(step).map(|path| archive(path));
    files.filter(|file| !file.is_empty()).collect()
}

/// The lines of each log of Loghub.
pub fn loghub(corpora: &Path) -> Vec<File> {
    let lines = |path: &PathBuf| -> File {
        let bytes = std::fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let files = paths(&corpora.join("loghub"), &["log"]);
    files.iter().map(lines).filter(|file| !file.is_empty()).collect()
}

fn archive(path: &Path) -> File {
    let Ok(bytes) = std::fs::read(path) else { return Vec::new() };
    let mut records = Vec::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(Cursor::new(bytes)));
        for entry in tar.entries().into_iter().flatten().flatten() {
            json_values(entry, &mut records);
        }
    } else if let Ok(mut zip) = zip::ZipArchive::new(Cursor::new(bytes)) {
        for number in 0..zip.len() {
            if let Ok(entry) = zip.by_index(number) {
                json_values(entry, &mut records);
            }
        }
    }
    records
}

fn json_values(mut entry: impl Read, records: &mut File) {
    let mut text = Vec::new();
    if entry.read_to_end(&mut text).is_err() {
        return;
    }
    let values = serde_json::Deserializer::from_slice(&text).into_iter::<Value>();
    for value in values.map_while(Result::ok) {
        // Some files are one list, or one object that holds a list.
        match value {
            Value::Array(list) => records.extend(list.iter().map(Value::to_string)),
            Value::Object(mut object) => match object.remove("Records") {
                Some(Value::Array(list)) => records.extend(list.iter().map(Value::to_string)),
                Some(other) => records.push(other.to_string()),
                None => records.push(Value::Object(object).to_string()),
            },
            _ => {}
        }
    }
}

/// Events as batches: those of each file by themselves, or of `rows_max` events whatever file
/// they come from.
pub fn batches(files: &[File], rows_max: Option<usize>) -> Vec<EventBatch> {
    let dictionary = Normalizer::embedded_dictionary();
    let mut normalizer = Normalizer::new(dictionary).expect("the content is tested");
    let mut batches = Vec::new();
    match rows_max {
        None => files.iter().for_each(|file| one_run(&mut normalizer, file, &mut batches)),
        Some(rows_max) => {
            let all: Vec<String> = files.iter().flatten().cloned().collect();
            all.chunks(rows_max).for_each(|run| one_run(&mut normalizer, run, &mut batches));
        }
    }
    batches
}

fn one_run(normalizer: &mut Normalizer, records: &[String], batches: &mut Vec<EventBatch>) {
    let records = records.iter().map(|text| Record {
        received: UtcMicros::from_micros(1_764_229_210_165_324),
        transport: Transport::File,
        peer: "corpora".into(),
        identity: "none".into(),
        bytes: text.clone().into(),
    });
    let run = CommittedRun {
        stream: StreamName::new("corpora").expect("a valid name"),
        batch: 1,
        batch_salt: [0; 32],
        first_index: 0,
        records: records.collect(),
    };
    normalizer.normalize(&run);
    batches.extend(normalizer.take_batches());
}
