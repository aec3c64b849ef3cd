use crate::Place;
use crate::backend::Backend;
use crate::commands::job::Job;
use crate::output::{Format, RowWriter};
use crate::told::{either, misuse};
use crate::zone::{ZoneArgument, name_of};
use anyhow::{Error, Result};
use clap::Args;
use serde_json::Value;
use std::process::ExitCode;
use yagura_event::Lang;
use yagura_node::{Node, ReprocessRequest};

/// `yagura reprocess`
#[derive(Args)]
#[command(after_help = "\
Reads stored events again with today's decoders, mappings and settings, and replaces the columns that
were derived from them. Their bytes, their ids and the ledger stay; yagura verify holds as before. If
it is stopped or killed, run it again: each part is either old or new. Without anything said, it reads
what could not be read before.

Rules do not look at the events again by themselves: yagura hunt --rule all does that.

Examples:
  yagura reprocess --dry-run
  yagura reprocess
  yagura reprocess --source fw01 --last 7d
  yagura reprocess --dataset unknown --from 2026-11-01T00:00:00Z
  yagura reprocess 'event.dataset:json.generic' --dry-run
  yagura reprocess --all")]
pub struct Reprocess {
    /// Which events, as in `yagura search`
    #[arg(default_value = "", hide_default_value = true)]
    query: String,
    /// Every event
    #[arg(long, conflicts_with_all = ["query", "dataset"])]
    all: bool,
    /// Only events of this dataset, such as unknown
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Only events of this source: its host name, address, file or stream
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only events from this instant on
    #[arg(long, value_name = "INSTANT")]
    from: Option<String>,
    /// Only events before this instant
    #[arg(long, value_name = "INSTANT")]
    to: Option<String>,
    /// Only the last so many minutes, hours or days, such as 24h
    #[arg(long, value_name = "SPAN", conflicts_with_all = ["from", "to"])]
    last: Option<String>,
    /// Only count what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    zone: ZoneArgument,
    /// How the counts are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    /// No progress bar
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    place: Place,
}

const REREADING: Job = Job {
    path: "/api/v1/reprocess",
    total: "rows_total",
    done: &["rows_done"],
    state: Node::reprocessing,
    cancel: Node::cancel_reprocessing,
};

impl Reprocess {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let request = self.request(lang)?;
        let backend = Backend::open(&self.place, lang).await?;
        let done = self.reread(&backend, &request, lang).await;
        backend.close().await;
        self.print(&done?, lang)
    }

    fn request(&self, lang: Lang) -> Result<ReprocessRequest> {
        let mut query = self.query.clone();
        if let Some(dataset) = &self.dataset {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-*".contains(&byte);
            if dataset.is_empty() || !dataset.bytes().all(plain) {
                return Err(misuse(
                    lang,
                    format!("--dataset: {dataset:?} is no dataset, such as linux.auth"),
                    format!(
                        "--dataset: {dataset:?} はデータセットの名前ではありません（例: linux.auth）"
                    ),
                )
                .into());
            }
            query = match query.trim() {
                "" => format!("event.dataset:{dataset}"),
                query => format!("({query}) and event.dataset:{dataset}"),
            };
        }
        Ok(ReprocessRequest {
            query,
            all: self.all,
            source: self.source.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            last: self.last.clone(),
            time_zone: name_of(&self.zone.zone(lang)?),
            dry_run: self.dry_run,
        })
    }

    async fn reread(
        &self,
        backend: &Backend,
        request: &ReprocessRequest,
        lang: Lang,
    ) -> Result<Value> {
        let begin = |node: &Node, body: Value, who: &str| {
            // Proof: it was made from one.
            let request: ReprocessRequest = serde_json::from_value(body).unwrap_or_default();
            node.reprocess(&request, who)
        };
        backend.act(REREADING.path, serde_json::to_value(request)?, begin).await?;
        let message = |state: &Value| {
            let events = state["events"].as_u64().unwrap_or_default();
            match lang {
                Lang::En => format!("{events} events read again"),
                Lang::Ja => format!("{events}件を読み直し"),
            }
        };
        REREADING.follow(backend, self.quiet, message).await
    }

    fn print(&self, state: &Value, lang: Lang) -> Result<ExitCode> {
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, Vec::new());
        for change in state["changes"].as_array().into_iter().flatten() {
            if let Value::Object(row) = change {
                writer.write(row.clone())?;
            }
        }
        writer.finish()?;
        let count = |key: &str| state[key].as_u64().unwrap_or_default();
        let (events, moved) = (count("events"), count("moved"));
        let (mended, broken) = (count("mended"), count("broken"));
        match (lang, self.dry_run) {
            (Lang::En, true) => eprintln!(
                "{events} events would be read again: {moved} would change their dataset, {mended} \
                 could be read that could not before, {broken} no longer"
            ),
            (Lang::En, false) => eprintln!(
                "{events} events read again: {moved} changed their dataset, {mended} could be read that \
                 could not before, {broken} no longer. Rules did not look at them again: yagura hunt \
                 --rule all does"
            ),
            (Lang::Ja, true) => eprintln!(
                "{events}件を読み直す見込みです（データセットが変わるもの{moved}件、新たに読めるもの{mended}件、\
                 読めなくなるもの{broken}件）"
            ),
            (Lang::Ja, false) => eprintln!(
                "{events}件を読み直しました（データセットが変わったもの{moved}件、新たに読めたもの{mended}件、\
                 読めなくなったもの{broken}件）。ルールによる検知はやり直していません。必要なら yagura hunt \
                 --rule all を実行してください"
            ),
        }
        if let Some(error) = state["error"].as_str() {
            return Err(Error::msg(either(
                lang,
                format!("{error}; what was done stays, run it again to go on"),
                format!(
                    "読み直しの途中で失敗しました（{error}）。ここまでの結果は残ります。もう一度実行すると\
                     続きから読み直します"
                ),
            )));
        }
        if state["cancelled"] == true {
            match lang {
                Lang::En => eprintln!("stopped; run it again to go on"),
                Lang::Ja => eprintln!("中止しました。もう一度実行すると続きから読み直します"),
            }
            return Ok(ExitCode::from(1));
        }
        Ok(ExitCode::SUCCESS)
    }
}
