//! Every text of every corpus comes back byte for byte, and nearly none needs to be kept.
//!
//! Needs the folder of corpora in `YAGURA_CORPORA`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use arrow::array::Array;
use common::{corpora, normalizer, rows};
use yagura_event::columns::ORIGINAL as RECEIVED;
use yagura_rebuild::{MESSAGE, ORIGINAL, pack, unpack};

/// Rows normalized together.
const ROWS: usize = 8_192;

#[derive(Debug, Default)]
struct Tally {
    rows: usize,
    kept: usize,
    messages: usize,
    messages_kept: usize,
}

impl Tally {
    fn add(&mut self, lines: &[Vec<u8>]) {
        let mut normalizer = normalizer();
        for (number, lines) in lines.chunks(ROWS).enumerate() {
            for batch in rows(&mut normalizer, lines, (number * ROWS) as u32) {
                let packed = pack(&batch.columns, &[MESSAGE, ORIGINAL]).unwrap();
                let present = |batch: &arrow::array::RecordBatch, name: &str| {
                    batch.column_by_name(name).map_or(0, |c| c.len() - c.logical_null_count())
                };
                self.rows += batch.rows();
                self.kept += present(&packed, RECEIVED);
                self.messages += present(&batch.columns, "message");
                self.messages_kept += present(&packed, "message");
                let whole = unpack(&packed).unwrap();
                assert_eq!(whole.schema(), batch.columns.schema());
                for name in [RECEIVED, "message"] {
                    let (before, after) =
                        (batch.columns.column_by_name(name), whole.column_by_name(name));
                    assert_eq!(before, after, "{}: {name}", batch.dataset);
                }
            }
        }
    }

    /// The share of received texts that need not be stored.
    fn share(&self, name: &str) -> f64 {
        println!("{name}: {self:?}");
        1.0 - self.kept as f64 / self.rows as f64
    }
}

#[test]
fn windows_events_come_back() {
    let Some(corpora) = corpora() else { return };
    let mut tally = Tally::default();
    // A third of each recording, in order: enough of each kind, in a few seconds.
    for lines in common::otrf(&corpora) {
        tally.add(&lines[..lines.len() / 3]);
    }
    let share = tally.share("OTRF");
    assert!(share >= 0.99, "{share}");
}

#[test]
fn lines_of_text_come_back() {
    let Some(corpora) = corpora() else { return };
    let mut tally = Tally::default();
    for lines in common::loghub(&corpora) {
        tally.add(&lines);
    }
    let share = tally.share("loghub");
    assert!(share >= 0.95, "{share}");
}

#[test]
fn event_logs_come_back() {
    let Some(corpora) = corpora() else { return };
    let mut tally = Tally::default();
    // Many logs have a few records only, so they are taken together.
    let records: Vec<_> = common::evtx(&corpora).flatten().collect();
    tally.add(&records);
    let share = tally.share("EVTX");
    assert!(share >= 0.95, "{share}");
}
