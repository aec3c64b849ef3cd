use crate::core::{Ack, Append};
use crate::disk::RealDisk;
use crate::frame::fits_a_frame;
use crate::limits::{APPEND_BYTES_MAX, APPEND_RECORDS_MAX};
use crate::queue::{Queue, Request};
use crate::recover::{RecoveryReport, recover};
use crate::segment::system_entropy;
use crate::stats::{Shared, add};
use crate::writer::Writer;
use crate::{DirLock, JournalError, JournalOptions, JournalStats, SealLog};
use crossbeam_channel::{Receiver, Sender};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use yagura_event::{Clock, CommittedRun, EventId, Record, StreamName};
use yagura_ledger::BatchHeader;

/// What the journal tells the pipeline, in commit order; after a restart first everything that it
/// still holds.
#[derive(Debug, Clone)]
pub enum JournalOutput {
    /// Records that became durable.
    Run(CommittedRun),
    /// A batch whose header is in the ledger: it may be stored, and then retired.
    Sealed(BatchHeader),
    /// Once, after everything that the journal still held when it was opened.
    Replayed,
    /// Everything of before a [`Journal::mark`] was told: answer when it is worked off.
    Mark(Sender<()>),
}

/// Where the records of one call went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// In the order of the call; several when a batch was full in between.
    pub runs: Vec<ReceiptRun>,
}

/// Consecutive places in one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptRun {
    /// The batch.
    pub batch: u64,
    /// Index of the first record within the batch.
    pub first_index: u32,
    /// Number of records.
    pub count: u32,
}

impl Receipt {
    /// The id of every record of the call, in its order.
    pub fn event_ids(&self, stream: &StreamName) -> impl Iterator<Item = EventId> {
        self.runs.iter().flat_map(move |run| {
            (run.first_index..run.first_index + run.count).map(move |index| EventId {
                stream: stream.clone(),
                batch: run.batch,
                index,
            })
        })
    }
}

/// A durable log of records. A handle: clones share one writer thread and one directory.
///
/// The thread that drains the output channel must not wait for the journal (`append`, `seal`,
/// `close`), since the journal waits for it when it is behind; [`Journal::retire`] never waits.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    log: Arc<dyn SealLog>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The writer commits what waits and ends; batches stay open, to go on after the next start.
        self.queue.close();
    }
}

impl Journal {
    /// Opens or creates the journal in `dir`: locks it, repairs what a crash left, brings the
    /// ledger up to date, and starts the writer, which first replays to `output`.
    ///
    /// # Errors
    /// [`JournalError::Locked`], [`JournalError::Io`], [`JournalError::Ledger`], and
    /// [`JournalError::DiskFull`] when notices of lost records cannot be written.
    pub fn open<L: SealLog + 'static>(
        dir: &Path,
        options: JournalOptions,
        log: Arc<L>,
        clock: Arc<dyn Clock>,
        output: Sender<JournalOutput>,
    ) -> Result<(Journal, RecoveryReport), JournalError> {
        let created = RealDisk::create(dir);
        let disk = created.map_err(|error| JournalError::io("creating", dir, error))?;
        let lock = DirLock::acquire(&dir.join(LOCK_FILE))?;
        let log: Arc<dyn SealLog> = log;
        let queue = Arc::new(Queue::new(options.queue_bytes));
        let recovered = recover(Arc::new(disk), log.clone(), clock, options, system_entropy)?;
        let shared = recovered.core.shared.clone();
        let (report, replay) = (recovered.report, recovered.replay);
        let writer =
            Writer { core: recovered.core, queue: queue.clone(), output, lock: Some(lock) };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(replay))
            .map_err(|error| JournalError::io("starting the writer of", dir, error))?;
        let thread = Mutex::new(Some(thread));
        Ok((Journal { inner: Arc::new(Inner { queue, shared, log, thread }) }, report))
    }

    /// Makes records durable; returns after `fdatasync`. Waits while the queue is full.
    ///
    /// Not for async code; see [`Journal::append_async`].
    ///
    /// # Errors
    /// Any [`JournalError`]; then none of the records was acknowledged (a part may be found again
    /// after a crash).
    pub fn append(
        &self,
        stream: &StreamName,
        records: Vec<Record>,
    ) -> Result<Receipt, JournalError> {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let (bytes, request) = match self.admit(stream, records, Ack::Blocking(sender))? {
            Admission::Empty => return Ok(Receipt::default()),
            Admission::Request(bytes, request) => (bytes, request),
        };
        let count = count_of(&request);
        self.inner.queue.push(bytes, request).map_err(|error| self.rejected(count, error))?;
        receiver.recv().unwrap_or_else(|_| Err(self.rejected(count, JournalError::Closed)))
    }

    /// Like [`Journal::append`] without blocking the thread. Dropping the future before it is
    /// done may or may not append.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub async fn append_async(
        &self,
        stream: &StreamName,
        records: Vec<Record>,
    ) -> Result<Receipt, JournalError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (bytes, request) = match self.admit(stream, records, Ack::Async(sender))? {
            Admission::Empty => return Ok(Receipt::default()),
            Admission::Request(bytes, request) => (bytes, request),
        };
        let count = count_of(&request);
        let pushed = self.inner.queue.push_async(bytes, request).await;
        pushed.map_err(|error| self.rejected(count, error))?;
        receiver.await.unwrap_or_else(|_| Err(self.rejected(count, JournalError::Closed)))
    }

    /// Like [`Journal::append_async`], but fails with [`JournalError::Full`] at once when there is
    /// no room, for senders that are to be told to come again.
    ///
    /// # Errors
    /// As [`Journal::append`], and [`JournalError::Full`].
    pub async fn try_append_async(
        &self,
        stream: &StreamName,
        records: Vec<Record>,
    ) -> Result<Receipt, JournalError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (bytes, request) = match self.admit(stream, records, Ack::Async(sender))? {
            Admission::Empty => return Ok(Receipt::default()),
            Admission::Request(bytes, request) => (bytes, request),
        };
        let count = count_of(&request);
        let pushed = self.inner.queue.try_push(bytes, request);
        pushed.map_err(|(error, _)| self.rejected(count, error))?;
        receiver.await.unwrap_or_else(|_| Err(self.rejected(count, JournalError::Closed)))
    }

    /// Seals the open batch of a stream now and publishes a checkpoint over it.
    ///
    /// # Errors
    /// When the seal cannot be written or the ledger refuses it; it is tried again by itself.
    pub fn seal(&self, stream: &StreamName) -> Result<(), JournalError> {
        self.control(|answer| Request::Seal(Some(stream.clone()), answer))
    }

    /// [`Journal::seal`] for every stream.
    ///
    /// # Errors
    /// As [`Journal::seal`].
    pub fn seal_all(&self) -> Result<(), JournalError> {
        self.control(|answer| Request::Seal(None, answer))
    }

    /// Begins a new segment, so that the ones before it are deleted once every batch in them is retired:
    /// the newest segment never is. Batches that are open go on in the new one.
    ///
    /// # Errors
    /// When the disk refuses, or the journal is closed.
    pub fn turn(&self) -> Result<(), JournalError> {
        self.control(Request::Turn)
    }

    /// Asks whoever reads the output to say when it has worked off all that was told before. What is
    /// returned hears it, or is disconnected when nobody reads any more.
    ///
    /// # Errors
    /// When the journal is closed.
    pub fn mark(&self) -> Result<Receiver<()>, JournalError> {
        let (told, heard) = crossbeam_channel::bounded(1);
        self.control(|answer| Request::Mark(told, answer))?;
        Ok(heard)
    }

    /// Records of a stream ever committed, sealed or not.
    pub fn stream_records(&self, stream: &StreamName) -> u64 {
        let active = self.inner.shared.counts().get(stream).copied();
        active.unwrap_or_else(|| self.inner.log.stream_count(stream))
    }

    /// Says that these batches are stored durably elsewhere. Segments of which every batch is
    /// retired and published are deleted, soon, oldest first. Returns at once.
    pub fn retire(&self, batches: &[u64]) {
        self.inner.queue.retire(batches);
    }

    /// The counters.
    pub fn stats(&self) -> JournalStats {
        self.inner.shared.stats(self.inner.queue.bytes())
    }

    /// Commits what waits, seals everything, publishes, stops the writer and unlocks the directory.
    /// Later calls fail with [`JournalError::Closed`].
    ///
    /// # Errors
    /// When the last seals could not be made; the next start makes them.
    pub fn close(&self) -> Result<(), JournalError> {
        let outcome = self.control(Request::Close);
        let thread = self.inner.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(_)) = thread.map(JoinHandle::join) {
            tracing::error!("the journal's writer panicked");
        }
        outcome
    }

    fn control(
        &self,
        request: impl FnOnce(Sender<Result<(), JournalError>>) -> Request,
    ) -> Result<(), JournalError> {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        self.inner.queue.push(0, request(sender))?;
        receiver.recv().unwrap_or(Err(JournalError::Closed))
    }

    /// Counts the records and checks their limits.
    fn admit(
        &self,
        stream: &StreamName,
        records: Vec<Record>,
        ack: Ack,
    ) -> Result<Admission, JournalError> {
        let count = records.len();
        add(&self.inner.shared.received, count as u64);
        let bytes: usize = records.iter().map(|record| record.bytes.len()).sum();
        let refused = if count > APPEND_RECORDS_MAX || bytes > APPEND_BYTES_MAX {
            Some(JournalError::AppendTooLarge { records: count, bytes })
        } else {
            let too_long = records.iter().position(|record| !fits_a_frame(record));
            too_long.map(|position| JournalError::RecordTooLarge { position })
        };
        if let Some(error) = refused {
            return Err(self.rejected(count as u64, error));
        }
        if records.is_empty() {
            return Ok(Admission::Empty);
        }
        // What a record weighs in memory besides its bytes counts, too.
        let weight = bytes + count * size_of::<Record>();
        let request = Request::Append(Append { stream: stream.clone(), records, ack });
        Ok(Admission::Request(weight, request))
    }

    fn rejected(&self, count: u64, error: JournalError) -> JournalError {
        add(&self.inner.shared.rejected, count);
        error
    }
}

enum Admission {
    Empty,
    Request(usize, Request),
}

fn count_of(request: &Request) -> u64 {
    match request {
        Request::Append(append) => append.records.len() as u64,
        Request::Seal(..) | Request::Turn(_) | Request::Mark(..) | Request::Close(_) => 0,
    }
}

/// Name of the lock file in the directory.
pub(crate) const LOCK_FILE: &str = "LOCK";
