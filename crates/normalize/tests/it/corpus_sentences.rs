//! What is said of the first event of each kind in the corpora, in both languages, is as it was last
//! read through: `said/corpora.txt`, with `{name of the field}` where an event has a value, since
//! the corpora are not ours to copy. `YAGURA_UPDATE_DOCS=1` writes it.
//!
//! Needs the folder of corpora in `YAGURA_CORPORA`.

use crate::common;
use arrow::util::display::array_value_to_string;
use common::{assert_said, corpora, events_of, files, lines, members, normalizer, run_of, sampled};
use std::collections::BTreeMap;
use yagura_event::{EventBatch, Lang, Transport};
use yagura_normalize::Normalizer;

/// Dataset, provider (of Windows events, whose codes mean something else for each), and the code or
/// else the action.
type Kind = (String, String, String);

struct Kinds {
    normalizer: Normalizer,
    said: BTreeMap<Kind, [String; 2]>,
}

impl Kinds {
    fn read<B: Into<Vec<u8>>>(
        &mut self,
        stream: &str,
        transport: Transport,
        lines: impl IntoIterator<Item = B>,
    ) {
        self.normalizer.normalize(&run_of(stream, transport, lines));
        for batch in self.normalizer.take_batches() {
            self.batch(&batch);
        }
    }

    fn batch(&mut self, batch: &EventBatch) {
        let column = |name: &str| batch.columns.column_by_name(name);
        let [code, action, provider] = ["event.code", "event.action", "event.provider"].map(column);
        let windows = batch.dataset.starts_with("windows.");
        let sentences = self.normalizer.sentences(batch);
        for row in 0..batch.rows() {
            let cell = |column: Option<&arrow::array::ArrayRef>| {
                column.map_or_else(String::new, |c| array_value_to_string(c, row).unwrap())
            };
            let provider = if windows { cell(provider) } else { String::new() };
            let code = Some(cell(code)).filter(|code| !code.is_empty());
            let kind = (batch.dataset.to_string(), provider, code.unwrap_or_else(|| cell(action)));
            self.said.entry(kind).or_insert_with(|| {
                [Lang::Ja, Lang::En].map(|lang| {
                    let masked = sentences.masked(row, lang);
                    assert!(!sentences.of_row(row, lang).trim().is_empty());
                    masked
                })
            });
        }
    }
}

#[test]
fn each_kind_of_event_is_said_as_it_was_read_through() {
    let Some(corpora) = corpora() else { return };
    let mut kinds = Kinds { normalizer: normalizer(), said: BTreeMap::new() };
    for folder in ["evtx-attack-samples", "sigma-regression"] {
        for path in files(&corpora.join(folder), &[".evtx"]) {
            kinds.read("evtx", Transport::File, events_of(&path));
        }
    }
    let mut number = 0;
    members(&corpora.join("otrf"), |_, _, content| {
        number += 1;
        for lines in sampled(content).chunks(4_000) {
            kinds.read(&format!("otrf-{number}"), Transport::File, lines.iter().copied());
        }
    });
    for path in files(&corpora.join("loghub"), &["_2k.log"]) {
        let text = std::fs::read(&path).unwrap();
        // Before each line, Thunderbird's collector put a label, the time twice and the host.
        let added = if path.ends_with("Thunderbird_2k.log") { 5 } else { 1 };
        let lines =
            lines(&text).map(|line| line.splitn(added, |byte| *byte == b' ').last().unwrap());
        kinds.read("loghub", Transport::SyslogTcp, lines);
    }
    println!("{} kinds", kinds.said.len());
    assert!(kinds.said.len() >= 250, "{} kinds", kinds.said.len());
    let mut page = String::new();
    for ((dataset, provider, code), [ja, en]) in &kinds.said {
        let name = [dataset.as_str(), provider, code];
        let name: Vec<&str> = name.into_iter().filter(|part| !part.is_empty()).collect();
        page.push_str(&format!("{}\n  {ja}\n  {en}\n", name.join(" | ")));
    }
    assert_said("corpora.txt", &page);
}
