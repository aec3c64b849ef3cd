//! The connections of the HTTP port: how many there may be, and how long each may take. HTTP itself
//! is hyper's; what is asked and answered is the router's.

use crate::activity::{Activity, Answer, Idle, Overdue, Watched};
use crate::counters::{HttpCounters, count};
use crate::limits::{
    ACCEPT_PAUSE, CONNECTIONS_DEFAULT, HEAD_BYTES_MAX, HEADER_FIELDS_MAX, IDLE_TIMEOUT_DEFAULT,
    MAKE_ROOM_TIME, REQUEST_TIMEOUT_DEFAULT,
};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use yagura_intake::StopSignal;

/// Settings of [`serve`].
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Connections open at once. When all places are taken, a new connection takes that of the one
    /// that has been without a request for longest; if there is none, it is told 503.
    pub connections_max: usize,
    /// A connection without a request for this long is closed.
    pub idle_timeout: Duration,
    /// A request whose head takes longer is given up; so is one whose body takes this much longer
    /// than its length allows.
    pub request_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        ServeOptions {
            connections_max: CONNECTIONS_DEFAULT,
            idle_timeout: IDLE_TIMEOUT_DEFAULT,
            request_timeout: REQUEST_TIMEOUT_DEFAULT,
        }
    }
}

/// What we say to a connection that finds no place.
const NO_PLACE: &str = "{\"error\":{\"code\":\"too-many-connections\",\"message\":\"all connections are in use; try again in a moment\",\"message_ja\":\"接続がいっぱいです。少し待ってからやり直してください\"}}";

/// Serves until `stop`, then lets open requests end.
///
/// Boxed, so that the router and its handlers are compiled here and not again where this is awaited.
pub fn serve(
    listener: TcpListener,
    app: Router,
    options: ServeOptions,
    counters: Arc<HttpCounters>,
    stop: StopSignal,
) -> BoxFuture<'static, ()> {
    Box::pin(serve_until(listener, app, options, counters, stop))
}

async fn serve_until(
    listener: TcpListener,
    app: Router,
    options: ServeOptions,
    counters: Arc<HttpCounters>,
    mut stop: StopSignal,
) {
    let slots = Arc::new(Semaphore::new(options.connections_max.min(Semaphore::MAX_PERMITS)));
    let server = Arc::new(Server {
        app: TowerToHyperService::new(app),
        options,
        counters,
        idle: Idle::default(),
    });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.stopped() => break,
            accepted = listener.accept() => accepted,
            // Ended connections leave the set; without any, this branch is not waited for.
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((socket, peer)) => match server.place(&slots).await {
                Some(slot) => {
                    connections.spawn(server.clone().connection(socket, peer, slot, stop.clone()));
                }
                None => {
                    count(&server.counters.connections_refused, 1);
                    tell_no_place(&socket);
                }
            },
            Err(error) => {
                count(&server.counters.accept_errors, 1);
                tracing::warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

struct Server {
    app: TowerToHyperService<Router>,
    options: ServeOptions,
    counters: Arc<HttpCounters>,
    idle: Idle,
}

impl Server {
    /// A place for one more connection, if need be that of the one idle for longest.
    async fn place(&self, slots: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = slots.clone().try_acquire_owned() {
            return Some(slot);
        }
        if !self.idle.displace_oldest() {
            return None;
        }
        let freed = tokio::time::timeout(MAKE_ROOM_TIME, slots.clone().acquire_owned()).await;
        freed.ok()?.ok()
    }

    async fn connection(
        self: Arc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
        _slot: OwnedSemaphorePermit,
        stop: StopSignal,
    ) {
        count(&self.counters.connections, 1);
        count(&self.counters.connections_open, 1);
        let _ = socket.set_nodelay(true);
        let _ = rustix::net::sockopt::set_socket_keepalive(&socket, true);
        let activity = self.idle.enter();
        let overdue = self.speak(socket, peer, &activity, stop).await;
        self.idle.leave(&activity);
        match overdue {
            None => {}
            Some(Overdue::Idle) => count(&self.counters.connections_idle_closed, 1),
            Some(Overdue::Displaced) => count(&self.counters.connections_displaced, 1),
            Some(Overdue::Head) => count(&self.counters.connections_slow_closed, 1),
            Some(Overdue::Unread) => count(&self.counters.connections_unread_closed, 1),
        }
        self.counters.connections_open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Serves one connection until it ends, or says why it was ended.
    async fn speak(
        self: &Arc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
        activity: &Arc<Activity>,
        mut stop: StopSignal,
    ) -> Option<Overdue> {
        let mut overdue = pin!(activity.overdue(&self.options));
        // Buffers are made once something has come: whoever only connects costs next to nothing.
        tokio::select! {
            biased;
            () = stop.stopped() => return None,
            why = overdue.as_mut() => return Some(why),
            readable = socket.readable() => readable.ok()?,
        }
        let asked =
            |request: hyper::Request<Incoming>| self.answer(request, peer, activity.clone());
        let mut connection = pin!(
            http1::Builder::new()
                .max_buf_size(HEAD_BYTES_MAX)
                .max_headers(HEADER_FIELDS_MAX)
                .serve_connection(
                    TokioIo::new(Watched::new(socket, activity.clone())),
                    service_fn(asked),
                )
        );
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if ended.is_err() {
                        count(&self.counters.connections_failed, 1);
                    }
                    return None;
                }
                why = overdue.as_mut() => return Some(why),
                () = stop.stopped(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    async fn answer(
        self: &Arc<Self>,
        request: hyper::Request<Incoming>,
        peer: SocketAddr,
        activity: Arc<Activity>,
    ) -> Result<hyper::Response<Answer>, Infallible> {
        count(&self.counters.requests, 1);
        self.idle.busy(&activity);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = self.app.call(request).await?;
        let status = response.status();
        if status.is_client_error() {
            count(&self.counters.answers_refused, 1);
        } else if status.is_server_error() {
            count(&self.counters.answers_failed, 1);
        }
        let server = self.clone();
        let ended = move || server.idle.rest(&activity);
        Ok(response.map(|body| Answer::new(body, ended)))
    }
}

/// Says that there is no place, as far as that can be done without waiting.
fn tell_no_place(socket: &TcpStream) {
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        NO_PLACE.len()
    );
    // A client that does not even take this much sees its connection closed instead.
    let _ = socket.try_write(format!("{head}{NO_PLACE}").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use yagura_intake::{StopSource, stop_pair};

    struct Running {
        address: SocketAddr,
        counters: Arc<HttpCounters>,
        stop: StopSource,
        serving: tokio::task::JoinHandle<()>,
    }

    /// Serves a page at `/`, and `/wait`, which is never answered.
    async fn start(options: ServeOptions) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, signal) = stop_pair();
        let counters = Arc::new(HttpCounters::default());
        let app = Router::new()
            .route(
                "/",
                get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
            )
            .route("/wait", post(std::future::pending::<()>));
        let serving = tokio::spawn(serve(listener, app, options, counters.clone(), signal));
        Running { address, counters, stop, serving }
    }

    impl Running {
        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        async fn until(&self, what: &str, holds: impl Fn(&crate::HttpCounts) -> bool) {
            for _ in 0..2_000 {
                if holds(&self.counters.snapshot()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            panic!("never {what}: {:?}", self.counters.snapshot());
        }
    }

    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).await.unwrap();
        String::from_utf8(answer[..length].to_vec()).unwrap()
    }

    /// Reads until the server closes.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn one_connection_serves_many_requests_until_it_is_silent() {
        let options =
            ServeOptions { idle_timeout: Duration::from_millis(200), ..ServeOptions::default() };
        let server = start(options).await;
        let mut stream = server.connect().await;
        for _ in 0..3 {
            let answer = ask(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(answer.ends_with(&stream.local_addr().unwrap().to_string()), "{answer}");
        }
        let mut silent = server.connect().await;
        assert_eq!(rest(&mut stream).await, "");
        assert_eq!(rest(&mut silent).await, "");
        server.until("both closed", |it| it.connections_idle_closed == 2).await;
        server.until("none open", |it| it.connections_open == 0).await;
        assert_eq!(server.counters.snapshot().requests, 3);
    }

    #[tokio::test]
    async fn a_head_is_read_up_to_its_limit() {
        let server = start(ServeOptions::default()).await;
        let head = |bytes: usize| {
            let (begin, end) = ("GET / HTTP/1.1\r\nhost: x\r\nx-padding: ", "\r\n\r\n");
            format!("{begin}{}{end}", "x".repeat(bytes - begin.len() - end.len()))
        };
        let mut fits = server.connect().await;
        fits.write_all(head(HEAD_BYTES_MAX - 1).as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        fits.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        let mut past = server.connect().await;
        // The server refuses before it has read everything, and closes.
        let _ = past.write_all(head(2 * HEAD_BYTES_MAX).as_bytes()).await;
        assert!(!rest(&mut past).await.starts_with("HTTP/1.1 200"));
        assert_eq!(server.counters.snapshot().requests, 1);
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_given_up() {
        let options =
            ServeOptions { request_timeout: Duration::from_millis(200), ..ServeOptions::default() };
        let server = start(options).await;
        let mut slow = server.connect().await;
        slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-").await.unwrap();
        assert_eq!(rest(&mut slow).await, "");
        server.until("slow closed", |it| it.connections_slow_closed == 1).await;
        // A request at work has all the time it needs.
        let mut waiting = server.connect().await;
        waiting
            .write_all(b"POST /wait HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(server.counters.snapshot().connections_open, 1);
        drop(waiting);
        server.until("closed with its client", |it| it.connections_open == 0).await;
    }

    #[tokio::test]
    async fn the_longest_idle_gives_way_and_work_does_not() {
        let options = ServeOptions { connections_max: 2, ..ServeOptions::default() };
        let server = start(options).await;
        let (mut oldest, mut second) = (server.connect().await, server.connect().await);
        server.until("two open", |it| it.connections_open == 2).await;
        // Who asked last has been idle for less long.
        ask(&mut oldest).await;
        let mut third = server.connect().await;
        assert!(ask(&mut third).await.starts_with("HTTP/1.1 200"));
        assert_eq!(rest(&mut second).await, "");
        assert!(ask(&mut oldest).await.starts_with("HTTP/1.1 200"));
        for working in [&mut oldest, &mut third] {
            working
                .write_all(b"POST /wait HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
                .await
                .unwrap();
        }
        server.until("both at work", |it| it.requests == 5).await;
        let mut none = server.connect().await;
        let answer = rest(&mut none).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], "too-many-connections");
        let counts = server.counters.snapshot();
        assert_eq!((counts.connections_displaced, counts.connections_refused), (1, 1));
        assert_eq!(counts.connections_open, 2);
    }

    #[tokio::test]
    async fn stopping_closes_the_idle_and_lets_answers_end() {
        let server = start(ServeOptions::default()).await;
        let mut idle = server.connect().await;
        ask(&mut idle).await;
        let silent = server.connect().await;
        server.until("two open", |it| it.connections_open == 2).await;
        server.stop.stop();
        server.serving.await.unwrap();
        assert_eq!(rest(&mut idle).await, "");
        drop(silent);
        assert_eq!(server.counters.snapshot().connections_open, 0);
    }

    #[test]
    fn what_is_said_without_a_place_is_json() {
        let said: serde_json::Value = serde_json::from_str(NO_PLACE).unwrap();
        assert!(said["error"]["message_ja"].as_str().is_some_and(|text| !text.is_empty()));
    }
}
