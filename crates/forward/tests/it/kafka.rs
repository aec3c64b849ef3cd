use crate::broker::{Cluster, Fault, NOT_LEADER, Stream, TOPIC, Wrap};
use crate::certificates::Certificates;
use crate::{event, scram, send_all, settings, target, token_dir};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use yagura_forward::limits::{
    BATCH_BYTES, BROKERS_MAX, CA_BYTES_MAX, CONNECTIONS_MAX, EVENTS_AT_ONCE_MAX,
    PARTITIONS_AT_ONCE_MAX, TOPIC_BYTES_MAX, USER_BYTES_MAX,
};
use yagura_forward::{Key, Kind, Row, Sasl, Send, Settings};

fn kafka(url: &str) -> Settings {
    Settings { topic: Some(TOPIC.to_owned()), ..settings(Kind::Kafka, url) }
}

fn on_host(number: usize, host: &str) -> Row {
    let mut event = event(number, &format!("n{number}"));
    event.insert("host.name".to_owned(), host.into());
    event
}

fn events(count: usize) -> Vec<Row> {
    (0..count).map(|number| event(number, &format!("n{number}"))).collect()
}

/// The ids of the records of a cluster, in the order of each partition, as often as they came.
fn ids(cluster: &Cluster) -> Vec<String> {
    cluster.state().got.iter().map(|got| got.headers["event.id"].clone()).collect()
}

fn all_ids(count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("syslog/1/{number}")).collect()
}

#[tokio::test]
async fn every_event_arrives_as_the_settings_say() {
    for (send, said) in [
        (Send::Raw, None),
        (Send::Json, Some(("event.original", "n7"))),
        (Send::Ocsf, Some(("raw_data", "n7"))),
    ] {
        let cluster = Cluster::start(2, 3).await;
        let mut target = target(&Settings { send, ..kafka(&cluster.url()) }).unwrap();
        let count = EVENTS_AT_ONCE_MAX + 1;
        assert_eq!(send_all(&mut target, &events(count)).await.unwrap(), []);
        let state = cluster.state();
        assert_eq!(
            state.requests.iter().map(|(_, count)| *count).collect::<Vec<_>>(),
            [EVENTS_AT_ONCE_MAX, 1]
        );
        assert_ne!(state.requests[0].0, state.requests[1].0, "without a key partitions take turns");
        assert_eq!(state.got.len(), count);
        for (number, got) in state.got.iter().enumerate() {
            assert_eq!(got.headers["event.id"], format!("syslog/1/{number}"));
            assert_eq!(got.headers["event.dataset"], "linux.auth");
            assert_eq!((got.millis, &got.key), (1_795_222_923_456, &None));
        }
        match said {
            None => assert_eq!(state.got[7].value, "n7"),
            Some((name, text)) => {
                let value: Value = serde_json::from_str(&state.got[7].value).unwrap();
                assert_eq!(value[name], text, "{value}");
            }
        }
    }
}

#[tokio::test]
async fn events_of_a_key_are_in_one_partition_in_order() {
    let cluster = Cluster::start(1, 5).await;
    for key in [Key::Host, Key::Stream] {
        cluster.state().got.clear();
        let mut target = target(&Settings { key, ..kafka(&cluster.url()) }).unwrap();
        let mut events: Vec<Row> =
            (0..600).map(|number| on_host(number, &format!("h{}", number % 20))).collect();
        events[599].remove("host.name");
        send_all(&mut target, &events).await.unwrap();
        let mut where_it_is: BTreeMap<Option<String>, (BTreeSet<i32>, Vec<usize>)> =
            BTreeMap::new();
        for got in &cluster.state().got {
            let number = got.headers["event.id"].rsplit('/').next().unwrap().parse().unwrap();
            let (partitions, numbers) = where_it_is.entry(got.key.clone()).or_default();
            partitions.insert(got.partition);
            numbers.push(number);
        }
        for (key, (partitions, numbers)) in &where_it_is {
            assert_eq!(partitions.len(), 1, "{key:?}");
            assert!(numbers.is_sorted(), "{key:?}: {numbers:?}");
        }
        let keys: Vec<Option<&str>> = where_it_is.keys().map(Option::as_deref).collect();
        match key {
            Key::Stream => assert_eq!(keys, [Some("syslog")]),
            // One event has no host, and so no key.
            _ => assert_eq!((keys.len(), keys[0]), (21, None)),
        }
        assert_eq!(ids(&cluster).into_iter().collect::<BTreeSet<_>>(), all_ids(600));
    }
}

#[tokio::test]
async fn what_a_broker_did_not_take_is_sent_again() {
    for (fault, said) in [
        (Fault::Code(NOT_LEADER), "NotLeaderOrFollower"),
        (Fault::Code(19), "min.insync.replicas"),
        (Fault::Code(29), "allow this user"),
        (Fault::Code(7), "RequestTimedOut"),
        (Fault::Code(-1), "UnknownServerError"),
        // Without keys it is the topic that is wrong, and no event is refused for it.
        (Fault::Code(87), "set key"),
        (Fault::CloseBefore, ""),
        (Fault::CloseAfter, ""),
    ] {
        let cluster = Cluster::start(1, 1).await;
        cluster.state().faults.push_back(fault);
        let mut target = target(&kafka(&cluster.url())).unwrap();
        let events = events(20);
        let later = send_all(&mut target, &events).await.unwrap_err();
        assert!(later.to_string().contains(said), "{fault:?}: {later}");
        assert!(said.is_empty() || later.0.ja() != later.0.en(), "{later}");
        assert_eq!(send_all(&mut target, &events).await.unwrap(), []);
        let ids = ids(&cluster);
        // What was kept and not answered is there twice: the id tells.
        assert_eq!(ids.len(), if fault == Fault::CloseAfter { 40 } else { 20 });
        assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), all_ids(20));
    }
}

/// The client adds to the offset that a broker names, which is past the end of its numbers here: built with
/// checks as tests are, it panics.
#[tokio::test]
async fn what_breaks_within_the_client_is_said_and_tried_again() {
    let cluster = Cluster::start(1, 1).await;
    cluster.state().faults.extend([Fault::LastOffset, Fault::LastOffset]);
    let mut target = target(&kafka(&cluster.url())).unwrap();
    let events = events(20);
    for _ in 0..2 {
        let later = send_all(&mut target, &events).await.unwrap_err();
        assert!(later.0.en().contains("broke over an answer") && later.0.en().contains("overflow"));
        assert!(later.0.ja().contains("内部エラー"), "{}", later.0.ja());
    }
    assert_eq!(send_all(&mut target, &events).await.unwrap(), []);
    let ids = ids(&cluster);
    assert_eq!((ids.len(), ids.into_iter().collect()), (60, all_ids(20)), "at least once");
}

#[tokio::test]
async fn another_leader_is_found_and_connections_that_end_are_made_again() {
    let mut cluster = Cluster::start(3, 1).await;
    let mut target = target(&kafka(&cluster.url())).unwrap();
    let events = events(60);
    send_all(&mut target, &events[..20]).await.unwrap();
    // The leader changes: the old one says so, and the next attempt goes to the new one.
    cluster.state().leaders[0] = 1;
    assert!(target.send_some(&events[20..40]).await.is_err());
    send_all(&mut target, &events[20..40]).await.unwrap();
    // The leader dies, and for a while there is none.
    cluster.stop(1).await;
    cluster.state().leaders[0] = -1;
    assert!(target.send_some(&events[40..]).await.is_err());
    let later = target.send_some(&events[40..]).await.unwrap_err();
    assert!(later.to_string().contains("LeaderNotAvailable"), "{later}");
    cluster.state().leaders[0] = 2;
    let mut attempts = 0;
    while let Err(later) = send_all(&mut target, &events[40..]).await {
        attempts += 1;
        assert!(attempts < 5, "{later}");
    }
    let ids = ids(&cluster);
    assert_eq!((ids.len(), ids.into_iter().collect()), (60, all_ids(60)));
}

#[tokio::test]
async fn a_partition_without_a_leader_costs_the_others_nothing() {
    let cluster = Cluster::start(2, 2).await;
    let mut target = target(&Settings { key: Key::Host, ..kafka(&cluster.url()) }).unwrap();
    // Two hosts in different partitions, found by asking.
    let probe: Vec<Row> = (0..20).map(|number| on_host(number, &format!("h{number}"))).collect();
    send_all(&mut target, &probe).await.unwrap();
    let host_of = |partition: i32| {
        let state = cluster.state();
        let got = state.got.iter().find(|got| got.partition == partition).unwrap();
        got.key.clone().unwrap()
    };
    let (up, down) = (host_of(0), host_of(1));
    cluster.state().got.clear();
    // The first events are settled, then one has to wait, and those behind it are remembered.
    let hosts = [&up, &up, &down, &up, &down, &up];
    let events: Vec<Row> =
        hosts.iter().enumerate().map(|(number, host)| on_host(number, host)).collect();
    cluster.state().broken = Some((1, 5));
    assert_eq!(target.send_some(&events).await.unwrap().events, 2);
    for _ in 0..5 {
        assert!(target.send_some(&events[2..]).await.is_err());
    }
    assert_eq!(ids(&cluster).len(), 4, "what was taken is not sent again");
    cluster.state().broken = None;
    assert_eq!(send_all(&mut target, &events[2..]).await.unwrap(), []);
    let ids = ids(&cluster);
    assert_eq!((ids.len(), ids.into_iter().collect()), (6, all_ids(6)));
}

#[tokio::test]
async fn an_event_larger_than_the_topic_takes_is_named_and_the_others_arrive() {
    let cluster = Cluster::start(1, 1).await;
    cluster.state().batch_bytes_max = 20_000;
    let mut target = target(&Settings { send: Send::Raw, ..kafka(&cluster.url()) }).unwrap();
    let text = |number: usize| "x".repeat(if number == 13 { 20_001 } else { 900 });
    let events: Vec<Row> = (0..100).map(|number| event(number, &text(number))).collect();
    let refused = send_all(&mut target, &events).await.unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].id, "syslog/1/13");
    assert!(refused[0].reason.contains("max.message.bytes"), "{}", refused[0].reason);
    let ids = ids(&cluster);
    assert_eq!(ids.len(), 99);
    assert!(ids.is_sorted_by_key(|id| id[9..].parse::<usize>().unwrap()), "in order: {ids:?}");
    // What is too large for this topic is known by now: no batch is refused any more.
    cluster.state().requests.clear();
    let more: Vec<Row> = (100..200).map(|number| event(number, &text(number))).collect();
    send_all(&mut target, &more).await.unwrap();
    let requests = cluster.state().requests.clone();
    assert_eq!(requests.iter().map(|(_, count)| count).sum::<usize>(), 100, "{requests:?}");
}

#[tokio::test]
async fn batches_have_their_limit() {
    let cluster = Cluster::start(1, 1).await;
    let mut target = target(&Settings { send: Send::Raw, ..kafka(&cluster.url()) }).unwrap();
    // What a record has beside its value here, as it is counted: headers and the rest.
    let beside =
        "event.id".len() + "syslog/1/0".len() + "event.dataset".len() + "linux.auth".len() + 64;
    for (bytes, batches) in
        [(BATCH_BYTES / 2 - beside, vec![2]), (BATCH_BYTES / 2 - beside + 1, vec![1, 1])]
    {
        cluster.state().requests.clear();
        let events = [event(0, &"x".repeat(bytes)), event(1, &"x".repeat(bytes))];
        send_all(&mut target, &events).await.unwrap();
        let requests: Vec<usize> =
            cluster.state().requests.iter().map(|(_, count)| *count).collect();
        assert_eq!(requests, batches, "{bytes}");
    }
}

#[tokio::test]
async fn many_partitions_are_written_to_through_bounded_connections() {
    for partitions in [CONNECTIONS_MAX, CONNECTIONS_MAX + PARTITIONS_AT_ONCE_MAX + 1] {
        let cluster = Cluster::start(1, partitions).await;
        let mut target = target(&Settings { key: Key::Host, ..kafka(&cluster.url()) }).unwrap();
        let events: Vec<Row> =
            (0..EVENTS_AT_ONCE_MAX).map(|number| on_host(number, &format!("h{number}"))).collect();
        for _ in 0..2 {
            cluster.state().got.clear();
            send_all(&mut target, &events).await.unwrap();
            let ids = ids(&cluster);
            assert_eq!(
                (ids.len(), ids.into_iter().collect()),
                (events.len(), all_ids(events.len()))
            );
        }
        let used: BTreeSet<i32> = cluster.state().got.iter().map(|got| got.partition).collect();
        assert_eq!(used.len() > CONNECTIONS_MAX, partitions > CONNECTIONS_MAX);
        // One each, and the one that asks about the cluster.
        let kept = used.len().min(CONNECTIONS_MAX) + 1;
        let mut open = 0;
        for _ in 0..1_000 {
            open = cluster.state().connections;
            if open == kept {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(open, kept, "{partitions} partitions");
    }
}

#[tokio::test]
async fn so_many_partitions_are_written_to_at_once_and_no_more() {
    for partitions in [PARTITIONS_AT_ONCE_MAX, PARTITIONS_AT_ONCE_MAX + 1] {
        let cluster = Cluster::start(1, partitions).await;
        let mut target = target(&Settings { key: Key::Host, ..kafka(&cluster.url()) }).unwrap();
        let events: Vec<Row> =
            (0..EVENTS_AT_ONCE_MAX).map(|number| on_host(number, &format!("h{number}"))).collect();
        // Connected to all of them, so that the next requests come together.
        send_all(&mut target, &events).await.unwrap();
        cluster.state().got.clear();
        cluster.state().waiting = (0, 0);
        cluster.state().pause = std::time::Duration::from_millis(300);
        send_all(&mut target, &events).await.unwrap();
        let used: BTreeSet<i32> = cluster.state().got.iter().map(|got| got.partition).collect();
        assert_eq!(used.len(), partitions);
        assert_eq!(cluster.state().waiting, (0, PARTITIONS_AT_ONCE_MAX), "{partitions}");
    }
}

#[tokio::test]
async fn a_broker_that_is_away_or_lacks_the_topic_is_said_and_waited_for() {
    let mut cluster = Cluster::start(1, 1).await;
    cluster.stop(0).await;
    let mut target = target(&kafka(&cluster.url())).unwrap();
    let later = target.send_some(&events(1)).await.unwrap_err();
    assert!(later.to_string().contains("refused"), "{later}");
    cluster.start_again(0).await;
    cluster.state().topic_is_there = false;
    let later = target.send_some(&events(1)).await.unwrap_err();
    assert!(later.to_string().contains("create it"), "{later}");
    assert!(later.0.ja().contains("トピックを作るか"), "{}", later.0.ja());
    cluster.state().topic_is_there = true;
    assert_eq!(target.send_some(&events(1)).await.unwrap().events, 1);
    assert_eq!(ids(&cluster), ["syslog/1/0"]);
    let certificates = Certificates::new();
    let nobody = Settings {
        allow_private: false,
        ca_file: Some(certificates.ca()),
        ..kafka("tls://localhost:1")
    };
    let later = crate::target(&nobody).unwrap().send_some(&events(1)).await.unwrap_err();
    assert!(later.to_string().contains("inner address"), "{later}");
}

#[tokio::test]
async fn each_mechanism_of_sasl_lets_us_in_and_a_wrong_password_does_not() {
    let (dir, token) = token_dir();
    let wrong = dir.path().join("wrong");
    std::fs::copy(&token, &wrong).unwrap();
    std::fs::write(&wrong, "another").unwrap();
    for (sasl, name) in [
        (Sasl::Plain, "PLAIN"),
        (Sasl::ScramSha256, "SCRAM-SHA-256"),
        (Sasl::ScramSha512, "SCRAM-SHA-512"),
        (Sasl::OauthBearer, "OAUTHBEARER"),
    ] {
        let cluster = Cluster::start(1, 1).await;
        cluster.state().login = Some((name, scram::login));
        let user = (sasl != Sasl::OauthBearer).then(|| scram::USER.to_owned());
        let with = |sasl, token_file: &std::path::Path| Settings {
            sasl: Some(sasl),
            user: user.clone(),
            token_file: Some(token_file.to_owned()),
            ..kafka(&cluster.url())
        };
        let mut right = target(&with(sasl, &token)).unwrap();
        assert_eq!(right.send_some(&events(3)).await.unwrap().events, 3, "{name}");
        let refused = target(&with(sasl, &wrong)).unwrap().send_some(&events(3)).await.unwrap_err();
        assert!(refused.to_string().contains("check user and token_file"), "{name}: {refused}");
        assert!(!refused.to_string().contains("another"), "{refused}");
        if sasl != Sasl::Plain {
            let other =
                Settings { user: Some(scram::USER.to_owned()), ..with(Sasl::Plain, &token) };
            let refused = target(&other).unwrap().send_some(&events(3)).await.unwrap_err();
            assert!(refused.to_string().contains("another sasl mechanism"), "{name}: {refused}");
        }
        let nobody = target(&kafka(&cluster.url())).unwrap().send_some(&events(3)).await;
        assert!(nobody.is_err(), "{name}");
        assert_eq!(ids(&cluster).len(), 3);
    }
}

#[tokio::test]
async fn over_tls_the_certificate_vouches() {
    let certificates = Certificates::new();
    for (server, ca, said) in [
        ("good", certificates.ca(), None),
        ("good", certificates.other_ca(), Some("UnknownIssuer")),
        ("expired", certificates.ca(), Some("expired")),
    ] {
        let acceptor = certificates.server(server);
        let wrap: Wrap = Arc::new(move |stream| {
            let accepting = acceptor.clone().accept(stream);
            Box::pin(async move { Some(Box::new(accepting.await.ok()?) as Box<dyn Stream>) })
        });
        let cluster = Cluster::start_with(1, 1, wrap).await;
        // The broker is named by its certificate's name, and names itself so.
        cluster.state().host = "localhost".to_owned();
        let url = cluster.url().replace("tcp://127.0.0.1", "tls://localhost");
        let mut target = target(&Settings { ca_file: Some(ca), ..kafka(&url) }).unwrap();
        let sent = target.send_some(&events(3)).await;
        match said {
            None => assert_eq!(sent.unwrap().events, 3),
            Some(said) => {
                let later = sent.unwrap_err().to_string();
                assert!(later.contains(said), "{later}");
            }
        }
        assert_eq!(ids(&cluster).len(), if said.is_none() { 3 } else { 0 });
    }
}

#[test]
fn what_cannot_be_right_is_refused_with_the_remedy() {
    let (dir, token) = token_dir();
    let url = "tcp://192.0.2.1:9092";
    let with_ca = |bytes: usize| {
        let path = dir.path().join(format!("ca-{bytes}"));
        std::fs::write(&path, "\n".repeat(bytes)).unwrap();
        Settings { ca_file: Some(path), ..kafka("tls://192.0.2.1:9093") }
    };
    let with = |change: fn(&mut Settings)| {
        let mut settings = kafka(url);
        change(&mut settings);
        settings
    };
    let topic = |topic: &str| Settings { topic: Some(topic.to_owned()), ..kafka(url) };
    let brokers = |count: usize| {
        let places: Vec<String> = (0..count).map(|number| format!("b{number}:9092")).collect();
        kafka(&format!("tcp://{}", places.join(",")))
    };
    let plain = |user: &str| Settings {
        sasl: Some(Sasl::Plain),
        user: Some(user.to_owned()),
        token_file: Some(token.clone()),
        ..kafka(url)
    };
    for (wrong, said) in [
        (kafka("192.0.2.1:9092"), "url: write"),
        (kafka("kafka://192.0.2.1:9092"), "url: write"),
        (kafka("tcp://192.0.2.1"), "url: write"),
        (kafka("tcp://[2001:db8::1]:9092"), "url: write"),
        (kafka("tcp://192.0.2.1:9092,"), "url: write"),
        (brokers(BROKERS_MAX + 1), "url: write"),
        (with(|settings| settings.allow_private = false), "without TLS"),
        (kafka("tls://192.0.2.1:9093"), "needs ca_file"),
        (with_ca(CA_BYTES_MAX), "it has no certificate"),
        (with_ca(CA_BYTES_MAX + 1), "more than"),
        (with(|settings| settings.topic = None), "topic: name one"),
        (topic(""), "topic: name one"),
        (topic(".."), "topic: name one"),
        (topic("a b"), "topic: name one"),
        (topic(&"a".repeat(TOPIC_BYTES_MAX + 1)), "topic: name one"),
        (with(|settings| settings.index = Some("logs".to_owned())), "leave index out"),
        (with(|settings| settings.user = Some("a".to_owned())), "need sasl"),
        (with(|settings| settings.sasl = Some(Sasl::Plain)), "needs token_file"),
        (Settings { user: None, ..plain("") }, "needs user"),
        (plain(""), "needs user"),
        (plain("a\0b"), "needs user"),
        (plain(&"a".repeat(USER_BYTES_MAX + 1)), "needs user"),
        (Settings { sasl: Some(Sasl::OauthBearer), ..plain("a") }, "leave user out"),
        (
            Settings { topic: Some("a".to_owned()), ..settings(Kind::Otlp, "http://192.0.2.1") },
            "only",
        ),
        (Settings { key: Key::Host, ..settings(Kind::Syslog, "udp://192.0.2.1:514") }, "only"),
    ] {
        let words = target(&wrong).err().unwrap().words();
        assert!(words.en().contains(said), "{wrong:?}: {words}");
        assert!(words.ja().contains("転送先"), "{}", words.ja());
    }
    for right in [
        brokers(BROKERS_MAX),
        topic(&"a".repeat(TOPIC_BYTES_MAX)),
        plain(&"a".repeat(USER_BYTES_MAX)),
    ] {
        assert!(target(&right).is_ok(), "{right:?}");
    }
    assert_eq!(target(&brokers(2)).unwrap().receiver(), "tcp://b0:9092,b1:9092/logs");
    let text = "name = 'a'\nto = 'kafka'\nurl = 'tls://b:9093'\ntopic = 'logs'\nkey = 'host'\n\
                sasl = 'SCRAM-SHA-512'\nuser = 'u'";
    let _: Settings = toml::from_str(text).unwrap();
}
