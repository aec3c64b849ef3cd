//! `yagura lake backup` and `yagura lake restore`.

use crate::Place;
use crate::backend::{Backend, node_options, said};
use crate::commands::job::{Job, bar, stopped};
use crate::commands::ledger;
use crate::config::Config;
use crate::output::{Format, Row, RowWriter, visible};
use crate::told::misuse;
use anyhow::{Result, anyhow};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use yagura_event::{Clock, Lang, SystemClock};
use yagura_node::{BackupRequest, DataDir, Node, Release, RestoreRequest, Restored};

/// `yagura lake backup`
#[derive(Args)]
#[command(after_help = "\
TO is a directory, or s3://bucket/prefix with credentials and endpoint in AWS_* (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, AWS_ALLOW_HTTP=true for plain HTTP). Of a running
server, give --server: the server writes, with its own environment. Only what TO has not yet is copied;
what the last backup had and this one has not is removed from TO once this one is whole. Stopped or killed
at any moment, TO holds the backup that it held: run it again to go on.

The signing keys stay behind unless --with-keys is given: whoever has them can sign in the name of the
logs. Without them a restored directory still proves everything it holds, and goes on in a new epoch.

Exit codes: 0 done, 1 it could not be done, 2 misuse.

Examples:
  yagura lake backup /backup/yagura
  yagura lake backup s3://logs/yagura --server http://127.0.0.1:8440
  yagura lake backup /backup/yagura --check --output json")]
pub struct Backup {
    /// Where to: a directory, or s3://bucket/prefix
    #[arg(value_name = "TO")]
    to: String,
    /// Copy the signing keys, too (not through a server)
    #[arg(long, conflicts_with = "server")]
    with_keys: bool,
    /// Read what is there already as well, and replace what was damaged
    #[arg(long)]
    check: bool,
    /// How the result is written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    /// No progress bar
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    place: Place,
}

/// `yagura lake restore`
#[derive(Args)]
#[command(after_help = "\
DIR must be empty, or not be there. Every file must have the SHA-256 that the backup states, or it is named
and nothing is called restored; then everything is verified as by yagura verify. A restore that was cut
short goes on when it is repeated.

A restored directory is read only, because its logs may have gone on elsewhere since the backup was made,
and a log with two histories proves nothing. Searching, proving and verifying work at once. To write, prove
that the backup has the newest state (--known-checkpoint, a copy of the last checkpoint of each log), or
begin a new epoch of the logs (--new-epoch); yagura ledger does either later.

Exit codes: 0 restored and verified, 1 not, 2 misuse.

Examples:
  yagura lake restore /backup/yagura --data /var/lib/yagura
  yagura lake restore s3://logs/yagura --data /var/lib/yagura --new-epoch")]
pub struct Restore {
    /// Where from: a directory, or s3://bucket/prefix
    #[arg(value_name = "FROM")]
    from: String,
    /// The directory to be filled
    #[arg(long, value_name = "DIR", env = "YAGURA_DATA")]
    data: PathBuf,
    /// The last checkpoint of a log, kept elsewhere: the logs go on as they are if it is the restored head
    #[arg(long, value_name = "FILE", conflicts_with = "new_epoch")]
    known_checkpoint: Vec<PathBuf>,
    /// Let the logs go on in a new epoch, under new keys
    #[arg(long)]
    new_epoch: bool,
    /// How the result is written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    /// No progress bar
    #[arg(long, short)]
    quiet: bool,
}

const BACKUP: &str = "/api/v1/lake/backup";

const BACKING_UP: Job = Job {
    path: BACKUP,
    total: "bytes_total",
    done: &["bytes_now", "bytes_kept"],
    state: Node::backing_up,
    cancel: Node::cancel_backup,
};

fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// A number of bytes for people in a table, as it is elsewhere.
fn size_in(bytes: &Value, format: Format) -> Value {
    match (format, bytes.as_u64()) {
        (Format::Table, Some(bytes)) => json!(size(bytes)),
        _ => bytes.clone(),
    }
}

fn write(row: Row, format: Format) -> Result<()> {
    let mut writer = RowWriter::new(std::io::stdout().lock(), format, Vec::new());
    writer.write(row)?;
    writer.finish()?;
    Ok(())
}

fn named(cells: Vec<(&str, &str, Value)>, lang: Lang) -> Row {
    let name = |ja: &str, en: &str| if lang == Lang::Ja { ja.to_owned() } else { en.to_owned() };
    cells.into_iter().map(|(ja, en, value)| (name(ja, en), value)).collect()
}

impl Backup {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let done = self.back_up(&backend, lang).await;
        backend.close().await;
        self.print(&done?, lang)
    }

    async fn back_up(&self, backend: &Backend, lang: Lang) -> Result<Value> {
        let request =
            BackupRequest { to: self.to.clone(), with_keys: self.with_keys, check: self.check };
        let begin = |node: &Node, body: Value, who: &str| {
            // Proof: it was made from one.
            let request: BackupRequest = serde_json::from_value(body).unwrap_or_default();
            node.backup(&request, who)
        };
        backend.act(BACKUP, serde_json::to_value(request)?, begin).await?;
        let message = |state: &Value| {
            let copied = size(state["bytes_now"].as_u64().unwrap_or_default());
            match lang {
                Lang::En => format!("{copied} copied"),
                Lang::Ja => format!("{copied}をコピー"),
            }
        };
        BACKING_UP.follow(backend, self.quiet, message).await
    }

    fn print(&self, state: &Value, lang: Lang) -> Result<ExitCode> {
        let words = if lang == Lang::Ja { "ja" } else { "en" };
        if let Some(error) = state["error"][words].as_str() {
            return Err(match lang {
                Lang::En => anyhow!("{error}; {} holds the backup that it held", self.to),
                Lang::Ja => anyhow!("{error}。{} のバックアップは以前のままです", self.to),
            });
        }
        if state["cancelled"] == true {
            return Ok(stopped(lang));
        }
        let row = match self.output {
            Format::Json | Format::Jsonl => {
                let keys = [
                    "to",
                    "files_total",
                    "files_copied",
                    "bytes_copied",
                    "files_kept",
                    "bytes_kept",
                    "events_size",
                    "audit_size",
                ];
                keys.into_iter().map(|key| (key.to_owned(), state[key].clone())).collect()
            }
            format => named(
                vec![
                    ("バックアップ先", "to", state["to"].clone()),
                    ("ファイル", "files", state["files_total"].clone()),
                    ("コピー", "copied", state["files_copied"].clone()),
                    ("コピーしたサイズ", "size copied", size_in(&state["bytes_copied"], format)),
                    ("コピー済み", "there already", state["files_kept"].clone()),
                    ("イベント台帳", "events log", state["events_size"].clone()),
                    ("監査台帳", "audit log", state["audit_size"].clone()),
                ],
                lang,
            ),
        };
        write(row, self.output)?;
        if !self.with_keys {
            match lang {
                Lang::En => eprintln!("the signing keys are not in it (--with-keys)"),
                Lang::Ja => eprintln!("署名鍵は含まれていません（--with-keys）"),
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Restore {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let bar = bar(self.quiet);
        let cancelled = Arc::new(AtomicBool::new(false));
        let (shown, ended) = (bar.clone(), cancelled.clone());
        let request =
            RestoreRequest { from: self.from.clone(), to: DataDir::new(self.data.clone()) };
        let mut restoring = tokio::task::spawn_blocking(move || {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let progress = |done: u64, total: u64| {
                shown.set_length(total.max(1));
                shown.set_position(done);
                !ended.load(Ordering::Acquire)
            };
            yagura_node::restore(&request, &clock, &progress)
        });
        let restored = loop {
            tokio::select! {
                done = &mut restoring => break done?,
                interrupted = tokio::signal::ctrl_c() => {
                    interrupted?;
                    cancelled.store(true, Ordering::Release);
                }
            }
        };
        bar.finish_and_clear();
        let restored = match restored {
            Err(yagura_node::NodeError::Cancelled) => return Ok(stopped(lang)),
            restored => restored.map_err(|error| said(error, lang))?,
        };
        self.print(&restored, lang)?;
        if !restored.verified.ok {
            for finding in &restored.verified.findings {
                let what = if lang == Lang::Ja { &finding.what_ja } else { &finding.what };
                eprintln!("✗ {}: {}", visible(&finding.place), visible(what));
            }
            match lang {
                Lang::En => eprintln!("restored, but NOT verified: see above"),
                Lang::Ja => eprintln!("復元しましたが、検証に失敗しました。上記を確認してください"),
            }
            return Ok(ExitCode::from(1));
        }
        match lang {
            Lang::En => eprintln!("restored and verified: nothing was changed, lost or reordered"),
            Lang::Ja => eprintln!("復元し、検証しました。改ざん・欠落・並べ替えはありません"),
        }
        let how = match (self.new_epoch, self.known_checkpoint.is_empty()) {
            (true, _) => Release::NewEpoch,
            (false, false) => Release::Continue(self.known_checkpoint.clone()),
            (false, true) => {
                match lang {
                    Lang::En => eprintln!(
                        "it is read only until its logs go on: yagura ledger continue, or yagura ledger \
                         new-epoch"
                    ),
                    Lang::Ja => eprintln!(
                        "台帳を続ける方法を決めるまで読み取り専用です（yagura ledger continue または yagura \
                         ledger new-epoch）"
                    ),
                }
                return Ok(ExitCode::SUCCESS);
            }
        };
        let config = Config { lang, ..Config::default() };
        let done = ledger::released(DataDir::new(self.data), how, node_options(&config)?, lang);
        ledger::tell(&done.await?, lang);
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, restored: &Restored, lang: Lang) -> Result<()> {
        let row = match self.output {
            Format::Json | Format::Jsonl => match serde_json::to_value(restored)? {
                Value::Object(row) => row,
                _ => return Err(misuse(lang, "no row", "行がありません").into()),
            },
            format => {
                let head = |name: &str| {
                    let head = &restored.heads[name];
                    let text = |key: &str| head[key].as_str().unwrap_or_default().to_owned();
                    let (origin, root) = (text("ledger.origin"), text("ledger.root"));
                    json!(format!("{origin} {} {root}", head["ledger.size"]))
                };
                named(
                    vec![
                        ("作成", "made", json!(restored.created)),
                        ("最新のイベント", "newest event", json!(restored.last_event)),
                        ("ファイル", "files", json!(restored.files)),
                        ("サイズ", "size", size_in(&json!(restored.bytes), format)),
                        ("署名鍵", "keys", json!(restored.with_keys)),
                        ("イベント台帳", "events log", head("events")),
                        ("監査台帳", "audit log", head("audit")),
                    ],
                    lang,
                )
            }
        };
        write(row, self.output)
    }
}
