//! `yagura hunt`: looking for something in everything stored.

mod feed;
mod indicators;
mod show;

use crate::backend::Backend;
use crate::hunting::Ask;
use crate::output::{Format, visible};
use crate::told::{either, misuse};
use crate::{Misuse, Place};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use yagura_event::Lang;
use yagura_node::hunt::{HuntFile, HuntRequest};

/// `yagura hunt`
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
A hunt looks through memory and every file of the table. It says first how much it will read, and is
recorded with what it found in the audit log. `Nothing found` is a result too: exit code 0.

Examples:
  yagura hunt --indicators iocs.txt --hypothesis 'Did the mail of 3 November reach anyone?'
  yagura hunt --rules ./sigma/rules --last 90d
  yagura hunt --rule 5f113a8f-8b61-41ca-b90f-d374fa7e4a39 --raise
  yagura hunt --indicators bundle.json --estimate
  yagura hunt list
  yagura hunt show H-000001
  yagura hunt show H-000001 --query
  yagura hunt restart H-000001
  yagura hunt indicators add iocs.csv --source jpcert --valid-until 2027-01-01T00:00:00Z
  yagura hunt feed add https://taxii.example/api/ --collection 91a7b528-80eb-42ed-a74d-c6fbd5a26116")]
pub struct Hunt {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    hunt: Start,
}

#[derive(Subcommand)]
enum Command {
    /// List the hunts
    List(show::List),
    /// Show a hunt and what it found
    Show(show::Show),
    /// Stop a hunt that waits or runs on a server, or was interrupted
    Cancel(show::Cancel),
    /// Start a hunt that was interrupted again, from the beginning
    Restart(Restart),
    /// Keep the indicators that are looked for as events come
    Indicators(indicators::Indicators),
    /// Keep the TAXII feeds they come from
    Feed(feed::Feeds),
}

/// `yagura hunt restart`
#[derive(Args)]
struct Restart {
    /// Id of the hunt, such as H-000001
    id: String,
    /// At most so many matches are printed; all are counted
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// How matches are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    /// No progress bar
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct Start {
    /// Sigma rules: files, or directories with all below them
    #[arg(long, value_name = "PATH", num_args = 1..)]
    rules: Vec<PathBuf>,
    /// Id of a rule that is loaded here; all for every one (may be repeated)
    #[arg(long, value_name = "ID")]
    rule: Vec<String>,
    /// Lists of indicators: STIX 2.1, MISP, CSV, or one value a line; - for standard input
    #[arg(long, value_name = "FILE", num_args = 1..)]
    indicators: Vec<PathBuf>,
    /// The indicators in use (`yagura hunt indicators list`)
    #[arg(long)]
    indicators_in_use: bool,
    /// Also indicators that have expired
    #[arg(long)]
    expired: bool,
    /// What you want to know, for whoever reads it later
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    hypothesis: String,
    /// Only events from this instant on
    #[arg(long, value_name = "INSTANT")]
    from: Option<String>,
    /// Only events before this instant
    #[arg(long, value_name = "INSTANT")]
    to: Option<String>,
    /// Only the last so many minutes, hours or days, such as 24h or 90d
    #[arg(long, value_name = "SPAN", conflicts_with_all = ["from", "to"])]
    last: Option<String>,
    /// Make alerts of what is found
    #[arg(long)]
    raise: bool,
    /// Say how much would be read, and stop there
    #[arg(long)]
    estimate: bool,
    /// At most so many matches are printed; all are counted
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// How matches are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    /// No progress bar
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    place: Place,
}

/// How often a hunt is asked how far it is.
const POLL: Duration = Duration::from_millis(100);

impl Hunt {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        match self.command {
            None => self.hunt.run(lang).await,
            Some(Command::List(list)) => list.run(lang).await,
            Some(Command::Show(show)) => show.run(lang).await,
            Some(Command::Cancel(cancel)) => cancel.run(lang).await,
            Some(Command::Restart(restart)) => restart.run(lang).await,
            Some(Command::Indicators(indicators)) => indicators.run(lang).await,
            Some(Command::Feed(feeds)) => feeds.run(lang).await,
        }
    }
}

impl Restart {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let done = self.hunt(&backend, lang).await;
        backend.close().await;
        done
    }

    async fn hunt(&self, backend: &Backend, lang: Lang) -> Result<ExitCode> {
        let begun = backend.hunter(Ask::Restart { id: self.id.clone() }).await?;
        show::print_estimate(&begun, lang);
        wait(backend, &self.id, self.quiet, lang).await?;
        show::print_hunt(backend, &self.id, self.limit, self.output, lang).await
    }
}

impl Start {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let request = self.request(lang)?;
        let backend = Backend::open(&self.place, lang).await?;
        let done = self.hunt(&backend, request, lang).await;
        backend.close().await;
        done
    }

    fn request(&self, lang: Lang) -> Result<HuntRequest> {
        let nothing = self.rules.is_empty()
            && self.rule.is_empty()
            && self.indicators.is_empty()
            && !self.indicators_in_use;
        if nothing {
            return Err(Misuse(match lang {
                Lang::En => "say what to hunt for: --rules PATH, --rule ID, --indicators FILE or \
                             --indicators-in-use (see `yagura hunt --help`)"
                    .to_owned(),
                Lang::Ja => "何を探すかを --rules、--rule、--indicators、--indicators-in-use の\
                             いずれかで指定してください（yagura hunt --help）"
                    .to_owned(),
            })
            .into());
        }
        let (files, unread) = yagura_rulebook::from_dirs(&self.rules)?;
        for refusal in unread {
            let said = either(
                lang,
                refusal.to_string(),
                format!("{}: このルールは使えません（{}）", refusal.path, refusal.reason),
            );
            eprintln!("! {}", visible(&said));
        }
        let rules = files.into_iter().map(|file| HuntFile { name: file.path, text: file.text });
        Ok(HuntRequest {
            hypothesis: self.hypothesis.clone(),
            rules: rules.collect(),
            rule_ids: self.rule.clone(),
            indicators: lists(&self.indicators, lang)?,
            stored_indicators: self.indicators_in_use,
            expired: self.expired,
            from: self.from.clone(),
            to: self.to.clone(),
            last: self.last.clone(),
            raise: self.raise,
        })
    }

    async fn hunt(&self, backend: &Backend, request: HuntRequest, lang: Lang) -> Result<ExitCode> {
        if self.estimate {
            let estimate = backend.hunter(Ask::Estimate(Box::new(request))).await?;
            show::print_estimate(&estimate, lang);
            return Ok(ExitCode::SUCCESS);
        }
        let begun = backend.hunter(Ask::Start(Box::new(request))).await?;
        show::print_estimate(&begun, lang);
        let id = begun["hunt.id"].as_str().unwrap_or_default().to_owned();
        wait(backend, &id, self.quiet, lang).await?;
        show::print_hunt(backend, &id, self.limit, self.output, lang).await
    }
}

/// Reads lists of indicators.
fn lists(paths: &[PathBuf], lang: Lang) -> Result<Vec<HuntFile>> {
    paths.iter().map(|path| list(path, lang)).collect()
}

fn list(path: &Path, lang: Lang) -> Result<HuntFile> {
    let most = yagura_hunt::limits::FILE_BYTES_MAX as u64;
    let shown = path.display();
    let named = || either(lang, format!("cannot read {shown}"), format!("{shown} を読めません"));
    let mut bytes = Vec::new();
    let name = if path == Path::new("-") {
        std::io::stdin().lock().take(most + 1).read_to_end(&mut bytes).with_context(named)?;
        either(lang, "standard input", "標準入力")
    } else {
        let file = std::fs::File::open(path).with_context(named)?;
        file.take(most + 1).read_to_end(&mut bytes).with_context(named)?;
        path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    };
    if bytes.len() as u64 > most {
        return Err(misuse(
            lang,
            format!("{shown} is larger than {most} bytes: split it"),
            format!("{shown} は{most}バイトを超えています。分けてください"),
        )
        .into());
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        misuse(
            lang,
            format!("{shown} is not UTF-8 at byte {at}: convert it first"),
            format!("{shown} は{at}バイト目がUTF-8ではありません。UTF-8に変換してください"),
        )
    })?;
    Ok(HuntFile { name, text })
}

/// Waits for the end of a hunt, drawing how far it is. Ctrl-C stops it; what it found stays.
async fn wait(backend: &Backend, id: &str, quiet: bool, lang: Lang) -> Result<()> {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(100), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}% {elapsed} {msg}") {
        bar.set_style(style);
    }
    let mut cancelled = false;
    loop {
        let ask = Ask::Show { id: id.to_owned(), offset: 0, limit: 0 };
        let hunt = backend.hunter(ask).await?;
        let state = hunt["hunt.state"].as_str().unwrap_or_default();
        let percent = hunt["percent"].as_f64().unwrap_or_default();
        // Proof: a percentage fits.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        bar.set_position(percent.clamp(0.0, 100.0) as u64);
        let matches = hunt["hunt.matches_total"].as_u64().unwrap_or_default();
        bar.set_message(match lang {
            Lang::En => format!("{id} {state}, {matches} matches"),
            Lang::Ja => format!("{id} {}、{matches}件一致", show::state_label(state, lang)),
        });
        if !matches!(state, "waiting" | "running" | "cancelling") {
            bar.finish_and_clear();
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            interrupted = tokio::signal::ctrl_c(), if !cancelled => {
                interrupted?;
                cancelled = true;
                // It may have ended in this very moment.
                let _ = backend.hunter(Ask::Cancel { id: id.to_owned() }).await;
            }
        }
    }
}

/// Says how the hunt of new indicators went.
async fn follow(backend: &Backend, answer: &Value, quiet: bool, lang: Lang) -> Result<ExitCode> {
    let Some(id) = answer["hunt.id"].as_str() else { return Ok(ExitCode::SUCCESS) };
    wait(backend, id, quiet, lang).await?;
    show::print_hunt(backend, id, 20, Format::Table, lang).await
}
