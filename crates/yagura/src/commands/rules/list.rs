use super::Sources;
use crate::Place;
use crate::backend::Backend;
use crate::client::Client;
use crate::output::{Format, Row, RowWriter, visible};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;
use yagura_event::{Lang, Level};
use yagura_normalize::Normalizer;

/// `yagura rules list`
#[derive(Args)]
#[command(after_help = "\
Without --server and --data the rules are those of files: our own and those of --rules.

Examples:
  yagura rules list --refused --rules ./sigma/rules
  yagura rules list --server http://127.0.0.1:8440 --level high
  yagura rules list --output csv > rules.csv")]
pub struct List {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    sources: Sources,
    /// Only rules that are not in use
    #[arg(long)]
    refused: bool,
    /// Only rules of this level or above
    #[arg(long)]
    level: Option<Level>,
    /// Only rules with this text in title, id, tags or path
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

impl List {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let listed = if self.place.is_named() {
            let backend = Backend::open(&self.place, lang).await?;
            let listed = backend.rules().await;
            backend.close().await;
            listed?["rules"].take()
        } else {
            let compiled = self.sources.read(lang)?.compile(Normalizer::embedded_dictionary())?;
            let rows =
                yagura_rulebook::listing::rows(&compiled.ruleset, &compiled.report, |_| Vec::new());
            json!(rows)
        };
        let rows: Vec<Row> = match listed {
            Value::Array(rows) => rows
                .into_iter()
                .filter_map(|row| match row {
                    Value::Object(row) => Some(row),
                    _ => None,
                })
                .filter(|row| self.wants(row))
                .collect(),
            _ => Vec::new(),
        };
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, Vec::new());
        let table = self.output == Format::Table;
        for row in &rows {
            writer.write(if table { short(row, lang) } else { row.clone() })?;
        }
        writer.finish()?;
        let of = |enabled| rows.iter().filter(|row| row["enabled"] == json!(enabled)).count();
        match lang {
            Lang::En => eprintln!("{} in use, {} not in use", of(true), of(false)),
            Lang::Ja => eprintln!("使用中{}件、使えないもの{}件", of(true), of(false)),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn wants(&self, row: &Row) -> bool {
        let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
        let level = || text("rule.level").parse::<Level>().ok();
        let found = |wanted: &String| {
            let wanted = wanted.to_lowercase();
            let keys = ["rule.name", "rule.name_ja", "rule.uuid", "log.file.path"];
            let in_tags = row
                .get("rule.tags")
                .is_some_and(|tags| tags.to_string().to_lowercase().contains(&wanted));
            in_tags || keys.iter().any(|key| text(key).to_lowercase().contains(&wanted))
        };
        (!self.refused || row.get("enabled") == Some(&json!(false)))
            && self.level.is_none_or(|least| level().is_some_and(|level| level >= least))
            && self.text.as_ref().is_none_or(found)
    }
}

/// What fits a screen.
fn short(row: &Row, lang: Lang) -> Row {
    let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
    let name = match lang {
        Lang::Ja if !text("rule.name_ja").is_empty() => text("rule.name_ja"),
        _ => text("rule.name"),
    };
    let level = text("rule.level").parse::<Level>().map_or("", |level| level.label(lang));
    let count = |key: &str| row.get(key).and_then(Value::as_array).map_or(0, Vec::len);
    let overlays = count("filters") + count("exceptions");
    let state = match (text("reason"), overlays) {
        ("", 0) => String::new(),
        ("", _) if lang == Lang::Ja => format!("絞り込み{overlays}件"),
        ("", _) => format!("{overlays} over it"),
        (reason, _) if lang == Lang::Ja => format!("このルールは使えません（{reason}）"),
        (reason, _) => reason.to_owned(),
    };
    let mut short = Row::new();
    let ja = lang == Lang::Ja;
    let mut put = |in_ja: &str, en: &str, value: &str| {
        short.insert(if ja { in_ja } else { en }.to_owned(), json!(visible(value)));
    };
    put("深刻度", "level", level);
    put("ルール", "rule", name);
    put("種類", "kind", text("kind"));
    put("状態", "status", text("rule.status"));
    put("備考", "note", &state);
    put("ファイル", "file", text("log.file.path"));
    short
}

/// `yagura rules reload`
#[derive(Args)]
#[command(after_help = "\
The server goes on with the rules it has if rules in use would be refused; it says which.

Examples:
  yagura rules reload
  yagura rules reload --server http://127.0.0.1:8440 --accept-refusals")]
pub struct Reload {
    /// The running server
    #[arg(
        long,
        value_name = "URL",
        env = "YAGURA_SERVER",
        default_value = "http://127.0.0.1:8440"
    )]
    server: String,
    /// File with the access token for the server
    #[arg(long, value_name = "FILE", env = "YAGURA_TOKEN_FILE")]
    token_file: Option<std::path::PathBuf>,
    /// Go ahead although rules in use will stop watching
    #[arg(long)]
    accept_refusals: bool,
    /// How the answer is written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

impl Reload {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let client = Client::new(&self.server, self.token_file.as_deref(), lang)?;
        let request = json!({ "accept_refusals": self.accept_refusals });
        let done = client.post("/api/v1/rules/reload", &request).await?;
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, Vec::new());
        for kind in ["added", "removed", "changed"] {
            for rule in done[kind].as_array().into_iter().flatten() {
                let mut row = Row::new();
                row.insert("kind".into(), json!(kind));
                for key in ["rule.uuid", "rule.name", "rule.digest"] {
                    row.insert(key.into(), rule[key].clone());
                }
                writer.write(row)?;
            }
        }
        writer.finish()?;
        told(&done, lang);
        Ok(ExitCode::SUCCESS)
    }
}

/// Says what a reload did.
pub fn told(done: &Value, lang: Lang) {
    let counts = &done["counts"];
    let (added, removed, changed) = (&counts["added"], &counts["removed"], &counts["changed"]);
    let (loaded, refused) = (&done["loaded"], &done["refused"]);
    match lang {
        Lang::En => eprintln!(
            "reloaded: {added} added, {removed} removed, {changed} changed; {loaded} in use, {refused} refused"
        ),
        Lang::Ja => eprintln!(
            "再読み込みしました: 追加{added}件、削除{removed}件、変更{changed}件。使用中{loaded}件、使えないもの{refused}件"
        ),
    }
}
