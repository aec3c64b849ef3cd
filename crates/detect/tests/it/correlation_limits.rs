//! State is bounded: at a limit and one past it.

use crate::correlating;
use correlating::{Event, Run, compile, correlation, event, lines, rule, ruleset};
use yagura_detect::limits::{
    CORRELATION_CHAIN_MAX, CORRELATION_EPISODES_MAX, CORRELATION_EVENT_IDS_MAX,
    CORRELATION_FIELDS_MAX, CORRELATION_FUTURE_MICROS_MAX, CORRELATION_HITS_MAX,
    CORRELATION_NOTICES_MAX, CORRELATION_RULES_MAX, CORRELATION_SORTED_HITS_MAX,
    CORRELATION_STREAMS_MAX, CORRELATION_VALUES_SHOWN_MAX, CORRELATIONS_MAX,
};
use yagura_detect::{CorrelatorOptions, NoticeKind};

const COUNT: &str = "timespan: 5m\ncondition: {gte: 2}";

fn failed(time: f64, user: &str) -> Event {
    event(time, &[("kind", "fail"), ("user.name", user)])
}

#[test]
fn a_full_state_refuses_and_says_so_and_has_room_again_when_groups_expire() {
    let more = "group-by: [user.name]\ntimespan: 5m\ncondition: {gte: 2}";
    let rules = ruleset(&[rule("fail"), correlation("many", "event_count", "fail", more)]);
    let bytes_of = |groups: usize| {
        let mut run = Run::new(&rules, CorrelatorOptions::default());
        let events: Vec<Event> = (0..groups).map(|n| failed(0.0, &format!("u{n:04}"))).collect();
        run.observe(&events);
        run.correlator.stats().bytes as usize
    };
    let options = CorrelatorOptions { state_bytes_max: bytes_of(100), ..Default::default() };
    let mut run = Run::new(&rules, options);
    let events: Vec<Event> = (0..100).map(|n| failed(0.0, &format!("u{n:04}"))).collect();
    run.observe(&events);
    assert_eq!((run.correlator.stats().groups, run.correlator.stats().refused), (100, 0));
    assert!(run.correlator.take_notices().is_empty());
    // One more, and one more event of a group that is there.
    assert!(run.observe(&[failed(1.0, "u9999"), failed(1.0, "u0000")]).is_empty());
    assert_eq!((run.correlator.stats().groups, run.correlator.stats().refused), (100, 2));
    let notices = run.correlator.take_notices();
    assert_eq!((notices[0].kind, notices[0].count), (NoticeKind::StateFull, 2));
    // Their windows and the allowance are past: there is room again.
    let found = run.observe(&[failed(902.0, "v"), failed(903.0, "v")]);
    assert_eq!(lines(&found), ["many raised [user.name=v] 902..903 events 2 value 2"]);
    assert_eq!(run.correlator.stats().groups, 1);
}

#[test]
fn one_correlation_does_not_take_the_room_of_another() {
    let more = |field: &str| format!("group-by: [{field}]\ntimespan: 5m\ncondition: {{gte: 2}}");
    let rules = ruleset(&[
        rule("fail"),
        correlation("wild", "event_count", "fail", &more("n")),
        correlation("calm", "event_count", "fail", &more("user.name")),
    ]);
    let options = CorrelatorOptions { state_bytes_max: 100_000, ..Default::default() };
    let mut run = Run::new(&rules, options);
    let wild: Vec<Event> =
        (0..1_000).map(|n| event(0.0, &[("kind", "fail"), ("n", &n.to_string())])).collect();
    run.observe(&wild);
    let stats = run.correlator.stats();
    assert!(stats.refused > 0 && stats.bytes <= 50_000, "{stats:?}");
    assert_eq!(run.observe(&[failed(1.0, "a"), failed(2.0, "a")]).len(), 1);
}

#[test]
fn a_group_lets_go_of_its_oldest_events_and_says_so() {
    let more = "group-by: [user.name]\ntimespan: 5m\ncondition: {field: n, gte: 1000000}";
    for (kind, most) in
        [("value_percentile", CORRELATION_SORTED_HITS_MAX), ("value_sum", CORRELATION_HITS_MAX)]
    {
        let rules = ruleset(&[rule("fail"), correlation("sum", kind, "fail", more)]);
        let mut run = Run::new(&rules, CorrelatorOptions::default());
        let batch = |count: usize| -> Vec<Event> {
            let fields = [("kind", "fail"), ("user.name", "a"), ("n", "1")];
            (0..count).map(|_| event(0.0, &fields)).collect()
        };
        run.observe(&batch(most));
        assert_eq!(run.correlator.stats().let_go, 0);
        run.observe(&batch(1));
        let gone = most / 4 + 1;
        assert_eq!(run.correlator.stats().let_go, gone as u64);
        let notices = run.correlator.take_notices();
        assert_eq!((notices[0].kind, notices[0].count), (NoticeKind::GroupFull, gone as u64));
        assert_eq!(notices[0].example, "a");
    }
}

#[test]
fn no_alert_is_lost_when_a_group_has_more_of_them_than_it_remembers() {
    let rules = ruleset(&[rule("fail"), correlation("many", "event_count", "fail", COUNT)]);
    // Each two events within a second, an hour apart.
    let alerts = |count: usize, at_once: bool| {
        let mut run = Run::new(&rules, CorrelatorOptions::for_files());
        let hour =
            |n: usize| [failed(3_600.0 * n as f64, "a"), failed(3_600.0 * n as f64 + 1.0, "a")];
        let events: Vec<Event> = (0..count).flat_map(hour).collect();
        let raised = match at_once {
            true => run.observe(&events).len(),
            false => events.chunks(2).map(|two| run.observe(two).len()).sum(),
        };
        (raised, run.correlator.take_notices())
    };
    let most = CORRELATION_EPISODES_MAX;
    for at_once in [true, false] {
        let (raised, notices) = alerts(most, at_once);
        assert_eq!((raised, notices.len()), (most, 0));
        let (raised, notices) = alerts(most + 1, at_once);
        assert_eq!(raised, most + 1, "at once: {at_once}");
        assert_eq!((notices[0].kind, notices[0].count), (NoticeKind::Forgotten, 1));
    }
}

#[test]
fn positions_of_streams_are_bounded_and_the_newest_stay() {
    let rules = ruleset(&[rule("fail"), correlation("many", "event_count", "fail", COUNT)]);
    let mut correlator = Run::new(&rules, CorrelatorOptions::default()).correlator;
    let most = CORRELATION_STREAMS_MAX;
    (0..most).for_each(|n| correlator.pass(&format!("s{n}"), n as u64, 1));
    assert_eq!(correlator.positions().count(), most);
    assert!(correlator.take_notices().is_empty());
    correlator.pass("one more", most as u64, 1);
    let notices = correlator.take_notices();
    let gone = (most + 1 - correlator.positions().count()) as u64;
    assert_eq!((notices[0].kind, notices[0].count), (NoticeKind::Forgotten, gone));
    assert_eq!(notices[0].example, "one more");
    let left: Vec<(&str, (u64, u32))> = correlator.positions().collect();
    assert!(left.len() <= most / 2 + 1, "{}", left.len());
    let newest = format!("s{}", most - 1);
    assert!(left.iter().any(|(stream, _)| *stream == newest));
    assert!(left.contains(&("one more", (most as u64, 1))));
}

#[test]
fn notices_are_bounded_and_what_they_speak_of_is_still_counted() {
    const { assert!(CORRELATION_NOTICES_MAX == CORRELATIONS_MAX) };
    let more = "timespan: 5m\ncondition: {field: n, gte: 1000000}";
    let one = |n: usize| correlation(&format!("c{n}"), "value_sum", "fail", more);
    let mut documents = vec![rule("fail")];
    documents.extend((0..CORRELATIONS_MAX).map(one));
    let mut run = Run::new(&ruleset(&documents), CorrelatorOptions::default());
    let with = |time: f64, n: &str| event(time, &[("kind", "fail"), ("n", n)]);
    run.observe(&[with(10_000.0, "1"), with(10_000.0, "none")]);
    // A second kind of notice is one too many for each of them.
    run.observe(&[with(0.0, "1")]);
    let stats = run.correlator.stats();
    assert_eq!(stats.late, CORRELATIONS_MAX as u64);
    let notices = run.correlator.take_notices();
    assert_eq!(notices.len(), CORRELATION_NOTICES_MAX);
    assert!(notices.iter().all(|notice| notice.kind == NoticeKind::NotANumber));
}

#[test]
fn a_clock_is_believed_so_far_ahead_and_no_further() {
    let rules = ruleset(&[rule("fail"), correlation("many", "event_count", "fail", COUNT)]);
    let ahead = CORRELATION_FUTURE_MICROS_MAX as f64 / 1e6;
    for (time, from_the_future) in [(ahead, 0), (ahead + 0.000_001, 1)] {
        let mut run = Run::new(&rules, CorrelatorOptions::default());
        let mut early = failed(time, "a");
        early.received = Some(0.0);
        run.observe(&[early]);
        assert_eq!(run.correlator.stats().from_the_future, from_the_future);
    }
}

#[test]
fn what_a_match_names_is_bounded() {
    let more = "group-by: [source.ip]\ntimespan: 5m\ncondition: {field: user.name, gte: 3}";
    let rules = ruleset(&[rule("fail"), correlation("spray", "value_count", "fail", more)]);
    let named = |count: usize| {
        let mut run = Run::new(&rules, CorrelatorOptions::default());
        let events: Vec<Event> = (0..count)
            .map(|n| {
                let user = format!("u{n}");
                event(0.0, &[("kind", "fail"), ("source.ip", "::1"), ("user.name", &user)])
            })
            .collect();
        let found = run.observe(&events);
        let ids: Vec<u32> = found[0].event_ids.iter().map(|id| id.index).collect();
        (ids, found[0].values.len(), found[0].events)
    };
    let most = CORRELATION_EVENT_IDS_MAX;
    assert_eq!(named(most).0, (0..most as u32).collect::<Vec<_>>());
    let (ids, values, events) = named(most + 1);
    let half = most as u32 / 2;
    assert_eq!(ids, (0..half).chain(half + 1..=most as u32).collect::<Vec<_>>());
    assert_eq!((values, events), (CORRELATION_VALUES_SHOWN_MAX, most as u64 + 1));
    assert_eq!(named(CORRELATION_VALUES_SHOWN_MAX - 1).1, CORRELATION_VALUES_SHOWN_MAX - 1);
}

#[test]
fn documents_are_bounded() {
    let refused = |text: String, rules: usize| {
        let all: Vec<String> = (0..rules).map(|n| rule(&format!("r{n}"))).collect();
        compile(&[("r.yml", all.join("---\n")), ("x.yml", text)]).1
    };
    let over = |rules: usize| {
        let names: Vec<String> = (0..rules).map(|n| format!("r{n}")).collect();
        refused(correlation("x", "event_count", &names.join(", "), COUNT), rules)
    };
    assert!(over(CORRELATION_RULES_MAX).is_empty());
    assert!(over(CORRELATION_RULES_MAX + 1)[0].contains("rules: more than"));
    let grouped = |fields: usize| {
        let names: Vec<String> = (0..fields).map(|n| format!("f{n}")).collect();
        let more = format!("group-by: [{}]\n{COUNT}", names.join(", "));
        refused(correlation("x", "event_count", "r0", &more), 1)
    };
    assert!(grouped(CORRELATION_FIELDS_MAX).is_empty());
    assert!(grouped(CORRELATION_FIELDS_MAX + 1)[0].contains("group-by: more than"));
    let counted = |fields: usize| {
        let names: Vec<String> = (0..fields).map(|n| format!("f{n}")).collect();
        let more = format!("timespan: 5m\ncondition: {{field: [{}], gte: 2}}", names.join(", "));
        refused(correlation("x", "value_count", "r0", &more), 1)
    };
    assert!(counted(CORRELATION_FIELDS_MAX).is_empty());
    assert!(counted(CORRELATION_FIELDS_MAX + 1)[0].contains("more than"));
    let many = |count: usize| {
        let one = |n: usize| correlation(&format!("c{n}"), "event_count", "r0", COUNT);
        refused((0..count).map(one).collect::<Vec<_>>().join("---\n"), 1)
    };
    assert!(many(CORRELATIONS_MAX).is_empty());
    assert_eq!(many(CORRELATIONS_MAX + 1).len(), 1);
    const { assert!(CORRELATION_CHAIN_MAX < CORRELATIONS_MAX) };
}
