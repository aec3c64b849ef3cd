//! The programs people really send with, started for real, against the real binary.

use crate::common;
use common::{Server, has_program, rows, succeeded};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A daemon of ours in the foreground. Killed when dropped; no service of the system is touched.
struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn start(program: &str, arguments: &[&str], log: PathBuf) -> Daemon {
        let file = std::fs::File::create(&log).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Daemon { child, log }
    }

    /// Waits until the daemon has made its socket.
    fn wait_for_socket(&mut self, socket: &Path) -> UnixDatagram {
        let began = Instant::now();
        loop {
            let sender = UnixDatagram::unbound().unwrap();
            if sender.connect(socket).is_ok() {
                return sender;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && began.elapsed() < Duration::from_secs(15),
                "no socket {}: {}",
                socket.display(),
                std::fs::read_to_string(&self.log).unwrap()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The name by which this machine's own syslog programs call it, up to the first dot.
fn this_host() -> String {
    let output = Command::new("uname").arg("-n").output().unwrap();
    let name = String::from_utf8(output.stdout).unwrap();
    name.trim().split('.').next().unwrap().to_owned()
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("no {key} in {row}"))
}

/// Every one of `messages` was kept once, from this host, this program and over this transport.
fn assert_kept(server: &Server, program: &str, transport: &str, messages: &[String]) {
    let found = server.wait_for(&format!("process.name:{program}"), messages.len());
    let mut kept = BTreeSet::new();
    for row in &found {
        assert!(text(row, "host.name").starts_with(&this_host()), "{row}");
        assert_eq!(text(row, "yagura.transport"), transport, "{row}");
        // rsyslog's octet counts include the line feed that ends its templates.
        let original = text(row, "event.original").trim_end_matches('\n');
        assert!(original.starts_with('<'), "{row}");
        let message = messages.iter().find(|message| original.ends_with(message.as_str()));
        let message = message.unwrap_or_else(|| panic!("not sent: {original}"));
        // A sentence shortens what is long.
        let whole = text(row, "message").contains(message.as_str());
        assert!(whole || message.len() > 1_000, "{row}");
        kept.insert(message);
    }
    assert_eq!(kept.len(), messages.len(), "each message once");
}

/// Numbered, so that no message ends like another; some are in Japanese, one is long.
fn messages(count: usize) -> Vec<String> {
    let one = |number: usize| match number {
        7 => format!("{} long message #{number}", "x".repeat(4_000)),
        number if number % 2 == 0 => format!("電子カルテを閲覧しました #{number}"),
        number => format!("record opened #{number}"),
    };
    (0..count).map(one).collect()
}

#[test]
fn logger_sends_in_every_way_it_knows() {
    if !has_program("logger") {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let server = Server::start(&scratch.path().join("data"), &[]);
    let (tcp, udp) = (&server.syslog_tcp, &server.syslog_udp);
    let ways: [(&str, &str, &str, &[&str]); 6] = [
        ("tcp-counted-5424", tcp, "syslog-tcp", &["--tcp", "--octet-count", "--rfc5424"]),
        ("tcp-counted-3164", tcp, "syslog-tcp", &["--tcp", "--octet-count", "--rfc3164"]),
        ("tcp-lines-5424", tcp, "syslog-tcp", &["--tcp", "--rfc5424"]),
        ("tcp-lines-3164", tcp, "syslog-tcp", &["--tcp", "--rfc3164"]),
        ("udp-5424", udp, "syslog-udp", &["--udp", "--rfc5424"]),
        ("udp-3164", udp, "syslog-udp", &["--udp", "--rfc3164"]),
    ];
    for (program, address, transport, options) in ways {
        let (host, port) = address.split_once(':').unwrap();
        let sent = messages(3);
        let lines = scratch.path().join("lines");
        std::fs::write(&lines, sent.join("\n") + "\n").unwrap();
        let status = Command::new("logger")
            .args(["--server", host, "--port", port, "--tag", program])
            .args(["--priority", "auth.warning", "--file"])
            .arg(&lines)
            .args(options)
            .status()
            .unwrap();
        assert!(status.success(), "{program}");
        assert_kept(&server, program, transport, &sent);
        let kept = server.wait_for(&format!("process.name:{program}"), sent.len());
        let facility_and_severity = (
            text(&kept[0], "log.syslog.facility.code"),
            text(&kept[0], "log.syslog.severity.code"),
        );
        assert_eq!(facility_and_severity, ("4", "4"), "{program}");
    }
}

/// A way out of a syslog daemon: the socket it listens on, which is also the program's name.
struct Way {
    program: &'static str,
    transport: &'static str,
    count: usize,
}

/// Few enough datagrams that the smallest receive buffer holds them all.
const WAYS: [Way; 3] = [
    Way { program: "by-count", transport: "syslog-tcp", count: 400 },
    Way { program: "by-line", transport: "syslog-tcp", count: 400 },
    Way { program: "by-datagram", transport: "syslog-udp", count: 20 },
];

/// Where a syslog daemon forwards to, and a directory for its files.
struct Target {
    server: Server,
    dir: tempfile::TempDir,
    tcp: String,
    udp: String,
}

impl Target {
    fn start() -> Target {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(&dir.path().join("data"), &[]);
        let port = |address: &str| address.split_once(':').unwrap().1.to_owned();
        let (tcp, udp) = (port(&server.syslog_tcp), port(&server.syslog_udp));
        Target { server, dir, tcp, udp }
    }
}

/// Writes to the daemon's sockets as local programs do, and finds everything again.
fn forward_and_find(daemon: &mut Daemon, target: &Target) {
    let (dir, server) = (target.dir.path(), &target.server);
    for way in &WAYS {
        let socket = daemon.wait_for_socket(&dir.join(way.program));
        for message in messages(way.count) {
            let line = format!("<38>Nov 21 10:00:00 {}[42]: {message}", way.program);
            socket.send(line.as_bytes()).unwrap();
        }
    }
    for way in &WAYS {
        assert_kept(server, way.program, way.transport, &messages(way.count));
    }
    let sql = "select \"process.name\" as program, count(*) as n, \
               count(distinct \"event.original\") as originals from events group by 1 order by 1";
    let counted = rows(&server.yagura(&["sql", sql, "--output", "jsonl"]));
    for way in &WAYS {
        let row = counted.iter().find(|row| row["program"] == way.program).unwrap();
        assert_eq!((&row["n"], &row["originals"]), (&way.count.into(), &way.count.into()));
    }
}

#[test]
fn rsyslog_forwards_over_tcp_and_udp() {
    if !has_program("rsyslogd") {
        return;
    }
    let target = Target::start();
    let (dir, tcp, udp) = (target.dir.path(), &target.tcp, &target.udp);
    let mut config = format!(
        "global(workDirectory=\"{}\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n",
        dir.display()
    );
    for (program, port, how) in [
        (
            "by-count",
            tcp,
            "protocol=\"tcp\" TCP_Framing=\"octet-counted\" template=\"RSYSLOG_SyslogProtocol23Format\"",
        ),
        ("by-line", tcp, "protocol=\"tcp\" TCP_Framing=\"traditional\""),
        ("by-datagram", udp, "protocol=\"udp\" template=\"RSYSLOG_ForwardFormat\""),
    ] {
        let socket = dir.join(program);
        config.push_str(&format!(
            "ruleset(name=\"{program}\") {{ action(type=\"omfwd\" target=\"127.0.0.1\" \
             port=\"{port}\" {how} action.resumeRetryCount=\"-1\") }}\n\
             input(type=\"imuxsock\" Socket=\"{}\" ruleset=\"{program}\" \
             RateLimit.Interval=\"0\")\n",
            socket.display()
        ));
    }
    let config_file = dir.join("rsyslog.conf");
    std::fs::write(&config_file, config).unwrap();
    let pid_file = dir.join("pid");
    let mut rsyslog = Daemon::start(
        "rsyslogd",
        &["-n", "-f", config_file.to_str().unwrap(), "-i", pid_file.to_str().unwrap()],
        dir.join("rsyslog.log"),
    );
    forward_and_find(&mut rsyslog, &target);
}

#[test]
fn syslog_ng_forwards_over_tcp_and_udp() {
    if !has_program("syslog-ng") {
        return;
    }
    let target = Target::start();
    let (dir, tcp, udp) = (target.dir.path(), &target.tcp, &target.udp);
    let mut config = "@version: 3.35\n".to_owned();
    for (program, way) in [
        (
            "by-count",
            format!("syslog(\"127.0.0.1\" port({tcp}) transport(\"tcp\") persist-name(by-count))"),
        ),
        (
            "by-line",
            format!("network(\"127.0.0.1\" port({tcp}) transport(\"tcp\") persist-name(by-line))"),
        ),
        (
            "by-datagram",
            format!(
                "network(\"127.0.0.1\" port({udp}) transport(\"udp\") persist-name(by-datagram))"
            ),
        ),
    ] {
        let socket = dir.join(program);
        config.push_str(&format!(
            "log {{ source {{ unix-dgram(\"{}\"); }}; destination {{ {way}; }}; }};\n",
            socket.display()
        ));
    }
    let config_file = dir.join("syslog-ng.conf");
    std::fs::write(&config_file, config).unwrap();
    let (persist, control, pid) = (dir.join("persist"), dir.join("control"), dir.join("pid"));
    let mut syslog_ng = Daemon::start(
        "syslog-ng",
        &[
            "-F",
            "-f",
            config_file.to_str().unwrap(),
            "--persist-file",
            persist.to_str().unwrap(),
            "--control",
            control.to_str().unwrap(),
            "--pidfile",
            pid.to_str().unwrap(),
        ],
        dir.join("syslog-ng.log"),
    );
    forward_and_find(&mut syslog_ng, &target);
}

/// A Python that has the official client; in CI it must be there.
fn python_with_client() -> Option<String> {
    let python = std::env::var("YAGURA_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let import = Command::new(&python).args(["-c", "import elasticsearch"]).output();
    let there = import.is_ok_and(|output| output.status.success());
    client_or_skip(there, "YAGURA_PYTHON, a Python that has the module elasticsearch")
        .then_some(python)
}

/// A directory whose node_modules has the official client; in CI it must be there.
fn node_with_client() -> Option<PathBuf> {
    let dir = PathBuf::from(std::env::var_os("YAGURA_NODE_CLIENT").unwrap_or_default());
    let client = dir.join("node_modules/@elastic/elasticsearch/package.json");
    let there = client.try_exists().unwrap();
    let what = "YAGURA_NODE_CLIENT, a directory where npm has installed @elastic/elasticsearch";
    (client_or_skip(there, what) && has_program("node")).then_some(dir)
}

fn client_or_skip(there: bool, what: &str) -> bool {
    assert!(there || std::env::var_os("CI").is_none(), "CI must set {what}");
    if !there {
        eprintln!("skipped: set {what}");
    }
    there
}

/// The rows of the client's events, whose messages must be `prefix 0` to `prefix COUNT-1`.
fn assert_documents(server: &Server, host: &str, prefix: &str, count: usize) {
    let found = server.wait_for(&format!("host.name:{host}"), count);
    let kept: BTreeSet<String> = found
        .iter()
        .map(|row| serde_json::from_str(text(row, "event.original")).unwrap())
        .map(|original: Value| {
            assert_eq!(original["process"]["name"], "karte", "{original}");
            text(&original, "message").to_owned()
        })
        .collect();
    let sent: BTreeSet<String> = (0..count).map(|number| format!("{prefix} {number}")).collect();
    assert_eq!(kept, sent);
    for row in &found {
        assert_eq!(text(row, "process.name"), "karte");
        assert_eq!(text(row, "yagura.transport"), "elastic-bulk");
        assert_eq!(text(row, "@timestamp"), "2026-11-21T10:00:00.250000Z");
    }
    let sql = format!("select count(*) as n from events where \"host.name\" = '{host}'");
    assert_eq!(rows(&server.yagura(&["sql", &sql, "--output", "jsonl"]))[0]["n"], count);
}

/// What the client printed: one JSON object.
fn said(output: &Output) -> Value {
    succeeded(output);
    serde_json::from_slice(&output.stdout).unwrap()
}

const PYTHON: &str = r#"
import json, sys
from elasticsearch import Elasticsearch, helpers

def documents(host, count):
    for number in range(count):
        yield {"_op_type": "create", "_index": "logs-karte-default",
               "@timestamp": "2026-11-21T10:00:00.250Z", "message": f"閲覧 {number}",
               "host": {"name": host}, "process": {"name": "karte"}}

plain = Elasticsearch(sys.argv[1])
small = Elasticsearch(sys.argv[1], http_compress=True)
said = {"version": plain.info()["version"]["number"], "ping": plain.ping(),
        "license": plain.license.get()["license"]["status"],
        "health": plain.cluster.health()["status"]}
streamed = helpers.streaming_bulk(small, documents("py-stream", 2000), chunk_size=300)
said["streamed"] = sum(1 for ok, item in streamed if ok and item["create"]["status"] == 201)
said["bulk"] = helpers.bulk(plain, documents("py-bulk", 500))[0]
threads = helpers.parallel_bulk(small, documents("py-threads", 1000), thread_count=4, chunk_size=100)
said["threads"] = sum(1 for ok, _ in threads if ok)
mixed = [*documents("py-mixed", 2), {"_op_type": "delete", "_index": "a", "_id": "1"},
         {"_op_type": "update", "_index": "a", "_id": "1", "doc": {"message": "changed"}}]
try:
    helpers.bulk(plain, mixed)
except helpers.BulkIndexError as error:
    said["refused"] = [(kind, item["status"], item["error"]["reason"])
                       for entry in error.errors for kind, item in entry.items()]
print(json.dumps(said))
"#;

#[test]
fn the_official_python_client_works_unchanged() {
    let Some(python) = python_with_client() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let server = Server::start(&scratch.path().join("data"), &[]);
    let output = Command::new(python).args(["-c", PYTHON, &server.http]).output().unwrap();
    let said = said(&output);
    assert!(text(&said, "version").starts_with("8."), "{said}");
    assert_eq!((&said["ping"], &said["license"]), (&true.into(), &"active".into()), "{said}");
    assert_eq!(said["health"], "green");
    assert_eq!((&said["streamed"], &said["bulk"]), (&2000.into(), &500.into()), "{said}");
    assert_eq!(said["threads"], 1000);
    let refused = said["refused"].as_array().unwrap();
    assert_eq!(refused.len(), 2, "{said}");
    for (refusal, kind) in refused.iter().zip(["delete", "update"]) {
        assert_eq!((&refusal[0], &refusal[1]), (&kind.into(), &400.into()), "{said}");
        assert!(refusal[2].as_str().unwrap().contains(kind), "{said}");
    }
    for (host, count) in
        [("py-stream", 2000), ("py-bulk", 500), ("py-threads", 1000), ("py-mixed", 2)]
    {
        assert_documents(&server, host, "閲覧", count);
    }
}

const JAVASCRIPT: &str = r#"
const { Client } = require('@elastic/elasticsearch');
const documents = (host, count) => Array.from({ length: count }, (_, number) => ({
  '@timestamp': '2026-11-21T10:00:00.250Z', message: `閲覧 ${number}`,
  host: { name: host }, process: { name: 'karte' },
}));
(async () => {
  const said = {};
  for (const [host, compression] of [['js-plain', false], ['js-gzip', true]]) {
    const client = new Client({ node: process.argv[1], compression });
    said.version = (await client.info()).version.number;
    const done = await client.helpers.bulk({
      datasource: documents(host, 600),
      flushBytes: 10000,
      onDocument: () => ({ create: { _index: 'logs-karte-default' } }),
    });
    said[host] = [done.successful, done.failed];
    const mixed = await client.bulk({ operations: [
      { index: { _index: 'a' } }, { message: 'kept', host: { name: 'js-mixed' } },
      { delete: { _index: 'a', _id: '1' } },
    ] });
    said.mixed = [mixed.errors, mixed.items[0].index.status, mixed.items[1].delete.status];
  }
  console.log(JSON.stringify(said));
})().catch((error) => { console.error(error); process.exit(1); });
"#;

#[test]
fn the_official_javascript_client_works_unchanged() {
    let Some(dir) = node_with_client() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let server = Server::start(&scratch.path().join("data"), &[]);
    let output = Command::new("node")
        .args(["-e", JAVASCRIPT, &server.http])
        .current_dir(dir)
        .output()
        .unwrap();
    let said = said(&output);
    assert!(text(&said, "version").starts_with("8."), "{said}");
    for host in ["js-plain", "js-gzip"] {
        assert_eq!(said[host], serde_json::json!([600, 0]), "{said}");
        assert_documents(&server, host, "閲覧", 600);
    }
    assert_eq!(said["mixed"], serde_json::json!([true, 201, 400]), "{said}");
    server.wait_for("host.name:js-mixed", 2);
}
