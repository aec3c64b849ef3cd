use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use yagura_event::StreamName;

/// Counters since the journal was opened. `received = committed + rejected + in flight`, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalStats {
    /// Records handed to any of the appending calls.
    pub received: u64,
    /// Records made durable and acknowledged.
    pub committed: u64,
    /// Records refused with an error.
    pub rejected: u64,
    /// Bytes written to segments.
    pub bytes: u64,
    /// Groups written.
    pub commits: u64,
    /// Microseconds spent in `fdatasync`.
    pub fsync_micros: u64,
    /// Batches sealed, heartbeats included.
    pub sealed: u64,
    /// Times the ledger did not accept a header or publish; each is tried again.
    pub ledger_failures: u64,
    /// Segment files at present.
    pub segments: u64,
    /// Raw bytes waiting in the queue at present.
    pub queued_bytes: u64,
    /// Whether a write or `fdatasync` failed: every call is refused until the process restarts.
    pub poisoned: bool,
}

/// What the writer and the handles share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) received: AtomicU64,
    pub(crate) committed: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) fsync_micros: AtomicU64,
    pub(crate) sealed: AtomicU64,
    pub(crate) ledger_failures: AtomicU64,
    pub(crate) segments: AtomicU64,
    pub(crate) poisoned: AtomicBool,
    /// Records ever committed, for the streams that are active; others are asked of the ledger.
    counts: Mutex<HashMap<StreamName, u64>>,
}

impl Shared {
    pub(crate) fn counts(&self) -> MutexGuard<'_, HashMap<StreamName, u64>> {
        // The map is whole after every statement, so a panic elsewhere cannot have broken it.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self, queued_bytes: usize) -> JournalStats {
        // Outcomes first: a record counted as committed is then counted as received, too.
        let committed = self.committed.load(Relaxed);
        let rejected = self.rejected.load(Relaxed);
        JournalStats {
            received: self.received.load(Relaxed),
            committed,
            rejected,
            bytes: self.bytes.load(Relaxed),
            commits: self.commits.load(Relaxed),
            fsync_micros: self.fsync_micros.load(Relaxed),
            sealed: self.sealed.load(Relaxed),
            ledger_failures: self.ledger_failures.load(Relaxed),
            segments: self.segments.load(Relaxed),
            queued_bytes: queued_bytes as u64,
            poisoned: self.poisoned.load(Relaxed),
        }
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Relaxed);
}
