//! Judges batches that were stored anew by the roots they were sealed with.

use crate::limits::HASHERS_MAX;
use std::collections::HashMap;
use yagura_event::{Lang, Record};
use yagura_lake::{BatchHead, StoredLeaves};
use yagura_ledger::{Hash, LeafHasher, Log, verify_leaves};

/// What the leaves of a batch share, for the batches that came last.
#[derive(Default)]
pub(crate) struct Hashers(HashMap<u64, (BatchHead, LeafHasher)>);

impl Hashers {
    pub(crate) fn leaf(&mut self, batch: &BatchHead, index: u32, record: &Record) -> [u8; 32] {
        let number = batch.batch;
        if self.0.len() >= HASHERS_MAX && !self.0.contains_key(&number) {
            self.0.clear();
        }
        let new = || (batch.clone(), LeafHasher::new(&batch.stream, number, &batch.batch_salt));
        let (head, hasher) = self.0.entry(number).or_insert_with(new);
        if head != batch {
            (*head, *hasher) = new();
        }
        hasher.hash(index, record).0
    }
}

/// Judges a batch by the root it was sealed with.
///
/// # Errors
/// Why it is not what was received.
pub(crate) fn verify_stored(log: &Log, batch: &StoredLeaves) -> Result<(), String> {
    let leaf = log.leaf_of_batch(batch.head.batch).map_err(|error| error.to_string())?;
    let leaf = leaf.ok_or("the ledger has no header of it")?;
    let header = log.header(leaf).map_err(|error| error.to_string())?;
    if header.stream != batch.head.stream {
        return Err(format!("it was of the stream {}", header.stream));
    }
    let leaves = batch.leaves.iter().map(|(index, leaf)| (*index, Hash(*leaf)));
    verify_leaves(&header, leaves).map_err(|finding| {
        let place = finding.index.map(|index| format!("index {index}: "));
        format!("{}{}", place.unwrap_or_default(), finding.problem.sentence(Lang::En))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_event::{StreamName, Transport, UtcMicros};
    use yagura_ledger::event_leaf_hash;

    #[test]
    fn so_many_hashers_are_kept_and_each_hashes_for_its_batch() {
        let record = Record {
            received: UtcMicros::from_micros(7),
            transport: Transport::SyslogTcp,
            peer: "192.0.2.1:514".into(),
            identity: "none".into(),
            bytes: b"a line".to_vec().into(),
        };
        let head = |batch: u64, salt: u8| BatchHead {
            batch,
            stream: StreamName::new("syslog").unwrap(),
            batch_salt: [salt; 32],
        };
        let mut hashers = Hashers::default();
        let mut check = |head: BatchHead, index: u32| {
            let leaf = hashers.leaf(&head, index, &record);
            let BatchHead { batch, stream, batch_salt } = head;
            let expected = event_leaf_hash(&stream, batch, index, &record, &batch_salt);
            assert_eq!(Hash(leaf), expected);
            hashers.0.len()
        };
        for batch in 0..HASHERS_MAX as u64 {
            assert_eq!(check(head(batch, 1), 3), batch as usize + 1);
        }
        assert_eq!(check(head(0, 2), 4), HASHERS_MAX, "what a row says of its batch counts");
        assert_eq!(check(head(HASHERS_MAX as u64, 1), 5), 1);
    }
}
