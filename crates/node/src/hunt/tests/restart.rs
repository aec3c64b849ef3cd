//! Hunts that the process did not survive.

use super::*;

/// Records a hunt as begun and one match of it, as a process leaves it that dies in the midst.
fn died_in_the_midst(node: &Node, request: &HuntRequest) -> HuntId {
    let shared = &node.hunter().shared;
    let plan = node.hunter().plan(request).unwrap();
    let id = HuntId(shared.fold().last + 1);
    shared.kept.write(id, &Asked::request(request, &plan)).unwrap();
    let hit = Hit {
        at: node.clock().now(),
        event_id: "syslog/1/0".into(),
        dataset: "linux.auth".into(),
        host: None,
        rule: "found-before".into(),
        field: None,
        value: None,
        sentence_ja: "".into(),
        sentence_en: "".into(),
    };
    let started = Started {
        at: node.clock().now(),
        id,
        who: "ann".to_owned(),
        hypothesis: request.hypothesis.clone(),
        automatic: false,
        sources: plan.quarry.sources_named(),
        sources_total: plan.quarry.sources_total(),
        digest: plan.quarry.digest.clone(),
        rules: 0,
        indicators: plan.quarry.indicators(),
        refused: 0,
        from: plan.from,
        to: plan.to,
        raise: plan.raise,
        events_estimated: 0,
        bytes_estimated: 0,
    };
    let matched = record::Matched { id, hits: vec![hit] };
    shared.record(vec![Entry::Started(Box::new(started)), Entry::Matched(matched)]).unwrap();
    id
}

fn request(text: &str) -> HuntRequest {
    HuntRequest {
        indicators: vec![list("x", text)],
        hypothesis: "who was here?".to_owned(),
        ..HuntRequest::default()
    }
}

fn kept(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("hunts")).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn assert_verified(dir: &Path) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let report = verify_dir(&DataDir::new(dir), &VerifyScope::default(), &clock).unwrap();
    assert!(report.ok, "{:?}", report.findings);
}

#[test]
fn a_hunt_that_was_killed_starts_again_and_counts_each_match_once() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    append(&node, &[FAILED, ELSEWHERE, FAILED]);
    // The span is that of the day it was asked.
    let asked = HuntRequest { last: Some("36500d".to_owned()), ..request("203.0.113.9") };
    let id = died_in_the_midst(&node, &asked);
    node.close().unwrap();
    drop(node);
    assert_verified(dir.path());

    let node = open(dir.path(), None);
    let before = node.hunter().show(&id.to_string(), 0, 10).unwrap();
    assert_eq!(
        (&before["hunt.state"], &before["hunt.matches_total"]),
        (&json!("interrupted"), &json!(1))
    );
    node.hunter().restart_interrupted();
    let hunt = ended(&node, &json!(id));
    assert_eq!(
        (&hunt["hunt.state"], &hunt["hunt.matches_total"]),
        (&json!("done"), &json!(2)),
        "{hunt}"
    );
    assert_eq!(hunt["hunt.matches"].as_array().unwrap().len(), 2, "{hunt}");
    assert_eq!(hunt["hunt.hypothesis"], "who was here?");
    assert_eq!((&hunt["hunt.restarts"], &hunt["hunt.from"]), (&json!(1), &before["hunt.from"]));
    assert!(node.hunter().restart("H-1", "ann").is_err(), "it has ended");
    node.close().unwrap();
    drop(node);
    assert_eq!(kept(dir.path()), ["000001.json"], "the question stays beside the answer");
    assert_verified(dir.path());

    // The records alone lead to the same.
    let node = open(dir.path(), None);
    node.hunter().restart_interrupted();
    assert_eq!(node.hunter().show("H-1", 0, 10).unwrap(), hunt);
    let asked = node.hunter().query("h-1").unwrap();
    assert_eq!(asked["hunt.query"]["request"]["indicators"][0]["text"], "203.0.113.9");
    assert_eq!(asked["hunt.query"]["from"], hunt["hunt.from"]);
    assert!(matches!(node.hunter().query("H-2"), Err(NodeError::NotFound { .. })));
    node.close().unwrap();
    drop(node);

    // A changed question is none.
    let path = dir.path().join("hunts/000001.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("203.0.113.9", "203.0.113.8")).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let report = verify_dir(&DataDir::new(dir.path()), &VerifyScope::default(), &clock).unwrap();
    assert_eq!(report.findings[0].place, "hunts/000001.json");
    let node = open(dir.path(), None);
    assert!(node.hunter().query("H-1").unwrap_err().to_string().contains("SHA-256"));
    node.close().unwrap();
}

#[test]
fn new_indicators_are_hunted_to_the_end_whatever_interrupts_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    append(&node, &[FAILED]);
    let fresh = vec![Arc::new(
        yagura_hunt::read(b"203.0.113.9", &ReadOptions::default()).unwrap().indicators.remove(0),
    )];
    let source = SourceCopy { name: "list.txt".to_owned(), sha256: "00".to_owned() };
    let asked = Asked::fresh(&fresh, source.clone(), true);
    // The end of the process stops it before its turn.
    let quarry = Quarry::of_indicators(fresh.clone(), vec![source]).unwrap();
    let plan = Plan { quarry, from: None, to: None, raise: true };
    let shared = node.hunter().shared.clone();
    let id = died_in_the_midst(&node, &request("203.0.113.9"));
    shared.kept.write(id, &asked).unwrap();
    let progress = Arc::new(Progress::default());
    progress.stop.store(true, Ordering::Relaxed);
    let (jobs, waiting) = bounded(1);
    jobs.send(Job { id, plan: Some(plan), progress }).unwrap();
    drop(jobs);
    work(&shared, &Normalizer::new(Normalizer::embedded_dictionary()).unwrap(), &waiting);
    assert_eq!(node.hunter().show("H-1", 0, 0).unwrap()["hunt.state"], "interrupted");
    drop(shared);
    node.close().unwrap();
    drop(node);

    let node = open(dir.path(), None);
    node.hunter().restart_interrupted();
    let hunt = ended(&node, &json!(id));
    assert_eq!((&hunt["hunt.state"], &hunt["hunt.matches_total"]), (&json!("done"), &json!(1)));
    assert_eq!(ids(&hunt), alerted(&node), "and the matches become alerts");
    node.close().unwrap();
}

#[test]
fn what_is_interrupted_time_and_again_waits_for_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    append(&node, &[FAILED]);
    let id = died_in_the_midst(&node, &request("203.0.113.9"));
    let shared = node.hunter().shared.clone();
    let restarted = || {
        Entry::Restarted(Box::new(record::Restarted {
            at: node.clock().now(),
            id,
            who: "yagura".to_owned(),
            digest: String::new(),
            rules: 0,
            indicators: 1,
            refused: 0,
            events_estimated: 0,
            bytes_estimated: 0,
        }))
    };
    for _ in 0..limits::RESTARTS_MAX - 1 {
        shared.record(vec![restarted()]).unwrap();
    }
    assert_eq!(shared.fold().hunts[&1].restarts, limits::RESTARTS_MAX - 1);
    shared.record(vec![restarted()]).unwrap();
    node.hunter().restart_interrupted();
    let state = |id: &str| node.hunter().show(id, 0, 0).unwrap()["hunt.state"].clone();
    assert_eq!(state("H-1"), "interrupted", "{} times", limits::RESTARTS_MAX);
    node.hunter().restart("h-1", "ann").unwrap();
    assert_eq!(ended(&node, &json!(id))["hunt.state"], "done");

    // One fewer, and it starts again by itself; a person can give it up instead.
    let second = died_in_the_midst(&node, &request("203.0.113.9"));
    let third = died_in_the_midst(&node, &request("203.0.113.9"));
    node.hunter().cancel(&third.to_string(), "ann").unwrap();
    assert_eq!(state("H-3"), "cancelled");
    assert!(node.hunter().cancel("H-3", "ann").is_err(), "it has ended");
    node.hunter().restart_interrupted();
    assert_eq!(ended(&node, &json!(second))["hunt.state"], "done");
    assert_eq!(state("H-3"), "cancelled");
    drop(shared);
    node.close().unwrap();
    assert_eq!(kept(dir.path()), ["000001.json", "000002.json", "000003.json"]);
}

#[test]
fn a_question_goes_when_its_hunt_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    let asked = request("203.0.113.9");
    died_in_the_midst(&node, &asked);
    died_in_the_midst(&node, &asked);
    let shared = &node.hunter().shared;
    shared.fold().last = limits::HUNTS_MAX as u64 - 1;
    ended(&node, &node.hunter().start(&asked, "ann").unwrap()["hunt.id"]);
    assert_eq!(kept(dir.path()), ["000001.json", "000002.json", "010000.json"]);
    ended(&node, &node.hunter().start(&asked, "ann").unwrap()["hunt.id"]);
    assert_eq!(kept(dir.path()), ["000002.json", "010000.json", "010001.json"]);
    node.close().unwrap();
    drop(node);
    assert_verified(dir.path());
}

#[test]
fn what_a_crash_left_of_a_request_is_put_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join("hunts").join(name);
    let node = open(dir.path(), None);
    append(&node, &[FAILED]);
    // One whose hunt ended; one that waits; a request whose hunt was never recorded.
    let hunter = node.hunter();
    let asked = request("203.0.113.9");
    let plan = hunter.plan(&asked).unwrap();
    died_in_the_midst(&node, &asked);
    died_in_the_midst(&node, &asked);
    hunter.shared.kept.write(HuntId(3), &Asked::request(&asked, &plan)).unwrap();
    let ended_hunt = Finished::empty(HuntId(1), Outcome::Done);
    hunter.shared.record(vec![Entry::Finished(Box::new(ended_hunt))]).unwrap();
    node.close().unwrap();
    drop(node);
    assert_verified(dir.path());
    // Between the rename and the record of the removal; and half a file that was never recorded.
    std::fs::rename(path("000001.json"), path("000001.json.new")).unwrap();
    std::fs::write(path("000004.json.new"), "half").unwrap();
    assert_verified(dir.path());
    assert_eq!(kept(dir.path()), ["000001.json", "000002.json", "000003.json"]);
    let node = open(dir.path(), None);
    assert_eq!(kept(dir.path()), ["000001.json", "000002.json"]);
    node.close().unwrap();
    drop(node);
    assert_verified(dir.path());

    // What was changed is named, and not hunted for; what nobody recorded is not touched.
    let text = std::fs::read_to_string(path("000002.json")).unwrap();
    std::fs::write(path("000002.json"), text.replace("203.0.113.9", "203.0.113.8")).unwrap();
    std::fs::write(path("000009.json"), "{}").unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data = DataDir::new(dir.path());
    let report = verify_dir(&data, &VerifyScope::default(), &clock).unwrap();
    let places: Vec<&str> = report.findings.iter().map(|finding| &*finding.place).collect();
    assert_eq!(places, ["hunts/000002.json", "hunts/000009.json"]);
    let node = open(dir.path(), None);
    node.hunter().restart_interrupted();
    assert_eq!(node.hunter().show("H-2", 0, 0).unwrap()["hunt.state"], "interrupted");
    let error = node.hunter().restart("H-2", "ann").unwrap_err().to_string();
    assert!(error.contains("H-000002") && error.contains("changed"), "{error}");
    assert!(!error.contains("embedded"), "{error}");
    assert_eq!(kept(dir.path()), ["000001.json", "000002.json", "000009.json"]);
    node.close().unwrap();
}

#[test]
fn a_cancelled_hunt_that_was_killed_before_its_end_stays_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    append(&node, &[FAILED]);
    let id = died_in_the_midst(&node, &request("203.0.113.9"));
    let asked = json!({
        "event.action": "hunt.cancel_requested", "@timestamp": node.clock().now(),
        "hunt.id": id, "user.name": "ann",
    });
    node.hunter().shared.audit.write(&[asked]).unwrap();
    node.close().unwrap();
    drop(node);

    for _ in 0..2 {
        let node = open(dir.path(), None);
        node.hunter().restart_interrupted();
        let hunt = ended(&node, &json!(id));
        assert_eq!(
            (&hunt["hunt.state"], &hunt["hunt.matches_total"]),
            (&json!("cancelled"), &json!(1)),
            "{hunt}"
        );
        assert!(hunt["hunt.restarts"].is_null());
        assert_eq!(kept(dir.path()), ["000001.json"]);
        node.close().unwrap();
    }
}

#[test]
fn only_a_request_that_is_gone_makes_a_new_hunt_necessary() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    append(&node, &[FAILED]);
    let id = died_in_the_midst(&node, &request("203.0.113.9"));
    let restart = || node.hunter().restart(&id.to_string(), "ann");
    let path = dir.path().join("hunts/000001.json");
    let aside = dir.path().join("aside");
    std::fs::rename(&path, &aside).unwrap();
    match restart().unwrap_err() {
        NodeError::Request { message, message_ja, .. } => {
            assert!(message.contains("is not kept") && message.contains("no such file"));
            assert!(
                message_ja.contains("残っていません")
                    && message_ja.contains("ファイルがありません")
            );
        }
        other => panic!("{other}"),
    }
    // It is there and cannot be read now.
    std::fs::create_dir(&path).unwrap();
    let error = restart().unwrap_err();
    assert!(matches!(error, NodeError::Io { .. }), "{error}");
    std::fs::remove_dir(&path).unwrap();
    std::fs::rename(&aside, &path).unwrap();
    restart().unwrap();
    assert_eq!(ended(&node, &json!(id))["hunt.state"], "done");
    node.close().unwrap();
}

#[test]
fn what_is_asked_for_is_kept_up_to_a_size() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    let request = request("203.0.113.9");
    let plan = node.hunter().plan(&request).unwrap();
    let asked = Asked::request(&request, &plan);
    let bytes = serde_json::to_vec(&asked).unwrap().len() as u64;
    let kept_files = || kept(dir.path());
    let write = |bytes_max| node.hunter().shared.kept.write_within(HuntId(7), &asked, bytes_max);
    let refused = write(bytes - 1).unwrap_err();
    assert!(matches!(refused, NodeError::Request { .. }), "{refused}");
    assert!(refused.words().ja().contains("分けて実行してください"), "{}", refused.words().ja());
    assert!(kept_files().is_empty(), "{:?}", kept_files());
    write(bytes).unwrap();
    assert_eq!(kept_files(), ["000007.json"]);
    node.close().unwrap();
}
