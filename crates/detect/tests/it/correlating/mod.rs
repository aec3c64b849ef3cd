//! Rules and events for tests of correlations.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use yagura_detect::{
    CorrelationMatch, Correlator, CorrelatorOptions, Engine, LogSources, News, RuleFile, Ruleset,
};
use yagura_event::{
    BatchBuilder, CommittedRun, EventBatch, FieldDictionary, Record, StreamName, Transport,
    UtcMicros,
};

pub const SECOND: i64 = 1_000_000;

const SOURCES: &str = "[[source]]\nproduct = 'any'\nwhere = [{ dataset = '*' }]\n\
    [[source]]\nproduct = 'windows'\nwhere = [{ dataset = 'windows.' }]\n";

const FIELDS: &str = "[[field]]\nname='user.name'\nja='ユーザー'\nen='User'\n\
    [[field]]\nname='source.ip'\nja='送信元 IP'\nen='Source IP'\n\
    [[field]]\nname='host.name'\nja='ホスト'\nen='Host'\n\
    [sigma.'windows.']\nComputerName='host.name'\n[native]\n'windows.'='winlog.event_data.'\n";

pub fn dictionary() -> Arc<FieldDictionary> {
    Arc::new(FieldDictionary::from_toml(FIELDS).unwrap())
}

/// A rule that finds events whose field `kind` has this value.
pub fn rule(kind: &str) -> String {
    format!(
        "title: Rule {kind}\nid: id-{kind}\nname: {kind}\nlevel: low\nlogsource: {{product: any}}\n\
         detection: {{s: {{kind: {kind}}}, condition: s}}\n"
    )
}

/// A correlation over `rules`, called `name`; `more` are lines below `correlation:`.
pub fn correlation(name: &str, kind: &str, rules: &str, more: &str) -> String {
    let more: String = more.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "title: Correlation {name}\nid: id-{name}\nname: {name}\nlevel: high\ncorrelation:\n  \
         type: {kind}\n  rules: [{rules}]\n{more}"
    )
}

pub fn compile(files: &[(&str, String)]) -> (Arc<Ruleset>, Vec<String>) {
    let files: Vec<RuleFile> = files
        .iter()
        .map(|(path, text)| RuleFile { path: (*path).into(), text: text.clone() })
        .collect();
    let sources = LogSources::from_toml(SOURCES).unwrap();
    let (ruleset, report) = Ruleset::compile(&files, dictionary(), &sources);
    (Arc::new(ruleset), report.refused.iter().map(ToString::to_string).collect())
}

/// A rule set of one file with several documents.
pub fn ruleset(documents: &[String]) -> Arc<Ruleset> {
    let (ruleset, refused) = compile(&[("all.yml", documents.join("---\n"))]);
    assert!(refused.is_empty(), "{refused:?}");
    ruleset
}

/// One event: its time in seconds and its fields.
#[derive(Debug, Clone)]
pub struct Event {
    pub time: f64,
    /// When it was received, in seconds; its own time where nothing is said.
    pub received: Option<f64>,
    pub fields: Vec<(String, String)>,
}

pub fn event(time: f64, fields: &[(&str, &str)]) -> Event {
    let fields = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Event { time, received: None, fields }
}

/// Engine and correlator together, as the pipeline runs them.
pub struct Run {
    pub engine: Engine,
    pub correlator: Correlator,
    pub next: u32,
}

impl Run {
    pub fn new(ruleset: &Arc<Ruleset>, options: CorrelatorOptions) -> Run {
        Run {
            engine: Engine::new(ruleset.clone()),
            correlator: Correlator::new(ruleset.clone(), options),
            next: 0,
        }
    }

    pub fn observe(&mut self, events: &[Event]) -> Vec<CorrelationMatch> {
        let batch = batch(self.next, events);
        self.next += u32::try_from(events.len()).unwrap();
        let matches = self.engine.evaluate(&batch);
        self.correlator.observe(&batch, &matches)
    }
}

pub fn micros(seconds: f64) -> i64 {
    (seconds * 1e6).round() as i64 + 1_700_000_000 * SECOND
}

/// A batch of events of stream `test`, batch 1, numbered from `first`.
pub fn batch(first: u32, events: &[Event]) -> EventBatch {
    batch_of("test.events", first, events)
}

pub fn batch_of(dataset: &str, first: u32, events: &[Event]) -> EventBatch {
    let mut builder = BatchBuilder::new(dataset, dictionary());
    for (index, event) in (first..).zip(events) {
        let record = Record {
            received: UtcMicros::from_micros(micros(event.received.unwrap_or(event.time))),
            transport: Transport::File,
            peer: "test".into(),
            identity: "none".into(),
            bytes: Vec::new().into(),
        };
        let run = CommittedRun {
            stream: StreamName::new("test").unwrap(),
            batch: 1,
            batch_salt: [0; 32],
            first_index: index,
            records: vec![record.clone()],
        };
        builder.begin_row(&run, index, &record);
        builder.set_time(UtcMicros::from_micros(micros(event.time)));
        for (name, value) in &event.fields {
            builder.set(name, value);
        }
    }
    builder.finish().unwrap()
}

/// A match in one line: rule, news, group, seconds from and to, events and value.
pub fn line(found: &CorrelationMatch) -> String {
    let seconds = |time: UtcMicros| (time.as_micros() - micros(0.0)) as f64 / 1e6;
    let group: Vec<String> = found.group.iter().map(|(c, v)| format!("{c}={v}")).collect();
    format!(
        "{} {} [{}] {}..{} events {} value {}",
        found.rule.name.as_deref().unwrap_or(&found.rule.id),
        if found.news == News::Raised { "raised" } else { "updated" },
        group.join(" "),
        seconds(found.first),
        seconds(found.last),
        found.events,
        found.value.map_or("-".to_owned(), |value| value.to_string()),
    )
}

pub fn lines(found: &[CorrelationMatch]) -> Vec<String> {
    found.iter().map(line).collect()
}
