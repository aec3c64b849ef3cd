//! Real lines with bytes changed: one row each, and no panic.

use crate::common;
use common::{corpora, files, lines, members, normalizer, run_of};
use yagura_event::{Lang, Transport};

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
