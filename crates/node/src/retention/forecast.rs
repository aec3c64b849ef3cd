//! When the disk will be full: from what was stored on each of the last days, as it will be once
//! compacted, and what policies will let go meanwhile.

use super::delete::DAY_MICROS;
use super::limits::{FORECAST_DAYS_MAX, GROWTH_DAYS};
use crate::compaction::{FREE_BYTES_MIN, free_bytes};
use crate::{Node, NodeError};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use yagura_event::UtcMicros;
use yagura_lake::{FileEntry, Order};

/// What is stored of one stream, for a forecast.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Growth {
    /// Bytes by day of receipt (days since 1970), as they will be once compacted.
    pub(super) days: BTreeMap<i64, f64>,
    /// Days after which its events are deleted, where that will happen.
    pub(super) deleted_after: Option<u32>,
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

    /// Bytes a day of each stream, and of all with what is never deleted.
    pub(super) fn rates(&self) -> (Vec<f64>, Rate) {
        let Some(first) = self.window() else {
            return (vec![0.0; self.streams.len()], Rate::default());
        };
        let whole = self.today - first;
        let each = |one: &Growth| match whole {
            // A part of a day says little; an hour is the least it is taken for.
            0 => one.days.get(&self.today).copied().unwrap_or(0.0) / self.passed.max(1.0 / 24.0),
            days => {
                one.days.range(first..self.today).map(|(_, bytes)| bytes).sum::<f64>() / days as f64
            }
        };
        let means: Vec<f64> = self.streams.iter().map(each).collect();
        let mean = means.iter().sum::<f64>() + self.other;
        let of_day = |day: i64| -> f64 {
            self.streams.iter().filter_map(|one| one.days.get(&day)).sum::<f64>() + self.other
        };
        let busiest = (first..self.today).map(of_day).fold(mean, f64::max);
        (means, Rate { mean, busiest, days: whole })
    }

    /// In how many days the room is used up, if every day is `factor` times the mean one; `None`: not
    /// within [`FORECAST_DAYS_MAX`].
    pub(super) fn full_in(&self, means: &[f64], factor: f64) -> Option<u32> {
        let mut free = self.free;
        for day in 1..=FORECAST_DAYS_MAX {
            let at = self.today + i64::from(day);
            free -= self.other * factor;
            for (stream, mean) in self.streams.iter().zip(means) {
                free -= mean * factor;
                let Some(after) = stream.deleted_after else { continue };
                let goes = at - i64::from(after) - 1;
                free += match goes > self.today {
                    true => mean * factor,
                    // The present day counts as it will be at its end.
                    false if goes == self.today => mean * factor,
                    false => stream.days.get(&goes).copied().unwrap_or(0.0),
                };
            }
            if free < 0.0 {
                return Some(day);
            }
        }
        None
    }
}

/// Bytes on the local disk.
fn bytes_of(file: &FileEntry) -> u64 {
    let parquet = if file.cold.is_some() { 0 } else { file.bytes };
    parquet + file.text_index.as_ref().map_or(0, |index| index.bytes)
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
                    "per_day": mean.round() as u64,
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
            *bytes += bytes_of(file);
            *rows += file.rows;
        }
        for file in &files {
            let Some(day) = day_number(&file.day) else { continue };
            let as_it_is = bytes_of(file) as f64 / file.rows.max(1) as f64;
            let later = compacted.get(&*file.dataset).filter(|(_, rows)| *rows > 0);
            let later = later.map(|(bytes, rows)| *bytes as f64 / *rows as f64);
            let each = match (file.order, later) {
                (Order::Ledger, Some(later)) => later.min(as_it_is),
                _ => as_it_is,
            };
            for rows in &file.batches {
                let number = of_batch.get(&rows.batch).copied();
                if let Some(growth) = number.and_then(|number| growths.get_mut(number)) {
                    *growth.days.entry(day).or_default() += each * f64::from(rows.rows);
                }
            }
        }
        let fold = self.retaining().fold();
        let settings = fold.settings();
        let holds = fold.holds_in_force();
        let mut streams = Vec::new();
        let mut list = Vec::new();
        for ((name, kept), mut growth) in names.iter().zip(kept).zip(growths) {
            let Some((oldest, _)) = kept.oldest else { continue };
            let held = fold.in_force(name);
            // What is held does not go, as far as that can be said beforehand.
            let goes = settings.delete && !holds.iter().any(|hold| hold.is_about(name));
            growth.deleted_after = held.maximum.filter(|_| goes);
            list.push(growth);
            let stored = kept.stored.round() as u64;
            streams.push(Stream { name: name.clone(), oldest, minimum: held.minimum, stored });
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

    fn stream(days: &[(i64, f64)], deleted_after: Option<u32>) -> Growth {
        Growth { days: days.iter().copied().collect(), deleted_after }
    }

    fn basis(streams: Vec<Growth>, free: f64) -> Basis {
        Basis { today: 100, passed: 0.5, streams, other: 0.0, free }
    }

    #[test]
    fn the_disk_is_full_when_growth_has_used_it_up() {
        let even = |after| stream(&(90..100).map(|day| (day, 10.0)).collect::<Vec<_>>(), after);
        let one = basis(vec![even(None)], 95.0);
        let (means, rate) = one.rates();
        assert_eq!((means[0], rate.mean, rate.busiest, rate.days), (10.0, 10.0, 10.0, 10));
        assert_eq!(one.full_in(&means, 1.0), Some(10));
        assert_eq!(one.full_in(&means, 2.0), Some(5));
        // Day 90 goes on day 101 when nothing older than ten days is kept: from then on nothing is added.
        let kept = basis(vec![even(Some(10))], 95.0);
        assert_eq!(kept.full_in(&means, 1.0), None);
        // Kept for thirty days, the room for twenty more days is wanted first.
        assert_eq!(basis(vec![even(Some(30))], 195.0).full_in(&means, 1.0), Some(20));
        assert_eq!(basis(vec![even(Some(30))], 205.0).full_in(&means, 1.0), None);
    }

    #[test]
    fn few_days_are_taken_for_what_they_are() {
        let busy = basis(vec![stream(&[(98, 10.0), (99, 30.0), (100, 500.0)], None)], 1e6);
        let (means, rate) = busy.rates();
        assert_eq!((means[0], rate.busiest, rate.days), (20.0, 30.0, 2), "today does not count");
        let today = basis(vec![stream(&[(100, 5.0)], None)], 1e6);
        assert_eq!(today.rates(), (vec![10.0], Rate { mean: 10.0, busiest: 10.0, days: 0 }));
        let old = basis(vec![stream(&[(3, 5.0)], None)], 1e6);
        let (means, rate) = old.rates();
        assert_eq!((means[0], rate, old.full_in(&means, 1.0)), (0.0, Rate::default(), None));
        // A silent day within the window is a day.
        let gap = basis(vec![stream(&[(90, 10.0), (99, 10.0)], None)], 1e6);
        assert_eq!(gap.rates().0, [2.0]);
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
