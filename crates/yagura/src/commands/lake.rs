//! `yagura lake`: the table of events as files.

mod tier;

use crate::Place;
use crate::backend::Backend;
use crate::commands::backup::{Backup, Restore};
use crate::commands::job::{EndWords, Job};
use crate::config::{Config, LakeSection};
use crate::output::{Format, Row, RowWriter};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use yagura_event::Lang;
use yagura_node::{CompactRequest, Node, VacuumRequest};

/// `yagura lake`
#[derive(Args)]
#[command(after_help = "\
The events lie in one Delta table of Parquet files, by dataset and day of receipt, below lake/events in
the data directory. docs/lake.md tells what becomes of them.

Examples:
  yagura lake stats
  yagura lake stats --columns --dataset windows.security
  yagura lake compact
  yagura lake compact --day 2026-11-21 --server http://127.0.0.1:8440
  yagura lake vacuum --dry-run
  yagura lake backup /backup/yagura")]
pub struct LakeCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Rewrite files sorted and compressed harder, verified against the ledger before they count
    Compact(Compact),
    /// Show what was received and what it takes: by dataset, or by column
    Stats(Stats),
    /// Move old files to the cold store, where they stay searchable
    Tier(tier::Tier),
    /// Bring files back from the cold store
    Rehydrate(tier::Rehydrate),
    /// Remove files that left the table and that no question needs any more
    Vacuum(Vacuum),
    /// Copy the whole data directory, as it is at one moment, to a directory or a bucket
    Backup(Backup),
    /// Bring a backup back into an empty directory, and verify it
    Restore(Restore),
}

#[derive(Args)]
#[command(after_help = "\
Events, their order in the ledger and every answer stay the same; files become fewer and smaller. Every
batch is read back from the new files and must give the root it was sealed with, or the old files stay,
the audit log says so, and the exit code is 1. Stopped or killed at any moment, the table is whole: run
it again to go on. The old files stay on disk for 15 minutes, for questions that began before.

Exit codes: 0 done, 1 something did not verify or it could not be done, 2 misuse.

Examples:
  yagura lake compact
  yagura lake compact --dataset linux.auth --day 2026-11-21
  yagura lake compact --config yagura.toml --data /srv/yagura
  yagura lake compact --due --output json")]
struct Compact {
    /// Only this dataset, such as windows.security
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Only what was received on this UTC day, such as 2026-11-21
    #[arg(long, value_name = "DAY")]
    day: Option<String>,
    /// Only what the server would compact by itself: many files, or a day that is over
    #[arg(long)]
    due: bool,
    /// How the result is written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    /// No progress bar
    #[arg(long, short)]
    quiet: bool,
    /// The configuration file, for lake.keep_raw of a directory; a server goes by its own
    #[arg(long, value_name = "FILE", env = "YAGURA_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
#[command(after_help = "\
Received: bytes of the events as they came. Stored: bytes of the Parquet files. Events that are in
memory only are not counted.

Examples:
  yagura lake stats
  yagura lake stats --columns
  yagura lake stats --columns --dataset linux.auth --output csv")]
struct Stats {
    /// By column instead of by dataset
    #[arg(long)]
    columns: bool,
    /// Only this dataset
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
#[command(after_help = "\
A file that left the table stays for 15 minutes, because a question that began before may still read
it; a server removes it then by itself. Opening a directory removes what is left over in any case.
Files of which the table has not every record are never removed: yagura verify names them.

Examples:
  yagura lake vacuum --dry-run
  yagura lake vacuum --server http://127.0.0.1:8440")]
struct Vacuum {
    /// Only list what would be removed
    #[arg(long)]
    dry_run: bool,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    #[command(flatten)]
    place: Place,
}

const COMPACTING: Job = Job {
    path: "/api/v1/lake/compact",
    total: "rows_total",
    done: &["rows_now"],
    state: Node::compacting,
    cancel: Node::cancel_compacting,
};

impl LakeCommand {
    pub async fn run(self, asked: Option<Lang>, lang: Lang) -> Result<ExitCode> {
        match self.action {
            Action::Compact(compact) => compact.run(asked, lang).await,
            Action::Stats(stats) => stats.run(lang).await,
            Action::Tier(tier) => tier.run(lang).await,
            Action::Rehydrate(rehydrate) => rehydrate.run(lang).await,
            Action::Vacuum(vacuum) => vacuum.run(lang).await,
            Action::Backup(backup) => backup.run(lang).await,
            Action::Restore(restore) => restore.run(lang).await,
        }
    }
}

const COMPACTED: EndWords = EndWords {
    left: [
        "left as it was; run yagura verify",
        "元のファイルを残しました。yagura verify で確認してください",
    ],
    kept: [
        "; what was compacted stays, run it again to go on",
        "。終わった分はそのまま残ります。もう一度実行すると続きから進みます",
    ],
    nothing: ["nothing to compact", "コンパクションが必要なファイルはありません"],
};

impl Compact {
    async fn run(self, asked: Option<Lang>, lang: Lang) -> Result<ExitCode> {
        // What the server was told to leave out is not stored twice again by a command beside it.
        let lake = match &self.config {
            Some(path) if self.place.is_directory() => Config::load(Some(path), asked, lang)?.lake,
            _ => LakeSection::default(),
        };
        let backend = Backend::open_as(&self.place, lake, lang).await?;
        let done = self.compact(&backend, lang).await;
        backend.close().await;
        self.print(&done?, lang)
    }

    async fn compact(&self, backend: &Backend, lang: Lang) -> Result<Value> {
        let request =
            CompactRequest { dataset: self.dataset.clone(), day: self.day.clone(), due: self.due };
        let begin = |node: &Node, body: Value, who: &str| {
            // Proof: it was made from one.
            let request: CompactRequest = serde_json::from_value(body).unwrap_or_default();
            node.compact(&request, who)
        };
        backend.act(COMPACTING.path, serde_json::to_value(request)?, begin).await?;
        let message = |state: &Value| {
            let done = state["rows_done"].as_u64().unwrap_or_default();
            match lang {
                Lang::En => format!("{done} events compacted"),
                Lang::Ja => format!("{done}件を処理"),
            }
        };
        COMPACTING.follow(backend, self.quiet, message).await
    }

    fn print(&self, state: &Value, lang: Lang) -> Result<ExitCode> {
        let row = match self.output {
            Format::Json | Format::Jsonl => {
                let keys = [
                    "rows_done",
                    "batches",
                    "files_before",
                    "files_after",
                    "bytes_before",
                    "bytes_after",
                    "cancelled",
                    "failures",
                    "error",
                ];
                keys.into_iter().map(|key| (key.to_owned(), state[key].clone())).collect()
            }
            format => {
                let size = |key: &str| bytes(&state[key], format);
                named(
                    vec![
                        ("イベント", "events", state["rows_done"].clone()),
                        ("照合したバッチ", "batches verified", state["batches"].clone()),
                        ("元のファイル", "files before", state["files_before"].clone()),
                        ("新しいファイル", "files after", state["files_after"].clone()),
                        ("元のサイズ", "size before", size("bytes_before")),
                        ("新しいサイズ", "size after", size("bytes_after")),
                    ],
                    lang,
                )
            }
        };
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, Vec::new());
        writer.write(row)?;
        writer.finish()?;
        COMPACTED.say(state, state["files_before"] == 0, lang)
    }
}

impl Stats {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let answer = backend.ask("/api/v1/lake/stats", &[], Node::lake_sizes).await;
        backend.close().await;
        self.print(&answer?, lang)?;
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, answer: &Value, lang: Lang) -> Result<()> {
        let list = &answer[if self.columns { "columns" } else { "datasets" }];
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, Vec::new());
        for row in list.as_array().into_iter().flatten() {
            if self.dataset.as_deref().is_some_and(|name| row["event.dataset"] != name) {
                continue;
            }
            let row = match (self.output, self.columns) {
                // Programs get everything as it is.
                (Format::Json | Format::Jsonl, _) => row.as_object().cloned().unwrap_or_default(),
                (format, true) => column(row, format, lang),
                (format, false) => dataset(row, format, lang),
            };
            writer.write(row)?;
        }
        writer.finish()?;
        let total = &answer["total"];
        let size = |value: &Value| bytes(value, Format::Table);
        let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
        let (received, stored) = (text(size(&total["received"])), text(size(&total["stored"])));
        let ratio = text(ratio(&total["ratio"], Format::Table));
        let (events, files) = (&total["events"], &total["files"]);
        match lang {
            Lang::En => {
                eprintln!(
                    "{events} events, {received} received, {stored} stored in {files} files ({ratio})"
                );
            }
            Lang::Ja => eprintln!(
                "イベント{events}件、受信{received}に対し保存{stored}（{ratio}、{files}ファイル）"
            ),
        }
        if total["files.cold"] != 0 {
            let (files, cold) = (&total["files.cold"], text(size(&total["stored.cold"])));
            match lang {
                Lang::En => eprintln!("of it in the cold store: {cold} in {files} files"),
                Lang::Ja => eprintln!("うちコールドストア: {cold}（{files}ファイル）"),
            }
        }
        let waiting = &answer["replaced"];
        if waiting["files"] != 0 {
            let (files, size) = (&waiting["files"], text(size(&waiting["bytes"])));
            match lang {
                Lang::En => {
                    eprintln!(
                        "besides, {files} files ({size}) that left the table and go within 15 minutes"
                    );
                }
                Lang::Ja => eprintln!(
                    "ほかに、置き換えられて15分以内に削除されるファイルが{files}個（{size}）あります"
                ),
            }
        }
        Ok(())
    }
}

impl Vacuum {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let request = serde_json::to_value(VacuumRequest { dry_run: self.dry_run })?;
        let vacuum = |node: &Node, body: Value, who: &str| {
            // Proof: it was made from one.
            let request: VacuumRequest = serde_json::from_value(body).unwrap_or_default();
            node.vacuum(&request, who)
        };
        let answer = backend.act("/api/v1/lake/vacuum", request, vacuum).await;
        backend.close().await;
        self.print(&answer?, lang)?;
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, answer: &Value, lang: Lang) -> Result<()> {
        let files = answer["files"].as_array().cloned().unwrap_or_default();
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, Vec::new());
        let (mut goes, mut stays, mut freed) = (0, 0, 0);
        for file in &files {
            if file["removable"] == true {
                goes += 1;
                freed += file["file.size"].as_u64().unwrap_or_default();
            } else {
                stays += 1;
            }
            let row = match self.output {
                Format::Json | Format::Jsonl => file.as_object().cloned().unwrap_or_default(),
                format => vacuumed(file, format, lang),
            };
            writer.write(row)?;
        }
        writer.finish()?;
        let freed = bytes(&json!(freed), Format::Table);
        let freed = freed.as_str().unwrap_or_default();
        match (lang, self.dry_run) {
            (Lang::En, true) => eprintln!("{goes} files ({freed}) would be removed, {stays} stay"),
            (Lang::En, false) => eprintln!("{goes} files ({freed}) removed, {stays} stay"),
            (Lang::Ja, true) => {
                eprintln!("{goes}個（{freed}）を削除する見込みです。{stays}個は残ります");
            }
            (Lang::Ja, false) => {
                eprintln!("{goes}個（{freed}）を削除しました。{stays}個は残しました");
            }
        }
        Ok(())
    }
}

/// Named in the user's language; the order is that of the columns.
fn named(cells: Vec<(&str, &str, Value)>, lang: Lang) -> Row {
    let name = |ja: &str, en: &str| if lang == Lang::Ja { ja.to_owned() } else { en.to_owned() };
    cells.into_iter().map(|(ja, en, value)| (name(ja, en), value)).collect()
}

fn dataset(row: &Value, format: Format, lang: Lang) -> Row {
    named(
        vec![
            ("データセット", "dataset", row["event.dataset"].clone()),
            ("イベント", "events", row["events"].clone()),
            ("受信", "received", bytes(&row["received"], format)),
            ("保存", "stored", bytes(&row["stored"], format)),
            ("うち索引", "text index", bytes(&row["text_index"], format)),
            ("比率", "ratio", ratio(&row["ratio"], format)),
            ("ファイル", "files", row["files"].clone()),
            ("コンパクション済み", "compacted", row["files.compacted"].clone()),
            ("コールド", "cold", bytes(&row["stored.cold"], format)),
            ("行グループ", "row groups", row["row_groups"].clone()),
        ],
        lang,
    )
}

fn column(row: &Value, format: Format, lang: Lang) -> Row {
    let share = match format {
        Format::Table => json!(format!("{:.1}%", row["share"].as_f64().unwrap_or_default())),
        _ => row["share"].clone(),
    };
    named(
        vec![
            ("データセット", "dataset", row["event.dataset"].clone()),
            ("列", "column", row["column"].clone()),
            ("値", "values", row["values"].clone()),
            ("復元", "rebuilt", row["rebuilt"].clone()),
            ("保存", "stored", bytes(&row["stored"], format)),
            ("圧縮前", "encoded", bytes(&row["encoded"], format)),
            ("割合", "share", share),
        ],
        lang,
    )
}

fn vacuumed(row: &Value, format: Format, lang: Lang) -> Row {
    let kind = match (row["kind"].as_str().unwrap_or_default(), lang) {
        ("replaced", Lang::En) => "left the table",
        ("replaced", Lang::Ja) => "置き換え済み",
        ("object", Lang::En) => "left the cold store's part of the table",
        ("object", Lang::Ja) => "コールドストアの残り",
        (_, Lang::En) => "left by a crash",
        (_, Lang::Ja) => "中断の残り",
    };
    let fate = match (row["removed"] == true, row["removable"] == true, lang) {
        (true, _, Lang::En) => "removed",
        (true, _, Lang::Ja) => "削除",
        (false, true, Lang::En) => "would be removed",
        (false, true, Lang::Ja) => "削除対象",
        (false, false, Lang::En) => "stays",
        (false, false, Lang::Ja) => "残す",
    };
    named(
        vec![
            ("ファイル", "file", row["file.path"].clone()),
            ("サイズ", "size", bytes(&row["file.size"], format)),
            ("種類", "kind", json!(kind)),
            ("結果", "fate", json!(fate)),
        ],
        lang,
    )
}

/// `1.5 MiB` in a table, the number elsewhere.
fn bytes(value: &Value, format: Format) -> Value {
    let (Format::Table, Some(bytes)) = (format, value.as_u64()) else { return value.clone() };
    json!(indicatif::BinaryBytes(bytes).to_string())
}

/// `1/96` in a table, the number elsewhere.
fn ratio(value: &Value, format: Format) -> Value {
    match (format, value.as_f64()) {
        (Format::Table, Some(ratio)) if ratio >= 10.0 => json!(format!("1/{ratio:.0}")),
        (Format::Table, Some(ratio)) => json!(format!("1/{ratio:.1}")),
        (Format::Table, None) => json!("–"),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_say_them() {
        let told = |value: Value| value.as_str().unwrap().to_owned();
        assert_eq!(told(bytes(&json!(1_572_864), Format::Table)), "1.50 MiB");
        assert_eq!(bytes(&json!(1_572_864), Format::Csv), 1_572_864);
        assert_eq!(told(ratio(&json!(95.7), Format::Table)), "1/96");
        assert_eq!(told(ratio(&json!(7.36), Format::Table)), "1/7.4");
        assert_eq!(told(ratio(&Value::Null, Format::Table)), "–");
    }
}
