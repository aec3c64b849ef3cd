//! The HTTP port as senders and strangers meet it: what they ask before they send, single
//! documents, refusals in the shape of the API they speak, crowds, and slowness.

use crate::common;
use common::{Server, flat, http_address, http_raw, open_files, status, verify, wait_until};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

struct Said {
    status: u16,
    head: String,
    body: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    fn is_elasticsearchs(&self) -> bool {
        self.head.to_ascii_lowercase().contains("x-elastic-product: elasticsearch")
    }
}

/// Asks once, with `more` header lines, and takes the answer apart.
fn ask(server: &Server, request: &str, more: &str, body: &[u8]) -> Said {
    let length = match body {
        [] => String::new(),
        body => format!("Content-Length: {}\r\n", body.len()),
    };
    let head = format!(
        "{request} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{length}{more}\r\n",
        http_address(server)
    );
    let answer = String::from_utf8(http_raw(server, &[head.as_bytes(), body])).unwrap();
    let (head, body) =
        answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request}: nothing"));
    let status = head[9..12].parse().unwrap();
    Said { status, head: head.to_owned(), body: body.to_owned() }
}

fn http_count(server: &Server, name: &str) -> u64 {
    let status = status(server);
    let listeners = status["listeners"].as_array().unwrap();
    let http = listeners.iter().find(|listener| listener["kind"] == "http").unwrap();
    http["counters"][name].as_u64().unwrap_or_else(|| panic!("no counter {name}"))
}

/// What Filebeat and Winlogbeat, Logstash, Fluentd, Vector, rsyslog and the clients ask before they
/// send, each with what makes it go on.
#[test]
fn what_senders_ask_first_lets_them_go_on() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Server::start(&scratch.path().join("data"), &[]);
    for (request, key, value) in [
        ("GET /", "/version/number", json!("8.15.0")),
        ("GET /_license?human=false", "/license/status", json!("active")),
        ("GET /_xpack", "/license/type", json!("basic")),
        ("GET /_cluster/health", "/status", json!("green")),
        ("GET /_cluster/state/version", "/cluster_name", json!("yagura")),
        ("GET /_nodes/http", "/nodes/yagura/http/publish_address", json!(http_address(&server))),
        ("GET /_ilm/policy/filebeat", "/acknowledged", json!(true)),
        ("PUT /_ilm/policy/logstash-policy", "/acknowledged", json!(true)),
        ("PUT /_index_template/winlogbeat-8.15.0", "/acknowledged", json!(true)),
        ("PUT /_component_template/ecs", "/acknowledged", json!(true)),
        ("GET /_template/logstash", "/acknowledged", json!(true)),
        ("PUT /_ingest/pipeline/filebeat-8.15.0-nginx", "/acknowledged", json!(true)),
        ("GET /_data_stream/logs-generic-default", "/acknowledged", json!(true)),
        ("PUT /_data_stream/winlogbeat-8.15.0", "/acknowledged", json!(true)),
        ("PUT /%3Clogstash-%7Bnow%2Fd%7D-000001%3E", "/index", json!("<logstash-{now/d}-000001>")),
        ("POST /_aliases", "/acknowledged", json!(true)),
    ] {
        let said = ask(&server, request, "", b"");
        assert_eq!(said.status, 200, "{request}: {}", said.body);
        assert!(said.is_elasticsearchs(), "{request}: {}", said.head);
        assert_eq!(said.json().pointer(key), Some(&value), "{request}: {}", said.body);
    }
    for request in [
        "HEAD /",
        "HEAD /_index_template/logstash",
        "HEAD /_template/logstash",
        "HEAD /_alias/filebeat-8.15.0",
        "HEAD /_ilm/policy/logstash-policy",
        "HEAD /filebeat-2026.11.21",
    ] {
        let said = ask(&server, request, "", b"");
        assert_eq!((said.status, &*said.body), (200, ""), "{request}");
        assert!(said.is_elasticsearchs(), "{request}: {}", said.head);
    }
    let said = ask(&server, "GET /_cat/health", "", b"");
    assert!(said.body.starts_with("yagura green 1 1 "), "{}", said.body);
}

#[test]
fn single_documents_are_events() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let server = Server::start(&data, &[]);
    let document = |number: u32| format!("{{\"message\":\"single document\",\"n\":{number}}}");
    for (number, request) in [
        "POST /app/_doc",
        "POST /app/_doc/seven",
        "PUT /app/_doc/seven?refresh=wait_for",
        "PUT /app/_create/8",
        "POST /app/_create/9?pipeline=x",
    ]
    .into_iter()
    .enumerate()
    {
        let body = document(u32::try_from(number).unwrap());
        let said = ask(&server, request, "Content-Type: application/json\r\n", body.as_bytes());
        let told = said.json();
        assert_eq!(said.status, 201, "{request}: {told}");
        assert!(said.is_elasticsearchs());
        assert_eq!(
            (&told["_index"], &told["result"]),
            (&json!("app"), &json!("created")),
            "{told}"
        );
        assert!(told["_id"].as_str().is_some_and(|id| !id.is_empty()) && told["_version"] == 1);
        assert!(told["_seq_no"].is_u64() && told["_primary_term"] == 1, "{told}");
        assert_eq!(told["_shards"]["successful"], 1);
        assert!(told.get("status").is_none() && told.get("error").is_none(), "{told}");
    }
    assert_eq!(ask(&server, "PUT /app/_doc/seven", "", b"{}").json()["_id"], "seven");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(document(5).as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    assert_eq!(ask(&server, "POST /app/_doc", "Content-Encoding: gzip\r\n", &gzip).status, 201);
    for (body, kind, reason) in [
        (&b"{\"message\": x}"[..], "document_parsing_exception", "line 1, column 13"),
        (b"", "document_parsing_exception", "the document is missing"),
        (b"[1]", "document_parsing_exception", "an event must be a JSON object"),
    ] {
        let said = ask(&server, "POST /app/_doc", "", body);
        let told = said.json();
        assert_eq!((said.status, &told["status"]), (400, &json!(400)), "{told}");
        assert_eq!(told["error"]["type"], kind, "{told}");
        assert_eq!(told["error"]["root_cause"][0]["type"], kind, "{told}");
        assert!(told["error"]["reason"].as_str().unwrap().contains(reason), "{told}");
    }
    let found = server.wait_for("\"single document\"", 6);
    assert!(found.iter().all(|row| row["yagura.stream"] == "elastic/app"), "{found:?}");
    server.stop();
    let (code, said) = verify(&data);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn refusals_speak_the_api_they_were_asked_in() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Server::start(&scratch.path().join("data"), &[]);
    let json_type = "Content-Type: application/json\r\n";
    let large = format!("Content-Length: {}\r\n", 65 * 1024 * 1024);
    let foreign = "Origin: http://evil.example\r\n";
    let act = format!("{json_type}Yagura-Request: 1\r\n");
    for (request, more, body, code, place) in [
        ("GET /api/v1/nothing", "", "", 404, ""),
        ("GET /api", "", "", 404, ""),
        ("GET /assets/nothing.js", "", "", 404, ""),
        ("GET /favicon.ico", "", "", 404, ""),
        ("PUT /api", "", "", 404, ""),
        ("DELETE /api/v1/search", "", "", 405, ""),
        ("GET /api/v1/ingest", "", "", 405, ""),
        ("GET /api/v1/search?limit=many", "", "", 400, "limit=many"),
        ("GET /api/v1/search?nonsense=1", "", "", 400, "nonsense=1"),
        ("GET /api/v1/search?from=then", "", "", 400, ""),
        ("GET /api/v1/search?query=a%20and", "", "", 400, "a and"),
        ("GET /api/v1/complete?at=here", "", "", 400, "at=here"),
        ("GET /api/v1/alerts?level=severe", "", "", 400, "level=severe"),
        ("POST /api/v1/sql", json_type, "{\"sql\": 1}", 400, "line 1, column 9"),
        ("POST /api/v1/sql", json_type, "{", 400, "line 1, column 1"),
        ("POST /api/v1/sql", "", "{\"sql\": \"select 1\"}", 415, ""),
        ("POST /api/v1/sql", json_type, "{\"sql\": \"drop table events\"}", 400, ""),
        ("POST /api/v1/verify", json_type, "{\"from\": []}", 400, "line 1"),
        ("POST /api/v1/alerts/A-1/close", &act, "{\"verdict\": \"maybe\"}", 400, "line 1"),
        ("POST /api/v1/alerts/A-1/close", json_type, "{}", 403, ""),
        ("POST /api/v1/ingest", "", "nonsense", 400, ""),
        ("POST /api/v1/ingest", &large, "", 413, ""),
        ("POST /api/v1/ingest", foreign, "{}", 403, ""),
        ("GET /api/v1/events/x/proof", "", "", 400, ""),
    ] {
        let said = ask(&server, request, more, body.as_bytes());
        assert_eq!(said.status, code, "{request}: {}", said.body);
        let error = said.json()["error"].clone();
        for key in ["code", "message", "message_ja"] {
            assert!(error[key].as_str().is_some_and(|text| !text.is_empty()), "{request}: {error}");
        }
        let told = error["place"].as_str().unwrap_or_default();
        assert!(told.contains(place), "{request}: {error}");
        assert!(said.head.contains("content-security-policy"), "{request}: {}", said.head);
    }
    for (request, more, body, code) in [
        ("GET /_search", "", "", 404),
        ("POST /logs/_search", "", "{}", 404),
        ("GET /logs", "", "", 404),
        ("GET /_bulk", "", "", 405),
        ("POST /_bulk", "", "nonsense", 400),
        ("POST /_bulk", "Content-Encoding: lzma\r\n", "x", 415),
        ("POST /_bulk", &large, "", 413),
        ("POST /logs/_doc", &large, "", 413),
        ("POST /_bulk", foreign, "", 403),
        ("POST /logs/_doc/%FF", "", "{}", 400),
    ] {
        let said = ask(&server, request, more, body.as_bytes());
        let told = said.json();
        assert_eq!((said.status, &told["status"]), (code, &json!(code)), "{request}: {told}");
        assert!(said.is_elasticsearchs(), "{request}: {}", said.head);
        assert!(told["error"]["type"].is_string(), "{request}: {told}");
        assert!(told["error"]["root_cause"][0]["reason"].is_string(), "{request}: {told}");
    }
    let said = ask(&server, "PATCH /api/v1/ingest", "", b"");
    assert!(said.json()["error"]["message"].as_str().unwrap().contains("POST"), "{}", said.body);
    assert!(http_count(&server, "answers_refused") >= 30);
    assert_eq!(http_count(&server, "answers_failed"), 0);
    assert_eq!(http_count(&server, "bodies_too_large"), 3);
}

#[test]
fn ten_thousand_idle_connections_leave_room_for_requests() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let hard = getrlimit(Resource::Nofile).maximum;
    open_files(Some(1024.min(hard.unwrap_or(u64::MAX))));
    let server = Server::start(&data, &[]);
    open_files(hard);
    let files = hard.map_or(usize::MAX, |files| usize::try_from(files).unwrap());
    let count = 10_000.min(files.saturating_sub(1_000));
    if count < 10_000 {
        assert!(std::env::var_os("CI").is_none(), "CI must allow 12,000 open files (ulimit -Hn)");
        eprintln!("only {count} connections: `ulimit -Hn` is {files}");
    }
    let connections = flat(&server, "idle connections", || {
        let open = |number: usize| {
            let mut stream = TcpStream::connect(http_address(&server)).unwrap();
            if number.is_multiple_of(10) {
                // One that we displaced may be closed already.
                let _ = stream.write_all(b"POST /_bulk HTTP/1.1\r\nhost: 127");
            }
            stream
        };
        let connections: Vec<TcpStream> = (0..count).map(open).collect();
        wait_until("all are accepted", || http_count(&server, "connections") > count as u64);
        connections
    });
    let open = http_count(&server, "connections_open");
    assert!(open <= 4_096, "{open} are open");
    assert!(http_count(&server, "connections_displaced") >= count as u64 - open);
    assert_eq!(http_count(&server, "connections_refused"), 0);
    // Each of these takes the place of one that only waits.
    for number in 0..50 {
        let body = format!("{{\"message\":\"among the idle\",\"n\":{number}}}");
        assert_eq!(ask(&server, "POST /app/_doc", "", body.as_bytes()).status, 201);
    }
    server.wait_for("\"among the idle\"", 50);
    drop(connections);
    // The one that asks is open itself.
    wait_until("all are closed", || http_count(&server, "connections_open") == 1);
    server.stop();
    let (code, said) = verify(&data);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn slow_requests_are_given_up_and_counted() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let config = scratch.path().join("yagura.toml");
    std::fs::write(&config, "[http]\nrequest_timeout_s = 1\nidle_timeout_s = 3\n").unwrap();
    let server = Server::start(&data, &["--config", config.to_str().unwrap()]);
    let address = http_address(&server).to_owned();
    let rest = |mut stream: TcpStream| {
        let mut answer = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    };
    let begin = |text: String| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let head = begin("POST /_bulk HTTP/1.1\r\nHost: 127.0.0.1\r\n".to_owned());
    let body = |path: &str| {
        begin(format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 99\r\n\r\n{{"))
    };
    let (ours, elastics) = (body("/api/v1/ingest"), body("/_bulk"));
    let silent = begin(String::new());
    assert_eq!(rest(head), "");
    let answer = rest(ours);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\"code\":\"too-slow\""), "{answer}");
    let answer = rest(elastics);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("root_cause"), "{answer}");
    assert_eq!(rest(silent), "");
    // A body whose sender leaves.
    let cut = body("/api/v1/ingest");
    cut.shutdown(std::net::Shutdown::Write).unwrap();
    rest(cut);
    wait_until("the cut body is counted", || http_count(&server, "bodies_cut") == 1);
    assert_eq!(http_count(&server, "connections_slow_closed"), 1);
    assert_eq!(http_count(&server, "bodies_too_slow"), 2);
    assert_eq!(http_count(&server, "connections_idle_closed"), 1);
    assert_eq!(status(&server)["counters"]["journal.received"], 0);
}
