//! Proofs that leave the house: of a header (c2sp.org/tlog-proof) and of one event.

use crate::hash::{decode_base64, encode_base64};
use crate::limits::{PATH_HASHES_MAX, PROOF_BYTES_MAX};
use crate::text::Lines;
use crate::tree::{root_from_path, verify_inclusion};
use crate::{
    BatchHeader, BatchTree, Checkpoint, EventLeaf, Hash, LeafHasher, NoteError, ProofError,
    VerifierKey,
};
use std::fmt::Write as _;
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
    leaf: Vec<u8>,
    path: Vec<Hash>,
    header: String,
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
        let mut hasher = LeafHasher::new(&header.stream, header.batch, batch_salt);
        let mut leaf = None;
        let mut hashes = Vec::new();
        for (at, record) in (0u32..).zip(records) {
            hashes.push(hasher.hash(at, record));
            if at == index {
                leaf = Some(hasher.leaf(at, record));
            }
        }
        let path = BatchTree::path(&hashes, u64::from(index))?;
        Some(EventProof { leaf: leaf?, path, header: header.encode(), outer })
    }

    /// The text of the proof.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(2 * self.leaf.len() + 8 * 1024);
        let mut line = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        line(MAGIC);
        PREFACE.into_iter().for_each(&mut line);
        line("");
        let id = EventLeaf::parse(&self.leaf).map(|leaf| leaf.id.to_string());
        line(&format!("event {}", id.as_deref().unwrap_or("unreadable")));
        match readable(&self.leaf) {
            Some(leaf) => {
                line(&format!("leaf text {}", leaf.len()));
                line(leaf);
            }
            None => {
                let leaf = encode_base64(&self.leaf);
                line(&format!("leaf base64 {}", leaf.len()));
                line(&leaf);
            }
        }
        line(&format!("path {}", self.path.len()));
        self.path.iter().for_each(|hash| line(&hash.to_string()));
        // Proof for the ignored result: writing to a String does not fail.
        let _ = write!(text, "header {}\n{}", self.header.len(), self.header);
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
        lines.value("event")?;
        let (form, length) = lines.value("leaf")?.split_once(' ').ok_or("leaf")?;
        let leaf = take(&mut lines, length, "leaf")?;
        let leaf = match form {
            "text" => leaf.as_bytes().to_vec(),
            "base64" => decode_base64(leaf).ok_or("leaf")?,
            _ => return Err("leaf"),
        };
        EventLeaf::parse(&leaf).map_err(|_| "leaf")?;
        lines.exactly("")?;
        let mut path = Vec::new();
        for _ in
            0..lines.number("path").ok().filter(|&n| n <= PATH_HASHES_MAX as u64).ok_or("path")?
        {
            path.push(lines.line().ok_or("path")?.parse().map_err(|_| "path")?);
        }
        let length = lines.value("header")?;
        let header = take(&mut lines, length, "header")?.to_owned();
        BatchHeader::parse(&header).map_err(|_| "header")?;
        let outer = TlogProof::parse_lines(lines.rest())?;
        Ok(EventProof { leaf, path, header, outer })
    }

    /// Checks everything, offline. `key` must come from somewhere the log's operator cannot change.
    pub fn verify(&self, key: &VerifierKey) -> Result<ProvenEvent, EventProofError> {
        use EventProofError::{Event, Malformed, Mismatch};
        let leaf = EventLeaf::parse(&self.leaf).map_err(|_| Malformed("leaf"))?;
        let header = BatchHeader::parse(&self.header).map_err(|_| Malformed("header"))?;
        if leaf.id.batch != header.batch {
            return Err(Mismatch("batch"));
        }
        if leaf.id.stream != header.stream {
            return Err(Mismatch("stream"));
        }
        let (index, count) = (u64::from(leaf.id.index), u64::from(header.count));
        let root = root_from_path(Hash::leaf(&self.leaf), index, count, &self.path);
        if root.map_err(Event)? != header.root {
            return Err(Event(ProofError::Root));
        }
        let checkpoint = self.outer.verify(Hash::leaf(self.header.as_bytes()), key)?;
        if header.log != *checkpoint.origin() {
            return Err(Mismatch("log"));
        }
        Ok(ProvenEvent { leaf, header, checkpoint })
    }

    /// The event leaf, exactly.
    pub fn leaf(&self) -> &[u8] {
        &self.leaf
    }

    /// The batch header's text.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The proof of the header.
    pub fn outer(&self) -> &TlogProof {
        &self.outer
    }
}

/// Takes the bytes whose number `length` states.
fn take<'a>(
    lines: &mut Lines<'a>,
    length: &str,
    what: &'static str,
) -> Result<&'a str, &'static str> {
    let length = crate::text::decimal(length).and_then(|length| usize::try_from(length).ok());
    length.and_then(|length| lines.bytes(length)).ok_or(what)
}

/// The leaf as text, if showing it in a terminal can do no harm.
fn readable(leaf: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(leaf).ok()?;
    let harmless = |c: char| !c.is_control() || c == '\n' || c == '\t';
    text.chars().all(harmless).then_some(text)
}
