//! Whether any decoder takes more than linear time: each by its name, for texts of one length and of
//! eight times that length, real and made to be hard. `cargo xtask bench normalize`, or
//! `YAGURA_CORPORA=DIR cargo bench -p yagura-normalize --bench growth`.
//!
//! What is linear takes 8 times as long, what is quadratic 64 times. Times are of the wall clock, the
//! shortest of several; nothing below a millisecond is believed.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;
use yagura_normalize::entries::{Decoders, names};

const SHORT_BYTES: usize = 64 * 1024;
const TIMES: usize = 8;
const ROUNDS: usize = 3;

/// Ratios up to here are named in the table only as the largest.
const RATIO_SUSPECT: f64 = 20.0;

/// Milliseconds below which a long text tells nothing.
const BELIEVED_MS: f64 = 1.0;

/// Pieces that decoders stop at, open something with, or look for.
const PIECES: [&str; 36] = [
    "a", "a ", " ", "1", "1.", "1:", "\"", "\"\"", "\\", "\\\"", "'", "{", "[", "{\"a\":", "[1,",
    "=", "a=", "a=\"b\" ", ",", "a,", ";", "|", "CEF:0|", "<", "<a>", "<1>", "(", "%", "%{", ":",
    ": ", "\n", "a\n", "\t", "#", "あ",
];

fn main() {
    let Some(corpora) = std::env::var_os("YAGURA_CORPORA").map(PathBuf::from) else {
        println!("skipped: set YAGURA_CORPORA");
        return;
    };
    let mut seeds: Vec<String> = PIECES.iter().map(|piece| (*piece).to_owned()).collect();
    for system in ["Linux", "OpenSSH", "Mac", "Apache", "Windows", "HDFS", "OpenStack"] {
        let path = corpora.join("loghub").join(system).join(format!("{system}_2k.log"));
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        seeds.push(text.lines().next().unwrap().to_owned() + " ");
        seeds.push(text);
    }
    let repeated = |seed: &str, bytes: usize| -> String {
        let mut text = seed.repeat(bytes.div_ceil(seed.len()));
        let mut end = bytes;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text
    };
    let texts: Vec<[String; 2]> = seeds
        .iter()
        .map(|seed| [SHORT_BYTES, SHORT_BYTES * TIMES].map(|bytes| repeated(seed, bytes)))
        .collect();
    let mut decoders = Decoders::new().unwrap();
    println!(
        "| decoder | largest ratio for {TIMES} times the bytes | text | ms for {} KiB |\n|---|---|---|---|",
        SHORT_BYTES * TIMES / 1024
    );
    let mut suspects = 0;
    for (number, name) in names().enumerate() {
        let mut largest = (0.0, 0.0, "");
        for (seed, [short, long]) in seeds.iter().zip(&texts) {
            let mut took = |text: &str| {
                let round = |decoders: &mut Decoders| {
                    let began = Instant::now();
                    black_box(decoders.read(number, text.as_bytes()));
                    began.elapsed().as_secs_f64() * 1e3
                };
                (0..ROUNDS).map(|_| round(&mut decoders)).fold(f64::INFINITY, f64::min)
            };
            let (short, long) = (took(short), took(long));
            let ratio = if long < BELIEVED_MS { 0.0 } else { long / short };
            if ratio > largest.0 {
                largest = (ratio, long, seed);
            }
        }
        let (ratio, long, seed) = largest;
        if ratio == 0.0 {
            println!("| {name} | each text took less than {BELIEVED_MS} ms | | |");
            continue;
        }
        suspects += usize::from(ratio > RATIO_SUSPECT);
        let seed: String = seed.escape_debug().take(24).collect();
        println!("| {name} | {ratio:.1} | `{seed}` | {long:.1} |");
    }
    println!("\n{suspects} decoders above {RATIO_SUSPECT}");
}
