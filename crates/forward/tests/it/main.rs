//! Targets against receivers in this process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broker;
mod certificates;
mod http;
mod kafka;
mod scram;
mod syslog;

use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use yagura_event::{FieldDictionary, Lang};
use yagura_forward::{ForwardError, Kind, Later, Refused, Row, Settings, Target};

/// A directory with a file `token` only we may read.
fn token_dir() -> (tempfile::TempDir, PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "s3cret\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    (dir, path)
}

fn settings(to: Kind, url: &str) -> Settings {
    Settings { allow_private: true, ..Settings::new("siem", to, url) }
}

fn target(settings: &Settings) -> Result<Target, ForwardError> {
    Target::new(settings, Arc::new(FieldDictionary::default()), Lang::En)
}

fn event(number: usize, text: &str) -> Row {
    let row = json!({
        "event.id": format!("syslog/1/{number}"), "@timestamp": "2026-11-21T01:02:03.456789Z",
        "event.ingested": "2026-11-21T01:02:04Z", "event.dataset": "linux.auth", "host.name": "web01",
        "sentence": { "ja": "失敗", "en": "It failed" }, "fields": { "user.name": "tanaka" },
        "event.original": text,
    });
    row.as_object().unwrap().clone()
}

/// Sends until all is settled; the refused ones.
async fn send_all(target: &mut Target, events: &[Row]) -> Result<Vec<Refused>, Later> {
    let (mut rest, mut refused) = (events, Vec::new());
    while !rest.is_empty() {
        let settled = target.send_some(rest).await?;
        refused.extend(settled.refused);
        rest = &rest[settled.events..];
    }
    Ok(refused)
}

#[test]
fn what_cannot_be_right_is_refused_with_the_remedy() {
    let (dir, token) = token_dir();
    let open = dir.path().join("open");
    std::fs::write(&open, "s3cret").unwrap();
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&empty, std::fs::Permissions::from_mode(0o600)).unwrap();
    let hec = |url: &str| settings(Kind::SplunkHec, url);
    let syslog = |url: &str| settings(Kind::Syslog, url);
    for (wrong, said) in [
        (Settings { name: "A".to_owned(), ..hec("https://192.0.2.1") }, "a name has 1 to 32"),
        (Settings { name: "a".repeat(33), ..hec("https://192.0.2.1") }, "a name has 1 to 32"),
        (Settings { allow_private: false, ..hec("http://splunk.example") }, "use https"),
        (Settings { allow_private: false, ..hec("https://127.0.0.1:8088") }, "inner address"),
        (hec("ftp://splunk.example"), "not supported"),
        (Settings { token_file: Some(open), ..hec("https://192.0.2.1") }, "chmod 600"),
        (Settings { token_file: Some(empty), ..hec("https://192.0.2.1") }, "one line"),
        (Settings { token_file: Some(dir.path().join("no")), ..hec("https://192.0.2.1") }, "no: "),
        (syslog("192.0.2.1:514"), "tcp://host:port"),
        (syslog("tcp://192.0.2.1"), "tcp://host:port"),
        (syslog("http://192.0.2.1:514"), "tcp://host:port"),
        (Settings { allow_private: false, ..syslog("tcp://192.0.2.1:514") }, "without TLS"),
        (syslog("tls://192.0.2.1:6514"), "needs ca_file"),
        (
            Settings { ca_file: Some(token.clone()), ..syslog("tls://192.0.2.1:6514") },
            "no certificate",
        ),
        (
            Settings { ca_file: Some(token.clone()), ..syslog("udp://192.0.2.1:514") },
            "for tls:// only",
        ),
        (
            Settings { token_file: Some(token.clone()), ..syslog("udp://192.0.2.1:514") },
            "no tokens",
        ),
    ] {
        let error = target(&wrong).err().unwrap();
        let words = error.words();
        assert!(words.en().contains(said), "{wrong:?}: {words}");
        assert!(words.ja().contains("転送先"), "{}", words.ja());
    }
    let right =
        Settings { name: "a".repeat(32), token_file: Some(token), ..hec("https://192.0.2.1") };
    assert_eq!(target(&right).unwrap().receiver(), "192.0.2.1:443");
}
