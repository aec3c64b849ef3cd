//! The HTTP face of a node: the page, the JSON API, and enough of Elasticsearch's API that log
//! shippers send here unchanged. It translates; it decides nothing.

#![forbid(unsafe_code)]

mod alerts;
mod assets;
mod elastic;
mod error;
mod guard;
mod ingest;
mod ledger;
mod search;
mod status;

pub use error::ApiError;
pub use guard::REQUEST_HEADER;
pub use status::Listener;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::HandlerWithoutStateExt;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use yagura_intake::http_body::BulkStreams;
use yagura_node::Node;

/// Largest request body, in bytes, as it is sent (before it is expanded).
pub const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bodies that are expanded and parsed at once; further requests wait their turn. Each may need
/// several times its size of memory for a moment.
pub const BODIES_AT_ONCE_MAX: usize = 2;

/// What every handler has.
#[derive(Clone)]
pub struct Api {
    node: Arc<Node>,
    listeners: Arc<Vec<Listener>>,
    began: Instant,
    streams: Arc<BulkStreams>,
    bodies: Arc<Semaphore>,
}

impl Api {
    /// Expands and parses a body away from the threads that serve connections, a few at a time.
    async fn read_body<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = self.bodies.clone().acquire_owned().await;
        let turn = turn.map_err(|error| ApiError::internal(&error))?;
        blocking(move || {
            let read = work();
            drop(turn);
            read
        })
        .await
    }
}

/// The routes of a node. `listeners` is what the status says of the ports.
pub fn router(node: Arc<Node>, listeners: Vec<Listener>) -> Router {
    let streams = node.streams();
    let api = Api {
        node,
        listeners: Arc::new(listeners),
        began: Instant::now(),
        streams: Arc::new(BulkStreams::with_known(streams)),
        bodies: Arc::new(Semaphore::new(BODIES_AT_ONCE_MAX)),
    };
    Router::new()
        .route("/", get(root).head(elastic::probe))
        .route("/api/v1/search", get(search::search))
        .route("/api/v1/tail", get(search::tail))
        .route("/api/v1/sql", post(search::sql))
        .route("/api/v1/alerts", get(alerts::list))
        .route("/api/v1/alerts/{id}/{act}", post(alerts::act))
        .route("/api/v1/events/{*id}", get(ledger::proof))
        .route("/api/v1/ledger", get(ledger::state))
        .route("/api/v1/verify", post(ledger::verify))
        .route("/api/v1/ingest", post(ingest::ingest))
        .route("/api/v1/streams/{*stream}", get(ingest::stream))
        .route("/api/v1/import", post(ingest::import))
        .route("/api/v1/status", get(status::status))
        .route("/healthz", get(status::health))
        .route("/readyz", get(status::health))
        .route("/metrics", get(status::metrics))
        .route("/_bulk", post(elastic::bulk).put(elastic::bulk))
        .route("/{index}/_bulk", post(elastic::bulk_into).put(elastic::bulk_into))
        .route("/_license", get(elastic::license))
        .route("/_xpack", get(elastic::xpack))
        .route("/_cluster/health", get(elastic::health))
        .route("/_nodes/{*rest}", get(elastic::nodes))
        .route("/_ilm/{*rest}", any(elastic::acknowledged))
        .route("/_index_template/{*rest}", any(elastic::acknowledged))
        .route("/_component_template/{*rest}", any(elastic::acknowledged))
        .route("/_template/{*rest}", any(elastic::acknowledged))
        .route("/_ingest/{*rest}", any(elastic::acknowledged))
        .route("/_data_stream/{*rest}", any(elastic::acknowledged))
        .route("/assets/{*path}", get(assets::file))
        .fallback_service(not_found.into_service())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(axum::middleware::from_fn(guard::guard))
        .with_state(api)
}

/// Serves until `stopped` resolves, then lets open requests end.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(stopped).await
}

/// A browser gets the page, a log shipper what it asks an Elasticsearch for.
async fn root(headers: HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accepts.is_some_and(|kinds| kinds.contains("text/html")) {
        assets::index()
    } else {
        elastic::probe().await
    }
}

async fn not_found() -> Response {
    ApiError::not_found("there is nothing here", "ここには何もありません").into_response()
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    ApiError::internal(&"a handler panicked").into_response()
}

/// Runs what blocks (disk, locks) away from the threads that serve connections.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(ApiError::internal(&error)),
    }
}
