//! The programs people really send with: `logger` and rsyslog, as the guide configures them.

#![cfg(target_os = "linux")]
use crate::common;
use common::{Gate, MemorySink};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::net::{TcpListener, UdpSocket};
use yagura_event::{Record, SystemClock};
use yagura_intake::syslog::{SyslogCounters, TcpOptions, UdpOptions, serve_tcp, serve_udp};
use yagura_intake::{StopSource, stop_pair};

/// The program's path, or `None` with a word of why.
fn installed(program: &str) -> Option<String> {
    for folder in ["/usr/bin", "/usr/sbin"] {
        let path = format!("{folder}/{program}");
        if Path::new(&path).try_exists().unwrap_or(false) {
            return Some(path);
        }
    }
    println!("skipped: {program} is not installed");
    None
}

/// Listens on one port over TCP and UDP.
async fn listen() -> (SocketAddr, MemorySink, StopSource) {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(address).await.unwrap();
    let sink = MemorySink::new(Gate::Open);
    let counters = Arc::new(SyslogCounters::default());
    let clock = Arc::new(SystemClock);
    let (stop, signal) = stop_pair();
    tokio::spawn(serve_tcp(
        tcp,
        sink.clone(),
        clock.clone(),
        TcpOptions::default(),
        counters.clone(),
        signal.clone(),
    ));
    tokio::spawn(serve_udp(udp, sink.clone(), clock, UdpOptions::default(), counters, signal));
    (address, sink, stop)
}

fn text(record: &Record) -> String {
    String::from_utf8(record.bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn logger_sends_over_tcp_and_udp() {
    let Some(logger) = installed("logger") else { return };
    let (address, sink, _stop) = listen().await;
    let port = address.port().to_string();
    let send = |options: &[&str], message: &str| {
        let status = Command::new(&logger)
            .args(["--server", "127.0.0.1", "--port", &port])
            .args(options)
            .args(["--", message])
            .status()
            .unwrap();
        assert!(status.success());
    };
    send(&["--tcp", "--octet-count", "--rfc5424"], "counted 件");
    sink.wait_for(1).await;
    send(&["--tcp"], "by line");
    sink.wait_for(2).await;
    send(&["--udp", "--rfc3164"], "datagram");
    sink.wait_for(3).await;
    let records = sink.records.lock().unwrap();
    for (record, end) in records.iter().zip(["counted 件", "by line", "datagram"]) {
        let text = text(record);
        assert!(text.starts_with('<') && text.ends_with(end), "{text:?}");
    }
}

struct Rsyslog(Child);

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn rsyslog_forwards_what_it_receives() {
    let (Some(rsyslogd), Some(logger)) = (installed("rsyslogd"), installed("logger")) else {
        return;
    };
    let (address, sink, _stop) = listen().await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().display();
    let inbox = dir.path().join("log.sock");
    let forward = |protocol: &str, framing: &str| {
        format!(
            "action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{}\" protocol=\"{protocol}\" {framing} \
             template=\"RSYSLOG_SyslogProtocol23Format\" queue.type=\"LinkedList\" \
             action.resumeRetryCount=\"-1\")\n",
            address.port()
        )
    };
    let config = format!(
        "global(workDirectory=\"{folder}\")\n\
         module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
         input(type=\"imuxsock\" Socket=\"{}\")\n{}{}{}",
        inbox.display(),
        forward("tcp", "TCP_Framing=\"octet-counted\""),
        forward("tcp", "TCP_Framing=\"traditional\""),
        forward("udp", ""),
    );
    let config_file = dir.path().join("rsyslog.conf");
    std::fs::write(&config_file, config).unwrap();
    let pid_file = dir.path().join("pid");
    let child = Command::new(rsyslogd)
        .args(["-n", "-f"])
        .arg(&config_file)
        .arg("-i")
        .arg(&pid_file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _rsyslog = Rsyslog(child);
    while !inbox.try_exists().unwrap() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    for number in 0..50 {
        let status = Command::new(&logger)
            .arg("--socket")
            .arg(&inbox)
            .args(["-t", "yagura-test", "--", &format!("message {number}")])
            .status()
            .unwrap();
        assert!(status.success());
    }
    sink.wait_for(150).await;
    let records = sink.records.lock().unwrap();
    for number in 0..50 {
        let end = format!(" message {number}");
        let found: Vec<_> = records.iter().filter(|r| text(r).trim_end().ends_with(&end)).collect();
        assert_eq!(found.len(), 3, "{number}");
        for record in found {
            let text = text(record);
            assert!(text.starts_with('<') && text.contains(">1 2"), "{text:?}");
        }
    }
}
