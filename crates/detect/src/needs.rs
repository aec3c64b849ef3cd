//! What rules cannot do without: fields that must be there for a rule to be able to hold.

use crate::expression::Expression;
use crate::plan::{Plan, PlanAtom};
use crate::rule::RuleInfo;
use crate::ruleset::Ruleset;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What one rule needs of the events of one dataset.
#[derive(Debug, Clone)]
pub struct RuleNeeds {
    /// The rule.
    pub rule: Arc<RuleInfo>,
    /// The folded `event.code`s of which an event must have one; `None` where any will do.
    pub codes: Option<BTreeSet<String>>,
    /// Columns without which it cannot hold, other than those that say what kind of event it is.
    pub columns: BTreeSet<Arc<str>>,
}

impl Ruleset {
    /// What each rule that concerns `dataset` needs of its events. Rules that need nothing in
    /// particular are left out.
    pub fn needs(&self, dataset: &str) -> Vec<RuleNeeds> {
        let plan = self.plan(dataset);
        let needs = plan.rules.iter().map(|rule| {
            let mut columns: BTreeSet<Arc<str>> = necessary(&plan, &rule.expression)
                .into_iter()
                .filter_map(|column| Some(plan.columns.get(column)?.name.clone()))
                .collect();
            columns.retain(|column| !plan.gates.gates.iter().any(|gate| *gate.column == **column));
            let codes = plan.gates.needed(&rule.admission, "event.code");
            RuleNeeds { rule: rule.info.clone(), codes, columns }
        });
        needs.filter(|needs| !needs.columns.is_empty()).collect()
    }
}

/// Columns that must have a value for `expression` to hold.
fn necessary(plan: &Plan, expression: &Expression) -> BTreeSet<usize> {
    match expression {
        Expression::Atom(atom) => match plan.atoms.get(*atom as usize) {
            Some(PlanAtom::Exists { column } | PlanAtom::Value { column, .. }) => [*column].into(),
            Some(PlanAtom::Fields { column, other, .. }) => [*column, *other].into(),
            Some(PlanAtom::Keyword { .. }) | None => BTreeSet::new(),
        },
        Expression::Not(_) => BTreeSet::new(),
        Expression::All(parts) => parts.iter().flat_map(|part| necessary(plan, part)).collect(),
        // At least one part holds, whichever: what all of them need is needed.
        Expression::Any(parts) | Expression::AtLeast(_, parts) => parts
            .iter()
            .map(|part| necessary(plan, part))
            .reduce(|a, b| a.intersection(&b).copied().collect())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LogSources, RuleFile};
    use yagura_event::FieldDictionary;

    #[test]
    fn a_rule_needs_what_every_way_to_match_it_needs() {
        let dictionary = "[sigma.'windows.']\nCommandLine='process.command_line'\n\
                          EventID='event.code'\n[native]\n'windows.'='winlog.event_data.'\n";
        let sources = "[[source]]\nproduct='windows'\nservice='security'\n\
                       where=[{dataset='windows.security'}]\n";
        let rule = "title: t\nlogsource:\n  product: windows\n  service: security\ndetection:\n  \
                    code:\n    EventID: [4688, 4689]\n  line:\n    CommandLine|contains: x\n  \
                    either:\n    - A: 1\n      B: 2\n    - B: 3\n  none:\n    C: 1\n  \
                    condition: code and line and either and not none\n";
        let file = RuleFile { path: "r.yml".into(), text: rule.into() };
        let dictionary = Arc::new(FieldDictionary::from_toml(dictionary).unwrap());
        let sources = LogSources::from_toml(sources).unwrap();
        let (ruleset, report) = Ruleset::compile(&[file], dictionary, &sources);
        assert_eq!(report.refused, []);
        let needs = ruleset.needs("windows.security");
        let columns: Vec<_> = needs[0].columns.iter().map(|column| &**column).collect();
        assert_eq!(columns, ["process.command_line", "winlog.event_data.B"]);
        let codes: Vec<_> = needs[0].codes.iter().flatten().map(String::as_str).collect();
        assert_eq!(codes, ["4688", "4689"]);
        assert!(ruleset.needs("linux.auth").is_empty());
    }
}
