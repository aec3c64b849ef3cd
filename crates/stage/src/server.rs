use crate::play::Ports;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A Yagura of our own, on free ports of this machine. Killed when dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub ports: Ports,
}

impl Server {
    /// Starts `yagura serve` on `data` and waits until it says where it listens.
    pub async fn start(yagura: &Path, data: &Path, extra: &[&str]) -> Result<Server> {
        let mut child = Command::new(yagura)
            .args(["serve", "--http", "127.0.0.1:0"])
            .args(["--syslog-tcp", "127.0.0.1:0", "--syslog-udp", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(extra)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", yagura.display()))?;
        let stderr = child.stderr.take().context("no standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        let (mut http, mut tcp, mut udp) = (None, None, None);
        let mut said = String::new();
        while http.is_none() || tcp.is_none() || udp.is_none() {
            let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
            let Some(line) = line.context("yagura serve did not start within 60 s")?? else {
                bail!("yagura serve ended before it listened:\n{said}");
            };
            said.push_str(&line);
            said.push('\n');
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["listening", "http", address] => http = Some((*address).to_owned()),
                ["listening", "syslog-tcp", address] => tcp = Some(address.parse()?),
                ["listening", "syslog-udp", address] => udp = Some(address.parse()?),
                _ => {}
            }
        }
        // Keep reading, so that the server never blocks on a full pipe; show what it warns of.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("WARN") || line.contains("ERROR") {
                    eprintln!("{line}");
                }
            }
        });
        let (Some(http), Some(syslog_tcp), Some(syslog_udp)) = (http, tcp, udp) else {
            bail!("yagura serve did not say where it listens");
        };
        Ok(Server { child, ports: Ports { http, syslog_tcp, syslog_udp } })
    }

    /// Process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Asks it to end and waits until it has.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id() {
            Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        }
        let ended = tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await;
        let status = ended.context("yagura serve did not end within 60 s of SIGTERM")??;
        if !status.success() {
            bail!("yagura serve ended with {status}");
        }
        Ok(())
    }
}
