use crate::export::{self, ExportParameters};
use crate::extract::{Asked, Said};
use crate::{Api, ApiError};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use yagura_event::Words;
use yagura_node::{ActsFound, ActsQuery, ExportOf, SearchQuery};

/// Acts of one answer when the caller names no limit.
const PAGE_ROWS: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActsParameters {
    #[serde(default)]
    query: String,
    from: Option<String>,
    to: Option<String>,
    last: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    offset: usize,
    /// Zone of times without one; UTC if not named.
    time_zone: Option<String>,
    /// Kinds, separated by commas.
    #[serde(default)]
    kind: String,
    /// Whether each act comes with the ids of its events.
    #[serde(default)]
    events: bool,
    /// For a file; pages carry both languages.
    lang: Option<String>,
    /// A file instead of a page: `parquet`, `csv` or `jsonl`.
    format: Option<String>,
    /// Columns of the file, separated by commas.
    #[serde(default)]
    columns: String,
}

/// `GET /api/v1/acts`
pub(crate) async fn asked(
    State(api): State<Api>,
    Asked(asked): Asked<ActsParameters>,
) -> Result<Response, ApiError> {
    answer(&api, asked).await
}

/// `POST /api/v1/acts`, for expressions too long for an address.
pub(crate) async fn said(
    State(api): State<Api>,
    Said(asked): Said<ActsParameters>,
) -> Result<Response, ApiError> {
    answer(&api, asked).await
}

async fn answer(api: &Api, asked: ActsParameters) -> Result<Response, ApiError> {
    let words = asked.kind.split(',').map(str::trim).filter(|word| !word.is_empty());
    let kinds = words.map(str::parse).collect::<Result<Vec<_>, Words>>();
    let kinds = kinds.map_err(|words| {
        let ja = format!("行為の種類が正しくありません。{}", words.ja());
        ApiError::bad_request(words.en(), ja).at(&asked.kind)
    })?;
    let search = SearchQuery {
        query: asked.query,
        from: asked.from,
        to: asked.to,
        last: asked.last,
        limit: asked.limit.unwrap_or(if asked.format.is_some() { 0 } else { PAGE_ROWS }),
        offset: asked.offset,
        time_zone: asked.time_zone,
        ..SearchQuery::default()
    };
    let query = ActsQuery { search, kinds, events: asked.events };
    if asked.format.is_some() {
        let ActsParameters { format, columns, lang, .. } = asked;
        let wanted = ExportParameters { format, columns, lang };
        return export::answer(api, ExportOf::Acts(Box::new(query)), &wanted).await;
    }
    let found: ActsFound = api.node.acts(&query).await?;
    Ok(Json(found).into_response())
}
