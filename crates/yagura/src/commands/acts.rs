use crate::backend::Backend;
use crate::export::ToFile;
use crate::output::{Format, Row, RowWriter, visible};
use crate::zone::{TimeArguments, name_of, shown_in};
use crate::{Misuse, Place};
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::io::Write;
use std::process::ExitCode;
use yagura_acts::ActKind;
use yagura_event::Lang;
use yagura_node::{ActsFound, ActsQuery, ExportFormat, ExportOf, SearchQuery};

/// `yagura acts`
#[derive(Args)]
#[command(after_help = "\
Examples:
  yagura acts --last 24h
  yagura acts 'user.name:tanaka' --kind file,logon --last 7d
  yagura acts 'act.object:*給与*' --events
  yagura acts --kind failed_logons --output table
  yagura acts 'act.writes>100' --output jsonl --limit 0")]
pub struct Acts {
    /// What the acts must match; empty finds all
    #[arg(value_name = "EXPR", default_value = "")]
    expression: String,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    times: TimeArguments,
    /// Only these kinds, separated by commas (file, logon, failed_logons, process, powershell,
    /// web_visit, ssh, sudo, session, connections, audit, vpn)
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<ActKind>,
    /// At most so many acts, newest first; 0 for as many as one answer has [default: 1000; with
    /// --out 0]
    #[arg(long)]
    limit: Option<usize>,
    /// Print the ids of each act's events as well
    #[arg(long)]
    events: bool,
    /// How acts are written [default: sentence, or by the name of --out]
    #[arg(long, value_enum)]
    output: Option<ActFormat>,
    #[command(flatten)]
    to_file: ToFile,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum ActFormat {
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
    /// Apache Parquet; needs --out
    Parquet,
}

impl ActFormat {
    /// The format of a file, and what to call it.
    fn exported(self) -> (&'static str, Option<ExportFormat>) {
        match self {
            ActFormat::Sentence => ("sentence", None),
            ActFormat::Table => ("table", None),
            ActFormat::Json => ("json", None),
            ActFormat::Jsonl => ("jsonl", Some(ExportFormat::Jsonl)),
            ActFormat::Csv => ("csv", Some(ExportFormat::Csv)),
            ActFormat::Parquet => ("parquet", Some(ExportFormat::Parquet)),
        }
    }
}

/// Column with the sentence in the user's language.
const SENTENCE: &str = "yagura.sentence";

impl Acts {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let zone = self.times.zone.zone(lang)?;
        if self.expression.contains('|') && self.expression.contains("stats") {
            return Err(Misuse(match lang {
                Lang::En => "acts can be filtered, not counted: leave `| stats` out".to_owned(),
                Lang::Ja => "行為は絞り込みだけができます。`| stats` を外してください".to_owned(),
            })
            .into());
        }
        let export = self.to_file.clone().export(self.output.map(ActFormat::exported), lang)?;
        let backend = Backend::open(&self.place, lang).await?;
        let search = SearchQuery {
            query: self.expression.clone(),
            from: self.times.from.clone(),
            to: self.times.to.clone(),
            last: self.times.last.clone(),
            limit: self.limit.unwrap_or(if export.is_some() { 0 } else { 1000 }),
            offset: 0,
            time_zone: name_of(&zone),
            ..SearchQuery::default()
        };
        let query = ActsQuery { search, kinds: self.kind.clone(), events: self.events };
        if let Some(export) = export {
            let of = ExportOf::Acts(Box::new(query));
            let done = export.run(&backend, of, Vec::new(), lang).await;
            backend.close().await;
            return done.map(|()| ExitCode::SUCCESS);
        }
        let found = backend.acts(&query).await;
        backend.close().await;
        let mut found = found?;
        let rows = std::mem::take(&mut found.rows);
        let shown = rows.len();
        let format = match self.output.unwrap_or(ActFormat::Sentence) {
            // An export is written by its own writer.
            ActFormat::Sentence | ActFormat::Parquet => {
                let mut out = std::io::stdout().lock();
                for row in &rows {
                    self.print(&mut out, row, lang, &zone)?;
                }
                None
            }
            ActFormat::Table => Some(Format::Table),
            ActFormat::Json => Some(Format::Json),
            ActFormat::Jsonl => Some(Format::Jsonl),
            ActFormat::Csv => Some(Format::Csv),
        };
        if let Some(format) = format {
            let mut writer = RowWriter::new(std::io::stdout(), format, Vec::new());
            for row in rows {
                let mut row = flat(row, lang, matches!(format, Format::Table | Format::Csv));
                if let (Format::Table, Some(Value::String(time))) =
                    (format, row.get_mut("@timestamp"))
                {
                    *time = shown_in(&zone, time);
                }
                writer.write(row)?;
            }
            writer.finish()?;
        }
        said(&found, shown, lang);
        Ok(ExitCode::SUCCESS)
    }

    fn print(
        &self,
        out: &mut impl Write,
        row: &Row,
        lang: Lang,
        zone: &jiff::tz::TimeZone,
    ) -> Result<()> {
        let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
        let sentence = row.get("sentence").and_then(|both| both[lang.as_str()].as_str());
        let sentence = visible(sentence.unwrap_or_default()).into_owned();
        let time = shown_in(zone, text("@timestamp"));
        writeln!(out, "{time}  {sentence}  ({})", visible(text("act.id")))?;
        if let Some(Value::Array(ids)) = row.get("act.event_ids") {
            for id in ids.iter().filter_map(Value::as_str) {
                writeln!(out, "    {id}")?;
            }
        }
        Ok(())
    }
}

/// An act as one flat object: few columns for reading, all for programs.
fn flat(mut row: Row, lang: Lang, few: bool) -> Row {
    let mut flat = Row::new();
    let fields = row.remove("fields");
    let sentence = row.remove("sentence").unwrap_or_default();
    let said = sentence[lang.as_str()].clone();
    if few {
        for name in ["@timestamp", "act.kind", "host.name", "act.events"] {
            flat.insert(name.to_owned(), row.remove(name).unwrap_or_default());
        }
        flat.insert(SENTENCE.to_owned(), said);
        flat.insert("act.id".to_owned(), row.remove("act.id").unwrap_or_default());
        if let Some(ids) = row.remove("act.event_ids") {
            flat.insert("act.event_ids".to_owned(), ids);
        }
        return flat;
    }
    let ids = row.remove("act.event_ids");
    flat.extend(row);
    if let Some(Value::Object(fields)) = fields {
        for (name, value) in fields {
            flat.entry(name).or_insert(value);
        }
    }
    flat.insert(SENTENCE.to_owned(), said);
    flat.insert("yagura.sentence.ja".to_owned(), sentence["ja"].clone());
    flat.insert("yagura.sentence.en".to_owned(), sentence["en"].clone());
    flat.extend(ids.map(|ids| ("act.event_ids".to_owned(), ids)));
    flat
}

/// What the acts were made from, and what limits cut.
fn said(found: &ActsFound, shown: usize, lang: Lang) {
    let ActsFound { events_read, events_single, acts_made, total, .. } = found;
    match lang {
        Lang::En => eprintln!(
            "{events_read} events read: {acts_made} acts and {events_single} single events"
        ),
        Lang::Ja => eprintln!(
            "イベント {events_read} 件を読みました（行為 {acts_made} 件、単独のイベント {events_single} 件）"
        ),
    }
    if found.look_back_hours > 0 {
        let hours = found.look_back_hours;
        match lang {
            Lang::En => {
                eprintln!("beginnings were looked for up to {hours} h before the time asked")
            }
            Lang::Ja => eprintln!("始まりは指定範囲の {hours} 時間前まで探しました"),
        }
    }
    crate::searching::say_unread(&found.unread, lang);
    if found.events_cut {
        match lang {
            Lang::En => eprintln!(
                "there are more events than are read at once; the newest were: ask about a shorter \
                 time for the others (--from, --to)"
            ),
            Lang::Ja => eprintln!(
                "一度に読む上限を超えたため、新しいイベントだけを読みました。残りは --from と --to で\
                 範囲を狭めてください"
            ),
        }
    }
    match (found.cut, lang) {
        (false, _) => {}
        (true, Lang::En) => eprintln!("{shown} of {total} acts shown; see more with --limit"),
        (true, Lang::Ja) => {
            eprintln!("行為 {total} 件のうち {shown} 件を表示しました。続きは --limit で");
        }
    }
}
