//! N4 and N5: errors at every operation, power cuts at any moment.

use super::sim::{Fault, Random};
use super::*;
use crate::Expect;
use crate::verify::verify_disk;

/// A fixed little life. Returns the places and texts that were acknowledged.
fn live(bench: &mut Bench, acknowledged: &mut BTreeMap<(u64, u32), String>) {
    for number in 0..12 {
        let text = format!("record {number} {}", "x".repeat(300));
        let name = if number % 3 == 0 { "a" } else { "b" };
        if let Ok(receipt) = bench.append(name, &[&text, "second"]) {
            note(acknowledged, &receipt, &[&text, "second"]);
        }
        bench.advance(Duration::from_secs(4));
        bench.core.tick();
    }
}

fn note(acknowledged: &mut BTreeMap<(u64, u32), String>, receipt: &Receipt, texts: &[&str]) {
    let mut texts = texts.iter();
    for id in receipt.event_ids(&stream("any")) {
        let text = texts.next().unwrap().to_string();
        assert!(acknowledged.insert((id.batch, id.index), text).is_none(), "a place used twice");
    }
}

fn check_nothing_is_lost(bench: &Bench, acknowledged: &BTreeMap<(u64, u32), String>, what: &str) {
    let found = texts(&bench.replayed);
    for (place, text) in acknowledged {
        assert_eq!(found.get(place), Some(text), "{what}: {place:?}");
    }
    assert_eq!(bench.report.damages, [], "{what}");
}

#[test]
fn an_error_at_any_operation_loses_nothing_acknowledged() {
    let operations = {
        let mut bench = Bench::new();
        live(&mut bench, &mut BTreeMap::new());
        bench.disk.operations()
    };
    for at in 1..=operations {
        for fault in [Fault::Io, Fault::Full] {
            let what = format!("{fault:?} at operation {at} of {operations}");
            let mut bench = Bench::new();
            bench.disk.fail_at(at, fault);
            let mut acknowledged = BTreeMap::new();
            live(&mut bench, &mut acknowledged);
            let answer = bench.append("a", &["last"]);
            match (fault, &answer) {
                (_, Ok(receipt)) => note(&mut acknowledged, receipt, &["last"]),
                (_, Err(JournalError::Poisoned { cause })) => {
                    assert!(cause.contains("failed"), "{what}: {cause}");
                }
                (_, Err(error)) => panic!("{what}: {error}"),
            }
            let mut random = Random::new(at);
            let after_cut = bench.disk.after_power_cut(&mut random);
            let log = bench.log.after_crash();
            let cut = Bench::open(after_cut, log, bench.clock.clone(), small_options()).unwrap();
            check_nothing_is_lost(&cut, &acknowledged, &what);
            let mut restarted = bench.restart();
            check_nothing_is_lost(&restarted, &acknowledged, &what);
            restarted.core.seal(None).unwrap();
            let report = verify_disk(&restarted.disk, &restarted.log, Expect::Everything).unwrap();
            assert_eq!(report.damages, [], "{what}");
        }
    }
}

#[test]
fn power_cuts_at_random_moments_lose_nothing_acknowledged() {
    let seeds = std::env::var("YAGURA_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(500);
    for seed in 0..seeds {
        simulate(seed);
    }
}

/// Some lives of one journal, each ended by a power cut, with full disks and stored batches.
fn simulate(seed: u64) {
    let what = format!("seed {seed}");
    let mut random = Random::new(seed);
    let mut bench = Bench::new();
    let mut acknowledged: BTreeMap<(u64, u32), String> = BTreeMap::new();
    let mut stored: Vec<u64> = Vec::new();
    let mut number = 0;
    for _ in 0..1 + random.below(5) {
        for _ in 0..random.below(25) {
            match random.below(12) {
                0 => drop(bench.core.seal(None)),
                1 => bench.disk.set_full(true),
                2 | 3 => bench.disk.set_full(false),
                4 => {
                    let sealed: Vec<u64> = sealed_batches(&bench.take_outputs());
                    let batch = sealed.get(random.below(sealed.len())).copied();
                    stored.extend(batch);
                    bench.core.retire(&stored);
                }
                5 => {
                    bench.advance(Duration::from_secs(random.below(400) as u64));
                    bench.core.tick();
                }
                _ => {
                    let name = ["a", "b", "c"][random.below(3)];
                    let mut lines = Vec::new();
                    for _ in 0..=random.below(4) {
                        number += 1;
                        lines.push(format!("{number}{}", "x".repeat(random.below(900))));
                    }
                    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                    if let Ok(receipt) = bench.append(name, &lines) {
                        note(&mut acknowledged, &receipt, &lines);
                    }
                }
            }
        }
        if random.one_in(3) {
            bench.disk.fail_at(1 + random.below(4) as u64, Fault::Io);
            if let Ok(receipt) = bench.append("a", &["in the last moment"]) {
                note(&mut acknowledged, &receipt, &["in the last moment"]);
            }
        }
        let disk = bench.disk.after_power_cut(&mut random);
        disk.set_full(false);
        let log = bench.log.after_crash();
        bench = Bench::open(disk, log, bench.clock, small_options())
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        acknowledged.retain(|(batch, _), _| !stored.contains(batch));
        let found = texts(&bench.replayed);
        for (place, text) in &acknowledged {
            assert_eq!(found.get(place), Some(text), "{what}: {place:?}");
        }
        // A torn group may leave holes among records nobody was promised; they are filled. What
        // is found becomes history now: it may not change any more.
        for (place, text) in found.into_iter().filter(|((batch, _), _)| !stored.contains(batch)) {
            acknowledged.insert(place, text);
        }
    }
    bench.core.seal(None).unwrap_or_else(|error| panic!("{what}: {error}"));
    let report = verify_disk(&bench.disk, &bench.log, Expect::Unretired).unwrap();
    assert_eq!(report.unsealed_records, 0, "{what}");
    let batches: Vec<u64> = bench.log.headers().iter().map(|header| header.batch).collect();
    let distinct: std::collections::BTreeSet<u64> = batches.iter().copied().collect();
    assert_eq!(batches.len(), distinct.len(), "{what}: a batch number was used twice");
    for name in ["a", "b", "c"] {
        let known = bench.core.shared.counts().get(&stream(name)).copied();
        let sealed: u64 = bench
            .log
            .headers()
            .iter()
            .filter(|header| header.stream == stream(name))
            .map(|header| u64::from(header.count))
            .sum();
        assert!(known.is_none_or(|known| known == sealed), "{what}: {name}");
    }
}
