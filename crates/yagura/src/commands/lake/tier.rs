//! `yagura lake tier` and `yagura lake rehydrate`: files to the cold store and back.

use super::{bytes, named};
use crate::Place;
use crate::backend::Backend;
use crate::commands::job::{EndWords, Job};
use crate::output::{Format, Row, RowWriter};
use anyhow::Result;
use clap::Args;
use serde_json::Value;
use std::process::ExitCode;
use yagura_event::Lang;
use yagura_node::{Node, NodeError, RehydrateRequest, TierRequest};

#[derive(Args)]
#[command(after_help = "\
Files go byte for byte to the store of [lake.cold], are read back and compared, and stay files of the
table: searches, verification and deletion go on as before, only slower. What is due is said by
lake.cold.after_days and by each policy (cold_days, immediate_days). A server does this by itself.
Stopped or killed at any moment, every file is in one place: run it again to go on. The account of an
S3 server is taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with --server from the
server's configuration. docs/tiers.md tells more.

Exit codes: 0 done, 1 something did not compare or it could not be done, 2 misuse.

Examples:
  yagura lake tier --dry-run
  yagura lake tier --server http://127.0.0.1:8440
  yagura lake tier --before 2026-09-01 --dataset linux.auth")]
pub struct Tier {
    /// Only this dataset, such as windows.security
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// What was received before this UTC day, instead of what is due; what a policy keeps at hand stays
    #[arg(long, value_name = "DAY")]
    before: Option<String>,
    /// Only list what would go
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Args)]
#[command(after_help = "\
Files come back byte for byte from the cold stores, and each is compared with what was recorded of it.
They stay for 30 days before the server moves them again by itself. docs/tiers.md tells more.

Exit codes: 0 done, 1 something did not compare or it could not be done, 2 misuse.

Examples:
  yagura lake rehydrate --from 2026-03-01 --to 2026-03-31 --dry-run
  yagura lake rehydrate --from 2026-03-01 --to 2026-03-31
  yagura lake rehydrate --dataset linux.auth --server http://127.0.0.1:8440")]
pub struct Rehydrate {
    /// Only this dataset, such as windows.security
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Only what was received on this UTC day or later
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Only what was received on this UTC day or before
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Only list what would come
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Args)]
struct Shared {
    /// How the result is written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    /// No progress bar
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    place: Place,
}

const TIER: &str = "/api/v1/lake/tier";

const MOVING: Job = Job {
    path: TIER,
    total: "bytes_total",
    done: &["bytes_now"],
    state: Node::tiering,
    cancel: Node::cancel_tiering,
};

const MOVED: EndWords = EndWords {
    left: [
        "left where it was; run yagura verify",
        "移動していません。yagura verify で確認してください",
    ],
    kept: [
        "; what was moved stays so, run it again to go on",
        "。移動し終えた分はそのまま残ります。もう一度実行すると続きから進みます",
    ],
    nothing: ["nothing to move", "移動するファイルはありません"],
};

impl Tier {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let request =
            TierRequest { dataset: self.dataset, before: self.before, dry_run: self.dry_run };
        let begin = |node: &Node, body: Value, who: &str| {
            // Proof: it was made from one.
            let request: TierRequest = serde_json::from_value(body).unwrap_or_default();
            node.tier(&request, who)
        };
        self.shared.run(TIER, serde_json::to_value(request)?, begin, lang).await
    }
}

impl Rehydrate {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let request = RehydrateRequest {
            dataset: self.dataset,
            from: self.from,
            to: self.to,
            dry_run: self.dry_run,
        };
        let begin = |node: &Node, body: Value, who: &str| {
            // Proof: it was made from one.
            let request: RehydrateRequest = serde_json::from_value(body).unwrap_or_default();
            node.rehydrate(&request, who)
        };
        let request = serde_json::to_value(request)?;
        self.shared.run("/api/v1/lake/rehydrate", request, begin, lang).await
    }
}

impl Shared {
    async fn run(
        &self,
        path: &'static str,
        request: Value,
        begin: impl FnOnce(&Node, Value, &str) -> Result<Value, NodeError> + Send + 'static,
        lang: Lang,
    ) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let done = async {
            let state = backend.act(path, request, begin).await?;
            if state["dry_run"] == true { Ok(state) } else { self.watch(&backend, lang).await }
        };
        let done = done.await;
        backend.close().await;
        let done = done?;
        if done["dry_run"] == true { self.list(&done, lang) } else { self.print(&done, lang) }
    }

    async fn watch(&self, backend: &Backend, lang: Lang) -> Result<Value> {
        let message = |state: &Value| {
            let count = |key: &str| state[key].as_u64().unwrap_or_default();
            match lang {
                Lang::En => format!("{} of {} files", count("files_done"), count("files_total")),
                Lang::Ja => format!("{}/{}ファイル", count("files_done"), count("files_total")),
            }
        };
        MOVING.follow(backend, self.quiet, message).await
    }

    fn list(&self, state: &Value, lang: Lang) -> Result<ExitCode> {
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, Vec::new());
        for file in state["files"].as_array().into_iter().flatten() {
            let row: Row = match self.output {
                Format::Json | Format::Jsonl => file.as_object().cloned().unwrap_or_default(),
                format => named(
                    vec![
                        ("ファイル", "file", file["file.path"].clone()),
                        ("データセット", "dataset", file["event.dataset"].clone()),
                        ("日", "day", file["day"].clone()),
                        ("イベント", "events", file["events"].clone()),
                        ("サイズ", "size", bytes(&file["file.size"], format)),
                    ],
                    lang,
                ),
            };
            writer.write(row)?;
        }
        writer.finish()?;
        let (files, size) = (&state["files_total"], bytes(&state["bytes_total"], Format::Table));
        let size = size.as_str().unwrap_or_default();
        match lang {
            Lang::En => eprintln!("{files} files ({size}) would be moved"),
            Lang::Ja => eprintln!("{files}個（{size}）を移動する見込みです"),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, state: &Value, lang: Lang) -> Result<ExitCode> {
        let row: Row = match self.output {
            Format::Json | Format::Jsonl => {
                let keys = [
                    "way",
                    "files_done",
                    "rows_done",
                    "bytes_done",
                    "cancelled",
                    "failures",
                    "error",
                ];
                keys.into_iter().map(|key| (key.to_owned(), state[key].clone())).collect()
            }
            format => named(
                vec![
                    ("ファイル", "files", state["files_done"].clone()),
                    ("イベント", "events", state["rows_done"].clone()),
                    ("サイズ", "size", bytes(&state["bytes_done"], format)),
                ],
                lang,
            ),
        };
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, Vec::new());
        writer.write(row)?;
        writer.finish()?;
        MOVED.say(state, state["files_done"] == 0, lang)
    }
}
