//! Any bytes as a journal segment: every record that is read stands in the file, in order, and
//! reading is of one mind with verifying. An odd first byte has the checksums made right first.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use yagura_event::{CommittedRun, Lang, StreamName};
use yagura_fuzz::{repair_segment, scratch_dir};
use yagura_journal::{Expect, SealLog, limits, read_segments, verify_segments};
use yagura_ledger::{BatchHeader, Hash};

static DIR: LazyLock<PathBuf> = LazyLock::new(|| scratch_dir("journal_segment"));

fuzz_target!(|bytes: &[u8]| {
    let Some((mode, segment)) = bytes.split_first() else { return };
    let mut segment = segment.to_vec();
    if mode % 2 == 1 {
        repair_segment(&mut segment);
    }
    std::fs::write(DIR.join("00000001.seg"), &segment).unwrap();
    let read =
        || -> Vec<CommittedRun> { read_segments(&DIR).unwrap().map(|run| run.unwrap()).collect() };
    let runs = read();
    assert_eq!(format!("{runs:?}"), format!("{:?}", read()));
    let mut rest = &segment[..];
    let (mut count, mut once) = (0, true);
    let mut places = HashSet::new();
    for run in &runs {
        assert!(!run.records.is_empty());
        for (index, _) in run.indexed() {
            assert!(index < limits::BATCH_RECORDS_MAX && run.batch <= limits::BATCH_NUMBER_MAX);
            once &= places.insert((run.batch, index));
        }
        for record in &run.records {
            rest = after(rest, &record.bytes).expect("a record stands in the file, in its place");
            count += 1;
        }
    }
    let report = verify_segments(&DIR, &EmptyLog, Expect::Unretired).unwrap();
    assert_eq!(report.segments, 1);
    assert!(report.records >= count, "what is read is verified");
    assert!(report.records == count || report.damage_count > 0, "what is left out is named");
    assert!(once || report.damage_count > 0, "a place that is taken twice is named");
    assert!(report.damages.len() as u64 <= report.damage_count);
    assert!(report.damages.len() <= limits::DAMAGE_LISTED_MAX);
    for damage in &report.damages {
        assert!(damage.offset + damage.bytes <= segment.len() as u64, "{damage}");
        assert!(!damage.what.sentence(Lang::Ja).is_empty());
    }
});

/// What follows the first occurrence of `part`.
fn after<'a>(bytes: &'a [u8], part: &[u8]) -> Option<&'a [u8]> {
    if part.is_empty() {
        return Some(bytes);
    }
    let at = bytes.windows(part.len()).position(|window| window == part)?;
    Some(&bytes[at + part.len()..])
}

/// A log in which nothing was ever sealed.
struct EmptyLog;

impl SealLog for EmptyLog {
    fn origin(&self) -> Arc<str> {
        "yagura.example/fuzz/events".into()
    }

    fn size(&self) -> u64 {
        0
    }

    fn streams(&self) -> Vec<(StreamName, u64)> {
        Vec::new()
    }

    fn stream_tail(&self, _: &StreamName) -> Option<(u64, Hash)> {
        None
    }

    fn stream_count(&self, _: &StreamName) -> u64 {
        0
    }

    fn header(&self, _: u64) -> Result<BatchHeader, Arc<str>> {
        Err("the log is empty".into())
    }

    fn header_of_batch(&self, _: u64) -> Result<Option<BatchHeader>, Arc<str>> {
        Ok(None)
    }

    fn append(&self, _: &[BatchHeader]) -> Result<(), Arc<str>> {
        Err("the log is closed".into())
    }

    fn publish(&self) -> Result<(), Arc<str>> {
        Err("the log is closed".into())
    }
}
