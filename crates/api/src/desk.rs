//! Exceptions, risk, quality of rules and gaps.

use crate::alerts::LOCAL_USER;
use crate::extract::{Asked, Said};
use crate::{Api, ApiError, blocking};
use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::Value;
use yagura_node::{ExceptionRequest, RemoveRequest};

/// Rows of an answer when the caller names no limit.
const ROWS: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GapsAsked {
    limit: Option<usize>,
    /// Only those that are not over.
    #[serde(default)]
    open: bool,
}

/// The routes; see `docs/alerts.md`.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/alerts/{id}", get(alert))
        .route("/api/v1/alerts/{id}/rule", get(rule))
        .route("/api/v1/exceptions", get(exceptions).post(add))
        .route("/api/v1/exceptions/{id}/matches", get(matches))
        .route("/api/v1/exceptions/{id}/remove", post(remove))
        .route("/api/v1/risk", get(risk))
        .route("/api/v1/gaps", get(gaps))
        .route("/api/v1/rules/quality", get(quality))
}

async fn alert(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.alert(&id)?))).await
}

async fn rule(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.rule_of_alert(&id)?))).await
}

async fn exceptions(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.exceptions()))).await
}

async fn add(
    State(api): State<Api>,
    Said(request): Said<ExceptionRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.add_exception(request, LOCAL_USER)?))).await
}

async fn matches(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.suppressed_by(&id)?))).await
}

async fn remove(
    State(api): State<Api>,
    Path(id): Path<String>,
    Said(request): Said<RemoveRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.remove_exception(&id, &request, LOCAL_USER)?))).await
}

async fn risk(State(api): State<Api>, Asked(asked): Asked<Limit>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.risk(asked.limit.unwrap_or(ROWS))))).await
}

async fn gaps(
    State(api): State<Api>,
    Asked(asked): Asked<GapsAsked>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.gaps(asked.open, asked.limit.unwrap_or(ROWS))))).await
}

async fn quality(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.rule_quality()))).await
}
