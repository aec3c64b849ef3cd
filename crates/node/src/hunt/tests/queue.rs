//! New indicators and their hunt are recorded together, and the hunt comes whatever stands before it.

use super::*;

/// In place of the hunter's own queue: nobody works at it.
fn idle_queue(hunter: &Hunter, places: usize) -> Receiver<Job> {
    let (jobs, waiting) = bounded(places);
    *hunter.jobs.lock().unwrap() = Some(jobs);
    waiting
}

fn in_use(node: &Node) -> Value {
    node.hunter().indicators(&IndicatorQuery::default())["in_use"].clone()
}

fn request() -> HuntRequest {
    HuntRequest { indicators: vec![list("x", "203.0.113.9")], ..HuntRequest::default() }
}

/// Adds the indicator of [`FAILED`], which must be new, and waits for its hunt.
fn assert_taken_and_hunted(node: &Node) {
    let answer = node.hunter().add_indicators(indicators("203.0.113.9"), "ann").unwrap();
    let hunt = ended(node, &answer["lists"][0]["hunt.id"]);
    assert_eq!((&hunt["hunt.state"], &hunt["hunt.matches_total"]), (&json!("done"), &json!(1)));
    assert_eq!(in_use(node), 1);
}

#[test]
fn a_list_whose_hunt_cannot_be_recorded_is_not_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    append(&node, &[FAILED]);
    // A file where the directory should be.
    let hunts = dir.path().join("hunts");
    std::fs::write(&hunts, "").unwrap();
    node.hunter().add_indicators(indicators("203.0.113.9"), "ann").unwrap_err();
    assert_eq!(in_use(&node), 0);
    std::fs::remove_file(&hunts).unwrap();
    assert_taken_and_hunted(&node);
    node.close().unwrap();
}

#[test]
fn a_list_that_comes_as_the_process_stops_is_new_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    append(&node, &[FAILED]);
    node.hunter().close();
    node.hunter().add_indicators(indicators("203.0.113.9"), "ann").unwrap_err();
    node.close().unwrap();
    drop(node);
    let node = open(dir.path(), None);
    assert_eq!(in_use(&node), 0);
    assert_taken_and_hunted(&node);
    node.close().unwrap();
}

#[test]
fn a_list_that_is_in_use_is_hunted_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    append(&node, &[FAILED]);
    let _waiting = idle_queue(node.hunter(), 1);
    // The second finds no room.
    node.hunter().add_indicators(indicators("203.0.113.9"), "ann").unwrap();
    node.hunter().add_indicators(indicators("198.51.100.7"), "ann").unwrap();
    node.close().unwrap();
    drop(node);
    let node = open(dir.path(), None);
    assert_eq!(in_use(&node), 2);
    node.hunter().restart_interrupted();
    let matches = |id| ended(&node, &json!(id))["hunt.matches_total"].clone();
    assert_eq!((matches("H-1"), matches("H-2")), (json!(1), json!(0)));
    node.close().unwrap();
}

#[test]
fn new_indicators_are_hunted_once_a_full_queue_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    append(&node, &[FAILED]);
    let hunter = node.hunter();
    let shared = hunter.shared.clone();
    let waiting = idle_queue(hunter, 1);
    hunter.start(&request(), "ann").unwrap();
    let error = hunter.start(&request(), "ann").unwrap_err().to_string();
    assert!(error.starts_with("1 hunts are waiting"), "{error}");

    let add = |text: &str| hunter.add_indicators(indicators(text), "ann");
    // Those with the numbers from 100 on have been given up.
    shared.late().extend(100..98 + limits::HUNTS_LATE_MAX as u64);
    assert_eq!(add("203.0.113.9").unwrap()["lists"][0]["hunt.id"], "H-000002");
    assert_eq!(add("198.51.100.7").unwrap()["lists"][0]["hunt.id"], "H-000003");
    add("198.51.100.8").unwrap_err();
    assert_eq!(in_use(&node), 2, "what cannot be hunted is not in use");
    assert_eq!(hunter.show("H-2", 0, 0).unwrap()["hunt.state"], "waiting");
    hunter.cancel("H-3", "ann").unwrap();

    let normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
    let working = shared.clone();
    let worker = std::thread::spawn(move || work(&working, &normalizer, &waiting));
    let end = |id| {
        let hunt = ended(&node, &json!(id));
        (hunt["hunt.state"].clone(), hunt["hunt.matches_total"].clone())
    };
    assert_eq!(end("H-1"), (json!("done"), json!(1)));
    assert_eq!(end("H-2"), (json!("done"), json!(1)));
    assert_eq!(end("H-3"), (json!("cancelled"), json!(0)));
    node.close().unwrap();
    worker.join().unwrap();
    assert!(shared.late().is_empty());
}
