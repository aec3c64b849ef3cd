//! What it costs to look for a word in recorded Windows events: folding each text first, and asking the
//! bytes as they are.
//!
//! `cargo run --release -p yagura-textindex --example look`, with the folder of corpora in
//! `YAGURA_CORPORA`. Times are the mean of all rounds, on one thread.

use memchr::memmem::Finder;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;
use yagura_textindex::{Need, Sieve, each_text, fold_into};

const BYTES_MAX: usize = 200 << 20;
const ROUNDS: usize = 5;

fn main() {
    let corpora = std::env::var_os("YAGURA_CORPORA").expect("YAGURA_CORPORA names the corpora");
    let events = events(&Path::new(&corpora).join("otrf"));
    let bytes: usize = events.iter().map(Vec::len).sum();
    println!("{} events, {} MB", events.len(), bytes >> 20);
    for word in ["mimikatz", "lsass", "powershell", "windows"] {
        let finder = Finder::new(word);
        let mut folded = String::new();
        let by_folding = timed(&events, |raw| {
            let mut found = false;
            each_text(raw, None, |text| {
                folded.clear();
                fold_into(text, &mut folded);
                found = finder.find(folded.as_bytes()).is_some();
                if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            found
        });
        let sieve = Sieve::new(&Need::Infix(word.into()));
        let by_bytes = timed(&events, |raw| sieve.may_be_in_event(raw, None));
        println!(
            "{word}: folded {} found, {:.2} us an event; bytes {} left, {:.3} us: {:.0} times quicker",
            by_folding.0,
            by_folding.1,
            by_bytes.0,
            by_bytes.1,
            by_folding.1 / by_bytes.1
        );
    }
}

/// How many were found, and microseconds an event.
fn timed(events: &[Vec<u8>], mut look: impl FnMut(&[u8]) -> bool) -> (usize, f64) {
    let began = Instant::now();
    let mut found = 0;
    for _ in 0..ROUNDS {
        found = events.iter().filter(|event| look(event)).count();
    }
    (found, began.elapsed().as_secs_f64() * 1e6 / (events.len() * ROUNDS) as f64)
}

/// Lines of the recordings, up to a limit.
fn events(folder: &Path) -> Vec<Vec<u8>> {
    let (mut events, mut bytes) = (Vec::new(), 0);
    for path in archives(folder) {
        let file = std::fs::File::open(path).expect("a recording opens");
        let mut zip = zip::ZipArchive::new(file).expect("a recording is a zip archive");
        for number in 0..zip.len() {
            let mut member = zip.by_index(number).expect("a member is there");
            let mut content = Vec::new();
            member.read_to_end(&mut content).expect("a member can be read");
            for line in content.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{")) {
                bytes += line.len();
                events.push(line.to_vec());
            }
        }
        if bytes > BYTES_MAX {
            break;
        }
    }
    events
}

fn archives(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the corpora can be listed").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.extension().is_some_and(|ending| ending == "zip") => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}
