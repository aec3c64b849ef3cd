//! Real sockets on the loopback address, real bytes, hostile senders.

use crate::common;
use common::{Gate, MemorySink};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use yagura_event::{SystemClock, Transport};
use yagura_intake::limits::SYSLOG_UNFINISHED_BYTES_FREE;
use yagura_intake::syslog::{
    SyslogCounters, SyslogCounts, TcpOptions, UdpOptions, serve_tcp, serve_udp,
};
use yagura_intake::{StopSource, stop_pair};

struct Tcp {
    address: SocketAddr,
    sink: MemorySink,
    counters: Arc<SyslogCounters>,
    stop: StopSource,
    server: JoinHandle<()>,
}

impl Tcp {
    async fn start(options: TcpOptions, gate: Gate) -> Tcp {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sink = MemorySink::new(gate);
        let counters = Arc::new(SyslogCounters::default());
        let (stop, signal) = stop_pair();
        let server = tokio::spawn(serve_tcp(
            listener,
            sink.clone(),
            Arc::new(SystemClock),
            options,
            counters.clone(),
            signal,
        ));
        Tcp { address, sink, counters, stop, server }
    }

    async fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    }

    async fn until(&self, holds: impl Fn(&SyslogCounts) -> bool) {
        while !holds(&self.counters.snapshot()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn end(self) -> SyslogCounts {
        self.stop.stop();
        self.server.await.unwrap();
        self.counters.snapshot()
    }
}

#[tokio::test]
async fn single_bytes_and_mixed_framing_arrive_whole() {
    let tcp = Tcp::start(TcpOptions::default(), Gate::Open).await;
    let mut sender = tcp.connect().await;
    let peer = sender.local_addr().unwrap().to_string();
    for byte in b"<13>one\r\n10 <13>two\nx\n<13>\xff\xfe\0\n\n12 <13>unfinis" {
        sender.write_all(&[*byte]).await.unwrap();
    }
    drop(sender);
    tcp.sink.wait_for(4).await;
    assert_eq!(tcp.sink.texts(), ["<13>one", "<13>two\\nx\\n", "<13>\\xff\\xfe", "<13>unfinis"]);
    {
        let records = tcp.sink.records.lock().unwrap();
        assert_eq!(records[0].transport, Transport::SyslogTcp);
        assert_eq!((&*records[0].peer, &*records[0].identity), (peer.as_str(), "none"));
    }
    let counts = tcp.end().await;
    assert_eq!((counts.records, counts.unfinished, counts.connections_open), (4, 1, 0));
    assert_eq!(counts.blank, 2);
}

#[tokio::test]
async fn unfinished_messages_share_one_memory() {
    let options = TcpOptions { unfinished_bytes_max: 1_000, ..TcpOptions::default() };
    let tcp = Tcp::start(options, Gate::Open).await;
    let (mut one, mut two) = (tcp.connect().await, tcp.connect().await);
    let begun = [b"<13>".to_vec(), vec![b'x'; SYSLOG_UNFINISHED_BYTES_FREE + 496]].concat();
    one.write_all(&begun).await.unwrap();
    two.write_all(&begun).await.unwrap();
    tcp.until(|it| it.bytes == 2 * begun.len() as u64).await;
    assert_eq!((tcp.counters.snapshot().cut, tcp.sink.texts().len()), (0, 0), "at the limit");
    two.write_all(b"y").await.unwrap();
    tcp.sink.wait_for(1).await;
    two.write_all(b"dropped\n<13>next\n").await.unwrap();
    one.write_all(b"whole\n").await.unwrap();
    tcp.sink.wait_for(3).await;
    let whole = |end: &str| String::from_utf8(begun.clone()).unwrap() + end;
    let mut texts = tcp.sink.texts();
    texts.sort();
    let mut expected = [whole("y"), "<13>next".to_owned(), whole("whole")];
    expected.sort();
    assert_eq!(texts, expected);
    let counts = tcp.end().await;
    assert_eq!((counts.cut, counts.cut_bytes), (1, 7));
}

#[tokio::test]
async fn long_unfinished_messages_do_not_cut_the_short_ones_of_others() {
    let options = TcpOptions { unfinished_bytes_max: 1_000, ..TcpOptions::default() };
    let tcp = Tcp::start(options, Gate::Open).await;
    let (mut long, mut short) = (tcp.connect().await, tcp.connect().await);
    let line = |bytes: usize| [b"<13>".to_vec(), vec![b'x'; bytes - 4]].concat();
    long.write_all(&line(SYSLOG_UNFINISHED_BYTES_FREE + 1_000)).await.unwrap();
    tcp.until(|it| it.bytes == SYSLOG_UNFINISHED_BYTES_FREE as u64 + 1_000).await;
    short.write_all(&line(SYSLOG_UNFINISHED_BYTES_FREE)).await.unwrap();
    tcp.until(|it| it.bytes == 2 * SYSLOG_UNFINISHED_BYTES_FREE as u64 + 1_000).await;
    assert_eq!((tcp.counters.snapshot().cut, tcp.sink.texts().len()), (0, 0), "its own");
    short.write_all(b"y").await.unwrap();
    tcp.sink.wait_for(1).await;
    assert_eq!(tcp.counters.snapshot().cut, 1, "one byte past its own");
    tcp.end().await;
}

#[tokio::test]
async fn many_connections_keep_their_own_order() {
    let tcp = Tcp::start(TcpOptions::default(), Gate::Open).await;
    let senders = (0..20).map(|number| {
        let address = tcp.address;
        tokio::spawn(async move {
            let mut socket = TcpStream::connect(address).await.unwrap();
            let lines: String = (0..2_000).map(|line| format!("<13>{number} {line}\n")).collect();
            socket.write_all(lines.as_bytes()).await.unwrap();
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
    tcp.sink.wait_for(40_000).await;
    let mut next = [0; 20];
    for text in tcp.sink.texts() {
        let (number, line) = text.strip_prefix("<13>").unwrap().split_once(' ').unwrap();
        let number: usize = number.parse().unwrap();
        assert_eq!(line.parse(), Ok(next[number]));
        next[number] += 1;
    }
    assert_eq!(tcp.end().await.records, 40_000);
}

#[tokio::test]
async fn a_busy_sink_stops_the_reading_and_nothing_is_lost() {
    let tcp = Tcp::start(TcpOptions::default(), Gate::Waiting).await;
    let mut sender = tcp.connect().await;
    let line = [b"<13>".to_vec(), vec![b'x'; 1020], b"\n".to_vec()].concat();
    // 32 MiB: far more than both sockets' buffers hold.
    let writing = tokio::spawn(async move {
        for _ in 0..32 * 1024 {
            sender.write_all(&line).await.unwrap();
        }
    });
    tcp.until(|counts| counts.bytes > 0).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let held_back = tcp.counters.snapshot().bytes;
    assert!(held_back < 4 * 1024 * 1024, "{held_back} bytes were read ahead of a waiting sink");
    assert!(!writing.is_finished());
    tcp.sink.set(Gate::DiskFull);
    tcp.until(|counts| counts.stalls > 0).await;
    tcp.sink.set(Gate::Open);
    tcp.sink.wait_for(32 * 1024).await;
    writing.await.unwrap();
    let counts = tcp.end().await;
    assert_eq!((counts.records, counts.lost), (32 * 1024, 0));
}

#[tokio::test]
async fn a_closed_sink_is_counted_as_loss() {
    let tcp = Tcp::start(TcpOptions::default(), Gate::Closed).await;
    let mut sender = tcp.connect().await;
    sender.write_all(b"<13>a\n<13>b\n").await.unwrap();
    tcp.until(|counts| counts.connections_open == 0 && counts.lost > 0).await;
    assert_eq!(tcp.end().await.records, 0);
}

#[tokio::test]
async fn connections_past_the_limit_are_closed_and_counted() {
    let options = TcpOptions { connections_max: 2, ..TcpOptions::default() };
    let tcp = Tcp::start(options, Gate::Open).await;
    let (first, _second, third) = (tcp.connect().await, tcp.connect().await, tcp.connect().await);
    tcp.until(|counts| counts.connections_refused == 1 && counts.connections_open == 2).await;
    third.readable().await.unwrap();
    assert!(!matches!(third.try_read(&mut [0]), Ok(1..)));
    drop(first);
    tcp.until(|counts| counts.connections_open == 1).await;
    let mut fourth = tcp.connect().await;
    fourth.write_all(b"<13>welcome\n").await.unwrap();
    tcp.sink.wait_for(1).await;
    assert_eq!(tcp.end().await.connections, 3);
}

#[tokio::test]
async fn silent_connections_are_closed_and_their_unfinished_line_kept() {
    let options = TcpOptions { idle_timeout: Duration::from_millis(50), ..TcpOptions::default() };
    let tcp = Tcp::start(options, Gate::Open).await;
    let mut sender = tcp.connect().await;
    sender.write_all(b"<13>never finished").await.unwrap();
    tcp.sink.wait_for(1).await;
    assert_eq!(tcp.sink.texts(), ["<13>never finished"]);
    let counts = tcp.end().await;
    assert_eq!((counts.connections_idle_closed, counts.unfinished), (1, 1));
}

#[tokio::test]
async fn endless_lines_are_cut_and_what_stops_meanwhile_is_delivered() {
    let options = TcpOptions { frame_bytes_max: 1024, ..TcpOptions::default() };
    let tcp = Tcp::start(options, Gate::Open).await;
    let mut endless = tcp.connect().await;
    endless.write_all(&vec![b'x'; 3_000_000]).await.unwrap();
    tcp.sink.wait_for(1).await;
    let mut open = tcp.connect().await;
    open.write_all(b"<13>last words").await.unwrap();
    tcp.until(|counts| counts.bytes == 3_000_014).await;
    let sink = tcp.sink.clone();
    let counts = tcp.end().await;
    assert_eq!(sink.texts(), ["x".repeat(1024), "<13>last words".to_owned()]);
    assert_eq!((counts.cut, counts.cut_bytes), (1, 3_000_000 - 1024));
}

/// Ten thousand idle connections must cost less than 100 MB; measured on a tenth of them.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn idle_connections_cost_little_memory() {
    let tcp = Tcp::start(TcpOptions::default(), Gate::Open).await;
    let mut senders = Vec::new();
    let mut before = 0;
    for number in 0..=1_000 {
        let mut sender = tcp.connect().await;
        // Each has sent something and is in the middle of a line.
        sender.write_all(b"<13>hello\n<13>half a li").await.unwrap();
        senders.push(sender);
        if number == 0 {
            tcp.sink.wait_for(1).await;
            before = resident_bytes();
        }
    }
    tcp.sink.wait_for(1_001).await;
    tcp.until(|counts| counts.connections_open == 1_001).await;
    let grown = resident_bytes().saturating_sub(before);
    // The senders' own side is in this process too, so this is a stricter measure.
    assert!(grown < 10_000_000, "1,000 idle connections grew memory by {grown} bytes");
    drop(senders);
    tcp.sink.wait_for(2_002).await;
    tcp.end().await;
}

#[cfg(target_os = "linux")]
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn each_datagram_is_one_record() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let sink = MemorySink::new(Gate::Waiting);
    let counters = Arc::new(SyslogCounters::default());
    let (stop, signal) = stop_pair();
    let options = UdpOptions { frame_bytes_max: 60_000, ..UdpOptions::default() };
    let server = tokio::spawn(serve_udp(
        socket,
        sink.clone(),
        Arc::new(SystemClock),
        options,
        counters.clone(),
        signal,
    ));
    let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    sender.send_to(b"<13>a\n<13>still a\0\n", address).await.unwrap();
    sender.send_to(b"", address).await.unwrap();
    sender.send_to(&vec![b'x'; 60_001], address).await.unwrap();
    for number in 0..100 {
        sender.send_to(format!("<13>{number}").as_bytes(), address).await.unwrap();
    }
    // Reading goes on while the sink waits.
    while counters.snapshot().datagrams < 103 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(counters.snapshot().records, 0);
    sink.set(Gate::Open);
    sink.wait_for(102).await;
    sender.send_to(b"<13>just before the end", address).await.unwrap();
    stop.stop();
    server.await.unwrap();
    let texts = sink.texts();
    assert_eq!(texts[0], "<13>a\\n<13>still a\\x00\\n");
    assert_eq!(texts[1].len(), 60_000);
    assert_eq!(texts[2], "<13>0");
    assert_eq!(texts.last().unwrap(), "<13>just before the end");
    let records = sink.records.lock().unwrap();
    assert_eq!(records[0].transport, Transport::SyslogUdp);
    assert_eq!(&*records[0].peer, sender.local_addr().unwrap().to_string());
    let counts = counters.snapshot();
    assert_eq!((counts.blank, counts.cut, counts.cut_bytes), (1, 1, 1));
    assert!(counts.udp_receive_buffer_bytes > 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn datagrams_dropped_by_the_kernel_are_counted() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // Nobody reads yet: what does not fit the default buffer is dropped.
    let address = socket.local_addr().unwrap();
    for _ in 0..2_000 {
        sender.send_to(&[b'x'; 1_000], address).await.unwrap();
    }
    let sink = MemorySink::new(Gate::Open);
    let counters = Arc::new(SyslogCounters::default());
    let (stop, signal) = stop_pair();
    let server = tokio::spawn(serve_udp(
        socket,
        sink.clone(),
        Arc::new(SystemClock),
        UdpOptions::default(),
        counters.clone(),
        signal,
    ));
    loop {
        let counts = counters.snapshot();
        if counts.records + counts.datagrams_dropped_by_kernel == 2_000 {
            assert!(counts.datagrams_dropped_by_kernel > 0);
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.stop();
    server.await.unwrap();
}
