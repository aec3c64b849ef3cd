//! Which rules a value awakens, remembered from batch to batch.

use crate::engine::Stats;
use crate::limits::{CACHED_VALUE_BYTES_MAX, CACHED_VALUES_MAX};
use crate::matcher::{Matcher, Scratch};
use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// No set has been looked up yet.
pub(crate) const UNSET: u32 = u32::MAX;

/// The set of a value that awakens no rule: nearly all are of it.
pub(crate) const NOBODY: u32 = 0;

/// What an entry of a table takes beside its text.
const ENTRY_BYTES: usize = 48;

/// One column's memory. Sets are numbered; the numbers stay good until [`Memory::clear`].
#[derive(Debug, Default)]
pub(crate) struct Memory {
    values: HashMap<Box<str>, u32, RandomState>,
    bytes: usize,
    /// Rules, sorted, each once; number 1 is the first.
    sets: Vec<Box<[u32]>>,
    set_ids: HashMap<Box<[u32]>, u32, RandomState>,
    found: Vec<u32>,
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

    /// The number of the set of rules that `value` awakens; remembers it if `remember`.
    pub(crate) fn set_of(
        &mut self,
        value: &str,
        remember: bool,
        matcher: &Matcher,
        scratch: &mut Scratch,
        stats: &mut Stats,
    ) -> u32 {
        let remember = remember && value.len() <= CACHED_VALUE_BYTES_MAX;
        if remember && let Some(set) = self.values.get(value) {
            stats.values_remembered += 1;
            return *set;
        }
        stats.values_evaluated += 1;
        matcher.awakened(value, scratch, &mut self.found);
        let set = match self.found.as_slice() {
            [] => NOBODY,
            found => match self.set_ids.get(found) {
                Some(set) => *set,
                None => self.add_set(),
            },
        };
        if remember && self.values.len() < CACHED_VALUES_MAX {
            self.values.insert(value.into(), set);
            self.bytes += value.len() + ENTRY_BYTES;
        }
        set
    }

    fn add_set(&mut self) -> u32 {
        let rules: Box<[u32]> = self.found.as_slice().into();
        self.bytes += 2 * ENTRY_BYTES + 8 * rules.len();
        self.sets.push(rules.clone());
        // Proof: the limit on sets plus one batch's values stay far below 2^32.
        let number = u32::try_from(self.sets.len()).unwrap_or(UNSET - 1);
        self.set_ids.insert(rules, number);
        number
    }

    /// The rules of a set.
    pub(crate) fn rules(&self, set: u32) -> &[u32] {
        match set {
            NOBODY => &[],
            set => &self.sets[set as usize - 1],
        }
    }
}
