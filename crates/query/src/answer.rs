use crate::QueryError;
use crate::limits::SECONDS_MAX;
use crate::notice::{Notice, Notices};
use crate::places::Place;
use crate::running::Running;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::{FutureExt, Stream, StreamExt};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use yagura_lake::{ScanCounts, ScanWatch, Unread};

/// The rows of an answer as they are found. Dropping it ends the query.
#[derive(Debug)]
pub struct Answer {
    schema: SchemaRef,
    rows: mpsc::Receiver<Result<RecordBatch, QueryError>>,
    truncated: Arc<AtomicBool>,
    cancelled: Arc<AtomicBool>,
    scans: ScanWatch,
    notices: Notices,
}

impl Answer {
    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Whether the limit cut the answer: there are more rows. Final once the stream has ended.
    pub fn truncated(&self) -> bool {
        self.truncated.load(Ordering::Acquire)
    }

    /// How many files, row groups and rows were looked at, and what was passed over and why. Final once
    /// the stream has ended.
    pub fn scanned(&self) -> ScanCounts {
        self.scans.counts()
    }

    /// What there is to know about it beside its rows, such as what a limit left out.
    pub fn notices(&self) -> Vec<Notice> {
        self.notices.all()
    }

    /// Files that could not be read: the answer is what the others have. Final once the stream has ended.
    pub fn unread(&self) -> Vec<Unread> {
        self.scans.unread()
    }

    /// The hand on its scans, for who takes the rows and asks then.
    pub fn scans(&self) -> ScanWatch {
        self.scans.clone()
    }

    /// All rows, and whether there would be more.
    pub async fn collect(mut self) -> Result<(Vec<RecordBatch>, bool), QueryError> {
        let mut all = Vec::new();
        while let Some(rows) = self.next().await {
            all.push(rows?);
        }
        Ok((all, self.truncated()))
    }
}

impl Stream for Answer {
    type Item = Result<RecordBatch, QueryError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.rows.poll_recv(context) {
            // Told once, after the rows that were there before.
            Poll::Ready(None) if self.cancelled.swap(false, Ordering::AcqRel) => {
                Poll::Ready(Some(Err(QueryError::Cancelled)))
            }
            next => next,
        }
    }
}

/// Where a running query puts its rows.
pub(crate) struct Rows {
    sender: mpsc::Sender<Result<RecordBatch, QueryError>>,
    truncated: Arc<AtomicBool>,
    cancelled: Arc<AtomicBool>,
}

pub(crate) fn answer(
    schema: SchemaRef,
    scans: ScanWatch,
    notices: Notices,
    ahead: usize,
) -> (Answer, Rows) {
    let (sender, rows) = mpsc::channel(ahead);
    let truncated = Arc::new(AtomicBool::new(false));
    let cancelled = Arc::new(AtomicBool::new(false));
    let answer = Answer {
        schema,
        rows,
        truncated: truncated.clone(),
        cancelled: cancelled.clone(),
        scans,
        notices,
    };
    (answer, Rows { sender, truncated, cancelled })
}

impl Rows {
    /// Sends rows until the end, the limit, the time or the reader says stop. A panic of a decoder
    /// on a damaged file becomes an error. While the reader has enough, others have the place.
    pub(crate) async fn send_all(
        self,
        mut rows: impl Stream<Item = datafusion::error::Result<RecordBatch>> + Unpin,
        limit: usize,
        running: &Running,
        mut place: Place,
    ) {
        // Only the time the query itself takes counts, not that of a slow reader.
        let mut time_left = Duration::from_secs(SECONDS_MAX);
        let mut left = limit;
        loop {
            let asked = tokio::time::Instant::now();
            let next = AssertUnwindSafe(rows.next()).catch_unwind();
            let next = tokio::select! {
                biased;
                // Nobody reads any more: a search that finds nothing would go on for long.
                () = self.sender.closed() => return,
                () = running.cancelled() => {
                    self.cancelled.store(true, Ordering::Release);
                    return;
                }
                next = tokio::time::timeout(time_left, next) => next,
            };
            time_left = time_left.saturating_sub(asked.elapsed());
            let next = match next {
                Err(_) => Err(QueryError::Timeout(SECONDS_MAX)),
                Ok(Err(_)) => Err(QueryError::Failed(
                    "a stored file is damaged; run yagura verify".to_owned(),
                )),
                Ok(Ok(None)) => return,
                Ok(Ok(Some(Err(error)))) => Err(error.into()),
                Ok(Ok(Some(Ok(rows)))) => Ok(rows),
            };
            let (part, end) = match next {
                Err(error) => (Err(error), true),
                Ok(rows) if rows.num_rows() > left => {
                    self.truncated.store(true, Ordering::Release);
                    (Ok(rows.slice(0, left)), true)
                }
                Ok(rows) => {
                    left -= rows.num_rows();
                    (Ok(rows), false)
                }
            };
            running.found(part.as_ref().map_or(0, RecordBatch::num_rows));
            let empty = matches!(&part, Ok(rows) if rows.num_rows() == 0);
            if !empty {
                let sent = match self.sender.try_send(part) {
                    Ok(()) => true,
                    Err(TrySendError::Closed(_)) => false,
                    Err(TrySendError::Full(part)) => {
                        self.wait_for_reader(part, running, &mut place).await
                    }
                };
                if !sent {
                    return;
                }
            }
            if end {
                return;
            }
        }
    }
    /// Hands on what the reader has no room for yet; `false` when it is to end. A reader that is slow, or
    /// waits, keeps no cancelled search at work, and nobody else from theirs.
    async fn wait_for_reader(
        &self,
        part: Result<RecordBatch, QueryError>,
        running: &Running,
        place: &mut Place,
    ) -> bool {
        place.lend();
        let sent_and_on = async {
            let sent = self.sender.send(part).await.is_ok();
            tokio::select! {
                biased;
                () = self.sender.closed() => false,
                () = place.take_again() => sent,
            }
        };
        tokio::select! {
            sent = sent_and_on => sent,
            () = running.cancelled() => {
                self.cancelled.store(true, Ordering::Release);
                false
            }
        }
    }
}
