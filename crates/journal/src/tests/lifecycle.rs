use super::*;
use crate::verify::verify_disk;
use crate::{DamageKind, Expect};

#[test]
fn records_become_runs_then_batches_then_leaves() {
    let mut bench = Bench::new();
    let receipt = bench.append("syslog", &["a", "b"]).unwrap();
    assert_eq!(receipt.runs.len(), 1);
    let ids: Vec<String> = receipt.event_ids(&stream("syslog")).map(|id| id.to_string()).collect();
    assert_eq!(ids, ["syslog/1/0", "syslog/1/1"]);
    bench.append("syslog", &["c"]).unwrap();
    bench.append("web", &["d"]).unwrap();
    let outputs = bench.take_outputs();
    assert_eq!(texts(&outputs).into_values().collect::<Vec<_>>(), ["a", "b", "c", "d"]);

    bench.advance(Duration::from_millis(9_999));
    bench.core.tick();
    assert!(bench.take_outputs().is_empty(), "nothing is due yet");
    bench.advance(Duration::from_millis(1));
    bench.core.tick();
    assert_eq!(sealed_batches(&bench.take_outputs()), [1, 2]);
    let header = &bench.log.headers()[0];
    assert_eq!((header.count, header.stream_prev, &*header.parser), (3, None, "test-1"));

    bench.append("syslog", &["e"]).unwrap();
    bench.core.seal(Some(&stream("syslog"))).unwrap();
    let headers = bench.log.headers();
    assert_eq!(headers[2].stream_prev, Some((0, headers[0].leaf_hash())));
    let report = verify_disk(&bench.disk, &bench.log, Expect::Everything).unwrap();
    assert_eq!(report.damages, []);
    assert_eq!((report.batches_proved, report.records), (3, 5));
}

#[test]
fn batches_seal_at_their_limits_and_not_before() {
    let mut bench = Bench::new();
    let many = vec!["x"; BATCH_RECORDS_MAX as usize];
    bench.append("syslog", &many[1..]).unwrap();
    bench.core.tick();
    assert_eq!(bench.log.headers(), []);
    let receipt = bench.append("syslog", &["last", "first of the next"]).unwrap();
    let runs: Vec<_> = receipt.runs.iter().map(|r| (r.batch, r.first_index, r.count)).collect();
    assert_eq!(runs, [(1, BATCH_RECORDS_MAX - 1, 1), (2, 0, 1)]);
    bench.core.tick();
    assert_eq!(bench.log.headers()[0].count, BATCH_RECORDS_MAX);

    let half = "h".repeat(BATCH_BYTES_MAX as usize / 2);
    bench.append("bytes", &[&half, &half[1..]]).unwrap();
    bench.core.tick();
    assert_eq!(bench.log.headers().len(), 1, "one byte below the limit");
    bench.append("bytes", &["1"]).unwrap();
    bench.core.tick();
    assert_eq!(bench.log.headers()[1].count, 3, "at the limit");
    let receipt = bench.append("bytes", &[&half, &half, "over"]).unwrap();
    assert_eq!(receipt.runs.len(), 2);
}

#[test]
fn one_group_may_fill_several_batches_of_a_stream() {
    let mut bench = Bench::new();
    let many = vec!["x"; 3 * BATCH_RECORDS_MAX as usize + 5];
    let receipt = bench.append("syslog", &many).unwrap();
    assert_eq!(receipt.runs.iter().map(|run| run.count).sum::<u32>() as usize, many.len());
    bench.core.seal(None).unwrap();
    let counts: Vec<u32> = bench.log.headers().iter().map(|header| header.count).collect();
    assert_eq!(counts, [4_096, 4_096, 4_096, 5]);
    assert_eq!(bench.core.shared.counts()[&stream("syslog")], many.len() as u64);
    let bench = bench.restart();
    assert_eq!(texts(&bench.replayed).len(), many.len());
}

#[test]
fn a_silent_stream_beats_for_a_day() {
    let mut bench = Bench::new();
    bench.append("syslog", &["a"]).unwrap();
    bench.core.seal(None).unwrap();
    for _ in 0..3 {
        bench.advance(Duration::from_secs(299));
        bench.core.tick();
        bench.advance(Duration::from_secs(1));
        bench.core.tick();
    }
    let counts: Vec<u32> = bench.log.headers().iter().map(|header| header.count).collect();
    assert_eq!(counts, [1, 0, 0, 0]);
    let mut bench = bench.restart();
    bench.advance(Duration::from_secs(300));
    bench.core.tick();
    assert_eq!(bench.log.headers().len(), 5, "a restart does not end it");
    bench.advance(Duration::from_secs(24 * 3_600));
    bench.core.tick();
    assert_eq!(bench.log.headers().len(), 5);
    assert!(bench.core.streams.is_empty());
}

#[test]
fn a_clock_that_goes_back_seals_instead_of_waiting() {
    let mut bench = Bench::new();
    bench.append("syslog", &["a"]).unwrap();
    bench.clock.advance_micros(-1);
    bench.core.tick();
    assert_eq!(bench.log.headers().len(), 1);
}

#[test]
fn an_open_batch_goes_on_after_a_restart() {
    let mut bench = Bench::new();
    bench.append("syslog", &["a"]).unwrap();
    let mut bench = bench.restart();
    assert_eq!((bench.report.reopened, bench.report.records), (1, 1));
    let receipt = bench.append("syslog", &["b"]).unwrap();
    assert_eq!((receipt.runs[0].batch, receipt.runs[0].first_index), (1, 1));
    bench.core.seal(None).unwrap();
    assert_eq!(verify_disk(&bench.disk, &bench.log, Expect::Everything).unwrap().damages, []);
    let bench = bench.restart();
    assert_eq!(sealed_batches(&bench.replayed), [1]);
    assert_eq!(bench.segment_names(), ["00000001.seg"], "a clean segment is used again");
}

#[test]
fn seals_that_the_ledger_lost_are_appended_again_once() {
    let mut bench = Bench::new();
    bench.append("syslog", &["a"]).unwrap();
    bench.advance(Duration::from_secs(10));
    bench.core.options.checkpoint_interval = Duration::from_secs(3_600);
    bench.core.tick();
    assert_eq!(bench.log.headers().len(), 1);
    assert_eq!(bench.log.after_crash().headers().len(), 0, "not published");
    let bench = bench.restart();
    assert_eq!((bench.report.seals_appended, bench.report.resealed), (1, 0));
    assert_eq!(sealed_batches(&bench.replayed), [1]);
    let bench = bench.restart();
    assert_eq!(bench.report.seals_appended, 0);
    assert_eq!(bench.log.headers().len(), 1);
}

#[test]
fn seals_wait_while_the_ledger_refuses() {
    let mut bench = Bench::new();
    bench.log.set_refusing(true);
    bench.append("syslog", &["a"]).unwrap();
    assert!(matches!(bench.core.seal(None), Err(JournalError::Ledger { .. })));
    bench.append("syslog", &["b"]).unwrap();
    bench.advance(Duration::from_secs(10));
    bench.core.tick();
    assert_eq!(sealed_batches(&bench.take_outputs()), [0; 0]);
    bench.log.set_refusing(false);
    bench.core.tick();
    bench.core.tick();
    assert_eq!(sealed_batches(&bench.take_outputs()), [1, 2]);
    assert_eq!(verify_disk(&bench.disk, &bench.log, Expect::Everything).unwrap().damages, []);
}

#[test]
fn segments_go_when_their_batches_are_stored_and_what_is_left_reads_alone() {
    let mut bench = Bench::new();
    let line = "x".repeat(500);
    for _ in 0..20 {
        bench.append("syslog", &[&line]).unwrap();
        bench.advance(Duration::from_secs(3));
        bench.core.tick();
    }
    let before = bench.segment_names();
    assert!(before.len() > 4, "{before:?}");
    let first: Vec<u64> = bench.log.headers().iter().map(|header| header.batch).take(3).collect();
    bench.core.retire(&first);
    let after = bench.segment_names();
    assert!(!after.is_empty() && after.len() < before.len(), "{after:?}");
    assert!(before.ends_with(&after), "oldest first: {after:?}");
    let report = verify_disk(&bench.disk, &bench.log, Expect::Unretired).unwrap();
    assert_eq!(report.damages, []);
    let whole = verify_disk(&bench.disk, &bench.log, Expect::Everything).unwrap();
    assert!(whole.damages.iter().any(|damage| damage.what == DamageKind::MissingBatch));

    let bench = bench.restart();
    assert_eq!(bench.report.damages, []);
    let replayed = texts(&bench.replayed);
    assert!(replayed.keys().all(|(batch, _)| !first.contains(batch)), "stored once is enough");
    assert_eq!(replayed.keys().filter(|(batch, _)| *batch == 4).count(), 4);
    assert_eq!(bench.report.lost_records, 0);
}

#[test]
fn a_new_segment_lets_the_ones_before_go_and_open_batches_go_on() {
    let mut bench = Bench::new();
    bench.append("old", &["stored elsewhere"]).unwrap();
    bench.core.seal(None).unwrap();
    bench.append("new", &["still open"]).unwrap();
    let before = bench.segment_names();
    assert_eq!(before.len(), 1);
    bench.core.retire(&[0, 1]);
    assert_eq!(bench.segment_names(), before, "the newest is never deleted");
    bench.core.turn().unwrap();
    assert_eq!(bench.segment_names().len(), 2, "the open batch has its record there");
    bench.core.seal(None).unwrap();
    bench.core.retire(&[0, 1, 2, 3]);
    let after = bench.segment_names();
    assert!(after.len() == 1 && after != before, "{after:?}");
    bench.append("new", &["later"]).unwrap();
    let bench = bench.restart();
    assert_eq!(bench.report.damages, []);
    assert_eq!(texts(&bench.replayed).into_values().collect::<Vec<_>>(), ["later"]);
}

#[test]
fn the_audit_journal_deletes_nothing() {
    let mut bench = Bench::new();
    bench.core.options.retain_all = true;
    for _ in 0..5 {
        bench.append("audit", &["x".repeat(1_000).as_str()]).unwrap();
        bench.core.seal(None).unwrap();
    }
    let before = bench.segment_names();
    bench.core.retire(&[1, 2, 3, 4, 5]);
    assert_eq!(bench.segment_names(), before);
}

#[test]
fn a_full_disk_refuses_and_resumes_by_itself() {
    let mut bench = Bench::new();
    bench.append("syslog", &["kept"]).unwrap();
    bench.disk.set_full(true);
    for _ in 0..3 {
        let error = bench.append("syslog", &["refused"]).unwrap_err();
        assert!(matches!(error, JournalError::DiskFull { needed: 1.., .. }), "{error}");
        bench.advance(Duration::from_secs(10));
        bench.core.tick();
    }
    bench.disk.set_full(false);
    let receipt = bench.append("syslog", &["accepted"]).unwrap();
    bench.core.seal(None).unwrap();
    assert_eq!(receipt.runs[0].count, 1);
    let bench = bench.restart();
    let found: Vec<String> = texts(&bench.replayed).into_values().collect();
    assert_eq!(found, ["kept", "accepted"]);
    assert_eq!(bench.report.damages, []);
    assert_eq!(bench.report.torn_bytes, 0);
}

#[test]
fn too_many_streams_are_refused_one_by_one() {
    let mut bench = Bench::new();
    bench.core.options.segment_bytes = 64 * 1024 * 1024;
    for number in 0..crate::limits::STREAMS_MAX {
        bench.append(&format!("s{number}"), &["x"]).unwrap();
    }
    assert!(matches!(bench.append("more", &["x"]), Err(JournalError::TooManyStreams)));
    bench.append("s0", &["still welcome"]).unwrap();
}
