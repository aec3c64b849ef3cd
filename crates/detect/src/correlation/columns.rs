//! What correlations need: columns, for whoever keeps matches without their events; and events.

use super::compile::{Correlation, FieldFrom};
use super::condition::Measure;
use super::rows::ROLES;
use crate::rule::RuleInfo;
use crate::ruleset::Ruleset;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Ruleset {
    /// Whether a correlation counts the matches of the rule of this id.
    pub fn is_counted(&self, rule_id: &str) -> bool {
        let sources = self.compiled_correlations().iter().flat_map(|found| &found.sources);
        sources
            .filter(|source| source.correlation.is_none())
            .any(|source| source.info.id == rule_id)
    }

    /// The rules and correlations that the correlation of this id counts, and those that these count.
    /// None where there is no such correlation.
    pub fn counted_by(&self, correlation_id: &str) -> Vec<&Arc<RuleInfo>> {
        let all = self.compiled_correlations();
        let mut below = Vec::new();
        // Correlations stand after those that they count, so that each is met once.
        let mut waiting: BTreeSet<usize> = (0..all.len())
            .filter(|number| all.get(*number).is_some_and(|one| one.info.id == correlation_id))
            .collect();
        while let Some(one) = waiting.pop_last().and_then(|number| all.get(number)) {
            below.extend(one.sources.iter().map(|source| &source.info));
            waiting.extend(one.sources.iter().filter_map(|source| source.correlation));
        }
        below
    }

    /// Columns of events of `dataset` that correlations read, beside time and place: a batch of these
    /// alone, and of the matches, gives a [`crate::Correlator`] all it needs.
    pub fn correlated_columns(&self, dataset: &str) -> BTreeSet<String> {
        let mut columns: BTreeSet<String> = ROLES.map(str::to_owned).into();
        for correlation in self.compiled_correlations() {
            let group_by = correlation.group_by.iter().flat_map(|field| &field.from);
            for from in group_by.chain(correlation.counted.iter().flatten()) {
                if let FieldFrom::Event(field) = from {
                    columns.insert(self.dictionary().sigma_column(dataset, field).into_owned());
                }
            }
        }
        columns
    }

    /// Correlations that could hold if there are events for the rules of which `has_events` says so,
    /// by their ids. Those that count correlations need what these need.
    pub fn possible_correlations(&self, has_events: impl Fn(&str) -> bool) -> Vec<Arc<RuleInfo>> {
        // Those that are counted stand before those that count them.
        let mut possible: Vec<bool> = Vec::new();
        for correlation in self.compiled_correlations() {
            let seen = correlation.sources.iter().filter(|source| match source.correlation {
                Some(below) => possible.get(below).copied().unwrap_or_default(),
                None => has_events(&source.info.id),
            });
            let seen = seen.count();
            possible.push(correlation.is_possible(seen));
        }
        let all = self.compiled_correlations().iter().zip(possible);
        all.filter(|(_, possible)| *possible).map(|(found, _)| found.info.clone()).collect()
    }
}

impl Correlation {
    /// Whether it can hold when so many of the rules it counts can.
    fn is_possible(&self, seen: usize) -> bool {
        if self.kind.is_temporal() && self.condition.expression.is_none() {
            (1..=seen).any(|rules| self.condition.holds(Measure::count(rules)))
        } else {
            seen > 0
        }
    }
}
