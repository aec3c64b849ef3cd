//! Saved and scheduled searches.

use crate::alerts::LOCAL_USER;
use crate::extract::Said;
use crate::{Api, ApiError, blocking};
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;
use yagura_node::SaveRequest;

/// The routes; see `docs/saved-searches.md`.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/saved", get(list).post(save))
        .route("/api/v1/saved/{name}", get(one))
        .route("/api/v1/saved/{name}/remove", post(remove))
        .route("/api/v1/saved/{name}/restore", post(restore))
}

async fn list(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.saved_searches()))).await
}

async fn save(
    State(api): State<Api>,
    Said(request): Said<SaveRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.save_search(request, LOCAL_USER)?))).await
}

async fn one(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.saved_search(&name)?))).await
}

async fn remove(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.remove_saved_search(&name, LOCAL_USER)?))).await
}

async fn restore(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.restore_saved_search(&name, LOCAL_USER)?))).await
}
