//! What differs between two sets of rules.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use yagura_detect::{RuleFile, RuleInfo, Ruleset};

/// One rule that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happened to it.
    pub kind: ChangeKind,
    /// Its id; of a document without one, its path and number.
    #[serde(rename = "rule.uuid")]
    pub id: String,
    /// Its title: the new one where both have one.
    #[serde(rename = "rule.name")]
    pub title: String,
    /// The file: the new one where both have one.
    #[serde(rename = "log.file.path")]
    pub path: String,
    /// What changed in it: `detection`, `logsource`, `level`, `status`, `title`, ...
    pub parts: Vec<String>,
    /// Level before.
    pub level_before: Option<String>,
    /// Level after.
    pub level_after: Option<String>,
}

/// What happened to a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It was not there.
    Added,
    /// It is not there any more.
    Removed,
    /// It is another.
    Changed,
}

impl Change {
    /// Whether it decides which events match.
    pub fn is_logic(&self) -> bool {
        self.kind != ChangeKind::Changed
            || self.parts.iter().any(|part| {
                matches!(
                    part.as_str(),
                    "detection" | "logsource" | "correlation" | "filter" | "text"
                )
            })
    }
}

/// What differs between the rules, correlations and filters of two sets of files, by kind and title.
///
/// Documents are compared by what the parser reads of them, so that comments and layout do not
/// count. A file that cannot be parsed is compared as it is.
pub fn between(before: &[RuleFile], after: &[RuleFile]) -> Vec<Change> {
    let (old, new) = (documents(before), documents(after));
    let mut changes = Vec::new();
    for (id, document) in &new {
        let change = match old.get(id) {
            None => change(ChangeKind::Added, id, document, Vec::new(), None),
            Some(earlier) => {
                let parts = differing(&earlier.parsed, &document.parsed);
                if parts.is_empty() {
                    continue;
                }
                change(ChangeKind::Changed, id, document, parts, Some(earlier))
            }
        };
        changes.push(change);
    }
    for (id, document) in old.iter().filter(|(id, _)| !new.contains_key(*id)) {
        let mut gone = change(ChangeKind::Removed, id, document, Vec::new(), None);
        gone.level_before = gone.level_after.take();
        changes.push(gone);
    }
    changes.sort_by(|a, b| (a.kind, &a.title, &a.id).cmp(&(b.kind, &b.title, &b.id)));
    changes
}

/// What differs between the rules in use of two rule sets, as id, title and digest: for the record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Rules that came: id, title, digest.
    pub added: Vec<(String, String, String)>,
    /// Rules that went: id, title, digest.
    pub removed: Vec<(String, String, String)>,
    /// Rules that changed: id, title, digest before, digest after.
    pub changed: Vec<(String, String, String, String)>,
}

impl Difference {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// Compares by id: `before` maps ids to titles and digests.
    pub fn of(
        before: &BTreeMap<String, (String, String)>,
        after: &BTreeMap<String, (String, String)>,
    ) -> Difference {
        let mut found = Difference::default();
        for (id, (title, digest)) in after {
            match before.get(id) {
                None => found.added.push((id.clone(), title.clone(), digest.clone())),
                Some((_, earlier)) if earlier != digest => {
                    let (title, earlier) = (title.clone(), earlier.clone());
                    found.changed.push((id.clone(), title, earlier, digest.clone()));
                }
                Some(_) => {}
            }
        }
        for (id, (title, digest)) in before.iter().filter(|(id, _)| !after.contains_key(*id)) {
            found.removed.push((id.clone(), title.clone(), digest.clone()));
        }
        found
    }
}

/// Ids of the rules in use, with their titles and the digests of what decides their matches: the
/// rule as written and the filters over it.
pub fn in_use(ruleset: &Ruleset) -> BTreeMap<String, (String, String)> {
    let entry = |rule: &Arc<RuleInfo>| {
        let mut digest = rule.digest.clone();
        if !rule.filters.is_empty() {
            let mut hash = Sha256::new();
            hash.update(&digest);
            rule.filters.iter().for_each(|filter| hash.update(&filter.digest));
            digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        }
        (rule.id.clone(), (rule.title.clone(), digest))
    };
    ruleset.rules().chain(ruleset.correlations()).map(entry).collect()
}

struct Parsed {
    title: String,
    path: String,
    parsed: Value,
}

/// The files whose documents are all filters, with the ids of these as [`Change::id`] says them.
pub(crate) fn filter_files(files: &[RuleFile]) -> BTreeMap<String, Vec<String>> {
    let of = |file: &RuleFile| {
        let ids: Vec<String> = documents(std::slice::from_ref(file)).into_keys().collect();
        let all = !ids.is_empty() && ids.iter().all(|id| id.starts_with(FILTER));
        all.then(|| (file.path.clone(), ids))
    };
    files.iter().filter_map(of).collect()
}

/// Every id in `files`, as [`Change::id`] says them.
pub(crate) fn ids(files: &[RuleFile]) -> BTreeSet<String> {
    documents(files).into_keys().collect()
}

/// What stands before the ids of filters, which may be those of rules.
const FILTER: &str = "filter:";

fn documents(files: &[RuleFile]) -> BTreeMap<String, Parsed> {
    let mut found = BTreeMap::new();
    for file in files {
        for (number, (kind, value)) in (1..).zip(parsed(file)) {
            let text = |key: &str| value[key].as_str().map(str::to_owned);
            let id = text("id").filter(|id| !id.is_empty());
            let id = id.unwrap_or_else(|| format!("{}#{number}", file.path));
            let title = text("title").unwrap_or_else(|| file.path.clone());
            let document = Parsed { title, path: file.path.clone(), parsed: value };
            // A second document of one id is refused when loaded; here the first one counts too.
            found.entry(format!("{kind}{id}")).or_insert(document);
        }
    }
    found
}

fn parsed(file: &RuleFile) -> Vec<(&'static str, Value)> {
    let json = |value| serde_json::to_value(value).unwrap_or_default();
    let unread = || vec![("", serde_json::json!({ "text": file.text }))];
    // What the compiler would not parse is not parsed here either.
    if yagura_detect::check_text(&file.text).is_err() {
        return unread();
    }
    let Ok(collection) = rsigma_parser::parse_sigma_yaml(&file.text) else { return unread() };
    let mut values = Vec::new();
    for rule in &collection.rules {
        let mut value = serde_json::to_value(rule).unwrap_or_default();
        // The same logic, parsed and as written.
        if let Some(detection) = value["detection"].as_object_mut() {
            detection.remove("condition_strings");
        }
        values.push(("", value));
    }
    values.extend(collection.correlations.iter().map(|one| {
        let value = serde_json::to_value(one).unwrap_or_default();
        ("", regrouped(value))
    }));
    values.extend(collection.filters.iter().map(|one| (FILTER, json(one))));
    if values.is_empty() { unread() } else { values }
}

/// What makes a correlation match, under one name.
fn regrouped(mut value: Value) -> Value {
    let logic = [
        "correlation_type",
        "rules",
        "group_by",
        "timespan",
        "window",
        "gap",
        "condition",
        "aliases",
        "generate",
    ];
    let Some(map) = value.as_object_mut() else { return value };
    let parts: serde_json::Map<String, Value> =
        logic.iter().filter_map(|key| Some(((*key).to_owned(), map.remove(*key)?))).collect();
    map.insert("correlation".into(), Value::Object(parts));
    value
}

fn differing(before: &Value, after: &Value) -> Vec<String> {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else {
        return if before == after { Vec::new() } else { vec!["text".into()] };
    };
    let mut parts: Vec<String> = before
        .keys()
        .chain(after.keys().filter(|key| !before.contains_key(*key)))
        .filter(|key| before.get(*key) != after.get(*key))
        .cloned()
        .collect();
    parts.sort();
    parts
}

fn change(
    kind: ChangeKind,
    id: &str,
    document: &Parsed,
    parts: Vec<String>,
    before: Option<&Parsed>,
) -> Change {
    let level = |document: &Parsed| document.parsed["level"].as_str().map(str::to_owned);
    Change {
        kind,
        id: id.to_owned(),
        title: document.title.clone(),
        path: document.path.clone(),
        parts,
        level_before: before.and_then(level),
        level_after: level(document),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> RuleFile {
        RuleFile { path: path.into(), text: text.into() }
    }

    fn rule(id: &str, level: &str, value: &str) -> String {
        format!(
            "title: Rule {id}\nid: {id}\nlevel: {level}\nlogsource: {{product: any}}\ndetection:\n  s: {{a: {value}}}\n  condition: s\n"
        )
    }

    #[test]
    fn what_changed_is_said_and_layout_is_no_change() {
        let before = [
            file("1.yml", &rule("one", "low", "x")),
            file("2.yml", &rule("two", "low", "x")),
            file("3.yml", &rule("three", "low", "x")),
            file("5.yml", "\t- broken: ["),
        ];
        let after = [
            file("moved.yml", &format!("# a comment\n{}", rule("one", "low", "'x'"))),
            file("2.yml", &rule("two", "high", "y")),
            file("4.yml", &rule("four", "high", "x")),
            file("5.yml", "\t- broken: {"),
        ];
        let changes = between(&before, &after);
        let said: Vec<_> = changes
            .iter()
            .map(|c| {
                let levels = (c.level_before.as_deref(), c.level_after.as_deref());
                (c.kind, c.id.as_str(), c.parts.join(" "), levels, c.is_logic())
            })
            .collect();
        let levels = |before, after| (before, after);
        assert_eq!(
            said,
            [
                (ChangeKind::Added, "four", String::new(), levels(None, Some("high")), true),
                (ChangeKind::Removed, "three", String::new(), levels(Some("low"), None), true),
                (ChangeKind::Changed, "5.yml#1", "text".into(), levels(None, None), true),
                (
                    ChangeKind::Changed,
                    "two",
                    "detection level".into(),
                    levels(Some("low"), Some("high")),
                    true
                ),
            ]
        );
    }
}
