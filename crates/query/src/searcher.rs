use crate::answer::{Answer, answer};
use crate::ast::Expr;
use crate::late;
use crate::limits::{
    BATCHES_AHEAD, MEMORY_BYTES_MAX, QUERIES_MAX, ROWS_MAX, ROWS_STREAMED_MAX, SECONDS_MAX,
    SQL_OPERATORS_MAX, STACK_BYTES,
};
use crate::need;
use crate::plan::{Planner, column, one_event, timestamp};
use crate::running::{Ending, Phase, Running};
use crate::steps::{Step, Steps};
use crate::{Live, QueryError};
use arrow::array::{Array, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::dataframe::DataFrame;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{Expr as Condition, lit};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::future::BoxFuture;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use yagura_event::{EventBatch, EventId, FieldDictionary, UtcMicros, columns as envelope};
use yagura_lake::{DATASET, EVENT_ID, EventsTable, Lake};

/// Answers questions about everything in a lake. Cheap to clone.
#[derive(Clone)]
pub struct Searcher {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    lake: Arc<Lake>,
    dictionary: Arc<FieldDictionary>,
    environment: Arc<RuntimeEnv>,
    runtime: Option<tokio::runtime::Runtime>,
    running: Arc<Semaphore>,
}

/// Order of the events of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Latest `@timestamp` first.
    #[default]
    NewestFirst,
    /// Earliest `@timestamp` first.
    OldestFirst,
    /// As found: the quickest way to many rows, for exports.
    Any,
}

/// A search.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// What is searched for.
    pub expr: Expr,
    /// Only events whose `@timestamp` is at or after this.
    pub from: Option<UtcMicros>,
    /// Only events whose `@timestamp` is before this.
    pub to: Option<UtcMicros>,
    /// Most rows of the answer, at most [`ROWS_MAX`]; [`ROWS_STREAMED_MAX`] where events come as they
    /// are found ([`Order::Any`]) and no command follows, since nothing is held then.
    pub limit: usize,
    /// Rows to leave out first, for paging.
    pub offset: usize,
    /// Order of events; an expression's own `sort` wins.
    pub order: Order,
    /// Columns of the answer where the expression does not choose them (`fields`, `stats`); empty
    /// for `event.id`, `@timestamp`, `event.dataset`, `message` and `event.original`.
    pub columns: Vec<String>,
    /// Only events that were received at or after the first and before the second.
    pub received: (Option<UtcMicros>, Option<UtcMicros>),
    /// Whether nobody waits for it: it then leaves room to others, and uses one core at a time.
    pub background: bool,
    /// The hand on it.
    pub running: Running,
}

impl SearchRequest {
    /// The newest 100 events that match.
    pub fn new(expr: Expr) -> Self {
        SearchRequest {
            expr,
            from: None,
            to: None,
            limit: 100,
            offset: 0,
            order: Order::default(),
            columns: Vec::new(),
            received: (None, None),
            background: false,
            running: Running::new(),
        }
    }
}

const COLUMNS_DEFAULT: [&str; 5] =
    [EVENT_ID, envelope::TIMESTAMP, DATASET, "message", envelope::ORIGINAL];

// The public questions hand out boxed futures: what is behind an `async fn` is compiled again in every
// crate that awaits it, here the whole of a query engine.
impl Searcher {
    /// A searcher with threads, memory and limits of its own.
    pub fn new(lake: Arc<Lake>, dictionary: Arc<FieldDictionary>) -> Result<Searcher, QueryError> {
        // Events are never written to a temporary directory: a query that needs more memory fails.
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(MEMORY_BYTES_MAX)))
            .with_disk_manager_builder(disk)
            .build_arc()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("yagura-query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| QueryError::Failed(format!("cannot start query threads: {error}")))?;
        let inner = Inner {
            lake,
            dictionary,
            environment,
            runtime: Some(runtime),
            running: Arc::new(Semaphore::new(QUERIES_MAX)),
        };
        Ok(Searcher { inner: Arc::new(inner) })
    }

    /// Runs a search. The answer streams; errors of the expression come at once.
    pub fn search(&self, request: SearchRequest) -> BoxFuture<'_, Result<Answer, QueryError>> {
        Box::pin(self.answer_search(request))
    }

    async fn answer_search(&self, request: SearchRequest) -> Result<Answer, QueryError> {
        let held = request.order != Order::Any || !request.expr.pipes.is_empty();
        let limit = request.limit.min(if held { ROWS_MAX } else { ROWS_STREAMED_MAX });
        let inner = self.inner.clone();
        let running = request.running.clone();
        let background = request.background;
        let plan = async move { inner.plan(request, limit).await };
        self.run_watched(limit, running, background, plan).await
    }

    /// The events with these ids, all columns, as batches by dataset; unknown ids are left out.
    /// For showing what a search over few columns found.
    pub fn events<'a>(
        &'a self,
        ids: &'a [EventId],
    ) -> BoxFuture<'a, Result<Vec<EventBatch>, QueryError>> {
        Box::pin(self.find_events(ids))
    }

    async fn find_events(&self, ids: &[EventId]) -> Result<Vec<EventBatch>, QueryError> {
        let conditions: Vec<_> = ids.iter().take(ROWS_MAX).map(one_event).collect();
        let batches: std::collections::BTreeSet<_> =
            ids.iter().map(|id| i64::try_from(id.batch).unwrap_or(-1)).collect();
        let inner = self.inner.clone();
        let count = conditions.len();
        let answer = self
            .run(count, async move {
                let table = inner.lake.events();
                // The first condition prunes files, the second chooses rows.
                let listed = batches.into_iter().map(lit).collect();
                let mut rows = inner.context().read_table(Arc::new(table.clone()))?;
                rows = rows.filter(column(envelope::BATCH).in_list(listed, false))?;
                if let Some(any) = any_of(conditions) {
                    rows = rows.filter(any)?;
                }
                Ok((rows, table))
            })
            .await?;
        let schema = answer.schema();
        let (rows, _) = answer.collect().await?;
        let rows = concat_batches(&schema, &rows).map_err(|e| QueryError::Failed(e.to_string()))?;
        by_dataset(&rows).map_err(|error| QueryError::Failed(error.to_string()))
    }

    /// A predicate for events as they arrive (`tail -f`). Commands other than `where` have no
    /// meaning there and are an error.
    pub fn live(&self, expr: &Expr) -> Result<Live, QueryError> {
        Live::new(expr, &self.inner.lake.columns(), self.inner.dictionary.clone())
    }

    /// The lake.
    pub fn lake(&self) -> &Arc<Lake> {
        &self.inner.lake
    }

    /// Plans and runs within the searcher's own runtime and limits.
    pub(crate) async fn run(
        &self,
        limit: usize,
        plan: impl Future<Output = Result<(DataFrame, EventsTable), QueryError>> + Send + 'static,
    ) -> Result<Answer, QueryError> {
        self.run_watched(limit, Running::new(), false, plan).await
    }

    /// The same, of a search that is watched and may be ended; a `background` one waits until others
    /// have room.
    async fn run_watched(
        &self,
        limit: usize,
        watched: Running,
        background: bool,
        plan: impl Future<Output = Result<(DataFrame, EventsTable), QueryError>> + Send + 'static,
    ) -> Result<Answer, QueryError> {
        let stopped = || QueryError::Failed("the searcher is shutting down".to_owned());
        let runtime = self.inner.runtime.as_ref().ok_or_else(stopped)?;
        let (mut send_answer, receive_answer) = tokio::sync::oneshot::channel();
        let places = self.inner.running.clone();
        runtime.spawn(async move {
            let _ending = Ending(watched.clone());
            let started = async {
                if background {
                    leave_room(&places).await;
                }
                let place = places.acquire_owned().await.map_err(|_| stopped())?;
                watched.enter(Phase::Planning);
                let (frame, table) = plan.await?;
                watched.scans(table.watch());
                let schema = Arc::new(frame.schema().as_arrow().clone());
                // One row more than wanted tells whether there are more.
                let stream = frame.execute_stream().await?;
                Ok::<_, QueryError>((place, schema, table, stream))
            };
            let started = tokio::select! {
                biased;
                // Whoever asked has gone.
                () = send_answer.closed() => return,
                () = watched.cancelled() => Err(QueryError::Cancelled),
                started = started => started,
            };
            match started {
                Err(error) => {
                    let _ = send_answer.send(Err(error));
                }
                Ok((_place, schema, table, stream)) => {
                    let (scanned, scans) = (table.counts(), table.watch());
                    drop(table);
                    let (answer, rows) = answer(schema, scanned, scans, BATCHES_AHEAD);
                    watched.enter(Phase::Running);
                    if send_answer.send(Ok(answer)).is_ok() {
                        rows.send_all(stream, limit, &watched).await;
                    }
                }
            }
        });
        receive_answer.await.map_err(|_| QueryError::Failed("the planner gave up".to_owned()))?
    }
}

/// Waits until half of the places are free, or long enough.
async fn leave_room(places: &Semaphore) {
    let until = tokio::time::Instant::now() + Duration::from_secs(SECONDS_MAX);
    while places.available_permits() < QUERIES_MAX / 2 && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn any_of(mut list: Vec<Condition>) -> Option<Condition> {
    if list.len() > 1 {
        let right = list.split_off(list.len() / 2);
        return Some(any_of(list)?.or(any_of(right)?));
    }
    list.pop()
}

/// Rows of the table as [`EventBatch`]es, without columns that hold nothing.
fn by_dataset(rows: &RecordBatch) -> Result<Vec<EventBatch>, arrow::error::ArrowError> {
    use arrow::array::AsArray;
    let Some(datasets) = rows.column_by_name(DATASET) else { return Ok(Vec::new()) };
    let datasets = cast(datasets, &DataType::Utf8)?;
    let datasets = datasets.as_string::<i32>();
    let mut rows_of: BTreeMap<&str, Vec<Option<bool>>> = BTreeMap::new();
    for (row, dataset) in datasets.iter().enumerate() {
        let mask = rows_of.entry(dataset.unwrap_or_default());
        let mask = mask.or_insert_with(|| vec![Some(false); rows.num_rows()]);
        if let Some(keep) = mask.get_mut(row) {
            *keep = Some(true);
        }
    }
    let mut batches = Vec::with_capacity(rows_of.len());
    for (dataset, mask) in rows_of {
        let part = arrow::compute::filter_record_batch(rows, &mask.into())?;
        let mut fields = Vec::new();
        let mut arrays = Vec::new();
        for (field, array) in part.schema().fields().iter().zip(part.columns()) {
            let computed = [DATASET, EVENT_ID].contains(&field.name().as_str());
            if computed || array.logical_null_count() == array.len() {
                continue;
            }
            // As `BatchBuilder` makes them.
            let data_type = match field.data_type() {
                DataType::Utf8View => DataType::Utf8,
                DataType::BinaryView => DataType::Binary,
                other => other.clone(),
            };
            arrays.push(cast(array, &data_type)?);
            fields.push(Field::new(field.name(), data_type, true));
        }
        let columns = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
        batches.push(EventBatch { dataset: dataset.into(), columns });
    }
    Ok(batches)
}

impl Inner {
    /// A session that knows no tables, files or variables.
    pub(crate) fn context(&self) -> SessionContext {
        self.context_of(SessionConfig::new())
    }

    /// The same on one core at a time.
    fn background_context(&self) -> SessionContext {
        self.context_of(SessionConfig::new().with_target_partitions(1))
    }

    fn context_of(&self, config: SessionConfig) -> SessionContext {
        let config = config
            .with_information_schema(false)
            // Our own count of tokens is the limit; the parser's would refuse less than that.
            .set_usize("datafusion.sql_parser.recursion_limit", SQL_OPERATORS_MAX * 2);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(self.environment.clone())
            .with_default_features()
            .with_table_functions(HashMap::new())
            .build();
        SessionContext::new_with_state(state)
    }

    pub(crate) fn lake(&self) -> &Lake {
        &self.lake
    }

    async fn plan(
        &self,
        request: SearchRequest,
        limit: usize,
    ) -> Result<(DataFrame, EventsTable), QueryError> {
        let table = self.lake.events();
        let SearchRequest {
            expr,
            from,
            to,
            offset,
            order,
            columns,
            received,
            background,
            running,
            ..
        } = request;
        let mut planner = Planner::new(&expr, table.columns(), &self.dictionary, false);
        let mut steps = Steps::new(&mut planner, order);
        if let Some(from) = from {
            steps.keep(column(envelope::TIMESTAMP).gt_eq(timestamp(from)));
        }
        if let Some(to) = to {
            steps.keep(column(envelope::TIMESTAMP).lt(timestamp(to)));
        }
        if let Some(from) = received.0 {
            steps.keep(column(envelope::INGESTED).gt_eq(timestamp(from)));
        }
        if let Some(to) = received.1 {
            steps.keep(column(envelope::INGESTED).lt(timestamp(to)));
        }
        if received != (None, None) {
            steps.planner.needed.insert(envelope::INGESTED.to_owned());
        }
        let filter = steps.planner.filter(&expr.filter, false)?;
        steps.keep(filter);
        steps.planner.needed.insert(envelope::TIMESTAMP.to_owned());
        for pipe in &expr.pipes {
            steps.pipe(pipe)?;
        }
        if !steps.chosen {
            let names: Vec<String> = match columns.as_slice() {
                _ if expr.makes_table() => steps.shown_beside_events(),
                [] => COLUMNS_DEFAULT.iter().map(|name| (*name).to_owned()).collect(),
                names => names.to_vec(),
            };
            steps.fields(names.into_iter().map(|name| (name, 0..0)).collect(), true)?;
        }
        if let Some(keys) = steps.pending_sort() {
            // The order is applied before the last projection, which may drop its columns.
            let at =
                steps.list.len() - usize::from(matches!(steps.list.last(), Some(Step::Select(_))));
            steps.list.insert(at, Step::Sort(keys));
        }
        let Steps { mut list, .. } = steps;
        let needed = std::mem::take(&mut planner.needed);
        let need = need::of(&expr.filter, &planner);
        let narrow = table.narrowed(needed.iter().map(String::as_str)).where_text_has(need);
        let context = if background { self.background_context() } else { self.context() };
        // One row more than wanted tells whether there are more.
        let rows = limit.saturating_add(1);
        let mut skip = offset;
        let mut frame = context.read_table(Arc::new(narrow.clone()))?;
        let ordered = order != Order::Any && expr.pipes.is_empty();
        if ordered && late::pays(&narrow, &needed, rows) {
            // Conditions, the order, and the choice of columns.
            let shown = list.split_off(list.len().saturating_sub(1));
            let sort = list.last().cloned();
            let chosen = late::chosen(frame, list, (skip, rows), &table, &running).await?;
            frame = context.read_table(Arc::new(narrow.uncounted()))?;
            list = [Step::Keep(chosen)].into_iter().chain(sort).chain(shown).collect();
            skip = 0;
        }
        list.push(Step::Limit(skip, rows));
        for step in list {
            frame = step.apply(frame)?;
        }
        Ok((frame, table))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The ordinary drop blocks, which panics inside another runtime.
            runtime.shutdown_background();
        }
    }
}
