//! Reads the batches of files back and has them judged, within bounded memory.
//!
//! A root is made of one hash for each record. So records are read in the order in which their file
//! has them, hashed and let go of, and only the hashes are brought into the order of the ledger.

use crate::LakeError;
use crate::compact::{CompactStep, CompactWatch, tell};
use crate::file::{BatchRows, Order};
use crate::hot::{batch_numbers, longs};
use crate::limits::LEAF_SORT_BYTES_MAX;
use crate::read::{
    Envelope, FileRows, Source, Wanted, check_count, corrupt, only_wanted, parse_salt,
};
use crate::sort::{AtOnce, Sorted, Sorter};
use arrow::array::{
    ArrayRef, AsArray, FixedSizeBinaryArray, FixedSizeBinaryBuilder, Int64Array, RecordBatch,
    StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_event::{StreamName, columns as envelope};

/// What all records of a batch have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchHead {
    /// The batch.
    pub batch: u64,
    /// Its stream.
    pub stream: StreamName,
    /// From which the leaves' salts derive.
    pub batch_salt: [u8; 32],
}

/// The hashes of a whole batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLeaves {
    /// The batch.
    pub head: BatchHead,
    /// The hash of each record, as [`CompactWatch::leaf`] gave it, by index, ascending.
    pub leaves: Vec<(u32, [u8; 32])>,
}

/// The hash of a record in temporary files.
const LEAF: &str = "leaf";

/// Bytes of a hash.
const HASH_BYTES: i32 = 32;

/// Hashes handed on at once.
const AT_ONCE: AtOnce = AtOnce { rows: 8_192, bytes: usize::MAX };

/// Hashes every record of the wanted batches, and hands over each batch once it is whole, ascending.
pub(crate) fn judge_batches(
    scratch: &Path,
    sources: &[Source<'_>],
    wanted: &Wanted<'_>,
    watch: &mut dyn CompactWatch,
    take: &mut dyn FnMut(&mut dyn CompactWatch, StoredLeaves) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    let mut sorter = Sorter::new(scratch, Order::Ledger, LEAF_SORT_BYTES_MAX)?;
    let mut waiting: Vec<(u64, &Source<'_>)> = Vec::new();
    for source in sources {
        let first = source.batches.iter().find(|rows| wanted.has(rows.batch));
        match (first, source.order) {
            (None, _) => {}
            (Some(first), Order::Ledger) => waiting.push((first.batch, source)),
            (Some(_), Order::Source) => sort_into(&mut sorter, source, wanted, watch)?,
        }
    }
    // The next one is at the end.
    waiting.sort_by_key(|(first, _)| std::cmp::Reverse(*first));
    let sorted = Cursor::new(scratch.to_path_buf(), Parts::Sorted(sorter.finish()?), Vec::new());
    let mut open = vec![sorted];
    open.iter_mut().try_for_each(|cursor| cursor.load(wanted, watch))?;
    loop {
        let current = open.iter().filter_map(Cursor::batch).min();
        if let Some((first, source)) = waiting.last().copied()
            && current.is_none_or(|current| first <= current)
        {
            waiting.pop();
            let listed = source.batches.iter().filter(|rows| wanted.has(rows.batch)).copied();
            let rows = FileRows::open(&source.location, Some(wanted))?;
            let path = source.location.name().to_path_buf();
            let mut cursor = Cursor::new(path, Parts::InOrder(Box::new(rows)), listed.collect());
            cursor.load(wanted, watch)?;
            open.push(cursor);
            continue;
        }
        let Some(batch) = current else {
            return open.into_iter().try_for_each(Cursor::end);
        };
        let mut stored = None;
        for cursor in &mut open {
            let mut found = 0;
            while cursor.batch() == Some(batch) {
                cursor.take_row(&mut stored, wanted, watch)?;
                found += 1;
            }
            cursor.check(batch, found)?;
        }
        if let Some(mut stored) = stored {
            stored.leaves.sort_unstable_by_key(|(index, _)| *index);
            take(watch, stored)?;
        }
        let (ended, going): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|cursor| cursor.batch().is_none());
        open = going;
        ended.into_iter().try_for_each(Cursor::end)?;
    }
}

/// The hashes of a file whose rows lie in another order than the ledger's.
fn sort_into(
    sorter: &mut Sorter,
    source: &Source<'_>,
    wanted: &Wanted<'_>,
    watch: &mut dyn CompactWatch,
) -> Result<(), LakeError> {
    let path = source.location.name();
    let mut found: BTreeMap<u64, usize> = BTreeMap::new();
    let mut rows = FileRows::open(&source.location, Some(wanted))?;
    while let Some(part) = rows.next_rows()? {
        let hashed = hashed(path, only_wanted(path, part, wanted)?, watch)?;
        for batch in batch_numbers(&hashed)? {
            *found.entry(batch.unsigned_abs()).or_default() += 1;
        }
        sorter.push(&hashed)?;
    }
    for listed in source.batches.iter().filter(|rows| wanted.has(rows.batch)) {
        check_count(path, *listed, found.remove(&listed.batch).unwrap_or_default())?;
    }
    found
        .into_iter()
        .try_for_each(|(batch, found)| check_count(path, BatchRows { batch, rows: 0 }, found))
}

/// The place and the hash of each record.
fn hashed(
    path: &Path,
    rows: RecordBatch,
    watch: &mut dyn CompactWatch,
) -> Result<RecordBatch, LakeError> {
    let damaged = |error: LakeError| corrupt(path, error);
    let records = Envelope::new(&rows).map_err(damaged)?;
    let mut leaves = FixedSizeBinaryBuilder::with_capacity(rows.num_rows(), HASH_BYTES);
    let mut head: Option<BatchHead> = None;
    for row in 0..rows.num_rows() {
        let known = head.take().filter(|_| records.is_of_the_same_batch(row));
        let of = match known {
            Some(known) => known,
            None => records.head(row).map_err(damaged)?,
        };
        let (index, record) = records.record(row).map_err(damaged)?;
        leaves.append_value(watch.leaf(&of, index, &record))?;
        head = Some(of);
    }
    tell(watch, CompactStep::Checked(rows.num_rows() as u64))?;
    let column = |name: &'static str| {
        let column = rows.column_by_name(name).cloned().ok_or(LakeError::Envelope(name));
        column.map(|column| (name, column))
    };
    let places = [envelope::BATCH, envelope::INDEX, envelope::STREAM, envelope::BATCH_SALT];
    let mut columns = places.map(column).into_iter().collect::<Result<Vec<_>, _>>()?;
    columns.push((LEAF, Arc::new(leaves.finish()) as ArrayRef));
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// Hashes of some records.
struct Leaves {
    batches: Vec<i64>,
    indexes: Int64Array,
    streams: StringArray,
    salts: StringArray,
    leaves: FixedSizeBinaryArray,
}

impl Leaves {
    fn new(rows: &RecordBatch) -> Result<Self, LakeError> {
        let text = |name: &'static str| {
            let column = rows.column_by_name(name).ok_or(LakeError::Envelope(name))?;
            Ok::<_, LakeError>(cast(column, &DataType::Utf8)?.as_string().clone())
        };
        let leaves = rows.column_by_name(LEAF).and_then(|array| array.as_fixed_size_binary_opt());
        Ok(Leaves {
            batches: batch_numbers(rows)?,
            indexes: longs(rows, envelope::INDEX)?.clone(),
            streams: text(envelope::STREAM)?,
            salts: text(envelope::BATCH_SALT)?,
            leaves: leaves.ok_or(LakeError::Envelope(LEAF))?.clone(),
        })
    }

    fn head(&self, batch: u64, row: usize) -> Result<BatchHead, LakeError> {
        let wrong = LakeError::Envelope;
        let stream = StreamName::new(self.streams.value(row));
        Ok(BatchHead {
            batch,
            stream: stream.map_err(|_| wrong(envelope::STREAM))?,
            batch_salt: parse_salt(self.salts.value(row)).ok_or(wrong(envelope::BATCH_SALT))?,
        })
    }
}

/// A place among hashes in the order of the ledger.
struct Cursor {
    path: PathBuf,
    parts: Parts,
    /// What the log says of a file; counted already where there are several.
    expected: Option<std::iter::Peekable<std::vec::IntoIter<BatchRows>>>,
    leaves: Option<(Leaves, usize)>,
}

enum Parts {
    InOrder(Box<FileRows>),
    Sorted(Sorted),
}

impl Cursor {
    fn new(path: PathBuf, parts: Parts, expected: Vec<BatchRows>) -> Self {
        let counted = matches!(parts, Parts::Sorted(_));
        let expected = (!counted).then(|| expected.into_iter().peekable());
        Cursor { path, parts, expected, leaves: None }
    }

    fn load(&mut self, wanted: &Wanted<'_>, watch: &mut dyn CompactWatch) -> Result<(), LakeError> {
        self.leaves = None;
        loop {
            let part = match &mut self.parts {
                Parts::Sorted(sorted) => sorted.next_rows(AT_ONCE)?,
                Parts::InOrder(rows) => match rows.next_rows()? {
                    Some(part) => {
                        Some(hashed(&self.path, only_wanted(&self.path, part, wanted)?, watch)?)
                    }
                    None => None,
                },
            };
            let Some(part) = part else { return Ok(()) };
            if part.num_rows() > 0 {
                self.leaves = Some((Leaves::new(&part)?, 0));
                return Ok(());
            }
        }
    }

    fn batch(&self) -> Option<u64> {
        let (leaves, at) = self.leaves.as_ref()?;
        leaves.batches.get(*at).map(|batch| batch.unsigned_abs())
    }

    fn take_row(
        &mut self,
        stored: &mut Option<StoredLeaves>,
        wanted: &Wanted<'_>,
        watch: &mut dyn CompactWatch,
    ) -> Result<(), LakeError> {
        let (Some(batch), Some((leaves, at))) = (self.batch(), &mut self.leaves) else {
            return Ok(());
        };
        let row = *at;
        let stored = match stored {
            Some(stored) => stored,
            None => {
                stored.insert(StoredLeaves { head: leaves.head(batch, row)?, leaves: Vec::new() })
            }
        };
        if stored.head.stream.as_str() != leaves.streams.value(row) {
            let reason = "its records say different streams".to_owned();
            return Err(LakeError::NotVerified { batch, reason });
        }
        let index = u32::try_from(leaves.indexes.value(row));
        let index = index.map_err(|_| LakeError::Envelope(envelope::INDEX))?;
        let leaf: Result<[u8; 32], _> = leaves.leaves.value(row).try_into();
        stored.leaves.push((index, leaf.map_err(|_| LakeError::Envelope(LEAF))?));
        *at += 1;
        if *at == leaves.batches.len() {
            self.load(wanted, watch)?;
        }
        Ok(())
    }

    /// `found` rows of `batch` must be what the log says, and no batch before it is left out.
    fn check(&mut self, batch: u64, found: usize) -> Result<(), LakeError> {
        let Some(expected) = &mut self.expected else { return Ok(()) };
        if let Some(missing) = expected.next_if(|rows| rows.batch < batch) {
            check_count(&self.path, missing, 0)?;
        }
        let listed = expected.next_if(|rows| rows.batch == batch);
        check_count(&self.path, listed.unwrap_or(BatchRows { batch, rows: 0 }), found)
    }

    fn end(self) -> Result<(), LakeError> {
        match self.expected.and_then(|mut expected| expected.next()) {
            Some(missing) => check_count(&self.path, missing, 0),
            None => Ok(()),
        }
    }
}
