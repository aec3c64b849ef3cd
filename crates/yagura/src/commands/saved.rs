//! `yagura saved`: searches kept under a name, and those that run by themselves.

use crate::Place;
use crate::backend::Backend;
use crate::commands::search::{EventFormat, Search};
use crate::output::{Format, RowWriter, visible};
use crate::told::either;
use crate::zone::{TimeArguments, ZoneArgument, name_of, shown_in};
use anyhow::Result;
use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::io::{Write, stdout};
use std::process::ExitCode;
use yagura_event::{Lang, Level};
use yagura_node::{SaveRequest, SavedSearch, Schedule, SortOrder};

/// `yagura saved`
#[derive(Args)]
#[command(after_help = "\
Every change is recorded in the audit log. A search with a schedule is run by the server: over what was
received since it ran last, each event once, however late it comes. More rows than --rows-over raise an
alert of the rule saved/NAME. docs/saved-searches.md tells more.

Examples:
  yagura saved add 'Failed logons' 'event.code:4625' --last 24h --columns @timestamp,host.name,user.name
  yagura saved run 'Failed logons' --output csv > failed.csv
  yagura saved add 'New services' 'event.code:7045' --every 15 --level high
  yagura saved add 'Night logons' 'event.code:4624' --daily 07:00 --rows-over 20 --time-zone Asia/Tokyo
  yagura saved add 'Weekly' 'カルテ | stats count() as n by user.name' --cron '0 8 * * 1'
  yagura saved history 'New services'
  yagura saved remove 'Weekly'")]
pub struct SavedCommand {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// List saved searches
    List(Listing),
    /// Show one
    Show(Named),
    /// Save a search, or change one with --replace
    Add(Box<Add>),
    /// Remove one; `restore` takes it back
    Remove(Named),
    /// Take the removal of one back
    Restore(Named),
    /// Run one now and print what it finds
    Run(Run),
    /// List its runs and its changes
    History(Named),
}

#[derive(Args)]
struct Listing {
    #[command(flatten)]
    zone: ZoneArgument,
    #[command(flatten)]
    place: Place,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

#[derive(Args)]
struct Named {
    /// Its name; case and width do not matter
    name: String,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Args)]
struct Add {
    /// Its name
    name: String,
    /// What to look for; empty finds everything
    #[arg(value_name = "EXPR", default_value = "")]
    expression: String,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    times: TimeArguments,
    /// Columns to print, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "FIELDS")]
    columns: Vec<String>,
    /// The earliest events first
    #[arg(long)]
    oldest_first: bool,
    /// What it is for
    #[arg(long, default_value = "")]
    description: String,
    /// Run it every so many minutes, from 5 on
    #[arg(long, value_name = "MINUTES", conflicts_with_all = ["daily", "cron"])]
    every: Option<u32>,
    /// Run it every day at this time, such as 08:00, in --time-zone
    #[arg(long, value_name = "HH:MM", conflicts_with = "cron")]
    daily: Option<String>,
    /// Run it when this cron expression of five fields says, in --time-zone
    #[arg(long, value_name = "EXPR")]
    cron: Option<String>,
    /// Raise an alert where more rows than this are found
    #[arg(long, value_name = "N", default_value_t = 0)]
    rows_over: u64,
    /// How serious that alert is: informational, low, medium, high or critical
    #[arg(long, default_value = "medium")]
    level: Level,
    /// Change the search of this name, if there is one
    #[arg(long)]
    replace: bool,
}

#[derive(Args)]
struct Run {
    /// Its name; case and width do not matter
    name: String,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    zone: ZoneArgument,
    /// At most so many events, newest first; 0 for all
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    /// How events are written
    #[arg(long, value_enum, default_value = "sentence")]
    output: EventFormat,
}

const PATH: &str = "/api/v1/saved";

impl SavedCommand {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        match self.act {
            Act::List(listing) => list(listing, lang).await?,
            Act::Show(named) => show(named, lang).await?,
            Act::Add(add) => add.run(lang).await?,
            Act::Remove(named) => remove(named, lang).await?,
            Act::Restore(named) => restore(named, lang).await?,
            Act::Run(run) => return run.run(lang).await,
            Act::History(named) => history(named, lang).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The address of a search; names may have blanks and any letters.
fn path(name: &str) -> Result<String> {
    let mut url = reqwest::Url::parse("http://localhost/api/v1/saved")?;
    if let Ok(mut parts) = url.path_segments_mut() {
        parts.push(name);
    }
    Ok(url.path().to_owned())
}

async fn ask(place: &Place, name: &str, lang: Lang) -> Result<Value> {
    let backend = Backend::open(place, lang).await?;
    let asked = name.to_owned();
    let found = backend.ask(&path(name)?, &[], move |node| node.saved_search(&asked)).await;
    backend.close().await;
    found
}

async fn list(listing: Listing, lang: Lang) -> Result<()> {
    let zone = listing.zone.zone(lang)?;
    let backend = Backend::open(&listing.place, lang).await?;
    let found = backend.ask(PATH, &[], |node| Ok(node.saved_searches())).await;
    backend.close().await;
    let found = found?;
    let rows = found["searches"].as_array().cloned().unwrap_or_default();
    if rows.is_empty() {
        eprintln!("{}", either(lang, "no search is saved", "保存された検索はありません"));
        return Ok(());
    }
    if listing.output != Format::Table {
        return print(rows, listing.output, &[]);
    }
    let line = |row: &Value| {
        json!({
            "name": row["name"],
            "query": row["query"],
            "time": time(row, lang),
            "schedule": schedule(row, lang),
            "next_run": local(&row["next_run"], &zone),
            "last_run": last_run(row, lang, &zone),
            "owner": row["owner"],
        })
    };
    print(rows.iter().map(line).collect(), Format::Table, &[])
}

async fn show(named: Named, lang: Lang) -> Result<()> {
    let zone = named.listing.zone.zone(lang)?;
    let found = ask(&named.listing.place, &named.name, lang).await?;
    if named.listing.output != Format::Table {
        return print(vec![found], named.listing.output, &[]);
    }
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    let columns: Vec<&str> =
        found["columns"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let word = |en: &str, ja: &str| either(lang, en, ja);
    let lines = [
        (word("name", "名前"), text("name")),
        (word("description", "説明"), text("description")),
        (word("expression", "検索式"), text("query")),
        (word("time", "期間"), time(&found, lang)),
        (word("zone", "タイムゾーン"), text("time_zone")),
        (word("columns", "列"), columns.join(", ")),
        (word("owner", "所有者"), text("owner")),
        (word("changed", "変更"), local(&found["changed"], &zone)),
        (word("schedule", "定期実行"), schedule(&found, lang)),
        (word("next run", "次回"), local(&found["next_run"], &zone)),
        (word("last run", "前回"), last_run(&found, lang, &zone)),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(stdout(), "{name}: {}", visible(value))?;
    }
    Ok(())
}

impl Add {
    async fn run(self, lang: Lang) -> Result<()> {
        let zone = name_of(&self.times.zone.zone(lang)?);
        let is_scheduled = self.every.is_some() || self.daily.is_some() || self.cron.is_some();
        let schedule = is_scheduled.then_some(Schedule {
            every_minutes: self.every,
            daily: self.daily,
            cron: self.cron,
            time_zone: None,
            rows_over: self.rows_over,
            level: self.level,
        });
        let search = SavedSearch {
            name: self.name,
            query: self.expression,
            description: self.description,
            from: self.times.from,
            to: self.times.to,
            last: self.times.last,
            time_zone: zone,
            columns: self.columns,
            sort: if self.oldest_first { SortOrder::Oldest } else { SortOrder::Newest },
            schedule,
        };
        let backend = Backend::open(&self.place, lang).await?;
        let body = json!({ "search": search, "replace": self.replace });
        let request = SaveRequest { search, replace: self.replace };
        let done =
            backend.act(PATH, body, move |node, _, who| node.save_search(request, who)).await;
        backend.close().await;
        let done = done?;
        let name = visible(done["name"].as_str().unwrap_or_default()).into_owned();
        match done["next_run"].as_str() {
            None => eprintln!(
                "{}",
                either(lang, format!("saved: {name}"), format!("保存しました: {name}"))
            ),
            Some(next) => eprintln!(
                "{}",
                either(
                    lang,
                    format!("saved: {name}. A running server runs it first at {next}"),
                    format!(
                        "保存しました: {name}（動いているサーバーが {next} に最初に実行します）"
                    ),
                )
            ),
        }
        Ok(())
    }
}

async fn remove(named: Named, lang: Lang) -> Result<()> {
    let done = act(&named, "remove", lang).await?;
    let name = visible(done["name"].as_str().unwrap_or_default()).into_owned();
    eprintln!(
        "{}",
        either(
            lang,
            format!("removed: {name}. `yagura saved restore` takes that back"),
            format!("削除しました: {name}（yagura saved restore で元に戻せます）"),
        )
    );
    Ok(())
}

async fn restore(named: Named, lang: Lang) -> Result<()> {
    let done = act(&named, "restore", lang).await?;
    let name = visible(done["name"].as_str().unwrap_or_default()).into_owned();
    eprintln!(
        "{}",
        either(lang, format!("it is there again: {name}"), format!("元に戻しました: {name}"))
    );
    Ok(())
}

async fn act(named: &Named, word: &'static str, lang: Lang) -> Result<Value> {
    let backend = Backend::open(&named.listing.place, lang).await?;
    let (path, name) = (format!("{}/{word}", path(&named.name)?), named.name.clone());
    let done = backend.act(&path, json!({}), move |node, _, who| match word {
        "remove" => node.remove_saved_search(&name, who),
        _ => node.restore_saved_search(&name, who),
    });
    let done = done.await;
    backend.close().await;
    done
}

impl Run {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let found = ask(&self.place, &self.name, lang).await?;
        let text = |key: &str| found[key].as_str().map(str::to_owned);
        let columns = found["columns"].as_array().into_iter().flatten();
        let search = SavedSearch {
            query: text("query").unwrap_or_default(),
            from: text("from"),
            to: text("to"),
            last: text("last"),
            time_zone: text("time_zone"),
            columns: columns.filter_map(|name| Some(name.as_str()?.to_owned())).collect(),
            sort: serde_json::from_value(found["sort"].clone()).unwrap_or_default(),
            ..SavedSearch::default()
        };
        Search::of_saved(search, self.place, self.zone, self.limit, self.output).run(lang).await
    }
}

async fn history(named: Named, lang: Lang) -> Result<()> {
    let zone = named.listing.zone.zone(lang)?;
    let found = ask(&named.listing.place, &named.name, lang).await?;
    let list = |key: &str| found[key].as_array().cloned().unwrap_or_default();
    let (runs, changes) = (list("runs"), list("history"));
    if named.listing.output != Format::Table {
        return print(runs.into_iter().chain(changes).collect(), named.listing.output, &[]);
    }
    for run in &runs {
        let line = format!("{}  {}", local(&run["@timestamp"], &zone), run_said(run, lang));
        writeln!(stdout(), "{}", visible(&line))?;
    }
    for change in &changes {
        let act = match change["search.act"].as_str().unwrap_or_default() {
            "removed" => either(lang, "removed", "削除"),
            "restored" => either(lang, "restored", "元に戻した"),
            _ => either(lang, "saved", "保存"),
        };
        let who = change["user.name"].as_str().unwrap_or_default();
        let query = change["search.saved"]["query"].as_str().unwrap_or_default();
        let line = format!("{}  {act}  {who}  {query}", local(&change["@timestamp"], &zone));
        writeln!(stdout(), "{}", visible(line.trim_end()))?;
    }
    Ok(())
}

fn print(rows: Vec<Value>, format: Format, columns: &[&str]) -> Result<()> {
    let columns = columns.iter().map(|name| (*name).to_owned()).collect();
    let mut writer = RowWriter::new(stdout().lock(), format, columns);
    for row in rows {
        if let Value::Object(row) = row {
            let row: Map<String, Value> = row;
            writer.write(row)?;
        }
    }
    writer.finish()?;
    Ok(())
}

fn local(at: &Value, zone: &TimeZone) -> String {
    at.as_str().map(|at| shown_in(zone, at)).unwrap_or_default()
}

/// The time a search is about.
fn time(search: &Value, lang: Lang) -> String {
    let text = |key: &str| search[key].as_str();
    match (text("last"), text("from"), text("to")) {
        (Some(last), ..) => either(lang, format!("last {last}"), format!("直近 {last}")),
        (None, None, None) => either(lang, "all", "全期間"),
        (None, from, to) => {
            format!("{} – {}", from.unwrap_or_default(), to.unwrap_or_default()).trim().to_owned()
        }
    }
}

fn schedule(search: &Value, lang: Lang) -> String {
    let schedule = &search["schedule"];
    if schedule.is_null() {
        return String::new();
    }
    let zone = search["time_zone"].as_str().unwrap_or("UTC");
    let over = &schedule["rows_over"];
    let level: Level =
        schedule["level"].as_str().and_then(|word| word.parse().ok()).unwrap_or_default();
    let when = match (&schedule["every_minutes"], schedule["daily"].as_str()) {
        (Value::Number(minutes), _) => {
            either(lang, format!("every {minutes} minutes"), format!("{minutes}分ごと"))
        }
        (_, Some(time)) => {
            either(lang, format!("daily at {time} {zone}"), format!("毎日 {time}（{zone}）"))
        }
        _ => format!("cron {} {zone}", schedule["cron"].as_str().unwrap_or_default()),
    };
    either(
        lang,
        format!("{when}; over {over} rows: {}", level.label(lang)),
        format!("{when}、{over}行を超えたら{}", level.label(lang)),
    )
}

fn last_run(search: &Value, lang: Lang, zone: &TimeZone) -> String {
    match &search["last_run"] {
        Value::Null => String::new(),
        run => format!("{}  {}", local(&run["@timestamp"], zone), run_said(run, lang)),
    }
}

/// How a run went, in words.
fn run_said(run: &Value, lang: Lang) -> String {
    let count = |key: &str| run[key].as_u64().unwrap_or_default();
    let (rows, took, alerts) =
        (count("search.rows"), count("search.duration_ms"), count("search.alerts"));
    let mut said = match run["search.outcome"].as_str() {
        Some("failed") => {
            let key = if lang == Lang::Ja { "error.message_ja" } else { "error.message" };
            let why = run[key].as_str().unwrap_or_default();
            either(lang, format!("failed: {why}"), format!("失敗（{why}）"))
        }
        Some("found") => either(
            lang,
            format!("{rows} rows, {alerts} alerts raised or extended, {took} ms"),
            format!("{rows}行、アラート{alerts}件を発生または更新、{took} ms"),
        ),
        _ => either(lang, format!("{rows} rows, {took} ms"), format!("{rows}行、{took} ms")),
    };
    for unread in run["search.unread"].as_array().into_iter().flatten() {
        let (files, rows) = (&unread["files"], &unread["rows"]);
        let key = if lang == Lang::Ja { "reason_ja" } else { "reason" };
        let why = unread[key].as_str().unwrap_or_default();
        said += &either(
            lang,
            format!(", incomplete: {files} files with {rows} events could not be read: {why}"),
            format!("、結果は不完全（{files}ファイル・イベント{rows}件を読めませんでした。{why}）"),
        );
    }
    let missed = count("search.missed");
    if missed > 0 {
        said += &either(
            lang,
            format!(" (makes up for {missed} missed runs)"),
            format!("（実行できなかった{missed}回分を含む）"),
        );
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_letters_is_one_part_of_the_address() {
        for (name, expected) in [
            ("a b", "/api/v1/saved/a%20b"),
            ("100%?#", "/api/v1/saved/100%25%3F%23"),
            ("夜間", "/api/v1/saved/%E5%A4%9C%E9%96%93"),
        ] {
            assert_eq!(path(name).unwrap(), expected);
        }
    }

    #[test]
    fn schedules_and_runs_are_said_in_both_languages() {
        let search = json!({
            "time_zone": "Asia/Tokyo", "last": "24h",
            "schedule": { "daily": "08:00", "rows_over": 3, "level": "high" },
        });
        assert_eq!(schedule(&search, Lang::En), "daily at 08:00 Asia/Tokyo; over 3 rows: high");
        assert_eq!(schedule(&search, Lang::Ja), "毎日 08:00（Asia/Tokyo）、3行を超えたら高");
        assert_eq!(time(&search, Lang::Ja), "直近 24h");
        let run = json!({
            "search.outcome": "found", "search.rows": 5, "search.alerts": 2,
            "search.duration_ms": 12, "search.missed": 3,
        });
        assert_eq!(
            run_said(&run, Lang::En),
            "5 rows, 2 alerts raised or extended, 12 ms (makes up for 3 missed runs)"
        );
        assert_eq!(
            run_said(&run, Lang::Ja),
            "5行、アラート2件を発生または更新、12 ms（実行できなかった3回分を含む）"
        );
        let unread = json!([{
            "store": "s3://a", "files": 1, "rows": 10, "reason": "away", "reason_ja": "不在",
        }]);
        let incomplete = json!({
            "search.outcome": "incomplete", "search.rows": 0, "search.duration_ms": 9,
            "search.unread": unread,
        });
        assert_eq!(
            run_said(&incomplete, Lang::En),
            "0 rows, 9 ms, incomplete: 1 files with 10 events could not be read: away"
        );
        assert_eq!(
            run_said(&incomplete, Lang::Ja),
            "0行、9 ms、結果は不完全（1ファイル・イベント10件を読めませんでした。不在）"
        );
        let failed =
            json!({ "search.outcome": "failed", "error.message": "x", "error.message_ja": "〇" });
        assert_eq!(run_said(&failed, Lang::Ja), "失敗（〇）");
    }
}
