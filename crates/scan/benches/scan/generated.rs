//! Logs without end, made up: memory must not grow with them.

use crate::told;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use yagura_detect::{RuleFile, Ruleset};
use yagura_event::{Lang, Level, UtcMicros};
use yagura_intake::import::plan;
use yagura_normalize::Normalizer;
use yagura_rulebook::RuleSources;
use yagura_scan::{ReportFacts, ScanOptions, ScanProgress, Scanned, html, scan};

const LARGE_BYTES: usize = 1_000_000_000;

const FINDING_LINES: usize = 1_000_000;

/// Lines that come from one address: so many groups, and one alert for each.
const LINES_PER_ADDRESS: usize = 4;

const RULES: &str = "\
title: Password guessed
id: 11111111-1111-4111-8111-111111111111
level: low
logsource: {product: linux, service: auth}
detection: {s: ['Failed password'], condition: s}
---
title: Password of root guessed
id: 22222222-2222-4222-8222-222222222222
level: medium
logsource: {product: linux, service: auth}
detection: {s: ['Failed password for root'], condition: s}
---
title: Passwords guessed
id: 33333333-3333-4333-8333-333333333333
level: high
correlation:
  type: event_count
  rules: [11111111-1111-4111-8111-111111111111]
  group-by: [source.ip]
  timespan: 1m
  generate: true
  condition: {gte: 3}
";

/// About a gigabyte of text, of which one rule finds every line and correlations count it.
pub fn large(sources: RuleSources) {
    let Ok(dir) = tempfile::tempdir() else { return };
    let log = dir.path().join("auth.log");
    let line = |out: &mut dyn Write, number: usize| {
        let [a, b, c] = [number % 251, number / 251 % 251, number / 63_001 % 251];
        writeln!(
            out,
            "{} web{:02} sshd[{}]: Accepted publickey for user{} from 10.{a}.{b}.{c} port {} ssh2: \
             ED25519 SHA256:{:016x}",
            time(number),
            number % 40,
            number % 30_000,
            number % 5_000,
            number % 60_000 + 1,
            (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        )
    };
    let Ok(bytes) = write(&log, usize::MAX, LARGE_BYTES, &line) else { return };
    let dictionary = Normalizer::embedded_dictionary();
    let Ok(compiled) = sources.compile(dictionary) else { return };
    let Some(scanned) = scanned(&log, &compiled.ruleset) else { return };
    let report = &scanned.report;
    told("large", report.events, &format!("{bytes} bytes, {} findings", report.findings()));
}

/// A million lines, each of which satisfies two rules and a correlation, told as JSON lines and as a
/// report.
pub fn findings() {
    let Ok(dir) = tempfile::tempdir() else { return };
    let log = dir.path().join("auth.log");
    let line = |out: &mut dyn Write, number: usize| {
        let address = number / LINES_PER_ADDRESS;
        writeln!(
            out,
            "{} web01 sshd[42]: Failed password for root from 10.{}.{}.{} port 50022 ssh2",
            time(number),
            address / 65_536,
            address / 256 % 256,
            address % 256,
        )
    };
    let Ok(bytes) = write(&log, FINDING_LINES, usize::MAX, &line) else { return };
    let Ok(log_sources) = yagura_rulebook::log_sources() else { return };
    let rules = [RuleFile { path: "rules.yml".to_owned(), text: RULES.to_owned() }];
    let (ruleset, report) =
        Ruleset::compile(&rules, Normalizer::embedded_dictionary(), &log_sources);
    let refused = report.refused.len();
    let Some(mut scanned) = scanned(&log, &Arc::new(ruleset)) else { return };
    let mut lines = 0_u64;
    if let Ok(mut findings) = scanned.findings() {
        while let Ok(Some(line)) = findings.next_line() {
            lines += line.len() as u64;
        }
    }
    let mut page = Counted(0);
    let facts = ReportFacts {
        lang: Lang::En,
        zone: jiff::tz::TimeZone::UTC,
        version: String::new(),
        made_at: UtcMicros::default(),
        paths: Vec::new(),
        sources: Vec::new(),
        rules_loaded: 2,
        refused: Vec::new(),
        min_level: Level::Informational,
        from: None,
        to: None,
    };
    let written = html(&mut scanned, &facts, &mut page).is_ok();
    let report = &scanned.report;
    let text = format!(
        "{bytes} bytes, {} findings, {lines} bytes of JSON, {} bytes of HTML, {} notices",
        report.findings(),
        page.0,
        report.notices.len(),
    );
    assert!(written && refused == 0, "{text}");
    told("findings", report.events, &text);
}

fn scanned(log: &Path, ruleset: &Arc<Ruleset>) -> Option<Scanned> {
    let (progress, cancel) = (ScanProgress::default(), AtomicBool::new(false));
    let plan = plan(&[log.to_owned()]);
    let options = ScanOptions { threads: 2, ..ScanOptions::default() };
    scan(&plan, ruleset, &options, &progress, &cancel).ok()
}

/// Fifty lines a second, from the first of a month on.
fn time(number: usize) -> String {
    let second = number / 50;
    let (day, hour, minute) = (second / 86_400 % 28 + 1, second / 3_600 % 24, second / 60 % 60);
    format!("Nov {day:2} {hour:02}:{minute:02}:{:02}", second % 60)
}

fn write(
    log: &Path,
    lines: usize,
    bytes: usize,
    line: &dyn Fn(&mut dyn Write, usize) -> std::io::Result<()>,
) -> std::io::Result<usize> {
    let mut out = BufWriter::new(File::create(log)?);
    let (mut number, mut written) = (0, 0);
    let mut text = Vec::new();
    while number < lines && written < bytes {
        text.clear();
        line(&mut text, number)?;
        out.write_all(&text)?;
        written += text.len();
        number += 1;
    }
    out.flush()?;
    Ok(written)
}

/// Counts what is written.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
