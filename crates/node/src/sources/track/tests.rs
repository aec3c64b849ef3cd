use super::*;
use yagura_event::{BatchBuilder, CommittedRun, Record};
use yagura_normalize::Normalizer;

const SECOND: i64 = 1_000_000;

/// One event: who sent it, the host it claims, and what else it has.
struct Sent<'a> {
    peer: String,
    host: &'a str,
    fields: &'a [(&'a str, &'a str)],
}

fn batch(dataset: &str, sent: &[Sent<'_>]) -> EventBatch {
    let record = |sent: &Sent<'_>| Record {
        received: UtcMicros::from_micros(1_795_262_400 * SECOND),
        transport: Transport::SyslogUdp,
        peer: sent.peer.as_str().into(),
        identity: "none".into(),
        bytes: b"0123456789".to_vec().into(),
    };
    let run = CommittedRun {
        stream: StreamName::new("syslog").unwrap(),
        batch: 7,
        batch_salt: [0; 32],
        first_index: 0,
        records: sent.iter().map(record).collect(),
    };
    let mut builder = BatchBuilder::new(dataset, Normalizer::embedded_dictionary());
    for ((index, record), sent) in run.indexed().zip(sent) {
        builder.begin_row(&run, index, record);
        builder.set(HOST, sent.host);
        sent.fields.iter().for_each(|(name, value)| builder.set(name, value));
    }
    builder.finish().unwrap()
}

fn one<'a>(host: &'a str, fields: &'a [(&'a str, &'a str)]) -> Sent<'a> {
    Sent { peer: "192.0.2.1:514".into(), host, fields }
}

#[test]
fn each_event_is_counted_at_its_source_once() {
    let mut tracked = Tracked::default();
    let failed = [(columns::PARSE_ERROR, "no decoder knows this text"), (ENCODING, "cp932")];
    let events = [one("a", &[]), one("b", &failed), one("a", &[]), one("b", &failed)];
    tracked.see(batch("linux.syslog", &events), None);
    let (a, b) = (tracked.find("a").clone(), tracked.find("b").clone());
    assert_eq!((a.events, a.bytes, a.failures, &*a.key.peer), (2, 20, 0, "192.0.2.1"));
    assert_eq!((b.events, b.failures, b.encodings["cp932"]), (2, 2, 2));
    assert_eq!(b.reasons.len(), 1);
    assert_eq!((b.reasons[0].count, &*b.reasons[0].event_id), (2, "syslog/7/1"));
    assert_eq!(b.reasons[0].sample, "0123456789");
    // Given again after a restart, up to the third.
    let before = |stream: &str, batch: u64, index: u32| {
        assert_eq!(stream, "syslog");
        (batch, index) < (7, 3)
    };
    tracked.see(batch("linux.syslog", &events), Some(&before));
    assert_eq!((tracked.find("a").events, tracked.find("b").events), (2, 3));
}

#[test]
fn sources_hosts_and_what_is_told_apart_of_them_are_bounded() {
    let mut tracked = Tracked::default();
    let hosts: Vec<String> = (0..=HOSTS_PER_PEER_MAX).map(|n| format!("h{n}")).collect();
    let events: Vec<_> = hosts.iter().map(|host| one(host, &[])).collect();
    tracked.see(batch("linux.syslog", &events), None);
    assert_eq!((tracked.sources.len(), tracked.others), (HOSTS_PER_PEER_MAX, 1));

    let mut tracked = Tracked::default();
    let peers =
        (0..=SOURCES_MAX).map(|n| Sent { peer: format!("2001:db8::{n:x}"), host: "", fields: &[] });
    tracked.see(batch("linux.syslog", &peers.collect::<Vec<_>>()), None);
    assert_eq!((tracked.sources.len(), tracked.others), (SOURCES_MAX, 1));

    let mut tracked = Tracked::default();
    for number in 0..=DATASETS_PER_SOURCE_MAX.max(REASONS_PER_SOURCE_MAX) {
        let (name, reason) = (format!("data.set{number}"), format!("reason {number}"));
        let fields = [(columns::PARSE_ERROR, reason.as_str()), (ENCODING, name.as_str())];
        tracked.see(batch(&name, &[one("a", &fields)]), None);
    }
    let source = tracked.find("a");
    assert_eq!(source.datasets.len(), DATASETS_PER_SOURCE_MAX);
    assert_eq!(source.reasons.len(), REASONS_PER_SOURCE_MAX);
    assert_eq!(source.encodings.len(), ENCODINGS_PER_SOURCE_MAX);
    assert_eq!(source.failures, source.events);
    assert_eq!(cut(&"あ".repeat(200)).len(), NAME_BYTES_MAX / 3 * 3);
}

#[test]
fn headers_are_kept_by_stream_and_address_and_bounded() {
    let mut tracked = Tracked::default();
    let rows = |peers: std::ops::Range<usize>, layout: &'static str| {
        let fields: &'static [(&str, &str)] = Vec::leak(vec![(columns::LAYOUT, layout)]);
        let sent = move |n: usize| {
            let peer = format!("[2001:db8::{n:x}]:{}", 50_000 + n);
            Sent { peer, host: "", fields }
        };
        batch("web.iis", &peers.map(sent).collect::<Vec<_>>())
    };
    tracked.see(rows(0..LAYOUTS_KEPT_MAX, "#Fields: a b"), None);
    tracked.see(rows(0..1, "#Fields: a b c"), None);
    let kept = tracked.continued();
    assert_eq!(kept.len(), LAYOUTS_KEPT_MAX);
    let (stream, peer, layout) = &kept[0];
    let layout = layout.as_deref();
    assert_eq!((&**stream, &**peer, layout), ("syslog", "2001:db8::0", Some("#Fields: a b c")));
    // One more, and the one that was seen longest ago goes.
    tracked.see(rows(LAYOUTS_KEPT_MAX..LAYOUTS_KEPT_MAX + 1, "#Fields: a b"), None);
    let kept = tracked.continued();
    assert_eq!(kept.len(), LAYOUTS_KEPT_MAX);
    assert!(kept.iter().all(|(_, peer, _)| &**peer != "2001:db8::1"));
    let stored = serde_json::to_vec(&tracked).unwrap();
    let read: Tracked = serde_json::from_slice(&stored).unwrap();
    assert_eq!(read.continued(), kept);
}

#[test]
fn a_stored_state_is_the_same_and_checks_itself() {
    let mut tracked = Tracked::default();
    tracked.see(batch("linux.auth", &[one("a", &[("user.name", "tanaka")]), one("b", &[])]), None);
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("sources");
    let bytes = super::super::state::encode(&tracked).unwrap();
    super::super::state::write(&dir, &bytes).unwrap();
    let path = dir.join(super::super::state::STATE_FILE);
    let mut again = super::super::state::read(&path).unwrap();
    assert_eq!(again.sources, tracked.sources);
    again.see(batch("linux.auth", &[one("b", &[])]), None);
    assert_eq!((again.sources.len(), again.find("b").events), (2, 2));
    for place in [0, 16, 40, 90, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        std::fs::write(&path, changed).unwrap();
        assert!(super::super::state::read(&path).is_err(), "byte {place}");
    }
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(super::super::state::checked(&path).is_err());
}

/// The price of an event, printed for whoever asks (`--nocapture`).
#[test]
fn what_an_event_costs() {
    let hosts: Vec<String> = (0..50).map(|number| format!("host{number}")).collect();
    let fields = [("user.name", "tanaka"), ("event.code", "4624"), ("source.ip", "192.0.2.7")];
    let events: Vec<_> = (0..8_000).map(|n| one(&hosts[n % 50], &fields)).collect();
    let batch = batch("windows.security", &events);
    let mut tracked = Tracked::default();
    let began = std::time::Instant::now();
    for _ in 0..20 {
        tracked.see(batch.clone(), None);
    }
    println!("{} ns per event", began.elapsed().as_nanos() / 160_000);
    assert_eq!(tracked.sources.iter().map(|source| source.events).sum::<u64>(), 160_000);
}
