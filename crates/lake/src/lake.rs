use crate::cold::ColdStores;
use crate::cold_settings::ColdSettings;
use crate::columns::{TableColumns, fit};
use crate::delta::DeltaLog;
use crate::durable::UNFINISHED;
use crate::file::FileEntry;
use crate::hot::{HotSet, Piece, batch_numbers, split_by};
use crate::kill::kill_point;
use crate::limits::{HOT_BYTES_DEFAULT, SUBSCRIBER_LAG_MAX};
use crate::location::Location;
use crate::packer::KeepRaw;
use crate::provider::EventsTable;
use crate::read::{self, StoredBatch};
use crate::swap::Replaced;
use crate::text_index::{IndexCache, remove_with_index, text_index_path};
use crate::window::Window;
use crate::writer::{files_of, write_file};
use crate::{AddError, LakeError};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;
use yagura_event::{Clock, EventBatch, Record};

/// How a lake behaves.
#[derive(Debug, Clone)]
pub struct LakeOptions {
    /// Bound of the hot set in bytes; [`Lake::add`] refuses above it.
    pub hot_bytes_max: usize,
    /// Without force, [`Lake::flush`] waits for this many bytes of sealed rows ...
    pub flush_bytes_min: usize,
    /// ... or until the last flush is this many microseconds ago.
    pub flush_age_max_micros: i64,
    /// Put before the paths of a [`FlushReport`], such as `lake/events`.
    pub path_prefix: String,
    /// Streams of which compacted files keep the received bytes and messages as they are. Elsewhere
    /// what the other columns say is not stored again.
    pub keep_raw: KeepRaw,
    /// Every cold store that files of the table may lie in.
    pub cold: Vec<ColdSettings>,
}

impl Default for LakeOptions {
    fn default() -> Self {
        LakeOptions {
            hot_bytes_max: HOT_BYTES_DEFAULT,
            flush_bytes_min: HOT_BYTES_DEFAULT / 2,
            flush_age_max_micros: 300_000_000,
            path_prefix: "lake/events".to_owned(),
            keep_raw: KeepRaw::default(),
            cold: Vec::new(),
        }
    }
}

/// What [`Lake::add`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Added {
    /// Rows taken.
    pub rows: u64,
    /// Rows of batches the table already has, which were left out.
    pub rows_already_stored: u64,
    /// Bytes of the hot set now.
    pub hot_bytes: usize,
}

/// A file that a flush finished. It never changes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileWritten {
    /// Path with [`LakeOptions::path_prefix`] before it.
    pub path: String,
    /// Lower-case hexadecimal SHA-256.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
    /// Rows; 0 for a text index and a file of the log.
    pub rows: u64,
}

/// What [`Lake::flush`] did.
#[derive(Debug, Clone, Default)]
pub struct FlushReport {
    /// Sealed batches that need no journal any more: written now, or written before a crash, or
    /// without rows.
    pub batches: Vec<u64>,
    /// Parquet files with their text indexes, and the file of the log last.
    pub files: Vec<FileWritten>,
    /// Version of the commit, if there was one.
    pub version: Option<u64>,
}

/// What [`Lake::open`] found.
#[derive(Debug, Clone, Default)]
pub struct OpenReport {
    /// Unfinished files of an interrupted flush; removed.
    pub unfinished_removed: Vec<PathBuf>,
    /// Whole Parquet files that no commit names: a crash between write and commit, or a log that
    /// lost its end. Left in place and not read, as are their text indexes; see
    /// [`Lake::remove_orphan`].
    pub orphans: Vec<PathBuf>,
}

/// Counters for screens and back-pressure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LakeStats {
    /// Bytes of the hot set.
    pub hot_bytes: usize,
    /// Rows of the hot set.
    pub hot_rows: u64,
    /// Parquet files.
    pub files: u64,
    /// Rows in Parquet files.
    pub file_rows: u64,
    /// Bytes of Parquet files.
    pub file_bytes: u64,
    /// Those of the files that lie in a cold store.
    pub cold_files: u64,
    /// Bytes of these.
    pub cold_bytes: u64,
    /// Columns of the table.
    pub columns: u64,
    /// Version of the newest commit.
    pub version: u64,
}

/// The store of events. All methods may be called from any thread; those that read or write disk
/// block, so asynchronous callers use `spawn_blocking`.
///
/// One process per directory: the owner holds the lock of the data directory.
pub struct Lake {
    pub(crate) root: PathBuf,
    pub(crate) cold: Arc<ColdStores>,
    options: LakeOptions,
    pub(crate) clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Files that left the table and may still be read.
    pub(crate) replaced: Mutex<Vec<Replaced>>,
    /// Tells files apart that are prepared at the same time.
    pub(crate) names: AtomicU64,
    /// Held during a whole flush. Taken before `state`, never after.
    pub(crate) log: Mutex<FlushState>,
    indexes: Arc<IndexCache>,
    open_report: OpenReport,
    subscribers: broadcast::Sender<EventBatch>,
}

/// What queries see. Held for moments only.
pub(crate) struct State {
    pub(crate) columns: Arc<TableColumns>,
    hot: HotSet,
    pub(crate) files: Arc<Vec<Arc<FileEntry>>>,
    /// Rows per batch in the table.
    pub(crate) stored: BTreeMap<u64, u64>,
    sealed: HashSet<u64>,
    pub(crate) version: u64,
}

pub(crate) struct FlushState {
    pub(crate) log: DeltaLog,
    last_micros: i64,
}

impl Lake {
    /// Opens the table in `directory`, or creates it. Reads the log, no data, and asks no cold store.
    pub fn open(
        directory: &Path,
        options: LakeOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Lake, LakeError> {
        let failed = |source| LakeError::Io { path: directory.to_path_buf(), source };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let root = directory.canonicalize().map_err(failed)?;
        let mut on_disk = FoundFiles::default();
        on_disk.walk(&root, &root)?;
        for path in &on_disk.unfinished {
            std::fs::remove_file(path)
                .map_err(|source| LakeError::Io { path: path.clone(), source })?;
        }
        let replayed = DeltaLog::open(&root)?;
        let local = replayed.files.iter().filter(|file| file.cold.is_none());
        let known: HashSet<&str> = local.map(|file| file.path.as_str()).collect();
        let orphans = on_disk.parquet.iter().filter(|path| !known.contains(path.as_str()));
        let open_report = OpenReport {
            orphans: orphans.map(|path| root.join(path)).collect(),
            unfinished_removed: on_disk.unfinished,
        };
        let mut stored = BTreeMap::new();
        for entry in replayed.files.iter().flat_map(|file| &file.batches) {
            *stored.entry(entry.batch).or_default() += u64::from(entry.rows);
        }
        let version = replayed.log.version();
        Ok(Lake {
            root,
            cold: Arc::new(ColdStores::new(&options.cold)?),
            state: Mutex::new(State {
                columns: Arc::new(replayed.columns),
                hot: HotSet::default(),
                files: Arc::new(replayed.files.into_iter().map(Arc::new).collect()),
                stored,
                sealed: HashSet::new(),
                version,
            }),
            replaced: Mutex::default(),
            names: AtomicU64::new(0),
            log: Mutex::new(FlushState { log: replayed.log, last_micros: clock.now().as_micros() }),
            options,
            clock,
            indexes: Arc::default(),
            open_report,
            subscribers: broadcast::Sender::new(SUBSCRIBER_LAG_MAX),
        })
    }

    /// What opening found.
    pub fn open_report(&self) -> &OpenReport {
        &self.open_report
    }

    /// Removes an orphan of [`OpenReport::orphans`] and its text index, if `journal_has` vouches for
    /// each of its batches. Returns whether it was removed.
    pub fn remove_orphan(
        &self,
        orphan: &Path,
        journal_has: impl Fn(u64) -> bool,
    ) -> Result<bool, LakeError> {
        let safe = self.may_remove_orphan(orphan, journal_has)?;
        if safe {
            let failed = |source| LakeError::Io { path: orphan.to_path_buf(), source };
            let relative = orphan.strip_prefix(&self.root).unwrap_or(orphan);
            let relative = relative.to_string_lossy();
            match self.index_is_used(orphan) {
                true => std::fs::remove_file(orphan).map_err(failed)?,
                false => remove_with_index(&self.root, &relative).map_err(failed)?,
            }
        }
        Ok(safe)
    }

    /// Whether the text index beside a local Parquet file is that of a file of the table, which may lie
    /// in a cold store.
    pub fn index_is_used(&self, parquet: &Path) -> bool {
        let relative = parquet.strip_prefix(&self.root).unwrap_or(parquet);
        self.lock().files.iter().any(|file| Path::new(&file.path) == relative)
    }

    /// Whether a file of the table lies there: one that was an orphan when the table was opened may have
    /// come back from a cold store since.
    pub fn has_local(&self, parquet: &Path) -> bool {
        let relative = parquet.strip_prefix(&self.root).unwrap_or(parquet);
        let state = self.lock();
        let mut local = state.files.iter().filter(|file| file.cold.is_none());
        local.any(|file| Path::new(&file.path) == relative)
    }

    /// Whether [`Lake::remove_orphan`] would remove it.
    pub fn may_remove_orphan(
        &self,
        orphan: &Path,
        journal_has: impl Fn(u64) -> bool,
    ) -> Result<bool, LakeError> {
        let listed = self.open_report.orphans.iter().any(|path| path == orphan);
        Ok(listed
            && !self.has_local(orphan)
            && read::batches_of_file(orphan)?
                .iter()
                .all(|entry| journal_has(entry.batch) || self.contains_batch(entry.batch)))
    }

    /// Makes events searchable, at once. Refuses while the hot set is full and a flush could make
    /// room; batches not sealed yet are always taken, because only taking them lets them be sealed
    /// (and their size is bounded where they are made). Rows of batches the table already has are left out, so
    /// the journal may replay what it likes. All of the call is taken or nothing.
    pub fn add(&self, events: Vec<EventBatch>) -> Result<Added, AddError> {
        let mut state = self.lock();
        if state.hot.bytes() >= self.options.hot_bytes_max && !state.sealed.is_empty() {
            return Err(AddError::Full { hot_bytes: state.hot.bytes(), events });
        }
        let mut added = Added::default();
        let mut columns = state.columns.clone();
        let mut fitted = Vec::new();
        for batch in &events {
            let rows = fit(&mut columns, &batch.columns)?;
            // Parts share the buffers of the whole: each is given its share of them by rows.
            let bytes_per_row = rows.get_array_memory_size().div_ceil(rows.num_rows().max(1));
            let keys = batch_numbers(&rows)?;
            for (number, part) in split_by(&rows, &keys)? {
                let number = u64::try_from(number).unwrap_or_default();
                let count = part.num_rows() as u64;
                if state.stored.contains_key(&number) {
                    added.rows_already_stored += count;
                } else if state.sealed.contains(&number) {
                    return Err(LakeError::Sealed(number).into());
                } else {
                    added.rows += count;
                    let bytes = bytes_per_row.saturating_mul(part.num_rows());
                    fitted.push((number, batch.dataset.clone(), part, bytes));
                }
            }
        }
        state.columns = columns;
        for (number, dataset, part, bytes) in fitted {
            state.hot.insert(number, &dataset, part, bytes)?;
        }
        added.hot_bytes = state.hot.bytes();
        drop(state);
        if added.rows > 0 && self.subscribers.receiver_count() > 0 {
            for batch in events {
                // Without a receiver there is nobody to tell.
                let _ = self.subscribers.send(batch);
            }
        }
        Ok(added)
    }

    /// Says that all rows of `batch` were added: the next flush may write it.
    pub fn batch_sealed(&self, batch: u64) {
        self.lock().sealed.insert(batch);
    }

    /// Writes all rows of sealed batches to Parquet and commits them together. Without `force`
    /// only when it is worth it ([`LakeOptions::flush_bytes_min`],
    /// [`LakeOptions::flush_age_max_micros`]).
    ///
    /// Order: files written, synchronised, renamed; one commit, synchronised; then the rows leave
    /// memory in the same moment as the files appear to queries. A crash before the commit leaves
    /// files nobody reads, after it the journal's replay is recognised by [`Lake::contains_batch`].
    pub fn flush(&self, force: bool) -> Result<FlushReport, LakeError> {
        let mut flushing = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let (batches, pieces, columns) = {
            let state = self.lock();
            let batches = state.sealed.clone();
            let pieces: Vec<Arc<Piece>> =
                batches.iter().flat_map(|batch| state.hot.of_batch(*batch)).collect();
            (batches, pieces, state.columns.clone())
        };
        let bytes: usize = pieces.iter().map(|piece| piece.bytes).sum();
        let age = now.as_micros().saturating_sub(flushing.last_micros);
        let due = bytes >= self.options.flush_bytes_min || age >= self.options.flush_age_max_micros;
        if batches.is_empty() || !(force || due) {
            return Ok(FlushReport::default());
        }
        flushing.last_micros = now.as_micros();
        let mut report = FlushReport::default();
        report.batches.extend(&batches);
        report.batches.sort_unstable();
        if pieces.is_empty() {
            self.lock().sealed.retain(|batch| !batches.contains(batch));
            return Ok(report);
        }
        let flush = self.new_flush_id(flushing.log.version() + 1, now.as_micros());
        let files = self.write_files(pieces, &flush)?;
        kill_point("flush", &"Renamed");
        let millis = now.as_micros().div_euclid(1_000);
        let version = match flushing.log.commit(&files, &columns, millis) {
            Ok(version) => version,
            Err(error) => {
                // Only this flush knew these files; if the commit did reach the disk after all,
                // they must stay.
                let path = self.root.join(DeltaLog::commit_path(flushing.log.version() + 1));
                if matches!(path.try_exists(), Ok(false)) {
                    for file in &files {
                        let _ = remove_with_index(&self.root, &file.path);
                    }
                }
                return Err(error);
            }
        };
        kill_point("flush", &"Committed");
        report.files.extend(files.iter().flat_map(|file| self.written(file)));
        report.files.push(self.log_file(version)?);
        report.version = Some(version);
        self.publish(files, &batches, version);
        Ok(report)
    }

    /// Part of the files' names. An orphan keeps its name, whatever the clock says.
    pub(crate) fn new_flush_id(&self, version: u64, micros: i64) -> String {
        let mut attempt = 0u64;
        loop {
            let id = format!("{version:020}-{micros:016x}-{attempt}");
            let name = format!("part-{id}.parquet");
            if !self.open_report.orphans.iter().any(|orphan| orphan.ends_with(&name)) {
                return id;
            }
            attempt += 1;
        }
    }

    fn write_files(
        &self,
        mut pieces: Vec<Arc<Piece>>,
        flush: &str,
    ) -> Result<Vec<FileEntry>, LakeError> {
        pieces.sort_by_key(|piece| piece.batch);
        let mut files: Vec<FileEntry> = Vec::new();
        for rows in files_of(&pieces)? {
            match write_file(&self.root, &rows, flush) {
                Ok(file) => files.push(file),
                Err(error) => {
                    for file in &files {
                        let _ = remove_with_index(&self.root, &file.path);
                    }
                    return Err(error);
                }
            }
        }
        Ok(files)
    }

    /// The one moment in which rows move from memory to files, for readers.
    fn publish(&self, files: Vec<FileEntry>, batches: &HashSet<u64>, version: u64) {
        let mut state = self.lock();
        for entry in files.iter().flat_map(|file| &file.batches) {
            *state.stored.entry(entry.batch).or_default() += u64::from(entry.rows);
        }
        state.hot.remove(batches);
        state.sealed.retain(|batch| !batches.contains(batch));
        Arc::make_mut(&mut state.files).extend(files.into_iter().map(Arc::new));
        state.version = version;
    }

    /// Whether all of a batch is in the table. Never true for a part of it.
    pub fn contains_batch(&self, batch: u64) -> bool {
        self.lock().stored.contains_key(&batch)
    }

    /// Rows the table has of a batch; 0 for one that is only in memory.
    pub fn stored_rows(&self, batch: u64) -> u64 {
        self.lock().stored.get(&batch).copied().unwrap_or(0)
    }

    /// Whether every row of a batch is here, and no more will come: it is in the table, or sealed in
    /// memory.
    pub fn has_whole(&self, batch: u64) -> bool {
        let state = self.lock();
        state.stored.contains_key(&batch) || state.sealed.contains(&batch)
    }

    /// The newest batch of which [`Lake::has_whole`] is true: the one with the largest number.
    pub fn newest_whole_batch(&self) -> Option<u64> {
        let state = self.lock();
        let stored = state.stored.last_key_value().map(|(batch, _)| *batch);
        stored.max(state.sealed.iter().max().copied())
    }

    /// Every batch in the table with its rows, ascending.
    pub fn stored_batches(&self) -> Vec<(u64, u64)> {
        self.lock().stored.iter().map(|(batch, rows)| (*batch, *rows)).collect()
    }

    /// The Parquet files of the table.
    pub fn files(&self) -> Vec<Arc<FileEntry>> {
        self.lock().files.to_vec()
    }

    /// Every file that belongs to the table, with the SHA-256 that the log states for Parquet
    /// files and the actual one of the log's own files. For an owner who must know after a crash
    /// which files he has not recorded yet.
    pub fn inventory(&self) -> Result<Vec<FileWritten>, LakeError> {
        let (files, newest) = {
            let state = self.lock();
            (state.files.clone(), state.version)
        };
        let mut list: Vec<_> = files.iter().flat_map(|file| self.written(file)).collect();
        for version in 0..=newest {
            list.push(self.log_file(version)?);
        }
        Ok(list)
    }

    /// One consistent picture of everything, for one query.
    pub fn events(&self) -> EventsTable {
        let state = self.lock();
        let (columns, hot, files) = (state.columns.clone(), state.hot.all(), state.files.clone());
        drop(state);
        let places = (self.root.clone(), self.cold.clone());
        EventsTable::new(places, columns, hot, files, self.indexes.clone())
    }

    /// [`Lake::events`] for a DataFusion session.
    pub fn table_provider(&self) -> Arc<dyn datafusion::datasource::TableProvider> {
        Arc::new(self.events())
    }

    /// The columns of the table, those of events only in memory too.
    pub fn columns(&self) -> Arc<TableColumns> {
        self.lock().columns.clone()
    }

    /// The records of a batch exactly as received, from memory or table, by index.
    pub fn records(&self, batch: u64) -> Result<Vec<(u32, Record)>, LakeError> {
        Ok(self.stored_batch(batch)?.records)
    }

    /// [`Lake::records`] with what they have in common.
    pub fn stored_batch(&self, batch: u64) -> Result<StoredBatch, LakeError> {
        let (pieces, files) = {
            let state = self.lock();
            (state.hot.of_batch(batch), state.files.clone())
        };
        let mut stored: Option<StoredBatch> = None;
        for piece in &pieces {
            read::collect(&mut stored, &piece.columns, batch)?;
        }
        for file in files.iter() {
            if let Some(expected) = file.rows_of(batch) {
                read::collect_from_file(&mut stored, &self.location(file), expected)?;
            }
        }
        let mut stored = stored.ok_or(LakeError::NoSuchBatch(batch))?;
        stored.records.sort_by_key(|(index, _)| *index);
        Ok(stored)
    }

    /// Hands every batch of the table to `take`, whole and ascending. The first damaged file ends it
    /// with an error that names the file.
    pub fn for_each_stored_batch<E: From<LakeError>>(
        &self,
        mut take: impl FnMut(StoredBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let files = self.lock().files.clone();
        let sources: Vec<_> = files.iter().map(|file| self.source_of(file)).collect();
        let wanted = read::Wanted::Range(0, u64::MAX);
        read::merge_batches(&self.root, &sources, &wanted, &mut take)
    }

    /// [`Lake::for_each_stored_batch`] for these batches only: files that have none of them are not
    /// opened.
    pub fn for_each_batch_among<E: From<LakeError>>(
        &self,
        batches: &BTreeSet<u64>,
        mut take: impl FnMut(StoredBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let files = self.lock().files.clone();
        let sources: Vec<_> = files.iter().map(|file| self.source_of(file)).collect();
        read::merge_batches(&self.root, &sources, &read::Wanted::Set(batches), &mut take)
    }

    /// Hands every batch of a window to `take`, whole and ascending.
    pub fn for_each_batch_of<E: From<LakeError>>(
        &self,
        window: &Window,
        mut take: impl FnMut(StoredBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let sources: Vec<_> = window.files.iter().map(|file| self.source_of(file)).collect();
        let wanted = read::Wanted::Range(window.first, window.last);
        read::merge_batches(&self.root, &sources, &wanted, &mut take)
    }

    pub(crate) fn source_of<'a>(&self, file: &'a FileEntry) -> read::Source<'a> {
        let location = self.location(file);
        read::Source { location, batches: &file.batches, order: file.order }
    }

    pub(crate) fn location(&self, file: &FileEntry) -> Location {
        Location::of(&self.root, &self.cold, file)
    }

    /// The Parquet file as errors name it: its path, or its URL where it lies in a cold store.
    pub fn name_of(&self, file: &FileEntry) -> PathBuf {
        self.location(file).name().to_path_buf()
    }

    /// The SHA-256 of a Parquet file as it is now, wherever it lies, and its size. Reads it whole.
    ///
    /// # Errors
    /// [`LakeError`], which names the file.
    pub fn digest_of(&self, file: &FileEntry) -> Result<(String, u64), LakeError> {
        self.location(file).digest()
    }

    /// New events as they are added. A receiver that falls behind by more than
    /// [`SUBSCRIBER_LAG_MAX`] is told how many it missed.
    pub fn subscribe(&self) -> broadcast::Receiver<EventBatch> {
        self.subscribers.subscribe()
    }

    /// Counters.
    pub fn stats(&self) -> LakeStats {
        let state = self.lock();
        let cold = state.files.iter().filter(|file| file.cold.is_some());
        LakeStats {
            hot_bytes: state.hot.bytes(),
            hot_rows: state.hot.rows(),
            files: state.files.len() as u64,
            file_rows: state.files.iter().map(|file| file.rows).sum(),
            file_bytes: state.files.iter().map(|file| file.bytes).sum(),
            cold_files: state.files.iter().filter(|file| file.cold.is_some()).count() as u64,
            cold_bytes: cold.map(|file| file.bytes).sum(),
            columns: state.columns.len() as u64,
            version: state.version,
        }
    }

    pub(crate) fn keep_raw(&self) -> &KeepRaw {
        &self.options.keep_raw
    }

    /// The table's directory.
    pub fn directory(&self) -> &Path {
        &self.root
    }

    /// A Parquet file of the table as reports name it, without its text index: one in a cold store by its
    /// URL.
    pub fn file_written(&self, file: &FileEntry) -> FileWritten {
        FileWritten {
            path: match &file.cold {
                None => self.reported_path(&file.path),
                Some(_) => file.place(),
            },
            sha256: file.sha256.clone(),
            bytes: file.bytes,
            rows: file.rows,
        }
    }

    /// A Parquet file and then its text index, if it has one.
    pub(crate) fn written(&self, file: &FileEntry) -> impl Iterator<Item = FileWritten> + use<> {
        let index = file.text_index.as_ref().map(|index| FileWritten {
            path: self.reported_path(&text_index_path(&file.path)),
            sha256: index.sha256.clone(),
            bytes: index.bytes,
            rows: 0,
        });
        [self.file_written(file)].into_iter().chain(index)
    }

    pub(crate) fn log_file(&self, version: u64) -> Result<FileWritten, LakeError> {
        let relative = DeltaLog::commit_path(version);
        let path = self.root.join(&relative);
        let bytes =
            std::fs::read(&path).map_err(|source| LakeError::Io { path: path.clone(), source })?;
        let digest = Sha256::digest(&bytes);
        Ok(FileWritten {
            path: self.reported_path(&relative),
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            bytes: bytes.len() as u64,
            rows: 0,
        })
    }

    pub(crate) fn reported_path(&self, relative: &str) -> String {
        match self.options.path_prefix.as_str() {
            "" => relative.to_owned(),
            prefix => format!("{prefix}/{relative}"),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held left the state as it was before or after a whole step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lake").field("root", &self.root).field("stats", &self.stats()).finish()
    }
}

/// Files below the table's directory.
#[derive(Default)]
struct FoundFiles {
    unfinished: Vec<PathBuf>,
    /// Relative to the root, parts joined by `/`.
    parquet: Vec<String>,
}

impl FoundFiles {
    fn walk(&mut self, root: &Path, directory: &Path) -> Result<(), LakeError> {
        let failed = |source| LakeError::Io { path: directory.to_path_buf(), source };
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            // Two levels of partitions and the log; the type is that of the entry, so a symbolic
            // link is never followed.
            let depth = path.strip_prefix(root).map_or(0, |path| path.components().count());
            if entry.file_type().map_err(failed)?.is_dir() {
                if depth <= 2 {
                    self.walk(root, &path)?;
                }
                continue;
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(UNFINISHED) {
                self.unfinished.push(path);
            } else if name.ends_with(".parquet") && !path.starts_with(root.join("_delta_log")) {
                let relative = path.strip_prefix(root).unwrap_or(&path);
                let parts: Vec<_> =
                    relative.components().map(|part| part.as_os_str().to_string_lossy()).collect();
                self.parquet.push(parts.join("/"));
            }
        }
        Ok(())
    }
}
