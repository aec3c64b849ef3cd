//! Sources as a person sees them, and events read again, also when that is killed.
use crate::common;
use common::{Server, rows, succeeded, verify, yagura};
use std::path::Path;

/// Lines that no decoder knows.
fn odd(server: &Server, count: usize) {
    let lines: Vec<String> =
        (0..count).map(|n| format!("<13>Nov 21 10:00:00 db01 legacy: %% {n}")).collect();
    server.send_syslog(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    server.wait_for("host.name:db01", count);
}

fn configuration(dir: &Path) -> String {
    let path = dir.join("yagura.toml");
    let text = "[[source]]\nprogram = 'legacy'\ndataset = 'network.vpn'\n";
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn count(server: &Server, dataset: &str) -> usize {
    let found = server.yagura(&[
        "search",
        &format!("event.dataset:{dataset}"),
        "--limit",
        "0",
        "--output",
        "jsonl",
    ]);
    rows(&found).len()
}

#[test]
fn sources_are_listed_and_their_events_read_again() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let server = Server::start(&data, &[]);
    odd(&server, 20);
    let listed = server.yagura(&["sources", "--output", "jsonl"]);
    succeeded(&listed);
    let source = &rows(&listed)[0];
    assert_eq!((&source["host.name"], &source["events"]), (&"db01".into(), &20.into()));
    for format in ["table", "json", "csv"] {
        let listed = server.yagura(&["sources", "--output", format, "--lang", "ja"]);
        succeeded(&listed);
        assert!(String::from_utf8_lossy(&listed.stdout).contains("db01"));
    }
    succeeded(&server.yagura(&["sources", "--failures"]));
    succeeded(&server.yagura(&["sources", "--drift"]));
    server.stop();

    let server = Server::start(&data, &["--config", &configuration(scratch.path())]);
    let dry = server.yagura(&["reprocess", "--source", "db01", "--dry-run", "--output", "jsonl"]);
    succeeded(&dry);
    let change = &rows(&dry)[0];
    assert_eq!((&change["to"], &change["events"]), (&"network.vpn".into(), &20.into()));
    assert_eq!(count(&server, "network.vpn"), 0);
    let done = server.yagura(&["reprocess", "--source", "db01", "--quiet"]);
    succeeded(&done);
    assert!(String::from_utf8_lossy(&done.stderr).contains("yagura hunt"));
    assert_eq!(count(&server, "network.vpn"), 20);
    server.stop();
    let (code, said) = verify(&data);
    assert_eq!(code, 0, "{said}");
    // The directory itself answers the same, with what the server was told.
    let found = yagura(&data, &["search", "event.dataset:network.vpn", "--output", "jsonl"]);
    assert_eq!(rows(&found).len(), 20);
}

#[test]
fn killed_while_rereading_nothing_is_lost_and_it_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let server = Server::start(&data, &[]);
    odd(&server, 3_000);
    server.stop();
    let configuration = configuration(scratch.path());
    for pause_ms in [0, 5, 20, 60, 150] {
        let server = Server::start(&data, &["--config", &configuration]);
        let body = r#"{"source":"db01"}"#;
        common::http_raw(
            &server,
            &[format!(
                "POST /api/v1/reprocess HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
                 Yagura-Request: 1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                common::http_address(&server),
                body.len()
            )
            .as_bytes()],
        );
        std::thread::sleep(std::time::Duration::from_millis(pause_ms));
        server.kill();
        let (code, said) = verify(&data);
        assert_eq!(code, 0, "after {pause_ms} ms: {said}");
        let (old, new) = {
            let server = Server::start(&data, &[]);
            server.wait_for("host.name:db01", 3_000);
            (count(&server, "linux.syslog"), count(&server, "network.vpn"))
        };
        assert_eq!(old + new, 3_000);
        assert!(old == 0 || new == 0, "{old} old and {new} new in one flush");
    }
    let server = Server::start(&data, &["--config", &configuration]);
    succeeded(&server.yagura(&["reprocess", "--source", "db01", "--quiet"]));
    assert_eq!(count(&server, "network.vpn"), 3_000);
    server.stop();
    assert_eq!(verify(&data).0, 0);
}
