use crate::limits::{DAMAGES_TOLD_MAX, NAME_BYTES_MAX, NAMES_COUNTED_MAX};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use yagura_detect::{Notice, RuleInfo};
use yagura_event::{Level, UtcMicros, Words};
use yagura_intake::import::{Damage, FileKind, Problem};

/// What was read, and what was found, in numbers.
#[derive(Debug, Clone, Default)]
pub struct ScanReport {
    /// Each log, those inside archives one by one, in the order read.
    pub files: Vec<FileSummary>,
    /// Paths that were named or found and not opened.
    pub problems: Vec<Problem>,
    /// Events read.
    pub events: u64,
    /// Events between the times asked for.
    pub events_in_range: u64,
    /// Events of no kind that is known: kept as text, seen by rules for keywords only.
    pub unknown: u64,
    /// Events that could be read in part only.
    pub imperfect: u64,
    /// Events without a time of their own: they count as of when the scan began.
    pub untimed: u64,
    /// When the first and the last event in range happened, those without a time left out.
    pub span: Option<(UtcMicros, UtcMicros)>,
    /// Findings, by level.
    pub levels: Counts,
    /// When the first and the last finding happened.
    pub findings_span: Option<(UtcMicros, UtcMicros)>,
    /// Rules that found something: the gravest first, then those that found most.
    pub rules: Vec<RuleSummary>,
    /// Hosts with findings, likewise.
    pub hosts: Vec<NameSummary>,
    /// Users with findings, likewise.
    pub users: Vec<NameSummary>,
    /// Findings of hosts and of users past [`NAMES_COUNTED_MAX`] names.
    pub uncounted: (u64, u64),
    /// Whether it was ended before everything was read.
    pub cancelled: bool,
    /// Bytes of findings that went to temporary files.
    pub spilled: u64,
    /// What correlations could not count.
    pub notices: Vec<Notice>,
}

/// What became of one log.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FileSummary {
    /// Path, and within archives `archive!member`.
    pub path: String,
    /// What it is; `None` when it was not read.
    pub kind: Option<FileKind>,
    /// SHA-256 of the (expanded) content, lowercase hexadecimal; empty when it was not read.
    pub sha256: String,
    /// Size of the (expanded) content, in bytes.
    pub bytes: u64,
    /// Events read.
    pub events: u64,
    /// Findings in these events.
    pub findings: u64,
    /// When the first and the last event happened.
    pub span: Option<(UtcMicros, UtcMicros)>,
    /// Damaged places.
    pub damaged: u64,
    /// The first [`DAMAGES_TOLD_MAX`] of them.
    pub damages: Vec<Damage>,
    /// Why it was not read.
    pub skipped: Option<Words>,
    /// It is no log: neither text nor of a kind that is known.
    pub no_log: bool,
    /// The log with the same content that was read instead.
    pub same_as: Option<String>,
}

/// A rule, and how often it found something.
#[derive(Debug, Clone)]
pub struct RuleSummary {
    /// The rule.
    pub rule: Arc<RuleInfo>,
    /// Findings.
    pub findings: u64,
    /// When the first and the last of them happened.
    pub span: (UtcMicros, UtcMicros),
}

/// A host or a user, and the findings about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameSummary {
    /// Its name.
    pub name: String,
    /// Findings, by level.
    pub levels: Counts,
}

/// Findings by level, from informational to critical.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts(pub [u64; 5]);

impl Counts {
    /// All levels, in the order of the numbers.
    pub const LEVELS: [Level; 5] =
        [Level::Informational, Level::Low, Level::Medium, Level::High, Level::Critical];

    /// Findings of `level`.
    pub fn of(self, level: Level) -> u64 {
        let counts = Self::LEVELS.iter().zip(self.0);
        counts.filter(|(known, _)| **known == level).map(|(_, count)| count).sum()
    }

    /// Findings of all levels.
    pub fn total(self) -> u64 {
        self.0.iter().sum()
    }

    /// The gravest level with findings.
    pub fn gravest(self) -> Option<Level> {
        let counts = Self::LEVELS.iter().zip(self.0);
        counts.rev().find(|(_, count)| *count > 0).map(|(level, _)| *level)
    }

    /// Findings of `level` and above.
    pub fn from_level(self, level: Level) -> u64 {
        let counts = Self::LEVELS.iter().zip(self.0);
        counts.filter(|(known, _)| **known >= level).map(|(_, count)| count).sum()
    }

    pub(crate) fn add(&mut self, level: Level) {
        let counts = Self::LEVELS.iter().zip(&mut self.0);
        counts.filter(|(known, _)| **known == level).for_each(|(_, count)| *count += 1);
    }

    fn merge(&mut self, other: Counts) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }

    /// For sorting: the gravest first, then those with most.
    fn weight(self) -> [u64; 5] {
        let mut weight = self.0;
        weight.reverse();
        weight
    }
}

impl ScanReport {
    /// Findings.
    pub fn findings(&self) -> u64 {
        self.levels.total()
    }

    /// Damaged places, over all files.
    pub fn damaged(&self) -> u64 {
        self.files.iter().map(|file| file.damaged).sum()
    }

    /// Whether everything that looked like a log could be read to its end.
    pub fn is_complete(&self) -> bool {
        let unread =
            |file: &FileSummary| file.damaged > 0 || file.skipped.is_some() && !file.no_log;
        !self.cancelled && self.problems.is_empty() && !self.files.iter().any(unread)
    }
}

impl FileSummary {
    pub(crate) fn new(path: &str) -> Self {
        FileSummary { path: path.to_owned(), ..FileSummary::default() }
    }

    pub(crate) fn damage(&mut self, damage: Damage) {
        self.damaged += 1;
        if self.damages.len() < DAMAGES_TOLD_MAX {
            self.damages.push(damage);
        }
    }
}

/// The earlier and the later of two spans.
pub(crate) fn widen<T: Ord + Copy>(span: &mut Option<(T, T)>, first: T, last: T) {
    *span = Some(match *span {
        Some((from, to)) => (from.min(first), to.max(last)),
        None => (first, last),
    });
}

/// What one worker counts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub events: u64,
    pub events_in_range: u64,
    pub unknown: u64,
    pub imperfect: u64,
    pub untimed: u64,
    pub span: Option<(i64, i64)>,
    pub findings_span: Option<(i64, i64)>,
    pub levels: Counts,
    pub files: HashMap<u32, FileTally>,
    rules: HashMap<u32, (u64, i64, i64)>,
    hosts: Names,
    users: Names,
}

#[derive(Debug, Default)]
pub(crate) struct FileTally {
    pub events: u64,
    pub findings: u64,
    pub span: Option<(i64, i64)>,
    pub damages: Vec<(u64, Damage)>,
    pub damaged: u64,
}

impl FileTally {
    /// A damaged place, found in unit `unit`.
    pub fn damage(&mut self, unit: u64, place: Words, reason: Words) {
        self.damaged += 1;
        if self.damages.len() < DAMAGES_TOLD_MAX {
            self.damages.push((unit, Damage { place, reason }));
        }
    }
}

#[derive(Debug, Default)]
struct Names {
    known: HashMap<Box<str>, Counts>,
    others: u64,
}

impl Names {
    fn add(&mut self, name: &str, level: Level) {
        if name.is_empty() {
            return;
        }
        let name = cut(name);
        if let Some(counts) = self.known.get_mut(name) {
            counts.add(level);
        } else if self.known.len() < NAMES_COUNTED_MAX {
            let mut counts = Counts::default();
            counts.add(level);
            self.known.insert(name.into(), counts);
        } else {
            self.others += 1;
        }
    }

    fn merge(&mut self, other: Names) {
        self.others += other.others;
        for (name, counts) in other.known {
            if let Some(known) = self.known.get_mut(&name) {
                known.merge(counts);
            } else if self.known.len() < NAMES_COUNTED_MAX {
                self.known.insert(name, counts);
            } else {
                self.others += counts.total();
            }
        }
    }

    fn sorted(self) -> Vec<NameSummary> {
        let known = self.known.into_iter();
        let mut names: Vec<NameSummary> =
            known.map(|(name, levels)| NameSummary { name: name.into(), levels }).collect();
        names.sort_by(|a, b| {
            b.levels.weight().cmp(&a.levels.weight()).then_with(|| a.name.cmp(&b.name))
        });
        names
    }
}

fn cut(name: &str) -> &str {
    name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or(name)
}

impl Tally {
    /// Counts a finding of rule number `rule`.
    pub fn finding(&mut self, rule: u32, level: Level, time: i64, host: &str, user: &str) {
        self.levels.add(level);
        widen(&mut self.findings_span, time, time);
        let seen = self.rules.entry(rule).or_insert((0, time, time));
        *seen = (seen.0 + 1, seen.1.min(time), seen.2.max(time));
        self.hosts.add(host, level);
        self.users.add(user, level);
    }

    pub fn merge(&mut self, other: Tally) {
        self.events += other.events;
        self.events_in_range += other.events_in_range;
        self.unknown += other.unknown;
        self.imperfect += other.imperfect;
        self.untimed += other.untimed;
        for (span, more) in
            [(&mut self.span, other.span), (&mut self.findings_span, other.findings_span)]
        {
            if let Some((first, last)) = more {
                widen(span, first, last);
            }
        }
        self.levels.merge(other.levels);
        for (file, tally) in other.files {
            let known = self.files.entry(file).or_default();
            known.events += tally.events;
            known.findings += tally.findings;
            known.damaged += tally.damaged;
            known.damages.extend(tally.damages);
            if let Some((first, last)) = tally.span {
                widen(&mut known.span, first, last);
            }
        }
        for (rule, (count, first, last)) in other.rules {
            let seen = self.rules.entry(rule).or_insert((0, first, last));
            *seen = (seen.0 + count, seen.1.min(first), seen.2.max(last));
        }
        self.hosts.merge(other.hosts);
        self.users.merge(other.users);
    }

    /// Tells everything counted in `report`, whose files are those the numbers of files mean; the
    /// numbers of rules are positions in `rules`.
    pub fn tell(self, report: &mut ScanReport, rules: &[Arc<RuleInfo>]) {
        let instants = |span: Option<(i64, i64)>| {
            span.map(|(a, b)| (UtcMicros::from_micros(a), UtcMicros::from_micros(b)))
        };
        report.events = self.events;
        report.events_in_range = self.events_in_range;
        report.unknown = self.unknown;
        report.imperfect = self.imperfect;
        report.untimed = self.untimed;
        report.span = instants(self.span);
        report.findings_span = instants(self.findings_span);
        report.levels = self.levels;
        for (file, mut tally) in self.files {
            let Some(file) = report.files.get_mut(file as usize) else { continue };
            file.events = tally.events;
            file.findings = tally.findings;
            file.span = instants(tally.span);
            tally.damages.sort_by_key(|(unit, _)| *unit);
            let told = tally.damages.len() as u64;
            tally.damages.into_iter().for_each(|(_, damage)| file.damage(damage));
            file.damaged += tally.damaged - told;
        }
        let found = self.rules.into_iter().filter_map(|(rule, (findings, first, last))| {
            let rule = rules.get(rule as usize)?.clone();
            let span = (UtcMicros::from_micros(first), UtcMicros::from_micros(last));
            Some(RuleSummary { rule, findings, span })
        });
        report.rules = found.collect();
        report.rules.sort_by(|a, b| {
            let by_weight = (b.rule.level, b.findings).cmp(&(a.rule.level, a.findings));
            by_weight.then_with(|| a.rule.id.cmp(&b.rule.id))
        });
        report.uncounted = (self.hosts.others, self.users.others);
        report.hosts = self.hosts.sorted();
        report.users = self.users.sorted();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_up_to_the_limit_and_then_together() {
        let mut names = Names::default();
        for number in 0..NAMES_COUNTED_MAX {
            names.add(&format!("host{number}"), Level::Low);
        }
        assert_eq!((names.known.len(), names.others), (NAMES_COUNTED_MAX, 0));
        names.add("one more", Level::Critical);
        names.add("host7", Level::High);
        assert_eq!((names.known.len(), names.others), (NAMES_COUNTED_MAX, 1));
        let mut merged = Names::default();
        merged.add("elsewhere", Level::Medium);
        merged.merge(names);
        assert_eq!((merged.known.len(), merged.others), (NAMES_COUNTED_MAX, 2));
        let sorted = merged.sorted();
        assert_eq!(sorted[0].name, "host7");
        assert_eq!(sorted[1].name, "elsewhere");
    }

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        let long = "田".repeat(NAME_BYTES_MAX);
        assert_eq!(cut(&long).len(), NAME_BYTES_MAX - 1);
        assert_eq!(cut("田中"), "田中");
    }

    #[test]
    fn damages_past_the_limit_are_counted() {
        let mut file = FileSummary::new("x");
        for number in 0..=DAMAGES_TOLD_MAX {
            file.damage(Damage {
                place: Words::quoted(number.to_string()),
                reason: Words::quoted(""),
            });
        }
        assert_eq!((file.damages.len(), file.damaged), (DAMAGES_TOLD_MAX, 51));
    }
}
