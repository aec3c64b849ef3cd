//! Yagura, the log watchtower: one binary that receives logs, keeps them provably, says what
//! happened in them, raises alerts, and proves any event. This crate is glue: commands,
//! configuration, and where output goes.

#![forbid(unsafe_code)]
// `println!` panics when whoever read the output has gone; `writeln!` says so, and that is no failure.
#![deny(clippy::print_stdout)]

mod backend;
mod client;
mod commands;
mod config;
mod content;
mod export;
mod help;
mod hunting;
mod output;
mod searching;
mod told;
mod zone;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use yagura_event::Lang;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The log watchtower: receive, keep, read, detect, prove.
#[derive(Parser)]
#[command(name = "yagura", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "\
Exit codes: 0 done, 1 something is wrong (in the store, or it could not be done), 2 misuse.
Rows go to standard output, talk goes to standard error.

Examples:
  yagura serve
  yagura import /evidence/logs
  yagura search 'event.code:4625' --last 24h
  yagura scan /evidence/winevt -o report.html
  yagura hunt --indicators iocs.txt
  yagura alerts
  yagura sources
  yagura inventory import users staff.csv
  yagura lake stats
  yagura retention
  yagura verify
  yagura prove syslog/42/7 --out event.proof")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Language of sentences and messages: ja or en
    #[arg(long, global = true, env = "YAGURA_LANG")]
    lang: Option<Lang>,
}

#[derive(Subcommand)]
enum Command {
    /// Receive logs, watch them, and serve the page and the API
    Serve(commands::serve::Serve),
    /// Read log files (EVTX, JSON, text; also in gz, zst, zip, tar) into the store
    Import(commands::import::Import),
    /// Find events
    Search(commands::search::Search),
    /// Keep searches under a name, and have them run by themselves
    Saved(commands::saved::SavedCommand),
    /// Find acts: what several events together say, such as a file save or a logon session
    Acts(commands::acts::Acts),
    /// Ask in SQL; the table is called events
    Sql(commands::sql::Sql),
    /// Find attacks in log files where they lie: detection without a server
    Scan(commands::scan::Scan),
    /// Look for rules or indicators in everything stored, and keep indicators and their feeds
    Hunt(commands::hunt::Hunt),
    /// List alerts, and decide on them
    Alerts(commands::alerts::Alerts),
    /// Show how lines of a file are read: raw text, fields and sentence, side by side
    Normalize(commands::normalize::Normalize),
    /// Check, list, test, install and tune detection rules
    Rules(commands::rules::Rules),
    /// List who sends, how well it is read, and whose clock or format is off
    Sources(commands::sources::Sources),
    /// Keep the lists of users and assets that events are enriched with
    Inventory(commands::inventory::InventoryCommand),
    /// Read stored events again with today's decoders and settings
    Reprocess(commands::reprocess::Reprocess),
    /// Compact the table of events, show what it takes, back it up and restore it
    Lake(commands::lake::LakeCommand),
    /// Send selected events to other systems: syslog, Splunk, Elasticsearch, OpenTelemetry, Kafka
    Forward(commands::forward::ForwardCommand),
    /// Show how long what is kept and why, and delete what two persons agree on
    Retention(commands::retention::Retention),
    /// Keep events from being deleted: legal holds
    Hold(commands::hold::HoldCommand),
    /// Pin events as evidence, and decide how the logs of a restored directory go on
    Ledger(commands::ledger::LedgerCommand),
    /// Check that nothing stored was changed, lost or reordered
    Verify(commands::verify::Verify),
    /// Write an offline proof of one event
    Prove(commands::prove::Prove),
    /// Show or check the configuration
    Config(commands::config::ConfigCommand),
}

/// Where the events are: a running server, or a directory no server holds.
#[derive(Args, Clone)]
pub struct Place {
    /// Ask a running server, such as http://127.0.0.1:8440
    #[arg(long, value_name = "URL", env = "YAGURA_SERVER", conflicts_with = "data")]
    server: Option<String>,
    /// File with the access token for the server
    #[arg(long, value_name = "FILE", env = "YAGURA_TOKEN_FILE", requires = "server")]
    token_file: Option<PathBuf>,
    /// The data directory [default: yagura in the user's data directory]
    #[arg(long, value_name = "DIR", env = "YAGURA_DATA")]
    data: Option<PathBuf>,
    /// Directories (or files) of mappings, besides the built-in ones; see docs/mappings.md
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with = "server")]
    content: Vec<PathBuf>,
}

/// What the user asked for cannot be right: exit code 2.
#[derive(Debug)]
pub struct Misuse(pub String);

impl std::fmt::Display for Misuse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

fn main() -> ExitCode {
    let asked = help::asked_for(std::env::args_os().filter_map(|text| text.into_string().ok()));
    let lang = asked.unwrap_or_else(lang_of_environment);
    let arguments = std::env::args_os().collect();
    let arguments = match lang {
        Lang::Ja => help::without_help_command(arguments),
        Lang::En => arguments,
    };
    let parsed = help::localized(Cli::command(), lang)
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => match help::mistake(&error).filter(|_| lang == Lang::Ja) {
            Some(text) => {
                eprintln!("{}", output::visible_lines(&text));
                return ExitCode::from(2);
            }
            None => error.exit(),
        },
    };
    let lang = cli.lang.unwrap_or(lang);
    let serving = matches!(cli.command, Command::Serve(_));
    // What a broker of Kafka answers is said by who sends to it, not at each of its client's attempts.
    let default = if serving { "warn,yagura=info,rskafka=off" } else { "error,rskafka=off" };
    let filter = std::env::var("YAGURA_LOG").unwrap_or_else(|_| default.to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let done = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(cli.command, cli.lang, lang)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("yagura: {}", output::visible_lines(&told::error(&error, lang)));
            ExitCode::from(if error.is::<Misuse>() { 2 } else { 1 })
        }
    }
}

async fn run(command: Command, asked: Option<Lang>, lang: Lang) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(serve) => serve.run(asked, lang).await,
        Command::Import(import) => import.run(lang).await,
        Command::Search(search) => search.run(lang).await,
        Command::Saved(saved) => saved.run(lang).await,
        Command::Acts(acts) => acts.run(lang).await,
        Command::Sql(sql) => sql.run(lang).await,
        Command::Scan(scan) => scan.run(lang).await,
        Command::Hunt(hunt) => hunt.run(lang).await,
        Command::Alerts(alerts) => alerts.run(lang).await,
        Command::Normalize(normalize) => normalize.run(lang),
        Command::Rules(rules) => rules.run(lang).await,
        Command::Sources(sources) => sources.run(lang).await,
        Command::Inventory(inventory) => inventory.run(lang).await,
        Command::Reprocess(reprocess) => reprocess.run(lang).await,
        Command::Lake(lake) => lake.run(asked, lang).await,
        Command::Forward(forward) => forward.run(asked, lang).await,
        Command::Retention(retention) => retention.run(lang).await,
        Command::Hold(hold) => hold.run(lang).await,
        Command::Ledger(ledger) => ledger.run(lang).await,
        Command::Verify(verify) => verify.run(lang).await,
        Command::Prove(prove) => prove.run(lang).await,
        Command::Config(config) => config.run(asked, lang).await,
    }
}

fn lang_of_environment() -> Lang {
    let variables = ["YAGURA_LANG", "LC_ALL", "LC_MESSAGES", "LANG"];
    let set = variables.iter().filter_map(|name| std::env::var(name).ok());
    set.filter(|value| !value.is_empty()).find_map(|tag| tag.parse().ok()).unwrap_or_default()
}

/// `yagura search ... | head` ends when `head` has enough; that is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
