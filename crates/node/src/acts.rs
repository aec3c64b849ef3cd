//! Acts: a view computed from the events of the time that is asked about. Nothing of it is stored, so
//! it always follows the content in use.

use crate::rows::{Row, wrong_query};
use crate::{Node, NodeError, SearchQuery};
use arrow::array::AsArray;
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use yagura_acts::{Act, ActKind, Observed};
use yagura_event::{EventBatch, Lang, UtcMicros, columns};
use yagura_query::{Live, SearchRequest};

pub use yagura_query::limits::{ACT_EVENTS_MAX, ACT_LOOK_BACK_HOURS, ACT_QUESTIONS_MAX};

static RUNNING: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(ACT_QUESTIONS_MAX);

/// Most acts of one answer.
pub const ACT_ROWS_MAX: usize = 10_000;

/// Which acts are asked for.
#[derive(Debug, Clone, Default)]
pub struct ActsQuery {
    /// The expression and the time; `limit` is that of acts, 0 for [`ACT_ROWS_MAX`].
    pub search: SearchQuery,
    /// Only these kinds; empty for all.
    pub kinds: Vec<ActKind>,
    /// Whether each act comes with the ids of its events.
    pub events: bool,
}

/// Acts, the newest first, and what they were made from.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ActsFound {
    /// The acts.
    pub rows: Vec<Row>,
    /// Whether there are more that match.
    pub cut: bool,
    /// Acts that match.
    pub total: usize,
    /// Events that were read.
    pub events_read: u64,
    /// Events that are part of no act and stand for themselves.
    pub events_single: u64,
    /// Acts that were made from the events, before the expression was asked of them.
    pub acts_made: usize,
    /// Whether there are more events than may be read ([`ACT_EVENTS_MAX`]): the newest were.
    pub events_cut: bool,
    /// How far before the asked time beginnings were looked for, in hours; 0 where they were not.
    pub look_back_hours: i64,
    /// What could not be read.
    #[serde(default)]
    pub unread: Vec<crate::Unread>,
}

struct Read {
    batches: Vec<RecordBatch>,
    cut: bool,
    unread: Vec<crate::Unread>,
}

impl Node {
    /// Puts acts together from the events of a time, and answers those that match. Filters (and
    /// `| where`) have a meaning for acts, other commands have not.
    ///
    /// # Errors
    ///
    /// [`NodeError::Request`] for an expression or a time that cannot be understood.
    pub async fn acts(self: &Arc<Self>, asked: &ActsQuery) -> Result<ActsFound, NodeError> {
        let (parsed, from, to) = self.understood(&asked.search)?;
        let live = self.searcher().live(&parsed).map_err(wrong_query)?;
        let _turn = RUNNING.acquire().await.map_err(|_| NodeError::Stopped("the maker of acts"))?;
        let mut read = Read { batches: Vec::new(), cut: false, unread: Vec::new() };
        for (part, wanted) in yagura_acts::WANTED.into_iter().enumerate() {
            self.read_part(&mut read, wanted, part > 0, from, to).await?;
        }
        let events_cut = read.cut;
        let mut look_back_hours = 0;
        if let Some(from) = from.filter(|_| !events_cut) {
            let before = from.plus_micros(-ACT_LOOK_BACK_HOURS * 3_600_000_000);
            let part = yagura_acts::STARTS;
            self.read_part(&mut read, part, true, Some(before), Some(from)).await?;
            look_back_hours = ACT_LOOK_BACK_HOURS;
        }
        let unread = std::mem::take(&mut read.unread);
        let (node, asked) = (self.clone(), asked.clone());
        let made = tokio::task::spawn_blocking(move || {
            let (observed, counters) = yagura_acts::acts_of(read.batches);
            node.found(observed, &asked, &live, from).map(|found| ActsFound {
                events_read: counters.events,
                events_cut,
                look_back_hours,
                unread,
                ..found
            })
        });
        made.await.map_err(|_| NodeError::Stopped("the maker of acts"))?
    }

    async fn read_part(
        &self,
        read: &mut Read,
        wanted: &str,
        with_text: bool,
        from: Option<UtcMicros>,
        to: Option<UtcMicros>,
    ) -> Result<(), NodeError> {
        let parsed = yagura_query::parse(wanted, self.clock().now(), &jiff::tz::TimeZone::UTC);
        let parsed = parsed.map_err(|error| wrong_query(error.into()))?;
        let mut request = SearchRequest::new(parsed);
        (request.from, request.to) = (from, to);
        request.limit = ACT_EVENTS_MAX;
        let names = yagura_acts::COLUMNS.iter().filter(|name| with_text || **name != "message");
        request.columns = names.map(|name| (*name).to_owned()).collect();
        let answer = self.searcher().search(request).await.map_err(wrong_query)?;
        let scans = answer.scans();
        let (batches, cut) = answer.collect().await.map_err(wrong_query)?;
        read.cut |= cut;
        read.batches.extend(batches);
        // Each part reads the same files for other events.
        crate::Unread::take_in(&mut read.unread, &scans.unread());
        Ok(())
    }

    fn found(
        &self,
        observed: Observed,
        asked: &ActsQuery,
        live: &Live,
        from: Option<UtcMicros>,
    ) -> Result<ActsFound, NodeError> {
        let mut acts = observed.acts;
        let acts_made = acts.len();
        acts.retain(|act| from.is_none_or(|from| act.end >= from));
        acts.retain(|act| asked.kinds.is_empty() || asked.kinds.contains(&act.kind));
        acts.sort_by_key(|act| std::cmp::Reverse((act.start, act.id())));
        let limit = match asked.search.limit {
            0 => ACT_ROWS_MAX,
            limit => limit.min(ACT_ROWS_MAX),
        };
        let wanted = limit.saturating_add(asked.search.offset);
        let (mut rows, mut total) = (Vec::new(), 0);
        // In slices, so that there is never a second copy of all acts.
        for some in acts.chunks(4_096) {
            let mut matching = Vec::new();
            for batch in yagura_acts::batches(some, self.dictionary()) {
                let matches = live.matches(&batch).map_err(wrong_query)?;
                let kind = batch.dataset.strip_prefix("act.").unwrap_or_default();
                let of_kind = some.iter().filter(|act| act.kind.as_str() == kind);
                for (row, act) in of_kind.enumerate().filter(|(row, _)| matches.value(*row)) {
                    total += 1;
                    matching.push((act.start, self.act_row(&batch, row, act, asked.events)));
                }
            }
            matching.sort_by_key(|(start, ..)| std::cmp::Reverse(*start));
            let left = wanted.saturating_sub(rows.len());
            rows.extend(matching.into_iter().map(|(_, row)| row).take(left));
        }
        rows.drain(..asked.search.offset.min(rows.len()));
        let cut = total > asked.search.offset.saturating_add(rows.len());
        let events_single = u64::try_from(observed.passed.len()).unwrap_or(u64::MAX);
        Ok(ActsFound { rows, cut, total, acts_made, events_single, ..ActsFound::default() })
    }

    fn act_row(&self, batch: &EventBatch, row: usize, act: &Act, events: bool) -> Row {
        let mut shown = Row::new();
        shown.insert("act.id".to_owned(), json!(act.id()));
        shown.insert("act.kind".to_owned(), json!(act.kind.as_str()));
        shown.insert(columns::TIMESTAMP.to_owned(), json!(act.start));
        shown.insert("event.end".to_owned(), json!(act.end));
        shown.insert("event.dataset".to_owned(), json!(&*batch.dataset));
        shown.insert("act.events".to_owned(), json!(act.event_ids.len()));
        let sentence = json!({
            "ja": self.sentence(batch, row, Lang::Ja),
            "en": self.sentence(batch, row, Lang::En),
        });
        shown.insert("sentence".to_owned(), sentence);
        let mut fields = Row::new();
        for (field, column) in batch.columns.schema().fields().iter().zip(batch.columns.columns()) {
            let name = field.name().as_str();
            // What is shown beside the fields, and what only searching needs.
            let beside = name.starts_with("yagura.")
                || ["act.event_ids", "message", columns::ORIGINAL].contains(&name);
            if beside || column.is_null(row) {
                continue;
            }
            let value = match column.data_type() {
                DataType::Timestamp(..) => {
                    let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
                    json!(UtcMicros::from_micros(micros))
                }
                _ => Value::String(array_value_to_string(column, row).unwrap_or_default()),
            };
            fields.insert(name.to_owned(), value);
        }
        if let Some(host) = fields.get("host.name") {
            shown.insert("host.name".to_owned(), host.clone());
        }
        shown.insert("fields".to_owned(), Value::Object(fields));
        if events {
            shown.insert("act.event_ids".to_owned(), json!(act.event_ids));
        }
        shown
    }
}
