use crate::config::Config;
use crate::output::visible;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

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
    pub fn run(self) -> Result<ExitCode> {
        match self.action {
            Action::Show { config } => {
                print!("{}", toml::to_string(&Config::load(config.as_deref())?)?);
            }
            Action::Check { config } => {
                let read = Config::load(Some(&config))?;
                let notes = read.check_enrichment().with_context(|| {
                    format!("the configuration file {} is wrong", config.display())
                })?;
                notes.iter().for_each(|note| eprintln!("! {}", visible(note)));
                eprintln!("{}: no fault found", config.display());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
