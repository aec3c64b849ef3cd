//! A running server, asked over its HTTP API.

use crate::Misuse;
use crate::output::Row;
use crate::told::{either, misuse};
use anyhow::{Context, Error, Result, bail};
use futures::StreamExt;
use serde_json::Value;
use std::path::Path;
use yagura_event::Lang;

/// Longest line of a streamed answer, in bytes: one event with its raw text and all its fields.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    lang: Lang,
}

impl Client {
    pub fn new(server: &str, token_file: Option<&Path>, lang: Lang) -> Result<Self> {
        let base = server.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(misuse(
                lang,
                format!("--server {server:?} must begin with http:// or https://"),
                format!("--server {server:?} は http:// か https:// で始めてください"),
            )
            .into());
        }
        let token = match token_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| {
                    let path = path.display();
                    either(
                        lang,
                        format!("cannot read the token file {path}"),
                        format!("トークンのファイル {path} を読めません"),
                    )
                })?;
                Some(text.trim().to_owned())
            }
            None => None,
        };
        let redirects = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().redirect(redirects).build()?;
        Ok(Client { http, base, token, lang })
    }

    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value> {
        self.json(self.request(reqwest::Method::GET, path).query(query)).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value> {
        self.json(self.request(reqwest::Method::DELETE, path)).await
    }

    /// Refuses a streamed answer that ended before all its rows were there, with the reason.
    pub fn whole(&self, end: &Value) -> Result<()> {
        let key = if self.lang == Lang::Ja { "message_ja" } else { "message" };
        match end["error"][key].as_str() {
            None => Ok(()),
            Some(reason) => Err(self.said(
                format!("rows are missing, the search broke off: {reason}"),
                format!("検索が途中で終わり、足りない行があります: {reason}"),
            )),
        }
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.request(reqwest::Method::POST, path).json(body);
        self.json(request).await
    }

    /// The bytes of an answer, and the value of one of its headers; empty where it has none.
    pub async fn bytes_with(&self, path: &str, header: &str) -> Result<(Vec<u8>, String)> {
        let answer = self.send(self.request(reqwest::Method::GET, path)).await?;
        let value = answer.headers().get(header).and_then(|value| value.to_str().ok());
        let value = value.unwrap_or_default().to_owned();
        Ok((answer.bytes().await.with_context(|| self.broke_off())?.to_vec(), value))
    }

    /// Writes a file to `out` as the server sends it. With a body it is asked for by POST.
    pub async fn download(
        &self,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
        out: &mut impl std::io::Write,
    ) -> Result<()> {
        let request = match body {
            Some(body) => self.request(reqwest::Method::POST, path).json(body),
            None => self.request(reqwest::Method::GET, path).query(query),
        };
        let mut chunks = self.send(request).await?.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.with_context(|| {
                either(
                    self.lang,
                    "the export broke off; the server's own log says why",
                    "エクスポートが途中で切れました。理由はサーバーのログにあります",
                )
            })?;
            out.write_all(&chunk)?;
        }
        Ok(out.flush()?)
    }

    pub async fn post_bytes(
        &self,
        path: &str,
        query: &[(&str, String)],
        body: Vec<u8>,
    ) -> Result<reqwest::Response> {
        self.send(self.request(reqwest::Method::POST, path).query(query).body(body)).await
    }

    pub async fn put_bytes(
        &self,
        path: &str,
        query: &[(&str, String)],
        body: Vec<u8>,
    ) -> Result<Value> {
        self.json(self.request(reqwest::Method::PUT, path).query(query).body(body)).await
    }

    /// Reads an answer of one JSON object a line; the last one, without an `event.id` but with
    /// `end`, ends it and is returned.
    pub async fn lines(
        &self,
        path: &str,
        query: &[(&str, String)],
        mut each: impl FnMut(Row) -> Result<()>,
    ) -> Result<Value> {
        let request = self.request(reqwest::Method::GET, path).query(query);
        let answer = self.send(request.header("accept", "application/x-ndjson")).await?;
        let mut chunks = answer.bytes_stream();
        let mut waiting = Vec::new();
        while let Some(chunk) = chunks.next().await {
            waiting.extend_from_slice(&chunk.with_context(|| self.broke_off())?);
            let Some(end) = waiting.iter().rposition(|&byte| byte == b'\n') else {
                if waiting.len() > LINE_BYTES_MAX {
                    return Err(self.said(
                        format!("the server sent a line longer than {LINE_BYTES_MAX} bytes"),
                        format!("サーバーの応答に{LINE_BYTES_MAX}バイトを超える行があります"),
                    ));
                }
                continue;
            };
            let rest = waiting.split_off(end + 1);
            for line in waiting.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                match serde_json::from_slice(line).with_context(|| self.no_json())? {
                    Value::Object(row) if row.contains_key("end") => return Ok(Value::Object(row)),
                    Value::Object(row) => each(row)?,
                    other => {
                        return Err(self.said(
                            format!("the server sent {other} instead of a row"),
                            format!("サーバーの応答が行ではありません（{other}）"),
                        ));
                    }
                }
            }
            waiting = rest;
        }
        Err(self.said(
            "the server's answer ended early: rows may be missing",
            "サーバーの応答が途中で終わりました。足りない行があるかもしれません",
        ))
    }

    fn said(&self, en: impl Into<String>, ja: impl Into<String>) -> Error {
        Error::msg(either(self.lang, en, ja))
    }

    fn broke_off(&self) -> String {
        either(self.lang, "the server's answer broke off", "サーバーの応答が途中で切れました")
    }

    fn no_json(&self) -> String {
        either(self.lang, "the server's answer is not JSON", "サーバーの応答がJSONではありません")
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = request.header("yagura-request", "1");
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn json(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let answer = self.send(request).await?;
        let bytes = answer.bytes().await.with_context(|| self.broke_off())?;
        serde_json::from_slice(&bytes).with_context(|| self.no_json())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let answer = request.send().await.with_context(|| match self.lang {
            Lang::En => format!("cannot reach {}: is `yagura serve` running there?", self.base),
            Lang::Ja => {
                format!("{} に接続できません。yagura serve は動いていますか", self.base)
            }
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let bytes = answer.bytes().await.unwrap_or_default();
        let error = serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
        let key = if self.lang == Lang::Ja { "message_ja" } else { "message" };
        let Some(message) = error["error"][key].as_str() else {
            return Err(self.said(
                format!("{} answered {status}", self.base),
                format!("{} の応答は {status} でした", self.base),
            ));
        };
        let message = match error["error"]["place"].as_str() {
            Some(place) => format!("{message}\n{place}"),
            None => message.to_owned(),
        };
        if is_misuse(status.as_u16()) { Err(Misuse(message).into()) } else { bail!("{message}") }
    }
}

/// Whether an answer says that what was asked cannot be right. Others (no permission, too busy, the
/// server's own trouble) may be right at another moment or for somebody else.
fn is_misuse(status: u16) -> bool {
    matches!(status, 400 | 404 | 405 | 413 | 415 | 422)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_right_is_misuse() {
        for misuse in [400, 404, 405, 413, 415, 422] {
            assert!(is_misuse(misuse), "{misuse}");
        }
        for other in [401, 403, 408, 409, 429, 500, 503, 507] {
            assert!(!is_misuse(other), "{other}");
        }
    }
}
