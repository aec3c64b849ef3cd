//! A lake with a few telling events.
#![allow(dead_code, reason = "each test file uses its share")]
#![allow(clippy::unwrap_used, reason = "a test may stop")]

pub mod house;

use arrow::array::{Array, AsArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::DataType;
use jiff::tz::TimeZone;
use std::sync::Arc;
use yagura_event::{
    BatchBuilder, CommittedRun, EventBatch, FieldDictionary, ManualClock, Record, StreamName,
    Transport, UtcMicros,
};
use yagura_lake::{Lake, LakeOptions};
use yagura_query::{Answer, Expr, QueryError, SearchRequest, Searcher, parse};

/// 2026-11-21T12:00:00Z.
pub const NOON: i64 = 1_795_262_400_000_000;

pub fn dictionary() -> Arc<FieldDictionary> {
    let text = "
        [[field]]\nname='source.port'\ntype='long'\nja='送信元ポート'\nen='Source port'
        [[field]]\nname='source.ip'\ntype='ip'\nja='送信元IP'\nen='Source IP'
        [[field]]\nname='user.name'\nja='ユーザー名'\nen='User name'
        [[field]]\nname='event.code'\nja='イベントコード'\nen='Event code'
        [[field]]\nname='never.seen'\nja='まだ無い'\nen='Never seen'
        [[field]]\nname='message'\ntype='text'\nja='本文'\nen='Message'\n";
    // What one source calls a field of its own may be what everybody calls another.
    let native = "[[field]]\nname='ユーザー名'\nja='列'\nen='Column'\n";
    Arc::new(FieldDictionary::from_files([("base", text), ("native", native)]).unwrap())
}

/// Dataset, raw text, fields.
pub type Line = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

pub const LINES: [Line; 8] = [
    (
        "windows.security",
        r#"{"EventID":4625,"TargetUserName":"田中","Path":"C:\\Windows\\System32\\cmd.exe"}"#,
        &[
            ("event.code", "4625"),
            ("user.name", "田中"),
            ("source.ip", "10.1.2.3"),
            ("source.port", "50000"),
            ("process.executable", "C:\\Windows\\System32\\cmd.exe"),
        ],
    ),
    (
        "windows.security",
        r#"{"EventID":4624,"TargetUserName":"Administrator"}"#,
        &[
            ("event.code", "4624"),
            ("user.name", "Administrator"),
            ("source.ip", "192.168.0.9"),
            ("source.port", "443"),
        ],
    ),
    (
        "linux.auth",
        "sshd[1]: Failed password for root from 2001:db8::5 port 22",
        &[
            ("user.name", "root"),
            ("source.ip", "2001:db8::5"),
            ("source.port", "22"),
            ("message", "Failed password for root from 2001:db8::5 port 22"),
        ],
    ),
    (
        "linux.auth",
        "sshd[2]: Accepted publickey for SATO from 10.9.9.9 port 2222",
        &[
            ("user.name", "SATO"),
            ("source.ip", "10.9.9.9"),
            ("source.port", "2222"),
            ("message", "Accepted publickey for SATO from 10.9.9.9 port 2222"),
        ],
    ),
    ("unknown", "基幹ｻｰﾊﾞｰで第3営業部file.xlsx を承認なしに開いた", &[]),
    ("unknown", "暗号鍵を更新 (ｶﾞｽ) 〜10", &[]),
    ("unknown", "レストランテスト 熱と力の学問 A−1", &[]),
    ("unknown", "cp932 in the message only", &[("message", "高崎㈱の￥共有")]),
];

pub fn batches(batch: u64, lines: &[Line], first: usize) -> Vec<EventBatch> {
    batches_in(&dictionary(), batch, lines, first)
}

/// The same with other fields.
pub fn batches_in(
    dictionary: &Arc<FieldDictionary>,
    batch: u64,
    lines: &[Line],
    first: usize,
) -> Vec<EventBatch> {
    let record = |line: &Line| Record {
        received: UtcMicros::from_micros(NOON),
        transport: Transport::SyslogTcp,
        peer: "10.0.0.7:514".into(),
        identity: "none".into(),
        bytes: line.1.as_bytes().to_vec().into(),
    };
    let run = CommittedRun {
        stream: StreamName::new("syslog").unwrap(),
        batch,
        batch_salt: [7; 32],
        first_index: first as u32,
        records: lines.iter().map(record).collect(),
    };
    let mut list: Vec<EventBatch> = Vec::new();
    for ((index, record), line) in run.indexed().zip(lines) {
        let mut builder = BatchBuilder::new(line.0, dictionary.clone());
        builder.begin_row(&run, index, record);
        builder.set_time(UtcMicros::from_micros(NOON + i64::from(index) * 60_000_000));
        for (name, value) in line.2 {
            builder.set(name, value);
        }
        list.extend(builder.finish());
    }
    list
}

pub fn line_batches() -> Vec<EventBatch> {
    batches(1, &LINES, 0)
}

/// A lake that holds nothing, at noon.
pub fn empty_lake(directory: &std::path::Path) -> Lake {
    let clock = ManualClock::at(UtcMicros::from_micros(NOON));
    Lake::open(directory, LakeOptions::default(), Arc::new(clock)).unwrap()
}

/// Half of the lines in files, half in memory.
pub fn lake_of(
    directory: &std::path::Path,
    dictionary: &Arc<FieldDictionary>,
    lines: &[Line],
) -> Arc<Lake> {
    let (lake, half) = (empty_lake(directory), lines.len() / 2);
    lake.add(batches_in(dictionary, 1, &lines[..half], 0)).unwrap();
    lake.batch_sealed(1);
    lake.flush(true).unwrap();
    lake.add(batches_in(dictionary, 2, &lines[half..], half)).unwrap();
    Arc::new(lake)
}

pub fn searcher(directory: &std::path::Path) -> Searcher {
    let dictionary = dictionary();
    Searcher::new(lake_of(directory, &dictionary, &LINES), dictionary).unwrap()
}

pub fn expr(text: &str) -> Expr {
    match parse(text, UtcMicros::from_micros(NOON), &TimeZone::UTC) {
        Ok(expr) => expr,
        Err(error) => panic!("{text}\n{error}"),
    }
}

pub async fn ask(searcher: &Searcher, request: SearchRequest) -> Result<Answer, QueryError> {
    searcher.search(request).await
}

/// The numbers of the lines that match, ascending.
pub async fn lines(searcher: &Searcher, text: &str) -> Vec<i64> {
    let mut request = SearchRequest::new(expr(text));
    request.columns = vec!["yagura.index".to_owned()];
    let answer = match searcher.search(request).await {
        Ok(answer) => answer,
        Err(error) => panic!("{text}\n{error}"),
    };
    let mut numbers: Vec<i64> =
        table(answer).await.into_iter().map(|row| row[0].parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

/// All cells as text, null as "-".
pub async fn table(answer: Answer) -> Vec<Vec<String>> {
    let schema = answer.schema();
    let (rows, _) = answer.collect().await.unwrap();
    let rows = concat_batches(&schema, &rows).unwrap();
    let columns: Vec<_> =
        rows.columns().iter().map(|column| cast(column, &DataType::Utf8).unwrap()).collect();
    let cell = |column: &arrow::array::ArrayRef, row: usize| match column.is_null(row) {
        true => "-".to_owned(),
        false => column.as_string::<i32>().value(row).to_owned(),
    };
    (0..rows.num_rows()).map(|row| columns.iter().map(|c| cell(c, row)).collect()).collect()
}
