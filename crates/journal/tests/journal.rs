//! The whole journal on a real disk, with its threads and a real ledger.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use crossbeam_channel::{Receiver, bounded};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use yagura_event::{Record, StreamName, SystemClock, Transport, UtcMicros};
use yagura_journal::{
    Expect, Journal, JournalError, JournalOptions, JournalOutput, RecoveryReport, limits,
    read_segments, verify_segments,
};
use yagura_ledger::{Log, SigningKey};

const ORIGIN: &str = "test.example/events";

fn open_log(dir: &Path) -> Arc<Log> {
    let key = SigningKey::load_or_create(&dir.join("events.key"), ORIGIN).unwrap();
    Arc::new(Log::open(&dir.join("ledger"), ORIGIN, key).unwrap())
}

fn open(
    dir: &Path,
    options: JournalOptions,
) -> Result<(Journal, RecoveryReport, Receiver<JournalOutput>, Arc<Log>), JournalError> {
    let log = open_log(dir);
    let (sender, receiver) = bounded(4);
    let (journal, report) =
        Journal::open(&dir.join("journal"), options, log.clone(), Arc::new(SystemClock), sender)?;
    Ok((journal, report, receiver, log))
}

/// Collects all that the journal says until it is closed.
fn collect(output: Receiver<JournalOutput>) -> std::thread::JoinHandle<Vec<JournalOutput>> {
    std::thread::spawn(move || output.iter().collect())
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn record(text: &str) -> Record {
    Record {
        received: UtcMicros::from_micros(1_000_000),
        transport: Transport::SyslogTcp,
        peer: "10.0.0.7:514".into(),
        identity: "none".into(),
        bytes: text.as_bytes().to_vec().into(),
    }
}

fn texts(outputs: &[JournalOutput]) -> BTreeMap<(u64, u32), String> {
    let mut found = BTreeMap::new();
    for output in outputs {
        if let JournalOutput::Run(run) = output {
            for (index, record) in run.indexed() {
                let text = String::from_utf8(record.bytes.to_vec()).unwrap();
                assert!(found.insert((run.batch, index), text).is_none());
            }
        }
    }
    found
}

#[test]
fn many_senders_share_commits_and_every_record_is_accounted_for() {
    let dir = tempfile::tempdir().unwrap();
    // A queue so small that senders have to wait, and an output that is always behind.
    let options = JournalOptions { queue_bytes: 2_000, ..JournalOptions::default() };
    let (journal, _, output, log) = open(dir.path(), options).unwrap();
    let outputs = collect(output);
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let journal = journal.clone();
            std::thread::spawn(move || {
                for number in 0..50 {
                    let records = vec![record(&format!("{sender} {number}")), record("x")];
                    journal.append(&stream(&format!("s{}", sender % 3)), records).unwrap();
                }
            })
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let (mut full, mut accepted) = (0, 0);
    runtime.block_on(async {
        let tasks: Vec<_> = (0..400)
            .map(|number| {
                let journal = journal.clone();
                tokio::spawn(async move {
                    let records = vec![record(&format!("async {number}"))];
                    match number % 2 {
                        0 => journal.append_async(&stream("s0"), records).await,
                        _ => journal.try_append_async(&stream("s0"), records).await,
                    }
                })
            })
            .collect();
        for task in tasks {
            match task.await.unwrap() {
                Ok(receipt) => accepted += receipt.runs.len(),
                Err(JournalError::Full) => full += 1,
                Err(error) => panic!("{error}"),
            }
        }
    });
    for sender in senders {
        sender.join().unwrap();
    }
    let long = record(&"x".repeat(yagura_event::limits::RECORD_BYTES_MAX + 1));
    let refused = journal.append(&stream("s0"), vec![record("fits"), long]).unwrap_err();
    assert!(matches!(refused, JournalError::RecordTooLarge { position: 1 }));
    let many = vec![record(""); limits::APPEND_RECORDS_MAX + 1];
    let refused = journal.append(&stream("s0"), many).unwrap_err();
    assert!(matches!(refused, JournalError::AppendTooLarge { .. }));
    assert_eq!(journal.append(&stream("s0"), Vec::new()).unwrap().runs, []);

    let stats = journal.stats();
    assert_eq!(stats.received, stats.committed + stats.rejected);
    assert_eq!(stats.committed, 800 + accepted as u64);
    assert_eq!(stats.rejected, full + 2 + limits::APPEND_RECORDS_MAX as u64 + 1);
    assert!(stats.commits < 800, "{stats:?}");
    let kept: u64 = (0..3).map(|n| journal.stream_records(&stream(&format!("s{n}")))).sum();
    assert_eq!(kept, stats.committed);

    journal.close().unwrap();
    assert!(matches!(journal.append(&stream("s0"), vec![record("")]), Err(JournalError::Closed)));
    let told = texts(&outputs.join().unwrap());
    assert_eq!(told.len() as u64, stats.committed);
    let read: usize = read_segments(&dir.path().join("journal"))
        .unwrap()
        .map(|run| run.unwrap().records.len())
        .sum();
    assert_eq!(read, told.len());
    let report = verify_segments(&dir.path().join("journal"), &*log, Expect::Everything).unwrap();
    assert_eq!((report.damages, report.unsealed_records), (Vec::new(), 0));
    assert_eq!(log.checkpoint().size(), log.size());
}

#[test]
fn the_largest_call_and_the_longest_texts_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _, output, _) = open(dir.path(), JournalOptions::default()).unwrap();
    let outputs = collect(output);
    let mut longest = record(&"x".repeat(yagura_event::limits::RECORD_BYTES_MAX));
    longest.peer = "p".repeat(limits::PEER_BYTES_MAX).into();
    longest.identity = longest.peer.clone();
    journal.append(&stream("a"), vec![longest.clone()]).unwrap();
    let copies = limits::APPEND_BYTES_MAX / longest.bytes.len();
    let receipt = journal.append(&stream("a"), vec![longest.clone(); copies]).unwrap();
    assert_eq!(receipt.runs.len(), copies);
    longest.identity = format!("{}x", longest.peer).into();
    assert!(matches!(
        journal.append(&stream("a"), vec![longest]),
        Err(JournalError::RecordTooLarge { position: 0 })
    ));
    journal.append(&stream("b"), vec![record(""); limits::APPEND_RECORDS_MAX]).unwrap();
    let mut too_much = vec![record(&"x".repeat(1 << 20)); copies];
    too_much.push(record("x"));
    let refused = journal.append(&stream("a"), too_much).unwrap_err();
    assert!(matches!(refused, JournalError::AppendTooLarge { .. }));
    journal.close().unwrap();
    assert_eq!(texts(&outputs.join().unwrap()).len(), 1 + copies + limits::APPEND_RECORDS_MAX);
}

#[test]
fn a_second_process_on_the_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _, output, _) = open(dir.path(), JournalOptions::default()).unwrap();
    let error = open(dir.path(), JournalOptions::default()).map(drop).unwrap_err();
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(output);
    journal.close().unwrap();
    let (journal, _, _output, _) = open(dir.path(), JournalOptions::default()).unwrap();
    journal.close().unwrap();
}

#[test]
fn more_is_replayed_than_the_output_holds_and_opening_does_not_wait_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _, output, _) = open(dir.path(), JournalOptions::default()).unwrap();
    let outputs = collect(output);
    for number in 0..40 {
        let name = stream(&format!("s{}", number % 20));
        journal.append(&name, vec![record(&number.to_string())]).unwrap();
    }
    journal.close().unwrap();
    let first = texts(&outputs.join().unwrap());
    let (journal, report, output, _) = open(dir.path(), JournalOptions::default()).unwrap();
    assert_eq!(report.records, 40);
    let outputs = collect(output);
    journal.append(&stream("s0"), vec![record("new")]).unwrap();
    journal.close().unwrap();
    let outputs = outputs.join().unwrap();
    let second = texts(&outputs);
    assert!(first.iter().all(|(place, text)| second.get(place) == Some(text)));
    assert_eq!(second.len(), 41);
    let last_run = outputs.iter().rev().find_map(|output| match output {
        JournalOutput::Run(run) => Some(run.records[0].bytes.clone()),
        JournalOutput::Sealed(_) | JournalOutput::Replayed | JournalOutput::Mark(_) => None,
    });
    assert_eq!(last_run.unwrap(), "new");
    let ends: Vec<usize> = (0..outputs.len())
        .filter(|place| matches!(outputs[*place], JournalOutput::Replayed))
        .collect();
    assert_eq!(ends.len(), 1, "the replay ends once");
    assert_eq!(texts(&outputs[..ends[0]]), first, "after what was there, before what is new");
}

/// Environment variable that makes this binary the process to be killed.
const CHILD: &str = "YAGURA_JOURNAL_TEST_CHILD";

/// Not a test of its own: the process that [`nothing_acknowledged_is_lost_by_kill_9`] kills.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let options = JournalOptions {
        segment_bytes: 20_000,
        seal_after: Duration::from_millis(30),
        checkpoint_interval: Duration::from_millis(30),
        ..JournalOptions::default()
    };
    let (journal, _, output, _) = open(Path::new(&dir), options).unwrap();
    drop(collect(output));
    let senders: Vec<_> = (0..3)
        .map(|sender| {
            let journal = journal.clone();
            std::thread::spawn(move || {
                for number in 0.. {
                    let text = format!("{sender}-{number}-{}", "x".repeat(number % 300));
                    let name = stream(&format!("s{sender}"));
                    let receipt = journal.append(&name, vec![record(&text)]).unwrap();
                    let run = receipt.runs[0];
                    println!("ack {} {} {text}", run.batch, run.first_index);
                }
            })
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_appends_until_it_is_killed", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        let quota = 40 + 97 * round;
        while let Some(Ok(line)) = lines.next() {
            // The test harness writes lines of its own, the first one without a line break.
            let Some(at) = line.find("ack ") else { continue };
            let mut words = line[at..].splitn(4, ' ').skip(1);
            let batch: u64 = words.next().unwrap().parse().unwrap();
            let index: u32 = words.next().unwrap().parse().unwrap();
            let again = acknowledged.insert((batch, index), words.next().unwrap().to_owned());
            assert!(again.is_none(), "round {round}: place {batch}/{index} given twice");
            seen += 1;
            if seen == quota {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= quota, "round {round}: the child ended by itself after {seen}");
    }
    let (journal, report, output, log) = open(dir.path(), JournalOptions::default()).unwrap();
    assert_eq!(report.damages, []);
    let outputs = collect(output);
    journal.close().unwrap();
    let found = texts(&outputs.join().unwrap());
    for (place, text) in &acknowledged {
        assert_eq!(found.get(place), Some(text), "{place:?}");
    }
    let report = verify_segments(&dir.path().join("journal"), &*log, Expect::Everything).unwrap();
    assert_eq!((report.damages, report.unsealed_records), (Vec::new(), 0));
    assert!(log.verify().findings.is_empty());
}
