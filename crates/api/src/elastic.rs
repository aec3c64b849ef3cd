//! Enough of Elasticsearch 8's API that Filebeat, Fluent Bit, Logstash, Vector and the official
//! clients send here unchanged: `_bulk`, and the questions they ask before it.

use crate::extract::Whole;
use crate::ingest::{body_error, peer_of, sink_error};
use crate::limits::BODY_BYTES_MAX;
use crate::{Api, ApiError};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;
use yagura_event::{StreamName, Transport, UtcMicros};
use yagura_intake::http_body::{
    BodyError, BulkAction, BulkAnswer, BulkOutcome, BulkRequest, bulk_response, decode_body,
    parse_bulk, parse_document, records,
};
use yagura_intake::{RecordSink, SinkError};

/// The version whose API this is; clients of 7.14 and later accept it.
const ELASTICSEARCH_VERSION: &str = "8.15.0";

/// Clients since 7.14 refuse a server without it.
const PRODUCT: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-elastic-product"), HeaderValue::from_static("Elasticsearch"));

/// What a compatible client wants to read back in `Content-Type`.
const COMPATIBLE: &str = "application/vnd.elasticsearch+json;compatible-with=8";

/// Names of ours at the root; every other path is Elasticsearch's, also one that begins with the
/// name of an index.
const OURS: [&str; 6] = ["api", "assets", "healthz", "readyz", "metrics", "favicon.ico"];

/// Whether a path is spoken to as an Elasticsearch: `/_bulk`, `/logs/_doc`, `/logs`. The root is
/// both.
pub(crate) fn is_elastic(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    !first.is_empty() && !OURS.contains(&first)
}

fn answer(status: StatusCode, body: impl Serialize, accepted: Option<&HeaderValue>) -> Response {
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(PRODUCT.0, PRODUCT.1);
    let wants = accepted.and_then(|kinds| kinds.to_str().ok());
    if wants.is_some_and(|kinds| kinds.contains("compatible-with=8")) {
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
        "features": { "ilm": { "available": true, "enabled": true } },
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

/// Clients that look for further nodes use what they are told here instead of what they were
/// configured with: the address they already speak to.
pub(crate) async fn nodes(headers: HeaderMap) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { host.to_owned() } else { format!("{host}:80") };
    let node = json!({
        "name": "yagura", "version": ELASTICSEARCH_VERSION, "host": host, "ip": host,
        "roles": ["data", "ingest"],
        "http": {
            "bound_address": [address], "publish_address": address,
            "max_content_length_in_bytes": BODY_BYTES_MAX,
        },
    });
    let nodes = json!({
        "_nodes": { "total": 1, "successful": 1, "failed": 0 },
        "cluster_name": "yagura", "nodes": { "yagura": node },
    });
    answer(StatusCode::OK, nodes, None)
}

/// `GET /_cluster/state/version` and the like.
pub(crate) async fn cluster() -> Response {
    let body = json!({
        "cluster_name": "yagura", "cluster_uuid": "yagura", "version": 1, "state_uuid": "yagura",
        "acknowledged": true, "persistent": {}, "transient": {},
    });
    answer(StatusCode::OK, body, None)
}

/// `GET /_cat/health`, in its columns: cluster, status, nodes, data nodes, shards.
pub(crate) async fn cat() -> Response {
    let mut response = "yagura green 1 1 0 0 0 0 0 0 - 100.0%\n".into_response();
    response.headers_mut().insert(PRODUCT.0, PRODUCT.1);
    response
}

/// Templates, pipelines, aliases, indices and life cycles are not ours: fields and retention are
/// decided here. Senders set them up before they send, and go on when they are told it is done;
/// asked whether one is there, we say yes, so that nobody tries to make it.
pub(crate) async fn acknowledged() -> Response {
    let body = json!({ "acknowledged": true, "shards_acknowledged": true });
    answer(StatusCode::OK, body, None)
}

/// `HEAD /{index}` and `PUT /{index}`: an index is there as soon as someone writes to it. Nothing else
/// of one segment that has no route of its own is anything.
pub(crate) async fn index(method: Method, uri: Uri, Path(index): Path<String>) -> Response {
    let named = is_elastic(uri.path()) && !index.starts_with('_');
    if !named || ![Method::HEAD, Method::PUT].contains(&method) {
        return ApiError::of_status(StatusCode::NOT_FOUND, None).into_response();
    }
    let body = json!({ "acknowledged": true, "shards_acknowledged": true, "index": index });
    answer(StatusCode::OK, body, None)
}

pub(crate) async fn bulk(
    state: State<Api>,
    peer: ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Whole,
) -> Response {
    take_bulk(state.0, peer.0, headers, body, None).await
}

pub(crate) async fn bulk_into(
    state: State<Api>,
    Path(index): Path<String>,
    peer: ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Whole,
) -> Response {
    take_bulk(state.0, peer.0, headers, body, Some(index)).await
}

async fn take_bulk(
    api: Api,
    peer: SocketAddr,
    headers: HeaderMap,
    body: Whole,
    index: Option<String>,
) -> Response {
    let accepted = headers.get(header::ACCEPT);
    let request = read(&api, &headers, body.bytes, move |body| parse_bulk(body, index.as_deref()));
    let answered = match request.await {
        Ok(request) => take(&api, peer, &request).await.map(|taken| (request, taken)),
        Err(error) => Err(error),
    };
    // Until here the records share the memory of the body.
    drop(body.held);
    match answered {
        Ok((request, taken)) => answer(StatusCode::OK, taken.answer_to(&request), accepted),
        Err(error) => refused(&error, accepted),
    }
}

/// `POST /{index}/_doc`, and `PUT` or `POST` with an id.
pub(crate) async fn document(
    state: State<Api>,
    Path(path): Path<(String, String)>,
    peer: ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Whole,
) -> Response {
    take_document(state.0, peer.0, headers, body, BulkAction::Index, path.0, Some(path.1)).await
}

pub(crate) async fn document_without_id(
    state: State<Api>,
    Path(index): Path<String>,
    peer: ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Whole,
) -> Response {
    take_document(state.0, peer.0, headers, body, BulkAction::Index, index, None).await
}

/// `PUT` or `POST /{index}/_create/{id}`.
pub(crate) async fn create(
    state: State<Api>,
    Path(path): Path<(String, String)>,
    peer: ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Whole,
) -> Response {
    take_document(state.0, peer.0, headers, body, BulkAction::Create, path.0, Some(path.1)).await
}

/// One event. It is answered like the one item of a bulk request would be.
async fn take_document(
    api: Api,
    peer: SocketAddr,
    headers: HeaderMap,
    body: Whole,
    action: BulkAction,
    index: String,
    id: Option<String>,
) -> Response {
    let accepted = headers.get(header::ACCEPT);
    let request = read(&api, &headers, body.bytes, move |body| {
        Ok(BulkRequest { items: vec![parse_document(body, action, index, id)] })
    });
    let answered = match request.await {
        Ok(request) => {
            take(&api, peer, &request).await.map(|taken| json!(taken.answer_to(&request)))
        }
        Err(error) => Err(error),
    };
    drop(body.held);
    let mut answered = match answered {
        Ok(mut answered) => answered["items"][0][action.as_str()].take(),
        Err(error) => return refused(&error, accepted),
    };
    let status = answered["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match answered["error"].take() {
        Value::Null => {
            if let Value::Object(fields) = &mut answered {
                fields.remove("status");
                fields.remove("error");
            }
            answer(status, answered, accepted)
        }
        mut error => {
            error["root_cause"] = json!([{ "type": error["type"], "reason": error["reason"] }]);
            answer(status, json!({ "error": error, "status": status.as_u16() }), accepted)
        }
    }
}

/// Expands and parses a body.
async fn read(
    api: &Api,
    headers: &HeaderMap,
    body: Bytes,
    parse: impl FnOnce(&Bytes) -> Result<BulkRequest, BodyError> + Send + 'static,
) -> Result<BulkRequest, ApiError> {
    let encoding = headers.get(header::CONTENT_ENCODING).and_then(|name| name.to_str().ok());
    let encoding = encoding.map(str::to_owned);
    // A large body takes long enough to expand and parse that others would wait.
    api.read_body(move || {
        let body = decode_body(encoding.as_deref(), body);
        body.and_then(|body| parse(&body)).map_err(|error| body_error(&error))
    })
    .await
}

/// What became of the items of a request.
struct Taken {
    outcomes: Vec<BulkOutcome>,
    took_ms: u64,
    received: UtcMicros,
}

impl Taken {
    fn answer_to<'a>(&'a self, request: &'a BulkRequest) -> BulkAnswer<'a> {
        let stamp = self.received.as_micros();
        let id = |number| format!("{stamp:x}-{number}");
        bulk_response(request, &self.outcomes, self.took_ms, id)
    }
}

/// Makes what can be taken durable.
async fn take(api: &Api, peer: SocketAddr, request: &BulkRequest) -> Result<Taken, ApiError> {
    let began = Instant::now();
    // One append per stream keeps the order of each stream's events.
    let mut by_stream: HashMap<StreamName, Vec<usize>> = HashMap::new();
    let mut streams: HashMap<&str, StreamName> = HashMap::new();
    let mut outcomes = Vec::with_capacity(request.items.len());
    for (number, item) in request.items.iter().enumerate() {
        outcomes.push(match &item.document {
            Ok(_) => {
                let stream = streams.entry(&item.index);
                let stream = stream.or_insert_with(|| api.streams.stream(&item.index)).clone();
                by_stream.entry(stream).or_default().push(number);
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
            Err(error) => return Err(sink_error(&error)),
        }
    }
    if all_busy {
        return Err(ApiError::full());
    }
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Taken { outcomes, took_ms, received })
}

/// An error as Elasticsearch shapes it, which is what its clients read.
pub(crate) fn refused(error: &ApiError, accepted: Option<&HeaderValue>) -> Response {
    let status = error.status();
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS => "es_rejected_execution_exception",
        StatusCode::INTERNAL_SERVER_ERROR => "exception",
        StatusCode::NOT_FOUND => "resource_not_found_exception",
        StatusCode::FORBIDDEN => "security_exception",
        _ => "illegal_argument_exception",
    };
    let cause = json!({ "type": kind, "reason": error.message() });
    let body = json!({
        "error": { "root_cause": [cause], "type": kind, "reason": error.message() },
        "status": status.as_u16(),
    });
    let mut response = answer(status, body, accepted);
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        for elastic in ["/_bulk", "/logs", "/logs/_doc", "/_nodes/http", "/_nothing", "/a/b/c"] {
            assert!(is_elastic(elastic), "{elastic}");
        }
        for ours in ["/", "", "/api/v1/search", "/api", "/assets/x.js", "/healthz", "/metrics"] {
            assert!(!is_elastic(ours), "{ours}");
        }
    }
}
