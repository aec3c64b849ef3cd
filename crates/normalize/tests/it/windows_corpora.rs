//! Real Windows events: each is read, nearly each has a sentence of its own, and XML says the same.
//!
//! Needs the folder of corpora in `YAGURA_CORPORA`.

use crate::common;
use arrow::array::Array;
use common::{corpora, events_of, files, lines, members, normalizer, run};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use yagura_event::{EventBatch, Lang, columns};
use yagura_normalize::Normalizer;

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
    let mut found = files(&corpora.join("evtx-attack-samples"), &[".evtx"]);
    found.extend(files(&corpora.join("sigma-regression"), &[".evtx"]));
    found
}

#[test]
fn evtx_samples_are_read_and_said() {
    let Some(corpora) = corpora() else { return };
    let mut normalizer = normalizer();
    let mut tally = Tally::default();
    for path in evtx_files(&corpora) {
        tally.read(&mut normalizer, &events_of(&path));
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
    members(&corpora.join("otrf"), |_, name, content| {
        if name.ends_with(".json") {
            // A third of them: of each file and each kind enough, in a few seconds.
            let events: Vec<_> = lines(content).step_by(3).map(<[u8]>::to_vec).collect();
            tally.read(&mut normalizer, &events);
        }
    });
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

#[derive(serde::Deserialize)]
struct SaidFile {
    #[serde(default)]
    sentence: Vec<Said>,
}

#[derive(serde::Deserialize)]
struct Said {
    dataset: String,
    code: Option<Codes>,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Codes {
    One(String),
    Many(Vec<String>),
}

#[derive(serde::Deserialize)]
struct LogSources {
    source: Vec<LogSource>,
}

#[derive(serde::Deserialize)]
struct LogSource {
    product: Option<String>,
    category: Option<String>,
    service: Option<String>,
    #[serde(rename = "where")]
    places: Vec<LogPlace>,
}

#[derive(serde::Deserialize)]
struct LogPlace {
    dataset: String,
}

/// Service and event codes of a rule for a service of Windows.
fn service_and_codes(rule: &str) -> Option<(&str, Vec<&str>)> {
    let value = |key: &str| {
        let line = rule.lines().find(|line| line.trim_start().starts_with(key))?;
        line.split_once(':')?.1.split('#').next().map(str::trim)
    };
    if value("product:")? != "windows" {
        return None;
    }
    let service = value("service:")?;
    let number =
        |text: &'_ str| -> bool { !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) };
    let mut codes = Vec::new();
    let mut in_list = false;
    for line in rule.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(code) = line.trim_start_matches("- ").strip_prefix("EventID:") {
            in_list = code.trim().is_empty();
            codes.extend(Some(code.trim()).filter(|code| number(code)));
        } else if in_list {
            match line.strip_prefix("- ").map(str::trim).filter(|code| number(code)) {
                Some(code) => codes.push(code),
                None => in_list = line.is_empty(),
            }
        }
    }
    Some((service, codes))
}

/// Whatever a rule of SigmaHQ looks for in a log of Windows is said in words of its own.
#[test]
fn every_event_that_sigma_rules_name_has_a_sentence() {
    let Some(corpora) = corpora() else { return };
    let content = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../content");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let mut said = std::collections::BTreeSet::new();
    for path in files(&content.join("sentences"), &[".toml"]) {
        let file: SaidFile = toml::from_str(&read(&path)).unwrap();
        for Said { dataset, code } in file.sentence {
            let codes = match code {
                Some(Codes::One(code)) => vec![code],
                Some(Codes::Many(codes)) => codes,
                None => Vec::new(),
            };
            said.extend(codes.into_iter().map(|code| (dataset.clone(), code)));
        }
    }
    let sources: LogSources = toml::from_str(&read(&content.join("logsources.toml"))).unwrap();
    let datasets = |service: &str| -> Vec<&str> {
        let of = sources.source.iter().filter(|source| {
            source.product.as_deref() == Some("windows")
                && source.category.is_none()
                && source.service.as_deref() == Some(service)
        });
        of.flat_map(|source| &source.places).map(|place| place.dataset.as_str()).collect()
    };
    let (mut named, mut missing) = (0, std::collections::BTreeSet::new());
    let is_rule = |path: &PathBuf| {
        let mut parts = path.strip_prefix(&corpora).unwrap().components();
        parts.any(|part| part.as_os_str().to_string_lossy().starts_with("rules"))
    };
    for path in files(&corpora.join("sigma"), &[".yml"]).into_iter().filter(is_rule) {
        let rule = read(&path);
        let Some((service, codes)) = service_and_codes(&rule) else { continue };
        for code in codes {
            named += 1;
            let known = |dataset: &&str| said.contains(&((*dataset).to_owned(), code.to_owned()));
            if !datasets(service).iter().any(known) {
                missing.insert(format!("{service} {code}"));
            }
        }
    }
    assert!(named > 400, "{named}");
    assert!(missing.is_empty(), "no sentence: {missing:?}");
}
