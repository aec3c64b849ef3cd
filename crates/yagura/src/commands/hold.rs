//! `yagura hold`: legal holds, which keep events whatever a policy says.

use crate::Place;
use crate::backend::Backend;
use crate::commands::retention::show::{named, time, write};
use crate::output::{Format, visible};
use crate::zone::ZoneArgument;
use anyhow::Result;
use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::process::ExitCode;
use yagura_event::Lang;
use yagura_node::Node;

/// `yagura hold`
#[derive(Args)]
#[command(after_help = "\
A hold keeps every batch with an event it is about, whole, until it is released: neither a policy nor two
persons delete it. Without --stream, --host, --from and --to it is about everything; with several, about
events for which all of them hold. Times are those of the event or of its receipt, whichever lies within.

Examples:
  yagura hold add --name 'matter 7' --case C-000012 --host web01 --from 2026-11-01T00:00:00Z --by sato --reason 'counsel asked'
  yagura hold list
  yagura hold release H-000001 --by tanaka --reason 'settled on 2026-12-01'")]
pub struct HoldCommand {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Keep events from being deleted
    Add(Add),
    /// List holds, those in force first
    List(List),
    /// Let a hold go; it stays on record
    Release(Release),
}

#[derive(Args)]
struct Add {
    /// Its name, such as the matter it is for
    #[arg(long)]
    name: String,
    /// Why, for whoever reads it later
    #[arg(long)]
    reason: String,
    /// The case it belongs to
    #[arg(long, default_value = "")]
    case: String,
    /// Only these streams; * stands for any characters (may be repeated)
    #[arg(long, value_name = "STREAM")]
    stream: Vec<String>,
    /// Only events of these hosts, or of senders with these addresses (may be repeated)
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// Only from this instant on (ISO 8601)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only before this instant (ISO 8601)
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Who you are
    #[arg(long, value_name = "NAME")]
    by: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct List {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    zone: ZoneArgument,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

#[derive(Args)]
struct Release {
    /// Id of the hold, such as H-000001
    id: String,
    /// Why, for whoever reads it later
    #[arg(long)]
    reason: String,
    /// Who you are
    #[arg(long, value_name = "NAME")]
    by: String,
    #[command(flatten)]
    place: Place,
}

impl HoldCommand {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        match self.act {
            Act::Add(add) => add.run(lang).await,
            Act::List(list) => list.run(lang).await,
            Act::Release(release) => release.run(lang).await,
        }
    }
}

impl Add {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let body = json!({
            "name": self.name, "reason": self.reason, "case": self.case, "streams": self.stream,
            "hosts": self.host, "from": self.from, "to": self.to, "by": self.by,
        });
        let backend = Backend::open(&self.place, lang).await?;
        let add = |node: &Node, body: Value, who: &str| {
            // Proof: it was made from one.
            node.add_hold(&serde_json::from_value(body).unwrap_or_default(), who)
        };
        let hold = backend.act("/api/v1/holds", body, add).await;
        backend.close().await;
        let hold = hold?;
        let id = visible(hold["hold.id"].as_str().unwrap_or_default()).into_owned();
        match lang {
            Lang::En => eprintln!("{id} is in force"),
            Lang::Ja => eprintln!("保全 {id} を始めました"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let zone = match self.output {
            Format::Table => self.zone.zone(lang)?,
            _ => TimeZone::UTC,
        };
        let backend = Backend::open(&self.place, lang).await?;
        let answer = backend.ask("/api/v1/holds", &[], |node| Ok(node.holds())).await;
        backend.close().await;
        let answer = answer?;
        let count = write(&answer["holds"], self.output, |row| {
            let released = &row["released"];
            let state = match (released.is_null(), lang) {
                (true, Lang::En) => "in force",
                (true, Lang::Ja) => "有効",
                (false, Lang::En) => "released",
                (false, Lang::Ja) => "解除済み",
            };
            named(
                vec![
                    ("ID", "id", row["hold.id"].clone()),
                    ("状態", "state", json!(state)),
                    ("名前", "name", row["hold.name"].clone()),
                    ("案件", "case", row["case"].clone()),
                    ("ストリーム", "streams", row["streams"].clone()),
                    ("ホスト", "hosts", row["hosts"].clone()),
                    ("開始", "from", time(&row["from"], &zone)),
                    ("終了", "to", time(&row["to"], &zone)),
                    ("理由", "reason", row["reason"].clone()),
                    ("登録者", "by", row["user.name"].clone()),
                    ("登録", "since", time(&row["@timestamp"], &zone)),
                    ("解除の理由", "released because", released["reason"].clone()),
                ],
                lang,
            )
        })?;
        if count == 0 {
            match lang {
                Lang::En => eprintln!("no legal holds"),
                Lang::Ja => eprintln!("保全はありません"),
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Release {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let path = format!("/api/v1/holds/{}/release", self.id);
        let id = self.id.clone();
        let release = move |node: &Node, body: Value, who: &str| {
            // Proof: it was made from one.
            node.release_hold(&id, &serde_json::from_value(body).unwrap_or_default(), who)
        };
        let body = json!({ "reason": self.reason, "by": self.by });
        let released = backend.act(&path, body, release).await;
        backend.close().await;
        released?;
        let id = visible(&self.id);
        match lang {
            Lang::En => eprintln!("{id} is released"),
            Lang::Ja => eprintln!("保全 {id} を解除しました"),
        }
        Ok(ExitCode::SUCCESS)
    }
}
