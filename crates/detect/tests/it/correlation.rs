//! What correlations mean: each type, groups, chains, late events, what is refused.

use crate::correlating;
use correlating::{Event, Run, batch, compile, correlation, event, line, lines, rule, ruleset};
use yagura_detect::{CorrelatorOptions, Engine, News, NoticeKind};
use yagura_event::Lang;

const DEFAULT: CorrelatorOptions =
    CorrelatorOptions { allowance_micros: Some(600_000_000), state_bytes_max: 1 << 24 };

fn failed(time: f64, user: &str) -> Event {
    event(time, &[("kind", "fail"), ("user.name", user)])
}

fn brute(condition: &str) -> Vec<String> {
    let more = format!("group-by: [user.name]\ntimespan: 5m\ncondition: {{{condition}}}");
    vec![rule("fail"), correlation("brute", "event_count", "fail", &more)]
}

#[test]
fn events_are_counted_in_windows_that_roll() {
    let mut run = Run::new(&ruleset(&brute("gte: 3")), DEFAULT);
    // Not within one fixed five minutes of the clock, but within five minutes.
    assert!(run.observe(&[failed(200.0, "a"), failed(400.0, "a"), failed(410.0, "b")]).is_empty());
    let found = run.observe(&[failed(500.0, "A")]);
    assert_eq!(lines(&found), ["brute raised [user.name=a] 200..500 events 3 value 3"]);
    assert_eq!(found[0].user.as_deref(), Some("a"));
    let ids: Vec<String> = found[0].event_ids.iter().map(ToString::to_string).collect();
    assert_eq!(ids, ["test/1/0", "test/1/1", "test/1/3"]);
    assert_eq!(found[0].trigger.as_ref().unwrap().to_string(), "test/1/3");
    // Both ends belong to a window: 400 is within five minutes of 700, and 399 would not be.
    let found = run.observe(&[failed(700.0, "a"), failed(1000.1, "a"), failed(1000.1, "a")]);
    assert_eq!(found.len(), 0, "{found:?}");
    assert_eq!(run.correlator.stats().raised, 1);
}

#[test]
fn one_alert_goes_on_while_the_condition_keeps_coming_true() {
    let mut run = Run::new(&ruleset(&brute("gte: 3")), DEFAULT);
    let mut told = Vec::new();
    for second in 0..30 {
        told.extend(lines(&run.observe(&[failed(f64::from(second), "a")])));
    }
    // Much later, the same user: a new alert.
    let burst: Vec<Event> = (0..3).map(|n| failed(2000.0 + f64::from(n), "a")).collect();
    told.extend(lines(&run.observe(&burst)));
    told.extend(lines(&run.correlator.finish()));
    insta::assert_snapshot!(told.join("\n"), @"
    brute raised [user.name=a] 0..2 events 3 value 3
    brute updated [user.name=a] 0..5 events 6 value 6
    brute updated [user.name=a] 0..11 events 12 value 12
    brute updated [user.name=a] 0..23 events 24 value 24
    brute raised [user.name=a] 2000..2002 events 3 value 3
    brute updated [user.name=a] 0..29 events 30 value -
    ");
    assert!(run.correlator.finish().is_empty());
}

/// A burst, then a trickle that lets the burst go: its last words still say what it was.
#[test]
fn the_last_news_of_an_alert_name_its_events() {
    let more = "group-by: [user.name]\ntimespan: 1m\ncondition: {gte: 3}";
    let documents = [rule("fail"), correlation("brute", "event_count", "fail", more)];
    let mut run = Run::new(&ruleset(&documents), DEFAULT);
    let times = (0..5).map(f64::from).chain((1..8).map(|n| f64::from(n) * 300.0));
    let told: Vec<_> = times.flat_map(|time| run.observe(&[failed(time, "a")])).collect();
    insta::assert_snapshot!(lines(&told).join("\n"), @r"
    brute raised [user.name=a] 0..2 events 3 value 3
    brute updated [user.name=a] 0..4 events 5 value -
    ");
    let ids: Vec<String> = told[1].event_ids.iter().map(ToString::to_string).collect();
    assert_eq!(ids, ["test/1/0", "test/1/1", "test/1/2", "test/1/3", "test/1/4"]);
    assert_eq!(told[1].trigger.as_ref().unwrap().to_string(), "test/1/4");
    assert_eq!(told[1].rules[0].1, 5);
    assert!(run.correlator.finish().is_empty());
}

#[test]
fn the_order_of_arrival_does_not_matter_within_the_allowance() {
    let mut run = Run::new(&ruleset(&brute("gte: 3")), DEFAULT);
    assert!(run.observe(&[failed(1000.0, "a")]).is_empty());
    assert!(run.observe(&[failed(401.0, "a")]).is_empty());
    // Ten minutes after the newest and no more.
    assert!(run.observe(&[failed(399.0, "a"), failed(400.0, "a")]).is_empty());
    assert_eq!(run.correlator.stats().late, 1);
    let notices = run.correlator.take_notices();
    assert_eq!((notices[0].kind, notices[0].count), (NoticeKind::Late, 1));
    assert_eq!(notices[0].example, "test/1/2");
    assert!(run.correlator.take_notices().is_empty());
    let found = run.observe(&[failed(500.0, "a")]);
    assert_eq!(lines(&found), ["brute raised [user.name=a] 400..500 events 3 value 3"]);
    // Another user's clock is an hour behind: it is late for nobody but itself.
    let behind: Vec<Event> = (0..3).map(|n| failed(-3000.0 + f64::from(n), "b")).collect();
    assert_eq!(run.observe(&behind).len(), 1);
    // And files read in any order are never late.
    let mut run = Run::new(&ruleset(&brute("gte: 3")), CorrelatorOptions::for_files());
    assert!(run.observe(&[failed(1_000_000.0, "a"), failed(0.0, "a")]).is_empty());
    assert!(run.observe(&[failed(2.0, "a")]).is_empty());
    let found = run.observe(&[failed(1.0, "a")]);
    assert_eq!(lines(&found), ["brute raised [user.name=a] 0..2 events 3 value 3"]);
}

#[test]
fn counting_goes_on_under_other_rules() {
    let more =
        |number: u32| format!("group-by: [user.name]\ntimespan: 5m\ncondition: {{gte: {number}}}");
    let rules = |unrelated: &str, number: u32| {
        let brute = correlation("brute", "event_count", "fail", &more(number));
        ruleset(&[rule("fail"), rule(unrelated), brute])
    };
    let mut run = Run::new(&rules("one", 3), DEFAULT);
    // Ten minutes are allowed: one of three is late.
    run.observe(&[failed(1000.0, "late")]);
    run.observe(&[failed(0.0, "late")]);
    assert!(run.observe(&[failed(1000.0, "a"), failed(1001.0, "a")]).is_empty());
    let (stats, revision) = (run.correlator.stats(), run.correlator.revision());
    assert_eq!((stats.counted, stats.late), (3, 1));
    let other = rules("other", 3);
    run.correlator = run.correlator.with_rules(other.clone());
    run.engine = Engine::new(other);
    let after = run.correlator.stats();
    assert_eq!((after.counted, after.late, after.groups), (3, 1, stats.groups));
    assert!(run.correlator.revision() > revision, "it is to be saved again");
    assert_eq!(run.correlator.take_notices()[0].kind, NoticeKind::Late);
    let found = run.observe(&[failed(1002.0, "a")]);
    assert_eq!(lines(&found), ["brute raised [user.name=a] 1000..1002 events 3 value 3"]);
    assert!(run.observe(&[failed(1003.0, "a")]).is_empty(), "one alert");
    // One that means something else begins anew, and one that is gone is forgotten.
    let changed = rules("other", 2);
    run.correlator = run.correlator.with_rules(changed.clone());
    run.engine = Engine::new(changed);
    assert_eq!(run.correlator.stats().groups, 0);
    assert!(run.observe(&[failed(1004.0, "a")]).is_empty());
    let found = run.observe(&[failed(1005.0, "a")]);
    assert_eq!(lines(&found), ["brute raised [user.name=a] 1004..1005 events 2 value 2"]);
    assert_eq!(run.correlator.stats().raised, 2);
}

#[test]
fn a_clock_far_ahead_is_not_believed() {
    let mut run = Run::new(&ruleset(&brute("gte: 3")), DEFAULT);
    let ahead = |time: f64, received: f64| Event { received: Some(received), ..failed(time, "a") };
    assert!(run.observe(&[ahead(1e9, 10.0)]).is_empty());
    let found = run.observe(&[ahead(20.0, 20.0), ahead(310.0, 30.0)]);
    assert_eq!(lines(&found), ["brute raised [user.name=a] 10..310 events 3 value 3"]);
    assert_eq!(run.correlator.stats().from_the_future, 1);
}

#[test]
fn upper_bounds_are_judged_when_the_window_is_over() {
    let mut run = Run::new(&ruleset(&brute("lt: 3")), DEFAULT);
    let quiet = [
        failed(0.0, "rare"),
        failed(100.0, "rare"),
        failed(0.0, "a"),
        failed(1.0, "a"),
        failed(2.0, "a"),
    ];
    assert!(run.observe(&quiet).is_empty());
    // The window is over, but events may still come: the allowance is ten minutes.
    assert!(run.observe(&[event(899.0, &[])]).is_empty());
    let found = run.observe(&[event(901.0, &[])]);
    assert_eq!(lines(&found), ["brute raised [user.name=rare] 0..100 events 2 value 2"]);
    // Too late for the window that was judged.
    run.observe(&[failed(299.0, "rare")]);
    assert_eq!(run.correlator.stats().late, 1);
    run.observe(&[failed(902.0, "rare")]);
    let found = run.correlator.finish();
    assert_eq!(lines(&found), ["brute raised [user.name=rare] 902..902 events 1 value 1"]);
    // A range: four is too many, and windows do not overlap to make three of them.
    let mut run = Run::new(&ruleset(&brute("gt: 1, lte: 3")), DEFAULT);
    let user = |name: &str, count: u32| -> Vec<Event> {
        (0..count).map(|n| failed(f64::from(n), name)).collect()
    };
    let all: Vec<Event> = (1..=4).flat_map(|n| user(&format!("u{n}"), n)).collect();
    run.observe(&all);
    let mut found = lines(&run.correlator.finish());
    found.sort();
    insta::assert_snapshot!(found.join("\n"), @"
    brute raised [user.name=u2] 0..1 events 2 value 2
    brute raised [user.name=u3] 0..2 events 3 value 3
    ");
}

#[test]
fn different_values_are_counted_once() {
    let more = "group-by: [source.ip]\ntimespan: 1m\ncondition: {field: user.name, gte: 3}";
    let spray = correlation("spray", "value_count", "fail", more);
    let mut run = Run::new(&ruleset(&[rule("fail"), spray]), DEFAULT);
    let tried = |time: f64, user: &str| {
        event(time, &[("kind", "fail"), ("source.ip", "10.1.2.3"), ("user.name", user)])
    };
    assert!(run.observe(&[tried(0.0, "a"), tried(1.0, "A"), tried(2.0, "b")]).is_empty());
    let without = event(3.0, &[("kind", "fail"), ("source.ip", "10.1.2.3")]);
    assert!(run.observe(&[without]).is_empty());
    assert_eq!(run.correlator.stats().without_value, 1);
    let found = run.observe(&[tried(60.0, "田中")]);
    assert_eq!(lines(&found), ["spray raised [source.ip=10.1.2.3] 0..60 events 4 value 3"]);
    assert_eq!(found[0].values, ["a", "b", "田中"]);
    // The first `a` leaves the window, the second stays.
    assert!(run.observe(&[tried(61.0, "b")]).is_empty());
    let (dictionary, found) = (correlating::dictionary(), &found[0]);
    insta::assert_snapshot!(found.sentence(&dictionary, Lang::En), @"Rule fail: 3 different values of user.name, such as a, b, 田中 within 1 minute (4 events) (Source IP: 10.1.2.3)");
    insta::assert_snapshot!(found.sentence(&dictionary, Lang::Ja), @"Rule fail: 1 分以内に user.name の異なる値が 3 種類（a、b、田中 など）（4 件）（送信元 IP: 10.1.2.3）");
}

#[test]
fn numbers_are_added_averaged_and_ranked() {
    let of = |kind: &str, more: &str| {
        let more =
            format!("group-by: [host.name]\ntimespan: 1m\ncondition: {{field: bytes, {more}}}");
        correlation(kind, kind, "sent", &more)
    };
    let documents = [
        rule("sent"),
        of("value_sum", "gte: 100"),
        of("value_avg", "gt: 40"),
        of("value_percentile", "percentile: 25, gte: 30"),
    ];
    let mut run = Run::new(&ruleset(&documents), DEFAULT);
    let sent = |time: f64, bytes: &str| {
        event(time, &[("kind", "sent"), ("host.name", "FS01"), ("bytes", bytes)])
    };
    let mut told = Vec::new();
    for (time, bytes) in [(0.0, "10"), (1.0, "50"), (2.0, "many"), (3.0, "39.5"), (4.0, "0.5")] {
        told.extend(lines(&run.observe(&[sent(time, bytes)])));
    }
    // 10 and 50 have left; then 39.5 and 0.5 too.
    told.extend(lines(&run.observe(&[sent(62.0, "81")])));
    told.extend(lines(&run.observe(&[sent(1000.0, "30")])));
    insta::assert_snapshot!(told.join("\n"), @"
    value_sum raised [host.name=FS01] 0..4 events 4 value 100
    value_avg raised [host.name=FS01] 3..62 events 3 value 40.333333333333336
    value_percentile raised [host.name=FS01] 1000..1000 events 1 value 30
    value_sum updated [host.name=FS01] 0..62 events 5 value -
    ");
    let notices = run.correlator.take_notices();
    assert!(notices.iter().all(|notice| notice.kind == NoticeKind::NotANumber), "{notices:?}");
    assert_eq!(notices.len(), 3);
}

#[test]
fn rules_are_seen_together_or_one_after_the_other() {
    let more = "group-by: [user.name]\ntimespan: 1m";
    let documents = |name: &str, kind: &str, more: &str| {
        ruleset(&[rule("a"), rule("b"), rule("c"), correlation(name, kind, "a, b, c", more)])
    };
    let seen = |time: f64, kind: &str| event(time, &[("kind", kind), ("user.name", "u")]);
    let together = documents("t", "temporal", more);
    let mut run = Run::new(&together, DEFAULT);
    assert!(run.observe(&[seen(0.0, "c"), seen(5.0, "b"), seen(61.0, "a")]).is_empty());
    let found = run.observe(&[seen(62.0, "c")]);
    assert_eq!(lines(&found), ["t raised [user.name=u] 5..62 events 3 value 3"]);
    let rules: Vec<_> = found[0].rules.iter().map(|(rule, count)| (&*rule.title, *count)).collect();
    assert_eq!(rules, [("Rule a", 1), ("Rule b", 1), ("Rule c", 1)]);

    let ordered = documents("o", "temporal_ordered", more);
    let mut run = Run::new(&ordered, DEFAULT);
    assert!(run.observe(&[seen(0.0, "b"), seen(1.0, "a"), seen(2.0, "c")]).is_empty());
    // `b` arrives late, between the others.
    let found = run.observe(&[seen(1.5, "b")]);
    assert_eq!(lines(&found), ["o raised [user.name=u] 0..2 events 4 value 3"]);
    // At one instant any order is the right one.
    let mut run = Run::new(&ordered, DEFAULT);
    assert_eq!(run.observe(&[seen(0.0, "c"), seen(0.0, "b"), seen(0.0, "a")]).len(), 1);
    // The chain must fit into one window.
    let mut run = Run::new(&ordered, DEFAULT);
    assert!(run.observe(&[seen(0.0, "a"), seen(30.0, "b"), seen(61.0, "c")]).is_empty());

    let two = documents("two", "temporal", &format!("{more}\ncondition: {{gte: 2}}"));
    let mut run = Run::new(&two, DEFAULT);
    assert_eq!(run.observe(&[seen(0.0, "a"), seen(1.0, "a"), seen(2.0, "c")]).len(), 1);
    let named = documents("n", "temporal", &format!("{more}\ncondition: a and (id-b or c)"));
    let mut run = Run::new(&named, DEFAULT);
    assert_eq!(run.observe(&[seen(0.0, "b"), seen(1.0, "c")]).len(), 0);
    assert_eq!(run.observe(&[seen(2.0, "a")]).len(), 1);
    let without = documents("w", "temporal", &format!("{more}\ncondition: a and not b"));
    let mut run = Run::new(&without, DEFAULT);
    assert!(run.observe(&[seen(0.0, "a"), seen(30.0, "b"), seen(100.0, "a")]).is_empty());
    let found = run.correlator.finish();
    assert_eq!(lines(&found), ["w raised [user.name=u] 100..100 events 1 value 1"]);
    let in_order = documents("i", "temporal_ordered", &format!("{more}\ncondition: a and c"));
    let mut run = Run::new(&in_order, DEFAULT);
    assert!(run.observe(&[seen(0.0, "c"), seen(1.0, "a")]).is_empty());
    assert_eq!(run.observe(&[seen(2.0, "c")]).len(), 1);
}

#[test]
fn an_event_that_several_rules_find_is_one_event() {
    let other = rule("fail").replace("fail", "other").replace("kind: other", "user.name: a");
    let more = "group-by: [user.name]\ntimespan: 5m\ncondition: {gte: 3}";
    let documents = [rule("fail"), other, correlation("many", "event_count", "fail, other", more)];
    let mut run = Run::new(&ruleset(&documents), DEFAULT);
    assert!(run.observe(&[failed(0.0, "a"), failed(0.0, "a")]).is_empty());
    assert_eq!(run.observe(&[failed(1.0, "a")]).len(), 1);
}

#[test]
fn groups_without_values() {
    let more = "group-by: [user.name, source.ip]\ntimespan: 5m\ncondition: {gte: 2}";
    let mut run =
        Run::new(&ruleset(&[rule("fail"), correlation("m", "event_count", "fail", more)]), DEFAULT);
    let none = || event(0.0, &[("kind", "fail")]);
    assert!(run.observe(&[none(), none(), failed(0.0, "")]).is_empty());
    assert_eq!(run.correlator.stats().without_group, 3);
    // One of two is a group: a local logon has no address.
    let found = run.observe(&[failed(0.0, "a"), failed(0.0, "a")]);
    assert_eq!(lines(&found), ["m raised [user.name=a] 0..0 events 2 value 2"]);
    let more = "timespan: 5m\ncondition: {gte: 2}";
    let mut run =
        Run::new(&ruleset(&[rule("fail"), correlation("m", "event_count", "fail", more)]), DEFAULT);
    assert_eq!(run.observe(&[none(), failed(0.0, "b")]).len(), 1);
}

#[test]
fn aliases_and_chains_bring_values_together() {
    let first = "group-by: [user.name, host.name]\ntimespan: 1m\ncondition: {gte: 2}";
    let chain = "group-by: [who]\ntimespan: 10m\naliases: {who: {many: user.name, ok: account}}";
    let documents = [
        correlation("broken_in", "temporal_ordered", "many, ok", chain),
        correlation("many", "event_count", "fail", first),
        rule("fail"),
        rule("ok"),
    ];
    let rules = ruleset(&documents);
    let mut run = Run::new(&rules, DEFAULT);
    let fail =
        |time: f64| event(time, &[("kind", "fail"), ("user.name", "田中"), ("host.name", "FS01")]);
    let ok = |time: f64, user: &str| event(time, &[("kind", "ok"), ("account", user)]);
    // The correlation in between serves the other and is silent, like the rules.
    assert!(run.observe(&[fail(0.0), fail(1.0)]).is_empty());
    assert!(run.observe(&[ok(2.0, "佐藤")]).is_empty());
    // It keeps holding for nine minutes: the newest moment counts, not the first.
    for minute in 1..10 {
        let at = f64::from(minute) * 60.0;
        assert!(run.observe(&[fail(at), fail(at + 1.0)]).is_empty());
    }
    let found = run.observe(&[ok(1100.0, "田中")]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].group, [("who".into(), "田中".to_owned())]);
    assert!(rules.rules().all(|rule| !rule.alerts));
    let alerting: Vec<_> = rules.correlations().filter(|rule| rule.alerts).collect();
    assert_eq!(alerting.len(), 1);
    assert_eq!(alerting[0].name.as_deref(), Some("broken_in"));
}

#[test]
fn generate_and_rules_of_other_files() {
    let more = "timespan: 5m\ncondition: {gte: 2}";
    let many = correlation("many", "event_count", "fail, far", more);
    let alerting = |own: String| {
        let (ruleset, refused) = compile(&[("own.yml", own), ("far.yml", rule("far"))]);
        assert!(refused.is_empty(), "{refused:?}");
        let alerting = ruleset.rules().filter(|rule| rule.alerts);
        alerting.map(|rule| rule.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(alerting(format!("{}---\n{many}", rule("fail"))), ["id-far"]);
    let loud = format!("{}---\n{many}generate: true\n", rule("fail"));
    assert_eq!(alerting(loud), ["id-fail", "id-far"]);
}

#[test]
fn what_cannot_be_honoured_is_refused_with_the_reason() {
    let with = |kind: &str, rules: &str, more: &str| {
        let text = correlation("x", kind, rules, more);
        let (ruleset, refused) = compile(&[("r.yml", rule("fail")), ("x.yml", text)]);
        assert_eq!(ruleset.correlations().len(), 0, "{kind} {rules} {more}");
        refused.join("; ")
    };
    let count = "timespan: 5m\ncondition: {gte: 2}";
    let reasons = [
        with("event_count", "nobody", count),
        with("event_count", "fail, id-fail", count),
        with("event_count", "id-x", count),
        with("event_count", "", count),
        with("value_count", "fail", count),
        with("value_sum", "fail", "timespan: 5m\ncondition: {field: [a, b], gte: 2}"),
        with("value_median", "fail", "timespan: 5m\ncondition: {field: a, gte: 2}"),
        with("event_count", "fail", "timespan: 5m\ncondition: {field: a, gte: 2}"),
        with("event_count", "fail", "timespan: 5m\ncondition: {gte: 100001}"),
        with("event_count", "fail", "timespan: 5m\ncondition: {gte: -1}"),
        with("event_count", "fail", "timespan: 5m\ncondition: fail and fail"),
        with("event_count", "fail", "timespan: 5m"),
        with("event_count", "fail", "timespan: 5\ncondition: {gte: 2}"),
        with("event_count", "fail", "timespan: 0s\ncondition: {gte: 2}"),
        with("event_count", "fail", "timespan: 367d\ncondition: {gte: 2}"),
        with("event_count", "fail", "timespan: 1M\ncondition: {gte: 2}"),
        with("event_count", "fail", "timespan: 1m\nwindow: tumbling\ncondition: {gte: 2}"),
        with("event_count", "fail", "group-by: [a, a]\ntimespan: 1m\ncondition: {gte: 2}"),
        with("temporal", "fail", "timespan: 5m\ncondition: other"),
        with("temporal_ordered", "fail", "timespan: 5m\ncondition: {gte: 2}"),
        with("event_count", "fail", &format!("{count}\naliases: {{who: {{other: a}}}}")),
        with(
            "value_percentile",
            "fail",
            "timespan: 1m\ncondition: {field: a, percentile: 101, gte: 2}",
        ),
        with("value_magic", "fail", count),
    ];
    insta::assert_snapshot!(reasons.join("\n"));
    // What is at the limit is no reason.
    for more in ["timespan: 366d\ncondition: {gte: 100000}", "timespan: 52w\ncondition: {eq: 0}"] {
        let text = correlation("x", "event_count", "fail", more);
        let (ruleset, refused) = compile(&[("r.yml", rule("fail")), ("x.yml", text)]);
        assert!(refused.is_empty() && ruleset.correlations().len() == 1, "{refused:?}");
    }
}

#[test]
fn entries_that_are_no_text_are_refused_and_never_passed_over() {
    let with = |rules: &str, more: &str| {
        let more = format!("{more}\ntimespan: 5m\ncondition: {{gte: 2}}");
        let text = correlation("x", "event_count", rules, more.trim_start());
        let (ruleset, refused) = compile(&[("r.yml", rule("fail")), ("x.yml", text)]);
        assert_eq!(ruleset.correlations().len() + refused.len(), 1, "{rules} {more}");
        refused.join("")
    };
    let reasons = [
        with("fail, 7", ""),
        with("fail, [a]", ""),
        with("fail", "group-by: [user.name, 7]"),
        with("fail", "group-by: [null]"),
        with("fail", "group-by: {user.name: a}"),
        with("fail", "group-by: true"),
        with("fail", "aliases: {who: user.name}"),
        with("fail", "aliases: {who: {fail: 7}}"),
        with("fail", "group-by: user.name"),
        with("fail", "group-by: ['7']"),
    ];
    insta::assert_snapshot!(reasons.join("\n"), @r#"
    x.yml: Correlation x: rules: entry 2 is no text; write each as text, a number in quotes
    x.yml: Correlation x: rules: entry 2 is no text; write each as text, a number in quotes
    x.yml: Correlation x: group-by: entry 2 is no text; write each as text, a number in quotes
    x.yml: Correlation x: group-by: entry 1 is no text; write each as text, a number in quotes
    x.yml: Correlation x: group-by: write a list of texts
    x.yml: Correlation x: group-by: write a list of texts
    x.yml: Correlation x: aliases: write, for each alias, rule and field as texts
    x.yml: Correlation x: aliases: write, for each alias, rule and field as texts
    "#);
}

#[test]
fn circles_and_names_of_two_are_refused_and_chains_are_bounded() {
    let over = |name: &str, rules: &str| {
        correlation(name, "event_count", rules, "timespan: 5m\ncondition: {gte: 2}")
    };
    let (ruleset, refused) = compile(&[
        ("a.yml", over("a", "b")),
        ("b.yml", over("b", "id-a")),
        ("c.yml", over("c", "c")),
        ("d.yml", over("d", "two")),
        ("e.yml", rule("two")),
        ("f.yml", rule("two").replace("id-two", "id-2")),
        ("g.yml", format!("{}---\n{}", rule("two").replace("id-two", "id-3"), over("g", "two"))),
        ("h.yml", over("h", "id-d")),
    ]);
    let used: Vec<_> = ruleset.correlations().map(|rule| rule.id.as_str()).collect();
    assert_eq!(used, ["id-g"]);
    insta::assert_snapshot!(refused.join("\n"), @r#"
    d.yml: Correlation d: rules: "two" may be that of e.yml or that of f.yml; name it by its id
    h.yml: Correlation h: rules: the correlation "id-d" is itself refused
    a.yml: Correlation a: it counts itself, over a circle of correlations
    b.yml: Correlation b: it counts itself, over a circle of correlations
    c.yml: Correlation c: it counts itself, over a circle of correlations
    "#);
    let chain = |length: usize| {
        let mut files = vec![("r.yml", rule("c0"))];
        for n in 1..=length {
            files.push(("c.yml", over(&format!("c{n}"), &format!("c{}", n - 1))));
        }
        compile(&files)
    };
    let most = yagura_detect::limits::CORRELATION_CHAIN_MAX;
    assert!(chain(most).1.is_empty());
    let (ruleset, refused) = chain(most + 1);
    assert_eq!((ruleset.correlations().len(), refused.len()), (most, 1));
}

#[test]
fn a_replay_counts_nothing_twice() {
    let rules = ruleset(&brute("gte: 3"));
    let mut run = Run::new(&rules, DEFAULT);
    run.observe(&[failed(0.0, "a"), failed(1.0, "a")]);
    let mut state = Vec::new();
    run.correlator.save(&mut state).unwrap();
    let mut again = Run::new(&rules, DEFAULT);
    again.correlator.restore(&mut state.as_slice()).unwrap();
    // The journal gives all three again; two were counted.
    let found = again.observe(&[failed(0.0, "a"), failed(1.0, "a"), failed(2.0, "a")]);
    assert_eq!(lines(&found), ["brute raised [user.name=a] 0..2 events 3 value 3"]);
    assert_eq!(again.correlator.stats().replayed, 2);
    // Batches of one gathering may interleave: only what was there before counts as seen.
    let batch_b = batch(4, &[failed(4.0, "b")]);
    let batch_a = batch(3, &[failed(3.0, "b")]);
    let mut engine = Engine::new(rules.clone());
    for batch in [batch_b, batch_a] {
        let matches = engine.evaluate(&batch);
        again.correlator.observe(&batch, &matches);
    }
    assert_eq!(again.correlator.stats().replayed, 2);
    assert_eq!(again.correlator.stats().counted, 3);
}

#[test]
fn sentences_say_what_was_counted() {
    let file = format!(
        "{}x-yagura: {{title_ja: ログオンの失敗}}\n---\n{}",
        rule("fail").replace("Rule fail", "Failed logon"),
        correlation(
            "brute",
            "event_count",
            "fail",
            "group-by: [user.name, source.ip]\ntimespan: 5m\ncondition: {gte: 5}"
        )
    );
    let mut run = Run::new(&ruleset(&[file]), DEFAULT);
    let tried = |n: u32| {
        let fields = [("kind", "fail"), ("user.name", "田\u{202e}中"), ("source.ip", "10.1.2.3")];
        event(f64::from(n), &fields)
    };
    let mut found = run.observe(&(0..5).map(tried).collect::<Vec<_>>());
    found.extend(run.observe(&(5..10).map(tried).collect::<Vec<_>>()));
    let dictionary = correlating::dictionary();
    let said: Vec<String> = found
        .iter()
        .flat_map(|found| [Lang::En, Lang::Ja].map(|lang| found.sentence(&dictionary, lang)))
        .collect();
    assert_eq!(found[1].news, News::Updated, "{}", line(&found[1]));
    insta::assert_snapshot!(said.join("\n"), @"
    Failed logon: 5 events within 5 minutes (User: 田 中, Source IP: 10.1.2.3)
    ログオンの失敗: 5 分以内に 5 件（ユーザー: 田 中、送信元 IP: 10.1.2.3）
    Failed logon: 10 events within 5 minutes (User: 田 中, Source IP: 10.1.2.3)
    ログオンの失敗: 5 分以内に 10 件（ユーザー: 田 中、送信元 IP: 10.1.2.3）
    ");
}
