//! `yagura alerts explain|except|risk|gaps|quality`: the desk beside the list of alerts.

use crate::Place;
use crate::backend::Backend;
use crate::output::{Format, RowWriter, visible};
use crate::told::misuse;
use crate::zone::{ZoneArgument, shown_in};
use anyhow::Result;
use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::io::{self, Write, stdout};
use std::process::ExitCode;
use yagura_desk::EntityKind;
use yagura_event::{Lang, Level};
use yagura_node::{ExceptionRequest, NodeError, RemoveRequest};

/// `yagura alerts explain`
#[derive(Args)]
pub struct Explain {
    /// Id of the alert, such as A-000012
    id: String,
    /// The text of the rule that matched, as it was then
    #[arg(long)]
    rule: bool,
    #[command(flatten)]
    zone: ZoneArgument,
    #[command(flatten)]
    place: Place,
    /// How it is written: table for people
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

/// `yagura alerts risk` and `yagura alerts quality`
#[derive(Args)]
pub struct Listing {
    #[command(flatten)]
    zone: ZoneArgument,
    #[command(flatten)]
    place: Place,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

/// `yagura alerts gaps`
#[derive(Args)]
pub struct Gaps {
    /// Only gaps that are not over
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    listing: Listing,
}

/// `yagura alerts except`
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  yagura alerts except
  yagura alerts except add --alert A-000012 --entity host:BK01 --reason 'nightly backup'
  yagura alerts except add --rule 9b36fa60-410b-40e6-b97f-1f0edc149ddb \\
      --where 'User|endswith=-backup' --days 30 --reason 'backup accounts'
  yagura alerts except matches X-000003
  yagura alerts except remove X-000003 --note 'the job is gone'")]
pub struct Except {
    #[command(subcommand)]
    act: Option<ExceptAct>,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Subcommand)]
enum ExceptAct {
    /// List exceptions and how many matches each took away
    List(Listing),
    /// Add one
    Add(Box<Add>),
    /// Take one back: its rules raise alerts again
    Remove {
        /// Id of the exception, such as X-000003
        id: String,
        /// Why
        #[arg(long)]
        note: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// List the last matches one took away
    Matches {
        /// Id of the exception, such as X-000003
        id: String,
        #[command(flatten)]
        listing: Listing,
    },
}

#[derive(Args)]
struct Add {
    /// Take the rule from this alert
    #[arg(long, value_name = "ID")]
    alert: Option<String>,
    /// UUID of a rule (may be repeated)
    #[arg(long, value_name = "UUID")]
    rule: Vec<String>,
    /// Every rule with this tag (may be repeated)
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// A condition about the event, as in rules: field|modifiers=value (may be repeated; all must
    /// hold; the same field twice means either value)
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    conditions: Vec<String>,
    /// What the event must name: host:NAME, user:NAME, source_ip:ADDRESS or dataset:NAME
    #[arg(long, value_name = "KIND:NAME")]
    entity: Option<String>,
    /// Every match of the rules: they are then off, which is shown as a gap
    #[arg(long)]
    everything: bool,
    /// Why these matches are in order
    #[arg(long)]
    reason: String,
    /// Ends by itself after so many days [default: 90]
    #[arg(long, conflicts_with = "until_removed")]
    days: Option<u32>,
    /// Does not end by itself
    #[arg(long)]
    until_removed: bool,
    #[command(flatten)]
    place: Place,
}

impl Explain {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let zone = self.zone.zone(lang)?;
        let backend = Backend::open(&self.place, lang).await?;
        let (path, id) = (format!("/api/v1/alerts/{}", self.id), self.id.clone());
        if self.rule {
            let rule = backend
                .ask(&format!("{path}/rule"), &[], move |node| node.rule_of_alert(&id))
                .await;
            backend.close().await;
            return print_rule(rule?, self.output, lang);
        }
        let alert = backend.ask(&path, &[], move |node| node.alert(&id)).await;
        backend.close().await;
        let alert = alert?;
        if self.output == Format::Table {
            explain(&alert, lang, &zone)?;
        } else {
            print_rows(vec![alert], self.output, &[])?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_rule(rule: Value, output: Format, lang: Lang) -> Result<ExitCode> {
    if output != Format::Table {
        print_rows(vec![rule], output, &[])?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |key: &str| rule[key].as_str().unwrap_or_default();
    // Line by line: what a rule says must not steer the terminal.
    for line in text("rule.text").lines() {
        writeln!(stdout(), "{}", visible(line))?;
    }
    let (path, digest) = (visible(text("log.file.path")), visible(text("rule.digest")));
    match lang {
        Lang::En => eprintln!("{path}: as it was when it matched (digest {digest})"),
        Lang::Ja => eprintln!("{path}: 一致した時点と同じ内容です（ダイジェスト {digest}）"),
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(alert: &Value, lang: Lang, zone: &TimeZone) -> io::Result<()> {
    let word = |ja: &'static str, en: &'static str| if lang == Lang::Ja { ja } else { en };
    let both =
        |value: &Value| visible(value[lang.as_str()].as_str().unwrap_or_default()).into_owned();
    let text = |key: &str| visible(alert[key].as_str().unwrap_or_default()).into_owned();
    let name = match (lang, alert["rule.name_ja"].as_str()) {
        (Lang::Ja, Some(name)) if !name.is_empty() => visible(name).into_owned(),
        _ => text("rule.name"),
    };
    let level = text("rule.level").parse::<Level>().unwrap_or_default();
    writeln!(stdout(), "{}  {}  {name}", text("alert.id"), level.label(lang))?;
    writeln!(stdout(), "{}", both(&alert["sentence"]))?;
    writeln!(
        stdout(),
        "{} – {}  ×{}",
        shown_in(zone, &text("first_seen")),
        shown_in(zone, &text("last_seen")),
        alert["count"]
    )?;
    let explanation = &alert["explanation"];
    writeln!(
        stdout(),
        "\n{}\n  {}",
        word("ルールが探すもの", "What the rule looks for"),
        both(&explanation["looks_for"])
    )?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let held = list(&explanation["held"]);
    if !held.is_empty() {
        writeln!(stdout(), "\n{}", word("一致した理由", "Why it matched"))?;
    }
    for one in &held {
        let value = visible(one["value"].as_str().unwrap_or_default()).into_owned();
        writeln!(stdout(), "  {} {}: {value}", both(&one["label"]), both(&one["because"]))?;
    }
    for (title, key) in [
        (word("次に確認すること", "What to check next"), "check"),
        (word("よくある誤検知", "Likely false positives"), "falsepositives"),
    ] {
        let lines = list(&explanation[key]);
        if !lines.is_empty() {
            writeln!(stdout(), "\n{title}")?;
        }
        for line in &lines {
            writeln!(stdout(), "  - {}", both(line))?;
        }
    }
    print_precedent(alert, lang, zone)?;
    let risk = list(&alert["risk"]);
    if !risk.is_empty() {
        writeln!(stdout(), "\n{}", word("リスク", "Risk"))?;
    }
    for one in &risk {
        writeln!(stdout(), "  {}", risk_line(one, lang))?;
    }
    let hours = alert["alert.hours"].as_object().cloned().unwrap_or_default();
    if hours.len() > 1 {
        writeln!(stdout(), "\n{}", word("1時間ごとの件数", "Events per hour"))?;
        for (hour, count) in &hours {
            writeln!(stdout(), "  {}  {count}", shown_in(zone, hour))?;
        }
    }
    Ok(())
}

fn print_precedent(alert: &Value, lang: Lang, zone: &TimeZone) -> io::Result<()> {
    let Some(precedent) = alert.get("precedent") else { return Ok(()) };
    let count = |key: &str| precedent["verdicts"][key].as_u64().unwrap_or(0);
    let counts = ["true_positive", "false_positive", "benign", "duplicate"]
        .into_iter()
        .filter(|verdict| count(verdict) > 0)
        .map(|verdict| {
            let label = verdict.parse::<yagura_desk::Verdict>();
            format!("{} ×{}", label.map_or(verdict, |known| known.label(lang)), count(verdict))
        });
    let counts = counts.collect::<Vec<_>>().join(", ");
    match lang {
        Lang::Ja => writeln!(stdout(), "\n前例（同じルール・同じ対象）\n  {counts}")?,
        Lang::En => writeln!(stdout(), "\nSeen before (same rule, same entity)\n  {counts}")?,
    }
    let last = &precedent["last"];
    if let Some(who) = last["user.name"].as_str() {
        let at = shown_in(zone, last["@timestamp"].as_str().unwrap_or_default());
        let note = visible(last["alert.note"].as_str().unwrap_or_default()).into_owned();
        let word = if lang == Lang::Ja { "最後の判定" } else { "last decided" };
        writeln!(stdout(), "  {word}: {at}  {}  {note}", visible(who))?;
    }
    Ok(())
}

fn risk_line(one: &Value, lang: Lang) -> String {
    let score = one["risk.score"].as_f64().unwrap_or_default();
    let entity = &one["risk.entity"];
    let kind = entity["kind"].as_str().unwrap_or_default();
    let label = kind.parse::<EntityKind>().map_or(kind, |known| known.label(lang));
    let phases: Vec<String> = one["risk.phases"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|phase| {
            let word = phase["phase"].as_str().and_then(|p| p.parse::<yagura_desk::Phase>().ok());
            let name = match (word, lang) {
                (Some(known), lang) => known.label(lang),
                (None, Lang::Ja) => "段階不明",
                (None, Lang::En) => "no phase",
            };
            format!("{name} {:.0}", phase["score"].as_f64().unwrap_or_default())
        })
        .collect();
    let chain = one["risk.chain"].as_str().map(|id| format!("  ⛓ {id}")).unwrap_or_default();
    let name = visible(entity["value"].as_str().unwrap_or_default()).into_owned();
    format!("{score:>6.0}  {label} {name}  ({}){chain}", phases.join(" → "))
}

impl Listing {
    async fn rows(
        &self,
        lang: Lang,
        path: &str,
        key: &str,
        local: impl FnOnce(&yagura_node::Node) -> Result<Value, NodeError> + Send + 'static,
    ) -> Result<Vec<Value>> {
        let backend = Backend::open(&self.place, lang).await?;
        let answer = backend.ask(path, &[], local).await;
        backend.close().await;
        let mut rows = answer?[key].as_array().cloned().unwrap_or_default();
        rows.truncate(self.limit);
        Ok(rows)
    }

    pub async fn risk(self, lang: Lang) -> Result<ExitCode> {
        let limit = self.limit;
        let path = format!("/api/v1/risk?limit={limit}");
        let rows = self.rows(lang, &path, "entities", move |node| Ok(node.risk(limit))).await?;
        if self.output == Format::Table {
            for row in &rows {
                writeln!(stdout(), "{}", risk_line(row, lang))?;
            }
        } else {
            print_rows(rows.clone(), self.output, &[])?;
        }
        if rows.is_empty() {
            eprintln!(
                "{}",
                match lang {
                    Lang::En => "no risk: no open alerts, or all were harmless",
                    Lang::Ja =>
                        "リスクのある対象はありません（未対応のアラートがないか、すべて無害でした）",
                }
            );
        }
        Ok(ExitCode::SUCCESS)
    }

    pub async fn quality(self, lang: Lang) -> Result<ExitCode> {
        let path = "/api/v1/rules/quality";
        let rows = self.rows(lang, path, "rules", |node| Ok(node.rule_quality())).await?;
        if self.output == Format::Table {
            for row in &rows {
                print_quality(row, lang)?;
            }
        } else {
            print_rows(rows.clone(), self.output, &[])?;
        }
        if rows.is_empty() {
            eprintln!(
                "{}",
                match lang {
                    Lang::En => "no rule has raised an alert yet",
                    Lang::Ja => "アラートを上げたルールはまだありません",
                }
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_quality(row: &Value, lang: Lang) -> io::Result<()> {
    let percent = |key: &str| row[key].as_f64().map(|share| share * 100.0);
    let measured = match (percent("rule.precision"), percent("rule.precision_low")) {
        (Some(precision), Some(low)) => {
            let high = percent("rule.precision_high").unwrap_or(100.0);
            format!("{precision:.0}% ({low:.0}–{high:.0}%, n={})", row["rule.judged"])
        }
        _ if lang == Lang::Ja => "未判定".to_owned(),
        _ => "not judged".to_owned(),
    };
    let name = match (lang, row["rule.name_ja"].as_str()) {
        (Lang::Ja, Some(name)) if !name.is_empty() => name,
        _ => row["rule.name"].as_str().unwrap_or_default(),
    };
    let counts = match lang {
        Lang::En => format!(
            "{} alerts, {} in 7 days, {} excepted",
            row["rule.alerts"], row["rule.alerts_7d"], row["rule.suppressed"]
        ),
        Lang::Ja => format!(
            "アラート {} 件、7日間に {} 件、例外 {} 件",
            row["rule.alerts"], row["rule.alerts_7d"], row["rule.suppressed"]
        ),
    };
    writeln!(stdout(), "{measured}  {}  ({counts})", visible(name))?;
    let sentence = format!("sentence_{}", lang.as_str());
    if let Some(noise) = row["rule.noise"][&sentence].as_str() {
        writeln!(stdout(), "    {}", visible(noise))?;
    }
    Ok(())
}

impl Gaps {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let zone = self.listing.zone.zone(lang)?;
        let (open, limit) = (self.open, self.listing.limit);
        let path = format!("/api/v1/gaps?open={open}&limit={limit}");
        let local = move |node: &yagura_node::Node| Ok(node.gaps(open, limit));
        let rows = self.listing.rows(lang, &path, "gaps", local).await?;
        if self.listing.output == Format::Table {
            for row in &rows {
                print_gap(row, lang, &zone)?;
            }
        } else {
            print_rows(rows.clone(), self.listing.output, &[])?;
        }
        if rows.is_empty() {
            eprintln!(
                "{}",
                match lang {
                    Lang::En => "no gaps",
                    Lang::Ja => "検知のすき間はありません",
                }
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_gap(row: &Value, lang: Lang, zone: &TimeZone) -> io::Result<()> {
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    let kind = serde_json::from_value::<yagura_desk::GapKind>(row["gap.kind"].clone());
    let kind = kind.map_or(text("gap.kind"), |kind| kind.label(lang)).to_owned();
    let end = match (row["gap.end"].as_str(), lang) {
        (Some(end), _) => shown_in(zone, end),
        (None, Lang::En) => "still open".to_owned(),
        (None, Lang::Ja) => "継続中".to_owned(),
    };
    writeln!(
        stdout(),
        "{}  {kind}  {} – {end}",
        text("gap.id"),
        shown_in(zone, text("gap.begin"))
    )?;
    writeln!(stdout(), "    {}", visible(text(&format!("gap.sentence_{}", lang.as_str()))))?;
    Ok(())
}

impl Except {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        match self.act {
            None => list_exceptions(&self.listing, lang).await,
            Some(ExceptAct::List(listing)) => list_exceptions(&listing, lang).await,
            Some(ExceptAct::Add(add)) => add.run(lang).await,
            Some(ExceptAct::Remove { id, note, place }) => {
                let backend = Backend::open(&place, lang).await?;
                let body = json!({ "note": note.unwrap_or_default() });
                let (path, named) = (format!("/api/v1/exceptions/{id}/remove"), id.clone());
                let done = backend.act(&path, body, move |node, body, who| {
                    let request = RemoveRequest {
                        note: body["note"].as_str().unwrap_or_default().to_owned(),
                    };
                    node.remove_exception(&named, &request, who)
                });
                let done = done.await;
                backend.close().await;
                done?;
                match lang {
                    Lang::En => eprintln!("{id}: removed; its rules raise alerts again"),
                    Lang::Ja => eprintln!("{id}: 取り消しました。ルールは再びアラートを上げます"),
                }
                Ok(ExitCode::SUCCESS)
            }
            Some(ExceptAct::Matches { id, listing }) => {
                let path = format!("/api/v1/exceptions/{id}/matches");
                let local = move |node: &yagura_node::Node| node.suppressed_by(&id);
                let rows = listing.rows(lang, &path, "matches", local).await?;
                let columns = ["@timestamp", "event.id", "rule.name", "alert.entity"];
                print_rows(rows, listing.output, &columns)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

async fn list_exceptions(listing: &Listing, lang: Lang) -> Result<ExitCode> {
    let zone = listing.zone.zone(lang)?;
    let path = "/api/v1/exceptions";
    let rows = listing.rows(lang, path, "exceptions", |node| Ok(node.exceptions())).await?;
    if listing.output == Format::Table {
        for row in &rows {
            print_exception(row, lang, &zone)?;
        }
    } else {
        print_rows(rows.clone(), listing.output, &[])?;
    }
    if rows.is_empty() {
        eprintln!(
            "{}",
            match lang {
                Lang::En => "no exceptions; add one with `yagura alerts except add`",
                Lang::Ja => "例外はありません。yagura alerts except add で追加できます",
            }
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn print_exception(row: &Value, lang: Lang, zone: &TimeZone) -> io::Result<()> {
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    let state = match (text("exception.state"), lang) {
        ("in_force", Lang::En) => "in force",
        ("in_force", Lang::Ja) => "有効",
        ("expired", Lang::Ja) => "期限切れ",
        ("removed", Lang::Ja) => "取り消し済み",
        (other, _) => other,
    };
    let end = match (row["exception.expires"].as_str(), lang) {
        (Some(end), _) => shown_in(zone, end),
        (None, Lang::En) => "until removed".to_owned(),
        (None, Lang::Ja) => "取り消すまで".to_owned(),
    };
    writeln!(
        stdout(),
        "{}  [{state}]  – {end}  ×{}  {}: {}",
        text("exception.id"),
        row["exception.suppressed"],
        visible(text("user.name")),
        visible(text("exception.reason")),
    )?;
    let names = ["rule.uuid", "rule.tags"].into_iter().flat_map(|key| row[key].as_array());
    let mut what: Vec<String> =
        names.flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let entity = &row["exception.entity"];
    if let (Some(kind), Some(value)) = (entity["kind"].as_str(), entity["value"].as_str()) {
        what.push(format!("{kind}:{value}"));
    }
    if let Some(conditions) = row.get("exception.conditions") {
        what.push(conditions.to_string());
    }
    writeln!(stdout(), "    {}", visible(&what.join("  ")))?;
    Ok(())
}

impl Add {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let entity = self.entity.as_deref().map(|text| entity(text, lang)).transpose()?;
        let mut conditions: Map<String, Value> = Map::new();
        for condition in &self.conditions {
            let Some((field, value)) = condition.split_once('=') else {
                return Err(misuse(
                    lang,
                    format!("--where {condition:?} must be FIELD=VALUE, such as User=tanaka"),
                    format!(
                        "--where {condition:?} は 項目=値 の形で指定してください（例: User=tanaka）"
                    ),
                )
                .into());
            };
            let values = conditions.entry(field.trim()).or_insert_with(|| json!([]));
            if let Some(values) = values.as_array_mut() {
                values.push(value.into());
            }
        }
        let backend = Backend::open(&self.place, lang).await?;
        let done = self.add(&backend, entity, conditions).await;
        backend.close().await;
        let added = done?;
        let id = added["exception.id"].as_str().unwrap_or_default();
        match lang {
            Lang::En => eprintln!("{id}: added; undo with `yagura alerts except remove {id}`"),
            Lang::Ja => {
                eprintln!("{id}: 追加しました。yagura alerts except remove {id} で取り消せます")
            }
        }
        writeln!(stdout(), "{id}")?;
        Ok(ExitCode::SUCCESS)
    }

    async fn add(
        &self,
        backend: &Backend,
        entity: Option<Value>,
        conditions: Map<String, Value>,
    ) -> Result<Value> {
        let mut rules = self.rule.clone();
        if let Some(id) = &self.alert {
            let (path, id) = (format!("/api/v1/alerts/{id}"), id.clone());
            let alert = backend.ask(&path, &[], move |node| node.alert(&id)).await?;
            rules.extend(alert["rule.uuid"].as_str().map(str::to_owned));
        }
        let body = json!({
            "rules": rules, "tags": self.tag, "conditions": conditions, "entity": entity,
            "everything": self.everything, "reason": self.reason, "days": self.days,
            "until_removed": self.until_removed, "alert": self.alert,
        });
        let add = |node: &yagura_node::Node, body: Value, who: &str| {
            let request: ExceptionRequest = serde_json::from_value(body).map_err(|error| {
                NodeError::request(
                    error.to_string(),
                    format!("例外の内容に誤りがあります（{error}）"),
                )
            })?;
            node.add_exception(request, who)
        };
        backend.act("/api/v1/exceptions", body, add).await
    }
}

/// `host:BK01` as the entity it means.
fn entity(text: &str, lang: Lang) -> Result<Value> {
    let parts = text.split_once(':').filter(|(_, value)| !value.trim().is_empty());
    let known = parts.and_then(|(kind, value)| Some((kind.parse::<EntityKind>().ok()?, value)));
    match known {
        Some((kind, value)) => Ok(json!({ "kind": kind, "value": value })),
        None => Err(misuse(
            lang,
            format!(
                "--entity {text:?} must be host:NAME, user:NAME, source_ip:ADDRESS or dataset:NAME"
            ),
            format!(
                "--entity {text:?} は host:名前、user:名前、source_ip:アドレス、dataset:名前 のどれかの形で\
                 指定してください"
            ),
        )
        .into()),
    }
}

fn print_rows(rows: Vec<Value>, format: Format, columns: &[&str]) -> Result<()> {
    let columns = columns.iter().map(|name| (*name).to_owned()).collect();
    let mut writer = RowWriter::new(stdout().lock(), format, columns);
    for row in rows {
        if let Value::Object(row) = row {
            writer.write(row)?;
        }
    }
    writer.finish()?;
    Ok(())
}
