//! From parsed correlation documents to what a correlator runs.

use super::condition::{Condition, Expr};
use crate::limits::{
    CORRELATION_CHAIN_MAX, CORRELATION_COUNT_MAX, CORRELATION_FIELDS_MAX, CORRELATION_RULES_MAX,
    CORRELATION_SPAN_DAYS_MAX, CORRELATIONS_MAX,
};
use crate::rule::RuleInfo;
use rsigma_parser::{
    CorrelationCondition, CorrelationRule, CorrelationType, SigmaCollection, Status, WindowMode,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use yagura_event::{FieldDictionary, Level};

/// What a correlation measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    EventCount,
    ValueCount,
    Temporal,
    TemporalOrdered,
    ValueSum,
    ValueAvg,
    /// Of which rank, 0 to 100.
    ValuePercentile(u8),
}

impl Kind {
    /// Sigma's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::EventCount => "event_count",
            Kind::ValueCount => "value_count",
            Kind::Temporal => "temporal",
            Kind::TemporalOrdered => "temporal_ordered",
            Kind::ValueSum => "value_sum",
            Kind::ValueAvg => "value_avg",
            Kind::ValuePercentile(_) => "value_percentile",
        }
    }

    pub(crate) fn is_temporal(self) -> bool {
        matches!(self, Kind::Temporal | Kind::TemporalOrdered)
    }

    pub(crate) fn is_numeric(self) -> bool {
        matches!(self, Kind::ValueSum | Kind::ValueAvg | Kind::ValuePercentile(_))
    }
}

/// A compiled correlation.
#[derive(Debug)]
pub(crate) struct Correlation {
    pub(crate) info: Arc<RuleInfo>,
    pub(crate) kind: Kind,
    pub(crate) sources: Vec<Source>,
    pub(crate) group_by: Vec<Grouping>,
    /// For each source, the fields that are counted or measured.
    pub(crate) counted: Vec<Vec<FieldFrom>>,
    /// Names of the counted fields, as the rule writes them.
    pub(crate) counted_names: Vec<String>,
    /// µs.
    pub(crate) span: i64,
    /// The time span as the rule writes it.
    pub(crate) span_text: String,
    pub(crate) condition: Condition,
    /// Whether it is judged at every event, or when a window is over.
    pub(crate) rolling: bool,
    /// Whether other correlations count it.
    pub(crate) counted_by_others: bool,
    /// Of everything above that a stored state depends on.
    pub(crate) digest: [u8; 16],
}

/// A referenced rule.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) info: Arc<RuleInfo>,
    /// The correlation it is, by position; it stands before the one that counts it.
    pub(crate) correlation: Option<usize>,
}

/// One field of `group-by`.
#[derive(Debug)]
pub(crate) struct Grouping {
    /// The column in events of the first source; an alias is its own name.
    pub(crate) column: Arc<str>,
    /// As the rule writes it.
    pub(crate) name: String,
    /// For each source, where its value comes from.
    pub(crate) from: Vec<FieldFrom>,
}

/// Where the value of a field comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum FieldFrom {
    /// The event; the name is Sigma's.
    Event(String),
    /// The group of the correlation that is counted: its field of this position.
    Group(usize),
}

/// A rule that correlations may name.
struct Known {
    path: Arc<str>,
    names: Vec<String>,
    info: Arc<RuleInfo>,
    /// The dataset its events are in first of all.
    dataset: String,
    /// Its position, for a correlation.
    correlation: Option<usize>,
}

/// Collects what is read from the files, then compiles the correlations among it.
#[derive(Default)]
pub(crate) struct Catalog {
    rules: Vec<Known>,
    pending: Vec<(Arc<str>, CorrelationRule)>,
}

/// A correlation that is not used: its path, id, title and the reason.
pub(crate) type Refused = (Arc<str>, Option<String>, String, String);

/// Ids and names that a file's correlations count and that raise no alert themselves.
///
/// `generate` is false unless a correlation says otherwise, and then the rules that stand in the
/// same file serve it alone. A rule of another file was not written for it and goes on alerting.
pub(crate) fn silent_rules(collection: &SigmaCollection) -> BTreeSet<String> {
    let of = |generate: bool| -> BTreeSet<String> {
        let chosen = collection.correlations.iter().filter(|c| c.generate == generate);
        chosen.flat_map(|correlation| correlation.rules.iter().cloned()).collect()
    };
    let loud = of(true);
    of(false).into_iter().filter(|name| !loud.contains(name)).collect()
}

impl Catalog {
    /// A rule in use. `name` is its Sigma `name`, `dataset` where its events are found first.
    pub(crate) fn add_rule(
        &mut self,
        path: &Arc<str>,
        id: Option<&str>,
        name: Option<&str>,
        info: &Arc<RuleInfo>,
        dataset: &str,
    ) {
        let names = [id, name, Some(info.id.as_str())].into_iter().flatten();
        let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
        self.rules.push(Known {
            path: path.clone(),
            names: names.collect::<BTreeSet<_>>().into_iter().collect(),
            info: info.clone(),
            dataset: dataset.to_owned(),
            correlation: None,
        });
    }

    pub(crate) fn add_correlation(&mut self, path: &Arc<str>, correlation: CorrelationRule) {
        self.pending.push((path.clone(), correlation));
    }

    /// Compiles every correlation, those that are counted before those that count them. `silent`
    /// tells, for a path, which names raise no alert themselves.
    pub(crate) fn finish(
        mut self,
        dictionary: &FieldDictionary,
        silent: &HashMap<Arc<str>, BTreeSet<String>>,
    ) -> (Vec<Correlation>, Vec<Refused>) {
        let mut compiled: Vec<Correlation> = Vec::new();
        let mut depths: Vec<usize> = Vec::new();
        let mut refused: Vec<Refused> = Vec::new();
        let mut pending = std::mem::take(&mut self.pending);
        loop {
            // A correlation waits while one that it counts may still come.
            let names_of_pending: BTreeMap<String, usize> = pending
                .iter()
                .enumerate()
                .flat_map(|(number, (_, rule))| {
                    [rule.id.clone(), rule.name.clone()]
                        .into_iter()
                        .flatten()
                        .map(move |name| (name, number))
                })
                .collect();
            let (waiting, ready): (Vec<_>, Vec<_>) = pending.into_iter().partition(|(_, rule)| {
                rule.rules.iter().any(|name| names_of_pending.contains_key(name))
            });
            if ready.is_empty() {
                for (path, rule) in waiting {
                    let reason = "it counts itself, over a circle of correlations".to_owned();
                    refused.push((path, rule.id, rule.title, reason));
                }
                break;
            }
            for (path, rule) in ready {
                let result = self.compile(&path, &rule, dictionary, &compiled, &depths, &refused);
                let result = match result {
                    Ok(_) if compiled.len() >= CORRELATIONS_MAX => {
                        Err(format!("there are already {CORRELATIONS_MAX} correlations"))
                    }
                    result => result,
                };
                match result {
                    Ok((mut correlation, depth)) => {
                        let names = [rule.id.as_ref(), rule.name.as_ref()].into_iter().flatten();
                        let names: Vec<String> = names.cloned().collect();
                        let alerts = silent
                            .get(&path)
                            .is_none_or(|silent| !names.iter().any(|name| silent.contains(name)));
                        let mut info = RuleInfo::clone(&correlation.info);
                        info.alerts = alerts;
                        correlation.info = Arc::new(info);
                        self.rules.push(Known {
                            path,
                            names: names
                                .into_iter()
                                .chain([correlation.info.id.clone()])
                                .collect::<BTreeSet<_>>()
                                .into_iter()
                                .collect(),
                            info: correlation.info.clone(),
                            dataset: String::new(),
                            correlation: Some(compiled.len()),
                        });
                        for source in &correlation.sources {
                            if let Some(counted) =
                                source.correlation.and_then(|number| compiled.get_mut(number))
                            {
                                counted.counted_by_others = true;
                            }
                        }
                        compiled.push(correlation);
                        depths.push(depth);
                    }
                    Err(reason) => refused.push((path, rule.id, rule.title, reason)),
                }
            }
            pending = waiting;
        }
        (compiled, refused)
    }

    fn compile(
        &self,
        path: &Arc<str>,
        rule: &CorrelationRule,
        dictionary: &FieldDictionary,
        compiled: &[Correlation],
        depths: &[usize],
        refused: &[Refused],
    ) -> Result<(Correlation, usize), String> {
        let ours: Vec<&str> = rule.rules.iter().map(String::as_str).collect();
        check_frame(rule, &ours)?;
        let known: Vec<&Known> =
            ours.iter().map(|name| self.find(path, name, refused)).collect::<Result<_, _>>()?;
        for (number, one) in known.iter().enumerate() {
            if known.iter().take(number).any(|other| Arc::ptr_eq(&other.info, &one.info)) {
                return Err(format!("rules: {:?} stands there twice", one.info.title));
            }
        }
        let depth = 1 + known
            .iter()
            .filter_map(|one| depths.get(one.correlation?))
            .max()
            .copied()
            .unwrap_or(0);
        if depth > CORRELATION_CHAIN_MAX {
            return Err(format!(
                "more than {CORRELATION_CHAIN_MAX} correlations stand on one another"
            ));
        }
        let names: Vec<Vec<String>> = known.iter().map(|one| one.names.clone()).collect();
        let (kind, condition) = measure_of(rule, &names)?;
        let fields = condition_fields(rule, kind)?;
        let alias = Aliases::new(rule, &names)?;
        let from = |field: &str| -> Vec<FieldFrom> {
            let each = known.iter().zip(&names);
            each.map(|(one, names)| {
                let field = alias.field(field, names);
                let below = one.correlation.and_then(|number| compiled.get(number));
                let group = below.and_then(|below| {
                    below
                        .group_by
                        .iter()
                        .position(|group| group.name == field || group.column.as_ref() == field)
                });
                group.map_or_else(|| FieldFrom::Event(field.to_owned()), FieldFrom::Group)
            })
            .collect()
        };
        let group_by: Vec<Grouping> = rule
            .group_by
            .iter()
            .map(|field| Grouping {
                column: if alias.is_alias(field) {
                    field.as_str().into()
                } else {
                    column_of(field, &known, compiled, dictionary).into()
                },
                name: field.clone(),
                from: from(field),
            })
            .collect();
        let counted: Vec<Vec<FieldFrom>> = {
            let by_field: Vec<Vec<FieldFrom>> = fields.iter().map(|field| from(field)).collect();
            let of = |source: usize| by_field.iter().filter_map(move |f| f.get(source).cloned());
            (0..known.len()).map(|source| of(source).collect()).collect()
        };
        let level = rule.level.map(crate::rule::level_of).unwrap_or_else(|| {
            known.iter().map(|one| one.info.level).max().unwrap_or(Level::Medium)
        });
        let seconds = i64::try_from(rule.timespan.seconds).unwrap_or(i64::MAX);
        let mut correlation = Correlation {
            info: Arc::new(RuleInfo::of_correlation(rule, path, level)),
            kind,
            sources: known
                .iter()
                .map(|one| Source { info: one.info.clone(), correlation: one.correlation })
                .collect(),
            group_by,
            counted,
            counted_names: fields,
            span: seconds.saturating_mul(1_000_000),
            span_text: rule.timespan.original.clone(),
            rolling: condition.is_rolling(),
            condition,
            counted_by_others: false,
            digest: [0; 16],
        };
        correlation.digest = digest(&correlation, compiled);
        Ok((correlation, depth))
    }

    /// The rule that a correlation of the file `path` means by `name`: one of its own file first.
    fn find(&self, path: &Arc<str>, name: &str, refused: &[Refused]) -> Result<&Known, String> {
        let all =
            || self.rules.iter().filter(|known| known.names.iter().any(|other| other == name));
        if let Some(own) = all().find(|known| known.path == *path) {
            return Ok(own);
        }
        match (all().next(), all().nth(1)) {
            (Some(one), None) => Ok(one),
            // Two with one id: the later one is refused as a whole.
            (Some(one), Some(_)) if all().all(|known| known.info.id == one.info.id) => Ok(one),
            (Some(one), Some(other)) => Err(format!(
                "rules: {name:?} may be that of {} or that of {}; name it by its id",
                one.path, other.path
            )),
            (None, _) => {
                let is_refused = refused.iter().any(|(_, id, _, _)| id.as_deref() == Some(name));
                Err(match is_refused {
                    true => format!("rules: the correlation {name:?} is itself refused"),
                    false => format!(
                        "rules: no rule in use has the id or name {name:?}; load it, or see why \
                         it was refused"
                    ),
                })
            }
        }
    }
}

/// What can be told from the document alone.
fn check_frame(rule: &CorrelationRule, rules: &[&str]) -> Result<(), String> {
    if rule.status == Some(Status::Unsupported) {
        return Err("its status is unsupported".into());
    }
    if rsigma_parser::is_unsupported(rule.sigma_version) {
        return Err("it needs a newer version of Sigma".into());
    }
    if rules.is_empty() {
        return Err("rules: it names no rule".into());
    }
    if rules.len() > CORRELATION_RULES_MAX {
        return Err(format!("rules: more than {CORRELATION_RULES_MAX}"));
    }
    if rule.group_by.len() > CORRELATION_FIELDS_MAX {
        return Err(format!("group-by: more than {CORRELATION_FIELDS_MAX} fields"));
    }
    let twice = rule.group_by.iter().enumerate();
    if let Some((_, field)) =
        twice.into_iter().find(|(n, field)| rule.group_by.iter().take(*n).any(|f| f == *field))
    {
        return Err(format!("group-by: {field:?} stands there twice"));
    }
    if rule.window != WindowMode::Sliding || rule.gap.is_some() {
        return Err("windows other than rolling ones are no part of Sigma".into());
    }
    // The parser reads more units than Sigma has: these two are no fixed time.
    if rule.timespan.original.ends_with(['M', 'y']) {
        return Err("timespan: months and years differ in length; count days (d)".into());
    }
    let longest = CORRELATION_SPAN_DAYS_MAX * 24 * 60 * 60;
    if rule.timespan.seconds == 0 || rule.timespan.seconds > longest {
        return Err(format!("timespan: 1 second to {CORRELATION_SPAN_DAYS_MAX} days"));
    }
    Ok(())
}

fn measure_of(rule: &CorrelationRule, names: &[Vec<String>]) -> Result<(Kind, Condition), String> {
    let percentile = match &rule.condition {
        CorrelationCondition::Threshold { percentile, .. } => *percentile,
        CorrelationCondition::Extended(_) => None,
    };
    let rank = || match u8::try_from(percentile.unwrap_or(50)) {
        Ok(rank) if rank <= 100 => Ok(rank),
        _ => Err("condition: percentile is 0 to 100".to_owned()),
    };
    let kind = match rule.correlation_type {
        CorrelationType::EventCount => Kind::EventCount,
        CorrelationType::ValueCount => Kind::ValueCount,
        CorrelationType::Temporal => Kind::Temporal,
        CorrelationType::TemporalOrdered => Kind::TemporalOrdered,
        CorrelationType::ValueSum => Kind::ValueSum,
        CorrelationType::ValueAvg => Kind::ValueAvg,
        CorrelationType::ValuePercentile => Kind::ValuePercentile(rank()?),
        CorrelationType::ValueMedian => {
            return Err("value_median is no type of Sigma; use value_percentile (50)".into());
        }
    };
    let mut condition = match &rule.condition {
        CorrelationCondition::Threshold { predicates, .. } => {
            Condition { comparisons: predicates.clone(), expression: None }
        }
        CorrelationCondition::Extended(_) if !kind.is_temporal() => {
            return Err(format!("condition: {} needs a number", kind.word()));
        }
        CorrelationCondition::Extended(parsed) => {
            Condition { comparisons: Vec::new(), expression: Some(Expr::compile(parsed, names)?) }
        }
    };
    // The parser writes `gte: 1` where a temporal correlation has no condition. Then every rule
    // must have been seen; and `gte: 1` itself would say nothing, since one always has.
    use rsigma_parser::ConditionOperator::{Gt, Gte};
    if kind.is_temporal() && condition.comparisons == [(Gte, 1)] {
        condition.comparisons = vec![(Gte, names.len() as u64)];
    }
    if kind == Kind::TemporalOrdered
        && condition.expression.is_none()
        && !condition.comparisons.iter().all(|(operator, number)| match operator {
            Gte => *number <= names.len() as u64,
            Gt => *number < names.len() as u64,
            _ => false,
        })
    {
        return Err(format!(
            "condition: one after the other means all its rules, which are {}; name fewer, or \
             use temporal",
            names.len()
        ));
    }
    let most = condition.comparisons.iter().map(|(_, number)| *number).max().unwrap_or(0);
    // A negative number arrives from the parser as a huge one.
    if most > i64::MAX as u64 {
        return Err("condition: numbers are whole and not below zero".into());
    }
    if !kind.is_numeric() && most > CORRELATION_COUNT_MAX {
        return Err(format!("condition: it counts to {CORRELATION_COUNT_MAX} at most"));
    }
    Ok((kind, condition))
}

fn condition_fields(rule: &CorrelationRule, kind: Kind) -> Result<Vec<String>, String> {
    let fields = match &rule.condition {
        CorrelationCondition::Threshold { field, .. } => field.clone().unwrap_or_default(),
        CorrelationCondition::Extended(_) => Vec::new(),
    };
    match kind {
        Kind::EventCount | Kind::Temporal | Kind::TemporalOrdered => match fields.first() {
            None => Ok(fields),
            Some(field) => {
                Err(format!("condition: {} counts no field, but {field:?} is named", kind.word()))
            }
        },
        Kind::ValueCount if fields.is_empty() => Err("condition: value_count needs a field".into()),
        Kind::ValueCount if fields.len() > CORRELATION_FIELDS_MAX => {
            Err(format!("condition: more than {CORRELATION_FIELDS_MAX} fields"))
        }
        Kind::ValueCount => Ok(fields),
        _ if fields.len() == 1 => Ok(fields),
        _ => Err(format!("condition: {} needs exactly one field", kind.word())),
    }
}

/// Field names that stand for different fields in different rules.
struct Aliases<'a>(BTreeMap<&'a str, &'a HashMap<String, String>>);

impl<'a> Aliases<'a> {
    fn new(rule: &'a CorrelationRule, names: &[Vec<String>]) -> Result<Self, String> {
        let mut aliases = BTreeMap::new();
        for alias in &rule.aliases {
            for of in alias.mapping.keys() {
                if !names.iter().flatten().any(|name| name == of) {
                    return Err(format!(
                        "aliases: {} speaks of {of:?}, which is not one of its rules",
                        alias.alias
                    ));
                }
            }
            aliases.insert(alias.alias.as_str(), &alias.mapping);
        }
        Ok(Aliases(aliases))
    }

    fn is_alias(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    /// What the rule of these names calls `field`.
    fn field<'b>(&'b self, field: &'b str, names: &[String]) -> &'b str {
        let mapping = self.0.get(field);
        let mapped = mapping.and_then(|mapping| names.iter().find_map(|name| mapping.get(name)));
        mapped.map_or(field, String::as_str)
    }
}

/// The column that people know a field by: that of the first rule's events.
fn column_of(
    field: &str,
    known: &[&Known],
    compiled: &[Correlation],
    dictionary: &FieldDictionary,
) -> String {
    for one in known {
        match one.correlation.and_then(|number| compiled.get(number)) {
            Some(below) => {
                if let Some(group) = below.group_by.iter().find(|group| group.name == field) {
                    return group.column.to_string();
                }
            }
            None => return dictionary.sigma_column(&one.dataset, field).into_owned(),
        }
    }
    field.to_owned()
}

/// Changes whenever a state of the older definition would mean something else.
fn digest(correlation: &Correlation, compiled: &[Correlation]) -> [u8; 16] {
    let mut hash = Sha256::new();
    let mut text = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    text(&format!("{:?}", correlation.kind));
    text(&format!("{:?}", correlation.condition));
    text(&correlation.span.to_string());
    for source in &correlation.sources {
        text(&source.info.id);
        if let Some(below) = source.correlation.and_then(|number| compiled.get(number)) {
            text(&format!("{:?}", below.digest));
        }
    }
    for group in &correlation.group_by {
        text(&group.name);
        text(&format!("{:?}", group.from));
    }
    text(&format!("{:?}", correlation.counted));
    let mut digest = [0; 16];
    digest.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    digest
}
