//! The demo: an intrusion among an hour of ordinary traffic, and what Yagura says of it.

use crate::dice::Dice;
use crate::play;
use crate::server::Server;
use crate::timeline::Timeline;
use crate::{intrusion, ordinary};
use anyhow::{Context, Result, bail};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

struct Words {
    starting: &'static str,
    playing: &'static str,
    first: &'static str,
    sent: &'static str,
    alerts: &'static str,
    missed: &'static str,
    levels: [(&'static str, &'static str); 5],
    proof: &'static str,
    no_python: &'static str,
    page: &'static str,
    next: &'static str,
    stop: &'static str,
    stopped: &'static str,
}

const EN: Words = Words {
    starting: "Starting Yagura on a fresh directory",
    playing: "Playing an hour of a hospital's logs through the real syslog and HTTP ports",
    first: "First sentence",
    sent: "messages sent; all are stored and searchable",
    alerts: "Alerts, in the order things happened",
    missed: "no alert was raised for these acts, which is a fault; please report it",
    levels: [
        ("informational", "informational"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("critical", "critical"),
    ],
    proof: "One event proved, offline, with public tools only",
    no_python: "python3 is not installed; check it elsewhere with docs/format/verify.py",
    page: "Look around",
    next: "Try next",
    stop: "Press Ctrl-C to end the demo; its directory is then removed.",
    stopped: "Stopped cleanly.",
};

const JA: Words = Words {
    starting: "空のディレクトリで櫓（Yagura）を起動します",
    playing: "病院の1時間分のログを、本物のsyslogポートとHTTPポートへ流します",
    first: "最初の文",
    sent: "件を送信し、すべて保存され検索できます",
    alerts: "アラート（起きた順）",
    missed: "次の行為にアラートが出ませんでした。これは不具合です。ご報告ください",
    levels: [
        ("informational", "情報"),
        ("low", "低"),
        ("medium", "中"),
        ("high", "高"),
        ("critical", "重大"),
    ],
    proof: "1件のイベントを、公開ツールだけでオフライン証明",
    no_python: "python3がないため、ここでは検証していません。docs/format/verify.py で検証できます",
    page: "画面",
    next: "次に試せること",
    stop: "Ctrl-C で終了します。デモのディレクトリは終了時に消えます。",
    stopped: "正常に終了しました。",
};

/// What the intruder does, and the rules of ours one of which tells of it.
const ACTS: [((&str, &str), &[&str]); 8] = [
    (
        ("VPN password guessed", "VPN のパスワード総当たり"),
        &["35907080-8412-4b9f-8493-aa14a7f37c7b"],
    ),
    (("remote desktop", "リモートデスクトップ"), &["0e7990ed-18e0-4107-8ecc-cf5ca86b9616"]),
    (
        ("Defender switched off", "Defender の無効化"),
        &["5ad7bedd-7e93-4ee9-b710-06df8a420a4a", "80bca135-4c37-4990-8cbd-52c29e5d0ea2"],
    ),
    (("LSASS read", "LSASS の読み取り"), &["e9a357b8-e938-4782-a6c0-7eba3e2dd916"]),
    (
        ("program written to administrative shares", "管理共有へのプログラムの書き込み"),
        &["e7fa6799-b16c-40b2-9793-d5c42169f6c1"],
    ),
    (("files changed in bulk", "ファイルの大量変更"), &["1739e520-e879-4605-b6a9-6ef759ebbfd8"]),
    (("shadow copies deleted", "シャドウコピーの削除"), &["34a46a4a-26a0-4aba-ac02-80ba9d40816c"]),
    (("log cleared", "ログの消去"), &["5285ee70-4402-453e-8103-31c7a14e67b7"]),
];

/// How long the last alert may take; it follows its event by less than a second.
const ALERTS_WAIT: Duration = Duration::from_secs(120);

/// Runs the demo to its end, or until Ctrl-C.
pub async fn run(yagura: &Path, lang: &str, seconds: u64, exit: bool) -> Result<()> {
    let words = if lang == "ja" { &JA } else { &EN };
    let lang = if lang == "ja" { "ja" } else { "en" };
    // Before there is anything to clean up.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let scratch = tempfile::Builder::new().prefix("yagura-demo-").tempdir()?;
    let data = scratch.path().join("data");
    println!("\n■ {}  ({})", words.starting, data.display());
    // One guess at a password is no alert on a busy day; the demo shows how it would look.
    let config = scratch.path().join("yagura.toml");
    std::fs::write(&config, "[alerts]\nmin_level = \"low\"\n")?;
    let config = config.to_string_lossy().into_owned();
    let arguments = ["--lang", lang, "--config", &config];
    let server = tokio::select! {
        started = Server::start(yagura, &data, &arguments) => started?,
        // Dropped on its way, the server is killed.
        _ = interrupt.recv() => {
            println!("\n{}", words.stopped);
            return Ok(());
        }
    };
    let ended = tokio::select! {
        result = show(yagura, &server, lang, words, seconds, scratch.path()) => result.map(|()| exit),
        _ = interrupt.recv() => Ok(true),
    };
    let stop_now = matches!(ended, Ok(true) | Err(_));
    if !stop_now {
        println!("\n{}", words.stop);
        interrupt.recv().await;
    }
    let stopped = server.stop().await;
    ended?;
    stopped?;
    println!("\n{}", words.stopped);
    Ok(())
}

async fn show(
    yagura: &Path,
    server: &Server,
    lang: &str,
    words: &Words,
    seconds: u64,
    scratch: &Path,
) -> Result<()> {
    let base = server.ports.http.as_str();
    let mut timeline = Timeline::starting_at(Timestamp::now() - SignedDuration::from_mins(60));
    ordinary::play(&mut timeline, &mut Dice::new(6_200));
    intrusion::play(&mut timeline);
    let messages = timeline.into_sorted();
    println!("■ {} ({}, {seconds} s)", words.playing, messages.len());
    let sentence = tokio::spawn(first_sentence(base.to_owned(), lang.to_owned()));
    let duration = Duration::from_secs(seconds.max(1));
    let draws = std::io::stdout().is_terminal();
    let sent = play::play(messages, &server.ports, duration, |share| {
        if !draws {
            return;
        }
        print!("\r  [{:<40}] {:>3.0} %", "#".repeat((share * 40.0) as usize), share * 100.0);
        let _ = std::io::stdout().flush();
    })
    .await?;
    if draws {
        println!("\r  [{:<40}] 100 %", "#".repeat(40));
    }
    println!("  {}: {}", words.first, sentence.await??);
    wait_until_searchable(base, sent as u64).await?;
    println!("  {sent} {}", words.sent);
    let proven = print_alerts(base, lang, words).await?;
    prove(yagura, (base, lang), &proven, words, scratch)?;
    println!("\n■ {}: {base}/", words.page);
    println!("\n■ {}:", words.next);
    let command = yagura.display();
    let tongue = if lang == "ja" { " --lang ja" } else { "" };
    for example in [
        format!("{command} search{tongue} --server {base} 'user.name:vendor01' --output sentence"),
        format!(
            "{command} search{tongue} --server {base} 'カルテ | stats count() by user.name' --output table"
        ),
        format!("{command} alerts{tongue} --server {base}"),
        format!("{command} verify{tongue} --server {base}"),
        format!("logger -n 127.0.0.1 -T -P {} --rfc5424 hello", server.ports.syslog_tcp.port()),
    ] {
        println!("  {example}");
    }
    Ok(())
}

async fn get(url: String) -> Result<Value> {
    let answer = reqwest::get(&url).await.with_context(|| format!("GET {url}"))?;
    let status = answer.status();
    let text = answer.text().await?;
    if !status.is_success() {
        bail!("GET {url} answered {status}: {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("GET {url} did not answer JSON"))
}

async fn first_sentence(base: String, lang: String) -> Result<String> {
    for _ in 0..600 {
        let found = get(format!("{base}/api/v1/search?limit=1")).await?;
        if let Some(text) = found["rows"][0]["sentence"][&lang].as_str() {
            return Ok(text.to_owned());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("no event could be searched within a minute")
}

/// Waits until as many events are stored as were sent (UDP on loopback loses none in practice;
/// what it lost would be seen here).
async fn wait_until_searchable(base: &str, sent: u64) -> Result<()> {
    let mut stored = 0;
    for _ in 0..300 {
        let sql = serde_json::json!({ "sql": "select count(*) as n from events" }).to_string();
        let answer = reqwest::Client::new()
            .post(format!("{base}/api/v1/sql"))
            .header("content-type", "application/json")
            .body(sql)
            .send()
            .await?
            .text()
            .await?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        stored = answer["rows"][0]["n"].as_u64().unwrap_or(0);
        if stored >= sent {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("{sent} messages were sent, but only {stored} can be searched after 30 s")
}

/// Prints the alerts in order of what happened and returns the id of the most telling event.
async fn print_alerts(base: &str, lang: &str, words: &Words) -> Result<String> {
    let began = tokio::time::Instant::now();
    let mut alerts = loop {
        let found = get(format!("{base}/api/v1/alerts?limit=500")).await?;
        let alerts = found["alerts"].as_array().cloned().unwrap_or_default();
        let missed = missed(&alerts, lang);
        if missed.is_empty() {
            break alerts;
        }
        if began.elapsed() > ALERTS_WAIT {
            bail!("{}: {}", words.missed, missed.join(", "));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    println!("\n■ {} ({})", words.alerts, alerts.len());
    alerts.sort_by_key(|alert| alert["first_seen"].as_str().unwrap_or_default().to_owned());
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    let mut telling = None;
    for alert in &alerts {
        let text = |key: &str| alert[key].as_str().unwrap_or_default();
        let name = match lang {
            "ja" if !text("rule.name_ja").is_empty() => text("rule.name_ja"),
            _ => text("rule.name"),
        };
        let level = words.levels.iter().find(|(level, _)| *level == text("rule.level"));
        let level = level.map_or(text("rule.level"), |(_, word)| *word);
        let time = local_time(&zone, text("first_seen"));
        println!("  {time}  {level:<8}  {name}  ×{}", alert["count"]);
        println!("             {}", alert["sentence"][lang].as_str().unwrap_or_default());
        if telling.is_none() || text("rule.level") == "critical" {
            telling = alert["event.ids"][0].as_str().map(str::to_owned);
        }
    }
    telling.context("no alert names its event")
}

/// The acts that no alert tells of.
fn missed(alerts: &[Value], lang: &str) -> Vec<&'static str> {
    let told = |rule: &&str| alerts.iter().any(|alert| alert["rule.uuid"] == **rule);
    let acts = ACTS.iter().filter(|(_, rules)| !rules.iter().any(told));
    acts.map(|((en, ja), _)| if lang == "ja" { *ja } else { *en }).collect()
}

/// The time of day of an instant, with the zone's offset.
fn local_time(zone: &TimeZone, utc: &str) -> String {
    let instant = utc.parse::<Timestamp>();
    instant
        .map_or(utc.to_owned(), |at| at.to_zoned(zone.clone()).strftime("%H:%M:%S%:z").to_string())
}

fn prove(
    yagura: &Path,
    (base, lang): (&str, &str),
    id: &str,
    words: &Words,
    scratch: &Path,
) -> Result<()> {
    println!("\n■ {}", words.proof);
    let proof = scratch.join("event.proof");
    let status = Command::new(yagura)
        .args(["prove", "--lang", lang, "--server", base, id, "--out"])
        .arg(&proof)
        .stdout(std::process::Stdio::null())
        .status()?;
    if !status.success() {
        bail!("yagura prove {id} ended with {status}");
    }
    println!("  {id}: {} ({} B)", proof.display(), std::fs::metadata(&proof)?.len());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/format/verify.py");
    let key = scratch.join("data/keys/events.vkey");
    match Command::new("python3").arg(script).arg(&proof).arg(&key).output() {
        Ok(checked) if checked.status.success() => {
            println!("  python3 docs/format/verify.py event.proof events.vkey");
            for line in String::from_utf8_lossy(&checked.stdout).lines().take(6) {
                println!("    {line}");
            }
            Ok(())
        }
        Ok(checked) => bail!("the proof was refused: {}", String::from_utf8_lossy(&checked.stderr)),
        Err(_) => {
            println!("  {}", words.no_python);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_act_without_its_alert_is_named() {
        let all: Vec<Value> =
            ACTS.iter().map(|(_, rules)| json!({"rule.uuid": rules[0]})).collect();
        assert!(missed(&all, "en").is_empty());
        assert_eq!(missed(&all[1..], "en"), ["VPN password guessed"]);
        assert_eq!(missed(&[], "ja").len(), 8);
    }

    #[test]
    fn times_are_those_of_the_zone() {
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        assert_eq!(local_time(&tokyo, "2026-11-21T23:30:00.250Z"), "08:30:00+09:00");
        assert_eq!(local_time(&tokyo, "unknown"), "unknown");
    }
}
