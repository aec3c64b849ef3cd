//! Benchmarks of the whole server on real logs: what goes in per second and core, how soon it can
//! be searched, how soon an alert is there, and what it costs.
//!
//! The sender runs on the same machine and competes for its cores, so rates are what a machine
//! reaches that also makes the load. CPU seconds are the server's own.

use crate::load;
use crate::server::Server;
use crate::usage::{Usage, usage};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Every benchmark there is.
pub const NAMES: [&str; 4] = ["start", "otrf", "syslog", "latency"];

/// How long a benchmark waits for the server to catch up.
const CATCH_UP: Duration = Duration::from_secs(300);

/// Runs the named benchmarks, or all.
pub async fn run(yagura: &Path, names: &[String], seconds: u64) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| !NAMES.contains(&name.as_str())) {
        bail!("no benchmark {unknown:?}; there are {}", NAMES.join(", "));
    }
    let chosen = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let corpora = load::corpora()?;
    let rules = corpora.join("sigma");
    println!("| benchmark | figure | value |\n|---|---|---|");
    if chosen("start") {
        start(yagura, &rules).await?;
    }
    if chosen("otrf") {
        let lines = load::otrf(&corpora, 400_000_000)?;
        bulk(yagura, &rules, &lines, seconds).await?;
    }
    if chosen("syslog") {
        let lines = load::syslog(&corpora)?;
        syslog(yagura, &rules, &lines, seconds).await?;
    }
    if chosen("latency") {
        let lines = load::otrf(&corpora, 50_000_000)?;
        latency(yagura, &rules, &lines, seconds).await?;
    }
    Ok(())
}

fn figure(benchmark: &str, figure: &str, value: impl std::fmt::Display) {
    println!("| {benchmark} | {figure} | {value} |");
}

async fn open(yagura: &Path, rules: &Path, data: &Path) -> Result<Server> {
    let rules = rules.to_string_lossy().into_owned();
    Server::start(yagura, data, &["--rules", &rules]).await
}

async fn start(yagura: &Path, rules: &Path) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    for run in ["first start", "second start"] {
        let began = Instant::now();
        let server = open(yagura, rules, &scratch.path().join("data")).await?;
        let took = began.elapsed().as_secs_f64();
        let usage = usage(&server)?;
        figure("start", &format!("{run}, all SigmaHQ rules, to listening"), format!("{took:.2} s"));
        figure("start", &format!("{run}, CPU"), format!("{:.2} s", usage.cpu_s));
        let status = status(&server).await?;
        figure(
            "start",
            "rules loaded / refused",
            format!("{} / {}", status["rules"]["loaded"], status["rules"]["refused"]),
        );
        server.stop().await?;
    }
    Ok(())
}

async fn bulk(yagura: &Path, rules: &Path, lines: &[String], seconds: u64) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let server = open(yagura, rules, &scratch.path().join("data")).await?;
    let bodies: Vec<String> = lines
        .chunks(500)
        .map(|chunk| {
            chunk.iter().fold(String::new(), |body, line| body + "{\"create\":{}}\n" + line + "\n")
        })
        .collect();
    let http = reqwest::Client::new();
    let before = usage(&server)?;
    let (began, mut sent, mut bytes, mut busy) = (Instant::now(), 0, 0, 0_u64);
    let mut waiting = tokio::task::JoinSet::new();
    'load: loop {
        for (body, chunk) in bodies.iter().zip(lines.chunks(500)) {
            if began.elapsed().as_secs() >= seconds {
                break 'load;
            }
            while waiting.len() >= 4 {
                busy += joined(waiting.join_next().await)?;
            }
            sent += chunk.len();
            bytes += chunk.iter().map(String::len).sum::<usize>();
            let url = format!("{}/otrf/_bulk", server.ports.http);
            waiting.spawn(post_until_taken(http.clone(), url, body.clone()));
        }
    }
    while let Some(done) = waiting.join_next().await {
        busy += joined(Some(done))?;
    }
    let acknowledged = began.elapsed().as_secs_f64();
    caught_up(&server, sent as u64).await?;
    report("otrf", &server, &before, began, acknowledged, sent, bytes).await?;
    figure("otrf", "requests answered 429 and sent again", busy);
    sizes("otrf", &server, bytes as f64 / sent as f64).await
}

fn joined(done: Option<Result<Result<u64>, tokio::task::JoinError>>) -> Result<u64> {
    done.context("no request was waiting")??
}

/// Posts a bulk body until the server takes it; answers how often it said 429.
pub async fn post_until_taken(http: reqwest::Client, url: String, body: String) -> Result<u64> {
    for refused in 0..10_000 {
        let answer = http
            .post(&url)
            .header("content-type", "application/x-ndjson")
            .body(body.clone())
            .send()
            .await?;
        let status = answer.status();
        let text = answer.text().await?;
        if status.is_success() && text.contains("\"errors\":false") {
            return Ok(refused);
        }
        if status.as_u16() != 429 && !text.contains("\"status\":429") {
            bail!("_bulk answered {status}: {text}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("_bulk answered 429 for minutes")
}

async fn syslog(yagura: &Path, rules: &Path, lines: &[String], seconds: u64) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let server = open(yagura, rules, &scratch.path().join("data")).await?;
    let mut block = Vec::new();
    for line in lines {
        block.extend_from_slice(format!("{} {line}", line.len()).as_bytes());
    }
    let mut connection = TcpStream::connect(server.ports.syslog_tcp).await?;
    let before = usage(&server)?;
    let (began, mut sent, mut bytes) = (Instant::now(), 0, 0);
    while began.elapsed().as_secs() < seconds {
        connection.write_all(&block).await?;
        sent += lines.len();
        bytes += lines.iter().map(String::len).sum::<usize>();
    }
    connection.shutdown().await?;
    let handed_over = began.elapsed().as_secs_f64();
    caught_up(&server, sent as u64).await?;
    report("syslog", &server, &before, began, handed_over, sent, bytes).await?;
    sizes("syslog", &server, bytes as f64 / sent as f64).await
}

/// What every throughput benchmark says; called when all that was sent is searchable.
async fn report(
    name: &str,
    server: &Server,
    before: &Usage,
    began: Instant,
    acknowledged_s: f64,
    sent: usize,
    bytes: usize,
) -> Result<()> {
    let wall = began.elapsed().as_secs_f64();
    let after = usage(server)?;
    let cpu = after.cpu_s - before.cpu_s;
    let events = sent as f64;
    figure(name, "events, mean bytes", format!("{sent}, {:.0}", bytes as f64 / events));
    figure(name, "acknowledged per second", format!("{:.0}", events / acknowledged_s));
    figure(name, "searchable, all rules matched, per second", format!("{:.0}", events / wall));
    figure(name, "server CPU per event", format!("{:.1} µs", cpu / events * 1e6));
    let sealed_s = sealed(server, sent as u64, began).await?;
    figure(name, "sealed and signed, per second", format!("{:.0}", events / sealed_s));
    figure(name, "events per server core-second", format!("{:.0}", events / cpu));
    figure(name, "peak resident memory", format!("{:.0} MiB", after.peak_mib));
    let status = status(server).await?;
    let counters = &status["counters"];
    for part in ["normalize", "detect", "add"] {
        let nanos = counters[format!("pipeline.{part}_nanos")].as_f64().unwrap_or(0.0);
        figure(
            name,
            &format!("pipeline: {part}, per event"),
            format!("{:.1} µs", nanos / events / 1e3),
        );
    }
    figure(
        name,
        "rule matches, alerts",
        format!("{}, {}", counters["pipeline.matches"], counters["desk.alerts"]),
    );
    Ok(())
}

/// The table against what was received for it; says nothing while all is still in memory.
async fn sizes(name: &str, server: &Server, received_per_row: f64) -> Result<()> {
    let status = status(server).await?;
    let stored = status["counters"]["lake.file_bytes"].as_u64().unwrap_or(0);
    let rows = status["counters"]["lake.file_rows"].as_u64().unwrap_or(0);
    if stored > 0 {
        let ratio = received_per_row * rows as f64 / stored as f64;
        figure(name, "table ÷ received, at flush", format!("1/{ratio:.1} ({rows} rows)"));
    }
    Ok(())
}

/// 5,000 events a second; twenty a second of them are watched.
async fn latency(yagura: &Path, rules: &Path, lines: &[String], seconds: u64) -> Result<()> {
    const RATE: u64 = 5_000;
    const TICKS: u64 = 20;
    let scratch = tempfile::tempdir()?;
    let server = open(yagura, rules, &scratch.path().join("data")).await?;
    let base = server.ports.http.clone();
    let http = reqwest::Client::new();
    let (seen_sender, mut seen) = tokio::sync::mpsc::channel::<(String, Instant)>(10_000);
    let watcher = tokio::spawn(watch_tail(base.clone(), seen_sender));
    let alerts = tokio::spawn(watch_alerts(base.clone()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut sent_at = HashMap::new();
    let mut acknowledged_at = HashMap::new();
    let mut ticker = tokio::time::interval(Duration::from_millis(1000 / TICKS));
    ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut load = lines.iter().cycle();
    let mut ack_ms = Vec::new();
    let began = Instant::now();
    for tick in 0..seconds * TICKS {
        ticker.tick().await;
        let token = format!("needle{tick:06}");
        let mut body = String::new();
        for line in load.by_ref().take((RATE / TICKS) as usize - 1) {
            body.push_str(line);
            body.push('\n');
        }
        // A cleared event log on a host of its own: one alert each.
        body.push_str(
            &json!({
                "@timestamp": "2026-11-21T00:00:00.000Z", "EventID": 1102, "Channel": "Security",
                "SourceName": "Microsoft-Windows-Eventlog", "Hostname": token,
                "SubjectUserName": token, "Message": token,
            })
            .to_string(),
        );
        let begun = Instant::now();
        sent_at.insert(token.clone(), begun);
        let answer = http.post(format!("{base}/api/v1/ingest")).body(body).send().await?;
        if !answer.status().is_success() {
            bail!("ingest answered {}: {}", answer.status(), answer.text().await?);
        }
        ack_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        acknowledged_at.insert(token, Instant::now());
    }
    let rate = (seconds * RATE) as f64 / began.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_secs(3)).await;
    watcher.abort();
    let mut searchable_ms = Vec::new();
    while let Ok((token, at)) = seen.try_recv() {
        if let Some(acknowledged) = acknowledged_at.get(&token) {
            searchable_ms.push(at.saturating_duration_since(*acknowledged).as_secs_f64() * 1e3);
        }
    }
    alerts.abort();
    let raised = ALERTS_SEEN.lock().map(|seen| seen.clone()).unwrap_or_default();
    let mut alert_ms = Vec::new();
    for (token, at) in raised {
        if let Some(sent) = sent_at.get(&token) {
            alert_ms.push(at.saturating_duration_since(*sent).as_secs_f64() * 1e3);
        }
    }
    let watched = acknowledged_at.len();
    figure("latency", "offered, sustained per second", format!("{RATE}, {rate:.0}"));
    for (what, mut values) in [
        ("sent to acknowledged (durable)", ack_ms),
        ("acknowledged to searchable", searchable_ms),
        ("sent to alert", alert_ms),
    ] {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values.get(((values.len() as f64 - 1.0) * share) as usize).copied();
        let shown = |share| at(share).map_or("none".to_owned(), |ms| format!("{ms:.0} ms"));
        figure(
            "latency",
            &format!("{what}: p50, p99, max ({} of {watched})", values.len()),
            format!("{}, {}, {}", shown(0.5), shown(0.99), shown(1.0)),
        );
    }
    let usage = usage(&server)?;
    figure("latency", "peak resident memory", format!("{:.0} MiB", usage.peak_mib));
    Ok(())
}

/// When each alert was first listed; filled by [`watch_alerts`].
static ALERTS_SEEN: std::sync::Mutex<Vec<(String, Instant)>> = std::sync::Mutex::new(Vec::new());

async fn watch_tail(
    base: String,
    seen: tokio::sync::mpsc::Sender<(String, Instant)>,
) -> Result<()> {
    let url = format!("{base}/api/v1/tail?query=host.name:needle*");
    let mut answer = reqwest::get(url).await?;
    let mut text = String::new();
    while let Some(chunk) = answer.chunk().await? {
        let at = Instant::now();
        text.push_str(&String::from_utf8_lossy(&chunk));
        while let Some(end) = text.find("\n\n") {
            let event: String = text.drain(..end + 2).collect();
            if let Some(data) = event.trim().strip_prefix("data:") {
                let row: Value = serde_json::from_str(data.trim()).unwrap_or_default();
                let host = row["host.name"].as_str().unwrap_or_default().to_owned();
                seen.send((host, at)).await?;
            }
        }
    }
    Ok(())
}

async fn watch_alerts(base: String) -> Result<()> {
    let mut known = std::collections::HashSet::new();
    loop {
        let answer = reqwest::get(format!("{base}/api/v1/alerts?limit=200&text=needle")).await?;
        let at = Instant::now();
        let page: Value = serde_json::from_str(&answer.text().await?)?;
        for alert in page["alerts"].as_array().into_iter().flatten() {
            let host = alert["host.name"].as_str().unwrap_or_default().to_owned();
            if known.insert(host.clone())
                && let Ok(mut seen) = ALERTS_SEEN.lock()
            {
                seen.push((host, at));
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn status(server: &Server) -> Result<Value> {
    let answer = reqwest::get(format!("{}/api/v1/status", server.ports.http)).await?;
    Ok(serde_json::from_str(&answer.text().await?)?)
}

/// Waits until the pipeline has read `events` records.
async fn caught_up(server: &Server, events: u64) -> Result<()> {
    let began = Instant::now();
    loop {
        let status = status(server).await?;
        let read = status["counters"]["pipeline.records"].as_u64().unwrap_or(0);
        if read >= events {
            return Ok(());
        }
        if began.elapsed() > CATCH_UP {
            bail!("only {read} of {events} events were read after {CATCH_UP:?}: {status}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a signed checkpoint covers `events` records; says after how many seconds since `began`.
async fn sealed(server: &Server, events: u64, began: Instant) -> Result<f64> {
    let waiting = Instant::now();
    loop {
        let answer = reqwest::get(format!("{}/api/v1/ledger", server.ports.http)).await?;
        let ledger: Value = serde_json::from_str(&answer.text().await?)?;
        let count = |key: &str| ledger["events"][key].as_u64().unwrap_or(0);
        // What is appended is signed once the checkpoint has as many leaves.
        if count("records") >= events && count("size") >= count("batches_sealed") {
            return Ok(began.elapsed().as_secs_f64());
        }
        if waiting.elapsed() > CATCH_UP {
            bail!("not all of {events} events were sealed after {CATCH_UP:?}: {ledger}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
