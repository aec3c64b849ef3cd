//! Events in, acts out.

use crate::act::Act;
use crate::item::{Item, Place};
use crate::kinds;
use crate::limits::WAITING_EVENTS_MAX;
use crate::rows::Rows;
use crate::table::Table;
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{cast, min};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use std::collections::BTreeSet;
use yagura_event::{EventBatch, EventId, UtcMicros, columns};

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

/// Acts of all events that there are, in batches of several datasets ([`Acts::observe_mixed`]) whatever
/// their order, and what was counted.
pub fn acts_of(batches: Vec<RecordBatch>) -> (Observed, Counters) {
    // All is there, so nothing is late: the events before the oldest of the next batch are complete.
    let mut acts = Acts::new(Options { lateness_micros: i64::MAX / 2 });
    let mut batches: Vec<_> = batches.into_iter().map(|batch| (oldest(&batch), batch)).collect();
    batches.sort_by_key(|(oldest, _)| *oldest);
    let mut all = Observed::default();
    for (oldest, batch) in batches {
        all.extend(acts.advance(UtcMicros::from_micros(oldest)));
        all.extend(acts.observe_mixed(&batch));
    }
    all.extend(acts.finish());
    (all, acts.counters())
}

fn oldest(batch: &RecordBatch) -> i64 {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let times =
        batch.column_by_name(columns::TIMESTAMP).and_then(|times| cast(times, &micros).ok());
    times.and_then(|times| min(times.as_primitive::<TimestampMicrosecondType>())).unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::ActState;
    use crate::limits::{
        DISTINCT_MAX, EVENTS_PER_ACT_MAX, KEYS_PER_ACT_MAX, OPEN_ACTS_MAX, OPEN_EVENTS_MAX,
        VALUE_BYTES_MAX,
    };
    use std::sync::Arc;
    use yagura_event::{BatchBuilder, FieldDictionary, Origin, StreamName, Transport};

    /// Failed logons, a second apart: of which user, from which address.
    fn failures(from: u32, logons: &[(&str, &str)]) -> EventBatch {
        let mut builder = BatchBuilder::new("windows.security", dictionary());
        for (index, (user, address)) in (from..).zip(logons) {
            let stream = StreamName::new("test").unwrap();
            let at = UtcMicros::from_micros(i64::from(index) * 1_000_000);
            let origin = Origin {
                stream: &stream,
                batch: 1,
                index,
                batch_salt: &[0; 32],
                received: at,
                transport: Transport::File,
                peer: "",
                identity: "",
            };
            builder.begin(&origin, None);
            builder.set("event.code", "4625");
            builder.set("winlog.event_data.TargetUserName", user);
            builder.set("winlog.event_data.IpAddress", address);
        }
        builder.finish().unwrap()
    }

    fn dictionary() -> Arc<FieldDictionary> {
        Arc::new(FieldDictionary::from_toml("").unwrap())
    }

    fn all(mut acts: Acts, batches: &[EventBatch]) -> (Observed, Counters) {
        let mut all = Observed::default();
        for batch in batches {
            all.extend(acts.observe(batch));
        }
        all.extend(acts.finish());
        (all, acts.counters())
    }

    fn sizes(observed: &Observed) -> Vec<(usize, u32, ActState)> {
        let acts = observed.acts.iter();
        acts.map(|act| (act.event_ids.len(), act.part, act.state)).collect()
    }

    const WIDE: usize = usize::MAX;

    #[test]
    fn an_act_is_cut_past_the_most_events_and_goes_on() {
        let same = vec![("tanaka", "192.0.2.7"); EVENTS_PER_ACT_MAX + 1];
        let batch = |events: usize| [failures(0, &same[..events])];
        // A second apart they are one act all along.
        let (at_limit, counters) = all(Acts::default(), &batch(EVENTS_PER_ACT_MAX));
        assert_eq!(sizes(&at_limit), [(EVENTS_PER_ACT_MAX, 1, ActState::Complete)]);
        assert_eq!(counters.cut, 0);
        let (past, counters) = all(Acts::default(), &batch(EVENTS_PER_ACT_MAX + 1));
        let cut = (EVENTS_PER_ACT_MAX, 1, ActState::Cut);
        assert_eq!(sizes(&past), [cut, (1, 2, ActState::Complete)]);
        assert_eq!(counters.cut, 1);
    }

    #[test]
    fn open_acts_and_their_events_are_bounded() {
        const { assert!(OPEN_ACTS_MAX > 0 && OPEN_EVENTS_MAX >= EVENTS_PER_ACT_MAX) };
        let logons =
            [("a", "192.0.2.1"), ("a", "192.0.2.1"), ("b", "192.0.2.2"), ("b", "192.0.2.2")];
        let run = |acts, events| {
            let acts = Acts::with_room(Options::default(), acts, events, WIDE);
            all(acts, &[failures(0, &logons)])
        };
        let whole = [(2, 1, ActState::Complete); 2];
        let (at_limit, counters) = run(2, 4);
        assert_eq!((&sizes(&at_limit)[..], counters.cut), (&whole[..], 0));
        // Past it the one that would end first is given out.
        let first = [(2, 1, ActState::Cut), (2, 1, ActState::Complete)];
        for (acts, events) in [(1, 4), (2, 3)] {
            let (past, counters) = run(acts, events);
            assert_eq!((&sizes(&past)[..], counters.cut), (&first[..], 1), "{acts} {events}");
        }
    }

    #[test]
    fn waiting_events_are_bounded_and_none_is_lost() {
        let logons = [("a", "192.0.2.1"), ("a", "192.0.2.1"), ("a", "192.0.2.1")];
        for (waiting, hurried) in [(3, 0), (2, 1)] {
            let acts = Acts::with_room(Options::default(), WIDE, WIDE, waiting);
            let (observed, counters) = all(acts, &[failures(0, &logons)]);
            assert_eq!((counters.hurried, counters.late), (hurried, 0));
            assert_eq!(sizes(&observed), [(3, 1, ActState::Complete)]);
        }
        const { assert!(WAITING_EVENTS_MAX > 0) };
    }

    #[test]
    fn values_are_cut_and_distinct_ones_bounded() {
        let names: Vec<String> = (0..=DISTINCT_MAX).map(|number| format!("user{number}")).collect();
        let logons: Vec<_> = names.iter().map(|name| (name.as_str(), "192.0.2.7")).collect();
        for events in [DISTINCT_MAX, DISTINCT_MAX + 1] {
            let (observed, _) = all(Acts::default(), &[failures(0, &logons[..events])]);
            let act = &observed.acts[0];
            assert_eq!(act.number("act.accounts_count"), i64::try_from(DISTINCT_MAX).ok());
            assert!(act.text("act.accounts").unwrap().ends_with(", …"));
        }
        for bytes in [VALUE_BYTES_MAX, VALUE_BYTES_MAX + 1] {
            let long = "x".repeat(bytes);
            let logons = [(long.as_str(), "192.0.2.7"), (long.as_str(), "192.0.2.7")];
            let (observed, _) = all(Acts::default(), &[failures(0, &logons)]);
            assert_eq!(observed.acts[0].user().map(str::len), Some(VALUE_BYTES_MAX));
        }
    }

    #[test]
    fn an_act_is_found_by_so_many_names_only() {
        let mut rows = Rows::of_batch(&failures(0, &[("a", "192.0.2.1")])).unwrap();
        let item = rows.item(0).unwrap().unwrap();
        let mut table = Table::default();
        let kind = crate::ActKind::File;
        let number = table.begin(kind, crate::kinds::Body::Plain, &item);
        for key in 0..KEYS_PER_ACT_MAX {
            table.name(number, key.to_string());
        }
        assert_eq!(table.find("0"), Some(number));
        table.name(number, "one more".to_owned());
        assert_eq!((table.find("0"), table.find("1")), (None, Some(number)));
    }
}
