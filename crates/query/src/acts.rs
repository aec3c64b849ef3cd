//! Acts as rows: what `| act` makes of the events before it.

use crate::ast::Filter;
use crate::limits::ACT_EVENTS_MAX;
use crate::notice::Notices;
use crate::plan::{Kind, Planner, column};
use crate::run::Run;
use crate::scalar::time_type;
use crate::step::{Source, Step};
use crate::steps::{Steps, by_place};
use crate::tables::Tables;
use crate::{ParseError, QueryError};
use arrow::array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::dataframe::DataFrame;
use datafusion::error::Result as PlanResult;
use jiff::tz::TimeZone;
use std::ops::Range;
use std::sync::Arc;
use yagura_acts::{COLUMNS, Observed, WANTED, acts_of};
use yagura_event::{EventBatch, FieldDictionary, FieldType, Lang, UtcMicros, columns as envelope};
use yagura_lake::{ColumnKind, DATASET};

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

pub(crate) fn schema(dictionary: &FieldDictionary) -> SchemaRef {
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
pub(crate) fn part(
    planner: &mut Planner<'_>,
    wanted: &str,
    with_text: bool,
) -> Result<Vec<Step>, ParseError> {
    let filter = filter_of(wanted)?;
    let mut list = vec![Step::Keep(planner.filter(&filter, false)?)];
    list.push(Step::Sort(by_place(true)));
    // One more than wanted tells whether there are more.
    list.push(Step::Limit(0, ACT_EVENTS_MAX + 1));
    // These are the names of columns themselves; what no event has is not asked for by its labels.
    let names = COLUMNS.iter().filter(|name| with_text || **name != "message");
    let mut shown = Vec::new();
    for name in names {
        if planner.has(name) {
            planner.needed.insert((*name).to_owned());
            shown.push(column(name));
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
    pub(crate) async fn acts(&self, frames: Vec<DataFrame>) -> Result<RecordBatch, QueryError> {
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
