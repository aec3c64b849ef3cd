use crate::extract::{Asked, Said};
use crate::{Api, ApiError, blocking};
use axum::Json;
use axum::extract::{Path, State};
use serde_json::Value;
use yagura_node::{ActRequest, AlertQuery};

/// Who acts, until there are accounts.
pub(crate) const LOCAL_USER: &str = "local";

pub(crate) async fn list(
    State(api): State<Api>,
    Asked(query): Asked<AlertQuery>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.alerts(&query)))).await
}

pub(crate) async fn act(
    State(api): State<Api>,
    Path((id, act)): Path<(String, String)>,
    Said(request): Said<ActRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.act_on_alert(&id, &act, request, LOCAL_USER)?))).await
}
