//! What several fuzz targets share: a log whose every honest word is known, so that anything else it
//! seems to say is a forgery; segments whose checksums are right whatever they hold; and a place in
//! memory for files.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use yagura_event::{CommittedRun, Record, StreamName, Transport, UtcMicros};
use yagura_ledger::{
    BatchHeader, BatchTree, Checkpoint, EventProof, LeafHasher, SigningKey, TlogProof, VerifierKey,
};

/// A log of one batch of three events.
pub struct KnownLog {
    /// Its public key. The private half signed [`KnownLog::checkpoint`] and nothing else.
    pub key: VerifierKey,
    /// The only checkpoint.
    pub checkpoint: Checkpoint,
    /// The only batch header.
    pub header: BatchHeader,
    /// The only event leaves.
    pub leaves: Vec<Vec<u8>>,
    /// An honest proof of each.
    pub proofs: Vec<EventProof>,
}

impl KnownLog {
    /// The same log every time.
    pub fn new() -> KnownLog {
        let key = SigningKey::from_seed("yagura.example/fuzz/events", &[7; 32]).unwrap();
        let stream = StreamName::new("syslog").unwrap();
        let salt = [9; 32];
        let received: UtcMicros = "2026-06-14T15:16:02Z".parse().unwrap();
        let records: Vec<Record> = [&b"first"[..], b"second\nline", b"\xff\x00\x1b[2J"]
            .into_iter()
            .map(|bytes| record(bytes, Transport::SyslogTcp, received))
            .collect();
        let mut hasher = LeafHasher::new(&stream, 1, &salt);
        let mut tree = BatchTree::new();
        tree.extend((0..).zip(&records).map(|(index, record)| hasher.hash(index, record)));
        let leaves =
            (0..).zip(&records).map(|(index, record)| hasher.leaf(index, record)).collect();
        let header = BatchHeader {
            log: key.name().clone(),
            batch: 1,
            stream,
            first_received: received,
            last_received: received,
            count: 3,
            rejected: BTreeMap::from([("too_long".to_owned(), 2)]),
            stream_prev: None,
            parser: "none".into(),
            root: tree.root(),
            continues: None,
        };
        let checkpoint = Checkpoint::sign(1, header.leaf_hash(), &key);
        let prove = |index| {
            let outer =
                TlogProof { index: 0, path: Vec::new(), checkpoint: checkpoint.note().to_owned() };
            EventProof::build(&header, &salt, &records, index, outer).unwrap()
        };
        let proofs = (0..3).map(prove).collect();
        KnownLog { key: key.verifier_key().clone(), checkpoint, header, leaves, proofs }
    }
}

impl Default for KnownLog {
    fn default() -> Self {
        Self::new()
    }
}

/// A record of these bytes.
pub fn record(bytes: &[u8], transport: Transport, received: UtcMicros) -> Record {
    Record {
        received,
        transport,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: bytes.to_vec().into(),
    }
}

/// A run of one record of these bytes.
pub fn run_of(stream: &str, transport: Transport, bytes: &[u8]) -> CommittedRun {
    let received = "2026-06-14T15:16:02Z".parse().unwrap();
    CommittedRun {
        stream: StreamName::new(stream).unwrap(),
        batch: 1,
        batch_salt: [0; 32],
        first_index: 0,
        records: vec![record(bytes, transport, received)],
    }
}

/// An empty directory of this process, in memory where the system has such a place.
pub fn scratch_dir(target: &str) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let dir = base.join(format!("yagura-fuzz-{target}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// Makes a journal segment of any bytes (docs/format/journal.md): both header copies and the head
/// and body of every frame get their right checksums, and lengths that fit. What the frames say is
/// left alone, so that the fuzzer gets past the checksums.
pub fn repair_segment(bytes: &mut [u8]) {
    if bytes.len() < 64 {
        return;
    }
    bytes[..8].copy_from_slice(b"YAGURAJ1");
    let crc = crc32c(&[&bytes[..28]]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    bytes.copy_within(..32, 32);
    let key: [u8; 4] = bytes[24..28].try_into().unwrap();
    let mut at = 64;
    while at + 28 <= bytes.len() {
        let (offset, frame) = (at as u64, &mut bytes[at..]);
        let stated = u32::from_le_bytes(frame[8..12].try_into().unwrap()) as usize;
        let length = stated.min(frame.len() - 28);
        frame[8..12].copy_from_slice(&(length as u32).to_le_bytes());
        frame[14..16].fill(0);
        let body = crc32c(&[&frame[28..28 + length]]);
        frame[4..8].copy_from_slice(&body.to_le_bytes());
        let head = crc32c(&[&key, &offset.to_le_bytes(), &frame[4..28]]);
        frame[..4].copy_from_slice(&head.to_le_bytes());
        at += 28 + length;
    }
}

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4), bit by bit.
fn crc32c(parts: &[&[u8]]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
    let add = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !parts.iter().flat_map(|part| part.iter()).fold(u32::MAX, add)
}

/// Bytes of a chunk of a Windows event log, and of the header in front of its records.
const CHUNK_BYTES: usize = 65_536;
const CHUNK_HEADER_BYTES: usize = 512;

/// A chunk of a Windows event log that begins with `bytes`, and whose header says that nothing of it
/// has a checksum.
pub fn evtx_chunk(bytes: &[u8]) -> Vec<u8> {
    const NO_CHECKSUM: u8 = 4;
    let mut chunk = bytes.to_vec();
    chunk.resize(CHUNK_BYTES, 0);
    chunk[..8].copy_from_slice(b"ElfChnk\0");
    chunk[40..44].copy_from_slice(&128u32.to_le_bytes());
    chunk[120] |= NO_CHECKSUM;
    chunk
}

/// The used part of a chunk with one event of Sysmon, written without a template.
pub fn one_event_chunk() -> Vec<u8> {
    let mut chunk = evtx_chunk(&[]);
    chunk.truncate(CHUNK_HEADER_BYTES);
    chunk.extend_from_slice(b"**\0\0");
    // The record's length, which is not known yet; number; time as 100 ns since 1601.
    chunk.extend_from_slice(&0u32.to_le_bytes());
    chunk.extend_from_slice(&1u64.to_le_bytes());
    chunk.extend_from_slice(&134_081_000_000_000_000u64.to_le_bytes());
    // A fragment of binary XML, version 1.1.
    chunk.extend_from_slice(&[0x0f, 1, 1, 0]);
    open(&mut chunk, "Event", &[]);
    open(&mut chunk, "System", &[]);
    open(&mut chunk, "Provider", &[("Name", "Microsoft-Windows-Sysmon")]);
    close(&mut chunk);
    for (name, value) in [
        ("EventID", "1"),
        ("EventRecordID", "1"),
        ("Channel", "Microsoft-Windows-Sysmon/Operational"),
        ("Computer", "PC07"),
    ] {
        open(&mut chunk, name, &[]);
        text(&mut chunk, value);
        close(&mut chunk);
    }
    close(&mut chunk);
    open(&mut chunk, "EventData", &[]);
    for (name, value) in [("Image", r"C:\Windows\System32\whoami.exe"), ("User", r"CORP\tanaka")] {
        open(&mut chunk, "Data", &[("Name", name)]);
        text(&mut chunk, value);
        close(&mut chunk);
    }
    close(&mut chunk);
    close(&mut chunk);
    chunk.push(0);
    while chunk.len() % 8 != 4 {
        chunk.push(0);
    }
    let length = (chunk.len() + 4 - CHUNK_HEADER_BYTES) as u32;
    chunk.extend_from_slice(&length.to_le_bytes());
    chunk[CHUNK_HEADER_BYTES + 4..CHUNK_HEADER_BYTES + 8].copy_from_slice(&length.to_le_bytes());
    // First and last record by place and by number; where the last begins, and free space.
    for place in [8, 16, 24, 32] {
        chunk[place..place + 8].copy_from_slice(&1u64.to_le_bytes());
    }
    chunk[44..48].copy_from_slice(&(CHUNK_HEADER_BYTES as u32).to_le_bytes());
    let free = chunk.len() as u32;
    chunk[48..52].copy_from_slice(&free.to_le_bytes());
    chunk
}

/// A Windows event log with that one event.
pub fn one_event_file() -> Vec<u8> {
    let mut file = vec![0; 4_096];
    file[..8].copy_from_slice(b"ElfFile\0");
    // The next record; lengths of the header and of its block; version 3.1; one chunk.
    file[24..32].copy_from_slice(&2u64.to_le_bytes());
    file[32..36].copy_from_slice(&128u32.to_le_bytes());
    for (place, number) in [(36, 1u16), (38, 3), (40, 4_096), (42, 1)] {
        file[place..place + 2].copy_from_slice(&number.to_le_bytes());
    }
    let checksum = crc32(&file[..120]);
    file[124..128].copy_from_slice(&checksum.to_le_bytes());
    file.extend_from_slice(&evtx_chunk(&one_event_chunk()));
    file
}

/// CRC-32 as in zip files.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

fn open(chunk: &mut Vec<u8>, element: &str, attributes: &[(&str, &str)]) {
    chunk.push(if attributes.is_empty() { 0x01 } else { 0x41 });
    // Its length, which nobody reads.
    chunk.extend_from_slice(&0u32.to_le_bytes());
    name(chunk, element);
    if !attributes.is_empty() {
        chunk.extend_from_slice(&0u32.to_le_bytes());
    }
    for (key, value) in attributes {
        chunk.push(0x06);
        name(chunk, key);
        text(chunk, value);
    }
    chunk.push(0x02);
}

fn close(chunk: &mut Vec<u8>) {
    chunk.push(0x04);
}

/// Where the name is, which is here: no further string, a hash, its length, and the name.
fn name(chunk: &mut Vec<u8>, name: &str) {
    let place = chunk.len() as u32 + 4;
    chunk.extend_from_slice(&place.to_le_bytes());
    chunk.extend_from_slice(&[0; 6]);
    utf16(chunk, name);
    chunk.extend_from_slice(&[0, 0]);
}

fn text(chunk: &mut Vec<u8>, value: &str) {
    chunk.extend_from_slice(&[0x05, 0x01]);
    utf16(chunk, value);
}

fn utf16(chunk: &mut Vec<u8>, text: &str) {
    let units: Vec<u16> = text.encode_utf16().collect();
    chunk.extend_from_slice(&(units.len() as u16).to_le_bytes());
    units.iter().for_each(|unit| chunk.extend_from_slice(&unit.to_le_bytes()));
}
