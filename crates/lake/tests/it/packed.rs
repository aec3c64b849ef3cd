//! Compacted files do not store what their columns say of received bytes and messages: nobody who
//! asks can tell, and damage is named.

use crate::support;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::{NOON, count_of, dictionary, number, sql};
use yagura_event::{
    BatchBuilder, CommittedRun, EventBatch, ManualClock, Record, StreamName, Transport, UtcMicros,
};
use yagura_lake::{
    BatchHead, CompactLimits, CompactRule, CompactStep, CompactWatch, EventsTable, KeepRaw, Lake,
    LakeError, LakeOptions, StoredBatch, StoredLeaves,
};
use yagura_textindex::Need;

const HIDDEN: [&str; 4] = [
    "yagura.message.template",
    "yagura.message.values",
    "yagura.raw.template",
    "yagura.raw.values",
];

const WORDS: [&str; 4] = ["accepted", "refused", "受け付けました", "closed"];
const USERS: [&str; 3] = ["tanaka", "a\"b", "佐藤"];

/// Most are documents whose message and fields stand in columns; some nothing can be said of.
fn record(batch: u64, index: u32) -> (Vec<u8>, Option<String>) {
    let n = batch * 1_000 + u64::from(index);
    if index % 40 == 13 {
        let odd = vec![0xFF, b'?', (n % 251) as u8, 0, b'"', (n / 251 % 251) as u8];
        return (odd, (index % 80 == 13).then(|| format!("odd {n} {:x}", n * 7_919)));
    }
    let message = format!(
        "Connection from 192.0.2.{} port {index} {} for {}",
        n % 200,
        WORDS[(n % 4) as usize],
        USERS[(n % 3) as usize]
    );
    let raw = format!(
        r#"{{"host":"web-{}","user":"{}","port":{index},"n":"{:x}","msg":"{}"}}"#,
        n % 5,
        USERS[(n % 3) as usize].replace('"', "\\\""),
        n * 7_919,
        message.replace('"', "\\\""),
    );
    (raw.into_bytes(), (index % 10 != 4).then_some(message))
}

fn received(stream: &str, batch: u64, count: u32) -> CommittedRun {
    let record = |index: u32| Record {
        received: UtcMicros::from_micros(NOON + i64::from(index)),
        transport: Transport::HttpIngest,
        peer: "192.0.2.1:1".into(),
        identity: "none".into(),
        bytes: record(batch, index).0.into(),
    };
    CommittedRun {
        stream: StreamName::new(stream).unwrap(),
        batch,
        batch_salt: [batch as u8; 32],
        first_index: 0,
        records: (0..count).map(record).collect(),
    }
}

fn rows(run: &CommittedRun, dataset: &str, keep: impl Fn(u32) -> bool) -> EventBatch {
    let mut builder = BatchBuilder::new(dataset, dictionary());
    for (index, stored) in run.indexed().filter(|(index, _)| keep(*index)) {
        builder.begin_row(run, index, stored);
        let n = run.batch * 1_000 + u64::from(index);
        builder.set_time(UtcMicros::from_micros(NOON + (n * 37 % 5_000) as i64 * 1_000));
        builder.set("host.name", &format!("web-{}", n % 5));
        builder.set("user.name", USERS[(n % 3) as usize]);
        builder.set_long("source.port", i64::from(index));
        if let Some(message) = record(run.batch, index).1 {
            builder.set("message", &message);
        }
    }
    builder.finish().unwrap()
}

fn open(directory: &Path, keep_raw: KeepRaw) -> Lake {
    let clock = ManualClock::at(UtcMicros::from_micros(NOON));
    let options = LakeOptions { keep_raw, ..LakeOptions::default() };
    Lake::open(directory, options, Arc::new(clock)).unwrap()
}

/// Batch, stream and rows.
const BATCHES: [(u64, &str, u32); 4] =
    [(1, "json", 400), (2, "syslog", 300), (3, "json", 200), (4, "syslog", 100)];

fn flush(lake: &Lake, batches: &[(u64, &str, u32)]) {
    for (batch, stream, count) in batches {
        let run = received(stream, *batch, *count);
        lake.add(vec![
            rows(&run, "web.access", |index| index % 3 > 0),
            rows(&run, "linux.auth", |index| index % 3 == 0),
        ])
        .unwrap();
        lake.batch_sealed(*batch);
        lake.flush(true).unwrap();
    }
}

fn expected(batch: u64) -> StoredBatch {
    let (_, stream, count) = BATCHES.into_iter().find(|(number, ..)| *number == batch).unwrap();
    let run = received(stream, batch, count);
    StoredBatch {
        batch,
        stream: run.stream.clone(),
        batch_salt: run.batch_salt,
        records: run.indexed().map(|(index, record)| (index, record.clone())).collect(),
    }
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
        let same = *batch == support::leaves(&expected(batch.head.batch));
        same.then_some(()).ok_or("not what was received".to_owned())
    }
}

fn compact_at(lake: &Lake, today: &str) -> Result<u64, LakeError> {
    let rule = CompactRule { files_min: 1, ..CompactRule::new(today.to_owned()) };
    let jobs = lake.compactable(&rule);
    let prepared = lake.prepare_compaction(&jobs, &CompactLimits::default(), &mut Judge)?;
    Ok(lake.publish_compaction(prepared, &mut Judge)?.rows)
}

fn compact(lake: &Lake) -> u64 {
    compact_at(lake, "2026-11-21").unwrap()
}

fn rebuilt(lake: &Lake, column: &str) -> u64 {
    let sizes = lake.sizes().unwrap();
    sizes.values().filter_map(|size| size.columns.get(column)).map(|size| size.rebuilt).sum()
}

fn check_records(lake: &Lake) {
    let mut seen = BTreeSet::new();
    lake.for_each_stored_batch(|batch| -> Result<(), LakeError> {
        assert_eq!(batch, expected(batch.batch));
        seen.insert(batch.batch);
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, lake.stored_batches().into_iter().map(|(batch, _)| batch).collect());
    for batch in seen {
        assert_eq!(lake.stored_batch(batch).unwrap(), expected(batch));
    }
}

/// Where the Parquet files are.
fn parquet_files(lake: &Lake) -> Vec<PathBuf> {
    lake.files().iter().map(|file| lake.directory().join(&file.path)).collect()
}

fn read_parquet(path: &Path) -> (Vec<RecordBatch>, BTreeMap<String, Option<String>>) {
    let file = std::fs::File::open(path).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let pairs = builder.metadata().file_metadata().key_value_metadata().unwrap();
    let pairs = pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect();
    (builder.build().unwrap().map(Result::unwrap).collect(), pairs)
}

/// What is asked of both, in all parts of the language that may meet a text.
const QUESTIONS: [&str; 18] = [
    "select * from events order by \"event.id\"",
    "select * from events where \"user.name\" = '佐藤' order by \"event.id\"",
    "select \"event.id\" from events where message like '%受け付けました%' order by 1",
    "select \"event.id\" from events where message ~ 'port 1[0-9]+ (refused|closed)' order by 1",
    "select \"event.id\" from events where message ilike '%PORT 17 %' or \"source.port\" = 3 order by 1",
    "select count(*) from events where message is null",
    "select count(message), count(\"event.original\"), count(\"source.port\") from events",
    "select min(message), max(message) from events where \"host.name\" = 'web-3'",
    "select \"event.id\", message from events where message > 'Connection from 192.0.2.15' \
     and \"source.port\" between 5 and 60 order by 1",
    "select \"event.id\" from events where \"event.original\" >= x'7b22686f7374223a227765622d33' \
     and \"event.original\" < x'7b22686f7374223a227765622d34' order by 1",
    "select \"event.original\" from events where \"source.port\" = 13 order by \"event.id\"",
    "select count(distinct \"event.original\"), count(distinct message) from events",
    "select \"event.id\", \"event.original\", \"@timestamp\" from events \
     where message like '%refused%' order by \"@timestamp\" desc, \"event.id\" limit 7",
    "select \"event.id\", message from events order by \"@timestamp\", \"event.id\" limit 9",
    "select \"host.name\", count(*), max(message) from events group by 1 order by 1",
    "select \"source.port\" from events where \"source.port\" > 395 order by 1",
    "select \"event.dataset\", length(message) from events \
     where \"event.dataset\" = 'linux.auth' and message not like '%closed%' order by \"event.id\"",
    "select a.\"event.id\" from events a join events b on a.message = b.message \
     where a.\"source.port\" = 7 order by 1",
];

async fn answers(table: &EventsTable) -> Vec<Vec<String>> {
    let mut answers = Vec::new();
    for question in QUESTIONS {
        let rows = sql(table.clone(), question).await;
        let shown = arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string();
        let lines = shown.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        answers.push(lines.map(|cells| cells.join("|")).collect());
    }
    answers
}

#[tokio::test]
async fn packed_files_and_whole_ones_answer_alike() {
    let scratch = tempfile::tempdir().unwrap();
    let whole = open(&scratch.path().join("whole"), KeepRaw::All);
    let packed = open(&scratch.path().join("packed"), KeepRaw::default());
    for lake in [&whole, &packed] {
        flush(lake, &BATCHES[..2]);
    }
    let before = answers(&packed.events()).await;
    assert!(before.iter().all(|answer| answer.len() > 4), "{before:?}");
    for lake in [&whole, &packed] {
        assert_eq!(compact(lake), 700);
        check_records(lake);
    }
    assert_eq!((rebuilt(&whole, "event.original"), rebuilt(&whole, "message")), (0, 0));
    assert!(whole.files().iter().all(|file| file.packed.is_none()));
    assert!(rebuilt(&packed, "event.original") > 650 && rebuilt(&packed, "message") > 580);
    assert!(packed.files().iter().all(|file| file.packed.is_some()));
    assert_eq!(answers(&packed.events()).await, before);
    assert_eq!(answers(&whole.events()).await, before);

    // With files as they came, and memory, beside them.
    for lake in [&whole, &packed] {
        flush(lake, &BATCHES[2..3]);
        let (batch, stream, count) = BATCHES[3];
        lake.add(vec![rows(&received(stream, batch, count), "web.access", |_| true)]).unwrap();
    }
    let before = answers(&whole.events()).await;
    assert_eq!(answers(&packed.events()).await, before);

    // The hidden columns are nobody's.
    let names: Vec<_> = packed.columns().iter().map(|column| column.name.to_string()).collect();
    assert!(names.iter().all(|name| !HIDDEN.contains(&name.as_str())), "{names:?}");
    for size in packed.sizes().unwrap().values() {
        assert!(HIDDEN.iter().all(|name| !size.columns.contains_key(*name)));
    }
    // And what they take is counted with the text.
    let stored = |lake: &Lake| -> u64 {
        lake.sizes().unwrap().values().map(|size| size.columns["event.original"].stored).sum()
    };
    assert!(stored(&packed) < stored(&whole), "{} {}", stored(&packed), stored(&whole));
    let received =
        |lake: &Lake| -> u64 { lake.sizes().unwrap().values().map(|s| s.received).sum() };
    assert_eq!(received(&packed), received(&whole));

    // Opened anew, without what was in memory only, and compacted once more.
    drop((packed, whole));
    let packed = open(&scratch.path().join("packed"), KeepRaw::default());
    let whole = open(&scratch.path().join("whole"), KeepRaw::All);
    flush(&packed, &BATCHES[3..]);
    flush(&whole, &BATCHES[3..]);
    let before = answers(&whole.events()).await;
    assert_eq!(compact_at(&packed, "2026-11-22").unwrap(), 1_000);
    assert_eq!(packed.stats().files, 2);
    assert!(rebuilt(&packed, "event.original") > 930);
    check_records(&packed);
    assert_eq!(answers(&packed.events()).await, before);
}

#[tokio::test]
async fn files_written_whole_are_read_and_packed_by_the_next_compaction() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path(), KeepRaw::All);
    flush(&lake, &BATCHES[..3]);
    compact(&lake);
    let before = answers(&lake.events()).await;
    drop(lake);
    let lake = open(directory.path(), KeepRaw::default());
    assert_eq!(answers(&lake.events()).await, before);
    flush(&lake, &BATCHES[3..]);
    assert_eq!(compact_at(&lake, "2026-11-22").unwrap(), 1_000);
    assert!(rebuilt(&lake, "event.original") > 930);
    check_records(&lake);
    drop(lake);
    // And back, where somebody wants them whole.
    let lake = open(directory.path(), KeepRaw::All);
    let rewritten = rows(&received("json", 1, 400), "web.access", |index| index == 0);
    lake.rewrite(vec![rewritten]).unwrap();
    compact_at(&lake, "2026-11-22").unwrap();
    assert_eq!(rebuilt(&lake, "event.original"), 0);
    check_records(&lake);
}

#[test]
fn the_past_is_read_with_its_texts() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path(), KeepRaw::default());
    flush(&lake, &BATCHES);
    let look = |wanted: &dyn Fn(&str) -> bool| {
        let mut found = BTreeMap::new();
        for part in lake.history().parts() {
            for rows in part.read(wanted).unwrap() {
                let rows = rows.unwrap().columns;
                let names: Vec<_> =
                    rows.schema().fields().iter().map(|field| field.name().clone()).collect();
                assert!(HIDDEN.iter().all(|hidden| !names.contains(&(*hidden).to_owned())));
                for row in 0..rows.num_rows() {
                    let value = |name: &str| {
                        let column = rows.column_by_name(name)?;
                        arrow::util::display::array_value_to_string(column, row).ok()
                    };
                    let id = (value("yagura.batch"), value("yagura.index"));
                    let values: BTreeMap<_, _> =
                        names.iter().map(|name| (name.clone(), value(name))).collect();
                    assert!(found.insert(id, values).is_none());
                }
            }
        }
        assert_eq!(found.len(), 1_000);
        found
    };
    type Wanted = fn(&str) -> bool;
    let wanted: [Wanted; 4] =
        [|_| true, |name| name == "message", |name| name == "event.original", |_| false];
    let before = wanted.map(|wanted| look(&wanted));
    let size = |lake: &Lake| {
        let history = lake.history();
        let sizes = history.parts().iter();
        let sizes = sizes.map(|part| part.size(&|name| name == "event.original").unwrap());
        sizes.map(|size| (size.columns, size.bytes > 0)).collect::<BTreeSet<_>>()
    };
    let size_before = size(&lake);
    compact(&lake);
    assert!(rebuilt(&lake, "event.original") > 930);
    assert_eq!(wanted.map(|wanted| look(&wanted)), before);
    assert_eq!(size(&lake), size_before);
    for part in lake.history().parts() {
        let all: Vec<EventBatch> = part.read(&|_| true).unwrap().map(Result::unwrap).collect();
        let text = |rows: &[EventBatch], at: usize| -> Vec<u8> {
            let mut at = at;
            for rows in rows {
                if at < rows.rows() {
                    let column = rows.columns.column_by_name("event.original").unwrap();
                    return column.as_binary::<i32>().value(at).to_vec();
                }
                at -= rows.rows();
            }
            panic!("no such row")
        };
        let some = part.rows_at(&[0, 7, 200]).unwrap();
        for (at, position) in [0, 7, 200].into_iter().enumerate() {
            assert_eq!(text(&some, at), text(&all, position));
        }
    }
}

#[tokio::test]
async fn packed_rows_can_be_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path(), KeepRaw::default());
    flush(&lake, &BATCHES);
    compact(&lake);
    let run = received("syslog", 2, 300);
    // A column that texts are made of changes for every fourth row, and they move.
    let mut builder = BatchBuilder::new("web.access", dictionary());
    for (index, stored) in run.indexed().filter(|(index, _)| index % 4 == 0) {
        builder.begin_row(&run, index, stored);
        builder.set("user.name", "somebody else");
    }
    let report = lake.rewrite(vec![builder.finish().unwrap()]).unwrap();
    assert_eq!(report.rows, 75);
    check_records(&lake);
    // What is left of the old files is packed again.
    assert!(rebuilt(&lake, "event.original") > 800);
    let renamed = "select count(*) from events where \"user.name\" = 'somebody else'";
    assert_eq!(number(lake.events(), renamed).await, 75);
    assert_eq!(count_of(lake.events()).await, 1_000);
    compact_at(&lake, "2026-11-22").unwrap();
    check_records(&lake);
    assert_eq!(number(lake.events(), renamed).await, 75);
    // Another record is still refused.
    let mut altered = received("syslog", 2, 1);
    altered.records[0].bytes = b"altered".to_vec().into();
    let refused = lake.rewrite(vec![rows(&altered, "web.access", |_| true)]);
    assert!(matches!(refused, Err(LakeError::NotTheRecord(_))), "{refused:?}");
}

#[test]
fn streams_that_are_kept_are_whole_for_everybody() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path(), KeepRaw::new(["syslog".to_owned()]));
    flush(&lake, &BATCHES);
    compact(&lake);
    check_records(&lake);
    let mut absent: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for path in parquet_files(&lake) {
        for rows in read_parquet(&path).0 {
            let streams = cast(rows.column_by_name("yagura.stream").unwrap(), &DataType::Utf8);
            let streams = streams.unwrap();
            for row in 0..rows.num_rows() {
                let counts = absent.entry(streams.as_string::<i32>().value(row).to_owned());
                let counts = counts.or_default();
                counts.0 += 1;
                counts.1 +=
                    usize::from(rows.column_by_name("event.original").unwrap().is_null(row));
            }
        }
    }
    assert_eq!(absent["syslog"], (400, 0));
    assert_eq!(absent["json"].0, 600);
    assert!(absent["json"].1 > 550);
    let all = open(&directory.path().join("all"), KeepRaw::new(["*".to_owned(), "x".to_owned()]));
    flush(&all, &BATCHES[..1]);
    compact(&all);
    assert_eq!(rebuilt(&all, "event.original"), 0);
}

#[tokio::test]
async fn a_search_by_words_rebuilds_only_what_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path(), KeepRaw::default());
    let count = yagura_textindex::limits::BLOCK_ROWS + 500;
    let run = received("json", 9, count);
    lake.add(vec![rows(&run, "web.access", |_| true)]).unwrap();
    lake.batch_sealed(9);
    lake.flush(true).unwrap();
    let found = "select \"event.id\", message from events where message like '% port 1023 %' \
                 or message = 'Connection from 192.0.2.17 port 17 refused for 佐藤'";
    let before = sql(lake.events(), found).await;
    struct AsReceived(CommittedRun);
    impl CompactWatch for AsReceived {
        fn at(&mut self, _: CompactStep) -> bool {
            true
        }
        fn leaf(&mut self, batch: &BatchHead, index: u32, record: &Record) -> [u8; 32] {
            support::leaf(batch, index, record)
        }
        fn verify(&mut self, batch: &StoredLeaves) -> Result<(), String> {
            let leaf = |(index, record)| (index, support::leaf(&batch.head, index, record));
            let same = self.0.indexed().map(leaf).eq(batch.leaves.iter().copied());
            same.then_some(()).ok_or("another record".to_owned())
        }
    }
    let mut judge = AsReceived(run);
    let rule = CompactRule { files_min: 1, ..CompactRule::new("2026-11-21".to_owned()) };
    let jobs = lake.compactable(&rule);
    let prepared = lake.prepare_compaction(&jobs, &CompactLimits::default(), &mut judge).unwrap();
    lake.publish_compaction(prepared, &mut judge).unwrap();
    let after = sql(lake.events(), found).await;
    let shown = |rows: &[RecordBatch]| {
        let shown = arrow::util::pretty::pretty_format_batches(rows).unwrap().to_string();
        let mut lines: Vec<String> = shown.lines().map(|line| line.replace(' ', "")).collect();
        lines.sort();
        lines
    };
    assert_eq!(shown(&before).iter().filter(|line| line.contains("json/9/")).count(), 2);
    assert_eq!(shown(&after), shown(&before));
    // Of the blocks that the index leaves, only rows that may have the word are rebuilt; texts are not
    // checked here.
    let table = lake.events().where_text_has(Need::literal("1023"));
    let texts = "select count(\"event.original\") from events";
    let left = number(table.clone(), texts).await;
    assert!((1..100).contains(&left), "{left}");
    let exact = "select count(*) from events where message like '% port 1023 %'";
    assert_eq!(number(table, exact).await, 1);
    let absent = lake.events().where_text_has(Need::literal("nowhere"));
    assert_eq!(number(absent, texts).await, 0);
}

/// Writes the file again with other columns, as if its pages had been changed soundly.
fn change(path: &Path, change: &dyn Fn(&str, &ArrayRef) -> Option<ArrayRef>) {
    let (parts, pairs) = read_parquet(path);
    let mut writer: Option<ArrowWriter<std::fs::File>> = None;
    let file = std::fs::File::create(path).unwrap();
    let mut file = Some(file);
    for part in parts {
        let mut columns: Vec<(String, ArrayRef)> = Vec::new();
        for (field, array) in part.schema().fields().iter().zip(part.columns()) {
            if let Some(array) = change(field.name(), array) {
                columns.push((field.name().clone(), array));
            }
        }
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, array)| Field::new(name, array.data_type().clone(), true))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        let part = RecordBatch::try_new(schema.clone(), arrays).unwrap();
        let writer = writer.get_or_insert_with(|| {
            let pairs = pairs.iter().filter(|(key, _)| *key != "ARROW:schema");
            let pairs = pairs.map(|(key, value)| {
                parquet::file::metadata::KeyValue::new(key.clone(), value.clone())
            });
            let properties =
                WriterProperties::builder().set_key_value_metadata(Some(pairs.collect())).build();
            ArrowWriter::try_new(file.take().unwrap(), schema, Some(properties)).unwrap()
        });
        writer.write(&part).unwrap();
    }
    writer.unwrap().close().unwrap();
}

#[tokio::test]
async fn damage_in_any_packed_column_names_the_file() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("lake");
    let lake = open(&directory, KeepRaw::default());
    flush(&lake, &BATCHES[..1]);
    compact(&lake);
    let path = parquet_files(&lake).into_iter().max().unwrap();
    let sound = std::fs::read(&path).unwrap();
    let garbage = |array: &ArrayRef| -> ArrayRef {
        let texts: BinaryArray =
            (0..array.len()).map(|row| Some(vec![7, row as u8, 200, 200])).collect();
        Arc::new(texts)
    };
    let mut seen = 0;
    for name in HIDDEN.into_iter().chain(["user.name", "host.name", "source.port"]) {
        for removed in [true, false] {
            change(&path, &|column, array| match column == name {
                false => Some(array.clone()),
                true if removed => None,
                true if HIDDEN.contains(&name) => Some(garbage(array)),
                true => Some(new_null_array(array.data_type(), array.len())),
            });
            if std::fs::read(&path).unwrap() == sound {
                continue;
            }
            // Sizes are those of the log; a query reads the footer from the end.
            let size = std::fs::metadata(&path).unwrap().len();
            let place = format!("{name} {removed} {size}");
            let read = lake.stored_batch(1);
            match &read {
                Err(LakeError::Corrupt { path: found, .. }) => assert_eq!(*found, path, "{place}"),
                // Where a text does not need it.
                Ok(batch) => {
                    assert!(
                        *batch == expected(1) || !name.starts_with("yagura.raw"),
                        "{place}: changed without a word"
                    );
                    continue;
                }
                other => panic!("{place}: {other:?}"),
            }
            seen += 1;
            let past = lake.part_of(lake.files().iter().max_by_key(|f| f.path.clone()).unwrap());
            let failed = past.read(&|_| true).and_then(|rows| rows.collect::<Result<Vec<_>, _>>());
            assert!(
                matches!(failed, Err(LakeError::Corrupt { path: p, .. }) if p == path),
                "{place}"
            );
            // The log knows the old size: a table that says the new one.
            let copy = scratch.path().join(format!("copy-{seen}"));
            copy_with_size(&directory, &copy, sound.len(), size);
            let other = open(&copy, KeepRaw::default());
            let context = datafusion::prelude::SessionContext::new();
            context.register_table("events", Arc::new(other.events())).unwrap();
            let asked =
                context.sql("select message, \"event.original\" from events").await.unwrap();
            let error = asked.collect().await.unwrap_err().to_string();
            let file = path.file_name().unwrap().to_str().unwrap();
            assert!(error.contains(file) && error.contains("damaged"), "{place}: {error}");
        }
    }
    assert!(seen >= 8, "{seen}");
    std::fs::write(&path, &sound).unwrap();
    check_records(&lake);
}

/// A table whose log states another size of the one file that has `old` bytes.
fn copy_with_size(from: &Path, to: &Path, old: usize, new: u64) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_with_size(&path, &target, old, new);
        } else if path.extension().is_some_and(|ending| ending == "json") {
            let text = std::fs::read_to_string(&path).unwrap();
            let (old, new) = (format!("\"size\":{old},"), format!("\"size\":{new},"));
            std::fs::write(&target, text.replace(&old, &new)).unwrap();
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn a_changed_byte_anywhere_in_a_packed_file_is_damage_or_another_record() {
    let directory = tempfile::tempdir().unwrap();
    let lake = open(directory.path(), KeepRaw::default());
    flush(&lake, &BATCHES[..1]);
    compact(&lake);
    let path = parquet_files(&lake).into_iter().max().unwrap();
    let sound = std::fs::read(&path).unwrap();
    let mut damaged = 0;
    for at in (0..sound.len()).step_by(sound.len() / 150) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x11;
        std::fs::write(&path, &bytes).unwrap();
        match lake.stored_batch(1) {
            Err(LakeError::Corrupt { path: found, .. }) => {
                assert_eq!(found, path, "byte {at}");
                damaged += 1;
            }
            Err(other) => panic!("byte {at}: {other}"),
            // Its root would tell, unless nothing of the record depends on this byte.
            Ok(_) => {}
        }
    }
    assert!(damaged > 20, "{damaged}");
    std::fs::write(&path, &sound).unwrap();
    check_records(&lake);
}

#[tokio::test]
async fn row_groups_of_packed_files_are_counted_by_their_cause() {
    let scratch = tempfile::tempdir().unwrap();
    let lake = open(scratch.path(), KeepRaw::default());
    flush(&lake, &BATCHES[..2]);
    assert_eq!(compact(&lake), 700);
    let counts = async |condition: &str| {
        let table = lake.events();
        let question = format!("select \"event.original\" from events where {condition}");
        sql(table.clone(), &question).await;
        let counts = table.counts();
        (counts.row_groups, counts.row_groups_passed_by_statistics, counts.row_groups_read)
    };
    let files = lake.files().len() as u64;
    assert_eq!(counts("\"source.port\" >= 0").await, (files, 0, files));
    assert_eq!(counts("\"source.port\" > 10000").await, (files, files, 0));
}
