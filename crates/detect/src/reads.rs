use crate::ruleset::Ruleset;
use std::sync::Arc;

/// Which columns of a dataset's events a rule set looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reads {
    /// None: no rule speaks of such events.
    Nothing,
    /// These.
    Columns(Vec<Arc<str>>),
    /// Every column that holds text: some rule looks for keywords.
    Everything,
}

impl Ruleset {
    /// What has to be read of events of `dataset` to give the same answers as the whole event.
    pub fn reads(&self, dataset: &str) -> Reads {
        let plan = self.plan(dataset);
        if plan.rules.is_empty() {
            return Reads::Nothing;
        }
        if !plan.keywords.is_empty() {
            return Reads::Everything;
        }
        let gates = plan.gates.gates.iter().map(|gate| Arc::from(&*gate.column));
        let mut columns: Vec<Arc<str>> =
            plan.columns.iter().map(|column| column.name.clone()).chain(gates).collect();
        columns.sort_unstable();
        columns.dedup();
        Reads::Columns(columns)
    }
}
