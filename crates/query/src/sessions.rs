//! `transaction`: rows that follow each other within a pause become one session.

use crate::ast::Named;
use crate::error::ParseError;
use crate::plan::{Kind, column};
use crate::step::Step;
use crate::steps::{Steps, text};
use arrow::datatypes::DataType;
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::functions_window::expr_fn::lag;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Expr as Condition, ExprFunctionExt, cast, lit, when};
use yagura_event::columns as envelope;
use yagura_lake::ColumnKind;

/// Columns only these steps see; no field is called so.
const BEGINS: &str = "yagura.step.begins";
const SESSION: &str = "yagura.step.session";

impl Steps<'_, '_> {
    /// A session begins where a row comes longer than the pause after the one before it.
    pub(crate) fn transaction(
        &mut self,
        by: &[Named],
        pause_micros: i64,
    ) -> Result<(), ParseError> {
        let at = by.first().map_or(0..0, |(_, at)| at.clone());
        let (time, _) = self.target(envelope::TIMESTAMP, &at)?;
        let groups = self.groups(by)?;
        let keys: Vec<Condition> = groups.iter().map(|(_, value, _)| text(value.clone())).collect();
        let micros = cast(time.clone(), DataType::Int64);
        let in_order = vec![micros.clone().sort(true, false)];
        let before = lag(micros.clone(), Some(1), None);
        let before = before.partition_by(keys.clone()).order_by(in_order.clone()).build();
        let before = before.map_err(|error| self.unplanned(&at, &error))?;
        self.list.push(Step::With(BEGINS.to_owned(), before));
        let joins = (micros - column(BEGINS)).lt_eq(lit(pause_micros));
        let joins = Condition::IsTrue(Box::new(joins));
        let begins = when(joins, lit(0i64)).otherwise(lit(1i64));
        let begins = begins.map_err(|error| self.unplanned(&at, &error))?;
        self.list.push(Step::With(BEGINS.to_owned(), begins));
        let running = WindowFunction::new(sum_udaf(), vec![column(BEGINS)]);
        let running = Condition::from(running).partition_by(keys).order_by(in_order);
        let session = running.build();
        let session = session.map_err(|error| self.unplanned(&at, &error))?;
        self.list.push(Step::With(SESSION.to_owned(), session));
        let (date, number) = (Kind::Column(ColumnKind::Date), Kind::Number);
        let mut made: Vec<(String, Kind)> =
            groups.iter().map(|(name, _, kind)| (name.clone(), *kind)).collect();
        let mut grouped: Vec<Condition> =
            groups.into_iter().map(|(name, value, _)| value.alias(name)).collect();
        grouped.push(column(SESSION));
        let (start, end) = (min(time.clone()), max(time));
        let computed = vec![
            start.alias("event.start"),
            end.alias("event.end"),
            count(lit(1i64)).alias("events"),
        ];
        self.list.push(Step::Aggregate(grouped, computed));
        let length = cast(column("event.end"), DataType::Int64)
            - cast(column("event.start"), DataType::Int64);
        self.list
            .push(Step::With("duration".to_owned(), cast(length, DataType::Float64) / lit(1e6)));
        made.extend([
            ("event.start".to_owned(), date),
            ("event.end".to_owned(), date),
            ("duration".to_owned(), number),
            ("events".to_owned(), Kind::Column(ColumnKind::Long)),
        ]);
        self.list.push(Step::Select(made.iter().map(|(name, _)| column(name)).collect()));
        self.order = Some(vec![column("event.start").sort(false, false)]);
        self.planner.made = Some(made);
        self.sorted = false;
        self.chosen = true;
        Ok(())
    }
}
