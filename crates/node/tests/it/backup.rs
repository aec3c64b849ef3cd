//! A directory copied while it lives and brought back: the same events, the same proofs, and never two
//! histories of one log.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use yagura_event::{Clock, EventId, ManualClock, Record, StreamName, Transport, UtcMicros};
use yagura_intake::import::ImportSink;
use yagura_ledger::epoch::EPOCH_BATCHES;
use yagura_ledger::{EventProof, VerifierKey};
use yagura_node::{
    BackupRequest, CompactRequest, DataDir, Node, NodeError, NodeOptions, Release, RestoreRequest,
    Restored, VerifyScope, is_restored, release, restore, verify_dir,
};

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(start()))
}

fn start() -> UtcMicros {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

fn options() -> NodeOptions {
    NodeOptions { builtin_rules: false, ..NodeOptions::default() }
}

fn open(dir: &Path) -> Arc<Node> {
    Arc::new(Node::open(DataDir::new(dir), options(), clock()).unwrap())
}

fn look(dir: &Path) -> Node {
    Node::open_to_look(DataDir::new(dir), options(), clock()).unwrap()
}

fn fill(node: &Node, from: i64, count: i64) {
    let record = |number: i64| Record {
        received: start().plus_micros(number * 1_000),
        transport: Transport::SyslogUdp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: format!("<13>Nov 21 09:00:00 db01 app: number {number} \u{7530}")
            .into_bytes()
            .into(),
    };
    for stream in ["syslog", "other"] {
        let stream = StreamName::new(stream).unwrap();
        node.sink().append(&stream, (from..from + count).map(record).collect()).unwrap();
    }
}

/// A store of 120 events in the table, open.
fn filled(dir: &Path) -> Arc<Node> {
    let node = open(dir);
    for round in 0..2 {
        fill(&node, round * 30, 30);
        node.flush().unwrap();
    }
    node
}

async fn everything(node: &Node) -> Vec<Value> {
    node.ready().await;
    let page = node.sql("select * from events order by \"event.id\"").await.unwrap();
    page.rows.into_iter().map(Value::Object).collect()
}

fn request(to: &Path) -> BackupRequest {
    BackupRequest { to: to.to_str().unwrap().to_owned(), ..BackupRequest::default() }
}

fn waited(node: &Node) -> Value {
    let began = Instant::now();
    loop {
        let state = node.backing_up();
        if state["running"] == false {
            return state;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{state:#}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn backed_up(node: &Node, request: &BackupRequest) -> Value {
    node.backup(request, "test").unwrap();
    let state = waited(node);
    assert_eq!((&state["error"], &state["cancelled"]), (&Value::Null, &json!(false)), "{state:#}");
    state
}

fn restoring(from: &Path, to: &Path) -> Result<Restored, NodeError> {
    let from = from.to_str().unwrap().to_owned();
    let request = RestoreRequest { from, to: DataDir::new(to) };
    // It blocks, and wants a thread of its own.
    std::thread::scope(|scope| {
        scope.spawn(|| restore(&request, &clock(), &|_, _| true)).join().unwrap()
    })
}

fn restored(from: &Path, to: &Path) -> Restored {
    let restored = restoring(from, to).unwrap();
    assert!(restored.verified.ok, "{:#?}", restored.verified);
    restored
}

fn verified(dir: &Path) {
    let report = verify_dir(&DataDir::new(dir), &VerifyScope::default(), &clock()).unwrap();
    assert!(report.ok, "{report:#?}");
}

/// Every file below a directory with its bytes, by relative path.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let relative = path.strip_prefix(root).unwrap().to_owned();
                found.insert(relative, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found);
    found
}

fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap()
}

fn told(error: NodeError) -> String {
    assert!(!error.words().ja().is_ascii(), "in Japanese, too: {error}");
    error.to_string()
}

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Scratch(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_comes_back_as_it_was() {
    let scratch = Scratch::new();
    let (data, target, back) = (scratch.at("data"), scratch.at("target"), scratch.at("back"));
    let node = filled(&data);
    let before = everything(&node).await;
    assert_eq!(before.len(), 120);
    let first = backed_up(&node, &request(&target));
    assert_eq!(
        (&first["files_kept"], first["files_copied"].as_u64() > Some(10)),
        (&json!(0), true)
    );

    // What is there is not copied again, and what a later one has not goes.
    fill(&node, 60, 30);
    let second = backed_up(&node, &request(&target));
    assert!(second["files_kept"].as_u64() > Some(5), "{second:#}");
    assert!(second["bytes_copied"].as_u64() < first["bytes_copied"].as_u64(), "{second:#}");
    let contents = files(&target.join("files")).len() as u64;
    assert!(contents <= second["files_total"].as_u64().unwrap(), "{contents}: {second:#}");
    let before = everything(&node).await;
    assert_eq!(before.len(), 180);
    let id: EventId = before[7]["event.id"].as_str().unwrap().parse().unwrap();
    let proof = node.prove(&id).unwrap().text;
    node.close().unwrap();

    let told = restored(&target, &back);
    assert_eq!(told.last_event, Some(start().plus_micros(89_000)));
    assert!(!told.with_keys && !is_there(&back.join("keys/events.key")));
    assert_eq!(told.heads["events"]["ledger.size"], second["events_size"]);
    assert!(is_restored(&DataDir::new(&back)).unwrap());
    let as_restored = files(&back);
    verified(&back);

    let looking = look(&back);
    assert!(looking.is_looked_at());
    assert_eq!(everything(&looking).await, before);
    let proved = looking.prove(&id).unwrap().text;
    let key = VerifierKey::load(&data.join("keys/events.vkey")).unwrap();
    EventProof::parse(proof.as_bytes()).unwrap().verify(&key).unwrap();
    EventProof::parse(proved.as_bytes()).unwrap().verify(&key).unwrap();
    looking.close().unwrap();
    verified(&back);
    assert!(files(&back) == as_restored, "looking changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_place_for_a_backup_or_a_restore_is_refused() {
    let scratch = Scratch::new();
    let (data, target) = (scratch.at("data"), scratch.at("target"));
    let node = filled(&data);
    for (to, word) in [
        ("", "name a directory"),
        ("ftp://host/x", "ftp://"),
        (data.join("lake/copy").to_str().unwrap(), "data directory"),
        (scratch.0.path().to_str().unwrap(), "data directory"),
    ] {
        let to = to.to_owned();
        let refused = node.backup(&BackupRequest { to, ..BackupRequest::default() }, "test");
        assert!(told(refused.unwrap_err()).contains(word), "{word}");
    }
    std::fs::create_dir(&target).unwrap();
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&target, open_to_all).unwrap();
    let with_keys = BackupRequest { with_keys: true, ..request(&target) };
    assert!(told(node.backup(&with_keys, "test").unwrap_err()).contains("chmod 700"));
    backed_up(&node, &request(&target));

    // Another store, and an older state of this one, do not write over it.
    let other = filled(&scratch.at("other"));
    other.backup(&request(&target), "test").unwrap();
    let state = waited(&other);
    assert!(state["error"]["en"].as_str().unwrap().contains("another store"), "{state:#}");
    other.close().unwrap();
    node.close().unwrap();
    assert!(told(restoring(&target, &data).unwrap_err()).contains("not empty"));
    assert!(told(restoring(&scratch.at("none"), &scratch.at("new")).unwrap_err()).contains("none"));
    std::fs::create_dir(scratch.at("empty")).unwrap();
    let nothing = restoring(&scratch.at("empty"), &scratch.at("new")).unwrap_err();
    assert!(told(nothing).contains("no finished backup"));
    assert!(!is_there(&scratch.at("new")));
}

#[test]
fn damage_of_any_kind_of_file_in_a_backup_is_named_and_refused() {
    let scratch = Scratch::new();
    let target = scratch.at("target");
    let node = filled(&scratch.at("data"));
    backed_up(&node, &BackupRequest { with_keys: true, ..request(&target) });
    let manifest = std::fs::read_to_string(target.join("MANIFEST")).unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for line in manifest.lines().filter_map(|line| line.strip_prefix("file ")) {
        let [sha256, bytes, path] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!() };
        if bytes == "0" {
            continue;
        }
        kinds.insert(path.split('/').next().unwrap().to_owned());
        let content = target.join("files").join(&sha256[..2]).join(sha256);
        let sound = std::fs::read(&content).unwrap();
        let mut changed = sound.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        let longer = [&sound[..], b"x"].concat();
        for damage in [Some(&changed[..]), Some(&sound[..middle]), Some(&longer[..]), None] {
            match damage {
                Some(bytes) => std::fs::write(&content, bytes).unwrap(),
                None => std::fs::remove_file(&content).unwrap(),
            }
            let back = scratch.at("back");
            let refused = told(restoring(&target, &back).unwrap_err());
            assert!(refused.contains(path) && refused.contains(sha256), "{path}: {refused}");
            let opened = Node::open(DataDir::new(&back), options(), clock()).err().unwrap();
            assert!(told(opened).contains("restore once more"));
            std::fs::remove_dir_all(&back).unwrap();
        }
        std::fs::write(&content, sound).unwrap();
    }
    let expected = ["audit", "journal", "keys", "lake", "ledger"].map(str::to_owned);
    assert!(expected.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    for at in [0, 30, manifest.len() / 2, manifest.len() - 2] {
        let mut changed = manifest.clone().into_bytes();
        changed[at] ^= 1;
        std::fs::write(target.join("MANIFEST"), &changed).unwrap();
        let refused = told(restoring(&target, &scratch.at("back")).unwrap_err());
        assert!(refused.contains("MANIFEST"), "byte {at}: {refused}");
        node.backup(&request(&target), "test").unwrap();
        let state = waited(&node);
        assert!(state["error"]["en"].as_str().unwrap().contains("MANIFEST"), "{state:#}");
    }
    std::fs::write(target.join("MANIFEST"), &manifest).unwrap();

    // Asked to check, a backup mends what it has.
    let shelves = files(&target.join("files"));
    let (damaged, sound) = shelves.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let mut changed = sound.clone();
    changed[0] ^= 1;
    std::fs::write(target.join("files").join(damaged), changed).unwrap();
    backed_up(&node, &BackupRequest { with_keys: true, check: true, ..request(&target) });
    assert_eq!(&std::fs::read(target.join("files").join(damaged)).unwrap(), sound);
    restored(&target, &scratch.at("sound"));
    node.close().unwrap();
}

#[test]
fn a_changed_file_does_not_get_into_a_backup() {
    let scratch = Scratch::new();
    let (data, target) = (scratch.at("data"), scratch.at("target"));
    let node = filled(&data);
    let parquet =
        files(&data).into_keys().find(|path| path.to_str().unwrap().ends_with(".parquet"));
    let parquet = parquet.unwrap();
    let mut bytes = std::fs::read(data.join(&parquet)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(data.join(&parquet), bytes).unwrap();
    node.backup(&request(&target), "test").unwrap();
    let state = waited(&node);
    let error = state["error"]["en"].as_str().unwrap().to_owned();
    assert!(
        error.contains(parquet.to_str().unwrap()) && error.contains("yagura verify"),
        "{error}"
    );
    assert!(!is_there(&target.join("MANIFEST")));
    node.close().unwrap();
}

#[test]
fn a_backup_or_a_restore_cut_short_goes_on() {
    let scratch = Scratch::new();
    let (target, back) = (scratch.at("target"), scratch.at("back"));
    let node = filled(&scratch.at("data"));
    let whole = backed_up(&node, &request(&target));
    // Killed before the manifest: contents, one of them not whole, and no manifest.
    std::fs::remove_file(target.join("MANIFEST")).unwrap();
    let (content, bytes) = files(&target.join("files")).pop_first().unwrap();
    let half = target.join("files").join(&content).with_extension("").display().to_string() + "#1";
    std::fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    std::fs::remove_file(target.join("files").join(&content)).unwrap();
    assert!(told(restoring(&target, &back).unwrap_err()).contains("no finished backup"));
    let again = backed_up(&node, &request(&target));
    assert!(again["files_kept"].as_u64() > Some(5), "{again:#}");
    assert!(again["files_copied"].as_u64() < whole["files_copied"].as_u64(), "{again:#}");
    assert!(!is_there(Path::new(&half)));

    // Cancelled: the manifest is the one before, or the new one, and either can be restored.
    fill(&node, 60, 30);
    node.backup(&request(&target), "test").unwrap();
    node.cancel_backup();
    let state = waited(&node);
    assert_eq!(state["error"], Value::Null, "{state:#}");
    let from = target.to_str().unwrap().to_owned();
    let asked = RestoreRequest { from, to: DataDir::new(&back) };
    // A restore that was cut short is marked, and goes on.
    let cut = restore(&asked, &clock(), &|done, total| done < total / 2);
    assert!(matches!(cut, Err(NodeError::Cancelled)), "{cut:?}");
    let half_way = files(&back).len();
    let report = verify_dir(&DataDir::new(&back), &VerifyScope::default(), &clock()).unwrap();
    assert!(!report.ok);
    restored(&target, &back);
    assert!(files(&back).len() > half_way);
    node.close().unwrap();
}

/// The rule of TRUST: a log that was restored is not signed on from an older head.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_log_does_not_fork() {
    let scratch = Scratch::new();
    let (data, target, back) = (scratch.at("data"), scratch.at("target"), scratch.at("back"));
    let node = filled(&data);
    let heads = |dir: &Path, keep: &str| {
        let kept = ["events", "audit"].map(|log| scratch.at(&format!("{keep}.{log}")));
        for (log, path) in ["events", "audit"].iter().zip(&kept) {
            std::fs::copy(dir.join("ledger").join(log).join("checkpoint"), path).unwrap();
        }
        kept.to_vec()
    };
    let older = heads(&data, "older");
    fill(&node, 60, 10);
    backed_up(&node, &BackupRequest { with_keys: true, ..request(&target) });
    let old_events = everything(&node).await;
    // The store goes on after the backup.
    fill(&node, 70, 10);
    node.flush().unwrap();
    let elsewhere = everything(&node).await;
    node.close().unwrap();
    drop(node);
    let newer = heads(&data, "newer");

    restored(&target, &back);
    let same = heads(&back, "same");
    let as_restored = files(&back);
    let refused = |how: &Release| {
        told(release(&DataDir::new(&back), how, options(), clock(), "test").unwrap_err())
    };
    let opened = Node::open(DataDir::new(&back), options(), clock());
    assert!(told(opened.err().unwrap()).contains("new-epoch"));
    assert!(refused(&Release::Continue(newer)).contains("went on elsewhere"));
    assert!(refused(&Release::Continue(older)).contains("older checkpoint"));
    assert!(refused(&Release::Continue(same[..1].to_vec())).contains("both logs"));
    assert!(refused(&Release::Continue(Vec::new())).contains("both logs"));
    assert!(files(&back) == as_restored, "refusing changes nothing");
    assert!(is_restored(&DataDir::new(&back)).unwrap());

    // A new epoch: every event stays proved as it was, new ones have ids that nobody else gave.
    let done =
        release(&DataDir::new(&back), &Release::NewEpoch, options(), clock(), "test").unwrap();
    assert!(!is_restored(&DataDir::new(&back)).unwrap());
    let log = &done["ledger.logs"][0];
    assert!(log["ledger.origin"].as_str().unwrap().ends_with("/events/e2"), "{done:#}");
    assert_eq!(log["ledger.first_batch"], 2 * EPOCH_BATCHES);
    assert!(!is_there(&back.join("keys/events.key")) && is_there(&back.join("keys/events.vkey")));
    verified(&back);
    let node = open(&back);
    assert_eq!(everything(&node).await, old_events);
    fill(&node, 500, 10);
    node.flush().unwrap();
    let now = everything(&node).await;
    assert_eq!(now.len(), old_events.len() + 20);
    let ids = |events: &[Value]| -> std::collections::BTreeSet<String> {
        events.iter().map(|event| event["event.id"].as_str().unwrap().to_owned()).collect()
    };
    let both: Vec<String> = ids(&now).intersection(&ids(&elsewhere)).cloned().collect();
    assert_eq!(both.len(), old_events.len(), "only what both had before");
    let (first, second) = ("keys/events.vkey", "keys/events.e2.vkey");
    for id in ids(&now) {
        let id: EventId = id.parse().unwrap();
        let key = if id.batch < EPOCH_BATCHES { first } else { second };
        let key = VerifierKey::load(&back.join(key)).unwrap();
        let proof = EventProof::parse(node.prove(&id).unwrap().text.as_bytes()).unwrap();
        assert_eq!(proof.verify(&key).unwrap().leaf.id, id);
    }
    let report = node.verify(&VerifyScope::default()).unwrap();
    assert!(report.ok, "{report:#?}");

    // It backs up and comes back again; and it does not write over what went on elsewhere.
    let later = scratch.at("later");
    backed_up(&node, &request(&later));
    node.close().unwrap();
    drop(node);
    verified(&back);
    let third = scratch.at("third");
    restored(&later, &third);
    let done =
        release(&DataDir::new(&third), &Release::NewEpoch, options(), clock(), "test").unwrap();
    assert!(done["ledger.logs"][1]["ledger.origin"].as_str().unwrap().ends_with("/audit/e3"));
    verified(&third);
    let original = open(&data);
    original.backup(&request(&later), "test").unwrap();
    let state = waited(&original);
    assert!(state["error"]["en"].as_str().unwrap().contains("does not continue"), "{state:#}");
    original.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_proved_to_be_the_newest_goes_on_as_it_was() {
    let scratch = Scratch::new();
    let (data, target, back) = (scratch.at("data"), scratch.at("target"), scratch.at("back"));
    // A store that moves: the last thing it does is its backup.
    let node = filled(&data);
    backed_up(&node, &BackupRequest { with_keys: true, ..request(&target) });
    node.close().unwrap();
    drop(node);
    let kept = ["events", "audit"].map(|log| data.join("ledger").join(log).join("checkpoint"));
    restored(&target, &back);
    let how = Release::Continue(kept.to_vec());
    release(&DataDir::new(&back), &how, options(), clock(), "test").unwrap();
    let again = release(&DataDir::new(&back), &how, options(), clock(), "test");
    assert!(told(again.unwrap_err()).contains("goes on already"));
    let node = open(&back);
    fill(&node, 60, 10);
    node.flush().unwrap();
    assert_eq!(everything(&node).await.len(), 140);
    node.close().unwrap();
    drop(node);
    verified(&back);

    // Without the keys there is nothing to go on with but a new epoch.
    let (without, bare) = (scratch.at("without"), scratch.at("bare"));
    let node = open(&back);
    backed_up(&node, &request(&without));
    node.close().unwrap();
    drop(node);
    let kept = ["events", "audit"].map(|log| back.join("ledger").join(log).join("checkpoint"));
    restored(&without, &bare);
    let how = Release::Continue(kept.to_vec());
    let refused = release(&DataDir::new(&bare), &how, options(), clock(), "test").unwrap_err();
    assert!(told(refused).contains("events.key is missing"));
    release(&DataDir::new(&bare), &Release::NewEpoch, options(), clock(), "test").unwrap();
    verified(&bare);
    // Nor does a directory sign under a new key because its own was lost.
    std::fs::remove_file(bare.join("keys/events.e2.key")).unwrap();
    let lost = Node::open(DataDir::new(&bare), options(), clock()).err().unwrap();
    assert!(told(lost).contains("events.e2.key is missing"));
    assert!(!is_there(&bare.join("keys/events.e2.key")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_store_is_backed_up_at_one_moment() {
    let scratch = Scratch::new();
    let node = filled(&scratch.at("data"));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writing = std::thread::spawn({
        let (node, stop) = (node.clone(), stop.clone());
        move || {
            let mut round = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                fill(&node, 1_000 + round * 20, 20);
                if round % 2 == 0 {
                    node.flush().unwrap();
                }
                if round % 5 == 4 {
                    // It may run still; then it goes on.
                    let _ = node.compact(&CompactRequest::default(), "test");
                }
                round += 1;
            }
            round
        }
    });
    let target = scratch.at("target");
    let mut sizes = Vec::new();
    for number in 0..5 {
        let state = backed_up(&node, &request(&target));
        sizes.push(state["events_size"].as_u64().unwrap());
        let back = scratch.at(&format!("back{number}"));
        restored(&target, &back);
        // Nothing is lost of what was open at that moment, and nothing is added to it.
        release(&DataDir::new(&back), &Release::NewEpoch, options(), clock(), "test").unwrap();
        verified(&back);
        let again = open(&back);
        let events = everything(&again).await;
        assert!(events.len() >= 120);
        fill(&again, 1, 1);
        again.flush().unwrap();
        assert_eq!(everything(&again).await.len(), events.len() + 2);
        again.close().unwrap();
        verified(&back);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(writing.join().unwrap() > 0);
    assert!(sizes.windows(2).all(|pair| pair[0] < pair[1]), "{sizes:?}");
    let report = node.verify(&VerifyScope::default()).unwrap();
    assert!(report.ok, "{report:#?}");
    node.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_file_that_grows_only_its_end_is_copied_again() {
    const PIECE: usize = 256 * 1024;
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name);
    let (data, to) = (place("data"), place("to"));
    let node = filled(&data);
    // The audit journal is kept for ever: a long description each.
    let save = |number: usize| {
        let description = format!("{number:04}").repeat(1_000);
        let search = yagura_node::SavedSearch {
            name: format!("s{number}"),
            query: "*".to_owned(),
            description,
            ..Default::default()
        };
        let request = yagura_node::SaveRequest { search, replace: false };
        node.save_search(request, "test").unwrap();
    };
    (0..220).for_each(save);
    let first = backed_up(&node, &request(&to));
    let before = files(&to);
    save(220);
    let second = backed_up(&node, &request(&to));
    let after = files(&to);
    let copied = |state: &Value| state["bytes_copied"].as_u64().unwrap() as usize;
    assert!(copied(&first) > 3 * PIECE && copied(&second) < PIECE + 100_000, "{second:#}");
    let mut new = after.iter().filter(|(name, _)| !before.contains_key(*name));
    assert!(new.all(|(name, bytes)| bytes.len() <= PIECE || name.ends_with("MANIFEST")));
    let manifest = String::from_utf8(after[Path::new("MANIFEST")].clone()).unwrap();
    let pieces: Vec<&str> =
        manifest.lines().filter_map(|line| line.strip_prefix("piece ")).collect();
    assert!(manifest.starts_with("yagura-backup v2\n") && pieces.len() >= 4, "{manifest}");
    drop(node);

    let back = place("back");
    restored(&to, &back);
    let segments = |dir: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = files(dir);
        all.retain(|name, _| name.starts_with("audit"));
        all
    };
    let (was, is) = (segments(&data), segments(&back));
    assert!(is.values().any(|bytes| bytes.len() > 3 * PIECE));
    for (name, bytes) in &is {
        assert!(was[name].starts_with(bytes), "{}", name.display());
    }
    // A piece that is damaged, another's, or gone, is named by its file.
    let piece = &pieces[1][..64];
    let content = to.join("files").join(&piece[..2]).join(piece);
    let sound = std::fs::read(&content).unwrap();
    let mut damaged = sound.clone();
    damaged[100] ^= 1;
    for wrong in [Some(&damaged[..]), Some(&sound[1..]), None] {
        match wrong {
            Some(bytes) => std::fs::write(&content, bytes).unwrap(),
            None => std::fs::remove_file(&content).unwrap(),
        }
        let refused = restoring(&to, &place("again")).unwrap_err().to_string();
        assert!(refused.contains("audit/") && refused.contains("1 files"), "{refused}");
    }
    std::fs::write(&content, &sound).unwrap();
    restored(&to, &place("again"));
}
