use crate::finding::{Finding, Problem};
use crate::{BatchHeader, BatchTree, Hash, LeafHasher};
use std::borrow::Borrow;
use yagura_event::Record;

/// Checks the records of one batch, in order of index, against its header. The root alone cannot
/// tell which record was changed, but a missing, added or displaced one is named by its index.
///
/// # Errors
/// The first thing wrong; its `file` is empty, see [`Finding::in_file`].
pub fn verify_batch<R: Borrow<Record>>(
    header: &BatchHeader,
    batch_salt: &[u8; 32],
    records: impl IntoIterator<Item = (u32, R)>,
) -> Result<(), Finding> {
    let mut hasher = LeafHasher::new(&header.stream, header.batch, batch_salt);
    let leaf = |(index, record): (u32, R)| (index, hasher.hash(index, record.borrow()));
    verify_leaves(header, records.into_iter().map(leaf))
}

/// [`verify_batch`] for records that were hashed before: [`LeafHasher::hash`].
///
/// # Errors
/// As there.
pub fn verify_leaves(
    header: &BatchHeader,
    leaves: impl IntoIterator<Item = (u32, Hash)>,
) -> Result<(), Finding> {
    let wrong = |index, problem| Err(Finding::of_batch(header.batch, index, problem));
    let mut tree = BatchTree::new();
    let mut expected = 0;
    for (index, leaf) in leaves {
        if expected >= header.count {
            return wrong(Some(index), Problem::RecordSurplus);
        }
        if index != expected {
            return wrong(Some(expected), Problem::RecordMissing);
        }
        tree.push(leaf);
        expected += 1;
    }
    if expected < header.count {
        return wrong(Some(expected), Problem::RecordMissing);
    }
    if tree.root() == header.root { Ok(()) } else { wrong(None, Problem::RecordChanged) }
}
