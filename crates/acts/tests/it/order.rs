//! Order within the allowance does not matter, and every event is in exactly one place.

use crate::common;
use common::{normalizer, read, security, sysmon};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use yagura_acts::{Acts, Observed, Options};
use yagura_event::UtcMicros;

const LATENESS: i64 = 60_000_000;

/// A line for a step of a random story at a second of it: few hosts, users, handles and processes, so
/// that they meet.
fn line(step: u8, second: u32, with: u8) -> String {
    let at = format!("0{}:{:02}:{:02}", 1 + second / 3_600, second / 60 % 60, second % 60);
    let handle = format!("0x{}", 1 + with % 3);
    let (pid, number) = [("0x4", "4"), ("0x1000", "4096")][usize::from(with % 2)];

    let guid = format!("{{6a910b9d-4a9a-5ee0-0c04-00000000000{}}}", with % 3);
    let logon = format!("0x{}", 100 + with % 2);
    let path = ["D:\\a\\b.txt", "D:\\a\\~$b.txt", "D:\\c.txt"][usize::from(with % 3)];
    let object = [
        ("ObjectType", "File"),
        ("ObjectName", path),
        ("HandleId", handle.as_str()),
        ("ProcessId", pid),
        ("AccessMask", if with.is_multiple_of(2) { "0x1" } else { "0x2" }),
        ("SubjectLogonId", logon.as_str()),
    ];
    let target = [("TargetUserName", "tanaka"), ("TargetLogonId", logon.as_str())];
    let own = [("ProcessGuid", guid.as_str()), ("ProcessId", number), ("Image", "C:\\a.exe")];
    let ssh = |rest: String| format!("<38>Nov 20 {at} web01 sshd[{}]: {rest}", 10 + with % 3);
    match step % 16 {
        0 => security(4656, &at, &object),
        1 => security(4663, &at, &object),
        2 => security(4658, &at, &object[2..]),
        3 => security(4660, &at, &object[2..]),
        4 => security(4624, &at, &target),
        5 => security(4634, &at, &target),
        6 => security(4672, &at, &[("SubjectLogonId", logon.as_str())]),
        7 => security(4625, &at, &[("TargetUserName", "sato"), ("IpAddress", "192.0.2.7")]),
        8 => security(4688, &at, &[("NewProcessId", pid), ("NewProcessName", "C:\\a.exe")]),
        9 => security(4689, &at, &[("ProcessId", pid)]),
        10 => sysmon(1, &at, &own),
        11 => sysmon(5, &at, &own),
        12 => sysmon(13, &at, &own),
        13 => ssh(format!("Failed password for root from 192.0.2.{} port 7 ssh2", with % 2)),
        14 => ssh(format!("Accepted password for root from 192.0.2.{} port 7 ssh2", with % 2)),
        _ => ssh(format!("Connection closed by 192.0.2.{} port 7", with % 2)),
    }
}

/// Looks at one line at a time, in this order; ids follow the lines, not the order.
fn observe(lines: &[String], order: &[usize], chunk: usize) -> (Observed, u64) {
    let mut normalizer = normalizer();
    let mut acts = Acts::new(Options { lateness_micros: LATENESS });
    let mut all = Observed::default();
    let mut take = |observed: Observed| {
        all.acts.extend(observed.acts);
        all.passed.extend(observed.passed);
    };
    for (turn, number) in order.iter().enumerate() {
        for batch in read(&mut normalizer, u64::try_from(*number).unwrap(), [&lines[*number]]) {
            take(acts.observe(&batch));
        }
        if turn % chunk == chunk - 1 {
            // A watermark that says nothing new changes nothing.
            take(acts.advance(UtcMicros::from_micros(0)));
        }
    }
    take(acts.finish());
    all.acts.sort_by_key(|act| (act.start, act.id()));
    all.passed.sort();
    (all, acts.counters().late)
}

fn check_once(observed: &Observed, events: usize) {
    let mut seen = BTreeSet::new();
    for id in observed.acts.iter().flat_map(|act| &act.event_ids).chain(&observed.passed) {
        assert!(seen.insert(id), "{id} is in two places");
    }
    assert_eq!(seen.len(), events);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn an_order_within_the_allowance_gives_the_same_acts(
        story in prop::collection::vec((any::<u8>(), 0u32..120, any::<u8>()), 1..40),
        shifts in prop::collection::vec(0i64..=LATENESS, 40),
        chunk in 1usize..9,
    ) {
        let mut at = 0;
        let lines: Vec<_> = story.iter().map(|(step, pause, with)| {
            at += pause;
            (i64::from(at) * 1_000_000, line(*step, at, *with))
        }).collect();
        let texts: Vec<_> = lines.iter().map(|(_, line)| line.clone()).collect();
        let straight: Vec<_> = (0..lines.len()).collect();
        // Each comes up to the allowance later: never later than that after a newer one.
        let mut shifted = straight.clone();
        shifted.sort_by_key(|number| (lines[*number].0 + shifts[*number], *number));
        let (one, late) = observe(&texts, &straight, chunk);
        let (other, late_too) = observe(&texts, &shifted, chunk);
        prop_assert_eq!((late, late_too), (0, 0));
        check_once(&one, lines.len());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn in_any_order_every_event_is_in_one_place(
        story in prop::collection::vec((any::<u8>(), 0u32..4_000, any::<u8>()), 1..40),
    ) {
        let lines: Vec<_> = story.iter().map(|(step, at, with)| line(*step, *at, *with)).collect();
        let order: Vec<_> = (0..lines.len()).collect();
        let (observed, _) = observe(&lines, &order, 3);
        check_once(&observed, lines.len());
    }
}

/// An event is late when it is more than the allowance older than the newest, and is used all the same.
#[test]
fn late_events_are_counted_and_used() {
    let failed =
        |at: &str| security(4625, at, &[("TargetUserName", "sato"), ("IpAddress", "192.0.2.7")]);
    for (second, late) in [("01:00:00", 0), ("00:59:59", 1)] {
        let lines = [failed("01:01:00"), failed(second)];
        let (observed, counted) = observe(&lines, &[0, 1], 1);
        assert_eq!(counted, late, "{second}");
        assert_eq!(observed.acts.len(), 1);
        assert_eq!((observed.acts[0].event_ids.len(), u64::from(observed.acts[0].late)), (2, late));
        assert_eq!(observed.acts[0].event_ids[0].to_string(), "test/1/0");
    }
}

#[test]
fn what_is_not_wanted_passes_at_once() {
    let lines = [
        security(1102, "01:00:00", &[]),
        "no format at all".to_owned(),
        security(4663, "01:00:00", &[("ObjectType", "File")]),
    ];
    let (observed, _) = observe(&lines, &[0, 1, 2], 1);
    assert_eq!((observed.acts.len(), observed.passed.len()), (0, 3));
    let kinds: BTreeMap<_, _> = yagura_acts::ActKind::ALL.map(|kind| (kind.as_str(), kind)).into();
    for (word, kind) in kinds {
        assert_eq!(word.parse(), Ok(kind));
    }
    assert!("files".parse::<yagura_acts::ActKind>().is_err());
}
