//! Searches through the real binary: completed while they are written, and explained.
use crate::common;
use common::{Server, http_address, http_raw, succeeded, wait_until, yagura};
use serde_json::{Value, json};

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
    assert_eq!(first["label"], json!({ "ja": "利用者", "en": "User" }));
    // A machine that is busy with other things may not get to it in time.
    let mut found = Value::Null;
    wait_until("values are counted", || {
        found = get(&server, "/api/v1/complete?query=user.name%3A").1;
        found["partial"] == json!(false)
    });
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
