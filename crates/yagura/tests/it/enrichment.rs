//! Enrichment as a person meets it: configured, checked, searched, and inventories set by command.
use crate::common;
use crate::databases;
use common::{Server, YAGURA, http_address, http_raw, rows, succeeded, verify, yagura};
use std::path::Path;
use std::process::{Command, Output};

fn write(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let (path, new) = (dir.join(name), dir.join("new"));
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(&new, &path).unwrap();
    path.display().to_string()
}

fn failed_logon(server: &Server, host: &str, address: &str) {
    let line = format!(
        "<38>Nov 22 02:04:00 {host} sshd[7]: Failed password for alice from {address} port 4022 ssh2"
    );
    server.send_syslog(&[&line]);
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn check(config: &str, lang: &str) -> Output {
    Command::new(YAGURA).args(["config", "check", config, "--lang", lang]).output().unwrap()
}

#[test]
fn what_is_configured_and_set_is_found_by_searches() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let data = dir.join("data");
    let city = write(dir, "city.mmdb", databases::cities());
    let config = write(
        dir,
        "yagura.toml",
        format!(
            "[enrich.geo]\ncity = {city:?}\n[[enrich.network]]\nname = 'Lab'\ncidr = ['10.7.0.0/16']\n"
        ),
    );
    let checked = check(&config, "en");
    assert_eq!((checked.status.code(), said(&checked).contains("no database")), (Some(0), false));
    let server = Server::start(&data, &["--config", &config]);
    failed_logon(&server, "ws7", "203.0.113.1");
    failed_logon(&server, "ws7", "10.7.0.1");
    let found = server.wait_for("source.geo.country_iso_code:NL", 1);
    assert_eq!(found[0]["source.geo.country_name"], "Netherlands");
    server.wait_for("source.network.name:Lab", 1);

    let users = write(dir, "users.csv", "アカウント,部署,特権,内線\nalice,経理部,なし,1234\n");
    for (kind, csv) in
        [("users", users), ("assets", write(dir, "assets.csv", "name,criticality\nws7,high\n"))]
    {
        let set = server.yagura(&["inventory", "import", kind, &csv]);
        succeeded(&set);
        assert_eq!(said(&set).contains("内線"), kind == "users", "{set:?}");
    }
    failed_logon(&server, "WS7", "203.0.113.1");
    server.wait_for("host.asset.criticality:high and user.department:経理部", 1);
    let listed = rows(&server.yagura(&["inventory", "list", "users", "--output", "jsonl"]));
    assert_eq!(listed[0]["user.department"], "経理部");
    for output in ["table", "csv", "json"] {
        let listed = server.yagura(&["inventory", "list", "assets", "--output", output]);
        succeeded(&listed);
        assert!(String::from_utf8_lossy(&listed.stdout).contains("ws7"));
    }

    // What is wrong is named; what was in use stays.
    let wrong = write(dir, "wrong.csv", "name,privileged\nalice,maybe\n");
    let refused = server.yagura(&["inventory", "import", "users", &wrong, "--lang", "en"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("wrong.csv: line 2, column \"privileged\""), "{refused:?}");
    let refused = server.yagura(&["inventory", "import", "users", &wrong, "--lang", "ja"]);
    assert!(said(&refused).contains("2行目"), "{refused:?}");
    let none = server.yagura(&["inventory", "import", "users", "/nonexistent/x", "--lang", "ja"]);
    assert!(said(&none).contains("/nonexistent/x を読めません"), "{none:?}");
    assert_eq!(server.yagura(&["inventory", "import", "planets", &wrong]).status.code(), Some(2));
    let put = format!(
        "PUT /api/v1/inventory/users HTTP/1.1\r\nHost: {}\r\nContent-Length: 4\r\n\
         Connection: close\r\n\r\nname",
        http_address(&server)
    );
    let answer = String::from_utf8(http_raw(&server, &[put.as_bytes()])).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "acts need the header: {answer}");
    let put = put.replace("Host:", "Yagura-Request: 1\r\nHost:").replace("/users", "/planets");
    let answer = String::from_utf8(http_raw(&server, &[put.as_bytes()])).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    server.stop();
    assert_eq!(verify(&data).0, 0);

    // The directory itself answers the same.
    let listed = rows(&yagura(&data, &["inventory", "list", "users", "--output", "jsonl"]));
    assert_eq!(listed.len(), 1);
    succeeded(&yagura(&data, &["inventory", "import", "users", &write(dir, "e.csv", "name\n")]));
    let listed = yagura(&data, &["inventory", "list", "users", "--lang", "ja"]);
    assert!(said(&listed).contains("登録がありません"), "{listed:?}");
}

#[test]
fn a_wrong_configuration_is_named_before_anything_starts() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let cities = databases::cities();
    let city = write(dir, "city.mmdb", &cities[..cities.len() / 2]);
    let asn = write(dir, "asn.mmdb", databases::systems());
    let csv = write(dir, "assets.csv", "name,ip\na,10.0.0\n");
    for (text, part) in [
        (format!("[enrich.geo]\ncity = {city:?}\n"), "city.mmdb"),
        (format!("[enrich.geo]\ncity = {asn:?}\n"), "Test-ASN"),
        ("[enrich.geo]\ncity = '/nonexistent/x'\n".to_owned(), "/nonexistent/x"),
        ("[enrich.geo]\ncities = 'x'\n".to_owned(), "cities"),
        (format!("[enrich.inventory]\nassets = [{csv:?}]\n"), "assets.csv: line 2"),
        ("[[enrich.network]]\nname = 'a'\ncidr = ['10.1.0.1/16']\n".to_owned(), "10.1.0.0/16"),
    ] {
        let config = write(dir, "yagura.toml", &text);
        let checked = check(&config, "en");
        assert_eq!(checked.status.code(), Some(1), "{text}");
        assert!(said(&checked).contains(part), "{text}: {}", said(&checked));
    }
    let checked = check(&write(dir, "yagura.toml", "lang = 'ja'\n"), "ja");
    assert_eq!(checked.status.code(), Some(0));
    assert!(said(&checked).contains("docs/enrichment.ja.md"), "{}", said(&checked));
    // Who asks for a language gets it, whatever the file says.
    let checked = check(&write(dir, "yagura.toml", "lang = 'ja'\n"), "en");
    assert!(said(&checked).contains("docs/enrichment.md"), "{}", said(&checked));
}

#[test]
fn a_scan_is_enriched_too() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let city = write(dir, "city.mmdb", databases::cities());
    let config = write(dir, "yagura.toml", format!("[enrich.geo]\ncity = {city:?}\n"));
    std::fs::create_dir(dir.join("rules")).unwrap();
    let rule = "title: From NL\nid: from-nl\nlevel: high\nlogsource:\n  product: linux\n\
                detection:\n  s:\n    source.geo.country_iso_code: NL\n  condition: s\n";
    write(dir, "rules/a.yml", rule);
    let line =
        "Nov 22 02:04:00 ws7 sshd[7]: Failed password for alice from 203.0.113.1 port 4022 ssh2\n";
    let log = write(dir, "auth.log", line);
    let rules = dir.join("rules").display().to_string();
    let scan = |extra: &[&str]| {
        let base =
            ["scan", &log, "--rules", &rules, "--no-builtin", "--quiet", "--output", "jsonl"];
        rows(&Command::new(YAGURA).args(base).args(extra).output().unwrap()).len()
    };
    assert_eq!((scan(&[]), scan(&["--config", &config])), (0, 1));
}
