//! Real logs: everything is read, nothing is left without a sentence.
//!
//! Needs the folder of corpora in `YAGURA_CORPORA`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use arrow::array::Array;
use common::{corpora, normalizer, run};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use yagura_event::{EventBatch, Lang, columns};
use yagura_normalize::Normalizer;

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

#[derive(Default, Debug)]
struct Tally {
    rows: usize,
    failed: usize,
    by_dataset: BTreeMap<String, usize>,
    reasons: BTreeMap<String, usize>,
}

impl Tally {
    /// Reads `lines` in runs, and looks at every row's error and some rows' sentences.
    fn read(&mut self, normalizer: &mut Normalizer, lines: &[Vec<u8>]) {
        for lines in lines.chunks(2_000) {
            normalizer.normalize(&run(lines.iter().cloned()));
            for batch in normalizer.take_batches() {
                self.batch(normalizer, &batch);
            }
        }
    }

    fn batch(&mut self, normalizer: &Normalizer, batch: &EventBatch) {
        self.rows += batch.rows();
        *self.by_dataset.entry(batch.dataset.to_string()).or_default() += batch.rows();
        if let Some(errors) = batch.columns.column_by_name(columns::PARSE_ERROR) {
            let failed = errors.len() - errors.null_count();
            self.failed += failed;
            let reason = arrow::util::display::array_value_to_string(errors, 0).unwrap();
            *self.reasons.entry(reason).or_default() += failed;
        }
        for row in (0..batch.rows()).step_by(17) {
            for lang in [Lang::Ja, Lang::En] {
                let sentence = normalizer.sentence(batch, row, lang);
                assert!(!sentence.trim().is_empty());
                assert!(!sentence.contains(char::is_control), "{sentence:?}");
            }
        }
    }

    fn share_read(&self) -> f64 {
        1.0 - self.failed as f64 / self.rows as f64
    }
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

#[test]
fn otrf_datasets_are_read() {
    let Some(corpora) = corpora() else { return };
    let mut normalizer = normalizer();
    let mut tally = Tally::default();
    for path in files(&corpora.join("otrf"), "zip") {
        let mut zip = zip::ZipArchive::new(std::fs::File::open(&path).unwrap()).unwrap();
        for number in 0..zip.len() {
            let mut member = zip.by_index(number).unwrap();
            if member.name().unwrap().contains("__MACOSX") || !member.is_file() {
                continue;
            }
            let mut content = Vec::new();
            member.read_to_end(&mut content).unwrap();
            // Every seventh line: of each file and each kind enough, in a few seconds.
            let lines: Vec<_> = lines(&content).into_iter().step_by(7).collect();
            tally.read(&mut normalizer, &lines);
        }
    }
    println!("{tally:#?}");
    // One member is a CSV table of AWS events, which no decoder knows yet.
    assert!(tally.share_read() > 0.995, "{}", tally.share_read());
    assert!(tally.by_dataset["windows.sysmon"] > 10_000);
}

#[test]
fn text_logs_are_read() {
    let Some(corpora) = corpora() else { return };
    let mut normalizer = normalizer();
    for (file, dataset, share) in [
        ("loghub/Linux/Linux_2k.log", "", 0.99),
        ("loghub/OpenSSH/OpenSSH_2k.log", "linux.auth", 0.99),
        ("loghub/Apache/Apache_2k.log", "web.error", 0.99),
        ("loghub/Mac/Mac_2k.log", "", 0.99),
    ] {
        let mut tally = Tally::default();
        tally.read(&mut normalizer, &lines(&std::fs::read(corpora.join(file)).unwrap()));
        println!("{file}: {tally:?}");
        assert!(tally.share_read() >= share, "{file}: {tally:?}");
        let rows = tally.by_dataset.iter().filter(|(name, _)| name.starts_with(dataset));
        let rows: usize = rows.map(|(_, rows)| rows).sum();
        assert!(rows as f64 >= share * tally.rows as f64, "{file}: {tally:?}");
    }
}

/// Values of a batch's row by column, blanks at the end cut, without what the envelope says.
fn row(batch: &EventBatch, row: usize) -> BTreeMap<String, String> {
    let schema = batch.columns.schema();
    let cells = schema.fields().iter().zip(batch.columns.columns());
    cells
        .filter(|(field, column)| {
            !column.is_null(row) && field.name().starts_with("winlog.event_data.")
        })
        .map(|(field, column)| {
            let text = arrow::util::display::array_value_to_string(column, row).unwrap();
            (field.name().clone(), text.trim_end().to_owned())
        })
        .collect()
}

/// The rows of `documents`, in order, by record number.
fn rows(
    normalizer: &mut Normalizer,
    documents: &[String],
) -> BTreeMap<i64, BTreeMap<String, String>> {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    normalizer.normalize(&run(documents.iter().map(String::as_bytes)));
    let mut rows = BTreeMap::new();
    for batch in normalizer.take_batches() {
        assert!(batch.columns.column_by_name(columns::PARSE_ERROR).is_none());
        let numbers = batch.columns.column_by_name("winlog.record_id").unwrap();
        let numbers = numbers.as_primitive::<Int64Type>().clone();
        for index in 0..batch.rows() {
            rows.insert(numbers.value(index), row(&batch, index));
        }
    }
    rows
}

/// SigmaHQ's older dumper and the EVTX reader, with both of its ways to write attributes, agree.
#[test]
fn one_event_reads_the_same_from_both_dumps() {
    let Some(corpora) = corpora() else { return };
    let mut normalizer = normalizer();
    let (mut same, mut different) = (0, Vec::new());
    for path in files(&corpora.join("sigma-regression"), "json") {
        let text = std::fs::read_to_string(&path).unwrap();
        let documents: Vec<String> = serde_json::Deserializer::from_str(&text)
            .into_iter::<serde_json::Value>()
            .filter_map(|document| Some(document.ok()?.to_string()))
            .collect();
        let dumped = rows(&mut normalizer, &documents);
        let Ok(()) = std::fs::metadata(path.with_extension("evtx")).map(|_| ()) else { continue };
        let read = |separate| {
            let settings =
                evtx::ParserSettings::new().separate_json_attributes(separate).num_threads(1);
            let parser = evtx::EvtxParser::from_path(path.with_extension("evtx")).unwrap();
            let mut parser = parser.with_configuration(settings);
            parser.records_json().filter_map(|record| Some(record.ok()?.data)).collect::<Vec<_>>()
        };
        let joined = rows(&mut normalizer, &read(false));
        assert_eq!(joined, rows(&mut normalizer, &read(true)), "{}", path.display());
        for (number, dumped) in dumped {
            match joined.get(&number) {
                Some(read) if *read == dumped => same += 1,
                read => different.push((path.clone(), number, dumped, read.cloned())),
            }
        }
    }
    println!("{same} the same; {} different: {:#?}", different.len(), different.first());
    assert!(same > 100 && different.len() * 50 <= same, "{same} the same, {} not", different.len());
}
