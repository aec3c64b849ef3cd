use crate::content;
use crate::decode::{Datasets, Decoder};
use crate::flat::Flat;
use crate::mapping::Mappings;
use crate::rows::Rows;
use crate::sentence::{Sentences, cell};
use crate::windows::Dialect;
use crate::{NormalizeError, charset};
use jiff::tz::TimeZone;
use std::sync::Arc;
use yagura_event::{CommittedRun, EventBatch, FieldDictionary, Lang, Record, UtcMicros, columns};

/// Which reading of the raw bytes this is. Changes whenever the same bytes would give other fields.
pub const PARSER_VERSION: &str = "yagura-normalize 1";

/// Turns committed records into event batches; see the crate's documentation.
pub struct Normalizer {
    content: Arc<Content>,
    zone: TimeZone,
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
    /// By position of the dataset; made when first needed.
    rows: Vec<Option<Rows>>,
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
        Ok(Normalizer { content, zone: TimeZone::UTC, work })
    }

    /// The field dictionary built into the program (`content/fields.toml`).
    pub fn embedded_dictionary() -> Arc<FieldDictionary> {
        // Proof: the text is a constant, and a test reads it.
        let dictionary = FieldDictionary::from_toml(content::FIELDS)
            .unwrap_or_else(|error| unreachable!("content/fields.toml: {error}"));
        Arc::new(dictionary)
    }

    /// The zone of times that name none, for sources that write local time.
    pub fn set_default_zone(&mut self, zone: TimeZone) {
        self.zone = zone;
    }

    /// The field dictionary in use.
    pub fn dictionary(&self) -> &Arc<FieldDictionary> {
        &self.content.dictionary
    }

    /// Reads every record of `run` into the batch of its dataset.
    pub fn normalize(&mut self, run: &CommittedRun) {
        for (index, record) in run.indexed() {
            self.work.record(&self.content, &self.zone, run, index, record);
        }
    }

    /// The batches finished so far, one per dataset seen since the last call.
    pub fn take_batches(&mut self) -> Vec<EventBatch> {
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
        work.record(&self.content, &self.zone, run, index, record);
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
        Work { flat: Flat::default(), rows }
    }

    fn record(
        &mut self,
        content: &Content,
        zone: &TimeZone,
        run: &CommittedRun,
        index: u32,
        record: &Record,
    ) {
        let flat = &mut self.flat;
        flat.clear();
        let (text, encoding) = charset::decode(&record.bytes);
        let decoder = Decoder { mappings: &content.mappings, datasets: &content.datasets, zone };
        let decoded = decoder.decode(&text, &run.stream, record, flat);
        let (Some(place), Some(mappings)) =
            (self.rows.get_mut(decoded.dataset), content.mappings.datasets.get(decoded.dataset))
        else {
            unreachable!("the decoder answers positions of the mappings' datasets")
        };
        let rows =
            place.get_or_insert_with(|| Rows::new(mappings.clone(), content.dictionary.clone()));
        rows.begin(run, index, record);
        for number in 0..flat.len() {
            let Some(entry) = flat.entry(number) else { break };
            let dialect = if number < decoded.plain { Dialect::Plain } else { decoded.dialect };
            rows.emit(flat, dialect, entry);
        }
        rows.map(flat);
        rows.settle_time(flat, decoded.time, record.received, zone);
        if let Some(encoding) = encoding {
            rows.set_column(flat, "yagura.encoding", encoding);
        }
        if let Some(problem) = flat.problem() {
            rows.set_column(flat, columns::PARSE_ERROR, problem);
        }
    }
}
