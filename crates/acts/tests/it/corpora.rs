//! How much less a person reads, per corpus. Needs the folder of corpora in `YAGURA_CORPORA`;
//! `--no-capture` prints the table and examples of each kind; `YAGURA_ACTS_ALL=1` reads every Windows
//! recording instead of every fourth, and every system of Loghub instead of three.

use crate::recorded::{corpora, event_log, files, is_recording, zipped};
use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::Path;
use yagura_acts::{Act, Acts, Observed, Options, batches};
use yagura_event::{CommittedRun, Lang, Record, StreamName, Transport};
use yagura_normalize::Normalizer;

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// What is in the recordings of an archive.
fn contents(path: &Path) -> Vec<Vec<u8>> {
    let contents = if path.extension().is_some_and(|end| end == "zip") {
        zipped(path)
    } else {
        let file = std::fs::File::open(path).unwrap();
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file));
        let mut contents = Vec::new();
        for member in tar.entries().unwrap() {
            let mut member = member.unwrap();
            if is_recording(&member.path().unwrap().to_string_lossy()) {
                let mut content = Vec::new();
                member.read_to_end(&mut content).unwrap();
                contents.push(content);
            }
        }
        contents
    };
    assert!(!contents.is_empty(), "nothing in {}", path.display());
    contents
}

/// Acts and single events of what was read, and that each event is in exactly one place.
struct Tally {
    normalizer: Normalizer,
    batch: u64,
    events: usize,
    passed: usize,
    acts: Vec<Act>,
    took: std::time::Duration,
}

impl Tally {
    fn new() -> Tally {
        let normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
        Tally {
            normalizer,
            batch: 0,
            events: 0,
            passed: 0,
            acts: Vec::new(),
            took: std::time::Duration::ZERO,
        }
    }

    /// One recording: its acts end with it.
    fn recording(&mut self, lines: Vec<Vec<u8>>) {
        // The recordings are files: what is late is not late in a file.
        let mut acts = Acts::new(Options { lateness_micros: i64::MAX / 2 });
        let mut all = Observed::default();
        for lines in lines.chunks(2_000) {
            self.batch += 1;
            let record = |bytes: &Vec<u8>| Record {
                received: "2026-11-21T12:00:00Z".parse().unwrap(),
                transport: Transport::File,
                peer: "".into(),
                identity: "".into(),
                bytes: bytes.clone().into(),
            };
            let run = CommittedRun {
                stream: StreamName::new("test").unwrap(),
                batch: self.batch,
                batch_salt: [0; 32],
                first_index: 0,
                records: lines.iter().map(record).collect(),
            };
            self.events += run.records.len();
            self.normalizer.normalize(&run);
            for batch in self.normalizer.take_batches() {
                let began = std::time::Instant::now();
                let observed = acts.observe(&batch);
                self.took += began.elapsed();
                all.acts.extend(observed.acts);
                all.passed.extend(observed.passed);
            }
        }
        let began = std::time::Instant::now();
        let observed = acts.finish();
        self.took += began.elapsed();
        all.acts.extend(observed.acts);
        all.passed.extend(observed.passed);
        let in_acts = all.acts.iter().flat_map(|act| &act.event_ids);
        let mut seen = HashSet::new();
        for id in in_acts.chain(&all.passed) {
            assert!(seen.insert(id.clone()), "{id} is in two places");
        }
        assert_eq!(seen.len(), lines.len(), "every event is in one place");
        self.passed += all.passed.len();
        self.acts.append(&mut all.acts);
    }

    /// Says it, and answers by how much what a person reads shrinks.
    fn report(&self, name: &str) -> f64 {
        let lines = self.passed + self.acts.len();
        let share = self.events as f64 / lines as f64;
        println!(
            "{name}: {} events -> {lines} lines ({share:.1} : 1): {} acts of {} events, {} single",
            self.events,
            self.acts.len(),
            self.events - self.passed,
            self.passed
        );
        println!("  acts alone took {:?}", self.took);
        let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for act in &self.acts {
            let kind = kinds.entry(act.kind.as_str()).or_default();
            kind.0 += 1;
            kind.1 += act.event_ids.len();
        }
        for (kind, (acts, events)) in &kinds {
            println!("  {kind}: {acts} acts of {events} events");
        }
        let dictionary = self.normalizer.dictionary();
        for batch in batches(&self.acts, dictionary) {
            for row in 0..batch.rows() {
                for lang in [Lang::Ja, Lang::En] {
                    let sentence = self.normalizer.sentence(&batch, row, lang);
                    let generic = ["のイベント", "An event of"];
                    assert!(!generic.iter().any(|g| sentence.contains(g)), "{sentence}");
                    if row % (batch.rows() / 4 + 1) == 0 {
                        println!("    {sentence}");
                    }
                }
            }
        }
        share
    }
}

#[test]
fn text_logs_shrink() {
    let Some(corpora) = corpora() else { return };
    let is_system =
        |name: &str| corpora.join("loghub").join(name).join(format!("{name}_2k.log")).is_file();
    let mut least: BTreeMap<String, f64> = BTreeMap::new();
    if std::env::var_os("YAGURA_ACTS_ALL").is_some() {
        let systems = std::fs::read_dir(corpora.join("loghub")).unwrap().flatten();
        let names = systems.map(|entry| entry.file_name().into_string().unwrap());
        // Folders beside them are of the repository. Nothing is read as more lines than it has.
        least.extend(names.filter(|name| is_system(name)).zip(std::iter::repeat(1.0)));
    }
    least.extend([("OpenSSH", 10.0), ("Linux", 4.0), ("Apache", 1.0)].map(|(s, l)| (s.into(), l)));
    for (system, least) in least {
        let file = format!("loghub/{system}/{system}_2k.log");
        let mut tally = Tally::new();
        tally.recording(lines(&std::fs::read(corpora.join(&file)).unwrap()));
        let share = tally.report(&file);
        assert!(share >= least, "{file}: {share}");
    }
}

#[test]
fn windows_recordings_shrink() {
    let Some(corpora) = corpora() else { return };
    let mut tally = Tally::new();
    let folder = corpora.join("otrf/atomic/windows");
    let zips = files(&folder, "zip");
    assert!(zips.len() > 50);
    // Every fourth: in a test that is run often, enough.
    let step = if std::env::var_os("YAGURA_ACTS_ALL").is_some() { 1 } else { 4 };
    // Those of Winlogbeat before version 7 are few, so all of them.
    for path in files(&folder, "gz").into_iter().chain(zips.into_iter().step_by(step)) {
        for content in contents(&path) {
            tally.recording(lines(&content));
        }
    }
    let share = tally.report("otrf windows");
    assert!(share >= 10.0, "{share}");
}

#[test]
fn event_logs_shrink() {
    let Some(corpora) = corpora() else { return };
    let mut tally = Tally::new();
    let logs = files(&corpora.join("evtx-attack-samples"), "evtx");
    assert!(logs.len() > 100);
    for path in logs {
        let Some(records) = event_log(&path) else { continue };
        tally.recording(records);
    }
    let share = tally.report("evtx samples");
    // These are extracts of a few events each, so there is little to join.
    assert!(share >= 1.2, "{share}");
}
