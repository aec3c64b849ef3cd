use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Which segments may go: the oldest ones whose every batch is published in the ledger and
/// retired by whoever stores the records.
#[derive(Default)]
pub(crate) struct Book {
    segments: BTreeMap<u64, BTreeSet<u64>>,
    batches: HashMap<u64, BatchState>,
}

#[derive(Default)]
struct BatchState {
    /// In how many of the segments it appears.
    segments: usize,
    published: bool,
    retired: bool,
}

impl Book {
    pub(crate) fn add_segment(&mut self, number: u64) {
        self.segments.entry(number).or_default();
    }

    /// Notes that a frame of `batch` is in segment `number`.
    pub(crate) fn mention(&mut self, number: u64, batch: u64) {
        if self.segments.entry(number).or_default().insert(batch) {
            self.batches.entry(batch).or_default().segments += 1;
        }
    }

    pub(crate) fn published(&mut self, batch: u64) {
        if let Some(state) = self.batches.get_mut(&batch) {
            state.published = true;
        }
    }

    /// Unknown batches are ignored: their segments are gone already.
    pub(crate) fn retired(&mut self, batch: u64) {
        if let Some(state) = self.batches.get_mut(&batch) {
            state.retired = true;
        }
    }

    /// The oldest segment, if it may be deleted.
    pub(crate) fn deletable(&self) -> Option<u64> {
        let (&number, batches) = self.segments.first_key_value()?;
        let newest = self.segments.len() == 1;
        let done = |batch| self.batches.get(batch).is_some_and(|s| s.published && s.retired);
        (!newest && batches.iter().all(done)).then_some(number)
    }

    /// Forgets a segment that was deleted.
    pub(crate) fn deleted(&mut self, number: u64) {
        for batch in self.segments.remove(&number).unwrap_or_default() {
            if let Some(state) = self.batches.get_mut(&batch) {
                state.segments -= 1;
                if state.segments == 0 {
                    self.batches.remove(&batch);
                }
            }
        }
    }

    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_go_oldest_first_and_only_when_every_batch_is_stored() {
        let mut book = Book::default();
        for (segment, batch) in [(1, 10), (1, 11), (2, 11), (3, 12)] {
            book.mention(segment, batch);
        }
        book.published(10);
        book.retired(10);
        book.retired(11);
        assert_eq!(book.deletable(), None, "11 is not in a published checkpoint");
        book.published(11);
        assert_eq!(book.deletable(), Some(1));
        book.deleted(1);
        assert_eq!(book.deletable(), Some(2));
        book.deleted(2);
        book.published(12);
        book.retired(12);
        assert_eq!(book.deletable(), None, "the newest stays");
        assert_eq!(book.batches.len(), 1);
    }
}
