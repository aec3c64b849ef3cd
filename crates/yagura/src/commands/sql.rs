use crate::Place;
use crate::backend::Backend;
use crate::output::{Format, RowWriter};
use anyhow::Result;
use clap::Args;
use std::io::Read;
use std::process::ExitCode;
use yagura_event::Lang;

/// `yagura sql`
#[derive(Args)]
#[command(after_help = "\
Examples:
  yagura sql 'select \"event.code\", count(*) as n from events group by 1 order by n desc limit 10'
  echo 'select count(*) from events' | yagura sql -")]
pub struct Sql {
    /// One SELECT statement; - reads it from standard input
    #[arg(value_name = "STATEMENT")]
    statement: String,
    #[command(flatten)]
    place: Place,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

/// Longest statement read from standard input; the engine's own limit is lower.
const STATEMENT_BYTES_MAX: u64 = 1024 * 1024;

impl Sql {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let mut statement = self.statement;
        if statement == "-" {
            statement.clear();
            std::io::stdin().take(STATEMENT_BYTES_MAX).read_to_string(&mut statement)?;
        }
        let backend = Backend::open(&self.place, lang).await?;
        let page = backend.sql(&statement).await;
        backend.close().await;
        let page = page?;
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, page.columns);
        for row in page.rows {
            writer.write(row)?;
        }
        writer.finish()?;
        if page.cut {
            eprintln!("cut at {} rows", page.limit);
        }
        Ok(ExitCode::SUCCESS)
    }
}
