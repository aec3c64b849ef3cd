use super::Sources;
use crate::backend::{Backend, said};
use crate::output::{Format, Row, RowWriter};
use crate::{Misuse, Place};
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use yagura_event::Lang;
use yagura_normalize::Normalizer;
use yagura_rulebook::cases;
use yagura_rulebook::coverage::{Technique, coverage, navigator_layer};

/// `yagura rules coverage`
#[derive(Args)]
#[command(after_help = "\
A technique counts 100 where a rule with a passing test has events it could match, 50 where a rule has
events and no such test, 0 where there are rules and no events. Tests beside the rules count, ours included.
With --server the rules, tests and events of the server count.

Examples:
  yagura rules coverage
  yagura rules coverage --server http://127.0.0.1:8440 --last 30d
  yagura rules coverage --rules ./sigma/rules --tests ./regression_data
  yagura rules coverage --output navigator > layer.json")]
pub struct Coverage {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    sources: Sources,
    /// More tests that say which rules are tested, as for `yagura rules test`
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

impl Coverage {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        self.check(lang)?;
        let backend = Backend::open(&self.place, lang).await?;
        let measured = self.measure(&backend, lang).await;
        backend.close().await;
        let techniques = measured?;
        if self.output == Output::Navigator {
            writeln!(stdout(), "{:#}", navigator_layer(&techniques, lang))?;
        } else {
            let mut writer = RowWriter::new(stdout().lock(), self.output.format(), Vec::new());
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

    /// A server has rules and tests of its own; other ones would say nothing about it.
    fn check(&self, lang: Lang) -> Result<()> {
        if self.place.is_directory() || (self.sources.is_default() && self.tests.is_empty()) {
            return Ok(());
        }
        Err(Misuse(match lang {
            Lang::En => {
                "--server looks at the rules that the server uses, and at the tests beside \
                         them: leave --rules, --lists, --pipelines, --no-builtin and --tests away"
                    .to_owned()
            }
            Lang::Ja => {
                "--server では、サーバーが使っているルールと、その隣にあるテストを調べます。\
                         --rules、--lists、--pipelines、--no-builtin、--tests は指定できません"
                    .to_owned()
            }
        })
        .into())
    }

    async fn measure(&self, backend: &Backend, lang: Lang) -> Result<Vec<Technique>> {
        match backend {
            Backend::Remote(client) => {
                let asked: Vec<_> =
                    self.last.clone().map(|last| ("last", last)).into_iter().collect();
                let answer = client.get("/api/v1/rules/coverage", &asked).await?;
                Ok(serde_json::from_value(answer["techniques"].clone())?)
            }
            Backend::Local(node, _) => {
                let present = node.data_present(self.last.clone()).await;
                let present = present.map_err(|error| said(error, lang))?;
                let sources = self.sources.read(lang)?;
                let compiled = sources.compile(Normalizer::embedded_dictionary())?;
                let results = cases::run_beside(&sources, &self.tests, &compiled)?;
                Ok(coverage(&compiled.ruleset, &present, &results))
            }
        }
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
