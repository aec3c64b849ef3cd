//! Pinned events: the bytes of an event, its path to the root of its batch and the batch's header are kept
//! in a file of their own, so that it can be proved when its batch is deleted. The other half of a proof can
//! be had at any time, because headers and tiles stay.
//!
//! * [`fold`]: what the audit log has of pins. Nothing else is remembered.
//! * [`file`]: the file of one pin, read back and judged.
//! * [`act`]: how events are pinned and unpinned.
//!
//! A pin is its files first and then its record; unpinned, the record goes first. So every pin that is on
//! record has its file, and a file without a record is what a crash left: the next start removes it.

mod act;
pub(crate) mod file;
mod fold;
pub mod limits;
#[cfg(test)]
mod tests;

pub use act::{PinRequest, UnpinRequest};
pub(crate) use fold::PinFold;

use crate::audit::Audit;
use crate::{DataDir, Node, NodeError};
use limits::PINS_SHOWN_MAX;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What of pins an open node has.
#[derive(Debug)]
pub(crate) struct Pins {
    /// Taken after that of retention, never before.
    fold: Mutex<PinFold>,
    /// Held by whoever makes or removes files of pins. Taken before `fold` and before the table's.
    turn: Mutex<()>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while one was held left it as before or after a whole step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pins {
    pub(crate) fn new(fold: PinFold) -> Self {
        Pins { fold: Mutex::new(fold), turn: Mutex::default() }
    }

    pub(crate) fn fold(&self) -> MutexGuard<'_, PinFold> {
        locked(&self.fold)
    }

    /// While held, no pin comes or goes.
    pub(crate) fn pause(&self) -> MutexGuard<'_, ()> {
        locked(&self.turn)
    }
}

/// Removes the files that no record names: what a crash left of pinning or unpinning.
pub(crate) fn tidy(data: &DataDir, audit: &Audit, fold: &PinFold) -> Result<(), NodeError> {
    let dir = data.pins();
    let kept: BTreeSet<PathBuf> = fold.ids().map(|id| file::path(data, &id)).collect();
    let recorded = audit.files_where(|path| data.root().join(path).starts_with(&dir));
    let mut left: Vec<PathBuf> =
        recorded.into_iter().map(|(path, _)| data.root().join(path)).collect();
    left.retain(|path| !kept.contains(path));
    crate::files::remove_all(data, audit, &dir, &left)
}

impl Node {
    /// Pinned events, the newest first, up to [`PINS_SHOWN_MAX`], and how many there are.
    pub fn pins(&self) -> Value {
        let deleted = self.retaining().fold().deleted().clone();
        let fold = self.pinning().fold();
        let mut pins: Vec<_> = fold.all().collect();
        pins.sort_by_key(|(_, pin)| Reverse(pin.because.at));
        let shown = pins.iter().take(PINS_SHOWN_MAX).map(|(id, pin)| {
            let mut shown = json!(*pin.because);
            shown["event.id"] = json!(id);
            shown["file.path"] = json!(self.data().relative(&file::path(self.data(), id)));
            shown["batch.deleted"] = json!(deleted.has(&id.stream, id.batch));
            shown
        });
        json!({ "pins": shown.collect::<Vec<_>>(), "total": fold.len() })
    }
}
