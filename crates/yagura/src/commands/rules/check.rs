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
use yagura_rulebook::lint::{self, Problem, Severity};

/// `yagura rules check`
#[derive(Args)]
#[command(after_help = "\
Exit codes: 0 nothing is wrong, 1 something is. Warnings do not count as wrong without --strict.

Examples:
  yagura rules check ./rules
  yagura rules check ./rules --lists ./lists --strict
  yagura rules check new.yml --output jsonl")]
pub struct Check {
    /// Rule files, and directories of them
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    sources: Sources,
    /// Warnings count as wrong too
    #[arg(long)]
    strict: bool,
    /// Name good habits that are missing, too
    #[arg(long)]
    hints: bool,
    /// How problems are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

impl Check {
    pub fn run(self, lang: Lang) -> Result<ExitCode> {
        let mut sources = self.sources.read(lang)?;
        // What is checked comes first: of two rules with one id the later one is refused.
        let mut checked = sources.clone();
        checked.builtin = false;
        checked.rules = self.paths.clone();
        let files = checked.load()?.files;
        sources.rules = [self.paths, sources.rules].concat();
        let compiled = sources.compile(Normalizer::embedded_dictionary())?;
        let mut problems = lint::check(&files, &compiled);
        problems.retain(|problem| self.hints || problem.severity != Severity::Hint);
        if self.output == Format::Table {
            for problem in &problems {
                writeln!(stdout(), "{}", line(problem, lang))?;
            }
        } else {
            let mut writer = RowWriter::new(stdout().lock(), self.output, Vec::new());
            for problem in &problems {
                if let Value::Object(row) = row(problem) {
                    writer.write(row)?;
                }
            }
            writer.finish()?;
        }
        let count = |severity| problems.iter().filter(|p| p.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        match lang {
            Lang::En => eprintln!("{} files: {errors} errors, {warnings} warnings", files.len()),
            Lang::Ja => eprintln!("{}ファイル: 誤り{errors}件、注意{warnings}件", files.len()),
        }
        let wrong = errors > 0 || (self.strict && warnings > 0);
        Ok(ExitCode::from(u8::from(wrong)))
    }
}

/// `path:line: severity[code]: message`, which editors and CI systems read.
pub(super) fn line(problem: &Problem, lang: Lang) -> String {
    let line = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
    format!(
        "{}{line}: {}[{}]: {}",
        visible(&problem.path),
        problem.severity.label(lang),
        problem.code,
        visible(problem.message_in(lang)),
    )
}

pub(super) fn row(problem: &Problem) -> Value {
    json!({
        "log.file.path": problem.path,
        "line": problem.line,
        "severity": problem.severity,
        "code": problem.code,
        "rule.uuid": problem.rule_id,
        "message": problem.message,
        "message_ja": problem.message_ja,
    })
}
