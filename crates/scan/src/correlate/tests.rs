#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::limits::CORRELATION_STATE_BYTES;
use yagura_detect::{LogSources, NoticeKind, RuleFile};
use yagura_normalize::Normalizer;

const RULES: &str = "\
title: Failed
id: failed
logsource: {product: linux, service: auth}
detection: {s: ['Failed password'], condition: s}
---
title: Many failed
id: many
correlation:
  type: event_count
  rules: [failed]
  group-by: [source.ip]
  timespan: 1m
  condition: {gte: 2}
";

const SECOND: i64 = 1_000_000;

/// One event: when, from which address, on which host.
type Given = (i64, String, Option<&'static str>);

fn given(second: i64, address: usize) -> Given {
    (second, format!("192.0.2.{address}"), None)
}

/// What correlations find in `events`, and what they had to leave out.
fn count(events: &[Given], memory: usize, state_bytes_max: usize) -> (Vec<Finding>, Vec<Notice>) {
    let sources = include_str!("../../../../content/logsources.toml");
    let sources = LogSources::from_toml(sources).unwrap();
    let file = RuleFile { path: "rule.yml".to_owned(), text: RULES.to_owned() };
    let dictionary = Normalizer::embedded_dictionary();
    let (ruleset, report) = Ruleset::compile(&[file], dictionary.clone(), &sources);
    assert!(report.refused.is_empty(), "{:?}", report.refused);
    let ruleset = Arc::new(ruleset);
    let rules: Vec<_> = ruleset.rules().chain(ruleset.correlations()).cloned().collect();
    let mut hits = Store::new(memory, None);
    for (place, (second, address, host)) in (0..).zip(events) {
        let cells = [Some(("source.ip", address.as_str())), host.map(|host| ("host.name", host))];
        let cells = cells.into_iter().flatten();
        let cells = cells.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let hit = Hit { dataset: "linux.auth".into(), file: 0, place, cells };
        let key = Key { time: second * SECOND, unit: place, index: 0, rule: 0 };
        hits.push(key, serde_json::to_vec(&hit).unwrap().into()).unwrap();
    }
    let counting = Counting {
        ruleset: &ruleset,
        rules: &rules,
        files: &[FileSummary::new("auth.log")],
        lang: Lang::En,
        min_level: Level::Informational,
        dictionary: &dictionary,
        state_bytes_max,
    };
    let mut found = Vec::new();
    let mut keep = |(_, _, finding)| {
        found.push(finding);
        Ok(())
    };
    let news = Store::new(memory, None);
    let notices = counting.run(&mut hits.finish(), news, &mut keep).unwrap();
    (found, notices)
}

/// However many alerts there are, and however little memory: each is one finding, with its last news.
#[test]
fn an_alert_is_one_finding_however_many_others_come_in_between() {
    const ALERTS: usize = 4_200;
    let mut events: Vec<Given> = vec![given(0, 0), given(1, 0)];
    for address in 1..ALERTS {
        events.extend([given(20, address), given(21, address)]);
    }
    // The first goes on after all others were raised.
    events.extend((0..20).map(|number| given(50 + number * 50, 0)));
    for memory in [10_000, 100_000_000] {
        let (found, notices) = count(&events, memory, CORRELATION_STATE_BYTES);
        assert_eq!((found.len(), notices.len()), (ALERTS, 0));
        let first = found.iter().find(|finding| finding.text("source.ip") == "192.0.2.0").unwrap();
        assert_eq!(first.get("event.count").unwrap(), 22);
        assert_eq!(first.text("event.id"), "auth.log#line=8419");
    }
}

#[test]
fn an_alert_names_the_host_of_the_event_that_made_it() {
    let on = |second: i64, host: Option<&'static str>| (second, "192.0.2.1".to_owned(), host);
    let events = [on(0, None), on(1, Some("web01")), on(500, Some("web02")), on(501, None)];
    let (found, _) = count(&events, 1_000, CORRELATION_STATE_BYTES);
    let hosts: Vec<_> = found.iter().map(|finding| finding.get("host.name").unwrap()).collect();
    assert_eq!(hosts, [&serde_json::json!("web01"), &serde_json::Value::Null]);
}

#[test]
fn hits_are_counted_together_up_to_each_limit() {
    let taken = |times: &mut dyn Iterator<Item = i64>, bytes: usize| {
        let mut together = Together::default();
        times.take_while(|time| together.takes(*time, bytes)).count()
    };
    assert_eq!(taken(&mut std::iter::repeat(0), 1), CORRELATED_ROWS_MAX);
    assert_eq!(taken(&mut std::iter::repeat(0), CORRELATED_BYTES_MAX / 8), 8);
    assert_eq!(taken(&mut std::iter::repeat(0), CORRELATED_BYTES_MAX / 8 + 1), 7);
    assert_eq!(taken(&mut [0, HITS_TOGETHER_MICROS].into_iter(), 1), 2);
    assert_eq!(taken(&mut [0, HITS_TOGETHER_MICROS + 1].into_iter(), 1), 1);
    // One larger than all may be is counted alone.
    let mut together = Together::default();
    let large = [CORRELATED_BYTES_MAX + 1; 2].map(|bytes| together.takes(0, bytes));
    assert_eq!(large, [true, false]);
}

#[test]
fn what_finds_no_room_is_said() {
    let events: Vec<Given> = (0..200).map(|address| given(0, address)).collect();
    let room = |bytes: usize| {
        let (_, notices) = count(&events, 1_000_000, bytes);
        notices.iter().filter(|notice| notice.kind == NoticeKind::StateFull).count()
    };
    assert_eq!(room(CORRELATION_STATE_BYTES), 0);
    let (mut enough, mut little) = (200_000_usize, 0_usize);
    while enough - little > 1 {
        let middle = little.midpoint(enough);
        if room(middle) == 0 { enough = middle } else { little = middle }
    }
    assert_eq!((room(enough), room(enough - 1)), (0, 1));
}
