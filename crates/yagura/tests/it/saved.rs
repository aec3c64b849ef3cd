//! Searches that are watched, ended, linked and saved, through the real binary.
use crate::common;
use common::{Server, http_address, http_raw, rows, succeeded, verify, wait_until, yagura};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

fn request(server: &Server, method: &str, path: &str) -> (u16, Value) {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nYagura-Request: 1\r\nConnection: close\r\n\r\n",
        http_address(server)
    );
    let answer = String::from_utf8(http_raw(server, &[head.as_bytes()])).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

/// Imports so much that an answer that nobody reads fills the sockets and all that is computed ahead.
fn import_much(data: &Path, scratch: &Path) {
    let padding = "x".repeat(100);
    let mut text = String::new();
    for number in 0..80_000 {
        writeln!(text, "Nov 21 10:00:00 web01 app[7]: line {number} {padding}").unwrap();
    }
    let file = scratch.join("much.log");
    std::fs::write(&file, text).unwrap();
    succeeded(&yagura(data, &["import", file.to_str().unwrap()]));
}

/// A search whose answer nobody reads, which therefore goes on.
fn unread(server: &Server, id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(http_address(server)).unwrap();
    let request = format!(
        "GET /api/v1/search?search_id={id} HTTP/1.1\r\nHost: {}\r\nAccept: \
         application/x-ndjson\r\nConnection: close\r\n\r\n",
        http_address(server)
    );
    stream.write_all(request.as_bytes()).unwrap();
    wait_until("the search runs", || {
        let (status, progress) = request_progress(server, id);
        // Rows are there once they are in order.
        status == 200 && progress["rows_found"].as_u64() > Some(0)
    });
    stream
}

fn request_progress(server: &Server, id: &str) -> (u16, Value) {
    request(server, "GET", &format!("/api/v1/search/{id}"))
}

#[test]
fn a_search_is_watched_and_ended_by_its_id_or_its_connection() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    import_much(&data, scratch.path());
    let server = Server::start(&data, &[]);

    let mut ended = unread(&server, "ended");
    let (_, progress) = request_progress(&server, "ended");
    assert_eq!((&progress["phase"], &progress["files"]), (&json!("running"), &json!(1)));
    let (status, _) = request(&server, "DELETE", "/api/v1/search/ended");
    assert_eq!(status, 200);
    wait_until("it ends", || request_progress(&server, "ended").1["phase"] == "ended");
    // Its reader is told that rows are missing.
    let mut answer = String::new();
    ended.read_to_string(&mut answer).unwrap();
    let last = answer.lines().rfind(|line| line.starts_with("{\"end\"")).unwrap();
    let end: Value = serde_json::from_str(last).unwrap();
    assert_eq!((&end["end"]["cut"], &end["end"]["cancelled"]), (&json!(true), &json!(true)));
    assert_eq!(end["end"]["error"]["message_ja"], "検索は取り消されました");
    wait_until("it is forgotten", || request_progress(&server, "ended").0 == 404);
    assert_eq!(request(&server, "DELETE", "/api/v1/search/ended").0, 404);

    drop(unread(&server, "left"));
    wait_until("it ends with its connection", || request_progress(&server, "left").0 == 404);

    server.stop();
}

#[test]
fn a_link_shows_the_rows_of_its_moment_whatever_comes_later() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let server = Server::start(&data, &[]);
    let now = jiff::Timestamp::now();
    let line = |number: u32| format!("<38>1 {now} web01 sshd 42 - - line {number} of sshd");
    server.send_syslog(&[&line(1), &line(2)]);
    server.wait_for("sshd", 2);
    let link =
        ["search", "sshd @timestamp>now-1h", "--last", "24h", "--columns", "user.name,host.name"];
    let printed = server.yagura(&[&link[..], &["--oldest-first", "--link"]].concat());
    succeeded(&printed);
    let printed = String::from_utf8(printed.stdout).unwrap();
    let address = printed.trim().strip_prefix(&server.http).unwrap().strip_prefix("/?").unwrap();
    for part in ["as_of=20", "from=20", "sort=oldest", "columns=user.name%2Chost.name"] {
        assert!(address.contains(part), "{address}");
    }
    assert!(!address.contains("last="), "{address}");
    server.send_syslog(&[&line(3)]);
    server.wait_for("sshd", 3);
    let (status, answer) = request(&server, "GET", &format!("/api/v1/search?{address}"));
    assert_eq!(status, 200, "{answer}");
    let texts: Vec<&str> = answer["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["event.original"].as_str().unwrap().rsplit("line ").next().unwrap())
        .collect();
    assert_eq!(texts, ["1 of sshd", "2 of sshd"]);
    server.stop();
    let refused = yagura(&data, &["search", "sshd", "--link"]);
    assert_eq!(refused.status.code(), Some(2), "a directory has no page");
}

#[test]
fn searches_are_saved_run_removed_and_had_back_by_the_commands() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, file) = (scratch.path().join("data"), scratch.path().join("auth.log"));
    let text = "Nov 21 10:00:00 web01 sshd[42]: Failed password for root from 203.0.113.9 port 1 ssh2\n\
                Nov 21 10:00:01 web01 sshd[42]: Accepted password for sato from 192.0.2.7 port 2 ssh2\n";
    std::fs::write(&file, text).unwrap();
    succeeded(&yagura(&data, &["import", file.to_str().unwrap()]));
    let saved = |arguments: &[&str]| yagura(&data, &[&["saved"], arguments].concat());
    let add = ["add", "失敗した ログオン", "sshd failed", "--columns", "user.name,source.ip"];
    succeeded(&saved(&add));
    assert_eq!(saved(&add).status.code(), Some(2), "the name is taken");
    let schedule =
        ["--replace", "--daily", "08:00", "--level", "high", "--time-zone", "Asia/Tokyo"];
    succeeded(&saved(&[&add[..], &schedule].concat()));
    let found = rows(&saved(&["run", "失敗した　ﾛｸﾞｵﾝ", "--output", "jsonl"]));
    assert_eq!(found, [json!({ "user.name": "root", "source.ip": "203.0.113.9" })]);

    succeeded(&saved(&["remove", "失敗した ログオン"]));
    assert_eq!(saved(&["run", "失敗した ログオン"]).status.code(), Some(2));
    succeeded(&saved(&["restore", "失敗した ログオン"]));
    let [one] = rows(&saved(&["list", "--output", "jsonl"])).try_into().unwrap();
    assert_eq!((&one["name"], &one["schedule"]["daily"]), (&json!(add[1]), &json!("08:00")));
    assert!(one["next_run"].as_str().unwrap().contains("T23:00:00"), "{one}");
    let history = saved(&["history", "失敗した ログオン", "--lang", "ja"]);
    succeeded(&history);
    let history = String::from_utf8(history.stdout).unwrap();
    let acts: Vec<&str> = history.lines().map(|line| line.split("  ").nth(1).unwrap()).collect();
    assert_eq!(acts, ["元に戻した", "削除", "保存", "保存"]);
    let (code, said) = verify(&data);
    assert_eq!(code, 0, "{said}");
}
