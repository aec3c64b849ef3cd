//! N6 and N7: every byte flipped, every length cut.

use super::*;
use crate::frame::{FrameWriter, HEAD_BYTES, Kind, SegmentHeader};
use crate::verify::verify_disk;
use crate::{Damage, DamageKind, Expect};
use proptest::prelude::*;

/// Four segments: sealed and published, sealed and not in the ledger, and open batches.
fn filled() -> Bench {
    let mut bench = Bench::new();
    bench.core.options.segment_bytes = 700;
    for (name, text) in [("a", "one"), ("b", "two"), ("a", "three"), ("a", "four")] {
        bench.append(name, &[text]).unwrap();
    }
    bench.core.seal(Some(&stream("a"))).unwrap();
    bench.append("a", &["five", "six"]).unwrap();
    bench.advance(Duration::from_secs(10));
    bench.core.options.checkpoint_interval = Duration::from_secs(3_600);
    bench.core.tick();
    bench.append("b", &["seven", "eight"]).unwrap();
    bench.append("b", &["nine"]).unwrap();
    assert_eq!(bench.segment_names().len(), 4);
    bench
}

fn reopen(bench: &Bench, disk: SimDisk) -> Bench {
    let options = JournalOptions { segment_bytes: 700, ..small_options() };
    Bench::open(disk, bench.log.after_crash(), bench.clock.clone(), options).unwrap()
}

fn verify(bench: &Bench, disk: &SimDisk) -> Vec<Damage> {
    verify_disk(disk, &bench.log, Expect::Everything).unwrap().damages
}

#[test]
fn every_flipped_byte_is_named_and_costs_at_most_one_record() {
    let bench = filled();
    let clean = texts(&reopen(&bench, bench.disk.copy()).replayed);
    assert_eq!(clean.len(), 9);
    assert_eq!(verify(&bench, &bench.disk), []);
    for name in bench.segment_names() {
        let content = bench.disk.content(&name);
        for at in 0..content.len() {
            let disk = bench.disk.copy();
            let mut changed = content.clone();
            changed[at] ^= 1 << (at % 8);
            disk.put(&name, &changed);
            let place = format!("{name} byte {at}");

            let damages = verify(&bench, &disk);
            let named = |d: &Damage| {
                let inside = (d.offset..d.offset + d.bytes).contains(&(at as u64));
                d.file.ends_with(&name) && inside
            };
            assert!(damages.iter().any(named), "{place}: {damages:?}");

            let mut recovered = reopen(&bench, disk);
            let found = texts(&recovered.replayed);
            let lost: Vec<_> =
                clean.iter().filter(|(id, text)| found.get(id) != Some(text)).collect();
            assert!(lost.len() <= 1, "{place}: {lost:?}");
            let noticed = found.iter().filter(|(id, text)| clean.get(id) != Some(text));
            assert!(noticed.into_iter().all(|(_, text)| text.contains("is lost")), "{place}");
            if let [((batch, index), _)] = lost[..] {
                let names_it = |d: &&Damage| (d.batch, d.index) == (Some(*batch), Some(*index));
                assert!(damages.iter().any(|d| names_it(&d)), "{place}: {damages:?}");
                // Sealed before: the loss is reported. Not sealed: a record says so, and the header.
                recovered.core.seal(None).unwrap();
                let header = recovered.log.header_of(*batch);
                let stated = header.rejected.get("damaged").copied().unwrap_or(0);
                let was_published =
                    bench.log.after_crash().headers().iter().any(|h| h.batch == *batch);
                assert_eq!(stated, u64::from(!was_published), "{place}");
                assert_eq!(recovered.report.lost_records, stated, "{place}");
                assert!(recovered.report.damage_count > 0, "{place}");
            }
            if lost.is_empty() && at % 8 > 0 {
                continue;
            }
            recovered.core.seal(None).unwrap();
            // A second start finds nothing more to do.
            let again = recovered.restart();
            assert_eq!(again.report.lost_records, 0, "{place}");
            assert_eq!(again.report.resealed, 0, "{place}");
            let second = texts(&again.replayed);
            assert!(found.iter().all(|(id, text)| second.get(id) == Some(text)), "{place}");
        }
    }
}

#[test]
fn a_segment_cut_at_any_length_keeps_what_is_before() {
    let bench = filled();
    let clean = texts(&reopen(&bench, bench.disk.copy()).replayed);
    let names = bench.segment_names();
    let last = names.last().unwrap();
    let content = bench.disk.content(last);
    let mut best = 0;
    for length in 0..content.len() {
        let disk = bench.disk.copy();
        disk.put(last, &content[..length]);
        let mut recovered = reopen(&bench, disk);
        let found = texts(&recovered.replayed);
        assert!(found.iter().all(|(id, text)| clean.get(id) == Some(text)), "length {length}");
        assert!(found.len() >= best, "length {length}");
        best = found.len();
        recovered.append("b", &["after"]).unwrap();
        recovered.core.seal(None).unwrap();
        assert_eq!(
            verify_disk(&recovered.disk, &recovered.log, Expect::Everything).unwrap().damages,
            []
        );
    }
    assert_eq!(best, clean.len());
}

#[test]
fn a_write_cut_short_is_told_apart_from_damage() {
    let mut bench = Bench::new();
    bench.append("a", &["one"]).unwrap();
    let name = "00000001.seg";
    let group = bench.disk.content(name).len();
    bench.append("a", &["two", "three"]).unwrap();
    let content = bench.disk.content(name);
    let report = |content: &[u8]| {
        let disk = bench.disk.copy();
        disk.put(name, content);
        verify_disk(&disk, &bench.log, Expect::Unretired).unwrap()
    };
    let mut cuts = 0;
    for length in group + HEAD_BYTES..content.len() {
        let cut = report(&content[..length]);
        assert_eq!(cut.damages, [], "length {length}");
        let Some(place) = cut.cut_short else { continue };
        assert_eq!((place.what, place.offset + place.bytes), (DamageKind::CutShort, length as u64));
        cuts += 1;
        // What is changed in the rest of the beginning is still no sound frame; what stands before it
        // is named.
        let mut changed = content[..length].to_vec();
        changed[group - 1] ^= 1;
        assert!(report(&changed).damage_count > 0, "length {length}");
    }
    let frames = 3;
    assert_eq!(cuts, content.len() - group - HEAD_BYTES - frames + 1);
    // After a finished group, a few bytes may be anything.
    let appended = report(&[&content[..], b"x"].concat());
    assert_eq!((appended.damage_count, appended.cut_short), (1, None));
    assert_eq!(report(&content).cut_short, None);
}

#[test]
fn a_missing_segment_is_named() {
    let bench = filled();
    let names = bench.segment_names();
    let disk = SimDisk::default();
    for name in [&names[0], &names[2], &names[3]] {
        disk.put(name, &bench.disk.content(name));
    }
    let damages = verify(&bench, &disk);
    assert!(damages[0].to_string().contains("00000002.seg: the segment is missing"), "{damages:?}");
    disk.put("00000002.seg", &bench.disk.content(&names[0]));
    let damages = verify(&bench, &disk);
    let swapped = "00000002.seg: the segment number is not the one in the file name";
    assert!(damages.iter().any(|d| d.to_string().contains(swapped)), "{damages:?}");
}

#[test]
fn bytes_and_files_that_do_not_belong_are_named() {
    let bench = filled();
    let disk = bench.disk.copy();
    let name = "00000004.seg";
    let mut content = disk.content(name);
    content.push(0);
    disk.put(name, &content);
    disk.put("notes.txt", b"hello");
    disk.put("LOCK", b"pid 7");
    disk.put("00000001.quarantine", b"YAGURAQ1 and so on");
    let words: Vec<String> = verify(&bench, &disk).iter().map(ToString::to_string).collect();
    assert_eq!(words.len(), 4, "{words:?}");
    assert!(
        words[0].contains("00000004.seg: bytes after the last sound frame, 1 bytes"),
        "{words:?}"
    );

    let recovered = reopen(&bench, bench.disk.copy());
    assert_eq!(recovered.report.torn_bytes, 0);
    let disk = bench.disk.copy();
    content.extend_from_slice(b"torn");
    disk.put(name, &content);
    let recovered = reopen(&bench, disk);
    assert_eq!(recovered.report.torn_bytes, 5);
    assert!(recovered.disk.content("00000004.torn").ends_with(b"\0torn"));
}

#[test]
fn a_batch_that_lost_both_openings_is_reported_at_every_start() {
    let mut bench = Bench::new();
    bench.append("a", &["one"]).unwrap();
    let name = "00000001.seg";
    let mut content = bench.disk.content(name);
    let opening = crate::frame::HEAD_BYTES + 32 + 8 + 1;
    content[64 + 40] ^= 1;
    content[64 + opening + 40] ^= 1;
    bench.disk.put(name, &content);
    let bench = bench.restart();
    assert!(bench.report.damages.iter().any(|d| d.what == DamageKind::LostSalt));
    let mut bench = bench.restart();
    assert!(bench.report.damages.iter().any(|d| d.what == DamageKind::LostSalt));
    let receipt = bench.append("a", &["two"]).unwrap();
    assert_eq!(receipt.runs[0].batch, 2, "a number is never used twice");
}

/// A segment of one batch with these records, with right checksums, and what it gives: what
/// verifying names, and what is replayed.
fn forged(records: &[(u32, &str)]) -> (Vec<Damage>, BTreeMap<(u64, u32), String>) {
    let header = SegmentHeader { number: 1, next_batch: 1, key: 9 };
    let mut bytes = header.encode().to_vec();
    let mut writer = FrameWriter { buffer: &mut bytes, base: 0, key: 9 };
    let opened_at = UtcMicros::from_micros(0);
    writer.open(1, 0, &crate::frame::Opening { salt: [7; 32], opened_at, stream: stream("a") });
    for (index, text) in records {
        writer.record(1, *index, &record(opened_at, text));
    }
    writer.commit(2, &[]);
    let bench = Bench::new();
    bench.disk.put("00000001.seg", &bytes);
    let damages = verify(&bench, &bench.disk);
    (damages, texts(&bench.restart().replayed))
}

#[test]
fn a_second_record_in_a_taken_place_is_named_and_not_believed() {
    let (damages, replayed) = forged(&[(0, "true"), (1, "next"), (0, "false")]);
    let named: Vec<_> = damages.iter().map(|damage| (damage.what, damage.batch)).collect();
    assert_eq!(named, [(crate::DamageKind::Nonsense, Some(1))]);
    assert_eq!(replayed.into_values().collect::<Vec<_>>(), ["true", "next"]);
}

#[test]
fn a_record_in_an_impossible_place_is_named_and_not_believed() {
    for beyond in [BATCH_RECORDS_MAX, u32::MAX] {
        let (damages, replayed) = forged(&[(0, "true"), (beyond, "false")]);
        assert_eq!(damages.len(), 1, "{damages:?}");
        assert_eq!(damages[0].what, crate::DamageKind::Nonsense);
        assert_eq!(replayed.into_values().collect::<Vec<_>>(), ["true"]);
    }
    let (_, replayed) = forged(&[(0, "true"), (BATCH_RECORDS_MAX - 1, "last")]);
    assert_eq!(replayed[&(1, BATCH_RECORDS_MAX - 1)], "last");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Frames whose checksums are right and whose contents are anything.
    #[test]
    fn any_frames_are_read_repaired_and_continued(
        frames in proptest::collection::vec(
            (
                1u8..5,
                prop_oneof![0u64..4, any::<u64>()],
                prop_oneof![0u32..6, any::<u32>()],
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..80),
                    Just([&[7; 32][..], &[0; 8], b"stream"].concat()),
                    Just([&[0; 8][..], &[1, 0, 1, 0], b"pq raw"].concat()),
                ],
                0u8..20,
            ),
            0..30,
        ),
        next_batch in prop_oneof![0u64..9, any::<u64>()],
    ) {
        let header = SegmentHeader { number: 1, next_batch, key: 9 };
        let mut bytes = header.encode().to_vec();
        for (kind, batch, index, body, flip) in frames {
            let start = bytes.len();
            let kind = [Kind::Open, Kind::Record, Kind::Seal, Kind::Commit][usize::from(kind) - 1];
            let mut writer = FrameWriter { buffer: &mut bytes, base: 0, key: 9 };
            writer.frame(kind, 1 + flip % 7, batch, index, |buffer| buffer.extend_from_slice(&body));
            if flip == 0 {
                bytes[start + 9] ^= 1;
            }
        }
        let bench = Bench::new();
        bench.disk.put("00000001.seg", &bytes);
        verify_disk(&bench.disk, &bench.log, Expect::Everything).unwrap();
        let mut bench = bench.restart();
        bench.append("stream", &["new"]).unwrap();
        bench.core.seal(None).unwrap();
        prop_assert!(texts(&bench.take_outputs()).into_values().any(|text| text == "new"));
    }
}

impl FakeLog {
    fn header_of(&self, batch: u64) -> yagura_ledger::BatchHeader {
        self.headers().into_iter().find(|header| header.batch == batch).unwrap()
    }
}
