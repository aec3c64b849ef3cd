use crate::Place;
use crate::backend::Backend;
use crate::output::{Format, RowWriter, visible};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::process::ExitCode;
use yagura_event::Lang;

/// `yagura verify`
#[derive(Args)]
#[command(after_help = "\
Exit code 0: everything checked is as it was sealed. 1: something is not, and it is named.

Examples:
  yagura verify
  yagura verify --from 2026-11-20T00:00:00Z --to 2026-11-21T00:00:00Z
  yagura verify --event syslog/42/7")]
pub struct Verify {
    #[command(flatten)]
    place: Place,
    /// Only batches received from this instant on (ISO 8601)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only batches received before this instant (ISO 8601)
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only this event: stream/batch/index
    #[arg(long, value_name = "EVENT_ID", conflicts_with_all = ["from", "to"])]
    event: Option<String>,
    /// Leave out what lies in cold stores, which the report then says
    #[arg(long)]
    no_cold: bool,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

impl Verify {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let scope = json!({ "from": self.from, "to": self.to, "event.id": self.event,
            "no_cold": self.no_cold });
        let report = Backend::verify(&self.place, scope, lang).await?;
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, Vec::new());
        for check in report["checks"].as_array().into_iter().flatten() {
            let text = |key: &str| check[key].clone();
            let name = if lang == Lang::Ja { text("name_ja") } else { text("name") };
            let row = json!({
                "check": name,
                "checked": text("checked"),
                "wrong": text("wrong"),
            });
            if let serde_json::Value::Object(row) = row {
                writer.write(row)?;
            }
        }
        writer.finish()?;
        let findings = report["findings"].as_array().cloned().unwrap_or_default();
        for finding in &findings {
            let place = finding["place"].as_str().unwrap_or_default();
            let what = finding[if lang == Lang::Ja { "what_ja" } else { "what" }].as_str();
            eprintln!("✗ {}: {}", visible(place), visible(what.unwrap_or_default()));
        }
        for note in report["notes"].as_array().into_iter().flatten() {
            let place = note["place"].as_str().unwrap_or_default();
            let what = note[if lang == Lang::Ja { "what_ja" } else { "what" }].as_str();
            eprintln!("• {}: {}", visible(place), visible(what.unwrap_or_default()));
        }
        let more = report["findings_total"].as_u64().unwrap_or(0) as usize;
        if more > findings.len() {
            eprintln!("… {}", more - findings.len());
        }
        let sound = report["ok"] == json!(true);
        match (lang, sound) {
            (Lang::En, true) => eprintln!("verified: nothing was changed, lost or reordered"),
            (Lang::Ja, true) => eprintln!("検証済み: 改ざん・欠落・並べ替えはありません"),
            (Lang::En, false) => eprintln!("NOT verified: see above"),
            (Lang::Ja, false) => eprintln!("検証失敗: 上記を確認してください"),
        }
        Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}
