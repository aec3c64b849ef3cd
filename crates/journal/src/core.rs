//! The writer's state and what it does, without threads: requests in, outputs out. The simulated
//! disk of the tests drives exactly this code.

use crate::book::Book;
use crate::disk::Disk;
use crate::frame::Opening;
use crate::segment::{Entropy, SegmentWriter};
use crate::stage::{Stage, Staged};
use crate::stats::{Shared, add};
use crate::{JournalError, JournalOptions, JournalOutput, Receipt, SealLog};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use yagura_event::{Clock, CommittedRun, Record, StreamName, UtcMicros};
use yagura_ledger::{BatchHeader, BatchTree, LeafHasher};

/// One call of `append`, waiting.
pub(crate) struct Append {
    pub(crate) stream: StreamName,
    pub(crate) records: Vec<Record>,
    pub(crate) ack: Ack,
}

/// Where the answer to a call goes.
pub(crate) enum Ack {
    Blocking(crossbeam_channel::Sender<Result<Receipt, JournalError>>),
    Async(tokio::sync::oneshot::Sender<Result<Receipt, JournalError>>),
}

impl Ack {
    fn send(self, answer: Result<Receipt, JournalError>) {
        // A sender that no longer waits for its answer is not our trouble.
        match self {
            Ack::Blocking(sender) => drop(sender.send(answer)),
            Ack::Async(sender) => drop(sender.send(answer)),
        }
    }
}

pub(crate) struct Core {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) log: Arc<dyn SealLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: JournalOptions,
    pub(crate) shared: Arc<Shared>,
    pub(crate) segments: SegmentWriter,
    pub(crate) streams: HashMap<StreamName, Stream>,
    /// Batches that take no more records and are not sealed yet, oldest first.
    pub(crate) closing: Vec<OpenBatch>,
    /// Headers sealed durably here, not yet appended to the ledger.
    pub(crate) unlogged: Vec<BatchHeader>,
    /// Batches appended to the ledger, not yet under a checkpoint.
    pub(crate) unpublished: Vec<u64>,
    pub(crate) published_at: UtcMicros,
    pub(crate) book: Book,
    pub(crate) next_batch: u64,
    /// What the pipeline is to be told, in commit order; the caller drains it.
    pub(crate) outbox: Vec<JournalOutput>,
}

/// A stream that was active lately.
pub(crate) struct Stream {
    pub(crate) open: Option<OpenBatch>,
    pub(crate) sealed_at: UtcMicros,
    pub(crate) active_at: UtcMicros,
}

/// A batch that is not sealed.
pub(crate) struct OpenBatch {
    pub(crate) batch: u64,
    pub(crate) opening: Opening,
    pub(crate) bytes: u64,
    pub(crate) tree: BatchTree,
    pub(crate) hasher: LeafHasher,
    pub(crate) received: Option<(UtcMicros, UtcMicros)>,
    /// Places filled because their record was damaged on disk.
    pub(crate) damaged: u64,
}

impl OpenBatch {
    pub(crate) fn new(batch: u64, opening: Opening) -> Self {
        let hasher = LeafHasher::new(&opening.stream, batch, &opening.salt);
        OpenBatch {
            batch,
            opening,
            bytes: 0,
            tree: BatchTree::new(),
            hasher,
            received: None,
            damaged: 0,
        }
    }

    pub(crate) fn count(&self) -> u32 {
        // Proof: a batch has at most `BATCH_RECORDS_MAX` records.
        u32::try_from(self.tree.len()).unwrap_or(u32::MAX)
    }

    fn push(&mut self, index: u32, record: &Record) {
        self.tree.push(self.hasher.hash(index, record));
        self.bytes += record.bytes.len() as u64;
        let (first, last) = self.received.unwrap_or((record.received, record.received));
        self.received = Some((first.min(record.received), last.max(record.received)));
    }
}

impl Core {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        log: Arc<dyn SealLog>,
        clock: Arc<dyn Clock>,
        options: JournalOptions,
        entropy: Entropy,
        next_segment: u64,
    ) -> Core {
        Core {
            segments: SegmentWriter::new(disk.clone(), entropy, next_segment),
            disk,
            log,
            options,
            shared: Arc::default(),
            streams: HashMap::new(),
            closing: Vec::new(),
            unlogged: Vec::new(),
            unpublished: Vec::new(),
            published_at: clock.now(),
            clock,
            book: Book::default(),
            next_batch: 1,
            outbox: Vec::new(),
        }
    }

    /// Makes the records of all `requests` durable with one write and one `fdatasync`, then
    /// answers every sender. Batches that are complete are sealed by the same write.
    pub(crate) fn append(&mut self, requests: Vec<Append>) {
        if requests.is_empty() {
            return;
        }
        let now = self.clock.now();
        let stage = self.stage(requests, now);
        let seals = self.headers_due();
        match self.write_group(&stage.batches, &seals) {
            Ok(()) => {
                self.committed(stage, now);
                self.sealed(seals, now);
            }
            Err(error) => {
                self.shared.poisoned.store(self.segments.is_poisoned(), Relaxed);
                for (ack, count, _) in stage.receipts {
                    self.refuse(ack, count, error.clone());
                }
            }
        }
    }

    /// One group: seals, openings, records, commit.
    pub(crate) fn write_group(
        &mut self,
        batches: &[Staged],
        seals: &[(BatchHeader, String)],
    ) -> Result<(), JournalError> {
        self.begin_segment_if_due()?;
        let next_batch = self.next_batch;
        let (bytes, fsync_micros) = self.segments.write(|writer| {
            for (header, text) in seals {
                writer.seal(header.batch, text);
            }
            let mut counts = Vec::with_capacity(batches.len());
            for staged in batches {
                if staged.is_new {
                    writer.open(staged.batch, 0, &staged.opening);
                }
                for (index, record) in (staged.first_index..).zip(&staged.records) {
                    writer.record(staged.batch, index, record);
                }
                counts.push((staged.batch, staged.count()));
            }
            writer.commit(next_batch, &counts);
        })?;
        add(&self.shared.bytes, bytes);
        add(&self.shared.commits, 1);
        add(&self.shared.fsync_micros, fsync_micros);
        if let Some(segment) = self.segments.active() {
            let touched = batches.iter().map(|staged| staged.batch);
            for batch in touched.chain(seals.iter().map(|(header, _)| header.batch)) {
                self.book.mention(segment, batch);
            }
        }
        Ok(())
    }

    fn begin_segment_if_due(&mut self) -> Result<(), JournalError> {
        self.segments.check()?;
        match self.segments.is_full(self.options.segment_bytes) {
            true => self.begin_segment(),
            false => Ok(()),
        }
    }

    /// Begins a new segment, whatever the one before has room for, and deletes what can go then.
    pub(crate) fn turn(&mut self) -> Result<(), JournalError> {
        self.segments.check()?;
        self.begin_segment()?;
        self.sweep();
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<(), JournalError> {
        let open = self.streams.values().filter_map(|stream| stream.open.as_ref());
        let mut openings: Vec<_> = open
            .chain(self.closing.iter().filter(|batch| batch.count() > 0))
            .map(|batch| (batch.batch, batch.count(), &batch.opening))
            .collect();
        openings.sort_unstable_by_key(|(batch, _, _)| *batch);
        let mentioned: Vec<u64> = openings.iter().map(|(batch, _, _)| *batch).collect();
        let number = self.segments.begin(self.next_batch, &openings)?;
        self.book.add_segment(number);
        for batch in mentioned {
            self.book.mention(number, batch);
        }
        self.shared.segments.store(self.book.segments() as u64, Relaxed);
        Ok(())
    }

    /// What follows a durable group: counts, answers, hashes, runs, in this order, so that
    /// senders wait for the disk only.
    fn committed(&mut self, stage: Stage, now: UtcMicros) {
        for staged in &stage.batches {
            self.count_records(&staged.opening.stream, staged.records.len() as u64);
        }
        for (ack, count, receipt) in stage.receipts {
            add(&self.shared.committed, count);
            ack.send(Ok(receipt));
        }
        for staged in stage.batches {
            self.extend(staged, now);
        }
    }

    fn extend(&mut self, staged: Staged, now: UtcMicros) {
        let name = &staged.opening.stream;
        let stream = self.streams.entry(name.clone()).or_insert_with(|| Stream {
            open: None,
            sealed_at: now,
            active_at: now,
        });
        stream.active_at = now;
        if staged.is_new {
            stream.open = Some(OpenBatch::new(staged.batch, staged.opening.clone()));
        }
        if let Some(open) = &mut stream.open {
            for (index, record) in (staged.first_index..).zip(&staged.records) {
                open.push(index, record);
            }
        }
        if staged.is_full {
            self.closing.extend(stream.open.take());
        }
        if !staged.records.is_empty() {
            self.outbox.push(JournalOutput::Run(CommittedRun {
                stream: staged.opening.stream,
                batch: staged.batch,
                batch_salt: staged.opening.salt,
                first_index: staged.first_index,
                records: staged.records,
            }));
        }
    }

    /// Adds to the records ever committed of a stream.
    pub(crate) fn count_records(&self, stream: &StreamName, amount: u64) {
        let mut counts = self.shared.counts();
        match counts.get_mut(stream) {
            Some(count) => *count += amount,
            None => {
                counts.insert(stream.clone(), self.log.stream_count(stream) + amount);
            }
        }
    }

    pub(crate) fn take_batch_number(&mut self) -> u64 {
        let batch = self.next_batch;
        self.next_batch += 1;
        batch
    }

    pub(crate) fn refuse(&self, ack: Ack, count: u64, error: JournalError) {
        add(&self.shared.rejected, count);
        ack.send(Err(error));
    }

    /// Notes that the records of these batches are stored durably elsewhere, and deletes every
    /// segment that is no longer needed.
    pub(crate) fn retire(&mut self, batches: &[u64]) {
        for &batch in batches {
            self.book.retired(batch);
        }
        self.sweep();
    }

    /// Deletes the oldest segments that nobody needs.
    ///
    /// The directory is made durable after each: were two deletions to reach the disk in the
    /// wrong order, a crash between them would leave a gap, which means foul play.
    pub(crate) fn sweep(&mut self) {
        while let Some(number) = self.book.deletable().filter(|_| !self.options.retain_all) {
            let name = crate::catalog::segment_name(number);
            if let Err(error) = self.disk.remove(&name).and_then(|()| self.disk.sync_dir()) {
                tracing::warn!(segment = name, %error, "cannot delete a segment, trying again later");
                return;
            }
            self.book.deleted(number);
        }
        self.shared.segments.store(self.book.segments() as u64, Relaxed);
    }
}

/// Whether `limit` has passed since `since`. A clock that went backwards counts as passed: what
/// waits for it must not wait for ever.
pub(crate) fn has_passed(since: UtcMicros, now: UtcMicros, limit: Duration) -> bool {
    let elapsed = now.as_micros().checked_sub(since.as_micros());
    elapsed
        .and_then(|micros| u64::try_from(micros).ok())
        .is_none_or(|micros| Duration::from_micros(micros) >= limit)
}
