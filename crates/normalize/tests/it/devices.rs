//! Network and security devices: one line of each kind as the device writes it, and what is read of it.
//!
//! `devices/lines.txt` holds each line behind `> `.

use crate::common;
use common::{assert_said, describe};

const LINES: &str = include_str!("devices/lines.txt");

/// What is read of a line, without what the envelope and the syslog header say.
fn read(line: &str) -> String {
    let read = describe(line);
    let hidden = |name: &str| {
        name.starts_with("yagura.") && name != "yagura.parse_error"
            || name.starts_with("log.syslog.")
            || ["event.ingested", "@timestamp", "message", "class_uid", "activity_id", "status_id"]
                .contains(&name)
    };
    let shown = read.fields.iter().filter(|(name, _)| !hidden(name));
    let fields: Vec<String> = shown.map(|(name, value)| format!("{name}={value}")).collect();
    let kind = format!("{} {}", read.dataset, read.timestamp);
    let fields = fields.join("; ");
    format!("> {line}\n{kind}\n{}\n{}\n{fields}\n\n", read.sentence_ja, read.sentence_en)
}

#[test]
fn lines_of_devices_land_in_their_datasets_and_read_well() {
    let lines = LINES.lines().filter_map(|line| line.strip_prefix("> "));
    let wrong: Vec<String> = lines
        .filter(|line| {
            let read = describe(*line);
            let ours =
                ["network.", "security."].iter().any(|start| read.dataset.starts_with(start));
            !ours || read.sentence_en.contains("A record") || read.sentence_ja.contains("不明な")
        })
        .map(read)
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
    let lines = LINES.lines().filter_map(|line| line.strip_prefix("> "));
    assert_said("devices.txt", &lines.map(read).collect::<String>());
}

/// Lines that only look like a device's are left to others.
#[test]
fn others_keep_their_lines() {
    let others = [
        "<38>Nov 21 10:02:03 web01 sshd[42]: Failed password for root from 192.0.2.7 port 50022 ssh2",
        "<30>Nov 21 10:02:03 web01 app[42]: disk 90% full: /var",
        "<30>Nov 21 10:02:03 web01 app[42]: 100%-5-x: y",
        "<30>Nov 21 10:02:03 web01 app[42]: date=2026-11-21 logid=1",
        "<30>Nov 21 10:02:03 web01 app[42]: IN=eth0 SRC=192.0.2.1",
        "<30>Nov 21 10:02:03 web01 app[42]: Login failed for tanaka",
        "<30>Nov 21 10:02:03 web01 app[42]: [1:2:3] something",
    ];
    let datasets: Vec<String> = others.iter().map(|line| describe(*line).dataset).collect();
    let expected = ["linux.auth", "linux.syslog", "linux.syslog", "linux.syslog", "linux.syslog"];
    assert_eq!(datasets[..5], expected);
    assert_eq!(datasets[5..], ["linux.syslog", "linux.syslog"]);
}

/// A line cut anywhere is still read, and never by panicking.
#[test]
fn lines_cut_short_are_read() {
    for line in LINES.lines().filter_map(|line| line.strip_prefix("> ")) {
        let ends = (0..line.len()).filter(|end| line.is_char_boundary(*end));
        for end in ends.step_by(7) {
            assert!(!describe(&line[..end]).sentence_ja.is_empty());
        }
    }
}
