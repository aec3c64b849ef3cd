//! Figures of every source, kept up as events pass: who sends, how much, of what kind, how well it is
//! read, and how far its clock is off.

use super::drift::{Change, Drift, FieldSet};
use super::limits::{
    DATASETS_PER_SOURCE_MAX, ENCODINGS_PER_SOURCE_MAX, FIELD_SETS_MAX, HOSTS_PER_PEER_MAX,
    LAYOUTS_KEPT_MAX, NAME_BYTES_MAX, NOTICES_WAITING_MAX, REASONS_PER_SOURCE_MAX,
    SAMPLE_CHARS_MAX, SOURCES_MAX,
};
use super::skew::Skew;
use crate::rhythm::Rhythm;
use arrow::array::{
    Array, AsArray, BinaryArray, DictionaryArray, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Field, Int32Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use yagura_event::{EventBatch, EventId, StreamName, Transport, UtcMicros, columns};

/// `@timestamp` and the estimated skew of its source.
pub(crate) const CORRECTED: &str = "yagura.corrected_time";

/// Receipt minus claimed time of the source, estimated, in milliseconds.
pub(crate) const SKEW: &str = "yagura.clock_skew";

const ENCODING: &str = "yagura.encoding";
const HOST: &str = "host.name";

/// Rows of a source in one batch whose fields are looked at.
const SAMPLED_ROWS: usize = 32;

/// Events of a source within this time, in microseconds, are one time that it talked.
const TALK_MICROS: i64 = 60 * 1_000_000;

/// Who sent it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct SourceKey {
    pub(crate) stream: Arc<str>,
    pub(crate) transport: Arc<str>,
    /// Address without port, or the path of a file.
    pub(crate) peer: Arc<str>,
    /// The host that its events claim to come from; empty for none.
    pub(crate) host: Arc<str>,
}

impl SourceKey {
    /// A name for sentences.
    pub(crate) fn name(&self) -> String {
        match (&*self.host, &*self.peer) {
            ("", peer) => peer.to_owned(),
            (host, peer) if *host == *peer => host.to_owned(),
            (host, peer) => format!("{host} ({peer})"),
        }
    }

    pub(crate) fn is_file(&self) -> bool {
        *self.transport == *Transport::File.as_str()
    }
}

/// Text that could not be read, for one reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    pub(crate) count: u64,
    pub(crate) last: i64,
    /// The newest of them, and how it begins.
    pub(crate) event_id: String,
    pub(crate) sample: String,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) key: SourceKey,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) failures: u64,
    pub(crate) datasets: BTreeMap<Arc<str>, u64>,
    pub(crate) encodings: BTreeMap<Arc<str>, u64>,
    pub(crate) reasons: Vec<Failure>,
    pub(crate) skew: Skew,
    pub(crate) drift: Drift,
    pub(crate) fields: BTreeMap<Arc<str>, FieldSet>,
    /// How long it is usually silent.
    #[serde(default)]
    pub(crate) rhythm: Rhythm,
    /// When it last talked, as [`Rhythm`] counts it.
    #[serde(default)]
    talked: i64,
    /// When it was last seen to have changed; `None` once a whole window since then was as usual.
    #[serde(default)]
    pub(crate) changed: Option<i64>,
}

/// A change that is to be recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Noticed {
    pub(crate) at: i64,
    pub(crate) source: SourceKey,
    pub(crate) change: Change,
}

/// Stream, peer, and the header of columns in force.
pub(crate) type Continued = (Arc<str>, Arc<str>, Option<Arc<str>>);

/// The header in force of a file with columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptLayout {
    stream: Arc<str>,
    /// Address without port, or the path of a file.
    peer: Arc<str>,
    /// As rows have it in `yagura.layout`.
    layout: Arc<str>,
}

/// Who sends: stream, transport, peer.
type SenderKey = (Arc<str>, Arc<str>, Arc<str>);

/// Whether the event at stream, batch and index has been counted.
pub(crate) type CountedBefore<'a> = dyn Fn(&str, u64, u32) -> bool + 'a;

/// All sources, and how far each stream has been counted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tracked {
    pub(crate) sources: Vec<Source>,
    /// Of sources past the limit.
    pub(crate) others: u64,
    /// Fields by their number.
    names: Vec<Arc<str>>,
    field_sets: usize,
    pub(crate) noticed: Vec<Noticed>,
    /// Per stream, what has been counted: batch, and the index after it.
    pub(crate) counted: BTreeMap<String, (u64, u32)>,
    /// The headers that explain the rows that come, the newest last.
    #[serde(default)]
    layouts: Vec<KeptLayout>,
    /// From when on somebody listens, in microseconds: a silence from before it says nothing.
    #[serde(skip)]
    pub(crate) listens_since: i64,
    #[serde(skip)]
    index: HashMap<SourceKey, usize>,
    #[serde(skip)]
    hosts: HashMap<SenderKey, usize>,
    #[serde(skip)]
    by_name: HashMap<Arc<str>, u32>,
}

/// Rows of one source in a batch.
struct Group {
    source: Option<usize>,
    measures_clock: bool,
    events: u64,
    failures: u64,
    last: i64,
    sampled: Vec<usize>,
    correction: Option<i64>,
}

impl Tracked {
    /// Finds again what is not stored.
    pub(crate) fn index_anew(&mut self) {
        self.index =
            (0..).zip(&self.sources).map(|(at, source)| (source.key.clone(), at)).collect();
        self.hosts.clear();
        for source in &self.sources {
            *self.hosts.entry(sender(&source.key)).or_default() += 1;
        }
        self.by_name = (0..).zip(&self.names).map(|(at, name)| (name.clone(), at)).collect();
    }

    /// Counts the events of a batch, those already counted apart (`counted_before` is asked where it
    /// is given). Answers the batch, with corrected times where a source's clock is off.
    pub(crate) fn see(
        &mut self,
        batch: EventBatch,
        counted_before: Option<&CountedBefore<'_>>,
    ) -> EventBatch {
        let columns = batch.columns.clone();
        let Some(rows) = Rows::of(&columns) else { return batch };
        let mut groups: Vec<Group> = Vec::new();
        let mut by_keys: HashMap<[i32; 4], usize> = HashMap::new();
        let mut of_row: Vec<u32> = Vec::with_capacity(rows.count);
        let mut last = ([i32::MIN; 4], 0);
        for row in 0..rows.count {
            let keys = rows.keys(row);
            if keys != last.0 {
                let group = match by_keys.get(&keys) {
                    Some(&group) => group,
                    None => {
                        groups.push(self.group(&rows, row));
                        by_keys.insert(keys, groups.len() - 1);
                        groups.len() - 1
                    }
                };
                last = (keys, group);
            }
            of_row.push(u32::try_from(last.1).unwrap_or(u32::MAX));
            let Some(group) = groups.get_mut(last.1) else { continue };
            if let Some(before) = counted_before {
                let (stream, number, index) = rows.place(row);
                if before(stream, number, index) {
                    continue;
                }
            }
            group.events += 1;
            let Some(source) = group.source.and_then(|at| self.sources.get_mut(at)) else {
                self.others += 1;
                continue;
            };
            let received = rows.received.value(row);
            group.last = group.last.max(received);
            source.count(received, rows.bytes(row), self.listens_since);
            if group.measures_clock {
                let claimed = rows.claimed.value(row);
                // Without a time of its own an event has that of its receipt.
                if claimed != received {
                    source.skew.see(received, claimed);
                }
            }
            source.count_encoding(rows.encoding.as_ref().and_then(|words| words.value(row)));
            if let Some(reason) = rows.parse_error.as_ref().and_then(|words| words.value(row)) {
                group.failures += 1;
                source.fail(reason, received, || rows.event_id(row), || rows.sample(row));
            }
            if group.sampled.len() < SAMPLED_ROWS {
                group.sampled.push(row);
            }
        }
        for group in &mut groups {
            self.settle(&batch, group);
        }
        self.keep_layouts(&columns, &rows);
        corrected(batch, &rows, &groups, &of_row)
    }

    /// Remembers the last header of each stream and peer.
    fn keep_layouts(&mut self, columns: &RecordBatch, rows: &Rows) {
        let Some(layouts) = Words::of(columns, columns::LAYOUT) else { return };
        let mut last = None;
        for row in 0..rows.count {
            let Some(layout) = layouts.value(row) else { continue };
            let keys = (rows.stream.key(row), rows.peer.key(row), layouts.key(row));
            if last.replace(keys) == Some(keys) {
                continue;
            }
            let SourceKey { stream, peer, .. } = rows.source(row);
            let is_it = |kept: &KeptLayout| kept.stream == stream && kept.peer == peer;
            match self.layouts.iter().rposition(is_it) {
                // The newest stand last.
                Some(at) if self.layouts.get(at).is_some_and(|kept| *kept.layout == *layout) => {
                    let kept = self.layouts.remove(at);
                    self.layouts.push(kept);
                }
                known => {
                    match known {
                        Some(at) => drop(self.layouts.remove(at)),
                        None if self.layouts.len() >= LAYOUTS_KEPT_MAX => {
                            self.layouts.remove(0);
                        }
                        None => {}
                    }
                    self.layouts.push(KeptLayout { stream, peer, layout: layout.into() });
                }
            }
        }
    }

    /// Stream and peer of all that goes on after a restart, and the header in force: files, whose next
    /// record is not their first, and what has a header.
    pub(crate) fn continued(&self) -> Vec<Continued> {
        let files = self.sources.iter().filter(|source| source.key.is_file());
        let files = files.map(|source| (source.key.stream.clone(), source.key.peer.clone(), None));
        let layouts = self.layouts.iter().rev();
        let layouts =
            layouts.map(|kept| (kept.stream.clone(), kept.peer.clone(), Some(kept.layout.clone())));
        let mut seen = std::collections::HashSet::new();
        let all = layouts.chain(files);
        all.filter(|(stream, peer, _)| seen.insert((stream.clone(), peer.clone()))).collect()
    }

    fn group(&mut self, rows: &Rows, row: usize) -> Group {
        let key = rows.source(row);
        let measures_clock = !key.is_file();
        let source = self.source(key);
        Group {
            source,
            measures_clock,
            events: 0,
            failures: 0,
            last: i64::MIN,
            sampled: Vec::new(),
            correction: None,
        }
    }

    /// The position of a source; `None` when there are too many.
    pub(crate) fn source(&mut self, key: SourceKey) -> Option<usize> {
        if let Some(&at) = self.index.get(&key) {
            return Some(at);
        }
        let hosts = self.hosts.entry(sender(&key)).or_default();
        if self.sources.len() >= SOURCES_MAX || *hosts >= HOSTS_PER_PEER_MAX {
            return None;
        }
        *hosts += 1;
        self.index.insert(key.clone(), self.sources.len());
        self.sources.push(Source::new(key));
        Some(self.sources.len() - 1)
    }

    /// What a batch's rows of one source say together.
    fn settle(&mut self, batch: &EventBatch, group: &mut Group) {
        let Some(at) = group.source else { return };
        let Some(source) = self.sources.get_mut(at) else { return };
        if group.measures_clock {
            group.correction = source.skew.correction();
        }
        if group.events == 0 {
            return;
        }
        let dataset = &batch.dataset;
        if let Some(count) = source.datasets.get_mut(dataset) {
            *count += group.events;
        } else if source.datasets.len() < DATASETS_PER_SOURCE_MAX {
            source.datasets.insert(dataset.clone(), group.events);
        }
        // A file is read once: it has no past to differ from.
        if source.key.is_file() {
            return;
        }
        let now = group.last;
        let window = source.drift.began().unwrap_or(now);
        let mut changes = source.drift.see(now, dataset, group.events, group.failures);
        let known = source.fields.contains_key(dataset);
        if known || self.field_sets < FIELD_SETS_MAX {
            self.field_sets += usize::from(!known);
            changes.extend(self.fields(batch, group, at));
        }
        let Some(source) = self.sources.get_mut(at) else { return };
        let ended = source.drift.began().is_none();
        if !changes.is_empty() {
            source.changed = Some(now);
        } else if ended && source.changed.is_some_and(|changed| window >= changed) {
            source.changed = None;
        }
        for change in changes {
            if self.noticed.len() < NOTICES_WAITING_MAX {
                self.noticed.push(Noticed { at: now, source: source.key.clone(), change });
            }
        }
    }

    fn fields(&mut self, batch: &EventBatch, group: &Group, at: usize) -> Option<Change> {
        let set = self.sources.get(at)?.fields.get(&batch.dataset);
        let needs = set.is_none_or(FieldSet::needs_samples);
        let schema = batch.columns.schema();
        let numbers: Vec<Option<u32>> = match needs {
            true => schema.fields().iter().map(|field| self.number(field.name())).collect(),
            false => Vec::new(),
        };
        let set = self.sources.get_mut(at)?.fields.entry(batch.dataset.clone()).or_default();
        let rows: &[usize] = if needs { &group.sampled } else { &[] };
        for &row in rows {
            let columns = numbers.iter().zip(batch.columns.columns());
            let there =
                columns.filter_map(|(number, column)| number.filter(|_| column.is_valid(row)));
            set.sample(group.last, there);
        }
        let (vanished, appeared) = set.look(group.last)?;
        let names = |numbers: Vec<u32>| -> Vec<Arc<str>> {
            let mut names: Vec<_> = numbers
                .into_iter()
                .filter_map(|number| self.names.get(number as usize).cloned())
                .collect();
            names.sort();
            names
        };
        Some(Change::Fields {
            dataset: batch.dataset.clone(),
            vanished: names(vanished),
            appeared: names(appeared),
        })
    }

    /// The number of a field that the source writes; ours are no part of its format.
    fn number(&mut self, name: &str) -> Option<u32> {
        if name.starts_with("yagura.") || name == columns::INGESTED || name == columns::ORIGINAL {
            return None;
        }
        if let Some(&number) = self.by_name.get(name) {
            return Some(number);
        }
        // As many as a table has columns; whoever makes up more is not watched for them.
        if self.names.len() >= yagura_lake::limits::TABLE_COLUMNS_MAX {
            return None;
        }
        let (name, number) = (Arc::<str>::from(name), u32::try_from(self.names.len()).ok()?);
        self.names.push(name.clone());
        self.by_name.insert(name, number);
        Some(number)
    }

    /// What a stored estimate says of a source.
    #[cfg(test)]
    pub(crate) fn find(&self, host: &str) -> &Source {
        self.sources.iter().find(|source| &*source.key.host == host).unwrap()
    }
}

/// Without the host, which is only a claim.
fn sender(key: &SourceKey) -> (Arc<str>, Arc<str>, Arc<str>) {
    (key.stream.clone(), key.transport.clone(), key.peer.clone())
}

impl Source {
    fn new(key: SourceKey) -> Source {
        Source {
            key,
            first: i64::MAX,
            last: i64::MIN,
            events: 0,
            bytes: 0,
            failures: 0,
            datasets: BTreeMap::new(),
            encodings: BTreeMap::new(),
            reasons: Vec::new(),
            skew: Skew::default(),
            drift: Drift::default(),
            fields: BTreeMap::new(),
            rhythm: Rhythm::default(),
            talked: i64::MIN,
            changed: None,
        }
    }

    /// Takes note of an event received at `received`.
    pub(crate) fn count(&mut self, received: i64, bytes: u64, listens_since: i64) {
        if received.saturating_sub(self.talked) >= TALK_MICROS {
            self.talk(received, listens_since);
        }
        self.first = self.first.min(received);
        self.last = self.last.max(received);
        self.events += 1;
        self.bytes += bytes;
    }

    fn talk(&mut self, at: i64, listens_since: i64) {
        self.talked = at;
        let nobody_listened = self.last < listens_since && at >= listens_since;
        if self.events == 0 || nobody_listened {
            self.rhythm.talk();
        } else {
            self.rhythm.talk_after(at.saturating_sub(self.last), UtcMicros::from_micros(at));
        }
    }

    /// Events without a note are UTF-8; their number follows from the others.
    fn count_encoding(&mut self, encoding: Option<&str>) {
        let Some(encoding) = encoding else { return };
        if let Some(count) = self.encodings.get_mut(encoding) {
            *count += 1;
        } else if self.encodings.len() < ENCODINGS_PER_SOURCE_MAX {
            self.encodings.insert(encoding.into(), 1);
        }
    }

    fn fail(
        &mut self,
        reason: &str,
        at: i64,
        event_id: impl FnOnce() -> String,
        sample: impl FnOnce() -> String,
    ) {
        self.failures += 1;
        if let Some(known) = self.reasons.iter_mut().find(|known| known.reason == reason) {
            known.count += 1;
            // One sample a second at most: a flood of failures must not cost more than events do.
            if at.saturating_sub(known.last) >= 1_000_000 {
                (known.last, known.event_id, known.sample) = (at, event_id(), sample());
            }
        } else if self.reasons.len() < REASONS_PER_SOURCE_MAX {
            let reason = reason.to_owned();
            let (event_id, sample) = (event_id(), sample());
            self.reasons.push(Failure { reason, count: 1, last: at, event_id, sample });
        }
    }
}

/// A keyword column: each row's key, and the words.
struct Words<'a> {
    keys: &'a DictionaryArray<Int32Type>,
    values: &'a StringArray,
}

impl<'a> Words<'a> {
    fn of(rows: &'a RecordBatch, name: &str) -> Option<Words<'a>> {
        let keys = rows.column_by_name(name)?.as_dictionary_opt::<Int32Type>()?;
        Some(Words { keys, values: keys.values().as_string_opt::<i32>()? })
    }

    fn key(&self, row: usize) -> i32 {
        match self.keys.key(row) {
            Some(key) => i32::try_from(key).unwrap_or(-1),
            None => -1,
        }
    }

    fn value(&self, row: usize) -> Option<&'a str> {
        Some(self.values.value(self.keys.key(row)?))
    }
}

/// The columns of a batch that say where its rows come from.
struct Rows<'a> {
    count: usize,
    stream: Words<'a>,
    transport: Words<'a>,
    peer: Words<'a>,
    host: Option<Words<'a>>,
    parse_error: Option<Words<'a>>,
    encoding: Option<Words<'a>>,
    received: &'a TimestampMicrosecondArray,
    claimed: &'a TimestampMicrosecondArray,
    original: Option<&'a BinaryArray>,
    batch: &'a Int64Array,
    index: &'a Int64Array,
}

impl<'a> Rows<'a> {
    fn of(rows: &'a RecordBatch) -> Option<Rows<'a>> {
        let time =
            |name: &str| rows.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>();
        let long = |name: &str| rows.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        Some(Rows {
            count: rows.num_rows(),
            stream: Words::of(rows, columns::STREAM)?,
            transport: Words::of(rows, columns::TRANSPORT)?,
            peer: Words::of(rows, columns::PEER)?,
            host: Words::of(rows, HOST),
            parse_error: Words::of(rows, columns::PARSE_ERROR),
            encoding: Words::of(rows, ENCODING),
            received: time(columns::INGESTED)?,
            claimed: time(columns::TIMESTAMP)?,
            original: rows.column_by_name(columns::ORIGINAL)?.as_binary_opt::<i32>(),
            batch: long(columns::BATCH)?,
            index: long(columns::INDEX)?,
        })
    }

    fn keys(&self, row: usize) -> [i32; 4] {
        [
            self.stream.key(row),
            self.transport.key(row),
            self.peer.key(row),
            self.host.as_ref().map_or(-1, |host| host.key(row)),
        ]
    }

    fn source(&self, row: usize) -> SourceKey {
        let part = |words: Option<&Words<'a>>| {
            let text = words.and_then(|words| words.value(row)).unwrap_or_default();
            cut(text)
        };
        let transport = part(Some(&self.transport));
        let peer = part(Some(&self.peer));
        let peer = match transport == Transport::File.as_str() {
            true => peer,
            false => without_port(peer),
        };
        SourceKey {
            stream: part(Some(&self.stream)).into(),
            transport: transport.into(),
            peer: peer.into(),
            host: part(self.host.as_ref()).into(),
        }
    }

    fn place(&self, row: usize) -> (&'a str, u64, u32) {
        let number = self.batch.value(row).unsigned_abs();
        let index = u32::try_from(self.index.value(row)).unwrap_or(u32::MAX);
        (self.stream.value(row).unwrap_or_default(), number, index)
    }

    fn bytes(&self, row: usize) -> u64 {
        self.original.map_or(0, |original| u64::from(original.value_length(row).unsigned_abs()))
    }

    fn event_id(&self, row: usize) -> String {
        let (stream, batch, index) = self.place(row);
        match StreamName::new(stream) {
            Ok(stream) => EventId { stream, batch, index }.to_string(),
            Err(_) => String::new(),
        }
    }

    fn sample(&self, row: usize) -> String {
        let Some(original) = self.original else { return String::new() };
        let bytes = original.value(row);
        let most = bytes.len().min(SAMPLE_CHARS_MAX * 4);
        let text = String::from_utf8_lossy(bytes.get(..most).unwrap_or_default());
        text.chars().take(SAMPLE_CHARS_MAX).collect()
    }
}

fn cut(text: &str) -> &str {
    let end = (0..=NAME_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

/// `192.0.2.1:514` is `192.0.2.1`, and `[2001:db8::1]:514` is `2001:db8::1`.
fn without_port(peer: &str) -> &str {
    if let Some(rest) = peer.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(peer);
    }
    if peer.parse::<std::net::IpAddr>().is_ok() {
        return peer;
    }
    match peer.rsplit_once(':') {
        Some((address, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => address,
        _ => peer,
    }
}

/// The batch with the corrected time beside the original, where a source needs it.
fn corrected(batch: EventBatch, rows: &Rows<'_>, groups: &[Group], of_row: &[u32]) -> EventBatch {
    if groups.iter().all(|group| group.correction.is_none()) {
        return batch;
    }
    let correction = |row: usize| {
        let group = groups.get(*of_row.get(row)? as usize)?;
        let said = rows.claimed.value(row) != rows.received.value(row);
        group.correction.filter(|_| said)
    };
    let time =
        |row: usize| correction(row).map(|micros| rows.claimed.value(row).saturating_add(micros));
    let times: TimestampMicrosecondArray = (0..rows.count).map(time).collect();
    let skews: Int64Array =
        (0..rows.count).map(|row| correction(row).map(|micros| micros / 1_000)).collect();
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = batch.columns.schema();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(CORRECTED, micros, true)));
    fields.push(Arc::new(Field::new(SKEW, DataType::Int64, true)));
    let mut arrays = batch.columns.columns().to_vec();
    arrays.push(Arc::new(times.with_timezone("UTC")));
    arrays.push(Arc::new(skews));
    match RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays) {
        Ok(columns) => EventBatch { dataset: batch.dataset.clone(), columns },
        // Both columns are as long as the others, and no source can fill columns of ours.
        Err(_) => batch,
    }
}

#[cfg(test)]
mod tests;
