//! `yagura scan` through the real binary.
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const RULE: &str = "title: Password guessed\nid: 11111111-1111-4111-8111-111111111111\nlevel: high\n\
     logsource: {product: linux, service: auth}\n\
     detection: {s: ['Failed password'], condition: s}\n";

const LINE: &str =
    "Nov 21 10:00:01 web01 sshd[42]: Failed password for root from 192.0.2.7 port 50022 ssh2\n";

fn scan(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_yagura"))
        .arg("scan")
        .args(arguments)
        .current_dir(dir)
        .env_remove("YAGURA_LANG")
        .env("LC_ALL", "C")
        .output()
        .unwrap()
}

fn evidence() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("logs")).unwrap();
    fs::write(dir.path().join("logs/auth.log"), LINE).unwrap();
    fs::write(dir.path().join("rule.yml"), RULE).unwrap();
    dir
}

const ONLY: [&str; 4] = ["logs", "--rules", "rule.yml", "--no-builtin"];

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn findings_go_out_and_the_summary_goes_to_standard_error() {
    let dir = evidence();
    let output = scan(dir.path(), &[&ONLY[..], &["--output", "jsonl"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    assert_eq!(out.lines().count(), 1);
    let finding: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(finding["rule.uuid"], "11111111-1111-4111-8111-111111111111");
    assert_eq!(finding["event.id"], "logs/auth.log#line=1");
    assert_eq!(finding["host.name"], "web01");
    let summary = text(&output.stderr);
    assert!(summary.contains("Examined 1 files") && summary.contains("with 1 rules"), "{summary}");
    assert!(summary.contains("high") && summary.contains("│"), "{summary}");
    let quiet = scan(dir.path(), &[&ONLY[..], &["-q"]].concat());
    assert_eq!(text(&quiet.stderr), "");
    assert!(
        text(&quiet.stdout).contains("web01  root failed to log on"),
        "{}",
        text(&quiet.stdout)
    );
}

#[test]
fn the_name_of_the_file_says_the_format() {
    let dir = evidence();
    for (name, starts) in [
        ("report.html", "<!DOCTYPE html>"),
        ("findings.csv", "@timestamp,rule.level,"),
        ("findings.jsonl", "{\"@timestamp\":"),
        ("findings.txt", "20"),
    ] {
        let output = scan(dir.path(), &[&ONLY[..], &["-q", "-o", name]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty());
        let written = fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(written.starts_with(starts), "{name}: {written}");
    }
    for (name, starts) in [("t.jsonl", "{\"message\":"), ("t.csv", "message,datetime,timestamp,")] {
        let arguments = [&ONLY[..], &["-q", "--output", "timesketch", "-o", name]].concat();
        assert_eq!(scan(dir.path(), &arguments).status.code(), Some(0));
        let written = fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(written.starts_with(starts), "{name}: {written}");
    }
}

/// 10:00:01 in UTC is a second after 19:00 in Tokyo.
#[test]
fn hours_are_taken_in_the_zone_of_rules() {
    let dir = evidence();
    let hour = RULE.replace("s: ['Failed password']", "s: {'@timestamp|hour': 19}");
    fs::write(dir.path().join("rule.yml"), hour).unwrap();
    fs::write(dir.path().join("tokyo.toml"), "[rules]\ntime_zone = 'Asia/Tokyo'\n").unwrap();
    let findings = |more: &[&str]| {
        let output = scan(dir.path(), &[&ONLY[..], &["-q", "--output", "jsonl"], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout).lines().count()
    };
    assert_eq!(findings(&[]), 0);
    assert_eq!(findings(&["--rule-time-zone", "Asia/Tokyo"]), 1);
    assert_eq!(findings(&["--config", "tokyo.toml"]), 1);
    assert_eq!(findings(&["--config", "tokyo.toml", "--rule-time-zone", "UTC"]), 0);
    let earlier = LINE.replace("10:00:01", "09:59:59");
    fs::write(dir.path().join("logs/auth.log"), earlier).unwrap();
    assert_eq!(findings(&["--rule-time-zone", "Asia/Tokyo"]), 0);
    let wrong = scan(dir.path(), &[&ONLY[..], &["--rule-time-zone", "Mars/Base"]].concat());
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn exit_codes_are_as_the_help_says() {
    let dir = evidence();
    let code = |more: &[&str]| scan(dir.path(), &[&ONLY[..], more].concat()).status.code();
    assert_eq!(code(&[]), Some(0));
    assert_eq!(code(&["--fail-on", "high"]), Some(1));
    assert_eq!(code(&["--fail-on", "critical"]), Some(0));
    assert_eq!(code(&["missing"]), Some(1), "one of the paths is not there");
    for misuse in [&["--threads", "0"][..], &["--time-zone", "Mars/Base"], &["--from", "then"]] {
        assert_eq!(code(misuse), Some(2), "{misuse:?}");
    }
    // Never over the evidence.
    assert_eq!(code(&["-o", "logs/auth.log"]), Some(2));
    assert_eq!(fs::read_to_string(dir.path().join("logs/auth.log")).unwrap(), LINE);
    fs::write(dir.path().join("logs/cut.evtx"), b"ElfFile\0").unwrap();
    let output = scan(dir.path(), &ONLY);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("! logs/cut.evtx: file header"),
        "{}",
        text(&output.stderr)
    );
    let nothing = scan(dir.path(), &["nowhere"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(text(&nothing.stderr).contains("! nowhere:"), "{}", text(&nothing.stderr));
}
