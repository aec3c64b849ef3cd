//! What handlers take from a request: bodies within their limits, questions in words we can answer
//! for. What is wrong is refused with its place.

use crate::counters::count;
use crate::limits::{BODY_BYTES_MAX, BODY_BYTES_PER_SECOND_MIN, QUESTION_BYTES_MAX};
use crate::{ApiError, HttpCounters};
use axum::extract::{FromRef, FromRequest, FromRequestParts, Query, Request};
use axum::http::header;
use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Memory of a body that is set aside before anything of it has come, at most.
const RESERVED_AHEAD_MAX: usize = 1024 * 1024;

/// What bodies share: memory, time and counters.
#[derive(Debug, Clone)]
pub(crate) struct Bodies {
    /// One permit per byte held.
    memory: Arc<Semaphore>,
    request_timeout: Duration,
    counters: Arc<HttpCounters>,
}

impl Bodies {
    pub(crate) fn new(
        bytes_max: usize,
        request_timeout: Duration,
        counters: Arc<HttpCounters>,
    ) -> Self {
        Bodies { memory: Arc::new(Semaphore::new(bytes_max)), request_timeout, counters }
    }
}

/// The whole body of a request, up to [`BODY_BYTES_MAX`]. While it lives, its memory counts.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    pub(crate) held: Held,
}

/// A share of the memory for bodies; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    memory: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Held {
    fn new(memory: Arc<Semaphore>) -> Self {
        Held { memory, permit: None }
    }

    /// Takes as much more; says whether there was as much.
    fn grow(&mut self, bytes: usize) -> bool {
        let Ok(amount) = u32::try_from(bytes) else { return false };
        match (self.memory.clone().try_acquire_many_owned(amount), &mut self.permit) {
            (Ok(more), Some(permit)) => permit.merge(more),
            (Ok(more), none) => *none = Some(more),
            (Err(_), _) => return false,
        }
        true
    }
}

impl<S: Send + Sync> FromRequest<S> for Whole
where
    Bodies: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        read(request, &Bodies::from_ref(state), BODY_BYTES_MAX).await
    }
}

async fn read(request: Request, bodies: &Bodies, bytes_max: usize) -> Result<Whole, ApiError> {
    let counters = &bodies.counters;
    let too_large = || {
        count(&counters.bodies_too_large, 1);
        ApiError::too_large(bytes_max)
    };
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length: usize =
        length.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or_default();
    if length > bytes_max {
        return Err(too_large());
    }
    let mut held = Held::new(bodies.memory.clone());
    let mut body = BytesMut::with_capacity(length.min(RESERVED_AHEAD_MAX));
    let mut parts = request.into_body().into_data_stream();
    let began = Instant::now();
    loop {
        let earned = Duration::from_secs(body.len() as u64 / BODY_BYTES_PER_SECOND_MIN);
        let deadline = began + bodies.request_timeout + earned;
        match tokio::time::timeout_at(deadline, parts.next()).await {
            Ok(Some(Ok(part))) => {
                count(&counters.body_bytes, part.len());
                if body.len() + part.len() > bytes_max {
                    return Err(too_large());
                }
                if !held.grow(part.len()) {
                    count(&counters.bodies_without_room, 1);
                    return Err(ApiError::full());
                }
                body.extend_from_slice(&part);
            }
            Ok(Some(Err(_))) => {
                count(&counters.bodies_cut, 1);
                return Err(ApiError::bad_request(
                    format!("the body broke off after {} bytes; send it again", body.len()),
                    format!("本文が{}バイトで途切れました。もう一度送ってください", body.len()),
                ));
            }
            Ok(None) => return Ok(Whole { bytes: body.freeze(), held }),
            Err(_) => {
                count(&counters.bodies_too_slow, 1);
                return Err(ApiError::too_slow(body.len()));
            }
        }
    }
}

/// A JSON body of a question or an act, up to [`QUESTION_BYTES_MAX`].
pub(crate) struct Said<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Said<T>
where
    Bodies: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        // A form of another site can send anything but this type without being asked first.
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let json =
            kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json"));
        let whole = read(request, &Bodies::from_ref(state), QUESTION_BYTES_MAX).await?;
        if !json && !whole.bytes.is_empty() {
            return Err(ApiError::bad_request(
                "send this body with Content-Type: application/json",
                "この本文は Content-Type: application/json を付けて送ってください",
            )
            .status_code(415));
        }
        // An act that needs no words may come without any.
        let bytes: &[u8] = if whole.bytes.trim_ascii().is_empty() { b"{}" } else { &whole.bytes };
        match serde_json::from_slice(bytes) {
            Ok(said) => Ok(Said(said)),
            Err(error) => Err(ApiError::bad_request(
                format!("the body is not the JSON expected here: {error}"),
                format!("本文がここで求められるJSONになっていません: {error}"),
            )
            .at(format!("line {}, column {}", error.line(), error.column()))),
        }
    }
}

/// The parameters after `?`.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Asked(asked)),
            Err(error) => Err(ApiError::bad_request(
                format!("a parameter is wrong: {}", error.body_text()),
                format!("パラメーターが正しくありません: {}", error.body_text()),
            )
            .at(parts.uri.query().unwrap_or_default())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::StatusCode;
    use futures::stream;
    use std::collections::HashMap;
    use std::convert::Infallible;

    fn bodies(bytes_max: usize) -> Bodies {
        Bodies::new(bytes_max, Duration::from_secs(30), Arc::default())
    }

    fn request(body: impl Into<Body>, kind: &str) -> Request {
        Request::post("/x?limit=many").header(header::CONTENT_TYPE, kind).body(body.into()).unwrap()
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
        let bodies = bodies(1_000_000);
        let read = |size: usize, told: bool| {
            let body = vec![b'x'; size];
            let mut request = match told {
                true => request(body, "text/plain"),
                // In pieces, without a length.
                false => {
                    let parts: Vec<_> =
                        body.chunks(7).map(|part| Ok::<_, Infallible>(part.to_vec())).collect();
                    request(Body::from_stream(stream::iter(parts)), "text/plain")
                }
            };
            if told {
                request.headers_mut().insert(header::CONTENT_LENGTH, size.into());
            }
            let bodies = bodies.clone();
            async move { read(request, &bodies, 1_000).await }
        };
        for told in [true, false] {
            assert_eq!(read(1_000, told).await.unwrap().bytes.len(), 1_000);
            assert_eq!(
                read(1_001, told).await.unwrap_err().status(),
                StatusCode::PAYLOAD_TOO_LARGE
            );
        }
        assert_eq!(bodies.counters.snapshot().bodies_too_large, 2);
        assert_eq!(bodies.memory.available_permits(), 1_000_000, "nothing is held any more");
    }

    #[tokio::test]
    async fn all_bodies_share_one_memory_and_give_it_back() {
        let bodies = bodies(1_000);
        let first = read(request(vec![0; 600], "text/plain"), &bodies, 1_000).await.unwrap();
        let refused = read(request(vec![0; 401], "text/plain"), &bodies, 1_000).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        let second = read(request(vec![0; 400], "text/plain"), &bodies, 1_000).await.unwrap();
        assert_eq!(bodies.memory.available_permits(), 0);
        drop((first.held, second.held));
        assert_eq!(bodies.memory.available_permits(), 1_000);
        assert_eq!(bodies.counters.snapshot().bodies_without_room, 1);
    }

    #[tokio::test]
    async fn a_body_has_time_for_its_length_and_no_more() {
        let trickle = |bytes: usize, every: Duration| {
            let part = move |left: usize| async move {
                tokio::time::sleep(every).await;
                let part = vec![b'x'; bytes];
                (left > 0).then(|| (Ok::<_, Infallible>(part), left - 1))
            };
            request(Body::from_stream(stream::unfold(100, part)), "text/plain")
        };
        let bodies = Bodies::new(1_000_000, Duration::from_secs(1), Arc::default());
        let pause = Duration::from_millis(20);
        // Two seconds in all: each part earns two more. Then as many single bytes, which earn none.
        let whole = read(trickle(2_048, pause), &bodies, 1_000_000).await.unwrap();
        assert_eq!(whole.bytes.len(), 204_800);
        drop(whole);
        let error = read(trickle(1, pause), &bodies, 1_000_000).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::REQUEST_TIMEOUT);
        assert!(error.message().contains("bytes so far"), "{}", error.message());
        assert_eq!(bodies.counters.snapshot().bodies_too_slow, 1);
        assert_eq!(bodies.memory.available_permits(), 1_000_000);
    }

    #[tokio::test]
    async fn wrong_words_are_refused_with_their_place() {
        type Words = Said<HashMap<String, u8>>;
        let state = bodies(10_000_000);
        let said = |body: &'static str, kind: &'static str| {
            let state = state.clone();
            async move { Words::from_request(request(body, kind), &state).await }
        };
        assert_eq!(said("{\"a\": 1}", "application/json; charset=utf-8").await.unwrap().0["a"], 1);
        assert!(said("", "application/json").await.unwrap().0.is_empty());
        let error = said("{\n  \"a\": x}", "application/json").await.err().unwrap();
        assert_eq!(error.place(), Some("line 2, column 8"));
        let error = said("{}", "text/plain").await.err().unwrap();
        assert_eq!(error.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let large = "1".repeat(QUESTION_BYTES_MAX + 1);
        let large = Words::from_request(request(large, "application/json"), &state).await;
        assert_eq!(large.err().unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
        let (mut parts, _) = request("", "").into_parts();
        let asked = Asked::<HashMap<String, u8>>::from_request_parts(&mut parts, &()).await;
        assert_eq!(asked.err().unwrap().place(), Some("limit=many"));
    }
}
