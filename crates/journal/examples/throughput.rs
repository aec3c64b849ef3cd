//! Measures how many records a second the journal makes durable on this machine:
//! `cargo run --release -p yagura-journal --example throughput -- DIR [RECORD_BYTES] [SENDERS]`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use yagura_event::{Record, StreamName, SystemClock, Transport, UtcMicros};
use yagura_journal::{Journal, JournalOptions, JournalOutput};
use yagura_ledger::{Log, SigningKey};

const RECORDS_PER_CALL: usize = 256;
const MEASURED_FOR: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("usage: throughput DIR [BYTES] [SENDERS]")?);
    let record_bytes: usize = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let senders: usize = arguments.next().map_or(Ok(16), |text| text.parse())?;
    std::fs::create_dir_all(&dir)?;
    let origin = "bench.example/events";
    let key = SigningKey::load_or_create(&dir.join("events.key"), origin)?;
    let log = Arc::new(Log::open(&dir.join("ledger"), origin, key)?);
    let (sender, receiver) = crossbeam_channel::bounded::<JournalOutput>(64);
    let options = JournalOptions::default();
    let (journal, _) =
        Journal::open(&dir.join("journal"), options, log, Arc::new(SystemClock), sender)?;
    let pipeline = {
        let journal = journal.clone();
        std::thread::spawn(move || {
            for output in receiver {
                if let JournalOutput::Sealed(header) = output {
                    journal.retire(&[header.batch]);
                }
            }
        })
    };
    let started = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..senders {
            let journal = &journal;
            scope.spawn(move || send(journal, number, record_bytes, started));
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let stats = journal.stats();
    journal.close()?;
    drop(journal);
    pipeline.join().map_err(|_| "the pipeline thread panicked")?;
    let rate = stats.committed as f64 / seconds;
    println!(
        "{rate:.0} records/s, {:.1} MB/s of raw bytes, {} commits, {:.1} s of {seconds:.1} s in fdatasync",
        rate * record_bytes as f64 / 1e6,
        stats.commits,
        stats.fsync_micros as f64 / 1e6,
    );
    Ok(())
}

fn send(journal: &Journal, number: usize, record_bytes: usize, started: Instant) {
    let Ok(stream) = StreamName::new(&format!("s{}", number % 4)) else { return };
    let record = Record {
        received: UtcMicros::from_micros(1_790_000_000_000_000),
        transport: Transport::SyslogTcp,
        peer: "10.0.0.7:51424".into(),
        identity: "none".into(),
        bytes: vec![b'x'; record_bytes].into(),
    };
    while started.elapsed() < MEASURED_FOR {
        if let Err(error) = journal.append(&stream, vec![record.clone(); RECORDS_PER_CALL]) {
            eprintln!("{error}");
            return;
        }
    }
}
