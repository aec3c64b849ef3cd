use std::collections::BTreeMap;

/// The places of a batch that hold a record. Neighbours take no more memory than one of them.
#[derive(Default)]
pub(crate) struct Places {
    /// Start of each run of taken places, and the place after its last.
    runs: BTreeMap<u32, u32>,
}

impl Places {
    /// Takes a place. False if it is taken already.
    pub(crate) fn take(&mut self, index: u32) -> bool {
        if self.runs.range(..=index).next_back().is_some_and(|(_, &end)| index < end) {
            return false;
        }
        let Some(next) = index.checked_add(1) else { return false };
        let end = self.runs.remove(&next).unwrap_or(next);
        match self.runs.range_mut(..index).next_back() {
            Some((_, before)) if *before == index => *before = end,
            _ => {
                self.runs.insert(index, end);
            }
        }
        true
    }

    /// The places from `from` to before `to` that are free.
    pub(crate) fn free(&self, from: u32, to: u32) -> Vec<u32> {
        let mut free = Vec::new();
        let mut next = from;
        for (&start, &end) in &self.runs {
            free.extend(next..start);
            next = next.max(end);
        }
        free.extend(next..to);
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_taken_once_in_any_order() {
        let mut places = Places::default();
        for index in [3, 1, 7, 2, 0] {
            assert!(places.take(index), "{index}");
            assert!(!places.take(index), "{index}");
        }
        assert_eq!(places.free(0, 10), [4, 5, 6, 8, 9]);
        assert_eq!(places.free(6, 3), [6]);
        assert_eq!(places.runs.len(), 2);
        assert!(!places.take(u32::MAX));
    }
}
