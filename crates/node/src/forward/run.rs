//! One target's task: read, send, write down, wait.

use super::{Forwarding, One, REFUSED_SHOWN_MAX};
use crate::{Node, NodeError};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use yagura_event::Words;
use yagura_forward::{Refused, Row, Settled, Target};

/// Wait after a first failure; every further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Time between two looks for new events.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Failures after which an attempt that ends by itself gives up.
const FAILURES_MAX: u64 = 5;

/// Why a target's sending came to an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Everything sealed so far is settled.
    CaughtUp,
    /// Its receiver did not take events, several times in a row; why.
    GaveUp(Words),
}

/// When a target's sending ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Never: it waits for more, and for its receiver.
    Stopped,
    /// When everything sealed is settled, or its receiver is away.
    CaughtUp,
}

impl Forwarding {
    /// Names of the targets, in the order of the settings.
    pub fn names(&self) -> Vec<String> {
        self.targets.iter().map(|one| one.settings.name.clone()).collect()
    }

    /// Sends to the target number `at` what is sealed and what comes, until it is dropped.
    pub async fn keep_sending(self: Arc<Self>, node: Arc<Node>, at: usize, target: Target) {
        if let Some(one) = self.targets.get(at).cloned() {
            let _ = self.send(&node, &one, target, Until::Stopped).await;
        }
    }

    /// Sends to the target number `at` what is sealed now.
    ///
    /// # Errors
    /// What kept it from reading the store or writing its place down.
    pub async fn catch_up(
        self: Arc<Self>,
        node: Arc<Node>,
        at: usize,
        target: Target,
    ) -> Result<Ended, NodeError> {
        match self.targets.get(at).cloned() {
            Some(one) => self.send(&node, &one, target, Until::CaughtUp).await,
            None => Ok(Ended::CaughtUp),
        }
    }

    async fn send(
        &self,
        node: &Arc<Node>,
        one: &Arc<One>,
        mut target: Target,
        until: Until,
    ) -> Result<Ended, NodeError> {
        let mut wait = FIRST_WAIT;
        loop {
            let from = one.live().place.next;
            let window = match node.window_of(&one.settings.filter, from).await {
                Ok(Some(window)) => window,
                Ok(None) if until == Until::CaughtUp => {
                    self.write_down(node, one, true).await?;
                    return Ok(Ended::CaughtUp);
                }
                Ok(None) => {
                    // What was not written down yet is, while there is time.
                    if let Err(error) = self.write_down(node, one, false).await {
                        self.failed(node, one, error.words());
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                    continue;
                }
                Err(error) if until == Until::CaughtUp => return Err(error),
                Err(error) => {
                    self.failed(node, one, error.words());
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                    continue;
                }
            };
            let mut rest: &[Row] = &window.rows;
            while !rest.is_empty() {
                match target.send_some(rest).await {
                    Ok(Settled { events, refused }) => {
                        wait = FIRST_WAIT;
                        rest = rest.get(events..).unwrap_or_default();
                        self.settled(node, one, events, refused).await;
                    }
                    Err(later) => {
                        let failures = self.failed(node, one, later.0.clone());
                        if until == Until::CaughtUp && failures >= FAILURES_MAX {
                            self.write_down(node, one, true).await?;
                            return Ok(Ended::GaveUp(later.0));
                        }
                        tokio::time::sleep(wait).await;
                        wait = (wait * 2).min(LONGEST_WAIT);
                    }
                }
            }
            {
                let mut live = one.live();
                live.place.next = window.next;
                live.place.missed += window.missed;
            }
            if window.missed > 0 {
                tracing::warn!(
                    forward = one.settings.name,
                    events = window.missed,
                    "events had left the store before they were forwarded"
                );
            }
            if let Err(error) = self.write_down(node, one, false).await {
                if until == Until::CaughtUp {
                    return Err(error);
                }
                // They are sent again after a restart; sending goes on.
                self.failed(node, one, error.words());
            }
        }
    }

    async fn write_down(
        &self,
        node: &Arc<Node>,
        one: &Arc<One>,
        at_once: bool,
    ) -> Result<(), NodeError> {
        // A few hundred bytes, synced; not on a thread that serves connections.
        tokio::task::block_in_place(|| self.save(node, one, at_once))
    }

    async fn settled(&self, node: &Arc<Node>, one: &One, events: usize, refused: Vec<Refused>) {
        let now = node.clock().now();
        {
            let mut live = one.live();
            live.failures = 0;
            live.place.sent += (events - refused.len().min(events)) as u64;
            live.place.refused += refused.len() as u64;
            for Refused { id, reason } in &refused {
                if live.refusals.len() == REFUSED_SHOWN_MAX {
                    live.refusals.pop_front();
                }
                live.refusals.push_back((now, id.clone(), reason.clone()));
            }
        }
        if refused.is_empty() {
            return;
        }
        // Who asks later why an event is not there finds it in the audit log.
        let entry = json!({
            "@timestamp": now,
            "event.action": "forward.refused",
            "forward.name": one.settings.name,
            "events": refused.iter().map(|refused| json!({
                "event.id": refused.id, "reason": refused.reason,
            })).collect::<Vec<_>>(),
        });
        tracing::warn!(
            forward = one.settings.name,
            events = refused.len(),
            first = refused.first().map(|first| first.id.as_str()),
            "the receiver refused events"
        );
        if let Err(error) = tokio::task::block_in_place(|| node.audit().write(&[entry])) {
            tracing::error!(%error, "refused events could not be recorded");
        }
    }

    /// Notes a failure; says it at the first and at every doubling.
    fn failed(&self, node: &Node, one: &One, reason: Words) -> u64 {
        let mut live = one.live();
        live.failures += 1;
        if live.failures.is_power_of_two() {
            tracing::warn!(
                forward = one.settings.name,
                receiver = one.receiver,
                failures = live.failures,
                reason = reason.en(),
                "forwarding waits"
            );
        }
        live.last_error = Some((node.clock().now(), reason));
        live.failures
    }
}
