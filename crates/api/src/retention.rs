//! How long what is kept: policies, requests that need two persons, legal holds.

use crate::extract::Said;
use crate::{Api, ApiError, blocking};
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;
use yagura_node::retention::{
    ApproveRequest, DeleteRequest, HoldRequest, ReleaseRequest, ShortenRequest,
};

/// Whose account acts, until there are accounts.
const LOCAL_USER: &str = "local";

/// The routes; see `docs/retention.md`.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/retention", get(list))
        .route("/api/v1/retention/forecast", get(forecast))
        .route("/api/v1/retention/requests", get(requests))
        .route("/api/v1/retention/delete", post(delete))
        .route("/api/v1/retention/shorten", post(shorten))
        .route("/api/v1/retention/requests/{id}/approve", post(approve))
        .route("/api/v1/retention/requests/{id}/withdraw", post(withdraw))
        .route("/api/v1/retention/run", post(run))
        .route("/api/v1/holds", get(holds).post(hold))
        .route("/api/v1/holds/{id}/release", post(release))
}

type Answer = Result<Json<Value>, ApiError>;

async fn list(State(api): State<Api>) -> Answer {
    blocking(move || Ok(Json(api.node.retention()?))).await
}

async fn forecast(State(api): State<Api>) -> Answer {
    blocking(move || Ok(Json(api.node.retention_forecast()?))).await
}

async fn requests(State(api): State<Api>) -> Answer {
    blocking(move || Ok(Json(api.node.retention_requests()))).await
}

async fn delete(State(api): State<Api>, Said(request): Said<DeleteRequest>) -> Answer {
    blocking(move || Ok(Json(api.node.ask_deletion(&request, LOCAL_USER)?))).await
}

async fn shorten(State(api): State<Api>, Said(request): Said<ShortenRequest>) -> Answer {
    blocking(move || Ok(Json(api.node.ask_shortening(&request, LOCAL_USER)?))).await
}

async fn approve(
    State(api): State<Api>,
    Path(id): Path<String>,
    Said(request): Said<ApproveRequest>,
) -> Answer {
    blocking(move || Ok(Json(api.node.approve_retention(&id, &request, LOCAL_USER)?))).await
}

async fn withdraw(
    State(api): State<Api>,
    Path(id): Path<String>,
    Said(request): Said<ApproveRequest>,
) -> Answer {
    blocking(move || Ok(Json(api.node.withdraw_retention(&id, &request, LOCAL_USER)?))).await
}

async fn run(State(api): State<Api>) -> Answer {
    blocking(move || Ok(Json(api.node.run_retention(LOCAL_USER)?))).await
}

async fn holds(State(api): State<Api>) -> Answer {
    blocking(move || Ok(Json(api.node.holds()))).await
}

async fn hold(State(api): State<Api>, Said(request): Said<HoldRequest>) -> Answer {
    blocking(move || Ok(Json(api.node.add_hold(&request, LOCAL_USER)?))).await
}

async fn release(
    State(api): State<Api>,
    Path(id): Path<String>,
    Said(request): Said<ReleaseRequest>,
) -> Answer {
    blocking(move || Ok(Json(api.node.release_hold(&id, &request, LOCAL_USER)?))).await
}
