use serde_json::Value;

/// Where the desk's decisions are made durable: the audit journal.
pub trait AuditLog: Send + Sync {
    /// Appends each entry as one audit record (its JSON bytes), in order, and returns once all are
    /// durable. Calls of one thread after another keep their order.
    ///
    /// # Errors
    /// [`AuditError`] when it is not certain that all entries are durable; the desk then takes none
    /// of them as done.
    fn append(&self, entries: Vec<Value>) -> Result<(), AuditError>;
}

/// The audit log took no entry.
#[derive(Debug, thiserror::Error)]
#[error("audit log: {reason}")]
pub struct AuditError {
    /// What stands in the way, in the log's own words.
    pub reason: String,
}
