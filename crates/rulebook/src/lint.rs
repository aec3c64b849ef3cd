//! What is wrong with rules, with file and line.
//!
//! Three things are joined: what the compiler refuses, what the library that parses Sigma finds
//! against the specification, and what can be seen from the logic: conditions that never or always
//! hold, selections nothing asks for.

mod logic;
mod words;

use crate::Compiled;
use crate::limits::PROBLEMS_PER_FILE_MAX;
use crate::load::log_sources;
use crate::locate::{Document, documents, line_of};
use serde::Serialize;
use std::collections::BTreeMap;
use yagura_detect::{Refusal, RuleFile};
use yagura_event::Lang;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The rule is not used, or does not do what it says.
    Error,
    /// It is used, and something about it should be looked at.
    Warning,
    /// A good habit it does not have.
    Hint,
}

impl Severity {
    /// In words.
    pub fn label(self, lang: Lang) -> &'static str {
        match (self, lang) {
            (Severity::Error, Lang::En) => "error",
            (Severity::Warning, Lang::En) => "warning",
            (Severity::Hint, Lang::En) => "hint",
            (Severity::Error, Lang::Ja) => "誤り",
            (Severity::Warning, Lang::Ja) => "注意",
            (Severity::Hint, Lang::Ja) => "助言",
        }
    }
}

/// Something wrong at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub path: String,
    /// The line, from 1, where it can be told.
    pub line: Option<usize>,
    /// How bad it is.
    pub severity: Severity,
    /// A stable word for this kind of problem.
    pub code: String,
    /// The rule's id, where it has one.
    pub rule_id: Option<String>,
    /// What is wrong, in English.
    pub message: String,
    /// The same in Japanese; details that come from elsewhere stay as they are.
    pub message_ja: String,
}

impl Problem {
    /// What is wrong, in `lang`.
    pub fn message_in(&self, lang: Lang) -> &str {
        match lang {
            Lang::Ja => &self.message_ja,
            Lang::En => &self.message,
        }
    }
}

/// Every problem of `files`, by path and line. `compiled` is the rule set they were compiled in, which
/// may hold other files too.
pub fn check(files: &[RuleFile], compiled: &Compiled) -> Vec<Problem> {
    let report = &compiled.report;
    let mut refusals: BTreeMap<&str, Vec<&Refusal>> = BTreeMap::new();
    for refusal in &report.refused {
        refusals.entry(refusal.path.as_str()).or_default().push(refusal);
    }
    let mut problems = Vec::new();
    for file in files {
        let refused = refusals.remove(file.path.as_str()).unwrap_or_default();
        problems.extend(of_file(file, &refused));
    }
    // Files that were not even read as text.
    for (path, refused) in refusals {
        let unread = |refusal: &&&Refusal| refusal.rule_id.is_none() && refusal.title.is_none();
        let read_elsewhere = path.starts_with("builtin/");
        for refusal in refused.iter().filter(unread).filter(|_| !read_elsewhere) {
            problems.push(refused_problem(refusal, None, None));
        }
    }
    for report in &report.filters {
        if files.iter().any(|file| *file.path == *report.filter.path) {
            problems.extend(of_filter(report, files));
        }
    }
    problems.extend(unknown_fields(files, compiled));
    problems.sort_by(|a, b| (&a.path, a.line, &a.code).cmp(&(&b.path, b.line, &b.code)));
    problems
}

/// Fields that no event has: of each file no more than are named at all.
fn unknown_fields(files: &[RuleFile], compiled: &Compiled) -> Vec<Problem> {
    // Wrong content has been said when it was compiled.
    let Ok(sources) = log_sources() else { return Vec::new() };
    let files: BTreeMap<&str, &RuleFile> =
        files.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    let mut problems = Vec::new();
    for unknown in compiled.ruleset.unknown_fields(&sources) {
        let Some(file) = files.get(&*unknown.rule.path) else { continue };
        let count = named.entry(file.path.as_str()).or_default();
        *count += 1;
        if *count > PROBLEMS_PER_FILE_MAX {
            continue;
        }
        let documents = documents(&file.text);
        let is_it = |document: &&Document<'_>| {
            top_value(document, "id").as_ref() == Some(&unknown.rule.id)
                || top_value(document, "title").as_ref() == Some(&unknown.rule.title)
        };
        let document = documents.iter().find(is_it).or(documents.first());
        let field = unknown.field.as_str();
        let line = document.map(|document| {
            document.first_line + line_of(document.text, &["detection", field]) + 1
        });
        let message = match &unknown.meant {
            Some(meant) => format!("no event is known to have the field {field}: is it {meant}?"),
            None => format!("no event of its log source has the field {field}"),
        };
        problems.push(Problem {
            path: file.path.clone(),
            line,
            severity: Severity::Warning,
            code: "unknown_field".into(),
            rule_id: Some(unknown.rule.id.clone()),
            message_ja: words::japanese("unknown_field", &message),
            message,
        });
    }
    problems
}

fn of_file(file: &RuleFile, refused: &[&Refusal]) -> Vec<Problem> {
    let documents = documents(&file.text);
    let mut problems: Vec<Problem> = refused
        .iter()
        .map(|refusal| {
            let document = documents.iter().find(|document| is_of(refusal, document));
            refused_problem(refusal, document, documents.first())
        })
        .collect();
    // A file refused as a whole is one that must not be parsed again: it may be a bomb.
    let whole = refused.iter().any(|refusal| refusal.rule_id.is_none() && refusal.title.is_none());
    // Parts that are to be merged say nothing by themselves.
    let merged = file.text.lines().any(|line| line.starts_with("action:"));
    if !whole && !merged {
        for document in &documents {
            problems.extend(of_document(file, document));
        }
    }
    // What is refused is said once, with the reason.
    let lines: Vec<_> = problems.iter().filter(|p| p.code == "refused").map(|p| p.line).collect();
    problems.retain(|problem| {
        problem.code == "refused"
            || problem.severity != Severity::Error
            || !lines.contains(&problem.line)
    });
    problems.truncate(PROBLEMS_PER_FILE_MAX);
    problems
}

fn of_document(file: &RuleFile, document: &Document<'_>) -> Vec<Problem> {
    let id = top_value(document, "id");
    let problem = |line: usize, severity, code: &str, message: String| Problem {
        path: file.path.clone(),
        line: Some(document.first_line + line + 1),
        severity,
        code: code.to_owned(),
        rule_id: id.clone(),
        message_ja: words::japanese(code, &message),
        message,
    };
    let mut problems = Vec::new();
    // Where each stands is looked for in the whole text: no more are looked at than are named.
    let found = rsigma_parser::lint_yaml_str(document.text).into_iter();
    let found = found.filter(|found| words::is_ours(&found.rule.to_string()));
    for found in found.take(PROBLEMS_PER_FILE_MAX) {
        let code = found.rule.to_string();
        let severity = match found.severity {
            rsigma_parser::Severity::Error => Severity::Error,
            rsigma_parser::Severity::Warning => Severity::Warning,
            // Most likely a typing mistake, and then something is not said that was meant.
            _ if code == "unknown_key" => Severity::Warning,
            rsigma_parser::Severity::Info | rsigma_parser::Severity::Hint => Severity::Hint,
        };
        let line = match path_of(&found.path).as_slice() {
            [] => found.span.map_or(0, |span| span.start_line as usize),
            path => {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                line_of(document.text, &path)
            }
        };
        problems.push(problem(line, severity, &code, found.message));
    }
    let place = |path: &[&str]| line_of(document.text, path);
    let ours = logic::problems(document.text);
    let ours = ours.into_iter().take(PROBLEMS_PER_FILE_MAX);
    problems.extend(ours.map(|(path, severity, code, message)| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        problem(place(&path), severity, code, message)
    }));
    problems
}

/// `/detection/selection/Image|endswith` as keys; positions in lists lead no further.
fn path_of(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    let keys = parts.take_while(|part| part.parse::<usize>().is_err());
    keys.map(|part| part.split('|').next().unwrap_or(part).to_owned()).collect()
}

fn refused_problem(
    refusal: &Refusal,
    document: Option<&Document<'_>>,
    first: Option<&Document<'_>>,
) -> Problem {
    let line = document.or(first).map(|document| {
        let said = yaml_line(&refusal.reason);
        said.unwrap_or(document.first_line + place_of(document.text, &refusal.reason)) + 1
    });
    Problem {
        path: refusal.path.clone(),
        line,
        severity: Severity::Error,
        code: "refused".into(),
        rule_id: refusal.rule_id.clone(),
        message: refusal.reason.clone(),
        message_ja: words::japanese("refused", &refusal.reason),
    }
}

fn is_of(refusal: &Refusal, document: &Document<'_>) -> bool {
    match (&refusal.rule_id, &refusal.title) {
        (Some(id), _) => top_value(document, "id").as_ref() == Some(id),
        (None, Some(title)) => top_value(document, "title").as_ref() == Some(title),
        (None, None) => false,
    }
}

fn top_value(document: &Document<'_>, key: &str) -> Option<String> {
    let value = document.text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let value = value.split(" #").next().unwrap_or(value).trim();
    let value = value.trim_matches(['\'', '"']);
    (!value.is_empty()).then(|| value.to_owned())
}

/// The line, from 0, that the YAML library names.
fn yaml_line(reason: &str) -> Option<usize> {
    let (_, after) = reason.split_once(" at line ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<usize>().ok()?.checked_sub(1)
}

/// Where the part of a rule stands that a reason to refuse it speaks of.
fn place_of(text: &str, reason: &str) -> usize {
    let field = reason.split("field ").nth(1).and_then(|rest| rest.split(':').next());
    let selection = reason.split(": ").next().unwrap_or_default();
    let unknown_modifier = reason
        .strip_prefix("Unknown modifier '")
        .and_then(|rest| rest.split_once('\''))
        .and_then(|(word, _)| text.lines().position(|line| line.contains(&format!("|{word}"))));
    if let Some(line) = unknown_modifier {
        line
    } else if reason.starts_with("Missing required field") {
        line_of(text, &[])
    } else if reason.starts_with("condition") {
        line_of(text, &["detection", "condition"])
    } else if reason.contains("log source") {
        line_of(text, &["logsource"])
    } else if reason.contains("its id") {
        line_of(text, &["id"])
    } else if let Some(name) =
        ["status", "level", "sigma-version"].iter().find(|n| reason.contains(*n))
    {
        line_of(text, &[name])
    } else {
        let parent = if text.lines().any(|line| line.starts_with("filter:")) {
            "filter"
        } else {
            "detection"
        };
        match field {
            Some(field) => line_of(text, &[parent, selection, field]),
            None => line_of(text, &[parent, selection]),
        }
    }
}

fn of_filter(report: &yagura_detect::FilterReport, files: &[RuleFile]) -> Vec<Problem> {
    let Some(file) = files.iter().find(|file| *file.path == *report.filter.path) else {
        return Vec::new();
    };
    let documents = documents(&file.text);
    let title = Some(report.filter.title.clone());
    let document = documents.iter().find(|document| top_value(document, "title") == title);
    let line = document
        .or(documents.first())
        .map(|document| document.first_line + line_of(document.text, &["filter", "rules"]) + 1);
    let problem = |severity, code: &str, message: String| Problem {
        path: file.path.clone(),
        line,
        severity,
        code: code.to_owned(),
        rule_id: report.filter.id.clone(),
        message_ja: words::japanese(code, &message),
        message,
    };
    if report.rules.is_empty() {
        let message = "the filter lies over no rule: none has this id or name and log source";
        return vec![problem(Severity::Warning, "filter_without_rules", message.into())];
    }
    let missed = report.missed.iter().map(|name| {
        let message = format!("the filter names {name}, which is no rule of its log source");
        problem(Severity::Warning, "filter_misses_rule", message)
    });
    missed.collect()
}
