//! What the table takes, and what of it can go.

use crate::{Node, NodeError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use yagura_event::UtcMicros;
use yagura_lake::DatasetSize;

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

fn dataset(name: &str, size: &DatasetSize) -> Value {
    json!({
        "event.dataset": name,
        "events": size.rows,
        "received": size.received,
        "stored": size.stored,
        "ratio": ratio(size.received, size.stored),
        "files": size.files,
        "files.compacted": size.compacted,
        "row_groups": size.row_groups,
    })
}

impl Node {
    /// What was received and what it takes in the table, by dataset and by column, largest first. Reads
    /// the end of every file. What is in memory only is not counted.
    pub fn lake_sizes(&self) -> Result<Value, NodeError> {
        let sizes = self.lake().sizes()?;
        let mut total = DatasetSize::default();
        let mut columns = Vec::new();
        for (name, size) in &sizes {
            total.files += size.files;
            total.compacted += size.compacted;
            total.row_groups += size.row_groups;
            total.rows += size.rows;
            total.received += size.received;
            total.stored += size.stored;
            columns.extend(size.columns.iter().map(|(column, taken)| {
                let row = json!({
                    "event.dataset": name,
                    "column": column,
                    "values": taken.values,
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
                "files": replaced.len(),
                "bytes": replaced.iter().map(|file| file.bytes).sum::<u64>(),
            },
            "hot": { "events": self.lake().stats().hot_rows },
        }))
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
        let _writing = self.pause_table();
        let free_to_remove = self.free_to_remove();
        if free_to_remove.is_none() && !request.dry_run {
            return Err(NodeError::request(
                "a verification is running and needs every file: try again when it has ended"
                    .to_owned(),
                "検証の実行中です。すべてのファイルが必要なので、検証が終わってからもう一度実行してください"
                    .to_owned(),
            ));
        }
        let free = lake.replaced_before(before);
        let mut files = Vec::new();
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
        for orphan in &lake.open_report().orphans {
            let Ok(data) = std::fs::metadata(orphan) else { continue };
            let vouched = |batch: u64| in_journal.contains(&batch);
            let goes = lake.may_remove_orphan(orphan, vouched).unwrap_or(false);
            let path = self.data().relative(orphan);
            if goes && !request.dry_run {
                if audit.has_file(&path) {
                    audit.record_removed(std::slice::from_ref(&path))?;
                }
                lake.remove_orphan(orphan, vouched)?;
            }
            files.push(json!({
                "file.path": path,
                "file.size": data.len(),
                "kind": "orphan",
                "removed": goes && !request.dry_run,
                "removable": goes,
            }));
        }
        Ok(json!({ "files": files, "dry_run": request.dry_run }))
    }
}
