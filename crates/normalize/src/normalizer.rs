mod fields;

use crate::content;
use crate::context::{Contexts, StreamContext};
use crate::decode::{Datasets, Decoded, Decoder};
use crate::flat::Flat;
use crate::mapping::{DatasetAbout, Mappings};
use crate::names::Names;
use crate::rows::Rows;
use crate::scripts::Scripts;
use crate::sentence::{BatchSentences, Sentences, cell};
use crate::sources::{Claims, Reading, SourceBook, SourceView};
use crate::windows::Dialect;
use crate::{ContentFile, NormalizeError, charset, layer, names, syslog};
use arrow::array::{DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use jiff::tz::TimeZone;
use std::sync::Arc;
use yagura_event::{
    CommittedRun, EventBatch, EventFields, FieldDictionary, FieldType, Lang, Origin, UtcMicros,
    columns,
};

/// Which reading of the raw bytes this is. Changes whenever the same bytes would give other fields.
pub const PARSER_VERSION: &str = "yagura-normalize 3";

/// Turns committed records into event batches; see the crate's documentation.
pub struct Normalizer {
    content: Arc<Content>,
    zone: TimeZone,
    sources: Arc<SourceBook>,
    keep_original: bool,
    work: Work,
}

/// What the content files say, shared by everyone who reads with them.
struct Content {
    dictionary: Arc<FieldDictionary>,
    mappings: Mappings,
    datasets: Datasets,
    sentences: Sentences,
}

/// What changes while reading.
struct Work {
    flat: Flat,
    contexts: Contexts,
    scripts: Scripts,
    sources: SourceView,
    known_names: fields::KnownNames,
    /// By position of the dataset; made when first needed.
    rows: Vec<Option<Rows>>,
    /// Rows and bytes of records since batches were taken.
    waiting_rows: usize,
    waiting_bytes: usize,
}

/// How a record is to be read.
#[derive(Clone, Copy)]
struct Manner<'a> {
    zone: &'a TimeZone,
    sources: &'a SourceBook,
    keep_original: bool,
}

/// One record in words and fields, for showing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The dataset, such as `windows.security`.
    pub dataset: String,
    /// `@timestamp`: when it happened, by the source's clock where it gave one.
    pub timestamp: UtcMicros,
    /// Name and value of every field that has one, apart from `event.original`.
    pub fields: Vec<(String, String)>,
    /// What happened, in Japanese.
    pub sentence_ja: String,
    /// What happened, in English.
    pub sentence_en: String,
}

impl Normalizer {
    /// A normalizer with the embedded mappings and sentences. Times without a zone are UTC until
    /// [`Normalizer::set_default_zone`].
    ///
    /// # Errors
    ///
    /// When the embedded content names a field that `dictionary` lacks, or is otherwise wrong.
    pub fn new(dictionary: Arc<FieldDictionary>) -> Result<Self, NormalizeError> {
        Self::over(dictionary, &[])
    }

    /// A normalizer with the embedded content and that of a user over it: see `docs/mappings.md` for
    /// what may stand in `files`. [`Normalizer::dictionary`] has the user's fields as well.
    ///
    /// # Errors
    ///
    /// When a file is beyond the limits of [`crate::limits`], is no such TOML, or means nothing; the
    /// error names file, entry and line, and says what would be right.
    pub fn with_content(files: &[ContentFile]) -> Result<Self, NormalizeError> {
        layer::check(files)?;
        let dictionary = layer::dictionary(files)?;
        Self::over(dictionary, files).map_err(|error| layer::located(error, files))
    }

    fn over(
        dictionary: Arc<FieldDictionary>,
        files: &[ContentFile],
    ) -> Result<Self, NormalizeError> {
        let users: Vec<_> =
            files.iter().map(|file| (file.name.as_str(), file.text.as_str())).collect();
        let mappings = Mappings::layered(content::MAPPINGS, &users, &dictionary)?;
        let sentences = Sentences::layered(content::SENTENCES, &users, &dictionary)?;
        let datasets = Datasets::new(&mappings);
        let content = Arc::new(Content { dictionary, mappings, datasets, sentences });
        let work = Work::new(&content);
        let sources = Arc::default();
        Ok(Normalizer { content, zone: TimeZone::UTC, sources, keep_original: true, work })
    }

    /// Another normalizer with the same content and settings and no rows, for another thread.
    pub fn fork(&self) -> Self {
        Normalizer {
            content: self.content.clone(),
            zone: self.zone.clone(),
            sources: self.sources.clone(),
            keep_original: self.keep_original,
            work: Work::new(&self.content),
        }
    }

    /// The field dictionary built into the program (`content/fields`).
    pub fn embedded_dictionary() -> Arc<FieldDictionary> {
        // Proof: the texts are constants, and a test reads them.
        let dictionary = FieldDictionary::from_files(content::FIELDS.iter().copied())
            .unwrap_or_else(|error| unreachable!("content: {error}"));
        Arc::new(dictionary)
    }

    /// The zone of times that name none, for sources that write local time.
    pub fn set_default_zone(&mut self, zone: TimeZone) {
        self.zone = zone;
    }

    /// What is fixed about single sources: shared with forks, and changed through it.
    pub fn sources(&self) -> &Arc<SourceBook> {
        &self.sources
    }

    /// Takes settings for single sources that others share. A dataset they name that there is not
    /// has no effect; see [`Normalizer::has_dataset`].
    pub fn set_sources(&mut self, sources: Arc<SourceBook>) {
        self.sources = sources;
    }

    /// Whether there is a dataset of this name.
    pub fn has_dataset(&self, name: &str) -> bool {
        self.content.mappings.find_dataset(name).is_some()
    }

    /// The dataset whose name is most like `name`, for messages.
    pub fn nearest_dataset(&self, name: &str) -> &str {
        let common = |other: &str| {
            let front = name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
            let back = name.bytes().rev().zip(other.bytes().rev()).take_while(|(a, b)| a == b);
            (front + back.count(), usize::MAX - other.len())
        };
        let names = self.content.mappings.datasets.iter().map(|dataset| &*dataset.name);
        names.max_by_key(|other| common(other)).unwrap_or("unknown")
    }

    /// Whether rows keep the received bytes in `event.original`, as they do at first. Without, the
    /// column is null everywhere: for readers whose records are kept elsewhere.
    pub fn set_keep_original(&mut self, keep: bool) {
        self.keep_original = keep;
    }

    /// The field dictionary in use.
    pub fn dictionary(&self) -> &Arc<FieldDictionary> {
        &self.content.dictionary
    }

    /// The datasets that records are told apart into, as their mappings describe them.
    pub fn datasets(&self) -> &[DatasetAbout] {
        &self.content.mappings.about
    }

    /// Reads every record of `run` into the batch of its dataset.
    pub fn normalize(&mut self, run: &CommittedRun) {
        for (index, record) in run.indexed() {
            self.push(&Origin::of(run, index, record), &record.bytes);
        }
    }

    /// Reads one record into the batch of its dataset, as one row. Nothing of it is kept but the
    /// row, so a caller may use one buffer for all records.
    ///
    /// Rows gather until [`Normalizer::take_batches`]; see [`Normalizer::waiting_rows`] and
    /// [`Normalizer::waiting_bytes`] for when to call that.
    pub fn push(&mut self, origin: &Origin<'_>, bytes: &[u8]) {
        let manner =
            Manner { zone: &self.zone, sources: &self.sources, keep_original: self.keep_original };
        self.work.record(&self.content, manner, origin, bytes);
    }

    /// Reads one event of Windows that was taken apart by its reader, as [`Normalizer::push`] reads its
    /// JSON: the names are those of the JSON, nested ones dotted, and the first is `Event`. The row has
    /// no `event.original`.
    pub fn push_event(&mut self, origin: &Origin<'_>, event: &EventFields<'_>) {
        let manner =
            Manner { zone: &self.zone, sources: &self.sources, keep_original: self.keep_original };
        self.work.event(&self.content, manner, origin, event);
    }

    /// Takes up what was known of the columns of the stream and peer of `origin`: what the rows before
    /// have in the column `yagura.layout`. For whoever begins in the middle of a file.
    pub fn resume_layout(&mut self, origin: &Origin<'_>, layout: &str) {
        self.work.resume(&self.content, &self.zone, origin, layout);
    }

    /// Says that records of `stream` and `peer` (the path of a file, or an address without port) were
    /// read before, by a normalizer that is no more: the next of them is not the first, and `layout` is
    /// what the last of them had in the column `yagura.layout`. Beyond 4,096 of them it is forgotten.
    pub fn continue_stream(&mut self, stream: &str, peer: &str, layout: Option<&str>) {
        self.work.contexts.inherit(stream, peer, layout.unwrap_or_default());
    }

    /// Only the first half of [`Normalizer::push`], for benchmarks: how many fields there are.
    #[doc(hidden)]
    pub fn decode_only(&mut self, origin: &Origin<'_>, bytes: &[u8]) -> usize {
        let manner =
            Manner { zone: &self.zone, sources: &self.sources, keep_original: self.keep_original };
        self.work.decode(&self.content, manner, origin, bytes);
        self.work.flat.len()
    }

    /// Rows read since batches were taken.
    pub fn waiting_rows(&self) -> usize {
        self.work.waiting_rows
    }

    /// Bytes of the records those rows were read from. What the rows hold is mostly less, and at
    /// most a few times as much.
    pub fn waiting_bytes(&self) -> usize {
        self.work.waiting_bytes
    }

    /// The batches finished so far, one per dataset seen since the last call. Rows that are kept
    /// ([`Normalizer::set_keep_original`]) say which version read them, in `yagura.parser`.
    pub fn take_batches(&mut self) -> Vec<EventBatch> {
        self.work.waiting_rows = 0;
        self.work.waiting_bytes = 0;
        let finished = self.work.rows.iter_mut().flatten().filter_map(Rows::finish);
        match self.keep_original {
            true => finished.map(with_parser).collect(),
            false => finished.collect(),
        }
    }

    /// What row `row` of `batch` says, in words: one line, never empty.
    pub fn sentence(&self, batch: &EventBatch, row: usize, lang: Lang) -> String {
        self.sentences(batch).of_row(row, lang)
    }

    /// For the sentences of several rows of `batch`.
    pub fn sentences<'a>(&'a self, batch: &'a EventBatch) -> BatchSentences<'a> {
        self.content.sentences.of(batch)
    }

    /// The first record of `run`, read by itself. `None` when `run` is empty.
    pub fn describe(&self, run: &CommittedRun) -> Option<Described> {
        self.describe_with(run, None)
    }

    /// [`Normalizer::describe`] of a record whose row had `layout` in the column `yagura.layout`:
    /// without its header, a row of a CSV file says nothing.
    pub fn describe_with(&self, run: &CommittedRun, layout: Option<&str>) -> Option<Described> {
        let (index, record) = run.indexed().next()?;
        let mut work = Work::new(&self.content);
        if let Some(layout) = layout {
            work.resume(&self.content, &self.zone, &Origin::of(run, index, record), layout);
        }
        let manner =
            Manner { zone: &self.zone, sources: &self.sources, keep_original: self.keep_original };
        work.record(&self.content, manner, &Origin::of(run, index, record), &record.bytes);
        self.described(&mut work, record.received)
    }

    /// The first record of `run` in words and fields, read after all that were given to this before:
    /// so that a header explains the rows behind it. Rows that wait are forgotten.
    pub fn try_record(&mut self, run: &CommittedRun) -> Option<Described> {
        let (index, record) = run.indexed().next()?;
        self.take_batches();
        self.push(&Origin::of(run, index, record), &record.bytes);
        let mut work = std::mem::replace(&mut self.work, Work::new(&self.content));
        let described = self.described(&mut work, record.received);
        self.work = work;
        described
    }

    fn described(&self, work: &mut Work, received: UtcMicros) -> Option<Described> {
        let batch = work.rows.iter_mut().flatten().find_map(Rows::finish)?;
        let mut fields = Vec::new();
        let mut timestamp = received;
        for (field, column) in batch.columns.schema().fields().iter().zip(batch.columns.columns()) {
            let Some(value) = cell(column.as_ref(), 0) else { continue };
            if field.name() == columns::TIMESTAMP {
                timestamp = value.parse().unwrap_or(timestamp);
            }
            fields.push((field.name().clone(), value.into_owned()));
        }
        Some(Described {
            sentence_ja: self.sentence(&batch, 0, Lang::Ja),
            sentence_en: self.sentence(&batch, 0, Lang::En),
            dataset: batch.dataset.to_string(),
            timestamp,
            fields,
        })
    }
}

impl Work {
    fn new(content: &Content) -> Self {
        let rows = content.mappings.datasets.iter().map(|_| None).collect();
        Work {
            flat: Flat::new(Names::new(content.mappings.signatures.bits())),
            contexts: Contexts::default(),
            scripts: Scripts::default(),
            sources: SourceView::default(),
            known_names: fields::KnownNames::default(),
            rows,
            waiting_rows: 0,
            waiting_bytes: 0,
        }
    }

    /// Takes up what was known of the columns of a stream.
    fn resume(&mut self, content: &Content, zone: &TimeZone, origin: &Origin<'_>, layout: &str) {
        let decoder = Decoder { mappings: &content.mappings, datasets: &content.datasets, zone };
        self.contexts.of(origin).layouts.resume(layout, &decoder.reading(origin));
    }

    /// Reads names and values into `flat`. Answers also what is worth saying of the encoding, and
    /// what was fixed about the source.
    fn decode(
        &mut self,
        content: &Content,
        manner: Manner<'_>,
        origin: &Origin<'_>,
        bytes: &[u8],
    ) -> (Decoded, Option<charset::Note>, Option<Arc<Reading>>) {
        let (mut fixed, asks_for_claims) = self.sources.of(manner.sources, origin);
        let encoding = |fixed: &Option<Arc<Reading>>| fixed.as_ref()?.encoding;
        let (mut text, mut note) = charset::decode(bytes, encoding(&fixed));
        if asks_for_claims {
            let told = self.claimed(content, manner, origin, &text);
            if encoding(&told) != encoding(&fixed) {
                (text, note) = charset::decode(bytes, encoding(&told));
            }
            fixed = told;
        }
        let mut decoded = self.read(content, manner, &fixed, origin, &text);
        let dataset = fixed.as_ref().and_then(|fixed| fixed.dataset.as_deref());
        if let Some(dataset) = dataset.and_then(|name| content.mappings.find_dataset(name)) {
            decoded.dataset = dataset;
        }
        (decoded, note, fixed)
    }

    fn read(
        &mut self,
        content: &Content,
        manner: Manner<'_>,
        fixed: &Option<Arc<Reading>>,
        origin: &Origin<'_>,
        text: &str,
    ) -> Decoded {
        self.flat.clear();
        let zone = zone_of(fixed, manner);
        let decoder = Decoder { mappings: &content.mappings, datasets: &content.datasets, zone };
        let context = self.contexts.of(origin);
        if let Some(layout) = context.inherited.take() {
            context.layouts.resume(&layout, &decoder.reading(origin));
        }
        let decoded = decoder.decode(text, origin, context, &mut self.flat);
        context.layouts.pass();
        if decoded.dataset == content.datasets.powershell {
            self.scripts.join(origin, &mut self.flat);
        }
        decoded
    }

    /// What is fixed for the host and program that `text` claims: those of its syslog header, or of
    /// the document it is.
    fn claimed(
        &mut self,
        content: &Content,
        manner: Manner<'_>,
        origin: &Origin<'_>,
        text: &str,
    ) -> Option<Arc<Reading>> {
        let trimmed = text.trim();
        if !trimmed.starts_with('{') {
            let header = syslog::parse(trimmed, origin.received, manner.zone).unwrap_or_default();
            let claims = Claims { host: header.host, program: header.program };
            return Some(self.sources.with_claims(origin, claims));
        }
        // A context would take the record twice; documents have no need of one.
        self.flat.clear();
        let decoder =
            Decoder { mappings: &content.mappings, datasets: &content.datasets, zone: manner.zone };
        decoder.decode(trimmed, origin, &mut StreamContext::default(), &mut self.flat);
        let flat = &self.flat;
        let first = |names: &[names::NameId]| names.iter().find_map(|name| flat.value(*name));
        let claims = Claims {
            host: first(&[
                // There `host.name` is the collector.
                names::OLD_BEATS_COMPUTER,
                names::HOST_NAME,
                names::BEATS_COMPUTER,
                names::EVTX_COMPUTER,
                names::FLAT_HOSTNAME,
                names::JOURNAL_HOSTNAME,
            ]),
            program: first(&[names::PROCESS_NAME, names::JOURNAL_PROGRAM]),
        };
        Some(self.sources.with_claims(origin, claims))
    }

    fn record(&mut self, content: &Content, manner: Manner<'_>, origin: &Origin<'_>, bytes: &[u8]) {
        self.waiting_rows += 1;
        self.waiting_bytes = self.waiting_bytes.saturating_add(bytes.len());
        let decoded = self.decode(content, manner, origin, bytes);
        self.row(content, manner, origin, decoded, manner.keep_original.then_some(bytes));
    }

    /// Makes a row of what was decoded.
    fn row(
        &mut self,
        content: &Content,
        manner: Manner<'_>,
        origin: &Origin<'_>,
        (decoded, note, fixed): (Decoded, Option<charset::Note>, Option<Arc<Reading>>),
        original: Option<&[u8]>,
    ) {
        let zone = zone_of(&fixed, manner);
        let flat = &mut self.flat;
        let (Some(place), Some(mappings)) =
            (self.rows.get_mut(decoded.dataset), content.mappings.datasets.get(decoded.dataset))
        else {
            unreachable!("the decoder answers positions of the mappings' datasets")
        };
        mappings.lists.apply(flat, decoded.plain);
        let zone = if mappings.utc { &TimeZone::UTC } else { zone };
        let rows =
            place.get_or_insert_with(|| Rows::new(mappings.clone(), content.dictionary.clone()));
        rows.begin(flat, origin, original);
        for number in 0..flat.len() {
            let Some(entry) = flat.entry(number) else { break };
            let dialect = if number < decoded.plain { Dialect::Plain } else { decoded.dialect };
            rows.emit(flat, dialect, entry);
        }
        rows.map(flat);
        rows.settle_time(flat, decoded.time, origin.received, zone);
        if let Some(layout) = &decoded.layout {
            rows.set_column(flat, columns::LAYOUT, layout);
        }
        if let Some(note) = note {
            rows.set_column(flat, "yagura.encoding", &note.text());
        }
        if let Some(problem) = flat.problem() {
            rows.set_column(flat, columns::PARSE_ERROR, problem);
        }
    }
}

/// The batch with [`PARSER_VERSION`] beside every row: one word and a key for each.
fn with_parser(batch: EventBatch) -> EventBatch {
    let keys = Int32Array::from(vec![0; batch.rows()]);
    let words = Arc::new(StringArray::from(vec![PARSER_VERSION]));
    let schema = batch.columns.schema();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(PARSER, FieldType::Keyword.arrow(), true)));
    let mut columns = batch.columns.columns().to_vec();
    let named = DictionaryArray::try_new(keys, words);
    let Ok(named) = named else { return batch };
    columns.push(Arc::new(named));
    match RecordBatch::try_new(Arc::new(Schema::new(fields)), columns) {
        Ok(columns) => EventBatch { columns, ..batch },
        // As many rows as the others, and no source can fill columns of ours.
        Err(_) => batch,
    }
}

/// Which version read a row.
const PARSER: &str = "yagura.parser";

/// The zone of times that name none.
fn zone_of<'a>(fixed: &'a Option<Arc<Reading>>, manner: Manner<'a>) -> &'a TimeZone {
    fixed.as_ref().and_then(|fixed| fixed.zone.as_ref()).unwrap_or(manner.zone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_event::{Record, StreamName, Transport};

    const LINE: &str = "<38>Nov 21 18:00:00 fw01 sshd[42]: Failed password for root from 192.0.2.7 port 50022 ssh2";

    fn run(transport: Transport, peer: &str, bytes: &[u8]) -> CommittedRun {
        let record = Record {
            received: "2026-11-21T09:00:01Z".parse().unwrap(),
            transport,
            peer: peer.into(),
            identity: "none".into(),
            bytes: bytes.to_vec().into(),
        };
        CommittedRun {
            stream: StreamName::new("syslog").unwrap(),
            batch: 1,
            batch_salt: [0; 32],
            first_index: 0,
            records: vec![record],
        }
    }

    fn setting(text: &str) -> crate::SourceSetting {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn settings_of_a_source_hold_for_it_alone() {
        let normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
        let udp = |bytes: &[u8]| run(Transport::SyslogUdp, "192.0.2.1:514", bytes);
        let read = |run: &CommittedRun| normalizer.describe(run).unwrap();
        assert_eq!(read(&udp(LINE.as_bytes())).timestamp, "2026-11-21T18:00:00Z".parse().unwrap());
        normalizer.sources().set_sources(vec![
            setting("host = 'FW*'\nzone = 'Asia/Tokyo'"),
            setting("program = 'legacy'\nencoding = 'cp932'\ndataset = 'network.vpn'"),
            setting("host = 'app9'\nzone = 'Asia/Tokyo'"),
        ]);
        let nine = "2026-11-21T09:00:00Z".parse().unwrap();
        assert_eq!(read(&udp(LINE.as_bytes())).timestamp, nine);
        let elsewhere = LINE.replace("fw01", "db01");
        assert_ne!(read(&udp(elsewhere.as_bytes())).timestamp, nine);
        // A document claims its host in a field.
        let document =
            br#"{"@timestamp":"2026-11-21 18:00:00","host":{"name":"app9"},"message":"x"}"#;
        assert_eq!(read(&udp(document)).timestamp, nine);
        // Half-width katakana, which by themselves look like kanji in EUC-JP.
        let legacy = b"<13>Nov 21 09:00:00 db01 legacy: \xB1\xB8\xBE\xBD";
        let described = read(&udp(legacy));
        assert_eq!(described.dataset, "network.vpn");
        let field =
            |name: &str| described.fields.iter().find(|(n, _)| n == name).unwrap().1.clone();
        assert_eq!(field("message"), "ｱｸｾｽ");
        assert_eq!(field("yagura.encoding"), "cp932");
    }

    #[test]
    fn a_stream_that_was_told_how_it_is_written_is_read_so() {
        let normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
        let line: Vec<u8> = "ログオン失敗".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let file = run(Transport::File, "/logs/app.txt", &line);
        let message = || {
            let described = normalizer.describe(&file).unwrap();
            described.fields.into_iter().find(|(name, _)| name == "message").unwrap().1
        };
        assert_ne!(message(), "ログオン失敗");
        let reading = crate::Reading {
            encoding: Some(crate::TextEncoding::UTF_16_LE),
            ..crate::Reading::default()
        };
        normalizer.sources().set_stream(file.stream.clone(), reading);
        assert_eq!(message(), "ログオン失敗");
        assert!(normalizer.has_dataset("linux.auth") && !normalizer.has_dataset("linux.nothing"));
    }
}
