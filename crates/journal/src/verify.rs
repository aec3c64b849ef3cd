use crate::catalog::{BatchSeen, Catalog, segment_name, segment_number};
use crate::disk::{Disk, RealDisk};
use crate::journal::LOCK_FILE;
use crate::limits::SEGMENT_BYTES_MAX;
use crate::recover::known_headers;
use crate::{Damage, DamageKind, JournalError, SealLog, quarantine};
use std::path::Path;
use yagura_ledger::BatchHeader;

/// Which batches a journal must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Those not yet retired: the events journal.
    Unretired,
    /// Every batch of the ledger: the audit journal, which deletes nothing.
    Everything,
}

/// What [`verify_segments`] looked at and found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SegmentsReport {
    /// Segments read.
    pub segments: u64,
    /// Sound records.
    pub records: u64,
    /// Batches whose root was recomputed and agrees with the ledger.
    pub batches_proved: u64,
    /// Records not under a checkpoint yet: nothing but their checksums vouches for them.
    pub unsealed_records: u64,
    /// A write that a crash cut short at the end of the newest segment: nobody was told that it was
    /// taken, and the next start sets it aside. It is no damage.
    pub cut_short: Option<Damage>,
    /// Wrong places found.
    pub damage_count: u64,
    /// The first of them, see [`crate::limits::DAMAGE_LISTED_MAX`].
    pub damages: Vec<Damage>,
}

/// Reads the whole journal in `dir` and compares it with the ledger. Changes nothing and takes no
/// lock: when a server is writing, the newest bytes may look like a tail.
///
/// # Errors
/// When the directory, a file or the ledger cannot be read; what is read and wrong is in the report.
pub fn verify_segments(
    dir: &Path,
    log: &dyn SealLog,
    expect: Expect,
) -> Result<SegmentsReport, JournalError> {
    verify_disk(&RealDisk::existing(dir), log, expect)
}

pub(crate) fn verify_disk(
    disk: &dyn Disk,
    log: &dyn SealLog,
    expect: Expect,
) -> Result<SegmentsReport, JournalError> {
    let mut catalog = Catalog::read(disk)?;
    let mut report = SegmentsReport {
        segments: catalog.segments.len() as u64,
        records: catalog.records,
        ..SegmentsReport::default()
    };
    report.cut_short = check_tail(disk, &mut catalog);
    check_files(disk, &mut catalog)?;
    let known = known_headers(log, &catalog)?;
    let mut found = Vec::new();
    for (&batch, seen) in &catalog.batches {
        let file = disk.path().join(segment_name(seen.segment));
        match check_batch(seen, known.get(&batch)) {
            Verdict::Proved => report.batches_proved += 1,
            Verdict::Unsealed => report.unsealed_records += seen.tree.len(),
            Verdict::NotHere => {}
            Verdict::Wrong(what) => {
                let mut damage = Damage::missing(file, what);
                damage.batch = Some(batch);
                found.push(damage);
            }
        }
    }
    if expect == Expect::Everything {
        check_everything_is_here(disk, log, &catalog, &mut found)?;
    }
    for damage in found {
        catalog.damage(damage);
    }
    report.damage_count = catalog.damage_count;
    report.damages = catalog.damages;
    Ok(report)
}

enum Verdict {
    Proved,
    Unsealed,
    /// Its records were in segments that are gone, or it is a heartbeat.
    NotHere,
    Wrong(DamageKind),
}

fn check_batch(seen: &BatchSeen, known: Option<&BatchHeader>) -> Verdict {
    if let (Some(sealed), Some(known)) = (&seen.header, known)
        && sealed != known
    {
        return Verdict::Wrong(DamageKind::LedgerDiffers);
    }
    let Some(header) = known.or(seen.header.as_ref()) else { return Verdict::Unsealed };
    if seen.opening.is_none() || seen.from > 0 || !seen.missing().is_empty() {
        // What is missing was named by the catalog.
        return Verdict::NotHere;
    }
    if seen.tree.len() != u64::from(header.count) || seen.tree.root() != header.root {
        return Verdict::Wrong(DamageKind::Root);
    }
    if known.is_some() { Verdict::Proved } else { Verdict::Unsealed }
}

/// Bytes after the last sound frame of the last segment, which recovery would cut. The beginning of
/// a frame is what a killed process leaves; anything else is named as damage.
fn check_tail(disk: &dyn Disk, catalog: &mut Catalog) -> Option<Damage> {
    let last = catalog.segments.last()?;
    if last.len > last.sound_end || last.len == 0 {
        let damage = Damage {
            file: disk.path().join(&last.name),
            offset: last.sound_end,
            bytes: last.len - last.sound_end,
            batch: None,
            index: None,
            what: if last.cut_short { DamageKind::CutShort } else { DamageKind::Tail },
        };
        if last.cut_short {
            return Some(damage);
        }
        catalog.damage(damage);
    }
    None
}

/// The files that are not segments.
fn check_files(disk: &dyn Disk, catalog: &mut Catalog) -> Result<(), JournalError> {
    let failed = |error| JournalError::io("reading", disk.path(), error);
    for (name, len) in disk.list().map_err(failed)? {
        let path = disk.path().join(&name);
        let copy_of = name.strip_suffix(".quarantine").or_else(|| name.strip_suffix(".torn"));
        if segment_number(&name).is_some() || (name == LOCK_FILE && len == 0) {
            continue;
        }
        if copy_of.is_some_and(|stem| segment_number(&format!("{stem}.seg")).is_some()) {
            let content = disk.read(&name, SEGMENT_BYTES_MAX).map_err(failed)?;
            let wrong = quarantine::check(&content).err().or((len == 0).then_some(0));
            if let Some(at) = wrong {
                catalog.damage(Damage::at(&path, at, content.len() - at, DamageKind::Quarantine));
            }
        } else {
            catalog.damage(Damage::missing(path, DamageKind::UnknownFile));
        }
    }
    Ok(())
}

/// Every batch of the ledger, from the first segment on.
fn check_everything_is_here(
    disk: &dyn Disk,
    log: &dyn SealLog,
    catalog: &Catalog,
    found: &mut Vec<Damage>,
) -> Result<(), JournalError> {
    if catalog.segments.first().is_some_and(|first| first.number > 1) {
        let file = disk.path().join(segment_name(1));
        found.push(Damage::missing(file, DamageKind::MissingSegment));
    }
    for leaf in 0..log.size() {
        let header = log.header(leaf).map_err(|cause| JournalError::Ledger { cause })?;
        // It stands in the ledger alone.
        if header.continues.is_some() {
            continue;
        }
        let here = catalog
            .batches
            .get(&header.batch)
            .is_some_and(|seen| header.count == 0 || (seen.opening.is_some() && seen.from == 0));
        if !here {
            let mut damage = Damage::missing(disk.path().to_owned(), DamageKind::MissingBatch);
            damage.batch = Some(header.batch);
            found.push(damage);
        }
    }
    Ok(())
}
