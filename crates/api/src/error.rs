use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use yagura_node::NodeError;

/// What a caller is told: a stable code, a sentence in both languages, and where to look.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    message_ja: String,
    place: Option<String>,
}

impl ApiError {
    /// The caller's fault: 400 unless said otherwise.
    pub fn bad_request(message: impl Into<String>, message_ja: impl Into<String>) -> Self {
        ApiError {
            status: StatusCode::BAD_REQUEST,
            code: "bad-request",
            message: message.into(),
            message_ja: message_ja.into(),
            place: None,
        }
    }

    /// Refused by the guard.
    pub fn forbidden(message: &str, message_ja: &str) -> Self {
        ApiError::bad_request(message, message_ja).with(StatusCode::FORBIDDEN, "forbidden")
    }

    /// No such thing.
    pub fn not_found(message: impl Into<String>, message_ja: impl Into<String>) -> Self {
        ApiError::bad_request(message, message_ja).with(StatusCode::NOT_FOUND, "not-found")
    }

    /// The queue is full; the sender should wait and try again.
    pub fn full() -> Self {
        ApiError::bad_request(
            "the queue is full; wait and send the same again",
            "受付待ちがいっぱいです。少し待って同じものを送り直してください",
        )
        .with(StatusCode::TOO_MANY_REQUESTS, "queue-full")
    }

    /// A verification is running already.
    pub(crate) fn verifying() -> Self {
        ApiError::bad_request(
            "a verification is running already; ask again when it has ended",
            "検証はすでに実行中です。終わってからもう一度実行してください",
        )
        .with(StatusCode::TOO_MANY_REQUESTS, "verifying")
    }

    /// The disk is full; nothing was taken.
    pub fn disk_full() -> Self {
        ApiError::bad_request(
            "the disk is full; nothing was taken. Free space, and intake resumes by itself",
            "ディスクに空きがないため受け取れませんでした。空きができれば自動で再開します",
        )
        .with(StatusCode::INSUFFICIENT_STORAGE, "disk-full")
    }

    /// The body is larger than what is asked for may be.
    pub(crate) fn too_large(bytes_max: usize) -> Self {
        ApiError::bad_request(
            format!("the body has more than {bytes_max} bytes; send it in smaller parts"),
            format!("本文が{bytes_max}バイトを超えています。小さく分けて送ってください"),
        )
        .with(StatusCode::PAYLOAD_TOO_LARGE, "too-large")
    }

    /// The body came so slowly that we stopped waiting.
    pub(crate) fn too_slow(bytes: usize) -> Self {
        ApiError::bad_request(
            format!("the body came too slowly: {bytes} bytes so far. Nothing was taken; send it again"),
            format!("本文が{bytes}バイトまで届いたところで時間切れになりました。何も受け取っていません。送り直してください"),
        )
        .with(StatusCode::REQUEST_TIMEOUT, "too-slow")
    }

    /// What stands for an answer of a library, which has no words of ours.
    pub(crate) fn of_status(status: StatusCode, allowed: Option<&str>) -> Self {
        match (status, allowed) {
            (StatusCode::NOT_FOUND, _) => {
                ApiError::not_found("there is nothing here", "ここには何もありません")
            }
            (StatusCode::METHOD_NOT_ALLOWED, allowed) => ApiError::bad_request(
                format!("this address takes {} only", allowed.unwrap_or("other methods")),
                format!("このアドレスで使えるメソッド: {}", allowed.unwrap_or("別のもの")),
            )
            .with(status, "method-not-allowed"),
            _ if status.is_client_error() => ApiError::bad_request(
                format!("the request is wrong ({status})"),
                format!("要求が正しくありません（{status}）"),
            )
            .with(status, "bad-request"),
            _ => ApiError::internal(&status).with(status, "internal"),
        }
    }

    /// Something of ours failed. `detail` goes to our own log only.
    pub fn internal(detail: &dyn std::fmt::Display) -> Self {
        tracing::error!(detail = %detail, "request failed");
        ApiError::bad_request(
            "Yagura could not answer; its own log says why",
            "処理できませんでした。理由はYagura自身のログにあります",
        )
        .with(StatusCode::INTERNAL_SERVER_ERROR, "internal")
    }

    /// The status that is answered.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The English message.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn with(mut self, status: StatusCode, code: &'static str) -> Self {
        self.status = status;
        self.code = code;
        self
    }

    /// Answers with another status of the 4xx range; others are ignored.
    pub fn status_code(mut self, status: u16) -> Self {
        match StatusCode::from_u16(status) {
            Ok(status) if status.is_client_error() => self.status = status,
            _ => {}
        }
        self
    }

    /// Where in the input the fault lies.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Says where in the input the fault lies.
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }
}

impl From<NodeError> for ApiError {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Request { message, message_ja, place } => {
                let refused = ApiError::bad_request(message, message_ja);
                match place {
                    Some(place) => refused.at(place),
                    None => refused,
                }
            }
            NodeError::NotFound { message, message_ja } => ApiError::not_found(message, message_ja),
            NodeError::Busy { message, message_ja } => ApiError::bad_request(message, message_ja)
                .with(StatusCode::TOO_MANY_REQUESTS, "busy"),
            NodeError::Cancelled => {
                ApiError::bad_request("the search was cancelled", "検索は取り消されました")
                    .with(StatusCode::CONFLICT, "cancelled")
            }
            NodeError::Backup(words) => ApiError::bad_request(words.en(), words.ja()),
            NodeError::Pin(words) => {
                ApiError::bad_request(words.en(), words.ja()).with(StatusCode::CONFLICT, "damaged")
            }
            error if error.is_of_a_cold_store() => {
                let words = error.words();
                ApiError::bad_request(words.en(), words.ja())
                    .with(StatusCode::SERVICE_UNAVAILABLE, "cold-store")
            }
            other => ApiError::internal(&other),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = json!({
            "code": self.code,
            "message": self.message,
            "message_ja": self.message_ja,
        });
        if let Some(place) = &self.place {
            error["place"] = place.as_str().into();
        }
        let mut response = (self.status, Json(json!({ "error": error }))).into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // Where Elasticsearch's API was spoken to, the same is said again in its way.
        response.extensions_mut().insert(self);
        response
    }
}
