use crate::condition;
use crate::expression::Expression;
use crate::item::{AtomTable, RuleAtoms};
use crate::limits::{DATASETS_MAX, OPEN_BRACKETS_MAX, RULE_FILE_BYTES_MAX, RULES_MAX};
use crate::logsource::{Clause, LogSources};
use crate::plan::Plan;
use crate::rule::RuleInfo;
use rsigma_parser::{CorrelationRule, SigmaCollection, SigmaRule, Status};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use yagura_event::FieldDictionary;

/// A rule file as read from wherever rules are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFile {
    /// Its path, for people.
    pub path: String,
    /// Its YAML: one or more documents.
    pub text: String,
}

/// Compiled rules; share it with [`Arc`].
#[derive(Debug)]
pub struct Ruleset {
    rules: Vec<CompiledRule>,
    atoms: AtomTable,
    dictionary: Arc<FieldDictionary>,
    plans: RwLock<HashMap<Arc<str>, Arc<Plan>>>,
}

/// What became of the rule files.
#[derive(Debug, Clone, Default)]
pub struct CompileReport {
    /// Rules in use.
    pub loaded: usize,
    /// Rules, and files, that are not used, in the order they were given.
    pub refused: Vec<Refusal>,
}

/// A rule, or a whole file, that cannot be honoured and is therefore not used at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The file.
    pub path: String,
    /// The rule's id, where it got far enough to have one.
    pub rule_id: Option<String>,
    /// The rule's title, likewise.
    pub title: Option<String>,
    /// Why, in English.
    pub reason: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)?;
        if let Some(name) = self.title.as_ref().or(self.rule_id.as_ref()) {
            write!(f, ": {name}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

#[derive(Debug)]
pub(crate) struct CompiledRule {
    pub(crate) info: Arc<RuleInfo>,
    pub(crate) clauses: Vec<Clause>,
    pub(crate) expression: Expression,
}

impl Ruleset {
    /// Compiles rules. A file or rule that cannot be used is refused and reported; the others are
    /// used.
    pub fn compile(
        files: &[RuleFile],
        dictionary: Arc<FieldDictionary>,
        sources: &LogSources,
    ) -> (Ruleset, CompileReport) {
        let mut compiler = Compiler {
            sources,
            atoms: AtomTable::default(),
            rules: Vec::new(),
            paths: HashMap::new(),
            refused: Vec::new(),
        };
        let parsed: Vec<_> =
            files.iter().filter_map(|file| Some((file, compiler.parse(file)?))).collect();
        let correlated = correlated_rules(&parsed);
        for (file, collection) in parsed {
            compiler.add_file(file, collection, &correlated);
        }
        let report = CompileReport { loaded: compiler.rules.len(), refused: compiler.refused };
        let ruleset = Ruleset {
            rules: compiler.rules,
            atoms: compiler.atoms,
            dictionary,
            plans: RwLock::default(),
        };
        for dataset in sources.datasets() {
            ruleset.plan(dataset);
        }
        (ruleset, report)
    }

    /// The rules in use.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &Arc<RuleInfo>> {
        self.rules.iter().map(|rule| &rule.info)
    }

    /// Number of different predicates of all rules.
    pub fn atoms(&self) -> usize {
        self.atoms.atoms.len()
    }

    /// How to match events of `dataset`; made on first use.
    pub(crate) fn plan(&self, dataset: &str) -> Arc<Plan> {
        // A panic elsewhere leaves whole plans behind, or none.
        let plans = self.plans.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(dataset) {
            return plan.clone();
        }
        drop(plans);
        let plan = Arc::new(Plan::new(dataset, &self.rules, &self.atoms, &self.dictionary));
        let mut plans = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= DATASETS_MAX {
            plans.clear();
        }
        plans.insert(dataset.into(), plan.clone());
        plan
    }
}

struct Compiler<'a> {
    sources: &'a LogSources,
    atoms: AtomTable,
    rules: Vec<CompiledRule>,
    /// Rule id to the path it was loaded from.
    paths: HashMap<String, Arc<str>>,
    refused: Vec<Refusal>,
}

impl Compiler<'_> {
    fn refuse(&mut self, path: &str, rule: Option<(&Option<String>, &str)>, reason: String) {
        self.refused.push(Refusal {
            path: path.to_owned(),
            rule_id: rule.and_then(|(id, _)| id.clone()),
            title: rule.map(|(_, title)| title.to_owned()),
            reason,
        });
    }

    fn parse(&mut self, file: &RuleFile) -> Option<SigmaCollection> {
        let parsed = match check_text(&file.text) {
            Ok(()) => rsigma_parser::parse_sigma_yaml(&file.text).map_err(|e| e.to_string()),
            Err(reason) => Err(reason),
        };
        match parsed {
            Ok(collection) if collection.is_empty() && !collection.has_errors() => {
                self.refuse(&file.path, None, "it holds no rule".into());
                None
            }
            Ok(collection) => Some(collection),
            Err(reason) => {
                self.refuse(&file.path, None, reason);
                None
            }
        }
    }

    fn add_file(
        &mut self,
        file: &RuleFile,
        collection: SigmaCollection,
        correlated: &BTreeMap<String, String>,
    ) {
        let path: Arc<str> = file.path.as_str().into();
        let mut doubts = Vec::new();
        for error in collection.errors {
            match Doubt::of(&error) {
                Some(doubt) => doubts.push((doubt, error)),
                // Relations between rules change nothing about what a rule finds.
                None if error.starts_with("related") || error.starts_with("'related'") => {}
                None => self.refuse(&path, None, error),
            }
        }
        for correlation in &collection.correlations {
            let reason = "correlation rules are not supported yet".into();
            self.refuse(&path, Some((&correlation.id, &correlation.title)), reason);
        }
        for filter in &collection.filters {
            let reason = "filters are not supported yet: the rules it names run without it".into();
            self.refuse(&path, Some((&filter.id, &filter.title)), reason);
        }
        for rule in &collection.rules {
            let doubt = doubts.iter().find(|(doubt, _)| doubt.concerns(rule));
            let added = match doubt {
                Some((_, error)) => Err(error.clone()),
                None => self.add_rule(rule, &path, correlated),
            };
            if let Err(reason) = added {
                self.refuse(&path, Some((&rule.id, &rule.title)), reason);
            }
        }
    }

    fn add_rule(
        &mut self,
        rule: &SigmaRule,
        path: &Arc<str>,
        correlated: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        if self.rules.len() >= RULES_MAX {
            return Err(format!("there are already {RULES_MAX} rules"));
        }
        if rule.status == Some(Status::Unsupported) {
            return Err("its status is unsupported".into());
        }
        if rsigma_parser::is_unsupported(rule.sigma_version) {
            return Err("it needs a newer version of Sigma".into());
        }
        let names = [rule.id.as_ref(), rule.name.as_ref()];
        if let Some(by) = names.into_iter().flatten().find_map(|name| correlated.get(name)) {
            return Err(format!(
                "it serves only the correlation {by:?}, which is not supported yet"
            ));
        }
        let info = RuleInfo::new(rule, path);
        if let Some(other) = self.paths.get(&info.id) {
            return Err(format!("its id {} is taken by {other}", info.id));
        }
        let clauses = self.sources.clauses_of(&rule.logsource)?;
        let mut atoms = RuleAtoms::new(&mut self.atoms);
        let expression = condition::compile(&rule.detection, &mut atoms)?;
        self.paths.insert(info.id.clone(), path.clone());
        self.rules.push(CompiledRule { info: Arc::new(info), clauses, expression });
        Ok(())
    }
}

/// Attributes that the parser reports and drops when they are misspelt.
enum Doubt {
    Status,
    Level,
    Version,
}

impl Doubt {
    fn of(error: &str) -> Option<Doubt> {
        match error {
            _ if error.starts_with("invalid status:") => Some(Doubt::Status),
            _ if error.starts_with("invalid level:") => Some(Doubt::Level),
            _ if error.starts_with("invalid sigma-version:") => Some(Doubt::Version),
            _ => None,
        }
    }

    fn concerns(&self, rule: &SigmaRule) -> bool {
        match self {
            Doubt::Status => rule.status.is_none(),
            Doubt::Level => rule.level.is_none(),
            Doubt::Version => rule.sigma_version.is_none(),
        }
    }
}

/// Ids and names of rules that raise no alert themselves because a correlation counts them.
fn correlated_rules(parsed: &[(&RuleFile, SigmaCollection)]) -> BTreeMap<String, String> {
    let correlations = parsed.iter().flat_map(|(_, collection)| &collection.correlations);
    let silent = correlations.filter(|correlation: &&CorrelationRule| !correlation.generate);
    silent
        .flat_map(|by| by.rules.iter().map(move |rule| (rule.clone(), by.title.clone())))
        .collect()
}

fn check_text(text: &str) -> Result<(), String> {
    if text.len() > RULE_FILE_BYTES_MAX {
        return Err(format!("it is longer than {RULE_FILE_BYTES_MAX} bytes"));
    }
    if open_brackets(text) > OPEN_BRACKETS_MAX {
        return Err(format!("more than {OPEN_BRACKETS_MAX} brackets are open at once"));
    }
    // A few lines of aliases of aliases expand to many gigabytes before the YAML library's own
    // limit stops them, and no rule needs them.
    if uses_aliases(text) {
        return Err("it uses YAML anchors and aliases: write the values out".into());
    }
    Ok(())
}

/// How many brackets and braces are open where most are.
fn open_brackets(text: &str) -> usize {
    let mut open = 0usize;
    let mut most = 0;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// Whether something that looks like an anchor is named again by something like an alias. Finds
/// every real alias: these names hold letters, digits, `_` and `-` only, and stand at the start
/// of a word.
fn uses_aliases(text: &str) -> bool {
    let names = |sign: char| -> BTreeSet<&str> {
        let words = text.split(|c: char| c.is_whitespace() || ",[]{}:?".contains(c));
        let after = words.filter_map(|word| word.strip_prefix(sign));
        let end = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-');
        after
            .map(|word| word.split(end).next().unwrap_or_default())
            .filter(|n| !n.is_empty())
            .collect()
    };
    !names('&').is_disjoint(&names('*'))
}
