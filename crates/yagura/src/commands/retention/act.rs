//! What one person asks for and another approves.

use super::show;
use crate::Place;
use crate::backend::Backend;
use crate::output::visible;
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;
use yagura_event::Lang;
use yagura_node::Node;

#[derive(Args)]
#[command(after_help = "\
Only whole batches go: those of which every record was received before the instant. What a policy keeps
at least cannot be asked for, and what a legal hold touches stays. The reason and both names are in the
audit log for ever.")]
pub struct Delete {
    /// The stream, as yagura retention lists it
    #[arg(long, value_name = "STREAM")]
    stream: String,
    /// Batches wholly received before this instant (ISO 8601)
    #[arg(long, value_name = "TIME")]
    before: String,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Args)]
pub struct Asking {
    /// Why, for whoever reads it later
    #[arg(long)]
    reason: String,
    /// Who you are
    #[arg(long, value_name = "NAME")]
    by: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub struct Deciding {
    /// Id of the request, such as R-000001
    id: String,
    /// Who you are; to approve, another than who asked
    #[arg(long, value_name = "NAME")]
    by: String,
    /// A word about it, for whoever reads it later
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    place: Place,
}

/// A request that this program made: it always reads back.
fn read<T: serde::de::DeserializeOwned + Default>(body: Value) -> T {
    serde_json::from_value(body).unwrap_or_default()
}

impl Delete {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let Asking { reason, by, place } = self.asking;
        let body = json!({
            "stream": self.stream, "before": self.before, "reason": reason, "by": by,
        });
        let backend = Backend::open(&place, lang).await?;
        let ask = |node: &Node, body: Value, who: &str| node.ask_deletion(&read(body), who);
        let asked = backend.act("/api/v1/retention/delete", body, ask).await;
        backend.close().await;
        say_asked(&asked?, lang)
    }
}

impl Asking {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let body = json!({ "reason": self.reason, "by": self.by });
        let ask = |node: &Node, body: Value, who: &str| node.ask_shortening(&read(body), who);
        let asked = backend.act("/api/v1/retention/shorten", body, ask).await;
        backend.close().await;
        say_asked(&asked?, lang)
    }
}

fn say_asked(asked: &Value, lang: Lang) -> Result<ExitCode> {
    let text = |key: &str| visible(asked[key].as_str().unwrap_or_default()).into_owned();
    let (id, until) = (text("request.id"), text("expires"));
    let count = |key: &str| asked["preview"][key].as_u64().unwrap_or_default();
    if asked["preview"].is_object() {
        let (records, batches) = (count("records"), count("batches"));
        match lang {
            Lang::En => eprintln!(
                "to go: {records} events in {batches} batches, unless a legal hold keeps them"
            ),
            Lang::Ja => {
                eprintln!(
                    "削除の対象: イベント{records}件（バッチ{batches}個。保全中のものは残ります）"
                );
            }
        }
    }
    show::say_pinned(count("events.pinned"), lang);
    match lang {
        Lang::En => eprintln!(
            "{id} waits until {until} for another person: yagura retention approve {id} --by NAME"
        ),
        Lang::Ja => eprintln!(
            "{id} は {until} まで別の人の承認を待ちます: yagura retention approve {id} --by NAME"
        ),
    }
    Ok(ExitCode::SUCCESS)
}

impl Deciding {
    pub async fn approve(self, lang: Lang) -> Result<ExitCode> {
        let answer = self.decide("approve", lang, |node, id, body, who| {
            node.approve_retention(id, &read(body), who)
        });
        let answer = answer.await?;
        let id = visible(&self.id);
        match lang {
            Lang::En => eprintln!("{id} is approved"),
            Lang::Ja => eprintln!("{id} を承認しました"),
        }
        match answer["counts"].is_null() {
            true => Ok(ExitCode::SUCCESS),
            false => show::say_counts(&answer["counts"], lang),
        }
    }

    pub async fn withdraw(self, lang: Lang) -> Result<ExitCode> {
        let answer = self.decide("withdraw", lang, |node, id, body, who| {
            node.withdraw_retention(id, &read(body), who)
        });
        answer.await?;
        let id = visible(&self.id);
        match lang {
            Lang::En => eprintln!("{id} is withdrawn"),
            Lang::Ja => eprintln!("{id} を取り下げました"),
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn decide(
        &self,
        act: &str,
        lang: Lang,
        local: fn(&Node, &str, Value, &str) -> Result<Value, yagura_node::NodeError>,
    ) -> Result<Value> {
        let backend = Backend::open(&self.place, lang).await?;
        let body = json!({ "by": self.by, "reason": self.reason });
        let id = self.id.clone();
        let path = format!("/api/v1/retention/requests/{id}/{act}");
        let here = move |node: &Node, body: Value, who: &str| local(node, &id, body, who);
        let answer = backend.act(&path, body, here).await;
        backend.close().await;
        answer
    }
}
