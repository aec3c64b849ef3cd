//! Reads files one by one, for queries: those whose texts are rebuilt from other columns, where such a
//! text is asked for, and those that lie in a cold store. A store that does not answer costs the answer
//! its files, which is noted, and not the query.
//!
//! Each file is read with the columns that its own templates refer to, and no others: a table may
//! have thousands. Whatever can be decided without the texts is decided by the Parquet reader, so
//! texts are rebuilt only for rows that are left; what asks for the texts themselves is decided above,
//! on the rebuilt ones.

use crate::LakeError;
use crate::cold_read::{ScannedStore, Seen};
use crate::columns::{ColumnKind, TableColumns};
use crate::counts::{Counter, ScanOfOne};
use crate::location::{ColdFile, Location};
use crate::packed::{Packed, is_target, stands_for};
use crate::provider::{DATASET, parquet_source};
use crate::read::{corrupt, guarded};
use arrow::array::{AsArray, BinaryViewArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::utils::{collect_columns, conjunction, reassign_expr_columns};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt, future, stream};
use object_store::ObjectStore;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::{Arc, PoisonError};
use yagura_rebuild::{Look, marks, referred};
use yagura_textindex::{Need, Sieve};

/// A file and the rows of it that are to be read.
#[derive(Debug, Clone)]
pub(crate) struct ScannedFile {
    pub(crate) location: Location,
    /// Which of its texts are rebuilt, if any is asked for.
    pub(crate) packed: Option<Arc<Packed>>,
    /// All rows of the file.
    pub(crate) rows: u64,
    pub(crate) file: PartitionedFile,
    /// Rows that are decoded together, unless as many as usual.
    pub(crate) batch_rows: Option<usize>,
}

/// Scans such files, one behind the other in each partition.
#[derive(Debug, Clone)]
pub(crate) struct PackedFilesExec {
    columns: Arc<TableColumns>,
    partitions: Arc<Vec<Vec<ScannedFile>>>,
    /// What is handed up: stored names, and the dataset.
    schema: SchemaRef,
    /// What the Parquet reader may decide, over `schema`.
    predicate: Option<Arc<dyn PhysicalExpr>>,
    /// Rows that it sorts out are not rebuilt.
    sieve: Option<Arc<Sieve>>,
    properties: Arc<PlanProperties>,
    counter: Arc<Counter>,
}

impl PackedFilesExec {
    /// `need` is what the texts of all rows that are wanted have.
    pub(crate) fn new(
        columns: Arc<TableColumns>,
        partitions: Vec<Vec<ScannedFile>>,
        schema: SchemaRef,
        need: &Need,
        counter: Arc<Counter>,
    ) -> Self {
        let sieve = Sieve::new(need);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        PackedFilesExec {
            columns,
            partitions: Arc::new(partitions),
            schema,
            predicate: None,
            sieve: sieve.is_of_use().then(|| Arc::new(sieve)),
            properties: Arc::new(properties),
            counter,
        }
    }

    /// The columns that must be read of a file, then the dataset. Of those that templates refer to, the
    /// ones in `referred`, if that is known.
    fn file_schema(
        &self,
        file: &ScannedFile,
        referred: Option<&BTreeSet<String>>,
    ) -> Result<TableSchema> {
        let asked = |name: &str| self.schema.field_with_name(name).is_ok();
        let referred = |name: &str| referred.is_none_or(|names| names.contains(name));
        let mut fields: Vec<Field> = Vec::new();
        let handed_up = self.schema.fields().iter().filter(|field| field.name() != DATASET);
        fields.extend(handed_up.map(|field| field.as_ref().clone()));
        let needed = file.packed.as_ref().map(|packed| packed.needs_where(&asked, &referred));
        for name in needed.unwrap_or_default() {
            if fields.iter().any(|field| *field.name() == *name) {
                continue;
            }
            if stands_for(&name).is_some() {
                fields.push(Field::new(&*name, DataType::BinaryView, true));
                continue;
            }
            let column = self.columns.get_stored(&name).ok_or_else(|| {
                let reason = format!("its texts are made of {name:?}, which the table has not");
                external(corrupt(file.location.name(), reason))
            })?;
            fields.push(column.stored_field());
        }
        let dataset = Arc::new(Field::new(DATASET, ColumnKind::Keyword.arrow(), true));
        Ok(TableSchema::builder(Arc::new(Schema::new(fields)))
            .with_table_partition_cols(vec![dataset])
            .build())
    }

    /// The rows that are to be read of a file, with the columns of `schema`, and the trouble that its cold
    /// store makes meanwhile.
    fn rows(
        &self,
        file: &ScannedFile,
        schema: TableSchema,
        counter: &Arc<Counter>,
        context: &Arc<TaskContext>,
    ) -> Result<(SendableRecordBatchStream, ScanOfOne, Option<Seen>)> {
        let runtime = context.runtime_env();
        let url = ObjectStoreUrl::local_filesystem();
        let (files, seen): (Arc<dyn ObjectStore>, Option<Seen>) = match &file.location {
            Location::Local(_) => (runtime.object_store(&url)?, None),
            Location::Cold(cold) => {
                let store = cold.store().map_err(|problem| external(cold.error(problem)))?;
                let (store, seen) = ScannedStore::new(store.clone());
                (Arc::new(store), Some(seen))
            }
        };
        let mut source = parquet_source(schema.clone(), &runtime, files, counter);
        if let Some(predicate) = &self.predicate {
            let predicate = reassign_expr_columns(predicate.clone(), schema.table_schema())?;
            source = source.with_predicate(predicate);
        }
        let counted = counter.scan_of_one(source.metrics().clone());
        let scan = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(vec![FileGroup::new(vec![file.file.clone()])])
            .with_batch_size(file.batch_rows)
            .build();
        let rows = DataSourceExec::from_data_source(scan).execute(0, context.clone())?;
        Ok((rows, counted, seen))
    }

    /// The columns that the templates of the rows refer to which are to be read: few of those that all of
    /// the file's do. `None` where they are not worth a look, or damaged, which is said when they are used.
    async fn referred(
        &self,
        file: &ScannedFile,
        context: &Arc<TaskContext>,
    ) -> Result<Option<BTreeSet<String>>> {
        let asked = |name: &str| self.schema.field_with_name(name).is_ok();
        let templates = file.packed.as_ref().map(|packed| packed.templates(&asked));
        let templates = templates.unwrap_or_default();
        if templates.is_empty() {
            return Ok(None);
        }
        let all = self.file_schema(file, None)?;
        let decides = self.predicate.as_ref().map(collect_columns).unwrap_or_default();
        let read = all.file_schema().fields().iter().filter(|field| {
            let name = field.name().as_str();
            templates.contains(&name) || decides.iter().any(|column| column.name() == name)
        });
        let schema = TableSchema::builder(Arc::new(Schema::new(read.cloned().collect::<Vec<_>>())))
            .with_table_partition_cols(all.table_partition_cols().clone())
            .build();
        let (mut rows, _counted, _) =
            self.rows(file, schema, &Arc::new(self.counter.apart()), context)?;
        let mut referred = Referred::default();
        while let Some(rows) = rows.next().await {
            // Whoever reads the rows themselves meets the same, and says it.
            let Ok(rows) = rows else { return Ok(None) };
            for template in &templates {
                let column = rows.column_by_name(template).and_then(|c| c.as_binary_view_opt());
                let Some(true) = column.map(|column| referred.note(column)) else {
                    return Ok(None);
                };
            }
        }
        Ok(Some(referred.names))
    }

    async fn open(
        self,
        file: ScannedFile,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let referred = self.referred(&file, &context).await?;
        let schema = self.file_schema(&file, referred.as_ref())?;
        let (mut rows, counted, seen) = self.rows(&file, schema, &self.counter, &context)?;
        if let (Location::Cold(cold), Some(seen)) = (&file.location, seen) {
            rows = self.as_far_as_it_goes(rows, cold.clone(), file.rows, seen);
        }
        let wanted = self.schema.clone();
        let Some(packed) = file.packed.clone() else {
            let rows = rows.map(move |rows| {
                // It lives as long as the scan.
                let _ = &counted;
                handed_up(&rows?, &wanted)
            });
            return Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows)));
        };
        let at_once = packed.rows_at_once();
        let parts = rows.map_ok(move |rows| {
            let count = rows.num_rows();
            let starts = (0..count).step_by(at_once);
            let part = |at: usize| rows.slice(at, at_once.min(count - at));
            let parts: Vec<Result<RecordBatch>> = starts.map(|at| Ok(part(at))).collect();
            stream::iter(parts)
        });
        let sieve = self.sieve.clone();
        let parts = parts.try_flatten().map(move |part| {
            // It lives as long as the scan.
            let _ = &counted;
            let part: RecordBatch = part?;
            let path = file.location.name();
            let whole = guarded(path, || {
                let part = match &sieve {
                    Some(sieve) => sifted(&part, sieve),
                    None => part,
                };
                packed.unpacked(path, &part)
            });
            let whole = whole.map_err(external)?;
            handed_up(&whole, &wanted)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), parts)))
    }

    /// The rows of a file in a cold store until the store fails, which is noted.
    fn as_far_as_it_goes(
        &self,
        rows: SendableRecordBatchStream,
        cold: ColdFile,
        count: u64,
        seen: Seen,
    ) -> SendableRecordBatchStream {
        let (schema, counter) = (rows.schema(), self.counter.clone());
        let rows = rows.map(move |rows| {
            let error = match rows {
                Ok(rows) => return Some(Ok(rows)),
                Err(error) => error,
            };
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // Without trouble of the store it is damage of the file.
            let Some(problem) = seen else { return Some(Err(error)) };
            counter.unread(cold.store_url(), cold.path(), count, &problem);
            None
        });
        let rows = rows.take_while(|rows| future::ready(rows.is_some()));
        let rows = rows.filter_map(future::ready);
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }
}

fn external(error: LakeError) -> DataFusionError {
    DataFusionError::External(error.into())
}

/// The rows whose texts may have what the query needs, told without rebuilding them. Where that cannot be
/// done, all of them: what is wrong is said when they are rebuilt.
fn sifted(rows: &RecordBatch, sieve: &Sieve) -> RecordBatch {
    let Ok(marks) = marks(rows, &Looking(sieve)) else { return rows.clone() };
    let texts = marks.original.iter().zip(&marks.message);
    let keep: BooleanArray = texts
        // One word of a query may stand in the one text, another in the other.
        .map(|(original, message)| Some(sieve.may_hold(original | message)))
        .collect();
    filter_record_batch(rows, &keep).unwrap_or_else(|_| rows.clone())
}

/// The columns that templates refer to.
#[derive(Default)]
struct Referred {
    names: BTreeSet<String>,
    seen: HashSet<Vec<u8>>,
}

impl Referred {
    /// `false` where one is damaged.
    fn note(&mut self, templates: &BinaryViewArray) -> bool {
        let mut last: Option<&[u8]> = None;
        for template in templates.iter().flatten() {
            if last == Some(template) || self.seen.contains(template) {
                last = Some(template);
                continue;
            }
            let Ok(names) = referred(template) else { return false };
            self.names.extend(names.into_iter().map(str::to_owned));
            self.seen.insert(template.to_vec());
            last = Some(template);
        }
        true
    }
}

struct Looking<'a>(&'a Sieve);

impl Look for Looking<'_> {
    fn look(&self, text: &[u8]) -> u64 {
        self.0.marks(text)
    }

    fn look_at_digits(&self, letters: u32, run: usize) -> u64 {
        self.0.marks_of_digits(letters, run)
    }
}

/// The columns of `schema` from rows that have them.
fn handed_up(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let positions = schema.fields().iter().map(|field| rows.schema_ref().index_of(field.name()));
    let positions: Vec<usize> = positions.collect::<Result<_, _>>()?;
    let rows = rows.project(&positions)?;
    Ok(rows.with_schema(schema.clone())?)
}

impl DisplayAs for PackedFilesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: usize = self.partitions.iter().map(Vec::len).sum();
        write!(f, "PackedFilesExec: files={files}, partitions={}", self.partitions.len())?;
        match &self.predicate {
            Some(predicate) => write!(f, ", predicate={predicate}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for PackedFilesExec {
    fn name(&self) -> &'static str {
        "PackedFilesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        match &self.predicate {
            Some(predicate) => f(predicate),
            None => Ok(TreeNodeRecursion::Continue),
        }
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let files = self.partitions.get(partition).cloned().unwrap_or_default();
        let scan = self.clone();
        // A file is opened when the one before it has been read.
        let rows = stream::iter(files)
            .then(move |file| scan.clone().open(file, context.clone()))
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows)))
    }

    /// What does not ask for a text goes down to the Parquet reader, which may leave rows that do not
    /// match: whoever asks keeps the filter.
    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        child_pushdown_result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let filters = child_pushdown_result.parent_filters;
        let mut all: Vec<Arc<dyn PhysicalExpr>> = self.predicate.iter().cloned().collect();
        let before = all.len();
        for filter in &filters {
            let columns = collect_columns(&filter.filter);
            if !columns.iter().any(|column| is_target(column.name())) {
                all.push(filter.filter.clone());
            }
        }
        let answer = FilterPushdownPropagation::with_parent_pushdown_result(vec![
            PushedDown::No;
            filters.len()
        ]);
        if all.len() == before {
            return Ok(answer);
        }
        let scan = PackedFilesExec { predicate: Some(conjunction(all)), ..self.clone() };
        Ok(answer.with_updated_node(Arc::new(scan)))
    }
}
