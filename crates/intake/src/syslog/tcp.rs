use super::share::{Share, Shared};
use super::{FrameDecoder, IDENTITY, SyslogCounters, deliver, peer_name, stream};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_RECORDS_MAX, READ_BYTES, SYSLOG_CONNECTIONS_DEFAULT,
    SYSLOG_FRAME_BYTES_DEFAULT, SYSLOG_UNFINISHED_BYTES_FREE, SYSLOG_UNFINISHED_BYTES_MAX,
};
use crate::syslog::Frame;
use crate::{RecordSink, StopSignal};
use bytes::Bytes;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use yagura_event::{Clock, Record, StreamName, Transport};

/// Settings of [`serve_tcp`].
#[derive(Debug, Clone)]
pub struct TcpOptions {
    /// Longest message kept whole, in bytes; 1 to [`crate::limits::SYSLOG_FRAME_BYTES_MAX`].
    pub frame_bytes_max: usize,
    /// Connections open at once; further ones are accepted and closed at once.
    pub connections_max: usize,
    /// Bytes that unfinished messages of all connections have together, beyond the first
    /// [`SYSLOG_UNFINISHED_BYTES_FREE`] of each; past it, what a connection holds of one is taken as
    /// it is, marked as cut.
    pub unfinished_bytes_max: usize,
    /// A connection silent for this long is closed. Long by default, because a sender may lose
    /// the next line it writes into a connection that we have closed.
    pub idle_timeout: Duration,
}

impl Default for TcpOptions {
    fn default() -> Self {
        TcpOptions {
            frame_bytes_max: SYSLOG_FRAME_BYTES_DEFAULT,
            connections_max: SYSLOG_CONNECTIONS_DEFAULT,
            unfinished_bytes_max: SYSLOG_UNFINISHED_BYTES_MAX,
            idle_timeout: Duration::from_secs(4 * 60 * 60),
        }
    }
}

/// Pause after a failed accept: with no file descriptor left, trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Reads of one connection once we are stopping, so that an endless sender cannot keep us.
const LAST_READS_MAX: usize = 64;

/// How long we look for what has arrived, once we are stopping.
pub(super) const LAST_WAIT: Duration = Duration::from_millis(20);

/// Receives syslog over TCP until `stop`; then reads what has already arrived, delivers it and
/// returns once every connection is done.
///
/// A connection reads no further while its last records are not durable. What arrives meanwhile
/// waits in the kernel's buffer and becomes the next batch, so batches grow with the load and a
/// lone line is never held back.
pub async fn serve_tcp<S: RecordSink>(
    listener: TcpListener,
    sink: S,
    clock: Arc<dyn Clock>,
    options: TcpOptions,
    counters: Arc<SyslogCounters>,
    mut stop: StopSignal,
) {
    let slots = Arc::new(Semaphore::new(options.connections_max.min(Semaphore::MAX_PERMITS)));
    let unfinished = Shared::new(options.unfinished_bytes_max, SYSLOG_UNFINISHED_BYTES_FREE);
    let server = Arc::new(Server { sink, clock, options, counters, stream: stream() });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.stopped() => break,
            accepted = listener.accept() => accepted,
            // Ended connections leave the set; without any, this branch is not waited for.
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((socket, peer)) => match slots.clone().try_acquire_owned() {
                Ok(slot) => {
                    server.counters.connections.add(1);
                    server.counters.connections_open.add(1);
                    let _ = rustix::net::sockopt::set_socket_keepalive(&socket, true);
                    let connection = Connection {
                        decoder: FrameDecoder::new(server.options.frame_bytes_max),
                        share: unfinished.share(),
                        peer: peer_name(peer),
                        server: server.clone(),
                        socket,
                    };
                    connections.spawn(connection.run(stop.clone(), slot));
                }
                Err(_) => server.counters.connections_refused.add(1),
            },
            Err(error) => {
                server.counters.accept_errors.add(1);
                tracing::warn!(%error, "cannot accept a syslog connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

struct Server<S> {
    sink: S,
    clock: Arc<dyn Clock>,
    options: TcpOptions,
    counters: Arc<SyslogCounters>,
    stream: StreamName,
}

struct Connection<S> {
    socket: TcpStream,
    decoder: FrameDecoder,
    /// Of the memory for unfinished messages.
    share: Share,
    peer: Arc<str>,
    server: Arc<Server<S>>,
}

/// Why reading paused.
enum Pause {
    /// Nothing more has arrived yet.
    Drained,
    /// The batch is full; more may be waiting.
    BatchFull,
    /// The sender closed its side, or the connection failed.
    Ended,
}

impl<S: RecordSink> Connection<S> {
    async fn run(mut self, mut stop: StopSignal, _slot: OwnedSemaphorePermit) {
        let stopping = self.receive(&mut stop).await;
        if stopping {
            self.receive_last(&mut stop).await;
        }
        if let Some(frame) = self.decoder.finish() {
            self.server.counters.unfinished.add(1);
            let record = self.record(frame);
            // A failure is already counted and told.
            let _ = self.hand_over(vec![record], &mut stop).await;
        }
        self.server.counters.connections_open.sub(1);
    }

    /// Reads until the connection ends (false) or we are to stop (true).
    async fn receive(&mut self, stop: &mut StopSignal) -> bool {
        loop {
            let readable =
                tokio::time::timeout(self.server.options.idle_timeout, self.socket.readable());
            tokio::select! {
                biased;
                () = stop.stopped() => return true,
                readable = readable => match readable {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => {
                        self.server.counters.connections_failed.add(1);
                        return false;
                    }
                    Err(_) => {
                        self.server.counters.connections_idle_closed.add(1);
                        return false;
                    }
                },
            }
            let (pause, records) = self.read_available();
            if self.hand_over(records, stop).await.is_err() || matches!(pause, Pause::Ended) {
                return false;
            }
        }
    }

    /// Reads what has arrived by now.
    async fn receive_last(&mut self, stop: &mut StopSignal) {
        for _ in 0..LAST_READS_MAX {
            let Ok(Ok(())) = tokio::time::timeout(LAST_WAIT, self.socket.readable()).await else {
                return;
            };
            let (pause, records) = self.read_available();
            let delivered = self.hand_over(records, stop).await;
            if delivered.is_err() || matches!(pause, Pause::Ended) {
                return;
            }
        }
    }

    /// Takes what the kernel holds, up to one batch.
    fn read_available(&mut self) -> (Pause, Vec<Record>) {
        let mut records = Vec::new();
        let mut frames = Vec::new();
        let mut batch_bytes = 0;
        let pause = loop {
            match read(&self.socket) {
                Ok(chunk) if chunk.is_empty() => break Pause::Ended,
                Ok(chunk) => {
                    batch_bytes += chunk.len();
                    self.server.counters.bytes.add(chunk.len() as u64);
                    self.decoder.push(&chunk, &mut frames);
                    if !self.share.resize(self.decoder.held_bytes()) {
                        frames.extend(self.decoder.cut_short());
                        self.share.resize(0);
                    }
                    records.extend(frames.drain(..).map(|frame| self.record(frame)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Pause::Drained,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.server.counters.connections_failed.add(1);
                    break Pause::Ended;
                }
            }
            if records.len() >= BATCH_RECORDS_MAX || batch_bytes >= BATCH_BYTES_MAX {
                break Pause::BatchFull;
            }
        };
        self.server.counters.cut_bytes.add(self.decoder.take_dropped_bytes());
        self.server.counters.blank.add(self.decoder.take_blank_lines());
        (pause, records)
    }

    fn record(&self, frame: Frame) -> Record {
        if frame.cut {
            self.server.counters.cut.add(1);
        }
        Record {
            received: self.server.clock.now(),
            transport: Transport::SyslogTcp,
            peer: self.peer.clone(),
            identity: IDENTITY.into(),
            bytes: frame.bytes,
        }
    }

    async fn hand_over(
        &self,
        mut records: Vec<Record>,
        stop: &mut StopSignal,
    ) -> Result<(), crate::SinkError> {
        let server = &self.server;
        while !records.is_empty() {
            let later = records.split_off(records.len().min(BATCH_RECORDS_MAX));
            deliver(&server.sink, &server.stream, records, &server.counters, stop).await?;
            records = later;
        }
        Ok(())
    }
}

/// One read into a buffer shared by all connections of a thread, so that a connection that waits
/// owns no buffer. Empty at the end of the stream.
fn read(socket: &TcpStream) -> io::Result<Bytes> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
    }
    BUFFER.with_borrow_mut(|buffer| {
        let length = socket.try_read(buffer)?;
        Ok(Bytes::copy_from_slice(&buffer[..length]))
    })
}
