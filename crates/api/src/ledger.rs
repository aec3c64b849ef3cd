use crate::extract::Said;
use crate::{Api, ApiError, blocking};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use yagura_event::EventId;
use yagura_node::VerifyScope;
use yagura_node::pins::{PinRequest, UnpinRequest};

/// The header of an answer that says where the bytes of a proved event came from: `lake`, `pin-deleted`, or
/// `pin-unread`.
pub const PROOF_FROM_HEADER: &str = "yagura-proof-from";

/// Whose account acts, until there are accounts.
const LOCAL_USER: &str = "local";

pub(crate) async fn state(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.ledger_state()))).await
}

/// `GET /api/v1/events/{stream}/{batch}/{index}/proof`
pub(crate) async fn proof(
    State(api): State<Api>,
    Path(path): Path<String>,
) -> Result<Response, ApiError> {
    let wrong = |id: &str| {
        ApiError::bad_request(
            format!("{id:?} is not an event id (stream/batch/index)"),
            format!("{id:?} はイベントIDではありません（stream/batch/index）"),
        )
    };
    let id = path.strip_suffix("/proof").ok_or_else(|| {
        ApiError::not_found("ask for .../proof", "末尾に /proof を付けてください")
    })?;
    let id: EventId = id.parse().map_err(|_| wrong(id))?;
    let name: String = id
        .to_string()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    let proof = blocking(move || Ok(api.node.prove(&id)?)).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.proof\"")),
        (HeaderName::from_static(PROOF_FROM_HEADER), proof.from.as_str().to_owned()),
    ];
    Ok((headers, proof.text).into_response())
}

pub(crate) async fn pins(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.pins()))).await
}

pub(crate) async fn pin(
    State(api): State<Api>,
    Said(request): Said<PinRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.pin(&request, LOCAL_USER)?))).await
}

pub(crate) async fn unpin(
    State(api): State<Api>,
    Said(request): Said<UnpinRequest>,
) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.unpin(&request, LOCAL_USER)?))).await
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Scope {
    from: Option<String>,
    to: Option<String>,
    #[serde(rename = "event.id")]
    event: Option<EventId>,
    no_cold: bool,
}

pub(crate) async fn verify(
    State(api): State<Api>,
    Said(scope): Said<Scope>,
) -> Result<Json<Value>, ApiError> {
    let no_cold = scope.no_cold;
    let scope = VerifyScope::parse(scope.from.as_deref(), scope.to.as_deref(), scope.event)?;
    let scope = VerifyScope { no_cold, ..scope };
    let turn = api.verifying.clone().try_acquire_owned().map_err(|_| ApiError::verifying())?;
    blocking(move || {
        // Held by the work itself: whoever asked may have gone.
        let _turn = turn;
        let report = api.node.verify(&scope)?;
        Ok(Json(serde_json::to_value(report).unwrap_or_default()))
    })
    .await
}
