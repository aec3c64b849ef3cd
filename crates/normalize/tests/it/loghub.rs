//! Loghub's collection: every line lands in its dataset, with the time, the host and the message
//! that the collection's own columns give it.
//!
//! Needs the folder of corpora in `YAGURA_CORPORA`.

use crate::common;
use common::{corpora, normalizer, run_at};
use std::collections::BTreeMap;
use std::path::Path;
use yagura_event::{Transport, UtcMicros};
use yagura_normalize::Described;

type Columns = BTreeMap<String, String>;

/// How one system's lines are compared with its columns.
struct System {
    name: &'static str,
    datasets: &'static [&'static str],
    /// When the lines would have been received: soon after the last of them.
    received: &'static str,
    /// What the line's time is, as its columns tell.
    time: fn(&Columns) -> String,
    /// The column with the host.
    host: Option<&'static str>,
    /// What a collector adds before the line that the system wrote.
    added: fn(&str) -> &str,
}

const SYSTEMS: [System; 16] = [
    System {
        name: "Linux",
        datasets: &["linux.auth", "linux.syslog", "file.ftp", "network.dns"],
        received: "2005-07-27T15:00:00Z",
        time: |row| format!("2005-{}-{:0>2}T{}", month(&row["Month"]), row["Date"], row["Time"]),
        host: Some("Level"),
        added: |line| line,
    },
    System {
        name: "OpenSSH",
        datasets: &["linux.auth"],
        received: "2015-12-11T00:00:00Z",
        time: |row| format!("2015-{}-{:0>2}T{}", month(&row["Date"]), row["Day"], row["Time"]),
        host: None,
        added: |line| line,
    },
    System {
        name: "Apache",
        datasets: &["web.error"],
        received: "2005-12-06T00:00:00Z",
        time: |row| {
            let words: Vec<&str> = row["Time"].split_whitespace().collect();
            format!("{}-{}-{:0>2}T{}", words[4], month(words[1]), words[2], words[3])
        },
        host: None,
        added: |line| line,
    },
    System {
        name: "Mac",
        datasets: &["linux.syslog"],
        received: "2017-07-09T00:00:00Z",
        time: |row| format!("2017-{}-{:0>2}T{}", month(&row["Month"]), row["Date"], row["Time"]),
        host: Some("User"),
        added: |line| line,
    },
    System {
        name: "Thunderbird",
        datasets: &["linux.auth", "linux.syslog", "mail.smtp", "network.dhcp"],
        received: "2005-11-10T00:00:00Z",
        time: |row| format!("2005-{}-{:0>2}T{}", month(&row["Month"]), row["Day"], row["Time"]),
        host: Some("Location"),
        // The label, the time twice and the host, as the cluster's collector put them there.
        added: |line| line.splitn(5, ' ').last().unwrap(),
    },
    System {
        name: "Proxifier",
        datasets: &["app.proxifier"],
        received: "2026-11-21T00:00:00Z",
        time: |row| {
            let (date, clock) = row["Time"].split_once(' ').unwrap();
            format!("2026-{}T{clock}", date.replace('.', "-"))
        },
        host: None,
        added: |line| line,
    },
    System {
        name: "OpenStack",
        datasets: &["app.log"],
        received: "2017-05-17T00:00:00Z",
        time: |row| format!("{}T{}", row["Date"], row["Time"]),
        host: None,
        added: |line| line,
    },
    System {
        name: "Windows",
        datasets: &["windows.cbs"],
        received: "2016-09-30T00:00:00Z",
        time: |row| format!("{}T{}", row["Date"], row["Time"]),
        host: None,
        added: |line| line,
    },
    System {
        name: "Zookeeper",
        datasets: &["app.log"],
        received: "2015-08-26T00:00:00Z",
        time: |row| format!("{}T{}", row["Date"], row["Time"].replace(',', ".")),
        host: None,
        added: |line| line,
    },
    System {
        name: "Hadoop",
        datasets: &["app.log"],
        received: "2015-10-19T00:00:00Z",
        time: |row| format!("{}T{}", row["Date"], row["Time"].replace(',', ".")),
        host: None,
        added: |line| line,
    },
    System {
        name: "HDFS",
        datasets: &["app.log"],
        received: "2008-11-12T00:00:00Z",
        time: |row| {
            // The columns lost leading zeros: as numbers they are right.
            let (date, clock) = (format!("{:0>6}", row["Date"]), format!("{:0>6}", row["Time"]));
            format!(
                "20{}-{}-{}T{}:{}:{}",
                &date[..2],
                &date[2..4],
                &date[4..],
                &clock[..2],
                &clock[2..4],
                &clock[4..]
            )
        },
        host: None,
        added: |line| line,
    },
    System {
        name: "Spark",
        datasets: &["app.log"],
        received: "2017-06-10T00:00:00Z",
        time: |row| format!("20{}T{}", row["Date"].replace('/', "-"), row["Time"]),
        host: None,
        added: |line| line,
    },
    System {
        name: "HealthApp",
        datasets: &["app.log"],
        received: "2017-12-25T00:00:00Z",
        time: |row| {
            let (date, clock) = row["Time"].split_once('-').unwrap();
            let clock: Vec<&str> = clock.split(':').collect();
            format!(
                "{}-{}-{}T{:0>2}:{:0>2}:{:0>2}.{:0>3}",
                &date[..4],
                &date[4..6],
                &date[6..],
                clock[0],
                clock[1],
                clock[2],
                clock[3]
            )
        },
        host: None,
        added: |line| line,
    },
    System {
        name: "HPC",
        datasets: &["app.hpc"],
        received: "2026-11-21T00:00:00Z",
        time: |row| row["Time"].clone(),
        host: Some("Node"),
        added: |line| line,
    },
    System {
        name: "BGL",
        datasets: &["app.hpc"],
        received: "2026-11-21T00:00:00Z",
        time: |row| row["Timestamp"].clone(),
        host: Some("Node"),
        added: |line| line,
    },
    System {
        name: "Android",
        datasets: &["app.android"],
        received: "2016-03-18T00:00:00Z",
        time: |row| format!("2016-{}T{}", row["Date"], row["Time"]),
        host: None,
        added: |line| line,
    },
];

fn month(name: &str) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    format!("{:02}", MONTHS.find(name).unwrap() / 3 + 1)
}

fn instant(text: &str) -> UtcMicros {
    match text.parse::<i64>() {
        Ok(seconds) => UtcMicros::from_micros(seconds * 1_000_000),
        Err(_) => format!("{text}Z").parse().unwrap(),
    }
}

fn field<'a>(read: &'a Described, name: &str) -> &'a str {
    read.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

/// The collection's columns lost a few characters on their way through quoting and trimming.
fn same_text(ours: &str, theirs: &str) -> bool {
    ours.split_whitespace().eq(theirs.split_whitespace())
}

/// What is wrong with a line, if anything.
fn compare(system: &System, row: &Columns, read: &Described) -> Option<String> {
    let expected = instant(&(system.time)(row));
    let host = system.host.map_or("", |column| row[column].as_str());
    if !system.datasets.contains(&read.dataset.as_str()) {
        return Some(format!("dataset {}", read.dataset));
    }
    if read.timestamp != expected {
        return Some(format!("time {} and not {expected}", read.timestamp));
    }
    if !host.is_empty() && field(read, "host.name") != host {
        return Some(format!("host {:?} and not {host:?}", field(read, "host.name")));
    }
    let (ours, mut theirs) = (field(read, "message"), row["Content"].as_str());
    // The client that Apache's errors name is a field of its own here.
    if let Some((client, rest)) = theirs.strip_prefix("[client ").and_then(|t| t.split_once("] "))
        && field(read, "source.ip") == client
    {
        theirs = rest;
    }
    (!same_text(ours, theirs)).then(|| format!("message {ours:?} and not {theirs:?}"))
}

fn rows(folder: &Path, name: &str) -> Vec<Columns> {
    let file = folder.join(format!("{name}_2k.log_structured.csv"));
    let mut reader = csv::Reader::from_path(file).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

#[test]
fn lines_have_the_time_host_and_message_that_loghub_gives_them() {
    let Some(corpora) = corpora() else { return };
    let normalizer = normalizer();
    let mut failed = Vec::new();
    let mut table = String::new();
    for system in &SYSTEMS {
        let folder = corpora.join("loghub").join(system.name);
        let text = std::fs::read(folder.join(format!("{}_2k.log", system.name))).unwrap();
        let text = String::from_utf8_lossy(&text);
        let rows = rows(&folder, system.name);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), rows.len(), "{}", system.name);
        let mut wrong = Vec::new();
        for (line, row) in lines.iter().zip(&rows) {
            let line = (system.added)(line.trim_end());
            let run = run_at(system.received, "import", Transport::SyslogTcp, [line]);
            let read = normalizer.describe(&run).unwrap();
            wrong.extend(compare(system, row, &read).map(|what| format!("{what}: {line}")));
        }
        let right = 100.0 * (lines.len() - wrong.len()) as f64 / lines.len() as f64;
        println!("{:<12} {right:6.2} % of {} lines", system.name, lines.len());
        table.push_str(&format!("| {} | {} | {right:.2} % |\n", system.name, lines.len()));
        wrong.iter().take(20).for_each(|line| println!("    {line}"));
        if right < 99.0 {
            failed.push(system.name);
        }
    }
    assert!(failed.is_empty(), "less than 99 %: {failed:?}");
    for (file, head) in [("loghub.md", HEAD_EN), ("loghub.ja.md", HEAD_JA)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(file);
        let page = format!("{head}{table}");
        if std::env::var_os("YAGURA_UPDATE_DOCS").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            known, page,
            "{file} is not up to date: run this test with `YAGURA_UPDATE_DOCS=1`"
        );
    }
}

const HEAD_EN: &str = "# loghub\n\nHow many of the lines of [loghub](https://github.com/logpai/loghub) (2,000 of each system) land in their dataset with the time, the host (where a column names it) and the message that the collection's own columns give them. This page is made by the test that compares them, `cargo nextest run -p yagura-normalize loghub`. [日本語](loghub.ja.md)\n\n| System | Lines | Right |\n|---|---|---|\n";
const HEAD_JA: &str = "# loghub\n\n[loghub](https://github.com/logpai/loghub)（各 2,000 行）のうち、正しいデータセットに入り、時刻、ホスト（列にある場合）、本文が付属の列のとおりに読めた行の割合。このページは、それを比べるテスト（`cargo nextest run -p yagura-normalize loghub`）から作られています。[English](loghub.md)\n\n| システム | 行数 | 正しい行 |\n|---|---|---|\n";
