use crate::certificates::Certificates;
use crate::{event, settings, target};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use yagura_forward::limits::DATAGRAM_BYTES_MAX;
use yagura_forward::{Kind, Row, Send, Settings};

/// Octet-counted messages of a connection, until so many are there.
async fn messages(stream: &mut (impl AsyncRead + Unpin), count: usize) -> Vec<Vec<u8>> {
    let (mut bytes, mut found) = (Vec::new(), Vec::new());
    while found.len() < count {
        let read = stream.read_buf(&mut bytes).await.unwrap();
        assert!(read > 0, "it ended after {}", found.len());
        while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
            let length: usize = std::str::from_utf8(&bytes[..space]).unwrap().parse().unwrap();
            let end = space + 1 + length;
            if bytes.len() < end {
                break;
            }
            found.push(bytes[space + 1..end].to_vec());
            bytes.drain(..end);
        }
    }
    assert!(bytes.is_empty());
    found
}

fn raw(url: &str) -> Settings {
    Settings { send: Send::Raw, ..settings(Kind::Syslog, url) }
}

#[tokio::test]
async fn messages_are_counted_and_a_lost_connection_is_made_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let mut target = target(&raw(&url)).unwrap();
    let events: Vec<Row> =
        vec![event(0, "<13>Nov 21 10:00:00 web01 demo: one\ntwo"), event(1, "plain, 日本語")];
    let (settled, mut stream) =
        tokio::join!(target.send_some(&events), async { listener.accept().await.unwrap().0 });
    assert_eq!(settled.unwrap().events, 2);
    let got = messages(&mut stream, 2).await;
    assert_eq!(got[0], b"<13>Nov 21 10:00:00 web01 demo: one\ntwo", "as it came");
    let second = String::from_utf8(got[1].clone()).unwrap();
    assert!(second.starts_with("<110>1 2026-11-21T01:02:03.456789Z web01 linux.auth - - [origin "));
    assert!(second.ends_with("] plain, 日本語"));

    // The receiver goes away: it is seen before anything counts as sent, and the next attempt connects anew.
    stream.shutdown().await.unwrap();
    drop(stream);
    let mut later = None;
    for _ in 0..1_000 {
        if let Err(error) = target.send_some(&events[..1]).await {
            later = Some(error);
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(later.is_some());
    let (settled, mut stream) =
        tokio::join!(target.send_some(&events), async { listener.accept().await.unwrap().0 });
    assert_eq!(settled.unwrap().events, 2);
    assert_eq!(messages(&mut stream, 2).await, got);
}

#[tokio::test]
async fn over_tls_the_certificate_vouches() {
    let certificates = Certificates::new();
    for (server, host, ca, said) in [
        ("good", "localhost", certificates.ca(), None),
        ("good", "127.0.0.1", certificates.ca(), None),
        ("good", "127.0.0.2", certificates.ca(), Some("127.0.0.2")),
        ("good", "localhost", certificates.other_ca(), Some("UnknownIssuer")),
        ("expired", "localhost", certificates.ca(), Some("expired")),
    ] {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let acceptor = certificates.server(server);
        let url = format!("tls://{host}:{}", listener.local_addr().unwrap().port());
        let mut target = target(&Settings { ca_file: Some(ca), ..raw(&url) }).unwrap();
        let events = [event(0, "<13>one"), event(1, "<13>two, 日本語")];
        let receiving = async {
            let stream = listener.accept().await.unwrap().0;
            match acceptor.accept(stream).await {
                Ok(mut stream) => messages(&mut stream, 2).await,
                Err(_) => Vec::new(),
            }
        };
        let (settled, got) = tokio::join!(target.send_some(&events), receiving);
        match said {
            None => {
                assert_eq!(settled.unwrap().events, 2);
                assert_eq!(got, ["<13>one".as_bytes(), "<13>two, 日本語".as_bytes()]);
            }
            Some(said) => {
                let later = settled.unwrap_err().to_string();
                assert!(later.contains(said), "{host}: {later}");
                assert!(got.is_empty(), "nothing is sent to whoever it is not");
            }
        }
    }
}

#[tokio::test]
async fn a_datagram_has_its_limit() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let url = format!("udp://{}", socket.local_addr().unwrap());
    let mut target = target(&raw(&url)).unwrap();
    let line = |bytes: usize| format!("<13>{}", "x".repeat(bytes - 4));
    let events = [
        event(0, &line(DATAGRAM_BYTES_MAX)),
        event(1, &line(DATAGRAM_BYTES_MAX + 1)),
        event(2, "<13>x"),
    ];
    let settled = target.send_some(&events).await.unwrap();
    assert_eq!((settled.events, settled.refused.len()), (3, 1));
    assert_eq!(settled.refused[0].id, "syslog/1/1");
    let mut bytes = vec![0; 70_000];
    assert_eq!(socket.recv(&mut bytes).await.unwrap(), DATAGRAM_BYTES_MAX);
    assert_eq!(socket.recv(&mut bytes).await.unwrap(), 5);
}
