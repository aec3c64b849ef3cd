//! Lines to send: real ones, repeated where there are too few, with values that vary as they do in life.

use crate::dice::Dice;
use crate::load;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Token of ten events among all.
pub const NEEDLE: &str = "zqneedle7731";

/// Events that have it.
pub const NEEDLES: u64 = 10;

/// Which lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// OTRF's Windows events, as JSON.
    Windows,
    /// Syslog lines grown from loghub.
    Text,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Windows => "windows",
            Kind::Text => "text",
        }
    }
}

/// Lines in a file.
pub struct Grown {
    path: PathBuf,
    pub events: u64,
    /// Without the ends of lines.
    pub bytes: u64,
}

impl Grown {
    pub fn parts(&self) -> Result<Parts> {
        let file = File::open(&self.path).with_context(|| self.path.display().to_string())?;
        Ok(Parts { lines: BufReader::with_capacity(1 << 20, file).lines() })
    }
}

/// The lines, some at a time.
pub struct Parts {
    lines: std::io::Lines<BufReader<File>>,
}

impl Parts {
    pub fn next(&mut self, most: usize) -> Result<Option<Vec<String>>> {
        let lines = self.lines.by_ref().take(most).collect::<std::io::Result<Vec<String>>>()?;
        Ok((!lines.is_empty()).then_some(lines))
    }
}

struct Lines {
    file: BufWriter<File>,
    grown: Grown,
}

impl Lines {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        let grown = Grown { path: path.to_owned(), events: 0, bytes: 0 };
        Ok(Lines { file: BufWriter::with_capacity(1 << 20, file), grown })
    }

    fn add(&mut self, line: &str) -> Result<()> {
        self.grown.events += 1;
        self.grown.bytes += line.len() as u64;
        writeln!(self.file, "{line}")?;
        Ok(())
    }

    fn end(mut self) -> Result<Grown> {
        self.file.flush()?;
        Ok(self.grown)
    }
}

/// `events` Windows events: those of the corpora, again and again, and [`NEEDLES`] with the needle.
pub fn windows(corpora: &Path, events: u64, path: &Path) -> Result<Grown> {
    let real = load::otrf(corpora, usize::MAX)?;
    let mut lines = Lines::create(path)?;
    let apart = (events / NEEDLES).max(1);
    for (number, line) in (0..events).zip(real.iter().cycle()) {
        if number % apart == apart / 2 && line.starts_with('{') {
            lines.add(&format!("{{\"Note\":\"{NEEDLE}\",{}", line.get(1..).unwrap_or("}")))?;
        } else {
            lines.add(line)?;
        }
    }
    lines.end()
}

/// Syslog lines (RFC 5424) of `bytes` bytes and a little more: messages of loghub from forty hosts, a
/// hundred a second, their numbers of three digits and more and their addresses made anew each time.
pub fn text(corpora: &Path, bytes: u64, path: &Path) -> Result<Grown> {
    let messages = messages(corpora)?;
    let mut dice = Dice::new(5424);
    let mut lines = Lines::create(path)?;
    let begin: jiff::Timestamp = "2026-11-20T00:00:00Z".parse()?;
    let mean = messages.iter().map(|(_, text)| text.len() as u64 + 60).sum::<u64>();
    let apart = (bytes / (mean / messages.len() as u64).max(1) / NEEDLES).max(1);
    while lines.grown.bytes < bytes {
        let number = lines.grown.events;
        let micros = i64::try_from(number * 10_000 + dice.between(0, 9_000))?;
        let at = begin.checked_add(jiff::SignedDuration::from_micros(micros))?;
        let (app, message) = &messages[(dice.next() % messages.len() as u64) as usize];
        let host = dice.between(1, 41);
        let pid = dice.between(300, 33_000);
        let mut message = varied(message, &mut dice);
        if number % apart == apart / 2 && number / apart < NEEDLES {
            message.push(' ');
            message.push_str(NEEDLE);
        }
        lines.add(&format!("<38>1 {at:.6} host{host:02} {app} {pid} - - {message}"))?;
    }
    lines.end()
}

/// Program and message of every line of loghub's plain logs.
fn messages(corpora: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let dir = corpora.join("loghub");
    let mut systems: Vec<_> = std::fs::read_dir(&dir)
        .with_context(|| dir.display().to_string())?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    systems.sort();
    for system in systems {
        let Ok(text) = std::fs::read(dir.join(format!("{system}/{system}_2k.log"))) else {
            continue;
        };
        let text = String::from_utf8_lossy(&text);
        let app = system.to_lowercase();
        // What a syslog header says already.
        let skip = if matches!(system.as_str(), "OpenSSH" | "Linux") { 4 } else { 0 };
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let message = line.trim_end().splitn(skip + 1, ' ').last().unwrap_or(line);
            found.push((app.clone(), message.chars().filter(|c| !c.is_control()).collect()));
        }
    }
    if found.is_empty() {
        bail!("no loghub lines below {}", corpora.display());
    }
    Ok(found)
}

/// The same with other numbers of three digits and more, and other addresses.
fn varied(message: &str, dice: &mut Dice) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(at);
        let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
        let (number, after) = number.split_at(end);
        out.push_str(before);
        if number.split('.').count() == 4 && number.len() >= 7 && !number.ends_with('.') {
            out.push_str(&format!("10.{}.7.{}", dice.between(0, 4), dice.between(1, 255)));
        } else if number.len() >= 3 && !number.contains('.') {
            number.chars().for_each(|_| out.push(char::from(b'0' + dice.between(0, 10) as u8)));
        } else {
            out.push_str(number);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}
