use crate::client::Client;
use crate::config::{Config, wrong};
use crate::output::{visible, visible_lines};
use crate::told::in_lang;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use yagura_event::Lang;

/// `yagura config`
#[derive(Args)]
pub struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print every key with the value in force
    Show {
        /// The configuration file
        #[arg(long, value_name = "FILE", env = "YAGURA_CONFIG")]
        config: Option<PathBuf>,
        /// Ask a running server, such as http://127.0.0.1:8440
        #[arg(long, value_name = "URL")]
        server: Option<String>,
        /// File with the access token for the server
        #[arg(long, value_name = "FILE", env = "YAGURA_TOKEN_FILE", requires = "server")]
        token_file: Option<PathBuf>,
    },
    /// Check a configuration file; exit code 1 names what is wrong
    Check {
        /// The configuration file
        #[arg(value_name = "FILE")]
        config: PathBuf,
    },
}

impl ConfigCommand {
    pub async fn run(self, asked: Option<Lang>, lang: Lang) -> Result<ExitCode> {
        match self.action {
            Action::Show { server: Some(server), token_file, .. } => {
                let client = Client::new(&server, token_file.as_deref(), lang)?;
                let answer = client.get("/api/v1/config", &[]).await?;
                writeln!(
                    stdout(),
                    "{}",
                    visible_lines(answer["toml"].as_str().unwrap_or_default())
                )?;
            }
            Action::Show { config, .. } => {
                let read = Config::load(config.as_deref(), asked, lang)?;
                write!(stdout(), "{}", toml::to_string(&read)?)?;
            }
            Action::Check { config } => {
                let read = Config::load(Some(&config), asked, lang)?;
                let told = |error| in_lang(error, read.lang);
                let secret = read.check_webhook_secret();
                secret.with_context(|| wrong(&config, read.lang)).map_err(told)?;
                let forward = crate::commands::forward::check(&read);
                forward.with_context(|| wrong(&config, read.lang)).map_err(told)?;
                let notes = read.check_enrichment();
                let notes = notes.with_context(|| wrong(&config, read.lang)).map_err(told)?;
                notes.iter().for_each(|note| eprintln!("! {}", visible(note)));
                match read.lang {
                    Lang::En => eprintln!("{}: no fault found", config.display()),
                    Lang::Ja => eprintln!("{}: 誤りはありません", config.display()),
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
