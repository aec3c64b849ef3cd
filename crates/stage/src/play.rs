use crate::timeline::Message;
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};

/// Where the ports of a running Yagura are.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Base address of the HTTP API, such as `http://127.0.0.1:8440`.
    pub http: String,
    pub syslog_tcp: SocketAddr,
    pub syslog_udp: SocketAddr,
}

/// How often what is due is sent.
const TICK: Duration = Duration::from_millis(50);

/// Sends `messages` (sorted by time) through the real ports, the whole span within `duration`.
/// Returns how many were sent. `progress` is told the share done, 0 to 1.
pub async fn play(
    messages: Vec<(Timestamp, Message)>,
    ports: &Ports,
    duration: Duration,
    mut progress: impl FnMut(f64),
) -> Result<usize> {
    let (Some((first, _)), Some((last, _))) = (messages.first(), messages.last()) else {
        return Ok(0);
    };
    let (first, span) = (*first, last.duration_since(*first).as_secs_f64().max(1e-3));
    let total = messages.len();
    let mut tcp = TcpStream::connect(ports.syslog_tcp).await.context("syslog over TCP")?;
    let udp = UdpSocket::bind("127.0.0.1:0").await?;
    udp.connect(ports.syslog_udp).await.context("syslog over UDP")?;
    let http = reqwest::Client::new();
    let began = tokio::time::Instant::now();
    let mut waiting = messages.into_iter().peekable();
    while waiting.peek().is_some() {
        let share = began.elapsed().as_secs_f64() / duration.as_secs_f64();
        let due = |at: &Timestamp| at.duration_since(first).as_secs_f64() / span <= share;
        let mut bulk = String::new();
        let mut frames = Vec::new();
        while let Some((_, message)) = waiting.next_if(|(at, _)| due(at)) {
            match message {
                Message::Bulk(document) => {
                    bulk.push_str("{\"create\":{}}\n");
                    bulk.push_str(&document.to_string());
                    bulk.push('\n');
                }
                Message::SyslogTcp(text) => {
                    frames.extend_from_slice(format!("{} {text}", text.len()).as_bytes());
                }
                Message::SyslogUdp(text) => {
                    udp.send(text.as_bytes()).await?;
                }
            }
        }
        if !frames.is_empty() {
            tcp.write_all(&frames).await?;
        }
        if !bulk.is_empty() {
            post_bulk(&http, &ports.http, bulk).await?;
        }
        progress(share.min(1.0));
        tokio::time::sleep(TICK).await;
    }
    tcp.shutdown().await?;
    Ok(total)
}

async fn post_bulk(http: &reqwest::Client, base: &str, body: String) -> Result<()> {
    let answer = http
        .post(format!("{base}/winlogbeat/_bulk"))
        .header("content-type", "application/x-ndjson")
        .body(body)
        .send()
        .await
        .context("POST /winlogbeat/_bulk")?;
    let status = answer.status();
    let text = answer.text().await?;
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    if !status.is_success() || answer["errors"] != serde_json::Value::Bool(false) {
        bail!("POST /winlogbeat/_bulk answered {status}: {text}");
    }
    Ok(())
}
