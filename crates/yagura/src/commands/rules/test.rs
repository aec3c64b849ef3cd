use super::Sources;
use crate::output::{Format, RowWriter, visible};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use yagura_event::Lang;
use yagura_normalize::Normalizer;
use yagura_rulebook::cases::{self, CaseResult, Outcome};

/// `yagura rules test`
#[derive(Args)]
#[command(after_help = "\
Tests are found in files called tests.jsonl or NAME-tests.jsonl (ours: one case a line) and info.yml
(SigmaHQ's regression data, with .evtx and .json samples). Without --rules the rules of PATH itself
are tested.

Exit codes: 0 every test holds, 1 one does not.

Examples:
  yagura rules test ./rules
  yagura rules test ./regression_data --rules ./sigma/rules ./sigma/rules-emerging-threats
  yagura rules test ./rules --output jsonl")]
pub struct Test {
    /// Files with tests, and directories of them
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    sources: Sources,
    /// Name tests that hold, too
    #[arg(long)]
    all: bool,
    /// How results are written; other than in a table all are named
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

impl Test {
    pub fn run(self, lang: Lang) -> Result<ExitCode> {
        let mut sources = self.sources.read(lang)?;
        if sources.rules.is_empty() {
            sources.rules = self.paths.clone();
        }
        let compiled = sources.compile(Normalizer::embedded_dictionary())?;
        let files = cases::files(&self.paths)?;
        let results = cases::run(&files, &compiled.ruleset, &compiled.report, |_| {})?;
        if self.output == Format::Table {
            for result in results.iter().filter(|result| self.all || result.outcome.is_wrong()) {
                writeln!(stdout(), "{}", line(result, lang))?;
            }
        } else {
            let mut writer = RowWriter::new(stdout().lock(), self.output, Vec::new());
            for result in &results {
                if let Value::Object(row) = row(result, lang) {
                    writer.write(row)?;
                }
            }
            writer.finish()?;
        }
        let wrong = results.iter().filter(|result| result.outcome.is_wrong()).count();
        let skipped = results.iter().filter(|r| r.outcome == Outcome::Skipped).count();
        let passed = results.len() - wrong - skipped;
        match lang {
            Lang::En => eprintln!("{passed} passed, {wrong} failed, {skipped} skipped"),
            Lang::Ja => eprintln!("合格{passed}件、不合格{wrong}件、対象外{skipped}件"),
        }
        if results.is_empty() {
            match lang {
                Lang::En => {
                    eprintln!("no tests: put a tests.jsonl or an info.yml beside the rules")
                }
                Lang::Ja => {
                    eprintln!(
                        "テストがありません。ルールの隣に tests.jsonl か info.yml を置いてください"
                    );
                }
            }
        }
        Ok(ExitCode::from(u8::from(wrong > 0)))
    }
}

fn line(result: &CaseResult, lang: Lang) -> String {
    let at = result.line.map(|line| format!(":{line}")).unwrap_or_default();
    let rule = result.rule_title.as_deref().unwrap_or(&result.rule_id);
    let counts = match result.wanted {
        0 => format!("{} / 0", result.found),
        wanted => format!("{} / {wanted}+", result.found),
    };
    format!(
        "{}{at}: {}: {} ({counts})",
        visible(&result.path),
        visible(rule),
        visible(&result.outcome.says(lang))
    )
}

fn row(result: &CaseResult, lang: Lang) -> Value {
    json!({
        "log.file.path": result.path,
        "line": result.line,
        "rule.uuid": result.rule_id,
        "rule.name": result.rule_title,
        "sample": result.sample,
        "wanted": result.wanted,
        "found": result.found,
        "passed": result.outcome == Outcome::Passed,
        "skipped": result.outcome == Outcome::Skipped,
        "reason": result.outcome.says(lang),
    })
}
