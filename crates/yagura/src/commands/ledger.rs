//! `yagura ledger`: pinned events, and how the logs of a restored directory go on.

use crate::Place;
use crate::backend::{node_options, said};
use crate::commands::pin;
use crate::config::Config;
use crate::output::{Format, RowWriter, visible};
use crate::told::misuse;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use yagura_event::{Clock, Lang, SystemClock};
use yagura_node::{DataDir, NodeOptions, Release};

/// `yagura ledger`
#[derive(Args)]
#[command(after_help = "\
A pinned event stays provable when its batch is deleted; docs/retention.md tells more.

A directory that was restored from a backup is read only until it is decided how its logs go on: they may
have grown elsewhere since. docs/backup.md tells more.

Examples:
  yagura ledger pin syslog/42/7 --by sato --reason 'evidence'
  yagura ledger pins
  yagura ledger continue --known-checkpoint events.checkpoint --known-checkpoint audit.checkpoint
  yagura ledger new-epoch --data /var/lib/yagura")]
pub struct LedgerCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Keep events provable, whatever becomes of their batches
    Pin(pin::Pin),
    /// List pinned events, the newest first
    Pins(pin::Pins),
    /// Take pins back; that they were there stays on record
    Unpin(pin::Unpin),
    /// Go on as before, proving that nothing was signed after the backup
    Continue(Continue),
    /// Go on under new keys: an epoch whose first header names the old head
    NewEpoch(NewEpoch),
}

#[derive(Args)]
#[command(after_help = "\
Give the last checkpoint of both logs (ledger/events/checkpoint and ledger/audit/checkpoint of the directory
that the backup was made of, or copies of them kept on another machine). Each must be signed by the log's
key and be the head that was restored. That it is the last one is your word: a copy that was old already
proves nothing.

Examples:
  yagura ledger continue --known-checkpoint old/ledger/events/checkpoint \\
    --known-checkpoint old/ledger/audit/checkpoint --data /var/lib/yagura")]
struct Continue {
    /// A checkpoint kept elsewhere; give one of each log
    #[arg(long, value_name = "FILE", required = true)]
    known_checkpoint: Vec<PathBuf>,
    /// How the result is written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
#[command(after_help = "\
Both logs get a new key and a new name (.../events/e2), and their first header under it names the old head,
so that nobody takes them for what may have grown elsewhere. All that is there stays and stays proved, by
the old public key. Numbers of batches go on beyond those that may have been given out meanwhile. Old
signing keys are removed from the directory. It cannot be undone.

Examples:
  yagura ledger new-epoch --data /var/lib/yagura")]
struct NewEpoch {
    /// How the result is written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    #[command(flatten)]
    place: Place,
}

impl LedgerCommand {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let (place, output, how) = match self.action {
            Action::Pin(it) => return it.run(lang).await,
            Action::Pins(it) => return it.run(lang).await,
            Action::Unpin(it) => return it.run(lang).await,
            Action::Continue(it) => (it.place, it.output, Release::Continue(it.known_checkpoint)),
            Action::NewEpoch(it) => (it.place, it.output, Release::NewEpoch),
        };
        if !place.is_directory() {
            return Err(misuse(
                lang,
                "the logs of a running server go on already: name a directory with --data",
                "稼働中のサーバーの台帳はすでに動いています。--data でディレクトリを指定してください",
            )
            .into());
        }
        let mut config = Config::default();
        config.content.dirs = place.content.clone();
        config.lang = lang;
        let data = place.existing_dir(lang)?;
        let done = released(data, how, node_options(&config)?, lang).await?;
        let mut writer = RowWriter::new(std::io::stdout().lock(), output, Vec::new());
        for log in done["ledger.logs"].as_array().into_iter().flatten() {
            writer.write(log.as_object().cloned().unwrap_or_default())?;
        }
        writer.finish()?;
        tell(&done, lang);
        Ok(ExitCode::SUCCESS)
    }
}

/// Lets the logs of a directory go on.
pub async fn released(
    data: DataDir,
    how: Release,
    options: NodeOptions,
    lang: Lang,
) -> Result<Value> {
    let who = std::env::var("USER").unwrap_or_else(|_| "local".to_owned());
    let done = tokio::task::spawn_blocking(move || {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        yagura_node::release(&data, &how, options, clock, &who)
    });
    done.await?.map_err(|error| said(error, lang))
}

/// Says what became of the logs.
pub fn tell(done: &Value, lang: Lang) {
    for log in done["ledger.logs"].as_array().into_iter().flatten() {
        let text = |key: &str| visible(log[key].as_str().unwrap_or_default());
        let (origin, size) = (text("ledger.origin"), &log["ledger.size"]);
        match (lang, log["ledger.previous"].is_string()) {
            (Lang::En, true) => eprintln!(
                "{origin} begins after {size} headers of {}; keep its public key (keys/) elsewhere",
                text("ledger.previous")
            ),
            (Lang::Ja, true) => eprintln!(
                "{origin} を始めました（{} の{size}件の後）。公開鍵（keys/）を別の場所にも保管してください",
                text("ledger.previous")
            ),
            (Lang::En, false) => eprintln!("{origin} goes on after {size} headers"),
            (Lang::Ja, false) => eprintln!("{origin} は{size}件の後に続きます"),
        }
    }
}
