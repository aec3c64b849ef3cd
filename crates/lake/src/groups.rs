//! Writes the row groups of a Parquet file column by column.
//!
//! Each column that is being written has an encoder, a page and a compressor of its own; for pages of
//! megabytes at a high level the compressor alone takes up to 20 MB. So the rows of a group wait in
//! memory, and then one column after the other is written. Long texts do not wait: their bytes go to
//! the column at once.

use crate::limits::{ROW_GROUP_MEMORY_BYTES, ROW_GROUP_ROWS};
use crate::sparse::{Nulls, sparse};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use std::collections::HashSet;
use std::io::Write;

/// Bounds of a row group.
#[derive(Debug, Clone, Copy)]
struct Most {
    rows: usize,
    bytes: usize,
}

/// A Parquet file that is being written.
pub(crate) struct GroupWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    /// Columns whose values do not wait.
    at_once: HashSet<usize>,
    most: Most,
    group: Option<Group>,
    groups: usize,
    nulls: Nulls,
}

/// The row group that is not finished.
struct Group {
    columns: Vec<ArrowColumnWriter>,
    /// Rows that wait, without the columns that do not.
    waiting: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl<W: Write + Send> GroupWriter<W> {
    /// For rows with the columns of `schema`; those of `at_once`, by name, hold long texts.
    pub(crate) fn new(
        to: W,
        schema: SchemaRef,
        properties: WriterProperties,
        at_once: &[&str],
    ) -> Result<Self, ParquetError> {
        let fields = schema.fields().iter().enumerate();
        let at_once = fields
            .filter(|(_, field)| at_once.contains(&field.name().as_str()))
            .filter(|(_, f)| matches!(f.data_type(), DataType::BinaryView | DataType::Utf8View))
            .map(|(position, _)| position);
        let at_once = at_once.collect();
        let writer = ArrowWriter::try_new(to, schema.clone(), Some(properties))?;
        let (file, factory) = writer.into_serialized_writer()?;
        let most = Most { rows: ROW_GROUP_ROWS, bytes: ROW_GROUP_MEMORY_BYTES };
        let (group, groups, nulls) = (None, 0, Nulls::default());
        Ok(GroupWriter { file, factory, schema, at_once, most, group, groups, nulls })
    }

    /// Adds rows, which may lack columns.
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<(), ParquetError> {
        let mut from = 0;
        while from < rows.num_rows() {
            let group = match &mut self.group {
                Some(group) => group,
                None => self.group.insert(Group {
                    columns: self.factory.create_column_writers(self.groups)?,
                    waiting: Vec::new(),
                    rows: 0,
                    bytes: 0,
                }),
            };
            let count = (rows.num_rows() - from).min(self.most.rows - group.rows);
            let part = rows.slice(from, count);
            for position in &self.at_once {
                let field = self.schema.field(*position);
                let column = part.column_by_name(field.name()).cloned();
                let column = column.unwrap_or_else(|| self.nulls.get(field.data_type(), count));
                if let Some(writer) = group.columns.get_mut(*position) {
                    write_column(writer, field, &column)?;
                }
            }
            let name = |position: &usize| part.schema_ref().field(*position).name().clone();
            let waits = |position: &usize| {
                let known = self.schema.index_of(&name(position)).ok();
                known.is_none_or(|known| !self.at_once.contains(&known))
            };
            let waiting: Vec<usize> = (0..part.num_columns()).filter(waits).collect();
            let waiting = sparse(&part.project(&waiting)?)?;
            group.bytes += waiting.get_array_memory_size();
            group.rows += count;
            group.waiting.push(waiting);
            from += count;
            if group.rows >= self.most.rows || self.in_progress() >= self.most.bytes {
                self.end_group()?;
            }
        }
        Ok(())
    }

    /// Bytes of the row group that is not finished, about.
    pub(crate) fn in_progress(&self) -> usize {
        let Some(group) = &self.group else { return 0 };
        let begun = self.at_once.iter().filter_map(|position| group.columns.get(*position));
        group.bytes + begun.map(ArrowColumnWriter::memory_size).sum::<usize>()
    }

    /// Bytes of the finished row groups.
    pub(crate) fn bytes_written(&self) -> usize {
        self.file.bytes_written()
    }

    fn end_group(&mut self) -> Result<(), ParquetError> {
        let Some(group) = self.group.take() else { return Ok(()) };
        let mut to = self.file.next_row_group()?;
        let columns = self.schema.fields().iter().zip(group.columns).enumerate();
        for (position, (field, mut writer)) in columns {
            if !self.at_once.contains(&position) {
                let kind = field.data_type();
                let arrays: Vec<Option<&ArrayRef>> =
                    group.waiting.iter().map(|part| part.column_by_name(field.name())).collect();
                // What is nowhere is written in one go.
                if arrays.iter().all(Option::is_none) {
                    write_column(&mut writer, field, &self.nulls.get(kind, group.rows))?;
                } else {
                    for (array, part) in arrays.into_iter().zip(&group.waiting) {
                        let array = array.cloned();
                        let array = array.unwrap_or_else(|| self.nulls.get(kind, part.num_rows()));
                        write_column(&mut writer, field, &array)?;
                    }
                }
            }
            writer.close()?.append_to_row_group(&mut to)?;
        }
        to.close()?;
        self.groups += 1;
        Ok(())
    }

    /// Something for the footer.
    pub(crate) fn note(&mut self, pair: KeyValue) {
        self.file.append_key_value_metadata(pair);
    }

    /// Writes the last row group and the footer.
    pub(crate) fn finish(mut self) -> Result<W, ParquetError> {
        self.end_group()?;
        self.file.into_inner()
    }
}

fn write_column(
    writer: &mut ArrowColumnWriter,
    field: &Field,
    array: &ArrayRef,
) -> Result<(), ParquetError> {
    compute_leaves(field, array)?.iter().try_for_each(|leaf| writer.write(leaf))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray, Int64Array, StringViewArray};
    use arrow::datatypes::{Int64Type, Schema};
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use std::sync::Arc;

    fn schema() -> SchemaRef {
        let field = |name: &str, kind: DataType| Field::new(name, kind, true);
        Arc::new(Schema::new(vec![
            field("n", DataType::Int64),
            field("text", DataType::Utf8View),
            field("seldom", DataType::Int64),
            field("never", DataType::Int64),
        ]))
    }

    /// So many rows; only some have the third column.
    fn rows(first: i64, count: i64, seldom: bool) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + count));
        let text = |n: i64| format!("a text of more than a few bytes, number {n}");
        let texts = StringViewArray::from_iter_values((first..first + count).map(text));
        let mut columns = vec![("n", numbers.clone()), ("text", Arc::new(texts) as ArrayRef)];
        if seldom {
            columns.push(("seldom", numbers));
        }
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn writer(most: Most) -> GroupWriter<Vec<u8>> {
        let properties = WriterProperties::default();
        let mut writer = GroupWriter::new(Vec::new(), schema(), properties, &["text"]).unwrap();
        writer.most = most;
        writer
    }

    fn groups(writer: GroupWriter<Vec<u8>>) -> Vec<i64> {
        let file = Bytes::from(writer.finish().unwrap());
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        builder.metadata().row_groups().iter().map(|group| group.num_rows()).collect()
    }

    #[test]
    fn a_group_ends_with_so_many_rows() {
        let all = Most { rows: 10, bytes: usize::MAX };
        for (counts, expected) in [
            (&[10][..], &[10][..]),
            (&[11], &[10, 1]),
            (&[4, 5], &[9]),
            (&[4, 6, 1], &[10, 1]),
            (&[25], &[10, 10, 5]),
        ] {
            let mut writer = writer(all);
            counts.iter().for_each(|count| writer.write(&rows(0, *count, true)).unwrap());
            assert_eq!(groups(writer), expected);
        }
    }

    #[test]
    fn a_group_ends_with_so_many_bytes() {
        let bytes = {
            let mut writer = writer(Most { rows: 100, bytes: usize::MAX });
            writer.write(&rows(0, 9, true)).unwrap();
            writer.in_progress()
        };
        for (bytes, expected) in [(bytes + 1, &[18][..]), (bytes, &[9, 9])] {
            let mut writer = writer(Most { rows: 100, bytes });
            // The second part is what goes over the edge, or what comes after it.
            writer.write(&rows(0, 9, true)).unwrap();
            assert_eq!(writer.group.is_none(), expected.len() == 2);
            writer.most.bytes = usize::MAX;
            writer.write(&rows(9, 9, true)).unwrap();
            assert_eq!(groups(writer), expected);
        }
    }

    #[test]
    fn columns_that_rows_lack_are_empty() {
        let mut writer = writer(Most { rows: 1_000, bytes: usize::MAX });
        writer.write(&rows(0, 3, false)).unwrap();
        writer.write(&rows(3, 2, true)).unwrap();
        writer.write(&rows(5, 1, false)).unwrap();
        let file = Bytes::from(writer.finish().unwrap());
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let read = reader.next().unwrap().unwrap();
        assert_eq!(read.schema(), schema());
        let long = |name: &str| read.column_by_name(name).unwrap().as_primitive::<Int64Type>();
        assert_eq!(long("n").values(), &[0, 1, 2, 3, 4, 5]);
        let seldom: Vec<_> = long("seldom").iter().collect();
        assert_eq!(seldom, [None, None, None, Some(3), Some(4), None]);
        assert_eq!(long("never").null_count(), 6);
        let texts = read.column_by_name("text").unwrap().as_string_view();
        assert!(texts.iter().enumerate().all(|(n, text)| text.unwrap().ends_with(&n.to_string())));
    }
}
