//! What is held for messages whose end has not come, over all connections of a listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory that connections share.
#[derive(Debug)]
pub(super) struct Shared {
    held: AtomicUsize,
    bytes_max: usize,
    /// What each connection has besides, of its own.
    free: usize,
}

impl Shared {
    pub(super) fn new(bytes_max: usize, free: usize) -> Arc<Self> {
        Arc::new(Shared { held: AtomicUsize::new(0), bytes_max, free })
    }

    /// The share of one more connection, which holds nothing yet.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { of: self.clone(), bytes: 0 }
    }
}

/// What one connection has of it; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    of: Arc<Shared>,
    bytes: usize,
}

impl Share {
    /// Makes room for `held` bytes, of which the first are free. False, and nothing is changed, where
    /// that is too much.
    pub(super) fn resize(&mut self, held: usize) -> bool {
        let bytes = held.saturating_sub(self.of.free);
        if let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) {
            let max = self.of.bytes_max;
            let fits = |held: usize| held.checked_add(more).filter(|sum| *sum <= max);
            if self.of.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
                return false;
            }
        } else {
            self.of.held.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_fit_up_to_the_limit_and_come_back() {
        let shared = Shared::new(10, 0);
        let (mut one, mut two) = (shared.share(), shared.share());
        assert!(one.resize(6) && two.resize(4));
        assert!(!two.resize(5), "one byte past the limit");
        assert!(one.resize(5) && two.resize(5) && !one.resize(6));
        drop(one);
        assert!(two.resize(10) && !two.resize(11) && two.resize(0));
        assert_eq!(shared.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn every_connection_has_some_of_its_own_whatever_others_hold() {
        let shared = Shared::new(10, 4);
        let (mut one, mut two) = (shared.share(), shared.share());
        assert!(one.resize(14) && !one.resize(15), "four of its own and all that is shared");
        assert!(two.resize(4) && !two.resize(5), "what is its own stays its own");
        assert!(one.resize(13) && two.resize(5));
        drop((one, two));
        assert_eq!(shared.held.load(Ordering::Relaxed), 0);
    }
}
