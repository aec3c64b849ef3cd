//! Hostile, huge, broken and absurd input: an answer that names the place, counters that move, raw
//! bytes kept, memory flat, and a store that still takes good events and verifies.

use crate::common;
use common::{
    Server, YAGURA, flat, http_address, http_raw, open_files, rows, status, succeeded, verify,
    wait_until, yagura,
};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;

const GOOD: &str = "<38>1 2026-11-21T10:00:01Z good sshd 812 - - Accepted publickey for root from 203.0.113.7 port 50023 ssh2";

/// The status and the body of the answer to a POST.
fn post(server: &Server, path: &str, encoding: &str, body: &[u8]) -> (u16, String) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Content-Encoding: {encoding}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        http_address(server),
        body.len()
    );
    let answer = http_raw(server, &[head.as_bytes(), body]);
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.get(9..12).unwrap_or_else(|| panic!("no answer to {path}"));
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status.parse().unwrap(), body.to_owned())
}

/// A counter of the syslog TCP listener.
fn tcp_count(server: &Server, name: &str) -> u64 {
    let status = status(server);
    let listeners = status["listeners"].as_array().unwrap();
    let tcp = listeners.iter().find(|listener| listener["kind"] == "syslog-tcp").unwrap();
    tcp["counters"][name].as_u64().unwrap_or_else(|| panic!("no counter {name}"))
}

/// Sends bytes over syslog TCP and closes.
fn send(server: &Server, bytes: &[u8]) {
    TcpStream::connect(&server.syslog_tcp).unwrap().write_all(bytes).unwrap();
}

/// The server still takes a good event; stopped, its store is in order.
fn still_good(server: Server, data: &Path) {
    send(&server, format!("{GOOD}\n").as_bytes());
    server.wait_for("host.name:good event.outcome:success", 1);
    assert_eq!(status(&server)["running"], true);
    server.stop();
    let (code, said) = verify(data);
    assert_eq!(code, 0, "{said}");
}

/// What a search prints as the received bytes.
fn raw(data: &Path, expression: &str) -> Vec<u8> {
    let output = yagura(data, &["search", expression, "--limit", "0", "--output", "raw"]);
    succeeded(&output);
    output.stdout
}

fn deep(levels: usize) -> Vec<u8> {
    [b"{\"a\":".repeat(levels), b"1".to_vec(), b"}".repeat(levels)].concat()
}

#[test]
fn bad_lines_are_kept_as_they_came_and_counted() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let server = Server::start(&data, &[]);
    let head = "<13>1 2026-11-21T10:00:00Z bad";
    let line =
        |program: &str, rest: &[u8]| [format!("{head} {program} - - - ").as_bytes(), rest].concat();
    let not_utf8 = line("latin", b"caf\xe9 \xff\xfe\x80 end");
    let truncated = line("truncated", b"{\"user\":{\"name\":\"ta");
    let nested = line("nested", &deep(10_000));
    let structured = [head.as_bytes(), b" sd - - ", &b"[".repeat(60_000)].concat();
    let bare_nested = deep(10_000);
    let whole = [&not_utf8, &truncated, &nested, &structured, &bare_nested];
    for bytes in whole {
        send(&server, &[bytes, &b"\n"[..]].concat());
    }
    let huge = line("huge", &vec![b'x'; 2 * 1024 * 1024]);
    flat(&server, "a line of 2 MiB", || send(&server, &[&huge, &b"\n"[..]].concat()));
    // A NUL ends a line, as some senders have it; what is within brackets of NULs is kept.
    send(&server, &[vec![0; 10_000], line("nul", b"left"), vec![0; 10_000]].concat());
    send(&server, &line("unfinished", b"no line feed"));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let in_datagram = line("datagram", b"\0within\0 caf\xe9");
    udp.send_to(&in_datagram, &server.syslog_udp).unwrap();

    server.wait_for("", whole.len() + 4);
    assert_eq!(tcp_count(&server, "cut"), 1);
    assert_eq!(tcp_count(&server, "cut_bytes"), (huge.len() - 64 * 1024) as u64);
    assert_eq!(tcp_count(&server, "unfinished"), 1);
    assert!(tcp_count(&server, "blank") > 10_000);
    assert_eq!(status(&server)["counters"]["journal.committed"], whole.len() as u64 + 4);
    for row in server.wait_for("", whole.len() + 4) {
        for lang in ["yagura.sentence.ja", "yagura.sentence.en"] {
            let sentence = row[lang].as_str().unwrap_or_default();
            assert!(!sentence.is_empty() && sentence.len() < 20_000, "{lang}");
        }
    }
    still_good(server, &data);
    let everything = raw(&data, "");
    let kept: Vec<&[u8]> = everything.split(|byte| *byte == b'\n').collect();
    for (name, bytes) in [
        ("latin", &not_utf8[..]),
        ("truncated", &truncated),
        ("nested", &nested),
        ("structured", &structured),
        ("bare", &bare_nested),
        ("huge", &huge[..64 * 1024]),
        ("nul", &line("nul", b"left")),
        ("unfinished", &line("unfinished", b"no line feed")),
        ("datagram", &in_datagram),
    ] {
        assert_eq!(kept.iter().filter(|line| **line == bytes).count(), 1, "{name}");
    }
    let one = raw(&data, "process.name:latin");
    assert!(one == [&not_utf8[..], b"\n"].concat(), "{} bytes", one.len());
}

#[test]
fn bad_bodies_are_refused_item_by_item_with_their_place() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let server = Server::start(&data, &[]);
    let event = |text: &[u8]| [b"{\"message\":\"", text, b"\"}"].concat();
    let bulk = |event: &[u8]| [b"{\"create\":{\"_index\":\"a\"}}\n", event, b"\n"].concat();
    let huge = event(&vec![b'x'; 2 * 1024 * 1024]);
    let not_utf8 = event(b"caf\xe9");
    let nul = vec![0; 100_000];
    let bad: [(&str, &[u8], &str); 6] = [
        ("huge", &huge, "more than the 1048576 allowed"),
        ("truncated", b"{\"message\":\"cut o", "EOF while parsing"),
        ("not UTF-8", &not_utf8, "invalid unicode"),
        ("NULs", &nul, "expected value"),
        ("deep object", &deep(10_000), "more than 32 deep"),
        ("deep array", &b"[".repeat(10_000), "EOF while parsing"),
    ];
    for (name, body, reason) in bad {
        let (code, said) =
            flat(&server, name, || post(&server, "/api/v1/ingest", "identity", body));
        assert!(matches!(code, 207 | 400), "{name}: {code} {said}");
        assert!(said.contains(reason), "{name}: {said}");
        let placed = said.contains("at line 1, column") || said.contains("\"line\":1");
        assert!(placed, "{name}: {said}");

        // A good event before and after: they are kept, and the fault is told by its line.
        let good = format!("{{\"message\":\"kept beside {name}\"}}");
        let beside = [good.as_bytes(), b"\n", body, b"\n", good.as_bytes()].concat();
        if name != "deep array" {
            let (code, said) = post(&server, "/api/v1/ingest", "identity", &beside);
            let said: Value = serde_json::from_str(&said).unwrap();
            assert_eq!((code, &said["accepted"]), (207, &json!(2)), "{name}: {said}");
            assert_eq!(said["errors"][0]["line"], 2, "{name}: {said}");
        }
        let items = [bulk(good.as_bytes()), bulk(body), bulk(good.as_bytes())].concat();
        let (code, said) = post(&server, "/_bulk", "identity", &items);
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((code, &said["errors"]), (200, &json!(true)), "{name}: {said}");
        let statuses: Vec<&Value> =
            (0..3).map(|at| &said["items"][at]["create"]["status"]).collect();
        assert_eq!(statuses, [201, 400, 201], "{name}");
        let told = said["items"][1]["create"]["error"]["reason"].as_str().unwrap();
        assert!(told.contains("line 4"), "{name}: {told}");
    }
    for (path, body, expected) in [
        ("/_bulk", &nul[..], 400),
        ("/_bulk", b"{\"create\":{\"_index\":\"a\"}}\n", 200),
        ("/_bulk", b"[]\n{}\n", 400),
        ("/api/v1/ingest", b"[{\"message\":\"in an open array\"}", 207),
    ] {
        assert_eq!(post(&server, path, "identity", body).0, expected, "{path}");
    }
    assert_eq!(post(&server, "/api/v1/ingest", "gzip", b"\x1f\x8bnot gzip").0, 400);
    assert_eq!(post(&server, "/api/v1/ingest", "lzma", b"{}").0, 415);
    let too_large = vec![b' '; 65 * 1024 * 1024];
    assert_eq!(post(&server, "/api/v1/ingest", "identity", &too_large).0, 413);
    drop(too_large);

    server.wait_for("message:kept", 5 * 2 + 6 * 2);
    server.wait_for("\"in an open array\"", 1);
    still_good(server, &data);
    let kept = raw(&data, "\"kept beside NULs\"");
    assert_eq!(kept, b"{\"message\":\"kept beside NULs\"}\n".repeat(4));
}

#[test]
fn compressed_bombs_cost_no_memory() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let server = Server::start(&data, &[]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 16 * 1024 * 1024]).unwrap();
    // RFC 1952 section 2.2: members one after another are one file; here of 1 GiB.
    let bomb = encoder.finish().unwrap().repeat(64);
    assert!(bomb.len() < 2 * 1024 * 1024);
    for path in ["/_bulk", "/api/v1/ingest"] {
        let (code, said) = flat(&server, path, || post(&server, path, "gzip", &bomb));
        assert_eq!(code, 413, "{path}: {said}");
        assert!(said.contains("expands to more than"), "{path}: {said}");
    }
    let small_bomb = bomb[..bomb.len() / 8].to_vec();
    flat(&server, "eight at once", || {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(post(&server, "/_bulk", "gzip", &small_bomb).0, 413));
            }
        });
    });
    assert_eq!(status(&server)["counters"]["journal.received"], 0);
    still_good(server, &data);
}

#[test]
fn a_line_without_end_costs_no_memory() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let server = Server::start(&data, &[]);
    let chunk = vec![b'A'; 1024 * 1024];
    let mut endless = TcpStream::connect(&server.syslog_tcp).unwrap();
    // A counted message that promises more than it may have, and an event over HTTP without end.
    let mut counted = TcpStream::connect(&server.syslog_tcp).unwrap();
    counted.write_all(b"9999999 <13>").unwrap();
    flat(&server, "endless lines", || {
        for _ in 0..50 {
            endless.write_all(&chunk).unwrap();
        }
        for _ in 0..9 {
            counted.write_all(&chunk).unwrap();
        }
        wait_until("all is read", || tcp_count(&server, "bytes") > 59 * 1024 * 1024);
    });
    // What may be kept of it is kept at once: nobody knows whether the line will ever end.
    server.wait_for("", 2);
    assert!(tcp_count(&server, "cut_bytes") > 58 * 1024 * 1024);
    drop((endless, counted));
    still_good(server, &data);
    let kept = raw(&data, "");
    let mut lengths: Vec<usize> = kept.split(|byte| *byte == b'\n').map(<[u8]>::len).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [0, GOOD.len(), 64 * 1024, 64 * 1024]);
}

#[test]
fn wrong_clocks_are_believed_or_replaced_but_never_lost() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let server = Server::start(&data, &[]);
    // What the source said; what it became (`None`: when we received it); whether it is suspect.
    let clocks: [(&str, Option<&str>, bool); 9] = [
        ("1970-01-01T00:00:00Z", Some("1970-01-01T00:00:00.000000Z"), true),
        ("2099-12-31T23:59:59Z", Some("2099-12-31T23:59:59.000000Z"), true),
        ("2026-11-21T10:00:00", Some("2026-11-21T10:00:00.000000Z"), false),
        ("2026-11-21T19:00:00+09:00", Some("2026-11-21T10:00:00.000000Z"), false),
        ("2026-02-30T10:00:00Z", None, false),
        ("2026-11-21T25:61:61Z", None, false),
        ("0000-00-00T00:00:00Z", None, false),
        ("99999-01-01T00:00:00Z", None, false),
        ("-", None, false),
    ];
    let mut syslog = String::new();
    let mut json_lines = String::new();
    for (number, (clock, _, _)) in clocks.iter().enumerate() {
        syslog.push_str(&format!("<13>1 {clock} h clock - - - syslog case {number} ends\n"));
        json_lines.push_str(&format!(
            "{{\"@timestamp\":\"{clock}\",\"message\":\"json case {number} ends\"}}\n"
        ));
    }
    let old: [(&str, Option<&str>); 4] = [
        // No year: the one that puts it nearest to now, never in the future.
        ("<13>Nov 99 99:99:99 h clock: old case 0 ends", None),
        ("<13>Jan  1 00:00:00 h clock: old case 1 ends", Some("-01-01T00:00:00.000000Z")),
        ("<13>Feb 29 10:00:00 h clock: old case 2 ends", Some("-02-29T10:00:00.000000Z")),
        ("<13>h clock: old case 3 ends", None),
    ];
    old.iter().for_each(|(line, _)| syslog.push_str(&format!("{line}\n")));
    send(&server, syslog.as_bytes());
    let (code, said) = post(&server, "/api/v1/ingest", "identity", json_lines.as_bytes());
    assert_eq!(code, 200, "{said}");

    let found = server.wait_for("", clocks.len() * 2 + old.len());
    let row = |text: &str| {
        let has = |row: &&Value| row["event.original"].as_str().unwrap().contains(text);
        found.iter().find(has).unwrap_or_else(|| panic!("no {text}"))
    };
    for (number, (clock, became, suspect)) in clocks.iter().enumerate() {
        for way in ["syslog", "json"] {
            let row = row(&format!("{way} case {number} ends"));
            let expected = became.unwrap_or(row["event.ingested"].as_str().unwrap());
            assert_eq!(row["@timestamp"], expected, "{way} {clock}: {row}");
            assert_eq!(row["yagura.clock_suspect"] == "true", *suspect, "{way} {clock}: {row}");
        }
    }
    for (line, became) in old {
        let row = row(line);
        let received = row["event.ingested"].as_str().unwrap();
        let time = row["@timestamp"].as_str().unwrap();
        match became {
            Some(end) => assert!(time.ends_with(end) && time < received, "{row}"),
            None => assert_eq!(time, received, "{row}"),
        }
    }
    let within = |from: &str, to: &str| {
        let found = server.yagura(&["search", "", "--from", from, "--to", to, "--output", "jsonl"]);
        rows(&found).len()
    };
    assert_eq!(within("1970-01-01T00:00:00Z", "1971-01-01T00:00:00Z"), 2);
    assert_eq!(within("2099-01-01T00:00:00Z", "2100-01-01T00:00:00Z"), 2);
    still_good(server, &data);
}

#[test]
fn ten_thousand_idle_connections_and_unfinished_lines_cost_little() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let hard = getrlimit(Resource::Nofile).maximum;
    // The usual limit of a login: the server must raise it by itself.
    open_files(Some(1024.min(hard.unwrap_or(u64::MAX))));
    let server = Server::start(&data, &[]);
    open_files(hard);
    let files = hard.map_or(usize::MAX, |files| usize::try_from(files).unwrap());
    let count = 10_000.min(files.saturating_sub(files.min(20_000) / 10).saturating_sub(600));
    if count < 10_000 {
        assert!(std::env::var_os("CI").is_none(), "CI must allow 12,000 open files (ulimit -Hn)");
        eprintln!("only {count} connections: `ulimit -Hn` is {files}");
    }
    let connections = flat(&server, "idle connections", || {
        let open = |number: usize| {
            let mut stream = TcpStream::connect(&server.syslog_tcp).unwrap();
            if number.is_multiple_of(10) {
                write!(stream, "<13>Nov 21 10:00:00 idle p: begun {number} and").unwrap();
            }
            stream
        };
        let connections: Vec<TcpStream> = (0..count).map(open).collect();
        wait_until("all are accepted", || tcp_count(&server, "connections_open") == count as u64);
        connections
    });
    assert_eq!(tcp_count(&server, "connections_refused"), 0);
    // Among them the server works on.
    send(&server, format!("{}\n", GOOD.replace("good", "among")).as_bytes());
    server.wait_for("host.name:among", 1);
    for mut stream in connections.iter().step_by(count / 10) {
        stream.write_all(b" <- finished late\n").unwrap();
    }
    server.wait_for("finished", 10);
    drop(connections);
    wait_until("all are closed", || tcp_count(&server, "connections_open") == 0);
    // What had begun and never ended is kept too, as far as it came.
    server.wait_for("host.name:idle", count.div_ceil(10));
    assert_eq!(tcp_count(&server, "unfinished"), count.div_ceil(10) as u64 - 10);
    still_good(server, &data);
}

#[test]
fn garbage_on_the_http_port_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let server = Server::start(&data, &[]);
    let noise: Vec<u8> =
        (0..100_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let long = [b"GET /", &vec![b'a'; 1_000_000][..], b" HTTP/1.1\r\n\r\n"].concat();
    let host = http_address(&server);
    let request = |line: &str, more: &str| {
        format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n").into_bytes()
    };
    let many = request("GET /", &"x: y\r\n".repeat(10_000));
    let cases: [(&str, Vec<u8>); 14] = [
        ("noise", noise),
        ("TLS", [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[7; 500]].concat()),
        ("syslog", format!("{GOOD}\n{GOOD}\n").into_bytes()),
        ("version", b"GET / HTTP/9.9\r\n\r\n".to_vec()),
        ("NULs", vec![0; 10_000]),
        ("long address", long),
        ("many headers", many),
        ("negative length", request("POST /_bulk", "Content-Length: -5\r\n")),
        ("two lengths", request("POST /_bulk", "Content-Length: 5\r\nContent-Length: 6\r\n")),
        ("bad chunk", request("POST /_bulk", "Transfer-Encoding: chunked\r\n\r\nZZZ\r\n")),
        ("parent", request("GET /assets/../../../../etc/passwd", "")),
        ("encoded parent", request("GET /assets/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "")),
        ("wrong parameter", request("GET /api/v1/search?limit=many", "")),
        ("method", request("BREW /api/v1/ingest", "")),
    ];
    for (name, bytes) in cases {
        let answer = flat(&server, name, || http_raw(&server, &[&bytes]));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(refused, "{name}: {answer}");
        assert!(!answer.contains("root:"), "{name}: {answer}");
    }
    assert_eq!(status(&server)["counters"]["journal.received"], 0);
    still_good(server, &data);
}

#[test]
fn wrong_rules_are_refused_by_name_and_the_good_ones_run() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let rules = scratch.path().join("rules");
    std::fs::create_dir_all(rules.join("folder.yml")).unwrap();
    let rule = |name: &str, detection: &str| {
        format!(
            "title: {name}\nid: {name}\nlevel: high\nlogsource: {{product: linux}}\n\
             detection:\n{detection}\n"
        )
    };
    let good = rule("good", "  words: ['yagura-canary']\n  condition: words");
    std::fs::write(rules.join("good.yml"), &good).unwrap();
    let bombs: String =
        (1..30).map(|level| format!("l{level}: &l{level} [*l{0}, *l{0}]\n", level - 1)).collect();
    let selection = |selection: &str| rule("x", &format!("  s: {selection}\n  condition: s"));
    let wrong: Vec<(&str, Vec<u8>)> = [
        ("empty", String::new()),
        ("no-yaml", "\tbad: [yaml\n".to_owned()),
        ("no-detection", "title: x\nlogsource: {product: linux}\n".to_owned()),
        ("no-title", good.replace("title: good\n", "")),
        ("no-logsource", good.replace("logsource: {product: linux}\n", "")),
        ("no-condition", rule("x", "  s: {a: b}")),
        ("condition-names-nothing", rule("x", "  s: {a: b}\n  condition: t")),
        ("condition-open", rule("x", "  s: {a: b}\n  condition: (s and")),
        ("condition-deep", rule("x", &format!("  s: {{a: b}}\n  condition: {}s{}", "(".repeat(9_999), ")".repeat(9_999)))),
        ("unknown-modifier", selection("{'a|sounds_like': b}")),
        ("bad-regex", selection("{'a|re': '(['}")),
        ("huge-regex", selection("{'a|re': '(((a{1000}){1000}){1000})'}")),
        ("bad-cidr", selection("{'a|cidr': '10.0.0.0/99'}")),
        ("bad-number", selection("{'a|lt': many}")),
        ("unknown-source", good.replace("product: linux", "product: vms")),
        ("aliases", format!("l0: &l0 [x]\n{bombs}{good}")),
        ("brackets", "[".repeat(100_000)),
        ("same-id", good.clone()),
        ("correlation", "title: c\ncorrelation: {type: event_count, rules: [nobody], timespan: 5m, condition: {gte: 2}}\n".to_owned()),
        ("too-large", format!("{good}# {}\n", "x".repeat(1024 * 1024))),
    ]
    .into_iter()
    .map(|(name, text)| (name, text.into_bytes()))
    .chain([("not-utf8", [good.as_bytes(), b"# caf\xe9\n"].concat()), ("nul", vec![0; 1000])])
    .collect();
    for (name, text) in &wrong {
        // Behind `good.yml` in the order of names, so that of two with one id the first is kept.
        std::fs::write(rules.join(format!("wrong-{name}.yml")), text).unwrap();
    }
    let server = Server::start(&data, &["--rules", rules.to_str().unwrap()]);
    let told = status(&server)["rules"].clone();
    let refusals = told["refusals"].as_array().unwrap();
    for (name, _) in &wrong {
        let path = rules.join(format!("wrong-{name}.yml"));
        let refusal = refusals.iter().find(|it| it["log.file.path"] == path.to_str().unwrap());
        let refusal = refusal.unwrap_or_else(|| panic!("{name} is not refused: {told}"));
        assert!(!refusal["reason"].as_str().unwrap().is_empty(), "{name}");
        assert_eq!(told["refused"], refusals.len());
    }
    assert_eq!(refusals.len(), wrong.len(), "{told}");
    server.send_syslog(&["<38>Nov 21 10:00:00 web01 p: the yagura-canary sings"]);
    server.wait_for("\"yagura-canary\"", 1);
    wait_until("the good rule's alert", || {
        let alerts = rows(&server.yagura(&["alerts", "--output", "jsonl"]));
        alerts.iter().any(|alert| alert["rule.name"] == "good")
    });
    still_good(server, &data);
}

#[test]
fn wrong_configuration_names_its_place_and_touches_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let file = scratch.path().join("yagura.toml");
    for (text, place) in [
        ("[http\nlisten = 1\n", "line 1"),
        ("lang = 'en'\n[http]\nlisten = 'everywhere'\n", "line 3"),
        ("[http]\nport = 80\n", "port"),
        ("[htpp]\n", "htpp"),
        ("[syslog]\nudp = '127.0.0.1:1'\n", "line 2"),
        ("[syslog]\nmessage_bytes_max = 0\n", "syslog.message_bytes_max: 0 is out of range"),
        ("[syslog]\nmessage_bytes_max = -1\n", "line 2"),
        ("[syslog]\nmessage_bytes_max = 99999999999999999999\n", "line 2"),
        ("[syslog]\nconnections_max = 1000001\n", "syslog.connections_max"),
        ("[rules]\ndirs = ['/nonexistent/rules']\n", "/nonexistent/rules"),
        ("[time]\nsource_zone = 'Mars/Olympus'\n", "time.source_zone"),
        ("[journal]\nqueue_mib = 0\n", "journal.queue_mib"),
        ("[lake]\nhot_mib = 15\n", "lake.hot_mib"),
        ("[alerts]\nmin_level = 'severe'\n", "line 2"),
        ("[webhook]\nurl = 'https://x'\n", "secret_file"),
        ("[webhook]\nurl = 'gopher://x'\nsecret_file = 's'\n", "webhook.url"),
        ("[http]\nlisten = '0.0.0.0:8440'\n", "administrator"),
        ("lang = 'fr'\n", "line 1"),
        ("[http]\nlisten = '127.0.0.1:1'\nlisten = '127.0.0.1:2'\n", "line 3"),
    ] {
        std::fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        let serve = Command::new(YAGURA)
            .args(["serve", "--config", path, "--data"])
            .arg(&data)
            .output()
            .unwrap();
        let check = Command::new(YAGURA).args(["config", "check", path]).output().unwrap();
        for output in [serve, check] {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{text}{said}");
            assert!(said.contains(path) && said.contains(place), "{text}{said}");
            assert!(output.stdout.is_empty());
        }
    }
    for bytes in [&b"lang = '\xff'\n"[..], &[0; 100]] {
        std::fs::write(&file, bytes).unwrap();
        let check = Command::new(YAGURA).args(["config", "check"]).arg(&file).output().unwrap();
        assert_eq!(check.status.code(), Some(1));
    }
    let missing = scratch.path().join("missing.toml");
    let check = Command::new(YAGURA).args(["config", "check"]).arg(&missing).output().unwrap();
    assert_eq!(check.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&check.stderr).contains("missing.toml"));
    assert!(!data.try_exists().unwrap(), "a wrong configuration must not create a store");
    let misuse = Command::new(YAGURA).args(["serve", "--htpp", "x"]).output().unwrap();
    assert_eq!(misuse.status.code(), Some(2));
}
