//! `yagura forward`: selected events to other systems.

use crate::backend::{node_options, open_node, said};
use crate::config::Config;
use crate::output::{Format, RowWriter, visible};
use crate::told::{self, either, in_lang, misuse};
use crate::{Misuse, Place};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::task::JoinHandle;
use yagura_event::Lang;
use yagura_forward::{Row, Target};
use yagura_node::{ForwardEnded, Node};
use yagura_normalize::Normalizer;

/// `yagura forward`
#[derive(Args)]
#[command(after_help = "\
Targets stand in the configuration as [[forward]]; `yagura serve` sends to them as events come.
docs/forward.md says what each receiver gets, and what is promised.

Examples:
  yagura forward test siem --config yagura.toml
  yagura forward list --server http://127.0.0.1:8440
  yagura forward run --config yagura.toml --data /srv/yagura")]
pub struct ForwardCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show how far each target of a running server has come, and what was refused
    List {
        #[command(flatten)]
        place: Place,
        /// How rows are written
        #[arg(long, value_enum, default_value = "table")]
        output: Format,
    },
    /// Send what a directory holds that was not sent yet, and end
    Run {
        /// Only this target
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// The configuration file
        #[arg(long, value_name = "FILE", env = "YAGURA_CONFIG")]
        config: PathBuf,
        /// The data directory [default: yagura in the user's data directory]
        #[arg(long, value_name = "DIR", env = "YAGURA_DATA")]
        data: Option<PathBuf>,
    },
    /// Send one event of our own to a target, and say what it answers
    Test {
        /// The target
        #[arg(value_name = "NAME")]
        name: String,
        /// The configuration file
        #[arg(long, value_name = "FILE", env = "YAGURA_CONFIG")]
        config: PathBuf,
    },
}

impl ForwardCommand {
    pub async fn run(self, asked: Option<Lang>, lang: Lang) -> Result<ExitCode> {
        match self.action {
            Action::List { place, output } => list(&place, output, lang).await,
            Action::Run { name, config, data } => {
                let config = Config::load(Some(&config), asked, lang)?;
                let lang = config.lang;
                let done = run(config, name, data).await;
                done.map_err(|error| in_lang(error, lang))
            }
            Action::Test { name, config } => {
                let config = Config::load(Some(&config), asked, lang)?;
                let lang = config.lang;
                test(&config, &name).await.map_err(|error| in_lang(error, lang))
            }
        }
    }
}

async fn list(place: &Place, output: Format, lang: Lang) -> Result<ExitCode> {
    let client = place.client(lang)?.ok_or_else(|| {
        misuse(
            lang,
            "targets are sent to by a running server: name it, for example --server \
             http://127.0.0.1:8440",
            "転送は稼働中のサーバーが行います。--server http://127.0.0.1:8440 のように指定してください",
        )
    })?;
    let answer = client.get("/api/v1/forward", &[]).await?;
    let targets = answer["targets"].as_array().cloned().unwrap_or_default();
    if targets.is_empty() {
        match lang {
            Lang::En => eprintln!("no targets: write [[forward]] in the configuration"),
            Lang::Ja => {
                eprintln!("転送先がありません。設定ファイルに [[forward]] を書いてください")
            }
        }
    }
    let few = output == Format::Table || output == Format::Csv;
    let mut writer = RowWriter::new(std::io::stdout(), output, Vec::new());
    for target in targets {
        let Value::Object(row) = target else { continue };
        let names = [
            "name",
            "to",
            "receiver",
            "sent",
            "refused",
            "events_waiting",
            "waiting_since",
            "last_error",
        ];
        let picked = |name: &str| {
            let said = match (name, lang) {
                ("last_error", Lang::Ja) => "last_error_ja",
                _ => name,
            };
            (name.to_owned(), row.get(said).cloned().unwrap_or_default())
        };
        writer.write(if few { names.into_iter().map(picked).collect() } else { row })?;
    }
    writer.finish()?;
    Ok(ExitCode::SUCCESS)
}

async fn run(config: Config, name: Option<String>, data: Option<PathBuf>) -> Result<ExitCode> {
    let lang = config.lang;
    let place = Place { server: None, token_file: None, data, content: Vec::new() };
    let data = place.existing_dir(lang)?;
    let mut settings = config.forward.clone();
    if let Some(name) = &name {
        settings.retain(|one| one.name == *name);
    }
    if settings.is_empty() {
        return Err(no_target(&config, name.as_deref()).into());
    }
    let node = open_node(data, node_options(&config)?).await?;
    let sealing = node.clone();
    tokio::task::spawn_blocking(move || sealing.flush()).await??;
    let opened = node.open_forwarding(settings, lang);
    let mut gave_up = false;
    let sent = async {
        let (forwarding, targets) = opened.map_err(|error| said(error, lang))?;
        for (at, (target, name)) in targets.into_iter().zip(forwarding.names()).enumerate() {
            match forwarding.clone().catch_up(node.clone(), at, target).await? {
                ForwardEnded::CaughtUp => {}
                ForwardEnded::GaveUp(reason) => {
                    gave_up = true;
                    let reason = visible(reason.text(lang));
                    match lang {
                        Lang::En => eprintln!("{name}: gave up for now: {reason}"),
                        Lang::Ja => eprintln!("{name}: 今回は送れませんでした（{reason}）"),
                    }
                }
            }
        }
        anyhow::Ok(node.forward_status())
    };
    let status = sent.await;
    let closing = node.clone();
    tokio::task::spawn_blocking(move || closing.close()).await??;
    for target in status?["targets"].as_array().into_iter().flatten() {
        let text = |key: &str| target[key].as_str().unwrap_or_default().to_owned();
        let (name, receiver) = (text("name"), text("receiver"));
        let (sent, refused) = (&target["sent"], &target["refused"]);
        match lang {
            Lang::En => eprintln!("{name} ({receiver}): {sent} sent, {refused} refused so far"),
            Lang::Ja => eprintln!("{name}（{receiver}）: 累計 {sent} 件を転送、{refused} 件は拒否"),
        }
    }
    Ok(if gave_up { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

async fn test(config: &Config, name: &str) -> Result<ExitCode> {
    let lang = config.lang;
    let settings = config.forward.iter().find(|one| one.name == name);
    let settings = settings.ok_or_else(|| no_target(config, Some(name)))?;
    let target = Target::new(settings, Normalizer::embedded_dictionary(), lang);
    let mut target =
        target.map_err(|error| misuse(lang, error.words().en(), error.words().ja()))?;
    let receiver = target.receiver().to_owned();
    let reason = match target.send_some(&[test_event()]).await {
        Ok(settled) => settled.refused.into_iter().next().map(|refused| refused.reason),
        Err(later) => Some(later.0.text(lang).to_owned()),
    };
    match (&reason, lang) {
        (None, Lang::En) => eprintln!("{name}: {receiver} took the test event"),
        (None, Lang::Ja) => eprintln!("{name}: {receiver} は試験イベントを受け取りました"),
        (Some(reason), Lang::En) => eprintln!("{name}: {receiver}: {}", visible(reason)),
        (Some(reason), Lang::Ja) => {
            eprintln!("{name}: {receiver} は受け取りませんでした（{}）", visible(reason));
        }
    }
    Ok(if reason.is_none() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// An event that says of itself that it is a test.
fn test_event() -> Row {
    use yagura_event::{Clock, SystemClock};
    let now = SystemClock.now();
    let original = "yagura forward test";
    let row = json!({
        "event.id": format!("yagura-test/{}/0", now.as_micros()),
        "@timestamp": now, "event.ingested": now, "event.dataset": "yagura.test",
        "sentence": { "ja": "Yagura からの転送の試験です", "en": "A test of forwarding by Yagura" },
        "fields": { "message": original, "log.level": "info" },
        "event.original": original,
    });
    row.as_object().cloned().unwrap_or_default()
}

fn no_target(config: &Config, name: Option<&str>) -> Misuse {
    let known: Vec<&str> = config.forward.iter().map(|one| one.name.as_str()).collect();
    let known = known.join(", ");
    match name {
        Some(name) if !known.is_empty() => misuse(
            config.lang,
            format!("there is no target {name:?}; there are: {known}"),
            format!("{name:?} という転送先はありません（あるもの: {known}）"),
        ),
        _ => misuse(
            config.lang,
            "the configuration has no [[forward]]",
            "設定ファイルに [[forward]] がありません",
        ),
    }
}

/// Starts sending to every target of the configuration.
pub fn start(config: &Config, node: &Arc<Node>) -> Result<Vec<JoinHandle<()>>> {
    if config.forward.is_empty() {
        return Ok(Vec::new());
    }
    let (forwarding, targets) = node.open_forwarding(config.forward.clone(), config.lang)?;
    let sending = targets.into_iter().enumerate().map(|(at, target)| {
        tokio::spawn(forwarding.clone().keep_sending(node.clone(), at, target))
    });
    Ok(sending.collect())
}

/// Checks the targets of a configuration, their files too, without speaking to them.
pub fn check(config: &Config) -> Result<()> {
    let dictionary = Normalizer::embedded_dictionary();
    for (at, settings) in config.forward.iter().enumerate() {
        let target = Target::new(settings, dictionary.clone(), config.lang);
        target.map_err(|error| {
            let words = error.words();
            anyhow::Error::msg(either(config.lang, words.en(), words.ja()))
        })?;
        if config.forward.iter().take(at).any(|other| other.name == settings.name) {
            let name = &settings.name;
            return Err(told::misuse(
                config.lang,
                format!("forward: two targets are called {name:?}; rename one"),
                format!("forward: {name:?} という転送先が2つあります。名前を変えてください"),
            )
            .into());
        }
    }
    Ok(())
}
