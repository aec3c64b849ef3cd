//! One step of a plan, and what a planned search is made of.

use crate::beside_steps::Beside;
use crate::notice::Notices;
use crate::tables::Tables;
use datafusion::dataframe::DataFrame;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr as Condition, SortExpr};
use std::collections::BTreeSet;
use yagura_event::UtcMicros;
use yagura_lake::EventsTable;
use yagura_textindex::Need;

/// One step of a plan.
#[derive(Clone)]
pub(crate) enum Step {
    Keep(Condition),
    Sort(Vec<SortExpr>),
    Limit(usize, usize),
    Select(Vec<Condition>),
    Aggregate(Vec<Condition>, Vec<Condition>),
    /// A column more, or another in the place of one.
    With(String, Condition),
    Without(Vec<String>),
    /// Columns of other rows; put in its place before it is taken.
    Beside(Box<Beside>),
}

impl Step {
    pub(crate) fn apply(self, frame: DataFrame) -> PlanResult<DataFrame> {
        match self {
            Step::Keep(condition) => frame.filter(condition),
            Step::Sort(keys) => frame.sort(keys),
            Step::Limit(skip, rows) => frame.limit(skip, Some(rows)),
            Step::Select(columns) => frame.select(columns),
            Step::Aggregate(by, aggregates) => frame.aggregate(by, aggregates),
            Step::With(name, value) => {
                // Names have dots, so columns are named as they are and not parsed.
                let others = frame.schema().columns().into_iter().filter(|c| c.name != name);
                let mut columns: Vec<Condition> = others.map(Condition::Column).collect();
                columns.push(value.alias(name));
                // Window functions are planned by the projection.
                frame.select(columns)
            }
            Step::Without(names) => {
                let kept = frame.schema().columns().into_iter();
                let kept = kept.filter(|column| !names.contains(&column.name));
                let kept = kept.map(Condition::Column).collect::<Vec<_>>();
                frame.select(kept)
            }
            Step::Beside(_) => {
                datafusion::common::internal_err!("other rows are found before a step is taken")
            }
        }
    }
}

/// The time that a question asks about, with all searches in it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Window {
    /// `@timestamp` at or after this.
    pub(crate) from: Option<UtcMicros>,
    /// `@timestamp` before this.
    pub(crate) to: Option<UtcMicros>,
    /// Received at or after the first and before the second.
    pub(crate) received: (Option<UtcMicros>, Option<UtcMicros>),
}

/// What all searches of one question share while they are planned.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) window: Window,
    pub(crate) tables: &'a dyn Tables,
    pub(crate) notices: &'a Notices,
}

/// Where the rows of a plan come from.
#[derive(Clone)]
pub(crate) enum Source {
    /// Events.
    Events,
    /// Acts, made from the events that each of these lists gives.
    Acts(Vec<Vec<Step>>),
}

/// What is read of events: columns, and what their text must have.
#[derive(Clone)]
pub(crate) struct Reading {
    pub(crate) needed: BTreeSet<String>,
    pub(crate) need: Need,
}

/// A search as steps.
#[derive(Clone)]
pub(crate) struct Planned {
    pub(crate) source: Source,
    pub(crate) list: Vec<Step>,
    pub(crate) reading: Reading,
}

impl Planned {
    /// The events that it reads, in the columns that it needs.
    pub(crate) fn events(&self, table: &EventsTable) -> EventsTable {
        let narrow = table.narrowed(self.reading.needed.iter().map(String::as_str));
        narrow.where_text_has(self.reading.need.clone())
    }

    /// Columns of events that it needs.
    pub(crate) fn needed(&self) -> &BTreeSet<String> {
        &self.reading.needed
    }
}
