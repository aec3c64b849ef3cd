//! Real logs: everything is read, nothing is left without a sentence.
//!
//! Needs the folder of corpora in `YAGURA_CORPORA`.

use crate::common;
use arrow::array::Array;
use common::{corpora, events_of, files, lines, members, normalizer, run, run_of, sampled};
use std::collections::BTreeMap;
use yagura_event::{EventBatch, Lang, Transport, columns};
use yagura_normalize::Normalizer;

#[derive(Default, Debug)]
struct Tally {
    rows: usize,
    failed: usize,
    by_dataset: BTreeMap<String, usize>,
    reasons: BTreeMap<String, usize>,
}

impl Tally {
    /// Reads `lines` in runs, and looks at every row's error and some rows' sentences.
    fn read(&mut self, normalizer: &mut Normalizer, lines: &[&[u8]]) {
        for lines in lines.chunks(2_000) {
            normalizer.normalize(&run(lines.iter().copied()));
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

/// What the rows of one recording are read as, and what was wrong with them.
fn read_recording(
    normalizer: &mut Normalizer,
    stream: &str,
    lines: &[&[u8]],
) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::<String, usize>::new();
    for lines in lines.chunks(2_000) {
        normalizer.normalize(&run_of(stream, Transport::File, lines.iter().copied()));
        for batch in normalizer.take_batches() {
            *found.entry(batch.dataset.to_string()).or_default() += batch.rows();
            if let Some(errors) = batch.columns.column_by_name(columns::PARSE_ERROR) {
                for row in (0..errors.len()).filter(|row| errors.is_valid(*row)) {
                    let error = arrow::util::display::array_value_to_string(errors, row).unwrap();
                    *found.entry(format!("error: {error}")).or_default() += 1;
                }
            }
        }
    }
    found
}

/// `YAGURA_ALL=1` reads every line of the long recordings, too.
#[test]
fn every_line_of_otrf_is_known() {
    let Some(corpora) = corpora() else { return };
    let mut normalizer = normalizer();
    let all = std::env::var_os("YAGURA_ALL").is_some();
    let (mut total, mut wrong) = (BTreeMap::<String, usize>::new(), Vec::new());
    let mut recordings = 0;
    members(&corpora.join("otrf"), |path, name, content| {
        let lines = if all { lines(content).collect() } else { sampled(content) };
        let found = read_recording(&mut normalizer, &format!("otrf-{recordings}"), &lines);
        recordings += 1;
        let rows: usize =
            found.iter().filter(|(what, _)| !what.contains(' ')).map(|(_, n)| n).sum();
        assert_eq!(rows, lines.len(), "{name}");
        let windows = path.components().any(|part| part.as_os_str() == "windows");
        for (what, rows) in found {
            let fits = match windows {
                true => what.starts_with("windows."),
                false => !["unknown", "json.generic", "kv.generic"].contains(&what.as_str()),
            };
            if !fits || what.starts_with("error: ") {
                wrong.push(format!("{}: {name}: {rows} of {what}", path.display()));
            }
            *total.entry(what).or_default() += rows;
        }
    });
    println!("{recordings} recordings: {total:#?}");
    assert!(recordings >= 70, "{recordings}");
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_event_of_evtx_is_known() {
    let Some(corpora) = corpora() else { return };
    let mut normalizer = normalizer();
    let mut wrong = Vec::new();
    let mut events = 0;
    for folder in ["evtx-attack-samples", "sigma-regression"] {
        for (number, path) in files(&corpora.join(folder), &[".evtx"]).iter().enumerate() {
            let read = events_of(path);
            let lines: Vec<&[u8]> = read.iter().map(Vec::as_slice).collect();
            events += lines.len();
            let found = read_recording(&mut normalizer, &format!("evtx-{number}"), &lines);
            let not_windows = found.into_iter().filter(|(what, _)| !what.starts_with("windows."));
            wrong.extend(not_windows.map(|(what, n)| format!("{}: {n} of {what}", path.display())));
        }
    }
    println!("{events} events");
    assert!(events > 8_000, "{events}");
    assert_eq!(wrong, Vec::<String>::new());
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
        let text = std::fs::read(corpora.join(file)).unwrap();
        tally.read(&mut normalizer, &lines(&text).collect::<Vec<_>>());
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
    for path in files(&corpora.join("sigma-regression"), &[".json"]) {
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
