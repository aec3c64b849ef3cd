//! What commands ask the hunter, of a server or of a directory: the same answers in the same shape.

use crate::backend::{Backend, said};
use anyhow::Result;
use serde_json::{Value, json};
use yagura_node::NodeError;
use yagura_node::hunt::{FeedRequest, HuntRequest, Hunter, IndicatorQuery, IndicatorRequest};

/// A question or an act.
pub enum Ask {
    Estimate(Box<HuntRequest>),
    Start(Box<HuntRequest>),
    List { limit: usize },
    Show { id: String, offset: usize, limit: usize },
    Query { id: String },
    Cancel { id: String },
    Restart { id: String },
    Indicators(Vec<(&'static str, String)>),
    AddIndicators(Box<IndicatorRequest>),
    RemoveIndicators { source: Option<String>, values: Vec<String> },
    Feeds,
    AddFeed(Box<FeedRequest>),
    PullFeed(String),
    RemoveFeed(String),
}

impl Backend {
    /// Asks the hunter.
    pub async fn hunter(&self, ask: Ask) -> Result<Value> {
        let client = match self {
            Backend::Remote(client) => client,
            Backend::Local(node, lang) => {
                let hunter = node.hunter().clone();
                let answer = match ask {
                    Ask::AddFeed(request) => hunter.add_feed(*request, &who()).await,
                    Ask::PullFeed(name) => hunter.pull_feed(&name).await,
                    ask => tokio::task::spawn_blocking(move || locally(&hunter, ask)).await?,
                };
                return answer.map_err(|error| said(error, *lang));
            }
        };
        match ask {
            Ask::Estimate(request) => {
                client.post("/api/v1/hunts/estimate", &serde_json::to_value(request)?).await
            }
            Ask::Start(request) => {
                client.post("/api/v1/hunts", &serde_json::to_value(request)?).await
            }
            Ask::List { limit } => {
                client.get("/api/v1/hunts", &[("limit", limit.to_string())]).await
            }
            Ask::Show { id, offset, limit } => {
                let query = [("offset", offset.to_string()), ("limit", limit.to_string())];
                client.get(&format!("/api/v1/hunts/{}", part(&id)), &query).await
            }
            Ask::Query { id } => {
                client.get(&format!("/api/v1/hunts/{}/query", part(&id)), &[]).await
            }
            Ask::Cancel { id } => {
                client.post(&format!("/api/v1/hunts/{}/cancel", part(&id)), &json!({})).await
            }
            Ask::Restart { id } => {
                client.post(&format!("/api/v1/hunts/{}/restart", part(&id)), &json!({})).await
            }
            Ask::Indicators(query) => client.get("/api/v1/indicators", &query).await,
            Ask::AddIndicators(request) => {
                client.post("/api/v1/indicators", &serde_json::to_value(request)?).await
            }
            Ask::RemoveIndicators { source, values } => {
                let body = json!({ "source": source, "values": values });
                client.post("/api/v1/indicators/remove", &body).await
            }
            Ask::Feeds => client.get("/api/v1/feeds", &[]).await,
            Ask::AddFeed(request) => {
                client.post("/api/v1/feeds", &serde_json::to_value(request)?).await
            }
            Ask::PullFeed(name) => {
                client.post(&format!("/api/v1/feeds/{}/pull", part(&name)), &json!({})).await
            }
            Ask::RemoveFeed(name) => {
                client.post(&format!("/api/v1/feeds/{}/remove", part(&name)), &json!({})).await
            }
        }
    }
}

fn who() -> String {
    std::env::var("USER").unwrap_or_else(|_| "local".to_owned())
}

fn locally(hunter: &Hunter, ask: Ask) -> Result<Value, NodeError> {
    match ask {
        Ask::Estimate(request) => hunter.estimate(&request),
        Ask::Start(request) => hunter.start(&request, &who()),
        Ask::List { limit } => Ok(hunter.list(limit)),
        Ask::Show { id, offset, limit } => hunter.show(&id, offset, limit),
        Ask::Query { id } => hunter.query(&id),
        Ask::Cancel { id } => hunter.cancel(&id, &who()),
        Ask::Restart { id } => hunter.restart(&id, &who()),
        Ask::Indicators(query) => {
            let mut asked = serde_json::Map::new();
            for (name, value) in query {
                let value = match (name, value.parse::<u64>()) {
                    ("limit" | "offset", Ok(number)) => json!(number),
                    _ => json!(value),
                };
                asked.insert(name.to_owned(), value);
            }
            let query: IndicatorQuery =
                serde_json::from_value(Value::Object(asked)).map_err(|error| {
                    let ja = format!("絞り込みの条件に誤りがあります（{error}）");
                    NodeError::request(error.to_string(), ja)
                })?;
            Ok(hunter.indicators(&query))
        }
        Ask::AddIndicators(request) => hunter.add_indicators(*request, &who()),
        Ask::RemoveIndicators { source, values } => {
            hunter.remove_indicators(source, values, &who())
        }
        Ask::Feeds => Ok(hunter.feeds()),
        Ask::RemoveFeed(name) => hunter.remove_feed(&name, &who()),
        // These talk to another machine and are asked elsewhere.
        Ask::AddFeed(_) | Ask::PullFeed(_) => Ok(Value::Null),
    }
}

/// A text as one part of an address's path.
fn part(text: &str) -> String {
    text.bytes().fold(String::new(), |mut part, byte| {
        match byte {
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') => {
                part.push(char::from(byte));
            }
            byte => part.push_str(&format!("%{byte:02X}")),
        }
        part
    })
}
