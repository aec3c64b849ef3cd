//! The batch header: what one sealed batch held. It is the leaf of the outer tree.

use crate::hash::{decode_base64, encode_base64};
use crate::limits::{
    HEADER_BYTES_MAX, ORIGIN_BYTES_MAX, PARSER_BYTES_MAX, REASON_BYTES_MAX, REASONS_MAX,
};
use crate::text::{Lines, decimal};
use crate::{Checkpoint, Hash, epoch};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use yagura_event::{StreamName, UtcMicros};

const MAGIC: &str = "yagura-batch v1";
/// First word of the line that only the header of a new epoch has, its last.
const CONTINUES: &str = "continues";

/// A text that is not a batch header, or a header that cannot be written as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a batch header: bad or missing {0:?}")]
pub struct HeaderError(&'static str);

impl HeaderError {
    /// The header names another log than the one it is appended to.
    pub(crate) fn other_log() -> Self {
        HeaderError("log")
    }

    /// The header opens an epoch, and whoever appends it may not.
    pub(crate) fn opens_an_epoch() -> Self {
        HeaderError(CONTINUES)
    }
}

/// What one sealed batch held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchHeader {
    /// Origin of the log the batch belongs to; [`crate::Log::origin`].
    pub log: Arc<str>,
    /// Number of the batch, unique within the log.
    pub batch: u64,
    /// The stream.
    pub stream: StreamName,
    /// When the first record was received; for a heartbeat, the time of the heartbeat.
    pub first_received: UtcMicros,
    /// When the last record was received; for a heartbeat, the time of the heartbeat.
    pub last_received: UtcMicros,
    /// Number of records; 0 is a heartbeat.
    pub count: u32,
    /// Records refused meanwhile, by reason (1 to 32 of `a-z 0-9 . _ -`); no zeros.
    pub rejected: BTreeMap<String, u64>,
    /// Leaf index and leaf hash of the previous header of this stream; [`crate::Log::stream_tail`].
    pub stream_prev: Option<(u64, Hash)>,
    /// Version of the parser that had read the records (1 to 64 visible ASCII characters), or `none`.
    pub parser: Arc<str>,
    /// Root of the inner tree; [`Hash::empty_root`] exactly when `count` is 0.
    pub root: Hash,
    /// The last checkpoint of the epoch before, where this header opens an epoch of the log;
    /// [`crate::Log::open_epoch`] alone makes such a header. Its `count` is 0.
    pub continues: Option<Checkpoint>,
}

impl BatchHeader {
    /// The header's text. Unless its fields break their rules, [`BatchHeader::parse`] reads it.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(512);
        // Proof for every ignored result here: writing to a String does not fail.
        let _ = write!(
            text,
            "{MAGIC}\nlog {}\nbatch {}\nstream {}\nfirst_received {}\nlast_received {}\ncount {}\n\
             rejected",
            self.log, self.batch, self.stream, self.first_received, self.last_received, self.count
        );
        if self.rejected.is_empty() {
            text.push_str(" none");
        }
        for (reason, count) in &self.rejected {
            let _ = write!(text, " {reason}={count}");
        }
        match &self.stream_prev {
            None => text.push_str("\nstream_prev none"),
            Some((leaf, hash)) => {
                let _ = write!(text, "\nstream_prev {leaf}:{hash}");
            }
        }
        let _ = write!(text, "\nparser {}\nroot {}\n", self.parser, self.root);
        if let Some(old) = &self.continues {
            let _ = writeln!(text, "{CONTINUES} {}", encode_base64(old.note().as_bytes()));
        }
        text
    }

    /// Reads a header. Strict: what it returns encodes to the same text again.
    pub fn parse(text: &str) -> Result<BatchHeader, HeaderError> {
        if text.len() > HEADER_BYTES_MAX {
            return Err(HeaderError("length"));
        }
        let header = Self::parse_lines(text).map_err(HeaderError)?;
        if header.encode() == text { Ok(header) } else { Err(HeaderError("spelling")) }
    }

    /// The header's leaf hash in the outer tree.
    pub fn leaf_hash(&self) -> Hash {
        Hash::leaf(self.encode().as_bytes())
    }

    /// The text, when every field keeps its rules.
    pub(crate) fn checked_text(&self) -> Result<String, HeaderError> {
        let text = self.encode();
        let read_back = Self::parse(&text)?;
        if read_back == *self { Ok(text) } else { Err(HeaderError("fields")) }
    }

    fn parse_lines(text: &str) -> Result<BatchHeader, &'static str> {
        let mut lines = Lines::new(text);
        lines.exactly(MAGIC)?;
        let log = lines.value("log")?;
        if !is_origin(log) {
            return Err("log");
        }
        let batch = lines.number("batch")?;
        let stream = StreamName::new(lines.value("stream")?).map_err(|_| "stream")?;
        let first_received =
            lines.value("first_received")?.parse().map_err(|_| "first_received")?;
        let last_received = lines.value("last_received")?.parse().map_err(|_| "last_received")?;
        let count = u32::try_from(lines.number("count")?).map_err(|_| "count")?;
        let rejected = parse_rejected(lines.value("rejected")?).ok_or("rejected")?;
        let stream_prev = parse_stream_prev(lines.value("stream_prev")?).ok_or("stream_prev")?;
        let parser = lines.value("parser")?;
        if parser.is_empty() || parser.len() > PARSER_BYTES_MAX || !is_visible(parser) {
            return Err("parser");
        }
        let root: Hash = lines.value("root")?.parse().map_err(|_| "root")?;
        if (count == 0) != (root == Hash::empty_root()) {
            return Err("root");
        }
        let continues = match lines.rest() {
            "" => None,
            _ => Some(parse_continues(lines.value(CONTINUES)?).ok_or(CONTINUES)?),
        };
        if !lines.rest().is_empty() {
            return Err("end");
        }
        let opens = |old: &Checkpoint| epoch::next_origin(old.origin()) == log && count == 0;
        if !continues.as_ref().is_none_or(opens) {
            return Err(CONTINUES);
        }
        Ok(BatchHeader {
            log: log.into(),
            batch,
            stream,
            first_received,
            last_received,
            count,
            rejected,
            stream_prev,
            parser: parser.into(),
            root,
            continues,
        })
    }
}

/// The few fields that opening a log needs of every header, read without checking the rest.
pub(crate) struct HeaderGlance<'a> {
    pub(crate) batch: u64,
    pub(crate) stream: &'a str,
    pub(crate) count: u64,
}

impl<'a> HeaderGlance<'a> {
    pub(crate) fn at(text: &'a str) -> Option<Self> {
        let mut lines = Lines::new(text);
        lines.exactly(MAGIC).ok()?;
        lines.value("log").ok()?;
        let batch = lines.number("batch").ok()?;
        let stream = lines.value("stream").ok()?;
        lines.line()?;
        lines.line()?;
        Some(HeaderGlance { batch, stream, count: lines.number("count").ok()? })
    }
}

/// Whether the text is, by its last line, that of a header that opens an epoch.
pub(crate) fn opens_an_epoch(text: &str) -> bool {
    let last = text.strip_suffix('\n').and_then(|text| text.rsplit('\n').next());
    last.is_some_and(|line| line.split(' ').next() == Some(CONTINUES))
}

/// Whether `name` may be a log's origin and a key's name: visible ASCII without `+`.
pub(crate) fn is_origin(name: &str) -> bool {
    (1..=ORIGIN_BYTES_MAX).contains(&name.len()) && is_visible(name) && !name.contains('+')
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn parse_rejected(value: &str) -> Option<BTreeMap<String, u64>> {
    let mut rejected = BTreeMap::new();
    if value == "none" {
        return Some(rejected);
    }
    for part in value.split(' ') {
        let (reason, count) = part.split_once('=')?;
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let sound = (1..=REASON_BYTES_MAX).contains(&reason.len()) && reason.bytes().all(allowed);
        let count = decimal(count).filter(|&count| count > 0)?;
        if !sound || rejected.len() == REASONS_MAX {
            return None;
        }
        rejected.insert(reason.to_owned(), count);
    }
    Some(rejected)
}

fn parse_continues(value: &str) -> Option<Checkpoint> {
    Checkpoint::parse_unverified(&decode_base64(value)?).ok()
}

fn parse_stream_prev(value: &str) -> Option<Option<(u64, Hash)>> {
    if value == "none" {
        return Some(None);
    }
    let (leaf, hash) = value.split_once(':')?;
    Some(Some((decimal(leaf)?, hash.parse().ok()?)))
}
