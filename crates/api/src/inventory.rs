//! What events are enriched with: databases, networks, and the inventories of users and assets.

use crate::extract::{Asked, Whole};
use crate::{Api, ApiError, blocking};
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use yagura_enrich::Kind;

/// Who acts, until there are accounts.
const LOCAL_USER: &str = "local";

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/enrichment", get(state))
        .route("/api/v1/enrichment/reload", post(reload))
        .route("/api/v1/inventory/{kind}", get(show).put(set))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PageQuery {
    limit: Option<usize>,
    offset: usize,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SetQuery {
    /// What the sender calls the list, such as its file name.
    name: String,
}

fn kind_of(name: &str) -> Result<Kind, ApiError> {
    Kind::of(name).ok_or_else(|| {
        ApiError::not_found(
            "there are two inventories: users and assets",
            "台帳は users と assets の二つです",
        )
    })
}

async fn state(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.enrichment()))).await
}

async fn reload(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    blocking(move || {
        let changed = api.node.refresh_enrichment(true, LOCAL_USER, "reload")?;
        let mut state = api.node.enrichment();
        state["changed"] = json!(changed);
        Ok(Json(state))
    })
    .await
}

async fn show(
    State(api): State<Api>,
    Path(kind): Path<String>,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Value>, ApiError> {
    let kind = kind_of(&kind)?;
    blocking(move || Ok(Json(api.node.inventory(kind, page.offset, page.limit)))).await
}

/// The body is the CSV itself.
async fn set(
    State(api): State<Api>,
    Path(kind): Path<String>,
    Asked(query): Asked<SetQuery>,
    whole: Whole,
) -> Result<Json<Value>, ApiError> {
    let kind = kind_of(&kind)?;
    let node = api.node.clone();
    api.read_body(move || {
        Ok(Json(node.set_inventory(kind, &query.name, &whole.bytes, LOCAL_USER)?))
    })
    .await
}
