//! What people see of events: found rows, in words and fields, with their ids.

use crate::limits::{PAGE_BYTES_MAX, ROWS_AT_ONCE};
use crate::searches::Place;
use crate::{Node, NodeError};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{Stream, StreamExt};
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use yagura_event::{
    CommittedRun, EventBatch, Lang, Record, StreamName, Transport, UtcMicros, columns,
};
use yagura_lake::ScanCounts;
use yagura_query::{Answer, Expr, Order, Pipe, QueryError, SearchRequest};

/// One row: names and values, in order.
pub type Row = Map<String, Value>;

/// What there is to know about an answer beside its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// In English.
    pub en: String,
    /// In Japanese.
    pub ja: String,
    /// Whether a limit left something out.
    pub cut: bool,
}

impl Told {
    /// The same in `lang`.
    pub fn text(&self, lang: Lang) -> &str {
        match lang {
            Lang::Ja => &self.ja,
            Lang::En => &self.en,
        }
    }
}

fn told(answer: &Answer) -> Vec<Told> {
    let told = answer.notices().into_iter().map(|notice| Told {
        en: notice.words.en().to_owned(),
        ja: notice.words.ja().to_owned(),
        cut: notice.cut,
    });
    told.collect()
}

/// Rows of a finished question.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Page {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Whether there are more.
    pub cut: bool,
    /// How many rows an answer may have.
    pub limit: usize,
    /// What else there is to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Told>,
    /// What could not be read.
    #[serde(default)]
    pub unread: Vec<Unread>,
}

/// What is searched for.
#[derive(Debug, Clone, Default)]
pub struct SearchQuery {
    /// The expression; empty finds everything.
    pub query: String,
    /// Events from this instant on.
    pub from: Option<String>,
    /// Events before this instant.
    pub to: Option<String>,
    /// The last so many minutes, hours or days, such as `24h`; instead of `from` and `to`.
    pub last: Option<String>,
    /// Most rows; 0 for as many as an answer may have.
    pub limit: usize,
    /// Rows to leave out first.
    pub offset: usize,
    /// Zone of times written without one: an IANA name or an offset; `None` for UTC.
    pub time_zone: Option<String>,
    /// Order of events; an expression's own `sort` wins.
    pub sort: SortOrder,
    /// As it was at this instant: `now` means it, and events received since are left out.
    pub as_of: Option<String>,
    /// The id by which it can be watched and ended while it runs; one of ours by default.
    pub id: Option<String>,
}

/// Order of the events of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SortOrder {
    /// Latest `@timestamp` first.
    #[default]
    Newest,
    /// Earliest `@timestamp` first.
    Oldest,
}

impl From<SortOrder> for Order {
    fn from(sort: SortOrder) -> Self {
        match sort {
            SortOrder::Newest => Order::NewestFirst,
            SortOrder::Oldest => Order::OldestFirst,
        }
    }
}

/// Files of a cold store that could not be read: the answer is what the others have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// The store, by its URL.
    pub store: String,
    /// How many files.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Why, and the remedy, in English.
    pub reason: String,
    /// The same in Japanese.
    pub reason_ja: String,
}

impl From<&yagura_lake::Unread> for Unread {
    fn from(unread: &yagura_lake::Unread) -> Self {
        let words = unread.problem.words(&unread.store);
        Unread {
            store: unread.store.to_string(),
            files: unread.files,
            rows: unread.rows,
            reason: words.en().to_owned(),
            reason_ja: words.ja().to_owned(),
        }
    }
}

impl Unread {
    pub(crate) fn of(unread: &[yagura_lake::Unread]) -> Vec<Self> {
        unread.iter().map(Unread::from).collect()
    }

    /// Takes in what a further question to the same files could not read: of a store, the larger part
    /// of it.
    pub(crate) fn take_in(all: &mut Vec<Self>, more: &[yagura_lake::Unread]) {
        for unread in Unread::of(more) {
            match all.iter_mut().find(|known| known.store == unread.store) {
                Some(known) if unread.files > known.files => *known = unread,
                Some(_) => {}
                None => all.push(unread),
            }
        }
    }
}

/// How a search ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SearchEnd {
    /// Whether the limit cut it: there are more rows.
    pub cut: bool,
    /// What was looked at.
    #[serde(default)]
    pub scanned: ScanCounts,
    /// What else there is to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Told>,
    /// What could not be read.
    #[serde(default)]
    pub unread: Vec<Unread>,
}

impl SearchEnd {
    /// Whether its own limit or another left something out.
    pub fn is_cut(&self) -> bool {
        self.cut || self.notices.iter().any(|notice| notice.cut)
    }
}

/// Columns from which a record and its id are rebuilt.
const RECORD_COLUMNS: [&str; 8] = [
    columns::INGESTED,
    columns::ORIGINAL,
    columns::STREAM,
    columns::BATCH,
    columns::INDEX,
    columns::TRANSPORT,
    columns::PEER,
    columns::IDENTITY,
];

/// Events that may wait for a reader of [`Node::tail`]; a reader that is slower misses some and is
/// told how many.
const TAIL_WAITING_MAX: usize = 1_024;

impl Node {
    /// Finds events, newest first unless asked otherwise. An expression with `stats` and the like gives plain rows, any
    /// other one events: `event.id`, `@timestamp`, `event.dataset`, `sentence`, `fields`,
    /// `event.original`.
    pub async fn search(self: &Arc<Self>, asked: &SearchQuery) -> Result<RowStream, NodeError> {
        self.search_in(asked, asked.sort.into()).await
    }

    /// [`Node::search`] with the events in this order.
    pub(crate) async fn search_in(
        self: &Arc<Self>,
        asked: &SearchQuery,
        order: Order,
    ) -> Result<RowStream, NodeError> {
        let (parsed, from, to) = self.understood(asked)?;
        let may_be_live = parsed.pipes.iter().all(|pipe| matches!(pipe, Pipe::Where(_)));
        let mut request = SearchRequest::new(parsed);
        (request.from, request.to) = (from, to);
        request.received.1 = self.as_of(asked)?;
        let running = request.running.clone();
        let place = self.searches().enter(asked.id.as_deref(), &asked.query, running)?;
        request.limit = if asked.limit == 0 { usize::MAX } else { asked.limit };
        request.offset = asked.offset;
        request.order = order;
        // The header that explains a row's columns is there only where rows have one.
        let wanted = RECORD_COLUMNS.into_iter().chain([columns::LAYOUT]).map(str::to_owned);
        // So are those that were added; they do not follow from the bytes.
        request.columns = wanted.chain(yagura_enrich::columns()).collect();
        let answer = self.searcher().search(request).await.map_err(wrong_query)?;
        let fields = answer.schema();
        let events = RECORD_COLUMNS.iter().all(|name| fields.index_of(name).is_ok());
        let waiting = VecDeque::new();
        let node = self.clone();
        Ok(RowStream { node, answer, events, may_be_live, batch: None, waiting, place })
    }

    /// The expression of a question, and the time it is about.
    pub(crate) fn understood(
        &self,
        asked: &SearchQuery,
    ) -> Result<(Expr, Option<UtcMicros>, Option<UtcMicros>), NodeError> {
        let zone = zone_of(asked.time_zone.as_deref())?;
        let now = self.as_of(asked)?.unwrap_or_else(|| self.clock().now());
        let parsed = parse(&asked.query, now, &zone)?;
        let instant = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match yagura_query::parse_instant(text, now, &zone) {
                Some((instant, _)) => Ok(Some(instant)),
                None => Err(NodeError::request(
                    format!("{text:?} is no instant: write 2026-11-21T09:00:00Z or now-15m"),
                    format!("{text:?} は時刻として読めません（例: 2026-11-21T09:00:00Z、now-15m）"),
                )),
            },
        };
        let from = match &asked.last {
            Some(span) => instant(&Some(format!("now-{}", span.trim_start_matches('-'))))?,
            None => instant(&asked.from)?,
        };
        Ok((parsed, from, instant(&asked.to)?))
    }

    /// The instant as of which a question is asked.
    fn as_of(&self, asked: &SearchQuery) -> Result<Option<UtcMicros>, NodeError> {
        let Some(text) = &asked.as_of else { return Ok(None) };
        let instant = text.parse::<jiff::Timestamp>();
        instant.map(|at| Some(at.into())).map_err(|_| {
            NodeError::request(
                format!("as_of {text:?} is no instant: write 2026-11-21T09:00:00Z"),
                format!("as_of {text:?} は時刻として読めません（例: 2026-11-21T09:00:00Z）"),
            )
        })
    }

    /// Events that match, as they arrive. `time_zone` is that of [`SearchQuery`].
    pub async fn tail(
        self: &Arc<Self>,
        query: &str,
        time_zone: Option<&str>,
    ) -> Result<impl Stream<Item = Row> + Send + 'static, NodeError> {
        let parsed = parse(query, self.clock().now(), &zone_of(time_zone)?)?;
        let live = self.searcher().live(&parsed).map_err(wrong_query)?;
        let (sender, receiver) = tokio::sync::mpsc::channel(TAIL_WAITING_MAX);
        let mut arriving = self.lake().subscribe();
        let node = self.clone();
        tokio::spawn(async move {
            use tokio::sync::broadcast::error::RecvError;
            loop {
                let batch = tokio::select! {
                    batch = arriving.recv() => batch,
                    () = sender.closed() => return,
                };
                let rows = match batch {
                    Ok(batch) => node.matching(&live, &batch),
                    Err(RecvError::Lagged(missed)) => vec![missed_row(missed)],
                    Err(RecvError::Closed) => return,
                };
                for row in rows {
                    if sender.send(row).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(futures::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|row| (row, receiver))
        }))
    }

    /// Answers one SELECT over the tables `events`, `acts`, `alerts` and `sources`.
    pub async fn sql(&self, statement: &str) -> Result<Page, NodeError> {
        self.sql_within(statement, PAGE_BYTES_MAX).await
    }

    async fn sql_within(&self, statement: &str, bytes_max: usize) -> Result<Page, NodeError> {
        let mut answer = self.searcher().sql(statement).await.map_err(wrong_query)?;
        let schema = answer.schema();
        let columns = schema.fields().iter().map(|field| field.name().clone()).collect();
        let limit = yagura_query::limits::ROWS_MAX;
        let mut page = Page { columns, limit, notices: told(&answer), ..Page::default() };
        let mut room = PageRoom::new(bytes_max);
        while let Some(batch) = answer.next().await {
            let batch = batch.map_err(wrong_query)?;
            for rows in parts(&batch) {
                for row in plain_rows(&batch.slice(rows.start, rows.len())) {
                    if !room.takes(&row) {
                        page.cut = true;
                        page.unread = Unread::of(&answer.unread());
                        return Ok(page);
                    }
                    page.rows.push(row);
                }
            }
        }
        page.cut = answer.truncated();
        page.unread = Unread::of(&answer.unread());
        Ok(page)
    }

    pub(crate) fn parse(&self, query: &str, zone: &TimeZone) -> Result<Expr, NodeError> {
        parse(query, self.clock().now(), zone)
    }

    fn matching(&self, live: &yagura_query::Live, batch: &EventBatch) -> Vec<Row> {
        let matches = match live.matches(batch) {
            Ok(matches) => matches,
            Err(error) => {
                tracing::warn!(%error, "a live search failed");
                return Vec::new();
            }
        };
        let found = (0..matches.len()).filter(|row| matches.value(*row));
        let mut rows = Vec::new();
        let found: Vec<usize> = found.collect();
        if !found.is_empty() {
            rows = self.event_rows(&batch.columns, found.into_iter());
        }
        rows
    }

    /// Events in words and fields, rebuilt from their received bytes.
    fn event_rows(&self, batch: &RecordBatch, rows: impl Iterator<Item = usize>) -> Vec<Row> {
        let Some(envelope) = Envelope::of(batch) else { return Vec::new() };
        rows.filter_map(|row| self.event_row(&envelope, row)).collect()
    }

    fn event_row(&self, envelope: &Envelope, row: usize) -> Option<Row> {
        let run = envelope.run(row)?;
        let record = run.records.first()?;
        let id = run.event_id(run.first_index);
        let described = self.describe(&run, envelope.layout(row).as_deref())?;
        let mut shown = Row::new();
        let mut fields = Row::new();
        for (name, value) in described.fields {
            // The envelope is shown beside the fields, not among them.
            if !name.starts_with("yagura.batch") && name != "yagura.index" {
                fields.insert(name, Value::String(value));
            }
        }
        fields.extend(envelope.added(row));
        shown.insert("event.id".to_owned(), json!(id));
        shown.insert(columns::TIMESTAMP.to_owned(), json!(described.timestamp));
        shown.insert(columns::INGESTED.to_owned(), json!(record.received));
        shown.insert("event.dataset".to_owned(), json!(described.dataset));
        if let Some(host) = fields.get("host.name") {
            shown.insert("host.name".to_owned(), host.clone());
        }
        let sentence = json!({ "ja": described.sentence_ja, "en": described.sentence_en });
        shown.insert("sentence".to_owned(), sentence);
        shown.insert("fields".to_owned(), Value::Object(fields));
        match std::str::from_utf8(&record.bytes) {
            Ok(text) => shown.insert(columns::ORIGINAL.to_owned(), json!(text)),
            Err(_) => {
                let text = String::from_utf8_lossy(&record.bytes);
                shown.insert(columns::ORIGINAL.to_owned(), json!(text));
                let encoded = STANDARD.encode(&record.bytes);
                shown.insert("event.original.base64".to_owned(), json!(encoded))
            }
        };
        Some(shown)
    }
}

fn parse(query: &str, now: UtcMicros, zone: &TimeZone) -> Result<Expr, NodeError> {
    let parsed = yagura_query::parse(query, now, zone);
    parsed.map_err(|error| wrong_query(QueryError::Parse(error)))
}

/// The bytes of a row's `event.original.base64`.
pub fn from_base64(text: &str) -> Result<Vec<u8>, NodeError> {
    STANDARD.decode(text).map_err(|error| {
        NodeError::request(error.to_string(), format!("Base64として読めません（{error}）"))
    })
}

/// Memory that a row takes up, in bytes, about: its texts, and a constant for each name and value.
pub fn row_bytes(row: &Row) -> usize {
    row.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

/// What a name and a value cost besides their texts.
const CELL_BYTES: usize = 96;

fn value_bytes(value: &Value) -> usize {
    let texts = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(value_bytes).sum(),
        Value::Object(row) => row_bytes(row),
        _ => 0,
    };
    CELL_BYTES + texts
}

/// Memory that the rows of a page may still take up.
#[derive(Debug)]
pub struct PageRoom {
    left: usize,
    empty: bool,
}

impl PageRoom {
    /// Room for rows of `bytes` together.
    pub fn new(bytes: usize) -> Self {
        PageRoom { left: bytes, empty: true }
    }

    /// Whether the row has its place: the first one always has.
    pub fn takes(&mut self, row: &Row) -> bool {
        let left = self.left.checked_sub(row_bytes(row));
        let takes = left.is_some() || self.empty;
        self.left = left.unwrap_or(0);
        self.empty = false;
        takes
    }
}

/// The rows of a batch, some at a time.
fn parts(batch: &RecordBatch) -> impl Iterator<Item = Range<usize>> + use<> {
    let rows = batch.num_rows();
    (0..rows).step_by(ROWS_AT_ONCE).map(move |first| first..rows.min(first + ROWS_AT_ONCE))
}

/// Rows of a search as they are found. Dropping it ends the search.
pub struct RowStream {
    node: Arc<Node>,
    answer: Answer,
    events: bool,
    may_be_live: bool,
    /// What the engine handed over last, and how many of its rows were put into words.
    batch: Option<(RecordBatch, usize)>,
    waiting: VecDeque<Row>,
    place: Place,
}

impl RowStream {
    /// The id by which it is listed while it runs.
    pub fn id(&self) -> &str {
        self.place.id()
    }

    /// Whether [`Node::tail`] takes its expression: events as they arrive know no command but `where`.
    pub fn may_be_live(&self) -> bool {
        self.may_be_live
    }

    /// Whether its rows are events, not those of a statistic.
    pub(crate) fn finds_events(&self) -> bool {
        self.events
    }

    /// How it ended; final once the stream has.
    pub fn end(&self) -> SearchEnd {
        SearchEnd {
            cut: self.answer.truncated(),
            scanned: self.answer.scanned(),
            notices: told(&self.answer),
            unread: Unread::of(&self.answer.unread()),
        }
    }
}

impl Stream for RowStream {
    type Item = Result<Row, NodeError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(row) = self.waiting.pop_front() {
                return Poll::Ready(Some(Ok(row)));
            }
            if let Some((batch, done)) = self.batch.take() {
                let rows = done..batch.num_rows().min(done + ROWS_AT_ONCE);
                let shown = match self.events {
                    true => self.node.event_rows(&batch, rows.clone()),
                    false => plain_rows(&batch.slice(rows.start, rows.len())),
                };
                self.waiting.extend(shown);
                if rows.end < batch.num_rows() {
                    self.batch = Some((batch, rows.end));
                }
                continue;
            }
            match self.answer.poll_next_unpin(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(wrong_query(error)))),
                Poll::Ready(Some(Ok(batch))) => self.batch = Some((batch, 0)),
            }
        }
    }
}

/// The columns of a record, in plain types.
struct Envelope {
    received: ArrayRef,
    original: ArrayRef,
    stream: ArrayRef,
    batch: ArrayRef,
    index: ArrayRef,
    transport: ArrayRef,
    peer: ArrayRef,
    identity: ArrayRef,
    layout: Option<ArrayRef>,
    /// Columns that the event was enriched with.
    added: Vec<(String, ArrayRef)>,
}

impl Envelope {
    fn of(batch: &RecordBatch) -> Option<Envelope> {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let column = |name: &str, kind: &DataType| cast(batch.column_by_name(name)?, kind).ok();
        let text = |name: &str| column(name, &DataType::Utf8);
        Some(Envelope {
            received: column(columns::INGESTED, &micros)?,
            original: column(columns::ORIGINAL, &DataType::Binary)?,
            stream: text(columns::STREAM)?,
            batch: column(columns::BATCH, &DataType::Int64)?,
            index: column(columns::INDEX, &DataType::Int64)?,
            transport: text(columns::TRANSPORT)?,
            peer: text(columns::PEER)?,
            identity: text(columns::IDENTITY)?,
            layout: text(columns::LAYOUT),
            added: yagura_enrich::columns()
                .into_iter()
                .filter_map(|name| text(&name).map(|column| (name, column)))
                .filter(|(_, column)| column.null_count() < column.len())
                .collect(),
        })
    }

    /// What the event at `row` was enriched with when it came, or was last read again.
    fn added(&self, row: usize) -> impl Iterator<Item = (String, Value)> {
        self.added.iter().filter_map(move |(name, column)| {
            let column = column.as_string_opt::<i32>()?;
            column.is_valid(row).then(|| (name.clone(), json!(column.value(row))))
        })
    }

    /// The header that explains the columns of the record at `row`.
    fn layout(&self, row: usize) -> Option<String> {
        let layouts = self.layout.as_ref()?.as_string_opt::<i32>()?;
        layouts.is_valid(row).then(|| layouts.value(row).to_owned())
    }

    /// The record at `row`, as the journal would hand it on. The salt is not needed to show it.
    fn run(&self, row: usize) -> Option<CommittedRun> {
        let text = |array: &ArrayRef| {
            let array = array.as_string::<i32>();
            array.is_valid(row).then(|| array.value(row).to_owned())
        };
        let record = Record {
            received: UtcMicros::from_micros(
                self.received.as_primitive::<TimestampMicrosecondType>().value(row),
            ),
            transport: text(&self.transport)?.parse::<Transport>().ok()?,
            peer: text(&self.peer)?.into(),
            identity: text(&self.identity)?.into(),
            bytes: self.original.as_binary::<i32>().value(row).to_vec().into(),
        };
        Some(CommittedRun {
            stream: StreamName::new(&text(&self.stream)?).ok()?,
            batch: u64::try_from(self.batch.as_primitive::<Int64Type>().value(row)).ok()?,
            batch_salt: [0; 32],
            first_index: u32::try_from(self.index.as_primitive::<Int64Type>().value(row)).ok()?,
            records: vec![record],
        })
    }
}

/// Rows of a statistic or an SQL answer.
pub(crate) fn plain_rows(batch: &RecordBatch) -> Vec<Row> {
    let mut rows = vec![Row::new(); batch.num_rows()];
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        for (row, shown) in rows.iter_mut().enumerate() {
            shown.insert(field.name().clone(), plain_value(column, row));
        }
    }
    rows
}

fn plain_value(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => number::<Int64Type>(column, row, &DataType::Int64),
        DataType::UInt64 => number::<arrow::datatypes::UInt64Type>(column, row, &DataType::UInt64),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            number::<Float64Type>(column, row, &DataType::Float64)
        }
        DataType::Boolean => json!(column.as_boolean().value(row)),
        DataType::Timestamp(..) => {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
            match cast(&column.slice(row, 1), &micros) {
                Ok(cell) => json!(UtcMicros::from_micros(
                    cell.as_primitive::<TimestampMicrosecondType>().value(0)
                )),
                Err(_) => shown(column, row),
            }
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            match cast(&column.slice(row, 1), &DataType::Binary) {
                Ok(cell) => json!(String::from_utf8_lossy(cell.as_binary::<i32>().value(0))),
                Err(_) => shown(column, row),
            }
        }
        _ => shown(column, row),
    }
}

fn number<T: arrow::datatypes::ArrowPrimitiveType>(
    column: &ArrayRef,
    row: usize,
    kind: &DataType,
) -> Value
where
    T::Native: Serialize,
{
    match cast(&column.slice(row, 1), kind) {
        Ok(cell) => json!(cell.as_primitive::<T>().value(0)),
        Err(_) => shown(column, row),
    }
}

fn shown(column: &ArrayRef, row: usize) -> Value {
    match ArrayFormatter::try_new(column.as_ref(), &FormatOptions::default()) {
        Ok(formatter) => json!(formatter.value(row).to_string()),
        Err(error) => json!(error.to_string()),
    }
}

/// The zone a question names.
pub(crate) fn zone_of(name: Option<&str>) -> Result<TimeZone, NodeError> {
    let Some(name) = name else { return Ok(TimeZone::UTC) };
    DateTimeParser::new().parse_time_zone(name).map_err(|_| {
        NodeError::request(
            format!("{name:?} is no time zone: write Asia/Tokyo or +09:00"),
            format!("{name:?} はタイムゾーンとして読めません（例: Asia/Tokyo、+09:00）"),
        )
    })
}

/// What a live search shows where it fell behind.
fn missed_row(missed: u64) -> Row {
    let mut row = Row::new();
    let sentence = json!({
        "ja": format!("表示が追いつかず、{missed}件のまとまりを省略しました（保存はされています）"),
        "en": format!("the view fell behind: {missed} groups of events are not shown (all are stored)"),
    });
    row.insert("yagura.missed".to_owned(), json!(missed));
    row.insert("sentence".to_owned(), sentence);
    row
}

pub(crate) fn wrong_query(error: QueryError) -> NodeError {
    match &error {
        QueryError::Parse(parse) => {
            let place = parse.render(Lang::En);
            // The caret lines; the message stands beside them.
            let lines: Vec<&str> = place.lines().take(2).collect();
            NodeError::Request {
                message: parse.message(Lang::En).to_owned(),
                message_ja: parse.message(Lang::Ja).to_owned(),
                place: Some(lines.join("\n")),
            }
        }
        QueryError::Failed(_) => NodeError::Query(error),
        QueryError::Cancelled => NodeError::Cancelled,
        _ => NodeError::request(error.render(Lang::En), error.render(Lang::Ja)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataDir, NodeOptions};
    use yagura_event::SystemClock;

    fn row(text: &str) -> Row {
        Row::from_iter([("n".to_owned(), json!(text))])
    }

    #[test]
    fn a_page_has_room_up_to_its_limit_and_for_its_first_row() {
        let one = row_bytes(&row("x"));
        let mut room = PageRoom::new(2 * one);
        assert!(room.takes(&row("x")) && room.takes(&row("x")));
        assert!(!room.takes(&row("")), "not one byte more");
        let mut small = PageRoom::new(one - 1);
        assert!(small.takes(&row("x")) && !small.takes(&row("")));
        let nested = json!({ "a": ["b", { "c": "d" }] });
        assert_eq!(row_bytes(nested.as_object().unwrap()), 4 + 4 * CELL_BYTES);
    }

    #[test]
    fn an_answer_is_cut_by_its_own_limit_or_another() {
        let told = |cut| vec![Told { en: "x".into(), ja: "x".into(), cut }];
        for (cut, notices, expected) in [
            (false, Vec::new(), false),
            (true, Vec::new(), true),
            (false, told(false), false),
            (false, told(true), true),
        ] {
            assert_eq!(SearchEnd { cut, notices, ..SearchEnd::default() }.is_cut(), expected);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_search_says_whether_its_events_can_be_watched_as_they_arrive() {
        let dir = tempfile::tempdir().unwrap();
        let options = NodeOptions { builtin_rules: false, ..NodeOptions::default() };
        let node = Node::open(DataDir::new(dir.path()), options, Arc::new(SystemClock)).unwrap();
        let node = Arc::new(node);
        for (query, live) in [
            ("", true),
            ("sshd | where event.dataset:x", true),
            ("* | head 5", false),
            ("* | stats count() as n by event.dataset", false),
        ] {
            let asked = SearchQuery { query: query.to_owned(), ..SearchQuery::default() };
            assert_eq!(node.search(&asked).await.unwrap().may_be_live(), live, "{query}");
            assert_eq!(node.tail(query, None).await.is_ok(), live, "{query}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_in_sql_is_cut_past_the_limit_of_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock);
        let options = NodeOptions { builtin_rules: false, ..NodeOptions::default() };
        let node = Node::open(DataDir::new(dir.path()), options, clock).unwrap();
        let numbers: Vec<String> = (0..200).map(|number| format!("({number})")).collect();
        let sql = format!("select column1 as n from (values {}) order by n", numbers.join(","));
        let bytes = 200 * (1 + CELL_BYTES);
        let whole = node.sql_within(&sql, bytes).await.unwrap();
        assert_eq!((whole.rows.len(), whole.cut), (200, false));
        let cut = node.sql_within(&sql, bytes - 1).await.unwrap();
        assert_eq!((cut.rows.len(), cut.cut), (199, true));
        node.close().unwrap();
    }
}
