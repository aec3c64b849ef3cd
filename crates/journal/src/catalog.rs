//! What the segments of a directory hold, read once from end to end: the common ground of
//! recovery and verification.

use crate::disk::Disk;
use crate::frame::{
    HEAD_BYTES, HEADER_BYTES, Head, Kind, Opening, RecordDecoder, SegmentHeader, commit_counts,
};
use crate::limits::{BATCH_NUMBER_MAX, BATCH_RECORDS_MAX, DAMAGE_LISTED_MAX, SEGMENT_BYTES_MAX};
use crate::places::Places;
use crate::scan::{Item, Scanner};
use crate::{Damage, DamageKind, JournalError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use yagura_event::{Record, Transport, UtcMicros};
use yagura_ledger::{BatchHeader, BatchTree, Hash, event_leaf_hash};

/// Everything found in the segments.
#[derive(Default)]
pub(crate) struct Catalog {
    pub(crate) segments: Vec<SegmentSeen>,
    pub(crate) batches: BTreeMap<u64, BatchSeen>,
    /// Batches in the order of their (last) seal frames.
    pub(crate) sealed: Vec<u64>,
    /// At least one more than every batch number ever used here.
    pub(crate) next_batch: u64,
    /// Sound record frames.
    pub(crate) records: u64,
    /// The first [`DAMAGE_LISTED_MAX`] wrong places; a torn tail is not among them.
    pub(crate) damages: Vec<Damage>,
    /// All wrong places.
    pub(crate) damage_count: u64,
}

/// One segment.
pub(crate) struct SegmentSeen {
    pub(crate) number: u64,
    pub(crate) name: String,
    /// Where the last sound frame ends; 0 when the header cannot be read.
    pub(crate) sound_end: u64,
    /// Size of the file.
    pub(crate) len: u64,
    pub(crate) key: u32,
    pub(crate) damaged: bool,
    /// Whether the last sound frame is a commit: nothing unacknowledged follows.
    pub(crate) committed: bool,
    /// Whether what follows the last sound frame is the beginning of a frame that ends with the file:
    /// a write that a crash cut short, within a group that nobody was told about.
    pub(crate) cut_short: bool,
    /// Damaged places before `sound_end`.
    pub(crate) pieces: Vec<(u64, Vec<u8>)>,
    /// Batches with a frame of their own in it.
    pub(crate) batches: BTreeSet<u64>,
}

/// Damage that may turn out to be a torn tail.
struct Suspect {
    damage: Damage,
    bytes: Vec<u8>,
    /// Batch and index of the record that was here, where its head says so.
    record: Option<(u64, u32)>,
}

/// One batch.
#[derive(Default)]
pub(crate) struct BatchSeen {
    pub(crate) opening: Option<Opening>,
    /// Records before this index were in segments that are gone.
    pub(crate) from: u32,
    /// Records it had at some moment, by the word of any frame.
    pub(crate) stated: u32,
    pub(crate) header: Option<BatchHeader>,
    pub(crate) tree: BatchTree,
    pub(crate) bytes: u64,
    pub(crate) received: Option<(UtcMicros, UtcMicros)>,
    /// Where it was last seen, for reports.
    pub(crate) segment: u64,
    /// Leaf hashes that came before the ones left of them.
    early: BTreeMap<u32, Hash>,
    places: Places,
    /// Records found before any opening.
    pub(crate) orphans: u64,
    /// Records that only say what was lost in their place.
    pub(crate) notices: u64,
}

impl BatchSeen {
    /// Indexes that were written and are not here.
    pub(crate) fn missing(&self) -> Vec<u32> {
        self.places.free(self.from, self.stated)
    }

    /// Fills a place, as [`Catalog::read`] does for records it finds. False if it is taken.
    pub(crate) fn place(&mut self, batch: u64, index: u32, record: &Record) -> bool {
        let Some(opening) = self.opening.as_ref().filter(|_| self.places.take(index)) else {
            return false;
        };
        let leaf = event_leaf_hash(&opening.stream, batch, index, record, &opening.salt);
        self.stated = self.stated.max(index + 1);
        self.from = self.from.min(index);
        self.bytes += record.bytes.len() as u64;
        self.notices += u64::from(is_notice(record));
        let (first, last) = self.received.unwrap_or((record.received, record.received));
        self.received = Some((first.min(record.received), last.max(record.received)));
        self.early.insert(index, leaf);
        while let Some(hash) =
            u32::try_from(self.tree.len()).ok().and_then(|next| self.early.remove(&next))
        {
            self.tree.push(hash);
        }
        true
    }
}

impl Catalog {
    /// Reads every segment of `disk`.
    pub(crate) fn read(disk: &dyn Disk) -> Result<Catalog, JournalError> {
        let names = segment_names(disk)?;
        let catalog = Catalog::read_with(disk, &names, &HashMap::new())?;
        if catalog.batches.values().all(|seen| seen.orphans == 0 || seen.opening.is_none()) {
            return Ok(catalog);
        }
        // Some batch was opened again later than its first records: read once more, knowing it.
        let openings = catalog
            .batches
            .into_iter()
            .filter_map(|(batch, seen)| Some((batch, seen.opening?)))
            .collect();
        Catalog::read_with(disk, &names, &openings)
    }

    fn read_with(
        disk: &dyn Disk,
        names: &[(u64, String)],
        openings: &HashMap<u64, Opening>,
    ) -> Result<Catalog, JournalError> {
        let mut catalog = Catalog { next_batch: 1, ..Catalog::default() };
        let mut expected = names.first().map_or(1, |(number, _)| *number);
        for (position, (number, name)) in names.iter().enumerate() {
            if *number != expected {
                let file = disk.path().join(segment_name(expected));
                catalog.damage(Damage::missing(file, DamageKind::MissingSegment));
            }
            expected = number.saturating_add(1);
            let bytes = read_segment(disk, name)?;
            let last = position + 1 == names.len();
            catalog.read_segment(disk, *number, name, &bytes, openings, last);
        }
        catalog.finish(disk);
        Ok(catalog)
    }

    fn read_segment(
        &mut self,
        disk: &dyn Disk,
        number: u64,
        name: &str,
        bytes: &[u8],
        openings: &HashMap<u64, Opening>,
        last: bool,
    ) {
        let file = disk.path().join(name);
        let mut seen = SegmentSeen {
            number,
            name: name.to_owned(),
            sound_end: 0,
            len: bytes.len() as u64,
            key: 0,
            damaged: false,
            committed: false,
            cut_short: false,
            pieces: Vec::new(),
            batches: BTreeSet::new(),
        };
        let mut damages = Vec::new();
        if let Some((header, damaged_copy)) = SegmentHeader::decode(bytes) {
            seen.sound_end = HEADER_BYTES as u64;
            seen.key = header.key;
            self.next_batch = self.next_batch.max(header.next_batch.min(BATCH_NUMBER_MAX));
            if let Some(at) = damaged_copy {
                seen.pieces.push((at as u64, bytes[at..at + HEADER_BYTES / 2].to_vec()));
                self.damage(Damage::at(&file, at, HEADER_BYTES / 2, DamageKind::HeaderCopy));
            }
            if header.number != number {
                seen.damaged = true;
                self.damage(Damage::at(&file, 0, HEADER_BYTES, DamageKind::Number));
            }
            self.read_frames(bytes, &header, &file, openings, &mut seen, &mut damages);
        } else if !(last && is_torn_creation(bytes)) {
            // Nothing of it can be read, and nothing may be cut off it.
            seen.sound_end = seen.len;
            seen.pieces.push((0, bytes.to_vec()));
            self.damage(Damage::at(&file, 0, bytes.len(), DamageKind::Header));
        }
        seen.damaged |= !seen.pieces.is_empty();
        for Suspect { mut damage, bytes, record } in damages {
            let in_tail = damage.offset >= seen.sound_end;
            if in_tail && last {
                // Never acknowledged, so nothing is missing when it is cut off.
                continue;
            }
            if in_tail && damage.what == DamageKind::Frame {
                damage.what = DamageKind::Tail;
            }
            if let Some((batch, index)) = record {
                self.state(batch, index.saturating_add(1));
            }
            seen.damaged = true;
            seen.pieces.push((damage.offset, bytes));
            self.damage(damage);
        }
        self.segments.push(seen);
    }

    fn read_frames(
        &mut self,
        bytes: &[u8],
        header: &SegmentHeader,
        file: &std::path::Path,
        openings: &HashMap<u64, Opening>,
        seen: &mut SegmentSeen,
        damages: &mut Vec<Suspect>,
    ) {
        let mut decoder = RecordDecoder::default();
        // The place after the last record: a damaged head that follows was probably its.
        let mut next_place = None;
        for item in Scanner::new(bytes, header) {
            match item {
                Item::Frame { end, head, body } => {
                    seen.sound_end = end as u64;
                    seen.cut_short = false;
                    seen.committed = head.kind == Kind::Commit;
                    if head.kind == Kind::Record {
                        next_place = Some((head.batch, head.index.saturating_add(1)));
                    }
                    if self.frame(seen, &head, body, openings, &mut decoder).is_none() {
                        let offset = end - body.len() - HEAD_BYTES;
                        let mut damage =
                            Damage::at(file, offset, end - offset, DamageKind::Nonsense);
                        damage.batch = Some(head.batch);
                        let bytes = bytes[offset..end].to_vec();
                        damages.push(Suspect { damage, bytes, record: None });
                    }
                }
                Item::Damage { offset, bytes, head } => {
                    let begun = offset as u64 == seen.sound_end;
                    seen.cut_short = begun
                        && match &head {
                            Some(head) => bytes.len() < HEAD_BYTES + head.body_bytes,
                            None => bytes.len() < HEAD_BYTES && !seen.committed,
                        };
                    let mut damage = Damage::at(file, offset, bytes.len(), DamageKind::Frame);
                    let head = head.filter(|head| head.kind != Kind::Commit);
                    let of_record = head.filter(|head| head.kind == Kind::Record);
                    let record = of_record.map(|head| (head.batch, head.index));
                    damage.batch = head.map(|head| head.batch);
                    if let Some((batch, index)) = record.or(next_place.filter(|_| head.is_none())) {
                        (damage.batch, damage.index) = (Some(batch), Some(index));
                    }
                    damages.push(Suspect { damage, bytes: bytes.to_vec(), record });
                }
            }
        }
    }

    /// Takes one sound frame in; `None` when it makes no sense.
    fn frame(
        &mut self,
        seen: &mut SegmentSeen,
        head: &Head,
        body: &[u8],
        openings: &HashMap<u64, Opening>,
        decoder: &mut RecordDecoder,
    ) -> Option<()> {
        if !head.makes_sense() {
            return None;
        }
        if head.kind == Kind::Commit {
            self.next_batch = self.next_batch.max(head.batch);
            for (batch, count) in commit_counts(body) {
                self.state(batch, count);
            }
            return Some(());
        }
        let opening = match head.kind {
            Kind::Open => Some(Opening::decode(body)?),
            _ => None,
        };
        self.next_batch = self.next_batch.max(head.batch + 1);
        let batch = self.batches.entry(head.batch).or_default();
        if batch.opening.is_none() {
            batch.opening = openings.get(&head.batch).cloned();
        }
        match head.kind {
            Kind::Open => {
                // The batch's first frame here: what came before it was in segments that are gone.
                if batch.segment == 0 {
                    batch.from = head.index;
                }
                batch.opening = batch.opening.take().or(opening);
                batch.stated = batch.stated.max(head.index);
            }
            Kind::Record => {
                let record = decoder.decode(head.way, body)?;
                if batch.opening.is_none() {
                    batch.orphans += 1;
                } else if !batch.place(head.batch, head.index, &record) {
                    // We never write a place twice: whoever did wants the second one believed.
                    return None;
                }
                self.records += 1;
            }
            Kind::Seal => {
                let header = BatchHeader::parse(std::str::from_utf8(body).ok()?).ok()?;
                if header.batch != head.batch {
                    return None;
                }
                batch.stated = batch.stated.max(header.count.min(BATCH_RECORDS_MAX));
                if batch.header.replace(header).is_some() {
                    self.sealed.retain(|sealed| *sealed != head.batch);
                }
                self.sealed.push(head.batch);
            }
            Kind::Commit => {}
        }
        batch.segment = seen.number;
        seen.batches.insert(head.batch);
        Some(())
    }

    /// Notes that a batch had `count` records. Says nothing about batches that have no frame.
    fn state(&mut self, batch: u64, count: u32) {
        if let Some(seen) = self.batches.get_mut(&batch) {
            seen.stated = seen.stated.max(count.min(BATCH_RECORDS_MAX));
        }
    }

    /// Lists what the batches lack, once all segments are read.
    fn finish(&mut self, disk: &dyn Disk) {
        let mut found = Vec::new();
        for (&batch, seen) in &self.batches {
            let file = disk.path().join(segment_name(seen.segment));
            if seen.opening.is_none() && seen.orphans > 0 {
                let mut damage = Damage::missing(file, DamageKind::LostSalt);
                damage.batch = Some(batch);
                found.push(damage);
                continue;
            }
            // A seal alone (its records in segments that are gone, or a heartbeat) lacks nothing.
            if seen.opening.is_none() {
                continue;
            }
            for index in seen.missing() {
                let mut damage = Damage::missing(file.clone(), DamageKind::LostRecord);
                (damage.batch, damage.index) = (Some(batch), Some(index));
                found.push(damage);
            }
        }
        // A damaged head was taken for the next record's; keep that only where a record is missing.
        let lost: BTreeSet<(u64, u32)> =
            found.iter().filter_map(|damage| Some((damage.batch?, damage.index?))).collect();
        for damage in self.damages.iter_mut().filter(|damage| damage.what == DamageKind::Frame) {
            if let (Some(batch), Some(index)) = (damage.batch, damage.index)
                && !lost.contains(&(batch, index))
            {
                damage.index = None;
            }
        }
        for damage in found {
            self.damage(damage);
        }
    }

    pub(crate) fn damage(&mut self, damage: Damage) {
        self.damage_count += 1;
        if self.damages.len() < DAMAGE_LISTED_MAX {
            self.damages.push(damage);
        }
    }
}

impl Damage {
    pub(crate) fn at(
        file: &std::path::Path,
        offset: usize,
        bytes: usize,
        what: DamageKind,
    ) -> Self {
        Damage {
            file: file.to_owned(),
            offset: offset as u64,
            bytes: bytes as u64,
            batch: None,
            index: None,
            what,
        }
    }

    pub(crate) fn missing(file: PathBuf, what: DamageKind) -> Self {
        Damage { file, offset: 0, bytes: 0, batch: None, index: None, what }
    }
}

/// The record that takes the place of a lost one.
pub(crate) fn notice(received: UtcMicros, batch: u64, index: u32) -> Record {
    let text = format!(
        "record {index} of batch {batch} was damaged on disk before it was sealed and is lost; \
         what is left of its bytes is in the journal's quarantine"
    );
    Record {
        received,
        transport: Transport::Internal,
        peer: NOTICE_PEER.into(),
        identity: "none".into(),
        bytes: text.into(),
    }
}

/// Peer of a [`notice`].
const NOTICE_PEER: &str = "journal";

fn is_notice(record: &Record) -> bool {
    record.transport == Transport::Internal && &*record.peer == NOTICE_PEER
}

/// `00000007.seg`.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:08}.seg")
}

/// The number in a segment's file name, which has one spelling only.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".seg")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

/// All segments, oldest first.
pub(crate) fn segment_names(disk: &dyn Disk) -> Result<Vec<(u64, String)>, JournalError> {
    let files = disk.list().map_err(|error| JournalError::io("listing", disk.path(), error))?;
    let mut names: Vec<(u64, String)> =
        files.into_iter().filter_map(|(name, _)| Some((segment_number(&name)?, name))).collect();
    names.sort_unstable();
    Ok(names)
}

/// Whether these are the bytes of a segment whose creation was interrupted: nothing in it was ever
/// acknowledged.
fn is_torn_creation(bytes: &[u8]) -> bool {
    bytes.get(..HEADER_BYTES).is_none_or(|header| header.iter().all(|byte| *byte == 0))
}

/// The bytes of a segment.
pub(crate) fn read_segment(disk: &dyn Disk, name: &str) -> Result<Vec<u8>, JournalError> {
    let failed = |error| JournalError::io("reading", disk.path().join(name), error);
    let bytes = disk.read(name, SEGMENT_BYTES_MAX + 1).map_err(failed)?;
    if bytes.len() as u64 > SEGMENT_BYTES_MAX {
        return Err(failed(std::io::Error::other("larger than any segment: not one of ours")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_past_the_limit_is_counted_and_not_listed() {
        let mut catalog = Catalog::default();
        for _ in 0..=DAMAGE_LISTED_MAX {
            catalog.damage(Damage::missing(PathBuf::from("x"), DamageKind::Frame));
        }
        assert_eq!(catalog.damages.len(), DAMAGE_LISTED_MAX);
        assert_eq!(catalog.damage_count, DAMAGE_LISTED_MAX as u64 + 1);
    }

    #[test]
    fn a_segment_name_has_one_spelling() {
        assert_eq!(segment_number("00000007.seg"), Some(7));
        assert_eq!(segment_number(&segment_name(1_234_567_890)), Some(1_234_567_890));
        for name in ["7.seg", "000000007.seg", "+0000007.seg", "00000007.SEG", "00000007.seg.tmp"] {
            assert_eq!(segment_number(name), None, "{name}");
        }
    }
}
