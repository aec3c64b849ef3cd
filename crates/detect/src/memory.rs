//! Which atoms hold for a value, remembered from batch to batch.

use crate::engine::Stats;
use crate::expression::AtomId;
use crate::limits::{CACHED_VALUE_BYTES_MAX, CACHED_VALUES_MAX};
use crate::matcher::{Matcher, Scratch};
use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// No set has been looked up yet.
pub(crate) const UNSET: u32 = u32::MAX;

/// What an entry of a table takes beside its text.
const ENTRY_BYTES: usize = 48;

/// One column's memory. Sets are numbered; the numbers stay good until [`Memory::make_room`].
#[derive(Debug, Default)]
pub(crate) struct Memory {
    values: HashMap<Box<str>, u32, RandomState>,
    bytes: usize,
    sets: Vec<Set>,
    set_ids: HashMap<Box<[AtomId]>, u32, RandomState>,
    found: Vec<AtomId>,
}

#[derive(Debug)]
struct Set {
    /// Sorted.
    atoms: Box<[AtomId]>,
    /// Rules that wait for one of these atoms; sorted, each once.
    rules: Box<[u32]>,
}

impl Memory {
    /// Forgets everything. Only between batches: sets of a batch must keep their number.
    pub(crate) fn clear(&mut self) {
        *self = Memory::default();
    }

    /// Whether it holds as many values as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.values.len() >= CACHED_VALUES_MAX || self.sets.len() >= CACHED_VALUES_MAX
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of the set of atoms that hold for `value`.
    pub(crate) fn set_of(
        &mut self,
        value: &str,
        matcher: &Matcher,
        anchored: &[Vec<u32>],
        scratch: &mut Scratch,
        stats: &mut Stats,
    ) -> u32 {
        if let Some(set) = self.values.get(value) {
            stats.values_remembered += 1;
            return *set;
        }
        stats.values_evaluated += 1;
        matcher.evaluate(value, scratch, &mut self.found);
        let set = match self.set_ids.get(self.found.as_slice()) {
            Some(set) => *set,
            None => self.add_set(anchored),
        };
        if self.values.len() < CACHED_VALUES_MAX && value.len() <= CACHED_VALUE_BYTES_MAX {
            self.values.insert(value.into(), set);
            self.bytes += value.len() + ENTRY_BYTES;
        }
        set
    }

    fn add_set(&mut self, anchored: &[Vec<u32>]) -> u32 {
        let atoms: Box<[AtomId]> = self.found.as_slice().into();
        let rules = atoms.iter().flat_map(|atom| &anchored[*atom as usize]);
        let mut rules: Vec<u32> = rules.copied().collect();
        rules.sort_unstable();
        rules.dedup();
        // Proof: the limit on sets plus one batch's values stay far below 2^32.
        let number = u32::try_from(self.sets.len()).unwrap_or(UNSET - 1);
        self.bytes += 2 * ENTRY_BYTES + 4 * (2 * atoms.len() + rules.len());
        self.set_ids.insert(atoms.clone(), number);
        self.sets.push(Set { atoms, rules: rules.into() });
        number
    }

    /// Whether `atom` is in a set.
    pub(crate) fn holds(&self, set: u32, atom: AtomId) -> bool {
        self.sets[set as usize].atoms.binary_search(&atom).is_ok()
    }

    /// Rules that wait for an atom of a set.
    pub(crate) fn rules(&self, set: u32) -> &[u32] {
        &self.sets[set as usize].rules
    }
}
