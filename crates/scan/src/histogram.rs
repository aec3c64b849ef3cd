use crate::report::Counts;
use crate::{ScanError, Scanned};
use yagura_event::UtcMicros;

/// Findings over time, in spans of one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// When the first span begins.
    pub from: UtcMicros,
    /// When the last span ends.
    pub to: UtcMicros,
    /// Length of a span, in microseconds; at least a second.
    pub span_micros: i64,
    /// Findings of each span.
    pub spans: Vec<Counts>,
}

/// Lengths that people think in, in seconds.
const LENGTHS: [i64; 23] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400, 172_800, 604_800, 2_592_000, 7_776_000, 31_536_000,
];

impl Scanned {
    /// How the findings lie in time, in at most `spans_max` spans; `None` without findings.
    ///
    /// # Errors
    ///
    /// When a temporary file cannot be read.
    pub fn histogram(&mut self, spans_max: usize) -> Result<Option<Histogram>, ScanError> {
        let Some((first, last)) = self.report.findings_span else { return Ok(None) };
        let mut histogram = Histogram::new(first, last, spans_max);
        self.each_time(&mut |time, level| histogram.add(time, level))?;
        Ok(Some(histogram))
    }
}

impl Histogram {
    fn new(first: UtcMicros, last: UtcMicros, spans_max: usize) -> Self {
        let (first, last) = (first.as_micros(), last.as_micros());
        let most = i64::try_from(spans_max).unwrap_or(i64::MAX).max(2);
        let spans = |span: i64| last.div_euclid(span) - first.div_euclid(span) + 1;
        let known = LENGTHS.iter().map(|seconds| seconds * 1_000_000);
        // Times that no clock shows still need a length.
        let longest = (last - first) / (most - 1) + 1;
        let span = known.clone().find(|span| spans(*span) <= most).unwrap_or(longest);
        let from = first.div_euclid(span) * span;
        let count = spans(span);
        Histogram {
            from: UtcMicros::from_micros(from),
            to: UtcMicros::from_micros(from.saturating_add(span.saturating_mul(count))),
            span_micros: span,
            spans: vec![Counts::default(); usize::try_from(count).unwrap_or(1)],
        }
    }

    fn add(&mut self, time: i64, level: yagura_event::Level) {
        let at = (time - self.from.as_micros()).div_euclid(self.span_micros);
        if let Some(counts) = usize::try_from(at).ok().and_then(|at| self.spans.get_mut(at)) {
            counts.add(level);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use yagura_event::Level;

    #[test]
    fn spans_are_lengths_people_think_in() {
        let at = |text: &str| text.parse::<UtcMicros>().unwrap();
        let histogram = Histogram::new(at("2026-11-21T00:59:00Z"), at("2026-11-21T12:00:00Z"), 24);
        assert_eq!(histogram.span_micros, 1_800_000_000);
        assert_eq!(histogram.from, at("2026-11-21T00:30:00Z"));
        assert_eq!(histogram.to, at("2026-11-21T12:30:00Z"));
        assert_eq!(histogram.spans.len(), 24);
        let instant = Histogram::new(at("2026-11-21T00:59:00Z"), at("2026-11-21T00:59:00Z"), 24);
        assert_eq!((instant.spans.len(), instant.span_micros), (1, 1_000_000));
    }

    proptest! {
        #[test]
        fn every_finding_is_in_a_span(a: i64, b: i64, spans_max in 2_usize..100) {
            let (a, b) = (UtcMicros::from_micros(a), UtcMicros::from_micros(b));
            let mut histogram = Histogram::new(a.min(b), a.max(b), spans_max);
            histogram.add(a.as_micros(), Level::High);
            histogram.add(b.as_micros(), Level::Low);
            prop_assert!(histogram.spans.len() <= spans_max);
            prop_assert_eq!(histogram.spans.iter().map(|counts| counts.total()).sum::<u64>(), 2);
        }
    }
}
