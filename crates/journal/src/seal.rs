//! Sealing: complete batches become headers, durable here, then leaves of the ledger.

use crate::core::{Core, OpenBatch, has_passed};
use crate::frame::Opening;
use crate::stats::add;
use crate::{JournalError, JournalOutput};
use std::collections::HashMap;
use std::sync::Arc;
use yagura_event::{StreamName, UtcMicros};
use yagura_ledger::{BatchHeader, Hash};

impl Core {
    /// What time brings: batches to seal, heartbeats, checkpoints, deletions.
    pub(crate) fn tick(&mut self) {
        let now = self.clock.now();
        self.close_due(now);
        self.beat(now);
        if let Err(error) = self.seal_closing() {
            tracing::warn!(%error, "batches wait to be sealed");
        }
        if has_passed(self.published_at, now, self.options.checkpoint_interval) {
            // Counted and logged there; the next tick tries again.
            let _ = self.publish(now);
        }
        self.sweep();
    }

    /// Seals the open batch of `stream`, or of every stream, and publishes a checkpoint over it.
    pub(crate) fn seal(&mut self, stream: Option<&StreamName>) -> Result<(), JournalError> {
        let mut closed = Vec::new();
        match stream {
            Some(name) => closed.extend(self.streams.get_mut(name).and_then(|s| s.open.take())),
            None => closed.extend(self.streams.values_mut().filter_map(|s| s.open.take())),
        }
        closed.sort_unstable_by_key(|open| open.batch);
        self.closing.append(&mut closed);
        self.seal_closing()?;
        self.publish(self.clock.now())
    }

    /// Writes the seals of all complete batches as one group and hands them to the ledger.
    ///
    /// Order: seal frames and `fdatasync`; append to the ledger; publish. A crash after the first
    /// leaves seals the ledger lacks: the next start appends the same headers again. A crash after
    /// the second is the same, since the ledger keeps only what was published. Segments are not
    /// deleted before the third, so no crash can lose a header.
    pub(crate) fn seal_closing(&mut self) -> Result<(), JournalError> {
        self.append_to_ledger()?;
        let seals = self.headers_due();
        if seals.is_empty() {
            return Ok(());
        }
        self.write_group(&[], &seals)?;
        let now = self.clock.now();
        self.sealed(seals, now);
        // `sealed` keeps what the ledger refuses; say so to whoever asked for the seal.
        self.append_to_ledger()
    }

    /// Headers of all complete batches, with their text. None while earlier ones still wait for
    /// the ledger: `stream_prev` names leaf indexes, which must be certain.
    pub(crate) fn headers_due(&self) -> Vec<(BatchHeader, String)> {
        if !self.unlogged.is_empty() {
            return Vec::new();
        }
        let origin = self.log.origin();
        let parser: Arc<str> = self.options.parser.as_str().into();
        let mut tails: HashMap<&StreamName, (u64, Hash)> = HashMap::new();
        let mut seals = Vec::with_capacity(self.closing.len());
        for (leaf, batch) in (self.log.size()..).zip(&self.closing) {
            let stream = &batch.opening.stream;
            let stream_prev = tails.get(stream).copied().or_else(|| self.log.stream_tail(stream));
            let opened_at = batch.opening.opened_at;
            let (first_received, last_received) = batch.received.unwrap_or((opened_at, opened_at));
            let mut header = BatchHeader {
                log: origin.clone(),
                batch: batch.batch,
                stream: stream.clone(),
                first_received,
                last_received,
                count: batch.count(),
                rejected: Default::default(),
                stream_prev,
                parser: parser.clone(),
                root: batch.tree.root(),
                continues: None,
            };
            if batch.damaged > 0 {
                header.rejected.insert("damaged".to_owned(), batch.damaged);
            }
            tails.insert(stream, (leaf, header.leaf_hash()));
            let text = header.encode();
            seals.push((header, text));
        }
        seals
    }

    /// What follows durable seals.
    pub(crate) fn sealed(&mut self, seals: Vec<(BatchHeader, String)>, now: UtcMicros) {
        if seals.is_empty() {
            return;
        }
        add(&self.shared.sealed, seals.len() as u64);
        for (header, _) in &seals {
            if let Some(stream) = self.streams.get_mut(&header.stream) {
                stream.sealed_at = now;
            }
        }
        // `headers_due` made one seal of each closing batch that was there; a group that carried
        // records may have completed more since, at the end.
        self.closing.drain(..seals.len());
        self.unlogged.extend(seals.into_iter().map(|(header, _)| header));
        // Counted and logged there; `tick` tries again.
        let _ = self.append_to_ledger();
    }

    /// Appends sealed headers to the ledger; they stay in line if it refuses.
    pub(crate) fn append_to_ledger(&mut self) -> Result<(), JournalError> {
        if self.unlogged.is_empty() {
            return Ok(());
        }
        if let Err(cause) = self.log.append(&self.unlogged) {
            return Err(self.ledger_failed(cause));
        }
        for header in self.unlogged.drain(..) {
            if header.count == 0 {
                // Nobody stores a heartbeat, so nobody will retire it.
                self.book.retired(header.batch);
            }
            self.unpublished.push(header.batch);
            self.outbox.push(JournalOutput::Sealed(header));
        }
        Ok(())
    }

    /// Publishes a checkpoint if the ledger has anything new.
    pub(crate) fn publish(&mut self, now: UtcMicros) -> Result<(), JournalError> {
        if self.unpublished.is_empty() {
            return Ok(());
        }
        self.published_at = now;
        if let Err(cause) = self.log.publish() {
            return Err(self.ledger_failed(cause));
        }
        for batch in self.unpublished.drain(..) {
            self.book.published(batch);
        }
        Ok(())
    }

    fn ledger_failed(&self, cause: Arc<str>) -> JournalError {
        add(&self.shared.ledger_failures, 1);
        tracing::error!(%cause, "the ledger does not accept sealed batches, trying again");
        JournalError::Ledger { cause }
    }

    /// Takes the batches whose time is over out of their streams.
    fn close_due(&mut self, now: UtcMicros) {
        let limit = self.options.seal_after;
        let mut due: Vec<OpenBatch> = self
            .streams
            .values_mut()
            .filter_map(|s| s.open.take_if(|o| has_passed(o.opening.opened_at, now, limit)))
            .collect();
        due.sort_unstable_by_key(|open| open.batch);
        self.closing.append(&mut due);
    }

    /// Completes an empty batch for every stream that has been silent, and forgets streams that
    /// have been so for long.
    fn beat(&mut self, now: UtcMicros) {
        let (interval, keep) = (self.options.heartbeat_interval, self.options.heartbeat_for);
        // While seals cannot be written, heartbeats must not pile up behind them.
        if !self.closing.is_empty() || !self.unlogged.is_empty() {
            return;
        }
        let mut counts = self.shared.counts();
        self.streams.retain(|name, stream| {
            let silent = stream.open.is_none() && has_passed(stream.active_at, now, keep);
            if silent {
                counts.remove(name);
            }
            !silent
        });
        drop(counts);
        let mut silent: Vec<StreamName> = self
            .streams
            .iter()
            .filter(|(_, s)| s.open.is_none() && has_passed(s.sealed_at, now, interval))
            .map(|(name, _)| name.clone())
            .collect();
        silent.sort_unstable();
        for stream in silent {
            let opening = Opening { salt: [0; 32], opened_at: now, stream };
            let batch = self.take_batch_number();
            self.closing.push(OpenBatch::new(batch, opening));
        }
    }
}
