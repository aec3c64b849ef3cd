use std::sync::Arc;
use yagura_event::StreamName;
use yagura_ledger::{BatchHeader, Hash, LedgerError, Log};

/// What the journal asks of a ledger's log; the journal is its only writer. An error is the
/// ledger's own words.
pub trait SealLog: Send + Sync {
    /// The log's origin, stated in every header.
    fn origin(&self) -> Arc<str>;
    /// Number of headers, published or not: the leaf index of the next one.
    fn size(&self) -> u64;
    /// Every stream, with the leaf index of its newest header.
    fn streams(&self) -> Vec<(StreamName, u64)>;
    /// Leaf index and hash of the newest header of a stream.
    fn stream_tail(&self, stream: &StreamName) -> Option<(u64, Hash)>;
    /// Records in all sealed batches of a stream.
    fn stream_count(&self, stream: &StreamName) -> u64;
    /// Numbers of batches that were opened in the log's newest epoch are not below this. Others may have
    /// gone on elsewhere, so nothing is added to them.
    fn first_batch(&self) -> u64;
    /// The header at a leaf index below [`SealLog::size`].
    fn header(&self, leaf: u64) -> Result<BatchHeader, Arc<str>>;
    /// The header of a batch, if the log has one.
    fn header_of_batch(&self, batch: u64) -> Result<Option<BatchHeader>, Arc<str>>;
    /// Appends headers in order; one that is there already keeps its place. They are durable only
    /// after [`SealLog::publish`].
    fn append(&self, headers: &[BatchHeader]) -> Result<(), Arc<str>>;
    /// Makes everything appended durable under a signed checkpoint.
    fn publish(&self) -> Result<(), Arc<str>>;
}

impl SealLog for Log {
    fn origin(&self) -> Arc<str> {
        Log::origin(self).clone()
    }

    fn size(&self) -> u64 {
        Log::size(self)
    }

    fn streams(&self) -> Vec<(StreamName, u64)> {
        Log::streams(self).into_iter().map(|(name, state)| (name, state.leaf)).collect()
    }

    fn stream_tail(&self, stream: &StreamName) -> Option<(u64, Hash)> {
        Log::stream_tail(self, stream)
    }

    fn stream_count(&self, stream: &StreamName) -> u64 {
        Log::stream_count(self, stream)
    }

    fn first_batch(&self) -> u64 {
        Log::first_batch(self)
    }

    fn header(&self, leaf: u64) -> Result<BatchHeader, Arc<str>> {
        Log::header(self, leaf).map_err(words)
    }

    fn header_of_batch(&self, batch: u64) -> Result<Option<BatchHeader>, Arc<str>> {
        let leaf = Log::leaf_of_batch(self, batch).map_err(words)?;
        leaf.map(|leaf| Log::header(self, leaf).map_err(words)).transpose()
    }

    fn append(&self, headers: &[BatchHeader]) -> Result<(), Arc<str>> {
        Log::append(self, headers).map(drop).map_err(words)
    }

    fn publish(&self) -> Result<(), Arc<str>> {
        Log::publish(self).map(drop).map_err(words)
    }
}

fn words(error: LedgerError) -> Arc<str> {
    error.to_string().into()
}
