//! The correlator against a slow, obvious one that keeps every event and looks at every window, and
//! against another implementation where both mean the same.

use crate::correlating;
use correlating::{Event, Run, correlation, event, micros, rule, ruleset};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use yagura_detect::{CorrelationMatch, CorrelatorOptions, News};

const ALLOWANCE: i64 = 60;

/// What is asked, as the reference reads it.
#[derive(Debug, Clone)]
struct Asked {
    kind: &'static str,
    comparisons: Vec<(&'static str, i64)>,
    span: i64,
}

impl Asked {
    fn rolls(&self) -> bool {
        self.comparisons.iter().all(|(operator, _)| operator.starts_with('g'))
    }

    fn document(&self) -> String {
        let mut parts: Vec<String> =
            self.comparisons.iter().map(|(operator, n)| format!("{operator}: {n}")).collect();
        match self.kind {
            "value_count" => parts.push("field: v".into()),
            "value_sum" | "value_avg" => parts.push("field: n".into()),
            "value_percentile" => parts.extend(["field: n".into(), "percentile: 30".into()]),
            _ => {}
        }
        let condition = match self.kind {
            "temporal_ordered" => String::new(),
            _ => format!("condition: {{{}}}", parts.join(", ")),
        };
        let more = format!("group-by: [user.name]\ntimespan: {}s\n{condition}", self.span);
        correlation("x", self.kind, "a, b", &more)
    }

    /// The value of a window as a fraction, if the condition holds.
    fn judge(&self, window: &[Seen]) -> Option<(i64, i64)> {
        let mut numbers: Vec<i64> = window.iter().map(|seen| seen.number).collect();
        let count = window.len() as i64;
        let kinds: BTreeSet<usize> = window.iter().map(|seen| seen.source).collect();
        let (value, of) = match self.kind {
            "event_count" => (count, 1),
            "value_count" => (
                window.iter().map(|s| s.value.to_lowercase()).collect::<BTreeSet<_>>().len() as i64,
                1,
            ),
            "temporal" => (kinds.len() as i64, 1),
            "temporal_ordered" => {
                let first = window.iter().filter(|s| s.source == 0).map(|s| s.time).min();
                let last = window.iter().filter(|s| s.source == 1).map(|s| s.time).max();
                let whole = first.zip(last).is_some_and(|(first, last)| first <= last);
                return whole.then_some((2, 1));
            }
            "value_sum" => (numbers.iter().sum(), 1),
            "value_avg" => (numbers.iter().sum(), count),
            _ => {
                numbers.sort_unstable();
                let hundredths = (numbers.len() - 1) * 30;
                let low = numbers[hundredths / 100];
                let high = numbers.get(hundredths / 100 + 1).copied().unwrap_or(low);
                (low * 100 + (high - low) * (hundredths % 100) as i64, 100)
            }
        };
        let holds = self.comparisons.iter().all(|(operator, number)| match *operator {
            "gt" => value > number * of,
            "gte" => value >= number * of,
            "lt" => value < number * of,
            "lte" => value <= number * of,
            "eq" => value == number * of,
            _ => value != number * of,
        });
        holds.then_some((value, of))
    }
}

#[derive(Debug, Clone)]
struct Seen {
    time: i64,
    source: usize,
    value: String,
    number: i64,
}

#[derive(Debug, Clone)]
struct Told {
    from: i64,
    first_held: i64,
    last_held: i64,
    told: u64,
}

#[derive(Debug, Default)]
struct RefGroup {
    all: Vec<Seen>,
    alerts: Vec<Told>,
    newest: Option<i64>,
    touched: i64,
    judged: Option<i64>,
    /// What alerts had come to when the group was begun anew.
    ended: Vec<(i64, i64, u64)>,
}

impl RefGroup {
    /// Alerts that have grown since they were told: from, last event, events.
    fn untold(&self) -> impl Iterator<Item = (i64, i64, u64)> {
        self.alerts.iter().filter_map(|alert| {
            let inside: Vec<i64> =
                self.all.iter().filter(inside_of(alert)).map(|seen| seen.time).collect();
            let events = inside.len() as u64;
            (events > alert.told).then(|| (alert.from, *inside.iter().max().unwrap(), events))
        })
    }
}

/// Group, news, first, last, events, value times 1000.
type Line = (String, bool, i64, i64, u64, Option<i64>);

struct Reference {
    asked: Asked,
    allowance: Option<i64>,
    groups: BTreeMap<String, RefGroup>,
    happened: i64,
    received: i64,
    late: u64,
}

fn thousandths((value, of): (i64, i64)) -> i64 {
    (value as f64 / of as f64 * 1000.0).round() as i64
}

impl Reference {
    fn observe(&mut self, events: &[(i64, i64, String, Seen)]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut new: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
        for (time, received, user, seen) in events {
            self.happened = self.happened.max(*time);
            self.received = self.received.max(*received);
            if !user.is_empty() {
                new.entry(user.to_lowercase()).or_default().push(seen.clone());
            }
        }
        for (user, seen) in new {
            lines.extend(self.take(user, seen));
        }
        if let (false, Some(allowance)) = (self.asked.rolls(), self.allowance) {
            lines.extend(self.judge(self.happened - allowance, self.received - allowance));
        }
        lines
    }

    fn take(&mut self, user: String, new: Vec<Seen>) -> Vec<Line> {
        let (span, rolls) = (self.asked.span, self.asked.rolls());
        let group = self.groups.entry(user.clone()).or_default();
        if let (Some(allowance), Some(newest)) = (self.allowance, group.newest)
            && self.happened > newest + span + allowance
            && self.received >= group.touched + allowance
            && (rolls || group.all.is_empty())
        {
            let mut ended = std::mem::take(&mut group.ended);
            ended.extend(group.untold());
            *group = RefGroup { ended, ..RefGroup::default() };
        }
        let oldest = self.allowance.zip(group.newest).map(|(allowance, newest)| newest - allowance);
        let is_late = |seen: &Seen| {
            oldest.is_some_and(|oldest| seen.time < oldest)
                || group.judged.is_some_and(|judged| seen.time <= judged)
        };
        let (late, new): (Vec<Seen>, Vec<Seen>) = new.into_iter().partition(is_late);
        self.late += late.len() as u64;
        if new.is_empty() {
            return Vec::new();
        }
        group.touched = self.received;
        group.newest = group.newest.max(new.iter().map(|seen| seen.time).max());
        group.all.extend(new.iter().cloned());
        if !rolls {
            return Vec::new();
        }
        let ends: BTreeSet<i64> = group
            .all
            .iter()
            .map(|seen| seen.time)
            .filter(|end| new.iter().any(|n| n.time <= *end && *end <= n.time + span))
            .collect();
        let mut held: BTreeMap<usize, (bool, i64)> = BTreeMap::new();
        for end in ends {
            let window: Vec<Seen> = group
                .all
                .iter()
                .filter(|seen| seen.time >= end - span && seen.time <= end)
                .cloned()
                .collect();
            let Some(value) = self.asked.judge(&window) else { continue };
            let start = window.iter().map(|seen| seen.time).min().unwrap();
            let near =
                |alert: &Told| end >= alert.first_held - span && end <= alert.last_held + span;
            match group.alerts.iter().position(near) {
                Some(at) => {
                    let alert = &mut group.alerts[at];
                    alert.last_held = alert.last_held.max(end);
                    if end <= alert.first_held {
                        alert.first_held = end;
                        alert.from = alert.from.min(start);
                    }
                    let raised = held.get(&at).is_some_and(|(raised, _)| *raised);
                    held.insert(at, (raised, thousandths(value)));
                }
                None => {
                    held.insert(group.alerts.len(), (true, thousandths(value)));
                    group.alerts.push(Told {
                        from: start,
                        first_held: end,
                        last_held: end,
                        told: 0,
                    });
                }
            }
        }
        let mut lines = Vec::new();
        for (at, (raised, value)) in held {
            let alert = &mut group.alerts[at];
            let inside = |seen: &&Seen| seen.time >= alert.from && seen.time <= alert.last_held;
            let events = group.all.iter().filter(inside).count() as u64;
            if raised || events >= alert.told * 2 {
                alert.told = events;
                let last = group.all.iter().filter(inside_of(alert)).map(|s| s.time).max().unwrap();
                lines.push((user.clone(), raised, alert.from, last, events, Some(value)));
            }
        }
        lines
    }

    /// Windows that begin with the first event not in one before, and that are over.
    fn judge(&mut self, happened: i64, received: i64) -> Vec<Line> {
        let mut lines = Vec::new();
        for (user, group) in &mut self.groups {
            while let Some(first) = group.all.iter().map(|seen| seen.time).min() {
                let end = first + self.asked.span;
                if end >= happened || group.touched > received {
                    break;
                }
                let (window, rest): (Vec<Seen>, Vec<Seen>) =
                    group.all.drain(..).partition(|seen| seen.time <= end);
                group.all = rest;
                group.judged = Some(end);
                if let Some(value) = self.asked.judge(&window) {
                    let last = window.iter().map(|seen| seen.time).max().unwrap();
                    let events = window.len() as u64;
                    lines.push((user.clone(), true, first, last, events, Some(thousandths(value))));
                }
            }
        }
        lines
    }
}

fn inside_of(alert: &Told) -> impl Fn(&&Seen) -> bool {
    let (from, to) = (alert.from, alert.last_held);
    move |seen| seen.time >= from && seen.time <= to
}

fn line(found: &CorrelationMatch) -> Line {
    let seconds = |time: yagura_event::UtcMicros| (time.as_micros() - micros(0.0)) / 1_000_000;
    (
        found.group[0].1.to_lowercase(),
        found.news == News::Raised,
        seconds(found.first),
        seconds(found.last),
        found.events,
        found.value.map(|value| (value * 1000.0).round() as i64),
    )
}

/// When final news come depends on when a group is forgotten; nothing else does.
fn is_final(found: &CorrelationMatch) -> bool {
    found.value.is_none()
}

fn lines(found: &[CorrelationMatch]) -> Vec<Line> {
    let mut lines: Vec<Line> = found.iter().map(line).collect();
    lines.sort();
    lines
}

/// Takes the final news out of `found`.
fn split_final(found: &mut Vec<CorrelationMatch>, ended: &mut Vec<CorrelationMatch>) {
    ended.extend(found.extract_if(.., |found| is_final(found)));
}

/// Whatever is told names events, and rules, and the event that made it hold.
fn is_whole(found: &CorrelationMatch) -> bool {
    !found.event_ids.is_empty() && found.trigger.is_some() && !found.rules.is_empty()
}

fn asked() -> impl Strategy<Value = Asked> {
    let counts = || {
        let one = |operator: &'static str| (1i64..5).prop_map(move |n| vec![(operator, n)]);
        prop_oneof![
            3 => one("gte"), 2 => one("gt"), 1 => one("lt"), 1 => one("lte"), 1 => one("eq"),
            1 => one("neq"),
            1 => (1i64..3, 2i64..5).prop_map(|(low, high)| vec![("gt", low), ("lte", high)]),
        ]
    };
    let kinds = [
        "event_count",
        "value_count",
        "temporal",
        "temporal_ordered",
        "value_sum",
        "value_avg",
        "value_percentile",
    ];
    (prop::sample::select(kinds.to_vec()), counts(), 5i64..40).prop_map(
        |(kind, mut comparisons, span)| {
            match kind {
                "temporal_ordered" => comparisons = vec![("gte", 2)],
                // One event has always been seen, which the parser takes for no condition at all.
                "temporal" if comparisons == [("gte", 1)] => comparisons = vec![("gte", 2)],
                "value_sum" => comparisons.iter_mut().for_each(|(_, number)| *number *= 6),
                _ => {}
            }
            Asked { kind, comparisons, span }
        },
    )
}

/// Where both mean the same: windows that roll, and no fractions, whose last bit may differ.
fn comparable() -> impl Strategy<Value = Asked> {
    let kinds = ["event_count", "value_count", "temporal", "temporal_ordered", "value_sum"];
    let operator = prop::sample::select(vec!["gt", "gte"]);
    (prop::sample::select(kinds.to_vec()), operator, 1i64..5, 5i64..40).prop_map(
        |(kind, operator, number, span)| {
            let comparisons = match kind {
                "temporal_ordered" => vec![("gte", 2)],
                "temporal" if operator == "gte" => vec![("gte", number.max(2))],
                "value_sum" => vec![(operator, number * 6)],
                _ => vec![(operator, number)],
            };
            Asked { kind, comparisons, span }
        },
    )
}

/// One event: how long after the one before it is received, and what it is.
type Given = (i64, i64, usize, usize, usize, i64);

fn given() -> impl Strategy<Value = Vec<Vec<Given>>> {
    // Some are far too late, most are a little, and there are pauses.
    let behind = prop_oneof![6 => 0i64..4, 3 => 0i64..50, 1 => 40i64..120];
    let pause = prop_oneof![8 => 0i64..4, 1 => 20i64..60, 1 => 100i64..200];
    let one = (pause, behind, 0usize..3, 0usize..4, 0usize..3, 0i64..9);
    prop::collection::vec(prop::collection::vec(one, 1..6), 1..25)
}

/// The batches as events, and as the reference reads them: time, receipt, user, what is counted.
type Both = Vec<(Vec<Event>, Vec<(i64, i64, String, Seen)>)>;

fn batches(given: &[Vec<Given>]) -> Both {
    let mut clock = 0;
    let mut all = Vec::new();
    for batch in given {
        let (mut events, mut seen) = (Vec::new(), Vec::new());
        for (pause, behind, kind, user, value, number) in batch {
            clock += pause;
            let time = clock - behind;
            let user = ["u", "V", "v", "w"][*user];
            // The third kind is of no rule: only time passes.
            let kind = ["a", "b", "c"][*kind];
            let value = ["X", "x", "y"][*value];
            let number_text = number.to_string();
            let fields =
                [("kind", kind), ("user.name", user), ("v", value), ("n", number_text.as_str())];
            events.push(Event { received: Some(clock as f64), ..event(time as f64, &fields) });
            let counted = if kind == "c" { "" } else { user };
            let one = Seen {
                time,
                source: usize::from(kind == "b"),
                value: value.to_owned(),
                number: *number,
            };
            seen.push((time, clock, counted.to_owned(), one));
        }
        all.push((events, seen));
    }
    all
}

fn documents(asked: &Asked) -> Vec<String> {
    vec![rule("a"), rule("b"), asked.document()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn the_correlator_agrees_with_the_reference(
        asked in asked(),
        given in given(),
        for_files in prop::bool::weighted(0.3),
        cuts in prop::collection::vec(any::<bool>(), 25),
    ) {
        let allowance = (!for_files).then_some(ALLOWANCE);
        let options = CorrelatorOptions {
            allowance_micros: allowance.map(|seconds| seconds * 1_000_000),
            ..CorrelatorOptions::default()
        };
        let rules = ruleset(&documents(&asked));
        let mut run = Run::new(&rules, options);
        let mut interrupted = Run::new(&rules, options);
        let mut reference = Reference {
            asked: asked.clone(), allowance, groups: BTreeMap::new(),
            happened: i64::MIN, received: i64::MIN, late: 0,
        };
        let (mut ended, mut ended_again) = (Vec::new(), Vec::new());
        for (number, (events, seen)) in batches(&given).iter().enumerate() {
            let mut found = run.observe(events);
            prop_assert!(found.iter().all(is_whole), "{found:?}");
            split_final(&mut found, &mut ended);
            let mut expected = reference.observe(seen);
            expected.sort();
            prop_assert_eq!(lines(&found), expected, "batch {}", number);
            // The same with a state that goes through bytes now and then.
            let mut again = interrupted.observe(events);
            prop_assert!(again.iter().all(is_whole), "{again:?}");
            split_final(&mut again, &mut ended_again);
            if cuts[number % cuts.len()] {
                let mut state = Vec::new();
                interrupted.correlator.save(&mut state).unwrap();
                let next = interrupted.next;
                interrupted = Run::new(&rules, options);
                interrupted.next = next;
                interrupted.correlator.restore(&mut state.as_slice()).unwrap();
            }
            for told in [&mut found, &mut again] {
                told.sort_by_key(|found| found.episode);
                // Numbers are given out as windows are judged; groups are in another order then.
                told.iter_mut().for_each(|found| found.episode = 0);
                told.sort_by_key(|found| format!("{found:?}"));
            }
            prop_assert_eq!(found, again, "batch {}", number);
        }
        prop_assert_eq!(run.correlator.stats().late, reference.late);
        let (mut found, mut again) = (run.correlator.finish(), interrupted.correlator.finish());
        prop_assert!(found.iter().chain(&again).all(is_whole), "{found:?} {again:?}");
        split_final(&mut found, &mut ended);
        split_final(&mut again, &mut ended_again);
        if !asked.rolls() {
            let mut expected = reference.judge(i64::MAX, i64::MAX);
            expected.sort();
            prop_assert_eq!(lines(&found), expected);
        }
        let untold = reference.groups.iter().flat_map(|(user, group)| {
            let all = group.ended.iter().copied().chain(group.untold());
            all.map(|(from, last, events)| (user.clone(), false, from, last, events, None))
        });
        let mut untold: Vec<Line> = untold.collect();
        untold.sort();
        prop_assert_eq!(lines(&ended), &untold[..], "final news");
        prop_assert_eq!(lines(&ended_again), untold, "final news of a state that was saved");
    }

    #[test]
    fn another_implementation_raises_the_same(
        asked in comparable(),
        given in prop::collection::vec((1i64..9, 0usize..3, 0usize..3, 0usize..2, 0i64..9), 1..60),
    ) {
        let documents = documents(&asked);
        let rules = ruleset(&documents);
        let mut run = Run::new(&rules, CorrelatorOptions::default());
        let mut theirs = rsigma_eval::CorrelationEngine::new(rsigma_eval::CorrelationConfig::default());
        let mut text = documents.join("---\n");
        if asked.kind == "temporal_ordered" {
            // Without a condition, theirs is content with one rule.
            text.push_str("  condition: {gte: 2}\n");
        }
        theirs.add_collection(&rsigma_parser::parse_sigma_yaml(&text).unwrap()).unwrap();
        let mut time = 0;
        let (mut ours_first, mut theirs_first) = (BTreeMap::new(), BTreeMap::new());
        for (pause, kind, user, value, number) in &given {
            time += pause;
            // Both spell users and values alike: theirs tells case apart.
            let (kind, user) = (["a", "b", "c"][*kind], ["u", "v", "w"][*user]);
            let (value, number) = (["x", "y"][*value], number.to_string());
            let fields = [("kind", kind), ("user.name", user), ("v", value), ("n", number.as_str())];
            for found in run.observe(&[event(time as f64, &fields)]) {
                ours_first.entry(found.group[0].1.clone()).or_insert(time);
            }
            let json = serde_json::json!({
                "kind": kind, "user.name": user, "v": value, "n": number.parse::<i64>().unwrap(),
            });
            let results = theirs.process_event_at(&rsigma_eval::JsonEvent::borrow(&json), time);
            for body in results.iter().filter_map(|result| result.as_correlation()) {
                theirs_first.entry(body.group_key[0].1.clone()).or_insert(time);
            }
        }
        prop_assert_eq!(ours_first, theirs_first);
    }

    #[test]
    fn any_changed_byte_of_a_state_is_found(
        given in given(),
        place in any::<prop::sample::Index>(),
        flip in 1u8..=255,
        cut in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let asked = Asked { kind: "value_count", comparisons: vec![("gte", 2)], span: 30 };
        let rules = ruleset(&documents(&asked));
        let mut run = Run::new(&rules, CorrelatorOptions::default());
        for (events, _) in batches(&given) {
            run.observe(&events);
        }
        let mut state = Vec::new();
        run.correlator.save(&mut state).unwrap();
        prop_assert!(yagura_detect::check_state(&mut state.as_slice()).is_ok());
        let mut fresh = Run::new(&rules, CorrelatorOptions::default());
        let mut changed = state.clone();
        changed[place.index(state.len())] ^= flip;
        prop_assert!(yagura_detect::check_state(&mut changed.as_slice()).is_err());
        prop_assert!(fresh.correlator.restore(&mut changed.as_slice()).is_err());
        prop_assert!(fresh.correlator.restore(&mut &state[..cut.index(state.len())]).is_err());
        prop_assert!(fresh.correlator.restore(&mut noise.as_slice()).is_err());
        // Not even with a digest that fits may nonsense do more than be refused.
        let mut forged = b"YGCORR01".to_vec();
        forged.extend(&noise);
        let digest = <sha2::Sha256 as sha2::Digest>::digest(&forged);
        forged.extend(digest);
        let _ = fresh.correlator.restore(&mut forged.as_slice());
        prop_assert!(fresh.correlator.restore(&mut state.as_slice()).is_ok());
    }
}
