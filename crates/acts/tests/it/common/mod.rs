//! Shared by the integration tests.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

use yagura_acts::{Act, Acts, Observed, Options, batches};
use yagura_event::{CommittedRun, EventBatch, Lang, Record, StreamName, Transport};
use yagura_normalize::Normalizer;

pub fn normalizer() -> Normalizer {
    Normalizer::new(Normalizer::embedded_dictionary()).unwrap()
}

/// One batch number per call, so that ids differ.
pub fn read<S: AsRef<str>>(
    normalizer: &mut Normalizer,
    batch: u64,
    lines: impl IntoIterator<Item = S>,
) -> Vec<EventBatch> {
    let record = |line: S| Record {
        received: "2026-11-21T12:00:00Z".parse().unwrap(),
        transport: Transport::File,
        peer: "".into(),
        identity: "".into(),
        bytes: line.as_ref().as_bytes().to_vec().into(),
    };
    let run = CommittedRun {
        stream: StreamName::new("test").unwrap(),
        batch,
        batch_salt: [0; 32],
        first_index: 0,
        records: lines.into_iter().map(record).collect(),
    };
    normalizer.normalize(&run);
    normalizer.take_batches()
}

/// A Windows event as NXLog sends it; `at` is a time of 2026-11-20.
pub fn windows(channel: &str, code: u32, at: &str, data: &[(&str, &str)]) -> String {
    let mut event = format!(
        r#"{{"EventID":{code},"Channel":"{channel}","Hostname":"FS01","SourceName":"x","@timestamp":"2026-11-20T{at}Z","EventTime":"2026-11-20T{at}Z""#
    );
    for (name, value) in data {
        event.push_str(&format!(r#","{name}":"{}""#, value.replace('\\', "\\\\")));
    }
    event.push('}');
    event
}

pub fn security(code: u32, at: &str, data: &[(&str, &str)]) -> String {
    windows("Security", code, at, data)
}

pub fn sysmon(code: u32, at: &str, data: &[(&str, &str)]) -> String {
    windows("Microsoft-Windows-Sysmon/Operational", code, at, data)
}

pub fn observed<S: AsRef<str>>(lines: &[S]) -> Observed {
    let mut normalizer = normalizer();
    let mut acts = Acts::new(Options { lateness_micros: i64::MAX / 2 });
    let mut all = Observed::default();
    for batch in read(&mut normalizer, 1, lines) {
        let observed = acts.observe(&batch);
        all.acts.extend(observed.acts);
        all.passed.extend(observed.passed);
    }
    let observed = acts.finish();
    all.acts.extend(observed.acts);
    all.passed.extend(observed.passed);
    all
}

/// What the acts of these lines say in both languages, a line each, and how many events pass.
pub fn said<S: AsRef<str>>(lines: &[S]) -> String {
    let observed = observed(lines);
    let mut text = sentences(&observed.acts);
    text.push_str(&format!("single: {}\n", observed.passed.len()));
    text
}

pub fn sentences(acts: &[Act]) -> String {
    let normalizer = normalizer();
    let mut text = String::new();
    for act in acts {
        for batch in batches(std::slice::from_ref(act), normalizer.dictionary()) {
            for lang in [Lang::Ja, Lang::En] {
                text.push_str(&normalizer.sentence(&batch, 0, lang));
                text.push('\n');
            }
        }
    }
    text
}
