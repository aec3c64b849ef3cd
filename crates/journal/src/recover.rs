//! What happens between the last crash and the first new record.

use crate::catalog::{BatchSeen, Catalog, SegmentSeen, notice, read_segment, segment_names};
use crate::core::{Core, OpenBatch, Stream, has_passed};
use crate::disk::Disk;
use crate::frame::Opening;
use crate::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use crate::reader::{ReadItem, SegmentReader};
use crate::segment::Entropy;
use crate::stage::Staged;
use crate::{Damage, DamageKind, JournalError, JournalOptions, JournalOutput, SealLog, quarantine};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use yagura_event::{Clock, StreamName};
use yagura_ledger::{BatchHeader, Hash};

/// What opening a journal found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// Segments read.
    pub segments: u64,
    /// Records that can be read. Those of batches whose first segments are gone are stored already
    /// and not replayed; the end of the replay is [`crate::JournalOutput::Replayed`].
    pub records: u64,
    /// Batches that were open at the crash and go on.
    pub reopened: u64,
    /// Sealed batches that the ledger lacked and was given.
    pub seals_appended: u64,
    /// Batches to be sealed again, because their seal no longer fits what can be read.
    pub resealed: u64,
    /// Bytes cut from the end of the last segment: written, never acknowledged.
    pub torn_bytes: u64,
    /// Records lost to damage and replaced by a record that says so.
    pub lost_records: u64,
    /// Wrong places found.
    pub damage_count: u64,
    /// The first of them, see [`crate::limits::DAMAGE_LISTED_MAX`].
    pub damages: Vec<Damage>,
}

/// Headers looked at, from the newest back, for the highest batch number. Batches are sealed nearly
/// in order; and unless the directory was emptied by hand, its newest segment knows the number.
const BATCH_LOOKBACK: u64 = 4_096;

/// A journal as it was, ready to go on.
pub(crate) struct Recovered {
    pub(crate) core: Core,
    pub(crate) report: RecoveryReport,
    pub(crate) replay: Replay,
}

/// Reads the directory, repairs what can be repaired and brings the ledger up to date.
///
/// Every step can be repeated: a crash during recovery is a crash.
pub(crate) fn recover(
    disk: Arc<dyn Disk>,
    log: Arc<dyn SealLog>,
    clock: Arc<dyn Clock>,
    options: JournalOptions,
    entropy: Entropy,
) -> Result<Recovered, JournalError> {
    remove_leftovers(&*disk)?;
    let mut catalog = Catalog::read(&*disk)?;
    let mut report = RecoveryReport {
        segments: catalog.segments.len() as u64,
        records: catalog.records,
        damage_count: catalog.damage_count,
        ..RecoveryReport::default()
    };
    let io = |error| JournalError::io("repairing", disk.path(), error);
    for segment in &catalog.segments {
        if !segment.pieces.is_empty() {
            let name = format!("{:08}.quarantine", segment.number);
            quarantine::keep(&*disk, &name, &segment.pieces).map_err(io)?;
        }
    }
    let next_segment = cut_torn_tail(&*disk, &mut catalog, &mut report)?;
    let mut core = Core::new(disk.clone(), log, clock, options, entropy, next_segment);
    core.next_batch = catalog.next_batch.max(next_batch_of(&*core.log)?);
    resume_last(&mut core, &catalog)?;
    let mut known = known_headers(&*core.log, &catalog)?;
    let plan = Plan::make(&mut core, &mut catalog, &known, &mut report);
    report.damages = std::mem::take(&mut catalog.damages);
    known.extend(plan.pending.iter().map(|header| (header.batch, header.clone())));
    plan.carry_out(&mut core, &mut report)?;
    find_heartbeats(&mut core)?;
    let replay = Replay::of(&core, &catalog, known)?;
    Ok(Recovered { core, report, replay })
}

fn remove_leftovers(disk: &dyn Disk) -> Result<(), JournalError> {
    let failed = |error| JournalError::io("cleaning", disk.path(), error);
    for (name, _) in disk.list().map_err(failed)? {
        if name.ends_with(".quarantine.tmp") || name.ends_with(".torn.tmp") {
            disk.remove(&name).map_err(failed)?;
        }
    }
    Ok(())
}

/// Cuts what was never acknowledged off the last segment. Returns the next segment's number.
///
/// Order: the copy is durable before the cut. A crash between leaves both; the next start makes
/// the same copy and the same cut.
fn cut_torn_tail(
    disk: &dyn Disk,
    catalog: &mut Catalog,
    report: &mut RecoveryReport,
) -> Result<u64, JournalError> {
    let Some(last) = catalog.segments.last_mut() else { return Ok(1) };
    let failed = |error| JournalError::io("cutting", disk.path(), error);
    if last.len > last.sound_end {
        let bytes = read_segment(disk, &last.name)?;
        let keep = usize::try_from(last.sound_end).unwrap_or(usize::MAX);
        let tail = bytes.get(keep..).unwrap_or_default();
        report.torn_bytes = tail.len() as u64;
        if tail.iter().any(|byte| *byte != 0) {
            let name = format!("{:08}.torn", last.number);
            quarantine::keep(disk, &name, &[(last.sound_end, tail.to_vec())]).map_err(failed)?;
        }
    }
    let number = last.number;
    if last.sound_end == 0 {
        // Not even a header: the segment was being created.
        disk.remove(&last.name).and_then(|()| disk.sync_dir()).map_err(failed)?;
        catalog.segments.pop();
        return Ok(number);
    }
    let mut file = disk.open(&last.name).map_err(failed)?;
    if last.len > last.sound_end {
        file.truncate(last.sound_end).map_err(failed)?;
        last.len = last.sound_end;
        last.committed = false;
    }
    // What is valid but was not yet durable becomes so before anyone is told of it.
    file.sync().and_then(|()| disk.sync_dir()).map_err(failed)?;
    Ok(number + 1)
}

/// Goes on in the last segment if nothing is wrong with it.
fn resume_last(core: &mut Core, catalog: &Catalog) -> Result<(), JournalError> {
    for segment in &catalog.segments {
        core.book.add_segment(segment.number);
        for &batch in &segment.batches {
            core.book.mention(segment.number, batch);
        }
    }
    core.shared.segments.store(core.book.segments() as u64, Relaxed);
    let clean = |segment: &&SegmentSeen| {
        segment.committed && !segment.damaged && segment.len < core.options.segment_bytes
    };
    if let Some(last) = catalog.segments.last().filter(clean) {
        let path = core.disk.path().join(&last.name);
        let file = core.disk.open(&last.name);
        let file = file.map_err(|error| JournalError::io("opening", path, error))?;
        core.segments.resume(last.number, last.key, last.len, file);
    }
    Ok(())
}

/// What is to be done with the batches found.
#[derive(Default)]
struct Plan {
    /// Sealed, and to be appended to the ledger as they are.
    pending: Vec<BatchHeader>,
    /// Records that take the place of lost ones.
    notices: Vec<Staged>,
}

impl Plan {
    fn make(
        core: &mut Core,
        catalog: &mut Catalog,
        known: &Known,
        report: &mut RecoveryReport,
    ) -> Plan {
        let mut plan = Plan::default();
        let mut tails = HashMap::new();
        let now = core.clock.now();
        let mut unsealed = Vec::new();
        for batch in catalog.sealed.clone() {
            let Some(seen) = catalog.batches.get_mut(&batch) else { continue };
            let Some(header) = seen.header.clone() else { continue };
            if known.contains_key(&batch) {
                continue;
            }
            let complete = seen.opening.is_none() || seen.missing().is_empty();
            if complete && plan.fits(core, &mut tails, &header) {
                plan.pending.push(header);
            } else {
                report.resealed += 1;
                unsealed.push(batch);
            }
        }
        for (&batch, seen) in &catalog.batches {
            if known.contains_key(&batch) {
                core.book.published(batch);
                let is_heartbeat = seen.opening.is_none() && seen.orphans == 0;
                if seen.from > 0 || is_heartbeat {
                    core.book.retired(batch);
                }
            } else if seen.header.is_none() && seen.opening.is_some() {
                unsealed.push(batch);
            }
        }
        for batch in unsealed {
            let Some(seen) = catalog.batches.get_mut(&batch) else { continue };
            plan.fill(batch, seen, now, report);
            plan.reopen(core, batch, seen, report);
        }
        core.closing.sort_by_key(|open| open.batch);
        check_roots(core, catalog, report);
        plan
    }

    /// Whether the ledger will accept the header as the next one.
    fn fits(
        &self,
        core: &Core,
        tails: &mut HashMap<StreamName, (u64, Hash)>,
        header: &BatchHeader,
    ) -> bool {
        let tail = tails.get(&header.stream).copied();
        let tail = tail.or_else(|| core.log.stream_tail(&header.stream));
        if header.stream_prev != tail || header.log != core.log.origin() {
            return false;
        }
        let leaf = core.log.size() + self.pending.len() as u64;
        tails.insert(header.stream.clone(), (leaf, header.leaf_hash()));
        true
    }

    /// Puts a notice in every place whose record is lost.
    fn fill(
        &mut self,
        batch: u64,
        seen: &mut BatchSeen,
        now: yagura_event::UtcMicros,
        report: &mut RecoveryReport,
    ) {
        let Some(opening) = seen.opening.clone() else { return };
        // Records of segments that are gone are lost as well while the batch is not sealed.
        seen.from = 0;
        for index in seen.missing() {
            let record = notice(now, batch, index);
            seen.place(batch, index, &record);
            report.lost_records += 1;
            match self.notices.last_mut() {
                Some(run) if run.batch == batch && run.count() == index => run.records.push(record),
                _ => self.notices.push(Staged::notice(batch, opening.clone(), index, record)),
            }
        }
    }

    /// Gives an unsealed batch back to its stream, or to the sealer when it is complete.
    fn reopen(
        &self,
        core: &mut Core,
        batch: u64,
        seen: &mut BatchSeen,
        report: &mut RecoveryReport,
    ) {
        let opening = match (&seen.opening, &seen.header) {
            (Some(opening), _) => opening.clone(),
            (None, Some(header)) => Opening {
                salt: [0; 32],
                opened_at: header.first_received,
                stream: header.stream.clone(),
            },
            (None, None) => return,
        };
        let stream_name = opening.stream.clone();
        let mut open = OpenBatch::new(batch, opening);
        open.bytes = seen.bytes;
        open.tree = std::mem::take(&mut seen.tree);
        open.received = seen.received;
        open.damaged = seen.notices;
        let complete = seen.header.is_some()
            || batch < core.log.first_batch()
            || open.count() >= BATCH_RECORDS_MAX
            || open.bytes >= BATCH_BYTES_MAX;
        if complete {
            core.closing.push(open);
            return;
        }
        let now = core.clock.now();
        let stream = core.streams.entry(stream_name).or_insert_with(|| Stream {
            open: None,
            sealed_at: now,
            active_at: now,
        });
        // Batches come in rising order here, and only the newest of a stream goes on.
        report.reopened += 1;
        if let Some(older) = stream.open.replace(open) {
            report.reopened -= 1;
            core.closing.push(older);
        }
    }

    fn carry_out(self, core: &mut Core, report: &mut RecoveryReport) -> Result<(), JournalError> {
        report.seals_appended = self.pending.len() as u64;
        core.unlogged = self.pending;
        core.append_to_ledger()?;
        core.publish(core.clock.now())?;
        // The replay tells the pipeline of these.
        core.outbox.clear();
        let mut unsealed: Vec<(StreamName, u64)> = Vec::new();
        for open in core.closing.iter().chain(core.streams.values().filter_map(|s| s.open.as_ref()))
        {
            unsealed.push((open.opening.stream.clone(), u64::from(open.count())));
        }
        for (stream, count) in unsealed {
            core.count_records(&stream, count);
        }
        for notices in self.notices.chunks(64) {
            core.write_group(notices, &[])?;
        }
        Ok(())
    }
}

/// Compares the records of every sealed batch with its root, where all of them are here.
fn check_roots(core: &Core, catalog: &mut Catalog, report: &mut RecoveryReport) {
    let mut wrong = Vec::new();
    for (&batch, seen) in &catalog.batches {
        if let Some(header) = &seen.header
            && header.count > 0
            && seen.from == 0
            && seen.tree.len() == u64::from(header.count)
            && seen.tree.root() != header.root
        {
            let file = core.disk.path().join(crate::catalog::segment_name(seen.segment));
            let mut damage = Damage::missing(file, DamageKind::Root);
            damage.batch = Some(batch);
            wrong.push(damage);
        }
    }
    for damage in wrong {
        catalog.damage(damage);
    }
    report.damage_count = catalog.damage_count;
}

/// Finds the streams that were active within the last day.
fn find_heartbeats(core: &mut Core) -> Result<(), JournalError> {
    let now = core.clock.now();
    for (name, leaf) in core.log.streams() {
        let header = core.log.header(leaf).map_err(|cause| JournalError::Ledger { cause })?;
        let seen_at = header.last_received;
        let silent = has_passed(seen_at, now, core.options.heartbeat_for);
        if !silent && core.streams.len() < crate::limits::STREAMS_MAX {
            let stream = Stream { open: None, sealed_at: seen_at, active_at: seen_at };
            core.streams.entry(name).or_insert(stream);
        }
    }
    Ok(())
}

/// Headers of the ledger by batch.
type Known = HashMap<u64, BatchHeader>;

/// The ledger's headers of the batches in the catalog.
///
/// Asking for each costs a search, so the newest headers are read in a row first; what is not
/// among them (open batches, mostly) is then asked for.
pub(crate) fn known_headers(log: &dyn SealLog, catalog: &Catalog) -> Result<Known, JournalError> {
    let failed = |cause| JournalError::Ledger { cause };
    let Some((&oldest, _)) = catalog.batches.first_key_value() else { return Ok(Known::new()) };
    let mut known = Known::new();
    for leaf in (0..log.size()).rev() {
        let header = log.header(leaf).map_err(failed)?;
        if header.batch.saturating_add(BATCH_LOOKBACK) < oldest {
            break;
        }
        if catalog.batches.contains_key(&header.batch) {
            known.insert(header.batch, header);
        }
    }
    for &batch in catalog.batches.keys() {
        if !known.contains_key(&batch)
            && let Some(header) = log.header_of_batch(batch).map_err(failed)?
        {
            known.insert(batch, header);
        }
    }
    Ok(known)
}

fn next_batch_of(log: &dyn SealLog) -> Result<u64, JournalError> {
    let size = log.size();
    let mut next = 1;
    for leaf in size.saturating_sub(BATCH_LOOKBACK)..size {
        let header = log.header(leaf).map_err(|cause| JournalError::Ledger { cause })?;
        next = next.max(header.batch.saturating_add(1));
    }
    Ok(next)
}

/// Tells the pipeline again what it may not have stored before the crash.
pub(crate) struct Replay {
    reader: SegmentReader,
    known: Known,
    /// Batches stored already: their first segments are gone.
    skip: HashSet<u64>,
    /// Headers of the ledger that no seal frame repeats.
    late: std::vec::IntoIter<BatchHeader>,
}

impl Replay {
    fn of(core: &Core, catalog: &Catalog, known: Known) -> Result<Replay, JournalError> {
        let mut openings = HashMap::new();
        let mut skip = HashSet::new();
        let mut late = Vec::new();
        for (&batch, seen) in &catalog.batches {
            if let Some(opening) = seen.opening.as_ref().filter(|_| seen.orphans > 0) {
                openings.insert(batch, opening.clone());
            }
            let Some(header) = known.get(&batch) else { continue };
            if seen.from > 0 {
                skip.insert(batch);
            } else if seen.header.as_ref() != Some(header) {
                late.push(header.clone());
            }
        }
        let reader = SegmentReader::new(core.disk.clone(), segment_names(&*core.disk)?, openings);
        Ok(Replay { reader, known, skip, late: late.into_iter() })
    }
}

impl Iterator for Replay {
    type Item = Result<JournalOutput, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        for item in self.reader.by_ref() {
            match item {
                Ok(ReadItem::Run(run)) if !self.skip.contains(&run.batch) => {
                    return Some(Ok(JournalOutput::Run(run)));
                }
                Ok(ReadItem::Seal(header)) if !self.skip.contains(&header.batch) => {
                    // A seal that was replaced is not what the ledger says.
                    if self.known.get(&header.batch) == Some(&header) {
                        return Some(Ok(JournalOutput::Sealed(header)));
                    }
                }
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        self.late.next().map(|header| Ok(JournalOutput::Sealed(header)))
    }
}
