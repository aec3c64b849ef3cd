use crate::extract::Asked;
use crate::{Api, ApiError, blocking};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use yagura_node::ReloadRequest;

/// Who acts, until there are accounts.
const LOCAL_USER: &str = "local";

pub(crate) async fn list(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.rules_listed()))).await
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CoverageQuery {
    /// Only events of the last so many hours or days count as present.
    last: Option<String>,
}

pub(crate) async fn coverage(
    State(api): State<Api>,
    Asked(asked): Asked<CoverageQuery>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({ "techniques": api.node.coverage(asked.last).await? })))
}

/// An empty body asks for nothing in particular.
pub(crate) async fn reload(State(api): State<Api>, body: Bytes) -> Result<Json<Value>, ApiError> {
    let request: ReloadRequest = match body.trim_ascii() {
        [] => ReloadRequest::default(),
        text => serde_json::from_slice(text).map_err(|error| {
            ApiError::bad_request(
                format!("the body is no request to reload: {error}"),
                format!("再読み込みの要求として読めません: {error}"),
            )
        })?,
    };
    blocking(move || Ok(Json(api.node.reload_rules(&request, LOCAL_USER, "reload")?))).await
}
