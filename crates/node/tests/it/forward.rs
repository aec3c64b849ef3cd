//! A receiver that is away for long: what waits is said, kept through compaction, and counted when it is
//! deleted meanwhile.

use serde_json::Value;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use yagura_event::{Clock, Lang, ManualClock, Record, StreamName, Transport, UtcMicros};
use yagura_forward::{Kind, Send, Settings, Start};
use yagura_intake::import::ImportSink;
use yagura_node::{
    CompactRequest, DataDir, ForwardEnded, Node, NodeOptions, RetentionSettings, VerifyScope,
};

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn open(dir: &Path, clock: &Arc<ManualClock>, retention: Option<RetentionSettings>) -> Arc<Node> {
    let options = NodeOptions { builtin_rules: false, retention, ..NodeOptions::default() };
    Arc::new(Node::open(DataDir::new(dir), options, clock.clone()).unwrap())
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-11-21T09:00:00Z".parse::<UtcMicros>().unwrap()))
}

/// Takes one line of each name into a stream of that name, or all into one, and seals them.
fn fill(node: &Node, clock: &ManualClock, stream: Option<&str>, names: &[String]) {
    for name in names {
        let record = Record {
            received: clock.now(),
            transport: Transport::SyslogUdp,
            peer: "192.0.2.1:514".into(),
            identity: "none".into(),
            bytes: format!("<13>Nov 21 09:00:00 web01 demo: {name}").into_bytes().into(),
        };
        let stream = StreamName::new(stream.unwrap_or(name)).unwrap();
        node.sink().append(&stream, vec![record]).unwrap();
    }
    node.flush().unwrap();
}

fn names(part: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{part}/{number}")).collect()
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn target(address: SocketAddr) -> Settings {
    Settings {
        send: Send::Raw,
        start: Start::Oldest,
        allow_private: true,
        ..Settings::new("siem", Kind::Syslog, &format!("tcp://{address}"))
    }
}

/// A syslog receiver; the last word of every message it got.
fn receive(address: SocketAddr) -> Arc<Mutex<Vec<String>>> {
    let listener = TcpListener::bind(address).unwrap();
    let got = Arc::<Mutex<Vec<String>>>::default();
    std::thread::spawn({
        let got = got.clone();
        move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (mut bytes, mut buffer) = (Vec::new(), [0; 65_536]);
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    bytes.extend_from_slice(&buffer[..read]);
                    while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
                        let length: usize =
                            std::str::from_utf8(&bytes[..space]).unwrap().parse().unwrap();
                        if bytes.len() < space + 1 + length {
                            break;
                        }
                        let frame: Vec<u8> = bytes.drain(..=space + length).collect();
                        let text = String::from_utf8(frame).unwrap();
                        got.lock().unwrap().push(text.rsplit(' ').next().unwrap().to_owned());
                    }
                }
            }
        }
    });
    got
}

async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn status(node: &Node) -> Value {
    node.forward_status()["targets"][0].clone()
}

/// Looks once; the gaps of forwarding that are open, or all of them.
fn gaps(node: &Node, open_only: bool) -> Vec<Value> {
    node.look_for_gaps().unwrap();
    let answer = node.gaps(open_only, 100);
    let all = answer["gaps"].as_array().unwrap().clone();
    all.into_iter().filter(|gap| gap["gap.kind"] == "forward_behind").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_behind_is_a_gap_until_it_has_caught_up() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let node = open(dir.path(), &clock, None);
    fill(&node, &clock, Some("syslog"), &names("a", 10));
    let began = clock.now();
    let address = nobody();
    let (forwarding, targets) = node.open_forwarding(vec![target(address)], Lang::En).unwrap();
    let target = targets.into_iter().next().unwrap();
    let sending = tokio::spawn(forwarding.keep_sending(node.clone(), 0, target));
    wait_until("the receiver is away", || status(&node)["failures"].as_u64() > Some(0)).await;
    assert_eq!(status(&node)["events_waiting"], 10);
    clock.advance_micros(5 * MINUTE - 1);
    assert_eq!(gaps(&node, false), [] as [Value; 0], "not yet");
    clock.advance_micros(1);
    let open = gaps(&node, true);
    assert_eq!(open.len(), 1);
    assert_eq!(
        (open[0]["gap.subject"].as_str(), &open[0]["gap.begin"]),
        (Some("siem"), &serde_json::json!(began))
    );
    for (said, why) in [("gap.sentence_en", "refused"), ("gap.sentence_ja", "拒否")] {
        let said = open[0][said].as_str().unwrap();
        assert!(said.contains(&address.to_string()) && said.contains(why), "{said}");
    }
    let now = status(&node);
    assert!(now["last_error"].as_str().unwrap().contains("refused"), "{now}");
    assert!(now["last_error_ja"].as_str().unwrap().contains("拒否"), "{now}");
    let got = receive(address);
    wait_until("it has caught up", || status(&node)["batches_waiting"] == 0).await;
    wait_until("it has everything", || got.lock().unwrap().len() >= 10).await;
    assert_eq!(gaps(&node, true), [] as [Value; 0]);
    assert_eq!(gaps(&node, false)[0]["gap.end"], serde_json::json!(clock.now()));
    assert_eq!(*got.lock().unwrap(), names("a", 10));
    sending.abort();
    let _ = sending.await;
    node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_long_is_compacted_and_arrives_and_what_is_deleted_is_counted() {
    /// More than are looked at ahead for what is still there.
    const DELETED: usize = 300;
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let policy = "delete = true\n[[policy]]\nstreams = ['old/*']\nkind = 'cost'\n\
                  reason = 'disk'\nmaximum_days = 30\n";
    let node = open(dir.path(), &clock, Some(toml::from_str(policy).unwrap()));
    let address = nobody();
    let (forwarding, targets) = node.open_forwarding(vec![target(address)], Lang::En).unwrap();
    let mut target = targets.into_iter().next();
    // Nobody is there: it gives up, and its place stays.
    for round in ["a", "b", "c"] {
        fill(&node, &clock, Some("kept"), &names(round, 10));
    }
    let ended = forwarding.clone().catch_up(node.clone(), 0, target.take().unwrap()).await;
    assert!(matches!(ended.unwrap(), ForwardEnded::GaveUp(_)));
    assert_eq!((&status(&node)["sent"], &status(&node)["events_waiting"]), (&0.into(), &30.into()));
    node.compact(&CompactRequest::default(), "test").unwrap();
    wait_until("it is compacted", || node.compacting()["running"] == false).await;
    let compacted = node.compacting();
    assert_eq!((&compacted["rows_done"], &compacted["error"]), (&30.into(), &Value::Null));
    fill(&node, &clock, None, &names("old", DELETED));
    clock.advance_micros(31 * DAY);
    let done = node.run_retention("yagura").unwrap();
    assert_eq!((&done["batches"], &done["records"]), (&DELETED.into(), &DELETED.into()), "{done}");
    node.close().unwrap();
    drop((forwarding, node));

    let node = open(dir.path(), &clock, None);
    node.ready().await;
    let got = receive(address);
    let sent = async |node: &Arc<Node>| {
        let (forwarding, targets) =
            node.open_forwarding(vec![self::target(address)], Lang::En).unwrap();
        let target = targets.into_iter().next().unwrap();
        let ended = forwarding.catch_up(node.clone(), 0, target).await.unwrap();
        assert_eq!(ended, ForwardEnded::CaughtUp);
    };
    sent(&node).await;
    // Nothing comes after what was deleted, and still nothing waits for it.
    let now = status(&node);
    assert_eq!((&now["sent"], &now["missed"]), (&30.into(), &DELETED.into()), "{now}");
    assert_eq!((&now["batches_waiting"], &now["waiting_since"]), (&0.into(), &Value::Null));
    fill(&node, &clock, Some("kept"), &names("d", 10));
    sent(&node).await;
    wait_until("it has everything", || got.lock().unwrap().len() >= 40).await;
    let expected: Vec<String> =
        ["a", "b", "c", "d"].iter().flat_map(|round| names(round, 10)).collect();
    assert_eq!(*got.lock().unwrap(), expected, "in order, each once");
    assert!(node.verify(&VerifyScope::default()).unwrap().ok);
    node.close().unwrap();
}
