use crate::{Api, ApiError, blocking};
use axum::Json;
use axum::extract::{Path, Query, State};
use serde_json::Value;
use yagura_node::{ActRequest, AlertQuery};

/// Who acts, until there are accounts.
const LOCAL_USER: &str = "local";

pub(crate) async fn list(
    State(api): State<Api>,
    Query(query): Query<AlertQuery>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.alerts(&query)))).await
}

pub(crate) async fn act(
    State(api): State<Api>,
    Path((id, act)): Path<(String, String)>,
    Json(request): Json<ActRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.act_on_alert(&id, &act, request, LOCAL_USER)?))).await
}
