//! Objects in cold stores that no file of the table lies in any more: those of files that came back or
//! were deleted, and those of moves that broke off. The audit log names them.

use super::is_object;
use super::run::Mover;
use crate::NodeError;
use serde_json::{Value, json};
use std::sync::PoisonError;
use yagura_event::UtcMicros;
use yagura_lake::{ColdRemoved, kill_point};

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tidied {
    /// Its URL.
    pub(crate) url: String,
    /// Its size in bytes.
    pub(crate) bytes: u64,
    pub(crate) removed: ColdRemoved,
}

impl Mover {
    /// Objects that nothing needs any more and that are not known to be gone, with their sizes.
    pub(crate) fn left_over(&self) -> Vec<(String, u64)> {
        let kept = crate::reprocess::REPLACED_KEPT_MICROS;
        let before = UtcMicros::from_micros(self.clock.now().as_micros() - kept);
        let used = self.lake.cold_in_use(before);
        let mut left = self.audit.files_where(|path| is_object(path) && !used.contains(path));
        left.sort();
        left
    }

    /// Deletes what is left over, unless files must stay for somebody who reads them. What its store will
    /// not delete, as one with object lock, is recorded once in the life of this process and tried again.
    ///
    /// # Errors
    /// When a store does not answer, or the audit log takes nothing: the rest is tried another time.
    pub(crate) fn tidy(&self) -> Result<Vec<Tidied>, NodeError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(_free) = crate::pipeline::free_to_remove(&self.kept) else {
            return Ok(Vec::new());
        };
        let mut tidied = Vec::new();
        for (url, bytes) in self.left_over() {
            kill_point("tidy", &"Found");
            let removed = self.lake.remove_cold(&url)?;
            kill_point("tidy", &"Deleted");
            match &removed {
                ColdRemoved::Gone => self.audit.record_removed(std::slice::from_ref(&url))?,
                ColdRemoved::VersionKept(version) => {
                    // Its bytes are out of our reach: the bucket's own rules remove them.
                    self.audit.write(&[self.said(&url, "lake.cold-version-kept", version)])?;
                    self.audit.record_removed(std::slice::from_ref(&url))?;
                }
                ColdRemoved::Refused(reason) => {
                    let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                    if refused.insert(url.clone()) {
                        tracing::warn!(%url, %reason, "the cold store refuses to delete an object");
                        self.audit.write(&[self.said(&url, "lake.cold-delete-refused", reason)])?;
                    }
                }
            }
            kill_point("tidy", &"Recorded");
            tidied.push(Tidied { url, bytes, removed });
        }
        Ok(tidied)
    }

    fn said(&self, url: &str, action: &str, reason: &str) -> Value {
        json!({
            "@timestamp": self.clock.now(),
            "event.action": action,
            "file.path": url,
            "event.reason": reason,
        })
    }
}
