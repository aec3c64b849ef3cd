//! A small TAXII 2.1 server, and a feed that asks it.

use super::*;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Objects by the day they were added.
#[derive(Clone)]
struct Server {
    objects: Arc<Mutex<Vec<(String, Value)>>>,
}

const MEDIA_TYPE: &str = "application/taxii+json;version=2.1";

fn indicator(number: usize) -> Value {
    json!({
        "type": "indicator", "spec_version": "2.1", "id": format!("indicator--{number}"),
        "pattern_type": "stix", "pattern": format!("[ipv4-addr:value = '203.0.113.{number}']"),
        "valid_from": "2026-01-01T00:00:00Z",
    })
}

fn answer(body: &Value, last: Option<&str>) -> Response {
    let mut response = (StatusCode::OK, body.to_string()).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, MEDIA_TYPE.parse().unwrap());
    if let Some(last) = last {
        response.headers_mut().insert("X-TAXII-Date-Added-Last", last.parse().unwrap());
    }
    response
}

/// `me:secret`, and the media type of TAXII 2.1.
fn refused(headers: &HeaderMap) -> Option<Response> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::AUTHORIZATION) != Some("Basic bWU6c2VjcmV0") {
        return Some(StatusCode::UNAUTHORIZED.into_response());
    }
    (text(header::ACCEPT) != Some(MEDIA_TYPE)).then(|| StatusCode::NOT_ACCEPTABLE.into_response())
}

async fn discovery(headers: HeaderMap) -> Response {
    refused(&headers)
        .unwrap_or_else(|| answer(&json!({"title": "t", "api_roots": ["/api/"]}), None))
}

async fn root(headers: HeaderMap) -> Response {
    refused(&headers)
        .unwrap_or_else(|| answer(&json!({"title": "t", "versions": [MEDIA_TYPE]}), None))
}

async fn collections(headers: HeaderMap) -> Response {
    let list = json!({"collections": [
        {"id": "c-1", "title": "ours", "can_read": true, "can_write": false},
        {"id": "c-2", "title": "closed", "can_read": false, "can_write": false},
    ]});
    refused(&headers).unwrap_or_else(|| answer(&list, None))
}

async fn objects(
    State(server): State<Server>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    if let Some(refused) = refused(&headers) {
        return refused;
    }
    // Two a page, whatever was asked for.
    let after = query.get("added_after").cloned().unwrap_or_default();
    let skip: usize = query.get("next").map_or(0, |next| next.parse().unwrap());
    let all = server.objects.lock().unwrap().clone();
    let matching: Vec<_> = all.into_iter().filter(|(added, _)| *added > after).collect();
    let page: Vec<_> = matching.iter().skip(skip).take(2).cloned().collect();
    let last = page.last().map(|(added, _)| added.clone());
    let more = skip + page.len() < matching.len();
    let mut body =
        json!({ "more": more, "objects": page.into_iter().map(|(_, o)| o).collect::<Vec<_>>() });
    if more {
        body["next"] = json!((skip + 2).to_string());
    }
    answer(&body, last.as_deref())
}

/// One object, whenever it was added.
async fn object(
    State(server): State<Server>,
    headers: HeaderMap,
    axum::extract::Path(id): axum::extract::Path<String>,
) -> Response {
    if let Some(refused) = refused(&headers) {
        return refused;
    }
    let all = server.objects.lock().unwrap().clone();
    let of_it: Vec<_> =
        all.into_iter().map(|(_, o)| o).filter(|o| o["id"] == id.as_str()).collect();
    match of_it.is_empty() {
        true => StatusCode::NOT_FOUND.into_response(),
        false => answer(&json!({ "objects": of_it }), None),
    }
}

async fn serve(server: Server) -> String {
    let app = Router::new()
        .route("/taxii2/", get(discovery))
        .route("/api/", get(root))
        .route("/api/collections/", get(collections))
        .route("/api/collections/c-1/objects/", get(objects))
        .route("/api/collections/c-1/objects/{id}/", get(object))
        .with_state(server);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/taxii2/")
}

/// A marking of the server's own: STIX 2.1 lets everybody define some.
fn marking(number: usize, tlp: &str) -> Value {
    json!({
        "type": "marking-definition", "spec_version": "2.1", "id": format!("marking-definition--{number}"),
        "definition_type": "tlp", "definition": {"tlp": tlp},
    })
}

fn marked(number: usize, marking: usize) -> Value {
    let mut indicator = indicator(number);
    indicator["object_marking_refs"] = json!([format!("marking-definition--{marking}")]);
    indicator
}

#[tokio::test(flavor = "multi_thread")]
async fn indicators_of_a_feed_keep_the_tlp_that_another_page_or_pull_defines() {
    let day = |number: usize, object| (format!("2026-11-0{number}T00:00:00Z"), object);
    // Two a page: a definition before its indicator's page, and one after it.
    let objects = vec![
        day(1, marking(1, "amber")),
        day(2, marked(1, 2)),
        day(3, marked(2, 1)),
        day(4, marking(2, "red")),
        day(5, marked(3, 9)),
    ];
    let server = Server { objects: Arc::new(Mutex::new(objects)) };
    let url = serve(server.clone()).await;
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "secret\n").unwrap();
    let data = dir.path().join("data");
    let node = tokio::task::spawn_blocking(move || open(&data, None)).await.unwrap();
    let hunter = node.hunter();
    let request = FeedRequest {
        url,
        user: Some("me".to_owned()),
        password_file: Some(secret.display().to_string()),
        ..FeedRequest::default()
    };
    hunter.add_feed(request, "ann").await.unwrap();
    let tlp = || {
        let found = hunter.indicators(&IndicatorQuery::default());
        let one = |one: &Value| {
            let text = |key: &str| one[key].as_str().unwrap_or("none").to_owned();
            (text("threat.indicator.name"), text("threat.indicator.marking.tlp"))
        };
        let mut all: Vec<_> = found["indicators"].as_array().unwrap().iter().map(one).collect();
        all.sort();
        all.into_iter().map(|(_, tlp)| tlp).collect::<Vec<_>>()
    };
    hunter.pull_feed("ours").await.unwrap();
    assert_eq!(tlp(), ["red", "amber", "none"]);
    // Its definition came with the first pull.
    server.objects.lock().unwrap().push(day(6, marked(4, 2)));
    let pulled = hunter.pull_feed("ours").await.unwrap();
    assert_eq!(pulled["feed.objects"], 1);
    assert_eq!(tlp(), ["red", "amber", "none", "red"]);
    tokio::task::spawn_blocking(move || node.close()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_brings_what_was_added_since_last_time_and_it_is_hunted() {
    let objects = (1..=5).map(|number| (format!("2026-11-0{number}T00:00:00Z"), indicator(number)));
    let server = Server { objects: Arc::new(Mutex::new(objects.collect())) };
    let url = serve(server.clone()).await;
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "wrong\n").unwrap();
    let data = dir.path().join("data");
    let path = data.clone();
    let node = tokio::task::spawn_blocking(move || open(&path, None)).await.unwrap();
    append(
        &node,
        &[
            "<38>Jun 14 15:16:01 web01 sshd[42]: Failed password for root from 203.0.113.5 port 1 ssh2",
        ],
    );
    let hunter = node.hunter();
    let request = FeedRequest {
        url,
        user: Some("me".to_owned()),
        password_file: Some(secret.display().to_string()),
        ..FeedRequest::default()
    };
    let error = hunter.add_feed(request.clone(), "ann").await.unwrap_err();
    assert!(error.to_string().contains("password"), "{error}");
    std::fs::write(&secret, "secret\n").unwrap();
    let unknown = FeedRequest { collection: Some("closed".to_owned()), ..request.clone() };
    let error = hunter.add_feed(unknown, "ann").await.unwrap_err();
    assert!(error.to_string().contains("c-1 (ours)"), "{error}");
    let added = hunter.add_feed(request, "ann").await.unwrap();
    assert_eq!((&added["feed.name"], &added["feed.collection"]), (&json!("ours"), &json!("c-1")));

    let pulled = hunter.pull_feed("ours").await.unwrap();
    assert_eq!((&pulled["indicators.count"], &pulled["feed.objects"]), (&json!(5), &json!(5)));
    let hunt = ended(&node, &pulled["hunt.id"]);
    assert_eq!(hunt["hunt.matches_total"], 1);
    assert_eq!(hunter.feeds()["feeds"][0]["feed.added_after"], "2026-11-05T00:00:00Z");

    // The next one brings the sixth, and takes the first back.
    let mut gone = indicator(1);
    gone["revoked"] = json!(true);
    server.objects.lock().unwrap().extend([
        ("2026-11-06T00:00:00Z".to_owned(), indicator(6)),
        ("2026-11-07T00:00:00Z".to_owned(), gone),
    ]);
    let pulled = hunter.pull_feed("ours").await.unwrap();
    assert_eq!(
        (&pulled["indicators.count"], &pulled["indicators.withdrawn"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(pulled["feed.objects"], 2);
    assert_eq!(hunter.indicators(&IndicatorQuery::default())["in_use"], 5);

    // A failure is recorded, and the next pull begins where the last good one ended.
    std::fs::write(&secret, "wrong").unwrap();
    assert!(hunter.pull_feed("ours").await.is_err());
    let feed = hunter.feeds()["feeds"][0].clone();
    assert!(feed["feed.last_error"].as_str().unwrap().contains("password"), "{feed}");
    assert_eq!(feed["feed.added_after"], "2026-11-07T00:00:00Z");
    assert!(!feed.to_string().contains("wrong"), "no secret is stored");
    hunter.remove_feed("ours", "ann").unwrap();
    assert!(hunter.pull_feed("ours").await.is_err());
    tokio::task::spawn_blocking(move || node.close()).await.unwrap().unwrap();
}
