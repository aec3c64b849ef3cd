//! `yagura lake backup`, `yagura lake restore` and `yagura ledger` as a person uses them: to a directory and
//! to a bucket, of a directory and of a server, stopped at the wrong moment, and proved by a stranger.

use crate::common;
use crate::s3::{S3, files_below};
use common::{Server, YAGURA, has_program, rows, succeeded, verify, wait_until, yagura};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A store of so many events, filled by a server.
fn filled(data: &Path, count: usize) {
    let server = Server::start(data, &[]);
    send(&server, 0, count);
    server.wait_for("sshd", count);
    server.stop();
}

fn send(server: &Server, from: usize, count: usize) {
    let lines: Vec<String> = (from..from + count)
        .map(|n| format!("<38>Nov 21 10:00:00 web01 sshd[1]: session {n} from 192.0.2.1"))
        .collect();
    server.send_syslog(&lines.iter().map(String::as_str).collect::<Vec<_>>());
}

fn events(data: &Path) -> Vec<String> {
    let mut found: Vec<String> =
        rows(&yagura(data, &["search", "sshd", "--limit", "0", "--output", "jsonl"]))
            .iter()
            .map(ToString::to_string)
            .collect();
    found.sort();
    found
}

/// `yagura` with an environment and no directory of its own.
fn run(arguments: &[&str], environment: &[(&str, String)]) -> Output {
    Command::new(YAGURA)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap()
}

fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_directory_goes_and_comes_back_and_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let (data, target, back) = (at("data"), at("backup"), at("back"));
    filled(&data, 40);
    let before = events(&data);
    let id: Value = serde_json::from_str(&before[3]).unwrap();
    let id = id["event.id"].as_str().unwrap().to_owned();
    let done = yagura(
        &data,
        &["lake", "backup", text(&target), "--quiet", "--with-keys", "--output", "json"],
    );
    succeeded(&done);
    for lang in ["en", "ja"] {
        let told = yagura(&data, &["lake", "backup", text(&target), "--lang", lang]);
        succeeded(&told);
        let word = if lang == "en" { "not in it" } else { "含まれていません" };
        assert!(said(&told).contains(word), "{}", said(&told));
    }

    // Restored: read only, and everything of it is there.
    let restore = ["lake", "restore", text(&target), "--quiet", "--lang", "en"];
    let done = yagura(&back, &restore);
    succeeded(&done);
    assert!(said(&done).contains("restored and verified"), "{}", said(&done));
    assert!(said(&done).contains("/events") && said(&done).contains("read only"));
    assert_eq!(yagura(&back, &restore).status.code(), Some(2), "not empty");
    assert_eq!(events(&back), before);
    let (code, told) = verify(&back);
    assert!(code == 0 && told.contains("restored from"), "{told}");
    let proof = at("event.proof");
    succeeded(&yagura(&back, &["prove", &id, "--out", text(&proof)]));
    let log = at("more.log");
    std::fs::write(&log, "one line\n").unwrap();
    for refused in [
        &["import", text(&log)][..],
        &["lake", "compact", "--quiet"],
        &["serve", "--http", "127.0.0.1:0"],
    ] {
        for (lang, word) in [("en", "restored from a backup"), ("ja", "バックアップから戻したもの")]
        {
            let told = yagura(&back, &[refused, &["--lang", lang]].concat());
            assert!(!told.status.success(), "{refused:?}");
            assert!(said(&told).contains(word), "{refused:?}: {}", said(&told));
        }
    }
    assert_eq!(events(&back), before);

    // It went on elsewhere, which its last checkpoint shows.
    let log_of = |dir: &Path, log: &str| dir.join("ledger").join(log).join("checkpoint");
    let server = Server::start(&data, &[]);
    send(&server, 40, 5);
    server.wait_for("sshd", 45);
    server.stop();
    let (events_log, audit_log) = (log_of(&data, "events"), log_of(&data, "audit"));
    let known = ["--known-checkpoint", text(&events_log), "--known-checkpoint", text(&audit_log)];
    let forked = yagura(&back, &[&["ledger", "continue", "--lang", "en"][..], &known].concat());
    assert_eq!(forked.status.code(), Some(1));
    assert!(said(&forked).contains("went on elsewhere"), "{}", said(&forked));

    let epoch = yagura(&back, &["ledger", "new-epoch", "--output", "jsonl"]);
    succeeded(&epoch);
    assert!(rows(&epoch)[0]["ledger.origin"].as_str().unwrap().ends_with("/events/e2"));
    let server = Server::start(&back, &[]);
    send(&server, 100, 5);
    server.wait_for("sshd", 45);
    server.stop();
    let (code, told) = verify(&back);
    assert_eq!(code, 0, "{told}");
    let now = events(&back);
    let number = |event: &String| {
        let event: Value = serde_json::from_str(event).unwrap();
        let id = event["event.id"].as_str().unwrap().to_owned();
        id.split('/').rev().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let fresh: Vec<_> = now.iter().filter(|event| number(event) >= 2_000_000_000).collect();
    assert_eq!((now.len(), fresh.len()), (45, 5));

    // A stranger proves an event of before with the old key, and one of after with the new one.
    if !(has_program("python3") && has_program("openssl")) {
        return;
    }
    let checked = |proof: &Path, key: &str| {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/format/verify.py");
        let key = back.join("keys").join(key);
        Command::new("python3").arg(program).arg(proof).arg(key).output().unwrap()
    };
    succeeded(&checked(&proof, "events.vkey"));
    let again = at("again.proof");
    succeeded(&yagura(&back, &["prove", &id, "--out", text(&again)]));
    succeeded(&checked(&again, "events.vkey"));
    let new: Value = serde_json::from_str(fresh[0]).unwrap();
    let new = new["event.id"].as_str().unwrap();
    succeeded(&yagura(&back, &["prove", new, "--out", text(&again)]));
    succeeded(&checked(&again, "events.e2.vkey"));
    assert!(!checked(&again, "events.vkey").status.success());
}

#[test]
fn a_server_writes_its_backup_while_it_takes_in() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let (target, back) = (at("backup"), at("back"));
    let server = Server::start(&at("data"), &[]);
    send(&server, 0, 50);
    server.wait_for("sshd", 50);
    let done = server.yagura(&["lake", "backup", text(&target), "--quiet", "--output", "jsonl"]);
    succeeded(&done);
    assert!(rows(&done)[0]["files_copied"].as_u64() > Some(5));
    // Keys do not leave a server.
    let keys = server.yagura(&["lake", "backup", text(&target), "--with-keys"]);
    assert_eq!(keys.status.code(), Some(2));
    send(&server, 50, 10);
    server.wait_for("sshd", 60);
    let again = server.yagura(&["lake", "backup", text(&target), "--quiet", "--output", "jsonl"]);
    assert!(rows(&again)[0]["files_kept"].as_u64() > Some(0));
    let nowhere = server.yagura(&["lake", "backup", "ftp://x/y", "--lang", "ja"]);
    assert_eq!(nowhere.status.code(), Some(2), "{}", said(&nowhere));
    server.kill();
    succeeded(&yagura(&back, &["lake", "restore", text(&target), "--quiet", "--new-epoch"]));
    assert_eq!(events(&back).len(), 60);
    let (code, told) = verify(&back);
    assert_eq!(code, 0, "{told}");
}

#[test]
fn killed_while_backing_up_the_place_holds_the_backup_it_held() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let (data, target) = (at("data"), at("backup"));
    filled(&data, 400);
    let shelves = target.join("files");
    let begun = |enough: usize| std::fs::read_dir(&shelves).is_ok_and(|all| all.count() >= enough);
    for round in 0..3 {
        let mut child = Command::new(YAGURA)
            .args(["lake", "backup", text(&target), "--quiet", "--data"])
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("contents come", || begun(1 + 5 * round) || child.try_wait().unwrap().is_some());
        let _ = child.kill();
        child.wait().unwrap();
        let back = at(&format!("back{round}"));
        let restored =
            yagura(&back, &["lake", "restore", text(&target), "--quiet", "--lang", "en"]);
        match is_there(&target.join("MANIFEST")) {
            true => succeeded(&restored),
            false => assert!(said(&restored).contains("no finished backup"), "{}", said(&restored)),
        }
    }
    succeeded(&yagura(&data, &["lake", "backup", text(&target), "--quiet"]));
    let back = at("whole");
    succeeded(&yagura(&back, &["lake", "restore", text(&target), "--quiet"]));
    assert_eq!(events(&back), events(&data));
}

#[test]
fn a_bucket_takes_a_backup_and_gives_it_back() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let (data, back) = (at("data"), at("back"));
    filled(&data, 40);
    let server = S3::start();
    let environment = server.environment();
    let place = server.root.path().join("logs/site/a");
    let backup = |extra: &[&str]| {
        let command = ["lake", "backup", "s3://logs/site/a", "--quiet", "--output", "jsonl"];
        run(&[&command[..], &["--data", text(&data)], extra].concat(), &environment)
    };
    let restore = |to: &Path| {
        let command = ["lake", "restore", "s3://logs/site/a", "--quiet", "--lang", "en", "--data"];
        run(&[&command[..], &[text(to)]].concat(), &environment)
    };
    assert!(said(&restore(&back)).contains("no finished backup"), "{}", said(&restore(&back)));
    let first = backup(&[]);
    succeeded(&first);
    assert!(place.join("MANIFEST").is_file());
    let again = backup(&["--check"]);
    assert!(rows(&again)[0]["files_kept"].as_u64() > Some(5), "{}", said(&again));
    let done = restore(&back);
    succeeded(&done);
    assert_eq!(events(&back), events(&data));
    let (code, told) = verify(&back);
    assert_eq!(code, 0, "{told}");

    // What is damaged there is named, and a backup that is asked to check mends it.
    let contents = files_below(&place.join("files"));
    let largest = contents.iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(largest).unwrap();
    bytes[0] ^= 1;
    std::fs::write(largest, &bytes).unwrap();
    let refused = restore(&at("damaged"));
    assert_eq!(refused.status.code(), Some(1));
    let name = largest.file_name().unwrap().to_str().unwrap();
    assert!(said(&refused).contains(name), "{}", said(&refused));
    succeeded(&backup(&["--check"]));
    succeeded(&restore(&at("mended")));

    // Without the right key, and without a bucket, it says so.
    let mut wrong = environment.clone();
    wrong.pop();
    wrong.push(("AWS_SECRET_ACCESS_KEY", "another".to_owned()));
    let command = ["lake", "backup", "s3://logs/site/a", "--quiet", "--data", text(&data)];
    let refused = run(&command, &wrong);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("s3://logs/site/a/"), "{}", said(&refused));
    let command = ["lake", "backup", "s3://none", "--quiet", "--data", text(&data)];
    assert_eq!(run(&command, &environment).status.code(), Some(1));
}
