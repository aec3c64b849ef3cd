//! State stays within its limits: what expires is forgotten, what finds no room is refused and said.

use super::{Correlator, share};
use crate::correlation::compile::{Correlation, Kind};
use crate::correlation::group::{Episode, Group};
use crate::correlation::hit::Hit;
use crate::correlation::matched::{CorrelationMatch, News};
use crate::correlation::notice::NoticeKind;
use crate::limits::{CORRELATION_HITS_MAX, CORRELATION_SORTED_HITS_MAX};

impl Correlator {
    pub(super) fn has_room(&mut self, position: usize, bytes: usize) -> bool {
        let most = self.options.state_bytes_max;
        let share = share(most, self.stores.len());
        let fits = |this: &Self| {
            let own = this.stores.get(position).map_or(0, |store| store.groups.bytes);
            this.bytes + bytes <= most && own + bytes <= share
        };
        if fits(self) {
            return true;
        }
        for position in 0..self.stores.len() {
            // Nothing new has expired while the events' clock stands still.
            let swept = self.stores.get(position).and_then(|store| store.swept);
            if swept.is_none_or(|swept| swept < self.clocks.0) {
                self.sweep(position);
            }
        }
        fits(self)
    }

    pub(super) fn refuse(&mut self, correlation: &Correlation, hit: &Hit, count: u64) {
        self.stats.refused += count;
        self.notices.add(NoticeKind::StateFull, &correlation.info, count, || {
            hit.event_id().map_or(String::new(), |id| id.to_string())
        });
    }

    /// After a group has changed: forgets what no window can reach any more, keeps within its limit
    /// and counts its bytes.
    pub(super) fn tidy(&mut self, position: usize, correlation: &Correlation, slot: u32) {
        let Some(store) = self.stores.get_mut(position) else { return };
        let Some(group) = store.groups.get_mut(slot) else { return };
        if correlation.rolling {
            if let Some(allowance) = self.options.allowance_micros {
                let reach = allowance.saturating_add(correlation.span);
                let oldest = group.newest.saturating_sub(reach);
                // What an alert has to tell is in its hits: it speaks before they go.
                let told = &mut self.last_words;
                self.stats.updated += last_words(correlation, group, oldest, told);
                group.episodes.retain(|episode| episode.last_held >= oldest);
                group.prune(oldest);
            }
            let most = hits_max(correlation.kind);
            if group.hits.len() > most {
                let gone = group.hits.len() - most / 4 * 3;
                let kept = group.hits.get(gone).map_or(i64::MAX, |hit| hit.time);
                let told = &mut self.last_words;
                self.stats.updated += last_words(correlation, group, kept, told);
                group.hits.drain(..gone);
                self.stats.let_go += gone as u64;
                let example = || {
                    let values = group.key.values().into_iter().map(Option::unwrap_or_default);
                    values.collect::<Vec<_>>().join(", ")
                };
                let kind = NoticeKind::GroupFull;
                self.notices.add(kind, &correlation.info, gone as u64, example);
            }
        }
        self.recount(position, slot);
    }

    pub(super) fn recount(&mut self, position: usize, slot: u32) {
        let Some(store) = self.stores.get_mut(position) else { return };
        let before = store.groups.bytes;
        store.groups.recount(slot);
        self.bytes = self.bytes.saturating_sub(before) + store.groups.bytes;
    }

    pub(super) fn sweep_sometimes(&mut self, position: usize) {
        let ruleset = self.ruleset.clone();
        let Some(correlation) = ruleset.compiled_correlations().get(position) else { return };
        let Some(store) = self.stores.get_mut(position) else { return };
        let Some(swept) = store.swept else {
            store.swept = Some(self.clocks.0);
            return;
        };
        // Looking at every group pays when many may have gone: time and events must have passed.
        let due = self.clocks.0.saturating_sub(swept) > correlation.span
            && store.came >= store.groups.len() / 2;
        if due {
            self.sweep(position);
        }
    }

    /// Forgets groups that no further event can belong to.
    pub(super) fn sweep(&mut self, position: usize) {
        let Some(allowance) = self.options.allowance_micros else { return };
        let ruleset = self.ruleset.clone();
        let Some(correlation) = ruleset.compiled_correlations().get(position) else { return };
        let Some(store) = self.stores.get_mut(position) else { return };
        let (happened, received) = self.clocks;
        store.swept = Some(happened);
        store.came = 0;
        let reach = correlation.span.saturating_add(allowance);
        let is_expired = |(slot, group): (u32, &Group)| {
            let expired = group.is_expired((happened, received), reach, allowance);
            (expired && (correlation.rolling || group.hits.is_empty())).then_some(slot)
        };
        let expired: Vec<u32> = store.groups.iter().filter_map(is_expired).collect();
        let before = store.groups.bytes;
        for slot in expired {
            if let Some(group) = store.groups.get_mut(slot) {
                let told = &mut self.last_words;
                self.stats.updated += last_words(correlation, group, i64::MAX, told);
            }
            store.groups.remove(slot);
        }
        self.bytes = self.bytes.saturating_sub(before - store.groups.bytes);
    }

    /// Counts the bytes of all groups again, after a state was read.
    pub(crate) fn settle(&mut self) {
        self.bytes = self.stores.iter().map(|store| store.groups.bytes).sum();
        self.revision += 1;
    }
}

/// Final news of the alerts of a group that last held before `until` and have grown since they were
/// told; returns how many.
pub(super) fn last_words(
    correlation: &Correlation,
    group: &mut Group,
    until: i64,
    told: &mut Vec<CorrelationMatch>,
) -> u64 {
    let mut count = 0;
    let mut episodes = std::mem::take(&mut group.episodes);
    let ended = |episode: &&mut Episode| episode.last_held < until && episode.events > episode.told;
    for episode in episodes.iter_mut().filter(ended) {
        episode.told = episode.events;
        count += 1;
        if correlation.info.alerts {
            told.push(correlation.tell(group, episode, None, News::Updated, None));
        }
    }
    group.episodes = episodes;
    count
}

pub(super) fn hits_max(kind: Kind) -> usize {
    match kind {
        Kind::ValuePercentile(_) => CORRELATION_SORTED_HITS_MAX,
        _ => CORRELATION_HITS_MAX,
    }
}
