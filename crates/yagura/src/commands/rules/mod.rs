//! `yagura rules`: what is known about rules besides how they match. The thinking is in
//! `yagura-rulebook`.

mod check;
mod coverage;
mod list;
mod test;
mod tune;
mod update;

use crate::Misuse;
use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use yagura_event::Lang;
use yagura_rulebook::RuleSources;

/// `yagura rules`
#[derive(Args)]
pub struct Rules {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say what is wrong with rules, with file and line
    Check(check::Check),
    /// List every rule, and why those that are not in use are not
    List(list::List),
    /// Try rules on the sample events beside them
    Test(test::Test),
    /// Say which techniques of ATT&CK are watched, with data really present
    Coverage(coverage::Coverage),
    /// Install a directory of rules, after showing what changes
    Update(update::Update),
    /// Find the exceptions that would take away most of the noise
    Tune(tune::Tune),
    /// Have a running server read its rules again
    Reload(list::Reload),
}

/// Where rules come from, for commands that read files.
#[derive(Args, Clone)]
pub struct Sources {
    /// Rule files and directories, besides our own
    #[arg(long, value_name = "PATH", num_args = 1..)]
    rules: Vec<PathBuf>,
    /// Values for placeholders: TOML files of `name = [values]`, or directories of those and of
    /// `name.txt`
    #[arg(long, value_name = "PATH", num_args = 1..)]
    lists: Vec<PathBuf>,
    /// Processing pipelines, or directories of them
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pipelines: Vec<PathBuf>,
    /// Without our own rules
    #[arg(long)]
    no_builtin: bool,
    /// Zone in which rules take the hour, day, week, ... of a time, as rules.time_zone of a server
    #[arg(long, value_name = "ZONE", default_value = UTC)]
    rule_time_zone: String,
}

const UTC: &str = "UTC";

impl Sources {
    /// Whether nothing but the default is asked for.
    fn is_default(&self) -> bool {
        let places = [&self.rules, &self.lists, &self.pipelines];
        let is_utc = self.rule_time_zone == UTC;
        !self.no_builtin && is_utc && places.iter().all(|places| places.is_empty())
    }

    fn read(&self, lang: Lang) -> Result<RuleSources, Misuse> {
        Ok(RuleSources {
            builtin: !self.no_builtin,
            rules: self.rules.clone(),
            lists: self.lists.clone(),
            pipelines: self.pipelines.clone(),
            zone: crate::zone::named("--rule-time-zone", &self.rule_time_zone, lang)?,
        })
    }
}

impl Rules {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        match self.command {
            Command::Check(check) => check.run(lang),
            Command::List(list) => list.run(lang).await,
            Command::Test(test) => test.run(lang),
            Command::Coverage(coverage) => coverage.run(lang).await,
            Command::Update(update) => update.run(lang).await,
            Command::Tune(tune) => tune.run(lang).await,
            Command::Reload(reload) => reload.run(lang).await,
        }
    }
}
