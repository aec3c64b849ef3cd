use super::Sources;
use crate::Place;
use crate::backend::Backend;
use crate::output::{Format, Row, RowWriter};
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use yagura_event::Lang;
use yagura_node::SearchQuery;
use yagura_normalize::Normalizer;
use yagura_rulebook::cases;
use yagura_rulebook::coverage::{DataPresent, Technique, coverage, navigator_layer};

/// `yagura rules coverage`
#[derive(Args)]
#[command(after_help = "\
A technique counts 100 where a rule with a passing test has events it could match, 50 where a rule has
events and no such test, 0 where there are rules and no events.

Examples:
  yagura rules coverage
  yagura rules coverage --rules ./sigma/rules --tests ./regression_data
  yagura rules coverage --output navigator > layer.json")]
pub struct Coverage {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    sources: Sources,
    /// Tests that say which rules are tested, as for `yagura rules test`
    #[arg(long, value_name = "PATH", num_args = 1..)]
    tests: Vec<PathBuf>,
    /// Only events of the last so many hours or days count as present, such as 30d
    #[arg(long, value_name = "TIME")]
    last: Option<String>,
    /// How the techniques are written
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table for people
    Table,
    /// One JSON array
    Json,
    /// One JSON object a line
    Jsonl,
    /// RFC 4180, with a header
    Csv,
    /// A layer for the ATT&CK Navigator
    Navigator,
}

/// Kinds of events that are counted: dataset and code.
const KINDS_MAX: usize = 100_000;

impl Coverage {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let compiled = self.sources.read().compile(Normalizer::embedded_dictionary())?;
        let files = cases::files(&self.tests)?;
        let results = cases::run(&files, &compiled.ruleset, &compiled.report, |_| {})?;
        let present = self.present(lang).await?;
        let techniques = coverage(&compiled.ruleset, &present, &results);
        if self.output == Output::Navigator {
            println!("{:#}", navigator_layer(&techniques, lang));
        } else {
            let mut writer =
                RowWriter::new(std::io::stdout().lock(), self.output.format(), Vec::new());
            for technique in &techniques {
                writer.write(row(technique, self.output == Output::Table, lang))?;
            }
            writer.finish()?;
        }
        let of = |score| techniques.iter().filter(|technique| technique.score == score).count();
        let (tested, data, none) = (of(100), of(50), of(0));
        match lang {
            Lang::En => eprintln!(
                "{} techniques: {tested} tested with data, {data} with data, {none} without data",
                techniques.len()
            ),
            Lang::Ja => eprintln!(
                "{}件の技術: データありでテスト済み{tested}件、データあり{data}件、データなし{none}件",
                techniques.len()
            ),
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn present(&self, lang: Lang) -> Result<DataPresent> {
        let backend = Backend::open(&self.place, lang).await?;
        let mut present = DataPresent::default();
        let query = SearchQuery {
            query: "* | stats count() as n by event.dataset, event.code".to_owned(),
            last: self.last.clone(),
            limit: KINDS_MAX,
            ..SearchQuery::default()
        };
        let done = backend
            .search(&query, |row| {
                let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
                let count = row.get("n").and_then(Value::as_u64).unwrap_or(0);
                present.add(text("event.dataset"), text("event.code"), count);
                Ok(())
            })
            .await;
        backend.close().await;
        done?;
        Ok(present)
    }
}

impl Output {
    fn format(self) -> Format {
        match self {
            Output::Json => Format::Json,
            Output::Jsonl => Format::Jsonl,
            Output::Csv => Format::Csv,
            Output::Table | Output::Navigator => Format::Table,
        }
    }
}

fn row(technique: &Technique, table: bool, lang: Lang) -> Row {
    let mut row = Row::new();
    let ja = table && lang == Lang::Ja;
    let mut put = |in_ja: &str, en: &str, value: Value| {
        row.insert(if ja { in_ja } else { en }.to_owned(), value);
    };
    put("技術", "threat.technique.id", json!(technique.id));
    put("評価", "score", json!(technique.score));
    put("ルール", "rules", json!(technique.rules));
    put("データあり", "with_data", json!(technique.with_data));
    put("テスト済み", "tested", json!(technique.tested));
    if !table {
        put("", "rule.name", json!(technique.titles));
    }
    row
}
