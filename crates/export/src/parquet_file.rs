//! Rows as Parquet. The columns, and the type of each, are known when the last row has come; until
//! then the rows wait in a compressed temporary file that has no name.

use crate::limits::{
    BYTES_AT_ONCE, GROUP_BYTES, PARQUET_COLUMNS_MAX, ROWS_AT_ONCE, SPOOL_BYTES_MAX,
};
use crate::{ExportError, Row, plain};
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use yagura_event::{FieldDictionary, FieldType, columns};

/// Column of what has no column of its own: one JSON object a row.
const OVERFLOW: &str = columns::OVERFLOW;

/// Where a search puts received bytes that are not UTF-8.
const ORIGINAL_BASE64: &str = "event.original.base64";

/// Rows that wait.
pub(crate) struct Spool {
    rows: zstd::stream::write::Encoder<'static, Counted>,
    dictionary: Arc<FieldDictionary>,
    /// Columns in order of first appearance, with what their values have been so far.
    columns: Vec<(String, Seen)>,
    places: HashMap<String, usize>,
    overflow: bool,
    bytes_max: u64,
}

/// What a column's values all are, so far.
#[derive(Debug, Clone, Copy)]
struct Seen {
    integer: bool,
    number: bool,
    boolean: bool,
    instant: bool,
    any: bool,
    /// Whether the dictionary calls it a number: rows of events carry text.
    long: bool,
}

/// A file, and how much was written to it.
struct Counted {
    file: File,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Spool {
    pub(crate) fn new(
        scratch: &Path,
        dictionary: Arc<FieldDictionary>,
    ) -> Result<Self, ExportError> {
        let file = Counted { file: tempfile::tempfile_in(scratch)?, bytes: 0 };
        Ok(Spool {
            rows: zstd::stream::write::Encoder::new(file, 1)?,
            dictionary,
            columns: Vec::new(),
            places: HashMap::new(),
            overflow: false,
            bytes_max: SPOOL_BYTES_MAX,
        })
    }

    pub(crate) fn add(&mut self, row: &Row) -> Result<(), ExportError> {
        for (name, value) in row {
            if name == ORIGINAL_BASE64 {
                continue;
            }
            let place = match self.places.get(name) {
                Some(place) => *place,
                None if self.columns.len() < PARQUET_COLUMNS_MAX => {
                    let place = self.columns.len();
                    self.columns.push((name.clone(), Seen::new(name, &self.dictionary)));
                    self.places.insert(name.clone(), place);
                    place
                }
                None => {
                    self.overflow = true;
                    continue;
                }
            };
            if let Some((_, seen)) = self.columns.get_mut(place) {
                seen.value(value);
            }
        }
        serde_json::to_writer(&mut self.rows, row).map_err(std::io::Error::from)?;
        self.rows.write_all(b"\n")?;
        if self.rows.get_ref().bytes > self.bytes_max {
            return Err(ExportError::TooMuch(self.bytes_max));
        }
        Ok(())
    }

    /// Writes the file. `asked` are columns that are there even where no row has them.
    pub(crate) fn write_to<W: Write + Send>(
        self,
        out: W,
        asked: &[String],
    ) -> Result<W, ExportError> {
        let Spool { rows, dictionary, mut columns, mut places, overflow, .. } = self;
        for name in asked {
            if !places.contains_key(name) && columns.len() < PARQUET_COLUMNS_MAX {
                places.insert(name.clone(), columns.len());
                columns.push((name.clone(), Seen::new(name, &dictionary)));
            }
        }
        let kinds: Vec<(String, Kind)> =
            columns.into_iter().map(|(name, seen)| (name.clone(), seen.kind(&name))).collect();
        let mut fields: Vec<Field> =
            kinds.iter().map(|(name, kind)| Field::new(name, kind.data_type(), true)).collect();
        if overflow {
            fields.push(Field::new(OVERFLOW, DataType::Utf8, true));
        }
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_created_by(format!("yagura {}", env!("CARGO_PKG_VERSION")))
            .build();
        let mut writer = ArrowWriter::try_new(out, schema.clone(), Some(properties))?;

        let mut file = rows.finish()?.file;
        file.seek(SeekFrom::Start(0))?;
        let mut rows = BufReader::new(zstd::stream::read::Decoder::new(file)?);
        loop {
            let waiting = some_rows(&mut rows)?;
            if waiting.is_empty() {
                break;
            }
            let mut arrays: Vec<ArrayRef> =
                kinds.iter().map(|(name, kind)| kind.array(name, &waiting)).collect();
            if overflow {
                arrays.push(overflowing(&waiting, &places));
            }
            writer.write(&RecordBatch::try_new(schema.clone(), arrays)?)?;
            if writer.in_progress_size() > GROUP_BYTES {
                writer.flush()?;
            }
        }
        Ok(writer.into_inner()?)
    }
}

/// The next rows that wait, as many as are made into columns at once.
fn some_rows(rows: &mut impl BufRead) -> Result<Vec<Row>, ExportError> {
    let (mut some, mut bytes, mut line) = (Vec::new(), 0, Vec::new());
    while some.len() < ROWS_AT_ONCE && bytes < BYTES_AT_ONCE {
        line.clear();
        // A line is one row, which was in memory when it came.
        bytes += match rows.read_until(b'\n', &mut line)? {
            0 => break,
            read => read,
        };
        some.push(serde_json::from_slice(&line).map_err(std::io::Error::from)?);
    }
    Ok(some)
}

/// What of each row has no column.
fn overflowing(rows: &[Row], places: &HashMap<String, usize>) -> ArrayRef {
    let mut builder = StringBuilder::new();
    for row in rows {
        let rest: Row = row
            .iter()
            .filter(|(name, _)| !places.contains_key(*name) && *name != ORIGINAL_BASE64)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        match rest.is_empty() {
            true => builder.append_null(),
            false => builder.append_value(Value::Object(rest).to_string()),
        }
    }
    Arc::new(builder.finish())
}

impl Seen {
    fn new(name: &str, dictionary: &FieldDictionary) -> Seen {
        // What the dictionary calls an instant is text in a row, and is read as an instant.
        let kind = dictionary.field_type(name);
        let (instant, long) = (kind == FieldType::Date, kind == FieldType::Long);
        let other = !instant;
        Seen { integer: other, number: other, boolean: other, instant, any: false, long }
    }

    fn value(&mut self, value: &Value) {
        let (integer, number, boolean, instant) = match value {
            Value::Null => return,
            Value::Number(number) => (number.is_i64(), true, false, false),
            Value::Bool(_) => (false, false, true, false),
            Value::String(text) if self.long => (text.parse::<i64>().is_ok(), false, false, false),
            Value::String(text) => (false, false, false, self.instant && micros(text).is_some()),
            _ => (false, false, false, false),
        };
        self.any = true;
        self.integer &= integer;
        self.number &= number;
        self.boolean &= boolean;
        self.instant &= instant;
    }

    fn kind(self, name: &str) -> Kind {
        match self {
            _ if name == columns::ORIGINAL => Kind::Bytes,
            Seen { any: false, instant: false, .. } => Kind::Text,
            Seen { instant: true, .. } => Kind::Instant,
            Seen { integer: true, .. } => Kind::Integer,
            Seen { number: true, .. } => Kind::Number,
            Seen { boolean: true, .. } => Kind::Boolean,
            _ => Kind::Text,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    Instant,
    Bytes,
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Kind::Text => DataType::Utf8,
            Kind::Integer => DataType::Int64,
            Kind::Number => DataType::Float64,
            Kind::Boolean => DataType::Boolean,
            Kind::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Bytes => DataType::Binary,
        }
    }

    fn array(self, name: &str, rows: &[Row]) -> ArrayRef {
        let cells = rows.iter().map(|row| row.get(name));
        match self {
            Kind::Text => {
                let mut builder = StringBuilder::new();
                let text = |cell: Option<&Value>| match cell {
                    None | Some(Value::Null) => None,
                    cell => Some(plain(cell)),
                };
                cells.for_each(|cell| builder.append_option(text(cell)));
                Arc::new(builder.finish())
            }
            Kind::Integer => {
                let mut builder = Int64Builder::new();
                cells.for_each(|cell| builder.append_option(cell.and_then(integer)));
                Arc::new(builder.finish())
            }
            Kind::Number => {
                let mut builder = Float64Builder::new();
                cells.for_each(|cell| builder.append_option(cell.and_then(Value::as_f64)));
                Arc::new(builder.finish())
            }
            Kind::Boolean => {
                let mut builder = BooleanBuilder::new();
                cells.for_each(|cell| builder.append_option(cell.and_then(Value::as_bool)));
                Arc::new(builder.finish())
            }
            Kind::Instant => {
                let mut builder = TimestampMicrosecondBuilder::new().with_timezone("UTC");
                let text = |cell: Option<&Value>| micros(cell?.as_str()?);
                cells.for_each(|cell| builder.append_option(text(cell)));
                Arc::new(builder.finish())
            }
            Kind::Bytes => {
                let mut builder = BinaryBuilder::new();
                rows.iter().for_each(|row| builder.append_option(original(row)));
                Arc::new(builder.finish())
            }
        }
    }
}

/// The received bytes of an event, exactly.
fn original(row: &Row) -> Option<Vec<u8>> {
    let encoded = row.get(ORIGINAL_BASE64).and_then(Value::as_str);
    let exact = encoded.and_then(from_base64);
    exact.or_else(|| Some(row.get(columns::ORIGINAL)?.as_str()?.as_bytes().to_vec()))
}

/// The bytes that a row's `event.original.base64` stands for.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

fn integer(cell: &Value) -> Option<i64> {
    cell.as_i64().or_else(|| cell.as_str()?.parse().ok())
}

fn micros(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use serde_json::json;

    fn spool() -> Spool {
        Spool::new(&std::env::temp_dir(), Arc::new(FieldDictionary::default())).unwrap()
    }

    fn read(file: Vec<u8>) -> RecordBatch {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes_of(file)).unwrap();
        let reader = reader.build().unwrap();
        let batches: Vec<_> = reader.map(Result::unwrap).collect();
        let schema = batches[0].schema();
        arrow::compute::concat_batches(&schema, &batches).unwrap()
    }

    /// A file the reader can seek in.
    fn bytes_of(file: Vec<u8>) -> File {
        let mut copy = tempfile::tempfile().unwrap();
        copy.write_all(&file).unwrap();
        copy.seek(SeekFrom::Start(0)).unwrap();
        copy
    }

    fn row(value: Value) -> Row {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn columns_have_the_types_that_all_their_values_have() {
        let mut rows = spool();
        rows.add(&row(json!({
            "@timestamp": "2026-11-21T00:00:00.000001Z", "n": 1, "mixed": 1, "f": 1.5, "b": true,
            "event.original": "\u{fffd}a", "event.original.base64": "/2E=", "list": ["x", "y"],
        })))
        .unwrap();
        let last = json!({ "n": -2, "mixed": "two", "event.original": "text", "late": "x" });
        rows.add(&row(last)).unwrap();
        let file = rows.write_to(Vec::new(), &["asked".to_owned()]).unwrap();
        let read = read(file);
        let kinds: Vec<String> = read
            .schema()
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect();
        insta::assert_snapshot!(kinds.join("\n"), @r#"
        @timestamp Timestamp(µs, "UTC")
        n Int64
        mixed Utf8
        f Float64
        b Boolean
        event.original Binary
        list Utf8
        late Utf8
        asked Utf8
        "#);
        let column = |name: &str| read.column_by_name(name).unwrap().clone();
        assert_eq!(column("n").as_primitive::<Int64Type>().values(), &[1, -2]);
        let time = column("@timestamp").as_primitive::<TimestampMicrosecondType>().value(0);
        assert_eq!(time, 1_795_219_200_000_001);
        assert_eq!(column("mixed").as_string::<i32>().value(1), "two");
        let original = column("event.original");
        let original = original.as_binary::<i32>();
        assert_eq!((original.value(0), original.value(1)), (&b"\xffa"[..], &b"text"[..]));
    }

    #[test]
    fn names_past_the_limit_are_in_one_column() {
        for (count, overflows) in [(PARQUET_COLUMNS_MAX, false), (PARQUET_COLUMNS_MAX + 1, true)] {
            let mut rows = spool();
            let wide: Row = (0..count).map(|name| (format!("c{name}"), json!(1))).collect();
            rows.add(&wide).unwrap();
            let read = read(rows.write_to(Vec::new(), &[]).unwrap());
            let rest = read.column_by_name(OVERFLOW);
            assert_eq!(rest.is_some(), overflows, "{count}");
            if let Some(rest) = rest {
                let cell = rest.as_string::<i32>().value(0);
                assert_eq!(cell, format!("{{\"c{PARQUET_COLUMNS_MAX}\":1}}"));
            }
        }
    }

    #[test]
    fn rows_are_many_groups_and_all_there() {
        let mut rows = spool();
        let count = ROWS_AT_ONCE as i64 * 2 + 1;
        for n in 0..count {
            rows.add(&row(json!({ "n": n }))).unwrap();
        }
        let read = read(rows.write_to(Vec::new(), &[]).unwrap());
        let column = read.column(0).as_primitive::<Int64Type>().clone();
        assert!(column.values().iter().copied().eq(0..count));
    }

    #[test]
    fn rows_wait_up_to_the_limit_of_bytes() {
        // What is compressed reaches the file in blocks: one more row than fits is told in time.
        let noise = |n: u64| json!({ "x": format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) });
        let mut rows = spool();
        rows.bytes_max = 1;
        let mut refused = None;
        for n in 0..200_000 {
            if let Err(error) = rows.add(&row(noise(n))) {
                refused = Some(error);
                break;
            }
        }
        assert!(matches!(refused, Some(ExportError::TooMuch(1))));
        let mut rows = spool();
        (0..2_000).for_each(|n| rows.add(&row(noise(n))).unwrap());
    }

    #[test]
    fn no_rows_are_an_empty_file() {
        let file = spool().write_to(Vec::new(), &["a".to_owned()]).unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes_of(file)).unwrap();
        assert_eq!(builder.metadata().file_metadata().num_rows(), 0);
        assert_eq!(builder.schema().field(0).name(), "a");
    }
}
