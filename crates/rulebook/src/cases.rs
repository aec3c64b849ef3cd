//! Tests of rules: sample events beside them, and whether they match.
//!
//! Two formats are read:
//!
//! * ours, `tests.jsonl` (or any name that ends so after a `.` or `-`): one case a line,
//!   `{"rule": ID, "match": true, "raw": LINE}` or, in place of `raw`, `"dataset"` and `"fields"`; for
//!   a correlation `"events"`, a list of those with `"at"`, `"count"`, `"every"` (seconds) and `"vary"`;
//! * SigmaHQ's: an `info.yml` that names the rule, beside the samples of its events (`.evtx`, and the
//!   same events as `.json`), of which at least `match_count` must match.

mod samples;

use crate::RulebookError;
use crate::cases::samples::Series;
use crate::limits::{RULE_FILE_BYTES_MAX, SAMPLE_FILE_BYTES_MAX};
use crate::load::{builtin_tests, files_below, read_text};
use crate::{Compiled, RuleSources};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_detect::{CompileReport, Correlator, CorrelatorOptions, Engine, RuleInfo, Ruleset};
use yagura_event::{EventBatch, Lang, StreamName, Words};
use yagura_normalize::Normalizer;

/// What became of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseResult {
    /// The file that holds the case.
    pub path: String,
    /// Its line, where the file holds one case a line.
    pub line: Option<usize>,
    /// The rule's id.
    pub rule_id: String,
    /// The rule's title, where there is such a rule.
    pub rule_title: Option<String>,
    /// What the events were given as.
    pub sample: Sample,
    /// Least number of matches; 0 where the rule must not match.
    pub wanted: u64,
    /// Matches.
    pub found: u64,
    /// The verdict.
    pub outcome: Outcome,
}

/// What the events of a case are given as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sample {
    /// One line as received.
    Raw,
    /// Fields of an event.
    Fields,
    /// Events over time.
    Series,
    /// A Windows event log.
    Evtx,
    /// JSON objects, one after another.
    Json,
    /// Nothing that is read here.
    None,
}

/// Whether a case holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "reason")]
pub enum Outcome {
    /// It does.
    Passed,
    /// The rule matched too few of its events.
    Silent,
    /// The rule matched what it must not.
    Noisy,
    /// No rule has that id.
    NoSuchRule,
    /// The rule is refused, for this reason.
    Refused(String),
    /// The case cannot be read, for this reason.
    Unreadable(Words),
    /// The case has no events that are read here, so it says nothing.
    Skipped,
}

impl Outcome {
    /// Whether it counts as wrong.
    pub fn is_wrong(&self) -> bool {
        !matches!(self, Outcome::Passed | Outcome::Skipped)
    }

    /// In words.
    pub fn says(&self, lang: Lang) -> String {
        let (ja, en) = match self {
            Outcome::Passed => ("合格", "passed"),
            Outcome::Silent => ("検知しませんでした", "did not match its events"),
            Outcome::Noisy => {
                ("検知してはいけないイベントを検知しました", "matched what it must not")
            }
            Outcome::NoSuchRule => ("このIDのルールはありません", "no rule has this id"),
            Outcome::Refused(reason) => {
                return match lang {
                    Lang::Ja => format!("ルールが使えません: {reason}"),
                    Lang::En => format!("the rule is refused: {reason}"),
                };
            }
            Outcome::Unreadable(reason) => {
                return match lang {
                    Lang::Ja => format!("テストを読めません: {}", reason.ja()),
                    Lang::En => format!("the case cannot be read: {}", reason.en()),
                };
            }
            Outcome::Skipped => {
                ("読めるサンプルがないため対象外", "skipped: no sample that is read here")
            }
        };
        if lang == Lang::Ja { ja } else { en }.to_owned()
    }
}

/// Files at or below `places` that hold cases.
///
/// # Errors
/// When a place cannot be read.
pub fn files(places: &[PathBuf]) -> Result<Vec<PathBuf>, RulebookError> {
    let mut found = Vec::new();
    for place in places {
        let below = files_below(place, &["jsonl", "yml"])?;
        found.extend(below.into_iter().filter(|path| Kind::of(path).is_some()));
    }
    Ok(found)
}

/// Runs every case of `files` on `ruleset`; `report` says why a rule is not among them.
///
/// Rules that a case concerns are tried with all others in place, as they run in life. `each` is
/// told of every case as it is done.
///
/// # Errors
/// When our own content is wrong; a case that cannot be read is a result.
pub fn run(
    files: &[PathBuf],
    ruleset: &Arc<Ruleset>,
    report: &CompileReport,
    mut each: impl FnMut(&CaseResult),
) -> Result<Vec<CaseResult>, RulebookError> {
    let mut runner = Runner::new(ruleset, report)?;
    let mut results = Vec::new();
    for path in files {
        let found = runner.file(path);
        found.iter().for_each(&mut each);
        results.extend(found);
    }
    Ok(results)
}

/// Runs the tests that lie beside the rules of `sources`, those of our own rules included, and those
/// at or below `more`.
///
/// # Errors
/// When a place cannot be read, or our own content is wrong.
pub fn run_beside(
    sources: &RuleSources,
    more: &[PathBuf],
    compiled: &Compiled,
) -> Result<Vec<CaseResult>, RulebookError> {
    let mut results = Vec::new();
    if sources.builtin {
        // The instants in our own tests are those of UTC.
        let utc = jiff::tz::TimeZone::UTC;
        let in_utc = match sources.zone == utc {
            true => None,
            false => {
                let sources = RuleSources { zone: utc, ..sources.clone() };
                Some(sources.compile(Normalizer::embedded_dictionary())?)
            }
        };
        let own = in_utc.as_ref().unwrap_or(compiled);
        let mut runner = Runner::new(&own.ruleset, &own.report)?;
        for test in builtin_tests() {
            results.extend(runner.text(Path::new(&test.path), &test.text));
        }
    }
    let mut runner = Runner::new(&compiled.ruleset, &compiled.report)?;
    let mut paths = files(&sources.rules)?;
    paths.extend(files(more)?);
    paths.sort();
    paths.dedup();
    for path in &paths {
        results.extend(runner.file(path));
    }
    Ok(results)
}

impl<'a> Runner<'a> {
    fn new(
        ruleset: &'a Arc<Ruleset>,
        report: &'a CompileReport,
    ) -> Result<Runner<'a>, RulebookError> {
        let normalizer = Normalizer::new(Normalizer::embedded_dictionary())
            .map_err(|error| RulebookError::Content(error.to_string()))?;
        let stream = StreamName::new("samples")
            .map_err(|error| RulebookError::Content(error.to_string()))?;
        Ok(Runner {
            stream,
            engine: Engine::new(ruleset.clone()),
            normalizer,
            rules: ruleset
                .rules()
                .chain(ruleset.correlations())
                .map(|rule| (rule.id.as_str(), rule))
                .collect(),
            ruleset,
            report,
        })
    }

    fn file(&mut self, path: &Path) -> Vec<CaseResult> {
        match Kind::of(path) {
            Some(Kind::Lines) => self.lines(path),
            Some(Kind::Info) => self.info(path),
            None => Vec::new(),
        }
    }
}

enum Kind {
    Lines,
    Info,
}

impl Kind {
    fn of(path: &Path) -> Option<Kind> {
        match path.file_name()?.to_str()? {
            "info.yml" => Some(Kind::Info),
            name => match name.strip_suffix("tests.jsonl")? {
                "" => Some(Kind::Lines),
                before => before.ends_with(['.', '-']).then_some(Kind::Lines),
            },
        }
    }
}

/// One line of `tests.jsonl`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    rule: String,
    r#match: bool,
    raw: Option<String>,
    dataset: Option<String>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    /// Events over time, for a correlation.
    #[serde(default)]
    events: Vec<Series>,
    /// Why the case is there, for people.
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Info {
    rule_metadata: Vec<InfoRule>,
    #[serde(default)]
    regression_tests_info: Vec<InfoTest>,
}

#[derive(Debug, Deserialize)]
struct InfoRule {
    id: String,
}

#[derive(Debug, Deserialize)]
struct InfoTest {
    match_count: Option<u64>,
    path: Option<String>,
}

struct Runner<'a> {
    engine: Engine,
    normalizer: Normalizer,
    stream: StreamName,
    rules: BTreeMap<&'a str, &'a Arc<RuleInfo>>,
    ruleset: &'a Arc<Ruleset>,
    report: &'a CompileReport,
}

impl Runner<'_> {
    fn lines(&mut self, path: &Path) -> Vec<CaseResult> {
        match read_text(path, SAMPLE_FILE_BYTES_MAX) {
            Ok(text) => self.text(path, &text),
            Err(reason) => vec![unreadable(path, None, reason)],
        }
    }

    fn text(&mut self, path: &Path, text: &str) -> Vec<CaseResult> {
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(number, line)| match serde_json::from_str::<Line>(line) {
                Ok(case) => self.line(path, number, &case),
                Err(error) => unreadable(path, Some(number), Words::quoted(error.to_string())),
            })
            .collect()
    }

    fn line(&mut self, path: &Path, number: usize, case: &Line) -> CaseResult {
        let (sample, batches) = match (&case.raw, &case.dataset, case.events.as_slice()) {
            (None, None, [_, ..]) => {
                let read = samples::of_series(&mut self.normalizer, &self.stream, &case.events);
                match read {
                    Ok(batches) => (Sample::Series, batches),
                    Err(reason) => return unreadable(path, Some(number), reason),
                }
            }
            (Some(line), None, []) => {
                let batches =
                    samples::batches(&mut self.normalizer, &self.stream, vec![line.clone().into()]);
                (Sample::Raw, batches)
            }
            (None, Some(dataset), []) => {
                let dictionary = self.normalizer.dictionary().clone();
                (
                    Sample::Fields,
                    samples::of_fields(dataset, &self.stream, dictionary, &case.fields),
                )
            }
            _ => {
                let reason = Words::new(
                    "a case has either raw, or dataset and fields, or events",
                    "raw、dataset と fields、events のどれか1つを書いてください",
                );
                return unreadable(path, Some(number), reason);
            }
        };
        let wanted = u64::from(case.r#match);
        let mut result = self.try_rule(path, &case.rule, sample, wanted, &batches);
        result.line = Some(number);
        result
    }

    fn info(&mut self, path: &Path) -> Vec<CaseResult> {
        let info = read_text(path, RULE_FILE_BYTES_MAX).and_then(|text| {
            yagura_detect::check_text(&text).map_err(Words::quoted)?;
            yaml_serde::from_str::<Info>(&text).map_err(|error| Words::quoted(error.to_string()))
        });
        let info = match info {
            Ok(info) => info,
            Err(reason) => return vec![unreadable(path, None, reason)],
        };
        let Some(rule) = info.rule_metadata.first() else {
            let reason =
                Words::new("rule_metadata names no rule", "rule_metadata にルールがありません");
            return vec![unreadable(path, None, reason)];
        };
        let mut results = Vec::new();
        for test in &info.regression_tests_info {
            let wanted = test.match_count.unwrap_or(1);
            for (sample, file) in samples::of_test(path, test.path.as_deref()) {
                results.push(match samples::read(sample, &file) {
                    Ok(records) => {
                        let batches = samples::batches(&mut self.normalizer, &self.stream, records);
                        self.try_rule(path, &rule.id, sample, wanted, &batches)
                    }
                    Err(reason) => {
                        let file = file.display();
                        let reason = Words::new(
                            format!("{file}: {}", reason.en()),
                            format!("{file}: {}", reason.ja()),
                        );
                        let failed = unreadable(path, None, reason);
                        CaseResult { rule_id: rule.id.clone(), sample, ..failed }
                    }
                });
            }
        }
        if results.is_empty() {
            let mut skipped = self.try_rule(path, &rule.id, Sample::None, 0, &[]);
            skipped.outcome = Outcome::Skipped;
            results.push(skipped);
        }
        results
    }

    fn try_rule(
        &mut self,
        path: &Path,
        rule_id: &str,
        sample: Sample,
        wanted: u64,
        batches: &[EventBatch],
    ) -> CaseResult {
        let rule = self.rules.get(rule_id);
        let counts = |found: &Arc<RuleInfo>| u64::from(found.id == rule_id);
        let mut found = 0;
        // Only series are counted over time; other events have little to do with each other.
        let options = CorrelatorOptions::for_files();
        let mut correlator =
            (sample == Sample::Series).then(|| Correlator::new(self.ruleset.clone(), options));
        for batch in batches {
            let matches = self.engine.evaluate(batch);
            found += matches.iter().map(|one| counts(&one.rule)).sum::<u64>();
            if let Some(correlator) = &mut correlator {
                let held = correlator.observe(batch, &matches);
                found += held.iter().map(|one| counts(&one.rule)).sum::<u64>();
            }
        }
        let held = correlator.map(|mut correlator| correlator.finish()).unwrap_or_default();
        found += held.iter().map(|one| counts(&one.rule)).sum::<u64>();
        let outcome = match rule {
            None => self.absent(rule_id),
            Some(_) if wanted > 0 && found < wanted => Outcome::Silent,
            Some(_) if wanted == 0 && found > 0 => Outcome::Noisy,
            Some(_) => Outcome::Passed,
        };
        CaseResult {
            path: path.display().to_string(),
            line: None,
            rule_id: rule_id.to_owned(),
            rule_title: rule.map(|rule| rule.title.clone()),
            sample,
            wanted,
            found,
            outcome,
        }
    }

    fn absent(&self, rule_id: &str) -> Outcome {
        let refused = &self.report.refused;
        match refused.iter().find(|refusal| refusal.rule_id.as_deref() == Some(rule_id)) {
            Some(refusal) => Outcome::Refused(refusal.reason.clone()),
            None => Outcome::NoSuchRule,
        }
    }
}

fn unreadable(path: &Path, line: Option<usize>, reason: Words) -> CaseResult {
    CaseResult {
        path: path.display().to_string(),
        line,
        rule_id: String::new(),
        rule_title: None,
        sample: Sample::None,
        wanted: 0,
        found: 0,
        outcome: Outcome::Unreadable(reason),
    }
}
