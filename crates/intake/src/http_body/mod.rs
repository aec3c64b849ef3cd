//! What the bodies of `POST /api/v1/ingest` and `POST /_bulk` carry. Pure functions: bytes in,
//! records out; the HTTP server calls them.
//!
//! A record's bytes are the exact source text of one event: an element of a JSON array without the
//! commas around it, or a line of JSON lines without its line end.

mod bulk;
mod encoding;
mod ingest;
mod json;

pub use bulk::{
    BulkAction, BulkAnswer, BulkItem, BulkOutcome, BulkRequest, BulkStreams, ItemError,
    bulk_response, parse_bulk, parse_document,
};
pub use encoding::decode_body;
pub use ingest::{EventError, Ingest, parse_ingest};

use bytes::Bytes;
use std::sync::Arc;
use yagura_event::{Record, Transport, UtcMicros};

/// The stream of records from `POST /api/v1/ingest`.
pub const INGEST_STREAM: &str = "ingest";

/// A body that is refused as a whole. Nothing of it was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// No event in it is JSON.
    #[error(
        "not JSON at line {line}, column {column}: {reason}; send JSON objects, one per line or in one array"
    )]
    NotJson {
        /// Line of the first fault, from 1.
        line: usize,
        /// Column of the first fault in bytes, from 1 (0 when the line ended too early).
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// An action line of a bulk body is malformed, so what follows cannot be told apart.
    #[error("Malformed action/metadata line [{line}], {reason}")]
    MalformedAction {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The compressed data is damaged.
    #[error("the {encoding} body is damaged: {reason}")]
    Damaged {
        /// The content encoding.
        encoding: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The content encoding is none of ours.
    #[error("unsupported content encoding {0:?}: use gzip, deflate, zstd or none")]
    Encoding(String),
    /// The body is larger than allowed.
    #[error("the body {what} more than {limit_bytes} bytes; send smaller batches")]
    TooLarge {
        /// "has" or "expands to".
        what: &'static str,
        /// The limit.
        limit_bytes: usize,
    },
    /// The body has more events than allowed.
    #[error("the body has more than {limit} events; send smaller batches")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

impl BodyError {
    /// The HTTP status that says so.
    pub fn status(&self) -> u16 {
        match self {
            BodyError::Encoding(_) => 415,
            BodyError::TooLarge { .. } | BodyError::TooMany { .. } => 413,
            _ => 400,
        }
    }

    /// The same in Japanese. What a parser or decoder said stays in its English.
    pub fn message_ja(&self) -> String {
        match self {
            BodyError::NotJson { line, column, reason } => format!(
                "{line}行目の{column}バイト目がJSONではありません（{reason}）。JSONオブジェクトを1行に1つ、または1つの配列で送ってください"
            ),
            BodyError::MalformedAction { line, reason } => {
                format!("{line}行目の操作行が正しくありません（{reason}）")
            }
            BodyError::Damaged { encoding, reason } => {
                format!("{encoding}で圧縮された本文が壊れています（{reason}）")
            }
            BodyError::Encoding(name) => format!(
                "本文の圧縮形式{name:?}には対応していません。gzip、deflate、zstdで圧縮するか、圧縮せずに送ってください"
            ),
            BodyError::TooLarge { what: "expands to", limit_bytes } => {
                format!("本文を展開すると{limit_bytes}バイトを超えます。小さく分けて送ってください")
            }
            BodyError::TooLarge { limit_bytes, .. } => {
                format!("本文が{limit_bytes}バイトを超えています。小さく分けて送ってください")
            }
            BodyError::TooMany { limit } => {
                format!("本文のイベントが{limit}件を超えています。小さく分けて送ってください")
            }
        }
    }
}

/// Records of events that came together.
pub fn records(
    events: impl IntoIterator<Item = Bytes>,
    transport: Transport,
    peer: &Arc<str>,
    identity: &Arc<str>,
    received: UtcMicros,
) -> Vec<Record> {
    let record = |bytes| Record {
        received,
        transport,
        peer: peer.clone(),
        identity: identity.clone(),
        bytes,
    };
    events.into_iter().map(record).collect()
}
