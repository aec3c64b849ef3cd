//! Findings in the format asked for.

use super::ScanFormat;
use super::summary::{Paint, moment, padded};
use crate::output::{Format, Row, RowWriter, visible};
use anyhow::Result;
use std::io::{IsTerminal, Write};
use yagura_event::Lang;
use yagura_scan::{Finding, ReportFacts, Scanned, TIMESKETCH_COLUMNS, html, timesketch};

/// Columns of a CSV file.
const COLUMNS: [&str; 18] = [
    "@timestamp",
    "rule.level",
    "rule.name",
    "host.name",
    "user.name",
    "source.ip",
    "message",
    "event.dataset",
    "event.code",
    "log.file.path",
    "event.id",
    "rule.uuid",
    "rule.type",
    "rule.author",
    "rule.license",
    "threat.technique.id",
    "threat.tactic.name",
    "rule.evidence",
];

/// Writes every finding to `out`.
pub fn write(
    format: ScanFormat,
    scanned: &mut Scanned,
    facts: &ReportFacts,
    out: &mut dyn Write,
    csv: bool,
) -> Result<()> {
    let mut out = out;
    match format {
        ScanFormat::Table => table(scanned, facts, out),
        ScanFormat::Html => Ok(html(scanned, facts, &mut out)?),
        ScanFormat::Jsonl => {
            let mut findings = scanned.findings()?;
            while let Some(line) = findings.next_line()? {
                out.write_all(line)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        }
        ScanFormat::Timesketch if !csv => {
            for finding in scanned.findings()? {
                serde_json::to_writer(&mut out, &timesketch(&finding?, facts.lang))?;
                out.write_all(b"\n")?;
            }
            Ok(())
        }
        ScanFormat::Csv => rows(scanned, &COLUMNS, out, |finding| finding),
        ScanFormat::Timesketch => {
            rows(scanned, &TIMESKETCH_COLUMNS, out, |finding| timesketch(&finding, facts.lang))
        }
    }
}

fn rows(
    scanned: &mut Scanned,
    columns: &[&str],
    out: &mut dyn Write,
    make: impl Fn(Finding) -> Finding,
) -> Result<()> {
    let columns = columns.iter().map(|name| (*name).to_owned()).collect();
    let mut writer = RowWriter::new(out, Format::Csv, columns);
    for finding in scanned.findings()? {
        let finding = make(finding?);
        let row: Row =
            finding.fields().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        writer.write(row)?;
    }
    writer.finish()?;
    Ok(())
}

/// The timeline: each event once, as a sentence, and below it what it satisfies.
fn table(scanned: &mut Scanned, facts: &ReportFacts, out: &mut dyn Write) -> Result<()> {
    let paint = Paint::new(std::io::stdout().is_terminal());
    let mut last: Option<(String, String)> = None;
    for finding in scanned.findings()? {
        let finding = finding?;
        let event = (finding.text("event.id").to_owned(), finding.text("@timestamp").to_owned());
        if last.as_ref() != Some(&event) {
            let host = finding.text("host.name");
            let host = if host.is_empty() { "-" } else { host };
            let at = moment(finding.timestamp(), &facts.zone);
            let sentence = finding.text("message");
            writeln!(out, "{at}  {}  {}", visible(host), visible(sentence))?;
            writeln!(out, "    {}", paint.faint(&visible(&event.0)))?;
            last = Some(event);
        }
        let level = finding.level();
        let word = paint.level(level, &padded(level.label(facts.lang), facts.lang));
        write!(out, "    {word}  {}", visible(finding.title(facts.lang)))?;
        let techniques: Vec<&str> = finding.texts("threat.technique.id").collect();
        if !techniques.is_empty() {
            write!(out, "  {}", paint.faint(&visible(&techniques.join(" "))))?;
        }
        writeln!(out)?;
        for piece in evidence(&finding) {
            writeln!(out, "        {piece}")?;
        }
    }
    Ok(())
}

/// Pieces of evidence that are shown below a finding, and characters of each.
const EVIDENCE_SHOWN: usize = 2;
const EVIDENCE_CHARS: usize = 140;

/// What made the rule hold, where the sentence does not say it already.
fn evidence(finding: &Finding) -> Vec<String> {
    let pieces = finding.get("rule.evidence").and_then(|e| e.as_array()).into_iter().flatten();
    let text = |piece: &serde_json::Value, key: &str| {
        piece.get(key).and_then(|text| text.as_str()).unwrap_or_default().to_owned()
    };
    // Several predicates may hold on one field; its value is shown once.
    let mut seen = std::collections::BTreeSet::from(["event.code".to_owned()]);
    let told = pieces.filter(|piece| seen.insert(text(piece, "field")));
    told.take(EVIDENCE_SHOWN)
        .map(|piece| {
            let value = text(piece, "value");
            let short: String = value.chars().take(EVIDENCE_CHARS).collect();
            let more = if short.len() < value.len() { "…" } else { "" };
            format!("{} = {}{more}", visible(&text(piece, "field")), visible(&short))
        })
        .collect()
}

/// How wide the longest level is in a terminal.
pub fn level_width(lang: Lang) -> usize {
    match lang {
        Lang::En => "informational".len(),
        Lang::Ja => 4,
    }
}
