//! What needs two persons: one asks, another approves within a time. Both are records.

use super::delete::DAY_MICROS;
use super::fold::{APPROVED, ASKED, Decision, Request, WITHDRAWN, Wanted, record, same_person};
use super::limits::REQUESTS_OPEN_MAX;
use super::{Named, checked_name, checked_reason};
use crate::{Node, NodeError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use yagura_event::{StreamName, UtcMicros};

/// What is to be deleted by hand.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeleteRequest {
    /// The stream; needed.
    pub stream: String,
    /// Batches wholly received before this instant (ISO 8601); needed.
    pub before: String,
    /// Why; needed.
    pub reason: String,
    /// Who asks; needed.
    pub by: String,
}

/// That the configured policies shall hold although they are shorter.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShortenRequest {
    /// Why; needed.
    pub reason: String,
    /// Who asks; needed.
    pub by: String,
}

/// The second person.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApproveRequest {
    /// Who approves, or withdraws; needed, and to approve another than who asked.
    pub by: String,
    /// A word about it.
    pub reason: String,
}

impl Request {
    /// In one word.
    pub(super) fn state(&self, now: UtcMicros) -> &'static str {
        if self.done.is_some() {
            "done"
        } else if self.withdrawn.is_some() {
            "withdrawn"
        } else if self.approved.is_some() {
            "approved"
        } else if now >= self.expires {
            "expired"
        } else {
            "open"
        }
    }

    pub(super) fn shown(&self, now: UtcMicros) -> Value {
        let mut shown = json!(self);
        shown["request.state"] = json!(self.state(now));
        shown
    }
}

impl Node {
    /// Requests, newest first.
    pub fn retention_requests(&self) -> Value {
        let now = self.clock().now();
        let requests: Vec<Request> = self.retaining().fold().requests().cloned().collect();
        let shown: Vec<Value> =
            requests.iter().map(|request| self.shown_with_preview(request, now)).collect();
        json!({ "requests": shown })
    }

    /// With what would go of a deletion that is not done: batches, events, and those of them that are
    /// pinned, whose bytes and proofs stay. What a hold keeps is found when it runs.
    fn shown_with_preview(&self, request: &Request, now: UtcMicros) -> Value {
        let mut shown = request.shown(now);
        let is_ahead = matches!(request.state(now), "open" | "approved");
        // Where the ledger does not read, the deletion will say so.
        if let Wanted::Delete { stream, before } = &request.wanted
            && is_ahead
            && let Ok(kept) = self.shelf_of(stream)
        {
            let going: Vec<_> = kept.iter().filter(|kept| kept.last < *before).collect();
            shown["preview"] = json!({
                "batches": going.len(),
                "records": going.iter().map(|kept| u64::from(kept.records)).sum::<u64>(),
                "events.pinned": self.pinned_in(going.iter().map(|kept| kept.batch)),
            });
        }
        shown
    }

    /// Asks that old batches of a stream be deleted. Nothing goes until another person approves.
    ///
    /// # Errors
    /// When the request cannot be right, or would delete what a policy keeps.
    pub fn ask_deletion(&self, request: &DeleteRequest, who: &str) -> Result<Value, NodeError> {
        let stream = StreamName::new(&request.stream).ok();
        let known = stream.filter(|stream| self.logs().0.stream_tail(stream).is_some());
        let Some(stream) = known else {
            let name: String = request.stream.chars().take(64).collect();
            return Err(NodeError::NotFound {
                message: format!("there is no stream {name:?}: yagura retention lists them"),
                message_ja: format!(
                    "ストリーム {name:?} はありません。yagura retention で一覧を確認してください"
                ),
            });
        };
        let before: UtcMicros =
            request.before.parse().map_err(|_| super::no_instant(&request.before))?;
        self.check_minimum(&stream, before)?;
        self.ask(Wanted::Delete { stream, before }, &request.by, &request.reason, who)
    }

    /// Refuses to delete what the policy in force keeps.
    fn check_minimum(&self, stream: &StreamName, before: UtcMicros) -> Result<(), NodeError> {
        let held = self.retaining().fold().in_force(stream.as_str());
        let now = self.clock().now();
        let latest = now.plus_micros(-i64::from(held.minimum) * DAY_MICROS);
        if before <= latest {
            return Ok(());
        }
        if held.minimum == 0 {
            return Err(NodeError::request("before lies in the future", "before が未来の時刻です"));
        }
        let by = held.policy.as_ref().and_then(|policy| policy.by());
        let (en, ja) = match by {
            Some(by) => (format!(" ({})", by.name_en), format!("（{}）", by.name_ja)),
            None => Default::default(),
        };
        let days = held.minimum;
        Err(NodeError::request(
            format!(
                "the policy of {stream}{en} keeps events for {days} days: before must be {latest} or \
                 earlier"
            ),
            format!(
                "{stream} のポリシー{ja}では{days}日間の保存が必要です。before は {latest} 以前にして\
                 ください"
            ),
        ))
    }

    /// Asks that the configured policies hold where they are shorter than what held before.
    ///
    /// # Errors
    /// When there is nothing that waits for it.
    pub fn ask_shortening(&self, request: &ShortenRequest, who: &str) -> Result<Value, NodeError> {
        let (waits, retention) = {
            let fold = self.retaining().fold();
            (fold.is_shortening(), fold.settings())
        };
        if !waits {
            return Err(NodeError::request(
                "no configured policy is shorter than what holds: change yagura.toml and start the \
                 server with it first",
                "短くしたポリシーはありません。先に yagura.toml を変え、サーバーを起動し直してください",
            ));
        }
        self.ask(Wanted::Shorten { retention }, &request.by, &request.reason, who)
    }

    fn ask(&self, wanted: Wanted, by: &str, reason: &str, who: &str) -> Result<Value, NodeError> {
        let by = checked_name(by, Named::Person)?;
        let reason = checked_reason(reason)?;
        let now = self.clock().now();
        let request = self.retaining().add(self.audit(), |fold| {
            let open = fold.requests().filter(|request| request.state(now) == "open").count();
            if open >= REQUESTS_OPEN_MAX {
                return Err(NodeError::request(
                    format!("{REQUESTS_OPEN_MAX} requests wait already: approve or withdraw some"),
                    format!(
                        "承認待ちの申請がすでに{REQUESTS_OPEN_MAX}件あります。承認するか、取り下げてください"
                    ),
                ));
            }
            let hours = i64::from(fold.settings().approval_hours);
            let request = Request {
                at: now,
                id: fold.next_request(),
                wanted,
                by,
                account: who.to_owned(),
                reason,
                expires: now.plus_micros(hours * 3_600_000_000),
                approved: None,
                withdrawn: None,
                done: None,
            };
            Ok((record(ASKED, &request), request))
        })?;
        Ok(self.shown_with_preview(&request, now))
    }

    /// Approves a request of another person; a deletion is then done at once. Blocks.
    ///
    /// # Errors
    /// When it was asked for by the same person, is over, or its time has passed.
    pub fn approve_retention(
        &self,
        id: &str,
        request: &ApproveRequest,
        who: &str,
    ) -> Result<Value, NodeError> {
        let by = checked_name(&request.by, Named::Person)?;
        let now = self.clock().now();
        let asked = self.open_request(id)?;
        if let Wanted::Delete { stream, before } = &asked.wanted {
            self.check_minimum(stream, *before)?;
            self.check_not_rereading()?;
        }
        self.retaining().add(self.audit(), |fold| {
            let asked = fold.request(id).filter(|asked| asked.state(now) == "open");
            let asked = asked.ok_or_else(|| over(id))?;
            if same_person(&asked.by, &by) {
                return Err(NodeError::request(
                    format!("{id} was asked for by {}: another person must approve it", asked.by),
                    format!("{id} は {} さんの申請です。別の人の承認が必要です", asked.by),
                ));
            }
            let decision = Decision {
                at: now,
                by: by.clone(),
                account: who.to_owned(),
                reason: request.reason.trim().to_owned(),
            };
            let mut entry = record(APPROVED, &decision);
            entry["request.id"] = json!(id);
            Ok((entry, ()))
        })?;
        let counts = match asked.wanted {
            Wanted::Delete { .. } => self.run_retention(&by)?,
            Wanted::Shorten { .. } => Value::Null,
        };
        let fold = self.retaining().fold();
        let mut shown = fold.request(id).map_or(Value::Null, |request| request.shown(now));
        shown["counts"] = counts;
        Ok(shown)
    }

    /// Takes a request back that nobody approved.
    ///
    /// # Errors
    /// When there is none, or it is over.
    pub fn withdraw_retention(
        &self,
        id: &str,
        request: &ApproveRequest,
        who: &str,
    ) -> Result<Value, NodeError> {
        let by = checked_name(&request.by, Named::Person)?;
        self.open_request(id)?;
        let now = self.clock().now();
        let reason = request.reason.trim().to_owned();
        let decision = Decision { at: now, by, account: who.to_owned(), reason };
        self.retaining().add(self.audit(), |fold| {
            let open = fold.request(id).is_some_and(|asked| asked.state(now) == "open");
            let mut entry = record(WITHDRAWN, &decision);
            entry["request.id"] = json!(id);
            open.then_some((entry, ())).ok_or_else(|| over(id))
        })?;
        let fold = self.retaining().fold();
        Ok(fold.request(id).map_or(Value::Null, |request| request.shown(now)))
    }

    fn open_request(&self, id: &str) -> Result<Request, NodeError> {
        let fold = self.retaining().fold();
        let request = fold.request(id).cloned().ok_or_else(|| NodeError::NotFound {
            message: format!("there is no request {id}"),
            message_ja: format!("申請 {id} はありません"),
        })?;
        match request.state(self.clock().now()) {
            "open" => Ok(request),
            "expired" => Err(NodeError::request(
                format!("{id} expired on {}: ask again", request.expires),
                format!("{id} は {} に期限が切れました。もう一度申請してください", request.expires),
            )),
            _ => Err(over(id)),
        }
    }
}

fn over(id: &str) -> NodeError {
    NodeError::request(
        format!("{id} was approved or withdrawn already"),
        format!("{id} はすでに承認されたか、取り下げられています"),
    )
}
