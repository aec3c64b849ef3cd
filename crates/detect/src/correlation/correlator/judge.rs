//! Windows that are judged when they are over.

use super::{Correlator, NewHit};
use crate::correlation::group::Episode;
use crate::correlation::hit::{Hit, Payload};
use crate::correlation::matched::{CorrelationMatch, News};
use std::cmp::Reverse;

impl Correlator {
    /// Judges windows that are over: when the events' clock has passed their end and the allowance,
    /// and for as long as the allowance nothing of the group was received.
    pub(super) fn judge(
        &mut self,
        position: usize,
        is_end: bool,
        pending: &mut [Vec<NewHit>],
        told: &mut Vec<CorrelationMatch>,
    ) {
        let ruleset = self.ruleset.clone();
        let Some(correlation) = ruleset.compiled_correlations().get(position) else { return };
        if correlation.rolling {
            return;
        }
        let (happened, received) = match (is_end, self.options.allowance_micros) {
            (true, _) => (i64::MAX, i64::MAX),
            (false, None) => return,
            (false, Some(allowance)) => (self.clocks.0.saturating_sub(allowance), self.clocks.1),
        };
        let allowance = self.options.allowance_micros.unwrap_or(0);
        loop {
            let Some(store) = self.stores.get_mut(position) else { return };
            while let Some(Reverse((end, slot))) = store.ends.peek().copied() {
                if end >= happened {
                    break;
                }
                store.ends.pop();
                let Some(group) = store.groups.get(slot) else { continue };
                store.over.push(Reverse((group.touched.saturating_add(allowance), slot)));
            }
            let Some(Reverse((quiet, slot))) = store.over.peek().copied() else { return };
            if quiet > received {
                return;
            }
            store.over.pop();
            let Some(group) = store.groups.get_mut(slot) else { continue };
            let Some(first) = group.hits.first().map(|hit| hit.time) else { continue };
            let end = first.saturating_add(correlation.span);
            if end >= happened {
                continue;
            }
            let still = group.touched.saturating_add(allowance);
            if still > received {
                store.over.push(Reverse((still, slot)));
                continue;
            }
            let inside = group.hits.partition_point(|hit| hit.time <= end);
            let window = group.hits.get(..inside).unwrap_or_default();
            let last = window.last().cloned();
            let measure = correlation.question().judge(window);
            if let (Some(measure), Some(last)) = (measure, last) {
                let episode = Episode {
                    id: self.next_episode,
                    from: first,
                    first_held: last.time,
                    last_held: last.time,
                    events: inside as u64,
                    told: inside as u64,
                };
                self.next_episode += 1;
                self.stats.raised += 1;
                if correlation.info.alerts {
                    let news = News::Raised;
                    told.push(correlation.tell(group, &episode, Some(measure), news, Some(&last)));
                }
                let values = group.key.values();
                group.hits.drain(..inside);
                group.judged_until = end;
                let hit = Hit { payload: Payload::None, ..last };
                self.feed(position, hit, &values, true, None, None, pending);
            } else {
                group.hits.drain(..inside);
                group.judged_until = end;
            }
            self.revision += 1;
            let Some(store) = self.stores.get_mut(position) else { return };
            if let Some(next) =
                store.groups.get(slot).and_then(|group| group.hits.first()).map(|hit| hit.time)
            {
                store.ends.push(Reverse((next.saturating_add(correlation.span), slot)));
            }
            self.recount(position, slot);
        }
    }
}
