//! Files move to a cold store and back: nothing else changes, whatever comes between, and what cannot be
//! read is said.

use crate::support;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use support::s3::{S3, files_below};
use support::{count_of, events, events_where, number, run, sql};
use yagura_event::{ManualClock, Record, UtcMicros};
use yagura_lake::limits::COLD_RETRIES;
use yagura_lake::{
    BatchHead, ColdKind, ColdRemoved, ColdSettings, CompactLimits, CompactRule, CompactStep,
    CompactWatch, EventsTable, KeepRaw, Lake, LakeError, LakeOptions, PreparedMove, StoredBatch,
    StoredLeaves, TierRule, TierStep, text_index_path,
};
use yagura_textindex::Need;

/// A store and how to reach it.
enum Place {
    Directory(tempfile::TempDir),
    Bucket(Box<S3>),
}

impl Place {
    fn both() -> [Place; 2] {
        [Place::Directory(tempfile::tempdir().unwrap()), Place::Bucket(Box::new(S3::start()))]
    }

    fn settings(&self) -> ColdSettings {
        match self {
            Place::Directory(directory) => {
                ColdSettings::new(format!("file://{}", directory.path().display()))
            }
            Place::Bucket(server) => server.settings(),
        }
    }

    fn url(&self) -> String {
        self.settings().url().to_owned()
    }

    /// Where the objects lie as files.
    fn objects(&self) -> PathBuf {
        match self {
            Place::Directory(directory) => directory.path().to_path_buf(),
            Place::Bucket(server) => server.objects(),
        }
    }

    fn parquet_objects(&self) -> Vec<PathBuf> {
        let mut files = files_below(&self.objects());
        files.retain(|path| path.extension().is_some_and(|ending| ending == "parquet"));
        files
    }
}

fn open_with(directory: &Path, cold: &[ColdSettings]) -> Lake {
    let clock = ManualClock::at(UtcMicros::from_micros(support::NOON));
    let keep_raw = KeepRaw::Streams(BTreeSet::new());
    let options = LakeOptions { keep_raw, cold: cold.to_vec(), ..LakeOptions::default() };
    Lake::open(directory, options, Arc::new(clock)).unwrap()
}

fn open(directory: &Path, place: &Place) -> Lake {
    open_with(directory, &[place.settings()])
}

struct Judge;

impl CompactWatch for Judge {
    fn at(&mut self, _: CompactStep) -> bool {
        true
    }

    fn leaf(&mut self, batch: &BatchHead, index: u32, record: &Record) -> [u8; 32] {
        support::leaf(batch, index, record)
    }

    fn verify(&mut self, batch: &StoredLeaves) -> Result<(), String> {
        (*batch == support::leaves(&expected(batch.head.batch, batch.leaves.len())))
            .then_some(())
            .ok_or_else(|| "not what was received".to_owned())
    }
}

fn expected(batch: u64, count: usize) -> StoredBatch {
    let run = run(batch, 0, u32::try_from(count).unwrap());
    StoredBatch {
        batch,
        stream: run.stream.clone(),
        batch_salt: run.batch_salt,
        records: run.indexed().map(|(index, record)| (index, record.clone())).collect(),
    }
}

const ROWS: i64 = 420;

/// A compacted file of each of two datasets, and one of each as flushed; batches lie in both datasets.
fn fill(lake: &Lake) {
    let flush = |batch: u64, count: u32| {
        let run = run(batch, 0, count);
        lake.add(vec![
            events_where(&run, "linux.auth", "a.b", |index| index % 3 == 0),
            events_where(&run, "web.access", "c d", |index| index % 3 > 0),
        ])
        .unwrap();
        lake.batch_sealed(batch);
        lake.flush(true).unwrap();
    };
    [(1, 100), (2, 120), (3, 110)].into_iter().for_each(|(batch, count)| flush(batch, count));
    compact(lake);
    flush(4, 90);
}

fn compact(lake: &Lake) -> u64 {
    let rule = CompactRule { files_min: 1, ..CompactRule::new("2026-11-21".to_owned()) };
    let jobs = lake.compactable(&rule);
    if jobs.is_empty() {
        return 0;
    }
    let prepared = lake.prepare_compaction(&jobs, &CompactLimits::default(), &mut Judge).unwrap();
    lake.publish_compaction(prepared, &mut Judge).unwrap().rows
}

/// Moves every file that is not there yet to the store.
fn cool(lake: &Lake, place: &Place) -> Result<u64, LakeError> {
    cool_at(lake, place, &TierRule::default(), &mut |_| true)
}

fn cool_at(
    lake: &Lake,
    place: &Place,
    rule: &TierRule,
    at: &mut dyn FnMut(TierStep) -> bool,
) -> Result<u64, LakeError> {
    let url = place.url();
    lake.claim_cold(&url, "test/events")?;
    let files = lake.coolable(rule);
    let prepared: Result<Vec<PreparedMove>, LakeError> =
        files.iter().map(|file| lake.prepare_cooling(file, &url, at)).collect();
    Ok(lake.publish_moves(prepared?, at)?.rows)
}

fn warm_at(lake: &Lake, at: &mut dyn FnMut(TierStep) -> bool) -> Result<u64, LakeError> {
    let files = lake.warmable(&TierRule::default());
    let prepared: Result<Vec<PreparedMove>, LakeError> =
        files.iter().map(|file| lake.prepare_warming(file, at)).collect();
    Ok(lake.publish_moves(prepared?, at)?.rows)
}

fn later() -> UtcMicros {
    UtcMicros::from_micros(i64::MAX)
}

/// Removes what left the table: local files, and objects of the store.
fn remove_left(lake: &Lake, place: &Place) {
    for file in lake.replaced_before(later()) {
        lake.remove_replaced(&file.path).unwrap();
    }
    assert_eq!(lake.replaced(), []);
    let used = lake.cold_in_use(later());
    for object in place.parquet_objects() {
        let path = object.strip_prefix(place.objects()).unwrap().display().to_string();
        let url = format!("{}/{path}", place.url());
        if !used.contains(&url) {
            assert_eq!(lake.remove_cold(&url).unwrap(), ColdRemoved::Gone);
            assert_eq!(lake.remove_cold(&url).unwrap(), ColdRemoved::Gone, "and again");
        }
    }
    assert_eq!(place.parquet_objects().len(), used.len());
}

const QUESTIONS: [&str; 8] = [
    "select * from events order by \"event.id\"",
    "select \"event.id\", message from events where message like '%line 4%' order by 1",
    "select \"event.original\" from events where \"source.port\" = 13 order by \"event.id\"",
    "select \"user.name\", count(*), max(message) from events group by 1 order by 1",
    "select count(*) from events where \"event.dataset\" = 'web.access'",
    "select count(\"a.b\"), count(\"c d\"), sum(\"source.port\") from events",
    "select \"event.id\", \"event.original\" from events order by \"@timestamp\" desc, 1 limit 7",
    "select \"event.id\" from events where \"yagura.batch\" = 2 order by 1",
];

/// What every way of asking answers.
async fn asked(lake: &Lake) -> Vec<String> {
    let mut answers = Vec::new();
    for question in QUESTIONS {
        let rows = sql(lake.events(), question).await;
        answers.push(arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string());
    }
    let table = lake.events().where_text_has(Need::literal("batch 3"));
    let found =
        number(table.clone(), "select count(*) from events where message is not null").await;
    assert_eq!(table.counts().files_without_index, 0);
    answers.push(found.to_string());
    for (batch, rows) in lake.stored_batches() {
        let stored = lake.stored_batch(batch).unwrap();
        assert_eq!(stored, expected(batch, usize::try_from(rows).unwrap()));
    }
    let mut walked = 0;
    lake.for_each_stored_batch(|batch| -> Result<(), LakeError> {
        assert_eq!(batch, expected(batch.batch, batch.records.len()));
        walked += batch.records.len() as u64;
        Ok(())
    })
    .unwrap();
    let mut history: Vec<String> = Vec::new();
    for part in lake.history().parts() {
        assert!(part.size(&|name| name == "message").unwrap().columns == 1);
        for rows in part.read(&|name| name == "message").unwrap() {
            let rows = rows.unwrap();
            history.push(format!("{} {}", rows.dataset, rows.columns.num_rows()));
        }
    }
    history.sort();
    answers.push(format!("{walked} {history:?}"));
    answers
}

fn cold_files(lake: &Lake) -> u64 {
    lake.stats().cold_files
}

fn local_parquet(directory: &Path) -> usize {
    let files = files_below(directory);
    files.iter().filter(|path| path.extension().is_some_and(|it| it == "parquet")).count()
}

#[tokio::test]
async fn every_answer_is_the_same_from_a_cold_store_and_back() {
    for place in Place::both() {
        let directory = tempfile::tempdir().unwrap();
        let lake = open(directory.path(), &place);
        fill(&lake);
        let (before, sizes) = (asked(&lake).await, lake.sizes().unwrap());
        let picture = lake.events();
        assert_eq!(cool(&lake, &place).unwrap(), ROWS as u64);
        assert_eq!((cold_files(&lake), place.parquet_objects().len()), (4, 4));
        assert_eq!(asked(&lake).await, before);
        assert_eq!(count_of(picture.clone()).await, ROWS, "who asked before reads what was there");
        drop(picture);
        remove_left(&lake, &place);
        assert_eq!(local_parquet(directory.path()), 0);
        assert_eq!(asked(&lake).await, before);
        let commit = format!("_delta_log/{:020}.json", lake.stats().version);
        let commit = std::fs::read_to_string(directory.path().join(commit)).unwrap();
        assert!(commit.contains("OPTIMIZE") && !commit.contains("\"dataChange\":true"), "{commit}");
        assert!(commit.contains(&format!("\"path\":\"{}/dataset=", place.url())), "{commit}");
        // Figures are those of before, without asking the store; its columns are not looked at.
        let cold = lake.sizes().unwrap();
        for (dataset, size) in &sizes {
            let now = &cold[dataset];
            assert_eq!(
                (now.rows, now.received, now.stored),
                (size.rows, size.received, size.stored)
            );
            assert_eq!((now.cold, now.stored_cold + now.text_index), (now.files, now.stored));
        }
        drop(lake);
        let lake = open(directory.path(), &place);
        assert!(lake.open_report().orphans.is_empty());
        assert_eq!(asked(&lake).await, before);
        assert_eq!(warm_at(&lake, &mut |_| true).unwrap(), ROWS as u64);
        assert_eq!(cold_files(&lake), 0);
        remove_left(&lake, &place);
        assert_eq!((local_parquet(directory.path()), place.parquet_objects().len()), (4, 0));
        assert_eq!(asked(&lake).await, before);
        assert_eq!(lake.sizes().unwrap(), sizes);
        // There and back before anything was removed: nothing of it may go.
        cool(&lake, &place).unwrap();
        warm_at(&lake, &mut |_| true).unwrap();
        remove_left(&lake, &place);
        assert_eq!(asked(&lake).await, before);
    }
}

#[tokio::test]
async fn searches_by_words_ask_the_store_only_for_files_that_may_have_them() {
    let place = Place::Bucket(Box::new(S3::start()));
    let Place::Bucket(server) = &place else { unreachable!() };
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path(), &place);
    fill(&lake);
    cool(&lake, &place).unwrap();
    remove_left(&lake, &place);
    let before = server.mood.requests.load(Ordering::Relaxed);
    let table = lake.events().where_text_has(Need::literal("nowhere"));
    assert_eq!(count_of(table).await, 0);
    let day = "select count(*) from events where \"@timestamp\" > '2027-01-01T00:00:00Z'";
    assert_eq!(number(lake.events(), day).await, 0);
    assert_eq!(server.mood.requests.load(Ordering::Relaxed), before);
    let table = lake.events().where_text_has(Need::literal("batch"));
    assert_eq!(count_of(table).await, ROWS);
    assert!(server.mood.requests.load(Ordering::Relaxed) > before);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy(&path, &target) } else { drop(std::fs::copy(&path, &target)) }
    }
}

/// Every record is there once, as it was received, and the index of words has them.
async fn check_rows(lake: &Lake) {
    let table = lake.events().where_text_has(Need::literal("batch"));
    assert_eq!(count_of(table.clone()).await, ROWS);
    assert_eq!(table.counts().files_without_index, 0);
    let mut walked = 0;
    lake.for_each_stored_batch(|batch| -> Result<(), LakeError> {
        assert_eq!(batch, expected(batch.batch, batch.records.len()));
        walked += batch.records.len();
        Ok(())
    })
    .unwrap();
    assert_eq!(walked, ROWS as usize);
}

#[tokio::test]
async fn a_crash_at_any_named_point_leaves_every_row_in_one_place() {
    for place in Place::both() {
        let scratch = tempfile::tempdir().unwrap();
        let (live, crashed) = (scratch.path().join("live"), scratch.path().join("crashed"));
        let lake = open(&live, &place);
        fill(&lake);
        let before = asked(&lake).await;
        for warms in [false, true] {
            let mut points: Vec<(String, PathBuf)> = Vec::new();
            let mut at = |step: TierStep| {
                let point = format!("{step:?}");
                if !points.iter().any(|(known, _)| *known == point) {
                    let target = crashed.join(format!("{warms} {point}"));
                    copy(&live, &target.join("lake"));
                    copy(&place.objects(), &target.join("objects"));
                    points.push((point, target));
                }
                true
            };
            match warms {
                false => cool_at(&lake, &place, &TierRule::default(), &mut at).unwrap(),
                true => warm_at(&lake, &mut at).unwrap(),
            };
            for (removed, file) in (1..).zip(lake.replaced_before(later())) {
                lake.remove_replaced(&file.path).unwrap();
                let point = format!("removed {removed}");
                let target = crashed.join(format!("{warms} {point}"));
                copy(&live, &target.join("lake"));
                copy(&place.objects(), &target.join("objects"));
                points.push((point, target));
            }
            assert!(points.len() >= if warms { 5 } else { 8 }, "{points:?}");
            for (point, target) in points {
                // The store is as it was at that moment, at the place where the table looks for it.
                let later_objects = scratch.path().join("later");
                copy(&place.objects(), &later_objects);
                std::fs::remove_dir_all(place.objects()).unwrap();
                copy(&target.join("objects"), &place.objects());
                let lake = open(&target.join("lake"), &place);
                assert_eq!(count_of(lake.events()).await, ROWS, "{point}");
                let committed = point == "Committed" || point.starts_with("removed");
                assert_eq!(cold_files(&lake), if committed == warms { 0 } else { 4 }, "{point}");
                for orphan in lake.open_report().orphans.clone() {
                    assert!(lake.remove_orphan(&orphan, |_| false).unwrap(), "{point}");
                }
                check_rows(&lake).await;
                let has_index =
                    |path: &str| target.join("lake").join(text_index_path(path)).is_file();
                assert!(lake.files().iter().all(|file| has_index(&file.path)), "{point}");
                // And it can be done, or done again; a copy that is there is taken.
                match warms {
                    false => cool(&lake, &place).unwrap(),
                    true => warm_at(&lake, &mut |_| true).unwrap(),
                };
                remove_left(&lake, &place);
                // What was left over when it was opened, and is a file of the table again, stays.
                for orphan in lake.open_report().orphans.iter().filter(|_| warms) {
                    assert!(!lake.remove_orphan(orphan, |_| true).unwrap(), "{point}");
                }
                check_rows(&lake).await;
                std::fs::remove_dir_all(place.objects()).unwrap();
                copy(&later_objects, &place.objects());
                std::fs::remove_dir_all(&later_objects).unwrap();
            }
            assert_eq!(asked(&lake).await, before);
        }
    }
}

/// Rows of an answer, and the files that it says it lacks.
async fn reachable(table: EventsTable) -> (i64, Vec<yagura_lake::Unread>) {
    (count_of(table.clone()).await, table.unread())
}

/// What cannot be read is missing in the answer, and said, for every way to ask.
async fn check_away(lake: &Lake, kind: ColdKind) {
    let (rows, unread) = reachable(lake.events()).await;
    assert_eq!((rows, unread.len()), (30, 1), "{unread:?}");
    assert_eq!((unread[0].problem.kind, unread[0].files), (kind, 3), "{unread:?}");
    assert_eq!((unread[0].rows, unread[0].names.len()), (390, 3));
    // The answer to a search by words, which looks twice, says so too.
    let table = lake.events().where_text_has(Need::literal("batch"));
    let again = table.clone().uncounted();
    count_of(again).await;
    assert_eq!(table.unread().len(), 1);
    let error = lake.stored_batch(1).unwrap_err();
    assert!(matches!(&error, LakeError::Cold { problem, .. } if problem.kind == kind), "{error}");
    let words = error.words();
    assert!(words.en().contains("cold store") && words.ja().contains("コールドストア"), "{error}");
    assert!(error.path().unwrap().to_string_lossy().contains("/dataset="));
    let walked = lake.for_each_stored_batch(|_| -> Result<(), LakeError> { Ok(()) });
    assert!(matches!(walked, Err(LakeError::Cold { .. })), "{walked:?}");
}

/// Three files cold, one with 30 rows not.
fn partly_cold(directory: &Path, place: &Place) -> Lake {
    let lake = open(directory, place);
    fill(&lake);
    let url = place.url();
    lake.claim_cold(&url, "test/events").unwrap();
    let stays = |file: &yagura_lake::FileEntry| file.rows == 30;
    let files: Vec<_> =
        lake.coolable(&TierRule::default()).into_iter().filter(|file| !stays(file)).collect();
    let prepared =
        files.iter().map(|file| lake.prepare_cooling(file, &url, &mut |_| true).unwrap());
    let prepared = prepared.collect();
    lake.publish_moves(prepared, &mut |_| true).unwrap();
    for file in lake.replaced_before(later()) {
        lake.remove_replaced(&file.path).unwrap();
    }
    lake
}

#[tokio::test]
async fn a_store_that_is_away_costs_its_files_and_is_said() {
    let mut server = S3::start();
    let directory = tempfile::tempdir().unwrap();
    let place = Place::Bucket(Box::new(server));
    drop(partly_cold(directory.path(), &place));
    let Place::Bucket(boxed) = place else { unreachable!() };
    server = *boxed;
    let settings = [server.settings()];
    // Nobody listens.
    server.go_away();
    let lake = open_with(directory.path(), &settings);
    let began = Instant::now();
    check_away(&lake, ColdKind::Away).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    server.come_back();
    // It answers with errors.
    server.mood.fails.store(true, Ordering::Relaxed);
    let lake = open_with(directory.path(), &settings);
    check_away(&lake, ColdKind::Away).await;
    server.mood.fails.store(false, Ordering::Relaxed);
    // It is slower than a request may be: one wait is enough for all files.
    server.mood.delay_ms.store(60_000, Ordering::Relaxed);
    let lake = open_with(directory.path(), &settings);
    let began = Instant::now();
    let (rows, unread) = reachable(lake.events()).await;
    assert_eq!((rows, unread[0].files), (30, 3));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    server.mood.delay_ms.store(0, Ordering::Relaxed);
    // Nobody says how it is reached.
    check_away(&open_with(directory.path(), &[]), ColdKind::Unknown).await;
    // Somebody else's account.
    let mut other = settings.clone();
    other[0].access_key.as_mut().unwrap().secret = "another".to_owned();
    check_away(&open_with(directory.path(), &other), ColdKind::Refused).await;
    // And back: nothing was lost.
    let lake = open_with(directory.path(), &settings);
    assert_eq!(reachable(lake.events()).await, (ROWS, Vec::new()));
}

#[tokio::test]
async fn a_request_is_repeated_so_often_and_no_more() {
    let server = S3::start();
    let directory = tempfile::tempdir().unwrap();
    let lake = open_with(directory.path(), &[server.settings()]);
    let url = format!("{}/nothing", server.settings().url());
    for (failures, answers) in [(COLD_RETRIES, true), (COLD_RETRIES + 1, false)] {
        let before = server.mood.requests.load(Ordering::Relaxed);
        server.mood.failures.store(failures as u64, Ordering::Relaxed);
        let asked = lake.cold_size(&url);
        match answers {
            true => assert_eq!(asked.unwrap(), None),
            false => assert!(matches!(asked, Err(LakeError::Cold { .. })), "{asked:?}"),
        }
        let requests = server.mood.requests.load(Ordering::Relaxed) - before;
        assert_eq!(requests, COLD_RETRIES as u64 + 1);
    }
}

#[tokio::test]
async fn a_directory_that_is_not_mounted_is_away_and_one_that_lost_a_file_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let mount = tempfile::tempdir().unwrap();
    let root = mount.path().join("cold");
    std::fs::create_dir(&root).unwrap();
    let settings = ColdSettings::new(format!("file://{}", root.display()));
    let lake = open_with(directory.path(), std::slice::from_ref(&settings));
    fill(&lake);
    let url = settings.url().to_owned();
    lake.claim_cold(&url, "test/events").unwrap();
    let files = lake.coolable(&TierRule::default());
    let moves = |lake: &Lake, files: &[Arc<yagura_lake::FileEntry>]| {
        let one = |file| lake.prepare_cooling(file, &url, &mut |_| true);
        let prepared = files.iter().map(one).collect::<Result<Vec<_>, _>>()?;
        lake.publish_moves(prepared, &mut |_| true)
    };
    moves(&lake, &files[..3]).unwrap();
    let away = mount.path().join("elsewhere");
    std::fs::rename(&root, &away).unwrap();
    let lake = open_with(directory.path(), std::slice::from_ref(&settings));
    let (_, unread) = reachable(lake.events()).await;
    assert_eq!((unread[0].problem.kind, unread[0].files), (ColdKind::Away, 3));
    // Nothing is written where a disk is to be mounted; an empty one mounted there is not ours.
    let claimed = lake.claim_cold(&url, "test/events").unwrap_err();
    assert!(claimed.to_string().contains("mounted"), "{claimed}");
    assert!(moves(&lake, &files[3..]).is_err() && !root.try_exists().unwrap());
    std::fs::create_dir(&root).unwrap();
    let claimed = lake.claim_cold(&url, "test/events").unwrap_err();
    assert!(claimed.to_string().contains("right disk"), "{claimed}");
    std::fs::remove_dir(&root).unwrap();
    std::fs::rename(&away, &root).unwrap();
    let lake = open_with(directory.path(), std::slice::from_ref(&settings));
    lake.claim_cold(&url, "test/events").unwrap();
    let other = lake.claim_cold(&url, "other/events").unwrap_err();
    assert!(other.to_string().contains("belongs to test/events"), "{other}");
    let lost = lake.files().into_iter().find(|file| file.cold.is_some()).unwrap();
    std::fs::remove_file(root.join(&lost.path)).unwrap();
    let (rows, unread) = reachable(lake.events()).await;
    assert_eq!(rows, ROWS - i64::try_from(lost.rows).unwrap());
    assert_eq!(
        (unread[0].problem.kind, &unread[0].names),
        (ColdKind::Missing, &vec![lost.path.clone()])
    );
}

#[tokio::test]
async fn a_changed_object_is_damage_and_named_and_a_changed_file_does_not_go() {
    for place in Place::both() {
        let directory = tempfile::tempdir().unwrap();
        let lake = open(directory.path(), &place);
        fill(&lake);
        // A file that is not what it was stays where it is, and nothing of it is left in the store.
        let first = lake.coolable(&TierRule::default()).remove(0);
        let path = directory.path().join(&first.path);
        let sound = std::fs::read(&path).unwrap();
        let mut bytes = sound.clone();
        bytes[40] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let moved = cool(&lake, &place);
        assert!(matches!(&moved, Err(LakeError::Corrupt { path: named, .. }) if *named == path));
        assert_eq!((cold_files(&lake), place.parquet_objects().len()), (0, 0));
        std::fs::write(&path, &sound).unwrap();
        cool(&lake, &place).unwrap();
        // An object that was changed: its file is named by its URL, it does not come back.
        let object = place.objects().join(&first.path);
        let stored = std::fs::read(&object).unwrap();
        assert_eq!(stored, sound);
        let mut changed = stored.clone();
        changed[40] ^= 1;
        std::fs::write(&object, &changed).unwrap();
        let file = lake.files().into_iter().find(|file| file.path == first.path).unwrap();
        assert_eq!(lake.digest_of(&file).unwrap().1, file.bytes);
        assert_ne!(lake.digest_of(&file).unwrap().0, file.sha256);
        let warmed = warm_at(&lake, &mut |_| true);
        let url = lake.name_of(&file);
        assert!(
            matches!(&warmed, Err(LakeError::Corrupt { path, .. }) if *path == url),
            "{warmed:?}"
        );
        assert!(url.to_string_lossy().starts_with(&place.url()));
        assert_eq!(cold_files(&lake), 4);
        // Shorter than it was: that is said as well, and no panic.
        std::fs::write(&object, &stored[..stored.len() / 2]).unwrap();
        assert!(lake.digest_of(&file).is_err());
        std::fs::write(&object, &stored).unwrap();
        assert_eq!(warm_at(&lake, &mut |_| true).unwrap(), ROWS as u64);
    }
}

#[tokio::test]
async fn batches_of_cold_files_are_deleted_and_a_lock_is_told() {
    for place in Place::both() {
        let directory = tempfile::tempdir().unwrap();
        let lake = open(directory.path(), &place);
        fill(&lake);
        cool(&lake, &place).unwrap();
        // A compaction leaves them alone.
        assert_eq!(compact(&lake), 0);
        let gone = BTreeSet::from([2, 4]);
        let prepared = lake.prepare_deletion(&gone, &mut Judge).unwrap();
        let report = lake.publish_deletion(prepared, &mut Judge).unwrap();
        assert_eq!(report.rows, 210);
        let left: Vec<_> = lake.stored_batches();
        assert_eq!(left, [(1, 100), (3, 110)]);
        assert_eq!(count_of(lake.events()).await, 210);
        assert_eq!(cold_files(&lake), 0);
        let objects: Vec<String> = place
            .parquet_objects()
            .iter()
            .map(|path| path.strip_prefix(place.objects()).unwrap().display().to_string())
            .map(|path| format!("{}/{path}", place.url()))
            .collect();
        assert_eq!(objects.len(), 4);
        if let Place::Bucket(server) = &place {
            server.mood.locked.store(true, Ordering::Relaxed);
            let refused = lake.remove_cold(&objects[0]).unwrap();
            assert!(
                matches!(&refused, ColdRemoved::Refused(why) if !why.is_empty()),
                "{refused:?}"
            );
            assert!(lake.cold_size(&objects[0]).unwrap().is_some());
            server.mood.locked.store(false, Ordering::Relaxed);
        }
        remove_left(&lake, &place);
        assert_eq!(lake.cold_size(&objects[0]).unwrap(), None);
        drop(lake);
        let lake = open(directory.path(), &place);
        assert_eq!(count_of(lake.events()).await, 210);
        assert!(lake.open_report().orphans.is_empty());
    }
}

#[tokio::test]
async fn rows_of_a_cold_file_are_rewritten_here() {
    for place in Place::both() {
        let directory = tempfile::tempdir().unwrap();
        let lake = open(directory.path(), &place);
        fill(&lake);
        cool(&lake, &place).unwrap();
        lake.rewrite(vec![events(&run(2, 0, 120), "linux.auth", "new.column")]).unwrap();
        assert_eq!(count_of(lake.events()).await, ROWS);
        let new = "select count(\"new.column\") from events where \"event.dataset\" = 'linux.auth'";
        assert_eq!(number(lake.events(), new).await, 120);
        remove_left(&lake, &place);
        assert_eq!(lake.stored_batch(2).unwrap(), expected(2, 120));
        // What moved meanwhile is not moved again from where it was.
        let file = lake.coolable(&TierRule::default()).remove(0);
        let twice =
            [0, 1].map(|_| lake.prepare_cooling(&file, &place.url(), &mut |_| true).unwrap());
        let [first, second] = twice;
        lake.publish_moves(vec![first], &mut |_| true).unwrap();
        let late = lake.publish_moves(vec![second], &mut |_| true);
        assert!(matches!(late, Err(LakeError::Outdated(_))), "{late:?}");
        assert_eq!(count_of(lake.events()).await, ROWS);
    }
}

#[tokio::test]
async fn a_file_larger_than_a_part_goes_in_parts() {
    for place in Place::both() {
        let directory = tempfile::tempdir().unwrap();
        let lake = open(directory.path(), &place);
        // Bytes that do not compress.
        let mut noisy = run(1, 0, 200);
        let mut noise: u64 = 0x9e37_79b9_7f4a_7c15;
        for record in &mut noisy.records {
            let mut bytes = Vec::new();
            while bytes.len() < 50_000 {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                bytes.extend(noise.to_le_bytes());
            }
            record.bytes = bytes.into();
        }
        lake.add(vec![events(&noisy, "linux.auth", "a")]).unwrap();
        lake.batch_sealed(1);
        lake.flush(true).unwrap();
        let bytes = lake.files()[0].bytes;
        assert!(bytes > yagura_lake::limits::COLD_PART_BYTES as u64, "{bytes}");
        let mut copied = 0;
        let mut at = |step: TierStep| {
            if let TierStep::Copied(bytes) = step {
                copied += bytes;
            }
            true
        };
        cool_at(&lake, &place, &TierRule::default(), &mut at).unwrap();
        assert_eq!(copied, bytes);
        remove_left(&lake, &place);
        let records: Vec<_> = noisy.indexed().map(|(i, record)| (i, record.clone())).collect();
        assert_eq!(lake.records(1).unwrap(), records);
        // Stopped on the way: it stays, and what was begun is not taken for the file.
        warm_at(&lake, &mut |_| true).unwrap();
        remove_left(&lake, &place);
        let mut parts = 0;
        let mut stop = |step: TierStep| {
            parts += u64::from(matches!(step, TierStep::Copied(_)));
            parts < 2
        };
        let stopped = cool_at(&lake, &place, &TierRule::default(), &mut stop);
        assert!(matches!(stopped, Err(LakeError::Cancelled)), "{stopped:?}");
        assert_eq!(place.parquet_objects().len(), 0);
        assert_eq!(lake.records(1).unwrap(), records);
    }
}

/// The old local file of a cooled one may be removed at any moment: also while the file is coming back to
/// the same place.
#[tokio::test]
async fn what_comes_back_is_not_taken_for_what_was_to_go() {
    let (directory, place) = (tempfile::tempdir().unwrap(), &Place::both()[0]);
    let lake = open(directory.path(), place);
    fill(&lake);
    cool(&lake, place).unwrap();
    let waiting = lake.replaced_before(later());
    assert!(!waiting.is_empty());
    let mut removed = 0;
    let mut at = |step: TierStep| {
        if step == TierStep::Renamed {
            for file in &waiting {
                lake.remove_replaced(&file.path).unwrap();
                removed += 1;
            }
        }
        true
    };
    warm_at(&lake, &mut at).unwrap();
    assert_eq!(removed, waiting.len());
    assert!(lake.files().iter().all(|file| directory.path().join(&file.path).is_file()));
    assert_eq!(count_of(lake.events()).await, ROWS);
}
