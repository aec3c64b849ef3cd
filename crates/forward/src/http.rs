//! Receivers behind HTTP: what they take, and what their answers mean.

use crate::ForwardError;
use crate::limits::{REPLY_BYTES_MAX, TIMEOUT_SECONDS};
use crate::settings::{Kind, Settings};
use crate::target::{Later, Sent, cut};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url};
use serde_json::Value;
use std::time::Duration;
use yagura_desk::guarded_client;

pub(crate) struct Http {
    kind: Kind,
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
}

impl Http {
    pub(crate) fn new(settings: &Settings) -> Result<(Http, String), ForwardError> {
        let timeout = Duration::from_secs(TIMEOUT_SECONDS);
        let guarded = guarded_client(settings.url.trim(), settings.allow_private, timeout);
        let (client, mut url, receiver) = guarded.map_err(|error| {
            let words = error.words();
            settings.refuse(format!("url: {}", words.en()), format!("url: {}", words.ja()))
        })?;
        if settings.ca_file.is_some() {
            return Err(settings.refuse(
                "ca_file is for tls:// only; HTTPS goes by the certificates of this machine",
                "ca_file は tls:// だけで使えます。HTTPS はこの端末の証明書で確かめます",
            ));
        }
        // The usual place, where only the server is named.
        if url.path() == "/" {
            url.set_path(match settings.to {
                Kind::SplunkHec => "/services/collector/event",
                Kind::Elasticsearch => "/_bulk",
                Kind::Otlp | Kind::Syslog | Kind::Kafka => "/v1/logs",
            });
        }
        let scheme = match settings.to {
            Kind::SplunkHec => "Splunk",
            Kind::Elasticsearch => "ApiKey",
            Kind::Otlp | Kind::Syslog | Kind::Kafka => "Bearer",
        };
        let authorization = settings.token()?.map(|token| {
            // Proof: a token is visible ASCII.
            let value = HeaderValue::from_str(&format!("{scheme} {token}"));
            let mut value = value.unwrap_or_else(|_| HeaderValue::from_static(""));
            // So that no log of the client shows it.
            value.set_sensitive(true);
            value
        });
        Ok((Http { kind: settings.to, client, url, authorization }, receiver))
    }

    pub(crate) async fn send(&self, parts: &[Vec<u8>]) -> Result<Sent, Later> {
        let (body, content) = self.body(parts);
        let mut request =
            self.client.post(self.url.clone()).header(CONTENT_TYPE, content).body(body);
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        // Without the address: its path or query may hold a token.
        let failed = |error: reqwest::Error| innermost(&error.without_url());
        let mut answer = request.send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        let mut reply = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            reply.extend_from_slice(&chunk);
            if reply.len() > REPLY_BYTES_MAX {
                return Err(Later::new(
                    format!("its answer has more than {REPLY_BYTES_MAX} bytes"),
                    format!("受信側の応答が{REPLY_BYTES_MAX}バイトを超えています"),
                ));
            }
        }
        self.verdict(status, &reply, parts.len())
    }

    fn body(&self, parts: &[Vec<u8>]) -> (Vec<u8>, &'static str) {
        match self.kind {
            Kind::Elasticsearch => (parts.concat(), "application/x-ndjson"),
            Kind::SplunkHec | Kind::Syslog | Kind::Kafka => {
                (parts.join(&b'\n'), "application/json")
            }
            Kind::Otlp => {
                let mut body = br#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"yagura"}}]},"scopeLogs":[{"scope":{"name":"yagura"},"logRecords":["#.to_vec();
                body.extend_from_slice(&parts.join(&b','));
                body.extend_from_slice(b"]}]}]}");
                (body, "application/json")
            }
        }
    }

    /// What an answer means. Refused is only what is wrong with the events themselves; a wrong token or
    /// address is for the person who set it, and nothing is lost until it is right.
    fn verdict(&self, status: u16, reply: &[u8], count: usize) -> Result<Sent, Later> {
        let said = || cut(&String::from_utf8_lossy(reply));
        match status {
            200..=299 => match self.kind {
                Kind::Elasticsearch => items(reply, count),
                Kind::Otlp => Ok(partial_success(reply)),
                Kind::SplunkHec | Kind::Syslog | Kind::Kafka => Ok(Sent::Taken(Vec::new())),
            },
            300..=399 => Err(Later::new(
                format!("it redirects ({status}): set its new address"),
                format!(
                    "別のアドレスへ転送されました（{status}）。新しいアドレスを設定してください"
                ),
            )),
            // Splunk answers 400 for a wrong index (code 7) or token too; these are settings.
            400 if self.kind == Kind::SplunkHec && is_setting_of_splunk(reply) => {
                Err(answered(status.into(), &said()))
            }
            400 | 413 | 422 => Ok(Sent::Refused(format!("{status}: {}", said()))),
            _ => Err(answered(status.into(), &said())),
        }
    }
}

/// The verdict on each event of a bulk request. An event that is there already was taken before.
fn items(reply: &[u8], count: usize) -> Result<Sent, Later> {
    let answer: Value = serde_json::from_slice(reply).map_err(|error| {
        Later::new(
            format!("its answer is no JSON ({error})"),
            format!("受信側の応答がJSONではありません（{error}）"),
        )
    })?;
    if answer["errors"] == Value::Bool(false) {
        return Ok(Sent::Taken(Vec::new()));
    }
    let items = answer["items"].as_array().filter(|items| items.len() == count);
    let Some(items) = items else {
        return Err(Later::new(
            "its answer does not say what became of each event",
            "受信側の応答に各イベントの結果がありません",
        ));
    };
    let mut refused = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let result = item.as_object().and_then(|item| item.values().next()).unwrap_or(&Value::Null);
        let reason = || {
            let error = &result["error"];
            let text = error["reason"].as_str().or_else(|| error.as_str()).unwrap_or_default();
            cut(text)
        };
        match result["status"].as_u64() {
            Some(200..=299 | 409) => {}
            Some(status @ (400 | 413 | 422)) => {
                refused.push((at, format!("{status}: {}", reason())))
            }
            // What comes after it may be there already; sent again, it is recognised by its id.
            _ if at > 0 => return Ok(Sent::Partly(at, refused)),
            status => return Err(answered(status.unwrap_or(0), &reason())),
        }
    }
    Ok(Sent::Taken(refused))
}

/// OTLP says how many it left out, not which.
fn partial_success(reply: &[u8]) -> Sent {
    let answer: Value = serde_json::from_slice(reply).unwrap_or_default();
    let partial = &answer["partialSuccess"];
    let count = &partial["rejectedLogRecords"];
    let count = count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0);
    if count == 0 {
        return Sent::Taken(Vec::new());
    }
    let reason = partial["errorMessage"].as_str().unwrap_or_default();
    let reason = format!("{count} of this request, unnamed by the receiver: {}", cut(reason));
    Sent::Taken(vec![(0, reason)])
}

/// Codes of HTTP Event Collector that blame the settings: token (2, 3, 4), index (7), channel (10, 11),
/// acknowledgement (14).
fn is_setting_of_splunk(reply: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(reply).unwrap_or_default();
    matches!(answer["code"].as_u64(), Some(2 | 3 | 4 | 7 | 10 | 11 | 14))
}

/// An answer that is not yes.
fn answered(status: u64, said: &str) -> Later {
    Later::new(
        format!("it answered {status}: {said}"),
        format!("受信側の応答は {status} でした（{said}）"),
    )
}

/// What went wrong in the end, without the addresses before it.
fn innermost(error: &reqwest::Error) -> Later {
    if error.is_timeout() {
        return Later::late();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match cause.downcast_ref::<std::io::Error>() {
        Some(error) => Later(error.into()),
        None => Later::quoted(cut(&cause.to_string())),
    }
}
