//! Sources: who sends, as an analyst would list them (stream, transport, address or file, and the host
//! that the events claim). How each is to be read ([`settings`]), what was seen of it ([`track`]),
//! how far its clock is off ([`skew`]), whether it changed what it sends ([`drift`]), and whether it fell
//! silent ([`silence`]).
//!
//! The figures are kept up by the pipeline and lie in one file beside the state of correlations; a
//! restart neither repeats nor misses an event.

mod drift;
pub mod limits;
mod settings;
mod silence;
mod skew;
pub(crate) mod state;
mod table;
mod track;

pub use settings::SourceOptions;
pub(crate) use settings::{RecordedSettings, StreamSettings};
pub(crate) use track::{CORRECTED, SKEW};

use crate::{DataDir, Node, NodeError};
use limits::NOTICES_SHOWN_MAX;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use track::{Noticed, Source, SourceKey, Tracked};
use yagura_desk::GapSeen;
use yagura_event::{CommittedRun, EventBatch, Lang, Origin, StreamName, Transport, UtcMicros};
use yagura_normalize::{Normalizer, SourceBook};

const DRIFTED: &str = "source.drifted";

/// The figures of all sources, shared by the thread that counts, the one that saves, and whoever asks.
pub(crate) struct Sources {
    dir: PathBuf,
    tracked: Mutex<Tracked>,
    saved: Mutex<Option<u64>>,
    notices: Mutex<VecDeque<Value>>,
    /// Why the stored state could not be used.
    rebuilt: Option<String>,
}

/// Drift notices of the audit log: a fold over its records, the newest [`NOTICES_SHOWN_MAX`].
#[derive(Debug, Default)]
pub(crate) struct RecordedNotices(VecDeque<Value>);

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(rename = "event.action", borrow)]
    action: &'a str,
}

impl RecordedNotices {
    /// Folds one audit record; those of other kinds are ignored.
    pub(crate) fn replay(&mut self, entry: &[u8]) {
        let known = serde_json::from_slice::<Entry<'_>>(entry);
        if known.is_ok_and(|entry| entry.action == DRIFTED)
            && let Ok(entry) = serde_json::from_slice(entry)
        {
            remember(&mut self.0, entry);
        }
    }
}

fn remember(notices: &mut VecDeque<Value>, entry: Value) {
    if notices.len() >= NOTICES_SHOWN_MAX {
        notices.pop_front();
    }
    notices.push_back(entry);
}

impl Sources {
    /// Reads the stored state. One that is damaged is given up, with a warning: counting begins anew
    /// with what the journal still holds.
    /// Somebody listens from `opened` on.
    pub(crate) fn open(
        data: &DataDir,
        notices: RecordedNotices,
        opened: UtcMicros,
    ) -> Result<Self, NodeError> {
        let dir = data.sources();
        let path = dir.join(state::STATE_FILE);
        let mut rebuilt = None;
        let mut tracked = match state::read(&path) {
            Ok(tracked) => tracked,
            Err(state::StateError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                Tracked::default()
            }
            Err(state::StateError::Io(source)) => return Err(NodeError::Io { path, source }),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "counting sources anew");
                rebuilt = Some(error.to_string());
                Tracked::default()
            }
        };
        tracked.listens_since = opened.as_micros();
        let sources = Sources {
            dir,
            tracked: Mutex::new(tracked),
            saved: Mutex::new(None),
            notices: Mutex::new(notices.0),
            rebuilt,
        };
        // From now on there is a state, so that its absence says something.
        sources.save()?;
        Ok(sources)
    }

    fn lock(&self) -> MutexGuard<'_, Tracked> {
        self.tracked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a normalizer what goes on from before the restart.
    pub(crate) fn continue_in(&self, normalizer: &mut Normalizer) {
        for (stream, peer, layout) in self.lock().continued() {
            normalizer.continue_stream(&stream, &peer, layout.as_deref());
        }
    }

    /// Whether a run that the journal gives again was counted before.
    pub(crate) fn has_counted(&self, run: &CommittedRun) -> bool {
        let after = (run.batch, crate::correlation::next_index(run));
        self.lock().counted.get(run.stream.as_str()).is_some_and(|counted| after <= *counted)
    }

    /// Counts what was read and answers it, with corrected times where a source's clock is off.
    /// `passed` is how far each stream is counted then; `again` says that the journal may be giving
    /// what was counted before.
    pub(crate) fn see(
        &self,
        batches: Vec<EventBatch>,
        passed: &HashMap<StreamName, (u64, u32)>,
        again: bool,
    ) -> Vec<EventBatch> {
        let mut tracked = self.lock();
        let counted = if again { tracked.counted.clone() } else { Default::default() };
        let before = |stream: &str, batch: u64, index: u32| {
            counted.get(stream).is_some_and(|counted| (batch, index) < *counted)
        };
        let before: Option<&track::CountedBefore<'_>> = (!counted.is_empty()).then_some(&before);
        let seen = batches.into_iter().map(|batch| tracked.see(batch, before)).collect();
        for (stream, position) in passed {
            match tracked.counted.get_mut(stream.as_str()) {
                Some(known) => *known = (*known).max(*position),
                None => {
                    tracked.counted.insert(stream.to_string(), *position);
                }
            }
        }
        seen
    }

    /// Writes the state if something was counted since the last time.
    pub(crate) fn save(&self) -> Result<(), NodeError> {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = {
            let tracked = self.lock();
            let revision = revision(&tracked);
            if *saved == Some(revision) {
                return Ok(());
            }
            let encoded = state::encode(&tracked);
            *saved = Some(revision);
            encoded.map_err(|error| NodeError::Content(error.to_string()))?
        };
        let written = state::write(&self.dir, &bytes);
        if written.is_err() {
            *saved = None;
        }
        written
    }

    /// Hosts that fell silent while others of their stream went on talking.
    pub(crate) fn silent(&self, now: UtcMicros) -> Vec<GapSeen> {
        silence::silent(&self.lock(), now)
    }

    /// Sources whose newest window was not as usual, each with what was said of it last.
    pub(crate) fn drifted(&self) -> Vec<GapSeen> {
        let tracked = self.lock();
        let notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        let newest: HashMap<SourceKey, &Value> =
            notices.iter().map(|notice| (key_of(notice), notice)).collect();
        let drifted = tracked.sources.iter().filter_map(|source| {
            let begin = UtcMicros::from_micros(source.changed?);
            let notice = newest.get(&source.key)?;
            let said = |key: &str| notice[key].as_str().unwrap_or_default().to_owned();
            Some(GapSeen {
                subject: format!("{} {}", source.key.stream, source.key.name()),
                begin,
                sentence_ja: said("drift.sentence_ja"),
                sentence_en: said("drift.sentence_en"),
            })
        });
        drifted.collect()
    }

    fn take_noticed(&self) -> Vec<Noticed> {
        std::mem::take(&mut self.lock().noticed)
    }

    fn give_back(&self, noticed: Vec<Noticed>) {
        self.lock().noticed.splice(0..0, noticed);
    }
}

/// Changes with everything that is counted.
fn revision(tracked: &Tracked) -> u64 {
    let events: u64 = tracked.sources.iter().map(|source| source.events).sum();
    events + tracked.others + tracked.noticed.len() as u64 + tracked.sources.len() as u64
}

impl Node {
    /// Every source with its figures, newest first, and the drift notices.
    pub fn sources(&self) -> Value {
        let sources = self.source_figures();
        let tracked = sources.lock();
        let notices = sources.notices.lock().unwrap_or_else(PoisonError::into_inner);
        let newest: HashMap<SourceKey, &Value> =
            notices.iter().map(|notice| (key_of(notice), notice)).collect();
        let mut list: Vec<&Source> =
            tracked.sources.iter().filter(|source| source.events > 0).collect();
        list.sort_by_key(|source| (std::cmp::Reverse(source.last), &source.key));
        json!({
            "sources": list
                .iter()
                .map(|source| self.source_row(source, newest.get(&source.key).copied()))
                .collect::<Vec<_>>(),
            "events_of_other_sources": tracked.others,
            "notices": notices.iter().rev().collect::<Vec<_>>(),
            "rebuilt": sources.rebuilt,
        })
    }

    /// What could not be read, by source and reason, the most frequent first.
    pub fn source_failures(&self) -> Value {
        let sources = self.source_figures();
        let tracked = sources.lock();
        let mut rows: Vec<(u64, Value)> = Vec::new();
        for source in &tracked.sources {
            for failure in &source.reasons {
                let mut row = key_row(&source.key);
                row["yagura.parse_error"] = json!(failure.reason);
                row["count"] = json!(failure.count);
                row["last"] = json!(UtcMicros::from_micros(failure.last));
                row["event.id"] = json!(failure.event_id);
                row["sample"] = json!(failure.sample);
                rows.push((failure.count, row));
            }
        }
        rows.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        json!({ "failures": rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>() })
    }

    fn source_row(&self, source: &Source, said: Option<&Value>) -> Value {
        let mut row = key_row(&source.key);
        let newest = UtcMicros::from_micros(source.last);
        let zone = zone_of(self.source_book(), self.source_zone(), &source.key);
        let estimate = source.skew.estimate().filter(|_| !source.key.is_file());
        let proposal = estimate.and_then(|estimate| skew::proposal(estimate, &zone, newest));
        let mut encodings: serde_json::Map<String, Value> =
            source.encodings.iter().map(|(name, count)| (name.to_string(), json!(count))).collect();
        let noted: u64 = source.encodings.values().sum();
        if source.events > noted {
            encodings.insert("utf-8".to_owned(), json!(source.events - noted));
        }
        let figures = json!({
            "first": UtcMicros::from_micros(source.first),
            "last": newest,
            "events": source.events,
            "bytes": source.bytes,
            "datasets": source.datasets,
            "failures": source.failures,
            "failure_rate": source.failures as f64 / source.events.max(1) as f64,
            "encodings": encodings,
            "zone": zone.iana_name().unwrap_or("UTC"),
            "clock_skew_ms": estimate.map(|estimate| estimate.micros / 1_000),
            "clock_skew_spread_ms": estimate.map(|estimate| estimate.spread / 1_000),
            "proposal": proposal.map(|proposal| json!({
                "zone": proposal.zone,
                "ja": proposal.sentence(&setting_for(&source.key), Lang::Ja),
                "en": proposal.sentence(&setting_for(&source.key), Lang::En),
            })),
            "drift": drift_of(source),
            "drift_at": said.map(|notice| notice["@timestamp"].clone()),
        });
        if let (Value::Object(row), Value::Object(figures)) = (&mut row, figures) {
            row.extend(figures);
        }
        row
    }

    /// Records the changes that were noticed since the last call.
    pub(crate) fn record_drift(&self) -> Result<(), NodeError> {
        let sources = self.source_figures();
        let noticed = sources.take_noticed();
        if noticed.is_empty() {
            return Ok(());
        }
        let entries: Vec<Value> = noticed.iter().map(drift_entry).collect();
        if let Err(error) = self.audit().write(&entries) {
            sources.give_back(noticed);
            return Err(error);
        }
        let mut notices = sources.notices.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            remember(&mut notices, entry);
        }
        Ok(())
    }
}

/// Whether a source sends what it usually sends, in a word.
fn drift_of(source: &Source) -> &'static str {
    match source.changed {
        Some(_) => "changed",
        None if source.key.is_file() => "file",
        None if source.drift.has_learned() => "steady",
        None => "learning",
    }
}

/// The zone in which a source's times are read.
fn zone_of(book: &SourceBook, default: &jiff::tz::TimeZone, key: &SourceKey) -> jiff::tz::TimeZone {
    let reading = StreamName::new(&key.stream).ok().zip(key.transport.parse::<Transport>().ok());
    let reading = reading.map(|(stream, transport)| {
        let origin = Origin {
            stream: &stream,
            batch: 0,
            index: 0,
            batch_salt: &[0; 32],
            received: UtcMicros::default(),
            transport,
            peer: &key.peer,
            identity: "none",
        };
        let host = Some(&*key.host).filter(|host| !host.is_empty());
        book.reading_of(&origin, host)
    });
    reading.and_then(|reading| reading.zone).unwrap_or_else(|| default.clone())
}

fn drift_entry(noticed: &Noticed) -> Value {
    let mut entry = key_row(&noticed.source);
    let name = noticed.source.name();
    entry["@timestamp"] = json!(UtcMicros::from_micros(noticed.at));
    entry["event.action"] = json!(DRIFTED);
    entry["drift"] = json!(noticed.change);
    entry["drift.sentence_ja"] = json!(noticed.change.sentence(&name, Lang::Ja));
    entry["drift.sentence_en"] = json!(noticed.change.sentence(&name, Lang::En));
    entry
}

fn key_row(key: &SourceKey) -> Value {
    let host = Some(&key.host).filter(|host| !host.is_empty());
    json!({
        "host.name": host,
        "yagura.peer": key.peer,
        "yagura.transport": key.transport,
        "yagura.stream": key.stream,
    })
}

/// The source that a notice is about.
fn key_of(notice: &Value) -> SourceKey {
    let part = |name: &str| notice[name].as_str().unwrap_or_default().into();
    SourceKey {
        stream: part("yagura.stream"),
        transport: part("yagura.transport"),
        peer: part("yagura.peer"),
        host: part("host.name"),
    }
}

/// What singles a source out in the configuration.
fn setting_for(key: &SourceKey) -> String {
    match &*key.host {
        "" => format!("peer = {:?}", key.peer),
        host => format!("host = {host:?}"),
    }
}

/// Where the state of sources lies, for whoever verifies the directory.
pub(crate) fn state_path(data: &DataDir) -> PathBuf {
    data.sources().join(state::STATE_FILE)
}

/// Shared by the pipeline and the node.
pub(crate) type SharedSources = Arc<Sources>;

/// Shared by every reader.
pub(crate) type SharedBook = Arc<SourceBook>;
