use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};

/// An instant: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// Displays as ISO 8601 with exactly six decimals: `2026-11-21T19:30:00.321000Z`. Values outside
/// the years 1 to 9999 are clamped when built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UtcMicros(i64);

/// 0001-01-01T00:00:00Z.
const MICROS_MIN: i64 = -62_135_596_800_000_000;
/// 9999-12-30T21:59:59.999999Z, where every zone still writes four digits of year.
const MICROS_MAX: i64 = 253_402_207_199_999_999;

/// A text that is not an instant.
#[derive(Debug, thiserror::Error)]
#[error("not an ISO 8601 instant with a zone: {text:?}")]
pub struct TimeError {
    text: String,
}

impl UtcMicros {
    /// From microseconds since the Unix epoch, clamped to the years 1 to 9999.
    pub fn from_micros(micros: i64) -> Self {
        UtcMicros(micros.clamp(MICROS_MIN, MICROS_MAX))
    }

    /// Microseconds since the Unix epoch.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// This instant moved by `micros` (may be negative), saturating.
    pub fn plus_micros(self, micros: i64) -> Self {
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// The same instant as a [`jiff::Timestamp`].
    pub fn to_timestamp(self) -> Timestamp {
        // Proof: the constructor clamps to the range of `Timestamp`.
        Timestamp::from_microsecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The UTC day as `YYYY-MM-DD`.
    pub fn utc_day(self) -> String {
        self.to_timestamp().strftime("%Y-%m-%d").to_string()
    }
}

impl From<Timestamp> for UtcMicros {
    fn from(instant: Timestamp) -> Self {
        UtcMicros::from_micros(instant.as_microsecond())
    }
}

impl fmt::Display for UtcMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.to_timestamp())
    }
}

impl FromStr for UtcMicros {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        text.parse::<Timestamp>().map(Into::into).map_err(|_| TimeError { text: text.to_owned() })
    }
}

impl Serialize for UtcMicros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UtcMicros {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where "now" comes from, so that tests and simulations decide it.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> UtcMicros;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UtcMicros {
        Timestamp::now().into()
    }
}

/// A clock that stands still until told otherwise; for tests.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock standing at `start`.
    pub fn at(start: UtcMicros) -> Self {
        ManualClock(AtomicI64::new(start.as_micros()))
    }

    /// Moves the clock by `micros`, which may be negative.
    pub fn advance_micros(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UtcMicros {
        UtcMicros::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prints_six_decimals_and_reads_them_back() {
        let instant: UtcMicros = "2026-11-21T19:30:00.321Z".parse().unwrap();
        assert_eq!(instant.to_string(), "2026-11-21T19:30:00.321000Z");
        assert_eq!(instant.utc_day(), "2026-11-21");
        assert_eq!("2026-11-22T04:30:00.321+09:00".parse::<UtcMicros>().unwrap(), instant);
        assert!("2026-11-21 19:30".parse::<UtcMicros>().is_err());
    }

    #[test]
    fn clamps_instants_outside_the_calendar() {
        assert!(UtcMicros::from_micros(i64::MAX).to_string().starts_with("9999-12-30"));
        assert!(UtcMicros::from_micros(i64::MIN).to_string().starts_with("0001-01-01"));
    }

    proptest! {
        #[test]
        fn text_round_trips(micros in any::<i64>()) {
            let instant = UtcMicros::from_micros(micros);
            prop_assert_eq!(instant.to_string().parse::<UtcMicros>().unwrap(), instant);
        }
    }
}
