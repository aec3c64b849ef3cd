//! Filters: documents of their own that narrow rules without touching their files.
//!
//! A filter lies over the rules it names (by id or name, or `any`) whose log source has all parts
//! of its own. Such a rule matches only where the filter's condition holds too. Because the filter
//! is laid on when rules are compiled, a new version of the rule keeps it.

use crate::limits::FILTERS_MAX;
use rsigma_parser::{FilterRule, FilterRuleTarget, LogSource, SigmaRule};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

/// A filter that lies over a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FilterRef {
    /// Its id, where it has one.
    pub id: Option<String>,
    /// Title as its author wrote it.
    pub title: String,
    /// The file it was read from.
    pub path: Arc<str>,
    /// SHA-256 of what was read of it, lower-case hexadecimal.
    pub digest: String,
}

/// What became of a filter in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterReport {
    /// The filter.
    pub filter: Arc<FilterRef>,
    /// Ids of the rules it lies over.
    pub rules: Vec<String>,
    /// Rules it names that are not in use, or are of another log source.
    pub missed: Vec<String>,
}

/// All filters of a rule set, to be found by the rules they name.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    overlays: Vec<Overlay>,
    by_target: HashMap<String, Vec<usize>>,
    of_any: Vec<usize>,
}

#[derive(Debug)]
pub(crate) struct Overlay {
    pub(crate) info: Arc<FilterRef>,
    pub(crate) parsed: FilterRule,
    touched: Vec<String>,
    hit: Vec<String>,
}

impl Filters {
    /// Adds a filter. The error is the reason to refuse it.
    pub(crate) fn add(&mut self, parsed: FilterRule, path: &Arc<str>) -> Result<(), String> {
        if self.overlays.len() >= FILTERS_MAX {
            return Err(format!("there are already {FILTERS_MAX} filters"));
        }
        if rsigma_parser::is_unsupported(parsed.sigma_version) {
            return Err("it needs a newer version of Sigma".into());
        }
        let has_part = |source: &LogSource| {
            source.category.is_some() || source.product.is_some() || source.service.is_some()
        };
        match &parsed.logsource {
            Some(source) if !source.custom.is_empty() => {
                return Err("an unknown part of its log source".into());
            }
            Some(source) if has_part(source) => {}
            _ => return Err("it has no log source: set category, product or service".into()),
        }
        let number = self.overlays.len();
        match &parsed.rules {
            FilterRuleTarget::Any => self.of_any.push(number),
            FilterRuleTarget::Specific(targets) => {
                for target in targets {
                    self.by_target.entry(target.clone()).or_default().push(number);
                }
            }
        }
        let info = Arc::new(FilterRef {
            id: parsed.id.clone().filter(|id| !id.is_empty()),
            title: parsed.title.clone(),
            path: path.clone(),
            digest: crate::rule::digest_of_parsed(&parsed),
        });
        self.overlays.push(Overlay { info, parsed, touched: Vec::new(), hit: Vec::new() });
        Ok(())
    }

    /// Numbers of the filters that lie over `rule`, in the order they were given.
    pub(crate) fn over(&self, rule: &SigmaRule) -> Vec<usize> {
        let names = [rule.id.as_ref(), rule.name.as_ref()];
        let named = names.into_iter().flatten().filter_map(|name| self.by_target.get(name));
        let mut numbers: Vec<usize> = named.flatten().chain(&self.of_any).copied().collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| {
            let source = self.overlays[*number].parsed.logsource.as_ref();
            source.is_some_and(|source| covers(source, &rule.logsource))
        });
        numbers
    }

    pub(crate) fn get(&self, number: usize) -> &Overlay {
        &self.overlays[number]
    }

    /// Notes that the filter lies over a rule in use.
    pub(crate) fn touch(&mut self, number: usize, rule: &SigmaRule, id: &str) {
        let overlay = &mut self.overlays[number];
        overlay.touched.push(id.to_owned());
        overlay.hit.extend([&rule.id, &rule.name].into_iter().flatten().cloned());
    }

    /// What became of each.
    pub(crate) fn reports(self) -> Vec<FilterReport> {
        let report = |overlay: Overlay| {
            let missed = match overlay.parsed.rules {
                FilterRuleTarget::Any => Vec::new(),
                FilterRuleTarget::Specific(targets) => {
                    targets.into_iter().filter(|target| !overlay.hit.contains(target)).collect()
                }
            };
            FilterReport { filter: overlay.info, rules: overlay.touched, missed }
        };
        self.overlays.into_iter().map(report).collect()
    }
}

/// Whether every part of `filter` is that of `rule`.
fn covers(filter: &LogSource, rule: &LogSource) -> bool {
    let same = |filter: &Option<String>, rule: &Option<String>| match (filter, rule) {
        (None, _) => true,
        (Some(wanted), Some(found)) => wanted.eq_ignore_ascii_case(found),
        (Some(_), None) => false,
    };
    same(&filter.category, &rule.category)
        && same(&filter.product, &rule.product)
        && same(&filter.service, &rule.service)
}

/// Refuses filters whose `rules` the parser would take for `any` although that is not what is
/// written: one mistyped list would silence every rule of a log source.
pub(crate) fn check_targets(text: &str) -> Result<(), String> {
    use serde::Deserialize;
    use yaml_serde::Value;
    for document in yaml_serde::Deserializer::from_str(text) {
        // What is no YAML was reported by the parser.
        let Ok(document) = Value::deserialize(document) else { return Ok(()) };
        let Some(filter) = document.get("filter") else { continue };
        let names = |list: &Vec<Value>| {
            !list.is_empty() && list.iter().all(|name| name.as_str().is_some_and(|n| !n.is_empty()))
        };
        match filter.get("rules") {
            Some(Value::String(name)) if !name.is_empty() => {}
            Some(Value::Sequence(list)) if names(list) => {}
            None => return Err("its rules are not named: write `rules: any` or their ids".into()),
            Some(_) => return Err("filter.rules must be `any` or a list of ids or names".into()),
        }
    }
    Ok(())
}
