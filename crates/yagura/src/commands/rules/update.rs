use super::check;
use super::list::told;
use crate::Misuse;
use crate::client::Client;
use crate::output::{Format, Row, RowWriter, visible};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use yagura_event::{Clock, Lang, SystemClock};
use yagura_normalize::Normalizer;
use yagura_rulebook::RuleSources;
use yagura_rulebook::changes::{Change, ChangeKind};
use yagura_rulebook::library::{Library, Update as Done};
use yagura_rulebook::lint::{self, Problem, Severity};

/// `yagura rules update`
#[derive(Args)]
#[command(after_help = "\
The rules in use are replaced in one step, and kept in a folder beside them (NAME.history), so that
--undo brings them back.

Examples:
  yagura rules update ~/Downloads/sigma/rules --rules /etc/yagura/rules
  yagura rules update ./sigma/rules --rules /etc/yagura/rules --yes --server http://127.0.0.1:8440
  yagura rules update --undo --rules /etc/yagura/rules
  yagura rules update --history --rules /etc/yagura/rules")]
pub struct Update {
    /// The directory with the new rules
    #[arg(value_name = "DIR", required_unless_present_any = ["undo", "history"])]
    from: Option<PathBuf>,
    /// The directory of the rules in use
    #[arg(long, value_name = "DIR")]
    rules: PathBuf,
    /// Values for placeholders, with which the new rules are checked
    #[arg(long, value_name = "PATH", num_args = 1..)]
    lists: Vec<PathBuf>,
    /// Processing pipelines, likewise
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pipelines: Vec<PathBuf>,
    /// Go ahead without asking
    #[arg(long)]
    yes: bool,
    /// Go back to the rules before the newest update
    #[arg(long, conflicts_with_all = ["from", "history"])]
    undo: bool,
    /// List the updates there were
    #[arg(long, conflicts_with = "from")]
    history: bool,
    /// Have this running server read its rules again afterwards
    #[arg(long, value_name = "URL", env = "YAGURA_SERVER")]
    server: Option<String>,
    /// File with the access token for the server
    #[arg(long, value_name = "FILE", env = "YAGURA_TOKEN_FILE", requires = "server")]
    token_file: Option<PathBuf>,
    /// How changes are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

impl Update {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let library = Library::new(&self.rules);
        if self.history {
            return self.print_history(&library);
        }
        let who = std::env::var("USER").unwrap_or_else(|_| "local".to_owned());
        let time = SystemClock.now().to_string();
        let done = match &self.from {
            None => {
                let done = library.undo(&who, &time)?;
                told_kept(&done.kept, lang);
                done
            }
            Some(from) => {
                let preview = library.preview(from)?;
                // Before anything is replaced: whoever agrees knows what will not be used.
                let problems = self.problems(from)?;
                self.print(&preview.changes, &problems, lang)?;
                told_kept(&preview.kept, lang);
                if preview.changes.is_empty() {
                    say(lang, "nothing changes", "変更はありません");
                    return Ok(ExitCode::SUCCESS);
                }
                if !self.yes && !agreed(&self.rules, lang)? {
                    say(lang, "nothing was changed", "何も変更していません");
                    return Ok(ExitCode::from(1));
                }
                library.update(from, &who, &time)?
            }
        };
        let (added, removed, changed) = (done.added, done.removed, done.changed);
        match lang {
            Lang::En => eprintln!(
                "update {}: {added} added, {removed} removed, {changed} changed",
                done.number
            ),
            Lang::Ja => {
                eprintln!("更新{}: 追加{added}件、削除{removed}件、変更{changed}件", done.number)
            }
        }
        match &self.server {
            Some(server) => {
                let client = Client::new(server, self.token_file.as_deref(), lang)?;
                told(&client.post("/api/v1/rules/reload", &json!({})).await?, lang);
            }
            None => say(
                lang,
                "a running server takes them with `yagura rules reload` or SIGHUP",
                "動いているサーバーには yagura rules reload か SIGHUP で反映します",
            ),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What is wrong with the new rules: they are compiled and looked at as `yagura rules check` does.
    fn problems(&self, from: &Path) -> Result<Vec<Problem>> {
        let checked = RuleSources {
            builtin: false,
            rules: vec![from.to_owned()],
            lists: self.lists.clone(),
            pipelines: self.pipelines.clone(),
            ..RuleSources::default()
        };
        let files = checked.load()?.files;
        // They may count and filter our own.
        let sources = RuleSources { builtin: true, ..checked };
        let compiled = sources.compile(Normalizer::embedded_dictionary())?;
        let mut problems = lint::check(&files, &compiled);
        problems.retain(|problem| problem.severity != Severity::Hint);
        Ok(problems)
    }

    fn print(&self, changes: &[Change], problems: &[Problem], lang: Lang) -> Result<()> {
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, Vec::new());
        for change in changes {
            writer.write(match self.output {
                Format::Table => short(change, lang),
                _ => match serde_json::to_value(change)? {
                    Value::Object(row) => row,
                    _ => continue,
                },
            })?;
        }
        for problem in problems.iter().filter(|_| self.output != Format::Table) {
            if let Value::Object(mut row) = check::row(problem) {
                row.insert("kind".to_owned(), json!("problem"));
                writer.write(row)?;
            }
        }
        writer.finish()?;
        for problem in problems.iter().filter(|_| self.output == Format::Table) {
            writeln!(stdout(), "! {}", check::line(problem, lang))?;
        }
        let count = |severity| problems.iter().filter(|p| p.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        match (problems.is_empty(), lang) {
            (true, _) => {}
            (false, Lang::En) => eprintln!(
                "the new rules have {errors} errors and {warnings} warnings; what is in error will not \
                 be used"
            ),
            (false, Lang::Ja) => eprintln!(
                "新しいルールに誤り{errors}件、注意{warnings}件があります。誤りのあるルールは使われません"
            ),
        }
        Ok(())
    }

    fn print_history(&self, library: &Library) -> Result<ExitCode> {
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, Vec::new());
        for update in library.history()? {
            writer.write(history_row(&update, self.output == Format::Table)?)?;
        }
        writer.finish()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Names the filters that stay although the new rules do not have them.
fn told_kept(kept: &[String], lang: Lang) {
    for path in kept {
        let path = visible(path);
        match lang {
            Lang::En => eprintln!("kept: {path} (filters that the new rules do not have)"),
            Lang::Ja => eprintln!("維持: {path}（新しいルールにないフィルター）"),
        }
    }
}

fn history_row(update: &Done, table: bool) -> Result<Row> {
    let Value::Object(mut row) = serde_json::to_value(update)? else { return Ok(Row::new()) };
    if table {
        row.remove("rules");
    }
    Ok(row)
}

fn short(change: &Change, lang: Lang) -> Row {
    let ja = lang == Lang::Ja;
    let kind = match (change.kind, ja) {
        (ChangeKind::Added, true) => "追加",
        (ChangeKind::Added, false) => "added",
        (ChangeKind::Removed, true) => "削除",
        (ChangeKind::Removed, false) => "removed",
        (ChangeKind::Changed, true) => "変更",
        (ChangeKind::Changed, false) => "changed",
    };
    let level = match (&change.level_before, &change.level_after) {
        (Some(before), Some(after)) if before != after => format!("{before} -> {after}"),
        (before, after) => after.clone().or(before.clone()).unwrap_or_default(),
    };
    let logic = match (change.kind == ChangeKind::Changed && change.is_logic(), ja) {
        (true, true) => "検知条件が変わる",
        (true, false) => "what it finds",
        (false, _) => "",
    };
    let mut row = Row::new();
    let mut put = |in_ja: &str, en: &str, value: String| {
        row.insert(if ja { in_ja } else { en }.to_owned(), json!(value));
    };
    put("変更", "change", kind.to_owned());
    put("ルール", "rule", change.title.clone());
    put("深刻度", "level", level);
    put("検知", "logic", logic.to_owned());
    put("項目", "parts", change.parts.join(", "));
    row
}

fn agreed(rules: &Path, lang: Lang) -> Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(Misuse(match lang {
            Lang::En => "there is no terminal to ask: say --yes to go ahead".to_owned(),
            Lang::Ja => {
                "確認できる端末がありません。実行するには --yes を付けてください".to_owned()
            }
        })
        .into());
    }
    match lang {
        Lang::En => eprint!("replace the rules in {}? [y/N] ", rules.display()),
        Lang::Ja => eprint!("{} のルールを置き換えますか? [y/N] ", rules.display()),
    }
    std::io::stderr().flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn say(lang: Lang, en: &str, ja: &str) {
    eprintln!("{}", if lang == Lang::Ja { ja } else { en });
}
