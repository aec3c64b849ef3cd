//! Searches through the real binary: completed while they are written, explained, and many at once.
use crate::common;
use common::{Server, http_address, http_raw, succeeded, wait_until, yagura};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write;
use std::net::TcpStream;

/// Searches that run at once.
const PLACES: usize = 8;

fn get(server: &Server, path: &str) -> (u16, Value) {
    let host = http_address(server);
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = String::from_utf8(http_raw(server, &[head.as_bytes()])).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[test]
fn a_search_is_completed_while_it_is_written() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Server::start(&scratch.path().join("data"), &[]);
    let now = jiff::Timestamp::now();
    let line = |user: &str, port: u32| {
        format!(
            "<38>1 {now} web01 sshd 42 - - Failed password for {user} from 203.0.113.9 port {port} ssh2"
        )
    };
    server.send_syslog(&[&line("tanaka", 1), &line("tanaka", 2), &line("sato", 3)]);
    server.wait_for("sshd", 3);
    // "利用 user.nam" with the cursor before the last letter; places are counted in characters.
    let (status, found) =
        get(&server, "/api/v1/complete?query=%E5%88%A9%E7%94%A8%20user.nam&at=10");
    assert_eq!(status, 200);
    assert_eq!((&found["start"], &found["end"]), (&json!(3), &json!(11)), "{found}");
    let first = &found["offers"][0];
    assert_eq!((&first["kind"], &first["insert"]), (&json!("field"), &json!("user.name:")));
    assert!(first["label"]["ja"].as_str().unwrap().contains("ユーザー"), "{first}");
    let (_, found) = get(&server, "/api/v1/complete?query=user.name%3A");
    let value = |offer: &Value| (offer["insert"].clone(), offer["count"].clone());
    let values: Vec<_> = found["offers"].as_array().unwrap().iter().map(value).collect();
    assert_eq!(values, [(json!("tanaka"), json!(2)), (json!("sato"), json!(1))], "{found}");
    assert_eq!((&found["values_of"], &found["partial"]), (&json!("user.name"), &json!(false)));
    let (_, found) = get(&server, "/api/v1/complete?query=sshd%20%7C%20st&limit=1");
    assert_eq!(found["offers"][0]["text"], "stats");
    assert_eq!(get(&server, "/api/v1/complete?at=-1").0, 400);
    assert_eq!(get(&server, "/api/v1/complete?query=%22a%20(%7C&at=9999").0, 200);
    server.stop();
}

#[test]
fn what_was_passed_over_is_said_in_both_languages() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    for (name, program) in [
        ("a", "sshd[1]: Accepted publickey for tanaka from 10.1.2.3 port 22 ssh2"),
        ("b", "app[7]: something else"),
    ] {
        let file = scratch.path().join(format!("{name}.log"));
        std::fs::write(&file, format!("Nov 21 10:00:00 web01 {program}\n")).unwrap();
        succeeded(&yagura(&data, &["import", file.to_str().unwrap()]));
    }
    let said = |arguments: &[&str]| {
        let output = yagura(&data, &[&["search"][..], arguments, &["--explain"]].concat());
        succeeded(&output);
        String::from_utf8(output.stderr).unwrap()
    };
    let english = said(&["else", "--lang", "en"]);
    assert!(english.contains("of 2 stored events"), "{english}");
    assert!(english.contains("passed over by the text index: 1 events, 1 files"), "{english}");
    let japanese = said(&["event.dataset:linux.auth", "--lang", "ja"]);
    assert!(japanese.contains("データセットで省いた分: 1 件、1 ファイル"), "{japanese}");
    let timely = said(&["--from", "2030-01-01", "--lang", "en"]);
    assert!(timely.contains("passed over by time: 2 events, 2 files"), "{timely}");
}

/// More searches than have places, all of them sorted and read by nobody: the next one is answered.
#[test]
fn searches_that_nobody_reads_keep_no_other_waiting() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let padding = "x".repeat(100);
    let mut text = String::new();
    for number in 0..60_000 {
        writeln!(text, "Nov 21 10:00:00 web01 app[7]: line {number} {padding}").unwrap();
    }
    let file = scratch.path().join("much.log");
    std::fs::write(&file, text).unwrap();
    succeeded(&yagura(&data, &["import", file.to_str().unwrap()]));
    let server = Server::start(&data, &[]);
    let unread: Vec<TcpStream> = (0..PLACES + 1)
        .map(|number| {
            let mut stream = TcpStream::connect(http_address(&server)).unwrap();
            let host = http_address(&server);
            let request = format!(
                "GET /api/v1/search?search_id=unread{number} HTTP/1.1\r\nHost: {host}\r\nAccept: \
                 application/x-ndjson\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    for number in 0..unread.len() {
        wait_until("rows are in order", || {
            let (status, progress) = get(&server, &format!("/api/v1/search/unread{number}"));
            status == 200 && progress["rows_found"].as_u64() > Some(0)
        });
    }
    let (status, answer) = get(&server, "/api/v1/search?query=line&limit=3");
    assert_eq!((status, answer["rows"].as_array().unwrap().len()), (200, 3));
    drop(unread);
    server.stop();
}
