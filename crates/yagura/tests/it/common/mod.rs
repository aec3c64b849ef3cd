//! The real binary, as a user would start it.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const YAGURA: &str = env!("CARGO_BIN_EXE_yagura");

/// A running `yagura serve`. Killed when dropped.
pub struct Server {
    child: Child,
    /// What it says on standard error once it listens.
    said: Arc<Mutex<String>>,
    hearing: Option<std::thread::JoinHandle<()>>,
    pub http: String,
    pub syslog_tcp: String,
    pub syslog_udp: String,
}

impl Server {
    pub fn start(data: &Path, extra: &[&str]) -> Server {
        let mut child = Command::new(YAGURA)
            .args(["serve", "--http", "127.0.0.1:0", "--syslog-tcp", "127.0.0.1:0"])
            .args(["--syslog-udp", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(extra)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let mut addresses = std::collections::HashMap::new();
        while addresses.len() < 3 {
            let line = match lines.next() {
                Some(Ok(line)) => line,
                _ => panic!("yagura serve ended before it listened:\n{}", said.join("\n")),
            };
            if let ["listening", kind, address] = line.split(' ').collect::<Vec<_>>()[..] {
                addresses.insert(kind.to_owned(), address.to_owned());
            }
            said.push(line);
        }
        // Keep reading, so that the server never blocks on a full pipe; show what it says.
        let said = Arc::<Mutex<String>>::default();
        let hearing = std::thread::spawn({
            let said = Arc::clone(&said);
            move || {
                for line in lines.map_while(Result::ok) {
                    eprintln!("{line}");
                    said.lock().unwrap().push_str(&(line + "\n"));
                }
            }
        });
        Server {
            child,
            said,
            hearing: Some(hearing),
            http: addresses["http"].clone(),
            syslog_tcp: addresses["syslog-tcp"].clone(),
            syslog_udp: addresses["syslog-udp"].clone(),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and nothing else.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the server must end by itself, with success.
    pub fn stop(self) {
        self.stop_and_hear();
    }

    /// [`Server::stop`]; everything it said on standard error since it listens.
    pub fn stop_and_hear(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "yagura serve ended with {status}");
                self.hearing.take().unwrap().join().unwrap();
                return std::mem::take(&mut *self.said.lock().unwrap());
            }
            assert!(began.elapsed() < Duration::from_secs(60), "yagura serve does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends lines over syslog TCP, newline framed, and waits until the server has taken them.
    pub fn send_syslog(&self, lines: &[&str]) {
        let mut stream = TcpStream::connect(&self.syslog_tcp).unwrap();
        for line in lines {
            stream.write_all(line.as_bytes()).unwrap();
            stream.write_all(b"\n").unwrap();
        }
    }

    /// Runs a command against this server and returns what it printed.
    pub fn yagura(&self, arguments: &[&str]) -> Output {
        Command::new(YAGURA).args(arguments).args(["--server", &self.http]).output().unwrap()
    }

    /// Runs `yagura search` until it finds `expected` events, at most ten seconds.
    pub fn wait_for(&self, expression: &str, expected: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let rows =
                rows(&self.yagura(&["search", expression, "--limit", "0", "--output", "jsonl"]));
            if rows.len() >= expected || began.elapsed() > Duration::from_secs(20) {
                assert_eq!(rows.len(), expected, "{expression}");
                return rows;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command on a directory.
pub fn yagura(data: &Path, arguments: &[&str]) -> Output {
    Command::new(YAGURA).args(arguments).arg("--data").arg(data).output().unwrap()
}

/// The JSON lines a command printed; its exit code must be 0.
pub fn rows(output: &Output) -> Vec<Value> {
    succeeded(output);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn succeeded(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Verifies a directory; returns the exit code and everything it said.
pub fn verify(data: &Path) -> (i32, String) {
    let output = yagura(data, &["verify", "--lang", "en"]);
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), said)
}

/// The corpora directory, or `None` (with a word about it) where none is set; in CI it must be.
pub fn corpora() -> Option<PathBuf> {
    match std::env::var_os("YAGURA_CORPORA") {
        Some(dir) => Some(dir.into()),
        None if std::env::var_os("CI").is_some() => panic!("CI must set YAGURA_CORPORA"),
        None => {
            eprintln!("skipped: set YAGURA_CORPORA to a corpora directory");
            None
        }
    }
}

/// Whether a program is there; in CI it must be.
pub fn has_program(name: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output().unwrap();
    let there = found.status.success();
    assert!(there || std::env::var_os("CI").is_none(), "CI must have {name}");
    if !there {
        eprintln!("skipped: {name} is not installed");
    }
    there
}

/// Memory that any of these may cost beyond what the server has before, in KiB.
pub const GROWTH_KIB_MAX: u64 = 100 * 1024;

pub fn http_address(server: &Server) -> &str {
    server.http.strip_prefix("http://").unwrap()
}

/// Sends bytes to the HTTP port and reads all that is answered. The server may close its side
/// before it has read everything.
pub fn http_raw(server: &Server, parts: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(http_address(server)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    for part in parts {
        if stream.write_all(part).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 8192];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..length]);
    }
    answer
}

pub fn status(server: &Server) -> Value {
    let head = format!(
        "GET /api/v1/status HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        http_address(server)
    );
    let answer = String::from_utf8(http_raw(server, &[head.as_bytes()])).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(30), "never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Opens a FIFO for writing once somebody reads it, at most thirty seconds from now: opening it as such
/// would wait for a reader for ever.
pub fn open_fifo(path: &Path) -> std::fs::File {
    use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
    let mut opened = None;
    wait_until("somebody reads the FIFO", || {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        opened = open(path, flags, Mode::empty()).ok();
        opened.is_some()
    });
    let opened = opened.unwrap();
    fcntl_setfl(&opened, OFlags::WRONLY).unwrap();
    opened.into()
}

pub fn memory_kib(server: &Server, kind: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(kind)).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Does something, and asserts that the server's memory stayed flat at every moment of it.
pub fn flat<T>(server: &Server, what: &str, work: impl FnOnce() -> T) -> T {
    // Sets the highest mark back to what is resident now: proc_pid_clear_refs(5).
    std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
    let before = memory_kib(server, "VmRSS:");
    let done = work();
    let highest = memory_kib(server, "VmHWM:");
    let growth = highest.saturating_sub(before);
    assert!(growth < GROWTH_KIB_MAX, "{what}: memory grew by {growth} KiB from {before} KiB");
    done
}

/// The most files this process may have open from now on.
pub fn open_files(limit: Option<u64>) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum }).unwrap();
}
