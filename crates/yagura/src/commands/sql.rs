use crate::Place;
use crate::backend::Backend;
use crate::export::ToFile;
use crate::output::{Format, RowWriter, visible};
use crate::told::either;
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use std::io::Read;
use std::process::ExitCode;
use yagura_event::Lang;
use yagura_node::{ExportFormat, ExportOf};

/// `yagura sql`
#[derive(Args)]
#[command(after_help = "\
Examples:
  yagura sql 'select \"event.code\", count(*) as n from events group by 1 order by n desc limit 10'
  yagura sql 'select \"host.name\", count(*) from events group by 1' --out hosts.parquet
  yagura sql \"select * from alerts where \\\"rule.level\\\" = 'critical'\"
  echo 'select count(*) from events' | yagura sql -")]
pub struct Sql {
    /// One SELECT over events, acts, alerts and sources; - reads it from standard input
    #[arg(value_name = "STATEMENT")]
    statement: String,
    #[command(flatten)]
    place: Place,
    /// How rows are written [default: table, or by the name of --out]
    #[arg(long, value_enum)]
    output: Option<SqlFormat>,
    #[command(flatten)]
    to_file: ToFile,
}

#[derive(Clone, Copy, ValueEnum)]
enum SqlFormat {
    /// A table for people
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

impl SqlFormat {
    /// The format of a file, and what to call it.
    fn exported(self) -> (&'static str, Option<ExportFormat>) {
        match self {
            SqlFormat::Table => ("table", None),
            SqlFormat::Json => ("json", None),
            SqlFormat::Jsonl => ("jsonl", Some(ExportFormat::Jsonl)),
            SqlFormat::Csv => ("csv", Some(ExportFormat::Csv)),
            SqlFormat::Parquet => ("parquet", Some(ExportFormat::Parquet)),
        }
    }
}

/// Longest statement read from standard input; the engine's own limit is lower.
const STATEMENT_BYTES_MAX: u64 = 1024 * 1024;

impl Sql {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let export = self.to_file.export(self.output.map(SqlFormat::exported), lang)?;
        let mut statement = self.statement;
        if statement == "-" {
            statement.clear();
            let read = std::io::stdin().take(STATEMENT_BYTES_MAX).read_to_string(&mut statement);
            read.with_context(|| {
                either(lang, "cannot read the statement", "標準入力からSQLを読めません")
            })?;
        }
        let backend = Backend::open(&self.place, lang).await?;
        if let Some(export) = export {
            let done = export.run(&backend, ExportOf::Sql(statement), Vec::new(), lang).await;
            backend.close().await;
            return done.map(|()| ExitCode::SUCCESS);
        }
        let format = match self.output {
            None | Some(SqlFormat::Table | SqlFormat::Parquet) => Format::Table,
            Some(SqlFormat::Json) => Format::Json,
            Some(SqlFormat::Jsonl) => Format::Jsonl,
            Some(SqlFormat::Csv) => Format::Csv,
        };
        let page = backend.sql(&statement).await;
        backend.close().await;
        let page = page?;
        let mut writer = RowWriter::new(std::io::stdout().lock(), format, page.columns);
        for row in page.rows {
            writer.write(row)?;
        }
        let rows = writer.finish()?;
        if page.cut {
            eprintln!("{}", cut(rows, page.limit, lang));
        }
        for notice in &page.notices {
            eprintln!("{}", visible(notice.text(lang)));
        }
        crate::searching::say_unread(&page.unread, lang);
        Ok(ExitCode::SUCCESS)
    }
}

/// Why not all rows are there.
fn cut(rows: usize, limit: usize, lang: Lang) -> String {
    let mib = yagura_node::PAGE_BYTES_MAX / (1024 * 1024);
    match lang {
        Lang::En => format!(
            "cut at {rows} rows: an answer has at most {limit} rows and {mib} MiB; ask for less, or \
             use yagura search --limit 0, which prints events as they are found"
        ),
        Lang::Ja => format!(
            "{rows}行で打ち切りました。1回の回答は{limit}行、{mib} MiBまでです。範囲を狭めるか、見つけた\
             順に出力する yagura search --limit 0 をお使いください"
        ),
    }
}
