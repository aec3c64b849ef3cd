//! A hunt that is stopped says nothing about what it has not seen.

use super::*;
use std::thread::ThreadId;

/// The machine's clock; it stops a hunt when a thread has asked it so many times for the present.
#[derive(Default)]
struct StoppingClock(Mutex<Option<(ThreadId, u32, Arc<Progress>)>>);

impl Clock for StoppingClock {
    fn now(&self) -> UtcMicros {
        if let Some((thread, left, progress)) = self.0.lock().unwrap().as_mut()
            && *thread == std::thread::current().id()
        {
            *left = left.saturating_sub(1);
            progress.stop.store(*left == 0, Ordering::Relaxed);
        }
        SystemClock.now()
    }
}

const GUESSING: &str = "
title: Failed password
name: failed
logsource: { product: linux, service: sshd }
detection:
  keywords: ['Failed password']
  condition: keywords
---
title: Guessing
id: guessing
correlation:
  type: event_count
  rules: [failed]
  group-by: [source.ip]
  timespan: 5m
  condition: { gte: 2 }
level: high
";

#[test]
fn a_stopped_hunt_raises_no_alert_from_a_part_of_what_it_counts() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(StoppingClock::default());
    let options = NodeOptions { builtin_rules: false, ..NodeOptions::default() };
    let node = open_as(dir.path(), options, clock.clone());
    stored(&node, &[FAILED, FAILED], &[FAILED]);
    let rules = vec![list("guessing.yml", GUESSING)];
    let request = HuntRequest { rules, raise: true, ..HuntRequest::default() };
    let plan = node.hunter().plan(&request).unwrap();
    let normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
    let run = |progress: &Progress| {
        Runner::new(&node.hunter().shared, &normalizer, HuntId(1), &plan, progress).run()
    };

    // At the second of two parts: the first holds enough for an alert.
    let progress = Arc::new(Progress::default());
    *clock.0.lock().unwrap() = Some((std::thread::current().id(), 2, progress.clone()));
    let finished = run(&progress);
    *clock.0.lock().unwrap() = None;
    assert_eq!((finished.outcome, finished.events), (Outcome::Cancelled, 2));
    assert_eq!((finished.matches, finished.alerts), (0, 0));
    assert!(alerted(&node).is_empty());

    let finished = run(&Progress::default());
    assert_eq!((finished.outcome, finished.events, finished.matches), (Outcome::Done, 3, 1));
    assert_eq!(alerted(&node).len(), 3, "one alert of three events");
    node.close().unwrap();
}
