use super::{follow, lists};
use crate::Place;
use crate::backend::Backend;
use crate::hunting::Ask;
use crate::output::{Format, RowWriter, visible};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;
use yagura_event::{Lang, UtcMicros};
use yagura_hunt::{Kind, Tlp};
use yagura_node::hunt::IndicatorRequest;

/// `yagura hunt indicators`
#[derive(Args)]
#[command(after_help = "\
Indicators in use are looked for in every event as it comes, and in everything stored once when they
are added. An expired indicator is no longer looked for.

Examples:
  yagura hunt indicators add iocs.txt --source 'JPCERT 2026-11'
  yagura hunt indicators list --kind domain
  yagura hunt indicators remove --source 'JPCERT 2026-11'
  yagura hunt indicators remove evil.example")]
pub struct Indicators {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take lists into use, and hunt what is new in everything stored
    Add(Add),
    /// List those in use
    List(List),
    /// Take some out of use
    Remove(Remove),
}

#[derive(Args)]
struct Add {
    /// Lists: STIX 2.1, MISP, CSV, or one value a line; - for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Name of their source [default: the file's name]
    #[arg(long)]
    source: Option<String>,
    /// Kind of values whose kind the list does not say, such as domain or sha256
    #[arg(long)]
    kind: Option<Kind>,
    /// Expiry of those that name none
    #[arg(long, value_name = "INSTANT")]
    valid_until: Option<UtcMicros>,
    /// TLP of those that name none
    #[arg(long)]
    tlp: Option<Tlp>,
    /// Confidence of those that name none, 0 to 100; below 50 an alert is medium, below 15 low
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100))]
    confidence: Option<u8>,
    /// Also values that every network has, such as private addresses
    #[arg(long)]
    keep_benign: bool,
    /// Make alerts of what they are found in, hunted backwards
    #[arg(long)]
    raise: bool,
    /// No progress bar
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct List {
    /// Only of this source
    #[arg(long)]
    source: Option<String>,
    /// Only of this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// Only whose value or description holds this text
    #[arg(long)]
    text: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct Remove {
    /// Values, as written in the list
    #[arg(value_name = "VALUE", required_unless_present = "source")]
    values: Vec<String>,
    /// Only of this source; all of it where no value is named
    #[arg(long)]
    source: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl Indicators {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        match self.command {
            Command::Add(add) => add.run(lang).await,
            Command::List(list) => list.run(lang).await,
            Command::Remove(remove) => remove.run(lang).await,
        }
    }
}

impl Add {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let request = IndicatorRequest {
            files: lists(&self.files, lang)?,
            source: self.source,
            kind: self.kind,
            valid_until: self.valid_until,
            tlp: self.tlp,
            confidence: self.confidence,
            keep_benign: self.keep_benign,
            raise: self.raise,
        };
        let backend = Backend::open(&self.place, lang).await?;
        let done = async {
            let answer = backend.hunter(Ask::AddIndicators(Box::new(request))).await?;
            let mut code = ExitCode::SUCCESS;
            for list in answer["lists"].as_array().into_iter().flatten() {
                print_taken(list, lang);
                let ended = follow(&backend, list, self.quiet, lang).await?;
                if ended != ExitCode::SUCCESS {
                    code = ended;
                }
            }
            Ok(code)
        };
        let done = done.await;
        backend.close().await;
        done
    }
}

/// What became of a list, on standard error.
pub fn print_taken(list: &Value, lang: Lang) {
    let number = |key: &str| list[format!("indicators.{key}")].as_u64().unwrap_or_default();
    let name = visible(list["file.name"].as_str().unwrap_or_default()).into_owned();
    let (taken, new, known) = (number("count"), number("new"), number("known"));
    let (refused, left_out, withdrawn) =
        (number("refused"), number("left_out"), number("withdrawn"));
    match lang {
        Lang::En => eprintln!(
            "{name}: {taken} indicators taken ({new} new), {known} known, {withdrawn} withdrawn, {refused} \
             cannot be used, {left_out} left out because every network has them"
        ),
        Lang::Ja => eprintln!(
            "{name}: 侵害指標{taken}件を登録（新規{new}件）、登録済み{known}件、取り下げ{withdrawn}件、\
             使用不可{refused}件、どの環境にもあるため除外{left_out}件"
        ),
    }
    let reason = if lang == Lang::Ja { "reason_ja" } else { "reason" };
    for one in list["refused"].as_array().into_iter().flatten().take(20) {
        let text = |key: &str| visible(one[key].as_str().unwrap_or_default()).into_owned();
        eprintln!("! {}: {}: {}", text("place"), text("value"), text(reason));
    }
    for one in list["left_out"].as_array().into_iter().flatten().take(20) {
        let text = |key: &str| visible(one[key].as_str().unwrap_or_default()).into_owned();
        match lang {
            Lang::En => eprintln!(
                "? {}: {} (--keep-benign takes it)",
                text("threat.indicator.name"),
                text(reason)
            ),
            Lang::Ja => eprintln!(
                "? {}: {}（--keep-benign で登録できます）",
                text("threat.indicator.name"),
                text(reason)
            ),
        }
    }
}

impl List {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.source.map(|source| ("source", source)));
        query.extend(self.kind.map(|kind| ("kind", kind.to_string())));
        query.extend(self.text.map(|text| ("text", text)));
        let backend = Backend::open(&self.place, lang).await?;
        let found = backend.hunter(Ask::Indicators(query)).await;
        backend.close().await;
        let found = found?;
        let rows = found["indicators"].as_array().cloned().unwrap_or_default();
        let columns = [
            "threat.indicator.type",
            "threat.indicator.name",
            "threat.indicator.provider",
            "threat.indicator.valid_until",
            "threat.indicator.marking.tlp",
            "threat.indicator.confidence",
            "threat.indicator.expired",
            "threat.indicator.description",
        ];
        let columns = columns.map(str::to_owned).to_vec();
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, columns);
        let shown = rows.len();
        for row in rows {
            if let Value::Object(row) = row {
                writer.write(row)?;
            }
        }
        writer.finish()?;
        let number = |key: &str| found[key].as_u64().unwrap_or_default();
        let (total, in_use, expired) = (number("total"), number("in_use"), number("expired"));
        match lang {
            Lang::En if in_use == 0 => {
                eprintln!("no indicators in use; add some with `yagura hunt indicators add FILE`");
            }
            Lang::Ja if in_use == 0 => {
                eprintln!(
                    "登録された侵害指標はありません。yagura hunt indicators add FILE で登録できます"
                );
            }
            Lang::En => {
                eprintln!("{shown} of {total} shown; {in_use} in use, {expired} of them expired")
            }
            Lang::Ja => {
                eprintln!("{total}件中{shown}件を表示。登録{in_use}件、うち期限切れ{expired}件")
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Remove {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let ask = Ask::RemoveIndicators { source: self.source, values: self.values };
        let done = backend.hunter(ask).await;
        backend.close().await;
        let done = done?;
        let (removed, left) = (&done["indicators.removed"], &done["indicators.in_use"]);
        match lang {
            Lang::En => eprintln!("{removed} indicators removed, {left} left"),
            Lang::Ja => eprintln!("侵害指標{removed}件を削除しました（残り{left}件）"),
        }
        Ok(ExitCode::SUCCESS)
    }
}
