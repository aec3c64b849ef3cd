//! The report for people: one self-contained page that needs no script and loads nothing.

mod facts;

use crate::limits::{REPORT_FINDINGS_MAX, REPORT_VALUE_CHARS_MAX};
use crate::report::Counts;
use crate::row::Finding;
use crate::words::{self, WORDS, pick, visible};
use crate::{ScanError, Scanned};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::tz::TimeZone;
use minijinja::value::Serde;
use minijinja::{Environment, Template, UndefinedBehavior, Value, context};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{self, Write};
use yagura_event::{FieldDictionary, Lang, Level, UtcMicros};
use yagura_normalize::Normalizer;

/// What a report says beside the findings.
#[derive(Debug, Clone)]
pub struct ReportFacts {
    /// Language of the report.
    pub lang: Lang,
    /// Zone in which times are shown.
    pub zone: TimeZone,
    /// Version of the program.
    pub version: String,
    /// When the scan was made.
    pub made_at: UtcMicros,
    /// The paths that were named.
    pub paths: Vec<String>,
    /// Where the rules came from.
    pub sources: Vec<RuleSource>,
    /// Rules in use.
    pub rules_loaded: usize,
    /// Rules that were not used, and why.
    pub refused: Vec<(String, String)>,
    /// Rules below this level were left out.
    pub min_level: Level,
    /// Only events from this instant on were examined.
    pub from: Option<UtcMicros>,
    /// Only events before this instant were examined.
    pub to: Option<UtcMicros>,
}

/// A pack or a directory of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleSource {
    /// What it is called.
    pub name: String,
    /// How many rule files it has.
    pub rules: usize,
    /// SHA-256 over the names and contents of its files, lowercase hexadecimal.
    pub sha256: String,
}

impl RuleSource {
    /// The source called `name` with `files`, each a path and its text.
    pub fn new<'a>(
        name: impl Into<String>,
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut files: Vec<(&str, &str)> = files.into_iter().collect();
        files.sort_unstable();
        let mut hash = Sha256::new();
        for (path, text) in &files {
            hash.update((path.len() as u64).to_le_bytes());
            hash.update(path.as_bytes());
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        RuleSource { name: name.into(), rules: files.len(), sha256 }
    }
}

const STYLE: &str = include_str!("../templates/style.css");
const TEMPLATES: [(&str, &str); 3] = [
    ("head.html", include_str!("../templates/head.html")),
    ("item.html", include_str!("../templates/item.html")),
    ("tail.html", include_str!("../templates/tail.html")),
];

/// Writes the report.
///
/// Findings past [`REPORT_FINDINGS_MAX`] are left out, those of the lowest levels first, and the
/// report says how many.
///
/// # Errors
///
/// When `out` or a temporary file fails.
pub fn html(
    scanned: &mut Scanned,
    facts: &ReportFacts,
    out: &mut impl Write,
) -> Result<(), ScanError> {
    let chart = scanned.histogram(facts::CHART_SPANS)?;
    let report = &scanned.report;
    let mut environment = Environment::new();
    // A name that a template misspells must not become a hole in a report.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, text) in TEMPLATES {
        environment.add_template(name, text).map_err(wrong)?;
    }
    let words: HashMap<&str, &str> =
        WORDS.iter().map(|(name, ja, en)| (*name, pick(facts.lang, ja, en))).collect();
    let words = Value::from(Serde(&words));
    let cut = Cut::new(report.levels, REPORT_FINDINGS_MAX);
    let head = facts::Head::new(report, facts, chart.as_ref(), cut);
    let style_hash = format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(STYLE.as_bytes())));
    let head = context! {
        lang => facts.lang.as_str(),
        t => words.clone(),
        style => Value::from_safe_string(STYLE.to_owned()),
        style_hash => Value::from_safe_string(style_hash),
        ..Value::from(Serde(&head))
    };
    let tail =
        context! { t => words.clone(), ..Value::from(Serde(facts::Tail::new(report, facts))) };
    let numbers: HashMap<String, usize> =
        (1..).zip(&report.rules).map(|(number, rule)| (rule.rule.id.clone(), number)).collect();

    write(&environment.get_template("head.html").map_err(wrong)?, head, out)?;
    let mut timeline = Timeline {
        facts,
        words,
        numbers,
        dictionary: &Normalizer::embedded_dictionary(),
        template: environment.get_template("item.html").map_err(wrong)?,
        day: String::new(),
        event: Vec::new(),
    };
    let mut cut = cut;
    for finding in scanned.findings()? {
        let finding = finding?;
        if cut.takes(finding.level()) {
            timeline.take(finding, out)?;
        }
    }
    timeline.flush(out)?;
    write(&environment.get_template("tail.html").map_err(wrong)?, tail, out)?;
    out.flush().map_err(ScanError::Write)
}

fn wrong(error: minijinja::Error) -> ScanError {
    ScanError::Content(format!("{error:#}"))
}

fn write(
    template: &Template<'_, '_>,
    context: Value,
    out: &mut impl Write,
) -> Result<(), ScanError> {
    let mut failed = None;
    let mut watched = Watched { out, failed: &mut failed };
    let rendered = template.render_captured_to(context, &mut watched);
    match (failed, rendered) {
        (Some(error), _) => Err(ScanError::Write(error)),
        (None, Err(error)) => Err(wrong(error)),
        (None, Ok(_)) => Ok(()),
    }
}

/// Keeps the reason why writing failed, which the template engine does not.
struct Watched<'a, W> {
    out: &'a mut W,
    failed: &'a mut Option<io::Error>,
}

impl<W: Write> Write for Watched<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                *self.failed = Some(error);
            }
            kind.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Which findings a report has room for: the gravest levels whole, then as many of the next as fit.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// How many of each level are still taken.
    room: [u64; 5],
    left_out: u64,
}

impl Cut {
    fn new(levels: Counts, most: u64) -> Self {
        let mut room = [0; 5];
        let mut left = most;
        for (room, count) in room.iter_mut().zip(levels.0).rev() {
            *room = count.min(left);
            left -= *room;
        }
        Cut { room, left_out: levels.total().saturating_sub(most) }
    }

    fn takes(&mut self, level: Level) -> bool {
        let mut rooms = Counts::LEVELS.iter().zip(&mut self.room);
        let Some((_, room)) = rooms.find(|(known, _)| **known == level) else { return false };
        let takes = *room > 0;
        *room = room.saturating_sub(1);
        takes
    }
}

/// Writes the findings of one event together.
struct Timeline<'a> {
    facts: &'a ReportFacts,
    words: Value,
    /// Numbers of the rules as explained.
    numbers: HashMap<String, usize>,
    dictionary: &'a FieldDictionary,
    template: Template<'a, 'a>,
    day: String,
    event: Vec<Finding>,
}

#[derive(Serialize)]
struct Told<'a> {
    class: &'static str,
    word: &'static str,
    title: String,
    number: Option<usize>,
    evidence: Vec<Piece<'a>>,
    /// For a correlation: how many events it counted and when, and some of them.
    counted: String,
    events: Vec<String>,
}

#[derive(Serialize)]
struct Piece<'a> {
    label: &'a str,
    value: String,
    predicate: String,
}

impl Timeline<'_> {
    fn take(&mut self, finding: Finding, out: &mut impl Write) -> Result<(), ScanError> {
        let same = self.event.last().is_some_and(|last| {
            ["event.id", "@timestamp", "message"].iter().all(|n| last.text(n) == finding.text(n))
        });
        if !same {
            self.flush(out)?;
        }
        self.event.push(finding);
        Ok(())
    }

    fn flush(&mut self, out: &mut impl Write) -> Result<(), ScanError> {
        let mut event = std::mem::take(&mut self.event);
        event.sort_by_key(|finding| std::cmp::Reverse(finding.level()));
        let Some(first) = event.first() else { return Ok(()) };
        let (lang, zone) = (self.facts.lang, &self.facts.zone);
        let at = first.timestamp();
        let today = words::day(at, zone, lang);
        let day = if today == self.day { String::new() } else { today.clone() };
        self.day = today;
        let about: Vec<String> = ["host.name", "user.name", "source.ip", "event.code"]
            .iter()
            .filter(|name| !first.text(name).is_empty())
            .map(|name| {
                let label = self.dictionary.label(name, lang);
                format!("{label}{}{}", pick(lang, "：", ": "), visible(first.text(name)))
            })
            .collect();
        let findings: Vec<Told<'_>> = event.iter().map(|finding| self.told(finding)).collect();
        let context = context! {
            t => self.words.clone(),
            day => day,
            time => words::time_of_day(at, zone),
            sentence => visible(first.text("message")),
            findings => Value::from(Serde(&findings)),
            about => about.join(pick(lang, "、", ", ")),
            id => visible(first.text("event.id")),
        };
        write(&self.template, context, out)
    }

    fn told<'f>(&'f self, finding: &'f Finding) -> Told<'f> {
        let level = finding.level();
        let pieces = finding.get("rule.evidence").and_then(|e| e.as_array()).into_iter().flatten();
        let text = |piece: &serde_json::Value, key: &str| {
            let text = piece.get(key).and_then(|text| text.as_str()).unwrap_or_default();
            visible(&crate::tell::shorten(text, REPORT_VALUE_CHARS_MAX))
        };
        let evidence = pieces.map(|piece| {
            let field = piece.get("field").and_then(|field| field.as_str()).unwrap_or_default();
            Piece {
                label: match self.dictionary.label(field, self.facts.lang) {
                    // A native field is called as its own documents call it.
                    name if name == field => {
                        name.strip_prefix("winlog.event_data.").unwrap_or(name)
                    }
                    label => label,
                },
                value: text(piece, "value"),
                predicate: text(piece, "predicate"),
            }
        });
        Told {
            class: level.as_str(),
            word: level.label(self.facts.lang),
            title: visible(finding.title(self.facts.lang)),
            number: self.numbers.get(finding.text("rule.uuid")).copied(),
            evidence: evidence.collect(),
            counted: self.counted(finding),
            events: finding.texts("related.events").map(visible).collect(),
        }
    }

    fn counted(&self, finding: &Finding) -> String {
        let Some(events) = finding.get("event.count").and_then(|count| count.as_u64()) else {
            return String::new();
        };
        let at = |name: &str| {
            let at: UtcMicros = finding.text(name).parse().unwrap_or_default();
            words::instant(at, &self.facts.zone)
        };
        let (first, last) = (at("event.start"), at("event.end"));
        match self.facts.lang {
            Lang::Ja => {
                format!("{first} から {last} までの{}件をまとめた検知：", words::number(events))
            }
            Lang::En => format!(
                "Counts {} from {first} to {last}:",
                words::count(events, "event", "events")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_levels_are_left_out_first() {
        let levels = Counts([5, 0, 4, 0, 3]);
        let taken = |most: u64| {
            let mut cut = Cut::new(levels, most);
            let mut taken = [0; 5];
            for _ in 0..6 {
                for (count, level) in taken.iter_mut().zip(Counts::LEVELS) {
                    *count += u64::from(cut.takes(level));
                }
            }
            (taken, cut.left_out)
        };
        assert_eq!(taken(12), ([5, 0, 4, 0, 3], 0));
        assert_eq!(taken(11), ([4, 0, 4, 0, 3], 1));
        assert_eq!(taken(5), ([0, 0, 2, 0, 3], 7));
        assert_eq!(taken(0), ([0; 5], 12));
    }

    #[test]
    fn the_digest_of_rules_changes_with_every_byte_and_not_with_the_order() {
        let of = |files: &[(&str, &str)]| RuleSource::new("x", files.iter().copied()).sha256;
        let one = of(&[("a", "1"), ("b", "2")]);
        assert_eq!(one, of(&[("b", "2"), ("a", "1")]));
        for other in [[("a", "1"), ("b", "3")], [("a", "12"), ("b", "")], [("ab", "1"), ("", "2")]]
        {
            assert_ne!(one, of(&other));
        }
    }
}
