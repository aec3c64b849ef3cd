//! Answers as files: `format=` with a search, acts or a statement. The file leaves as it is written;
//! an answer that breaks off was no whole file.

use crate::limits::{EXPORT_CHUNK_BYTES, EXPORT_CHUNKS_AHEAD, EXPORTS_AT_ONCE_MAX};
use crate::{Api, ApiError};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use serde::Deserialize;
use std::io::{self, Write};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use yagura_event::Lang;
use yagura_node::{ExportFormat, ExportOf, ExportRequest};

/// Who asks, until there are accounts.
const LOCAL_USER: &str = "local";

/// How a question asks for a file.
#[derive(Deserialize, Default)]
pub(crate) struct ExportParameters {
    /// `parquet`, `csv`, `jsonl` or `ocsf`; without it the answer is a page.
    pub(crate) format: Option<String>,
    /// Columns, separated by commas.
    #[serde(default)]
    pub(crate) columns: String,
    /// Language of sentences: `ja` or `en`.
    pub(crate) lang: Option<String>,
}

/// The file that a question asks for.
pub(crate) async fn answer(
    api: &Api,
    of: ExportOf,
    asked: &ExportParameters,
) -> Result<Response, ApiError> {
    let wanted = asked.format.as_deref().unwrap_or_default();
    let format: ExportFormat = wanted.parse().map_err(|()| no_format(wanted))?;
    let lang = asked.lang.as_deref().and_then(|tag| tag.parse().ok()).unwrap_or(Lang::En);
    let columns = asked.columns.split(',').map(str::trim).filter(|name| !name.is_empty());
    let columns = columns.map(str::to_owned).collect();
    let turn = turn(&api.exporting)?;
    let request = ExportRequest { of, format, columns, lang, scratch: None };
    let export = api.node.export(request, LOCAL_USER).await?;
    let (sender, receiver) = mpsc::channel(EXPORT_CHUNKS_AHEAD);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut out = Chunks { waiting: Vec::new(), sender };
        let done = export.run(&mut out, &runtime);
        drop(turn);
        match done {
            Ok(_) => drop(out.send()),
            Err(error) => {
                tracing::warn!(%error, "an export broke off");
                // Ends the answer in the middle, so that nobody takes it for whole.
                let _ = out.sender.blocking_send(Err(io::Error::other("broken off")));
            }
        }
    });
    let body = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, format.media_type().to_owned());
    let name = format!("attachment; filename=\"{}\"", file_name(api, format));
    set(header::CONTENT_DISPOSITION, name);
    set(header::CACHE_CONTROL, "no-store".to_owned());
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned());
    Ok((headers, Body::from_stream(body)).into_response())
}

/// One export's turn, until it is dropped.
fn turn(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ApiError> {
    turns.clone().try_acquire_owned().map_err(|_| busy())
}

/// A name of ours, from the time alone: nothing of a question or a log is in it.
fn file_name(api: &Api, format: ExportFormat) -> String {
    let now = api.node.clock().now().to_string();
    let second: String = now.chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    format!("yagura-{second}Z.{}", format.extension())
}

/// A file on its way to whoever asked, in chunks; waits while they are slow.
struct Chunks {
    waiting: Vec<u8>,
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Chunks {
    fn send(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.waiting));
        self.sender.blocking_send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= EXPORT_CHUNK_BYTES {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn no_format(wanted: &str) -> ApiError {
    ApiError::bad_request(
        "there is no such format: write parquet, csv, jsonl or ocsf",
        "この形式はありません。parquet、csv、jsonl、ocsf のどれかを指定してください",
    )
    .at(wanted)
}

fn busy() -> ApiError {
    ApiError::bad_request(
        format!("{EXPORTS_AT_ONCE_MAX} exports are under way; ask again when one has ended"),
        format!(
            "エクスポートがすでに{EXPORTS_AT_ONCE_MAX}件進んでいます。終わってからもう一度実行してください"
        ),
    )
    .with(axum::http::StatusCode::TOO_MANY_REQUESTS, "exporting")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_exports_are_under_way_and_one_more_is_told_so() {
        let turns = Arc::new(Semaphore::new(EXPORTS_AT_ONCE_MAX));
        let mut all: Vec<_> = (0..EXPORTS_AT_ONCE_MAX).map(|_| turn(&turns).unwrap()).collect();
        let refused = turn(&turns).unwrap_err().into_response();
        assert_eq!(refused.status(), axum::http::StatusCode::TOO_MANY_REQUESTS);
        all.pop();
        assert!(turn(&turns).is_ok());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn chunks_wait_for_their_reader_and_end_with_it() {
        let (sender, mut receiver) = mpsc::channel(1);
        fn write_on(out: &mut Chunks) -> io::Result<()> {
            out.write_all(&[1; EXPORT_CHUNK_BYTES - 1])?;
            assert!(!out.waiting.is_empty(), "less than a chunk waits");
            out.write_all(&[2])?;
            assert!(out.waiting.is_empty(), "a chunk goes");
            loop {
                out.write_all(&[3; EXPORT_CHUNK_BYTES])?;
            }
        }
        let writing = tokio::task::spawn_blocking(move || {
            write_on(&mut Chunks { waiting: Vec::new(), sender })
        });
        assert_eq!(receiver.recv().await.unwrap().unwrap().len(), EXPORT_CHUNK_BYTES);
        drop(receiver);
        let ended = writing.await.unwrap().unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::BrokenPipe);
    }
}
