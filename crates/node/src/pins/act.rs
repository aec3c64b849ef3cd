//! Pinning and unpinning, each on record with who and why.

use super::fold::{Because, Entry, PINNED, UNPINNED};
use super::limits::{PIN_BYTES_AT_ONCE, PIN_FILES_AT_ONCE, PINS_AT_ONCE_MAX, PINS_MAX};
use super::{PinFold, file};
use crate::retention::{Named, checked_name, checked_reason};
use crate::{Node, NodeError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use yagura_event::{EventId, UtcMicros, Words};
use yagura_lake::{LakeError, StoredBatch};
use yagura_ledger::{BatchHeader, InnerProof};

/// What is to be pinned.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PinRequest {
    /// Ids of events, `stream/batch/index`; up to [`PINS_AT_ONCE_MAX`].
    pub events: Vec<String>,
    /// Why; needed.
    pub reason: String,
    /// The case they belong to.
    pub case: String,
    /// Who asks for it; needed.
    pub by: String,
}

/// What is no longer to be pinned.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnpinRequest {
    /// Ids of events; up to [`PINS_AT_ONCE_MAX`].
    pub events: Vec<String>,
    /// Why; needed.
    pub reason: String,
    /// Who asks for it; needed.
    pub by: String,
    /// Whether events may go of which the pin is all that is left.
    pub last_copy: bool,
}

/// A moment of pinning or unpinning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PinStep {
    /// Files have their names; no record names them yet.
    Written,
    /// The audit log has the pins.
    Pinned,
    /// The audit log has that they are none any more; the files are still there.
    Unpinned,
    /// The files are gone.
    Removed,
}

/// Texts of pins that wait for being written together.
#[derive(Default)]
struct Waiting {
    files: Vec<(PathBuf, String)>,
    bytes: usize,
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.files.len() >= PIN_FILES_AT_ONCE || self.bytes >= PIN_BYTES_AT_ONCE
    }
}

fn ids(events: &[String]) -> Result<BTreeSet<EventId>, NodeError> {
    if events.is_empty() || events.len() > PINS_AT_ONCE_MAX {
        return Err(NodeError::request(
            format!("name 1 to {PINS_AT_ONCE_MAX} events: you named {}", events.len()),
            format!(
                "イベントは1件から{PINS_AT_ONCE_MAX}件まで指定できます（指定: {}件）",
                events.len()
            ),
        ));
    }
    let id = |text: &String| {
        text.parse().map_err(|_| {
            let shown: String = text.chars().take(200).collect();
            NodeError::request(
                format!("{shown:?} is not an event id (stream/batch/index)"),
                format!("{shown:?} はイベントIDではありません（stream/batch/index）"),
            )
        })
    };
    events.iter().map(id).collect()
}

fn because(
    (reason, case, by): (&str, &str, &str),
    account: &str,
    at: UtcMicros,
) -> Result<Because, NodeError> {
    let case = match case.trim().is_empty() {
        true => String::new(),
        false => checked_name(case, Named::Case)?,
    };
    let (by, reason) = (checked_name(by, Named::Person)?, checked_reason(reason)?);
    Ok(Because { at, reason, case, by, account: account.to_owned() })
}

/// Refuses what would be more than may be pinned.
fn check_room(fold: &PinFold, more: usize) -> Result<(), NodeError> {
    if fold.len() + more <= PINS_MAX {
        return Ok(());
    }
    let room = PINS_MAX.saturating_sub(fold.len());
    Err(NodeError::request(
        format!(
            "at most {PINS_MAX} events can be pinned, and there is room for {room} more: unpin some, or \
             put the stream under a legal hold"
        ),
        format!(
            "ピン留めできるのは{PINS_MAX}件までで、残りは{room}件です。不要なピンを外すか、ストリームを\
             保全してください"
        ),
    ))
}

/// The batch of an event does not give the root that it was sealed with.
fn changed(batch: u64, reason: &dyn std::fmt::Display) -> NodeError {
    NodeError::Pin(Words::new(
        format!(
            "batch {batch} is not what was sealed ({reason}), so its events cannot be pinned: run yagura \
             verify"
        ),
        format!(
            "バッチ{batch}が封印したときの内容と一致しないため（{reason}）、ピン留めできません。yagura \
             verify を実行してください"
        ),
    ))
}

impl Node {
    /// Pins events: keeps of each what proves it without its batch. Those that are pinned already stay as
    /// they are. All of them, or none. Blocks; batches that are open are sealed first.
    ///
    /// # Errors
    /// When the request cannot be right, an event is not there or not what was sealed, there are too many,
    /// or the disk or the audit log takes nothing.
    pub fn pin(&self, request: &PinRequest, who: &str) -> Result<Value, NodeError> {
        self.pin_at(request, who, &mut |_| {})
    }

    pub(crate) fn pin_at(
        &self,
        request: &PinRequest,
        who: &str,
        at: &mut dyn FnMut(PinStep),
    ) -> Result<Value, NodeError> {
        let said = (request.reason.as_str(), request.case.as_str(), request.by.as_str());
        let because = because(said, who, self.clock().now())?;
        let mut new = ids(&request.events)?;
        let asked = new.len();
        let _turn = self.pinning().pause();
        {
            let fold = self.pinning().fold();
            new.retain(|id| !fold.has(id));
            check_room(&fold, new.len())?;
        }
        let answer = json!({ "pinned": new.len(), "already": asked - new.len() });
        if new.is_empty() {
            return Ok(answer);
        }
        self.seal_batches(&new)?;
        if let Err(error) = self.write_pins(&new, at) {
            // What was written of it belongs to no record. Where it cannot go now, it goes at the next start.
            let fold = self.pinning().fold().clone();
            if let Some(_free) = self.free_to_remove()
                && let Err(error) = super::tidy(self.data(), self.audit(), &fold)
            {
                tracing::warn!(%error, "what is left of pins that failed goes at the next start");
            }
            return Err(error);
        }
        at(PinStep::Written);
        let events = new.into_iter().collect();
        self.record_pins(Entry { action: PINNED.to_owned(), events, because })?;
        at(PinStep::Pinned);
        Ok(answer)
    }

    fn record_pins(&self, entry: Entry) -> Result<(), NodeError> {
        self.audit().write(&[json!(entry)])?;
        self.pinning().fold().add(entry);
        Ok(())
    }

    /// Sees that every event is there, in a batch that is sealed and wholly in the lake.
    fn seal_batches(&self, ids: &BTreeSet<EventId>) -> Result<(), NodeError> {
        let log = self.logs().0;
        let mut open: BTreeMap<u64, &EventId> = BTreeMap::new();
        for id in ids {
            if log.leaf_of_batch(id.batch)?.is_none() {
                open.insert(id.batch, id);
            }
        }
        if !open.is_empty() {
            self.wait_for_lake()?;
        }
        for id in open.into_values() {
            let stream = match self.lake().stored_batch(id.batch) {
                Err(LakeError::NoSuchBatch(_)) => None,
                stored => Some(stored?.stream),
            };
            if stream.as_ref() != Some(&id.stream) {
                return Err(self.no_such_event(id));
            }
            self.journal().seal(&id.stream)?;
        }
        if ids.iter().any(|id| !self.lake().has_whole(id.batch)) {
            self.wait_for_lake()?;
        }
        for id in ids {
            let header = self.sealed_header(id.batch)?;
            let known = header.is_some_and(|header| {
                header.stream == id.stream
                    && id.index < header.count
                    && self.lake().has_whole(id.batch)
            });
            if !known {
                return Err(self.no_such_event(id));
            }
        }
        Ok(())
    }

    /// What the journal has taken so far may still be on its way to the lake.
    fn wait_for_lake(&self) -> Result<(), NodeError> {
        // Where the pipeline has stopped, what is asked of the lake next says what is missing.
        let _ = self.journal().mark()?.recv();
        Ok(())
    }

    fn sealed_header(&self, batch: u64) -> Result<Option<BatchHeader>, NodeError> {
        let log = self.logs().0;
        let leaf = log.leaf_of_batch(batch)?;
        Ok(leaf.map(|leaf| log.header(leaf)).transpose()?)
    }

    /// Writes the files of pins, each judged before.
    fn write_pins(
        &self,
        ids: &BTreeSet<EventId>,
        at: &mut dyn FnMut(PinStep),
    ) -> Result<(), NodeError> {
        let mut wanted: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
        for id in ids {
            wanted.entry(id.batch).or_default().insert(id.index);
        }
        let mut waiting = Waiting::default();
        let mut left: BTreeSet<u64> = wanted.keys().copied().collect();
        let mut take = |stored: StoredBatch, left: &mut BTreeSet<u64>| -> Result<(), NodeError> {
            left.remove(&stored.batch);
            let Some(indexes) = wanted.get(&stored.batch) else { return Ok(()) };
            let header = self.sealed_header(stored.batch)?;
            let records = stored.records.iter().map(|(_, record)| record);
            let proofs = header.and_then(|header| {
                InnerProof::build_all(&header, &stored.batch_salt, records, indexes)
            });
            for proof in proofs.ok_or_else(|| changed(stored.batch, &"records are missing"))? {
                let (leaf, _) = proof.verify().map_err(|error| changed(stored.batch, &error))?;
                let text = proof.encode();
                waiting.bytes += text.len();
                waiting.files.push((file::path(self.data(), &leaf.id), text));
                if waiting.is_full() {
                    self.write_waiting(std::mem::take(&mut waiting))?;
                    at(PinStep::Written);
                }
            }
            Ok(())
        };
        // Files are walked once for all their batches; what is in memory alone, batch by batch.
        let in_table: BTreeSet<u64> =
            left.iter().copied().filter(|batch| self.lake().contains_batch(*batch)).collect();
        self.lake().for_each_batch_among(&in_table, |stored| take(stored, &mut left))?;
        for batch in left.clone() {
            match (self.lake().stored_batch(batch), ids.iter().find(|id| id.batch == batch)) {
                // It was deleted at this moment.
                (Err(LakeError::NoSuchBatch(_)), Some(id)) => return Err(self.no_such_event(id)),
                (stored, _) => take(stored?, &mut left)?,
            }
        }
        self.write_waiting(waiting)
    }

    fn write_waiting(&self, waiting: Waiting) -> Result<(), NodeError> {
        let dir = self.data().pins();
        match waiting.files.is_empty() {
            true => Ok(()),
            false => crate::files::write_all(self.data(), self.audit(), &dir, &waiting.files),
        }
    }

    /// Takes pins back: the record of it comes first, then their files go. An event whose batch was deleted
    /// is gone with its pin, so that has to be said, and no legal hold may be about its stream.
    ///
    /// # Errors
    /// When the request cannot be right, an event is not pinned, a hold or a verification needs the files,
    /// or the audit log takes nothing.
    pub fn unpin(&self, request: &UnpinRequest, who: &str) -> Result<Value, NodeError> {
        self.unpin_at(request, who, &mut |_| {})
    }

    pub(crate) fn unpin_at(
        &self,
        request: &UnpinRequest,
        who: &str,
        at: &mut dyn FnMut(PinStep),
    ) -> Result<Value, NodeError> {
        let said = (request.reason.as_str(), "", request.by.as_str());
        let because = because(said, who, self.clock().now())?;
        let ids = ids(&request.events)?;
        let _turn = self.pinning().pause();
        // Before the table, as a verification does.
        let _free = self.wait_to_remove()?;
        let paths: Vec<PathBuf> = ids.iter().map(|id| file::path(self.data(), id)).collect();
        let gone = {
            // No batch is deleted between the look and the record, and no hold is added.
            let _table = self.pause_table();
            let retention = self.retaining().fold();
            for id in &ids {
                if !self.pinning().fold().has(id) {
                    return Err(NodeError::NotFound {
                        message: format!("{id} is not pinned: yagura ledger pins lists what is"),
                        message_ja: format!(
                            "{id} はピン留めされていません。一覧は yagura ledger pins で確認できます"
                        ),
                    });
                }
            }
            let is_gone = |id: &&EventId| {
                retention.deleted().has(&id.stream, id.batch) || !self.lake().has_whole(id.batch)
            };
            let gone: Vec<&EventId> = ids.iter().filter(is_gone).collect();
            for id in &gone {
                let holds = retention.holds_in_force();
                if let Some(hold) = holds.iter().find(|hold| hold.is_about(id.stream.as_str())) {
                    return Err(held(id, &hold.id));
                }
            }
            if let Some(id) = gone.first().filter(|_| !request.last_copy) {
                return Err(last_copy(id, gone.len()));
            }
            let gone = gone.len();
            let events = ids.iter().cloned().collect();
            self.record_pins(Entry { action: UNPINNED.to_owned(), events, because })?;
            gone
        };
        at(PinStep::Unpinned);
        crate::files::remove_all(self.data(), self.audit(), &self.data().pins(), &paths)?;
        at(PinStep::Removed);
        Ok(json!({ "unpinned": ids.len(), "gone": gone }))
    }
}

/// A legal hold comes before whoever unpins, as it comes before every policy.
fn held(id: &EventId, hold: &str) -> NodeError {
    NodeError::request(
        format!(
            "the pin is all that is left of {id}, and the legal hold {hold} is about its stream: release it \
             first"
        ),
        format!(
            "{id} はピンにしか残っておらず、ストリームが保全 {hold} の対象です。先に保全を解除してください"
        ),
    )
}

fn last_copy(id: &EventId, count: usize) -> NodeError {
    NodeError::request(
        format!(
            "the pin is all that is left of {id} ({count} in all): its batch was deleted. With --last-copy \
             (last_copy) its bytes go for ever"
        ),
        format!(
            "{id} など{count}件は、バッチが削除され、ピンにしか残っていません。--last-copy（last_copy）を付けると、\
             内容は二度と戻りません"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_bytes_of_pins_wait_together() {
        let full = |bytes: usize| Waiting { files: Vec::new(), bytes }.is_full();
        assert!(!full(PIN_BYTES_AT_ONCE - 1) && full(PIN_BYTES_AT_ONCE));
    }
}
