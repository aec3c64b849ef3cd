//! The journal on a simulated disk: everything but threads.

mod damage;
mod faults;
mod lifecycle;
mod sim;

use crate::core::{Ack, Append, Core};
use crate::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use crate::recover::{Recovered, RecoveryReport, recover};
use crate::{JournalError, JournalOptions, JournalOutput, Receipt};
use sim::{FakeLog, SimDisk};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use yagura_event::{Clock, CommittedRun, ManualClock, Record, StreamName, Transport, UtcMicros};

/// A journal under test and everything around it.
struct Bench {
    disk: SimDisk,
    log: FakeLog,
    clock: Arc<ManualClock>,
    core: Core,
    report: RecoveryReport,
    /// What recovery replayed.
    replayed: Vec<JournalOutput>,
}

/// Not random, but never the same twice: good enough for salts that nobody attacks.
fn counted_entropy(bytes: &mut [u8]) -> std::io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    for chunk in bytes.chunks_mut(8) {
        let number = NEXT.fetch_add(1, Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        chunk.copy_from_slice(&number.to_le_bytes()[..chunk.len()]);
    }
    Ok(())
}

fn small_options() -> JournalOptions {
    JournalOptions { segment_bytes: 2_048, parser: "test-1".to_owned(), ..Default::default() }
}

impl Bench {
    fn new() -> Bench {
        let clock = Arc::new(ManualClock::at("2026-11-21T19:00:00Z".parse().unwrap()));
        Bench::open(SimDisk::default(), FakeLog::default(), clock, small_options()).unwrap()
    }

    fn open(
        disk: SimDisk,
        log: FakeLog,
        clock: Arc<ManualClock>,
        options: JournalOptions,
    ) -> Result<Bench, JournalError> {
        let (shared_log, shared_clock) = (Arc::new(log.clone()), clock.clone());
        let shared_disk = Arc::new(disk.clone());
        let Recovered { core, report, replay } =
            recover(shared_disk, shared_log, shared_clock, options, counted_entropy)?;
        let replayed = replay.map(Result::unwrap).collect();
        Ok(Bench { disk, log, clock, core, report, replayed })
    }

    /// The process dies, the machine does not.
    fn restart(self) -> Bench {
        let (disk, log) = (self.disk.copy(), self.log.after_crash());
        Bench::open(disk, log, self.clock, self.core.options).unwrap()
    }

    fn append(&mut self, name: &str, texts: &[&str]) -> Result<Receipt, JournalError> {
        let now = self.clock.now();
        self.append_records(name, texts.iter().map(|text| record(now, text)).collect())
    }

    fn append_records(
        &mut self,
        name: &str,
        records: Vec<Record>,
    ) -> Result<Receipt, JournalError> {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        self.core.append(vec![Append {
            stream: stream(name),
            records,
            ack: Ack::Blocking(sender),
        }]);
        receiver.try_recv().expect("every append is answered")
    }

    fn advance(&self, time: Duration) {
        self.clock.advance_micros(i64::try_from(time.as_micros()).unwrap());
    }

    fn take_outputs(&mut self) -> Vec<JournalOutput> {
        std::mem::take(&mut self.core.outbox)
    }

    fn segment_names(&self) -> Vec<String> {
        crate::catalog::segment_names(&self.disk)
            .unwrap()
            .into_iter()
            .map(|(_, name)| name)
            .collect()
    }
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn record(received: UtcMicros, text: &str) -> Record {
    Record {
        received,
        transport: Transport::SyslogTcp,
        peer: "10.0.0.7:514".into(),
        identity: "none".into(),
        bytes: text.as_bytes().to_vec().into(),
    }
}

fn runs<'a>(outputs: &'a [JournalOutput]) -> Vec<&'a CommittedRun> {
    let run = |output: &'a JournalOutput| match output {
        JournalOutput::Run(run) => Some(run),
        JournalOutput::Sealed(_) | JournalOutput::Replayed | JournalOutput::Mark(_) => None,
    };
    outputs.iter().filter_map(run).collect()
}

/// Text of every record by batch and index.
fn texts(outputs: &[JournalOutput]) -> BTreeMap<(u64, u32), String> {
    let mut found = BTreeMap::new();
    for run in runs(outputs) {
        for (index, record) in run.indexed() {
            let text = String::from_utf8(record.bytes.to_vec()).unwrap();
            assert!(found.insert((run.batch, index), text).is_none(), "one place, one record");
        }
    }
    found
}

fn sealed_batches(outputs: &[JournalOutput]) -> Vec<u64> {
    let batch = |output: &JournalOutput| match output {
        JournalOutput::Sealed(header) => Some(header.batch),
        JournalOutput::Run(_) | JournalOutput::Replayed | JournalOutput::Mark(_) => None,
    };
    outputs.iter().filter_map(batch).collect()
}
