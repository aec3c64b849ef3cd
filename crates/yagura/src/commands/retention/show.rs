//! What `yagura retention` prints.

use crate::output::{Format, Row, RowWriter, visible};
use crate::zone::shown_in;
use anyhow::Result;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::process::ExitCode;
use yagura_event::Lang;

/// Named in the user's language; the order is that of the columns.
pub fn named(cells: Vec<(&str, &str, Value)>, lang: Lang) -> Row {
    let name = |ja: &str, en: &str| if lang == Lang::Ja { ja.to_owned() } else { en.to_owned() };
    cells.into_iter().map(|(ja, en, value)| (name(ja, en), value)).collect()
}

/// The member of a pair in the user's language.
fn in_lang(pair: &Value, lang: Lang) -> String {
    pair[lang.as_str()].as_str().unwrap_or_default().to_owned()
}

pub fn time(value: &Value, zone: &TimeZone) -> Value {
    value.as_str().map_or(Value::Null, |text| json!(shown_in(zone, text)))
}

/// Rows as programs get them, or as people do.
pub fn write(list: &Value, output: Format, shown: impl Fn(&Value) -> Row) -> Result<usize> {
    let mut writer = RowWriter::new(std::io::stdout().lock(), output, Vec::new());
    for row in list.as_array().into_iter().flatten() {
        writer.write(match output {
            Format::Json | Format::Jsonl => row.as_object().cloned().unwrap_or_default(),
            Format::Table | Format::Csv => shown(row),
        })?;
    }
    Ok(writer.finish()?)
}

pub fn streams(answer: &Value, output: Format, zone: &TimeZone, lang: Lang) -> Result<()> {
    let count = write(&answer["streams"], output, |row| stream(row, output, zone, lang))?;
    if count == 0 {
        match lang {
            Lang::En => eprintln!("nothing is kept yet"),
            Lang::Ja => eprintln!("保存されているイベントはまだありません"),
        }
    }
    match (answer["delete"] == true, lang) {
        (true, Lang::En) => eprintln!("what is past its maximum is deleted by itself"),
        (true, Lang::Ja) => eprintln!("最長期間を過ぎたものは自動で削除します"),
        (false, Lang::En) => eprintln!("nothing is deleted by itself: [retention] delete is false"),
        (false, Lang::Ja) => {
            eprintln!("自動では何も削除しません（[retention] delete が false のため）");
        }
    }
    if answer["shortening"] == true {
        match lang {
            Lang::En => eprintln!(
                "! configured policies are shorter than what holds (marked *): a second person must \
                 agree, yagura retention shorten"
            ),
            Lang::Ja => eprintln!(
                "! 設定のポリシーが現行より短くなっています（*印）。2人目の承認が必要です: yagura \
                 retention shorten"
            ),
        }
    }
    let waiting = answer["requests"].as_array().map_or(0, Vec::len);
    if waiting > 0 {
        match lang {
            Lang::En => eprintln!(
                "! {waiting} requests wait for a second person: yagura retention requests"
            ),
            Lang::Ja => {
                eprintln!(
                    "! 2人目の承認を待つ申請が{waiting}件あります: yagura retention requests"
                );
            }
        }
    }
    Ok(())
}

fn stream(row: &Value, output: Format, zone: &TimeZone, lang: Lang) -> Row {
    let policy = &row["policy"];
    let days = |key: &str| {
        let days = &row[key];
        match (days.is_null(), row["shortening"] == true && key != "immediate_days") {
            (true, _) => Value::Null,
            (false, true) => json!(format!("{days}*")),
            (false, false) => days.clone(),
        }
    };
    let mut why = vec![
        in_lang(&policy["authority.name"], lang),
        in_lang(&policy["kind.name"], lang),
        policy["reason"].as_str().unwrap_or_default().to_owned(),
    ];
    why.retain(|text| !text.is_empty());
    let deletion = match (row["deletion"].as_str().unwrap_or_default(), lang) {
        ("never", Lang::En) => json!("never"),
        ("never", Lang::Ja) => json!("削除しない"),
        ("off", Lang::En) => json!("switched off"),
        ("off", Lang::Ja) => json!("停止中"),
        ("due", Lang::En) => json!("due"),
        ("due", Lang::Ja) => json!("対象あり"),
        _ => time(&row["deletes_next"], zone),
    };
    let size = match output {
        Format::Table => {
            json!(indicatif::BinaryBytes(row["stored"].as_u64().unwrap_or_default()).to_string())
        }
        _ => row["stored"].clone(),
    };
    named(
        vec![
            ("ストリーム", "stream", row["yagura.stream"].clone()),
            ("イベント", "events", row["events"].clone()),
            ("保存", "stored", size),
            ("最古", "kept since", time(&row["kept_since"], zone)),
            ("最短（日）", "minimum (days)", days("minimum_days")),
            ("最長（日）", "maximum (days)", days("maximum_days")),
            ("手元（日）", "at hand (days)", days("immediate_days")),
            ("根拠", "why", json!(why.join(" / "))),
            ("次の削除", "next deletion", deletion),
            ("保全", "holds", row["holds"].clone()),
        ],
        lang,
    )
}

pub fn authorities(list: &Value, output: Format, lang: Lang) -> Result<()> {
    let text = |row: &Value, key: &str| row[format!("{key}_{}", lang.as_str())].clone();
    write(list, output, |row| {
        named(
            vec![
                ("ID", "id", row["id"].clone()),
                ("定めたもの", "authority", text(row, "name")),
                ("最短（日）", "minimum (days)", row["minimum_days"].clone()),
                ("手元（日）", "at hand (days)", row["immediate_days"].clone()),
                ("内容", "what it says", text(row, "note")),
                ("出典", "source", text(row, "source")),
            ],
            lang,
        )
    })?;
    Ok(())
}

pub fn forecast(answer: &Value, output: Format, lang: Lang) -> Result<()> {
    let size = |value: &Value| match (output, value.as_u64()) {
        (Format::Table, Some(bytes)) => json!(indicatif::BinaryBytes(bytes).to_string()),
        _ => value.clone(),
    };
    let text = |value: &Value| size(value).as_str().unwrap_or_default().to_owned();
    if output == Format::Json || output == Format::Jsonl {
        write(&json!([answer]), output, |_| Row::new())?;
        return Ok(());
    }
    write(&answer["streams"], output, |row| {
        let enough = match (row["full_before_minimum"] == true, lang) {
            (true, Lang::En) => "no",
            (true, Lang::Ja) => "足りない",
            (false, Lang::En) => "yes",
            (false, Lang::Ja) => "足りる",
        };
        named(
            vec![
                ("ストリーム", "stream", row["yagura.stream"].clone()),
                ("保存", "stored", size(&row["stored"])),
                ("1日あたり", "a day", size(&row["per_day"])),
                ("最短（日）", "minimum (days)", row["minimum_days"].clone()),
                ("最短までの容量", "room for the minimum", json!(enough)),
            ],
            lang,
        )
    })?;
    if output != Format::Table {
        return Ok(());
    }
    let (day, busiest) = (text(&answer["per_day"]), text(&answer["busiest_day"]));
    let (free, measured) = (text(&answer["free"]), &answer["days_measured"]);
    match lang {
        Lang::En => eprintln!(
            "{free} free; {day} a day over {measured} whole days, {busiest} on the busiest"
        ),
        Lang::Ja => {
            eprintln!("空き{free}、1日あたり{day}（{measured}日間の平均）、最多の日は{busiest}")
        }
    }
    let on = |key: &str| visible(answer[key].as_str().unwrap_or_default()).into_owned();
    match (answer["full_in_days"].as_u64(), lang) {
        (None, Lang::En) => eprintln!("the disk does not fill within ten years"),
        (None, Lang::Ja) => eprintln!("今後10年はディスクが満杯になりません"),
        (Some(days), Lang::En) => eprintln!(
            "the disk is full on {}, in {days} days; were every day as busy as the busiest, on {}",
            on("full_on"),
            on("full_on_if_busy"),
        ),
        (Some(days), Lang::Ja) => eprintln!(
            "ディスクは{}（あと{days}日）に満杯になります。毎日が最多の日並みなら{}です",
            on("full_on"),
            on("full_on_if_busy"),
        ),
    }
    Ok(())
}

pub fn requests(list: &Value, output: Format, zone: &TimeZone, lang: Lang) -> Result<()> {
    let count = write(list, output, |row| {
        let state = match (row["request.state"].as_str().unwrap_or_default(), lang) {
            ("open", Lang::Ja) => "承認待ち",
            ("approved", Lang::Ja) => "承認済み",
            ("done", Lang::Ja) => "実行済み",
            ("withdrawn", Lang::Ja) => "取り下げ",
            ("expired", Lang::Ja) => "期限切れ",
            ("open", Lang::En) => "waits",
            (other, _) => other,
        };
        let what = match (row["request.kind"] == "delete", lang) {
            (true, Lang::En) => "delete",
            (true, Lang::Ja) => "削除",
            (false, Lang::En) => "shorten policies",
            (false, Lang::Ja) => "ポリシーの短縮",
        };
        named(
            vec![
                ("ID", "id", row["request.id"].clone()),
                ("状態", "state", json!(state)),
                ("内容", "what", json!(what)),
                ("ストリーム", "stream", row["yagura.stream"].clone()),
                ("これより前", "before", time(&row["before"], zone)),
                ("対象", "events", row["preview"]["records"].clone()),
                ("ピン留め", "pinned", row["preview"]["events.pinned"].clone()),
                ("申請者", "asked by", row["user.name"].clone()),
                ("理由", "reason", row["reason"].clone()),
                ("承認者", "approved by", row["approved"]["user.name"].clone()),
                ("期限", "expires", time(&row["expires"], zone)),
            ],
            lang,
        )
    })?;
    if count == 0 {
        match lang {
            Lang::En => eprintln!("no requests"),
            Lang::Ja => eprintln!("申請はありません"),
        }
    }
    Ok(())
}

/// Counts of a run, as rows and in words.
pub fn counts(done: &Value, output: Format, lang: Lang) -> Result<ExitCode> {
    if output != Format::Table {
        write(&json!([done]), output, |row| row.as_object().cloned().unwrap_or_default())?;
    }
    say_counts(done, lang)
}

/// Says that the bytes of pinned events outlive their batches.
pub fn say_pinned(pinned: u64, lang: Lang) {
    match (pinned, lang) {
        (0, _) => {}
        (_, Lang::En) => eprintln!(
            "{pinned} of them are pinned: their bytes and proofs stay until they are unpinned (yagura ledger \
             pins)"
        ),
        (_, Lang::Ja) => eprintln!(
            "うち{pinned}件はピン留めされています。ピンを外すまで、内容と証明が残ります（yagura ledger pins）"
        ),
    }
}

/// Counts of a run; what could not be deleted ends with 1.
pub fn say_counts(done: &Value, lang: Lang) -> Result<ExitCode> {
    let count = |key: &str| done[key].as_u64().unwrap_or_default();
    let (batches, records) = (count("batches"), count("records"));
    match lang {
        Lang::En => eprintln!("deleted: {records} events in {batches} batches"),
        Lang::Ja => eprintln!("イベント{records}件（バッチ{batches}個）を削除しました"),
    }
    say_pinned(count("events.pinned"), lang);
    let (held, waiting) = (count("batches.held"), count("batches.in_journal"));
    if held > 0 {
        match lang {
            Lang::En => eprintln!("kept: {held} batches under a legal hold"),
            Lang::Ja => eprintln!("保全中のバッチ{held}個は残しました"),
        }
    }
    if waiting > 0 {
        match lang {
            Lang::En => eprintln!("kept for now: {waiting} batches that the journal still has"),
            Lang::Ja => eprintln!("ジャーナルにまだあるバッチ{waiting}個は、次回に回しました"),
        }
    }
    let changed = done["files.changed"].as_array().map(Vec::as_slice).unwrap_or_default();
    for file in changed {
        let file = visible(file.as_str().unwrap_or_default()).into_owned();
        match lang {
            Lang::En => eprintln!("✗ {file}: was changed, left as it is; run yagura verify"),
            Lang::Ja => eprintln!(
                "✗ {file}: 改変されているため残しました。yagura verify で確認してください"
            ),
        }
    }
    Ok(if changed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
