//! Changing any one byte under the data directory is found, and named by its file.
use crate::common;
use common::{Server, verify};
use std::path::{Path, PathBuf};

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn any_changed_byte_is_found_and_its_file_named() {
    let scratch = tempfile::tempdir().unwrap();
    let original = scratch.path().join("original");
    for round in 0..2 {
        let server = Server::start(&original, &[]);
        let lines: Vec<String> = (0..40)
            .map(|n| format!("<38>Nov 21 10:{round}0:{n:02} web01 sshd[1]: Failed password for root from 192.0.2.{n} port 1 ssh2"))
            .collect();
        server.send_syslog(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        server.wait_for("192.0.2.7", round + 1);
        server.stop();
    }
    let pin = ["ledger", "pin", "syslog/1/7", "--by", "sato", "--reason", "evidence"];
    common::succeeded(&common::yagura(&original, &pin));
    // A second life that was killed: records that are in the journal only.
    let server = Server::start(&original, &[]);
    server.send_syslog(&["<13>Nov 21 11:00:00 web01 app: in the journal only"]);
    server.wait_for("\"in the journal only\"", 1);
    server.kill();
    let (code, said) = verify(&original);
    assert_eq!(code, 0, "{said}");

    let mut paths = Vec::new();
    files(&original, &mut paths);
    paths.sort();
    let mut tried = 0;
    for path in paths {
        let relative = path.strip_prefix(&original).unwrap();
        let size = std::fs::metadata(&path).unwrap().len() as usize;
        let name = relative.to_string_lossy().into_owned();
        // The first, the last and some in between; formats are flipped byte by byte elsewhere.
        let mut places: Vec<usize> =
            if size == 0 { vec![] } else { vec![0, size / 3, size / 2, size - 1] };
        places.dedup();
        for place in places {
            let copied = scratch.path().join("copy");
            copy(&original, &copied);
            let target = copied.join(relative);
            let mut bytes = std::fs::read(&target).unwrap();
            bytes[place] ^= 0x01;
            std::fs::write(&target, bytes).unwrap();
            let (code, said) = verify(&copied);
            assert_eq!(code, 1, "byte {place} of {name} was changed unseen:\n{said}");
            assert!(said.contains(&name), "byte {place} of {name} is not named:\n{said}");
            std::fs::remove_dir_all(&copied).unwrap();
            tried += 1;
        }
        let copied = scratch.path().join("copy");
        copy(&original, &copied);
        std::fs::remove_file(copied.join(relative)).unwrap();
        let (code, said) = verify(&copied);
        // A whole segment of records that no checkpoint covers yet is the one thing that can go
        // unseen: until then this machine is trusted (at most ten seconds).
        let may_be_absent = name.ends_with("LOCK") || name.starts_with("journal/");
        assert!(code == 1 || may_be_absent, "{name} was removed unseen:\n{said}");
        std::fs::remove_dir_all(&copied).unwrap();
    }
    assert!(tried > 40, "only {tried} bytes were tried");
    std::fs::write(original.join("lake/events/stray.parquet"), b"x").unwrap();
    let (code, said) = verify(&original);
    assert!(code == 1 && said.contains("stray.parquet"), "{said}");
}
