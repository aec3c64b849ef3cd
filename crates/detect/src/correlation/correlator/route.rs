//! From a match to the group it belongs to.

use super::room::last_words;
use super::{Correlator, NewHit};
use crate::correlation::compile::{Correlation, FieldFrom, Kind};
use crate::correlation::group::Group;
use crate::correlation::hit::{Hit, JOINT, Payload, number};
use crate::correlation::key::{Key, cut};
use crate::correlation::notice::NoticeKind;
use crate::correlation::rows::{Part, Rows};
use crate::engine::Match;
use crate::limits::CORRELATION_STREAMS_MAX;
use std::borrow::Cow;
use std::sync::Arc;

impl Correlator {
    /// Makes a hit of a match for every correlation that counts its rule.
    pub(super) fn gather(
        &mut self,
        rows: &mut Rows<'_>,
        found: &Match,
        pending: &mut [Vec<NewHit>],
    ) {
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
    pub(super) fn advance(&mut self, stream: &str, batch: u64, index: u32) -> Arc<str> {
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
            let before = self.positions.len();
            self.positions.retain(|_, (batch, _)| *batch > middle);
            let gone = (before - self.positions.len()) as u64;
            // It concerns each of them; the first speaks for all.
            if let Some(correlation) = self.ruleset.compiled_correlations().first() {
                let kind = NoticeKind::Forgotten;
                self.notices.add(kind, &correlation.info, gone, || stream.to_owned());
            }
        }
        let name: Arc<str> = stream.into();
        self.positions.insert(name.clone(), place);
        name
    }

    /// Finds the group of a hit and what is counted of it. `below` are the values of the group that
    /// it comes from, for a hit of a correlation.
    pub(super) fn route(
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
    pub(super) fn group(
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
    pub(super) fn renew(
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
}
