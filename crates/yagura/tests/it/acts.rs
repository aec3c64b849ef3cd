//! `yagura acts` against a server and a directory: the same acts from both.

use crate::common;
use common::{Server, rows, succeeded, yagura};
use serde_json::Value;

const LINES: [&str; 7] = [
    "<38>1 2026-11-20T01:00:00Z web01 sshd 812 - - Accepted password for tanaka from 192.0.2.30 port 50022 ssh2",
    "<38>1 2026-11-20T01:02:00Z web01 sudo 900 - -   tanaka : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id",
    "<38>1 2026-11-20T01:09:00Z web01 sshd 812 - - pam_unix(sshd:session): session closed for user tanaka",
    "<38>1 2026-11-20T03:00:00Z web01 sshd 90 - - Failed password for root from 203.0.113.9 port 4001 ssh2",
    "<38>1 2026-11-20T03:00:01Z web01 sshd 90 - - Failed password for admin from 203.0.113.9 port 4001 ssh2",
    "<38>1 2026-11-20T03:00:02Z web01 sshd 90 - - Connection closed by 203.0.113.9 port 4001 [preauth]",
    "<30>1 2026-11-20T04:00:00Z web01 app 7 - - nothing that belongs to an act",
];

#[test]
fn a_server_and_a_directory_tell_the_same_acts() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data, &[]);
    server.send_syslog(&LINES);
    server.wait_for("*", LINES.len());
    let asked = ["acts", "--events", "--output", "jsonl"];
    let there = server.yagura(&asked);
    succeeded(&there);
    let there_rows = rows(&there);
    let sentences: Vec<_> =
        there_rows.iter().map(|row| row["yagura.sentence.en"].clone()).collect();
    assert_eq!(
        sentences,
        [
            "203.0.113.9 tried to log on to web01 (SSH, attempts: 2, 2 accounts: admin, root, over 2 s, \
             all failed)",
            "tanaka logged on to web01 over SSH from 192.0.2.30 and disconnected (sudo commands: 1, first: \
             /usr/bin/id, over 9 min, success)",
        ]
    );
    assert_eq!(there_rows[1]["act.event_ids"].as_array().unwrap().len(), 3);
    // The ids lead to the events.
    let id = there_rows[1]["act.event_ids"][0].as_str().unwrap();
    let first = rows(&server.yagura(&["search", &format!("event.id:{id}"), "--output", "jsonl"]));
    assert_eq!(first[0]["source.ip"], "192.0.2.30");

    let one = |arguments: &[&str]| {
        let found = server.yagura(&[&["acts", "--output", "jsonl"], arguments].concat());
        succeeded(&found);
        let found = rows(&found);
        let kinds = found.iter().map(|row| row["act.kind"].as_str().unwrap().to_owned());
        kinds.collect::<Vec<_>>()
    };
    assert_eq!(one(&["user.name:tanaka and act.commands>0"]), ["ssh"]);
    assert_eq!(one(&["利用者:tanaka"]), ["ssh"]);
    assert_eq!(one(&["/usr/bin/id"]), ["ssh"]);
    assert_eq!(one(&["--kind", "failed_logons,vpn"]), ["failed_logons"]);
    assert_eq!(one(&["--limit", "1"]), ["failed_logons"]);
    // The logon was before the time that is asked about.
    assert_eq!(one(&["--from", "2026-11-20T01:05:00Z", "--to", "2026-11-20T02:00:00Z"]), ["ssh"]);
    assert!(one(&["--from", "2026-11-20T05:00:00Z"]).is_empty());
    let refused = server.yagura(&["acts", "--kind", "files"]);
    assert_eq!(refused.status.code(), Some(2));
    let refused = server.yagura(&["acts", "* | stats count()"]);
    assert_eq!(refused.status.code(), Some(2));

    server.stop();
    let here = yagura(&data, &asked);
    succeeded(&here);
    let plain =
        |rows: Vec<Value>| rows.into_iter().map(|row| row["act.id"].clone()).collect::<Vec<_>>();
    assert_eq!(plain(rows(&here)), plain(there_rows));
    let said = String::from_utf8(here.stderr).unwrap();
    assert!(said.contains("6 events read: 2 acts and 0 single events"), "{said}");
}
