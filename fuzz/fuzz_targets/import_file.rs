//! Any bytes as a file to import (EVTX, JSON, text, gz, zst, zip, tar): an import that was cut short
//! and then repeated gives exactly what one in a single go gives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock, Mutex};
use yagura_event::{ManualClock, Record, StreamName, UtcMicros};
use yagura_fuzz::scratch_dir;
use yagura_intake::SinkError;
use yagura_intake::import::{Import, ImportOptions, ImportReport, ImportSink, plan};
use yagura_intake::limits::IMPORT_RECORD_BYTES_MAX;

static DIR: LazyLock<PathBuf> = LazyLock::new(|| scratch_dir("import_file"));

fuzz_target!(|bytes: &[u8]| {
    let Some((kept, file)) = bytes.split_first() else { return };
    let path = DIR.join("file");
    std::fs::write(&path, file).unwrap();
    let full = Store::default();
    let report = import(&path, &full);
    let streams = full.streams.into_inner().unwrap();
    let records = streams.values().map(Vec::len).sum::<usize>() as u64;
    assert_eq!(report.records_added(), records);
    for record in streams.values().flatten() {
        assert!(!record.bytes.is_empty() && record.bytes.len() <= IMPORT_RECORD_BYTES_MAX);
    }
    // What was durable when the power went: a prefix of every stream.
    let prefix = |records: &Vec<Record>| records[..records.len().min(usize::from(*kept))].to_vec();
    let torn = streams.iter().map(|(name, records)| (name.clone(), prefix(records))).collect();
    let resumed = Store { streams: Mutex::new(torn) };
    let second = import(&path, &resumed);
    assert_eq!(*resumed.streams.lock().unwrap(), streams, "nothing twice, nothing missing");
    assert_eq!(import(&path, &resumed).records_added(), 0, "importing again adds nothing");
    assert!(second.records_added() <= records);
});

fn import(path: &std::path::Path, store: &Store) -> ImportReport {
    let options = ImportOptions {
        expanded_bytes_max: 4 * 1024 * 1024,
        archive_members_max: 64,
        spool_dir: Some(DIR.clone()),
        clock: Arc::new(ManualClock::at(UtcMicros::default())),
        ..ImportOptions::default()
    };
    Import::run(&plan(&[path.to_owned()]), store, &(), &options, &AtomicBool::new(false))
}

/// Keeps everything, in memory.
#[derive(Default)]
struct Store {
    streams: Mutex<BTreeMap<StreamName, Vec<Record>>>,
}

impl ImportSink for Store {
    fn append(&self, stream: &StreamName, records: Vec<Record>) -> Result<(), SinkError> {
        self.streams.lock().unwrap().entry(stream.clone()).or_default().extend(records);
        Ok(())
    }

    fn stream_records(&self, stream: &StreamName) -> Result<u64, SinkError> {
        Ok(self.streams.lock().unwrap().get(stream).map_or(0, Vec::len) as u64)
    }

    fn seal(&self, _: &StreamName) -> Result<(), SinkError> {
        Ok(())
    }
}
