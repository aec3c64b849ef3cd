//! `yagura retention`: how long what is kept, on whose authority, and what ends it.

mod act;
pub mod show;

use crate::Place;
use crate::backend::Backend;
use crate::output::Format;
use crate::zone::ZoneArgument;
use anyhow::Result;
use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use std::process::ExitCode;
use yagura_event::Lang;
use yagura_node::Node;

/// `yagura retention`
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Without a word: every stream with what is kept of it, since when, by which policy and why, and when the
oldest goes. Policies stand in the configuration ([[retention.policy]]); docs/retention.md tells more.
Nothing is deleted unless [retention] delete = true, or two persons agree: one asks, another approves.
Deleted are whole batches; that they were is recorded before they go, and yagura verify knows it.

Examples:
  yagura retention
  yagura retention authorities
  yagura retention forecast
  yagura retention delete --stream pos/till --before 2025-11-01T00:00:00Z --by sato --reason 'end of contract'
  yagura retention approve R-000001 --by tanaka
  yagura retention shorten --by sato --reason 'the disk is small'
  yagura retention run")]
pub struct Retention {
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    list: Listing,
}

#[derive(Args)]
struct Listing {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    zone: ZoneArgument,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

#[derive(Subcommand)]
enum Act {
    /// List who says how long logs are to be kept, as a policy may name them
    Authorities(Listing),
    /// Say when the disk will be full, and whether before a policy's minimum is reached
    Forecast(Listing),
    /// List requests that wait for a second person, and what became of others
    Requests(Listing),
    /// Ask that old batches of a stream be deleted
    Delete(act::Delete),
    /// Ask that configured policies hold where they are shorter than before
    Shorten(act::Asking),
    /// Approve a request of another person; a deletion is done at once
    Approve(act::Deciding),
    /// Take back a request that nobody approved
    Withdraw(act::Deciding),
    /// Delete now what policies let go and what was approved
    Run(Listing),
}

impl Retention {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        match self.act {
            None => self.list.streams(lang).await,
            Some(Act::Authorities(list)) => list.authorities(lang).await,
            Some(Act::Forecast(list)) => list.forecast(lang).await,
            Some(Act::Requests(list)) => list.requests(lang).await,
            Some(Act::Delete(delete)) => delete.run(lang).await,
            Some(Act::Shorten(asking)) => asking.run(lang).await,
            Some(Act::Approve(deciding)) => deciding.approve(lang).await,
            Some(Act::Withdraw(deciding)) => deciding.withdraw(lang).await,
            Some(Act::Run(list)) => list.run_now(lang).await,
        }
    }
}

impl Listing {
    fn zone(&self, lang: Lang) -> Result<TimeZone> {
        Ok(match self.output {
            Format::Table => self.zone.zone(lang)?,
            _ => TimeZone::UTC,
        })
    }

    async fn streams(self, lang: Lang) -> Result<ExitCode> {
        let zone = self.zone(lang)?;
        let backend = Backend::open(&self.place, lang).await?;
        let answer = backend.ask("/api/v1/retention", &[], Node::retention).await;
        backend.close().await;
        show::streams(&answer?, self.output, &zone, lang)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn authorities(self, lang: Lang) -> Result<ExitCode> {
        let authorities = serde_json::to_value(yagura_node::retention::authorities()?)?;
        show::authorities(&authorities, self.output, lang)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn forecast(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let path = "/api/v1/retention/forecast";
        let answer = backend.ask(path, &[], Node::retention_forecast).await;
        backend.close().await;
        show::forecast(&answer?, self.output, lang)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn requests(self, lang: Lang) -> Result<ExitCode> {
        let zone = self.zone(lang)?;
        let backend = Backend::open(&self.place, lang).await?;
        let local = |node: &Node| Ok(node.retention_requests());
        let answer = backend.ask("/api/v1/retention/requests", &[], local).await;
        backend.close().await;
        show::requests(&answer?["requests"], self.output, &zone, lang)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn run_now(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let run = |node: &Node, _: serde_json::Value, who: &str| node.run_retention(who);
        let done = backend.act("/api/v1/retention/run", serde_json::json!({}), run).await;
        backend.close().await;
        show::counts(&done?, self.output, lang)
    }
}
