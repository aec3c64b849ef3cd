//! Hits enter their groups; windows that roll are looked at as they do.

use super::room::hits_max;
use super::{Correlator, GroupValues, NewHit};
use crate::correlation::compile::Correlation;
use crate::correlation::condition::Measure;
use crate::correlation::group::Episode;
use crate::correlation::hit::{Hit, Payload};
use crate::correlation::matched::{CorrelationMatch, News};
use crate::correlation::notice::NoticeKind;
use crate::correlation::rows::Rows;
use crate::correlation::window::Window;
use std::cmp::Reverse;
use std::collections::HashMap;

impl Correlator {
    pub(super) fn count(
        &mut self,
        position: usize,
        mut new: Vec<NewHit>,
        mut rows: Option<&mut Rows<'_>>,
        pending: &mut [Vec<NewHit>],
        told: &mut Vec<CorrelationMatch>,
    ) {
        if new.is_empty() {
            return;
        }
        let ruleset = self.ruleset.clone();
        let Some(correlation) = ruleset.compiled_correlations().get(position) else { return };
        let received = self.clocks.1;
        if !correlation.kind.is_temporal() && correlation.sources.len() > 1 {
            // An event that several of the rules find is still one event.
            let event =
                |new: &NewHit| (new.slot, new.hit.batch, new.hit.index, new.hit.stream.clone());
            new.sort_by_cached_key(event);
            new.dedup_by(|a, b| a.slot == b.slot && a.hit.is_event_of(&b.hit));
        }
        new.sort_by(|a, b| a.slot.cmp(&b.slot).then_with(|| a.hit.order(&b.hit)));
        let mut rest = new.into_iter().peekable();
        while let Some(first) = rest.next() {
            let slot = first.slot;
            let mut hits = vec![first.hit];
            let mut places = vec![first.row];
            while let Some(next) = rest.next_if(|next| next.slot == slot) {
                hits.push(next.hit);
                places.push(next.row);
            }
            let (hits, places) = self.admit(position, correlation, slot, hits, places);
            if hits.is_empty() {
                continue;
            }
            self.stats.counted += hits.len() as u64;
            let Some(store) = self.stores.get_mut(position) else { return };
            store.came += hits.len();
            let Some(group) = store.groups.get_mut(slot) else { continue };
            group.touched = group.touched.max(received);
            if let Some(rows) = rows.as_deref() {
                group.dataset = rows.dataset().clone();
            }
            let anchor = group.hits.first().map(|hit| hit.time);
            let times: Vec<i64> = hits.iter().map(|hit| hit.time).collect();
            let places: Vec<((u64, u32), Option<usize>)> = match correlation.counted_by_others {
                true => {
                    let events = hits.iter().map(|hit| (hit.batch, hit.index));
                    events.zip(places).collect()
                }
                false => Vec::new(),
            };
            group.merge(hits);
            if correlation.rolling {
                let fed = self.roll(position, correlation, slot, &times, told);
                for (hit, values) in fed {
                    let at = (hit.batch, hit.index);
                    let own = places.iter().find(|(event, _)| *event == at);
                    let row = own.or(places.last()).and_then(|(_, row)| *row);
                    self.feed(
                        position,
                        hit,
                        &values.0,
                        values.1,
                        row,
                        rows.as_deref_mut(),
                        pending,
                    );
                }
            } else if anchor != group.hits.first().map(|hit| hit.time) {
                let end = group.hits.first().map_or(0, |hit| hit.time);
                store.ends.push(Reverse((end.saturating_add(correlation.span), slot)));
            }
            self.tidy(position, correlation, slot);
        }
    }

    /// Keeps back hits that come too late or find no room.
    pub(super) fn admit(
        &mut self,
        position: usize,
        correlation: &Correlation,
        slot: u32,
        hits: Vec<Hit>,
        places: Vec<Option<usize>>,
    ) -> (Vec<Hit>, Vec<Option<usize>>) {
        let Some(group) = self.stores.get(position).and_then(|store| store.groups.get(slot)) else {
            return Default::default();
        };
        let oldest = match self.options.allowance_micros {
            Some(allowance) if group.newest > i64::MIN => group.newest.saturating_sub(allowance),
            _ => i64::MIN,
        };
        let oldest = oldest.max(group.judged_until.saturating_add(1));
        let room = match correlation.rolling {
            true => usize::MAX,
            false => hits_max(correlation.kind).saturating_sub(group.hits.len()),
        };
        let (mut kept, mut rows, mut late, mut bytes) = (Vec::new(), Vec::new(), None, 0);
        let mut full = None;
        for (hit, row) in hits.into_iter().zip(places) {
            if hit.time < oldest {
                self.stats.late += 1;
                late = Some((late.map_or(1, |(count, _)| count + 1), hit));
            } else if kept.len() >= room {
                full = Some((full.map_or(1, |(count, _)| count + 1), hit));
            } else {
                bytes += size_of::<Hit>() + hit.text_bytes();
                kept.push(hit);
                rows.push(row);
            }
        }
        let id = |hit: &Hit| hit.event_id().map_or(String::new(), |id| id.to_string());
        if let Some((count, hit)) = late {
            self.notices.add(NoticeKind::Late, &correlation.info, count, || id(&hit));
        }
        if let Some((count, hit)) = full {
            self.stats.refused += count;
            self.notices.add(NoticeKind::GroupFull, &correlation.info, count, || id(&hit));
        }
        if !self.has_room(position, bytes) {
            if let Some(hit) = kept.first() {
                self.refuse(correlation, hit, kept.len() as u64);
            }
            (kept, rows) = Default::default();
        }
        if let Some(store) = self.stores.get_mut(position)
            && kept.is_empty()
            && store.groups.get(slot).is_some_and(|group| group.newest == i64::MIN)
        {
            let before = store.groups.bytes;
            store.groups.remove(slot);
            self.bytes = self.bytes.saturating_sub(before - store.groups.bytes);
        }
        (kept, rows)
    }

    /// Looks at the windows that new hits are in. Returns what other correlations count.
    pub(super) fn roll(
        &mut self,
        position: usize,
        correlation: &Correlation,
        slot: u32,
        new: &[i64],
        told: &mut Vec<CorrelationMatch>,
    ) -> Vec<(Hit, GroupValues)> {
        let span = correlation.span;
        let Some(store) = self.stores.get_mut(position) else { return Vec::new() };
        let Some(group) = store.groups.get_mut(slot) else { return Vec::new() };
        for episode in &mut group.episodes {
            let from = new.partition_point(|time| *time < episode.from);
            let to = new.partition_point(|time| *time <= episode.last_held);
            episode.events += (to - from) as u64;
        }
        let windows = correlation.question().windows(&group.hits, new);
        let mut fed = Vec::new();
        let mut raised: Vec<(u64, Window)> = Vec::new();
        let mut newest: HashMap<u64, Measure> = HashMap::new();
        let mut forgotten: Vec<Episode> = Vec::new();
        for window in windows {
            let Some(last) = window.end.checked_sub(1).and_then(|end| group.hits.get(end)) else {
                continue;
            };
            let time = last.time;
            let start = group.hits.get(window.start).map_or(time, |hit| hit.time);
            let counted = correlation
                .counted_by_others
                .then(|| Hit { payload: Payload::None, ..last.clone() });
            let reached = group.episodes.iter().position(|episode| episode.reaches(time, span));
            match reached {
                Some(at) => {
                    let (hits, episodes) = (&group.hits, &mut group.episodes);
                    if let Some(episode) = episodes.get_mut(at) {
                        widen(episode, hits, start, time);
                        newest.insert(episode.id, window.measure);
                    }
                }
                None => {
                    let id = self.next_episode;
                    self.next_episode += 1;
                    forgotten.extend(group.remember(Episode {
                        id,
                        from: start,
                        first_held: time,
                        last_held: time,
                        events: (window.end - window.start) as u64,
                        told: 0,
                    }));
                    raised.push((id, window));
                    newest.insert(id, window.measure);
                }
            }
            if let Some(hit) = counted {
                fed.push((hit, (group.key.values(), reached.is_none())));
            }
        }
        if !forgotten.is_empty() {
            let values = || group.key.values().into_iter().map(Option::unwrap_or_default);
            let example = || values().collect::<Vec<_>>().join(", ");
            let count = forgotten.len() as u64;
            self.notices.add(NoticeKind::Forgotten, &correlation.info, count, example);
        }
        let mut episodes = std::mem::take(&mut group.episodes);
        // What is forgotten is told a last time, and also where it was raised just now.
        let last = forgotten.iter_mut().map(|episode| (true, episode));
        for (is_last, episode) in last.chain(episodes.iter_mut().map(|episode| (false, episode))) {
            // Their numbers rise.
            let window = raised.binary_search_by_key(&episode.id, |(id, _)| *id);
            let window = window.ok().and_then(|at| raised.get(at)).map(|(_, window)| window);
            let is_news = episode.events >= episode.told.saturating_mul(2);
            let news = match window {
                Some(_) => News::Raised,
                None if is_last && episode.events > episode.told => News::Updated,
                None if newest.contains_key(&episode.id) && is_news => News::Updated,
                None => continue,
            };
            episode.told = episode.events;
            match news {
                News::Raised => self.stats.raised += 1,
                News::Updated => self.stats.updated += 1,
            }
            if correlation.info.alerts {
                let trigger = window.and_then(|window| group.hits.get(window.end.checked_sub(1)?));
                let measure = newest.get(&episode.id).copied();
                told.push(correlation.tell(group, episode, measure, news, trigger));
            }
        }
        group.episodes = episodes;
        fed
    }

    /// Hands a moment at which a correlation held to those that count it. For the temporal types
    /// every such moment counts, since the newest is the nearest; the others count alerts.
    #[expect(clippy::too_many_arguments, reason = "two halves of one step")]
    pub(super) fn feed(
        &mut self,
        position: usize,
        hit: Hit,
        values: &[Option<String>],
        is_new: bool,
        row: Option<usize>,
        mut rows: Option<&mut Rows<'_>>,
        pending: &mut [Vec<NewHit>],
    ) {
        let ruleset = self.ruleset.clone();
        let all = ruleset.compiled_correlations();
        let above = self.counts_correlation.get(position).cloned().unwrap_or_default();
        for (above, source) in above {
            let is_temporal = all.get(above).is_some_and(|above| above.kind.is_temporal());
            if is_temporal || is_new {
                let hit = Hit { source, ..hit.clone() };
                self.route(rows.as_deref_mut(), above, hit, row, values, pending);
            }
        }
    }
}

/// Takes a window that ends at `time` into an episode.
fn widen(episode: &mut Episode, hits: &[Hit], start: i64, time: i64) {
    let count = |from: i64, to: i64| {
        let from = hits.partition_point(|hit| hit.time < from);
        let to = hits.partition_point(|hit| hit.time < to);
        to.saturating_sub(from) as u64
    };
    if time > episode.last_held {
        episode.events += count(episode.last_held.saturating_add(1), time.saturating_add(1));
        episode.last_held = time;
    }
    if time <= episode.first_held {
        episode.first_held = time;
        if start < episode.from {
            episode.events += count(start, episode.from);
            episode.from = start;
        }
    }
}
