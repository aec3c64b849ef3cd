use crate::condition;
use crate::correlation::{self, Catalog, Correlation};
use crate::expand::PlaceholderLists;
use crate::expression::Expression;
use crate::filter::{FilterReport, Filters, check_targets};
use crate::item::{AtomTable, RuleAtoms};
use crate::limits::{
    COMPILE_THREADS_MAX, DATASETS_MAX, OPEN_BRACKETS_MAX, REGEXES_MAX, RULE_FILE_BYTES_MAX,
    RULES_MAX,
};
use crate::logsource::{Clause, LogSources};
use crate::pipeline::{self, Pipeline};
use crate::plan::Plan;
use crate::rule::{RuleInfo, digest_of_parsed, digest_of_text};
use jiff::tz::TimeZone;
use rsigma_parser::{FilterRule, SigmaCollection, SigmaRule, Status};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use yagura_event::FieldDictionary;

/// A rule file as read from wherever rules are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFile {
    /// Its path, for people.
    pub path: String,
    /// Its YAML: one or more documents.
    pub text: String,
}

/// What a house adds to its rules.
#[derive(Debug, Clone)]
pub struct CompileOptions {
    /// Values for placeholders.
    pub lists: PlaceholderLists,
    /// Processing pipelines, in any order.
    pub pipelines: Vec<Pipeline>,
    /// Zone in which `minute`, `hour`, `day`, `week`, `month` and `year` are taken, of which the
    /// specification says nothing; UTC by default.
    pub zone: TimeZone,
}

impl Default for CompileOptions {
    fn default() -> Self {
        CompileOptions {
            lists: PlaceholderLists::default(),
            pipelines: Vec::new(),
            zone: TimeZone::UTC,
        }
    }
}

/// Compiled rules; share it with [`Arc`].
#[derive(Debug)]
pub struct Ruleset {
    rules: Vec<CompiledRule>,
    /// Those that are counted before those that count them.
    correlations: Vec<Correlation>,
    atoms: AtomTable,
    dictionary: Arc<FieldDictionary>,
    /// Datasets that log sources name.
    datasets: Vec<Arc<str>>,
    plans: RwLock<HashMap<Arc<str>, PlanPlace>>,
}

/// Where a plan is, or will be: whoever asks for it first makes it, while others who ask for it wait.
type PlanPlace = Arc<OnceLock<Arc<Plan>>>;

/// What became of the rule files.
#[derive(Debug, Clone, Default)]
pub struct CompileReport {
    /// Rules in use.
    pub loaded: usize,
    /// Rules, and files, that are not used, in the order they were given.
    pub refused: Vec<Refusal>,
    /// Filters in use.
    pub filters: Vec<FilterReport>,
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
        Ruleset::compile_with(files, dictionary, sources, &CompileOptions::default())
    }

    /// The same, adapted by the lists, pipelines and zone of a house. Filters among the files are
    /// laid over the rules they name, wherever those come from.
    pub fn compile_with(
        files: &[RuleFile],
        dictionary: Arc<FieldDictionary>,
        sources: &LogSources,
        options: &CompileOptions,
    ) -> (Ruleset, CompileReport) {
        let most = Most { rules: RULES_MAX, regexes: REGEXES_MAX };
        Ruleset::of_at_most(most, files, dictionary, sources, options)
    }

    fn of_at_most(
        most: Most,
        files: &[RuleFile],
        dictionary: Arc<FieldDictionary>,
        sources: &LogSources,
        options: &CompileOptions,
    ) -> (Ruleset, CompileReport) {
        let mut pipelines = options.pipelines.clone();
        pipelines.sort_by_key(|pipeline| pipeline.priority);
        let mut compiler = Compiler {
            rules_max: most.rules,
            sources,
            lists: &options.lists,
            pipelines,
            filters: Filters::default(),
            atoms: AtomTable::new(options.zone.clone(), most.regexes),
            rules: Vec::new(),
            paths: HashMap::new(),
            catalog: Catalog::default(),
            silent: HashMap::new(),
            refused: Vec::new(),
        };
        let parsed = in_parallel(files, parse);
        let parsed = files.iter().zip(parsed);
        let mut parsed: Vec<_> =
            parsed.filter_map(|(file, read)| Some((file, compiler.parsed(file, read)?))).collect();
        for (file, collection) in &mut parsed {
            compiler.add_filters(file, collection);
        }
        for (file, collection) in parsed {
            compiler.add_file(file, collection);
        }
        let (correlations, refused) = compiler.catalog.finish(&dictionary, &compiler.silent);
        for (path, rule_id, title, reason) in refused {
            let path = path.to_string();
            compiler.refused.push(Refusal { path, rule_id, title: Some(title), reason });
        }
        let filters = compiler.filters.reports();
        let report =
            CompileReport { loaded: compiler.rules.len(), refused: compiler.refused, filters };
        let ruleset = Ruleset {
            rules: compiler.rules,
            correlations,
            atoms: compiler.atoms,
            dictionary,
            datasets: sources.datasets().into_iter().map(Arc::from).collect(),
            plans: RwLock::default(),
        };
        (ruleset, report)
    }

    /// Arranges the rules for every dataset now, which happens otherwise when events of a dataset are
    /// first met: for whoever must not wait then, and has the memory.
    pub fn prepare(&self) {
        in_parallel(&self.datasets, |dataset| drop(self.plan(dataset)));
    }

    /// The rules in use.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &Arc<RuleInfo>> {
        self.rules.iter().map(|rule| &rule.info)
    }

    /// The correlations in use.
    pub fn correlations(&self) -> impl ExactSizeIterator<Item = &Arc<RuleInfo>> {
        self.correlations.iter().map(|correlation| &correlation.info)
    }

    pub(crate) fn compiled_correlations(&self) -> &[Correlation] {
        &self.correlations
    }

    pub(crate) fn compiled_rules(&self) -> &[CompiledRule] {
        &self.rules
    }

    pub(crate) fn atom_table(&self) -> &AtomTable {
        &self.atoms
    }

    pub(crate) fn dictionary(&self) -> &Arc<FieldDictionary> {
        &self.dictionary
    }

    /// Number of different predicates of all rules.
    pub fn atoms(&self) -> usize {
        self.atoms.atoms.len()
    }

    /// How to match events of `dataset`; made on first use.
    pub(crate) fn plan(&self, dataset: &str) -> Arc<Plan> {
        let place = self.plan_place(dataset);
        let make = || Arc::new(Plan::new(dataset, &self.rules, &self.atoms, &self.dictionary));
        place.get_or_init(make).clone()
    }

    fn plan_place(&self, dataset: &str) -> PlanPlace {
        // A panic elsewhere leaves whole plans behind, or none.
        let plans = self.plans.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = plans.get(dataset) {
            return place.clone();
        }
        drop(plans);
        let mut plans = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= DATASETS_MAX && !plans.contains_key(dataset) {
            plans.clear();
        }
        plans.entry(dataset.into()).or_default().clone()
    }
}

fn parse(file: &RuleFile) -> Result<SigmaCollection, String> {
    check_text(&file.text)?;
    rsigma_parser::parse_sigma_yaml(&file.text).map_err(|error| error.to_string())
}

/// `work` done on each of `items`, the results in their order. Reading YAML takes most of the time
/// of compiling, so it is shared between a few threads that end before this returns.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(COMPILE_THREADS_MAX).min(items.len());
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    // By turns, because neighbours are alike: a folder of long rules, datasets of one product.
    let share = |first: usize| items.iter().skip(first).step_by(threads).map(&work).collect();
    let share: &(dyn Fn(usize) -> Vec<R> + Sync) = &share;
    let shares: Vec<Vec<R>> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|first| scope.spawn(move || share(first))).collect();
        let others =
            std::iter::once(share(0)).chain(others.into_iter().map(|other| {
                other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }));
        others.collect()
    });
    let mut shares: Vec<_> = shares.into_iter().map(Vec::into_iter).collect();
    (0..items.len()).filter_map(|number| shares[number % threads].next()).collect()
}

/// What one rule set may hold.
#[derive(Clone, Copy)]
struct Most {
    rules: usize,
    regexes: usize,
}

struct Compiler<'a> {
    rules_max: usize,
    sources: &'a LogSources,
    lists: &'a PlaceholderLists,
    /// By priority.
    pipelines: Vec<Pipeline>,
    filters: Filters,
    atoms: AtomTable,
    rules: Vec<CompiledRule>,
    /// Rule id to the path it was loaded from.
    paths: HashMap<String, Arc<str>>,
    catalog: Catalog,
    /// Per file, ids and names of rules that only feed a correlation.
    silent: HashMap<Arc<str>, BTreeSet<String>>,
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

    /// Takes what was read of a file, or refuses it.
    fn parsed(
        &mut self,
        file: &RuleFile,
        parsed: Result<SigmaCollection, String>,
    ) -> Option<SigmaCollection> {
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

    /// Takes the filters out of `collection`. One that cannot be honoured is refused, and the rules
    /// it names run without it: they find more than its author wanted, never less.
    fn add_filters(&mut self, file: &RuleFile, collection: &mut SigmaCollection) {
        let path: Arc<str> = file.path.as_str().into();
        let filters = std::mem::take(&mut collection.filters);
        let written = match filters.is_empty() {
            true => Ok(()),
            false => check_targets(&file.text),
        };
        for filter in filters {
            let (id, title) = (filter.id.clone(), filter.title.clone());
            let added = written.clone().and_then(|()| {
                let mut scratch = AtomTable::default();
                let mut atoms = RuleAtoms::with_lists(&mut scratch, self.lists);
                // Where pipelines give values, that is seen with each rule.
                if self.pipelines.is_empty() {
                    condition::compile(&filter.detection, &mut atoms)?;
                }
                self.filters.add(filter, &path)
            });
            if let Err(reason) = added {
                self.refuse(&path, Some((&id, &title)), reason);
            }
        }
    }

    fn add_file(&mut self, file: &RuleFile, collection: SigmaCollection) {
        let path: Arc<str> = file.path.as_str().into();
        self.silent.insert(path.clone(), correlation::silent_rules(&collection));
        let mut doubts = Vec::new();
        for error in collection.errors {
            match Doubt::of(&error) {
                Some(doubt) => doubts.push((doubt, error)),
                // Relations between rules change nothing about what a rule finds.
                None if error.starts_with("related") || error.starts_with("'related'") => {}
                None => self.refuse(&path, None, error),
            }
        }
        let alone = collection.rules.len() + collection.correlations.len() == 1;
        let digest = |rule: &SigmaRule| match alone {
            true => digest_of_text(&file.text),
            false => digest_of_parsed(rule),
        };
        for rule in &collection.rules {
            let doubt = doubts.iter().find(|(doubt, _)| doubt.concerns(rule));
            let added = match doubt {
                Some((_, error)) => Err(error.clone()),
                None => self.add_rule(rule, &path, digest(rule)),
            };
            if let Err(reason) = added {
                self.refuse(&path, Some((&rule.id, &rule.title)), reason);
            }
        }
        let malformed = match collection.correlations.is_empty() {
            true => Vec::new(),
            false => correlation::malformed(&file.text),
        };
        for correlation in collection.correlations {
            // Several may have one title; then each is refused, and none counts what it should not.
            let wrong = malformed.iter().find(|wrong| match &wrong.id {
                Some(id) => correlation.id.as_ref() == Some(id),
                None => wrong.title.as_ref() == Some(&correlation.title),
            });
            match wrong {
                Some(wrong) => {
                    let rule = (&correlation.id, correlation.title.as_str());
                    self.refuse(&path, Some(rule), wrong.reason.clone());
                }
                None => self.catalog.add_correlation(&path, correlation),
            }
        }
    }

    fn add_rule(
        &mut self,
        rule: &SigmaRule,
        path: &Arc<str>,
        digest: String,
    ) -> Result<(), String> {
        if self.rules.len() >= self.rules_max {
            return Err(format!("there are already {} rules", self.rules_max));
        }
        if rule.status == Some(Status::Unsupported) {
            return Err("its status is unsupported".into());
        }
        if rsigma_parser::is_unsupported(rule.sigma_version) {
            return Err("it needs a newer version of Sigma".into());
        }
        let mut info = RuleInfo::new(rule, path);
        if let Some(other) = self.paths.get(&info.id) {
            return Err(format!("its id {} is taken by {other}", info.id));
        }
        let clauses = self.sources.clauses_of(&rule.logsource)?;
        let mut expression = self.expression(rule)?;
        for number in self.filters.over(rule) {
            let overlay = self.filters.get(number);
            let filter = overlay.info.clone();
            match self.filter_expression(rule, &overlay.parsed.clone()) {
                Ok(narrowed) => expression = Expression::all(vec![expression, narrowed]),
                Err(reason) => {
                    let reason = format!("on rule {}, which runs without it: {reason}", info.id);
                    self.refuse(&filter.path, Some((&filter.id, &filter.title)), reason);
                    continue;
                }
            }
            self.filters.touch(number, rule, &info.id);
            info.filters.push(filter);
        }
        info.digest = digest;
        if let Some(silent) = self.silent.get(path) {
            let names = [Some(&info.id), rule.name.as_ref()];
            info.alerts = !names.into_iter().flatten().any(|name| silent.contains(name));
        }
        self.paths.insert(info.id.clone(), path.clone());
        let info = Arc::new(info);
        let dataset = clauses.first().map_or("", |clause| clause.dataset.as_str());
        let name = rule.name.as_deref();
        self.catalog.add_rule(path, rule.id.as_deref(), name, &info, dataset);
        self.rules.push(CompiledRule { info, clauses, expression });
        Ok(())
    }
}

impl Compiler<'_> {
    /// The logic of `rule` as pipelines adapt it.
    fn expression(&mut self, rule: &SigmaRule) -> Result<Expression, String> {
        if self.pipelines.is_empty() {
            let mut atoms = RuleAtoms::with_lists(&mut self.atoms, self.lists);
            return condition::compile(&rule.detection, &mut atoms);
        }
        let mut rule = rule.clone();
        let values = pipeline::adapt(&self.pipelines, &mut rule)?;
        let lists = self.lists.under(&values);
        condition::compile(&rule.detection, &mut RuleAtoms::with_lists(&mut self.atoms, &lists))
    }

    /// The logic of a filter, adapted as its rule is.
    fn filter_expression(
        &mut self,
        rule: &SigmaRule,
        filter: &FilterRule,
    ) -> Result<Expression, String> {
        let mut narrowed = rule.clone();
        narrowed.detection = filter.detection.clone();
        self.expression(&narrowed)
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

/// Whether a text may be given to the YAML library at all: no bomb, not too long.
///
/// # Errors
/// Why not, in English.
pub fn check_text(text: &str) -> Result<(), String> {
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
    crate::nots::check(text)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_past_the_limit_are_refused_and_the_others_used() {
        const MOST: usize = 3;
        let most = Most { rules: MOST, regexes: REGEXES_MAX };
        let sources = "[[source]]\nproduct = 'any'\nwhere = [{ dataset = '*' }]\n";
        let sources = LogSources::from_toml(sources).unwrap();
        let compile = |count: usize| {
            let rule = |number: usize| RuleFile {
                path: format!("{number}.yml"),
                text: format!(
                    "title: Rule\nid: r{number}\nlogsource: {{product: any}}\n\
                     detection: {{s: {{a: x}}, condition: s}}\n"
                ),
            };
            let files: Vec<RuleFile> = (0..count).map(rule).collect();
            let dictionary = Arc::new(FieldDictionary::from_toml("").unwrap());
            let options = CompileOptions::default();
            let (ruleset, report) =
                Ruleset::of_at_most(most, &files, dictionary, &sources, &options);
            (ruleset.rules().len(), report.refused)
        };
        assert_eq!(compile(MOST), (MOST, Vec::new()));
        let (used, refused) = compile(MOST + 1);
        assert_eq!((used, refused.len()), (MOST, 1));
        assert_eq!(refused[0].to_string(), "3.yml: Rule: there are already 3 rules");
    }

    #[test]
    fn expressions_past_the_limit_are_refused_and_rules_without_them_used() {
        let sources = "[[source]]\nproduct = 'any'\nwhere = [{ dataset = '*' }]\n";
        let sources = LogSources::from_toml(sources).unwrap();
        let rule = |id: &str, item: &str| RuleFile {
            path: format!("{id}.yml"),
            text: format!(
                "title: Rule\nid: {id}\nlogsource: {{product: any}}\n\
                 detection: {{s: {{{item}}}, condition: s}}\n"
            ),
        };
        // What two rules ask for is one expression.
        let files = [
            rule("one", "a|re: [x+, y+]"),
            rule("same", "b|re: y+"),
            rule("third", "a|re: z+"),
            rule("plain", "a: x"),
        ];
        let compile = |regexes: usize| {
            let dictionary = Arc::new(FieldDictionary::from_toml("").unwrap());
            let most = Most { rules: RULES_MAX, regexes };
            let options = CompileOptions::default();
            let (ruleset, report) =
                Ruleset::of_at_most(most, &files, dictionary, &sources, &options);
            let refused: Vec<String> = report.refused.iter().map(ToString::to_string).collect();
            (ruleset.rules().len(), refused.join("\n"))
        };
        assert_eq!(compile(3), (4, String::new()));
        let reason =
            "third.yml: Rule: s: field a: there are already 2 regular expressions in all rules";
        assert_eq!(compile(2), (3, reason.to_owned()));
    }
}
