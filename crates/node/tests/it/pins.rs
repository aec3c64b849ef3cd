//! Pinned events are proved whatever becomes of their batches, as a stranger checks it.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use yagura_event::{Clock, EventId, ManualClock, Record, StreamName, Transport, UtcMicros};
use yagura_intake::import::ImportSink;
use yagura_ledger::{EventProof, VerifierKey};
use yagura_node::pins::{PinRequest, UnpinRequest};
use yagura_node::retention::{ApproveRequest, DeleteRequest, HoldRequest, ReleaseRequest};
use yagura_node::{
    BackupRequest, CompactRequest, DataDir, Node, NodeError, NodeOptions, ProofFrom,
    RestoreRequest, RetentionSettings, VacuumRequest, VerifyScope, restore, verify_dir,
};

const DAY: i64 = 86_400_000_000;

fn start() -> UtcMicros {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

struct Store {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Store {
    fn new() -> Store {
        Store { dir: tempfile::tempdir().unwrap(), clock: Arc::new(ManualClock::at(start())) }
    }

    /// Events of `syslog` go after 30 days.
    fn open(&self) -> Arc<Node> {
        let text = "delete=true\n[[policy]]\nstreams=['syslog']\nreason='disk'\nmaximum_days=30";
        let retention: RetentionSettings = toml::from_str(text).unwrap();
        let retention = Some(retention);
        let options = NodeOptions { builtin_rules: false, retention, ..NodeOptions::default() };
        let data = DataDir::new(self.dir.path());
        Arc::new(Node::open(data, options, self.clock.clone()).unwrap())
    }

    fn later(&self, days: i64) {
        self.clock.advance_micros(days * DAY);
    }

    fn fill(&self, node: &Node, stream: &str, texts: &[String]) {
        let now = self.clock.now();
        let record = |(number, text): (i64, &String)| Record {
            received: now.plus_micros(number),
            transport: Transport::SyslogUdp,
            peer: "192.0.2.1:514".into(),
            identity: "none".into(),
            bytes: text.clone().into_bytes().into(),
        };
        let records = (0..).zip(texts).map(record).collect();
        node.sink().append(&StreamName::new(stream).unwrap(), records).unwrap();
    }

    fn key(&self) -> VerifierKey {
        let text = std::fs::read_to_string(self.dir.path().join("keys/events.vkey")).unwrap();
        text.trim().parse().unwrap()
    }

    fn verified(&self) -> (bool, String) {
        verified(self.dir.path(), &self.clock)
    }
}

fn verified(dir: &Path, clock: &Arc<ManualClock>) -> (bool, String) {
    let clock: Arc<dyn Clock> = clock.clone();
    let report = verify_dir(&DataDir::new(dir), &VerifyScope::default(), &clock).unwrap();
    (report.ok, serde_json::to_string(&report).unwrap())
}

fn line(number: usize) -> String {
    format!(
        "<38>Nov 21 09:00:00 web01 sshd[7]: Accepted password for secret{number} from 192.0.2.9 port 1 ssh2"
    )
}

fn pin(events: &[String]) -> PinRequest {
    PinRequest {
        events: events.to_vec(),
        reason: "evidence".to_owned(),
        case: "C-000012".to_owned(),
        by: "sato".to_owned(),
    }
}

fn unpin(events: &[String], last_copy: bool) -> UnpinRequest {
    UnpinRequest {
        events: events.to_vec(),
        reason: "the case is closed".to_owned(),
        by: "tanaka".to_owned(),
        last_copy,
    }
}

fn said(error: NodeError) -> String {
    error.words().en().to_owned()
}

fn id(text: &str) -> EventId {
    text.parse().unwrap()
}

fn audit(dir: &Path, action: &str) -> Vec<Value> {
    let journal = DataDir::new(dir).audit();
    let runs = yagura_journal::read_segments(&journal).unwrap();
    let records = runs.flatten().flat_map(|run| run.records);
    let entries = records.map(|record| serde_json::from_slice::<Value>(&record.bytes).unwrap());
    entries.filter(|entry| entry["event.action"] == action).collect()
}

/// Files below the directory that have these bytes in them.
fn having(dir: &Path, part: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(having(&path, part));
        } else if std::fs::read(&path).unwrap().windows(part.len()).any(|window| window == part) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// What `docs/format/verify.py` says of a proof; `None` where there is no Python or no OpenSSL.
fn stranger(scratch: &Path, proof: &str, key: &Path) -> Option<(bool, String)> {
    for (tool, argument) in [("python3", "--version"), ("openssl", "version")] {
        if !Command::new(tool).arg(argument).output().is_ok_and(|output| output.status.success()) {
            assert!(std::env::var_os("CI").is_none(), "{tool} is needed in CI");
            eprintln!("skipped: {tool} is not installed");
            return None;
        }
    }
    let file = scratch.join("event.proof");
    std::fs::write(&file, proof).unwrap();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/format/verify.py");
    let output = Command::new("python3").arg(script).arg(file).arg(key).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_event_is_proved_before_and_after_its_batch_is_deleted() {
    let store = Store::new();
    let (dir, scratch) = (store.dir.path(), tempfile::tempdir().unwrap());
    let node = store.open();
    let lines: Vec<String> = (0..10).map(line).collect();
    store.fill(&node, "syslog", &lines);
    // Of an open batch, which is sealed for it.
    let done =
        node.pin(&pin(&["syslog/1/3".to_owned(), "syslog/1/9".to_owned()]), "account").unwrap();
    assert_eq!((&done["pinned"], &done["already"]), (&json!(2), &json!(0)));
    node.flush().unwrap();
    let journal = node.data().journal();
    let runs = yagura_journal::read_segments(&journal).unwrap();
    let salt = runs.flatten().find(|run| run.stream.as_str() == "syslog").unwrap().batch_salt;
    let salt_hex: String = salt.iter().map(|byte| format!("{byte:02x}")).collect();

    let check = |node: &Node, from: ProofFrom| {
        let proof = node.prove(&id("syslog/1/3")).unwrap();
        assert_eq!(proof.from, from);
        let proven =
            EventProof::parse(proof.text.as_bytes()).unwrap().verify(&store.key()).unwrap();
        assert_eq!(proven.leaf.record.bytes, line(3).as_bytes());
        if let Some((proved, said)) =
            stranger(scratch.path(), &proof.text, &dir.join("keys/events.vkey"))
        {
            assert!(proved && said.contains("event syslog/1/3"), "{said}");
            let forged = proof.text.replace("secret3", "secret4");
            assert!(!stranger(scratch.path(), &forged, &dir.join("keys/events.vkey")).unwrap().0);
        }
        proof.text
    };
    let before = check(&node, ProofFrom::Lake);
    store.later(31);
    let done = node.run_retention("yagura").unwrap();
    assert_eq!(
        (&done["records"], &done["events.pinned"]),
        (&json!(10), &json!(2)),
        "the pins keep nothing from going: {done}"
    );
    // The log went on: the same inner half, a later outer one.
    store.fill(&node, "other", &lines[..1]);
    node.flush().unwrap();
    let after = check(&node, ProofFrom::PinOfDeleted);
    let inner = |text: &str| text.split_once("c2sp.org/tlog-proof").unwrap().0.to_owned();
    assert_eq!(inner(&before), inner(&after));
    let words = ProofFrom::PinOfDeleted.words(&id("syslog/1/3")).unwrap();
    assert!(words.en().contains("no longer in the lake") && words.ja().contains("ピン"));
    let told = said(node.prove(&id("syslog/1/4")).unwrap_err());
    assert!(told.contains("was deleted, which is recorded"), "{told}");
    let told = said(node.pin(&pin(&["syslog/1/4".to_owned()]), "account").unwrap_err());
    assert!(told.contains("was deleted"), "a pin comes before the deletion: {told}");

    // What was not pinned is gone, and with the batch's salt nobody can guess it.
    store.later(1);
    node.vacuum(&VacuumRequest::default(), "test").unwrap();
    for part in [&salt[..], salt_hex.as_bytes(), b"secret4 "] {
        assert_eq!(having(dir, part), Vec::<String>::new());
    }
    assert_eq!(having(dir, b"secret3 ").len(), 1, "in its pin alone");
    assert!(node.verify(&VerifyScope::default()).unwrap().ok);
    node.close().unwrap();
    drop(node);
    assert_eq!(audit(dir, "retention.deleted")[0]["pinned"], 2);
    let recorded = audit(dir, "pin.added");
    let of = |key: &str| recorded[0][key].clone();
    assert_eq!(recorded.len(), 1);
    assert_eq!(of("events"), json!(["syslog/1/3", "syslog/1/9"]));
    assert_eq!((of("reason"), of("case")), (json!("evidence"), json!("C-000012")));
    assert_eq!((of("user.name"), of("user.account")), (json!("sato"), json!("account")));
    let (ok, report) = store.verified();
    assert!(ok && report.contains("pinned events"), "{report}");

    // It is all there when the directory is opened again; a legal hold stands before whoever unpins.
    let node = store.open();
    node.ready().await;
    check(&node, ProofFrom::PinOfDeleted);
    let events = vec!["syslog/1/3".to_owned()];
    let told = said(node.unpin(&unpin(&events, false), "account").unwrap_err());
    assert!(told.contains("--last-copy"), "{told}");
    let hold = HoldRequest {
        name: "matter 7".into(),
        reason: "counsel".into(),
        by: "sato".into(),
        streams: vec!["sys*".into()],
        ..HoldRequest::default()
    };
    node.add_hold(&hold, "account").unwrap();
    let told = said(node.unpin(&unpin(&events, true), "account").unwrap_err());
    assert!(told.contains("H-000001"), "{told}");
    let release = ReleaseRequest { by: "sato".into(), reason: "settled".into() };
    node.release_hold("H-000001", &release, "account").unwrap();
    assert!(audit(dir, "pin.removed").is_empty());
    let done = node.unpin(&unpin(&events, true), "account").unwrap();
    assert_eq!((&done["unpinned"], &done["gone"]), (&json!(1), &json!(1)));
    assert_eq!(having(dir, b"secret3 "), Vec::<String>::new(), "the erasure is whole");
    assert!(node.prove(&id("syslog/1/3")).is_err());
    let removed = audit(dir, "pin.removed");
    assert_eq!(removed[0]["events"], json!(events));
    assert_eq!(
        (&removed[0]["user.name"], &removed[0]["reason"]),
        (&json!("tanaka"), &json!("the case is closed"))
    );
    assert_eq!(node.pins()["total"], 1);
    node.close().unwrap();
    let (ok, report) = store.verified();
    assert!(ok, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_a_deletion_is_told_what_stays_pinned() {
    let store = Store::new();
    let node = store.open();
    for stream in ["other", "more"] {
        store.fill(&node, stream, &(0..10).map(line).collect::<Vec<_>>());
        node.flush().unwrap();
    }
    store.later(1);
    node.pin(&pin(&["other/1/1".to_owned(), "more/2/2".to_owned()]), "account").unwrap();
    let request = DeleteRequest {
        stream: "other".into(),
        before: store.clock.now().to_string(),
        reason: "asked for by the person concerned".into(),
        by: "sato".into(),
    };
    let asked = node.ask_deletion(&request, "account").unwrap();
    let preview = json!({ "batches": 1, "records": 10, "events.pinned": 1 });
    assert_eq!(asked["preview"], preview, "{asked}");
    assert_eq!(node.retention_requests()["requests"][0]["preview"], preview);
    // Whoever approves sees what is pinned by then.
    node.pin(&pin(&["other/1/1".to_owned(), "other/1/5".to_owned()]), "account").unwrap();
    assert_eq!(node.retention_requests()["requests"][0]["preview"]["events.pinned"], 2);
    let tanaka = ApproveRequest { by: "tanaka".into(), ..ApproveRequest::default() };
    let done = node.approve_retention("R-000001", &tanaka, "account").unwrap();
    assert_eq!(done["counts"]["events.pinned"], 2, "{done}");
    assert!(node.retention_requests()["requests"][0]["preview"].is_null(), "it is done");
    let deleted = |listed: &Value, id: &str| {
        let mut pins = listed["pins"].as_array().unwrap().iter();
        pins.find(|pin| pin["event.id"] == id).map(|pin| pin["batch.deleted"].clone())
    };
    let listed = node.pins();
    assert_eq!(deleted(&listed, "other/1/5"), Some(json!(true)), "{listed}");
    assert_eq!(deleted(&listed, "more/2/2"), Some(json!(false)), "{listed}");
    node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_go_into_a_backup_and_come_back() {
    let store = Store::new();
    let scratch = tempfile::tempdir().unwrap();
    let node = store.open();
    store.fill(&node, "syslog", &(0..10).map(line).collect::<Vec<_>>());
    node.flush().unwrap();
    node.pin(&pin(&["syslog/1/3".to_owned()]), "account").unwrap();
    store.later(31);
    assert_eq!(node.run_retention("yagura").unwrap()["batches"], 1);
    let to = scratch.path().join("backup").to_str().unwrap().to_owned();
    node.backup(&BackupRequest { to: to.clone(), ..BackupRequest::default() }, "test").unwrap();
    while node.backing_up()["running"] == true {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let state = node.backing_up();
    assert_eq!((&state["error"], &state["cancelled"]), (&Value::Null, &json!(false)), "{state:#}");
    node.close().unwrap();
    drop(node);
    let back = scratch.path().join("back");
    let clock: Arc<dyn Clock> = store.clock.clone();
    let request = RestoreRequest { from: to, to: DataDir::new(&back) };
    let restored = std::thread::scope(|scope| {
        scope.spawn(|| restore(&request, &clock, &|_, _| true)).join().unwrap()
    });
    assert!(restored.unwrap().verified.ok);
    let pinned = |dir: &Path| std::fs::read(dir.join("pins/1-3.pin")).unwrap();
    assert_eq!(pinned(&back), pinned(store.dir.path()));
    let options = NodeOptions { builtin_rules: false, ..NodeOptions::default() };
    let looking = Node::open_to_look(DataDir::new(&back), options, store.clock.clone()).unwrap();
    let proof = looking.prove(&id("syslog/1/3")).unwrap();
    assert_eq!(proof.from, ProofFrom::PinOfDeleted);
    assert!(EventProof::parse(proof.text.as_bytes()).unwrap().verify(&store.key()).is_ok());
    looking.close().unwrap();
    drop(looking);
    // A pin that a restore lost is a finding, not an absence.
    std::fs::remove_file(back.join("pins/1-3.pin")).unwrap();
    let (ok, report) = verified(&back, &store.clock);
    assert!(!ok && report.contains("pins/1-3.pin"), "{report}");
}

/// Numbers that look random and are the same each time (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

/// What the store should have.
#[derive(Default)]
struct Model {
    /// Every event that came, with its bytes.
    events: BTreeMap<String, String>,
    pinned: BTreeMap<String, String>,
    hold: Option<String>,
}

impl Model {
    fn any(&self, dice: &mut Dice) -> Option<String> {
        let at = dice.below(self.events.len().max(1));
        self.events.keys().nth(at).cloned()
    }
}

/// Every event of the lake, with its bytes.
async fn stored(node: &Node) -> Vec<(String, String)> {
    let sql = "select \"event.id\" as id, \"event.original\" as text from events";
    let text =
        |row: &serde_json::Map<String, Value>, key: &str| row[key].as_str().unwrap().to_owned();
    let page = node.sql(sql).await.unwrap();
    page.rows.iter().map(|row| (text(row, "id"), text(row, "text"))).collect()
}

async fn compacted(node: &Node) {
    node.compact(&CompactRequest::default(), "test").unwrap();
    while node.compacting()["running"] == true {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The real store: flushes, compactions, retention, holds, pins and restarts in any order.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_and_goes_every_pinned_event_still_proves() {
    const SEEDS: u64 = 6;
    const STEPS: usize = 30;
    let (mut from_lake, mut from_pins) = (0, 0);
    for seed in 0..SEEDS {
        let store = Store::new();
        let mut dice = Dice(seed);
        let mut model = Model::default();
        let mut node = store.open();
        for step in 0..STEPS {
            let at = format!("seed {seed}, step {step}");
            match dice.below(12) {
                0..=2 => {
                    let stream = ["syslog", "syslog", "other"][dice.below(3)];
                    let count = 1 + dice.below(5);
                    let texts: Vec<String> =
                        (0..count).map(|number| line(1_000 * step + number)).collect();
                    store.fill(&node, stream, &texts);
                    node.flush().unwrap();
                    model.events.extend(stored(&node).await);
                }
                3 | 4 => {
                    for _ in 0..3 {
                        let Some(id) = model.any(&mut dice) else { break };
                        match node.pin(&pin(std::slice::from_ref(&id)), "test") {
                            Ok(_) => {
                                drop(model.pinned.insert(id.clone(), model.events[&id].clone()))
                            }
                            Err(error) => {
                                let told = said(error);
                                assert!(told.contains("was deleted"), "{at}: {told}");
                            }
                        }
                    }
                }
                5 => {
                    let at_pin = dice.below(model.pinned.len().max(1));
                    if let Some(id) = model.pinned.keys().nth(at_pin).cloned()
                        && node.unpin(&unpin(std::slice::from_ref(&id), true), "test").is_ok()
                    {
                        model.pinned.remove(&id);
                    }
                }
                6 | 7 => {
                    store.later(dice.below(25) as i64);
                    node.run_retention("yagura").unwrap();
                }
                8 => compacted(&node).await,
                9 => drop(node.vacuum(&VacuumRequest::default(), "test").unwrap()),
                10 => match model.hold.take() {
                    Some(id) => {
                        let release = ReleaseRequest { by: "sato".into(), reason: "x".into() };
                        node.release_hold(&id, &release, "test").unwrap();
                    }
                    None => {
                        let hold = HoldRequest {
                            name: "x".into(),
                            reason: "x".into(),
                            by: "sato".into(),
                            ..HoldRequest::default()
                        };
                        let held = node.add_hold(&hold, "test").unwrap();
                        model.hold = held["hold.id"].as_str().map(str::to_owned);
                    }
                },
                _ => {
                    node.close().unwrap();
                    drop(node);
                    node = store.open();
                    node.ready().await;
                }
            }
            assert_eq!(node.pins()["total"], model.pinned.len(), "{at}");
            for (event, text) in &model.pinned {
                let proof = node.prove(&id(event)).unwrap_or_else(|error| panic!("{at}: {error}"));
                match proof.from {
                    ProofFrom::Lake => from_lake += 1,
                    ProofFrom::PinOfDeleted => from_pins += 1,
                    ProofFrom::PinOfUnread => panic!("{at}: {event} is not read"),
                }
                let proof = EventProof::parse(proof.text.as_bytes()).unwrap();
                let proven = proof.verify(&store.key()).unwrap();
                assert_eq!(proven.leaf.id, id(event), "{at}");
                assert_eq!(proven.leaf.record.bytes, text.as_bytes(), "{at}");
            }
        }
        node.close().unwrap();
        drop(node);
        let (ok, report) = store.verified();
        assert!(ok, "seed {seed}: {report}");
    }
    assert!(from_lake > 100 && from_pins > 20, "{from_lake} {from_pins}");
}
