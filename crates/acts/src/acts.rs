//! Events in, acts out.

use crate::act::Act;
use crate::item::{Item, Place};
use crate::kinds;
use crate::limits::WAITING_EVENTS_MAX;
use crate::rows::Rows;
use crate::table::Table;
use arrow::array::RecordBatch;
use std::collections::BTreeSet;
use yagura_event::{EventBatch, EventId, UtcMicros};

/// How acts are put together.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How much later than the newest event an event may come, by its own time, and still be taken in
    /// its order; microseconds.
    pub lateness_micros: i64,
}

impl Default for Options {
    /// One minute.
    fn default() -> Self {
        Options { lateness_micros: 60_000_000 }
    }
}

/// What was found out by looking at more events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Acts that ended, in the order of their ends.
    pub acts: Vec<Act>,
    /// Events that are part of no act and stand for themselves.
    pub passed: Vec<EventId>,
}

impl Observed {
    fn extend(&mut self, more: Observed) {
        self.acts.extend(more.acts);
        self.passed.extend(more.passed);
    }
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events looked at.
    pub events: u64,
    /// Events that came after the allowance for late ones; they were used all the same.
    pub late: u64,
    /// Events that were not waited for, since too many did ([`WAITING_EVENTS_MAX`]).
    pub hurried: u64,
    /// Acts that a limit cut.
    pub cut: u64,
}

/// Puts acts together from events; see the crate's documentation.
#[derive(Debug, Default)]
pub struct Acts {
    options: Options,
    waiting: BTreeSet<Waiting>,
    newest: Option<i64>,
    /// Everything before this was looked at.
    looked_at: Option<i64>,
    table: Table,
    counters: Counters,
    waiting_max: Option<usize>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting(Place, Box<Item>);

impl Acts {
    /// Nothing observed yet.
    pub fn new(options: Options) -> Acts {
        Acts { options, ..Acts::default() }
    }

    #[cfg(test)]
    pub(crate) fn with_room(options: Options, acts: usize, events: usize, waiting: usize) -> Acts {
        let mut made = Acts::new(options);
        made.table.room = crate::table::Room { acts, events };
        made.waiting_max = Some(waiting);
        made
    }

    /// Looks at the events of a batch.
    pub fn observe(&mut self, batch: &EventBatch) -> Observed {
        self.rows(Rows::of_batch(batch))
    }

    /// Looks at rows of several datasets, which `event.dataset` names. Needs [`crate::COLUMNS`], as far
    /// as they exist.
    pub fn observe_mixed(&mut self, rows: &RecordBatch) -> Observed {
        self.rows(Rows::new(rows, None))
    }

    fn rows(&mut self, rows: Option<Rows>) -> Observed {
        let mut passed = Vec::new();
        let Some(mut rows) = rows else { return Observed::default() };
        for row in 0..rows.len() {
            let Some(item) = rows.item(row) else { continue };
            self.counters.events += 1;
            match item {
                Err(id) => passed.push(id),
                Ok(item) => self.take(item),
            }
        }
        let newest = self.newest.unwrap_or(i64::MIN);
        let mut observed = self.release(newest.saturating_sub(self.options.lateness_micros));
        observed.passed.extend(passed);
        observed
    }

    /// Says that no event before `watermark` will come any more.
    pub fn advance(&mut self, watermark: UtcMicros) -> Observed {
        self.release(watermark.as_micros())
    }

    /// Ends everything: what goes on is open ([`crate::ActState::Open`]). Observing may begin anew.
    pub fn finish(&mut self) -> Observed {
        let mut observed = self.release(i64::MAX);
        self.table.finish();
        observed.extend(self.given());
        self.newest = None;
        self.looked_at = None;
        observed
    }

    /// What was counted since the beginning.
    pub fn counters(&self) -> Counters {
        Counters { cut: self.table.cut, ..self.counters }
    }

    fn take(&mut self, mut item: Item) {
        let time = item.place.time;
        if self.looked_at.is_some_and(|looked_at| time < looked_at) {
            self.counters.late += 1;
            item.late = true;
            kinds::look(&mut self.table, &item);
            return;
        }
        self.newest = Some(self.newest.map_or(time, |newest| newest.max(time)));
        self.waiting.insert(Waiting(item.place.clone(), Box::new(item)));
        if self.waiting.len() > self.waiting_max.unwrap_or(WAITING_EVENTS_MAX)
            && let Some(Waiting(place, item)) = self.waiting.pop_first()
        {
            self.counters.hurried += 1;
            self.looked_at = Some(place.time);
            self.look(&item);
        }
    }

    fn release(&mut self, watermark: i64) -> Observed {
        while let Some(first) = self.waiting.first()
            && (first.0.time < watermark || watermark == i64::MAX)
            && let Some(Waiting(_, item)) = self.waiting.pop_first()
        {
            self.look(&item);
        }
        if watermark != i64::MAX && self.looked_at.is_none_or(|before| before < watermark) {
            self.looked_at = Some(watermark);
            self.table.expire(watermark);
        }
        self.given()
    }

    fn look(&mut self, item: &Item) {
        self.table.expire(item.place.time);
        kinds::look(&mut self.table, item);
    }

    fn given(&mut self) -> Observed {
        Observed {
            acts: std::mem::take(&mut self.table.done),
            passed: std::mem::take(&mut self.table.passed),
        }
    }
}
