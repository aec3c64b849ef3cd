use crate::sources::StreamSettings;
use std::sync::Arc;
use yagura_event::{Clock, Record, StreamName};
use yagura_intake::import::{ImportSink, Written};
use yagura_intake::{RecordSink, SinkError};
use yagura_journal::{Journal, JournalError};

/// The events journal, as intake sees it.
#[derive(Clone)]
pub struct JournalSink {
    journal: Journal,
    clock: Arc<dyn Clock>,
    settings: StreamSettings,
}

impl JournalSink {
    pub(crate) fn new(journal: Journal, clock: Arc<dyn Clock>, settings: StreamSettings) -> Self {
        JournalSink { journal, clock, settings }
    }

    /// The clock records are stamped with.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

impl ImportSink for JournalSink {
    fn append(&self, stream: &StreamName, records: Vec<Record>) -> Result<(), SinkError> {
        self.journal.append(stream, records).map(|_| ()).map_err(refused)
    }

    fn stream_records(&self, stream: &StreamName) -> Result<u64, SinkError> {
        Ok(self.journal.stream_records(stream))
    }

    fn describe(&self, stream: &StreamName, written: &Written) -> Result<(), SinkError> {
        let now = self.clock.now();
        self.settings.describe(stream, written, now).map_err(SinkError::Failed)
    }

    fn seal(&self, stream: &StreamName) -> Result<(), SinkError> {
        self.journal.seal(stream).map_err(refused)
    }
}

impl RecordSink for JournalSink {
    async fn append(&self, stream: StreamName, records: Vec<Record>) -> Result<(), SinkError> {
        self.journal.append_async(&stream, records).await.map(|_| ()).map_err(refused)
    }

    async fn try_append(&self, stream: StreamName, records: Vec<Record>) -> Result<(), SinkError> {
        self.journal.try_append_async(&stream, records).await.map(|_| ()).map_err(refused)
    }
}

fn refused(error: JournalError) -> SinkError {
    match error {
        JournalError::Full => SinkError::Full,
        full @ JournalError::DiskFull { .. } => SinkError::DiskFull(full.words()),
        other => SinkError::Closed(other.words()),
    }
}
