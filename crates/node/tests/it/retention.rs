//! What policies let go is gone, what they or a hold keep is not, and both can be shown.

use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use yagura_event::{Clock, ManualClock, Record, StreamName, Transport, UtcMicros};
use yagura_intake::import::ImportSink;
use yagura_node::retention::{
    ApproveRequest, DeleteRequest, HoldRequest, ReleaseRequest, ShortenRequest,
};
use yagura_node::{
    DataDir, Node, NodeError, NodeOptions, RetentionSettings, VacuumRequest, VerifyScope,
    verify_dir,
};

const DAY: i64 = 86_400_000_000;

fn start() -> UtcMicros {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

fn settings(text: &str) -> RetentionSettings {
    toml::from_str(text).unwrap()
}

fn year(delete: bool) -> RetentionSettings {
    settings(&format!(
        "delete = {delete}\n\
         [[policy]]\nstreams=['pos/*']\nauthority='pci-dss'\nmaximum_days=400\n\
         [[policy]]\nstreams=['syslog']\nkind='cost'\nreason='disk'\nmaximum_days=30\n"
    ))
}

struct Store {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Store {
    fn new() -> Store {
        Store { dir: tempfile::tempdir().unwrap(), clock: Arc::new(ManualClock::at(start())) }
    }

    fn open(&self, retention: Option<RetentionSettings>) -> Arc<Node> {
        let options = NodeOptions { builtin_rules: false, retention, ..NodeOptions::default() };
        let data = DataDir::new(self.dir.path());
        Arc::new(Node::open(data, options, self.clock.clone()).unwrap())
    }

    fn later(&self, days: i64) {
        self.clock.advance_micros(days * DAY);
    }

    fn fill(&self, node: &Node, stream: &str, host: &str) {
        let now = self.clock.now();
        let record = |number: i64| {
            Record {
            received: now.plus_micros(number),
            transport: Transport::SyslogUdp,
            peer: "192.0.2.1:514".into(),
            identity: "none".into(),
            bytes: format!("<38>Nov 21 09:00:00 {host} sshd[7]: Accepted password for u{number} from 192.0.2.9 port 1 ssh2")
                .into_bytes()
                .into(),
        }
        };
        let stream = StreamName::new(stream).unwrap();
        node.sink().append(&stream, (0..10).map(record).collect()).unwrap();
        node.flush().unwrap();
    }
}

async fn count(node: &Node, stream: &str) -> u64 {
    let sql = format!("select count(*) as n from events where \"yagura.stream\" = '{stream}'");
    node.sql(&sql).await.unwrap().rows[0]["n"].as_u64().unwrap()
}

fn verified(dir: &Path, clock: &Arc<ManualClock>) -> (bool, u64, String) {
    let clock: Arc<dyn Clock> = clock.clone();
    let report = verify_dir(&DataDir::new(dir), &VerifyScope::default(), &clock).unwrap();
    let absent = report.checks.iter().find(|check| check.name.contains("by recorded deletion"));
    (report.ok, absent.map_or(0, |check| check.checked), serde_json::to_string(&report).unwrap())
}

fn said(error: NodeError) -> String {
    error.words().en().to_owned()
}

fn audit(dir: &Path, action: &str) -> Vec<Value> {
    let journal = DataDir::new(dir).audit();
    let runs = yagura_journal::read_segments(&journal).unwrap();
    let records = runs.flatten().flat_map(|run| run.records);
    let entries = records.map(|record| serde_json::from_slice::<Value>(&record.bytes).unwrap());
    entries.filter(|entry| entry["event.action"] == action).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy(&path, &target) } else { drop(std::fs::copy(&path, &target)) }
    }
}

fn person(by: &str) -> ApproveRequest {
    ApproveRequest { by: by.to_owned(), ..ApproveRequest::default() }
}

fn stream_row(node: &Node, stream: &str) -> Value {
    let listed = node.retention().unwrap();
    let rows = listed["streams"].as_array().unwrap();
    rows.iter().find(|row| row["yagura.stream"] == stream).cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_past_its_maximum_goes_and_only_where_it_is_switched_on() {
    let store = Store::new();
    let node = store.open(Some(year(false)));
    for stream in ["syslog", "pos/till", "other"] {
        store.fill(&node, stream, "web01");
    }
    store.later(20);
    store.fill(&node, "syslog", "web01");
    store.later(11);
    let row = stream_row(&node, "syslog");
    assert_eq!((&row["kept_since"], &row["events"]), (&json!(start()), &json!(20)));
    assert_eq!((&row["deletion"], &row["maximum_days"]), (&json!("off"), &json!(30)));
    assert_eq!(row["policy"]["kind.name"]["ja"], "費用");
    let pos = stream_row(&node, "pos/till");
    assert_eq!(pos["policy"]["authority.name"]["en"], "PCI DSS 10.5.1");
    assert_eq!((&pos["minimum_days"], &pos["immediate_days"]), (&json!(365), &json!(92)));
    assert_eq!(pos["deletion"], "off");
    assert_eq!(stream_row(&node, "other")["deletion"], "never");
    assert_eq!(node.run_retention("yagura").unwrap()["batches"], 0, "it is off");
    node.close().unwrap();
    drop(node);

    let node = store.open(Some(year(true)));
    node.ready().await;
    assert_eq!(stream_row(&node, "syslog")["deletion"], "due");
    let done = node.run_retention("yagura").unwrap();
    assert_eq!((&done["batches"], &done["records"]), (&json!(1), &json!(10)), "{done}");
    assert_eq!(count(&node, "syslog").await, 10);
    assert_eq!((count(&node, "pos/till").await, count(&node, "other").await), (10, 10));
    assert_eq!(node.run_retention("yagura").unwrap()["batches"], 0);
    let row = stream_row(&node, "syslog");
    assert_eq!(row["kept_since"], json!(start().plus_micros(20 * DAY)));
    assert_eq!(row["deletes_next"], json!(start().plus_micros(50 * DAY + 9)));
    assert!(node.verify(&VerifyScope::default()).unwrap().ok);
    node.close().unwrap();
    drop(node);

    let recorded = audit(store.dir.path(), "retention.deleted");
    assert_eq!(recorded.len(), 1);
    let of = |key: &str| recorded[0][key].clone();
    assert_eq!((of("format"), of("yagura.stream")), (json!("yagura-delete v1"), json!("syslog")));
    assert_eq!(
        (of("records"), of("batches"), of("user.name")),
        (json!(10), json!(1), json!("yagura"))
    );
    assert_eq!(recorded[0]["because"]["policy"]["reason"], "disk");
    let (ok, absent, report) = verified(store.dir.path(), &store.clock);
    assert!(ok && absent == 1, "{report}");
    // It does not come back, whoever opens it, and the header stays.
    let node = store.open(None);
    node.ready().await;
    assert_eq!(count(&node, "syslog").await, 10);
    assert_eq!(stream_row(&node, "syslog")["maximum_days"], 30, "as it was recorded last");
    node.close().unwrap();
}

/// Bytes of the batch's salt, as text or as such, in any file of the data directory.
fn has_salt(dir: &Path, salt: &[u8; 32]) -> Vec<String> {
    let hex: String = salt.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(has_salt(&path, salt));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        if has(salt) || has(hex.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_salt_is_nowhere_once_its_batch_is_deleted() {
    let store = Store::new();
    let node = store.open(Some(year(true)));
    store.fill(&node, "syslog", "web01");
    let journal = node.data().journal();
    let runs = yagura_journal::read_segments(&journal).unwrap();
    let salt = runs.flatten().find(|run| run.stream.as_str() == "syslog").unwrap().batch_salt;
    assert!(!has_salt(store.dir.path(), &salt).is_empty(), "it is looked for rightly");
    store.later(31);
    // The journal's newest segment still has it; the table's file with it is removed at the end.
    let done = node.run_retention("yagura").unwrap();
    assert_eq!((&done["records"], &done["batches.in_journal"]), (&json!(10), &json!(0)), "{done}");
    store.later(1);
    node.vacuum(&VacuumRequest::default(), "test").unwrap();
    assert_eq!(has_salt(store.dir.path(), &salt), Vec::<String>::new());
    node.close().unwrap();
    let (ok, absent, report) = verified(store.dir.path(), &store.clock);
    assert!(ok && absent == 1, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_by_hand_takes_two_persons() {
    let store = Store::new();
    let node = store.open(Some(year(false)));
    for stream in ["other", "pos/till"] {
        store.fill(&node, stream, "web01");
    }
    store.later(1);
    let ask = |stream: &str, before: UtcMicros, by: &str| {
        let request = DeleteRequest {
            stream: stream.to_owned(),
            before: before.to_string(),
            reason: "asked for by the person concerned".to_owned(),
            by: by.to_owned(),
        };
        node.ask_deletion(&request, "account")
    };
    let now = store.clock.now();
    for (stream, before, by, part) in [
        ("nosuch", now, "sato", "there is no stream"),
        ("other", now.plus_micros(1), "sato", "future"),
        ("other", now, " ", "say who you are"),
        (
            "pos/till",
            now,
            "sato",
            "PCI DSS 10.5.1) keeps events for 365 days: before must be 2025-11-22",
        ),
    ] {
        let refused = said(ask(stream, before, by).unwrap_err());
        assert!(refused.contains(part), "{refused}");
    }
    let asked = ask("other", now, "sato").unwrap();
    assert_eq!(
        (&asked["request.id"], &asked["request.state"]),
        (&json!("R-000001"), &json!("open"))
    );
    assert_eq!(count(&node, "other").await, 10, "asking alone deletes nothing");
    for by in ["sato", " SATO ", "ｓａｔｏ"] {
        let refused = said(node.approve_retention("R-000001", &person(by), "account").unwrap_err());
        assert!(refused.contains("another person must approve"), "{refused}");
    }
    assert!(
        said(node.approve_retention("R-9", &person("x"), "a").unwrap_err()).contains("no request")
    );
    // Its time passes.
    store.clock.advance_micros(72 * 3_600_000_000);
    let late = said(node.approve_retention("R-000001", &person("tanaka"), "a").unwrap_err());
    assert!(late.contains("expired"), "{late}");
    ask("other", now, "sato").unwrap();
    node.withdraw_retention("R-000002", &person("sato"), "account").unwrap();
    assert!(node.approve_retention("R-000002", &person("tanaka"), "account").is_err());
    ask("other", now, "sato").unwrap();
    assert_eq!(count(&node, "other").await, 10);
    let done = node.approve_retention("R-000003", &person("tanaka"), "account").unwrap();
    assert_eq!((&done["request.state"], &done["counts"]["records"]), (&json!("done"), &json!(10)));
    assert_eq!((count(&node, "other").await, count(&node, "pos/till").await), (0, 10));
    node.close().unwrap();
    drop(node);
    let of = |action| audit(store.dir.path(), action);
    assert_eq!((of("retention.asked").len(), of("retention.withdrawn").len()), (3, 1));
    assert_eq!(of("retention.approved").len(), 1, "a refused approval is none");
    let because = of("retention.deleted")[0]["because"].clone();
    assert_eq!((&because["asked_by"], &because["approved_by"]), (&json!("sato"), &json!("tanaka")));
    let node = store.open(None);
    let requests = node.retention_requests()["requests"].clone();
    let states: Vec<_> =
        requests.as_array().unwrap().iter().map(|one| one["request.state"].clone()).collect();
    assert_eq!(states, ["done", "withdrawn", "expired"], "as the records say");
    node.close().unwrap();
    assert!(verified(store.dir.path(), &store.clock).0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_policy_waits_for_a_second_person() {
    let store = Store::new();
    let node = store.open(Some(year(true)));
    store.fill(&node, "syslog", "web01");
    let nothing = ShortenRequest { reason: "r".into(), by: "sato".into() };
    assert!(node.ask_shortening(&nothing, "a").is_err(), "nothing waits");
    node.close().unwrap();
    drop(node);
    store.later(8);
    let mut shorter = year(true);
    shorter.policy[1].maximum_days = Some(7);
    let node = store.open(Some(shorter.clone()));
    let row = stream_row(&node, "syslog");
    assert_eq!((&row["maximum_days"], &row["shortening"]), (&json!(30), &json!(true)));
    assert_eq!(node.run_retention("yagura").unwrap()["batches"], 0);
    node.ask_shortening(&nothing, "a").unwrap();
    assert_eq!(node.run_retention("yagura").unwrap()["batches"], 0, "asked for, not approved");
    assert!(node.approve_retention("R-000001", &person("Sato"), "a").is_err());
    node.approve_retention("R-000001", &person("tanaka"), "a").unwrap();
    let row = stream_row(&node, "syslog");
    assert_eq!((&row["maximum_days"], &row["shortening"]), (&json!(7), &json!(false)));
    node.close().unwrap();
    drop(node);
    let node = store.open(Some(shorter));
    assert_eq!(stream_row(&node, "syslog")["maximum_days"], 7);
    assert_eq!(node.run_retention("yagura").unwrap()["batches"], 1);
    node.close().unwrap();
    assert_eq!(audit(store.dir.path(), "retention.configured").len(), 2, "once each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_keeps_whole_batches_until_it_is_released() {
    let store = Store::new();
    let node = store.open(Some(year(true)));
    for host in ["web01", "db01"] {
        store.fill(&node, "syslog", host);
        store.later(1);
    }
    store.fill(&node, "syslog", "web01");
    let hold = |change: &dyn Fn(&mut HoldRequest)| {
        let mut request = HoldRequest {
            name: "matter 7".to_owned(),
            reason: "counsel asked".to_owned(),
            by: "sato".to_owned(),
            ..HoldRequest::default()
        };
        change(&mut request);
        node.add_hold(&request, "account")
    };
    for (change, part) in [
        (&(|it: &mut HoldRequest| it.name.clear()) as &dyn Fn(&mut HoldRequest), "name the hold"),
        (&|it: &mut HoldRequest| it.reason.clear(), "say why"),
        (&|it: &mut HoldRequest| it.by.clear(), "say who"),
        (&|it: &mut HoldRequest| it.streams = vec!["A B".into()], "is no stream"),
        (&|it: &mut HoldRequest| it.from = Some("yesterday".into()), "ISO 8601"),
        (
            &|it: &mut HoldRequest| {
                it.from = Some(start().to_string());
                it.to = it.from.clone();
            },
            "from must be before to",
        ),
    ] {
        let refused = said(hold(change).unwrap_err());
        assert!(refused.contains(part), "{refused}");
    }
    // By host: the middle batch.
    hold(&|it| it.hosts = vec!["DB01".into()]).unwrap();
    // By the time of receipt: the last batch. And one about another stream.
    hold(&|it| it.from = Some(start().plus_micros(2 * DAY).to_string())).unwrap();
    hold(&|it| it.streams = vec!["pos/*".into()]).unwrap();
    store.later(40);
    let done = node.run_retention("yagura").unwrap();
    assert_eq!((&done["batches"], &done["batches.held"]), (&json!(1), &json!(2)), "{done}");
    assert_eq!(count(&node, "syslog").await, 20);
    let row = stream_row(&node, "syslog");
    assert_eq!(row["holds"], json!(["H-000001", "H-000002"]));
    let release = |id: &str, reason: &str| {
        let request = ReleaseRequest { reason: reason.to_owned(), by: "tanaka".to_owned() };
        node.release_hold(id, &request, "account")
    };
    assert!(release("H-000001", " ").is_err(), "a reason is needed");
    assert!(said(release("H-9", "over").unwrap_err()).contains("no hold"));
    release("H-000001", "the matter is settled").unwrap();
    assert!(said(release("H-000001", "again").unwrap_err()).contains("already"));
    assert_eq!(node.run_retention("yagura").unwrap()["batches"], 1);
    assert_eq!(count(&node, "syslog").await, 10);
    node.close().unwrap();
    drop(node);
    let node = store.open(None);
    node.ready().await;
    let holds = node.holds();
    assert_eq!(holds["in_force"], 2);
    assert_eq!(holds["holds"][2]["released"]["reason"], "the matter is settled");
    assert_eq!(node.run_retention("yagura").unwrap()["batches"], 0, "the other still holds");
    // A hold by an address, and by when it happened: the message's own time.
    let happened = |it: &mut HoldRequest| {
        it.from = Some("2026-11-21T08:00:00Z".into());
        it.to = Some("2026-11-21T10:00:00Z".into());
        it.hosts = vec!["192.0.2.1".into()];
    };
    let mut request = HoldRequest {
        name: "n".into(),
        reason: "r".into(),
        by: "b".into(),
        ..HoldRequest::default()
    };
    happened(&mut request);
    node.add_hold(&request, "account").unwrap();
    let over = ReleaseRequest { reason: "over".into(), by: "tanaka".into() };
    node.release_hold("H-000002", &over, "account").unwrap();
    let done = node.run_retention("yagura").unwrap();
    assert_eq!((&done["batches"], &done["batches.held"]), (&json!(0), &json!(1)), "{done}");
    node.close().unwrap();
    let (ok, absent, report) = verified(store.dir.path(), &store.clock);
    assert!(ok && absent == 2, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_without_a_record_is_an_alarm_and_changed_files_are_not_deleted() {
    let store = Store::new();
    let node = store.open(Some(year(true)));
    store.fill(&node, "syslog", "web01");
    store.fill(&node, "other", "web01");
    store.later(31);
    node.close().unwrap();
    drop(node);
    let before = store
        .dir
        .path()
        .join("..")
        .join(format!("{}-before", store.dir.path().file_name().unwrap().to_string_lossy()));
    copy(store.dir.path(), &before);
    let node = store.open(None);
    let id = "syslog/1/3".parse().unwrap();
    assert!(node.prove(&id).is_ok());
    node.run_retention("yagura").unwrap();
    let told = said(node.prove(&id).unwrap_err());
    assert!(told.contains("no event"), "{told}");
    node.close().unwrap();
    drop(node);
    assert!(verified(store.dir.path(), &store.clock).0);
    // The same store with the audit log from before the deletion: the batch is missing unexplained.
    for part in ["audit", "ledger/audit"] {
        std::fs::remove_dir_all(store.dir.path().join(part)).unwrap();
        copy(&before.join(part), &store.dir.path().join(part));
    }
    let (ok, absent, report) = verified(store.dir.path(), &store.clock);
    assert!(!ok && absent == 0 && report.contains("absent, unexplained"), "{report}");

    // What somebody changed stays, as evidence, and so does what lies beside it.
    std::fs::remove_dir_all(store.dir.path()).unwrap();
    copy(&before, store.dir.path());
    std::fs::remove_dir_all(&before).unwrap();
    let mut files = Vec::new();
    parquet(&store.dir.path().join("lake"), &mut files);
    let target = files.pop().unwrap();
    let mut bytes = std::fs::read(&target).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&target, &bytes).unwrap();
    let node = store.open(None);
    let rest = files.len();
    let done = node.run_retention("yagura").unwrap();
    if rest == 0 {
        assert_eq!(done["batches"], 0, "{done}");
    }
    assert!(std::fs::read(&target).unwrap() == bytes);
    node.close().unwrap();
}

fn parquet(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            parquet(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "parquet") {
            found.push(path);
        }
    }
    found.sort();
}
