//! The lake under measure: what it stores of what it was sent, what that costs, and how soon
//! questions are answered, beside other stores on the same lines in the same run.

mod ask;
mod grow;
mod peers;

use crate::load;
use crate::server::Server;
use crate::usage::{Usage, usage};
use anyhow::{Context, Result, bail};
use grow::{Grown, Kind};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// How long catching up or compacting may take.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);

/// What to measure.
#[derive(clap::Args)]
pub struct Lake {
    /// The yagura binary.
    #[arg(long)]
    yagura: PathBuf,
    /// windows (OTRF events as JSON), text (lines grown from loghub) [default: both]
    #[arg(value_enum)]
    kinds: Vec<Kind>,
    /// Windows events to send; past those of the corpora they come again.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Bytes of text lines to send.
    #[arg(long, default_value_t = 2_000_000_000)]
    text_bytes: u64,
    /// Where to put stores and lines [default: a temporary directory]
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// A Python with the packages chdb and duckdb: the other stores. Without it they are left out.
    #[arg(long, env = "YAGURA_PYTHON")]
    python: Option<PathBuf>,
    /// Keep the texts of events whole (`lake.keep_raw = ["*"]`) instead of rebuilding them from columns.
    #[arg(long)]
    keep_raw: bool,
    /// Times each question is asked when warm; the median counts.
    #[arg(long, default_value_t = 7)]
    times: usize,
}

/// Runs the benchmark and prints a table.
pub async fn run(asked: &Lake) -> Result<()> {
    let corpora = load::corpora()?;
    let temporary = tempfile::tempdir()?;
    let scratch = asked.scratch.as_deref().unwrap_or(temporary.path());
    let kinds = match asked.kinds.as_slice() {
        [] => &[Kind::Windows, Kind::Text][..],
        some => some,
    };
    println!("| lake | figure | value |\n|---|---|---|");
    for kind in kinds {
        let dir = scratch.join(kind.name());
        std::fs::create_dir_all(&dir)?;
        let lines = dir.join("lines");
        let grown = match kind {
            Kind::Windows => grow::windows(&corpora, asked.events, &lines)?,
            Kind::Text => grow::text(&corpora, asked.text_bytes, &lines)?,
        };
        let mean = grown.bytes as f64 / grown.events as f64;
        figure(*kind, "events, received", format!("{}, {mean:.0} bytes each", grown.events));
        store(asked, *kind, &corpora.join("sigma"), &grown, &dir.join("data")).await?;
        if let Some(python) = &asked.python {
            peers::run(python, *kind, &lines, &dir, asked.times).await?;
        }
    }
    Ok(())
}

fn figure(kind: Kind, figure: &str, value: impl std::fmt::Display) {
    println!("| {} | {figure} | {value} |", kind.name());
}

/// Sends everything, compacts it, and asks.
async fn store(asked: &Lake, kind: Kind, rules: &Path, grown: &Grown, data: &Path) -> Result<()> {
    let rules = rules.to_string_lossy().into_owned();
    let quiet = data.with_extension("toml");
    // Compaction is measured by itself.
    let keep_raw = if asked.keep_raw { "[\"*\"]" } else { "[]" };
    std::fs::write(&quiet, format!("[lake]\ncompact = false\nkeep_raw = {keep_raw}\n"))?;
    let quiet = quiet.to_string_lossy().into_owned();
    let options = ["--rules", rules.as_str(), "--config", quiet.as_str()];

    let server = Server::start(&asked.yagura, data, &options).await?;
    let before = usage(&server)?;
    let began = Instant::now();
    match kind {
        Kind::Windows => send_bulk(&server, grown).await?,
        Kind::Text => send_syslog(&server, grown).await?,
    }
    let acknowledged = began.elapsed().as_secs_f64();
    sealed(&server, grown.events).await?;
    let events = grown.events as f64;
    let taken = usage(&server)?.since(&before);
    figure(kind, "acknowledged per second", format!("{:.0}", events / acknowledged));
    let per_core = events / taken.cpu_s;
    figure(
        kind,
        "durable, sealed, searchable, all rules: events per server core-second",
        format!("{per_core:.0}"),
    );
    // Its end writes what is still in memory, with the text indexes.
    server.stop().await?;

    let server = Server::start(&asked.yagura, data, &options).await?;
    let flushed = sizes(&server).await?;
    said_sizes(kind, "as flushed", &flushed);
    let (cpu_s, peak_mib) = compact(&server).await?;
    figure(kind, "compacting: CPU per event", format!("{:.1} µs", cpu_s / events * 1e6));
    figure(kind, "compacting: peak memory of the server", format!("{peak_mib:.0} MiB"));
    said_sizes(kind, "compacted", &sizes(&server).await?);
    server.stop().await?;

    ask::all(asked, kind, data, &options).await
}

fn said_sizes(kind: Kind, when: &str, total: &Value) {
    let count = |key: &str| total[key].as_u64().unwrap_or(0);
    let (received, stored) = (count("received"), count("stored"));
    let ratio = received as f64 / (stored as f64).max(1.0);
    let text = format!(
        "1/{ratio:.1} ({:.1} MB, of which text indexes {:.1} MB; {} files, {} events)",
        stored as f64 / 1e6,
        count("text_index") as f64 / 1e6,
        count("files"),
        count("events"),
    );
    figure(kind, &format!("stored ÷ received, {when}"), text);
}

async fn get(server: &Server, path: &str) -> Result<Value> {
    let answer = reqwest::get(format!("{}/api/v1/{path}", server.ports.http)).await?;
    Ok(serde_json::from_str(&answer.text().await?)?)
}

async fn sizes(server: &Server) -> Result<Value> {
    Ok(get(server, "lake/stats").await?["total"].clone())
}

async fn compact(server: &Server) -> Result<(f64, f64)> {
    let before = usage(server)?;
    let url = format!("{}/api/v1/lake/compact", server.ports.http);
    let http = reqwest::Client::new();
    let answer = http.post(&url).header("yagura-request", "1").json(&json!({})).send().await?;
    let status = answer.status();
    let said = answer.text().await?;
    if !status.is_success() {
        bail!("compacting was refused with {status}: {said}");
    }
    let began = Instant::now();
    loop {
        let state = get(server, "lake/compact").await?;
        if state["running"] == false {
            let clean = state["failures"].as_array().is_some_and(Vec::is_empty);
            if !clean || !state["error"].is_null() {
                bail!("compacting failed: {state}");
            }
            let Usage { cpu_s, peak_mib } = usage(server)?.since(&before);
            return Ok((cpu_s, peak_mib));
        }
        if began.elapsed() > PATIENCE {
            bail!("compacting has not ended after {PATIENCE:?}: {state}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn send_bulk(server: &Server, grown: &Grown) -> Result<()> {
    let http = reqwest::Client::new();
    let mut waiting = tokio::task::JoinSet::new();
    let mut parts = grown.parts()?;
    while let Some(lines) = parts.next(500)? {
        let body =
            lines.iter().fold(String::new(), |body, line| body + "{\"create\":{}}\n" + line + "\n");
        while waiting.len() >= 4 {
            waiting.join_next().await.context("no request was waiting")???;
        }
        let url = format!("{}/otrf/_bulk", server.ports.http);
        waiting.spawn(crate::bench::post_until_taken(http.clone(), url, body));
    }
    while let Some(done) = waiting.join_next().await {
        done??;
    }
    Ok(())
}

async fn send_syslog(server: &Server, grown: &Grown) -> Result<()> {
    let mut connection = TcpStream::connect(server.ports.syslog_tcp).await?;
    let mut parts = grown.parts()?;
    while let Some(lines) = parts.next(4_000)? {
        let mut block = Vec::new();
        for line in &lines {
            block.extend_from_slice(format!("{} {line}", line.len()).as_bytes());
        }
        connection.write_all(&block).await?;
    }
    connection.shutdown().await?;
    Ok(())
}

/// Waits until all events are searchable and a signed checkpoint covers them.
async fn sealed(server: &Server, events: u64) -> Result<()> {
    let began = Instant::now();
    loop {
        let status = get(server, "status").await?;
        let read = status["counters"]["pipeline.records"].as_u64().unwrap_or(0);
        let ledger = get(server, "ledger").await?;
        let count = |key: &str| ledger["events"][key].as_u64().unwrap_or(0);
        let signed = count("records") >= events && count("size") >= count("batches_sealed");
        if read >= events && signed {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            bail!("only {read} of {events} events were read after {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
