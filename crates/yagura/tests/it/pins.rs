//! `yagura ledger pin`, `pins` and `unpin` as people use them: evidence that outlives its batch.
use crate::common;
use common::{Server, YAGURA, has_program, rows, succeeded, verify, yagura};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn line(number: usize) -> String {
    format!(
        "<38>Nov 21 10:00:{:02} web01 sshd[1]: Failed password for root from 192.0.2.{number} port 1 ssh2",
        number % 60
    )
}

/// What `docs/format/verify.py` says of a proof.
fn stranger(proof: &Path, data: &Path) -> Output {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/format/verify.py");
    let key = data.join("keys/events.vkey");
    Command::new("python3").arg(script).arg(proof).arg(key).output().unwrap()
}

const SATO: [&str; 6] = ["--by", "sato", "--reason", "evidence", "--lang", "en"];

#[test]
fn a_pinned_event_is_proved_when_two_persons_have_deleted_its_batch() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let server = Server::start(&data, &[]);
    let lines: Vec<String> = (0..10).map(line).collect();
    server.send_syslog(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let found = server.wait_for("Failed", 10);
    let id_of = |address: &str| {
        let row = found.iter().find(|row| row["source.ip"] == address).unwrap();
        row["event.id"].as_str().unwrap().to_owned()
    };
    let (third, fourth) = (id_of("192.0.2.3"), id_of("192.0.2.4"));

    // By its id, and by a search; of a server.
    let pinned = server.yagura(&[&["ledger", "pin", &third][..], &SATO].concat());
    succeeded(&pinned);
    assert!(said(&pinned).contains("1 events are pinned"), "{}", said(&pinned));
    let by_search = ["ledger", "pin", "--search", "source.ip:192.0.2.4 or source.ip:192.0.2.3"];
    let by_search = server.yagura(&[&by_search[..], &["--case", "C-000012"], &SATO].concat());
    succeeded(&by_search);
    assert!(said(&by_search).contains("1 were already"), "{}", said(&by_search));
    let none = server.yagura(&[&["ledger", "pin", "--search", "nosuchword"][..], &SATO].concat());
    succeeded(&none);
    assert!(said(&none).contains("nothing pinned"), "{}", said(&none));
    for (wrong, part) in [
        (&["ledger", "pin", "--search", "* | stats count()"][..], "must give events"),
        (&["ledger", "pin", "syslog/1/99"], "there is no event syslog/1/99"),
        (&["ledger", "pin", "nonsense"], "is not an event id"),
        (&["ledger", "pin", &third, "--last", "24h"], "belong to --search"),
        (&["ledger", "unpin", "syslog/1/99"], "is not pinned"),
    ] {
        let refused = server.yagura(&[wrong, &SATO].concat());
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}: {}", said(&refused));
        assert!(said(&refused).contains(part), "{wrong:?}: {}", said(&refused));
    }
    let listed = rows(&server.yagura(&["ledger", "pins", "--output", "jsonl"]));
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (&listed[0]["event.id"], &listed[0]["case"]),
        (&fourth.as_str().into(), &"C-000012".into())
    );
    let ja = said(&server.yagura(&["ledger", "pins", "--lang", "ja"]));
    assert!(ja.contains("レイクにもある") && ja.contains(&third), "{ja}");
    succeeded(&server.yagura(&["verify"]));
    server.stop();

    // Two persons delete the batch; whoever asks and whoever approves is told what stays.
    let before = yagura_event::UtcMicros::from(jiff::Timestamp::now()).to_string();
    let asked = ["retention", "delete", "--stream", "syslog", "--before", &before];
    let asked = yagura(&data, &[&asked[..], &SATO].concat());
    succeeded(&asked);
    assert!(
        said(&asked).contains("10 events in 1 batches")
            && said(&asked).contains("2 of them are pinned"),
        "{}",
        said(&asked)
    );
    let done = yagura(&data, &["retention", "approve", "R-000001", "--by", "田中", "--lang", "ja"]);
    succeeded(&done);
    assert!(said(&done).contains("うち2件はピン留め"), "{}", said(&done));

    let proof = scratch.path().join("event.proof");
    let prove = |id: &str, lang: &str| {
        yagura(&data, &["prove", id, "--out", proof.to_str().unwrap(), "--lang", lang])
    };
    let proved = prove(&third, "en");
    succeeded(&proved);
    assert!(said(&proved).contains("no longer in the lake"), "{}", said(&proved));
    assert!(said(&prove(&third, "ja")).contains("ピンにあり"));
    if has_program("python3") && has_program("openssl") {
        let checked = stranger(&proof, &data);
        assert!(checked.status.success(), "{}", said(&checked));
        assert!(said(&checked).contains(&format!("event {third}")), "{}", said(&checked));
    }
    assert!(std::fs::read_to_string(&proof).unwrap().contains(&line(3)));
    let gone = prove(&id_of("192.0.2.5"), "en");
    assert!(said(&gone).contains("was deleted, which is recorded"), "{}", said(&gone));
    let (code, told) = verify(&data);
    assert!(code == 0 && told.contains("pinned events"), "{told}");
    let event = yagura(&data, &["verify", "--event", &third, "--lang", "en"]);
    succeeded(&event);
    assert!(said(&event).contains("its pin has the bytes"), "{}", said(&event));

    // A server says where a proof came from, too.
    let server = Server::start(&data, &[]);
    let remote = server.yagura(&["prove", &third, "--lang", "en"]);
    succeeded(&remote);
    assert!(said(&remote).contains("no longer in the lake"), "{}", said(&remote));
    let head = format!(
        "GET /api/v1/events/{third}/proof HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        common::http_address(&server)
    );
    let answer = String::from_utf8(common::http_raw(&server, &[head.as_bytes()])).unwrap();
    assert!(answer.contains("yagura-proof-from: pin-deleted"), "{answer}");
    server.stop();

    let unpin = ["ledger", "unpin", &third, "--by", "tanaka", "--reason", "closed", "--lang", "en"];
    let refused = yagura(&data, &unpin);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("--last-copy"), "{}", said(&refused));
    let unpinned = yagura(&data, &[&unpin[..], &["--last-copy"]].concat());
    succeeded(&unpinned);
    assert!(said(&unpinned).contains("nothing is left of 1"), "{}", said(&unpinned));
    assert!(said(&prove(&third, "en")).contains("was deleted, which is recorded"));
    succeeded(&prove(&fourth, "en"));
    let (code, told) = verify(&data);
    assert_eq!(code, 0, "{told}");

    // One changed byte of what is left of it.
    let pins: Vec<PathBuf> =
        std::fs::read_dir(data.join("pins")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(pins.len(), 1);
    let mut bytes = std::fs::read(&pins[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&pins[0], bytes).unwrap();
    let name = pins[0].file_name().unwrap().to_str().unwrap();
    let refused = prove(&fourth, "ja");
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(
        said(&refused).contains(name) && said(&refused).contains("改変または切断"),
        "{}",
        said(&refused)
    );
    let (code, told) = verify(&data);
    assert!(code == 1 && told.contains(name), "{told}");
}

#[test]
fn killed_while_pinning_and_unpinning_every_pin_on_record_proves() {
    let scratch = tempfile::tempdir().unwrap();
    let sound = scratch.path().join("sound");
    let server = Server::start(&sound, &[]);
    let lines: Vec<String> = (0..100).map(line).collect();
    server.send_syslog(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let found = server.wait_for("Failed", 100);
    server.stop();
    let ids: Vec<&str> = found.iter().map(|row| row["event.id"].as_str().unwrap()).collect();
    let began = std::time::Instant::now();
    succeeded(&yagura(&sound, &[&["ledger", "pin"][..], &ids[..10], &SATO].concat()));
    let takes = began.elapsed();
    let moments = 8u32;
    for moment in 1..=moments {
        let (act, of) = if moment % 2 == 0 { ("pin", &ids[10..]) } else { ("unpin", &ids[..10]) };
        let mut child = Command::new(YAGURA)
            .args([&["ledger", act][..], of, &SATO].concat())
            .arg("--data")
            .arg(&sound)
            .spawn()
            .unwrap();
        // From the beginning to the end of what it takes, most of it opening the store.
        std::thread::sleep(takes * moment / moments);
        child.kill().unwrap();
        child.wait().unwrap();
        let (code, told) = verify(&sound);
        assert_eq!(code, 0, "{moment}: {told}");
        let pinned = rows(&yagura(&sound, &["ledger", "pins", "--output", "jsonl"]));
        let files = std::fs::read_dir(sound.join("pins")).unwrap().count();
        assert_eq!(pinned.len(), files, "{moment}: what no record names is gone");
        assert!([0, 10, 90, 100].contains(&files), "{moment}: all of them or none: {files}");
        if act == "pin" && files >= 90 {
            succeeded(&yagura(&sound, &[&["ledger", "unpin"][..], &ids[10..], &SATO].concat()));
        }
        if act == "unpin" && files == 0 {
            succeeded(&yagura(&sound, &[&["ledger", "pin"][..], &ids[..10], &SATO].concat()));
        }
    }
}
