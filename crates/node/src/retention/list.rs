//! What is kept of each stream: since when, by which policy and why, and when the oldest goes.

use super::delete::DAY_MICROS;
use super::policy::Policy;
use crate::{Node, NodeError};
use serde_json::{Value, json};
use std::collections::HashMap;
use yagura_event::UtcMicros;

/// Deletions that the list shows.
const DELETIONS_LISTED_MAX: usize = 20;

/// What is kept of one stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Stream {
    batches: u64,
    records: u64,
    pub(super) oldest: Option<(UtcMicros, UtcMicros)>,
    newest: Option<UtcMicros>,
    pub(super) stored: f64,
}

pub(super) fn policy_shown(policy: &Policy) -> Value {
    let by = policy.by();
    let kind = policy.kind.map(super::policy::ReasonKind::words);
    json!({
        "authority": policy.authority,
        "authority.name": by.map(|by| json!({ "en": by.name_en, "ja": by.name_ja })),
        "authority.source": by.map(|by| json!({ "en": by.source_en, "ja": by.source_ja })),
        "kind": policy.kind,
        "kind.name": kind.map(|kind| json!({ "en": kind.en(), "ja": kind.ja() })),
        "reason": policy.reason,
        "streams": policy.streams,
    })
}

impl Node {
    /// Every stream with what is kept of it, by name; requests, holds, the last deletions, and the
    /// authorities a policy may name.
    ///
    /// # Errors
    /// When the ledger does not read.
    pub fn retention(&self) -> Result<Value, NodeError> {
        let now = self.clock().now();
        let (streams, names) = self.kept()?;
        let fold = self.retaining().fold();
        let settings = fold.settings();
        let holds = fold.holds_in_force();
        let mut rows: Vec<Value> = names
            .iter()
            .zip(&streams)
            .filter(|(_, kept)| kept.batches > 0)
            .map(|(name, kept)| {
                let held = fold.in_force(name);
                let goes = held.maximum.zip(kept.oldest).map(|(days, (_, last))| {
                    last.plus_micros(i64::from(days) * DAY_MICROS)
                });
                let on: Vec<&str> = holds
                    .iter()
                    .filter(|hold| hold.is_about(name))
                    .map(|hold| hold.id.as_str())
                    .collect();
                let deletion = match goes {
                    None => "never",
                    Some(_) if !settings.delete => "off",
                    Some(goes) if goes <= now => "due",
                    Some(_) => "later",
                };
                json!({
                    "yagura.stream": name,
                    "events": kept.records,
                    "batches": kept.batches,
                    "stored": kept.stored.round() as u64,
                    "kept_since": kept.oldest.map(|(first, _)| first),
                    "newest": kept.newest,
                    "policy": held.policy.as_ref().map(policy_shown),
                    "minimum_days": (held.minimum > 0).then_some(held.minimum),
                    "maximum_days": held.maximum,
                    "immediate_days": held.policy.as_ref().map(Policy::immediate).filter(|days| *days > 0),
                    "device_days": held.policy.as_ref().and_then(|policy| policy.device_days),
                    "shortening": held.shortening,
                    "deletion": deletion,
                    "deletes_next": goes,
                    "holds": on,
                })
            })
            .collect();
        rows.sort_by(|a, b| a["yagura.stream"].as_str().cmp(&b["yagura.stream"].as_str()));
        let requests = fold.requests().filter(|request| request.state(now) == "open");
        let requests: Vec<Value> = requests.map(|request| request.shown(now)).collect();
        let deletions: Vec<Value> =
            fold.deletions().take(DELETIONS_LISTED_MAX).map(|one| json!(one)).collect();
        Ok(json!({
            "delete": settings.delete,
            "approval_hours": settings.approval_hours,
            "shortening": rows.iter().any(|row| row["shortening"] == true),
            "streams": rows,
            "requests": requests,
            "deletions": deletions,
            "holds": holds,
            "authorities": super::authorities()?,
        }))
    }

    /// What is kept, by the number of the stream, and the streams' names.
    pub(super) fn kept(&self) -> Result<(Vec<Stream>, Vec<String>), NodeError> {
        let shelf = self.shelf()?;
        let names: Vec<String> = shelf.streams().map(|(_, name)| name.to_string()).collect();
        let mut streams = vec![Stream::default(); names.len()];
        let mut of_batch = HashMap::with_capacity(shelf.batches().len());
        for kept in shelf.batches() {
            of_batch.insert(kept.batch, kept.stream as usize);
            let Some(stream) = streams.get_mut(kept.stream as usize) else { continue };
            stream.batches += 1;
            stream.records += u64::from(kept.records);
            if stream.oldest.is_none_or(|(_, last)| kept.last < last) {
                stream.oldest = Some((kept.first, kept.last));
            }
            stream.newest = stream.newest.max(Some(kept.last));
        }
        drop(shelf);
        for file in self.lake().files() {
            let index = file.text_index.as_ref().map_or(0, |index| index.bytes);
            // Rows of a file are of one dataset: their share of it is by number.
            let each = (file.bytes + index) as f64 / file.rows.max(1) as f64;
            for rows in &file.batches {
                let number = of_batch.get(&rows.batch).copied();
                if let Some(stream) = number.and_then(|number| streams.get_mut(number)) {
                    stream.stored += each * f64::from(rows.rows);
                }
            }
        }
        Ok((streams, names))
    }
}
