//! The cells of a batch that correlations look at.

use super::compile::{Correlation, FieldFrom};
use crate::limits::CORRELATION_FUTURE_MICROS_MAX;
use crate::view::View;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use yagura_event::{EventBatch, FieldDictionary, columns};

/// A batch, looked at by correlations.
pub(crate) struct Rows<'a> {
    batch: &'a EventBatch,
    dictionary: &'a FieldDictionary,
    /// When each row happened and was received (UTC, µs).
    times: Vec<(i64, i64)>,
    /// Rows whose own time was not believed.
    pub(crate) from_the_future: u64,
    streams: Option<View>,
    batches: Option<&'a arrow::array::Int64Array>,
    indices: Option<&'a arrow::array::Int64Array>,
    views: HashMap<String, Option<View>>,
    /// Columns of each referenced rule's fields.
    resolved: HashMap<(usize, u16), Arc<Resolved>>,
}

/// The columns of one referenced rule's fields in this batch.
struct Resolved {
    group: Vec<String>,
    counted: Vec<String>,
}

/// ECS fields that say whom an event is about.
pub(crate) const ROLES: [&str; 3] = ["host.name", "user.name", "source.ip"];

impl<'a> Rows<'a> {
    pub(crate) fn new(batch: &'a EventBatch, dictionary: &'a FieldDictionary) -> Rows<'a> {
        let instants = |name: &str| {
            let column = batch.columns.column_by_name(name)?;
            column.as_primitive_opt::<TimestampMicrosecondType>()
        };
        let longs = |name: &str| {
            let column = batch.columns.column_by_name(name)?;
            column.as_primitive_opt::<Int64Type>()
        };
        let (happened, received) = (instants(columns::TIMESTAMP), instants(columns::INGESTED));
        let mut from_the_future = 0;
        let times = (0..batch.rows()).map(|row| {
            let received = received.filter(|column| column.is_valid(row)).map(|c| c.value(row));
            let happened = happened.filter(|column| column.is_valid(row)).map(|c| c.value(row));
            match (happened, received) {
                (Some(happened), Some(received)) => {
                    let believed = received.saturating_add(CORRELATION_FUTURE_MICROS_MAX);
                    if happened > believed {
                        from_the_future += 1;
                        (received, received)
                    } else {
                        (happened, received)
                    }
                }
                (time, received) => {
                    let time = time.or(received).unwrap_or_default();
                    (time, received.unwrap_or(time))
                }
            }
        });
        Rows {
            times: times.collect(),
            from_the_future,
            batch,
            dictionary,
            streams: batch.columns.column_by_name(columns::STREAM).and_then(View::new),
            batches: longs(columns::BATCH),
            indices: longs(columns::INDEX),
            views: HashMap::new(),
            resolved: HashMap::new(),
        }
    }

    pub(crate) fn dataset(&self) -> &Arc<str> {
        &self.batch.dataset
    }

    /// The newest times of occurrence and receipt.
    pub(crate) fn clocks(&self) -> Option<(i64, i64)> {
        let happened = self.times.iter().map(|(happened, _)| *happened).max()?;
        let received = self.times.iter().map(|(_, received)| *received).max()?;
        Some((happened, received))
    }

    pub(crate) fn time(&self, row: usize) -> (i64, i64) {
        self.times.get(row).copied().unwrap_or_default()
    }

    /// Stream, batch and index of a row.
    pub(crate) fn place(&self, row: usize) -> Option<(Cow<'_, str>, u64, u32)> {
        let streams = self.streams.as_ref()?;
        let stream = streams.text(streams.slot(row)?);
        let long = |column: Option<&arrow::array::Int64Array>| {
            column.filter(|column| row < column.len() && column.is_valid(row)).map(|c| c.value(row))
        };
        let batch = u64::try_from(long(self.batches)?).ok()?;
        let index = u32::try_from(long(self.indices)?).ok()?;
        Some((stream, batch, index))
    }

    /// Sees to it that the columns of a referenced rule can be read.
    pub(crate) fn resolve(&mut self, number: usize, source: u16, correlation: &Correlation) {
        if self.resolved.contains_key(&(number, source)) {
            return;
        }
        let column = |from: Option<&FieldFrom>| match from {
            Some(FieldFrom::Event(field)) => {
                self.dictionary.sigma_column(&self.batch.dataset, field).into_owned()
            }
            Some(FieldFrom::Group(_)) | None => String::new(),
        };
        let at = usize::from(source);
        let group: Vec<String> =
            correlation.group_by.iter().map(|field| column(field.from.get(at))).collect();
        let counted = correlation.counted.get(at).map(Vec::as_slice).unwrap_or_default();
        let counted: Vec<String> = counted.iter().map(|from| column(Some(from))).collect();
        for name in group.iter().chain(&counted).map(String::as_str).chain(ROLES) {
            if !self.views.contains_key(name) {
                let view = self.batch.columns.column_by_name(name).and_then(View::new);
                self.views.insert(name.to_owned(), view);
            }
        }
        self.resolved.insert((number, source), Arc::new(Resolved { group, counted }));
    }

    /// The value of field `position` of `group-by`, or of the counted fields. An empty text counts
    /// as missing. Only after [`Rows::resolve`].
    pub(crate) fn value(
        &self,
        (number, source): (usize, u16),
        part: Part,
        position: usize,
        row: usize,
    ) -> Option<Cow<'_, str>> {
        let resolved = self.resolved.get(&(number, source))?;
        let columns = match part {
            Part::Group => &resolved.group,
            Part::Counted => &resolved.counted,
        };
        self.text(columns.get(position)?, row)
    }

    /// Which of `values` are the host, the user and the source address of a row.
    pub(crate) fn roles(&self, values: &[Option<Cow<'_, str>>], row: usize) -> [u8; 3] {
        ROLES.map(|name| {
            let Some(own) = self.text(name, row) else { return 0 };
            let same = |value: &Option<Cow<'_, str>>| {
                value.as_deref().is_some_and(|value| {
                    value == own || crate::text::fold(value) == crate::text::fold(&own)
                })
            };
            let position = values.iter().position(same).map(|position| position + 1);
            position.and_then(|position| u8::try_from(position).ok()).unwrap_or(0)
        })
    }

    fn text(&self, column: &str, row: usize) -> Option<Cow<'_, str>> {
        let view = self.views.get(column)?.as_ref()?;
        let text = view.text(view.slot(row)?);
        (!text.is_empty()).then_some(text)
    }
}

/// Which fields are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Group,
    Counted,
}
