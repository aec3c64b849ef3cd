//! What a scan found, in numbers and a drawing, for the terminal.

use super::output::level_width;
use crate::output::visible;
use anyhow::Result;
use jiff::tz::TimeZone;
use std::io::{IsTerminal, Write};
use yagura_event::{Lang, Level, UtcMicros};
use yagura_scan::{Counts, NameSummary, ReportFacts, ScanReport, Scanned};

/// Columns of the drawing, and lines of each list.
const DRAWING_COLUMNS: usize = 60;
const LIST_LINES: usize = 10;

/// Colours, for terminals whose user has not asked for none (no-color.org).
#[derive(Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    pub fn new(terminal: bool) -> Self {
        Paint(terminal && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()))
    }

    pub fn level(self, level: Level, text: &str) -> String {
        let code = match level {
            Level::Critical => "1;97;41",
            Level::High => "1;31",
            Level::Medium => "33",
            Level::Low => "36",
            Level::Informational => "2",
        };
        self.with(code, text)
    }

    pub fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A level's word, as wide as the longest.
pub fn padded(word: &str, lang: Lang) -> String {
    let width = match lang {
        Lang::En => word.len(),
        Lang::Ja => word.chars().count() * 2,
    };
    format!("{word}{}", " ".repeat(level_width(lang).saturating_sub(width)))
}

/// An instant in `zone`, to the millisecond.
pub fn moment(at: UtcMicros, zone: &TimeZone) -> String {
    at.to_timestamp().to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

fn minute(at: UtcMicros, zone: &TimeZone) -> String {
    at.to_timestamp().to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// Prints the summary.
pub fn print(scanned: &mut Scanned, facts: &ReportFacts, out: &mut dyn Write) -> Result<()> {
    let paint = Paint::new(std::io::stderr().is_terminal());
    let lang = facts.lang;
    writeln!(out)?;
    examined(&scanned.report, facts, out)?;
    if scanned.report.findings() == 0 {
        let nothing = match lang {
            Lang::En => "No event satisfied a rule. That is no proof that nothing happened.",
            Lang::Ja => "規則に当てはまる記録はありません（何も起きていない証明ではありません）。",
        };
        writeln!(out, "{nothing}")?;
        return Ok(());
    }
    draw(scanned, facts, paint, out)?;
    let report = &scanned.report;
    heading(
        out,
        paint,
        match lang {
            Lang::En => "Rules",
            Lang::Ja => "規則",
        },
    )?;
    for rule in report.rules.iter().take(LIST_LINES) {
        let level = rule.rule.level;
        let word = paint.level(level, &padded(level.label(lang), lang));
        writeln!(out, "  {word} {:>7}  {}", rule.findings, visible(rule.rule.title_in(lang)))?;
    }
    more(report.rules.len(), lang, out)?;
    let names: [(&str, &[NameSummary]); 2] = match lang {
        Lang::En => [("Hosts", &report.hosts), ("Users", &report.users)],
        Lang::Ja => [("端末", &report.hosts), ("利用者", &report.users)],
    };
    for (title, names) in names {
        if names.is_empty() {
            continue;
        }
        heading(out, paint, title)?;
        for name in names.iter().take(LIST_LINES) {
            let level = name.levels.gravest().unwrap_or_default();
            let word = paint.level(level, &padded(level.label(lang), lang));
            writeln!(out, "  {word} {:>7}  {}", name.levels.total(), visible(&name.name))?;
        }
        more(names.len(), lang, out)?;
    }
    Ok(())
}

fn heading(out: &mut dyn Write, paint: Paint, text: &str) -> Result<()> {
    Ok(writeln!(out, "{}", paint.bold(text))?)
}

fn more(listed: usize, lang: Lang, out: &mut dyn Write) -> Result<()> {
    let more = listed.saturating_sub(LIST_LINES);
    match (more, lang) {
        (0, _) => {}
        (more, Lang::En) => writeln!(out, "  and {more} more")?,
        (more, Lang::Ja) => writeln!(out, "  ほか{more}件")?,
    }
    Ok(())
}

fn examined(report: &ScanReport, facts: &ReportFacts, out: &mut dyn Write) -> Result<()> {
    let read = report.files.iter().filter(|file| file.kind.is_some() && file.same_as.is_none());
    let (files, bytes) = read.fold((0_u64, 0), |(n, bytes), file| (n + 1, bytes + file.bytes));
    let copies = report.files.iter().filter(|file| file.same_as.is_some()).count();
    let megabytes = bytes as f64 / 1e6;
    let (loaded, refused) = (facts.rules_loaded, facts.refused.len());
    let events = report.events;
    let zone = &facts.zone;
    let span = report
        .span
        .map(|(first, last)| format!("{} - {}", minute(first, zone), minute(last, zone)));
    let span = span.unwrap_or_else(|| "-".to_owned());
    let name = zone.iana_name().unwrap_or("UTC");
    match facts.lang {
        Lang::En => {
            write!(out, "Examined {files} files, {megabytes:.1} MB, {events} events")?;
            if copies > 0 {
                write!(out, " ({copies} copies left out)")?;
            }
            writeln!(out, ", {span} ({name})")?;
            write!(out, "with {loaded} rules")?;
            if refused > 0 {
                write!(out, " ({refused} refused; `yagura rules check` says why)")?;
            }
        }
        Lang::Ja => {
            write!(out, "調査: ファイル{files}個、{megabytes:.1} MB、記録{events}件")?;
            if copies > 0 {
                write!(out, "（同じ内容の{copies}個を除く）")?;
            }
            writeln!(out, "、{span}（{name}）")?;
            write!(out, "規則{loaded}件")?;
            if refused > 0 {
                write!(out, "（ほかに{refused}件は不採用。理由は yagura rules check で）")?;
            }
        }
    }
    writeln!(out)?;
    if report.unknown > 0 {
        match facts.lang {
            Lang::En => writeln!(
                out,
                "{} events are of no known form: only keyword rules look at them",
                report.unknown
            )?,
            Lang::Ja => writeln!(
                out,
                "形式の分からない記録{}件は、語を探す規則だけが調べました",
                report.unknown
            )?,
        }
    }
    Ok(())
}

/// Findings over time, one line a level.
fn draw(
    scanned: &mut Scanned,
    facts: &ReportFacts,
    paint: Paint,
    out: &mut dyn Write,
) -> Result<()> {
    let Some(histogram) = scanned.histogram(DRAWING_COLUMNS)? else { return Ok(()) };
    let (lang, zone) = (facts.lang, &facts.zone);
    let counts = scanned.report.levels;
    let title = match lang {
        Lang::En => format!("Findings: {}", counts.total()),
        Lang::Ja => format!("検知: {}件", counts.total()),
    };
    heading(out, paint, &title)?;
    for level in Counts::LEVELS.into_iter().rev().filter(|level| counts.of(*level) > 0) {
        let row: Vec<u64> = histogram.spans.iter().map(|span| span.of(level)).collect();
        let word = paint.level(level, &padded(level.label(lang), lang));
        writeln!(out, "  {word} {:>7} │{}│", counts.of(level), sparkline(&row))?;
    }
    let indent = " ".repeat(level_width(lang) + 11);
    let (from, to) = (minute(histogram.from, zone), minute(histogram.to, zone));
    let gap = histogram.spans.len().saturating_sub(from.len() + to.len()).max(1);
    writeln!(out, "{indent}{}", paint.faint(&format!("{from}{}{to}", " ".repeat(gap))))?;
    Ok(())
}

/// Eighths of a line, by the square root: one finding beside a thousand must still be seen.
fn sparkline(row: &[u64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = row.iter().copied().max().unwrap_or(0).max(1) as f64;
    let bar = |count: &u64| match count {
        0 => ' ',
        count => {
            let eighths = ((*count as f64 / most).sqrt() * 8.0).ceil() as usize;
            BARS.get(eighths.saturating_sub(1)).copied().unwrap_or('█')
        }
    };
    row.iter().map(bar).collect()
}

/// Files not told one by one when there are more of them.
const UNREAD_LINES: usize = 200;

/// Names what could not be read.
pub fn print_unread(report: &ScanReport, lang: Lang) {
    let mut lines = Vec::new();
    for problem in &report.problems {
        let reason = problem.reason.text(lang).to_owned();
        lines.push((problem.path.display().to_string(), reason));
    }
    let mut no_logs = 0;
    for file in &report.files {
        if let (Some(reason), false) = (&file.skipped, file.no_log) {
            lines.push((file.path.clone(), reason.text(lang).to_owned()));
        }
        no_logs += u64::from(file.no_log);
        for damage in &file.damages {
            let (place, reason) = (damage.place.text(lang), damage.reason.text(lang));
            lines.push((file.path.clone(), format!("{place}: {reason}")));
        }
        let more = file.damaged - file.damages.len() as u64;
        if more > 0 {
            lines.push((
                file.path.clone(),
                match lang {
                    Lang::En => format!("{more} more damaged places"),
                    Lang::Ja => format!("ほか{more}か所の破損"),
                },
            ));
        }
    }
    let hidden = lines.len().saturating_sub(UNREAD_LINES);
    for (path, reason) in lines.iter().take(UNREAD_LINES) {
        eprintln!("! {}: {}", visible(path), visible(reason));
    }
    match (hidden, lang) {
        (0, _) => {}
        (hidden, Lang::En) => eprintln!("! and {hidden} more; --output html lists them"),
        (hidden, Lang::Ja) => eprintln!("! ほか{hidden}件。--output html で一覧できます"),
    }
    match (no_logs, lang) {
        (0, _) => {}
        (files, Lang::En) => eprintln!("{files} files are no logs and were passed over"),
        (files, Lang::Ja) => eprintln!("ログではないファイル{files}個は読み飛ばしました"),
    }
    for notice in &report.notices {
        let (title, sentence) = (notice.rule.title_in(lang), notice.kind.sentence(lang));
        eprintln!("! {}: {sentence} ({})", visible(title), notice.count);
    }
    if report.cancelled {
        match lang {
            Lang::En => eprintln!("interrupted: this is only what was read until then"),
            Lang::Ja => eprintln!("中断しました。ここまでに読み取った分だけの結果です"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_finding_beside_a_thousand_is_seen() {
        assert_eq!(sparkline(&[0, 1, 250, 1_000]), " ▁▄█");
        assert_eq!(sparkline(&[0, 0]), "  ");
    }

    #[test]
    fn levels_line_up() {
        for lang in [Lang::En, Lang::Ja] {
            let width = |level: Level| {
                let word = padded(level.label(lang), lang);
                word.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>()
            };
            assert!(Counts::LEVELS.into_iter().all(|level| width(level) == level_width(lang)));
        }
    }
}
