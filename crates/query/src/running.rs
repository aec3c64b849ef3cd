//! A search under way: how far it is, and the means to end it.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use yagura_lake::{ScanProgress, ScanWatch};

/// What a search is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Others run; it waits for its turn.
    Waiting,
    /// It is found out what must be read.
    Planning,
    /// It reads and computes.
    Running,
    /// It has ended, in whatever way.
    Ended,
}

impl Phase {
    /// The word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Waiting => "waiting",
            Phase::Planning => "planning",
            Phase::Running => "running",
            Phase::Ended => "ended",
        }
    }
}

/// How far a search is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// How far its scans of files are.
    pub scanned: ScanProgress,
    /// Rows of the answer so far.
    pub found: u64,
    /// Since it was asked.
    pub elapsed: Duration,
    /// Whether somebody wants it to end.
    pub cancelled: bool,
}

/// The hand on one search, from before it starts: give it to [`crate::SearchRequest::running`]. Cheap to
/// clone; all clones are the same search.
#[derive(Debug, Clone)]
pub struct Running(Arc<State>);

#[derive(Debug)]
struct State {
    asked: Instant,
    phase: AtomicU8,
    scans: OnceLock<ScanWatch>,
    found: AtomicU64,
    cancel: watch::Sender<bool>,
}

impl Default for Running {
    fn default() -> Self {
        Running::new()
    }
}

impl Running {
    /// Of a search that has not begun.
    pub fn new() -> Self {
        Running(Arc::new(State {
            asked: Instant::now(),
            phase: AtomicU8::new(0),
            scans: OnceLock::new(),
            found: AtomicU64::new(0),
            cancel: watch::Sender::new(false),
        }))
    }

    /// Ends the search: it answers [`crate::QueryError::Cancelled`] as soon as the row group that is being
    /// decoded lets go. One that has ended stays as it is.
    pub fn cancel(&self) {
        self.0.cancel.send_replace(true);
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let phase = match self.0.phase.load(Ordering::Acquire) {
            0 => Phase::Waiting,
            1 => Phase::Planning,
            2 => Phase::Running,
            _ => Phase::Ended,
        };
        Progress {
            phase,
            scanned: self.0.scans.get().map(ScanWatch::progress).unwrap_or_default(),
            found: self.0.found.load(Ordering::Relaxed),
            elapsed: self.0.asked.elapsed(),
            cancelled: *self.0.cancel.borrow(),
        }
    }

    /// Resolves when somebody wants it to end.
    pub(crate) async fn cancelled(&self) {
        // Proof that it does not fail: the sender lives as long as `self`.
        let _ = self.0.cancel.subscribe().wait_for(|cancelled| *cancelled).await;
    }

    pub(crate) fn enter(&self, phase: Phase) {
        let number = match phase {
            Phase::Waiting => 0,
            Phase::Planning => 1,
            Phase::Running => 2,
            Phase::Ended => 3,
        };
        self.0.phase.store(number, Ordering::Release);
    }

    pub(crate) fn scans(&self, scans: ScanWatch) {
        // Set once: a search has one table.
        let _ = self.0.scans.set(scans);
    }

    pub(crate) fn found(&self, rows: usize) {
        self.0.found.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

/// Says that the search has ended when it is dropped, however that comes.
pub(crate) struct Ending(pub(crate) Running);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.enter(Phase::Ended);
    }
}
