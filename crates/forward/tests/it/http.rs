use crate::{event, send_all, settings, target, token_dir};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use yagura_forward::limits::{BYTES_AT_ONCE, EVENTS_AT_ONCE_MAX, REPLY_BYTES_MAX};
use yagura_forward::{Kind, Refused, Row, Send, Settings};

type Requests = Arc<Mutex<Vec<(String, HeaderMap, String)>>>;
type Answers = Arc<Mutex<VecDeque<(u16, String)>>>;

/// A receiver that keeps what it gets and answers what it is told; 200 and `{}` when nothing is left.
async fn receiver(answers: &[(u16, &str)]) -> (String, Requests) {
    let requests = Requests::default();
    let answers: Answers = Arc::new(Mutex::new(
        answers.iter().map(|(status, text)| (*status, (*text).to_owned())).collect(),
    ));
    async fn take(
        State((requests, answers)): State<(Requests, Answers)>,
        uri: Uri,
        headers: HeaderMap,
        body: String,
    ) -> (StatusCode, String) {
        requests.lock().unwrap().push((uri.path().to_owned(), headers, body));
        let (status, text) = answers.lock().unwrap().pop_front().unwrap_or((200, "{}".to_owned()));
        (StatusCode::from_u16(status).unwrap(), text)
    }
    let app = Router::new()
        .fallback(take)
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state((requests.clone(), answers));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, requests)
}

#[tokio::test]
async fn each_receiver_is_spoken_to_as_it_expects() {
    let (_dir, token) = token_dir();
    for (to, path, authorization, content) in [
        (Kind::SplunkHec, "/services/collector/event", "Splunk s3cret", "application/json"),
        (Kind::Elasticsearch, "/_bulk", "ApiKey s3cret", "application/x-ndjson"),
        (Kind::Otlp, "/v1/logs", "Bearer s3cret", "application/json"),
    ] {
        let (url, requests) = receiver(&[(200, r#"{"errors":false}"#)]).await;
        let token_file = Some(token.clone());
        let settings =
            Settings { token_file, index: Some("logs".to_owned()), ..settings(to, &url) };
        let mut target = target(&settings).unwrap();
        let refused = send_all(&mut target, &[event(0, "one"), event(1, "two")]).await.unwrap();
        assert_eq!(refused, []);
        let requests = requests.lock().unwrap();
        let (asked, headers, body) = &requests[0];
        assert_eq!((asked.as_str(), requests.len()), (path, 1));
        assert_eq!(headers["authorization"], authorization);
        assert_eq!(headers["content-type"], content);
        match to {
            Kind::Otlp => {
                let body: Value = serde_json::from_str(body).unwrap();
                let records = &body["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
                assert_eq!(records.as_array().unwrap().len(), 2);
                assert_eq!(records[1]["body"]["stringValue"], "It failed");
            }
            _ => {
                let lines: Vec<Value> =
                    body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                let (count, event) = match to {
                    Kind::Elasticsearch => (4, lines[3].clone()),
                    _ => (2, lines[1]["event"].clone()),
                };
                assert_eq!(lines.len(), count);
                assert_eq!(event["user.name"], "tanaka");
                assert_eq!(event["event.original"], "two");
            }
        }
    }
}

#[tokio::test]
async fn an_event_that_is_refused_is_found_and_named_and_the_others_are_sent() {
    // A receiver that takes no request with "bad" in it.
    async fn judge(
        State(taken): State<Arc<Mutex<Vec<String>>>>,
        body: String,
    ) -> (StatusCode, String) {
        if body.contains("bad") {
            return (
                StatusCode::BAD_REQUEST,
                "{\"text\":\"Invalid data format\",\"code\":6}".to_owned(),
            );
        }
        let ids = body.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        taken.lock().unwrap().extend(ids.map(|event| event["source"].as_str().unwrap().to_owned()));
        (StatusCode::OK, "{}".to_owned())
    }
    let taken = Arc::<Mutex<Vec<String>>>::default();
    let app = Router::new().fallback(judge).with_state(taken.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut target = target(&settings(Kind::SplunkHec, &url)).unwrap();
    let events: Vec<Row> =
        (0..20).map(|number| event(number, if number == 13 { "bad" } else { "good" })).collect();
    let refused = send_all(&mut target, &events).await.unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].id, "syslog/1/13");
    assert!(refused[0].reason.contains("400") && refused[0].reason.contains("Invalid data format"));
    let taken = taken.lock().unwrap();
    let expected: Vec<String> = (0..20)
        .filter(|number| *number != 13)
        .map(|number| format!("yagura:syslog/1/{number}"))
        .collect();
    assert_eq!(*taken, expected, "in order, each once");
}

#[tokio::test]
async fn what_may_be_right_later_is_no_refusal() {
    let many = format!("\"{}\"", "x".repeat(REPLY_BYTES_MAX));
    for (to, status, answer, said) in [
        (Kind::SplunkHec, 401, "{\"code\":3}", "401"),
        (Kind::SplunkHec, 400, "{\"text\":\"Incorrect index\",\"code\":7}", "Incorrect index"),
        (Kind::SplunkHec, 503, "{\"code\":9}", "503"),
        (Kind::Elasticsearch, 403, "no", "403"),
        (Kind::Elasticsearch, 429, "slow", "429"),
        (Kind::Elasticsearch, 200, "<html>", "no JSON"),
        (Kind::Elasticsearch, 200, "{\"errors\":true,\"items\":[]}", "each event"),
        (Kind::Otlp, 302, "", "redirects"),
        (Kind::Otlp, 404, "", "404"),
        (Kind::Otlp, 200, &many, "more than"),
    ] {
        let (url, requests) = receiver(&[(status, answer)]).await;
        let mut target = target(&settings(to, &url)).unwrap();
        let later = target.send_some(&[event(0, "x")]).await.unwrap_err();
        assert!(later.to_string().contains(said), "{later}");
        assert!(later.0.ja().contains("受信側") || later.0.ja().contains("転送されました"));
        assert_eq!(requests.lock().unwrap().len(), 1, "no redirect is followed");
    }
    let nobody = settings(Kind::Otlp, "http://127.0.0.1:1");
    let later = target(&nobody).unwrap().send_some(&[event(0, "x")]).await.unwrap_err();
    assert!(!later.to_string().contains("127.0.0.1"), "no address: {later}");
    assert!(later.0.en().contains("refused") && later.0.ja().contains("拒否"), "{later:?}");
}

#[tokio::test]
async fn a_bulk_answer_is_read_event_by_event() {
    let item = |status: u16, reason: &str| json!({ "create": { "status": status, "error": { "reason": reason } } });
    let answer = |items: &[Value]| json!({ "errors": true, "items": items }).to_string();
    let first =
        answer(&[item(201, ""), item(409, "exists"), item(400, "mapper"), item(429, "full")]);
    let second = answer(&[item(201, "")]);
    let (url, requests) = receiver(&[(200, &first), (200, &second)]).await;
    let mut target = target(&settings(Kind::Elasticsearch, &url)).unwrap();
    let events: Vec<Row> = (0..4).map(|number| event(number, "x")).collect();
    let refused = send_all(&mut target, &events).await.unwrap();
    assert_eq!(
        refused,
        [Refused { id: "syslog/1/2".to_owned(), reason: "400: mapper".to_owned() }]
    );
    {
        let requests = requests.lock().unwrap();
        assert_eq!(requests.len(), 2);
        assert!(requests[1].2.contains("syslog/1/3") && !requests[1].2.contains("syslog/1/2"));
    }
    let (url, _) = receiver(&[(200, &answer(&[item(503, "busy")]))]).await;
    let mut target = crate::target(&settings(Kind::Elasticsearch, &url)).unwrap();
    assert!(target.send_some(&events[..1]).await.unwrap_err().to_string().contains("busy"));
}

#[tokio::test]
async fn what_a_collector_leaves_out_is_counted() {
    let partial = r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}"#;
    let (url, _) = receiver(&[(200, partial)]).await;
    let mut target = target(&settings(Kind::Otlp, &url)).unwrap();
    let refused = send_all(&mut target, &[event(0, "x"), event(1, "y")]).await.unwrap();
    assert_eq!(refused.len(), 1);
    assert!(
        refused[0].reason.contains("2 of this request") && refused[0].reason.contains("too old")
    );
}

#[tokio::test]
async fn a_request_has_its_limits_and_a_large_event_goes_alone() {
    let (url, requests) = receiver(&[]).await;
    let raw = Settings { send: Send::Raw, ..settings(Kind::SplunkHec, &url) };
    let mut target = target(&raw).unwrap();
    let events: Vec<Row> = (0..=EVENTS_AT_ONCE_MAX).map(|number| event(number, "x")).collect();
    send_all(&mut target, &events).await.unwrap();
    let sizes = |requests: &Requests| -> Vec<usize> {
        requests.lock().unwrap().drain(..).map(|(_, _, body)| body.lines().count()).collect()
    };
    assert_eq!(sizes(&requests), [EVENTS_AT_ONCE_MAX, 1]);
    let large = "x".repeat(BYTES_AT_ONCE + 1);
    let events = [event(0, "small"), event(1, &large), event(2, "small"), event(3, "small")];
    send_all(&mut target, &events).await.unwrap();
    assert_eq!(sizes(&requests), [1, 1, 2]);
}
