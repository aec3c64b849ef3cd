//! Hunts, indicators and feeds.

use crate::extract::{Asked, Said, Whole};
use crate::{Api, ApiError, blocking};
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use yagura_node::hunt::{FeedRequest, HuntRequest, IndicatorQuery, IndicatorRequest};

/// Who acts, until there are accounts.
const LOCAL_USER: &str = "local";

/// Hunts of a list that does not say how many.
const HUNTS_DEFAULT: usize = 100;

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/hunts", get(list).post(start))
        .route("/api/v1/hunts/estimate", post(estimate))
        .route("/api/v1/hunts/{id}", get(show))
        .route("/api/v1/hunts/{id}/query", get(query))
        .route("/api/v1/hunts/{id}/cancel", post(cancel))
        .route("/api/v1/hunts/{id}/restart", post(restart))
        .route("/api/v1/indicators", get(indicators).post(add_indicators))
        .route("/api/v1/indicators/remove", post(remove_indicators))
        .route("/api/v1/feeds", get(feeds).post(add_feed))
        .route("/api/v1/feeds/{name}/pull", post(pull_feed))
        .route("/api/v1/feeds/{name}/remove", post(remove_feed))
}

/// A JSON body as large as a list of indicators may be.
fn read<T: DeserializeOwned>(whole: &Whole) -> Result<T, ApiError> {
    serde_json::from_slice(&whole.bytes).map_err(|error| {
        ApiError::bad_request(
            format!("the body is not the JSON expected here: {error}"),
            format!("本文がここで求められるJSONになっていません: {error}"),
        )
        .at(format!("line {}, column {}", error.line(), error.column()))
    })
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PageQuery {
    limit: Option<usize>,
    offset: usize,
}

async fn list(
    State(api): State<Api>,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Value>, ApiError> {
    let limit = page.limit.unwrap_or(HUNTS_DEFAULT);
    blocking(move || Ok(Json(api.node.hunter().list(limit)))).await
}

async fn estimate(State(api): State<Api>, whole: Whole) -> Result<Json<Value>, ApiError> {
    let node = api.node.clone();
    api.read_body(move || {
        let request: HuntRequest = read(&whole)?;
        Ok(Json(node.hunter().estimate(&request)?))
    })
    .await
}

async fn start(State(api): State<Api>, whole: Whole) -> Result<Json<Value>, ApiError> {
    let node = api.node.clone();
    api.read_body(move || {
        let request: HuntRequest = read(&whole)?;
        Ok(Json(node.hunter().start(&request, LOCAL_USER)?))
    })
    .await
}

async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Value>, ApiError> {
    let limit = page.limit.unwrap_or(HUNTS_DEFAULT);
    blocking(move || Ok(Json(api.node.hunter().show(&id, page.offset, limit)?))).await
}

async fn query(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.hunter().query(&id)?))).await
}

async fn cancel(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.hunter().cancel(&id, LOCAL_USER)?))).await
}

async fn restart(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.hunter().restart(&id, LOCAL_USER)?))).await
}

async fn indicators(
    State(api): State<Api>,
    Asked(query): Asked<IndicatorQuery>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.hunter().indicators(&query)))).await
}

async fn add_indicators(State(api): State<Api>, whole: Whole) -> Result<Json<Value>, ApiError> {
    let node = api.node.clone();
    api.read_body(move || {
        let request: IndicatorRequest = read(&whole)?;
        Ok(Json(node.hunter().add_indicators(request, LOCAL_USER)?))
    })
    .await
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RemoveRequest {
    source: Option<String>,
    values: Vec<String>,
}

async fn remove_indicators(
    State(api): State<Api>,
    Said(request): Said<RemoveRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || {
        let RemoveRequest { source, values } = request;
        Ok(Json(api.node.hunter().remove_indicators(source, values, LOCAL_USER)?))
    })
    .await
}

async fn feeds(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.hunter().feeds()))).await
}

async fn add_feed(
    State(api): State<Api>,
    Said(request): Said<FeedRequest>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(api.node.hunter().add_feed(request, LOCAL_USER).await?))
}

async fn pull_feed(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(api.node.hunter().pull_feed(&name).await?))
}

async fn remove_feed(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.hunter().remove_feed(&name, LOCAL_USER)?))).await
}
