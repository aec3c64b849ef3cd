use std::time::Duration;

/// How a journal behaves. The defaults are those of `yagura serve`.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// Raw bytes that may wait to be written before senders are held back. Default 64 MiB.
    pub queue_bytes: usize,
    /// How long a commit may wait for company when many senders are active. Default 2 ms.
    pub commit_delay: Duration,
    /// A batch is sealed this long after it was opened. Default 10 s.
    pub seal_after: Duration,
    /// At most one checkpoint per this time, when there is something new. Default 10 s.
    pub checkpoint_interval: Duration,
    /// A silent stream gets an empty batch this often, which proves that nothing was deleted.
    /// Default 5 min.
    pub heartbeat_interval: Duration,
    /// A stream is silent for good after this time. Default 1 day.
    pub heartbeat_for: Duration,
    /// A new segment is begun when one has reached this size. Default 64 MiB.
    pub segment_bytes: u64,
    /// Keep every segment for ever: the audit journal. Default false.
    pub retain_all: bool,
    /// Version of the parsers in use, stated in each batch header.
    pub parser: String,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            queue_bytes: 64 * 1024 * 1024,
            commit_delay: Duration::from_millis(2),
            seal_after: Duration::from_secs(10),
            checkpoint_interval: Duration::from_secs(10),
            heartbeat_interval: Duration::from_secs(300),
            heartbeat_for: Duration::from_secs(24 * 3_600),
            segment_bytes: 64 * 1024 * 1024,
            retain_all: false,
            parser: "none".to_owned(),
        }
    }
}
