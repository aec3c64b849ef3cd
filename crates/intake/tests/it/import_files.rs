//! Imports of files made here: kinds, containers, damage, hostile archives.

use crate::common;
use common::Store;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use yagura_event::{Record, Transport};
use yagura_intake::import::{
    FileKind, Import, ImportOptions, ImportReport, Outcome, Written, plan,
};
use yagura_intake::limits::EXPANSION_FREE_BYTES;

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 3).unwrap()
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, data) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        // Written as they are: the tar crate itself would refuse "..".
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, data) in members {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(data).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn import(store: &Store, path: &Path) -> ImportReport {
    let plan = plan(&[path.to_owned()]);
    let options = ImportOptions { spool_memory_bytes: 1024, ..ImportOptions::default() };
    Import::run(&plan, store, &(), &options, &AtomicBool::new(false))
}

/// Imports one file of these bytes; its report and records, in the order the files were read.
fn import_bytes(data: &[u8]) -> (ImportReport, Vec<Record>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, data).unwrap();
    let store = Store::default();
    let report = import(&store, &path);
    assert!(matches!(report.outcome, Outcome::Done));
    let mut streams = store.streams.lock().unwrap();
    let names: Vec<_> = report.files.iter().filter_map(|file| file.stream.clone()).collect();
    let records =
        names.iter().flat_map(|name| streams.remove(name.as_str()).unwrap_or_default()).collect();
    (report, records)
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| record.bytes.escape_ascii().to_string()).collect()
}

#[test]
fn every_kind_of_file_gives_its_records() {
    let utf16: Vec<u8> = "\u{feff}あ\r\nb\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: &[(&[u8], FileKind, &[&str])] = &[
        (b"", FileKind::Empty, &[]),
        (b"one\r\n\n two \n\x83\x8d", FileKind::Text, &["one", " two ", "\\x83\\x8d"]),
        (b"\xef\xbb\xbfmarked\n", FileKind::Text, &["marked"]),
        (&utf16, FileKind::TextUtf16Le, &["B0", "b\\x00"]),
        (b"{\"a\": 1}\n \n{\"b\":2}", FileKind::JsonLines, &["{\\\"a\\\": 1}", "{\\\"b\\\":2}"]),
        (b"[{\"a\":1},\n {\"b\":2}]", FileKind::JsonArray, &["{\\\"a\\\":1}", "{\\\"b\\\":2}"]),
        (
            b"{\n\"a\":1\n}\n{\n\"b\":2\n}\n",
            FileKind::JsonObjects,
            &["{\\n\\\"a\\\":1\\n}", "{\\n\\\"b\\\":2\\n}"],
        ),
        (
            b"{\"Records\":[{\"a\": 1}, {\"b\":2}]}\n{\"Records\":[{\"c\":3}]}\n",
            FileKind::JsonObjects,
            &["{\\\"a\\\": 1}", "{\\\"b\\\":2}", "{\\\"c\\\":3}"],
        ),
    ];
    for (data, kind, expected) in cases {
        let (report, records) = import_bytes(data);
        assert_eq!(report.files[0].kind, Some(*kind));
        assert_eq!(&texts(&records), expected, "{kind:?}");
        assert_eq!(report.damaged(), 0);
        assert_eq!(report.records_added(), expected.len() as u64);
    }
}

#[test]
fn a_record_names_its_file_and_its_stream_the_content() {
    let (report, records) = import_bytes(b"abc");
    let file = &report.files[0];
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(file.sha256, digest);
    assert_eq!(file.stream.as_ref().unwrap().as_str(), format!("import/{}", &digest[..32]));
    assert_eq!(records[0].transport, Transport::File);
    assert_eq!((&*records[0].peer, &*records[0].identity), (file.path.as_str(), "none"));
    let (report, records) = import_bytes(&zip(&[("dir/a\nb.log", b"abc")]));
    assert_eq!(report.files[0].sha256, digest);
    assert!(records[0].peer.ends_with("file!dir/a%0Ab.log"), "{}", records[0].peer);
}

#[test]
fn containers_are_opened_by_their_content() {
    let log = b"<13>one\n<13>two\n";
    let tarred = tar(&[("a.log", log), ("../../etc/passwd", b"up\n"), ("empty", b"")]);
    let cases: &[(Vec<u8>, usize)] = &[
        (gzip(log), 2),
        ([gzip(&log[..8]), gzip(&log[8..])].concat(), 2),
        (zstd(log), 2),
        (tarred.clone(), 3),
        (gzip(&tarred), 3),
        (zstd(&tarred), 3),
        (zip(&[("a", log), ("b.gz", &gzip(b"deep\n")), ("c.tar.gz", &gzip(&tarred))]), 6),
    ];
    for (data, expected) in cases {
        let (report, records) = import_bytes(data);
        assert!(report.files.iter().all(|file| file.skipped.is_none()), "{report:?}");
        // The same content twice in one import is one stream.
        let there = usize::try_from(report.records_already_there()).unwrap();
        assert_eq!(records.len() + there, *expected, "{report:?}");
    }
    assert!(!Path::new("/etc/passwd!").try_exists().unwrap());
}

#[test]
fn containers_nest_only_so_deep() {
    let twice = zip(&[("b.zip", &zip(&[("c.log", b"c\n")]))]);
    assert_eq!(import_bytes(&twice).1.len(), 1);
    let (report, records) = import_bytes(&zip(&[("a.zip", &twice), ("d.log", b"d\n")]));
    assert_eq!(texts(&records), ["d"]);
    assert!(
        report
            .files
            .iter()
            .any(|file| file.skipped.as_ref().is_some_and(|why| why.en().contains("archives")))
    );
    let (report, records) = import_bytes(&gzip(&gzip(b"x\n")));
    assert!(records.is_empty());
    assert!(report.files[0].skipped.is_some());
}

#[test]
fn bombs_are_refused_and_leave_nothing() {
    let fits = vec![b'\n'; usize::try_from(EXPANSION_FREE_BYTES).unwrap()];
    let bomb = [fits.clone(), vec![b'\n']].concat();
    // Deflate reaches at most about 1,030:1, so the bombs are zstd, alone and inside a zip.
    let one = zstd(&fits);
    assert!((one.len() as u64) * 1_000 < EXPANSION_FREE_BYTES);
    assert!(import_bytes(&one).0.files[0].skipped.is_none());
    for data in [zstd(&bomb), zip(&[("bomb.zst", &zstd(&bomb))])] {
        let (report, records) = import_bytes(&data);
        assert!(records.is_empty());
        assert!(report.files[0].skipped.as_ref().unwrap().en().contains("limit"), "{report:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("absolute.zst");
    fs::write(&path, zstd(&[b"a line\n".repeat(20), vec![b'\n'; 100]].concat())).unwrap();
    for (limit, read) in [(240, true), (239, false)] {
        let options = ImportOptions { expanded_bytes_max: limit, ..ImportOptions::default() };
        let store = Store::default();
        let plan = plan(std::slice::from_ref(&path));
        let report = Import::run(&plan, &store, &(), &options, &AtomicBool::new(false));
        assert_eq!(report.files[0].skipped.is_none(), read);
        assert_eq!(store.count() > 0, read);
    }
}

#[test]
fn archives_with_too_many_members_are_read_up_to_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("many.tgz");
    let options = ImportOptions { archive_members_max: 9, ..ImportOptions::default() };
    for (members, refused) in [(9, 0), (10, 1)] {
        fs::write(&path, gzip(&tar(&vec![("m", &b"same\n"[..]); members]))).unwrap();
        let plan = plan(std::slice::from_ref(&path));
        let store = Store::default();
        let report = Import::run(&plan, &store, &(), &options, &AtomicBool::new(false));
        let skipped = report.files.iter().filter(|file| file.skipped.is_some()).count();
        assert_eq!((skipped, report.files.len()), (refused, members));
        assert_eq!((report.records_added(), report.records_already_there()), (1, 8));
    }
}

#[test]
fn an_endless_name_in_a_tar_archive_is_not_collected() {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(200 << 20);
    header.set_cksum();
    let data = [header.as_bytes().to_vec(), vec![b'n'; 3 << 20]].concat();
    let (report, records) = import_bytes(&data);
    assert!(records.is_empty());
    assert!(report.files[0].skipped.as_ref().unwrap().en().contains("too long"), "{report:?}");
}

#[test]
fn damaged_containers_give_what_they_still_hold() {
    let lines: String = (0..20_000).map(|n| format!("<13>line {}\n", n * 7919 % 20_011)).collect();
    let whole = gzip(lines.as_bytes());
    let (report, records) = import_bytes(&whole[..whole.len() / 2]);
    assert!(records.len() > 1_000 && records.len() < 20_000);
    assert_eq!(report.damaged(), 1);
    assert!(lines.starts_with(std::str::from_utf8(&records[0].bytes).unwrap()));

    let mut broken = zip(&[("a", b"aaaa\n"), ("b", b"bbbb\n")]);
    let name = broken.iter().position(|&byte| byte == b'a').unwrap();
    broken[name + 1] ^= 0x55;
    let (report, records) = import_bytes(&broken);
    assert!(texts(&records).contains(&"bbbb".to_owned()), "{report:?}");
    assert!(report.files.iter().any(|file| file.damaged > 0 || file.skipped.is_some()));

    for garbage in [&b"PK\x03\x04 not really"[..], b"\x1f\x8b\x08 nor this", b"\x28\xb5\x2f\xfd!!"]
    {
        let (report, records) = import_bytes(garbage);
        assert!(records.is_empty());
        assert!(report.files[0].skipped.is_some(), "{report:?}");
    }
}

#[test]
fn damaged_text_is_kept_and_named() {
    let (report, records) = import_bytes(b"{\"a\":1}\n{\"b\":\nnoise\n{\"c\":\"\xff\"}\n");
    assert_eq!(records.len(), 4);
    let places: Vec<_> = report.files[0].damages.iter().map(|damage| damage.place.en()).collect();
    assert_eq!(places[..2], ["line 2", "line 3"]);
    let (report, records) = import_bytes(&[b"ElfFile\0".to_vec(), vec![0; 100]].concat());
    assert!(records.is_empty());
    assert_eq!(report.damaged(), 1);
    let (report, _) = import_bytes(&vec![0; 100_000]);
    assert!(report.files[0].skipped.is_some());
}

#[test]
fn a_failing_sink_ends_the_import_and_it_resumes() {
    let dir = tempfile::tempdir().unwrap();
    for file in 0..3 {
        let lines: String = (0..6_000).map(|line| format!("file {file} line {line}\n")).collect();
        fs::write(dir.path().join(format!("{file}.log")), lines).unwrap();
    }
    let mut store = Store { fail_after: Some(11_000), ..Store::default() };
    let report = import(&store, dir.path());
    assert!(matches!(report.outcome, Outcome::Failed(_)));
    assert_eq!(report.records_added(), store.count() as u64);
    assert!(store.count() <= 11_000);
    store.fail_after = None;
    let resumed = import(&store, dir.path());
    assert!(matches!(resumed.outcome, Outcome::Done));
    assert_eq!(resumed.records_already_there(), report.records_added());
    assert_eq!(store.count(), 18_000);
    for records in store.streams.lock().unwrap().values() {
        for (line, record) in records.iter().enumerate() {
            assert!(record.bytes.ends_with(format!(" line {line}").as_bytes()));
        }
    }
    let again = import(&store, dir.path());
    assert_eq!((again.records_added(), again.records_already_there()), (0, 18_000));
}

#[test]
fn an_interrupted_import_resumes_to_the_same_sequence() {
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..50_000).map(|line| format!("line {line}\n")).collect();
    fs::write(dir.path().join("a.gz"), gzip(lines.as_bytes())).unwrap();
    let paths: Vec<PathBuf> = vec![dir.path().to_owned()];
    for first_stop in [1, 5_000, 12_288, 20_480] {
        let mut store = Store::default();
        let mut runs = 0;
        loop {
            runs += 1;
            let cancel = Arc::new(AtomicBool::new(false));
            store.cancel_after = Some((first_stop + store.count(), cancel.clone()));
            let report =
                Import::run(&plan(&paths), &store, &(), &ImportOptions::default(), &cancel);
            if matches!(report.outcome, Outcome::Done) {
                break;
            }
            assert!(matches!(report.outcome, Outcome::Cancelled));
        }
        assert!(runs > 1);
        let streams = store.streams.lock().unwrap();
        let records = streams.values().next().unwrap();
        assert_eq!(records.len(), 50_000);
        for (line, record) in records.iter().enumerate() {
            assert_eq!(record.bytes, format!("line {line}"));
        }
    }
}

/// What a file is written in is said before its first record: no line of UTF-16 has a mark.
#[test]
fn a_files_encoding_is_said_before_its_records() {
    let text = "\u{FEFF}2026-11-21 10:00:00 起動\r\n失敗\r\n";
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.log"), &little).unwrap();
    let store = Store::default();
    import(&store, dir.path());
    let described = store.described.lock().unwrap().clone();
    let [(stream, written)] = described.as_slice() else { panic!("{described:?}") };
    assert_eq!(written.encoding.as_deref(), Some("utf-16le"));
    let streams = store.streams.lock().unwrap();
    let lines = &streams[stream];
    assert_eq!(lines.len(), 2);
    let failed: Vec<u8> = "失敗".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(&lines[1].bytes[..], failed);

    // What the user says comes first, and a file that needs no word gets none.
    fs::write(dir.path().join("a.log"), "plain\n").unwrap();
    let store = Store::default();
    import(&store, dir.path());
    assert!(store.described.lock().unwrap().is_empty());
    let written = Written { zone: Some("Asia/Tokyo".into()), ..Written::default() };
    let options = ImportOptions { written: written.clone(), ..ImportOptions::default() };
    Import::run(&plan(&[dir.path().to_owned()]), &store, &(), &options, &AtomicBool::new(false));
    assert_eq!(store.described.lock().unwrap()[0].1, written);
}
