use super::tcp::LAST_WAIT;
use super::{IDENTITY, SyslogCounters, deliver, peer_name, stream};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_RECORDS_MAX, READ_BYTES, SYSLOG_FRAME_BYTES_DEFAULT,
    UDP_BATCHES_WAITING_MAX, UDP_PEERS_REMEMBERED_MAX, UDP_RECEIVE_BUFFER_BYTES,
};
use crate::{RecordSink, StopSignal};
use bytes::Bytes;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use yagura_event::{Clock, Record, Transport};

/// Settings of [`serve_udp`].
#[derive(Debug, Clone)]
pub struct UdpOptions {
    /// Longest datagram kept whole, in bytes (a datagram has at most 65,527).
    pub frame_bytes_max: usize,
    /// Receive buffer asked of the kernel, in bytes; the kernel may grant less.
    pub receive_buffer_bytes: usize,
}

impl Default for UdpOptions {
    fn default() -> Self {
        UdpOptions {
            frame_bytes_max: SYSLOG_FRAME_BYTES_DEFAULT,
            receive_buffer_bytes: UDP_RECEIVE_BUFFER_BYTES,
        }
    }
}

/// How often the kernel is asked how many datagrams it dropped.
const DROPS_INTERVAL: Duration = Duration::from_secs(1);

/// Pause after a failed receive.
const RECEIVE_PAUSE: Duration = Duration::from_millis(10);

/// Batches read once we are stopping, so that an endless sender cannot keep us.
const LAST_READS_MAX: usize = 64;

/// Receives syslog over UDP until `stop`: each datagram is one record, exactly as it came. Then
/// takes what has already arrived, delivers it and returns.
///
/// Reading never waits for the sink until [`UDP_BATCHES_WAITING_MAX`] batches are waiting; then the
/// kernel's buffer fills, and what the kernel drops is counted.
pub async fn serve_udp<S: RecordSink>(
    socket: UdpSocket,
    sink: S,
    clock: Arc<dyn Clock>,
    options: UdpOptions,
    counters: Arc<SyslogCounters>,
    stop: StopSignal,
) {
    enlarge_buffer(&socket, &options, &counters);
    let (waiting, ready) = mpsc::channel(UDP_BATCHES_WAITING_MAX);
    let writer = tokio::spawn(write(ready, sink, counters.clone(), stop.clone()));
    let drops = tokio::spawn(watch_drops(Drops::of(&socket), counters.clone(), stop.clone()));
    let frame_bytes_max = options.frame_bytes_max.max(1);
    let mut reader = Reader {
        socket,
        clock,
        frame_bytes_max,
        counters,
        peers: HashMap::new(),
        buffer: vec![0; READ_BYTES],
    };
    reader.run(waiting, stop).await;
    // Both end by themselves: the writer when the queue closes, the other at the stop signal.
    let _ = tokio::join!(writer, drops);
}

struct Reader {
    socket: UdpSocket,
    clock: Arc<dyn Clock>,
    frame_bytes_max: usize,
    counters: Arc<SyslogCounters>,
    peers: HashMap<SocketAddr, Arc<str>>,
    buffer: Vec<u8>,
}

impl Reader {
    async fn run(&mut self, waiting: mpsc::Sender<Vec<Record>>, mut stop: StopSignal) {
        loop {
            let readable = tokio::select! {
                biased;
                () = stop.stopped() => break,
                readable = self.socket.readable() => readable,
            };
            if readable.is_err() {
                self.counters.receive_errors.add(1);
                tokio::time::sleep(RECEIVE_PAUSE).await;
            }
            let records = self.read_available();
            if !records.is_empty() && waiting.send(records).await.is_err() {
                return;
            }
        }
        for _ in 0..LAST_READS_MAX {
            let Ok(Ok(())) = tokio::time::timeout(LAST_WAIT, self.socket.readable()).await else {
                return;
            };
            let records = self.read_available();
            if !records.is_empty() && waiting.send(records).await.is_err() {
                return;
            }
        }
    }

    /// Takes what the kernel holds, up to one batch.
    fn read_available(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        let mut batch_bytes = 0;
        while records.len() < BATCH_RECORDS_MAX && batch_bytes < BATCH_BYTES_MAX {
            match self.socket.try_recv_from(&mut self.buffer) {
                Ok((length, peer)) => {
                    batch_bytes += length;
                    self.counters.datagrams.add(1);
                    self.counters.bytes.add(length as u64);
                    records.extend(self.record(length, peer));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return records,
                Err(_) => {
                    // Such as an ICMP error that belongs to nobody here; the next receive is fine.
                    self.counters.receive_errors.add(1);
                    return records;
                }
            }
        }
        records
    }

    fn record(&mut self, length: usize, peer: SocketAddr) -> Option<Record> {
        if length == 0 {
            self.counters.blank.add(1);
            return None;
        }
        let kept = length.min(self.frame_bytes_max);
        if kept < length {
            self.counters.cut.add(1);
            self.counters.cut_bytes.add((length - kept) as u64);
        }
        Some(Record {
            received: self.clock.now(),
            transport: Transport::SyslogUdp,
            peer: self.peer(peer),
            identity: IDENTITY.into(),
            bytes: Bytes::copy_from_slice(&self.buffer[..kept]),
        })
    }

    fn peer(&mut self, peer: SocketAddr) -> Arc<str> {
        if let Some(name) = self.peers.get(&peer) {
            return name.clone();
        }
        if self.peers.len() >= UDP_PEERS_REMEMBERED_MAX {
            self.peers.clear();
        }
        self.peers.entry(peer).or_insert_with(|| peer_name(peer)).clone()
    }
}

/// Delivers batches in order, several at once when they are small.
async fn write<S: RecordSink>(
    mut ready: mpsc::Receiver<Vec<Record>>,
    sink: S,
    counters: Arc<SyslogCounters>,
    mut stop: StopSignal,
) {
    let stream = stream();
    while let Some(mut records) = ready.recv().await {
        let mut bytes = payload(&records);
        while records.len() < BATCH_RECORDS_MAX && bytes < BATCH_BYTES_MAX {
            let Ok(more) = ready.try_recv() else { break };
            bytes += payload(&more);
            records.extend(more);
        }
        // A failure is already counted and told. Once the sink has closed, every later batch
        // fails the same way and is counted too: a datagram has no sender to push back.
        let _ = deliver(&sink, &stream, records, &counters, &mut stop).await;
    }
}

fn payload(records: &[Record]) -> usize {
    records.iter().map(|record| record.bytes.len()).sum()
}

/// Asks for a large receive buffer: first past the system's limit, which needs a privilege, then
/// within it.
fn enlarge_buffer(socket: &UdpSocket, options: &UdpOptions, counters: &SyslogCounters) {
    use rustix::net::sockopt;
    let wanted = options.receive_buffer_bytes;
    #[cfg(target_os = "linux")]
    let forced = sockopt::set_socket_recv_buffer_size_force(socket, wanted).is_ok();
    #[cfg(not(target_os = "linux"))]
    let forced = false;
    if !forced && let Err(error) = sockopt::set_socket_recv_buffer_size(socket, wanted) {
        tracing::warn!(%error, wanted, "cannot enlarge the UDP receive buffer");
    }
    if let Ok(granted) = sockopt::socket_recv_buffer_size(socket) {
        counters.udp_receive_buffer_bytes.set(granted as u64);
    }
}

/// Where the kernel says how many datagrams of a socket it dropped: `/proc/net/udp` and
/// `/proc/net/udp6` (proc(5)), one line per socket, known by its inode.
struct Drops {
    table: &'static str,
    inode: u64,
}

impl Drops {
    fn of(socket: &UdpSocket) -> Option<Drops> {
        let v6 = socket.local_addr().ok()?.is_ipv6();
        let inode = rustix::fs::fstat(socket).ok()?.st_ino;
        Some(Drops { table: if v6 { "/proc/net/udp6" } else { "/proc/net/udp" }, inode })
    }

    async fn read(&self) -> Option<u64> {
        let table = tokio::fs::read_to_string(self.table).await.ok()?;
        drops_in(&table, self.inode)
    }
}

/// The last column of the line whose tenth column is `inode`.
fn drops_in(table: &str, inode: u64) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(9);
        let same = columns.next()?.parse() == Ok(inode);
        if same { columns.last()?.parse().ok() } else { None }
    })
}

async fn watch_drops(drops: Option<Drops>, counters: Arc<SyslogCounters>, mut stop: StopSignal) {
    let Some(drops) = drops else { return };
    loop {
        if let Some(count) = drops.read().await {
            counters.datagrams_dropped_by_kernel.set(count);
        }
        tokio::select! {
            () = stop.stopped() => return,
            () = tokio::time::sleep(DROPS_INTERVAL) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_read_by_inode() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
            uid  timeout inode ref pointer drops\n  \
            411: 0100007F:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        \
            0 3115 2 00000000d3a7e1b5 17\n  \
            512: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        \
            0 3116 2 00000000d3a7e1b6 0\n";
        assert_eq!(drops_in(table, 3115), Some(17));
        assert_eq!(drops_in(table, 3116), Some(0));
        assert_eq!(drops_in(table, 3117), None);
        assert_eq!(drops_in("", 1), None);
    }
}
