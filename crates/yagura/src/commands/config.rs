use crate::config::{Config, wrong};
use crate::output::visible;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
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
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check a configuration file; exit code 1 names what is wrong
    Check {
        /// The configuration file
        #[arg(value_name = "FILE")]
        config: PathBuf,
    },
}

impl ConfigCommand {
    pub fn run(self, asked: Option<Lang>) -> Result<ExitCode> {
        match self.action {
            Action::Show { config } => {
                print!("{}", toml::to_string(&Config::load(config.as_deref())?)?);
            }
            Action::Check { config } => {
                let read = Config::load_in(Some(&config), asked)?;
                let notes = read.check_enrichment().with_context(|| wrong(&config, read.lang))?;
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
