//! What a connection is doing, so that it can be told when it takes too long, and which one has to
//! go when there is no place left.

use crate::ServeOptions;
use crate::limits::UNREAD_TIMEOUT;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// It was silent for too long.
    Idle,
    /// Another connection needed its place.
    Displaced,
    /// The head of its request took too long.
    Head,
    /// Nobody read what we answered.
    Unread,
}

/// What one connection is doing.
#[derive(Debug)]
pub(crate) struct Activity {
    /// Its place in [`Idle`] while it has no request at work.
    ticket: AtomicU64,
    displaced: Notify,
    now: Mutex<Doing>,
}

#[derive(Debug, Clone, Copy)]
struct Doing {
    phase: Phase,
    since: Instant,
    /// Since when what we write is not taken.
    stuck: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing of a next request has come.
    Idle,
    /// The head of a request has begun.
    Head,
    /// A request is at work, or its answer is being sent.
    Busy,
}

impl Activity {
    fn now(&self) -> MutexGuard<'_, Doing> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase) {
        let mut now = self.now();
        now.phase = phase;
        now.since = Instant::now();
    }

    /// Bytes came.
    fn heard(&self) {
        let mut now = self.now();
        if now.phase == Phase::Idle {
            now.phase = Phase::Head;
            now.since = Instant::now();
        }
    }

    fn wrote(&self, taken: bool) {
        let mut now = self.now();
        now.stuck = if taken { None } else { Some(now.stuck.unwrap_or_else(Instant::now)) };
    }

    /// The instant at which it will have taken too long with what it does now, and how to say so.
    fn deadline(&self, options: &ServeOptions) -> Option<(Instant, Overdue)> {
        let Doing { phase, since, stuck } = *self.now();
        if let Some(stuck) = stuck {
            return Some((stuck + UNREAD_TIMEOUT, Overdue::Unread));
        }
        match phase {
            Phase::Idle => Some((since + options.idle_timeout, Overdue::Idle)),
            Phase::Head => Some((since + options.request_timeout, Overdue::Head)),
            Phase::Busy => None,
        }
    }

    /// Resolves when it has taken too long, or has to make room.
    pub(crate) async fn overdue(&self, options: &ServeOptions) -> Overdue {
        // A deadline may come nearer while we sleep, so we look in between.
        let glance = options.request_timeout.min(options.idle_timeout) / 4;
        loop {
            let next = Instant::now() + glance;
            let until = match self.deadline(options) {
                Some((deadline, why)) if deadline <= Instant::now() => return why,
                Some((deadline, _)) => deadline.min(next),
                None => next,
            };
            tokio::select! {
                () = self.displaced.notified() => {
                    // A request that began just now is not cut off.
                    if self.now().phase != Phase::Busy {
                        return Overdue::Displaced;
                    }
                }
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }
}

/// The connections without a request at work, in the order in which they became so.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    next: AtomicU64,
    waiting: Mutex<BTreeMap<u64, Arc<Activity>>>,
}

impl Idle {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Activity>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection; nothing has come from it yet.
    pub(crate) fn enter(&self) -> Arc<Activity> {
        let doing = Doing { phase: Phase::Idle, since: Instant::now(), stuck: None };
        let activity = Arc::new(Activity {
            ticket: AtomicU64::new(0),
            displaced: Notify::new(),
            now: Mutex::new(doing),
        });
        self.rest(&activity);
        activity
    }

    /// Its request is at work.
    pub(crate) fn busy(&self, activity: &Activity) {
        activity.set(Phase::Busy);
        self.leave(activity);
    }

    /// Its request is answered.
    pub(crate) fn rest(&self, activity: &Arc<Activity>) {
        activity.set(Phase::Idle);
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        activity.ticket.store(ticket, Ordering::Relaxed);
        self.waiting().insert(ticket, activity.clone());
    }

    /// It has ended, or is not idle any more.
    pub(crate) fn leave(&self, activity: &Activity) {
        self.waiting().remove(&activity.ticket.load(Ordering::Relaxed));
    }

    /// Asks the connection that has been without a request for longest to end; says whether there
    /// is one.
    pub(crate) fn displace_oldest(&self) -> bool {
        let oldest = self.waiting().pop_first();
        let Some((_, activity)) = oldest else { return false };
        activity.displaced.notify_one();
        true
    }
}

/// A socket that tells its [`Activity`] what happens on it.
pub(crate) struct Watched {
    socket: TcpStream,
    activity: Arc<Activity>,
}

impl Watched {
    pub(crate) fn new(socket: TcpStream, activity: Arc<Activity>) -> Self {
        Watched { socket, activity }
    }

    fn told<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.activity.wrote(written.is_ready());
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.heard();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.told(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.told(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// The body of an answer, which says when it is over, however that comes.
pub(crate) struct Answer {
    body: Body,
    ended: Option<Box<dyn FnOnce() + Send>>,
}

impl Answer {
    pub(crate) fn new(body: Body, ended: impl FnOnce() + Send + 'static) -> Self {
        Answer { body, ended: Some(Box::new(ended)) }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            ended();
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
