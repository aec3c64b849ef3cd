//! Recorded logs as they lie in the corpora.
#![allow(dead_code, reason = "each uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

use std::io::Read;
use std::path::{Path, PathBuf};

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

/// Whether a member of an archive is a recording: other systems leave things of their own there.
pub fn is_recording(name: &str) -> bool {
    !name.contains("__MACOSX") && name.ends_with(".json")
}

/// The recordings of a zip archive.
pub fn zipped(path: &Path) -> Vec<Vec<u8>> {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut contents = Vec::new();
    for number in 0..zip.len() {
        let mut member = zip.by_index(number).unwrap();
        if is_recording(&member.name().unwrap()) {
            let mut content = Vec::new();
            member.read_to_end(&mut content).unwrap();
            contents.push(content);
        }
    }
    contents
}

/// The records of an event log as JSON text, those that can be read; `None` for what is none.
pub fn event_log(path: &Path) -> Option<Vec<Vec<u8>>> {
    let settings = evtx::ParserSettings::new().num_threads(1);
    let mut parser = evtx::EvtxParser::from_path(path).ok()?.with_configuration(settings);
    Some(parser.records_json().filter_map(|record| Some(record.ok()?.data.into())).collect())
}
