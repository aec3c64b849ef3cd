//! Proofs that leave the house: of a header (c2sp.org/tlog-proof) and of one event.

use crate::limits::{PATH_HASHES_MAX, PROOF_BYTES_MAX};
use crate::text::Lines;
use crate::tree::verify_inclusion;
use crate::{
    BatchHeader, Checkpoint, EventLeaf, Hash, InnerProof, NoteError, ProofError, VerifierKey,
};
use yagura_event::Record;

const TLOG_PROOF: &str = "c2sp.org/tlog-proof@v1";
const MAGIC: &str = "yagura-proof v1";

/// What a person who opens the file should know. Part of the format, hence never edited.
const PREFACE: [&str; 4] = [
    "This file proves that the event below stands in the named log, unchanged since the log signed the",
    "checkpoint at the end. To check it: python3 verify.py PROOF KEY.vkey",
    "このファイルは、下記のイベントが記録された時のまま改変されていないことを証明します。",
    "検証方法: python3 verify.py PROOF KEY.vkey",
];

/// Why a proof does not convince.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventProofError {
    /// The text is not a proof in its only spelling.
    #[error("not an event proof: bad or missing {0:?}")]
    Malformed(&'static str),
    /// The text is not a pin in its only spelling.
    #[error("not a pin: bad or missing {0:?}")]
    NotAPin(&'static str),
    /// The event's leaf is not the one its batch was sealed with.
    #[error("the event was changed, or is not of this batch: {0}")]
    Event(ProofError),
    /// Event and header speak of different batches, streams or logs.
    #[error("event, batch header and checkpoint do not belong together: they differ in {0}")]
    Mismatch(&'static str),
    /// The header is not the one in the log.
    #[error("the batch header was changed, or is not in the log: {0}")]
    Header(ProofError),
    /// The checkpoint does not verify.
    #[error("the checkpoint cannot be trusted: {0}")]
    Checkpoint(NoteError),
}

/// Proof that one header is in the log: a C2SP tlog-proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Leaf index of the header.
    pub index: u64,
    /// Hashes from the header's sibling upwards.
    pub path: Vec<Hash>,
    /// The signed checkpoint the path leads to, as its exact note.
    pub checkpoint: String,
}

impl TlogProof {
    /// The text of the proof.
    pub fn encode(&self) -> String {
        let mut text = format!("{TLOG_PROOF}\nindex {}\n", self.index);
        for hash in &self.path {
            text.push_str(&hash.to_base64());
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Reads a proof without the optional `extra` line. Strict: it encodes to the same text again.
    pub fn parse(text: &str) -> Result<TlogProof, EventProofError> {
        Self::parse_lines(text).map_err(EventProofError::Malformed)
    }

    fn parse_lines(text: &str) -> Result<TlogProof, &'static str> {
        let mut lines = Lines::new(text);
        lines.exactly(TLOG_PROOF)?;
        let index = lines.number("index")?;
        let mut path = Vec::new();
        loop {
            match lines.line().ok_or("tlog-proof path")? {
                "" => break,
                line if path.len() < PATH_HASHES_MAX => {
                    path.push(Hash::from_base64(line).map_err(|_| "tlog-proof path")?);
                }
                _ => return Err("tlog-proof path"),
            }
        }
        let checkpoint = lines.rest().to_owned();
        Checkpoint::parse_unverified(checkpoint.as_bytes()).map_err(|_| "checkpoint")?;
        Ok(TlogProof { index, path, checkpoint })
    }

    /// Checks that a leaf of this hash is in the log of `key`, and returns the checkpoint.
    pub fn verify(&self, leaf: Hash, key: &VerifierKey) -> Result<Checkpoint, EventProofError> {
        let opened = Checkpoint::open(self.checkpoint.as_bytes(), key);
        let checkpoint = opened.map_err(EventProofError::Checkpoint)?;
        let (size, root) = (checkpoint.size(), checkpoint.root());
        verify_inclusion(leaf, self.index, size, &self.path, root)
            .map_err(EventProofError::Header)?;
        Ok(checkpoint)
    }
}

/// Proof that one event is in the log; a file that stands alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventProof {
    inner: InnerProof,
    outer: TlogProof,
}

/// What a proof proved.
#[derive(Debug, Clone)]
pub struct ProvenEvent {
    /// The event, exactly as recorded.
    pub leaf: EventLeaf,
    /// The batch it stands in.
    pub header: BatchHeader,
    /// The checkpoint that covers it.
    pub checkpoint: Checkpoint,
}

impl EventProof {
    /// Proves record `index` among all `records` of the batch of `header`, which `outer` proves
    /// ([`crate::Log::inclusion_proof`]). `None` when `index` is outside the batch. The proof is
    /// only as good as the records: [`EventProof::verify`] tells.
    pub fn build<'a>(
        header: &BatchHeader,
        batch_salt: &[u8; 32],
        records: impl IntoIterator<Item = &'a Record>,
        index: u32,
        outer: TlogProof,
    ) -> Option<EventProof> {
        let inner = InnerProof::build(header, batch_salt, records, index)?;
        Some(EventProof { inner, outer })
    }

    /// The proof that an inner one becomes with the proof of its header.
    pub fn new(inner: InnerProof, outer: TlogProof) -> EventProof {
        EventProof { inner, outer }
    }

    /// The text of the proof.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(2 * self.leaf().len() + 8 * 1024);
        for line in [MAGIC].into_iter().chain(PREFACE).chain([""]) {
            text.push_str(line);
            text.push('\n');
        }
        self.inner.write(&mut text);
        text.push_str(&self.outer.encode());
        text
    }

    /// Reads a proof. Strict: what it returns encodes to the same text again.
    pub fn parse(bytes: &[u8]) -> Result<EventProof, EventProofError> {
        use EventProofError::Malformed;
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(Malformed("length"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed("UTF-8"))?;
        let proof = Self::parse_lines(text).map_err(Malformed)?;
        if proof.encode() == text { Ok(proof) } else { Err(Malformed("spelling")) }
    }

    fn parse_lines(text: &str) -> Result<EventProof, &'static str> {
        let mut lines = Lines::new(text);
        lines.exactly(MAGIC)?;
        for line in PREFACE {
            lines.exactly(line)?;
        }
        lines.exactly("")?;
        let inner = InnerProof::read(&mut lines)?;
        let outer = TlogProof::parse_lines(lines.rest())?;
        Ok(EventProof { inner, outer })
    }

    /// Checks everything, offline. `key` must come from somewhere the log's operator cannot change.
    pub fn verify(&self, key: &VerifierKey) -> Result<ProvenEvent, EventProofError> {
        let (leaf, header) = self.inner.verify()?;
        let checkpoint = self.outer.verify(Hash::leaf(self.header().as_bytes()), key)?;
        if header.log != *checkpoint.origin() {
            return Err(EventProofError::Mismatch("log"));
        }
        Ok(ProvenEvent { leaf, header, checkpoint })
    }

    /// The event leaf, exactly.
    pub fn leaf(&self) -> &[u8] {
        self.inner.leaf()
    }

    /// The batch header's text.
    pub fn header(&self) -> &str {
        self.inner.header()
    }

    /// The proof of the header.
    pub fn outer(&self) -> &TlogProof {
        &self.outer
    }
}
