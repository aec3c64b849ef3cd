//! Processing pipelines: how rules are adapted to the names a house gives its fields.
//!
//! A subset of pySigma's YAML, chosen so that whatever is accepted is honoured exactly. Everything
//! else refuses the whole pipeline by name: a rule adapted by half would watch the wrong field.

mod apply;
mod read;

use crate::expand::PlaceholderLists;
use rsigma_parser::{DetectionItem, SigmaRule};
use std::collections::{BTreeMap, BTreeSet};

/// A processing pipeline.
///
/// ```
/// let pipeline = yagura_detect::Pipeline::from_yaml("house.yml", "
/// name: Our field names
/// priority: 20
/// transformations:
///   - id: names
///     type: field_name_mapping
///     mapping: {CommandLine: process.command_line}
///     rule_conditions:
///       - {type: logsource, product: windows}
/// ").unwrap();
/// assert_eq!(pipeline.name, "Our field names");
/// let unknown = "transformations:\n  - type: replace_string\n";
/// let error = yagura_detect::Pipeline::from_yaml("x.yml", unknown).unwrap_err();
/// assert!(error.to_string().contains("replace_string"));
/// ```
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// What its author calls it; its file where there is no name.
    pub name: String,
    /// The file it was read from.
    pub path: String,
    /// Pipelines of a lower number come first; those of one number in the order they are given.
    pub priority: i64,
    items: Vec<Item>,
    vars: BTreeMap<String, Vec<String>>,
}

/// A pipeline that cannot be honoured and is therefore not used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct PipelineError {
    /// The file.
    pub path: String,
    /// What is wrong and where, in English.
    pub reason: String,
}

#[derive(Debug, Clone)]
struct Item {
    id: Option<String>,
    step: Step,
    rule: Conditions<RuleCondition>,
    field: Conditions<FieldCondition>,
}

#[derive(Debug, Clone)]
enum Step {
    /// A field name to the names of which any may hold the value.
    Rename(BTreeMap<String, Vec<String>>),
    /// What must hold besides; must not, if negated.
    Add {
        items: Vec<DetectionItem>,
        negated: bool,
    },
    Drop,
    Set {
        key: String,
        value: String,
    },
    /// Which placeholders take their values from the pipeline's variables.
    Values {
        include: Vec<String>,
        exclude: Vec<String>,
    },
}

#[derive(Debug, Clone)]
struct Conditions<T> {
    list: Vec<T>,
    any: bool,
    negated: bool,
}

#[derive(Debug, Clone)]
enum RuleCondition {
    LogSource([Option<String>; 3]),
    Field(String),
    Tag(String),
    Applied(String),
    State { key: String, value: String },
}

#[derive(Debug, Clone)]
enum FieldCondition {
    Include(BTreeSet<String>),
    Exclude(BTreeSet<String>),
}

impl<T> Conditions<T> {
    fn hold(&self, mut holds: impl FnMut(&T) -> bool) -> bool {
        if self.list.is_empty() {
            return true;
        }
        let held = match self.any {
            true => self.list.iter().any(&mut holds),
            false => self.list.iter().all(&mut holds),
        };
        held != self.negated
    }
}

/// Adapts `rule` by all of `pipelines`, which are in order. Returns the values that pipelines give
/// to placeholders. The error is the reason to refuse the rule.
pub(crate) fn adapt(
    pipelines: &[Pipeline],
    rule: &mut SigmaRule,
) -> Result<PlaceholderLists, String> {
    let mut lists = PlaceholderLists::default();
    let mut state = apply::State::default();
    for pipeline in pipelines {
        let values = pipeline
            .apply(rule, &mut state)
            .map_err(|reason| format!("pipeline {:?}: {reason}", pipeline.name))?;
        lists = lists.under(&values);
    }
    Ok(lists)
}
