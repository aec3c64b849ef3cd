//! Load for the benchmarks, made of real logs.

use anyhow::{Context, Result, bail};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The corpora directory, from `YAGURA_CORPORA`.
pub fn corpora() -> Result<PathBuf> {
    let dir = std::env::var_os("YAGURA_CORPORA").context(
        "set YAGURA_CORPORA to a corpora directory (loghub/, otrf/, sigma/): benchmarks use real logs",
    )?;
    Ok(PathBuf::from(dir))
}

/// Windows events as JSON lines, from the zip files below `otrf/`, at most `bytes_max` bytes.
pub fn otrf(corpora: &Path, bytes_max: usize) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    files_below(&corpora.join("otrf/atomic/windows"), "zip", &mut paths)?;
    let mut lines = Vec::new();
    let mut bytes = 0;
    for path in paths {
        let mut archive = zip::ZipArchive::new(std::fs::File::open(&path)?)?;
        for number in 0..archive.len() {
            let mut member = archive.by_index(number)?;
            if !member.name()?.ends_with(".json") {
                continue;
            }
            let mut text = Vec::new();
            member.read_to_end(&mut text)?;
            for line in String::from_utf8_lossy(&text).lines().filter(|line| line.starts_with('{'))
            {
                bytes += line.len();
                lines.push(line.to_owned());
                if bytes >= bytes_max {
                    return Ok(lines);
                }
            }
        }
    }
    if lines.is_empty() {
        bail!("no OTRF events below {}", corpora.display());
    }
    Ok(lines)
}

/// Real OpenSSH and Linux lines of loghub, as syslog messages.
pub fn syslog(corpora: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for name in ["OpenSSH", "Linux"] {
        let path = corpora.join(format!("loghub/{name}/{name}_2k.log"));
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let text = String::from_utf8_lossy(&text);
        lines.extend(text.lines().map(|line| format!("<38>{}", line.trim_end())));
    }
    Ok(lines)
}

fn files_below(dir: &Path, end: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir)
        .with_context(|| dir.display().to_string())?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files_below(&path, end, found)?;
        } else if path.extension().is_some_and(|extension| extension == end) {
            found.push(path);
        }
    }
    Ok(())
}
