//! A webhook against a real HTTP server on the loopback interface.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use yagura_desk::{
    AuditError, AuditLog, DELIVERY_HEADER, Desk, DeskOptions, EventWords, Finding, Guide, RuleCopy,
    SIGNATURE_HEADER, Webhook, WebhookOptions, WebhookSecret, verify,
};
use yagura_event::{EventId, Level, ManualClock, StreamName, UtcMicros};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: i64 = 1_795_000_000;

/// An audit log that hands each record on.
struct Channel(mpsc::Sender<Value>);

impl AuditLog for Channel {
    fn append(&self, entries: Vec<Value>) -> Result<(), AuditError> {
        entries
            .into_iter()
            .try_for_each(|entry| self.0.try_send(entry))
            .map_err(|error| AuditError { reason: error.to_string() })
    }
}

struct Received {
    headers: HeaderMap,
    body: Bytes,
}

/// A server that gives `answers` in turn, then 200.
async fn server(answers: Vec<Response>) -> (SocketAddr, Arc<Mutex<Vec<Received>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let log = seen.clone();
    let hook = post(move |headers: HeaderMap, body: Bytes| async move {
        log.lock().unwrap().push(Received { headers, body });
        answers.lock().unwrap().next().unwrap_or_else(|| StatusCode::OK.into_response())
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/hook", hook)).await });
    (address, seen)
}

struct Scene {
    desk: Arc<Desk>,
    records: mpsc::Receiver<Value>,
    events: AtomicU64,
}

impl Scene {
    fn new() -> Self {
        let (sender, records) = mpsc::channel(4_096);
        let clock = Arc::new(ManualClock::at(UtcMicros::from_micros(NOW * 1_000_000)));
        let options = DeskOptions { notify_level: Some(Level::High), ..DeskOptions::default() };
        let desk = Arc::new(Desk::new(options, Arc::new(Channel(sender)), clock));
        Scene { desk, records, events: AtomicU64::new(0) }
    }

    fn webhook(&self, url: String, allow_private: bool) -> Webhook {
        let options = WebhookOptions {
            url,
            secret: WebhookSecret::from_bytes(SECRET),
            min_level: Level::High,
            allow_private,
            first_wait: Duration::from_millis(1),
        };
        Webhook::new(self.desk.clone(), options).unwrap()
    }

    /// Raises one alert, gives it to the webhook and waits for the record of its delivery.
    async fn deliver(&mut self, webhook: &Webhook) -> Value {
        let number = self.events.fetch_add(1, Ordering::Relaxed);
        let changes = self.desk.observe(vec![finding(number, Level::High)]).unwrap();
        let raised = self.records.recv().await.unwrap();
        assert_eq!(raised["event.action"], "alert.raised", "durable before anything is sent");
        webhook.deliver(changes[0].alert.clone());
        let record = self.records.recv().await.unwrap();
        assert_eq!(record["event.action"], "alert.delivery");
        // The desk takes a record in after it is durable: a moment after we see it here.
        while self.desk.undelivered().iter().any(|alert| alert.id == changes[0].alert.id) {
            tokio::task::yield_now().await;
        }
        record
    }
}

fn finding(number: u64, level: Level) -> Finding {
    let at = UtcMicros::from_micros(NOW * 1_000_000);
    Finding {
        rule: Arc::new(RuleCopy {
            uuid: format!("00000000-0000-4000-8000-{number:012}"),
            name: "Shadow copies deleted".into(),
            name_ja: Some("シャドウコピーの削除".into()),
            level,
            tags: Vec::new(),
            author: None,
            license: None,
            phase: None,
            digest: None,
            guide: Guide::default(),
        }),
        dataset: "windows.sysmon".into(),
        host: Some("FS01".into()),
        user: None,
        source_ip: None,
        event_id: EventId { stream: StreamName::new("syslog").unwrap(), batch: 1, index: 0 },
        timestamp: at,
        received: at,
        words: EventWords::Said {
            ja: "FS01 でシャドウコピーが削除された".into(),
            en: "Shadow copies were deleted on FS01".into(),
        },
        evidence: Vec::new(),
    }
}

#[tokio::test]
async fn a_delivery_is_signed_and_recorded() {
    let (address, seen) = server(Vec::new()).await;
    let mut scene = Scene::new();
    let webhook = scene.webhook(format!("http://{address}/hook?token=t0ken"), true);
    let record = scene.deliver(&webhook).await;
    assert_eq!(record["event.outcome"], "success");
    assert_eq!(record["http.response.status_code"], 200);
    assert_eq!(record["destination.address"], address.to_string());
    assert!(!record.to_string().contains("t0ken"));
    assert_eq!(scene.desk.stats().delivered, 1);

    let seen = seen.lock().unwrap();
    let header = |name: &str| seen[0].headers[name].to_str().unwrap().to_owned();
    assert!(verify(SECRET, &header(SIGNATURE_HEADER), &seen[0].body, NOW, 0));
    let body: Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(body["type"], "alert.raised");
    assert_eq!(body["delivery.id"], header(DELIVERY_HEADER));
    assert_eq!(body["alert"]["alert.id"], "A-000001");
    assert_eq!(body["alert"]["rule.name_ja"], "シャドウコピーの削除");
    let stats = webhook.stats();
    assert_eq!((stats.delivered, stats.failed, stats.attempts), (1, 0, 1));
}

#[tokio::test]
async fn a_busy_receiver_is_asked_again_with_the_same_delivery_id() {
    let answers = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
    let (address, seen) = server(answers.map(IntoResponse::into_response).into()).await;
    let mut scene = Scene::new();
    let webhook = scene.webhook(format!("http://{address}/hook"), true);
    let record = scene.deliver(&webhook).await;
    assert_eq!(
        (&record["event.outcome"], &record["delivery.attempts"]),
        (&"success".into(), &3.into())
    );
    let seen = seen.lock().unwrap();
    assert!(
        seen.iter().all(|one| one.headers[DELIVERY_HEADER] == seen[0].headers[DELIVERY_HEADER])
    );
}

#[tokio::test]
async fn a_delivery_is_given_up_after_its_last_attempt() {
    let most = yagura_desk::limits::WEBHOOK_ATTEMPTS_MAX;
    let bad = |_| StatusCode::INTERNAL_SERVER_ERROR.into_response();
    let (address, seen) = server((0..most).map(bad).collect()).await;
    let mut scene = Scene::new();
    let webhook = scene.webhook(format!("http://{address}/hook"), true);
    let record = scene.deliver(&webhook).await;
    assert_eq!(record["event.outcome"], "failure");
    assert_eq!(record["delivery.attempts"], most);
    assert_eq!(seen.lock().unwrap().len(), most as usize);
    // One answer less, and the last attempt is taken.
    let (address, _) = server((1..most).map(bad).collect()).await;
    let webhook = scene.webhook(format!("http://{address}/hook"), true);
    assert_eq!(scene.deliver(&webhook).await["event.outcome"], "success");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_refusal_not_repeated() {
    let (other, other_seen) = server(Vec::new()).await;
    let redirect = axum::response::Redirect::temporary(&format!("http://{other}/hook"));
    let answers = vec![redirect.into_response(), StatusCode::FORBIDDEN.into_response()];
    let (address, seen) = server(answers).await;
    let mut scene = Scene::new();
    let webhook = scene.webhook(format!("http://{address}/hook"), true);
    for status in [307, 403] {
        let record = scene.deliver(&webhook).await;
        assert_eq!(record["event.outcome"], "failure");
        assert_eq!(record["http.response.status_code"], status);
        assert_eq!(record["delivery.attempts"], 1);
    }
    assert_eq!(seen.lock().unwrap().len(), 2);
    assert!(other_seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_name_with_an_inner_address_is_refused_when_connecting() {
    let mut scene = Scene::new();
    let webhook = scene.webhook("https://localhost:9/hook".into(), false);
    let record = scene.deliver(&webhook).await;
    assert_eq!(record["event.outcome"], "failure");
    assert_eq!(record["delivery.attempts"], 1);
    assert!(record["event.reason"].as_str().unwrap().contains("allow_private"), "{record}");
}

#[tokio::test]
async fn an_endless_reply_is_cut_off() {
    let size = yagura_desk::limits::WEBHOOK_REPLY_BYTES_MAX * 64;
    let (address, _) = server(vec![vec![b'x'; size].into_response()]).await;
    let mut scene = Scene::new();
    let webhook = scene.webhook(format!("http://{address}/hook"), true);
    assert_eq!(scene.deliver(&webhook).await["event.outcome"], "success");
}

#[tokio::test]
async fn requests_are_sent_in_parallel_up_to_the_limit() {
    let most = yagura_desk::limits::WEBHOOK_PARALLEL_MAX;
    let (inside, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    // Nobody is answered before `most` are here: fewer at a time would wait for ever.
    let barrier = Arc::new(tokio::sync::Barrier::new(most));
    let highest = peak.clone();
    let hook = post(move || async move {
        highest.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        barrier.wait().await;
        inside.fetch_sub(1, Ordering::SeqCst);
        StatusCode::NO_CONTENT
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/hook", hook)).await });

    let mut scene = Scene::new();
    let webhook = scene.webhook(format!("http://{address}/hook"), true);
    let deliveries = most as u64 * 3;
    for number in 0..deliveries {
        let changes = scene.desk.observe(vec![finding(number, Level::High)]).unwrap();
        webhook.deliver(changes[0].alert.clone());
    }
    for _ in 0..deliveries * 2 {
        scene.records.recv().await.unwrap();
    }
    assert_eq!(webhook.stats().delivered, deliveries);
    assert_eq!(peak.load(Ordering::SeqCst), most);
}

#[tokio::test]
async fn deliveries_past_the_limit_are_put_off_and_made_up_for() {
    let most = yagura_desk::limits::WEBHOOK_QUEUE_MAX;
    let mut scene = Scene::new();
    let (address, seen) = server(Vec::new()).await;
    let webhook = scene.webhook(format!("http://{address}/hook"), true);
    let quiet = scene.desk.observe(vec![finding(0, Level::Medium)]).unwrap();
    webhook.deliver(quiet[0].alert.clone());
    assert_eq!(webhook.stats().waiting, 0, "below the level");
    let raised = (1..=most as u64 + 1).map(|number| finding(number, Level::High)).collect();
    let changes = scene.desk.observe(raised).unwrap();
    // On a single-threaded runtime no delivery ends before this test waits for something.
    for change in &changes[..most] {
        webhook.deliver(change.alert.clone());
    }
    webhook.deliver(changes[0].alert.clone());
    assert_eq!((webhook.stats().waiting, webhook.stats().put_off), (most, 0), "one is known");
    webhook.deliver(changes[most].alert.clone());
    assert_eq!((webhook.stats().waiting, webhook.stats().put_off), (most, 1));
    let mut delivered = BTreeSet::new();
    while delivered.len() <= most {
        let record = scene.records.recv().await.unwrap();
        if record["event.action"] == "alert.delivery" {
            assert!(delivered.insert(record["alert.id"].to_string()), "twice: {record}");
        }
    }
    assert_eq!(seen.lock().unwrap().len(), most + 1);
}

#[tokio::test]
async fn what_was_not_delivered_before_a_restart_is_delivered_after_it() {
    let (address, seen) = server(Vec::new()).await;
    let mut before = Scene::new();
    before.desk.observe(vec![finding(1, Level::High), finding(2, Level::High)]).unwrap();
    let mut after = Scene::new();
    for _ in 0..2 {
        let record = before.records.recv().await.unwrap();
        after.desk.replay(record.to_string().as_bytes());
    }
    let webhook = after.webhook(format!("http://{address}/hook"), true);
    webhook.deliver_missed();
    webhook.deliver_missed();
    let mut told = BTreeSet::new();
    for _ in 0..2 {
        told.insert(after.records.recv().await.unwrap()["alert.id"].to_string());
    }
    assert_eq!(told.len(), 2);
    assert_eq!(seen.lock().unwrap().len(), 2);
}
