use crate::backend::{node_options, open_node};
use crate::client::Client;
use crate::config::Config;
use crate::output::{Format, RowWriter, visible};
use crate::{Misuse, Place, told};
use anyhow::{Error, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use yagura_event::{Lang, Record, StreamName, Words};
use yagura_intake::SinkError;
use yagura_intake::import::{
    FileReport, Import as Importing, ImportOptions, ImportReport, ImportSink, Outcome, Plan,
    Progress, ProgressState, Written, plan,
};
use yagura_node::DataDir;
use yagura_normalize::{Normalizer, Reading};

/// `yagura import`
#[derive(Args)]
#[command(after_help = "\
What a file is follows from its contents, not its name. A file that is already in the store adds
nothing; an interrupted import goes on where it stopped when it is run again.

Examples:
  yagura import /evidence/winevt.zip
  yagura import /var/log --data ./case-7
  yagura import capture.jsonl.gz --server http://127.0.0.1:8440
  yagura import /evidence/fw --zone Asia/Tokyo --encoding cp932")]
pub struct Import {
    /// Files or folders; archives and compressed files are opened
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Directories of Sigma rules to watch with, besides our own
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with = "server")]
    rules: Vec<PathBuf>,
    /// Zone of times in these files that name none, such as Asia/Tokyo
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Character encoding of these files, such as cp932; found out where it is not given
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// Dataset of these files, whatever they look like, such as linux.syslog
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// How the list of files is written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    /// No progress bar
    #[arg(long, short)]
    quiet: bool,
}

impl Import {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let written = self.written(lang)?;
        let plan = plan(&self.paths);
        let cancel = Arc::new(AtomicBool::new(false));
        let told = cancel.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                told.store(true, Ordering::SeqCst);
            }
        });
        let bar = Bar::new(plan.bytes(), self.quiet, lang);
        let report = if let Some(server) = &self.place.server {
            let client = Client::new(server, self.place.token_file.as_deref(), lang)?;
            let sink = RemoteSink { client, runtime: tokio::runtime::Handle::current(), lang };
            run_on(plan.clone(), sink, bar, cancel, written).await?
        } else {
            let data = DataDir::new(self.place.data_dir(lang)?);
            let mut config = Config { lang, ..Config::default() };
            config.rules.dirs = self.rules.clone();
            config.content.dirs = self.place.content.clone();
            let node = open_node(data, node_options(&config)?).await?;
            let report = run_on(plan.clone(), node.sink(), bar, cancel, written).await;
            tokio::task::spawn_blocking(move || node.close()).await??;
            report?
        };
        self.print(&plan, &report, lang)
    }

    /// What the user says of the files, checked before anything is read.
    fn written(&self, lang: Lang) -> Result<Written> {
        let Import { zone, encoding, dataset, .. } = self;
        // What is wrong begins with the name of the option.
        let wrong = |words: Words| Misuse(format!("--{}", words.text(lang)));
        Reading::parse(None, zone.as_deref(), encoding.as_deref()).map_err(wrong)?;
        if let Some(name) = dataset {
            let normalizer = Normalizer::new(Normalizer::embedded_dictionary())?;
            if !normalizer.has_dataset(name) {
                let near = normalizer.nearest_dataset(name);
                return Err(Misuse(match lang {
                    Lang::En => format!("--dataset: there is no {name:?}; is it {near:?}?"),
                    Lang::Ja => {
                        format!("--dataset: {name:?} はありません（{near:?} のことですか）")
                    }
                })
                .into());
            }
        }
        let (dataset, zone, encoding) = (dataset.clone(), zone.clone(), encoding.clone());
        Ok(Written { dataset, zone, encoding })
    }

    fn print(&self, plan: &Plan, report: &ImportReport, lang: Lang) -> Result<ExitCode> {
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, Vec::new());
        for file in &report.files {
            if let Value::Object(row) = row(file, self.output, lang) {
                writer.write(row)?;
            }
        }
        writer.finish()?;
        for file in &report.files {
            for damage in &file.damages {
                let place = format!("{}: {}", file.path, damage.place.text(lang));
                eprintln!("! {}", visible(&line(&place, What::Damaged, &damage.reason, lang)));
            }
            if let Some(reason) = &file.skipped {
                let what = if file.no_log { What::NoLog } else { What::NotRead };
                eprintln!("! {}", visible(&line(&file.path, what, reason, lang)));
            }
        }
        for problem in &plan.problems {
            let path = problem.path.display().to_string();
            eprintln!("! {}", visible(&line(&path, What::NotRead, &problem.reason, lang)));
        }
        let (added, there) = (report.records_added(), report.records_already_there());
        let (files, damaged) = (report.files.len(), report.damaged());
        let unread = report.unread() + plan.problems.len();
        match lang {
            Lang::En => eprintln!(
                "{files} files: {added} records added, {there} were there already, {damaged} damaged \
                 places, {unread} not read"
            ),
            Lang::Ja => eprintln!(
                "{files}ファイル: {added}件を追加、{there}件は取り込み済み、破損{damaged}か所、\
                 読み取り不可{unread}件"
            ),
        }
        match &report.outcome {
            Outcome::Done if damaged > 0 || unread > 0 => Ok(ExitCode::from(1)),
            Outcome::Done => Ok(ExitCode::SUCCESS),
            Outcome::Failed(error) => {
                let error = error.text(lang);
                Err(Error::msg(told::either(
                    lang,
                    format!("{error}; run the same import again to go on"),
                    format!("{error}。同じコマンドで続きから再開します"),
                )))
            }
            _ => {
                match lang {
                    Lang::En => eprintln!("interrupted; run the same import again to go on"),
                    Lang::Ja => eprintln!("中断しました。同じコマンドで続きから再開します"),
                }
                Ok(ExitCode::from(1))
            }
        }
    }
}

/// What an import says of a file besides its counts.
#[derive(Clone, Copy)]
enum What {
    Damaged,
    NotRead,
    NoLog,
}

/// One line about a file.
fn line(place: &str, what: What, reason: &Words, lang: Lang) -> String {
    match (lang, what) {
        (Lang::En, _) => format!("{place}: {}", reason.en()),
        (Lang::Ja, What::Damaged) => format!("{place}: 破損があります（{}）", reason.ja()),
        (Lang::Ja, What::NotRead) => format!("{place}: 読み取れませんでした（{}）", reason.ja()),
        (Lang::Ja, What::NoLog) => format!("{place}: ログではないため読み取っていません"),
    }
}

fn row(file: &FileReport, output: Format, lang: Lang) -> Value {
    // Only a table is for people.
    let lang = if output == Format::Table { lang } else { Lang::En };
    json!({
        "log.file.path": file.path,
        "kind": file.kind,
        "records_added": file.records_added,
        "records_already_there": file.records_already_there,
        "records_cut": file.records_cut,
        "damaged": file.damaged,
        "skipped": file.skipped.as_ref().map(|why| why.text(lang)),
        "bytes": file.bytes,
        "file.hash.sha256": file.sha256,
        "stream": file.stream,
    })
}

async fn run_on(
    plan: Plan,
    sink: impl ImportSink + Send + 'static,
    bar: Bar,
    cancel: Arc<AtomicBool>,
    written: Written,
) -> Result<ImportReport> {
    let options = ImportOptions { written, ..ImportOptions::default() };
    let work = move || Importing::run(&plan, &sink, &bar, &options, &cancel);
    Ok(tokio::task::spawn_blocking(work).await?)
}

/// The progress bar: bytes, rate and remaining time, on standard error.
struct Bar(ProgressBar, Lang);

impl Bar {
    fn new(bytes: u64, quiet: bool, lang: Lang) -> Self {
        let target =
            if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(bytes), target);
        let template = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Bar(bar, lang)
    }
}

impl Progress for Bar {
    fn update(&self, state: &ProgressState<'_>) {
        self.0.set_position(state.bytes_done);
        let rate = state.records_per_second;
        let (records, file) = (state.records, visible(state.file));
        self.0.set_message(told::either(
            self.1,
            format!("{records} records {rate:.0}/s {file}"),
            format!("{records}件 毎秒{rate:.0}件 {file}"),
        ));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A server that takes an import's records over HTTP.
struct RemoteSink {
    client: Client,
    runtime: tokio::runtime::Handle,
    lang: Lang,
}

/// Most bytes of records sent at once.
const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

impl RemoteSink {
    fn send(&self, stream: &StreamName, records: &[Record], seal: bool) -> Result<(), SinkError> {
        let at = self.stream_records(stream)?;
        let peer = records.first().map(|record| record.peer.to_string()).unwrap_or_default();
        let mut body = Vec::new();
        for record in records {
            let length = u32::try_from(record.bytes.len()).unwrap_or(u32::MAX);
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(&record.bytes);
        }
        let query = [
            ("stream", stream.to_string()),
            ("peer", peer),
            ("at", at.to_string()),
            ("seal", seal.to_string()),
        ];
        let sent = self.client.post_bytes("/api/v1/import", &query, body);
        self.runtime.block_on(sent).map(|_| ()).map_err(|error| self.failed(&error))
    }

    /// The server, or the way to it, is what failed, and not a journal of ours.
    fn failed(&self, error: &anyhow::Error) -> SinkError {
        // The client speaks the language of the person already.
        SinkError::Failed(Words::quoted(told::error(error, self.lang)))
    }
}

impl ImportSink for RemoteSink {
    fn append(&self, stream: &StreamName, records: Vec<Record>) -> Result<(), SinkError> {
        let mut start = 0;
        let mut bytes = 0;
        for (end, record) in records.iter().enumerate() {
            if bytes + record.bytes.len() > REQUEST_BYTES_MAX {
                self.send(stream, records.get(start..end).unwrap_or_default(), false)?;
                (start, bytes) = (end, 0);
            }
            bytes += record.bytes.len();
        }
        self.send(stream, records.get(start..).unwrap_or_default(), false)
    }

    fn stream_records(&self, stream: &StreamName) -> Result<u64, SinkError> {
        let path = format!("/api/v1/streams/{stream}");
        let answer = self.runtime.block_on(self.client.get(&path, &[]));
        let answer = answer.map_err(|error| self.failed(&error))?;
        answer["records"].as_u64().ok_or_else(|| {
            SinkError::Failed(Words::new(
                "the server does not say how many records it has",
                "サーバーの応答に件数がありません",
            ))
        })
    }

    fn describe(&self, stream: &StreamName, written: &Written) -> Result<(), SinkError> {
        let mut query = vec![("stream", stream.to_string())];
        let said = [
            ("dataset", &written.dataset),
            ("zone", &written.zone),
            ("encoding", &written.encoding),
        ];
        query.extend(said.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))));
        let at = self.stream_records(stream)?;
        query.push(("at", at.to_string()));
        let sent = self.client.post_bytes("/api/v1/import", &query, Vec::new());
        self.runtime.block_on(sent).map(|_| ()).map_err(|error| self.failed(&error))
    }

    fn seal(&self, stream: &StreamName) -> Result<(), SinkError> {
        self.send(stream, &[], true)
    }
}
