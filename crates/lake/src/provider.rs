//! The table `events` as DataFusion sees it: hot pieces and Parquet files as one.

use crate::cold::ColdStores;
use crate::columns::{ColumnKind, TableColumn, TableColumns};
use crate::counts::{Counter, ScanCounts, Unread};
use crate::event_id::EventIdFunction;
use crate::file::FileEntry;
use crate::hot::{Piece, conform};
use crate::limits::ROW_GROUP_ROWS;
use crate::location::{ColdFile, Location};
use crate::packed::Packed;
use crate::packed_scan::{PackedFilesExec, ScannedFile};
use crate::progress::{ScanWatch, WatchedReaders};
use crate::prune::{Known, passed_over};
use crate::text_index::{IndexCache, MESSAGE};
use arrow::array::{ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::{
    CachedParquetFileReaderFactory, ParquetRowSelection,
};
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, ScalarUDF, TableProviderFilterPushDown};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, expressions};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::arrow_reader::RowSelection;
use std::cmp::Reverse;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use yagura_event::columns as envelope;
use yagura_textindex::Need;
use yagura_textindex::limits::BLOCK_ROWS;

/// Stretches of a file's rows; `None` for all of them.
type RowsToRead = Option<Vec<Range<u64>>>;

/// The virtual column with an event's id, `stream/batch/index`.
pub const EVENT_ID: &str = "event.id";

/// The column with an event's dataset; the table's partition.
pub const DATASET: &str = "event.dataset";

/// Bytes read from a file's end at first: the footer of a file of some hundred columns.
const FOOTER_BYTES_HINT: usize = 256 * 1024;

/// One consistent picture of the lake, for one query. Columns appear under their fields' names.
#[derive(Debug, Clone)]
pub struct EventsTable {
    root: PathBuf,
    cold: Arc<ColdStores>,
    columns: Arc<TableColumns>,
    hot: Arc<[Arc<Piece>]>,
    files: Arc<Vec<Arc<FileEntry>>>,
    exposed: Vec<Exposed>,
    schema: SchemaRef,
    indexes: Arc<IndexCache>,
    need: Arc<Need>,
    counter: Arc<Counter>,
}

#[derive(Debug, Clone)]
enum Exposed {
    Id,
    Dataset,
    Column(TableColumn),
}

impl Exposed {
    fn field(&self) -> Field {
        match self {
            Exposed::Id => Field::new(EVENT_ID, DataType::Utf8, true),
            Exposed::Dataset => Field::new(DATASET, ColumnKind::Keyword.arrow(), true),
            Exposed::Column(column) => Field::new(&*column.name, column.kind.arrow(), true),
        }
    }
}

impl EventsTable {
    pub(crate) fn new(
        (root, cold): (PathBuf, Arc<ColdStores>),
        columns: Arc<TableColumns>,
        hot: Vec<Arc<Piece>>,
        files: Arc<Vec<Arc<FileEntry>>>,
        indexes: Arc<IndexCache>,
    ) -> Self {
        let exposed = [Exposed::Id, Exposed::Dataset]
            .into_iter()
            .chain(columns.iter().filter(|c| &*c.name != EVENT_ID).cloned().map(Exposed::Column))
            .collect();
        EventsTable {
            root,
            cold,
            columns,
            hot: hot.into(),
            files,
            exposed,
            schema: Schema::empty().into(),
            indexes,
            need: Arc::new(Need::Unknown),
            counter: Arc::default(),
        }
        .with_schema()
    }

    fn with_schema(mut self) -> Self {
        let fields: Vec<_> = self.exposed.iter().map(Exposed::field).collect();
        self.schema = Arc::new(Schema::new(fields));
        self
    }

    /// The same picture with only the named columns (unknown names are ignored): planning a query
    /// over a table of thousands of columns costs more than running it.
    pub fn narrowed<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: std::collections::HashSet<_> = names.into_iter().collect();
        let mut narrow = self.clone();
        narrow.exposed.retain(|exposed| names.contains(exposed.field().name().as_str()));
        narrow.with_schema()
    }

    /// The same picture for a query that only wants events whose text (raw bytes and `message`) has
    /// what is needed: the text indexes then say which rows of files need not be read. What is read is
    /// not checked, and events in memory are all there.
    pub fn where_text_has(mut self, need: Need) -> Self {
        let indexed =
            self.columns.get(MESSAGE).is_none_or(|column| &*column.stored_name == MESSAGE);
        self.need = Arc::new(if indexed { need } else { Need::Unknown });
        self
    }

    /// Whether files of this picture rebuild one of these columns from others.
    pub fn rebuilds<'a>(&self, columns: impl Iterator<Item = &'a str> + Clone) -> bool {
        let packed = self.files.iter().filter_map(|file| file.packed.as_ref());
        packed.into_iter().any(|packed| packed.concerns(columns.clone()))
    }

    /// The same picture for another look at what was found: its scans are counted apart.
    pub fn uncounted(mut self) -> Self {
        self.counter = Arc::new(self.counter.apart());
        self
    }

    /// What scans of this picture, and of pictures made from it, look at so far.
    pub fn counts(&self) -> ScanCounts {
        self.counter.counts()
    }

    /// What scans of this picture, and of pictures made from it, could not read so far: files in a cold
    /// store that does not answer. All of it once the query has ended.
    pub fn unread(&self) -> Vec<Unread> {
        self.counter.all_unread()
    }

    /// The same while they run, and how far they are.
    pub fn watch(&self) -> ScanWatch {
        ScanWatch(self.counter.clone())
    }

    /// Every column of the table as stored, without the two that are computed.
    pub fn columns(&self) -> &TableColumns {
        &self.columns
    }

    /// The Parquet files of this picture.
    pub fn files(&self) -> &[Arc<FileEntry>] {
        &self.files
    }

    /// The pieces of the hot set of this picture.
    pub(crate) fn pieces(&self) -> &[Arc<Piece>] {
        &self.hot
    }

    fn exposed_at(&self, index: usize) -> Result<&Exposed> {
        self.exposed.get(index).ok_or_else(|| {
            DataFusionError::Internal(format!("column {index} of events does not exist"))
        })
    }

    /// Filters over stored names, as one expression.
    fn stored_filter(&self, filters: &[Expr]) -> Result<Option<Expr>> {
        let usable = filters.iter().filter(|filter| !mentions_id(filter)).cloned();
        let Some(filter) = conjunction(usable) else { return Ok(None) };
        let renamed = filter.transform(|expr| {
            Ok(match expr {
                Expr::Column(column) => {
                    let stored = match self.columns.get(&column.name) {
                        Some(known) => known.stored_name.to_string(),
                        None => column.name,
                    };
                    Transformed::yes(Expr::Column(Column::new_unqualified(stored)))
                }
                other => Transformed::no(other),
            })
        })?;
        Ok(Some(renamed.data))
    }

    /// What the scan reads, before it is renamed: the needed stored columns, then the dataset.
    fn inner_schema(&self, projected: &[&Exposed], filters: &[Expr]) -> SchemaRef {
        let mut names: Vec<&str> = Vec::new();
        for exposed in projected {
            match exposed {
                Exposed::Id => names.extend([envelope::STREAM, envelope::BATCH, envelope::INDEX]),
                Exposed::Dataset => {}
                Exposed::Column(column) => names.push(&column.name),
            }
        }
        let mentioned: Vec<_> = filters.iter().flat_map(Expr::column_refs).collect();
        names.extend(mentioned.iter().map(|column| column.name.as_str()));
        let mut fields: Vec<Field> = Vec::new();
        for column in names.into_iter().filter_map(|name| self.columns.get(name)) {
            if fields.iter().all(|field| *field.name() != *column.stored_name) {
                fields.push(column.stored_field());
            }
        }
        Arc::new(Schema::new(fields))
    }

    fn hot_plan(
        &self,
        stored: &SchemaRef,
        full: &SchemaRef,
        predicate: Option<&Arc<dyn PhysicalExpr>>,
        projection: &[usize],
        partitions: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let known: Vec<Known<'_>> = self.hot.iter().map(|piece| Known::from(&**piece)).collect();
        let causes = passed_over(predicate, full, &known);
        self.counter.pieces(&self.hot, &causes);
        let mut parts: Vec<Vec<RecordBatch>> = vec![Vec::new(); partitions.max(1)];
        let kept = self.hot.iter().zip(causes).filter(|(_, cause)| cause.is_none());
        for (number, (piece, _)) in kept.enumerate() {
            let rows = conform(&piece.columns, stored)
                .map_err(|error| DataFusionError::External(error.into()))?;
            let keys = Int32Array::from(vec![0; rows.num_rows()]);
            let dataset = StringArray::from(vec![&*piece.dataset]);
            let dataset = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(dataset))?;
            let mut arrays = rows.columns().to_vec();
            arrays.push(Arc::new(dataset) as ArrayRef);
            let slot = number % parts.len();
            parts[slot].push(RecordBatch::try_new(full.clone(), arrays)?);
        }
        parts.retain(|part| !part.is_empty());
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        Ok(MemorySourceConfig::try_new_exec(&parts, full.clone(), Some(projection.to_vec()))?)
    }

    /// The files that may hold what is wanted, by what is known of them in memory.
    fn known_files(
        &self,
        full: &SchemaRef,
        predicate: Option<&Arc<dyn PhysicalExpr>>,
    ) -> Vec<Arc<FileEntry>> {
        let known: Vec<Known<'_>> = self.files.iter().map(|file| Known::from(&**file)).collect();
        let causes = passed_over(predicate, full, &known);
        self.counter.files(&self.files, &causes);
        let kept = self.files.iter().zip(causes).filter(|(_, cause)| cause.is_none());
        kept.map(|(file, _)| file.clone()).collect()
    }

    /// The same by their text indexes, with the rows of each that must be read.
    async fn indexed_files(
        &self,
        files: Vec<Arc<FileEntry>>,
        partitions: usize,
    ) -> Result<Vec<(Arc<FileEntry>, RowsToRead)>> {
        let whole = |file| (file, None);
        if *self.need == Need::Unknown {
            return Ok(files.into_iter().map(whole).collect());
        }
        // In as many parts as the machine runs at once; reading blocks.
        let part = files.len().div_ceil(partitions.max(1)).max(1);
        let parts: Vec<_> = files
            .chunks(part)
            .map(|files| {
                let (table, files) = (self.clone(), files.to_vec());
                tokio::task::spawn_blocking(move || table.rows_to_read(files))
            })
            .collect();
        let mut chosen = Vec::new();
        for part in parts {
            let part = part.await.map_err(|error| DataFusionError::External(error.into()))?;
            chosen.extend(part);
        }
        Ok(chosen)
    }

    fn rows_to_read(&self, files: Vec<Arc<FileEntry>>) -> Vec<(Arc<FileEntry>, RowsToRead)> {
        let mut chosen = Vec::with_capacity(files.len());
        for file in files {
            let rows = self.indexes.rows_to_read(&self.root, &file, &self.need);
            self.counter.rows(&file, rows.as_deref());
            if rows.as_ref().is_none_or(|rows| !rows.is_empty()) {
                chosen.push((file, rows));
            }
        }
        chosen
    }

    fn file_plan(
        &self,
        state: &dyn Session,
        stored: &SchemaRef,
        mut files: Vec<(Arc<FileEntry>, RowsToRead)>,
        projection: &[usize],
        partitions: usize,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if files.is_empty() {
            return Ok(None);
        }
        // Newest first: a query for the latest events then learns early what it need not read.
        files.sort_by_key(|(file, _)| Reverse(file.time.map(|(_, last)| last)));
        let mut groups = vec![Vec::new(); partitions.clamp(1, files.len())];
        let count = groups.len();
        let batch_rows = batch_rows(files.iter().any(|(_, rows)| rows.is_some()));
        for (number, (file, rows)) in files.into_iter().enumerate() {
            self.counter.reading.plan(self.location(&file)?.to_string(), &file, rows.as_deref());
            groups[number % count].push(self.partitioned_file(&file, rows)?);
        }
        let dataset = Arc::new(Field::new(DATASET, ColumnKind::Keyword.arrow(), true));
        let table_schema =
            TableSchema::builder(stored.clone()).with_table_partition_cols(vec![dataset]).build();
        let url = ObjectStoreUrl::local_filesystem();
        let runtime = state.runtime_env();
        let source =
            parquet_source(table_schema, runtime, runtime.object_store(&url)?, &self.counter);
        self.counter.scan(source.metrics().clone());
        let scan = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .with_projection_indices(Some(projection.to_vec()))?
            .with_batch_size(batch_rows)
            .build();
        Ok(Some(DataSourceExec::from_data_source(scan)))
    }

    /// Files that are read one by one: those whose texts are rebuilt, and those in cold stores.
    fn single_files_plan(
        &self,
        mut files: Vec<(Arc<FileEntry>, RowsToRead)>,
        full: &SchemaRef,
        projection: &[usize],
        partitions: usize,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if files.is_empty() {
            return Ok(None);
        }
        files.sort_by_key(|(file, _)| Reverse(file.time.map(|(_, last)| last)));
        let schema = Arc::new(full.project(projection)?);
        // Fewer files than partitions are read by several at once.
        let pieces = partitions.max(1).div_ceil(files.len());
        let mut list = Vec::new();
        for (entry, rows) in files {
            let location = Location::of(&self.root, &self.cold, &entry);
            let packed = entry.packed.clone().filter(|packed| {
                packed.concerns(schema.fields().iter().map(|field| field.name().as_str()))
            });
            let name = match &location {
                Location::Local(_) => self.location(&entry)?,
                Location::Cold(cold) => match self.cold_key(cold, &entry) {
                    Some(key) => key,
                    None => continue,
                },
            };
            self.counter.reading.plan(name.to_string(), &entry, rows.as_deref());
            // Like rows lie together: those of one row group are made of few columns.
            let pieces = match &packed {
                Some(_) => usize::try_from(entry.rows.div_ceil(ROW_GROUP_ROWS as u64)).unwrap_or(1),
                None => pieces,
            };
            let batch_rows = batch_rows(rows.is_some());
            for rows in cut(rows, entry.rows, pieces) {
                let file = partitioned(name.clone(), &entry, rows);
                let (location, packed) = (location.clone(), packed.clone());
                list.push(ScannedFile { location, packed, rows: entry.rows, file, batch_rows });
            }
        }
        let mut parts = vec![Vec::new(); partitions.clamp(1, list.len().max(1))];
        let count = parts.len();
        for (number, file) in list.into_iter().enumerate() {
            parts[number % count].push(file);
        }
        let counter = self.counter.clone();
        Ok(Some(Arc::new(PackedFilesExec::new(
            self.columns.clone(),
            parts,
            schema,
            &self.need,
            counter,
        ))))
    }

    /// What the engine calls a file.
    fn location(&self, file: &FileEntry) -> Result<object_store::path::Path> {
        object_store::path::Path::from_absolute_path(self.root.join(&file.path))
            .map_err(|error| DataFusionError::External(error.into()))
    }

    /// What a cold store calls a file; `None`, which is noted, where the store is not known or was just
    /// found not to answer.
    fn cold_key(&self, cold: &ColdFile, file: &FileEntry) -> Option<object_store::path::Path> {
        let store = cold.store().and_then(|store| store.is_there().map(|()| store));
        match store.and_then(|store| store.key(&file.path)) {
            Ok(key) => Some(key),
            Err(problem) => {
                self.counter.unread(cold.store_url(), &file.path, file.rows, &problem);
                None
            }
        }
    }

    fn partitioned_file(&self, file: &FileEntry, rows: RowsToRead) -> Result<PartitionedFile> {
        Ok(partitioned(self.location(file)?, file, rows))
    }
}

/// Rows that are decoded together where a text index chose blocks: no more than one block. A column
/// without values in one block and with some in the next would cost its dictionary.
fn batch_rows(blocks_chosen: bool) -> Option<usize> {
    blocks_chosen.then_some(BLOCK_ROWS as usize)
}

/// A file at `location` of its store, with its dataset and the rows to read.
fn partitioned(
    location: object_store::path::Path,
    file: &FileEntry,
    rows: RowsToRead,
) -> PartitionedFile {
    let dataset = ScalarValue::Utf8(Some(file.dataset.to_string()));
    let dataset = ScalarValue::Dictionary(Box::new(DataType::Int32), Box::new(dataset));
    let meta = ObjectMeta {
        location,
        // A file never changes under its name, so any fixed time will do for caches.
        last_modified: Default::default(),
        size: file.bytes,
        e_tag: None,
        version: None,
    };
    let file_rows = usize::try_from(file.rows).unwrap_or(usize::MAX);
    let file = PartitionedFile::new_from_meta(meta).with_partition_values(vec![dataset]);
    let Some(rows) = rows else { return file };
    // Proof that nothing is cut: the stretches lie within the file's rows, which fit.
    let rows = rows.into_iter().map(|rows| rows.start as usize..rows.end as usize);
    let selection = RowSelection::from_consecutive_ranges(rows, file_rows);
    file.with_extension(ParquetRowSelection::new(selection))
}

/// The rows to read of a file of `total`, in at most so many pieces of whole row groups.
fn cut(rows: RowsToRead, total: u64, pieces: usize) -> Vec<RowsToRead> {
    let group = ROW_GROUP_ROWS as u64;
    if pieces < 2 || total <= group {
        return vec![rows];
    }
    let piece = total.div_ceil(group).div_ceil(pieces as u64) * group;
    let stretches = rows.unwrap_or_else(|| std::iter::once(0..total).collect());
    let starts = (0..total.div_ceil(piece)).map(|number| number * piece);
    let within = |start: u64| {
        let stretches = stretches.iter();
        let within = stretches.map(|rows| rows.start.max(start)..rows.end.min(start + piece));
        within.filter(|rows| rows.start < rows.end).collect::<Vec<_>>()
    };
    starts.map(within).filter(|rows| !rows.is_empty()).map(Some).collect()
}

/// Reads Parquet files that `files` has, deciding there what a filter decides.
/// Tells `counter` how far it is.
pub(crate) fn parquet_source(
    schema: TableSchema,
    runtime: &RuntimeEnv,
    files: Arc<dyn ObjectStore>,
    counter: &Arc<Counter>,
) -> ParquetSource {
    let cache = runtime.cache_manager.get_file_metadata_cache();
    let reader = CachedParquetFileReaderFactory::new(files, cache);
    let reader = WatchedReaders::new(reader, counter.clone());
    ParquetSource::new(schema)
        .with_parquet_file_reader_factory(Arc::new(reader))
        .with_metadata_size_hint(FOOTER_BYTES_HINT)
        .with_pushdown_filters(true)
        .with_reorder_filters(true)
}

fn mentions_id(filter: &Expr) -> bool {
    filter.column_refs().iter().any(|column| column.name == EVENT_ID)
}

#[async_trait]
impl TableProvider for EventsTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match mentions_id(filter) {
            true => TableProviderFilterPushDown::Unsupported,
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projected: Vec<&Exposed> = match projection {
            Some(indices) => {
                indices.iter().map(|&index| self.exposed_at(index)).collect::<Result<_>>()?
            }
            None => self.exposed.iter().collect(),
        };
        let stored = self.inner_schema(&projected, filters);
        let mut full = stored.fields().to_vec();
        full.push(Arc::new(Field::new(DATASET, ColumnKind::Keyword.arrow(), true)));
        let full: SchemaRef = Arc::new(Schema::new(full));

        let predicate = match self.stored_filter(filters)? {
            Some(filter) => {
                let schema = DFSchema::try_from(full.clone())?;
                Some(state.create_physical_expr(filter, &schema)?)
            }
            None => None,
        };

        let inner = InnerProjection::new(&projected, &full)?;
        let partitions = state.config().target_partitions();
        let hot = self.hot_plan(&stored, &full, predicate.as_ref(), &inner.indices, partitions)?;
        let files = self.known_files(&full, predicate.as_ref());
        let files = self.indexed_files(files, partitions).await?;
        let names: Vec<&str> = inner.names.iter().map(String::as_str).collect();
        let is_single = |(file, _): &(Arc<FileEntry>, RowsToRead)| {
            let rebuilds = |packed: &Arc<Packed>| packed.concerns(names.iter().copied());
            file.cold.is_some() || file.packed.as_ref().is_some_and(rebuilds)
        };
        let (single, together) = files.into_iter().partition(is_single);
        let together = self.file_plan(state, &stored, together, &inner.indices, partitions)?;
        let single = self.single_files_plan(single, &full, &inner.indices, partitions)?;
        let mut parts = vec![hot];
        parts.extend(together);
        parts.extend(single);
        let plan = match parts.len() {
            1 => parts.swap_remove(0),
            _ => UnionExec::try_new(parts)?,
        };
        inner.expose(state, plan, &projected)
    }
}

/// The columns a scan hands up, and how they become the exposed ones.
struct InnerProjection {
    /// Positions in the scan's full schema.
    indices: Vec<usize>,
    names: Vec<String>,
    plain: bool,
}

impl InnerProjection {
    fn new(projected: &[&Exposed], full: &SchemaRef) -> Result<Self> {
        let mut inner = InnerProjection { indices: Vec::new(), names: Vec::new(), plain: true };
        for exposed in projected {
            match exposed {
                Exposed::Id => {
                    inner.plain = false;
                    for name in [envelope::STREAM, envelope::BATCH, envelope::INDEX] {
                        inner.need(name, full)?;
                    }
                }
                Exposed::Dataset => inner.need(DATASET, full)?,
                Exposed::Column(column) => {
                    inner.plain &= column.name == column.stored_name;
                    inner.need(&column.stored_name, full)?;
                }
            }
        }
        Ok(inner)
    }

    fn need(&mut self, name: &str, full: &SchemaRef) -> Result<()> {
        if !self.names.iter().any(|other| other == name) {
            self.indices.push(full.index_of(name)?);
            self.names.push(name.to_owned());
        }
        Ok(())
    }

    fn expose(
        &self,
        state: &dyn Session,
        plan: Arc<dyn ExecutionPlan>,
        projected: &[&Exposed],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.plain {
            return Ok(plan);
        }
        let schema = plan.schema();
        let column = |name: &str| expressions::col(name, &schema);
        let mut exprs: Vec<(Arc<dyn PhysicalExpr>, String)> = Vec::with_capacity(projected.len());
        for exposed in projected {
            let expr: Arc<dyn PhysicalExpr> = match exposed {
                Exposed::Id => Arc::new(ScalarFunctionExpr::try_new(
                    Arc::new(ScalarUDF::from(EventIdFunction::new())),
                    vec![
                        column(envelope::STREAM)?,
                        column(envelope::BATCH)?,
                        column(envelope::INDEX)?,
                    ],
                    &schema,
                    Arc::new(state.config_options().clone()),
                )?),
                Exposed::Dataset => column(DATASET)?,
                Exposed::Column(stored) => column(&stored.stored_name)?,
            };
            exprs.push((expr, exposed.field().name().clone()));
        }
        Ok(Arc::new(ProjectionExec::try_new(exprs, plan)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "one stretch is meant")]
    fn a_file_is_cut_between_row_groups_and_loses_no_row() {
        let group = ROW_GROUP_ROWS as u64;
        assert_eq!(cut(None, group, 4), [None]);
        assert_eq!(cut(None, group + 1, 1), [None]);
        let cut_in_two = cut(None, group + 1, 2);
        assert_eq!(cut_in_two, [Some(vec![0..group]), Some(vec![group..group + 1])]);
        let rows = Some(vec![5..9, group - 1..group * 2 + 3]);
        let first = Some(vec![5..9, group - 1..group * 2]);
        assert_eq!(cut(rows, group * 4, 2), [first, Some(vec![group * 2..group * 2 + 3])]);
        assert_eq!(cut(Some(vec![3..4]), group * 9, 4), [Some(vec![3..4])]);
    }
}
