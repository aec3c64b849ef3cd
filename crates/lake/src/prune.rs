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
use yagura_event::{UtcMicros, columns as envelope};

/// What is known of a file or piece without reading it.
pub(crate) struct Known<'a> {
    dataset: &'a str,
    time: Option<(i64, i64)>,
    /// When its rows were received, at the earliest and latest.
    received: Option<(i64, i64)>,
    batches: Option<(u64, u64)>,
    rows: u64,
}

impl<'a> From<&'a FileEntry> for Known<'a> {
    fn from(file: &'a FileEntry) -> Self {
        let ends = file.batches.first().zip(file.batches.last());
        Known {
            dataset: &file.dataset,
            time: file.time,
            // The day is that of receipt in the files that are ours.
            received: if file.sha256.is_empty() { None } else { day(&file.day) },
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
            received: None,
            batches: Some((piece.batch, piece.batch)),
            rows: piece.columns.num_rows() as u64,
        }
    }
}

/// The first and the last microsecond of a UTC day, `YYYY-MM-DD`.
fn day(text: &str) -> Option<(i64, i64)> {
    let begin = format!("{text}T00:00:00Z").parse::<UtcMicros>().ok()?.as_micros();
    Some((begin, begin.checked_add(DAY_MICROS - 1)?))
}

const DAY_MICROS: i64 = 86_400_000_000;

/// Why a file or piece is passed over. What is known is asked in this order, and the first that decides is
/// the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// Its dataset.
    Dataset,
    /// Its earliest and latest `@timestamp`, or the day of its receipt, as well.
    Time,
    /// Its batches, as well.
    Batch,
}

/// One answer per item: why it cannot hold a row for which `predicate` (over `schema`) is true; `None` for
/// one that may. A predicate that cannot be used keeps everything.
pub(crate) fn passed_over(
    predicate: Option<&Arc<dyn PhysicalExpr>>,
    schema: &SchemaRef,
    known: &[Known<'_>],
) -> Vec<Option<Cause>> {
    let mut causes = vec![None; known.len()];
    let pruning = predicate.and_then(|predicate| {
        let builder = PruningPredicateBuilder::new().with_file_schema(schema.clone());
        builder.build(predicate.clone())
    });
    let Some(pruning) = pruning else { return causes };
    for up_to in [Cause::Dataset, Cause::Time, Cause::Batch] {
        let Ok(keep) = pruning.prune(&Statistics { known, up_to }) else { continue };
        for (cause, keep) in causes.iter_mut().zip(keep) {
            if !keep {
                cause.get_or_insert(up_to);
            }
        }
    }
    causes
}

struct Statistics<'a> {
    known: &'a [Known<'a>],
    /// What is asked for last; the rest is not known.
    up_to: Cause,
}

impl Statistics<'_> {
    fn bound(&self, column: &Column, upper: bool) -> Option<ArrayRef> {
        let of = |pair: (i64, i64)| if upper { pair.1 } else { pair.0 };
        let known = self.known.iter();
        match column.name.as_str() {
            envelope::TIMESTAMP if self.up_to >= Cause::Time => {
                let times = known.map(|item| item.time.map(of));
                Some(Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone("UTC")))
            }
            envelope::INGESTED if self.up_to >= Cause::Time => {
                let times = known.map(|item| item.received.map(of));
                Some(Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone("UTC")))
            }
            envelope::BATCH if self.up_to >= Cause::Batch => {
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
        self.known.len()
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.known.iter().map(|item| item.rows))))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
