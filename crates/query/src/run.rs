//! A planned question put together: other searches are asked first, then the steps follow each other.

use crate::QueryError;
use crate::beside_steps::{Beside, Other};
use crate::limits::{JOIN_BYTES_MAX, JOIN_ROWS_MAX, SECONDS_MAX};
use crate::matched::Matched;
use crate::notice::Notices;
use crate::plan::column;
use crate::searcher::Inner;
use crate::step::{Planned, Source, Step};
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::Expr as Condition;
use datafusion::prelude::SessionContext;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use yagura_lake::EventsTable;

/// The column with the number of the other row, while it is needed; no field is called so.
const ROW: &str = "yagura.step.row";

/// What the parts of one question share.
pub(crate) struct Run<'r> {
    pub(crate) inner: &'r Inner,
    context: &'r SessionContext,
    table: &'r EventsTable,
    pub(crate) notices: &'r Notices,
    /// What is asked before the question itself must be answered by then.
    pub(crate) until: Instant,
}

impl<'r> Run<'r> {
    pub(crate) fn new(
        inner: &'r Inner,
        context: &'r SessionContext,
        table: &'r EventsTable,
        notices: &'r Notices,
    ) -> Self {
        let until = Instant::now() + Duration::from_secs(SECONDS_MAX);
        Run { inner, context, table, notices, until }
    }

    pub(crate) fn too_long(&self) -> QueryError {
        QueryError::Timeout(SECONDS_MAX)
    }

    /// The rows of a planned search. `counted`: whether what is read of files counts as that of the
    /// question.
    pub(crate) fn frame(
        &self,
        planned: Planned,
        counted: bool,
    ) -> BoxFuture<'_, Result<DataFrame, QueryError>> {
        // Boxed, since searches are nested.
        Box::pin(async move {
            let narrow = planned.events(self.table);
            let read = |counted: bool| {
                let narrow = if counted { narrow.clone() } else { narrow.clone().uncounted() };
                self.context.read_table(Arc::new(narrow))
            };
            let frame = match planned.source {
                Source::Events => read(counted)?,
                Source::Acts(parts) => {
                    let mut frames = Vec::with_capacity(parts.len());
                    for (number, list) in parts.into_iter().enumerate() {
                        // The files are the same for each part.
                        let frame = read(counted && number == 0)?;
                        frames.push(self.apply(frame, list).await?);
                    }
                    self.context.read_batch(self.acts(frames).await?)?
                }
            };
            self.apply(frame, planned.list).await
        })
    }

    /// Takes the steps one after the other.
    pub(crate) async fn apply(
        &self,
        mut frame: DataFrame,
        list: Vec<Step>,
    ) -> Result<DataFrame, QueryError> {
        for step in list {
            frame = match step {
                Step::Beside(beside) => self.beside(frame, *beside).await?,
                step => step.apply(frame)?,
            };
        }
        Ok(frame)
    }

    async fn beside(&self, frame: DataFrame, beside: Beside) -> Result<DataFrame, QueryError> {
        let Beside { other, keys, inner } = beside;
        let rows = match other {
            Other::List(rows) => rows,
            Other::Search { planned, keys, output } => {
                let frame = self.frame(planned, false).await?;
                let schema = Arc::new(frame.schema().as_arrow().clone());
                let (batches, cut) = self.collect(frame, JOIN_ROWS_MAX, JOIN_BYTES_MAX).await?;
                if cut {
                    self.tell_join_cut(batches.iter().map(RecordBatch::num_rows).sum());
                }
                let failed =
                    |error: arrow::error::ArrowError| QueryError::Failed(error.to_string());
                let rows = concat_batches(&schema, &batches).map_err(failed)?;
                let missing = |name: &str| QueryError::Failed(format!("no column {name}"));
                let array =
                    |name: &str| rows.column_by_name(name).cloned().ok_or_else(|| missing(name));
                let keys = keys.iter().map(|name| array(name)).collect::<Result<Vec<_>, _>>()?;
                let mut columns: Vec<(String, ArrayRef)> = Vec::with_capacity(output.len());
                for name in output {
                    let array = array(&name)?;
                    columns.push((name, array));
                }
                Matched::by_values(&keys, columns)?
            }
        };
        let mut frame = Step::With(ROW.to_owned(), rows.finder().call(keys)).apply(frame)?;
        if inner {
            frame = frame.filter(Condition::IsNotNull(Box::new(column(ROW))))?;
        }
        let replaced = |name: &str| rows.takers().any(|(new, _)| new == name);
        let kept = frame.schema().columns().into_iter();
        let kept = kept.filter(|column| column.name != ROW && !replaced(&column.name));
        let mut columns: Vec<Condition> = kept.map(Condition::Column).collect();
        for (name, taker) in rows.takers() {
            columns.push(taker.call(vec![column(ROW)]).alias(name));
        }
        Ok(frame.select(columns)?)
    }

    fn tell_join_cut(&self, rows: usize) {
        self.notices.tell(
            true,
            format!(
                "only the first {rows} rows of the search in brackets were looked at: narrow it, or \
                 make fewer rows with stats or dedup"
            ),
            format!(
                "[ ] の中の検索は最初の{rows}行だけを使いました。条件を絞るか、stats や dedup で行を減らしてください"
            ),
        );
    }

    /// The first rows, and whether there are more.
    pub(crate) async fn collect(
        &self,
        frame: DataFrame,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<(Vec<RecordBatch>, bool), QueryError> {
        let gathering = AssertUnwindSafe(gather(frame, rows_max, bytes_max)).catch_unwind();
        let gathered = tokio::time::timeout_at(self.until, gathering).await;
        let gathered = gathered.map_err(|_| self.too_long())?;
        // A panic of a decoder on a damaged file becomes an error.
        gathered.map_err(|_| {
            QueryError::Failed("a stored file is damaged; run yagura verify".to_owned())
        })?
    }
}

/// What the values of a batch take, wherever they lie.
fn bytes_of(batch: &RecordBatch) -> usize {
    let of_column = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
    batch.columns().iter().map(of_column).sum()
}

async fn gather(
    frame: DataFrame,
    rows_max: usize,
    bytes_max: usize,
) -> Result<(Vec<RecordBatch>, bool), QueryError> {
    let mut stream = frame.execute_stream().await?;
    let (mut all, mut rows, mut bytes) = (Vec::new(), 0usize, 0usize);
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        if rows + batch.num_rows() > rows_max {
            all.push(batch.slice(0, rows_max - rows));
            return Ok((all, true));
        }
        let mut part = batch.clone();
        while part.num_rows() > 0 && bytes_of(&part) > bytes_max - bytes {
            part = part.slice(0, part.num_rows() / 2);
        }
        if part.num_rows() < batch.num_rows() {
            all.push(part);
            return Ok((all, true));
        }
        bytes += bytes_of(&batch);
        rows += batch.num_rows();
        all.push(batch);
    }
    Ok((all, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;

    #[tokio::test]
    async fn rows_are_gathered_up_to_the_limits_and_it_is_known_that_there_are_more() {
        let context = SessionContext::new();
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
        let batch = RecordBatch::try_from_iter([("name", names)]).unwrap();
        let bytes = bytes_of(&batch);
        for (rows_max, bytes_max, rows, cut) in [
            (3, usize::MAX, 3, false),
            (2, usize::MAX, 2, true),
            (0, usize::MAX, 0, true),
            (3, bytes, 3, false),
            (3, bytes - 1, 1, true),
            (3, 0, 0, true),
        ] {
            let frame = context.read_batch(batch.clone()).unwrap();
            let (found, is_cut) = gather(frame, rows_max, bytes_max).await.unwrap();
            let found: usize = found.iter().map(RecordBatch::num_rows).sum();
            assert_eq!((found, is_cut), (rows, cut), "{rows_max} {bytes_max}");
        }
    }
}
