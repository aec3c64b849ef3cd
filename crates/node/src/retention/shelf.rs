//! What is kept of each stream, batch by batch: read once from the ledger's headers and kept up.

use crate::NodeError;
use std::collections::HashMap;
use yagura_event::{StreamName, UtcMicros};
use yagura_ledger::Log;

/// A sealed batch with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) batch: u64,
    /// Its stream, by the number of [`Shelf::streams`].
    pub(crate) stream: u32,
    pub(crate) records: u32,
    pub(crate) first: UtcMicros,
    pub(crate) last: UtcMicros,
}

/// Every batch that has records and was not deleted, in the order of the ledger.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    streams: Vec<StreamName>,
    numbers: HashMap<StreamName, u32>,
    batches: Vec<Kept>,
    /// Leaves that were read.
    walked: u64,
}

impl Shelf {
    /// Reads the headers that came since; those that `is_gone` are left out.
    pub(crate) fn read(
        &mut self,
        log: &Log,
        is_gone: impl Fn(&StreamName, u64) -> bool,
    ) -> Result<(), NodeError> {
        for leaf in self.walked..log.size() {
            let header = log.header(leaf)?;
            self.walked = leaf + 1;
            if header.count == 0 || is_gone(&header.stream, header.batch) {
                continue;
            }
            let next = u32::try_from(self.streams.len()).unwrap_or(u32::MAX);
            let stream = *self.numbers.entry(header.stream.clone()).or_insert(next);
            if stream == next {
                self.streams.push(header.stream.clone());
            }
            self.batches.push(Kept {
                batch: header.batch,
                stream,
                records: header.count,
                first: header.first_received,
                last: header.last_received,
            });
        }
        Ok(())
    }

    /// Forgets batches that are gone.
    pub(crate) fn forget(&mut self, is_gone: impl Fn(u64) -> bool) {
        self.batches.retain(|kept| !is_gone(kept.batch));
    }

    /// Every stream with its number.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (u32, &StreamName)> {
        (0..).zip(&self.streams)
    }

    pub(crate) fn batches(&self) -> &[Kept] {
        &self.batches
    }

    /// The batches of a stream, by number.
    pub(crate) fn of(&self, stream: &StreamName) -> Vec<Kept> {
        let Some(number) = self.numbers.get(stream) else { return Vec::new() };
        let of = |kept: &&Kept| kept.stream == *number;
        let mut batches: Vec<Kept> = self.batches.iter().filter(of).copied().collect();
        batches.sort_unstable_by_key(|kept| kept.batch);
        batches
    }
}

/// Runs of `chosen` among all batches of a stream, both ascending: a run ends where a batch comes that
/// is not chosen, so that a range never covers one that stays, or one that is missing unexplained.
pub(crate) fn ranges(all: &[Kept], chosen: &[Kept]) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut chosen = chosen.iter().map(|kept| kept.batch).peekable();
    let mut goes_on = false;
    for batch in all.iter().map(|kept| kept.batch) {
        if chosen.next_if_eq(&batch).is_none() {
            goes_on = false;
            continue;
        }
        match ranges.last_mut().filter(|_| goes_on) {
            Some((_, last)) => *last = batch,
            None => ranges.push((batch, batch)),
        }
        goes_on = true;
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_covers_only_what_goes() {
        let kept = |batch: u64| Kept {
            batch,
            stream: 0,
            records: 1,
            first: UtcMicros::default(),
            last: UtcMicros::default(),
        };
        let batches = |numbers: &[u64]| numbers.iter().copied().map(kept).collect::<Vec<_>>();
        let all = batches(&[1, 4, 6, 9, 12, 30]);
        for (chosen, expected) in [
            (&[1u64, 4, 6, 9, 12, 30][..], vec![(1, 30)]),
            (&[1, 4, 9, 12], vec![(1, 4), (9, 12)]),
            (&[6], vec![(6, 6)]),
            (&[], vec![]),
            (&[1, 6, 12], vec![(1, 1), (6, 6), (12, 12)]),
        ] {
            assert_eq!(ranges(&all, &batches(chosen)), expected, "{chosen:?}");
        }
    }
}
