//! Sinks that keep records in memory, and clocks.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use yagura_event::{Record, StreamName, Words};
use yagura_intake::import::{ImportSink, Written};
use yagura_intake::{RecordSink, SinkError};

/// Keeps records; its gate can be closed, which makes appends wait or be refused.
#[derive(Clone)]
pub struct MemorySink {
    pub records: Arc<Mutex<Vec<Record>>>,
    state: watch::Sender<Gate>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Gate {
    Open,
    Waiting,
    DiskFull,
    Closed,
}

impl MemorySink {
    pub fn new(gate: Gate) -> Self {
        MemorySink { records: Arc::default(), state: watch::channel(gate).0 }
    }

    pub fn set(&self, gate: Gate) {
        self.state.send_replace(gate);
    }

    pub fn texts(&self) -> Vec<String> {
        let records = self.records.lock().unwrap();
        records.iter().map(|record| record.bytes.escape_ascii().to_string()).collect()
    }

    /// Waits until `count` records are in.
    pub async fn wait_for(&self, count: usize) {
        while self.records.lock().unwrap().len() < count {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}

impl RecordSink for MemorySink {
    async fn append(&self, stream: StreamName, records: Vec<Record>) -> Result<(), SinkError> {
        assert_eq!(stream.as_str(), "syslog");
        let mut state = self.state.subscribe();
        let gate = *state.wait_for(|gate| *gate != Gate::Waiting).await.unwrap();
        match gate {
            Gate::DiskFull => Err(SinkError::DiskFull(Words::quoted("no space left"))),
            Gate::Closed => Err(SinkError::Closed(Words::quoted("test"))),
            _ => {
                self.records.lock().unwrap().extend(records);
                Ok(())
            }
        }
    }

    async fn try_append(&self, stream: StreamName, records: Vec<Record>) -> Result<(), SinkError> {
        self.append(stream, records).await
    }
}

/// Keeps imported records by stream; fails after a number of appended records when told to.
#[derive(Default)]
pub struct Store {
    pub streams: Mutex<BTreeMap<String, Vec<Record>>>,
    pub seals: Mutex<Vec<String>>,
    pub described: Mutex<Vec<(String, Written)>>,
    pub fail_after: Option<usize>,
    pub cancel_after: Option<(usize, Arc<std::sync::atomic::AtomicBool>)>,
}

impl Store {
    pub fn count(&self) -> usize {
        self.streams.lock().unwrap().values().map(Vec::len).sum()
    }
}

impl ImportSink for Store {
    fn append(&self, stream: &StreamName, records: Vec<Record>) -> Result<(), SinkError> {
        let held = self.count();
        if self.fail_after.is_some_and(|most| held + records.len() > most) {
            return Err(SinkError::DiskFull(Words::quoted("no space left")));
        }
        if let Some((after, flag)) = &self.cancel_after
            && held + records.len() >= *after
        {
            flag.store(true, std::sync::atomic::Ordering::SeqCst);
        }
        let mut streams = self.streams.lock().unwrap();
        streams.entry(stream.to_string()).or_default().extend(records);
        Ok(())
    }

    fn stream_records(&self, stream: &StreamName) -> Result<u64, SinkError> {
        let streams = self.streams.lock().unwrap();
        Ok(streams.get(stream.as_str()).map_or(0, |records| records.len() as u64))
    }

    fn describe(&self, stream: &StreamName, written: &Written) -> Result<(), SinkError> {
        self.described.lock().unwrap().push((stream.to_string(), written.clone()));
        Ok(())
    }

    fn seal(&self, stream: &StreamName) -> Result<(), SinkError> {
        self.seals.lock().unwrap().push(stream.to_string());
        Ok(())
    }
}

/// The folder of test corpora, or `None` with a word of why.
pub fn corpora() -> Option<PathBuf> {
    match std::env::var_os("YAGURA_CORPORA") {
        Some(folder) => Some(folder.into()),
        None if std::env::var_os("CI").is_some() => panic!("set YAGURA_CORPORA"),
        None => {
            println!("skipped: set YAGURA_CORPORA");
            None
        }
    }
}
