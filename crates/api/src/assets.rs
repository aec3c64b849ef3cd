//! The page, embedded when the binary is built.

use crate::ApiError;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../web/dist"]
#[allow_missing = true]
struct Page;

/// A file of the page.
pub async fn file(axum::extract::Path(path): axum::extract::Path<String>) -> Response {
    asset(&format!("assets/{path}"))
}

/// The file at `path`, with a content type from a fixed list.
pub fn asset(path: &str) -> Response {
    let Some(file) = Page::get(path) else {
        return ApiError::not_found("no such page", "ページがありません").into_response();
    };
    let kind = match path.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some("woff2") => "font/woff2",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    };
    // Vite puts a hash of the contents into every name below assets/.
    let cache = match path.starts_with("assets/") {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    let mut response = file.data.into_owned().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

/// The page itself, or what to do when this binary was built without it.
pub fn index() -> Response {
    if Page::get("index.html").is_some() {
        return asset("index.html");
    }
    let text = "This binary was built without its page. Build it with: cargo xtask build\n\
                このバイナリには画面が含まれていません。cargo xtask build で作成してください。\n";
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], text)
        .into_response()
}
