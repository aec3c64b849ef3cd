//! Compaction: the same rows in fewer files, judged before they count, whatever comes between.

use crate::support;
use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use support::{count_of, events, events_where, number, open, run, sql};
use yagura_event::{Record, UtcMicros};
use yagura_lake::{
    BatchHead, CompactJob, CompactLimits, CompactRule, CompactStep, CompactWatch, Lake, LakeError,
    Order, StoredBatch, StoredLeaves,
};

const TODAY: &str = "2026-11-21";

fn later() -> UtcMicros {
    UtcMicros::from_micros(i64::MAX)
}

/// Judges against what the runs were, and does something at every step.
struct Judge<F: FnMut(CompactStep) -> bool> {
    judged: Vec<u64>,
    at: F,
}

fn judge<F: FnMut(CompactStep) -> bool>(at: F) -> Judge<F> {
    Judge { judged: Vec::new(), at }
}

impl<F: FnMut(CompactStep) -> bool> CompactWatch for Judge<F> {
    fn at(&mut self, step: CompactStep) -> bool {
        (self.at)(step)
    }

    fn leaf(&mut self, batch: &BatchHead, index: u32, record: &Record) -> [u8; 32] {
        support::leaf(batch, index, record)
    }

    fn verify(&mut self, batch: &StoredLeaves) -> Result<(), String> {
        let number = batch.head.batch;
        self.judged.push(number);
        let count = u32::try_from(batch.leaves.len()).unwrap();
        match *batch == support::leaves(&received(number, count)) {
            true => Ok(()),
            false => Err("not what was received".to_owned()),
        }
    }
}

fn received(batch: u64, count: u32) -> StoredBatch {
    let run = run(batch, 0, count);
    StoredBatch {
        batch,
        stream: run.stream.clone(),
        batch_salt: run.batch_salt,
        records: run.indexed().map(|(index, record)| (index, record.clone())).collect(),
    }
}

/// Three flushes; batch 2 is spread over two datasets, batch 5 has a column of its own.
fn filled(directory: &Path) -> Lake {
    let lake = open(directory);
    let flush = |rows, batches: &[u64]| {
        lake.add(rows).unwrap();
        batches.iter().for_each(|batch| lake.batch_sealed(*batch));
        lake.flush(true).unwrap();
    };
    let mixed = run(2, 0, 40);
    flush(
        vec![
            events(&run(1, 0, 10), "linux.auth", "a"),
            events_where(&mixed, "unknown", "b", |index| index % 2 == 0),
            events_where(&mixed, "linux.auth", "event.code", |index| index % 2 == 1),
        ],
        &[1, 2],
    );
    flush(vec![events(&run(4, 0, 30), "linux.auth", "a")], &[4]);
    flush(
        vec![
            events(&run(3, 0, 7), "linux.auth", "event.code"),
            events(&run(5, 0, 5), "unknown", "new.column"),
        ],
        &[3, 5],
    );
    lake
}

const ROWS: i64 = 92;

fn everything_due(lake: &Lake) -> Vec<CompactJob> {
    lake.compactable(&CompactRule { files_min: 1, ..CompactRule::new(TODAY.to_owned()) })
}

fn compact(lake: &Lake) -> yagura_lake::Compacted {
    let mut judge = judge(|_| true);
    let jobs = everything_due(lake);
    let prepared = lake.prepare_compaction(&jobs, &CompactLimits::default(), &mut judge).unwrap();
    lake.publish_compaction(prepared, &mut judge).unwrap()
}

/// Every row with every column, as text, and every record.
async fn everything(lake: &Lake) -> (Vec<String>, BTreeMap<u64, StoredBatch>) {
    let rows = sql(lake.events(), "select * from events order by \"event.id\"").await;
    let mut text = Vec::new();
    for part in rows {
        let shown =
            arrow::util::pretty::pretty_format_batches(std::slice::from_ref(&part)).unwrap();
        assert!(part.num_columns() > 15);
        text.extend(
            shown
                .to_string()
                .lines()
                .filter(|line| !line.contains("+--"))
                .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>().join("|")),
        );
    }
    let headers = text.first().cloned();
    text.retain(|line| Some(line) != headers.as_ref());
    let mut batches = BTreeMap::new();
    lake.for_each_stored_batch(|batch| -> Result<(), LakeError> {
        assert!(batches.insert(batch.batch, batch).is_none());
        Ok(())
    })
    .unwrap();
    for (number, batch) in &batches {
        assert_eq!(lake.stored_batch(*number).unwrap(), *batch);
    }
    (text, batches)
}

/// Parquet files and text indexes, finished or not, and whatever else is not of the log.
fn data_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(data_files(&path));
        } else if path.extension().is_none_or(|ending| ending != "json") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test]
async fn every_answer_is_the_same_from_fewer_files() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    let before = everything(&lake).await;
    assert_eq!(lake.stats().files, 5);
    let report = compact(&lake);
    assert_eq!((report.rows, report.batches, report.replaced.len()), (92, 5, 10));
    assert_eq!(report.files.len(), 5, "two partitions with their text indexes, and the log");
    assert_eq!(lake.stats().files, 2);
    assert!(lake.files().iter().all(|file| file.order == Order::Source));
    assert_eq!(everything(&lake).await, before);
    // Nothing more to do, today or tomorrow.
    assert!(everything_due(&lake).is_empty());
    assert!(lake.compactable(&CompactRule::new("2026-11-22".to_owned())).is_empty());

    let commit = format!("_delta_log/{:020}.json", report.version);
    let commit = std::fs::read_to_string(directory.path().join(commit)).unwrap();
    assert!(commit.contains("OPTIMIZE"));
    assert_eq!(commit.matches("\"dataChange\":false").count(), 7, "{commit}");
    assert_eq!(commit.matches("\"dataChange\":true").count(), 0);

    let gone = lake.replaced_before(later());
    assert_eq!(gone.len(), 10);
    gone.iter().for_each(|file| lake.remove_replaced(&file.path).unwrap());
    assert!(lake.replaced().is_empty());
    assert_eq!(data_files(directory.path()).len(), 4);
    drop(lake);
    let lake = open(directory.path());
    assert!(lake.open_report().orphans.is_empty());
    assert_eq!(everything(&lake).await, before);
    assert_eq!(lake.stored_batches(), [(1, 10), (2, 40), (3, 7), (4, 30), (5, 5)]);
}

#[test]
fn like_lies_beside_like() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    compact(&lake);
    let file = lake.files().into_iter().find(|file| &*file.dataset == "linux.auth").unwrap();
    let mut found = Vec::new();
    for part in lake.part_of(&file).read(&|name| name == "event.code").unwrap() {
        let part = part.unwrap();
        let column = |name: &str| part.columns.column_by_name(name).unwrap().clone();
        let codes = column("event.code");
        let times = column("@timestamp");
        let times = times.as_primitive::<TimestampMicrosecondType>();
        for row in 0..part.rows() {
            let code = arrow::util::display::array_value_to_string(&codes, row).unwrap();
            found.push((code, times.value(row)));
        }
    }
    assert_eq!(found.len(), 67);
    assert!(found.is_sorted(), "{found:?}");
    assert_eq!(found.iter().filter(|(code, _)| code == "x").count(), 27);
}

#[tokio::test]
async fn readers_and_flushes_go_on_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    lake.add(vec![events(&run(6, 0, 10), "linux.auth", "a")]).unwrap();
    let picture = lake.events();
    let jobs = everything_due(&lake);
    let mut during = Vec::new();
    let mut watch = judge(|step| {
        match step {
            CompactStep::Synced => {
                lake.batch_sealed(6);
                lake.flush(true).unwrap();
                lake.add(vec![events(&run(7, 0, 3), "linux.auth", "a")]).unwrap();
            }
            CompactStep::Renamed | CompactStep::Committed | CompactStep::Verified => {}
            _ => return true,
        }
        during.push(lake.events());
        true
    });
    let prepared = lake.prepare_compaction(&jobs, &CompactLimits::default(), &mut watch).unwrap();
    lake.publish_compaction(prepared, &mut watch).unwrap();
    drop((watch, jobs));
    assert_eq!(during.len(), 4);
    assert_eq!(count_of(lake.events()).await, ROWS + 13);
    assert!(lake.replaced_before(later()).is_empty(), "somebody may read them");
    for table in during {
        assert_eq!(count_of(table.clone()).await, ROWS + 13);
        let distinct = "select count(distinct \"event.id\") from events";
        assert_eq!(number(table, distinct).await, ROWS + 13);
    }
    assert_eq!(count_of(picture.clone()).await, ROWS + 10);
    drop(picture);
    assert_eq!(lake.replaced_before(later()).len(), 10);
}

#[tokio::test]
async fn a_crash_at_any_named_point_leaves_the_same_rows() {
    let scratch = tempfile::tempdir().unwrap();
    let (live, crashed) = (scratch.path().join("live"), scratch.path().join("crashed"));
    let lake = filled(&live);
    let before = everything(&lake).await;
    let jobs = everything_due(&lake);
    let mut points: Vec<String> = Vec::new();
    let mut watch = judge(|step| {
        let point = match step {
            CompactStep::Read(_) => "reading".to_owned(),
            CompactStep::Wrote(_) => "writing".to_owned(),
            CompactStep::Checked(_) => "judging".to_owned(),
            other => format!("{other:?}"),
        };
        if !points.contains(&point) {
            copy(&live, &crashed.join(&point));
            points.push(point);
        }
        true
    });
    // So little memory that the rows being sorted lie in files, too.
    let limits = CompactLimits { sort_bytes: 1, ..CompactLimits::default() };
    let prepared = lake.prepare_compaction(&jobs, &limits, &mut watch).unwrap();
    lake.publish_compaction(prepared, &mut watch).unwrap();
    drop((watch, jobs));
    copy(&live, &crashed.join("Removing"));
    for (removed, file) in (1..).zip(lake.replaced_before(later())) {
        lake.remove_replaced(&file.path).unwrap();
        copy(&live, &crashed.join(format!("Removed {removed}")));
        points.push(format!("Removed {removed}"));
    }
    points.push("Removing".to_owned());
    // Between the two names of a file and its text index.
    let half = crashed.join("Half renamed");
    copy(&crashed.join("Renamed"), &half);
    let index = data_files(&half).into_iter().find(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.contains("-c0-") && name.ends_with(".textidx")
    });
    let index = index.unwrap();
    std::fs::rename(&index, index.with_extension("textidx.tmp")).unwrap();
    points.push("Half renamed".to_owned());
    assert_eq!(points.len(), 7 + 10 + 2);

    for point in points {
        let lake = open(&crashed.join(&point));
        let found = (everything(&lake).await, lake.open_report().clone());
        assert_eq!(found.0, before, "{point}");
        let (orphans, unfinished) = (found.1.orphans, found.1.unfinished_removed.len());
        let expected = match point.as_str() {
            "reading" => (0, 1),
            "Renamed" => (2, 0),
            "Half renamed" => (2, 1),
            "Committed" | "Removing" => (5, 0),
            "writing" | "Synced" | "judging" | "Verified" => (0, unfinished.max(2)),
            // Naming a text index removes nothing: it went with its file.
            removed => {
                let named: usize = removed.trim_start_matches("Removed ").parse().unwrap();
                (5 - named.div_ceil(2), 0)
            }
        };
        assert_eq!((orphans.len(), unfinished), expected, "{point}");
        for orphan in &orphans {
            assert!(lake.remove_orphan(orphan, |_| false).unwrap(), "{point}");
        }
        assert_eq!(everything(&lake).await, before, "{point}");
        // And it can be done, or done again.
        while !everything_due(&lake).is_empty() {
            compact(&lake);
        }
        assert_eq!(everything(&lake).await, before, "{point}");
        assert_eq!(lake.stats().files, 2, "{point}");
    }
}

#[tokio::test]
async fn a_changed_byte_anywhere_is_found_and_the_old_files_stay() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    let files = data_files(directory.path());
    let parquet = files.iter().filter(|path| path.extension().is_some_and(|it| it == "parquet"));
    let target = parquet.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let sound = std::fs::read(target).unwrap();
    for position in (0..sound.len()).step_by(sound.len() / 40) {
        let mut bytes = sound.clone();
        bytes[position] ^= 1;
        std::fs::write(target, &bytes).unwrap();
        let done = lake.prepare_compaction(
            &everything_due(&lake),
            &CompactLimits::default(),
            &mut judge(|_| true),
        );
        assert!(
            matches!(&done, Err(LakeError::Corrupt { path, .. }) if path == target),
            "{done:?}"
        );
        assert_eq!(data_files(directory.path()), files, "nothing new is left");
        assert_eq!(lake.stats().files, 5);
    }
    std::fs::write(target, &sound).unwrap();
    assert_eq!(count_of(lake.events()).await, ROWS);
    compact(&lake);
}

#[tokio::test]
async fn records_that_are_not_what_was_received_stay_where_they_are() {
    /// Knows another record than the one that is stored.
    struct Stranger;
    impl CompactWatch for Stranger {
        fn at(&mut self, step: CompactStep) -> bool {
            assert!(!matches!(step, CompactStep::Verified | CompactStep::Renamed));
            true
        }
        fn leaf(&mut self, _: &BatchHead, _: u32, _: &Record) -> [u8; 32] {
            [0; 32]
        }
        fn verify(&mut self, batch: &StoredLeaves) -> Result<(), String> {
            if batch.head.batch == 4 { Err("another root".to_owned()) } else { Ok(()) }
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    let files = data_files(directory.path());
    let jobs = everything_due(&lake);
    let done = lake.prepare_compaction(&jobs, &CompactLimits::default(), &mut Stranger);
    assert!(
        matches!(&done, Err(LakeError::NotVerified { batch: 4, reason }) if reason == "another root"),
        "{done:?}"
    );
    assert_eq!(data_files(directory.path()), files);
    assert_eq!(count_of(lake.events()).await, ROWS);
}

/// The second partition's new file lies on a disk that is full.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn without_room_for_the_new_files_the_old_ones_stay() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    let jobs = everything_due(&lake);
    let last = jobs.last().unwrap().files[0].path.rsplit_once('/').unwrap().0.to_owned();
    let version = lake.stats().version + 1;
    let blocked = directory.path().join(last).join(format!("part-{version:020}-c0-0.parquet.tmp"));
    std::os::unix::fs::symlink("/dev/full", &blocked).unwrap();
    let done = lake.prepare_compaction(&jobs, &CompactLimits::default(), &mut judge(|_| true));
    let full = std::io::ErrorKind::StorageFull;
    assert!(
        matches!(&done, Err(LakeError::Io { source, .. }) if source.kind() == full),
        "{done:?}"
    );
    assert_eq!(data_files(directory.path()).len(), 10, "what was written before is gone again");
    assert_eq!(count_of(lake.events()).await, ROWS);
    assert_eq!(compact(&lake).rows, 92);
}

#[tokio::test]
async fn it_ends_when_asked_to() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    let jobs = everything_due(&lake);
    for stop in [CompactStep::Synced, CompactStep::Verified, CompactStep::Checked(0)] {
        let mut watch =
            judge(|step| std::mem::discriminant(&step) != std::mem::discriminant(&stop));
        let done = lake.prepare_compaction(&jobs, &CompactLimits::default(), &mut watch);
        assert!(matches!(done, Err(LakeError::Cancelled)), "{stop:?}");
        assert_eq!(data_files(directory.path()).len(), 10);
    }
    assert_eq!(count_of(lake.events()).await, ROWS);
}

#[tokio::test]
async fn files_and_memory_end_at_their_limits() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    for batch in [1, 2] {
        lake.add(vec![events(&run(batch, 0, 8_192), "linux.auth", "a")]).unwrap();
        lake.batch_sealed(batch);
        lake.flush(true).unwrap();
    }
    let jobs = everything_due(&lake);
    let files = |file_rows: u64, sort_bytes: usize| {
        let limits = CompactLimits { file_rows, sort_bytes, ..CompactLimits::default() };
        let mut reads = 0;
        let mut sorted_in_files = 0;
        let mut watch = judge(|step| {
            if let CompactStep::Read(_) = step {
                reads += 1;
                let scratch = std::fs::read_dir(directory.path()).unwrap();
                let scratch = scratch.filter(|entry| {
                    entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("sort-")
                });
                sorted_in_files = sorted_in_files.max(scratch.count());
            }
            true
        });
        let prepared = lake.prepare_compaction(&jobs, &limits, &mut watch).unwrap();
        drop(watch);
        let names = data_files(directory.path());
        let ends = |ending: &str| {
            names.iter().filter(|path| path.to_string_lossy().ends_with(ending)).count()
        };
        let new = ends(".parquet.tmp");
        assert_eq!(ends(".textidx.tmp"), new);
        drop(prepared);
        (new, reads, sorted_in_files)
    };
    assert_eq!(files(16_384, usize::MAX), (1, 4, 0));
    assert_eq!(files(16_383, usize::MAX), (2, 4, 0));
    assert_eq!(files(u64::MAX, 1), (1, 4, 4));
    assert_eq!(data_files(directory.path()).len(), 4, "prepared and not published, it is gone");
}

#[test]
fn a_partition_is_due_with_enough_files_or_when_its_day_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    let rule = |today: &str| CompactRule { files_min: 3, ..CompactRule::new(today.to_owned()) };
    let flush = |batch| {
        support::add(&lake, [batch]);
        lake.flush(true).unwrap();
    };
    flush(1);
    flush(2);
    assert!(lake.compactable(&rule(TODAY)).is_empty());
    assert_eq!(lake.compactable(&rule("2026-11-22"))[0].files.len(), 2);
    flush(3);
    assert_eq!(lake.compactable(&rule(TODAY))[0].files.len(), 3);
    let only = |dataset: &str, day: &str| CompactRule {
        dataset: Some(dataset.to_owned()),
        day: Some(day.to_owned()),
        ..rule(TODAY)
    };
    assert_eq!(lake.compactable(&only("linux.auth", TODAY)).len(), 1);
    assert!(lake.compactable(&only("linux.auth", "2026-11-20")).is_empty());
    assert!(lake.compactable(&only("unknown", TODAY)).is_empty());
    // A step takes as many rows as it may, and never so few that nothing gets done.
    let step = |rows_max| CompactRule { rows_max, ..rule(TODAY) };
    let taken = |rows_max| lake.compactable(&step(rows_max))[0].files.len();
    assert_eq!((taken(30), taken(29), taken(20), taken(1)), (3, 2, 2, 1));

    // Compacted, it is done; little more joins it, and much less does not rewrite it.
    compact(&lake);
    (4..6).for_each(flush);
    assert!(lake.compactable(&rule(TODAY)).is_empty());
    assert_eq!(lake.compactable(&rule("2026-11-22"))[0].files.len(), 3);
    flush(6);
    assert_eq!(lake.compactable(&rule(TODAY))[0].files.len(), 4, "30 rows and 30 compacted ones");
    let small = CompactRule { files_min: 1, ..rule(TODAY) };
    let mut steps = 0;
    while !lake.compactable(&small).is_empty() {
        compact(&lake);
        steps += 1;
    }
    assert_eq!(steps, 1);
    flush(7);
    let job = lake.compactable(&small).remove(0);
    assert_eq!(job.files.len(), 1, "10 rows do not rewrite 60");
}

#[tokio::test]
async fn rows_change_their_columns_after_a_compaction_too() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    compact(&lake);
    let new = events_where(&run(2, 0, 40), "web.access", "c", |index| index % 4 == 1);
    let report = lake.rewrite(vec![new]).unwrap();
    assert_eq!((report.rows, report.replaced.len(), report.files.len()), (10, 2, 5));
    let orders: Vec<_> = {
        let mut files = lake.files();
        files.sort_by_key(|file| file.dataset.clone());
        files.iter().map(|file| (file.dataset.to_string(), file.rows, file.order)).collect()
    };
    assert_eq!(
        orders,
        [
            ("linux.auth".to_owned(), 57, Order::Source),
            ("unknown".to_owned(), 25, Order::Source),
            ("web.access".to_owned(), 10, Order::Ledger),
        ]
    );
    assert_eq!(count_of(lake.events()).await, ROWS);
    for batch in 1..=5 {
        let stored = lake.stored_batch(batch).unwrap();
        assert_eq!(stored, received(batch, u32::try_from(stored.records.len()).unwrap()));
    }
    let before = everything(&lake).await;
    compact(&lake);
    assert_eq!(everything(&lake).await, before);
    // A compaction that began before loses: its files are another's now.
    let back = events_where(&run(2, 0, 40), "linux.auth", "event.code", |index| index % 4 == 1);
    let prepared = lake.prepare_rewrite(vec![back.clone()]).unwrap();
    lake.rewrite(vec![back]).unwrap();
    let refused = lake.publish_rewrite(prepared);
    assert!(matches!(refused, Err(LakeError::Outdated(_))), "{refused:?}");
    assert_eq!(count_of(lake.events()).await, ROWS);
}

#[test]
fn windows_hold_every_batch_once() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    let spans = |rows_max: u64| -> Vec<(u64, u64, u64, usize)> {
        let windows = lake.windows(rows_max);
        windows.iter().map(|w| (w.first, w.last, w.rows, w.files.len())).collect()
    };
    // The third flush began with batch 3, before the second one's only batch.
    assert_eq!(spans(1_000), [(1, 2, 50, 2), (3, 3, 7, 1), (4, 4, 30, 1), (5, 5, 5, 1)]);
    compact(&lake);
    assert_eq!(spans(1_000), [(1, 5, 92, 2)]);
    assert_eq!(spans(50), [(1, 2, 50, 2), (3, 5, 42, 2)]);
    assert_eq!(spans(51), [(1, 3, 57, 2), (4, 5, 35, 2)]);
    let mut walked = Vec::new();
    for window in lake.windows(50) {
        lake.for_each_batch_of(&window, |batch| -> Result<(), LakeError> {
            assert!(window.has(batch.batch));
            walked.push(batch);
            Ok(())
        })
        .unwrap();
    }
    let counts = [(1, 10), (2, 40), (3, 7), (4, 30), (5, 5)];
    assert_eq!(walked, counts.map(|(batch, count)| received(batch, count)));
}

#[test]
fn sizes_tell_what_was_received_and_what_it_takes() {
    let directory = tempfile::tempdir().unwrap();
    let lake = filled(directory.path());
    let raw = |batches: &[(u64, u32)]| -> u64 {
        let records = batches.iter().flat_map(|(batch, count)| run(*batch, 0, *count).records);
        records.map(|record| record.bytes.len() as u64).sum()
    };
    let all = [(1, 10), (2, 40), (3, 7), (4, 30), (5, 5)];
    for compacted in [0, 1] {
        if compacted == 1 {
            compact(&lake);
        }
        let sizes = lake.sizes().unwrap();
        let received: u64 = sizes.values().map(|size| size.received).sum();
        assert_eq!(received, raw(&all), "exactly");
        let linux = &sizes["linux.auth"];
        assert_eq!((linux.rows, linux.compacted), (67, compacted));
        assert_eq!(linux.files, linux.row_groups);
        assert_eq!(linux.columns["user.name"].values, Some(67));
        assert_eq!(linux.columns["event.code"].values, Some(27));
        let columns: u64 = linux.columns.values().map(|column| column.stored).sum();
        assert!(columns > 0 && columns < linux.stored, "the rest is the file's own");
    }
}

#[tokio::test]
async fn the_text_index_is_that_of_the_new_order() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path());
    let rows = yagura_textindex::limits::BLOCK_ROWS;
    for batch in [1, 2] {
        lake.add(vec![events(&run(batch, 0, rows), "linux.auth", "a")]).unwrap();
        lake.batch_sealed(batch);
        lake.flush(true).unwrap();
    }
    compact(&lake);
    assert!(lake.files().iter().all(|file| file.text_index.is_some()));
    // By time, both batches alternate: what each has in the middle ends the first block.
    let middle = rows / 2 - 1;
    let need = yagura_textindex::Need::literal(&middle.to_string());
    let table = lake.events().where_text_has(need);
    assert_eq!(count_of(table.clone()).await, i64::from(rows));
    let found = format!("select count(*) from events where message = 'line {middle}'");
    assert_eq!(number(table.clone(), &found).await, 2);
    assert_eq!((table.counts().files_without_index, table.counts().files_passed_by_text), (0, 0));
    let absent = lake.events().where_text_has(yagura_textindex::Need::literal("absent"));
    assert_eq!(count_of(absent.clone()).await, 0);
    assert_eq!(absent.counts().files_passed_by_text, 1);
}
