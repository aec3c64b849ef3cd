use crate::JournalError;
use crate::core::Append;
use crate::limits::{GROUP_BYTES_MAX, GROUP_REQUESTS_MAX, QUEUE_REQUESTS_MAX};
use crossbeam_channel::Sender;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use yagura_event::StreamName;

/// What the writer is asked to do.
pub(crate) enum Request {
    Append(Append),
    /// Seal one stream's batch, or all.
    Seal(Option<StreamName>, Sender<Result<(), JournalError>>),
    /// Begin a new segment, so that the ones before it can go.
    Turn(Sender<Result<(), JournalError>>),
    /// Pass a mark to the output.
    Mark(Sender<()>, Sender<Result<(), JournalError>>),
    /// Seal everything and stop.
    Close(Sender<Result<(), JournalError>>),
}

/// Where senders wait for the writer: bounded by raw bytes and by calls.
pub(crate) struct Queue {
    limit_bytes: usize,
    inner: Mutex<Inner>,
    /// Something came, or the queue was closed.
    arrived: Condvar,
    /// Something was taken, or the queue was closed.
    room: Condvar,
    room_async: Notify,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<(usize, Request)>,
    bytes: usize,
    closed: bool,
    retired: Vec<u64>,
}

/// What the writer takes at once.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) appends: Vec<Append>,
    /// To be done after the appends.
    pub(crate) control: Option<Request>,
    pub(crate) retired: Vec<u64>,
    /// Nothing will come any more.
    pub(crate) finished: bool,
}

impl Queue {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Queue {
            limit_bytes,
            inner: Mutex::default(),
            arrived: Condvar::new(),
            room: Condvar::new(),
            room_async: Notify::new(),
        }
    }

    /// Waits for room, then enters.
    pub(crate) fn push(&self, bytes: usize, request: Request) -> Result<(), JournalError> {
        let mut inner = self.lock();
        while !inner.closed && !self.has_room(&inner, bytes) {
            inner = self.room.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        self.enter(inner, bytes, request).map_err(|_| JournalError::Closed)
    }

    /// Enters if there is room. Gives the request back with the reason otherwise.
    pub(crate) fn try_push(
        &self,
        bytes: usize,
        request: Request,
    ) -> Result<(), (JournalError, Request)> {
        let inner = self.lock();
        if !inner.closed && !self.has_room(&inner, bytes) {
            return Err((JournalError::Full, request));
        }
        self.enter(inner, bytes, request).map_err(|request| (JournalError::Closed, request))
    }

    /// Waits for room without blocking the thread, then enters.
    pub(crate) async fn push_async(
        &self,
        bytes: usize,
        mut request: Request,
    ) -> Result<(), JournalError> {
        loop {
            // Registered before the look, so that no wake-up falls between.
            let freed = self.room_async.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            match self.try_push(bytes, request) {
                Err((JournalError::Full, back)) => request = back,
                other => return other.map_err(|(error, _)| error),
            }
            freed.await;
        }
    }

    /// Takes what waits, up to one group or the next control request; at most `wait` is spent
    /// waiting for the first, and `company` for more when `busy` senders are expected.
    pub(crate) fn take(&self, wait: Duration, company: Duration, busy: usize) -> Work {
        let mut inner = self.lock();
        let idle =
            |inner: &Inner| inner.waiting.is_empty() && inner.retired.is_empty() && !inner.closed;
        if idle(&inner) {
            let waited = self.arrived.wait_timeout(inner, wait);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let until = Instant::now() + company;
        while !inner.waiting.is_empty() && inner.waiting.len() < busy && !inner.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.arrived.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut work = Work { retired: std::mem::take(&mut inner.retired), ..Work::default() };
        let mut group_bytes = 0;
        while work.appends.len() < GROUP_REQUESTS_MAX && group_bytes < GROUP_BYTES_MAX {
            let Some((bytes, request)) = inner.waiting.pop_front() else { break };
            group_bytes += bytes;
            match request {
                Request::Append(append) => work.appends.push(append),
                control => {
                    work.control = Some(control);
                    break;
                }
            }
        }
        inner.bytes -= group_bytes;
        work.finished = inner.closed && inner.waiting.is_empty();
        drop(inner);
        self.room.notify_all();
        self.room_async.notify_waiters();
        work
    }

    /// Hands over batches to retire. Never waits: the pipeline calls this while the writer may be
    /// waiting for the pipeline. Bounded by the batches that exist.
    pub(crate) fn retire(&self, batches: &[u64]) {
        self.lock().retired.extend_from_slice(batches);
        self.arrived.notify_one();
    }

    /// Refuses everything from now on; what waits is still taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
        self.room.notify_all();
        self.room_async.notify_waiters();
    }

    /// Drops what waits, so that nobody waits for an answer that will not come.
    pub(crate) fn abandon(&self) {
        self.close();
        let mut inner = self.lock();
        inner.bytes = 0;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        drop(waiting);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn enter(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        bytes: usize,
        request: Request,
    ) -> Result<(), Request> {
        if inner.closed {
            return Err(request);
        }
        inner.bytes += bytes;
        inner.waiting.push_back((bytes, request));
        drop(inner);
        self.arrived.notify_one();
        Ok(())
    }

    /// One call larger than the whole queue enters when nothing else waits.
    fn has_room(&self, inner: &Inner, bytes: usize) -> bool {
        inner.waiting.is_empty()
            || (inner.bytes + bytes <= self.limit_bytes && inner.waiting.len() < QUEUE_REQUESTS_MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The state is whole after every statement, so a panic elsewhere cannot have broken it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request::Seal(None, crossbeam_channel::bounded(1).0)
    }

    #[test]
    fn the_queue_is_full_by_bytes_and_by_calls() {
        let queue = Queue::new(100);
        assert!(queue.try_push(101, request()).is_ok(), "one call always enters an empty queue");
        assert!(matches!(queue.try_push(0, request()), Err((JournalError::Full, _))));
        queue.take(Duration::ZERO, Duration::ZERO, 0);
        assert!(queue.try_push(60, request()).is_ok());
        assert!(queue.try_push(40, request()).is_ok());
        assert!(matches!(queue.try_push(1, request()), Err((JournalError::Full, _))));

        let queue = Queue::new(100);
        for _ in 0..QUEUE_REQUESTS_MAX {
            assert!(queue.try_push(0, request()).is_ok());
        }
        assert!(matches!(queue.try_push(0, request()), Err((JournalError::Full, _))));
        queue.close();
        assert!(matches!(queue.try_push(0, request()), Err((JournalError::Closed, _))));
    }

    #[test]
    fn a_group_ends_at_its_limits() {
        let append = || {
            let ack = crate::core::Ack::Blocking(crossbeam_channel::bounded(1).0);
            let stream = StreamName::new("s").unwrap();
            Request::Append(Append { stream, records: Vec::new(), ack })
        };
        let queue = Queue::new(usize::MAX);
        for _ in 0..=GROUP_REQUESTS_MAX {
            assert!(queue.try_push(0, append()).is_ok());
        }
        let take = || queue.take(Duration::ZERO, Duration::ZERO, 0).appends.len();
        assert_eq!((take(), take()), (GROUP_REQUESTS_MAX, 1));
        for bytes in [GROUP_BYTES_MAX - 1, 1, 1] {
            assert!(queue.try_push(bytes, append()).is_ok());
        }
        assert_eq!((take(), take()), (2, 1));
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn nobody_waits_for_a_queue_that_was_abandoned() {
        let queue = Queue::new(100);
        let (sender, receiver) = crossbeam_channel::bounded(1);
        assert!(queue.try_push(1, Request::Seal(None, sender)).is_ok());
        queue.abandon();
        assert!(receiver.recv().is_err());
        assert!(matches!(queue.push(1, request()), Err(JournalError::Closed)));
    }
}
