//! The demo: an intrusion among an hour of ordinary traffic, and what Yagura says of it.

use crate::dice::Dice;
use crate::play;
use crate::server::Server;
use crate::timeline::Timeline;
use crate::{intrusion, ordinary};
use anyhow::{Context, Result, bail};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

struct Words {
    starting: &'static str,
    playing: &'static str,
    first: &'static str,
    sent: &'static str,
    alerts: &'static str,
    none: &'static str,
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
    none: "no alert was raised, which is a fault: please report it",
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
    none: "アラートが出ませんでした。これは不具合です。ご報告ください",
    proof: "1件のイベントを、公開ツールだけでオフライン証明",
    no_python: "python3がないため、ここでは検証していません。docs/format/verify.py で検証できます",
    page: "画面",
    next: "次に試せること",
    stop: "Ctrl-C で終了します。デモのディレクトリは終了時に消えます。",
    stopped: "正常に終了しました。",
};

/// Runs the demo to its end, or until Ctrl-C.
pub async fn run(yagura: &Path, lang: &str, seconds: u64, exit: bool) -> Result<()> {
    let words = if lang == "ja" { &JA } else { &EN };
    let lang = if lang == "ja" { "ja" } else { "en" };
    let scratch = tempfile::Builder::new().prefix("yagura-demo-").tempdir()?;
    let data = scratch.path().join("data");
    println!("\n■ {}  ({})", words.starting, data.display());
    // One guess at a password is no alert on a busy day; the demo shows how it would look.
    let config = scratch.path().join("yagura.toml");
    std::fs::write(&config, "[alerts]\nmin_level = \"low\"\n")?;
    let config = config.to_string_lossy().into_owned();
    let server = Server::start(yagura, &data, &["--lang", lang, "--config", &config]).await?;
    let ended = tokio::select! {
        result = show(yagura, &server, lang, words, seconds, scratch.path()) => result.map(|()| exit),
        _ = tokio::signal::ctrl_c() => Ok(true),
    };
    let stop_now = matches!(ended, Ok(true) | Err(_));
    if !stop_now {
        println!("\n{}", words.stop);
        tokio::signal::ctrl_c().await?;
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
    prove(yagura, base, &proven, words, scratch)?;
    println!("\n■ {}: {base}/", words.page);
    println!("\n■ {}:", words.next);
    let command = yagura.display();
    for example in [
        format!("{command} search --server {base} 'user.name:vendor01' --output sentence"),
        format!(
            "{command} search --server {base} 'カルテ | stats count() by user.name' --output table"
        ),
        format!("{command} alerts --server {base} --lang {lang}"),
        format!("{command} verify --server {base}"),
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
    // Alerts follow their events by less than a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let found = get(format!("{base}/api/v1/alerts?limit=500")).await?;
    let mut alerts = found["alerts"].as_array().cloned().unwrap_or_default();
    println!("\n■ {} ({})", words.alerts, alerts.len());
    if alerts.is_empty() {
        bail!("{}", words.none);
    }
    alerts.sort_by_key(|alert| alert["first_seen"].as_str().unwrap_or_default().to_owned());
    let mut telling = None;
    for alert in &alerts {
        let text = |key: &str| alert[key].as_str().unwrap_or_default();
        let name = match lang {
            "ja" if !text("rule.name_ja").is_empty() => text("rule.name_ja"),
            _ => text("rule.name"),
        };
        let time = text("first_seen").get(11..19).unwrap_or_default();
        println!("  {time}Z  {:<8}  {name}  ×{}", text("rule.level"), alert["count"]);
        println!("             {}", alert["sentence"][lang].as_str().unwrap_or_default());
        if telling.is_none() || text("rule.level") == "critical" {
            telling = alert["event.ids"][0].as_str().map(str::to_owned);
        }
    }
    telling.context("no alert names its event")
}

fn prove(yagura: &Path, base: &str, id: &str, words: &Words, scratch: &Path) -> Result<()> {
    println!("\n■ {}", words.proof);
    let proof = scratch.join("event.proof");
    let status = Command::new(yagura)
        .args(["prove", "--server", base, id, "--out"])
        .arg(&proof)
        .stdout(std::process::Stdio::null())
        .status()?;
    if !status.success() {
        bail!("yagura prove {id} ended with {status}");
    }
    println!("  {id}: {} ({} bytes)", proof.display(), std::fs::metadata(&proof)?.len());
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
