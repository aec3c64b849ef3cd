//! What the table takes, and what of it can go.

use crate::{Node, NodeError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};
use yagura_event::UtcMicros;
use yagura_lake::{ColdRemoved, DatasetSize, FileWritten};

/// How long removing waits for others that read or remove.
const REMOVING_WAIT_MAX: Duration = Duration::from_secs(1);

/// Between two looks whether they still do.
const REMOVING_PAUSE: Duration = Duration::from_millis(20);

/// What is to be removed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VacuumRequest {
    /// Only say what would be.
    pub dry_run: bool,
}

/// Received to stored; `None` where nothing is stored.
fn ratio(received: u64, stored: u64) -> Option<f64> {
    // Figures for people: 52 bits are enough.
    (stored > 0).then(|| (received as f64 / stored as f64 * 10.0).round() / 10.0)
}

/// Not a text index, and not of the log.
pub(crate) fn is_parquet(file: &FileWritten) -> bool {
    file.path.ends_with(".parquet")
}

fn dataset(name: &str, size: &DatasetSize) -> Value {
    json!({
        "event.dataset": name,
        "events": size.rows,
        "received": size.received,
        "stored": size.stored,
        "text_index": size.text_index,
        "ratio": ratio(size.received, size.stored),
        "files": size.files,
        "files.compacted": size.compacted,
        "files.cold": size.cold,
        "stored.cold": size.stored_cold,
        "row_groups": size.row_groups,
    })
}

impl Node {
    /// Objects of cold stores that no file of the table lies in, and what became of them.
    fn vacuum_cold(&self, dry_run: bool) -> Result<Vec<Value>, NodeError> {
        let mover = self.tiers().mover();
        let object = |url: &str, bytes: u64, removable: bool, reason: &str| {
            json!({
                "file.path": url,
                "file.size": bytes,
                "kind": "object",
                "removed": removable && !dry_run,
                "removable": removable,
                "reason": reason,
            })
        };
        if dry_run {
            let left = mover.left_over();
            return Ok(left.iter().map(|(url, bytes)| object(url, *bytes, true, "")).collect());
        }
        let tidied = mover.tidy()?;
        let shown = tidied.iter().map(|one| match &one.removed {
            ColdRemoved::Gone => object(&one.url, one.bytes, true, ""),
            ColdRemoved::VersionKept(version) => object(&one.url, one.bytes, true, version),
            ColdRemoved::Refused(reason) => object(&one.url, one.bytes, false, reason),
        });
        Ok(shown.collect())
    }

    /// What was received and what it takes in the table, by dataset and by column, largest first. Reads
    /// the end of every file here; columns are those of these files. What is in memory only is not counted.
    pub fn lake_sizes(&self) -> Result<Value, NodeError> {
        let sizes = self.lake().sizes()?;
        let mut total = DatasetSize::default();
        let mut columns = Vec::new();
        for (name, size) in &sizes {
            total.files += size.files;
            total.compacted += size.compacted;
            total.cold += size.cold;
            total.stored_cold += size.stored_cold;
            total.row_groups += size.row_groups;
            total.rows += size.rows;
            total.received += size.received;
            total.stored += size.stored;
            total.text_index += size.text_index;
            columns.extend(size.columns.iter().map(|(column, taken)| {
                let row = json!({
                    "event.dataset": name,
                    "column": column,
                    "values": taken.values,
                    "rebuilt": taken.rebuilt,
                    "stored": taken.stored,
                    "encoded": taken.encoded,
                    "share": ratio(taken.stored * 100, size.stored),
                });
                (taken.stored, row)
            }));
        }
        let mut datasets: Vec<_> =
            sizes.iter().map(|(name, size)| (size.stored, dataset(name, size))).collect();
        datasets.sort_by_key(|(stored, _)| std::cmp::Reverse(*stored));
        columns.sort_by_key(|(stored, _)| std::cmp::Reverse(*stored));
        let rows = |list: Vec<(u64, Value)>| -> Vec<Value> {
            list.into_iter().map(|(_, row)| row).collect()
        };
        let replaced = self.lake().replaced();
        Ok(json!({
            "datasets": rows(datasets),
            "columns": rows(columns),
            "total": dataset("", &total),
            "replaced": {
                "files": replaced.iter().filter(|file| is_parquet(file)).count(),
                "bytes": replaced.iter().map(|file| file.bytes).sum::<u64>(),
            },
            "hot": { "events": self.lake().stats().hot_rows },
        }))
    }

    /// What must be held while files are removed. The server's own removing takes a moment, a
    /// verification much longer.
    pub(crate) fn wait_to_remove(&self) -> Result<MutexGuard<'_, ()>, NodeError> {
        let began = Instant::now();
        loop {
            if let Some(free) = self.free_to_remove() {
                return Ok(free);
            }
            if began.elapsed() >= REMOVING_WAIT_MAX {
                return Err(NodeError::request(
                    "a verification needs every file, or files are being removed already: try \
                     again when that has ended",
                    "検証がすべてのファイルを必要としているか、別の削除が実行中です。終わってからもう一度実行してください",
                ));
            }
            std::thread::sleep(REMOVING_PAUSE);
        }
    }

    /// Removes the files that left the table and that no question needs any more, and those of a crash
    /// of which the table has every record. Answers each with what became of it.
    ///
    /// A file stays for [`crate::reprocess::REPLACED_KEPT_MICROS`] after it left the table: a question
    /// that began before, here or of another program, may still read it.
    ///
    /// # Errors
    ///
    /// When a verification runs, which must find every file; when a file cannot be removed.
    pub fn vacuum(&self, request: &VacuumRequest, _who: &str) -> Result<Value, NodeError> {
        let kept = crate::reprocess::REPLACED_KEPT_MICROS;
        let before = UtcMicros::from_micros(self.clock().now().as_micros() - kept);
        let (lake, audit) = (self.lake(), self.audit());
        let objects = self.vacuum_cold(request.dry_run)?;
        // Before the table, as a verification does.
        let _free = if request.dry_run { None } else { Some(self.wait_to_remove()?) };
        let _writing = self.pause_table();
        let free = lake.replaced_before(before);
        let mut files = objects;
        for file in lake.replaced() {
            let goes = free.iter().any(|free| free.path == file.path);
            files.push(json!({
                "file.path": file.path,
                "file.size": file.bytes,
                "kind": "replaced",
                "removed": goes && !request.dry_run,
                "removable": goes,
            }));
        }
        if !request.dry_run {
            crate::reprocess::remove_replaced(lake, audit, before)?;
        }
        let in_journal = crate::verify::batches_in_journal(self.data());
        let orphans = lake.open_report().orphans.iter();
        for orphan in orphans.filter(|orphan| !lake.has_local(orphan)) {
            let Ok(data) = std::fs::metadata(orphan) else { continue };
            let vouched = |batch: u64| {
                let fold = self.retaining().fold();
                in_journal.contains(&batch)
                    || crate::node::was_deleted(self.logs().0, fold.deleted(), batch)
            };
            let goes = lake.may_remove_orphan(orphan, vouched).unwrap_or(false);
            let mut found = vec![(self.data().relative(orphan), data.len())];
            // Its text index goes with it.
            if let Some(index) = crate::node::index_of_orphan(self.data(), lake, orphan) {
                let bytes = std::fs::metadata(self.data().root().join(&index));
                found.push((index, bytes.map_or(0, |data| data.len())));
            }
            if goes && !request.dry_run {
                let recorded = found.iter().map(|(path, _)| path.clone());
                let recorded: Vec<_> = recorded.filter(|path| audit.has_file(path)).collect();
                if !recorded.is_empty() {
                    audit.record_removed(&recorded)?;
                }
                lake.remove_orphan(orphan, vouched)?;
            }
            files.extend(found.into_iter().map(|(path, bytes)| {
                json!({
                    "file.path": path,
                    "file.size": bytes,
                    "kind": "orphan",
                    "removed": goes && !request.dry_run,
                    "removable": goes,
                })
            }));
        }
        Ok(json!({ "files": files, "dry_run": request.dry_run }))
    }
}
