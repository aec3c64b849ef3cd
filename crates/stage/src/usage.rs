//! What a server has used of the machine, as Linux counts it.

use crate::server::Server;
use anyhow::{Context, Result};

/// Use of the machine by a process.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system time, seconds, in steps of 10 ms.
    pub cpu_s: f64,
    /// Peak resident memory, MiB, since the process began.
    pub peak_mib: f64,
}

impl Usage {
    /// The time since `earlier`, and the peak of now.
    pub fn since(&self, earlier: &Usage) -> Usage {
        Usage { cpu_s: self.cpu_s - earlier.cpu_s, peak_mib: self.peak_mib }
    }
}

/// CPU seconds and peak resident memory of the server, from `/proc`.
pub fn usage(server: &Server) -> Result<Usage> {
    let pid = server.pid().context("the server has ended")?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    let memory = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    // Linux counts 100 ticks a second on every machine this runs on (USER_HZ).
    Ok(Usage { cpu_s: (ticks(11) + ticks(12)) / 100.0, peak_mib: peak.unwrap_or(0.0) / 1024.0 })
}

/// CPU seconds of the server's threads that live now, in nanosecond steps: for what is too short for
/// [`usage`].
pub fn threads_cpu_s(server: &Server) -> Result<f64> {
    let pid = server.pid().context("the server has ended")?;
    let mut nanos = 0.0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let Ok(text) = std::fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        nanos += text.split_whitespace().next().and_then(|run| run.parse().ok()).unwrap_or(0.0);
    }
    Ok(nanos / 1e9)
}
