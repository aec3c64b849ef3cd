//! Real Windows events: each is read, nearly each has a sentence of its own, and XML says the same.
//!
//! Needs the folder of corpora in `YAGURA_CORPORA`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use arrow::array::Array;
use common::{normalizer, run};
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use yagura_event::{EventBatch, Lang, columns};
use yagura_normalize::Normalizer;

fn corpora() -> Option<PathBuf> {
    match std::env::var_os("YAGURA_CORPORA") {
        Some(path) => Some(path.into()),
        None if std::env::var_os("CI").is_some() => panic!("CI must set YAGURA_CORPORA"),
        None => {
            println!("skipped: set YAGURA_CORPORA");
            None
        }
    }
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no .{extension} in {}", folder.display());
    found
}

fn cell(batch: &EventBatch, column: &str, row: usize) -> String {
    let column = batch.columns.column_by_name(column);
    column.map_or_else(String::new, |column| {
        arrow::util::display::array_value_to_string(column, row).unwrap()
    })
}

/// How many events there were of each kind, and which kinds have no sentence of their own.
#[derive(Default)]
struct Tally {
    kinds: HashMap<[String; 3], (usize, bool)>,
    failed: BTreeMap<String, usize>,
}

impl Tally {
    fn read(&mut self, normalizer: &mut Normalizer, events: &[Vec<u8>]) {
        for events in events.chunks(4_000) {
            normalizer.normalize(&run(events.iter().cloned()));
            for batch in normalizer.take_batches() {
                self.batch(normalizer, &batch);
            }
        }
    }

    fn batch(&mut self, normalizer: &Normalizer, batch: &EventBatch) {
        if let Some(errors) = batch.columns.column_by_name(columns::PARSE_ERROR) {
            let failed = errors.len() - errors.null_count();
            *self.failed.entry(batch.dataset.to_string()).or_default() += failed;
        }
        for row in 0..batch.rows() {
            let kind = [
                cell(batch, "winlog.channel", row).to_lowercase(),
                cell(batch, "winlog.provider_name", row),
                cell(batch, "event.code", row),
            ];
            let entry = self.kinds.entry(kind).or_insert_with(|| {
                let sentence = normalizer.sentence(batch, row, Lang::En);
                let generic = sentence.starts_with("Event ")
                    && sentence.contains(" was logged to ")
                    || ["A record", "An event of"].iter().any(|start| sentence.starts_with(start))
                    || sentence.contains(" sent a record");
                (0, !generic)
            });
            entry.0 += 1;
        }
    }

    /// The share of events with a sentence of their own.
    fn share_said(&self, name: &str) -> f64 {
        let all: usize = self.kinds.values().map(|(events, _)| events).sum();
        let said: usize =
            self.kinds.values().filter(|(_, said)| *said).map(|(events, _)| events).sum();
        let mut unsaid: Vec<_> = self.kinds.iter().filter(|(_, (_, said))| !said).collect();
        unsaid.sort_by_key(|(_, (events, _))| std::cmp::Reverse(*events));
        let kinds = self.kinds.values().filter(|(_, said)| *said).count();
        println!(
            "{name}: {said} of {all} events, {kinds} of {} kinds; not: {:?}",
            self.kinds.len(),
            &unsaid[..unsaid.len().min(40)]
        );
        said as f64 / all as f64
    }
}

fn evtx_files(corpora: &Path) -> Vec<PathBuf> {
    let mut found = files(&corpora.join("evtx-attack-samples"), "evtx");
    found.extend(files(&corpora.join("sigma-regression"), "evtx"));
    found
}

#[test]
fn evtx_samples_are_read_and_said() {
    let Some(corpora) = corpora() else { return };
    let mut normalizer = normalizer();
    let mut tally = Tally::default();
    for path in evtx_files(&corpora) {
        let settings = evtx::ParserSettings::new().num_threads(1);
        let mut parser = evtx::EvtxParser::from_path(&path).unwrap().with_configuration(settings);
        let events: Vec<_> =
            parser.records_json().filter_map(|record| Some(record.ok()?.data.into())).collect();
        tally.read(&mut normalizer, &events);
    }
    assert_eq!(tally.failed, BTreeMap::new());
    let share = tally.share_said("EVTX");
    assert!(share >= 0.99, "{share}");
}

#[test]
fn otrf_windows_events_are_read_and_said() {
    let Some(corpora) = corpora() else { return };
    let mut normalizer = normalizer();
    let mut tally = Tally::default();
    for path in files(&corpora.join("otrf"), "zip") {
        let mut zip = zip::ZipArchive::new(std::fs::File::open(&path).unwrap()).unwrap();
        for number in 0..zip.len() {
            let mut member = zip.by_index(number).unwrap();
            let name = member.name().unwrap().into_owned();
            if name.contains("__MACOSX") || !name.ends_with(".json") {
                continue;
            }
            let mut content = Vec::new();
            member.read_to_end(&mut content).unwrap();
            let lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            // A third of them: of each file and each kind enough, in a few seconds.
            let events: Vec<_> =
                lines.filter(|line| !line.is_empty()).step_by(3).map(<[u8]>::to_vec).collect();
            tally.read(&mut normalizer, &events);
        }
    }
    assert_eq!(tally.failed, BTreeMap::new());
    let share = tally.share_said("OTRF");
    assert!(share >= 0.99, "{share}");
}

/// The row of an event as text, without what is empty and without the raw bytes.
fn row(normalizer: &mut Normalizer, event: String) -> BTreeMap<String, String> {
    normalizer.normalize(&run([event.into_bytes()]));
    let batch = normalizer.take_batches().pop().unwrap();
    let schema = batch.columns.schema();
    let names = schema.fields().iter().map(|field| field.name().clone());
    let mut row: BTreeMap<_, _> = names
        .filter(|name| name != columns::ORIGINAL && !name.starts_with("winlog.system."))
        .map(|name| (name.clone(), cell(&batch, &name, 0).trim().replace("\r\n", "\n")))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    row.insert("dataset".into(), batch.dataset.to_string());
    row
}

#[test]
fn xml_reads_the_same_as_the_log_file() {
    let Some(corpora) = corpora() else { return };
    let mut normalizer = normalizer();
    let (mut same, mut different) = (0, Vec::new());
    for path in evtx_files(&corpora) {
        let open = || {
            let settings = evtx::ParserSettings::new().num_threads(1).indent(false);
            evtx::EvtxParser::from_path(&path).unwrap().with_configuration(settings)
        };
        let (mut json, mut xml) = (open(), open());
        // Of each file a few: a file holds mostly events of few kinds.
        for (json, xml) in json.records_json().zip(xml.records()).take(12) {
            let (Ok(json), Ok(xml)) = (json, xml) else { continue };
            let (json, xml) = (row(&mut normalizer, json.data), row(&mut normalizer, xml.data));
            if json == xml {
                same += 1;
            } else {
                let only: Vec<_> =
                    xml.iter().filter(|(name, value)| json.get(*name) != Some(value)).collect();
                let missing: Vec<_> =
                    json.iter().filter(|(name, value)| xml.get(*name) != Some(value)).collect();
                different.push(format!("{}: {only:?} / {missing:?}", path.display()));
            }
        }
    }
    println!(
        "{same} the same, {} not: {:#?}",
        different.len(),
        &different[..different.len().min(12)]
    );
    assert!(
        same > 1_000 && different.len() * 100 <= same,
        "{same} the same, {} not",
        different.len()
    );
}
