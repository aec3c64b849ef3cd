//! Gives waiting records their places in batches, before anything is written.

use crate::core::{Append, Core, OpenBatch};
use crate::frame::Opening;
use crate::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, STREAMS_MAX};
use crate::{JournalError, Receipt, ReceiptRun};
use std::collections::{HashMap, HashSet};
use yagura_event::{Record, StreamName, UtcMicros};

/// A group about to be written.
#[derive(Default)]
pub(crate) struct Stage {
    pub(crate) batches: Vec<Staged>,
    pub(crate) receipts: Vec<(crate::core::Ack, u64, Receipt)>,
    /// Where each stream's next record goes.
    current: HashMap<StreamName, usize>,
    /// Batches that this group fills.
    full: HashSet<u64>,
}

/// New records of one batch: one run, once durable.
pub(crate) struct Staged {
    pub(crate) batch: u64,
    pub(crate) opening: Opening,
    /// Whether the batch is opened by this group.
    pub(crate) is_new: bool,
    pub(crate) first_index: u32,
    pub(crate) records: Vec<Record>,
    /// Raw bytes of the whole batch, earlier groups included.
    bytes: u64,
    pub(crate) is_full: bool,
}

impl Staged {
    pub(crate) fn count(&self) -> u32 {
        // Proof: `room_for` stops at `BATCH_RECORDS_MAX`.
        self.first_index + u32::try_from(self.records.len()).unwrap_or(u32::MAX)
    }

    /// How many of `records` still fit, and their bytes. The first always fits a new batch.
    fn room_for(&self, records: &[Record]) -> (usize, u64) {
        let mut bytes = self.bytes;
        let mut fitting = 0;
        let places = (BATCH_RECORDS_MAX - self.count()) as usize;
        for record in records.iter().take(places) {
            let with_it = bytes + record.bytes.len() as u64;
            if with_it > BATCH_BYTES_MAX && (fitting > 0 || self.count() > 0) {
                break;
            }
            bytes = with_it;
            fitting += 1;
        }
        (fitting, bytes)
    }
}

impl Core {
    /// Places every request; a request that cannot be placed is refused at once.
    pub(crate) fn stage(&mut self, requests: Vec<Append>, now: UtcMicros) -> Stage {
        let mut stage = Stage::default();
        for request in requests {
            let count = request.records.len() as u64;
            let unknown = !self.streams.contains_key(&request.stream)
                && !stage.current.contains_key(&request.stream);
            if unknown && self.streams.len() + stage.current.len() >= STREAMS_MAX {
                self.refuse(request.ack, count, JournalError::TooManyStreams);
                continue;
            }
            match self.place(&mut stage, &request.stream, request.records, now) {
                Ok(receipt) => stage.receipts.push((request.ack, count, receipt)),
                // No random numbers: the journal is poisoned now, and the group will not be written.
                Err(error) => self.refuse(request.ack, count, error),
            }
        }
        stage
    }

    fn place(
        &mut self,
        stage: &mut Stage,
        stream: &StreamName,
        mut records: Vec<Record>,
        now: UtcMicros,
    ) -> Result<Receipt, JournalError> {
        let mut receipt = Receipt::default();
        while !records.is_empty() {
            let position = self.current(stage, stream, now)?;
            let staged = &mut stage.batches[position];
            let (fitting, bytes) = staged.room_for(&records);
            if fitting > 0 {
                receipt.runs.push(ReceiptRun {
                    batch: staged.batch,
                    first_index: staged.count(),
                    // Proof: at most `BATCH_RECORDS_MAX`.
                    count: u32::try_from(fitting).unwrap_or(u32::MAX),
                });
                let rest = records.split_off(fitting);
                // The usual case moves the sender's vector instead of copying from it.
                if staged.records.is_empty() {
                    staged.records = records;
                } else {
                    staged.records.append(&mut records);
                }
                staged.bytes = bytes;
                records = rest;
            }
            let is_full = staged.count() >= BATCH_RECORDS_MAX || staged.bytes >= BATCH_BYTES_MAX;
            if is_full || !records.is_empty() {
                staged.is_full = true;
                stage.full.insert(staged.batch);
                stage.current.remove(stream);
            }
        }
        Ok(receipt)
    }

    /// The staged batch that takes the stream's next record.
    fn current(
        &mut self,
        stage: &mut Stage,
        stream: &StreamName,
        now: UtcMicros,
    ) -> Result<usize, JournalError> {
        if let Some(&position) = stage.current.get(stream) {
            return Ok(position);
        }
        let open = self.streams.get(stream).and_then(|known| known.open.as_ref());
        // A batch that this group has filled is still the stream's open one until it is written.
        let open = open.filter(|open| !stage.full.contains(&open.batch));
        let staged = match open {
            Some(open) => Staged::onto(open),
            None => {
                let salt = self.segments.random()?;
                let batch = self.take_batch_number();
                let opening = Opening { salt, opened_at: now, stream: stream.clone() };
                Staged {
                    batch,
                    opening,
                    is_new: true,
                    first_index: 0,
                    records: Vec::new(),
                    bytes: 0,
                    is_full: false,
                }
            }
        };
        let position = stage.batches.len();
        stage.batches.push(staged);
        stage.current.insert(stream.clone(), position);
        Ok(position)
    }
}

impl Staged {
    fn onto(open: &OpenBatch) -> Staged {
        Staged {
            batch: open.batch,
            opening: open.opening.clone(),
            is_new: false,
            first_index: open.count(),
            records: Vec::new(),
            bytes: open.bytes,
            is_full: false,
        }
    }

    /// A record that recovery writes in the place of a lost one.
    pub(crate) fn notice(batch: u64, opening: Opening, index: u32, record: Record) -> Staged {
        Staged {
            batch,
            opening,
            is_new: false,
            first_index: index,
            records: vec![record],
            bytes: 0,
            is_full: false,
        }
    }
}
