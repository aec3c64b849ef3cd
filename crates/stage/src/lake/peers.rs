//! Other stores on the same lines, through their Python packages.

use super::figure;
use super::grow::{Kind, NEEDLE};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// What is asked of raw lines: the same as of us, as far as a store without fields can be asked.
fn questions(kind: Kind) -> Value {
    let (word, common, expression) = match kind {
        Kind::Windows => ("mimikatz", "security", r"(?i)new process (id|name):\s+0x[0-9a-f]{3}\b"),
        Kind::Text => ("blockmap", "failed", r"(?i)invalid user [a-z]{3,8} from 10\.1\.7\.2[0-9]+"),
    };
    json!([
        { "name": "rare token, 10 hits", "contains": NEEDLE },
        { "name": "common word, counted", "contains": common },
        { "name": "word in any case, counted", "contains_in_any_case": word },
        { "name": "regular expression on the line, counted", "matches": expression },
    ])
}

/// Has each store that `python` has take the lines of `lines` and answer.
pub async fn run(python: &Path, kind: Kind, lines: &Path, dir: &Path, times: usize) -> Result<()> {
    for store in ["clickhouse", "duckdb"] {
        let asked = json!({
            "store": store,
            "lines": lines,
            "directory": dir.join(store),
            "questions": questions(kind),
            "times": times,
        });
        let mut child = Command::new(python)
            .args(["-c", include_str!("peers.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", python.display()))?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        stdin.write_all(asked.to_string().as_bytes()).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            bail!("{store} ended with {}", output.status);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        for line in text.lines() {
            let said: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            let what = said["figure"].as_str().unwrap_or_default();
            figure(kind, &format!("{store}: {what}"), said["value"].as_str().unwrap_or_default());
        }
    }
    Ok(())
}
