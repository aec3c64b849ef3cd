//! Which files and hot pieces a query need not look at, by what is known of them in memory.

use crate::columns::ColumnKind;
use crate::file::FileEntry;
use crate::hot::Piece;
use crate::provider::DATASET;
use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use std::collections::HashSet;
use std::sync::Arc;
use yagura_event::columns as envelope;

/// What is known of a file or piece without reading it.
pub(crate) struct Known<'a> {
    dataset: &'a str,
    time: Option<(i64, i64)>,
    batches: Option<(u64, u64)>,
    rows: u64,
}

impl<'a> From<&'a FileEntry> for Known<'a> {
    fn from(file: &'a FileEntry) -> Self {
        let ends = file.batches.first().zip(file.batches.last());
        Known {
            dataset: &file.dataset,
            time: file.time,
            batches: ends.map(|(first, last)| (first.batch, last.batch)),
            rows: file.rows,
        }
    }
}

impl<'a> From<&'a Piece> for Known<'a> {
    fn from(piece: &'a Piece) -> Self {
        Known {
            dataset: &piece.dataset,
            time: piece.time,
            batches: Some((piece.batch, piece.batch)),
            rows: piece.columns.num_rows() as u64,
        }
    }
}

/// One answer per item: whether it may hold a row for which `predicate` (over `schema`) is true.
/// A predicate that cannot be used keeps everything.
pub(crate) fn may_match(
    predicate: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    known: &[Known<'_>],
) -> Vec<bool> {
    PruningPredicateBuilder::new()
        .with_file_schema(schema.clone())
        .build(predicate.clone())
        .and_then(|pruning| pruning.prune(&Statistics(known)).ok())
        .unwrap_or_else(|| vec![true; known.len()])
}

struct Statistics<'a>(&'a [Known<'a>]);

impl Statistics<'_> {
    fn bound(&self, column: &Column, upper: bool) -> Option<ArrayRef> {
        let of = |pair: (i64, i64)| if upper { pair.1 } else { pair.0 };
        let known = self.0.iter();
        match column.name.as_str() {
            envelope::TIMESTAMP => {
                let times = known.map(|item| item.time.map(of));
                Some(Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone("UTC")))
            }
            envelope::BATCH => {
                let batches = known.map(|item| {
                    let (first, last) = item.batches?;
                    Some(of((i64::try_from(first).ok()?, i64::try_from(last).ok()?)))
                });
                Some(Arc::new(Int64Array::from_iter(batches)))
            }
            DATASET => {
                let datasets = StringArray::from_iter_values(known.map(|item| item.dataset));
                cast(&datasets, &ColumnKind::Keyword.arrow()).ok()
            }
            _ => None,
        }
    }
}

impl PruningStatistics for Statistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, false)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, true)
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.0.iter().map(|item| item.rows))))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
