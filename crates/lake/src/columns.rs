//! The columns of the table: names, types, and how a batch of events is fitted to them.

use crate::LakeError;
use crate::limits::TABLE_COLUMNS_MAX;
use crate::packed::HIDDEN;
use crate::provider::DATASET;
use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use yagura_event::columns as envelope;

/// Names the table uses for its partitions; no column may take them.
pub(crate) const PARTITIONS: [&str; 2] = ["dataset", "day"];

/// Type of a column, and how it lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text that repeats: `Dictionary(Int32, Utf8)`.
    Keyword,
    /// Text that rarely repeats: `Utf8View`.
    Text,
    /// 64-bit integer.
    Long,
    /// UTC instant in microseconds.
    Date,
    /// Bytes: `BinaryView`.
    Binary,
}

impl ColumnKind {
    /// The Arrow type. Views where values are long, because offsets of 32 bits would limit a
    /// batch of rows to 2 GiB of text.
    pub fn arrow(self) -> DataType {
        match self {
            ColumnKind::Keyword => {
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
            }
            ColumnKind::Text => DataType::Utf8View,
            ColumnKind::Long => DataType::Int64,
            ColumnKind::Date => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ColumnKind::Binary => DataType::BinaryView,
        }
    }

    fn of(data_type: &DataType) -> ColumnKind {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnKind::Text,
            DataType::Int64 => ColumnKind::Long,
            DataType::Timestamp(_, _) => ColumnKind::Date,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => ColumnKind::Binary,
            _ => ColumnKind::Keyword,
        }
    }
}

/// One column of the table.
#[derive(Debug, Clone)]
pub struct TableColumn {
    /// The field's name, as users know it.
    pub name: Arc<str>,
    /// Its name in Parquet and Delta; differs where Delta would refuse the name.
    pub stored_name: Arc<str>,
    /// Its type.
    pub kind: ColumnKind,
}

impl TableColumn {
    pub(crate) fn stored_field(&self) -> Field {
        Field::new(self.stored_name.as_ref(), self.kind.arrow(), true)
    }
}

/// All columns the table has or will have with the next flush, in order of first appearance.
#[derive(Debug, Clone)]
pub struct TableColumns {
    list: Vec<TableColumn>,
    by_name: HashMap<Arc<str>, usize>,
    /// Lower-case stored names: Delta does not tell `User` from `user`.
    taken: HashSet<String>,
}

impl TableColumns {
    /// The columns every event has.
    pub(crate) fn envelope() -> Self {
        let mut columns = TableColumns {
            list: Vec::new(),
            by_name: HashMap::new(),
            taken: PARTITIONS.iter().chain(&HIDDEN).map(|name| (*name).to_owned()).collect(),
        };
        for (name, kind) in ENVELOPE {
            columns.insert(name, escape(name, Escape::Illegal), kind);
        }
        columns
    }

    /// The columns, in order.
    pub fn iter(&self) -> impl Iterator<Item = &TableColumn> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Never true: the envelope is always there.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The column of a field.
    pub fn get(&self, name: &str) -> Option<&TableColumn> {
        self.by_name.get(name).and_then(|&position| self.list.get(position))
    }

    /// The column that files have under this name.
    pub(crate) fn get_stored(&self, stored_name: &str) -> Option<&TableColumn> {
        self.get(&unescape(stored_name)).filter(|column| *column.stored_name == *stored_name)
    }

    /// Whether only the overflow column could still be added.
    fn is_full(&self) -> bool {
        self.list.len() + 1 >= TABLE_COLUMNS_MAX
    }

    /// Takes a column as the table's log describes it.
    pub(crate) fn insert_stored(&mut self, stored_name: &str, kind: ColumnKind) {
        let name = unescape(stored_name);
        if self.get(&name).is_none() && !PARTITIONS.contains(&stored_name) {
            self.insert(&name, stored_name.to_owned(), kind);
        }
    }

    fn insert(&mut self, name: &str, stored_name: String, kind: ColumnKind) {
        let name: Arc<str> = name.into();
        self.taken.insert(stored_name.to_lowercase());
        self.by_name.insert(name.clone(), self.list.len());
        self.list.push(TableColumn { name, stored_name: stored_name.into(), kind });
    }

    /// The column for a field, created if there is room for it.
    fn admit(&mut self, name: &str, data_type: &DataType) -> Option<&TableColumn> {
        if let Some(&position) = self.by_name.get(name) {
            return self.list.get(position);
        }
        // One place is kept for the overflow column.
        if self.list.len() + usize::from(name != envelope::OVERFLOW) >= TABLE_COLUMNS_MAX {
            return None;
        }
        let mut stored_name = escape(name, Escape::Illegal);
        if self.taken.contains(&stored_name.to_lowercase()) {
            stored_name = escape(name, Escape::AllLetters);
        }
        // A hostile sender may even spell the escaped form of another field; that one overflows.
        if self.taken.contains(&stored_name.to_lowercase()) {
            return None;
        }
        self.insert(name, stored_name, ColumnKind::of(data_type));
        self.list.last()
    }
}

/// Fits a batch to the table's columns, growing them as needed: stored names, the table's types,
/// fields without room moved to the overflow column. `event.dataset` is dropped: the partition
/// says it.
pub(crate) fn fit(
    columns: &mut Arc<TableColumns>,
    batch: &RecordBatch,
) -> Result<RecordBatch, LakeError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    let mut overflow: Option<Overflow> = None;
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        if field.name() == DATASET {
            continue;
        }
        let known = columns.get(field.name()).cloned();
        let column = match known {
            Some(column) => Some(column),
            // Asked first, because the next step copies the whole list.
            None if columns.is_full() && field.name() != envelope::OVERFLOW => None,
            None => Arc::make_mut(columns).admit(field.name(), field.data_type()).cloned(),
        };
        match column {
            Some(column) => {
                let data_type = column.kind.arrow();
                let array = if *array.data_type() == data_type {
                    array.clone()
                } else {
                    cast(array, &data_type)?
                };
                fields.push(column.stored_field());
                arrays.push(array);
            }
            None => overflow
                .get_or_insert_with(|| Overflow::new(batch.num_rows()))
                .take(field.name(), array)?,
        }
    }
    if let Some(overflow) = overflow {
        let texts = overflow.merged_with(batch.column_by_name(envelope::OVERFLOW))?;
        let column = Arc::make_mut(columns).admit(envelope::OVERFLOW, texts.data_type()).cloned();
        let column = column.ok_or(LakeError::Envelope(envelope::OVERFLOW))?;
        match fields.iter().position(|field| *field.name() == *column.stored_name) {
            Some(position) => arrays[position] = texts,
            None => {
                fields.push(column.stored_field());
                arrays.push(texts);
            }
        }
    }
    for (name, kind) in ENVELOPE {
        let present = fields.iter().any(|f| f.name() == name && *f.data_type() == kind.arrow());
        if !present {
            return Err(LakeError::Envelope(name));
        }
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// Fields that found no column, as one JSON object per row.
struct Overflow {
    rows: Vec<serde_json::Map<String, serde_json::Value>>,
}

impl Overflow {
    fn new(rows: usize) -> Self {
        Overflow { rows: vec![serde_json::Map::new(); rows] }
    }

    fn take(&mut self, name: &str, array: &ArrayRef) -> Result<(), LakeError> {
        let texts = cast(array, &DataType::Utf8)?;
        for (row, text) in self.rows.iter_mut().zip(texts.as_string::<i32>()) {
            if let Some(text) = text {
                row.insert(name.to_owned(), text.into());
            }
        }
        Ok(())
    }

    /// What the batch had in its overflow column already stays, as it was where nothing is added.
    fn merged_with(self, earlier: Option<&ArrayRef>) -> Result<ArrayRef, LakeError> {
        let earlier = earlier.map(|array| cast(array, &DataType::Utf8)).transpose()?;
        let earlier = earlier.as_ref().map(|array| array.as_string::<i32>());
        let mut texts = Vec::with_capacity(self.rows.len());
        for (number, mut row) in self.rows.into_iter().enumerate() {
            let before = earlier
                .filter(|array: &&StringArray| array.is_valid(number))
                .map(|array| array.value(number));
            if row.is_empty() {
                texts.push(before.map(str::to_owned));
                continue;
            }
            if let Some(Ok(mut fields)) =
                before.map(serde_json::from_str::<serde_json::Map<String, serde_json::Value>>)
            {
                fields.append(&mut row);
                row = fields;
            }
            texts.push(Some(serde_json::Value::Object(row).to_string()));
        }
        let texts: DictionaryArray<Int32Type> = texts.iter().map(Option::as_deref).collect();
        Ok(Arc::new(texts))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    /// Only what Delta refuses in a name.
    Illegal,
    /// Also every letter, where the name differs from another only by case.
    AllLetters,
}

/// `%XX` per byte, for bytes that Delta refuses in a name without column mapping
/// (` ,;{}()\n\t=`), other control characters, and `%` itself.
fn escape(name: &str, which: Escape) -> String {
    let mut stored = String::with_capacity(name.len());
    for c in name.chars() {
        let illegal = matches!(c, ' ' | ',' | ';' | '{' | '}' | '(' | ')' | '=' | '%' | '`' | '"');
        let letter = which == Escape::AllLetters && (c.is_alphabetic() || !c.is_ascii());
        if illegal || letter || c.is_control() {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                stored.push_str(&format!("%{byte:02X}"));
            }
        } else {
            stored.push(c);
        }
    }
    stored
}

pub(crate) fn unescape(stored: &str) -> String {
    let bytes = stored.as_bytes();
    let mut name = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = stored.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                name.push(byte);
                at += 3;
            }
            None => {
                name.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&name).into_owned()
}

const ENVELOPE: [(&str, ColumnKind); 10] = [
    (envelope::TIMESTAMP, ColumnKind::Date),
    (envelope::INGESTED, ColumnKind::Date),
    (envelope::ORIGINAL, ColumnKind::Binary),
    (envelope::STREAM, ColumnKind::Keyword),
    (envelope::BATCH, ColumnKind::Long),
    (envelope::INDEX, ColumnKind::Long),
    (envelope::TRANSPORT, ColumnKind::Keyword),
    (envelope::PEER, ColumnKind::Keyword),
    (envelope::IDENTITY, ColumnKind::Keyword),
    (envelope::BATCH_SALT, ColumnKind::Keyword),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stored_names_are_legal_and_come_back(name in "\\PC{1,12}|[ ,;{}()=%a-zA-Z.@]{1,12}") {
            for which in [Escape::Illegal, Escape::AllLetters] {
                let stored = escape(&name, which);
                let illegal = [' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];
                prop_assert_eq!(stored.find(illegal), None);
                prop_assert_eq!(unescape(&stored), name.clone());
            }
        }
    }

    #[test]
    fn fields_cannot_take_the_names_of_hidden_columns() {
        let mut columns = TableColumns::envelope();
        for name in HIDDEN {
            let stored = columns.admit(name, &DataType::Binary).unwrap().stored_name.clone();
            assert_ne!(&*stored, name);
            assert_eq!(unescape(&stored), name);
            assert_eq!(&*columns.get_stored(&stored).unwrap().name, name);
            assert!(columns.get_stored(name).is_none());
        }
    }

    #[test]
    fn names_that_differ_by_case_or_meet_a_partition_stay_apart() {
        let mut columns = TableColumns::envelope();
        for name in ["user", "User", "day", "a b", "Größe", "GRÖSSE"] {
            let stored = columns.admit(name, &DataType::Int64).unwrap().stored_name.clone();
            assert_eq!(unescape(&stored), name);
        }
        let stored: Vec<_> = columns.iter().map(|column| &*column.stored_name).collect();
        assert!(stored.ends_with(&[
            "user",
            "%55%73%65%72",
            "%64%61%79",
            "a%20b",
            "Größe",
            "GRÖSSE"
        ]));
        // The log knows them by their stored names.
        let mut again = TableColumns::envelope();
        for column in columns.iter() {
            again.insert_stored(&column.stored_name, column.kind);
        }
        assert_eq!(
            again.get("User").unwrap().stored_name,
            columns.get("User").unwrap().stored_name
        );
        assert_eq!(again.len(), columns.len());
    }

    #[test]
    fn the_table_has_a_last_column() {
        let mut columns = TableColumns::envelope();
        let room = TABLE_COLUMNS_MAX - columns.len() - 1;
        for number in 0..room {
            assert!(columns.admit(&format!("f{number}"), &DataType::Int64).is_some());
        }
        assert!(columns.admit("one more", &DataType::Int64).is_none());
        assert!(columns.admit(envelope::OVERFLOW, &DataType::Utf8).is_some());
        assert_eq!(columns.len(), TABLE_COLUMNS_MAX);
    }
}
