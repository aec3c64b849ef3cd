//! What comes next for a target: the events of the next sealed batches that its filter lets through, in
//! the order of the log.

use crate::rows::Row;
use crate::{Node, NodeError, SearchQuery};
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::Arc;
use yagura_event::{EventId, UtcMicros};
use yagura_query::Order;

/// Events of the batches of one window, before the filter: as many as one batch may have. A window is in
/// memory as a whole, and nothing of it is sent before it was read.
const WINDOW_EVENTS_MAX: u64 = 4_096;

/// Leaves that one window looks at: those of silent streams have no events.
const WINDOW_LEAVES_MAX: u64 = 1_024;

/// Leaves that are counted for what waits; past it the count is a lower bound. So many are also looked at
/// for one that is still there.
const COUNTED_LEAVES_MAX: u64 = 256;

/// Some events for a target.
pub(crate) struct Window {
    /// In order: by leaf, then by index.
    pub(crate) rows: Vec<Row>,
    /// The leaf after the last one.
    pub(crate) next: u64,
    /// Events of these batches that are in the store no more.
    pub(crate) missed: u64,
}

/// What waits for a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Waiting {
    pub(super) batches: u64,
    /// Before the filter; at least so many.
    pub(super) events: u64,
    /// When the first of them was received.
    pub(super) since: Option<UtcMicros>,
}

impl Node {
    /// The next events from leaf `from` on that `filter` finds; `None` where nothing is sealed and
    /// readable yet.
    pub(crate) async fn window_of(
        self: &Arc<Self>,
        filter: &str,
        from: u64,
    ) -> Result<Option<Window>, NodeError> {
        loop {
            let Some((window, batches)) = self.read_window(filter, from).await? else {
                return Ok(None);
            };
            // What was deleted while it was read would be neither sent nor counted. A batch is deleted
            // once, so this ends.
            if batches.iter().all(|batch| self.lake().has_whole(*batch)) {
                return Ok(Some(window));
            }
        }
    }

    /// The same, and its batches.
    async fn read_window(
        self: &Arc<Self>,
        filter: &str,
        from: u64,
    ) -> Result<Option<(Window, Vec<u64>)>, NodeError> {
        let log = self.logs().0;
        let mut batches: HashMap<u64, usize> = HashMap::new();
        let (mut events, mut missed, mut next) = (0, 0, from);
        let size = log.size();
        while next < size && next - from < WINDOW_LEAVES_MAX {
            let header = log.header(next)?;
            let count = u64::from(header.count);
            if count > 0 {
                if !self.lake().has_whole(header.batch) {
                    // Sealed, and on its way through the rules: what was sealed after it is so too.
                    // Else it was there and is there no more: a record says so, or it was lost.
                    let deleted =
                        self.retaining().fold().deleted().has(&header.stream, header.batch);
                    if !deleted && !self.any_whole_after(next)? {
                        break;
                    }
                    missed += count;
                } else if events + count > WINDOW_EVENTS_MAX && events > 0 {
                    break;
                } else {
                    events += count;
                    batches.insert(header.batch, batches.len());
                }
            }
            next += 1;
        }
        if next == from {
            return Ok(None);
        }
        let mut rows: Vec<((usize, u32), Row)> = Vec::new();
        if let (Some(first), Some(last)) = (batches.keys().min(), batches.keys().max()) {
            let range = format!("yagura.batch>={first} and yagura.batch<={last}");
            // The filter was understood alone, so that no parenthesis of it is open.
            let query = match filter.trim() {
                "" | "*" => range,
                filter => format!("({filter}) and {range}"),
            };
            let query = SearchQuery { query, ..SearchQuery::default() };
            let mut found = self.search_in(&query, Order::Any).await?;
            while let Some(row) = found.next().await {
                let row = row?;
                let id = row.get("event.id").and_then(|id| id.as_str());
                let Some(id) = id.and_then(|id| id.parse::<EventId>().ok()) else { continue };
                if let Some(place) = batches.get(&id.batch) {
                    rows.push(((*place, id.index), row));
                }
            }
            // What a cold store does not give would neither be sent nor counted: it is tried again.
            if let Some(unread) = found.end().unread.into_iter().next() {
                return Err(NodeError::Busy {
                    message: unread.reason,
                    message_ja: unread.reason_ja,
                });
            }
        }
        rows.sort_unstable_by_key(|(place, _)| *place);
        let rows = rows.into_iter().map(|(_, row)| row).collect();
        Ok(Some((Window { rows, next, missed }, batches.into_keys().collect())))
    }

    /// Whether a batch that was sealed after that of `leaf` is in the store. The newest one there tells,
    /// however many lie between; where it was sealed before others that it is newer than, some are looked
    /// at, and the next batch tells at the latest.
    fn any_whole_after(&self, leaf: u64) -> Result<bool, NodeError> {
        let log = self.logs().0;
        if let Some(newest) = self.lake().newest_whole_batch()
            && log.leaf_of_batch(newest)?.is_some_and(|newest| newest > leaf)
        {
            return Ok(true);
        }
        for later in leaf + 1..log.size().min(leaf + 1 + COUNTED_LEAVES_MAX) {
            let header = log.header(later)?;
            if header.count > 0 && self.lake().has_whole(header.batch) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What waits from leaf `from` on. A log that cannot be read is said elsewhere.
    pub(super) fn waiting(&self, from: u64) -> Waiting {
        let log = self.logs().0;
        let size = log.size();
        let mut waiting = Waiting { batches: size.saturating_sub(from), ..Waiting::default() };
        for leaf in from..size.min(from + COUNTED_LEAVES_MAX) {
            let Ok(header) = log.header(leaf) else { break };
            waiting.events += u64::from(header.count);
            if header.count > 0 && waiting.since.is_none() {
                waiting.since = Some(header.first_received);
            }
        }
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_house::{fill_table, start};
    use crate::{DataDir, NodeOptions};
    use std::collections::BTreeSet;
    use yagura_event::{ManualClock, Record};
    use yagura_lake::{BatchHead, CompactStep, CompactWatch, StoredLeaves};

    struct Nobody;

    impl CompactWatch for Nobody {
        fn at(&mut self, _: CompactStep) -> bool {
            true
        }

        fn leaf(&mut self, _: &BatchHead, _: u32, _: &Record) -> [u8; 32] {
            [0; 32]
        }

        fn verify(&mut self, _: &StoredLeaves) -> Result<(), String> {
            Ok(())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn any_number_of_lost_batches_keeps_no_target_waiting() {
        let lost = COUNTED_LEAVES_MAX + 50;
        let dir = tempfile::tempdir().unwrap();
        let options = NodeOptions { builtin_rules: false, ..NodeOptions::default() };
        let clock = Arc::new(ManualClock::at(start()));
        let node = Arc::new(Node::open(DataDir::new(dir.path()), options, clock).unwrap());
        for number in 0..lost {
            crate::test_house::fill(&node, &format!("old/{number}"), start());
        }
        node.flush().unwrap();
        let all: BTreeSet<u64> = node.lake().stored_batches().iter().map(|it| it.0).collect();
        assert_eq!(all.len() as u64, lost);
        let prepared = node.lake().prepare_deletion(&all, &mut Nobody).unwrap();
        node.lake().publish_deletion(prepared, &mut Nobody).unwrap();
        // They may still be on their way through the rules, as far as can be told.
        assert!(node.window_of("*", 0).await.unwrap().is_none());
        fill_table(&node, "new", start());
        let window = node.window_of("*", 0).await.unwrap().unwrap();
        assert_eq!((window.missed, window.rows.len()), (lost * 10, 10));
        assert_eq!(window.next, lost + 1);
        node.close().unwrap();
    }
}
