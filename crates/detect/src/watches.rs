//! Which events rules look at.

use crate::rule::RuleInfo;
use crate::ruleset::Ruleset;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Ruleset {
    /// The rules whose log source covers `dataset`, each with the folded `event.code`s of which an
    /// event must have one for the rule to hold; `None` where any will do.
    pub fn watches(&self, dataset: &str) -> Vec<(Arc<RuleInfo>, Option<BTreeSet<String>>)> {
        let plan = self.plan(dataset);
        let codes = |rule: &crate::plan::PlanRule| plan.gates.needed(&rule.admission, "event.code");
        plan.rules.iter().map(|rule| (rule.info.clone(), codes(rule))).collect()
    }
}
