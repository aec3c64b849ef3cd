//! What rebuilding saves and costs, on real logs:
//!
//! `YAGURA_CORPORA=DIR cargo run --release -p yagura-rebuild --example size -- [otrf|loghub] [SHARE]`
//!
//! `SHARE` is the part of each recording that is taken, in percent (100). The rows of each dataset are
//! sorted by source, event code and time and written as Parquet into memory, zstd 9, pages of 8 MiB. Times
//! are CPU µs per event of the one thread that works.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

#[path = "../tests/common/mod.rs"]
mod common;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{SortColumn, concat, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use common::{normalizer, rows};
use mimalloc::MiMalloc;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use std::collections::BTreeMap;
use std::sync::Arc;
use yagura_event::columns as envelope;
use yagura_rebuild::{MESSAGE, ORIGINAL, Target, pack, unpack};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const ROWS: usize = 8_192;
const PAGE_BYTES: usize = 8 * 1024 * 1024;
const GROUP_ROWS: usize = 131_072;

fn main() {
    let Some(corpora) = common::corpora() else { return };
    let mut arguments = std::env::args().skip(1);
    let which = arguments.next().unwrap_or_else(|| "otrf".to_owned());
    let share: usize = arguments.next().map_or(100, |share| share.parse().unwrap());
    let mut datasets: BTreeMap<Arc<str>, Vec<RecordBatch>> = BTreeMap::new();
    let (mut received, mut events) = (0, 0);
    let mut add = |lines: Vec<Vec<u8>>| {
        let lines = &lines[..lines.len() * share / 100];
        received += lines.iter().map(|line| line.len() + 1).sum::<usize>();
        events += lines.len();
        let mut normalizer = normalizer();
        for lines in lines.chunks(ROWS) {
            for batch in rows(&mut normalizer, lines, 0) {
                datasets.entry(batch.dataset).or_default().push(batch.columns);
            }
        }
    };
    match which.as_str() {
        "otrf" => common::otrf(&corpora, 1).for_each(&mut add),
        "loghub" => common::loghub(&corpora).for_each(&mut add),
        _ => common::evtx(&corpora).for_each(&mut add),
    }
    println!("{which}: {events} events, {received} bytes");
    let datasets: Vec<_> = datasets.into_values().map(sorted).collect();
    let without = |names: &[&str]| -> Vec<RecordBatch> {
        datasets.iter().map(|batch| drop_columns(batch, names)).collect()
    };
    let packed = |targets: &[Target]| -> Vec<RecordBatch> {
        datasets.iter().map(|batch| pack(batch, targets).unwrap()).collect()
    };
    let report = |name: &str, batches: &[RecordBatch]| {
        let (bytes, columns) = sizes(batches);
        println!("{name}: {bytes} bytes, 1/{:.1}", received as f64 / bytes as f64);
        columns
    };
    report("columns without message and raw", &without(&[envelope::ORIGINAL, "message"]));
    report("columns without raw", &without(&[envelope::ORIGINAL]));
    report("columns and raw", &datasets);
    report("columns, raw rebuilt", &packed(&[ORIGINAL]));
    let before = cpu_seconds();
    let both = packed(&[MESSAGE, ORIGINAL]);
    let encoding = cpu_seconds() - before;
    let columns = report("columns, message and raw rebuilt", &both);
    let before = cpu_seconds();
    for (batch, packed) in datasets.iter().zip(&both) {
        let whole = unpack(packed).unwrap();
        for name in [envelope::ORIGINAL, "message"] {
            assert_eq!(batch.column_by_name(name), whole.column_by_name(name));
        }
    }
    let decoding = cpu_seconds() - before;
    let before = cpu_seconds();
    drop(packed(&[ORIGINAL]));
    let raw_only = cpu_seconds() - before;
    let each = |seconds: f64| seconds * 1e6 / events as f64;
    println!(
        "CPU µs per event: raw taken apart {:.2}; message and raw taken apart {:.2}, rebuilt {:.2}",
        each(raw_only),
        each(encoding),
        each(decoding)
    );
    for (name, target) in [("raw", ORIGINAL), ("message", MESSAGE)] {
        let count = |column: &str| -> usize {
            let present = both.iter().filter_map(|batch| batch.column_by_name(column));
            present.map(|array| array.len() - array.logical_null_count()).sum()
        };
        println!("{name}: {} kept, {} rebuilt", count(target.column), count(target.template));
    }
    let mut columns: Vec<_> = columns.into_iter().collect();
    columns.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    for (name, bytes) in columns.iter().take(30) {
        println!("{bytes:>10} {name}");
    }
}

/// CPU seconds this thread has had.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// One batch of all rows, sorted by source, event code and time.
fn sorted(batches: Vec<RecordBatch>) -> RecordBatch {
    let mut fields: Vec<Arc<Field>> = Vec::new();
    for batch in &batches {
        for field in batch.schema_ref().fields() {
            if !fields.iter().any(|known| known.name() == field.name()) {
                fields.push(field.clone());
            }
        }
    }
    let column = |field: &Arc<Field>| -> ArrayRef {
        let parts: Vec<ArrayRef> = batches
            .iter()
            .map(|batch| match batch.column_by_name(field.name()) {
                Some(array) => array.clone(),
                None => new_null_array(field.data_type(), batch.num_rows()),
            })
            .collect();
        concat(&parts.iter().map(|part| &**part).collect::<Vec<_>>()).unwrap()
    };
    let arrays = fields.iter().map(column).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let by = ["host.name", "event.code", "process.name", "@timestamp"];
    let by = by.iter().filter_map(|name| batch.column_by_name(name).cloned());
    let by: Vec<_> = by.map(|values| SortColumn { values, options: None }).collect();
    take_record_batch(&batch, &lexsort_to_indices(&by, None).unwrap()).unwrap()
}

fn drop_columns(batch: &RecordBatch, names: &[&str]) -> RecordBatch {
    let fields = batch.schema_ref().fields().iter().enumerate();
    let kept = fields.filter(|(_, field)| !names.contains(&field.name().as_str()));
    let kept: Vec<_> = kept.map(|(at, _)| at).collect();
    batch.project(&kept).unwrap()
}

/// Bytes of Parquet, and of each column in it.
fn sizes(batches: &[RecordBatch]) -> (usize, BTreeMap<String, i64>) {
    let (mut bytes, mut columns) = (0, BTreeMap::new());
    for batch in batches {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(9).unwrap()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_data_page_size_limit(PAGE_BYTES)
            .set_data_page_row_count_limit(GROUP_ROWS)
            .set_dictionary_page_size_limit(PAGE_BYTES);
        for field in batch.schema_ref().fields() {
            let path = ColumnPath::new(vec![field.name().clone()]);
            properties = match field.data_type() {
                DataType::Timestamp(_, _) | DataType::Int64 => properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
                DataType::Utf8 | DataType::Binary | DataType::BinaryView => {
                    properties.set_column_dictionary_enabled(path, false)
                }
                _ => properties,
            };
        }
        let mut writer =
            ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
        writer.write(batch).unwrap();
        let metadata = writer.finish().unwrap();
        for group in metadata.row_groups() {
            for column in group.columns() {
                *columns.entry(column.column_path().string()).or_default() +=
                    column.compressed_size();
            }
        }
        bytes += writer.inner().len();
    }
    (bytes, columns)
}
