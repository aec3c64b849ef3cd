//! Shared by the integration tests.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

use std::path::PathBuf;
use std::sync::OnceLock;
use yagura_event::{CommittedRun, Record, StreamName, Transport};
use yagura_normalize::{Described, Normalizer};

pub fn normalizer() -> Normalizer {
    Normalizer::new(Normalizer::embedded_dictionary()).unwrap()
}

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

pub fn run<I: IntoIterator<Item = B>, B: Into<Vec<u8>>>(lines: I) -> CommittedRun {
    run_of("test", Transport::SyslogTcp, lines)
}

pub fn run_of<I: IntoIterator<Item = B>, B: Into<Vec<u8>>>(
    stream: &str,
    transport: Transport,
    lines: I,
) -> CommittedRun {
    run_at("2026-11-21T12:00:00Z", stream, transport, lines)
}

/// Lines received at a time of their own.
pub fn run_at<I: IntoIterator<Item = B>, B: Into<Vec<u8>>>(
    received: &str,
    stream: &str,
    transport: Transport,
    lines: I,
) -> CommittedRun {
    let record = |bytes: Vec<u8>| Record {
        received: received.parse().unwrap(),
        transport,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: bytes.into(),
    };
    CommittedRun {
        stream: StreamName::new(stream).unwrap(),
        batch: 1,
        batch_salt: [0; 32],
        first_index: 0,
        records: lines.into_iter().map(|line| record(line.into())).collect(),
    }
}

pub fn describe(line: impl Into<Vec<u8>>) -> Described {
    static SHARED: OnceLock<Normalizer> = OnceLock::new();
    SHARED.get_or_init(normalizer).describe(&run([line])).unwrap()
}

/// The fields apart from the envelope.
pub fn fields(described: &Described) -> String {
    let envelope = |name: &str| {
        name.starts_with("yagura.")
            && !["yagura.encoding", "yagura.parse_error", "yagura.clock_suspect"].contains(&name)
            || name == "event.ingested"
    };
    let shown = described.fields.iter().filter(|(name, _)| !envelope(name));
    shown.map(|(name, value)| format!("{name} = {value}\n")).collect()
}

/// What is read of a dataset's sample: of its last line, where it begins with a header.
pub fn describe_sample(sample: &str) -> Described {
    if !sample.trim().contains('\n') {
        return describe(sample);
    }
    let mut normalizer = normalizer();
    let lines = sample.lines().filter(|line| !line.is_empty());
    let read = lines.map(|line| normalizer.try_record(&run_of("file", Transport::File, [line])));
    read.last().flatten().unwrap()
}
