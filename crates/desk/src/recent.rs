use sha2::{Digest, Sha256};
use std::collections::{HashSet, VecDeque};

/// 128 bits of SHA-256 over rule and event id: nobody can make two findings look like one.
pub(crate) type FindingKey = [u8; 16];

pub(crate) fn finding_key(rule: &str, event_id: &str) -> FindingKey {
    let mut hasher = Sha256::new();
    hasher.update(rule.as_bytes());
    // No event id holds a line break, so that the two parts cannot run into each other.
    hasher.update(b"\n");
    hasher.update(event_id.as_bytes());
    let digest = hasher.finalize();
    let mut key = [0; 16];
    for (to, from) in key.iter_mut().zip(digest.iter()) {
        *to = *from;
    }
    key
}

/// The last findings counted, so that a replay of events counts none twice.
#[derive(Debug)]
pub(crate) struct Recent {
    keys_max: usize,
    known: HashSet<FindingKey>,
    order: VecDeque<FindingKey>,
}

impl Recent {
    pub fn new(keys_max: usize) -> Self {
        Recent { keys_max, known: HashSet::new(), order: VecDeque::new() }
    }

    pub fn contains(&self, key: &FindingKey) -> bool {
        self.known.contains(key)
    }

    pub fn insert(&mut self, key: FindingKey) {
        if !self.known.insert(key) {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > self.keys_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_finding_is_forgotten_past_the_limit() {
        let mut recent = Recent::new(2);
        let keys = ["a/1/1", "a/1/2", "a/1/3"].map(|id| finding_key("rule", id));
        recent.insert(keys[0]);
        recent.insert(keys[1]);
        recent.insert(keys[1]);
        assert!(recent.contains(&keys[0]) && recent.contains(&keys[1]));
        recent.insert(keys[2]);
        assert!(!recent.contains(&keys[0]));
        assert!(recent.contains(&keys[1]) && recent.contains(&keys[2]));
    }

    #[test]
    fn rule_and_event_do_not_run_into_each_other() {
        assert_ne!(finding_key("r1", "a/1/1"), finding_key("r", "1a/1/1"));
    }
}
