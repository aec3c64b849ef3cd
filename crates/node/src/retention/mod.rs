//! How long what is kept, on whose authority, and what ends it.
//!
//! * [`policy`]: what the configuration says of streams, refused where it contradicts itself or the
//!   authority it names.
//! * [`fold`]: what the audit log has of policies, requests, deletions and holds. Nothing else is
//!   remembered.
//! * [`delete`]: whole batches, recorded before they go.
//! * [`hold`]: legal holds, which come before every policy.
//! * [`forecast`] and [`warn`]: when the disk is full, and what is said before.
//!
//! Nothing is deleted unless the configuration says so or two persons agree.

mod authority;
mod delete;
mod fold;
mod forecast;
mod hold;
pub mod limits;
mod list;
mod policy;
mod request;
mod shelf;
#[cfg(test)]
mod tests;
mod warn;

pub use authority::{Authority, authorities};
pub(crate) use delete::stream_of;
pub(crate) use fold::{DeletedBatches, RetentionFold};
pub use hold::{HoldRequest, ReleaseRequest};
pub use policy::{Policy, PolicyError, ReasonKind, RetentionSettings};
pub use request::{ApproveRequest, DeleteRequest, ShortenRequest};

use crate::audit::Audit;
use crate::{Node, NodeError};
use fold::{CONFIGURED, Hold};
use limits::{NAME_BYTES_MAX, REASON_BYTES_MAX, VERSIONS_MAX};
use serde_json::{Value, json};
use shelf::{Kept, Shelf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use yagura_event::{StreamName, UtcMicros};

/// What of retention an open node has.
#[derive(Debug)]
pub(crate) struct Retaining {
    /// Held while a record is written, so that every record follows from the state before it. Taken
    /// after `shelf`, never before.
    fold: Mutex<RetentionFold>,
    shelf: Mutex<Shelf>,
    /// Held by the run that deletes.
    turn: Mutex<()>,
    closing: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while one was held left it as before or after a whole step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Retaining {
    /// Goes on from what the audit log says; `asked` is recorded where it is new. `empty` says that
    /// the store has no event yet.
    pub(crate) fn take_up(
        fold: RetentionFold,
        asked: Option<&RetentionSettings>,
        empty: bool,
        audit: &Audit,
        now: UtcMicros,
    ) -> Result<Self, NodeError> {
        let retaining = Retaining {
            fold: Mutex::new(fold),
            shelf: Mutex::default(),
            turn: Mutex::default(),
            closing: AtomicBool::new(false),
        };
        let Some(asked) = asked else { return Ok(retaining) };
        asked.check().map_err(|error| NodeError::request(error.words.en(), error.words.ja()))?;
        let entry = {
            let is_new = is_new(&retaining.fold(), asked)?;
            is_new.then(|| {
                json!({
                    "@timestamp": now, "event.action": CONFIGURED, "retention": asked,
                    "empty": empty,
                })
            })
        };
        if let Some(entry) = entry {
            retaining.write(audit, &[entry])?;
        }
        Ok(retaining)
    }

    pub(crate) fn fold(&self) -> MutexGuard<'_, RetentionFold> {
        locked(&self.fold)
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        locked(&self.shelf)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        locked(&self.turn)
    }

    /// Ends what runs; nothing is half deleted.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        drop(self.turn());
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Records, and takes in what was recorded.
    fn write(&self, audit: &Audit, entries: &[Value]) -> Result<(), NodeError> {
        let mut fold = self.fold();
        write_into(&mut fold, audit, entries)
    }

    /// [`Retaining::write`], if the holds in force are still `holds`; answers whether they are.
    fn write_unless_held(
        &self,
        audit: &Audit,
        entries: &[Value],
        holds: &[Hold],
    ) -> Result<bool, NodeError> {
        let mut fold = self.fold();
        if fold.holds_in_force() != holds {
            return Ok(false);
        }
        write_into(&mut fold, audit, entries)?;
        Ok(true)
    }

    /// Records what `make` makes of the state, and answers what else it makes.
    fn add<T>(
        &self,
        audit: &Audit,
        make: impl FnOnce(&RetentionFold) -> Result<(Value, T), NodeError>,
    ) -> Result<T, NodeError> {
        let mut fold = self.fold();
        let (entry, made) = make(&fold)?;
        write_into(&mut fold, audit, &[entry])?;
        Ok(made)
    }
}

fn write_into(fold: &mut RetentionFold, audit: &Audit, entries: &[Value]) -> Result<(), NodeError> {
    audit.write(entries)?;
    for entry in entries {
        fold.replay(entry.to_string().as_bytes());
    }
    Ok(())
}

/// Whether these policies are not the ones that were configured last.
fn is_new(fold: &RetentionFold, asked: &RetentionSettings) -> Result<bool, NodeError> {
    let is_new = match fold.is_configured() {
        true => fold.settings() != *asked,
        false => *asked != RetentionSettings::default(),
    };
    if is_new && fold.versions() >= VERSIONS_MAX {
        return Err(NodeError::request(
            format!(
                "{VERSIONS_MAX} changes of policies wait for a second person: approve one with yagura \
                 retention shorten and approve"
            ),
            format!(
                "ポリシーの変更{VERSIONS_MAX}件が2人目の承認を待っています。yagura retention shorten と \
                 approve で承認してください"
            ),
        ));
    }
    Ok(is_new)
}

/// What a text names.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Named {
    Person,
    Hold,
    Host,
    Case,
}

/// A name without blanks around it.
pub(crate) fn checked_name(text: &str, what: Named) -> Result<String, NodeError> {
    let text = text.trim();
    if !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    let (en, ja) = match what {
        Named::Person => ("say who you are: by", "名前を by に書いてください"),
        Named::Hold => ("name the hold: name", "保全の名前を name に書いてください"),
        Named::Host => ("a host is missing its name", "ホスト名が空です"),
        Named::Case => ("the case cannot be named so", "案件名が正しくありません"),
    };
    Err(NodeError::request(
        format!("{en} (one line of at most {NAME_BYTES_MAX} bytes)"),
        format!("{ja}（{NAME_BYTES_MAX}バイト以内の1行）"),
    ))
}

pub(crate) fn checked_reason(text: &str) -> Result<String, NodeError> {
    let text = text.trim();
    if !text.is_empty() && text.len() <= REASON_BYTES_MAX {
        return Ok(text.to_owned());
    }
    Err(NodeError::request(
        format!("say why: reason (at most {REASON_BYTES_MAX} bytes)"),
        format!("理由を reason に書いてください（{REASON_BYTES_MAX}バイト以内）"),
    ))
}

fn no_instant(text: &str) -> NodeError {
    NodeError::request(
        format!("{text:?} is not an ISO 8601 instant such as 2026-11-21T09:00:00Z"),
        format!("{text:?} は ISO 8601 の時刻ではありません（例: 2026-11-21T09:00:00Z）"),
    )
}

impl Node {
    /// What is kept, brought up to date.
    fn shelf(&self) -> Result<MutexGuard<'_, Shelf>, NodeError> {
        let mut shelf = self.retaining().shelf();
        let deleted = self.retaining().fold().deleted().clone();
        shelf.read(self.logs().0, |stream, batch| deleted.has(stream, batch))?;
        Ok(shelf)
    }

    fn shelf_of(&self, stream: &StreamName) -> Result<Vec<Kept>, NodeError> {
        Ok(self.shelf()?.of(stream))
    }
}
