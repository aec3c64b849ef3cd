use crate::export::{self, ExportParameters};
use crate::extract::{Asked, Said};
use crate::{Api, ApiError};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Instant;
use yagura_node::{
    ExportOf, NodeError, PAGE_BYTES_MAX, Page, PageRoom, Row, RowStream, SearchEnd, SearchQuery,
    SortOrder,
};

/// Rows of one page when the caller names no limit.
const PAGE_ROWS: usize = 100;

/// Most rows of one page; more are had by streaming or by the next page.
const PAGE_ROWS_MAX: usize = 10_000;

/// Header of an answer with the id of its search.
const SEARCH_ID: HeaderName = HeaderName::from_static("yagura-search-id");

const NDJSON: &str = "application/x-ndjson";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchParameters {
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
    /// `newest` (default) or `oldest` first.
    #[serde(default)]
    sort: SortOrder,
    /// As it was at this instant: `now` means it, and events received since are left out.
    as_of: Option<String>,
    /// The id by which it is watched and ended; one of ours by default, in the header of the answer.
    search_id: Option<String>,
    /// For a file; pages carry both languages.
    lang: Option<String>,
    /// A file instead of a page: `parquet`, `csv`, `jsonl` or `ocsf`.
    format: Option<String>,
    /// Columns of the file, or those the page shows, separated by commas.
    #[serde(default)]
    columns: String,
}

impl SearchParameters {
    fn query(self) -> SearchQuery {
        SearchQuery {
            query: self.query,
            from: self.from,
            to: self.to,
            last: self.last,
            limit: self.limit.unwrap_or_default(),
            offset: self.offset,
            time_zone: self.time_zone,
            sort: self.sort,
            as_of: self.as_of,
            id: self.search_id,
        }
    }
}

/// `GET /api/v1/permalink`: the names and values of the page's address that gives the rows of this moment
/// whenever it is opened. Relative times become absolute here, by the clock that stamps receipt.
pub(crate) async fn permalink(
    State(api): State<Api>,
    Asked(asked): Asked<SearchParameters>,
) -> Result<Json<Value>, ApiError> {
    let columns = asked.columns.clone();
    let columns: Vec<String> =
        columns.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let fixed = api.node.permalink(&asked.query())?;
    let pairs = fixed.address(&columns).into_iter();
    let parameters: serde_json::Map<_, _> =
        pairs.map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
    Ok(Json(json!({ "parameters": parameters })))
}

/// `GET /api/v1/search`: one page as JSON, or with `Accept: application/x-ndjson` all rows, one a
/// line, and `{"end": ...}` as the last line; with `format=` a file.
pub(crate) async fn search(
    State(api): State<Api>,
    Asked(asked): Asked<SearchParameters>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let streaming = accept.is_some_and(|kinds| kinds.contains(NDJSON));
    let exported = asked.format.is_some();
    let limit = match asked.limit {
        Some(limit) if streaming || exported => limit,
        None if streaming || exported => 0,
        Some(limit) => limit.clamp(1, PAGE_ROWS_MAX),
        None => PAGE_ROWS,
    };
    if exported {
        let wanted = ExportParameters {
            format: asked.format.clone(),
            columns: asked.columns.clone(),
            lang: asked.lang.clone(),
        };
        let query = SearchQuery { limit, ..asked.query() };
        return export::answer(&api, ExportOf::Search(query), &wanted).await;
    }
    let query = SearchQuery { limit, ..asked.query() };
    let mut rows = api.node.search(&query).await?;
    let id = rows.id().to_owned();
    if streaming {
        let body = Body::from_stream(lines(rows));
        let headers = [(header::CONTENT_TYPE, NDJSON), (SEARCH_ID, &*id)];
        return Ok((headers, body).into_response());
    }
    let (page, full) = page_of(&mut rows, PAGE_BYTES_MAX).await?;
    let end = rows.end();
    let end = SearchEnd { cut: full || end.cut, ..end };
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let body = json!({
        "rows": page, "cut": end.cut, "total_known": !end.cut, "limit": limit, "took_ms": took_ms,
        "scanned": end.scanned, "unread": end.unread, "search_id": id, "notices": end.notices,
        "live": rows.may_be_live(),
    });
    Ok(([(SEARCH_ID, id)], Json(body)).into_response())
}

/// Offers of one completion when the caller names no limit.
const OFFERS: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompleteParameters {
    #[serde(default)]
    query: String,
    /// Characters before the cursor; all of them by default.
    at: Option<usize>,
    limit: Option<usize>,
}

/// `GET /api/v1/complete`: what may stand at a place of a search that is being written.
pub(crate) async fn complete(
    State(api): State<Api>,
    Asked(asked): Asked<CompleteParameters>,
) -> Json<Value> {
    let limit = asked.limit.unwrap_or(OFFERS);
    Json(api.node.complete(&asked.query, asked.at, limit).await)
}

/// `GET /api/v1/searches`: every search that runs or waits.
pub(crate) async fn running(State(api): State<Api>) -> Json<Value> {
    Json(api.node.running_searches())
}

/// `GET /api/v1/search/{id}`: how far it is.
pub(crate) async fn progress(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(api.node.search_progress(&id)?))
}

/// `DELETE /api/v1/search/{id}`: ends it.
pub(crate) async fn cancel(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(api.node.cancel_search(&id)?))
}

/// The rows of a page, and whether there were more than it has memory for.
async fn page_of(
    rows: &mut (impl Stream<Item = Result<Row, NodeError>> + Unpin),
    bytes_max: usize,
) -> Result<(Vec<Row>, bool), NodeError> {
    let (mut page, mut room) = (Vec::new(), PageRoom::new(bytes_max));
    while let Some(row) = rows.next().await {
        let row = row?;
        if !room.takes(&row) {
            return Ok((page, true));
        }
        page.push(row);
    }
    Ok((page, false))
}

fn lines(rows: RowStream) -> impl Stream<Item = Result<String, Infallible>> {
    stream::unfold(Some(rows), |rows| async {
        let mut rows = rows?;
        match rows.next().await {
            Some(Ok(row)) => Some((Ok(line(&row)), Some(rows))),
            // The last line says that rows are missing, and why.
            Some(Err(error)) => {
                tracing::warn!(%error, "a streamed search broke off");
                let cancelled = matches!(error, NodeError::Cancelled);
                let said = error.words();
                let before = rows.end();
                let end = json!({
                    "cut": true, "cancelled": cancelled, "scanned": before.scanned,
                    "notices": before.notices, "unread": before.unread,
                    "error": { "message": said.en(), "message_ja": said.ja() },
                });
                Some((Ok(format!("{}\n", json!({ "end": end }))), None))
            }
            None => Some((Ok(format!("{}\n", json!({ "end": rows.end() }))), None)),
        }
    })
}

fn line(row: &Row) -> String {
    let mut text = serde_json::to_string(row).unwrap_or_default();
    text.push('\n');
    text
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TailParameters {
    #[serde(default)]
    query: String,
    /// Zone of times without one; UTC if not named.
    time_zone: Option<String>,
}

/// `GET /api/v1/tail`: matching events as they arrive, as server-sent events, or with
/// `Accept: application/x-ndjson` one a line and, when the server stops, `{"end": ...}` as the last.
pub(crate) async fn tail(
    State(api): State<Api>,
    Asked(asked): Asked<TailParameters>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let rows = api.node.tail(&asked.query, asked.time_zone.as_deref()).await?;
    let mut stop = api.stop.clone();
    let rows = rows.take_until(Box::pin(async move { stop.stopped().await }));
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|kinds| kinds.contains(NDJSON)) {
        let end = stream::once(async { format!("{}\n", json!({ "end": SearchEnd::default() })) });
        let body = rows.map(|row| line(&row)).chain(end);
        let body = Body::from_stream(body.map(Ok::<_, Infallible>));
        return Ok(([(header::CONTENT_TYPE, NDJSON)], body).into_response());
    }
    let events = rows.map(|row| {
        let data = serde_json::to_string(&row).unwrap_or_default();
        Ok::<_, Infallible>(Event::default().data(data))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statement {
    sql: String,
    /// As in a search.
    format: Option<String>,
    #[serde(default)]
    columns: String,
    lang: Option<String>,
}

/// `POST /api/v1/sql`
pub(crate) async fn sql(
    State(api): State<Api>,
    Said(statement): Said<Statement>,
) -> Result<Response, ApiError> {
    let Statement { sql, format, columns, lang } = statement;
    if format.is_some() {
        let wanted = ExportParameters { format, columns, lang };
        return export::answer(&api, ExportOf::Sql(sql), &wanted).await;
    }
    let page: Page = api.node.sql(&sql).await?;
    Ok(Json(page).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_of_large_rows_ends_at_its_memory() {
        let row = Row::from_iter([("n".to_owned(), json!("x".repeat(1_000)))]);
        let bytes = yagura_node::row_bytes(&row);
        for (room, there, full) in [(3 * bytes, 3, false), (3 * bytes - 1, 2, true), (1, 1, true)] {
            let mut rows = stream::iter(vec![Ok(row.clone()), Ok(row.clone()), Ok(row.clone())]);
            let (page, cut) = page_of(&mut rows, room).await.unwrap();
            assert_eq!((page.len(), cut), (there, full));
        }
    }
}
