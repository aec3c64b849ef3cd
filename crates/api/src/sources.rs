//! Sources, and reading their events again.

use crate::extract::Said;
use crate::{Api, ApiError, blocking};
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;
use yagura_node::ReprocessRequest;

/// Who acts, until there are accounts.
const LOCAL_USER: &str = "local";

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/sources", get(list))
        .route("/api/v1/sources/failures", get(failures))
        .route("/api/v1/reprocess", get(state).post(start))
        .route("/api/v1/reprocess/cancel", post(cancel))
}

async fn list(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.sources()))).await
}

async fn failures(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.source_failures()))).await
}

async fn state(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    Ok(Json(api.node.reprocessing()))
}

async fn start(
    State(api): State<Api>,
    Said(request): Said<ReprocessRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.reprocess(&request, LOCAL_USER)?))).await
}

async fn cancel(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    Ok(Json(api.node.cancel_reprocessing()))
}
