//! The figures of sources as rows for SQL, under the names that the list of sources has.

use super::{Sources, drift_of, zone_of};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::error::ArrowError;
use std::cmp::Reverse;
use std::sync::Arc;
use yagura_normalize::SourceBook;

impl Sources {
    /// At most so many sources, newest first, and whether there are more.
    pub(crate) fn rows(
        &self,
        book: &SourceBook,
        default_zone: &jiff::tz::TimeZone,
        rows_max: usize,
    ) -> Result<(RecordBatch, bool), ArrowError> {
        let tracked = self.lock();
        let mut list: Vec<_> = tracked.sources.iter().filter(|one| one.events > 0).collect();
        list.sort_by_key(|source| (Reverse(source.last), &source.key));
        let cut = list.len() > rows_max;
        list.truncate(rows_max);
        let texts = |of: &dyn Fn(&super::Source) -> Option<String>| -> ArrayRef {
            Arc::new(list.iter().map(|source| of(source)).collect::<StringArray>())
        };
        let numbers = |of: &dyn Fn(&super::Source) -> Option<u64>| -> ArrayRef {
            let number = |source: &&super::Source| of(source).and_then(|n| i64::try_from(n).ok());
            Arc::new(list.iter().map(number).collect::<Int64Array>())
        };
        let times = |of: &dyn Fn(&super::Source) -> i64| {
            crate::tables::times(list.iter().map(|source| Some(of(source))))
        };
        let skew = |source: &&super::Source| {
            let estimate = source.skew.estimate().filter(|_| !source.key.is_file());
            estimate.map(|estimate| estimate.micros / 1_000)
        };
        let rate =
            |source: &&super::Source| Some(source.failures as f64 / source.events.max(1) as f64);
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "host.name",
                texts(&|one| Some(one.key.host.to_string()).filter(|host| !host.is_empty())),
            ),
            ("yagura.peer", texts(&|one| Some(one.key.peer.to_string()))),
            ("yagura.transport", texts(&|one| Some(one.key.transport.to_string()))),
            ("yagura.stream", texts(&|one| Some(one.key.stream.to_string()))),
            ("first", times(&|one| one.first)),
            ("last", times(&|one| one.last)),
            ("events", numbers(&|one| Some(one.events))),
            ("bytes", numbers(&|one| Some(one.bytes))),
            (
                "datasets",
                texts(&|one| {
                    let names: Vec<&str> = one.datasets.keys().map(|name| &**name).collect();
                    Some(names.join(", "))
                }),
            ),
            ("failures", numbers(&|one| Some(one.failures))),
            ("failure_rate", Arc::new(list.iter().map(rate).collect::<Float64Array>())),
            (
                "zone",
                texts(&|one| {
                    let zone = zone_of(book, default_zone, &one.key);
                    Some(zone.iana_name().unwrap_or("UTC").to_owned())
                }),
            ),
            ("clock_skew_ms", Arc::new(list.iter().map(skew).collect::<Int64Array>())),
            ("drift", texts(&|one| Some(drift_of(one).to_owned()))),
        ];
        let fields = columns.into_iter().map(|(name, array)| (name, array, true));
        Ok((RecordBatch::try_from_iter_with_nullable(fields)?, cut))
    }
}
