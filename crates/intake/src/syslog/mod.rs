//! Syslog over UDP and TCP.
//!
//! A record's bytes are one message without its framing: a datagram as it is, or what stood
//! between two line ends, or what an octet count enclosed. Whether that message is RFC 3164,
//! RFC 5424 or neither is for the normalizer to say.
//!
//! Syslog has no acknowledgement. Over TCP, records not yet durable hold back further reading, so
//! a full disk slows the sender down instead of losing lines; lines in the socket's buffers when
//! either side dies are lost all the same, which is a property of the protocol.

mod counters;
mod frame;
mod share;
mod tcp;
mod udp;

pub use counters::{SyslogCounters, SyslogCounts};
pub use frame::{Frame, FrameDecoder, Framing};
pub use tcp::{TcpOptions, serve_tcp};
pub use udp::{UdpOptions, serve_udp};

use crate::{RecordSink, SinkError, StopSignal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use yagura_event::{Record, StreamName};

/// The stream of every syslog record.
pub const STREAM: &str = "syslog";

/// The sender's identity: plain syslog authenticates nobody.
const IDENTITY: &str = "none";

/// Pause before records are offered again to a sink that refused them for now.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

fn stream() -> StreamName {
    StreamName::new(STREAM).unwrap_or_else(|error| unreachable!("a constant name: {error}"))
}

/// `address:port`, an IPv4 address written as such even when it came through an IPv6 socket.
fn peer_name(peer: SocketAddr) -> Arc<str> {
    Record::peer_text(&SocketAddr::new(peer.ip().to_canonical(), peer.port()).to_string())
}

/// Appends, offering the records again for as long as the refusal is temporary. Records are lost
/// (and counted) only when the sink has closed or when we are told to stop meanwhile.
async fn deliver<S: RecordSink>(
    sink: &S,
    stream: &StreamName,
    records: Vec<Record>,
    counters: &SyslogCounters,
    stop: &mut StopSignal,
) -> Result<(), SinkError> {
    let count = records.len() as u64;
    loop {
        let error = match sink.append(stream.clone(), records.clone()).await {
            Ok(()) => {
                counters.records.add(count);
                return Ok(());
            }
            Err(error) => error,
        };
        if error.is_temporary() {
            counters.stalls.add(1);
            tokio::select! {
                () = tokio::time::sleep(RETRY_PAUSE) => continue,
                () = stop.stopped() => {}
            }
        }
        counters.lost.add(count);
        tracing::error!(records = count, %error, "syslog records lost");
        return Err(error);
    }
}
