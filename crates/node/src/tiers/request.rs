//! What a person asks for, and how far it is.

use super::run::{Order, Way};
use crate::{Node, NodeError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use yagura_lake::FileEntry;

/// What is to go to the cold store.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TierRequest {
    /// Only this dataset.
    pub dataset: Option<String>,
    /// What was received before this UTC day, `YYYY-MM-DD`, instead of what is old enough by the
    /// configuration. What a policy keeps at hand stays.
    pub before: Option<String>,
    /// Only say what would go.
    pub dry_run: bool,
}

/// What is to come back from cold stores.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RehydrateRequest {
    /// Only this dataset.
    pub dataset: Option<String>,
    /// Only what was received on this UTC day, `YYYY-MM-DD`, or later.
    pub from: Option<String>,
    /// Only what was received on this UTC day or before.
    pub to: Option<String>,
    /// Only say what would come.
    pub dry_run: bool,
}

fn checked_day(day: Option<&String>) -> Result<Option<jiff::civil::Date>, NodeError> {
    let Some(day) = day else { return Ok(None) };
    let wrong = || {
        NodeError::request(
            format!("{day:?} is no day: write 2026-11-21"),
            format!("{day:?} は日付として読めません（例: 2026-11-21）"),
        )
    };
    day.parse().map(Some).map_err(|_| wrong())
}

impl Node {
    /// Begins to move what is due to the cold store, and answers how far it is: [`Node::tiering`] tells
    /// more. With `dry_run`, only says what is due. Blocks until what is sealed in memory is in the table.
    ///
    /// # Errors
    /// When no store is configured, the request is wrong, or files are being moved already.
    pub fn tier(&self, request: &TierRequest, who: &str) -> Result<Value, NodeError> {
        checked_day(request.before.as_ref())?;
        let order = Order {
            way: Way::Cool,
            dataset: request.dataset.clone(),
            before: request.before.clone(),
            from: None,
            by_itself: false,
        };
        self.flush()?;
        self.move_files(order, request.dry_run, who)
    }

    /// Begins to bring files back from cold stores, and answers how far it is. With `dry_run`, only says
    /// what would come.
    ///
    /// # Errors
    /// When the request is wrong, or files are being moved already.
    pub fn rehydrate(&self, request: &RehydrateRequest, who: &str) -> Result<Value, NodeError> {
        checked_day(request.from.as_ref())?;
        // Files are of one day each, and the day that is named is meant as well.
        let after = checked_day(request.to.as_ref())?.and_then(|day| day.tomorrow().ok());
        let order = Order {
            way: Way::Warm,
            dataset: request.dataset.clone(),
            before: after.map(|day| day.to_string()),
            from: request.from.clone(),
            by_itself: false,
        };
        self.move_files(order, request.dry_run, who)
    }

    fn move_files(&self, order: Order, dry_run: bool, who: &str) -> Result<Value, NodeError> {
        if dry_run {
            let files = self.tiers().mover().due(&order)?;
            let bytes: u64 = files.iter().map(|file| file.bytes).sum();
            return Ok(json!({
                "dry_run": true,
                "running": false,
                "files_total": files.len(),
                "bytes_total": bytes,
                "files": files.iter().map(|file| shown(file)).collect::<Vec<_>>(),
            }));
        }
        self.tiers().begin(order, who)?;
        Ok(self.tiering())
    }

    /// How far the moving of files is, or how the last one ended.
    pub fn tiering(&self) -> Value {
        self.tiers().shown()
    }

    /// Ends the moving of files that runs; what was moved stays so.
    pub fn cancel_tiering(&self) -> Value {
        self.tiers().cancel();
        self.tiering()
    }
}

fn shown(file: &FileEntry) -> Value {
    json!({
        "file.path": file.place(),
        "event.dataset": &*file.dataset,
        "day": file.day,
        "events": file.rows,
        "file.size": file.bytes,
    })
}
