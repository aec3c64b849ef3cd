//! The rules in use, and how they change while events flow.
//!
//! A change is compiled beside the rules in use, recorded in the audit log, and only then handed to
//! the pipeline, which takes it between two batches: every event is matched once, by the old rules
//! or by the new ones.

use crate::audit::Audit;
use crate::{Node, NodeError, SearchQuery};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use yagura_detect::{CompileReport, RuleFile, RuleInfo, Ruleset};
use yagura_event::FieldDictionary;
use yagura_rulebook::changes::{Difference, in_use};
use yagura_rulebook::coverage::{DataPresent, Technique, coverage};
pub use yagura_rulebook::limits::{RULE_FILE_BYTES_MAX, RULE_FILES_MAX};
use yagura_rulebook::{Compiled, RuleSources, RulebookError, cases};

const RULES_CHANGED: &str = "rules-changed";

/// Rules that one audit record names; more make more records.
const RULES_PER_RECORD_MAX: usize = 500;

/// Rules that an answer names of each kind; past it they are only counted.
const RULES_SHOWN_MAX: usize = 1_000;

/// Kinds of events, by dataset and code, that are told apart for coverage.
const EVENT_KINDS_MAX: usize = 100_000;

impl From<RulebookError> for NodeError {
    fn from(error: RulebookError) -> Self {
        match error {
            RulebookError::Place { path, reason } => NodeError::Rules { path, reason },
            other => NodeError::Content(other.to_string()),
        }
    }
}

/// How the rules are to be changed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReloadRequest {
    /// Whether rules may stop watching because their new text is refused.
    pub accept_refusals: bool,
}

/// The rules of a node.
pub(crate) struct Rules {
    sources: RuleSources,
    dictionary: Arc<FieldDictionary>,
    in_use: Mutex<InUse>,
    next: Arc<NextRules>,
    /// Held while rules change: one change at a time.
    changing: Mutex<RecordedRules>,
}

#[derive(Clone)]
struct InUse {
    ruleset: Arc<Ruleset>,
    report: Arc<CompileReport>,
    /// [`Compiled::texts`]
    texts: Arc<BTreeMap<String, [u8; 32]>>,
}

impl InUse {
    fn new(compiled: &Compiled) -> InUse {
        InUse {
            ruleset: compiled.ruleset.clone(),
            report: Arc::new(compiled.report.clone()),
            texts: compiled.texts.clone(),
        }
    }
}

/// What the pipeline looks at before each batch.
#[derive(Debug, Default)]
pub(crate) struct NextRules {
    there: AtomicBool,
    rules: Mutex<Option<Arc<Ruleset>>>,
}

impl NextRules {
    /// New rules, if there are any since the last call.
    pub(crate) fn take(&self) -> Option<Arc<Ruleset>> {
        if !self.there.swap(false, Ordering::AcqRel) {
            return None;
        }
        locked(&self.rules).take()
    }

    fn put(&self, rules: Arc<Ruleset>) {
        *locked(&self.rules) = Some(rules);
        self.there.store(true, Ordering::Release);
    }
}

/// The rules that the audit log last said are in use: a fold over its records.
#[derive(Debug, Default)]
pub(crate) struct RecordedRules {
    rules: BTreeMap<String, (String, String)>,
    adapted: String,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(rename = "event.action", borrow)]
    action: &'a str,
}

#[derive(Deserialize)]
struct ChangeEntry {
    #[serde(rename = "rules.added", default)]
    added: Vec<NamedRule>,
    #[serde(rename = "rules.changed", default)]
    changed: Vec<NamedRule>,
    #[serde(rename = "rules.removed", default)]
    removed: Vec<NamedRule>,
    #[serde(rename = "rules.adapted", default)]
    adapted: String,
}

#[derive(Deserialize)]
struct NamedRule {
    #[serde(rename = "rule.uuid")]
    id: String,
    #[serde(rename = "rule.name")]
    title: String,
    #[serde(rename = "rule.digest")]
    digest: String,
}

impl RecordedRules {
    /// Folds one audit record; those of other kinds are ignored.
    pub(crate) fn replay(&mut self, entry: &[u8]) {
        let known = serde_json::from_slice::<Entry<'_>>(entry);
        if !known.is_ok_and(|entry| entry.action == RULES_CHANGED) {
            return;
        }
        let Ok(entry) = serde_json::from_slice::<ChangeEntry>(entry) else { return };
        for rule in entry.added.into_iter().chain(entry.changed) {
            self.rules.insert(rule.id, (rule.title, rule.digest));
        }
        for rule in entry.removed {
            self.rules.remove(&rule.id);
        }
        self.adapted = entry.adapted;
    }
}

impl Rules {
    pub(crate) fn new(
        sources: RuleSources,
        dictionary: Arc<FieldDictionary>,
        compiled: &Compiled,
        recorded: RecordedRules,
    ) -> Rules {
        Rules {
            sources,
            dictionary,
            in_use: Mutex::new(InUse::new(compiled)),
            next: Arc::default(),
            changing: Mutex::new(recorded),
        }
    }

    pub(crate) fn next(&self) -> Arc<NextRules> {
        self.next.clone()
    }

    pub(crate) fn report(&self) -> Arc<CompileReport> {
        locked(&self.in_use).report.clone()
    }

    pub(crate) fn ruleset(&self) -> Arc<Ruleset> {
        locked(&self.in_use).ruleset.clone()
    }

    /// Records what differs from the rules that were last recorded.
    pub(crate) fn record_start(
        &self,
        audit: &Audit,
        compiled: &Compiled,
        who: &str,
    ) -> Result<(), NodeError> {
        let mut recorded = locked(&self.changing);
        record(audit, &mut recorded, compiled, who, "start").map(|_| ())
    }

    fn reload(
        &self,
        audit: &Audit,
        request: &ReloadRequest,
        who: &str,
        cause: &str,
    ) -> Result<Value, NodeError> {
        let mut recorded = locked(&self.changing);
        let kept = |error: RulebookError| {
            NodeError::request(
                format!("the rules in use stay: {error}"),
                format!("使用中のルールをそのまま使います: {}", error.words().ja()),
            )
        };
        let compiled = self.sources.compile(self.dictionary.clone()).map_err(kept)?;
        compiled.ruleset.prepare();
        let before = locked(&self.in_use).clone();
        if !request.accept_refusals {
            refuse_losses(&before, &compiled)?;
        }
        let difference = Difference::of(&in_use(&before.ruleset), &in_use(&compiled.ruleset));
        let adapted = record(audit, &mut recorded, &compiled, who, cause)?;
        *locked(&self.in_use) = InUse::new(&compiled);
        self.next.put(compiled.ruleset.clone());
        let named = |(id, title, digest): &(String, String, String)| json!({ "rule.uuid": id, "rule.name": title, "rule.digest": digest });
        let changed = |(id, title, _, digest): &(String, String, String, String)| json!({ "rule.uuid": id, "rule.name": title, "rule.digest": digest });
        Ok(json!({
            "loaded": compiled.report.loaded,
            "correlations": compiled.ruleset.correlations().len(),
            "refused": compiled.report.refused.len(),
            "adapted": adapted,
            "counts": {
                "added": difference.added.len(),
                "removed": difference.removed.len(),
                "changed": difference.changed.len(),
            },
            "added": difference.added.iter().take(RULES_SHOWN_MAX).map(named).collect::<Vec<_>>(),
            "removed":
                difference.removed.iter().take(RULES_SHOWN_MAX).map(named).collect::<Vec<_>>(),
            "changed":
                difference.changed.iter().take(RULES_SHOWN_MAX).map(changed).collect::<Vec<_>>(),
        }))
    }
}

impl Rules {
    /// The file of the rule or correlation `id` whose digest is `digest`: that of the rule in use, as
    /// long as its file is what it was when the rules were read. Reads this one file.
    fn text_of(&self, id: &str, digest: &str) -> Written {
        let InUse { ruleset, texts, .. } = locked(&self.in_use).clone();
        let mut all = ruleset.rules().chain(ruleset.correlations());
        let Some(rule) = all.find(|rule| rule.id == id) else { return Written::Gone };
        if rule.digest != digest {
            return Written::Changed;
        }
        Compiled::file(&rule.path, &texts).map_or(Written::Changed, Written::Here)
    }
}

/// What is there of the text of a rule that matched once.
enum Written {
    Here(RuleFile),
    Changed,
    Gone,
}

impl Node {
    /// The text of the rule that raised an alert, as it was when it matched. Reads the rule's file;
    /// blocks.
    ///
    /// # Errors
    /// [`NodeError::NotFound`], when there is no such alert, it is of no rule, or the rule is not there
    /// any more as it was.
    pub fn rule_of_alert(&self, id: &str) -> Result<Value, NodeError> {
        let missing =
            |message: String, message_ja: String| NodeError::NotFound { message, message_ja };
        let alert = id.parse().ok().and_then(|id| self.desk().alert(id)).ok_or_else(|| {
            missing(format!("there is no alert {id}"), format!("アラート {id} はありません"))
        })?;
        let rule = &alert.rule;
        let (uuid, name) = (&rule.uuid, &rule.name);
        let Some(digest) = &rule.digest else {
            return Err(missing(
                format!(
                    "{id} says of no rule how it was written: it is older, or of no Sigma rule"
                ),
                format!(
                    "{id} にはルールの記述の記録がありません（以前の版のもの、または Sigma ルール以外によるもの）"
                ),
            ));
        };
        match self.rules.text_of(uuid, digest) {
            Written::Here(file) => Ok(json!({
                "rule.uuid": uuid,
                "rule.name": name,
                "rule.digest": digest,
                "log.file.path": file.path,
                "rule.text": file.text,
            })),
            Written::Changed => Err(missing(
                format!(
                    "the rule “{name}” ({uuid}) has changed since: then its digest was {digest}"
                ),
                format!(
                    "ルール「{name}」（{uuid}）はその後変更されています。当時のダイジェスト: {digest}"
                ),
            )),
            Written::Gone => Err(missing(
                format!(
                    "the rule “{name}” ({uuid}) is not loaded any more: its digest was {digest}"
                ),
                format!(
                    "ルール「{name}」（{uuid}）はもう読み込まれていません。当時のダイジェスト: {digest}"
                ),
            )),
        }
    }

    /// Which rules were loaded and which refused.
    pub fn rules(&self) -> Arc<CompileReport> {
        self.rules.report()
    }

    /// The rules in use.
    pub fn ruleset(&self) -> Arc<Ruleset> {
        self.rules.ruleset()
    }

    /// Reads the rules again from where they came, and uses them from the next event on, unless that
    /// would make rules stop watching that `request` does not give up. `cause` is a word for the
    /// record, such as `reload`. Blocks.
    ///
    /// # Errors
    /// Why the rules in use stay in use.
    pub fn reload_rules(
        &self,
        request: &ReloadRequest,
        who: &str,
        cause: &str,
    ) -> Result<Value, NodeError> {
        self.rules.reload(self.audit(), request, who, cause)
    }

    /// Which techniques of ATT&CK the rules in use watch, with the events of the last `last` (all where
    /// it is `None`) and the tests that lie beside the rules.
    ///
    /// # Errors
    /// [`NodeError`], when `last` is no span, or tests cannot be read.
    pub async fn coverage(
        self: &Arc<Self>,
        last: Option<String>,
    ) -> Result<Vec<Technique>, NodeError> {
        let present = self.data_present(last).await?;
        let node = self.clone();
        let measured = tokio::task::spawn_blocking(move || {
            let InUse { ruleset, report, texts } = locked(&node.rules.in_use).clone();
            let adapted = String::new();
            let compiled = Compiled { ruleset, report: (*report).clone(), adapted, texts };
            let results = cases::run_beside(&node.rules.sources, &[], &compiled)?;
            Ok(coverage(&compiled.ruleset, &present, &results))
        });
        measured.await.map_err(|_| NodeError::Stopped("the look at what is covered"))?
    }

    /// What kinds of events there are.
    ///
    /// # Errors
    /// [`NodeError`], when `last` is no span.
    pub async fn data_present(
        self: &Arc<Self>,
        last: Option<String>,
    ) -> Result<DataPresent, NodeError> {
        let mut present = DataPresent::default();
        let query = SearchQuery {
            query: "* | stats count() as n by event.dataset, event.code".to_owned(),
            last,
            limit: EVENT_KINDS_MAX,
            ..SearchQuery::default()
        };
        let mut rows = self.search(&query).await?;
        while let Some(row) = rows.next().await {
            let row = row?;
            let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
            let count = row.get("n").and_then(Value::as_u64).unwrap_or(0);
            present.add(text("event.dataset"), text("event.code"), count);
        }
        Ok(present)
    }

    /// Every rule as a row, and every one that is refused, with the reason.
    pub fn rules_listed(&self) -> Value {
        let in_use = locked(&self.rules.in_use).clone();
        let exceptions = self.exceptions();
        let active: Vec<&Value> = exceptions["exceptions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|exception| exception["exception.state"] == "in_force")
            .collect();
        let over = |rule: &RuleInfo| -> Vec<String> {
            let names = |list: &Value, wanted: &str| {
                list.as_array().into_iter().flatten().any(|name| name == wanted)
            };
            let concerns = |exception: &&&Value| {
                names(&exception["rule.uuid"], &rule.id)
                    || rule.tags.iter().any(|tag| names(&exception["rule.tags"], tag))
            };
            let id = |exception: &&Value| Some(exception["exception.id"].as_str()?.to_owned());
            active.iter().filter(concerns).filter_map(id).collect()
        };
        let rows = yagura_rulebook::listing::rows(&in_use.ruleset, &in_use.report, over);
        json!({
            "loaded": in_use.report.loaded,
            "correlations": in_use.ruleset.correlations().len(),
            "refused": in_use.report.refused.len(),
            "rules": rows,
        })
    }
}

/// Refuses a change through which a rule, or a filter, would stop working because its new text is
/// wrong. Taking a rule away on purpose is no such loss.
fn refuse_losses(before: &InUse, after: &Compiled) -> Result<(), NodeError> {
    let alive: BTreeSet<&str> = ids(&after.ruleset).map(|rule| rule.id.as_str()).collect();
    let refusal_of = |path: &str, id: Option<&str>| {
        after.report.refused.iter().find(|refusal| {
            // A file that cannot be read has lost its ids.
            let same_rule = id.is_some() && refusal.rule_id.as_deref() == id;
            let whole_file = refusal.rule_id.is_none() && refusal.path == path;
            same_rule || whole_file
        })
    };
    let mut lost: Vec<String> = ids(&before.ruleset)
        .filter(|rule| !alive.contains(rule.id.as_str()))
        .filter_map(|rule| refusal_of(&rule.path, Some(rule.id.as_str())))
        .map(ToString::to_string)
        .collect();
    let filters: BTreeSet<&str> =
        after.report.filters.iter().map(|report| &*report.filter.path).collect();
    lost.extend(
        before
            .report
            .filters
            .iter()
            .filter(|report| !filters.contains(&*report.filter.path))
            .filter_map(|report| refusal_of(&report.filter.path, report.filter.id.as_deref()))
            .map(ToString::to_string),
    );
    lost.sort();
    lost.dedup();
    if lost.is_empty() {
        return Ok(());
    }
    let (count, shown) = (lost.len(), lost[..lost.len().min(10)].join("\n"));
    Err(NodeError::Request {
        message: format!(
            "the rules in use stay: {count} of them would stop working. Mend them, or accept it \
             (accept_refusals)"
        ),
        message_ja: format!(
            "使用中のルールをそのまま使います。{count}件が使えなくなるためです。直すか、\
             それでよければ accept_refusals を指定してください"
        ),
        place: Some(shown),
    })
}

fn ids(ruleset: &Ruleset) -> impl Iterator<Item = &Arc<RuleInfo>> {
    ruleset.rules().chain(ruleset.correlations())
}

/// Writes what differs from the last record; says whether lists, pipelines or zone are others.
fn record(
    audit: &Audit,
    recorded: &mut RecordedRules,
    compiled: &Compiled,
    who: &str,
    cause: &str,
) -> Result<bool, NodeError> {
    let now = in_use(&compiled.ruleset);
    let difference = Difference::of(&recorded.rules, &now);
    let adapted = recorded.adapted != compiled.adapted;
    if difference.is_empty() && !adapted {
        return Ok(false);
    }
    audit.write(&entries(&difference, compiled, who, cause))?;
    *recorded = RecordedRules { rules: now, adapted: compiled.adapted.clone() };
    Ok(adapted)
}

fn entries(difference: &Difference, compiled: &Compiled, who: &str, cause: &str) -> Vec<Value> {
    let mut named: Vec<(&str, Value)> = Vec::new();
    for (kind, list) in [("rules.added", &difference.added), ("rules.removed", &difference.removed)]
    {
        named.extend(list.iter().map(|(id, title, digest)| {
            (kind, json!({ "rule.uuid": id, "rule.name": title, "rule.digest": digest }))
        }));
    }
    named.extend(difference.changed.iter().map(|(id, title, before, digest)| {
        let rule = json!({
            "rule.uuid": id, "rule.name": title, "rule.digest": digest,
            "rule.digest_before": before,
        });
        ("rules.changed", rule)
    }));
    let mut parts: Vec<&[(&str, Value)]> = named.chunks(RULES_PER_RECORD_MAX).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let count = parts.len();
    (1..)
        .zip(parts)
        .map(|(number, part)| {
            let of = |kind: &str| -> Vec<&Value> {
                part.iter().filter(|(found, _)| *found == kind).map(|(_, rule)| rule).collect()
            };
            json!({
                "event.action": RULES_CHANGED,
                "event.reason": cause,
                "user.name": who,
                "rules.loaded": compiled.report.loaded,
                "rules.refused": compiled.report.refused.len(),
                "rules.adapted": compiled.adapted,
                "rules.added": of("rules.added"),
                "rules.removed": of("rules.removed"),
                "rules.changed": of("rules.changed"),
                "part": number,
                "parts": count,
            })
        })
        .collect()
}

/// A panic elsewhere leaves what is behind the lock whole: it is only ever replaced.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_detect::RuleFile;

    fn compiled(rules: usize) -> Compiled {
        let files: Vec<RuleFile> = (0..rules)
            .map(|number| RuleFile {
                path: format!("{number}.yml"),
                text: format!(
                    "title: Rule {number}\nid: r{number}\nlogsource: {{product: windows}}\n\
                     detection: {{s: {{a: x}}, condition: s}}\n"
                ),
            })
            .collect();
        let loaded = yagura_rulebook::Loaded { files, ..Default::default() };
        loaded.compile(Arc::new(FieldDictionary::default())).unwrap()
    }

    #[test]
    fn records_of_a_change_fold_back_to_the_rules_in_use() {
        let mut recorded = RecordedRules::default();
        for rules in [RULES_PER_RECORD_MAX, RULES_PER_RECORD_MAX + 1, 3, 0] {
            let now = compiled(rules);
            let difference = Difference::of(&recorded.rules, &in_use(&now.ruleset));
            let entries = entries(&difference, &now, "someone", "reload");
            let named = difference.added.len() + difference.removed.len();
            assert_eq!(entries.len(), named.div_ceil(RULES_PER_RECORD_MAX).max(1), "{rules}");
            for entry in entries {
                recorded.replay(entry.to_string().as_bytes());
            }
            assert_eq!(recorded.rules, in_use(&now.ruleset));
        }
        recorded.replay(b"no json");
        recorded.replay(br#"{"event.action":"alert-raised"}"#);
        assert!(recorded.rules.is_empty());
    }
}
