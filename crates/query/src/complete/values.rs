//! The most frequent values of a field in the events that are found first.

use crate::ast::{Expr, FieldTest, Filter, Pattern, Test};
use crate::limits::{VALUES_DISTINCT_MAX, VALUES_MILLIS_MAX, VALUES_ROWS_MAX};
use crate::searcher::{Order, SearchRequest, Searcher};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use futures::StreamExt;
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use yagura_event::UtcMicros;
use yagura_textindex::fold;

/// Values of which field, and how they begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) field: &'a str,
    pub(crate) typed: &'a str,
    /// Whether it stands in quotes, where `*` means itself.
    pub(crate) quoted: bool,
}

impl Asked<'_> {
    fn has_wildcard(&self) -> bool {
        self.typed.contains(['*', '?', '\u{ff0a}', '\u{ff1f}'])
    }

    /// The events to look at: those that have the field, and as far as the engine can tell a value that
    /// begins so.
    fn filter(&self) -> Filter {
        let test = match self.typed {
            "" => Test::Exists,
            _ if self.quoted && self.has_wildcard() => Test::Exists,
            typed => {
                let ascii = typed.replace('\u{ff0a}', "*").replace('\u{ff1f}', "?");
                Test::Matches(Pattern::Wildcard(ascii + "*"))
            }
        };
        Filter::Field(FieldTest {
            name: self.field.to_owned(),
            name_at: 0..0,
            test,
            value_at: 0..0,
        })
    }
}

/// How much is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    rows: usize,
    distinct: usize,
    time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            rows: VALUES_ROWS_MAX,
            distinct: VALUES_DISTINCT_MAX,
            time: Duration::from_millis(VALUES_MILLIS_MAX),
        }
    }
}

/// Values and how many events have them, the most frequent first, each spelling once; and whether events
/// were left out since time or rows ran out.
pub(crate) async fn most_frequent(
    searcher: &Searcher,
    asked: Asked<'_>,
    bounds: Bounds,
) -> (Vec<(String, u64)>, bool) {
    let until = Instant::now() + bounds.time;
    let mut tally = Tally::new(bounds.distinct);
    let expr = Expr {
        filter: asked.filter(),
        pipes: Vec::new(),
        text: String::new(),
        now: UtcMicros::default(),
        zone: TimeZone::UTC,
    };
    let mut request = SearchRequest::new(expr);
    // Files come newest first, and what is in memory beside them.
    request.order = Order::Any;
    request.limit = bounds.rows;
    request.columns = vec![asked.field.to_owned()];
    request.background = true;
    let Ok(Ok(mut answer)) = timeout_at(until, searcher.search(request)).await else {
        return (Vec::new(), true);
    };
    let mut partial = true;
    while let Ok(next) = timeout_at(until, answer.next()).await {
        match next {
            Some(Ok(rows)) => tally.add(&rows),
            // A damaged file: what was found before it is as good.
            Some(Err(_)) => break,
            None => {
                partial = answer.truncated();
                break;
            }
        }
    }
    partial |= tally.full;
    (tally.most_frequent(asked), partial)
}

/// Counts values, so many different ones at most.
#[derive(Debug)]
struct Tally {
    counts: HashMap<String, u64>,
    most: usize,
    /// Whether there were more different ones.
    full: bool,
}

impl Tally {
    fn new(most: usize) -> Self {
        Tally { counts: HashMap::new(), most, full: false }
    }

    /// Counts the values of the first column.
    fn add(&mut self, rows: &RecordBatch) {
        let Some(values) = rows.columns().first() else { return };
        let Ok(values) = cast(values, &DataType::Utf8) else { return };
        let values = values.as_string::<i32>();
        for row in 0..values.len() {
            if values.is_null(row) {
                continue;
            }
            let value = values.value(row);
            if let Some(count) = self.counts.get_mut(value) {
                *count += 1;
            } else if self.counts.len() < self.most {
                self.counts.insert(value.to_owned(), 1);
            } else {
                self.full = true;
            }
        }
    }

    fn most_frequent(self, asked: Asked<'_>) -> Vec<(String, u64)> {
        let typed = fold(asked.typed);
        let checked = asked.quoted && asked.has_wildcard();
        // Spellings that a search does not tell apart are one value: the most frequent one is shown.
        let mut by_meaning: HashMap<String, (String, u64, u64)> = HashMap::new();
        for (value, count) in self.counts {
            let folded = fold(&value).into_owned();
            if checked && !folded.starts_with(&*typed) {
                continue;
            }
            let entry = by_meaning.entry(folded).or_insert_with(|| (value.clone(), count, 0));
            entry.2 += count;
            if (count, &entry.0) > (entry.1, &value) {
                (entry.0, entry.1) = (value, count);
            }
        }
        let mut list: Vec<(String, u64)> =
            by_meaning.into_values().map(|(value, _, all)| (value, all)).collect();
        list.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;
    use std::sync::Arc;
    use yagura_event::{
        BatchBuilder, CommittedRun, FieldDictionary, ManualClock, Record, StreamName, Transport,
    };
    use yagura_lake::{Lake, LakeOptions};

    fn rows(values: &[&str]) -> RecordBatch {
        let values = StringArray::from(values.to_vec());
        RecordBatch::try_from_iter([("v", Arc::new(values) as Arc<dyn Array>)]).unwrap()
    }

    const ALL: Asked<'_> = Asked { field: "v", typed: "", quoted: false };

    #[test]
    fn spellings_of_one_value_are_counted_together() {
        let mut tally = Tally::new(10);
        tally.add(&rows(&["sato", "SATO", "sato", "田中"]));
        tally.add(&rows(&["Ｓａｔｏ", "tanaka", "tanaka"]));
        let expected = [("sato", 4), ("tanaka", 2), ("田中", 1)];
        let expected = expected.map(|(value, count)| (value.to_owned(), count));
        assert_eq!(tally.most_frequent(ALL), expected);
    }

    #[test]
    fn so_many_different_values_are_counted_and_no_more() {
        let mut tally = Tally::new(2);
        tally.add(&rows(&["a", "b", "a"]));
        assert!(!tally.full);
        tally.add(&rows(&["c", "a"]));
        assert!(tally.full);
        assert_eq!(tally.most_frequent(ALL), [("a".to_owned(), 3), ("b".to_owned(), 1)]);
    }

    /// Three events of three users.
    fn three(directory: &std::path::Path) -> Searcher {
        let clock = Arc::new(ManualClock::at(UtcMicros::default()));
        let lake = Lake::open(directory, LakeOptions::default(), clock).unwrap();
        let record = || Record {
            received: UtcMicros::default(),
            transport: Transport::SyslogTcp,
            peer: "192.0.2.1:514".into(),
            identity: "none".into(),
            bytes: b"x".to_vec().into(),
        };
        let run = CommittedRun {
            stream: StreamName::new("syslog").unwrap(),
            batch: 1,
            batch_salt: [0; 32],
            first_index: 0,
            records: (0..3).map(|_| record()).collect(),
        };
        let dictionary = Arc::new(FieldDictionary::default());
        let mut builder = BatchBuilder::new("linux.auth", dictionary.clone());
        for (index, record) in run.indexed() {
            builder.begin_row(&run, index, record);
            builder.set("user.name", ["a", "b", "c"][index as usize]);
        }
        lake.add(builder.finish().into_iter().collect()).unwrap();
        Searcher::new(Arc::new(lake), dictionary).unwrap()
    }

    #[tokio::test]
    async fn so_many_events_are_counted_and_no_more_and_never_for_long() {
        let directory = tempfile::tempdir().unwrap();
        let searcher = three(directory.path());
        let asked = Asked { field: "user.name", typed: "", quoted: false };
        let long = Duration::from_secs(60);
        let of = async |bounds: Bounds| {
            let (values, partial) = most_frequent(&searcher, asked, bounds).await;
            (values.len(), partial)
        };
        let bounds = Bounds { rows: 3, distinct: 3, time: long };
        assert_eq!(of(bounds).await, (3, false));
        assert_eq!(of(Bounds { rows: 2, ..bounds }).await, (2, true));
        assert_eq!(of(Bounds { distinct: 2, ..bounds }).await, (2, true));
        assert_eq!(of(Bounds { time: Duration::ZERO, ..bounds }).await, (0, true));
    }
}
