//! Syslog receivers: RFC 5424 messages, octet-counted over TCP (RFC 6587) and TLS (RFC 5425), or one a
//! datagram (RFC 5426).
//!
//! Syslog acknowledges nothing. Over TCP and TLS a message counts as settled when the connection took it
//! and was still open afterwards; what the network held when a receiver died is lost. Over UDP any may be.

use crate::ForwardError;
use crate::limits::{DATAGRAM_BYTES_MAX, TIMEOUT_SECONDS};
use crate::settings::Settings;
use crate::target::{Later, Sent};
use crate::{address, tls};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

pub(crate) struct Syslog {
    way: Way,
    host: String,
    port: u16,
    receiver: String,
    allow_private: bool,
    tls: Option<TlsConnector>,
    stream: Option<Box<dyn Stream>>,
    socket: Option<UdpSocket>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Tcp,
    Tls,
    Udp,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Syslog {
    pub(crate) fn new(settings: &Settings) -> Result<Syslog, ForwardError> {
        let wrong = || {
            settings.refuse(
                "url: write tcp://host:port, tls://host:port or udp://host:port",
                "url: tcp://ホスト:ポート、tls://、udp:// のどれかで書いてください",
            )
        };
        let (scheme, place) = settings.url.trim().split_once("://").ok_or_else(wrong)?;
        let way = match scheme {
            "tcp" => Way::Tcp,
            "tls" => Way::Tls,
            "udp" => Way::Udp,
            _ => return Err(wrong()),
        };
        let (host, port) = place.trim_end_matches('/').rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(wrong());
        }
        if settings.token_file.is_some() {
            return Err(settings.refuse(
                "syslog knows no tokens: leave token_file out",
                "syslog にトークンはありません。token_file を外してください",
            ));
        }
        let tls = tls::client(settings, way == Way::Tls)?.map(TlsConnector::from);
        let receiver = format!("{scheme}://{host}:{port}");
        let allow_private = settings.allow_private;
        Ok(Syslog { way, host, port, receiver, allow_private, tls, stream: None, socket: None })
    }

    pub(crate) fn receiver(&self) -> &str {
        &self.receiver
    }

    pub(crate) async fn send(&mut self, messages: &[Vec<u8>]) -> Result<Sent, Later> {
        let limit = Duration::from_secs(TIMEOUT_SECONDS);
        let sent = match self.way {
            Way::Udp => tokio::time::timeout(limit, self.datagrams(messages)).await,
            _ => tokio::time::timeout(limit, self.frames(messages)).await,
        };
        let sent = sent.unwrap_or_else(|_| {
            Err(Later::new(
                format!("it took nothing within {TIMEOUT_SECONDS} seconds"),
                format!("{TIMEOUT_SECONDS}秒以内に受け取られませんでした"),
            ))
        });
        if sent.is_err() {
            // What part of it was taken is not known: the next attempt begins anew.
            (self.stream, self.socket) = (None, None);
        }
        sent
    }

    async fn frames(&mut self, messages: &[Vec<u8>]) -> Result<Sent, Later> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        // A receiver that closed since says so only when asked; it says nothing else.
        still_open(&mut stream).await?;
        let mut bytes = Vec::new();
        for message in messages {
            bytes.extend_from_slice(format!("{} ", message.len()).as_bytes());
            bytes.extend_from_slice(message);
        }
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        still_open(&mut stream).await?;
        self.stream = Some(stream);
        Ok(Sent::Taken(Vec::new()))
    }

    async fn connect(&mut self) -> Result<Box<dyn Stream>, Later> {
        let addresses = address::checked(&self.host, self.port, self.allow_private).await?;
        let stream = TcpStream::connect(&addresses[..]).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name =
            ServerName::try_from(self.host.clone()).map_err(|e| Later::quoted(e.to_string()))?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }

    async fn datagrams(&mut self, messages: &[Vec<u8>]) -> Result<Sent, Later> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let addresses = address::checked(&self.host, self.port, self.allow_private).await?;
                let Some(address) = addresses.first() else {
                    return Err(Later::new(
                        "it has no address",
                        "受信側のアドレスが見つかりません",
                    ));
                };
                let own = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(own).await?;
                socket.connect(address).await?;
                socket
            }
        };
        let mut refused = Vec::new();
        for (at, message) in messages.iter().enumerate() {
            if message.len() > DATAGRAM_BYTES_MAX {
                let bytes = message.len();
                refused.push((at, format!("{bytes} bytes are more than a datagram has room for")));
                continue;
            }
            match socket.send(message).await {
                Ok(_) => {}
                Err(error) if at == 0 => return Err(error.into()),
                Err(_) => return Ok(Sent::Partly(at, refused)),
            }
        }
        self.socket = Some(socket);
        Ok(Sent::Taken(refused))
    }
}

/// Whether the other side has not closed. Reads without waiting; what it says is of no use.
async fn still_open(stream: &mut Box<dyn Stream>) -> Result<(), Later> {
    let mut ignored = [0; 1024];
    let mut closed = false;
    std::future::poll_fn(|context| {
        let mut buffer = tokio::io::ReadBuf::new(&mut ignored);
        let polled = std::pin::Pin::new(&mut **stream).poll_read(context, &mut buffer);
        closed = match polled {
            std::task::Poll::Ready(Ok(())) => buffer.filled().is_empty(),
            std::task::Poll::Ready(Err(_)) => true,
            std::task::Poll::Pending => false,
        };
        std::task::Poll::Ready(())
    })
    .await;
    match closed {
        true => Err(Later::new("it closed the connection", "受信側が接続を閉じました")),
        false => Ok(()),
    }
}
