//! Every real file of the corpora.

use crate::common;
use common::{Store, corpora};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use yagura_intake::import::{FileKind, Import, ImportOptions, ImportReport, Outcome, Plan, plan};

fn run(store: &Store, plan: &Plan) -> ImportReport {
    let report = Import::run(plan, store, &(), &ImportOptions::default(), &AtomicBool::new(false));
    assert!(matches!(report.outcome, Outcome::Done));
    assert_eq!(report.records_added(), store.count() as u64);
    report
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

#[test]
fn every_windows_event_log_imports() {
    let Some(corpora) = corpora() else { return };
    for folder in ["sigma-regression", "evtx-attack-samples"] {
        let plan = plan(&[corpora.join(folder)]);
        let store = Store::default();
        let report = run(&store, &plan);
        let named =
            plan.files.iter().filter(|file| has_extension(&file.path.to_string_lossy(), "evtx"));
        let logs: Vec<_> =
            report.files.iter().filter(|file| file.kind == Some(FileKind::Evtx)).collect();
        assert_eq!(logs.len(), named.count());
        let mut records = 0;
        for file in logs {
            let found = file.records_added + file.records_already_there;
            records += found;
            assert!(found > 0 || file.damaged > 0, "{file:?}");
            for damage in &file.damages {
                println!("{}: {}: {}", file.path, damage.place, damage.reason);
            }
            // The same events by an older dumper, objects over many lines one after another.
            let beside = Path::new(&file.path).with_extension("json");
            if let Some(json) = report.files.iter().find(|other| Path::new(&other.path) == beside) {
                let in_json = json.records_added + json.records_already_there;
                assert_eq!((in_json, json.damaged), (found, 0), "{}", json.path);
            }
        }
        println!("{folder}: {} files, {records} Windows events", plan.files.len());
    }
}

#[test]
fn every_line_of_text_and_json_imports() {
    let Some(corpora) = corpora() else { return };
    let store = Store::default();
    // A part of the JSON archives: all of them take long in a debug build.
    let folders =
        ["loghub", "otrf/atomic/linux", "otrf/atomic/aws", "otrf/atomic/windows/discovery"];
    let plan = plan(&folders.map(|folder| corpora.join(folder)));
    let report = run(&store, &plan);
    for file in &report.files {
        // Archives made on a Mac hold resource forks beside the logs.
        assert!(file.skipped.is_none() || file.path.contains("__MACOSX"), "{file:?}");
        if file.damaged > 0 {
            println!("{}: {:?}", file.path, file.damages.first());
        }
        if !file.path.contains('!') && has_extension(&file.path, "log") {
            let text = std::fs::read(&file.path).unwrap();
            let blank = |line: &&[u8]| !line.is_empty() && line != b"\r";
            let lines = text.split(|&byte| byte == b'\n').filter(blank).count() as u64;
            assert_eq!(file.records_added + file.records_already_there, lines, "{}", file.path);
        }
    }
    let archives = report.files.iter().filter(|file| file.path.contains('!')).count();
    assert!(archives > 0);
    println!("{} files, {} records", report.files.len(), report.records_added());
    let again = Import::run(&plan, &store, &(), &ImportOptions::default(), &AtomicBool::new(false));
    assert_eq!(again.records_added(), 0);
    assert!(again.records_already_there() >= report.records_added());
}

#[test]
fn interrupted_anywhere_it_resumes_to_the_same_records() {
    let Some(corpora) = corpora() else { return };
    let plan = plan(&[corpora.join("evtx-attack-samples")]);
    let mut whole = Store::default();
    run(&whole, &plan);
    let mut store = Store::default();
    let mut interruptions = 0;
    let mut step = 1;
    loop {
        let cancel = Arc::new(AtomicBool::new(false));
        store.cancel_after = Some((store.count() + step, cancel.clone()));
        step = step * 7 % 1_009;
        let report = Import::run(&plan, &store, &(), &ImportOptions::default(), &cancel);
        match report.outcome {
            Outcome::Done => break,
            _ => interruptions += 1,
        }
    }
    assert!(interruptions > 10, "{interruptions}");
    let bytes = |store: &mut Store| -> Vec<(String, Vec<bytes::Bytes>)> {
        let streams = std::mem::take(store.streams.get_mut().unwrap());
        let of = |records: Vec<yagura_event::Record>| {
            records.into_iter().map(|record| record.bytes).collect()
        };
        streams.into_iter().map(|(name, records)| (name, of(records))).collect()
    };
    assert!(bytes(&mut store) == bytes(&mut whole));
}

#[test]
fn damaged_windows_event_logs_lose_only_the_damaged_place() {
    let Some(corpora) = corpora() else { return };
    // The sample with the most records, so that it has several chunks.
    let all = run(&Store::default(), &plan(&[corpora.join("evtx-attack-samples")]));
    let small =
        all.files.iter().filter(|file| file.kind == Some(FileKind::Evtx) && file.bytes < 4_000_000);
    let sample = small.max_by_key(|file| file.records_added).unwrap();
    let whole = std::fs::read(&sample.path).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.evtx");
    let import = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let mut report = run(&Store::default(), &plan(std::slice::from_ref(&path)));
        report.files.remove(0)
    };
    let intact = import(&whole);
    assert_eq!(intact.damaged, 0);

    // A record of the second chunk: the chunk's checksum fails and that record is lost, or what
    // used a template it defined; nothing else.
    let mut broken = whole.clone();
    let second_chunk = 4096 + 65_536;
    broken[second_chunk + 40_000..second_chunk + 40_088].fill(0xaa);
    let report = import(&broken);
    assert!(report.damaged > 0);
    assert!(report.damages[0].place.en().contains("chunk 1 at byte 69632"), "{report:?}");
    assert!(report.records_added < intact.records_added);
    assert!(report.records_added + 60 > intact.records_added, "{report:?}");

    // An offset in its table of names: every record is read all the same.
    let mut broken = whole.clone();
    broken[second_chunk + 128..second_chunk + 384].fill(0x7f);
    let report = import(&broken);
    assert_eq!((report.damaged, report.records_added), (2, intact.records_added), "{report:?}");

    // Its header: the chunk is lost, the others are not.
    let mut broken = whole.clone();
    broken[second_chunk..second_chunk + 8].fill(0);
    let report = import(&broken);
    assert!(report.records_added > 0 && report.records_added < intact.records_added);

    // Cut off within the second chunk: what is left of it is read.
    let report = import(&whole[..second_chunk + 30_000]);
    assert!(report.damaged > 0 && report.records_added < intact.records_added);
    let first_only = import(&whole[..second_chunk]);
    assert_eq!(first_only.damaged, 0);
    assert!(report.records_added > first_only.records_added, "{report:?}");

    // Bytes changed anywhere: no panic, and it is told.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..40 {
        let mut broken = whole[..whole.len().min(200_000)].to_vec();
        for _ in 0..50 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = 8 + usize::try_from(random >> 16).unwrap() % (broken.len() - 8);
            broken[at] = random.to_le_bytes()[0];
        }
        let report = import(&broken);
        assert!(report.damaged > 0);
    }
}
