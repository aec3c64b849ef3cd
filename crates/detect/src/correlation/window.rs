//! Windows over the hits of one group: measured by adding what enters and taking away what leaves.

use super::compile::Kind;
use super::condition::{Condition, Measure};
use super::hit::{FRACTION_BITS, Hit, Payload, scaled};
use crate::text::fold;
use std::borrow::Cow;
use std::collections::HashMap;

/// A window for which the condition holds: hits `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) measure: Measure,
}

/// What a correlation measures, and over how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) kind: Kind,
    pub(crate) condition: &'a Condition,
    /// How many rules are referenced.
    pub(crate) sources: usize,
    /// Length of a window (µs); both ends belong to it.
    pub(crate) span: i64,
}

impl Question<'_> {
    /// Every window that ends with a hit, holds one of the new hits and fulfils the condition.
    /// `hits` is in order; `new` are the times of those that were not there before, in order.
    pub(crate) fn windows(&self, hits: &[Hit], new: &[i64]) -> Vec<Window> {
        let mut found = Vec::new();
        let Some(first) = new.first() else { return found };
        let oldest = first.saturating_sub(self.span);
        let mut start = hits.partition_point(|hit| hit.time < oldest);
        let mut next = start;
        let mut contents = Contents::new(self);
        let mut waiting = new.iter().peekable();
        // Windows that end after this instant hold no new hit, until the next one comes.
        let mut reach = i64::MIN;
        while let Some(time) = hits.get(next).map(|hit| hit.time) {
            while let Some(entered) = waiting.next_if(|entered| **entered <= time) {
                reach = entered.saturating_add(self.span);
            }
            if time > reach && time >= *first && waiting.peek().is_none() {
                break;
            }
            while let Some(hit) = hits.get(next).filter(|hit| hit.time == time) {
                contents.add(hit);
                next += 1;
            }
            if time > reach {
                continue;
            }
            let oldest = time.saturating_sub(self.span);
            while let Some(hit) = hits.get(start).filter(|hit| hit.time < oldest) {
                contents.remove(hit);
                start += 1;
            }
            let window = hits.get(start..next).unwrap_or_default();
            if let Some(measure) = contents.answer(window, oldest) {
                found.push(Window { start, end: next, measure });
            }
        }
        found
    }

    /// The value of one window, if it fulfils the condition.
    pub(crate) fn judge(&self, window: &[Hit]) -> Option<Measure> {
        let mut contents = Contents::new(self);
        window.iter().for_each(|hit| contents.add(hit));
        contents.answer(window, window.first()?.time)
    }
}

struct Contents<'a, 'h> {
    question: &'a Question<'a>,
    values: Values<'h>,
}

enum Values<'h> {
    Events(usize),
    Distinct(HashMap<Cow<'h, str>, u32>),
    /// Hits of each referenced rule.
    Sources(Vec<u32>),
    /// For each referenced rule, when the latest chain that got so far began.
    Ordered(Vec<Option<i64>>),
    Sum {
        sum: i128,
        numbers: usize,
    },
    Sorted(Vec<i128>),
}

impl<'a, 'h> Contents<'a, 'h> {
    fn new(question: &'a Question<'a>) -> Self {
        let values = match question.kind {
            Kind::EventCount => Values::Events(0),
            Kind::ValueCount => Values::Distinct(HashMap::new()),
            Kind::TemporalOrdered if question.condition.expression.is_none() => {
                Values::Ordered(vec![None; question.sources])
            }
            Kind::Temporal | Kind::TemporalOrdered => Values::Sources(vec![0; question.sources]),
            Kind::ValueSum | Kind::ValueAvg => Values::Sum { sum: 0, numbers: 0 },
            Kind::ValuePercentile(_) => Values::Sorted(Vec::new()),
        };
        Contents { question, values }
    }

    fn add(&mut self, hit: &'h Hit) {
        match (&mut self.values, &hit.payload) {
            (Values::Events(count), _) => *count += 1,
            (Values::Distinct(counts), Payload::Text(text)) => {
                *counts.entry(fold(text)).or_default() += 1;
            }
            (Values::Sources(counts), _) => {
                if let Some(count) = counts.get_mut(usize::from(hit.source)) {
                    *count += 1;
                }
            }
            (Values::Ordered(began), _) => {
                let source = usize::from(hit.source);
                let chain = match source.checked_sub(1) {
                    None => Some(hit.time),
                    Some(before) => began.get(before).copied().flatten(),
                };
                if let Some(slot) = began.get_mut(source) {
                    *slot = (*slot).max(chain);
                }
            }
            (Values::Sum { sum, numbers }, Payload::Number(number)) => {
                *sum += scaled(*number);
                *numbers += 1;
            }
            (Values::Sorted(sorted), Payload::Number(number)) => {
                let number = scaled(*number);
                sorted.insert(sorted.partition_point(|other| *other < number), number);
            }
            (Values::Distinct(_) | Values::Sum { .. } | Values::Sorted(_), _) => {}
        }
    }

    fn remove(&mut self, hit: &'h Hit) {
        match (&mut self.values, &hit.payload) {
            (Values::Events(count), _) => *count -= 1,
            (Values::Distinct(counts), Payload::Text(text)) => {
                let text = fold(text);
                if let Some(count) = counts.get_mut(&text) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(&text);
                    }
                }
            }
            (Values::Sources(counts), _) => {
                if let Some(count) = counts.get_mut(usize::from(hit.source)) {
                    *count -= 1;
                }
            }
            (Values::Sum { sum, numbers }, Payload::Number(number)) => {
                *sum -= scaled(*number);
                *numbers -= 1;
            }
            (Values::Sorted(sorted), Payload::Number(number)) => {
                let number = scaled(*number);
                let place = sorted.partition_point(|other| *other < number);
                if place < sorted.len() {
                    sorted.remove(place);
                }
            }
            // A chain that began too early is told by its beginning.
            (Values::Ordered(_), _)
            | (Values::Distinct(_) | Values::Sum { .. } | Values::Sorted(_), _) => {}
        }
    }

    /// The value, if the condition holds for what is inside.
    fn answer(&self, window: &[Hit], oldest: i64) -> Option<Measure> {
        let condition = self.question.condition;
        let measure = match (&self.values, &condition.expression) {
            (Values::Events(count), _) => Measure::count(*count),
            (Values::Distinct(counts), _) => Measure::count(counts.len()),
            (Values::Sources(counts), Some(expression)) => {
                let seen = |rule: usize| counts.get(rule).is_some_and(|count| *count > 0);
                let all = (0..counts.len()).filter(|rule| seen(*rule));
                let all: Vec<usize> = all.collect();
                if !expression.holds(&seen) {
                    return None;
                }
                if self.question.kind == Kind::TemporalOrdered && !in_order(window, &all) {
                    return None;
                }
                return Some(Measure::count(all.len()));
            }
            (Values::Sources(counts), None) => {
                Measure::count(counts.iter().filter(|count| **count > 0).count())
            }
            (Values::Ordered(began), _) => {
                let whole = began.last().copied().flatten().is_some_and(|began| began >= oldest);
                Measure::count(if whole { began.len() } else { 0 })
            }
            (Values::Sum { numbers: 0, .. }, _) => return None,
            (Values::Sum { sum, numbers }, _) => {
                let parts = match self.question.kind {
                    Kind::ValueAvg => *numbers as i128,
                    _ => 1,
                };
                Measure { numerator: *sum, denominator: parts << FRACTION_BITS }
            }
            (Values::Sorted(sorted), _) => {
                let Kind::ValuePercentile(rank) = self.question.kind else { return None };
                percentile(sorted, rank)?
            }
        };
        condition.holds(measure).then_some(measure)
    }
}

/// Whether `rules` are seen in `window` in that order; at one instant any order will do.
fn in_order(window: &[Hit], rules: &[usize]) -> bool {
    let mut wanted = rules.iter().peekable();
    for hit in window {
        // Hits of one instant are in the order of the rules.
        wanted.next_if(|rule| **rule == usize::from(hit.source));
    }
    wanted.peek().is_none()
}

/// The value below which `rank` percent of the numbers lie, on the line between the two nearest
/// where it falls between them.
fn percentile(sorted: &[i128], rank: u8) -> Option<Measure> {
    let hundredths = sorted.len().checked_sub(1)? * usize::from(rank);
    let (place, rest) = (hundredths / 100, (hundredths % 100) as i128);
    let low = *sorted.get(place)?;
    let high = sorted.get(place + 1).copied().unwrap_or(low);
    Some(Measure { numerator: low * 100 + (high - low) * rest, denominator: 100 << FRACTION_BITS })
}
