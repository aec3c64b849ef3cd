//! The correlator: takes matches in, keeps windows, gives out what the windows come to.

use super::compile::{Correlation, FieldFrom, Kind};
use super::condition::Measure;
use super::group::{Episode, Group, Groups};
use super::hit::{Hit, JOINT, Payload, number};
use super::key::{Key, cut};
use super::matched::{CorrelationMatch, News};
use super::notice::{CorrelatorStats, Notice, NoticeKind, Notices};
use super::rows::{Part, Rows};
use super::window::{Question, Window};
use crate::engine::Match;
use crate::limits::{CORRELATION_HITS_MAX, CORRELATION_SORTED_HITS_MAX, CORRELATION_STREAMS_MAX};
use crate::ruleset::Ruleset;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use yagura_event::EventBatch;

/// The values of a group, and whether the hit opened an episode.
type GroupValues = (Vec<Option<String>>, bool);

/// How a correlator keeps its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorrelatorOptions {
    /// How late (µs) an event may come after the newest of its group and still be counted; `None`
    /// for however late. Default: 10 minutes.
    pub allowance_micros: Option<i64>,
    /// Most bytes of state. Past it further events are refused, with a notice. While there are
    /// several correlations, one alone may have half of it. Default: 256 MiB.
    pub state_bytes_max: usize,
}

impl Default for CorrelatorOptions {
    fn default() -> Self {
        CorrelatorOptions {
            allowance_micros: Some(10 * 60 * 1_000_000),
            state_bytes_max: 256 * 1024 * 1024,
        }
    }
}

impl CorrelatorOptions {
    /// For files that are read one after another: no event comes too late, and windows that are
    /// judged when over are judged at [`Correlator::finish`].
    pub fn for_files() -> Self {
        CorrelatorOptions { allowance_micros: None, ..CorrelatorOptions::default() }
    }
}

/// Counts the matches of an engine over time. One per engine; see the module for what it promises.
#[derive(Debug)]
pub struct Correlator {
    pub(crate) ruleset: Arc<Ruleset>,
    pub(crate) options: CorrelatorOptions,
    /// Which correlations count a rule, and as which of theirs: by rule id.
    counts: HashMap<String, Arc<[(usize, u16)]>>,
    /// The same for correlations, by position.
    counts_correlation: Vec<Vec<(usize, u16)>>,
    pub(crate) stores: Vec<Store>,
    /// Where an earlier run had got to; what lies before is a replay.
    pub(crate) floor: HashMap<Arc<str>, (u64, u32)>,
    /// Per stream, the batch of the newest event counted, and the index after it.
    pub(crate) positions: HashMap<Arc<str>, (u64, u32)>,
    /// The newest time of occurrence, and of receipt (UTC, µs).
    pub(crate) clocks: (i64, i64),
    pub(crate) next_episode: u64,
    stats: CorrelatorStats,
    notices: Notices,
    /// Of all stores.
    bytes: usize,
    /// Counts every change of what would be saved.
    revision: u64,
    /// Final news of alerts whose groups were forgotten; told with the next.
    last_words: Vec<CorrelationMatch>,
}

/// What is kept for one correlation.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) groups: Groups,
    /// Ends of windows that are judged when over, with their groups. Some are outdated.
    pub(crate) ends: BinaryHeap<Reverse<(i64, u32)>>,
    /// Windows that are over by the events' clocks, and when by ours none is expected any more.
    over: BinaryHeap<Reverse<(i64, u32)>>,
    /// The events' clock when expired groups were last looked for, and what came since.
    swept: Option<i64>,
    came: usize,
}

/// A hit on its way to its group.
struct NewHit {
    slot: u32,
    hit: Hit,
    /// Where the event stands in the batch at hand.
    row: Option<usize>,
}

impl Correlator {
    /// A correlator for the correlations of `ruleset` that has seen nothing.
    pub fn new(ruleset: Arc<Ruleset>, options: CorrelatorOptions) -> Correlator {
        let mut counts: HashMap<String, Vec<(usize, u16)>> = HashMap::new();
        let all = ruleset.compiled_correlations();
        let mut counts_correlation = vec![Vec::new(); all.len()];
        for (position, correlation) in all.iter().enumerate() {
            for (source, rule) in (0u16..).zip(&correlation.sources) {
                match rule.correlation.and_then(|below| counts_correlation.get_mut(below)) {
                    Some(counted) => counted.push((position, source)),
                    None => {
                        counts.entry(rule.info.id.clone()).or_default().push((position, source));
                    }
                }
            }
        }
        let stores = all.iter().map(|_| Store::default()).collect();
        Correlator {
            ruleset,
            options,
            counts: counts.into_iter().map(|(rule, by)| (rule, by.into())).collect(),
            counts_correlation,
            stores,
            floor: HashMap::new(),
            positions: HashMap::new(),
            clocks: (i64::MIN, i64::MIN),
            next_episode: 1,
            stats: CorrelatorStats::default(),
            notices: Notices::default(),
            bytes: 0,
            revision: 0,
            last_words: Vec::new(),
        }
    }

    /// The rules and correlations it works with.
    pub fn ruleset(&self) -> &Arc<Ruleset> {
        &self.ruleset
    }

    /// What has been done so far, and what is held.
    pub fn stats(&self) -> CorrelatorStats {
        let groups = self.stores.iter().map(|store| store.groups.len() as u64).sum();
        CorrelatorStats { groups, bytes: self.bytes as u64, ..self.stats }
    }

    /// What could not be done since this was last asked.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.notices.take()
    }

    /// A number that is the same while nothing has changed that [`Correlator::save`] would write.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Counts `matches`, which an engine found in `batch`. Every batch should be given, also one
    /// without matches: time passes with it. Returns what came to hold, in no particular order.
    pub fn observe(&mut self, batch: &EventBatch, matches: &[Match]) -> Vec<CorrelationMatch> {
        if self.stores.is_empty() {
            return Vec::new();
        }
        let ruleset = self.ruleset.clone();
        let mut rows = Rows::new(batch, ruleset.dictionary());
        if let Some((happened, received)) = rows.clocks() {
            self.clocks = (self.clocks.0.max(happened), self.clocks.1.max(received));
        }
        self.stats.from_the_future += rows.from_the_future;
        let mut pending: Vec<Vec<NewHit>> = self.stores.iter().map(|_| Vec::new()).collect();
        for found in matches {
            self.gather(&mut rows, found, &mut pending);
        }
        self.run(Some(&mut rows), pending, false)
    }

    /// The input has ended: judges every window that is still open, and tells the final counts of
    /// alerts that grew since they were told.
    pub fn finish(&mut self) -> Vec<CorrelationMatch> {
        let pending = self.stores.iter().map(|_| Vec::new()).collect();
        let mut told = self.run(None, pending, true);
        let ruleset = self.ruleset.clone();
        for (store, correlation) in self.stores.iter_mut().zip(ruleset.compiled_correlations()) {
            let slots: Vec<u32> = store.groups.iter().map(|(slot, _)| slot).collect();
            for slot in slots {
                let Some(group) = store.groups.get_mut(slot) else { continue };
                self.stats.updated += last_words(correlation, group, i64::MAX, &mut told);
            }
        }
        self.revision += 1;
        told.append(&mut self.last_words);
        told
    }

    /// Where the counting has got to in each stream: a batch, and the index after the newest event.
    pub fn positions(&self) -> impl Iterator<Item = (&str, (u64, u32))> {
        self.positions.iter().map(|(stream, position)| (stream.as_ref(), *position))
    }

    /// Notes that every event of `stream` before (`batch`, `next`) has been observed, also those
    /// that no rule found. Changes no count.
    pub fn pass(&mut self, stream: &str, batch: u64, next: u32) {
        let revision = self.revision;
        if let Some(index) = next.checked_sub(1) {
            self.advance(stream, batch, index);
        }
        self.revision = revision;
    }

    /// Makes a hit of a match for every correlation that counts its rule.
    fn gather(&mut self, rows: &mut Rows<'_>, found: &Match, pending: &mut [Vec<NewHit>]) {
        let Some(counted) = self.counts.get(&found.rule.id) else { return };
        let counted = counted.clone();
        let Some((stream, batch, index)) = rows.place(found.row) else { return };
        if self.floor.get(stream.as_ref()).is_some_and(|floor| (batch, index) < *floor) {
            self.stats.replayed += 1;
            return;
        }
        let stream = self.advance(&stream, batch, index);
        let (time, _) = rows.time(found.row);
        for (correlation, source) in counted.iter().copied() {
            let hit =
                Hit { time, stream: stream.clone(), batch, index, source, payload: Payload::None };
            self.route(Some(rows), correlation, hit, Some(found.row), &[], pending);
        }
    }

    /// Notes that an event was counted; returns its stream's shared name.
    fn advance(&mut self, stream: &str, batch: u64, index: u32) -> Arc<str> {
        let place = (batch, index.saturating_add(1));
        self.revision += 1;
        if let Some((name, position)) = self.positions.get_key_value(stream) {
            let name = name.clone();
            if place > *position {
                self.positions.insert(name.clone(), place);
            }
            return name;
        }
        if self.positions.len() >= CORRELATION_STREAMS_MAX {
            let mut batches: Vec<u64> = self.positions.values().map(|(batch, _)| *batch).collect();
            let middle = batches.len() / 2;
            let (_, middle, _) = batches.select_nth_unstable(middle);
            let middle = *middle;
            self.positions.retain(|_, (batch, _)| *batch > middle);
        }
        let name: Arc<str> = stream.into();
        self.positions.insert(name.clone(), place);
        name
    }

    /// Finds the group of a hit and what is counted of it. `below` are the values of the group that
    /// it comes from, for a hit of a correlation.
    fn route(
        &mut self,
        rows: Option<&mut Rows<'_>>,
        position: usize,
        mut hit: Hit,
        row: Option<usize>,
        below: &[Option<String>],
        pending: &mut [Vec<NewHit>],
    ) {
        let ruleset = self.ruleset.clone();
        let Some(correlation) = ruleset.compiled_correlations().get(position) else { return };
        let rows: Option<&Rows<'_>> = match rows {
            Some(rows) => {
                rows.resolve(position, hit.source, correlation);
                Some(rows)
            }
            None => None,
        };
        let at = usize::from(hit.source);
        let value = |from: &FieldFrom, part: Part, field: usize| -> Option<Cow<'_, str>> {
            match from {
                FieldFrom::Group(group) => below.get(*group)?.as_deref().map(Cow::Borrowed),
                FieldFrom::Event(_) => rows?.value((position, hit.source), part, field, row?),
            }
        };
        let values: Vec<Option<Cow<'_, str>>> = correlation
            .group_by
            .iter()
            .enumerate()
            .map(|(field, group)| value(group.from.get(at)?, Part::Group, field))
            .collect();
        if !values.is_empty() && values.iter().all(Option::is_none) {
            self.stats.without_group += 1;
            return;
        }
        let counted = correlation.counted.get(at).map(Vec::as_slice).unwrap_or_default();
        let mut texts =
            counted.iter().enumerate().map(|(field, from)| value(from, Part::Counted, field));
        let payload = match correlation.kind {
            Kind::ValueCount => {
                let texts: Vec<_> = texts.collect();
                if texts.iter().all(Option::is_none) {
                    self.stats.without_value += 1;
                    return;
                }
                let all: Vec<Cow<'_, str>> =
                    texts.iter().map(|text| cut(text.as_deref().unwrap_or_default())).collect();
                Payload::Text(all.join(JOINT.encode_utf8(&mut [0; 4])).into())
            }
            kind if kind.is_numeric() => {
                let text = texts.next().flatten();
                match text.as_deref().and_then(number) {
                    Some(number) => Payload::Number(number),
                    None => {
                        self.stats.without_value += 1;
                        if text.is_some() {
                            let example =
                                || hit.event_id().map_or(String::new(), |id| id.to_string());
                            let kind = NoticeKind::NotANumber;
                            self.notices.add(kind, &correlation.info, 1, example);
                        }
                        return;
                    }
                }
            }
            _ => Payload::None,
        };
        let key = Key::new(&values);
        hit.payload = payload;
        // Only the first event of a group is asked whom it is about.
        let first = |key: Key| {
            let roles = match (rows, row) {
                (Some(rows), Some(row)) => rows.roles(&values, row),
                _ => [0; 3],
            };
            let dataset = rows.map_or_else(|| Arc::from(""), |rows| rows.dataset().clone());
            Group::new(key, dataset, roles)
        };
        let Some(slot) = self.group(position, key, first, correlation, &hit) else { return };
        if let Some(pending) = pending.get_mut(position) {
            pending.push(NewHit { slot, hit, row });
        }
    }

    /// The group with this key, made if there is room.
    fn group(
        &mut self,
        position: usize,
        key: Key,
        first: impl FnOnce(Key) -> Group,
        correlation: &Correlation,
        hit: &Hit,
    ) -> Option<u32> {
        let store = self.stores.get(position)?;
        if let Some(slot) = store.groups.find(&key) {
            self.renew(position, slot, correlation, || first(key));
            return Some(slot);
        }
        let group = first(key);
        if !self.has_room(position, group.bytes() + size_of::<Hit>() + hit.text_bytes()) {
            self.refuse(correlation, hit, 1);
            return None;
        }
        let store = self.stores.get_mut(position)?;
        let before = store.groups.bytes;
        let slot = store.groups.insert(group);
        self.bytes += store.groups.bytes - before;
        Some(slot)
    }

    /// Puts a new group in the place of one that has expired, as if it had been forgotten in time.
    fn renew(
        &mut self,
        position: usize,
        slot: u32,
        correlation: &Correlation,
        first: impl FnOnce() -> Group,
    ) {
        let Some(allowance) = self.options.allowance_micros else { return };
        let reach = correlation.span.saturating_add(allowance);
        let Some(store) = self.stores.get_mut(position) else { return };
        let Some(group) = store.groups.get_mut(slot) else { return };
        if !group.is_expired(self.clocks, reach, allowance)
            || !(correlation.rolling || group.hits.is_empty())
        {
            return;
        }
        let told = &mut self.last_words;
        self.stats.updated += last_words(correlation, group, i64::MAX, told);
        let cost = group.cost;
        *group = first();
        group.cost = cost;
        self.recount(position, slot);
    }

    fn has_room(&mut self, position: usize, bytes: usize) -> bool {
        let most = self.options.state_bytes_max;
        let share = if self.stores.len() > 1 { most / 2 } else { most };
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

    fn refuse(&mut self, correlation: &Correlation, hit: &Hit, count: u64) {
        self.stats.refused += count;
        self.notices.add(NoticeKind::StateFull, &correlation.info, count, || {
            hit.event_id().map_or(String::new(), |id| id.to_string())
        });
    }

    /// Gives the pending hits to their groups, those of counted correlations first, judges windows
    /// that are over, and forgets what has expired.
    fn run(
        &mut self,
        mut rows: Option<&mut Rows<'_>>,
        mut pending: Vec<Vec<NewHit>>,
        is_end: bool,
    ) -> Vec<CorrelationMatch> {
        let mut told = Vec::new();
        for position in 0..self.stores.len() {
            let new = pending.get_mut(position).map(std::mem::take).unwrap_or_default();
            self.count(position, new, rows.as_deref_mut(), &mut pending, &mut told);
            self.judge(position, is_end, &mut pending, &mut told);
            self.sweep_sometimes(position);
        }
        told.append(&mut self.last_words);
        told
    }

    fn count(
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
    fn admit(
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
    fn roll(
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
                    group.remember(Episode {
                        id,
                        from: start,
                        first_held: time,
                        last_held: time,
                        events: (window.end - window.start) as u64,
                        told: 0,
                    });
                    raised.push((id, window));
                    newest.insert(id, window.measure);
                }
            }
            if let Some(hit) = counted {
                fed.push((hit, (group.key.values(), reached.is_none())));
            }
        }
        let mut episodes = std::mem::take(&mut group.episodes);
        for episode in &mut episodes {
            let window = raised.iter().find(|(id, _)| *id == episode.id).map(|(_, window)| window);
            let is_news = episode.events >= episode.told.saturating_mul(2);
            let news = match window {
                Some(_) => News::Raised,
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
    fn feed(
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

    /// Judges windows that are over: when the events' clock has passed their end and the allowance,
    /// and for as long as the allowance nothing of the group was received.
    fn judge(
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

    /// After a group has changed: forgets what no window can reach any more, keeps within its limit
    /// and counts its bytes.
    fn tidy(&mut self, position: usize, correlation: &Correlation, slot: u32) {
        let Some(store) = self.stores.get_mut(position) else { return };
        let Some(group) = store.groups.get_mut(slot) else { return };
        if correlation.rolling {
            if let Some(allowance) = self.options.allowance_micros {
                let reach = allowance.saturating_add(correlation.span);
                let oldest = group.newest.saturating_sub(reach);
                group.prune(oldest);
                let told = &mut self.last_words;
                self.stats.updated += last_words(correlation, group, oldest, told);
                group.episodes.retain(|episode| episode.last_held >= oldest);
            }
            let most = hits_max(correlation.kind);
            if group.hits.len() > most {
                let gone = group.hits.len() - most / 4 * 3;
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

    fn recount(&mut self, position: usize, slot: u32) {
        let Some(store) = self.stores.get_mut(position) else { return };
        let before = store.groups.bytes;
        store.groups.recount(slot);
        self.bytes = self.bytes.saturating_sub(before) + store.groups.bytes;
    }

    fn sweep_sometimes(&mut self, position: usize) {
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
    fn sweep(&mut self, position: usize) {
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
fn last_words(
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

fn hits_max(kind: Kind) -> usize {
    match kind {
        Kind::ValuePercentile(_) => CORRELATION_SORTED_HITS_MAX,
        _ => CORRELATION_HITS_MAX,
    }
}

impl Correlation {
    pub(crate) fn question(&self) -> Question<'_> {
        Question {
            kind: self.kind,
            condition: &self.condition,
            sources: self.sources.len(),
            span: self.span,
        }
    }
}
