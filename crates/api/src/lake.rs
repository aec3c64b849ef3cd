//! The table: what it takes, compacting it, moving its files to a cold store and back, removing what is left
//! over.

use crate::extract::Said;
use crate::{Api, ApiError, blocking};
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;
use yagura_node::{
    BackupRequest, CompactRequest, NodeError, RehydrateRequest, TierRequest, VacuumRequest,
};

/// Who acts, until there are accounts.
const LOCAL_USER: &str = "local";

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/lake/stats", get(stats))
        .route("/api/v1/lake/compact", get(state).post(start))
        .route("/api/v1/lake/compact/cancel", post(cancel))
        .route("/api/v1/lake/vacuum", post(vacuum))
        .route("/api/v1/lake/backup", get(backing_up).post(back_up))
        .route("/api/v1/lake/backup/cancel", post(cancel_backup))
        .route("/api/v1/lake/tier", get(tiering).post(tier))
        .route("/api/v1/lake/rehydrate", get(tiering).post(rehydrate))
        .route("/api/v1/lake/tier/cancel", post(cancel_tiering))
}

async fn stats(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.lake_sizes()?))).await
}

async fn state(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    Ok(Json(api.node.compacting()))
}

async fn start(
    State(api): State<Api>,
    Said(request): Said<CompactRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.compact(&request, LOCAL_USER)?))).await
}

async fn cancel(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    Ok(Json(api.node.cancel_compacting()))
}

async fn vacuum(
    State(api): State<Api>,
    Said(request): Said<VacuumRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.vacuum(&request, LOCAL_USER)?))).await
}

async fn backing_up(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    Ok(Json(api.node.backing_up()))
}

async fn back_up(
    State(api): State<Api>,
    Said(request): Said<BackupRequest>,
) -> Result<Json<Value>, ApiError> {
    // Whoever may ask a server is not for that whoever may sign in its name.
    if request.with_keys {
        let refused = NodeError::request(
            "signing keys do not leave a running server: copy the files in keys/ by hand, once, or stop \
             the server and use --data",
            "署名鍵は稼働中のサーバーからは取り出せません。keys/ のファイルを手作業で一度コピーするか、サーバーを停止して \
             --data を指定してください",
        );
        return Err(refused.into());
    }
    blocking(move || Ok(Json(api.node.backup(&request, LOCAL_USER)?))).await
}

async fn cancel_backup(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    Ok(Json(api.node.cancel_backup()))
}

async fn tiering(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    Ok(Json(api.node.tiering()))
}

async fn tier(
    State(api): State<Api>,
    Said(request): Said<TierRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.tier(&request, LOCAL_USER)?))).await
}

async fn rehydrate(
    State(api): State<Api>,
    Said(request): Said<RehydrateRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.rehydrate(&request, LOCAL_USER)?))).await
}

async fn cancel_tiering(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    Ok(Json(api.node.cancel_tiering()))
}
