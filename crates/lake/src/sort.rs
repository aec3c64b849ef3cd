//! Rows in another order, within bounded memory: what does not fit is sorted in parts, each in a
//! temporary file, and the parts are merged.
//!
//! A temporary file is one zstd stream of Arrow streams of one batch of rows each: every batch has
//! its own columns, and a file that is read needs one decompressor, not one for each column.

use crate::LakeError;
use crate::durable::UNFINISHED;
use crate::file::Order;
use crate::hot::union_schema;
use crate::limits::SORT_RUNS_MAX;
use crate::read::{corrupt, guarded, open};
use crate::sparse::{interleaved, sparse, tight_rows};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use yagura_event::columns as envelope;

/// The field that tells kinds of events apart.
const EVENT_CODE: &str = "event.code";

/// How many rows are handed on at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AtOnce {
    /// Rows.
    pub(crate) rows: usize,
    /// Bytes of their records, about.
    pub(crate) bytes: usize,
}

/// Rows of a batch of a temporary file: one such batch of every file is in memory.
const RUN: AtOnce = AtOnce { rows: 1_024, bytes: 1024 * 1024 };

/// zstd level of temporary files.
const RUN_LEVEL: i32 = 1;

/// About what one row's key takes.
const KEY_BYTES: usize = 112;

/// Tells temporary files of this process apart.
static NEXT_RUN: AtomicU64 = AtomicU64::new(0);

/// What rows are compared by.
struct Keys {
    columns: Vec<(&'static str, DataType)>,
    converter: RowConverter,
}

impl Keys {
    fn new(order: Order) -> Result<Self, LakeError> {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let mut columns = match order {
            Order::Ledger => Vec::new(),
            Order::Source => vec![
                (envelope::STREAM, DataType::Utf8),
                (EVENT_CODE, DataType::Utf8),
                (envelope::TIMESTAMP, micros),
            ],
        };
        // No two rows are equal, so the same rows always come in the same order.
        columns.extend([envelope::BATCH, envelope::INDEX].map(|name| (name, DataType::Int64)));
        let fields = columns.iter().map(|(_, kind)| SortField::new(kind.clone())).collect();
        Ok(Keys { columns, converter: RowConverter::new(fields)? })
    }

    fn of(&self, rows: &RecordBatch) -> Result<Rows, LakeError> {
        let column = |(name, kind): &(&'static str, DataType)| match rows.column_by_name(name) {
            Some(array) => cast(array, kind).map_err(LakeError::from),
            None => Ok(new_null_array(kind, rows.num_rows())),
        };
        let arrays: Vec<ArrayRef> = self.columns.iter().map(column).collect::<Result<_, _>>()?;
        Ok(self.converter.convert_columns(&arrays)?)
    }
}

/// Takes rows in any order and gives them back in one.
pub(crate) struct Sorter {
    scratch: PathBuf,
    keys: Arc<Keys>,
    bytes_max: usize,
    runs_max: usize,
    held: Vec<RecordBatch>,
    held_bytes: usize,
    /// Dictionaries that are counted in `held_bytes` already: batches of a row group share theirs.
    counted: HashSet<usize>,
    runs: Vec<Run>,
    /// The columns of all rows so far.
    schema: SchemaRef,
}

impl Sorter {
    /// Temporary files go to `scratch`; about `bytes_max` bytes of rows are kept in memory.
    pub(crate) fn new(scratch: &Path, order: Order, bytes_max: usize) -> Result<Self, LakeError> {
        Ok(Sorter {
            scratch: scratch.to_path_buf(),
            keys: Arc::new(Keys::new(order)?),
            bytes_max,
            runs_max: SORT_RUNS_MAX,
            held: Vec::new(),
            held_bytes: 0,
            counted: HashSet::new(),
            runs: Vec::new(),
            schema: Arc::new(Schema::empty()),
        })
    }

    pub(crate) fn push(&mut self, rows: &RecordBatch) -> Result<(), LakeError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        if !self.schema.contains(rows.schema_ref()) {
            let schemas = [self.schema.clone(), rows.schema()].map(RecordBatch::new_empty);
            self.schema = union_schema(schemas.iter());
        }
        let rows = sparse(rows)?;
        self.held_bytes += self.bytes_of(&rows);
        self.held.push(rows);
        if self.held_bytes >= self.bytes_max { self.spill() } else { Ok(()) }
    }

    /// Temporary files so far.
    #[cfg(test)]
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }

    fn bytes_of(&mut self, rows: &RecordBatch) -> usize {
        let mut bytes = rows.num_rows() * KEY_BYTES;
        for array in rows.columns() {
            bytes += match array.as_any_dictionary_opt() {
                Some(dictionary) => {
                    let values = dictionary.values();
                    let place = values.to_data().buffers().first().map(|b| b.as_ptr() as usize);
                    let new = place.is_none_or(|place| self.counted.insert(place));
                    let values = if new { values.get_array_memory_size() } else { 0 };
                    values + dictionary.keys().get_array_memory_size()
                }
                None => array.get_array_memory_size(),
            };
        }
        bytes
    }

    fn take_held(&mut self) -> Result<Held, LakeError> {
        let parts = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        self.counted.clear();
        let keys: Vec<Rows> =
            parts.iter().map(|part| self.keys.of(part)).collect::<Result<_, _>>()?;
        let mut order: Vec<(u32, u32)> = Vec::new();
        for (number, part) in (0u32..).zip(&parts) {
            let count = u32::try_from(part.num_rows()).unwrap_or(u32::MAX);
            order.extend((0..count).map(|row| (number, row)));
        }
        // Proof: every pair was made from a part and a row of it just above.
        order.sort_unstable_by(|a, b| {
            keys[a.0 as usize].row(a.1 as usize).cmp(&keys[b.0 as usize].row(b.1 as usize))
        });
        Ok(Held { parts, order, at: 0 })
    }

    fn spill(&mut self) -> Result<(), LakeError> {
        if self.runs.len() >= self.runs_max {
            let mut merged = self.merged()?;
            let run = self.written(&mut || merged.next_rows(RUN))?;
            self.runs.push(run);
        }
        let mut held = self.take_held()?;
        let run = self.written(&mut || held.next_rows(RUN))?;
        self.runs.push(run);
        Ok(())
    }

    /// A temporary file with these rows.
    fn written(&self, next: &mut NextRows<'_>) -> Result<Run, LakeError> {
        let number = NEXT_RUN.fetch_add(1, Ordering::Relaxed);
        let path = self.scratch.join(format!("sort-{number}{UNFINISHED}"));
        let failed = |source: io::Error| LakeError::Io { path: path.clone(), source };
        let mut run = Run { path: path.clone(), parts: 0 };
        let file = BufWriter::new(File::create(&path).map_err(failed)?);
        let mut stream = zstd::Encoder::new(file, RUN_LEVEL).map_err(failed)?;
        while let Some(rows) = next()? {
            let rows = tight_rows(&rows)?;
            let mut write = || {
                let mut part = StreamWriter::try_new(&mut stream, rows.schema_ref())?;
                part.write(&rows)?;
                part.finish()
            };
            write().map_err(|error: ArrowError| match error {
                ArrowError::IoError(_, source) => failed(source),
                other => other.into(),
            })?;
            run.parts += 1;
        }
        stream.finish().and_then(|mut file| file.flush()).map_err(failed)?;
        Ok(run)
    }

    /// All temporary files side by side.
    fn merged(&mut self) -> Result<Merged, LakeError> {
        let runs = std::mem::take(&mut self.runs);
        let mut heads = Vec::with_capacity(runs.len());
        for run in runs {
            let reader = zstd::Decoder::new(open(&run.path)?)
                .map_err(|source| LakeError::Io { path: run.path.clone(), source })?;
            let mut head = Head { run, reader, rows: None, row_bytes: 0 };
            head.load(&self.keys)?;
            heads.push(head);
        }
        Ok(Merged { keys: self.keys.clone(), heads })
    }

    /// All rows, in order.
    pub(crate) fn finish(mut self) -> Result<Sorted, LakeError> {
        let rows = match self.runs.is_empty() {
            true => SortedRows::Held(self.take_held()?),
            false => {
                if !self.held.is_empty() {
                    self.spill()?;
                }
                SortedRows::Merged(self.merged()?)
            }
        };
        Ok(Sorted { schema: self.schema, rows })
    }
}

type NextRows<'a> = dyn FnMut() -> Result<Option<RecordBatch>, LakeError> + 'a;

/// All rows, in order.
pub(crate) struct Sorted {
    schema: SchemaRef,
    rows: SortedRows,
}

enum SortedRows {
    Held(Held),
    Merged(Merged),
}

impl Sorted {
    /// The columns of all rows.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows, so many at most, with the columns in which one of them has a value.
    pub(crate) fn next_rows(&mut self, most: AtOnce) -> Result<Option<RecordBatch>, LakeError> {
        match &mut self.rows {
            SortedRows::Held(held) => held.next_rows(most),
            SortedRows::Merged(merged) => merged.next_rows(most),
        }
    }
}

/// Rows in memory.
struct Held {
    parts: Vec<RecordBatch>,
    order: Vec<(u32, u32)>,
    at: usize,
}

impl Held {
    fn next_rows(&mut self, most: AtOnce) -> Result<Option<RecordBatch>, LakeError> {
        let rest = self.order.get(self.at..).unwrap_or_default();
        let records: Vec<_> = self
            .parts
            .iter()
            .map(|part| part.column_by_name(envelope::ORIGINAL)?.as_binary_view_opt())
            .collect();
        let length = |(part, row): &(u32, u32)| {
            let records = records.get(*part as usize).copied().flatten();
            // The lower half of a view is its length.
            records.map_or(0, |records| records.views()[*row as usize] as u32 as usize)
        };
        let mut bytes = 0;
        let fits = |place: &&(u32, u32)| {
            let before = bytes;
            bytes += length(place);
            before < most.bytes
        };
        let count = rest.iter().take(most.rows).take_while(fits).count();
        let chunk = rest.get(..count).unwrap_or_default();
        if chunk.is_empty() {
            return Ok(None);
        }
        // Only the parts that rows are taken from: the others would cost without giving anything.
        let used: BTreeSet<u32> = chunk.iter().map(|(part, _)| *part).collect();
        let parts: Vec<&RecordBatch> =
            used.iter().filter_map(|part| self.parts.get(*part as usize)).collect();
        let used: Vec<u32> = used.into_iter().collect();
        let position = |part: &u32| used.binary_search(part).unwrap_or_default();
        let places: Vec<(usize, usize)> =
            chunk.iter().map(|(part, row)| (position(part), *row as usize)).collect();
        self.at += count;
        Ok(Some(interleaved(&parts, &places)?))
    }
}

/// A temporary file; it goes with this.
struct Run {
    path: PathBuf,
    /// Batches of rows that are left in it.
    parts: usize,
}

impl Drop for Run {
    fn drop(&mut self) {
        // What stays is removed when the table is opened.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where the merging is in one temporary file.
struct Head {
    run: Run,
    reader: zstd::Decoder<'static, BufReader<File>>,
    rows: Option<(RecordBatch, Rows, usize)>,
    /// Bytes of one of these records, about.
    row_bytes: usize,
}

impl Head {
    fn load(&mut self, keys: &Keys) -> Result<(), LakeError> {
        let Head { run, reader, rows, row_bytes } = self;
        *rows = None;
        if run.parts == 0 {
            return Ok(());
        }
        run.parts -= 1;
        let part = guarded(&run.path, || {
            let damaged = |error: ArrowError| corrupt(&run.path, error);
            let mut stream = StreamReader::try_new(reader, None).map_err(damaged)?;
            let part = stream.next().transpose().map_err(damaged)?;
            // To its end, where the next one begins.
            match (part, stream.next()) {
                (Some(part), None) => Ok(part),
                _ => Err(corrupt(&run.path, "it does not have one batch of rows where it should")),
            }
        })?;
        let part_keys = keys.of(&part)?;
        let records = part.column_by_name(envelope::ORIGINAL);
        let records = records.and_then(|records| records.as_binary_view_opt());
        let bytes: usize =
            records.map_or(0, |records| records.lengths().map(|length| length as usize).sum());
        *row_bytes = bytes / part.num_rows().max(1);
        *rows = Some((part, part_keys, 0));
        Ok(())
    }

    fn key(&self) -> Option<OwnedRow> {
        self.rows.as_ref().map(|(_, keys, at)| keys.row(*at).owned())
    }
}

/// Temporary files side by side.
struct Merged {
    keys: Arc<Keys>,
    heads: Vec<Head>,
}

impl Merged {
    fn next_rows(&mut self, most: AtOnce) -> Result<Option<RecordBatch>, LakeError> {
        let mut queue: std::collections::BinaryHeap<_> = self
            .heads
            .iter()
            .enumerate()
            .filter_map(|(number, head)| Some(std::cmp::Reverse((head.key()?, number))))
            .collect();
        if queue.is_empty() {
            self.heads.clear();
            return Ok(None);
        }
        // Parts that rows were taken from; a file may give several.
        let mut parts: Vec<RecordBatch> = Vec::new();
        let mut part_of = vec![None; self.heads.len()];
        let mut places: Vec<(usize, usize)> = Vec::new();
        let mut bytes = 0;
        while places.len() < most.rows && bytes < most.bytes {
            let Some(std::cmp::Reverse((_, number))) = queue.pop() else { break };
            let (Some(head), Some(part)) = (self.heads.get_mut(number), part_of.get_mut(number))
            else {
                break;
            };
            bytes += head.row_bytes;
            let Some((rows, _, at)) = &mut head.rows else { continue };
            let position = match part {
                Some(position) => *position,
                None => {
                    parts.push(rows.clone());
                    *part.insert(parts.len() - 1)
                }
            };
            places.push((position, *at));
            *at += 1;
            if *at == rows.num_rows() {
                head.load(&self.keys)?;
                *part = None;
            }
            if let Some(key) = head.key() {
                queue.push(std::cmp::Reverse((key, number)));
            }
        }
        let parts: Vec<&RecordBatch> = parts.iter().collect();
        Ok(Some(interleaved(&parts, &places)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Int64Array, StringArray, StringViewArray};
    use arrow::array::{TimestampMicrosecondArray, types};
    use arrow::datatypes::{Field, Int64Type};
    use proptest::prelude::*;

    /// Source, event code, time, batch and place in it.
    type Place = (u8, u8, i64, i64, i64);
    /// The same as it is read back, and the message.
    type Told = (Option<String>, Option<String>, i64, i64, i64, String);

    fn rows(list: &[Place], with_code: bool) -> RecordBatch {
        let word = |kind: &str, n: u8| (n > 0).then(|| format!("{kind}{n}"));
        let text = |kind: &str, of: &dyn Fn(&Place) -> u8| {
            let words: StringArray = list.iter().map(|row| word(kind, of(row))).collect();
            let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
            cast(&words, &kind).unwrap()
        };
        let long = |of: &dyn Fn(&Place) -> i64| -> ArrayRef {
            Arc::new(list.iter().map(|row| Some(of(row))).collect::<Int64Array>())
        };
        let times: TimestampMicrosecondArray = list.iter().map(|row| Some(row.2)).collect();
        let message: StringViewArray =
            list.iter().map(|row| Some(format!("{row:?} and some more words"))).collect();
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            (envelope::STREAM, text("s", &|row| row.0)),
            (envelope::TIMESTAMP, Arc::new(times.with_timezone("UTC"))),
            (envelope::BATCH, long(&|row| row.3)),
            (envelope::INDEX, long(&|row| row.4)),
            ("message", Arc::new(message)),
        ];
        if with_code {
            columns.push((EVENT_CODE, text("", &|row| row.1)));
        }
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
            .collect();
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }

    fn told(sorted: &mut Sorted) -> Vec<Told> {
        let mut all = Vec::new();
        while let Some(part) = sorted.next_rows(AtOnce { rows: 7, bytes: 1_000 }).unwrap() {
            let word = |name: &str, row: usize| {
                let column = part.column_by_name(name)?;
                let column = column.as_any().downcast_ref::<DictionaryArray<types::Int32Type>>();
                let column = column.unwrap().downcast_dict::<StringArray>().unwrap();
                column
                    .is_valid(row)
                    .then(|| arrow::array::ArrayAccessor::value(&column, row).to_owned())
            };
            let long = |name: &str| part.column_by_name(name).unwrap().as_primitive::<Int64Type>();
            let time = part.column_by_name(envelope::TIMESTAMP).unwrap();
            let time = cast(time, &DataType::Int64).unwrap();
            for row in 0..part.num_rows() {
                all.push((
                    word(envelope::STREAM, row),
                    word(EVENT_CODE, row),
                    time.as_primitive::<Int64Type>().value(row),
                    long(envelope::BATCH).value(row),
                    long(envelope::INDEX).value(row),
                    part.column_by_name("message").unwrap().as_string_view().value(row).to_owned(),
                ));
            }
        }
        all
    }

    #[test]
    fn at_the_limit_of_memory_rows_go_to_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let part = rows(&[(1, 1, 5, 1, 0), (1, 1, 4, 1, 1)], true);
        let sorter = |bytes_max: usize| {
            let mut sorter = Sorter::new(directory.path(), Order::Source, bytes_max).unwrap();
            sorter.push(&part).unwrap();
            sorter
        };
        let bytes = sorter(usize::MAX).held_bytes;
        assert_eq!(sorter(bytes + 1).runs(), 0);
        assert_eq!(sorter(bytes).runs(), 1);
    }

    #[test]
    fn temporary_files_go_when_they_are_read_or_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let left = || fs::read_dir(directory.path()).unwrap().count();
        let part = rows(&[(1, 1, 5, 1, 0), (1, 1, 4, 1, 1)], true);
        let mut sorter = Sorter::new(directory.path(), Order::Source, 1).unwrap();
        sorter.push(&part).unwrap();
        assert_eq!(left(), 1);
        drop(sorter);
        assert_eq!(left(), 0);
        let mut sorter = Sorter::new(directory.path(), Order::Source, 1).unwrap();
        sorter.push(&part).unwrap();
        let mut sorted = sorter.finish().unwrap();
        assert_eq!(told(&mut sorted).len(), 2);
        assert_eq!(left(), 0);
    }

    #[test]
    fn so_many_files_lie_side_by_side_and_then_they_become_one() {
        let directory = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(directory.path(), Order::Source, 1).unwrap();
        for time in (0..SORT_RUNS_MAX as i64).rev() {
            sorter.push(&rows(&[(1, 1, time, 1, time)], true)).unwrap();
        }
        assert_eq!(sorter.runs(), SORT_RUNS_MAX);
        sorter.push(&rows(&[(1, 1, -1, 1, SORT_RUNS_MAX as i64)], true)).unwrap();
        assert_eq!(sorter.runs(), 2);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
        let times: Vec<i64> = told(&mut sorter.finish().unwrap()).iter().map(|row| row.2).collect();
        assert_eq!(times, (-1..SORT_RUNS_MAX as i64).collect::<Vec<_>>());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn the_order_is_that_of_sorting_in_memory(
            mut list in proptest::collection::vec((1u8..4, 0u8..4, 0i64..9, 0i64..5), 1..200),
            cut in 1usize..40,
            ledger: bool,
        ) {
            let list: Vec<_> =
                (0..).zip(list.drain(..)).map(|(index, (s, c, t, b))| (s, c, t, b, index)).collect();
            // Files without the column come among files with it.
            let parts: Vec<_> = list
                .chunks(cut)
                .map(|chunk| rows(chunk, chunk.iter().any(|row| row.1 > 0)))
                .collect();
            let order = if ledger { Order::Ledger } else { Order::Source };
            let mut expected = list.clone();
            expected.sort_by_key(|row| match ledger {
                true => (0, 0, 0, row.3, row.4),
                false => *row,
            });
            for bytes_max in [usize::MAX, 1] {
                let directory = tempfile::tempdir().unwrap();
                let mut sorter = Sorter::new(directory.path(), order, bytes_max).unwrap();
                for part in &parts {
                    sorter.push(part).unwrap();
                }
                // Past so many they become one, and the next joins it.
                let files = match parts.len().checked_sub(SORT_RUNS_MAX + 1) {
                    None => parts.len(),
                    Some(more) => more % (SORT_RUNS_MAX - 1) + 2,
                };
                prop_assert_eq!(sorter.runs(), if bytes_max == 1 { files } else { 0 });
                let found: Vec<_> = told(&mut sorter.finish().unwrap());
                let wanted: Vec<_> = expected
                    .iter()
                    .map(|row| (
                        Some(format!("s{}", row.0)),
                        (row.1 > 0).then(|| row.1.to_string()),
                        row.2,
                        row.3,
                        row.4,
                        format!("{row:?} and some more words"),
                    ))
                    .collect();
                prop_assert_eq!(found, wanted);
            }
        }
    }
}
