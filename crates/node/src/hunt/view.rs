//! Hunts and indicators as screens and commands show them.

use super::Hunter;
use super::limits::{HITS_PER_PAGE_MAX, INDICATORS_PER_PAGE_MAX};
use super::record::{Hunt, Outcome};
use crate::NodeError;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use yagura_hunt::Kind;

/// Which indicators are asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IndicatorQuery {
    /// Only of this source.
    pub source: Option<String>,
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only whose value or note holds this text.
    pub text: Option<String>,
    /// At most so many (default 100).
    pub limit: Option<usize>,
    /// So many left out first.
    pub offset: usize,
}

impl Hunter {
    /// The hunts, newest first, without their matches.
    pub fn list(&self, limit: usize) -> Value {
        let fold = self.shared.fold();
        let hunts: Vec<Value> =
            fold.hunts.values().rev().take(limit).map(|hunt| self.shown(hunt)).collect();
        json!({ "hunts": hunts, "total": fold.hunts.len() })
    }

    /// One hunt with its matches from number `offset` on.
    ///
    /// # Errors
    /// [`NodeError::NotFound`], when there is none.
    pub fn show(&self, id: &str, offset: usize, limit: usize) -> Result<Value, NodeError> {
        let id = self.known(id)?;
        let fold = self.shared.fold();
        let Some(hunt) = fold.hunts.get(&id.0) else { return Ok(Value::Null) };
        let mut shown = self.shown(hunt);
        let limit = limit.min(HITS_PER_PAGE_MAX);
        let hits: Vec<_> = hunt.hits.iter().skip(offset).take(limit).collect();
        shown["hunt.matches"] = json!(hits);
        // Those of old hunts leave memory; the audit log has them.
        shown["hunt.matches_kept"] = json!(hunt.hits.len());
        Ok(shown)
    }

    fn shown(&self, hunt: &Hunt) -> Value {
        let mut shown = serde_json::to_value(&hunt.started).unwrap_or_default();
        if hunt.restarts > 0 {
            shown["hunt.restarts"] = json!(hunt.restarts);
        }
        let progress = self.shared.progress().get(&hunt.started.id.0).cloned();
        let state = match (&hunt.finished, progress) {
            (Some(finished), _) => {
                if let Ok(Value::Object(end)) = serde_json::to_value(finished)
                    && let Value::Object(shown) = &mut shown
                {
                    for (name, value) in end {
                        let name =
                            if name == "@timestamp" { "hunt.finished".to_owned() } else { name };
                        shown.insert(name, value);
                    }
                }
                shown["percent"] = json!(100.0);
                match finished.outcome {
                    Outcome::Done => "done",
                    Outcome::Gaps => "gaps",
                    Outcome::Cancelled => "cancelled",
                    Outcome::Failed => "failed",
                }
            }
            (None, Some(progress)) => {
                let done = progress.rows_done.load(Ordering::Relaxed);
                let total = progress.rows_total.load(Ordering::Relaxed);
                shown["hunt.matches_total"] = json!(progress.matches.load(Ordering::Relaxed));
                let percent = if total == 0 { 0.0 } else { done as f64 * 100.0 / total as f64 };
                shown["percent"] = json!((percent.min(100.0) * 10.0).round() / 10.0);
                shown["hunt.rows_done"] = json!(done);
                shown["hunt.rows_total"] = json!(total);
                let cancelled = progress.cancel.load(Ordering::Relaxed);
                match (cancelled, progress.running.load(Ordering::Relaxed)) {
                    (true, _) => "cancelling",
                    (false, true) => "running",
                    (false, false) => "waiting",
                }
            }
            // The process ended before the hunt did.
            (None, None) => {
                shown["hunt.matches_total"] = json!(hunt.hits.len());
                "interrupted"
            }
        };
        shown["hunt.state"] = json!(state);
        shown
    }

    /// The indicators in use that a query asks for, and how many there are of each source.
    pub fn indicators(&self, query: &IndicatorQuery) -> Value {
        let matcher = self.shared.store.matcher();
        let now = self.shared.clock.now();
        let limit = query.limit.unwrap_or(100).min(INDICATORS_PER_PAGE_MAX);
        let text = query.text.as_ref().map(|text| text.to_lowercase());
        let mut sources: BTreeMap<&str, u64> = BTreeMap::new();
        let mut total = 0usize;
        let mut expired = 0u64;
        let mut rows = Vec::new();
        for one in matcher.indicators() {
            *sources.entry(&one.source).or_default() += 1;
            expired += u64::from(one.has_expired(now));
            let wanted = query.source.as_deref().is_none_or(|source| source == &*one.source)
                && query.kind.is_none_or(|kind| kind == one.kind)
                && text.as_ref().is_none_or(|text| {
                    one.value.contains(text.as_str())
                        || one.note.as_ref().is_some_and(|note| note.to_lowercase().contains(text))
                });
            if !wanted {
                continue;
            }
            if total >= query.offset && rows.len() < limit {
                let mut row = serde_json::to_value(&**one).unwrap_or_default();
                row["threat.indicator.expired"] = json!(one.has_expired(now));
                rows.push(row);
            }
            total += 1;
        }
        json!({
            "indicators": rows,
            "total": total,
            "in_use": matcher.len(),
            "expired": expired,
            "bytes": matcher.bytes(),
            "sources": sources,
        })
    }
}
