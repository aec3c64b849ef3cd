//! Every text of every corpus comes back byte for byte, and nearly none needs to be kept.
//!
//! Needs the folder of corpora in `YAGURA_CORPORA`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;
#[path = "common/sieving.rs"]
mod sieving;

use arrow::array::Array;
use common::{corpora, normalizer, rows};
use yagura_event::columns::ORIGINAL as RECEIVED;
use yagura_normalize::Normalizer;
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
    fn add(&mut self, normalizer: &mut Normalizer, lines: &[Vec<u8>]) {
        for (number, lines) in lines.chunks(ROWS).enumerate() {
            for batch in rows(normalizer, lines, (number * ROWS) as u32) {
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
    let (mut tally, mut normalizer) = (Tally::default(), normalizer());
    // A quarter of the recordings, and a third of each: enough of each kind, in a few seconds.
    let third = |lines: Vec<Vec<u8>>| lines[..lines.len() / 3].to_vec();
    let lines: Vec<_> = common::otrf(&corpora, 4).flat_map(third).collect();
    tally.add(&mut normalizer, &lines);
    let share = tally.share("OTRF");
    assert!(share >= 0.99, "{share}");
}

#[test]
fn lines_of_text_come_back() {
    let Some(corpora) = corpora() else { return };
    let (mut tally, mut normalizer) = (Tally::default(), normalizer());
    for lines in common::loghub(&corpora) {
        tally.add(&mut normalizer, &lines);
    }
    let share = tally.share("loghub");
    assert!(share >= 0.95, "{share}");
}

#[test]
fn event_logs_come_back() {
    let Some(corpora) = corpora() else { return };
    let (mut tally, mut normalizer) = (Tally::default(), normalizer());
    // Many logs have a few records only, so they are taken together.
    let records: Vec<_> = common::evtx(&corpora).flatten().collect();
    tally.add(&mut normalizer, &records);
    let share = tally.share("EVTX");
    assert!(share >= 0.95, "{share}");
}

/// Words are looked for without rebuilding texts; nearly no row that has not the word is rebuilt.
#[test]
fn words_are_told_from_what_is_stored() {
    let Some(corpora) = corpora() else { return };
    let mut normalizer = normalizer();
    let third = |lines: Vec<Vec<u8>>| lines[..lines.len() / 3].to_vec();
    let windows: Vec<_> = common::otrf(&corpora, 12).flat_map(third).collect();
    let text: Vec<_> = common::loghub(&corpora).flatten().collect();
    for (lines, words, most) in [
        (windows, ["mimikatz", "powershell", "wmiprvse", "s4u", "theshire"], 0.05),
        (text, ["failed", "root", "terminating", "blk", "authentication"], 0.25),
    ] {
        let (mut without, mut rebuilt) = (0, 0);
        for (number, lines) in lines.chunks(ROWS).enumerate() {
            for batch in rows(&mut normalizer, lines, (number * ROWS) as u32) {
                let packed = pack(&batch.columns, &[MESSAGE, ORIGINAL]).unwrap();
                for word in words {
                    let has = sieving::has(&batch.columns, word);
                    for (row, (has, may)) in
                        has.into_iter().zip(sieving::may_have(&packed, word)).enumerate()
                    {
                        assert!(may || !has, "{}: row {row} has {word}", batch.dataset);
                        without += usize::from(!has);
                        rebuilt += usize::from(may && !has);
                    }
                }
            }
        }
        let share = rebuilt as f64 / without as f64;
        println!("{rebuilt} of {without}: {share:.4}");
        assert!(share <= most, "{share}");
    }
}
