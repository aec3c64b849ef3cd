//! The inner half of an event's proof: what leads from the event to the root of its batch. It needs the
//! batch when it is made and never again, so kept as a pin it outlives the batch; the outer half, from
//! the header to a checkpoint, can be had at any time, because headers and tiles stay.

use crate::hash::{decode_base64, encode_base64};
use crate::limits::{PATH_HASHES_MAX, PROOF_BYTES_MAX};
use crate::text::Lines;
use crate::tree::root_from_path;
use crate::{BatchHeader, BatchTree, EventLeaf, EventProofError, Hash, LeafHasher, ProofError};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use yagura_event::Record;

const MAGIC: &str = "yagura-pin v1";

/// An event, its path to the root of its batch, and the batch's header.
///
/// It holds the salt of its own leaf alone: with the batch's salt gone, the hashes of its path say
/// nothing about the events beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InnerProof {
    leaf: Vec<u8>,
    path: Vec<Hash>,
    header: String,
}

impl InnerProof {
    /// Of record `index` among all `records` of the batch of `header`. `None` when `index` is outside
    /// the batch. It is only as good as the records: [`InnerProof::verify`] tells.
    pub fn build<'a>(
        header: &BatchHeader,
        batch_salt: &[u8; 32],
        records: impl IntoIterator<Item = &'a Record>,
        index: u32,
    ) -> Option<InnerProof> {
        InnerProof::build_all(header, batch_salt, records, &BTreeSet::from([index]))?.pop()
    }

    /// [`InnerProof::build`] of several records of one batch, in order of index. `None` when one of
    /// `indexes` is outside the batch.
    pub fn build_all<'a>(
        header: &BatchHeader,
        batch_salt: &[u8; 32],
        records: impl IntoIterator<Item = &'a Record>,
        indexes: &BTreeSet<u32>,
    ) -> Option<Vec<InnerProof>> {
        let mut hasher = LeafHasher::new(&header.stream, header.batch, batch_salt);
        let mut leaves = Vec::with_capacity(indexes.len());
        let mut hashes = Vec::new();
        for (at, record) in (0u32..).zip(records) {
            hashes.push(hasher.hash(at, record));
            if indexes.contains(&at) {
                leaves.push((at, hasher.leaf(at, record)));
            }
        }
        if leaves.len() < indexes.len() {
            return None;
        }
        let text = header.encode();
        let proof = |(index, leaf): (u32, Vec<u8>)| {
            let path = BatchTree::path(&hashes, u64::from(index))?;
            Some(InnerProof { leaf, path, header: text.clone() })
        };
        leaves.into_iter().map(proof).collect()
    }

    /// The text of a pin: what is kept of an event so that it can be proved without its batch.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(2 * self.leaf.len() + 2 * 1024);
        text.push_str(MAGIC);
        text.push('\n');
        self.write(&mut text);
        text
    }

    /// Reads a pin of [`PROOF_BYTES_MAX`] bytes at most. Strict: what it returns encodes to the same
    /// text again.
    ///
    /// # Errors
    /// [`EventProofError::NotAPin`].
    pub fn parse(bytes: &[u8]) -> Result<InnerProof, EventProofError> {
        use EventProofError::NotAPin;
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(NotAPin("length"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NotAPin("UTF-8"))?;
        let read = || {
            let mut lines = Lines::new(text);
            lines.exactly(MAGIC)?;
            let pin = InnerProof::read(&mut lines)?;
            if lines.rest().is_empty() { Ok(pin) } else { Err("end") }
        };
        let pin = read().map_err(NotAPin)?;
        if pin.encode() == text { Ok(pin) } else { Err(NotAPin("spelling")) }
    }

    /// The lines that a proof and a pin have in common.
    pub(crate) fn write(&self, text: &mut String) {
        let mut line = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
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
    }

    /// Reads what [`InnerProof::write`] writes; whether it is spelt so, the caller compares.
    pub(crate) fn read(lines: &mut Lines<'_>) -> Result<InnerProof, &'static str> {
        lines.value("event")?;
        let (form, length) = lines.value("leaf")?.split_once(' ').ok_or("leaf")?;
        let leaf = take(lines, length, "leaf")?;
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
        let header = take(lines, length, "header")?.to_owned();
        BatchHeader::parse(&header).map_err(|_| "header")?;
        Ok(InnerProof { leaf, path, header })
    }

    /// Checks that the event leads to the root in the header. That the header is one of the log,
    /// [`crate::EventProof::verify`] checks.
    ///
    /// # Errors
    /// [`EventProofError::Event`] or [`EventProofError::Mismatch`].
    pub fn verify(&self) -> Result<(EventLeaf, BatchHeader), EventProofError> {
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
        match root.map_err(Event)? == header.root {
            true => Ok((leaf, header)),
            false => Err(Event(ProofError::Root)),
        }
    }

    /// The event leaf, exactly.
    pub fn leaf(&self) -> &[u8] {
        &self.leaf
    }

    /// The batch header's text.
    pub fn header(&self) -> &str {
        &self.header
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
