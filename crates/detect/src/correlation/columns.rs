//! Which columns correlations read, for whoever keeps matches without their events.

use super::compile::FieldFrom;
use super::rows::ROLES;
use crate::ruleset::Ruleset;
use std::collections::BTreeSet;

impl Ruleset {
    /// Whether a correlation counts the matches of the rule of this id.
    pub fn is_counted(&self, rule_id: &str) -> bool {
        let sources = self.compiled_correlations().iter().flat_map(|found| &found.sources);
        sources
            .filter(|source| source.correlation.is_none())
            .any(|source| source.info.id == rule_id)
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
}
