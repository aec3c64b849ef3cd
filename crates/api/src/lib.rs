//! The HTTP face of a node: the page, the JSON API, and enough of Elasticsearch's API that log
//! shippers send here unchanged. It translates; it decides nothing.

#![forbid(unsafe_code)]

mod activity;
mod acts;
mod alerts;
mod assets;
mod counters;
mod desk;
mod elastic;
mod error;
mod export;
mod extract;
mod guard;
mod hunts;
mod ingest;
mod inventory;
mod lake;
mod ledger;
pub mod limits;
mod retention;
mod rules;
mod saved;
mod search;
mod server;
mod sources;
mod status;

pub use counters::{HttpCounters, HttpCounts};
pub use error::ApiError;
pub use guard::REQUEST_HEADER;
pub use ledger::PROOF_FROM_HEADER;
pub use server::{ServeOptions, serve};
pub use status::{Counting, Listener};

use crate::extract::Bodies;
use axum::Router;
use axum::extract::FromRef;
use axum::handler::HandlerWithoutStateExt;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use yagura_desk::Webhook;
use yagura_intake::StopSignal;
use yagura_intake::http_body::BulkStreams;
use yagura_node::Node;

/// What every handler has.
#[derive(Clone)]
pub struct Api {
    node: Arc<Node>,
    listeners: Arc<Vec<Listener>>,
    began: Instant,
    streams: Arc<BulkStreams>,
    bodies: Arc<Semaphore>,
    whole: Bodies,
    webhook: Option<Webhook>,
    /// Ends what would otherwise never end: the views of arriving events.
    stop: StopSignal,
    /// The configuration in force, as TOML.
    config: Arc<str>,
    /// Whose one permit a verification holds: it reads the whole store.
    verifying: Arc<Semaphore>,
    /// A permit of which each export holds.
    exporting: Arc<Semaphore>,
}

impl FromRef<Api> for Bodies {
    fn from_ref(api: &Api) -> Bodies {
        api.whole.clone()
    }
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

/// The routes of a node. `listeners` is what the status says of the ports; `options` and `counters`
/// are those that [`serve`] gets, and so is `stop`. `webhook` is the one that alerts are sent to.
/// `config` is shown to whoever asks for the configuration in force: TOML, without secrets.
pub fn router(
    node: Arc<Node>,
    listeners: Vec<Listener>,
    options: &ServeOptions,
    counters: Arc<HttpCounters>,
    stop: StopSignal,
    webhook: Option<Webhook>,
    config: Arc<str>,
) -> Router {
    let streams = node.streams();
    let api = Api {
        node,
        listeners: Arc::new(listeners),
        began: Instant::now(),
        streams: Arc::new(BulkStreams::with_known(streams)),
        bodies: Arc::new(Semaphore::new(limits::BODIES_AT_ONCE_MAX)),
        whole: Bodies::new(limits::BODIES_BYTES_MAX, options.request_timeout, counters),
        webhook,
        config,
        stop,
        verifying: Arc::new(Semaphore::new(limits::VERIFICATIONS_AT_ONCE_MAX)),
        exporting: Arc::new(Semaphore::new(limits::EXPORTS_AT_ONCE_MAX)),
    };
    let inner = Router::new()
        .route("/", get(root).head(elastic::probe))
        .route("/api/v1/search", get(search::search))
        .route("/api/v1/search/{id}", get(search::progress).delete(search::cancel))
        .route("/api/v1/complete", get(search::complete))
        .route("/api/v1/permalink", get(search::permalink))
        .route("/api/v1/searches", get(search::running))
        .route("/api/v1/acts", get(acts::asked).post(acts::said))
        .route("/api/v1/tail", get(search::tail))
        .route("/api/v1/sql", post(search::sql))
        .route("/api/v1/alerts", get(alerts::list))
        .route("/api/v1/alerts/{id}/{act}", post(alerts::act))
        .route("/api/v1/events/{*id}", get(ledger::proof))
        .route("/api/v1/rules", get(rules::list))
        .route("/api/v1/rules/coverage", get(rules::coverage))
        .route("/api/v1/rules/reload", post(rules::reload))
        .route("/api/v1/ledger", get(ledger::state))
        .route("/api/v1/verify", post(ledger::verify))
        .route("/api/v1/pins", get(ledger::pins).post(ledger::pin))
        .route("/api/v1/pins/remove", post(ledger::unpin))
        .route("/api/v1/ingest", post(ingest::ingest))
        .route("/api/v1/streams/{*stream}", get(ingest::stream))
        .route("/api/v1/import", post(ingest::import))
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/config", get(status::config))
        .route("/healthz", get(status::health))
        .route("/readyz", get(status::health))
        .route("/api/v1/forward", get(status::forward))
        .route("/metrics", get(status::metrics))
        .merge(hunts::routes())
        .merge(lake::routes())
        .merge(retention::routes())
        .merge(sources::routes())
        .merge(inventory::routes())
        .merge(desk::routes())
        .merge(saved::routes())
        .merge(elastic_routes())
        .route("/assets/{*path}", get(assets::file))
        .fallback_service(not_found.into_service())
        .with_state(api);
    // Around the whole: a layer on the routes would be asked before they name the methods allowed.
    Router::new()
        .fallback_service(inner)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(axum::middleware::from_fn(guard::guard))
}

/// What Elasticsearch's clients ask and send.
fn elastic_routes() -> Router<Api> {
    let document = post(elastic::document).put(elastic::document);
    Router::new()
        .route("/_bulk", post(elastic::bulk).put(elastic::bulk))
        .route("/{index}/_bulk", post(elastic::bulk_into).put(elastic::bulk_into))
        .route("/{index}/_doc", post(elastic::document_without_id))
        .route("/{index}/_doc/{id}", document)
        .route("/{index}/_create/{id}", post(elastic::create).put(elastic::create))
        .route("/{index}", any(elastic::index))
        .route("/_license", get(elastic::license))
        .route("/_xpack", get(elastic::xpack))
        .route("/_cluster/health", get(elastic::health))
        .route("/_cluster/{*rest}", any(elastic::cluster))
        .route("/_cat/{*rest}", get(elastic::cat))
        .route("/_nodes", get(elastic::nodes))
        .route("/_nodes/{*rest}", get(elastic::nodes))
        .route("/_ilm/{*rest}", any(elastic::acknowledged))
        .route("/_index_template/{*rest}", any(elastic::acknowledged))
        .route("/_component_template/{*rest}", any(elastic::acknowledged))
        .route("/_template/{*rest}", any(elastic::acknowledged))
        .route("/_ingest/{*rest}", any(elastic::acknowledged))
        .route("/_data_stream/{*rest}", any(elastic::acknowledged))
        .route("/_alias/{*rest}", any(elastic::acknowledged))
        .route("/_aliases", any(elastic::acknowledged))
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
