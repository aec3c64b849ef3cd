use crate::Place;
use crate::backend::Backend;
use crate::output::{Format, Row, RowWriter, visible};
use crate::zone::{ZoneArgument, shown_in};
use anyhow::Result;
use clap::Args;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::process::ExitCode;
use yagura_event::Lang;

/// `yagura sources`
#[derive(Args)]
#[command(after_help = "\
A source is who sent it: stream, transport, address or file, and the host name that the events claim.
The clock skew is receipt minus claimed time, in the middle of the last events: positive where the
source's clock is behind. Drift: learning, steady, or changed since it was learned.

Examples:
  yagura sources
  yagura sources --failures
  yagura sources --drift
  yagura sources --output csv > sources.csv")]
pub struct Sources {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    zone: ZoneArgument,
    /// What could not be read instead: by source and reason, with a sample
    #[arg(long, conflicts_with = "drift")]
    failures: bool,
    /// The drift notices instead: what changed, and when
    #[arg(long)]
    drift: bool,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

impl Sources {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let zone = match self.output {
            Format::Table => self.zone.zone(lang)?,
            _ => TimeZone::UTC,
        };
        let backend = Backend::open(&self.place, lang).await?;
        let answer = if self.failures {
            let local = |node: &yagura_node::Node| Ok(node.source_failures());
            backend.ask("/api/v1/sources/failures", &[], local).await
        } else {
            backend.ask("/api/v1/sources", &[], |node| Ok(node.sources())).await
        };
        backend.close().await;
        self.print(&answer?, &zone, lang)?;
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, answer: &Value, zone: &TimeZone, lang: Lang) -> Result<()> {
        let list = match (self.failures, self.drift) {
            (true, _) => &answer["failures"],
            (_, true) => &answer["notices"],
            _ => &answer["sources"],
        };
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, Vec::new());
        for row in list.as_array().into_iter().flatten() {
            let row = match self.output {
                // Programs get everything as it is.
                Format::Json | Format::Jsonl => row.clone(),
                _ if self.failures => failure(row, zone, lang),
                _ if self.drift => notice(row, zone, lang),
                _ => source(row, zone, lang),
            };
            if let Value::Object(row) = row {
                writer.write(row)?;
            }
        }
        let written = writer.finish()?;
        self.talk(answer, written, lang);
        Ok(())
    }

    /// What a person should know besides the rows.
    fn talk(&self, answer: &Value, written: usize, lang: Lang) {
        if self.failures {
            if written > 0 {
                match lang {
                    Lang::En => eprintln!(
                        "once there is a mapping or a [[source]] for them: yagura reprocess"
                    ),
                    Lang::Ja => eprintln!(
                        "対応付けや [[source]] を加えたら yagura reprocess で読み直せます"
                    ),
                }
            }
            return;
        }
        let key = if lang == Lang::Ja { "ja" } else { "en" };
        for row in answer["sources"].as_array().into_iter().flatten() {
            if let Some(sentence) = row["proposal"][key].as_str().filter(|_| !self.drift) {
                let name = row["host.name"].as_str().or(row["yagura.peer"].as_str());
                eprintln!("! {}: {}", visible(name.unwrap_or_default()), visible(sentence));
            }
        }
        let others = answer["events_of_other_sources"].as_u64().unwrap_or_default();
        if others > 0 {
            match lang {
                Lang::En => eprintln!(
                    "! {others} events are of sources past the limit of what is told apart"
                ),
                Lang::Ja => {
                    eprintln!("! 区別できる数を超えた送信元のイベントが{others}件あります")
                }
            }
        }
    }
}

/// Named in the user's language; the order is that of the columns.
fn named(cells: Vec<(&str, &str, Value)>, lang: Lang) -> Value {
    let name = |ja: &str, en: &str| if lang == Lang::Ja { ja.to_owned() } else { en.to_owned() };
    let row: Row = cells.into_iter().map(|(ja, en, value)| (name(ja, en), value)).collect();
    Value::Object(row)
}

fn time(value: &Value, zone: &TimeZone) -> Value {
    value.as_str().map_or(Value::Null, |text| json!(shown_in(zone, text)))
}

fn source(row: &Value, zone: &TimeZone, lang: Lang) -> Value {
    let names = |value: &Value| -> Value {
        let mut names: Vec<(&String, u64)> = value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, count)| (name, count.as_u64().unwrap_or_default()))
            .collect();
        names.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        json!(names.into_iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "))
    };
    let percent = row["failure_rate"].as_f64().unwrap_or_default() * 100.0;
    let drift = match (row["drift"].as_str().unwrap_or_default(), lang) {
        ("learning", Lang::Ja) => "学習中",
        ("steady", Lang::Ja) => "変化なし",
        ("changed", Lang::Ja) => "変化あり",
        ("file", Lang::Ja) => "ファイル",
        (word, _) => word,
    };
    named(
        vec![
            ("ホスト", "host", row["host.name"].clone()),
            ("送り手", "peer", row["yagura.peer"].clone()),
            ("受信方法", "transport", row["yagura.transport"].clone()),
            ("最初", "first", time(&row["first"], zone)),
            ("最後", "last", time(&row["last"], zone)),
            ("件数", "events", row["events"].clone()),
            ("バイト", "bytes", row["bytes"].clone()),
            ("データセット", "datasets", names(&row["datasets"])),
            ("未読", "unread", json!(format!("{percent:.1}%"))),
            ("文字コード", "encoding", names(&row["encodings"])),
            ("時刻帯", "zone", row["zone"].clone()),
            ("時計のずれ", "skew", skew(&row["clock_skew_ms"])),
            ("書式の変化", "drift", json!(drift)),
        ],
        lang,
    )
}

/// `-9 h 00 m`, `+95 s`, `+0.4 s`; empty where it is not known.
fn skew(millis: &Value) -> Value {
    let Some(millis) = millis.as_i64() else { return Value::Null };
    let sign = if millis < 0 { '-' } else { '+' };
    let (seconds, rest) = (millis.unsigned_abs() / 1_000, millis.unsigned_abs() % 1_000);
    json!(match seconds {
        0..10 => format!("{sign}{seconds}.{} s", rest / 100),
        10..600 => format!("{sign}{seconds} s"),
        600..3_600 => format!("{sign}{} m", seconds / 60),
        _ => format!("{sign}{} h {:02} m", seconds / 3_600, seconds / 60 % 60),
    })
}

fn failure(row: &Value, zone: &TimeZone, lang: Lang) -> Value {
    named(
        vec![
            ("ホスト", "host", row["host.name"].clone()),
            ("送り手", "peer", row["yagura.peer"].clone()),
            ("理由", "reason", row["yagura.parse_error"].clone()),
            ("件数", "events", row["count"].clone()),
            ("最後", "last", time(&row["last"], zone)),
            ("例", "sample", row["sample"].clone()),
            ("イベントID", "event", row["event.id"].clone()),
        ],
        lang,
    )
}

fn notice(row: &Value, zone: &TimeZone, lang: Lang) -> Value {
    let sentence = if lang == Lang::Ja { "drift.sentence_ja" } else { "drift.sentence_en" };
    named(
        vec![
            ("時刻", "time", time(&row["@timestamp"], zone)),
            ("ホスト", "host", row["host.name"].clone()),
            ("送り手", "peer", row["yagura.peer"].clone()),
            ("内容", "what", row[sentence].clone()),
        ],
        lang,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skews_read_as_people_say_them() {
        let said = |millis: i64| skew(&json!(millis)).as_str().unwrap().to_owned();
        assert_eq!(said(-32_400_000), "-9 h 00 m");
        assert_eq!(said(95_000), "+95 s");
        assert_eq!(said(-400), "-0.4 s");
        assert_eq!(said(1_200_000), "+20 m");
        assert_eq!(skew(&Value::Null), Value::Null);
    }
}
