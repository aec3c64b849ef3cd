//! Who runs: so many searches at once, each with its share of the cores, all of them behind intake.

use crate::limits::{PARTITIONS_MAX, QUERIES_MAX, SECONDS_MAX, UNREAD_MAX};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much lower than that of the process the priority of threads is that run queries (Linux `nice`).
/// Intake, which nobody may keep waiting, comes before them, and compaction behind.
const NICENESS: i32 = 5;

/// The lowest priority there is.
const NICENESS_MAX: i32 = 19;

/// The places of the searches that run.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    /// A permit of which each search holds whose place others have.
    unread: Arc<Semaphore>,
    cores: usize,
}

/// One search's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    held: Option<OwnedSemaphorePermit>,
    lent: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(crate) fn new() -> Self {
        Places {
            free: Arc::new(Semaphore::new(QUERIES_MAX)),
            unread: Arc::new(Semaphore::new(UNREAD_MAX)),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Waits for a place; they are given in the order of asking.
    pub(crate) async fn take(self: &Arc<Self>) -> Place {
        let held = self.free.clone().acquire_owned().await.ok();
        Place { places: self.clone(), held, lent: None }
    }

    /// Waits until half of the places are free, or long enough.
    pub(crate) async fn leave_room(&self) {
        let until = tokio::time::Instant::now() + Duration::from_secs(SECONDS_MAX);
        while self.running() > QUERIES_MAX / 2 && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn running(&self) -> usize {
        QUERIES_MAX - self.free.available_permits().min(QUERIES_MAX)
    }

    /// In how many parts at once a search computes that begins now.
    pub(crate) fn partitions(&self) -> usize {
        share(self.cores, self.running())
    }
}

/// The cores of one of so many searches.
fn share(cores: usize, running: usize) -> usize {
    (cores / running.max(1)).clamp(1, PARTITIONS_MAX)
}

impl Place {
    /// Lets others have the place while this search only waits for its reader; at most [`UNREAD_MAX`] do,
    /// since what they have computed stays in memory. One more keeps its place.
    pub(crate) fn lend(&mut self) {
        if let Ok(lent) = self.places.unread.clone().try_acquire_owned() {
            self.lent = Some(lent);
            self.held = None;
        }
    }

    /// Waits until it may go on.
    pub(crate) async fn take_again(&mut self) {
        if self.held.is_none() {
            self.held = self.places.free.clone().acquire_owned().await.ok();
        }
        self.lent = None;
    }
}

/// What the threads of queries do first. On Linux the priority is the thread's, not the process's.
pub(crate) fn give_way() -> impl Fn() + Send + Sync + 'static {
    // Absolute: a thread inherits the priority of whichever thread starts it.
    let niceness = rustix::process::getpriority_process(None);
    let niceness = niceness.map_or(NICENESS, |own| own + NICENESS).min(NICENESS_MAX);
    move || {
        if cfg!(target_os = "linux")
            && let Err(error) = rustix::process::setpriority_process(None, niceness)
        {
            tracing::debug!(%error, "a thread of queries keeps its priority");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn searches_share_the_cores() {
        assert_eq!([0, 1, 2, 3, 8].map(|running| share(2, running)), [2, 2, 1, 1, 1]);
        assert_eq!([1, 2, 3, 5, 8].map(|running| share(8, running)), [8, 4, 2, 1, 1]);
        let one = [PARTITIONS_MAX, PARTITIONS_MAX + 1].map(|cores| share(cores, 1));
        assert_eq!(one, [PARTITIONS_MAX; 2]);
        assert_eq!(share(0, 0), 1);
    }

    #[test]
    fn so_many_run_and_the_next_one_waits() {
        let places = Arc::new(Places { cores: 4, ..Places::new() });
        assert_eq!(places.partitions(), 4);
        let mut all = Vec::new();
        for _ in 0..QUERIES_MAX {
            all.push(places.take().now_or_never().unwrap());
        }
        assert_eq!((places.running(), places.partitions()), (QUERIES_MAX, 1));
        assert!(places.take().now_or_never().is_none());
        all.pop();
        assert!(places.take().now_or_never().is_some());
    }

    #[test]
    fn who_waits_for_a_reader_lends_the_place_and_takes_it_again() {
        let places = Arc::new(Places::new());
        let take = || places.take().now_or_never();
        let mut all: Vec<Place> = (0..QUERIES_MAX).map_while(|_| take()).collect();
        all[0].lend();
        let other = take().unwrap();
        assert!(all[0].take_again().now_or_never().is_none(), "another has it");
        drop(other);
        assert!(all[0].take_again().now_or_never().is_some());
        assert!(take().is_none());
        // One that never lent it has it still.
        assert!(all[1].take_again().now_or_never().is_some());
    }

    #[test]
    fn so_many_lend_their_places_and_one_more_keeps_its_own() {
        let places = Arc::new(Places::new());
        let mut unread: Vec<Place> = Vec::new();
        for _ in 0..UNREAD_MAX {
            let mut place = places.take().now_or_never().unwrap();
            place.lend();
            unread.push(place);
        }
        assert_eq!(places.running(), 0);
        let mut one_more = places.take().now_or_never().unwrap();
        one_more.lend();
        assert_eq!(places.running(), 1);
        // A reader that goes makes room.
        unread.pop();
        one_more.lend();
        assert_eq!(places.running(), 0);
    }
}
