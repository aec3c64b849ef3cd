//! `yagura normalize`: how lines are read, for whoever writes a mapping.

use crate::output::visible;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use yagura_event::{Clock, CommittedRun, Lang, Record, StreamName, SystemClock, Words, columns};
use yagura_intake::SinkError;
use yagura_intake::import::{Import, ImportOptions, ImportSink, Progress, ProgressState, plan};
use yagura_normalize::{Described, Normalizer};

/// `yagura normalize`
#[derive(Args)]
#[command(after_help = "\
Reads what `yagura import` reads and stores nothing: for each record its raw text, its dataset, how
it was told to be of it, its fields and its sentence. Mappings are tried before they are used.

Exit codes: 0 every record was read; 1 a record is of no known kind, or a file could not be read; 2
misuse.

Examples:
  yagura normalize --try app.log
  yagura normalize --try app.log --mapping acme.toml --lang ja
  yagura normalize --try export.csv --zone Asia/Tokyo --output jsonl | jq .fields")]
pub struct Normalize {
    /// Files or folders with lines to try
    #[arg(long = "try", value_name = "FILE", required = true, num_args = 1..)]
    paths: Vec<PathBuf>,
    /// Mapping files (or directories of them) to try, over the built-in ones
    #[arg(long = "mapping", visible_alias = "content", value_name = "FILE", num_args = 1..)]
    mappings: Vec<PathBuf>,
    /// Zone of times that name none, such as Asia/Tokyo or +09:00
    #[arg(long = "zone", value_name = "ZONE", default_value = "UTC", env = "YAGURA_TIME_ZONE")]
    zone: String,
    /// How the records are written
    #[arg(long, value_enum, default_value = "table")]
    output: Shape,
    /// At most so many records of all files together; 0 for all
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: usize,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// Raw text, fields and sentence below each other, record by record
    Table,
    /// One JSON object a line
    Jsonl,
}

impl Normalize {
    pub fn run(self, lang: Lang) -> Result<ExitCode> {
        let zone = crate::zone::named("--zone", &self.zone, lang)?;
        let content = crate::content::read(&self.mappings, lang)?;
        let mut normalizer = Normalizer::with_content(&content)?;
        normalizer.set_default_zone(zone);
        let plan = plan(&self.paths);
        let tried = Trying {
            normalizer,
            lang,
            shape: self.output,
            left: if self.limit == 0 { usize::MAX } else { self.limit },
            out: BufWriter::new(io::stdout()),
            counts: Counts::default(),
            streams: BTreeMap::new(),
            failed: None,
        };
        let sink = Sink(Mutex::new(tried));
        let never = AtomicBool::new(false);
        let report = Import::run(&plan, &sink, &Quiet, &ImportOptions::default(), &never);
        let mut tried = sink.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        tried.out.flush()?;
        let mut has_unread = false;
        let mut tell = |path: &str, reason: &str| {
            has_unread = true;
            eprintln!("! {}: {}", visible(path), visible(reason));
        };
        for problem in &plan.problems {
            tell(&problem.path.display().to_string(), problem.reason.text(lang));
        }
        for file in &report.files {
            for damage in &file.damages {
                let (place, reason) = (damage.place.text(lang), damage.reason.text(lang));
                tell(&file.path, &format!("{place}: {reason}"));
            }
            if let Some(reason) = &file.skipped {
                tell(&file.path, reason.text(lang));
            }
        }
        tried.counts.tell(lang);
        // Whoever reads the output may have gone.
        if let Some(error) = tried.failed {
            return Err(error.into());
        }
        Ok(ExitCode::from(u8::from(has_unread || tried.counts.unknown > 0)))
    }
}

struct Quiet;

impl Progress for Quiet {
    fn update(&self, _: &ProgressState<'_>) {}
}

/// What is tried, and what came of it.
struct Trying {
    normalizer: Normalizer,
    lang: Lang,
    shape: Shape,
    left: usize,
    out: BufWriter<io::Stdout>,
    counts: Counts,
    /// Records of each file so far.
    streams: BTreeMap<StreamName, u64>,
    /// Why nothing more could be written.
    failed: Option<io::Error>,
}

#[derive(Default)]
struct Counts {
    records: u64,
    unknown: u64,
    imperfect: u64,
    datasets: BTreeMap<String, u64>,
}

impl Counts {
    fn tell(&self, lang: Lang) {
        let datasets: Vec<String> =
            self.datasets.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let (records, unknown, imperfect) = (self.records, self.unknown, self.imperfect);
        let datasets = datasets.join(", ");
        match lang {
            Lang::En => eprintln!(
                "{records} records: {unknown} of no known kind, {imperfect} with a parse error ({datasets})"
            ),
            Lang::Ja => eprintln!(
                "{records}件：種類の分からないもの {unknown}件、読み取りに問題のあるもの {imperfect}件（{datasets}）"
            ),
        }
    }
}

/// Takes records as an import would, and keeps none.
struct Sink(Mutex<Trying>);

impl ImportSink for Sink {
    fn append(&self, stream: &StreamName, records: Vec<Record>) -> Result<(), SinkError> {
        let enough = || SinkError::Closed(Words::quoted("enough"));
        let mut tried = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for record in records {
            if tried.left == 0 {
                return Err(enough());
            }
            tried.left -= 1;
            if let Err(error) = tried.record(stream, record) {
                tried.failed = Some(error);
                return Err(enough());
            }
        }
        Ok(())
    }

    fn stream_records(&self, _: &StreamName) -> Result<u64, SinkError> {
        Ok(0)
    }

    fn seal(&self, _: &StreamName) -> Result<(), SinkError> {
        Ok(())
    }
}

impl Trying {
    fn record(&mut self, stream: &StreamName, record: Record) -> io::Result<()> {
        let raw = String::from_utf8_lossy(&record.bytes).into_owned();
        let peer = record.peer.to_string();
        let count = self.streams.entry(stream.clone()).or_default();
        *count += 1;
        let number = *count;
        let run = CommittedRun {
            stream: stream.clone(),
            batch: 1,
            batch_salt: [0; 32],
            first_index: 0,
            records: vec![Record { received: SystemClock.now(), ..record }],
        };
        let Some(read) = self.normalizer.try_record(&run) else { return Ok(()) };
        let problem = read.fields.iter().find(|(name, _)| name == columns::PARSE_ERROR);
        let is_unknown = read.dataset == "unknown";
        self.counts.records += 1;
        self.counts.unknown += u64::from(is_unknown);
        self.counts.imperfect += u64::from(problem.is_some() && !is_unknown);
        *self.counts.datasets.entry(read.dataset.clone()).or_default() += 1;
        match self.shape {
            Shape::Table => self.table(&peer, number, &raw, &read),
            Shape::Jsonl => self.jsonl(&peer, number, &raw, &read),
        }
    }

    fn table(&mut self, peer: &str, number: u64, raw: &str, read: &Described) -> io::Result<()> {
        let (raw_label, field_label, sentence_label, why_label) = match self.lang {
            Lang::En => ("raw     ", "fields  ", "sentence", "dataset "),
            Lang::Ja => ("原文    ", "項目    ", "文      ", "種類    "),
        };
        let sentence = match self.lang {
            Lang::En => &read.sentence_en,
            Lang::Ja => &read.sentence_ja,
        };
        let out = &mut self.out;
        writeln!(out, "--- {} #{number}", visible(peer))?;
        writeln!(out, "{raw_label}  {}", visible(raw))?;
        writeln!(out, "{why_label}  {} ({})", visible(&read.dataset), why(read, self.lang))?;
        writeln!(out, "{field_label}  @timestamp = {}", read.timestamp)?;
        for (name, value) in shown(read) {
            writeln!(out, "            {} = {}", visible(name), visible(value))?;
        }
        writeln!(out, "{sentence_label}  {}", visible(sentence))?;
        writeln!(out)
    }

    fn jsonl(&mut self, peer: &str, number: u64, raw: &str, read: &Described) -> io::Result<()> {
        let fields: Map<String, Value> =
            shown(read).map(|(name, value)| (name.to_owned(), json!(value))).collect();
        let row = json!({
            "log.file.path": peer,
            "record": number,
            "event.original": raw,
            "event.dataset": read.dataset,
            "why": why(read, self.lang),
            "@timestamp": read.timestamp,
            "fields": fields,
            "sentence": { "ja": read.sentence_ja, "en": read.sentence_en },
        });
        writeln!(self.out, "{row}")
    }
}

/// The fields apart from the envelope, which says nothing of the reading.
fn shown(read: &Described) -> impl Iterator<Item = (&str, &str)> {
    const ENVELOPE: [&str; 9] = [
        columns::TIMESTAMP,
        columns::INGESTED,
        columns::STREAM,
        columns::BATCH,
        columns::INDEX,
        columns::TRANSPORT,
        columns::PEER,
        columns::IDENTITY,
        columns::LAYOUT,
    ];
    let fields = read.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    fields.filter(|(name, _)| !ENVELOPE.contains(name) && !name.starts_with("yagura.batch"))
}

/// How the record was told to be of its dataset.
fn why(read: &Described, lang: Lang) -> String {
    let field = |wanted: &str| {
        let found = read.fields.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| visible(value).into_owned())
    };
    let (ja, en) = if let Some(problem) = field(columns::PARSE_ERROR) {
        return match lang {
            Lang::Ja => format!("読み取りの問題：{problem}"),
            Lang::En => problem,
        };
    } else if let Some(layout) = field(columns::LAYOUT) {
        return match lang {
            Lang::Ja => format!("列の見出しによる：{layout}"),
            Lang::En => format!("by the header of its columns: {layout}"),
        };
    } else if let Some(channel) = field("winlog.channel") {
        return match lang {
            Lang::Ja => format!("Windows イベントログ {channel} から"),
            Lang::En => format!("from the Windows event log {channel}"),
        };
    } else if field("log.syslog.severity.code").is_some() || field("log.syslog.version").is_some() {
        ("syslog の見出しとプログラム名による", "by its syslog header and program")
    } else if read.dataset == "json.generic" {
        ("JSON だが、種類を示す名前がない", "JSON whose names tell no kind")
    } else if read.dataset == "kv.generic" {
        ("キー＝値の組による", "by its key=value pairs")
    } else {
        ("内容の形による", "by what the text looks like")
    };
    match lang {
        Lang::Ja => ja.to_owned(),
        Lang::En => en.to_owned(),
    }
}
