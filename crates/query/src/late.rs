//! The first events of an order, without the texts of all the others.
//!
//! Compacted files rebuild received bytes and messages from other columns, which costs more than all
//! else of a row. So the places of the wanted events are found first, by the columns that the question
//! and the order need, and then those events alone are read whole.

use crate::QueryError;
use crate::limits::{LATE_ROWS_MAX, SECONDS_MAX};
use crate::plan::column;
use crate::running::{Phase, Running};
use crate::step::Step;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::logical_expr::{Expr as Condition, lit};
use datafusion::prelude::DataFrame;
use futures::FutureExt;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use yagura_event::{UtcMicros, columns as envelope};
use yagura_lake::EventsTable;

/// More than the records of any batch: a place as one number.
const INDEXES: i64 = 1 << 16;

/// Whether so many events of this answer are worth finding first.
pub(crate) fn pays(table: &EventsTable, needed: &BTreeSet<String>, rows: usize) -> bool {
    are_few(rows) && table.rebuilds(needed.iter().map(String::as_str))
}

fn are_few(rows: usize) -> bool {
    rows <= LATE_ROWS_MAX
}

/// What holds for the events that `frame` has after `steps`, of `rows` after the first `skip`, and for no
/// others.
///
/// # Errors
/// [`QueryError::Timeout`] when finding them takes too long; what DataFusion refuses.
pub(crate) async fn chosen(
    mut frame: DataFrame,
    steps: Vec<Step>,
    (skip, rows): (usize, usize),
    table: &EventsTable,
    running: &Running,
) -> Result<Condition, QueryError> {
    for step in steps {
        frame = step.apply(frame)?;
    }
    let place = [envelope::BATCH, envelope::INDEX, envelope::TIMESTAMP];
    let frame = frame.select(place.map(column).to_vec())?.limit(skip, Some(rows))?;
    running.scans(table.watch());
    running.enter(Phase::Running);
    let found = AssertUnwindSafe(frame.collect()).catch_unwind();
    let found = tokio::time::timeout(Duration::from_secs(SECONDS_MAX), found).await;
    let found = found.map_err(|_| QueryError::Timeout(SECONDS_MAX))?;
    let found = found.map_err(|_| QueryError::Failed("a stored file is damaged".to_owned()))??;
    places(&found)
}

fn places(found: &[RecordBatch]) -> Result<Condition, QueryError> {
    let failed = |error: arrow::error::ArrowError| QueryError::Failed(error.to_string());
    let (mut batches, mut indexes, mut both) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    // `None` as soon as an event has no time.
    let mut times = Some((i64::MAX, i64::MIN));
    for rows in found {
        let [batch, index, time] = [0, 1, 2].map(|at| cast(rows.column(at), &DataType::Int64));
        let (batch, index, time) =
            (batch.map_err(failed)?, index.map_err(failed)?, time.map_err(failed)?);
        let (batch, index) = (batch.as_primitive::<Int64Type>(), index.as_primitive::<Int64Type>());
        let time = time.as_primitive::<Int64Type>();
        for row in 0..rows.num_rows() {
            let (batch, index) = (batch.value(row), index.value(row));
            batches.insert(batch);
            indexes.insert(index);
            both.insert(batch.wrapping_mul(INDEXES).wrapping_add(index));
            times = times
                .filter(|_| time.is_valid(row))
                .map(|(first, last)| (first.min(time.value(row)), last.max(time.value(row))));
        }
    }
    if both.is_empty() {
        return Ok(lit(false));
    }
    let listed = |set: BTreeSet<i64>| set.into_iter().map(lit).collect::<Vec<_>>();
    let place = column(envelope::BATCH) * lit(INDEXES) + column(envelope::INDEX);
    // The first conditions pass over files and row groups, the last chooses rows.
    let mut condition = column(envelope::BATCH)
        .in_list(listed(batches), false)
        .and(column(envelope::INDEX).in_list(listed(indexes), false))
        .and(place.in_list(listed(both), false));
    if let Some((first, last)) = times {
        let time = column(envelope::TIMESTAMP);
        let [first, last] =
            [first, last].map(|at| crate::plan::timestamp(UtcMicros::from_micros(at)));
        condition = time.clone().gt_eq(first).and(time.lt_eq(last)).and(condition);
    }
    Ok(condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_so_many_rows_are_found_first_and_of_no_more() {
        assert!(are_few(LATE_ROWS_MAX));
        assert!(!are_few(LATE_ROWS_MAX + 1));
    }
}
