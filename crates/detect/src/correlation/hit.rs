//! One event that a correlation counts.

use std::cmp::Ordering;
use std::sync::Arc;
use yagura_event::{EventId, StreamName};

/// What is counted of the event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Payload {
    /// The event itself.
    None,
    /// A value that is counted once however often it comes.
    Text(Box<str>),
    /// A number.
    Number(f64),
}

/// An event of a group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hit {
    /// When it happened (UTC, µs).
    pub(crate) time: i64,
    /// Its stream; the name is shared by all hits.
    pub(crate) stream: Arc<str>,
    pub(crate) batch: u64,
    pub(crate) index: u32,
    /// Which of the referenced rules found it, by position.
    pub(crate) source: u16,
    pub(crate) payload: Payload,
}

impl Hit {
    /// The order of windows: by time, and at one time in the order that the rules are listed, so
    /// that events of one instant count as being in order.
    pub(crate) fn order(&self, other: &Hit) -> Ordering {
        let key = |hit: &Hit| (hit.time, hit.source, hit.batch, hit.index);
        key(self).cmp(&key(other)).then_with(|| self.stream.cmp(&other.stream))
    }

    /// Whether both are the same event, whichever rules found it.
    pub(crate) fn is_event_of(&self, other: &Hit) -> bool {
        (self.batch, self.index) == (other.batch, other.index) && self.stream == other.stream
    }

    /// The event's id.
    pub(crate) fn event_id(&self) -> Option<EventId> {
        let stream = StreamName::new(&self.stream).ok()?;
        Some(EventId { stream, batch: self.batch, index: self.index })
    }

    pub(crate) fn text_bytes(&self) -> usize {
        match &self.payload {
            Payload::Text(text) => text.len(),
            Payload::None | Payload::Number(_) => 0,
        }
    }
}

/// What stands between the values of several fields that are counted together.
pub(crate) const JOINT: char = '\u{1f}';

/// Bits behind the binary point of a scaled number.
pub(crate) const FRACTION_BITS: u32 = 20;

/// Largest number that is counted with, either way of zero.
const NUMBER_MAX: f64 = 1e18;

/// A number as text of a log writes it: decimal, with a point, or hexadecimal after `0x`.
pub(crate) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    #[expect(clippy::cast_precision_loss, reason = "more than 53 bits are rounded, like any f64")]
    let value = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok()? as f64,
        None => text.parse().ok()?,
    };
    // `inf`, `nan` and `1e999` are no numbers of a log.
    (value.is_finite() && value.abs() <= NUMBER_MAX).then_some(value)
}

/// The number in units of 2^-20. Sums of these are exact, whatever the order.
pub(crate) fn scaled(number: f64) -> i128 {
    #[expect(clippy::cast_possible_truncation, reason = "below 2^80: numbers are below 10^18")]
    let scaled = (number * f64::from(1u32 << FRACTION_BITS)).round() as i128;
    scaled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_logs_write_them() {
        for (text, expected) in [
            ("5", Some(5.0)),
            (" -2 ", Some(-2.0)),
            ("1.5", Some(1.5)),
            ("0x10", Some(16.0)),
            ("1e3", Some(1000.0)),
            ("1000000000000000000", Some(1e18)),
            ("1000000000000001000", None),
            ("nan", None),
            ("inf", None),
            ("", None),
            ("C:\\a.exe", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        assert_eq!(scaled(-2.5), -(5 << (FRACTION_BITS - 1)));
    }
}
