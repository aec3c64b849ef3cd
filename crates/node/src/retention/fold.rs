//! What the audit log says of policies, requests, deletions and holds: the state is a fold of its
//! records, and there is no other.

use super::limits::{DELETIONS_SHOWN_MAX, RELEASED_SHOWN_MAX, REQUESTS_SHOWN_MAX};
use super::policy::{InForce, RetentionSettings, in_force, matches};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use yagura_event::{StreamName, UtcMicros};

pub(super) const CONFIGURED: &str = "retention.configured";
pub(super) const ASKED: &str = "retention.asked";
pub(super) const APPROVED: &str = "retention.approved";
pub(super) const WITHDRAWN: &str = "retention.withdrawn";
pub(super) const DONE: &str = "retention.done";
pub(super) const DELETED: &str = "retention.deleted";
pub(super) const FINISHED: &str = "retention.finished";
pub(super) const HELD: &str = "hold.added";
pub(super) const RELEASED: &str = "hold.released";

/// What a second person is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request.kind", rename_all = "snake_case")]
pub(crate) enum Wanted {
    /// The batches of a stream that were wholly received before an instant go.
    Delete {
        /// The stream.
        #[serde(rename = "yagura.stream")]
        stream: StreamName,
        /// The instant.
        before: UtcMicros,
    },
    /// The configured policies hold where they are shorter than what held before.
    Shorten {
        /// The policies, as they were configured when it was asked for.
        retention: RetentionSettings,
    },
}

/// A request and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// When it was asked for.
    #[serde(rename = "@timestamp")]
    pub(crate) at: UtcMicros,
    #[serde(rename = "request.id")]
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) wanted: Wanted,
    /// Who asks, as he names himself.
    #[serde(rename = "user.name")]
    pub(crate) by: String,
    /// Whose account it came from.
    #[serde(rename = "user.account")]
    pub(crate) account: String,
    pub(crate) reason: String,
    /// Until when the second person may approve.
    pub(crate) expires: UtcMicros,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) approved: Option<Decision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) withdrawn: Option<Decision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) done: Option<UtcMicros>,
}

/// Who decided, when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decision {
    #[serde(rename = "@timestamp")]
    pub(crate) at: UtcMicros,
    #[serde(rename = "user.name")]
    pub(crate) by: String,
    #[serde(rename = "user.account")]
    pub(crate) account: String,
    #[serde(default)]
    pub(crate) reason: String,
}

/// A legal hold: what it touches stays, whatever a policy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    #[serde(rename = "@timestamp")]
    pub(crate) at: UtcMicros,
    #[serde(rename = "hold.id")]
    pub(crate) id: String,
    #[serde(rename = "hold.name")]
    pub(crate) name: String,
    pub(crate) reason: String,
    /// The case it is for.
    #[serde(default)]
    pub(crate) case: String,
    /// Patterns of streams; every stream where there is none.
    #[serde(default)]
    pub(crate) streams: Vec<String>,
    /// Hosts, in small letters; every one where there is none.
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    /// Only what happened or was received from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<UtcMicros>,
    /// Only what happened or was received before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<UtcMicros>,
    #[serde(rename = "user.name")]
    pub(crate) by: String,
    #[serde(rename = "user.account")]
    pub(crate) account: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) released: Option<Decision>,
}

impl Hold {
    /// Whether it may touch events of a stream.
    pub(crate) fn is_about(&self, stream: &str) -> bool {
        self.streams.is_empty() || self.streams.iter().any(|pattern| matches(pattern, stream))
    }

    /// Whether a span of time, both ends inclusive, is within its bounds.
    pub(crate) fn overlaps(&self, first: UtcMicros, last: UtcMicros) -> bool {
        self.from.is_none_or(|from| last >= from) && self.to.is_none_or(|to| first < to)
    }
}

/// The record of a deletion: before anything goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deletion {
    #[serde(rename = "@timestamp")]
    pub(crate) at: UtcMicros,
    /// `yagura-delete v1`.
    pub(crate) format: String,
    #[serde(rename = "yagura.stream")]
    pub(crate) stream: StreamName,
    /// First and last batch, both inclusive: every batch of the stream between goes.
    pub(crate) ranges: Vec<(u64, u64)>,
    pub(crate) batches: u64,
    pub(crate) records: u64,
    /// Pinned events among them: their bytes and proofs stay.
    #[serde(default)]
    pub(crate) pinned: u64,
    pub(crate) first_received: UtcMicros,
    pub(crate) last_received: UtcMicros,
    /// The policy, or the request and both names.
    pub(crate) because: Value,
    #[serde(rename = "user.name")]
    pub(crate) by: String,
}

pub(super) const DELETE_FORMAT: &str = "yagura-delete v1";

#[derive(Deserialize)]
struct Action<'a> {
    #[serde(rename = "event.action", borrow)]
    action: &'a str,
}

#[derive(Deserialize)]
struct Configured {
    retention: RetentionSettings,
    /// Whether the store was empty: then nobody's events are shortened.
    #[serde(default)]
    empty: bool,
}

#[derive(Deserialize)]
struct About {
    #[serde(rename = "request.id", alias = "hold.id")]
    id: String,
    #[serde(flatten)]
    decision: Decision,
}

#[derive(Deserialize)]
struct Done {
    #[serde(rename = "request.id")]
    id: String,
    #[serde(rename = "@timestamp")]
    at: UtcMicros,
}

/// The fold.
#[derive(Debug, Default)]
pub(crate) struct RetentionFold {
    /// Configurations that count, oldest first, the newest last: of a stream the longest of them holds.
    versions: Vec<RetentionSettings>,
    requests: BTreeMap<String, Request>,
    holds: BTreeMap<String, Hold>,
    deleted: DeletedBatches,
    deletions: VecDeque<Deletion>,
    /// Recorded, and not known to have left the table.
    pending: Vec<(StreamName, Vec<(u64, u64)>)>,
    last_request: u64,
    last_hold: u64,
}

/// Which batches were deleted by a record of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeletedBatches {
    /// By stream, ascending, apart from each other.
    ranges: BTreeMap<StreamName, Vec<(u64, u64)>>,
}

impl DeletedBatches {
    fn add(&mut self, stream: &StreamName, ranges: &[(u64, u64)]) {
        let known = self.ranges.entry(stream.clone()).or_default();
        known.extend(ranges.iter().filter(|(first, last)| first <= last));
        known.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(known.len());
        for (first, last) in known.drain(..) {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        *known = joined;
    }

    /// Whether a record says that this batch of the stream was deleted.
    pub(crate) fn has(&self, stream: &StreamName, batch: u64) -> bool {
        let Some(ranges) = self.ranges.get(stream) else { return false };
        let after = ranges.partition_point(|(first, _)| *first <= batch);
        let before = after.checked_sub(1).and_then(|at| ranges.get(at));
        before.is_some_and(|(_, last)| batch <= *last)
    }

    /// Whether nothing was ever deleted.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Folds one audit record; those of other kinds are ignored.
    pub(crate) fn replay(&mut self, entry: &[u8]) {
        let known = serde_json::from_slice::<Action<'_>>(entry);
        if known.is_ok_and(|entry| entry.action == DELETED)
            && let Ok(deletion) = serde_json::from_slice::<Deletion>(entry)
            && deletion.format == DELETE_FORMAT
        {
            self.add(&deletion.stream, &deletion.ranges);
        }
    }
}

fn number(id: &str, letter: &str) -> u64 {
    id.strip_prefix(letter).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

impl RetentionFold {
    /// Folds one audit record; those of other kinds, and those that mean nothing, are ignored.
    pub(crate) fn replay(&mut self, entry: &[u8]) {
        let Ok(known) = serde_json::from_slice::<Action<'_>>(entry) else { return };
        fn read<'a, T: Deserialize<'a>>(entry: &'a [u8]) -> Option<T> {
            serde_json::from_slice(entry).ok()
        }
        match known.action {
            CONFIGURED => {
                if let Some(Configured { retention, empty }) = read(entry) {
                    self.configured(retention, empty);
                }
            }
            ASKED => {
                if let Some(request) = read::<Request>(entry) {
                    self.last_request = self.last_request.max(number(&request.id, "R-"));
                    self.requests.insert(request.id.clone(), request);
                    self.make_room();
                }
            }
            APPROVED => {
                if let Some(About { id, decision }) = read(entry) {
                    self.approved(&id, decision);
                }
            }
            WITHDRAWN => {
                if let Some(About { id, decision }) = read(entry)
                    && let Some(request) = self.requests.get_mut(&id)
                {
                    request.withdrawn = Some(decision);
                }
            }
            DONE => {
                if let Some(Done { id, at }) = read(entry)
                    && let Some(request) = self.requests.get_mut(&id)
                {
                    request.done = Some(at);
                }
            }
            DELETED => {
                if let Some(deletion) = read::<Deletion>(entry)
                    && deletion.format == DELETE_FORMAT
                {
                    self.deleted.add(&deletion.stream, &deletion.ranges);
                    self.pending.push((deletion.stream.clone(), deletion.ranges.clone()));
                    self.deletions.push_front(deletion);
                    self.deletions.truncate(DELETIONS_SHOWN_MAX);
                }
            }
            FINISHED => self.pending.clear(),
            HELD => {
                if let Some(hold) = read::<Hold>(entry) {
                    self.last_hold = self.last_hold.max(number(&hold.id, "H-"));
                    self.holds.insert(hold.id.clone(), hold);
                }
            }
            RELEASED => {
                if let Some(About { id, decision }) = read(entry)
                    && let Some(hold) = self.holds.get_mut(&id)
                {
                    hold.released = Some(decision);
                    self.make_room();
                }
            }
            _ => {}
        }
    }

    fn configured(&mut self, settings: RetentionSettings, empty: bool) {
        if empty {
            self.versions.clear();
        } else if self.versions.is_empty() {
            // There were events before there was a policy: they were kept for ever.
            self.versions.push(RetentionSettings::default());
        }
        self.versions.retain(|version| version.policy != settings.policy);
        self.versions.push(settings);
    }

    fn approved(&mut self, id: &str, decision: Decision) {
        let Some(request) = self.requests.get_mut(id) else { return };
        if let Wanted::Shorten { retention } = &request.wanted {
            // What was configured since waits for an approval of its own.
            let newest = self.versions.last().cloned();
            self.versions = vec![retention.clone()];
            if let Some(newest) = newest {
                self.versions.retain(|version| version.policy != newest.policy);
                self.versions.push(newest);
            }
            request.done = Some(decision.at);
        }
        request.approved = Some(decision);
        self.make_room();
    }

    fn make_room(&mut self) {
        let over: Vec<String> = self
            .requests
            .values()
            .filter(|request| request.done.is_some() || request.withdrawn.is_some())
            .map(|request| request.id.clone())
            .collect();
        for id in over.iter().take(over.len().saturating_sub(REQUESTS_SHOWN_MAX)) {
            self.requests.remove(id);
        }
        let released: Vec<String> = self
            .holds
            .values()
            .filter(|hold| hold.released.is_some())
            .map(|hold| hold.id.clone())
            .collect();
        for id in released.iter().take(released.len().saturating_sub(RELEASED_SHOWN_MAX)) {
            self.holds.remove(id);
        }
    }

    /// What was configured last.
    pub(crate) fn settings(&self) -> RetentionSettings {
        self.versions.last().cloned().unwrap_or_default()
    }

    /// How many configurations count.
    pub(crate) fn versions(&self) -> usize {
        self.versions.len()
    }

    /// Whether anything was configured.
    pub(crate) fn is_configured(&self) -> bool {
        !self.versions.is_empty()
    }

    /// What holds for a stream.
    pub(crate) fn in_force(&self, stream: &str) -> InForce {
        in_force(&self.versions, stream)
    }

    /// Whether some configured policy is shorter than what held before.
    pub(crate) fn is_shortening(&self) -> bool {
        self.versions.len() > 1
    }

    pub(crate) fn next_request(&self) -> String {
        format!("R-{:06}", self.last_request + 1)
    }

    pub(crate) fn next_hold(&self) -> String {
        format!("H-{:06}", self.last_hold + 1)
    }

    pub(crate) fn request(&self, id: &str) -> Option<&Request> {
        self.requests.get(id)
    }

    /// All requests that are still known, newest first.
    pub(crate) fn requests(&self) -> impl Iterator<Item = &Request> {
        self.requests.values().rev()
    }

    pub(crate) fn hold(&self, id: &str) -> Option<&Hold> {
        self.holds.get(id)
    }

    /// All holds that are still known, newest first.
    pub(crate) fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values().rev()
    }

    /// Holds that are in force.
    pub(crate) fn holds_in_force(&self) -> Vec<Hold> {
        self.holds.values().filter(|hold| hold.released.is_none()).cloned().collect()
    }

    pub(crate) fn deleted(&self) -> &DeletedBatches {
        &self.deleted
    }

    /// Deletions that are recorded and may not have been done: a crash came between.
    pub(crate) fn pending(&self) -> &[(StreamName, Vec<(u64, u64)>)] {
        &self.pending
    }

    /// The last deletions, newest first.
    pub(crate) fn deletions(&self) -> impl Iterator<Item = &Deletion> {
        self.deletions.iter()
    }
}

/// An audit record.
pub(super) fn record(action: &str, of: &impl Serialize) -> Value {
    let mut entry = json!(of);
    entry["event.action"] = json!(action);
    entry
}

/// Whether two names are of one person, as far as names tell: width, case and blanks do not count.
pub(crate) fn same_person(a: &str, b: &str) -> bool {
    fn plain(name: &str) -> impl Iterator<Item = char> {
        let narrow = |c: char| match c {
            '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
            other => other,
        };
        let letters = name.chars().filter(|c| !c.is_whitespace());
        letters.map(narrow).flat_map(char::to_lowercase)
    }
    plain(a).eq(plain(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(entries: &[Value]) -> RetentionFold {
        let mut fold = RetentionFold::default();
        entries.iter().for_each(|entry| fold.replay(entry.to_string().as_bytes()));
        fold
    }

    fn configured(days: u32, empty: bool) -> Value {
        json!({
            "event.action": CONFIGURED, "empty": empty,
            "retention": {"policy": [{"streams": ["*"], "reason": "x", "maximum_days": days}]},
        })
    }

    fn decided(action: &str, id: &str, by: &str) -> Value {
        json!({
            "event.action": action, "@timestamp": "2026-11-21T10:00:00Z", "request.id": id,
            "user.name": by, "user.account": "local",
        })
    }

    #[test]
    fn shorter_policies_count_once_somebody_approved() {
        let maximum = |entries: &[Value]| fold(entries).in_force("syslog").maximum;
        assert_eq!(maximum(&[configured(30, true)]), Some(30));
        assert_eq!(maximum(&[configured(30, false)]), None, "there were events before");
        let shorten = |days| {
            json!({
                "event.action": ASKED, "@timestamp": "2026-11-21T09:00:00Z",
                "request.id": "R-000001", "request.kind": "shorten", "user.name": "sato",
                "user.account": "local", "reason": "space", "expires": "2026-11-24T09:00:00Z",
                "retention": configured(days, false)["retention"],
            })
        };
        let approved = decided(APPROVED, "R-000001", "tanaka");
        let all = [configured(90, true), configured(30, false), shorten(30), approved];
        assert_eq!(maximum(&all[..2]), Some(90));
        assert_eq!(maximum(&all[..3]), Some(90), "asking alone changes nothing");
        assert_eq!(maximum(&all), Some(30));
        // What was configured after the request was asked for is not what was approved.
        let later = [&all[..3], &[configured(7, false)], &all[3..]].concat();
        assert_eq!(maximum(&later), Some(30));
        assert!(fold(&later).is_shortening());
        let id = fold(&all).next_request();
        assert_eq!(id, "R-000002");
    }

    #[test]
    fn what_was_deleted_is_known_by_stream_and_batch() {
        let deleted = |stream: &str, ranges: &[(u64, u64)]| {
            json!({
                "event.action": DELETED, "@timestamp": "2026-11-21T09:00:00Z",
                "format": DELETE_FORMAT, "yagura.stream": stream, "ranges": ranges, "batches": 1,
                "records": 1, "first_received": "2026-11-21T09:00:00Z",
                "last_received": "2026-11-21T09:00:00Z", "because": {}, "user.name": "yagura",
            })
        };
        let fold = fold(&[
            deleted("a", &[(5, 7), (20, 20)]),
            deleted("a", &[(8, 9), (1, 1), (9, 3)]),
            deleted("b", &[(6, 6)]),
            json!({"event.action": DELETED, "format": "yagura-delete v2", "ranges": [[100, 200]]}),
        ]);
        let has =
            |stream: &str, batch| fold.deleted().has(&StreamName::new(stream).unwrap(), batch);
        let found: Vec<u64> = (0..22).filter(|batch| has("a", *batch)).collect();
        assert_eq!(found, [1, 5, 6, 7, 8, 9, 20]);
        assert!(has("b", 6) && !has("b", 5) && !has("c", 6) && !has("a", 150));
        assert_eq!(fold.deletions().count(), 3);
    }

    #[test]
    fn so_much_that_is_over_is_still_shown() {
        let at = "2026-11-21T09:00:00Z";
        let asked = |number: usize| {
            json!({
                "event.action": ASKED, "@timestamp": at, "request.id": format!("R-{number:06}"),
                "request.kind": "delete", "yagura.stream": "a", "before": at, "user.name": "sato",
                "user.account": "local", "reason": "x", "expires": at,
            })
        };
        let withdrawn = |number: usize| decided(WITHDRAWN, &format!("R-{number:06}"), "sato");
        let over = |count: usize| {
            let mut entries: Vec<Value> = (1..=count).map(asked).collect();
            entries.extend((1..=count).map(withdrawn));
            // One that is open makes room.
            entries.push(asked(count + 1));
            let fold = fold(&entries);
            (fold.requests().count(), fold.request("R-000001").is_some())
        };
        assert_eq!(over(REQUESTS_SHOWN_MAX), (REQUESTS_SHOWN_MAX + 1, true));
        assert_eq!(over(REQUESTS_SHOWN_MAX + 1), (REQUESTS_SHOWN_MAX + 1, false));

        let held = |number: usize| {
            json!({
                "event.action": HELD, "@timestamp": at, "hold.id": format!("H-{number:06}"),
                "hold.name": "x", "reason": "x", "case": "", "streams": [], "hosts": [],
                "from": null, "to": null, "user.name": "sato", "user.account": "local",
            })
        };
        let released = |number: usize| {
            json!({
                "event.action": RELEASED, "@timestamp": at, "hold.id": format!("H-{number:06}"),
                "user.name": "sato", "user.account": "local", "reason": "x",
            })
        };
        let over = |count: usize| {
            let entries: Vec<Value> = (1..=count).flat_map(|n| [held(n), released(n)]).collect();
            let fold = fold(&entries);
            (fold.holds().count(), fold.hold("H-000001").is_some())
        };
        assert_eq!(over(RELEASED_SHOWN_MAX), (RELEASED_SHOWN_MAX, true));
        assert_eq!(over(RELEASED_SHOWN_MAX + 1), (RELEASED_SHOWN_MAX, false));

        let deleted = |batch: usize| {
            json!({
                "event.action": DELETED, "@timestamp": at, "format": DELETE_FORMAT,
                "yagura.stream": "a", "ranges": [[batch, batch]], "batches": 1, "records": 1,
                "first_received": at, "last_received": at, "because": {}, "user.name": "yagura",
            })
        };
        let over = |count: usize| {
            let fold = fold(&(1..=count).map(|batch| deleted(batch * 2)).collect::<Vec<_>>());
            // What is no longer shown was deleted all the same.
            assert!(fold.deleted().has(&StreamName::new("a").unwrap(), 2));
            (fold.deletions().count(), fold.deletions().last().unwrap().ranges[0].0)
        };
        assert_eq!(over(DELETIONS_SHOWN_MAX), (DELETIONS_SHOWN_MAX, 2));
        assert_eq!(over(DELETIONS_SHOWN_MAX + 1), (DELETIONS_SHOWN_MAX, 4));
    }

    #[test]
    fn one_person_has_one_name() {
        for (a, b, same) in [
            ("sato", "SATO", true),
            ("佐藤 花子", "佐藤　花子", true),
            ("ｓａｔｏ", " sato ", true),
            ("sato", "tanaka", false),
            ("佐藤", "加藤", false),
        ] {
            assert_eq!(same_person(a, b), same, "{a} {b}");
        }
    }
}
