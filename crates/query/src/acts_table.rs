//! The table `acts` of SQL.

use crate::QueryError;
use crate::acts::{part, schema};
use crate::ast::Compare;
use crate::limits::{ACT_LOOK_BACK_HOURS, SECONDS_MAX};
use crate::notice::Notices;
use crate::plan::{Planner, column, timestamp};
use crate::run::Run;
use crate::scalar::time_type;
use crate::searcher::Inner;
use crate::step::Step;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::ScalarValue;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr as Condition, Operator, TableProviderFilterPushDown,
};
use datafusion::physical_plan::ExecutionPlan;
use jiff::tz::TimeZone;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use yagura_acts::{STARTS, WANTED};
use yagura_event::{UtcMicros, columns as envelope};
use yagura_lake::EventsTable;

/// The table `acts`: made from the events of the time that a statement asks about.
pub(crate) struct ActsTable {
    inner: Arc<Inner>,
    events: EventsTable,
    notices: Notices,
    schema: SchemaRef,
    /// All that a statement asks of it must be answered by then.
    until: Instant,
    /// What was made already: a statement may name the table several times.
    made: Mutex<Vec<(Span, RecordBatch)>>,
}

impl fmt::Debug for ActsTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActsTable").finish_non_exhaustive()
    }
}

impl ActsTable {
    pub(crate) fn new(inner: Arc<Inner>, events: EventsTable, notices: Notices) -> Self {
        let schema = schema(inner.dictionary());
        let until = Instant::now() + Duration::from_secs(SECONDS_MAX);
        ActsTable { inner, events, notices, schema, until, made: Mutex::default() }
    }

    /// The acts of a time, made once.
    async fn of(&self, span: Span) -> Result<RecordBatch, QueryError> {
        let mut made = self.made.lock().await;
        if let Some((_, rows)) = made.iter().find(|(other, _)| *other == span) {
            return Ok(rows.clone());
        }
        let rows = self.read(span).await?;
        made.push((span, rows.clone()));
        Ok(rows)
    }

    async fn read(&self, span: Span) -> Result<RecordBatch, QueryError> {
        let context = self.inner.context();
        let mut run = Run::new(&self.inner, &context, &self.events, &self.notices);
        run.until = self.until;
        let now = UtcMicros::default();
        let all = crate::parse("", now, &TimeZone::UTC)?;
        let mut spans = vec![(WANTED[0], false, span), (WANTED[1], true, span)];
        if let Some(from) = span.from {
            let before = from.plus_micros(-ACT_LOOK_BACK_HOURS * 3_600_000_000);
            spans.push((STARTS, true, Span { from: Some(before), to: Some(from) }));
        }
        let mut frames = Vec::new();
        for (wanted, with_text, span) in spans {
            let columns = self.events.columns();
            let mut planner = Planner::new(&all, columns, self.inner.dictionary(), false);
            let mut list = span.conditions();
            planner.needed.extend(Span::NEEDED.map(str::to_owned));
            list.extend(part(&mut planner, wanted, with_text)?);
            let narrow = self.events.narrowed(planner.needed.iter().map(String::as_str));
            let frame = context.read_table(Arc::new(narrow.uncounted()))?;
            frames.push(run.apply(frame, list).await?);
        }
        run.acts(frames).await
    }
}

/// The time that a statement asks about: from the first on, before the second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Span {
    from: Option<UtcMicros>,
    to: Option<UtcMicros>,
}

impl Span {
    const NEEDED: [&'static str; 3] = [envelope::TIMESTAMP, envelope::BATCH, envelope::INDEX];

    /// What the filters say of the time. Each narrows it; those that say something else do not.
    fn of(filters: &[Condition]) -> Span {
        let mut span = Span::default();
        filters.iter().for_each(|filter| span.narrow(filter));
        span
    }

    fn narrow(&mut self, filter: &Condition) {
        match filter {
            Condition::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                self.narrow(left);
                self.narrow(right);
            }
            Condition::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (instant, compare) = match (is_time(left), instant(right)) {
                    (true, Some(instant)) => (instant, compare_of(*op)),
                    _ if is_time(right) => match instant(left) {
                        Some(instant) => (instant, op.swap().and_then(compare_of)),
                        None => return,
                    },
                    _ => return,
                };
                match (compare, *op) {
                    (_, Operator::Eq) => self.within(instant, instant),
                    (Some(Compare::Less | Compare::LessOrEqual), _) => self.before(instant),
                    (Some(Compare::Greater | Compare::GreaterOrEqual), _) => self.after(instant),
                    (None, _) => {}
                }
            }
            Condition::Between(Between { expr, negated: false, low, high }) if is_time(expr) => {
                if let (Some(low), Some(high)) = (instant(low), instant(high)) {
                    self.within(low, high);
                }
            }
            _ => {}
        }
    }

    fn within(&mut self, low: UtcMicros, high: UtcMicros) {
        self.after(low);
        self.before(high);
    }

    fn after(&mut self, at: UtcMicros) {
        self.from = Some(self.from.map_or(at, |from| from.max(at)));
    }

    /// The instant itself belongs to it.
    fn before(&mut self, at: UtcMicros) {
        let at = at.plus_micros(1);
        self.to = Some(self.to.map_or(at, |to| to.min(at)));
    }

    fn conditions(self) -> Vec<Step> {
        let time = || column(envelope::TIMESTAMP);
        let from = self.from.map(|from| Step::Keep(time().gt_eq(timestamp(from))));
        let to = self.to.map(|to| Step::Keep(time().lt(timestamp(to))));
        from.into_iter().chain(to).collect()
    }
}

fn is_time(condition: &Condition) -> bool {
    matches!(condition, Condition::Column(column) if column.name == envelope::TIMESTAMP)
}

fn instant(condition: &Condition) -> Option<UtcMicros> {
    let Condition::Literal(value, _) = condition else { return None };
    match value.cast_to(&time_type()).ok()? {
        ScalarValue::TimestampMicrosecond(Some(micros), _) => Some(UtcMicros::from_micros(micros)),
        _ => None,
    }
}

fn compare_of(operator: Operator) -> Option<Compare> {
    Some(match operator {
        Operator::Lt => Compare::Less,
        Operator::LtEq => Compare::LessOrEqual,
        Operator::Gt => Compare::Greater,
        Operator::GtEq => Compare::GreaterOrEqual,
        _ => return None,
    })
}

#[async_trait]
impl TableProvider for ActsTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Condition],
    ) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        // They say which time is asked about; the rows are filtered again.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Condition],
        _: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let made = self.of(Span::of(filters)).await;
        let made = made.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let parts = [vec![made]];
        Ok(MemorySourceConfig::try_new_exec(&parts, self.schema.clone(), projection.cloned())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{col, lit};

    #[tokio::test]
    async fn so_many_make_acts_at_once_and_no_more() {
        use crate::limits::ACT_QUESTIONS_MAX;
        use futures::FutureExt;
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(yagura_event::ManualClock::at(UtcMicros::default()));
        let lake = yagura_lake::Lake::open(directory.path(), Default::default(), clock).unwrap();
        let dictionary = Arc::new(yagura_event::FieldDictionary::from_toml("").unwrap());
        let searcher = crate::Searcher::new(Arc::new(lake), dictionary).unwrap();
        let mut turns = Vec::new();
        for _ in 0..ACT_QUESTIONS_MAX {
            turns.push(searcher.inner.acts_turn().now_or_never().unwrap().unwrap());
        }
        assert!(searcher.inner.acts_turn().now_or_never().is_none());
        turns.pop();
        assert!(searcher.inner.acts_turn().now_or_never().is_some());
    }

    fn at(text: &str) -> UtcMicros {
        text.parse().unwrap()
    }

    #[test]
    fn a_statement_says_which_time_it_asks_about() {
        let time = || column(envelope::TIMESTAMP);
        let (noon, one) = (at("2026-11-21T12:00:00Z"), at("2026-11-21T13:00:00Z"));
        let both = Span { from: Some(noon), to: Some(one.plus_micros(1)) };
        let filters = [
            time().gt_eq(timestamp(noon)).and(time().lt_eq(timestamp(one))),
            time().between(timestamp(noon), timestamp(one)),
            timestamp(noon).lt_eq(time()).and(timestamp(one).gt_eq(time())),
        ];
        for filter in filters {
            assert_eq!(Span::of(std::slice::from_ref(&filter)), both, "{filter}");
        }
        assert_eq!(Span::of(&[time().eq(timestamp(noon))]).to, Some(noon.plus_micros(1)));
        let text = lit("2026-11-21T12:00:00Z");
        assert_eq!(Span::of(&[time().gt(text)]), Span { from: Some(noon), to: None });
        let says_nothing = [
            time().gt(timestamp(noon)).or(time().lt(timestamp(one))),
            time().not_between(timestamp(noon), timestamp(one)),
            col("other").gt(timestamp(noon)),
        ];
        for filter in says_nothing {
            assert_eq!(Span::of(std::slice::from_ref(&filter)), Span::default(), "{filter}");
        }
    }
}
