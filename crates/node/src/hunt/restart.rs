//! What hunts were asked for is kept as long as they are: their question stands beside their answer, and
//! those that the process did not survive, or was stopped in the midst of, start again from the beginning.

use super::limits::{ASKED_BYTES_MAX, HUNTS_MAX, RESTARTS_MAX};
use super::record::{Entry, Finished, Fold, HuntId, Outcome, Restarted, SourceCopy};
use super::request::{HuntRequest, Quarry};
use super::run::{Plan, estimate};
use super::{Hunter, Shared, WhenFull};
use crate::audit::Audit;
use crate::files;
use crate::{DataDir, NodeError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use yagura_event::UtcMicros;
use yagura_hunt::Indicator;

/// Who restarts hunts when the store is opened.
const OURSELVES: &str = "yagura";

/// What a hunt was asked for. Bounds of time are those of the day it was asked.
#[derive(Serialize, Deserialize)]
pub(super) struct Asked<'a> {
    request: Cow<'a, HuntRequest>,
    /// Indicators that were new; the request then names none.
    #[serde(default)]
    fresh: Cow<'a, [Arc<Indicator>]>,
    #[serde(default)]
    sources: Vec<SourceCopy>,
    from: Option<UtcMicros>,
    to: Option<UtcMicros>,
}

impl<'a> Asked<'a> {
    /// A person's request, as it was planned.
    pub fn request(request: &'a HuntRequest, plan: &Plan) -> Asked<'a> {
        Asked {
            request: Cow::Borrowed(request),
            fresh: Cow::Borrowed(&[]),
            sources: Vec::new(),
            from: plan.from,
            to: plan.to,
        }
    }

    /// New indicators of a list.
    pub fn fresh(indicators: &'a [Arc<Indicator>], source: SourceCopy, raise: bool) -> Asked<'a> {
        Asked {
            request: Cow::Owned(HuntRequest { raise, ..HuntRequest::default() }),
            fresh: Cow::Borrowed(indicators),
            sources: vec![source],
            from: None,
            to: None,
        }
    }

    /// Whether nobody but a new list asked for it.
    pub fn is_automatic(&self) -> bool {
        !self.fresh.is_empty()
    }
}

/// The files that hold what was asked.
pub(super) struct Kept {
    data: DataDir,
    audit: Arc<Audit>,
}

impl Kept {
    pub fn new(data: DataDir, audit: Arc<Audit>) -> Kept {
        Kept { data, audit }
    }

    fn path(&self, id: HuntId) -> PathBuf {
        self.data.hunts().join(format!("{:06}.json", id.0))
    }

    /// Keeps what a hunt is asked for. An older file of the number is of a hunt that was never
    /// recorded as begun.
    ///
    /// # Errors
    /// [`NodeError::Request`], when it is larger than [`ASKED_BYTES_MAX`].
    pub fn write(&self, id: HuntId, asked: &Asked<'_>) -> Result<(), NodeError> {
        self.write_within(id, asked, ASKED_BYTES_MAX)
    }

    pub(super) fn write_within(
        &self,
        id: HuntId,
        asked: &Asked<'_>,
        bytes_max: u64,
    ) -> Result<(), NodeError> {
        let path = self.path(id);
        files::remove(&self.data, &self.audit, &path)?;
        let mut is_too_large = false;
        let written = files::write(&self.data, &self.audit, &path, |out| {
            let mut out = Within { out, left: bytes_max, is_full: false };
            let written = serde_json::to_writer(&mut out, asked);
            is_too_large = out.is_full;
            Ok(written?)
        });
        match is_too_large {
            true => Err(NodeError::request(
                format!(
                    "what is asked for has more than {bytes_max} bytes: hunt for fewer rules or \
                     indicators at a time"
                ),
                format!(
                    "依頼の内容が{bytes_max}バイトを超えています。ルールや侵害指標を分けて実行してください"
                ),
            )),
            false => written,
        }
    }

    /// Gives up what a hunt was asked for.
    pub fn remove(&self, id: HuntId) -> Result<(), NodeError> {
        files::remove(&self.data, &self.audit, &self.path(id))
    }

    fn read(&self, id: HuntId) -> Result<Asked<'static>, NodeError> {
        let place = self.data.relative(&self.path(id));
        let text = self.text(id)?;
        let asked: Asked<'static> = serde_json::from_str(&text).map_err(|error| {
            NodeError::request(
                format!("{place}: it cannot be read: {error}"),
                format!("{place}: 読み取れません: {error}"),
            )
        })?;
        match asked.fresh.iter().all(|indicator| indicator.is_sound()) {
            true => Ok(asked),
            false => Err(NodeError::request(
                format!("{place}: it names what is no indicator"),
                format!("{place}: 侵害指標ではない値が含まれています"),
            )),
        }
    }

    /// What was asked for, as it was written.
    fn text(&self, id: HuntId) -> Result<String, NodeError> {
        files::read_text(&self.data, &self.audit, &self.data.relative(&self.path(id)))
    }

    /// Gives up what belongs to no hunt that is known: it is too old, or a crash came between writing
    /// the file and the record.
    pub fn clean(&self, fold: &Fold) -> Result<(), NodeError> {
        let Ok(entries) = std::fs::read_dir(self.data.hunts()) else { return Ok(()) };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            let Ok(number) = name.parse::<u64>() else { continue };
            // What nobody recorded is none of ours; `yagura verify` names it.
            if path != self.path(HuntId(number)) || !self.audit.has_file(&self.data.relative(&path))
            {
                continue;
            }
            if !fold.hunts.contains_key(&number) {
                files::remove(&self.data, &self.audit, &path)?;
            }
        }
        Ok(())
    }
}

/// Takes so many bytes and no more.
struct Within<W> {
    out: W,
    left: u64,
    is_full: bool,
}

impl<W: Write> Write for Within<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() as u64 > self.left {
            self.is_full = true;
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        let length = self.out.write(bytes)?;
        self.left -= length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// Why a hunt cannot start again: what it was asked for is gone or damaged.
fn not_kept(id: HuntId, error: NodeError) -> NodeError {
    let (en, ja) = match error {
        NodeError::Request { message, message_ja, .. } => (message, message_ja),
        NodeError::Io { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
            let path = path.display();
            (format!("{path}: no such file"), format!("{path}: ファイルがありません"))
        }
        // The disk may give it another time.
        other => return other,
    };
    NodeError::request(
        format!("what {id} was asked for is not kept: begin a new hunt ({en})"),
        format!("{id} の依頼内容が残っていません。新しいハントを始めてください（{ja}）"),
    )
}

impl Shared {
    /// What a hunt looks for that is begun and found no room: new indicators, as they were kept.
    pub(super) fn plan_late(&self, id: HuntId) -> Result<Plan, NodeError> {
        let asked = self.kept.read(id).map_err(|error| not_kept(id, error))?;
        self.plan_again(&asked, String::new())
    }

    fn plan_again(&self, asked: &Asked<'_>, hypothesis: String) -> Result<Plan, NodeError> {
        let quarry = match asked.is_automatic() {
            true => Quarry::of_indicators(asked.fresh.to_vec(), asked.sources.clone())?,
            false => {
                let request = HuntRequest { hypothesis, ..asked.request.clone().into_owned() };
                request.quarry(self, &self.store.matcher(), self.clock.now())?
            }
        };
        Ok(Plan { quarry, from: asked.from, to: asked.to, raise: asked.request.raise })
    }

    /// Records the end of a hunt.
    pub(super) fn end(&self, finished: Finished) -> Result<(), NodeError> {
        self.record(vec![Entry::Finished(Box::new(finished))])
    }

    /// Gives up what the hunt was asked for that is no longer known since `id` began.
    pub(super) fn forget_oldest(&self, id: HuntId) {
        let Some(oldest) = id.0.checked_sub(HUNTS_MAX as u64).filter(|number| *number > 0) else {
            return;
        };
        // The next start removes what stays.
        if let Err(error) = self.kept.remove(HuntId(oldest)) {
            tracing::warn!(%error, "what an old hunt was asked for could not be removed");
        }
    }
}

impl Hunter {
    /// What a hunt was asked for, as it is kept: `request`, the bounds of time it came to, and the
    /// indicators that were new.
    ///
    /// # Errors
    /// [`NodeError`], when there is no such hunt, or the file is gone or not the recorded one.
    pub fn query(&self, id: &str) -> Result<Value, NodeError> {
        let id = self.known(id)?;
        let text = self.shared.kept.text(id).map_err(|error| match error {
            NodeError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                NodeError::NotFound {
                    message: format!("what {id} was asked for is not kept"),
                    message_ja: format!("{id} の依頼内容は残っていません"),
                }
            }
            other => other,
        })?;
        // Proof: only its own bytes are read, and they were written as JSON.
        Ok(
            json!({ "hunt.id": id, "hunt.query": serde_json::from_str::<Value>(&text).unwrap_or_default() }),
        )
    }

    /// Starts again, from the beginning, what was interrupted; what does so time and again is left
    /// alone. Call it once what the journal held can be searched. Blocks for the estimates.
    pub fn restart_interrupted(&self) {
        let interrupted: Vec<(HuntId, u32, bool)> = {
            let fold = self.shared.fold();
            let open = fold.hunts.values().filter(|hunt| hunt.finished.is_none());
            open.map(|hunt| (hunt.started.id, hunt.restarts, hunt.cancel_requested)).collect()
        };
        for (id, restarts, cancel_requested) in interrupted {
            if self.shared.progress().contains_key(&id.0) {
                continue;
            }
            if cancel_requested {
                if let Err(error) = self.end_cancelled(id) {
                    tracing::warn!(%error, hunt = %id, "a cancelled hunt could not be ended");
                }
                continue;
            }
            if restarts >= RESTARTS_MAX {
                tracing::warn!(hunt = %id, "interrupted too often: it is not started again by itself");
                continue;
            }
            match self.restart_as(id, OURSELVES) {
                Ok(_) => tracing::info!(hunt = %id, "an interrupted hunt starts again"),
                Err(error) => {
                    tracing::warn!(%error, hunt = %id, "an interrupted hunt cannot start again");
                }
            }
        }
    }

    /// Starts a hunt that was interrupted again, from the beginning; what it found before is found
    /// again. Blocks for the estimate.
    ///
    /// # Errors
    /// [`NodeError`], when there is none or it was not interrupted, or what it was asked for is not
    /// there any more.
    pub fn restart(&self, id: &str, who: &str) -> Result<Value, NodeError> {
        self.restart_as(self.known(id)?, who)
    }

    fn restart_as(&self, id: HuntId, who: &str) -> Result<Value, NodeError> {
        let hypothesis = self.interrupted(id)?;
        let asked = self.shared.kept.read(id).map_err(|error| not_kept(id, error))?;
        let plan = self.shared.plan_again(&asked, hypothesis)?;
        let estimate = estimate(&self.shared, &plan);
        let mut shown = self.estimated(&plan, &estimate);
        let jobs = self.jobs()?;
        // Someone else may have started it or given it up meanwhile.
        self.interrupted(id)?;
        self.queue(&jobs, id, plan, WhenFull::of(&asked), |shared, plan| {
            shared.record(vec![Entry::Restarted(Box::new(Restarted {
                at: shared.clock.now(),
                id,
                who: who.to_owned(),
                digest: plan.quarry.digest.clone(),
                rules: plan.quarry.rules(),
                indicators: plan.quarry.indicators(),
                refused: plan.quarry.refused_total,
                events_estimated: estimate.events,
                bytes_estimated: estimate.bytes,
            }))])
        })?;
        shown["hunt.id"] = json!(id);
        Ok(shown)
    }

    /// The hypothesis of a hunt that was interrupted.
    fn interrupted(&self, id: HuntId) -> Result<String, NodeError> {
        let fold = self.shared.fold();
        let hunt = fold.hunts.get(&id.0).filter(|hunt| hunt.finished.is_none());
        match hunt.filter(|_| !self.shared.progress().contains_key(&id.0)) {
            Some(hunt) => Ok(hunt.started.hypothesis.clone()),
            None => Err(NodeError::request(
                format!("hunt {id} was not interrupted: begin a new one"),
                format!("ハント {id} は中断していません。新しいハントを始めてください"),
            )),
        }
    }

    /// Ends a hunt that someone cancelled and the process did not survive.
    fn end_cancelled(&self, id: HuntId) -> Result<(), NodeError> {
        // Nobody starts it again meanwhile.
        let _jobs = self.jobs()?;
        self.interrupted(id)?;
        self.give_up(id)
    }

    /// Ends a hunt that was interrupted, so that it never starts again. What it found until then stays.
    pub(super) fn give_up(&self, id: HuntId) -> Result<(), NodeError> {
        let matches = self.shared.fold().hunts.get(&id.0).map_or(0, |hunt| hunt.hits.len() as u64);
        let at = self.shared.clock.now();
        let ended = Finished::empty(id, Outcome::Cancelled);
        self.shared.end(Finished { at, matches, ..ended })
    }
}
