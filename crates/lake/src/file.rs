//! What the table's log says of one Parquet file.

use crate::LakeError;
use crate::packed::{PACKED_KEY as PACKED, Packed};
use crate::text_index::TextIndexFile;
use deltalake_core::kernel::Add;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

/// How many rows of a batch something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchRows {
    /// The batch.
    pub batch: u64,
    /// Rows of it.
    pub rows: u32,
}

/// In which order the rows of a file lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// By batch and index, as they were received.
    #[default]
    Ledger,
    /// By stream, event code and time: like beside like, which is smaller and quicker to ask.
    Source,
}

/// Where a file lies that is no longer in the table's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cold {
    /// The cold store, as its settings name it: `s3://bucket/prefix` or `file:///directory`.
    pub store: Arc<str>,
    /// Bytes that its events had when they were received: for figures, without asking the store.
    pub received: u64,
}

/// One Parquet file of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Path within the table's directory, or within its cold store, parts joined by `/`. The text index
    /// lies in the table's directory in both cases.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// The dataset of all its events.
    pub dataset: Arc<str>,
    /// UTC day on which its events were received, `YYYY-MM-DD`.
    pub day: String,
    /// Earliest and latest `@timestamp`, µs since 1970 (both inclusive).
    pub time: Option<(i64, i64)>,
    /// Its batches, ascending.
    pub batches: Vec<BatchRows>,
    /// SHA-256 of the file, lower-case hexadecimal; empty for a file another writer added.
    pub sha256: String,
    /// The flush, the rereading or the compaction that wrote it.
    pub flush: String,
    /// The order of its rows.
    pub order: Order,
    /// Its text index; `None` for a file written before there were any, or by another writer.
    pub text_index: Option<TextIndexFile>,
    /// Which of its texts are rebuilt from other columns; `None` for a file with all of them.
    pub packed: Option<Arc<Packed>>,
    /// The cold store it lies in; `None`: it lies in the table's directory.
    pub cold: Option<Arc<Cold>>,
}

const BATCHES: &str = "yagura.batches";
const TIME: &str = "yagura.time";
const SHA256: &str = "yagura.sha256";
const FLUSH: &str = "yagura.flush";
const ORDER: &str = "yagura.order";
const BY_SOURCE: &str = "source";
const TEXT_INDEX: &str = "yagura.textidx";
const COLD: &str = "yagura.cold";

impl FileEntry {
    /// Its path as the table's log has it: within the table's directory, or the whole URL of one in a
    /// cold store. No two files of a table have the same.
    pub fn place(&self) -> String {
        match &self.cold {
            None => self.path.clone(),
            Some(cold) => format!("{}/{}", cold.store, self.path),
        }
    }

    /// The tags of the file's `add` action.
    pub(crate) fn tags(&self) -> HashMap<String, Option<String>> {
        let mut tags = HashMap::from([
            (BATCHES.to_owned(), Some(encode_batches(&self.batches))),
            (SHA256.to_owned(), Some(self.sha256.clone())),
            (FLUSH.to_owned(), Some(self.flush.clone())),
        ]);
        if let Some((first, last)) = self.time {
            tags.insert(TIME.to_owned(), Some(format!("{first} {last}")));
        }
        if self.order == Order::Source {
            tags.insert(ORDER.to_owned(), Some(BY_SOURCE.to_owned()));
        }
        if let Some(index) = &self.text_index {
            tags.insert(TEXT_INDEX.to_owned(), Some(index.tag()));
        }
        if let Some(packed) = &self.packed {
            tags.insert(PACKED.to_owned(), Some(packed.text()));
        }
        if let Some(cold) = &self.cold {
            tags.insert(COLD.to_owned(), Some(format!("{} {}", cold.received, cold.store)));
        }
        tags
    }

    /// Reads an `add` action back. A file without our tags (another writer's) is never pruned and
    /// holds no batch we know of.
    pub(crate) fn from_add(add: &Add) -> Result<Self, LakeError> {
        let tag = |name: &str| {
            add.tags.as_ref().and_then(|tags| tags.get(name)).and_then(Option::as_deref)
        };
        let damaged = |tag: &'static str, value: &str| LakeError::Tag {
            file: add.path.clone(),
            tag,
            value: value.chars().take(64).collect(),
        };
        let partition =
            |name: &str| add.partition_values.get(name).cloned().flatten().unwrap_or_default();
        let time = match tag(TIME) {
            None => None,
            Some(text) => {
                let range = text.split_once(' ').and_then(|(first, last)| {
                    Some((first.parse::<i64>().ok()?, last.parse::<i64>().ok()?))
                });
                Some(range.ok_or_else(|| damaged(TIME, text))?)
            }
        };
        let batches = match tag(BATCHES) {
            None => Vec::new(),
            Some(text) => decode_batches(text).ok_or_else(|| damaged(BATCHES, text))?,
        };
        let packed = match tag(PACKED) {
            None => None,
            Some(text) => Some(Packed::from_text(text).ok_or_else(|| damaged(PACKED, text))?),
        };
        let cold = match tag(COLD) {
            None => None,
            Some(text) => {
                let read = text.split_once(' ').and_then(|(received, store)| {
                    Some(Cold { received: received.parse().ok()?, store: store.into() })
                });
                Some(read.ok_or_else(|| damaged(COLD, text))?)
            }
        };
        let path = match &cold {
            None => add.path.as_str(),
            Some(cold) => {
                let inside = add.path.strip_prefix(&*cold.store);
                let inside = inside.and_then(|inside| inside.strip_prefix('/'));
                inside.ok_or_else(|| damaged(COLD, &cold.store))?
            }
        };
        let stats: Option<serde_json::Value> =
            add.stats.as_deref().and_then(|stats| serde_json::from_str(stats).ok());
        let rows = stats.and_then(|stats| stats.get("numRecords")?.as_u64());
        Ok(FileEntry {
            path: path.to_owned(),
            bytes: u64::try_from(add.size).unwrap_or(0),
            rows: rows.unwrap_or_else(|| batches.iter().map(|batch| u64::from(batch.rows)).sum()),
            dataset: partition("dataset").into(),
            day: partition("day"),
            time,
            batches,
            sha256: tag(SHA256).unwrap_or_default().to_owned(),
            flush: tag(FLUSH).unwrap_or_default().to_owned(),
            order: match tag(ORDER) {
                Some(BY_SOURCE) => Order::Source,
                _ => Order::Ledger,
            },
            text_index: tag(TEXT_INDEX).and_then(TextIndexFile::from_tag),
            packed: packed.map(Arc::new),
            cold: cold.map(Arc::new),
        })
    }

    /// How many rows of `batch` it holds, if any.
    pub fn rows_of(&self, batch: u64) -> Option<BatchRows> {
        let position = self.batches.binary_search_by_key(&batch, |entry| entry.batch).ok()?;
        self.batches.get(position).copied()
    }
}

/// `7:120,4096;12:5`: batch 7 has 120 rows, 8 has 4096, 12 has 5.
pub(crate) fn encode_batches(batches: &[BatchRows]) -> String {
    let mut text = String::new();
    let mut next = None;
    for entry in batches {
        // Proof: writing to a `String` cannot fail.
        let _ = match next {
            Some(expected) if expected == entry.batch => write!(text, ",{}", entry.rows),
            None => write!(text, "{}:{}", entry.batch, entry.rows),
            Some(_) => write!(text, ";{}:{}", entry.batch, entry.rows),
        };
        next = entry.batch.checked_add(1);
    }
    text
}

pub(crate) fn decode_batches(text: &str) -> Option<Vec<BatchRows>> {
    let mut batches = Vec::new();
    for run in text.split(';').filter(|run| !run.is_empty()) {
        let (first, counts) = run.split_once(':')?;
        let mut batch: u64 = first.parse().ok()?;
        for (number, rows) in counts.split(',').enumerate() {
            if number > 0 {
                batch = batch.checked_add(1)?;
            }
            batches.push(BatchRows { batch, rows: rows.parse().ok()? });
        }
    }
    let ascending = batches.windows(2).all(|pair| pair[0].batch < pair[1].batch);
    ascending.then_some(batches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn batch_lists_are_short() {
        let batches = [(7, 120), (8, 4096), (12, 5)].map(|(batch, rows)| BatchRows { batch, rows });
        assert_eq!(encode_batches(&batches), "7:120,4096;12:5");
        assert_eq!(decode_batches(""), Some(Vec::new()));
        for bad in ["7", "7:", "7:1,x", "8:1;7:1", "7:1;7:1", "-1:1"] {
            assert_eq!(decode_batches(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn batch_lists_round_trip(batches: BTreeMap<u64, u32>) {
            let batches: Vec<_> =
                batches.into_iter().map(|(batch, rows)| BatchRows { batch, rows }).collect();
            prop_assert_eq!(decode_batches(&encode_batches(&batches)), Some(batches));
        }
    }
}
