//! Bytes of segments and frames, as `docs/format/journal.md` draws them.

use crate::limits::{BATCH_NUMBER_MAX, BATCH_RECORDS_MAX, FRAME_BODY_BYTES_MAX, PEER_BYTES_MAX};
use bytes::Bytes;
use std::sync::Arc;
use yagura_event::{Record, StreamName, Transport, UtcMicros};

/// Length of a frame's head.
pub(crate) const HEAD_BYTES: usize = 28;
/// Length of the segment header, both copies.
pub(crate) const HEADER_BYTES: usize = 64;
const COPY_BYTES: usize = 32;
const MAGIC: &[u8; 8] = b"YAGURAJ1";

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Open = 1,
    Record = 2,
    Seal = 3,
    Commit = 4,
}

/// Header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    pub(crate) next_batch: u64,
    pub(crate) key: u32,
}

/// The head of a frame whose CRC is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) way: u8,
    pub(crate) batch: u64,
    pub(crate) index: u32,
    pub(crate) body_bytes: usize,
    body_crc: u32,
}

/// Body of an open frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) salt: [u8; 32],
    pub(crate) opened_at: UtcMicros,
    pub(crate) stream: StreamName,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut copy = [0; COPY_BYTES];
        copy[..8].copy_from_slice(MAGIC);
        copy[8..16].copy_from_slice(&self.number.to_le_bytes());
        copy[16..24].copy_from_slice(&self.next_batch.to_le_bytes());
        copy[24..28].copy_from_slice(&self.key.to_le_bytes());
        let crc = crc32c::crc32c(&copy[..28]);
        copy[28..].copy_from_slice(&crc.to_le_bytes());
        let mut both = [0; HEADER_BYTES];
        both[..COPY_BYTES].copy_from_slice(&copy);
        both[COPY_BYTES..].copy_from_slice(&copy);
        both
    }

    /// The first sound copy, and the offset of a damaged one.
    pub(crate) fn decode(segment: &[u8]) -> Option<(SegmentHeader, Option<usize>)> {
        let (first, second) = segment.get(..HEADER_BYTES)?.split_at(COPY_BYTES);
        match (Self::decode_copy(first), Self::decode_copy(second)) {
            (Some(header), again) if again == Some(header) => Some((header, None)),
            (Some(header), _) => Some((header, Some(COPY_BYTES))),
            (None, Some(header)) => Some((header, Some(0))),
            (None, None) => None,
        }
    }

    fn decode_copy(copy: &[u8]) -> Option<SegmentHeader> {
        let sound = copy.get(..8)? == MAGIC && crc32c::crc32c(copy.get(..28)?) == u32_at(copy, 28)?;
        sound.then_some(SegmentHeader {
            number: u64_at(copy, 8)?,
            next_batch: u64_at(copy, 16)?,
            key: u32_at(copy, 24)?,
        })
    }
}

/// Appends frames to a buffer that will be written at a known offset of a segment.
pub(crate) struct FrameWriter<'a> {
    pub(crate) buffer: &'a mut Vec<u8>,
    /// Offset in the file of the buffer's first byte.
    pub(crate) base: u64,
    /// The segment's key.
    pub(crate) key: u32,
}

impl FrameWriter<'_> {
    pub(crate) fn open(&mut self, batch: u64, index: u32, opening: &Opening) {
        // Twice: the salt cannot be recomputed.
        for _ in 0..2 {
            self.frame(Kind::Open, 0, batch, index, |body| {
                body.extend_from_slice(&opening.salt);
                body.extend_from_slice(&opening.opened_at.as_micros().to_le_bytes());
                body.extend_from_slice(opening.stream.as_str().as_bytes());
            });
        }
    }

    pub(crate) fn record(&mut self, batch: u64, index: u32, record: &Record) {
        self.frame(Kind::Record, way_of(record.transport), batch, index, |body| {
            body.reserve(12 + record.peer.len() + record.identity.len() + record.bytes.len());
            body.extend_from_slice(&record.received.as_micros().to_le_bytes());
            for text in [&record.peer, &record.identity] {
                // Proof: `append` refuses texts longer than `PEER_BYTES_MAX`, which fits.
                let bytes = u16::try_from(text.len()).unwrap_or(u16::MAX);
                body.extend_from_slice(&bytes.to_le_bytes());
            }
            body.extend_from_slice(record.peer.as_bytes());
            body.extend_from_slice(record.identity.as_bytes());
            body.extend_from_slice(&record.bytes);
        });
    }

    pub(crate) fn seal(&mut self, batch: u64, header_text: &str) {
        self.frame(Kind::Seal, 0, batch, 0, |body| body.extend_from_slice(header_text.as_bytes()));
    }

    pub(crate) fn commit(&mut self, next_batch: u64, counts: &[(u64, u32)]) {
        self.frame(Kind::Commit, 0, next_batch, 0, |body| {
            for (batch, count) in counts {
                body.extend_from_slice(&batch.to_le_bytes());
                body.extend_from_slice(&count.to_le_bytes());
            }
        });
    }

    pub(crate) fn frame(
        &mut self,
        kind: Kind,
        way: u8,
        batch: u64,
        index: u32,
        body: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; HEAD_BYTES]);
        body(self.buffer);
        let (head, body) = self.buffer[start..].split_at_mut(HEAD_BYTES);
        // Proof: bodies are at most `FRAME_BODY_BYTES_MAX`, by the limits on what goes in.
        let body_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        head[4..8].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
        head[8..12].copy_from_slice(&body_bytes.to_le_bytes());
        head[12] = kind as u8;
        head[13] = way;
        head[16..24].copy_from_slice(&batch.to_le_bytes());
        head[24..28].copy_from_slice(&index.to_le_bytes());
        let crc = head_crc(self.key, self.base + start as u64, &head[4..]);
        head[..4].copy_from_slice(&crc.to_le_bytes());
    }
}

impl Head {
    /// The head at `offset` of a segment, if there is a sound one.
    pub(crate) fn decode(segment: &[u8], offset: usize, key: u32) -> Option<Head> {
        let head = segment.get(offset..)?.get(..HEAD_BYTES)?;
        // The cheap looks first: most places a search tries are not heads.
        let kind = match head[12] {
            1 => Kind::Open,
            2 => Kind::Record,
            3 => Kind::Seal,
            4 => Kind::Commit,
            _ => return None,
        };
        let body_bytes = usize::try_from(u32_at(head, 8)?).ok()?;
        if body_bytes > FRAME_BODY_BYTES_MAX || head[14..16] != [0, 0] {
            return None;
        }
        if head_crc(key, offset as u64, &head[4..]) != u32_at(head, 0)? {
            return None;
        }
        Some(Head {
            kind,
            way: head[13],
            batch: u64_at(head, 16)?,
            index: u32_at(head, 24)?,
            body_bytes,
            body_crc: u32_at(head, 4)?,
        })
    }

    /// Whether batch and index are ones that a journal writes.
    pub(crate) fn makes_sense(&self) -> bool {
        let index_fits = match self.kind {
            Kind::Record => self.index < BATCH_RECORDS_MAX,
            Kind::Open | Kind::Seal => self.index <= BATCH_RECORDS_MAX,
            Kind::Commit => true,
        };
        index_fits && self.batch <= BATCH_NUMBER_MAX
    }

    /// Whether `body` is what was written.
    pub(crate) fn fits(&self, body: &[u8]) -> bool {
        body.len() == self.body_bytes && crc32c::crc32c(body) == self.body_crc
    }
}

impl Opening {
    pub(crate) fn decode(body: &[u8]) -> Option<Opening> {
        Some(Opening {
            salt: body.get(..32)?.try_into().ok()?,
            opened_at: UtcMicros::from_micros(i64_at(body, 32)?),
            stream: StreamName::new(std::str::from_utf8(body.get(40..)?).ok()?).ok()?,
        })
    }
}

/// Decodes record bodies; keeps the last texts, since neighbours mostly share them.
#[derive(Default)]
pub(crate) struct RecordDecoder {
    peer: Option<Arc<str>>,
    identity: Option<Arc<str>>,
}

impl RecordDecoder {
    pub(crate) fn decode(&mut self, way: u8, body: &[u8]) -> Option<Record> {
        let peer_bytes = usize::from(u16_at(body, 8)?);
        let identity_bytes = usize::from(u16_at(body, 10)?);
        let texts = body.get(12..)?;
        let (peer, rest) = texts.split_at_checked(peer_bytes)?;
        let (identity, raw) = rest.split_at_checked(identity_bytes)?;
        Some(Record {
            received: UtcMicros::from_micros(i64_at(body, 0)?),
            transport: transport_of(way)?,
            peer: shared(&mut self.peer, peer)?,
            identity: shared(&mut self.identity, identity)?,
            bytes: Bytes::copy_from_slice(raw),
        })
    }
}

/// The counts a commit frame states.
pub(crate) fn commit_counts(body: &[u8]) -> impl Iterator<Item = (u64, u32)> + '_ {
    body.chunks_exact(12).filter_map(|pair| Some((u64_at(pair, 0)?, u32_at(pair, 8)?)))
}

/// Whether the texts of `record` fit a frame.
pub(crate) fn fits_a_frame(record: &Record) -> bool {
    record.bytes.len() <= yagura_event::limits::RECORD_BYTES_MAX
        && record.peer.len() <= PEER_BYTES_MAX
        && record.identity.len() <= PEER_BYTES_MAX
}

fn shared(last: &mut Option<Arc<str>>, bytes: &[u8]) -> Option<Arc<str>> {
    if let Some(text) = last
        && text.as_bytes() == bytes
    {
        return Some(text.clone());
    }
    let text: Arc<str> = std::str::from_utf8(bytes).ok()?.into();
    *last = Some(text.clone());
    Some(text)
}

fn head_crc(key: u32, offset: u64, rest: &[u8]) -> u32 {
    let mut place = [0; 12];
    place[..4].copy_from_slice(&key.to_le_bytes());
    place[4..].copy_from_slice(&offset.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), rest)
}

const WAYS: [(u8, Transport); 6] = [
    (1, Transport::SyslogUdp),
    (2, Transport::SyslogTcp),
    (3, Transport::HttpIngest),
    (4, Transport::ElasticBulk),
    (5, Transport::File),
    (6, Transport::Internal),
];

fn way_of(transport: Transport) -> u8 {
    // A transport without a code would make the frame unreadable; the test below forbids it.
    WAYS.iter().find(|(_, known)| *known == transport).map_or(0, |(way, _)| *way)
}

fn transport_of(way: u8) -> Option<Transport> {
    WAYS.iter().find(|(code, _)| *code == way).map(|(_, transport)| *transport)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_transport_has_a_way_back() {
        let words = ["syslog-udp", "syslog-tcp", "http-ingest", "elastic-bulk", "file", "internal"];
        for word in words {
            let transport: Transport = word.parse().unwrap();
            assert_eq!(transport_of(way_of(transport)), Some(transport));
        }
    }

    #[test]
    fn the_layout_is_the_one_documented() {
        let header = SegmentHeader { number: 3, next_batch: 7, key: 0xAABB_CCDD };
        let bytes = header.encode();
        assert_eq!(&bytes[..8], b"YAGURAJ1");
        assert_eq!(&bytes[24..28], [0xDD, 0xCC, 0xBB, 0xAA]);
        assert_eq!(&bytes[..32], &bytes[32..]);
        let mut buffer = Vec::new();
        FrameWriter { buffer: &mut buffer, base: 64, key: header.key }.commit(9, &[(8, 5)]);
        assert_eq!(buffer.len(), HEAD_BYTES + 12);
        assert_eq!(&buffer[8..16], [12, 0, 0, 0, 4, 0, 0, 0]);
        assert_eq!(&buffer[16..24], 9u64.to_le_bytes());
        assert_eq!(&buffer[28..], [8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0]);
    }

    #[test]
    fn a_frame_is_sound_in_its_own_place_only() {
        let mut buffer = vec![0; 64];
        FrameWriter { buffer: &mut buffer, base: 0, key: 5 }.seal(1, "text");
        assert!(Head::decode(&buffer, 64, 5).is_some());
        assert!(Head::decode(&buffer, 64, 6).is_none());
        assert!(Head::decode(&buffer[1..], 63, 5).is_none());
    }

    proptest! {
        #[test]
        fn records_round_trip(
            received in any::<i64>(),
            peer in ".{0,40}",
            identity in ".{0,40}",
            raw in proptest::collection::vec(any::<u8>(), 0..300),
            batch: u64,
            index: u32,
        ) {
            let record = Record {
                received: UtcMicros::from_micros(received),
                transport: Transport::HttpIngest,
                peer: peer.as_str().into(),
                identity: identity.as_str().into(),
                bytes: raw.into(),
            };
            let mut buffer = Vec::new();
            FrameWriter { buffer: &mut buffer, base: 0, key: 1 }.record(batch, index, &record);
            let head = Head::decode(&buffer, 0, 1).unwrap();
            prop_assert_eq!((head.batch, head.index), (batch, index));
            let body = &buffer[HEAD_BYTES..];
            prop_assert!(head.fits(body));
            prop_assert_eq!(RecordDecoder::default().decode(head.way, body).unwrap(), record);
        }
    }
}
