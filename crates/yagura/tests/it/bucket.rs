//! A server and a directory whose old files lie in a bucket of a real S3 server: they go there and come
//! back, are searched, verified, backed up and restored; and a store that fails, is slow, is away or
//! refuses is said, while everything else goes on.

use crate::common::{Server, YAGURA, rows, succeeded};
use crate::s3::S3;
use crate::tiered::{Cold, EVENTS, House};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

const EVERYTHING: [&str; 5] = ["search", "", "--limit", "0", "--output"];

/// Every event that a command finds, and what it says beside them.
fn found(output: &Output) -> (Vec<String>, String) {
    let mut found: Vec<String> = rows(output).iter().map(Value::to_string).collect();
    found.sort();
    (found, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn search(server: &Server) -> (Vec<String>, String) {
    found(&server.yagura(&[&EVERYTHING[..], &["jsonl", "--lang", "en"]].concat()))
}

/// A configuration with the house's store, whose secret lies in a file of its own.
fn configuration(house: &House, secret: &str) -> String {
    let Cold::Bucket(server) = &house.cold else { unreachable!() };
    let file = house.path("secret");
    std::fs::write(&file, secret).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!(
        "[lake.cold]\nurl='{}'\nendpoint='http://{}'\nregion='us-east-1'\ntimeout_s=2\n\
         after_days=30\naccess_key_id='yagura'\nsecret_file='{}'\n",
        house.settings().url(),
        server.address,
        file.display()
    );
    let path = house.path("yagura.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn in_bucket() -> House {
    let house = House::with(Cold::Bucket(Box::new(S3::start())));
    house.receive(None);
    house
}

fn bucket(house: &mut House) -> &mut S3 {
    match &mut house.cold {
        Cold::Bucket(server) => server,
        Cold::Directory => unreachable!(),
    }
}

#[test]
fn a_server_keeps_old_files_in_a_bucket_and_says_when_it_does_not_answer() {
    let mut house = in_bucket();
    let config = configuration(&house, "a-secret-of-the-test");
    let server = Server::start(&house.data(), &["--config", &config]);
    let (before, _) = search(&server);
    assert_eq!(before.len(), EVENTS);
    // A store that fails, or takes longer than a request may, gets nothing, and nothing is missing.
    let mood = bucket(&mut house).mood.clone();
    for (how, delay_ms) in [("failing", 0), ("slow", 60_000)] {
        mood.fails.store(how == "failing", Ordering::Relaxed);
        mood.delay_ms.store(delay_ms, Ordering::Relaxed);
        let refused = server.yagura(&["lake", "tier", "--quiet", "--lang", "en"]);
        assert_eq!(refused.status.code(), Some(1), "{how}: {}", said(&refused));
        assert!(said(&refused).contains("does not answer"), "{how}: {}", said(&refused));
        assert_eq!(house.files(), (2, 0), "{how}");
    }
    mood.delay_ms.store(0, Ordering::Relaxed);
    assert_eq!(search(&server), (before.clone(), String::new()));
    let moved = server.yagura(&["lake", "tier", "--quiet", "--output", "jsonl"]);
    let moved = rows(&moved);
    assert_eq!((&moved[0]["files_done"], &moved[0]["rows_done"]), (&2.into(), &40.into()));
    assert_eq!(house.files().1, 2);
    let everything = |server: &Server| {
        // A store that did not answer is left alone for a few seconds.
        let began = Instant::now();
        loop {
            let (found, told) = search(server);
            if told.is_empty() || began.elapsed() > Duration::from_secs(20) {
                assert_eq!(told, "");
                return found;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    assert_eq!(everything(&server), before);
    let stats = rows(&server.yagura(&["lake", "stats", "--output", "jsonl"]));
    assert_eq!(stats.iter().map(|row| row["files.cold"].as_u64().unwrap()).sum::<u64>(), 2);
    succeeded(&server.yagura(&["verify"]));

    // It answers with errors, then nobody listens, then it takes longer than a request may: a search says
    // what it lacks, verification and moving fail, and what comes in is taken and found all the same.
    let mut received = 0;
    let mut lacking = |server: &Server, how: &str, reason: &str| {
        let line = format!("<38>Nov 21 10:00:00 web01 sshd[1]: arrived while {how}");
        server.send_syslog(&[&line]);
        server.wait_for(&format!("\"arrived while {how}\""), 1);
        received += 1;
        let began = Instant::now();
        let (found, told) = search(server);
        assert_eq!(found.len(), received, "{how}");
        assert!(told.contains("incomplete: 2 files with 40 events"), "{how}: {told}");
        assert!(told.contains(reason), "{how}: {told}");
        let ja = said(&server.yagura(&[&EVERYTHING[..], &["jsonl", "--lang", "ja"]].concat()));
        assert!(ja.contains("結果は不完全です") && ja.contains("2ファイル"), "{how}: {ja}");
        // Verification reads everything more than once, which takes long where each request is waited for.
        let commands = [&["lake", "rehydrate", "--quiet"][..], &["verify"]];
        for command in commands.into_iter().take(if how == "slow" { 1 } else { 2 }) {
            let failed = server.yagura(&[command, &["--lang", "en"]].concat());
            assert_eq!(failed.status.code(), Some(1), "{how} {command:?}: {}", said(&failed));
            assert!(said(&failed).contains(reason), "{how} {command:?}: {}", said(&failed));
        }
        succeeded(&server.yagura(&["verify", "--no-cold"]));
        assert!(began.elapsed() < Duration::from_secs(60), "{how}: {:?}", began.elapsed());
    };
    mood.fails.store(true, Ordering::Relaxed);
    lacking(&server, "failing", "does not answer");
    mood.fails.store(false, Ordering::Relaxed);
    bucket(&mut house).go_away();
    lacking(&server, "away", "does not answer");
    bucket(&mut house).come_back();
    mood.delay_ms.store(60_000, Ordering::Relaxed);
    lacking(&server, "slow", "does not answer");
    mood.delay_ms.store(0, Ordering::Relaxed);
    assert_eq!(everything(&server).len(), EVENTS + 3);
    server.stop();

    // Away when the server starts, and then another account's: nothing passes for absence.
    let other = configuration(&house, "another");
    for is_away in [true, false] {
        if is_away {
            bucket(&mut house).go_away();
        }
        let server = Server::start(&house.data(), &["--config", &other]);
        let (rest, told) = search(&server);
        assert_eq!(rest.len(), 3);
        assert!(told.contains("incomplete: 2 files with 40 events"), "{told}");
        server.stop();
        if is_away {
            bucket(&mut house).come_back();
        }
    }

    // A directory, with the account from the environment. The object goes when nothing needs it.
    succeeded(&house.yagura(&["lake", "rehydrate", "--quiet"]));
    succeeded(&house.yagura(&["lake", "vacuum"]));
    assert_eq!(house.files().1, 0);
    let (after, told) = found(&house.yagura(&[&EVERYTHING[..], &["jsonl"]].concat()));
    assert_eq!(told, "");
    assert!(after.len() == EVENTS + 3 && before.iter().all(|event| after.contains(event)));
    succeeded(&house.yagura(&["verify"]));
}

#[test]
fn a_directory_with_files_in_a_bucket_is_backed_up_to_another_and_comes_back() {
    let mut house = in_bucket();
    succeeded(&house.yagura(&["lake", "tier", "--quiet"]));
    let (before, _) = found(&house.yagura(&[&EVERYTHING[..], &["jsonl"]].concat()));
    assert_eq!(before.len(), EVENTS);
    let backup = ["lake", "backup", "s3://logs/backup", "--quiet", "--lang", "en"];
    // The store of backups fails, or is not there: it says so, and nothing counts as a backup.
    let mood = bucket(&mut house).mood.clone();
    let manifest = bucket(&mut house).root.path().join("logs/backup/MANIFEST");
    mood.fails.store(true, Ordering::Relaxed);
    let failed = house.yagura(&backup);
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    assert!(said(&failed).contains("s3://logs/backup"), "{}", said(&failed));
    mood.fails.store(false, Ordering::Relaxed);
    bucket(&mut house).go_away();
    let failed = house.yagura(&backup);
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    assert!(said(&failed).contains("s3://logs/backup"), "{}", said(&failed));
    bucket(&mut house).come_back();
    assert!(!manifest.try_exists().unwrap());
    succeeded(&house.yagura(&backup));
    assert!(manifest.is_file());

    let environment = bucket(&mut house).environment();
    let back = house.path("back");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(YAGURA);
        command.args(arguments).arg("--data").arg(&back).envs(environment.iter().cloned());
        command.output().unwrap()
    };
    let restore = ["lake", "restore", "s3://logs/backup", "--quiet", "--lang", "en"];
    mood.fails.store(true, Ordering::Relaxed);
    let failed = run(&restore);
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    mood.fails.store(false, Ordering::Relaxed);
    let restored = run(&restore);
    succeeded(&restored);
    assert!(said(&restored).contains("restored and verified"), "{}", said(&restored));
    // What lay in the cold store lies there still, and is searched and verified there.
    let (after, _) = found(&run(&[&EVERYTHING[..], &["jsonl"]].concat()));
    assert_eq!(after, before);
    succeeded(&run(&["verify"]));
    assert_eq!(house.files().1, 2);
}
