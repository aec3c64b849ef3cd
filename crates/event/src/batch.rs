use crate::column::{Column, ColumnIndex, NumberColumn, Size, ValueKey};
use crate::limits::{COLUMNS_PER_DATASET_MAX, FIELD_NAME_BYTES_MAX};
use crate::{CommittedRun, FieldDictionary, FieldType, Record, StreamName, Transport, UtcMicros};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field as ArrowField, FieldRef, Schema};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::Arc;

/// Names of the columns that every [`EventBatch`] has.
pub mod columns {
    /// When it happened, by the source's clock (UTC, µs); [`INGESTED`] where the source gave none.
    pub const TIMESTAMP: &str = "@timestamp";
    /// When we received it (UTC, µs).
    pub const INGESTED: &str = "event.ingested";
    /// The received bytes, exactly (binary).
    pub const ORIGINAL: &str = "event.original";
    /// Stream name (keyword).
    pub const STREAM: &str = "yagura.stream";
    /// Batch number (64-bit integer).
    pub const BATCH: &str = "yagura.batch";
    /// Index within the batch (64-bit integer).
    pub const INDEX: &str = "yagura.index";
    /// [`crate::Transport`] word (keyword).
    pub const TRANSPORT: &str = "yagura.transport";
    /// [`crate::Record::peer`] (keyword).
    pub const PEER: &str = "yagura.peer";
    /// [`crate::Record::identity`] (keyword).
    pub const IDENTITY: &str = "yagura.identity";
    /// The batch's salt, 64 hexadecimal digits (keyword).
    pub const BATCH_SALT: &str = "yagura.batch_salt";
    /// Fields past the column limit, one JSON object per row (keyword); present when needed.
    pub const OVERFLOW: &str = "yagura.overflow";
    /// Why decoding fell short, a short English reason (keyword); present when needed.
    pub const PARSE_ERROR: &str = "yagura.parse_error";
    /// The header of the file that explains the row's columns (keyword); present when needed.
    pub const LAYOUT: &str = "yagura.layout";
}

/// Events of one dataset as Arrow columns: keyword columns are `Dictionary(Int32, Utf8)`.
#[derive(Debug, Clone)]
pub struct EventBatch {
    /// The dataset, such as `windows.security`.
    pub dataset: Arc<str>,
    /// The columns: those of [`columns`] first, then the rest in order of first appearance.
    pub columns: RecordBatch,
}

impl EventBatch {
    /// Number of events.
    pub fn rows(&self) -> usize {
        self.columns.num_rows()
    }
}

/// Where a record came from and which place it has: everything but its bytes, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The stream.
    pub stream: &'a StreamName,
    /// The batch within the stream.
    pub batch: u64,
    /// The index within the batch.
    pub index: u32,
    /// See [`CommittedRun::batch_salt`].
    pub batch_salt: &'a [u8; 32],
    /// When we received it.
    pub received: UtcMicros,
    /// How it came.
    pub transport: Transport,
    /// See [`Record::peer`].
    pub peer: &'a str,
    /// See [`Record::identity`].
    pub identity: &'a str,
}

impl<'a> Origin<'a> {
    /// Of `record`, which is number `index` of the batch of `run`.
    pub fn of(run: &'a CommittedRun, index: u32, record: &'a Record) -> Self {
        Origin {
            stream: &run.stream,
            batch: run.batch,
            index,
            batch_salt: &run.batch_salt,
            received: record.received,
            transport: record.transport,
            peer: &record.peer,
            identity: &record.identity,
        }
    }
}

/// Builds an [`EventBatch`] row by row: [`BatchBuilder::begin_row`], then any number of sets.
pub struct BatchBuilder {
    dataset: Arc<str>,
    dictionary: Arc<FieldDictionary>,
    hasher: RandomState,
    names: Vec<Arc<str>>,
    by_name: HashMap<Arc<str>, usize, RandomState>,
    columns: Vec<Column>,
    overflow: Vec<(String, String)>,
    /// The salt of the newest row and its hexadecimal digits: a run shares one.
    salt: ([u8; 32], String),
    rows: usize,
    /// The columns of the batch before: most come again.
    before: HashMap<Arc<str>, Before, RandomState>,
}

/// A column of the batch before.
struct Before {
    field: FieldRef,
    /// How large it was: what to make room for.
    size: Size,
}

/// Columns of the envelope, in the order [`BatchBuilder::new`] creates them.
const ENVELOPE: [&str; 10] = [
    columns::TIMESTAMP,
    columns::INGESTED,
    columns::ORIGINAL,
    columns::STREAM,
    columns::BATCH,
    columns::INDEX,
    columns::TRANSPORT,
    columns::PEER,
    columns::IDENTITY,
    columns::BATCH_SALT,
];

impl BatchBuilder {
    /// An empty builder. Column types come from `dictionary`; unknown names are keywords.
    pub fn new(dataset: &str, dictionary: Arc<FieldDictionary>) -> Self {
        let mut builder = BatchBuilder {
            dataset: dataset.into(),
            dictionary,
            hasher: RandomState::default(),
            names: Vec::new(),
            by_name: HashMap::default(),
            columns: Vec::new(),
            overflow: Vec::new(),
            salt: ([0; 32], hex(&[0; 32])),
            rows: 0,
            before: HashMap::default(),
        };
        for name in ENVELOPE {
            builder.add_column(name);
        }
        builder
    }

    /// Rows begun so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Starts the row of `record`, which is number `index` of its batch: fills the envelope
    /// columns, with `@timestamp` equal to the time of receipt until [`BatchBuilder::set_time`].
    pub fn begin_row(&mut self, run: &CommittedRun, index: u32, record: &Record) {
        self.begin(&Origin::of(run, index, record), Some(&record.bytes));
    }

    /// Like [`BatchBuilder::begin_row`], of a record that is not kept in memory. Without
    /// `original` the row has no `event.original`.
    pub fn begin(&mut self, origin: &Origin<'_>, original: Option<&[u8]>) {
        self.flush_overflow();
        self.rows += 1;
        let rows = self.rows;
        let received = Some(origin.received.as_micros());
        if self.salt.0 != *origin.batch_salt {
            self.salt = (*origin.batch_salt, hex(origin.batch_salt));
        }
        let salt = &self.salt.1;
        for (position, column) in self.columns.iter_mut().take(ENVELOPE.len()).enumerate() {
            let word = match (position, column) {
                (0 | 1, Column::Date(column)) => {
                    column.push(received);
                    continue;
                }
                (2, Column::Binary(column)) => {
                    column.push(original);
                    continue;
                }
                (4, Column::Long(column)) => {
                    column.push(i64::try_from(origin.batch).ok());
                    continue;
                }
                (5, Column::Long(column)) => {
                    column.push(Some(i64::from(origin.index)));
                    continue;
                }
                (3, Column::Keyword(column)) => (column, origin.stream.as_str()),
                (6, Column::Keyword(column)) => (column, origin.transport.as_str()),
                (7, Column::Keyword(column)) => (column, origin.peer),
                (8, Column::Keyword(column)) => (column, origin.identity),
                (9, Column::Keyword(column)) => (column, salt.as_str()),
                (_, column) => {
                    column.pad(rows);
                    continue;
                }
            };
            word.0.push(word.1);
        }
    }

    /// The column called `name`, created if needed. `None` when the batch is full
    /// ([`COLUMNS_PER_DATASET_MAX`]) or the name too long: use [`BatchBuilder::set`], which
    /// then writes to the overflow column.
    pub fn column(&mut self, name: &str) -> Option<ColumnIndex> {
        if let Some(&position) = self.by_name.get(name) {
            return Some(ColumnIndex(position));
        }
        // One place is kept free for the overflow column itself.
        let full = self.columns.len() + 1 >= COLUMNS_PER_DATASET_MAX;
        if full || name.is_empty() || name.len() > FIELD_NAME_BYTES_MAX {
            return None;
        }
        Some(ColumnIndex(self.add_column(name)))
    }

    /// Sets field `name` of the current row; a second value for the same field replaces the first.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.column(name) {
            Some(column) => {
                self.set_at(column, value);
            }
            None => self.overflow.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Like [`BatchBuilder::set`] for a column already looked up. A value that does not fit the
    /// column's type (a number column given text) becomes null; the raw bytes keep it.
    ///
    /// Answers the value's key where the column is a keyword, for [`BatchBuilder::set_key_at`].
    #[inline]
    pub fn set_at(&mut self, column: ColumnIndex, value: &str) -> Option<ValueKey> {
        let (slot, again) = self.newest(column)?;
        match slot {
            Column::Keyword(keyword) if again => return keyword.replace_last(value),
            Column::Keyword(keyword) => return keyword.push(value),
            Column::Text(bytes) | Column::Binary(bytes) if !again => {
                bytes.push(Some(value.as_bytes()));
            }
            Column::Long(numbers) => put(numbers, again, value.trim().parse().ok()),
            Column::Date(dates) => {
                put(dates, again, value.parse::<UtcMicros>().ok().map(UtcMicros::as_micros));
            }
            // A text may be long, and what follows it cannot move; the first value stays.
            Column::Text(_) | Column::Binary(_) => {}
        }
        None
    }

    /// Sets a keyword column to a value it has had in this batch, without looking at the text.
    #[inline]
    pub fn set_key_at(&mut self, column: ColumnIndex, key: ValueKey) {
        if let Some((Column::Keyword(keyword), again)) = self.newest(column) {
            keyword.put_key(key, again);
        }
    }

    /// Sets a number.
    pub fn set_long(&mut self, name: &str, value: i64) {
        let column = self.column(name);
        match column.and_then(|column| self.newest(column)) {
            Some((Column::Long(numbers), again)) => put(numbers, again, Some(value)),
            _ => self.set(name, &value.to_string()),
        }
    }

    /// Sets `@timestamp` of the current row.
    pub fn set_time(&mut self, instant: UtcMicros) {
        if let Some(Column::Date(times)) = self.columns.first_mut() {
            times.replace_last(Some(instant.as_micros()));
        }
    }

    /// The finished batch, or `None` without rows. The builder is empty again and keeps nothing.
    pub fn finish(&mut self) -> Option<EventBatch> {
        self.flush_overflow();
        let rows = std::mem::take(&mut self.rows);
        if rows == 0 {
            return None;
        }
        let mut fields = Vec::with_capacity(self.columns.len());
        let mut arrays = Vec::with_capacity(self.columns.len());
        let mut before = std::mem::take(&mut self.before);
        for (name, mut column) in self.names.drain(..).zip(self.columns.drain(..)) {
            column.pad(rows);
            let size = column.size();
            let array = column.finish();
            let known = before.remove(&name).map(|before| before.field);
            let field = known.unwrap_or_else(|| {
                Arc::new(ArrowField::new(name.as_ref(), array.data_type().clone(), true))
            });
            fields.push(field.clone());
            arrays.push(array);
            self.before.insert(name, Before { field, size });
        }
        self.by_name.clear();
        for name in ENVELOPE {
            self.add_column(name);
        }
        let columns = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .unwrap_or_else(|error| unreachable!("columns are padded to one length: {error}"));
        Some(EventBatch { dataset: self.dataset.clone(), columns })
    }

    /// A column with all rows before the current one, and whether it has a value for that already.
    #[inline]
    fn newest(&mut self, column: ColumnIndex) -> Option<(&mut Column, bool)> {
        let slot = self.columns.get_mut(column.0)?;
        let again = slot.len() == self.rows;
        if !again {
            slot.pad(self.rows.saturating_sub(1));
        }
        Some((slot, again))
    }

    fn add_column(&mut self, name: &str) -> usize {
        let position = self.columns.len();
        let (name, column) = match self.before.get_key_value(name) {
            Some((name, before)) => {
                let kind = before.field.data_type();
                (name.clone(), Column::new(kind, &self.hasher, before.size))
            }
            None => {
                let kind = match name {
                    columns::ORIGINAL => DataType::Binary,
                    _ => self.dictionary.field_type(name).arrow(),
                };
                (name.into(), Column::new(&kind, &self.hasher, Size::default()))
            }
        };
        self.columns.push(column);
        self.by_name.insert(name.clone(), position);
        self.names.push(name);
        position
    }

    /// Writes the fields that found no column as one JSON object.
    fn flush_overflow(&mut self) {
        if self.overflow.is_empty() {
            return;
        }
        let mut json = String::from("{");
        for (number, (name, value)) in self.overflow.drain(..).enumerate() {
            if number > 0 {
                json.push(',');
            }
            push_json_string(&mut json, &name);
            json.push(':');
            push_json_string(&mut json, &value);
        }
        json.push('}');
        let position = match self.by_name.get(columns::OVERFLOW) {
            Some(&position) => position,
            None => self.add_column(columns::OVERFLOW),
        };
        self.set_at(ColumnIndex(position), &json);
    }
}

impl FieldType {
    /// The Arrow type of a column of this type.
    pub fn arrow(self) -> DataType {
        use arrow::datatypes::TimeUnit;
        match self {
            FieldType::Keyword | FieldType::Ip => {
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
            }
            FieldType::Text => DataType::Utf8,
            FieldType::Long => DataType::Int64,
            FieldType::Date => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            FieldType::Binary => DataType::Binary,
        }
    }
}

fn put(numbers: &mut NumberColumn, again: bool, value: Option<i64>) {
    if again { numbers.replace_last(value) } else { numbers.push(value) }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Proof: writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn push_json_string(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            c if c.is_control() => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StreamName, Transport};
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Int32Type, Int64Type};

    fn run(lines: &[&str]) -> CommittedRun {
        let record = |line: &&str| Record {
            received: UtcMicros::from_micros(1_000_000),
            transport: Transport::SyslogTcp,
            peer: "10.0.0.7:514".into(),
            identity: "none".into(),
            bytes: line.as_bytes().to_vec().into(),
        };
        CommittedRun {
            stream: StreamName::new("syslog").unwrap(),
            batch: 7,
            batch_salt: [1; 32],
            first_index: 3,
            records: lines.iter().map(record).collect(),
        }
    }

    fn dictionary() -> Arc<FieldDictionary> {
        let text =
            "[[field]]\nname='source.port'\ntype='long'\nja='送信元ポート'\nen='Source port'\n";
        Arc::new(FieldDictionary::from_toml(text).unwrap())
    }

    #[test]
    fn fields_may_come_and_go_between_rows() {
        let run = run(&["a", "b", "c"]);
        let mut builder = BatchBuilder::new("unknown", dictionary());
        for (index, record) in run.indexed() {
            builder.begin_row(&run, index, record);
            if index != 4 {
                builder.set("user.name", "田中");
            }
            if index == 5 {
                builder.set("user.name", "佐藤");
                builder.set_long("source.port", 22);
                builder.set_time(UtcMicros::from_micros(5));
            }
        }
        let batch = builder.finish().unwrap();
        assert_eq!(batch.rows(), 3);
        let users = batch.columns.column_by_name("user.name").unwrap();
        let users = users.as_dictionary::<Int32Type>().downcast_dict::<arrow::array::StringArray>();
        let users: Vec<_> = users.unwrap().into_iter().collect();
        assert_eq!(users, [Some("田中"), None, Some("佐藤")]);
        let ports = batch.columns.column_by_name("source.port").unwrap();
        assert_eq!(ports.as_primitive::<Int64Type>().value(2), 22);
        assert!(ports.is_null(0));
        let index = batch.columns.column_by_name(columns::INDEX).unwrap();
        assert_eq!(index.as_primitive::<Int64Type>().values(), &[3, 4, 5]);
        let raw = batch.columns.column_by_name(columns::ORIGINAL).unwrap();
        assert_eq!(raw.as_binary::<i32>().value(1), b"b");
        assert!(builder.finish().is_none());
    }

    #[test]
    fn a_value_can_be_set_again_by_its_key() {
        let run = run(&["a", "b", "c", "d"]);
        let mut builder = BatchBuilder::new("unknown", dictionary());
        for batch in 0..2 {
            let mut key = None;
            for (index, record) in run.indexed() {
                builder.begin(&Origin::of(&run, index, record), None);
                let users = builder.column("user.name").unwrap();
                match (index, key) {
                    (3, _) => key = builder.set_at(users, "田中"),
                    (4, _) => assert_ne!(builder.set_at(users, "佐藤"), key),
                    (5, _) => {}
                    (_, Some(key)) => {
                        builder.set_at(users, "replaced");
                        builder.set_key_at(users, key);
                    }
                    (_, None) => unreachable!("the first row set it"),
                }
            }
            // A key of nothing in this batch is nobody's value.
            builder.begin(&Origin::of(&run, 9, &run.records[0]), None);
            let users = builder.column("user.name").unwrap();
            builder.set_key_at(users, ValueKey(7));
            let batch_made = builder.finish().unwrap();
            let column = |name| batch_made.columns.column_by_name(name).unwrap();
            let users = column("user.name").as_dictionary::<Int32Type>();
            let users = users.downcast_dict::<arrow::array::StringArray>().unwrap();
            let users: Vec<_> = users.into_iter().collect();
            let expected = [Some("田中"), Some("佐藤"), None, Some("田中"), None];
            assert_eq!(users, expected, "batch {batch}");
            assert_eq!(column(columns::ORIGINAL).null_count(), 5);
        }
    }

    #[test]
    fn a_small_batch_after_a_large_one_holds_little() {
        let run = run(&["a"]);
        let mut builder = BatchBuilder::new("unknown", dictionary());
        let mut finish = |rows: usize| {
            for number in 0..rows {
                builder.begin_row(&run, 3, &run.records[0]);
                builder.set("user.name", &format!("user {number}"));
                builder.set("source.port", "22");
            }
            builder.finish().unwrap().columns.get_array_memory_size()
        };
        let fresh = finish(1);
        finish(5_000);
        assert!(finish(1) <= fresh * 2, "{fresh}");
    }

    #[test]
    fn fields_past_the_limit_overflow_and_are_kept() {
        for fields in [COLUMNS_PER_DATASET_MAX - 1 - ENVELOPE.len(), COLUMNS_PER_DATASET_MAX] {
            let run = run(&["a"]);
            let mut builder = BatchBuilder::new("unknown", dictionary());
            builder.begin_row(&run, 3, &run.records[0]);
            for number in 0..fields {
                builder.set(&format!("f{number}"), "x\"\n");
            }
            let batch = builder.finish().unwrap();
            let overflow = batch.columns.column_by_name(columns::OVERFLOW);
            assert!(batch.columns.num_columns() <= COLUMNS_PER_DATASET_MAX);
            if fields == COLUMNS_PER_DATASET_MAX {
                let overflow = overflow.unwrap().as_dictionary::<Int32Type>();
                let text = overflow.values().as_string::<i32>().value(0);
                assert!(text.contains(r#""f1023":"x\"\u000a""#), "{text}");
            } else {
                assert!(overflow.is_none());
            }
        }
    }
}
