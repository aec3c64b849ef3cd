use crate::extract::{Asked, Whole};
use crate::{Api, ApiError, blocking};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use yagura_event::limits::RECORD_BYTES_MAX;
use yagura_event::{Lang, Record, StreamName, Transport};
use yagura_intake::http_body::{BodyError, INGEST_STREAM, decode_body, parse_ingest, records};
use yagura_intake::import::{ImportSink, Written};
use yagura_intake::{RecordSink, SinkError};

/// Streams that a remote import may write to begin so.
const IMPORT_PREFIX: &str = "import/";

pub(crate) fn peer_of(peer: SocketAddr) -> Arc<str> {
    Record::peer_text(&peer.to_string())
}

pub(crate) fn body_error(error: &BodyError) -> ApiError {
    ApiError::bad_request(error.to_string(), error.message_ja()).status_code(error.status())
}

pub(crate) fn sink_error(error: &SinkError) -> ApiError {
    match error {
        SinkError::Full => ApiError::full(),
        SinkError::DiskFull(_) => ApiError::disk_full(),
        other => ApiError::internal(other),
    }
}

/// `POST /api/v1/ingest`: JSON lines or one JSON array. Answered once everything is durable.
pub(crate) async fn ingest(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    whole: Whole,
) -> Result<Response, ApiError> {
    let Whole { bytes: body, held: _held } = whole;
    // A large body takes long enough to expand and parse that others would wait.
    let parsed = api
        .read_body(move || {
            let encoding =
                headers.get(header::CONTENT_ENCODING).and_then(|name| name.to_str().ok());
            let parsed = decode_body(encoding, body).and_then(|body| parse_ingest(&body));
            parsed.map_err(|error| body_error(&error))
        })
        .await?;
    let stream = StreamName::new(INGEST_STREAM).map_err(|error| ApiError::internal(&error))?;
    let accepted = parsed.events.len();
    if accepted > 0 {
        let received = api.node.clock().now();
        let nobody = "none".into();
        let transport = Transport::HttpIngest;
        let batch = records(parsed.events, transport, &peer_of(peer), &nobody, received);
        let appended = api.node.sink().try_append(stream, batch).await;
        appended.map_err(|error| sink_error(&error))?;
    }
    let errors: Vec<Value> = parsed
        .errors
        .iter()
        .map(|error| {
            json!({
                "item": error.item, "line": error.line, "column": error.column,
                "reason": error.reason,
            })
        })
        .collect();
    let status = if parsed.refused > 0 { StatusCode::MULTI_STATUS } else { StatusCode::OK };
    let body = json!({ "accepted": accepted, "refused": parsed.refused, "errors": errors });
    Ok((status, Json(body)).into_response())
}

/// How many records a stream has; what a remote import asks before it sends.
pub(crate) async fn stream(
    State(api): State<Api>,
    Path(stream): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let stream = import_stream(&stream)?;
    let records = api.node.sink().stream_records(&stream).map_err(|error| sink_error(&error))?;
    Ok(Json(json!({ "records": records })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportQuery {
    stream: String,
    /// The file the records are from.
    #[serde(default)]
    peer: String,
    /// How many records the stream has so far; sending the same twice then adds nothing.
    at: u64,
    /// Nothing more will come.
    #[serde(default)]
    seal: bool,
    /// How the file is written, where its records do not say so.
    dataset: Option<String>,
    zone: Option<String>,
    encoding: Option<String>,
}

/// `POST /api/v1/import`: records of a file, each with its length before it (32 bits, big endian).
pub(crate) async fn import(
    State(api): State<Api>,
    Asked(query): Asked<ImportQuery>,
    whole: Whole,
) -> Result<Json<Value>, ApiError> {
    let Whole { bytes: body, held: _held } = whole;
    let stream = import_stream(&query.stream)?;
    let sink = api.node.sink();
    let have = sink.stream_records(&stream).map_err(|error| sink_error(&error))?;
    if have != query.at {
        return Err(ApiError::bad_request(
            format!("stream {stream} has {have} records, not {}: import again", query.at),
            format!("ストリーム {stream} の件数は {} ではなく {have} です。取り込みをやり直してください", query.at),
        )
        .status_code(409));
    }
    let written = Written { dataset: query.dataset, zone: query.zone, encoding: query.encoding };
    if !written.is_empty() {
        let (sink, stream) = (sink.clone(), stream.clone());
        blocking(move || {
            sink.describe(&stream, &written)
                .map_err(|error| ApiError::bad_request(error.to_string(), error.text(Lang::Ja)))
        })
        .await?;
    }
    let (received, peer) = (api.node.clock().now(), Record::peer_text(&query.peer));
    let record = |bytes| Record {
        received,
        transport: Transport::File,
        peer: peer.clone(),
        identity: "none".into(),
        bytes,
    };
    let batch: Vec<Record> = framed(body)?.into_iter().map(record).collect();
    let count = batch.len() as u64;
    if count > 0 {
        RecordSink::append(&sink, stream.clone(), batch)
            .await
            .map_err(|error| sink_error(&error))?;
    }
    if query.seal {
        blocking(move || sink.seal(&stream).map_err(|error| sink_error(&error))).await?;
    }
    Ok(Json(json!({ "records": have + count })))
}

fn import_stream(name: &str) -> Result<StreamName, ApiError> {
    let wrong = || {
        ApiError::bad_request(
            format!("{name:?} is not a stream of imports; they begin with {IMPORT_PREFIX}"),
            format!(
                "{name:?} は取り込み用ストリームではありません（{IMPORT_PREFIX} で始まります）"
            ),
        )
    };
    let stream = StreamName::new(name).map_err(|_| wrong())?;
    if stream.as_str().starts_with(IMPORT_PREFIX) { Ok(stream) } else { Err(wrong()) }
}

fn framed(mut body: Bytes) -> Result<Vec<Bytes>, ApiError> {
    let total = body.len();
    let mut records = Vec::new();
    while !body.is_empty() {
        let at = total - body.len();
        let cut = |what: &str| {
            ApiError::bad_request(
                format!("byte {at}: {what}"),
                format!("{at}バイト目: 長さの指定が正しくありません"),
            )
        };
        let Some((length, _)) = body.split_first_chunk::<4>() else {
            return Err(cut("the body ends within a length"));
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > RECORD_BYTES_MAX {
            return Err(cut("a record is longer than 1 MiB"));
        }
        if body.len() < 4 + length {
            return Err(cut("the body ends within a record"));
        }
        let _ = body.split_to(4);
        records.push(body.split_to(length));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framed_records_come_apart_again() {
        let body = Bytes::from_static(b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c");
        assert_eq!(framed(body).unwrap(), ["ab", "", "c"]);
        for wrong in [&b"\0\0\0"[..], b"\0\0\0\x02a", b"\xff\xff\xff\xffa"] {
            let error = framed(Bytes::copy_from_slice(wrong)).unwrap_err();
            assert_eq!(error.status(), StatusCode::BAD_REQUEST);
            assert!(error.message().starts_with("byte 0:"), "{}", error.message());
        }
    }
}
