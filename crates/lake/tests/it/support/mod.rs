//! Events and queries for the tests of the lake.
#![allow(dead_code, reason = "each test file uses its share")]
#![allow(clippy::unwrap_used, reason = "a test may stop")]

pub mod corpus;
pub mod s3;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use yagura_event::{
    BatchBuilder, CommittedRun, EventBatch, FieldDictionary, ManualClock, Record, StreamName,
    Transport, UtcMicros,
};
use yagura_lake::{
    AccessKey, BatchHead, ColdSettings, EventsTable, Lake, LakeOptions, StoredBatch, StoredLeaves,
};

/// 2026-11-21T12:00:00Z.
pub const NOON: i64 = 1_795_262_400_000_000;

pub fn dictionary() -> Arc<FieldDictionary> {
    let text = "[[field]]\nname='source.port'\ntype='long'\nja='送信元ポート'\nen='Source port'\n\
                [[field]]\nname='message'\ntype='text'\nja='本文'\nen='Message'\n";
    Arc::new(FieldDictionary::from_toml(text).unwrap())
}

/// Records of one batch; the bytes say batch and index.
pub fn run(batch: u64, first_index: u32, count: u32) -> CommittedRun {
    let record = |index: u32| Record {
        received: UtcMicros::from_micros(NOON + i64::from(index)),
        transport: Transport::SyslogTcp,
        peer: "10.0.0.7:514".into(),
        identity: "none".into(),
        bytes: format!("batch {batch} line {index} \u{0} \u{7530}").into_bytes().into(),
    };
    CommittedRun {
        stream: StreamName::new("syslog").unwrap(),
        batch,
        batch_salt: [batch as u8; 32],
        first_index,
        records: (first_index..first_index + count).map(record).collect(),
    }
}

/// A hash of everything that is said of a record.
pub fn leaf(batch: &BatchHead, index: u32, record: &Record) -> [u8; 32] {
    Sha256::digest(format!("{batch:?} {index} {record:?}")).into()
}

/// The hashes of a batch.
pub fn leaves(batch: &StoredBatch) -> StoredLeaves {
    let StoredBatch { batch, stream, batch_salt, records } = batch;
    let head = BatchHead { batch: *batch, stream: stream.clone(), batch_salt: *batch_salt };
    let leaf = |(index, record): &(u32, Record)| (*index, leaf(&head, *index, record));
    StoredLeaves { leaves: records.iter().map(leaf).collect(), head: head.clone() }
}

/// A run as events of `dataset`, with one more field `extra`.
pub fn events(run: &CommittedRun, dataset: &str, extra: &str) -> EventBatch {
    events_where(run, dataset, extra, |_| true)
}

pub fn events_where(
    run: &CommittedRun,
    dataset: &str,
    extra: &str,
    keep: impl Fn(u32) -> bool,
) -> EventBatch {
    let mut builder = BatchBuilder::new(dataset, dictionary());
    for (index, record) in run.indexed().filter(|(index, _)| keep(*index)) {
        builder.begin_row(run, index, record);
        builder.set("user.name", if index % 2 == 0 { "田中" } else { "sato" });
        builder.set_long("source.port", i64::from(index));
        builder.set("message", &format!("line {index}"));
        builder.set(extra, "x");
    }
    builder.finish().unwrap()
}

pub fn open(directory: &std::path::Path) -> Lake {
    let clock = ManualClock::at(UtcMicros::from_micros(NOON));
    Lake::open(directory, LakeOptions::default(), Arc::new(clock)).unwrap()
}

pub fn add(lake: &Lake, batches: impl IntoIterator<Item = u64>) {
    for batch in batches {
        lake.add(vec![events(&run(batch, 0, 10), "linux.auth", "a.b")]).unwrap();
        lake.batch_sealed(batch);
    }
}

pub async fn sql(table: EventsTable, text: &str) -> Vec<RecordBatch> {
    let context = SessionContext::new();
    context.register_table("events", Arc::new(table)).unwrap();
    context.sql(text).await.unwrap().collect().await.unwrap()
}

/// The only number of the only row.
pub async fn number(table: EventsTable, text: &str) -> i64 {
    let rows = sql(table, text).await;
    let rows = arrow::compute::concat_batches(&rows[0].schema(), &rows).unwrap();
    assert_eq!((rows.num_rows(), rows.num_columns()), (1, 1));
    let column = rows.column(0).as_primitive::<Int64Type>();
    assert!(column.is_valid(0));
    column.value(0)
}

pub fn count_of(table: EventsTable) -> impl Future<Output = i64> {
    number(table, "select count(*) from events")
}
