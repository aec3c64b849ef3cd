//! When the disk will be full: from what was stored on each of the last days, as it will be once
//! compacted, what policies will let go meanwhile, and what goes to the cold store by itself.

use super::delete::DAY_MICROS;
use super::limits::{FORECAST_DAYS_MAX, GROWTH_DAYS};
use crate::compaction::{FREE_BYTES_MIN, free_bytes};
use crate::{Node, NodeError};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use yagura_event::UtcMicros;
use yagura_lake::{FileEntry, Order};

/// Bytes of one stream and day, as they will be once compacted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bytes {
    /// Here, and stay until they are deleted: indexes of words, and what was brought back lately.
    pub(super) staying: f64,
    /// Here, in files that may go to a cold store.
    pub(super) movable: f64,
    /// In a cold store.
    pub(super) away: f64,
}

impl Bytes {
    fn here(self) -> f64 {
        self.staying + self.movable
    }

    /// All that the day brought.
    fn brought(self) -> Brought {
        Brought { all: self.here() + self.away, movable: self.movable + self.away }
    }
}

/// Bytes that a day brings to this disk.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Brought {
    pub(super) all: f64,
    /// Of these, what goes to a cold store where there is one.
    pub(super) movable: f64,
}

/// What is stored of one stream, for a forecast.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Growth {
    /// By day of receipt (days since 1970).
    pub(super) days: BTreeMap<i64, Bytes>,
    /// Days after which its files go to a cold store, where they will.
    pub(super) moved_after: Option<u32>,
    /// Days after which its events are deleted, where that will happen.
    pub(super) deleted_after: Option<u32>,
}

impl Growth {
    /// What leaves the disk on a day: the `first` one of the forecast takes all with it that is due by then.
    fn leaves(&self, at: i64, today: i64, mean: Brought, first: bool) -> f64 {
        // The present day counts as it will be at its end.
        let known = |day: i64| if day < today { self.days.get(&day).copied() } else { None };
        let of = |day: i64| match day < today {
            true => known(day).unwrap_or_default().brought(),
            false => mean,
        };
        let last_of = |after: u32| at - i64::from(after) - 1;
        let moves = |moved: &u32| self.deleted_after.is_none_or(|deleted| *moved < deleted);
        let moved = self.moved_after.filter(moves).map(last_of);
        let mut leaves = match moved {
            Some(last) if first => self.days.range(..=last).map(|(_, day)| day.movable).sum(),
            Some(last) if last < today => known(last).unwrap_or_default().movable,
            Some(last) => of(last).movable,
            None => 0.0,
        };
        if let Some(last) = self.deleted_after.map(last_of) {
            leaves += match known(last) {
                // What was moved before is here no more.
                Some(day) if moved.is_some() => day.staying,
                Some(day) => day.here(),
                None if moved.is_some() => of(last).all - of(last).movable,
                None => of(last).all,
            };
        }
        leaves
    }
}

/// What a forecast goes by.
#[derive(Debug, Clone, Default)]
pub(super) struct Basis {
    /// The present day (days since 1970) and how much of it has passed, 0 to 1.
    pub(super) today: i64,
    pub(super) passed: f64,
    pub(super) streams: Vec<Growth>,
    /// Bytes a day of what is never deleted: ledger and audit log.
    pub(super) other: f64,
    /// Bytes that may still be written.
    pub(super) free: f64,
}

/// A day's bytes, by what the last days had.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) mean: f64,
    pub(super) busiest: f64,
    /// Whole days it was measured on; 0: only a part of today.
    pub(super) days: i64,
}

impl Basis {
    /// First day of those that count; `None` where nothing was received in them.
    fn window(&self) -> Option<i64> {
        let first = self.today - GROWTH_DAYS;
        let known = self.streams.iter().filter_map(|one| one.days.range(first..).next());
        known.map(|(day, _)| *day).min()
    }

    /// What a day brings of each stream, and of all with what is never deleted.
    pub(super) fn rates(&self) -> (Vec<Brought>, Rate) {
        let Some(first) = self.window() else {
            return (vec![Brought::default(); self.streams.len()], Rate::default());
        };
        let whole = self.today - first;
        let each = |one: &Growth| {
            let (days, by) = match whole {
                // A part of a day says little; an hour is the least it is taken for.
                0 => (self.today..self.today + 1, self.passed.max(1.0 / 24.0)),
                days => (first..self.today, days as f64),
            };
            let brought = one.days.range(days).map(|(_, day)| day.brought());
            let sum = brought.fold(Brought::default(), |sum, day| Brought {
                all: sum.all + day.all,
                movable: sum.movable + day.movable,
            });
            Brought { all: sum.all / by, movable: sum.movable / by }
        };
        let means: Vec<Brought> = self.streams.iter().map(each).collect();
        let mean = means.iter().map(|mean| mean.all).sum::<f64>() + self.other;
        let of_day = |day: i64| -> f64 {
            let brought = self.streams.iter().filter_map(|one| one.days.get(&day));
            brought.map(|day| day.brought().all).sum::<f64>() + self.other
        };
        let busiest = (first..self.today).map(of_day).fold(mean, f64::max);
        (means, Rate { mean, busiest, days: whole })
    }

    /// In how many days the room is used up, if every day is `factor` times the mean one; `None`: not
    /// within [`FORECAST_DAYS_MAX`].
    pub(super) fn full_in(&self, means: &[Brought], factor: f64) -> Option<u32> {
        let mut free = self.free;
        for day in 1..=FORECAST_DAYS_MAX {
            let at = self.today + i64::from(day);
            free -= self.other * factor;
            for (stream, mean) in self.streams.iter().zip(means) {
                let mean = Brought { all: mean.all * factor, movable: mean.movable * factor };
                free += stream.leaves(at, self.today, mean, day == 1) - mean.all;
            }
            if free < 0.0 {
                return Some(day);
            }
        }
        None
    }
}

/// Bytes of a file and of its index of words, wherever they lie.
fn bytes_of(file: &FileEntry) -> (u64, u64) {
    (file.bytes, file.text_index.as_ref().map_or(0, |index| index.bytes))
}

/// Days since 1970 of a partition's day.
fn day_number(day: &str) -> Option<i64> {
    let date: jiff::civil::Date = day.parse().ok()?;
    let begin = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(begin.timestamp().as_microsecond().div_euclid(DAY_MICROS))
}

/// Bytes of all files below a directory.
fn size_below(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => size_below(&entry.path()),
        Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |data| data.len()),
        _ => 0,
    };
    entries.flatten().map(size).sum()
}

/// What a stream has to do with a forecast.
struct Stream {
    name: String,
    oldest: UtcMicros,
    minimum: u32,
    stored: u64,
    /// As in [`Growth`].
    moved_after: Option<u32>,
}

impl Node {
    /// When the disk will be full, and whether before a policy's minimum is reached.
    ///
    /// # Errors
    /// When the ledger does not read.
    pub fn retention_forecast(&self) -> Result<Value, NodeError> {
        let now = self.clock().now();
        let (basis, streams) = self.forecast_basis(now)?;
        let free = free_bytes(self.data().root());
        let (means, rate) = basis.rates();
        let factor = if rate.mean > 0.0 { rate.busiest / rate.mean } else { 1.0 };
        let full = free.and_then(|_| basis.full_in(&means, 1.0));
        let sooner = free.and_then(|_| basis.full_in(&means, factor));
        let at = |days: Option<u32>| {
            days.map(|days| now.plus_micros(i64::from(days) * DAY_MICROS).utc_day())
        };
        let rows: Vec<Value> = streams
            .iter()
            .zip(&means)
            .map(|(stream, mean)| {
                let age = (now.as_micros() - stream.oldest.as_micros()).div_euclid(DAY_MICROS);
                let wanting = (i64::from(stream.minimum) - age).max(0);
                json!({
                    "yagura.stream": stream.name,
                    "stored": stream.stored,
                    "per_day": mean.all.round() as u64,
                    "moved_after_days": stream.moved_after,
                    "kept_since": stream.oldest,
                    "minimum_days": (stream.minimum > 0).then_some(stream.minimum),
                    "minimum_reached_in_days": wanting,
                    "full_before_minimum": full.is_some_and(|days| i64::from(days) < wanting),
                })
            })
            .collect();
        let lang = full.map(|days| warn_words(days, &at(full).unwrap_or_default()));
        Ok(json!({
            "free": free,
            "reserve": FREE_BYTES_MIN,
            "per_day": rate.mean.round() as u64,
            "busiest_day": rate.busiest.round() as u64,
            "other_per_day": basis.other.round() as u64,
            "days_measured": rate.days,
            "full_in_days": full,
            "full_on": at(full),
            "full_in_days_if_busy": sooner,
            "full_on_if_busy": at(sooner),
            "days_looked_ahead": FORECAST_DAYS_MAX,
            "sentence": lang.map(|(en, ja)| json!({ "en": en, "ja": ja })),
            "warn": full.is_some_and(|days| days <= self.retaining().fold().settings().warn_days),
            "streams": rows,
        }))
    }

    fn forecast_basis(&self, now: UtcMicros) -> Result<(Basis, Vec<Stream>), NodeError> {
        let (kept, names) = self.kept()?;
        let mut growths = vec![Growth::default(); names.len()];
        let of_batch: HashMap<u64, usize> = {
            let shelf = self.shelf()?;
            shelf.batches().iter().map(|kept| (kept.batch, kept.stream as usize)).collect()
        };
        let files = self.lake().files();
        let mut compacted: HashMap<&str, (u64, u64)> = HashMap::new();
        for file in files.iter().filter(|file| file.order == Order::Source) {
            let (bytes, rows) = compacted.entry(&file.dataset).or_default();
            let (parquet, index) = bytes_of(file);
            *bytes += parquet + index;
            *rows += file.rows;
        }
        let moving = self.tiers().moving(self.data().root(), now);
        let fold = self.retaining().fold();
        let settings = fold.settings();
        // A file goes when the last of its streams may.
        let mut moved_after: Vec<Option<u32>> = vec![None; names.len()];
        for file in &files {
            let Some(day) = day_number(&file.day) else { continue };
            let (parquet, index) = bytes_of(file);
            let as_it_is = (parquet + index) as f64 / file.rows.max(1) as f64;
            let later = compacted.get(&*file.dataset).filter(|(_, rows)| *rows > 0);
            let later = later.map(|(bytes, rows)| *bytes as f64 / *rows as f64);
            let each = match (file.order, later) {
                (Order::Ledger, Some(later)) => later.min(as_it_is),
                _ => as_it_is,
            };
            let share = parquet as f64 / (parquet + index).max(1) as f64;
            let numbers: BTreeSet<usize> = file
                .batches
                .iter()
                .filter_map(|rows| of_batch.get(&rows.batch).copied())
                .filter(|number| *number < growths.len())
                .collect();
            if let Some(moving) = &moving {
                let after = |number: &usize| moving.after(settings.of(names.get(*number)?));
                let last = numbers.iter().filter_map(after).max();
                for number in &numbers {
                    if let Some(known) = moved_after.get_mut(*number) {
                        *known = (*known).max(last);
                    }
                }
            }
            let stays = moving.as_ref().is_some_and(|moving| moving.came_back(file));
            for rows in &file.batches {
                let number = of_batch.get(&rows.batch).copied();
                let Some(growth) = number.and_then(|number| growths.get_mut(number)) else {
                    continue;
                };
                let bytes = each * f64::from(rows.rows);
                let of_day = growth.days.entry(day).or_default();
                of_day.staying += bytes * (1.0 - share);
                match file.cold.is_some() {
                    true => of_day.away += bytes * share,
                    false if stays => of_day.staying += bytes * share,
                    false => of_day.movable += bytes * share,
                }
            }
        }
        let holds = fold.holds_in_force();
        let mut streams = Vec::new();
        let mut list = Vec::new();
        let each = names.iter().zip(kept).zip(growths).zip(moved_after);
        for (((name, kept), mut growth), moved_after) in each {
            let Some((oldest, _)) = kept.oldest else { continue };
            let held = fold.in_force(name);
            // What is held does not go, as far as that can be said beforehand.
            let goes = settings.delete && !holds.iter().any(|hold| hold.is_about(name));
            growth.deleted_after = held.maximum.filter(|_| goes);
            growth.moved_after = moved_after;
            list.push(growth);
            let (name, minimum) = (name.clone(), held.minimum);
            let stored = kept.stored.round() as u64;
            streams.push(Stream { name, oldest, minimum, stored, moved_after });
        }
        drop(fold);
        let first = streams.iter().map(|stream| stream.oldest).min().unwrap_or(now);
        let age = (now.as_micros() - first.as_micros()) as f64 / DAY_MICROS as f64;
        let data = self.data();
        let ledger = size_below(&data.root().join("ledger")) + size_below(&data.audit());
        let today = now.as_micros().div_euclid(DAY_MICROS);
        let basis = Basis {
            today,
            passed: now.as_micros().rem_euclid(DAY_MICROS) as f64 / DAY_MICROS as f64,
            streams: list,
            other: ledger as f64 / age.max(1.0),
            free: free_bytes(data.root()).unwrap_or(0).saturating_sub(FREE_BYTES_MIN) as f64,
        };
        Ok((basis, streams))
    }
}

/// What a person is told of a disk that fills.
pub(super) fn warn_words(days: u32, on: &str) -> (String, String) {
    (
        format!(
            "The disk will be full in {days} days, on {on}, if each day brings what the last ones did. \
             Add room, move old data to cold storage, or shorten a policy (two persons)."
        ),
        format!(
            "このまま増えると、あと{days}日（{on}）でディスクが満杯になります。容量を増やすか、古いデータを\
             コールド層に移すか、ポリシーを見直してください（短縮には2人の承認が必要です）。"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four fifths of each day's bytes are in files, one is in their indexes of words.
    fn stream(days: &[(i64, f64)], deleted_after: Option<u32>) -> Growth {
        let of = |(day, bytes): &(i64, f64)| {
            (*day, Bytes { staying: bytes * 0.2, movable: bytes * 0.8, away: 0.0 })
        };
        Growth { days: days.iter().map(of).collect(), deleted_after, moved_after: None }
    }

    fn basis(streams: Vec<Growth>, free: f64) -> Basis {
        Basis { today: 100, passed: 0.5, streams, other: 0.0, free }
    }

    #[test]
    fn the_disk_is_full_when_growth_has_used_it_up() {
        let even = |after| stream(&(90..100).map(|day| (day, 10.0)).collect::<Vec<_>>(), after);
        let one = basis(vec![even(None)], 95.0);
        let (means, rate) = one.rates();
        assert_eq!(means[0], Brought { all: 10.0, movable: 8.0 });
        assert_eq!((rate.mean, rate.busiest, rate.days), (10.0, 10.0, 10));
        assert_eq!(one.full_in(&means, 1.0), Some(10));
        assert_eq!(one.full_in(&means, 2.0), Some(5));
        // Day 90 goes on day 101 when nothing older than ten days is kept: from then on nothing is added.
        let kept = basis(vec![even(Some(10))], 95.0);
        assert_eq!(kept.full_in(&means, 1.0), None);
        // Kept for thirty days, the room for twenty more days is wanted first.
        assert_eq!(basis(vec![even(Some(30))], 195.0).full_in(&means, 1.0), Some(20));
        assert_eq!(basis(vec![even(Some(30))], 205.0).full_in(&means, 1.0), None);
    }

    /// Ten bytes a day on the ten days before today (day 100), eight of them in files that go.
    #[test]
    fn what_goes_to_the_cold_store_leaves_room_and_its_index_does_not() {
        let even = |moved_after, deleted_after| Growth {
            moved_after,
            ..stream(&(90..100).map(|day| (day, 10.0)).collect::<Vec<_>>(), deleted_after)
        };
        let full = |one: &Growth, free: f64, factor: f64| {
            let one = basis(vec![one.clone()], free);
            one.full_in(&one.rates().0, factor)
        };
        // After ten days day 90 goes on day 101, and so on: two bytes a day are left.
        // 95 - 2 * 47 = 1, and one day more is too much.
        assert_eq!(full(&even(Some(10), None), 95.0, 1.0), Some(48));
        // After three days: on day 101 all of day 90 to 97 go at once (64 bytes), then one day each.
        // 1 - 10 + 64 = 55, and 55 - 2 * 27 = 1 on day 128.
        assert_eq!(full(&even(Some(3), None), 1.0, 1.0), Some(29));
        // After thirty days day 90 goes on day 121, the twenty-first: 20 * 10 bytes are wanted before.
        assert_eq!(full(&even(Some(30), None), 199.0, 1.0), Some(20));
        // 201 - 200 = 1 on day 120, and 1 - 10 + 8 on the next.
        assert_eq!(full(&even(Some(30), None), 201.0, 1.0), Some(21));
        // Twice as much comes, and what goes is of the days before: twelve a day, and 95 - 8 * 12 = -1.
        assert_eq!(full(&even(Some(10), None), 95.0, 2.0), Some(8));
        // Deleted after thirty days, the two that were left of day 90 go on day 121: then all is even.
        assert_eq!(full(&even(Some(10), Some(30)), 39.0, 1.0), Some(20));
        assert_eq!(full(&even(Some(10), Some(30)), 41.0, 1.0), None);
        // What is deleted before it would be moved never is.
        assert_eq!(full(&even(Some(10), Some(10)), 95.0, 1.0), None);
        assert_eq!(even(Some(10), Some(10)).leaves(101, 100, Brought::default(), true), 10.0);
    }

    #[test]
    fn what_lies_in_the_cold_store_already_counts_as_growth_and_not_as_room() {
        let moved = Bytes { staying: 2.0, movable: 0.0, away: 8.0 };
        let mut one = stream(&(96..100).map(|day| (day, 10.0)).collect::<Vec<_>>(), Some(30));
        one.days.extend((90..96).map(|day| (day, moved)));
        one.moved_after = Some(3);
        let store = basis(vec![one.clone()], 1.0);
        let (means, rate) = store.rates();
        assert_eq!((means[0], rate.mean), (Brought { all: 10.0, movable: 8.0 }, 10.0));
        // Day 96 and 97 go on day 101: 1 - 10 + 16 = 7, then two a day.
        assert_eq!(store.full_in(&means, 1.0), Some(5));
        // Nothing goes any more, and of what is away nothing is freed: day 90 leaves two on day 121.
        one.moved_after = None;
        assert_eq!(one.leaves(121, 100, means[0], false), 2.0);
    }

    #[test]
    fn few_days_are_taken_for_what_they_are() {
        let busy = basis(vec![stream(&[(98, 10.0), (99, 30.0), (100, 500.0)], None)], 1e6);
        let (means, rate) = busy.rates();
        assert_eq!(
            (means[0].all, rate.busiest, rate.days),
            (20.0, 30.0, 2),
            "today does not count"
        );
        let today = basis(vec![stream(&[(100, 5.0)], None)], 1e6);
        let mean = Brought { all: 10.0, movable: 8.0 };
        assert_eq!(today.rates(), (vec![mean], Rate { mean: 10.0, busiest: 10.0, days: 0 }));
        let old = basis(vec![stream(&[(3, 5.0)], None)], 1e6);
        let (means, rate) = old.rates();
        assert_eq!((means[0].all, rate), (0.0, Rate::default()));
        assert_eq!(old.full_in(&means, 1.0), None);
        // A silent day within the window is a day.
        let gap = basis(vec![stream(&[(90, 10.0), (99, 10.0)], None)], 1e6);
        assert_eq!(gap.rates().0[0].all, 2.0);
    }

    #[test]
    fn it_looks_so_many_days_back_and_ahead() {
        let begun = |days_ago: i64| {
            let one = basis(vec![stream(&[(100 - days_ago, 28.0)], None)], 1e6);
            one.rates().1.days
        };
        assert_eq!([GROWTH_DAYS, GROWTH_DAYS + 1].map(begun), [GROWTH_DAYS, 0]);
        // A byte a day, and room until the last day, or one day longer.
        let full_in = |free: u32| {
            let one = Basis { other: 1.0, ..basis(Vec::new(), f64::from(free)) };
            one.full_in(&[], 1.0)
        };
        assert_eq!(full_in(FORECAST_DAYS_MAX - 1), Some(FORECAST_DAYS_MAX));
        assert_eq!(full_in(FORECAST_DAYS_MAX), None);
    }

    #[test]
    fn days_have_numbers() {
        assert_eq!(day_number("1970-01-02"), Some(1));
        assert_eq!(day_number("2026-11-21"), Some(20_778));
        assert_eq!(day_number("soon"), None);
    }
}
