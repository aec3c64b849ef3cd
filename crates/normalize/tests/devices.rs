//! Network and security devices: one real-looking line of each kind, its fields and its sentences.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::describe;

/// Dataset, time, sentences, and the fields that are not of the envelope or the header.
fn read(line: &str) -> String {
    let read = describe(line);
    let hidden = |name: &str| {
        name.starts_with("yagura.")
            || name.starts_with("log.syslog.")
            || ["event.ingested", "@timestamp", "message", "class_uid", "activity_id", "status_id"]
                .contains(&name)
    };
    let shown = read.fields.iter().filter(|(name, _)| !hidden(name));
    let fields: String = shown.map(|(name, value)| format!("{name}={value}; ")).collect();
    format!(
        "{} {}\n{}\n{}\n{fields}\n",
        read.dataset, read.timestamp, read.sentence_ja, read.sentence_en
    )
}

/// Only dataset and sentences.
fn say(lines: &[&str]) -> String {
    let one = |line: &&str| {
        let read = describe(*line);
        format!("{}\n  {}\n  {}\n", read.dataset, read.sentence_ja, read.sentence_en)
    };
    lines.iter().map(one).collect()
}

#[test]
fn x() {
    for line in std::fs::read_to_string("/tmp/devlines.txt").unwrap().lines() {
        println!("{line}\n{}", read(line));
    }
    let _ = say(&[]);
}
