//! What every request passes and every response carries: an answer that refuses says so in JSON, in
//! the shape of the API that was spoken to.
//!
//! Without accounts yet, two things protect the loopback listener from a web page the
//! administrator happens to have open: the `Host` must be a loopback name (so that a hostile DNS
//! name that resolves to 127.0.0.1 is refused), and a request a browser marks as coming from
//! another site is refused; acts on alerts also need a header no foreign page can send.

use crate::{ApiError, elastic};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;

/// Header that every act of the page carries. A foreign page cannot set it without a preflight,
/// which we never grant.
pub const REQUEST_HEADER: &str = "yagura-request";

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                   img-src 'self' data:; connect-src 'self'; base-uri 'none'; object-src 'none'; \
                   frame-ancestors 'none'; form-action 'self'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CSP),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Where people act.
const GUARDED: [&str; 10] = [
    "/api/v1/alerts/",
    "/api/v1/rules/",
    "/api/v1/hunts",
    "/api/v1/indicators",
    "/api/v1/feeds",
    "/api/v1/exceptions",
    "/api/v1/reprocess",
    "/api/v1/lake/",
    "/api/v1/enrichment",
    "/api/v1/inventory",
];

/// The middleware.
pub async fn guard(request: Request, next: Next) -> Response {
    let elastic = elastic::is_elastic(request.uri().path());
    let accepted = request.headers().get(header::ACCEPT).cloned();
    let response = match check(request.method(), request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    let mut response = shaped(response, elastic, accepted.as_ref());
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A refusal in the words of the API that was spoken to. What libraries refuse by themselves, such
/// as a method, becomes one of ours first.
fn shaped(response: Response, elastic: bool, accepted: Option<&HeaderValue>) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let told = response.extensions().get::<ApiError>().cloned();
    let allowed = response.headers().get(header::ALLOW).cloned();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let finished = kind.is_some_and(|kind| kind.contains("json"));
    let mut shaped = match told {
        Some(error) if elastic => elastic::refused(&error, accepted),
        None if !finished => {
            let methods = allowed.as_ref().and_then(|methods| methods.to_str().ok());
            let error = ApiError::of_status(status, methods);
            if elastic { elastic::refused(&error, accepted) } else { error.into_response() }
        }
        _ => return response,
    };
    if let Some(allowed) = allowed {
        shaped.headers_mut().insert(header::ALLOW, allowed);
    }
    shaped
}

fn check(method: &Method, path: &str, headers: &HeaderMap) -> Result<(), ApiError> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_loopback_name(host) {
        return Err(ApiError::forbidden(
            "this server answers to localhost, 127.0.0.1 and [::1] only",
            "このサーバーは localhost、127.0.0.1、[::1] 宛ての要求だけに答えます",
        ));
    }
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let foreign_site =
        matches!(text(HeaderName::from_static("sec-fetch-site")), Some("cross-site" | "same-site"));
    let foreign_origin = text(header::ORIGIN)
        .is_some_and(|origin| origin.split_once("://").is_none_or(|(_, place)| place != host));
    if foreign_site || foreign_origin {
        return Err(ApiError::forbidden(
            "requests from other web sites are refused",
            "他のサイトからの要求は受け付けません",
        ));
    }
    let act = !method.is_safe() && GUARDED.iter().any(|start| path.starts_with(start));
    if act && !headers.contains_key(REQUEST_HEADER) {
        return Err(ApiError::forbidden(
            "acts need the header Yagura-Request: 1",
            "操作には Yagura-Request: 1 ヘッダーが必要です",
        ));
    }
    Ok(())
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(method: Method, path: &str, headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        check(&method, path, &headers).is_ok()
    }

    #[test]
    fn only_loopback_names_are_answered() {
        for host in ["localhost", "LOCALHOST:8440", "127.0.0.1:8440", "127.9.9.9", "[::1]:8440"] {
            assert!(is_loopback_name(host), "{host}");
        }
        for host in ["", "evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "[::2]:1", "["] {
            assert!(!is_loopback_name(host), "{host}");
        }
    }

    #[test]
    fn other_sites_are_refused() {
        let host = ("host", "127.0.0.1:8440");
        let ours = [host, ("origin", "http://127.0.0.1:8440"), ("sec-fetch-site", "same-origin")];
        assert!(verdict(Method::POST, "/api/v1/ingest", &ours));
        assert!(verdict(Method::POST, "/_bulk", &[host]));
        for foreign in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:9999"),
            ("sec-fetch-site", "cross-site"),
        ] {
            assert!(!verdict(Method::POST, "/api/v1/ingest", &[host, foreign]), "{foreign:?}");
            assert!(!verdict(Method::GET, "/api/v1/search", &[host, foreign]), "{foreign:?}");
        }
    }

    #[test]
    fn acts_need_the_header() {
        let host = ("host", "localhost");
        assert!(!verdict(Method::POST, "/api/v1/alerts/A-1/close", &[host]));
        assert!(!verdict(Method::POST, "/api/v1/rules/reload", &[host]));
        assert!(!verdict(Method::POST, "/api/v1/exceptions", &[host]));
        assert!(!verdict(Method::POST, "/api/v1/exceptions/X-000001/remove", &[host]));
        assert!(verdict(Method::POST, "/api/v1/alerts/A-1/close", &[host, (REQUEST_HEADER, "1")]));
        assert!(verdict(Method::GET, "/api/v1/alerts/A-1", &[host]));
    }
}
