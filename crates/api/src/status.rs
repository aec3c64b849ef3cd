use crate::{Api, ApiError, HttpCounters, blocking};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;
use yagura_intake::syslog::SyslogCounters;

/// A port we listen on.
#[derive(Debug, Clone)]
pub struct Listener {
    /// `http`, `syslog-tcp` or `syslog-udp`.
    pub kind: &'static str,
    /// The address in use.
    pub address: String,
    /// What it counts.
    pub counters: Counting,
}

/// The counters of a listener.
#[derive(Debug, Clone)]
pub enum Counting {
    /// Of HTTP.
    Http(Arc<HttpCounters>),
    /// Of syslog.
    Syslog(Arc<SyslogCounters>),
}

impl Listener {
    fn shown(&self) -> Value {
        let counters = match &self.counters {
            Counting::Http(counters) => json!(counters.snapshot()),
            Counting::Syslog(counters) => json!(counters.snapshot()),
        };
        json!({ "kind": self.kind, "address": self.address, "counters": counters })
    }
}

/// What a node says of itself, and what became of the webhook's deliveries, where there is one.
fn figures(api: &Api) -> Value {
    let mut status = api.node.status();
    if let Some(webhook) = &api.webhook {
        let stats = json!(webhook.stats());
        for (name, value) in stats.as_object().into_iter().flatten() {
            status["counters"][format!("webhook.{name}")] = value.clone();
        }
        status["webhook"] = stats;
    }
    status
}

pub(crate) async fn status(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    blocking(move || {
        let mut status = figures(&api);
        status["version"] = json!(env!("CARGO_PKG_VERSION"));
        status["uptime_s"] = json!(api.began.elapsed().as_secs());
        status["listeners"] = api.listeners.iter().map(Listener::shown).collect();
        Ok(Json(status))
    })
    .await
}

/// `GET /api/v1/forward`: how far each target of forwarding has come.
pub(crate) async fn forward(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    blocking(move || Ok(Json(api.node.forward_status()))).await
}

/// The configuration in force, as the text of a configuration file.
pub(crate) async fn config(State(api): State<Api>) -> Json<Value> {
    Json(json!({ "toml": *api.config }))
}

pub(crate) async fn health(State(api): State<Api>) -> Result<Response, ApiError> {
    blocking(move || {
        let running = api.node.status()["running"] == json!(true);
        let (status, word) = match running {
            true => (StatusCode::OK, "ok"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
        };
        Ok((status, Json(json!({ "status": word }))).into_response())
    })
    .await
}

/// OpenMetrics 1.0 text.
pub(crate) async fn metrics(State(api): State<Api>) -> Result<Response, ApiError> {
    blocking(move || {
        let status = figures(&api);
        let mut text = String::new();
        for (name, value) in status["counters"].as_object().into_iter().flatten() {
            let name = name.replace('.', "_");
            // Proof: writing to a `String` cannot fail.
            let _ = writeln!(text, "# TYPE yagura_{name} gauge\nyagura_{name} {value}");
        }
        for (number, listener) in api.listeners.iter().map(Listener::shown).enumerate() {
            let kind = listener["kind"].as_str().unwrap_or_default().replace('-', "_");
            for (name, value) in listener["counters"].as_object().into_iter().flatten() {
                let name = format!("yagura_{kind}_{number}_{name}");
                let _ = writeln!(text, "# TYPE {name} gauge\n{name} {value}");
            }
        }
        text.push_str("# EOF\n");
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
    })
    .await
}
