//! A real S3 server on loopback, over a directory, that can be told to be slow, to fail, or to refuse.

#![allow(dead_code, reason = "each program that has it uses its own part")]

use super::{AccessKey, ColdSettings};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub const BUCKET: &str = "logs";

/// What the server does to requests.
#[derive(Default)]
pub struct Mood {
    /// Answers 503.
    pub fails: AtomicBool,
    /// Answers so many requests with 503 before the others.
    pub failures: AtomicU64,
    /// Answers deletions with AccessDenied.
    pub locked: AtomicBool,
    /// Waits before it answers, in milliseconds.
    pub delay_ms: AtomicU64,
    /// Requests so far.
    pub requests: AtomicU64,
}

pub struct S3 {
    pub root: tempfile::TempDir,
    pub mood: Arc<Mood>,
    pub address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl S3 {
    pub fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join(BUCKET)).unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = S3 { root, mood: Arc::default(), address: nowhere, runtime: None };
        server.come_back();
        server
    }

    /// Listens, at the address it had before.
    pub fn come_back(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let files = s3s_fs::FileSystem::new(self.root.path()).unwrap();
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single("yagura", "a-secret-of-the-test"));
        let service = builder.build();
        let listener = std::net::TcpListener::bind(self.address).unwrap();
        self.address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let mood = self.mood.clone();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (service, mood) = (service.clone(), mood.clone());
                let answering =
                    service_fn(move |request| answer(service.clone(), mood.clone(), request));
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(socket), answering);
                tokio::spawn(async move {
                    // A client that goes away is no failure of the test.
                    let _ = connection.await;
                });
            }
        });
        self.runtime = Some(runtime);
    }

    /// Nobody listens any more, and connections are cut.
    pub fn go_away(&mut self) {
        let runtime = self.runtime.take().unwrap();
        // Not on a thread of the test's own runtime, which must not block.
        let ended = std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5)));
        ended.join().unwrap();
    }

    pub fn settings(&self) -> ColdSettings {
        ColdSettings {
            endpoint: Some(format!("http://{}", self.address)),
            region: Some("us-east-1".to_owned()),
            timeout_s: 2,
            access_key: Some(AccessKey {
                id: "yagura".to_owned(),
                secret: "a-secret-of-the-test".to_owned(),
            }),
            ..ColdSettings::new(format!("s3://{BUCKET}/yagura"))
        }
    }

    /// How programs are told of it that ask the environment.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "yagura".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "a-secret-of-the-test".to_owned()),
        ]
    }

    /// The directory in which the objects lie.
    pub fn objects(&self) -> PathBuf {
        self.root.path().join(BUCKET).join("yagura")
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(
    service: S3Service,
    mood: Arc<Mood>,
    request: Request<Incoming>,
) -> Result<Response<Body>, s3s::HttpError> {
    mood.requests.fetch_add(1, Ordering::Relaxed);
    let delay = mood.delay_ms.load(Ordering::Relaxed);
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let refused = |status: u16, code: &str| {
        let text = format!("<Error><Code>{code}</Code><Message>for the test</Message></Error>");
        Ok(Response::builder().status(status).body(Body::from(text)).unwrap())
    };
    let take = |left: u64| left.checked_sub(1);
    let failed = mood.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
    if failed || mood.fails.load(Ordering::Relaxed) {
        return refused(503, "ServiceUnavailable");
    }
    let is_bulk = request.uri().query().is_some_and(|query| query.starts_with("delete"));
    let deletes = request.method() == Method::DELETE || is_bulk;
    if deletes && mood.locked.load(Ordering::Relaxed) {
        return refused(403, "AccessDenied");
    }
    service.call(request.map(Body::from)).await
}

/// Every file below a directory.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
