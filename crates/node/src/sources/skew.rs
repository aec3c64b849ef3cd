//! How far a source's clock is from ours: the middle of the last differences between receipt and
//! claimed time. What is sent late, in bursts or from old files makes the differences scatter, and
//! then nothing is said.

use super::limits::SKEW_SAMPLES_MAX;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use yagura_event::{Lang, UtcMicros};

/// So many differences are needed before anything is said.
const SAMPLES_MIN: usize = 15;

/// At most one difference in this time (microseconds) is remembered, so that a burst is one voice.
const SAMPLE_EVERY_MICROS: i64 = 1_000_000;

/// The middle half of the differences may lie this far apart (microseconds), else the source is sent
/// too unevenly to tell.
const SPREAD_MICROS_MAX: i64 = 60_000_000;

/// Skew from which the corrected time is given, in microseconds: many sources write whole seconds,
/// and a delivery takes its time.
pub(crate) const NOTABLE_MICROS: i64 = 2_000_000;

/// Zones differ in quarters of an hour.
const QUARTER_MICROS: i64 = 15 * 60 * 1_000_000;

/// A difference this near (microseconds) to whole quarters of an hour is one of zones.
const NEAR_MICROS: i64 = 120_000_000;

/// No zone is further from UTC (microseconds).
const OFFSET_MICROS_MAX: i64 = 14 * 3_600 * 1_000_000;

/// The newest differences of one source.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Skew {
    /// Receipt minus claimed time, in microseconds.
    samples: VecDeque<i64>,
    last: i64,
    estimate: Option<Estimate>,
}

/// What the differences say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Estimate {
    /// Receipt minus claimed time in the middle, in microseconds: positive where the source's clock
    /// is behind ours.
    pub(crate) micros: i64,
    /// How far apart the middle half of the differences lies, in microseconds.
    pub(crate) spread: i64,
}

impl Skew {
    /// Takes note of an event.
    pub(crate) fn see(&mut self, received: i64, claimed: i64) {
        if received.saturating_sub(self.last).abs() < SAMPLE_EVERY_MICROS
            && !self.samples.is_empty()
        {
            return;
        }
        self.last = received;
        if self.samples.len() >= SKEW_SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(received.saturating_sub(claimed));
        self.estimate = self.compute();
    }

    fn compute(&self) -> Option<Estimate> {
        if self.samples.len() < SAMPLES_MIN {
            return None;
        }
        let mut sorted: Vec<i64> = self.samples.iter().copied().collect();
        sorted.sort_unstable();
        let at = |part: usize| sorted.get(sorted.len() * part / 4).copied();
        let (first, middle, third) = (at(1)?, at(2)?, at(3)?);
        let estimate = Estimate { micros: middle, spread: third.saturating_sub(first) };
        (estimate.spread <= SPREAD_MICROS_MAX).then_some(estimate)
    }

    /// The estimate, where the differences are steady.
    pub(crate) fn estimate(&self) -> Option<Estimate> {
        self.estimate
    }

    /// What to add to a claimed time, in microseconds, where it is worth it.
    pub(crate) fn correction(&self) -> Option<i64> {
        let Estimate { micros, spread } = self.estimate?;
        (micros.abs() >= NOTABLE_MICROS && micros.abs() > spread).then_some(micros)
    }
}

/// A zone that a source seems to write in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ZoneProposal {
    /// IANA name of a zone with that offset.
    pub(crate) zone: &'static str,
    /// Claimed time minus receipt, rounded to quarters of an hour, in minutes.
    pub(crate) minutes: i64,
}

/// Zones that are proposed; of several with the same offset at the time the first.
const ZONES: [&str; 27] = [
    "UTC",
    "Asia/Tokyo",
    "Asia/Shanghai",
    "Asia/Bangkok",
    "Asia/Kolkata",
    "Asia/Dubai",
    "Asia/Kathmandu",
    "Asia/Dhaka",
    "Asia/Karachi",
    "Asia/Tehran",
    "Europe/Moscow",
    "Europe/Helsinki",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/Halifax",
    "America/Sao_Paulo",
    "America/Anchorage",
    "Pacific/Honolulu",
    "Australia/Sydney",
    "Australia/Adelaide",
    "Pacific/Noumea",
    "Pacific/Auckland",
    "Asia/Yangon",
];

/// The zone a source seems to write in, when its times were read in `zone`.
pub(crate) fn proposal(estimate: Estimate, zone: &TimeZone, at: UtcMicros) -> Option<ZoneProposal> {
    let ahead = estimate.micros.saturating_neg();
    let rounded = ahead.saturating_add(QUARTER_MICROS / 2).div_euclid(QUARTER_MICROS);
    let rounded = rounded.saturating_mul(QUARTER_MICROS);
    let near = ahead.saturating_sub(rounded).abs() <= NEAR_MICROS;
    if rounded == 0 || !near {
        return None;
    }
    let now = at.to_timestamp();
    let seconds = |zone: &TimeZone| i64::from(zone.to_offset(now).seconds());
    let offset = seconds(zone) + rounded / 1_000_000;
    if offset.saturating_mul(1_000_000).abs() > OFFSET_MICROS_MAX {
        return None;
    }
    let same = |name: &&str| TimeZone::get(name).is_ok_and(|zone| seconds(&zone) == offset);
    let zone = ZONES.into_iter().find(same)?;
    Some(ZoneProposal { zone, minutes: rounded / 60_000_000 })
}

impl ZoneProposal {
    /// In words; `setting` is what to write into the configuration to single the source out, such as
    /// `host = "fw01"`.
    pub(crate) fn sentence(&self, setting: &str, lang: Lang) -> String {
        let (hours, minutes) = (self.minutes.abs() / 60, self.minutes.abs() % 60);
        let zone = self.zone;
        match lang {
            Lang::Ja => format!(
                "この送信元は {zone} の現地時刻を書いているようです（受信時刻との差は{hours}時間{minutes:02}分）。\
                 設定ファイルに [[source]] を設け、{setting} と zone = \"{zone}\" を書くと正しく読めます。"
            ),
            Lang::En => format!(
                "This source seems to write local time of {zone}: the difference from receipt is \
                 {hours} h {minutes:02} m. To read it so, configure a [[source]] with {setting} and \
                 zone = \"{zone}\"."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3_600 * SECOND;

    /// A source whose claimed times are `ahead` of receipt, with `delay` in seconds of each delivery.
    fn skew(ahead: i64, delays: impl Iterator<Item = i64>) -> Skew {
        let mut skew = Skew::default();
        for (number, delay) in (0i64..).zip(delays) {
            let sent = number * 10 * SECOND;
            skew.see(sent + delay * SECOND, sent + ahead);
        }
        skew
    }

    #[test]
    fn a_clock_that_is_off_is_estimated_in_spite_of_stragglers() {
        let delays = (0..200).map(|number| if number % 10 == 0 { 3_000 } else { number % 3 });
        let skew = skew(-95 * SECOND, delays);
        let estimate = skew.estimate().unwrap();
        assert!((94..=98).contains(&(estimate.micros / SECOND)), "{estimate:?}");
        assert_eq!(skew.correction(), Some(estimate.micros));
        assert_eq!(skew.samples.len(), SKEW_SAMPLES_MAX);
    }

    #[test]
    fn too_few_scattered_and_punctual_times_are_not_corrected() {
        assert_eq!(skew(HOUR, 0..14).estimate(), None);
        assert!(skew(HOUR, 0..15).estimate().is_some());
        // Old logs sent at once, each from another day.
        assert_eq!(skew(0, (0..100).map(|number| number * 86_400)).estimate(), None);
        let punctual = skew(0, (0..100).map(|number| number % 2));
        assert!(punctual.estimate().is_some() && punctual.correction().is_none());
        // A burst is one voice.
        let mut burst = Skew::default();
        (0..1_000).for_each(|number| burst.see(number, number - HOUR));
        assert_eq!(burst.samples.len(), 1);
    }

    #[test]
    fn a_difference_of_whole_quarters_is_a_zone() {
        let at = "2026-11-21T00:00:00Z".parse().unwrap();
        let zone = |name: &str| TimeZone::get(name).unwrap();
        let found = |ahead: i64, read_in: &str| {
            let estimate = skew(ahead, (0..50).map(|number| number % 4)).estimate().unwrap();
            proposal(estimate, &zone(read_in), at).map(|found| (found.zone, found.minutes))
        };
        assert_eq!(found(9 * HOUR, "UTC"), Some(("Asia/Tokyo", 540)));
        assert_eq!(found(-9 * HOUR, "Asia/Tokyo"), Some(("UTC", -540)));
        assert_eq!(found(-5 * HOUR, "UTC"), Some(("America/New_York", -300)));
        assert_eq!(found(5 * HOUR + HOUR / 2, "UTC"), Some(("Asia/Kolkata", 330)));
        assert_eq!(found(0, "UTC"), None);
        assert_eq!(found(7 * 60 * SECOND, "UTC"), None);
        assert_eq!(found(20 * HOUR, "UTC"), None);
        let said = ZoneProposal { zone: "Asia/Tokyo", minutes: 540 };
        assert_eq!(
            said.sentence("host = \"fw01\"", Lang::En),
            "This source seems to write local time of Asia/Tokyo: the difference from receipt is 9 h \
             00 m. To read it so, configure a [[source]] with host = \"fw01\" and \
             zone = \"Asia/Tokyo\"."
        );
        assert!(said.sentence("host = \"fw01\"", Lang::Ja).contains("差は9時間00分"));
    }
}
