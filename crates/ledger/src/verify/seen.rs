use std::collections::BTreeMap;

/// Ranges of numbers kept at most; batches are numbered without gaps but for a few.
const RANGES_MAX: usize = 1 << 16;

/// A set of numbers that come nearly in order, as ranges.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// First and last number of each range.
    ranges: BTreeMap<u64, u64>,
}

impl Seen {
    /// Adds a number; `false` when it was there. Past [`RANGES_MAX`] ranges the lowest is
    /// forgotten, so a repetition of a very old number may then pass.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let below = self.ranges.range(..=number).next_back().map(|(&first, &last)| (first, last));
        if below.is_some_and(|(_, last)| last >= number) {
            return false;
        }
        let joined = below.filter(|(_, last)| last.checked_add(1) == Some(number));
        let first = joined.map_or(number, |(first, _)| first);
        let next = number.checked_add(1);
        let last = next.and_then(|next| self.ranges.remove(&next)).unwrap_or(number);
        self.ranges.insert(first, last);
        if self.ranges.len() > RANGES_MAX {
            self.ranges.pop_first();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_set(numbers in prop::collection::vec(prop_oneof![0..40u64, u64::MAX - 5..=u64::MAX], 0..80)) {
            let mut seen = Seen::default();
            let mut set = std::collections::HashSet::new();
            for number in numbers {
                prop_assert_eq!(seen.insert(number), set.insert(number));
            }
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut seen = Seen::default();
        for number in 0..=RANGES_MAX as u64 {
            assert!(seen.insert(2 * number));
        }
        assert_eq!(seen.ranges.len(), RANGES_MAX);
        assert!(!seen.insert(2), "the second is still known");
        assert!(seen.insert(0), "the lowest was forgotten");
    }
}
