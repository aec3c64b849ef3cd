//! Proofs of events: from the lake, or from a pin where the lake has the event no more.

use crate::pins::file;
use crate::{Node, NodeError};
use yagura_event::{EventId, Words};
use yagura_lake::LakeError;
use yagura_ledger::EventProof;

/// An offline proof of one event.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The text that `docs/format/verify.py` checks.
    pub text: String,
    /// Where the event's bytes came from.
    pub from: ProofFrom,
}

/// Where the bytes of a proved event came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofFrom {
    /// The lake.
    Lake,
    /// Its pin: its batch was deleted, which is recorded.
    PinOfDeleted,
    /// Its pin: the lake does not give the event, and no deletion is recorded.
    PinOfUnread,
}

impl ProofFrom {
    /// The word that programs read.
    pub fn as_str(self) -> &'static str {
        match self {
            ProofFrom::Lake => "lake",
            ProofFrom::PinOfDeleted => "pin-deleted",
            ProofFrom::PinOfUnread => "pin-unread",
        }
    }

    /// What [`ProofFrom::as_str`] means; the lake for any other word.
    pub fn of_word(word: &str) -> ProofFrom {
        let all = [ProofFrom::PinOfDeleted, ProofFrom::PinOfUnread];
        all.into_iter().find(|from| from.as_str() == word).unwrap_or(ProofFrom::Lake)
    }

    /// What is to be said of it, where there is something to say.
    pub fn words(self, id: &EventId) -> Option<Words> {
        match self {
            ProofFrom::Lake => None,
            ProofFrom::PinOfDeleted => Some(Words::new(
                format!(
                    "{id} is no longer in the lake: its batch was deleted, which is recorded. Its pin has \
                     the bytes and proves them"
                ),
                format!(
                    "{id} はレイクにはもうありません（バッチを削除した記録があります）。内容はピンにあり、それで\
                     証明しました"
                ),
            )),
            ProofFrom::PinOfUnread => Some(Words::new(
                format!(
                    "the lake does not give {id} as it was sealed, and no deletion is recorded: run yagura \
                     verify. Its pin has the bytes and proves them"
                ),
                format!(
                    "封印した内容どおりの {id} をレイクから取り出せません（削除の記録もありません）。yagura verify を\
                     実行してください。内容はピンにあり、それで証明しました"
                ),
            )),
        }
    }
}

impl Node {
    /// An offline proof of one event, from its pin where the lake has it no more. Blocks; an open batch is
    /// sealed and a checkpoint signed first.
    ///
    /// # Errors
    /// When there is no such event, or neither the lake nor a pin gives it.
    pub fn prove(&self, id: &EventId) -> Result<Proof, NodeError> {
        let from_lake = self.prove_from_lake(id);
        let of_lake = |proof: EventProof| Proof { text: proof.encode(), from: ProofFrom::Lake };
        let is_pinned = self.pinning().fold().has(id);
        match from_lake {
            from_lake if !is_pinned => return from_lake.map(|(_, proof)| of_lake(proof)),
            Ok((leaf, proof)) if self.proves(leaf, &proof) => return Ok(of_lake(proof)),
            _ => {}
        }
        let (log, data) = (self.logs().0, self.data());
        let place = data.relative(&file::path(data, id));
        let (leaf, pin) = file::read(data, log, id).map_err(|fault| fault.at(&place))?;
        log.publish()?;
        let proof = EventProof::new(pin, log.inclusion_proof(leaf)?);
        let from = match self.was_deleted(id) {
            true => ProofFrom::PinOfDeleted,
            false => ProofFrom::PinOfUnread,
        };
        Ok(Proof { text: proof.encode(), from })
    }

    fn proves(&self, leaf: u64, proof: &EventProof) -> bool {
        let key = self.logs().0.verifier_key_of(leaf);
        key.is_some_and(|key| proof.verify(key).is_ok())
    }

    /// The leaf of its batch in the log, and the proof.
    fn prove_from_lake(&self, id: &EventId) -> Result<(u64, EventProof), NodeError> {
        let missing = || self.no_such_event(id);
        let stored = match self.lake().stored_batch(id.batch) {
            Err(LakeError::NoSuchBatch(_)) => return Err(missing()),
            stored => stored?,
        };
        let known = stored.stream == id.stream
            && stored.records.iter().any(|(index, _)| *index == id.index);
        if !known {
            return Err(missing());
        }
        let log = self.logs().0;
        if log.leaf_of_batch(id.batch)?.is_none() {
            self.journal().seal(&id.stream)?;
        }
        log.publish()?;
        let leaf = log.leaf_of_batch(id.batch)?.ok_or_else(missing)?;
        let header = log.header(leaf)?;
        // Records may have joined the batch between the first look and its sealing.
        let stored = self.lake().stored_batch(id.batch)?;
        let outer = log.inclusion_proof(leaf)?;
        let records = stored.records.iter().map(|(_, record)| record);
        let proof = EventProof::build(&header, &stored.batch_salt, records, id.index, outer);
        Ok((leaf, proof.ok_or_else(missing)?))
    }

    fn was_deleted(&self, id: &EventId) -> bool {
        self.retaining().fold().deleted().has(&id.stream, id.batch)
    }

    /// There is no such event, with whether a record says why.
    pub(crate) fn no_such_event(&self, id: &EventId) -> NodeError {
        let (en, ja) = match self.was_deleted(id) {
            true => {
                (": its batch was deleted, which is recorded", "（バッチを削除した記録があります）")
            }
            false => ("", ""),
        };
        NodeError::NotFound {
            message: format!("there is no event {id}{en}"),
            message_ja: format!("イベント {id} はありません{ja}"),
        }
    }
}
