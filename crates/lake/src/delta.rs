//! The table's log: opened, read, extended. All of Delta-rs that we use is here.

use crate::LakeError;
use crate::columns::{ColumnKind, PARTITIONS, TableColumns};
use crate::durable::DurableStore;
use crate::file::FileEntry;
use crate::limits::COMPACTED_FILE_BYTES;
use crate::runtime::Runtime;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake_core::kernel::{
    Action, Add, DataType, MetadataExt, MetadataValue, PrimitiveType, Remove, StructField,
    StructType,
};
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError, ensure_table_uri};
use futures::TryStreamExt;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Key of a column's metadata in the Delta schema that tells free text from keywords.
const KIND: &str = "yagura.type";

pub(crate) struct DeltaLog {
    root: PathBuf,
    log_store: LogStoreRef,
    state: DeltaTableState,
    runtime: Arc<Runtime>,
    /// Columns the log knows.
    columns: usize,
}

/// What the log says when it is opened.
pub(crate) struct Replayed {
    pub(crate) log: DeltaLog,
    pub(crate) columns: TableColumns,
    pub(crate) files: Vec<FileEntry>,
}

impl DeltaLog {
    /// Opens the table below `root`, or creates it with the columns every event has.
    pub(crate) fn open(root: &Path) -> Result<Replayed, LakeError> {
        let runtime = Arc::new(
            Runtime::new("yagura-delta")
                .map_err(|source| LakeError::Io { path: root.to_path_buf(), source })?,
        );
        let failed =
            |source| LakeError::Delta { path: root.to_path_buf(), source: Box::new(source) };
        let opened = runtime.run(open_or_create(root)).map_err(failed)?;
        let (log_store, state, adds) = opened;
        let mut columns = TableColumns::envelope();
        for field in state.schema().fields() {
            columns.insert_stored(&field.name, kind_of(field));
        }
        let files = adds.iter().map(FileEntry::from_add).collect::<Result<_, _>>()?;
        let known = columns.len();
        let log = DeltaLog { root: root.to_path_buf(), log_store, state, runtime, columns: known };
        Ok(Replayed { log, columns, files })
    }

    /// Version of the newest commit.
    pub(crate) fn version(&self) -> u64 {
        self.state.version()
    }

    /// Path of a commit's file within the table's directory.
    pub(crate) fn commit_path(version: u64) -> String {
        format!("_delta_log/{version:020}.json")
    }

    /// Adds files, and columns the log does not know yet, with one commit. `written_at` is in
    /// milliseconds since 1970.
    pub(crate) fn commit(
        &mut self,
        files: &[FileEntry],
        columns: &TableColumns,
        written_at: i64,
    ) -> Result<u64, LakeError> {
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(PARTITIONS.map(str::to_owned).to_vec()),
            predicate: None,
        };
        self.act(operation, &[], files, columns, written_at, true)
    }

    /// Takes files out of the table and others in, with one commit, which says so if they are
    /// `same_rows`.
    pub(crate) fn replace(
        &mut self,
        gone: &[Arc<FileEntry>],
        files: &[FileEntry],
        columns: &TableColumns,
        written_at: i64,
        same_rows: bool,
    ) -> Result<u64, LakeError> {
        let target_size = i64::try_from(COMPACTED_FILE_BYTES).unwrap_or(i64::MAX);
        let left: u64 = files.iter().map(|file| file.rows).sum();
        let had: u64 = gone.iter().map(|file| file.rows).sum();
        let operation = match same_rows {
            true => DeltaOperation::Optimize { predicate: None, target_size },
            false if left < had => DeltaOperation::Delete { predicate: None },
            false => DeltaOperation::Update { predicate: None },
        };
        self.act(operation, gone, files, columns, written_at, !same_rows)
    }

    fn act(
        &mut self,
        operation: DeltaOperation,
        gone: &[Arc<FileEntry>],
        files: &[FileEntry],
        columns: &TableColumns,
        written_at: i64,
        data_change: bool,
    ) -> Result<u64, LakeError> {
        let root = self.root.clone();
        let failed = |source| LakeError::Delta { path: root.clone(), source: Box::new(source) };
        let mut actions = Vec::with_capacity(files.len() + 1);
        if columns.len() > self.columns {
            let schema = StructType::try_new(delta_fields(columns))
                .map_err(DeltaTableError::from)
                .map_err(failed)?;
            let metadata = self.state.metadata().clone().with_schema(&schema);
            let metadata = metadata.map_err(DeltaTableError::from).map_err(failed)?;
            actions.push(Action::Metadata(metadata));
        }
        actions.extend(
            gone.iter().map(|file| {
                Action::Remove(Remove { data_change, ..remove_action(file, written_at) })
            }),
        );
        actions.extend(
            files
                .iter()
                .map(|file| Action::Add(Add { data_change, ..add_action(file, written_at) })),
        );
        let commit = CommitBuilder::from(quiet()).with_actions(actions).build(
            Some(&self.state as &dyn TableReference),
            self.log_store.clone(),
            operation,
        );
        let finished = self.runtime.run(async { commit.await }).map_err(failed)?;
        self.columns = columns.len();
        self.state = finished.snapshot();
        Ok(finished.version())
    }
}

/// No checkpoint and no deletion of old log files behind our back: every file of the table is
/// accounted for elsewhere.
fn quiet() -> CommitProperties {
    CommitProperties::default()
        .with_create_checkpoint(false)
        .with_cleanup_expired_logs(Some(false))
        .with_max_retries(0)
}

async fn open_or_create(
    root: &Path,
) -> Result<(LogStoreRef, DeltaTableState, Vec<Add>), DeltaTableError> {
    let url = ensure_table_uri(root.to_string_lossy())?;
    let mut table = DeltaTableBuilder::from_url(url.clone())?
        .with_storage_backend(Arc::new(DurableStore::new()), url)
        .build()?;
    if table.verify_deltatable_existence().await? {
        table.load().await?;
    } else {
        table = create(&table).await?;
    }
    let log_store = table.log_store();
    let state = table.snapshot()?.clone();
    #[expect(deprecated, reason = "the only way to an add action's tags")]
    let adds = state
        .snapshot()
        .file_views(&log_store, None)
        .map_ok(|view| view.add_action())
        .try_collect()
        .await?;
    Ok((log_store, state, adds))
}

async fn create(table: &DeltaTable) -> Result<DeltaTable, DeltaTableError> {
    let configuration = [
        // Wide tables: replaying statistics of every column would make opening slow.
        ("delta.dataSkippingStatsColumns", "`@timestamp`,`yagura.batch`"),
        ("delta.enableExpiredLogCleanup", "false"),
    ];
    CreateBuilder::new()
        .with_log_store(table.log_store())
        .with_table_name("events")
        .with_columns(delta_fields(&TableColumns::envelope()))
        .with_partition_columns(PARTITIONS)
        .with_configuration(configuration.map(|(key, value)| (key, Some(value))))
        .with_commit_properties(quiet())
        .await
}

fn delta_fields(columns: &TableColumns) -> Vec<StructField> {
    let partitions = PARTITIONS
        .map(|name| StructField::nullable(name, DataType::Primitive(PrimitiveType::String)));
    let fields = columns.iter().map(|column| {
        let (data_type, kind) = match column.kind {
            ColumnKind::Keyword => (PrimitiveType::String, "keyword"),
            ColumnKind::Text => (PrimitiveType::String, "text"),
            ColumnKind::Long => (PrimitiveType::Long, "long"),
            ColumnKind::Date => (PrimitiveType::Timestamp, "date"),
            ColumnKind::Binary => (PrimitiveType::Binary, "binary"),
        };
        StructField::nullable(column.stored_name.to_string(), DataType::Primitive(data_type))
            .with_metadata([(KIND, MetadataValue::String(kind.to_owned()))])
    });
    fields.chain(partitions).collect()
}

fn kind_of(field: &StructField) -> ColumnKind {
    match &field.data_type {
        DataType::Primitive(PrimitiveType::Timestamp) => ColumnKind::Date,
        DataType::Primitive(PrimitiveType::Binary) => ColumnKind::Binary,
        DataType::Primitive(PrimitiveType::Long) => ColumnKind::Long,
        _ => match field.metadata.get(KIND) {
            Some(MetadataValue::String(kind)) if kind == "text" => ColumnKind::Text,
            _ => ColumnKind::Keyword,
        },
    }
}

fn add_action(file: &FileEntry, written_at: i64) -> Add {
    let mut smallest = serde_json::Map::new();
    let mut largest = serde_json::Map::new();
    if let Some((first, last)) = file.time {
        let text = |time| yagura_event::UtcMicros::from_micros(time).to_string().into();
        smallest.insert("@timestamp".to_owned(), text(first));
        largest.insert("@timestamp".to_owned(), text(last));
    }
    if let (Some(first), Some(last)) = (file.batches.first(), file.batches.last()) {
        smallest.insert("yagura.batch".to_owned(), first.batch.into());
        largest.insert("yagura.batch".to_owned(), last.batch.into());
    }
    let stats = serde_json::json!({
        "numRecords": file.rows,
        "minValues": smallest,
        "maxValues": largest,
        "nullCount": { "@timestamp": 0, "yagura.batch": 0 },
    });
    Add {
        path: file.place(),
        partition_values: partition_values(file),
        size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
        modification_time: written_at,
        data_change: true,
        stats: Some(stats.to_string()),
        tags: Some(file.tags()),
        ..Add::default()
    }
}

fn remove_action(file: &FileEntry, removed_at: i64) -> Remove {
    Remove {
        path: file.place(),
        data_change: true,
        deletion_timestamp: Some(removed_at),
        extended_file_metadata: Some(true),
        partition_values: Some(partition_values(file)),
        size: i64::try_from(file.bytes).ok(),
        ..Remove::default()
    }
}

fn partition_values(file: &FileEntry) -> HashMap<String, Option<String>> {
    HashMap::from([
        ("dataset".to_owned(), Some(file.dataset.to_string())),
        ("day".to_owned(), Some(file.day.clone())),
    ])
}
