//! Acts as rows: what `| act` makes of the events before it, and the table `acts` of SQL.

use crate::ast::{Compare, Filter};
use crate::limits::{ACT_EVENTS_MAX, ACT_LOOK_BACK_HOURS};
use crate::notice::Notices;
use crate::plan::{Kind, Planner, column, timestamp};
use crate::run::Run;
use crate::scalar::time_type;
use crate::searcher::Inner;
use crate::steps::{Source, Step, Steps, by_place};
use crate::tables::Tables;
use crate::{ParseError, QueryError};
use arrow::array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
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
use std::ops::Range;
use std::sync::Arc;
use yagura_acts::{COLUMNS, Observed, STARTS, WANTED, acts_of};
use yagura_event::{EventBatch, FieldDictionary, FieldType, Lang, UtcMicros, columns as envelope};
use yagura_lake::{ColumnKind, DATASET, EventsTable};

/// Columns of acts that are shown where a search does not choose them: when, who, what, the events.
pub(crate) const SHOWN: [&str; 11] = [
    envelope::TIMESTAMP,
    "event.end",
    "act.kind",
    "user.name",
    "host.name",
    "source.ip",
    "act.object",
    SENTENCE_JA,
    SENTENCE_EN,
    "act.events",
    "act.event_ids",
];

const SENTENCE_JA: &str = "sentence.ja";
const SENTENCE_EN: &str = "sentence.en";

/// The columns of acts that do not depend on the dictionary, in order.
const FIXED: [(&str, ColumnKind); 36] = [
    (envelope::TIMESTAMP, ColumnKind::Date),
    ("event.end", ColumnKind::Date),
    ("event.duration", ColumnKind::Long),
    (DATASET, ColumnKind::Keyword),
    ("act.id", ColumnKind::Keyword),
    ("act.kind", ColumnKind::Keyword),
    ("act.state", ColumnKind::Keyword),
    ("act.begun", ColumnKind::Keyword),
    ("act.part", ColumnKind::Long),
    ("act.late", ColumnKind::Long),
    ("act.events", ColumnKind::Long),
    ("act.event_ids", ColumnKind::Text),
    ("act.first", ColumnKind::Keyword),
    ("act.last", ColumnKind::Keyword),
    ("act.datasets", ColumnKind::Keyword),
    (SENTENCE_JA, ColumnKind::Text),
    (SENTENCE_EN, ColumnKind::Text),
    ("act.object", ColumnKind::Keyword),
    ("event.action", ColumnKind::Keyword),
    ("event.outcome", ColumnKind::Keyword),
    ("event.reason", ColumnKind::Keyword),
    ("user.name", ColumnKind::Keyword),
    ("user.domain", ColumnKind::Keyword),
    ("user.target.name", ColumnKind::Keyword),
    ("host.name", ColumnKind::Keyword),
    ("source.ip", ColumnKind::Keyword),
    ("source.domain", ColumnKind::Keyword),
    ("destination.ip", ColumnKind::Keyword),
    ("file.path", ColumnKind::Keyword),
    ("process.name", ColumnKind::Keyword),
    ("process.executable", ColumnKind::Keyword),
    ("process.command_line", ColumnKind::Keyword),
    ("process.parent.executable", ColumnKind::Keyword),
    ("url.domain", ColumnKind::Keyword),
    ("user_agent.original", ColumnKind::Keyword),
    ("vpn.tunnel", ColumnKind::Keyword),
];

/// All columns of acts: those that every act can have, and what the dictionary says of their kinds.
fn columns(dictionary: &FieldDictionary) -> Vec<(String, ColumnKind)> {
    let mut all: Vec<(String, ColumnKind)> =
        FIXED.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
    let mut more: Vec<_> = dictionary
        .fields_as_listed()
        .filter(|field| field.name.starts_with("act."))
        .filter(|field| FIXED.iter().all(|(name, _)| *name != field.name))
        .map(|field| {
            let kind = match dictionary.field_type(&field.name) {
                FieldType::Long => ColumnKind::Long,
                FieldType::Date => ColumnKind::Date,
                _ => ColumnKind::Keyword,
            };
            (field.name.clone(), kind)
        })
        .collect();
    more.sort_by(|(one, _), (other, _)| one.cmp(other));
    all.extend(more);
    all
}

/// The same as columns of a plan.
pub(crate) fn kinds(dictionary: &FieldDictionary) -> Vec<(String, Kind)> {
    columns(dictionary).into_iter().map(|(name, kind)| (name, Kind::Column(kind))).collect()
}

fn schema(dictionary: &FieldDictionary) -> SchemaRef {
    let field = |(name, kind)| {
        let data_type = match kind {
            ColumnKind::Long => DataType::Int64,
            ColumnKind::Date => time_type(),
            _ => DataType::Utf8,
        };
        Field::new(name, data_type, true)
    };
    Arc::new(Schema::new(columns(dictionary).into_iter().map(field).collect::<Vec<_>>()))
}

/// Acts of the events in `read`, as rows.
fn rows(
    read: Vec<RecordBatch>,
    dictionary: &Arc<FieldDictionary>,
    tables: &dyn Tables,
    notices: &Notices,
) -> PlanResult<RecordBatch> {
    let schema = schema(dictionary);
    let (Observed { acts, passed }, counters) = acts_of(read);
    if !passed.is_empty() {
        let (all, alone) = (counters.events, passed.len());
        notices.tell(
            false,
            format!("{alone} of the {all} events that were read are part of no act"),
            format!("読んだ{all}件のイベントのうち{alone}件は、どの行為にも含まれません"),
        );
    }
    let mut parts = Vec::new();
    for batch in yagura_acts::batches(&acts, dictionary) {
        parts.push(fitted(&batch, &schema, tables)?);
    }
    Ok(concat_batches(&schema, &parts)?)
}

fn fitted(batch: &EventBatch, schema: &SchemaRef, tables: &dyn Tables) -> PlanResult<RecordBatch> {
    let rows = batch.rows();
    let said = |lang| {
        let mut sentences = tables.sentences(batch, lang).into_iter().map(Some);
        let all = (0..rows).map(|_| sentences.next().flatten());
        Arc::new(all.collect::<StringArray>()) as ArrayRef
    };
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        arrays.push(match field.name().as_str() {
            SENTENCE_JA => said(Lang::Ja),
            SENTENCE_EN => said(Lang::En),
            DATASET => Arc::new(StringArray::from(vec![&*batch.dataset; rows])),
            name => match batch.columns.column_by_name(name) {
                Some(array) => cast(array, field.data_type())?,
                None => new_null_array(field.data_type(), rows),
            },
        });
    }
    Ok(RecordBatch::try_new(schema.clone(), arrays)?)
}

impl Steps<'_, '_> {
    /// What comes before finds events, what comes after sees acts.
    pub(crate) fn act(&mut self, at: &Range<usize>) -> Result<(), ParseError> {
        if self.planner.made.is_some() {
            return Err(self.planner.error(
                at,
                "act はイベントから行為を作ります。stats や fields など、列を作る処理より前に書いてください。",
                "act puts events together: write it before commands that make a table, such as stats or fields",
            ));
        }
        let before = std::mem::take(&mut self.list);
        let mut parts = Vec::with_capacity(WANTED.len());
        for (number, wanted) in WANTED.into_iter().enumerate() {
            let mut list = before.clone();
            list.extend(part(self.planner, wanted, number > 0)?);
            parts.push(list);
        }
        self.source = Source::Acts(parts);
        self.events_read();
        let kinds = kinds(self.planner.dictionary());
        self.planner.added.clear();
        self.planner.made = Some(kinds);
        self.order = Some(vec![column(envelope::TIMESTAMP).sort(false, false)]);
        self.sorted = false;
        self.shown = Some(&SHOWN);
        Ok(())
    }
}

/// The newest events of which acts are made, in the columns that they are made from.
fn part(planner: &mut Planner<'_>, wanted: &str, with_text: bool) -> Result<Vec<Step>, ParseError> {
    let filter = filter_of(wanted)?;
    let mut list = vec![Step::Keep(planner.filter(&filter, false)?)];
    list.push(Step::Sort(by_place(true)));
    // One more than wanted tells whether there are more.
    list.push(Step::Limit(0, ACT_EVENTS_MAX + 1));
    let mut shown = Vec::new();
    for name in COLUMNS.iter().filter(|name| with_text || **name != "message") {
        if let Some((name, kind)) = planner.find(name)
            && kind != Kind::Absent
        {
            shown.push(column(&name));
        }
    }
    list.push(Step::Select(shown));
    Ok(list)
}

fn filter_of(text: &str) -> Result<Filter, ParseError> {
    Ok(crate::parse(text, UtcMicros::default(), &TimeZone::UTC)?.filter)
}

impl Run<'_> {
    /// Reads the events of each part, and makes acts of them.
    pub(crate) async fn acts(
        &self,
        frames: Vec<datafusion::dataframe::DataFrame>,
    ) -> Result<RecordBatch, QueryError> {
        let _turn = self.inner.acts_turn().await?;
        let mut read = Vec::new();
        for frame in frames {
            let (rows, cut) = self.collect(frame, ACT_EVENTS_MAX, usize::MAX).await?;
            read.extend(rows);
            if cut {
                self.notices.tell(
                    true,
                    format!(
                        "acts were made from the newest {ACT_EVENTS_MAX} events: narrow the time \
                         range or the question for the others"
                    ),
                    format!(
                        "行為は新しいほうから{ACT_EVENTS_MAX}件のイベントで作りました。残りは期間か条件を絞って\
                         お調べください"
                    ),
                );
            }
        }
        let (dictionary, tables) = (self.inner.dictionary().clone(), self.inner.tables().clone());
        let notices = self.notices.clone();
        let made =
            tokio::task::spawn_blocking(move || rows(read, &dictionary, tables.as_ref(), &notices));
        let made = tokio::time::timeout_at(self.until, made).await;
        let made = made.map_err(|_| self.too_long())?;
        Ok(made.map_err(|_| QueryError::Failed("acts could not be made".to_owned()))??)
    }
}

/// The table `acts`: made from the events of the time that a statement asks about.
pub(crate) struct ActsTable {
    pub(crate) inner: Arc<Inner>,
    pub(crate) events: EventsTable,
    pub(crate) notices: Notices,
    schema: SchemaRef,
}

impl fmt::Debug for ActsTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActsTable").finish_non_exhaustive()
    }
}

impl ActsTable {
    pub(crate) fn new(inner: Arc<Inner>, events: EventsTable, notices: Notices) -> Self {
        let schema = schema(inner.dictionary());
        ActsTable { inner, events, notices, schema }
    }

    async fn read(&self, span: Span) -> Result<RecordBatch, QueryError> {
        let context = self.inner.context();
        let run = Run::new(&self.inner, &context, &self.events, &self.notices);
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
        let made = self.read(Span::of(filters)).await;
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
        let dictionary = Arc::new(FieldDictionary::from_toml("").unwrap());
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
