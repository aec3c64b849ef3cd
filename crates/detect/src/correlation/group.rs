//! The groups of one correlation: found by key, kept in one place, counted in bytes.

use super::hit::Hit;
use super::key::Key;
use crate::limits::CORRELATION_EPISODES_MAX;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::Arc;

/// What is known of one group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) key: Key,
    /// In order.
    pub(crate) hits: Vec<Hit>,
    /// Alerts raised and not yet out of reach of a late event, in the order they were raised.
    pub(crate) episodes: Vec<Episode>,
    /// Time of the newest event ever counted (UTC, µs).
    pub(crate) newest: i64,
    /// When an event was counted last, by our clock (UTC, µs).
    pub(crate) touched: i64,
    /// End of the last window that was judged when over; events up to here come too late.
    pub(crate) judged_until: i64,
    /// Dataset of the newest event.
    pub(crate) dataset: Arc<str>,
    /// Which fields of the key are `host.name`, `user.name` and `source.ip` of its first event: 0
    /// for none, else the position plus one.
    pub(crate) roles: [u8; 3],
    /// Bytes that are counted for it.
    pub(crate) cost: usize,
}

/// One alert of a group, which goes on while the condition keeps coming true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Episode {
    pub(crate) id: u64,
    /// Time of the first event of its first window.
    pub(crate) from: i64,
    /// When the condition first and last held: the ends of those windows.
    pub(crate) first_held: i64,
    pub(crate) last_held: i64,
    /// Events since `from`.
    pub(crate) events: u64,
    /// `events` as last told.
    pub(crate) told: u64,
}

impl Episode {
    /// Whether a window that ends at `time` belongs to it.
    pub(crate) fn reaches(&self, time: i64, span: i64) -> bool {
        time >= self.first_held.saturating_sub(span) && time <= self.last_held.saturating_add(span)
    }
}

impl Group {
    pub(crate) fn new(key: Key, dataset: Arc<str>, roles: [u8; 3]) -> Group {
        Group {
            key,
            hits: Vec::new(),
            episodes: Vec::new(),
            newest: i64::MIN,
            touched: i64::MIN,
            judged_until: i64::MIN,
            dataset,
            roles,
            cost: 0,
        }
    }

    /// Whether no further event can belong to it: by the events' clock, and by ours nothing of it
    /// was received for as long as the allowance.
    pub(crate) fn is_expired(&self, clocks: (i64, i64), reach: i64, allowance: i64) -> bool {
        let (happened, received) = clocks;
        self.newest > i64::MIN
            && happened > self.newest.saturating_add(reach)
            && received >= self.touched.saturating_add(allowance)
    }

    /// What it takes, roughly: its place, its key and its hits.
    pub(crate) fn bytes(&self) -> usize {
        let texts: usize = match self.hits.first() {
            Some(hit) if hit.text_bytes() > 0 => self.hits.iter().map(Hit::text_bytes).sum(),
            _ => 0,
        };
        GROUP_BYTES
            + self.key.bytes()
            + self.hits.capacity() * size_of::<Hit>()
            + self.episodes.capacity() * size_of::<Episode>()
            + texts
    }

    /// Adds hits that are in order themselves.
    pub(crate) fn merge(&mut self, new: Vec<Hit>) {
        if self.hits.is_empty() && new.len() == 1 {
            // Most groups never have a second: no room is kept for it.
            self.hits.reserve_exact(1);
        }
        self.newest = self.newest.max(new.last().map_or(i64::MIN, |hit| hit.time));
        // Where the new ones begin among the old; nearly always near the end.
        let from = match (self.hits.last(), new.first()) {
            (Some(last), Some(first)) if last.order(first).is_gt() => {
                Some(self.hits.partition_point(|hit| hit.order(first).is_le()))
            }
            _ => None,
        };
        self.hits.extend(new);
        if let Some(mixed) = from.and_then(|from| self.hits.get_mut(from..)) {
            // Two runs in order: this sort merges them.
            mixed.sort_by(Hit::order);
        }
    }

    /// Forgets hits before `oldest`. Not one by one, which would move the rest each time.
    pub(crate) fn prune(&mut self, oldest: i64) {
        let gone = self.hits.partition_point(|hit| hit.time < oldest);
        if gone > self.hits.len() / 2 {
            self.hits.drain(..gone);
            if self.hits.capacity() > 64 && self.hits.len() < self.hits.capacity() / 4 {
                self.hits.shrink_to(self.hits.len() * 2);
            }
        }
    }

    /// Keeps an alert in mind; answers the oldest where there is no room for both.
    pub(crate) fn remember(&mut self, episode: Episode) -> Option<Episode> {
        let full = self.episodes.len() >= CORRELATION_EPISODES_MAX;
        let forgotten = full.then(|| self.episodes.remove(0));
        self.episodes.push(episode);
        forgotten
    }

    /// Hits from `from` to `to`, both included.
    pub(crate) fn between(&self, from: i64, to: i64) -> &[Hit] {
        let start = self.hits.partition_point(|hit| hit.time < from);
        let end = self.hits.partition_point(|hit| hit.time <= to);
        self.hits.get(start..end).unwrap_or_default()
    }
}

/// The place of a group and its entry in the table.
const GROUP_BYTES: usize = size_of::<Option<Group>>() + 16;

/// All groups of one correlation.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    table: HashTable<u32>,
    slots: Vec<Option<Group>>,
    free: Vec<u32>,
    hasher: RandomState,
    /// Sum of what the groups cost.
    pub(crate) bytes: usize,
}

impl Groups {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The number of the group with this key.
    pub(crate) fn find(&self, key: &Key) -> Option<u32> {
        let hash = self.hasher.hash_one(&key.folded);
        let same = |slot: &u32| self.get(*slot).is_some_and(|group| group.key.folded == key.folded);
        self.table.find(hash, same).copied()
    }

    /// Adds a group whose key is not there yet.
    pub(crate) fn insert(&mut self, mut group: Group) -> u32 {
        group.cost = group.bytes();
        self.bytes += group.cost;
        let hash = self.hasher.hash_one(&group.key.folded);
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                // Proof: each group costs more than 100 bytes of a bounded budget.
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(group);
        }
        let (slots, hasher) = (&self.slots, &self.hasher);
        let rehash = |slot: &u32| match slots.get(*slot as usize) {
            Some(Some(group)) => hasher.hash_one(&group.key.folded),
            _ => 0,
        };
        self.table.insert_unique(hash, slot, rehash);
        slot
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Group> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Group> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Counts the group's bytes again, after it changed.
    pub(crate) fn recount(&mut self, slot: u32) {
        let Some(group) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        let cost = group.bytes();
        let before = std::mem::replace(&mut group.cost, cost);
        self.bytes = self.bytes.saturating_sub(before) + cost;
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(group) = self.slots.get_mut(slot as usize).and_then(Option::take) else { return };
        let hash = self.hasher.hash_one(&group.key.folded);
        if let Ok(entry) = self.table.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
        self.bytes = self.bytes.saturating_sub(group.cost);
        self.free.push(slot);
    }

    /// Every group with its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Group)> {
        (0u32..).zip(&self.slots).filter_map(|(slot, group)| Some((slot, group.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_of_a_group_are_bounded_and_the_oldest_is_forgotten() {
        let mut group = Group::new(Key::new(&[Some("a".into())]), "test".into(), [0; 3]);
        let episode =
            |id: u64| Episode { id, from: 0, first_held: 0, last_held: 0, events: 1, told: 1 };
        let most = CORRELATION_EPISODES_MAX as u64;
        (0..most).for_each(|id| assert_eq!(group.remember(episode(id)), None));
        assert_eq!((group.episodes.len() as u64, group.episodes[0].id), (most, 0));
        assert_eq!(group.remember(episode(most)), Some(episode(0)));
        assert_eq!((group.episodes.len() as u64, group.episodes[0].id), (most, 1));
    }
}
