use crate::answer::{Answer, answer};
use crate::ast::Expr;
use crate::late;
use crate::limits::{
    ACT_QUESTIONS_MAX, BATCHES_AHEAD, MEMORY_BYTES_MAX, ROWS_MAX, ROWS_STREAMED_MAX,
    SQL_OPERATORS_MAX, STACK_BYTES,
};
use crate::notice::Notices;
use crate::places::{Places, give_way};
use crate::plan::{Planner, column, one_event};
use crate::run::Run;
use crate::running::{Ending, Phase, Running};
use crate::step::{Around, Source, Step, Window};
use crate::steps::Steps;
use crate::tables::{NoTables, Tables};
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
use tokio::sync::{Semaphore, SemaphorePermit};
use yagura_event::{EventBatch, EventId, FieldDictionary, UtcMicros, columns as envelope};
use yagura_lake::{DATASET, EVENT_ID, EventsTable, Lake, Unread};

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
    places: Arc<Places>,
    tables: Arc<dyn Tables>,
    /// Turns of those who make acts.
    acts: Semaphore,
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

/// Events that were looked for by their ids.
#[derive(Debug)]
pub struct EventsFound {
    /// The events, all columns, by dataset.
    pub batches: Vec<EventBatch>,
    /// Files that could not be read: an event that is not here may be there.
    pub unread: Vec<Unread>,
}

// The public questions hand out boxed futures: what is behind an `async fn` is compiled again in every
// crate that awaits it, here the whole of a query engine.
impl Searcher {
    /// A searcher with threads, memory and limits of its own, that knows events and nothing else.
    pub fn new(lake: Arc<Lake>, dictionary: Arc<FieldDictionary>) -> Result<Searcher, QueryError> {
        Searcher::with_tables(lake, dictionary, Arc::new(NoTables))
    }

    /// The same with tables for SQL, lists for `lookup` and the words of acts.
    pub fn with_tables(
        lake: Arc<Lake>,
        dictionary: Arc<FieldDictionary>,
        tables: Arc<dyn Tables>,
    ) -> Result<Searcher, QueryError> {
        // Events are never written to a temporary directory: a query that needs more memory fails.
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(MEMORY_BYTES_MAX)))
            .with_disk_manager_builder(disk)
            .build_arc()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("yagura-query")
            .thread_stack_size(STACK_BYTES)
            .on_thread_start(give_way())
            .enable_all()
            .build()
            .map_err(|error| QueryError::Failed(format!("cannot start query threads: {error}")))?;
        let inner = Inner {
            lake,
            dictionary,
            environment,
            runtime: Some(runtime),
            places: Arc::new(Places::new()),
            tables,
            acts: Semaphore::new(ACT_QUESTIONS_MAX),
        };
        Ok(Searcher { inner: Arc::new(inner) })
    }

    /// Runs a search. The answer streams; errors of the expression come at once.
    pub fn search(&self, request: SearchRequest) -> BoxFuture<'_, Result<Answer, QueryError>> {
        Box::pin(self.answer_search(request))
    }

    async fn answer_search(&self, request: SearchRequest) -> Result<Answer, QueryError> {
        let limit = rows_allowed(&request);
        let inner = self.inner.clone();
        let running = request.running.clone();
        let background = request.background;
        let notices = Notices::default();
        let told = notices.clone();
        let plan = async move { inner.plan(request, limit, &told).await };
        self.run_watched(limit, running, background, notices, plan).await
    }

    /// The events with these ids, all columns, as batches by dataset; unknown ids are left out, and
    /// those that lie where nothing can be read, which is said. For showing what a search over few
    /// columns found.
    pub fn events<'a>(
        &'a self,
        ids: &'a [EventId],
    ) -> BoxFuture<'a, Result<EventsFound, QueryError>> {
        Box::pin(self.find_events(ids))
    }

    async fn find_events(&self, ids: &[EventId]) -> Result<EventsFound, QueryError> {
        let conditions: Vec<_> = ids.iter().take(ROWS_MAX).map(one_event).collect();
        let batches: std::collections::BTreeSet<_> =
            ids.iter().map(|id| i64::try_from(id.batch).unwrap_or(-1)).collect();
        let inner = self.inner.clone();
        let count = conditions.len();
        let answer = self
            .run(count, Notices::default(), async move {
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
        let (schema, scans) = (answer.schema(), answer.scans());
        let (rows, _) = answer.collect().await?;
        let rows = concat_batches(&schema, &rows).map_err(|e| QueryError::Failed(e.to_string()))?;
        let batches = by_dataset(&rows).map_err(|error| QueryError::Failed(error.to_string()))?;
        Ok(EventsFound { batches, unread: scans.unread() })
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

    pub(crate) fn dictionary(&self) -> &FieldDictionary {
        &self.inner.dictionary
    }

    pub(crate) fn tables(&self) -> &dyn Tables {
        self.inner.tables.as_ref()
    }

    /// Plans and runs within the searcher's own runtime and limits.
    pub(crate) async fn run(
        &self,
        limit: usize,
        notices: Notices,
        plan: impl Future<Output = Result<(DataFrame, EventsTable), QueryError>> + Send + 'static,
    ) -> Result<Answer, QueryError> {
        self.run_watched(limit, Running::new(), false, notices, plan).await
    }

    /// The same, of a search that is watched and may be ended; a `background` one waits until others
    /// have room.
    async fn run_watched(
        &self,
        limit: usize,
        watched: Running,
        background: bool,
        notices: Notices,
        plan: impl Future<Output = Result<(DataFrame, EventsTable), QueryError>> + Send + 'static,
    ) -> Result<Answer, QueryError> {
        let stopped = || QueryError::Failed("the searcher is shutting down".to_owned());
        let runtime = self.inner.runtime.as_ref().ok_or_else(stopped)?;
        let (mut send_answer, receive_answer) = tokio::sync::oneshot::channel();
        let places = self.inner.places.clone();
        runtime.spawn(async move {
            let _ending = Ending(watched.clone());
            let started = async {
                if background {
                    places.leave_room().await;
                }
                let place = places.take().await;
                watched.enter(Phase::Planning);
                let (frame, table) = plan.await?;
                watched.scans(table.watch());
                let schema = Arc::new(frame.schema().as_arrow().clone());
                // One row more than wanted tells whether there are more.
                let stream = frame.execute_stream().await?;
                Ok::<_, QueryError>((place, schema, table.watch(), stream))
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
                Ok((place, schema, scans, stream)) => {
                    let (answer, rows) = answer(schema, scans, notices, BATCHES_AHEAD);
                    watched.enter(Phase::Running);
                    if send_answer.send(Ok(answer)).is_ok() {
                        rows.send_all(stream, limit, &watched, place).await;
                    }
                }
            }
        });
        receive_answer.await.map_err(|_| QueryError::Failed("the planner gave up".to_owned()))?
    }
}

/// The rows an answer may have, of those asked for.
fn rows_allowed(request: &SearchRequest) -> usize {
    let held = request.order != Order::Any || !request.expr.pipes.is_empty();
    request.limit.min(if held { ROWS_MAX } else { ROWS_STREAMED_MAX })
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
    /// A session that knows no tables, files or variables, with a share of the cores.
    pub(crate) fn context(&self) -> SessionContext {
        self.context_of(SessionConfig::new().with_target_partitions(self.places.partitions()))
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

    pub(crate) fn dictionary(&self) -> &Arc<FieldDictionary> {
        &self.dictionary
    }

    pub(crate) fn tables(&self) -> &Arc<dyn Tables> {
        &self.tables
    }

    /// Waits for a turn to make acts.
    pub(crate) async fn acts_turn(&self) -> Result<SemaphorePermit<'_>, QueryError> {
        let turn = self.acts.acquire().await;
        turn.map_err(|_| QueryError::Failed("the searcher is shutting down".to_owned()))
    }

    async fn plan(
        &self,
        request: SearchRequest,
        limit: usize,
        notices: &Notices,
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
        let tables = self.tables.as_ref();
        let around = Around { window: Window { from, to, received }, tables, notices };
        let mut steps = Steps::begin(&mut planner, order, around)?;
        for pipe in &expr.pipes {
            steps.pipe(pipe)?;
        }
        let mut planned = steps.planned(&columns)?;
        let context = if background { self.background_context() } else { self.context() };
        // One row more than wanted tells whether there are more.
        let rows = limit.saturating_add(1);
        let narrow = planned.events(&table);
        let ordered = order != Order::Any && expr.pipes.is_empty();
        if ordered && late::pays(&narrow, planned.needed(), rows) {
            let mut frame = context.read_table(Arc::new(narrow.clone()))?;
            // Conditions, the order, and the choice of columns.
            let mut list = planned.list;
            let shown = list.split_off(list.len().saturating_sub(1));
            let sort = list.last().cloned();
            let chosen = late::chosen(frame, list, (offset, rows), &table, &running).await?;
            frame = context.read_table(Arc::new(narrow.uncounted()))?;
            let list = [Step::Keep(chosen)].into_iter().chain(sort).chain(shown);
            for step in list.chain([Step::Limit(0, rows)]) {
                frame = step.apply(frame)?;
            }
            return Ok((frame, table));
        }
        planned.list.push(Step::Limit(offset, rows));
        let run = Run::new(self, &context, &table, notices);
        if matches!(planned.source, Source::Acts(_)) {
            // The events are read before there is an answer.
            running.scans(table.watch());
            running.enter(Phase::Running);
        }
        Ok((run.frame(planned, true).await?, table))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::QUERIES_MAX;
    use crate::parse;
    use jiff::tz::TimeZone;
    use yagura_event::ManualClock;
    use yagura_lake::LakeOptions;

    fn searcher(directory: &std::path::Path) -> Searcher {
        let clock = ManualClock::at(UtcMicros::default());
        let lake = Lake::open(directory, LakeOptions::default(), Arc::new(clock)).unwrap();
        Searcher::new(Arc::new(lake), Arc::default()).unwrap()
    }

    fn request(running: &Running) -> SearchRequest {
        let expr = parse("", UtcMicros::default(), &TimeZone::UTC).unwrap();
        SearchRequest { running: running.clone(), ..SearchRequest::new(expr) }
    }

    #[tokio::test]
    async fn past_the_limit_a_search_waits_and_can_be_cancelled_meanwhile() {
        let directory = tempfile::tempdir().unwrap();
        let searcher = searcher(directory.path());
        let mut taken = Vec::new();
        for _ in 1..QUERIES_MAX {
            taken.push(searcher.inner.places.take().await);
        }
        // The last place is free.
        searcher.search(request(&Running::new())).await.unwrap();
        taken.push(searcher.inner.places.take().await);
        let ask = || {
            let (asking, running) = (searcher.clone(), Running::new());
            let hand = running.clone();
            (running, tokio::spawn(async move { asking.search(request(&hand)).await.map(drop) }))
        };
        let (cancelled, one) = ask();
        let (waiting, other) = ask();
        cancelled.cancel();
        assert!(matches!(one.await.unwrap(), Err(QueryError::Cancelled)));
        assert_eq!(waiting.progress().phase, Phase::Waiting);
        taken.pop();
        assert!(other.await.unwrap().is_ok());
    }

    #[test]
    fn rows_are_limited_by_whether_they_are_held() {
        let allowed = |limit: usize, order: Order, text: &str| {
            let expr = parse(text, UtcMicros::default(), &TimeZone::UTC).unwrap();
            rows_allowed(&SearchRequest { limit, order, ..SearchRequest::new(expr) })
        };
        for more in [0, 1] {
            let limit = ROWS_STREAMED_MAX + more;
            assert_eq!(allowed(limit, Order::Any, "a"), ROWS_STREAMED_MAX);
            assert_eq!(allowed(ROWS_MAX + more, Order::NewestFirst, "a"), ROWS_MAX);
            assert_eq!(allowed(ROWS_MAX + more, Order::Any, "a | head 5"), ROWS_MAX);
            assert_eq!(allowed(ROWS_MAX + more, Order::Any, "a"), ROWS_MAX + more);
        }
    }

    #[tokio::test]
    async fn the_engine_counts_as_many_rows_as_may_be_streamed() {
        let directory = tempfile::tempdir().unwrap();
        let searcher = searcher(directory.path());
        for limit in [ROWS_STREAMED_MAX, usize::MAX] {
            let request = SearchRequest { order: Order::Any, limit, ..request(&Running::new()) };
            let (rows, cut) = searcher.search(request).await.unwrap().collect().await.unwrap();
            assert_eq!((rows.len(), cut), (0, false));
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn threads_of_queries_give_way_to_intake() {
        let directory = tempfile::tempdir().unwrap();
        let searcher = searcher(directory.path());
        let own = rustix::process::getpriority_process(None).unwrap();
        let runtime = searcher.inner.runtime.as_ref().unwrap();
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let at_work = runtime.spawn(async move { nice() }).await.unwrap();
        // Also a thread that another one of them starts.
        let blocking = async move { tokio::task::spawn_blocking(nice).await.unwrap() };
        let reading = runtime.spawn(blocking).await.unwrap();
        assert_eq!((at_work, reading), ((own + 5).min(19), (own + 5).min(19)));
    }
}
