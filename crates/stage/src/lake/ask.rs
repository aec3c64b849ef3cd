//! Questions to the store: warm, and after a start with nothing in the system's cache.

use super::grow::{Kind, NEEDLE};
use super::{Lake, figure};
use crate::server::Server;
use crate::usage::threads_cpu_s;
use anyhow::{Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A question, with what it is called in the table.
struct Question {
    name: &'static str,
    query: String,
    limit: usize,
}

fn questions(kind: Kind) -> Vec<Question> {
    let ask = |name, query: &str| Question { name, query: query.to_owned(), limit: 100 };
    let mut all = vec![ask("rare token, 10 hits", NEEDLE)];
    all.extend(match kind {
        Kind::Windows => vec![
            ask("common word, counted", "security | stats count()"),
            ask("word in any case, counted", "MimiKatz | stats count()"),
            ask("common word in any case, counted", "powershell | stats count()"),
            ask("field equals, count by host", "event.code:4688 | stats count() by host.name"),
            ask("top 20 of many values", "* | top 20 winlog.record_id"),
            ask("last 100 with a filter", "event.code:4624"),
            ask(
                "regular expression on the message, counted",
                "message:/new process (id|name):\\s+0x[0-9a-f]{3}\\b/ | stats count()",
            ),
            ask(
                "regular expression on the command line, counted",
                "process.command_line:/-e(nc|ncodedcommand)?\\s+[a-z0-9+\\/=]{20,}/ | stats count()",
            ),
        ],
        Kind::Text => vec![
            ask("common word, counted", "failed | stats count()"),
            ask("word in any case, counted", "BlockMap | stats count()"),
            ask("common word in any case, counted", "password | stats count()"),
            ask("field equals, count by host", "process.name:openssh | stats count() by host.name"),
            ask("top 20 of many values", "* | top 20 process.pid"),
            ask("last 100 with a filter", "host.name:host07"),
            ask(
                "regular expression on the message, counted",
                "message:/invalid user [a-z]{3,8} from 10\\.1\\.7\\.2[0-9]+/ | stats count()",
            ),
        ],
    });
    all
}

/// Asks everything of the store in `data`.
pub async fn all(asked: &Lake, kind: Kind, data: &Path, options: &[&str]) -> Result<()> {
    let questions = questions(kind);
    let mut cold = Vec::new();
    for question in &questions {
        forget(data).await?;
        let server = Server::start(&asked.yagura, data, options).await?;
        let began = Instant::now();
        let answer = answer(&server, question).await?;
        cold.push((began.elapsed().as_secs_f64() * 1e3, answer));
        server.stop().await?;
    }
    let server = Server::start(&asked.yagura, data, options).await?;
    for (question, (cold_ms, first)) in questions.iter().zip(cold) {
        answer(&server, question).await?;
        let before = threads_cpu_s(&server)?;
        let mut times = Vec::new();
        for _ in 0..asked.times.max(1) {
            let began = Instant::now();
            let again = answer(&server, question).await?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
            if again["rows"] != first["rows"] {
                bail!("{} was answered in two ways", question.name);
            }
        }
        let cpu_s = (threads_cpu_s(&server)? - before) / times.len() as f64;
        times.sort_by(f64::total_cmp);
        let warm = times.get(times.len() / 2).copied().unwrap_or(0.0);
        let rows = first["rows"].as_array().map_or(0, Vec::len);
        let counted = match first["rows"].as_array().map(Vec::as_slice) {
            Some([row]) => format!("{row}"),
            _ => format!("{rows} rows"),
        };
        figure(
            kind,
            question.name,
            format!(
                "{warm:.1} ms warm ({:.1} ms CPU), {cold_ms:.0} ms cold; {counted}",
                cpu_s * 1e3
            ),
        );
    }
    server.stop().await
}

async fn answer(server: &Server, question: &Question) -> Result<Value> {
    let url = format!("{}/api/v1/search", server.ports.http);
    let limit = question.limit.to_string();
    let parameters = [("query", question.query.as_str()), ("limit", limit.as_str())];
    let answer = reqwest::Client::new().get(url).query(&parameters).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    if !status.is_success() {
        bail!("{} was answered with {status}: {text}", question.query);
    }
    Ok(serde_json::from_str(&text)?)
}

/// Has the system forget the files below `dir`, so that they are read from the disk again.
async fn forget(dir: &Path) -> Result<()> {
    for file in files_below(dir)? {
        let status = tokio::process::Command::new("dd")
            .arg(format!("of={}", file.display()))
            .args(["oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"])
            .status()
            .await?;
        if !status.success() {
            bail!("dd could not drop {} from the cache", file.display());
        }
    }
    Ok(())
}

fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files_below(&path)?) } else { found.push(path) }
    }
    Ok(found)
}
