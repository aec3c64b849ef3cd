//! Enough of Elasticsearch 8's API that Filebeat, Fluent Bit, Logstash, Vector and the official
//! clients send here unchanged: `_bulk`, and the questions they ask before it.

use crate::ingest::{body_error, peer_of, sink_error};
use crate::{Api, ApiError};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;
use yagura_event::{StreamName, Transport};
use yagura_intake::http_body::{BulkOutcome, bulk_response, decode_body, parse_bulk, records};
use yagura_intake::{RecordSink, SinkError};

/// The version whose API this is; clients of 7.14 and later accept it.
const ELASTICSEARCH_VERSION: &str = "8.15.0";

/// Clients since 7.14 refuse a server without it.
const PRODUCT: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-elastic-product"), HeaderValue::from_static("Elasticsearch"));

/// What a compatible client wants to read back in `Content-Type`.
const COMPATIBLE: &str = "application/vnd.elasticsearch+json;compatible-with=8";

fn answer(status: StatusCode, body: Value, headers: Option<&HeaderMap>) -> Response {
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(PRODUCT.0, PRODUCT.1);
    let wants = headers.and_then(|headers| headers.get(header::ACCEPT)?.to_str().ok());
    if wants.is_some_and(|kind| kind.contains("compatible-with=8")) {
        let kind = HeaderValue::from_static(COMPATIBLE);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

pub(crate) async fn probe() -> Response {
    let body = json!({
        "name": "yagura",
        "cluster_name": "yagura",
        "cluster_uuid": "yagura",
        "version": {
            "number": ELASTICSEARCH_VERSION,
            "build_flavor": "default",
            "build_type": "yagura",
            "build_snapshot": false,
            "lucene_version": "9.11.1",
            "minimum_wire_compatibility_version": "7.17.0",
            "minimum_index_compatibility_version": "7.0.0",
        },
        "tagline": "You Know, for Search",
    });
    answer(StatusCode::OK, body, None)
}

pub(crate) async fn license() -> Response {
    let license = json!({ "license": {
        "status": "active", "uid": "yagura", "type": "basic", "mode": "basic",
        "issued_to": "yagura", "issuer": "yagura", "max_nodes": 1,
    }});
    answer(StatusCode::OK, license, None)
}

pub(crate) async fn xpack() -> Response {
    let body = json!({
        "license": { "type": "basic", "mode": "basic", "status": "active" },
        "features": { "ilm": { "available": false, "enabled": false } },
    });
    answer(StatusCode::OK, body, None)
}

pub(crate) async fn health() -> Response {
    let body = json!({
        "cluster_name": "yagura", "status": "green", "timed_out": false,
        "number_of_nodes": 1, "number_of_data_nodes": 1,
    });
    answer(StatusCode::OK, body, None)
}

pub(crate) async fn nodes() -> Response {
    let node = json!({ "name": "yagura", "version": ELASTICSEARCH_VERSION, "roles": ["ingest"] });
    answer(StatusCode::OK, json!({ "cluster_name": "yagura", "nodes": { "yagura": node } }), None)
}

/// Templates, pipelines and life cycles are not ours: fields and retention are decided here.
/// Shippers set them up before they send, and go on when they are told it is done.
pub(crate) async fn acknowledged() -> Response {
    answer(StatusCode::OK, json!({ "acknowledged": true }), None)
}

pub(crate) async fn bulk(
    state: State<Api>,
    peer: ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    take(state.0, peer.0, headers, body, None).await
}

pub(crate) async fn bulk_into(
    state: State<Api>,
    Path(index): Path<String>,
    peer: ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    take(state.0, peer.0, headers, body, Some(index)).await
}

async fn take(
    api: Api,
    peer: SocketAddr,
    headers: HeaderMap,
    body: Bytes,
    index: Option<String>,
) -> Response {
    let began = Instant::now();
    let encoding = headers.get(header::CONTENT_ENCODING).and_then(|name| name.to_str().ok());
    let encoding = encoding.map(str::to_owned);
    // A large body takes long enough to expand and parse that others would wait.
    let parsed = api.read_body(move || {
        let body = decode_body(encoding.as_deref(), body);
        let parsed = body.and_then(|body| parse_bulk(&body, index.as_deref()));
        parsed.map_err(|error| body_error(&error))
    });
    let request = match parsed.await {
        Ok(request) => request,
        Err(error) => return refused(error, &headers),
    };
    // One append per stream keeps the order of each stream's events.
    let mut by_stream: HashMap<StreamName, Vec<usize>> = HashMap::new();
    let mut outcomes = Vec::with_capacity(request.items.len());
    for (number, item) in request.items.iter().enumerate() {
        outcomes.push(match &item.document {
            Ok(_) => {
                by_stream.entry(api.streams.stream(&item.index)).or_default().push(number);
                BulkOutcome::Created
            }
            Err(error) => BulkOutcome::Refused(error.clone()),
        });
    }
    let sink = api.node.sink();
    let (received, peer) = (api.node.clock().now(), peer_of(peer));
    let mut all_busy = !by_stream.is_empty();
    for (stream, numbers) in by_stream {
        let documents = numbers
            .iter()
            .filter_map(|&number| request.items.get(number)?.document.as_ref().ok().cloned());
        let nobody = "none".into();
        let batch = records(documents, Transport::ElasticBulk, &peer, &nobody, received);
        match sink.try_append(stream, batch).await {
            Ok(()) => all_busy = false,
            Err(error @ (SinkError::Full | SinkError::DiskFull(_))) => {
                for number in numbers {
                    outcomes[number] = BulkOutcome::Busy(error.to_string());
                }
            }
            Err(error) => return refused(sink_error(&error), &headers),
        }
    }
    if all_busy {
        return refused(ApiError::full(), &headers);
    }
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let stamp = received.as_micros();
    let body = bulk_response(&request, &outcomes, took_ms, |number| format!("{stamp:x}-{number}"));
    answer(StatusCode::OK, body, Some(&headers))
}

/// An error as Elasticsearch shapes it, which is what its clients read.
fn refused(error: ApiError, headers: &HeaderMap) -> Response {
    let status = error.status();
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS => "es_rejected_execution_exception",
        StatusCode::INTERNAL_SERVER_ERROR => "exception",
        _ => "illegal_argument_exception",
    };
    let cause = json!({ "type": kind, "reason": error.message() });
    let body = json!({
        "error": { "root_cause": [cause], "type": kind, "reason": error.message() },
        "status": status.as_u16(),
    });
    let mut response = answer(status, body, Some(headers));
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
