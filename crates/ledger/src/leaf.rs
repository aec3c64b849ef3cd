//! The event leaf: the exact bytes of one event and its arrival, as the inner tree hashes them.

use crate::Hash;
use crate::hash::{decode_hex, push_hex};
use crate::text::{Lines, split_at_empty_line};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use yagura_event::{EventId, Record, StreamName};

/// Bytes that are not an event leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an event leaf: expected {0:?}")]
pub struct LeafError(&'static str);

/// An event leaf, read back from its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLeaf {
    /// Where the event stands.
    pub id: EventId,
    /// The event.
    pub record: Record,
    /// What keeps its hash from being guessed; see [`leaf_salt`].
    pub salt: [u8; 16],
}

/// Salt of leaf `index`: the first 16 bytes of HMAC-SHA-256(batch salt, index big-endian).
pub fn leaf_salt(batch_salt: &[u8; 32], index: u32) -> [u8; 16] {
    salt_from(&keyed(batch_salt), index)
}

/// Hash of the leaf of `record`, number `index` of batch `batch` of `stream`.
pub fn event_leaf_hash(
    stream: &StreamName,
    batch: u64,
    index: u32,
    record: &Record,
    batch_salt: &[u8; 32],
) -> Hash {
    LeafHasher::new(stream, batch, batch_salt).hash(index, record)
}

/// Hashes the leaves of one batch; keeps what they share. This is on the path of every event.
#[derive(Clone)]
pub struct LeafHasher {
    stream: StreamName,
    batch: u64,
    keyed: Hmac<Sha256>,
    head: String,
}

impl LeafHasher {
    /// For the leaves of one batch.
    pub fn new(stream: &StreamName, batch: u64, batch_salt: &[u8; 32]) -> Self {
        let keyed = keyed(batch_salt);
        LeafHasher { stream: stream.clone(), batch, keyed, head: String::with_capacity(256) }
    }

    /// Hash of the leaf of `record` at `index`.
    pub fn hash(&mut self, index: u32, record: &Record) -> Hash {
        self.write_head(index, record);
        let mut hasher = Sha256::new();
        hasher.update([0]);
        hasher.update(self.head.as_bytes());
        hasher.update(&record.bytes);
        Hash(hasher.finalize().into())
    }

    /// The leaf of `record` at `index`, in full.
    pub fn leaf(&mut self, index: u32, record: &Record) -> Vec<u8> {
        self.write_head(index, record);
        [self.head.as_bytes(), &record.bytes].concat()
    }

    fn write_head(&mut self, index: u32, record: &Record) {
        let salt = salt_from(&self.keyed, index);
        self.head.clear();
        write_head(&mut self.head, &self.stream, self.batch, index, record, &salt);
    }
}

impl EventLeaf {
    /// Reads a leaf. Strict: what it returns encodes to the same bytes again.
    pub fn parse(bytes: &[u8]) -> Result<EventLeaf, LeafError> {
        let (head, raw) = split_at_empty_line(bytes).ok_or(LeafError("an empty line"))?;
        let head = std::str::from_utf8(head).map_err(|_| LeafError("UTF-8"))?;
        let leaf = Self::parse_parts(head, raw).map_err(LeafError)?;
        if leaf.encode() == bytes { Ok(leaf) } else { Err(LeafError("its only spelling")) }
    }

    fn parse_parts(head: &str, raw: &[u8]) -> Result<EventLeaf, &'static str> {
        let mut lines = Lines::new(head);
        lines.exactly("yagura-event v1")?;
        let batch = lines.number("batch")?;
        let index = u32::try_from(lines.number("index")?).map_err(|_| "index")?;
        let stream = StreamName::new(lines.value("stream")?).map_err(|_| "stream")?;
        let received = lines.value("received")?.parse().map_err(|_| "received")?;
        let transport = lines.value("transport")?.parse().map_err(|_| "transport")?;
        let peer = lines.value("peer")?.into();
        let identity = lines.value("identity")?.into();
        let salt = decode_hex(lines.value("salt")?).ok_or("salt")?;
        let length = lines.number("raw")?;
        if length != raw.len() as u64 || !lines.rest().is_empty() {
            return Err("raw");
        }
        let bytes = Bytes::copy_from_slice(raw);
        let record = Record { received, transport, peer, identity, bytes };
        Ok(EventLeaf { id: EventId { stream, batch, index }, record, salt })
    }

    /// The bytes of the leaf.
    pub fn encode(&self) -> Vec<u8> {
        let mut head = String::with_capacity(256);
        let id = &self.id;
        write_head(&mut head, &id.stream, id.batch, id.index, &self.record, &self.salt);
        [head.as_bytes(), &self.record.bytes].concat()
    }
}

fn write_head(
    head: &mut String,
    stream: &StreamName,
    batch: u64,
    index: u32,
    record: &Record,
    salt: &[u8; 16],
) {
    let Record { received, transport, peer, identity, bytes } = record;
    // Proof for every ignored result here: writing to a String does not fail.
    let _ = write!(
        head,
        "yagura-event v1\nbatch {batch}\nindex {index}\nstream {stream}\nreceived {received}\n\
         transport {transport}\npeer "
    );
    push_one_line(head, peer);
    head.push_str("\nidentity ");
    push_one_line(head, identity);
    head.push_str("\nsalt ");
    push_hex(head, salt);
    let _ = write!(head, "\nraw {}\n\n", bytes.len());
}

/// Whoever built the record has already made peer and identity one line ([`Record::peer_text`]);
/// should one have forgotten, a line break must still not forge the lines after it.
fn push_one_line(head: &mut String, text: &str) {
    if text.chars().any(char::is_control) {
        head.push_str(&Record::peer_text(text));
    } else {
        head.push_str(text);
    }
}

fn keyed(batch_salt: &[u8; 32]) -> Hmac<Sha256> {
    // HMAC pads a shorter key with zeros to a block (RFC 2104 section 2); so do we, to spare a
    // fallible constructor that takes any length.
    let mut block = [0; 64];
    block[..32].copy_from_slice(batch_salt);
    <Hmac<Sha256> as KeyInit>::new(&block.into())
}

fn salt_from(keyed: &Hmac<Sha256>, index: u32) -> [u8; 16] {
    let mut mac = keyed.clone();
    mac.update(&index.to_be_bytes());
    let full: [u8; 32] = mac.finalize().into_bytes().into();
    let mut salt = [0; 16];
    salt.copy_from_slice(&full[..16]);
    salt
}
