//! `yagura ledger pin`, `pins` and `unpin`: events that stay provable when their batch is deleted.

use crate::Place;
use crate::backend::Backend;
use crate::commands::retention::show::{named, time, write};
use crate::commands::search::INTERRUPTED;
use crate::output::{Format, visible};
use crate::searching::{self, Ended};
use crate::told::misuse;
use crate::zone::{TimeArguments, ZoneArgument, name_of};
use anyhow::Result;
use clap::Args;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::process::ExitCode;
use yagura_event::Lang;
use yagura_node::pins::limits::PINS_AT_ONCE_MAX;
use yagura_node::{Node, SearchQuery, SortOrder};

#[derive(Args)]
#[command(after_help = "\
A pin keeps a copy of the event's bytes with what proves them (DATA/pins), so that yagura prove goes on
working when a policy, or two persons, delete its batch. It does not keep the batch: a legal hold does
(yagura hold). Up to 1,000 events at once, all of them or none; who pinned them and why is in the audit log.

Examples:
  yagura ledger pin syslog/42/7 syslog/42/8 --case C-000012 --by sato --reason 'first logon of the intruder'
  yagura ledger pin --search 'user.name:tanaka event.code:4624' --last 7d --by sato --reason 'evidence'")]
pub struct Pin {
    /// Ids of events: stream/batch/index
    #[arg(value_name = "EVENT_ID", required_unless_present = "search")]
    ids: Vec<String>,
    /// Pin what a search finds; the options of time are about it
    #[arg(long, value_name = "EXPR", conflicts_with = "ids")]
    search: Option<String>,
    #[command(flatten)]
    times: TimeArguments,
    /// The case they belong to
    #[arg(long, default_value = "")]
    case: String,
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
#[command(after_help = "\
Examples:
  yagura ledger pins
  yagura ledger pins --output jsonl")]
pub struct Pins {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    zone: ZoneArgument,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

#[derive(Args)]
#[command(after_help = "\
The record of the pin stays, and so does that of its end. Where the batch was deleted, the pin is all that is
left: its bytes go for ever, so that has to be said with --last-copy, and no legal hold may be about its stream.

Examples:
  yagura ledger unpin syslog/42/7 --by tanaka --reason 'the case is closed'
  yagura ledger unpin syslog/42/8 --last-copy --by tanaka --reason 'the person concerned asked for erasure'")]
pub struct Unpin {
    /// Ids of events: stream/batch/index
    #[arg(value_name = "EVENT_ID", required = true)]
    ids: Vec<String>,
    /// Let the bytes go although nothing else is left of the event
    #[arg(long)]
    last_copy: bool,
    /// Why, for whoever reads it later
    #[arg(long)]
    reason: String,
    /// Who you are
    #[arg(long, value_name = "NAME")]
    by: String,
    #[command(flatten)]
    place: Place,
}

/// What a search found to be pinned.
struct Found {
    ids: Vec<String>,
    /// Whether something could not be read, so that there may be more.
    unread: bool,
}

impl Pin {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let is_timed = [&self.times.from, &self.times.to, &self.times.last];
        if self.search.is_none() && is_timed.iter().any(|time| time.is_some()) {
            return Err(misuse(
                lang,
                "--from, --to and --last belong to --search",
                "--from、--to、--last は --search と一緒に使ってください",
            )
            .into());
        }
        let backend = Backend::open(&self.place, lang).await?;
        let done = self.pin(&backend, lang).await;
        backend.close().await;
        done
    }

    async fn pin(self, backend: &Backend, lang: Lang) -> Result<ExitCode> {
        let found = match &self.search {
            None => Found { ids: self.ids, unread: false },
            Some(search) => match found(backend, search, &self.times, lang).await? {
                Some(found) => found,
                None => return Ok(ExitCode::from(INTERRUPTED)),
            },
        };
        if found.ids.is_empty() {
            match lang {
                Lang::En => eprintln!("nothing found, nothing pinned"),
                Lang::Ja => eprintln!("該当するイベントがないため、何もピン留めしていません"),
            }
            return Ok(ExitCode::from(u8::from(found.unread)));
        }
        let body = json!({
            "events": found.ids, "reason": self.reason, "case": self.case, "by": self.by,
        });
        let pin = |node: &Node, body: Value, who: &str| {
            // Proof: it was made from one.
            node.pin(&serde_json::from_value(body).unwrap_or_default(), who)
        };
        let done = backend.act("/api/v1/pins", body, pin).await?;
        let count = |key: &str| done[key].as_u64().unwrap_or_default();
        let (pinned, already) = (count("pinned"), count("already"));
        match (lang, already) {
            (Lang::En, 0) => eprintln!("{pinned} events are pinned"),
            (Lang::En, _) => eprintln!("{pinned} events are pinned; {already} were already"),
            (Lang::Ja, 0) => eprintln!("イベント{pinned}件をピン留めしました"),
            (Lang::Ja, _) => {
                eprintln!("イベント{pinned}件をピン留めしました（{already}件はピン留め済み）");
            }
        }
        Ok(ExitCode::from(u8::from(found.unread)))
    }
}

/// The ids of the events that a search finds; `None` where it was interrupted.
async fn found(
    backend: &Backend,
    search: &str,
    times: &TimeArguments,
    lang: Lang,
) -> Result<Option<Found>> {
    let query = SearchQuery {
        query: search.to_owned(),
        from: times.from.clone(),
        to: times.to.clone(),
        last: times.last.clone(),
        // One more tells that there are too many.
        limit: PINS_AT_ONCE_MAX + 1,
        offset: 0,
        time_zone: name_of(&times.zone.zone(lang)?),
        sort: SortOrder::Newest,
        ..SearchQuery::default()
    };
    let mut ids = Vec::new();
    let ended = searching::search(backend, query, lang, |row| {
        match row.get("event.id").and_then(Value::as_str) {
            Some(id) => {
                ids.push(id.to_owned());
                Ok(())
            }
            None => Err(misuse(
                lang,
                "a search whose events are pinned must give events: leave out stats and the like",
                "ピン留めする検索の結果はイベントでなければなりません。stats などは使えません",
            )
            .into()),
        }
    });
    let end = match ended.await? {
        Ended::Done(end) => end,
        Ended::Interrupted => {
            match lang {
                Lang::En => eprintln!("cancelled: nothing is pinned"),
                Lang::Ja => eprintln!("取り消しました。何もピン留めしていません"),
            }
            return Ok(None);
        }
    };
    if ids.len() > PINS_AT_ONCE_MAX {
        return Err(misuse(
            lang,
            format!(
                "more than {PINS_AT_ONCE_MAX} events are found: narrow the search, or pin them in parts by \
                 --from and --to"
            ),
            format!(
                "{PINS_AT_ONCE_MAX}件を超えるイベントが見つかりました。検索を絞るか、--from と --to で分けて\
                 ピン留めしてください"
            ),
        )
        .into());
    }
    for notice in &end.notices {
        eprintln!("{}", visible(notice.text(lang)));
    }
    searching::say_unread(&end.unread, lang);
    Ok(Some(Found { ids, unread: !end.unread.is_empty() }))
}

impl Pins {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let zone = match self.output {
            Format::Table => self.zone.zone(lang)?,
            _ => TimeZone::UTC,
        };
        let backend = Backend::open(&self.place, lang).await?;
        let answer = backend.ask("/api/v1/pins", &[], |node| Ok(node.pins())).await;
        backend.close().await;
        let answer = answer?;
        let count = write(&answer["pins"], self.output, |row| {
            let state = match (row["batch.deleted"] == true, lang) {
                (false, Lang::En) => "in the lake, too",
                (false, Lang::Ja) => "レイクにもある",
                (true, Lang::En) => "in its pin only",
                (true, Lang::Ja) => "ピンのみ",
            };
            named(
                vec![
                    ("イベント", "event", row["event.id"].clone()),
                    ("状態", "state", json!(state)),
                    ("案件", "case", row["case"].clone()),
                    ("理由", "reason", row["reason"].clone()),
                    ("登録者", "by", row["user.name"].clone()),
                    ("登録", "since", time(&row["@timestamp"], &zone)),
                ],
                lang,
            )
        })?;
        let total = answer["total"].as_u64().unwrap_or_default();
        match lang {
            Lang::En if count == 0 => eprintln!("no pinned events"),
            Lang::Ja if count == 0 => eprintln!("ピン留めしたイベントはありません"),
            Lang::En if total > count as u64 => eprintln!("the newest {count} of {total}"),
            Lang::Ja if total > count as u64 => eprintln!("{total}件のうち新しい{count}件"),
            _ => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Unpin {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let body = json!({
            "events": self.ids, "reason": self.reason, "by": self.by, "last_copy": self.last_copy,
        });
        let backend = Backend::open(&self.place, lang).await?;
        let unpin = |node: &Node, body: Value, who: &str| {
            // Proof: it was made from one.
            node.unpin(&serde_json::from_value(body).unwrap_or_default(), who)
        };
        let done = backend.act("/api/v1/pins/remove", body, unpin).await;
        backend.close().await;
        let done = done?;
        let count = |key: &str| done[key].as_u64().unwrap_or_default();
        let (unpinned, gone) = (count("unpinned"), count("gone"));
        match (lang, gone) {
            (Lang::En, 0) => eprintln!("{unpinned} events are no longer pinned"),
            (Lang::En, _) => {
                eprintln!(
                    "{unpinned} events are no longer pinned; nothing is left of {gone} of them"
                );
            }
            (Lang::Ja, 0) => eprintln!("イベント{unpinned}件のピンを外しました"),
            (Lang::Ja, _) => eprintln!(
                "イベント{unpinned}件のピンを外しました（うち{gone}件は、もうどこにもありません）"
            ),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is said of a proof that did not come from the lake.
pub fn say_from(from: yagura_node::ProofFrom, id: &yagura_event::EventId, lang: Lang) {
    if let Some(words) = from.words(id) {
        eprintln!("{}", visible(words.text(lang)));
    }
}
