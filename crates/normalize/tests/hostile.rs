//! Real lines with bytes changed, and lines far too long: one row each, no panic, and no decoder that
//! takes more than its share of time for a long one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{corpora, files, lines, members, normalizer, run_of};
use std::time::Instant;
use yagura_event::{Lang, Transport};
use yagura_normalize::entries::{Decoders, SAMPLES, names};

/// Numbers that are the same each time (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap()
    }
}

/// Flips bits, deletes a piece, or puts a piece of another line into the middle.
fn mutate(random: &mut Random, line: &[u8], other: &[u8]) -> Vec<u8> {
    let mut line = line.to_vec();
    let at = random.below(line.len());
    match random.below(3) {
        0 => {
            for _ in 0..=random.below(4) {
                let at = random.below(line.len());
                line[at] ^= 1 << random.below(8);
            }
        }
        1 => {
            let end = at + random.below(line.len() - at + 1);
            line.drain(at..end);
        }
        _ => {
            let from = random.below(other.len());
            let piece = &other[from..from + random.below(other.len() - from + 1)];
            line.splice(at..at, piece.iter().copied());
        }
    }
    line
}

#[test]
fn corpora_mutated_are_a_row_a_line() {
    let Some(corpora) = corpora() else { return };
    let mut real: Vec<Vec<u8>> = Vec::new();
    for path in files(&corpora.join("loghub"), &["_2k.log"]) {
        let text = std::fs::read(path).unwrap();
        real.extend(lines(&text).step_by(25).map(<[u8]>::to_vec));
    }
    members(&corpora.join("otrf"), |_, _, content| {
        let few = content.len() / 40_000 + 1;
        real.extend(lines(content).step_by(few).take(20).map(<[u8]>::to_vec));
    });
    assert!(real.len() > 2_000, "{}", real.len());
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut normalizer = normalizer();
    for transport in [Transport::SyslogTcp, Transport::File] {
        let mutated: Vec<Vec<u8>> = real
            .iter()
            .map(|line| {
                let other = &real[random.below(real.len())];
                mutate(&mut random, line, other)
            })
            .collect();
        let mut rows = 0;
        for lines in mutated.chunks(500) {
            normalizer.normalize(&run_of("mutated", transport, lines.iter().cloned()));
            for batch in normalizer.take_batches() {
                rows += batch.rows();
                for row in 0..batch.rows() {
                    for lang in [Lang::Ja, Lang::En] {
                        let sentence = normalizer.sentence(&batch, row, lang);
                        assert!(!sentence.trim().is_empty());
                        assert!(!sentence.contains(char::is_control), "{sentence:?}");
                    }
                }
            }
        }
        assert_eq!(rows, mutated.len());
    }
}

/// A record eight times as long takes about eight times as long; sixteen is allowed, and whoever looks
/// at every byte for every byte takes sixty-four. Who else uses the machine
/// can only add to a time, so the least of several is near to what the work itself takes.
#[test]
fn no_decoder_is_slower_than_linear() {
    /// Less than this is not measured well, in nanoseconds.
    const FLOOR: u128 = 300_000;
    let named: Vec<&str> = names().collect();
    let mut decoders = Decoders::new().unwrap();
    let mut slow = Vec::new();
    for (name, sample) in SAMPLES {
        let number = named.iter().position(|known| known == name).unwrap();
        // The whole again and again, and what stands at the end of its first half.
        let half = &sample[..sample.floor_char_boundary(sample.len() / 2)];
        let last = half.chars().last().unwrap_or('x').to_string();
        let long = |bytes: usize| {
            [
                format!("{sample} ").repeat(bytes / sample.len() + 1),
                format!("{sample}\n").repeat(bytes / sample.len() + 1),
                format!("{half}{}", last.repeat(bytes / last.len())),
            ]
        };
        for (way, (short, long)) in long(64 << 10).iter().zip(&long(512 << 10)).enumerate() {
            let mut least = [u128::MAX; 2];
            let mut tries = 0;
            let is_slow = loop {
                for (least, text) in least.iter_mut().zip([short, long]) {
                    let began = Instant::now();
                    decoders.read(number, text.as_bytes());
                    *least = began.elapsed().as_nanos().max(FLOOR).min(*least);
                }
                tries += 1;
                let is_slow = least[1] > least[0] * 16;
                if tries >= 3 && (!is_slow || tries >= 12) {
                    break is_slow;
                }
            };
            if is_slow {
                slow.push(format!("{name} ({way}): {least:?} ns"));
            }
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}
