//! Deletion: of whole batches, recorded before anything goes, finished after whatever crash.
//!
//! Order: what is left of mixed files is written and judged; the deletion is recorded in the audit
//! log; one commit takes the batches out of the table; the digests of the new files are recorded, and
//! that it is finished. The old files go like those of a compaction, and with them the batches' salts:
//! from then on, what the ledger keeps of them says nothing about what they were. A crash before the
//! record leaves everything as it was; after it, the next start finishes.

use super::fold::{DELETE_FORMAT, DELETED, Deletion, FINISHED, Hold, Wanted, record};
use super::limits::{DELETE_BATCHES_MAX, RANGES_PER_RECORD_MAX};
use super::shelf::{Kept, ranges};
use crate::audit::FileDigest;
use crate::judging::{Hashers, verify_stored};
use crate::{Node, NodeError};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use yagura_event::{Record, StreamName, UtcMicros};
use yagura_lake::{
    BatchHead, CompactStep, CompactWatch, FileEntry, FileWritten, LakeError, StoredLeaves,
    kill_point,
};
use yagura_ledger::Log;

pub(super) const DAY_MICROS: i64 = 86_400_000_000;

/// How often a step begins anew when files or holds changed meanwhile.
const ATTEMPTS: usize = 5;

/// A moment of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeletionStep {
    /// What stays of mixed files is written and judged.
    Prepared,
    /// The audit log has the record.
    Recorded,
    /// New files have their names.
    Renamed,
    /// The batches are out of the table.
    Committed,
    /// The audit log knows the new files.
    Digested,
    /// And that it is finished.
    Finished,
}

/// What goes of one stream, and why.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub(super) stream: StreamName,
    pub(super) batches: Vec<Kept>,
    pub(super) because: Value,
}

/// What a run did.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) batches: u64,
    pub(super) records: u64,
    /// Pinned events among them: their bytes stay.
    pub(super) pinned: u64,
    /// Batches that a hold keeps.
    pub(super) held: u64,
    /// Batches that the journal still has.
    pub(super) in_journal: u64,
    /// Files that are not what they were when they were written: their batches stay, as evidence.
    pub(super) changed: Vec<String>,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.batches += other.batches;
        self.records += other.records;
        self.pinned += other.pinned;
        self.held += other.held;
        self.in_journal += other.in_journal;
        self.changed.extend(other.changed);
    }

    pub(super) fn shown(&self) -> Value {
        json!({
            "batches": self.batches,
            "records": self.records,
            "events.pinned": self.pinned,
            "batches.held": self.held,
            "batches.in_journal": self.in_journal,
            "files.changed": self.changed,
        })
    }
}

/// Judges by the ledger, and tells of moments.
struct Judge<'a> {
    log: &'a Log,
    hashers: Hashers,
    at: &'a mut dyn FnMut(DeletionStep),
    closing: &'a dyn Fn() -> bool,
}

impl CompactWatch for Judge<'_> {
    fn at(&mut self, step: CompactStep) -> bool {
        kill_point("delete", &step);
        match step {
            CompactStep::Renamed => (self.at)(DeletionStep::Renamed),
            CompactStep::Committed => (self.at)(DeletionStep::Committed),
            _ => return !(self.closing)(),
        }
        true
    }

    fn leaf(&mut self, batch: &BatchHead, index: u32, record: &Record) -> [u8; 32] {
        self.hashers.leaf(batch, index, record)
    }

    fn verify(&mut self, batch: &StoredLeaves) -> Result<(), String> {
        verify_stored(self.log, batch)
    }
}

fn digest(file: &FileWritten) -> FileDigest {
    FileDigest { path: file.path.clone(), sha256: file.sha256.clone(), bytes: file.bytes }
}

impl Node {
    /// Deletes what policies let go by themselves, if the configuration says so, and what two persons
    /// agreed on. Blocks; one run at a time.
    ///
    /// # Errors
    /// When the audit log takes nothing, or the table cannot be written. Nothing is half deleted.
    pub fn run_retention(&self, who: &str) -> Result<Value, NodeError> {
        self.run_retention_at(who, &mut |step| kill_point("delete", &step))
    }

    pub(crate) fn run_retention_at(
        &self,
        who: &str,
        at: &mut dyn FnMut(DeletionStep),
    ) -> Result<Value, NodeError> {
        let _turn = self.retaining().turn();
        self.check_not_rereading()?;
        self.finish_deletions()?;
        let now = self.clock().now();
        let mut counts = Counts::default();
        let approved: Vec<_> = {
            let fold = self.retaining().fold();
            let approved = |request: &&super::fold::Request| {
                request.approved.is_some() && request.done.is_none()
            };
            fold.requests().filter(approved).cloned().collect()
        };
        for request in approved.iter().rev() {
            let Wanted::Delete { stream, before } = &request.wanted else { continue };
            let by = request.approved.as_ref().map(|approved| approved.by.clone());
            let because = json!({
                "request.id": request.id, "asked_by": request.by, "approved_by": by,
                "reason": request.reason,
            });
            let asked = self.shelf_of(stream)?.into_iter().filter(|kept| kept.last < *before);
            let chosen = Chosen { stream: stream.clone(), batches: asked.collect(), because };
            let mut of = Counts::default();
            self.delete(vec![chosen], who, &mut of, at)?;
            // What the journal or a changed file kept is tried again; what a hold keeps is refused.
            if of.in_journal == 0 && of.changed.is_empty() {
                let entry = json!({
                    "@timestamp": self.clock().now(), "event.action": super::fold::DONE,
                    "request.id": request.id, "counts": of.shown(),
                });
                self.retaining().write(self.audit(), &[entry])?;
            }
            counts.add(of);
        }
        if self.retaining().fold().settings().delete {
            let chosen = self.past_maximum(now)?;
            self.delete(chosen, who, &mut counts, at)?;
        }
        Ok(counts.shown())
    }

    /// A rereading writes rows anew that it read before: none of them may be gone meanwhile.
    pub(super) fn check_not_rereading(&self) -> Result<(), NodeError> {
        if self.reprocessing()["running"] != true {
            return Ok(());
        }
        Err(NodeError::request(
            "events are being read again: try again when that has ended",
            "イベントの読み直しが実行中です。終わってからもう一度実行してください",
        ))
    }

    /// What policies let go now, by stream.
    fn past_maximum(&self, now: UtcMicros) -> Result<Vec<Chosen>, NodeError> {
        let shelf = self.shelf()?;
        let mut chosen = Vec::new();
        for (_, stream) in shelf.streams() {
            let held = self.retaining().fold().in_force(stream.as_str());
            let Some(days) = held.maximum else { continue };
            let before = now.plus_micros(-i64::from(days) * DAY_MICROS);
            let batches = shelf.of(stream).into_iter().filter(|kept| kept.last < before);
            let because = json!({ "policy": held.policy, "maximum_days": days });
            chosen.push(Chosen { stream: stream.clone(), batches: batches.collect(), because });
        }
        Ok(chosen)
    }

    /// Deletes what of `chosen` is in the table, under no hold and no longer in the journal.
    fn delete(
        &self,
        mut chosen: Vec<Chosen>,
        who: &str,
        counts: &mut Counts,
        at: &mut dyn FnMut(DeletionStep),
    ) -> Result<(), NodeError> {
        for one in &mut chosen {
            one.batches.retain(|kept| self.lake().contains_batch(kept.batch));
        }
        chosen.retain(|one| !one.batches.is_empty());
        if chosen.is_empty() {
            return Ok(());
        }
        counts.in_journal += self.leave_journal(&mut chosen)?;
        counts.changed.extend(self.leave_changed(&mut chosen)?);
        for step in steps(&chosen, DELETE_BATCHES_MAX) {
            let mut attempt = 0;
            loop {
                match self.delete_step(step.clone(), who, counts, at) {
                    Err(NodeError::Lake(LakeError::Outdated(_))) if attempt < ATTEMPTS => {
                        attempt += 1;
                    }
                    done => break done?,
                }
            }
        }
        Ok(())
    }

    /// Takes out of `chosen` what the journal still has: its salts lie there too, and a restart would
    /// bring it back. Answers how many batches.
    fn leave_journal(&self, chosen: &mut [Chosen]) -> Result<u64, NodeError> {
        let in_journal = crate::verify::batches_in_journal(self.data());
        let has = |chosen: &[Chosen], known: &BTreeSet<u64>| {
            chosen.iter().flat_map(|one| &one.batches).any(|kept| known.contains(&kept.batch))
        };
        if !has(chosen, &in_journal) {
            return Ok(0);
        }
        // Old batches in the newest segment, which is never deleted: begin another one.
        self.flush()?;
        self.turn_journal()?;
        let in_journal = crate::verify::batches_in_journal(self.data());
        let mut left = 0;
        for one in chosen {
            let before = one.batches.len();
            one.batches.retain(|kept| !in_journal.contains(&kept.batch));
            left += (before - one.batches.len()) as u64;
        }
        Ok(left)
    }

    /// Takes out of `chosen` what lies in files that are not what the audit log says they were: they
    /// are evidence. Answers these files.
    fn leave_changed(&self, chosen: &mut [Chosen]) -> Result<Vec<String>, NodeError> {
        let all: BTreeSet<u64> =
            chosen.iter().flat_map(|one| &one.batches).map(|kept| kept.batch).collect();
        let mut changed = Vec::new();
        let mut stay: BTreeSet<u64> = BTreeSet::new();
        for file in self.lake().files_with(&all) {
            let named = self.lake().file_written(&file).path;
            let sound = match self.lake().digest_of(&file) {
                Ok((sha256, bytes)) => {
                    self.audit().file_is(&FileDigest { path: named.clone(), sha256, bytes })
                }
                // Not to know is no evidence: it is tried again when the store answers.
                Err(error @ LakeError::Cold { .. }) => return Err(error.into()),
                Err(_) => false,
            };
            if !sound {
                changed.push(named);
                stay.extend(file.batches.iter().map(|rows| rows.batch));
            }
        }
        if changed.is_empty() {
            return Ok(changed);
        }
        for one in chosen {
            one.batches.retain(|kept| !stay.contains(&kept.batch));
        }
        tracing::error!(files = ?changed, "files of the table are not deleted: run yagura verify");
        self.audit().write(&[json!({
            "@timestamp": self.clock().now(),
            "event.action": "retention.refused",
            "files": changed,
            "error.message": "their SHA-256 is not the recorded one",
        })])?;
        Ok(changed)
    }

    fn delete_step(
        &self,
        mut step: Vec<Chosen>,
        who: &str,
        counts: &mut Counts,
        at: &mut dyn FnMut(DeletionStep),
    ) -> Result<(), NodeError> {
        let holds = self.retaining().fold().holds_in_force();
        let held = self.held(&holds, &step)?;
        for one in &mut step {
            one.batches.retain(|kept| !held.contains(&kept.batch));
        }
        step.retain(|one| !one.batches.is_empty());
        let all: BTreeSet<u64> =
            step.iter().flat_map(|one| &one.batches).map(|kept| kept.batch).collect();
        if all.is_empty() {
            counts.held += held.len() as u64;
            return Ok(());
        }
        let entries = self.records_of(&step, who)?;
        let closing = || self.retaining().is_closing();
        let hashers = Hashers::default();
        let mut judge = Judge { log: self.logs().0, hashers, at, closing: &closing };
        let prepared = self.lake().prepare_deletion(&all, &mut judge)?;
        (judge.at)(DeletionStep::Prepared);
        let writing = self.pause_table();
        if !self.lake().is_current(&prepared) {
            return Err(LakeError::Outdated("a file".to_owned()).into());
        }
        // A hold that came meanwhile counts: it is recorded before this, or not before it.
        if !self.retaining().write_unless_held(self.audit(), &entries, &holds)? {
            return Err(LakeError::Outdated("a hold".to_owned()).into());
        }
        (judge.at)(DeletionStep::Recorded);
        let report = self.lake().publish_deletion(prepared, &mut judge)?;
        self.audit().record_files(&report.files.iter().map(digest).collect::<Vec<_>>())?;
        (judge.at)(DeletionStep::Digested);
        self.retaining().write(self.audit(), &[self.finished(&report)])?;
        drop(writing);
        (judge.at)(DeletionStep::Finished);
        self.retaining().shelf().forget(|batch| all.contains(&batch));
        counts.held += held.len() as u64;
        counts.batches += all.len() as u64;
        counts.records += report.rows;
        counts.pinned += self.pinned_in(all.iter().copied());
        Ok(())
    }

    fn finished(&self, report: &yagura_lake::Deleted) -> Value {
        json!({
            "@timestamp": self.clock().now(),
            "event.action": FINISHED,
            "records": report.rows,
            "files.replaced": report.replaced.iter().map(|file| &file.path).collect::<Vec<_>>(),
            "files.written": report.files.iter().map(|file| &file.path).collect::<Vec<_>>(),
        })
    }

    /// The records of a step, one for each stream, or several where its ranges are many.
    fn records_of(&self, step: &[Chosen], who: &str) -> Result<Vec<Value>, NodeError> {
        let now = self.clock().now();
        let mut entries = Vec::new();
        for one in step {
            let all = ranges(&self.shelf_of(&one.stream)?, &one.batches);
            for mut deletion in deletions(one, &all, RANGES_PER_RECORD_MAX, now, who) {
                let within = |kept: &&Kept| {
                    deletion
                        .ranges
                        .iter()
                        .any(|(first, last)| (*first..=*last).contains(&kept.batch))
                };
                let of = one.batches.iter().filter(within);
                deletion.pinned = self.pinned_in(of.map(|kept| kept.batch));
                entries.push(record(DELETED, &deletion));
            }
        }
        Ok(entries)
    }

    /// How many events of these batches are pinned: they stay provable when the batches go.
    pub(super) fn pinned_in(&self, batches: impl Iterator<Item = u64>) -> u64 {
        let fold = self.pinning().fold();
        batches.map(|batch| fold.of_batch(batch)).sum()
    }

    /// Finishes deletions that are recorded and that a crash kept from being done.
    pub(crate) fn finish_deletions(&self) -> Result<(), NodeError> {
        let pending = self.retaining().fold().pending().to_vec();
        if pending.is_empty() {
            return Ok(());
        }
        let mut batches = BTreeSet::new();
        for (batch, _) in self.lake().stored_batches() {
            let within = |ranges: &[(u64, u64)]| {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&batch))
            };
            let mut of = pending.iter().filter(|(_, ranges)| within(ranges)).peekable();
            if of.peek().is_none() {
                continue;
            }
            let stream = self.stream_of(batch)?;
            if of.any(|(known, _)| Some(known) == stream.as_ref()) {
                batches.insert(batch);
            }
        }
        let closing = || false;
        let mut at = |_: DeletionStep| {};
        let hashers = Hashers::default();
        let mut judge = Judge { log: self.logs().0, hashers, at: &mut at, closing: &closing };
        let prepared = self.lake().prepare_deletion(&batches, &mut judge)?;
        let _writing = self.pause_table();
        let report = self.lake().publish_deletion(prepared, &mut judge)?;
        self.audit().record_files(&report.files.iter().map(digest).collect::<Vec<_>>())?;
        self.retaining().write(self.audit(), &[self.finished(&report)])?;
        self.retaining().shelf().forget(|batch| batches.contains(&batch));
        Ok(())
    }

    pub(crate) fn stream_of(&self, batch: u64) -> Result<Option<StreamName>, NodeError> {
        stream_of(self.logs().0, batch)
    }

    /// Batches of `step` that some hold touches.
    fn held(&self, holds: &[Hold], step: &[Chosen]) -> Result<BTreeSet<u64>, NodeError> {
        let mut held = BTreeSet::new();
        for hold in holds {
            for one in step.iter().filter(|one| hold.is_about(one.stream.as_str())) {
                let mut unsure: BTreeSet<u64> = BTreeSet::new();
                for kept in &one.batches {
                    let by_receipt = hold.hosts.is_empty() && hold.overlaps(kept.first, kept.last);
                    if by_receipt {
                        held.insert(kept.batch);
                    } else {
                        unsure.insert(kept.batch);
                    }
                }
                unsure.retain(|batch| !held.contains(batch));
                if !unsure.is_empty() {
                    self.held_by_rows(hold, &unsure, &mut held)?;
                }
            }
        }
        Ok(held)
    }

    fn held_by_rows(
        &self,
        hold: &Hold,
        batches: &BTreeSet<u64>,
        held: &mut BTreeSet<u64>,
    ) -> Result<(), NodeError> {
        for file in self.lake().files_with(batches) {
            if hold.hosts.is_empty() && !may_hold(hold, &file) {
                continue;
            }
            for rows in self.lake().part_of(&file).read(&super::hold::is_wanted)? {
                super::hold::held_rows(hold, &rows?, batches, held)?;
            }
        }
        Ok(())
    }
}

/// What goes, so many batches at a time.
fn steps(chosen: &[Chosen], most: usize) -> Vec<Vec<Chosen>> {
    let all: Vec<(usize, Kept)> = (0..)
        .zip(chosen)
        .flat_map(|(number, one)| one.batches.iter().map(move |kept| (number, *kept)))
        .collect();
    let step = |part: &[(usize, Kept)]| {
        let mut step: BTreeMap<usize, Vec<Kept>> = BTreeMap::new();
        for (number, kept) in part {
            step.entry(*number).or_default().push(*kept);
        }
        let step = step.into_iter().filter_map(|(number, batches)| {
            let one = chosen.get(number)?;
            Some(Chosen { stream: one.stream.clone(), batches, because: one.because.clone() })
        });
        step.collect()
    };
    all.chunks(most).map(step).collect()
}

/// What is recorded of the batches that go of one stream, so many ranges at a time.
fn deletions(
    one: &Chosen,
    all: &[(u64, u64)],
    most: usize,
    now: UtcMicros,
    who: &str,
) -> Vec<Deletion> {
    let deletion = |part: &[(u64, u64)]| {
        let ((first, _), (_, last)) = (part.first()?, part.last()?);
        let of = one.batches.iter().filter(|kept| (*first..=*last).contains(&kept.batch));
        let of: Vec<&Kept> = of.collect();
        Some(Deletion {
            at: now,
            format: DELETE_FORMAT.to_owned(),
            stream: one.stream.clone(),
            ranges: part.to_vec(),
            batches: of.len() as u64,
            records: of.iter().map(|kept| u64::from(kept.records)).sum(),
            pinned: 0,
            first_received: of.iter().map(|kept| kept.first).min().unwrap_or(now),
            last_received: of.iter().map(|kept| kept.last).max().unwrap_or(now),
            because: one.because.clone(),
            by: who.to_owned(),
        })
    };
    all.chunks(most).filter_map(deletion).collect()
}

/// Whether an event of a file may have happened within the bounds of a hold without hosts.
fn may_hold(hold: &Hold, file: &FileEntry) -> bool {
    let Some((first, last)) = file.time else { return true };
    hold.overlaps(UtcMicros::from_micros(first), UtcMicros::from_micros(last))
}

/// The stream of a sealed batch.
pub(crate) fn stream_of(log: &Log, batch: u64) -> Result<Option<StreamName>, NodeError> {
    let Some(leaf) = log.leaf_of_batch(batch)? else { return Ok(None) };
    Ok(Some(log.header(leaf)?.stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(stream: &str, batches: impl IntoIterator<Item = u64>) -> Chosen {
        let kept = |batch: u64| Kept {
            batch,
            stream: 0,
            records: 10,
            first: UtcMicros::from_micros(batch as i64),
            last: UtcMicros::from_micros(batch as i64 + 5),
        };
        let batches = batches.into_iter().map(kept).collect();
        Chosen { stream: StreamName::new(stream).unwrap(), batches, because: json!("x") }
    }

    #[test]
    fn so_many_batches_go_at_a_time() {
        let both = [chosen("a", 1..=3), chosen("b", 4..=5)];
        let shown = |most: usize| -> Vec<Vec<(String, Vec<u64>)>> {
            let one = |one: Chosen| {
                let batches = one.batches.iter().map(|kept| kept.batch).collect();
                (one.stream.to_string(), batches)
            };
            let steps = steps(&both, most).into_iter();
            steps.map(|step| step.into_iter().map(one).collect()).collect()
        };
        let a = |batches: &[u64]| ("a".to_owned(), batches.to_vec());
        let b = |batches: &[u64]| ("b".to_owned(), batches.to_vec());
        assert_eq!(shown(5), [vec![a(&[1, 2, 3]), b(&[4, 5])]]);
        assert_eq!(shown(4), [vec![a(&[1, 2, 3]), b(&[4])], vec![b(&[5])]]);
        assert_eq!(shown(2), [vec![a(&[1, 2])], vec![a(&[3]), b(&[4])], vec![b(&[5])]]);
        assert!(steps(&[], DELETE_BATCHES_MAX).is_empty());
    }

    #[test]
    fn a_record_lists_so_many_ranges_and_the_next_one_the_rest() {
        let one = chosen("a", [1, 2, 5, 9]);
        let all = [(1, 2), (5, 5), (9, 9)];
        let of = |most: usize| {
            let deletions = deletions(&one, &all, most, UtcMicros::default(), "sato");
            assert_eq!(deletions[0].first_received.as_micros(), 1);
            let shown = deletions.into_iter();
            shown.map(|one| (one.ranges, one.batches, one.records)).collect::<Vec<_>>()
        };
        assert_eq!(of(3), [(all.to_vec(), 4, 40)]);
        assert_eq!(of(2), [(all[..2].to_vec(), 3, 30), (all[2..].to_vec(), 1, 10)]);
    }
}
