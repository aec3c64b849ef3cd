use crate::backend::Backend;
use crate::export::ToFile;
use crate::output::{Format, Row, RowWriter, visible};
use crate::searching::{self, Ended};
use crate::told::misuse;
use crate::zone::{TimeArguments, ZoneArgument, name_of, shown_in};
use crate::{Misuse, Place};
use anyhow::Result;
use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use serde_json::Value;
use std::io::Write;
use std::process::ExitCode;
use yagura_event::Lang;
use yagura_export::{FEW_COLUMNS, flat_event};
use yagura_node::{ExportFormat, ExportOf, SavedSearch, ScanCounts, SearchQuery, SortOrder};

/// `yagura search`
#[derive(Args)]
#[command(after_help = "\
Examples:
  yagura search 'event.code:4625 and source.ip:10.0.0.0/8' --last 24h
  yagura search 'カルテ' --output sentence
  yagura search 'user.name:tanaka | stats count() as n by host.name | sort -n'
  yagura search 'event.code:4625 | lookup users user.name output user.department | stats count() by user.department'
  yagura search -f 'event.dataset:linux.auth' --server http://127.0.0.1:8440
  yagura search 'event.code:4625' --last 24h --link --server http://127.0.0.1:8440
  yagura search --from '2026-11-21 09:00' --time-zone Asia/Tokyo
  yagura search '*' --output csv --columns @timestamp,host.name,user.name,event.code
  yagura search 'host.name:pc07' --last 7d --out pc07.parquet
  yagura search 'event.category:authentication' --out logons.ocsf.jsonl")]
pub struct Search {
    /// What to look for; empty finds everything
    #[arg(value_name = "EXPR", default_value = "")]
    expression: String,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    times: TimeArguments,
    /// At most so many events, newest first; 0 for all [default: 1000; with --out all, as found]
    #[arg(long)]
    limit: Option<usize>,
    /// Columns to print, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "FIELDS")]
    columns: Vec<String>,
    /// How events are written [default: sentence, or by the name of --out]
    #[arg(long, value_enum)]
    output: Option<EventFormat>,
    #[command(flatten)]
    to_file: ToFile,
    /// Keep going: print matching events as a server receives them
    #[arg(short, long, conflicts_with_all = ["from", "to", "last", "out"])]
    follow: bool,
    /// Say at the end how many files and rows were read, and why others were not
    #[arg(long, conflicts_with_all = ["follow", "out"])]
    explain: bool,
    /// The earliest events first
    #[arg(long, conflicts_with = "follow")]
    oldest_first: bool,
    /// Print a link to the page of --server instead, which gives the rows of this moment whenever it
    /// is opened
    #[arg(long, conflicts_with = "follow")]
    link: bool,
}

/// How events are written.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum EventFormat {
    /// Who did what, in words
    Sentence,
    /// A table
    Table,
    /// One JSON array
    Json,
    /// One JSON object a line
    Jsonl,
    /// RFC 4180
    Csv,
    /// The received bytes
    Raw,
    /// One OCSF event a line
    Ocsf,
    /// Apache Parquet; needs --out
    Parquet,
}

impl EventFormat {
    /// The format of a file, and what to call it.
    fn exported(self) -> (&'static str, Option<ExportFormat>) {
        match self {
            EventFormat::Sentence => ("sentence", None),
            EventFormat::Table => ("table", None),
            EventFormat::Json => ("json", None),
            EventFormat::Raw => ("raw", None),
            EventFormat::Jsonl => ("jsonl", Some(ExportFormat::Jsonl)),
            EventFormat::Csv => ("csv", Some(ExportFormat::Csv)),
            EventFormat::Ocsf => ("ocsf", Some(ExportFormat::Ocsf)),
            EventFormat::Parquet => ("parquet", Some(ExportFormat::Parquet)),
        }
    }
}

impl Search {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let zone = self.times.zone.zone(lang)?;
        let export = self.to_file.clone().export(self.output.map(EventFormat::exported), lang)?;
        if self.follow {
            return match export {
                None => self.follow(lang, zone).await,
                Some(_) => Err(no_end(lang).into()),
            };
        }
        let limit = self.limit.unwrap_or(if export.is_some() { 0 } else { 1000 });
        let query = SearchQuery {
            query: self.expression.clone(),
            from: self.times.from.clone(),
            to: self.times.to.clone(),
            last: self.times.last.clone(),
            limit,
            offset: 0,
            time_zone: name_of(&zone),
            sort: if self.oldest_first { SortOrder::Oldest } else { SortOrder::Newest },
            ..SearchQuery::default()
        };
        if self.link {
            let link = self.link_to(&query, lang).await?;
            writeln!(std::io::stdout(), "{link}")?;
            return Ok(ExitCode::SUCCESS);
        }
        let backend = Backend::open(&self.place, lang).await?;
        if let Some(export) = export {
            let done = export.run(&backend, ExportOf::Search(query), self.columns, lang).await;
            backend.close().await;
            return done.map(|()| ExitCode::SUCCESS);
        }
        let output = self.output.unwrap_or(EventFormat::Sentence);
        let mut printer = Printer::new(output, self.columns.clone(), lang, zone);
        let found = searching::search(&backend, query, lang, |row| printer.print(row)).await;
        backend.close().await;
        let end = match found? {
            Ended::Done(end) => *end,
            Ended::Interrupted => {
                eprintln!("{}", searching::interrupted(printer.finish()?, lang));
                return Ok(ExitCode::from(INTERRUPTED));
            }
        };
        let rows = printer.finish()?;
        match (rows, end.cut, lang) {
            (0, _, Lang::En) => eprintln!("nothing found"),
            (0, _, Lang::Ja) => eprintln!("見つかりませんでした"),
            (_, true, lang) => eprintln!("{}", cut(rows, limit, lang)),
            _ => {}
        }
        for notice in &end.notices {
            eprintln!("{}", visible(notice.text(lang)));
        }
        searching::say_unread(&end.unread, lang);
        if self.explain {
            eprintln!("{}", explained(&end.scanned, lang));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The search that was saved, as if it had been typed.
    pub fn of_saved(
        saved: SavedSearch,
        place: Place,
        mut zone: ZoneArgument,
        limit: usize,
        output: EventFormat,
    ) -> Search {
        zone.unless_given(saved.time_zone);
        Search {
            expression: saved.query,
            place,
            times: TimeArguments { zone, from: saved.from, to: saved.to, last: saved.last },
            limit: Some(limit),
            columns: saved.columns,
            output: Some(output),
            to_file: ToFile::default(),
            follow: false,
            explain: false,
            oldest_first: saved.sort == SortOrder::Oldest,
            link: false,
        }
    }

    /// The address of the page with this search as of now.
    async fn link_to(&self, query: &SearchQuery, lang: Lang) -> Result<reqwest::Url> {
        let server = self.place.server().ok_or_else(|| {
            misuse(
                lang,
                "a link is to the page of a server: name it, for example --server \
                 http://127.0.0.1:8440",
                "リンク先になるサーバーを --server http://127.0.0.1:8440 のように指定してください",
            )
        })?;
        let mut url = reqwest::Url::parse(server)?;
        if let Some(client) = self.place.client(lang)? {
            // The server's own clock says what now is.
            let asked = query.address(&self.columns);
            let fixed = client.get("/api/v1/permalink", &asked).await?;
            let pairs = fixed["parameters"].as_object().into_iter().flatten();
            let pairs = pairs.filter_map(|(name, value)| Some((name, value.as_str()?)));
            url.query_pairs_mut().extend_pairs(pairs);
        }
        Ok(url)
    }

    /// Prints events as a server receives them, until it stops.
    async fn follow(self, lang: Lang, zone: TimeZone) -> Result<ExitCode> {
        let client = self.place.client(lang)?.ok_or_else(|| needs_a_server(lang))?;
        let output = self.output.unwrap_or(EventFormat::Sentence);
        if output == EventFormat::Table {
            return Err(no_table(lang).into());
        }
        let mut asked = vec![("query", self.expression.clone())];
        asked.extend(name_of(&zone).map(|zone| ("time_zone", zone)));
        let mut printer = Printer::new(output, self.columns.clone(), lang, zone);
        let each = |row| printer.print(row).and_then(|()| printer.flush());
        client.lines("/api/v1/tail", &asked, each).await?;
        printer.finish()?;
        match lang {
            Lang::En => eprintln!("the server has stopped"),
            Lang::Ja => eprintln!("サーバーが停止しました"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Why not all rows are there.
fn cut(rows: usize, limit: usize, lang: Lang) -> String {
    match (limit, lang) {
        (0, Lang::En) => {
            format!("cut at {rows}, the most an answer has: narrow the time range or the question")
        }
        (0, Lang::Ja) => {
            format!("1回の検索の上限である{rows}件で打ち切りました。期間か条件を絞ってください")
        }
        (_, Lang::En) => format!("cut at {rows}; see all with --limit 0"),
        (_, Lang::Ja) => format!("{rows}件で打ち切りました。すべて見るには --limit 0"),
    }
}

/// What was read and what was not, and why, in words. Causes that passed over nothing are left out.
fn explained(scanned: &ScanCounts, lang: Lang) -> String {
    let s = scanned;
    let passed = |files: u64, rows: u64, en: &str, ja: &str| {
        (files + rows > 0).then(|| match lang {
            Lang::En => format!("passed over by {en}: {rows} events, {files} files"),
            Lang::Ja => format!("{ja}で省いた分: {rows} 件、{files} ファイル"),
        })
    };
    let said = |there: bool, en: String, ja: String| match lang {
        Lang::En => there.then_some(en),
        Lang::Ja => there.then_some(ja),
    };
    let looked_at = s.hot_rows.saturating_sub(s.hot_rows_passed);
    let (files, rows) = (s.files_passed_by_text, s.rows_passed_by_text);
    let text = passed(files, rows, "the text index", "テキスト索引").map(|line| {
        let (passed, blocks) = (s.blocks_passed_by_text, s.blocks);
        let groups = s.row_groups_passed_by_text;
        match lang {
            Lang::En => format!("{line} ({passed} of {blocks} blocks, {groups} row groups)"),
            Lang::Ja => format!("{line}（{blocks} ブロック中 {passed}、行グループ {groups}）"),
        }
    });
    let lines = [
        said(
            true,
            format!(
                "read: {} of {} stored events, in {} of {} row groups of {} files",
                s.rows_read, s.rows, s.row_groups_read, s.row_groups, s.files
            ),
            format!(
                "読んだ範囲: 保管済み {} 件のうち {} 件（{} ファイル、行グループ {} のうち {}）",
                s.rows, s.rows_read, s.files, s.row_groups, s.row_groups_read
            ),
        ),
        said(
            s.hot_rows > 0,
            format!("in memory: looked at {looked_at} of {} events", s.hot_rows),
            format!("メモリ上: {} 件のうち {looked_at} 件を調べました", s.hot_rows),
        ),
        passed(s.files_passed_by_dataset, s.rows_passed_by_dataset, "dataset", "データセット"),
        passed(s.files_passed_by_time, s.rows_passed_by_time, "time", "時刻"),
        passed(
            s.files_passed_by_batch,
            s.rows_passed_by_batch,
            "place in the ledger",
            "台帳での位置",
        ),
        text,
        said(
            s.row_groups_passed_by_statistics > 0,
            format!(
                "passed over by column statistics: {} row groups",
                s.row_groups_passed_by_statistics
            ),
            format!("列の統計で省いた分: 行グループ {}", s.row_groups_passed_by_statistics),
        ),
        said(
            s.row_groups_not_needed > 0,
            format!(
                "not needed any more, since enough was found: {} row groups, {} files",
                s.row_groups_not_needed, s.files_not_needed
            ),
            format!(
                "必要な件数がそろい、読まずに済んだ分: 行グループ {}、{} ファイル",
                s.row_groups_not_needed, s.files_not_needed
            ),
        ),
        said(
            s.files_without_index > 0,
            format!("without a usable text index: {} files", s.files_without_index),
            format!("テキスト索引が使えなかったファイル: {}", s.files_without_index),
        ),
    ];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

enum Printer {
    Lines {
        output: EventFormat,
        lang: Lang,
        zone: TimeZone,
        rows: usize,
    },
    Rows {
        writer: RowWriter<std::io::Stdout>,
        columns: Vec<String>,
        /// Only the columns that fit, when none are asked for.
        few: bool,
        lang: Lang,
        /// The zone of times, where people read them.
        zone: Option<TimeZone>,
    },
}

/// Exit code of a search that Ctrl-C ended, as shells have it: 128 and SIGINT.
pub const INTERRUPTED: u8 = 130;

impl Printer {
    fn new(output: EventFormat, columns: Vec<String>, lang: Lang, zone: TimeZone) -> Self {
        let format = match output {
            // An export is written by its own writer.
            EventFormat::Sentence | EventFormat::Raw | EventFormat::Ocsf | EventFormat::Parquet => {
                return Printer::Lines { output, lang, zone, rows: 0 };
            }
            EventFormat::Table => Format::Table,
            EventFormat::Json => Format::Json,
            EventFormat::Jsonl => Format::Jsonl,
            EventFormat::Csv => Format::Csv,
        };
        let few = matches!(output, EventFormat::Table | EventFormat::Csv);
        let zone = (output == EventFormat::Table).then_some(zone);
        let writer = RowWriter::new(std::io::stdout(), format, Vec::new());
        Printer::Rows { writer, columns, few, lang, zone }
    }

    fn print(&mut self, row: Row) -> Result<()> {
        match self {
            Printer::Lines { output, lang, zone, rows } => {
                *rows += 1;
                print_line(&row, *output, *lang, zone)
            }
            Printer::Rows { writer, columns, few, lang, zone } => {
                let mut row = if row.contains_key("fields") { flat_event(row, *lang) } else { row };
                if let Some(zone) = zone {
                    in_zone(&mut row, zone);
                }
                let pick = |names: &mut dyn Iterator<Item = &str>| -> Row {
                    let cell = |name: &str| row.get(name).cloned().unwrap_or(Value::Null);
                    names.map(|name| (name.to_owned(), cell(name))).collect()
                };
                let picked = if !columns.is_empty() {
                    pick(&mut columns.iter().map(String::as_str))
                } else if *few && row.contains_key("event.id") {
                    pick(&mut FEW_COLUMNS.into_iter())
                } else {
                    row
                };
                Ok(writer.write(picked)?)
            }
        }
    }

    /// Shows what was printed so far, where the next row may be long in coming.
    fn flush(&mut self) -> Result<()> {
        match self {
            Printer::Lines { .. } => std::io::stdout().flush()?,
            Printer::Rows { writer, .. } => writer.flush()?,
        }
        Ok(())
    }

    fn finish(self) -> Result<usize> {
        match self {
            Printer::Lines { rows, .. } => Ok(rows),
            Printer::Rows { writer, .. } => Ok(writer.finish()?),
        }
    }
}

fn print_line(row: &Row, output: EventFormat, lang: Lang, zone: &TimeZone) -> Result<()> {
    let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    if !row.contains_key("event.id") {
        // A row of a statistic has no sentence; its cells say it.
        let cells = row.iter().map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        });
        writeln!(out, "{}", visible(&cells.collect::<Vec<_>>().join("  ")))?;
        return Ok(());
    }
    if output == EventFormat::Raw {
        match row.get("event.original.base64").and_then(Value::as_str) {
            Some(encoded) => out.write_all(&yagura_node::from_base64(encoded)?)?,
            None => out.write_all(text("event.original").as_bytes())?,
        }
        return Ok(out.write_all(b"\n")?);
    }
    let sentence = row.get("sentence").and_then(|both| both[lang.as_str()].as_str());
    let time = shown_in(zone, text("@timestamp"));
    writeln!(out, "{time}  {}  ({})", visible(sentence.unwrap_or_default()), text("event.id"))?;
    Ok(())
}

/// Whatever a server receives next cannot come from a directory.
fn needs_a_server(lang: Lang) -> Misuse {
    Misuse(match lang {
        Lang::En => {
            "-f prints events as a running server receives them: start one with `yagura serve` \
                     and name it, for example --server http://127.0.0.1:8440. To read what a \
                     directory already holds, leave -f out"
                .to_owned()
        }
        Lang::Ja => {
            "-f は、動いているサーバーが受け取るイベントを表示します。yagura serve で起動し、\
                     --server http://127.0.0.1:8440 のように指定してください。ディレクトリにすでに\
                     あるイベントを読むときは -f を付けないでください"
                .to_owned()
        }
    })
}

/// An export ends.
fn no_end(lang: Lang) -> Misuse {
    Misuse(match lang {
        Lang::En => "-f has no end, and an export has one: use --output sentence, jsonl or csv \
                     without --out"
            .to_owned(),
        Lang::Ja => "-f には終わりがないため、書き出しには使えません。--out を付けずに --output \
                     sentence、jsonl、csv のどれかを指定してください"
            .to_owned(),
    })
}

/// A table is drawn when its last row is known.
fn no_table(lang: Lang) -> Misuse {
    Misuse(match lang {
        Lang::En => "a table is drawn when its last row is known, and -f has none: use --output \
                     sentence, jsonl or csv"
            .to_owned(),
        Lang::Ja => "表は最後の行が決まってから描くため、-f では使えません。--output には \
                     sentence、jsonl、csv のどれかを指定してください"
            .to_owned(),
    })
}

/// Times of an event, for people.
fn in_zone(row: &mut Row, zone: &TimeZone) {
    for name in ["@timestamp", "event.ingested", "event.created"] {
        if let Some(Value::String(time)) = row.get_mut(name) {
            *time = shown_in(zone, time);
        }
    }
}
