use crate::content;
use crate::context::Contexts;
use crate::decode::{Datasets, Decoded, Decoder};
use crate::flat::Flat;
use crate::mapping::{DatasetAbout, Mappings};
use crate::names::Names;
use crate::rows::Rows;
use crate::scripts::Scripts;
use crate::sentence::{Sentences, cell};
use crate::windows::Dialect;
use crate::{NormalizeError, charset};
use jiff::tz::TimeZone;
use std::sync::Arc;
use yagura_event::{CommittedRun, EventBatch, FieldDictionary, Lang, Origin, UtcMicros, columns};

/// Which reading of the raw bytes this is. Changes whenever the same bytes would give other fields.
pub const PARSER_VERSION: &str = "yagura-normalize 2";

/// Turns committed records into event batches; see the crate's documentation.
pub struct Normalizer {
    content: Arc<Content>,
    zone: TimeZone,
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
        let mappings = Mappings::new(content::MAPPINGS, &dictionary)?;
        let sentences = Sentences::new(content::SENTENCES, &dictionary)?;
        let datasets = Datasets::new(&mappings);
        let content = Arc::new(Content { dictionary, mappings, datasets, sentences });
        let work = Work::new(&content);
        Ok(Normalizer { content, zone: TimeZone::UTC, keep_original: true, work })
    }

    /// Another normalizer with the same content and settings and no rows, for another thread.
    pub fn fork(&self) -> Self {
        Normalizer {
            content: self.content.clone(),
            zone: self.zone.clone(),
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
        let manner = Manner { zone: &self.zone, keep_original: self.keep_original };
        self.work.record(&self.content, manner, origin, bytes);
    }

    /// Only the first half of [`Normalizer::push`], for benchmarks: how many fields there are.
    #[doc(hidden)]
    pub fn decode_only(&mut self, origin: &Origin<'_>, bytes: &[u8]) -> usize {
        self.work.decode(&self.content, &self.zone, origin, bytes);
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

    /// The batches finished so far, one per dataset seen since the last call.
    pub fn take_batches(&mut self) -> Vec<EventBatch> {
        self.work.waiting_rows = 0;
        self.work.waiting_bytes = 0;
        self.work.rows.iter_mut().flatten().filter_map(Rows::finish).collect()
    }

    /// What row `row` of `batch` says, in words: one line, never empty.
    pub fn sentence(&self, batch: &EventBatch, row: usize, lang: Lang) -> String {
        self.content.sentences.render(batch, row, lang)
    }

    /// The first record of `run`, read by itself. `None` when `run` is empty.
    pub fn describe(&self, run: &CommittedRun) -> Option<Described> {
        let (index, record) = run.indexed().next()?;
        let mut work = Work::new(&self.content);
        let manner = Manner { zone: &self.zone, keep_original: self.keep_original };
        work.record(&self.content, manner, &Origin::of(run, index, record), &record.bytes);
        let batch = work.rows.iter_mut().flatten().find_map(Rows::finish)?;
        let mut fields = Vec::new();
        let mut timestamp = record.received;
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
            rows,
            waiting_rows: 0,
            waiting_bytes: 0,
        }
    }

    /// Reads names and values into `flat`. Answers also the encoding where it is not UTF-8.
    fn decode(
        &mut self,
        content: &Content,
        zone: &TimeZone,
        origin: &Origin<'_>,
        bytes: &[u8],
    ) -> (Decoded, Option<&'static str>) {
        self.flat.clear();
        let (text, encoding) = charset::decode(bytes);
        let decoder = Decoder { mappings: &content.mappings, datasets: &content.datasets, zone };
        let context = self.contexts.of(origin);
        let decoded = decoder.decode(&text, origin, context, &mut self.flat);
        if decoded.dataset == content.datasets.powershell {
            self.scripts.join(origin, &mut self.flat);
        }
        (decoded, encoding)
    }

    fn record(&mut self, content: &Content, manner: Manner<'_>, origin: &Origin<'_>, bytes: &[u8]) {
        self.waiting_rows += 1;
        self.waiting_bytes = self.waiting_bytes.saturating_add(bytes.len());
        let zone = manner.zone;
        let (decoded, encoding) = self.decode(content, zone, origin, bytes);
        let flat = &mut self.flat;
        let (Some(place), Some(mappings)) =
            (self.rows.get_mut(decoded.dataset), content.mappings.datasets.get(decoded.dataset))
        else {
            unreachable!("the decoder answers positions of the mappings' datasets")
        };
        let rows =
            place.get_or_insert_with(|| Rows::new(mappings.clone(), content.dictionary.clone()));
        rows.begin(flat, origin, manner.keep_original.then_some(bytes));
        for number in 0..flat.len() {
            let Some(entry) = flat.entry(number) else { break };
            let dialect = if number < decoded.plain { Dialect::Plain } else { decoded.dialect };
            rows.emit(flat, dialect, entry);
        }
        rows.map(flat);
        rows.settle_time(flat, decoded.time, origin.received, zone);
        if let Some(encoding) = encoding {
            rows.set_column(flat, "yagura.encoding", encoding);
        }
        if let Some(problem) = flat.problem() {
            rows.set_column(flat, columns::PARSE_ERROR, problem);
        }
    }
}
