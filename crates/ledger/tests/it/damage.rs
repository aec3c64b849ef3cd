//! Whatever is changed in a log directory is found, and the file is named (I4).
use crate::common;
use common::{ORIGIN, SALT, files, fill, header, key, open, records, stream};
use std::fs;
use std::path::Path;
use yagura_ledger::limits::{FINDINGS_MAX, TILE_DEPTH_MAX};
use yagura_ledger::{Finding, Log, LogReport, LogVerifier, Problem, verify_batch};

fn verify(dir: &Path) -> LogReport {
    LogVerifier::new(dir, key().verifier_key().clone()).run()
}

/// A log of `sizes` headers, a checkpoint at each.
fn log_of(sizes: &[u64]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut from = 0;
    for &size in sizes {
        fill(&log, from..size);
        log.publish().unwrap();
        from = size;
    }
    let report = verify(dir.path());
    assert!(report.is_sound(), "{:?}", report.findings);
    dir
}

/// All findings must name `file` and nothing else.
fn assert_names(report: &LogReport, file: &Path, what: &str) {
    assert!(!report.is_sound(), "{what}: not found");
    for finding in &report.findings {
        assert_eq!(finding.file, file, "{what}: {finding}");
    }
}

#[test]
fn every_changed_byte_of_a_small_log_is_found_and_its_file_named() {
    let dir = log_of(&[2]);
    let mut bytes_changed = 0;
    for name in files(dir.path()) {
        let path = dir.path().join(&name);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, &bad).unwrap();
            assert_names(&verify(dir.path()), &path, &format!("{name} byte {at}"));
        }
        for length in (0..good.len()).step_by(7) {
            fs::write(&path, &good[..length]).unwrap();
            assert_names(&verify(dir.path()), &path, &format!("{name} cut to {length}"));
        }
        fs::write(&path, [&good[..], b"\n"].concat()).unwrap();
        assert_names(&verify(dir.path()), &path, &format!("{name} with one byte more"));
        fs::remove_file(&path).unwrap();
        assert_names(&verify(dir.path()), &path, &format!("{name} removed"));
        fs::write(&path, &good).unwrap();
        bytes_changed += good.len();
    }
    assert!(bytes_changed > 1_000, "{bytes_changed}");
    assert!(verify(dir.path()).is_sound());
}

#[test]
fn damage_is_named_by_file_leaf_and_batch_in_a_log_of_several_levels() {
    let dir = log_of(&[1, 300, 520]);
    let change = |name: &str, at: usize| {
        let path = dir.path().join(name);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[at] ^= 4;
        fs::write(&path, &bad).unwrap();
        let report = verify(dir.path());
        fs::write(&path, &good).unwrap();
        assert_names(&report, &path, name);
        report.findings[0].clone()
    };
    // A hash in a full tile, in a partial one, and in the level above.
    assert_eq!(change("tile/0/001", 32 * 5).leaf, Some(256 + 5));
    assert_eq!(change("tile/0/002.p/8", 32 * 5 + 31).leaf, Some(512 + 5));
    assert_eq!(change("tile/1/000.p/2", 32).leaf, Some(256));
    // The word `batch` of the second header of a bundle: its length, then its number.
    let first = dir.path().join("tile/entries/001");
    let length = fs::read(&first).unwrap();
    let second = 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
    let parser = change("tile/entries/001", second + 2 + 60);
    assert_eq!((parser.leaf, parser.batch), (Some(257), Some(257)), "{parser}");
    // The same in files that are missing altogether.
    for name in ["tile/0/000", "tile/1/000.p/2", "tile/entries/000", "tile/0/002.p/8"] {
        let path = dir.path().join(name);
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_names(&verify(dir.path()), &path, name);
        fs::write(&path, good).unwrap();
    }
}

#[test]
fn files_that_do_not_belong_are_named() {
    let dir = log_of(&[7]);
    for (name, problem) in [
        ("note.txt", Problem::Unknown),
        ("tile/0/notes", Problem::Unknown),
        ("tile/8/000", Problem::Unknown),
        ("tile/0/000.p/3", Problem::Leftover),
        ("tile/0/001", Problem::Leftover),
        ("checkpoint.tmp", Problem::Leftover),
    ] {
        let path = dir.path().join(name);
        let before = fs::metadata(path.parent().unwrap()).is_ok();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, b"x").unwrap();
        let report = verify(dir.path());
        assert_names(&report, &path, name);
        assert_eq!(report.findings[0].problem, problem);
        fs::remove_file(&path).unwrap();
        if !before {
            fs::remove_dir(path.parent().unwrap()).unwrap();
        }
    }
    let link = dir.path().join("tile/0/002");
    std::os::unix::fs::symlink("000.p", &link).unwrap();
    assert_names(&verify(dir.path()), &link, "symbolic link");
    fs::remove_file(&link).unwrap();
    fs::create_dir(dir.path().join("extra")).unwrap();
    assert_names(&verify(dir.path()), &dir.path().join("extra"), "directory");
}

#[test]
fn findings_past_the_limit_are_counted_only() {
    let dir = log_of(&[1]);
    for n in 0..=FINDINGS_MAX {
        fs::write(dir.path().join(format!("stranger-{n}")), b"").unwrap();
        let listed = n + 1;
        if listed >= FINDINGS_MAX {
            let report = verify(dir.path());
            assert_eq!(report.findings_total, listed as u64);
            assert_eq!(report.findings.len(), listed.min(FINDINGS_MAX));
        }
    }
}

#[test]
fn a_directory_deeper_than_any_tile_is_named_and_left_alone() {
    let dir = log_of(&[1]);
    let index = "x001/".repeat(TILE_DEPTH_MAX - 3);
    let deepest = dir.path().join(format!("tile/0/{index}001.p"));
    fs::create_dir_all(&deepest).unwrap();
    assert!(verify(dir.path()).is_sound(), "an empty directory holds nothing");
    let deeper = deepest.join("001.p");
    fs::create_dir(&deeper).unwrap();
    assert_names(&verify(dir.path()), &deeper, "one directory too deep");
    fs::write(deeper.join("1"), b"x").unwrap();
    drop(open(dir.path()));
    assert_names(&verify(dir.path()), &deeper, "after an open");
}

/// Someone with the signing key rewrites history; the history of checkpoints gives him away (I5).
#[test]
fn a_log_rewritten_with_its_own_key_contradicts_its_history() {
    let dir = log_of(&[5, 9]);
    let history = fs::read(dir.path().join("checkpoints")).unwrap();
    fs::remove_dir_all(dir.path()).unwrap();
    let forged = Log::open(dir.path(), ORIGIN, key()).unwrap();
    for batch in 0..9 {
        let header = header(&forged, batch, &stream("syslog"), &records(1));
        forged.append(&[header]).unwrap();
    }
    forged.publish().unwrap();
    drop(forged);
    assert!(verify(dir.path()).is_sound(), "alone the forgery is in order");
    fs::write(dir.path().join("checkpoints"), history).unwrap();
    let report = verify(dir.path());
    let problems: Vec<_> = report.findings.iter().map(|finding| &finding.problem).collect();
    assert_eq!(problems, [&Problem::Root, &Problem::Root, &Problem::HistoryEnd]);
    let refused = Log::open(dir.path(), ORIGIN, key()).err().unwrap();
    assert!(refused.to_string().contains("does not end with the last checkpoint"), "{refused}");
}

#[test]
fn records_are_checked_against_their_header() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let good = records(6);
    let header = header(&log, 4, &stream("syslog"), &good);
    let check = |records: &[(u32, yagura_event::Record)]| -> Result<(), Finding> {
        verify_batch(&header, &SALT, records.iter().map(|(index, record)| (*index, record)))
    };
    let numbered: Vec<_> = (0..).zip(good).collect();
    assert_eq!(check(&numbered), Ok(()));
    let found = |records: &[(u32, yagura_event::Record)]| {
        let finding = check(records).unwrap_err();
        assert_eq!(finding.batch, Some(4));
        (finding.index, finding.problem)
    };
    let without = |at: usize| [&numbered[..at], &numbered[at + 1..]].concat();
    assert_eq!(found(&without(3)), (Some(3), Problem::RecordMissing));
    assert_eq!(found(&without(5)), (Some(5), Problem::RecordMissing));
    let mut more = numbered.clone();
    more.push((6, more[0].1.clone()));
    assert_eq!(found(&more), (Some(6), Problem::RecordSurplus));
    let mut changed = numbered.clone();
    changed[2].1.received = changed[2].1.received.plus_micros(1);
    assert_eq!(found(&changed), (None, Problem::RecordChanged));
}
