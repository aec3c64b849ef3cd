//! `yagura lake` as a person uses it: against a server, and on a directory.
use crate::common;
use common::{Server, rows, succeeded, verify, yagura};
use std::path::{Path, PathBuf};
use std::process::Command;

fn parquet(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            parquet(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "parquet") {
            found.push(path);
        }
    }
}

fn filled(data: &Path) {
    for round in 0..3 {
        let server = Server::start(data, &[]);
        let lines: Vec<String> = (0..30)
            .map(|n| {
                format!("<38>Nov 21 10:{round}0:{n:02} web01 sshd[1]: Failed password for root from 192.0.2.{n} port 1 ssh2")
            })
            .collect();
        server.send_syslog(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        server.wait_for("192.0.2.7", round + 1);
        server.stop();
    }
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_server_and_a_directory_compact_and_answer_as_before() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    filled(&data);
    let server = Server::start(&data, &[]);
    let everything = ["search", "", "--limit", "0", "--output", "jsonl"];
    let indicators = scratch.path().join("iocs.txt");
    std::fs::write(&indicators, "192.0.2.7\n").unwrap();
    let hunt =
        ["hunt", "--indicators", indicators.to_str().unwrap(), "--quiet", "--output", "jsonl"];
    let sorted = |output: &std::process::Output| {
        succeeded(output);
        let mut rows: Vec<String> = rows(output).iter().map(ToString::to_string).collect();
        rows.sort();
        rows
    };
    let (before, hunted) = (sorted(&server.yagura(&everything)), server.yagura(&hunt));
    assert_eq!((before.len(), rows(&hunted).len()), (90, 3));

    let done = server.yagura(&["lake", "compact", "--quiet", "--output", "jsonl"]);
    succeeded(&done);
    let done = &rows(&done)[0];
    assert_eq!((&done["rows_done"], &done["failures"]), (&90.into(), &serde_json::json!([])));
    assert!(done["files_before"].as_u64() > done["files_after"].as_u64(), "{done}");
    assert_eq!(sorted(&server.yagura(&everything)), before);
    assert_eq!(rows(&server.yagura(&hunt)).len(), 3);

    let stats = server.yagura(&["lake", "stats", "--output", "jsonl"]);
    succeeded(&stats);
    let stats = rows(&stats);
    assert_eq!(stats.iter().map(|row| row["events"].as_u64().unwrap()).sum::<u64>(), 90);
    assert!(stats.iter().all(|row| row["files"] == row["files.compacted"]), "{stats:?}");
    for format in ["table", "json", "csv"] {
        for lang in ["ja", "en"] {
            for what in [&["lake", "stats"][..], &["lake", "stats", "--columns"]] {
                let arguments = [what, &["--output", format, "--lang", lang]].concat();
                let told = server.yagura(&arguments);
                succeeded(&told);
                assert!(said(&told).contains("linux.auth"), "{}", said(&told));
            }
        }
    }
    let columns = server.yagura(&["lake", "stats", "--columns", "--output", "csv", "--lang", "en"]);
    let header = "dataset,column,values,rebuilt,stored,encoded,share";
    assert_eq!(said(&columns).lines().next(), Some(header));
    let dry = server.yagura(&["lake", "vacuum", "--dry-run", "--output", "jsonl"]);
    succeeded(&dry);
    assert!(rows(&dry).iter().all(|file| file["removable"] == false && file["kind"] == "replaced"));
    // Each with its text index.
    assert_eq!(rows(&dry).len() as u64, 2 * done["files_before"].as_u64().unwrap());
    server.kill();
    let (code, told) = verify(&data);
    assert_eq!(code, 0, "{told}");

    // The directory: what the killed server left goes, and nothing is left to do.
    let again = yagura(&data, &["lake", "compact", "--lang", "ja"]);
    succeeded(&again);
    assert!(said(&again).contains("ありません"), "{}", said(&again));
    succeeded(&yagura(&data, &["lake", "vacuum"]));
    assert_eq!(sorted(&yagura(&data, &everything)), before);
    let mut left = Vec::new();
    parquet(&data.join("lake"), &mut left);
    assert_eq!(left.len() as u64, done["files_after"].as_u64().unwrap());
    let (code, told) = verify(&data);
    assert_eq!(code, 0, "{told}");
    assert_eq!(yagura(&data, &["lake", "compact", "--day", "today"]).status.code(), Some(2));
    assert_eq!(yagura(&data, &["lake", "shrink"]).status.code(), Some(2));
}

#[test]
fn a_changed_file_ends_with_one_and_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    filled(&data);
    let mut files = Vec::new();
    parquet(&data.join("lake"), &mut files);
    let target = files.iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(target).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(target, &bytes).unwrap();
    let done = yagura(&data, &["lake", "compact", "--quiet", "--lang", "en"]);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    let name = target.file_name().unwrap().to_string_lossy().into_owned();
    assert!(said(&done).contains(&name) && said(&done).contains("yagura verify"));
    assert_eq!(std::fs::read(target).unwrap(), bytes);
    let (code, told) = verify(&data);
    assert!(code == 1 && told.contains(&name), "{told}");
}

#[test]
fn a_directory_is_compacted_as_its_configuration_says() {
    let scratch = tempfile::tempdir().unwrap();
    let kept = scratch.path().join("kept");
    filled(&kept);
    let rebuilt = scratch.path().join("rebuilt");
    let copied = Command::new("cp").arg("-r").args([&kept, &rebuilt]).status().unwrap();
    assert!(copied.success());
    let everything = ["search", "", "--limit", "0", "--output", "jsonl"];
    let before = rows(&yagura(&kept, &everything));
    let config = scratch.path().join("yagura.toml");
    std::fs::write(&config, "[lake]\nkeep_raw = ['*']\n").unwrap();
    let with = ["lake", "compact", "--quiet", "--config", config.to_str().unwrap()];
    succeeded(&yagura(&kept, &with));
    succeeded(&yagura(&rebuilt, &with[..3]));
    for (data, is_rebuilt) in [(&kept, false), (&rebuilt, true)] {
        let columns = rows(&yagura(data, &["lake", "stats", "--columns", "--output", "jsonl"]));
        let of = |column: &serde_json::Value| column["rebuilt"].as_u64().unwrap_or_default();
        assert_eq!(columns.iter().map(of).sum::<u64>() > 0, is_rebuilt, "{columns:?}");
        assert_eq!(rows(&yagura(data, &everything)), before);
        let (code, told) = verify(data);
        assert_eq!(code, 0, "{told}");
    }
    std::fs::write(&config, "[lake]\nkeep_raw = ['No Stream']\n").unwrap();
    let wrong = yagura(&rebuilt, &with);
    assert!(!wrong.status.success() && said(&wrong).contains("lake.keep_raw"), "{}", said(&wrong));
}
