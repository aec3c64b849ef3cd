//! The commands of a search as steps of a DataFusion plan.

use crate::ast::{Aggregate, Bin, Function, Named, Pipe};
use crate::error::ParseError;
use crate::limits::VALUES_CHARS_MAX;
use crate::plan::{Kind, Planner, column, timestamp};
use crate::scalar::{Scalar, ScalarFunction};
use crate::searcher::Order;
use crate::step::{Around, Planned, Reading, Source, Step, Window};
use crate::{acts, compute, need};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::functions::expr_fn::substring;
use datafusion::functions_aggregate::expr_fn::{
    approx_percentile_cont, avg, count, count_distinct, first_value, last_value, max, median, min,
    stddev, sum,
};
use datafusion::functions_aggregate::string_agg::string_agg;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{
    Expr as Condition, ExprFunctionExt, ScalarUDF, SortExpr, cast, lit, try_cast,
};
use std::collections::BTreeSet;
use std::ops::Range;
use yagura_event::columns as envelope;
use yagura_lake::{ColumnKind, DATASET, EVENT_ID};
use yagura_textindex::Need;

/// Columns of events where neither the expression nor the caller chooses them.
const COLUMNS_DEFAULT: [&str; 5] =
    [EVENT_ID, envelope::TIMESTAMP, DATASET, "message", envelope::ORIGINAL];

/// Columns only steps see; no field is called so.
const NUMBER: &str = "yagura.step.number";

/// The commands as steps of a plan.
pub(crate) struct Steps<'p, 'a> {
    pub(crate) planner: &'p mut Planner<'a>,
    pub(crate) around: Around<'a>,
    pub(crate) list: Vec<Step>,
    pub(crate) source: Source,
    /// What the words of the filter need.
    need: Need,
    /// What is read of events, once it is known.
    reading: Option<Reading>,
    /// The order the rows should have, and whether a step made it already.
    pub(crate) order: Option<Vec<SortExpr>>,
    pub(crate) sorted: bool,
    /// Whether a command chose the columns.
    pub(crate) chosen: bool,
    /// Columns to show if none does.
    pub(crate) shown: Option<&'static [&'static str]>,
}

impl<'p, 'a> Steps<'p, 'a> {
    /// The events of the expression's filter within the window.
    pub(crate) fn begin(
        planner: &'p mut Planner<'a>,
        order: Order,
        around: Around<'a>,
    ) -> Result<Self, ParseError> {
        let order = match order {
            Order::NewestFirst => Some(by_place(true)),
            Order::OldestFirst => Some(by_place(false)),
            Order::Any => None,
        };
        let place = [envelope::TIMESTAMP, envelope::BATCH, envelope::INDEX];
        planner.needed.extend(place.map(str::to_owned));
        let expr = planner.expr();
        let need = need::of(&expr.filter, planner);
        let (list, source) = (Vec::new(), Source::Events);
        let mut steps = Steps {
            planner,
            around,
            list,
            source,
            need,
            reading: None,
            order,
            sorted: false,
            chosen: false,
            shown: None,
        };
        steps.keep_window();
        let filter = steps.planner.filter(&expr.filter, false)?;
        steps.keep(filter);
        Ok(steps)
    }

    fn keep_window(&mut self) {
        let Window { from, to, received } = self.around.window;
        let time = || column(envelope::TIMESTAMP);
        if let Some(from) = from {
            self.keep(time().gt_eq(timestamp(from)));
        }
        if let Some(to) = to {
            self.keep(time().lt(timestamp(to)));
        }
        let ingested = || column(envelope::INGESTED);
        if let Some(from) = received.0 {
            self.keep(ingested().gt_eq(timestamp(from)));
        }
        if let Some(to) = received.1 {
            self.keep(ingested().lt(timestamp(to)));
        }
        if received != (None, None) {
            self.planner.needed.insert(envelope::INGESTED.to_owned());
        }
    }

    /// Notes that all that is read of events is known now.
    pub(crate) fn events_read(&mut self) {
        let needed = std::mem::take(&mut self.planner.needed);
        self.reading.get_or_insert(Reading { needed, need: self.need.clone() });
    }

    /// The plan, with columns of the caller where no command chose them.
    pub(crate) fn planned(mut self, columns: &[String]) -> Result<Planned, ParseError> {
        if !self.chosen {
            let names: Vec<String> = match columns {
                _ if self.planner.expr().makes_table() => self.shown_beside_events(),
                [] => COLUMNS_DEFAULT.iter().map(|name| (*name).to_owned()).collect(),
                names => names.to_vec(),
            };
            self.fields(names.into_iter().map(|name| (name, 0..0)).collect(), true)?;
        }
        if let Some(keys) = self.pending_sort() {
            // The order is applied before the last projection, which may drop its columns.
            let is_select = matches!(self.list.last(), Some(Step::Select(_)));
            let at = self.list.len() - usize::from(is_select);
            self.list.insert(at, Step::Sort(keys));
        }
        self.events_read();
        let (source, list) = (self.source, self.list);
        // Proof: noted in the line above.
        let reading = self.reading.unwrap_or(Reading { needed: BTreeSet::new(), need: self.need });
        Ok(Planned { source, list, reading })
    }

    pub(crate) fn keep(&mut self, condition: Condition) {
        self.list.push(Step::Keep(condition));
    }

    /// The sort that is still to be done.
    pub(crate) fn pending_sort(&self) -> Option<Vec<SortExpr>> {
        self.order.clone().filter(|_| !self.sorted)
    }

    /// Columns that say which event a row is of, and what was computed from it.
    pub(crate) fn shown_beside_events(&self) -> Vec<String> {
        let event = [envelope::TIMESTAMP, DATASET, "host.name", "user.name", "message"];
        let shown = self.shown.unwrap_or(&event);
        let mut names: Vec<String> = shown.iter().map(|name| (*name).to_owned()).collect();
        let of_acts = acts::kinds(self.planner.dictionary());
        let made = self.planner.made.iter().flatten().filter(|made| !of_acts.contains(made));
        let added = self.planner.added.iter().chain(made).map(|(name, _)| name.clone());
        for name in added {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    pub(crate) fn pipe(&mut self, pipe: &Pipe) -> Result<(), ParseError> {
        match pipe {
            Pipe::Where(filter) => {
                let condition = self.planner.filter(filter, false)?;
                self.keep(condition);
            }
            Pipe::Head(rows) => {
                self.list.extend(self.pending_sort().map(Step::Sort));
                self.sorted = false;
                self.list.push(Step::Limit(0, *rows));
            }
            Pipe::Tail(rows) => {
                let keys = self.order.clone().unwrap_or_default();
                let reversed =
                    keys.into_iter().map(|key| SortExpr { asc: !key.asc, ..key }).collect();
                self.list.push(Step::Sort(reversed));
                self.sorted = false;
                self.list.push(Step::Limit(0, *rows));
            }
            Pipe::Sort(keys) => {
                let mut order = Vec::with_capacity(keys.len());
                for (name, at, descending) in keys {
                    let (target, _) = self.target(name, at)?;
                    order.push(target.sort(!descending, false));
                }
                self.order = Some(order);
                self.sorted = false;
            }
            Pipe::Fields(names) => {
                self.fields_in_order(names.clone(), false)?;
            }
            Pipe::Stats(aggregates, by) => {
                let by = self.groups(by)?;
                self.stats(aggregates, by)?;
            }
            Pipe::Timechart(bin, aggregates, by) => {
                let (time, _) = self.target(envelope::TIMESTAMP, &(0..0))?;
                let start = self.binned(time, *bin);
                let date = Kind::Column(ColumnKind::Date);
                let mut groups = vec![(envelope::TIMESTAMP.to_owned(), start, date)];
                groups.extend(self.groups(by)?);
                self.stats(aggregates, groups)?;
            }
            Pipe::Top(rows, field) => self.most(*rows, field, false)?,
            Pipe::Rare(rows, field) => self.most(*rows, field, true)?,
            Pipe::Dedup(rows, names) => self.dedup(*rows, names)?,
            Pipe::Bin((name, at), bin, new) => self.bin(name, at, *bin, new)?,
            Pipe::Eval(name, _, computation) => {
                let (value, kind) = compute::plan(self.planner, computation)?;
                self.list.push(Step::With(name.clone(), value));
                self.planner.add(name, kind);
            }
            Pipe::Rename(renames) => self.rename(renames)?,
            Pipe::Transaction { by, pause_micros } => self.transaction(by, *pause_micros)?,
            Pipe::Join(join) => self.join(join)?,
            Pipe::Lookup(lookup) => self.lookup(lookup)?,
            Pipe::Act(at) => self.act(at)?,
        }
        Ok(())
    }

    /// These columns and no others, in the order that the rows should have.
    pub(crate) fn fields_in_order(
        &mut self,
        names: Vec<Named>,
        lenient: bool,
    ) -> Result<(), ParseError> {
        self.list.extend(self.pending_sort().map(Step::Sort));
        self.fields(names, lenient)?;
        self.order = None;
        self.chosen = true;
        Ok(())
    }

    pub(crate) fn fields(&mut self, names: Vec<Named>, lenient: bool) -> Result<(), ParseError> {
        let mut columns = Vec::with_capacity(names.len());
        let mut made: Vec<(String, Kind)> = Vec::new();
        for (typed, at) in names {
            // A column asked for by the caller, not in the expression.
            let found = match lenient && at.is_empty() {
                true => self.planner.find(&typed),
                false => Some(self.planner.resolve(&typed, &at)?),
            };
            let (name, kind, shown) = match found {
                Some((name, Kind::Absent)) => {
                    let shown = null_text().alias(&name);
                    (name, Kind::Column(ColumnKind::Keyword), shown)
                }
                Some((name, kind)) => {
                    let shown = column(&name);
                    (name, kind, shown)
                }
                None => {
                    let shown = null_text().alias(&typed);
                    (typed, Kind::Column(ColumnKind::Keyword), shown)
                }
            };
            if !made.iter().any(|(other, _)| *other == name) {
                made.push((name, kind));
                columns.push(shown);
            }
        }
        self.planner.made = Some(made);
        self.list.push(Step::Select(columns));
        Ok(())
    }

    pub(crate) fn target(
        &mut self,
        name: &str,
        at: &Range<usize>,
    ) -> Result<(Condition, Kind), ParseError> {
        Ok(match self.planner.resolve(name, at)? {
            (_, Kind::Absent) => (null_text(), Kind::Column(ColumnKind::Keyword)),
            (name, kind) => (column(&name), kind),
        })
    }

    /// Name, value and kind of each.
    pub(crate) fn groups(
        &mut self,
        by: &[Named],
    ) -> Result<Vec<(String, Condition, Kind)>, ParseError> {
        let mut groups = Vec::with_capacity(by.len());
        for (typed, at) in by {
            let (name, kind) = self.planner.resolve(typed, at)?;
            let group = match kind {
                Kind::Absent => (name, null_text(), Kind::Column(ColumnKind::Keyword)),
                kind => {
                    let value = column(&name);
                    (name, value, kind)
                }
            };
            groups.push(group);
        }
        Ok(groups)
    }

    fn stats(
        &mut self,
        aggregates: &[Aggregate],
        by: Vec<(String, Condition, Kind)>,
    ) -> Result<(), ParseError> {
        let mut made: Vec<(String, Kind)> = Vec::new();
        let mut groups = Vec::with_capacity(by.len());
        for (name, value, kind) in by {
            if !made.iter().any(|(other, _)| *other == name) {
                groups.push(value.alias(&name));
                made.push((name, kind));
            }
        }
        let order: Vec<_> = made.iter().map(|(name, _)| column(name).sort(true, false)).collect();
        let (mut computed, mut shortened) = (Vec::with_capacity(aggregates.len()), Vec::new());
        for aggregate in aggregates {
            let (value, kind) = self.aggregate(aggregate)?;
            computed.push(value.alias(&aggregate.name));
            if aggregate.function == Function::Values {
                let most = i64::try_from(VALUES_CHARS_MAX).unwrap_or(i64::MAX);
                let cut = substring(column(&aggregate.name), lit(1i64), lit(most));
                shortened.push(Step::With(aggregate.name.clone(), cut));
            }
            if made.iter().any(|(name, _)| *name == aggregate.name) {
                let at = aggregate.field.as_ref().map_or(0..0, |(_, at)| at.clone());
                return Err(self.planner.error(
                    &at,
                    format!(
                        "列名 {} が重なっています。as で別の名前を付けてください。",
                        aggregate.name
                    ),
                    format!("two columns are called {}; rename one with as", aggregate.name),
                ));
            }
            made.push((aggregate.name.clone(), kind));
        }
        self.list.push(Step::Aggregate(groups, computed));
        if !shortened.is_empty() {
            self.list.extend(shortened);
            // A replaced column goes to the end; all are put back in the order asked for.
            let columns = made.iter().map(|(name, _)| column(name)).collect();
            self.list.push(Step::Select(columns));
        }
        self.planner.made = Some(made);
        self.order = Some(order).filter(|order| !order.is_empty());
        self.sorted = false;
        self.chosen = true;
        Ok(())
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<(Condition, Kind), ParseError> {
        let long = Kind::Column(ColumnKind::Long);
        let Some((name, at)) = &aggregate.field else { return Ok((count(lit(1i64)), long)) };
        let (target, kind) = self.target(name, at)?;
        // Numbers are often keywords; what is not a number counts as absent.
        let number = || match kind {
            Kind::Number => target.clone(),
            _ => try_cast(text(target.clone()), DataType::Float64),
        };
        let there = || Condition::IsNotNull(Box::new(target.clone()));
        let in_time = |steps: &mut Self| -> Result<Vec<SortExpr>, ParseError> {
            if steps.planner.made.is_none() {
                return Ok(by_place(false));
            }
            let (time, _) = steps.target(envelope::TIMESTAMP, at)?;
            Ok(vec![time.sort(true, false)])
        };
        let built = match aggregate.function {
            Function::Count => return Ok((count(target), long)),
            Function::Distinct => return Ok((count_distinct(target), long)),
            Function::Sum => return Ok((sum(number()), Kind::Number)),
            Function::Average => return Ok((avg(number()), Kind::Number)),
            Function::Deviation => return Ok((stddev(number()), Kind::Number)),
            Function::Min => return Ok((min(target), kind)),
            Function::Max => return Ok((max(target), kind)),
            Function::Percentile(50) => return Ok((median(number()), Kind::Number)),
            Function::Percentile(percent) => {
                let part = lit(f64::from(percent) / 100.0);
                let value = approx_percentile_cont(number().sort(true, false), part, None);
                return Ok((value, Kind::Number));
            }
            Function::First => {
                let first = first_value(target.clone(), Vec::new());
                first.order_by(in_time(self)?).filter(there()).build()
            }
            Function::Last => {
                let last = last_value(target.clone(), Vec::new());
                last.order_by(in_time(self)?).filter(there()).build()
            }
            Function::Values => {
                let value = text(target.clone());
                let joined = string_agg(value.clone(), lit(", "));
                joined.distinct().order_by(vec![value.sort(true, false)]).build()
            }
        };
        let built = built.map_err(|error| self.unplanned(at, &error))?;
        let kind = if aggregate.function == Function::Values {
            Kind::Column(ColumnKind::Keyword)
        } else {
            kind
        };
        Ok((built, kind))
    }

    fn most(&mut self, rows: usize, field: &Named, rarest: bool) -> Result<(), ParseError> {
        let name = "count".to_owned();
        let count = Aggregate { function: Function::Count, field: None, name };
        let by = self.groups(std::slice::from_ref(field))?;
        self.stats(&[count], by)?;
        let mut order = vec![column("count").sort(rarest, false)];
        order.extend(self.order.take().unwrap_or_default());
        self.list.push(Step::Sort(order));
        self.list.push(Step::Limit(0, rows));
        self.sorted = true;
        Ok(())
    }

    /// Numbers the rows of each group in the order of the rows, and keeps the first.
    fn dedup(&mut self, rows: usize, names: &[Named]) -> Result<(), ParseError> {
        let mut by = Vec::with_capacity(names.len());
        for (name, at) in names {
            by.push(text(self.target(name, at)?.0));
        }
        let order = self.order.clone().unwrap_or_default();
        let numbered = row_number().partition_by(by).order_by(order).build();
        let at = names.first().map_or(0..0, |(_, at)| at.clone());
        let numbered = numbered.map_err(|error| self.unplanned(&at, &error))?;
        let most = u64::try_from(rows).unwrap_or(u64::MAX);
        self.list.push(Step::With(NUMBER.to_owned(), numbered));
        self.list.push(Step::Keep(column(NUMBER).lt_eq(lit(most))));
        self.list.push(Step::Without(vec![NUMBER.to_owned()]));
        Ok(())
    }

    fn binned(&self, value: Condition, bin: Bin) -> Condition {
        let function = ScalarFunction::new(Scalar::Bin(bin, self.planner.zone()));
        ScalarUDF::from(function).call(vec![value])
    }

    fn bin(
        &mut self,
        name: &str,
        at: &Range<usize>,
        bin: Bin,
        new: &str,
    ) -> Result<(), ParseError> {
        let (value, kind) = self.target(name, at)?;
        let is_time = kind == Kind::Column(ColumnKind::Date);
        let (value, made) = match bin {
            Bin::Number(_) if is_time => {
                return Err(self.planner.error(
                    at,
                    format!("{name} は時刻です。幅は 5m や 1h のように書いてください。"),
                    format!("{name} is a time: write a span such as 5m or 1h"),
                ));
            }
            Bin::Number(_) if kind == Kind::Number => (value, Kind::Number),
            Bin::Number(_) => (try_cast(text(value), DataType::Float64), Kind::Number),
            _ if is_time => (value, kind),
            _ => {
                return Err(self.planner.error(
                    at,
                    format!("{name} は時刻ではありません。幅は数で書いてください（例 span=100）。"),
                    format!("{name} is no time: write the span as a number, such as span=100"),
                ));
            }
        };
        self.list.push(Step::With(new.to_owned(), self.binned(value, bin)));
        self.planner.add(new, made);
        Ok(())
    }

    fn rename(&mut self, renames: &[(Named, String)]) -> Result<(), ParseError> {
        for ((old, at), new) in renames {
            let (name, kind) = self.planner.resolve(old, at)?;
            let value = if kind == Kind::Absent { null_text() } else { column(&name) };
            match &mut self.planner.made {
                // The column keeps its place.
                Some(made) => {
                    if made.iter().any(|(other, _)| other == new) {
                        return Err(self.planner.error(
                            at,
                            format!("列 {new} は既にあります。"),
                            format!("there is a column {new} already"),
                        ));
                    }
                    for column in made.iter_mut().filter(|(other, _)| *other == name) {
                        column.0.clone_from(new);
                    }
                    let columns = made.iter().map(|(shown, _)| {
                        if shown == new { value.clone().alias(new) } else { column(shown) }
                    });
                    let columns = columns.collect();
                    self.list.extend(self.order.take().filter(|_| !self.sorted).map(Step::Sort));
                    self.list.push(Step::Select(columns));
                }
                None => {
                    self.list.push(Step::With(new.clone(), value));
                    self.planner.add(new, kind);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn unplanned(
        &self,
        at: &Range<usize>,
        error: &datafusion::error::DataFusionError,
    ) -> ParseError {
        self.planner.error(
            at,
            format!("計算できません: {error}"),
            format!("this cannot be computed: {error}"),
        )
    }
}

/// By time, then by place in the ledger, which makes the order total, so that pages do not overlap.
pub(crate) fn by_place(descending: bool) -> Vec<SortExpr> {
    [envelope::TIMESTAMP, envelope::BATCH, envelope::INDEX]
        .map(|name| column(name).sort(!descending, false))
        .to_vec()
}

/// A value as text, whatever its type.
pub(crate) fn text(target: Condition) -> Condition {
    cast(target, DataType::Utf8)
}

fn null_text() -> Condition {
    lit(ScalarValue::Utf8(None))
}
