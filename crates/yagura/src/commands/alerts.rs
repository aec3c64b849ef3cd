use crate::Place;
use crate::backend::Backend;
use crate::commands::desk;
use crate::output::{Format, RowWriter, visible};
use crate::zone::{ZoneArgument, shown_in};
use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::io::{self, Write, stdout};
use std::process::ExitCode;
use yagura_event::{Lang, Level};

/// `yagura alerts`
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  yagura alerts --state new --level high
  yagura alerts acknowledge A-000012 --note 'looking at it'
  yagura alerts close A-000012 --verdict false_positive --note 'backup job'
  yagura alerts explain A-000012
  yagura alerts except add --alert A-000012 --entity host:BK01 --reason 'backup job'
  yagura alerts risk
  yagura alerts gaps --open
  yagura alerts quality")]
pub struct Alerts {
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    list: List,
}

#[derive(Args)]
struct List {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    zone: ZoneArgument,
    /// Only alerts in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only alerts of this level or above
    #[arg(long)]
    level: Option<Level>,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum State {
    New,
    Acknowledged,
    Closed,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Verdict {
    TruePositive,
    FalsePositive,
    Benign,
    Duplicate,
}

#[derive(Subcommand)]
enum Act {
    /// Say that someone looks at it
    Acknowledge(OnAlert),
    /// Close it, with a verdict
    Close {
        #[command(flatten)]
        on: OnAlert,
        /// What it was
        #[arg(long, value_enum)]
        verdict: Verdict,
    },
    /// Open it again
    Reopen(OnAlert),
    /// Write something down about it
    Comment(OnAlert),
    /// Say why it was raised, what to check, and what was decided before
    Explain(desk::Explain),
    /// Keep matches that are in order from raising alerts: exceptions, with reason and end
    Except(desk::Except),
    /// List hosts, users and addresses by what their alerts add up to
    Risk(desk::Listing),
    /// List what could not be seen: rules off, silent sources, missing fields
    Gaps(desk::Gaps),
    /// List rules by their noise and precision, measured from verdicts
    Quality(desk::Listing),
}

#[derive(Args)]
struct OnAlert {
    /// Id of the alert, such as A-000012
    id: String,
    /// Why, for whoever reads it later
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl Alerts {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        match self.act {
            None => self.list.run(lang).await,
            Some(act) => act.run(lang).await,
        }
    }
}

impl List {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let zone = self.zone.zone(lang)?;
        let backend = Backend::open(&self.place, lang).await?;
        let mut query = vec![("limit", self.limit.to_string())];
        if let Some(state) = self.state.and_then(|state| state.to_possible_value()) {
            query.push(("state", state.get_name().to_owned()));
        }
        if let Some(level) = self.level {
            query.push(("level", level.to_string()));
        }
        let found = backend.alerts(&query).await;
        backend.close().await;
        let found = found?;
        let alerts = found["alerts"].as_array().cloned().unwrap_or_default();
        if self.output == Format::Table {
            print_table(&alerts, lang, &zone)?;
        } else {
            let mut writer = RowWriter::new(stdout().lock(), self.output, Vec::new());
            for alert in &alerts {
                if let Value::Object(row) = alert {
                    writer.write(row.clone())?;
                }
            }
            writer.finish()?;
        }
        let total = found["total"].as_u64().unwrap_or(0);
        match (alerts.len(), lang) {
            (0, Lang::En) => eprintln!("no alerts"),
            (0, Lang::Ja) => eprintln!("アラートはありません"),
            (shown, Lang::En) if (shown as u64) < total => {
                eprintln!("{shown} of {total}; see more with --limit");
            }
            (shown, Lang::Ja) if (shown as u64) < total => {
                eprintln!("{total}件中{shown}件を表示。続きは --limit で");
            }
            _ => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Two lines an alert: what it is called, and the sentence of its first event.
fn print_table(alerts: &[Value], lang: Lang, zone: &TimeZone) -> io::Result<()> {
    for alert in alerts {
        let text = |key: &str| alert[key].as_str().unwrap_or_default().to_owned();
        let level = text("rule.level").parse::<Level>().unwrap_or_default();
        let name = match (lang, alert["rule.name_ja"].as_str()) {
            (Lang::Ja, Some(name)) if !name.is_empty() => name.to_owned(),
            _ => text("rule.name"),
        };
        writeln!(
            stdout(),
            "{}  {}  {}  [{}]  {}  ×{}  {}",
            text("alert.id"),
            shown_in(zone, &text("last_seen")),
            level.label(lang),
            state_label(&text("alert.state"), lang),
            visible(&name),
            alert["count"],
            visible(alert["entity"]["value"].as_str().unwrap_or_default()),
        )?;
        writeln!(
            stdout(),
            "    {}",
            visible(alert["sentence"][lang.as_str()].as_str().unwrap_or_default())
        )?;
    }
    Ok(())
}

/// What was done to an alert.
fn recorded(verb: &str, lang: Lang) -> &'static str {
    match (verb, lang) {
        ("acknowledge", Lang::En) => "acknowledged",
        ("acknowledge", Lang::Ja) => "対応中にしました",
        ("close", Lang::En) => "closed",
        ("close", Lang::Ja) => "完了にしました",
        ("reopen", Lang::En) => "open again",
        ("reopen", Lang::Ja) => "再び未対応にしました",
        (_, Lang::En) => "comment recorded",
        (_, Lang::Ja) => "コメントを記録しました",
    }
}

fn state_label(state: &str, lang: Lang) -> &str {
    state.parse::<yagura_desk::AlertState>().map_or(state, |known| known.label(lang))
}

impl Act {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let (on, verb, verdict) = match self {
            Act::Acknowledge(on) => (on, "acknowledge", None),
            Act::Close { on, verdict } => (on, "close", Some(verdict)),
            Act::Reopen(on) => (on, "reopen", None),
            Act::Comment(on) => (on, "comment", None),
            Act::Explain(explain) => return explain.run(lang).await,
            Act::Except(except) => return except.run(lang).await,
            Act::Risk(listing) => return listing.risk(lang).await,
            Act::Gaps(gaps) => return gaps.run(lang).await,
            Act::Quality(listing) => return listing.quality(lang).await,
        };
        let mut body = json!({});
        if let Some(note) = on.note {
            body["note"] = note.into();
        }
        if let Some(verdict) = verdict.and_then(|verdict| verdict.to_possible_value()) {
            body["verdict"] = verdict.get_name().into();
        }
        let backend = Backend::open(&on.place, lang).await?;
        let done = backend.act_on_alert(&on.id, verb, body).await;
        backend.close().await;
        done?;
        eprintln!("{}: {}", on.id, recorded(verb, lang));
        Ok(ExitCode::SUCCESS)
    }
}
